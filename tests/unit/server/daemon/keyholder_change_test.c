/* Who may change keys, when, and what is left when the keyholder is killed while it does. */
#include "server/daemon/keyholder_change.h"

#include "core/base/bytes.h"
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "server/daemon/keyholder_internal.h"
#include "server/daemon/keyholder_record.h"
#include "server/daemon/os_process.h"
#include "server/daemon/ring.h"
#include "tests/support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#define NOW     UINT64_C(2000000000)
#define DAY     UINT64_C(86400)
#define WAIT_MS 30000u

typedef struct world {
    char *dir;
    emk_crypto *crypto;
    emk_keyholder_options options;
    emk_keyholder_client *client;
    emk_keyholder_hello hello;
} world;

static void start(world *w)
{
    emk_error e = {0};

    assert_ok(emk_keyholder_start(&w->options, &w->client, &w->hello, &e), &e);
}

static void stop(world *w)
{
    emk_keyholder_hello_done(&w->hello);
    emk_keyholder_stop(w->client);
    w->client = NULL;
}

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    w->dir = emk_test_dir_make();
    w->options = (emk_keyholder_options){.dir = w->dir,
                                         .origin = "log",
                                         .sealing_s = 3600,
                                         .needed_s = DAY,
                                         .sandbox = getenv("EMK_NO_SANDBOX") == NULL,
                                         .make = true};
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    start(w);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    stop(w);
    emk_crypto_free(w->crypto);
    emk_test_dir_remove(w->dir);
    free(w);
    return 0;
}

static void permit_until(world *w, emk_permit p, uint64_t until_s)
{
    emk_error e = {0};

    p.until_s = until_s;
    assert_ok(emk_permit_write(w->dir, &p, &e), &e);
}

static void permit(world *w, emk_permit p)
{
    permit_until(w, p, emk_os_now_s() + 60);
}

static emk_status rotate(world *w, emk_signing_key which, emk_keyholder_keys *out)
{
    emk_error e = {0};

    return emk_keyholder_rotate(w->client, which, out, &e);
}

static emk_status rotate_with(world *w, bool force, emk_keyholder_keys *out)
{
    permit(w, (emk_permit){.action = EMK_KEY_ROTATE_ISSUER, .force = force});
    return rotate(w, EMK_SIGNING_ISSUER, out);
}

static void id_of(world *w, const emk_keyholder_keys *keys, size_t i, uint8_t kid[EMK_COSE_KID_LEN])
{
    const emk_issuer_key *k = &keys->issuers.v[i];
    emk_error e = {0};

    assert_ok(emk_cose_kid(w->crypto, emk_span_of(k->public_key, k->public_len), kid, &e), &e);
}

static unsigned lines(world *w, const char *with)
{
    char path[512];
    emk_buf file;
    emk_error e = {0};
    unsigned n = 0;

    snprintf(path, sizeof path, "%s/%s", w->dir, EMK_RECORD_FILE);
    emk_buf_init(&file, 1u << 20);
    assert_ok(emk_os_read_file(path, 1u << 20, &file, &e), &e);
    assert_ok(emk_buf_append(&file, emk_span_of("", 1), &e), &e);
    for (const char *p = (const char *)file.p; (p = strstr(p, with)) != NULL; p++)
        n++;
    emk_buf_done(&file);
    return n;
}

static bool exists(world *w, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return emk_os_exists(path);
}

/* ---- the rules ---- */

typedef struct scene {
    emk_issuers ring;
    emk_key_state s;
    emk_key_change c;
    emk_permit p;
} scene;

/* n keys, a day apart, the last one two days old. */
static void set(scene *x, size_t n, emk_key_action action)
{
    *x = (scene){.s = {.needed_s = DAY, .sealing_s = 90, .sealing_until_s = NOW + 60},
                 .c = {.action = action},
                 .p = {.action = action, .until_s = NOW + 10}};
    x->s.ring = &x->ring;
    x->ring.n = n;
    for (size_t i = 0; i < n; i++)
        x->ring.v[i].since_s = NOW - (n - i + 1) * DAY;
}

