/* Sockets that fetch.c hands to libcurl, so that where they go is looked at first. */
#ifndef EMK_CORE_FETCH_OS_SOCKET_H
#define EMK_CORE_FETCH_OS_SOCKET_H

#include "core/base/span.h"

/* Lends the 4 or 16 bytes of the address, in network order, in a struct sockaddr of `len` bytes;
 * empty: neither IPv4 nor IPv6, or cut short. */
emk_span emk_socket_address(const void *sockaddr, size_t len);
/* As socket(2), closed by an exec; -1. */
int emk_socket_open(int family, int type, int protocol);

#endif
