/* Power is cut after each call that changes the disk, with every kind of luck for what was not
 * synced by then.  What is found must be the state before the step or the one after it. */
#include "tests/device/disk.h"
#include "tests/unit/device/client/stage.h"

#include "core/proto/device_certificate.h"

#include <string.h>
#include <sys/stat.h>

static size_t n_states, n_old, n_new;

/* The device after the cut: same keys and clock, its folders as the disk has them. */
static void begin_after(stage *after, const stage *s, char *dir)
{
    *after = *s;
    emk_buf_init(&after->receipt, EMK_MESSAGE_MAX); /* its own */
    snprintf(after->holder, sizeof after->holder, "%s/holder", dir);
    snprintf(after->vault, sizeof after->vault, "%s/vault", dir);
    (void)mkdir(after->vault, 0700);
    stage_enter_child(after); /* opens holder and client anew */
}

static void end_after(stage *after)
{
    emk_buf_done(&after->receipt);
    emk_client_free(after->client);
    emk_keystore_close(&after->soft);
}

/* Cuts the recorded step everywhere.  check says whether it found the new state. */
static void cut_everywhere(const stage *s, bool (*check)(stage *after))
{
    size_t n = disk_stop();

    n_states = n_old = n_new = 0;
    assert_true(n > 2);
    for (size_t i = 0; i <= n; i++) {
        for (int luck = 0; luck < DISK_LUCKS; luck++) {
            char *dir = emk_test_dir_make();
            stage after;
            bool found;

            disk_replay(i, (disk_luck)luck, dir);
            begin_after(&after, s, dir);
            found = check(&after);
            n_states++;
            n_new += found;
            n_old += !found;
            assert_false(i == 0 && found);
            assert_false(i == n && !found); /* what returned OK is there, whatever the luck */
            end_after(&after);
            emk_test_dir_remove(dir);
        }
    }
    disk_forget();
    print_message("%zu calls, %zu states: %zu old, %zu new\n", n, n_states, n_old, n_new);
    assert_true(n_old > 0 && n_new > 0);
}

/* ---- accept ---- */

static bool accepted_or_can_be(stage *s)
{
    emk_error e = {0};

    if (stage_open(s, &e) == EMK_OK) {
        assert_status(stage_accept(s, &e), EMK_E_USED, &e);
        assert_int_equal(stage_secrets(s), 0);
        return true;
    }
    assert_status(e.status, EMK_E_NOT_FOUND, &e);
    assert_ok(stage_accept(s, &e), &e);
    assert_ok(stage_open(s, &e), &e);
    assert_int_equal(stage_count(s, ".tmp-"), 0);
    return false;
}

static void accept_is_all_or_nothing(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.release = 3;
    stage_deliver(&s);
    disk_record(s.dir);
    assert_ok(stage_accept(&s, &e), &e);
    cut_everywhere(&s, accepted_or_can_be);
    stage_done(&s);
}

/* ---- counted opens ---- */

static bool counted(stage *s)
{
    unsigned left = 0;
    emk_error e = {0};

    while (stage_open(s, &e) == EMK_OK)
        left++;
    assert_status(e.status, EMK_E_POLICY, &e);
    assert_true(left == 1 || left == 2);
    return left == 1;
}

static void counted_open_is_counted_before_it_is_open(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 3;
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    disk_record(s.dir);
    assert_ok(stage_open(&s, &e), &e);
    cut_everywhere(&s, counted);
    stage_done(&s);
}

/* ---- re-wrap ---- */

static emk_buf before; /* the entry as it was */

static bool rewrapped(stage *s)
{
    char path[PATH_CAP];
    emk_error e = {0};
    emk_buf now;
    bool same;

    stage_entry_path(s, path);
    emk_buf_init(&now, 1u << 20);
    assert_ok(emk_os_read_file(path, 1u << 20, &now, &e), &e);
    same = memcmp(now.p + 73728, before.p + 73728, 4096) == 0; /* slot B */
    emk_buf_done(&now);
    assert_ok(stage_open(s, &e), &e);
    assert_ok(emk_client_rewrap(s->client, s->name, NULL, &e), &e);
    assert_ok(stage_open(s, &e), &e);
    return !same;
}

