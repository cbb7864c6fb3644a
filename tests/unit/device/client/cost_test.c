/* What an open asks of the key holder, which may be a chip that takes 100 ms for each answer. */
#include "tests/unit/device/client/stage.h"

#include <string.h>

/* A holder that counts. */
static emk_keystore_ops counting_ops;
static const emk_keystore_ops *real_ops;
static struct {
    unsigned agree, sign, get, set;
} n;

static emk_status count_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    n.agree++;
    return real_ops->agree(self, peer, x, e);
}

static emk_status count_sign(void *self, emk_span message, uint8_t signature[64], emk_error *e)
{
    n.sign++;
    return real_ops->sign(self, message, signature, e);
}

static emk_status count_get(void *self, const uint8_t id[16], uint64_t *value, emk_error *e)
{
    n.get++;
    return real_ops->counter_get(self, id, value, e);
}

static emk_status count_set(void *self, const uint8_t id[16], uint64_t value, emk_error *e)
{
    n.set++;
    return real_ops->counter_set(self, id, value, e);
}

static void start_counting(stage *s)
{
    real_ops = s->soft.ops;
    counting_ops = *real_ops;
    counting_ops.agree = count_agree;
    counting_ops.sign = count_sign;
    counting_ops.counter_get = count_get;
    counting_ops.counter_set = count_set;
    s->keystore.ops = &counting_ops; /* the client keeps a pointer to s->keystore */
    memset(&n, 0, sizeof n);
}

static void install(stage *s, const char *model, uint64_t release)
{
    s->want.model = emk_span_str(model);
    s->policy.release = release;
    s->now++;
    stage_install(s);
}

static emk_status open_named(stage *s, const char *name, emk_error *e)
{
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    emk_status st;

    memset(&n, 0, sizeof n);
    st = emk_client_open(s->client, name, &ask, &o, e);
    if (st == EMK_OK)
        emk_opened_close(o);
    return st;
}

static emk_status open_tensors(stage *s, const char *name, emk_error *e)
{
    emk_client_ask ask = stage_ask(s);
    emk_tensors *t = NULL;
    emk_span bytes;
    emk_status st;

    memset(&n, 0, sizeof n);
    st = emk_client_open_tensors(s->client, name, &ask, &t, e);
    if (st != EMK_OK)
        return st;
    st = emk_tensors_read(t, emk_span_str("first"), &bytes, e);
    if (st == EMK_OK)
        st = emk_tensors_read(t, emk_span_str("second"), &bytes, e);
    emk_tensors_close(t);
    return st;
}

static void assert_one(void)
{
    assert_int_equal(n.agree, 1);
    assert_int_equal(n.sign, 0);
    assert_int_equal(n.get, 1); /* is it an old copy? */
    assert_int_equal(n.set, 0);
}

static void open_by_entry_is_one_operation(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    start_counting(&s);
    assert_ok(open_named(&s, s.name, &e), &e);
    assert_one();
    stage_done(&s);
}

static void open_by_model_is_one_operation(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    start_counting(&s);
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_one();
    stage_done(&s);
}

static void tensors_are_one_operation(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    start_counting(&s);
    assert_ok(open_tensors(&s, s.name, &e), &e);
    assert_one();
    assert_ok(open_tensors(&s, "cat-ears", &e), &e);
    assert_one();
    stage_done(&s);
}

static void leased_and_awake_is_one_operation(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 3600;
    stage_install(&s);
    start_counting(&s);
    assert_ok(open_named(&s, s.name, &e), &e);
    assert_one();
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_one();
    stage_done(&s);
}

static void counted_open_is_one_operation_and_one_step_of_a_counter(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 5;
    stage_install(&s);
    start_counting(&s);
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_int_equal(n.agree, 1);
    assert_int_equal(n.set, 1);
    stage_done(&s);
}

static void the_best_of_several_entries_is_one_operation(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    install(&s, "cat-ears", 1);
    install(&s, "cat-ears", 2);
    install(&s, "cat-ears", 2);
    start_counting(&s);
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_int_equal(n.agree, 1);
    stage_done(&s);
}

/* What a model is called is sealed: others have to be opened to be told apart, once. */
static void entries_of_other_models_are_opened_once(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    install(&s, "cat-ears", 0);
    install(&s, "dog-nose", 0);
    install(&s, "dog-nose", 0);
    start_counting(&s);
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_int_equal(n.agree, 3);
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_one();
    assert_ok(open_named(&s, "dog-nose", &e), &e);
    assert_one();
    assert_status(open_named(&s, "fish-fin", &e), EMK_E_NOT_FOUND, &e);
    stage_done(&s);
}

/* As another process has it that waits for its key holder while it opens the newest entry. */
static void an_entry_of_another_model_that_is_in_use_is_not_waited_for(void **state)
{
    char path[PATH_CAP];
    emk_error e = {0};
    stage s;
    int fd;

    (void)state;
    stage_init(&s, NULL, false);
    install(&s, "cat-ears", 0);
    install(&s, "dog-nose", 2); /* the better one, so it is looked at first */
    stage_entry_path(&s, path);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_lock(fd, true, &e), &e);
    start_counting(&s);
    assert_ok(open_named(&s, "cat-ears", &e), &e);
    assert_int_equal(n.agree, 2);
    assert_ok(open_named(&s, "cat-ears", &e), &e); /* known by now */
    assert_one();
    emk_os_close(fd);
    assert_ok(open_named(&s, "dog-nose", &e), &e);
    stage_done(&s);
}

int main(void)
{
    return EMK_RUN(emk_rule(open_by_entry_is_one_operation),
                   emk_rule(open_by_model_is_one_operation), emk_rule(tensors_are_one_operation),
                   emk_rule(leased_and_awake_is_one_operation),
                   emk_rule(counted_open_is_one_operation_and_one_step_of_a_counter),
                   emk_rule(the_best_of_several_entries_is_one_operation),
                   emk_rule(entries_of_other_models_are_opened_once),
                   emk_rule(an_entry_of_another_model_that_is_in_use_is_not_waited_for));
}
