/* See string.h. */
#ifndef EMK_TESTS_DEVICE_FREESTANDING_ERRNO_H
#define EMK_TESTS_DEVICE_FREESTANDING_ERRNO_H

extern int errno;

#endif
