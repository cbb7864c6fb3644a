#include "device/guard/modules.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#if UINTPTR_MAX > 0xFFFFFFFFu
#define SYMBOL_OF ELF64_R_SYM
#else
#define SYMBOL_OF ELF32_R_SYM
#endif

#define BUILD_ID_NOTE 3u /* NT_GNU_BUILD_ID */

typedef struct walk {
    emk_module_fn fn;
    void *self;
    size_t n;
} walk;

static void note_segment(emk_module *m, const ElfW(Phdr) * ph, uintptr_t at)
{
    if (!(ph->p_flags & PF_X) || ph->p_filesz == 0)
        return;
    if (!(ph->p_flags & PF_R) || m->n_code == EMK_MODULE_SEGMENTS) {
        m->unreadable = true;
        return;
    }
    m->code[m->n_code++] = (emk_module_segment){(const uint8_t *)at, (size_t)ph->p_filesz,
                                                (uint64_t)ph->p_offset}; /* NOLINT */
}

/* Finds the build id among the notes of one segment. */
static void note_build_id(emk_module *m, const ElfW(Phdr) * ph, uintptr_t at)
{
    const uint8_t *p = (const uint8_t *)at; /* NOLINT */
    size_t left = (size_t)ph->p_filesz, off = 0;

    while (left - off >= sizeof(ElfW(Nhdr)) && off < left) {
        ElfW(Nhdr) note;
        size_t name, len;

        memcpy(&note, p + off, sizeof note);
        name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
        len = ((size_t)note.n_descsz + 3) & ~(size_t)3;
        if (name > left - off - sizeof note || len > left - off - sizeof note - name)
            return;
        if (note.n_type == BUILD_ID_NOTE && note.n_namesz == 4) {
            m->build_id = emk_span_of(p + off + sizeof note + name, note.n_descsz);
            m->build_id_off = (uint64_t)ph->p_offset + off + sizeof note + name;
            return;
        }
        off += sizeof note + name + len;
    }
}

static void note_header(emk_module *m, const struct dl_phdr_info *info, const ElfW(Phdr) * ph)
{
    const uintptr_t at = (uintptr_t)info->dlpi_addr + (uintptr_t)ph->p_vaddr;

    switch (ph->p_type) {
    case PT_LOAD:
        if (at < m->start)
            m->start = at;
        if (at + ph->p_memsz > m->end)
            m->end = at + (uintptr_t)ph->p_memsz;
        note_segment(m, ph, at);
        break;
    case PT_DYNAMIC:
        m->dynamic = (const void *)at; /* NOLINT */
        break;
    case PT_NOTE:
        if (m->build_id.len == 0)
            note_build_id(m, ph, at);
        break;
    default:
        break;
    }
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    walk *w = arg;
    emk_module m = {.start = UINTPTR_MAX, .base = (uintptr_t)info->dlpi_addr};
    const bool unnamed = !info->dlpi_name || info->dlpi_name[0] == 0;

    (void)size;
    m.is_program = w->n == 0 && unnamed;
    /* Names with no file behind them ("linux-vdso.so.1") have no slash and are not opened. */
    snprintf(m.path, sizeof m.path, "%s", unnamed ? "/proc/self/exe" : info->dlpi_name);
    for (ElfW(Half) i = 0; i < info->dlpi_phnum; i++)
        note_header(&m, info, &info->dlpi_phdr[i]);
    m.is_own = (uintptr_t)&emk_modules_each >= m.start && (uintptr_t)&emk_modules_each < m.end;
    if (++w->n > EMK_MODULES_MAX)
        return 1;
    return w->fn(w->self, &m) ? 0 : 1;
}

void emk_modules_each(emk_module_fn fn, void *self)
{
    walk w = {fn, self, 0};

    dl_iterate_phdr(visit, &w);
}

/* The tables of one module that its dynamic section names. */
typedef struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    size_t strings_len;
    uintptr_t plt, rel;
    size_t plt_len, rel_len, rel_size;
    bool plt_rela;
} tables;

/* glibc has turned addresses into absolute ones, other linkers leave them as they were. */
static uintptr_t absolute(const emk_module *m, uintptr_t p)
{
    return p < m->base ? p + m->base : p;
}

static bool read_tables(const emk_module *m, tables *t)
{
    const ElfW(Dyn) *d = m->dynamic;

    if (!d)
        return false;
    for (; d->d_tag != DT_NULL; d++) {
        const uintptr_t p = absolute(m, (uintptr_t)d->d_un.d_ptr);

        switch (d->d_tag) {
        case DT_SYMTAB:
            t->symbols = (const void *)p;
            break; /* NOLINT */
        case DT_STRTAB:
            t->strings = (const void *)p;
            break; /* NOLINT */
        case DT_STRSZ:
            t->strings_len = (size_t)d->d_un.d_val;
            break;
        case DT_JMPREL:
            t->plt = p;
            break;
        case DT_PLTRELSZ:
            t->plt_len = (size_t)d->d_un.d_val;
            break;
        case DT_PLTREL:
            t->plt_rela = d->d_un.d_val == DT_RELA;
            break;
        case DT_RELA:
            t->rel = p;
            t->rel_size = sizeof(ElfW(Rela));
            break;
        case DT_REL:
            t->rel = p;
            t->rel_size = sizeof(ElfW(Rel));
            break;
        case DT_RELASZ:
        case DT_RELSZ:
            t->rel_len = (size_t)d->d_un.d_val;
            break;
        default:
            break;
        }
    }
    return t->symbols && t->strings;
}

typedef struct relocations {
    uintptr_t at;
    size_t len, size;
} relocations;

/* Every relocation that stores the address of a named function: Rel is how Rela begins. */
static bool walk_calls(const emk_module *m, const tables *t, relocations r, emk_module_call_fn fn,
                       void *self)
{
    size_t n = r.size ? r.len / r.size : 0;

    if (n > EMK_MODULE_CALLS_MAX)
        n = EMK_MODULE_CALLS_MAX;
    for (size_t i = 0; i < n; i++) {
        const ElfW(Rel) *rel = (const void *)(r.at + i * r.size); /* NOLINT */
        const size_t index = (size_t)SYMBOL_OF(rel->r_info);
        const uintptr_t slot = m->base + (uintptr_t)rel->r_offset;
        const ElfW(Sym) *sym = &t->symbols[index];
        uintptr_t target;

        /* Unaligned slots are data, not calls. */
        if (index == 0 || slot % sizeof target != 0 || slot < m->start ||
            slot > m->end - sizeof target || sym->st_name >= t->strings_len)
            continue;
        memcpy(&target, (const void *)slot, sizeof target); /* NOLINT */
        if (!fn(self, t->strings + sym->st_name, target))
            return false;
    }
    return true;
}

void emk_module_calls_each(const emk_module *m, emk_module_call_fn fn, void *self)
{
    tables t = {0};

    if (!read_tables(m, &t))
        return;
    if (walk_calls(m, &t,
                   (relocations){t.plt, t.plt ? t.plt_len : 0,
                                 t.plt_rela ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel))},
                   fn, self))
        (void)walk_calls(m, &t, (relocations){t.rel, t.rel ? t.rel_len : 0, t.rel_size}, fn, self);
}
