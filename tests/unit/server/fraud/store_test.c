/* The table of entities and what is kept of one, against models that are too simple to be wrong. */
#include "server/fraud/internal.h"
#include "tests/support/test.h"

#define PLACES 400u
#define KEYS   600u
#define STEPS  60000u
#define HOUR   UINT64_C(3600000)
#define DAY    (24 * HOUR)
#define T0     UINT64_C(1767225600000)

static const emk_fraud_ruleset NO_RULES;
static uint64_t seed;

static uint64_t draw(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (seed >> 33) % below;
}

static int begin(void **state)
{
    (void)state;
    seed = 1;
    return 0;
}

static uint64_t spread(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* All begin their search at one slot, and all carry the same bits beside the index. */
static uint64_t crowded(uint64_t i)
{
    return UINT64_C(0x8000000000000000) | (i + 1) << 8;
}

static void find_what_was_taken(const table *t, const bool *there, uint64_t (*key_of)(uint64_t))
{
    for (uint64_t i = 0; i < KEYS; i++) {
        const slab *s = emk_fraud_table_find(t, key_of(i));

        assert_int_equal(s != NULL, there[i]);
        if (s)
            assert_true(s->key == key_of(i));
    }
}

static void take_and_remove(uint64_t (*key_of)(uint64_t))
{
    bool there[KEYS] = {false};
    table t = {0};
    uint32_t n = 0;
    emk_error e;

    assert_ok(emk_fraud_table_init(&t, PLACES, sizeof(slab), &e), &e);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t i = draw(KEYS);

        if (there[i] || n == PLACES) {
            assert_int_equal(emk_fraud_table_remove(&t, key_of(i)), there[i]);
            n -= there[i];
            there[i] = false;
        } else {
            assert_non_null(emk_fraud_table_take(&t, &NO_RULES, key_of(i), T0));
            there[i] = true;
            n++;
        }
        assert_int_equal(t.n, n);
        if (step % 997 == 0)
            find_what_was_taken(&t, there, key_of);
    }
    find_what_was_taken(&t, there, key_of);
    emk_fraud_table_done(&t);
}

static void finds_what_is_there_and_nothing_else(void **state)
{
    (void)state;
    take_and_remove(spread);
}

static void keys_that_share_a_slot_are_told_apart(void **state)
{
    (void)state;
    take_and_remove(crowded);
}

static void a_full_table_keeps_its_size_and_finds_the_newest(void **state)
{
    table t = {0};
    emk_error e;

    (void)state;
    assert_ok(emk_fraud_table_init(&t, PLACES, sizeof(slab), &e), &e);
    for (uint64_t i = 0; i < 20 * PLACES; i++) {
        slab *s = emk_fraud_table_take(&t, &NO_RULES, spread(i), T0 + i);

        assert_non_null(s);
        s->last_ms = (T0 + i) & EMK_FRAUD_MS_MASK;
        assert_ptr_equal(emk_fraud_table_find(&t, spread(i)), s);
        assert_true(t.n <= PLACES);
    }
    assert_int_equal(t.evicted, 19 * PLACES);
    emk_fraud_table_done(&t);
}

#define FEW 40u /* less than are compared at an eviction */

static void fill_few(table *t)
{
    emk_error e;

    assert_ok(emk_fraud_table_init(t, FEW, sizeof(slab), &e), &e);
    for (uint64_t i = 0; i < FEW; i++) {
        slab *s = emk_fraud_table_take(t, &NO_RULES, spread(i), T0);

        s->last_ms = (T0 + 40 * 24 * HOUR + i) & EMK_FRAUD_MS_MASK;
    }
}

/* Who goes when one more comes. */
static uint64_t gone(table *t, uint64_t newcomer, uint64_t now)
{
    uint64_t lost = UINT64_MAX;
    slab *s = emk_fraud_table_take(t, &NO_RULES, spread(newcomer), now);

    assert_non_null(s);
    s->last_ms = now & EMK_FRAUD_MS_MASK;
    for (uint64_t i = 0; i < FEW; i++) {
        if (!emk_fraud_table_find(t, spread(i)) && lost == UINT64_MAX)
            lost = i;
    }
    return lost;
}

