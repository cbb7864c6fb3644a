/* Power is cut after each call that changes the disk, with every kind of luck for what was not
 * synced by then.  What is found must be the state before the step or the one after it. */
#include "tests/device/disk.h"
#include "tests/unit/device/client/stage.h"

#include <string.h>
#include <sys/stat.h>

static size_t n_states, n_old, n_new;

/* The device after the cut: same keys and clock, its folders as the disk has them. */
static void begin_after(stage *after, const stage *s, char *dir)
{
    *after = *s;
    snprintf(after->holder, sizeof after->holder, "%s/holder", dir);
    snprintf(after->vault, sizeof after->vault, "%s/vault", dir);
    (void)mkdir(after->vault, 0700);
    stage_enter_child(after); /* opens holder and client anew */
}

static void end_after(stage *after)
{
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
                   emk_rule(refusal_is_all_or_nothing), emk_rule(remove_is_all_or_nothing));
}
