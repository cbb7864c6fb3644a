#include "server/gate/content_digest.h"
#include "server/gate/structured.h"

#include "tests/unit/server/gate/kit.h"

static bool list_reads(const char *text, emk_sf_list *out)
{
    emk_sf r;

    emk_sf_init(&r, emk_span_str(text));
    return emk_sf_list_read(&r, out) && emk_sf_at_end(&r);
}

static bool item_reads(const char *text, emk_sf_item *out)
{
    emk_sf r;

    emk_sf_init(&r, emk_span_str(text));
    return emk_sf_item_read(&r, out) && emk_sf_at_end(&r);
}

static void reads_inner_list_with_parameters(void **state)
{
    emk_sf_list l;

    (void)state;
    assert_true(list_reads("(\"@method\" \"a-b\");created=12;keyid=\"x\";f=?1;t=tok", &l));
    assert_int_equal(l.n_members, 2);
    assert_int_equal(l.n_params, 4);
    assert_int_equal(emk_sf_param_find(&l, "created")->integer, 12);
    assert_int_equal(emk_sf_param_find(&l, "f")->integer, 1);
    assert_bytes(emk_sf_param_find(&l, "keyid")->text, emk_span_str("x"));
    assert_null(emk_sf_param_find(&l, "nope"));
    assert_true(list_reads("()", &l));
    assert_int_equal(l.n_members, 0);
}

static void refuses_list_that_is_not_canonical(void **state)
{
    static const char *const rows[] = {
        "",
        "(",
        "( \"a\")",
        "(\"a\" )",
        "(\"a\"  \"b\")",
        "(\"a\"\"b\")",
        "(\"a\" b)",
        "(a)",
        "(\"a\";sf)",
        "(\"a\\\"\")",
        "(\"a\");x",
        "(\"a\");x=",
        "(\"a\");x=1;x=2",
        "(\"a\"); x=1",
        "(\"a\");X=1",
        "(\"a\");x=01",
        "(\"a\");x=-0",
        "(\"a\");x=1.5",
        "(\"a\");x=1234567890123456",
        "(\"a\");x=--1",
        "(\"a\");x=?2",
        "(\"a\") ",
        "(\"a\"),",
        "(\"\x01\")",
        "(\"a\tb\")",
        "(\"a",
    };
    emk_sf_list l;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (list_reads(rows[i], &l))
            fail_msg("%s", rows[i]);
}

static void refuses_more_members_than_there_is_room(void **state)
{
    char text[512] = "(\"a0\"";
    emk_sf_list l;

    (void)state;
    for (int i = 1; i <= (int)EMK_SF_MEMBERS_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), " \"a%d\"", i);
    strcat(text, ")");
    assert_false(list_reads(text, &l));
    strcpy(text, "()");
    for (int i = 0; i <= (int)EMK_SF_MEMBERS_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), ";a%d=1", i);
    assert_false(list_reads(text, &l));
}

static void bytes_go_through_base64_and_back(void **state)
{
    uint8_t in[70], out[70];
    char text[128];
    emk_sf_item item;
    size_t len;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 73 + 250);
    for (size_t n = 0; n <= sizeof in; n++) {
        assert_ok(emk_sf_bytes_write(emk_span_of(in, n), text, sizeof text, &e), &e);
        assert_true(item_reads(text, &item));
        assert_ok(emk_sf_bytes(&item, out, sizeof out, &len, &e), &e);
        assert_bytes(emk_span_of(out, len), emk_span_of(in, n));
    }
    assert_status(emk_sf_bytes_write(emk_span_of(in, 70), text, 97, &e), EMK_E_LIMIT, &e);
}

static void refuses_bytes_in_another_encoding(void **state)
{
    static const char *const rows[] = {
        ":YQ:", ":YR==:", ":Y:", ":YQ=:", ":Y-==:", ":YQ==YQ==:", ":YQ== :"};
    uint8_t out[16];
    emk_sf_item item;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (item_reads(rows[i], &item) &&
            emk_sf_bytes(&item, out, sizeof out, &len, NULL) == EMK_OK)
            fail_msg("%s", rows[i]);
}

static void digest_goes_out_and_back(void **state)
{
    char text[EMK_CONTENT_DIGEST_TEXT_MAX];
    uint8_t in[32], out[32];
    emk_error e;

    (void)state;
    memset(in, 0xab, sizeof in);
    emk_content_digest_format(in, text);
    assert_ok(emk_content_digest_parse(emk_span_str(text), out, &e), &e);
    assert_bytes(emk_span_of(out, 32), emk_span_of(in, 32));
}

static void refuses_digest_of_another_shape(void **state)
{
    static const struct {
        const char *text;
        emk_status st;
    } rows[] = {
        {"", EMK_E_FORMAT},
        {"sha-256", EMK_E_FORMAT},
        {"sha-256=:YQ==:", EMK_E_FORMAT},
        {"sha-256=\"x\"", EMK_E_FORMAT},
        {"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, "
         "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
         EMK_E_FORMAT},
        {"SHA-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", EMK_E_FORMAT},
        {"sha-512=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", EMK_E_UNSUPPORTED},
        {"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=:", EMK_E_FORMAT},
    };
    uint8_t out[32];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(emk_content_digest_parse(emk_span_str(rows[i].text), out, NULL), rows[i].st,
                      NULL);
}

static void streamed_body_is_held_to_its_digest(void **state)
{
    emk_span body = emk_span_str("{\"x\":1}");
    emk_sha256_ctx *h;
    uint8_t want[32];
    emk_error e;

    (void)state;
    assert_ok(emk_sha256(kit_crypto(), &body, 1, want, &e), &e);
    assert_ok(emk_sha256_ctx_new(kit_crypto(), &h, &e), &e);
    assert_ok(emk_sha256_ctx_update(h, emk_span_of(body.p, 3), &e), &e);
    assert_ok(emk_sha256_ctx_update(h, emk_span_of(body.p + 3, body.len - 3), &e), &e);
    assert_ok(emk_content_digest_verify(h, want, &e), &e);
    assert_ok(emk_sha256_ctx_reset(h, &e), &e);
    assert_ok(emk_sha256_ctx_update(h, emk_span_of(body.p, 3), &e), &e);
    assert_status(emk_content_digest_verify(h, want, &e), EMK_E_SIGNATURE, &e);
    emk_sha256_ctx_free(h);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(reads_inner_list_with_parameters), emk_rule(refuses_list_that_is_not_canonical),
        emk_rule(refuses_more_members_than_there_is_room),
        emk_rule(bytes_go_through_base64_and_back), emk_rule(refuses_bytes_in_another_encoding),
        emk_rule(digest_goes_out_and_back), emk_rule(refuses_digest_of_another_shape),
        emk_rule(streamed_body_is_held_to_its_digest));
}
