/* The server's keys in files: 88 bytes each, the format of `earmark issuer init` without a
 * passphrase (docs/operate/keys.md).  Read and made by the keyholder, before it is confined. */
#ifndef EMK_SERVER_DAEMON_KEYS_H
#define EMK_SERVER_DAEMON_KEYS_H

#include "core/base/secret.h"
#include "core/crypto/sign.h"

#define EMK_KEY_LEN  32u
#define EMK_KEY_NEXT "next" /* folder below: a key that is about to take its place */

typedef enum emk_key_use {
    EMK_KEY_ISSUER = 1,  /* issuer.key: Ed25519 */
    EMK_KEY_SEALING = 2, /* sealing.key: Ed25519 */
    EMK_KEY_AUDIT = 3,   /* audit.key: Ed25519, signs checkpoints */
    EMK_KEY_STORAGE = 4, /* storage.key: wraps the keys of stored models */
    EMK_KEY_LEASE = 5,   /* lease.key: master of lease secrets */
    EMK_KEY_SERVER = 6,  /* server.key: nonces, sessions, subjects' keys hang on it */
    EMK_KEY_USES
} emk_key_use;

/* Static: "issuer.key". */
const char *emk_key_name(emk_key_use use);

/* Gives the key of <dir>/<name>; free with emk_secret_free.  EMK_E_NOT_FOUND; EMK_E_USAGE when
 * others may read the file; EMK_E_FORMAT for another content or use; EMK_E_UNSUPPORTED when it
 * wants a passphrase: nobody is there to type one. */
emk_status emk_key_read(const char *dir, emk_key_use use, emk_secret **out,
                        emk_error *e) EMK_MUST_CHECK;
/* Makes the key unless it is there.  A signing key's file is valid for its algorithm. */
emk_status emk_key_make(const emk_crypto *c, const char *dir, emk_key_use use,
                        emk_error *e) EMK_MUST_CHECK;
/* Puts a new private key of EMK_KEY_LEN bytes in the place of what is there: a kill leaves the old
 * or the new. */
emk_status emk_key_replace(const char *dir, emk_key_use use, const uint8_t *priv,
                           emk_error *e) EMK_MUST_CHECK;
/* Writes <dir>/<name>.pub ("emk-issuer-1 <base64url>"). */
emk_status emk_key_publish(const char *dir, const char *name, emk_span public_key,
                           emk_error *e) EMK_MUST_CHECK;

#endif
