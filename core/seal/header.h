/* Preamble and header of both layers.  [container 3] */
#ifndef EMK_CORE_SEAL_HEADER_H
#define EMK_CORE_SEAL_HEADER_H

#include "core/seal/certificate.h"
#include "core/seal/policy.h"
#include "core/seal/recipient.h"

#define EMK_PREAMBLE_LEN    16u
#define EMK_HEADER_MAX      65536u
#define EMK_CHUNK_LEN       65536u
#define EMK_SEGMENT_LEN     1048576u
#define EMK_MODEL_LEN_MAX   (UINT64_C(1) << 38)
#define EMK_SEALED_PART_MAX 8388608u

/* Content algorithms.  [container 3.2] */
#define EMK_CONTENT_FILE_AES       (-65601)
#define EMK_CONTENT_FILE_CHACHA    (-65602)
#define EMK_CONTENT_WEIGHTS_AES    (-65603)
#define EMK_CONTENT_WEIGHTS_CHACHA (-65604)

/* The core map.  Spans are borrowed. */
typedef struct emk_core {
    emk_layer layer;
    uint8_t file_id[EMK_ID_LEN];
    int64_t content_alg;
    uint64_t plain_len;
    emk_hpke_suite suite;
    uint64_t mode;
    uint8_t signer[EMK_COSE_KID_LEN];
    emk_span certificate; /* empty: the issuer itself signed */
    uint64_t created_day;
    emk_span lease_key;                 /* weights layer under a lease, else empty */
    uint8_t request_hash[EMK_HASH_LEN]; /* file layer */
    uint8_t ticket_id[EMK_ID_LEN];      /* weights layer, as all below */
    uint8_t ticket_hash[EMK_HASH_LEN];
    emk_span policy;
    uint64_t sealed_part_len;
    uint8_t sealed_part_hash[EMK_HASH_LEN];
} emk_core;

/* The AEAD behind a content algorithm of this layer; 0 for none. */
uint16_t emk_content_aead(emk_layer layer, int64_t content_alg);

/* Makes preamble and header: appends them to out and fills hh; seals a CEK to `to`.
 * core->suite, mode and signer are filled in here.  Statuses of what it calls. */
typedef struct emk_header_in {
    emk_core core;
    const emk_signer *signer;
    emk_agree_key to;
    const uint8_t *cek; /* EMK_CEK_LEN bytes */
} emk_header_in;
emk_status emk_header_make(const emk_crypto *c, const emk_header_in *in, emk_buf *out,
                           uint8_t hh[EMK_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

/* Which check refused.  Outside all of them are one error [container 1.5]; tests must know
 * that the right one noticed.  Only tests pass a place for it. */
typedef enum emk_noticed {
    EMK_NOTICED_NOTHING = 0,
    EMK_NOTICED_PREAMBLE,
    EMK_NOTICED_CBOR,
    EMK_NOTICED_SIGNATURE,
    EMK_NOTICED_RECIPIENT,
    EMK_NOTICED_HPKE,
    EMK_NOTICED_COMMIT,
    EMK_NOTICED_CHUNK,
    EMK_NOTICED_LENGTH,
    EMK_NOTICED_REGION,
    EMK_NOTICED_DIGEST,
    EMK_NOTICED_BINDING,
    EMK_NOTICED_UNSUPPORTED
} emk_noticed;

/* Notes the first failure (noticed may be NULL) and returns st. */
emk_status emk_notice(emk_noticed *noticed, emk_noticed what, emk_status st);

/* A parsed header; spans point into what was parsed. */
typedef struct emk_header {
    emk_span bytes; /* preamble and header */
    emk_cose cose;
    emk_core core;
    uint8_t core_hash[EMK_HASH_LEN];
    size_t n_recipients;
    emk_recipient recipients[EMK_RECIPIENTS_MAX];
    emk_noticed noticed; /* filled on failure: which check */
} emk_header;

/* Reads the 16 bytes of a preamble and tells the header's length.  EMK_E_FORMAT or
 * EMK_E_UNSUPPORTED (a later version). */
emk_status emk_preamble_read(const uint8_t preamble[EMK_PREAMBLE_LEN], emk_layer want,
                             uint32_t *header_len, emk_error *e) EMK_MUST_CHECK;

/* Parses preamble and header, exactly `in`.  Nothing is verified yet. */
emk_status emk_header_parse(const emk_crypto *c, emk_span in, emk_layer want, emk_header *out,
                            emk_error *e) EMK_MUST_CHECK;

/* Verifies the chain and the signature; fills hh.  EMK_E_SIGNATURE. */
emk_status emk_header_verify(const emk_crypto *c, const emk_header *h, const emk_verify_key *issuer,
                             uint64_t now, uint8_t hh[EMK_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

/* The one text for everything that does not open. */
emk_status emk_fail_sealed(emk_error *e);

/* Opens an envelope with a key and derives the layer's keys; compares commit.  Everything
 * that can go wrong with the bytes is one EMK_E_SEALED. */
typedef struct emk_unseal_in {
    emk_layer layer;
    const emk_recipient *recipients;
    size_t n_recipients;
    const emk_kem_private *key;
    emk_envelope_context context;
    const uint8_t *hh;     /* EMK_HASH_LEN bytes, or vhh */
    const uint8_t *commit; /* EMK_COMMIT_LEN bytes */
    uint8_t *cek;          /* NULL, or secret memory that gets the CEK (EMK_CEK_LEN bytes) */
    emk_noticed *noticed;  /* tests only; else NULL */
} emk_unseal_in;
emk_status emk_unseal(const emk_crypto *c, const emk_unseal_in *in, emk_schedule *out,
                      emk_error *e) EMK_MUST_CHECK;

#endif
