#include "server/attest/instant.h"

#include <stdio.h>

#define FRACTION_MAX 9u
#define BARE_LEN     19u /* without fraction and Z */

typedef struct cursor {
    emk_span in;
    size_t pos;
    bool bad;
} cursor;

static int64_t digits(cursor *c, size_t n)
{
    int64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t ch = c->pos < c->in.len ? c->in.p[c->pos++] : 0;

        c->bad = c->bad || ch < '0' || ch > '9';
        v = v * 10 + (ch - '0');
    }
    return v;
}

static void mark(cursor *c, char want)
{
    c->bad = c->bad || c->pos >= c->in.len || c->in.p[c->pos] != (uint8_t)want;
    c->pos++;
}

static void fraction(cursor *c)
{
    size_t n = 0;

    if (c->pos >= c->in.len || c->in.p[c->pos] != '.')
        return;
    c->pos++;
    while (c->pos < c->in.len && c->in.p[c->pos] >= '0' && c->in.p[c->pos] <= '9') {
        c->pos++;
        n++;
    }
    c->bad = c->bad || n == 0 || n > FRACTION_MAX;
}

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int64_t days_in(int64_t y, int64_t m)
{
    static const uint8_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return DAYS[m - 1] + (m == 2 && is_leap(y));
}

/* Days from 1970-01-01; y >= 1970. */
static int64_t days_before(int64_t y, int64_t m)
{
    int64_t p = y - 1, days = (y - 1970) * 365 + (p / 4 - p / 100 + p / 400) - 477;

    for (int64_t i = 1; i < m; i++)
        days += days_in(y, i);
    return days;
}

emk_status emk_instant_parse(emk_span text, int64_t *out, emk_error *e)
{
    cursor c = {.in = text};
    int64_t y, mo, d, h, mi, s;

    y = digits(&c, 4);
    mark(&c, '-');
    mo = digits(&c, 2);
    mark(&c, '-');
    d = digits(&c, 2);
    mark(&c, 'T');
    h = digits(&c, 2);
    mark(&c, ':');
    mi = digits(&c, 2);
    mark(&c, ':');
    s = digits(&c, 2);
    fraction(&c);
    mark(&c, 'Z');
    if (c.bad || text.len < BARE_LEN + 1 || c.pos != text.len || y < 1970 || mo < 1 || mo > 12 ||
        d < 1 || d > days_in(y, mo) || h > 23 || mi > 59 || s > 59)
        return emk_fail(e, EMK_E_FORMAT, "attest: not a time like 2020-11-21T22:13:02Z", c.pos);
    *out = (days_before(y, mo) + d - 1) * 86400 + h * 3600 + mi * 60 + s;
    return EMK_OK;
}

void emk_instant_write(int64_t seconds, char out[EMK_INSTANT_ROOM])
{
    int64_t days, rest, y = 1970, m = 1;

    if (seconds < 0 || seconds > INT64_C(253402300799))
        seconds = 0;
    days = seconds / 86400;
    rest = seconds % 86400;
    while (days >= 365 + is_leap(y))
        days -= 365 + is_leap(y++);
    while (days >= days_in(y, m))
        days -= days_in(y, m++);
    (void)snprintf(out, EMK_INSTANT_ROOM, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)y % 10000u,
                   (unsigned)m % 100u, (unsigned)(days + 1) % 100u, (unsigned)(rest / 3600) % 100u,
                   (unsigned)(rest / 60 % 60) % 100u, (unsigned)(rest % 60) % 100u);
}
