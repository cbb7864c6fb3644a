#include "server/attest/tpm_credential.h"

#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/crypto/cfb.h"
#include "core/crypto/dh.h"
#include "core/crypto/random.h"
#include "core/crypto/rsa.h"

#define IDENTITY       "IDENTITY"
#define SYM_KEY_MAX    32u
#define BITS           8u
#define POINT_MAX      EMK_P384_PUBLIC_LEN
#define COORD_MAX      EMK_P384_SHARED_LEN
#define RSA_LOW_BITS   2048u /* templates L-1 and H-1; what is longer has those of H-6, H-7 */
#define SIZED_CRED_MAX (2u + EMK_DIGEST_MAX)

/* --- key derivation --------------------------------------------------------------------------- */

static emk_span label_span(const char *label)
{
    return emk_span_of(label, strlen(label) + 1);
}

/* One round is enough: nothing longer than a digest is needed here. */
static emk_status check_round(const emk_tpm_kdf *k, size_t len, emk_error *e)
{
    if (len == 0 || len > emk_digest_len(k->hash))
        return emk_fail(e, EMK_E_USAGE, "tpm: length of a derived key", len);
    return EMK_OK;
}

emk_status emk_tpm_kdfa(const emk_crypto *c, const emk_tpm_kdf *k, uint8_t *out, size_t len,
                        emk_error *e)
{
    uint8_t counter[4], bits[4], made[EMK_DIGEST_MAX];
    const emk_span parts[] = {
        {counter, sizeof counter}, label_span(k->label), k->u, k->v, {bits, sizeof bits}};
    const emk_hmac_key key = {k->hash, k->key};
    emk_status st = check_round(k, len, e);

    if (st != EMK_OK)
        return st;
    emk_store_u32be(counter, 1);
    emk_store_u32be(bits, (uint32_t)(len * BITS));
    st = emk_hmac(c, &key, parts, sizeof parts / sizeof parts[0], made, e);
    if (st == EMK_OK)
        memcpy(out, made, len);
    emk_wipe(made, sizeof made);
    return st;
}

emk_status emk_tpm_kdfe(const emk_crypto *c, const emk_tpm_kdf *k, uint8_t *out, size_t len,
                        emk_error *e)
{
    uint8_t counter[4], made[EMK_DIGEST_MAX];
    const emk_span parts[] = {{counter, sizeof counter}, k->key, label_span(k->label), k->u, k->v};
    emk_status st = check_round(k, len, e);

    if (st != EMK_OK)
        return st;
    emk_store_u32be(counter, 1);
    st = emk_digest(c, k->hash, parts, sizeof parts / sizeof parts[0], made, e);
    if (st == EMK_OK)
        memcpy(out, made, len);
    emk_wipe(made, sizeof made);
    return st;
}

/* --- what both sides share ------------------------------------------------------------------- */

typedef struct scheme {
    emk_digest_alg hash;
    size_t digest_len;
    size_t sym_len;
} scheme;

static emk_status scheme_of(const emk_tpm_ek_template *t, scheme *out, emk_error *e)
{
    bool sha384 = t->name_alg == EMK_TPM_ALG_SHA384;

    if (t->name_alg != 0 && t->name_alg != EMK_TPM_ALG_SHA256 && !sha384)
        return emk_fail(e, EMK_E_USAGE, "tpm: hash of an endorsement key", t->name_alg);
    if (t->symmetric_bits != 0 && t->symmetric_bits != 128 && t->symmetric_bits != 256)
        return emk_fail(e, EMK_E_USAGE, "tpm: cipher of an endorsement key", t->symmetric_bits);
    out->hash = sha384 ? EMK_DIGEST_SHA384 : EMK_DIGEST_SHA256;
    out->digest_len = emk_digest_len(out->hash);
    out->sym_len = t->symmetric_bits == 256 ? 32 : 16;
    return EMK_OK;
}

