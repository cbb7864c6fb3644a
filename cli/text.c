#include "cli/text.h"

#include "core/codec/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";

size_t emk_cli_next_char(const uint8_t *p, size_t left, uint32_t *code)
{
    emk_utf8 u = {0};
    size_t n = 0;
    uint32_t v = 0;

    do {
        if (n == left || n == 4 || !emk_utf8_step(&u, p[n]))
            return 0;
        if (n > 0)
            v = v << 6 | (p[n] & 0x3fu);
        else
            v = u.need == 0 ? p[0] : p[0] & (0x3fu >> u.need);
        n++;
    } while (u.need > 0);
    *code = v;
    return n;
}

bool emk_cli_is_hostile(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xfff0 && code <= 0xfffb) || (code >= 0xe0000 && code <= 0xe0fff);
}

/* One character, or one byte that is none, as it may be shown; at most 12 bytes. */
static size_t show_char(const uint8_t *p, size_t left, char piece[16])
{
    uint32_t code = 0;
    size_t n = emk_cli_next_char(p, left, &code);

    if (n == 0)
        snprintf(piece, 16, "\\x%02x", p[0]);
    else if (emk_cli_is_hostile(code))
        snprintf(piece, 16, "\\u{%x}", (unsigned)code);
    else
        snprintf(piece, 16, "%.*s", (int)n, (const char *)p);
    return n == 0 ? 1 : n;
}

void emk_cli_clean(emk_span in, char *out, size_t cap)
{
    size_t at = 0, len = 0;
    char piece[16];

    while (at < in.len) {
        size_t piece_len;

        at += show_char(in.p + at, in.len - at, piece);
        piece_len = strlen(piece);
        if (len + piece_len + 1 > cap)
            break;
        memcpy(out + len, piece, piece_len);
        len += piece_len;
    }
    out[len] = 0;
}

/* Reads digits at *p and moves it behind them; false when there is none, or too many. */
static bool take_digits(const char **p, uint64_t *out)
{
    const char *s = *p;
    uint64_t v = 0;

    while (*s >= '0' && *s <= '9') {
        uint64_t digit = (uint64_t)(*s - '0');

        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
        s++;
    }
    if (s == *p)
        return false;
    *p = s;
    *out = v;
    return true;
}

emk_status emk_cli_parse_number(const char *text, uint64_t *out, emk_error *e)
{
    uint64_t v = 0;

    if (!take_digits(&text, &v) || *text != 0)
        return emk_fail(e, EMK_E_USAGE, "not a whole number", 0);
    *out = v;
    return EMK_OK;
}

static uint64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return UINT64_C(7) * 86400;
    case 'y':
        return UINT64_C(365) * 86400;
    default:
        return 0;
    }
}

