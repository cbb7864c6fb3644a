#include "core/crypto/hash.h"
#include "server/fraud/trace.h"
#include "tests/support/test.h"

#include <string.h>

#define START_MS   UINT64_C(1767225600000)
#define DAYS       14u
#define DAY_MS     UINT64_C(86400000)
#define LABELS_MAX 4096u
#define PEOPLE     20u

typedef struct label {
    char user[40], by[40];
    bool fraud;
    uint64_t at;
    unsigned events, asked_since, took_since;
} label;

static void make(uint64_t seed, unsigned sets, uint32_t users, emk_buf *events, emk_buf *labels)
{
    emk_fraud_trace_options o = {.seed = seed,
                                 .users = users,
                                 .days = DAYS,
                                 .attacks = 1,
                                 .sets = sets,
                                 .start_ms = START_MS};
    emk_error e;

    emk_buf_init(events, EMK_FRAUD_TRACE_LEN_MAX);
    emk_buf_init(labels, EMK_FRAUD_TRACE_LEN_MAX);
    assert_ok(emk_fraud_trace(&o, events, labels, &e), &e);
}

/* Cuts the next line off *rest. */
static bool next_line(emk_span *rest, emk_span *line)
{
    const uint8_t *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;

    if (!end)
        return false;
    *line = emk_span_of(rest->p, (size_t)(end - rest->p));
    *rest = emk_span_of(end + 1, rest->len - line->len - 1);
    return true;
}

/* Labels of users, in the order they were written. */
static size_t read_labels(const emk_buf *labels, label *out)
{
    emk_span rest = emk_span_of(labels->p, labels->len), line;
    size_t n = 0;

    while (next_line(&rest, &line)) {
        char text[256], word[8];
        unsigned long long at = 0;
        label *l = &out[n++];

        assert_true(n <= LABELS_MAX && line.len < sizeof text);
        memcpy(text, line.p, line.len);
        text[line.len] = 0;
        memset(l, 0, sizeof *l);
        assert_int_equal(sscanf(text,
                                "{\"entity\":\"user:%39[^\"]\",\"label\":\"%7[^\"]\",\"source\":"
                                "\"analyst\",\"at\":%llu,\"by\":\"%39[^\"]\"}",
                                l->user, word, &at, l->by),
                         4);
        assert_true(strcmp(word, "fraud") == 0 || strcmp(word, "ok") == 0);
        l->fraud = word[0] == 'f';
        l->at = at;
    }
    return n;
}

static label *find(label *all, size_t n, emk_span user)
{
    for (size_t i = 0; i < n; i++) {
        if (emk_span_equal(user, emk_span_str(all[i].user)))
            return &all[i];
    }
    return NULL;
}

/* Counts the events of every labelled user; all lines are of the schema and in order of time. */
static void count_events(const emk_buf *events, label *all, size_t n)
{
    emk_span rest = emk_span_of(events->p, events->len), line;
    uint64_t last = START_MS;
    emk_fraud_event ev;
    emk_error e;

    while (next_line(&rest, &line)) {
        label *l;

        assert_ok(emk_fraud_event_read(line, &ev, &e), &e);
        assert_true(ev.ts >= last && ev.ts < START_MS + DAYS * DAY_MS);
        last = ev.ts;
        l = find(all, n, ev.f[EMK_FRAUD_F_USER].text);
        assert_non_null(l);
        l->events++;
        if (ev.ts >= l->at && EMK_FRAUD_TYPE[ev.type].decides)
            l->asked_since++;
        if (ev.ts >= l->at && ev.type == EMK_FRAUD_DOWNLOAD_END)
            l->took_since++;
    }
}

static void assert_hash(unsigned set, const char *wanted)
{
    uint8_t want[EMK_SHA256_LEN], got[EMK_SHA256_LEN];
    emk_crypto *crypto = NULL;
    emk_buf events, labels;
    emk_error e;

    make(1, set, 0, &events, &labels);
    assert_ok(emk_crypto_new(NULL, NULL, &crypto, &e), &e);
    assert_ok(
        emk_sha256(crypto, (emk_span[]){emk_buf_span(&events), emk_buf_span(&labels)}, 2, got, &e),
        &e);
    assert_int_equal(emk_unhex(wanted, want, sizeof want), sizeof want);
    assert_bytes(emk_span_of(got, sizeof got), emk_span_of(want, sizeof want));
    emk_crypto_free(crypto);
    emk_buf_done(&events);
    emk_buf_done(&labels);
}

/* Whoever has to change these has other families than those the report calls blind. */
static void blind_families_are_still_those_that_were_measured(void **state)
{
    (void)state;
    assert_hash(EMK_FRAUD_TRACE_BLIND,
                "a69cee113113f2a3a6076cf0dea8496704dfcfa70f54b13f29b3f5ec22929047");
    assert_hash(EMK_FRAUD_TRACE_BLIND2,
                "f1b78c48654878e0f1ec78c2f27c9209fb9db60746424591546584ac9fc0e37e");
}

