/* State: a token is used through one session, which is opened anew when the token was away.
 * Handles of keys belong to a session, so they are looked up anew with it. */
#include "core/base/bytes.h"
#include "core/crypto/dh.h"
#include "keystore/pkcs11/internal.h"

#include <p11-kit/p11-kit.h>

#define SLOTS_MAX 64u
#define POINT_MAX 80u

static CK_BYTE p256_params[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
static CK_BYTE ed25519_params[] = {0x06, 0x03, 0x2B, 0x65, 0x70};
static CK_BYTE ed25519_name[] = {0x13, 0x0C, 'e', 'd', 'w', 'a', 'r',
                                 'd',  's',  '2', '5', '5', '1', '9'};
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

emk_status emk_p11_fail(emk_error *e, CK_RV rv, const char *what)
{
    switch (rv) {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
    case CKR_PIN_EXPIRED:
    case CKR_USER_NOT_LOGGED_IN:
        return emk_fail(e, EMK_E_SEALED, what, rv);
    case CKR_PIN_LOCKED:
    case CKR_SESSION_COUNT:
    case CKR_OPERATION_ACTIVE:
    case CKR_CANT_LOCK:
        return emk_fail(e, EMK_E_BUSY, what, rv);
    case CKR_MECHANISM_INVALID:
    case CKR_MECHANISM_PARAM_INVALID:
    case CKR_FUNCTION_NOT_SUPPORTED:
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
    case CKR_KEY_TYPE_INCONSISTENT:
    case CKR_TEMPLATE_INCONSISTENT:
    case CKR_ATTRIBUTE_SENSITIVE:
    case CKR_ATTRIBUTE_VALUE_INVALID:
    case CKR_CURVE_NOT_SUPPORTED:
    case CKR_TOKEN_WRITE_PROTECTED:
        return emk_fail(e, EMK_E_UNSUPPORTED, what, rv);
    case CKR_KEY_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
        return emk_fail(e, EMK_E_KEY_LOST, what, rv);
    case CKR_HOST_MEMORY:
        return emk_fail(e, EMK_E_NO_MEMORY, what, rv);
    default:
        return emk_fail(e, EMK_E_IO, what, rv);
    }
}

bool emk_p11_is_gone(CK_RV rv)
{
    return rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED ||
           rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_DEVICE_REMOVED || rv == CKR_DEVICE_ERROR ||
           rv == CKR_USER_NOT_LOGGED_IN || rv == CKR_SLOT_ID_INVALID ||
           rv == CKR_KEY_HANDLE_INVALID || rv == CKR_OBJECT_HANDLE_INVALID;
}

/* ---- the session ---- */

static emk_status find_slot(emk_p11_token *t, CK_SLOT_ID *slot, emk_error *e)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_RV rv;
    size_t found = 0;

    if (!t->module)
        return emk_fail(e, EMK_E_IO, "pkcs11: no module", 0);
    rv = t->module->C_GetSlotList(CK_TRUE, slots, &n);
    if (rv == CKR_BUFFER_TOO_SMALL)
        return emk_fail(e, EMK_E_LIMIT, "pkcs11: too many slots", n);
    if (rv != CKR_OK)
        return emk_p11_fail(e, rv, "pkcs11: slots");
    for (CK_ULONG i = 0; i < n; i++) {
        CK_SLOT_INFO slot_info;
        CK_TOKEN_INFO info;

        if (t->module->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            t->module->C_GetSlotInfo(slots[i], &slot_info) != CKR_OK ||
            p11_kit_uri_match_token_info(t->uri, &info) != 1 ||
            !(info.flags & CKF_TOKEN_INITIALIZED))
            continue;
        *slot = slots[i];
        t->is_hardware = (slot_info.flags & CKF_HW_SLOT) != 0;
        t->wants_pin = (info.flags & CKF_LOGIN_REQUIRED) != 0;
        found++;
    }
    if (found == 0)
        return emk_fail(e, EMK_E_IO, "pkcs11: there is no such token", 0);
    if (found > 1) /* the first one would be a different one some day */
        return emk_fail(e, EMK_E_USAGE, "pkcs11: the URI fits several tokens", found);
    return EMK_OK;
}

