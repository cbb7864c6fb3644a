/* One log, one rule set, one hash: with every compiler, level and number of threads. */
#include "core/base/os_file.h"
#include "server/fraud/replay.h"
#include "server/fraud/trace.h"
#include "tests/support/test.h"

#define GOLDEN "a0904fd38ad4e990595f07ddd5cf8fe9177431c8d9ef3ecd4ea3424decae8362"

static emk_crypto *crypto;
static emk_fraud_ruleset *rules;
static emk_buf events, labels;

static void make_log(void)
{
    emk_fraud_trace_options o = {.seed = 42,
                                 .users = 150,
                                 .days = 12,
                                 .attacks = 2,
                                 .sets = EMK_FRAUD_TRACE_DEVELOP | EMK_FRAUD_TRACE_HELD_OUT,
                                 .start_ms = UINT64_C(1767225600000)};
    emk_error e;

    emk_buf_init(&events, 256 << 20);
    emk_buf_init(&labels, 16 << 20);
    assert_ok(emk_fraud_trace(&o, &events, &labels, &e), &e);
}

static void hash_of(unsigned threads, uint8_t out[32])
{
    emk_fraud_replay_report *r = calloc(1, sizeof *r);
    emk_fraud_replay_options o = {.threads = threads};
    emk_error e;

    emk_fraud_options_init(&o.engine);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        o.engine.max[i] = 4096;
    assert_ok(emk_fraud_replay(crypto, rules, emk_buf_span(&events), &o, r, &e), &e);
    assert_int_equal(r->dropped, 0);
    assert_true(r->actions[EMK_FRAUD_DENY] > 0 && r->actions[EMK_FRAUD_ALLOW] > 0);
    memcpy(out, r->stream, 32);
    free(r);
}

static void decisions_have_the_golden_hash(void **state)
{
    uint8_t got[32], want[32];

    (void)state;
    assert_int_equal(emk_unhex(GOLDEN, want, sizeof want), 32);
    hash_of(1, got);
    assert_bytes(emk_span_of(got, 32), emk_span_of(want, 32));
}

static void threads_change_nothing(void **state)
{
    uint8_t one[32], many[32];

    (void)state;
    hash_of(1, one);
    hash_of(3, many);
    assert_bytes(emk_span_of(many, 32), emk_span_of(one, 32));
}

/* Lines that are no events are counted and change nothing. */
static void bad_lines_are_dropped(void **state)
{
    static const char text[] =
        "nonsense\n{\"v\":1}\n\n"
        "{\"v\":1,\"src\":\"server\",\"type\":\"auth.ok\",\"ts\":1767225600000}";
    emk_fraud_replay_report *r = calloc(1, sizeof *r);
    emk_fraud_replay_options o = {.threads = 2};
    emk_error e;

    (void)state;
    emk_fraud_options_init(&o.engine);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        o.engine.max[i] = 16;
    assert_ok(emk_fraud_replay(crypto, rules, emk_span_str(text), &o, r, &e), &e);
    assert_int_equal(r->events, 1);
    assert_int_equal(r->dropped, 2);
    assert_int_equal(r->first_bad_line, 1);
    free(r);
}

static void assert_labels_refused(const char *text)
{
    emk_fraud_labels l;
    emk_error e;

    assert_status(
        emk_fraud_labels_read(
            &(emk_fraud_label_sources){.file = emk_span_str(text), .strict = true}, &l, &e),
        EMK_E_FORMAT, &e);
    assert_int_equal(e.where, 1);
}

static void labels_are_strict(void **state)
{
    (void)state;
    assert_labels_refused("{\"entity\":\"user:u\"}");
    assert_labels_refused("{\"label\":\"ok\"}");
    assert_labels_refused("{\"entity\":\"u\",\"id\":\"e\",\"label\":\"ok\"}");
    assert_labels_refused("{\"entity\":\"u\",\"label\":\"maybe\"}");
    assert_labels_refused("{\"entity\":\"u\",\"label\":\"ok\",\"x\":1}");
    assert_labels_refused("{\"entity\":\"u\",\"label\":\"ok\"} x");
    assert_labels_refused("{\"entity\":\"u\",\"label\":\"ok\",\"label\":\"ok\"}");
}

static void labels_of_others_are_read_as_far_as_they_are_known(void **state)
{
    static const char text[] =
        "{\"entity\":\"u\",\"id\":\"e\",\"label\":\"ok\",\"at\":7.0}\r\n \n"
        "{\"id\":\"e2\",\"entity\":\"\",\"label\":\"fraud\",\"source\":null,\"x\":{"
        "\"y\":[1]}}\n";
    emk_fraud_labels l;
    emk_error e;

    (void)state;
    assert_ok(emk_fraud_labels_read(&(emk_fraud_label_sources){.file = emk_span_str(text)}, &l, &e),
              &e);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.ignored, 1);
    assert_int_equal(emk_fraud_case_find(&l, emk_fraud_case_key("any", emk_span_str("u")))->at, 7);
    assert_int_equal(emk_fraud_case_find(&l, emk_fraud_case_key("id", emk_span_str("e2")))->label,
                     EMK_FRAUD_FRAUD_LABEL);
    emk_fraud_labels_done(&l);
}

static void better_sources_and_earlier_times_decide_labels(void **state)
{
    static const char text[] =
        "{\"entity\":\"user:u\",\"label\":\"fraud\",\"source\":\"canary\",\"at\":5}\n"
        "{\"entity\":\"user:u\",\"label\":\"ok\",\"source\":\"appeal\",\"at\":9}\n"
        "{\"entity\":\"user:v\",\"label\":\"fraud\",\"source\":\"analyst\",\"at\":100}\n";
    emk_fraud_labels l;
    emk_error e;

    (void)state;
    assert_ok(emk_fraud_labels_read(
                  &(emk_fraud_label_sources){.file = emk_span_str(text), .until_ms = 50}, &l, &e),
              &e);
    assert_int_equal(l.n, 1);
    assert_int_equal(emk_fraud_case_find(&l, emk_fraud_case_key("user", emk_span_str("u")))->label,
                     EMK_FRAUD_FRAUD_LABEL);
    emk_fraud_labels_done(&l);
}

int main(void)
{
    emk_yaml_diag d = {.line = 0};
    emk_buf text;
    int r;

    emk_buf_init(&text, 1 << 20);
    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK ||
        emk_os_read_file(EMK_SOURCE_DIR "/tests/fraud/golden.yaml", 1 << 20, &text, NULL) !=
            EMK_OK ||
        emk_fraud_ruleset_new(crypto, "golden.yaml", emk_buf_span(&text), &rules, &d, NULL) !=
            EMK_OK) {
        fprintf(stderr, "golden.yaml: %s\n", d.text);
        return 1;
    }
    make_log();
    r = EMK_RUN(emk_rule(decisions_have_the_golden_hash), emk_rule(threads_change_nothing),
                emk_rule(bad_lines_are_dropped), emk_rule(labels_are_strict),
                emk_rule(labels_of_others_are_read_as_far_as_they_are_known),
                emk_rule(better_sources_and_earlier_times_decide_labels));
    emk_buf_done(&events);
    emk_buf_done(&labels);
    emk_buf_done(&text);
    emk_fraud_ruleset_free(rules);
    emk_crypto_free(crypto);
    return r;
}