static emk_status judge(scene *x, const emk_permit *p)
{
    emk_error e = {0};

    return emk_key_change_judge(&x->s, &x->c, p, NOW, &e);
}

static void wants_a_permit_for_this_change_and_this_time(void **state)
{
    scene x;

    (void)state;
    set(&x, 1, EMK_KEY_ROTATE_ISSUER);
    assert_int_equal(judge(&x, NULL), EMK_E_POLICY);
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    assert_true(x.c.takes_permit);
    x.p.until_s = NOW - 1;
    assert_int_equal(judge(&x, &x.p), EMK_E_POLICY);
    x.p.until_s = NOW + EMK_PERMIT_LIFE_S + 1;
    assert_int_equal(judge(&x, &x.p), EMK_E_POLICY);
    x.p.until_s = NOW;
    x.p.action = EMK_KEY_ROTATE_SEALING;
    assert_int_equal(judge(&x, &x.p), EMK_E_POLICY);
    set(&x, 3, EMK_KEY_RETIRE_ISSUER);
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    x.p.kid[7] ^= 1;
    assert_int_equal(judge(&x, &x.p), EMK_E_POLICY);
}

static void renews_the_sealing_key_without_a_permit_in_its_last_third_only(void **state)
{
    scene x;

    (void)state;
    set(&x, 1, EMK_KEY_ROTATE_SEALING);
    assert_int_equal(judge(&x, NULL), EMK_E_POLICY);
    x.s.sealing_until_s = NOW + 31;
    assert_int_equal(judge(&x, NULL), EMK_E_POLICY);
    x.s.sealing_until_s = NOW + 30;
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    assert_false(x.c.takes_permit); /* it is for another time */
    x.s.sealing_until_s = NOW - 100;
    assert_int_equal(judge(&x, NULL), EMK_OK);
}

static void forgets_no_key_that_is_needed_whoever_says_so(void **state)
{
    scene x;

    (void)state;
    set(&x, EMK_ISSUERS_MAX, EMK_KEY_ROTATE_ISSUER);
    assert_int_equal(judge(&x, &x.p), EMK_OK); /* it was replaced long ago */
    x.s.needed_s = 365 * DAY;
    x.p.force = true;
    assert_int_equal(judge(&x, &x.p), EMK_E_LIMIT);
    x.s.unattended = true;
    assert_int_equal(judge(&x, NULL), EMK_E_LIMIT);
    x.ring.v[0].retired = true;
    assert_int_equal(judge(&x, &x.p), EMK_OK);
}

static void retires_before_the_time_by_force_only(void **state)
{
    scene x;

    (void)state;
    set(&x, 3, EMK_KEY_RETIRE_ISSUER);
    x.c.at = 1;
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    x.s.needed_s = 2 * DAY + 1;
    assert_int_equal(judge(&x, &x.p), EMK_E_LIMIT);
    x.p.force = true;
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    x.p.force = false;
    x.ring.v[2].since_s = NOW + 5; /* the clock was set back */
    x.s.needed_s = 0;
    assert_int_equal(judge(&x, &x.p), EMK_E_LIMIT);
}

static void waits_an_hour_between_rotations(void **state)
{
    scene x;

    (void)state;
    set(&x, 2, EMK_KEY_ROTATE_ISSUER);
    x.ring.v[1].since_s = NOW - EMK_KEY_INTERVAL_S + 1;
    assert_int_equal(judge(&x, &x.p), EMK_E_LIMIT);
    x.p.force = true;
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    x.p.force = false;
    x.ring.v[1].since_s--;
    assert_int_equal(judge(&x, &x.p), EMK_OK);
    x.ring.v[1].since_s = NOW + DAY;
    assert_int_equal(judge(&x, &x.p), EMK_E_LIMIT);
}

