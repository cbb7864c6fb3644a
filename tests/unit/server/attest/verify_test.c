#include <earmark/verify.h>

#include "core/base/os_file.h"
#include "core/crypto/hash.h"
#include "server/attest/instant.h"
#include "server/attest/roots.h"
#include "server/attest/sim/evidence.h"
#include "tests/unit/core/crypto/context.h"

#include <stdio.h>

static forge f;
static char *dir;
static uint8_t digest[32];

static void base64_line(emk_span in, FILE *out)
{
    static const char ABC[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t v = (uint32_t)in.p[i] << 16;

        v |= left > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
        v |= left > 2 ? in.p[i + 2] : 0;
        fputc(ABC[v >> 18], out);
        fputc(ABC[v >> 12 & 63], out);
        fputc(left > 1 ? ABC[v >> 6 & 63] : '=', out);
        fputc(left > 2 ? ABC[v & 63] : '=', out);
        if (i % 48 == 45)
            fputc('\n', out);
    }
}

static void path_of(const char *name, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/%s", dir, name);
}

static void write_pem(const char *name, emk_span der)
{
    char path[512];
    FILE *out;

    path_of(name, path, sizeof path);
    out = fopen(path, "w");
    assert_non_null(out);
    fputs("-----BEGIN CERTIFICATE-----\n", out);
    base64_line(der, out);
    fputs("\n-----END CERTIFICATE-----\n", out);
    fclose(out);
}

static void write_text(const char *name, const char *text)
{
    char path[512];

    path_of(name, path, sizeof path);
    assert_ok(emk_os_write_file(path, emk_span_str(text), NULL), NULL);
}

static void add_row(emk_roots_index *index, const char *name, emk_attest_role role, int64_t age)
{
    emk_roots_row *row = &index->row[index->n++];
    char path[512];
    emk_buf file;
    emk_span whole;

    (void)snprintf(row->name, sizeof row->name, "%s", name);
    (void)snprintf(row->source, sizeof row->source, "https://example.com/\"%s\"", name);
    row->role = role;
    row->fetched_s = FORGE_NOW - age;
    row->max_age_s = role == EMK_ROLE_ANDROID_STATUS ? 100 : 0;
    path_of(name, path, sizeof path);
    emk_buf_init(&file, 1u << 20);
    assert_ok(emk_os_read_file(path, 1u << 20, &file, NULL), NULL);
    whole = emk_buf_span(&file);
    assert_ok(emk_sha256(test_crypto(), &whole, 1, row->sha256, NULL), NULL);
    emk_buf_done(&file);
}

/* A directory of roots whose status list is `age` seconds old. */
static emk_attest_roots *make_roots(int64_t age)
{
    static emk_roots_index index;
    emk_attest_roots *roots = NULL;
    emk_error e;
    emk_buf json, root;
    char path[512];

    memset(&index, 0, sizeof index);
    emk_buf_init(&root, 8192);
    emk_buf_init(&json, 65536);
    fake_make_root(&f, &root);
    write_pem("a.pem", emk_buf_span(&root));
    write_text("s.json", "{\"entries\":{}}");
    add_row(&index, "a.pem", EMK_ROLE_APP_ATTEST, 0);
    write_pem("g.pem", emk_buf_span(&root));
    add_row(&index, "g.pem", EMK_ROLE_ANDROID_KEY, 0);
    add_row(&index, "s.json", EMK_ROLE_ANDROID_STATUS, age);
    assert_ok(emk_roots_index_write(&index, &json, &e), &e);
    path_of(EMK_ROOTS_INDEX, path, sizeof path);
    assert_ok(emk_os_write_file(path, emk_buf_span(&json), &e), &e);
    assert_ok(emk_attest_roots_open(test_crypto(), dir, &roots, &e), &e);
    emk_buf_done(&json);
    emk_buf_done(&root);
    return roots;
}

