/* See string.h. */
#ifndef EMK_TESTS_DEVICE_FREESTANDING_STDLIB_H
#define EMK_TESTS_DEVICE_FREESTANDING_STDLIB_H

#include <stddef.h>

unsigned long strtoul(const char *text, char **end, int base);

#endif