static void the_expired_go_first_then_the_oldest_and_never_the_banned(void **state)
{
    uint64_t now = T0 + 41 * 24 * HOUR;
    table t = {0};

    (void)state;
    fill_few(&t);
    emk_fraud_table_find(&t, spread(17))->last_ms = T0; /* not seen for 41 days */
    emk_fraud_table_find(&t, spread(0))->ban_until_ms = (now + HOUR) & EMK_FRAUD_MS_MASK;
    emk_fraud_table_find(&t, spread(1))->flags = SLAB_REVIEW;
    assert_int_equal(gone(&t, 1000, now), 17);
    assert_ptr_not_equal(emk_fraud_table_find(&t, spread(0)), NULL);
    assert_ptr_not_equal(emk_fraud_table_find(&t, spread(1)), NULL);
    emk_fraud_table_done(&t);
    fill_few(&t);
    assert_int_equal(gone(&t, 1000, now), 0);
    emk_fraud_table_done(&t);
}

static void nobody_goes_when_all_are_banned(void **state)
{
    table t = {0};

    (void)state;
    fill_few(&t);
    for (uint64_t i = 0; i < FEW; i++)
        emk_fraud_table_find(&t, spread(i))->ban_until_ms =
            (T0 + 100 * 24 * HOUR) & EMK_FRAUD_MS_MASK;
    assert_null(emk_fraud_table_take(&t, &NO_RULES, spread(1000), T0 + 50 * 24 * HOUR));
    assert_int_equal(t.refused, 1);
    emk_fraud_table_done(&t);
}

static void refuses_tables_beyond_the_limit(void **state)
{
    table t = {0};
    emk_error e;

    (void)state;
    assert_status(emk_fraud_table_init(&t, 0, sizeof(slab), &e), EMK_E_LIMIT, &e);
    assert_status(emk_fraud_table_init(&t, UINT32_MAX, sizeof(slab), &e), EMK_E_LIMIT, &e);
}

/* ---- what is kept of one entity ---- */

#define VALUES 30u

static _Alignas(8) uint8_t memory[4096];

/* What a feature says at `now` after the event of one value, or without (v < 0). */
static int64_t step_in(uint8_t *state, const feature *f, int64_t v, uint64_t now)
{
    uint64_t hash[EMK_FRAUD_FIELDS] = {0};
    emk_fraud_event ev = {.type = EMK_FRAUD_GRANT, .ts = now};
    touch t = {&ev, now, hash};
    value at = {0, false};

    if (v >= 0) {
        emk_fraud_event_number(&ev, EMK_FRAUD_F_COST, v * 1000);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str("a"));
        hash[EMK_FRAUD_F_ARTIFACT] = spread((uint64_t)v);
        emk_fraud_feature_update(f, state, &t, &at);
    }
    return emk_fraud_feature_read(f, state, 0, now).v / 1000;
}

static int64_t step(const feature *f, int64_t v, uint64_t now)
{
    return step_in(memory, f, v, now);
}

static void windows_agree_with_a_list(bool approx)
{
    feature f = {.kind = FK_DISTINCT,
                 .has_of = true,
                 .of = EMK_FRAUD_F_ARTIFACT,
                 .window_ms = 12 * 60000,
                 .bucket_ms = 60000,
                 .places = 32,
                 .approx = approx};
    uint64_t last[VALUES] = {0}, now = T0;

    memset(memory, 0, sizeof memory);
    assert_true(emk_fraud_feature_size(&f) < sizeof memory);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t v = draw(VALUES), want = 0;

        now += draw(50) ? draw(40000) : draw(HOUR);
        last[v] = now / f.bucket_ms;
        for (unsigned k = 0; k < VALUES; k++)
            want += last[k] + 12 > now / f.bucket_ms;
        assert_int_equal(step(&f, (int64_t)v, now), want);
    }
}

