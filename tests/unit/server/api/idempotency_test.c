#include "server/api/idempotency.h"

#include "tests/support/test.h"

typedef struct world {
    emk_crypto *crypto;
    emk_api api;
    emk_route route;
    emk_call call;
    emk_http_field field;
    uint64_t now;
} world;

static uint64_t clock_of(void *self)
{
    return ((world *)self)->now;
}

static void fresh_call(world *w, const char *key, const char *body)
{
    emk_call_done(&w->call);
    emk_call_init(&w->call, &w->api);
    w->field = (emk_http_field){emk_span_str("idempotency-key"), emk_span_str(key)};
    w->call.request.fields = &w->field;
    w->call.request.n_fields = 1;
    w->call.request.path = emk_span_str("/x");
    w->call.route = &w->route;
    w->call.body = emk_span_str(body);
}

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_records_open_memory(&w->api.records, &e), &e);
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    w->api.clock_self = w;
    w->api.settings.idempotency_s = 100;
    w->route.gate.name = "x";
    w->now = 1000;
    emk_call_init(&w->call, &w->api);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_call_done(&w->call);
    emk_records_close(&w->api.records);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static void answer_once(world *w, const char *key, const char *body, unsigned status)
{
    emk_idempotency once;

    fresh_call(w, key, body);
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_GO);
    emk_reply_bytes(&w->call, status, "application/json", emk_span_str("{\"n\":1}"));
    emk_idempotency_finish(&w->call, &once);
}

static void gives_the_first_answer_again(void **state)
{
    world *w = *state;
    emk_idempotency once;

    answer_once(w, "k", "body", 201);
    fresh_call(w, "k", "body");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_ANSWERED);
    assert_int_equal(w->call.response.status, 201);
    assert_bytes(w->call.response.bytes, emk_span_str("{\"n\":1}"));
    w->now += 101; /* its time is over */
    fresh_call(w, "k", "body");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_GO);
}

static void rejects_the_same_key_with_another_body(void **state)
{
    world *w = *state;
    emk_idempotency once;

    answer_once(w, "k", "body", 201);
    fresh_call(w, "k", "other");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_ANSWERED);
    assert_int_equal(w->call.response.status, 422);
}

static void keys_belong_to_who_sent_them(void **state)
{
    world *w = *state;
    emk_idempotency once;

    answer_once(w, "k", "body", 201);
    fresh_call(w, "k", "body");
    snprintf(w->call.gate.who.user, sizeof w->call.gate.who.user, "another");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_GO);
}

static void a_request_that_runs_is_not_run_twice(void **state)
{
    world *w = *state;
    emk_idempotency first, second;

    fresh_call(w, "k", "body");
    assert_int_equal(emk_idempotency_begin(&w->call, &first), EMK_IDEMPOTENCY_GO);
    fresh_call(w, "k", "body");
    assert_int_equal(emk_idempotency_begin(&w->call, &second), EMK_IDEMPOTENCY_ANSWERED);
    assert_int_equal(w->call.response.status, 409);
    w->now += EMK_IDEMPOTENCY_RUNNING_S + 1; /* the first was killed */
    fresh_call(w, "k", "body");
    assert_int_equal(emk_idempotency_begin(&w->call, &second), EMK_IDEMPOTENCY_GO);
}

static void failures_are_forgotten(void **state)
{
    world *w = *state;
    emk_idempotency once;

    answer_once(w, "k", "body", 503);
    fresh_call(w, "k", "body");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_GO);
}

static void rejects_keys_that_are_none(void **state)
{
    world *w = *state;
    emk_idempotency once;

    fresh_call(w, "a b", "");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_ANSWERED);
    assert_int_equal(w->call.response.status, 400);
    fresh_call(w, "", "");
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_ANSWERED);
    w->call.request.n_fields = 0;
    assert_int_equal(emk_idempotency_begin(&w->call, &once), EMK_IDEMPOTENCY_GO);
    assert_false(once.active);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(gives_the_first_answer_again), RULE(rejects_the_same_key_with_another_body),
                   RULE(keys_belong_to_who_sent_them), RULE(a_request_that_runs_is_not_run_twice),
                   RULE(failures_are_forgotten), RULE(rejects_keys_that_are_none));
}
