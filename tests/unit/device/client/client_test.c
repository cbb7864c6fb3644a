/* What a delivery goes through, and everything that is refused on the way. */
#include "core/base/os_mem.h"
#include "tests/unit/device/client/stage.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static emk_receipt receipt_of(stage *s)
{
    emk_keystore_keys keys;
    emk_verify_key *key = NULL;
    emk_receipt out = {.outcome = 99};
    emk_error e = {0};

    assert_ok(emk_keystore_public_keys(&s->keystore, &keys, &e), &e);
    assert_ok(emk_cose_verify_key(s->crypto, emk_span_of(keys.signing, 65), &key, &e), &e);
    assert_ok(emk_receipt_verify(s->crypto, emk_buf_span(&s->receipt), key, &out, &e), &e);
    emk_verify_key_free(key);
    assert_memory_equal(out.ticket_id, s->ticket_id, 16);
    return out;
}

/* Nothing of a refused delivery stays, and the request still waits. */
static void assert_refused(stage *s, emk_status want)
{
    emk_error e = {0};

    assert_status(stage_accept(s, &e), want, &e);
    assert_int_equal(stage_count(s, ".tmp-"), 0);
    assert_int_equal(stage_count(s, s->name), 0);
}

static void model_goes_from_request_to_open(void **state)
{
    static const uint16_t kems[] = {0, EMK_KEM_X25519, EMK_KEM_P256, EMK_KEM_XWING};
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        emk_receipt r;
        stage s;

        stage_init(&s, NULL, false);
        s.want.kem = kems[i];
        if (kems[i] == EMK_KEM_XWING && !emk_kem_is_supported(s.crypto, EMK_KEM_XWING)) {
            assert_status(emk_client_request(s.client, &s.want, &s.request, s.hash, &e),
                          EMK_E_UNSUPPORTED, &e);
            stage_done(&s);
            continue;
        }
        stage_deliver(&s);
        assert_int_equal(stage_secrets(&s), 1);
        stage_restart(&s); /* the answer may reach another process */
        assert_ok(stage_accept(&s, &e), &e);
        r = receipt_of(&s);
        assert_int_equal(r.outcome, EMK_OK);
        assert_int_equal(r.time, NOW);
        assert_int_equal(stage_secrets(&s), 0);
        assert_int_equal(stage_count(&s, ".pending"), 0);
        assert_int_equal(stage_count(&s, ".tmp-"), 0);
        stage_restart(&s);
        assert_ok(stage_open(&s, &e), &e);
        assert_ok(stage_open(&s, &e), &e);
        stage_done(&s);
    }
}

static void file_is_accepted_from_a_descriptor(void **state)
{
    emk_client_accepted out;
    emk_client_delivery in;
    emk_source source;
    char path[PATH_CAP];
    emk_error e = {0};
    stage s;
    int fd;

    (void)state;
    stage_init(&s, NULL, false);
    stage_deliver(&s);
    snprintf(path, sizeof path, "%s/delivered.emk", s.dir);
    assert_ok(emk_os_write_file(path, emk_buf_span(&s.sealed), &e), &e);
    assert_ok(emk_os_open_read(path, &fd, &e), &e);
    assert_ok(emk_source_from_fd(&fd, &source, &e), &e);
    in = (emk_client_delivery){.ticket = emk_buf_span(&s.ticket), .sealed = &source};
    assert_ok(emk_client_accept(s.client, &in, &out, NULL, &e), &e);
    emk_os_close(fd);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

static void works_with_a_holder_that_keeps_nothing(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, true);
    s.policy.max_opens = 2;
    s.policy.release = 3;
    stage_deliver(&s);
    assert_int_equal(stage_count(&s, ".pending"), 0);
    assert_ok(stage_accept(&s, &e), &e);
    assert_status(stage_accept(&s, &e), EMK_E_USED, &e);
    assert_ok(stage_open(&s, &e), &e);
    assert_ok(stage_open(&s, &e), &e);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);

    stage_deliver(&s);
    stage_restart(&s); /* the key died with the client */
    assert_refused(&s, EMK_E_USED);
    stage_done(&s);
}

static void rejects_second_accept(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    assert_status(stage_accept(&s, &e), EMK_E_USED, &e);
    assert_int_equal(receipt_of(&s).outcome, EMK_E_USED);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e);
    assert_refused(&s, EMK_E_USED); /* not even when the entry is gone */
    stage_done(&s);
}

static void rejects_second_answer_to_one_request(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_issue(&s); /* another ticket for the same request */
    stage_seal(&s);
    assert_refused(&s, EMK_E_USED);
    stage_done(&s);
}

