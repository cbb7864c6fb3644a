/* The device's directory: what `device init` makes and the commands of a device open.
 *
 *   issuer.pub          the issuer's public key, pinned
 *   issuers             keys of that issuer that were learned since, a row of length and bytes
 *   keystore            who holds the keys, and where [cli/keystores.h]
 *   keys/               the key holder's
 *   vault/              the models, and what waits for an answer
 *   former              ids of devices whose models were sealed again for this one
 *   unfinished          there while `device init` is at work, or where it was cut short
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
    int making;       /* the locked directory while it is being made, else 0 */
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

/* Keeps a key of the issuer that the client has learned. */
emk_status emk_cli_issuer_keep(emk_cli *cli, const char *dir, emk_span public_key) EMK_MUST_CHECK;

/* The command `vault list`, which is also `device list`. */
emk_status emk_cli_vault_list(emk_cli *cli) EMK_MUST_CHECK;

/* Makes the directory and keys; `issuer` is pinned.  Then it is open, and counts as unfinished
 * until emk_cli_device_made: nothing but another emk_cli_device_make, which begins anew, opens it.
 * EMK_E_USED, with advice, when there is a device; EMK_E_BUSY while another process makes one. */
typedef struct emk_cli_device_new {
    const char *dir;
    const emk_cli_public *issuer;
    emk_cli_keys *keys; /* its `dir` is filled in */
} emk_cli_device_new;
emk_status emk_cli_device_make(emk_cli *cli, const emk_cli_device_new *in,
                               emk_cli_device *out) EMK_MUST_CHECK;
/* Its enrolment is there: the device is complete. */
emk_status emk_cli_device_made(emk_cli *cli, const emk_cli_device *d) EMK_MUST_CHECK;

#endif
