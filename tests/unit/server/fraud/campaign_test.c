#include "server/fraud/campaign_internal.h"
#include "tests/support/test.h"

#include <stdio.h>

#define T0        UINT64_C(1767225600000)
#define BUCKET    UINT64_C(600000)
#define MINUTE_MS 60000u
#define HOUR_MS   3600000u
#define DAY_MS    86400000u

static emk_buf events;
static uint64_t drawn;

static int begin(void **state)
{
    (void)state;
    drawn = 1;
    emk_buf_init(&events, 1u << 22);
    return 0;
}

static int end(void **state)
{
    (void)state;
    emk_buf_done(&events);
    return 0;
}

/* tenant: `"tenant":"…",` or "". */
static void grant_to(const char *tenant, unsigned user, unsigned artifact, uint64_t ts)
{
    char line[256];
    emk_error e;
    int n = snprintf(line, sizeof line,
                     "{\"v\":1,\"src\":\"server\",\"type\":\"model.grant\",\"ts\":%llu,%s\"subj\":{"
                     "\"user\":\"u-%03u\"},\"obj\":{\"artifact\":\"a-%u\"}}\n",
                     (unsigned long long)ts, tenant, user, artifact);

    assert_ok(emk_buf_append(&events, emk_span_of(line, (size_t)n), &e), &e);
}

static void grant(unsigned user, unsigned artifact, uint64_t ts)
{
    grant_to("", user, artifact, ts);
}

/* Users first .. first + n - 1 take the artifacts 0 .. times - 1 together. */
static void lockstep(unsigned first, unsigned n, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        for (unsigned k = 0; k < n; k++)
            grant(first + k, 100 * first + i, T0 + i * 7 * BUCKET + k * 1000);
    }
}

static emk_fraud_campaigns find(void)
{
    emk_fraud_campaign_options o = {.times = 0};
    emk_fraud_campaigns c;
    emk_error e;

    assert_ok(emk_fraud_campaign(emk_buf_span(&events), &o, &c, &e), &e);
    return c;
}

static void finds_users_that_act_in_lockstep_largest_group_first(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(1, 5, 3);
    lockstep(20, 8, 4);
    c = find();
    assert_int_equal(c.groups, 2);
    assert_int_equal(c.n, 13);
    assert_int_equal(c.pairs, 10 + 28);
    assert_string_equal(c.member[0].user, "u-020");
    assert_int_equal(c.member[0].links, 7);
    assert_int_equal(c.member[8].group, 1);
    assert_string_equal(c.member[8].user, "u-001");
    emk_fraud_campaigns_done(&c);
}

static void leaves_small_groups_and_rare_meetings_alone(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(1, 4, 5);
    lockstep(20, 9, 2);
    c = find();
    assert_int_equal(c.groups, 0);
    emk_fraud_campaigns_done(&c);
}

static void counts_artifacts_and_not_repetitions(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned k = 0; k < 6; k++)
            grant(k, 1, T0 + i * BUCKET + k);
    }
    c = find();
    assert_int_equal(c.groups, 0);
    emk_fraud_campaigns_done(&c);
}

static void takes_no_meaning_from_a_crowd(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(0, 150, 4);
    c = find();
    assert_int_equal(c.groups, 0);
    emk_fraud_campaigns_done(&c);
}

static void passes_over_what_is_no_event_and_does_not_mind_the_order(void **state)
{
    emk_fraud_campaigns c;
    emk_error e;

    (void)state;
    assert_ok(emk_buf_append(&events, emk_span_str("nonsense\n\n"), &e), &e);
    for (unsigned i = 4; i-- > 0;) {
        for (unsigned k = 0; k < 6; k++)
            grant(k, i, T0 + i * BUCKET);
    }
    assert_ok(emk_buf_append(&events, emk_span_str("{\"v\":1"), &e), &e);
    c = find();
    assert_int_equal(c.groups, 1);
    assert_int_equal(c.n, 6);
    emk_fraud_campaigns_done(&c);
}

