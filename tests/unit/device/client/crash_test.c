/* The client with a failure, or the process's end, at each call where one can be. */
#include "core/base/fault.h"
#include "tests/unit/device/client/stage.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef EMK_FAULTS

static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO, EMK_FAULT_IO};

/* Runs step with its n-th file call killing the process; true when it got through. */
static bool killed_at(stage *s, uint64_t n, emk_status (*step)(stage *s, emk_error *e))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        stage_enter_child(s);
        emk_fault_kill_at(EMK_FAULT_IO, n);
        _exit((int)step(s, NULL));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), EMK_OK);
        return true;
    }
    assert_int_equal(WTERMSIG(status), SIGKILL);
    stage_restart(s);
    return false;
}

static void assert_clean(const stage *s, size_t n_entries)
{
    assert_int_equal(stage_count(s, ".emkv"), n_entries);
    assert_int_equal(stage_count(s, ".tmp-"), 0);
    assert_int_equal(stage_count(s, ".pending"), 0);
    assert_int_equal(stage_secrets(s), 0);
}

static void accept_that_is_killed_leaves_the_old_state_or_the_new(void **state)
{
    size_t n_old = 0, n_new = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through, is_new;
        stage s;

        stage_init(&s, NULL, false);
        s.policy.max_opens = 2;
        s.policy.release = 6;
        stage_deliver(&s);
        through = killed_at(&s, n, stage_accept);
        is_new = stage_count(&s, s.name) != 0 && stage_count(&s, ".tmp-") == 0;
        if (is_new)
            assert_ok(stage_open(&s, &e), &e); /* the very next thing may be an open */
        if (is_new)
            assert_status(stage_accept(&s, &e), EMK_E_USED, &e);
        else
            assert_ok(stage_accept(&s, &e), &e);
        assert_clean(&s, 1);
        if (!is_new)
            assert_ok(stage_open(&s, &e), &e);
        assert_ok(stage_open(&s, &e), &e);
        assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
        s.policy.release = 5;
        stage_deliver(&s);
        assert_status(stage_accept(&s, &e), EMK_E_STALE, &e);
        *(is_new ? &n_new : &n_old) += 1;
        stage_done(&s);
        if (through)
            break;
    }
    assert_true(n_old > 20);
    assert_true(n_new > 5);
}

/* Between the entry's name and the key's end: a second answer must not slip in. */
static void second_answer_after_a_killed_accept_is_refused(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s;

        stage_init(&s, NULL, false);
        stage_deliver(&s);
        through = killed_at(&s, n, stage_accept);
        if (stage_count(&s, ".emkv") == stage_count(&s, ".tmp-") + 1) {
            stage_issue(&s);
            stage_seal(&s);
            assert_status(stage_accept(&s, &e), EMK_E_USED, &e);
            assert_clean(&s, 1);
        }
        stage_done(&s);
        if (through)
            break;
    }
}

static emk_status request_step(stage *s, emk_error *e)
{
    s->request.len = 0;
    return emk_client_request(s->client, &s->want, &s->request, s->hash, e);
}

static void request_that_is_killed_is_in_nobodys_way(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s;

        stage_init(&s, NULL, false);
        through = killed_at(&s, n, request_step);
        stage_install(&s);
        assert_ok(stage_open(&s, &e), &e);
        assert_int_equal(stage_count(&s, ".tmp-"), 0);
        s.now += EMK_CLIENT_PENDING_MAX_S + 1;
        stage_request(&s);
        assert_int_equal(stage_secrets(&s), 1); /* not the killed one's */
        assert_int_equal(stage_count(&s, ".pending"), 1);
        stage_done(&s);
        if (through)
            break;
    }
}

