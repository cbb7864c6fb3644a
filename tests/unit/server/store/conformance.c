#include "tests/unit/server/store/conformance.h"

#include "core/base/os_thread.h"
#include "tests/support/test.h"

#include <string.h>

#define S UINT64_C(1000000000)

/* ---- records ---- */

static emk_record_change put(uint32_t kind, const char *id, const char *value, uint64_t expect)
{
    return (emk_record_change){.op = EMK_RECORD_PUT,
                               .kind = kind,
                               .id = emk_span_str(id),
                               .expect = expect,
                               .value = emk_span_str(value)};
}

static void assert_value(const emk_records *r, uint32_t kind, const char *id, const char *want)
{
    emk_error e = {0};
    emk_buf value;
    emk_status st;

    emk_buf_init(&value, EMK_RECORD_VALUE_MAX);
    st = emk_records_get(r, kind, emk_span_str(id), NULL, &value, &e);
    if (want) {
        assert_ok(st, &e);
        assert_bytes(emk_buf_span(&value), emk_span_str(want));
    } else {
        assert_status(st, EMK_E_NOT_FOUND, &e);
    }
    emk_buf_done(&value);
}

static void record_is_there_after_put_and_gone_after_delete(const emk_records *r)
{
    emk_record_change c = put(1, "a", "one", EMK_RECORD_ANY);
    emk_record_info info = {0};
    emk_error e = {0};

    c.owner = emk_span_str("owner");
    c.expires_s = 77;
    assert_value(r, 1, "a", NULL);
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    assert_value(r, 1, "a", "one");
    assert_value(r, 2, "a", NULL);
    assert_ok(emk_records_get(r, 1, emk_span_str("a"), &info, NULL, &e), &e);
    assert_int_equal(info.expires_s, 77);
    assert_bytes(emk_span_of(info.owner, info.owner_len), emk_span_str("owner"));
    c.op = EMK_RECORD_DELETE;
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e); /* again is fine */
    assert_value(r, 1, "a", NULL);
}

static void versions_never_come_twice(const emk_records *r)
{
    emk_record_change c = put(1, "v", "", EMK_RECORD_ABSENT);
    uint64_t first = 0, second = 0, third = 0;
    emk_error e = {0};

    assert_ok(emk_records_commit(r, &c, 1, &first, &e), &e);
    assert_status(emk_records_commit(r, &c, 1, NULL, &e), EMK_E_STALE, &e);
    c.expect = first;
    assert_ok(emk_records_commit(r, &c, 1, &second, &e), &e);
    assert_true(second > first);
    assert_status(emk_records_commit(r, &c, 1, NULL, &e), EMK_E_STALE, &e);
    c.op = EMK_RECORD_DELETE;
    c.expect = second;
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    c = put(1, "v", "", EMK_RECORD_ABSENT);
    assert_ok(emk_records_commit(r, &c, 1, &third, &e), &e);
    assert_true(third > second);
}

static void a_batch_is_whole_or_nothing(const emk_records *r)
{
    emk_record_change c[3] = {put(3, "x", "1", EMK_RECORD_ANY), put(3, "y", "2", EMK_RECORD_ANY),
                              put(3, "z", "", EMK_RECORD_ANY)};
    emk_error e = {0};

    c[2].op = EMK_RECORD_CHECK;
    c[2].expect = 12345;
    assert_status(emk_records_commit(r, c, 3, NULL, &e), EMK_E_STALE, &e);
    assert_int_equal(e.where, 2);
    assert_value(r, 3, "x", NULL);
    c[2].expect = EMK_RECORD_ABSENT;
    assert_ok(emk_records_commit(r, c, 3, NULL, &e), &e);
    assert_value(r, 3, "x", "1");
    assert_value(r, 3, "y", "2");
    assert_value(r, 3, "z", NULL);
}

static void rejects_arguments_out_of_their_limits(const emk_records *r)
{
    static uint8_t big[EMK_RECORD_VALUE_MAX + 1];
    emk_record_change good = put(4, "x", "1", EMK_RECORD_ANY), c[2] = {good, good};
    emk_error e = {0};

    assert_status(emk_records_commit(r, c, 0, NULL, &e), EMK_E_USAGE, &e);
    assert_status(emk_records_commit(r, c, 2, NULL, &e), EMK_E_USAGE, &e); /* one twice */
    c[0].kind = 0;
    assert_status(emk_records_commit(r, c, 1, NULL, &e), EMK_E_USAGE, &e);
    c[0] = good;
    c[0].id.len = 0;
    assert_status(emk_records_commit(r, c, 1, NULL, &e), EMK_E_USAGE, &e);
    c[0].id = emk_span_of(big, EMK_RECORD_ID_MAX + 1);
    assert_status(emk_records_commit(r, c, 1, NULL, &e), EMK_E_LIMIT, &e);
    c[0] = good;
    c[0].value = emk_span_of(big, sizeof big);
    assert_status(emk_records_commit(r, c, 1, NULL, &e), EMK_E_LIMIT, &e);
    c[0].value.len--;
    assert_ok(emk_records_commit(r, c, 1, NULL, &e), &e);
    c[0].owner = emk_span_of(big, EMK_RECORD_OWNER_MAX + 1);
    assert_status(emk_records_commit(r, c, 1, NULL, &e), EMK_E_LIMIT, &e);
}

