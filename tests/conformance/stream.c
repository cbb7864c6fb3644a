/* Chunked AEAD vectors: what must come out byte for byte, and what must be refused. */
#include "core/crypto/hash.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/shake128.h"
#include "tests/conformance/stream_cipher.h"

#include <inttypes.h>

static uint16_t aead_by_name(emk_span name)
{
    if (emk_span_equal(name, emk_span_str("AES-128-GCM")))
        return EMK_AEAD_AES_128_GCM;
    if (emk_span_equal(name, emk_span_str("AES-256-GCM")))
        return EMK_AEAD_AES_256_GCM;
    if (emk_span_equal(name, emk_span_str("ChaCha20-Poly1305")))
        return EMK_AEAD_CHACHA20_POLY1305;
    return 0;
}

static bool read_stream(emk_vec *v, const emk_dom *in, emk_stream *s)
{
    emk_span aead = emk_vec_text(v, in, "aead"), layout = emk_vec_text(v, in, "layout");
    size_t prefix_len = 0;

    s->aead = aead_by_name(aead);
    s->key = emk_vec_hex(v, in, "key");
    s->prefix = emk_vec_hex_opt(v, in, "prefix");
    s->chunk = (size_t)emk_vec_number(v, in, "chunk", EMK_VEC_BUFFER_MAX);
    if (!emk_vec_is_well(v))
        return false;
    if (emk_span_equal(layout, emk_span_str("prefix7_ctr4be_last1")))
        prefix_len = 7;
    else if (!emk_span_equal(layout, emk_span_str("ctr11be_last1")))
        emk_vec_skip(v, "no such nonce layout here: %.*s", EMK_VEC_SHOWN(layout));
    if (s->aead == 0)
        emk_vec_skip(v, "no such cipher here: %.*s", EMK_VEC_SHOWN(aead));
    else if (s->key.len != emk_aead_key_len(s->aead) || s->chunk == 0)
        emk_vec_malformed(v, "the key's or the chunk's length");
    if (emk_vec_is_well(v) && s->prefix.len != prefix_len)
        emk_vec_malformed(v, "a prefix of %zu bytes", s->prefix.len);
    return emk_vec_is_well(v);
}

static emk_span read_plain(emk_vec *v, const emk_dom *in)
{
    emk_span seed;
    uint64_t len;
    uint8_t *out;

    if (emk_dom_get(in, "plaintext"))
        return emk_vec_hex(v, in, "plaintext");
    seed = emk_vec_hex(v, in, "plaintext_shake128_seed");
    len = emk_vec_number(v, in, "plaintext_length", EMK_VEC_BUFFER_MAX);
    out = emk_vec_take_asked(v, len);
    emk_shake128(seed, out, (size_t)len);
    return emk_span_of(out, (size_t)len);
}

/* Whichever of these fields the vector has: the bytes, their hash, length, first and last tag. */
static void compare_sealed(emk_vec *v, const emk_dom *in, const emk_stream *s, emk_span got,
                           size_t plain_len)
{
    size_t first = plain_len < s->chunk ? plain_len : s->chunk;
    uint8_t hash[EMK_SHA256_LEN];
    emk_error e = {0};

    if (emk_dom_get(in, "ciphertext"))
        emk_vec_same(v, "ciphertext", got, emk_vec_hex(v, in, "ciphertext"));
    if (emk_dom_get(in, "ciphertext_length"))
        emk_vec_true(v, "ciphertext_length",
                     emk_vec_number(v, in, "ciphertext_length", UINT64_MAX) == got.len);
    if (emk_dom_get(in, "ciphertext_sha256") &&
        emk_vec_ok(v, "sha256", emk_sha256(v->crypto, &got, 1, hash, &e), &e))
        emk_vec_same(v, "ciphertext_sha256", emk_span_of(hash, sizeof hash),
                     emk_vec_hex(v, in, "ciphertext_sha256"));
    if (emk_dom_get(in, "first_tag"))
        emk_vec_same(v, "first_tag", emk_span_of(got.p + first, EMK_AEAD_TAG_LEN),
                     emk_vec_hex(v, in, "first_tag"));
    if (emk_dom_get(in, "last_tag"))
        emk_vec_same(v, "last_tag",
                     emk_span_of(got.p + got.len - EMK_AEAD_TAG_LEN, EMK_AEAD_TAG_LEN),
                     emk_vec_hex(v, in, "last_tag"));
}

static void accept_one(emk_vec *v, const emk_dom *in)
{
    emk_stream s;
    emk_span plain, sealed;
    uint8_t *out;
    size_t released;
    emk_error e = {0};

    if (!read_stream(v, in, &s))
        return;
    plain = read_plain(v, in);
    sealed.len = emk_stream_sealed_len(&s, plain.len);
    sealed.p = out = emk_vec_take(v, sealed.len);
    if (!emk_vec_is_well(v) ||
        !emk_vec_ok(v, "seal", emk_stream_seal(v->crypto, &s, plain, out, &e), &e))
        return;
    compare_sealed(v, in, &s, sealed, plain.len);
    out = emk_vec_take(v, sealed.len);
    if (emk_vec_ok(v, "open", emk_stream_open(v->crypto, &s, sealed, out, &released, &e), &e))
        emk_vec_same(v, "opened", emk_span_of(out, released), plain);
}

static void reject_one(emk_vec *v, const emk_dom *in)
{
    emk_stream s;
    emk_span sealed = emk_vec_hex(v, in, "ciphertext");
    uint8_t *out = emk_vec_take(v, sealed.len);
    size_t released;
    emk_error e = {0};
    emk_status st;

    if (!read_stream(v, in, &s))
        return;
    st = emk_stream_open(v->crypto, &s, sealed, out, &released, &e);
    if (emk_dom_is_text(emk_dom_get(in, "expect"), "accept"))
        emk_vec_ok(v, "open", st, &e);
    else
        emk_vec_refused(v, "open", st);
}

static void run_list(emk_vec *v, const emk_dom *root, const char *list,
                     void (*one)(emk_vec *v, const emk_dom *in))
{
    const emk_dom *tests = emk_dom_get_kind(root, list, EMK_DOM_ARRAY);
    uint64_t id = 0;

    for (const emk_dom *in = tests ? tests->first : NULL; in; in = in->next) {
        id++;
        (void)emk_dom_u64(emk_dom_get(in, "id"), &id);
        emk_vec_begin(v, "%s %" PRIu64, list, id);
        one(v, in);
        emk_vec_end(v);
    }
}

static bool has_layout(const emk_dom *root, const char *list)
{
    const emk_dom *tests = emk_dom_get_kind(root, list, EMK_DOM_ARRAY);

    return tests && emk_dom_get(tests->first, "layout") && emk_dom_get(tests->first, "chunk");
}

static bool is_stream(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return has_layout(root, "vectors") || has_layout(root, "reject");
}

static void run_stream(emk_vec *v, const emk_dom *root)
{
    run_list(v, root, "vectors", accept_one);
    run_list(v, root, "reject", reject_one);
}

const emk_json_format emk_format_stream = {"STREAM vectors", is_stream, run_stream};
