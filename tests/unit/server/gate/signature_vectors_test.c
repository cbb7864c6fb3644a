/* Appendix B of RFC 9421, as far as its keys (P-256, Ed25519) and its parts of requests are
 * ours: read from the shared vectors at run time. */
#include "core/codec/base64url.h"
#include "core/jose/object.h"
#include "server/gate/signature.h"

#include "tests/unit/server/gate/kit.h"

typedef struct vector {
    char id[16], alg[32], keyid[64], message[64];
    char message_text[8192], input[2048], signature[512], result[16];
} vector;

static const char *const vector_names[] = {
    "id", "alg", "keyid", "message", "message_text", "signature_input", "signature", "result"};

static char *file;
static size_t file_len;

static char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *p = calloc(1, 1u << 20);

    assert_non_null(f);
    *len = fread(p, 1, (1u << 20) - 1, f);
    (void)fclose(f);
    return p;
}

/* The JSON text of member `name` of an object. */
static emk_span member(emk_span object, const char *name, bool array)
{
    emk_jose_text t;
    emk_jose_object o;
    emk_span found = {0};
    const char *const names[] = {name};
    size_t i;

    assert_ok(emk_jose_text_open(&t, object, object.len, NULL), NULL);
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, names, 1, &i)) {
        if (i == 0 && !array)
            found = emk_jose_read_raw_object(&t.j);
        else {
            uint64_t begin = t.j.pos;

            emk_json_skip_value(&t.j);
            if (i == 0)
                found = emk_span_of(object.p + begin, t.j.pos - begin);
        }
    }
    assert_ok(emk_jose_text_close(&t, NULL), NULL);
    return found;
}

static void text_of(emk_span object, const char *name, char *out, size_t cap)
{
    emk_jose_text t;
    emk_jose_object o;
    const char *const names[] = {name};
    size_t i;

    out[0] = 0;
    assert_ok(emk_jose_text_open(&t, object, object.len, NULL), NULL);
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, names, 1, &i)) {
        if (i == 0)
            (void)emk_jose_read_text(&t.j, out, cap);
        else
            emk_json_skip_value(&t.j);
    }
    assert_ok(emk_jose_text_close(&t, NULL), NULL);
}

static emk_verify_key *key_of(const char *keyid, bool ed)
{
    emk_span jwk = member(member(member(emk_span_of(file, file_len), "keys", false), keyid, false),
                          "jwk", false);
    uint8_t pub[65] = {4};
    char text[64];
    emk_verify_key *k = NULL;
    size_t len;

    text_of(jwk, "x", text, sizeof text);
    assert_ok(emk_base64url_decode(emk_span_str(text), pub + !ed, 32, &len, NULL), NULL);
    if (!ed) {
        text_of(jwk, "y", text, sizeof text);
        assert_ok(emk_base64url_decode(emk_span_str(text), pub + 33, 32, &len, NULL), NULL);
    }
    assert_ok(emk_verify_key_new(kit_crypto(), ed ? EMK_SIGN_ED25519 : EMK_SIGN_ES256,
                                 emk_span_of(pub, ed ? 32 : 65), &k, NULL),
              NULL);
    return k;
}

static void start_line(kit_request *r, char *line)
{
    char *path = strchr(line, ' '), *query, *end;

    assert_non_null(path);
    *path++ = 0;
    end = strchr(path, ' ');
    *end = 0;
    query = strchr(path, '?');
    r->rq.method = emk_span_str(line);
    r->rq.has_query = query != NULL;
    r->rq.query = emk_span_str(query ? query + 1 : "");
    if (query)
        *query = 0;
    r->rq.path = emk_span_str(path);
}