static emk_status log_in(emk_p11_token *t, CK_UTF8CHAR *pin, size_t len, emk_error *e)
{
    CK_RV rv = t->module->C_Login(t->session, CKU_USER, pin, len);

    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return EMK_OK;
    if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE ||
        rv == CKR_PIN_LOCKED)
        t->pin_refused = true;
    return emk_p11_fail(e, rv, "pkcs11: the PIN was refused");
}

static emk_status authenticate(emk_p11_token *t, emk_error *e)
{
    uint8_t pin[EMK_PKCS11_PIN_MAX];
    size_t len = 0;
    emk_status st;

    if (t->pin)
        return log_in(t, emk_secret_bytes(t->pin), emk_secret_len(t->pin), e);
    if (!t->wants_pin)
        return EMK_OK;
    if (!t->ask) /* else its keys would only seem to be gone */
        return emk_fail(e, EMK_E_SEALED, "pkcs11: the token wants a PIN", 0);
    st = t->ask(t->ask_self, pin, &len, e);
    if (st == EMK_OK && len > sizeof pin)
        st = emk_fail(e, EMK_E_USAGE, "pkcs11: PIN is too long", len);
    if (st == EMK_OK)
        st = log_in(t, pin, len, e);
    emk_wipe(pin, sizeof pin);
    return st;
}

static void disconnect(emk_p11_token *t)
{
    if (t->has_session && t->module)
        (void)t->module->C_CloseSession(t->session); /* it may be gone already */
    t->has_session = false;
}

emk_status emk_p11_connect(emk_p11_token *t, emk_error *e)
{
    emk_status st;
    CK_RV rv;

    disconnect(t);
    if (t->pin_refused)
        return emk_fail(e, EMK_E_SEALED, "pkcs11: the PIN was refused before", 0);
    st = find_slot(t, &t->slot, e);
    if (st != EMK_OK || !t->module)
        return st;
    rv = t->module->C_OpenSession(t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                  &t->session);
    if (rv == CKR_TOKEN_WRITE_PROTECTED)
        rv = t->module->C_OpenSession(t->slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session);
    if (rv != CKR_OK)
        return emk_p11_fail(e, rv, "pkcs11: session");
    t->has_session = true;
    st = authenticate(t, e);
    if (st != EMK_OK)
        disconnect(t);
    return st;
}

static emk_status load_module(emk_p11_token *t, const char *path, emk_error *e)
{
    CK_RV rv;

    p11_kit_be_quiet();
    t->module = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
    if (!t->module)
        return emk_fail(e, EMK_E_IO, "pkcs11: the module cannot be loaded", 0);
    rv = p11_kit_module_initialize(t->module);
    if (rv != CKR_OK) {
        p11_kit_module_release(t->module);
        t->module = NULL;
        return emk_p11_fail(e, rv, "pkcs11: the module does not start");
    }
    return EMK_OK;
}

static emk_status read_uri(emk_p11_token *t, const char *uri, emk_error *e)
{
    if (strlen(uri) > EMK_PKCS11_URI_MAX)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: URI is too long", strlen(uri));
    t->uri = p11_kit_uri_new();
    if (!t->uri)
        return emk_fail(e, EMK_E_NO_MEMORY, "pkcs11: no memory", 0);
    if (p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, t->uri) != P11_KIT_URI_OK ||
        p11_kit_uri_any_unrecognized(t->uri))
        return emk_fail(e, EMK_E_USAGE, "pkcs11: not a URI of a token", 0);
    if (p11_kit_uri_get_pin_value(t->uri) || p11_kit_uri_get_pin_source(t->uri))
        return emk_fail(e, EMK_E_USAGE, "pkcs11: no PIN in the URI, please", 0);
    return EMK_OK;
}