static void rejects_other_device(void **state)
{
    stage a, b;
    emk_error e = {0};

    (void)state;
    stage_init(&a, NULL, false);
    stage_init(&b, &a, false);
    stage_deliver(&a);
    b.ticket.len = b.sealed.len = 0;
    assert_ok(emk_buf_append(&b.ticket, emk_buf_span(&a.ticket), &e), &e);
    assert_ok(emk_buf_append(&b.sealed, emk_buf_span(&a.sealed), &e), &e);
    memcpy(b.name, a.name, sizeof b.name);
    assert_refused(&b, EMK_E_SEALED);
    assert_int_equal(b.receipt.len, 0); /* not this device's to tell */
    stage_done(&b);
    stage_done(&a);
}

static void vault_copied_to_another_device_does_not_open(void **state)
{
    char from[PATH_CAP], to[PATH_CAP];
    stage a, b;
    emk_error e = {0};

    (void)state;
    stage_init(&a, NULL, false);
    stage_init(&b, &a, false);
    stage_install(&a);
    memcpy(b.name, a.name, sizeof b.name);
    stage_entry_path(&a, from);
    stage_entry_path(&b, to);
    stage_copy_file(from, to);
    assert_status(stage_open(&b, &e), EMK_E_KEY_LOST, &e);
    stage_done(&b);
    stage_done(&a);
}

static void rejects_ticket_of_another_issuer(void **state)
{
    stage s, other;

    (void)state;
    stage_init(&s, NULL, false);
    stage_init(&other, NULL, false);
    stage_deliver(&s);
    s.issuer = other.issuer;
    stage_issue(&s);
    assert_refused(&s, EMK_E_SIGNATURE);
    assert_int_equal(s.receipt.len, 0);
    stage_done(&other);
    stage_done(&s);
}

static void rejects_file_of_a_sealer_that_another_issuer_certified(void **state)
{
    emk_error e = {0};
    stage s, other;

    (void)state;
    stage_init(&s, NULL, false);
    stage_init(&other, NULL, false);
    stage_request(&s);
    stage_issue(&s);
    s.sealer = other.sealer;
    s.sealer_certificate.len = 0;
    assert_ok(emk_buf_append(&s.sealer_certificate, emk_buf_span(&other.sealer_certificate), &e),
              &e);
    stage_seal(&s);
    assert_refused(&s, EMK_E_SIGNATURE);
    assert_int_equal(receipt_of(&s).outcome, EMK_E_SIGNATURE);
    stage_done(&other);
    stage_done(&s);
}

static void any_pinned_issuer_will_do(void **state)
{
    emk_error e = {0};
    stage s, other;

    (void)state;
    stage_init(&s, NULL, false);
    stage_init(&other, NULL, false);
    s.also = &other.issuer; /* pinned before the one that signs */
    stage_restart(&s);
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&other);
    stage_done(&s);
}

static void rejects_ticket_of_another_request(void **state)
{
    emk_buf first_sealed;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    emk_buf_init(&first_sealed, 1u << 24);
    stage_deliver(&s);
    assert_ok(emk_buf_append(&first_sealed, emk_buf_span(&s.sealed), &e), &e);
    stage_deliver(&s);
    /* the first request's file under the second's ticket */
    s.sealed.len = 0;
    assert_ok(emk_buf_append(&s.sealed, emk_buf_span(&first_sealed), &e), &e);
    assert_refused(&s, EMK_E_SIGNATURE);
    assert_int_equal(receipt_of(&s).outcome, EMK_E_SIGNATURE);
    assert_int_equal(stage_secrets(&s), 2);
    stage_seal(&s);
    assert_ok(stage_accept(&s, &e), &e);
    assert_int_equal(stage_secrets(&s), 1);
    emk_buf_done(&first_sealed);
    stage_done(&s);
}

/* A ticket whose request hash and request key do not belong together. */
static void rejects_ticket_that_names_another_request_key(void **state)
{
    emk_request second;
    emk_ticket t;
    uint8_t first_hash[32];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_request(&s);
    memcpy(first_hash, s.hash, 32);
    stage_request(&s);
    assert_ok(
        emk_request_verify(s.crypto, emk_buf_span(&s.request), s.issuer_public, NOW, &second, &e),
        &e);
    emk_ticket_answer(&second, &t);
    memset(t.id, 7, 16);
    memset(s.ticket_id, 7, 16);
    memcpy(t.request_hash, first_hash, 32);
    t.policy = s.policy;
    t.issued = NOW;
    t.expires = NOW + 600;
    s.ticket.len = 0;
    assert_ok(emk_ticket_sign(s.crypto, &s.issuer, &t, &s.ticket, &e), &e);
    stage_seal(&s);
    memset(s.name, '7', 32);
    assert_refused(&s, EMK_E_SEALED);
    stage_done(&s);
}

