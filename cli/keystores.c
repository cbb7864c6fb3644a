#include "cli/keystores.h"

#include "core/base/os_file.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "keystore"
#define FIRST     "earmark-keystore-1"
#define TEXT_MAX  8192u

const emk_cli_holder *const EMK_CLI_HOLDERS[] = {&EMK_CLI_HOLDER_SOFT, &EMK_CLI_HOLDER_TPM2,
                                                 &EMK_CLI_HOLDER_PKCS11, NULL};

const emk_cli_holder *emk_cli_holder_find(const char *name)
{
    for (size_t i = 0; EMK_CLI_HOLDERS[i]; i++) {
        if (strcmp(EMK_CLI_HOLDERS[i]->name, name) == 0)
            return EMK_CLI_HOLDERS[i];
    }
    return NULL;
}

emk_status emk_cli_holder_check(emk_cli *cli, const emk_cli_holder *h)
{
    emk_status st;

    if (!h->absent)
        return EMK_OK;
    st = emk_fail(&cli->error, EMK_E_UNSUPPORTED, "keystore: not in this build of earmark", 0);
    return emk_cli_advise(cli, emk_cli_about(cli, st, h->name), "%s", h->absent);
}

/* ---- the file ---- */

typedef struct field {
    const char *name;
    size_t offset;
    size_t cap;
} field;

#define FIELD(name)                                                                          \
    {                                                                                        \
#name, offsetof(emk_cli_keys_config, name), sizeof(((emk_cli_keys_config *)0)->name) \
    }

static const field FIELDS[] = {FIELD(kind),   FIELD(tcti),  FIELD(pin),
                               FIELD(module), FIELD(token), FIELD(id)};
#define N_FIELDS (sizeof FIELDS / sizeof FIELDS[0])

static emk_status take_line(emk_cli_keys_config *c, emk_span line, emk_error *e)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        size_t n = strlen(FIELDS[i].name);
        char *to = (char *)c + FIELDS[i].offset;

        if (line.len <= n || memcmp(line.p, FIELDS[i].name, n) != 0 || line.p[n] != ' ')
            continue;
        if (to[0] || line.len - n - 1 >= FIELDS[i].cap)
            break;
        memcpy(to, line.p + n + 1, line.len - n - 1);
        return EMK_OK;
    }
    return emk_fail(e, EMK_E_FORMAT, "device: its file `keystore` is damaged", 0);
}

static emk_status parse(emk_span text, emk_cli_keys_config *out, emk_error *e)
{
    emk_cli_keys_config c = {.kind = ""};
    bool first = true;

    while (text.len > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.len);
        emk_span line = emk_span_of(text.p, end ? (size_t)(end - text.p) : text.len);
        emk_status st = EMK_OK;

        if (!end || memchr(line.p, 0, line.len))
            return emk_fail(e, EMK_E_FORMAT, "device: its file `keystore` is damaged", 0);
        if (!first)
            st = take_line(&c, line, e);
        else if (line.len != sizeof FIRST - 1 || memcmp(line.p, FIRST, line.len) != 0)
            st = emk_fail(e, EMK_E_UNSUPPORTED, "device: version of its file `keystore`", 0);
        if (st != EMK_OK)
            return st;
        first = false;
        text = emk_span_of(end + 1, text.len - line.len - 1);
    }
    if (!emk_cli_holder_find(c.kind))
        return emk_fail(e, EMK_E_UNSUPPORTED, "device: unknown kind of key holder", 0);
    *out = c;
    return EMK_OK;
}

