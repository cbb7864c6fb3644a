/* Against SoftHSM: a configuration and tokens of the test's own. */
#include "keystore/pkcs11/pkcs11.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/seal/cose.h"
#include "tests/support/test.h"
#include "tests/unit/keystore/conformance.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIN "correct horse"
#define URI "pkcs11:token=earmark"

static emk_crypto *crypto;
static const char *module;

static emk_pkcs11_source source_of(const char *uri)
{
    return (emk_pkcs11_source){.module = module, .uri = uri, .pin = emk_span_str(PIN)};
}

static void make(void *self)
{
    emk_pkcs11_source s = source_of(URI);
    emk_error e = {0};
    emk_status st = emk_pkcs11_destroy(crypto, &s, &e);

    (void)self;
    assert_true(st == EMK_OK || st == EMK_E_NOT_FOUND);
    assert_ok(emk_pkcs11_create(crypto, &s, &e), &e);
}

static emk_status open_it(void *self, emk_keystore *out, emk_error *e)
{
    emk_pkcs11_source s = source_of(URI);

    (void)self;
    return emk_pkcs11_open(crypto, &s, out, e);
}

static void lose(void *self)
{
    emk_pkcs11_source s = source_of(URI);
    emk_error e = {0};

    (void)self;
    assert_ok(emk_pkcs11_destroy(crypto, &s, &e), &e);
}

static emk_keystore opened(void)
{
    emk_keystore ks = {0};
    emk_error e = {0};

    assert_ok(open_it(NULL, &ks, &e), &e);
    return ks;
}

/* What pulling a token out and putting it back does to those who use it. */
static void pull_out(void)
{
    void *lib = dlopen(module, RTLD_NOW | RTLD_NOLOAD);
    unsigned long slots[16], n = 16;
    unsigned long (*list)(unsigned char, unsigned long *, unsigned long *);
    unsigned long (*close_all)(unsigned long);

    assert_non_null(lib);
    *(void **)&list = dlsym(lib, "C_GetSlotList");
    *(void **)&close_all = dlsym(lib, "C_CloseAllSessions");
    assert_true(list && close_all);
    assert_int_equal(list(1, slots, &n), 0);
    for (unsigned long i = 0; i < n; i++)
        close_all(slots[i]);
    dlclose(lib);
}

static void softhsm_is_not_hardware(void **state)
{
    emk_keystore ks;

    (void)state;
    make(NULL);
    ks = opened();
    assert_string_equal(emk_keystore_name(&ks), "pkcs11");
    assert_int_equal(ks.ops->flags, 0);
    assert_false(emk_keystore_has_counters(&ks));
    assert_false(emk_keystore_has_secrets(&ks));
    emk_keystore_close(&ks);
}

static void never_replaces_keys_that_are_there(void **state)
{
    emk_pkcs11_source s = source_of(URI);
    emk_keystore_keys a, b;
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(NULL);
    ks = opened();
    assert_ok(emk_keystore_public_keys(&ks, &a, &e), &e);
    assert_status(emk_pkcs11_create(crypto, &s, &e), EMK_E_USED, &e);
    emk_keystore_close(&ks);
    ks = opened();
    assert_ok(emk_keystore_public_keys(&ks, &b, &e), &e);
    assert_memory_equal(&a, &b, sizeof a);
    emk_keystore_close(&ks);
    assert_ok(emk_pkcs11_destroy(crypto, &s, &e), &e);
    assert_status(emk_pkcs11_destroy(crypto, &s, &e), EMK_E_NOT_FOUND, &e);
    assert_status(open_it(NULL, &ks, &e), EMK_E_KEY_LOST, &e);
}

/* Without a log-in the keys would only seem to be gone. */
static void a_token_that_wants_a_pin_says_so(void **state)
{
    emk_pkcs11_source s = source_of(URI);
    emk_keystore ks = {0};
    emk_error e = {0};

    (void)state;
    make(NULL);
    s.pin = emk_span_of(NULL, 0);
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_SEALED, &e);
}

