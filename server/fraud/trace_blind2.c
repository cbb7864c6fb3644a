/* The second set of attacks by somebody who had not read the rules, and three honest personas that
 * look like them.
 *
 * Read before: the catalogue of attacks (with the signals and answers that it proposes for each),
 * the schema of events and its page, from which one fact about the rules was learned (of kinds of
 * networks they ask for "hosting" alone), the frame of traces (trace.c) and the honest people
 * (trace_benign.c).  Not read: the rules, their features and numbers, the engine, any report about
 * it, the other attacks.
 *
 * Nothing here was run through the engine, and "adaptive" changes nothing: these people do not know
 * the thresholds.
 *
 * All they are assumed to know is what a customer is told: a plan has some dozens of models an hour
 * and a hundred a day.  Labels begin when the misuse does; what an account did before was honest or
 * at least harmless. */
#include "server/fraud/trace_internal.h"

#include <stdio.h>

#define CATALOGUE 5000u /* models, as the honest people have them */
#define POPULAR   300u  /* those that everybody wants */

#define SECOND UINT64_C(1000)

#define CREW_MAX  20u
#define TODAY_MAX 6u

#define OWNERS_MAX 8u
#define SHELF_MAX  3u

#define EVENINGS_MAX 4u
#define EVENING_MAX  30u /* models */

/* One time with the app: signs in, takes models, puts it away. */
typedef struct sitting {
    uint64_t models, gap_low, gap_high; /* between two models, ms */
    unsigned opens;                     /* per cent of what is downloaded */
    uint64_t first, last;               /* of the catalogue */
} sitting;

static const sitting PERSON = {2, 20 * SECOND, 20 * MINUTE, 95, 1, CATALOGUE};

static uint64_t end_of_log(const trace *t)
{
    return t->o->start_ms + t->o->days * DAY;
}

static uint64_t midnight(const trace *t, uint64_t ts)
{
    return ts - (ts - t->o->start_ms) % DAY;
}

/* The day after ts. */
static uint64_t next_day(const trace *t, uint64_t ts)
{
    return midnight(t, ts) + DAY;
}

/* A day up to so many days later, that still has room in the log. */
static uint64_t some_day(trace *t, uint64_t day, uint64_t later)
{
    uint64_t last = end_of_log(t) - DAY, at = day + trace_between(t, 0, later) * DAY;

    return at < last ? at : last;
}

static uint64_t awake(trace *t, uint64_t day)
{
    return day + trace_between(t, 7 * HOUR_MS, 22 * HOUR_MS);
}

static bool is_weekend(uint64_t day)
{
    uint64_t weekday = (day / DAY + 3) % 7; /* 1970 began on a Thursday; Monday is 0 */

    return weekday >= 5;
}

/* The same, not at a weekend, where the log has such a day. */
static uint64_t next_working_day(const trace *t, uint64_t ts)
{
    uint64_t next = next_day(t, ts), day = next;

    while (is_weekend(day))
        day += DAY;
    return day < end_of_log(t) ? day : next;
}

static actor account_on(const actor *account, const actor *phone)
{
    actor both = *phone;

    memcpy(both.user, account->user, sizeof both.user);
    return both;
}

static void report(trace *t, const actor *a, emk_fraud_type type, uint64_t ts)
{
    emk_fraud_event ev;

    trace_begin(t, a, type, ts, &ev);
    ev.src = EMK_FRAUD_SRC_SDK;
    emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT, (int64_t)ts * EMK_FRAUD_MILLI);
    trace_put(t, &ev);
}

static void beat(trace *t, const actor *a, uint64_t ts)
{
    report(t, a, EMK_FRAUD_HEARTBEAT, ts);
}

/* Enrolment or attestation, with what the hardware says of itself. */
static void attest(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, const char *tuple)
{
    emk_fraud_event ev;

    trace_begin(t, a, type, ts, &ev);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ATT_TUPLE, emk_span_str(tuple));
    trace_put(t, &ev);
}

/* What the shop tells. */
static void pay(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, uint64_t card)
{
    emk_fraud_event ev;
    char text[32];

    trace_begin(t, a, type, ts, &ev);
    ev.src = EMK_FRAUD_SRC_BACKEND;
    snprintf(text, sizeof text, "card-%llu", (unsigned long long)card);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_PAYMENT, emk_span_str(text));
    trace_put(t, &ev);
}

/* A model ordered by a customer's backend for one of its users; the app then fetches it. */
static void order_for(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, uint64_t artifact)
{
    emk_fraud_event ev;
    char text[24];

    trace_begin(t, a, type, ts, &ev);
    ev.src = EMK_FRAUD_SRC_BACKEND;
    snprintf(text, sizeof text, "a-%llu", (unsigned long long)artifact);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(text));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_MODEL, emk_span_str("nekomimi"));
    if (type == EMK_FRAUD_GENERATE)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_COST,
                               (int64_t)trace_between(t, 15, 40) * EMK_FRAUD_MILLI);
    trace_put(t, &ev);
}

