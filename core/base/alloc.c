#include "core/base/alloc.h"

#include "core/base/fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *emk_alloc(size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    if (emk_fault_hit(EMK_FAULT_ALLOC))
        return NULL;
    return calloc(n ? n : 1, size ? size : 1);
}

void *emk_realloc(void *p, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    if (emk_fault_hit(EMK_FAULT_ALLOC))
        return NULL;
    return realloc(p, n != 0 && size != 0 ? n * size : 1);
}

void emk_free(void *p)
{
    free(p);
}

char *emk_strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *copy = emk_alloc(len, 1);

    if (copy)
        memcpy(copy, s, len);
    return copy;
}
