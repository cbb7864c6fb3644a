/* Sockets of the server: listening ones, what is at their other end, the supervisor's. */
#ifndef EMK_SERVER_DAEMON_OS_NET_H
#define EMK_SERVER_DAEMON_OS_NET_H

#include "server/gate/address.h"

#define EMK_LISTEN_TEXT_MAX 160u
#define EMK_INHERITED_MAX   8u

/* Listens on "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0" or "unix:/path" (mode 0660, an old socket
 * is replaced).  Gives *fd, non-blocking and close-on-exec; text (EMK_LISTEN_TEXT_MAX) gets the
 * address with the port that was taken.  EMK_E_FORMAT for another text; EMK_E_IO. */
emk_status emk_net_listen(const char *where, int *fd, char *text, emk_error *e) EMK_MUST_CHECK;

/* Sockets handed over by a supervisor (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES): fills fds and
 * names, returns how many.  Forgets them: a second call finds none.  [sd_listen_fds(3)] */
typedef struct emk_inherited {
    int fd;
    char name[64];
} emk_inherited;
size_t emk_net_inherited(emk_inherited out[EMK_INHERITED_MAX]);

/* Tells the supervisor ("READY=1"); nothing without NOTIFY_SOCKET.  [sd_notify(3)] */
void emk_net_notify(const char *state);
/* The time within which the supervisor wants to hear "WATCHDOG=1", milliseconds; 0: never. */
uint64_t emk_net_watchdog_ms(void);

/* From what accept() fills in.  A Unix socket is EMK_ADDRESS_NONE. */
emk_address emk_net_peer(const void *sockaddr, uint16_t *port);

/* Breaks a connection under whoever waits on it; the descriptor stays open. */
void emk_net_break(int fd);
/* Whether the other side has sent its last byte and all of them were read. */
bool emk_net_is_left(int fd);
/* Reads and forgets what is there, at most max bytes; *n is how many.  False when nothing more can
 * come: the other side is done, or the connection broken.  Never waits. */
bool emk_net_swallow(int fd, size_t max, size_t *n);
/* A second descriptor of the same thing; -1. */
int emk_net_dup(int fd);
/* Raises the limit of open files to the hard one and returns it. */
uint64_t emk_net_raise_files(void);

#endif
