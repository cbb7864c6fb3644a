#include "core/codec/base64url.h"

#define BAD 0xffu

static char char_of(unsigned six)
{
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[six & 63u];
}

static unsigned six_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - (unsigned)'A';
    if (c >= 'a' && c <= 'z')
        return c - (unsigned)'a' + 26;
    if (c >= '0' && c <= '9')
        return c - (unsigned)'0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : BAD;
}

emk_status emk_base64url_encode(emk_span in, char *out, size_t cap, size_t *len, emk_error *e)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;

    /* Written so that nothing overflows whatever in.len is: 4 characters are 3 bytes. */
    if (cap == 0 || in.len > (cap - 1) / 4 * 3 + (cap - 1) % 4 * 3 / 4)
        return emk_fail(e, EMK_E_LIMIT, "base64url: text does not fit", in.len);
    for (size_t i = 0; i < in.len; i++) {
        bits = bits << 8 | in.p[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            out[n++] = char_of(bits >> (n_bits - 6));
    }
    if (n_bits)
        out[n++] = char_of(bits << (6 - n_bits));
    out[n] = 0;
    *len = n;
    return EMK_OK;
}

/* Before anything is written: a refused text leaves the caller's bytes alone. */
static emk_status check(emk_span text, emk_error *e)
{
    size_t rest = text.len % 4;
    unsigned left_over;

    for (size_t i = 0; i < text.len; i++) {
        if (six_of(text.p[i]) == BAD)
            return emk_fail(e, EMK_E_FORMAT, "base64url: not of the alphabet", i);
    }
    if (rest == 1)
        return emk_fail(e, EMK_E_FORMAT, "base64url: length", text.len);
    if (rest == 0)
        return EMK_OK;
    left_over = six_of(text.p[text.len - 1]) & (rest == 2 ? 15u : 3u);
    if (left_over)
        return emk_fail(e, EMK_E_FORMAT, "base64url: bits left over are not zero", text.len - 1);
    return EMK_OK;
}

emk_status emk_base64url_decode(emk_span text, uint8_t *out, size_t cap, size_t *len, emk_error *e)
{
    size_t need = text.len / 4 * 3 + text.len % 4 * 3 / 4, n = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    emk_status st = check(text, e);

    if (st != EMK_OK)
        return st;
    if (need > cap)
        return emk_fail(e, EMK_E_LIMIT, "base64url: bytes do not fit", need);
    for (size_t i = 0; i < text.len; i++) {
        bits = bits << 6 | six_of(text.p[i]);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    *len = n;
    return EMK_OK;
}
