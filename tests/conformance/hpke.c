/* HPKE vectors in the field names of RFC 9180: the RFC's own, those of draft-ietf-hpke-pq, and
 * generated ones.  One test for the keys and the key schedule, one for each encryption, one
 * for each export.
 *
 * Where a vector has the sender's random input, everything is computed from both sides;
 * where not, only the receiver's side, and what a fresh sender makes of it. */
#include "core/crypto/hpke_internal.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/suite.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct hpke_case {
    const emk_dom *in;
    size_t number;
    emk_hpke_in common; /* both sides'; sender_key and sender_public are set below */
    emk_kem_private *receiver_key, *sender_key;
    emk_hpke *sender, *receiver; /* sender NULL: the vector has no random input */
    emk_span fixed, enc;         /* copies: the scratch memory goes with each test */
    uint8_t fixed_bytes[160], enc_bytes[EMK_KEM_ENC_MAX];
    emk_hpke_schedule schedule;
} hpke_case;

static void read_suite(emk_vec *v, const emk_dom *in, emk_hpke_in *out)
{
    out->suite.kem = (uint16_t)emk_vec_number(v, in, "kem_id", UINT16_MAX);
    out->suite.kdf = (uint16_t)emk_vec_number(v, in, "kdf_id", UINT16_MAX);
    out->suite.aead = (uint16_t)emk_vec_number(v, in, "aead_id", UINT16_MAX);
    out->mode = (emk_hpke_mode)emk_vec_number(v, in, "mode", EMK_HPKE_AUTH_PSK);
    out->info = emk_vec_hex_opt(v, in, "info");
    out->psk = emk_vec_hex_opt(v, in, "psk");
    out->psk_id = emk_vec_hex_opt(v, in, "psk_id");
}

static bool is_auth(emk_hpke_mode mode)
{
    return mode == EMK_HPKE_AUTH || mode == EMK_HPKE_AUTH_PSK;
}

static bool is_given(const emk_dom *in, const char *key)
{
    return emk_dom_get(in, key) != NULL;
}

/* One key pair: from its private key, and where there is an ikm, from that. */
static emk_kem_private *make_key(emk_vec *v, const hpke_case *c, const char *const names[3])
{
    uint16_t kem = c->common.suite.kem;
    emk_span sk = emk_vec_hex(v, c->in, names[1]), pk = emk_vec_hex(v, c->in, names[2]);
    emk_span ikm = emk_vec_hex_opt(v, c->in, names[0]);
    uint8_t priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    emk_kem_private *key = NULL;
    emk_error e = {0};

    if (!emk_vec_is_well(v) ||
        !emk_vec_ok(v, names[1], emk_kem_private_new(v->crypto, kem, sk, &key, &e), &e))
        return NULL;
    emk_vec_same(v, names[2], emk_kem_private_public(key), pk);
    emk_vec_ok(v, names[2], emk_kem_check_public(v->crypto, kem, pk, &e), &e);
    if (ikm.len > 0 &&
        emk_vec_ok(v, names[0], emk_kem_derive(v->crypto, kem, ikm, priv, pub, &e), &e)) {
        emk_vec_same(v, names[1], emk_span_of(priv, emk_kem_private_len(kem)), sk);
        emk_vec_same(v, names[2], emk_span_of(pub, emk_kem_public_len(kem)), pk);
    }
    return key;
}

static emk_span keep(emk_vec *v, emk_span in, uint8_t *out, size_t cap)
{
    if (in.len > cap) {
        emk_vec_malformed(v, "%zu bytes where %zu are the most", in.len, cap);
        return emk_span_of("", 0);
    }
    if (in.len > 0)
        memcpy(out, in.p, in.len);
    return emk_span_of(out, in.len);
}

