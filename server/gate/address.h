/* Internet addresses and networks: text, prefixes, order.  No names are looked up.
 *
 * An IPv4 address that comes inside IPv6 (::ffff:a.b.c.d) is the IPv4 address, so that one rule
 * holds for both ways it may arrive.  Zone identifiers are refused.  [RFC 4291 2.2] [RFC 5952] */
#ifndef EMK_SERVER_GATE_ADDRESS_H
#define EMK_SERVER_GATE_ADDRESS_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_ADDRESS_TEXT_MAX 46u /* characters with the terminating zero */
#define EMK_NET_TEXT_MAX     50u /* the same with "/128" */

typedef enum emk_address_family {
    EMK_ADDRESS_NONE = 0, /* a Unix socket, or nobody knows */
    EMK_ADDRESS_V4 = 4,
    EMK_ADDRESS_V6 = 6
} emk_address_family;

typedef struct emk_address {
    emk_address_family family;
    uint8_t b[16]; /* network order; a v4 address has 4, the rest is zero */
} emk_address;

/* An address with its first bits only; the others are zero. */
typedef struct emk_net {
    emk_address base;
    uint8_t bits; /* 0..32 or 0..128 */
} emk_net;

/* From 4 or 16 bytes in network order.  Another length gives EMK_ADDRESS_NONE. */
emk_address emk_address_of(emk_span bytes);
/* From text.  Strict: four decimal numbers without leading zeros, or IPv6 as in RFC 4291 2.2
 * (upper case is taken).  Fills out.  EMK_E_FORMAT. */
emk_status emk_address_parse(emk_span text, emk_address *out, emk_error *e) EMK_MUST_CHECK;
/* Fills out with canonical text [RFC 5952] and a zero; "none" where there is no address. */
void emk_address_format(const emk_address *a, char out[EMK_ADDRESS_TEXT_MAX]);
bool emk_address_equal(const emk_address *a, const emk_address *b);
/* 32, 128 or 0. */
unsigned emk_address_bits(const emk_address *a);

/* From "a.b.c.d/n", "x::/n" or a bare address.  Fills out.  EMK_E_FORMAT, also when a bit behind
 * the prefix is set: who wrote that meant something else. */
emk_status emk_net_parse(emk_span text, emk_net *out, emk_error *e) EMK_MUST_CHECK;
void emk_net_format(const emk_net *n, char out[EMK_NET_TEXT_MAX]);
/* The network of `bits` (at most the family's) around a. */
emk_net emk_net_of(const emk_address *a, unsigned bits);
bool emk_net_contains(const emk_net *n, const emk_address *a);
/* What stands for one customer of a network: /24 or /64. */
emk_net emk_net_of_client(const emk_address *a);

#endif
