#include "cli/arena.h"

#include "core/base/alloc.h"

#include <stdalign.h>
#include <stdint.h>

#define BLOCK_LEN 65536u

struct emk_arena_block {
    struct emk_arena_block *next;
    size_t len; /* of bytes */
    size_t used;
    alignas(max_align_t) uint8_t bytes[];
};

void emk_arena_init(emk_arena *a, size_t max)
{
    a->first = NULL;
    a->taken = 0;
    a->max = max;
}

static struct emk_arena_block *add_block(emk_arena *a, size_t need)
{
    size_t len = need > BLOCK_LEN ? need : BLOCK_LEN;
    struct emk_arena_block *block;

    if (len > a->max || a->taken > a->max - len)
        return NULL;
    block = emk_alloc(1, sizeof *block + len);
    if (!block)
        return NULL;
    block->len = len;
    block->next = a->first;
    a->first = block;
    a->taken += len;
    return block;
}

void *emk_arena_take(emk_arena *a, size_t len)
{
    struct emk_arena_block *block = a->first;
    size_t step = alignof(max_align_t);
    void *out;

    if (len > SIZE_MAX / 2)
        return NULL;
    len = (len + step) / step * step;
    if (!block || block->len - block->used < len)
        block = add_block(a, len);
    if (!block)
        return NULL;
    out = block->bytes + block->used;
    block->used += len;
    return out;
}

void emk_arena_reset(emk_arena *a)
{
    while (a->first) {
        struct emk_arena_block *next = a->first->next;

        emk_free(a->first);
        a->first = next;
    }
    a->taken = 0;
}
