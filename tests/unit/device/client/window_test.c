/* A window of tensors: what is taken, what a budget refuses, and what is left of it. */
#include "tests/unit/device/client/stage.h"

#include <string.h>

#define SECOND_LEN (MODEL_LEN - HEAD_LEN - FIRST_LEN)

static emk_window *open_window(stage *s, uint64_t budget)
{
    emk_client_ask ask = stage_ask(s);
    emk_window *w = NULL;
    emk_error e = {0};

    assert_ok(emk_client_open_window(s->client, s->name, &ask, budget, &w, &e), &e);
    return w;
}

static emk_span first_of(const stage *s)
{
    return emk_span_of(s->model + HEAD_LEN, FIRST_LEN);
}

static emk_span second_of(const stage *s)
{
    return emk_span_of(s->model + HEAD_LEN + FIRST_LEN, SECOND_LEN);
}

static void several_tensors_are_in_use_at_a_time(void **state)
{
    emk_span first, second;
    emk_error e = {0};
    emk_window *w;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    w = open_window(&s, MODEL_LEN);
    assert_ok(emk_window_take(w, emk_span_str("second"), &second, &e), &e);
    assert_ok(emk_window_take(w, emk_span_str("first"), &first, &e), &e);
    assert_bytes(first, first_of(&s));
    assert_bytes(second, second_of(&s));
    assert_int_equal(emk_window_in_use(w), FIRST_LEN + SECOND_LEN);
    emk_window_give(w, second);
    assert_bytes(first, first_of(&s));
    assert_int_equal(emk_window_in_use(w), FIRST_LEN);
    assert_int_equal(emk_window_most(w), FIRST_LEN + SECOND_LEN);
    assert_status(emk_window_take(w, emk_span_str("third"), &second, &e), EMK_E_NOT_FOUND, &e);
    emk_window_close(w);
    emk_window_close(NULL);
    stage_done(&s);
}

static void a_budget_refuses_what_does_not_fit(void **state)
{
    emk_span first, second;
    emk_client_ask ask;
    emk_error e = {0};
    emk_window *w;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    w = open_window(&s, SECOND_LEN);
    assert_ok(emk_window_take(w, emk_span_str("first"), &first, &e), &e);
    assert_status(emk_window_take(w, emk_span_str("second"), &second, &e), EMK_E_LIMIT, &e);
    assert_int_equal(e.where, SECOND_LEN);
    assert_bytes(first, first_of(&s));
    emk_window_give(w, first);
    assert_ok(emk_window_take(w, emk_span_str("second"), &second, &e), &e);
    assert_int_equal(emk_window_most(w), SECOND_LEN);
    emk_window_close(w);
    ask = stage_ask(&s);
    assert_status(emk_client_open_window(s.client, s.name, &ask, 0, &w, &e), EMK_E_USAGE, &e);
    stage_done(&s);
}

static void a_part_of_a_tensor_costs_only_itself(void **state)
{
    emk_window_part part = {emk_span_str("second"), 1000, 77};
    emk_error e = {0};
    emk_span bytes;
    emk_window *w;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    w = open_window(&s, 100);
    assert_ok(emk_window_take_part(w, &part, &bytes, &e), &e);
    assert_bytes(bytes, emk_span_of(second_of(&s).p + 1000, 77));
    emk_window_give(w, bytes);
    part.name = emk_span_of(NULL, 0); /* the model itself */
    assert_ok(emk_window_take_part(w, &part, &bytes, &e), &e);
    assert_bytes(bytes, emk_span_of(s.model + 1000, 77));
    part.off = MODEL_LEN;
    assert_status(emk_window_take_part(w, &part, &bytes, &e), EMK_E_USAGE, &e);
    part.name = emk_span_str("second");
    part.off = SECOND_LEN;
    part.len = 1;
    assert_status(emk_window_take_part(w, &part, &bytes, &e), EMK_E_USAGE, &e);
    part.off = UINT64_MAX;
    assert_status(emk_window_take_part(w, &part, &bytes, &e), EMK_E_USAGE, &e);
    emk_window_close(w);
    stage_done(&s);
}

static void only_so_many_are_taken_at_a_time(void **state)
{
    emk_window_part part = {emk_span_str("first"), 0, 1};
    emk_span bytes, last = {NULL, 0};
    emk_error e = {0};
    emk_window *w;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    w = open_window(&s, MODEL_LEN);
    for (part.off = 0; part.off < EMK_WINDOW_TAKEN_MAX; part.off++)
        assert_ok(emk_window_take_part(w, &part, &last, &e), &e);
    assert_status(emk_window_take_part(w, &part, &bytes, &e), EMK_E_LIMIT, &e);
    emk_window_give(w, last);
    emk_window_give(w, emk_span_of(s.model, 1)); /* not the window's */
    assert_ok(emk_window_take_part(w, &part, &bytes, &e), &e);
    emk_window_close(w);
    stage_done(&s);
}

static void what_is_taken_ends_with_the_policy(void **state)
{
    emk_span first, second;
    emk_error e = {0};
    emk_window *w;
    uint64_t next;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    w = open_window(&s, MODEL_LEN);
    assert_ok(emk_window_take(w, emk_span_str("first"), &first, &e), &e);
    assert_ok(emk_window_take(w, emk_span_str("second"), &second, &e), &e);
    assert_false(emk_window_is_wiped(w));
    s.now = s.policy.expires;
    emk_client_tick(s.client, &next);
    assert_true(emk_window_is_wiped(w));
    for (size_t i = 0; i < FIRST_LEN; i++)
        assert_int_equal(first.p[i] | second.p[i], 0);
    emk_window_give(w, first);
    assert_status(emk_window_take(w, emk_span_str("first"), &first, &e), EMK_E_POLICY, &e);
    emk_window_close(w);
    stage_done(&s);
}

int main(void)
{
    return EMK_RUN(emk_rule(several_tensors_are_in_use_at_a_time),
                   emk_rule(a_budget_refuses_what_does_not_fit),
                   emk_rule(a_part_of_a_tensor_costs_only_itself),
                   emk_rule(only_so_many_are_taken_at_a_time),
                   emk_rule(what_is_taken_ends_with_the_policy));
}