/* One name at two tenants are two people: neither meets the others often enough. */
static void does_not_take_one_tenants_user_for_anothers(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(0, 5, 4);
    for (unsigned i = 0; i < 4; i++)
        grant_to(i % 2 ? "\"tenant\":\"acme\"," : "\"tenant\":\"other\",", 9, i,
                 T0 + i * 7 * BUCKET);
    c = find();
    assert_int_equal(c.n, 5);
    for (size_t i = 0; i < c.n; i++)
        assert_string_not_equal(c.member[i].user, "u-009");
    emk_fraud_campaigns_done(&c);
}

static void finds_nothing_in_nothing(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    c = find();
    assert_int_equal(c.n, 0);
    emk_fraud_campaigns_done(&c);
}

/* ---- what other kinds look at ---- */

typedef struct act {
    const char *type;
    unsigned user, artifact;
    const char *net, *more; /* more: of subj, behind a comma */
    bool sdk;
} act;

static void put(act a, uint64_t ts)
{
    char line[512];
    emk_error e;
    int n = snprintf(line, sizeof line,
                     "{\"v\":1,\"src\":\"%s\",\"type\":\"%s\",\"ts\":%llu,\"subj\":{"
                     "\"user\":\"u-%03u\",\"net\":\"%s\"%s},\"obj\":{\"artifact\":\"a-%u\"}}\n",
                     a.sdk ? "sdk" : "server", a.type, (unsigned long long)ts, a.user,
                     a.net ? a.net : "home", a.more ? a.more : "", a.artifact);

    assert_ok(emk_buf_append(&events, emk_span_of(line, (size_t)n), &e), &e);
}

static void sign_up(unsigned user, const char *net, uint64_t ts)
{
    put((act){"auth.ok", user, 0, net, NULL, false}, ts);
    put((act){"device.enroll", user, 0, net, NULL, false}, ts + 1000);
}

static void take(unsigned user, unsigned artifact, const char *net, bool opens, uint64_t ts)
{
    put((act){"model.grant", user, artifact, net, NULL, false}, ts);
    put((act){"model.download.start", user, artifact, net, NULL, false}, ts + 1000);
    if (opens)
        put((act){"model.open", user, artifact, net, NULL, true}, ts + 2000);
}

/* The same numbers each time. */
static unsigned draw(unsigned below)
{
    drawn = drawn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(drawn >> 33) % below;
}

/* Honest people from 500 on: each at home, some models, all opened. */
static void crowd(unsigned n, unsigned models)
{
    for (unsigned i = 0; i < n; i++) {
        char net[24];

        snprintf(net, sizeof net, "n-%u", i);
        sign_up(500 + i, net, T0 + draw(3 * HOUR_MS));
        for (unsigned k = 0; k < models; k++)
            take(500 + i, 1 + draw(600), net, true, T0 + DAY_MS + draw(8 * DAY_MS));
    }
}

static size_t members_of(const emk_fraud_campaigns *c, emk_fraud_campaign_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < c->groups; i++)
        n += c->group[i].kind == kind ? c->group[i].n : 0;
    return n;
}

static void expect(emk_fraud_campaign_kind kind, size_t members)
{
    emk_fraud_campaigns c = find();
    size_t all = c.n;

    if (members > 0)
        assert_true(c.groups == 1 && (c.group[0].chance_bits >= 40 || kind == EMK_FRAUD_TRIALS));
    assert_int_equal(members_of(&c, kind), members);
    assert_int_equal(all, members); /* and nobody else */
    emk_fraud_campaigns_done(&c);
}

/* Ten accounts made in one day, each with ten of a list of a hundred. */
static void share_list(bool overlap)
{
    crowd(200, 12);
    for (unsigned i = 0; i < 10; i++) {
        char net[24];

        snprintf(net, sizeof net, "l-%u", i);
        sign_up(i, net, T0 + 3 * DAY_MS + i * HOUR_MS);
        for (unsigned k = 0; k < 10; k++)
            take(i, 200 + (overlap ? draw(100) : i + 10 * k), net, true,
                 T0 + 4 * DAY_MS + draw(2 * DAY_MS));
    }
}

static void finds_a_list_that_is_shared_out(void **state)
{
    (void)state;
    share_list(false);
    expect(EMK_FRAUD_SHARED_LIST, 10);
}

static void leaves_those_alone_who_like_the_same_things(void **state)
{
    (void)state;
    share_list(true);
    expect(EMK_FRAUD_SHARED_LIST, 0);
}