/* Fetches what is there already; returns when that ends. */
static uint64_t fetch(trace *t, const actor *a, uint64_t ts, uint64_t artifact, bool opens)
{
    unsigned n = (unsigned)artifact;

    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_START, ts, n, 0);
    ts += trace_between(t, 2 * SECOND, 30 * SECOND);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_END, ts, n, 0);
    if (!opens)
        return ts;
    ts += trace_between(t, SECOND / 2, MINUTE);
    trace_event_cost(t, a, EMK_FRAUD_OPEN, ts, n, 0);
    trace_event_cost(t, a, EMK_FRAUD_USE, ts + 5 * SECOND, n, 0);
    return ts + 5 * SECOND;
}

static uint64_t sit(trace *t, actor *a, uint64_t ts, const sitting *s)
{
    trace_new_session(t, a);
    trace_event(t, a, EMK_FRAUD_AUTH_OK, ts);
    beat(t, a, ts + SECOND);
    for (uint64_t i = 0; i < s->models; i++) {
        unsigned artifact = (unsigned)trace_between(t, s->first, s->last);
        bool opens = trace_chance(t, s->opens);

        ts += trace_between(t, s->gap_low, s->gap_high);
        ts = trace_use_model(t, a, ts, artifact, opens);
    }
    beat(t, a, ts + 30 * SECOND);
    return ts;
}

static void join_early(trace *t, const actor *a)
{
    uint64_t day = t->o->start_ms + trace_between(t, 0, 1) * DAY;

    trace_sign_up(t, a, day + trace_between(t, 0, 6 * HOUR_MS));
}

/* Days as the honest people have them: some models on some days, at times on the way. */
static void live(trace *t, actor *a, uint64_t from, uint64_t until, unsigned active)
{
    for (uint64_t day = midnight(t, from); day < until; day += DAY) {
        sitting s = PERSON;
        actor now = *a;

        if (!trace_chance(t, active))
            continue;
        s.models = trace_between(t, 1, 4);
        if (trace_chance(t, 20))
            trace_new_net(t, &now, "mobile");
        sit(t, &now, awake(t, day), &s);
    }
}

/* c01.  People with a paid plan rent their login out by the hour through a small market place; its
 * runner has one to three good phones on a shelf that customers steer from afar, so nothing is
 * rooted and attestation is right; better ones leave by a line in the owner's region.  Owners go on
 * using their accounts beside.  Customers want what is popular, and as much of it as their hour
 * allows. Would tell: a phone that works for several accounts, each of which has another phone at
 * home; use on it in blocks that begin on the hour and fill it. */
typedef struct market {
    actor owners[OWNERS_MAX], phones[SHELF_MAX];
    bool met[OWNERS_MAX][SHELF_MAX]; /* this account is on that phone */
    uint64_t n_owners, n_phones;
    bool near; /* the line follows the owner */
} market;

static void rent(trace *t, market *m, uint64_t who, uint64_t phone, uint64_t hour)
{
    const actor *owner = &m->owners[who];
    actor guest = account_on(owner, &m->phones[phone]);
    sitting s = {0, 45 * SECOND, 4 * MINUTE, 85, 1, POPULAR};
    uint64_t ts = hour + trace_between(t, MINUTE, 5 * MINUTE);

    s.models = trace_between(t, 6, 14);
    if (m->near) {
        guest.lat = owner->lat;
        guest.lon = owner->lon;
        trace_new_net(t, &guest, "isp");
    }
    if (!m->met[who][phone])
        trace_event(t, &guest, EMK_FRAUD_DEVICE_ENROLL, ts - 20 * SECOND);
    m->met[who][phone] = true;
    sit(t, &guest, ts, &s);
}

/* On the first day each account has an hour, so that each is what its label says. */
static void market_day(trace *t, market *m, uint64_t day, bool is_first)
{
    for (uint64_t slot = 0; slot < 16; slot++) {
        uint64_t other = m->n_owners; /* two do not have one account in the same hour */

        for (uint64_t phone = 0; phone < m->n_phones; phone++) {
            bool must = is_first && phone == 0 && slot < m->n_owners;
            uint64_t who = must ? slot : trace_between(t, 0, m->n_owners - 1);

            if (who == other || (!must && !trace_chance(t, 30)))
                continue;
            rent(t, m, who, phone, day + (8 + slot) * HOUR_MS);
            other = who;
        }
    }
}

static void hourly_mules(trace *t, uint64_t start)
{
    uint64_t from = next_day(t, start);
    market m = {.near = trace_chance(t, 60)};

    m.n_owners = trace_between(t, 3, OWNERS_MAX);
    m.n_phones = trace_between(t, 1, SHELF_MAX);
    for (uint64_t i = 0; i < m.n_phones; i++)
        m.phones[i] = trace_actor(t, "c");
    for (uint64_t i = 0; i < m.n_owners; i++) {
        m.owners[i] = trace_actor(t, "c");
        join_early(t, &m.owners[i]);
        live(t, &m.owners[i], t->o->start_ms + 2 * DAY, end_of_log(t), 35);
        trace_label(t, &m.owners[i], true, "c01_hourly_mules", from);
    }
    for (uint64_t day = from; day < end_of_log(t); day += DAY)
        market_day(t, &m, day, day == from);
}

