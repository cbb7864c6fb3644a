/* People who mean well, and look strange in their own ways. */
#include "server/fraud/trace_internal.h"

#include <stdio.h>

#define CATALOGUE 5000u
#define HELD      3u /* models that an app renews the leases of */

typedef struct person {
    actor a;
    const char *by;
    unsigned per_day;  /* models on a usual day */
    unsigned active;   /* per cent of days */
    unsigned restores; /* per cent: moves to a new device once */
    unsigned travels;  /* per cent of active days in another net */
    unsigned far;      /* per cent of those far away */
    int64_t clock_ms;  /* the device's clock minus the truth */
    bool offline;      /* events come in late, and some not at all */
    unsigned joins;    /* per cent: begins on a later day of the log */
    unsigned starts;   /* that day, where it is given */
    uint64_t begins;   /* the hour of day in which all of a place begin; 0: any */
    unsigned held[HELD], n_held;
    const unsigned *list; /* of models that all of a course work through; NULL: any */
    unsigned n_list, at_list;
    bool opens_few; /* tries much and keeps little */
} person;

static uint64_t day_time(trace *t, const person *p, unsigned day)
{
    uint64_t from = t->o->start_ms + day * DAY;

    if (p->begins)
        return from + p->begins * HOUR_MS + trace_between(t, 0, 15 * MINUTE);
    return from + trace_between(t, 7 * HOUR_MS, 22 * HOUR_MS);
}

static unsigned next_model(trace *t, person *p)
{
    if (p->at_list < p->n_list)
        return p->list[p->at_list++];
    return (unsigned)trace_between(t, 1, CATALOGUE);
}

/* An app renews what it holds as it starts. */
static uint64_t renew_all(trace *t, const person *p, uint64_t ts)
{
    unsigned n = p->n_held < HELD ? p->n_held : HELD;

    for (unsigned i = 0; i < n; i++)
        trace_event_cost(t, &p->a, EMK_FRAUD_LEASE, ts += trace_between(t, 200, 1500), p->held[i],
                         0);
    return ts;
}

/* And by a timer, while a model is in use. */
static uint64_t renew_by_timer(trace *t, const person *p, uint64_t ts, unsigned artifact)
{
    uint64_t n = trace_chance(t, 30) ? trace_between(t, 1, 4) : 0;

    for (uint64_t i = 0; i < n; i++)
        trace_event_cost(t, &p->a, EMK_FRAUD_LEASE, ts += 10 * MINUTE + trace_between(t, 0, 1500),
                         artifact, 0);
    return ts;
}

static void heartbeat(trace *t, const person *p, uint64_t ts)
{
    emk_fraud_event ev;

    trace_begin(t, &p->a, EMK_FRAUD_HEARTBEAT, ts, &ev);
    ev.src = EMK_FRAUD_SRC_SDK;
    emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT, ((int64_t)ts + p->clock_ms) * 1000);
    trace_put(t, &ev);
    if (p->offline && trace_chance(t, 30))
        trace_event(t, &p->a, EMK_FRAUD_GAP, ts + 100);
}

static void live_day(trace *t, person *p, unsigned day)
{
    uint64_t ts = day_time(t, p, day), n = trace_between(t, 1, p->per_day * 2u - 1u);
    unsigned opens = p->opens_few ? 40 : p->offline ? 60 : 100;
    actor home = p->a;
    unsigned artifact;

    trace_new_session(t, &p->a);
    if (trace_chance(t, p->travels)) {
        trace_new_net(t, &p->a, "mobile");
        if (trace_chance(t, p->far))
            p->a.lon += 60000;
    }
    trace_event(t, &p->a, EMK_FRAUD_AUTH_OK, ts);
    heartbeat(t, p, ts + 1000);
    ts = renew_all(t, p, ts + 1000);
    for (uint64_t i = 0; i < n; i++) {
        ts += trace_between(t, 20000, 20 * MINUTE);
        artifact = next_model(t, p);
        ts = trace_use_model(t, &p->a, ts, artifact, opens == 100 || trace_chance(t, opens));
        ts = renew_by_timer(t, p, ts, artifact);
        p->held[p->n_held++ % HELD] = artifact;
    }
    heartbeat(t, p, ts + 30000);
    p->a = home;
}

