/* One list of artifacts, shared out: accounts made within a day that take from one narrow range of
 * the catalogue, and hardly ever the same one.
 *
 * Artifacts stand in the order of their names, numbers by value.  Accounts that keep to a window
 * of that order are taken together.  How many artifacts two of them have in common by chance comes
 * from what everybody else took in that window: where others overlap as little, nothing is shown,
 * and where hardly anybody else is, nothing is known.  Artifacts of one account alone, as where
 * each is made for somebody, do not count. */
#include "server/fraud/campaign_internal.h"

#include "core/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define TAKEN_LEAST   6u /* artifacts of an account, before its range says something */
#define MEMBERS_LEAST 5u
#define CATALOGUE_MIN 256u
#define COMMON_LEAST  20u /* in common, that others have: else there is no background */
#define SCALES        (sizeof PARTS / sizeof PARTS[0])
#define LISTS_MOST    64u /* of a day */
#define HALF_DAY      (12 * CAMPAIGN_HOUR)
#define NANO          UINT64_C(1000000000)
#define MILLI         UINT64_C(1000)
#define PPM           UINT64_C(1000000)
#define NO_RANK       UINT32_MAX
#define WIDE          2u   /* scales from which a window holds whoever there is … */
#define FEW_OF_WIDE   250u /* … so that a quarter of the expected is not few enough of them */
#define FEW_OF_NARROW 700u

/* Windows: of the whole catalogue, half of it … */
static const uint32_t PARTS[] = {1, 2, 3, 4, 5, 6, 8, 12, 16};

/* An account that takes enough: the range of its artifacts. */
typedef struct hand {
    uint64_t born;
    uint32_t user, low, high;
    uint32_t taken; /* with a rank */
    bool listed;
} hand;

/* One's place in an order of the day's. */
typedef struct turn {
    hand *h;
} turn;

/* Accounts whose artifacts are all in a window. */
typedef struct window {
    uint32_t low, width; /* in ranks */
    uint64_t takes, squares, common;
    uint32_t members, bits;
    uint64_t expected_nano;
} window;

/* Artifacts that accounts took, and pairs of accounts that took the same. */
typedef struct sums {
    uint64_t takes, common;
} sums;

typedef struct lists {
    campaign *w;
    uint32_t *by_rank; /* owned; users of an artifact: all */
    sums *sum;         /* owned; of artifacts before this rank: all */
    uint32_t *here;    /* owned; users of an artifact: those of the window in hand */
    hand *hands;       /* owned */
    turn *low, *high;  /* owned; of a day, in order of low, of high */
    uint32_t *users;   /* owned */
    uint32_t ranks;    /* artifacts that two accounts took */
    size_t n;
} lists;

/* ---- the order of artifacts ---- */

static size_t digits(emk_span s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && s.p[at + n] >= '0' && s.p[at + n] <= '9')
        n++;
    return n;
}

/* Numbers in names by value: a-9 before a-10. */
static int compare_names(emk_span a, emk_span b)
{
    size_t i = 0, k = 0;

    while (i < a.len && k < b.len) {
        size_t n = digits(a, i), m = digits(b, k);

        if (n != m)
            return n && m ? campaign_compare(n, m) : campaign_compare(a.p[i], b.p[k]);
        n += n == 0;
        m = (size_t)0;
        for (; m < n && a.p[i + m] == b.p[k + m]; m++)
            ;
        if (m < n)
            return campaign_compare(a.p[i + m], b.p[k + m]);
        i += n;
        k += n;
    }
    return campaign_compare(a.len - i, b.len - k);
}

typedef struct named {
    emk_span name;
    campaign_thing *thing;
} named;

static int by_name(const void *x, const void *y)
{
    const named *a = x, *b = y;

    return compare_names(a->name, b->name);
}

/* What one account alone took may be made for it, and says nothing: it has no rank. */
static emk_status rank_artifacts(lists *l, emk_error *e)
{
    const campaign *w = l->w;
    named *all = emk_alloc((size_t)w->n_artifacts + 1, sizeof *all);
    uint32_t *users = emk_alloc((size_t)w->n_things + 1, sizeof *users);

    for (size_t i = 0; users && i < w->n_takes; i++)
        users[campaign_takes(w)[i].thing]++;
    for (uint32_t i = 1; all && users && i <= w->n_things; i++) {
        campaign_thing *t = campaign_thing_at(w, i);

        t->rank = NO_RANK;
        if (users[i] >= 2)
            all[l->ranks++] = (named){emk_span_of(w->names.p + t->name, t->len), t};
    }
    if (l->ranks > 1)
        qsort(all, l->ranks, sizeof *all, by_name);
    for (uint32_t i = 0; i < l->ranks; i++)
        all[i].thing->rank = i;
    emk_free(users);
    emk_free(all);
    return all && users ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->n_things);
}

/* ---- windows ---- */

