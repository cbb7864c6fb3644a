#include "keystore/tpm2/tpm2.h"

#include "core/base/bytes.h"
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/crypto/sign.h"
#include "tests/support/test.h"
#include "tests/unit/keystore/conformance.h"
#include "tests/unit/keystore/tpm2/swtpm.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PCR      (UINT32_C(1) << 16) /* one that only a reset of the TPM sets back */
#define PATH_CAP 5000

static const uint8_t id[16] = "an id of 16 byte";
static emk_crypto *crypto;
static swtpm tpm;

typedef struct device {
    char *dir;
    char keys[4096];
    emk_span pin;
    emk_sign_key *authority;
} device;

static emk_tpm2_options options_of(const device *d)
{
    emk_tpm2_options o = {.tcti = tpm.tcti, .pin = d->pin};

    if (d->authority)
        o.authority = emk_sign_key_public(d->authority);
    return o;
}

static void end(device *d)
{
    emk_test_dir_remove(d->dir);
    d->dir = NULL;
    emk_sign_key_free(d->authority);
    d->authority = NULL;
}

static emk_status create(device *d, emk_error *e)
{
    emk_tpm2_options o = options_of(d);

    return emk_tpm2_create(crypto, d->keys, &o, e);
}

static void make_dir(device *d)
{
    emk_test_dir_remove(d->dir);
    d->dir = emk_test_dir_make();
    snprintf(d->keys, sizeof d->keys, "%s/holder", d->dir);
}

static void make(void *self)
{
    device *d = self;
    emk_error e = {0};

    swtpm_unlock(&tpm);
    swtpm_clear(&tpm);
    make_dir(d);
    assert_ok(create(d, &e), &e);
}

static emk_status open_it(void *self, emk_keystore *out, emk_error *e)
{
    emk_tpm2_options o = options_of(self);
    device *d = self;

    return emk_tpm2_open(crypto, d->keys, &o, out, e);
}

static void lose(void *self)
{
    (void)self;
    swtpm_clear(&tpm);
}

static emk_keystore opened(device *d)
{
    emk_keystore ks = {0};
    emk_error e = {0};

    assert_ok(open_it(d, &ks, &e), &e);
    return ks;
}

static void path_of(const device *d, const char *name, char path[PATH_CAP])
{
    snprintf(path, PATH_CAP, "%s/%s", d->keys, name);
}

static size_t read_all(const char *path, uint8_t *out, size_t cap)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    assert_non_null(f);
    n = fread(out, 1, cap, f);
    fclose(f);
    return n;
}

