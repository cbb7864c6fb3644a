#include "server/api/hook_sources.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"

#include <string.h>

struct emk_hook_sources {
    emk_lock *lock; /* of all below; held while a message is verified, which takes microseconds */
    emk_hook_source source[EMK_HOOK_SOURCES_MAX];
    emk_webhook_keys keys[EMK_HOOK_SOURCES_MAX];
    size_t n;
};

emk_status emk_hook_sources_new(emk_hook_sources **out, emk_error *e)
{
    emk_hook_sources *s = emk_alloc(1, sizeof *s);
    emk_status st;

    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "hook sources: memory", sizeof *s);
    st = emk_lock_new(&s->lock, e);
    if (st == EMK_OK)
        *out = s;
    else
        emk_free(s);
    return st;
}

static void forget(emk_webhook_keys *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        emk_webhook_keys_done(&keys[i]);
}

void emk_hook_sources_free(emk_hook_sources *s)
{
    if (!s)
        return;
    forget(s->keys, s->n);
    emk_lock_free(s->lock);
    emk_free(s);
}

void emk_hook_sources_set(emk_hook_sources *s, const emk_hook_source *sources,
                          emk_webhook_keys *keys, size_t n)
{
    emk_webhook_keys was[EMK_HOOK_SOURCES_MAX];
    size_t n_was;

    emk_lock_take(s->lock);
    n_was = s->n;
    memcpy(was, s->keys, sizeof was);
    for (size_t i = 0; i < n; i++) {
        s->source[i] = sources[i];
        s->keys[i] = keys[i];
        keys[i] = (emk_webhook_keys){.n = 0};
    }
    s->n = n;
    emk_lock_give(s->lock);
    forget(was, n_was);
}

emk_status emk_hook_sources_verify(emk_hook_sources *s, const emk_crypto *c, emk_span name,
                                   const emk_hook_signed *m, emk_hook_source *who, emk_error *e)
{
    emk_status st = emk_fail(e, EMK_E_SIGNATURE, "webhook: no such source", 0);

    if (!s)
        return st;
    emk_lock_take(s->lock);
    for (size_t i = 0; i < s->n; i++) {
        if (!emk_span_equal(name, emk_span_str(s->source[i].name)))
            continue;
        st = emk_webhook_verify(c, &s->keys[i], &m->message, m->signatures, m->now_s, e);
        if (st == EMK_OK)
            *who = s->source[i];
        break;
    }
    emk_lock_give(s->lock);
    return st;
}
