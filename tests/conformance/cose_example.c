/* The COSE working group's examples: one message in one file, its keys in "input".
 *
 * Whether a file can be run is decided by what "input" asks for (algorithm, key, recipients),
 * never by what the message says: a message that names another algorithm is one that must be
 * refused, not one to be left out. */
#include "core/base/secret.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/sign.h"
#include "tests/conformance/cose_parts.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/jwk.h"

typedef struct message_kind {
    const char *member; /* of "input" */
    uint64_t tag;
    const char *context; /* of the structure that is signed or authenticated */
    void (*run)(emk_vec *v, const struct message_kind *kind, const emk_dom *root);
} message_kind;

/* What all kinds need of a file. */
typedef struct example {
    const message_kind *kind;
    const emk_dom *in; /* input.sign0 and so on */
    bool fail;
    emk_span plain, external, message;
} example;

static emk_span read_plain(emk_vec *v, const emk_dom *input)
{
    if (emk_dom_get(input, "plaintext_hex"))
        return emk_vec_hex(v, input, "plaintext_hex");
    return emk_vec_text(v, input, "plaintext");
}

static bool read_example(emk_vec *v, const message_kind *kind, const emk_dom *root, example *out)
{
    const emk_dom *input = emk_vec_object(v, root, "input");
    const emk_dom *fail = emk_dom_get_kind(root, "fail", EMK_DOM_BOOL);

    out->kind = kind;
    out->in = emk_vec_object(v, input, kind->member);
    out->fail = fail && fail->truth;
    out->plain = read_plain(v, input);
    out->external = emk_vec_hex_opt(v, out->in, "external");
    out->message = emk_vec_hex(v, emk_vec_object(v, root, "output"), "cbor");
    return emk_vec_is_well(v);
}

/* The name of an algorithm: beside the key, or in one of the header maps. */
static emk_span alg_name(const emk_dom *in)
{
    static const char *const maps[] = {"protected", "unprotected", "unsent"};
    const emk_dom *alg = emk_dom_get_kind(in, "alg", EMK_DOM_STRING);

    for (size_t i = 0; !alg && i < sizeof maps / sizeof maps[0]; i++)
        alg = emk_dom_get_kind(emk_dom_get(in, maps[i]), "alg", EMK_DOM_STRING);
    return alg ? alg->text : emk_span_str("no algorithm");
}

typedef struct alg {
    const char *name;
    int64_t number;
    uint16_t aead;     /* content encryption */
    size_t tag_len;    /* MAC */
    emk_sign_alg sign; /* signature, and the kind of key that goes with it */
    emk_jwk_kind key;
} alg;

static const alg algs[] = {
    {"A128GCM", 1, EMK_AEAD_AES_128_GCM, 0, 0, EMK_JWK_OCT},
    {"A256GCM", 3, EMK_AEAD_AES_256_GCM, 0, 0, EMK_JWK_OCT},
    {"ChaCha-Poly1305", 24, EMK_AEAD_CHACHA20_POLY1305, 0, 0, EMK_JWK_OCT},
    {"HS256/64", 4, 0, 8, 0, EMK_JWK_OCT},
    {"HS256", 5, 0, 32, 0, EMK_JWK_OCT},
    {"ES256", -7, 0, 0, EMK_SIGN_ES256, EMK_JWK_P256},
    {"EdDSA", -8, 0, 0, EMK_SIGN_ED25519, EMK_JWK_ED25519},
};

/* The algorithm and key that the file asks for; NULL, and skipped, when not ours. */
static const alg *find_alg(emk_vec *v, const emk_dom *in, const emk_dom *key_of, emk_jwk *key)
{
    emk_span name = alg_name(in);
    const emk_dom *jwk = emk_vec_object(v, key_of, "key");

    if (!emk_vec_is_well(v))
        return NULL;
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        if (!emk_span_equal(name, emk_span_str(algs[i].name)))
            continue;
        if (!emk_jwk_read(v, jwk, key))
            emk_vec_malformed(v, "the key");
        else if (key->kind == algs[i].key)
            return &algs[i];
        else
            emk_vec_skip(v, "unsupported: COSE %.*s with such a key", EMK_VEC_SHOWN(name));
        return NULL;
    }
    emk_vec_skip(v, "unsupported: COSE algorithm %.*s", EMK_VEC_SHOWN(name));
    return NULL;
}

/* The message was read, its head fits the algorithm, and what the check said. */
static void judge(emk_vec *v, const example *x, emk_status st, const emk_error *e)
{
    if (!x->fail)
        emk_vec_ok(v, "message", st, e);
    else if (st == EMK_E_UNSUPPORTED)
        emk_vec_status(v, "message", st, EMK_E_UNSUPPORTED);
    else
        emk_vec_refused(v, "message", st);
}