static void rejects_expired_ticket(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_deliver(&s);
    s.now = NOW + 600;
    assert_refused(&s, EMK_E_POLICY);
    assert_int_equal(receipt_of(&s).outcome, EMK_E_POLICY);
    s.now = NOW + 599;
    assert_ok(stage_accept(&s, &e), &e);
    stage_done(&s);
}

static void request_key_is_destroyed_after_a_day(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_deliver(&s);
    s.now = NOW + EMK_CLIENT_PENDING_MAX_S + 1;
    stage_deliver(&s);
    assert_int_equal(stage_secrets(&s), 1);
    assert_int_equal(stage_count(&s, ".pending"), 1);
    s.policy.expires = s.now + 100;
    stage_issue(&s);
    stage_seal(&s);
    assert_ok(stage_accept(&s, &e), &e);
    stage_done(&s);
}

static void only_so_many_requests_wait(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    for (size_t i = 0; i < EMK_CLIENT_PENDING_MAX; i++)
        stage_request(&s);
    s.request.len = 0;
    assert_status(emk_client_request(s.client, &s.want, &s.request, s.hash, &e), EMK_E_LIMIT, &e);
    assert_int_equal(s.request.len, 0);
    stage_done(&s);
}

static void rejects_tampering_anywhere_and_leaves_the_vault_alone(void **state)
{
    uint32_t x = 12345;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_deliver(&s);
    for (size_t i = 0; i < 200; i++) {
        size_t at;
        emk_status st;

        x = x * 1664525u + 1013904223u;
        at = i < 60 ? i * s.sealed.len / 60 : x % s.sealed.len;
        if (i >= 60 && i < 130)
            at = x % 900; /* preamble and header */
        s.sealed.p[at] ^= (uint8_t)(1u << (x >> 29));
        st = stage_accept(&s, &e);
        assert_true(st == EMK_E_SEALED || st == EMK_E_SIGNATURE || st == EMK_E_FORMAT ||
                    st == EMK_E_UNSUPPORTED || st == EMK_E_LIMIT);
        if (at > 2000)
            assert_status(st, EMK_E_SEALED, &e);
        assert_int_equal(receipt_of(&s).outcome, st);
        assert_int_equal(stage_count(&s, ".emkv"), 0);
        s.sealed.p[at] ^= (uint8_t)(1u << (x >> 29));
    }
    s.sealed.len--;
    assert_refused(&s, EMK_E_FORMAT);
    s.sealed.len++;
    assert_ok(stage_accept(&s, &e), &e); /* fetched again, whole */
    stage_done(&s);
}

static void rejects_a_damaged_vault_entry(void **state)
{
    char path[PATH_CAP], good[PATH_CAP];
    uint32_t x = 777;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    snprintf(good, sizeof good, "%s/good", s.dir);
    stage_copy_file(path, good);
    for (size_t i = 0; i < 60; i++) {
        uint64_t size = 0, at;
        uint8_t byte;
        emk_status st;
        int fd;

        stage_copy_file(good, path);
        assert_ok(emk_os_open_update(path, &fd, &e), &e);
        assert_ok(emk_os_file_size(fd, &size, &e), &e);
        x = x * 1664525u + 1013904223u;
        at = i % 2 ? size - 1 - x % MODEL_LEN : x % 400; /* the model's bytes; the header */
        assert_ok(emk_os_read_at(fd, at, &byte, 1, &e), &e);
        byte ^= 0x20;
        assert_ok(emk_os_write_at(fd, at, &byte, 1, &e), &e);
        emk_os_close(fd);
        st = stage_open(&s, &e);
        assert_int_not_equal(st, EMK_OK);
        if (i % 2)
            assert_status(st, EMK_E_SEALED, &e);
    }
    stage_copy_file(good, path);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

/* ---- policy: each rule alone ---- */

static void policy_expires(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    s.now = NOW + 86399;
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + 86400;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);

    stage_init(&s, NULL, false);
    s.policy.expires = NOW;
    stage_deliver(&s);
    assert_refused(&s, EMK_E_POLICY);
    stage_done(&s);
}

