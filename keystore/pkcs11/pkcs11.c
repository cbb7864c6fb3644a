/* State: a holder has a session with its token and the handles and public halves of its keys.
 * When the token was away, the first call that notices opens a session and finds the keys
 * anew, once. */
#include "keystore/pkcs11/pkcs11.h"

#include "core/base/alloc.h"
#include "core/crypto/hash.h"
#include "keystore/pkcs11/internal.h"

#define SHARED_LEN EMK_KEYSTORE_SHARED_LEN

typedef struct holder {
    emk_p11_token token;
    emk_p11_key signing;
    emk_p11_key agreement;
} holder;

struct emk_pkcs11_signer {
    emk_p11_token token;
    emk_p11_key key;
};

/* Finds a key in the present session; that it is another one than before counts as lost. */
static emk_status find_again(emk_p11_token *t, emk_p11_key *key, emk_error *e)
{
    emk_p11_key now = *key;
    emk_status st;

    st = emk_p11_find(t, &now, e);
    if (st == EMK_OK)
        st = emk_p11_read_public(t, &now, e);
    if (st != EMK_OK)
        return st;
    if (now.alg != key->alg || memcmp(now.pub, key->pub, emk_sign_public_len(now.alg)) != 0)
        return emk_fail(e, EMK_E_KEY_LOST, "pkcs11: the token has another key of this name", 0);
    *key = now;
    return EMK_OK;
}

static emk_status find_first(emk_p11_token *t, emk_p11_key *key, emk_error *e)
{
    emk_status st = emk_p11_find(t, key, e);

    return st == EMK_OK ? emk_p11_read_public(t, key, e) : st;
}

/* ---- signing ---- */

static CK_RV sign_once(emk_p11_token *t, const emk_p11_key *key, emk_span in, uint8_t sig[64])
{
    CK_MECHANISM mechanism = {key->alg == EMK_SIGN_ES256 ? CKM_ECDSA : CKM_EDDSA, NULL, 0};
    uint8_t made[64];
    CK_ULONG len = sizeof made;
    CK_RV rv;

    rv = t->module->C_SignInit(t->session, &mechanism, key->handle);
    if (rv != CKR_OK)
        return rv;
    rv = t->module->C_Sign(t->session, (CK_BYTE *)(uintptr_t)in.p, in.len, made, &len);
    if (rv != CKR_OK)
        return rv;
    if (len != sizeof made)
        return CKR_GENERAL_ERROR;
    memcpy(sig, made, sizeof made);
    return CKR_OK;
}

static emk_status sign(emk_p11_token *t, emk_p11_key *key, emk_span msg, uint8_t sig[64],
                       emk_error *e)
{
    uint8_t digest[32];
    emk_status st = EMK_OK;
    CK_RV rv;

    if (key->alg == EMK_SIGN_ES256) {
        st = emk_sha256(t->crypto, &msg, 1, digest, e);
        msg = emk_span_of(digest, sizeof digest);
    }
    if (st != EMK_OK)
        return st;
    rv = sign_once(t, key, msg, sig);
    if (rv != CKR_OK && emk_p11_is_gone(rv)) {
        st = emk_p11_connect(t, e);
        if (st == EMK_OK)
            st = find_again(t, key, e);
        if (st != EMK_OK)
            return st;
        rv = sign_once(t, key, msg, sig);
    }
    return rv == CKR_OK ? EMK_OK : emk_p11_fail(e, rv, "pkcs11: cannot sign");
}

/* ---- agreement ---- */

static CK_RV read_value(emk_p11_token *t, CK_OBJECT_HANDLE made, uint8_t x[SHARED_LEN])
{
    uint8_t value[SHARED_LEN];
    CK_ATTRIBUTE ask = {CKA_VALUE, value, sizeof value};
    CK_RV rv;

    rv = t->module->C_GetAttributeValue(t->session, made, &ask, 1);
    if (rv == CKR_OK && ask.ulValueLen <= SHARED_LEN) { /* some drop leading zeros */
        memset(x, 0, SHARED_LEN);
        memcpy(x + SHARED_LEN - ask.ulValueLen, value, ask.ulValueLen);
    } else if (rv == CKR_OK) {
        rv = CKR_GENERAL_ERROR;
    }
    emk_wipe(value, sizeof value);
    return rv;
}

static CK_RV derive_once(emk_p11_token *t, const emk_p11_key *key, emk_span peer,
                         uint8_t x[SHARED_LEN])
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = SHARED_LEN;
    CK_ATTRIBUTE as[] = {{CKA_CLASS, &class, sizeof class},
                         {CKA_KEY_TYPE, &type, sizeof type},
                         {CKA_TOKEN, &no, 1},
                         {CKA_SENSITIVE, &no, 1},
                         {CKA_EXTRACTABLE, &yes, 1},
                         {CKA_VALUE_LEN, &len, sizeof len}};
    CK_ECDH1_DERIVE_PARAMS params = {
        .kdf = CKD_NULL, .public_data_len = peer.len, .public_data = (CK_BYTE *)(uintptr_t)peer.p};
    CK_MECHANISM mechanism = {CKM_ECDH1_DERIVE, &params, sizeof params};
    CK_OBJECT_HANDLE made;
    CK_RV rv;

    rv = t->module->C_DeriveKey(t->session, &mechanism, key->handle, as, sizeof as / sizeof as[0],
                                &made);
    if (rv != CKR_OK)
        return rv;
    rv = read_value(t, made, x);
    (void)t->module->C_DestroyObject(t->session, made); /* else it ends with the session */
    return rv;
}

