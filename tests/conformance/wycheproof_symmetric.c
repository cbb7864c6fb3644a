/* Wycheproof: AEADs, HMAC, HKDF, PBKDF2. */
#include "core/base/secret.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "tests/conformance/wycheproof.h"

#include <inttypes.h>

typedef struct aead_case {
    emk_span key, iv, aad, msg, ct, tag;
    uint16_t id;
} aead_case;

static uint16_t aead_id(emk_span algorithm, size_t key_len)
{
    if (emk_span_equal(algorithm, emk_span_str("CHACHA20-POLY1305")))
        return EMK_AEAD_CHACHA20_POLY1305;
    if (!emk_span_equal(algorithm, emk_span_str("AES-GCM")))
        return 0;
    if (key_len == 16)
        return EMK_AEAD_AES_128_GCM;
    return key_len == 32 ? EMK_AEAD_AES_256_GCM : 0;
}

/* What our API has no way to say is left out: that is the refusal these vectors ask for. */
static bool can_be_said(emk_vec *v, const emk_wp_test *t, aead_case *c)
{
    uint64_t tag_bits = c->tag.len * 8;

    (void)emk_dom_u64(emk_dom_get(t->group, "tagSize"), &tag_bits);
    c->id = aead_id(t->algorithm, c->key.len);
    if (c->id == 0)
        emk_vec_skip(v, "no such cipher here: %.*s with %zu key bits", EMK_VEC_SHOWN(t->algorithm),
                     c->key.len * 8);
    else if (c->key.len != emk_aead_key_len(c->id))
        emk_vec_skip(v, "refused as designed: key length");
    else if (c->iv.len != EMK_AEAD_NONCE_LEN)
        emk_vec_skip(v, "refused as designed: the nonce has not 96 bits");
    else if (tag_bits != (uint64_t)EMK_AEAD_TAG_LEN * 8 || c->tag.len != EMK_AEAD_TAG_LEN)
        emk_vec_skip(v, "refused as designed: the tag has not 128 bits");
    return emk_vec_is_well(v);
}

static void seal(emk_vec *v, emk_aead *aead, const aead_case *c)
{
    uint8_t *out = emk_vec_take(v, c->msg.len), tag[EMK_AEAD_TAG_LEN];
    emk_error e = {0};

    if (!emk_vec_ok(v, "seal", emk_aead_seal(aead, c->iv.p, c->aad, c->msg, out, tag, &e), &e))
        return;
    emk_vec_same(v, "ct", emk_span_of(out, c->msg.len), c->ct);
    emk_vec_same(v, "tag", emk_span_of(tag, sizeof tag), c->tag);
}

static void open_valid(emk_vec *v, emk_aead *aead, const aead_case *c)
{
    uint8_t *out = emk_vec_take(v, c->ct.len);
    emk_error e = {0};
    emk_status st = emk_aead_open(aead, c->iv.p, c->aad, c->ct, c->tag.p, out, &e);

    if (emk_vec_ok(v, "open", st, &e))
        emk_vec_same(v, "opened", emk_span_of(out, c->ct.len), c->msg);
}

static void open_invalid(emk_vec *v, emk_aead *aead, const aead_case *c)
{
    uint8_t *out = emk_vec_take(v, c->ct.len), *zeros = emk_vec_take(v, c->ct.len);
    emk_status st;

    memset(out, 0xa5, c->ct.len);
    st = emk_aead_open(aead, c->iv.p, c->aad, c->ct, c->tag.p, out, NULL);
    emk_vec_status(v, "open", st, EMK_E_SEALED);
    emk_vec_same(v, "bytes let out", emk_span_of(out, c->ct.len), emk_span_of(zeros, c->ct.len));
}

void emk_wp_aead(emk_vec *v, const emk_wp_test *t)
{
    aead_case c = {
        .key = emk_vec_hex(v, t->test, "key"),
        .iv = emk_vec_hex(v, t->test, "iv"),
        .aad = emk_vec_hex(v, t->test, "aad"),
        .msg = emk_vec_hex(v, t->test, "msg"),
        .ct = emk_vec_hex(v, t->test, "ct"),
        .tag = emk_vec_hex(v, t->test, "tag"),
    };
    emk_aead *aead = NULL;
    emk_error e = {0};

    if (!emk_vec_is_well(v) || !can_be_said(v, t, &c))
        return;
    if (emk_vec_ok(v, "new", emk_aead_new(v->crypto, c.id, &aead, &e), &e) &&
        emk_vec_ok(v, "key", emk_aead_set_key(aead, c.key.p, &e), &e)) {
        if (t->result == EMK_WP_INVALID) {
            open_invalid(v, aead, &c);
        } else {
            seal(v, aead, &c);
            open_valid(v, aead, &c);
        }
    }
    emk_aead_free(aead);
}

