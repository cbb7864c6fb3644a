#include "server/api/router.h"

#include "tests/support/test.h"

static emk_status handler(emk_call *call, emk_error *e)
{
    (void)call;
    (void)e;
    return EMK_OK;
}

#define ROW(m, p, n)                                                                      \
    {                                                                                     \
        .method = (m), .path = (p), .gate = {.name = (n), .admits = 1}, .handle = handler \
    }
#define POST_ROW(p, n)                                                                            \
    {                                                                                             \
        .method = EMK_HTTP_POST, .path = (p), .content_type = "application/json", .body_max = 10, \
        .gate = {.name = (n), .admits = 1}, .handle = handler                                     \
    }

static const emk_route ROWS[] = {
    ROW(EMK_HTTP_GET, "/v1/things", "list"),
    POST_ROW("/v1/things", "make"),
    ROW(EMK_HTTP_GET, "/v1/things/{id}", "get"),
    ROW(EMK_HTTP_DELETE, "/v1/things/{id}", "remove"),
    ROW(EMK_HTTP_GET, "/v1/things/best", "best"),
    ROW(EMK_HTTP_GET, "/v1/things/{id}/parts/{part}", "part"),
};
static const emk_route_table TABLE = {ROWS, sizeof ROWS / sizeof ROWS[0]};

static emk_router_result find(emk_http_method m, const char *path, emk_router_match *out)
{
    emk_router r;
    emk_error e = {0};

    assert_ok(emk_router_init(&r, &TABLE, 1, &e), &e);
    return emk_router_find(&r, m, emk_span_str(path), out);
}

static void finds_rows_and_their_parameters(void **state)
{
    emk_router_match m;

    (void)state;
    assert_int_equal(find(EMK_HTTP_GET, "/v1/things", &m), EMK_ROUTER_FOUND);
    assert_string_equal(m.route->gate.name, "list");
    assert_int_equal(find(EMK_HTTP_POST, "/v1/things", &m), EMK_ROUTER_FOUND);
    assert_string_equal(m.route->gate.name, "make");
    assert_int_equal(find(EMK_HTTP_HEAD, "/v1/things/abc", &m), EMK_ROUTER_FOUND);
    assert_string_equal(m.route->gate.name, "get");
    assert_bytes(m.params[0], emk_span_str("abc"));
    assert_int_equal(find(EMK_HTTP_GET, "/v1/things/a-b/parts/x.1~_", &m), EMK_ROUTER_FOUND);
    assert_bytes(m.params[0], emk_span_str("a-b"));
    assert_bytes(m.params[1], emk_span_str("x.1~_"));
}

static void literal_goes_before_parameter(void **state)
{
    emk_router_match m;

    (void)state;
    assert_int_equal(find(EMK_HTTP_GET, "/v1/things/best", &m), EMK_ROUTER_FOUND);
    assert_string_equal(m.route->gate.name, "best");
    /* ... also for a method that only the other row has. */
    assert_int_equal(find(EMK_HTTP_DELETE, "/v1/things/best", &m), EMK_ROUTER_NO_METHOD);
}

static void says_which_methods_a_path_has(void **state)
{
    emk_router_match m;
    char allow[EMK_ALLOW_MAX];

    (void)state;
    assert_int_equal(find(EMK_HTTP_PUT, "/v1/things/x", &m), EMK_ROUTER_NO_METHOD);
    emk_http_allow(m.methods, allow);
    assert_string_equal(allow, "GET, HEAD, DELETE, OPTIONS");
}

static void rejects_paths_that_are_not_exactly_one(void **state)
{
    static const char *const PATHS[] = {
        "",
        "/",
        "/v1",
        "/v1/things/",
        "/v1/things//parts/x",
        "/v1//things",
        "v1/things",
        "/v1/things/..",
        "/v1/things/.",
        "/v1/things/%61",
        "/v1/things/a b",
        "/v1/things/a\"",
        "/v1/things/x/parts",
        "/v1/things/x/parts/y/z",
    };
    emk_router_match m;

    (void)state;
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++)
        assert_int_equal(find(EMK_HTTP_GET, PATHS[i], &m), EMK_ROUTER_NO_PATH);
}

static void rejects_parameter_that_is_too_long(void **state)
{
    char path[EMK_ROUTER_PARAM_MAX + 32] = "/v1/things/";
    emk_router_match m;

    (void)state;
    memset(path + 11, 'a', EMK_ROUTER_PARAM_MAX);
    assert_int_equal(find(EMK_HTTP_GET, path, &m), EMK_ROUTER_FOUND);
    path[11 + EMK_ROUTER_PARAM_MAX] = 'a';
    assert_int_equal(find(EMK_HTTP_GET, path, &m), EMK_ROUTER_NO_PATH);
}

static void rejects_tables_that_contradict_themselves(void **state)
{
    const emk_route BAD[] = {
        ROW(EMK_HTTP_GET, "things", "a"),
        ROW(EMK_HTTP_HEAD, "/x", "a"),
        {.method = EMK_HTTP_GET, .path = "/x", .gate = {.name = "a", .admits = 1}},
        {.method = EMK_HTTP_GET, .path = "/x", .gate = {.name = "a"}, .handle = handler},
        {.method = EMK_HTTP_GET,
         .path = "/x",
         .body_max = 1,
         .content_type = "a/b",
         .gate = {.name = "a", .admits = 1},
         .handle = handler},
        {.method = EMK_HTTP_POST,
         .path = "/x",
         .body_max = 1,
         .gate = {.name = "a", .admits = 1},
         .handle = handler},
        {.method = EMK_HTTP_POST,
         .path = "/x",
         .body_max = 1,
         .content_type = "a/b",
         .flags = EMK_ROUTE_STREAM | EMK_ROUTE_INLINE,
         .gate = {.name = "a", .admits = 1},
         .handle = handler},
        {.method = EMK_HTTP_PUT, /* a counter would move before the body is here */
         .path = "/x",
         .body_max = 1,
         .content_type = "a/b",
         .flags = EMK_ROUTE_STREAM,
         .gate = {.name = "a", .admits = EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_SERVICE},
         .handle = handler},
    };
    const emk_route TWICE[] = {ROW(EMK_HTTP_GET, "/x", "a"), ROW(EMK_HTTP_GET, "/x", "b")};
    const emk_route NAMES[] = {ROW(EMK_HTTP_GET, "/x", "a"), ROW(EMK_HTTP_GET, "/y", "a")};
    emk_route_table t = {TWICE, 2};
    emk_router r;
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        emk_route_table one = {&BAD[i], 1};

        assert_status(emk_router_init(&r, &one, 1, &e), EMK_E_USAGE, &e);
    }
    assert_status(emk_router_init(&r, &t, 1, &e), EMK_E_USAGE, &e);
    t.rows = NAMES;
    assert_status(emk_router_init(&r, &t, 1, &e), EMK_E_USAGE, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(finds_rows_and_their_parameters),
                   emk_rule(literal_goes_before_parameter), emk_rule(says_which_methods_a_path_has),
                   emk_rule(rejects_paths_that_are_not_exactly_one),
                   emk_rule(rejects_parameter_that_is_too_long),
                   emk_rule(rejects_tables_that_contradict_themselves));
}
