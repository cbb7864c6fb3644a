/* A client with a guard.  What the guard finds is played by the platform's table: an app that is
 * signed by somebody else from the moment the test says so. */
#include "core/proto/guard_summary.h"
#include "tests/unit/device/client/stage.h"

#include <earmark/guard.h>
#include <string.h>
#include <time.h>

static stage s;
static bool is_patched;
static uint8_t own_certificate[EMK_GUARD_HASH_LEN] = {1};

/* Another build of the app: what level 3 binds to is another hash.  The linker sends the client's
 * calls here. */
static bool is_other_build;
emk_status __real_emk_guard_binding(emk_guard *g, emk_guard_level level,
                                    uint8_t out[EMK_GUARD_HASH_LEN], emk_error *e);
emk_status __wrap_emk_guard_binding(emk_guard *g, emk_guard_level level,
                                    uint8_t out[EMK_GUARD_HASH_LEN], emk_error *e);

emk_status __wrap_emk_guard_binding(emk_guard *g, emk_guard_level level,
                                    uint8_t out[EMK_GUARD_HASH_LEN], emk_error *e)
{
    const emk_status st = __real_emk_guard_binding(g, level, out, e);

    if (is_other_build && level == EMK_GUARD_STRICT)
        out[0] ^= 1;
    return st;
}

static emk_status signer(void *self, uint8_t digest[EMK_GUARD_HASH_LEN], emk_error *e)
{
    (void)self;
    (void)e;
    memset(digest, is_patched ? 7 : 0, EMK_GUARD_HASH_LEN);
    digest[0] = 1;
    return EMK_OK;
}

static const emk_guard_platform_ops platform = {.size = sizeof platform, .signer = signer};

/* Sanitizers, valgrind and debuggers may be here: only the platform counts. */
static emk_guard *new_guard(const emk_crypto *crypto, emk_guard_level level)
{
    emk_guard_config config = {.crypto = crypto,
                               .level = level,
                               .platform = {.ops = &platform},
                               .signer = own_certificate};
    emk_guard *g = NULL;
    emk_error e = {0};

    for (unsigned i = 0; i < EMK_GUARD_SIGNALS; i++)
        config.overrides[i] = EMK_GUARD_DO_REPORT;
    config.overrides[EMK_GUARD_REPACKAGED] = 0;
    assert_ok(emk_guard_new(&config, &g, &e), &e);
    return g;
}

static void begin(emk_guard_level level, uint8_t min_guard)
{
    is_patched = false;
    is_other_build = false;
    stage_init(&s, NULL, false);
    s.policy.min_guard = min_guard;
    if (level)
        s.watcher = new_guard(s.crypto, level);
    stage_restart(&s);
}

static void finish(void)
{
    emk_guard *g = s.watcher;

    /* The client first: it listens to the guard. */
    emk_client_free(s.client);
    s.client = NULL;
    emk_guard_free(g);
    stage_done(&s);
}

static void opens_while_nothing_is_found(void **state)
{
    emk_error e = {0};

    (void)state;
    for (uint8_t level = 1; level <= 3; level++) {
        begin((emk_guard_level)level, level);
        stage_install(&s);
        assert_ok(stage_open(&s, &e), &e);
        finish();
    }
}

static void refuses_to_open_and_names_the_signal(void **state)
{
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_CAREFUL, 0);
    stage_install(&s);
    is_patched = true;
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "guard: the app is signed by somebody else");
    assert_int_equal(e.where, EMK_GUARD_REPACKAGED);
    finish();
}

static void refuses_to_accept_and_says_so_in_the_receipt(void **state)
{
    emk_verify_key *device = NULL;
    emk_guard_summary summary;
    emk_keystore_keys keys;
    emk_receipt receipt;
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_STRICT, 3);
    stage_deliver(&s);
    is_patched = true;
    assert_status(stage_accept(&s, &e), EMK_E_POLICY, &e);
    assert_ok(emk_keystore_public_keys(&s.soft, &keys, &e), &e);
    assert_ok(emk_cose_verify_key(s.crypto, emk_span_of(keys.signing, 65), &device, &e), &e);
    assert_ok(emk_receipt_verify(s.crypto, emk_buf_span(&s.receipt), device, &receipt, &e), &e);
    assert_int_equal(receipt.outcome, EMK_E_POLICY);
    assert_int_equal(receipt.guard, EMK_GUARD_STRICT);
    assert_ok(emk_guard_summary_read(receipt.summary, &summary, &e), &e);
    assert_int_equal(summary.action, EMK_GUARD_DO_WIPE);
    emk_verify_key_free(device);
    is_patched = false; /* too late: what was found stays found */
    assert_status(stage_accept(&s, &e), EMK_E_POLICY, &e);
    finish();
}