static void policy_not_before(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.not_before = NOW + 100;
    stage_deliver(&s);
    assert_refused(&s, EMK_E_POLICY);
    s.now = NOW + 100;
    assert_ok(stage_accept(&s, &e), &e);
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + 99;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

/* A clock that is behind the ticket's time of issue does not decide. */
static void a_clock_put_back_does_not_decide(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.not_before = NOW - 1;
    s.policy.max_opens = 9;
    stage_install(&s);
    s.now = 5;
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + 1000; /* a counted open raises the floor */
    assert_ok(stage_open(&s, &e), &e);
    s.now = 5;
    assert_ok(stage_open(&s, &e), &e);
    s.now = NOW + 86400;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void policy_max_opens(void **state)
{
    emk_client_ask ask;
    emk_opened *o = NULL;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 3;
    stage_install(&s);
    ask = stage_ask(&s);
    assert_ok(stage_open(&s, &e), &e);
    assert_ok(emk_client_open(s.client, s.name, &ask, &o, &e), &e);
    assert_int_equal(emk_opened_opens_left(o), 1);
    assert_int_equal(emk_opened_expires(o), NOW + 86400);
    emk_opened_close(o);
    stage_restart(&s);
    assert_ok(stage_open(&s, &e), &e);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void policy_user_app_and_use(void **state)
{
    emk_client_want all = {.model = emk_span_str("cat-ears"),
                           .user = emk_span_str("u-17"),
                           .app = emk_span_str("cam"),
                           .use = emk_span_str("video-9")};
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.want = all;
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    s.want.user = emk_span_str("u-18");
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    s.want.user = emk_span_str("");
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    s.want = all;
    s.want.app = emk_span_str("");
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    s.want = all;
    s.want.use = emk_span_str("video-8");
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void policy_min_guard(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.min_guard = 2;
    stage_deliver(&s);
    assert_refused(&s, EMK_E_POLICY);
    s.guard = 2;
    stage_restart(&s);
    assert_ok(stage_accept(&s, &e), &e);
    assert_int_equal(receipt_of(&s).guard, 2);
    assert_ok(stage_open(&s, &e), &e);
    s.guard = 1;
    stage_restart(&s);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_done(&s);
}

static void policy_lease(void **state)
{
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.lease_s = 60;
    stage_deliver(&s);
    s.lease.len = 0; /* lost on the way */
    assert_refused(&s, EMK_E_POLICY);
    stage_done(&s);
}

static void policy_memory(void **state)
{
    emk_client_ask ask;
    emk_opened *o = NULL;
    emk_error e = {0};
    emk_status st;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.memory = EMK_POLICY_MEMORY_SECRET;
    s.policy.max_opens = 1;
    stage_install(&s);
    ask = stage_ask(&s);
    st = emk_client_open(s.client, s.name, &ask, &o, &e);
    if (st == EMK_OK) {
        assert_int_equal(emk_opened_memory(o), EMK_POLICY_MEMORY_SECRET);
        emk_opened_close(o);
    } else { /* a machine without such memory; and the open was not counted */
        assert_false(emk_os_has_secret_memory() && emk_os_lock_limit() > (uint64_t)2 * MODEL_LEN);
        assert_status(st, EMK_E_POLICY, &e);
        assert_non_null(strstr(e.what, "secret memory"));
        assert_status(emk_client_open(s.client, s.name, &ask, &o, &e), EMK_E_POLICY, &e);
        assert_non_null(strstr(e.what, "secret memory"));
    }
    stage_done(&s);

    stage_init(&s, NULL, false);
    stage_install(&s);
    ask = stage_ask(&s);
    ask.memory = EMK_POLICY_MEMORY_LOCKED;
    st = emk_client_open(s.client, s.name, &ask, &o, &e);
    if (st == EMK_OK) {
        assert_int_equal(emk_opened_memory(o), EMK_POLICY_MEMORY_LOCKED);
        emk_opened_close(o);
    } else {
        assert_status(st, EMK_E_LIMIT, &e); /* the asker's wish, not the policy's */
    }
    stage_done(&s);
}

static void an_opened_model_cannot_be_written(void **state)
{
    emk_client_ask ask;
    emk_opened *o = NULL;
    emk_error e = {0};
    pid_t pid;
    stage s;
    int st;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    ask = stage_ask(&s);
    assert_ok(emk_client_open(s.client, s.name, &ask, &o, &e), &e);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)emk_opened_bytes(o).p;

        signal(SIGSEGV, SIG_DFL); /* the test library's handler would go on */
        p[0] = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
    assert_bytes(emk_opened_bytes(o), emk_span_of(s.model, MODEL_LEN));
    emk_opened_close(o);
    stage_done(&s);
}

static void lower_release_is_stale_once_a_higher_was_accepted(void **state)
{
    char old_name[EMK_CLIENT_NAME_LEN + 1];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.release = 4;
    stage_install(&s);
    memcpy(old_name, s.name, sizeof old_name);
    s.policy.release = 4;
    stage_install(&s);
    s.policy.release = 5;
    stage_install(&s);
    s.policy.release = 4;
    stage_deliver(&s);
    assert_refused(&s, EMK_E_STALE);
    memcpy(s.name, old_name, sizeof old_name);
    assert_status(stage_open(&s, &e), EMK_E_STALE, &e);

    s.want.model = emk_span_str("dog-nose"); /* another model has releases of its own */
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    stage_done(&s);
}

/* ---- rollback ---- */

static void an_old_copy_that_is_put_back_is_stale(void **state)
{
    char path[PATH_CAP], copy[PATH_CAP];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 2;
    stage_install(&s);
    stage_entry_path(&s, path);
    snprintf(copy, sizeof copy, "%s/copy", s.dir);
    stage_copy_file(path, copy);
    assert_ok(stage_open(&s, &e), &e);
    assert_ok(stage_open(&s, &e), &e);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    stage_copy_file(copy, path);
    assert_status(stage_open(&s, &e), EMK_E_STALE, &e);
    stage_done(&s);
}

static void a_removed_entry_that_is_put_back_is_stale(void **state)
{
    char path[PATH_CAP], copy[PATH_CAP];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    snprintf(copy, sizeof copy, "%s/copy", s.dir);
    stage_copy_file(path, copy);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e);
    assert_status(stage_open(&s, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_client_remove(s.client, s.name, &e), EMK_E_NOT_FOUND, &e);
    stage_copy_file(copy, path);
    assert_status(stage_open(&s, &e), EMK_E_STALE, &e);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e); /* but can be removed again */
    stage_done(&s);
}

static emk_status key_is_gone(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    (void)self;
    (void)peer;
    (void)x;
    return emk_fail(e, EMK_E_KEY_LOST, "test: the operating system destroyed it", 0);
}

static void lost_key_is_told_as_such_and_its_entries_can_be_removed(void **state)
{
    emk_keystore_ops ops;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    ops = *s.keystore.ops;
    ops.agree = key_is_gone;
    s.keystore.ops = &ops;
    assert_status(stage_open(&s, &e), EMK_E_KEY_LOST, &e);
    stage_deliver(&s);
    assert_refused(&s, EMK_E_KEY_LOST);
    assert_int_equal(receipt_of(&s).outcome, EMK_E_KEY_LOST);
    stage_done(&s);

    stage_init(&s, NULL, false);
    stage_install(&s);
    ops = *s.keystore.ops;
    ops.agree = key_is_gone;
    s.keystore.ops = &ops;
    assert_ok(emk_client_remove(s.client, s.name, &e), &e);
    assert_int_equal(stage_count(&s, ".emkv"), 0);
    stage_done(&s);
}

/* ---- finding, listing, removing ---- */

static void a_model_is_opened_by_its_name(void **state)
{
    emk_client_ask ask;
    emk_opened *o = NULL;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    ask = stage_ask(&s);
    assert_status(emk_client_open(s.client, "cat-ears", &ask, &o, &e), EMK_E_NOT_FOUND, &e);
    stage_install(&s);
    s.model[0] ^= 0xFF; /* accepted later: this one is wanted */
    s.now += 10;
    stage_install(&s);
    s.want.user = emk_span_str("u-18"); /* and not somebody else's */
    s.model[1] ^= 0xFF;
    s.now += 10;
    stage_install(&s);
    s.model[1] ^= 0xFF;
    assert_ok(emk_client_open(s.client, "cat-ears", &ask, &o, &e), &e);
    assert_bytes(emk_opened_bytes(o), emk_span_of(s.model, MODEL_LEN));
    emk_opened_close(o);
    ask.user = emk_span_str("u-19");
    assert_status(emk_client_open(s.client, "cat-ears", &ask, &o, &e), EMK_E_POLICY, &e);
    assert_status(emk_client_open(s.client, "dog-nose", &ask, &o, &e), EMK_E_NOT_FOUND, &e);
    stage_done(&s);
}

typedef struct seen {
    size_t n, bad;
    uint64_t opens;
} seen;

static emk_status see(void *self, const emk_client_entry *entry, emk_error *e)
{
    seen *s = self;

    (void)e;
    s->n++;
    if (entry->status != EMK_OK) {
        s->bad++;
        assert_null(entry->identity);
        return EMK_OK;
    }
    assert_bytes(entry->identity->model, emk_span_str("cat-ears"));
    assert_int_equal(entry->policy->expires, NOW + 86400);
    assert_int_equal(entry->model_len, MODEL_LEN);
    s->opens += entry->record->opens;
    return EMK_OK;
}

static void list_shows_each_entry_and_what_is_wrong_with_it(void **state)
{
    char path[PATH_CAP];
    seen all = {0};
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 5;
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    stage_install(&s);
    stage_entry_path(&s, path);
    assert_ok(emk_os_write_file(path, emk_span_str("not an entry"), &e), &e);
    assert_ok(emk_client_list(s.client, see, &all, &e), &e);
    assert_int_equal(all.n, 2);
    assert_int_equal(all.bad, 1);
    assert_int_equal(all.opens, 1);
    assert_ok(emk_client_remove(s.client, s.name, &e), &e); /* the damaged one too */
    assert_int_equal(stage_count(&s, ".emkv"), 1);
    stage_done(&s);
}

static void names_that_are_none_are_not_found(void **state)
{
    static const char *const names[] = {"",
                                        "..",
                                        "../vault",
                                        "0123456789abcdef0123456789abcdeg",
                                        "0123456789ABCDEF0123456789ABCDEF",
                                        "0123456789abcdef0123456789abcdef",
                                        "0123456789abcdef0123456789abcdef/"};
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_status(emk_client_remove(s.client, names[i], &e), EMK_E_NOT_FOUND, &e);
        assert_status(emk_client_rewrap(s.client, names[i], NULL, &e), EMK_E_NOT_FOUND, &e);
    }
    stage_done(&s);
}

/* ---- re-wrap ---- */

static void rewrapped_entry_opens_and_its_old_copy_does_not(void **state)
{
    char path[PATH_CAP], copy[PATH_CAP];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    stage_entry_path(&s, path);
    snprintf(copy, sizeof copy, "%s/copy", s.dir);
    stage_copy_file(path, copy);
    assert_ok(emk_client_rewrap(s.client, s.name, NULL, &e), &e);
    assert_ok(stage_open(&s, &e), &e);
    assert_ok(emk_client_rewrap(s.client, s.name, NULL, &e), &e);
    assert_ok(stage_open(&s, &e), &e);
    stage_copy_file(copy, path);
    assert_status(stage_open(&s, &e), EMK_E_STALE, &e);
    stage_done(&s);
}

/* A client with the second holder's keys over the first one's vault. */
static emk_client *successor(stage *s, const stage *second, bool says_so)
{
    emk_span pinned = emk_span_of(s->issuer.public_key, s->issuer.public_len);
    uint8_t former[1][EMK_DEVICE_ID_LEN];
    emk_client_config config = {.crypto = s->crypto,
                                .keystore = &second->keystore,
                                .vault = s->vault,
                                .issuers = &pinned,
                                .n_issuers = 1,
                                .former = (const uint8_t(*)[EMK_DEVICE_ID_LEN])former,
                                .n_former = says_so ? 1 : 0};
    emk_client *cl = NULL;
    emk_error e = {0};

    memcpy(former[0], emk_client_device_id(s->client), EMK_DEVICE_ID_LEN);
    assert_ok(emk_client_new(&config, &cl, &e), &e);
    return cl;
}

static void entry_rewrapped_to_another_holder_moves_there(void **state)
{
    emk_client_ask ask;
    emk_client *cl;
    emk_opened *o = NULL;
    emk_error e = {0};
    stage a, b;

    (void)state;
    stage_init(&a, NULL, false);
    stage_init(&b, &a, false);
    a.policy.expires = UINT64_MAX;
    stage_install(&a);
    ask = stage_ask(&a);
    cl = successor(&a, &b, true);
    assert_status(emk_client_open(cl, a.name, &ask, &o, &e), EMK_E_KEY_LOST, &e);
    assert_ok(emk_client_rewrap(a.client, a.name, &b.keystore, &e), &e);
    assert_ok(emk_client_open(cl, a.name, &ask, &o, &e), &e);
    assert_bytes(emk_opened_bytes(o), emk_span_of(a.model, MODEL_LEN));
    emk_opened_close(o);
    emk_client_free(cl);
    assert_status(stage_open(&a, &e), EMK_E_STALE, &e);
    cl = successor(&a, &b, false); /* the identity names the device it was */
    assert_status(emk_client_open(cl, a.name, &ask, &o, &e), EMK_E_POLICY, &e);
    emk_client_free(cl);
    stage_done(&b);
    stage_done(&a);
}

/* ---- enrolment ---- */

static void certificate_must_be_this_devices_and_the_issuers(void **state)
{
    emk_device_certificate cert = {.issued = NOW, .not_after = NOW + 10};
    emk_enrolment enrolment;
    emk_error e = {0};
    emk_buf a, b;
    stage s, other;

    (void)state;
    emk_buf_init(&a, EMK_MESSAGE_MAX);
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    stage_init(&s, NULL, false);
    stage_init(&other, NULL, false);
    assert_ok(emk_client_enrolment(s.client, emk_span_str("x"), &a, &e), &e);
    assert_ok(emk_enrolment_verify(s.crypto, emk_buf_span(&a), &enrolment, &e), &e);
    cert.signing_key = enrolment.signing_key;
    cert.agree = enrolment.agree;
    assert_ok(emk_device_certificate_sign(s.crypto, &other.issuer, &cert, &b, &e), &e);
    assert_status(emk_client_set_certificate(s.client, emk_buf_span(&b), &e), EMK_E_SIGNATURE, &e);
    assert_status(emk_client_set_certificate(other.client, emk_buf_span(&b), &e), EMK_E_SEALED, &e);
    b.len = 0;
    assert_ok(emk_device_certificate_sign(s.crypto, &s.issuer, &cert, &b, &e), &e);
    assert_ok(emk_client_set_certificate(s.client, emk_buf_span(&b), &e), &e);
    s.now = NOW + 10;
    assert_status(emk_client_set_certificate(s.client, emk_buf_span(&b), &e), EMK_E_POLICY, &e);
    s.request.len = 0;
    assert_status(emk_client_request(s.client, &s.want, &s.request, s.hash, &e), EMK_E_POLICY, &e);
    emk_buf_done(&a);
    emk_buf_done(&b);
    stage_done(&other);
    stage_done(&s);
}

static void request_needs_a_certificate(void **state)
{
    char path[PATH_CAP];
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    snprintf(path, sizeof path, "%s/certificate", s.vault);
    assert_ok(emk_os_remove(path, &e), &e);
    assert_status(emk_client_request(s.client, &s.want, &s.request, s.hash, &e), EMK_E_NOT_FOUND,
                  &e);
    stage_done(&s);
}

static void refuses_a_want_that_no_request_can_say(void **state)
{
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.want.kem = EMK_KEM_MLKEM768_P256;
    assert_status(emk_client_request(s.client, &s.want, &s.request, s.hash, &e), EMK_E_USAGE, &e);
    s.want.kem = 0;
    s.want.user = emk_span_str("");
    assert_status(emk_client_request(s.client, &s.want, &s.request, s.hash, &e), EMK_E_USAGE, &e);
    assert_int_equal(stage_secrets(&s), 0);
    stage_done(&s);
}

static void refuses_a_configuration_that_is_none(void **state)
{
    static const uint8_t off_curve[65] = {4};
    emk_client_config good, bad;
    emk_client *cl = NULL;
    emk_span pinned;
    emk_keystore_ops ops;
    emk_keystore half;
    emk_error e = {0};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    pinned = emk_span_of(s.issuer.public_key, s.issuer.public_len);
    good = (emk_client_config){.crypto = s.crypto,
                               .keystore = &s.keystore,
                               .vault = s.vault,
                               .issuers = &pinned,
                               .n_issuers = 1};
    bad = good;
    bad.n_issuers = 0;
    assert_status(emk_client_new(&bad, &cl, &e), EMK_E_USAGE, &e);
    bad = good;
    bad.guard = 4;
    assert_status(emk_client_new(&bad, &cl, &e), EMK_E_USAGE, &e);
    bad = good;
    bad.vault = "";
    assert_status(emk_client_new(&bad, &cl, &e), EMK_E_USAGE, &e);
    bad = good;
    ops = *s.keystore.ops;
    half = (emk_keystore){.ops = &ops, .self = s.keystore.self};
    bad.keystore = &half;
    ops.sign = NULL;
    assert_status(emk_client_new(&bad, &cl, &e), EMK_E_USAGE, &e);
    ops = *s.keystore.ops;
    ops.secret_delete = NULL;
    assert_status(emk_client_new(&bad, &cl, &e), EMK_E_USAGE, &e);
    pinned = emk_span_of(off_curve, 65);
    assert_status(emk_client_new(&good, &cl, &e), EMK_E_FORMAT, &e);
    stage_done(&s);
}

/* ---- several processes ---- */

/* Runs fn in n children at once and counts those that return EMK_OK; others must be `else_`. */
static size_t in_children(stage *s, size_t n, emk_status (*fn)(stage *s, emk_error *e),
                          const emk_status *allowed)
{
    size_t ok = 0;
    pid_t pids[64];
    int gate[2], status;
    char c;

    assert_int_equal(pipe(gate), 0);
    for (size_t i = 0; i < n; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(gate[1]);
            stage_enter_child(s);
            if (read(gate[0], &c, 1) != 0) /* until the parent opens it */
                _exit(99);
            _exit((int)fn(s, NULL));
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == EMK_OK)
            ok++;
        else
            assert_true(WEXITSTATUS(status) == (int)allowed[0] ||
                        WEXITSTATUS(status) == (int)allowed[1]);
    }
    return ok;
}