/* c02.  A bot in a chat group sells models by the piece.  Orders wait in a queue; the account whose
 * turn it is makes the model on a rooted phone with a patched SDK that says what an SDK should say,
 * a script opens it to take it out, and it is deleted to have room.  Fewer orders at night, but
 * some. Would tell: reports that are too even (the same time from download to open, always), a
 * deletion soon after each, accounts that take turns, and nobody who ever sleeps. */
static void serve_order(trace *t, const actor *a, uint64_t ts)
{
    unsigned artifact = (unsigned)trace_between(t, 1, CATALOGUE);

    trace_event_cost(t, a, EMK_FRAUD_GENERATE, ts, artifact, (unsigned)trace_between(t, 15, 40));
    ts += trace_between(t, 2 * SECOND, 20 * SECOND);
    trace_event_cost(t, a, EMK_FRAUD_GRANT, ts, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_START, ts + 400, artifact, 0);
    ts += trace_between(t, 2100, 2400);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_END, ts, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_OPEN, ts + 1200, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_USE, ts + 6200, artifact, 0);
    ts += trace_between(t, 20 * SECOND, 90 * SECOND);
    trace_event_cost(t, a, EMK_FRAUD_DELETE, ts, artifact, 0);
}

static void order_bot(trace *t, uint64_t start)
{
    actor crew[5];
    uint64_t n = trace_between(t, 2, 5), from = next_day(t, start);
    uint64_t pause = trace_between(t, 15, 45) * MINUTE, turn = 0; /* between orders by day */

    for (uint64_t i = 0; i < n; i++) {
        crew[i] = trace_actor(t, "c");
        trace_sign_up(t, &crew[i], from + trace_between(t, 0, HOUR_MS));
        trace_label(t, &crew[i], true, "c02_order_bot", from);
        for (uint64_t ts = from + HOUR_MS; ts < end_of_log(t); ts += 6 * HOUR_MS) {
            trace_event(t, &crew[i], EMK_FRAUD_AUTH_OK, ts);
            beat(t, &crew[i], ts + SECOND);
        }
    }
    for (uint64_t ts = from + 2 * HOUR_MS; ts < end_of_log(t);) {
        uint64_t pieces = trace_between(t, 1, 3), hour = ts % DAY / HOUR_MS;

        for (uint64_t i = 0; i < pieces; i++)
            serve_order(t, &crew[turn], ts + i * 2 * MINUTE);
        turn = turn + 1 < n ? turn + 1 : 0;
        ts += trace_between(t, pause / 4, pause * 2) * (hour < 7 ? 3 : 1);
    }
}

/* c03.  Eight to twenty emulators with a leaked attestation key pass as phones; each has an account
 * of its own, a rented residential address per session and a few quiet days before it works.  A
 * list of work is cut in slices, so that none takes what another has.
 * Would tell: the same hardware tuple on accounts that share nothing else and joined within days;
 * an address that is never the same twice for somebody who never travels; slices that do not
 * overlap. */
static void farm_account(trace *t, uint64_t from, uint64_t slice, const char *tuple)
{
    actor a = trace_actor(t, "c");
    uint64_t warm = from + trace_between(t, 1, 3) * DAY, busy = trace_between(t, 1, 3);

    a.level = trace_chance(t, 70) ? 2 : 1;
    trace_event(t, &a, EMK_FRAUD_AUTH_OK, from + HOUR_MS);
    attest(t, &a, EMK_FRAUD_DEVICE_ENROLL, from + HOUR_MS + 9 * SECOND, tuple);
    trace_label(t, &a, true, "c03_quiet_emulators", from);
    for (uint64_t day = from; day < end_of_log(t); day += DAY) {
        uint64_t sittings = day < warm ? 1 : busy;

        for (uint64_t i = 0; i < sittings; i++) {
            sitting s = {0, 30 * SECOND, 6 * MINUTE, 92, slice + 1, slice + CATALOGUE / CREW_MAX};
            uint64_t ts = awake(t, day);

            s.models = day < warm ? trace_between(t, 1, 2) : trace_between(t, 3, 9);
            trace_new_net(t, &a, "isp");
            a.lat += (int)trace_between(t, 0, 200) - 100; /* another end of the same town */
            attest(t, &a, EMK_FRAUD_DEVICE_ATTEST, ts - SECOND, tuple);
            sit(t, &a, ts, &s);
        }
    }
}

static void quiet_emulators(trace *t, uint64_t start)
{
    uint64_t n = trace_between(t, 8, CREW_MAX), images = trace_between(t, 1, 3);
    uint64_t key = trace_random(t) & UINT32_MAX;

    for (uint64_t i = 0; i < n; i++) {
        char tuple[40];

        snprintf(tuple, sizeof tuple, "t-%llx-%llu", (unsigned long long)key,
                 (unsigned long long)(i % images));
        farm_account(t, some_day(t, next_day(t, start), 3), i * (CATALOGUE / CREW_MAX), tuple);
    }
}

/* c04.  A club pays for one plan.  Somebody took the key out of a phone and gave it to all; a small
 * server of theirs hands the counters out, so that they seldom fork (those without it are caught
 * sooner or later).  One makes the day's models, the others lease and fetch the same ones at home.
 * Would tell: one device key in several towns within minutes of each other, and more downloads of
 * an artifact than one phone has use for. */
