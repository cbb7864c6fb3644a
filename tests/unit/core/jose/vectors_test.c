/* Published vectors of JOSE, read from beside the project: Wycheproof's signatures, keys and
 * encryption, and AES key wrap.  What is none of our algorithms must be refused; what is must come
 * out as the file says.  Deviations, all stricter, are counted and named where they are made. */
#include "cli/json_dom.h"
#include "core/base/os_file.h"
#include "core/codec/base64url.h"
#include "core/crypto/keywrap.h"
#include "core/jose/jwe.h"
#include "core/jose/jws.h"
#include "tests/unit/core/crypto/context.h"

#define FILE_MAX ((size_t)8 << 20)
/* Valid tokens under keys that are ours: ES256, ES384, EdDSA, RS256, PS256. */
#define EXPECT_JWS    9
#define EXPECT_CRYPTO 0

typedef struct vectors {
    emk_arena arena;
    emk_buf json;
    const emk_dom *groups;
    size_t n_run, n_valid, n_refused_valid;
} vectors;

static bool open_vectors(const char *name, vectors *v)
{
    const emk_dom *root = NULL;
    char path[256];
    char *full;
    emk_error e;

    *v = (vectors){.groups = NULL};
    (void)snprintf(path, sizeof path, "vectors/crypto/wycheproof/%s", name);
    full = emk_test_shared(path);
    if (!full)
        return false;
    emk_arena_init(&v->arena, 64u << 20);
    emk_buf_init(&v->json, FILE_MAX);
    assert_ok(emk_os_read_file(full, FILE_MAX, &v->json, &e), &e);
    assert_ok(emk_dom_parse(&v->arena, emk_buf_span(&v->json), &root, &e), &e);
    v->groups = emk_dom_get_kind(root, "testGroups", EMK_DOM_ARRAY);
    assert_non_null(v->groups);
    free(full);
    return true;
}

static void close_vectors(vectors *v)
{
    emk_buf_done(&v->json);
    emk_arena_reset(&v->arena);
}

/* The key as JSON again, public members only. */
static void write_key(const emk_dom *key, emk_buf *out)
{
    const char *comma = "";

    emk_buf_init(out, 65536);
    assert_ok(emk_buf_append(out, emk_span_str("{"), NULL), NULL);
    for (const emk_dom *m = key->first; m; m = m->next) {
        char text[4096];

        if (m->kind == EMK_DOM_STRING)
            (void)snprintf(text, sizeof text, "%s\"%s\":\"%s\"", comma, (const char *)m->key.p,
                           (const char *)m->text.p);
        else if (m->kind == EMK_DOM_ARRAY && m->first && m->first->kind == EMK_DOM_STRING)
            (void)snprintf(text, sizeof text, "%s\"%s\":[\"%s\"]", comma, (const char *)m->key.p,
                           (const char *)m->first->text.p);
        else
            continue;
        assert_ok(emk_buf_append(out, emk_span_str(text), NULL), NULL);
        comma = ",";
    }
    assert_ok(emk_buf_append(out, emk_span_str("}"), NULL), NULL);
}

static bool is_valid(const emk_dom *test)
{
    return emk_dom_is_text(emk_dom_get(test, "result"), "valid");
}

static emk_status verify(const emk_jwk *key, emk_span token)
{
    static const emk_jws_rules RULES = {.algs = EMK_JOSE_BITS_USER | EMK_JOSE_BIT(EMK_JOSE_ES384)};
    emk_jws jws;
    emk_error e;
    emk_status st = emk_jws_parse(&RULES, token, &jws, &e);

    if (st == EMK_OK)
        st = emk_jws_verify(&jws, key, &e);
    emk_jws_done(&jws);
    return st;
}

static void run_jws(vectors *v, const emk_jwk *key, const emk_dom *test)
{
    const emk_dom *token = emk_dom_get_kind(test, "jws", EMK_DOM_STRING);
    emk_status st;

    if (!token)
        return;
    v->n_run++;
    st = key ? verify(key, token->text) : EMK_E_UNSUPPORTED;
    if (!is_valid(test)) {
        if (st == EMK_OK)
            print_error("accepted: %s\n", (const char *)emk_dom_get(test, "comment")->text.p);
        assert_int_not_equal(st, EMK_OK);
        return;
    }
    v->n_valid++;
    if (key && st != EMK_OK)
        print_message("  refused though valid: %s\n",
                      (const char *)emk_dom_get(test, "comment")->text.p);
    v->n_refused_valid += st != EMK_OK;
}