static void live(trace *t, person *p)
{
    unsigned first = (unsigned)trace_between(t, 0, 1), move = 0;

    if (p->starts)
        first = p->starts;
    else if (trace_chance(t, p->joins))
        first = (unsigned)trace_between(t, 2, t->o->days - 2);
    if (trace_chance(t, p->restores))
        move = (unsigned)trace_between(t, 3, t->o->days);
    trace_sign_up(t, &p->a, t->o->start_ms + first * DAY + trace_between(t, 0, 6 * HOUR_MS));
    for (unsigned day = first; day < t->o->days; day++) {
        if (day == move && move) {
            trace_new_device(t, &p->a);
            trace_event(t, &p->a, EMK_FRAUD_DEVICE_ENROLL, t->o->start_ms + day * DAY + HOUR_MS);
        }
        if (trace_chance(t, p->active))
            live_day(t, p, day);
    }
    trace_label(t, &p->a, false, p->by, t->o->start_ms);
}

/* By a backend, in office hours. */
static void grant_by_key(trace *t, const person *p, const char *key, uint64_t day)
{
    uint64_t ts = day + trace_between(t, 8 * HOUR_MS, 18 * HOUR_MS);
    unsigned artifact = (unsigned)trace_between(t, 1, CATALOGUE);
    emk_fraud_event ev;
    char text[24];

    trace_begin(t, &p->a, EMK_FRAUD_GRANT, ts, &ev);
    ev.src = EMK_FRAUD_SRC_BACKEND;
    snprintf(text, sizeof text, "a-%u", artifact);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(text));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_KEY, emk_span_str(key));
    trace_put(t, &ev);
    trace_event_cost(t, &p->a, EMK_FRAUD_DOWNLOAD_START, ts + 20000, artifact, 0);
    trace_event_cost(t, &p->a, EMK_FRAUD_DOWNLOAD_END, ts + 40000, artifact, 0);
    trace_event_cost(t, &p->a, EMK_FRAUD_OPEN, ts + 60000, artifact, 0);
}

static person usual(trace *t, const char *by)
{
    return (person){.a = trace_actor(t, "b"),
                    .by = by,
                    .per_day = 2,
                    .active = 40,
                    .restores = 3,
                    .travels = 20};
}

static void casual(trace *t)
{
    person p = usual(t, "casual");

    live(t, &p);
}

static void power(trace *t)
{
    person p = usual(t, "power");

    p.per_day = 7;
    p.active = 90;
    p.travels = 50;
    live(t, &p);
}

static void family(trace *t)
{
    person first = usual(t, "family");
    uint64_t n = trace_between(t, 1, 2);

    live(t, &first);
    for (uint64_t i = 0; i < n; i++) {
        person p = first;

        trace_new_user(t, &p.a);
        live(t, &p);
    }
}

static void school_cart(trace *t)
{
    person tablet = usual(t, "school");
    uint64_t n = trace_between(t, 6, 15);

    for (uint64_t i = 0; i < n; i++) {
        person p = tablet;

        trace_new_user(t, &p.a);
        p.restores = p.travels = 0;
        p.joins = 20; /* during the year */
        live(t, &p);
    }
}

static void traveller(trace *t)
{
    person p = usual(t, "traveller");

    p.travels = 100;
    p.far = 50;
    live(t, &p);
}

static void cgnat(trace *t)
{
    person first = usual(t, "cgnat");

    for (unsigned i = 0; i < 30; i++) {
        person p = usual(t, "cgnat");

        memcpy(p.a.net, first.a.net, sizeof p.a.net);
        p.a.asn = first.a.asn;
        p.travels = 0;
        live(t, &p);
    }
}

static void offline(trace *t)
{
    person p = usual(t, "offline");

    p.offline = true;
    live(t, &p);
}

static void wrong_clock(trace *t)
{
    person p = usual(t, "wrong_clock");

    p.clock_ms = -(int64_t)trace_between(t, MINUTE, 3 * HOUR_MS);
    live(t, &p);
}

static void reinstall(trace *t)
{
    person p = usual(t, "reinstall");

    p.restores = 100;
    live(t, &p);
}

static void custom_rom(trace *t)
{
    person p = usual(t, "custom_rom");

    p.a.level = (int)trace_between(t, 0, 1);
    if (trace_chance(t, 30)) { /* some of them use it a lot */
        p.per_day = 7;
        p.active = 90;
    }
    live(t, &p);
}

/* A firm: shared tablets, three shifts, and all sign in as theirs begins. */
static void office(trace *t)
{
    person first = usual(t, "office");
    uint64_t tablets = trace_between(t, 6, 12), shifts = 3;

    for (uint64_t i = 0; i < tablets; i++) {
        trace_new_device(t, &first.a);
        for (uint64_t s = 0; s < shifts; s++) {
            person p = first;

            trace_new_user(t, &p.a);
            p.restores = p.travels = 0;
            p.active = 70;
            p.joins = 5;
            p.begins = 6 + 8 * s < 22 ? 6 + 8 * s : 21;
            live(t, &p);
        }
    }
}

