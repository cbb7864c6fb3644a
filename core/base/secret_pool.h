/* Small secrets by the hundred: 64-byte places in one locked page.
 *
 * A page of its own for each secret (core/base/secret.h) costs several system calls; where
 * secrets come and go with every sealing, that is more than all that is computed from them.
 * The pool's page is locked, left out of dumps and zero in forked children, like theirs.
 *
 * Thread rule: take and give may be called from any number of threads. */
#ifndef EMK_CORE_BASE_SECRET_POOL_H
#define EMK_CORE_BASE_SECRET_POOL_H

#include "core/base/secret.h"

#define EMK_SECRET_PLACE_LEN 64u /* bytes of one place */
#define EMK_SECRET_PLACES    64u /* in a pool */

typedef struct emk_secret_pool emk_secret_pool;

/* Gives a pool; free with emk_secret_pool_free when all places were given back.
 * EMK_E_NO_MEMORY. */
emk_status emk_secret_pool_new(emk_secret_pool **out, emk_error *e) EMK_MUST_CHECK;

/* Wipes and frees.  NULL is fine. */
void emk_secret_pool_free(emk_secret_pool *p);

/* Lends a zeroed place until it is given back; NULL when all are lent: then use emk_secret. */
uint8_t *emk_secret_pool_take(emk_secret_pool *p);

/* Wipes the place.  NULL is fine. */
void emk_secret_pool_give(emk_secret_pool *p, uint8_t *place);

#endif