/* ---- permits ---- */

static void rejects_permits_that_are_not_whole(void **state)
{
    uint8_t good[EMK_PERMIT_LEN] = {'E', 'M', 'K', 'P', 'E', 'R', 'M', '1', 3, 1}, bad[27];
    emk_permit p;
    emk_error e = {0};

    (void)state;
    good[17] = 9;
    good[25] = 7;
    assert_ok(emk_permit_parse(emk_span_of(good, sizeof good), &p, &e), &e);
    assert_int_equal(p.action, EMK_KEY_RETIRE_ISSUER);
    assert_true(p.force);
    assert_int_equal(p.until_s, 9);
    assert_int_equal(p.kid[7], 7);
    for (size_t len = 0; len < sizeof good; len++)
        assert_status(emk_permit_parse(emk_span_of(good, len), &p, &e), EMK_E_FORMAT, &e);
    memcpy(bad, good, sizeof good);
    assert_status(emk_permit_parse(emk_span_of(bad, sizeof bad), &p, &e), EMK_E_FORMAT, &e);
    for (size_t i = 0; i < 10; i++) {
        memcpy(bad, good, sizeof good);
        bad[i] = i == 8 ? EMK_KEY_ACTIONS : 2;
        assert_status(emk_permit_parse(emk_span_of(bad, sizeof good), &p, &e), EMK_E_FORMAT, &e);
    }
    memcpy(bad, good, sizeof good);
    bad[8] = 0;
    assert_status(emk_permit_parse(emk_span_of(bad, sizeof good), &p, &e), EMK_E_FORMAT, &e);
}

static void a_permit_that_others_may_read_is_none(void **state)
{
    world *w = *state;
    emk_keyholder_keys keys;
    char path[512];

    permit(w, (emk_permit){.action = EMK_KEY_ROTATE_ISSUER, .force = true});
    snprintf(path, sizeof path, "%s/%s", w->dir, EMK_PERMIT_FILE);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(rotate(w, EMK_SIGNING_ISSUER, &keys), EMK_E_POLICY);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 25), 0);
    assert_int_equal(rotate(w, EMK_SIGNING_ISSUER, &keys), EMK_E_POLICY);
}

static void a_permit_is_good_for_one_change(void **state)
{
    world *w = *state;
    emk_keyholder_keys keys;

    assert_int_equal(rotate_with(w, false, &keys), EMK_OK);
    assert_int_equal(keys.issuers.n, 2);
    assert_false(exists(w, EMK_PERMIT_FILE));
    assert_int_equal(rotate(w, EMK_SIGNING_ISSUER, &keys), EMK_E_POLICY);
    assert_int_equal(rotate_with(w, false, &keys), EMK_E_LIMIT); /* within the hour */
    assert_true(exists(w, EMK_PERMIT_FILE));                     /* nothing was done with it */
    permit_until(w, (emk_permit){.action = EMK_KEY_ROTATE_SEALING}, emk_os_now_s() - 1);
    assert_int_equal(rotate(w, EMK_SIGNING_SEALING, &keys), EMK_E_POLICY);
    permit(w, (emk_permit){.action = EMK_KEY_ROTATE_SEALING});
    assert_int_equal(rotate(w, EMK_SIGNING_SEALING, &keys), EMK_OK);
    assert_int_equal(rotate(w, EMK_SIGNING_SEALING, &keys), EMK_E_POLICY);
    assert_int_equal(lines(w, "begins rotate-issuer"), 1);
    assert_int_equal(lines(w, "done rotate-issuer"), 1);
    assert_int_equal(lines(w, "done rotate-sealing"), 1);
}

