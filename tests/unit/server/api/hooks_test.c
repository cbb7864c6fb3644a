/* The queue of webhooks, with records in memory and a false clock. */
#include "server/api/hooks.h"
#include "tests/support/test.h"

#include <string.h>

#define NOW UINT64_C(1767225600)

static emk_crypto *crypto;
static emk_records records;
static emk_hooks *hooks;

static const emk_hook_target TARGETS[] = {
    {"all", "https://a.example/", UINT32_MAX},
    {"bans", "https://b.example/", UINT32_C(1) << EMK_WEBHOOK_BAN},
};

static void open_hooks(uint32_t queue)
{
    emk_hooks_config c = {.crypto = crypto,
                          .records = &records,
                          .targets = TARGETS,
                          .n_targets = 2,
                          .queue = queue,
                          .per_minute = 60,
                          .retry_ms = 1000};
    emk_error e;

    assert_ok(emk_hooks_new(&c, &hooks, &e), &e);
}

static void restart(uint32_t queue)
{
    emk_hooks_free(hooks);
    open_hooks(queue);
}

static int begin(void **state)
{
    emk_error e;

    (void)state;
    assert_ok(emk_records_open_memory(&records, &e), &e);
    open_hooks(4);
    return 0;
}

static int end(void **state)
{
    (void)state;
    emk_hooks_free(hooks);
    emk_records_close(&records);
    return 0;
}

static size_t post(emk_webhook_kind kind, uint64_t now_s)
{
    emk_hook_news news = {.kind = kind, .data = emk_span_str("{\"a\":1}"), .now_s = now_s};
    emk_error e;
    size_t n = 0;

    assert_ok(emk_hooks_post(hooks, &news, &n, &e), &e);
    return n;
}

static emk_hook_state look(size_t i)
{
    emk_hook_state s;

    assert_true(emk_hooks_state(hooks, i, &s));
    return s;
}

static void who_wants_a_kind_gets_it(void **state)
{
    emk_hook_job job;

    (void)state;
    assert_int_equal(post(EMK_WEBHOOK_DENY, NOW), 1);
    assert_int_equal(post(EMK_WEBHOOK_BAN, NOW), 2);
    assert_true(emk_hooks_next(hooks, NOW * 1000, &job));
    assert_int_equal(job.target, 0);
    assert_non_null(memmem(job.body, job.len, "\"type\":\"decision.deny\"", 22));
    assert_non_null(memmem(job.body, job.len, "\"data\":{\"a\":1}}", 15));
    assert_non_null(memmem(job.body, job.len, job.name, strlen(job.name)));
    /* One on its way to each, not two. */
    assert_true(emk_hooks_next(hooks, NOW * 1000, &job));
    assert_int_equal(job.target, 1);
    assert_false(emk_hooks_next(hooks, (NOW + 3600) * 1000, &job));
}

static void a_failure_waits_longer_each_time_and_then_is_a_dead_letter(void **state)
{
    emk_hook_result r = {.code = 500};
    uint64_t t = NOW * 1000, before = 0;
    emk_hook_job job;

    (void)state;
    post(EMK_WEBHOOK_DENY, NOW);
    for (unsigned i = 0; i < EMK_WEBHOOK_TRIES; i++) {
        uint64_t pause = 0;

        while (!emk_hooks_next(hooks, t + pause, &job))
            pause += 100;
        assert_int_equal(job.tries, i);
        assert_true(i < 2 || i > 9 || pause >= before);
        before = pause;
        t += pause;
        r.random = i * 7919;
        emk_hooks_result(hooks, &job, &r, t);
        if (i == 5)
            restart(4); /* it goes on where it was */
    }
    assert_int_equal(look(0).dead, 1);
    assert_int_equal(look(0).waiting, 0);
    assert_false(emk_hooks_next(hooks, t + EMK_HOOK_DEAD_S * 500, &job));
    restart(4);
    assert_int_equal(look(0).dead, 1);
    assert_int_equal(look(0).waiting, 0);
}