static emk_status check_head(const emk_cose_head *head, const alg *a, emk_error *e)
{
    if (!head->has_alg || head->alg != a->number)
        return emk_fail(e, EMK_E_UNSUPPORTED, "cose: another algorithm", 0);
    if (head->has_crit)
        return emk_fail(e, EMK_E_UNSUPPORTED, "cose: critical parameters", 0);
    return EMK_OK;
}

/* intermediates.<key>, where the message is as its maker meant it. */
static void compare_structure(emk_vec *v, const example *x, const emk_dom *in, const char *key,
                              emk_span got)
{
    if (!x->fail && emk_dom_get(in, key))
        emk_vec_same(v, key, got, emk_vec_hex(v, in, key));
}

/* Drafts before RFC 8152 called "Encrypt0" "Encrypt1".  Some examples still show that name in
 * what they say was authenticated, though what was authenticated has the new one. */
static void compare_aad(emk_vec *v, const example *x, const emk_dom *in, emk_span got)
{
    enum { NAME_END = 9 }; /* 83 68 "Encrypt0" */
    uint8_t *old = emk_vec_take(v, got.len);

    if (got.len > 0)
        memcpy(old, got.p, got.len);
    if (x->kind->tag == EMK_COSE_TAG_ENCRYPT0 && got.len > NAME_END)
        old[NAME_END] = '1';
    if (!emk_span_equal(emk_vec_hex_opt(v, in, "AAD_hex"), emk_span_of(old, got.len)))
        compare_structure(v, x, in, "AAD_hex", got);
}

static emk_span payload_of(const example *x, const emk_cose_layer *layer)
{
    return layer->content.p ? layer->content : x->plain; /* nil: detached */
}

static emk_status verify(emk_vec *v, const alg *a, emk_span pub, emk_span signed_bytes,
                         emk_span sig, emk_error *e)
{
    emk_verify_key *key = NULL;
    emk_status st = emk_verify_key_new(v->crypto, a->sign, pub, &key, e);

    if (st == EMK_OK)
        st = emk_sign_verify(key, signed_bytes, sig, e);
    emk_verify_key_free(key);
    return st;
}

static void run_sign1(emk_vec *v, const message_kind *kind, const emk_dom *root)
{
    example x;
    emk_jwk key;
    const alg *a = read_example(v, kind, root, &x) ? find_alg(v, x.in, x.in, &key) : NULL;
    emk_cbor_reader c;
    emk_cose_layer layer;
    emk_span sig, tbs;
    emk_error e = {0};
    emk_status st;

    if (!a)
        return;
    emk_cbor_reader_init(&c, x.message);
    emk_cose_enter(&c, kind->tag);
    (void)emk_cbor_enter_array(&c);
    emk_cose_read_layer(&c, &layer);
    sig = emk_cbor_read_bytes(&c);
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, &e);
    if (st == EMK_OK)
        st = check_head(&layer.head, a, &e);
    if (st == EMK_OK) {
        tbs = emk_cose_structure_bytes(
            v, &(emk_cose_structure){kind->context,
                                     (const emk_span[]){layer.head.protected_bytes, x.external,
                                                        payload_of(&x, &layer)},
                                     3});
        compare_structure(v, &x, emk_dom_get(root, "intermediates"), "ToBeSign_hex", tbs);
        st = verify(v, a, key.public_key, tbs, sig, &e);
    }
    judge(v, &x, st, &e);
}

static emk_status check_signer(emk_vec *v, const example *x, const emk_cose_layer *body,
                               const emk_cose_layer *signer, const emk_dom *about[2], emk_error *e)
{
    emk_jwk key;
    const alg *a = find_alg(v, about[0], about[0], &key);
    emk_span tbs;
    emk_status st;

    if (!a)
        return EMK_E_UNSUPPORTED;
    st = check_head(&signer->head, a, e);
    if (st != EMK_OK)
        return st;
    tbs = emk_cose_structure_bytes(
        v, &(emk_cose_structure){
               x->kind->context,
               (const emk_span[]){body->head.protected_bytes, signer->head.protected_bytes,
                                  emk_vec_hex_opt(v, about[0], "external"), payload_of(x, body)},
               4});
    compare_structure(v, x, about[1], "ToBeSign_hex", tbs);
    return verify(v, a, key.public_key, tbs, signer->content, e);
}