void emk_wp_mac(emk_vec *v, const emk_wp_test *t)
{
    emk_span key = emk_vec_hex(v, t->test, "key"), msg = emk_vec_hex(v, t->test, "msg");
    emk_span tag = emk_vec_hex(v, t->test, "tag");
    uint8_t mac[EMK_HMAC_LEN];
    uint64_t tag_bits = tag.len * 8;
    emk_error e = {0};
    bool same;

    (void)emk_dom_u64(emk_dom_get(t->group, "tagSize"), &tag_bits);
    if (!emk_span_equal(t->algorithm, emk_span_str("HMACSHA256")))
        emk_vec_skip(v, "no such MAC here: %.*s", EMK_VEC_SHOWN(t->algorithm));
    if (!emk_vec_is_well(v) ||
        !emk_vec_ok(v, "hmac", emk_hmac_sha256(v->crypto, key, &msg, 1, mac, &e), &e))
        return;
    same = tag.len * 8 == tag_bits && tag.len <= sizeof mac && emk_ct_equal(mac, tag.p, tag.len);
    if (t->result == EMK_WP_INVALID)
        emk_vec_true(v, "tag: expected another one, got this", !same);
    else if (tag.len <= sizeof mac)
        emk_vec_same(v, "tag", emk_span_of(mac, tag.len), tag);
    else
        emk_vec_malformed(v, "a tag of %zu bytes", tag.len);
}

void emk_wp_hkdf(emk_vec *v, const emk_wp_test *t)
{
    emk_span ikm = emk_vec_hex(v, t->test, "ikm"), salt = emk_vec_hex(v, t->test, "salt");
    emk_span info = emk_vec_hex(v, t->test, "info"), okm = emk_vec_hex(v, t->test, "okm");
    uint64_t size = emk_vec_number(v, t->test, "size", EMK_VEC_BUFFER_MAX);
    uint8_t prk[32], *out = emk_vec_take_asked(v, size);
    emk_error e = {0};
    emk_status st;

    if (!emk_span_equal(t->algorithm, emk_span_str("HKDF-SHA-256")))
        emk_vec_skip(v, "no such KDF here: %.*s", EMK_VEC_SHOWN(t->algorithm));
    if (!emk_vec_is_well(v) ||
        !emk_vec_ok(v, "extract", emk_hkdf_extract(v->crypto, salt, ikm, prk, &e), &e))
        return;
    st = emk_hkdf_expand(v->crypto, prk, info, out, (size_t)size, &e);
    if (t->result == EMK_WP_INVALID)
        emk_vec_refused(v, "expand", st);
    else if (emk_vec_ok(v, "expand", st, &e))
        emk_vec_same(v, "okm", emk_span_of(out, (size_t)size), okm);
}

void emk_wp_pbkdf2(emk_vec *v, const emk_wp_test *t)
{
    emk_pbkdf2 p = {.pass = emk_vec_hex(v, t->test, "password"),
                    .salt = emk_vec_hex(v, t->test, "salt")};
    emk_span dk = emk_vec_hex(v, t->test, "dk");
    uint64_t len = emk_vec_number(v, t->test, "dkLen", EMK_VEC_BUFFER_MAX);
    uint8_t *out = emk_vec_take_asked(v, len);
    emk_error e = {0};
    emk_status st;

    p.iterations = (uint32_t)emk_vec_number(v, t->test, "iterationCount", UINT32_MAX);
    if (!emk_span_equal(t->algorithm, emk_span_str("PBKDF2-HMACSHA256")))
        emk_vec_skip(v, "no such KDF here: %.*s", EMK_VEC_SHOWN(t->algorithm));
    if (!emk_vec_is_well(v))
        return;
    st = emk_pbkdf2_derive(v->crypto, &p, out, (size_t)len, &e);
    if (t->result == EMK_WP_INVALID)
        emk_vec_refused(v, "derive", st);
    else if (st == EMK_E_LIMIT)
        emk_vec_skip(v, "refused as designed: beyond our limits for PBKDF2");
    else if (emk_vec_ok(v, "derive", st, &e))
        emk_vec_same(v, "dk", emk_span_of(out, (size_t)len), dk);
}