/* The standard says raw bytes or, in old versions, a DER octet string of them. */
static CK_RV derive(emk_p11_token *t, const emk_p11_key *key, const uint8_t peer[65],
                    uint8_t x[SHARED_LEN])
{
    uint8_t der[67] = {0x04, 65};
    CK_RV rv;

    rv = derive_once(t, key, emk_span_of(peer, 65), x);
    if (rv != CKR_MECHANISM_PARAM_INVALID && rv != CKR_ARGUMENTS_BAD && rv != CKR_DATA_INVALID)
        return rv;
    memcpy(der + 2, peer, 65);
    return derive_once(t, key, emk_span_of(der, sizeof der), x);
}

static emk_status p11_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    holder *h = self;
    emk_p11_token *t = &h->token;
    emk_status st;
    CK_RV rv;

    rv = derive(t, &h->agreement, peer, x);
    if (rv != CKR_OK && emk_p11_is_gone(rv)) {
        st = emk_p11_connect(t, e);
        if (st == EMK_OK)
            st = find_again(t, &h->agreement, e);
        if (st != EMK_OK)
            return st;
        rv = derive(t, &h->agreement, peer, x);
    }
    if (rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_ATTRIBUTE_SENSITIVE ||
        rv == CKR_ATTRIBUTE_VALUE_INVALID)
        return emk_fail(e, EMK_E_UNSUPPORTED, "pkcs11: the token keeps ECDH results to itself", rv);
    return rv == CKR_OK ? EMK_OK : emk_p11_fail(e, rv, "pkcs11: cannot agree");
}

/* ---- the holder ---- */

static const char *p11_describe(void *self)
{
    const holder *h = self;

    return h->token.is_hardware ? "keys in a PKCS#11 token"
                                : "keys in a PKCS#11 token that is not hardware";
}

static emk_status p11_public_keys(void *self, uint8_t signing[65], uint8_t agreement[65],
                                  emk_error *e)
{
    const holder *h = self;

    (void)e;
    memcpy(signing, h->signing.pub, 65);
    memcpy(agreement, h->agreement.pub, 65);
    return EMK_OK;
}

static emk_status p11_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    holder *h = self;

    return sign(&h->token, &h->signing, msg, sig, e);
}

static void p11_close(void *self)
{
    holder *h = self;

    if (!h)
        return;
    emk_p11_done(&h->token);
    emk_free(h);
}

static emk_status name_keys(holder *h, const emk_pkcs11_source *source, emk_error *e)
{
    emk_status st;

    st = emk_p11_name_of(source->signing ? source->signing : EMK_PKCS11_SIGNING, &h->signing.name,
                         e);
    if (st != EMK_OK)
        return st;
    return emk_p11_name_of(source->agreement ? source->agreement : EMK_PKCS11_AGREEMENT,
                           &h->agreement.name, e);
}

static emk_status new_holder(const emk_crypto *c, const emk_pkcs11_source *source, holder **out,
                             emk_error *e)
{
    holder *h = emk_alloc(1, sizeof *h);
    emk_status st;

    if (!h)
        return emk_fail(e, EMK_E_NO_MEMORY, "pkcs11: no memory", sizeof *h);
    st = name_keys(h, source, e);
    if (st == EMK_OK)
        st = emk_p11_init(&h->token, c, source, e);
    if (st != EMK_OK) {
        p11_close(h);
        return st;
    }
    *out = h;
    return EMK_OK;
}

emk_status emk_pkcs11_probe(const emk_pkcs11_source *source, emk_error *e)
{
    emk_p11_token t;
    emk_status st = emk_p11_look(&t, source, e);

    emk_p11_done(&t);
    return st;
}

emk_status emk_pkcs11_create(const emk_crypto *c, const emk_pkcs11_source *source, emk_error *e)
{
    holder *h = NULL;
    emk_status st;

    st = new_holder(c, source, &h, e);
    if (st != EMK_OK)
        return st;
    st = emk_p11_find(&h->token, &h->agreement, e);
    if (st == EMK_E_KEY_LOST)
        st = emk_p11_generate(&h->token, &h->signing.name, EMK_SIGN_ES256, EMK_P11_SIGN, e);
    else if (st == EMK_OK)
        st = emk_fail(e, EMK_E_USED, "pkcs11: the token has such a key already", 0);
    if (st == EMK_OK) {
        st = emk_p11_generate(&h->token, &h->agreement.name, EMK_SIGN_ES256, EMK_P11_DERIVE, e);
        if (st != EMK_OK && emk_p11_destroy(&h->token, &h->signing.name, NULL) != EMK_OK)
            st = emk_fail(e, st, "pkcs11: a signing key was left in the token", 0);
    }
    p11_close(h);
    return st;
}

