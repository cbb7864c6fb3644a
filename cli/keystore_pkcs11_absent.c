/* In the place of keystore_pkcs11.c where p11-kit was not there at build time. */
#include "cli/keystores.h"

const emk_cli_holder EMK_CLI_HOLDER_PKCS11 = {
    .name = "pkcs11",
    .absent = "This build has no PKCS#11 support: install libp11-kit-dev and rebuild."};
