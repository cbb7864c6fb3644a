#include "core/codec/der.h"

#define CLASS_BITS      0xe0u /* class and constructed */
#define UNIVERSAL_BITS  0xc0u /* of the class: zero when universal */
#define LONG_NUMBER     0x1fu
#define LENGTH_BYTES    4u
#define SECONDS_A_DAY   86400
#define UTC_LEN         13u /* YYMMDDHHMMSSZ */
#define GENERALIZED_LEN 15u

void emk_der_init(emk_der *d, emk_span in)
{
    *d = (emk_der){0};
    emk_reader_init(&d->in, in);
}

bool emk_der_ok(const emk_der *d)
{
    return d->status == EMK_OK;
}

bool emk_der_more(const emk_der *d)
{
    return emk_der_ok(d) && emk_reader_left(&d->in) > 0;
}

static void fail_at(emk_der *d, emk_status st, const char *what, size_t at)
{
    if (d->status != EMK_OK)
        return;
    d->status = st;
    d->what = what;
    d->where = d->base + at;
}

void emk_der_fail(emk_der *d, emk_status st, const char *what)
{
    fail_at(d, st, what, d->in.pos);
}

/* Base 128, most significant first, shortest, and only for what the short form cannot say. */
static uint32_t read_long_number(emk_der *d, size_t at)
{
    uint32_t number = 0;
    uint8_t byte;

    do {
        byte = emk_read_u8(&d->in);
        if (d->in.cut || (number == 0 && byte == 0x80)) {
            fail_at(d, EMK_E_FORMAT, "der: tag", at);
            return 0;
        }
        number = number << 7 | (byte & 0x7fu);
        if (number > EMK_DER_NUMBER_MAX) {
            fail_at(d, EMK_E_LIMIT, "der: tag number", at);
            return 0;
        }
    } while (byte & 0x80);
    if (number < LONG_NUMBER)
        fail_at(d, EMK_E_FORMAT, "der: tag in the long form", at);
    return number;
}

static uint32_t read_tag(emk_der *d)
{
    size_t at = d->in.pos;
    uint8_t byte = emk_read_u8(&d->in);
    uint32_t number = byte & LONG_NUMBER;

    if (d->in.cut) {
        fail_at(d, EMK_E_FORMAT, "der: value missing", at);
        return 0;
    }
    if (number == LONG_NUMBER)
        number = read_long_number(d, at);
    if ((byte & UNIVERSAL_BITS) == 0 && number == 0)
        fail_at(d, EMK_E_FORMAT, "der: tag", at);
    return emk_der_ok(d) ? EMK_DER_TAG(byte & CLASS_BITS, number) : 0;
}

static size_t read_length(emk_der *d)
{
    size_t at = d->in.pos, len;
    uint8_t byte = emk_read_u8(&d->in);

    len = byte;
    if (byte >= 0x80) {
        uint8_t n = byte & 0x7f;

        len = 0;
        if (n == 0 || n > LENGTH_BYTES) {
            fail_at(d, EMK_E_FORMAT, "der: length is indefinite or too long", at);
            return 0;
        }
        for (uint8_t i = 0; i < n; i++)
            len = len << 8 | emk_read_u8(&d->in);
        if (!d->in.cut && (len < 0x80 || len >> (8u * (n - 1u)) == 0))
            fail_at(d, EMK_E_FORMAT, "der: length is not the shortest", at);
    }
    if (d->in.cut || len > emk_reader_left(&d->in))
        fail_at(d, EMK_E_FORMAT, "der: cut short", at);
    return emk_der_ok(d) ? len : 0;
}

uint32_t emk_der_peek(const emk_der *d)
{
    emk_der look = *d;

    return emk_der_more(d) ? read_tag(&look) : 0;
}

