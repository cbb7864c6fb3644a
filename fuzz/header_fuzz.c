/* First byte: the layer, and whether the rest is a header as it stands or only its payload,
 * which is signed here so that what lies behind the signature is reached too. */
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static void open_with(seal_world *w, const emk_header *h, const uint8_t *hh, emk_kem_private *key)
{
    static const uint8_t commit[EMK_COMMIT_LEN];
    emk_unseal_in in = {.layer = h->core.layer,
                        .recipients = h->recipients,
                        .n_recipients = h->n_recipients,
                        .key = key,
                        .hh = hh,
                        .commit = commit};
    emk_schedule keys;

    in.context = (emk_envelope_context){.content_alg = h->core.content_alg,
                                        .extra = h->core_hash,
                                        .hint = h->core.layer == EMK_LAYER_WEIGHTS};
    must(emk_unseal(w->crypto, &in, &keys, NULL) != EMK_OK, "zeros are a commitment");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_header h;
    seal_world *w = seal_world_get();
    emk_layer layer = size && data[0] & 1 ? EMK_LAYER_WEIGHTS : EMK_LAYER_FILE;
    bool sign = size && data[0] & 2;
    emk_buf made = {0};
    uint8_t hh[32];
    emk_span in;

    if (size < 1 || size > EMK_HEADER_MAX)
        return 0;
    in = emk_span_of(data + 1, size - 1);
    if (sign)
        seal_header(w, layer, in, &made);
    if (emk_header_parse(w->crypto, sign ? emk_buf_span(&made) : in, layer, &h, NULL) == EMK_OK) {
        must(h.n_recipients >= 1 && h.n_recipients <= EMK_RECIPIENTS_MAX, "recipients");
        must(emk_content_aead(layer, h.core.content_alg) != 0, "content algorithm");
        if (emk_header_verify(w->crypto, &h, w->issuer_public, SEAL_NOW, hh, NULL) == EMK_OK) {
            open_with(w, &h, hh, w->device_key);
            open_with(w, &h, hh, w->request_key);
        }
    }
    emk_buf_done(&made);
    return 0;
}
