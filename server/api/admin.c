#include "server/api/admin.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "server/api/entities.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FIREWALL_MAX (64u << 20)
#define SCAN_PAGE    500u
#define KEY_LEN      32u

typedef struct seen {
    emk_address client;
    uint64_t at_s;
} seen;

struct emk_admin {
    emk_admin_options options;
    emk_secret *subjects_key; /* NULL: none */
    emk_lock *lock;           /* of changes */
    emk_buf base;             /* the configuration's part of the firewall, as text */
    emk_limit_rule limits[EMK_LIMIT_RULES_MAX]; /* as configured */
    size_t n_limits;
    uint64_t started_s;
    atomic_bool verifying;

    emk_lock *seen_lock;
    seen seen[EMK_ADMIN_SEEN];

    atomic_ullong by_class[6];
    atomic_ullong latencies[EMK_ADMIN_LATENCIES];
    atomic_ullong actions[16];
};

void emk_admin_take(emk_admin *a)
{
    emk_lock_take(a->lock);
}

void emk_admin_give(emk_admin *a)
{
    emk_lock_give(a->lock);
}

const emk_admin_options *emk_admin_settings(const emk_admin *a)
{
    return &a->options;
}

bool emk_admin_verify_begin(emk_admin *a)
{
    return !atomic_exchange(&a->verifying, true);
}

void emk_admin_verify_end(emk_admin *a)
{
    atomic_store(&a->verifying, false);
}

bool emk_admin_subjects(emk_api *api, emk_subjects *out)
{
    if (!api->admin || !api->admin->subjects_key)
        return false;
    *out = (emk_subjects){
        .c = api->crypto,
        .records = api->records,
        .kind = EMK_KIND_SUBJECT,
        .kek = api->admin->subjects_key,
    };
    return true;
}

/* ---- all records of a kind ---- */

typedef struct walk {
    emk_record_fn fn;
    void *self;
    uint8_t last[EMK_RECORD_ID_MAX];
    size_t last_len;
    size_t n;
} walk;

static emk_status walk_one(void *self, const emk_record_view *r, emk_error *e)
{
    walk *w = self;

    memcpy(w->last, r->id.p, r->id.len);
    w->last_len = r->id.len;
    w->n++;
    return w->fn(w->self, r, e);
}

static emk_status walk_all(const emk_records *records, uint32_t kind, emk_record_fn fn, void *self,
                           emk_error *e)
{
    walk w = {.fn = fn, .self = self};
    emk_status st;

    do {
        emk_record_scan scan = {
            .kind = kind, .after = emk_span_of(w.last, w.last_len), .limit = SCAN_PAGE};

        w.n = 0;
        st = emk_records_scan(records, &scan, walk_one, &w, e);
    } while (st == EMK_OK && w.n == SCAN_PAGE);
    return st;
}

/* ---- firewall ---- */

emk_status emk_wall_action(emk_span text, emk_firewall_entry *out, emk_error *e)
{
    static const struct {
        const char *name;
        emk_firewall_action action;
    } NAMES[] = {{"allow", EMK_FIREWALL_ALLOW},
                 {"deny", EMK_FIREWALL_DENY},
                 {"challenge", EMK_FIREWALL_CHALLENGE}};
    char limit[16];

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (emk_span_equal(text, emk_span_str(NAMES[i].name))) {
            out->action = NAMES[i].action;
            return EMK_OK;
        }
    for (unsigned i = 1; i <= EMK_FIREWALL_CLASS_MAX; i++) {
        snprintf(limit, sizeof limit, "limit:%u", i);
        if (emk_span_equal(text, emk_span_str(limit))) {
            out->action = EMK_FIREWALL_LIMIT;
            out->limit_class = (uint8_t)i;
            return EMK_OK;
        }
    }
    return emk_fail(e, EMK_E_FORMAT, "firewall: no such action", 0);
}