/* The DHKEMs take the ephemeral private key, derived from ikmE; the others take ikmE. */
static void read_fixed(emk_vec *v, hpke_case *c)
{
    uint16_t kem = c->common.suite.kem;
    emk_span ikm = emk_vec_hex_opt(v, c->in, "ikmE"), sk = emk_vec_hex_opt(v, c->in, "skEm");
    uint8_t priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    bool dhkem = kem == EMK_KEM_P256 || kem == EMK_KEM_X25519;
    emk_error e = {0};

    c->fixed = keep(v, dhkem ? sk : ikm, c->fixed_bytes, sizeof c->fixed_bytes);
    if (!dhkem || ikm.len == 0 || !emk_vec_is_well(v) ||
        !emk_vec_ok(v, "ikmE", emk_kem_derive(v->crypto, kem, ikm, priv, pub, &e), &e))
        return;
    if (is_given(c->in, "skEm"))
        emk_vec_same(v, "skEm", emk_span_of(priv, emk_kem_private_len(kem)), sk);
    if (is_given(c->in, "pkEm"))
        emk_vec_same(v, "pkEm", emk_span_of(pub, emk_kem_public_len(kem)),
                     emk_vec_hex(v, c->in, "pkEm"));
    c->fixed =
        keep(v, emk_span_of(priv, emk_kem_private_len(kem)), c->fixed_bytes, sizeof c->fixed_bytes);
}

/* In the auth modes the shared secret comes from two exchanges, which only HPKE makes. */
static void check_shared_secret(emk_vec *v, const hpke_case *c)
{
    emk_span want = emk_vec_hex(v, c->in, "shared_secret");
    uint8_t secret[EMK_KEM_SECRET_LEN], enc[EMK_KEM_ENC_MAX];
    emk_span got = emk_span_of(secret, sizeof secret);
    emk_error e = {0};
    emk_status st;

    st = emk_kem_decap(c->receiver_key, c->enc, secret, &e);
    if (emk_vec_ok(v, "decap", st, &e))
        emk_vec_same(v, "shared_secret of the receiver", got, want);
    if (c->fixed.len == 0)
        return;
    st = emk_kem_encap_fixed(v->crypto, c->common.suite.kem,
                             emk_kem_private_public(c->receiver_key), c->fixed, enc, secret, &e);
    if (emk_vec_ok(v, "encap", st, &e)) {
        emk_vec_same(v, "enc of encap", emk_span_of(enc, c->enc.len), c->enc);
        emk_vec_same(v, "shared_secret of the sender", got, want);
    }
}

static void check_schedule(emk_vec *v, const hpke_case *c, const emk_hpke *h)
{
    emk_span nonce = emk_vec_hex_opt(v, c->in, "base_nonce");
    emk_hpke_schedule s;

    emk_hpke_peek(h, &s);
    if (is_given(c->in, "key"))
        emk_vec_same(v, "key", emk_span_of(s.key, s.key_len), emk_vec_hex(v, c->in, "key"));
    if (nonce.len > 0)
        emk_vec_same(v, "base_nonce", emk_span_of(s.base_nonce, sizeof s.base_nonce), nonce);
    if (is_given(c->in, "exporter_secret"))
        emk_vec_same(v, "exporter_secret", emk_span_of(s.exporter_secret, sizeof s.exporter_secret),
                     emk_vec_hex(v, c->in, "exporter_secret"));
}

static void check_suite_id(emk_vec *v, const hpke_case *c)
{
    emk_hpke_suite s = c->common.suite;
    const uint8_t id[10] = {'H',
                            'P',
                            'K',
                            'E',
                            (uint8_t)(s.kem >> 8),
                            (uint8_t)s.kem,
                            (uint8_t)(s.kdf >> 8),
                            (uint8_t)s.kdf,
                            (uint8_t)(s.aead >> 8),
                            (uint8_t)s.aead};

    if (is_given(c->in, "suite_id"))
        emk_vec_same(v, "suite_id", emk_span_of(id, sizeof id), emk_vec_hex(v, c->in, "suite_id"));
}

