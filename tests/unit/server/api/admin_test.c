/* What operators set: in effect at once, in effect again after a start, and revocations that a full
 * disk does not stop. */
#include "server/api/admin_route.h"

#include "core/base/fault.h"
#include "server/api/limits_default.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <time.h>

typedef struct world {
    emk_crypto *crypto;
    emk_api api;
    emk_call call;
    emk_route route;
    uint64_t now;
} world;

static uint64_t clock_of(void *self)
{
    return ((world *)self)->now;
}

static void load(world *w)
{
    emk_admin_options o = {.journal_dir = NULL};
    emk_limits_config limits = {.counters = &w->api.counters};
    emk_error e = {0};

    limits.rules = emk_limits_default(&limits.n_rules);
    limits.concurrency = emk_concurrency_default(&limits.n_concurrency);
    assert_ok(emk_firewall_new(&w->api.firewall, &e), &e);
    assert_ok(emk_limits_new(&limits, &w->api.limits, &e), &e);
    assert_ok(emk_admin_load(&w->api, &o, &e), &e);
}

static void unload(world *w)
{
    emk_admin_free(&w->api);
    emk_firewall_free(w->api.firewall);
    emk_limits_free(w->api.limits);
}

static int make(void **state)
{
    emk_counters_memory counters = {.limits = 0};
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_records_open_memory(&w->api.records, &e), &e);
    assert_ok(emk_counters_open_memory(&counters, &w->api.counters, &e), &e);
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    w->api.clock_self = w;
    w->now = 1000;
    w->route.gate.name = "test";
    emk_call_init(&w->call, &w->api);
    w->call.route = &w->route;
    load(w);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_call_done(&w->call);
    unload(w);
    emk_counters_close(&w->api.counters);
    emk_records_close(&w->api.records);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static void store_wall(world *w, const char *prefix, const char *action, uint64_t expires)
{
    emk_wall_entity wall = {.expires_s = expires};
    emk_entity_put put = {.shape = &emk_wall_shape,
                          .in = &wall,
                          .id = emk_span_str(prefix),
                          .expect = EMK_RECORD_ANY,
                          .expires_s = expires};
    emk_error e = {0};

    snprintf(wall.prefix, sizeof wall.prefix, "%s", prefix);
    snprintf(wall.action, sizeof wall.action, "%s", action);
    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
}

static emk_firewall_action action_of(world *w, const char *address)
{
    emk_address a;
    emk_error e = {0};

    assert_ok(emk_address_parse(emk_span_str(address), &a, &e), &e);
    return emk_firewall_find(w->api.firewall, &a, w->now).action;
}

static void apply(world *w)
{
    emk_error e = {0};

    emk_admin_take(w->api.admin);
    assert_ok(emk_admin_firewall_apply(&w->api, &e), &e);
    emk_admin_give(w->api.admin);
}

static void entries_count_over_the_configured_ones_and_after_a_start(void **state)
{
    world *w = *state;
    emk_firewall_set *base = NULL;
    emk_error e = {0};

    assert_ok(emk_firewall_import(emk_span_str("10.0.0.0/8 deny\n"), &base, &e), &e);
    assert_ok(emk_admin_firewall_base(&w->api, base, &e), &e);
    store_wall(w, "10.1.0.0/16", "allow", 0);
    store_wall(w, "192.0.2.0/24", "limit:3", 2000);
    apply(w);
    assert_int_equal(action_of(w, "10.0.0.1"), EMK_FIREWALL_DENY);
    assert_int_equal(action_of(w, "10.1.0.1"), EMK_FIREWALL_ALLOW);
    assert_int_equal(action_of(w, "192.0.2.1"), EMK_FIREWALL_LIMIT);
    w->now = 2001;
    assert_int_equal(action_of(w, "192.0.2.1"), EMK_FIREWALL_NONE);
    w->now = 1000;
    unload(w);
    load(w);
    assert_int_equal(action_of(w, "10.0.0.1"), EMK_FIREWALL_NONE);
    assert_int_equal(action_of(w, "10.1.0.1"), EMK_FIREWALL_ALLOW);
    assert_int_equal(action_of(w, "192.0.2.1"), EMK_FIREWALL_LIMIT);
}

