/* The key holders that a device of the command line may have, and the file `keystore` in the
 * device's directory that says which one it has, so that no later command need be told.
 *
 * A holder that this build does without is in the table all the same, with what is missing:
 * nobody should wonder whether it is the machine or the program. */
#ifndef EMK_CLI_KEYSTORES_H
#define EMK_CLI_KEYSTORES_H

#include "cli/files.h"
#include "keystore/keystore.h"
#include "keystore/pkcs11/pkcs11.h"
#include "keystore/tpm2/tpm2.h"

#define EMK_CLI_HOLDER_ID 16u /* hex digits that tell devices of one token apart */

/* What the file says.  Texts that do not belong to the kind are empty. */
typedef struct emk_cli_keys_config {
    char kind[16];                      /* "soft", "tpm2", "pkcs11" */
    char tcti[EMK_TPM2_TCTI_MAX + 1];   /* tpm2: how the TPM is reached; empty: the default */
    char pin[4];                        /* tpm2: "yes" when the keys have a PIN */
    char module[EMK_CLI_PATH_MAX];      /* pkcs11: the token's library */
    char token[EMK_PKCS11_URI_MAX + 1]; /* pkcs11: the token's URI */
    char id[EMK_CLI_HOLDER_ID + 1];     /* pkcs11: part of the two keys' labels */
} emk_cli_keys_config;

/* Keys to be made, or opened. */
typedef struct emk_cli_keys {
    const char *dir; /* <device>/keys */
    emk_cli_keys_config config;
    /* For making alone. */
    const emk_secret *secret; /* passphrase, or the TPM's PIN; NULL: none */
    bool post_quantum;        /* soft */
    emk_span authority;       /* tpm2: 65 bytes, or empty */
    const emk_tpm2_policy *policy;
} emk_cli_keys;

typedef struct emk_cli_holder {
    const char *name;
    const char *absent; /* why this build has none, and what to do; NULL: it has */
    emk_status (*make)(emk_cli *cli, emk_cli_keys *k);
    emk_status (*open)(emk_cli *cli, const emk_cli_keys *k, emk_keystore *out);
    /* Removes what a `make`, also one that was cut short, left outside of the directory.  NULL:
     * nothing. */
    emk_status (*clear)(emk_cli *cli, const char *dir, const emk_cli_keys_config *config);
    /* EMK_OK when this machine has what it needs; else the error says what is the matter.
     * NULL: nothing is needed. */
    emk_status (*probe)(emk_cli *cli, const emk_cli_keys_config *config);
} emk_cli_holder;

/* One file of each pair below is built; see CMakeLists.txt. */
extern const emk_cli_holder EMK_CLI_HOLDER_SOFT;
extern const emk_cli_holder EMK_CLI_HOLDER_TPM2;   /* keystore_tpm2.c or ..._absent.c */
extern const emk_cli_holder EMK_CLI_HOLDER_PKCS11; /* keystore_pkcs11.c or ..._absent.c */
/* All of them; NULL ends the table. */
extern const emk_cli_holder *const EMK_CLI_HOLDERS[];

/* PCR policies, as keystore/tpm2/tpm2.h has them: EMK_E_UNSUPPORTED in a build without.  tcti may
 * be NULL. */
emk_status emk_cli_present_pcrs(emk_cli *cli, const char *tcti, uint32_t pcrs,
                                uint8_t digest[32]) EMK_MUST_CHECK;
emk_status emk_cli_policy_message(emk_cli *cli, const emk_tpm2_policy *policy,
                                  uint8_t message[EMK_TPM2_MESSAGE_LEN]) EMK_MUST_CHECK;
emk_status emk_cli_policy_put(emk_cli *cli, const char *keys_dir,
                              const emk_tpm2_policy *policy) EMK_MUST_CHECK;

/* The holder of a name; NULL when there is none. */
const emk_cli_holder *emk_cli_holder_find(const char *name);
/* EMK_E_UNSUPPORTED, with what to install, when this build does without it. */
emk_status emk_cli_holder_check(emk_cli *cli, const emk_cli_holder *h) EMK_MUST_CHECK;

/* The file of a device's directory.  A device without one has software keys.  EMK_E_FORMAT. */
emk_status emk_cli_keys_config_read(emk_cli *cli, const char *device_dir,
                                    emk_cli_keys_config *out) EMK_MUST_CHECK;
emk_status emk_cli_keys_config_write(emk_cli *cli, const char *device_dir,
                                     const emk_cli_keys_config *config) EMK_MUST_CHECK;

/* A PIN that exists: from --passphrase-file or --passphrase-fd, EARMARK_PIN, or typed.  Fills pin
 * and *len; the caller wipes.  EMK_E_LIMIT beyond cap bytes. */
emk_status emk_cli_pin(emk_cli *cli, const char *whose, uint8_t *pin, size_t cap,
                       size_t *len) EMK_MUST_CHECK;

/* What to do about a failure that a key holder reported; NULL when it was none of them. */
const char *emk_cli_keystore_fix(const emk_error *e);
/* True when the failure is a holder's own: its `where` is a number of that holder's. */
bool emk_cli_is_keystore_error(const emk_error *e);

#endif
