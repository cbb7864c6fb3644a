/* The vault as a whole: quota, purge, verify, several users; and what is open: tensors, streams,
 * paths, the watchdog. */
#include "tests/unit/device/client/stage.h"

#include "core/base/os_mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void restart_with(stage *s, uint64_t max_bytes, uint32_t max_entries)
{
    s->max_bytes = max_bytes;
    s->max_entries = max_entries;
    stage_restart(s);
}

static uint64_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* ---- quota ---- */

static void accept_over_the_number_of_entries_writes_nothing(void **state)
{
    char first[EMK_CLIENT_NAME_LEN + 1];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    restart_with(&s, 0, 1);
    stage_install(&s);
    memcpy(first, s.name, sizeof first);
    stage_deliver(&s);
    assert_status(stage_accept(&s, &e), EMK_E_LIMIT, &e);
    assert_int_equal(stage_count(&s, ".emkv"), 1); /* no temporary file either */
    assert_int_equal(stage_secrets(&s), 1);        /* the request key still waits ... */
    assert_ok(emk_client_remove(s.client, first, &e), &e);
    assert_ok(stage_accept(&s, &e), &e); /* ... and there is room now */
    stage_done(&s);
}

static void accept_over_the_bytes_writes_nothing(void **state)
{
    char path[PATH_CAP];
    emk_error e = {0};
    uint64_t len;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    len = size_of(path);
    restart_with(&s, 2 * len - 1, 0);
    stage_deliver(&s);
    assert_status(stage_accept(&s, &e), EMK_E_LIMIT, &e);
    assert_int_equal(stage_count(&s, ".emkv"), 1);
    restart_with(&s, 2 * len, 0);
    assert_ok(stage_accept(&s, &e), &e);
    stage_done(&s);
}

/* ---- purge ---- */

static void purge_removes_what_is_over_and_nothing_else(void **state)
{
    emk_client_purged done;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.expires = NOW + 100;
    stage_install(&s);
    s.policy.expires = NOW + 200;
    stage_install(&s);
    s.now = NOW + 99;
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.removed + done.asleep + done.dead, 0);
    s.now = NOW + 100;
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.removed, 1);
    assert_int_equal(stage_count(&s, ".emkv"), 1);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

static void purge_puts_what_is_out_of_lease_to_sleep(void **state)
{
    emk_client_purged done;
    emk_client_lease out;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 60;
    stage_install(&s);
    s.now = NOW + 59;
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.asleep, 0);
    s.now = NOW + 60;
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.asleep, 1);
    s.now = NOW + 30; /* no clock wakes it ... */
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_lease(&s, EMK_LEASE_GRANTED);
    assert_ok(emk_client_lease_accept(s.client, emk_buf_span(&s.lease), &out, &e), &e);
    assert_ok(stage_open(&s, &e), &e); /* ... a lease does */
    s.now = NOW + 200;
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    s.now = s.policy.expires;
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.removed, 1);
    assert_int_equal(stage_count(&s, ".emkv"), 0);
    stage_done(&s);
}

static void purge_leaves_the_dead_alone_and_counts_them(void **state)
{
    emk_client_purged done;
    char path[PATH_CAP];
    emk_error e = {0};
    stage s;
    int fd;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 3, "x", 1, &e), &e);
    emk_os_close(fd);
    assert_ok(emk_client_purge(s.client, &done, &e), &e);
    assert_int_equal(done.dead, 1);
    assert_int_equal(stage_count(&s, ".emkv"), 1);
    stage_done(&s);
}

/* ---- verify ---- */

typedef struct found {
    size_t n, n_bad;
    emk_status status;
    char bad[EMK_CLIENT_NAME_LEN + 1];
} found;

static emk_status note(void *self, const emk_client_entry *entry, emk_error *e)
{
    found *f = self;

    (void)e;
    f->n++;
    if (entry->status != EMK_OK) {
        f->n_bad++;
        f->status = entry->status;
        memcpy(f->bad, entry->name, sizeof f->bad);
    }
    return EMK_OK;
}