static void another_file_leaves_operators_entries(void **state)
{
    world *w = *state;
    emk_firewall_set *base = NULL;
    emk_error e = {0};

    store_wall(w, "192.0.2.0/24", "challenge", 0);
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? "10.0.0.0/8 deny\n" : "172.16.0.0/12 deny\n";

        assert_ok(emk_firewall_import(emk_span_str(text), &base, &e), &e);
        assert_ok(emk_admin_firewall_base(&w->api, base, &e), &e);
    }
    assert_int_equal(action_of(w, "10.0.0.1"), EMK_FIREWALL_NONE);
    assert_int_equal(action_of(w, "172.16.0.1"), EMK_FIREWALL_DENY);
    assert_int_equal(action_of(w, "192.0.2.1"), EMK_FIREWALL_CHALLENGE);
}

static void a_damaged_entry_does_not_empty_the_firewall(void **state)
{
    world *w = *state;
    emk_record_change bad = {.op = EMK_RECORD_PUT,
                             .kind = EMK_KIND_WALL,
                             .id = emk_span_str("x"),
                             .value = emk_span_str("not CBOR"),
                             .expect = EMK_RECORD_ANY};
    emk_error e = {0};

    store_wall(w, "192.0.2.0/24", "deny", 0);
    apply(w);
    assert_ok(emk_records_commit(&w->api.records, &bad, 1, NULL, &e), &e);
    emk_admin_take(w->api.admin);
    assert_int_not_equal(emk_admin_firewall_apply(&w->api, &e), EMK_OK);
    emk_admin_give(w->api.admin);
    assert_int_equal(action_of(w, "192.0.2.1"), EMK_FIREWALL_DENY);
}

static void a_trial_counts_each_client_of_the_last_day_once(void **state)
{
    world *w = *state;
    emk_firewall_entry entry = {.action = EMK_FIREWALL_DENY};
    emk_firewall_set *with = NULL;
    emk_firewall_trial t;
    emk_address a;
    emk_error e = {0};

    w->now = (uint64_t)time(NULL);
    for (int i = 0; i < 3; i++) {
        assert_ok(emk_address_parse(emk_span_str(i < 2 ? "192.0.2.7" : "10.0.0.1"), &a, &e), &e);
        emk_admin_saw(w->api.admin, &a, 200, 1000);
    }
    assert_ok(emk_net_parse(emk_span_str("192.0.2.0/24"), &entry.net, &e), &e);
    emk_admin_take(w->api.admin);
    assert_ok(emk_admin_firewall_with(&w->api, &entry, &with, &e), &e);
    emk_admin_give(w->api.admin);
    t = emk_admin_firewall_try(&w->api, with);
    assert_int_equal(t.n_clients, 2);
    assert_int_equal(t.changed, 1);
    w->now += EMK_ADMIN_SEEN_S + 10;
    assert_int_equal(emk_admin_firewall_try(&w->api, with).n_clients, 0);
    emk_firewall_set_free(with);
    assert_int_equal(action_of(w, "192.0.2.7"), EMK_FIREWALL_NONE);
}

static void actions_are_read_strictly(void **state)
{
    static const char *const BAD[] = {"",         "none", "limit:0", "limit:16",
                                      "limit:01", "Deny", "deny "};
    emk_firewall_entry entry = {.expires = 0};
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_status(emk_wall_action(emk_span_str(BAD[i]), &entry, &e), EMK_E_FORMAT, &e);
    assert_ok(emk_wall_action(emk_span_str("limit:15"), &entry, &e), &e);
    assert_int_equal(entry.limit_class, 15);
}

static void a_limit_is_as_stored_after_a_start(void **state)
{
    world *w = *state;
    emk_limit_entity l = {.name = "device", .quota = 7, .per_s = 60, .burst = 9, .shadow = true};
    emk_limit_entity gone = {.name = "no-longer", .quota = 7, .per_s = 60};
    emk_entity_put put = {.shape = &emk_limit_shape,
                          .in = &l,
                          .id = emk_span_str("device"),
                          .expect = EMK_RECORD_ANY};
    emk_limit_rule rules[EMK_LIMIT_RULES_MAX];
    emk_error e = {0};
    size_t n;

    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
    put.in = &gone;
    put.id = emk_span_str("no-longer");
    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
    unload(w);
    load(w);
    n = emk_limits_rules(w->api.limits, rules);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rules[i].name, "device") == 0) {
            assert_int_equal(rules[i].quota, 7);
            assert_int_equal(rules[i].burst, 9);
            assert_true(rules[i].shadow);
        }
    assert_int_equal(emk_admin_limit(w->api.admin, emk_span_str("device"))->quota, 600);
    assert_null(emk_admin_limit(w->api.admin, emk_span_str("no-longer")));
}

