#include "server/api/range.h"

#include <stdbool.h>
#include <string.h>

#define DIGITS_MAX 18u

/* Decimal digits from *p on; -1: none were there; false: too many. */
typedef struct number {
    bool any;
    uint64_t v;
} number;

static bool read_number(emk_span *s, number *out)
{
    size_t n = 0;

    *out = (number){false, 0};
    while (n < s->len && s->p[n] >= '0' && s->p[n] <= '9') {
        if (n == DIGITS_MAX)
            return false;
        out->v = out->v * 10 + (uint64_t)(s->p[n++] - '0');
    }
    out->any = n > 0;
    *s = emk_span_of(s->p + n, s->len - n);
    return true;
}

/* "bytes=" first "-" last, and nothing else; the unit is compared without case. */
static bool parse(emk_span s, number *first, number *last)
{
    static const char unit[] = "bytes=";
    size_t n = sizeof unit - 1;

    if (s.len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = s.p[i];

        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != unit[i])
            return false;
    }
    s = emk_span_of(s.p + n, s.len - n);
    if (!read_number(&s, first) || s.len == 0 || s.p[0] != '-')
        return false;
    s = emk_span_of(s.p + 1, s.len - 1);
    return read_number(&s, last) && s.len == 0 && (first->any || last->any) &&
           (!first->any || !last->any || first->v <= last->v);
}

/* The last n bytes. */
static void from_end(uint64_t n, uint64_t size, emk_range *out)
{
    if (n == 0 || size == 0) {
        out->result = EMK_RANGE_NONE_THERE;
        return;
    }
    n = n < size ? n : size;
    *out = (emk_range){EMK_RANGE_PART, size - n, n};
}

void emk_range_read(const emk_gate_request *rq, emk_span etag, uint64_t size, emk_range *out)
{
    emk_span range, condition;
    number first, last;
    uint64_t end;

    *out = (emk_range){.result = EMK_RANGE_ALL};
    if (!emk_request_only(rq, "range", &range) || !parse(range, &first, &last))
        return;
    if (emk_request_count(rq, "if-range", NULL) > 0 &&
        (!emk_request_only(rq, "if-range", &condition) || !emk_span_equal(condition, etag)))
        return;
    if (!first.any) {
        from_end(last.v, size, out);
        return;
    }
    if (first.v >= size) {
        out->result = EMK_RANGE_NONE_THERE;
        return;
    }
    end = last.any && last.v < size ? last.v + 1 : size;
    *out = (emk_range){EMK_RANGE_PART, first.v, end - first.v};
}