static void write_all(const char *path, const uint8_t *p, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static uint64_t counter(const emk_keystore *ks)
{
    uint64_t v = UINT64_MAX;
    emk_error e = {0};

    assert_ok(emk_keystore_counter_get(ks, id, &v, &e), &e);
    return v;
}

static void is_hardware_that_counts(void **state)
{
    device d = {0};
    emk_keystore ks;

    (void)state;
    make(&d);
    ks = opened(&d);
    assert_string_equal(emk_keystore_name(&ks), "tpm2");
    assert_int_equal(ks.ops->flags, EMK_KEYSTORE_IS_HARDWARE | EMK_KEYSTORE_COUNTS_IN_HARDWARE);
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_a_missing_directory_as_lost_keys(void **state)
{
    device d = {.keys = "/nonexistent/holder"};
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    assert_status(open_it(&d, &ks, &e), EMK_E_KEY_LOST, &e);
}

static void never_replaces_keys_that_are_there(void **state)
{
    device d = {0};
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(&d);
    assert_status(create(&d, &e), EMK_E_USED, &e);
    ks = opened(&d);
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_options_beyond_their_limits(void **state)
{
    static const uint8_t bytes[65] = {4, 1};
    char name[EMK_TPM2_TCTI_MAX + 2];
    emk_tpm2_options o = {.tcti = tpm.tcti, .pin = {bytes, EMK_TPM2_PIN_MAX + 1}};
    device d = {0};
    emk_error e = {0};

    (void)state;
    make_dir(&d);
    assert_status(emk_tpm2_create(crypto, d.keys, &o, &e), EMK_E_USAGE, &e);
    o = (emk_tpm2_options){.tcti = tpm.tcti, .authority = {bytes, 64}};
    assert_status(emk_tpm2_create(crypto, d.keys, &o, &e), EMK_E_USAGE, &e);
    o.authority.len = 65;
    assert_status(emk_tpm2_create(crypto, d.keys, &o, &e), EMK_E_FORMAT, &e);
    o.pin = emk_span_str("1234");
    assert_status(emk_tpm2_create(crypto, d.keys, &o, &e), EMK_E_USAGE, &e);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    o = (emk_tpm2_options){.tcti = name};
    assert_status(emk_tpm2_create(crypto, d.keys, &o, &e), EMK_E_USAGE, &e);
    end(&d);
}

static void says_that_there_is_no_tpm(void **state)
{
    device d = {0};
    emk_tpm2_options o = {.tcti = "device:/nonexistent/tpm"};
    emk_error e = {0};

    (void)state;
    make_dir(&d);
    assert_status(emk_tpm2_create(crypto, d.keys, &o, &e), EMK_E_IO, &e);
    end(&d);
}

/* Pulled out, or its driver is gone: the same holder works again once it is back. */
static void survives_a_tpm_that_goes_and_comes_back(void **state)
{
    device d = {0};
    uint8_t sig[64];
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(&d);
    ks = opened(&d);
    assert_ok(emk_keystore_counter_set(&ks, id, 3, &e), &e);
    swtpm_stop(&tpm);
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_IO, &e);
    assert_status(emk_keystore_counter_set(&ks, id, 4, &e), EMK_E_IO, &e);
    swtpm_restart(&tpm);
    assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
    assert_int_equal(counter(&ks), 3);
    emk_keystore_close(&ks);
    end(&d);
}

static void tells_a_cleared_tpm_also_to_a_holder_that_is_open(void **state)
{
    device d = {0};
    uint8_t sig[64], x[32];
    emk_keystore_keys keys;
    emk_keystore ks;
    emk_error e = {0};
    uint64_t v;

    (void)state;
    make(&d);
    ks = opened(&d);
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    swtpm_clear(&tpm);
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_KEY_LOST, &e);
    assert_status(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), EMK_E_KEY_LOST, &e);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_KEY_LOST, &e);
    emk_keystore_close(&ks);
    end(&d);
}

/* ---- PIN ---- */

static void a_wrong_pin_is_tried_once_and_then_locks_out(void **state)
{
    device d = {.pin = emk_span_str("1234")};
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    d.pin = emk_span_str("");
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    d.pin = emk_span_str("4321");
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    d.pin = emk_span_str("1234");
    ks = opened(&d); /* two of three: each open was one guess */
    emk_keystore_close(&ks);
    d.pin = emk_span_str("4321");
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    assert_status(open_it(&d, &ks, &e), EMK_E_BUSY, &e);
    d.pin = emk_span_str("1234");
    assert_status(open_it(&d, &ks, &e), EMK_E_BUSY, &e);
    swtpm_unlock(&tpm);
    ks = opened(&d);
    emk_keystore_close(&ks);
    end(&d);
}

static void keys_without_a_pin_are_not_locked_out(void **state)
{
    device d = {.pin = emk_span_str("1234")}, plain = {0};
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    make_dir(&plain);
    assert_ok(create(&plain, &e), &e);
    d.pin = emk_span_str("4321");
    while (open_it(&d, &ks, &e) != EMK_E_BUSY)
        assert_status(e.status, EMK_E_SEALED, &e);
    ks = opened(&plain);
    assert_ok(emk_keystore_counter_set(&ks, id, 1, &e), &e);
    emk_keystore_close(&ks);
    swtpm_unlock(&tpm);
    end(&d);
    end(&plain);
}

