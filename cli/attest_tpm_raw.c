#include "cli/attest_tpm_raw.h"

#include "core/base/writer.h"
#include "core/codec/base64.h"
#include "core/codec/der.h"
#include "server/attest/tpm_wire.h"

#include <string.h>

#define KEY_TEXT_MAX 4096u

uint16_t emk_tpm_raw_hash(emk_span name)
{
    static const struct {
        const char *name;
        uint16_t number;
    } ROWS[] = {
        {"sha1", EMK_TPM_ALG_SHA1},     {"SHA1", EMK_TPM_ALG_SHA1},
        {"sha256", EMK_TPM_ALG_SHA256}, {"SHA256", EMK_TPM_ALG_SHA256},
        {"sha384", EMK_TPM_ALG_SHA384}, {"SHA384", EMK_TPM_ALG_SHA384},
        {"sha512", EMK_TPM_ALG_SHA512}, {"SHA512", EMK_TPM_ALG_SHA512},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (emk_span_equal(name, emk_span_str(ROWS[i].name)))
            return ROWS[i].number;
    return 0;
}

bool emk_tpm_raw_key(emk_span pem, uint8_t *out, size_t cap, size_t *len)
{
    static const char BEGIN[] = "-----BEGIN PUBLIC KEY-----";
    uint8_t text[KEY_TEXT_MAX];
    size_t n = 0, at = sizeof BEGIN - 1;

    if (pem.len < at || memcmp(pem.p, BEGIN, at) != 0)
        return false;
    for (; at < pem.len && pem.p[at] != '-' && n < sizeof text; at++)
        if (pem.p[at] != '\n' && pem.p[at] != '\r')
            text[n++] = pem.p[at];
    return emk_base64_decode(emk_span_of(text, n), out, cap, len, NULL) == EMK_OK && *len > 0;
}

bool emk_tpm_raw_has_head(emk_span sig)
{
    return sig.len > 6 && sig.p[0] == 0 && sig.p[2] == 0 &&
           (sig.p[1] == EMK_TPM_ALG_RSASSA || sig.p[1] == EMK_TPM_ALG_RSAPSS ||
            sig.p[1] == EMK_TPM_ALG_ECDSA);
}

static void put_sized(emk_writer *w, emk_span v)
{
    while (v.len > 0 && v.p[0] == 0)
        v = emk_span_of(v.p + 1, v.len - 1);
    emk_write_u16be(w, (uint16_t)v.len);
    emk_write_bytes(w, v);
}

size_t emk_tpm_raw_wrap(uint16_t hash, emk_span sig, uint8_t *out)
{
    emk_writer w;
    emk_der d, in;
    emk_span r, s;
    bool ecdsa;

    emk_der_init(&d, sig);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    r = emk_der_read_integer(&in);
    s = emk_der_read_integer(&in);
    emk_der_leave(&d, &in);
    ecdsa = emk_der_finish(&d, NULL) == EMK_OK;
    emk_writer_init(&w, out, sig.len + EMK_TPM_RAW_HEAD);
    emk_write_u16be(&w, ecdsa ? EMK_TPM_ALG_ECDSA : EMK_TPM_ALG_RSASSA);
    emk_write_u16be(&w, hash);
    put_sized(&w, ecdsa ? r : sig);
    if (ecdsa)
        put_sized(&w, s);
    return w.pos;
}
