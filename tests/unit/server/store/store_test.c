/* The back ends that are there: the rules all of them keep, and what is each one's own. */
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "server/store/siphash.h"
#include "tests/support/test.h"
#include "tests/unit/server/store/conformance.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define S UINT64_C(1000000000)

static void join(char out[4200], const char *dir, const char *name)
{
    snprintf(out, 4200, "%s/%s", dir, name);
}

static void open_sqlite(const char *path, emk_records *r)
{
    emk_records_sqlite o = {.path = path, .busy_ms = 100, .check = 1};
    emk_error e = {0};

    assert_ok(emk_records_open_sqlite(&o, r, &e), &e);
}

static void records_in_memory_conform(void **state)
{
    emk_records r = {0};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_records_open_memory(&r, &e), &e);
    conformance_records(&r);
    emk_records_close(&r);
}

static void records_in_sqlite_conform(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    emk_records r = {0};

    (void)state;
    join(path, dir, "db");
    open_sqlite(path, &r);
    conformance_records(&r);
    emk_records_close(&r);
    open_sqlite(path, &r); /* and once more over what is there */
    emk_records_close(&r);
    emk_test_dir_remove(dir);
}

static void counters_in_memory_conform(void **state)
{
    emk_counters_memory o = {.seed = {1}};
    emk_counters c = {0};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_counters_open_memory(&o, &c, &e), &e);
    conformance_counters(&c);
    emk_counters_close(&c);
}

static void blobs_in_a_directory_conform(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    emk_blobs_directory o = {.path = path};
    emk_blobs b = {0}, second = {0};
    emk_error e = {0};

    (void)state;
    join(path, dir, "blobs");
    assert_ok(emk_blobs_open_directory(&o, &b, &e), &e);
    assert_status(emk_blobs_open_directory(&o, &second, &e), EMK_E_BUSY, &e);
    conformance_blobs(&b);
    emk_blobs_close(&b);
    emk_test_dir_remove(dir);
}

static void records_in_sqlite_that_is_tidied_conform(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    emk_records_sqlite o = {.path = path, .busy_ms = 2000, .tidies = 1};
    emk_records r = {0};
    emk_error e = {0};

    (void)state;
    join(path, dir, "db");
    assert_ok(emk_records_open_sqlite(&o, &r, &e), &e);
    conformance_records(&r);
    emk_records_close(&r);
    emk_test_dir_remove(dir);
}

/* ---- sqlite ---- */

static emk_status put_number(const emk_records *r, uint64_t n, emk_error *e)
{
    emk_record_change c = {.op = EMK_RECORD_PUT,
                           .kind = 1,
                           .id = emk_span_of(&n, sizeof n),
                           .expect = EMK_RECORD_ANY,
                           .value = emk_span_str("a value of some length, as tickets have one")};

    return emk_records_commit(r, &c, 1, NULL, e);
}

