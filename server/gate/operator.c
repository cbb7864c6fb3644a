#include "server/gate/operator.h"

#include "core/base/alloc.h"
#include "core/base/reader.h"
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "core/codec/base64url.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"

#include <stdio.h>

#define SALT_LEN     16u
#define HASH_LEN     32u
#define SCRYPT_R     8u
#define SCRYPT_P     1u
#define KEY_LEN      32u
#define PREFIX_CHARS 5u
#define MAC_LEN      32u
#define TIMES_LEN    28u /* three times and the generation */
#define BODY_MAX     (1u + EMK_PRINCIPAL_NAME_MAX + TIMES_LEN)
#define TOKEN_MAX    (BODY_MAX + MAC_LEN)

/* ---- passwords: "scrypt$<n>$<r>$<p>$<salt>$<hash>" ---- */

typedef struct stored {
    uint64_t n;
    uint32_t r, p;
    uint8_t salt[SALT_LEN];
    uint8_t hash[HASH_LEN];
} stored;

static emk_status derive(const emk_crypto *c, const stored *s, emk_span password,
                         uint8_t out[HASH_LEN], emk_error *e)
{
    const emk_scrypt with = {
        password, emk_span_of(s->salt, SALT_LEN), s->n, s->r, s->p, EMK_PASSWORD_MEM_MAX};

    return emk_scrypt_derive(c, &with, out, HASH_LEN, e);
}

static emk_status stored_write(const stored *s, char out[EMK_PASSWORD_TEXT_MAX], emk_error *e)
{
    char salt[EMK_BASE64URL_CHARS(SALT_LEN) + 1], hash[EMK_BASE64URL_CHARS(HASH_LEN) + 1];
    size_t len;
    emk_status st;

    st = emk_base64url_encode(emk_span_of(s->salt, SALT_LEN), salt, sizeof salt, &len, e);
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(s->hash, HASH_LEN), hash, sizeof hash, &len, e);
    if (st == EMK_OK)
        (void)snprintf(out, EMK_PASSWORD_TEXT_MAX, "scrypt$%llu$%u$%u$%s$%s",
                       (unsigned long long)s->n, s->r, s->p, salt, hash);
    return st;
}

emk_status emk_password_make(const emk_crypto *c, emk_span password,
                             char out[EMK_PASSWORD_TEXT_MAX], emk_error *e)
{
    stored s = {.n = EMK_PASSWORD_SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P};
    emk_status st;

    if (password.len < EMK_PASSWORD_MIN || password.len > EMK_PASSWORD_MAX)
        return emk_fail(e, EMK_E_LIMIT, "password: length", password.len);
    st = emk_random_public(c, s.salt, sizeof s.salt, e);
    if (st == EMK_OK)
        st = derive(c, &s, password, s.hash, e);
    if (st == EMK_OK)
        st = stored_write(&s, out, e);
    emk_wipe(&s, sizeof s);
    return st;
}

/* The next field up to '$' or the end; false when there is none. */
static bool field(emk_span *text, emk_span *out)
{
    const uint8_t *end;
    size_t len;

    if (!text->p)
        return false;
    end = text->len > 0 ? memchr(text->p, '$', text->len) : NULL;
    len = end ? (size_t)(end - text->p) : text->len;
    *out = emk_span_of(text->p, len);
    *text = end ? emk_span_of(end + 1, text->len - len - 1) : emk_span_of(NULL, 0);
    return true;
}

static bool number(emk_span s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(s.p[i] - '0');
    }
    return s.len > 0 && s.len <= 9;
}

static bool stored_read(const char *text, stored *out)
{
    emk_span left = emk_span_str(text), f[6];
    uint64_t r, p;
    size_t salt_len, hash_len;

    for (size_t i = 0; i < 6; i++)
        if (!field(&left, &f[i]))
            return false;
    if (left.p || !emk_span_equal(f[0], emk_span_str("scrypt")) || !number(f[1], &out->n) ||
        !number(f[2], &r) || !number(f[3], &p))
        return false;
    out->r = (uint32_t)r;
    out->p = (uint32_t)p;
    return emk_base64url_decode(f[4], out->salt, SALT_LEN, &salt_len, NULL) == EMK_OK &&
           emk_base64url_decode(f[5], out->hash, HASH_LEN, &hash_len, NULL) == EMK_OK &&
           salt_len == SALT_LEN && hash_len == HASH_LEN;
}

emk_status emk_password_verify(const emk_crypto *c, const char *stored_text, emk_span password,
                               emk_error *e)
{
    stored s = {.n = EMK_PASSWORD_SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P};
    uint8_t got[HASH_LEN];
    bool same;
    emk_status st;

    if (password.len > EMK_PASSWORD_MAX)
        password.len = 0; /* nobody's; takes as long */
    if (stored_text && !stored_read(stored_text, &s))
        return emk_fail(e, EMK_E_FORMAT, "password: what is stored is not understood", 0);
    st = derive(c, &s, password, got, e);
    same = st == EMK_OK && emk_ct_equal(got, s.hash, HASH_LEN);
    emk_wipe(got, sizeof got);
    emk_wipe(&s, sizeof s);
    if (st != EMK_OK)
        return st;
    if (!same || !stored_text || password.len == 0)
        return emk_fail(e, EMK_E_SIGNATURE, "password: another", 0);
    return EMK_OK;
}

