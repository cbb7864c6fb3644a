/* What the guard's files use of the C library, so that they can be checked for a system whose own
 * headers are not here. */
#ifndef EMK_TESTS_DEVICE_FREESTANDING_STRING_H
#define EMK_TESTS_DEVICE_FREESTANDING_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *part);
size_t strcspn(const char *s, const char *reject);
size_t strspn(const char *s, const char *accept);

#endif