emk_status emk_p11_look(emk_p11_token *t, const emk_pkcs11_source *source, emk_error *e)
{
    CK_SLOT_ID slot;
    emk_status st;

    *t = (emk_p11_token){0};
    st = read_uri(t, source->uri, e);
    if (st == EMK_OK)
        st = load_module(t, source->module, e);
    return st == EMK_OK ? find_slot(t, &slot, e) : st;
}

emk_status emk_p11_init(emk_p11_token *t, const emk_crypto *c, const emk_pkcs11_source *source,
                        emk_error *e)
{
    emk_status st = EMK_OK;

    *t = (emk_p11_token){.crypto = c, .ask = source->ask, .ask_self = source->ask_self};
    if (source->pin.len > EMK_PKCS11_PIN_MAX)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: PIN is too long", source->pin.len);
    st = read_uri(t, source->uri, e);
    if (st == EMK_OK && source->pin.len) {
        st = emk_secret_new(source->pin.len, &t->pin, e);
        if (st == EMK_OK)
            memcpy(emk_secret_bytes(t->pin), source->pin.p, source->pin.len);
    }
    if (st == EMK_OK)
        st = load_module(t, source->module, e);
    return st == EMK_OK ? emk_p11_connect(t, e) : st;
}

void emk_p11_done(emk_p11_token *t)
{
    if (t->module) {
        disconnect(t);
        (void)p11_kit_module_finalize(t->module);
        p11_kit_module_release(t->module);
    }
    p11_kit_uri_free(t->uri);
    emk_secret_free(t->pin);
    *t = (emk_p11_token){0};
}

/* ---- names ---- */

emk_status emk_p11_name_of(const char *label, emk_p11_name *out, emk_error *e)
{
    size_t len = strlen(label);

    if (len == 0 || len > EMK_PKCS11_LABEL_MAX)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: length of a key's label", len);
    *out = (emk_p11_name){.id_len = 0};
    memcpy(out->label, label, len);
    return EMK_OK;
}

emk_status emk_p11_name_in_uri(const emk_p11_token *t, emk_p11_name *out, emk_error *e)
{
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(t->uri, CKA_LABEL);
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(t->uri, CKA_ID);
    emk_p11_name n = {.id_len = 0};

    if (!label && !id)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: the URI names no key (object= or id=)", 0);
    if ((label && label->ulValueLen > EMK_PKCS11_LABEL_MAX) ||
        (id && id->ulValueLen > EMK_P11_ID_MAX))
        return emk_fail(e, EMK_E_USAGE, "pkcs11: length of a key's label or id", 0);
    if (label)
        memcpy(n.label, label->pValue, label->ulValueLen);
    if (id) {
        memcpy(n.id, id->pValue, id->ulValueLen);
        n.id_len = id->ulValueLen;
    }
    *out = n;
    return EMK_OK;
}

/* ---- keys ---- */

/* Fills at most max handles of a class that carry the name; *n tells how many. */
static emk_status search(emk_p11_token *t, const emk_p11_name *name, CK_OBJECT_CLASS class,
                         CK_OBJECT_HANDLE out[2], CK_ULONG *n, emk_error *e)
{
    emk_p11_name own = *name; /* templates take pointers to what is not const */
    CK_ATTRIBUTE match[3] = {{CKA_CLASS, &class, sizeof class}};
    CK_ULONG n_match = 1;
    CK_RV rv;

    if (own.label[0])
        match[n_match++] = (CK_ATTRIBUTE){CKA_LABEL, own.label, strlen(own.label)};
    if (own.id_len)
        match[n_match++] = (CK_ATTRIBUTE){CKA_ID, own.id, own.id_len};
    rv = t->module->C_FindObjectsInit(t->session, match, n_match);
    if (rv != CKR_OK)
        return emk_p11_fail(e, rv, "pkcs11: search");
    rv = t->module->C_FindObjects(t->session, out, 2, n);
    (void)t->module->C_FindObjectsFinal(t->session);
    return rv == CKR_OK ? EMK_OK : emk_p11_fail(e, rv, "pkcs11: search");
}

