/* People who mean well, and look strange in their own ways. */
#include "server/fraud/trace_internal.h"

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
} person;

static uint64_t day_time(trace *t, unsigned day)
{
    return t->o->start_ms + day * DAY + trace_between(t, 7 * HOUR_MS, 22 * HOUR_MS);
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
    uint64_t ts = day_time(t, day), n = trace_between(t, 1, p->per_day * 2u - 1u);
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
    for (uint64_t i = 0; i < n; i++) {
        ts += trace_between(t, 20000, 20 * MINUTE);
        artifact = (unsigned)trace_between(t, 1, 5000);
        ts = trace_use_model(t, &p->a, ts, artifact, !p->offline || trace_chance(t, 60));
    }
    heartbeat(t, p, ts + 30000);
    p->a = home;
}

static void live(trace *t, person *p)
{
    unsigned first = (unsigned)trace_between(t, 0, 1), move = 0;

    if (trace_chance(t, p->joins))
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

void trace_benign(trace *t)
{
    static const struct {
        void (*fn)(trace *t);
        unsigned share, people;
    } WHO[] = {{casual, 60, 1},   {power, 10, 1},    {family, 8, 2},  {school_cart, 1, 10},
               {traveller, 4, 1}, {cgnat, 1, 30},    {offline, 5, 1}, {wrong_clock, 3, 1},
               {reinstall, 4, 1}, {custom_rom, 4, 1}};
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