static void keeps_eight_keys_and_none_less_that_is_needed(void **state)
{
    world *w = *state;
    emk_keyholder_keys keys;
    uint8_t first[EMK_COSE_KID_LEN];
    emk_error e = {0};

    for (size_t n = 2; n <= EMK_ISSUERS_MAX; n++) {
        assert_int_equal(rotate_with(w, true, &keys), EMK_OK);
        assert_int_equal(keys.issuers.n, n);
    }
    assert_int_equal(rotate_with(w, true, &keys), EMK_E_LIMIT);
    id_of(w, &keys, 0, first);
    assert_status(emk_keyholder_retire(w->client, first, &keys, &e), EMK_E_POLICY, &e);
    permit(w, (emk_permit){.action = EMK_KEY_RETIRE_ISSUER});
    assert_status(emk_keyholder_retire(w->client, first, &keys, &e), EMK_E_POLICY, &e);
    emk_permit p = {.action = EMK_KEY_RETIRE_ISSUER};
    memcpy(p.kid, first, sizeof first);
    permit(w, p);
    assert_status(emk_keyholder_retire(w->client, first, &keys, &e), EMK_E_LIMIT, &e);
    p.force = true;
    permit(w, p);
    assert_ok(emk_keyholder_retire(w->client, first, &keys, &e), &e);
    assert_true(keys.issuers.v[0].retired);
    assert_ok(emk_keyholder_retire(w->client, first, &keys, &e), &e); /* is already */
    assert_int_equal(rotate_with(w, true, &keys), EMK_OK);
    assert_int_equal(keys.issuers.n, EMK_ISSUERS_MAX);
    id_of(w, &keys, EMK_ISSUERS_MAX - 1, first);
    assert_status(emk_keyholder_retire(w->client, first, &keys, &e), EMK_E_USAGE, &e);
}

static void one_change_at_a_time(void **state)
{
    world *w = *state;
    emk_keyholder_keys keys;
    char path[512];
    emk_error e = {0};
    int fd;

    snprintf(path, sizeof path, "%s/%s", w->dir, EMK_KEY_LOCK_FILE);
    assert_ok(emk_os_lock_file(path, false, &fd, &e), &e);
    assert_int_equal(rotate_with(w, true, &keys), EMK_E_BUSY);
    assert_true(emk_keyholder_is_alive(w->client));
    emk_os_close(fd);
    assert_int_equal(rotate(w, EMK_SIGNING_ISSUER, &keys), EMK_OK);
}

/* Two servers with one folder: the second does not write over what the first did. */
static void what_another_process_changed_is_not_overwritten(void **state)
{
    world *w = *state, other = *w;
    emk_keyholder_keys keys;
    emk_issuers ring;
    emk_error e = {0};

    start(&other);
    assert_int_equal(rotate_with(w, false, &keys), EMK_OK);
    assert_int_equal(rotate_with(&other, true, &keys), EMK_E_STALE);
    stop(&other);
    assert_ok(emk_keyholder_keys_get(w->client, &keys, &e), &e);
    assert_ok(emk_ring_read(w->dir, emk_span_of(keys.issuers.v[1].public_key, 32), &ring, &e), &e);
    assert_int_equal(ring.n, 2);
}

/* ---- a taken-over HTTP process ---- */

static int speak(world *w)
{
    uint8_t hello[EMK_KEYHOLDER_HEAD_LEN];
    static uint8_t in[EMK_KEYHOLDER_MESSAGE_MAX];
    bool child = false;
    size_t len;
    emk_error e = {0};
    int fd = -1, pid;

    stop(w);
    assert_ok(emk_proc_fork(&child, &fd, &pid, &e), &e);
    if (child)
        emk_proc_exit(emk_keyholder_run(fd, &w->options));
    emk_keyholder_head_write(hello, EMK_KEYHOLDER_OP_HELLO, 0, 0);
    assert_ok(emk_proc_send(fd, emk_span_of(hello, sizeof hello), &e), &e);
    assert_ok(emk_proc_receive(fd, in, sizeof in, &len, WAIT_MS, &e), &e);
    return fd;
}

typedef struct asked {
    uint8_t operation;
    uint16_t number;
    emk_span body;
} asked;