/* Without the random input: a sender of our own must reach our own receiver. */
static void check_fresh_sender(emk_vec *v, const hpke_case *c)
{
    emk_hpke_in in = c->common;
    uint8_t enc[EMK_KEM_ENC_MAX], a[32], b[32];
    emk_hpke *sender = NULL, *receiver = NULL;
    emk_error e = {0};
    emk_status st;

    in.sender_key = c->sender_key;
    st = emk_hpke_sender_new(v->crypto, &in, emk_kem_private_public(c->receiver_key), enc, &sender,
                             &e);
    if (!emk_vec_ok(v, "fresh sender", st, &e))
        return;
    in = c->common;
    if (c->sender_key)
        in.sender_public = emk_kem_private_public(c->sender_key);
    st = emk_hpke_receiver_new(&in, c->receiver_key,
                               emk_span_of(enc, emk_kem_enc_len(in.suite.kem)), &receiver, &e);
    if (emk_vec_ok(v, "its receiver", st, &e) &&
        emk_vec_ok(v, "export", emk_hpke_export(sender, in.info, a, sizeof a, &e), &e) &&
        emk_vec_ok(v, "export", emk_hpke_export(receiver, in.info, b, sizeof b, &e), &e))
        emk_vec_same(v, "export of both sides", emk_span_of(a, sizeof a), emk_span_of(b, sizeof b));
    emk_hpke_free(sender);
    emk_hpke_free(receiver);
}

static void make_sender(emk_vec *v, hpke_case *c)
{
    emk_hpke_in in = c->common;
    uint8_t enc[EMK_KEM_ENC_MAX];
    emk_error e = {0};
    emk_status st;

    in.sender_key = c->sender_key;
    st = emk_hpke_sender_new_fixed(v->crypto, &in, emk_kem_private_public(c->receiver_key),
                                   c->fixed, enc, &c->sender, &e);
    if (!emk_vec_ok(v, "sender", st, &e))
        return;
    emk_vec_same(v, "enc", emk_span_of(enc, emk_kem_enc_len(in.suite.kem)), c->enc);
    check_schedule(v, c, c->sender);
}

static void make_receiver(emk_vec *v, hpke_case *c)
{
    emk_hpke_in in = c->common;
    emk_error e = {0};
    emk_status st;

    if (c->sender_key)
        in.sender_public = emk_kem_private_public(c->sender_key);
    st = emk_hpke_receiver_new(&in, c->receiver_key, c->enc, &c->receiver, &e);
    if (!emk_vec_ok(v, "receiver", st, &e))
        return;
    check_schedule(v, c, c->receiver);
    emk_hpke_peek(c->receiver, &c->schedule);
}

static void setup(emk_vec *v, hpke_case *c)
{
    static const char *const receiver_names[3] = {"ikmR", "skRm", "pkRm"};
    static const char *const sender_names[3] = {"ikmS", "skSm", "pkSm"};

    if (!emk_vec_is_well(v) || !emk_suite_is_run(v, c->common.suite))
        return;
    c->enc = keep(v, emk_vec_hex(v, c->in, "enc"), c->enc_bytes, sizeof c->enc_bytes);
    c->receiver_key = make_key(v, c, receiver_names);
    if (is_auth(c->common.mode))
        c->sender_key = make_key(v, c, sender_names);
    read_fixed(v, c);
    if (!emk_vec_is_well(v))
        return;
    check_suite_id(v, c);
    if (is_given(c->in, "shared_secret") && !is_auth(c->common.mode))
        check_shared_secret(v, c);
    if (c->fixed.len > 0)
        make_sender(v, c);
    else
        check_fresh_sender(v, c);
    make_receiver(v, c);
}

static void store_seq(uint64_t seq, uint8_t out[EMK_HPKE_SEQ_LEN])
{
    memset(out, 0, EMK_HPKE_SEQ_LEN);
    for (size_t i = 0; i < 8; i++)
        out[EMK_HPKE_SEQ_LEN - 1 - i] = (uint8_t)(seq >> (8 * i));
}

static void check_nonce(emk_vec *v, const hpke_case *c, emk_span want, const uint8_t seq[12])
{
    uint8_t nonce[12];

    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = c->schedule.base_nonce[i] ^ seq[i];
    if (want.len > 0)
        emk_vec_same(v, "nonce", emk_span_of(nonce, sizeof nonce), want);
}

