/* Power is cut while a TPM's key holder writes: its file is as the disk may have it, and the TPM as
 * it was at that moment.  A counter that was told never goes back, and the next call goes on. */
#include "core/base/os_file.h"
#include "keystore/tpm2/tpm2.h"
#include "tests/device/disk.h"
#include "tests/support/test.h"
#include "tests/unit/keystore/tpm2/swtpm.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THROUGH 0
#define KEYS    600

static emk_crypto *crypto;
static swtpm tpm;
static const uint8_t id[16] = "a counter's id..";

static void open_in(const char *dir, emk_keystore *ks)
{
    const emk_tpm2_options options = {.tcti = tpm.tcti};
    char keys[KEYS];
    emk_error e = {0};

    snprintf(keys, sizeof keys, "%s/keys", dir);
    assert_ok(emk_tpm2_open(crypto, keys, &options, ks, &e), &e);
}

static emk_status step(emk_keystore *ks, uint64_t next, emk_error *e)
{
    emk_status st = emk_keystore_counter_set(ks, id, next, e);

    if (st == EMK_OK)
        st = emk_keystore_secret_put(ks, id, emk_span_str("secret"), e);
    return st == EMK_OK ? emk_keystore_secret_delete(ks, id, e) : st;
}

/* Does the step until after n calls the power goes; gives false when it came to its end.  `told` is
 * what the counter was last known to be. */
static bool cut(const char *dir, size_t n, disk_luck luck, const char *to, uint64_t told)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        emk_keystore ks;
        emk_error e = {0};

        open_in(dir, &ks);
        disk_record(dir);
        disk_cut_at(n, luck, to);
        _exit(step(&ks, told + 1, &e) == EMK_OK ? THROUGH : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == DISK_CUT || WEXITSTATUS(status) == THROUGH);
    swtpm_restart(&tpm); /* as the machine is */
    return WEXITSTATUS(status) == DISK_CUT;
}

static uint64_t counter_in(const char *dir)
{
    emk_keystore ks;
    emk_error e = {0};
    uint64_t v = 0;

    open_in(dir, &ks);
    assert_ok(emk_keystore_counter_get(&ks, id, &v, &e), &e);
    assert_ok(emk_keystore_counter_set(&ks, id, v, &e), &e);
    emk_keystore_close(&ks);
    return v;
}

/* The states follow one another: a TPM cannot be put back. */
static void state_follows_the_tpm_through_a_power_cut(void **state)
{
    const emk_tpm2_options options = {.tcti = tpm.tcti};
    char *dir = emk_test_dir_make(), keys[KEYS];
    uint64_t told = 0;
    size_t n_cuts = 0;
    bool on = true;
    emk_error e = {0};

    (void)state;
    snprintf(keys, sizeof keys, "%s/keys", dir);
    assert_ok(emk_tpm2_create(crypto, keys, &options, &e), &e);
    for (size_t n = 1; on; n++) {
        for (int luck = 0; on && luck < DISK_LUCKS; luck++) {
            char *to = emk_test_dir_make();
            uint64_t now;

            on = cut(dir, n, (disk_luck)luck, to, told);
            n_cuts += on;
            if (on) {
                now = counter_in(to);
                assert_true(now == told || now == told + 1);
                told = now;
                emk_test_dir_remove(dir);
                dir = to;
            } else {
                emk_test_dir_remove(to);
            }
        }
    }
    assert_int_equal(counter_in(dir), told + 1);
    print_message("%zu cuts\n", n_cuts);
    assert_true(n_cuts > DISK_LUCKS);
    emk_test_dir_remove(dir);
}

int main(void)
{
    emk_error e = {0};
    int failed;

    setenv("TSS2_LOG", "all+none", 0);
    if (!swtpm_start(&tpm))
        return 77;
    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed = EMK_RUN(emk_rule(state_follows_the_tpm_through_a_power_cut));
    emk_crypto_free(crypto);
    swtpm_end(&tpm);
    return failed;
}
