/* The log as its server meets it: appended, closed, killed, out of disk, tampered with. */
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "server/journal/internal.h"
#include "tests/support/test.h"
#include "tests/unit/server/journal/scene.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_intact(const emk_audit_report *r)
{
    const emk_audit_finding *all[] = {&r->records, &r->macs, &r->tree, &r->signature,
                                      &r->completeness};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->verdict != EMK_AUDIT_INTACT)
            fail_msg("verdict %zu: %s: %s at %llu", i, emk_audit_verdict_name(all[i]->verdict),
                     all[i]->what ? all[i]->what : "", (unsigned long long)all[i]->where);
    }
    assert_int_equal(emk_audit_sum(r), EMK_AUDIT_INTACT);
}

static void what_is_appended_is_found_intact(void **state)
{
    static const size_t sizes[] = {0, 1, 253, 254, 255, 256, 509, 510, 511, 2000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        emk_audit_report r;
        scene s;

        scene_open(&s);
        scene_start(&s);
        scene_append(&s, sizes[i]);
        scene_stop(&s);
        r = scene_audit(&s);
        assert_intact(&r);
        assert_int_equal(r.n_entries, sizes[i] + 2); /* start and stop */
        assert_int_equal(r.checkpoint.size, r.n_entries);
        assert_true(r.closed);
        scene_close(&s);
    }
}

static void continues_after_being_closed(void **state)
{
    emk_journal_state st;
    emk_audit_report r;
    scene s;

    (void)state;
    scene_open(&s);
    for (size_t i = 0; i < 5; i++) {
        scene_start(&s);
        emk_journal_state_get(s.j, &st);
        assert_false(st.recovered);
        assert_int_equal(st.epoch, 1);
        scene_append(&s, 150);
        scene_stop(&s);
        r = scene_audit(&s);
        assert_intact(&r);
    }
    assert_int_equal(r.n_entries, 5 * 152);
    assert_int_equal(r.n_starts, 5);
    scene_close(&s);
}

static void places_are_numbers_without_gaps(void **state)
{
    emk_journal_event event = scene_event("x");
    emk_journal_place place;
    emk_error e = {0};
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    for (uint64_t i = 1; i < 20; i++) {
        assert_ok(emk_journal_append(s.j, &event, 1, &place, &e), &e);
        assert_true(place.durable);
        assert_int_equal(place.first_seq, i);
    }
    scene_close(&s);
}

static void rejects_events_that_cannot_be_entries(void **state)
{
    emk_journal_event good = scene_event("x"), bad = good;
    uint8_t long_text[300], not_cbor[2] = {0xFF, 0};
    emk_error e = {0};
    scene s;

    (void)state;
    memset(long_text, 'a', sizeof long_text);
    scene_open(&s);
    scene_start(&s);
    assert_status(emk_journal_append(s.j, &good, 0, NULL, &e), EMK_E_USAGE, &e);
    bad.type = emk_span_str("");
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_USAGE, &e);
    bad = good;
    bad.type = emk_span_str("Upper");
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_FORMAT, &e);
    bad = good;
    bad.actor = emk_span_of(NULL, 0);
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_USAGE, &e);
    bad = good;
    bad.object = emk_span_str("\xFF");
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_FORMAT, &e);
    bad = good;
    bad.object = emk_span_of(long_text, sizeof long_text);
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_LIMIT, &e);
    bad = good;
    bad.detail = emk_span_of(not_cbor, sizeof not_cbor);
    assert_int_not_equal(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_OK);
    bad = good;
    bad.pii = emk_span_str("sealed");
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_USAGE, &e);
    bad = good;
    bad.outcome = 7;
    assert_status(emk_journal_append(s.j, &bad, 1, NULL, &e), EMK_E_USAGE, &e);
    scene_close(&s);
}

static void a_folder_has_one_journal(void **state)
{
    emk_journal *second = NULL;
    emk_error e = {0};
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    assert_status(emk_journal_open(s.c, &s.options, &second, &e), EMK_E_BUSY, &e);
    scene_close(&s);
}

/* ---- threads ---- */

#define THREADS 8

static void append_some(void *self)
{
    scene *s = self;

    for (size_t i = 0; i < 100; i++) {
        emk_journal_event event = scene_event("ticket.grant");
        emk_error e = {0};

        if (emk_journal_append(s->j, &event, 1, NULL, &e) != EMK_OK)
            abort();
    }
}

static void threads_share_writes(void **state)
{
    emk_thread *t[THREADS];
    emk_journal_state st;
    emk_audit_report r;
    emk_error e = {0};
    scene s;

    (void)state;
    scene_open(&s);
    s.options.checkpoint_ms = 5;
    s.options.checkpoint_every = 50;
    scene_start(&s);
    for (size_t i = 0; i < THREADS; i++)
        assert_ok(emk_thread_start(append_some, &s, &t[i], &e), &e);
    for (size_t i = 0; i < THREADS; i++)
        emk_thread_join(t[i]);
    emk_journal_state_get(s.j, &st);
    assert_int_equal(st.size, THREADS * 100 + 1);
    assert_true(st.n_groups < st.size);
    scene_stop(&s);
    r = scene_audit(&s);
    assert_intact(&r);
    scene_close(&s);
}