typedef struct keys {
    scheme s;
    uint8_t symmetric[SYM_KEY_MAX];
    uint8_t integrity[EMK_DIGEST_MAX];
} keys;

static emk_status derive(const emk_crypto *c, const scheme *s, emk_span seed, emk_span name,
                         keys *out, emk_error *e)
{
    emk_tpm_kdf k = {s->hash, seed, "STORAGE", name, {NULL, 0}};
    emk_status st;

    out->s = *s;
    st = emk_tpm_kdfa(c, &k, out->symmetric, s->sym_len, e);
    k.label = "INTEGRITY";
    k.u = emk_span_of(NULL, 0);
    if (st == EMK_OK)
        st = emk_tpm_kdfa(c, &k, out->integrity, s->digest_len, e);
    return st;
}

static emk_status outer_mac(const emk_crypto *c, const keys *k, emk_span identity, emk_span name,
                            uint8_t *mac, emk_error *e)
{
    const emk_span parts[] = {identity, name};
    const emk_hmac_key key = {k->s.hash, {k->integrity, k->s.digest_len}};

    return emk_hmac(c, &key, parts, 2, mac, e);
}

/* --- making ---------------------------------------------------------------------------------- */

/* TPM2B(outer HMAC) || encrypted TPM2B(secret) */
static emk_status seal(const emk_crypto *c, const emk_tpm_credential_in *in, const scheme *s,
                       emk_span seed, emk_tpm_credential *out, emk_error *e)
{
    uint8_t sized[SIZED_CRED_MAX], mac[EMK_DIGEST_MAX];
    emk_span name = {in->name->bytes, in->name->len}, identity = {sized, in->secret.len + 2};
    emk_writer w;
    emk_status st;
    keys k;

    st = derive(c, s, seed, name, &k, e);
    emk_store_u16be(sized, (uint16_t)in->secret.len);
    memcpy(sized + 2, in->secret.p, in->secret.len);
    if (st == EMK_OK)
        st = emk_aes_cfb_encrypt(c, emk_span_of(k.symmetric, s->sym_len), identity, sized, e);
    if (st == EMK_OK)
        st = outer_mac(c, &k, identity, name, mac, e);
    if (st == EMK_OK) {
        emk_writer_init(&w, out->id_object, sizeof out->id_object);
        emk_write_u16be(&w, (uint16_t)s->digest_len);
        emk_write_bytes(&w, emk_span_of(mac, s->digest_len));
        emk_write_bytes(&w, identity);
        out->id_object_len = w.pos;
    }
    emk_wipe(&k, sizeof k);
    emk_wipe(sized, sizeof sized);
    return st;
}

static emk_status seed_for_rsa(const emk_crypto *c, const emk_tpm_credential_in *in,
                               const scheme *s, uint8_t *seed, emk_tpm_credential *out,
                               emk_error *e)
{
    const emk_rsa_oaep how = {s->hash == EMK_DIGEST_SHA384 ? EMK_RSA_OAEP_SHA384
                                                           : EMK_RSA_OAEP_SHA256,
                              label_span(IDENTITY)};
    emk_rsa_public *ek = NULL;
    emk_status st;

    st = emk_rsa_public_from_spki(c, in->ek_spki, &ek, e);
    if (st == EMK_OK)
        st = emk_random_secret(c, seed, s->digest_len, e);
    if (st == EMK_OK)
        st = emk_rsa_oaep_encrypt(ek, &how, emk_span_of(seed, s->digest_len), out->enc_secret, e);
    if (st == EMK_OK)
        out->enc_secret_len = emk_rsa_public_len(ek);
    emk_rsa_public_free(ek);
    return st;
}