static void a_probe_finds_the_token_without_a_pin(void **state)
{
    emk_pkcs11_source s = {.module = module, .uri = URI};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_pkcs11_probe(&s, &e), &e);
    s.uri = "pkcs11:token=nobody%27s";
    assert_status(emk_pkcs11_probe(&s, &e), EMK_E_IO, &e);
    s.uri = "not a uri";
    assert_status(emk_pkcs11_probe(&s, &e), EMK_E_USAGE, &e);
    s.uri = URI;
    s.module = "/no/such/module.so";
    assert_status(emk_pkcs11_probe(&s, &e), EMK_E_IO, &e);
}

static void keys_have_labels_of_ones_own(void **state)
{
    emk_pkcs11_source s = source_of(URI), other = s;
    char big[EMK_PKCS11_LABEL_MAX + 2];
    emk_keystore_keys a, b;
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(NULL);
    other.signing = "second signing";
    other.agreement = "second agreement";
    assert_ok(emk_pkcs11_create(crypto, &other, &e), &e);
    ks = opened();
    assert_ok(emk_keystore_public_keys(&ks, &a, &e), &e);
    emk_keystore_close(&ks);
    assert_ok(emk_pkcs11_open(crypto, &other, &ks, &e), &e);
    assert_ok(emk_keystore_public_keys(&ks, &b, &e), &e);
    assert_memory_not_equal(a.signing, b.signing, 65);
    emk_keystore_close(&ks);
    assert_ok(emk_pkcs11_destroy(crypto, &other, &e), &e);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    other.signing = big;
    assert_status(emk_pkcs11_create(crypto, &other, &e), EMK_E_USAGE, &e);
    other.signing = "";
    assert_status(emk_pkcs11_create(crypto, &other, &e), EMK_E_USAGE, &e);
}

static void rejects_sources_that_make_no_sense(void **state)
{
    static const uint8_t pin[EMK_PKCS11_PIN_MAX + 1];
    char big[EMK_PKCS11_URI_MAX + 2];
    emk_pkcs11_source s = source_of("pkcs11:token=nobody");
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_IO, &e);
    s.uri = "pkcs11:"; /* fits both tokens */
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    s.uri = "token=earmark";
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    s.uri = URI "?pin-value="
                "x";
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    s.uri = URI "?pin-source=file:x";
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "pkcs11:token=", 13);
    big[sizeof big - 1] = '\0';
    s.uri = big;
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    s = source_of(URI);
    s.pin = emk_span_of(pin, sizeof pin);
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    s = source_of(URI);
    s.module = "/nonexistent/module.so";
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_IO, &e);
}

/* ---- PIN ---- */

typedef struct asked {
    const char *pin;
    unsigned times;
} asked;

static emk_status tell_pin(void *self, uint8_t *pin, size_t *len, emk_error *e)
{
    asked *a = self;

    (void)e;
    a->times++;
    *len = strlen(a->pin);
    memcpy(pin, a->pin, *len);
    return EMK_OK;
}

static void a_wrong_pin_is_never_tried_twice(void **state)
{
    asked a = {.pin = PIN};
    emk_pkcs11_source s = source_of(URI);
    uint8_t sig[64];
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(NULL);
    s.pin = emk_span_str("wrong horse");
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_SEALED, &e);
    s.pin = emk_span_str("");
    s.ask = tell_pin;
    s.ask_self = &a;
    assert_ok(emk_pkcs11_open(crypto, &s, &ks, &e), &e);
    assert_int_equal(a.times, 1);
    assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
    assert_int_equal(a.times, 1);
    a.pin = "wrong horse"; /* somebody changed it while we were at work */
    pull_out();
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_SEALED, &e);
    assert_int_equal(a.times, 2);
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_SEALED, &e);
    assert_int_equal(a.times, 2);
    emk_keystore_close(&ks);
}

static emk_status no_pin(void *self, uint8_t *pin, size_t *len, emk_error *e)
{
    (void)self;
    (void)pin;
    (void)len;
    return emk_fail(e, EMK_E_POLICY, "cancelled", 0);
}

static emk_status long_pin(void *self, uint8_t *pin, size_t *len, emk_error *e)
{
    (void)self;
    (void)pin;
    (void)e;
    *len = EMK_PKCS11_PIN_MAX + 1;
    return EMK_OK;
}

