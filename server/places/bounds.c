#include "server/places/bounds.h"

#include <string.h>

static const char MARKER[] = "\xAB\xCD\xEFMaxMind.com";

#define SMALL_BITS 5u /* of a control byte: the size, or how to read it */
#define SIZE_1     29u
#define SIZE_2     30u
#define SIZE_3     31u

typedef enum value_kind { EXTENDED = 0, POINTER = 1, MAP = 7, LIST = 11, FLAG = 14 } value_kind;

typedef struct head {
    unsigned kind;
    uint32_t size;  /* bytes, members, or where a pointer leads */
    size_t content; /* behind the head */
} head;

/* How many values are still to come at this depth, and where to go on when none is. */
typedef struct frame {
    uint32_t left;
    size_t back;
    bool pointer;
} frame;

typedef struct walk {
    emk_span section;
    size_t at;
    unsigned values, depth;
    frame stack[EMK_PLACES_DEPTH_MAX];
} walk;

static emk_status cut(size_t at, emk_error *e)
{
    return emk_fail(e, EMK_E_FORMAT, "places: a value is cut short", at);
}

static emk_status take_bytes(const walk *w, size_t *at, unsigned n, uint32_t *out, emk_error *e)
{
    uint32_t v = 0;

    if (*at > w->section.len || n > w->section.len - *at)
        return cut(*at, e);
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | w->section.p[(*at)++];
    *out = v;
    return EMK_OK;
}

/* The offset is in n + 1 bytes and, but for four of them, three bits of the control byte. */
static emk_status take_pointer(const walk *w, uint32_t control, head *h, emk_error *e)
{
    static const uint32_t from[] = {0, 2048, 526336, 0};
    unsigned n = control >> 3 & 3;
    uint32_t v = 0;
    emk_status st = take_bytes(w, &h->content, n + 1, &v, e);

    if (st == EMK_OK)
        h->size = from[n] + v + (n < 3 ? (control & 7) << 8 * (n + 1) : 0);
    return st;
}

static emk_status take_size(const walk *w, uint32_t control, head *h, emk_error *e)
{
    static const uint32_t from[] = {29, 285, 65821};
    uint32_t v = 0;
    emk_status st;

    h->size = control & ((1u << SMALL_BITS) - 1);
    if (h->size < SIZE_1)
        return EMK_OK;
    st = take_bytes(w, &h->content, h->size - SIZE_1 + 1, &v, e);
    h->size = from[h->size - SIZE_1] + v;
    return st;
}

static emk_status take_head(const walk *w, head *h, emk_error *e)
{
    uint32_t control = 0, more = 0;
    emk_status st;

    h->content = w->at;
    st = take_bytes(w, &h->content, 1, &control, e);
    if (st != EMK_OK)
        return st;
    h->kind = control >> SMALL_BITS;
    if (h->kind == POINTER)
        return take_pointer(w, control, h, e);
    if (h->kind == EXTENDED) {
        st = take_bytes(w, &h->content, 1, &more, e);
        h->kind = more + MAP;
    }
    return st == EMK_OK ? take_size(w, control, h, e) : st;
}

static emk_status enter(walk *w, frame f, size_t at, emk_error *e)
{
    if (w->depth == EMK_PLACES_DEPTH_MAX)
        return emk_fail(e, EMK_E_LIMIT, "places: values too deep in each other", w->at);
    w->stack[w->depth++] = f;
    w->at = at;
    return EMK_OK;
}

/* A flag's value is its size. */
static emk_status pass(walk *w, const head *h, emk_error *e)
{
    uint32_t size = h->kind == FLAG ? 0 : h->size;

    if (size > w->section.len - h->content)
        return cut(w->at, e);
    w->at = h->content + size;
    return EMK_OK;
}

static emk_status step(walk *w, emk_error *e)
{
    bool behind_pointer = w->stack[w->depth - 1].pointer;
    head h;
    emk_status st = take_head(w, &h, e);

    if (st != EMK_OK)
        return st;
    if (++w->values > EMK_PLACES_VALUES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "places: too many values", w->at);
    switch (h.kind) {
    case POINTER:
        if (behind_pointer)
            return emk_fail(e, EMK_E_FORMAT, "places: a pointer to a pointer", w->at);
        return enter(w, (frame){1, h.content, true}, h.size, e);
    case MAP: /* at most 2^24 + 65821 members */
        return enter(w, (frame){2 * h.size, 0, false}, h.content, e);
    case LIST:
        return enter(w, (frame){h.size, 0, false}, h.content, e);
    default:
        return pass(w, &h, e);
    }
}

emk_status emk_places_check_value(emk_span section, size_t at, emk_error *e)
{
    walk w = {.section = section, .at = at, .depth = 1, .stack = {{1, 0, false}}};
    emk_status st = EMK_OK;

    while (st == EMK_OK && w.depth > 0) {
        frame *f = &w.stack[w.depth - 1];

        if (f->left > 0) {
            f->left--;
            st = step(&w, e);
            continue;
        }
        if (f->pointer)
            w.at = f->back;
        w.depth--;
    }
    return st;
}

emk_status emk_places_check_tail(emk_span tail, emk_error *e)
{
    size_t n = sizeof MARKER - 1;

    /* The last one counts. */
    for (size_t i = tail.len >= n ? tail.len - n + 1 : 0; i-- > 0;)
        if (memcmp(tail.p + i, MARKER, n) == 0)
            return emk_places_check_value(emk_span_of(tail.p + i + n, tail.len - i - n), 0, e);
    return emk_fail(e, EMK_E_FORMAT, "places: not a MaxMind database, or cut short", tail.len);
}
