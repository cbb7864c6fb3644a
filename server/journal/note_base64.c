#include "server/journal/note_base64.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

emk_status emk_note_base64_encode(emk_span in, char *out, size_t cap, emk_error *e)
{
    size_t k = 0;

    if (cap < EMK_NOTE_BASE64_CHARS(in.len) + 1)
        return emk_fail(e, EMK_E_LIMIT, "base64: room", cap);
    for (size_t i = 0; i < in.len; i += 3) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        uint32_t v = (uint32_t)in.p[i] << 16 | (uint32_t)(n > 1 ? in.p[i + 1] : 0) << 8 |
                     (uint32_t)(n > 2 ? in.p[i + 2] : 0);

        out[k++] = ALPHABET[v >> 18];
        out[k++] = ALPHABET[v >> 12 & 63];
        out[k++] = n > 1 ? ALPHABET[v >> 6 & 63] : '=';
        out[k++] = n > 2 ? ALPHABET[v & 63] : '=';
    }
    out[k] = '\0';
    return EMK_OK;
}

static int digit(uint8_t c)
{
    for (int i = 0; i < 64; i++) {
        if ((uint8_t)ALPHABET[i] == c)
            return i;
    }
    return -1;
}

emk_status emk_note_base64_decode(emk_span text, uint8_t *out, size_t len, emk_error *e)
{
    size_t digits = (len * 8 + 5) / 6;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t k = 0;

    if (text.len != EMK_NOTE_BASE64_CHARS(len))
        return emk_fail(e, EMK_E_FORMAT, "base64: length", text.len);
    for (size_t i = 0; i < text.len; i++) {
        int d = i < digits ? digit(text.p[i]) : 0;

        if (d < 0 || (i >= digits && text.p[i] != '='))
            return emk_fail(e, EMK_E_FORMAT, "base64: a character", i);
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (k < len)
                out[k++] = (uint8_t)(bits >> have);
            bits &= (1u << have) - 1;
        }
        if (i + 1 == digits && bits != 0)
            return emk_fail(e, EMK_E_FORMAT, "base64: bits left over", i);
    }
    return EMK_OK;
}
