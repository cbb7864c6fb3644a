/* What was found true once and cannot become untrue: that these bytes were signed by that key, that
 * a download was let begin, and what a public key is as an object that verifies.  Names are hashes
 * over all that the truth depends on, so nothing here has to be forgotten when a device is revoked
 * or a key changes: whether somebody is still welcome is asked elsewhere, each time.
 *
 * A table of fixed size in sets of four; a full set gives up what was not used for longest.  Only
 * what was verified gets in, so a stranger cannot push anybody out.
 *
 * Thread rule: shared by all threads; a key that was lent stays until it is given back. */
#ifndef EMK_SERVER_GATE_KNOWN_H
#define EMK_SERVER_GATE_KNOWN_H

#include "core/crypto/sign.h"

#define EMK_KNOWN_NAME_LEN 32u

typedef struct emk_known emk_known;

/* Gives an empty table of at least n things; free with emk_known_free, when nothing is lent.
 * Keeps c.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_known_new(const emk_crypto *c, uint32_t n, emk_known **out,
                         emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_known_free(emk_known *k);

/* Whether `name`, a SHA-256, was kept.  What could not be kept is found out again. */
bool emk_known_has(emk_known *k, const uint8_t name[EMK_KNOWN_NAME_LEN]);
void emk_known_keep(emk_known *k, const uint8_t name[EMK_KNOWN_NAME_LEN]);

typedef struct emk_known_key emk_known_key;

/* Lends the key of these public bytes, made now or before, until emk_known_give.  What
 * emk_verify_key_new says. */
emk_status emk_known_lend(emk_known *k, emk_sign_alg alg, emk_span pub, emk_known_key **out,
                          emk_error *e) EMK_MUST_CHECK;
const emk_verify_key *emk_known_verifies(const emk_known_key *key);
/* NULL is fine. */
void emk_known_give(emk_known *k, emk_known_key *key);

#endif