static void cancelling_the_pin_is_told_as_it_came(void **state)
{
    emk_pkcs11_source s = {.module = module, .uri = URI, .ask = no_pin};
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(NULL);
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_POLICY, &e);
    s.ask = long_pin;
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_USAGE, &e);
    s.ask = NULL; /* private keys do not show without, and would seem lost */
    assert_status(emk_pkcs11_open(crypto, &s, &ks, &e), EMK_E_SEALED, &e);
}

/* ---- sessions ---- */

static void goes_on_after_the_token_was_pulled_out(void **state)
{
    uint8_t sig[64], x[32], again[32];
    emk_keystore_keys keys;
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(NULL);
    ks = opened();
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    assert_ok(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), &e);
    pull_out();
    assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
    pull_out();
    assert_ok(emk_keystore_agree(crypto, &ks, keys.signing, again, &e), &e);
    assert_memory_equal(x, again, 32);
    emk_keystore_close(&ks);
}

static void tells_lost_keys_also_to_a_holder_that_is_open(void **state)
{
    uint8_t sig[64], x[32];
    emk_keystore_keys keys;
    emk_keystore ks;
    emk_error e = {0};

    (void)state;
    make(NULL);
    ks = opened();
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    lose(NULL);
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_KEY_LOST, &e);
    make(NULL); /* other keys under the same names are not ours */
    assert_status(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), EMK_E_KEY_LOST, &e);
    assert_status(emk_keystore_agree(crypto, &ks, keys.signing, x, &e), EMK_E_KEY_LOST, &e);
    emk_keystore_close(&ks);
}

/* ---- signer ---- */

#define ISSUER URI ";object=issuer"

static void signs_as_an_issuer(emk_sign_alg alg)
{
    emk_pkcs11_source s = source_of(ISSUER);
    emk_pkcs11_signer *signer = NULL;
    emk_verify_key *key = NULL;
    uint8_t sig[64];
    emk_error e = {0};

    assert_status(emk_pkcs11_signer_open(crypto, &s, &signer, &e), EMK_E_KEY_LOST, &e);
    assert_ok(emk_pkcs11_signer_create(crypto, &s, alg, &e), &e);
    assert_status(emk_pkcs11_signer_create(crypto, &s, alg, &e), EMK_E_USED, &e);
    assert_ok(emk_pkcs11_signer_open(crypto, &s, &signer, &e), &e);
    assert_int_equal(emk_pkcs11_signer_alg(signer), alg);
    assert_ok(emk_verify_key_new(crypto, alg, emk_pkcs11_signer_public(signer), &key, &e), &e);
    for (int i = 0; i < 3; i++) {
        emk_sign_fn fn = emk_pkcs11_signer_sign;

        assert_ok(fn(signer, emk_span_str("a ticket"), sig, &e), &e);
        assert_ok(emk_sign_verify(key, emk_span_str("a ticket"), emk_span_of(sig, 64), &e), &e);
        pull_out();
    }
    sig[63] ^= 1;
    assert_status(emk_sign_verify(key, emk_span_str("a ticket"), emk_span_of(sig, 64), &e),
                  EMK_E_SIGNATURE, &e);
    emk_verify_key_free(key);
    emk_pkcs11_signer_close(signer);
    s.signing = s.agreement = "issuer";
    assert_ok(emk_pkcs11_destroy(crypto, &s, &e), &e);
}

static void signs_as_an_issuer_with_p256(void **state)
{
    (void)state;
    signs_as_an_issuer(EMK_SIGN_ES256);
}

static void signs_as_an_issuer_with_ed25519(void **state)
{
    (void)state;
    signs_as_an_issuer(EMK_SIGN_ED25519);
}

static void finds_the_issuers_key_by_its_id(void **state)
{
    emk_pkcs11_source s = source_of(ISSUER ";id=%01%02"), by_id = source_of(URI ";id=%01%02");
    emk_pkcs11_source other = source_of(URI ";id=%01%03"), none = source_of(URI);
    emk_pkcs11_signer *signer = NULL;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_pkcs11_signer_create(crypto, &s, EMK_SIGN_ES256, &e), &e);
    assert_ok(emk_pkcs11_signer_open(crypto, &by_id, &signer, &e), &e);
    emk_pkcs11_signer_close(signer);
    assert_status(emk_pkcs11_signer_open(crypto, &other, &signer, &e), EMK_E_KEY_LOST, &e);
    assert_status(emk_pkcs11_signer_open(crypto, &none, &signer, &e), EMK_E_USAGE, &e);
    s.signing = s.agreement = "issuer";
    assert_ok(emk_pkcs11_destroy(crypto, &s, &e), &e);
}

