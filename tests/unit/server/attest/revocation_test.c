#include "server/attest/revocation.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "tests/support/test.h"

static const char LIST[] = "{\"entries\": {"
                           "\"ab4d58\": {\"status\": \"REVOKED\", \"reason\": \"X\"},"
                           "\"16580768335559031605\": {\"status\": \"SUSPENDED\"},"
                           "\"1\": {\"reason\": {\"a\": []}, \"status\": \"NEW\"}}, \"x\": 1}";

static bool has(const emk_revocation *list, const char *hex)
{
    uint8_t serial[64];

    return emk_revocation_has(list, emk_span_of(serial, emk_unhex(hex, serial, sizeof serial)));
}

static void finds_serials_in_hex_and_decimal(void **state)
{
    emk_revocation *list = NULL;
    emk_error e;

    (void)state;
    assert_ok(emk_revocation_new(emk_span_str(LIST), 77, &list, &e), &e);
    assert_int_equal(emk_revocation_count(list), 3);
    assert_int_equal(emk_revocation_as_of(list), 77);
    assert_true(has(list, "ab4d58"));
    assert_true(has(list, "00ab4d58"));
    assert_true(has(list, "e61ab8f3d80a7b35"));
    assert_true(has(list, "01"));
    assert_false(has(list, "ab4d59"));
    assert_false(has(list, "0b4d58"));
    assert_false(has(list, "00"));
    emk_revocation_free(list);
}

static void finds_the_decimal_form_of_a_long_serial(void **state)
{
    static const char *const JSON =
        "{\"entries\": {\"18446744073709551616\": {\"status\": \"REVOKED\"}}}"; /* 2^64 */
    emk_revocation *list = NULL;
    emk_error e;

    (void)state;
    assert_ok(emk_revocation_new(emk_span_str(JSON), 0, &list, &e), &e);
    assert_true(has(list, "010000000000000000"));
    assert_false(has(list, "010000000000000001"));
    emk_revocation_free(list);
}

static void serial_beyond_the_limit_counts_as_revoked(void **state)
{
    emk_revocation *list = NULL;
    uint8_t serial[33] = {1};
    emk_error e;

    (void)state;
    assert_ok(emk_revocation_new(emk_span_str("{\"entries\":{}}"), 0, &list, &e), &e);
    assert_true(emk_revocation_has(list, emk_span_of(serial, sizeof serial)));
    assert_false(emk_revocation_has(list, emk_span_of(serial, 32)));
    emk_revocation_free(list);
}

static void refuse(const char *json)
{
    emk_revocation *list = NULL;
    emk_error e;

    assert_status(emk_revocation_new(emk_span_str(json), 0, &list, &e), EMK_E_FORMAT, &e);
    assert_null(list);
}

static void rejects_lists_that_are_none(void **state)
{
    (void)state;
    refuse("");
    refuse("[]");
    refuse("{}");
    refuse("{\"entries\": []}");
    refuse("{\"entries\": {}} x");
    refuse("{\"entries\": {}, \"entries\": {}}");
    refuse("{\"entries\": {\"1\": 5}}");
    refuse("{\"entries\": {\"1\": {}}}");
    refuse("{\"entries\": {\"1\": {\"status\": 5}}}");
}

static void rejects_keys_that_are_no_serial(void **state)
{
    (void)state;
    refuse("{\"entries\": {\"\": {\"status\": \"R\"}}}");
    refuse("{\"entries\": {\"AB\": {\"status\": \"R\"}}}");
    refuse("{\"entries\": {\"1\\u0000\": {\"status\": \"R\"}}}");
}

static void rejects_serial_that_comes_twice(void **state)
{
    (void)state;
    refuse("{\"entries\": {\"1\": {\"status\": \"R\"}, \"1\": {\"status\": \"R\"}}}");
}

static void reads_the_published_list(void **state)
{
    char *path = emk_test_shared("vectors/attestation/roots/android_status_2025-01.json");
    emk_revocation *list = NULL;
    emk_buf json;
    emk_error e;

    (void)state;
    if (!path) {
        skip();
        return;
    }
    emk_buf_init(&json, EMK_REVOCATION_FILE_MAX);
    assert_ok(emk_os_read_file(path, EMK_REVOCATION_FILE_MAX, &json, &e), &e);
    assert_ok(emk_revocation_new(emk_buf_span(&json), 0, &list, &e), &e);
    assert_true(emk_revocation_count(list) > 400);
    emk_revocation_free(list);
    emk_buf_done(&json);
    free(path);
}

static void every_failing_allocation_ends_in_an_error(void **state)
{
#ifdef EMK_FAULTS
    emk_revocation *list = NULL;
    emk_error e;
    emk_status st;
    uint64_t n = 0;

    (void)state;
    do {
        emk_fault_fail_at(EMK_FAULT_ALLOC, ++n);
        st = emk_revocation_new(emk_span_str(LIST), 0, &list, &e);
        if (st != EMK_OK) {
            assert_status(st, EMK_E_NO_MEMORY, &e);
            assert_null(list);
        }
    } while (st != EMK_OK && n < 100);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
    assert_ok(st, &e);
    assert_int_equal(n, 4);
    emk_revocation_free(list);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    return EMK_RUN(emk_rule(finds_serials_in_hex_and_decimal),
                   emk_rule(finds_the_decimal_form_of_a_long_serial),
                   emk_rule(serial_beyond_the_limit_counts_as_revoked),
                   emk_rule(rejects_lists_that_are_none), emk_rule(rejects_keys_that_are_no_serial),
                   emk_rule(rejects_serial_that_comes_twice), emk_rule(reads_the_published_list),
                   emk_rule(every_failing_allocation_ends_in_an_error));
}
