/* The open connections: how many of each net, and when each one's time is over.
 *
 * One that was answered before its body was read is not closed at once: a close with unread bytes
 * tells the client's side to drop the answer too [RFC 9112 9.6].  What still comes is read and
 * forgotten, for a short time and up to a number of bytes.
 *
 * A connection whose deadline passed is broken by a thread of this module (shut down, not closed:
 * its owner closes it).
 *
 * Thread rule: any number of threads; one connection's calls come from its own event thread. */
#ifndef EMK_SERVER_DAEMON_CONNS_H
#define EMK_SERVER_DAEMON_CONNS_H

#include "server/gate/address.h"

#define EMK_CONNS_NEVER        UINT64_MAX
#define EMK_CONNS_LINGER_MAX   256u                 /* at once; others are closed at once */
#define EMK_CONNS_LINGER_BYTES ((size_t)4 << 20)    /* of each ... */
#define EMK_CONNS_LINGER_NS    UINT64_C(5000000000) /* ... and how long */

typedef struct emk_conns emk_conns;
typedef struct emk_conn emk_conn;

/* Gives the table with its thread; free with emk_conns_free, when no connection is in it.
 * per_net 0: no limit.  seed: random, so that nobody chooses nets that share a place. */
emk_status emk_conns_new(uint32_t per_net, uint64_t seed, emk_conns **out,
                         emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_conns_free(emk_conns *t);

/* Whether another connection from here may come; counts a refusal. */
bool emk_conns_may(emk_conns *t, const emk_address *from);
/* Lends a place, until emk_conns_remove; NULL without memory.  Counted against its net unless
 * that is trusted. */
emk_conn *emk_conns_add(emk_conns *t, int fd, const emk_address *from, bool trusted);
/* After this fd may be closed. */
void emk_conns_remove(emk_conns *t, emk_conn *c);

/* Its time is over so many nanoseconds from now; EMK_CONNS_NEVER: while we work, it has time. */
void emk_conn_deadline(emk_conn *c, uint64_t in_ns);

/* While it waits for more of a body: a client that has left is noticed here, because libmicrohttpd
 * (0.9.75, edge-triggered) misses the end when it comes together with the last bytes. */
void emk_conn_watch(emk_conn *c, bool on);

/* There is an answer before the body was read: when it is removed, what still comes is swallowed.
 */
void emk_conn_linger(emk_conn *c);

/* What the owner hangs on it. */
void *emk_conn_owner(const emk_conn *c);
void emk_conn_own(emk_conn *c, void *owner);

typedef struct emk_conns_stats {
    uint64_t open, refused, timed_out;
} emk_conns_stats;
void emk_conns_stats_get(const emk_conns *t, emk_conns_stats *out);
/* Breaks all of them: for the end. */
void emk_conns_break_all(emk_conns *t);

#endif