/* ---- kill ---- */

/* A child appends, telling in shared memory how far it was acknowledged, until it is killed. */
static void run_child(scene *s, volatile uint64_t *acked)
{
    emk_journal_event event = scene_event("ticket.grant");
    emk_journal_place place;
    emk_error e = {0};

    s->options.checkpoint_ms = 3;
    s->options.checkpoint_every = 20;
    if (emk_journal_open(s->c, &s->options, &s->j, &e) != EMK_OK)
        _exit(1);
    for (;;) {
        if (emk_journal_append(s->j, &event, 1, &place, &e) != EMK_OK)
            _exit(2);
        *acked = place.first_seq + 1;
    }
}

static void nothing_acknowledged_is_lost_by_a_kill(void **state)
{
    volatile uint64_t *acked =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    emk_audit_report r;
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s); /* the escrow's key must be in this process */
    scene_stop(&s);
    srand(1);
    for (int round = 0; round < 25; round++) {
        emk_journal_state st;
        int status;
        pid_t child = fork();

        if (child == 0)
            run_child(&s, acked);
        usleep((useconds_t)(5000 + rand() % 40000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        scene_start(&s);
        emk_journal_state_get(s.j, &st);
        assert_true(st.size >= *acked);
        assert_int_equal(st.epoch, 1);
        scene_stop(&s);
    }
    r = scene_audit(&s);
    assert_intact(&r);
    assert_true(r.n_entries > 26);
    print_message("%llu entries over 25 kills\n", (unsigned long long)r.n_entries);
    scene_close(&s);
    munmap((void *)(uintptr_t)acked, 4096);
}

#ifdef EMK_FAULTS
static void a_kill_at_any_file_call_loses_nothing(void **state)
{
    volatile uint64_t *acked =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    scene_append(&s, 250);
    scene_stop(&s);
    for (uint64_t n = 1;; n++) {
        emk_audit_report r;
        int status;
        pid_t child = fork();

        if (child == 0) {
            emk_error e = {0};

            emk_fault_kill_at(EMK_FAULT_IO, n);
            if (emk_journal_open(s.c, &s.options, &s.j, &e) != EMK_OK)
                _exit(1);
            for (int i = 0; i < 4; i++) {
                emk_journal_event event = scene_event("x");
                emk_journal_place place;

                if (emk_journal_append(s.j, &event, 1, &place, &e) != EMK_OK)
                    _exit(2);
                *acked = place.first_seq + 1;
                if (emk_journal_checkpoint(s.j, &e) != EMK_OK)
                    _exit(3);
            }
            _exit(emk_journal_close(s.j, &e) == EMK_OK ? 0 : 4);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            fail_msg("child ended with %d at call %llu", WEXITSTATUS(status),
                     (unsigned long long)n);
        scene_start(&s);
        scene_stop(&s);
        r = scene_audit(&s);
        assert_intact(&r);
        assert_true(r.n_entries >= *acked);
        if (WIFEXITED(status))
            break;
    }
    scene_close(&s);
    munmap((void *)(uintptr_t)acked, 4096);
}

static void a_failed_write_acknowledges_nothing_and_is_got_over(void **state)
{
    emk_journal_event event = scene_event("ticket.grant");
    emk_error e = {0};
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    for (uint64_t n = 1; n < 40; n++) {
        emk_journal_state before, after;
        emk_status st;

        emk_journal_state_get(s.j, &before);
        emk_fault_fail_at(EMK_FAULT_IO, n);
        st = emk_journal_append(s.j, &event, 1, NULL, &e);
        emk_fault_fail_at(EMK_FAULT_IO, 0);
        emk_journal_state_get(s.j, &after);
        if (st != EMK_OK) {
            assert_status(st, EMK_E_IO, &e);
            assert_int_equal(after.size, before.size);
            assert_false(after.writable);
        }
        emk_fault_fail_at(EMK_FAULT_IO, n);
        (void)!emk_journal_checkpoint(s.j, &e);
        emk_fault_fail_at(EMK_FAULT_IO, 0);
        assert_ok(emk_journal_append(s.j, &event, 1, NULL, &e), &e);
        assert_ok(emk_journal_checkpoint(s.j, &e), &e);
    }
    scene_stop(&s);
    {
        emk_audit_report r = scene_audit(&s);

        assert_intact(&r);
    }
    scene_close(&s);
}
#endif

/* ---- disk full ---- */

static void set_file_limit(rlim_t bytes)
{
    struct rlimit l;

    getrlimit(RLIMIT_FSIZE, &l);
    l.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void without_disk_grants_stop_and_revocations_do_not(void **state)
{
    emk_journal_event grant = scene_event("ticket.grant"), revoke = scene_event("device.revoke");
    emk_journal_place place;
    emk_journal_state st;
    emk_audit_report r;
    emk_error e = {0};
    struct rlimit before;
    scene s;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    scene_open(&s);
    scene_start(&s);
    scene_append(&s, 30);
    set_file_limit(4096);
    while (emk_journal_append(s.j, &grant, 1, NULL, &e) == EMK_OK)
        ;
    assert_int_equal(e.status, EMK_E_IO);
    emk_journal_state_get(s.j, &st);
    assert_false(st.writable);
    for (int i = 0; i < 3; i++) {
        assert_ok(emk_journal_append_always(s.j, &revoke, &place, &e), &e);
        assert_false(place.durable);
    }
    assert_status(emk_journal_append(s.j, &grant, 1, NULL, &e), EMK_E_IO, &e);
    emk_journal_state_get(s.j, &st);
    assert_int_equal(st.spooled, 3);
    set_file_limit(before.rlim_cur);
    assert_ok(emk_journal_append(s.j, &grant, 1, NULL, &e), &e);
    emk_journal_state_get(s.j, &st);
    assert_true(st.writable);
    assert_int_equal(st.spooled, 0);
    scene_stop(&s);
    r = scene_audit(&s);
    assert_intact(&r);
    assert_int_equal(r.n_late, 3);
    scene_close(&s);
}

static void the_spool_is_bounded_and_counts_what_it_loses(void **state)
{
    emk_journal_event revoke = scene_event("device.revoke");
    emk_journal_state st;
    emk_error e = {0};
    struct rlimit before;
    scene s;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    scene_open(&s);
    scene_start(&s);
    set_file_limit(16);
    for (int i = 0; i < 8000; i++)
        assert_ok(emk_journal_append_always(s.j, &revoke, NULL, &e), &e);
    emk_journal_state_get(s.j, &st);
    assert_true(st.spooled > 1000 && st.lost > 0);
    assert_int_equal(st.spooled + st.lost, 8000);
    set_file_limit(before.rlim_cur);
    assert_ok(emk_journal_append(s.j, &revoke, 1, NULL, &e), &e);
    assert_ok(emk_journal_append(s.j, &revoke, 1, NULL, &e), &e);
    emk_journal_state_get(s.j, &st);
    assert_int_equal(st.spooled + st.lost, 0);
    scene_close(&s);
}

/* ---- the signer ---- */

static void without_the_signer_entries_are_still_taken(void **state)
{
    emk_journal_state st;
    emk_audit_report r;
    emk_error e = {0};
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    scene_append(&s, 10);
    s.no_signer = true;
    assert_status(emk_journal_checkpoint(s.j, &e), EMK_E_BUSY, &e);
    scene_append(&s, 700);
    assert_status(emk_journal_checkpoint(s.j, &e), EMK_E_BUSY, &e);
    emk_journal_state_get(s.j, &st);
    assert_false(st.signing);
    assert_true(st.writable);
    s.no_signer = false;
    assert_ok(emk_journal_checkpoint(s.j, &e), &e);
    scene_stop(&s);
    r = scene_audit(&s);
    assert_intact(&r);
    scene_close(&s);
}

static void never_signs_what_does_not_continue_the_last_checkpoint(void **state)
{
    emk_audit_report before, after;
    emk_error e = {0};
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    scene_append(&s, 600);
    assert_ok(emk_journal_checkpoint(s.j, &e), &e);
    before = scene_audit(&s);
    s.j->pub.last.root.b[7] ^= 1; /* as if another tree had been signed */
    scene_append(&s, 10);
    assert_status(emk_journal_checkpoint(s.j, &e), EMK_E_SEALED, &e);
    assert_status(emk_journal_close(s.j, &e), EMK_E_SEALED, &e);
    s.j = NULL;
    after = scene_audit(&s);
    assert_int_equal(after.checkpoint.size, before.checkpoint.size);
    assert_int_equal(after.signature.verdict, EMK_AUDIT_INTACT);
    scene_close(&s);
}

#ifdef EMK_FAULTS
#define WITH_FAULTS(rule) emk_rule(rule)
#else
#define WITH_FAULTS(rule) emk_rule(needs_failure_injection)
static void needs_failure_injection(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    return EMK_RUN(
        emk_rule(what_is_appended_is_found_intact), emk_rule(continues_after_being_closed),
        emk_rule(places_are_numbers_without_gaps), emk_rule(rejects_events_that_cannot_be_entries),
        emk_rule(a_folder_has_one_journal), emk_rule(threads_share_writes),
        emk_rule(nothing_acknowledged_is_lost_by_a_kill),
        WITH_FAULTS(a_kill_at_any_file_call_loses_nothing),
        WITH_FAULTS(a_failed_write_acknowledges_nothing_and_is_got_over),
        emk_rule(without_disk_grants_stop_and_revocations_do_not),
        emk_rule(the_spool_is_bounded_and_counts_what_it_loses),
        emk_rule(without_the_signer_entries_are_still_taken),
        emk_rule(never_signs_what_does_not_continue_the_last_checkpoint));
}