static void answers_are_counted_by_class_and_time(void **state)
{
    world *w = *state;
    emk_admin_numbers n;

    emk_admin_saw(w->api.admin, NULL, 200, 500);      /* below a microsecond */
    emk_admin_saw(w->api.admin, NULL, 404, 1000);     /* one: below two */
    emk_admin_saw(w->api.admin, NULL, 503, 1u << 31); /* two seconds */
    emk_admin_saw(w->api.admin, NULL, 0, UINT64_MAX); /* no status, and as long as it gets */
    emk_admin_decided(w->api.admin, 6);
    emk_admin_decided(w->api.admin, 99);
    emk_admin_numbers_get(&w->api, &n);
    assert_int_equal(n.by_class[2], 1);
    assert_int_equal(n.by_class[4], 1);
    assert_int_equal(n.by_class[5], 1);
    assert_int_equal(n.latencies[0], 1);
    assert_int_equal(n.latencies[1], 1);
    assert_int_equal(n.latencies[22], 1);
    assert_int_equal(n.latencies[EMK_ADMIN_LATENCIES - 1], 1);
    assert_int_equal(n.actions[6], 1);
    emk_admin_saw(NULL, NULL, 200, 1);
    emk_admin_decided(NULL, 0);
}

static emk_status sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    (void)self;
    (void)msg;
    (void)e;
    memset(sig, 1, 64);
    return EMK_OK;
}

static void grants_stop_and_revocations_do_not_when_the_log_cannot_be_written(void **state)
{
    world *w = *state;
    char *dir = emk_test_dir_make();
    emk_journal_options o = {.origin = "test", .sign = sign};
    emk_admin_change change = {.type = "user.ban", .object = "user", .was = "a", .is = "b"};
    emk_journal_state j;
    emk_error e = {0};

    o.dir = dir;
    assert_ok(emk_journal_open(w->crypto, &o, &w->api.journal, &e), &e);
    assert_true(emk_admin_audit(&w->call, &change));
#ifdef EMK_FAULTS
    emk_fault_fail_at(EMK_FAULT_IO, 1);
    assert_false(emk_admin_audit(&w->call, &change));
    assert_int_equal(w->call.response.status, 503);
    change.always = true;
    emk_fault_fail_at(EMK_FAULT_IO, 1);
    assert_true(emk_admin_audit(&w->call, &change));
    emk_fault_fail_at(EMK_FAULT_IO, 0);
    emk_journal_state_get(w->api.journal, &j);
    assert_int_equal(j.spooled, 1);
#else
    (void)j;
#endif
    (void)!emk_journal_close(w->api.journal, &e);
    w->api.journal = NULL;
    emk_test_dir_remove(dir);
}

static bool query(world *w, const char *text, const char *const *names, emk_admin_page *page)
{
    emk_call_done(&w->call);
    emk_call_init(&w->call, &w->api);
    w->call.route = &w->route;
    w->call.request.query = emk_span_str(text);
    return emk_admin_page_read(&w->call, names, page);
}

static void pages_are_read_strictly(void **state)
{
    static const char *const BAD[] = {"limit=0",
                                      "limit=101",
                                      "limit=",
                                      "limit=1x",
                                      "limit=1&limit=1",
                                      "cursor=",
                                      "cursor=!",
                                      "cursor=A",
                                      "x=1",
                                      "limit",
                                      "=1",
                                      "cursor=%00",
                                      "limit=99999999999999999999999"};
    static const char *const NAMES[] = {"user", NULL};
    world *w = *state;
    emk_admin_page page;

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        if (query(w, BAD[i], NULL, &page))
            fail_msg("%s", BAD[i]);
        assert_int_equal(w->call.response.status, 400);
    }
    assert_false(query(w, "user=a", NULL, &page));
    assert_true(query(w, "user=a", NAMES, &page));
    assert_int_equal(page.limit, EMK_ADMIN_PAGE_DEFAULT);
    assert_true(query(w, "limit=100&cursor=AAAA", NULL, &page));
    assert_int_equal(page.limit, 100);
    assert_bytes(page.after, emk_span_of("\0\0\0", 3));
}

#define in_world(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(in_world(entries_count_over_the_configured_ones_and_after_a_start),
                   in_world(another_file_leaves_operators_entries),
                   in_world(a_damaged_entry_does_not_empty_the_firewall),
                   in_world(a_trial_counts_each_client_of_the_last_day_once),
                   emk_rule(actions_are_read_strictly),
                   in_world(a_limit_is_as_stored_after_a_start),
                   in_world(answers_are_counted_by_class_and_time),
                   in_world(grants_stop_and_revocations_do_not_when_the_log_cannot_be_written),
                   in_world(pages_are_read_strictly));
}
