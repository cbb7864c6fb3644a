#include "server/fraud/event.h"
#include "tests/support/test.h"

#define HEAD "{\"v\":1,\"src\":\"server\",\"type\":\"model.grant\",\"ts\":1767225600000"

static emk_status read_line(const char *line, emk_fraud_event *ev, emk_error *e)
{
    return emk_fraud_event_read(emk_span_str(line), ev, e);
}

static void assert_refused(const char *line, emk_status want)
{
    emk_fraud_event ev;
    emk_error e;

    assert_status(read_line(line, &ev, &e), want, &e);
}

static void reads_the_documented_example(void **state)
{
    emk_fraud_event ev;
    emk_error e;

    (void)state;
    assert_ok(
        read_line("{\"v\":1,\"id\":\"01K3\",\"src\":\"server\",\"producer\":\"earmarkd-3\","
                  "\"seq\":918273, \"type\":\"model.generate\",\"ts\":1763771512345,"
                  "\"ts_client\":1763771511002,\"tenant\":\"acme\",\"app\":{\"id\":"
                  "\"com.acme.cats\",\"ver\":\"4.2.1\",\"build\":\"9f\"},\"subj\":{\"user\":"
                  "\"hmac:x\",\"device\":\"thumb:y\",\"net\":\"203.0.113.0/24\",\"asn\":64500,"
                  "\"cc\":\"PT\",\"geo\":[38.7,-9.1,25]},\"att\":{\"kind\":\"play\",\"level\":"
                  "2,\"age_s\":3100,\"app_ok\":true,\"enr\":\"r-2026-11-03\"},\"obj\":{"
                  "\"model\":\"n\",\"cost\":40.5},\"res\":{\"code\":200,\"reason\":\"ok\"},"
                  "\"x\":{\"gap\":0,\"rtt_ms\":41,\"whatever\":\"new\"}}",
                  &ev, &e),
        &e);
    assert_int_equal(ev.type, EMK_FRAUD_GENERATE);
    assert_int_equal(ev.ts, 1763771512345);
    assert_int_equal(ev.f[EMK_FRAUD_F_LON].number, -9100);
    assert_int_equal(ev.f[EMK_FRAUD_F_COST].number, 40500);
    assert_int_equal(ev.f[EMK_FRAUD_F_ATT_APP_OK].number, 1000);
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_SESSION));
}

static void canonical_form_reads_as_the_same_event(void **state)
{
    emk_fraud_event ev, again;
    emk_buf one, two;
    emk_error e;

    (void)state;
    emk_buf_init(&one, 10000);
    emk_buf_init(&two, 10000);
    assert_ok(read_line("{ \"type\":\"sdk.tamper\", \"x\":{\"weight\":1.5}, \"ts\":1767225600000, "
                        "\"subj\":{\"device\":\"d\",\"user\":\"u\"}, \"src\":\"sdk\", \"v\":1 }",
                        &ev, &e),
              &e);
    assert_ok(emk_fraud_event_write(&ev, &one, &e), &e);
    assert_bytes(
        emk_buf_span(&one),
        emk_span_str("{\"v\":1,\"src\":\"sdk\",\"type\":\"sdk.tamper\",\"ts\":1767225600000,"
                     "\"subj\":{\"user\":\"u\",\"device\":\"d\"},\"x\":{\"weight\":1.5}}"));
    assert_ok(emk_fraud_event_read(emk_buf_span(&one), &again, &e), &e);
    assert_ok(emk_fraud_event_write(&again, &two, &e), &e);
    assert_bytes(emk_buf_span(&two), emk_buf_span(&one));
    emk_buf_done(&one);
    emk_buf_done(&two);
}

static void rejects_unknown_and_double_keys(void **state)
{
    (void)state;
    assert_refused(HEAD ",\"color\":1}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"subj\":{\"name\":\"x\"}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"ts\":1767225600001}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"subj\":{\"user\":\"a\",\"user\":\"b\"}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"subj\":{},\"subj\":{}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"v\":1}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"subj\":{\"lat\":1,\"geo\":[1,2,3]}}", EMK_E_FORMAT);
}