static void counted_open_that_is_killed_costs_one_open_at_most(void **state)
{
    size_t n_counted = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        unsigned left = 0;
        bool through;
        stage s;

        stage_init(&s, NULL, false);
        s.policy.max_opens = 3;
        stage_install(&s);
        assert_ok(stage_open(&s, &e), &e);
        through = killed_at(&s, n, stage_open);
        while (stage_open(&s, &e) == EMK_OK)
            left++;
        assert_status(e.status, EMK_E_POLICY, &e);
        assert_true(left == 1 || left == 2);
        n_counted += left == 1;
        stage_done(&s);
        if (through) {
            assert_int_equal(left, 1);
            break;
        }
    }
    assert_true(n_counted > 2);
}

static emk_status rewrap_step(stage *s, emk_error *e)
{
    return emk_client_rewrap(s->client, s->name, NULL, e);
}

static void rewrap_that_is_killed_leaves_an_entry_that_opens(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s;

        stage_init(&s, NULL, false);
        s.policy.max_opens = 2;
        stage_install(&s);
        assert_ok(stage_open(&s, &e), &e);
        through = killed_at(&s, n, rewrap_step);
        assert_ok(rewrap_step(&s, &e), &e);
        assert_ok(stage_open(&s, &e), &e);
        assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
        stage_done(&s);
        if (through)
            break;
    }
}

static const stage *moving_to;

/* Opens the other holder for itself: a child has none of its parent's secrets. */
static emk_status move_step(stage *s, emk_error *e)
{
    emk_keystore ks = {0};
    emk_status st;

    st = emk_keystore_soft_open(s->crypto, moving_to->holder, emk_span_str(""), &ks, e);
    if (st == EMK_OK)
        st = emk_client_rewrap(s->client, s->name, &ks, e);
    emk_keystore_close(&ks);
    return st;
}

static bool opens_with(stage *s, const emk_keystore *ks)
{
    emk_span pinned = emk_verify_key_public(s->issuer_public);
    uint8_t former[1][EMK_DEVICE_ID_LEN];
    emk_client_config config = {.crypto = s->crypto,
                                .keystore = ks,
                                .vault = s->vault,
                                .issuers = &pinned,
                                .n_issuers = 1,
                                .former = (const uint8_t(*)[EMK_DEVICE_ID_LEN])former,
                                .n_former = 1};
    emk_client_ask ask = stage_ask(s);
    emk_client *cl = NULL;
    emk_opened *o = NULL;
    emk_error e = {0};
    bool opened;

    memcpy(former[0], emk_client_device_id(s->client), EMK_DEVICE_ID_LEN);
    assert_ok(emk_client_new(&config, &cl, &e), &e);
    opened = emk_client_open(cl, s->name, &ask, &o, &e) == EMK_OK;
    emk_opened_close(o);
    emk_client_free(cl);
    return opened;
}

static void move_that_is_killed_leaves_an_entry_that_one_holder_opens(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s, to;

        stage_init(&s, NULL, false);
        stage_init(&to, &s, false);
        moving_to = &to;
        s.policy.expires = UINT64_MAX;
        stage_install(&s);
        through = killed_at(&s, n, move_step);
        if (!opens_with(&s, &to.keystore)) {
            assert_false(through);
            assert_ok(stage_open(&s, &e), &e);
            assert_ok(move_step(&s, &e), &e);
            assert_true(opens_with(&s, &to.keystore));
        }
        stage_done(&to);
        stage_done(&s);
        if (through)
            break;
    }
}

/* ---- leases ---- */

static void start_lease(stage *s)
{
    stage_init(s, NULL, false);
    s->policy.lease_s = 3600;
    stage_install(s);
    s->now += 10;
}

static emk_status lease_step(stage *s, emk_error *e)
{
    emk_client_lease out;

    return emk_client_lease_accept(s->client, emk_buf_span(&s->lease), &out, e);
}

static void renewal_that_is_killed_leaves_the_old_end_or_the_new(void **state)
{
    size_t n_old = 0, n_new = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        emk_status st;
        stage s;

        start_lease(&s);
        stage_lease(&s, EMK_LEASE_GRANTED);
        through = killed_at(&s, n, lease_step);
        assert_ok(stage_open(&s, &e), &e);
        st = lease_step(&s, &e);
        assert_true(st == EMK_OK || st == EMK_E_STALE);
        n_old += st == EMK_OK;
        n_new += st != EMK_OK;
        s.now = NOW + 10 + 3599;
        assert_ok(stage_open(&s, &e), &e);
        stage_done(&s);
        if (through)
            break;
    }
    assert_true(n_old > 2 && n_new > 1);
}

