#include "device/guard/macho.h"

#include "core/base/bytes.h"

#include <string.h>

#define MAGIC_64    0xFEEDFACFu
#define MAGIC_32    0xFEEDFACEu
#define HEADER_LEN  32u
#define N_COMMANDS  16u /* offsets in the header */
#define LEN_OF_ALL  20u
#define FLAGS       24u
#define IN_A_CACHE  0x80000000u /* flag: the image is in dyld's cache and in no file */
#define COMMAND_LEN 8u

/* Load commands, and offsets in them. */
#define SYMBOLS         0x02u
#define SYMBOLS_LEN     24u
#define INDIRECT        0x0Bu
#define INDIRECT_LEN    80u
#define INDIRECT_AT     56u
#define SEGMENT         0x19u
#define SEGMENT_LEN     72u
#define UUID            0x1Bu
#define UUID_LEN        16u
#define ENCRYPTION      0x2Cu
#define ENCRYPTION_LEN  24u
#define ENCRYPTION_ID   16u
#define SECTION_LEN     80u
#define SECTION_FLAGS   64u
#define SECTION_FIRST   68u
#define SECTION_TYPE    0xFFu
#define NON_LAZY        6u
#define LAZY            7u
#define RIGHT_TO_RUN    4u
#define NAME_LEN        16u
#define SYMBOL_LEN      16u
#define NO_SYMBOL       0xC0000000u           /* local and absolute ones */
#define POINTER_BITS    0x00007FFFFFFFFFFFull /* above them stands a signature */
#define SYMBOL_NAME_MAX 256u

/* What of the image the walks need. */
typedef struct parts {
    const uint8_t *symbols, *indirect; /* commands; NULL: none */
    uint64_t linkedit_at, linkedit_off, linkedit_len;
    bool has_linkedit;
} parts;

static emk_status commands_of(const emk_macho *in, emk_span *out, emk_error *e)
{
    const uint32_t magic = emk_load_u32le(in->image);
    const uint32_t len = emk_load_u32le(in->image + LEN_OF_ALL);

    if (magic == MAGIC_32)
        return emk_fail(e, EMK_E_UNSUPPORTED, "guard: an image of 32 bits", magic);
    if (magic != MAGIC_64)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image's magic", magic);
    if (len > EMK_MACHO_COMMANDS_MAX)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image's commands", len);
    *out = emk_span_of(in->image + HEADER_LEN, len);
    return EMK_OK;
}

/* The next command, and takes it off; empty at the end and where one is cut. */
static emk_span next_command(emk_span *rest)
{
    emk_span one = {NULL, 0};
    uint32_t len;

    if (rest->len < COMMAND_LEN)
        return one;
    len = emk_load_u32le(rest->p + 4);
    if (len < COMMAND_LEN || len > rest->len)
        return one;
    one = emk_span_of(rest->p, len);
    *rest = emk_span_of(rest->p + len, rest->len - len);
    return one;
}

static bool is_command(emk_span c, uint32_t which, size_t least)
{
    return c.len >= least && emk_load_u32le(c.p) == which;
}

typedef struct segment {
    uint64_t at, len, off, file_len;
    uint32_t rights, n_sections;
} segment;

static segment segment_of(emk_span c)
{
    segment s = {.at = emk_load_u64le(c.p + 24),
                 .len = emk_load_u64le(c.p + 32),
                 .off = emk_load_u64le(c.p + 40),
                 .file_len = emk_load_u64le(c.p + 48),
                 .rights = emk_load_u32le(c.p + 60),
                 .n_sections = emk_load_u32le(c.p + 64)};

    if (s.n_sections > (c.len - SEGMENT_LEN) / SECTION_LEN)
        s.n_sections = (uint32_t)((c.len - SEGMENT_LEN) / SECTION_LEN);
    return s;
}

static void describe_segment(const emk_macho *in, emk_module *m, const segment *s)
{
    const uintptr_t at = (uintptr_t)s->at + in->slide;

    if (s->rights == 0 || s->len == 0) /* the hole at zero */
        return;
    if (at < m->start)
        m->start = at;
    if (at + (uintptr_t)s->len > m->end)
        m->end = at + (uintptr_t)s->len;
    if (!(s->rights & RIGHT_TO_RUN) || s->file_len == 0 || s->file_len > s->len ||
        m->n_code == EMK_MODULE_SEGMENTS)
        return;
    m->code[m->n_code++] =
        (emk_module_segment){(const uint8_t *)at, (size_t)s->file_len, s->off}; /* NOLINT */
}

emk_status emk_macho_describe(const emk_macho *in, emk_module *m, emk_error *e)
{
    emk_span rest, c;
    emk_status st = commands_of(in, &rest, e);

    if (st != EMK_OK)
        return st;
    m->start = UINTPTR_MAX;
    m->end = 0;
    m->has_no_file = (emk_load_u32le(in->image + FLAGS) & IN_A_CACHE) != 0;
    while ((c = next_command(&rest)).len > 0) {
        if (is_command(c, SEGMENT, SEGMENT_LEN)) {
            const segment s = segment_of(c);

            describe_segment(in, m, &s);
        } else if (is_command(c, UUID, COMMAND_LEN + UUID_LEN)) {
            m->build_id = emk_span_of(c.p + COMMAND_LEN, UUID_LEN);
            m->build_id_off = (uint64_t)(c.p + COMMAND_LEN - in->image);
        } else if (is_command(c, ENCRYPTION, ENCRYPTION_LEN) &&
                   emk_load_u32le(c.p + ENCRYPTION_ID) != 0) {
            m->has_no_file = true; /* the store's copy is encrypted */
        }
    }
    if (m->end == 0)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image without segments", 0);
    return EMK_OK;
}