typedef struct seen {
    char ids[64];
    size_t n;
} seen;

static emk_status note(void *self, const emk_record_view *r, emk_error *e)
{
    seen *s = self;

    (void)e;
    strncat(s->ids, (const char *)r->id.p, r->id.len);
    s->n++;
    return EMK_OK;
}

static emk_status stop(void *self, const emk_record_view *r, emk_error *e)
{
    (void)self;
    (void)r;
    return emk_fail(e, EMK_E_POLICY, "test: stop", 0);
}

static void scans_in_order_by_owner_and_in_pieces(const emk_records *r)
{
    static const char *const ids[] = {"d", "a", "c", "b", "e"};
    emk_record_scan scan = {.kind = 5, .limit = 100};
    emk_error e = {0};
    uint64_t n = 0;
    seen s;

    for (size_t i = 0; i < 5; i++) {
        emk_record_change c = put(5, ids[i], "v", EMK_RECORD_ANY);

        c.owner = emk_span_str(i % 2 ? "odd" : "even");
        assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    }
    s = (seen){0};
    assert_ok(emk_records_scan(r, &scan, note, &s, &e), &e);
    assert_string_equal(s.ids, "abcde");
    scan.owner = emk_span_str("even");
    s = (seen){0};
    assert_ok(emk_records_scan(r, &scan, note, &s, &e), &e);
    assert_string_equal(s.ids, "cde");
    scan.owner.len = 0;
    scan.after = emk_span_str("b");
    scan.limit = 2;
    s = (seen){0};
    assert_ok(emk_records_scan(r, &scan, note, &s, &e), &e);
    assert_string_equal(s.ids, "cd");
    assert_status(emk_records_scan(r, &scan, stop, NULL, &e), EMK_E_POLICY, &e);
    scan.limit = 0;
    assert_status(emk_records_scan(r, &scan, note, &s, &e), EMK_E_LIMIT, &e);
    assert_ok(emk_records_count(r, 5, emk_span_of(NULL, 0), &n, &e), &e);
    assert_int_equal(n, 5);
    assert_ok(emk_records_count(r, 5, emk_span_str("odd"), &n, &e), &e);
    assert_int_equal(n, 2);
}