static void rejects_events_without_their_head(void **state)
{
    (void)state;
    assert_refused("{\"src\":\"server\",\"type\":\"replay\",\"ts\":1}", EMK_E_FORMAT);
    assert_refused("{\"v\":2,\"src\":\"server\",\"type\":\"replay\",\"ts\":1}", EMK_E_UNSUPPORTED);
    assert_refused("{\"v\":1,\"type\":\"replay\",\"ts\":1}", EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"server\",\"ts\":1}", EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"server\",\"type\":\"replay\"}", EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"moon\",\"type\":\"replay\",\"ts\":1}", EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"server\",\"type\":\"nothing\",\"ts\":1}", EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"server\",\"type\":\"replay\",\"ts\":0}", EMK_E_LIMIT);
}

static void rejects_a_type_that_its_source_may_not_send(void **state)
{
    (void)state;
    assert_refused("{\"v\":1,\"src\":\"sdk\",\"type\":\"model.grant\",\"ts\":1767225600000}",
                   EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"sdk\",\"type\":\"challenge.pass\",\"ts\":1767225600000}",
                   EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"backend\",\"type\":\"sdk.gap\",\"ts\":1767225600000}",
                   EMK_E_FORMAT);
}

static void rejects_texts_outside_the_alphabet(void **state)
{
    char line[512];

    (void)state;
    assert_refused(HEAD ",\"id\":\"a b\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"id\":\"a\\u0041\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"id\":\"\xc3\xa4\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"id\":1}", EMK_E_FORMAT);
    snprintf(line, sizeof line, HEAD ",\"id\":\"%0129d\"}", 1);
    assert_refused(line, EMK_E_LIMIT);
}

/* Eight bytes are looked at together: each place of each length, each kind of wrong byte. */
static void finds_the_wrong_byte_wherever_it_stands(void **state)
{
    static const char wrong[] = {1, 0x1f, ' ', '\\', 0x7f, (char)0x80, (char)0xff};
    char line[512];

    (void)state;
    for (unsigned len = 1; len <= 40; len++) {
        for (unsigned at = 0; at < len; at++) {
            int n = snprintf(line, sizeof line, HEAD ",\"id\":\"%0*d\"}", (int)len, 0);
            size_t place = (size_t)n - 2 - len + at;
            emk_fraud_event ev;
            emk_error e;

            for (unsigned i = 0; i < sizeof wrong; i++) {
                line[place] = wrong[i];
                assert_refused(line, EMK_E_FORMAT);
            }
            line[place] = '~';
            assert_ok(emk_fraud_event_read(emk_span_str(line), &ev, &e), &e);
            assert_int_equal(ev.f[EMK_FRAUD_F_ID].text.len, len);
        }
    }
}

static void a_key_is_read_in_any_spacing(void **state)
{
    static const char *const forms[] = {
        "{\"v\":1,\"src\":\"server\",\"type\":\"replay\",\"ts\":5,\"plan\":{\"artifacts_hour\":7}}",
        " { \"v\" : 1 , \"src\" : \"server\" , \"type\" : \"replay\" , \"ts\" : 5 , \"plan\" : { "
        "\"artifacts_hour\" : 7 } } ",
        "{\"plan\":{\"artifacts_hour\":7},\"ts\":5,\"type\":\"replay\",\"src\":\"server\",\"v\":"
        "1}"};
    emk_fraud_event ev;
    emk_error e;

    (void)state;
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        assert_ok(emk_fraud_event_read(emk_span_str(forms[i]), &ev, &e), &e);
        assert_int_equal(ev.ts, 5);
        assert_int_equal(ev.f[EMK_FRAUD_F_PLAN_ARTIFACTS_HOUR].number, 7000);
    }
}

/* Compared as words with zeros behind them, a zero in a key must not look like its end. */
static void rejects_keys_with_zeros_and_keys_that_only_begin_right(void **state)
{
    static const char zero[] = HEAD ",\"id\0\":\"abcdefghijklmnop\"}";
    emk_fraud_event ev;
    emk_error e;

    (void)state;
    assert_status(emk_fraud_event_read(emk_span_of(zero, sizeof zero - 1), &ev, &e), EMK_E_FORMAT,
                  &e);
    assert_refused(HEAD ",\"idx\":\"abcdefghijklmnop\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"i\":\"abcdefghijklmnop\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"\":\"abcdefghijklmnop\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"plan\":{\"artifacts_hourly\":7}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"plan\":{\"artifacts_hours_of_a_day\":7}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"plans\":{\"artifacts_hour\":7}}", EMK_E_FORMAT);
}