/* Who made the key may have made it carelessly: ask the token, not the maker. */
static emk_status check_guarded(emk_p11_token *t, CK_OBJECT_HANDLE key, emk_error *e)
{
    CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
    CK_ATTRIBUTE ask[] = {{CKA_SENSITIVE, &sensitive, sizeof sensitive},
                          {CKA_EXTRACTABLE, &extractable, sizeof extractable}};
    CK_RV rv = t->module->C_GetAttributeValue(t->session, key, ask, 2);

    if (rv != CKR_OK)
        return emk_p11_fail(e, rv, "pkcs11: cannot tell whether the key is guarded");
    if (!sensitive || extractable)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: the private key can be read out", 0);
    return EMK_OK;
}

emk_status emk_p11_find(emk_p11_token *t, emk_p11_key *key, emk_error *e)
{
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 0;
    emk_status st;

    st = search(t, &key->name, CKO_PRIVATE_KEY, found, &n, e);
    if (st != EMK_OK)
        return st;
    if (n == 0)
        return emk_fail(e, EMK_E_KEY_LOST, "pkcs11: the token has no such key", 0);
    if (n > 1)
        return emk_fail(e, EMK_E_USAGE, "pkcs11: the token has several such keys", n);
    st = check_guarded(t, found[0], e);
    if (st == EMK_OK)
        key->handle = found[0];
    return st;
}

/* A point is the DER octet string of it; some tokens give the bytes themselves. */
static emk_status take_point(const uint8_t *p, size_t len, size_t want, uint8_t pub[65],
                             emk_error *e)
{
    if (len == want + 2 && p[0] == 0x04 && p[1] == want)
        p += 2;
    else if (len != want)
        return emk_fail(e, EMK_E_UNSUPPORTED, "pkcs11: odd public key", len);
    memcpy(pub, p, want);
    return EMK_OK;
}

static bool same(const uint8_t *a, size_t len, const CK_BYTE *b, size_t b_len)
{
    return len == b_len && memcmp(a, b, len) == 0;
}

emk_status emk_p11_read_public(emk_p11_token *t, emk_p11_key *key, emk_error *e)
{
    uint8_t params[32], point[POINT_MAX];
    CK_ATTRIBUTE ask[] = {{CKA_EC_PARAMS, params, sizeof params},
                          {CKA_EC_POINT, point, sizeof point}};
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 0;
    emk_status st;
    CK_RV rv;

    st = search(t, &key->name, CKO_PUBLIC_KEY, found, &n, e);
    if (st != EMK_OK)
        return st;
    if (n != 1)
        return emk_fail(e, EMK_E_KEY_LOST, "pkcs11: no public half, or several", n);
    rv = t->module->C_GetAttributeValue(t->session, found[0], ask, 2);
    if (rv == CKR_BUFFER_TOO_SMALL)
        return emk_fail(e, EMK_E_UNSUPPORTED, "pkcs11: neither P-256 nor Ed25519", 0);
    if (rv != CKR_OK)
        return emk_p11_fail(e, rv, "pkcs11: public key");
    if (same(params, ask[0].ulValueLen, p256_params, sizeof p256_params)) {
        st = take_point(point, ask[1].ulValueLen, 65, key->pub, e);
        key->alg = EMK_SIGN_ES256;
        return st == EMK_OK ? emk_p256_check_public(t->crypto, key->pub, e) : st;
    }
    if (same(params, ask[0].ulValueLen, ed25519_params, sizeof ed25519_params) ||
        same(params, ask[0].ulValueLen, ed25519_name, sizeof ed25519_name)) {
        key->alg = EMK_SIGN_ED25519;
        return take_point(point, ask[1].ulValueLen, 32, key->pub, e);
    }
    return emk_fail(e, EMK_E_UNSUPPORTED, "pkcs11: neither P-256 nor Ed25519", 0);
}

