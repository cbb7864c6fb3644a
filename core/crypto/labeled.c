#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/crypto/hash.h"
#include "core/crypto/internal.h"
#include "core/crypto/kdf.h"
#include "core/crypto/kem.h"

static const char VERSION[] = "HPKE-v1";

void emk_labeled_init_kem(emk_labeled *l, const emk_crypto *c, uint16_t kem)
{
    *l = (emk_labeled){.c = c, .suite = {'K', 'E', 'M'}, .suite_len = 5};
    emk_store_u16be(l->suite + 3, kem);
}

void emk_labeled_init_hpke(emk_labeled *l, const emk_crypto *c, const uint16_t ids[3])
{
    *l = (emk_labeled){.c = c, .suite = {'H', 'P', 'K', 'E'}, .suite_len = 10};
    for (size_t i = 0; i < 3; i++)
        emk_store_u16be(l->suite + 4 + 2 * i, ids[i]);
}

emk_status emk_labeled_extract(const emk_labeled *l, emk_span salt, emk_label label,
                               uint8_t prk[32], emk_error *e)
{
    const emk_span v[] = {emk_span_str(VERSION), emk_span_of(l->suite, l->suite_len),
                          emk_span_str(label.text), label.rest};

    return emk_hkdf_extract_parts(l->c, salt, (emk_kdf_parts){v, sizeof v / sizeof v[0]}, prk, e);
}

emk_status emk_labeled_expand(const emk_labeled *l, const uint8_t prk[32], emk_label label,
                              uint8_t *out, size_t len, emk_error *e)
{
    uint8_t prefix[2];
    const emk_span v[] = {emk_span_of(prefix, sizeof prefix), emk_span_str(VERSION),
                          emk_span_of(l->suite, l->suite_len), emk_span_str(label.text),
                          label.rest};

    if (len > EMK_HKDF_OUT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "hpke: output length", len);
    emk_store_u16be(prefix, (uint16_t)len);
    return emk_hkdf_expand_parts(l->c, prk, (emk_kdf_parts){v, sizeof v / sizeof v[0]}, out, len,
                                 e);
}

emk_status emk_labeled_derive(const emk_labeled *l, emk_span ikm, const char *label, uint8_t *out,
                              size_t len, emk_error *e)
{
    uint8_t in[EMK_KEM_IKM_MAX + 64];
    emk_span name = emk_span_str(label);
    emk_writer w;
    emk_status st;

    emk_writer_init(&w, in, sizeof in);
    emk_write_bytes(&w, ikm);
    emk_write_bytes(&w, emk_span_str(VERSION));
    emk_write_bytes(&w, emk_span_of(l->suite, l->suite_len));
    emk_write_u16be(&w, (uint16_t)name.len);
    emk_write_bytes(&w, name);
    emk_write_u16be(&w, (uint16_t)len);
    if (w.full)
        st = emk_fail(e, EMK_E_LIMIT, "hpke: key material", ikm.len);
    else
        st = emk_shake256(l->c, emk_writer_span(&w), out, len, e);
    emk_wipe(in, sizeof in);
    return st;
}