static void wipe_slot(const stage *s, uint64_t slot)
{
    static const uint8_t zeros[4096];
    char path[PATH_CAP];
    emk_error e = {0};
    int fd;

    stage_entry_path(s, path);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 69632 + slot * 4096, zeros, sizeof zeros, &e), &e);
    emk_os_close(fd);
}

/* Told again, it holds: whatever slot is lost then, no other opens. */
static void refusal_that_is_killed_holds_when_it_is_told_again(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s;

        start_lease(&s);
        stage_lease(&s, EMK_LEASE_REVOKED);
        through = killed_at(&s, n, lease_step);
        assert_ok(lease_step(&s, &e), &e);
        assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
        wipe_slot(&s, n % 2);
        assert_int_not_equal(stage_open(&s, &e), EMK_OK);
        stage_done(&s);
        if (through)
            break;
    }
}

static void waking_that_is_killed_can_be_done_again(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        emk_status st;
        stage s;

        start_lease(&s);
        stage_lease(&s, EMK_LEASE_REVOKED);
        assert_ok(lease_step(&s, &e), &e);
        s.now += 10;
        stage_lease(&s, EMK_LEASE_GRANTED);
        through = killed_at(&s, n, lease_step);
        st = lease_step(&s, &e);
        assert_true(st == EMK_OK || st == EMK_E_STALE);
        assert_ok(stage_open(&s, &e), &e);
        stage_done(&s);
        if (through)
            break;
    }
}

static emk_status purge_step(stage *s, emk_error *e)
{
    emk_client_purged done;

    return emk_client_purge(s->client, &done, e);
}

static void purge_that_is_killed_can_be_done_again(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s;

        start_lease(&s);
        s.policy.lease_s = 0;
        s.policy.expires = NOW + 20;
        stage_install(&s);
        s.now = NOW + 3600;
        through = killed_at(&s, n, purge_step);
        assert_ok(purge_step(&s, &e), &e);
        assert_int_equal(stage_count(&s, ".emkv"), 1); /* the one that sleeps */
        stage_done(&s);
        if (through)
            break;
    }
}

static emk_status remove_step(stage *s, emk_error *e)
{
    return emk_client_remove(s->client, s->name, e);
}

static void remove_that_is_killed_can_be_done_again(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        emk_error e = {0};
        bool through;
        stage s;

        stage_init(&s, NULL, false);
        stage_install(&s);
        through = killed_at(&s, n, remove_step);
        if (stage_count(&s, ".emkv"))
            assert_ok(remove_step(&s, &e), &e);
        assert_clean(&s, 0);
        stage_done(&s);
        if (through)
            break;
    }
}

/* ---- failures ---- */

/* Makes each call in `step` fail in turn, on one stage, until it gets through untouched.
 * What fails must leave things so that the next attempt finds them as before; `again` (or
 * NULL) makes a stage fit for that when a failing step was done all the same. */
static void fail_everywhere(stage *s, emk_status (*step)(stage *s, emk_error *e),
                            void (*again)(stage *s))
{
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (uint64_t n = 1;; n++) {
            emk_error e = {0};
            emk_status st;
            bool hit;

            emk_fault_fail_at(kinds[k], n);
            st = step(s, &e);
            hit = emk_fault_count(kinds[k]) >= n;
            emk_fault_fail_at(kinds[k], 0);
            if (st != EMK_OK)
                assert_int_equal(e.status, st);
            if (again)
                again(s);
            if (!hit) {
                assert_ok(st, &e);
                break;
            }
        }
    }
}

