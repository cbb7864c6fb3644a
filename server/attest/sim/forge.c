#include "server/attest/sim/forge.h"

#include "core/crypto/kdf.h"

#include <stdio.h>
#include <stdlib.h>

#define BUF_MAX ((size_t)64 << 10)

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "forge: %s\n", what);
    abort();
}

static void make_keys(forge *f, const emk_crypto *c)
{
    f->crypto = c;
    f->root = "root";
    for (size_t i = 0; i < FORGE_KEYS; i++)
        must(emk_sign_key_new(c, EMK_SIGN_ES256, emk_span_of(f->priv[i], 32), &f->key[i], NULL) ==
                 EMK_OK,
             "key");
}

void forge_init(forge *f, const emk_crypto *c)
{
    for (size_t i = 0; i < FORGE_KEYS; i++)
        memset(f->priv[i], (int)(i + 1), 32);
    make_keys(f, c);
}

/* HKDF gives a scalar out of range once in 2^32 seeds, and then says so. */
void forge_init_seed(forge *f, const emk_crypto *c, const uint8_t seed[32])
{
    for (size_t i = 0; i < FORGE_KEYS; i++) {
        uint8_t label[] = "earmark simulator key 0";

        label[sizeof label - 2] = (uint8_t)('0' + i);
        must(emk_hkdf_expand(c, seed, emk_span_of(label, sizeof label - 1), f->priv[i], 32, NULL) ==
                 EMK_OK,
             "key");
    }
    make_keys(f, c);
}

void forge_done(forge *f)
{
    for (size_t i = 0; i < FORGE_KEYS; i++)
        emk_sign_key_free(f->key[i]);
}

emk_span forge_public(const forge *f, size_t key)
{
    return emk_sign_key_public(f->key[key]);
}

void forge_raw(emk_buf *b, emk_span s)
{
    must(emk_buf_append(b, s, NULL) == EMK_OK, "room");
}

static void byte(emk_buf *b, size_t v)
{
    uint8_t one = (uint8_t)v;

    forge_raw(b, emk_span_of(&one, 1));
}

void forge_base64(emk_buf *b, emk_span in, bool url)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i, n = left > 2 ? 3 : left;
        uint32_t v = (uint32_t)in.p[i] << 16 | (uint32_t)(left > 1 ? in.p[i + 1] : 0) << 8 |
                     (left > 2 ? in.p[i + 2] : 0);

        for (size_t j = 0; j < 4; j++) {
            uint32_t digit = v >> (18 - 6 * j) & 63;
            char last = digit == 62 ? (url ? '-' : '+') : (url ? '_' : '/');

            byte(b, j > n ? '=' : digit < 62 ? (uint8_t)DIGITS[digit] : (uint8_t)last);
        }
    }
}

static void length(emk_buf *b, size_t len)
{
    if (len >= 0x100) {
        byte(b, 0x82);
        byte(b, len >> 8);
    } else if (len >= 0x80) {
        byte(b, 0x81);
    }
    byte(b, len & 0xff);
}

void forge_tlv(emk_buf *b, uint8_t tag, emk_span contents)
{
    byte(b, tag);
    length(b, contents.len);
    forge_raw(b, contents);
}

void forge_context(emk_buf *b, uint32_t number, emk_span contents)
{
    if (number < 31) {
        byte(b, 0xa0 | number);
    } else {
        byte(b, 0xbf);
        if (number >= 128)
            byte(b, 0x80 | number >> 7);
        byte(b, number & 0x7f);
    }
    length(b, contents.len);
    forge_raw(b, contents);
}

void forge_uint(emk_buf *b, uint8_t tag, uint64_t v)
{
    uint8_t bytes[9];
    size_t at = 9;

    do {
        bytes[--at] = (uint8_t)v;
        v >>= 8;
    } while (v > 0);
    if (bytes[at] >= 0x80)
        bytes[--at] = 0;
    forge_tlv(b, tag, emk_span_of(bytes + at, 9 - at));
}

void forge_hex(emk_buf *b, const char *hex)
{
    while (*hex) {
        char two[3] = "";
        char *end = NULL;

        if (*hex == ' ') {
            hex++;
            continue;
        }
        memcpy(two, hex, hex[1] ? 2 : 1);
        byte(b, (unsigned)strtoul(two, &end, 16));
        must(end == two + 2, "hex");
        hex += 2;
    }
}

