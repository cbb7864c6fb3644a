#include "server/fraud/campaign_internal.h"

#include "core/base/alloc.h"
#include "server/fraud/fixed.h"

#include <stdlib.h>
#include <string.h>

#define FACTS_MAX   (1u << 24)
#define USERS_MAX   (1u << 20)
#define THINGS_MAX  (1u << 21)
#define NAMES_MAX   (256u << 20)
#define USER_SLOTS  ((size_t)2 * USERS_MAX)
#define THING_SLOTS ((size_t)2 * THINGS_MAX)
/* What was taken so shortly before the end may still be opened. */
#define TIME_TO_OPEN (30 * CAMPAIGN_MINUTE)

const emk_fraud_campaign_row EMK_FRAUD_CAMPAIGN[EMK_FRAUD_CAMPAIGN_KINDS] = {
    {"lockstep", "took the same artifacts at the same time", {"artifacts_together"}},
    {"shared_list",
     "made in one day; their artifacts are of one range and have fewer in common than by chance",
     {"artifacts", "in_common", "expected_in_common", "range"}},
    {"rhythm", "keep the same sequence of pauses", {"users", "sessions", "pauses"}},
    {"hoard",
     "made in one day in one network, system or kind of device, and open little of what they fetch",
     {"who_hoard", "of_new_accounts", "elsewhere_ppm"}},
    {"burst",
     "of one network, fetch many at once, open none of these, and do so at the same times",
     {"bursts", "of_visits", "elsewhere_ppm"}},
    {"key_few",
     "slept, woke on one day, and get far more by a service key than its other accounts",
     {"a_day", "usual_a_day", "of_accounts"}},
    {"trials",
     "trials by one payment instrument, or by several in one network",
     {"trials", "instruments", "accounts_of_network"}},
};

/* No secret: hashes only sort and find. */
static const uint64_t KEY[2] = {UINT64_C(0x6561726d61726b31), UINT64_C(0x63616d706169676e)};

typedef enum thing_kind {
    THING_ARTIFACT,
    THING_NET,
    THING_ASN,
    THING_PAYMENT,
    THING_KEY,
    THING_TUPLE,
    THING_BATCH
} thing_kind;

/* ---- names, people and things ---- */

static emk_status keep_name(campaign *w, emk_span name, uint32_t *out, emk_error *e)
{
    *out = (uint32_t)w->names.len;
    return name.len == 0 ? EMK_OK : emk_buf_append(&w->names, name, e);
}

static bool is_name(const campaign *w, uint32_t at, uint8_t len, emk_span name)
{
    return name.len == len && (len == 0 || memcmp(w->names.p + at, name.p, len) == 0);
}

static emk_status new_person(campaign *w, uint64_t hash, const emk_span who[2], emk_error *e)
{
    campaign_person p = {.hash = hash,
                         .name_len = (uint8_t)who[0].len, /* at most EMK_FRAUD_ID_MAX */
                         .tenant_len = (uint8_t)who[1].len,
                         .parent = w->n_people,
                         .size = 1};
    emk_status st = EMK_OK;

    if (w->n_people == USERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "campaign: too many users", USERS_MAX);
    st = keep_name(w, who[0], &p.name, e);
    if (st == EMK_OK)
        st = keep_name(w, who[1], &p.tenant, e);
    return st == EMK_OK ? emk_buf_append(&w->people, emk_span_of(&p, sizeof p), e) : st;
}

static emk_span text_of(const emk_fraud_event *ev, emk_fraud_field f)
{
    return emk_fraud_has(ev, f) ? ev->f[f].text : emk_span_of(NULL, 0);
}

