#include "server/attest/tpm_wire.h"

#include "core/base/writer.h"
#include "core/crypto/rsa.h"

#define MAGIC         0xFF544347u /* TPM_GENERATED_VALUE */
#define DIGEST_MAX    64u
#define RSA_BITS_MIN  2048u
#define RSA_BITS_MAX  8192u
#define QUALIFIED_MAX EMK_TPM_NAME_MAX

/* A reader that keeps its first refusal, so that a parser reads as its schema. */
typedef struct wire {
    emk_reader r;
    emk_status status;
    const char *what;
    uint64_t where;
} wire;

static void begin(wire *w, emk_span in)
{
    *w = (wire){0};
    emk_reader_init(&w->r, in);
}

static void refuse(wire *w, emk_status st, const char *what, uint64_t where)
{
    if (w->status != EMK_OK || w->r.cut)
        return;
    w->status = st;
    w->what = what;
    w->where = where;
}

static emk_status finish(const wire *w, emk_error *e)
{
    if (w->status != EMK_OK)
        return emk_fail(e, w->status, w->what, w->where);
    if (w->r.cut)
        return emk_fail(e, EMK_E_FORMAT, "tpm: structure is cut short", w->r.pos);
    if (!emk_reader_at_end(&w->r))
        return emk_fail(e, EMK_E_FORMAT, "tpm: bytes behind the structure", w->r.pos);
    return EMK_OK;
}

/* TPM2B_* of at most max bytes. */
static emk_span read_sized(wire *w, size_t max, const char *what)
{
    uint16_t len = emk_read_u16be(&w->r);

    if (len > max)
        refuse(w, EMK_E_LIMIT, what, len);
    return emk_read_bytes(&w->r, w->status == EMK_OK ? len : 0);
}

bool emk_tpm_hash(uint16_t number, emk_digest_alg *alg)
{
    switch (number) {
    case EMK_TPM_ALG_SHA1:
        *alg = EMK_DIGEST_SHA1_LEGACY;
        return true;
    case EMK_TPM_ALG_SHA256:
        *alg = EMK_DIGEST_SHA256;
        return true;
    case EMK_TPM_ALG_SHA384:
        *alg = EMK_DIGEST_SHA384;
        return true;
    case EMK_TPM_ALG_SHA512:
        *alg = EMK_DIGEST_SHA512;
        return true;
    default:
        return false;
    }
}

static uint16_t read_hash(wire *w)
{
    uint16_t number = emk_read_u16be(&w->r);
    emk_digest_alg alg;

    if (!emk_tpm_hash(number, &alg))
        refuse(w, EMK_E_UNSUPPORTED, "tpm: hash algorithm", number);
    return number;
}

/* --- TPMT_PUBLIC ------------------------------------------------------------------------------ */

static void read_symmetric(wire *w, emk_tpm_public *p)
{
    uint16_t mode;

    p->symmetric = emk_read_u16be(&w->r);
    if (p->symmetric == EMK_TPM_ALG_NULL)
        return;
    p->symmetric_bits = emk_read_u16be(&w->r);
    mode = emk_read_u16be(&w->r);
    if (p->symmetric != EMK_TPM_ALG_AES || mode != EMK_TPM_ALG_CFB ||
        (p->symmetric_bits != 128 && p->symmetric_bits != 256))
        refuse(w, EMK_E_UNSUPPORTED, "tpm: symmetric algorithm of a key", p->symmetric);
}

static void read_scheme(wire *w, emk_tpm_public *p)
{
    bool rsa = p->type == EMK_TPM_ALG_RSA;

    p->scheme = emk_read_u16be(&w->r);
    p->scheme_hash = EMK_TPM_ALG_NULL;
    if (p->scheme == EMK_TPM_ALG_NULL)
        return;
    if (rsa ? p->scheme != EMK_TPM_ALG_RSASSA && p->scheme != EMK_TPM_ALG_RSAPSS
            : p->scheme != EMK_TPM_ALG_ECDSA)
        refuse(w, EMK_E_UNSUPPORTED, "tpm: scheme of a key", p->scheme);
    p->scheme_hash = read_hash(w);
}

static void read_rsa(wire *w, emk_tpm_public *p)
{
    uint16_t bits = emk_read_u16be(&w->r);

    p->exponent = emk_read_u32be(&w->r);
    if (p->exponent == 0)
        p->exponent = 65537;
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || bits % 8 != 0)
        refuse(w, EMK_E_LIMIT, "tpm: size of an RSA key", bits);
    p->n = read_sized(w, RSA_BITS_MAX / 8, "tpm: modulus");
    if (p->n.len != bits / 8u)
        refuse(w, EMK_E_FORMAT, "tpm: modulus is not as long as the key", p->n.len);
}

static size_t coordinate_len(uint16_t curve)
{
    return curve == EMK_TPM_CURVE_P256 ? 32 : curve == EMK_TPM_CURVE_P384 ? 48 : 0;
}