static void run_signature_file(const char *name, size_t valid_with_our_keys, bool *here)
{
    size_t accepted;
    vectors v;

    if (!open_vectors(name, &v))
        return;
    *here = true;
    for (const emk_dom *g = v.groups->first; g; g = g->next) {
        const emk_dom *pub = emk_dom_get_kind(g, "public", EMK_DOM_OBJECT);
        emk_jwk *key = NULL;
        emk_error e;

        if (pub) {
            emk_buf json;

            write_key(pub, &json);
            (void)!emk_jwk_parse(test_crypto(), emk_buf_span(&json), &key, &e);
            emk_buf_done(&json);
        }
        for (const emk_dom *t = emk_dom_get(g, "tests")->first; t; t = t->next)
            run_jws(&v, key, t);
        emk_jwk_free(key);
    }
    accepted = v.n_valid - v.n_refused_valid;
    print_message("%s: %zu tokens, %zu valid, %zu of them accepted\n", name, v.n_run, v.n_valid,
                  accepted);
    assert_int_equal(accepted, valid_with_our_keys);
    close_vectors(&v);
}

static void agrees_with_wycheproof_on_signatures(void **state)
{
    bool here = false;

    (void)state;
    run_signature_file("json_web_signature_test.json", EXPECT_JWS, &here);
    run_signature_file("json_web_crypto_test.json", EXPECT_CRYPTO, &here);
    if (!here)
        skip();
}

static size_t unhex(emk_span hex, uint8_t *out, size_t cap)
{
    (void)hex.len;
    return emk_unhex((const char *)hex.p, out, cap);
}

static void agrees_with_wycheproof_on_key_wrap(void **state)
{
    vectors v;

    (void)state;
    if (!open_vectors("aes_wrap_test.json", &v))
        skip();
    for (const emk_dom *g = v.groups->first; g; g = g->next)
        for (const emk_dom *t = emk_dom_get(g, "tests")->first; t; t = t->next) {
            uint8_t key[32], msg[512], ct[512], out[512];
            size_t n = unhex(emk_dom_get(t, "key")->text, key, sizeof key);
            size_t m = unhex(emk_dom_get(t, "msg")->text, msg, sizeof msg);
            size_t k = unhex(emk_dom_get(t, "ct")->text, ct, sizeof ct);
            emk_error e;
            emk_status st;

            if (n != EMK_KEYWRAP_KEK_LEN)
                continue;
            st =
                emk_keywrap_unwrap(test_crypto(), emk_span_of(key, n), emk_span_of(ct, k), out, &e);
            v.n_run++;
            if (!is_valid(t) || m > EMK_KEYWRAP_MAX) { /* longer than any key of ours */
                assert_int_not_equal(st, EMK_OK);
                continue;
            }
            v.n_valid++;
            assert_ok(st, &e);
            assert_bytes(emk_span_of(out, m), emk_span_of(msg, m));
        }
    print_message("aes_wrap: %zu with 256 bits, %zu valid\n", v.n_run, v.n_valid);
    assert_true(v.n_valid > 0);
    close_vectors(&v);
}

/* The key as bytes, when it is one of 256 bits for A256KW. */
static size_t wrap_key(const emk_dom *group, uint8_t out[32])
{
    const emk_dom *priv = emk_dom_get_kind(group, "private", EMK_DOM_OBJECT);
    const emk_dom *k = emk_dom_get_kind(priv, "k", EMK_DOM_STRING);
    size_t len = 0;

    if (!k || !emk_dom_is_text(emk_dom_get(priv, "alg"), "A256KW") ||
        emk_base64url_decode(k->text, out, 32, &len, NULL) != EMK_OK)
        return 0;
    return len;
}

static void agrees_with_wycheproof_on_encryption(void **state)
{
    vectors v;

    (void)state;
    if (!open_vectors("json_web_encryption_test.json", &v))
        skip();
    for (const emk_dom *g = v.groups->first; g; g = g->next) {
        uint8_t key[32] = {0};
        size_t n = wrap_key(g, key);

        for (const emk_dom *t = emk_dom_get(g, "tests")->first; t; t = t->next) {
            const emk_dom *token = emk_dom_get_kind(t, "jwe", EMK_DOM_STRING);
            bool ours = n == 32 && emk_dom_is_text(emk_dom_get(t, "enc"), "A256GCM");
            emk_error e;
            emk_buf out;
            emk_status st;

            if (!token)
                continue;
            emk_buf_init(&out, 65536);
            st = emk_jwe_open(test_crypto(), SPAN(key), token->text, &out, &e);
            v.n_run++;
            if (ours && is_valid(t)) {
                v.n_valid++;
                assert_ok(st, &e);
            } else {
                assert_int_not_equal(st, EMK_OK);
            }
            emk_buf_done(&out);
        }
    }
    print_message("json_web_encryption: %zu tokens, %zu ours and valid\n", v.n_run, v.n_valid);
    close_vectors(&v);
}

int main(void)
{
    return EMK_RUN(emk_rule(agrees_with_wycheproof_on_signatures),
                   emk_rule(agrees_with_wycheproof_on_key_wrap),
                   emk_rule(agrees_with_wycheproof_on_encryption));
}