static emk_status person_of(campaign *w, const emk_fraud_event *ev, uint32_t *out, emk_error *e)
{
    emk_span who[2] = {text_of(ev, EMK_FRAUD_F_USER), text_of(ev, EMK_FRAUD_F_TENANT)};
    uint64_t h =
        emk_fraud_siphash(KEY, who[0]) ^ (who[1].len ? emk_fraud_siphash(KEY, who[1]) >> 1 : 0);
    size_t s = h & (USER_SLOTS - 1);
    emk_status st;

    for (; w->people_slots[s]; s = (s + 1) & (USER_SLOTS - 1)) {
        const campaign_person *p = campaign_person_at(w, w->people_slots[s] - 1);

        if (p->hash == h && is_name(w, p->name, p->name_len, who[0]) &&
            is_name(w, p->tenant, p->tenant_len, who[1])) {
            *out = w->people_slots[s] - 1;
            return EMK_OK;
        }
    }
    st = new_person(w, h, who, e);
    if (st == EMK_OK) {
        *out = w->n_people;
        w->people_slots[s] = ++w->n_people;
    }
    return st;
}

/* By its hash, which is of 64 bits: two of two million are taken for one once in eight million
 * logs. */
static emk_status thing_of(campaign *w, thing_kind kind, emk_span name, uint32_t *out, emk_error *e)
{
    uint64_t key[2] = {KEY[0] + kind, KEY[1]}, h = emk_fraud_siphash(key, name);
    size_t s = h & (THING_SLOTS - 1);
    campaign_thing t = {.hash = h};
    emk_status st = EMK_OK;

    for (; w->thing_slots[s]; s = (s + 1) & (THING_SLOTS - 1)) {
        if (campaign_thing_at(w, w->thing_slots[s])->hash == h) {
            *out = w->thing_slots[s];
            return EMK_OK;
        }
    }
    if (w->n_things == THINGS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "campaign: too many artifacts, networks …", THINGS_MAX);
    if (kind == THING_ARTIFACT) {
        st = keep_name(w, name, &t.name, e);
        t.len = (uint32_t)name.len;
        w->n_artifacts++;
    }
    if (st == EMK_OK)
        st = emk_buf_append(&w->things, emk_span_of(&t, sizeof t), e);
    if (st == EMK_OK)
        *out = w->thing_slots[s] = ++w->n_things;
    return st;
}

static emk_status thing_in(campaign *w, thing_kind kind, const emk_fraud_event *ev,
                           emk_fraud_field f, uint32_t *out, emk_error *e)
{
    *out = NOTHING;
    if (!emk_fraud_has(ev, f))
        return EMK_OK;
    if (EMK_FRAUD_FIELD[f].kind == EMK_FRAUD_NUMBER)
        return thing_of(w, kind, emk_span_of(&ev->f[f].number, sizeof ev->f[f].number), out, e);
    return thing_of(w, kind, ev->f[f].text, out, e);
}

/* ---- facts ---- */

static emk_status put_fact(campaign *w, const campaign_fact *f, emk_error *e)
{
    if (w->facts.len / sizeof *f == FACTS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "campaign: too many events; take fewer days", FACTS_MAX);
    return emk_buf_append(&w->facts, emk_span_of(f, sizeof *f), e);
}

/* The earliest event says where an account was made; of two at once, the same one each time. */
static emk_status note_birth(campaign *w, const emk_fraud_event *ev, const campaign_fact *f,
                             emk_error *e)
{
    campaign_person *p = campaign_person_at(w, f->user);
    uint32_t asn = NOTHING;
    emk_status st = EMK_OK;

    p->sdk = p->sdk || ev->src == EMK_FRAUD_SRC_SDK;
    if (ev->type == EMK_FRAUD_DEVICE_ENROLL && (!p->enrolled || ev->ts < p->enrolled))
        p->enrolled = ev->ts;
    if (p->born && p->born < ev->ts)
        return EMK_OK;
    st = thing_in(w, THING_ASN, ev, EMK_FRAUD_F_ASN, &asn, e);
    if (st != EMK_OK)
        return st;
    if (!p->born || ev->ts < p->born || !p->birth_net ||
        (f->net && campaign_thing_at(w, f->net)->hash < campaign_thing_at(w, p->birth_net)->hash)) {
        p->birth_net = f->net;
        p->birth_asn = asn;
    }
    p->born = ev->ts;
    return EMK_OK;
}

