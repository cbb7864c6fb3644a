/* The device's directory: what `device init` makes and the commands of a device open.
 *
 *   issuer.pub          the issuer's public key, pinned
 *   keystore            who holds the keys, and where [cli/keystores.h]
 *   keys/               the key holder's
 *   vault/              the models, and what waits for an answer
 *   former              ids of devices whose models were sealed again for this one
 *   device.enrolment    to be sent to the issuer */
#ifndef EMK_CLI_DEVICE_H
#define EMK_CLI_DEVICE_H

#include "cli/issuer.h"
#include "cli/keystores.h"
#include "device/client/client.h"
#include "keystore/keystore.h"

typedef struct emk_cli_device {
    char dir[EMK_CLI_PATH_MAX];
    emk_keystore keystore;
    emk_client *client;
    emk_guard *guard; /* NULL: none was asked for */
} emk_cli_device;

/* Opens the device of --device or the default; end with emk_cli_device_close also after a
 * failure (all zero is fine).  EMK_E_NOT_FOUND, with advice, when there is none. */
emk_status emk_cli_device_open(emk_cli *cli, emk_cli_device *out) EMK_MUST_CHECK;
/* The same for the device in dir. */
emk_status emk_cli_device_open_at(emk_cli *cli, const char *dir,
                                  emk_cli_device *out) EMK_MUST_CHECK;
void emk_cli_device_close(emk_cli_device *d);

/* Notes that models of the device with this id may be sealed again for the one in dir.
 * EMK_E_LIMIT beyond EMK_CLIENT_FORMER_MAX. */
emk_status emk_cli_former_add(emk_cli *cli, const char *dir, const uint8_t *id) EMK_MUST_CHECK;

/* The command `vault list`, which is also `device list`. */
emk_status emk_cli_vault_list(emk_cli *cli) EMK_MUST_CHECK;

/* Makes the directory, keys and enrolment; `issuer` is pinned.  Then it is open.  EMK_E_USED,
 * with advice, when there is a device. */
typedef struct emk_cli_device_new {
    const char *dir;
    const emk_cli_public *issuer;
    emk_cli_keys *keys; /* its `dir` is filled in */
} emk_cli_device_new;
emk_status emk_cli_device_make(emk_cli *cli, const emk_cli_device_new *in,
                               emk_cli_device *out) EMK_MUST_CHECK;

#endif
