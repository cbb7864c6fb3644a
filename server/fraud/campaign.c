#include "server/fraud/campaign.h"

#include "core/base/alloc.h"
#include "server/fraud/fixed.h"

#include <stdlib.h>
#include <string.h>

#define GRANTS_MAX (1u << 24)
#define USERS_MAX  (1u << 20)
#define PAIRS_MAX  (1u << 24)

/* One artifact taken by one user. */
typedef struct grant {
    uint64_t artifact, bucket;
    uint32_t user;
} grant;

/* Two users and an artifact they took together; the smaller index first. */
typedef struct meeting {
    uint32_t a, b;
    uint64_t artifact;
} meeting;

/* A name that was seen; text is borrowed from the log. */
typedef struct person {
    uint64_t hash;
    emk_span name, tenant;
    uint32_t parent, links, size, group;
} person;

typedef struct work {
    emk_fraud_campaign_options o;
    emk_buf grants, meetings, people;
    uint32_t *slots; /* owned; open addressing: person + 1 */
    uint64_t mask;
    uint32_t n_people;
    uint64_t events, pairs, last_ms;
} work;

/* No secret: hashes only sort and find, and equal ones are compared. */
static const uint64_t KEY[2] = {UINT64_C(0x6561726d61726b31), UINT64_C(0x63616d706169676e)};

static person *person_at(const work *w, uint32_t i)
{
    return (person *)(void *)w->people.p + i;
}

static emk_status person_of(work *w, const emk_fraud_event *ev, uint32_t *out, emk_error *e)
{
    emk_span name = ev->f[EMK_FRAUD_F_USER].text;
    uint64_t h = emk_fraud_siphash(KEY, name), s = h & w->mask;
    person p = {.hash = h, .name = name, .parent = w->n_people, .size = 1};
    emk_status st;

    if (emk_fraud_has(ev, EMK_FRAUD_F_TENANT))
        p.tenant = ev->f[EMK_FRAUD_F_TENANT].text;

    for (; w->slots[s]; s = (s + 1) & w->mask) {
        const person *q = person_at(w, w->slots[s] - 1);

        if (q->hash == h && emk_span_equal(q->name, name) && emk_span_equal(q->tenant, p.tenant)) {
            *out = w->slots[s] - 1;
            return EMK_OK;
        }
    }
    if (w->n_people == USERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "campaign: too many users", USERS_MAX);
    st = emk_buf_append(&w->people, emk_span_of(&p, sizeof p), e);
    if (st == EMK_OK) {
        *out = w->n_people;
        w->slots[s] = ++w->n_people;
    }
    return st;
}

static emk_status take_event(work *w, const emk_fraud_event *ev, emk_error *e)
{
    grant g;
    emk_status st;

    if (ev->type != EMK_FRAUD_GRANT || !emk_fraud_has(ev, EMK_FRAUD_F_USER) ||
        !emk_fraud_has(ev, EMK_FRAUD_F_ARTIFACT) || ev->ts < w->o.from_ms ||
        (w->o.to_ms && ev->ts > w->o.to_ms))
        return EMK_OK;
    memset(&g, 0, sizeof g);
    g.artifact = emk_fraud_siphash(KEY, ev->f[EMK_FRAUD_F_ARTIFACT].text);
    g.bucket = ev->ts / (w->o.bucket_s * UINT64_C(1000));
    st = person_of(w, ev, &g.user, e);
    if (st == EMK_OK && ++w->events > GRANTS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "campaign: too many grants", w->events);
    w->last_ms = ev->ts > w->last_ms ? ev->ts : w->last_ms;
    return st == EMK_OK ? emk_buf_append(&w->grants, emk_span_of(&g, sizeof g), e) : st;
}

static emk_status read_all(work *w, emk_span text, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t at = 0; st == EMK_OK && at < text.len;) {
        const uint8_t *from = text.p + at, *end = memchr(from, '\n', text.len - at);
        size_t len = end ? (size_t)(end - from) : text.len - at;
        emk_fraud_event ev;
        emk_error ignored;

        at += len + 1;
        if (emk_fraud_event_read(emk_span_of(from, len), &ev, &ignored) == EMK_OK)
            st = take_event(w, &ev, e);
    }
    return st;
}