static void read_ecc(wire *w, emk_tpm_public *p)
{
    uint16_t kdf;

    p->curve = emk_read_u16be(&w->r);
    if (coordinate_len(p->curve) == 0)
        refuse(w, EMK_E_UNSUPPORTED, "tpm: curve", p->curve);
    kdf = emk_read_u16be(&w->r);
    if (kdf != EMK_TPM_ALG_NULL)
        refuse(w, EMK_E_UNSUPPORTED, "tpm: key derivation of a key", kdf);
    p->x = read_sized(w, coordinate_len(p->curve), "tpm: coordinate");
    p->y = read_sized(w, coordinate_len(p->curve), "tpm: coordinate");
    if (p->x.len == 0 || p->y.len == 0)
        refuse(w, EMK_E_FORMAT, "tpm: coordinate is empty", 0);
}

emk_status emk_tpm_public_read(emk_span in, emk_tpm_public *out, emk_error *e)
{
    emk_tpm_public p = {.raw = in};
    emk_status st;
    wire w;

    if (in.len > EMK_TPM_PUBLIC_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: public area", in.len);
    begin(&w, in);
    p.type = emk_read_u16be(&w.r);
    if (p.type != EMK_TPM_ALG_RSA && p.type != EMK_TPM_ALG_ECC)
        refuse(&w, EMK_E_UNSUPPORTED, "tpm: kind of object", p.type);
    p.name_alg = read_hash(&w);
    p.attributes = emk_read_u32be(&w.r);
    p.auth_policy = read_sized(&w, DIGEST_MAX, "tpm: policy");
    read_symmetric(&w, &p);
    read_scheme(&w, &p);
    if (p.type == EMK_TPM_ALG_RSA)
        read_rsa(&w, &p);
    else
        read_ecc(&w, &p);
    st = finish(&w, e);
    if (st == EMK_OK)
        *out = p;
    return st;
}

emk_status emk_tpm_public_name(const emk_crypto *c, const emk_tpm_public *pub, emk_tpm_name *out,
                               emk_error *e)
{
    emk_tpm_name name = {.bytes = {(uint8_t)(pub->name_alg >> 8), (uint8_t)pub->name_alg}};
    emk_digest_alg alg = EMK_DIGEST_SHA256;
    emk_status st;

    if (!emk_tpm_hash(pub->name_alg, &alg))
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm: hash algorithm", pub->name_alg);
    st = emk_digest(c, alg, &pub->raw, 1, name.bytes + 2, e);
    if (st != EMK_OK)
        return st;
    name.len = 2 + emk_digest_len(alg);
    *out = name;
    return EMK_OK;
}

static emk_status rsa_spki(const emk_crypto *c, const emk_tpm_public *pub, uint8_t *out,
                           size_t *len, emk_error *e)
{
    uint8_t exponent[4] = {(uint8_t)(pub->exponent >> 24), (uint8_t)(pub->exponent >> 16),
                           (uint8_t)(pub->exponent >> 8), (uint8_t)pub->exponent};
    emk_rsa_public *key = NULL;
    emk_status st;

    /* A key whose first byte is zero is shorter than it says. */
    if (pub->n.p[0] == 0)
        return emk_fail(e, EMK_E_FORMAT, "tpm: modulus begins with zero", 0);
    st = emk_rsa_public_new(c, pub->n, emk_span_of(exponent, sizeof exponent), &key, e);
    if (st == EMK_OK)
        st = emk_rsa_public_to_spki(key, out, len, e);
    emk_rsa_public_free(key);
    return st;
}

static const uint8_t SPKI_P256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t SPKI_P384[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                    0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};

static void put_padded(emk_writer *w, emk_span v, size_t len)
{
    for (size_t i = v.len; i < len; i++)
        emk_write_u8(w, 0);
    emk_write_bytes(w, v);
}

emk_status emk_tpm_public_spki(const emk_crypto *c, const emk_tpm_public *pub,
                               uint8_t out[EMK_TPM_SPKI_MAX], size_t *len, emk_error *e)
{
    emk_writer w;

    if (pub->type == EMK_TPM_ALG_RSA)
        return rsa_spki(c, pub, out, len, e);
    emk_writer_init(&w, out, EMK_TPM_SPKI_MAX);
    if (pub->curve == EMK_TPM_CURVE_P256)
        emk_write_bytes(&w, emk_span_of(SPKI_P256, sizeof SPKI_P256));
    else
        emk_write_bytes(&w, emk_span_of(SPKI_P384, sizeof SPKI_P384));
    put_padded(&w, pub->x, coordinate_len(pub->curve));
    put_padded(&w, pub->y, coordinate_len(pub->curve));
    *len = w.pos;
    return EMK_OK;
}

/* --- TPMS_ATTEST ------------------------------------------------------------------------------ */

static void read_selection(wire *w, emk_tpm_pcrs *out)
{
    uint32_t n = emk_read_u32be(&w->r);

    if (n > EMK_TPM_BANKS_MAX)
        refuse(w, EMK_E_LIMIT, "tpm: PCR banks", n);
    for (uint32_t i = 0; w->status == EMK_OK && i < n; i++) {
        uint8_t len;

        out->banks[i].hash = read_hash(w);
        len = emk_read_u8(&w->r);
        if (len > EMK_TPM_SELECT_MAX)
            refuse(w, EMK_E_LIMIT, "tpm: PCR bitmap", len);
        for (uint8_t j = 0; w->status == EMK_OK && j < len; j++)
            out->banks[i].pcrs |= (uint32_t)emk_read_u8(&w->r) << 8 * j;
        for (uint32_t j = 0; j < i; j++)
            if (out->banks[j].hash == out->banks[i].hash)
                refuse(w, EMK_E_FORMAT, "tpm: PCR bank comes twice", out->banks[i].hash);
    }
    out->n = n;
}

static void read_clock(wire *w, emk_tpm_attest *a)
{
    uint8_t safe;

    a->clock = emk_read_u64be(&w->r);
    a->reset_count = emk_read_u32be(&w->r);
    a->restart_count = emk_read_u32be(&w->r);
    safe = emk_read_u8(&w->r);
    if (safe > 1)
        refuse(w, EMK_E_FORMAT, "tpm: clockInfo.safe", safe);
    a->safe = safe == 1;
    a->firmware = emk_read_u64be(&w->r);
}

static void read_attested(wire *w, emk_tpm_attest *a)
{
    switch (a->type) {
    case EMK_TPM_ST_QUOTE:
        read_selection(w, &a->selection);
        a->pcr_digest = read_sized(w, DIGEST_MAX, "tpm: PCR digest");
        break;
    case EMK_TPM_ST_CERTIFY:
        a->name = read_sized(w, EMK_TPM_NAME_MAX, "tpm: name");
        (void)read_sized(w, QUALIFIED_MAX, "tpm: qualified name");
        break;
    default: /* creation: the only other that is let through */
        a->name = read_sized(w, EMK_TPM_NAME_MAX, "tpm: name");
        a->creation_hash = read_sized(w, DIGEST_MAX, "tpm: creation hash");
    }
}

emk_status emk_tpm_attest_read(emk_span in, emk_tpm_attest *out, emk_error *e)
{
    emk_tpm_attest a = {0};
    emk_status st;
    wire w;

    if (in.len > EMK_TPM_ATTEST_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: attested structure", in.len);
    begin(&w, in);
    if (emk_read_u32be(&w.r) != MAGIC)
        refuse(&w, EMK_E_FORMAT, "tpm: magic number", 0);
    a.type = emk_read_u16be(&w.r);
    if (a.type != EMK_TPM_ST_QUOTE && a.type != EMK_TPM_ST_CERTIFY && a.type != EMK_TPM_ST_CREATION)
        refuse(&w, EMK_E_UNSUPPORTED, "tpm: kind of attestation", a.type);
    (void)read_sized(&w, QUALIFIED_MAX, "tpm: qualified signer"); /* not the Name: proves little */
    a.extra = read_sized(&w, EMK_TPM_EXTRA_MAX, "tpm: extraData");
    read_clock(&w, &a);
    if (w.status == EMK_OK)
        read_attested(&w, &a);
    st = finish(&w, e);
    if (st == EMK_OK)
        *out = a;
    return st;
}

/* --- TPMT_SIGNATURE --------------------------------------------------------------------------- */

emk_status emk_tpm_sig_read(emk_span in, emk_tpm_sig *out, emk_error *e)
{
    emk_tpm_sig s = {0};
    emk_status st;
    wire w;

    if (in.len > EMK_TPM_SIG_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: signature", in.len);
    begin(&w, in);
    s.scheme = emk_read_u16be(&w.r);
    if (s.scheme != EMK_TPM_ALG_RSASSA && s.scheme != EMK_TPM_ALG_RSAPSS &&
        s.scheme != EMK_TPM_ALG_ECDSA)
        refuse(&w, EMK_E_UNSUPPORTED, "tpm: scheme of a signature", s.scheme);
    s.hash = read_hash(&w);
    if (s.scheme == EMK_TPM_ALG_ECDSA) {
        s.r = read_sized(&w, EMK_TPM_ECC_MAX, "tpm: r");
        s.s = read_sized(&w, EMK_TPM_ECC_MAX, "tpm: s");
    } else {
        s.rsa = read_sized(&w, EMK_RSA_MODULUS_MAX, "tpm: RSA signature");
    }
    st = finish(&w, e);
    if (st == EMK_OK)
        *out = s;
    return st;
}
