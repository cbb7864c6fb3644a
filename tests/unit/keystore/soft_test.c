#include "keystore/soft.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "tests/support/test.h"
#include "tests/unit/keystore/conformance.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASS     "correct horse"
#define PATH_CAP 5000

static emk_crypto *crypto;

typedef struct device {
    char *dir;
    char keys[4096];
    emk_span passphrase;
    bool post_quantum;
} device;

static emk_status create(device *d, emk_error *e)
{
    emk_keystore_soft_options o = {
        .passphrase = d->passphrase, .scrypt_log_n = 10, .post_quantum = d->post_quantum};

    return emk_keystore_soft_create(crypto, d->keys, &o, e);
}

static void make(void *self)
{
    device *d = self;
    emk_error e = {0};

    emk_test_dir_remove(d->dir);
    d->dir = emk_test_dir_make();
    snprintf(d->keys, sizeof d->keys, "%s/holder", d->dir);
    assert_ok(create(d, &e), &e);
}

static emk_status open_it(void *self, emk_keystore *out, emk_error *e)
{
    device *d = self;

    return emk_keystore_soft_open(crypto, d->keys, d->passphrase, out, e);
}

static void path_of(const device *d, const char *name, char path[PATH_CAP])
{
    snprintf(path, PATH_CAP, "%s/%s", d->keys, name);
}

static void lose(void *self)
{
    char path[PATH_CAP];

    path_of(self, "keys", path);
    assert_int_equal(unlink(path), 0);
}

static device with_pass(void)
{
    return (device){.passphrase = {(const uint8_t *)PASS, sizeof PASS - 1}};
}

static void end(device *d)
{
    emk_test_dir_remove(d->dir);
    d->dir = NULL;
}

static void is_called_software_and_never_hardware(void **state)
{
    device d = with_pass();
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_string_equal(emk_keystore_name(&ks), "software");
    assert_int_equal(ks.ops->flags, 0);
    assert_non_null(strstr(emk_keystore_describe(&ks), "under a passphrase"));
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_a_missing_directory_as_lost_keys(void **state)
{
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    assert_status(emk_keystore_soft_open(crypto, "/nonexistent/holder", emk_span_str(""), &ks, &e),
                  EMK_E_KEY_LOST, &e);
}

static void never_replaces_keys_that_are_there(void **state)
{
    device d = {0};
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    assert_status(create(&d, &e), EMK_E_USED, &e);
    assert_ok(open_it(&d, &ks, &e), &e);
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_a_wrong_passphrase(void **state)
{
    device d = with_pass();
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    d.passphrase = emk_span_str("Correct horse");
    assert_status(open_it(&d, &ks, &e), EMK_E_SEALED, &e);
    assert_string_equal(e.what, "keys: wrong passphrase, or damaged");
    d.passphrase = emk_span_str("");
    assert_status(open_it(&d, &ks, &e), EMK_E_USAGE, &e);
    end(&d);
}

static void rejects_a_passphrase_where_there_is_none(void **state)
{
    device d = {0};
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    d.passphrase = emk_span_str(PASS);
    assert_status(open_it(&d, &ks, &e), EMK_E_USAGE, &e);
    end(&d);
}

static void rejects_a_passphrase_beyond_the_limit(void **state)
{
    static uint8_t longest[EMK_KEYSTORE_PASSPHRASE_MAX + 1];
    device d = {0};
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    d.dir = emk_test_dir_make();
    snprintf(d.keys, sizeof d.keys, "%s/holder", d.dir);
    d.passphrase = emk_span_of(longest, sizeof longest);
    assert_status(create(&d, &e), EMK_E_USAGE, &e);
    assert_status(open_it(&d, &ks, &e), EMK_E_USAGE, &e);
    end(&d);
}

/* Keys without a passphrase that others may read are no keys. */
static void rejects_unprotected_keys_that_others_may_read(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0601};
    device d = {0}, p = with_pass();
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};

    (void)state;
    make(&d);
    path_of(&d, "keys", path);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_status(open_it(&d, &ks, &e), EMK_E_USAGE, &e);
    }
    assert_int_equal(chmod(path, 0600), 0);
    assert_ok(open_it(&d, &ks, &e), &e);
    emk_keystore_close(&ks);
    end(&d);

    make(&p);
    path_of(&p, "keys", path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_ok(open_it(&p, &ks, &e), &e);
    emk_keystore_close(&ks);
    end(&p);
}