static emk_status enrol_step(stage *s, emk_error *e)
{
    emk_status st;
    emk_buf b;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    st = emk_client_enrolment(s->client, emk_span_str("test"), &b, e);
    assert_true(st == EMK_OK || b.len == 0);
    emk_buf_done(&b);
    return st;
}

static emk_status new_step(stage *s, emk_error *e)
{
    emk_span pinned = emk_verify_key_public(s->issuer_public);
    emk_client_config config = {.crypto = s->crypto,
                                .keystore = &s->keystore,
                                .vault = s->vault,
                                .issuers = &pinned,
                                .n_issuers = 1};
    emk_client *cl = NULL;
    emk_status st = emk_client_new(&config, &cl, e);

    assert_true((st == EMK_OK) == (cl != NULL));
    emk_client_free(cl);
    return st;
}

static emk_status certificate_step(stage *s, emk_error *e)
{
    char path[PATH_CAP];
    emk_status st;
    emk_buf b;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    snprintf(path, sizeof path, "%s/certificate", s->vault);
    st = emk_os_read_file(path, EMK_MESSAGE_MAX, &b, e);
    if (st == EMK_OK)
        st = emk_client_set_certificate(s->client, emk_buf_span(&b), e);
    emk_buf_done(&b);
    return st;
}

static void enrolment_survives_each_failure(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    fail_everywhere(&s, new_step, NULL);
    fail_everywhere(&s, enrol_step, NULL);
    fail_everywhere(&s, certificate_step, NULL);
    stage_request(&s);
    stage_done(&s);
}

/* Keeps the number of waiting requests small. */
static void forget_requests(stage *s)
{
    if (stage_count(s, ".pending") > 50)
        s->now += EMK_CLIENT_PENDING_MAX_S + 1;
}

static void request_survives_each_failure(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    fail_everywhere(&s, request_step, forget_requests);
    s.now += EMK_CLIENT_PENDING_MAX_S + 1;
    s.policy.expires = s.now + 5;
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    assert_clean(&s, 1);
    stage_done(&s);
}

/* The state is the old one, and the same delivery is tried again, or the new one, with its
 * receipt. */
static void deliver_again(stage *s)
{
    emk_error e = {0};

    if (stage_count(s, ".emkv") == stage_count(s, ".tmp-"))
        return;
    assert_true(s->receipt.len > 0);
    assert_ok(stage_open(s, &e), &e);
    assert_status(stage_accept(s, &e), EMK_E_USED, &e);
    assert_clean(s, 1);
    assert_ok(emk_client_remove(s->client, s->name, &e), &e);
    stage_deliver(s);
}

static void accept_survives_each_failure(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 5;
    s.policy.release = 2;
    stage_deliver(&s);
    fail_everywhere(&s, stage_accept, deliver_again);
    stage_done(&s);
}

static emk_status open_by_model(stage *s, emk_error *e)
{
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    emk_status st = emk_client_open(s->client, "cat-ears", &ask, &o, e);

    assert_true((st == EMK_OK) == (o != NULL));
    emk_opened_close(o);
    return st;
}

static void still_opens(stage *s)
{
    emk_error e = {0};

    assert_ok(stage_open(s, &e), &e);
}

static void open_survives_each_failure(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 1000000;
    s.policy.release = 1;
    stage_install(&s);
    fail_everywhere(&s, stage_open, still_opens);
    fail_everywhere(&s, open_by_model, still_opens);
    stage_done(&s);
}

static emk_status look(void *self, const emk_client_entry *entry, emk_error *e)
{
    size_t *n = self;

    (void)e;
    *n += entry->status == EMK_OK;
    return EMK_OK;
}

/* A list may show an entry as unreadable when something failed; it must not fall over it. */
static emk_status list_step(stage *s, emk_error *e)
{
    size_t n = 0;

    return emk_client_list(s->client, look, &n, e);
}

static void list_and_rewrap_survive_each_failure(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    fail_everywhere(&s, list_step, NULL);
    fail_everywhere(&s, rewrap_step, still_opens);
    stage_done(&s);
}

