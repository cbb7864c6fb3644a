/* Leases from the device's side: how long a model opens, and when it must not any more. */
#include "tests/unit/device/client/stage.h"

#include "core/base/fault.h"

#include <string.h>

#define LEASE 3600u
#define GRACE 600u
#define DELAY 300u

/* A holder that counts what the hardware is asked. */
static emk_keystore_ops counting_ops;
static const emk_keystore_ops *real_ops;
static unsigned n_agree;

static emk_status count_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    n_agree++;
    return real_ops->agree(self, peer, x, e);
}

static void start(stage *s)
{
    stage_init(s, NULL, false);
    s->policy.lease_s = LEASE;
    s->policy.grace_s = GRACE;
    s->policy.renewal_delay_s = DELAY;
    stage_install(s);
}

static void start_counting(stage *s)
{
    real_ops = s->soft.ops;
    counting_ops = *real_ops;
    counting_ops.agree = count_agree;
    s->keystore.ops = &counting_ops; /* the client keeps a pointer to s->keystore */
    n_agree = 0;
}

static emk_status take(stage *s, emk_client_lease *out, emk_error *e)
{
    return emk_client_lease_accept(s->client, emk_buf_span(&s->lease), out, e);
}

static void renew(stage *s)
{
    emk_client_lease out;
    emk_error e = {0};

    stage_lease(s, EMK_LEASE_GRANTED);
    assert_ok(take(s, &out, &e), &e);
    assert_string_equal(out.name, s->name);
    assert_int_equal(out.refusal, 0);
}

static void opens_until_lease_and_grace_are_over(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + LEASE + GRACE - 1;
    assert_ok(stage_open(&s, &e), &e);
    s.now++;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "policy: the lease is over: renew it");
    stage_done(&s);
}

static void renewal_goes_on_from_the_issuers_time(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now = NOW + LEASE + GRACE + 5;
    stage_lease(&s, EMK_LEASE_GRANTED);
    assert_ok(take(&s, &out, &e), &e);
    assert_int_equal(out.until, s.now + LEASE);
    assert_int_equal(out.ends, s.now + LEASE + GRACE);
    assert_int_equal(out.renew_at, s.now + DELAY);
    assert_ok(stage_open(&s, &e), &e);
    s.now += LEASE + GRACE;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void open_takes_one_operation_with_the_hardware_key(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    start_counting(&s);
    assert_ok(stage_open(&s, &e), &e);
    assert_int_equal(n_agree, 1);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_GRANTED);
    n_agree = 0;
    assert_ok(take(&s, &out, &e), &e);
    assert_int_equal(n_agree, 1); /* awake: the lease's own secret is not needed */
    n_agree = 0;
    assert_ok(stage_open(&s, &e), &e);
    assert_int_equal(n_agree, 1);
    stage_done(&s);
}

static void refusal_puts_it_to_sleep_until_a_new_lease(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    assert_int_equal(out.refusal, EMK_LEASE_REVOKED);
    assert_int_equal(out.renew_at, 0);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    assert_ok(take(&s, &out, &e), &e); /* told twice is fine: it sleeps */
    stage_restart(&s);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    s.now += 10;
    start_counting(&s);
    renew(&s);
    assert_int_equal(n_agree, 2);
    n_agree = 0;
    assert_ok(stage_open(&s, &e), &e);
    assert_int_equal(n_agree, 1);
    stage_done(&s);
}

/* Whatever slot a thief repairs or damages: there is no envelope for the device's key alone. */
static void a_sleeping_entry_has_no_envelope_for_the_device_alone(void **state)
{
    char path[PATH_CAP], kept[PATH_CAP + 8];
    uint8_t zeros[4096] = {0};
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    stage_entry_path(&s, path);
    snprintf(kept, sizeof kept, "%s.kept", path);
    stage_copy_file(path, kept);
    for (uint64_t slot = 0; slot < 2; slot++) {
        int fd;

        stage_copy_file(kept, path);
        assert_ok(emk_os_open_update(path, &fd, &e), &e);
        assert_ok(emk_os_write_at(fd, 69632 + slot * 4096, zeros, sizeof zeros, &e), &e);
        emk_os_close(fd);
        assert_int_not_equal(stage_open(&s, &e), EMK_OK);
    }
    stage_done(&s);
}