static void club_day(trace *t, const actor *members, uint64_t n, uint64_t day, bool relay)
{
    uint64_t today[TODAY_MAX], n_today = trace_between(t, 2, TODAY_MAX);
    uint64_t made = day + trace_between(t, 7 * HOUR_MS, 10 * HOUR_MS);

    trace_event(t, &members[0], EMK_FRAUD_AUTH_OK, made);
    beat(t, &members[0], made + SECOND);
    for (uint64_t i = 0; i < n_today; i++) {
        today[i] = trace_between(t, 1, CATALOGUE);
        made += trace_between(t, 20 * SECOND, 10 * MINUTE);
        made = trace_use_model(t, &members[0], made, (unsigned)today[i], true);
    }
    for (uint64_t m = 1; m < n; m++) {
        uint64_t ts = made + trace_between(t, 5 * MINUTE, 11 * HOUR_MS);

        if (!trace_chance(t, 60))
            continue;
        trace_event(t, &members[m], EMK_FRAUD_AUTH_OK, ts);
        beat(t, &members[m], ts + SECOND);
        if (!relay && trace_chance(t, 4))
            trace_event(t, &members[m], EMK_FRAUD_COUNTER_FORK, ts + 2 * SECOND);
        for (uint64_t i = 0; i < n_today; i++) {
            ts += trace_between(t, 10 * SECOND, 5 * MINUTE);
            trace_event_cost(t, &members[m], EMK_FRAUD_LEASE, ts, (unsigned)today[i], 0);
            ts = fetch(t, &members[m], ts + SECOND, today[i], true);
        }
    }
}

static void key_club(trace *t, uint64_t start)
{
    actor members[10];
    uint64_t n = trace_between(t, 4, 10), from = next_day(t, start);
    bool relay = trace_chance(t, 75);

    members[0] = trace_actor(t, "c");
    join_early(t, &members[0]);
    live(t, &members[0], t->o->start_ms + 2 * DAY, from, 40);
    for (uint64_t i = 1; i < n; i++) {
        members[i] = members[0];
        trace_new_net(t, &members[i], trace_chance(t, 40) ? "mobile" : "isp");
        trace_new_session(t, &members[i]);
        members[i].lat += (int)trace_between(t, 0, 2000) - 1000; /* a hundred kilometres */
        members[i].lon += (int)trace_between(t, 0, 2000) - 1000;
    }
    for (uint64_t day = from; day < end_of_log(t); day += DAY)
        club_day(t, members, n, day, relay);
    trace_label(t, &members[0], true, "c04_key_club", from);
}

/* c05.  Somebody with the keys of a business customer's backend makes a few test users, orders
 * models for them in office hours and late in the evening, and fetches them at home on two spare
 * phones.  His employer pays; he sells them on.
 * Would tell: users that were never seen in the app before something was ordered for them, several
 * of them on one phone at one home address, and orders that no session of theirs stands behind. */
static void insider_day(trace *t, const actor *at_home, const actor *backend, uint64_t day)
{
    bool late = trace_chance(t, 40);
    uint64_t ts = day + (late ? 21 * HOUR_MS : 9 * HOUR_MS), n = trace_between(t, 4, 15);
    uint64_t evening = day + 22 * HOUR_MS, list[15];

    ts += trace_between(t, 0, HOUR_MS / 2);
    for (uint64_t i = 0; i < n; i++) {
        list[i] = trace_between(t, 1, CATALOGUE);
        order_for(t, backend, EMK_FRAUD_GENERATE, ts, list[i]);
        ts += trace_between(t, 5 * SECOND, MINUTE);
        order_for(t, backend, EMK_FRAUD_GRANT, ts, list[i]);
    }
    evening += trace_between(t, 0, HOUR_MS);
    trace_event(t, at_home, EMK_FRAUD_AUTH_OK, evening);
    beat(t, at_home, evening + SECOND);
    for (uint64_t i = 0; i < n; i++) {
        bool opens = trace_chance(t, 90);

        evening = fetch(t, at_home, evening + 3 * SECOND, list[i], opens);
    }
}

static void insider(trace *t, uint64_t start)
{
    actor home = trace_actor(t, "c"), office = home, phones[2] = {home, home};
    uint64_t n = trace_between(t, 3, 6), from = next_working_day(t, start);

    trace_new_device(t, &phones[1]);
    trace_new_net(t, &office, "business");
    office.device[0] = office.session[0] = 0;
    office.level = -1; /* a server */
    for (uint64_t i = 0; i < n; i++) {
        actor user, backend = office;

        trace_new_user(t, &backend);
        user = account_on(&backend, &phones[i % 2]);
        trace_event(t, &user, EMK_FRAUD_DEVICE_ENROLL, from + trace_between(t, 0, 6 * HOUR_MS));
        for (uint64_t day = from; day < end_of_log(t); day += DAY) {
            if (day == from || (!is_weekend(day) && trace_chance(t, 60)))
                insider_day(t, &user, &backend, day);
        }
        trace_label(t, &user, true, "c05_backend_insider", from);
    }
}

