#include "tests/conformance/age_text.h"

#define ARMOR_BEGIN   "-----BEGIN AGE ENCRYPTED FILE-----"
#define ARMOR_END     "-----END AGE ENCRYPTED FILE-----"
#define ARMOR_COLUMNS 64u
#define ARMOR_BYTES   48u   /* in a full line */
#define SPACE_MAX     1024u /* bytes of white space around the armor */

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* The bits left over must be zero: one text for each byte string. */
static bool unbase64(emk_span text, uint8_t *out, size_t *len)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    *len = 0;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.p[i]);

        if (digit < 0)
            return false;
        bits = (bits << 6 | (uint32_t)digit) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[(*len)++] = (uint8_t)(bits >> n_bits);
        }
    }
    return (bits & ((1u << n_bits) - 1)) == 0;
}

static bool strip_padding(emk_span *text)
{
    if (text->len % 4)
        return false;
    for (int i = 0; i < 2 && text->len > 0 && text->p[text->len - 1] == '='; i++)
        text->len--;
    return true;
}

bool emk_age_base64(emk_vec *v, emk_span text, bool padded, emk_span *out)
{
    uint8_t *p = emk_vec_take(v, text.len / 4 * 3 + 3);
    size_t len;

    if ((padded && !strip_padding(&text)) || !unbase64(text, p, &len))
        return false;
    *out = emk_span_of(p, len);
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space before and after is fine, up to a limit; anything else is not. */
static bool trim(emk_span *text)
{
    size_t before = 0, after = 0;

    while (before < text->len && is_space(text->p[before]))
        before++;
    while (after < text->len - before && is_space(text->p[text->len - 1 - after]))
        after++;
    text->p += before;
    text->len -= before + after;
    return before <= SPACE_MAX && after <= SPACE_MAX;
}

/* One line without its LF or CRLF; false at the end. */
static bool next_line(emk_span *rest, emk_span *line)
{
    const uint8_t *end;
    size_t used;

    if (rest->len == 0)
        return false;
    end = memchr(rest->p, '\n', rest->len);
    line->p = rest->p;
    line->len = end ? (size_t)(end - rest->p) : rest->len;
    used = line->len + (end ? 1 : 0);
    if (line->len > 0 && line->p[line->len - 1] == '\r')
        line->len--;
    rest->p += used;
    rest->len -= used;
    return true;
}

/* Leading white space must be whole lines: the head stands at the beginning of its own. */
static bool begins_line(emk_span whole, emk_span trimmed)
{
    return trimmed.p == whole.p || trimmed.p[-1] == '\n';
}

/* Trailing white space after the end line begins with its line's end. */
static bool ends_line(emk_span whole, emk_span trimmed)
{
    const uint8_t *after = trimmed.p + trimmed.len;
    size_t left = (size_t)(whole.p + whole.len - after);

    return left == 0 || after[0] == '\n' || (after[0] == '\r' && left > 1 && after[1] == '\n');
}

static bool read_body(emk_vec *v, emk_span rest, uint8_t *out, size_t *len)
{
    bool short_line = false;
    emk_span line, bytes;

    *len = 0;
    while (next_line(&rest, &line)) {
        if (emk_span_equal(line, emk_span_str(ARMOR_END)))
            return rest.len == 0;
        if (short_line || line.len == 0 || line.len > ARMOR_COLUMNS ||
            !emk_age_base64(v, line, true, &bytes))
            return false;
        memcpy(out + *len, bytes.p, bytes.len);
        *len += bytes.len;
        short_line = bytes.len < ARMOR_BYTES;
    }
    return false;
}

bool emk_age_unarmor(emk_vec *v, emk_span text, emk_span *out)
{
    uint8_t *p = emk_vec_take(v, text.len);
    emk_span trimmed = text, line;
    size_t len;

    if (!trim(&trimmed) || !begins_line(text, trimmed) || !ends_line(text, trimmed) ||
        !next_line(&trimmed, &line) || !emk_span_equal(line, emk_span_str(ARMOR_BEGIN)) ||
        !read_body(v, trimmed, p, &len))
        return false;
    *out = emk_span_of(p, len);
    return true;
}

static int bech32_digit(uint8_t c)
{
    static const char digits[] = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static uint32_t bech32_step(uint32_t sum, uint32_t digit)
{
    static const uint32_t rows[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = sum >> 25;

    sum = (sum & 0x1ffffff) << 5 ^ digit;
    for (unsigned i = 0; i < 5; i++)
        if (top >> i & 1)
            sum ^= rows[i];
    return sum;
}

/* The checksum is over the lower-case letters. */
static uint32_t prefix_sum(const char *prefix)
{
    uint32_t sum = 1;

    for (const char *p = prefix; *p; p++)
        sum = bech32_step(sum, (uint32_t)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p) >> 5);
    sum = bech32_step(sum, 0);
    for (const char *p = prefix; *p; p++)
        sum = bech32_step(sum, (uint32_t)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p) & 31);
    return sum;
}

bool emk_age_unbech32(emk_span text, const char *prefix, uint8_t out[32])
{
    enum { DIGITS = 52, CHECK = 6 }; /* 32 bytes are 52 digits, with 4 bits left over */
    size_t at = strlen(prefix), n = 0;
    uint32_t sum = prefix_sum(prefix), bits = 0;
    unsigned n_bits = 0;

    if (text.len != at + 1 + DIGITS + CHECK || memcmp(text.p, prefix, at) != 0 || text.p[at] != '1')
        return false;
    for (size_t i = 0; i < DIGITS + CHECK; i++) {
        int digit = bech32_digit(text.p[at + 1 + i]);

        if (digit < 0)
            return false;
        sum = bech32_step(sum, (uint32_t)digit);
        if (i >= DIGITS)
            continue;
        bits = (bits << 5 | (uint32_t)digit) & 0xffff;
        n_bits += 5;
        if (n_bits >= 8 && n < 32) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    return sum == 1 && n == 32 && (bits & ((1u << n_bits) - 1)) == 0;
}
