/* Two holders as one: here two software holders, of which each must only be asked for its part. */
#include "keystore/paired.h"

#include "keystore/soft.h"
#include "tests/support/test.h"
#include "tests/unit/keystore/conformance.h"

#include <string.h>

#define PATH_CAP 512

static emk_crypto *crypto;

typedef struct device {
    char *dir;
    char keys[PATH_CAP], memory[PATH_CAP];
} device;

static void make(void *self)
{
    const emk_keystore_soft_options options = {.scrypt_log_n = 0};
    device *d = self;
    emk_error e = {0};

    emk_test_dir_remove(d->dir);
    d->dir = emk_test_dir_make();
    snprintf(d->keys, sizeof d->keys, "%s/keys", d->dir);
    snprintf(d->memory, sizeof d->memory, "%s/memory", d->dir);
    assert_ok(emk_keystore_soft_create(crypto, d->keys, &options, &e), &e);
    assert_ok(emk_keystore_soft_create(crypto, d->memory, &options, &e), &e);
}

static emk_status open_soft(const char *dir, emk_keystore *out, emk_error *e)
{
    return emk_keystore_soft_open(crypto, dir, emk_span_of(NULL, 0), out, e);
}

static emk_status open_it(void *self, emk_keystore *out, emk_error *e)
{
    emk_keystore keys = {0}, memory = {0};
    device *d = self;
    emk_status st = open_soft(d->keys, &keys, e);

    if (st == EMK_OK)
        st = open_soft(d->memory, &memory, e);
    if (st == EMK_OK)
        st = emk_keystore_paired_new(&keys, &memory, out, e);
    emk_keystore_close(&keys);
    emk_keystore_close(&memory);
    return st;
}

static void lose(void *self)
{
    device *d = self;
    char file[PATH_CAP + 8];

    snprintf(file, sizeof file, "%s/keys", d->keys);
    assert_int_equal(remove(file), 0);
}

static void keys_are_of_the_one_and_counters_of_the_other(void **state)
{
    static const uint8_t id[EMK_KEYSTORE_ID_LEN] = "a counter's name";
    emk_keystore pair = {0}, keys = {0}, memory = {0};
    emk_keystore_keys of_pair, of_keys;
    device d = {0};
    uint64_t v = 1;
    emk_error e = {0};

    (void)state;
    make(&d);
    assert_ok(open_it(&d, &pair, &e), &e);
    assert_ok(emk_keystore_check(&pair, &e), &e);
    assert_ok(emk_keystore_counter_set(&pair, id, 7, &e), &e);
    assert_ok(emk_keystore_public_keys(&pair, &of_pair, &e), &e);
    emk_keystore_close(&pair);
    assert_ok(open_soft(d.keys, &keys, &e), &e);
    assert_ok(open_soft(d.memory, &memory, &e), &e);
    assert_ok(emk_keystore_public_keys(&keys, &of_keys, &e), &e);
    assert_memory_equal(&of_pair, &of_keys, sizeof of_keys);
    assert_ok(emk_keystore_counter_get(&keys, id, &v, &e), &e);
    assert_int_equal(v, 0);
    assert_ok(emk_keystore_counter_get(&memory, id, &v, &e), &e);
    assert_int_equal(v, 7);
    emk_keystore_close(&keys);
    emk_keystore_close(&memory);
    emk_test_dir_remove(d.dir);
}

static void promises_no_more_than_either(void **state)
{
    static const emk_keystore_ops hardware = {
        .size = sizeof hardware,
        .flags = EMK_KEYSTORE_IS_HARDWARE | EMK_KEYSTORE_COUNTS_IN_HARDWARE,
        .name = "chip",
    };
    emk_keystore pair = {0}, keys = {.ops = &hardware}, memory = {0};
    device d = {0};
    emk_error e = {0};

    (void)state;
    make(&d);
    assert_ok(open_soft(d.memory, &memory, &e), &e);
    assert_ok(emk_keystore_paired_new(&keys, &memory, &pair, &e), &e);
    assert_int_equal(pair.ops->flags, EMK_KEYSTORE_IS_HARDWARE);
    assert_string_equal(emk_keystore_name(&pair), "chip");
    assert_null(keys.ops);
    assert_null(memory.ops);
    emk_keystore_close(&pair);
    emk_test_dir_remove(d.dir);
}

static void rejects_a_memory_that_keeps_nothing(void **state)
{
    static const emk_keystore_ops nothing = {.size = sizeof nothing, .name = "nothing"};
    emk_keystore pair = {0}, keys = {.ops = &nothing}, memory = {.ops = &nothing};
    emk_error e = {0};

    (void)state;
    assert_status(emk_keystore_paired_new(&keys, &memory, &pair, &e), EMK_E_USAGE, &e);
    assert_ptr_equal(keys.ops, &nothing);
    assert_null(pair.ops);
}

int main(void)
{
    device d = {0};
    conformance_holder h = {.make = make, .open = open_it, .lose = lose, .self = &d};
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    h.crypto = crypto;
    failed = EMK_RUN(emk_rule(keys_are_of_the_one_and_counters_of_the_other),
                     emk_rule(promises_no_more_than_either),
                     emk_rule(rejects_a_memory_that_keeps_nothing));
    failed += conformance_run("paired", &h);
    emk_test_dir_remove(d.dir);
    emk_crypto_free(crypto);
    return failed;
}