static void field_line(kit_request *r, char *name, const char *value)
{
    for (char *p = name; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    kit_add(r, name, value);
    if (strcmp(name, "host") == 0)
        r->rq.authority = r->fields[r->rq.n_fields - 1].value;
}

static void request_from_text(kit_request *r, char *text)
{
    char *line = strtok(text, "\n");

    start_line(r, line);
    for (line = strtok(NULL, "\n"); line && line[0] != '{'; line = strtok(NULL, "\n")) {
        char *colon = strchr(line, ':');

        *colon = 0;
        field_line(r, line, colon + 2);
    }
}

/* ["Host","example.com"] */
static void request_from_fields(kit_request *r, emk_span message, char *line, size_t cap)
{
    emk_span fields = member(message, "fields", true);
    emk_jose_text t;
    char name[64], value[512];

    text_of(message, "start_line", line, cap);
    start_line(r, line);
    while (fields.len > 0 && fields.p[0] != '[') {
        fields.p++;
        fields.len--;
    }
    assert_ok(emk_jose_text_open(&t, fields, fields.len, NULL), NULL);
    assert_true(emk_json_expect(&t.j, EMK_JSON_ARRAY_BEGIN));
    while (emk_json_next(&t.j) == EMK_JSON_ARRAY_BEGIN) {
        assert_true(emk_jose_read_text(&t.j, name, sizeof name));
        assert_true(emk_jose_read_text(&t.j, value, sizeof value));
        assert_true(emk_json_expect(&t.j, EMK_JSON_ARRAY_END));
        field_line(r, name, value);
    }
    assert_ok(emk_jose_text_close(&t, NULL), NULL);
}

static void vector_read(emk_span object, vector *v)
{
    char *const outs[] = {v->id,           v->alg,   v->keyid,     v->message,
                          v->message_text, v->input, v->signature, v->result};
    const size_t caps[] = {sizeof v->id,        sizeof v->alg,          sizeof v->keyid,
                           sizeof v->message,   sizeof v->message_text, sizeof v->input,
                           sizeof v->signature, sizeof v->result};

    for (size_t i = 0; i < sizeof outs / sizeof outs[0]; i++)
        text_of(object, vector_names[i], outs[i], caps[i]);
}

static bool vector_check(vector *v, emk_span message)
{
    static kit_request r;
    static char line[256];
    emk_http_signature s;
    emk_verify_key *key;
    emk_status st;
    bool ed = strcmp(v->alg, "ed25519") == 0;

    kit_request_init(&r);
    if (v->message_text[0]) {
        request_from_text(&r, v->message_text);
    } else {
        request_from_fields(&r, message, line, sizeof line);
        kit_add(&r, "signature-input", v->input);
        kit_add(&r, "signature", v->signature);
    }
    assert_ok(emk_http_signature_parse(&r.rq, &s, NULL), NULL);
    key = key_of(v->keyid, ed);
    st = emk_http_signature_verify(&r.rq, &s, key, NULL);
    emk_verify_key_free(key);
    print_message("%s %s: %s\n", v->id, v->alg, emk_status_name(st));
    return st == (strcmp(v->result, "valid") == 0 ? EMK_OK : EMK_E_SIGNATURE);
}

static void appendix_b_verifies_as_it_says(void **state)
{
    emk_span all = emk_span_of(file, file_len), list[32], message;
    static vector v;
    emk_jose_text t;
    emk_jose_object o;
    const char *const names[] = {"vectors"};
    size_t i, n = 0, tried = 0;

    (void)state;
    message = member(member(all, "messages", false), "test-request", false);
    assert_ok(emk_jose_text_open(&t, all, all.len, NULL), NULL);
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, names, 1, &i)) {
        if (i == 0)
            n = emk_jose_read_raw_objects(&t.j, list, 32);
        else
            emk_json_skip_value(&t.j);
    }
    assert_ok(emk_jose_text_close(&t, NULL), NULL);
    for (i = 0; i < n; i++) {
        vector_read(list[i], &v);
        if (strcmp(v.alg, "ed25519") != 0 && strcmp(v.alg, "ecdsa-p256-sha256") != 0)
            continue;
        if (strcmp(v.message, "test-response") == 0)
            continue;
        tried++;
        if (!vector_check(&v, message))
            fail_msg("%s", v.id);
    }
    assert_true(tried >= 5);
}

int main(void)
{
    char *path = emk_test_shared("vectors/crypto/rfc9421/rfc9421_appendix_b.json");
    int rc;

    if (!path)
        return EMK_TEST_SKIP;
    file = slurp(path, &file_len);
    rc = EMK_RUN(emk_rule(appendix_b_verifies_as_it_says));
    free(file);
    free(path);
    return rc;
}