static void a_level_that_only_reports_refuses_where_the_policy_wants_more(void **state)
{
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_REPORT, 0);
    stage_install(&s);
    is_patched = true;
    assert_ok(stage_open(&s, &e), &e);
    finish();
    begin(EMK_GUARD_REPORT, 2); /* and it is no guard of that level either */
    stage_deliver(&s);
    assert_status(stage_accept(&s, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "policy: guard level is too low");
    finish();
}

static void wipes_what_is_open_when_it_is_strict(void **state)
{
    const emk_client_ask ask = {.user = emk_span_str("u-17"), .threads = 1};
    emk_opened *o = NULL;
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_STRICT, 0);
    stage_install(&s);
    assert_ok(emk_client_open(s.client, s.name, &ask, &o, &e), &e);
    is_patched = true;
    assert_false(emk_opened_is_wiped(o));
    emk_guard_round(s.watcher); /* no watchdog: the guard itself tells the client */
    assert_true(emk_opened_is_wiped(o));
    for (size_t i = 0; i < MODEL_LEN; i++)
        assert_int_equal(emk_opened_bytes(o).p[i], 0);
    emk_opened_close(o);
    finish();
}

static void keeps_what_is_open_when_it_is_careful(void **state)
{
    const emk_client_ask ask = {.user = emk_span_str("u-17"), .threads = 1};
    emk_opened *o = NULL;
    emk_error e = {0};
    uint64_t next;

    (void)state;
    begin(EMK_GUARD_CAREFUL, 2);
    stage_install(&s);
    assert_ok(emk_client_open(s.client, s.name, &ask, &o, &e), &e);
    is_patched = true;
    emk_guard_round(s.watcher);
    emk_client_tick(s.client, &next);
    assert_false(emk_opened_is_wiped(o));
    emk_opened_close(o);
    finish();
}

static void reads_no_more_tensors(void **state)
{
    emk_client_ask ask;
    emk_tensors *t = NULL;
    emk_span bytes;
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_STRICT, 3);
    stage_install(&s);
    ask = stage_ask(&s);
    assert_ok(emk_client_open_tensors(s.client, s.name, &ask, &t, &e), &e);
    assert_ok(emk_tensors_read(t, emk_span_str("first"), &bytes, &e), &e);
    is_patched = true;
    emk_guard_round(s.watcher);
    assert_status(emk_tensors_read(t, emk_span_str("second"), &bytes, &e), EMK_E_POLICY, &e);
    assert_int_equal(e.where, EMK_GUARD_REPACKAGED);
    emk_tensors_close(t);
    finish();
}

/* The file of an entry that was accepted under a guard, without one: no boolean opens it. */
static void an_entry_kept_under_a_guard_needs_one(void **state)
{
    emk_guard *g;
    emk_error e = {0};

    (void)state;
    for (uint8_t level = 2; level <= 3; level++) {
        begin((emk_guard_level)level, level);
        stage_install(&s);
        g = s.watcher;
        s.watcher = NULL;
        s.guard = 3; /* as the policy wants it */
        stage_restart(&s);
        assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
        assert_string_equal(e.what, "guard: this entry needs one, and there is none");
        s.watcher = g;
        stage_restart(&s);
        assert_ok(stage_open(&s, &e), &e);
        finish();
    }
}

static void an_entry_kept_without_a_guard_opens_with_one(void **state)
{
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_OFF, 2);
    s.guard = 3;
    stage_restart(&s);
    stage_install(&s);
    s.watcher = new_guard(s.crypto, EMK_GUARD_STRICT);
    stage_restart(&s);
    assert_ok(stage_open(&s, &e), &e);
    finish();
}

static void the_binding_changes_with_what_was_found_and_with_the_level(void **state)
{
    uint8_t clean[EMK_GUARD_HASH_LEN], again[EMK_GUARD_HASH_LEN], dirty[EMK_GUARD_HASH_LEN];
    emk_guard *g;
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_STRICT, 0);
    assert_ok(emk_guard_binding(s.watcher, EMK_GUARD_CAREFUL, clean, &e), &e);
    g = new_guard(s.crypto, EMK_GUARD_REPORT); /* its own level is not in it */
    assert_ok(emk_guard_binding(g, EMK_GUARD_CAREFUL, again, &e), &e);
    assert_memory_equal(clean, again, sizeof clean);
    assert_ok(emk_guard_binding(g, EMK_GUARD_STRICT, again, &e), &e);
    assert_memory_not_equal(clean, again, sizeof clean);
    is_patched = true;
    emk_guard_round(g);
    assert_ok(emk_guard_binding(g, EMK_GUARD_CAREFUL, dirty, &e), &e);
    assert_memory_not_equal(clean, dirty, sizeof clean);
    emk_guard_free(g);
    finish();
}