/* ---- policy ---- */

static void make_authority(device *d)
{
    uint8_t priv[32], pub[65];
    emk_error e = {0};

    assert_ok(emk_sign_generate(crypto, EMK_SIGN_ES256, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(crypto, EMK_SIGN_ES256, emk_span_of(priv, 32), &d->authority, &e),
              &e);
}

static emk_tpm2_policy policy_for_now(const device *d)
{
    uint8_t message[EMK_TPM2_MESSAGE_LEN];
    emk_tpm2_policy p = {.pcrs = PCR};
    emk_error e = {0};

    assert_ok(emk_tpm2_pcr_digest(crypto, tpm.tcti, PCR, p.digest, &e), &e);
    assert_ok(emk_tpm2_policy_message(crypto, PCR, p.digest, message, &e), &e);
    assert_ok(emk_sign_make(d->authority, emk_span_of(message, sizeof message), p.sig, &e), &e);
    return p;
}

static void a_pcr_that_changed_refuses_until_a_new_policy_is_signed(void **state)
{
    device d = {0};
    uint8_t sig[64], x[32];
    emk_tpm2_policy first, second;
    emk_tpm2_quote q;
    emk_keystore_keys keys;
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make_authority(&d);
    make(&d);
    assert_status(open_it(&d, &ks, &e), EMK_E_POLICY, &e);
    first = policy_for_now(&d);
    assert_ok(emk_tpm2_policy_put(crypto, d.keys, &first, &e), &e);
    ks = opened(&d);
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
    assert_ok(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), &e);

    swtpm_extend(&tpm, 16, 0xAA);
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_POLICY, &e);
    assert_status(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), EMK_E_POLICY, &e);
    assert_status(emk_tpm2_quote_make(&ks, emk_span_str("n"), PCR, &q, &e), EMK_E_POLICY, &e);
    emk_keystore_close(&ks);
    assert_status(open_it(&d, &ks, &e), EMK_E_POLICY, &e);

    second = policy_for_now(&d);
    assert_ok(emk_tpm2_policy_put(crypto, d.keys, &second, &e), &e);
    ks = opened(&d);
    assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
    assert_ok(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), &e);
    assert_ok(emk_tpm2_policy_put(crypto, d.keys, &first, &e), &e);
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_POLICY, &e);
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_a_policy_that_its_authority_did_not_sign(void **state)
{
    device d = {0}, other = {0}, plain = {0};
    emk_tpm2_policy p, bad;
    emk_error e = {0};

    (void)state;
    make_authority(&d);
    make_authority(&other);
    make(&d);
    p = policy_for_now(&other);
    assert_status(emk_tpm2_policy_put(crypto, d.keys, &p, &e), EMK_E_SIGNATURE, &e);
    p = policy_for_now(&d);
    bad = p;
    bad.digest[31] ^= 1;
    assert_status(emk_tpm2_policy_put(crypto, d.keys, &bad, &e), EMK_E_SIGNATURE, &e);
    bad = p;
    bad.pcrs |= 1;
    assert_status(emk_tpm2_policy_put(crypto, d.keys, &bad, &e), EMK_E_SIGNATURE, &e);
    bad.pcrs = 0;
    assert_status(emk_tpm2_policy_put(crypto, d.keys, &bad, &e), EMK_E_USAGE, &e);
    bad.pcrs = UINT32_C(1) << 24;
    assert_status(emk_tpm2_policy_put(crypto, d.keys, &bad, &e), EMK_E_USAGE, &e);
    make_dir(&plain);
    assert_ok(create(&plain, &e), &e);
    assert_status(emk_tpm2_policy_put(crypto, plain.keys, &p, &e), EMK_E_USAGE, &e);
    end(&d);
    end(&other);
    end(&plain);
}

