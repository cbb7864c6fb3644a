/* JSON Web Encryption with HPKE.  [draft-ietf-jose-hpke-encrypt-16]
 * Integrated: compact or flattened, the HPKE ciphertext is the content.  Key encryption: general
 * form, HPKE wraps the content key for one recipient. */
#include "tests/conformance/formats.h"
#include "tests/conformance/jwk.h"
#include "tests/conformance/suite.h"

#include <inttypes.h>

/* A JWE in the pieces of its general form; the texts are still base64url. */
typedef struct jwe {
    emk_span protected_text, aad_text; /* aad_text.p NULL: there is none */
    emk_span encrypted_key, iv, ciphertext, tag;
    const emk_dom *header; /* of the recipient */
    const emk_dom *head;   /* what protected_text decodes to */
} jwe;

static emk_span decode(emk_vec *v, emk_span text, const char *what)
{
    emk_span out = emk_span_of("", 0);

    if (!emk_vec_unbase64url(v, text, &out))
        emk_vec_malformed(v, "\"%s\" is no base64url", what);
    return out;
}

static emk_span next_part(emk_span *rest)
{
    const uint8_t *dot = rest->len > 0 ? memchr(rest->p, '.', rest->len) : NULL;
    emk_span part = *rest;

    if (dot)
        part.len = (size_t)(dot - rest->p);
    rest->p += part.len + (dot ? 1 : 0);
    rest->len -= part.len + (dot ? 1 : 0);
    return part;
}

static void read_compact(emk_vec *v, emk_span text, jwe *out)
{
    size_t dots = 0;

    for (size_t i = 0; i < text.len; i++)
        dots += text.p[i] == '.';
    if (dots != 4)
        emk_vec_malformed(v, "a compact JWE of %zu parts", dots + 1);
    out->protected_text = next_part(&text);
    out->encrypted_key = decode(v, next_part(&text), "encrypted_key");
    out->iv = decode(v, next_part(&text), "iv");
    out->ciphertext = decode(v, next_part(&text), "ciphertext");
    out->tag = decode(v, next_part(&text), "tag");
}

static emk_span optional(emk_vec *v, const emk_dom *in, const char *key)
{
    return decode(v, emk_vec_text_opt(v, in, key), key);
}

static void read_json(emk_vec *v, const emk_dom *in, jwe *out)
{
    const emk_dom *recipients = emk_dom_get_kind(in, "recipients", EMK_DOM_ARRAY);
    const emk_dom *key_in = recipients ? recipients->first : in;

    if (recipients && recipients->n != 1)
        emk_vec_skip(v, "unsupported: JWE with other than one recipient");
    out->protected_text = emk_vec_text(v, in, "protected");
    if (emk_dom_get(in, "aad"))
        out->aad_text = emk_vec_text(v, in, "aad");
    out->encrypted_key = optional(v, key_in, "encrypted_key");
    out->header = emk_dom_get_kind(key_in, "header", EMK_DOM_OBJECT);
    out->iv = optional(v, in, "iv");
    out->ciphertext = emk_vec_base64url(v, in, "ciphertext");
    out->tag = optional(v, in, "tag");
}

static bool read_jwe(emk_vec *v, const emk_dom *in, jwe *out)
{
    emk_span head;
    emk_error e = {0};

    if (emk_dom_get(in, "jwe_compact"))
        read_compact(v, emk_vec_text(v, in, "jwe_compact"), out);
    else if (emk_dom_get(in, "jwe_flattened"))
        read_json(v, emk_vec_object(v, in, "jwe_flattened"), out);
    else
        read_json(v, emk_vec_object(v, in, "jwe_general"), out);
    head = decode(v, out->protected_text, "protected");
    return emk_vec_is_well(v) &&
           emk_vec_ok(v, "protected", emk_dom_parse(&v->scratch, head, &out->head, &e), &e);
}

/* A header parameter: in the protected header or in the recipient's. */
static const emk_dom *parameter(const jwe *j, const char *name)
{
    const emk_dom *p = emk_dom_get_kind(j->head, name, EMK_DOM_STRING);

    return p ? p : emk_dom_get_kind(j->header, name, EMK_DOM_STRING);
}

static bool find_key(emk_vec *v, const emk_dom *root, emk_span kid, emk_jwk *out)
{
    const emk_dom *keys = emk_dom_get_kind(root, "keys", EMK_DOM_ARRAY);

    for (const emk_dom *k = keys ? keys->first : NULL; k; k = k->next) {
        const emk_dom *name = emk_dom_get_kind(k, "kid", EMK_DOM_STRING);

        if (name && emk_span_equal(name->text, kid) && emk_jwk_read(v, k, out))
            return true;
    }
    emk_vec_malformed(v, "no key for this kid");
    return false;
}

/* protected, or protected "." aad: what both ciphers authenticate along. */
static emk_span content_aad(emk_vec *v, const jwe *j)
{
    const emk_span parts[3] = {j->protected_text, emk_span_str("."), j->aad_text};

    return emk_vec_join(v, parts, j->aad_text.p ? 3 : 1);
}