static uint32_t rank_of(const campaign *w, const campaign_take *t)
{
    return campaign_thing_at(w, t->thing)->rank;
}

/* Puts an account's artifacts into the window, or takes them out. */
static void move_hand(lists *l, window *v, const hand *h, bool in)
{
    const campaign_person *p = campaign_person_at(l->w, h->user);
    uint64_t n = h->taken;

    for (uint32_t i = 0; i < p->taken; i++) {
        uint32_t rank = rank_of(l->w, campaign_takes(l->w) + p->first_take + i), *users;

        if (rank == NO_RANK)
            continue;
        users = &l->here[rank];
        *users -= !in;
        v->common = in ? v->common + *users : v->common - *users;
        *users += in;
    }
    v->takes = in ? v->takes + n : v->takes - n;
    v->squares = in ? v->squares + n * n : v->squares - n * n;
    v->members = in ? v->members + 1 : v->members - 1;
}

static uint64_t pairs_of(const window *v)
{
    return (v->takes * v->takes - v->squares) / 2;
}

/* Billionths of artifacts in common, where `pairs` of takes are as likely to be of the same one as
 * those of the others are; 0: too little is known. */
static uint64_t by_chance(uint64_t pairs, uint64_t others, uint64_t common)
{
    if (common < COMMON_LEAST || others < 2 || pairs >= NANO)
        return 0;
    return pairs * NANO / (others * others / 2) * common;
}

/* The same, only of what somebody else took too: of the rest, others know nothing. */
static uint64_t by_chance_and_others(const lists *l, const window *v)
{
    uint64_t others = 0, common = 0, takes = 0, known = 0, pairs, nano;

    for (uint32_t i = v->low; i < v->low + v->width; i++) {
        uint64_t n = l->by_rank[i] - l->here[i];

        others += n;
        common += n * (n - (n > 0)) / 2;
        takes += n > 0 ? l->here[i] : 0;
        known += n > 0;
    }
    if (known == 0 || v->takes == 0)
        return 0;
    pairs = pairs_of(v) * (takes * MILLI / v->takes) / MILLI * (takes * MILLI / v->takes) / MILLI;
    nano = by_chance(pairs, others, common);
    /* Never more than if all were liked alike. */
    return nano < pairs * NANO / known ? nano : pairs * NANO / known;
}

static bool is_improbable(const window *v, uint64_t most)
{
    return v->common * MILLI <= v->expected_nano / NANO * most;
}

/* First by what all have in common, which is at hand and never less than what others have. */
static void judge_window(const lists *l, window *v, size_t scale, window *best)
{
    uint32_t least = best->bits > CHANCE_BITS ? best->bits : CHANCE_BITS, end = v->low + v->width;
    uint64_t most = scale < WIDE ? FEW_OF_WIDE : FEW_OF_NARROW, others;

    if (v->members < MEMBERS_LEAST)
        return;
    others = l->sum[end].takes - l->sum[v->low].takes - v->takes;
    v->expected_nano = by_chance(pairs_of(v), others, l->sum[end].common - l->sum[v->low].common);
    if (!is_improbable(v, most) || campaign_bits_few(v->common, v->expected_nano) <= least)
        return;
    v->expected_nano = by_chance_and_others(l, v);
    v->bits = campaign_bits_few(v->common, v->expected_nano);
    if (v->bits > best->bits && is_improbable(v, most))
        *best = *v;
}

/* Slides a window of one width over the day's n accounts. */
static void slide(lists *l, size_t n, size_t scale, window *best)
{
    window v = {.width = l->ranks / PARTS[scale]};
    uint32_t last = l->ranks - v.width; /* where the last window begins */
    size_t in = 0;

    memset(l->here, 0, (size_t)l->ranks * sizeof *l->here);
    for (size_t i = 0; i < n; i++) {
        const hand *first = l->low[i].h;
        bool moved = i == 0 || v.low != (first->low < last ? first->low : last);

        v.low = first->low < last ? first->low : last;
        for (; in < n && l->high[in].h->high < v.low + v.width; in++) {
            if (l->high[in].h->low >= v.low && !l->high[in].h->listed)
                move_hand(l, &v, l->high[in].h, true);
        }
        if (moved) /* else some of it have been taken out */
            judge_window(l, &v, scale, best);
        if (first->high < v.low + v.width && !first->listed)
            move_hand(l, &v, first, false);
    }
}

static emk_status note_list(lists *l, size_t n, const window *best, emk_error *e)
{
    campaign_evidence why = {
        .number = {best->takes, best->common, best->expected_nano / NANO, best->width},
        .bits = best->bits};
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        hand *h = l->low[i].h;

        if (h->listed || h->low < best->low || h->high >= best->low + best->width)
            continue;
        h->listed = true;
        l->users[k++] = h->user;
    }
    return campaign_note(l->w, l->users, k, &why, e);
}

