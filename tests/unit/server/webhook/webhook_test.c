#include "server/webhook/webhook.h"
#include "tests/support/test.h"

#define NOW UINT64_C(1767225600)

/* 24 and 32 bytes. */
#define KEY     "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n"
#define OTHER   "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n"
#define TOO_FEW "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=\n" /* 23 */

static emk_crypto *crypto;

static emk_webhook_keys keys_of(const char *text)
{
    emk_webhook_keys k = {.n = 0};
    emk_error e;

    assert_ok(emk_webhook_keys_read(emk_span_str(text), &k, &e), &e);
    return k;
}

static emk_webhook_message message(const char *id, uint64_t time_s, const char *body)
{
    return (emk_webhook_message){emk_span_str(id), time_s, emk_span_str(body)};
}

static emk_status verify(const char *keys, const emk_webhook_message *m, const char *signatures,
                         uint64_t now)
{
    emk_webhook_keys k = keys_of(keys);
    emk_error e;
    emk_status st = emk_webhook_verify(crypto, &k, m, emk_span_str(signatures), now, &e);

    emk_webhook_keys_done(&k);
    return st;
}

static void sign(const char *keys, const emk_webhook_message *m,
                 char out[EMK_WEBHOOK_SIGNATURE_CAP])
{
    emk_webhook_keys k = keys_of(keys);
    emk_error e;

    assert_ok(emk_webhook_sign(crypto, &k, m, out, &e), &e);
    emk_webhook_keys_done(&k);
}

