#include "tests/conformance/vec.h"

#include "core/codec/base64url.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_MAX 24u /* bytes of a value that a difference shows */

/* The first text stays. */
__attribute__((format(printf, 2, 0))) static void fill(char text[EMK_REPORT_TEXT_MAX],
                                                       const char *format, va_list args)
{
    if (!text[0])
        vsnprintf(text, EMK_REPORT_TEXT_MAX, format, args);
}

void emk_vec_begin(emk_vec *v, const char *format, ...)
{
    va_list args;

    emk_arena_reset(&v->scratch);
    v->id[0] = v->failure[0] = v->skip[0] = v->broken[0] = '\0';
    v->n_checks = 0;
    va_start(args, format);
    fill(v->id, format, args);
    va_end(args);
}

void emk_vec_skip(emk_vec *v, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(v->skip, format, args);
    va_end(args);
}

void emk_vec_malformed(emk_vec *v, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(v->broken, format, args);
    va_end(args);
}

bool emk_vec_fail(emk_vec *v, const char *format, ...)
{
    va_list args;

    v->n_checks++;
    va_start(args, format);
    if (!v->broken[0]) /* what a bad field leads to is no failure of ours */
        fill(v->failure, format, args);
    va_end(args);
    return false;
}

bool emk_vec_is_well(const emk_vec *v)
{
    return !v->broken[0] && !v->skip[0] && !v->failure[0];
}

void emk_vec_end(emk_vec *v)
{
    char why[2 * EMK_REPORT_TEXT_MAX + 8];

    if (v->failure[0])
        emk_report_test(v->report, v->id, EMK_FAILED, v->failure);
    else if (v->broken[0])
        emk_report_test(v->report, v->id, EMK_SKIPPED, "malformed");
    else if (v->skip[0])
        emk_report_test(v->report, v->id, EMK_SKIPPED, v->skip);
    else if (v->n_checks == 0)
        emk_report_test(v->report, v->id, EMK_FAILED, "nothing in it could be checked");
    else
        emk_report_test(v->report, v->id, EMK_PASSED, "");
    if (v->broken[0]) {
        snprintf(why, sizeof why, "%s: %s", v->id, v->broken);
        emk_report_malformed(v->report, why);
    }
}

bool emk_vec_true(emk_vec *v, const char *what, bool truth)
{
    v->n_checks++;
    return truth || emk_vec_fail(v, "%s", what);
}

static void show(emk_span s, char out[2 * SHOWN_MAX + 32])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;

    for (size_t i = 0; i < s.len && i < SHOWN_MAX; i++) {
        out[n++] = digits[s.p[i] >> 4];
        out[n++] = digits[s.p[i] & 15];
    }
    snprintf(out + n, 32, "%s(%zu)", s.len > SHOWN_MAX ? ".." : "", s.len);
}

bool emk_vec_same(emk_vec *v, const char *what, emk_span got, emk_span want)
{
    char g[2 * SHOWN_MAX + 32], w[2 * SHOWN_MAX + 32];

    v->n_checks++;
    if (emk_span_equal(got, want))
        return true;
    show(got, g);
    show(want, w);
    return emk_vec_fail(v, "%s: expected %s, got %s", what, w, g);
}

bool emk_vec_ok(emk_vec *v, const char *what, emk_status st, const emk_error *e)
{
    v->n_checks++;
    if (st == EMK_OK)
        return true;
    return emk_vec_fail(v, "%s: expected OK, got %s (%s, %llu)", what, emk_status_name(st),
                        e && e->what ? e->what : "-", e ? (unsigned long long)e->where : 0);
}

bool emk_vec_status(emk_vec *v, const char *what, emk_status st, emk_status want)
{
    v->n_checks++;
    return st == want || emk_vec_fail(v, "%s: expected %s, got %s", what, emk_status_name(want),
                                      emk_status_name(st));
}

bool emk_vec_refused(emk_vec *v, const char *what, emk_status st)
{
    v->n_checks++;
    switch (st) {
    case EMK_E_USAGE:
    case EMK_E_FORMAT:
    case EMK_E_LIMIT:
    case EMK_E_SIGNATURE:
    case EMK_E_SEALED:
        return true;
    default:
        return emk_vec_fail(v, "%s: expected a refusal, got %s", what, emk_status_name(st));
    }
}

