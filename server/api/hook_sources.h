/* Whose webhooks come in, and the keys they sign with.  A reload replaces all of them at once,
 * while requests ask.
 *
 * Thread rule: any thread. */
#ifndef EMK_SERVER_API_HOOK_SOURCES_H
#define EMK_SERVER_API_HOOK_SOURCES_H

#include "server/gate/principal.h"
#include "server/webhook/webhook.h"

#define EMK_HOOK_SOURCES_MAX     8u
#define EMK_HOOK_SOURCE_NAME_CAP 33u

typedef struct emk_hook_source {
    char name[EMK_HOOK_SOURCE_NAME_CAP];
    char tenant[EMK_PRINCIPAL_NAME_MAX + 1];
} emk_hook_source;

/* What came: a message, the signatures it came with, and when. */
typedef struct emk_hook_signed {
    emk_webhook_message message;
    emk_span signatures;
    uint64_t now_s;
} emk_hook_signed;

typedef struct emk_hook_sources emk_hook_sources;

/* Gives a set of none; free with emk_hook_sources_free.  EMK_E_NO_MEMORY. */
emk_status emk_hook_sources_new(emk_hook_sources **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_hook_sources_free(emk_hook_sources *s);

/* From now on it is these; n at most EMK_HOOK_SOURCES_MAX.  Takes the keys, which are empty then.
 */
void emk_hook_sources_set(emk_hook_sources *s, const emk_hook_source *sources,
                          emk_webhook_keys *keys, size_t n);

/* Whether m is signed by the source of this name; then fills *who.  EMK_E_SIGNATURE for a source
 * that there is not, too (s NULL: there is none); else as emk_webhook_verify. */
emk_status emk_hook_sources_verify(emk_hook_sources *s, const emk_crypto *c, emk_span name,
                                   const emk_hook_signed *m, emk_hook_source *who,
                                   emk_error *e) EMK_MUST_CHECK;

#endif
