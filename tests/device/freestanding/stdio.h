/* See string.h. */
#ifndef EMK_TESTS_DEVICE_FREESTANDING_STDIO_H
#define EMK_TESTS_DEVICE_FREESTANDING_STDIO_H

#include <stddef.h>

int snprintf(char *to, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
