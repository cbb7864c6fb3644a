/* Memory for the length of one request: taken piece by piece, given back all at once.
 * Not for secrets: see core/base/secret.h.  One arena, one thread at a time. */
#ifndef EMK_SERVER_API_ARENA_H
#define EMK_SERVER_API_ARENA_H

#include "core/base/buf.h"

#define EMK_ARENA_BLOCK 4096u /* bytes of the first block */

typedef struct emk_arena_block emk_arena_block;

typedef struct emk_arena {
    emk_arena_block *blocks; /* owned; newest first */
    size_t taken;            /* bytes given out or lost at the end of a block */
    size_t max;
} emk_arena;

/* An arena that will take at most max bytes.  Allocates nothing. */
void emk_arena_init(emk_arena *a, size_t max);

/* Lends len zeroed bytes, aligned for anything, until emk_arena_done.  NULL when the limit or
 * the memory is at its end; also for len 0. */
void *emk_arena_take(emk_arena *a, size_t len);

/* Lends a copy with a terminating zero that .len does not count.  EMK_E_LIMIT or EMK_E_NO_MEMORY.
 */
emk_status emk_arena_copy(emk_arena *a, emk_span s, emk_span *out, emk_error *e) EMK_MUST_CHECK;

/* Lends a formatted text.  NULL as for take. */
const char *emk_arena_format(emk_arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Frees all of it; the arena is empty again and may be used. */
void emk_arena_done(emk_arena *a);

#endif
