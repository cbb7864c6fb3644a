/* A service key's few, and trials that one person takes. */
#include "server/fraud/campaign_internal.h"

#include "core/base/alloc.h"

#include <stdlib.h>

#define MILLI UINT64_C(1000)
#define NANO  UINT64_C(1000000000)

static int by_thing_and_user(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->thing, b->thing);

    c = c ? c : campaign_compare(a->user, b->user);
    return c ? c : campaign_compare(a->ts, b->ts);
}

/* ---- the few of a key ---- */

#define USUAL_LEAST 15u /* accounts before what is usual is known */
#define SLEPT       (12 * CAMPAIGN_HOUR)
#define TIMES_USUAL 2u /* as much a day as nine of ten others */

/* One account of a key. */
typedef struct served {
    uint64_t first, n, days;
    uint64_t a_day; /* thousandths */
    uint32_t user;
    bool woke; /* it had been made long before, and did nothing by itself */
} served;

static int by_rate(const void *x, const void *y)
{
    const served *a = x, *b = y;
    int c = campaign_compare(a->woke, b->woke);

    c = c ? c : campaign_compare(a->a_day, b->a_day);
    return c ? c : campaign_compare(a->n, b->n);
}

static int by_first(const void *x, const void *y)
{
    const served *a = x, *b = y;
    int c = campaign_compare(a->first, b->first);

    return c ? c : campaign_compare(a->user, b->user);
}

static size_t list_served(const campaign *w, const campaign_fact *f, size_t n, served *s)
{
    size_t k = 0;

    for (size_t i = 0, next; i < n; i = next, k++) {
        const campaign_person *p = campaign_person_at(w, f[i].user);

        s[k] = (served){.first = f[i].ts, .user = f[i].user};
        for (next = i; next < n && f[next].user == s[k].user; next++) {
            s[k].n++;
            s[k].days += next == i || f[next].ts / CAMPAIGN_DAY != f[next - 1].ts / CAMPAIGN_DAY;
        }
        s[k].a_day = s[k].n * MILLI / s[k].days;
        s[k].woke = p->enrolled && p->generated == 0 && s[k].first - p->born >= SLEPT;
    }
    return k;
}

/* The n accounts woke within a day. */
static emk_status judge_few(campaign *w, const served *s, size_t n, const served *usual,
                            size_t n_usual, emk_error *e)
{
    uint64_t got = 0, days = 0, others = 0, their_days = 0, fast = usual[n_usual * 9 / 10].a_day;
    uint32_t users[64];
    campaign_evidence why;
    size_t k = 0;

    for (size_t i = 0; i < n_usual; i++) {
        others += usual[i].n;
        their_days += usual[i].days;
    }
    for (size_t i = 0; i < n && k < sizeof users / sizeof users[0]; i++) {
        if (s[i].a_day < TIMES_USUAL * fast)
            continue;
        users[k++] = s[i].user;
        got += s[i].n;
        days += s[i].days;
    }
    if (k < FEW_MEMBERS || 4 * k > n_usual || others > NANO)
        return EMK_OK;
    why = (campaign_evidence){
        .number = {got / days, others / their_days, n_usual + k},
        .bits = campaign_bits_many(got, others * MILLI / their_days * days * (NANO / MILLI))};
    return why.bits < CHANCE_BITS ? EMK_OK : campaign_note(w, users, k, &why, e);
}

static emk_status judge_key(campaign *w, const campaign_fact *f, size_t n, served *s, emk_error *e)
{
    size_t all = list_served(w, f, n, s), usual;
    emk_status st = EMK_OK;

    qsort(s, all, sizeof *s, by_rate);
    for (usual = 0; usual < all && !s[usual].woke; usual++)
        ;
    if (usual < USUAL_LEAST)
        return EMK_OK;
    if (all - usual > 1)
        qsort(s + usual, all - usual, sizeof *s, by_first);
    for (size_t i = usual, end = usual; st == EMK_OK && i < all; i++) {
        while (end < all && s[end].first - s[i].first < CAMPAIGN_DAY)
            end++;
        st = judge_few(w, s + i, end - i, s, usual, e);
    }
    return st;
}

