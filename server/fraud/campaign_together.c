/* Accounts of one place that take much and open little: made there in one day, or at the same
 * times.  What a place's people do is held against what others do. */
#include "server/fraud/campaign_internal.h"

#include "core/base/alloc.h"

#include <stdlib.h>

#define TAKEN_LEAST  4u   /* artifacts before somebody's opens say anything */
#define OTHERS_LEAST 100u /* accounts before they are a background */
#define TIMES_MORE   10u  /* than chance would have made: nine of ten proposed are no chance */
#define TIMES_FIRST  4u   /* … while other thieves are still among the background */
#define HALF_DAY     (12 * CAMPAIGN_HOUR)
#define PPM          UINT64_C(1000000)

/* ---- made together ---- */

/* A new account and what it shares with others. */
typedef struct origin {
    uint64_t born;
    uint32_t thing, user;
} origin;

static int by_origin(const void *x, const void *y)
{
    const origin *a = x, *b = y;
    int c = campaign_compare(a->thing, b->thing);

    c = c ? c : campaign_compare(a->born, b->born);
    return c ? c : campaign_compare(a->user, b->user);
}

/* Takes a lot, and its app, which does report, opens little of it.  An app that reports nothing may
 * be behind a wall; then it takes a trial, or network after network, to stand out. */
static bool takes_and_leaves(const campaign_person *p)
{
    if (p->taken < TAKEN_LEAST)
        return false;
    if (p->sdk)
        return 2 * p->unopened >= p->taken;
    return p->unopened == p->taken && (p->trials || (p->nets >= 3 && p->nets >= 2 * p->days));
}

static emk_status put_origin(campaign *w, emk_buf *to, uint32_t user, uint32_t thing, emk_error *e)
{
    const campaign_person *p = campaign_person_at(w, user);
    origin o = {p->born, thing, user};

    return thing == NOTHING || !campaign_is_new(p) || p->taken < TAKEN_LEAST
               ? EMK_OK
               : emk_buf_append(to, emk_span_of(&o, sizeof o), e);
}

static emk_status list_origins(campaign *w, emk_buf *to, emk_error *e)
{
    campaign_fact *marks;
    size_t n;
    emk_status st = campaign_pick(w, 1u << FACT_MARK, NULL, &marks, &n, e);

    for (size_t i = 0; st == EMK_OK && i < n; i++)
        st = put_origin(w, to, marks[i].user, marks[i].thing, e);
    for (uint32_t i = 0; st == EMK_OK && i < w->n_people; i++) {
        st = put_origin(w, to, i, campaign_person_at(w, i)->birth_net, e);
        if (st == EMK_OK)
            st = put_origin(w, to, i, campaign_person_at(w, i)->birth_asn, e);
    }
    if (st == EMK_OK && to->len > sizeof(origin))
        qsort(to->p, to->len / sizeof(origin), sizeof(origin), by_origin);
    emk_free(marks);
    return st;
}

typedef struct background {
    uint64_t hoard, all;
} background;

static background whole_world(const campaign *w)
{
    background b = {0, 0};

    for (uint32_t i = 0; i < w->n_people; i++) {
        const campaign_person *p = campaign_person_at(w, i);

        if (p->taken < TAKEN_LEAST || p->hoards)
            continue;
        b.all++;
        b.hoard += takes_and_leaves(p);
    }
    return b;
}

typedef struct cohort {
    campaign *w;
    background world;
    uint32_t *users; /* owned */
    bool last;       /* round */
} cohort;

/* The n origins are different marks of one thing within a day, in order of birth. */
static emk_status judge_cohort(cohort *c, const origin *o, size_t n, emk_error *e)
{
    background out = c->world;
    uint64_t k = 0, all = 0;
    campaign_evidence why;

    for (size_t i = 0; i < n; i++) {
        const campaign_person *p = campaign_person_at(c->w, o[i].user);
        bool hoards = takes_and_leaves(p);

        all++;
        out.all -= !p->hoards && out.all > 0;
        out.hoard -= hoards && !p->hoards && out.hoard > 0;
        if (hoards)
            c->users[k++] = o[i].user;
    }
    if (k < FEW_MEMBERS || out.all < OTHERS_LEAST ||
        all * (out.hoard + 1) * (c->last ? TIMES_MORE : TIMES_FIRST) > k * (out.all + 2))
        return EMK_OK;
    why = (campaign_evidence){.number = {k, all, (out.hoard + 1) * PPM / (out.all + 2)},
                              .bits = campaign_bits_share(k, all, out.hoard + 1, out.all + 2)};
    if (why.bits < CHANCE_BITS)
        return EMK_OK;
    for (size_t i = 0; i < k; i++)
        campaign_person_at(c->w, c->users[i])->hoards = true;
    return c->last ? campaign_note(c->w, c->users, k, &why, e) : EMK_OK;
}

/* Days begin every twelve hours, so that each half day is in two. */
static emk_status judge_days(cohort *c, const origin *o, size_t n, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        uint64_t half = o[i].born / HALF_DAY;
        size_t end;

        for (next = i; next < n && o[next].born / HALF_DAY == half; next++)
            ;
        for (end = next; end < n && o[end].born / HALF_DAY == half + 1; end++)
            ;
        st = judge_cohort(c, o + i, end - i, e);
    }
    return st;
}

