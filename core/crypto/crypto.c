#include "core/crypto/crypto.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/crypto/internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

#define DEAD_STACK_LEN 32768u /* bytes; ML-KEM works on more than 16 KiB */

/* The macro is missing from the 3.0 headers. */
static const char ML_KEM_NAME[] = "ML-KEM-768";

/* Empties the thread's error queue and tells what stood in it. */
typedef struct reasons {
    bool memory;      /* rarely the last one: who ran out of it tells its caller, and so on */
    bool unsupported; /* the last one says that there is no such algorithm */
} reasons;

static reasons take_reasons(void)
{
    reasons r = {false, false};
    unsigned long code;

    while ((code = ERR_get_error()) != 0) {
        r.memory = r.memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
        r.unsupported = ERR_GET_REASON(code) == ERR_R_UNSUPPORTED;
    }
    return r;
}

emk_status emk_lib_refuse(emk_error *e, emk_status bad, const char *what)
{
    return emk_fail(e, take_reasons().memory ? EMK_E_NO_MEMORY : bad, what, 0);
}

emk_status emk_lib_fail(emk_error *e, const char *what)
{
    return emk_lib_refuse(e, EMK_E_CRYPTO, what);
}

/* Not inlined: its frame must lie where the callee's was. */
__attribute__((noinline)) void emk_lib_wipe_stack(void)
{
    uint8_t dead[DEAD_STACK_LEN];

    emk_wipe(dead, sizeof dead);
}

/* After a fetch.  An algorithm that is not there is an answer; one that could not be built is a
 * failure, and must not pass for the former: who asked would fall back to less. */
static emk_status probe_ended(bool found, emk_error *e)
{
    reasons r = take_reasons();

    if (found || (r.unsupported && !r.memory))
        return EMK_OK;
    return emk_fail(e, r.memory ? EMK_E_NO_MEMORY : EMK_E_CRYPTO, "crypto: fetch", 0);
}

static emk_status fetch_md(const emk_crypto *c, const char *name, EVP_MD **out, emk_error *e)
{
    *out = emk_lib_hit() ? NULL : EVP_MD_fetch(c->lib, name, c->propq);
    return probe_ended(*out != NULL, e);
}

static emk_status fetch_kdf(const emk_crypto *c, const char *name, EVP_KDF **out, emk_error *e)
{
    *out = emk_lib_hit() ? NULL : EVP_KDF_fetch(c->lib, name, c->propq);
    return probe_ended(*out != NULL, e);
}

static emk_status fetch_cipher(const emk_crypto *c, const char *name, EVP_CIPHER **out,
                               emk_error *e)
{
    *out = emk_lib_hit() ? NULL : EVP_CIPHER_fetch(c->lib, name, c->propq);
    return probe_ended(*out != NULL, e);
}

static emk_status probe_exchange(emk_crypto *c, const char *name, bool *has, emk_error *e)
{
    EVP_KEYEXCH *x = emk_lib_hit() ? NULL : EVP_KEYEXCH_fetch(c->lib, name, c->propq);

    *has = x != NULL;
    EVP_KEYEXCH_free(x);
    return probe_ended(*has, e);
}

static emk_status probe_signature(emk_crypto *c, const char *name, bool *has, emk_error *e)
{
    EVP_SIGNATURE *s = emk_lib_hit() ? NULL : EVP_SIGNATURE_fetch(c->lib, name, c->propq);

    *has = s != NULL;
    EVP_SIGNATURE_free(s);
    return probe_ended(*has, e);
}

static emk_status probe_ml_kem(emk_crypto *c, emk_error *e)
{
    EVP_KEM *k = emk_lib_hit() ? NULL : EVP_KEM_fetch(c->lib, ML_KEM_NAME, c->propq);
    bool found = k != NULL;

    c->has[EMK_CRYPTO_ML_KEM_768] = found && c->sha3_256 && c->shake256;
    EVP_KEM_free(k);
    return probe_ended(found, e);
}