static void opens_are_counted_once_each_by_racing_processes(void **state)
{
    static const emk_status refusals[] = {EMK_E_POLICY, EMK_E_POLICY};
    emk_error e = {0};
    stage s;

    (void)state;
    for (int i = 0; i < 5; i++) {
        stage_init(&s, NULL, false);
        s.policy.max_opens = 2;
        stage_install(&s);
        assert_int_equal(in_children(&s, 5, stage_open, refusals), 2);
        assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
        stage_done(&s);
    }
}

static void opens_are_exact_under_64_processes(void **state)
{
    static const emk_status refusals[] = {EMK_E_POLICY, EMK_E_POLICY};
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    s.policy.max_opens = 40;
    stage_install(&s);
    assert_int_equal(in_children(&s, 64, stage_open, refusals), 40);
    assert_int_equal(in_children(&s, 64, stage_open, refusals), 0);
    stage_done(&s);
}

static void only_one_of_racing_processes_accepts(void **state)
{
    static const emk_status refusals[] = {EMK_E_USED, EMK_E_BUSY};
    emk_error e = {0};
    stage s;

    (void)state;
    for (int i = 0; i < 5; i++) {
        stage_init(&s, NULL, false);
        stage_deliver(&s);
        assert_int_equal(in_children(&s, 4, stage_accept, refusals), 1);
        assert_ok(stage_open(&s, &e), &e);
        assert_int_equal(stage_secrets(&s), 0);
        assert_int_equal(stage_count(&s, ".tmp-"), 0);
        assert_int_equal(stage_count(&s, ".pending"), 0);
        stage_done(&s);
    }
}