/* What an account's devices were attested as, each kind once in a row. */
static emk_status note_mark(campaign *w, const emk_fraud_event *ev, campaign_fact f, emk_error *e)
{
    static const struct {
        emk_fraud_field field;
        thing_kind kind;
    } MARKS[] = {{EMK_FRAUD_F_ATT_TUPLE, THING_TUPLE}, {EMK_FRAUD_F_ATT_ENR, THING_BATCH}};
    emk_status st = EMK_OK;

    f.kind = FACT_MARK;
    for (size_t i = 0; st == EMK_OK && i < sizeof MARKS / sizeof MARKS[0]; i++) {
        st = thing_in(w, MARKS[i].kind, ev, MARKS[i].field, &f.thing, e);
        if (st != EMK_OK || !f.thing || campaign_person_at(w, f.user)->mark == f.thing)
            continue;
        campaign_person_at(w, f.user)->mark = f.thing;
        st = put_fact(w, &f, e);
    }
    return st;
}

static emk_status note_act(campaign *w, const emk_fraud_event *ev, campaign_fact *f, emk_error *e)
{
    static const uint8_t KIND[EMK_FRAUD_TYPES] = {
        [EMK_FRAUD_GRANT] = 1 + FACT_GRANT,       [EMK_FRAUD_DOWNLOAD_START] = 1 + FACT_DOWNLOAD,
        [EMK_FRAUD_OPEN] = 1 + FACT_OPEN,         [EMK_FRAUD_USE] = 1 + FACT_OPEN,
        [EMK_FRAUD_GENERATE] = 1 + FACT_GENERATE, [EMK_FRAUD_AUTH_OK] = 1 + FACT_SIGN_IN,
        [EMK_FRAUD_TRIAL] = 1 + FACT_TRIAL};
    emk_status st;

    if (!KIND[ev->type])
        return EMK_OK;
    f->kind = KIND[ev->type] - 1u;
    w->events += f->kind == FACT_GRANT && emk_fraud_has(ev, EMK_FRAUD_F_ARTIFACT);
    st = f->kind == FACT_TRIAL
             ? thing_in(w, THING_PAYMENT, ev, EMK_FRAUD_F_PAYMENT, &f->thing, e)
             : thing_in(w, THING_ARTIFACT, ev, EMK_FRAUD_F_ARTIFACT, &f->thing, e);
    if (st == EMK_OK &&
        (f->thing || f->kind == FACT_TRIAL || f->kind == FACT_SIGN_IN || f->kind == FACT_GENERATE))
        st = put_fact(w, f, e);
    if (st != EMK_OK || f->kind != FACT_GRANT || !emk_fraud_has(ev, EMK_FRAUD_F_KEY))
        return st;
    f->kind = FACT_KEYED;
    st = thing_in(w, THING_KEY, ev, EMK_FRAUD_F_KEY, &f->thing, e);
    return st == EMK_OK ? put_fact(w, f, e) : st;
}

static emk_status take_event(campaign *w, const emk_fraud_event *ev, emk_error *e)
{
    campaign_fact f = {.ts = ev->ts};
    emk_status st;

    if (!emk_fraud_has(ev, EMK_FRAUD_F_USER) || !EMK_FRAUD_TYPE[ev->type].authenticated ||
        ev->type >= EMK_FRAUD_ADMIN_BAN || ev->ts < w->o.from_ms ||
        (w->o.to_ms && ev->ts > w->o.to_ms))
        return EMK_OK;
    st = person_of(w, ev, &f.user, e);
    if (st == EMK_OK)
        st = thing_in(w, THING_NET, ev, EMK_FRAUD_F_NET, &f.net, e);
    if (st == EMK_OK)
        st = note_birth(w, ev, &f, e);
    if (st == EMK_OK)
        st = note_mark(w, ev, f, e);
    w->last_ms = ev->ts > w->last_ms ? ev->ts : w->last_ms;
    return st == EMK_OK ? note_act(w, ev, &f, e) : st;
}

emk_status emk_fraud_campaign_line(emk_fraud_campaign_job *job, emk_span line, emk_error *e)
{
    emk_fraud_event ev;
    emk_error ignored;

    return emk_fraud_event_read(line, &ev, &ignored) == EMK_OK ? take_event(job, &ev, e) : EMK_OK;
}