/* The software's check is for the message; this one shows that the chip checks too. */
static void the_chip_itself_refuses_another_authority(void **state)
{
    device d = {0}, other = {0};
    uint8_t file[4096];
    emk_tpm2_policy p;
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};
    size_t len;

    (void)state;
    make_authority(&d);
    make_authority(&other);
    make(&d);
    path_of(&d, "keys", path);
    len = read_all(path, file, sizeof file);
    memcpy(file + 46, emk_sign_key_public(other.authority).p, 65);
    write_all(path, file, len);
    p = policy_for_now(&other);
    assert_ok(emk_tpm2_policy_put(crypto, d.keys, &p, &e), &e);
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e); /* its blobs have another policy */
    end(&d);
    end(&other);
}

static void rejects_damage_in_the_policy_file(void **state)
{
    device d = {0};
    uint8_t file[256];
    emk_tpm2_policy p;
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};
    size_t len;

    (void)state;
    make_authority(&d);
    make(&d);
    p = policy_for_now(&d);
    assert_ok(emk_tpm2_policy_put(crypto, d.keys, &p, &e), &e);
    path_of(&d, "policy", path);
    len = read_all(path, file, sizeof file);
    assert_int_equal(len, 108);
    for (size_t i = 0; i < len; i += 3) {
        file[i] ^= 1;
        write_all(path, file, len);
        assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
        file[i] ^= 1;
    }
    write_all(path, file, len - 1);
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    end(&d);
}

/* ---- quote ---- */

static void quotes_over_nonce_and_pcrs(void **state)
{
    static const uint8_t start[] = {0xFF, 'T', 'C', 'G', 0x80, 0x18};
    device d = {0};
    emk_verify_key *key = NULL;
    uint8_t digest[32], big[33] = {0};
    emk_tpm2_quote q;
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(&d);
    ks = opened(&d);
    swtpm_extend(&tpm, 16, 0xBB);
    assert_ok(emk_tpm2_quote_make(&ks, emk_span_str("fresh nonce"), PCR, &q, &e), &e);
    assert_ok(emk_verify_key_new(crypto, EMK_SIGN_ES256, emk_span_of(q.key, 65), &key, &e), &e);
    assert_ok(emk_sign_verify(key, emk_span_of(q.attest, q.attest_len), emk_span_of(q.sig, 64), &e),
              &e);
    emk_verify_key_free(key);
    assert_memory_equal(q.attest, start, sizeof start);
    assert_non_null(memmem(q.attest, q.attest_len, "fresh nonce", 11));
    assert_ok(emk_tpm2_pcr_digest(crypto, tpm.tcti, PCR, digest, &e), &e);
    assert_memory_equal(q.attest + q.attest_len - 32, digest, 32);
    assert_status(emk_tpm2_quote_make(&ks, emk_span_str(""), PCR, &q, &e), EMK_E_USAGE, &e);
    assert_status(emk_tpm2_quote_make(&ks, emk_span_of(big, 33), PCR, &q, &e), EMK_E_USAGE, &e);
    assert_status(emk_tpm2_quote_make(&ks, emk_span_str("n"), 0, &q, &e), EMK_E_USAGE, &e);
    emk_keystore_close(&ks);
    end(&d);
}

static void digests_all_pcrs(void **state)
{
    uint8_t a[32], b[32];
    emk_error e = {0};

    (void)state;
    assert_ok(emk_tpm2_pcr_digest(crypto, tpm.tcti, EMK_TPM2_PCRS, a, &e), &e);
    swtpm_extend(&tpm, 16, 0xCC);
    assert_ok(emk_tpm2_pcr_digest(crypto, tpm.tcti, EMK_TPM2_PCRS, b, &e), &e);
    assert_memory_not_equal(a, b, 32);
    assert_status(emk_tpm2_pcr_digest(crypto, tpm.tcti, 0, a, &e), EMK_E_USAGE, &e);
}

/* ---- files ---- */

