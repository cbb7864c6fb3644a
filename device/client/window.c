/* A window of tensors.  State: places, each empty or one taken tensor in memory of its own, which
 * the watch wipes when its end comes.  The budget is compared before anything is decrypted, so
 * that there is no moment at which more of the model is in the clear. */
#include "core/base/alloc.h"
#include "device/client/internal.h"

typedef struct place {
    emk_os_map map; /* p is NULL: empty */
    emk_watched watched;
    uint64_t len;
} place;

struct emk_window {
    emk_tensors *tensors;
    uint64_t budget, in_use, most;
    place places[EMK_WINDOW_TAKEN_MAX];
};

emk_status emk_client_open_window(emk_client *cl, const char *name, const emk_client_ask *ask,
                                  uint64_t budget, emk_window **out, emk_error *e)
{
    emk_window *w;
    emk_status st;

    if (budget == 0)
        return emk_fail(e, EMK_E_USAGE, "window: no budget", 0);
    w = emk_alloc(1, sizeof *w);
    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "window: no memory", sizeof *w);
    st = emk_tensors_open(cl, name, ask, &w->tensors, e);
    if (st != EMK_OK) {
        emk_free(w);
        return st;
    }
    w->budget = budget;
    *out = w;
    return EMK_OK;
}

emk_status emk_window_each(const emk_window *w,
                           emk_status (*fn)(void *self, const emk_client_tensor *tensor,
                                            emk_error *e),
                           void *self, emk_error *e)
{
    return emk_tensors_each(w->tensors, fn, self, e);
}

static place *empty_place(emk_window *w)
{
    for (size_t i = 0; i < EMK_WINDOW_TAKEN_MAX; i++) {
        if (!w->places[i].map.p)
            return &w->places[i];
    }
    return NULL;
}

static void clear(emk_window *w, place *p)
{
    emk_watch_remove(w->tensors->watch, &p->watched);
    emk_os_map_free(&p->map);
    w->in_use -= p->len;
    *p = (place){.len = 0};
}

/* From here on the watch can wipe it, and has, when its end came while it was decrypted. */
static emk_status watch_over(emk_window *w, place *p, emk_error *e)
{
    emk_tensors *t = w->tensors;
    uint64_t ignored;

    p->watched = (emk_watched){.map = &p->map, .min_guard = t->policy.min_guard};
    memcpy(p->watched.ticket_id, t->watched.ticket_id, EMK_ID_LEN);
    emk_watch_add(t->watch, &p->watched, emk_tensors_expires(t), emk_client_now(t->client));
    emk_client_tick(t->client, &ignored);
    if (!emk_window_is_wiped(w) && !emk_watch_is_wiped(t->watch, &p->watched))
        return EMK_OK;
    clear(w, p);
    return emk_fail(e, EMK_E_POLICY, "policy: its time is over", emk_tensors_expires(t));
}

static emk_status take(emk_window *w, const emk_tensor_place *at, emk_span *bytes, emk_error *e)
{
    place *p = empty_place(w);
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_LIMIT, "window: too many tensors are taken", EMK_WINDOW_TAKEN_MAX);
    if (at->len > w->budget - w->in_use)
        return emk_fail(e, EMK_E_LIMIT, "window: does not fit beside what is taken", at->len);
    st = emk_tensors_decrypt(w->tensors, at, &p->map, e);
    if (st != EMK_OK)
        return st;
    p->len = at->len;
    w->in_use += p->len;
    if (w->in_use > w->most)
        w->most = w->in_use;
    st = watch_over(w, p, e);
    if (st == EMK_OK)
        *bytes = emk_span_of(p->map.p, (size_t)p->len);
    return st;
}

emk_status emk_window_take(emk_window *w, emk_span name, emk_span *bytes, emk_error *e)
{
    emk_tensor_place at;
    emk_status st = emk_tensors_find(w->tensors, name, &at, e);

    return st == EMK_OK ? take(w, &at, bytes, e) : st;
}

emk_status emk_window_take_part(emk_window *w, const emk_window_part *part, emk_span *bytes,
                                emk_error *e)
{
    emk_tensor_place at;
    emk_status st = emk_tensors_find(w->tensors, part->name, &at, e);

    if (st != EMK_OK)
        return st;
    if (part->off > at.len || part->len > at.len - part->off)
        return emk_fail(e, EMK_E_USAGE, "window: outside the tensor", part->off);
    at.offset += part->off;
    at.len = part->len;
    return take(w, &at, bytes, e);
}

void emk_window_give(emk_window *w, emk_span bytes)
{
    for (size_t i = 0; bytes.p && i < EMK_WINDOW_TAKEN_MAX; i++) {
        if (w->places[i].map.p == bytes.p) {
            clear(w, &w->places[i]);
            return;
        }
    }
}

uint64_t emk_window_in_use(const emk_window *w)
{
    return w->in_use;
}

uint64_t emk_window_most(const emk_window *w)
{
    return w->most;
}

bool emk_window_is_wiped(emk_window *w)
{
    return emk_watch_is_wiped(w->tensors->watch, &w->tensors->watched);
}

void emk_window_close(emk_window *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < EMK_WINDOW_TAKEN_MAX; i++) {
        if (w->places[i].map.p)
            clear(w, &w->places[i]);
    }
    emk_tensors_close(w->tensors);
    emk_free(w);
}
