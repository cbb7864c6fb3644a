/* One worker's tools: it seals and opens single segments and chunks.  One object, one
 * thread.  [container 5, 6.1] */
#ifndef EMK_CORE_SEAL_SEGMENT_H
#define EMK_CORE_SEAL_SEGMENT_H

#include "core/seal/layout.h"

/* Seals or opens the segments of one weights layer; keeps the key of the last region. */
typedef struct emk_segment_cipher {
    const emk_schedule *schedule; /* borrowed */
    emk_aead *aead;
    uint32_t region; /* whose key is set; UINT32_MAX: none */
} emk_segment_cipher;

/* aead: EMK_AEAD_...  End with emk_segment_cipher_done. */
emk_status emk_segment_cipher_init(emk_segment_cipher *sc, const emk_schedule *schedule,
                                   uint16_t aead, emk_error *e) EMK_MUST_CHECK;
void emk_segment_cipher_done(emk_segment_cipher *sc);

/* Fills cipher (seg->len bytes; may be plain) and tag. */
emk_status emk_segment_seal(emk_segment_cipher *sc, const emk_segment *seg, const uint8_t *plain,
                            uint8_t *cipher, uint8_t tag[EMK_AEAD_TAG_LEN],
                            emk_error *e) EMK_MUST_CHECK;

/* Fills only the first `len` bytes of cipher.  See emk_aead_seal_prefix. */
emk_status emk_segment_seal_prefix(emk_segment_cipher *sc, const emk_segment *seg,
                                   const uint8_t *plain, uint8_t *cipher, size_t len,
                                   emk_error *e) EMK_MUST_CHECK;

/* The reverse; EMK_E_SEALED, then plain is zeroed.  plain may be cipher. */
emk_status emk_segment_open(emk_segment_cipher *sc, const emk_segment *seg, const uint8_t *cipher,
                            const uint8_t tag[EMK_AEAD_TAG_LEN], uint8_t *plain,
                            emk_error *e) EMK_MUST_CHECK;
/* The same of a part of it; verifies the whole.  EMK_E_USAGE for a part that is not in the
 * segment. */
emk_status emk_segment_open_part(emk_segment_cipher *sc, const emk_segment *seg,
                                 const uint8_t *cipher, const emk_aead_part *part,
                                 emk_error *e) EMK_MUST_CHECK;

/* The whole sealed part, which is region 0: `len` bytes of plaintext, and as it is stored,
 * each segment with its tag behind it (emk_sealed_part_stored bytes).  Opening checks the
 * plaintext against `hash` too: EMK_E_SEALED, noticed as a region or a digest. */
typedef struct emk_sealed_part {
    const emk_schedule *schedule;
    uint16_t aead;
    uint64_t len;
    const uint8_t *hash;  /* EMK_HASH_LEN bytes; opening only */
    emk_noticed *noticed; /* tests only; else NULL */
} emk_sealed_part;
emk_status emk_sealed_part_seal(const emk_sealed_part *p, const uint8_t *plain, uint8_t *stored,
                                emk_error *e) EMK_MUST_CHECK;
emk_status emk_sealed_part_open(const emk_sealed_part *p, const uint8_t *stored, uint8_t *plain,
                                emk_error *e) EMK_MUST_CHECK;

/* Chunks of the file layer. */
typedef struct emk_chunk_cipher {
    emk_aead *aead;
    uint64_t plain_len; /* of the whole layer */
} emk_chunk_cipher;

emk_status emk_chunk_cipher_init(emk_chunk_cipher *cc, const emk_schedule *schedule, uint16_t aead,
                                 uint64_t plain_len, emk_error *e) EMK_MUST_CHECK;
void emk_chunk_cipher_done(emk_chunk_cipher *cc);

uint64_t emk_chunks_of(uint64_t plain_len);
/* Bytes of plaintext in chunk number i (< emk_chunks_of). */
size_t emk_chunk_len(uint64_t plain_len, uint64_t i);

/* out gets emk_chunk_len + 16 bytes. */
emk_status emk_chunk_seal(emk_chunk_cipher *cc, uint64_t i, const uint8_t *plain, uint8_t *out,
                          emk_error *e) EMK_MUST_CHECK;
/* in has emk_chunk_len + 16 bytes, out gets emk_chunk_len.  EMK_E_SEALED. */
emk_status emk_chunk_open(emk_chunk_cipher *cc, uint64_t i, const uint8_t *in, uint8_t *out,
                          emk_error *e) EMK_MUST_CHECK;

#endif