/* c06.  A forum tells how: buy a month, take what you want for some days, have the money back with
 * one of the stories that work; some go to their bank instead.  All use phones of their own and
 * look like eager new customers; a few do it again with another address and the same card. Would
 * tell: refunds after most of a month's worth was taken in days; cards and phones that come back
 * after a refund; use that stops on the day of it. */
static void refund_round(trace *t, actor *a, uint64_t day, uint64_t card)
{
    uint64_t days = trace_between(t, 2, 4), ts = day + trace_between(t, 8 * HOUR_MS, 12 * HOUR_MS);
    emk_fraud_type back = trace_chance(t, 75) ? EMK_FRAUD_REFUND : EMK_FRAUD_CHARGEBACK;

    trace_sign_up(t, a, ts);
    pay(t, a, EMK_FRAUD_PURCHASE, ts + MINUTE, card);
    trace_label(t, a, true, "c06_refund_forum", day);
    for (uint64_t i = 0; i < days; i++) {
        sitting s = {0, 30 * SECOND, 8 * MINUTE, 96, 1, CATALOGUE};

        s.models = trace_between(t, 6, 25);
        sit(t, a, ts + 5 * MINUTE + i * DAY, &s);
    }
    ts = day + days * DAY + trace_between(t, 9 * HOUR_MS, 20 * HOUR_MS);
    pay(t, a, back, back == EMK_FRAUD_REFUND ? ts : ts + DAY, card);
}

static void refund_forum(trace *t, uint64_t start)
{
    uint64_t n = trace_between(t, 4, 10);

    for (uint64_t i = 0; i < n; i++) {
        actor a = trace_actor(t, "c");
        uint64_t card = trace_random(t) & UINT32_MAX, day = some_day(t, next_day(t, start), 4);
        bool again = trace_chance(t, 35);

        refund_round(t, &a, day, card);
        day += 5 * DAY;
        if (!again || day >= end_of_log(t))
            continue;
        trace_new_user(t, &a);
        if (trace_chance(t, 50))
            trace_new_device(t, &a); /* reset */
        refund_round(t, &a, day, card);
    }
}

/* c07.  Aged accounts are cheap: opened by others weeks ago, logged into now and then, never used.
 * One person begins a trial with each, on a phone that is reset in between, with a virtual card per
 * trial, and goes on to the next when it ends.  At home, mostly on the same line.
 * Would tell: sleeping accounts that wake on a new phone with a trial at once, one after the other,
 * each beginning where the last one falls silent, from one line and one place. */
static actor aged_account(trace *t, uint64_t turn)
{
    actor seller = trace_actor(t, "c");

    join_early(t, &seller);
    for (uint64_t day = t->o->start_ms + 2 * DAY; day < turn; day += DAY) {
        if (trace_chance(t, 25))
            trace_event(t, &seller, EMK_FRAUD_AUTH_OK, awake(t, day));
    }
    return seller;
}

static void aged_trials(trace *t, uint64_t start)
{
    actor home = trace_actor(t, "c");
    uint64_t turn = next_day(t, start), left = trace_between(t, 3, 7);

    while (left-- > 0 && turn < end_of_log(t)) {
        actor account = aged_account(t, turn), a;
        uint64_t days = trace_between(t, 1, 3), ts = turn + trace_between(t, 9, 13) * HOUR_MS;

        trace_new_device(t, &home);
        a = account_on(&account, &home);
        if (trace_chance(t, 25))
            trace_new_net(t, &a, "mobile");
        trace_sign_up(t, &a, ts);
        pay(t, &a, EMK_FRAUD_TRIAL, ts + MINUTE, trace_random(t) & UINT32_MAX);
        for (uint64_t i = 0; i < days; i++) {
            sitting s = {0, 20 * SECOND, 7 * MINUTE, 90, 1, CATALOGUE};

            s.models = trace_between(t, 10, 30);
            sit(t, &a, ts + 2 * MINUTE + i * DAY, &s);
        }
        trace_label(t, &a, true, "c07_aged_trials", turn);
        turn += days * DAY;
    }
}

/* c08.  A competitor wants the catalogue.  Three to eight of its people have paid plans and take
 * their share of a shuffled list in the breaks of working days, never near a limit, some from the
 * office and some from home, over two weeks or as long as the log is.  A harness opens each once.
 * Would tell: nobody ever takes a model twice, no two of them take the same one, and numbers per
 * day vary less than those of people. */
static void mirror_day(trace *t, actor *a, uint64_t day, uint64_t *next, uint64_t quota)
{
    uint64_t ts = day + trace_between(t, 9 * HOUR_MS, 10 * HOUR_MS);
    uint64_t n = quota + trace_between(t, 0, 4);

    trace_new_session(t, a);
    trace_event(t, a, EMK_FRAUD_AUTH_OK, ts);
    for (uint64_t i = 0; i < n; i++) {
        /* 1999 has no divisor in common with the catalogue: each model comes once */
        unsigned artifact = (unsigned)((*next)++ * 1999 % CATALOGUE) + 1;

        ts += trace_between(t, 2 * MINUTE, 20 * MINUTE);
        ts = trace_use_model(t, a, ts, artifact, true);
        if (i % 5 == 0)
            beat(t, a, ts + 30 * SECOND);
    }
}