static emk_status renew_step(stage *s, emk_error *e)
{
    emk_client_lease out;
    emk_buf b;
    emk_status st;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    st = emk_client_lease_request(s->client, s->name, emk_span_str("x"), &b, e);
    assert_true(st == EMK_OK || b.len == 0);
    emk_buf_done(&b);
    if (st == EMK_OK)
        st = emk_client_lease_accept(s->client, emk_buf_span(&s->lease), &out, e);
    return st;
}

static void next_lease(stage *s)
{
    still_opens(s);
    s->now++;
    stage_lease(s, EMK_LEASE_GRANTED);
}

static emk_status tensors_step(stage *s, emk_error *e)
{
    emk_client_ask ask = stage_ask(s);
    emk_tensors *t = NULL;
    emk_span bytes;
    emk_status st;

    st = emk_client_open_tensors(s->client, s->name, &ask, &t, e);
    if (st == EMK_OK)
        st = emk_tensors_read(t, emk_span_str("first"), &bytes, e);
    emk_tensors_close(t);
    return st;
}

static emk_status ways_step(stage *s, emk_error *e)
{
    char path[EMK_OPENED_PATH_MAX];
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    FILE *f = NULL;
    emk_status st;

    st = emk_client_open(s->client, s->name, &ask, &o, e);
    if (st == EMK_OK)
        st = emk_opened_stream(o, &f, e);
    if (st == EMK_OK)
        st = emk_opened_path(o, path, e);
    if (f)
        fclose(f);
    emk_opened_close(o);
    return st;
}

static emk_status care_step(stage *s, emk_error *e)
{
    size_t n = 0;
    emk_status st = emk_client_verify(s->client, look, &n, e);

    return st == EMK_OK ? purge_step(s, e) : st;
}

static void leases_and_care_survive_each_failure(void **state)
{
    stage s;

    (void)state;
    start_lease(&s);
    stage_lease(&s, EMK_LEASE_GRANTED);
    fail_everywhere(&s, renew_step, next_lease);
    fail_everywhere(&s, tensors_step, still_opens);
    fail_everywhere(&s, ways_step, still_opens);
    fail_everywhere(&s, care_step, still_opens);
    stage_done(&s);
}

static void put_back(stage *s)
{
    emk_error e = {0};

    if (stage_count(s, ".emkv")) { /* still there, or stale by now: either can be removed */
        emk_status st = emk_client_remove(s->client, s->name, &e);

        assert_ok(st, &e);
    }
    stage_install(s);
}

static void remove_survives_each_failure(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    fail_everywhere(&s, remove_step, put_back);
    stage_done(&s);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(accept_that_is_killed_leaves_the_old_state_or_the_new),
        emk_rule(second_answer_after_a_killed_accept_is_refused),
        emk_rule(request_that_is_killed_is_in_nobodys_way),
        emk_rule(counted_open_that_is_killed_costs_one_open_at_most),
        emk_rule(rewrap_that_is_killed_leaves_an_entry_that_opens),
        emk_rule(move_that_is_killed_leaves_an_entry_that_one_holder_opens),
        emk_rule(remove_that_is_killed_can_be_done_again),
        emk_rule(renewal_that_is_killed_leaves_the_old_end_or_the_new),
        emk_rule(refusal_that_is_killed_holds_when_it_is_told_again),
        emk_rule(waking_that_is_killed_can_be_done_again),
        emk_rule(purge_that_is_killed_can_be_done_again),
        emk_rule(leases_and_care_survive_each_failure), emk_rule(enrolment_survives_each_failure),
        emk_rule(request_survives_each_failure), emk_rule(accept_survives_each_failure),
        emk_rule(open_survives_each_failure), emk_rule(list_and_rewrap_survive_each_failure),
        emk_rule(remove_survives_each_failure));
}

#else
int main(void)
{
    printf("SKIP: this build has no failure injection (EMK_FAULTS)\n");
    return EMK_TEST_SKIP;
}
#endif