/* ---- meetings ---- */

static int compare(uint64_t x, uint64_t y)
{
    return x < y ? -1 : x > y;
}

static int by_place(const void *x, const void *y)
{
    const grant *a = x, *b = y;
    int c = compare(a->artifact, b->artifact);

    c = c ? c : compare(a->bucket, b->bucket);
    return c ? c : compare(a->user, b->user);
}

static int by_pair(const void *x, const void *y)
{
    const meeting *a = x, *b = y;
    int c = compare(a->a, b->a);

    c = c ? c : compare(a->b, b->b);
    return c ? c : compare(a->artifact, b->artifact);
}

/* All pairs of the n users, different and in order, that met at g's place. */
static emk_status meet(work *w, const grant *g, const uint32_t *users, uint32_t n, emk_error *e)
{
    emk_status st = EMK_OK;

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = i + 1; st == EMK_OK && k < n; k++) {
            meeting m;

            memset(&m, 0, sizeof m);
            m.a = users[i];
            m.b = users[k];
            m.artifact = g->artifact;
            if (w->meetings.len / sizeof m == PAIRS_MAX)
                return emk_fail(e, EMK_E_LIMIT, "campaign: too many meetings", PAIRS_MAX);
            st = emk_buf_append(&w->meetings, emk_span_of(&m, sizeof m), e);
        }
    }
    return st;
}

static emk_status find_meetings(work *w, emk_error *e)
{
    grant *g = (grant *)(void *)w->grants.p;
    size_t n = w->grants.len / sizeof *g;
    uint32_t *users = emk_alloc((size_t)w->o.crowd + 1, sizeof *users);
    emk_status st =
        users ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->o.crowd);

    if (n > 1)
        qsort(g, n, sizeof *g, by_place);
    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        uint32_t n_users = 0;

        for (next = i;
             next < n && g[next].artifact == g[i].artifact && g[next].bucket == g[i].bucket;
             next++) {
            if (n_users <= w->o.crowd && (n_users == 0 || users[n_users - 1] != g[next].user))
                users[n_users++] = g[next].user;
        }
        if (n_users <= w->o.crowd)
            st = meet(w, &g[i], users, n_users, e);
    }
    emk_free(users);
    return st;
}

/* ---- groups ---- */

static uint32_t root_of(const work *w, uint32_t i)
{
    while (person_at(w, i)->parent != i) {
        person *p = person_at(w, i);

        p->parent = person_at(w, p->parent)->parent;
        i = p->parent;
    }
    return i;
}

static void join(const work *w, uint32_t a, uint32_t b)
{
    uint32_t x = root_of(w, a), y = root_of(w, b);

    person_at(w, a)->links++;
    person_at(w, b)->links++;
    if (x == y)
        return;
    if (person_at(w, x)->size < person_at(w, y)->size) {
        uint32_t t = x;

        x = y;
        y = t;
    }
    person_at(w, y)->parent = x;
    person_at(w, x)->size += person_at(w, y)->size;
}

static void find_groups(work *w)
{
    meeting *m = (meeting *)(void *)w->meetings.p;
    size_t n = w->meetings.len / sizeof *m;

    if (n > 1)
        qsort(m, n, sizeof *m, by_pair);
    for (size_t i = 0, next; i < n; i = next) {
        uint32_t artifacts = 0;

        for (next = i; next < n && m[next].a == m[i].a && m[next].b == m[i].b; next++)
            artifacts += next == i || m[next].artifact != m[next - 1].artifact;
        if (artifacts < w->o.times)
            continue;
        w->pairs++;
        join(w, m[i].a, m[i].b);
    }
}

/* ---- what it comes to ---- */

static int by_group(const void *x, const void *y)
{
    const emk_fraud_member *a = x, *b = y;
    int c = compare(a->group, b->group);

    return c ? c : strcmp(a->user, b->user);
}

