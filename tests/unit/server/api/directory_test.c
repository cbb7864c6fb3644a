#include "server/api/directory.h"

#include "core/crypto/crypto.h"
#include "tests/support/test.h"

typedef struct world {
    emk_crypto *crypto;
    emk_records records;
    uint8_t id[32];
} world;

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_records_open_memory(&w->records, &e), &e);
    memset(w->id, 7, sizeof w->id);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_records_close(&w->records);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static void a_device_reads_back_and_is_found_by_the_gate(void **state)
{
    world *w = *state;
    emk_gate_directory dir = emk_directory_of(&w->records);
    emk_device_record d = {
        .gate = {.alg = EMK_SIGN_ES256, .user = "u", .attestation_level = 2, .not_after = 99},
        .kem = 0x10,
        .agreement_len = 65,
        .attestation_kind = 1,
        .platform = "linux",
        .enrolled = 5};
    emk_device_record back;
    emk_device_change change;
    emk_gate_device found;
    uint64_t version, n;
    emk_error e = {0};

    memset(d.gate.signing_key, 4, 65);
    memset(d.agreement, 5, 65);
    assert_ok(emk_device_change_make(w->crypto, w->id, &d, EMK_RECORD_ABSENT, &change, &e), &e);
    assert_ok(emk_records_commit(&w->records, &change.change, 1, NULL, &e), &e);
    assert_ok(emk_device_get(&w->records, w->id, &back, &version, &e), &e);
    assert_int_equal(back.version, version);
    d.version = version;
    assert_memory_equal(&back, &d, sizeof d);
    assert_ok(dir.ops->device(dir.self, w->id, &found, &e), &e);
    assert_memory_equal(&found, &d.gate, sizeof found);
    assert_ok(
        emk_records_count(&w->records, EMK_KIND_DEVICE, emk_span_of(change.owner, 32), &n, &e), &e);
    assert_int_equal(n, 1);
    w->id[0] = 8;
    assert_status(dir.ops->device(dir.self, w->id, &found, &e), EMK_E_NOT_FOUND, &e);
}

static void put_device(world *w, bool revoked)
{
    emk_device_record d = {.gate = {.alg = EMK_SIGN_ES256, .user = "u", .revoked = revoked}};
    emk_device_change change;
    emk_error e = {0};

    assert_ok(emk_device_change_make(w->crypto, w->id, &d, EMK_RECORD_ANY, &change, &e), &e);
    assert_ok(emk_records_commit(&w->records, &change.change, 1, NULL, &e), &e);
}

static void delete_device(world *w)
{
    emk_record_change gone = {.op = EMK_RECORD_DELETE,
                              .kind = EMK_KIND_DEVICE,
                              .id = emk_span_of(w->id, 32),
                              .expect = EMK_RECORD_ANY};
    emk_error e = {0};

    assert_ok(emk_records_commit(&w->records, &gone, 1, NULL, &e), &e);
}