/* TPM2B(x) || TPM2B(y) of 04 || x || y */
static void put_point(const uint8_t *pub, size_t coord_len, emk_tpm_credential *out)
{
    emk_writer w;

    emk_writer_init(&w, out->enc_secret, sizeof out->enc_secret);
    for (size_t i = 0; i < 2; i++) {
        emk_write_u16be(&w, (uint16_t)coord_len);
        emk_write_bytes(&w, emk_span_of(pub + 1 + i * coord_len, coord_len));
    }
    out->enc_secret_len = w.pos;
}

/* What is to be made. */
typedef struct job {
    const emk_tpm_credential_in *in;
    scheme s;
    const uint8_t *ephemeral; /* NULL: a fresh one */
} job;

static emk_status agree_p256(const emk_crypto *c, const job *j, const uint8_t *peer, uint8_t *pub,
                             uint8_t *z, emk_error *e)
{
    uint8_t priv[EMK_P256_PRIVATE_LEN];
    emk_status st;

    if (j->ephemeral) {
        memcpy(priv, j->ephemeral, sizeof priv);
        st = emk_p256_public(c, priv, pub, e);
    } else {
        st = emk_p256_generate(c, priv, pub, e);
    }
    if (st == EMK_OK)
        st = emk_dh_p256(c, priv, peer, z, e);
    emk_wipe(priv, sizeof priv);
    return st;
}

/* ek: 04 || x || y */
static emk_status seed_for_ecc(const emk_crypto *c, const job *j, emk_span ek, uint8_t *seed,
                               emk_tpm_credential *out, emk_error *e)
{
    bool p384 = ek.len == EMK_P384_PUBLIC_LEN;
    size_t n = p384 ? EMK_P384_SHARED_LEN : EMK_P256_SHARED_LEN;
    uint8_t pub[POINT_MAX], z[COORD_MAX];
    const emk_tpm_kdf k = {j->s.hash, {z, n}, IDENTITY, {pub + 1, n}, {ek.p + 1, n}};
    emk_status st;

    if (p384 && j->ephemeral)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm: ephemeral key of P-384", 0);
    st = p384 ? emk_dh_p384_once(c, ek.p, pub, z, e) : agree_p256(c, j, ek.p, pub, z, e);
    if (st == EMK_OK)
        st = emk_tpm_kdfe(c, &k, seed, j->s.digest_len, e);
    if (st == EMK_OK)
        put_point(pub, n, out);
    emk_wipe(z, sizeof z);
    return st;
}

/* id-RSAES-OAEP is no kind that certificates are checked with, so it is told here by trying. */
static emk_status make_seed(const emk_crypto *c, const job *j, uint8_t *seed,
                            emk_tpm_credential *out, emk_error *e)
{
    emk_x509_key kind;
    emk_span key;
    emk_status st = emk_x509_read_key(j->in->ek_spki, &kind, &key, e);

    if (st != EMK_OK)
        return st;
    if (kind == EMK_X509_KEY_P256 || kind == EMK_X509_KEY_P384)
        return seed_for_ecc(c, j, key, seed, out, e);
    if (kind == EMK_X509_KEY_RSA || kind == EMK_X509_KEY_OTHER)
        return seed_for_rsa(c, j->in, &j->s, seed, out, e);
    return emk_fail(e, EMK_E_UNSUPPORTED, "tpm: kind of endorsement key", kind);
}

