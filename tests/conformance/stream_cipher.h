/* STREAM: a message in chunks, each sealed with a nonce made of its number and a mark on the
 * last one.  [Hoang, Reyhanitabar, Rogaway, Vizar 2015]  The layouts are those of age and of
 * Tink; the container has its own, so this is only here, for the vectors. */
#ifndef EMK_TESTS_CONFORMANCE_STREAM_CIPHER_H
#define EMK_TESTS_CONFORMANCE_STREAM_CIPHER_H

#include "core/crypto/aead.h"

typedef struct emk_stream {
    uint16_t aead;
    emk_span key;    /* emk_aead_key_len(aead) bytes */
    emk_span prefix; /* 0 bytes: an 11-byte counter follows; 7 bytes: a 4-byte one */
    size_t chunk;    /* plain bytes of a full chunk, at least 1 */
} emk_stream;

/* Bytes that sealing len bytes makes. */
size_t emk_stream_sealed_len(const emk_stream *s, size_t len);

/* Fills out with emk_stream_sealed_len bytes.  The statuses of emk_aead. */
emk_status emk_stream_seal(const emk_crypto *c, const emk_stream *s, emk_span plain, uint8_t *out,
                           emk_error *e) EMK_MUST_CHECK;

/* Fills out (room for sealed.len bytes) chunk by chunk, *released counts what was let out also
 * on failure: EMK_E_FORMAT for a wrong cutting, EMK_E_SEALED for a wrong chunk. */
emk_status emk_stream_open(const emk_crypto *c, const emk_stream *s, emk_span sealed, uint8_t *out,
                           size_t *released, emk_error *e) EMK_MUST_CHECK;

#endif