/* `next`: the number both contexts have reached by themselves; others are set. */
static void encryption(emk_vec *v, const hpke_case *c, const emk_dom *in, uint64_t seq,
                       uint64_t next)
{
    emk_span aad = emk_vec_hex(v, in, "aad"), pt = emk_vec_hex(v, in, "pt");
    emk_span ct = emk_vec_hex(v, in, "ct"), nonce = emk_vec_hex_opt(v, in, "nonce");
    uint8_t *out = emk_vec_take(v, pt.len + EMK_AEAD_TAG_LEN), seq_bytes[EMK_HPKE_SEQ_LEN];
    emk_error e = {0};

    if (!emk_vec_is_well(v))
        return;
    store_seq(seq, seq_bytes);
    check_nonce(v, c, nonce, seq_bytes);
    if (c->sender) {
        if (seq != next)
            emk_hpke_force_seq(c->sender, seq_bytes);
        if (emk_vec_ok(v, "seal", emk_hpke_seal(c->sender, aad, pt, out, &e), &e))
            emk_vec_same(v, "ct", emk_span_of(out, pt.len + EMK_AEAD_TAG_LEN), ct);
    }
    if (ct.len != pt.len + EMK_AEAD_TAG_LEN)
        emk_vec_malformed(v, "\"ct\" of %zu bytes", ct.len);
    if (!emk_vec_is_well(v))
        return;
    if (seq != next)
        emk_vec_ok(v, "set_seq", emk_hpke_set_seq(c->receiver, seq_bytes, &e), &e);
    if (emk_vec_ok(v, "open", emk_hpke_open(c->receiver, aad, ct, out, &e), &e))
        emk_vec_same(v, "pt", emk_span_of(out, pt.len), pt);
}

static void export_one(emk_vec *v, const hpke_case *c, const emk_dom *in)
{
    emk_span context = emk_vec_hex(v, in, "exporter_context");
    emk_span want = emk_vec_hex(v, in, "exported_value");
    uint64_t len = emk_vec_number(v, in, "L", EMK_VEC_BUFFER_MAX);
    uint8_t *out = emk_vec_take_asked(v, len);
    emk_error e = {0};

    if (!emk_vec_is_well(v))
        return;
    if (c->sender &&
        emk_vec_ok(v, "sender", emk_hpke_export(c->sender, context, out, (size_t)len, &e), &e))
        emk_vec_same(v, "exported_value of the sender", emk_span_of(out, (size_t)len), want);
    if (emk_vec_ok(v, "receiver", emk_hpke_export(c->receiver, context, out, (size_t)len, &e), &e))
        emk_vec_same(v, "exported_value", emk_span_of(out, (size_t)len), want);
}

/* The tests behind a setup that was left out are left out for the same reason. */
static void run_parts(emk_vec *v, hpke_case *c, const char *skip)
{
    const emk_dom *encryptions = emk_dom_get_kind(c->in, "encryptions", EMK_DOM_ARRAY);
    const emk_dom *exports = emk_dom_get_kind(c->in, "exports", EMK_DOM_ARRAY);
    uint64_t next = 0, seq = 0;
    size_t n = 0;

    for (const emk_dom *t = encryptions ? encryptions->first : NULL; t; t = t->next) {
        if (is_given(t, "seq"))
            (void)emk_dom_u64(emk_dom_get(t, "seq"), &seq);
        emk_vec_begin(v, "%zu/seq %" PRIu64, c->number, seq);
        if (is_given(t, "seq"))
            (void)emk_vec_number(v, t, "seq", UINT64_MAX);
        if (skip[0])
            emk_vec_skip(v, "%s", skip);
        else if (emk_vec_true(v, "the setup failed", c->receiver != NULL))
            encryption(v, c, t, seq, next);
        emk_vec_end(v);
        next = ++seq;
    }
    for (const emk_dom *t = exports ? exports->first : NULL; t; t = t->next) {
        emk_vec_begin(v, "%zu/export %zu", c->number, n++);
        if (skip[0])
            emk_vec_skip(v, "%s", skip);
        else if (emk_vec_true(v, "the setup failed", c->receiver != NULL))
            export_one(v, c, t);
        emk_vec_end(v);
    }
}