emk_status emk_pkcs11_destroy(const emk_crypto *c, const emk_pkcs11_source *source, emk_error *e)
{
    holder *h = NULL;
    emk_status a, b;

    a = new_holder(c, source, &h, e);
    if (a != EMK_OK)
        return a;
    a = emk_p11_destroy(&h->token, &h->signing.name, e);
    b = emk_p11_destroy(&h->token, &h->agreement.name, e);
    p11_close(h);
    if (a != EMK_OK && a != EMK_E_NOT_FOUND)
        return a;
    return b == EMK_E_NOT_FOUND ? a : b;
}

static const emk_keystore_ops hardware_ops = {
    .size = sizeof hardware_ops,
    .flags = EMK_KEYSTORE_IS_HARDWARE,
    .name = EMK_PKCS11_NAME,
    .describe = p11_describe,
    .public_keys = p11_public_keys,
    .sign = p11_sign,
    .agree = p11_agree,
    .close = p11_close,
};

static const emk_keystore_ops software_ops = {
    .size = sizeof software_ops,
    .flags = 0,
    .name = EMK_PKCS11_NAME,
    .describe = p11_describe,
    .public_keys = p11_public_keys,
    .sign = p11_sign,
    .agree = p11_agree,
    .close = p11_close,
};

emk_status emk_pkcs11_open(const emk_crypto *c, const emk_pkcs11_source *source, emk_keystore *out,
                           emk_error *e)
{
    holder *h = NULL;
    emk_status st;

    st = new_holder(c, source, &h, e);
    if (st != EMK_OK)
        return st;
    st = find_first(&h->token, &h->signing, e);
    if (st == EMK_OK)
        st = find_first(&h->token, &h->agreement, e);
    if (st == EMK_OK && (h->signing.alg != EMK_SIGN_ES256 || h->agreement.alg != EMK_SIGN_ES256))
        st = emk_fail(e, EMK_E_UNSUPPORTED, "pkcs11: a device's keys are on P-256", 0);
    if (st != EMK_OK) {
        p11_close(h);
        return st;
    }
    *out = (emk_keystore){.ops = h->token.is_hardware ? &hardware_ops : &software_ops, .self = h};
    return EMK_OK;
}

/* ---- the signer ---- */

void emk_pkcs11_signer_close(emk_pkcs11_signer *s)
{
    if (!s)
        return;
    emk_p11_done(&s->token);
    emk_free(s);
}

static emk_status new_signer(const emk_crypto *c, const emk_pkcs11_source *source,
                             emk_pkcs11_signer **out, emk_error *e)
{
    emk_pkcs11_signer *s = emk_alloc(1, sizeof *s);
    emk_status st;

    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "pkcs11: no memory", sizeof *s);
    st = emk_p11_init(&s->token, c, source, e);
    if (st == EMK_OK)
        st = emk_p11_name_in_uri(&s->token, &s->key.name, e);
    if (st != EMK_OK) {
        emk_pkcs11_signer_close(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

emk_status emk_pkcs11_signer_create(const emk_crypto *c, const emk_pkcs11_source *source,
                                    emk_sign_alg alg, emk_error *e)
{
    emk_pkcs11_signer *s = NULL;
    emk_status st;

    if (alg != EMK_SIGN_ES256 && alg != EMK_SIGN_ED25519)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: algorithm", (uint64_t)alg);
    st = new_signer(c, source, &s, e);
    if (st != EMK_OK)
        return st;
    st = emk_p11_generate(&s->token, &s->key.name, alg, EMK_P11_SIGN, e);
    emk_pkcs11_signer_close(s);
    return st;
}

emk_status emk_pkcs11_signer_destroy(const emk_crypto *c, const emk_pkcs11_source *source,
                                     emk_error *e)
{
    emk_pkcs11_signer *s = NULL;
    emk_status st;

    st = new_signer(c, source, &s, e);
    if (st == EMK_OK)
        st = emk_p11_destroy(&s->token, &s->key.name, e);
    emk_pkcs11_signer_close(s);
    return st;
}

emk_status emk_pkcs11_signer_open(const emk_crypto *c, const emk_pkcs11_source *source,
                                  emk_pkcs11_signer **out, emk_error *e)
{
    emk_pkcs11_signer *s = NULL;
    emk_status st;

    st = new_signer(c, source, &s, e);
    if (st != EMK_OK)
        return st;
    st = find_first(&s->token, &s->key, e);
    if (st != EMK_OK) {
        emk_pkcs11_signer_close(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

emk_sign_alg emk_pkcs11_signer_alg(const emk_pkcs11_signer *s)
{
    return s->key.alg;
}

emk_span emk_pkcs11_signer_public(const emk_pkcs11_signer *s)
{
    return emk_span_of(s->key.pub, emk_sign_public_len(s->key.alg));
}

emk_status emk_pkcs11_signer_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    emk_pkcs11_signer *s = self;

    return sign(&s->token, &s->key, msg, sig, e);
}