static void copy_short(char to[EMK_FIREWALL_TEXT_MAX + 1], const char *from)
{
    size_t n = strlen(from);

    n = n > EMK_FIREWALL_TEXT_MAX ? EMK_FIREWALL_TEXT_MAX : n;
    memcpy(to, from, n);
    to[n] = 0;
}

emk_status emk_wall_read(const emk_wall_entity *w, emk_firewall_entry *out, emk_error *e)
{
    emk_firewall_entry entry = {.expires = w->expires_s};
    emk_status st = emk_net_parse(emk_span_str(w->prefix), &entry.net, e);

    if (st == EMK_OK)
        st = emk_wall_action(emk_span_str(w->action), &entry, e);
    if (st != EMK_OK)
        return st;
    copy_short(entry.reason, w->reason);
    copy_short(entry.origin, w->origin);
    copy_short(entry.by, w->by);
    *out = entry;
    return EMK_OK;
}

/* Entries being collected: the base's, then the records'. */
typedef struct collection {
    emk_firewall_entry *v;
    size_t n, cap;
    const emk_firewall_entry *one; /* replaces the one of its prefix; may be NULL */
} collection;

static bool same_net(const emk_net *a, const emk_net *b)
{
    return a->bits == b->bits && emk_address_equal(&a->base, &b->base);
}

static emk_status add(collection *c, const emk_firewall_entry *entry, emk_error *e)
{
    if (c->n == EMK_FIREWALL_ENTRIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "firewall: entries", c->n);
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        emk_firewall_entry *v = emk_alloc(cap, sizeof *v);

        if (!v)
            return emk_fail(e, EMK_E_NO_MEMORY, "firewall: memory", cap * sizeof *v);
        if (c->n > 0)
            memcpy(v, c->v, c->n * sizeof *v);
        emk_free(c->v);
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = *entry;
    return EMK_OK;
}

static emk_status add_record(void *self, const emk_record_view *r, emk_error *e)
{
    collection *c = self;
    emk_firewall_entry entry;
    emk_wall_entity w;
    emk_status st = emk_entity_read(&emk_wall_shape, r->value, &w, e);

    if (st == EMK_OK)
        st = emk_wall_read(&w, &entry, e);
    if (st != EMK_OK || (c->one && same_net(&entry.net, &c->one->net)))
        return st;
    return add(c, &entry, e);
}

static emk_status add_base(emk_admin *a, collection *c, emk_error *e)
{
    emk_firewall_set *base = NULL;
    emk_status st = emk_firewall_import(emk_buf_span(&a->base), &base, e);

    for (size_t i = 0; st == EMK_OK && i < emk_firewall_set_count(base); i++)
        st = add(c, emk_firewall_set_get(base, i), e);
    emk_firewall_set_free(base);
    return st;
}

emk_status emk_admin_firewall_with(emk_api *api, const emk_firewall_entry *one,
                                   emk_firewall_set **out, emk_error *e)
{
    collection c = {.one = one};
    emk_status st = add_base(api->admin, &c, e);

    if (st == EMK_OK)
        st = walk_all(&api->records, EMK_KIND_WALL, add_record, &c, e);
    if (st == EMK_OK && one && one->action != EMK_FIREWALL_NONE)
        st = add(&c, one, e);
    if (st == EMK_OK)
        st = emk_firewall_set_new(c.v, c.n, out, e);
    emk_free(c.v);
    return st;
}

emk_status emk_admin_firewall_apply(emk_api *api, emk_error *e)
{
    emk_firewall_set *set = NULL;
    emk_status st = emk_admin_firewall_with(api, NULL, &set, e);

    if (st == EMK_OK)
        emk_firewall_swap(api->firewall, set);
    return st;
}

