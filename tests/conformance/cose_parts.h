/* COSE messages in pieces, as the vectors need them.  [RFC 9052]  Broader than the closed
 * profile of core/seal/cose.h: header parameters may be missing, in either map, or unknown. */
#ifndef EMK_TESTS_CONFORMANCE_COSE_PARTS_H
#define EMK_TESTS_CONFORMANCE_COSE_PARTS_H

#include "core/codec/cbor.h"
#include "tests/conformance/vec.h"

#define EMK_COSE_TAG_ENCRYPT0 16u
#define EMK_COSE_TAG_MAC0     17u
#define EMK_COSE_TAG_SIGN1    18u
#define EMK_COSE_TAG_ENCRYPT  96u
#define EMK_COSE_TAG_MAC      97u
#define EMK_COSE_TAG_SIGN     98u

#define EMK_COSE_HPKE_EK     (-4)
#define EMK_COSE_HPKE_PSK_ID (-5)

/* The parameters of both maps of one layer. */
typedef struct emk_cose_head {
    emk_span protected_bytes; /* as signed: the empty string also for an empty map */
    bool has_alg, has_crit;
    int64_t alg; /* 0 where it is a text: no such algorithm */
    emk_span kid, iv, ek, psk_id;
} emk_cose_head;

/* A layer: its head, then its content (payload, ciphertext), NULL p where that is nil. */
typedef struct emk_cose_layer {
    emk_cose_head head;
    emk_span content;
} emk_cose_layer;

/* Passes over the tag, where there is one, which must be `want`. */
void emk_cose_enter(emk_cbor_reader *c, uint64_t want);

/* Reads protected, unprotected and content, the array being open. */
void emk_cose_read_layer(emk_cbor_reader *c, emk_cose_layer *out);

/* Lends the deterministic array of what is not NULL in `in`: the strings that are signed,
 * encrypted along, or authenticated. */
typedef struct emk_cose_structure {
    const char *context;
    const emk_span *parts; /* byte strings */
    size_t n;
} emk_cose_structure;
emk_span emk_cose_structure_bytes(emk_vec *v, const emk_cose_structure *in);

#endif