int main(void)
{
    return EMK_RUN(
        emk_rule(model_goes_from_request_to_open), emk_rule(file_is_accepted_from_a_descriptor),
        emk_rule(works_with_a_holder_that_keeps_nothing), emk_rule(rejects_second_accept),
        emk_rule(rejects_second_answer_to_one_request), emk_rule(rejects_other_device),
        emk_rule(vault_copied_to_another_device_does_not_open),
        emk_rule(rejects_ticket_of_another_issuer),
        emk_rule(rejects_file_of_a_sealer_that_another_issuer_certified),
        emk_rule(any_pinned_issuer_will_do), emk_rule(rejects_ticket_of_another_request),
        emk_rule(rejects_ticket_that_names_another_request_key), emk_rule(rejects_expired_ticket),
        emk_rule(request_key_is_destroyed_after_a_day), emk_rule(only_so_many_requests_wait),
        emk_rule(rejects_tampering_anywhere_and_leaves_the_vault_alone),
        emk_rule(rejects_a_damaged_vault_entry), emk_rule(policy_expires),
        emk_rule(policy_not_before), emk_rule(a_clock_put_back_does_not_decide),
        emk_rule(policy_max_opens), emk_rule(policy_user_app_and_use), emk_rule(policy_min_guard),
        emk_rule(policy_lease), emk_rule(policy_memory),
        emk_rule(an_opened_model_cannot_be_written),
        emk_rule(lower_release_is_stale_once_a_higher_was_accepted),
        emk_rule(an_old_copy_that_is_put_back_is_stale),
        emk_rule(a_removed_entry_that_is_put_back_is_stale),
        emk_rule(lost_key_is_told_as_such_and_its_entries_can_be_removed),
        emk_rule(a_model_is_opened_by_its_name),
        emk_rule(list_shows_each_entry_and_what_is_wrong_with_it),
        emk_rule(names_that_are_none_are_not_found),
        emk_rule(rewrapped_entry_opens_and_its_old_copy_does_not),
        emk_rule(entry_rewrapped_to_another_holder_moves_there),
        emk_rule(certificate_must_be_this_devices_and_the_issuers),
        emk_rule(request_needs_a_certificate), emk_rule(refuses_a_want_that_no_request_can_say),
        emk_rule(refuses_a_configuration_that_is_none),
        emk_rule(opens_are_counted_once_each_by_racing_processes),
        emk_rule(opens_are_exact_under_64_processes),
        emk_rule(only_one_of_racing_processes_accepts));
}