emk_status emk_admin_firewall_base(emk_api *api, emk_firewall_set *set, emk_error *e)
{
    emk_buf text;
    emk_status st;

    if (!api->admin) {
        emk_firewall_swap(api->firewall, set);
        return EMK_OK;
    }
    emk_buf_init(&text, FIREWALL_MAX);
    st = emk_firewall_export(set, &text, e);
    emk_firewall_set_free(set);
    if (st != EMK_OK) {
        emk_buf_done(&text);
        return st;
    }
    emk_admin_take(api->admin);
    emk_buf_done(&api->admin->base);
    api->admin->base = text;
    st = emk_admin_firewall_apply(api, e);
    emk_admin_give(api->admin);
    return st;
}

typedef struct trial {
    const emk_firewall_set *candidate;
    const emk_address *clients;
    size_t n;
    uint64_t now_s;
    emk_firewall_trial out;
} trial;

static void try_set(void *self, const emk_firewall_set *now)
{
    trial *t = self;

    t->out = emk_firewall_try(now, t->candidate, t->clients, t->n, t->now_s);
}

emk_firewall_trial emk_admin_firewall_try(emk_api *api, const emk_firewall_set *candidate)
{
    emk_admin *a = api->admin;
    trial t = {.candidate = candidate, .now_s = emk_api_now(api)};
    emk_address *clients = emk_alloc(EMK_ADMIN_SEEN, sizeof *clients);

    emk_lock_take(a->seen_lock);
    for (size_t i = 0; clients && i < EMK_ADMIN_SEEN; i++)
        if (a->seen[i].at_s != 0 && a->seen[i].at_s + EMK_ADMIN_SEEN_S > t.now_s)
            clients[t.n++] = a->seen[i].client;
    emk_lock_give(a->seen_lock);
    t.clients = clients;
    emk_firewall_look(api->firewall, try_set, &t);
    emk_free(clients);
    return t.out;
}

/* ---- limits ---- */

const emk_limit_rule *emk_admin_limit(const emk_admin *a, emk_span name)
{
    for (size_t i = 0; i < a->n_limits; i++)
        if (emk_span_equal(name, emk_span_str(a->limits[i].name)))
            return &a->limits[i];
    return NULL;
}

/* A limit that is no longer configured keeps its record, and has no effect. */
static emk_status apply_limit(void *self, const emk_record_view *r, emk_error *e)
{
    emk_api *api = self;
    emk_limit_entity l;
    emk_limit_change to;
    emk_status st = emk_entity_read(&emk_limit_shape, r->value, &l, e);

    if (st != EMK_OK || !api->limits)
        return st;
    to = (emk_limit_change){
        .quota = l.quota, .window_s = l.per_s, .burst = l.burst, .shadow = l.shadow};
    st = emk_limits_change(api->limits, l.name, &to, e);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

/* ---- numbers ---- */

static unsigned class_of_ns(uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned i = 0;

    while (us > 0 && i + 1 < EMK_ADMIN_LATENCIES) {
        us >>= 1;
        i++;
    }
    return i;
}

/* A place by the address: the later one stays.  Whoever fills it with addresses of his own
 * makes a trial say less, and nothing else. */
static void remember(emk_admin *a, const emk_address *client, uint64_t now_s)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < sizeof client->b; i++)
        h = (h ^ client->b[i]) * 16777619u;
    h = (h ^ h >> 15) % EMK_ADMIN_SEEN;
    emk_lock_take(a->seen_lock);
    a->seen[h] = (seen){.client = *client, .at_s = now_s};
    emk_lock_give(a->seen_lock);
}

void emk_admin_saw(emk_admin *a, const emk_address *client, unsigned status, uint64_t ns)
{
    if (!a)
        return;
    if (status >= 100 && status < 600)
        atomic_fetch_add_explicit(&a->by_class[status / 100], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->latencies[class_of_ns(ns)], 1, memory_order_relaxed);
    if (client && client->family != EMK_ADDRESS_NONE)
        remember(a, client, emk_os_now_s());
}

void emk_admin_decided(emk_admin *a, unsigned action)
{
    if (a && action < 16)
        atomic_fetch_add_explicit(&a->actions[action], 1, memory_order_relaxed);
}