static void is_made_for_its_owner_alone(void **state)
{
    device d = {0};
    struct stat st;
    char path[PATH_CAP];

    (void)state;
    make(&d);
    path_of(&d, "keys", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(d.keys, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    end(&d);
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

/* A later version (offset 4) is told as such; all else is one refusal. */
static emk_status refusal_at(size_t at)
{
    return at == 4 ? EMK_E_UNSUPPORTED : EMK_E_SEALED;
}

static void check_every_byte(device *d)
{
    uint8_t file[512], bad[512];
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};
    size_t len;

    make(d);
    path_of(d, "keys", path);
    len = read_all(path, file, sizeof file);
    assert_int_equal(len, 76 + 96 + 16);
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, file, len);
        bad[i] ^= 0x40;
        write_all(path, bad, len);
        assert_status(open_it(d, &ks, &e), refusal_at(i), &e);
    }
    for (size_t n = 0; n < len; n += 17) {
        write_all(path, file, n);
        assert_status(open_it(d, &ks, &e), EMK_E_SEALED, &e);
    }
    memcpy(bad, file, len);
    bad[len] = 0;
    write_all(path, bad, len + 1);
    assert_status(open_it(d, &ks, &e), EMK_E_SEALED, &e);
    write_all(path, file, len);
    assert_ok(open_it(d, &ks, &e), &e);
    emk_keystore_close(&ks);
    end(d);
}

static void rejects_damage_in_every_byte(void **state)
{
    device d = {0}, p = with_pass();

    (void)state;
    check_every_byte(&d);
    check_every_byte(&p);
}

/* A file made by somebody who knows the passphrase, right in all but the commitment. */
static void rejects_a_key_that_is_not_committed_to(void **state)
{
    static const uint8_t nonce[12] = {0}, payload[96] = {[31] = 1, [63] = 1};
    device p = with_pass();
    uint8_t file[512], okm[64];
    emk_scrypt kdf = {.pass = p.passphrase, .n = 1024, .r = 8, .p = 1, .mem_max = 1u << 26};
    emk_keystore ks = {0};
    emk_aead *a = NULL;
    char path[PATH_CAP];
    emk_error e = {0};
    size_t len;

    (void)state;
    make(&p);
    path_of(&p, "keys", path);
    len = read_all(path, file, sizeof file);
    kdf.salt = emk_span_of(file + 12, 32);
    assert_ok(emk_scrypt_derive(crypto, &kdf, okm, sizeof okm, &e), &e);
    assert_memory_equal(file + 44, okm + 32, 32);
    assert_ok(emk_aead_new(crypto, EMK_AEAD_AES_256_GCM, &a, &e), &e);
    assert_ok(emk_aead_set_key(a, okm, &e), &e);
    for (int wrong = 0; wrong < 2; wrong++) {
        file[44] ^= (uint8_t)wrong;
        assert_ok(emk_aead_seal(a, nonce, emk_span_of(file, 76), emk_span_of(payload, 96),
                                file + 76, file + len - 16, &e),
                  &e);
        write_all(path, file, len);
        assert_status(open_it(&p, &ks, &e), wrong ? EMK_E_SEALED : EMK_OK, &e);
        if (!wrong)
            emk_keystore_close(&ks);
    }
    emk_aead_free(a);
    end(&p);
}

