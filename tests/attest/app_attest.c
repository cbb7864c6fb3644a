#include "server/attest/app_attest.h"

#include "tests/attest/run.h"

static void run_attestation(emk_run *r, const emk_dom *test, emk_span object)
{
    uint8_t id[64], hash[EMK_APP_ATTEST_HASH_MAX], key_want[EMK_APP_ATTEST_KEY_LEN];
    emk_app_attest_policy policy = {
        .app_id = (const char *)run_text(test, "app_id").p,
        .development = emk_dom_is_text(emk_dom_get(test, "environment"), "development"),
        .roots = r->roots,
        .n_roots = r->n_roots,
        .time_s = run_time(test, "verify_time")};
    emk_app_attest_evidence in = {.object = object,
                                  .key_id = run_base64(test, "key_id_b64", id, sizeof id),
                                  .client_data_hash =
                                      run_hex(test, "client_data_hash_hex", hash, sizeof hash)};
    emk_app_attest_key key;
    emk_claims claims;
    emk_error e;
    emk_status st = emk_app_attest_verify(r->crypto, &policy, &in, &claims, &key, &e);

    if (st == EMK_OK && emk_dom_get(test, "public_key_x962_hex")) {
        emk_span want = run_hex(test, "public_key_x962_hex", key_want, sizeof key_want);

        if (!emk_span_equal(want, emk_span_of(key.public_key, sizeof key.public_key)))
            st = emk_fail(&e, EMK_E_SIGNATURE, "another key than the manifest's", 0);
    }
    run_report(r, test, "expect", st, &e);
}

static void run_assertion(emk_run *r, const emk_dom *test, emk_span assertion)
{
    uint8_t hash[EMK_APP_ATTEST_HASH_MAX], key[EMK_APP_ATTEST_KEY_LEN];
    emk_app_attest_record record = {.app_id = (const char *)run_text(test, "app_id").p,
                                    .public_key =
                                        run_hex(test, "public_key_x962_hex", key, sizeof key),
                                    .counter = (uint32_t)run_number(test, "stored_counter")};
    emk_span client = run_hex(test, "client_data_hash_hex", hash, sizeof hash);
    uint32_t counter = 0;
    emk_error e;
    emk_status st = emk_app_attest_assert(r->crypto, &record, assertion, client, &counter, &e);

    if (st == EMK_OK && emk_dom_get(test, "counter_in_assertion") &&
        run_number(test, "counter_in_assertion") != counter)
        st = emk_fail(&e, EMK_E_FORMAT, "another counter than the manifest's", counter);
    run_report(r, test, "expect", st, &e);
}

bool run_app_attest(emk_run *r, const emk_dom *test)
{
    const emk_dom *type = emk_dom_get(test, "type");
    bool attestation = emk_dom_is_text(type, "attestation");
    emk_buf file;

    if (!attestation && !emk_dom_is_text(type, "assertion"))
        return false;
    emk_buf_init(&file, (size_t)1 << 20);
    run_file(r, test, "file", &file);
    (attestation ? run_attestation : run_assertion)(r, test, emk_buf_span(&file));
    emk_buf_done(&file);
    return true;
}
