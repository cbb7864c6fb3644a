#include "server/api/frame.h"

#include "tests/support/test.h"

static unsigned ran, ended;

static emk_status says_ok(emk_call *call, emk_error *e)
{
    (void)e;
    ran++;
    emk_reply_bytes(call, 200, "text/plain", emk_span_str("ok"));
    return EMK_OK;
}

static emk_status fails(emk_call *call, emk_error *e)
{
    (void)call;
    return emk_fail(e, EMK_E_NOT_FOUND, "test: nothing", 7);
}

static emk_status says_nothing(emk_call *call, emk_error *e)
{
    (void)call;
    (void)e;
    return EMK_OK;
}

#define INTERNAL(p, n, h)                                                    \
    {                                                                        \
        .method = EMK_HTTP_GET, .path = (p), .flags = EMK_ROUTE_INTERNAL,    \
        .gate = {.name = (n), .admits = EMK_PRINCIPAL_ANYONE}, .handle = (h) \
    }

static const emk_route ROWS[] = {
    INTERNAL("/ok", "ok", says_ok),
    INTERNAL("/fails", "fails", fails),
    INTERNAL("/nothing", "nothing", says_nothing),
    {.method = EMK_HTTP_GET,
     .path = "/guarded",
     .gate = {.name = "guarded", .admits = 1},
     .handle = says_ok},
    {.method = EMK_HTTP_POST,
     .path = "/json",
     .content_type = "application/json",
     .body_max = 10,
     .gate = {.name = "json", .admits = 1},
     .handle = says_ok},
};
static const emk_route_table TABLE = {ROWS, sizeof ROWS / sizeof ROWS[0]};

typedef struct world {
    emk_crypto *crypto;
    emk_api api;
    emk_router router;
    emk_call call;
    emk_http_field fields[4];
} world;

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    w->api.crypto = w->crypto;
    assert_ok(emk_router_init(&w->router, &TABLE, 1, &e), &e);
    emk_call_init(&w->call, &w->api);
    w->call.request.scheme = emk_span_str("https");
    w->call.request.fields = w->fields;
    ran = ended = 0;
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_frame_close(&w->call);
    emk_call_done(&w->call);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static emk_frame_step open(world *w, const char *method, const char *path)
{
    w->call.request.method = emk_span_str(method);
    w->call.request.path = emk_span_str(path);
    return emk_frame_open(&w->call, &w->router);
}

static const char *field(const world *w, const char *name)
{
    static char value[256];

    for (size_t i = 0; i < w->call.response.n_fields; i++) {
        emk_http_field f = w->call.response.fields[i];

        if (emk_span_equal(f.name, emk_span_str(name))) {
            snprintf(value, sizeof value, "%.*s", (int)f.value.len, (const char *)f.value.p);
            return value;
        }
    }
    return "";
}

static void runs_a_handler_and_adds_its_own_lines(void **state)
{
    world *w = *state;

    assert_int_equal(open(w, "GET", "/ok"), EMK_FRAME_READ_BODY);
    emk_frame_run(&w->call);
    assert_int_equal(w->call.response.status, 200);
    assert_int_equal(ran, 1);
    assert_string_equal(field(w, "cache-control"), "no-store");
    assert_string_equal(field(w, "x-content-type-options"), "nosniff");
    assert_string_equal(field(w, "strict-transport-security"), "max-age=31536000");
    assert_int_equal(strlen(field(w, "x-request-id")), EMK_CALL_ID_CHARS);
}

static void a_status_becomes_its_problem(void **state)
{
    world *w = *state;

    assert_int_equal(open(w, "GET", "/fails"), EMK_FRAME_READ_BODY);
    emk_frame_run(&w->call);
    assert_int_equal(w->call.response.status, 404);
    assert_string_equal(field(w, "content-type"), "application/problem+json");
    assert_int_equal(w->call.error.where, 7);
}

static void a_handler_without_an_answer_is_our_bug(void **state)
{
    world *w = *state;

    assert_int_equal(open(w, "GET", "/nothing"), EMK_FRAME_READ_BODY);
    emk_frame_run(&w->call);
    assert_int_equal(w->call.response.status, 500);
}

static void without_a_gate_nobody_passes(void **state)
{
    world *w = *state;

    assert_int_equal(open(w, "GET", "/guarded"), EMK_FRAME_READ_BODY);
    emk_frame_run(&w->call);
    assert_int_equal(w->call.response.status, 503);
    assert_int_equal(ran, 0);
}

