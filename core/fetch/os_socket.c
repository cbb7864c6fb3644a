#include "core/fetch/os_socket.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

emk_span emk_socket_address(const void *sockaddr, size_t len)
{
    const uint8_t *p = sockaddr;
    sa_family_t family;

    if (len < sizeof(struct sockaddr))
        return emk_span_of(NULL, 0);
    memcpy(&family, p + offsetof(struct sockaddr, sa_family), sizeof family);
    if (family == AF_INET && len >= sizeof(struct sockaddr_in))
        return emk_span_of(p + offsetof(struct sockaddr_in, sin_addr), sizeof(struct in_addr));
    if (family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
        return emk_span_of(p + offsetof(struct sockaddr_in6, sin6_addr), sizeof(struct in6_addr));
    return emk_span_of(NULL, 0);
}

int emk_socket_open(int family, int type, int protocol)
{
    return socket(family, type | SOCK_CLOEXEC, protocol);
}
