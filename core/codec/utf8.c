#include "core/codec/utf8.h"

/* The first byte fixes how many follow and, for four of them, a narrower second byte: that
 * is where long forms, surrogates and the end of the code space are caught. */
static bool begin(emk_utf8 *u, uint8_t byte)
{
    u->low = 0x80;
    u->high = 0xbf;
    if (byte < 0x80)
        return true;
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    u->need = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0)
        u->low = 0xa0;
    else if (byte == 0xed)
        u->high = 0x9f;
    else if (byte == 0xf0)
        u->low = 0x90;
    else if (byte == 0xf4)
        u->high = 0x8f;
    return true;
}

bool emk_utf8_step(emk_utf8 *u, uint8_t byte)
{
    if (u->need == 0)
        return begin(u, byte);
    if (byte < u->low || byte > u->high)
        return false;
    u->need--;
    u->low = 0x80;
    u->high = 0xbf;
    return true;
}

bool emk_utf8_check(emk_span s)
{
    emk_utf8 u = {0, 0, 0};

    for (size_t i = 0; i < s.len; i++) {
        if (!emk_utf8_step(&u, s.p[i]))
            return false;
    }
    return u.need == 0;
}

size_t emk_utf8_encode(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}