static void rejects_body_of_another_type_or_length(void **state)
{
    world *w = *state;

    w->call.content_length = 11;
    w->fields[0] = (emk_http_field){emk_span_str("content-type"), emk_span_str("application/json")};
    w->call.request.n_fields = 1;
    assert_int_equal(open(w, "POST", "/json"), EMK_FRAME_ANSWERED);
    assert_int_equal(w->call.response.status, 413);
    w->call.content_length = 10;
    assert_int_equal(open(w, "POST", "/json"), EMK_FRAME_READ_BODY);
    w->fields[0].value = emk_span_str("Application/JSON; charset=utf-8");
    assert_int_equal(open(w, "POST", "/json"), EMK_FRAME_READ_BODY);
    w->fields[0].value = emk_span_str("application/jsonl");
    assert_int_equal(open(w, "POST", "/json"), EMK_FRAME_ANSWERED);
    assert_int_equal(w->call.response.status, 415);
    w->call.request.n_fields = 0;
    assert_int_equal(open(w, "POST", "/json"), EMK_FRAME_ANSWERED);
    assert_int_equal(w->call.response.status, 415);
}

static void takes_only_whole_traceparents(void **state)
{
    static const char *const BAD[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    };
    world *w = *state;

    w->call.request.n_fields = 1;
    w->fields[0].name = emk_span_str("traceparent");
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        w->fields[0].value = emk_span_str(BAD[i]);
        assert_int_equal(open(w, "GET", "/ok"), EMK_FRAME_READ_BODY);
        assert_int_equal(w->call.traceparent.len, 0);
    }
    w->fields[0].value = emk_span_str("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_int_equal(open(w, "GET", "/ok"), EMK_FRAME_READ_BODY);
    assert_int_equal(w->call.traceparent.len, 55);
}

static void query_parameters_are_decoded_once(void **state)
{
    world *w = *state;
    emk_span v = {0};

    w->call.request.query = emk_span_str("a=x%20y&b=&c&d=1&d=2&e=%zz&f=%00&g=%4");
    assert_true(emk_call_query(&w->call, "a", &v));
    assert_bytes(v, emk_span_str("x y"));
    assert_true(emk_call_query(&w->call, "b", &v));
    assert_int_equal(v.len, 0);
    assert_true(emk_call_query(&w->call, "c", &v));
    assert_false(emk_call_query(&w->call, "d", &v)); /* twice */
    assert_false(emk_call_query(&w->call, "e", &v));
    assert_false(emk_call_query(&w->call, "f", &v));
    assert_false(emk_call_query(&w->call, "g", &v));
    assert_false(emk_call_query(&w->call, "none", &v));
}

static void rejects_control_characters_in_answers(void **state)
{
    world *w = *state;
    emk_error e = {0};

    assert_status(emk_reply_field(&w->call, "x", emk_span_str("a\r\nSet-Cookie: b"), &e),
                  EMK_E_USAGE, &e);
    for (size_t i = 0; i + 1 < EMK_HTTP_REPLY_FIELDS; i++)
        assert_ok(emk_reply_field(&w->call, "x", emk_span_str("a"), &e), &e);
    assert_status(emk_reply_field(&w->call, "x", emk_span_str("a"), &e), EMK_E_LIMIT, &e);
}

static void on_done(void *self)
{
    (void)self;
    ended++;
}

static void a_source_ends_once_whatever_happens(void **state)
{
    world *w = *state;
    emk_http_source s = {.fd = -1, .done = on_done};

    emk_reply_source(&w->call, 200, "a/b", &s);
    emk_reply_empty(&w->call, 204); /* replaced */
    assert_int_equal(ended, 1);
    emk_reply_source(&w->call, 200, "a/b", &s);
    emk_call_done(&w->call);
    assert_int_equal(ended, 2);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(runs_a_handler_and_adds_its_own_lines), RULE(a_status_becomes_its_problem),
                   RULE(a_handler_without_an_answer_is_our_bug), RULE(without_a_gate_nobody_passes),
                   RULE(rejects_body_of_another_type_or_length),
                   RULE(takes_only_whole_traceparents), RULE(query_parameters_are_decoded_once),
                   RULE(rejects_control_characters_in_answers),
                   RULE(a_source_ends_once_whatever_happens));
}
