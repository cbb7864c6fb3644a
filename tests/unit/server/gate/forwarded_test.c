#include "server/gate/forwarded.h"
#include "server/gate/proxy_v2.h"

#include "tests/unit/server/gate/kit.h"

static emk_trusted_proxies *proxies_of(emk_forwarded_field field)
{
    static const char *const trusted[] = {"192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"};
    emk_trusted_proxies *t = NULL;
    emk_net nets[3];
    emk_error e;

    for (size_t i = 0; i < 3; i++)
        assert_ok(emk_net_parse(emk_span_str(trusted[i]), &nets[i], &e), &e);
    assert_ok(emk_trusted_proxies_new(nets, 3, field, &t, &e), &e);
    return t;
}

/* The client when these lines came from the trusted 192.0.2.7. */
static const char *client(emk_trusted_proxies *t, const char *name, const char *one,
                          const char *two)
{
    static char text[EMK_ADDRESS_TEXT_MAX];
    kit_request r;
    emk_address a;

    kit_request_init(&r);
    kit_add(&r, name, one);
    if (two)
        kit_add(&r, name, two);
    a = emk_client_address(t, &r.rq);
    emk_address_format(&a, text);
    return text;
}

#define XFF "x-forwarded-for"

static void first_untrusted_from_the_right_is_the_client(void **state)
{
    emk_trusted_proxies *t = proxies_of(EMK_FORWARDED_X_FORWARDED_FOR);

    (void)state;
    assert_string_equal(client(t, XFF, "203.0.113.9", NULL), "203.0.113.9");
    assert_string_equal(client(t, XFF, "1.1.1.1, 203.0.113.9", NULL), "203.0.113.9");
    assert_string_equal(client(t, XFF, "1.1.1.1, 203.0.113.9, 10.0.0.1,10.0.0.2", NULL),
                        "203.0.113.9");
    assert_string_equal(client(t, XFF, "1.1.1.1", "203.0.113.9, 10.0.0.1"), "203.0.113.9");
    assert_string_equal(client(t, XFF, "203.0.113.9", "10.0.0.1"), "203.0.113.9");
    assert_string_equal(client(t, XFF, "2001:db9::1", NULL), "2001:db9::1");
    assert_string_equal(client(t, XFF, "203.0.113.9:4711", NULL), "203.0.113.9");
    assert_string_equal(client(t, XFF, "[2001:db9::1]:4711", NULL), "2001:db9::1");
    assert_string_equal(client(t, XFF, "10.0.0.3, 10.0.0.2", NULL), "10.0.0.3");
    assert_int_equal(emk_trusted_proxies_junk(t), 0);
    emk_trusted_proxies_free(t);
}

static void junk_leaves_the_peer_and_is_counted(void **state)
{
    static const char *const rows[] = {
        "",
        ",",
        "203.0.113.9,",
        "unknown",
        "_hidden",
        "203.0.113.9 10.0.0.1",
        "localhost",
        "203.0.113.999",
        "203.0.113.9:",
        "203.0.113.9:99999999",
        "[203.0.113.9]",
        "[::1",
        "evil, 10.0.0.1",
        ("1.1.1.1,10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,10.0.0.8,10.0.0.9,"
         "10.0.0.10,10.0.0.11,10.0.0.12,10.0.0.13,10.0.0.14,10.0.0.15,10.0.0.16"),
    };
    emk_trusted_proxies *t = proxies_of(EMK_FORWARDED_X_FORWARDED_FOR);
    static char longer[EMK_FORWARDED_TEXT_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(client(t, XFF, rows[i], NULL), "192.0.2.7") != 0)
            fail_msg("%s", rows[i]);
        assert_int_equal(emk_trusted_proxies_junk(t), i + 1);
    }
    memset(longer, ' ', sizeof longer - 1);
    memcpy(longer, "8.8.8.8", 7);
    assert_string_equal(client(t, XFF, longer, NULL), "192.0.2.7");
    emk_trusted_proxies_free(t);
}

static void what_a_stranger_says_of_itself_does_not_count(void **state)
{
    emk_trusted_proxies *t = proxies_of(EMK_FORWARDED_X_FORWARDED_FOR);
    emk_address stranger, a;
    kit_request r;
    emk_error e;

    (void)state;
    kit_request_init(&r);
    kit_add(&r, XFF, "127.0.0.1");
    kit_add(&r, "forwarded", "for=127.0.0.1");
    kit_add(&r, "x-real-ip", "127.0.0.1");
    assert_ok(emk_address_parse(emk_span_str("198.51.100.4"), &stranger, &e), &e);
    r.rq.peer = stranger;
    a = emk_client_address(t, &r.rq);
    assert_true(emk_address_equal(&a, &stranger));
    a = emk_client_address(NULL, &r.rq);
    assert_true(emk_address_equal(&a, &stranger));
    assert_string_equal(client(t, "forwarded", "for=1.1.1.1", NULL), "192.0.2.7");
    assert_string_equal(client(t, "x-real-ip", "1.1.1.1", NULL), "192.0.2.7");
    emk_trusted_proxies_free(t);
}

