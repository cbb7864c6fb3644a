/* The device's directory: what `device init` makes and the commands of a device open.
 *
 *   issuer.pub          the issuer's public key, pinned
 *   keys/               the key holder's
 *   vault/              the models, and what waits for an answer
 *   device.enrolment    to be sent to the issuer */
#ifndef EMK_CLI_DEVICE_H
#define EMK_CLI_DEVICE_H

#include "cli/issuer.h"
#include "device/client/client.h"
#include "keystore/keystore.h"

typedef struct emk_cli_device {
    char dir[EMK_CLI_PATH_MAX];
    emk_keystore keystore;
    emk_client *client;
} emk_cli_device;

/* Opens the device of --device or the default; end with emk_cli_device_close also after a
 * failure (all zero is fine).  EMK_E_NOT_FOUND, with advice, when there is none. */
emk_status emk_cli_device_open(emk_cli *cli, emk_cli_device *out) EMK_MUST_CHECK;
void emk_cli_device_close(emk_cli_device *d);

/* Makes the directory, keys and enrolment; `issuer` is pinned.  Then it is open. */
typedef struct emk_cli_device_new {
    const char *dir;
    const emk_cli_public *issuer;
    const emk_secret *passphrase; /* NULL: file permissions only */
    bool post_quantum;
} emk_cli_device_new;
emk_status emk_cli_device_make(emk_cli *cli, const emk_cli_device_new *in,
                               emk_cli_device *out) EMK_MUST_CHECK;

#endif