/* All signatures of the message, each with the signer at its place in "input". */
static void run_sign(emk_vec *v, const message_kind *kind, const emk_dom *root)
{
    example x;
    emk_cbor_reader c;
    emk_cose_layer body, signer;
    const emk_dom *made, *about[2];
    emk_error e = {0};
    emk_status st = EMK_OK;
    size_t n;

    if (!read_example(v, kind, root, &x) || !emk_vec_array(v, x.in, "signers"))
        return;
    about[0] = emk_dom_get(x.in, "signers")->first;
    made = emk_dom_get_kind(emk_dom_get(root, "intermediates"), "signers", EMK_DOM_ARRAY);
    about[1] = made ? made->first : NULL;
    emk_cbor_reader_init(&c, x.message);
    emk_cose_enter(&c, kind->tag);
    (void)emk_cbor_enter_array(&c);
    emk_cose_read_layer(&c, &body);
    n = emk_cbor_enter_array(&c);
    if (emk_cbor_ok(&c) && (n == 0 || body.head.has_crit))
        st = emk_fail(&e, EMK_E_UNSUPPORTED, "cose: no signers, or critical parameters", n);
    for (size_t i = 0; i < n && emk_cbor_ok(&c) && st == EMK_OK; i++) {
        (void)emk_cbor_enter_array(&c);
        emk_cose_read_layer(&c, &signer);
        emk_cbor_leave(&c);
        if (!about[0])
            st = emk_fail(&e, EMK_E_SIGNATURE, "cose: more signatures than signers", n);
        else if (emk_cbor_ok(&c))
            st = check_signer(v, &x, &body, &signer, about, &e);
        about[0] = about[0] ? about[0]->next : NULL;
        about[1] = about[1] ? about[1]->next : NULL;
    }
    if (st == EMK_OK) {
        emk_cbor_leave(&c);
        emk_cbor_leave(&c);
        st = emk_cbor_finish(&c, &e);
    }
    if (!v->skip[0] && !v->broken[0])
        judge(v, &x, st, &e);
}

/* The one recipient, who must have the content key itself. */
static const emk_dom *direct_recipient(emk_vec *v, const example *x)
{
    const emk_dom *recipients = emk_dom_get_kind(x->in, "recipients", EMK_DOM_ARRAY);
    emk_span name;

    if (!recipients || recipients->n != 1) {
        emk_vec_skip(v, "unsupported: COSE with other than one recipient");
        return NULL;
    }
    name = alg_name(recipients->first);
    if (!emk_span_equal(name, emk_span_str("direct"))) {
        emk_vec_skip(v, "unsupported: COSE recipient with %.*s", EMK_VEC_SHOWN(name));
        return NULL;
    }
    return recipients->first;
}

/* In COSE_Encrypt and COSE_Mac a list of recipients follows: one, "direct", nothing in it. */
static void read_recipients(emk_cbor_reader *c, uint64_t tag)
{
    emk_cose_layer recipient;

    if (tag != EMK_COSE_TAG_ENCRYPT && tag != EMK_COSE_TAG_MAC)
        return;
    if (emk_cbor_enter_array(c) != 1)
        emk_cbor_fail(c, EMK_E_FORMAT, "cose: other than one recipient", c->in.pos);
    (void)emk_cbor_enter_array(c);
    emk_cose_read_layer(c, &recipient);
    emk_cbor_leave(c);
    emk_cbor_leave(c);
    if (emk_cbor_ok(c) && (recipient.head.alg != -6 || recipient.content.len != 0))
        emk_cbor_fail(c, EMK_E_UNSUPPORTED, "cose: a recipient that is not direct", c->in.pos);
}

static emk_status open_content(emk_vec *v, const alg *a, const emk_cose_layer *layer,
                               const emk_span with[3], emk_span *plain, emk_error *e)
{
    emk_span key = with[0], nonce = with[1], content = layer->content;
    size_t len = content.len - EMK_AEAD_TAG_LEN;
    emk_aead *aead = NULL;
    uint8_t *out;
    emk_status st;

    if (key.len != emk_aead_key_len(a->aead) || nonce.len != EMK_AEAD_NONCE_LEN ||
        content.len < EMK_AEAD_TAG_LEN)
        return emk_fail(e, EMK_E_FORMAT, "cose: a length", content.len);
    out = emk_vec_take(v, len);
    st = emk_aead_new(v->crypto, a->aead, &aead, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(aead, key.p, e);
    if (st == EMK_OK)
        st = emk_aead_open(aead, nonce.p, with[2], emk_span_of(content.p, len), content.p + len,
                           out, e);
    emk_aead_free(aead);
    if (st == EMK_OK)
        *plain = emk_span_of(out, len);
    return st;
}

static void run_encrypt(emk_vec *v, const message_kind *kind, const emk_dom *root)
{
    example x;
    emk_jwk key;
    const emk_dom *recipient = read_example(v, kind, root, &x) ? direct_recipient(v, &x) : NULL;
    const alg *a = recipient ? find_alg(v, x.in, recipient, &key) : NULL;
    emk_cbor_reader c;
    emk_cose_layer layer;
    emk_span aad, nonce, plain;
    emk_error e = {0};
    emk_status st;

    if (!a)
        return;
    emk_cbor_reader_init(&c, x.message);
    emk_cose_enter(&c, kind->tag);
    (void)emk_cbor_enter_array(&c);
    emk_cose_read_layer(&c, &layer);
    read_recipients(&c, kind->tag);
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, &e);
    if (st == EMK_OK)
        st = check_head(&layer.head, a, &e);
    if (st == EMK_OK) {
        aad = emk_cose_structure_bytes(
            v, &(emk_cose_structure){
                   kind->context, (const emk_span[]){layer.head.protected_bytes, x.external}, 2});
        compare_aad(v, &x, emk_dom_get(root, "intermediates"), aad);
        nonce = layer.head.iv; /* a partial IV is completed by what both sides know */
        if (nonce.len == 0)
            nonce = emk_vec_hex_opt(v, emk_dom_get(x.in, "unsent"), "IV_hex");
        st =
            open_content(v, a, &layer, (const emk_span[]){key.private_key, nonce, aad}, &plain, &e);
        if (st == EMK_OK && !x.fail)
            emk_vec_same(v, "plaintext", plain, x.plain);
    }
    judge(v, &x, st, &e);
}