static void older_answers_are_stale(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    emk_buf old;
    stage s;

    (void)state;
    start(&s);
    emk_buf_init(&old, EMK_MESSAGE_MAX);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_GRANTED);
    assert_ok(emk_buf_append(&old, emk_buf_span(&s.lease), &e), &e);
    assert_ok(take(&s, &out, &e), &e);
    assert_status(take(&s, &out, &e), EMK_E_STALE, &e); /* the same again */
    s.now += 10;
    renew(&s);
    assert_status(emk_client_lease_accept(s.client, emk_buf_span(&old), &out, &e), EMK_E_STALE, &e);
    emk_buf_done(&old);
    stage_done(&s);
}

static void a_refusal_cannot_be_undone_with_an_old_lease(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    emk_buf held;
    stage s;

    (void)state;
    start(&s);
    emk_buf_init(&held, EMK_MESSAGE_MAX);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_GRANTED);
    assert_ok(emk_buf_append(&held, emk_buf_span(&s.lease), &e), &e); /* kept back */
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    assert_status(emk_client_lease_accept(s.client, emk_buf_span(&held), &out, &e), EMK_E_STALE,
                  &e);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    emk_buf_done(&held);
    stage_done(&s);
}

/* ---- the clock ---- */

static void clock_set_forward_ends_it_and_set_right_opens_it_again(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now = NOW + 10 * LEASE;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    s.now = NOW + 5;
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

static void clock_set_back_a_little_is_a_signal_and_more_is_refused(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now = NOW - 600;
    assert_ok(stage_open(&s, &e), &e);
    s.now--;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "policy: the clock is behind the issuer's time");
    stage_done(&s);
}

/* Each open that is late enough raises the floor, so a clock that is held back does not give the
 * time back that was used. */