static void tells_the_issuer_in_requests_for_models_and_leases(void **state)
{
    emk_guard_summary first, second;
    emk_verify_key *device = NULL;
    emk_keystore_keys keys;
    emk_lease_request q;
    emk_request request;
    emk_error e = {0};
    emk_buf b;

    (void)state;
    begin(EMK_GUARD_CAREFUL, 2);
    s.policy.lease_s = 3600;
    stage_install(&s);
    assert_ok(emk_request_parse(emk_buf_span(&s.request), &request, &e), &e);
    assert_ok(emk_guard_summary_read(request.summary, &first, &e), &e);
    assert_int_equal(first.level, EMK_GUARD_CAREFUL);
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_client_lease_request(s.client, s.name, (emk_span){NULL, 0}, &b, &e), &e);
    assert_ok(emk_keystore_public_keys(&s.soft, &keys, &e), &e);
    assert_ok(emk_cose_verify_key(s.crypto, emk_span_of(keys.signing, 65), &device, &e), &e);
    assert_ok(emk_lease_request_verify(s.crypto, emk_buf_span(&b), device, &q, &e), &e);
    assert_ok(emk_guard_summary_read(q.summary, &second, &e), &e);
    assert_true(second.n_looks > first.n_looks);
    assert_memory_not_equal(second.transcript, first.transcript, EMK_GUARD_HASH_LEN);
    emk_verify_key_free(device);
    emk_buf_done(&b);
    is_patched = true; /* a lease is something new */
    s.now += 10;
    emk_guard_round(s.watcher);
    assert_status(stage_open(&s, &e), EMK_E_POLICY, &e);
    finish();
}

static void watchdog_and_guard_thread_end_in_any_order(void **state)
{
    const struct timespec pause = {0, 30000000};
    emk_error e = {0};

    (void)state;
    is_patched = false;
    stage_init(&s, NULL, false);
    s.watcher = new_guard(s.crypto, EMK_GUARD_STRICT);
    s.watchdog = true;
    assert_ok(emk_guard_start(s.watcher, &e), &e);
    for (int i = 0; i < 5; i++) {
        stage_restart(&s);
        nanosleep(&pause, NULL);
    }
    stage_install(&s);
    assert_ok(stage_open(&s, &e), &e);
    finish();
}

static emk_status expect_other_build(void *self, const emk_client_entry *entry, emk_error *e)
{
    (void)e;
    ++*(unsigned *)self;
    assert_int_equal(entry->status, EMK_E_KEY_LOST);
    assert_string_equal(entry->why, "vault: sealed for another build of the app: fetch again");
    assert_null(entry->policy);
    return EMK_OK;
}

static void an_entry_of_another_build_is_refused_and_says_so(void **state)
{
    unsigned n = 0;
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_STRICT, 3);
    stage_install(&s);
    is_other_build = true;
    stage_restart(&s);
    assert_status(stage_open(&s, &e), EMK_E_KEY_LOST, &e);
    assert_string_equal(e.what, "vault: sealed for another build of the app: fetch again");
    assert_ok(emk_client_list(s.client, expect_other_build, &n, &e), &e);
    assert_ok(emk_client_verify(s.client, expect_other_build, &n, &e), &e);
    assert_int_equal(n, 2);
    is_other_build = false; /* nothing of it was harmed */
    stage_restart(&s);
    assert_ok(stage_open(&s, &e), &e);
    finish();
}

static void another_build_opens_what_is_bound_to_the_findings_alone(void **state)
{
    emk_error e = {0};

    (void)state;
    begin(EMK_GUARD_STRICT, 2);
    stage_install(&s);
    is_other_build = true;
    stage_restart(&s);
    assert_ok(stage_open(&s, &e), &e);
    finish();
}

int main(void)
{
    return EMK_RUN(emk_rule(opens_while_nothing_is_found),
                   emk_rule(refuses_to_open_and_names_the_signal),
                   emk_rule(refuses_to_accept_and_says_so_in_the_receipt),
                   emk_rule(a_level_that_only_reports_refuses_where_the_policy_wants_more),
                   emk_rule(wipes_what_is_open_when_it_is_strict),
                   emk_rule(keeps_what_is_open_when_it_is_careful), emk_rule(reads_no_more_tensors),
                   emk_rule(an_entry_kept_under_a_guard_needs_one),
                   emk_rule(an_entry_kept_without_a_guard_opens_with_one),
                   emk_rule(an_entry_of_another_build_is_refused_and_says_so),
                   emk_rule(another_build_opens_what_is_bound_to_the_findings_alone),
                   emk_rule(the_binding_changes_with_what_was_found_and_with_the_level),
                   emk_rule(tells_the_issuer_in_requests_for_models_and_leases),
                   emk_rule(watchdog_and_guard_thread_end_in_any_order));
}