static void patient_mirror(trace *t, uint64_t start)
{
    actor office = trace_actor(t, "c");
    uint64_t n = trace_between(t, 3, 8), from = next_working_day(t, start), next = 0;
    uint64_t quota = trace_between(t, 12, 30);

    trace_new_net(t, &office, "business");
    for (uint64_t i = 0; i < n; i++) {
        actor a = trace_actor(t, "c");

        if (trace_chance(t, 50)) {
            a.net_kind = office.net_kind;
            a.asn = office.asn;
            memcpy(a.net, office.net, sizeof a.net);
        }
        a.lat = office.lat; /* one town */
        a.lon = office.lon;
        trace_sign_up(t, &a, from + trace_between(t, 7 * HOUR_MS, 8 * HOUR_MS));
        trace_label(t, &a, true, "c08_patient_mirror", from);
        for (uint64_t day = from; day < end_of_log(t); day += DAY) {
            if (day == from || !is_weekend(day))
                mirror_day(t, &a, day, &next, quota);
        }
    }
}

/* c09.  A customer of some days stores up: more each evening, opened less and less, with heartbeats
 * as they should be.  Then the phone's reports are blocked at the router, and only leases are asked
 * for, a handful a day, so that all of it lives on and can be shown and copied at leisure.
 * Would tell: leases from a device that reports nothing any more, for models it never opened; a
 * store that grows faster than anybody uses it. */
static void store_up(trace *t, actor *a, uint64_t ts, unsigned *store, uint64_t n, unsigned opens)
{
    trace_new_session(t, a);
    trace_event(t, a, EMK_FRAUD_AUTH_OK, ts);
    beat(t, a, ts + SECOND);
    for (uint64_t i = 0; i < n; i++) {
        bool look = trace_chance(t, opens);

        store[i] = (unsigned)trace_between(t, 1, POPULAR);
        ts += trace_between(t, 30 * SECOND, 5 * MINUTE);
        ts = trace_use_model(t, a, ts, store[i], look);
    }
    beat(t, a, ts + 30 * SECOND);
}

static void keep_alive(trace *t, actor *a, uint64_t ts, const unsigned *store, uint64_t n)
{
    trace_new_session(t, a);
    trace_event(t, a, EMK_FRAUD_AUTH_OK, ts);
    for (uint64_t i = 0; i < n; i++) {
        ts += trace_between(t, SECOND, 10 * SECOND);
        trace_event_cost(t, a, EMK_FRAUD_LEASE, ts, store[i], 0);
    }
}

static void hoarder(trace *t, uint64_t start)
{
    actor a = trace_actor(t, "c");
    uint64_t from = next_day(t, start), days = trace_between(t, 2, EVENINGS_MAX), n_store = 0;
    uint64_t each = trace_between(t, 10, EVENING_MAX), keeps = trace_between(t, 5, 14);
    unsigned store[EVENINGS_MAX * EVENING_MAX];
    bool gaps = trace_chance(t, 30); /* some reports still come through, others are missing */

    join_early(t, &a);
    live(t, &a, t->o->start_ms + 2 * DAY, from, 60);
    for (uint64_t i = 0; i < days; i++, n_store += each) {
        uint64_t ts = from + i * DAY + trace_between(t, 16 * HOUR_MS, 20 * HOUR_MS);

        store_up(t, &a, ts, store + n_store, each, 70u >> i);
    }
    for (uint64_t day = from + days * DAY; day < end_of_log(t); day += DAY) {
        uint64_t at = trace_between(t, 0, n_store - keeps), ts = awake(t, day);

        keep_alive(t, &a, ts, store + at, keeps);
        if (gaps && trace_chance(t, 50))
            trace_event(t, &a, EMK_FRAUD_GAP, ts + 10 * MINUTE);
    }
    trace_label(t, &a, true, "c09_store_and_go_dark", from);
}

/* c10.  Logins from a leak of another site.  Those that fit are used slowly: a phone of the thief's
 * is added from an address in the owner's region, takes the owner's own models and makes a few of
 * its own, at night or while the owner is at work.  The owner goes on and notices nothing.
 * Would tell: failed logins from elsewhere before a new phone; a second phone that never shares an
 * address with the first one; models fetched again that the owner has on his phone. */
static void thief_day(trace *t, actor *thief, uint64_t day, const uint64_t *owned, uint64_t n)
{
    uint64_t ts = day + (trace_chance(t, 60) ? HOUR_MS : 10 * HOUR_MS);
    uint64_t makes = trace_between(t, 1, 5);

    ts += trace_between(t, 0, 4 * HOUR_MS);
    trace_new_session(t, thief);
    trace_event(t, thief, EMK_FRAUD_AUTH_OK, ts);
    beat(t, thief, ts + SECOND);
    for (uint64_t i = 0; i < n; i++) {
        ts += trace_between(t, 20 * SECOND, 3 * MINUTE);
        trace_event_cost(t, thief, EMK_FRAUD_GRANT, ts, (unsigned)owned[i], 0);
        ts = fetch(t, thief, ts + SECOND / 2, owned[i], true);
    }
    for (uint64_t i = 0; i < makes; i++) {
        unsigned artifact = (unsigned)trace_between(t, 1, CATALOGUE);

        ts += trace_between(t, 30 * SECOND, 10 * MINUTE);
        ts = trace_use_model(t, thief, ts, artifact, true);
    }
    beat(t, thief, ts + 30 * SECOND);
}