emk_status emk_cli_keys_config_read(emk_cli *cli, const char *device_dir, emk_cli_keys_config *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_buf text;
    emk_status st = emk_cli_join(cli, device_dir, FILE_NAME, path);

    if (st != EMK_OK)
        return st;
    if (!emk_os_exists(path)) { /* made before there was a choice */
        *out = (emk_cli_keys_config){.kind = "soft"};
        return EMK_OK;
    }
    emk_buf_init(&text, TEXT_MAX);
    st = emk_os_read_file(path, TEXT_MAX, &text, &cli->error);
    if (st == EMK_OK)
        st = parse(emk_buf_span(&text), out, &cli->error);
    emk_buf_done(&text);
    if (st == EMK_E_FORMAT)
        st = emk_cli_advise(cli, st, "Put the file back from a copy, or make another device.");
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_keys_config_write(emk_cli *cli, const char *device_dir,
                                     const emk_cli_keys_config *config)
{
    char path[EMK_CLI_PATH_MAX], text[TEXT_MAX] = FIRST "\n";
    size_t len = strlen(text);
    emk_status st = emk_cli_join(cli, device_dir, FILE_NAME, path);

    for (size_t i = 0; i < N_FIELDS; i++) {
        const char *value = (const char *)config + FIELDS[i].offset;

        if (strpbrk(value, "\n\r"))
            return emk_cli_usage(cli, "--%s: a line break in it", FIELDS[i].name);
        if (value[0])
            len +=
                (size_t)snprintf(text + len, sizeof text - len, "%s %s\n", FIELDS[i].name, value);
    }
    return st == EMK_OK ? emk_cli_write_output(cli, path, emk_span_of(text, len)) : st;
}

/* ---- PINs ---- */

emk_status emk_cli_pin(emk_cli *cli, const char *whose, uint8_t *pin, size_t cap, size_t *len)
{
    const char *from_environment = getenv("EARMARK_PIN");
    const emk_secret *typed = NULL;
    emk_span given;
    emk_status st = EMK_OK;

    if (from_environment && !emk_cli_passphrase_given(cli)) {
        given = emk_span_str(from_environment);
    } else {
        st = emk_cli_passphrase(cli, whose, &typed);
        if (st != EMK_OK)
            cli->fix[0] = '\0'; /* it spoke of a passphrase */
        if (st != EMK_OK)
            return emk_cli_advise(cli, st,
                                  "These keys need a PIN: --passphrase-file FILE, EARMARK_PIN, or "
                                  "run this on a terminal.");
        given = emk_secret_span(typed);
    }
    if (given.len > cap)
        return emk_fail(&cli->error, EMK_E_LIMIT, "PIN: too long", given.len);
    memcpy(pin, given.p, given.len);
    *len = given.len;
    return EMK_OK;
}

/* ---- what to do ---- */

typedef struct advice {
    const char *prefix; /* of the error's text */
    emk_status status;
    const char *fix;
} advice;

/* The first that fits. */
static const advice ADVICE[] = {
    {"tpm2: there is no TPM", EMK_E_IO,
     "No TPM answers: enable it in the firmware, see that /dev/tpmrm0 is there and that this user "
     "is in its group (tss), or correct --tcti (of a device that is made: `tcti` in its file "
     "`keystore`)."},
    {"tpm2:", EMK_E_IO, "The TPM failed: try again; if it stays so, restart the machine."},
    {"tpm2:", EMK_E_BUSY,
     "The TPM is locked after wrong PINs, or in use: it unlocks by itself (`tpm2_getcap "
     "properties-variable` says when), or at once by its owner: tpm2_dictionarylockout -c."},
    {"tpm2:", EMK_E_KEY_LOST,
     "The TPM was cleared or replaced, and the keys with it: make a device in another directory "
     "(`earmark device init`), have it enrolled, and fetch its models again."},
    {"tpm2:", EMK_E_SEALED,
     "Try the PIN again, not often: the TPM counts. If it is right, the files in the device's "
     "directory are damaged: make another device and fetch its models again."},
    {"tpm2:", EMK_E_POLICY,
     "What was started on this machine is not what the PCR policy allows: have the policy's "
     "authority sign the present values; `earmark device pcr-policy` puts that in place."},
    {"tpm2:", EMK_E_STALE,
     "An old copy of the device's directory was put back: restore the newest one, or make another "
     "device and fetch its models again."},
    {"tpm2:", EMK_E_LIMIT, "The TPM has no room: remove devices (or other indexes) it holds."},
    {"pkcs11: the module", EMK_E_IO,
     "The token's library cannot be loaded: correct --module (of a device that is made: `module` "
     "in "
     "its file `keystore`)."},
    {"pkcs11:", EMK_E_IO,
     "The token is not there or does not answer: plug it in, or see that its service runs and "
     "its configuration (for SoftHSM: SOFTHSM2_CONF) is found; then try again."},
    {"pkcs11:", EMK_E_BUSY,
     "The token is locked after wrong PINs, or has no session left: unlock it with its own tools "
     "(its administrator's PIN), or try again later."},
    {"pkcs11:", EMK_E_SEALED, "Try the PIN again, not often: tokens count and lock themselves."},
    {"pkcs11:", EMK_E_KEY_LOST,
     "The token no longer has this device's keys: make a device in another directory (`earmark "
     "device init`), have it enrolled, and fetch its models again."},
    {"pkcs11:", EMK_E_UNSUPPORTED, "Use another token: this one cannot do P-256 ECDSA and ECDH."},
};

bool emk_cli_is_keystore_error(const emk_error *e)
{
    return e->what && (strncmp(e->what, "tpm2:", 5) == 0 || strncmp(e->what, "pkcs11:", 7) == 0);
}

const char *emk_cli_keystore_fix(const emk_error *e)
{
    if (!e->what)
        return NULL;
    for (size_t i = 0; i < sizeof ADVICE / sizeof ADVICE[0]; i++) {
        if (e->status == ADVICE[i].status &&
            strncmp(e->what, ADVICE[i].prefix, strlen(ADVICE[i].prefix)) == 0)
            return ADVICE[i].fix;
    }
    return NULL;
}