static void rejects_scrypt_costs_beyond_the_cap(void **state)
{
    device p = with_pass();
    uint8_t file[512];
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};
    size_t len;

    (void)state;
    make(&p);
    path_of(&p, "keys", path);
    len = read_all(path, file, sizeof file);
    for (uint8_t log_n = 19; log_n < 64; log_n += 4) { /* would take minutes if it were tried */
        file[6] = log_n;
        write_all(path, file, len);
        assert_status(open_it(&p, &ks, &e), EMK_E_SEALED, &e);
    }
    end(&p);
}

static void takes_the_default_cost(void **state)
{
    device p = with_pass();
    emk_keystore_soft_options o = {.passphrase = p.passphrase};
    uint8_t file[512];
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};

    (void)state;
    p.dir = emk_test_dir_make();
    snprintf(p.keys, sizeof p.keys, "%s/holder", p.dir);
    assert_ok(emk_keystore_soft_create(crypto, p.keys, &o, &e), &e);
    path_of(&p, "keys", path);
    read_all(path, file, sizeof file);
    assert_int_equal(file[6], 15);
    assert_int_equal(file[7], 8);
    assert_int_equal(file[8], 1);
    assert_ok(open_it(&p, &ks, &e), &e);
    emk_keystore_close(&ks);
    o.scrypt_log_n = 9;
    assert_status(emk_keystore_soft_create(crypto, p.keys, &o, &e), EMK_E_USED, &e);
    lose(&p);
    assert_status(emk_keystore_soft_create(crypto, p.keys, &o, &e), EMK_E_USAGE, &e);
    o.scrypt_log_n = 19;
    assert_status(emk_keystore_soft_create(crypto, p.keys, &o, &e), EMK_E_USAGE, &e);
    end(&p);
}

static void makes_a_hybrid_key_where_libcrypto_can(void **state)
{
    device d = {.post_quantum = true};
    emk_kem_private *key = NULL;
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    if (!emk_crypto_has(crypto, EMK_CRYPTO_ML_KEM_768)) {
        d.dir = emk_test_dir_make();
        snprintf(d.keys, sizeof d.keys, "%s/holder", d.dir);
        assert_status(create(&d, &e), EMK_E_UNSUPPORTED, &e);
        end(&d);
        return;
    }
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_ok(emk_keystore_kem_private(crypto, &ks, &key, &e), &e);
    assert_int_equal(emk_kem_private_id(key), EMK_KEM_MLKEM768_P256);
    emk_kem_private_free(key);
    emk_keystore_close(&ks);
    end(&d);
}

/* ---- entries ---- */

static const uint8_t id[16] = "an id of 16 byte";

typedef struct found {
    char name[300];
    char first; /* 'c' or 's' */
    size_t n;
} found;

static emk_status find_entry(void *self, const char *name, emk_error *e)
{
    found *f = self;

    (void)e;
    if (name[0] == f->first && name[1] == '-') {
        snprintf(f->name, sizeof f->name, "%s", name);
        f->n++;
    }
    return EMK_OK;
}

static void entry_path(const device *d, char kind, char path[PATH_CAP])
{
    found f = {.first = kind};
    emk_error e = {0};

    assert_ok(emk_os_list_dir(d->keys, find_entry, &f, &e), &e);
    assert_int_equal(f.n, 1);
    path_of(d, f.name, path);
}

static void rejects_damage_in_a_counter_or_a_secret(void **state)
{
    device d = {0};
    uint8_t file[512], bad[512], out[EMK_KEYSTORE_SECRET_MAX];
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};
    uint64_t v = 0;
    size_t len, out_len;

    (void)state;
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_ok(emk_keystore_counter_set(&ks, id, 7, &e), &e);
    assert_ok(emk_keystore_secret_put(&ks, id, emk_span_str("request key"), &e), &e);
    entry_path(&d, 'c', path);
    len = read_all(path, file, sizeof file);
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, file, len);
        bad[i] ^= 1;
        write_all(path, bad, len);
        assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_SEALED, &e);
        assert_status(emk_keystore_counter_set(&ks, id, 9, &e), EMK_E_SEALED, &e);
    }
    entry_path(&d, 's', path);
    len = read_all(path, file, sizeof file);
    for (size_t n = 0; n < len; n += 5) {
        write_all(path, file, n);
        assert_status(emk_keystore_secret_get(&ks, id, out, &out_len, &e), EMK_E_SEALED, &e);
    }
    emk_keystore_close(&ks);
    end(&d);
}

