/* The heap, with failure injection.  Not for secrets: see core/base/secret.h. */
#ifndef EMK_CORE_BASE_ALLOC_H
#define EMK_CORE_BASE_ALLOC_H

#include "core/base/status.h"

#include <stddef.h>

/* Gives n * size zeroed bytes, or NULL when there is no memory or the product overflows.
 * n and size must already have met a limit. */
void *emk_alloc(size_t n, size_t size);

/* Resizes; on failure returns NULL and p stays valid.  New bytes are not zeroed. */
void *emk_realloc(void *p, size_t n, size_t size);

/* NULL is fine. */
void emk_free(void *p);

/* Gives a zero-terminated copy; NULL when there is no memory. */
char *emk_strdup(const char *s);

#endif