static void nothing_is_written_of_a_device_that_was_revoked_or_erased(void **state)
{
    world *w = *state;
    emk_device_record d, by_hand = {.version = 0};
    emk_record_change check;
    emk_error e = {0};

    put_device(w, false);
    assert_ok(emk_device_get(&w->records, w->id, &d, NULL, &e), &e);
    check = emk_device_check(w->id, &d);
    assert_ok(emk_records_commit(&w->records, &check, 1, NULL, &e), &e);
    put_device(w, true);
    assert_status(emk_records_commit(&w->records, &check, 1, NULL, &e), EMK_E_STALE, &e);
    assert_ok(emk_device_is_there(&w->records, w->id, &d, &e), &e);
    delete_device(w);
    assert_status(emk_records_commit(&w->records, &check, 1, NULL, &e), EMK_E_STALE, &e);
    assert_status(emk_device_is_there(&w->records, w->id, &d, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_device_is_there(&w->records, w->id, &by_hand, &e), &e);
}

static void services_have_a_tenant(void **state)
{
    world *w = *state;
    emk_gate_directory dir = emk_directory_of(&w->records);
    emk_gate_service s = {.name = "backend", .tenant = "acme", .scopes = 1}, back;
    emk_error e = {0};

    assert_ok(emk_service_put(&w->records, EMK_KIND_CERTIFICATE, emk_span_of(w->id, 32), &s, &e),
              &e);
    assert_ok(dir.ops->certificate(dir.self, w->id, &back, &e), &e);
    assert_string_equal(back.tenant, "acme");
}

static void services_and_operators_read_back(void **state)
{
    world *w = *state;
    emk_gate_directory dir = emk_directory_of(&w->records);
    emk_gate_service s = {.name = "backend", .secret_hash = {1, 2, 3}, .scopes = 5, .not_after = 7};
    emk_gate_operator o = {.password = "p", .scopes = 9, .generation = 3};
    emk_gate_service s2;
    emk_gate_operator o2;
    emk_error e = {0};

    assert_ok(emk_service_put(&w->records, EMK_KIND_SERVICE, emk_span_str("k1"), &s, &e), &e);
    assert_ok(dir.ops->service(dir.self, "k1", &s2, &e), &e);
    assert_string_equal(s2.name, "backend");
    assert_string_equal(s2.tenant, ""); /* as of before there were any */
    assert_memory_equal(s2.secret_hash, s.secret_hash, 32);
    assert_int_equal(s2.scopes, 5);
    assert_false(s2.revoked);
    assert_status(dir.ops->certificate(dir.self, w->id, &s2, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_operator_put(&w->records, "ann", &o, &e), &e);
    assert_ok(dir.ops->operator_(dir.self, "ann", &o2, &e), &e);
    assert_int_equal(o2.generation, 3);
    assert_false(o2.disabled);
    assert_status(dir.ops->operator_(dir.self, "", &o2, &e), EMK_E_NOT_FOUND, &e);
}

static void rejects_damaged_records(void **state)
{
    world *w = *state;
    emk_gate_directory dir = emk_directory_of(&w->records);
    static const char *const BAD[] = {"", "\xa1", "\xa1\x18\x63\x00", "\xa0"};
    emk_record_change change = {.op = EMK_RECORD_PUT,
                                .kind = EMK_KIND_DEVICE,
                                .id = emk_span_of(w->id, 32),
                                .expect = EMK_RECORD_ANY};
    emk_gate_device found;
    emk_error e = {0};

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        emk_status st;

        change.value = emk_span_str(BAD[i]);
        assert_ok(emk_records_commit(&w->records, &change, 1, NULL, &e), &e);
        st = dir.ops->device(dir.self, w->id, &found, &e);
        assert_true(st == EMK_E_FORMAT || st == EMK_E_UNSUPPORTED);
    }
}

static void replay_bounds_only_rise(void **state)
{
    world *w = *state;
    emk_replay_store store = emk_replay_store_of(&w->records);
    uint64_t bound = 1;
    emk_error e = {0};

    put_device(w, false);
    assert_ok(store.load(store.self, w->id, &bound, &e), &e);
    assert_int_equal(bound, 0);
    assert_ok(store.save(store.self, w->id, 2048, &e), &e);
    assert_ok(store.save(store.self, w->id, 1024, &e), &e);
    assert_ok(store.load(store.self, w->id, &bound, &e), &e);
    assert_int_equal(bound, 2048);
    delete_device(w);
    assert_status(store.save(store.self, w->id, 4096, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(store.load(store.self, w->id, &bound, &e), &e);
    assert_int_equal(bound, 2048);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(a_device_reads_back_and_is_found_by_the_gate),
                   RULE(nothing_is_written_of_a_device_that_was_revoked_or_erased),
                   RULE(services_have_a_tenant), RULE(services_and_operators_read_back),
                   RULE(rejects_damaged_records), RULE(replay_bounds_only_rise));
}