/* ---- keys that others made ---- */

static int util(const char *args)
{
    char line[2048];

    snprintf(line, sizeof line, "softhsm2-util %s >/dev/null 2>&1", args);
    return system(line);
}

static void a_key_that_was_imported_is_found_and_a_second_one_refused(void **state)
{
    emk_pkcs11_source s = source_of(URI ";object=imported");
    emk_pkcs11_signer *signer = NULL;
    char args[1024], *dir = emk_test_dir_make();
    emk_error e = {0};

    (void)state;
    snprintf(args, sizeof args,
             "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s/key.pem "
             "2>/dev/null",
             dir);
    if (system(args) != 0) {
        emk_test_dir_remove(dir);
        skip();
    }
    for (int id = 1; id <= 2; id++) {
        snprintf(args, sizeof args,
                 "--import %s/key.pem --token earmark --label imported --id 0%d --pin '" PIN
                 "' --force",
                 dir, id);
        assert_int_equal(util(args), 0);
        if (id == 1) {
            assert_ok(emk_pkcs11_signer_open(crypto, &s, &signer, &e), &e);
            emk_pkcs11_signer_close(signer);
        }
    }
    assert_status(emk_pkcs11_signer_open(crypto, &s, &signer, &e), EMK_E_USAGE, &e);
    s.signing = s.agreement = "imported";
    assert_ok(emk_pkcs11_destroy(crypto, &s, &e), &e);
    emk_test_dir_remove(dir);
}

typedef struct attribute { /* CK_ATTRIBUTE */
    unsigned long type;
    void *value;
    unsigned long len;
} attribute;

static void rejects_a_private_key_that_can_be_read_out(void **state)
{
    static unsigned char params[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
    unsigned char yes = 1, no = 0;
    char label[] = "loose";
    attribute pub[] = {{0x001, &yes, 1}, {0x180, params, sizeof params}, {0x003, label, 5}};
    attribute priv[] = {{0x001, &yes, 1}, {0x002, &yes, 1},  {0x103, &no, 1},
                        {0x162, &yes, 1}, {0x003, label, 5}, {0x108, &yes, 1}};
    struct {
        unsigned long type;
        void *parameter;
        unsigned long len;
    } mechanism = {0x1040, NULL, 0}; /* CKM_EC_KEY_PAIR_GEN */
    unsigned long slots[16], n = 16, a, b, session = 0;
    void *lib = dlopen(module, RTLD_NOW | RTLD_NOLOAD);
    unsigned long (*list)(unsigned char, unsigned long *, unsigned long *);
    unsigned long (*open_session)(unsigned long, unsigned long, void *, void *, unsigned long *);
    unsigned long (*generate)(unsigned long, void *, attribute *, unsigned long, attribute *,
                              unsigned long, unsigned long *, unsigned long *);
    emk_pkcs11_source s = source_of(URI ";object=loose");
    emk_pkcs11_signer *signer = NULL;
    emk_keystore ks;
    emk_error e = {0};
    bool made = false;

    (void)state;
    make(NULL);
    ks = opened(); /* logs in for the whole process */
    *(void **)&list = dlsym(lib, "C_GetSlotList");
    *(void **)&open_session = dlsym(lib, "C_OpenSession");
    *(void **)&generate = dlsym(lib, "C_GenerateKeyPair");
    assert_int_equal(list(1, slots, &n), 0);
    for (unsigned long i = 0; i < n && !made; i++)
        made = open_session(slots[i], 6, NULL, NULL, &session) == 0 &&
               generate(session, &mechanism, pub, 3, priv, 6, &a, &b) == 0;
    assert_true(made);
    assert_status(emk_pkcs11_signer_open(crypto, &s, &signer, &e), EMK_E_USAGE, &e);
    s.signing = s.agreement = "loose";
    assert_ok(emk_pkcs11_destroy(crypto, &s, &e), &e);
    emk_keystore_close(&ks);
    dlclose(lib);
}

/* ---- failures ---- */

#ifdef EMK_FAULTS
static void survives_a_failure_at_every_call(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};
    uint8_t sig[64];

    (void)state;
    make(NULL);
    for (size_t k = 0; k < 2; k++) {
        for (uint64_t n = 1;; n++) {
            emk_keystore ks = {0};
            emk_error e = {0};
            emk_status st;
            bool hit;

            emk_fault_fail_at(kinds[k], n);
            st = open_it(NULL, &ks, &e);
            if (st == EMK_OK)
                st = emk_keystore_sign(&ks, emk_span_str("m"), sig, &e);
            hit = emk_fault_count(kinds[k]) >= n;
            emk_fault_fail_at(kinds[k], 0);
            emk_keystore_close(&ks);
            if (st == EMK_OK && !hit)
                break;
            ks = opened();
            assert_ok(emk_keystore_sign(&ks, emk_span_str("m"), sig, &e), &e);
            emk_keystore_close(&ks);
        }
    }
}
#else
static void survives_a_failure_at_every_call(void **state)
{
    (void)state;
    skip();
}
#endif

