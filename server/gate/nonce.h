/* Nonces that the server hands out and needs not remember: the number of a time span and a MAC.
 *
 * A request nonce belongs to one device and to the span of five minutes in which it was made; it
 * is taken in that span and the next (and in the one before, for a node whose clock is behind),
 * so between five and ten minutes.  That makes a request
 * fresh without the device's clock; that it is new, the replay window says.
 *
 * A challenge is the same with 16 random bytes in it, for enrolment, where there is no device
 * yet.  That it is used once, its taker sees to (server/store counters: once).
 *
 * All nodes of one server share the key.  Thread rule: shared by all threads. */
#ifndef EMK_SERVER_GATE_NONCE_H
#define EMK_SERVER_GATE_NONCE_H

#include "core/crypto/crypto.h"

#define EMK_NONCE_EPOCH_S   300u
#define EMK_NONCE_LEN       20u /* epoch (4) || MAC (16) */
#define EMK_NONCE_CHARS     27u
#define EMK_CHALLENGE_LEN   36u /* epoch (4) || random (16) || MAC (16) */
#define EMK_CHALLENGE_CHARS 48u
#define EMK_NONCE_KEY_LEN   32u

typedef struct emk_nonces emk_nonces;

/* Gives the maker and checker of nonces; free with emk_nonces_free.  Borrows the 32 bytes of key,
 * keeps c.  EMK_E_USAGE for another length; EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_nonces_new(const emk_crypto *c, emk_span key, emk_nonces **out,
                          emk_error *e) EMK_MUST_CHECK;
/* Wipes and frees. */
void emk_nonces_free(emk_nonces *n);

/* Fills text (with a zero) with the nonce of `subject`, a device id, in the span of now_s.
 * EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_nonce_make(const emk_nonces *n, emk_span subject, uint64_t now_s,
                          char text[EMK_NONCE_CHARS + 1], emk_error *e) EMK_MUST_CHECK;
/* EMK_OK, EMK_E_FORMAT, EMK_E_STALE for one that was right and is over, EMK_E_SIGNATURE for one
 * that we never made for this subject; EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_nonce_verify(const emk_nonces *n, emk_span subject, emk_span text, uint64_t now_s,
                            emk_error *e) EMK_MUST_CHECK;

/* Fills a fresh challenge.  Statuses as above. */
emk_status emk_challenge_make(const emk_nonces *n, uint64_t now_s, uint8_t out[EMK_CHALLENGE_LEN],
                              emk_error *e) EMK_MUST_CHECK;
emk_status emk_challenge_verify(const emk_nonces *n, emk_span challenge, uint64_t now_s,
                                emk_error *e) EMK_MUST_CHECK;
/* Seconds until a challenge made at now_s is certainly taken no more: how long `once` must know
 * it. */
#define EMK_CHALLENGE_LIFE_S (3u * EMK_NONCE_EPOCH_S)

#endif
