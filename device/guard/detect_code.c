/* Code in memory against code in its file: our own, the C library's, the linker's, and watched
 * engines'.  Whoever patches a function there (an inline hook, a breakpoint) shows.  A round
 * compares all of ours and of the C library; of engines, which are large, and in a probe, a
 * window chosen at random.
 *
 * A file that was replaced since it was loaded (an upgrade) has another build id: then nothing
 * can be said.  Evaded by patching the file as well, which the measurement in the summary shows
 * to a server that knows the builds; by hardware breakpoints; and by mapping clean pages for
 * the time of the look. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/crypto/hash.h"
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

#define WINDOW     4096u
#define ENGINE_MAX ((size_t)256 * 1024) /* bytes of an engine that one round looks at */

#if defined(__x86_64__) || defined(__i386__)
static const uint8_t breakpoint_code[] = {0xCC};
#elif defined(__aarch64__)
static const uint8_t breakpoint_code[] = {0x00, 0x00, 0x20, 0xD4};
#else
static const uint8_t breakpoint_code[] = {0x01, 0xDE};
#endif

typedef struct reading {
    emk_guard_look *l;
    emk_sha256_ctx *hash; /* of our own code, NULL: none, or not all of it */
    bool own_differs;
} reading;

static bool begins(const char *name, const char *const *words)
{
    for (; *words; words++) {
        if (strncmp(name, *words, strlen(*words)) == 0)
            return true;
    }
    return false;
}

static bool has_breakpoint(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + sizeof breakpoint_code <= n; i++) {
        if (memcmp(p + i, breakpoint_code, sizeof breakpoint_code) == 0)
            return true;
    }
    return false;
}

static void report_difference(reading *r, const emk_module *m, const uint8_t *p, size_t n)
{
    emk_guard_look *l = r->l;
    char detail[EMK_GUARD_DETAIL_MAX];

    snprintf(detail, sizeof detail, "%.80s", emk_guard_base_name(m->path));
    if (m->is_own) {
        r->own_differs = true;
        emk_guard_saw(l, EMK_GUARD_PATCHED_SELF,
                      emk_guard_outside_development(l, EMK_GUARD_CERTAIN), detail);
        if (has_breakpoint(p, n))
            emk_guard_saw(l, EMK_GUARD_BREAKPOINT,
                          emk_guard_outside_development(l, EMK_GUARD_CERTAIN), detail);
        return;
    }
    emk_guard_saw(l, EMK_GUARD_PATCHED_FUNCTION,
                  emk_guard_outside_development(l, EMK_GUARD_CERTAIN), detail);
}

/* Compares one window; false when the file could not be read there. */
static bool compare_window(reading *r, const emk_module *m, int fd, emk_module_segment s)
{
    uint8_t from_file[WINDOW];
    size_t first = 0;

    if (emk_os_read_at(fd, s.file_off, from_file, s.len, NULL) != EMK_OK)
        return false;
    if (memcmp(s.p, from_file, s.len) == 0)
        return true;
    while (s.p[first] == from_file[first])
        first++;
    /* Around the first difference: a breakpoint is one instruction. */
    report_difference(r, m, s.p + first,
                      s.len - first < sizeof breakpoint_code ? s.len - first
                                                             : sizeof breakpoint_code);
    return true;
}

static emk_module_segment window_at(const emk_module_segment *s, size_t off)
{
    const size_t left = s->len - off;

    return (emk_module_segment){s->p + off, left < WINDOW ? left : WINDOW, s->file_off + off};
}

/* What of a segment is looked at. */
typedef struct extent {
    size_t from, to;
} extent;

static extent extent_of(const reading *r, const emk_module *m, const emk_module_segment *s)
{
    const bool engine = !m->is_own && emk_guard_is_engine(r->l, m->path);
    const size_t most = !r->l->whole ? WINDOW : engine ? ENGINE_MAX : s->len;
    size_t from;

    if (s->len <= most)
        return (extent){0, s->len};
    from = (size_t)(r->l->random % (s->len - most));
    return (extent){from, from + most};
}