static void lodger(trace *t, uint64_t start)
{
    actor owner = trace_actor(t, "c"), phone = trace_actor(t, "c"), thief;
    uint64_t from = next_day(t, start), guesses = trace_between(t, 0, 3), owned[TODAY_MAX];

    join_early(t, &owner);
    live(t, &owner, t->o->start_ms + 2 * DAY, end_of_log(t), 50);
    for (uint64_t i = 0; i < TODAY_MAX; i++) {
        owned[i] = trace_between(t, 1, POPULAR);
        trace_use_model(t, &owner, awake(t, t->o->start_ms + DAY), (unsigned)owned[i], true);
    }
    phone.lat = owner.lat + (int)trace_between(t, 0, 1000) - 500;
    phone.lon = owner.lon + (int)trace_between(t, 0, 1000) - 500;
    thief = account_on(&owner, &phone);
    for (uint64_t i = 0; i < guesses; i++) {
        actor elsewhere = thief;

        trace_new_net(t, &elsewhere, "hosting");
        elsewhere.device[0] = 0;
        elsewhere.level = -1; /* a script */
        elsewhere.lon += 20000;
        trace_event(t, &elsewhere, EMK_FRAUD_AUTH_FAIL, from - trace_between(t, 1, 24) * HOUR_MS);
    }
    trace_sign_up(t, &thief, from + trace_between(t, 0, HOUR_MS / 2));
    for (uint64_t day = from; day < end_of_log(t); day += DAY) {
        uint64_t again = trace_between(t, 0, 2);

        if (day == from || trace_chance(t, 70))
            thief_day(t, &thief, day, owned + 2 * again, day == from ? 2 : again);
    }
    trace_label(t, &owner, true, "c10_lodger", from);
}

/* Honest: a teacher gets a set of like tablets, enrols them in one morning, and two classes share
 * them.  The school's backend orders the same few models for all; they are fetched and opened
 * together when the lesson begins.  Nothing at weekends. */
static void lesson(trace *t, const actor *pupils, uint64_t n, uint64_t ts)
{
    uint64_t list[3], n_list = trace_between(t, 1, 3);

    for (uint64_t k = 0; k < n_list; k++)
        list[k] = trace_between(t, 1, CATALOGUE);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t sits = ts + trace_between(t, 0, 4 * MINUTE);

        if (trace_chance(t, 8)) /* ill */
            continue;
        trace_event(t, &pupils[i], EMK_FRAUD_AUTH_OK, sits);
        beat(t, &pupils[i], sits + SECOND);
        for (uint64_t k = 0; k < n_list; k++) {
            order_for(t, &pupils[i], EMK_FRAUD_GENERATE, ts - HOUR_MS + i * SECOND, list[k]);
            order_for(t, &pupils[i], EMK_FRAUD_GRANT, ts - HOUR_MS / 2 + i * SECOND, list[k]);
            sits = fetch(t, &pupils[i], sits + 10 * SECOND, list[k], true);
        }
        beat(t, &pupils[i], sits + 20 * MINUTE);
    }
}

static void honest_class_set(trace *t, uint64_t start)
{
    actor pupils[2][CREW_MAX], tablet = trace_actor(t, "c");
    uint64_t n = trace_between(t, 8, CREW_MAX), from = next_day(t, start);

    trace_new_net(t, &tablet, "education");
    for (uint64_t i = 0; i < n; i++) {
        trace_new_device(t, &tablet);
        for (size_t group = 0; group < 2; group++) {
            uint64_t ts = from + 8 * HOUR_MS + i * 2 * MINUTE + group * MINUTE;

            trace_new_user(t, &tablet);
            trace_new_session(t, &tablet);
            pupils[group][i] = tablet;
            trace_event(t, &tablet, EMK_FRAUD_AUTH_OK, ts);
            attest(t, &tablet, EMK_FRAUD_DEVICE_ENROLL, ts + 3 * SECOND, "t-class-tablet");
            trace_label(t, &tablet, false, "honest_class_set", t->o->start_ms);
        }
    }
    for (uint64_t day = from; day < end_of_log(t); day += DAY) {
        for (size_t group = 0; group < 2; group++) {
            if (!is_weekend(day) && trace_chance(t, 50))
                lesson(t, pupils[group], n, day + (10 + 2 * group) * HOUR_MS);
        }
    }
}

/* Honest: a developer of the app tries each day's build: installs it on test phones and in an
 * emulator (each time a new device), makes the same few models, deletes them, buys and has it
 * refunded to try the shop, with a debugger now and then, and builds that do not work. */