static void verify_finds_one_changed_byte_of_a_weight(void **state)
{
    char path[PATH_CAP];
    emk_error e = {0};
    found f = {0};
    uint8_t byte;
    stage s;
    int fd;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_install(&s);
    assert_ok(emk_client_verify(s.client, note, &f, &e), &e);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.n_bad, 0);
    stage_entry_path(&s, path);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_read_at(fd, size_of(path) - 7, &byte, 1, &e), &e);
    byte ^= 4;
    assert_ok(emk_os_write_at(fd, size_of(path) - 7, &byte, 1, &e), &e);
    emk_os_close(fd);
    f = (found){0};
    assert_ok(emk_client_verify(s.client, note, &f, &e), &e);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.n_bad, 1);
    assert_int_equal(f.status, EMK_E_SEALED);
    assert_string_equal(f.bad, s.name);
    stage_done(&s);
}

/* ---- users ---- */

static void two_users_of_one_device_have_an_entry_each(void **state)
{
    char first[EMK_CLIENT_NAME_LEN + 1];
    emk_client_ask ask;
    emk_opened *o = NULL;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    memcpy(first, s.name, sizeof first);
    s.want.user = emk_span_str("u-18");
    stage_install(&s);
    ask = stage_ask(&s);
    assert_status(emk_client_open(s.client, first, &ask, &o, &e), EMK_E_POLICY, &e);
    assert_ok(emk_client_open(s.client, "cat-ears", &ask, &o, &e), &e); /* finds the own one */
    emk_opened_close(o);
    ask.user = emk_span_str("u-17");
    assert_ok(emk_client_open(s.client, first, &ask, &o, &e), &e);
    emk_opened_close(o);
    assert_status(emk_client_open(s.client, s.name, &ask, &o, &e), EMK_E_POLICY, &e);
    ask.user = emk_span_str("u-19");
    assert_status(emk_client_open(s.client, "cat-ears", &ask, &o, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

/* ---- tensors ---- */

static emk_tensors *open_tensors(stage *s)
{
    emk_client_ask ask = stage_ask(s);
    emk_tensors *t = NULL;
    emk_error e = {0};

    assert_ok(emk_client_open_tensors(s->client, s->name, &ask, &t, &e), &e);
    return t;
}

static emk_status add_len(void *self, const emk_client_tensor *t, emk_error *e)
{
    uint64_t *sum = self;

    (void)e;
    assert_bytes(t->dtype, emk_span_str("u8"));
    assert_int_equal(t->dims[0], t->len);
    *sum += t->len;
    return EMK_OK;
}

static void tensors_are_read_by_name(void **state)
{
    emk_error e = {0};
    emk_tensors *t;
    uint64_t sum = 0;
    emk_span bytes;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    t = open_tensors(&s);
    assert_ok(emk_tensors_each(t, add_len, &sum, &e), &e);
    assert_int_equal(sum, MODEL_LEN - HEAD_LEN);
    assert_ok(emk_tensors_read(t, emk_span_str("second"), &bytes, &e), &e);
    assert_bytes(bytes,
                 emk_span_of(s.model + HEAD_LEN + FIRST_LEN, MODEL_LEN - HEAD_LEN - FIRST_LEN));
    assert_ok(emk_tensors_read(t, emk_span_str("first"), &bytes, &e), &e);
    assert_bytes(bytes, emk_span_of(s.model + HEAD_LEN, FIRST_LEN));
    assert_status(emk_tensors_read(t, emk_span_str("third"), &bytes, &e), EMK_E_NOT_FOUND, &e);
    assert_int_equal(emk_tensors_expires(t), s.policy.expires);
    emk_tensors_close(t);
    stage_done(&s);
}

/* Damage elsewhere is not noticed, and in the tensor it is: other segments are not touched. */
static void a_tensor_is_read_without_the_rest(void **state)
{
    char path[PATH_CAP];
    emk_error e = {0};
    emk_tensors *t;
    emk_span bytes;
    stage s;
    int fd;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, size_of(path) - 4, "1234", 4, &e), &e);
    emk_os_close(fd);
    t = open_tensors(&s);
    assert_ok(emk_tensors_read(t, emk_span_str("first"), &bytes, &e), &e);
    assert_status(emk_tensors_read(t, emk_span_str("second"), &bytes, &e), EMK_E_SEALED, &e);
    emk_tensors_close(t);
    stage_done(&s);
}

static void opening_tensors_is_an_open(void **state)
{
    emk_client_ask ask;
    emk_error e = {0};
    emk_tensors *t;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 2;
    stage_install(&s);
    emk_tensors_close(open_tensors(&s));
    assert_ok(stage_open(&s, &e), &e);
    ask = stage_ask(&s);
    assert_status(emk_client_open_tensors(s.client, s.name, &ask, &t, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void tensors_end_with_the_policy(void **state)
{
    emk_error e = {0};
    emk_tensors *t;
    emk_span bytes;
    uint64_t next;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    t = open_tensors(&s);
    assert_ok(emk_tensors_read(t, emk_span_str("first"), &bytes, &e), &e);
    s.now = s.policy.expires;
    emk_client_tick(s.client, &next);
    assert_int_equal(bytes.p[0] | bytes.p[1] | bytes.p[FIRST_LEN - 1], 0);
    assert_status(emk_tensors_read(t, emk_span_str("first"), &bytes, &e), EMK_E_POLICY, &e);
    emk_tensors_close(t);
    stage_done(&s);
}

/* ---- other ways in ---- */

static emk_opened *open_it(stage *s, emk_policy_memory memory)
{
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    emk_error e = {0};

    ask.memory = memory;
    assert_ok(emk_client_open(s->client, s->name, &ask, &o, &e), &e);
    return o;
}

static void model_is_read_as_a_stream(void **state)
{
    uint8_t got[4096];
    emk_error e = {0};
    emk_opened *o;
    stage s;
    FILE *f;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    o = open_it(&s, EMK_POLICY_MEMORY_ANY);
    assert_ok(emk_opened_stream(o, &f, &e), &e);
    assert_int_equal(fread(got, 1, sizeof got, f), sizeof got);
    assert_memory_equal(got, s.model, sizeof got);
    assert_int_equal(fseek(f, -100, SEEK_END), 0);
    assert_int_equal(ftell(f), MODEL_LEN - 100);
    assert_int_equal(fread(got, 1, sizeof got, f), 100);
    assert_memory_equal(got, s.model + MODEL_LEN - 100, 100);
    assert_true(feof(f));
    assert_int_equal(fseek(f, 5, SEEK_SET), 0);
    assert_int_equal(fgetc(f), s.model[5]);
    assert_int_equal(fseek(f, 4, SEEK_CUR), 0);
    assert_int_equal(fgetc(f), s.model[10]);
    assert_int_not_equal(fseek(f, MODEL_LEN + 1, SEEK_SET), 0);
    assert_int_not_equal(fseek(f, -1, SEEK_SET), 0);
    assert_int_equal(fputc(1, f), EOF);
    fclose(f);
    emk_opened_close(o);
    stage_done(&s);
}

static void model_is_read_by_a_path_that_goes_with_it(void **state)
{
    char path[EMK_OPENED_PATH_MAX], again[EMK_OPENED_PATH_MAX];
    emk_error e = {0};
    const uint8_t *mapped;
    emk_opened *o;
    uint64_t next;
    emk_buf b;
    stage s;
    int fd;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    o = open_it(&s, EMK_POLICY_MEMORY_ANY);
    assert_ok(emk_opened_path(o, path, &e), &e);
    assert_ok(emk_opened_path(o, again, &e), &e);
    assert_string_equal(path, again);
    emk_buf_init(&b, 1u << 20);
    assert_ok(emk_os_read_file(path, 1u << 20, &b, &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_of(s.model, MODEL_LEN));
    assert_ok(emk_os_open_read(path, &fd, &e), &e);
    mapped = mmap(NULL, MODEL_LEN, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(mapped != MAP_FAILED);
    assert_memory_equal(mapped, s.model, MODEL_LEN);
    s.now = s.policy.expires;
    emk_client_tick(s.client, &next);
    for (size_t i = 0; i < MODEL_LEN; i++)
        assert_int_equal(mapped[i], 0);
    emk_opened_close(o);
    munmap((void *)(uintptr_t)mapped, MODEL_LEN);
    emk_os_close(fd);
    emk_buf_done(&b);
    stage_done(&s);
}

static void no_path_for_locked_memory(void **state)
{
    char path[EMK_OPENED_PATH_MAX];
    emk_error e = {0};
    emk_opened *o;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    o = open_it(&s, EMK_POLICY_MEMORY_LOCKED);
    assert_status(emk_opened_path(o, path, &e), EMK_E_POLICY, &e);
    emk_opened_close(o);
    s.policy.memory = EMK_POLICY_MEMORY_LOCKED;
    stage_install(&s);
    o = open_it(&s, EMK_POLICY_MEMORY_ANY);
    assert_status(emk_opened_path(o, path, &e), EMK_E_POLICY, &e);
    emk_opened_close(o);
    stage_done(&s);
}

/* ---- memory ---- */

/* ---- the watchdog ---- */

typedef struct reader {
    const uint8_t *bytes;
    atomic_bool stop;
    atomic_ullong rounds;
} reader;

/* It races with the wiping on purpose, which the thread sanitizer need not hear. */
__attribute__((no_sanitize_thread)) static void *read_on(void *self)
{
    reader *r = self;
    volatile uint8_t sum = 0;

    while (!atomic_load(&r->stop)) {
        for (size_t i = 0; i < MODEL_LEN; i += 61)
            sum = (uint8_t)(sum + r->bytes[i]);
        atomic_fetch_add(&r->rounds, 1);
    }
    return NULL;
}

static time_t started;

static uint64_t real_clock(void *self)
{
    (void)self;
    return NOW + (uint64_t)(time(NULL) - started);
}

static void watchdog_wipes_under_a_reader_without_a_fault(void **state)
{
    const struct timespec moment = {0, 20000000};
    emk_error e = {0};
    emk_opened *o;
    pthread_t thread;
    reader r = {.stop = false};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.watchdog = true;
    started = time(NULL);
    s.clock = real_clock;
    stage_restart(&s);
    s.now = real_clock(NULL);
    s.policy.expires = s.now + 2;
    stage_request(&s);
    stage_issue(&s);
    stage_seal(&s);
    assert_ok(stage_accept(&s, &e), &e);
    o = open_it(&s, EMK_POLICY_MEMORY_ANY);
    r.bytes = emk_opened_bytes(o).p;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
    for (int i = 0; i < 500 && !emk_opened_is_wiped(o); i++)
        nanosleep(&moment, NULL);
    assert_true(emk_opened_is_wiped(o));
    for (size_t i = 0; i < MODEL_LEN; i++)
        assert_int_equal(r.bytes[i], 0);
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&r.rounds) > 0);
    emk_opened_close(o);
    stage_done(&s);
}

static void removed_entry_is_wiped_where_it_is_open(void **state)
{
    emk_error e = {0};
    emk_opened *o;
    uint64_t next;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    o = open_it(&s, EMK_POLICY_MEMORY_ANY);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e);
    emk_client_tick(s.client, &next);
    assert_true(emk_opened_is_wiped(o));
    emk_opened_close(o);
    stage_done(&s);
}

static void opened_model_outlives_its_client(void **state)
{
    emk_opened *o;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    o = open_it(&s, EMK_POLICY_MEMORY_ANY);
    stage_restart(&s);
    assert_bytes(emk_opened_bytes(o), emk_span_of(s.model, MODEL_LEN));
    assert_int_equal(emk_opened_expires(o), s.policy.expires);
    emk_opened_close(o);
    stage_done(&s);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(accept_over_the_number_of_entries_writes_nothing),
        emk_rule(accept_over_the_bytes_writes_nothing),
        emk_rule(purge_removes_what_is_over_and_nothing_else),
        emk_rule(purge_puts_what_is_out_of_lease_to_sleep),
        emk_rule(purge_leaves_the_dead_alone_and_counts_them),
        emk_rule(verify_finds_one_changed_byte_of_a_weight),
        emk_rule(two_users_of_one_device_have_an_entry_each), emk_rule(tensors_are_read_by_name),
        emk_rule(a_tensor_is_read_without_the_rest), emk_rule(opening_tensors_is_an_open),
        emk_rule(tensors_end_with_the_policy), emk_rule(model_is_read_as_a_stream),
        emk_rule(model_is_read_by_a_path_that_goes_with_it), emk_rule(no_path_for_locked_memory),
        emk_rule(watchdog_wipes_under_a_reader_without_a_fault),
        emk_rule(removed_entry_is_wiped_where_it_is_open),
        emk_rule(opened_model_outlives_its_client));
}