static void rejects_damage_in_the_key_file(void **state)
{
    device d = {0};
    uint8_t file[4096];
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};
    size_t len;

    (void)state;
    make(&d);
    path_of(&d, "keys", path);
    len = read_all(path, file, sizeof file);
    for (size_t i = 0; i < len; i += i < 16 ? 1 : 13) {
        emk_status want = i == 4             ? EMK_E_UNSUPPORTED
                          : i >= 8 && i < 42 ? EMK_E_KEY_LOST /* the name of the storage key */
                                             : EMK_E_SEALED;
        file[i] ^= 1;
        write_all(path, file, len);
        assert_status(open_it(&d, &ks, &e), want, &e);
        file[i] ^= 1;
    }
    for (size_t n = 0; n < len; n += 101) {
        write_all(path, file, n);
        assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    }
    write_all(path, file, len);
    ks = opened(&d);
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_damage_in_the_state_file(void **state)
{
    device d = {0};
    uint8_t file[4096];
    emk_keystore ks;
    char path[PATH_CAP];
    emk_error e = {0};
    uint64_t v;
    size_t len;

    (void)state;
    make(&d);
    ks = opened(&d);
    assert_ok(emk_keystore_counter_set(&ks, id, 7, &e), &e);
    path_of(&d, "state", path);
    len = read_all(path, file, sizeof file);
    for (size_t i = 0; i < len; i += 5) {
        file[i] ^= 1;
        write_all(path, file, len);
        assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_SEALED, &e);
        file[i] ^= 1;
    }
    for (size_t n = 0; n < len; n += 9) {
        write_all(path, file, n);
        assert_status(emk_keystore_counter_set(&ks, id, 8, &e), EMK_E_SEALED, &e);
    }
    write_all(path, file, len);
    assert_int_equal(counter(&ks), 7);
    emk_keystore_close(&ks);
    end(&d);
}

/* ---- rollback ---- */

static void refuses_a_state_that_was_put_back(void **state)
{
    device d = {0};
    uint8_t old[4096], now[4096], out[EMK_KEYSTORE_SECRET_MAX];
    emk_keystore ks;
    char path[PATH_CAP];
    emk_error e = {0};
    uint64_t v;
    size_t old_len, now_len, len;

    (void)state;
    make(&d);
    ks = opened(&d);
    path_of(&d, "state", path);
    assert_ok(emk_keystore_counter_set(&ks, id, 1, &e), &e);
    assert_ok(emk_keystore_secret_put(&ks, id, emk_span_str("request key"), &e), &e);
    old_len = read_all(path, old, sizeof old);
    assert_ok(emk_keystore_secret_delete(&ks, id, &e), &e);
    now_len = read_all(path, now, sizeof now);
    write_all(path, old, old_len);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_STALE, &e);
    assert_status(emk_keystore_counter_set(&ks, id, 9, &e), EMK_E_STALE, &e);
    assert_status(emk_keystore_secret_get(&ks, id, out, &len, &e), EMK_E_STALE, &e);
    assert_int_equal(unlink(path), 0);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_STALE, &e);
    write_all(path, now, now_len);
    assert_int_equal(counter(&ks), 1);
    emk_keystore_close(&ks);
    end(&d);
}

static void deleting_a_secret_overwrites_the_old_state(void **state)
{
    device d = {0};
    uint8_t after[4096];
    emk_keystore ks;
    char path[PATH_CAP], copy[PATH_CAP];
    emk_error e = {0};
    size_t n;

    (void)state;
    make(&d);
    ks = opened(&d);
    assert_ok(emk_keystore_secret_put(&ks, id, emk_span_str("request key"), &e), &e);
    path_of(&d, "state", path);
    snprintf(copy, sizeof copy, "%s/still-there", d.dir);
    assert_int_equal(link(path, copy), 0);
    assert_ok(emk_keystore_secret_delete(&ks, id, &e), &e);
    n = read_all(copy, after, sizeof after);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(after[i], 0);
    emk_keystore_close(&ks);
    end(&d);
}