void *emk_vec_take(emk_vec *v, size_t len)
{
    void *p = emk_arena_take(&v->scratch, len);

    if (!p) {
        fflush(stdout);
        fprintf(stderr, "emk-vectors: test %s: no memory for %zu bytes\n", v->id, len);
        exit(2);
    }
    return p;
}

uint8_t *emk_vec_take_asked(emk_vec *v, uint64_t len)
{
    if (len > EMK_VEC_BUFFER_MAX) {
        emk_vec_malformed(v, "a length of %llu bytes", (unsigned long long)len);
        len = 1;
    }
    return emk_vec_take(v, (size_t)len);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool emk_vec_unhex(emk_vec *v, emk_span text, emk_span *out)
{
    uint8_t *p = emk_vec_take(v, text.len / 2 + 1);

    if (text.len % 2)
        return false;
    for (size_t i = 0; i < text.len / 2; i++) {
        int hi = hex_digit(text.p[2 * i]), lo = hex_digit(text.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        p[i] = (uint8_t)(hi << 4 | lo);
    }
    *out = emk_span_of(p, text.len / 2);
    return true;
}

bool emk_vec_unbase64url(emk_vec *v, emk_span text, emk_span *out)
{
    size_t cap = text.len / 4 * 3 + 4, len;
    uint8_t *p = emk_vec_take(v, cap);

    if (emk_base64url_decode(text, p, cap, &len, NULL) != EMK_OK)
        return false;
    *out = emk_span_of(p, len);
    return true;
}

static emk_span no_bytes(void)
{
    return emk_span_of("", 0);
}

emk_span emk_vec_text_opt(emk_vec *v, const emk_dom *object, const char *key)
{
    const emk_dom *m = emk_dom_get(object, key);

    if (!m)
        return no_bytes();
    if (m->kind != EMK_DOM_STRING) {
        emk_vec_malformed(v, "\"%s\" is no string", key);
        return no_bytes();
    }
    return m->text;
}

emk_span emk_vec_text(emk_vec *v, const emk_dom *object, const char *key)
{
    if (!emk_dom_get(object, key))
        emk_vec_malformed(v, "\"%s\" is missing", key);
    return emk_vec_text_opt(v, object, key);
}

emk_span emk_vec_hex_opt(emk_vec *v, const emk_dom *object, const char *key)
{
    emk_span out = no_bytes();

    if (!emk_vec_unhex(v, emk_vec_text_opt(v, object, key), &out))
        emk_vec_malformed(v, "\"%s\" is no hex", key);
    return out;
}

emk_span emk_vec_hex(emk_vec *v, const emk_dom *object, const char *key)
{
    if (!emk_dom_get(object, key))
        emk_vec_malformed(v, "\"%s\" is missing", key);
    return emk_vec_hex_opt(v, object, key);
}

emk_span emk_vec_base64url(emk_vec *v, const emk_dom *object, const char *key)
{
    emk_span out = no_bytes();

    if (!emk_vec_unbase64url(v, emk_vec_text(v, object, key), &out))
        emk_vec_malformed(v, "\"%s\" is no base64url", key);
    return out;
}

uint64_t emk_vec_number(emk_vec *v, const emk_dom *object, const char *key, uint64_t max)
{
    uint64_t n = 0;

    if (!emk_dom_u64(emk_dom_get(object, key), &n) || n > max) {
        emk_vec_malformed(v, "\"%s\" is no number up to %llu", key, (unsigned long long)max);
        return 0;
    }
    return n;
}

static const emk_dom *child(emk_vec *v, const emk_dom *object, const char *key, emk_dom_kind kind)
{
    const emk_dom *m = emk_dom_get_kind(object, key, kind);

    if (!m)
        emk_vec_malformed(v, "\"%s\" is missing or of another kind", key);
    return m;
}

const emk_dom *emk_vec_object(emk_vec *v, const emk_dom *object, const char *key)
{
    return child(v, object, key, EMK_DOM_OBJECT);
}

const emk_dom *emk_vec_array(emk_vec *v, const emk_dom *object, const char *key)
{
    return child(v, object, key, EMK_DOM_ARRAY);
}

emk_span emk_vec_join(emk_vec *v, const emk_span *parts, size_t n)
{
    size_t len = 0, at = 0;
    uint8_t *p;

    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    p = emk_vec_take(v, len);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].len > 0)
            memcpy(p + at, parts[i].p, parts[i].len);
        at += parts[i].len;
    }
    return emk_span_of(p, len);
}