static CK_RV make_pair(emk_p11_token *t, emk_p11_name *name, CK_ATTRIBUTE params,
                       CK_MECHANISM_TYPE type, emk_p11_use use)
{
    CK_BBOOL *sign = use == EMK_P11_SIGN ? &yes : &no, *derive = use == EMK_P11_DERIVE ? &yes : &no;
    CK_ATTRIBUTE label = {CKA_LABEL, name->label, strlen(name->label)};
    CK_ATTRIBUTE id = {CKA_ID, name->id, name->id_len};
    CK_ATTRIBUTE pub[] = {{CKA_TOKEN, &yes, 1},
                          {CKA_PRIVATE, &no, 1},
                          {CKA_VERIFY, sign, 1},
                          {CKA_DERIVE, derive, 1},
                          params,
                          label,
                          id};
    CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1},
                           {CKA_PRIVATE, &yes, 1},
                           {CKA_SENSITIVE, &yes, 1},
                           {CKA_EXTRACTABLE, &no, 1},
                           {CKA_SIGN, sign, 1},
                           {CKA_DERIVE, derive, 1},
                           label,
                           id};
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_OBJECT_HANDLE a, b;

    return t->module->C_GenerateKeyPair(t->session, &mechanism, pub,
                                        sizeof pub / sizeof pub[0] - !name->id_len, priv,
                                        sizeof priv / sizeof priv[0] - !name->id_len, &a, &b);
}

emk_status emk_p11_generate(emk_p11_token *t, const emk_p11_name *name, emk_sign_alg alg,
                            emk_p11_use use, emk_error *e)
{
    CK_ATTRIBUTE p256 = {CKA_EC_PARAMS, p256_params, sizeof p256_params};
    CK_ATTRIBUTE ed_oid = {CKA_EC_PARAMS, ed25519_params, sizeof ed25519_params};
    CK_ATTRIBUTE ed_name = {CKA_EC_PARAMS, ed25519_name, sizeof ed25519_name};
    emk_p11_name own = *name;
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 0;
    emk_status st;
    CK_RV rv;

    st = search(t, name, CKO_PRIVATE_KEY, found, &n, e);
    if (st != EMK_OK)
        return st;
    if (n)
        return emk_fail(e, EMK_E_USED, "pkcs11: the token has such a key already", 0);
    if (alg == EMK_SIGN_ES256) {
        rv = make_pair(t, &own, p256, CKM_EC_KEY_PAIR_GEN, use);
    } else { /* the curve has a number since PKCS#11 3.0; before, tokens took its name */
        rv = make_pair(t, &own, ed_oid, CKM_EC_EDWARDS_KEY_PAIR_GEN, use);
        if (rv != CKR_OK)
            rv = make_pair(t, &own, ed_name, CKM_EC_EDWARDS_KEY_PAIR_GEN, use);
    }
    return rv == CKR_OK ? EMK_OK : emk_p11_fail(e, rv, "pkcs11: cannot make a key");
}

emk_status emk_p11_destroy(emk_p11_token *t, const emk_p11_name *name, emk_error *e)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
    bool any = false;

    for (size_t i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE found[2];
        CK_ULONG n = 0;
        emk_status st = search(t, name, classes[i], found, &n, e);

        for (CK_ULONG k = 0; k < n && st == EMK_OK; k++) {
            CK_RV rv = t->module->C_DestroyObject(t->session, found[k]);

            st = rv == CKR_OK ? EMK_OK : emk_p11_fail(e, rv, "pkcs11: cannot remove a key");
            any = true;
        }
        if (st != EMK_OK)
            return st;
    }
    return any ? EMK_OK : emk_fail(e, EMK_E_NOT_FOUND, "pkcs11: the token has no such key", 0);
}