/* The same question, n times in one message; how many were answered with that status. */
static unsigned flood(int fd, const asked *q, unsigned n, emk_status with)
{
    static uint8_t out[EMK_KEYHOLDER_MESSAGE_MAX], in[EMK_KEYHOLDER_MESSAGE_MAX];
    size_t each = EMK_KEYHOLDER_HEAD_LEN + q->body.len, len = 0;
    unsigned found = 0;
    emk_keyholder_message m;
    emk_error e = {0};
    emk_span left;

    for (unsigned i = 0; i < n; i++) {
        emk_keyholder_head_write(out + i * each, q->operation, q->number, q->body.len);
        if (q->body.len > 0)
            memcpy(out + i * each + EMK_KEYHOLDER_HEAD_LEN, q->body.p, q->body.len);
    }
    assert_ok(emk_proc_send(fd, emk_span_of(out, n * each), &e), &e);
    assert_ok(emk_proc_receive(fd, in, sizeof in, &len, WAIT_MS, &e), &e);
    left = emk_span_of(in, len);
    for (unsigned i = 0; i < n; i++) {
        assert_ok(emk_keyholder_message_next(&left, &m, &e), &e);
        found += m.number == with;
    }
    return found;
}

static void a_taken_over_client_changes_no_key(void **state)
{
    world *w = *state;
    uint8_t kid[EMK_COSE_KID_LEN], before[32], after[32];
    emk_keyholder_keys keys;
    emk_error e = {0};
    int fd;

    assert_int_equal(rotate_with(w, false, &keys), EMK_OK);
    id_of(w, &keys, 0, kid);
    assert_ok(emk_ring_digest(w->crypto, w->dir, before, &e), &e);
    fd = speak(w);
    asked issuer = {.operation = EMK_KEYHOLDER_OP_ROTATE, .number = EMK_SIGNING_ISSUER};
    asked sealing = {.operation = EMK_KEYHOLDER_OP_ROTATE, .number = EMK_SIGNING_SEALING};
    asked retire = {.operation = EMK_KEYHOLDER_OP_RETIRE, .body = emk_span_of(kid, sizeof kid)};
    assert_int_equal(flood(fd, &issuer, 500, EMK_E_POLICY), 500);
    assert_int_equal(flood(fd, &sealing, 500, EMK_E_POLICY), 500);
    assert_int_equal(flood(fd, &retire, 500, EMK_E_POLICY), 500);
    for (uint16_t number = 3; number != 0; number = (uint16_t)(number << 1)) {
        issuer.number = number;
        assert_int_equal(flood(fd, &issuer, 1, EMK_OK), 0);
    }
    assert_ok(emk_ring_digest(w->crypto, w->dir, after, &e), &e);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(lines(w, "refused"), 1); /* a flood is one line a minute */
    emk_os_close(fd);
    start(w);
}

static void a_taken_over_client_escrows_one_chain_and_overwrites_none(void **state)
{
    world *w = *state;
    uint8_t body[40] = {0}, there[32];
    asked q = {.operation = EMK_KEYHOLDER_OP_ESCROW, .body = emk_span_of(body, sizeof body)};
    char path[512];
    emk_error e = {0};
    int fd = speak(w), file;

    emk_store_u64be(body, 7);
    body[8] = 1;
    assert_int_equal(flood(fd, &q, 3, EMK_OK), 3); /* the same again is fine */
    body[8] = 2;
    assert_int_equal(flood(fd, &q, 1, EMK_E_USED), 1);
    for (unsigned i = 8; i < 200; i++) {
        emk_store_u64be(body, i);
        assert_int_equal(flood(fd, &q, 1, EMK_E_LIMIT), 1);
    }
    q.body.len = 39;
    assert_int_equal(flood(fd, &q, 1, EMK_E_FORMAT), 1);
    emk_os_close(fd);
    start(w);
    body[8] = 3; /* nor by one of another life */
    assert_status(emk_keyholder_escrow(w->client, 7, body + 8, &e), EMK_E_USED, &e);
    snprintf(path, sizeof path, "%s/journal-00000007.first", w->dir);
    assert_ok(emk_os_open_read(path, &file, &e), &e);
    assert_ok(emk_os_read_at(file, 0, there, sizeof there, &e), &e);
    emk_os_close(file);
    assert_int_equal(there[0], 1);
    assert_int_equal(truncate(path, 31), 0);
    body[8] = 1;
    assert_status(emk_keyholder_escrow(w->client, 7, body + 8, &e), EMK_E_USED, &e);
}