static bool start(char **dir)
{
    static const char *const places[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                         "/usr/lib64/pkcs11/libsofthsm2.so",
                                         "/usr/local/lib/softhsm/libsofthsm2.so"};
    char path[4096];
    FILE *f;

    for (size_t i = 0; i < sizeof places / sizeof places[0] && !module; i++) {
        if (access(places[i], R_OK) == 0)
            module = places[i];
    }
    /* For a sanitizer's report at the end, which is about a library that would be gone. */
    if (module && !dlopen(module, RTLD_NOW | RTLD_NODELETE))
        module = NULL;
    if (!module || system("command -v softhsm2-util >/dev/null") != 0) {
        printf("SKIP SoftHSM is not here\n");
        return false;
    }
    *dir = emk_test_dir_make();
    snprintf(path, sizeof path, "%s/tokens", *dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/softhsm2.conf", *dir);
    f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f, "directories.tokendir = %s/tokens\nlog.level = ERROR\n", *dir);
    fclose(f);
    setenv("SOFTHSM2_CONF", path, 1);
    if (util("--init-token --free --label earmark --so-pin 12345678 --pin '" PIN "'") != 0 ||
        util("--init-token --free --label another --so-pin 12345678 --pin '" PIN "'") != 0) {
        printf("SKIP softhsm2-util cannot make a token\n");
        emk_test_dir_remove(*dir);
        return false;
    }
    return true;
}

int main(void)
{
    conformance_holder h = {.make = make, .open = open_it, .lose = lose};
    char *dir = NULL;
    int failed;

    if (!start(&dir))
        return EMK_TEST_SKIP;
    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    failed = EMK_RUN(
        emk_rule(softhsm_is_not_hardware), emk_rule(never_replaces_keys_that_are_there),
        emk_rule(a_token_that_wants_a_pin_says_so), emk_rule(a_probe_finds_the_token_without_a_pin),
        emk_rule(keys_have_labels_of_ones_own), emk_rule(rejects_sources_that_make_no_sense),
        emk_rule(a_wrong_pin_is_never_tried_twice), emk_rule(cancelling_the_pin_is_told_as_it_came),
        emk_rule(goes_on_after_the_token_was_pulled_out),
        emk_rule(tells_lost_keys_also_to_a_holder_that_is_open),
        emk_rule(signs_as_an_issuer_with_p256), emk_rule(signs_as_an_issuer_with_ed25519),
        emk_rule(finds_the_issuers_key_by_its_id),
        emk_rule(a_key_that_was_imported_is_found_and_a_second_one_refused),
        emk_rule(rejects_a_private_key_that_can_be_read_out),
        emk_rule(survives_a_failure_at_every_call));
    h.crypto = crypto;
    failed += conformance_run("PKCS#11, SoftHSM", &h);
    emk_crypto_free(crypto);
    emk_test_dir_remove(dir);
    return failed;
}
