#include "device/guard/pe.h"

#include "core/base/bytes.h"

#include <string.h>

#define DOS_MAGIC       0x5A4Du
#define NEW_HEADER_AT   0x3Cu
#define DOS_HEADER_LEN  64u
#define PE_MAGIC        0x00004550u
#define FILE_HEADER_LEN 24u /* with the magic */
#define N_SECTIONS_AT   6u
#define OPTIONAL_LEN_AT 20u
#define MAGIC_64        0x20Bu
#define N_FOLDERS_AT    108u /* in the optional header of 64 bits */
#define FOLDERS_AT      112u
#define FOLDER_LEN      8u
#define FOLDER_IMPORTS  1u
#define FOLDER_FIXUPS   5u
#define SECTION_LEN     40u
#define SECTIONS_MAX    96u
#define CAN_EXECUTE     0x20000000u
#define IMPORT_LEN      20u
#define IMPORTS_MAX     4096u
#define BY_NUMBER       0x8000000000000000ull
#define FIXUPS_HEAD     8u
#define PAGE            UINT64_C(4096)
#define NAME_MAX_LEN    256u

/* `len` bytes of the image at `at`, or NULL. */
static const uint8_t *bytes_at(const emk_pe *in, uint64_t at, uint64_t len)
{
    if (at > in->len || len > in->len - at)
        return NULL;
    return in->image + at;
}

typedef struct headers {
    const uint8_t *folders, *sections;
    uint32_t n_folders, n_sections;
} headers;

static emk_status read_headers(const emk_pe *in, headers *h, emk_error *e)
{
    const uint8_t *dos = bytes_at(in, 0, DOS_HEADER_LEN), *file, *optional;
    uint32_t at, optional_len;

    if (!dos || emk_load_u16le(dos) != DOS_MAGIC)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image's magic", 0);
    at = emk_load_u32le(dos + NEW_HEADER_AT);
    file = bytes_at(in, at, FILE_HEADER_LEN);
    if (!file || emk_load_u32le(file) != PE_MAGIC)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image's header", at);
    optional_len = emk_load_u16le(file + OPTIONAL_LEN_AT);
    optional = bytes_at(in, (uint64_t)at + FILE_HEADER_LEN, optional_len);
    if (!optional || optional_len < FOLDERS_AT)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image's header is cut", optional_len);
    if (emk_load_u16le(optional) != MAGIC_64)
        return emk_fail(e, EMK_E_UNSUPPORTED, "guard: an image of 32 bits", 0);
    h->folders = optional + FOLDERS_AT;
    h->n_folders = emk_load_u32le(optional + N_FOLDERS_AT);
    if (h->n_folders > (optional_len - FOLDERS_AT) / FOLDER_LEN)
        h->n_folders = (optional_len - FOLDERS_AT) / FOLDER_LEN;
    h->n_sections = emk_load_u16le(file + N_SECTIONS_AT);
    h->sections = bytes_at(in, (uint64_t)at + FILE_HEADER_LEN + optional_len,
                           (uint64_t)h->n_sections * SECTION_LEN);
    if (!h->sections || h->n_sections > SECTIONS_MAX)
        return emk_fail(e, EMK_E_FORMAT, "guard: an image's sections", h->n_sections);
    return EMK_OK;
}

/* A folder's bytes; empty: none. */
static emk_span folder_of(const emk_pe *in, const headers *h, uint32_t which)
{
    const uint8_t *row = h->folders + (size_t)which * FOLDER_LEN, *p;
    uint32_t len;

    if (which >= h->n_folders)
        return (emk_span){NULL, 0};
    len = emk_load_u32le(row + 4);
    p = bytes_at(in, emk_load_u32le(row), len);
    return p ? emk_span_of(p, len) : (emk_span){NULL, 0};
}

/* The next block of fixups, and takes it off; empty at the end and where one is cut. */
static emk_span next_block(emk_span *rest)
{
    emk_span one = {NULL, 0};
    uint32_t len;

    if (rest->len < FIXUPS_HEAD)
        return one;
    len = emk_load_u32le(rest->p + 4);
    if (len < FIXUPS_HEAD || len > rest->len)
        return one;
    one = emk_span_of(rest->p, len);
    *rest = emk_span_of(rest->p + len, rest->len - len);
    return one;
}

typedef struct run {
    uint64_t from, to; /* in the image */
} run;

/* The first page at or after `from` that the loader changes, within `to`; a fixup may reach
 * into the page behind. */