static int by_low(const void *x, const void *y)
{
    const hand *a = ((const turn *)x)->h, *b = ((const turn *)y)->h;
    int c = campaign_compare(a->low, b->low);

    c = c ? c : campaign_compare(a->high, b->high);
    return c ? c : campaign_compare(a->user, b->user);
}

static int by_high(const void *x, const void *y)
{
    const hand *a = ((const turn *)x)->h, *b = ((const turn *)y)->h;
    int c = campaign_compare(a->high, b->high);

    return c ? c : campaign_compare(a->user, b->user);
}

/* Of the accounts of one day: list after list, the most improbable first. */
static emk_status judge_day(lists *l, hand *h, size_t n, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; i < n; i++) {
        l->low[i].h = l->high[i].h = &h[i];
        h[i].listed = false;
    }
    if (n < MEMBERS_LEAST)
        return EMK_OK;
    qsort(l->low, n, sizeof *l->low, by_low);
    qsort(l->high, n, sizeof *l->high, by_high);
    for (unsigned k = 0; st == EMK_OK && k < LISTS_MOST; k++) {
        window best = {.bits = 0};

        for (size_t scale = 0; scale < SCALES; scale++)
            slide(l, n, scale, &best);
        if (best.bits < CHANCE_BITS)
            break;
        st = note_list(l, n, &best, e);
    }
    return st;
}

/* ---- all days ---- */

static int by_birth(const void *x, const void *y)
{
    const hand *a = x, *b = y;
    int c = campaign_compare(a->born, b->born);

    return c ? c : campaign_compare(a->user, b->user);
}

static void list_hand(lists *l, uint32_t user)
{
    const campaign_person *p = campaign_person_at(l->w, user);
    hand h = {.born = p->born, .user = user, .low = UINT32_MAX};

    for (uint32_t k = 0; k < p->taken; k++) {
        uint32_t rank = rank_of(l->w, campaign_takes(l->w) + p->first_take + k);

        if (rank == NO_RANK)
            continue;
        h.taken++;
        h.low = rank < h.low ? rank : h.low;
        h.high = rank > h.high ? rank : h.high;
    }
    if (h.taken >= TAKEN_LEAST)
        l->hands[l->n++] = h;
}

static void list_hands(lists *l)
{
    const campaign *w = l->w;

    for (size_t i = 0; i < w->n_takes; i++) {
        uint32_t rank = rank_of(w, campaign_takes(w) + i);

        if (rank != NO_RANK)
            l->by_rank[rank]++;
    }
    for (uint32_t i = 0; i < l->ranks; i++) {
        uint64_t n = l->by_rank[i];

        l->sum[i + 1] = (sums){l->sum[i].takes + n, l->sum[i].common + n * (n - (n > 0)) / 2};
    }
    for (uint32_t i = 0; i < w->n_people; i++) {
        if (campaign_is_new(campaign_person_at(w, i)))
            list_hand(l, i);
    }
    if (l->n > 1)
        qsort(l->hands, l->n, sizeof *l->hands, by_birth);
}

static emk_status lists_new(campaign *w, lists *l, emk_error *e)
{
    *l = (lists){.w = w,
                 .by_rank = emk_alloc((size_t)w->n_artifacts + 1, sizeof *l->by_rank),
                 .sum = emk_alloc((size_t)w->n_artifacts + 1, sizeof *l->sum),
                 .here = emk_alloc((size_t)w->n_artifacts + 1, sizeof *l->here),
                 .hands = emk_alloc((size_t)w->n_people + 1, sizeof *l->hands),
                 .low = emk_alloc((size_t)w->n_people + 1, sizeof *l->low),
                 .high = emk_alloc((size_t)w->n_people + 1, sizeof *l->high),
                 .users = emk_alloc((size_t)w->n_people + 1, sizeof *l->users)};
    return l->by_rank && l->sum && l->here && l->hands && l->low && l->high && l->users
               ? EMK_OK
               : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->n_people);
}

static void lists_done(lists *l)
{
    emk_free(l->by_rank);
    emk_free(l->sum);
    emk_free(l->here);
    emk_free(l->hands);
    emk_free(l->low);
    emk_free(l->high);
    emk_free(l->users);
}

emk_status campaign_list(campaign *w, emk_error *e)
{
    lists l;
    emk_status st;

    st = lists_new(w, &l, e);
    if (st == EMK_OK)
        st = rank_artifacts(&l, e);
    if (st == EMK_OK)
        list_hands(&l);
    for (size_t i = 0, next; st == EMK_OK && l.ranks >= CATALOGUE_MIN && i < l.n; i = next) {
        uint64_t half = l.hands[i].born / HALF_DAY;
        size_t end;

        for (next = i; next < l.n && l.hands[next].born / HALF_DAY == half; next++)
            ;
        for (end = next; end < l.n && l.hands[end].born / HALF_DAY == half + 1; end++)
            ;
        st = judge_day(&l, l.hands + i, end - i, e);
    }
    lists_done(&l);
    return st;
}
