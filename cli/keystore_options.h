/* The options of `device init`, `issuer init` and `device pcr-policy` about key holders, made into
 * what is to be made. */
#ifndef EMK_CLI_KEYSTORE_OPTIONS_H
#define EMK_CLI_KEYSTORE_OPTIONS_H

#include "cli/keystores.h"

/* Rows for the tables of both commands. */
#define EMK_CLI_OPTION_TCTI                                                                        \
    {                                                                                              \
        "tcti", 0, EMK_CLI_WORD, "NAME", "tpm2: how the TPM is reached (" EMK_TPM2_TCTI ")", false \
    }
#define EMK_CLI_OPTION_PCRS(required)                                                            \
    {                                                                                            \
        "pcrs", 0, EMK_CLI_WORD, "LIST", "tpm2: PCRs of a signed policy, as 0,2,4,7", (required) \
    }

/* Texts and bytes that emk_cli_keys points into; lives as long as that. */
typedef struct emk_cli_keys_store {
    uint8_t authority[EMK_KEYSTORE_PUBLIC_LEN];
    emk_tpm2_policy policy;
} emk_cli_keys_store;

/* Fills keys from --keystore and what belongs to it.  EMK_E_USAGE for options that do not go
 * together; EMK_E_UNSUPPORTED when this build has no such holder. */
emk_status emk_cli_keys_from_options(emk_cli *cli, emk_cli_keys_store *store,
                                     emk_cli_keys *keys) EMK_MUST_CHECK;

/* Where a holder would be, from --tcti, --module and --token.  EMK_E_USAGE. */
emk_status emk_cli_holder_options(emk_cli *cli, emk_cli_keys_config *config) EMK_MUST_CHECK;

/* A token for new keys, from --module and --token, which have to be there, with a new id. */
emk_status emk_cli_token_options(emk_cli *cli, emk_cli_keys_config *config) EMK_MUST_CHECK;

/* "0,2,4,7" into bits.  EMK_E_USAGE. */
emk_status emk_cli_parse_pcrs(emk_cli *cli, const char *text, uint32_t *out) EMK_MUST_CHECK;
/* The signature in a file: r || s, or as openssl writes it (DER). */
emk_status emk_cli_read_policy_signature(emk_cli *cli, const char *path,
                                         uint8_t sig[64]) EMK_MUST_CHECK;

#endif