static void nothing_committed_is_lost_by_a_kill(void **state)
{
    volatile uint64_t *acked =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *dir = emk_test_dir_make(), path[4200];

    (void)state;
    join(path, dir, "db");
    srand(2);
    for (int round = 0; round < 20; round++) {
        emk_records r = {0};
        emk_error e = {0};
        pid_t child = fork();
        int status;

        if (child == 0) {
            open_sqlite(path, &r);
            for (;;) {
                if (put_number(&r, *acked, &e) != EMK_OK)
                    _exit(1);
                ++*acked;
            }
        }
        usleep((useconds_t)(5000 + rand() % 30000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        open_sqlite(path, &r);
        for (uint64_t n = 0; n < *acked; n++)
            assert_ok(emk_records_get(&r, 1, emk_span_of(&n, sizeof n), NULL, NULL, &e), &e);
        emk_records_close(&r);
    }
    print_message("%llu commits over 20 kills\n", (unsigned long long)*acked);
    emk_test_dir_remove(dir);
    munmap((void *)(uintptr_t)acked, 4096);
}

#define LONG_VALUE 60000u
#define LONG_STEP  10u
#define LONG_N     1500u /* records: more than the longest log there is, in pages */

/* The log is carried over beside the commits and begins anew; nothing of it is lost. */
static void a_long_log_is_carried_over_and_begins_anew(void **state)
{
    static uint8_t value[LONG_VALUE];
    char *dir = emk_test_dir_make(), path[4200], log[4300];
    emk_records_sqlite o = {.path = path, .tidies = 1};
    emk_records r = {0};
    emk_error e = {0};
    struct stat info;

    (void)state;
    join(path, dir, "db");
    assert_ok(emk_records_open_sqlite(&o, &r, &e), &e);
    for (uint64_t n = 0; n < LONG_N; n += LONG_STEP) {
        emk_record_change c[LONG_STEP];
        uint64_t ids[LONG_STEP];

        for (uint64_t i = 0; i < LONG_STEP; i++) {
            ids[i] = n + i;
            c[i] = (emk_record_change){.op = EMK_RECORD_PUT,
                                       .kind = 1,
                                       .id = emk_span_of(&ids[i], sizeof ids[i]),
                                       .expect = EMK_RECORD_ABSENT,
                                       .value = emk_span_of(value, sizeof value)};
        }
        assert_ok(emk_records_commit(&r, c, LONG_STEP, NULL, &e), &e);
    }
    snprintf(log, sizeof log, "%s-wal", path);
    assert_int_equal(stat(log, &info), 0);
    print_message("a log of %lld MB for %u MB\n", (long long)info.st_size >> 20,
                  LONG_N * LONG_VALUE >> 20);
    emk_records_close(&r);
    open_sqlite(path, &r);
    for (uint64_t n = 0; n < LONG_N; n++)
        assert_ok(emk_records_get(&r, 1, emk_span_of(&n, sizeof n), NULL, NULL, &e), &e);
    emk_records_close(&r);
    emk_test_dir_remove(dir);
}

static void a_locked_database_is_busy(void **state)
{
    char *dir = emk_test_dir_make(), path[4200], command[8600];
    emk_records r = {0};
    emk_error e = {0};
    FILE *other;

    (void)state;
    if (system("sqlite3 --version >/dev/null 2>&1") != 0)
        skip();
    join(path, dir, "db");
    open_sqlite(path, &r);
    snprintf(command, sizeof command, "sqlite3 '%s' >/dev/null", path);
    other = popen(command, "w");
    assert_non_null(other);
    fprintf(other, "BEGIN IMMEDIATE;\n");
    fflush(other);
    usleep(300000);
    assert_status(put_number(&r, 1, &e), EMK_E_BUSY, &e);
    pclose(other);
    assert_ok(put_number(&r, 1, &e), &e);
    emk_records_close(&r);
    emk_test_dir_remove(dir);
}

static void a_full_disk_is_an_error_and_got_over(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    struct rlimit before, small;
    emk_records r = {0};
    emk_error e = {0};
    uint64_t n = 0, left;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    join(path, dir, "db");
    open_sqlite(path, &r);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    while (n < 10000 && put_number(&r, n, &e) == EMK_OK)
        n++;
    assert_status(e.status, EMK_E_IO, &e);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_ok(put_number(&r, n, &e), &e);
    assert_ok(emk_records_count(&r, 1, emk_span_of(NULL, 0), &left, &e), &e);
    assert_int_equal(left, n + 1);
    emk_records_close(&r);
    emk_test_dir_remove(dir);
}

static void rejects_what_is_no_database_of_ours(void **state)
{
    char *dir = emk_test_dir_make(), path[4200], command[8600];
    emk_records_sqlite o = {.path = path, .check = 1};
    emk_records r = {0};
    emk_error e = {0};
    uint8_t junk[8192];

    (void)state;
    memset(junk, 0x5A, sizeof junk);
    join(path, dir, "junk");
    assert_ok(emk_os_write_file(path, emk_span_of(junk, sizeof junk), &e), &e);
    assert_status(emk_records_open_sqlite(&o, &r, &e), EMK_E_FORMAT, &e);
    if (system("sqlite3 --version >/dev/null 2>&1") != 0)
        skip();
    join(path, dir, "other");
    snprintf(command, sizeof command, "sqlite3 '%s' 'CREATE TABLE t(x)'", path);
    assert_int_equal(system(command), 0);
    assert_status(emk_records_open_sqlite(&o, &r, &e), EMK_E_FORMAT, &e);
    join(path, dir, "db");
    open_sqlite(path, &r);
    emk_records_close(&r);
    snprintf(command, sizeof command, "sqlite3 '%s' 'PRAGMA user_version=99'", path);
    assert_int_equal(system(command), 0);
    assert_status(emk_records_open_sqlite(&o, &r, &e), EMK_E_UNSUPPORTED, &e);
    assert_int_equal(e.where, 99);
    emk_test_dir_remove(dir);
}

static void a_damaged_database_is_said_to_be_damaged(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    emk_records_sqlite o = {.path = path, .check = 1};
    emk_records r = {0};
    emk_error e = {0};
    uint8_t junk[4096];
    int fd;

    (void)state;
    memset(junk, 0x5A, sizeof junk);
    join(path, dir, "db");
    open_sqlite(path, &r);
    for (uint64_t n = 0; n < 500; n++)
        assert_ok(put_number(&r, n, &e), &e);
    emk_records_close(&r);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 4 * 4096, junk, sizeof junk, &e), &e);
    emk_os_close(fd);
    assert_status(emk_records_open_sqlite(&o, &r, &e), EMK_E_FORMAT, &e);
    emk_test_dir_remove(dir);
}