static bool is_blind_family(const label *l)
{
    return (l->by[0] == 'b' || l->by[0] == 'c') && l->by[1] >= '0' && l->by[1] <= '9';
}

static void assert_same_for_same_seed(unsigned set)
{
    emk_buf events[3], labels[3];

    make(5, set, PEOPLE, &events[0], &labels[0]);
    make(5, set, PEOPLE, &events[1], &labels[1]);
    make(6, set, PEOPLE, &events[2], &labels[2]);
    assert_bytes(emk_buf_span(&events[1]), emk_buf_span(&events[0]));
    assert_bytes(emk_buf_span(&labels[1]), emk_buf_span(&labels[0]));
    assert_false(emk_span_equal(emk_buf_span(&events[2]), emk_buf_span(&events[0])));
    for (size_t i = 0; i < 3; i++) {
        emk_buf_done(&events[i]);
        emk_buf_done(&labels[i]);
    }
}

static void blind_families_are_the_same_for_the_same_seed(void **state)
{
    (void)state;
    assert_same_for_same_seed(EMK_FRAUD_TRACE_BLIND);
    assert_same_for_same_seed(EMK_FRAUD_TRACE_BLIND2);
}

static void assert_labels(uint64_t seed, unsigned set)
{
    static label all[LABELS_MAX];
    emk_buf events, labels;
    size_t n;

    make(seed, set, PEOPLE, &events, &labels);
    n = read_labels(&labels, all);
    count_events(&events, all, n);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(find(all, n, emk_span_str(all[i].user)), &all[i]); /* one label each */
        assert_int_equal(all[i].fraud, is_blind_family(&all[i]));
        assert_true(all[i].at >= START_MS && all[i].at < START_MS + DAYS * DAY_MS);
        if (all[i].fraud)
            assert_true(all[i].asked_since > 0);
        if (all[i].fraud && set == EMK_FRAUD_TRACE_BLIND2)
            assert_true(all[i].took_since > 0);
    }
    emk_buf_done(&events);
    emk_buf_done(&labels);
}

static void blind_labels_say_who_misuses_and_from_when(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        assert_labels(seed, EMK_FRAUD_TRACE_BLIND);
        assert_labels(seed, EMK_FRAUD_TRACE_BLIND2);
    }
}

typedef struct families {
    size_t blind, blind2, other;
    size_t honest; /* kinds of people that come with a set */
} families;

static void count_family(families *f, const char *by, bool fraud)
{
    const bool numbered = by[1] >= '0' && by[1] <= '9';

    if (!fraud)
        f->honest += strncmp(by, "honest_", strlen("honest_")) == 0 ? 1 : 0;
    else if (by[0] == 'b' && numbered)
        f->blind++;
    else if (by[0] == 'c' && numbered)
        f->blind2++;
    else
        f->other++;
}

/* Labels of a family stand together. */
static families families_of(unsigned sets)
{
    families f = {0};
    emk_buf events, labels;
    emk_span rest, line;
    char last[40] = "";

    make(9, sets, PEOPLE, &events, &labels);
    rest = emk_buf_span(&labels);
    while (next_line(&rest, &line)) {
        char text[256], by[40] = "";
        const char *at;

        assert_true(line.len < sizeof text);
        memcpy(text, line.p, line.len);
        text[line.len] = 0;
        at = strstr(text, "\"by\":\"");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "\"by\":\"%39[^\"]\"", by), 1);
        if (strcmp(last, by) != 0)
            count_family(&f, by, strstr(text, "\"fraud\"") != NULL);
        memcpy(last, by, sizeof last);
    }
    emk_buf_done(&events);
    emk_buf_done(&labels);
    return f;
}

static void blind_families_are_kept_apart_from_those_rules_were_made_with(void **state)
{
    families f = families_of(EMK_FRAUD_TRACE_BLIND);

    (void)state;
    assert_int_equal(f.blind, 10);
    assert_int_equal(f.blind2 + f.other + f.honest, 0);
    f = families_of(EMK_FRAUD_TRACE_BLIND2);
    assert_int_equal(f.blind2, 10);
    assert_int_equal(f.honest, 3);
    assert_int_equal(f.blind + f.other, 0);
    f = families_of(EMK_FRAUD_TRACE_DEVELOP | EMK_FRAUD_TRACE_HELD_OUT);
    assert_int_equal(f.blind + f.blind2 + f.honest, 0);
    assert_true(f.other > 20);
}

int main(void)
{
    return EMK_RUN(emk_rule(blind_families_are_still_those_that_were_measured),
                   emk_rule(blind_families_are_the_same_for_the_same_seed),
                   emk_rule(blind_labels_say_who_misuses_and_from_when),
                   emk_rule(blind_families_are_kept_apart_from_those_rules_were_made_with));
}