static void opens_raise_the_floor(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now = NOW + 3000;
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + 2000;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void renewal_heals_a_floor_that_a_wrong_clock_raised(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now = NOW + LEASE + GRACE - 1; /* wrong, and within the lease: it becomes the floor */
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + 20;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    renew(&s);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

/* ---- what is open ---- */

static void assert_zeros(emk_span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        assert_int_equal(bytes.p[i], 0);
}

static emk_opened *open_it(stage *s)
{
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    emk_error e = {0};

    assert_ok(emk_client_open(s->client, s->name, &ask, &o, &e), &e);
    return o;
}

static void opened_model_is_wiped_when_lease_and_grace_are_over(void **state)
{
    emk_opened *o;
    uint64_t next;
    stage s;

    (void)state;
    start(&s);
    o = open_it(&s);
    assert_int_equal(emk_opened_expires(o), NOW + LEASE + GRACE);
    s.now = NOW + LEASE + GRACE - 1;
    emk_client_tick(s.client, &next);
    assert_int_equal(next, NOW + LEASE + GRACE);
    assert_bytes(emk_opened_bytes(o), emk_span_of(s.model, MODEL_LEN));
    s.now++;
    emk_client_tick(s.client, &next);
    assert_int_equal(next, UINT64_MAX);
    assert_true(emk_opened_is_wiped(o));
    assert_zeros(emk_opened_bytes(o));
    emk_opened_close(o);
    stage_done(&s);
}

static void renewal_moves_the_end_of_what_is_open(void **state)
{
    emk_opened *o;
    uint64_t next;
    stage s;

    (void)state;
    start(&s);
    o = open_it(&s);
    s.now += 1000;
    renew(&s);
    assert_int_equal(emk_opened_expires(o), NOW + 1000 + LEASE + GRACE);
    s.now = NOW + LEASE + GRACE;
    emk_client_tick(s.client, &next);
    assert_false(emk_opened_is_wiped(o));
    emk_opened_close(o);
    stage_done(&s);
}

static void refusal_wipes_what_is_open(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    emk_opened *o;
    stage s;

    (void)state;
    start(&s);
    o = open_it(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    assert_true(emk_opened_is_wiped(o));
    assert_zeros(emk_opened_bytes(o));
    emk_opened_close(o);
    stage_done(&s);
}

/* As by another process: this client's own list does not hear of it. */
static void refusal_taken_elsewhere_wipes_at_the_next_tick(void **state)
{
    emk_client_lease out;
    emk_client *mine;
    emk_error e = {0};
    emk_opened *o;
    uint64_t next;
    stage s, other;

    (void)state;
    start(&s);
    o = open_it(&s);
    mine = s.client;
    other = s;
    stage_enter_child(&other); /* a second client of the same vault */
    s.now += 10;
    other.now = s.now;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(emk_client_lease_accept(other.client, emk_buf_span(&s.lease), &out, &e), &e);
    assert_false(emk_opened_is_wiped(o));
    emk_client_tick(mine, &next);
    assert_true(emk_opened_is_wiped(o));
    emk_opened_close(o);
    emk_client_free(other.client);
    emk_keystore_close(&other.soft);
    stage_done(&s);
}

/* ---- what is refused ---- */

static void rejects_leases_of_others(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    stage a, b;

    (void)state;
    start(&a);
    stage_init(&b, &a, false);
    b.policy = a.policy;
    stage_install(&b);
    a.now += 10;
    b.now += 10;
    stage_lease(&a, EMK_LEASE_GRANTED);
    assert_status(emk_client_lease_accept(b.client, emk_buf_span(&a.lease), &out, &e), EMK_E_SEALED,
                  &e);
    a.lease.p[a.lease.len - 1] ^= 1;
    assert_status(take(&a, &out, &e), EMK_E_SIGNATURE, &e);
    stage_lease(&a, EMK_LEASE_GRANTED);
    assert_ok(emk_client_remove(a.client, a.name, &e), &e);
    assert_status(take(&a, &out, &e), EMK_E_NOT_FOUND, &e);
    stage_done(&b);
    stage_done(&a);
}

static void accept_needs_the_lease_of_its_ticket(void **state)
{
    emk_error e = {0};
    emk_buf first;
    stage s;

    (void)state;
    start(&s);
    emk_buf_init(&first, EMK_MESSAGE_MAX);
    assert_ok(emk_buf_append(&first, emk_buf_span(&s.lease), &e), &e);
    stage_deliver(&s);
    s.lease.len = 0;
    assert_status(stage_accept(&s, &e), EMK_E_POLICY, &e);
    assert_ok(emk_buf_append(&s.lease, emk_buf_span(&first), &e), &e);
    assert_status(stage_accept(&s, &e), EMK_E_SEALED, &e); /* another ticket's */
    emk_buf_done(&first);
    stage_done(&s);
}

static void entry_without_a_lease_asks_for_none(void **state)
{
    emk_error e = {0};
    emk_buf b;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_status(emk_client_lease_request(s.client, s.name, emk_span_str(""), &b, &e), EMK_E_USAGE,
                  &e);
    emk_buf_done(&b);
    stage_done(&s);
}

static void old_copy_put_back_after_a_refusal_is_stale(void **state)
{
    char path[PATH_CAP], kept[PATH_CAP + 8];
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    stage_entry_path(&s, path);
    snprintf(kept, sizeof kept, "%s.kept", path);
    stage_copy_file(path, kept);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    stage_copy_file(kept, path);
    assert_status(stage_open(&s, &e), EMK_E_STALE, &e);
    stage_done(&s);
}

static void rewrapped_entry_sleeps_and_wakes(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    assert_ok(emk_client_rewrap(s.client, s.name, NULL, &e), &e);
    assert_ok(stage_open(&s, &e), &e);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    assert_status(emk_client_rewrap(s.client, s.name, NULL, &e), EMK_E_POLICY, &e);
    s.now += 10;
    renew(&s);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

static void sleeping_entry_can_be_removed(void **state)
{
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    start(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take(&s, &out, &e), &e);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e);
    assert_int_equal(stage_count(&s, ".emkv"), 0);
    stage_done(&s);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(opens_until_lease_and_grace_are_over),
        emk_rule(renewal_goes_on_from_the_issuers_time),
        emk_rule(open_takes_one_operation_with_the_hardware_key),
        emk_rule(refusal_puts_it_to_sleep_until_a_new_lease),
        emk_rule(a_sleeping_entry_has_no_envelope_for_the_device_alone),
        emk_rule(older_answers_are_stale), emk_rule(a_refusal_cannot_be_undone_with_an_old_lease),
        emk_rule(clock_set_forward_ends_it_and_set_right_opens_it_again),
        emk_rule(clock_set_back_a_little_is_a_signal_and_more_is_refused),
        emk_rule(opens_raise_the_floor), emk_rule(renewal_heals_a_floor_that_a_wrong_clock_raised),
        emk_rule(opened_model_is_wiped_when_lease_and_grace_are_over),
        emk_rule(renewal_moves_the_end_of_what_is_open), emk_rule(refusal_wipes_what_is_open),
        emk_rule(refusal_taken_elsewhere_wipes_at_the_next_tick),
        emk_rule(rejects_leases_of_others), emk_rule(accept_needs_the_lease_of_its_ticket),
        emk_rule(entry_without_a_lease_asks_for_none),
        emk_rule(old_copy_put_back_after_a_refusal_is_stale),
        emk_rule(rewrapped_entry_sleeps_and_wakes), emk_rule(sleeping_entry_can_be_removed));
}