static parts parts_of(emk_span rest)
{
    static const char linkedit[NAME_LEN] = "__LINKEDIT";
    parts p = {.symbols = NULL};
    emk_span c;

    while ((c = next_command(&rest)).len > 0) {
        if (is_command(c, SYMBOLS, SYMBOLS_LEN)) {
            p.symbols = c.p;
        } else if (is_command(c, INDIRECT, INDIRECT_LEN)) {
            p.indirect = c.p;
        } else if (is_command(c, SEGMENT, SEGMENT_LEN) &&
                   memcmp(c.p + COMMAND_LEN, linkedit, NAME_LEN) == 0) {
            const segment s = segment_of(c);

            p.linkedit_at = s.at;
            p.linkedit_off = s.off;
            p.linkedit_len = s.len;
            p.has_linkedit = true;
        }
    }
    return p;
}

/* Bytes that the file has at an offset, as they are mapped; empty where they are not. */
static emk_span linked(const emk_macho *in, const parts *p, uint64_t off, uint64_t len)
{
    const uintptr_t base = (uintptr_t)p->linkedit_at + in->slide;

    if (off < p->linkedit_off || off - p->linkedit_off > p->linkedit_len ||
        len > p->linkedit_len - (off - p->linkedit_off))
        return (emk_span){NULL, 0};
    return emk_span_of((const uint8_t *)(base + (uintptr_t)(off - p->linkedit_off)), /* NOLINT */
                       (size_t)len);
}

typedef struct tables {
    emk_span symbols, names, indirect;
} tables;

static tables tables_of(const emk_macho *in, const parts *p)
{
    tables t = {{NULL, 0}, {NULL, 0}, {NULL, 0}};

    if (!p->symbols || !p->indirect || !p->has_linkedit)
        return t;
    t.symbols = linked(in, p, emk_load_u32le(p->symbols + 8),
                       (uint64_t)emk_load_u32le(p->symbols + 12) * SYMBOL_LEN);
    t.names = linked(in, p, emk_load_u32le(p->symbols + 16), emk_load_u32le(p->symbols + 20));
    t.indirect = linked(in, p, emk_load_u32le(p->indirect + INDIRECT_AT),
                        (uint64_t)emk_load_u32le(p->indirect + INDIRECT_AT + 4) * 4);
    return t;
}

/* The name of the n-th entry of the indirect table, without its underscore; false: none. */
static bool name_of(const tables *t, uint64_t n, char out[SYMBOL_NAME_MAX])
{
    uint32_t symbol, at;
    size_t len;

    if (n >= t->indirect.len / 4)
        return false;
    symbol = emk_load_u32le(t->indirect.p + n * 4);
    if ((symbol & NO_SYMBOL) || symbol >= t->symbols.len / SYMBOL_LEN)
        return false;
    at = emk_load_u32le(t->symbols.p + (size_t)symbol * SYMBOL_LEN);
    if (at >= t->names.len)
        return false;
    if (t->names.p[at] == '_')
        at++;
    len = t->names.len - at < SYMBOL_NAME_MAX - 1 ? t->names.len - at : SYMBOL_NAME_MAX - 1;
    memcpy(out, t->names.p + at, len);
    out[len] = 0;
    return true;
}

typedef struct walk {
    const emk_macho *in;
    const tables *t;
    emk_module_call_fn fn;
    void *self;
    uint64_t most; /* calls that are still looked at */
} walk;

/* False when fn has enough. */
static bool walk_section(walk *w, const uint8_t *section, const segment *s)
{
    const uint64_t at = emk_load_u64le(section + 32), len = emk_load_u64le(section + 40);
    const uint32_t type = emk_load_u32le(section + SECTION_FLAGS) & SECTION_TYPE;
    const uint32_t first = emk_load_u32le(section + SECTION_FIRST);
    char name[SYMBOL_NAME_MAX];

    if ((type != LAZY && type != NON_LAZY) || at < s->at || at - s->at > s->len ||
        len > s->len - (at - s->at))
        return true;
    for (uint64_t i = 0; i < len / sizeof(uint64_t) && w->most > 0; i++, w->most--) {
        uint64_t target;

        memcpy(&target,
               (const void *)((uintptr_t)at + w->in->slide + i * sizeof target), /* NOLINT */
               sizeof target);
        if (name_of(w->t, first + i, name) &&
            !w->fn(w->self, name, (uintptr_t)(target & POINTER_BITS)))
            return false;
    }
    return true;
}

void emk_macho_calls_each(const emk_macho *in, emk_module_call_fn fn, void *self)
{
    emk_span rest, c;
    parts p;
    tables t;
    walk w = {in, &t, fn, self, EMK_MODULE_CALLS_MAX};

    if (commands_of(in, &rest, NULL) != EMK_OK)
        return;
    p = parts_of(rest);
    t = tables_of(in, &p);
    while ((c = next_command(&rest)).len > 0) {
        segment s;

        if (!is_command(c, SEGMENT, SEGMENT_LEN))
            continue;
        s = segment_of(c);
        for (uint32_t i = 0; i < s.n_sections; i++) {
            if (!walk_section(&w, c.p + SEGMENT_LEN + (size_t)i * SECTION_LEN, &s))
                return;
        }
    }
}