static void two_devices_share_a_tpm(void **state)
{
    device a = {0}, b = {0};
    emk_keystore ka, kb;
    emk_error e = {0};

    (void)state;
    make(&a);
    make_dir(&b);
    assert_ok(create(&b, &e), &e);
    ka = opened(&a);
    kb = opened(&b);
    assert_ok(emk_keystore_counter_set(&ka, id, 5, &e), &e);
    assert_int_equal(counter(&kb), 0);
    assert_ok(emk_keystore_counter_set(&kb, id, 2, &e), &e);
    assert_int_equal(counter(&ka), 5);
    emk_keystore_close(&ka);
    emk_keystore_close(&kb);
    end(&a);
    end(&b);
}

static void destroying_frees_the_counter(void **state)
{
    device d = {0}, other = {0};
    emk_tpm2_options o;
    emk_keystore ks;
    emk_error e = {0};
    uint64_t v;

    (void)state;
    make(&d);
    o = options_of(&d);
    ks = opened(&d);
    for (int i = 0; i < 70; i += 30) { /* the index is free again each time */
        make_dir(&other);
        assert_ok(create(&other, &e), &e);
        assert_ok(emk_tpm2_destroy(crypto, other.keys, &o, &e), &e);
        assert_status(emk_tpm2_destroy(crypto, other.keys, &o, &e), EMK_E_NOT_FOUND, &e);
        assert_ok(create(&other, &e), &e);
        assert_ok(emk_tpm2_destroy(crypto, other.keys, &o, &e), &e);
    }
    assert_ok(emk_tpm2_destroy(crypto, d.keys, &o, &e), &e);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_KEY_LOST, &e);
    emk_keystore_close(&ks);
    assert_status(open_it(&d, &ks, &e), EMK_E_KEY_LOST, &e);
    make(&d);
    swtpm_clear(&tpm);
    assert_ok(emk_tpm2_destroy(crypto, d.keys, &o, &e), &e);
    end(&d);
    end(&other);
}

/* ---- failures ---- */

/* The chip's arithmetic is slow in software: not every call is tried, but more of the first. */
#define NEXT(n) ((n) + 1 + (n) / 2)

#ifdef EMK_FAULTS
static emk_status whole_life(device *d, emk_error *e)
{
    uint8_t sig[64], out[EMK_KEYSTORE_SECRET_MAX];
    emk_keystore ks = {0};
    uint64_t v = 0;
    size_t len;
    emk_status st;

    st = open_it(d, &ks, e);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_sign(&ks, emk_span_str("m"), sig, e);
    if (st == EMK_OK)
        st = emk_keystore_counter_get(&ks, id, &v, e);
    if (st == EMK_OK)
        st = emk_keystore_counter_set(&ks, id, v + 1, e);
    if (st == EMK_OK)
        st = emk_keystore_secret_put(&ks, id, emk_span_str("s"), e);
    if (st == EMK_OK)
        st = emk_keystore_secret_get(&ks, id, out, &len, e);
    if (st == EMK_OK)
        st = emk_keystore_secret_delete(&ks, id, e);
    emk_keystore_close(&ks);
    return st;
}

static void survives_failures_anywhere(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO, EMK_FAULT_IO};
    device d = {0};

    (void)state;
    make(&d);
    for (size_t k = 0; k < 3; k++) {
        for (uint64_t n = 1;; n = NEXT(n)) {
            emk_error e = {0};
            emk_status st;
            bool hit;

            emk_fault_fail_at(kinds[k], n);
            st = whole_life(&d, &e);
            hit = emk_fault_count(kinds[k]) >= n;
            emk_fault_fail_at(kinds[k], 0);
            if (st == EMK_OK && !hit)
                break;
            assert_ok(whole_life(&d, &e), &e);
        }
    }
    end(&d);
}