static int set_up(void **state)
{
    (void)state;
    forge_init(&f, test_crypto());
    memset(digest, 0xaa, sizeof digest);
    dir = emk_test_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    emk_test_dir_remove(dir);
    forge_done(&f);
    return 0;
}

static emk_attest_policy good_policy(void)
{
    return (emk_attest_policy){.size = sizeof(emk_attest_policy),
                               .time_s = FORGE_NOW,
                               .challenge = emk_span_str("a challenge of some length"),
                               .app = FAKE_APP};
}

static emk_status verify(const emk_attest_roots *roots, const emk_attest_policy *policy,
                         emk_attest_kind kind, emk_span object, emk_error *e)
{
    emk_attest_evidence in = {.size = sizeof in, .kind = kind, .object = object};
    emk_claims claims;

    return emk_attest_verify(test_crypto(), roots, policy, &in, &claims, NULL, e);
}

static void none_is_refused_unless_allowed_and_level_0(void **state)
{
    emk_attest_policy p = good_policy();
    emk_error e;

    (void)state;
    assert_status(verify(NULL, &p, EMK_ATTEST_NONE, NONE, &e), EMK_E_POLICY, &e);
    p.allow_none = true;
    assert_ok(verify(NULL, &p, EMK_ATTEST_NONE, NONE, &e), &e);
    p.min_level = 1;
    assert_status(verify(NULL, &p, EMK_ATTEST_NONE, NONE, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "attest: the level is too low");
}

static void impossible_policies_are_usage(void **state)
{
    emk_attest_policy p = good_policy();
    emk_error e;

    (void)state;
    p.size--;
    assert_status(verify(NULL, &p, EMK_ATTEST_APP_ATTEST, NONE, &e), EMK_E_USAGE, &e);
    p = good_policy();
    p.challenge = emk_span_str("too short");
    assert_status(verify(NULL, &p, EMK_ATTEST_APP_ATTEST, NONE, &e), EMK_E_USAGE, &e);
    p = good_policy();
    p.challenge = NONE;
    assert_status(verify(NULL, &p, EMK_ATTEST_ANDROID_KEY, NONE, &e), EMK_E_USAGE, &e);
    p = good_policy();
    p.app = NULL;
    assert_status(verify(NULL, &p, EMK_ATTEST_APP_ATTEST, NONE, &e), EMK_E_USAGE, &e);
    p = good_policy();
    p.time_s = 0;
    assert_status(verify(NULL, &p, EMK_ATTEST_APP_ATTEST, NONE, &e), EMK_E_USAGE, &e);
    p = good_policy();
    assert_status(verify(NULL, &p, EMK_ATTEST_APP_ATTEST, NONE, &e), EMK_E_NOT_FOUND, &e);
    assert_status(verify(NULL, &p, EMK_ATTEST_TPM, NONE, &e), EMK_E_NOT_FOUND, &e);
    assert_status(verify(NULL, &p, (emk_attest_kind)99, NONE, &e), EMK_E_USAGE, &e);
    assert_status(verify(NULL, &p, EMK_ATTEST_PLAY_INTEGRITY, NONE, &e), EMK_E_USAGE, &e);
    assert_status(verify(NULL, &p, EMK_ATTEST_SAFETYNET, NONE, &e), EMK_E_POLICY, &e);
}

static void app_attest_goes_through_with_its_key(void **state)
{
    uint8_t hash[32], id[32];
    emk_attest_policy p = good_policy();
    emk_attest_roots *roots = make_roots(0);
    emk_attest_evidence in = {.size = sizeof in, .kind = EMK_ATTEST_APP_ATTEST, .key_id = SPAN(id)};
    emk_attest_key key;
    emk_claims claims;
    emk_buf object;
    emk_error e;

    (void)state;
    assert_ok(emk_sha256(test_crypto(), &p.challenge, 1, hash, &e), &e);
    emk_buf_init(&object, 65536);
    fake_make_attestation(&f, &(fake_app_attest){.signed_hash = SPAN(hash)}, &object, id);
    in.object = emk_buf_span(&object);
    assert_ok(emk_attest_verify(test_crypto(), roots, &p, &in, &claims, &key, &e), &e);
    assert_int_equal(claims.level, 3);
    assert_bytes(SPAN(key.point), forge_public(&f, 2));
    in.key = SPAN(key.point);
    assert_ok(emk_attest_verify(test_crypto(), roots, &p, &in, &claims, &key, &e), &e);
    in.key = forge_public(&f, 1);
    assert_status(emk_attest_verify(test_crypto(), roots, &p, &in, &claims, &key, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "attest: the evidence is about another key");
    in.key = NONE;
    p.challenge = emk_span_str("another challenge of some length");
    assert_status(emk_attest_verify(test_crypto(), roots, &p, &in, &claims, &key, &e),
                  EMK_E_SIGNATURE, &e);
    emk_buf_done(&object);
    emk_attest_roots_free(roots);
}

static emk_status android(const emk_attest_roots *roots, emk_attest_policy p, emk_claims *claims,
                          emk_error *e)
{
    emk_attest_evidence in = {.size = sizeof in, .kind = EMK_ATTEST_ANDROID_KEY};
    emk_span certs[FAKE_CERTS];
    fake_android x = {.challenge = "a challenge of some length"};
    emk_buf der[FAKE_CERTS];
    emk_status st;
    size_t n = FAKE_CERTS;

    for (size_t i = 0; i < n; i++)
        emk_buf_init(&der[i], 65536);
    fake_make_android(&f, &x, der);

    for (size_t i = 0; i < n; i++)
        certs[i] = emk_buf_span(&der[i]);
    p.app = FAKE_PACKAGE;
    in.certs = certs;
    in.n_certs = n;
    st = emk_attest_verify(test_crypto(), roots, &p, &in, claims, NULL, e);
    for (size_t i = 0; i < n; i++)
        emk_buf_done(&der[i]);
    return st;
}

static void an_old_revocation_list_does_what_the_policy_declares(void **state)
{
    emk_attest_policy p = good_policy();
    emk_attest_roots *roots = make_roots(100);
    emk_claims claims;
    emk_error e;
    uint32_t level;

    (void)state;
    p.app_digests[0] = SPAN(digest);
    p.n_app_digests = 1;
    assert_ok(android(roots, p, &claims, &e), &e);
    level = claims.level;
    assert_true(level > 0);
    emk_attest_roots_free(roots);
    roots = make_roots(101);
    assert_status(android(roots, p, &claims, &e), EMK_E_STALE, &e);
    assert_string_equal(e.what, "roots: older than they may be");
    p.stale = EMK_STALE_LEVEL_0;
    assert_ok(android(roots, p, &claims, &e), &e);
    assert_int_equal(claims.level, 0);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_STALE_LIST));
    p.min_level = 1;
    assert_status(android(roots, p, &claims, &e), EMK_E_POLICY, &e);
    p.stale = EMK_STALE_WARN;
    assert_ok(android(roots, p, &claims, &e), &e);
    assert_int_equal(claims.level, level);
    digest[0] ^= 1;
    assert_status(android(roots, p, &claims, &e), EMK_E_POLICY, &e);
    digest[0] ^= 1;
    p.n_app_digests = 0;
    assert_status(android(roots, p, &claims, &e), EMK_E_USAGE, &e);
    emk_attest_roots_free(roots);
}