/* An EC key that holds the curve and nothing else. */
static emk_status make_p256_params(emk_crypto *c, emk_error *e)
{
    char name[] = SN_X9_62_prime256v1;
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = emk_lib_hit() ? NULL : EVP_PKEY_CTX_new_from_name(c->lib, "EC", c->propq);
    bool ok;

    ok = ctx && !emk_lib_hit() && EVP_PKEY_fromdata_init(ctx) == 1 && !emk_lib_hit() &&
         EVP_PKEY_fromdata(ctx, &c->p256_params, EVP_PKEY_KEY_PARAMETERS, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok ? EMK_OK : emk_lib_fail(e, "crypto: P-256");
}

static emk_status make_p256(emk_crypto *c, emk_error *e)
{
    bool ecdh, ecdsa;
    emk_status st;

    st = probe_exchange(c, "ECDH", &ecdh, e);
    if (st == EMK_OK)
        st = probe_signature(c, "ECDSA", &ecdsa, e);
    if (st != EMK_OK || (!ecdh && !ecdsa))
        return st;
    st = make_p256_params(c, e);
    if (st != EMK_OK)
        return st;
    if (emk_lib_hit() ||
        !(c->p256 = EC_GROUP_new_by_curve_name_ex(c->lib, c->propq, NID_X9_62_prime256v1)))
        return emk_lib_fail(e, "crypto: P-256");
    c->has[EMK_CRYPTO_P256] = ecdh;
    c->has[EMK_CRYPTO_ES256] = ecdsa;
    return EMK_OK;
}

static emk_status fetch_digests(emk_crypto *c, emk_error *e)
{
    emk_status st;

    st = fetch_md(c, "SHA2-256", &c->sha256, e);
    if (st == EMK_OK && !c->sha256)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "crypto: no SHA-256 with this property query", 0);
    if (st == EMK_OK)
        st = fetch_md(c, "SHA3-256", &c->sha3_256, e);
    if (st == EMK_OK)
        st = fetch_md(c, "SHAKE-256", &c->shake256, e);
    if (st == EMK_OK)
        st = fetch_kdf(c, "PBKDF2", &c->pbkdf2, e);
    if (st == EMK_OK)
        st = fetch_kdf(c, "SCRYPT", &c->scrypt, e);
    return st;
}

static emk_status fetch_ciphers(emk_crypto *c, emk_error *e)
{
    static const char *const NAMES[3] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < 3; i++)
        st = fetch_cipher(c, NAMES[i], &c->aead[i], e);
    c->has[EMK_CRYPTO_AES_GCM] = c->aead[0] && c->aead[1];
    c->has[EMK_CRYPTO_CHACHA20_POLY1305] = c->aead[2] != NULL;
    return st;
}

static emk_status fetch_all(emk_crypto *c, emk_error *e)
{
    emk_status st;

    st = fetch_digests(c, e);
    if (st == EMK_OK)
        st = fetch_ciphers(c, e);
    if (st == EMK_OK)
        st = make_p256(c, e);
    if (st == EMK_OK)
        st = probe_exchange(c, "X25519", &c->has[EMK_CRYPTO_X25519], e);
    if (st == EMK_OK)
        st = probe_signature(c, "ED25519", &c->has[EMK_CRYPTO_ED25519], e);
    if (st == EMK_OK)
        st = probe_ml_kem(c, e);
    return st;
}

emk_status emk_crypto_new(void *libctx, const char *propq, emk_crypto **out, emk_error *e)
{
    emk_crypto *c = emk_alloc(1, sizeof *c);
    emk_status st = EMK_OK;

    if (!c)
        return emk_fail(e, EMK_E_NO_MEMORY, "crypto: context", sizeof *c);
    c->lib = libctx;
    if (propq && !(c->propq = emk_strdup(propq)))
        st = emk_fail(e, EMK_E_NO_MEMORY, "crypto: property query", 0);
    if (st == EMK_OK)
        st = emk_secret_pool_new(&c->secrets, e);
    ERR_clear_error(); /* so that what is read after a fetch belongs to it */
    if (st == EMK_OK)
        st = fetch_all(c, e);
    if (st != EMK_OK) {
        emk_crypto_free(c);
        return st;
    }
    *out = c;
    return EMK_OK;
}

void emk_crypto_free(emk_crypto *c)
{
    if (!c)
        return;
    EVP_PKEY_free(c->p256_params);
    EC_GROUP_free(c->p256);
    for (size_t i = 0; i < 3; i++)
        EVP_CIPHER_free(c->aead[i]);
    EVP_KDF_free(c->scrypt);
    EVP_KDF_free(c->pbkdf2);
    EVP_MD_free(c->shake256);
    EVP_MD_free(c->sha3_256);
    EVP_MD_free(c->sha256);
    emk_secret_pool_free(c->secrets);
    emk_free(c->propq);
    emk_free(c);
}

emk_secret_pool *emk_crypto_secrets(const emk_crypto *c)
{
    return c->secrets;
}

bool emk_crypto_has(const emk_crypto *c, emk_crypto_ability ability)
{
    return (unsigned)ability < EMK_CRYPTO_ABILITIES && c->has[ability];
}

const char *emk_crypto_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}