emk_span emk_der_read(emk_der *d, uint32_t tag)
{
    size_t at = d->in.pos, len;
    uint32_t got;

    if (!emk_der_ok(d))
        return emk_span_of(NULL, 0);
    got = read_tag(d);
    if (emk_der_ok(d) && got != tag)
        fail_at(d, EMK_E_FORMAT, "der: another tag than expected", at);
    len = emk_der_ok(d) ? read_length(d) : 0;
    if (!emk_der_ok(d))
        return emk_span_of(NULL, 0);
    return emk_read_bytes(&d->in, len);
}

emk_span emk_der_read_raw(emk_der *d)
{
    size_t at = d->in.pos;

    if (!emk_der_ok(d))
        return emk_span_of(NULL, 0);
    (void)read_tag(d);
    if (emk_der_ok(d))
        (void)emk_read_bytes(&d->in, read_length(d));
    if (!emk_der_ok(d))
        return emk_span_of(NULL, 0);
    return emk_span_of(d->in.in.p + at, d->in.pos - at);
}

void emk_der_enter(emk_der *d, uint32_t tag, emk_der *inner)
{
    emk_span in = emk_der_read(d, tag);

    emk_der_init(inner, in);
    inner->base = d->base + d->in.pos - in.len;
    if (!emk_der_ok(d))
        emk_der_fail(inner, d->status, d->what); /* so that loops over it end */
}

void emk_der_leave(emk_der *d, const emk_der *inner)
{
    if (!emk_der_ok(d))
        return;
    if (!emk_der_ok(inner)) {
        d->status = inner->status;
        d->what = inner->what;
        d->where = inner->where;
    } else if (emk_reader_left(&inner->in) > 0) {
        fail_at(d, EMK_E_FORMAT, "der: more in a value than expected",
                inner->base - d->base + inner->in.pos);
    }
}

/* Refuses contents that were just read. */
static emk_span refuse(emk_der *d, emk_span v, emk_status st, const char *what)
{
    fail_at(d, st, what, d->in.pos - v.len);
    return emk_span_of(NULL, 0);
}

bool emk_der_read_bool(emk_der *d)
{
    emk_span v = emk_der_read(d, EMK_DER_BOOLEAN);

    if (!emk_der_ok(d))
        return false;
    if (v.len != 1 || (v.p[0] != 0x00 && v.p[0] != 0xff))
        (void)refuse(d, v, EMK_E_FORMAT, "der: BOOLEAN");
    return emk_der_ok(d) && v.p[0] != 0;
}

void emk_der_read_null(emk_der *d)
{
    emk_span v = emk_der_read(d, EMK_DER_NULL);

    if (v.len != 0)
        (void)refuse(d, v, EMK_E_FORMAT, "der: NULL");
}

static emk_span read_whole_number(emk_der *d, uint32_t tag)
{
    emk_span v = emk_der_read(d, tag);

    if (!emk_der_ok(d))
        return v;
    if (v.len == 0)
        return refuse(d, v, EMK_E_FORMAT, "der: INTEGER without a byte");
    if (v.len > 1 && ((v.p[0] == 0x00 && v.p[1] < 0x80) || (v.p[0] == 0xff && v.p[1] >= 0x80)))
        return refuse(d, v, EMK_E_FORMAT, "der: INTEGER is not the shortest");
    return v;
}

static uint64_t read_u64(emk_der *d, uint32_t tag)
{
    emk_span v = read_whole_number(d, tag);
    uint64_t n = 0;

    if (!emk_der_ok(d))
        return 0;
    if (v.p[0] >= 0x80)
        v = refuse(d, v, EMK_E_FORMAT, "der: INTEGER is negative");
    else if (v.len > 9 || (v.len == 9 && v.p[0] != 0))
        v = refuse(d, v, EMK_E_LIMIT, "der: INTEGER beyond 64 bits");
    for (size_t i = 0; i < v.len; i++)
        n = n << 8 | v.p[i];
    return n;
}

uint64_t emk_der_read_uint(emk_der *d)
{
    return read_u64(d, EMK_DER_INTEGER);
}

uint64_t emk_der_read_enum(emk_der *d)
{
    return read_u64(d, EMK_DER_ENUMERATED);
}

