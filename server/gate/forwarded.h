/* The client's address behind proxies that the operator named.
 *
 * Only what a trusted peer says counts, and of that the part it wrote itself: the list is walked
 * from the right, past trusted addresses, and the first other one is the client.  Whatever is
 * not understood leaves the peer's address and is counted.  [RFC 7239]
 *
 * Thread rule: immutable after new but for its counters, which are atomic. */
#ifndef EMK_SERVER_GATE_FORWARDED_H
#define EMK_SERVER_GATE_FORWARDED_H

#include "server/gate/request.h"

#define EMK_PROXIES_MAX        256u
#define EMK_FORWARDED_HOPS_MAX 16u
#define EMK_FORWARDED_TEXT_MAX 2048u /* bytes of all field lines joined */

/* Which field the operator's proxies write.  One of them: a proxy that writes one of the two
 * passes on the other as it came from the client. */
typedef enum emk_forwarded_field {
    EMK_FORWARDED_NEITHER, /* proxies speak PROXY v2 only */
    EMK_FORWARDED_X_FORWARDED_FOR,
    EMK_FORWARDED_FORWARDED
} emk_forwarded_field;

typedef struct emk_trusted_proxies emk_trusted_proxies;

/* Gives the list; free with emk_trusted_proxies_free.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_trusted_proxies_new(const emk_net *nets, size_t n, emk_forwarded_field field,
                                   emk_trusted_proxies **out, emk_error *e) EMK_MUST_CHECK;
void emk_trusted_proxies_free(emk_trusted_proxies *t);
bool emk_trusted_proxies_contain(const emk_trusted_proxies *t, const emk_address *a);

/* The client of this request.  t may be NULL: the peer. */
emk_address emk_client_address(emk_trusted_proxies *t, const emk_gate_request *rq);
/* How often a trusted peer sent what was not understood. */
uint64_t emk_trusted_proxies_junk(const emk_trusted_proxies *t);

#endif
