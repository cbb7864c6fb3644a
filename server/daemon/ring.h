/* The issuer's keys over time, in the file `issuers` beside the key files, and between keyholder
 * and HTTP process.  [docs/operate/keys.md]
 *
 *     version 1, number of keys 1, then for each: flags 1 (1: retired), since 8,
 *     public key (length 2, bytes), certificate by the key before (length 2, bytes)
 *
 * numbers big-endian, oldest first.  The file says what was; which key signs is in issuer.key.  It
 * is written first, and what lies behind the key that signs was never used. */
#ifndef EMK_SERVER_DAEMON_RING_H
#define EMK_SERVER_DAEMON_RING_H

#include "core/base/buf.h"
#include "core/base/writer.h"
#include "core/crypto/hash.h"
#include "server/api/issuers.h"

#define EMK_RING_FILE "issuers"
#define EMK_RING_MAX  8192u /* bytes */

void emk_ring_put(const emk_issuers *ring, emk_writer *w);
/* Fills what a ring says; keys are not parsed.  EMK_E_FORMAT. */
emk_status emk_ring_take(emk_span in, emk_issuers *out, emk_error *e) EMK_MUST_CHECK;

/* Reads the ring of a folder up to the key that signs; without a file, or where that key is in
 * none, there is that key alone. */
emk_status emk_ring_read(const char *dir, emk_span signing, emk_issuers *out,
                         emk_error *e) EMK_MUST_CHECK;
/* Fills SHA-256 of the file, zeros where there is none: whether somebody else has written it. */
emk_status emk_ring_digest(const emk_crypto *c, const char *dir, uint8_t out[EMK_SHA256_LEN],
                           emk_error *e) EMK_MUST_CHECK;
emk_status emk_ring_write(const char *dir, const emk_issuers *ring, emk_error *e) EMK_MUST_CHECK;
/* Appends a key; the oldest goes when there is no room. */
void emk_ring_add(emk_issuers *ring, const emk_issuer_key *key);
/* The place of the key with that id, or `n`. */
size_t emk_ring_find(const emk_crypto *c, const emk_issuers *ring,
                     const uint8_t kid[EMK_COSE_KID_LEN]);

#endif