static void rejects_numbers_that_are_out_of_range_or_no_integers(void **state)
{
    (void)state;
    assert_refused(HEAD ",\"obj\":{\"bytes\":1.5}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"obj\":{\"bytes\":1e3}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"obj\":{\"bytes\":-1}}", EMK_E_LIMIT);
    assert_refused(HEAD ",\"obj\":{\"bytes\":01}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"obj\":{\"bytes\":9999999999999999}}", EMK_E_LIMIT);
    assert_refused(HEAD ",\"subj\":{\"lat\":91}}", EMK_E_LIMIT);
    assert_refused(HEAD ",\"att\":{\"app_ok\":1}}", EMK_E_FORMAT);
}

static void rejects_what_is_no_object_and_what_follows_it(void **state)
{
    (void)state;
    assert_refused("", EMK_E_FORMAT);
    assert_refused("[]", EMK_E_FORMAT);
    assert_refused(HEAD, EMK_E_FORMAT);
    assert_refused(HEAD "}}", EMK_E_FORMAT);
    assert_refused(HEAD ",}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"x\":{\"a\":{}}}", EMK_E_FORMAT);
}

static void rejects_lines_that_are_too_long(void **state)
{
    static char line[EMK_FRAUD_LINE_MAX + 2];

    (void)state;
    memset(line, ' ', sizeof line - 1);
    assert_refused(line, EMK_E_LIMIT);
}

static void null_and_empty_texts_are_the_same_as_no_key(void **state)
{
    emk_fraud_event ev;
    emk_error e;

    (void)state;
    assert_ok(read_line(HEAD ",\"id\":\"\",\"seq\":null,\"app\":null,\"subj\":{\"user\":null,"
                             "\"device\" : \"\",\"geo\":null,\"asn\": null},\"att\":{\"app_ok\":"
                             "null},\"res\":{\"reason\":\"\",\"code\":200}}",
                        &ev, &e),
              &e);
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_ID));
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_SEQ));
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_USER));
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_DEVICE));
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_LAT));
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_ATT_APP_OK));
    assert_false(emk_fraud_has(&ev, EMK_FRAUD_F_REASON));
    assert_int_equal(ev.f[EMK_FRAUD_F_CODE].number, 200000);
    assert_refused("{\"v\":1,\"src\":\"\",\"type\":\"replay\",\"ts\":1}", EMK_E_FORMAT);
    assert_refused("{\"v\":1,\"src\":\"server\",\"type\":\"replay\",\"ts\":null}", EMK_E_FORMAT);
    /* Twice is twice. */
    assert_refused(HEAD ",\"id\":null,\"id\":\"x\"}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"id\":nul}", EMK_E_FORMAT);
}

static void a_whole_number_may_be_written_with_zeros_behind_the_point(void **state)
{
    emk_fraud_event ev;
    emk_error e;

    (void)state;
    assert_ok(read_line("{\"v\":1.0,\"src\":\"server\",\"type\":\"replay\",\"ts\":1767225600000.0,"
                        "\"obj\":{\"bytes\":7.000}}",
                        &ev, &e),
              &e);
    assert_int_equal(ev.ts, 1767225600000);
    assert_int_equal(ev.f[EMK_FRAUD_F_BYTES].number, 7000);
    assert_refused(HEAD ",\"obj\":{\"bytes\":7.0001}}", EMK_E_FORMAT);
    assert_refused(HEAD ",\"obj\":{\"bytes\":7.}}", EMK_E_FORMAT);
}

static emk_status read_foreign(const char *line, emk_fraud_event *ev, emk_fraud_ignored *g)
{
    emk_error e;

    return emk_fraud_event_read_foreign(emk_span_str(line), ev, g, &e);
}

