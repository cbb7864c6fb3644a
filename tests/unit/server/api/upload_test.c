#include "server/api/upload.h"

#include "server/api/api.h"
#include "tests/support/test.h"

typedef struct world {
    emk_crypto *crypto;
    emk_api api;
    emk_call call;
    emk_span body;
    size_t step; /* bytes of one read */
    emk_upload up;
} world;

static emk_status give(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    world *w = self;

    (void)e;
    *n = w->body.len < w->step ? w->body.len : w->step;
    *n = *n < cap ? *n : cap;
    if (*n > 0)
        memcpy(out, w->body.p, *n);
    w->body = emk_span_of(w->body.p + *n, w->body.len - *n);
    return EMK_OK;
}

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    w->api.crypto = w->crypto;
    emk_call_init(&w->call, &w->api);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_upload_done(&w->up);
    emk_call_done(&w->call);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static emk_status begin(world *w, const char *body, size_t step, bool tree, emk_error *e)
{
    emk_upload_done(&w->up);
    emk_call_done(&w->call);
    emk_call_init(&w->call, &w->api);
    w->body = emk_span_str(body);
    w->step = step;
    w->call.read = give;
    w->call.read_self = w;
    w->call.content_length = w->body.len;
    return emk_upload_begin(&w->up, &w->call, tree, e);
}

static void read_all(world *w, const char *want)
{
    char got[256] = "";
    emk_span more;
    size_t n = 0;
    emk_error e = {0};

    do {
        assert_ok(emk_upload_next(&w->up, &more, &e), &e);
        assert_true(n + more.len < sizeof got);
        if (more.len > 0)
            memcpy(got + n, more.p, more.len);
        n += more.len;
    } while (more.len > 0);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(got, want, n);
}

static void gives_one_file(void **state)
{
    world *w = *state;
    emk_span all = emk_span_str("the bytes of one");
    uint8_t digest[32], want[32];
    emk_error e = {0};

    for (size_t step = 1; step < 20; step += 6) {
        assert_ok(begin(w, "the bytes of one", step, false, &e), &e);
        assert_int_equal(w->up.len, all.len);
        assert_int_equal(w->up.n_files, 0);
        read_all(w, "the bytes of one");
        assert_ok(emk_upload_digest(&w->up, digest, &e), &e);
        assert_ok(emk_sha256(w->crypto, &all, 1, want, &e), &e);
        assert_memory_equal(digest, want, 32);
    }
}

static void gives_a_tree(void **state)
{
    world *w = *state;
    emk_error e = {0};

    for (size_t step = 1; step < 40; step += 7) {
        assert_ok(begin(w, "3 a/b\n0 a/c\n4 d\n\nabcdefg", step, true, &e), &e);
        assert_int_equal(w->up.n_files, 3);
        assert_int_equal(w->up.len, 7);
        assert_string_equal(w->up.files[0].path, "a/b");
        assert_int_equal(w->up.files[2].len, 4);
        read_all(w, "abcdefg");
    }
}

static void rejects_lists_that_are_none(void **state)
{
    static const char *const LISTS[] = {
        "",
        "\n",
        "\nx",
        "1 a",
        "1 a\n",
        "1 a\nx",
        " a\n\nx",
        "a\n\nx",
        "1\n\nx",
        "1 \n\nx",
        "01 a\n\nx",
        "+1 a\n\nx",
        "-1 a\n\nx",
        "1x a\n\nx",

        "1 /a\n\nx",
        "1 ../a\n\nx",
        "1 a/\n\nx",
        "1 a//b\n\nx",
        "1 b\n1 a\n\nxx",
        "1 a\n1 a\n\nxx",

        "2 a\n\nx",
        "1 a\n\nxx",
        "1 a\r\n\r\nx",
        "1 .\n\nx",
        "1 a\x01\n\nx",
    };
    world *w = *state;
    emk_error e = {0};

    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
        emk_status st = begin(w, LISTS[i], 5, true, &e);

        if (st != EMK_E_FORMAT)
            fail_msg("list %zu: %s", i, emk_status_name(st));
    }
}

static void rejects_beyond_the_limits(void **state)
{
    static char many[600 * 12], line[400];
    world *w = *state;
    emk_error e = {0};

    for (size_t i = 0; i < EMK_FILES_MAX + 1; i++)
        sprintf(many + strlen(many), "0 %06zu\n", i);
    strcat(many, "\n");
    assert_status(begin(w, many, 1000, true, &e), EMK_E_LIMIT, &e);
    sprintf(line, "1 %0300d\n\nx", 7);
    assert_status(begin(w, line, 1000, true, &e), EMK_E_FORMAT, &e);
    assert_status(begin(w, "9999999999999999999 a\n\nx", 1000, true, &e), EMK_E_LIMIT, &e);
    assert_status(begin(w, "99999999999999999999 a\n\nx", 1000, true, &e), EMK_E_FORMAT, &e);
    assert_status(begin(w, "274877906945 a\n\nx", 1000, true, &e), EMK_E_LIMIT, &e);
}

static void rejects_another_length_than_was_said(void **state)
{
    world *w = *state;
    emk_span more;
    emk_error e = {0};

    assert_ok(begin(w, "four", 10, false, &e), &e);
    w->up.len = 3;
    assert_status(emk_upload_next(&w->up, &more, &e), EMK_E_LIMIT, &e);
    assert_ok(begin(w, "four", 10, false, &e), &e);
    w->up.len = 5;
    assert_ok(emk_upload_next(&w->up, &more, &e), &e);
    assert_status(emk_upload_next(&w->up, &more, &e), EMK_E_LIMIT, &e);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(gives_one_file), RULE(gives_a_tree), RULE(rejects_lists_that_are_none),
                   RULE(rejects_beyond_the_limits), RULE(rejects_another_length_than_was_said));
}
