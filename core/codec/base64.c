#include "core/codec/base64.h"

#include "core/codec/base64url.h"

/* A character of the other alphabet; 0 when base64 has none. */
static uint8_t to_url(uint8_t ch)
{
    if (ch == '+')
        return '-';
    if (ch == '/')
        return '_';
    return ch == '-' || ch == '_' ? 0 : ch;
}

/* Four characters at a time, so that the decoder for the other alphabet judges the rest. */
emk_status emk_base64_decode(emk_span text, uint8_t *out, size_t cap, size_t *len, emk_error *e)
{
    size_t at = 0;

    if (text.len % 4 != 0)
        return emk_fail(e, EMK_E_FORMAT, "base64: length", text.len);
    for (size_t i = 0; i < text.len; i += 4) {
        uint8_t quad[4], bytes[3];
        size_t n_chars = 4, n;
        emk_status st;

        for (size_t j = 0; j < 4; j++)
            quad[j] = to_url(text.p[i + j]);
        if (i + 4 == text.len)
            n_chars -= (quad[3] == '=') + (size_t)(quad[3] == '=' && quad[2] == '=');
        st = emk_base64url_decode(emk_span_of(quad, n_chars), bytes, sizeof bytes, &n, e);
        if (st != EMK_OK)
            return emk_fail(e, EMK_E_FORMAT, "base64: character", i);
        if (n > cap - at)
            return emk_fail(e, EMK_E_LIMIT, "base64: does not fit", cap);
        memcpy(out + at, bytes, n);
        at += n;
    }
    *len = at;
    return EMK_OK;
}