emk_status campaign_pick(const campaign *w, unsigned kinds, int (*cmp)(const void *, const void *),
                         campaign_fact **out, size_t *n, emk_error *e)
{
    const campaign_fact *f = (const campaign_fact *)(const void *)w->facts.p;
    size_t all = w->facts.len / sizeof *f, found = 0;

    *n = 0;
    for (size_t i = 0; i < all; i++)
        found += kinds >> f[i].kind & 1;
    *out = emk_alloc(found + 1, sizeof **out);
    if (!*out)
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", found);
    for (size_t i = 0; i < all; i++) {
        if (kinds >> f[i].kind & 1)
            (*out)[(*n)++] = f[i];
    }
    if (cmp && *n > 1)
        qsort(*out, *n, sizeof **out, cmp);
    return EMK_OK;
}

/* ---- what is known of each account ---- */

static int by_user_and_thing(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->user, b->user);

    c = c ? c : campaign_compare(a->thing, b->thing);
    c = c ? c : campaign_compare(a->ts, b->ts);
    return c ? c : campaign_compare(a->kind, b->kind);
}

static int by_user_and_net(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->user, b->user);

    c = c ? c : campaign_compare(a->net, b->net);
    return c ? c : campaign_compare(a->ts, b->ts);
}

static int by_user_and_time(const void *x, const void *y)
{
    const campaign_fact *a = x, *b = y;
    int c = campaign_compare(a->user, b->user);

    return c ? c : campaign_compare(a->ts, b->ts);
}

static emk_status list_takes(campaign *w, emk_error *e)
{
    campaign_fact *f;
    size_t n;
    emk_status st = campaign_pick(w, 1u << FACT_GRANT | 1u << FACT_DOWNLOAD | 1u << FACT_OPEN,
                                  by_user_and_thing, &f, &n, e);

    for (size_t i = 0, next; st == EMK_OK && i < n; i = next) {
        campaign_take t = {.user = f[i].user, .thing = f[i].thing};
        campaign_person *p = campaign_person_at(w, t.user);

        for (next = i; next < n && f[next].user == t.user && f[next].thing == t.thing; next++) {
            t.opened = t.opened || f[next].kind == FACT_OPEN;
            if (f[next].kind != FACT_OPEN && t.ts == 0)
                t.ts = f[next].ts;
        }
        if (t.ts == 0)
            continue;
        p->first_take = p->taken ? p->first_take : w->n_takes;
        p->taken++;
        p->unopened += !t.opened && t.ts + TIME_TO_OPEN < w->last_ms;
        w->n_takes++;
        st = emk_buf_append(&w->takes, emk_span_of(&t, sizeof t), e);
    }
    emk_free(f);
    return st;
}

#define OF_REQUESTS (1u << FACT_GRANT | 1u << FACT_GENERATE | 1u << FACT_DOWNLOAD)

static emk_status count_nets_and_days(campaign *w, emk_error *e)
{
    campaign_fact *f;
    size_t n;
    emk_status st = campaign_pick(w, OF_REQUESTS, by_user_and_net, &f, &n, e);

    for (size_t i = 0; st == EMK_OK && i < n; i++) {
        bool same = i > 0 && f[i].user == f[i - 1].user;

        campaign_person_at(w, f[i].user)->nets += f[i].net && !(same && f[i].net == f[i - 1].net);
    }
    if (st == EMK_OK && n > 1)
        qsort(f, n, sizeof *f, by_user_and_time);
    for (size_t i = 0; st == EMK_OK && i < n; i++) {
        bool same = i > 0 && f[i].user == f[i - 1].user;

        campaign_person_at(w, f[i].user)->days +=
            !(same && f[i].ts / CAMPAIGN_DAY == f[i - 1].ts / CAMPAIGN_DAY);
    }
    emk_free(f);
    return st;
}

