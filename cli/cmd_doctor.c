#include "cli/commands.h"
#include "cli/guard.h"
#include "cli/keystore_options.h"
#include "cli/os_machine.h"
#include "cli/text.h"
#include "cli/version.h"
#include "core/base/os_file.h"
#include "core/base/os_mem.h"
#include "core/base/os_parallel.h"

#include <string.h>

#define USUAL_MODEL (UINT64_C(64) << 20) /* without --for: a model of 64 MiB */

typedef struct findings {
    emk_cli_machine machine;
    bool has[EMK_CRYPTO_ABILITIES];
    uint64_t lock_limit; /* bytes; UINT64_MAX: none */
    bool secret_memory;
    bool huge_pages;
    uint64_t model; /* bytes of the model asked about */
    bool tpm_answers;
} findings;

static const char *const ABILITY[EMK_CRYPTO_ABILITIES] = {
    [EMK_CRYPTO_AES_GCM] = "aes_gcm",       [EMK_CRYPTO_CHACHA20_POLY1305] = "chacha20_poly1305",
    [EMK_CRYPTO_X25519] = "x25519",         [EMK_CRYPTO_P256] = "p256",
    [EMK_CRYPTO_ED25519] = "ed25519",       [EMK_CRYPTO_ES256] = "es256",
    [EMK_CRYPTO_ML_KEM_768] = "ml_kem_768",
};

static bool lock_suffices(const findings *f)
{
    return f->machine.runs_as_root || f->lock_limit >= f->model;
}

/* All but ML-KEM and ChaCha20, which have a substitute. */
static bool is_usable(const findings *f)
{
    for (int i = 0; i < (int)EMK_CRYPTO_ABILITIES; i++) {
        if (!f->has[i] && i != EMK_CRYPTO_ML_KEM_768 && i != EMK_CRYPTO_CHACHA20_POLY1305 &&
            i != EMK_CRYPTO_X25519)
            return false;
    }
    return f->has[EMK_CRYPTO_X25519] || f->has[EMK_CRYPTO_ML_KEM_768];
}

static emk_status look(emk_cli *cli, findings *f)
{
    const emk_crypto *crypto = NULL;
    const char *path = emk_cli_option_value(cli, "for");
    emk_status st = emk_cli_crypto(cli, &crypto);
    int fd = -1;

    if (st != EMK_OK)
        return st;
    *f = (findings){.model = USUAL_MODEL};
    emk_cli_machine_look(&f->machine);
    for (int i = 0; i < (int)EMK_CRYPTO_ABILITIES; i++)
        f->has[i] = emk_crypto_has(crypto, (emk_crypto_ability)i);
    f->lock_limit = emk_os_lock_limit();
    f->secret_memory = emk_os_has_secret_memory();
    f->huge_pages = emk_os_has_huge_pages();
    if (!path)
        return EMK_OK;
    st = emk_os_open_read(path, &fd, &cli->error);
    if (st == EMK_OK)
        st = emk_os_file_size(fd, &f->model, &cli->error);
    emk_os_close(fd);
    return emk_cli_about(cli, st, path);
}

static void show_cpu(emk_cli_out *o, const findings *f)
{
    emk_cli_begin(o, "processor");
    emk_cli_put_string(o, "architecture", f->machine.architecture);
    emk_cli_put_number(o, "usable_cpus", emk_os_processors());
    if (f->machine.known) {
        emk_cli_put_bool(o, "aes_instructions", f->machine.aes);
        emk_cli_put_bool(o, "wide_aes", f->machine.wide_aes);
        emk_cli_put_bool(o, "carryless_multiply", f->machine.clmul);
        emk_cli_put_bool(o, "sha_instructions", f->machine.sha);
    }
    emk_cli_end(o);
}