/* ---- kills ---- */

#ifdef EMK_FAULTS

static void kill_me_at(void *self)
{
    emk_fault_kill_at(EMK_FAULT_IO, *(uint64_t *)self);
}

/* What a start finds after a kill: the old key or the new, each with all that it needs. */
static void check_whole(world *w, const uint8_t old[32])
{
    emk_keyholder_keys keys;
    emk_sealing_certificate says;
    emk_verify_key *key;
    emk_error e = {0};

    assert_ok(emk_keyholder_keys_get(w->client, &keys, &e), &e);
    const emk_issuer_key *last = &keys.issuers.v[keys.issuers.n - 1];
    assert_in_range(keys.issuers.n, 1, 2);
    assert_memory_equal(keys.issuers.v[0].public_key, old, 32);
    assert_memory_equal(last->public_key, w->hello.issuer_public, 32);
    assert_ok(emk_cose_verify_key(w->crypto, emk_span_of(last->public_key, 32), &key, &e), &e);
    assert_ok(emk_sealing_certificate_verify(
                  w->crypto, emk_span_of(keys.certificate, keys.certificate_len), key, &says, &e),
              &e);
    emk_verify_key_free(key);
    if (keys.issuers.n == 2) {
        assert_ok(emk_cose_verify_key(w->crypto, emk_span_of(old, 32), &key, &e), &e);
        assert_ok(emk_issuer_certificate_verify(
                      w->crypto, emk_span_of(last->certificate, last->certificate_len), key,
                      emk_os_now_s(), &says, &e),
                  &e);
        assert_memory_equal(says.public_key, last->public_key, 32);
        emk_verify_key_free(key);
        assert_int_equal(lines(w, "begins rotate-issuer"), 1);
    }
    assert_true(lines(w, "done rotate-issuer") <= lines(w, "begins rotate-issuer"));
}

static emk_status start_killed_at(world *w, uint64_t *at)
{
    emk_error e = {0};
    emk_status st;

    w->options.in_child = kill_me_at;
    w->options.in_child_self = at;
    st = emk_keyholder_start(&w->options, &w->client, &w->hello, &e);
    w->options.in_child = NULL;
    return st;
}

/* The first call behind its start, when all keys are there. */
static uint64_t calls_of_a_start(world *w)
{
    uint64_t low = 1, high = 4096;

    while (low < high) {
        uint64_t at = (low + high) / 2;

        if (start_killed_at(w, &at) == EMK_OK) {
            stop(w);
            high = at;
        } else {
            low = at + 1;
        }
    }
    return low;
}

/* At each system call of the change in turn, until one is not reached any more. */
static void a_kill_leaves_the_old_key_or_the_new_one(void **state)
{
    world *first = *state;
    unsigned seen[3] = {0};
    bool killed = true;

    stop(first);
    for (uint64_t at = calls_of_a_start(first); killed; at++) {
        world w = {.dir = emk_test_dir_make(), .crypto = first->crypto};
        emk_keyholder_keys keys;
        uint8_t old[32];
        emk_error e = {0};

        w.options = first->options;
        w.options.dir = w.dir;
        start(&w);
        memcpy(old, w.hello.issuer_public, sizeof old);
        stop(&w);
        permit(&w, (emk_permit){.action = EMK_KEY_ROTATE_ISSUER});
        if (start_killed_at(&w, &at) == EMK_OK) {
            killed = rotate(&w, EMK_SIGNING_ISSUER, &keys) != EMK_OK;
            stop(&w);
        }
        start(&w);
        check_whole(&w, old);
        assert_ok(emk_keyholder_keys_get(w.client, &keys, &e), &e);
        seen[keys.issuers.n]++;
        /* And it goes on from there. */
        assert_int_equal(rotate_with(&w, true, &keys), EMK_OK);
        stop(&w);
        emk_test_dir_remove(w.dir);
    }
    assert_true(seen[1] > 1 && seen[2] > 1);
    start(first);
}

