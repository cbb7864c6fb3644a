#include "server/gate/service_key.h"

#include "core/base/secret.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"

#define ID_LEN       12u
#define SECRET_LEN   32u
#define SECRET_CHARS 43u
#define PREFIX_CHARS 5u

static const char label[] = "earmark service key 1";

/* The id is under the hash too: a hash that wanders to another record fits nothing there. */
static emk_status hash_of(const emk_crypto *c, const char *id, const uint8_t secret[SECRET_LEN],
                          uint8_t out[32], emk_error *e)
{
    const emk_span parts[] = {emk_span_of(label, sizeof label),
                              emk_span_of(id, EMK_SERVICE_KEY_ID_CHARS),
                              emk_span_of(secret, SECRET_LEN)};

    return emk_sha256(c, parts, 3, out, e);
}

static emk_status make(const emk_crypto *c, uint8_t secret[SECRET_LEN], char *text,
                       emk_service_key *out, emk_error *e)
{
    uint8_t id[ID_LEN];
    emk_service_key k;
    size_t len;
    emk_status st;

    st = emk_random_public(c, id, sizeof id, e);
    if (st == EMK_OK)
        st = emk_random_secret(c, secret, SECRET_LEN, e);
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(id, sizeof id), k.id, sizeof k.id, &len, e);
    if (st == EMK_OK)
        st = hash_of(c, k.id, secret, k.hash, e);
    if (st != EMK_OK)
        return st;
    memcpy(text, EMK_SERVICE_KEY_PREFIX, PREFIX_CHARS);
    memcpy(text + PREFIX_CHARS, k.id, EMK_SERVICE_KEY_ID_CHARS);
    text[PREFIX_CHARS + EMK_SERVICE_KEY_ID_CHARS] = '.';
    st = emk_base64url_encode(emk_span_of(secret, SECRET_LEN),
                              text + PREFIX_CHARS + EMK_SERVICE_KEY_ID_CHARS + 1, SECRET_CHARS + 1,
                              &len, e);
    if (st == EMK_OK)
        *out = k;
    return st;
}

emk_status emk_service_key_make(const emk_crypto *c, char text[EMK_SERVICE_KEY_TEXT_CHARS + 1],
                                emk_service_key *out, emk_error *e)
{
    uint8_t secret[SECRET_LEN];
    emk_status st;

    st = make(c, secret, text, out, e);
    emk_wipe(secret, sizeof secret);
    if (st != EMK_OK)
        emk_wipe(text, EMK_SERVICE_KEY_TEXT_CHARS + 1);
    return st;
}

emk_status emk_service_key_parse(const emk_crypto *c, emk_span text, emk_service_key *out,
                                 emk_error *e)
{
    size_t dot = PREFIX_CHARS + EMK_SERVICE_KEY_ID_CHARS;
    uint8_t secret[SECRET_LEN], id[ID_LEN];
    emk_service_key k = {0};
    size_t len;
    emk_status st;

    if (text.len != EMK_SERVICE_KEY_TEXT_CHARS ||
        memcmp(text.p, EMK_SERVICE_KEY_PREFIX, PREFIX_CHARS) != 0 || text.p[dot] != '.')
        return emk_fail(e, EMK_E_FORMAT, "service key: not one", text.len);
    st = emk_base64url_decode(emk_span_of(text.p + PREFIX_CHARS, EMK_SERVICE_KEY_ID_CHARS), id,
                              sizeof id, &len, e);
    if (st == EMK_OK)
        st = emk_base64url_decode(emk_span_of(text.p + dot + 1, SECRET_CHARS), secret,
                                  sizeof secret, &len, e);
    if (st == EMK_OK) {
        memcpy(k.id, text.p + PREFIX_CHARS, EMK_SERVICE_KEY_ID_CHARS);
        st = hash_of(c, k.id, secret, k.hash, e);
    }
    if (st == EMK_OK)
        *out = k;
    emk_wipe(secret, sizeof secret);
    return st;
}
