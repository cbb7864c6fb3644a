/* Secret memory for keys: locked, left out of core dumps, zeros in a forked child, wiped.
 *
 * Each emk_secret has pages of its own, so that unlocking one never unlocks another; use
 * it for what lives (content keys, private keys).  What lives for one call is an array on
 * the stack, wiped with emk_wipe on every path. */
#ifndef EMK_CORE_BASE_SECRET_H
#define EMK_CORE_BASE_SECRET_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_SECRET_MAX 16384 /* bytes in one secret */

typedef struct emk_secret emk_secret;

/* Gives a zeroed secret of len bytes (1..EMK_SECRET_MAX); free with emk_secret_free.
 * Locking is best effort: see emk_secret_is_locked.  EMK_E_USAGE or EMK_E_NO_MEMORY. */
emk_status emk_secret_new(size_t len, emk_secret **out, emk_error *e) EMK_MUST_CHECK;

/* The bytes, writable, valid until free. */
uint8_t *emk_secret_bytes(emk_secret *s);
emk_span emk_secret_span(const emk_secret *s);
size_t emk_secret_len(const emk_secret *s);
/* False when the memory-lock limit was too low: the pages could be swapped out. */
bool emk_secret_is_locked(const emk_secret *s);

/* Wipes and frees.  NULL is fine; so is what a forked child has of one. */
void emk_secret_free(emk_secret *s);

/* Overwrites memory in a way the compiler keeps. */
void emk_wipe(void *p, size_t len);

/* Compares in time that depends only on len. */
bool emk_ct_equal(const void *a, const void *b, size_t len);

#endif