static void rewrap_leaves_an_entry_that_opens(void **state)
{
    char path[PATH_CAP];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    emk_buf_init(&before, 1u << 20);
    assert_ok(emk_os_read_file(path, 1u << 20, &before, &e), &e);
    disk_record(s.dir);
    assert_ok(emk_client_rewrap(s.client, s.name, NULL, &e), &e);
    cut_everywhere(&s, rewrapped);
    emk_buf_done(&before);
    stage_done(&s);
}

/* ---- leases ---- */

static emk_status take_lease(stage *s, emk_error *e)
{
    emk_client_lease out;

    return emk_client_lease_accept(s->client, emk_buf_span(&s->lease), &out, e);
}

static bool renewed(stage *s)
{
    emk_error e = {0};
    emk_status st;

    assert_ok(stage_open(s, &e), &e);
    st = take_lease(s, &e);
    assert_true(st == EMK_OK || st == EMK_E_STALE);
    assert_ok(stage_open(s, &e), &e);
    return st == EMK_E_STALE;
}

static void renewal_is_all_or_nothing(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 3600;
    stage_install(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_GRANTED);
    disk_record(s.dir);
    assert_ok(take_lease(&s, &e), &e);
    cut_everywhere(&s, renewed);
    stage_done(&s);
}

static bool asleep(stage *s)
{
    emk_error e = {0};
    emk_status st = stage_open(s, &e);

    assert_true(st == EMK_OK || st == EMK_E_POLICY);
    assert_ok(take_lease(s, &e), &e); /* told again */
    assert_status(stage_open(s, &e), EMK_E_POLICY, &e);
    s->now += 10;
    stage_lease(s, EMK_LEASE_GRANTED);
    assert_ok(take_lease(s, &e), &e);
    assert_ok(stage_open(s, &e), &e);
    return st == EMK_E_POLICY;
}

/* The check writes another message into the lease, so each cut begins with the refusal. */
static emk_buf refusal;

static bool asleep_again(stage *s)
{
    emk_error e = {0};

    s->lease.len = 0;
    assert_ok(emk_buf_append(&s->lease, emk_buf_span(&refusal), &e), &e);
    return asleep(s);
}

static void refusal_is_all_or_nothing(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 3600;
    stage_install(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    emk_buf_init(&refusal, EMK_MESSAGE_MAX);
    assert_ok(emk_buf_append(&refusal, emk_buf_span(&s.lease), &e), &e);
    disk_record(s.dir);
    assert_ok(take_lease(&s, &e), &e);
    cut_everywhere(&s, asleep_again);
    emk_buf_done(&refusal);
    stage_done(&s);
}

/* ---- remove ---- */

static bool removed(stage *s)
{
    emk_error e = {0};
    emk_status st = stage_open(s, &e);

    assert_true(st == EMK_OK || st == EMK_E_NOT_FOUND || st == EMK_E_STALE);
    if (st == EMK_E_NOT_FOUND)
        return true;
    assert_ok(emk_client_remove(s->client, s->name, &e), &e);
    assert_status(stage_open(s, &e), EMK_E_NOT_FOUND, &e);
    return false;
}

static void remove_is_all_or_nothing(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    disk_record(s.dir);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e);
    cut_everywhere(&s, removed);
    stage_done(&s);
}

/* ---- request ---- */

/* The ticket was issued as if the request had left the device; it may not have. */
static bool waits(stage *s)
{
    emk_buf again;
    uint8_t hash[EMK_HASH_LEN];
    emk_error e = {0};
    emk_status st = stage_accept(s, &e);

    emk_buf_init(&again, EMK_MESSAGE_MAX);
    assert_true(st == EMK_OK || st == EMK_E_USED);
    assert_ok(emk_client_request(s->client, &s->want, &again, hash, &e), &e);
    assert_int_equal(stage_secrets(s), 1); /* none that nothing reminds of */
    emk_buf_done(&again);
    return st == EMK_OK;
}

static void request_is_all_or_nothing(void **state)
{
    stage s;
    size_t n;

    (void)state;
    stage_init(&s, NULL, false);
    disk_record(s.dir);
    stage_request(&s);
    n = disk_stop();
    stage_issue(&s);
    stage_seal(&s);
    assert_true(n > 2);
    cut_everywhere(&s, waits);
    stage_done(&s);
}

/* ---- purge ---- */

