/* Tensors of a model, one at a time: the entry stays open, with its keys; each read decrypts the
 * segments of one tensor into memory of its own, which the next one wipes. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "device/client/internal.h"

#define PROBE_EVERY_READS 16u /* a look takes as long as decrypting a small tensor */

static emk_status need_index(void *self, const emk_entry *x, emk_error *e)
{
    (void)self;
    if (emk_vault_plan(x->vault)->n_index == 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "vault: the model has no index of tensors", 0);
    return EMK_OK;
}

static void free_map(emk_tensors *t)
{
    emk_watch_take(t->watch);
    emk_os_map_free(&t->map);
    emk_watch_give(t->watch);
}

static emk_status need_nothing(void *self, const emk_entry *x, emk_error *e)
{
    (void)self;
    (void)x;
    (void)e;
    return EMK_OK;
}

static emk_status open_with(emk_client *cl, const char *name, emk_opening *how, emk_tensors **out,
                            emk_error *e)
{
    emk_tensors *t = emk_alloc(1, sizeof *t);
    emk_status st;

    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "open: no memory", sizeof *t);
    st = emk_entry_open_for(cl, name, how, &t->entry, e);
    if (st != EMK_OK) {
        emk_free(t);
        return st;
    }
    t->client = cl;
    t->policy = *emk_vault_policy(t->entry.vault);
    t->asked = how->ask->memory;
    t->watch = emk_watch_hold(cl->watch);
    t->watched.map = &t->map;
    t->watched.min_guard = t->policy.min_guard;
    memcpy(t->watched.ticket_id, emk_vault_core(t->entry.vault)->ticket_id, EMK_ID_LEN);
    emk_watch_add(t->watch, &t->watched, emk_entry_end(&t->entry), emk_client_now(cl));
    *out = t;
    return EMK_OK;
}

emk_status emk_client_open_tensors(emk_client *cl, const char *name, const emk_client_ask *ask,
                                   emk_tensors **out, emk_error *e)
{
    emk_opening how = {.ask = ask, .memory = need_index};

    return open_with(cl, name, &how, out, e);
}

emk_status emk_tensors_open(emk_client *cl, const char *name, const emk_client_ask *ask,
                            emk_tensors **out, emk_error *e)
{
    emk_opening how = {.ask = ask, .memory = need_nothing};

    return open_with(cl, name, &how, out, e);
}

typedef struct each {
    emk_status (*fn)(void *self, const emk_client_tensor *tensor, emk_error *e);
    void *self;
} each;

static emk_status each_one(void *self, const emk_index_entry *in, emk_error *e)
{
    const each *a = self;
    emk_client_tensor t = {.name = in->name,
                           .dtype = in->dtype,
                           .rank = in->rank,
                           .offset = in->offset,
                           .len = in->length};

    memcpy(t.dims, in->dims, sizeof t.dims);
    return a->fn(a->self, &t, e);
}

emk_status emk_tensors_each(const emk_tensors *t,
                            emk_status (*fn)(void *self, const emk_client_tensor *tensor,
                                             emk_error *e),
                            void *self, emk_error *e)
{
    each a = {.fn = fn, .self = self};

    return emk_index_each(emk_vault_plan(t->entry.vault), each_one, &a, e);
}

typedef struct search {
    emk_span name;
    emk_tensor_place at;
    bool found;
} search;

static emk_status look_at(void *self, const emk_index_entry *in, emk_error *e)
{
    search *s = self;

    (void)e;
    if (s->found || !emk_span_equal(in->name, s->name))
        return EMK_OK;
    s->at = (emk_tensor_place){in->offset, in->length};
    s->found = true;
    return EMK_OK;
}

static emk_status judge(emk_tensors *t, emk_error *e)
{
    uint64_t ignored;
    emk_status st;

    if (t->n_reads++ % PROBE_EVERY_READS == 0)
        emk_client_guard_look(t->client, false);
    st = emk_client_guard_check(t->client, t->policy.min_guard, e);
    if (st != EMK_OK)
        return st;
    emk_client_tick(t->client, &ignored);
    if (emk_watch_is_wiped(t->watch, &t->watched))
        return emk_fail(e, EMK_E_POLICY, "policy: its time is over", emk_tensors_expires(t));
    return EMK_OK;
}

emk_status emk_tensors_find(emk_tensors *t, emk_span name, emk_tensor_place *out, emk_error *e)
{
    const emk_plan *plan = emk_vault_plan(t->entry.vault);
    search s = {.name = name, .at = {0, plan->model_len}, .found = name.len == 0};
    emk_status st = judge(t, e);

    if (st == EMK_OK && !s.found)
        st = emk_index_each(plan, look_at, &s, e);
    if (st == EMK_OK && !s.found)
        return emk_fail(e, EMK_E_NOT_FOUND, "vault: no tensor of this name", 0);
    if (st == EMK_OK)
        *out = s.at;
    return st;
}

emk_status emk_tensors_decrypt(emk_tensors *t, const emk_tensor_place *at, emk_os_map *map,
                               emk_error *e)
{
    emk_status st;

    st = emk_client_map(&t->policy, t->asked, at->len ? at->len : 1, map, e);
    if (st != EMK_OK)
        return st;
    st = emk_vault_read(t->entry.vault, at->offset, map->p, (size_t)at->len, e);
    if (st == EMK_OK)
        st = emk_os_map_protect(map, e);
    if (st != EMK_OK)
        emk_os_map_free(map);
    return st;
}

/* Its end may have come while it was decrypted: then it was not there to be wiped. */
static emk_status hand_over(emk_tensors *t, emk_os_map *map, emk_error *e)
{
    uint64_t ignored;

    emk_watch_take(t->watch);
    t->map = *map;
    emk_watch_give(t->watch);
    emk_client_tick(t->client, &ignored);
    if (!emk_watch_is_wiped(t->watch, &t->watched))
        return EMK_OK;
    free_map(t);
    return emk_fail(e, EMK_E_POLICY, "policy: its time is over", emk_tensors_expires(t));
}

emk_status emk_tensors_read(emk_tensors *t, emk_span name, emk_span *bytes, emk_error *e)
{
    emk_tensor_place at;
    emk_os_map map = {0};
    emk_status st;

    free_map(t);
    if (name.len == 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "vault: no tensor of this name", 0);
    st = emk_tensors_find(t, name, &at, e);
    if (st == EMK_OK)
        st = emk_tensors_decrypt(t, &at, &map, e);
    if (st == EMK_OK)
        st = hand_over(t, &map, e);
    if (st == EMK_OK)
        *bytes = emk_span_of(t->map.p, (size_t)at.len);
    return st;
}

uint64_t emk_tensors_expires(const emk_tensors *t)
{
    return emk_watch_end_of(t->watch, &t->watched);
}

void emk_tensors_close(emk_tensors *t)
{
    if (!t)
        return;
    emk_watch_remove(t->watch, &t->watched);
    emk_os_map_free(&t->map);
    emk_watch_drop(t->watch);
    emk_entry_close(&t->entry);
    emk_free(t);
}
