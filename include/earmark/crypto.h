/* One use of libcrypto: a library context, a property query, and every algorithm fetched
 * once.  Everything else starts from an emk_crypto.
 *
 * Built on the EVP interface of OpenSSL 3.0; ML-KEM is looked for at run time, so one binary
 * serves 3.0 and 3.5.  What is there is asked of the providers, per context, never guessed
 * from a version number.
 *
 * libcrypto's error queue of the calling thread is emptied by emk_crypto_new and whenever a
 * call here fails, so that an application never finds our errors in it.
 *
 * Thread rule: immutable once made, so any number of threads may share one. */
#ifndef EARMARK_CRYPTO_H
#define EARMARK_CRYPTO_H

#include <earmark/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct emk_crypto emk_crypto;

typedef enum emk_crypto_ability {
    EMK_CRYPTO_AES_GCM, /* 128 and 256 */
    EMK_CRYPTO_CHACHA20_POLY1305,
    EMK_CRYPTO_X25519,
    EMK_CRYPTO_P256, /* ECDH */
    EMK_CRYPTO_ED25519,
    EMK_CRYPTO_ES256,
    EMK_CRYPTO_ML_KEM_768,
    EMK_CRYPTO_ABILITIES
} emk_crypto_ability;

/* Kinds of keys that models are sealed to.  The last three need a libcrypto with ML-KEM. */
#define EMK_KEM_P256          0x0010u
#define EMK_KEM_X25519        0x0020u
#define EMK_KEM_ML_KEM_768    0x0041u
#define EMK_KEM_MLKEM768_P256 0x0050u
#define EMK_KEM_XWING         0x647Au

/* Gives a context; free with emk_crypto_free.  Keeps libctx (an OSSL_LIB_CTX; NULL: the
 * default one), borrows propq (NULL: none).  SHA-256 and HMAC over it must exist, all else is
 * optional.  EMK_E_UNSUPPORTED when SHA-256 is missing, EMK_E_NO_MEMORY or EMK_E_CRYPTO. */
emk_status emk_crypto_new(void *libctx, const char *propq, emk_crypto **out,
                          emk_error *e) EMK_MUST_CHECK;

/* NULL is fine.  Nothing made from it may be alive any more. */
void emk_crypto_free(emk_crypto *c);

/* Whether the providers behind this context have it. */
bool emk_crypto_has(const emk_crypto *c, emk_crypto_ability ability);

/* "OpenSSL 3.0.19 27 Jan 2026" or the like, of the libcrypto that runs now.  Static. */
const char *emk_crypto_version(void);

#ifdef __cplusplus
}
#endif

#endif
