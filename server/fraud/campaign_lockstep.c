/* Users who, again and again, took the same artifact within the same ten minutes. */
#include "server/fraud/campaign_internal.h"

#include "core/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS_MAX (1u << 24)

/* Two users and an artifact they took together; the smaller index first. */
typedef struct meeting {
    uint32_t a, b, artifact;
} meeting;

typedef struct steps {
    campaign *w;
    emk_buf meetings;
    campaign_fact *g; /* owned */
    size_t n;
} steps;

/* thing and time, which is that of the bucket */
static int by_place(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->thing, b->thing);

    c = c ? c : campaign_compare(a->ts, b->ts);
    return c ? c : campaign_compare(a->user, b->user);
}

static int by_pair(const void *x, const void *y)
{
    const meeting *a = x, *b = y;
    int c = campaign_compare(a->a, b->a);

    c = c ? c : campaign_compare(a->b, b->b);
    return c ? c : campaign_compare(a->artifact, b->artifact);
}

/* Its app reports, and most of what it takes it opens. */
static bool uses_what_it_takes(const campaign *w, uint32_t user)
{
    const campaign_person *p = campaign_person_at(w, user);

    return p->sdk && 2 * p->unopened < p->taken;
}

/* People of one room who do the same: a class with its teacher, a fair.  Thieves in one network are
 * told by what they leave unopened (campaign_burst). */
static bool is_one_room(const campaign *w, const campaign_fact *a, const campaign_fact *b)
{
    return a->net != NOTHING && a->net == b->net && uses_what_it_takes(w, a->user) &&
           uses_what_it_takes(w, b->user);
}

/* All pairs of the n, whose users are different and in order, that met over an artifact. */
static emk_status meet(steps *s, uint32_t artifact, const campaign_fact *const *who, uint32_t n,
                       emk_error *e)
{
    emk_status st = EMK_OK;

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = i + 1; st == EMK_OK && k < n; k++) {
            meeting m = {who[i]->user, who[k]->user, artifact};

            if (is_one_room(s->w, who[i], who[k]))
                continue;
            if (s->meetings.len / sizeof m == PAIRS_MAX)
                return emk_fail(e, EMK_E_LIMIT, "campaign: too many meetings", PAIRS_MAX);
            st = emk_buf_append(&s->meetings, emk_span_of(&m, sizeof m), e);
        }
    }
    return st;
}

static emk_status find_meetings(steps *s, emk_error *e)
{
    uint32_t crowd = s->w->o.crowd;
    const campaign_fact *g = s->g, **who = emk_alloc((size_t)crowd + 1, sizeof(campaign_fact *));
    emk_status st = who ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", crowd);

    for (size_t i = 0, next; st == EMK_OK && i < s->n; i = next) {
        uint32_t n = 0;

        for (next = i; next < s->n && g[next].thing == g[i].thing && g[next].ts == g[i].ts;
             next++) {
            if (n <= crowd && (n == 0 || who[n - 1]->user != g[next].user))
                who[n++] = &g[next];
        }
        if (n <= crowd)
            st = meet(s, g[i].thing, who, n, e);
    }
    emk_free(who);
    return st;
}

static emk_status join_pairs(steps *s, emk_error *e)
{
    meeting *m = (meeting *)(void *)s->meetings.p;
    size_t n = s->meetings.len / sizeof *m;
    emk_status st = EMK_OK;

    if (n > 1)
        qsort(m, n, sizeof *m, by_pair);
    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        uint32_t artifacts = 0, pair[2] = {m[i].a, m[i].b};

        for (next = i; next < n && m[next].a == m[i].a && m[next].b == m[i].b; next++)
            artifacts += next == i || m[next].artifact != m[next - 1].artifact;
        if (artifacts < s->w->o.times)
            continue;
        s->w->pairs++;
        campaign_person_at(s->w, pair[0])->links++;
        campaign_person_at(s->w, pair[1])->links++;
        st = campaign_note(s->w, pair, 2, &(campaign_evidence){.number = {artifacts}}, e);
    }
    return st;
}

emk_status campaign_lockstep(campaign *w, emk_error *e)
{
    steps s = {.w = w};
    uint64_t bucket = w->o.bucket_s * UINT64_C(1000);
    size_t kept = 0;
    emk_status st = campaign_pick(w, 1u << FACT_GRANT, NULL, &s.g, &s.n, e);

    emk_buf_init(&s.meetings, (size_t)PAIRS_MAX * sizeof(meeting));
    for (size_t i = 0; st == EMK_OK && i < s.n; i++) {
        if (s.g[i].ts < w->o.lockstep_from_ms)
            continue;
        s.g[kept] = s.g[i];
        s.g[kept++].ts /= bucket;
    }
    s.n = kept;
    if (st == EMK_OK && s.n > 1)
        qsort(s.g, s.n, sizeof *s.g, by_place);
    if (st == EMK_OK)
        st = find_meetings(&s, e);
    if (st == EMK_OK)
        st = join_pairs(&s, e);
    emk_free(s.g);
    emk_buf_done(&s.meetings);
    return st;
}