static void a_set_is_exact_up_to_its_size(void **state)
{
    (void)state;
    windows_agree_with_a_list(false);
    windows_agree_with_a_list(true);
}

static void beyond_its_size_a_set_is_estimated_or_stays(void **state)
{
    feature f = {.kind = FK_DISTINCT,
                 .has_of = true,
                 .of = EMK_FRAUD_F_ARTIFACT,
                 .window_ms = 12 * 60000,
                 .bucket_ms = 60000,
                 .places = 8};
    int64_t got = 0;

    (void)state;
    memset(memory, 0, sizeof memory);
    for (int64_t i = 0; i < 1000; i++)
        got = step(&f, i, T0);
    assert_int_equal(got, 8);
    assert_int_equal(emk_fraud_feature_read(&f, memory, 1, T0).v, 1000);
    f.approx = true;
    memset(memory, 0, sizeof memory);
    for (int64_t i = 0; i < 1000; i++)
        got = step(&f, i, T0 + (uint64_t)i * 600);
    assert_in_range((uint64_t)got, 700, 1300);
    assert_int_equal(step(&f, -1, T0 + HOUR), 0);
}

static void counts_and_sums_agree_with_a_list(void **state)
{
    feature f = {.kind = FK_COUNT, .window_ms = 12 * 60000, .bucket_ms = 60000};
    feature g = {.kind = FK_SUM,
                 .has_of = true,
                 .of = EMK_FRAUD_F_COST,
                 .window_ms = 12 * 60000,
                 .bucket_ms = 60000};
    uint64_t events[12] = {0}, sums[12] = {0}, now = T0, at = T0 / 60000;
    _Alignas(8) uint8_t other[64] = {0};

    (void)state;
    memset(memory, 0, sizeof memory);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t v = draw(500), n = 0, sum = 0;

        now += draw(50) ? draw(20000) : draw(HOUR);
        for (; at < now / 60000; at++)
            events[(at + 1) % 12] = sums[(at + 1) % 12] = 0;
        events[at % 12]++;
        sums[at % 12] += v;
        for (unsigned k = 0; k < 12; k++) {
            n += events[k] < 255 ? events[k] : 255;
            sum += sums[k];
        }
        assert_int_equal(step(&f, (int64_t)v, now), n);
        assert_int_equal(step_in(other, &g, (int64_t)v, now), sum);
    }
}

static void gaps_stop_counting_at_their_end(void **state)
{
    feature f = {.kind = FK_GAP_CV};

    (void)state;
    memset(memory, 0, sizeof memory);
    for (uint64_t i = 0; i < 70000; i++)
        step(&f, 1, T0 + i * 1000);
    assert_int_equal(emk_fraud_feature_read(&f, memory, 1, T0).v, INT64_C(65535000));
    assert_int_equal(emk_fraud_feature_read(&f, memory, 2, T0).v, 1000000);
    assert_int_equal(emk_fraud_feature_read(&f, memory, 0, T0).v, 0);
}

static int64_t part_of(const feature *f, unsigned sub, uint64_t now)
{
    return emk_fraud_feature_read(f, memory, sub, now).v / 1000;
}

static void the_recent_part_of_a_set_is_its_last_two_buckets(void **state)
{
    feature f = {.kind = FK_DISTINCT,
                 .has_of = true,
                 .of = EMK_FRAUD_F_ARTIFACT,
                 .window_ms = 12 * 60000,
                 .bucket_ms = 60000,
                 .places = 8};
    uint64_t begin = T0 / 60000 * 60000;

    (void)state;
    memset(memory, 0, sizeof memory);
    for (int64_t i = 0; i < 4; i++)
        step(&f, i, begin + (uint64_t)i * 60000);
    assert_int_equal(part_of(&f, 0, begin + 3 * 60000), 4);
    assert_int_equal(part_of(&f, 2, begin + 3 * 60000), 2);
    step(&f, 0, begin + 4 * 60000); /* again: it is recent again */
    assert_int_equal(part_of(&f, 2, begin + 4 * 60000), 2);
    assert_int_equal(part_of(&f, 2, begin + 6 * 60000), 0);
    assert_int_equal(part_of(&f, 0, begin + 6 * 60000), 4);
}