/* A course: people at home, on phones of their own, who work through one list in their own time. */
static void course(trace *t)
{
    unsigned list[12], first_day = (unsigned)trace_between(t, 2, t->o->days / 2);
    uint64_t people = trace_between(t, 10, 25);

    for (unsigned i = 0; i < 12; i++)
        list[i] = (unsigned)trace_between(t, 1, CATALOGUE);
    for (uint64_t i = 0; i < people; i++) {
        person p = usual(t, "course");

        p.list = list;
        p.n_list = 12;
        p.starts = first_day;
        live(t, &p);
    }
}

/* A fair: whoever comes by takes a trial in the hall's network, tries some models, and most of
 * them open what they took; at home some go on. */
static void fair(trace *t)
{
    actor hall = trace_actor(t, "hall");
    unsigned day = (unsigned)trace_between(t, 2, t->o->days - 2);
    uint64_t people = trace_between(t, 15, 30);

    for (uint64_t i = 0; i < people; i++) {
        person p = usual(t, "fair");
        actor home = p.a;
        uint64_t ts = t->o->start_ms + day * DAY + trace_between(t, 9 * HOUR_MS, 17 * HOUR_MS);

        memcpy(p.a.net, hall.net, sizeof p.a.net);
        p.a.asn = hall.asn;
        p.a.net_kind = hall.net_kind;
        trace_sign_up(t, &p.a, ts);
        trace_event(t, &p.a, EMK_FRAUD_TRIAL, ts + MINUTE);
        for (uint64_t n = trace_between(t, 2, 6); n > 0; n--) {
            unsigned artifact = next_model(t, &p);

            ts += trace_between(t, MINUTE, 5 * MINUTE);
            ts = trace_use_model(t, &p.a, ts, artifact, trace_chance(t, 85));
        }
        memcpy(p.a.net, home.net, sizeof p.a.net);
        p.a.asn = home.asn;
        for (unsigned later = day + 1; later < t->o->days; later++) {
            if (trace_chance(t, 25))
                live_day(t, &p, later);
        }
        trace_label(t, &p.a, false, p.by, t->o->start_ms);
    }
}

/* Who has models from a backend: most a few, some a lot, and some begin later. */
static void key_customers(trace *t)
{
    uint64_t people = trace_between(t, 20, 40);
    char key[32];

    snprintf(key, sizeof key, "kb-%08llx", (unsigned long long)(trace_random(t) & UINT32_MAX));
    for (uint64_t i = 0; i < people; i++) {
        person p = usual(t, "key_customer");
        unsigned first = trace_chance(t, 20) ? (unsigned)trace_between(t, 1, t->o->days - 2) : 0;
        uint64_t most = trace_chance(t, 10) ? trace_between(t, 6, 15) : 2;

        trace_sign_up(t, &p.a, t->o->start_ms + trace_between(t, 0, 7 * HOUR_MS));
        for (unsigned day = first; day < t->o->days; day++) {
            for (uint64_t n = trace_between(t, 0, most); n > 0; n--)
                grant_by_key(t, &p, key, t->o->start_ms + day * DAY);
        }
        trace_label(t, &p.a, false, p.by, t->o->start_ms);
    }
}

/* Who tries a lot of models and opens some: everywhere, so not a sign of anything alone. */
static void browser(trace *t)
{
    person p = usual(t, "browser");

    p.per_day = 4;
    p.opens_few = true;
    p.joins = 50;
    live(t, &p);
}

void trace_benign(trace *t)
{
    static const struct {
        void (*fn)(trace *t);
        unsigned share, people;
    } WHO[] = {{casual, 120, 1},  {power, 20, 1},     {family, 16, 2},       {school_cart, 2, 10},
               {traveller, 8, 1}, {cgnat, 2, 30},     {offline, 10, 1},      {wrong_clock, 6, 1},
               {reinstall, 8, 1}, {custom_rom, 8, 1}, {browser, 4, 1},       {office, 1, 27},
               {course, 1, 17},   {fair, 1, 22},      {key_customers, 1, 30}};
    unsigned all = 0;
    uint64_t made = 0;

    for (size_t i = 0; i < sizeof WHO / sizeof WHO[0]; i++)
        all += WHO[i].share;
    while (made < t->o->users && t->status == EMK_OK) {
        uint64_t pick = trace_random(t) % all;
        size_t i = 0;

        for (; pick >= WHO[i].share; i++)
            pick -= WHO[i].share;
        WHO[i].fn(t);
        made += WHO[i].people;
    }
}