static void count_others(campaign *w)
{
    const campaign_fact *f = (const campaign_fact *)(const void *)w->facts.p;

    for (size_t i = 0; i < w->facts.len / sizeof *f; i++) {
        campaign_person *p = campaign_person_at(w, f[i].user);

        p->trials += f[i].kind == FACT_TRIAL;
        p->keyed += f[i].kind == FACT_KEYED;
        p->generated += f[i].kind == FACT_GENERATE;
    }
}

/* ---- groups ---- */

static uint32_t root_of(const campaign *w, uint32_t i)
{
    while (campaign_person_at(w, i)->parent != i) {
        campaign_person *p = campaign_person_at(w, i);

        p->parent = campaign_person_at(w, p->parent)->parent;
        i = p->parent;
    }
    return i;
}

static const campaign_evidence *evidence_at(const campaign *w, uint32_t i)
{
    return (const campaign_evidence *)(const void *)w->evidence.p + (i - 1);
}

/* A total order, so that the best is the same one in whatever order it was found. */
static bool is_better(const campaign_evidence *a, const campaign_evidence *b)
{
    if (a->bits != b->bits)
        return a->bits > b->bits;
    for (size_t i = 0; i < EMK_FRAUD_EVIDENCE; i++) {
        if (a->number[i] != b->number[i])
            return a->number[i] > b->number[i];
    }
    return false;
}

void campaign_join(const campaign *w, uint32_t a, uint32_t b)
{
    uint32_t x = root_of(w, a), y = root_of(w, b), why;

    if (x == y)
        return;
    if (campaign_person_at(w, x)->size < campaign_person_at(w, y)->size) {
        uint32_t t = x;

        x = y;
        y = t;
    }
    campaign_person_at(w, y)->parent = x;
    campaign_person_at(w, x)->size += campaign_person_at(w, y)->size;
    why = campaign_person_at(w, y)->why;
    if (why && (!campaign_person_at(w, x)->why ||
                is_better(evidence_at(w, why), evidence_at(w, campaign_person_at(w, x)->why))))
        campaign_person_at(w, x)->why = why;
}

emk_status campaign_note(campaign *w, const uint32_t *users, size_t n, const campaign_evidence *why,
                         emk_error *e)
{
    campaign_person *root;
    emk_status st;

    for (size_t i = 1; i < n; i++)
        campaign_join(w, users[0], users[i]);
    root = campaign_person_at(w, root_of(w, users[0]));
    if (root->why && !is_better(why, evidence_at(w, root->why)))
        return EMK_OK;
    st = emk_buf_append(&w->evidence, emk_span_of(why, sizeof *why), e);
    if (st == EMK_OK)
        root->why = (uint32_t)(w->evidence.len / sizeof *why);
    return st;
}

/* ---- what it comes to ---- */

static int by_group(const void *x, const void *y)
{
    const emk_fraud_member *a = x, *b = y;
    int c = campaign_compare(a->group, b->group);

    c = c ? c : strcmp(a->user, b->user);
    return c ? c : strcmp(a->tenant, b->tenant);
}

static void put_member(const campaign *w, const campaign_person *p, uint32_t group, uint32_t links,
                       emk_fraud_member *m)
{
    memset(m, 0, sizeof *m);
    m->group = group;
    m->links = links;
    memcpy(m->user, w->names.p + p->name, p->name_len);
    if (p->tenant_len > 0)
        memcpy(m->tenant, w->names.p + p->tenant, p->tenant_len);
}

/* Roots of at least `least` members get a group each; in the order of people. */
static emk_status number_groups(campaign *w, emk_fraud_campaign_kind kind, uint32_t least,
                                emk_error *e)
{
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < w->n_people; i++) {
        campaign_person *p = campaign_person_at(w, i);
        emk_fraud_group_found g = {.kind = kind, .n = p->size};

        p->group = UINT32_MAX;
        if (p->parent != i || p->size < least || !p->why)
            continue;
        memcpy(g.number, evidence_at(w, p->why)->number, sizeof g.number);
        g.chance_bits = evidence_at(w, p->why)->bits;
        p->group = (uint32_t)(w->groups.len / sizeof g);
        w->n_members += g.n;
        st = emk_buf_append(&w->groups, emk_span_of(&g, sizeof g), e);
    }
    return st;
}