static run first_change(emk_span fixups, run within)
{
    run found = {within.to, within.to};
    emk_span block;

    while ((block = next_block(&fixups)).len > 0) {
        const uint64_t page = emk_load_u32le(block.p);

        if (block.len > FIXUPS_HEAD && page + 2 * PAGE > within.from && page < found.from)
            found = (run){page < within.from ? within.from : page, page + 2 * PAGE};
    }
    return found;
}

/* Puts a run among the longest. */
static void keep(emk_module *m, emk_module_segment s)
{
    size_t shortest = 0;

    if (s.len == 0)
        return;
    if (m->n_code < EMK_MODULE_SEGMENTS) {
        m->code[m->n_code++] = s;
        return;
    }
    m->unreadable = true; /* not all of it is looked at */
    for (size_t i = 1; i < m->n_code; i++) {
        if (m->code[i].len < m->code[shortest].len)
            shortest = i;
    }
    if (m->code[shortest].len < s.len)
        m->code[shortest] = s;
}

static void describe_section(const emk_pe *in, emk_span fixups, const uint8_t *row, emk_module *m)
{
    const uint32_t virtual_len = emk_load_u32le(row + 8), at = emk_load_u32le(row + 12),
                   file_len = emk_load_u32le(row + 16), off = emk_load_u32le(row + 20);
    run left = {at, (uint64_t)at + (file_len < virtual_len ? file_len : virtual_len)};

    if (!(emk_load_u32le(row + 36) & CAN_EXECUTE) || left.to > in->len)
        return;
    while (left.from < left.to) {
        const run change = first_change(fixups, left);

        keep(m, (emk_module_segment){in->image + left.from, (size_t)(change.from - left.from),
                                     (uint64_t)off + (left.from - at)});
        left.from = change.to;
    }
}

emk_status emk_pe_describe(const emk_pe *in, emk_module *m, emk_error *e)
{
    headers h;
    emk_status st = read_headers(in, &h, e);
    emk_span fixups;

    if (st != EMK_OK)
        return st;
    fixups = folder_of(in, &h, FOLDER_FIXUPS);
    m->start = (uintptr_t)in->image;
    m->end = m->start + in->len;
    for (uint32_t i = 0; i < h.n_sections; i++)
        describe_section(in, fixups, h.sections + (size_t)i * SECTION_LEN, m);
    return EMK_OK;
}

/* The zero-terminated name at an address; false where it is cut or empty. */
static bool name_at(const emk_pe *in, uint64_t at, char out[NAME_MAX_LEN])
{
    size_t n = 0;

    for (; n + 1 < NAME_MAX_LEN && at + n < in->len && in->image[at + n] != 0; n++)
        out[n] = (char)in->image[at + n];
    out[n] = 0;
    return n > 0;
}

typedef struct walk {
    const emk_pe *in;
    emk_module_call_fn fn;
    void *self;
    size_t most;
} walk;

/* The two tables of one imported library: names, and the addresses the loader put in.  False when
 * fn has enough. */
static bool walk_library(walk *w, uint64_t names, uint64_t addresses)
{
    char name[NAME_MAX_LEN];

    for (; w->most > 0; w->most--, names += 8, addresses += 8) {
        const uint8_t *from = bytes_at(w->in, names, 8), *to = bytes_at(w->in, addresses, 8);
        uint64_t entry;

        if (!from || !to || (entry = emk_load_u64le(from)) == 0)
            return true;
        /* Two bytes of a hint stand before a name. */
        if ((entry & BY_NUMBER) || !name_at(w->in, entry + 2, name))
            continue;
        if (!w->fn(w->self, name, (uintptr_t)emk_load_u64le(to)))
            return false;
    }
    return true;
}

void emk_pe_calls_each(const emk_pe *in, emk_module_call_fn fn, void *self)
{
    walk w = {in, fn, self, EMK_MODULE_CALLS_MAX};
    headers h;
    emk_span imports;

    if (read_headers(in, &h, NULL) != EMK_OK)
        return;
    imports = folder_of(in, &h, FOLDER_IMPORTS);
    for (size_t i = 0; i < IMPORTS_MAX && (i + 1) * IMPORT_LEN <= imports.len; i++) {
        const uint8_t *row = imports.p + i * IMPORT_LEN;
        const uint32_t names = emk_load_u32le(row), addresses = emk_load_u32le(row + 16);

        if (addresses == 0)
            return;
        /* Some linkers leave the names out: then nothing says what is called. */
        if (names != 0 && !walk_library(&w, names, addresses))
            return;
    }
}