typedef struct rank {
    uint32_t root, size;
} rank;

static int by_size(const void *x, const void *y)
{
    const rank *a = x, *b = y;

    return a->size != b->size ? compare(b->size, a->size) : compare(a->root, b->root);
}

static emk_status number_groups(work *w, emk_fraud_campaigns *out, emk_error *e)
{
    rank *r = emk_alloc((size_t)w->n_people + 1, sizeof *r);
    uint32_t n = 0;

    if (!r)
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->n_people);
    for (uint32_t i = 0; i < w->n_people; i++) {
        if (person_at(w, i)->parent == i && person_at(w, i)->size >= w->o.group)
            r[n++] = (rank){i, person_at(w, i)->size};
        person_at(w, i)->group = UINT32_MAX;
    }
    if (n > 1)
        qsort(r, n, sizeof *r, by_size);
    for (uint32_t i = 0; i < n; i++) {
        person_at(w, r[i].root)->group = i;
        out->n += r[i].size;
    }
    out->groups = n;
    emk_free(r);
    return EMK_OK;
}

static emk_status list_members(work *w, emk_fraud_campaigns *out, emk_error *e)
{
    size_t n = 0;

    out->member = emk_alloc(out->n + 1, sizeof *out->member);
    if (!out->member)
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", out->n);
    for (uint32_t i = 0; i < w->n_people; i++) {
        const person *p = person_at(w, i);
        emk_fraud_member *m = &out->member[n];
        uint32_t group = person_at(w, root_of(w, i))->group;

        if (group == UINT32_MAX)
            continue;
        n++;
        m->group = group;
        m->links = p->links;
        memcpy(m->user, p->name.p, p->name.len); /* at most EMK_FRAUD_ID_MAX: it was read */
        if (p->tenant.len > 0)
            memcpy(m->tenant, p->tenant.p, p->tenant.len);
    }
    if (n > 1)
        qsort(out->member, n, sizeof *out->member, by_group);
    return EMK_OK;
}

static emk_status work_new(const emk_fraud_campaign_options *o, work *w, emk_error *e)
{
    memset(w, 0, sizeof *w);
    w->o = *o;
    w->o.bucket_s = o->bucket_s ? o->bucket_s : 600;
    w->o.times = o->times ? o->times : 3;
    w->o.group = o->group ? o->group : 5;
    w->o.crowd = o->crowd ? o->crowd : 100;
    emk_buf_init(&w->grants, (size_t)GRANTS_MAX * sizeof(grant));
    emk_buf_init(&w->meetings, (size_t)PAIRS_MAX * sizeof(meeting));
    emk_buf_init(&w->people, (size_t)USERS_MAX * sizeof(person));
    w->mask = 2 * (uint64_t)USERS_MAX - 1;
    w->slots = emk_alloc((size_t)w->mask + 1, sizeof *w->slots);
    return w->slots ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", USERS_MAX);
}

emk_status emk_fraud_campaign(emk_span events, const emk_fraud_campaign_options *o,
                              emk_fraud_campaigns *out, emk_error *e)
{
    work w;
    emk_status st = work_new(o, &w, e);

    memset(out, 0, sizeof *out);
    if (st == EMK_OK)
        st = read_all(&w, events, e);
    if (st == EMK_OK)
        st = find_meetings(&w, e);
    if (st == EMK_OK) {
        find_groups(&w);
        st = number_groups(&w, out, e);
    }
    if (st == EMK_OK)
        st = list_members(&w, out, e);
    out->events = w.events;
    out->pairs = w.pairs;
    out->last_ms = w.last_ms;
    emk_buf_done(&w.grants);
    emk_buf_done(&w.meetings);
    emk_buf_done(&w.people);
    emk_free(w.slots);
    if (st != EMK_OK)
        emk_fraud_campaigns_done(out);
    return st;
}

void emk_fraud_campaigns_done(emk_fraud_campaigns *c)
{
    emk_free(c->member);
    memset(c, 0, sizeof *c);
}