static emk_status list_members(campaign *w, size_t from, emk_fraud_campaigns *out, emk_error *e)
{
    emk_fraud_member *all = emk_realloc(out->member, w->n_members + 1, sizeof *all);
    size_t n = from;

    if (!all)
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", w->n_members);
    out->member = all;
    for (uint32_t i = 0; i < w->n_people; i++) {
        const campaign_person *p = campaign_person_at(w, i);
        const campaign_person *root = campaign_person_at(w, root_of(w, i));

        if (root->group != UINT32_MAX)
            put_member(w, p, root->group, p->links ? p->links : root->size - 1, &all[n++]);
    }
    out->n = n;
    if (n - from > 1)
        qsort(all + from, n - from, sizeof *all, by_group);
    return EMK_OK;
}

static void part_again(campaign *w)
{
    for (uint32_t i = 0; i < w->n_people; i++) {
        campaign_person *p = campaign_person_at(w, i);

        p->parent = i;
        p->size = 1;
        p->links = p->why = 0;
    }
    w->evidence.len = 0;
}

static emk_status run_detector(campaign *w, emk_fraud_campaign_kind kind, emk_fraud_campaigns *out,
                               emk_error *e)
{
    static const struct {
        emk_status (*find)(campaign *w, emk_error *e);
        uint32_t least;
    } HOW[EMK_FRAUD_CAMPAIGN_KINDS] = {
        [EMK_FRAUD_LOCKSTEP] = {campaign_lockstep, 5},
        [EMK_FRAUD_SHARED_LIST] = {campaign_list, 5},
        [EMK_FRAUD_RHYTHM] = {campaign_rhythm, FEW_MEMBERS},
        [EMK_FRAUD_HOARD] = {campaign_hoard, 5},
        [EMK_FRAUD_BURST] = {campaign_burst, FEW_MEMBERS},
        [EMK_FRAUD_KEY_FEW] = {campaign_key_few, FEW_MEMBERS},
        [EMK_FRAUD_TRIALS] = {campaign_trials, 4},
    };
    size_t members = w->n_members;
    emk_status st = HOW[kind].find(w, e);

    if (st == EMK_OK)
        st = number_groups(w, kind, w->o.group ? w->o.group : HOW[kind].least, e);
    if (st == EMK_OK)
        st = list_members(w, members, out, e);
    part_again(w);
    return st;
}

typedef struct ranked {
    emk_fraud_group_found g;
    const emk_fraud_member *m;
} ranked;

static int by_rank(const void *x, const void *y)
{
    const ranked *a = x, *b = y;
    int c = campaign_compare(a->g.kind, b->g.kind);

    c = c ? c : campaign_compare(b->g.n, a->g.n);
    c = c ? c : strcmp(a->m->user, b->m->user);
    return c ? c : strcmp(a->m->tenant, b->m->tenant);
}

/* Puts groups, and members with them, into an order that says nothing of that of the lines. */
static emk_status put_in_order(campaign *w, emk_fraud_campaigns *out, emk_error *e)
{
    const emk_fraud_group_found *g = (const emk_fraud_group_found *)(const void *)w->groups.p;
    size_t n = w->groups.len / sizeof *g, at = 0;
    ranked *r = emk_alloc(n + 1, sizeof *r);
    emk_fraud_member *m = emk_alloc(out->n + 1, sizeof *m);

    out->group = emk_alloc(n + 1, sizeof *out->group);
    if (!r || !m || !out->group) {
        emk_free(r);
        emk_free(m);
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", n);
    }
    for (size_t i = 0, from = 0; i < n; from += g[i++].n)
        r[i] = (ranked){g[i], out->member + from};
    if (n > 1)
        qsort(r, n, sizeof *r, by_rank);
    for (size_t i = 0; i < n; at += r[i++].g.n) {
        out->group[i] = r[i].g;
        out->group[i].first = at;
        memcpy(m + at, r[i].m, r[i].g.n * sizeof *m);
        for (size_t k = 0; k < r[i].g.n; k++)
            m[at + k].group = (uint32_t)i;
    }
    out->groups = (uint32_t)n;
    emk_free(out->member);
    out->member = m;
    emk_free(r);
    return EMK_OK;
}