#ifdef EMK_FAULTS
static void every_failing_call_is_told_and_leaks_nothing(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_IO, EMK_FAULT_ALLOC};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        for (uint64_t n = 1;; n++) {
            char *dir = emk_test_dir_make(), path[4200];
            emk_records_sqlite o = {.path = path};
            emk_records r = {0};
            emk_error e = {0};
            emk_status st;
            bool done;

            join(path, dir, "db");
            emk_fault_fail_at(kinds[k], n);
            st = emk_records_open_sqlite(&o, &r, &e);
            if (st == EMK_OK)
                st = put_number(&r, 1, &e);
            done = emk_fault_count(kinds[k]) < n;
            emk_fault_fail_at(kinds[k], 0);
            if (done)
                assert_ok(st, &e);
            else
                assert_int_not_equal(st, EMK_OK);
            if (r.ops)
                assert_ok(put_number(&r, 2, &e), &e);
            emk_records_close(&r);
            emk_test_dir_remove(dir);
            if (done)
                break;
        }
    }
}
#endif

/* ---- counters ---- */

static void siphash_is_that_of_its_authors(void **state)
{
    uint8_t key[16], in[16], out[16], want[16];
    emk_span parts[2] = {emk_span_of(in, 7), emk_span_of(in + 7, 8)};

    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        key[i] = in[i] = i;
    emk_unhex("a3817f04ba25a8e66df67214c7550293", want, 16);
    emk_siphash(key, NULL, 0, out);
    assert_bytes(emk_span_of(out, 16), emk_span_of(want, 16));
    emk_unhex("5493e99933b0a8117e08ec0f97cfc3d9", want, 16);
    emk_siphash(key, parts, 2, out);
    assert_bytes(emk_span_of(out, 16), emk_span_of(want, 16));
}

static void a_flood_evicts_limits_but_no_live_window(void **state)
{
    emk_counters_memory o = {.limits = 64, .windows = 64, .once = 64, .leases = 64};
    uint64_t now = S, seeded = 0;
    emk_counters_stats stats;
    emk_counters c = {0};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_counters_open_memory(&o, &c, &e), &e);
    for (uint64_t i = 0; i < 1000; i++) {
        emk_counter_key k = {1, emk_span_of(&i, sizeof i)};
        emk_limit l = {.key = k, .unit_ns = S, .burst = 10, .cost = 1};
        emk_limit_state s;
        emk_status st;

        assert_ok(emk_counters_take(&c, &l, 1, now, &s, &e), &e);
        st = emk_counters_replay_seed(&c, &k, 7, now + 100 * S, now, &e);
        if (st != EMK_OK)
            assert_status(st, EMK_E_LIMIT, &e);
        seeded += st == EMK_OK;
    }
    emk_counters_stats_get(&c, &stats);
    assert_int_equal(stats.n_windows, seeded);
    assert_int_equal(seeded, 64);
    assert_true(stats.n_evicted > 800 && stats.n_full > 800);
    now += 100 * S; /* all have ended: there is room again */
    for (uint64_t i = 5000; i < 5010; i++) {
        emk_counter_key k = {1, emk_span_of(&i, sizeof i)};

        assert_ok(emk_counters_replay_seed(&c, &k, 7, now + S, now, &e), &e);
    }
    emk_counters_close(&c);
}