static void since_is_of_the_last_event_and_unknown_before_it(void **state)
{
    feature f = {.kind = FK_SINCE};

    (void)state;
    memset(memory, 0, sizeof memory);
    assert_false(emk_fraud_feature_read(&f, memory, 0, T0).known);
    step(&f, 1, T0);
    assert_int_equal(step(&f, 1, T0 + 5000), 0);
    assert_int_equal(step(&f, -1, T0 + DAY), 86395);
}

/* What `known` says at the event itself; v: the value. */
static int64_t known_for(const feature *f, uint64_t v, uint64_t now)
{
    uint64_t hash[EMK_FRAUD_FIELDS] = {0};
    emk_fraud_event ev = {.type = EMK_FRAUD_GRANT, .ts = now};
    touch t = {&ev, now, hash};
    value at = {0, false};

    emk_fraud_event_text(&ev, EMK_FRAUD_F_NET, emk_span_str("n"));
    hash[EMK_FRAUD_F_NET] = v;
    emk_fraud_feature_update(f, memory, &t, &at);
    assert_true(at.known);
    assert_false(emk_fraud_feature_read(f, memory, 0, now).known);
    return at.v / 1000;
}

static void a_value_is_known_from_its_first_time_among_the_last_four(void **state)
{
    feature f = {.kind = FK_KNOWN, .has_of = true, .of = EMK_FRAUD_F_NET};

    (void)state;
    memset(memory, 0, sizeof memory);
    assert_int_equal(known_for(&f, 1, T0), 0);
    assert_int_equal(known_for(&f, 1, T0 + 60000), 60);
    for (uint64_t v = 2; v <= 4; v++)
        assert_int_equal(known_for(&f, v, T0 + v * 60000), 0);
    assert_int_equal(known_for(&f, 1, T0 + 10 * 60000), 600); /* in front again: 2 is the last */
    assert_int_equal(known_for(&f, 5, T0 + 11 * 60000), 0);
    assert_int_equal(known_for(&f, 1, T0 + 12 * 60000), 720);
    assert_int_equal(known_for(&f, 3, T0 + 13 * 60000), 600);
    assert_int_equal(known_for(&f, 2, T0 + 14 * 60000), 0);
}

static void hours_of_rest_are_those_of_all_days_together(void **state)
{
    feature f = {.kind = FK_HOURS, .window_ms = 3 * DAY};
    uint64_t day = T0 / DAY * DAY;

    (void)state;
    memset(memory, 0, sizeof memory);
    assert_int_equal(step(&f, -1, day), 24);
    assert_int_equal(step(&f, 1, day + 8 * HOUR), 23);
    step(&f, 1, day + 23 * HOUR);
    assert_int_equal(part_of(&f, 0, day + 23 * HOUR), 14); /* 9 to 22 */
    step(&f, 1, day + DAY + 15 * HOUR);
    assert_int_equal(part_of(&f, 0, day + DAY + 15 * HOUR), 8); /* over midnight: 0 to 7 */
    assert_int_equal(part_of(&f, 1, day + DAY + 15 * HOUR), 3);
    assert_int_equal(part_of(&f, 2, day + DAY + 15 * HOUR), 2);
    /* The first day goes out of the window, then all of them. */
    assert_int_equal(part_of(&f, 1, day + 3 * DAY), 1);
    assert_int_equal(part_of(&f, 2, day + 3 * DAY), 1);
    assert_int_equal(part_of(&f, 0, day + 4 * DAY), 24);
    step(&f, 1, day + 3 * DAY + HOUR);
    assert_int_equal(part_of(&f, 1, day + 3 * DAY + HOUR), 2);
}