static void a_file_that_is_not_as_indexed_is_refused(void **state)
{
    emk_attest_roots *roots = make_roots(0);
    emk_error e;

    (void)state;
    assert_int_equal(emk_attest_roots_count(roots), 3);
    assert_int_equal(emk_attest_roots_file(roots, 0).n_entries, 1);
    assert_string_equal(emk_attest_roots_file(roots, 0).source, "https://example.com/\"a.pem\"");
    emk_attest_roots_free(roots);
    roots = NULL;
    write_text("s.json", "{\"entries\":{ }}");
    assert_status(emk_attest_roots_open(test_crypto(), dir, &roots, &e), EMK_E_SIGNATURE, &e);
    write_text(EMK_ROOTS_INDEX, "{\"version\":2,\"files\":[]}");
    assert_status(emk_attest_roots_open(test_crypto(), dir, &roots, &e), EMK_E_UNSUPPORTED, &e);
    assert_null(roots);
}

static void an_index_with_one_defect_is_refused(void **state)
{
#define ROW(name, role, at, age)                                                              \
    "{\"version\":1,\"files\":[{\"name\":\"" name "\",\"role\":\"" role                       \
    "\",\"source\":\"\",\"fetched_at\":\"" at "\",\"sha256\":"                                \
    "\"979d0f7fba6c2e28cc05a5d67e8f21f705b90379291cbc80291eb224cc11586b\",\"max_age_s\":" age \
    "}]}"
    static const char *const BAD[] = {
        ROW("../x", "tpm", "2026-01-01T00:00:00Z", "0"),
        ROW(".x", "tpm", "2026-01-01T00:00:00Z", "0"),
        ROW("", "tpm", "2026-01-01T00:00:00Z", "0"),
        ROW("index.json", "tpm", "2026-01-01T00:00:00Z", "0"),
        ROW("x", "web", "2026-01-01T00:00:00Z", "0"),
        ROW("x", "tpm", "2026-01-01", "0"),
        ROW("x", "tpm", "2026-01-01T00:00:00Z", "-1"),
        ROW("x", "tpm", "2026-01-01T00:00:00Z", "1.5"),
        ROW("x", "tpm", "2026-01-01T00:00:00Z", "0,\"name\":\"x\""),
        "{\"version\":1,\"files\":[{\"name\":\"x\"}]}",
        "{\"version\":1,\"files\":{}}",
        "{}x",
    };
    static emk_roots_index index;

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        emk_error e;

        assert_status(emk_roots_index_read(emk_span_str(BAD[i]), &index, &e), EMK_E_FORMAT, &e);
    }
    assert_int_equal(emk_roots_index_read(
                         emk_span_str(ROW("x", "tpm", "2026-01-01T00:00:00Z", "0")), &index, NULL),
                     EMK_OK);
}

