/* A recorded session, played on several accounts: the same pauses, one after the other.
 *
 * Pauses are put into classes about four per cent (and three seconds) wide, twice, so that what is
 * near an edge one time is not the other.  Four of them are a figure.  How often a figure is to be
 * expected comes from how common each of its pauses is among all accounts. */
#include "server/fraud/campaign_internal.h"

#include "core/base/alloc.h"

#include <stdlib.h>

#define FIGURE      4u
#define PAUSE_LEAST (5 * UINT64_C(1000)) /* less is the same act */
#define PAUSE_MOST  (2 * CAMPAIGN_HOUR)  /* more is another session */
#define SOFTEN      CAMPAIGN_MINUTE      /* makes classes of short pauses wider */
#define CLASS_BITS  12u                  /* of a Q16 logarithm: a sixteenth of an octave */
#define CLASSES     512u
#define PHASES      2u
#define DIFFERENT   3u /* classes in a figure: timers have one or two */
#define AGAIN_BITS  80u
#define NANO        UINT64_C(1000000000)

typedef struct figure {
    uint64_t is; /* its classes and phase */
    uint32_t user, session;
} figure;

typedef struct music {
    campaign *w;
    emk_buf figures;
    uint64_t count[PHASES][CLASSES], pauses;
    uint32_t *users; /* owned */
} music;

static int by_time(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->user, b->user);

    c = c ? c : campaign_compare(a->ts, b->ts);
    return c ? c : campaign_compare(a->kind, b->kind);
}

static int by_figure(const void *x, const void *y)
{
    const figure *a = x, *b = y;
    int c = campaign_compare(a->is, b->is);

    c = c ? c : campaign_compare(a->user, b->user);
    return c ? c : campaign_compare(a->session, b->session);
}

static unsigned class_of(uint64_t pause, unsigned phase)
{
    uint32_t half = phase << (CLASS_BITS - 1);

    return (campaign_log2_q16(pause + SOFTEN) + half) >> CLASS_BITS; /* below 2^9: PAUSE_MOST */
}

/* Retries wait longer each time; that is the program's rhythm. */
static bool is_backing_off(const uint64_t *pause)
{
    for (unsigned i = 1; i < FIGURE; i++) {
        if (2 * pause[i] < 3 * pause[i - 1])
            return false;
    }
    return true;
}

static emk_status put_figures(music *m, const uint64_t *pause, uint32_t user, uint32_t session,
                              emk_error *e)
{
    emk_status st = EMK_OK;

    for (unsigned phase = 0; st == EMK_OK && phase < PHASES; phase++) {
        figure f = {phase, user, session};
        unsigned different = 0;

        for (unsigned i = 0; i < FIGURE; i++) {
            unsigned c = class_of(pause[i], phase), k = 0;

            while (k < i && class_of(pause[k], phase) != c)
                k++;
            different += k == i;
            f.is = f.is * CLASSES + c;
        }
        if (different >= DIFFERENT && !is_backing_off(pause))
            st = emk_buf_append(&m->figures, emk_span_of(&f, sizeof f), e);
    }
    return st;
}

/* What one account did, in order of time. */
static emk_status listen(music *m, const campaign_fact *f, size_t n, emk_error *e)
{
    uint64_t pause[FIGURE] = {0}, last = f[0].ts;
    uint32_t session = 0;
    size_t heard = 0;
    emk_status st = EMK_OK;

    for (size_t i = 1; st == EMK_OK && i < n; i++) {
        uint64_t gap = f[i].ts - last;

        if (gap < PAUSE_LEAST)
            continue;
        last = f[i].ts;
        if (gap > PAUSE_MOST) {
            heard = 0;
            session++;
            continue;
        }
        for (unsigned k = 1; k < FIGURE; k++)
            pause[k - 1] = pause[k];
        pause[FIGURE - 1] = gap;
        m->pauses++;
        for (unsigned phase = 0; phase < PHASES; phase++)
            m->count[phase][class_of(gap, phase) % CLASSES]++;
        if (++heard >= FIGURE)
            st = put_figures(m, pause, f[0].user, session, e);
    }
    return st;
}

static emk_status listen_to_all(music *m, emk_error *e)
{
    campaign_fact *f;
    size_t n, kept = 0;
    emk_status st = campaign_pick(m->w, 1u << FACT_SIGN_IN | 1u << FACT_GENERATE | 1u << FACT_GRANT,
                                  by_time, &f, &n, e);

    for (size_t i = 0; st == EMK_OK && i < n; i++) { /* a grant follows its generation */
        if (f[i].kind != FACT_GRANT || campaign_person_at(m->w, f[i].user)->generated == 0)
            f[kept++] = f[i];
    }
    for (size_t i = 0, next; st == EMK_OK && i < kept; i = next) {
        for (next = i; next < kept && f[next].user == f[i].user; next++)
            ;
        st = listen(m, f + i, next - i, e);
    }
    emk_free(f);
    return st;
}

/* Billionths of a figure that are to be expected among all of a phase. */
static uint64_t expected(const music *m, uint64_t is)
{
    uint64_t x = m->figures.len / sizeof(figure) / PHASES * NANO;
    unsigned phase = (unsigned)(is / CLASSES / CLASSES / CLASSES / CLASSES);

    for (unsigned i = 0; i < FIGURE; i++, is /= CLASSES)
        x = (x / m->pauses + 1) * m->count[phase][is % CLASSES];
    return x;
}

/* All n are the same figure: who plays it, and in how many sessions. */
static emk_status judge_figure(music *m, const figure *f, size_t n, emk_error *e)
{
    uint64_t sessions = 0, nano = expected(m, f[0].is);
    size_t users = 0, again = 0;
    campaign_evidence why;
    bool much;

    for (size_t i = 0, next; i < n; i = next) {
        size_t of_user = 0;

        for (next = i; next < n && f[next].user == f[i].user; next++)
            of_user += next == i || f[next].session != f[next - 1].session;
        if (users > m->w->o.crowd)
            return EMK_OK;
        m->users[users++] = f[i].user;
        sessions += of_user;
        again += of_user >= 2;
    }
    if (users < FEW_MEMBERS || users > m->w->o.crowd)
        return EMK_OK;
    why = (campaign_evidence){.number = {users, sessions, FIGURE},
                              .bits = campaign_bits_many(users, nano)};
    /* Sessions of one account may be alike; of three accounts, not those of each. */
    much = again >= FEW_MEMBERS && campaign_bits_many(sessions, nano) >= AGAIN_BITS;
    return why.bits >= CHANCE_BITS || much ? campaign_note(m->w, m->users, users, &why, e) : EMK_OK;
}

emk_status campaign_rhythm(campaign *w, emk_error *e)
{
    music *m = emk_alloc(1, sizeof *m);
    emk_status st = EMK_OK;
    figure *f;
    size_t n;

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", 0);
    m->w = w;
    emk_buf_init(&m->figures, SIZE_MAX / 4);
    m->users = emk_alloc((size_t)w->o.crowd + 2, sizeof *m->users);
    st = m->users ? listen_to_all(m, e)
                  : emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->o.crowd);
    f = (figure *)(void *)m->figures.p;
    n = m->figures.len / sizeof *f;
    if (n > 1)
        qsort(f, n, sizeof *f, by_figure);
    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        for (next = i; next < n && f[next].is == f[i].is; next++)
            ;
        st = judge_figure(m, f + i, next - i, e);
    }
    emk_buf_done(&m->figures);
    emk_free(m->users);
    emk_free(m);
    return st;
}