static void hours_that_go_round_leave_no_rest(void **state)
{
    feature f = {.kind = FK_HOURS, .window_ms = 8 * DAY};
    uint64_t day = T0 / DAY * DAY, end = day + 23 * 7 * HOUR;

    (void)state;
    memset(memory, 0, sizeof memory);
    for (uint64_t i = 0; i < 24; i++)
        step(&f, 1, day + i * 7 * HOUR);
    assert_int_equal(part_of(&f, 0, end), 0);
    assert_int_equal(part_of(&f, 1, end), 24);
    assert_int_equal(part_of(&f, 2, end), 7);
}

static int64_t rises_after(const feature *f, uint64_t now, int64_t behind_s)
{
    uint64_t hash[EMK_FRAUD_FIELDS] = {0};
    emk_fraud_event ev = {.type = EMK_FRAUD_HEARTBEAT, .ts = now};
    touch t = {&ev, now, hash};
    value at = {0, false};

    emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT,
                           ((int64_t)now - behind_s * 1000) * EMK_FRAUD_MILLI);
    emk_fraud_feature_update(f, memory, &t, &at);
    return emk_fraud_feature_read(f, memory, 0, now).v / 1000;
}

static const feature DRIFT = {
    .kind = FK_DRIFT, .window_ms = 30 * DAY, .ttl_ms = HOUR, .step_ms = 30000};

static void a_clock_that_falls_back_rises_once_a_visit(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    assert_false(emk_fraud_feature_read(&DRIFT, memory, 0, T0).known);
    for (int64_t i = 0; i < 5; i++) {
        uint64_t at = T0 + (uint64_t)i * DAY;

        /* The visit in hand does not count yet, nor does the first one: it is what others are
         * held against. */
        assert_int_equal(rises_after(&DRIFT, at, i * 60), i > 1 ? i - 1 : 0);
        assert_int_equal(rises_after(&DRIFT, at + 60000, i * 60), i > 1 ? i - 1 : 0);
    }
    assert_false(emk_fraud_feature_read(&DRIFT, memory, 0, T0 + 40 * DAY).known);
    assert_int_equal(rises_after(&DRIFT, T0 + 40 * DAY, 9000), 0);
}

static void a_wrong_clock_and_a_queue_that_comes_late_are_no_drift(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    for (uint64_t i = 0; i < 10; i++) /* three hours behind, and a second a day slow */
        assert_int_equal(rises_after(&DRIFT, T0 + i * DAY, 10800 + (int64_t)i), 0);
    memset(memory, 0, sizeof memory);
    for (uint64_t i = 0; i < 10; i++) {
        rises_after(&DRIFT, T0 + i * DAY, 3600 * (int64_t)i); /* from before the network was back */
        assert_int_equal(rises_after(&DRIFT, T0 + i * DAY + 1000, 2), 0);
    }
}

static void a_client_that_talks_on_and_on_has_visits_too(void **state)
{
    int64_t rises = 0;

    (void)state;
    memset(memory, 0, sizeof memory);
    for (uint64_t i = 0; i < 24; i++)
        rises = rises_after(&DRIFT, T0 + i * HOUR / 2, 60 * (int64_t)i);
    assert_true(rises >= 5);
}

/* ---- code that skips what cannot matter any more ---- */

static value feature_of(void *self, unsigned i, unsigned sub)
{
    const value *v = self;

    (void)sub;
    return v[i];
}

static value field_of(void *self, emk_fraud_field f)
{
    const value *v = self;

    (void)f;
    return v[7];
}