uint64_t emk_admin_answers(const emk_admin *a)
{
    uint64_t n = 0;

    for (size_t i = 0; a && i < sizeof a->by_class / sizeof a->by_class[0]; i++)
        n += atomic_load_explicit(&a->by_class[i], memory_order_relaxed);
    return n;
}

void emk_admin_numbers_get(emk_api *api, emk_admin_numbers *out)
{
    emk_admin *a = api->admin;
    uint64_t now = emk_api_now(api);

    *out = (emk_admin_numbers){.started_s = a->started_s};
    for (size_t i = 0; i < 6; i++)
        out->by_class[i] = atomic_load_explicit(&a->by_class[i], memory_order_relaxed);
    for (size_t i = 0; i < EMK_ADMIN_LATENCIES; i++)
        out->latencies[i] = atomic_load_explicit(&a->latencies[i], memory_order_relaxed);
    for (size_t i = 0; i < 16; i++)
        out->actions[i] = atomic_load_explicit(&a->actions[i], memory_order_relaxed);
    emk_lock_take(a->seen_lock);
    for (size_t i = 0; i < EMK_ADMIN_SEEN; i++)
        out->n_clients += a->seen[i].at_s != 0 && a->seen[i].at_s + EMK_ADMIN_SEEN_S > now;
    emk_lock_give(a->seen_lock);
}

/* ---- life ---- */

typedef struct export
{
    emk_buf *to;
    emk_status status;
    emk_error *e;
}
export;

static void export_base(void *self, const emk_firewall_set *set)
{
    export *x = self;

    x->status = emk_firewall_export(set, x->to, x->e);
}

static emk_status make(emk_admin *a, const emk_admin_options *o, emk_error *e)
{
    emk_status st = emk_lock_new(&a->lock, e);

    emk_buf_init(&a->base, FIREWALL_MAX);
    a->options = *o;
    if (st == EMK_OK)
        st = emk_lock_new(&a->seen_lock, e);
    if (st == EMK_OK && o->subjects_key.len == KEY_LEN) {
        st = emk_secret_new(KEY_LEN, &a->subjects_key, e);
        if (st == EMK_OK)
            memcpy(emk_secret_bytes(a->subjects_key), o->subjects_key.p, KEY_LEN);
    }
    a->options.subjects_key = emk_span_of(NULL, 0);
    return st;
}

static emk_status apply_all(emk_api *api, emk_error *e)
{
    emk_admin *a = api->admin;
    emk_status st = EMK_OK;

    if (api->limits) {
        a->n_limits = emk_limits_rules(api->limits, a->limits);
        st = walk_all(&api->records, EMK_KIND_LIMIT, apply_limit, api, e);
    }
    if (st == EMK_OK && api->firewall) {
        export x = {.to = &a->base, .e = e};

        emk_firewall_look(api->firewall, export_base, &x);
        st = x.status;
    }
    if (st == EMK_OK && api->firewall) {
        emk_admin_take(a);
        st = emk_admin_firewall_apply(api, e);
        emk_admin_give(a);
    }
    return st;
}

emk_status emk_admin_load(emk_api *api, const emk_admin_options *o, emk_error *e)
{
    emk_admin *a = emk_alloc(1, sizeof *a);
    emk_status st;

    if (!a)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *a);
    api->admin = a;
    a->started_s = emk_api_now(api);
    st = make(a, o, e);
    if (st == EMK_OK)
        st = apply_all(api, e);
    if (st != EMK_OK)
        emk_admin_free(api);
    return st;
}

void emk_admin_free(emk_api *api)
{
    emk_admin *a = api->admin;

    if (!a)
        return;
    api->admin = NULL;
    emk_secret_free(a->subjects_key);
    emk_buf_done(&a->base);
    emk_lock_free(a->lock);
    emk_lock_free(a->seen_lock);
    emk_free(a);
}
