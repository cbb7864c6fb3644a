/* SipHash-2-4 with 128 bits of output: a hash for tables that an attacker fills, keyed so that
 * he cannot choose keys that meet.  [SipHash, Aumasson and Bernstein 2012]  No MAC for messages:
 * that is in core/crypto. */
#ifndef EMK_SERVER_STORE_SIPHASH_H
#define EMK_SERVER_STORE_SIPHASH_H

#include "core/base/span.h"

#define EMK_SIPHASH_LEN 16u

/* Hashes the parts one after the other, as if they were one string.  Fills out. */
void emk_siphash(const uint8_t key[16], const emk_span *parts, size_t n_parts,
                 uint8_t out[EMK_SIPHASH_LEN]);

#endif