static bool purged(stage *s)
{
    emk_client_purged done;
    emk_error e = {0};
    bool there = stage_count(s, ".emkv") > 0;

    if (there)
        assert_true(stage_open(s, &e) != EMK_OK);
    assert_ok(emk_client_purge(s->client, &done, &e), &e);
    assert_int_equal(stage_count(s, ".emkv"), 0);
    return !there;
}

static void purge_is_all_or_nothing(void **state)
{
    emk_client_purged done;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    s.now = s.policy.expires;
    disk_record(s.dir);
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.removed, 1);
    cut_everywhere(&s, purged);
    stage_done(&s);
}

static bool put_to_sleep(stage *s)
{
    emk_client_purged done;
    emk_error e = {0};
    bool slept;

    assert_status(stage_open(s, &e), EMK_E_POLICY, &e);
    assert_ok(emk_client_purge(s->client, &done, &e), &e);
    slept = done.asleep == 0;
    assert_status(stage_open(s, &e), EMK_E_POLICY, &e);
    s->now += 10;
    stage_lease(s, EMK_LEASE_GRANTED);
    assert_ok(take_lease(s, &e), &e);
    assert_ok(stage_open(s, &e), &e);
    return slept;
}

static void sleep_by_purge_is_all_or_nothing(void **state)
{
    emk_client_purged done;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 3600;
    stage_install(&s);
    s.now += 3601;
    disk_record(s.dir);
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.asleep, 1);
    cut_everywhere(&s, put_to_sleep);
    stage_done(&s);
}

/* ---- waking ---- */

static bool awake(stage *s)
{
    emk_error e = {0};
    emk_status opened = stage_open(s, &e), st;

    assert_true(opened == EMK_OK || opened == EMK_E_POLICY);
    st = take_lease(s, &e);
    assert_true(st == EMK_OK || st == EMK_E_STALE);
    assert_ok(stage_open(s, &e), &e);
    return opened == EMK_OK;
}

static void waking_is_all_or_nothing(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 3600;
    stage_install(&s);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_REVOKED);
    assert_ok(take_lease(&s, &e), &e);
    s.now += 10;
    stage_lease(&s, EMK_LEASE_GRANTED);
    disk_record(s.dir);
    assert_ok(take_lease(&s, &e), &e);
    cut_everywhere(&s, awake);
    stage_done(&s);
}

/* ---- the device's certificate ---- */

static emk_buf certificate; /* the new one */

static void make_certificate(const stage *s)
{
    emk_device_certificate cert = {.issued = NOW, .not_after = NOW + 777777};
    emk_enrolment enrolment;
    emk_buf message;
    emk_error e = {0};

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    emk_buf_init(&certificate, EMK_MESSAGE_MAX);
    assert_ok(emk_client_enrolment(s->client, emk_span_str("test"), &message, &e), &e);
    assert_ok(emk_enrolment_verify(s->crypto, emk_buf_span(&message), &enrolment, &e), &e);
    cert.signing_key = enrolment.signing_key;
    cert.agree = enrolment.agree;
    assert_ok(emk_device_certificate_sign(s->crypto, &s->issuer, &cert, &certificate, &e), &e);
    emk_buf_done(&message);
}

static bool certified(stage *s)
{
    emk_buf request, file;
    char path[PATH_CAP];
    uint8_t hash[EMK_HASH_LEN];
    emk_error e = {0};
    bool is_new;

    emk_buf_init(&request, EMK_MESSAGE_MAX);
    emk_buf_init(&file, EMK_MESSAGE_MAX);
    assert_ok(emk_client_request(s->client, &s->want, &request, hash, &e), &e);
    snprintf(path, sizeof path, "%s/certificate", s->vault);
    assert_ok(emk_os_read_file(path, EMK_MESSAGE_MAX, &file, &e), &e);
    is_new = emk_span_equal(emk_buf_span(&file), emk_buf_span(&certificate));
    emk_buf_done(&request);
    emk_buf_done(&file);
    return is_new;
}

static void certificate_is_the_old_one_or_the_new(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    make_certificate(&s);
    disk_record(s.dir);
    assert_ok(emk_client_set_certificate(s.client, emk_buf_span(&certificate), &e), &e);
    cut_everywhere(&s, certified);
    emk_buf_done(&certificate);
    stage_done(&s);
}

/* ---- the software key holder's own state ---- */

static const uint8_t some_id[EMK_ID_LEN] = "some id of 16 by";