static void rejects_an_entry_under_another_name(void **state)
{
    static const uint8_t other[16] = "some other id...";
    device d = {0};
    uint8_t low[512];
    emk_keystore ks = {0};
    char path[PATH_CAP], high_path[PATH_CAP];
    emk_error e = {0};
    uint64_t v = 0;
    size_t len;

    (void)state;
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_ok(emk_keystore_counter_set(&ks, other, 1, &e), &e);
    entry_path(&d, 'c', path);
    len = read_all(path, low, sizeof low);
    assert_int_equal(unlink(path), 0);
    assert_ok(emk_keystore_counter_set(&ks, id, 100, &e), &e);
    entry_path(&d, 'c', high_path);
    write_all(high_path, low, len);
    assert_status(emk_keystore_counter_get(&ks, id, &v, &e), EMK_E_SEALED, &e);
    emk_keystore_close(&ks);
    end(&d);
}

/* The name of a file tells nobody which id it is for, and differs between devices. */
static void file_names_hide_ids(void **state)
{
    device d = {0};
    emk_keystore ks = {0};
    char a[PATH_CAP], b[PATH_CAP];
    emk_error e = {0};

    (void)state;
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_ok(emk_keystore_counter_set(&ks, id, 1, &e), &e);
    entry_path(&d, 'c', a);
    emk_keystore_close(&ks);
    memmove(a, strrchr(a, '/'), strlen(strrchr(a, '/')) + 1);
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_ok(emk_keystore_counter_set(&ks, id, 1, &e), &e);
    entry_path(&d, 'c', b);
    assert_string_not_equal(a, strrchr(b, '/'));
    emk_keystore_close(&ks);
    end(&d);
}

static void a_secret_is_overwritten_before_it_is_removed(void **state)
{
    device d = {0};
    uint8_t after[512];
    emk_keystore ks = {0};
    char path[PATH_CAP], copy[PATH_CAP];
    emk_error e = {0};
    size_t n;

    (void)state;
    make(&d);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_ok(emk_keystore_secret_put(&ks, id, emk_span_str("request key"), &e), &e);
    entry_path(&d, 's', path);
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

static void removes_what_a_killed_writer_left(void **state)
{
    device d = {0};
    emk_keystore ks = {0};
    char path[PATH_CAP];
    emk_error e = {0};

    (void)state;
    make(&d);
    path_of(&d, "s-00112233445566778899aabbccddeeff.tmp-AbCdEf", path);
    write_all(path, (const uint8_t *)"x", 1);
    assert_ok(open_it(&d, &ks, &e), &e);
    assert_false(emk_os_exists(path));
    emk_keystore_close(&ks);
    end(&d);
}

/* ---- failures ---- */

#ifdef EMK_FAULTS
/* Runs everything once, with failures wherever they were asked for. */
static emk_status whole_life(device *d, emk_error *e)
{
    uint8_t sig[64], out[EMK_KEYSTORE_SECRET_MAX];
    emk_keystore ks = {0};
    emk_kem_private *key = NULL;
    uint64_t v = 0;
    size_t len;
    emk_status st;

    st = create(d, e);
    if (st != EMK_OK && st != EMK_E_USED)
        return st;
    st = open_it(d, &ks, e);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_sign(&ks, emk_span_str("m"), sig, e);
    if (st == EMK_OK)
        st = emk_keystore_kem_private(crypto, &ks, &key, e);
    if (st == EMK_OK)
        st = emk_keystore_counter_set(&ks, id, 4, e);
    if (st == EMK_OK)
        st = emk_keystore_counter_get(&ks, id, &v, e);
    if (st == EMK_OK)
        st = emk_keystore_secret_put(&ks, id, emk_span_str("s"), e);
    if (st == EMK_OK)
        st = emk_keystore_secret_get(&ks, id, out, &len, e);
    if (st == EMK_OK)
        st = emk_keystore_secret_delete(&ks, id, e);
    emk_kem_private_free(key);
    emk_keystore_close(&ks);
    return st;
}

static void check_usable(device *d)
{
    emk_error e = {0};
    emk_status st = whole_life(d, &e);

    assert_ok(st, &e);
}

static void survives_a_failure_at_every_call(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO, EMK_FAULT_IO};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (uint64_t n = 1;; n++) {
            device d = {0};
            emk_error e = {0};
            emk_status st;
            bool hit;

            d.dir = emk_test_dir_make();
            snprintf(d.keys, sizeof d.keys, "%s/holder", d.dir);
            emk_fault_fail_at(kinds[k], n);
            st = whole_life(&d, &e);
            hit = emk_fault_count(kinds[k]) >= n;
            emk_fault_fail_at(kinds[k], 0);
            if (st == EMK_OK && !hit) {
                end(&d);
                break;
            }
            check_usable(&d);
            end(&d);
        }
    }
}