static void sweeps_what_has_expired(const emk_records *r)
{
    emk_record_change c = put(6, "old", "", EMK_RECORD_ANY);
    emk_error e = {0};
    uint64_t n = 0;

    c.expires_s = 1000;
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    c = put(6, "new", "", EMK_RECORD_ANY);
    c.expires_s = 1001;
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    c = put(6, "never", "", EMK_RECORD_ANY);
    assert_ok(emk_records_commit(r, &c, 1, NULL, &e), &e);
    assert_ok(emk_records_sweep(r, 1000, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_value(r, 6, "old", NULL);
    assert_value(r, 6, "new", "");
    assert_value(r, 6, "never", "");
    assert_ok(emk_records_scrub(r, &e), &e);
}

#define COUNTING 4

/* Each adds 100 to one number by compare-and-swap. */
static void count_up(void *self)
{
    const emk_records *r = self;

    for (int done = 0; done < 100;) {
        emk_record_info info = {0};
        char text[24] = "0";
        emk_record_change c;
        emk_buf b;

        emk_buf_init(&b, sizeof text - 1);
        if (emk_records_get(r, 7, emk_span_str("n"), &info, &b, NULL) == EMK_OK) {
            memcpy(text, b.p, b.len);
            text[b.len] = '\0';
        }
        emk_buf_done(&b);
        snprintf(text, sizeof text, "%d", atoi(text) + 1);
        c = put(7, "n", text, info.version);
        done += emk_records_commit(r, &c, 1, NULL, NULL) == EMK_OK;
    }
}

static void threads_lose_no_update(const emk_records *r)
{
    emk_records copy = *r;
    emk_thread *t[COUNTING];
    emk_error e = {0};

    for (size_t i = 0; i < COUNTING; i++)
        assert_ok(emk_thread_start(count_up, &copy, &t[i], &e), &e);
    for (size_t i = 0; i < COUNTING; i++)
        emk_thread_join(t[i]);
    assert_value(r, 7, "n", "400");
}

void conformance_records(const emk_records *r)
{
    record_is_there_after_put_and_gone_after_delete(r);
    versions_never_come_twice(r);
    a_batch_is_whole_or_nothing(r);
    rejects_arguments_out_of_their_limits(r);
    scans_in_order_by_owner_and_in_pieces(r);
    sweeps_what_has_expired(r);
    threads_lose_no_update(r);
}

/* ---- counters ---- */

static emk_counter_key key(uint32_t space, const char *bytes)
{
    return (emk_counter_key){space, emk_span_str(bytes)};
}

/* The five figures of redis-cell for: burst 5 (its max_burst 4), one a second. */
static void limits_as_redis_cell_does(const emk_counters *c)
{
    emk_limit l = {.key = key(1, "user"), .unit_ns = S, .burst = 5, .cost = 1};
    emk_limit_state s;
    emk_error e = {0};
    uint64_t now = 1000 * S;

    for (uint64_t i = 1; i <= 5; i++) {
        assert_ok(emk_counters_take(c, &l, 1, now, &s, &e), &e);
        assert_false(s.limited);
        assert_int_equal(s.limit, 5);
        assert_int_equal(s.remaining, 5 - i);
        assert_int_equal(s.retry_ns, 0);
        assert_int_equal(s.reset_ns, i * S);
    }
    assert_ok(emk_counters_take(c, &l, 1, now, &s, &e), &e);
    assert_true(s.limited);
    assert_int_equal(s.remaining, 0);
    assert_int_equal(s.retry_ns, S);
    assert_int_equal(s.reset_ns, 5 * S);
    assert_ok(emk_counters_take(c, &l, 1, now - 500 * S, &s, &e), &e); /* the clock went back */
    assert_true(s.limited);
    assert_ok(emk_counters_take(c, &l, 1, now + S, &s, &e), &e);
    assert_false(s.limited);
    l.cost = 6;
    assert_ok(emk_counters_take(c, &l, 1, now + 99 * S, &s, &e), &e);
    assert_true(s.limited);
    assert_true(s.retry_ns == EMK_COUNTER_NEVER);
    l.cost = 0;
    assert_ok(emk_counters_take(c, &l, 1, now + 99 * S, &s, &e), &e);
    assert_false(s.limited);
    assert_int_equal(s.remaining, 5);
    l.cost = 5;
    assert_ok(emk_counters_take(c, &l, 1, now + 99 * S, &s, &e), &e);
    l.cost = 2;
    assert_ok(emk_counters_refund(c, &l, now + 99 * S, &e), &e);
    l.cost = 0;
    assert_ok(emk_counters_take(c, &l, 1, now + 99 * S, &s, &e), &e);
    assert_int_equal(s.remaining, 2);
}

static void a_strict_limit_does_not_drain_the_others(const emk_counters *c)
{
    emk_limit l[2] = {{.key = key(2, "wide"), .unit_ns = S, .burst = 100, .cost = 1},
                      {.key = key(2, "strict"), .unit_ns = S, .burst = 1, .cost = 1}};
    emk_limit_state s[2];
    emk_error e = {0};
    uint64_t now = 2000 * S;

    assert_ok(emk_counters_take(c, l, 2, now, s, &e), &e);
    assert_false(s[0].limited || s[1].limited);
    for (int i = 0; i < 10; i++) {
        assert_ok(emk_counters_take(c, l, 2, now, s, &e), &e);
        assert_false(s[0].limited);
        assert_true(s[1].limited);
        assert_int_equal(s[0].remaining, 99);
    }
    l[1].key = l[0].key;
    assert_status(emk_counters_take(c, l, 2, now, s, &e), EMK_E_USAGE, &e);
}

static void rejects_limits_that_are_none(const emk_counters *c)
{
    emk_limit good = {.key = key(3, "k"), .unit_ns = S, .burst = 1, .cost = 1}, l = good;
    emk_limit_state s;
    emk_error e = {0};

    l.burst = 0;
    assert_status(emk_counters_take(c, &l, 1, S, &s, &e), EMK_E_USAGE, &e);
    l = good;
    l.unit_ns = UINT64_MAX / 2;
    l.burst = 4;
    assert_status(emk_counters_take(c, &l, 1, S, &s, &e), EMK_E_USAGE, &e);
    l = good;
    l.key.bytes.len = 0;
    assert_status(emk_counters_take(c, &l, 1, S, &s, &e), EMK_E_USAGE, &e);
    assert_status(emk_counters_take(c, &good, 0, S, &s, &e), EMK_E_USAGE, &e);
}

static void a_window_takes_each_counter_once(const emk_counters *c)
{
    emk_counter_key k = key(4, "device");
    uint64_t now = 3000 * S, until = now + 60 * S;
    emk_replay r = {0};
    emk_error e = {0};

    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 1, until}, now, &r, &e),
                  EMK_E_NOT_FOUND, &e);
    assert_ok(emk_counters_replay_seed(c, &k, 0, until, now, &e), &e);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 1, until}, now, &r, &e), &e);
    assert_int_equal(r.store, 1024);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 3, until}, now, &r, &e), &e);
    assert_int_equal(r.store, 1024); /* not stored yet */
    assert_ok(emk_counters_replay_stored(c, &k, 1024, &e), &e);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 2, until}, now, &r, &e), &e);
    assert_int_equal(r.store, 0);
    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 2, until}, now, &r, &e), EMK_E_USED,
                  &e);
    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 3, until}, now, &r, &e), EMK_E_USED,
                  &e);
    assert_int_equal(r.next, 4);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 1000, until}, now, &r, &e), &e);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 937, until}, now, &r, &e), &e);
    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 936, until}, now, &r, &e),
                  EMK_E_STALE, &e);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 1025, until}, now, &r, &e), &e);
    assert_int_equal(r.store, 2048);
    /* After a loss of memory everything up to the bound is taken. */
    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 2000, until}, until, &r, &e),
                  EMK_E_NOT_FOUND, &e);
    assert_ok(emk_counters_replay_seed(c, &k, 2048, until + S, until, &e), &e);
    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 2048, until + S}, until, &r, &e),
                  EMK_E_USED, &e);
    assert_status(emk_counters_replay(c, &(emk_replay_ask){k, 1026, until + S}, until, &r, &e),
                  EMK_E_STALE, &e);
    assert_ok(emk_counters_replay(c, &(emk_replay_ask){k, 2049, until + S}, until, &r, &e), &e);
}

