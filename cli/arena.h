/* Memory for one vector file, or for one test in it: taken piece by piece, freed at once. */
#ifndef EMK_CLI_ARENA_H
#define EMK_CLI_ARENA_H

#include <stddef.h>

typedef struct emk_arena {
    struct emk_arena_block *first; /* owned */
    size_t taken;                  /* bytes in all blocks */
    size_t max;                    /* never more than this */
} emk_arena;

/* An empty arena of at most max bytes.  Allocates nothing. */
void emk_arena_init(emk_arena *a, size_t max);

/* Lends len zeroed bytes, aligned for anything, until the reset.  NULL when there is no
 * memory, or the limit is reached. */
void *emk_arena_take(emk_arena *a, size_t len);

/* Frees all of it; the arena is empty again and may be used. */
void emk_arena_reset(emk_arena *a);

#endif