static bool counted_up(stage *s)
{
    uint64_t v = 0;
    emk_error e = {0};

    assert_ok(emk_keystore_counter_get(&s->soft, some_id, &v, &e), &e);
    assert_true(v == 5 || v == 7);
    assert_ok(emk_keystore_counter_set(&s->soft, some_id, 9, &e), &e);
    return v == 7;
}

static void counter_is_the_old_one_or_the_new(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    assert_ok(emk_keystore_counter_set(&s.soft, some_id, 5, &e), &e);
    disk_record(s.dir);
    assert_ok(emk_keystore_counter_set(&s.soft, some_id, 7, &e), &e);
    cut_everywhere(&s, counted_up);
    stage_done(&s);
}

static bool secret_is_gone(stage *s)
{
    uint8_t out[EMK_KEYSTORE_SECRET_MAX];
    size_t len;
    emk_error e = {0};
    emk_status st = emk_keystore_secret_get(&s->soft, some_id, out, &len, &e), deleted;

    /* It is overwritten first, so in between it may be there and damaged: nobody is told it. */
    assert_true(st == EMK_OK || st == EMK_E_NOT_FOUND || st == EMK_E_SEALED);
    if (st == EMK_OK)
        assert_bytes(emk_span_of(out, len), emk_span_str("secret"));
    /* What reading and deleting say of it is the same; and afterwards it is gone. */
    deleted = emk_keystore_secret_delete(&s->soft, some_id, &e);
    assert_int_equal(deleted, st == EMK_E_NOT_FOUND ? EMK_E_NOT_FOUND : EMK_OK);
    assert_status(emk_keystore_secret_get(&s->soft, some_id, out, &len, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_keystore_secret_delete(&s->soft, some_id, &e), EMK_E_NOT_FOUND, &e);
    assert_int_equal(stage_secrets(s), 0);
    assert_ok(emk_keystore_secret_put(&s->soft, some_id, emk_span_str("next"), &e), &e);
    return st == EMK_E_NOT_FOUND;
}

static void secret_is_there_or_gone(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    assert_ok(emk_keystore_secret_put(&s.soft, some_id, emk_span_str("secret"), &e), &e);
    disk_record(s.dir);
    assert_ok(emk_keystore_secret_delete(&s.soft, some_id, &e), &e);
    cut_everywhere(&s, secret_is_gone);
    stage_done(&s);
}

/* ---- the recorder itself: a step that does not sync must be caught ---- */

static void recorder_notices_what_was_not_synced(void **state)
{
    char *dir = emk_test_dir_make(), *to = emk_test_dir_make();
    char path[PATH_CAP];
    emk_error e = {0};
    emk_buf b;
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/f", dir);
    assert_ok(emk_os_write_file(path, emk_span_str("old"), &e), &e);
    disk_record(dir);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 0, "new", 3, &e), &e);
    emk_os_close(fd);
    disk_replay(disk_stop(), DISK_NOTHING, to);
    emk_buf_init(&b, 16);
    snprintf(path, sizeof path, "%s/f", to);
    assert_ok(emk_os_read_file(path, 16, &b, &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_str("old"));
    disk_replay(disk_stop(), DISK_ALL, to);
    b.len = 0;
    assert_ok(emk_os_read_file(path, 16, &b, &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_str("new"));
    disk_forget();
    emk_buf_done(&b);
    emk_test_dir_remove(dir);
    emk_test_dir_remove(to);
}

int main(void)
{
    return EMK_RUN(emk_rule(recorder_notices_what_was_not_synced),
                   emk_rule(accept_is_all_or_nothing),
                   emk_rule(counted_open_is_counted_before_it_is_open),
                   emk_rule(rewrap_leaves_an_entry_that_opens), emk_rule(renewal_is_all_or_nothing),
                   emk_rule(refusal_is_all_or_nothing), emk_rule(remove_is_all_or_nothing),
                   emk_rule(request_is_all_or_nothing), emk_rule(purge_is_all_or_nothing),
                   emk_rule(sleep_by_purge_is_all_or_nothing), emk_rule(waking_is_all_or_nothing),
                   emk_rule(certificate_is_the_old_one_or_the_new),
                   emk_rule(counter_is_the_old_one_or_the_new), emk_rule(secret_is_there_or_gone));
}