emk_status campaign_key_few(campaign *w, emk_error *e)
{
    campaign_fact *f;
    served *s = NULL;
    size_t n;
    emk_status st = campaign_pick(w, 1u << FACT_KEYED, by_thing_and_user, &f, &n, e);

    if (st == EMK_OK) {
        s = emk_alloc(n + 1, sizeof *s);
        st = s ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", n);
    }
    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        for (next = i; next < n && f[next].thing == f[i].thing; next++)
            ;
        st = judge_key(w, f + i, next - i, s, e);
    }
    emk_free(s);
    emk_free(f);
    return st;
}

/* ---- trials ---- */

#define CARD_LEAST  4u /* accounts of one instrument: more than parents and a child or two */
#define HOME_LEAST  5u /* accounts of one network */
#define HOME_MOST   30u
#define CARDS_LEAST 2u /* instruments that several of the network's accounts use */

static int by_net(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->net, b->net);

    c = c ? c : campaign_compare(a->thing, b->thing);
    return c ? c : campaign_compare(a->user, b->user);
}

/* The different users of n facts in order of users; at most `most` + 1. */
static size_t users_of(const campaign_fact *f, size_t n, uint32_t *users, size_t most)
{
    size_t k = 0;

    for (size_t i = 0; i < n && k <= most; i++) {
        if (k == 0 || users[k - 1] != f[i].user)
            users[k++] = f[i].user;
    }
    return k;
}

static emk_status judge_card(campaign *w, const campaign_fact *f, size_t n, uint32_t *users,
                             emk_error *e)
{
    size_t k = users_of(f, n, users, w->o.crowd);

    if (f[0].thing == NOTHING || k < CARD_LEAST || k > w->o.crowd)
        return EMK_OK;
    return campaign_note(w, users, k, &(campaign_evidence){.number = {k, 1, k}}, e);
}

/* The trials of one network, by instrument: who shares one there with another account. */
static emk_status judge_home(campaign *w, const campaign_fact *f, size_t n, emk_error *e)
{
    uint32_t users[HOME_MOST + 1];
    size_t k = 0, all = 0, cards = 0;

    for (size_t i = 0, next; i < n; i = next) {
        size_t of_card;

        for (next = i; next < n && f[next].thing == f[i].thing; next++)
            ;
        of_card = users_of(f + i, next - i, users + k, HOME_MOST - k);
        all += of_card;
        if (all > HOME_MOST)
            return EMK_OK;
        if (f[i].thing != NOTHING && of_card >= 2) {
            cards++;
            k += of_card;
        }
    }
    if (cards < CARDS_LEAST || k < HOME_LEAST || 2 * k < all)
        return EMK_OK;
    return campaign_note(w, users, k, &(campaign_evidence){.number = {k, cards, all}}, e);
}

emk_status campaign_trials(campaign *w, emk_error *e)
{
    uint32_t *users = emk_alloc((size_t)w->o.crowd + 2, sizeof *users);
    campaign_fact *f;
    size_t n;
    emk_status st = campaign_pick(w, 1u << FACT_TRIAL, by_thing_and_user, &f, &n, e);

    if (st == EMK_OK && !users)
        st = emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->o.crowd);
    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        for (next = i; next < n && f[next].thing == f[i].thing; next++)
            ;
        st = judge_card(w, f + i, next - i, users, e);
    }
    if (st == EMK_OK && n > 1)
        qsort(f, n, sizeof *f, by_net);
    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        for (next = i; next < n && f[next].net == f[i].net; next++)
            ;
        if (f[i].net != NOTHING)
            st = judge_home(w, f + i, next - i, e);
    }
    emk_free(f);
    emk_free(users);
    return st;
}