static void clients_are_told_little(void **state)
{
    (void)state;
    assert_int_equal(emk_attest_client_code(EMK_OK), EMK_CLIENT_OK);
    assert_int_equal(emk_attest_client_code(EMK_E_SIGNATURE), EMK_CLIENT_REFUSED);
    assert_int_equal(emk_attest_client_code(EMK_E_POLICY), EMK_CLIENT_REFUSED);
    assert_int_equal(emk_attest_client_code(EMK_E_STALE), EMK_CLIENT_AGAIN);
    assert_int_equal(emk_attest_client_code(EMK_E_NO_MEMORY), EMK_CLIENT_UNAVAILABLE);
    assert_int_equal(emk_attest_client_code(EMK_E_FORMAT), EMK_CLIENT_BAD_REQUEST);
    assert_string_equal(emk_attest_client_name(EMK_CLIENT_REFUSED), "refused");
}

int main(void)
{
    const struct CMUnitTest rules[] = {
        emk_rule(none_is_refused_unless_allowed_and_level_0),
        emk_rule(impossible_policies_are_usage),
        emk_rule(app_attest_goes_through_with_its_key),
        emk_rule(an_old_revocation_list_does_what_the_policy_declares),
        emk_rule(a_file_that_is_not_as_indexed_is_refused),
        emk_rule(an_index_with_one_defect_is_refused),
        emk_rule(clients_are_told_little),
    };

    return cmocka_run_group_tests(rules, set_up, tear_down);
}