emk_status emk_fraud_campaign_find(emk_fraud_campaign_job *job, emk_fraud_campaigns *out,
                                   emk_error *e)
{
    emk_status st = list_takes(job, e);

    memset(out, 0, sizeof *out);
    if (st == EMK_OK)
        st = count_nets_and_days(job, e);
    count_others(job);
    for (unsigned kind = 0; st == EMK_OK && kind < EMK_FRAUD_CAMPAIGN_KINDS; kind++)
        st = run_detector(job, (emk_fraud_campaign_kind)kind, out, e);
    if (st == EMK_OK)
        st = put_in_order(job, out, e);
    out->events = job->events;
    out->pairs = job->pairs;
    out->last_ms = job->last_ms;
    if (st != EMK_OK)
        emk_fraud_campaigns_done(out);
    return st;
}

emk_status emk_fraud_campaign_new(const emk_fraud_campaign_options *o, emk_fraud_campaign_job **out,
                                  emk_error *e)
{
    campaign *w = emk_alloc(1, sizeof *w);

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", 0);
    w->o = *o;
    w->o.bucket_s = o->bucket_s ? o->bucket_s : 600;
    w->o.times = o->times ? o->times : 3;
    w->o.crowd = o->crowd ? o->crowd : 100;
    emk_buf_init(&w->facts, (size_t)FACTS_MAX * sizeof(campaign_fact));
    emk_buf_init(&w->people, (size_t)USERS_MAX * sizeof(campaign_person));
    emk_buf_init(&w->things, (size_t)THINGS_MAX * sizeof(campaign_thing));
    emk_buf_init(&w->names, NAMES_MAX);
    emk_buf_init(&w->takes, (size_t)FACTS_MAX * sizeof(campaign_take));
    emk_buf_init(&w->evidence, (size_t)FACTS_MAX * sizeof(campaign_evidence));
    emk_buf_init(&w->groups, (size_t)USERS_MAX * sizeof(emk_fraud_group_found));
    w->people_slots = emk_alloc(USER_SLOTS, sizeof *w->people_slots);
    w->thing_slots = emk_alloc(THING_SLOTS, sizeof *w->thing_slots);
    if (!w->people_slots || !w->thing_slots) {
        emk_fraud_campaign_free(w);
        return emk_fail(e, EMK_E_NO_MEMORY, "campaign: no memory", THING_SLOTS);
    }
    *out = w;
    return EMK_OK;
}

void emk_fraud_campaign_free(emk_fraud_campaign_job *job)
{
    if (!job)
        return;
    emk_buf_done(&job->facts);
    emk_buf_done(&job->people);
    emk_buf_done(&job->things);
    emk_buf_done(&job->names);
    emk_buf_done(&job->takes);
    emk_buf_done(&job->evidence);
    emk_buf_done(&job->groups);
    emk_free(job->people_slots);
    emk_free(job->thing_slots);
    emk_free(job);
}

emk_status emk_fraud_campaign(emk_span events, const emk_fraud_campaign_options *o,
                              emk_fraud_campaigns *out, emk_error *e)
{
    emk_fraud_campaign_job *job = NULL;
    emk_status st = emk_fraud_campaign_new(o, &job, e);

    memset(out, 0, sizeof *out);
    for (size_t at = 0; st == EMK_OK && at < events.len;) {
        const uint8_t *from = events.p + at, *end = memchr(from, '\n', events.len - at);
        size_t len = end ? (size_t)(end - from) : events.len - at;

        at += len + 1;
        st = emk_fraud_campaign_line(job, emk_span_of(from, len), e);
    }
    if (st == EMK_OK)
        st = emk_fraud_campaign_find(job, out, e);
    emk_fraud_campaign_free(job);
    return st;
}

void emk_fraud_campaigns_done(emk_fraud_campaigns *c)
{
    emk_free(c->group);
    emk_free(c->member);
    memset(c, 0, sizeof *c);
}
