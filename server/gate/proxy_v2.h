/* The binary header that a load balancer sends before the client's bytes: PROXY protocol,
 * version 2.  Read it only on a listener where nobody else can connect.
 *
 * Version 1 is refused: its text is read too easily from what a client wrote.  TLVs are passed
 * over; a CRC-32C among them is not checked (TCP has its own).
 * https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, section 2.2 */
#ifndef EMK_SERVER_GATE_PROXY_V2_H
#define EMK_SERVER_GATE_PROXY_V2_H

#include "server/gate/address.h"

#define EMK_PROXY_V2_MAX 536u /* bytes; the 16 fixed ones, and 520 behind them are plenty */

typedef struct emk_proxy_v2 {
    size_t len;       /* bytes of the header: the client's begin behind it */
    bool local;       /* the balancer speaks for itself (health check): use the connection's peer */
    emk_address peer; /* of the client; NONE for Unix sockets and local ones */
    uint16_t peer_port;
} emk_proxy_v2;

/* Reads the header at the begin of `in`.  Fills out.  EMK_E_BUSY when more bytes are needed (where
 * = how many there must be at least), EMK_E_FORMAT, EMK_E_UNSUPPORTED for another version or
 * transport, EMK_E_LIMIT. */
emk_status emk_proxy_v2_parse(emk_span in, emk_proxy_v2 *out, emk_error *e) EMK_MUST_CHECK;

#endif