static void what_waits_is_there_after_a_restart_oldest_first(void **state)
{
    char first[EMK_HOOK_ID_CAP];
    emk_hook_job job;

    (void)state;
    post(EMK_WEBHOOK_DENY, NOW);
    assert_true(emk_hooks_next(hooks, NOW * 1000, &job));
    memcpy(first, job.name, sizeof first);
    post(EMK_WEBHOOK_DENY, NOW + 1);
    post(EMK_WEBHOOK_DENY, NOW + 2);
    restart(4);
    assert_int_equal(look(0).waiting, 3);
    assert_true(emk_hooks_next(hooks, NOW * 1000, &job));
    assert_string_equal(job.name, first);
    emk_hooks_result(hooks, &job, &(emk_hook_result){.delivered = true, .code = 204}, NOW * 1000);
    restart(4);
    assert_int_equal(look(0).waiting, 2);
}

static void a_full_queue_drops_and_others_go_on(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(post(EMK_WEBHOOK_BREAKER, NOW), 1);
    assert_int_equal(post(EMK_WEBHOOK_BREAKER, NOW), 0);
    assert_int_equal(post(EMK_WEBHOOK_BAN, NOW), 1);
    assert_int_equal(look(0).dropped, 2);
    assert_int_equal(look(1).dropped, 0);
}

static void denials_leave_room_for_what_is_told_rarely(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(post(EMK_WEBHOOK_DENY, NOW), 1);
    assert_int_equal(post(EMK_WEBHOOK_DENY, NOW), 0);
    assert_int_equal(post(EMK_WEBHOOK_BREAKER, NOW), 1);
    assert_int_equal(post(EMK_WEBHOOK_BREAKER, NOW), 0);
    for (unsigned i = 0; i < 4; i++) /* who wants nothing else has all of it for bans */
        assert_int_equal(post(EMK_WEBHOOK_BAN, NOW), 1);
    assert_int_equal(look(1).waiting, 4);
}

static void the_rate_is_kept(void **state)
{
    emk_hook_result ok = {.delivered = true, .code = 200};
    emk_hook_job job;

    (void)state;
    post(EMK_WEBHOOK_DENY, NOW);
    post(EMK_WEBHOOK_DENY, NOW);
    assert_true(emk_hooks_next(hooks, NOW * 1000, &job));
    emk_hooks_result(hooks, &job, &ok, NOW * 1000);
    assert_false(emk_hooks_next(hooks, NOW * 1000 + 999, &job));
    assert_true(emk_hooks_next(hooks, NOW * 1000 + 1000, &job));
}

static void the_same_news_twice_are_one_message(void **state)
{
    uint8_t id[EMK_HOOK_ID_LEN] = {7};
    emk_hook_news news = {
        .kind = EMK_WEBHOOK_BREAKER, .data = emk_span_str("{}"), .now_s = NOW, .id = id};
    emk_error e;

    (void)state;
    assert_ok(emk_hooks_post(hooks, &news, NULL, &e), &e);
    assert_ok(emk_hooks_post(hooks, &news, NULL, &e), &e);
    assert_int_equal(look(0).waiting, 1);
}

static void a_disabled_target_gets_nothing_new_and_keeps_what_waits(void **state)
{
    emk_hook_job job;
    emk_error e;

    (void)state;
    post(EMK_WEBHOOK_DENY, NOW);
    assert_ok(emk_hooks_disable(hooks, "all", true, "ann", NOW, &e), &e);
    assert_int_equal(post(EMK_WEBHOOK_DENY, NOW), 0);
    assert_false(emk_hooks_next(hooks, NOW * 1000, &job));
    restart(4);
    assert_true(look(0).disabled);
    assert_ok(emk_hooks_disable(hooks, "all", false, "ann", NOW, &e), &e);
    assert_true(emk_hooks_next(hooks, NOW * 1000, &job));
}

static const emk_hook_target NEW_TARGETS[] = {
    {"fresh", "https://c.example/", UINT32_MAX},
    {"all", "https://d.example/", UINT32_C(1) << EMK_WEBHOOK_DENY},
};