static void open_content(emk_vec *v, const jwe *j, emk_span enc, emk_span cek, emk_span want)
{
    bool wide = emk_span_equal(enc, emk_span_str("A256GCM"));
    uint16_t id = wide ? EMK_AEAD_AES_256_GCM : EMK_AEAD_AES_128_GCM;
    uint8_t *out = emk_vec_take(v, j->ciphertext.len);
    emk_aead *aead = NULL;
    emk_error e = {0};

    if (!wide && !emk_span_equal(enc, emk_span_str("A128GCM"))) {
        emk_vec_skip(v, "unsupported: JWE with enc %.*s", EMK_VEC_SHOWN(enc));
        return;
    }
    if (emk_vec_true(v, "lengths of content key, iv and tag",
                     cek.len == emk_aead_key_len(id) && j->iv.len == EMK_AEAD_NONCE_LEN &&
                         j->tag.len == EMK_AEAD_TAG_LEN) &&
        emk_vec_ok(v, "aead", emk_aead_new(v->crypto, id, &aead, &e), &e) &&
        emk_vec_ok(v, "content key", emk_aead_set_key(aead, cek.p, &e), &e) &&
        emk_vec_ok(
            v, "content",
            emk_aead_open(aead, j->iv.p, content_aad(v, j), j->ciphertext, j->tag.p, out, &e), &e))
        emk_vec_same(v, "plaintext", emk_span_of(out, j->ciphertext.len), want);
    emk_aead_free(aead);
}

static bool open_hpke(emk_vec *v, const emk_hpke_in *in, const emk_jwk *jwk, emk_span enc,
                      emk_span sealed, emk_span *out)
{
    emk_kem_private *key = NULL;
    uint8_t *plain = emk_vec_take(v, sealed.len);
    emk_error e = {0};
    bool opened = false;

    if (emk_vec_true(v, "the ciphertext has a tag", sealed.len >= EMK_AEAD_TAG_LEN) &&
        emk_vec_ok(v, "private key",
                   emk_kem_private_new(v->crypto, in->suite.kem, jwk->private_key, &key, &e), &e)) {
        emk_vec_same(v, "public key", emk_kem_private_public(key), jwk->public_key);
        opened = emk_vec_ok(v, "open", emk_hpke_open_once(in, key, enc, sealed, plain, &e), &e);
        *out = emk_span_of(plain, sealed.len - EMK_AEAD_TAG_LEN);
    }
    emk_kem_private_free(key);
    return opened;
}

static void run_integrated(emk_vec *v, const jwe *j, emk_hpke_in in, const emk_jwk *jwk,
                           emk_span want)
{
    emk_span plain;

    in.aad = content_aad(v, j);
    emk_vec_true(v, "iv and tag are empty", j->iv.len == 0 && j->tag.len == 0);
    if (open_hpke(v, &in, jwk, j->encrypted_key, j->ciphertext, &plain))
        emk_vec_same(v, "plaintext", plain, want);
}

/* HPKE's info names the content encryption, so that no other can be put in its place. */
static void run_key_encryption(emk_vec *v, const jwe *j, emk_hpke_in in, const emk_jwk *jwk,
                               const emk_dom *test, emk_span want)
{
    const emk_dom *enc = parameter(j, "enc"), *ek = parameter(j, "ek");
    emk_span cek, ek_bytes;

    if (!enc || !ek) {
        emk_vec_malformed(v, "\"enc\" or \"ek\" is missing");
        return;
    }
    ek_bytes = decode(v, ek->text, "ek");
    in.info = emk_vec_join(
        v, (const emk_span[]){emk_span_str("JOSE-HPKE rcpt\xff"), enc->text, emk_span_str("\xff")},
        3);
    if (emk_dom_get(test, "hpke_info_hex"))
        emk_vec_same(v, "hpke_info_hex", in.info, emk_vec_hex(v, test, "hpke_info_hex"));
    if (!emk_vec_is_well(v) || !open_hpke(v, &in, jwk, ek_bytes, j->encrypted_key, &cek))
        return;
    if (emk_dom_get(test, "cek"))
        emk_vec_same(v, "cek", cek, emk_vec_hex(v, test, "cek"));
    open_content(v, j, enc->text, cek, want);
}

static void run_one(emk_vec *v, const emk_dom *root, const emk_dom *test)
{
    jwe j = {0};
    emk_hpke_in in = {0};
    emk_jwk jwk;
    const emk_dom *alg;
    emk_span plain = emk_vec_text(v, root, "plaintext");
    bool key_encryption;

    if (!read_jwe(v, test, &j) || !find_key(v, root, emk_vec_text(v, test, "kid"), &jwk))
        return;
    alg = parameter(&j, "alg");
    if (!alg || !emk_suite_from_name(alg->text, &in.suite, &key_encryption)) {
        emk_vec_skip(v, "unsupported: JOSE-HPKE with such an algorithm");
        return;
    }
    if (emk_dom_get(j.head, "psk_id") || emk_dom_get(j.head, "crit")) {
        emk_vec_skip(v, "unsupported: JOSE-HPKE with psk_id or crit");
        return;
    }
    if (!emk_suite_is_run(v, in.suite))
        return;
    if (key_encryption)
        run_key_encryption(v, &j, in, &jwk, test, plain);
    else
        run_integrated(v, &j, in, &jwk, plain);
}

static bool is_jose_hpke(const emk_dom *root, const emk_dom *first)
{
    const emk_dom *tests = emk_dom_get_kind(root, "vectors", EMK_DOM_ARRAY);

    (void)first;
    return tests && emk_dom_get_kind(root, "keys", EMK_DOM_ARRAY) &&
           (emk_dom_get(tests->first, "jwe_compact") || emk_dom_get(tests->first, "jwe_general") ||
            emk_dom_get(tests->first, "jwe_flattened"));
}

static void run_jose_hpke(emk_vec *v, const emk_dom *root)
{
    const emk_dom *tests = emk_dom_get_kind(root, "vectors", EMK_DOM_ARRAY);
    uint64_t id = 0;

    for (const emk_dom *test = tests->first; test; test = test->next) {
        id++;
        (void)emk_dom_u64(emk_dom_get(test, "id"), &id);
        emk_vec_begin(v, "id %" PRIu64, id);
        run_one(v, root, test);
        emk_vec_end(v);
    }
}

const emk_json_format emk_format_jose_hpke = {"JOSE-HPKE", is_jose_hpke, run_jose_hpke};