/* A counter that was told once never goes back, wherever the process is killed. */
static void survives_a_kill_anywhere(void **state)
{
    device d = {0};
    uint64_t seen = 0;

    (void)state;
    make(&d);
    for (uint64_t n = 1;; n = NEXT(n)) {
        emk_keystore ks;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            emk_fault_kill_at(EMK_FAULT_IO, n);
            _exit(whole_life(&d, NULL) == EMK_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        swtpm_restart(&tpm); /* what the killed one had loaded goes; a resource manager does that */
        ks = opened(&d);
        assert_true(counter(&ks) >= seen);
        seen = counter(&ks);
        emk_keystore_close(&ks);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
    }
    assert_true(seen > 1);
    end(&d);
}

/* A file that was written but never counted must not stand in for a later one. */
static void refuses_a_state_that_never_counted(void **state)
{
    static const uint8_t other[16] = "some other id...";
    device d = {0};
    uint8_t old[4096], cut[4096];
    emk_keystore ks;
    char path[PATH_CAP];
    emk_error e = {0};
    size_t old_len, cut_len = 0;
    uint64_t v;

    (void)state;
    make(&d);
    ks = opened(&d);
    path_of(&d, "state", path);
    old_len = read_all(path, old, sizeof old);
    for (uint64_t n = 1; cut_len == 0; n++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            emk_keystore own = opened(&d);

            emk_fault_kill_at(EMK_FAULT_IO, n);
            _exit(emk_keystore_counter_set(&own, other, 1, NULL) == EMK_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* before it was done */
        swtpm_restart(&tpm);
        cut_len = read_all(path, cut, sizeof cut);
        if (cut_len == old_len && memcmp(cut, old, old_len) == 0)
            cut_len = 0;
    }
    write_all(path, old, old_len);
    assert_ok(emk_keystore_counter_set(&ks, id, 6, &e), &e);
    write_all(path, cut, cut_len);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_STALE, &e);
    emk_keystore_close(&ks);
    end(&d);
}

static emk_status life_from_the_start(device *d, emk_error *e)
{
    emk_status st = create(d, e);

    return st == EMK_OK ? whole_life(d, e) : st;
}

#define FIRST_INDEX 0x01804B30u

/* Whatever was cut short, the next try works, and no index is left behind: the first place is free
 * at the end. */
static void making_keys_may_be_killed_anywhere(void **state)
{
    device d = {0};
    emk_tpm2_options o;
    bool through = false;
    emk_error e = {0};
    emk_keystore ks;
    uint64_t v;

    (void)state;
    make(&d);
    o = options_of(&d);
    assert_ok(emk_tpm2_destroy(crypto, d.keys, &o, &e), &e);
    for (uint64_t n = 1; !through; n += 2) { /* each second call, for the time it takes */
        bool again = n / 2 % 2;              /* or removed without another try */
        int status;
        pid_t pid;
        emk_status st;

        make_dir(&d);
        pid = fork();
        if (pid == 0) {
            emk_fault_kill_at(EMK_FAULT_IO, n);
            _exit(create(&d, NULL) == EMK_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        swtpm_restart(&tpm);
        through = WIFEXITED(status);
        st = again ? create(&d, &e) : EMK_OK;
        assert_true(st == EMK_OK || st == EMK_E_USED);
        st = emk_os_exists(d.keys) ? emk_tpm2_destroy(crypto, d.keys, &o, &e) : EMK_OK;
        assert_true(st == EMK_OK || (st == EMK_E_NOT_FOUND && !again));
    }
    make_dir(&d);
    assert_ok(create(&d, &e), &e);
    ks = opened(&d);
    swtpm_undefine(&tpm, FIRST_INDEX);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_KEY_LOST, &e);
    emk_keystore_close(&ks);
    end(&d);
}

static void making_keys_may_fail_anywhere(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO, EMK_FAULT_IO};
    device d = {0};

    (void)state;
    make(&d);
    for (size_t k = 0; k < 3; k++) {
        for (uint64_t n = 1;; n = NEXT(n)) {
            emk_error e = {0};
            emk_status st;
            bool hit;

            make_dir(&d);
            emk_fault_fail_at(kinds[k], n);
            st = create(&d, &e);
            hit = emk_fault_count(kinds[k]) >= n;
            emk_fault_fail_at(kinds[k], 0);
            if (st != EMK_OK) {
                st = life_from_the_start(&d, &e);
                if (st == EMK_E_USED) /* failed after the rename: the keys are there */
                    st = whole_life(&d, &e);
                assert_true(st == EMK_OK || st == EMK_E_KEY_LOST);
            }
            swtpm_clear(&tpm);
            if (!hit)
                break;
        }
    }
    end(&d);
}
#else
static void survives_failures_anywhere(void **state)
{
    (void)state;
    skip();
}
#define refuses_a_state_that_never_counted survives_failures_anywhere
#define survives_a_kill_anywhere           survives_failures_anywhere
#define making_keys_may_fail_anywhere      survives_failures_anywhere
#define making_keys_may_be_killed_anywhere survives_failures_anywhere
#endif

static void tells_what_calls_cost(void **state)
{
    device d = {0};
    uint8_t sig[64], x[32];
    emk_keystore_keys keys;
    uint64_t at[5];
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(&d);
    at[0] = emk_os_monotonic_ns();
    ks = opened(&d);
    at[1] = emk_os_monotonic_ns();
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
    at[2] = emk_os_monotonic_ns();
    assert_ok(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), &e);
    at[3] = emk_os_monotonic_ns();
    assert_ok(emk_keystore_counter_set(&ks, id, 1, &e), &e);
    at[4] = emk_os_monotonic_ns();
    printf("with swtpm: open %.1f ms, sign %.1f ms, agree %.1f ms, count %.1f ms\n",
           (double)(at[1] - at[0]) / 1e6, (double)(at[2] - at[1]) / 1e6,
           (double)(at[3] - at[2]) / 1e6, (double)(at[4] - at[3]) / 1e6);
    emk_keystore_close(&ks);
    end(&d);
}

