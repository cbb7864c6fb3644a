#include "server/attest/tpm_enrol.h"

#include "core/base/secret.h"
#include "core/codec/cbor.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/attest/challenge.h"

#define CERTIFIED_ITEMS  3u
#define USE_KEY_ENCIPHER (1u << 2) /* keyUsage */
#define USE_KEY_AGREE    (1u << 4)
#define PCR_DIGEST_LEN   32u

/* --- messages -------------------------------------------------------------------------------- */

static void read_issuers(emk_cbor_reader *c, emk_tpm_hello *out)
{
    size_t n = emk_cbor_enter_array(c);

    if (n > EMK_TPM_ISSUERS_MAX)
        emk_cbor_fail(c, EMK_E_LIMIT, "tpm: issuers in a hello", n);
    for (size_t i = 0; i < n && emk_cbor_ok(c); i++)
        out->issuers[i] = emk_cbor_read_bytes(c);
    out->n_issuers = n;
    emk_cbor_leave(c);
}

emk_status emk_tpm_hello_read(emk_span in, emk_tpm_hello *out, emk_error *e)
{
    emk_tpm_hello h = {0};
    emk_cbor_reader c;
    uint32_t seen = 0;
    int64_t key;
    emk_status st;

    if (in.len > EMK_TPM_HELLO_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: hello", in.len);
    emk_cbor_reader_init(&c, in);
    (void)emk_cbor_enter_map(&c);
    while (emk_cbor_next_key(&c, &key)) {
        if (key == 1)
            h.ek = emk_cbor_read_bytes(&c);
        else if (key == 2)
            read_issuers(&c, &h);
        else if (key == 3)
            h.ak = emk_cbor_read_bytes(&c);
        else
            emk_cbor_fail(&c, EMK_E_FORMAT, "tpm: unknown key in a hello", (uint64_t)key);
        seen++;
    }
    if (seen != 3)
        emk_cbor_fail(&c, EMK_E_FORMAT, "tpm: hello lacks something", seen);
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, e);
    if (st == EMK_OK)
        *out = h;
    return st;
}

static void put_key_bytes(emk_writer *w, uint64_t key, emk_span v)
{
    emk_cbor_put_uint(w, key);
    emk_cbor_put_bytes(w, v);
}

static void put_hello(emk_writer *w, const emk_tpm_hello *h)
{
    emk_cbor_put_map(w, 3);
    put_key_bytes(w, 1, h->ek);
    emk_cbor_put_uint(w, 2);
    emk_cbor_put_array(w, h->n_issuers);
    for (size_t i = 0; i < h->n_issuers; i++)
        emk_cbor_put_bytes(w, h->issuers[i]);
    put_key_bytes(w, 3, h->ak);
}