static void once_is_once_until_its_time(const emk_counters *c)
{
    emk_counter_key k = key(5, "nonce");
    uint64_t now = 4000 * S;
    emk_error e = {0};

    assert_ok(emk_counters_once(c, &k, now + S, now, &e), &e);
    assert_status(emk_counters_once(c, &k, now + S, now, &e), EMK_E_USED, &e);
    assert_ok(emk_counters_once(c, &k, now + 2 * S, now + S, &e), &e);
}

static void leases_are_counted_and_end(const emk_counters *c)
{
    uint64_t now = 5000 * S, a = 0, b = 0, x = 0;
    emk_counter_lease l = {.key = key(6, "user"), .max = 2, .until_ns = now + 10 * S};
    emk_error e = {0};

    assert_ok(emk_counters_lease_take(c, &l, now, &a, &e), &e);
    assert_ok(emk_counters_lease_take(c, &l, now, &b, &e), &e);
    assert_true(a != 0 && a != b);
    assert_status(emk_counters_lease_take(c, &l, now, &x, &e), EMK_E_BUSY, &e);
    emk_counters_lease_give(c, &l.key, a);
    emk_counters_lease_give(c, &l.key, a);
    assert_ok(emk_counters_lease_take(c, &l, now, &a, &e), &e);
    l.until_ns = now + 20 * S;
    assert_ok(emk_counters_lease_keep(c, &l, b, now + S, &e), &e);
    assert_status(emk_counters_lease_keep(c, &l, a, now + 11 * S, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_counters_lease_take(c, &l, now + 11 * S, &x, &e), &e);
    assert_status(emk_counters_lease_take(c, &l, now + 11 * S, &x, &e), EMK_E_BUSY, &e);
}

void conformance_counters(const emk_counters *c)
{
    limits_as_redis_cell_does(c);
    a_strict_limit_does_not_drain_the_others(c);
    rejects_limits_that_are_none(c);
    a_window_takes_each_counter_once(c);
    once_is_once_until_its_time(c);
    leases_are_counted_and_end(c);
}

/* ---- blobs ---- */

static const uint8_t ID_A[16] = {1}, ID_B[32] = {2};

static void write_blob(const emk_blobs *b, const emk_blob_new *n, const char *text)
{
    emk_blob_writer w = {0};
    emk_error e = {0};

    assert_ok(emk_blob_create(b, n, &w, &e), &e);
    assert_ok(emk_blob_append(&w, emk_span_str(text), &e), &e);
    assert_ok(emk_blob_finish(&w, &e), &e);
}

static void a_blob_is_seen_when_it_is_whole(const emk_blobs *b)
{
    emk_blob_new n = {.id = emk_span_of(ID_A, sizeof ID_A), .expires_s = 100};
    emk_blob_writer w = {0}, second = {0};
    emk_blob blob = {0};
    uint8_t out[8];
    emk_error e = {0};

    assert_ok(emk_blob_create(b, &n, &w, &e), &e);
    assert_status(emk_blob_create(b, &n, &second, &e), EMK_E_USED, &e);
    assert_ok(emk_blob_append(&w, emk_span_str("0123"), &e), &e);
    assert_ok(emk_blob_append(&w, emk_span_str("4567"), &e), &e);
    assert_status(emk_blob_open(b, n.id, 1, &blob, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_blob_finish(&w, &e), &e);
    assert_status(emk_blob_append(&w, emk_span_str("8"), &e), EMK_E_USAGE, &e);
    assert_status(emk_blob_create(b, &n, &second, &e), EMK_E_USED, &e);
    assert_ok(emk_blob_open(b, n.id, 99, &blob, &e), &e);
    assert_int_equal(blob.info.len, 8);
    assert_ok(emk_blob_read(b, &blob, 2, out, 4, &e), &e);
    assert_bytes(emk_span_of(out, 4), emk_span_str("2345"));
    assert_status(emk_blob_read(b, &blob, 5, out, 4, &e), EMK_E_LIMIT, &e);
    assert_ok(emk_blob_remove(b, n.id, &e), &e);
    assert_ok(emk_blob_read(b, &blob, 0, out, 8, &e), &e); /* who has it open keeps it */
    emk_blob_close(b, &blob);
    assert_status(emk_blob_remove(b, n.id, &e), EMK_E_NOT_FOUND, &e);
}

static void an_aborted_blob_never_was(const emk_blobs *b)
{
    emk_blob_new n = {.id = emk_span_of(ID_A, sizeof ID_A)};
    emk_blobs_usage before, after;
    emk_blob_writer w = {0};
    emk_error e = {0};

    emk_blobs_usage_get(b, &before);
    assert_ok(emk_blob_create(b, &n, &w, &e), &e);
    assert_ok(emk_blob_append(&w, emk_span_str("0123"), &e), &e);
    emk_blob_abort(&w);
    emk_blob_abort(&w);
    emk_blobs_usage_get(b, &after);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.n_blobs, before.n_blobs);
}

static void blobs_expire_and_are_swept(const emk_blobs *b)
{
    emk_blob_new a = {.id = emk_span_of(ID_A, sizeof ID_A), .expires_s = 100},
                 c = {.id = emk_span_of(ID_B, sizeof ID_B), .durable = true};
    emk_blob blob = {0};
    emk_error e = {0};
    uint64_t n = 0;

    write_blob(b, &a, "short-lived");
    write_blob(b, &c, "for ever");
    assert_status(emk_blob_open(b, a.id, 100, &blob, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_blobs_sweep(b, 99, &n, &e), &e);
    assert_int_equal(n, 0);
    assert_ok(emk_blobs_sweep(b, 100, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_ok(emk_blob_open(b, c.id, UINT64_MAX, &blob, &e), &e);
    emk_blob_close(b, &blob);
    assert_ok(emk_blob_remove(b, c.id, &e), &e);
}

static void rejects_blobs_that_are_too_long(const emk_blobs *b)
{
    emk_blob_new n = {.id = emk_span_of(ID_A, sizeof ID_A), .max_len = 5};
    emk_blob_writer w = {0};
    emk_error e = {0};

    assert_ok(emk_blob_create(b, &n, &w, &e), &e);
    assert_ok(emk_blob_append(&w, emk_span_str("0123"), &e), &e);
    assert_status(emk_blob_append(&w, emk_span_str("45"), &e), EMK_E_LIMIT, &e);
    assert_ok(emk_blob_append(&w, emk_span_str("4"), &e), &e);
    emk_blob_abort(&w);
    n.id.len = 15;
    assert_status(emk_blob_create(b, &n, &w, &e), EMK_E_USAGE, &e);
}

void conformance_blobs(const emk_blobs *b)
{
    a_blob_is_seen_when_it_is_whole(b);
    an_aborted_blob_never_was(b);
    blobs_expire_and_are_swept(b);
    rejects_blobs_that_are_too_long(b);
}