/* What each takes is its own: nobody has anything in common with anybody. */
static void takes_no_meaning_from_lists_where_nobody_shares(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        sign_up(i, "x", T0 + i * HOUR_MS);
        for (unsigned k = 0; k < 10; k++)
            take(i, 1000 + 10 * i + k, "x", true, T0 + 5 * DAY_MS + draw(2 * DAY_MS));
    }
    expect(EMK_FRAUD_SHARED_LIST, 0);
}

/* The same beside artifacts that all know: each has ten made for it, and one of those. */
static void takes_no_meaning_from_artifacts_made_for_one(void **state)
{
    (void)state;
    crowd(200, 12);
    for (unsigned i = 0; i < 100; i++) {
        sign_up(i, "x", T0 + 3 * DAY_MS + i * MINUTE_MS);
        for (unsigned k = 0; k < 11; k++)
            take(i, k < 10 ? 700 + 10 * i + k : 1 + draw(600), "x", true,
                 T0 + 5 * DAY_MS + draw(2 * DAY_MS));
    }
    expect(EMK_FRAUD_SHARED_LIST, 0);
}

static void routine(unsigned user, const unsigned *pause_s, unsigned jitter_ms, uint64_t ts)
{
    put((act){"auth.ok", user, 0, NULL, NULL, false}, ts);
    for (unsigned i = 0; i < 7; i++) {
        ts += pause_s[i] * UINT64_C(1000) + draw(jitter_ms);
        put((act){"model.generate", user, 1 + draw(5000), NULL, NULL, false}, ts);
    }
}

static void play(unsigned users, unsigned days, bool alike)
{
    unsigned pause[7] = {200, 951, 77, 430, 1333, 155, 610};

    for (unsigned i = 0; i < 200; i++) {
        unsigned own[7];

        for (unsigned k = 0; k < 7; k++)
            own[k] = 20 + draw(1500);
        routine(500 + i, own, 1000, T0 + draw(9 * DAY_MS));
    }
    for (unsigned i = 0; i < users; i++) {
        for (unsigned day = 0; day < days; day++) {
            for (unsigned k = 0; k < 7 && !alike; k++)
                pause[k] = 20 + draw(1500);
            routine(i, pause, 2000, T0 + day * DAY_MS + i * HOUR_MS);
        }
    }
}

static void finds_a_session_that_is_played_on_several_accounts(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    play(4, 5, true);
    c = find();
    assert_int_equal(members_of(&c, EMK_FRAUD_RHYTHM), 4);
    assert_int_equal(c.n, 4);
    emk_fraud_campaigns_done(&c);
}

static void leaves_people_alone_who_take_their_time(void **state)
{
    (void)state;
    play(40, 5, false);
    expect(EMK_FRAUD_RHYTHM, 0);
}

/* A program's timer, and one that tries again ever later. */
static void takes_no_meaning_from_timers(void **state)
{
    static const unsigned timer[7] = {600, 600, 600, 600, 600, 600, 600};
    static const unsigned retry[7] = {10, 20, 40, 80, 160, 320, 640};

    (void)state;
    play(0, 0, false);
    for (unsigned i = 0; i < 20; i++) {
        routine(i, timer, 500, T0 + i * HOUR_MS);
        routine(20 + i, retry, 500, T0 + i * HOUR_MS);
    }
    expect(EMK_FRAUD_RHYTHM, 0);
}

/* Twelve accounts made in one network in one day, with trials or not. */
static void shelf(unsigned open_of_ten)
{
    crowd(200, 8);
    for (unsigned i = 0; i < 12; i++) {
        sign_up(i, "shelf", T0 + 3 * DAY_MS + i * HOUR_MS);
        for (unsigned k = 0; k < 10; k++)
            take(i, 1 + draw(600), "shelf", k < open_of_ten, T0 + 4 * DAY_MS + draw(2 * DAY_MS));
    }
}

static void finds_accounts_made_together_that_open_little(void **state)
{
    (void)state;
    shelf(2);
    expect(EMK_FRAUD_HOARD, 12);
}

static void leaves_a_new_class_alone_that_opens_what_it_takes(void **state)
{
    (void)state;
    shelf(9);
    expect(EMK_FRAUD_HOARD, 0);
}

/* A firm's wall lets nothing out that apps report. */
static void takes_no_meaning_from_apps_that_are_not_heard(void **state)
{
    (void)state;
    shelf(0);
    expect(EMK_FRAUD_HOARD, 0);
}