static void a_foreign_log_may_have_keys_that_nobody_knows(void **state)
{
    emk_fraud_event ev;
    emk_fraud_ignored g;

    (void)state;
    assert_int_equal(
        read_foreign(
            "{\"trace\":\"7\",\"deep\":{\"a\":[1,{\"b\":\"}]\\\"\"}],\"c\":-1.5e9},\"v\":1,"
            "\"src\":\"server\",\"type\":\"replay\",\"ts\":5,\"a key that is longer than "
            "sixteen\":true,\"subj\":{\"nick\":null,\"user\":\"u\"},\"x\":{\"y\":[[]]},"
            "\"z\":[]}",
            &ev, &g),
        EMK_OK);
    assert_int_equal(g.n, 5);
    assert_bytes(g.first[0], emk_span_str("trace"));
    assert_bytes(g.first[1], emk_span_str("deep"));
    assert_bytes(g.first[3], emk_span_str("nick"));
    assert_bytes(ev.f[EMK_FRAUD_F_USER].text, emk_span_str("u"));
    /* What is no line of JSON stays none, and what is known is read as strictly as ever. */
    assert_int_equal(read_foreign(HEAD ",\"a\":[1,2}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"a\":}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"a\"}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"a\":\"b}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"a\":{\"b\":{}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"ts\":6}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"obj\":{\"bytes\":-1}}", &ev, &g), EMK_E_LIMIT);
}

static void a_foreign_log_may_have_texts_of_any_kind(void **state)
{
    emk_fraud_event ev;
    emk_fraud_ignored g;

    (void)state;
    assert_int_equal(read_foreign(HEAD ",\"subj\":{\"user\":\"J\xc3\xb6rg \\\"B\\\\\"}}", &ev, &g),
                     EMK_OK);
    assert_int_equal(g.n, 0);
    assert_bytes(ev.f[EMK_FRAUD_F_USER].text, emk_span_str("J\xc3\xb6rg \\\"B\\\\"));
    assert_int_equal(read_foreign(HEAD ",\"id\":\"a\tb\"}", &ev, &g), EMK_E_FORMAT);
    assert_int_equal(read_foreign(HEAD ",\"id\":\"a\\\"}", &ev, &g), EMK_E_FORMAT);
}

static void what_an_sdk_may_say_is_a_claim(void **state)
{
    (void)state;
    assert_int_equal(emk_fraud_trust_of(EMK_FRAUD_F_ARTIFACT, EMK_FRAUD_OPEN), EMK_FRAUD_CLAIMED);
    assert_int_equal(emk_fraud_trust_of(EMK_FRAUD_F_ARTIFACT, EMK_FRAUD_GRANT), EMK_FRAUD_SERVER);
    assert_int_equal(emk_fraud_trust_of(EMK_FRAUD_F_USER, EMK_FRAUD_OPEN), EMK_FRAUD_SERVER);
    assert_int_equal(emk_fraud_trust_of(EMK_FRAUD_F_DEVICE, EMK_FRAUD_OPEN), EMK_FRAUD_ATTESTED);
    assert_int_equal(emk_fraud_trust_of(EMK_FRAUD_F_TS_CLIENT, EMK_FRAUD_GRANT), EMK_FRAUD_CLAIMED);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(reads_the_documented_example), emk_rule(canonical_form_reads_as_the_same_event),
        emk_rule(rejects_unknown_and_double_keys), emk_rule(rejects_events_without_their_head),
        emk_rule(rejects_a_type_that_its_source_may_not_send),
        emk_rule(rejects_texts_outside_the_alphabet),
        emk_rule(finds_the_wrong_byte_wherever_it_stands), emk_rule(a_key_is_read_in_any_spacing),
        emk_rule(rejects_keys_with_zeros_and_keys_that_only_begin_right),
        emk_rule(rejects_numbers_that_are_out_of_range_or_no_integers),
        emk_rule(rejects_what_is_no_object_and_what_follows_it),
        emk_rule(rejects_lines_that_are_too_long),
        emk_rule(null_and_empty_texts_are_the_same_as_no_key),
        emk_rule(a_whole_number_may_be_written_with_zeros_behind_the_point),
        emk_rule(a_foreign_log_may_have_keys_that_nobody_knows),
        emk_rule(a_foreign_log_may_have_texts_of_any_kind),
        emk_rule(what_an_sdk_may_say_is_a_claim));
}