static void signs_as_the_scheme_says(void **state)
{
    emk_webhook_message m =
        message("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}");
    char out[EMK_WEBHOOK_SIGNATURE_CAP];

    (void)state;
    /* The example of the scheme's own libraries. */
    sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", &m, out);
    assert_string_equal(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void either_of_two_keys_is_enough_and_both_sign(void **state)
{
    emk_webhook_message m = message("m1", NOW, "{}");
    char both[EMK_WEBHOOK_SIGNATURE_CAP], one[EMK_WEBHOOK_SIGNATURE_CAP];

    (void)state;
    sign(KEY OTHER, &m, both);
    assert_int_equal(verify(KEY, &m, both, NOW), EMK_OK);
    assert_int_equal(verify(OTHER, &m, both, NOW), EMK_OK);
    sign(OTHER, &m, one);
    assert_int_equal(verify(KEY OTHER, &m, one, NOW), EMK_OK);
    assert_int_equal(verify(KEY, &m, one, NOW), EMK_E_SIGNATURE);
}

static void refuses_what_was_changed(void **state)
{
    emk_webhook_message m = message("m1", NOW, "{}"), x;
    char s[EMK_WEBHOOK_SIGNATURE_CAP];

    (void)state;
    sign(KEY, &m, s);
    x = message("m2", NOW, "{}");
    assert_int_equal(verify(KEY, &x, s, NOW), EMK_E_SIGNATURE);
    x = message("m1", NOW + 1, "{}");
    assert_int_equal(verify(KEY, &x, s, NOW), EMK_E_SIGNATURE);
    x = message("m1", NOW, "{ }");
    assert_int_equal(verify(KEY, &x, s, NOW), EMK_E_SIGNATURE);
    x = message("m1.1767225600", NOW, "{}"); /* a dot would let the parts run into one another */
    assert_int_equal(verify(KEY, &x, s, NOW), EMK_E_FORMAT);
    for (size_t i = 0; s[i]; i++) {
        char was = s[i];

        s[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify(KEY, &m, s, NOW), EMK_OK);
        s[i] = was;
    }
    assert_int_equal(verify(KEY, &m, "", NOW), EMK_E_SIGNATURE);
    assert_int_equal(verify(KEY, &m, "v1a,AAAA v2,BBBB v1, v1", NOW), EMK_E_SIGNATURE);
}

static void refuses_what_is_old_or_from_the_future(void **state)
{
    emk_webhook_message m = message("m1", NOW, "{}");
    char s[EMK_WEBHOOK_SIGNATURE_CAP];

    (void)state;
    sign(KEY, &m, s);
    assert_int_equal(verify(KEY, &m, s, NOW + EMK_WEBHOOK_TOLERANCE_S), EMK_OK);
    assert_int_equal(verify(KEY, &m, s, NOW + EMK_WEBHOOK_TOLERANCE_S + 1), EMK_E_STALE);
    assert_int_equal(verify(KEY, &m, s, NOW - EMK_WEBHOOK_TOLERANCE_S), EMK_OK);
    assert_int_equal(verify(KEY, &m, s, NOW - EMK_WEBHOOK_TOLERANCE_S - 1), EMK_E_STALE);
}

static void refuses_files_that_hold_no_keys(void **state)
{
    static const char three[] = KEY KEY OTHER;
    static const char *const BAD[] = {
        "",   "\n\n", "hello\n", "whsec_\n", TOO_FEW, "whsec_MDEy MzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n",
        three};

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        emk_webhook_keys k = {.n = 0};
        emk_error e;

        assert_int_equal(emk_webhook_keys_read(emk_span_str(BAD[i]), &k, &e), EMK_E_FORMAT);
        assert_int_equal(k.n, 0);
    }
}

static void pauses_grow_threefold_to_a_limit_and_are_never_below_what_was_asked(void **state)
{
    uint64_t most = 0;

    (void)state;
    for (unsigned tries = 1; tries <= EMK_WEBHOOK_TRIES; tries++) {
        uint64_t whole = tries == 1 ? 5000 : most * 3;

        most = whole < EMK_WEBHOOK_PAUSE_MAX_MS ? whole : EMK_WEBHOOK_PAUSE_MAX_MS;
        for (uint32_t r = 0; r < 100000; r += 997)
            assert_in_range(emk_webhook_pause_ms(5000, tries, 0, r), most / 2, most);
    }
    assert_int_equal(emk_webhook_pause_ms(5000, 1, 60, 0), 60000);
    assert_int_equal(emk_webhook_pause_ms(5000, 1, UINT64_MAX, 0), EMK_WEBHOOK_PAUSE_MAX_MS);
}

static void takes_https_and_this_machine_and_nothing_else(void **state)
{
    static const char *const GOOD[] = {"https://example.com/hook", "https://example.com:8443/a?b=c",
                                       "http://127.0.0.1:8080/", "http://[::1]/x",
                                       "http://localhost/"};
    static const char *const BAD[] = {"http://example.com/",
                                      "ftp://example.com/",
                                      "https://",
                                      "https:///x",
                                      "https://u:p@example.com/",
                                      "https://example.com/#f",
                                      "https://example.com/ x",
                                      "http://127.0.0.1.example.com/",
                                      "http://localhost.example/",
                                      "//example.com/",
                                      "HTTPS://example.com/",
                                      "http://[::1].example.com@x/"};

    (void)state;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        assert_null(emk_webhook_url_check(GOOD[i], 0));
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_non_null(emk_webhook_url_check(BAD[i], 0));
    assert_null(emk_webhook_url_check("http://example.com/", EMK_WEBHOOK_PLAIN));
}

#define FAR_URL "https://hooks.example.com/"

static bool reaches(const char *url, unsigned allow, const char *address)
{
    emk_address a;
    emk_error e;

    assert_ok(emk_address_parse(emk_span_str(address), &a, &e), &e);
    return emk_webhook_may_reach(url, allow, &a);
}

typedef struct range {
    const char *before, *first, *last, *behind; /* NULL: not looked at */
} range;

/* One row for each net, so that a row that is written wrong shows. */
static void the_inner_network_is_reached_only_where_it_is_allowed(void **state)
{
    static const range INNER[] = {
        {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
        {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
        {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
        {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
        {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
        {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
        {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
        {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
        {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
        {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
        {NULL, "2001:1::", "2001:1ff:ffff::", "2001:200::"},
        {"2001:db7:ffff::", "2001:db8::", "2001:db8:ffff::", "2001:db9::"},
        {"3ffe:ffff::", "3fff::", "3fff:fff:ffff::", "3fff:1000::"},
        {NULL, "fc00::", "fdff:ffff::1", NULL},
        {NULL, "fec0::", "feff:ffff::1", NULL},
        {NULL, "100::", "1fff:ffff::", "2000::"},
        {"3fff:1000::", "4000::", "fbff:ffff::", NULL},
        {NULL, "::ffff:10.0.0.0", "::ffff:192.168.255.255", "::ffff:8.8.8.8"},
        {NULL, "64:ff9b::10.0.0.1", "64:ff9b::192.168.0.1", "64:ff9b::8.8.8.8"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof INNER / sizeof INNER[0]; i++) {
        const range *r = &INNER[i];

        assert_true(!r->before || reaches(FAR_URL, 0, r->before));
        assert_false(reaches(FAR_URL, 0, r->first));
        assert_false(reaches(FAR_URL, 0, r->last));
        assert_true(!r->behind || reaches(FAR_URL, 0, r->behind));
        assert_true(reaches(FAR_URL, EMK_WEBHOOK_PRIVATE, r->first));
        assert_true(reaches(FAR_URL, EMK_WEBHOOK_PRIVATE, r->last));
    }
}

/* What answers there is a cloud's metadata, everybody on the wire, or another address. */
static void what_no_receiver_has_is_never_reached(void **state)
{
    static const char *const NEVER[] = {"169.254.0.0",
                                        "169.254.169.254",
                                        "169.254.255.255",
                                        "224.0.0.0",
                                        "239.255.255.255",
                                        "240.0.0.0",
                                        "255.255.255.255",
                                        "fe80::",
                                        "febf:ffff::1",
                                        "ff00::",
                                        "ff02::1",
                                        "::2",
                                        "::10.0.0.1",
                                        "::ffff:0:10.0.0.1",
                                        "::ffff:0:8.8.8.8",
                                        "64:ff9b:1::1",
                                        "64:ff9b:1:ffff::10.0.0.1",
                                        "2002::",
                                        "2002:a00:1::",
                                        "2002:7f00:1::1",
                                        "2002:ffff:ffff::",
                                        "2001::",
                                        "2001:0:ffff::1",
                                        "::ffff:169.254.169.254",
                                        "::ffff:224.0.0.1",
                                        "64:ff9b::169.254.169.254",
                                        "64:ff9b::127.0.0.1",
                                        "64:ff9b::0.0.0.0",
                                        "64:ff9b::224.0.0.1"};
    const emk_address none = {.family = EMK_ADDRESS_NONE};

    (void)state;
    for (size_t i = 0; i < sizeof NEVER / sizeof NEVER[0]; i++) {
        assert_false(reaches(FAR_URL, 0, NEVER[i]));
        assert_false(reaches(FAR_URL, EMK_WEBHOOK_PRIVATE | EMK_WEBHOOK_PLAIN, NEVER[i]));
        assert_false(reaches("http://localhost/", EMK_WEBHOOK_PRIVATE, NEVER[i]));
    }
    assert_false(emk_webhook_may_reach(FAR_URL, EMK_WEBHOOK_PRIVATE, &none));
}

/* Connecting to the unspecified address ends at this machine too. */
static void this_machine_is_reached_by_its_own_names_only(void **state)
{
    static const char *const OWN[] = {"127.0.0.1", "127.0.0.0",        "127.255.255.255",
                                      "::1",       "0.0.0.0",          "0.255.255.255",
                                      "::",        "::ffff:127.0.0.1", "::ffff:0.0.0.0"};
    static const char *const NAMES[] = {"http://localhost:1/", "http://127.0.0.1/",
                                        "https://[::1]:8443/"};

    (void)state;
    for (size_t i = 0; i < sizeof OWN / sizeof OWN[0]; i++) {
        assert_false(reaches(FAR_URL, 0, OWN[i]));
        assert_false(reaches(FAR_URL, EMK_WEBHOOK_PRIVATE | EMK_WEBHOOK_PLAIN, OWN[i]));
        for (size_t k = 0; k < sizeof NAMES / sizeof NAMES[0]; k++)
            assert_true(reaches(NAMES[k], 0, OWN[i]));
    }
    for (size_t k = 0; k < sizeof NAMES / sizeof NAMES[0]; k++) {
        assert_false(reaches(NAMES[k], EMK_WEBHOOK_PRIVATE, "203.0.114.9"));
        assert_false(reaches(NAMES[k], EMK_WEBHOOK_PRIVATE, "10.0.0.1"));
    }
}

static void the_world_is_reached(void **state)
{
    static const char *const OUTSIDE[] = {"203.0.114.9", "8.8.8.8", "1.0.0.1", "223.255.255.255",
                                          "2600::1",     "2a00::1", "2003::1"};

    (void)state;
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof OUTSIDE[0]; i++)
        assert_true(reaches(FAR_URL, 0, OUTSIDE[i]));
}

int main(void)
{
    emk_error e;
    int r;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    r = EMK_RUN(
        emk_rule(signs_as_the_scheme_says), emk_rule(either_of_two_keys_is_enough_and_both_sign),
        emk_rule(refuses_what_was_changed), emk_rule(refuses_what_is_old_or_from_the_future),
        emk_rule(refuses_files_that_hold_no_keys),
        emk_rule(pauses_grow_threefold_to_a_limit_and_are_never_below_what_was_asked),
        emk_rule(takes_https_and_this_machine_and_nothing_else),
        emk_rule(the_inner_network_is_reached_only_where_it_is_allowed),
        emk_rule(what_no_receiver_has_is_never_reached),
        emk_rule(this_machine_is_reached_by_its_own_names_only), emk_rule(the_world_is_reached));
    emk_crypto_free(crypto);
    return r;
}