static void shift(unsigned thieves, bool opens)
{
    crowd(200, 8);
    for (unsigned i = 0; i < 20; i++)
        sign_up(i, "firm", T0 + i * 1000);
    for (unsigned day = 1; day < 6; day++) {
        uint64_t morning = T0 + day * DAY_MS + 8 * HOUR_MS;

        for (unsigned i = 0; i < 20; i++)
            take(i, 1 + draw(600), "firm", true, morning + draw(HOUR_MS / 4));
        for (unsigned i = 0; i < thieves; i++) {
            for (unsigned k = 0; k < 8; k++)
                take(i, 10000 + 1000 * i + 100 * day + k, "firm", opens,
                     morning + k * 30000 + draw(20000));
        }
    }
}

static void finds_who_fetches_much_while_all_sign_in(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    shift(4, false);
    c = find();
    assert_int_equal(members_of(&c, EMK_FRAUD_BURST), 4);
    assert_int_equal(c.n, 4);
    emk_fraud_campaigns_done(&c);
}

static void leaves_a_busy_shift_alone_that_opens_what_it_fetches(void **state)
{
    (void)state;
    shift(4, true);
    expect(EMK_FRAUD_BURST, 0);
}

static void by_key(unsigned user, unsigned n, uint64_t day)
{
    for (unsigned i = 0; i < n; i++)
        put((act){"model.grant", user, 1 + draw(600), NULL, ",\"key\":\"k1\"", false},
            day + 8 * HOUR_MS + draw(8 * HOUR_MS));
}

static void customers(unsigned few, unsigned a_day, bool slept)
{
    for (unsigned i = 0; i < 40; i++) {
        sign_up(100 + i, NULL, T0);
        for (unsigned day = 0; day < 8; day++)
            by_key(100 + i, 1 + i % 2, T0 + day * DAY_MS);
    }
    for (unsigned i = 0; i < few; i++) {
        if (slept)
            sign_up(i, NULL, T0);
        else
            sign_up(i, NULL, T0 + 3 * DAY_MS + 7 * HOUR_MS);
        for (unsigned day = 3; day < 8; day++)
            by_key(i, a_day, T0 + day * DAY_MS);
    }
}

static void finds_sleepers_that_a_key_serves_best(void **state)
{
    (void)state;
    customers(4, 8, true);
    expect(EMK_FRAUD_KEY_FEW, 4);
}

static void leaves_new_customers_of_a_key_and_small_ones_alone(void **state)
{
    (void)state;
    customers(4, 8, false);
    expect(EMK_FRAUD_KEY_FEW, 0);
    events.len = 0;
    customers(4, 2, true);
    expect(EMK_FRAUD_KEY_FEW, 0);
}

static void trial(unsigned user, const char *card, const char *net)
{
    char more[64];

    snprintf(more, sizeof more, ",\"payment\":\"%s\"", card);
    put((act){"pay.trial", user, 0, net, more, false}, T0 + user * HOUR_MS);
}

static void finds_trials_of_one_instrument_and_of_one_home(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        trial(i, "card-a", i % 2 ? "n1" : "n2");
    for (unsigned i = 10; i < 16; i++)
        trial(i, i < 13 ? "card-b" : "card-c", "n3");
    c = find();
    assert_int_equal(c.groups, 2);
    assert_int_equal(c.group[0].n, 6);
    assert_int_equal(c.group[0].number[1], 2);
    assert_int_equal(c.group[1].n, 4);
    emk_fraud_campaigns_done(&c);
}

static void leaves_families_and_fairs_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        trial(i, "card-a", "n1");
    for (unsigned i = 20; i < 45; i++) {
        char card[24];

        snprintf(card, sizeof card, "card-%u", i);
        trial(i, card, "hall");
    }
    expect(EMK_FRAUD_TRIALS, 0);
}