emk_status emk_tpm_hello_write(const emk_tpm_hello *hello, emk_buf *out, emk_error *e)
{
    emk_writer w;
    uint8_t *room;
    emk_status st;

    if (hello->n_issuers > EMK_TPM_ISSUERS_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm: issuers in a hello", hello->n_issuers);
    emk_writer_init(&w, NULL, 0);
    put_hello(&w, hello);
    st = emk_buf_grow(out, w.pos, &room, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, room, w.pos);
    put_hello(&w, hello);
    return EMK_OK;
}

static void read_certified(emk_cbor_reader *c, emk_tpm_certified *out)
{
    if (emk_cbor_enter_array(c) != CERTIFIED_ITEMS)
        emk_cbor_fail(c, EMK_E_FORMAT, "tpm: certified key", 0);
    out->key = emk_cbor_read_bytes(c);
    out->attest = emk_cbor_read_bytes(c);
    out->sig = emk_cbor_read_bytes(c);
    emk_cbor_leave(c);
}

static void read_member(emk_cbor_reader *c, int64_t key, emk_tpm_proof *p)
{
    switch (key) {
    case 1:
        p->secret = emk_cbor_read_bytes(c);
        break;
    case 2:
        p->quote = emk_cbor_read_bytes(c);
        break;
    case 3:
        p->quote_sig = emk_cbor_read_bytes(c);
        break;
    case 4:
        p->pcr_values = emk_cbor_read_bytes(c);
        break;
    case 5:
        read_certified(c, &p->signing);
        break;
    case 6:
        read_certified(c, &p->agreement);
        break;
    default:
        emk_cbor_fail(c, EMK_E_FORMAT, "tpm: unknown key in a proof", (uint64_t)key);
    }
}

emk_status emk_tpm_proof_read(emk_span in, emk_tpm_proof *out, emk_error *e)
{
    emk_tpm_proof p = {0};
    emk_cbor_reader c;
    uint32_t seen = 0;
    int64_t key;
    emk_status st;

    if (in.len > EMK_TPM_PROOF_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: proof", in.len);
    emk_cbor_reader_init(&c, in);
    (void)emk_cbor_enter_map(&c);
    while (emk_cbor_next_key(&c, &key)) {
        read_member(&c, key, &p);
        seen++;
    }
    if (seen != 6)
        emk_cbor_fail(&c, EMK_E_FORMAT, "tpm: proof lacks something", seen);
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, e);
    if (st == EMK_OK)
        *out = p;
    return st;
}

static void put_certified(emk_writer *w, uint64_t key, const emk_tpm_certified *x)
{
    emk_cbor_put_uint(w, key);
    emk_cbor_put_array(w, CERTIFIED_ITEMS);
    emk_cbor_put_bytes(w, x->key);
    emk_cbor_put_bytes(w, x->attest);
    emk_cbor_put_bytes(w, x->sig);
}

static void put_proof(emk_writer *w, const emk_tpm_proof *p)
{
    emk_cbor_put_map(w, 6);
    put_key_bytes(w, 1, p->secret);
    put_key_bytes(w, 2, p->quote);
    put_key_bytes(w, 3, p->quote_sig);
    put_key_bytes(w, 4, p->pcr_values);
    put_certified(w, 5, &p->signing);
    put_certified(w, 6, &p->agreement);
}

emk_status emk_tpm_proof_write(const emk_tpm_proof *proof, emk_buf *out, emk_error *e)
{
    emk_writer w;
    uint8_t *room;
    emk_status st;

    emk_writer_init(&w, NULL, 0);
    put_proof(&w, proof);
    st = emk_buf_grow(out, w.pos, &room, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, room, w.pos);
    put_proof(&w, proof);
    return EMK_OK;
}

/* --- first step ------------------------------------------------------------------------------- */

static emk_status verify_ek(const emk_crypto *c, const emk_tpm_roots *roots,
                            const emk_tpm_hello *hello, emk_tpm_ek *ek, emk_error *e)
{
    emk_x509 issuers[EMK_TPM_ISSUERS_MAX];
    const emk_x509_list sent = {issuers, hello->n_issuers};
    emk_status st = EMK_OK;

    if (hello->n_issuers > EMK_TPM_ISSUERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: issuers in a hello", hello->n_issuers);
    for (size_t i = 0; i < hello->n_issuers && st == EMK_OK; i++)
        st = emk_x509_parse(hello->issuers[i], &issuers[i], e);
    if (st == EMK_OK)
        st = emk_tpm_ek_verify(c, roots, hello->ek, &sent, ek, e);
    if (st != EMK_OK)
        return st;
    /* A key that may only sign would open nothing: some clouds certify such keys too. */
    if (ek->cert.has_key_usage && !(ek->cert.key_usage & (USE_KEY_ENCIPHER | USE_KEY_AGREE)))
        return emk_fail(e, EMK_E_POLICY, "tpm: endorsement key does not decrypt", 0);
    return EMK_OK;
}

static emk_status read_ak(emk_span in, emk_tpm_public *out, emk_error *e)
{
    static const emk_tpm_lenience STRICT = {.sha1 = false};
    emk_status st;

    if (in.len > EMK_TPM_AK_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: attestation key", in.len);
    st = emk_tpm_public_read(in, out, e);
    return st == EMK_OK ? emk_tpm_ak_check(out, STRICT, e) : st;
}

static emk_status make_credential(const emk_crypto *c, const emk_tpm_ek *ek,
                                  const emk_tpm_name *name, emk_tpm_pending *pending,
                                  emk_tpm_credential *out, emk_error *e)
{
    uint8_t secret[EMK_TPM_SECRET_LEN];
    const emk_span bytes = {secret, sizeof secret};
    emk_tpm_credential_in in = {.ek_spki = ek->cert.spki, .name = name, .secret = bytes};
    emk_status st = emk_tpm_ek_template_of(c, in.ek_spki, &in.ek, e);

    if (st == EMK_OK)
        st = emk_random_secret(c, secret, sizeof secret, e);
    if (st == EMK_OK)
        st = emk_sha256(c, &bytes, 1, pending->secret_hash, e);
    if (st == EMK_OK)
        st = emk_tpm_credential_make(c, &in, out, e);
    emk_wipe(secret, sizeof secret);
    return st;
}

/* What both steps know of the first message. */
typedef struct opening {
    emk_tpm_pending pending;
    emk_tpm_name name;
    emk_tpm_ek ek;
} opening;

static emk_status check_hello(const emk_crypto *c, const emk_tpm_roots *roots,
                              const emk_tpm_hello *hello, opening *out, emk_error *e)
{
    emk_tpm_pending p = {.ak_len = hello->ak.len, .made_s = roots->time_s};
    emk_tpm_public ak;
    emk_status st;

    st = read_ak(hello->ak, &ak, e);
    if (st == EMK_OK)
        st = verify_ek(c, roots, hello, &out->ek, e);
    if (st == EMK_OK)
        st = emk_tpm_public_name(c, &ak, &out->name, e);
    if (st == EMK_OK)
        st = emk_sha256(c, &out->ek.cert.spki, 1, p.ek_thumbprint, e);
    if (st != EMK_OK)
        return st;
    memcpy(p.ak, hello->ak.p, hello->ak.len);
    p.sha1_ek = out->ek.sha1;
    p.simulated = emk_simulated_is_root(out->ek.root);
    p.simulated_counts = roots->simulated == EMK_SIMULATED_COUNTS;
    out->pending = p;
    return EMK_OK;
}

emk_status emk_tpm_enrol_begin(const emk_crypto *c, const emk_tpm_roots *roots,
                               const emk_tpm_hello *hello, emk_tpm_pending *pending,
                               emk_tpm_credential *credential, emk_error *e)
{
    opening o;
    emk_status st = check_hello(c, roots, hello, &o, e);

    if (st == EMK_OK)
        st = make_credential(c, &o.ek, &o.name, &o.pending, credential, e);
    if (st == EMK_OK)
        *pending = o.pending;
    return st;
}

/* --- second step ------------------------------------------------------------------------------ */

static emk_status check_policy(const emk_tpm_policy *p, emk_error *e)
{
    if (p->binding.len != EMK_BINDING_LEN)
        return emk_fail(e, EMK_E_USAGE, "tpm: expected binding", p->binding.len);
    if (p->signing.len != EMK_BINDING_KEY_LEN || p->agreement.len != EMK_BINDING_KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "tpm: expected keys", p->signing.len);
    if (p->n_good > EMK_TPM_GOOD_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm: allowed PCR values", p->n_good);
    return EMK_OK;
}

static emk_status check_pending(const emk_crypto *c, const emk_tpm_policy *policy,
                                const emk_tpm_pending *pending, emk_span secret, emk_error *e)
{
    int64_t max = policy->pending_max_s ? policy->pending_max_s : EMK_TPM_PENDING_S;
    uint8_t hash[32];
    emk_status st;

    if (policy->time_s < pending->made_s || policy->time_s - pending->made_s > max)
        return emk_fail(e, EMK_E_STALE, "tpm: credential is too old",
                        (uint64_t)(policy->time_s - pending->made_s));
    if (secret.len != EMK_TPM_SECRET_LEN)
        return emk_fail(e, EMK_E_SIGNATURE, "tpm: credential was not opened", secret.len);
    st = emk_sha256(c, &secret, 1, hash, e);
    if (st == EMK_OK && !emk_ct_equal(hash, pending->secret_hash, sizeof hash))
        st = emk_fail(e, EMK_E_SIGNATURE, "tpm: credential was not opened", 0);
    return st;
}

/* Whether the key in the public area is this point. */
static bool is_point(const emk_tpm_public *key, emk_span point)
{
    uint8_t got[EMK_BINDING_KEY_LEN] = {0x04};

    if (key->type != EMK_TPM_ALG_ECC || key->curve != EMK_TPM_CURVE_P256)
        return false;
    memcpy(got + 33 - key->x.len, key->x.p, key->x.len);
    memcpy(got + 65 - key->y.len, key->y.p, key->y.len);
    got[0] = 0x04;
    return emk_span_equal(emk_span_of(got, sizeof got), point);
}

typedef struct want_key {
    emk_span point;
    uint32_t must;
    uint32_t must_not;
} want_key;

static emk_status check_key(const emk_crypto *c, const emk_tpm_public *ak, emk_span binding,
                            const emk_tpm_certified *x, const want_key *want, emk_error *e)
{
    const emk_tpm_certify_in in = {.ak = ak,
                                   .attest = x->attest,
                                   .sig = x->sig,
                                   .nonce = binding,
                                   .key = x->key,
                                   .must = EMK_TPM_KEY_MUST | want->must,
                                   .must_not = EMK_TPM_RESTRICTED | want->must_not};
    emk_tpm_public key;
    emk_status st = emk_tpm_certify_verify(c, &in, &key, e);

    if (st == EMK_OK && !is_point(&key, want->point))
        st = emk_fail(e, EMK_E_SIGNATURE, "tpm: another key is certified", 0);
    return st;
}

static emk_status check_keys(const emk_crypto *c, const emk_tpm_policy *policy,
                             const emk_tpm_public *ak, const emk_tpm_proof *proof, emk_error *e)
{
    const want_key signing = {policy->signing, EMK_TPM_SIGN, EMK_TPM_DECRYPT};
    const want_key agreement = {policy->agreement, EMK_TPM_DECRYPT, EMK_TPM_SIGN};
    emk_status st = check_key(c, ak, policy->binding, &proof->signing, &signing, e);

    return st == EMK_OK ? check_key(c, ak, policy->binding, &proof->agreement, &agreement, e) : st;
}

static emk_status check_quote(const emk_crypto *c, const emk_tpm_policy *policy,
                              const emk_tpm_public *ak, const emk_tpm_proof *proof,
                              emk_tpm_attest *out, emk_error *e)
{
    const emk_tpm_quote_in in = {.ak = ak,
                                 .attest = proof->quote,
                                 .sig = proof->quote_sig,
                                 .nonce = policy->binding,
                                 .selection = policy->pcrs,
                                 .values = proof->pcr_values};
    uint8_t digest[PCR_DIGEST_LEN];
    emk_status st = emk_tpm_quote_verify(c, &in, out, e);

    if (st != EMK_OK || policy->n_good == 0)
        return st;
    st = emk_sha256(c, &proof->pcr_values, 1, digest, e);
    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < policy->n_good; i++)
        if (memcmp(policy->good[i], digest, sizeof digest) == 0)
            return EMK_OK;
    return emk_fail(e, EMK_E_POLICY, "tpm: PCR values are not among the allowed", 0);
}

static emk_status fill(const emk_crypto *c, const emk_tpm_policy *policy,
                       const emk_tpm_pending *pending, const emk_tpm_proof *proof, emk_claims *out,
                       emk_error *e)
{
    uint8_t room[EMK_TPM_SPKI_MAX];
    emk_span spki = {room, 0};
    emk_tpm_public key;
    emk_status st;

    *out = (emk_claims){.kind = EMK_ATTEST_TPM, .key_home = EMK_KEY_HOME_SEPARATE};
    out->boot = policy->n_good > 0 ? EMK_BOOT_VERIFIED : EMK_BOOT_UNKNOWN;
    out->issued_s = policy->time_s;
    emk_claims_warn(out, EMK_WARN_APP_UNBOUND);
    if (pending->sha1_ek)
        emk_claims_warn(out, EMK_WARN_SHA1);
    out->level = emk_claims_level(out);
    if (pending->simulated) {
        emk_claims_warn(out, EMK_WARN_SIMULATED);
        if (!pending->simulated_counts)
            out->level = 0;
    }
    st = emk_tpm_public_read(proof->signing.key, &key, e);
    if (st == EMK_OK)
        st = emk_tpm_public_spki(c, &key, room, &spki.len, e);
    return st == EMK_OK ? emk_sha256(c, &spki, 1, out->key_thumbprint, e) : st;
}

/* Policy, state and proof in, claims and state out: there is nothing to put together. */
/* NOLINTNEXTLINE(readability-function-size) */
emk_status emk_tpm_enrol_finish(const emk_crypto *c, const emk_tpm_policy *policy,
                                const emk_tpm_pending *pending, const emk_tpm_proof *proof,
                                emk_claims *claims, emk_tpm_state *state, emk_error *e)
{
    emk_tpm_attest quote;
    emk_tpm_public ak;
    emk_claims out;
    emk_status st;

    st = check_policy(policy, e);
    if (st == EMK_OK)
        st = check_pending(c, policy, pending, proof->secret, e);
    if (st == EMK_OK)
        st = read_ak(emk_span_of(pending->ak, pending->ak_len), &ak, e);
    if (st == EMK_OK)
        st = check_quote(c, policy, &ak, proof, &quote, e);
    if (st == EMK_OK)
        st = check_keys(c, policy, &ak, proof, e);
    if (st == EMK_OK)
        st = fill(c, policy, pending, proof, &out, e);
    if (st != EMK_OK)
        return st;
    *claims = out;
    if (state)
        *state = (emk_tpm_state){quote.reset_count, quote.restart_count, quote.firmware};
    return EMK_OK;
}

emk_status emk_tpm_enrol_check(const emk_crypto *c, const emk_tpm_roots *roots,
                               const emk_tpm_policy *policy, const emk_tpm_kept *kept,
                               emk_claims *claims, emk_error *e)
{
    opening o;
    emk_status st;

    if (kept->secret.len != EMK_TPM_SECRET_LEN)
        return emk_fail(e, EMK_E_USAGE, "tpm: what the credential held", kept->secret.len);
    st = check_hello(c, roots, kept->hello, &o, e);
    if (st == EMK_OK)
        st = emk_sha256(c, &kept->secret, 1, o.pending.secret_hash, e);
    return st == EMK_OK ? emk_tpm_enrol_finish(c, policy, &o.pending, kept->proof, claims, NULL, e)
                        : st;
}

emk_status emk_tpm_state_check(const emk_tpm_state *before, const emk_tpm_state *now, emk_error *e)
{
    if (now->reset_count < before->reset_count)
        return emk_fail(e, EMK_E_STALE, "tpm: fewer resets than before", now->reset_count);
    if (now->reset_count == before->reset_count && now->restart_count < before->restart_count)
        return emk_fail(e, EMK_E_STALE, "tpm: fewer restarts than before", now->restart_count);
    return EMK_OK;
}