static void show_crypto(emk_cli_out *o, const findings *f)
{
    emk_cli_begin(o, "algorithms");
    emk_cli_put_string(o, "libcrypto", emk_crypto_version());
    for (int i = 0; i < (int)EMK_CRYPTO_ABILITIES; i++)
        emk_cli_put_bool(o, ABILITY[i], f->has[i]);
    emk_cli_put_string(o, "request_key",
                       f->has[EMK_CRYPTO_ML_KEM_768] && f->has[EMK_CRYPTO_X25519]
                           ? "X-Wing (hybrid, post-quantum)"
                           : "X25519");
    emk_cli_end(o);
}

static void show_memory(emk_cli_out *o, const findings *f)
{
    emk_cli_begin(o, "memory");
    emk_cli_put_size(o, "installed", f->machine.memory);
    if (f->lock_limit == UINT64_MAX || f->machine.runs_as_root)
        emk_cli_put_string(o, "lock_limit", "none");
    else
        emk_cli_put_size(o, "lock_limit", f->lock_limit);
    emk_cli_put_size(o, "model", f->model);
    emk_cli_put_bool(o, "lock_suffices", lock_suffices(f));
    emk_cli_put_bool(o, "huge_pages", f->huge_pages);
    emk_cli_put_bool(o, "memfd_secret", f->secret_memory);
    emk_cli_end(o);
}

/* One key holder: whether a device could be made with it here, and if not, why. */
static bool show_holder(emk_cli *cli, const emk_cli_holder *h, const emk_cli_keys_config *config)
{
    const emk_error before = cli->error;
    emk_status st = EMK_OK;

    emk_cli_begin(&cli->out, h->name);
    if (h->absent)
        st = EMK_E_UNSUPPORTED;
    else if (h->probe)
        st = h->probe(cli, config);
    emk_cli_put_bool(&cli->out, "usable", st == EMK_OK);
    if (h->absent)
        emk_cli_put_string(&cli->out, "why", h->absent);
    else if (st != EMK_OK)
        emk_cli_put_string(&cli->out, "why", cli->error.what);
    if (st == EMK_E_USAGE)
        emk_cli_put_string(&cli->out, "fix", "name the token: --module FILE --token NAME");
    else if (st != EMK_OK && !h->absent && emk_cli_keystore_fix(&cli->error))
        emk_cli_put_string(&cli->out, "fix", emk_cli_keystore_fix(&cli->error));
    emk_cli_end(&cli->out);
    cli->error = before;
    return st == EMK_OK;
}

static emk_status show_keys(emk_cli *cli, findings *f)
{
    emk_cli_out *o = &cli->out;
    emk_cli_keys_config config = {.kind = ""};
    emk_status st = emk_cli_holder_options(cli, &config);

    if (st != EMK_OK)
        return st;
    emk_cli_begin(o, "device_keys");
    emk_cli_put_bool(o, "tpm", f->machine.tpm);
    emk_cli_put_bool(o, "tpm_usable", f->machine.tpm_usable);
    for (size_t i = 0; EMK_CLI_HOLDERS[i]; i++) {
        bool usable = show_holder(cli, EMK_CLI_HOLDERS[i], &config);

        f->tpm_answers = f->tpm_answers || (usable && EMK_CLI_HOLDERS[i] == &EMK_CLI_HOLDER_TPM2);
    }
    emk_cli_put_bool(o, "hardware_keys", f->tpm_answers);
    emk_cli_end(o);
    return EMK_OK;
}