static void a_snapshot_is_good_for_one_start(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    emk_counters_memory o = {.seed = {1}}, other = {.seed = {9}};
    emk_counter_key k = {1, emk_span_str("device")};
    emk_limit l = {.key = k, .unit_ns = S, .burst = 10, .cost = 8};
    emk_limit_state s;
    emk_counters c = {0};
    emk_replay r;
    emk_error e = {0};

    (void)state;
    join(path, dir, "counters");
    assert_ok(emk_counters_open_memory(&o, &c, &e), &e);
    assert_ok(emk_counters_take(&c, &l, 1, 50 * S, &s, &e), &e);
    assert_ok(emk_counters_replay_seed(&c, &k, 0, 90 * S, 50 * S, &e), &e);
    assert_ok(emk_counters_replay(&c, &(emk_replay_ask){k, 5, 90 * S}, 50 * S, &r, &e), &e);
    assert_ok(emk_counters_save(&c, path, 50 * S, 1000, &e), &e);
    emk_counters_close(&c);
    /* Booted anew: the steady clock is at 3 s, two seconds later by the time of day. */
    assert_ok(emk_counters_open_memory(&other, &c, &e), &e);
    assert_ok(emk_counters_restore(&c, path, 3 * S, 1002, &e), &e);
    l.cost = 0;
    assert_ok(emk_counters_take(&c, &l, 1, 3 * S, &s, &e), &e);
    assert_int_equal(s.remaining, 4);
    assert_status(emk_counters_replay(&c, &(emk_replay_ask){k, 5, 4 * S}, 3 * S, &r, &e),
                  EMK_E_USED, &e);
    assert_ok(emk_counters_replay(&c, &(emk_replay_ask){k, 4, 4 * S}, 3 * S, &r, &e), &e);
    assert_status(emk_counters_restore(&c, path, 3 * S, 1002, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_counters_save(&c, path, 3 * S, 1002, &e), &e);
    assert_status(emk_counters_restore(&c, path, 3 * S, 1002, &e), EMK_E_USAGE, &e); /* in use */
    assert_ok(emk_counters_save(&c, path, 3 * S, 1002, &e), &e);
    emk_counters_close(&c);
    {
        uint8_t byte;
        int fd;

        assert_ok(emk_os_open_update(path, &fd, &e), &e);
        assert_ok(emk_os_read_at(fd, 50, &byte, 1, &e), &e);
        byte ^= 1;
        assert_ok(emk_os_write_at(fd, 50, &byte, 1, &e), &e);
        emk_os_close(fd);
    }
    assert_ok(emk_counters_open_memory(&other, &c, &e), &e);
    assert_status(emk_counters_restore(&c, path, 3 * S, 1002, &e), EMK_E_FORMAT, &e);
    emk_counters_close(&c);
    emk_test_dir_remove(dir);
}

/* ---- blobs ---- */

static void blobs_keep_their_quota_and_forget_halves(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    emk_blobs_directory o = {.path = path, .quota_bytes = 1000};
    char part[4300];
    static const uint8_t one[16] = {1}, two[16] = {2}, big[600];
    emk_blob_new n = {.id = emk_span_of(one, 16)};
    emk_blob_writer w = {0};
    emk_blobs_usage usage;
    emk_blob blob = {0};
    emk_blobs b = {0};
    emk_error e = {0};

    (void)state;
    join(path, dir, "blobs");
    assert_ok(emk_blobs_open_directory(&o, &b, &e), &e);
    assert_ok(emk_blob_create(&b, &n, &w, &e), &e);
    assert_ok(emk_blob_append(&w, emk_span_of(big, 600), &e), &e);
    assert_ok(emk_blob_finish(&w, &e), &e);
    n.id = emk_span_of(two, 16);
    assert_ok(emk_blob_create(&b, &n, &w, &e), &e);
    assert_status(emk_blob_append(&w, emk_span_of(big, 600), &e), EMK_E_LIMIT, &e);
    assert_ok(emk_blob_append(&w, emk_span_of(big, 400), &e), &e);
    emk_blob_abort(&w);
    emk_blobs_close(&b);
    snprintf(part, sizeof part, "%s/02000000000000000000000000000000.part", path);
    assert_ok(emk_os_write_file(part, emk_span_of(big, 400), &e), &e); /* what a kill leaves */
    assert_ok(emk_blobs_open_directory(&o, &b, &e), &e);
    emk_blobs_usage_get(&b, &usage);
    assert_int_equal(usage.bytes, 600);
    assert_int_equal(usage.n_blobs, 1);
    assert_false(emk_os_exists(part));
    assert_status(emk_blob_open(&b, emk_span_of(two, 16), 0, &blob, &e), EMK_E_NOT_FOUND, &e);
    emk_blobs_close(&b);
    emk_test_dir_remove(dir);
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
        emk_rule(records_in_memory_conform), emk_rule(records_in_sqlite_conform),
        emk_rule(records_in_sqlite_that_is_tidied_conform), emk_rule(counters_in_memory_conform),
        emk_rule(blobs_in_a_directory_conform), emk_rule(nothing_committed_is_lost_by_a_kill),
        emk_rule(a_long_log_is_carried_over_and_begins_anew), emk_rule(a_locked_database_is_busy),
        emk_rule(a_full_disk_is_an_error_and_got_over),
        emk_rule(rejects_what_is_no_database_of_ours),
        emk_rule(a_damaged_database_is_said_to_be_damaged),
        WITH_FAULTS(every_failing_call_is_told_and_leaks_nothing),
        emk_rule(siphash_is_that_of_its_authors),
        emk_rule(a_flood_evicts_limits_but_no_live_window),
        emk_rule(a_snapshot_is_good_for_one_start),
        emk_rule(blobs_keep_their_quota_and_forget_halves));
}