static emk_status check_mac(emk_vec *v, const alg *a, emk_span key, emk_span authenticated,
                            emk_span tag, emk_error *e)
{
    uint8_t mac[EMK_HMAC_LEN];
    emk_status st = emk_hmac_sha256(v->crypto, key, &authenticated, 1, mac, e);

    if (st != EMK_OK)
        return st;
    if (tag.len != a->tag_len || !emk_ct_equal(mac, tag.p, tag.len))
        return emk_fail(e, EMK_E_SEALED, "cose: another tag", tag.len);
    return EMK_OK;
}

static void run_mac(emk_vec *v, const message_kind *kind, const emk_dom *root)
{
    example x;
    emk_jwk key;
    const emk_dom *recipient = read_example(v, kind, root, &x) ? direct_recipient(v, &x) : NULL;
    const alg *a = recipient ? find_alg(v, x.in, recipient, &key) : NULL;
    emk_cbor_reader c;
    emk_cose_layer layer;
    emk_span tag, authenticated;
    emk_error e = {0};
    emk_status st;

    if (!a)
        return;
    emk_cbor_reader_init(&c, x.message);
    emk_cose_enter(&c, kind->tag);
    (void)emk_cbor_enter_array(&c);
    emk_cose_read_layer(&c, &layer);
    tag = emk_cbor_read_bytes(&c);
    read_recipients(&c, kind->tag);
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, &e);
    if (st == EMK_OK)
        st = check_head(&layer.head, a, &e);
    if (st == EMK_OK) {
        authenticated = emk_cose_structure_bytes(
            v, &(emk_cose_structure){kind->context,
                                     (const emk_span[]){layer.head.protected_bytes, x.external,
                                                        payload_of(&x, &layer)},
                                     3});
        compare_structure(v, &x, emk_dom_get(root, "intermediates"), "ToMac_hex", authenticated);
        st = check_mac(v, a, key.private_key, authenticated, tag, &e);
    }
    judge(v, &x, st, &e);
}

static const message_kind kinds[] = {
    {"sign0", EMK_COSE_TAG_SIGN1, "Signature1", run_sign1},
    {"sign", EMK_COSE_TAG_SIGN, "Signature", run_sign},
    {"encrypted", EMK_COSE_TAG_ENCRYPT0, "Encrypt0", run_encrypt},
    {"enveloped", EMK_COSE_TAG_ENCRYPT, "Encrypt", run_encrypt},
    {"mac0", EMK_COSE_TAG_MAC0, "MAC0", run_mac},
    {"mac", EMK_COSE_TAG_MAC, "MAC", run_mac},
};

static const message_kind *find_kind(const emk_dom *root)
{
    const emk_dom *input = emk_dom_get(root, "input");

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (emk_dom_get(input, kinds[i].member))
            return &kinds[i];
    return NULL;
}

static bool is_example(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return emk_dom_get_kind(emk_dom_get(root, "output"), "cbor", EMK_DOM_STRING) &&
           emk_dom_get_kind(root, "input", EMK_DOM_OBJECT);
}

static void run_example(emk_vec *v, const emk_dom *root)
{
    const message_kind *kind = find_kind(root);
    const emk_dom *title = emk_dom_get_kind(root, "title", EMK_DOM_STRING);
    emk_span name = title ? title->text : emk_span_str("message");

    emk_vec_begin(v, "%.*s", EMK_VEC_SHOWN(name));
    if (kind)
        kind->run(v, kind, root);
    else
        emk_vec_skip(v, "unsupported: a COSE message of another kind");
    emk_vec_end(v);
}

const emk_json_format emk_format_cose_example = {"COSE example [RFC 9052]", is_example,
                                                 run_example};
