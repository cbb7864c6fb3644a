/* What is taken for a signed object has one encoding, and nobody's signature. */
#include "core/codec/cbor.h"
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static bool is_encoding_of(const emk_cose *o, emk_span in)
{
    static uint8_t space[EMK_HEADER_MAX];
    emk_writer w;

    emk_writer_init(&w, space, sizeof space);
    emk_cbor_put_tag(&w, 18);
    emk_cbor_put_array(&w, 4);
    emk_cbor_put_bytes(&w, o->protected_bytes);
    emk_cbor_put_map(&w, 0);
    emk_cbor_put_bytes(&w, o->payload);
    emk_cbor_put_bytes(&w, o->signature);
    return emk_span_equal(emk_writer_span(&w), in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seal_world *w = seal_world_get();
    emk_span in = emk_span_of(data, size);
    int taken = 0;

    if (size > EMK_HEADER_MAX / 2)
        return 0;
    for (int type = EMK_COSE_FILE_HEADER; type <= EMK_COSE_RECEIPT; type++) {
        emk_sealing_certificate cert;
        emk_cose o;

        if (emk_cose_parse(in, (emk_cose_type)type, &o, NULL) != EMK_OK)
            continue;
        taken++;
        must(is_encoding_of(&o, in), "one encoding");
        (void)!emk_cose_verify(w->crypto, &o, emk_span_of("", 0), w->issuer_public, NULL, NULL);
        (void)!emk_sealing_certificate_verify(w->crypto, in, w->issuer_public, &cert, NULL);
    }
    must(taken <= 1, "an object of two types");
    return 0;
}