emk_span emk_der_read_integer(emk_der *d)
{
    return read_whole_number(d, EMK_DER_INTEGER);
}

emk_span emk_der_read_oid(emk_der *d)
{
    emk_span v = emk_der_read(d, EMK_DER_OID);
    bool first = true; /* of an arc */

    if (!emk_der_ok(d))
        return v;
    for (size_t i = 0; i < v.len; i++) {
        if (first && v.p[i] == 0x80)
            return refuse(d, v, EMK_E_FORMAT, "der: OBJECT IDENTIFIER is not the shortest");
        first = v.p[i] < 0x80;
    }
    if (v.len == 0 || !first)
        return refuse(d, v, EMK_E_FORMAT, "der: OBJECT IDENTIFIER is cut short");
    return v;
}

emk_span emk_der_read_bits(emk_der *d, uint8_t *unused)
{
    emk_span v = emk_der_read(d, EMK_DER_BITS);

    *unused = 0;
    if (!emk_der_ok(d))
        return v;
    if (v.len == 0 || v.p[0] > 7 || (v.len == 1 && v.p[0] != 0))
        return refuse(d, v, EMK_E_FORMAT, "der: BIT STRING");
    if ((v.p[v.len - 1] & ((1u << v.p[0]) - 1)) != 0)
        return refuse(d, v, EMK_E_FORMAT, "der: BIT STRING with unused bits set");
    *unused = v.p[0];
    return emk_span_of(v.p + 1, v.len - 1);
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar.  March is the first month here, so
 * that the leap day is the year's last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t m = month > 2 ? month - 3 : month + 9;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool is_date(int64_t year, int64_t month, int64_t day)
{
    static const int8_t LENGTH[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (month < 1 || month > 12 || day < 1)
        return false;
    return day <= LENGTH[month - 1] + (leap && month == 2);
}

/* Two digits; -1 when they are none. */
static int64_t two_digits(const uint8_t *p)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return -1;
    return (p[0] - '0') * 10 + (p[1] - '0');
}

/* MMDDHHMMSSZ in a year that is known. */
static bool read_rest(int64_t year, const uint8_t *p, int64_t *out)
{
    int64_t n[5];

    for (size_t i = 0; i < 5; i++)
        n[i] = two_digits(p + 2 * i);
    if (!is_date(year, n[0], n[1]) || n[2] < 0 || n[2] > 23 || n[3] < 0 || n[3] > 59 || n[4] < 0 ||
        n[4] > 59 || p[10] != 'Z')
        return false;
    *out = days_of(year, n[0], n[1]) * SECONDS_A_DAY + n[2] * 3600 + n[3] * 60 + n[4];
    return true;
}

int64_t emk_der_read_time(emk_der *d)
{
    bool utc = emk_der_peek(d) == EMK_DER_UTC_TIME;
    emk_span v = emk_der_read(d, utc ? EMK_DER_UTC_TIME : EMK_DER_GENERALIZED_TIME);
    int64_t century, year, out = 0;

    if (!emk_der_ok(d))
        return 0;
    if (v.len != (utc ? UTC_LEN : GENERALIZED_LEN)) {
        (void)refuse(d, v, EMK_E_FORMAT, "der: time");
        return 0;
    }
    year = two_digits(utc ? v.p : v.p + 2);
    century = utc ? (year < 50 ? 20 : 19) : two_digits(v.p);
    if (year < 0 || century < 0 || !read_rest(century * 100 + year, v.p + v.len - 11, &out))
        (void)refuse(d, v, EMK_E_FORMAT, "der: time");
    return out;
}

emk_status emk_der_finish(emk_der *d, emk_error *e)
{
    if (emk_der_ok(d) && emk_reader_left(&d->in) > 0)
        emk_der_fail(d, EMK_E_FORMAT, "der: bytes behind the value");
    return emk_der_ok(d) ? EMK_OK : emk_fail(e, d->status, d->what, d->where);
}