static void survives_a_kill_at_every_file_call(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        device d = {0};
        int status;
        pid_t pid;

        d.dir = emk_test_dir_make();
        snprintf(d.keys, sizeof d.keys, "%s/holder", d.dir);
        pid = fork();
        if (pid == 0) {
            emk_fault_kill_at(EMK_FAULT_IO, n);
            _exit(whole_life(&d, NULL) == EMK_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            end(&d);
            break;
        }
        check_usable(&d);
        end(&d);
    }
}
#else
static void survives_a_failure_at_every_call(void **state)
{
    (void)state;
    skip();
}
#define survives_a_kill_at_every_file_call survives_a_failure_at_every_call
#endif

int main(void)
{
    device plain = {0}, pass = with_pass(), hybrid = {.post_quantum = true};
    conformance_holder h = {.make = make, .open = open_it, .lose = lose};
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    failed = EMK_RUN(
        emk_rule(is_called_software_and_never_hardware),
        emk_rule(rejects_a_missing_directory_as_lost_keys),
        emk_rule(never_replaces_keys_that_are_there), emk_rule(rejects_a_wrong_passphrase),
        emk_rule(rejects_a_passphrase_where_there_is_none),
        emk_rule(rejects_a_passphrase_beyond_the_limit),
        emk_rule(rejects_unprotected_keys_that_others_may_read),
        emk_rule(is_made_for_its_owner_alone), emk_rule(rejects_damage_in_every_byte),
        emk_rule(rejects_a_key_that_is_not_committed_to),
        emk_rule(rejects_scrypt_costs_beyond_the_cap), emk_rule(takes_the_default_cost),
        emk_rule(makes_a_hybrid_key_where_libcrypto_can),
        emk_rule(rejects_damage_in_a_counter_or_a_secret),
        emk_rule(rejects_an_entry_under_another_name), emk_rule(file_names_hide_ids),
        emk_rule(a_secret_is_overwritten_before_it_is_removed),
        emk_rule(removes_what_a_killed_writer_left), emk_rule(survives_a_failure_at_every_call),
        emk_rule(survives_a_kill_at_every_file_call));
    h.crypto = crypto;
    h.self = &plain;
    failed += conformance_run("software, file permissions", &h);
    h.self = &pass;
    failed += conformance_run("software, passphrase", &h);
    if (emk_crypto_has(crypto, EMK_CRYPTO_ML_KEM_768)) {
        h.self = &hybrid;
        failed += conformance_run("software, post-quantum", &h);
    }
    end(&plain);
    end(&pass);
    end(&hybrid);
    emk_crypto_free(crypto);
    return failed;
}