static void show_advice(emk_cli_out *o, const findings *f)
{
    char size[EMK_CLI_TIME_TEXT], line[256];

    emk_cli_begin_list(o, "advice");
    if (!is_usable(f))
        emk_cli_put_string(o, NULL,
                           "an algorithm that Earmark needs is missing from libcrypto: "
                           "install OpenSSL 3.0 or later with its default provider");
    if (!lock_suffices(f)) {
        emk_cli_format_size(f->model, size);
        snprintf(line, sizeof line,
                 "a model of %s cannot be locked in memory and could be swapped to disk: raise "
                 "`ulimit -l` to %llu, or LimitMEMLOCK= of the systemd unit",
                 size, (unsigned long long)(f->model / 1024 + 1));
        emk_cli_put_string(o, NULL, line);
    }
    if (f->machine.known && !f->machine.aes)
        emk_cli_put_string(o, NULL,
                           "no AES instructions: have models sealed with "
                           "`earmark seal --cipher chacha`");
    if (!f->has[EMK_CRYPTO_ML_KEM_768])
        emk_cli_put_string(o, NULL,
                           "no ML-KEM: deliveries are not protected against a later "
                           "quantum computer; OpenSSL 3.5 has it");
    if (!f->huge_pages)
        emk_cli_put_string(o, NULL,
                           "no huge pages: large models open slower; write madvise to "
                           "/sys/kernel/mm/transparent_hugepage/enabled");
    emk_cli_put_string(o, NULL,
                       f->tpm_answers
                           ? "this machine has a TPM: make devices with --keystore tpm2"
                           : "software keys: whoever copies the device's directory, as its user "
                             "or root, has them; a TPM or a token keeps them to itself");
    emk_cli_end(o);
}

static emk_status run(emk_cli *cli)
{
    findings f;
    emk_status st;

    if (emk_cli_option_given(cli, "guard"))
        return emk_cli_guard_show(cli);
    st = look(cli, &f);

    if (st != EMK_OK)
        return st;
    if (!is_usable(&f)) {
        st = emk_fail(&cli->error, EMK_E_UNSUPPORTED, "doctor: libcrypto lacks what Earmark needs",
                      0);
        return emk_cli_advise(cli, st, "Install OpenSSL 3.0 or later with its default provider.");
    }
    show_cpu(&cli->out, &f);
    show_crypto(&cli->out, &f);
    show_memory(&cli->out, &f);
    st = show_keys(cli, &f);
    if (st == EMK_OK)
        show_advice(&cli->out, &f);
    return st;
}

static const char *const paragraphs[] = {
    "Says what this machine offers: AES and SHA instructions, the algorithms of the libcrypto that "
    "runs now, how much memory may be locked, memfd_secret, huge pages; which key holders a device "
    "could be made with, and for each that cannot be used, why not; and what to do about what is "
    "missing.",
    "With --guard it says instead what a guard finds here: debuggers, hooks, instrumentation, "
    "rooted devices; for each signal that was found what it sees, what honest thing looks like it, "
    "what to do, and what each level would do about it. A model's policy names the least level; "
    "what is allowed, and what single signals do, is the app's: --allow and --override try it.",
    NULL};

static const emk_cli_option options[] = {
    {"for", 0, EMK_CLI_FILE, "MODEL", "judge the memory limits for this model's size", false},
    {"guard", 0, EMK_CLI_FLAG, NULL, "say what a guard finds here, and what to do about it", false},
    {"all", 0, EMK_CLI_FLAG, NULL, "with --guard: explain every signal, found or not", false},
    EMK_CLI_OPTION_ALLOW,
    EMK_CLI_OPTION_ENGINE,
    EMK_CLI_OPTION_OVERRIDE,
    EMK_CLI_OPTION_TCTI,
    {"module", 0, EMK_CLI_FILE, "FILE", "pkcs11: try this token's library", false},
    {"token", 0, EMK_CLI_WORD, "NAME", "pkcs11: the token's label, or a pkcs11: URI", false},
    {0},
};

static const emk_cli_example examples[] = {
    {"Why does the guard refuse?", "earmark doctor --guard"},
    {"Will this model stay out of swap here?", "earmark doctor --for cat-ears.tflite"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_UNSUPPORTED, "libcrypto lacks an algorithm that Earmark cannot do without"},
    {0},
};

const emk_cli_command EMK_CLI_DOCTOR = {
    .name = "doctor",
    .summary = "says what this machine offers",
    .synopsis = "[--for MODEL | --guard [--all]] [--tcti NAME] [--module FILE --token NAME]",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