static void a_target_that_stays_keeps_what_waits_and_one_that_goes_leaves_it_in_the_records(
    void **state)
{
    emk_hook_job job;
    emk_error e;

    (void)state;
    post(EMK_WEBHOOK_BAN, NOW);
    post(EMK_WEBHOOK_DENY, NOW + 1);
    assert_ok(emk_hooks_disable(hooks, "all", true, "ann", NOW, &e), &e);
    assert_ok(emk_hooks_retarget(hooks, NEW_TARGETS, 2, &e), &e);
    assert_string_equal(look(0).is.name, "fresh");
    assert_int_equal(look(0).waiting, 0);
    assert_string_equal(look(1).is.url, "https://d.example/");
    assert_int_equal(look(1).waiting, 2);
    assert_true(look(1).disabled);
    assert_int_equal(post(EMK_WEBHOOK_BAN, NOW + 2), 1); /* fresh: all is disabled, bans is gone */
    assert_ok(emk_hooks_disable(hooks, "all", false, "ann", NOW, &e), &e);
    assert_true(emk_hooks_next(hooks, (NOW + 10) * 1000, &job));
    assert_int_equal(job.target, 0);
    assert_true(emk_hooks_next(hooks, (NOW + 10) * 1000, &job));
    assert_int_equal(job.target, 1);
    assert_non_null(memmem(job.body, job.len, "decision.ban", 12)); /* the oldest */
    restart(4);
    assert_string_equal(look(1).is.name, "bans");
    assert_int_equal(look(1).waiting, 1);
}

static void what_waits_for_a_name_waits_again_when_it_comes_back(void **state)
{
    emk_hook_job job;
    emk_hook_state s;
    emk_error e;

    (void)state;
    post(EMK_WEBHOOK_BAN, NOW);
    post(EMK_WEBHOOK_BAN, NOW + 1);
    assert_ok(emk_hooks_retarget(hooks, NULL, 0, &e), &e);
    assert_false(emk_hooks_state(hooks, 0, &s));
    assert_false(emk_hooks_next(hooks, (NOW + 10) * 1000, &job));
    assert_int_equal(post(EMK_WEBHOOK_BAN, NOW + 2), 0);
    assert_ok(emk_hooks_retarget(hooks, TARGETS, 2, &e), &e);
    assert_int_equal(look(0).waiting, 2);
    assert_int_equal(look(1).waiting, 2);
    assert_true(emk_hooks_next(hooks, (NOW + 10) * 1000, &job));
    assert_true(look(0).oldest_s == NOW);
}

/* Who prepared a message before a reload commits it behind: it goes by names, not by places. */
static void a_message_that_was_prepared_before_goes_to_the_same_name_or_waits_for_it(void **state)
{
    static emk_hook_batch b;
    emk_hook_news news = {.kind = EMK_WEBHOOK_BAN, .data = emk_span_str("{\"a\":1}"), .now_s = NOW};
    emk_error e;

    (void)state;
    assert_ok(emk_hooks_prepare(hooks, &news, &b, &e), &e);
    assert_int_equal(b.n, 2);
    assert_ok(emk_hooks_retarget(hooks, NEW_TARGETS, 2, &e), &e);
    assert_ok(emk_records_commit(&records, b.change, b.n, NULL, &e), &e);
    emk_hooks_queued(hooks, &b);
    emk_hooks_batch_done(&b);
    assert_int_equal(look(0).waiting, 0);
    assert_int_equal(look(1).waiting, 1);
    assert_ok(emk_hooks_retarget(hooks, TARGETS, 2, &e), &e);
    assert_int_equal(look(0).waiting, 1);
    assert_int_equal(look(1).waiting, 1);
}

#define rule_(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    emk_error e;
    int r;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    r = EMK_RUN(
        rule_(who_wants_a_kind_gets_it),
        rule_(a_failure_waits_longer_each_time_and_then_is_a_dead_letter),
        rule_(what_waits_is_there_after_a_restart_oldest_first),
        rule_(a_full_queue_drops_and_others_go_on),
        rule_(denials_leave_room_for_what_is_told_rarely), rule_(the_rate_is_kept),
        rule_(the_same_news_twice_are_one_message),
        rule_(a_disabled_target_gets_nothing_new_and_keeps_what_waits),
        rule_(a_target_that_stays_keeps_what_waits_and_one_that_goes_leaves_it_in_the_records),
        rule_(what_waits_for_a_name_waits_again_when_it_comes_back),
        rule_(a_message_that_was_prepared_before_goes_to_the_same_name_or_waits_for_it));
    emk_crypto_free(crypto);
    return r;
}