/* The lines of all that is above, backwards. */
static void does_not_mind_the_order_of_lines(void **state)
{
    emk_fraud_campaigns a, b;
    emk_buf back;
    emk_error e;

    (void)state;
    share_list(false);
    lockstep(50, 6, 4);
    for (unsigned i = 40; i < 45; i++)
        trial(i, "card-a", "n1");
    a = find();
    emk_buf_init(&back, events.len + 1);
    for (size_t end = events.len; end > 0;) {
        size_t from = end - 1;

        while (from > 0 && events.p[from - 1] != '\n')
            from--;
        assert_ok(emk_buf_append(&back, emk_span_of(events.p + from, end - from), &e), &e);
        end = from;
    }
    memcpy(events.p, back.p, back.len);
    b = find();
    assert_int_equal(a.groups, 3);
    assert_int_equal(a.groups, b.groups);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.group, b.group, a.groups * sizeof *a.group);
    assert_memory_equal(a.member, b.member, a.n * sizeof *a.member);
    emk_fraud_campaigns_done(&a);
    emk_fraud_campaigns_done(&b);
    emk_buf_done(&back);
}

static void chance_is_never_less_probable_than_it_is(void **state)
{
    (void)state;
    assert_int_equal(campaign_log2_q16(1), 0);
    assert_int_equal(campaign_log2_q16(1 << 20), 20 << 16);
    assert_in_range(campaign_log2_q16(3), 103872, 103873);   /* 1.58496 */
    assert_int_equal(campaign_bits_share(10, 10, 1, 2), 10); /* heads ten times */
    assert_int_equal(campaign_bits_share(5, 10, 1, 2), 0);
    assert_int_equal(campaign_bits_share(0, 0, 1, 2), 0);
    assert_int_equal(campaign_bits_few(0, UINT64_C(10000000000)), 14);  /* e^-10 */
    assert_int_equal(campaign_bits_many(20, UINT64_C(10000000000)), 5); /* e^10/2^20 */
    assert_int_equal(campaign_bits_many(9, UINT64_C(10000000000)), 0);
    assert_int_equal(campaign_bits_few(11, UINT64_C(10000000000)), 0);
    assert_int_equal(campaign_bits_many(5, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_users_that_act_in_lockstep_largest_group_first, begin,
                                        end),
        cmocka_unit_test_setup_teardown(leaves_small_groups_and_rare_meetings_alone, begin, end),
        cmocka_unit_test_setup_teardown(counts_artifacts_and_not_repetitions, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_meaning_from_a_crowd, begin, end),
        cmocka_unit_test_setup_teardown(passes_over_what_is_no_event_and_does_not_mind_the_order,
                                        begin, end),
        cmocka_unit_test_setup_teardown(does_not_take_one_tenants_user_for_anothers, begin, end),
        cmocka_unit_test_setup_teardown(finds_nothing_in_nothing, begin, end),
        cmocka_unit_test_setup_teardown(finds_a_list_that_is_shared_out, begin, end),
        cmocka_unit_test_setup_teardown(leaves_those_alone_who_like_the_same_things, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_meaning_from_artifacts_made_for_one, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_meaning_from_lists_where_nobody_shares, begin,
                                        end),
        cmocka_unit_test_setup_teardown(finds_a_session_that_is_played_on_several_accounts, begin,
                                        end),
        cmocka_unit_test_setup_teardown(leaves_people_alone_who_take_their_time, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_meaning_from_timers, begin, end),
        cmocka_unit_test_setup_teardown(finds_accounts_made_together_that_open_little, begin, end),
        cmocka_unit_test_setup_teardown(leaves_a_new_class_alone_that_opens_what_it_takes, begin,
                                        end),
        cmocka_unit_test_setup_teardown(takes_no_meaning_from_apps_that_are_not_heard, begin, end),
        cmocka_unit_test_setup_teardown(finds_who_fetches_much_while_all_sign_in, begin, end),
        cmocka_unit_test_setup_teardown(leaves_a_busy_shift_alone_that_opens_what_it_fetches, begin,
                                        end),
        cmocka_unit_test_setup_teardown(finds_sleepers_that_a_key_serves_best, begin, end),
        cmocka_unit_test_setup_teardown(leaves_new_customers_of_a_key_and_small_ones_alone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(finds_trials_of_one_instrument_and_of_one_home, begin, end),
        cmocka_unit_test_setup_teardown(leaves_families_and_fairs_alone, begin, end),
        cmocka_unit_test_setup_teardown(does_not_mind_the_order_of_lines, begin, end),
        cmocka_unit_test_setup_teardown(chance_is_never_less_probable_than_it_is, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