static void try_build(trace *t, actor *a, uint64_t ts, uint64_t card)
{
    uint64_t n = trace_between(t, 2, 6);

    trace_new_device(t, a);
    trace_new_session(t, a);
    a->is_virtual = trace_chance(t, 40);
    a->level = a->is_virtual ? 0 : 2;
    a->app_ok = !trace_chance(t, 30); /* signed with the key for tests */
    trace_sign_up(t, a, ts);
    beat(t, a, ts + 10 * SECOND);
    if (trace_chance(t, 15))
        report(t, a, EMK_FRAUD_TAMPER, ts + 20 * SECOND); /* a debugger */
    if (trace_chance(t, 20)) {
        pay(t, a, EMK_FRAUD_PURCHASE, ts + MINUTE, card);
        pay(t, a, EMK_FRAUD_REFUND, ts + HOUR_MS, card);
    }
    for (uint64_t i = 0; i < n; i++) {
        unsigned artifact = (unsigned)trace_between(t, 1, 5);
        bool works = trace_chance(t, 85);

        ts += trace_between(t, 20 * SECOND, 10 * MINUTE);
        ts = trace_use_model(t, a, ts, artifact, works);
        if (!works)
            trace_event_cost(t, a, EMK_FRAUD_OPEN_FAIL, ts + SECOND, artifact, 0);
        trace_event_cost(t, a, EMK_FRAUD_DELETE, ts + MINUTE, artifact, 0);
    }
}

static void honest_build_tester(trace *t, uint64_t start)
{
    actor a = trace_actor(t, "c");
    uint64_t card = trace_random(t) & UINT32_MAX, build = trace_between(t, 430, 900);
    uint64_t from = next_day(t, start);

    trace_new_net(t, &a, "business");
    for (uint64_t day = from; day < end_of_log(t); day += DAY) {
        uint64_t installs = trace_between(t, 1, 3);

        if (is_weekend(day) && day != from)
            continue;
        snprintf(a.build, sizeof a.build, "b-%llu", (unsigned long long)build++);
        for (uint64_t i = 0; i < installs; i++)
            try_build(t, &a, day + (9 + 3 * i) * HOUR_MS + trace_between(t, 0, HOUR_MS), card);
    }
    trace_label(t, &a, false, "honest_build_tester", t->o->start_ms);
}

/* Honest: one who uses the app a lot goes on holiday: stores up the evening before, for a new
 * tablet too, is silent for a day, then in hotels and on foreign mobiles, opens what was stored at
 * strange hours, reports late, and makes more there.  Then home again, if the log is long enough.
 */
static void on_holiday(trace *t, actor *a, uint64_t day, const uint64_t *stored, uint64_t n)
{
    sitting s = PERSON;
    uint64_t ts = day + trace_between(t, 0, 20 * HOUR_MS), end;

    trace_new_net(t, a, trace_chance(t, 50) ? "mobile" : "isp");
    s.models = trace_between(t, 1, 8);
    end = sit(t, a, ts, &s);
    for (uint64_t i = 0; i < 4; i++) {
        unsigned artifact = (unsigned)stored[trace_between(t, 0, n - 1)];

        end += trace_between(t, MINUTE, 10 * MINUTE);
        trace_event_cost(t, a, EMK_FRAUD_OPEN, end, artifact, 0);
        trace_event_cost(t, a, EMK_FRAUD_USE, end + 5 * SECOND, artifact, 0);
    }
    if (trace_chance(t, 40))
        trace_event(t, a, EMK_FRAUD_GAP, end + MINUTE);
}

static void honest_holiday(trace *t, uint64_t start)
{
    actor a = trace_actor(t, "c"), away;
    uint64_t eve = next_day(t, start), ts = eve + 19 * HOUR_MS;
    uint64_t back = eve + trace_between(t, 4, 8) * DAY;
    uint64_t stored[CREW_MAX], n = trace_between(t, 10, CREW_MAX);
    uint64_t card = trace_random(t) & UINT32_MAX;

    join_early(t, &a);
    if (trace_chance(t, 50))
        pay(t, &a, EMK_FRAUD_TRIAL, t->o->start_ms + DAY + 8 * HOUR_MS, card);
    pay(t, &a, EMK_FRAUD_PURCHASE, t->o->start_ms + DAY + 10 * HOUR_MS, card);
    live(t, &a, t->o->start_ms + 2 * DAY, eve, 95);
    away = a;
    if (trace_chance(t, 50)) {
        trace_new_device(t, &away);
        trace_event(t, &away, EMK_FRAUD_DEVICE_ENROLL, ts - MINUTE);
    }
    trace_event(t, &away, EMK_FRAUD_AUTH_OK, ts);
    beat(t, &away, ts + SECOND);
    for (uint64_t i = 0; i < n; i++) {
        stored[i] = trace_between(t, 1, CATALOGUE);
        ts += trace_between(t, 20 * SECOND, 3 * MINUTE);
        ts = trace_use_model(t, &away, ts, (unsigned)stored[i], false);
    }
    away.lon += (int)trace_between(t, 20000, 90000);
    for (uint64_t day = eve + 2 * DAY; day < back && day < end_of_log(t); day += DAY)
        on_holiday(t, &away, day, stored, n);
    live(t, &a, back, end_of_log(t), 95);
    trace_label(t, &a, false, "honest_holiday", t->o->start_ms);
}

const trace_attack TRACE_BLIND2[] = {
    hourly_mules,     order_bot,           quiet_emulators, key_club, insider,
    refund_forum,     aged_trials,         patient_mirror,  hoarder,  lodger,
    honest_class_set, honest_build_tester, honest_holiday,  NULL};