static void check_export_only(emk_vec *v, const hpke_case *c)
{
    uint8_t in[16] = {0}, out[32];

    if (c->common.suite.aead != EMK_AEAD_EXPORT_ONLY)
        return;
    if (c->sender)
        emk_vec_status(v, "seal",
                       emk_hpke_seal(c->sender, emk_span_of("", 0), emk_span_of("", 0), out, NULL),
                       EMK_E_USAGE);
    if (c->receiver)
        emk_vec_status(
            v, "open",
            emk_hpke_open(c->receiver, emk_span_of("", 0), emk_span_of(in, 16), out, NULL),
            EMK_E_USAGE);
}

static void run_case(emk_vec *v, const emk_dom *in, size_t number)
{
    hpke_case c = {.in = in, .number = number};
    char skip[EMK_REPORT_TEXT_MAX];

    emk_vec_begin(v, "%zu/setup", number);
    read_suite(v, in, &c.common);
    setup(v, &c);
    check_export_only(v, &c);
    snprintf(skip, sizeof skip, "%s", v->broken[0] ? "malformed" : v->skip);
    emk_vec_end(v);
    run_parts(v, &c, skip);
    emk_hpke_free(c.sender);
    emk_hpke_free(c.receiver);
    emk_kem_private_free(c.sender_key);
    emk_kem_private_free(c.receiver_key);
}

static bool is_hpke(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && is_given(first, "kem_id") && is_given(first, "enc") &&
           is_given(first, "skRm") && !is_given(first, "expect") && !is_given(first, "step");
}

static void run_hpke(emk_vec *v, const emk_dom *root)
{
    size_t number = 1;

    for (const emk_dom *in = root->first; in; in = in->next)
        run_case(v, in, number++);
}

const emk_json_format emk_format_hpke = {"HPKE vectors [RFC 9180]", is_hpke, run_hpke};

static bool is_xwing(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && is_given(first, "eseed") && is_given(first, "ct") &&
           is_given(first, "ss");
}

static void xwing_one(emk_vec *v, const emk_dom *in)
{
    emk_span sk = emk_vec_hex(v, in, "sk"), pk = emk_vec_hex(v, in, "pk");
    emk_span eseed = emk_vec_hex(v, in, "eseed"), ct = emk_vec_hex(v, in, "ct");
    emk_span ss = emk_vec_hex(v, in, "ss"), seed = emk_vec_hex_opt(v, in, "seed");
    uint8_t enc[EMK_KEM_ENC_MAX], secret[EMK_KEM_SECRET_LEN];
    emk_kem_private *key = NULL;
    emk_error e = {0};
    emk_status st;

    if (!emk_vec_is_well(v))
        return;
    if (!emk_crypto_has(v->crypto, EMK_CRYPTO_ML_KEM_768)) {
        emk_vec_skip(v, "libcrypto has no ML-KEM");
        return;
    }
    if (seed.len > 0)
        emk_vec_same(v, "sk, which is the seed", sk, seed);
    if (!emk_vec_ok(v, "sk", emk_kem_private_new(v->crypto, EMK_KEM_XWING, sk, &key, &e), &e))
        return;
    emk_vec_same(v, "pk", emk_kem_private_public(key), pk);
    st = emk_kem_encap_fixed(v->crypto, EMK_KEM_XWING, pk, eseed, enc, secret, &e);
    if (emk_vec_ok(v, "encap", st, &e)) {
        emk_vec_same(v, "ct", emk_span_of(enc, emk_kem_enc_len(EMK_KEM_XWING)), ct);
        emk_vec_same(v, "ss of encap", emk_span_of(secret, sizeof secret), ss);
    }
    if (emk_vec_ok(v, "decap", emk_kem_decap(key, ct, secret, &e), &e))
        emk_vec_same(v, "ss", emk_span_of(secret, sizeof secret), ss);
    emk_kem_private_free(key);
}

static void run_xwing(emk_vec *v, const emk_dom *root)
{
    size_t number = 1;

    for (const emk_dom *in = root->first; in; in = in->next) {
        emk_vec_begin(v, "%zu", number++);
        xwing_one(v, in);
        emk_vec_end(v);
    }
}

const emk_json_format emk_format_xwing = {"X-Wing KEM vectors", is_xwing, run_xwing};