int main(void)
{
    device plain = {0};
    conformance_holder h = {.make = make, .open = open_it, .lose = lose};
    int failed;

    setenv("TSS2_LOG", "all+none", 1); /* refusals are expected here */
    if (!swtpm_start(&tpm))
        return EMK_TEST_SKIP;
    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    failed = EMK_RUN(
        emk_rule(is_hardware_that_counts), emk_rule(rejects_a_missing_directory_as_lost_keys),
        emk_rule(never_replaces_keys_that_are_there), emk_rule(rejects_options_beyond_their_limits),
        emk_rule(says_that_there_is_no_tpm), emk_rule(survives_a_tpm_that_goes_and_comes_back),
        emk_rule(tells_a_cleared_tpm_also_to_a_holder_that_is_open),
        emk_rule(a_wrong_pin_is_tried_once_and_then_locks_out),
        emk_rule(keys_without_a_pin_are_not_locked_out),
        emk_rule(a_pcr_that_changed_refuses_until_a_new_policy_is_signed),
        emk_rule(rejects_a_policy_that_its_authority_did_not_sign),
        emk_rule(the_chip_itself_refuses_another_authority),
        emk_rule(rejects_damage_in_the_policy_file), emk_rule(quotes_over_nonce_and_pcrs),
        emk_rule(digests_all_pcrs), emk_rule(rejects_damage_in_the_key_file),
        emk_rule(rejects_damage_in_the_state_file), emk_rule(refuses_a_state_that_was_put_back),
        emk_rule(deleting_a_secret_overwrites_the_old_state), emk_rule(two_devices_share_a_tpm),
        emk_rule(destroying_frees_the_counter), emk_rule(survives_failures_anywhere),
        emk_rule(survives_a_kill_anywhere), emk_rule(refuses_a_state_that_never_counted),
        emk_rule(making_keys_may_be_killed_anywhere), emk_rule(making_keys_may_fail_anywhere),
        emk_rule(tells_what_calls_cost));
    h.crypto = crypto;
    h.self = &plain;
    failed += conformance_run("TPM 2.0", &h);
    end(&plain);
    swtpm_end(&tpm);
    emk_crypto_free(crypto);
    return failed;
}