/* ---- sessions ---- */

struct emk_sessions {
    const emk_crypto *crypto;
    emk_secret *key;
};

emk_status emk_sessions_new(const emk_crypto *c, emk_span key, emk_sessions **out, emk_error *e)
{
    emk_sessions *s;
    emk_status st;

    if (key.len != KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "sessions: length of the key", key.len);
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "sessions: memory", sizeof *s);
    s->crypto = c;
    st = emk_secret_new(KEY_LEN, &s->key, e);
    if (st != EMK_OK) {
        emk_free(s);
        return st;
    }
    memcpy(emk_secret_bytes(s->key), key.p, KEY_LEN);
    *out = s;
    return EMK_OK;
}

void emk_sessions_free(emk_sessions *s)
{
    if (!s)
        return;
    emk_secret_free(s->key);
    emk_free(s);
}

static emk_status mac_of(const emk_sessions *s, emk_span body, uint8_t out[MAC_LEN], emk_error *e)
{
    static const char label[] = "earmark operator session 1";
    const emk_span parts[] = {emk_span_of(label, sizeof label), body};

    return emk_hmac_sha256(s->crypto, emk_secret_span(s->key), parts, 2, out, e);
}

static bool name_is_sound(emk_span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] < 0x20 || name.p[i] == 0x7f)
            return false;
    return name.len > 0 && name.len <= EMK_PRINCIPAL_NAME_MAX;
}

static bool session_is_sound(const emk_session *in)
{
    return memchr(in->name, 0, sizeof in->name) && name_is_sound(emk_span_str(in->name)) &&
           in->until > in->issued && in->until - in->issued <= EMK_SESSION_LIFE_MAX_S &&
           (in->step_up_until == 0 ||
            (in->step_up_until >= in->issued &&
             in->step_up_until - in->issued <= EMK_SESSION_STEP_UP_MAX_S));
}

emk_status emk_session_make(const emk_sessions *s, const emk_session *in,
                            char text[EMK_SESSION_TEXT_MAX], emk_error *e)
{
    uint8_t token[TOKEN_MAX];
    emk_span name;
    emk_writer w;
    size_t len;
    emk_status st;

    if (!session_is_sound(in))
        return emk_fail(e, EMK_E_USAGE, "session: name or times", in->until);
    name = emk_span_str(in->name);
    emk_writer_init(&w, token, BODY_MAX);
    emk_write_u64be(&w, in->issued);
    emk_write_u64be(&w, in->until);
    emk_write_u64be(&w, in->step_up_until);
    emk_write_u32be(&w, in->generation);
    emk_write_u8(&w, (uint8_t)name.len);
    emk_write_bytes(&w, name);
    st = mac_of(s, emk_writer_span(&w), token + w.pos, e);
    if (st != EMK_OK)
        return st;
    memcpy(text, EMK_SESSION_PREFIX, PREFIX_CHARS);
    return emk_base64url_encode(emk_span_of(token, w.pos + MAC_LEN), text + PREFIX_CHARS,
                                EMK_SESSION_TEXT_MAX - PREFIX_CHARS, &len, e);
}

static emk_status body_read(emk_span body, emk_session *out, emk_error *e)
{
    emk_reader r;
    emk_span name;

    emk_reader_init(&r, body);
    out->issued = emk_read_u64be(&r);
    out->until = emk_read_u64be(&r);
    out->step_up_until = emk_read_u64be(&r);
    out->generation = emk_read_u32be(&r);
    name = emk_read_bytes(&r, emk_read_u8(&r));
    if (!emk_reader_at_end(&r) || !name_is_sound(name))
        return emk_fail(e, EMK_E_FORMAT, "session: not one", r.pos);
    memcpy(out->name, name.p, name.len);
    return EMK_OK;
}

emk_status emk_session_verify(const emk_sessions *s, emk_span text, uint64_t now_s,
                              emk_session *out, emk_error *e)
{
    uint8_t token[TOKEN_MAX], want[MAC_LEN];
    emk_session read = {0};
    emk_span body;
    size_t len;
    emk_status st;

    if (text.len < PREFIX_CHARS || memcmp(text.p, EMK_SESSION_PREFIX, PREFIX_CHARS) != 0)
        return emk_fail(e, EMK_E_FORMAT, "session: not one", text.len);
    st = emk_base64url_decode(emk_span_of(text.p + PREFIX_CHARS, text.len - PREFIX_CHARS), token,
                              sizeof token, &len, NULL);
    if (st != EMK_OK || len <= MAC_LEN)
        return emk_fail(e, EMK_E_FORMAT, "session: not one", text.len);
    body = emk_span_of(token, len - MAC_LEN);
    st = mac_of(s, body, want, e);
    if (st != EMK_OK)
        return st;
    if (!emk_ct_equal(want, token + body.len, MAC_LEN))
        return emk_fail(e, EMK_E_SIGNATURE, "session: not one of ours", 0);
    st = body_read(body, &read, e);
    if (st != EMK_OK)
        return st;
    if (read.until <= now_s)
        return emk_fail(e, EMK_E_STALE, "session: over", read.until);
    *out = read;
    return EMK_OK;
}