void forge_wrap(emk_buf *b, uint8_t tag)
{
    emk_buf whole;

    emk_buf_init(&whole, BUF_MAX);
    forge_tlv(&whole, tag, emk_buf_span(b));
    emk_buf_done(b);
    *b = whole;
}

void forge_extension(emk_buf *b, const char *oid, bool critical, emk_span value)
{
    emk_buf in;

    emk_buf_init(&in, BUF_MAX);
    forge_hex(&in, oid);
    forge_wrap(&in, 0x06);
    if (critical)
        forge_hex(&in, "0101ff");
    forge_tlv(&in, 0x04, value);
    forge_wrap(&in, 0x30);
    forge_raw(b, emk_buf_span(&in));
    emk_buf_done(&in);
}

void forge_ca(emk_buf *b)
{
    forge_hex(b, "300f0603551d130101ff040530030101ff");
    forge_hex(b, "300e0603551d0f0101ff040403020204");
}

static void name(emk_buf *b, const char *attribute, const char *value)
{
    emk_buf in;

    if (!value) {
        forge_hex(b, "3000");
        return;
    }
    emk_buf_init(&in, BUF_MAX);
    forge_hex(&in, attribute ? attribute : "550403");
    forge_wrap(&in, 0x06);
    forge_tlv(&in, 0x0c, emk_span_str(value));
    forge_wrap(&in, 0x30);
    forge_wrap(&in, 0x31);
    forge_wrap(&in, 0x30);
    forge_raw(b, emk_buf_span(&in));
    emk_buf_done(&in);
}

static void validity(emk_buf *b, const forge_cert *cert)
{
    emk_buf in;

    emk_buf_init(&in, BUF_MAX);
    forge_tlv(&in, 0x17, emk_span_str(cert->not_before ? cert->not_before : "260101000000Z"));
    forge_tlv(&in, 0x17, emk_span_str(cert->not_after ? cert->not_after : "280101000000Z"));
    forge_wrap(&in, 0x30);
    forge_raw(b, emk_buf_span(&in));
    emk_buf_done(&in);
}

static void tbs(const forge *f, const forge_cert *cert, emk_buf *b)
{
    emk_buf x;

    forge_hex(b, cert->version ? cert->version : "a003020102");
    forge_hex(b, cert->serial ? cert->serial : "020101");
    forge_hex(b, cert->alg ? cert->alg : "300a06082a8648ce3d040302");
    name(b, cert->issuer_attribute, cert->issuer);
    validity(b, cert);
    name(b, cert->attribute, cert->subject);
    if (cert->spki) {
        forge_hex(b, cert->spki);
    } else {
        forge_hex(b, "3059301306072a8648ce3d020106082a8648ce3d030107034200");
        forge_raw(b, forge_public(f, cert->key));
    }
    if (cert->extensions.len > 0) {
        emk_buf_init(&x, BUF_MAX);
        forge_tlv(&x, 0x30, cert->extensions);
        forge_wrap(&x, 0xa3);
        forge_raw(b, emk_buf_span(&x));
        emk_buf_done(&x);
    }
    forge_wrap(b, 0x30);
}

void forge_sign(const forge *f, size_t key, emk_span msg, emk_buf *out)
{
    uint8_t sig[EMK_SIGN_LEN], der[EMK_SIGN_DER_MAX];
    size_t len = 0;

    must(emk_sign_make(f->key[key], msg, sig, NULL) == EMK_OK &&
             emk_sign_to_der(sig, der, &len, NULL) == EMK_OK,
         "signature");
    forge_raw(out, emk_span_of(der, len));
}

void forge_certificate(const forge *f, const forge_cert *cert, emk_buf *out)
{
    emk_buf b, sig;

    emk_buf_init(&b, BUF_MAX);
    emk_buf_init(&sig, BUF_MAX);
    tbs(f, cert, &b);
    byte(&sig, 0);
    forge_sign(f, cert->issuer_key, emk_buf_span(&b), &sig);
    if (cert->bad_signature)
        sig.p[sig.len - 1] ^= 1;
    if (cert->outer_alg)
        forge_hex(&b, cert->outer_alg);
    else
        forge_hex(&b, cert->alg ? cert->alg : "300a06082a8648ce3d040302");
    forge_tlv(&b, 0x03, emk_buf_span(&sig));
    forge_wrap(&b, 0x30);
    forge_raw(out, emk_buf_span(&b));
    emk_buf_done(&sig);
    emk_buf_done(&b);
}
