/* Records in memory: an array of pointers, sorted by kind and id, under one lock.
 *
 * A batch is checked whole and its new records are allocated before anything is changed; what
 * follows cannot fail. */
#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "core/base/secret.h"
#include "core/base/span.h"
#include "core/base/status.h"
#include "server/store/records.h"

#include <string.h>

typedef struct item {
    emk_record_view r; /* its spans point behind this struct */
} item;

typedef struct memory {
    emk_lock *lock;
    item **items;
    size_t n, cap;
    uint64_t sequence;
} memory;

static int compare_spans(emk_span a, emk_span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int c = common ? memcmp(a.p, b.p, common) : 0;

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

/* The first item that is not before (kind, id). */
static size_t lower_bound(const memory *m, uint32_t kind, emk_span id)
{
    size_t low = 0, high = m->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const emk_record_view *r = &m->items[mid]->r;
        bool before = r->kind != kind ? r->kind < kind : compare_spans(r->id, id) < 0;

        if (before)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static item *find(const memory *m, uint32_t kind, emk_span id, size_t *at)
{
    size_t i = lower_bound(m, kind, id);

    *at = i;
    if (i < m->n && m->items[i]->r.kind == kind && emk_span_equal(m->items[i]->r.id, id))
        return m->items[i];
    return NULL;
}

static void item_free(item *it)
{
    if (it) /* it may have held a key */
        emk_wipe(it + 1, it->r.id.len + it->r.owner.len + it->r.value.len);
    emk_free(it);
}

static uint8_t *place(uint8_t *p, emk_span from, emk_span *to)
{
    if (from.len)
        memcpy(p, from.p, from.len);
    *to = emk_span_of(p, from.len);
    return p + from.len;
}

static item *item_new(const emk_record_change *c)
{
    item *it = emk_alloc(1, sizeof *it + c->id.len + c->owner.len + c->value.len);
    uint8_t *p;

    if (!it)
        return NULL;
    it->r.kind = c->kind;
    it->r.expires_s = c->expires_s;
    p = place((uint8_t *)(it + 1), c->id, &it->r.id);
    p = place(p, c->owner, &it->r.owner);
    place(p, c->value, &it->r.value);
    return it;
}

static emk_status check_expected(const memory *m, const emk_record_change *changes, size_t n,
                                 emk_error *e)
{
    for (size_t i = 0; i < n; i++) {
        size_t at;
        const item *it = find(m, changes[i].kind, changes[i].id, &at);
        uint64_t version = it ? it->r.version : EMK_RECORD_ABSENT;

        if (changes[i].expect != EMK_RECORD_ANY && changes[i].expect != version)
            return emk_fail(e, EMK_E_STALE, "records: changed meanwhile", i);
    }
    return EMK_OK;
}

static emk_status make_room(memory *m, size_t extra, emk_error *e)
{
    size_t cap = m->cap ? m->cap * 2 : 64;
    item **items;

    if (m->n + extra <= m->cap)
        return EMK_OK;
    if (cap < m->n + extra)
        cap = m->n + extra;
    items = emk_realloc(m->items, cap, sizeof(item *)); /* NOLINT */
    if (!items)
        return emk_fail(e, EMK_E_NO_MEMORY, "records: memory", cap);
    m->items = items;
    m->cap = cap;
    return EMK_OK;
}

static void take_out(memory *m, size_t at)
{
    item_free(m->items[at]);
    m->n--;
    memmove(&m->items[at], &m->items[at + 1], (m->n - at) * sizeof(item *)); /* NOLINT */
}

static void apply(memory *m, const emk_record_change *c, item *fresh)
{
    size_t at;
    item *old = find(m, c->kind, c->id, &at);

    if (c->op == EMK_RECORD_DELETE && old)
        take_out(m, at);
    if (c->op != EMK_RECORD_PUT)
        return;
    fresh->r.version = m->sequence;
    if (old) {
        item_free(old);
    } else {
        memmove(&m->items[at + 1], &m->items[at], (m->n - at) * sizeof(item *)); /* NOLINT */
        m->n++;
    }
    m->items[at] = fresh;
}

static emk_status commit_locked(memory *m, const emk_record_change *changes, size_t n, emk_error *e)
{
    item *fresh[EMK_RECORD_BATCH_MAX] = {0};
    emk_status st = check_expected(m, changes, n, e);

    if (st == EMK_OK)
        st = make_room(m, n, e);
    for (size_t i = 0; i < n && st == EMK_OK; i++) {
        if (changes[i].op == EMK_RECORD_PUT && !(fresh[i] = item_new(&changes[i])))
            st = emk_fail(e, EMK_E_NO_MEMORY, "records: memory", changes[i].value.len);
    }
    if (st != EMK_OK) {
        for (size_t i = 0; i < n; i++)
            item_free(fresh[i]);
        return st;
    }
    m->sequence++;
    for (size_t i = 0; i < n; i++)
        apply(m, &changes[i], fresh[i]);
    return EMK_OK;
}

static emk_status memory_commit(void *self, const emk_record_change *changes, size_t n,
                                uint64_t *version, emk_error *e)
{
    memory *m = self;
    emk_status st;

    emk_lock_take(m->lock);
    st = commit_locked(m, changes, n, e);
    if (st == EMK_OK)
        *version = m->sequence;
    emk_lock_give(m->lock);
    return st;
}

static emk_status memory_get(void *self, uint32_t kind, emk_span id, emk_record_info *info,
                             emk_buf *value, emk_error *e)
{
    memory *m = self;
    emk_status st = EMK_OK;
    const item *it;
    size_t at;

    emk_lock_take(m->lock);
    it = find(m, kind, id, &at);
    if (!it)
        st = emk_fail(e, EMK_E_NOT_FOUND, "records: no such record", 0);
    else if (value)
        st = emk_buf_append(value, it->r.value, e);
    if (st == EMK_OK && info) {
        *info = (emk_record_info){
            .version = it->r.version, .expires_s = it->r.expires_s, .owner_len = it->r.owner.len};
        memcpy(info->owner, it->r.owner.p, it->r.owner.len);
    }
    emk_lock_give(m->lock);
    return st;
}

static emk_status memory_scan(void *self, const emk_record_scan *scan, emk_record_fn fn,
                              void *fn_self, emk_error *e)
{
    memory *m = self;
    emk_status st = EMK_OK;
    size_t left = scan->limit;

    emk_lock_take(m->lock);
    for (size_t i = lower_bound(m, scan->kind, scan->after);
         i < m->n && m->items[i]->r.kind == scan->kind && left > 0 && st == EMK_OK; i++) {
        const emk_record_view *r = &m->items[i]->r;

        if (emk_span_equal(r->id, scan->after))
            continue;
        if (scan->owner.len && !emk_span_equal(r->owner, scan->owner))
            continue;
        left--;
        st = fn(fn_self, r, e);
    }
    emk_lock_give(m->lock);
    return st;
}

static emk_status memory_count(void *self, uint32_t kind, emk_span owner, uint64_t *n, emk_error *e)
{
    memory *m = self;
    uint64_t found = 0;

    (void)e;
    emk_lock_take(m->lock);
    for (size_t i = lower_bound(m, kind, emk_span_of(NULL, 0));
         i < m->n && m->items[i]->r.kind == kind; i++)
        found += owner.len == 0 || emk_span_equal(m->items[i]->r.owner, owner);
    emk_lock_give(m->lock);
    *n = found;
    return EMK_OK;
}

static emk_status memory_sweep(void *self, uint64_t now_s, uint64_t *n, emk_error *e)
{
    memory *m = self;
    size_t kept = 0;

    (void)e;
    emk_lock_take(m->lock);
    for (size_t i = 0; i < m->n; i++) {
        if (emk_record_is_expired(m->items[i]->r.expires_s, now_s))
            item_free(m->items[i]);
        else
            m->items[kept++] = m->items[i];
    }
    *n = m->n - kept;
    m->n = kept;
    emk_lock_give(m->lock);
    return EMK_OK;
}

static void memory_close(void *self)
{
    memory *m = self;

    for (size_t i = 0; i < m->n; i++)
        item_free(m->items[i]);
    emk_free(m->items);
    emk_lock_free(m->lock);
    emk_free(m);
}

static const emk_records_ops MEMORY_OPS = {
    .size = sizeof(emk_records_ops),
    .name = "memory",
    .get = memory_get,
    .commit = memory_commit,
    .scan = memory_scan,
    .count = memory_count,
    .sweep = memory_sweep,
    .close = memory_close,
};

emk_status emk_records_open_memory(emk_records *out, emk_error *e)
{
    memory *m = emk_alloc(1, sizeof *m);
    emk_status st;

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "records: memory", sizeof *m);
    st = emk_lock_new(&m->lock, e);
    if (st != EMK_OK) {
        emk_free(m);
        return st;
    }
    *out = (emk_records){&MEMORY_OPS, m};
    return EMK_OK;
}