static void reads_forwarded(void **state)
{
    emk_trusted_proxies *t = proxies_of(EMK_FORWARDED_FORWARDED);
    static const char *const bad[] = {
        "for=",          "proto=https",     "for=unknown",
        "for=_x",        "203.0.113.9",     "for=1.1.1.1;for=2.2.2.2",
        "for=\"1.1.1.1", "for=2001:db9::1", "for=\"[2001:db9::1]\\\"\"",
        "for = 1.1.1.1"};

    (void)state;
    assert_string_equal(client(t, "forwarded", "for=203.0.113.9", NULL), "203.0.113.9");
    assert_string_equal(
        client(t, "forwarded", "for=1.1.1.1, For=\"203.0.113.9:80\";proto=https;by=10.0.0.1", NULL),
        "203.0.113.9");
    assert_string_equal(client(t, "forwarded", "for=\"[2001:db9::1]:80\"", NULL), "2001:db9::1");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strcmp(client(t, "forwarded", bad[i], NULL), "192.0.2.7") != 0)
            fail_msg("%s", bad[i]);
    emk_trusted_proxies_free(t);
}

/* ---- PROXY version 2 ---- */

#define SIGNATURE "0d0a0d0a000d0a515549540a"

static emk_status parse(const char *hex, emk_proxy_v2 *out, emk_error *e)
{
    uint8_t in[1024];
    size_t n = emk_unhex(hex, in, sizeof in);

    return emk_proxy_v2_parse(emk_span_of(in, n), out, e);
}

static void reads_proxy_header_in_pieces(void **state)
{
    static const char whole[] = SIGNATURE "21110010 cb007109 0a000001 1234 01bb 04 0001 00";
    char text[EMK_ADDRESS_TEXT_MAX];
    uint8_t in[64];
    emk_proxy_v2 p;
    emk_error e;
    size_t n = emk_unhex(whole, in, sizeof in);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_status(emk_proxy_v2_parse(emk_span_of(in, i), &p, &e), EMK_E_BUSY, &e);
        assert_in_range(e.where, i + 1, n);
    }
    in[n] = 'G';
    assert_ok(emk_proxy_v2_parse(emk_span_of(in, n + 1), &p, &e), &e);
    assert_int_equal(p.len, n);
    assert_int_equal(p.peer_port, 0x1234);
    emk_address_format(&p.peer, text);
    assert_string_equal(text, "203.0.113.9");
}

static void reads_the_other_kinds_of_proxy_header(void **state)
{
    char text[EMK_ADDRESS_TEXT_MAX];
    emk_proxy_v2 p;
    emk_error e;

    (void)state;
    assert_ok(parse(SIGNATURE "21210024 20010db9000000000000000000000001"
                              "20010db8000000000000000000000001 0001 01bb",
                    &p, &e),
              &e);
    emk_address_format(&p.peer, text);
    assert_string_equal(text, "2001:db9::1");
    assert_ok(parse(SIGNATURE "20000000", &p, &e), &e);
    assert_true(p.local);
    assert_int_equal(p.peer.family, EMK_ADDRESS_NONE);
}

static void refuses_bad_proxy_headers(void **state)
{
    static const struct {
        const char *hex;
        emk_status st;
    } rows[] = {
        {"474554202f", EMK_E_FORMAT},              /* a client that speaks first */
        {"50524f58592054435034", EMK_E_FORMAT},    /* version 1 */
        {SIGNATURE "11110000", EMK_E_UNSUPPORTED}, /* version */
        {SIGNATURE "22110000", EMK_E_UNSUPPORTED}, /* command */
        {SIGNATURE "2112000c 00000000 00000000 0000 0000", EMK_E_UNSUPPORTED}, /* UDP */
        {SIGNATURE "21110008 00000000 00000000", EMK_E_FORMAT},
        {SIGNATURE "2111000f cb007109 0a000001 1234 01bb 04 0001", EMK_E_FORMAT}, /* TLV cut */
        {SIGNATURE "2111ffff", EMK_E_LIMIT},
    };
    emk_proxy_v2 p;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(parse(rows[i].hex, &p, NULL), rows[i].st, NULL);
}

int main(void)
{
    return EMK_RUN(emk_rule(first_untrusted_from_the_right_is_the_client),
                   emk_rule(junk_leaves_the_peer_and_is_counted),
                   emk_rule(what_a_stranger_says_of_itself_does_not_count),
                   emk_rule(reads_forwarded), emk_rule(reads_proxy_header_in_pieces),
                   emk_rule(reads_the_other_kinds_of_proxy_header),
                   emk_rule(refuses_bad_proxy_headers));
}
