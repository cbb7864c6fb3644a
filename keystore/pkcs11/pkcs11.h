/* A key holder in a PKCS#11 token (a security module, a card, a cloud's key service through its
 * module), and a signer for issuers on the same.  The private keys are made in the token, are
 * sensitive and cannot be extracted; a key that can is refused.
 *
 * There are no counters and no secrets: PKCS#11 has nothing for the first.  A token says itself
 * whether it is hardware; SoftHSM is not, and neither is the holder then.
 *
 * Statuses of all calls that reach the token: EMK_E_IO when the token or its module is not
 * there or fails, EMK_E_SEALED for a PIN that was refused (tried once, and never again through
 * the same object: tokens count), EMK_E_BUSY when it is locked or has no session left,
 * EMK_E_KEY_LOST when it has no such key, EMK_E_UNSUPPORTED when it cannot do what is asked.
 * A token that was pulled out and put back is logged in to once more, silently. */
#ifndef EMK_KEYSTORE_PKCS11_PKCS11_H
#define EMK_KEYSTORE_PKCS11_PKCS11_H

#include "core/crypto/sign.h"
#include "keystore/keystore.h"

#define EMK_PKCS11_NAME      "pkcs11"
#define EMK_PKCS11_URI_MAX   1024u /* bytes */
#define EMK_PKCS11_PIN_MAX   256u  /* bytes */
#define EMK_PKCS11_LABEL_MAX 64u   /* bytes */
#define EMK_PKCS11_SIGNING   "earmark signing"
#define EMK_PKCS11_AGREEMENT "earmark agreement"

/* Fills pin (EMK_PKCS11_PIN_MAX bytes) and *len; called once for each log-in. */
typedef emk_status (*emk_pkcs11_pin_fn)(void *self, uint8_t *pin, size_t *len, emk_error *e);

/* Where the keys are; all of it borrowed for the call. */
typedef struct emk_pkcs11_source {
    const char *module; /* path of the token's library */
    const char *uri;    /* which token, "pkcs11:token=..."; for a signer also which key, by
                         * object= or id=.  A PIN in it is EMK_E_USAGE: people log URIs.
                         * [RFC 7512] */
    emk_span pin;       /* kept in locked memory; empty: `ask` */
    emk_pkcs11_pin_fn
        ask; /* kept; called where the token wants a log-in.  NULL: EMK_E_SEALED then */
    void *ask_self;
    const char *signing; /* labels of a device's two keys; NULL: the names above */
    const char *agreement;
} emk_pkcs11_source;

/* EMK_OK when the module loads and has the one token that the URI names.  Logs in to nothing. */
emk_status emk_pkcs11_probe(const emk_pkcs11_source *source, emk_error *e) EMK_MUST_CHECK;

/* Makes a device's two keys in the token.  EMK_E_USED when it has one of them already. */
emk_status emk_pkcs11_create(const emk_crypto *c, const emk_pkcs11_source *source,
                             emk_error *e) EMK_MUST_CHECK;

/* Opens them into *out; end with emk_keystore_close.  Keeps c. */
emk_status emk_pkcs11_open(const emk_crypto *c, const emk_pkcs11_source *source, emk_keystore *out,
                           emk_error *e) EMK_MUST_CHECK;

/* Removes a device's two keys for good.  EMK_E_NOT_FOUND when it has neither. */
emk_status emk_pkcs11_destroy(const emk_crypto *c, const emk_pkcs11_source *source,
                              emk_error *e) EMK_MUST_CHECK;

/* One key that signs.  One object, one thread. */
typedef struct emk_pkcs11_signer emk_pkcs11_signer;

/* Makes a signing key with the label that the URI names (object=), Ed25519 or P-256.
 * EMK_E_USED when there is one. */
emk_status emk_pkcs11_signer_create(const emk_crypto *c, const emk_pkcs11_source *source,
                                    emk_sign_alg alg, emk_error *e) EMK_MUST_CHECK;

/* Removes it, or what is there of it, for good.  EMK_E_NOT_FOUND. */
emk_status emk_pkcs11_signer_destroy(const emk_crypto *c, const emk_pkcs11_source *source,
                                     emk_error *e) EMK_MUST_CHECK;

/* Gives the key that the URI names; free with emk_pkcs11_signer_close.  Keeps c. */
emk_status emk_pkcs11_signer_open(const emk_crypto *c, const emk_pkcs11_source *source,
                                  emk_pkcs11_signer **out, emk_error *e) EMK_MUST_CHECK;
emk_sign_alg emk_pkcs11_signer_alg(const emk_pkcs11_signer *s);
/* Lends the public key: 32 bytes or 65. */
emk_span emk_pkcs11_signer_public(const emk_pkcs11_signer *s);
/* Fills sig over msg, Ed25519 or ES256.  `self` is the signer: for emk_signer_from_fn. */
emk_status emk_pkcs11_signer_sign(void *self, emk_span msg, uint8_t sig[64],
                                  emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_pkcs11_signer_close(emk_pkcs11_signer *s);

#endif
