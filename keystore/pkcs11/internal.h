/* The token behind the PKCS#11 holder; not for other folders. */
#ifndef EMK_KEYSTORE_PKCS11_INTERNAL_H
#define EMK_KEYSTORE_PKCS11_INTERNAL_H

#include "core/base/secret.h"
#include "keystore/pkcs11/pkcs11.h"

/* p11-kit's own spelling of the standard's types. */
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#define EMK_P11_ID_MAX 64u

/* A session with one token, logged in. */
typedef struct emk_p11_token {
    const emk_crypto *crypto;
    CK_FUNCTION_LIST *module;
    P11KitUri *uri;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    bool has_session;
    bool is_hardware;
    bool wants_pin;
    bool pin_refused; /* never try again: the token counts */
    emk_secret *pin;  /* NULL: ask, or none */
    emk_pkcs11_pin_fn ask;
    void *ask_self;
} emk_p11_token;

/* Which key: by its label, or by the id that is not empty. */
typedef struct emk_p11_name {
    char label[EMK_PKCS11_LABEL_MAX + 1];
    uint8_t id[EMK_P11_ID_MAX];
    size_t id_len;
} emk_p11_name;

typedef struct emk_p11_key {
    emk_p11_name name;
    emk_sign_alg alg; /* its curve */
    uint8_t pub[65];
    CK_OBJECT_HANDLE handle; /* good for the present session */
} emk_p11_key;

/* What the token's code means to a caller.  rv is not CKR_OK; it is `where`. */
emk_status emk_p11_fail(emk_error *e, CK_RV rv, const char *what);

/* Loads the module and logs in; done with emk_p11_done, also after a failure. */
emk_status emk_p11_init(emk_p11_token *t, const emk_crypto *c, const emk_pkcs11_source *source,
                        emk_error *e) EMK_MUST_CHECK;
/* Loads the module and finds the token, and no more: no session, no log-in. */
emk_status emk_p11_look(emk_p11_token *t, const emk_pkcs11_source *source,
                        emk_error *e) EMK_MUST_CHECK;
void emk_p11_done(emk_p11_token *t);
/* A session once more, after the one before was lost. */
emk_status emk_p11_connect(emk_p11_token *t, emk_error *e) EMK_MUST_CHECK;
/* True when rv says that the session is gone, not that the token refuses. */
bool emk_p11_is_gone(CK_RV rv);

/* EMK_E_LIMIT or EMK_E_USAGE for a label that is too long or empty. */
emk_status emk_p11_name_of(const char *label, emk_p11_name *out, emk_error *e) EMK_MUST_CHECK;
/* The key that the URI names. */
emk_status emk_p11_name_in_uri(const emk_p11_token *t, emk_p11_name *out,
                               emk_error *e) EMK_MUST_CHECK;

/* Finds the private key: EMK_E_KEY_LOST when there is none, EMK_E_USAGE when there are several
 * or it can be read out. */
emk_status emk_p11_find(emk_p11_token *t, emk_p11_key *key, emk_error *e) EMK_MUST_CHECK;
/* Reads the public half of a key that was found: alg and pub. */
emk_status emk_p11_read_public(emk_p11_token *t, emk_p11_key *key, emk_error *e) EMK_MUST_CHECK;
typedef enum emk_p11_use { EMK_P11_SIGN, EMK_P11_DERIVE } emk_p11_use;
emk_status emk_p11_generate(emk_p11_token *t, const emk_p11_name *name, emk_sign_alg alg,
                            emk_p11_use use, emk_error *e) EMK_MUST_CHECK;
/* Destroys private and public half.  EMK_E_NOT_FOUND. */
emk_status emk_p11_destroy(emk_p11_token *t, const emk_p11_name *name, emk_error *e) EMK_MUST_CHECK;

#endif