/* Of memory alone: an upgrade that replaces our file while we run changes nothing here. */
static void measure(reading *r, const emk_module *m)
{
    if (m->n_code == 0) /* nothing that can be read: no measurement is better than one of nothing */
        r->hash = NULL;
    for (size_t i = 0; i < m->n_code && r->hash; i++) {
        const emk_module_segment *s = &m->code[i];

        /* Half a measurement would be another one. */
        if (emk_env_is_late(&r->l->env) ||
            emk_sha256_ctx_update(r->hash, emk_span_of(s->p, s->len), NULL) != EMK_OK)
            r->hash = NULL;
    }
}

static void compare_segment(reading *r, const emk_module *m, int fd, const emk_module_segment *s)
{
    const extent x = extent_of(r, m, s);

    for (size_t off = x.from; off < x.to; off += WINDOW) {
        const emk_module_segment w = window_at(s, off);

        if (emk_env_is_late(&r->l->env)) {
            emk_guard_blind(r->l, EMK_E_LIMIT, "code: too slow");
            return;
        }
        if (!compare_window(r, m, fd, w)) {
            emk_guard_blind(r->l, EMK_E_IO, "code: its file is shorter");
            return;
        }
    }
}

static void compare_module(reading *r, const emk_module *m, int fd)
{
    for (size_t i = 0; i < m->n_code; i++)
        compare_segment(r, m, fd, &m->code[i]);
}

/* Whether the file is the one that was loaded. */
static bool is_same_build(const emk_module *m, int fd)
{
    uint8_t id[64];

    if (m->build_id.len == 0)
        return true;
    return m->build_id.len <= sizeof id &&
           emk_os_read_at(fd, m->build_id_off, id, m->build_id.len, NULL) == EMK_OK &&
           memcmp(id, m->build_id.p, m->build_id.len) == 0;
}

static bool look_at_module(void *self, const emk_module *m)
{
    reading *r = self;
    int fd = -1;

    if (!m->is_own && !begins(emk_guard_base_name(m->path), emk_system_code) &&
        !emk_guard_is_engine(r->l, m->path))
        return true;
    if (m->is_own)
        measure(r, m);
    if (m->has_no_file || !strchr(m->path, '/'))
        return true;
    if (m->unreadable && m->n_code == 0) /* execute-only text: Android has it */
        return true;
    if (emk_env_open(&(emk_env){.root = ""}, m->path, &fd, NULL) != EMK_OK) {
        emk_guard_blind(r->l, EMK_E_IO, emk_guard_base_name(m->path));
        return true;
    }
    if (is_same_build(m, fd))
        compare_module(r, m, fd);
    else
        emk_guard_blind(r->l, EMK_E_STALE, emk_guard_base_name(m->path));
    emk_os_close(fd);
    return true;
}

/* What was measured first is the measurement; later ones must be the same. */
static void judge_measurement(reading *r, emk_sha256_ctx *hash)
{
    emk_guard_memory *memory = r->l->memory;
    uint8_t now[EMK_GUARD_HASH_LEN];

    if (!r->hash || emk_sha256_ctx_finish(hash, now, NULL) != EMK_OK)
        return;
    if (!memory->measured) {
        memcpy(memory->measurement, now, sizeof now);
        memory->measured = true;
    } else if (memcmp(memory->measurement, now, sizeof now) != 0) {
        emk_guard_saw(r->l, EMK_GUARD_CHANGED_SELF,
                      emk_guard_outside_development(r->l, EMK_GUARD_CERTAIN),
                      "our own code is not what it was");
    }
}

static void look(emk_guard_look *l)
{
    reading r = {.l = l};
    emk_sha256_ctx *hash = NULL;

    /* Only a round hashes: a probe has half a millisecond. */
    if (l->whole && emk_sha256_ctx_new(l->crypto, &hash, NULL) == EMK_OK &&
        emk_sha256_ctx_reset(hash, NULL) == EMK_OK)
        r.hash = hash;
    emk_modules_each(look_at_module, &r);
    judge_measurement(&r, hash);
    emk_sha256_ctx_free(hash);
}

const emk_detector emk_detect_code = {"code", look, false};