static emk_status make(const emk_crypto *c, const emk_tpm_credential_in *in,
                       const uint8_t *ephemeral, emk_tpm_credential *out, emk_error *e)
{
    uint8_t seed[EMK_DIGEST_MAX];
    emk_tpm_credential made = {0};
    job j = {.in = in, .ephemeral = ephemeral};
    emk_status st;

    st = scheme_of(&in->ek, &j.s, e);
    if (st != EMK_OK)
        return st;
    if (in->secret.len < EMK_TPM_SECRET_MIN || in->secret.len > j.s.digest_len)
        return emk_fail(e, EMK_E_USAGE, "tpm: length of a credential", in->secret.len);
    if (in->name->len < 2 || in->name->len > EMK_TPM_NAME_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm: Name", in->name->len);
    st = make_seed(c, &j, seed, &made, e);
    if (st == EMK_OK)
        st = seal(c, in, &j.s, emk_span_of(seed, j.s.digest_len), &made, e);
    emk_wipe(seed, sizeof seed);
    if (st == EMK_OK)
        *out = made;
    return st;
}

emk_status emk_tpm_ek_template_of(const emk_crypto *c, emk_span ek_spki, emk_tpm_ek_template *out,
                                  emk_error *e)
{
    static const emk_tpm_ek_template LOW = {EMK_TPM_ALG_SHA256, 128};
    static const emk_tpm_ek_template HIGH = {EMK_TPM_ALG_SHA384, 256};
    emk_rsa_public *rsa = NULL;
    emk_x509_key kind;
    emk_span key;
    emk_status st = emk_x509_read_key(ek_spki, &kind, &key, e);

    if (st != EMK_OK)
        return st;
    if (kind == EMK_X509_KEY_P256 || kind == EMK_X509_KEY_P384) {
        *out = kind == EMK_X509_KEY_P256 ? LOW : HIGH;
        return EMK_OK;
    }
    st = emk_rsa_public_from_spki(c, ek_spki, &rsa, e);
    if (st == EMK_OK)
        *out = emk_rsa_public_len(rsa) * BITS > RSA_LOW_BITS ? HIGH : LOW;
    emk_rsa_public_free(rsa);
    return st;
}

emk_status emk_tpm_credential_make(const emk_crypto *c, const emk_tpm_credential_in *in,
                                   emk_tpm_credential *out, emk_error *e)
{
    return make(c, in, NULL, out, e);
}

emk_status emk_tpm_credential_make_fixed(const emk_crypto *c, const emk_tpm_credential_in *in,
                                         const uint8_t ephemeral[32], emk_tpm_credential *out,
                                         emk_error *e)
{
    return make(c, in, ephemeral, out, e);
}

/* --- opening --------------------------------------------------------------------------------- */

emk_status emk_tpm_credential_open(const emk_crypto *c, const emk_tpm_activation *in,
                                   uint8_t *secret, size_t *len, emk_error *e)
{
    uint8_t mac[EMK_DIGEST_MAX], sized[SIZED_CRED_MAX];
    emk_span name = {in->name->bytes, in->name->len}, got, identity;
    emk_reader r;
    emk_status st;
    scheme s;
    keys k;

    st = scheme_of(&in->ek, &s, e);
    if (st != EMK_OK)
        return st;
    emk_reader_init(&r, in->id_object);
    got = emk_read_bytes(&r, emk_read_u16be(&r));
    identity = emk_read_bytes(&r, emk_reader_left(&r));
    if (r.cut || got.len != s.digest_len || identity.len < 2 || identity.len > sizeof sized)
        return emk_fail(e, EMK_E_SEALED, "tpm: credential", in->id_object.len);
    st = derive(c, &s, in->seed, name, &k, e);
    if (st == EMK_OK)
        st = outer_mac(c, &k, identity, name, mac, e);
    if (st == EMK_OK && !emk_ct_equal(mac, got.p, s.digest_len))
        st = emk_fail(e, EMK_E_SEALED, "tpm: credential is for another key", 0);
    if (st == EMK_OK)
        st = emk_aes_cfb_decrypt(c, emk_span_of(k.symmetric, s.sym_len), identity, sized, e);
    if (st == EMK_OK && emk_load_u16be(sized) != identity.len - 2)
        st = emk_fail(e, EMK_E_SEALED, "tpm: credential", identity.len);
    if (st == EMK_OK) {
        *len = identity.len - 2;
        memcpy(secret, sized + 2, *len);
    }
    emk_wipe(&k, sizeof k);
    emk_wipe(sized, sizeof sized);
    return st;
}
