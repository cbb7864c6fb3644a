/* Tokens that were verified, by their hash, until they are over.  Private to token.c.
 *
 * A table of fixed size in sets of four; a full set gives up what is over first.  Only verified
 * tokens get in, so a stranger cannot push anybody out.
 *
 * Thread rule: shared by all threads. */
#ifndef EMK_SERVER_GATE_TOKEN_CACHE_H
#define EMK_SERVER_GATE_TOKEN_CACHE_H

#include "server/gate/token.h"

typedef struct emk_token_cache emk_token_cache;

/* Gives an empty cache of at least n tokens; free with emk_token_cache_free.  EMK_E_LIMIT,
 * EMK_E_NO_MEMORY. */
emk_status emk_token_cache_new(uint32_t n, emk_token_cache **out, emk_error *e) EMK_MUST_CHECK;
void emk_token_cache_free(emk_token_cache *t);

/* Fills *out and *generation; false when it is not there. */
bool emk_token_cache_find(emk_token_cache *t, const uint8_t hash[32], emk_token_claims *out,
                          uint64_t *generation);
void emk_token_cache_put(emk_token_cache *t, const uint8_t hash[32], const emk_token_claims *claims,
                         uint64_t generation);

#endif