emk_status emk_cli_parse_duration(const char *text, uint64_t *seconds, emk_error *e)
{
    uint64_t sum = 0;

    do {
        uint64_t n = 0, unit;

        if (!take_digits(&text, &n) || (unit = unit_seconds(*text)) == 0)
            return emk_fail(e, EMK_E_USAGE, "not a duration such as 90s, 15m, 12h, 30d, 2w, 1y", 0);
        if (n > EMK_CLI_SPAN_MAX / unit || sum + n * unit > EMK_CLI_SPAN_MAX)
            return emk_fail(e, EMK_E_USAGE, "a duration of more than 100 years", 0);
        sum += n * unit;
        text++;
    } while (*text != 0);
    *seconds = sum;
    return EMK_OK;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; years from 1970. */
static uint64_t days_to(uint64_t year, uint64_t month, uint64_t day)
{
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint64_t y = year - 1;
    uint64_t leap_days = y / 4 - y / 100 + y / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    assert(month >= 1 && month <= 12);
    return (year - 1970) * 365 + leap_days + before[month - 1] + (leap && month > 2) + day - 1;
}

static uint64_t days_in(uint64_t year, uint64_t month)
{
    if (month == 12)
        return 31;
    return days_to(year, month + 1, 1) - days_to(year, month, 1);
}

/* Exactly `width` digits between low and high, then the character `then` (0: nothing). */
static bool take_field(const char **p, int width, uint64_t high, char then, uint64_t *out)
{
    uint64_t v = 0;

    for (int i = 0; i < width; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        v = v * 10 + (uint64_t)(**p - '0');
    }
    if (v > high || (then != 0 && *(*p)++ != then))
        return false;
    *out = v;
    return true;
}

/* Behind the seconds: a fraction, which is dropped, then Z or an offset. */
static bool take_zone(const char **p, uint64_t *t)
{
    uint64_t hours = 0, minutes = 0, offset;
    char sign;

    if (**p == '.') {
        do {
            (*p)++;
        } while (**p >= '0' && **p <= '9');
    }
    sign = *(*p)++;
    if (sign == 'Z' || sign == 'z')
        return true;
    if ((sign != '+' && sign != '-') || !take_field(p, 2, 23, ':', &hours) ||
        !take_field(p, 2, 59, 0, &minutes))
        return false;
    offset = hours * 3600 + minutes * 60;
    if (sign == '+' && offset > *t)
        return false;
    *t = sign == '+' ? *t - offset : *t + offset;
    return true;
}

/* [RFC 3339 5.6], or the date alone. */
static bool take_date_time(const char *p, uint64_t *out)
{
    uint64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, t;

    if (!take_field(&p, 4, 9999, '-', &year) || !take_field(&p, 2, 12, '-', &month) ||
        !take_field(&p, 2, 31, 0, &day))
        return false;
    if (year < 1970 || month < 1 || day < 1 || day > days_in(year, month))
        return false;
    t = days_to(year, month, day) * 86400;
    if (*p != 0) {
        if (*p != 'T' && *p != 't' && *p != ' ')
            return false;
        p++;
        if (!take_field(&p, 2, 23, ':', &hour) || !take_field(&p, 2, 59, ':', &minute) ||
            !take_field(&p, 2, 60, 0, &second))
            return false;
        t += hour * 3600 + minute * 60 + second;
        if (!take_zone(&p, &t) || *p != 0)
            return false;
    }
    *out = t;
    return true;
}

emk_status emk_cli_parse_time(const char *text, uint64_t now, uint64_t *out, emk_error *e)
{
    uint64_t v = 0;

    if (text[0] == '@')
        return emk_cli_parse_number(text + 1, out, e);
    if (take_date_time(text, &v)) {
        *out = v;
        return EMK_OK;
    }
    if (emk_cli_parse_duration(text, &v, e) != EMK_OK)
        return emk_fail(e, EMK_E_USAGE,
                        "not a time such as 30d, 2027-01-31 or 2027-01-31T12:00:00Z", 0);
    *out = now + v;
    return EMK_OK;
}

void emk_cli_format_time(uint64_t seconds, char out[EMK_CLI_TIME_TEXT])
{
    uint64_t days = seconds / 86400, rest = seconds % 86400;
    uint64_t year = 1970, month = 1;

    if (seconds >= UINT64_C(253402300800)) { /* the year 10000 */
        snprintf(out, EMK_CLI_TIME_TEXT, "@%llu", (unsigned long long)seconds);
        return;
    }
    year += days / 366;
    while (days_to(year + 1, 1, 1) <= days)
        year++;
    while (month < 12 && days_to(year, month + 1, 1) <= days)
        month++;
    snprintf(out, EMK_CLI_TIME_TEXT, "%04u-%02u-%02u %02u:%02u:%02u UTC", (unsigned)year,
             (unsigned)month, (unsigned)(days - days_to(year, month, 1) + 1),
             (unsigned)(rest / 3600), (unsigned)(rest / 60 % 60), (unsigned)(rest % 60));
}

void emk_cli_format_when(uint64_t seconds, uint64_t now, char out[EMK_CLI_TIME_TEXT])
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{UINT64_C(365) * 86400, "year"},
                 {86400, "day"},
                 {3600, "hour"},
                 {60, "minute"},
                 {1, "second"}};
    uint64_t gap = seconds > now ? seconds - now : now - seconds;
    size_t i = 0;

    if (gap == 0) {
        snprintf(out, EMK_CLI_TIME_TEXT, "now");
        return;
    }
    while (gap < 2 * units[i].seconds && units[i].seconds > 1)
        i++;
    gap = (gap + units[i].seconds / 2) / units[i].seconds;
    snprintf(out, EMK_CLI_TIME_TEXT, "%s%llu %s%s%s", seconds > now ? "in " : "",
             (unsigned long long)gap, units[i].name, gap == 1 ? "" : "s",
             seconds > now ? "" : " ago");
}

void emk_cli_format_size(uint64_t bytes, char out[EMK_CLI_TIME_TEXT])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t scale = 1;
    size_t i = 0;

    while (bytes / scale >= 1024 && i + 1 < sizeof units / sizeof units[0]) {
        scale *= 1024;
        i++;
    }
    if (i == 0)
        snprintf(out, EMK_CLI_TIME_TEXT, "%llu bytes", (unsigned long long)bytes);
    else
        snprintf(out, EMK_CLI_TIME_TEXT, "%llu.%llu %s", (unsigned long long)(bytes / scale),
                 (unsigned long long)(bytes % scale * 10 / scale), units[i]);
}

void emk_cli_format_hex(emk_span in, char *out, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len && len + 3 <= cap; i++) {
        out[len++] = HEX[in.p[i] >> 4];
        out[len++] = HEX[in.p[i] & 15];
    }
    out[len] = 0;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

bool emk_cli_parse_hex(const char *text, uint8_t *out, size_t len)
{
    static const char DIGITS[] = "0123456789abcdef";

    if (strlen(text) != 2 * len || strspn(text, DIGITS) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)((strchr(DIGITS, text[2 * i]) - DIGITS) << 4 |
                           (strchr(DIGITS, text[2 * i + 1]) - DIGITS));
    return true;
}

size_t emk_cli_distance(const char *a, const char *b)
{
    size_t row[33], n = strlen(b);

    if (strlen(a) > 32 || n > 32)
        return 33;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != 0; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}