emk_status campaign_hoard(campaign *w, emk_error *e)
{
    cohort c = {.w = w};
    emk_buf origins;
    const origin *o;
    size_t n;
    emk_status st;

    emk_buf_init(&origins, SIZE_MAX / 4);
    st = list_origins(w, &origins, e);
    o = (const origin *)(const void *)origins.p;
    n = origins.len / sizeof *o;
    c.users = emk_alloc(n + 1, sizeof *c.users);
    if (st == EMK_OK && !c.users)
        st = emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", n);
    for (unsigned round = 0; st == EMK_OK && round < 3; round++) {
        c.last = round == 2;
        c.world = whole_world(w);
        for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
            for (next = i; next < n && o[next].thing == o[i].thing; next++)
                ;
            st = judge_days(&c, o + i, next - i, e);
        }
    }
    emk_free(c.users);
    emk_buf_done(&origins);
    return st;
}

/* ---- at the same times ---- */

#define VISIT       (30 * CAMPAIGN_MINUTE)
#define BURST_LEAST 5u /* artifacts at a time */
#define TIMES_LEAST 2u

/* What one user took in one network within half an hour. */
typedef struct visit {
    uint64_t slot;
    uint32_t net, user, n, unopened;
} visit;

static int by_visit(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->net, b->net);

    c = c ? c : campaign_compare(a->ts / VISIT, b->ts / VISIT);
    c = c ? c : campaign_compare(a->user, b->user);
    return c ? c : campaign_compare(a->thing, b->thing);
}

static bool is_opened(const campaign *w, const campaign_fact *f)
{
    const campaign_person *p = campaign_person_at(w, f->user);
    const campaign_take *t = campaign_takes(w) + p->first_take;
    size_t low = 0, high = p->taken;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (t[mid].thing < f->thing)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->taken && t[low].thing == f->thing && t[low].opened;
}

static emk_status list_visits(const campaign *w, emk_buf *to, emk_error *e)
{
    campaign_fact *f;
    size_t n;
    emk_status st = campaign_pick(w, 1u << FACT_GRANT, by_visit, &f, &n, e);

    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        visit v = {.slot = f[i].ts / VISIT, .net = f[i].net, .user = f[i].user};

        for (next = i; next < n && f[next].net == v.net && f[next].ts / VISIT == v.slot &&
                       f[next].user == v.user;
             next++) {
            if (next > i && f[next].thing == f[next - 1].thing)
                continue;
            v.n++;
            v.unopened += !is_opened(w, &f[next]) && f[next].ts + VISIT < w->last_ms;
        }
        if (v.net != NOTHING)
            st = emk_buf_append(to, emk_span_of(&v, sizeof v), e);
    }
    emk_free(f);
    return st;
}

/* Its app is known to say when it opens something. */
static bool is_burst(const campaign *w, const visit *v)
{
    const campaign_person *p = campaign_person_at(w, v->user);

    return v->n >= BURST_LEAST && 3 * v->unopened >= 2 * v->n && p->unopened < p->taken;
}

typedef struct bursts {
    campaign *w;
    uint64_t bursts, visits; /* of all networks */
    uint32_t *times;         /* owned; by user: of bursts in which it was not alone */
    uint32_t *users;         /* owned */
} bursts;

/* Counts for each user how often it burst while another did; gives the bursts of all. */
static uint64_t count_together(bursts *b, const visit *v, size_t n)
{
    uint64_t all = 0;

    for (size_t i = 0, next; i < n; i = next) {
        uint32_t together = 0;

        for (next = i; next < n && v[next].slot == v[i].slot; next++)
            together += is_burst(b->w, &v[next]);
        all += together;
        for (size_t k = i; together >= 2 && k < next; k++)
            b->times[v[k].user] += is_burst(b->w, &v[k]);
    }
    return all;
}

static emk_status judge_net(bursts *b, const visit *v, size_t n, emk_error *e)
{
    uint64_t all = count_together(b, v, n), out = b->visits - n, common = 0;
    campaign_evidence why;
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        if (b->times[v[i].user] >= TIMES_LEAST) {
            b->users[k++] = v[i].user;
            common += b->times[v[i].user];
        }
        b->times[v[i].user] = 0;
    }
    if (k < FEW_MEMBERS || k > b->w->o.crowd || out < OTHERS_LEAST)
        return EMK_OK;
    why = (campaign_evidence){.number = {common, n, (b->bursts - all + 1) * PPM / (out + 2)},
                              .bits = campaign_bits_share(common, n, b->bursts - all + 1, out + 2)};
    return why.bits < CHANCE_BITS ? EMK_OK : campaign_note(b->w, b->users, k, &why, e);
}

emk_status campaign_burst(campaign *w, emk_error *e)
{
    bursts b = {.w = w,
                .times = emk_alloc((size_t)w->n_people + 1, sizeof *b.times),
                .users = emk_alloc((size_t)w->n_people + 1, sizeof *b.users)};
    emk_buf visits;
    const visit *v;
    emk_status st = b.times && b.users
                        ? EMK_OK
                        : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->n_people);

    emk_buf_init(&visits, SIZE_MAX / 4);
    if (st == EMK_OK)
        st = list_visits(w, &visits, e);
    v = (const visit *)(const void *)visits.p;
    b.visits = visits.len / sizeof *v;
    for (size_t i = 0; i < b.visits; i++)
        b.bursts += is_burst(w, &v[i]);
    for (size_t i = 0, next; st == EMK_OK && i < b.visits; i = next) {
        for (next = i; next < b.visits && v[next].net == v[i].net; next++)
            ;
        st = judge_net(&b, v + i, next - i, e);
    }
    emk_free(b.times);
    emk_free(b.users);
    emk_buf_done(&visits);
    return st;
}