static void a_kill_leaves_no_half_first_key(void **state)
{
    world *first = *state;
    bool killed = true;

    stop(first);
    for (uint64_t at = calls_of_a_start(first), n = 0; killed; at++, n++) {
        uint8_t key[32] = {9};
        emk_error e = {0};

        if (start_killed_at(first, &at) == EMK_OK) {
            killed = emk_keyholder_escrow(first->client, n, key, &e) != EMK_OK;
            stop(first);
        }
        start(first);
        assert_ok(emk_keyholder_escrow(first->client, n, key, &e), &e);
        stop(first);
    }
    start(first);
}

#endif

/* ---- the record ---- */

static void a_line_that_was_cut_short_is_ended(void **state)
{
    world *w = *state;
    emk_record_line line = {.what = "begins", .must = true};
    char path[512];
    emk_error e = {0};

    snprintf(path, sizeof path, "%s/%s", w->dir, EMK_RECORD_FILE);
    assert_ok(emk_os_write_file(path, emk_span_str("2026-01-01T00:00:00Z beg"), &e), &e);
    assert_ok(emk_record_append(w->dir, &line, &e), &e);
    assert_ok(emk_record_append(w->dir, &line, &e), &e);
    assert_int_equal(lines(w, "\n"), 3);
    assert_int_equal(lines(w, "Z begins\n"), 2);
}

static void a_full_record_takes_changes_only(void **state)
{
    world *w = *state;
    emk_record_line line = {.what = "refused"};
    char path[512];
    struct stat was, is;
    emk_error e = {0};

    snprintf(path, sizeof path, "%s/%s", w->dir, EMK_RECORD_FILE);
    assert_int_equal(truncate(path, EMK_RECORD_FULL), 0);
    assert_int_equal(stat(path, &was), 0);
    assert_ok(emk_record_append(w->dir, &line, &e), &e);
    assert_int_equal(stat(path, &is), 0);
    assert_int_equal(was.st_size, is.st_size);
    line.must = true;
    assert_ok(emk_record_append(w->dir, &line, &e), &e);
    assert_int_equal(stat(path, &is), 0);
    assert_true(was.st_size < is.st_size);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

#ifdef EMK_FAULTS
#define KILLS RULE(a_kill_leaves_the_old_key_or_the_new_one), RULE(a_kill_leaves_no_half_first_key),
#else
#define KILLS
#endif

int main(void)
{
    return EMK_RUN(
        emk_rule(wants_a_permit_for_this_change_and_this_time),
        emk_rule(renews_the_sealing_key_without_a_permit_in_its_last_third_only),
        emk_rule(forgets_no_key_that_is_needed_whoever_says_so),
        emk_rule(retires_before_the_time_by_force_only), emk_rule(waits_an_hour_between_rotations),
        emk_rule(rejects_permits_that_are_not_whole), RULE(a_permit_that_others_may_read_is_none),
        RULE(a_permit_is_good_for_one_change), RULE(keeps_eight_keys_and_none_less_that_is_needed),
        RULE(one_change_at_a_time), RULE(what_another_process_changed_is_not_overwritten),
        RULE(a_taken_over_client_changes_no_key),
        RULE(a_taken_over_client_escrows_one_chain_and_overwrites_none),
        KILLS RULE(a_line_that_was_cut_short_is_ended), RULE(a_full_record_takes_changes_only));
}