static void write_condition(char *out, size_t cap, unsigned depth)
{
    static const char *const sign[] = {"<", "<=", ">", ">=", "==", "!="};
    char a[400], b[400];

    if (depth == 0 || draw(3) == 0) {
        if (draw(6) == 0)
            snprintf(out, cap, "att.virtual");
        else
            snprintf(out, cap, "f%u %s %u", (unsigned)draw(6), sign[draw(6)], (unsigned)draw(4));
        return;
    }
    write_condition(a, sizeof a, depth - 1);
    write_condition(b, sizeof b, depth - 1);
    snprintf(out, cap, draw(5) ? "(%.190s %s %.190s)" : "not (%.190s %s %.190s)", a,
             draw(2) ? "and" : "or", b);
}

static void compare_runs(const code *c, const value v[8])
{
    code whole = *c;
    vm a = {.feature = feature_of, .field = field_of, .self = (void *)(uintptr_t)v};
    vm b = a;

    for (unsigned i = 0; i < whole.n; i++)
        whole.ops[i].skip_to = 0;
    assert_int_equal(emk_fraud_run(&a, c), emk_fraud_run(&b, &whole));
    assert_int_equal(a.sides_known, b.sides_known);
    if (a.sides_known) {
        assert_true(a.left == b.left);
        assert_true(a.right == b.right);
    }
}

static void skipping_changes_no_result_and_no_reason(void **state)
{
    emk_fraud_ruleset *rs = calloc(1, sizeof *rs);
    emk_yaml_diag d;
    emk_yaml_node node = {0};
    emk_error e;
    scope sc = {.rs = rs, .node = &node, .d = &d, .e = &e};
    unsigned compiled = 0, skips = 0;

    (void)state;
    rs->n_features = 6;
    for (unsigned i = 0; i < 6; i++)
        snprintf(rs->features[i].name, sizeof rs->features[i].name, "f%u", i);
    for (unsigned i = 0; i < 5000; i++) {
        char text[WHEN_MAX];
        value v[8];
        code c;

        write_condition(text, sizeof text, 4);
        if (emk_fraud_compile(&sc, text, false, &c) != EMK_OK)
            continue; /* a name cut off, or "not" of a claim */
        compiled++;
        for (unsigned k = 0; k < c.n; k++)
            skips += c.ops[k].skip_to != 0;
        for (unsigned k = 0; k < 8; k++)
            v[k] = (value){(int64_t)draw(4) * 1000, draw(4) != 0};
        v[7].v = draw(2) ? 1000 : 0;
        compare_runs(&c, v);
    }
    assert_true(compiled > 1000 && skips > 1000);
    free(rs);
}

#define rule_(fn) cmocka_unit_test_setup(fn, begin)

int main(void)
{
    return EMK_RUN(
        rule_(finds_what_is_there_and_nothing_else), rule_(keys_that_share_a_slot_are_told_apart),
        rule_(a_full_table_keeps_its_size_and_finds_the_newest),
        rule_(the_expired_go_first_then_the_oldest_and_never_the_banned),
        rule_(nobody_goes_when_all_are_banned), rule_(refuses_tables_beyond_the_limit),
        rule_(a_set_is_exact_up_to_its_size), rule_(beyond_its_size_a_set_is_estimated_or_stays),
        rule_(counts_and_sums_agree_with_a_list), rule_(gaps_stop_counting_at_their_end),
        rule_(the_recent_part_of_a_set_is_its_last_two_buckets),
        rule_(since_is_of_the_last_event_and_unknown_before_it),
        rule_(a_value_is_known_from_its_first_time_among_the_last_four),
        rule_(hours_of_rest_are_those_of_all_days_together),
        rule_(hours_that_go_round_leave_no_rest), rule_(a_clock_that_falls_back_rises_once_a_visit),
        rule_(a_wrong_clock_and_a_queue_that_comes_late_are_no_drift),
        rule_(a_client_that_talks_on_and_on_has_visits_too),
        rule_(skipping_changes_no_result_and_no_reason));
}
