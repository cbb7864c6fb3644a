/* Attack families by somebody who had read the attack catalogue and the schema of events, and
 * neither the rules nor their thresholds nor any figure measured with them.  They were run once,
 * as they are; no range was changed by what came out, and whoever changes a rule after looking at
 * their figures can no longer call them blind.  The catalogue names signals for its rows, and a few
 * counts: so much was known.
 *
 * Each says what its attacker wants, and in what time.  Who does not know thresholds cannot stay
 * below them: adaptive makes no difference here.  Labels carry the time the misuse begins, which
 * for accounts with a past is not their first event. */
#include "server/fraud/trace_internal.h"

#include <stdio.h>

#define SECOND    UINT64_C(1000)
#define CATALOGUE 5000u /* artifacts there are, as for people who mean well */
#define LIST      1000u /* of those, how many one attacker works through */

/* A list of models somebody wants, handed out in an order that does not look like one. */
typedef struct wanted {
    unsigned first, taken;
} wanted;

static wanted wanted_list(trace *t)
{
    return (wanted){.first = (unsigned)trace_between(t, 1, CATALOGUE - LIST)};
}

static unsigned next_artifact(trace *t, wanted *w)
{
    if (!w)
        return (unsigned)trace_between(t, 1, CATALOGUE);
    return w->first + w->taken++ * 37u % LIST; /* no common divisor: each of them once */
}

static uint64_t midnight(const trace *t, uint64_t ts)
{
    return ts - (ts - t->o->start_ms) % DAY;
}

/* When somebody takes up a phone, on the day-th day after ts: at noon or in the evening. */
static uint64_t awake(trace *t, uint64_t ts, unsigned day)
{
    uint64_t day_start = midnight(t, ts) + (1 + day) * DAY;

    if (trace_chance(t, 35))
        return day_start + trace_between(t, 11 * HOUR_MS, 14 * HOUR_MS);
    return day_start + trace_between(t, 17 * HOUR_MS, 22 * HOUR_MS);
}

static uint64_t a_while(trace *t)
{
    if (trace_chance(t, 70))
        return trace_between(t, 20 * SECOND, 4 * MINUTE);
    return trace_between(t, 4 * MINUTE, 40 * MINUTE);
}

/* One more model, after a while.  Drawn one after the other everywhere here: in which order a
 * call's arguments are drawn is the compiler's choice. */
static uint64_t one_more(trace *t, const actor *a, uint64_t ts, wanted *w, bool opens)
{
    unsigned artifact = next_artifact(t, w);

    return trace_use_model(t, a, ts + a_while(t), artifact, opens);
}

static void heartbeat(trace *t, const actor *a, uint64_t ts, uint64_t behind)
{
    emk_fraud_event ev;

    trace_begin(t, a, EMK_FRAUD_HEARTBEAT, ts, &ev);
    ev.src = EMK_FRAUD_SRC_SDK;
    emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT, (int64_t)(ts - behind) * EMK_FRAUD_MILLI);
    trace_put(t, &ev);
}

/* Somebody sits down with the app: models from the list, or any where w is NULL. */
static uint64_t visit(trace *t, actor *a, uint64_t ts, uint64_t models, wanted *w)
{
    trace_new_session(t, a);
    trace_event(t, a, EMK_FRAUD_AUTH_OK, ts);
    heartbeat(t, a, ts + SECOND, 0);
    for (uint64_t i = 0; i < models; i++)
        ts = one_more(t, a, ts, w, true);
    heartbeat(t, a, ts + 30 * SECOND, 0);
    return ts;
}

/* The past of an account: a person's use from the log's first day until ts. */
static void past(trace *t, actor *a, uint64_t ts)
{
    uint64_t days = (ts - t->o->start_ms) / DAY;

    trace_sign_up(t, a, t->o->start_ms + trace_between(t, 0, 6 * HOUR_MS));
    for (unsigned day = 0; day + 1 < days; day++) {
        if (trace_chance(t, 50)) {
            uint64_t models = trace_between(t, 1, 3);

            visit(t, a, awake(t, t->o->start_ms, day), models, NULL);
        }
    }
}

/* 1: one list, shared out among many cheap phones with one account each, all of which keep the
 * hours of a person.  Wants 300 to 700 different models in five days. */
static void many_hands(trace *t, uint64_t ts)
{
    uint64_t hands = trace_between(t, 25, 60);
    unsigned eager = (unsigned)trace_between(t, 60, 90);
    wanted w = wanted_list(t);

    for (uint64_t i = 0; i < hands; i++) {
        actor a = trace_actor(t, "hand");

        trace_sign_up(t, &a, ts + trace_between(t, 0, 20 * HOUR_MS));
        trace_label(t, &a, true, "b01_many_hands", ts);
        for (unsigned day = 0; day < 5; day++) {
            if (trace_chance(t, eager)) {
                uint64_t models = trace_between(t, 1, 4);

                visit(t, &a, awake(t, ts, day), models, &w);
            }
        }
    }
}

/* 2: an account is taken over from its owner's own city.  The thief's phone uses little for some
 * days, beside the owner's; then the owner's is revoked and all is fetched again.  Wants the 25 to
 * 70 models of the account within two days of that. */
static void slow_takeover(trace *t, uint64_t ts)
{
    actor owner = trace_actor(t, "owner"), thief;
    unsigned quiet = (unsigned)trace_between(t, 2, 3);
    uint64_t library = trace_between(t, 25, 70), got = 0, at, end;

    past(t, &owner, ts);
    thief = owner;
    trace_new_device(t, &thief);
    trace_new_net(t, &thief, "mobile");
    thief.asn = owner.asn;
    trace_label(t, &owner, true, "b02_slow_takeover", ts);
    trace_event(t, &thief, EMK_FRAUD_AUTH_OK, ts);
    trace_event(t, &thief, EMK_FRAUD_DEVICE_ENROLL, ts + MINUTE);
    for (unsigned day = 0; day < quiet; day++) {
        visit(t, &thief, awake(t, ts, day), 1, NULL);
        if (trace_chance(t, 50)) {
            uint64_t models = trace_between(t, 1, 2);

            visit(t, &owner, awake(t, ts, day), models, NULL);
        }
    }
    at = awake(t, ts, quiet);
    end = at + 2 * DAY;
    trace_event(t, &owner, EMK_FRAUD_DEVICE_REVOKE, at);
    while (got < library && at < end) {
        uint64_t some = trace_between(t, 6, 14);

        visit(t, &thief, at + MINUTE, some, NULL);
        got += some;
        at += trace_between(t, 3 * HOUR_MS, 9 * HOUR_MS);
    }
}

static void lease(trace *t, const actor *a, uint64_t ts, unsigned artifact)
{
    trace_event_cost(t, a, EMK_FRAUD_LEASE, ts, artifact, 0);
}

/* A model opened by a phone whose clock is behind. */
static void open_behind(trace *t, const actor *a, uint64_t ts, unsigned artifact, uint64_t behind)
{
    emk_fraud_event ev;
    char text[24];

    trace_begin(t, a, EMK_FRAUD_OPEN, ts, &ev);
    ev.src = EMK_FRAUD_SRC_SDK;
    snprintf(text, sizeof text, "a-%u", artifact);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(text));
    emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT, (int64_t)(ts - behind) * EMK_FRAUD_MILLI);
    trace_put(t, &ev);
}

/* 3: pays for a day, leases all he can on two phones, and sets their clocks back a little further
 * each time they are switched on without a network.  Comes back once or twice a day, renews a few
 * and opens the rest.  Wants 12 to 30 models open for six days. */
static void lease_clock(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "lease");
    uint64_t models = trace_between(t, 12, 30), step = trace_between(t, MINUTE, 20 * MINUTE);
    unsigned first = (unsigned)trace_between(t, 1, CATALOGUE - LIST);

    past(t, &a, ts);
    trace_event(t, &a, EMK_FRAUD_PURCHASE, ts);
    trace_label(t, &a, true, "b03_lease_clock", ts);
    for (unsigned phone = 0; phone < 2; phone++) {
        uint64_t at = ts + trace_between(t, HOUR_MS, 3 * HOUR_MS), behind = 0;

        if (phone == 1) {
            trace_new_device(t, &a);
            trace_event(t, &a, EMK_FRAUD_DEVICE_ENROLL, at - 5 * MINUTE);
        }
        for (unsigned i = 0; i < models; i++)
            lease(t, &a, at += a_while(t), first + i);
        while (at < ts + 6 * DAY) {
            at += trace_between(t, 11 * HOUR_MS, 25 * HOUR_MS);
            behind += step;
            heartbeat(t, &a, at, behind);
            if (trace_chance(t, 50)) /* what it did meanwhile is left out */
                trace_event(t, &a, EMK_FRAUD_GAP, at + SECOND);
            for (unsigned i = 0; i < models; i++) {
                if (trace_chance(t, 25))
                    lease(t, &a, at + i * (20 * SECOND), first + i);
                open_behind(t, &a, at + i * (20 * SECOND) + SECOND, first + i, behind);
            }
        }
    }
}

/* 4: one paid account for four to seven people around the world, hardly ever two of them at once,
 * all through the owner's router at home.  Wants each of them to have two to four models every day.
 */
static void around_the_clock(trace *t, uint64_t ts)
{
    actor owner = trace_actor(t, "ring"), who[7];
    uint64_t people = trace_between(t, 4, 7), slot = DAY / people;

    past(t, &owner, ts);
    trace_event(t, &owner, EMK_FRAUD_PURCHASE, ts);
    trace_label(t, &owner, true, "b04_around_the_clock", ts);
    for (uint64_t i = 0; i < people; i++) {
        who[i] = owner;
        if (i == 0)
            continue;
        trace_new_device(t, &who[i]); /* one friend more every half day */
        trace_event(t, &who[i], EMK_FRAUD_DEVICE_ENROLL, ts + i * DAY / 2);
    }
    for (unsigned day = 0; day < 6; day++) {
        for (uint64_t i = 0; i < people; i++) {
            uint64_t at = midnight(t, ts) + (1 + day) * DAY + i * slot;

            if (at > ts + i * DAY / 2 + HOUR_MS && trace_chance(t, 85)) {
                uint64_t models = trace_between(t, 2, 4);

                visit(t, &who[i], at + trace_between(t, 0, slot / 2), models, NULL);
            }
        }
    }
}

/* Honest people in the same net, who must not pay for it. */
static void bystanders(trace *t, const actor *net, uint64_t n, const char *by)
{
    for (uint64_t i = 0; i < n; i++) {
        actor a = trace_actor(t, "bystander");

        memcpy(a.net, net->net, sizeof a.net);
        a.net_kind = net->net_kind;
        a.asn = net->asn;
        a.lat = net->lat;
        a.lon = net->lon;
        past(t, &a, t->o->start_ms + t->o->days * DAY);
        trace_label(t, &a, false, by, t->o->start_ms);
    }
}

/* 5: a shelf of real phones with good attestations and a SIM each, behind a carrier's NAT with
 * other customers.  Each takes a trial.  Wants 150 to 500 models in three days; opens few. */
static void shelf_of_phones(trace *t, uint64_t ts)
{
    actor carrier = trace_actor(t, "carrier");
    uint64_t phones = trace_between(t, 15, 40);
    unsigned opens = (unsigned)trace_between(t, 10, 50);

    trace_new_net(t, &carrier, "mobile");
    bystanders(t, &carrier, trace_between(t, 10, 20), "blind_same_carrier");
    for (uint64_t i = 0; i < phones; i++) {
        actor a = carrier;
        uint64_t at = ts + trace_between(t, 0, 18 * HOUR_MS);

        trace_new_user(t, &a);
        trace_new_device(t, &a);
        trace_new_session(t, &a);
        trace_sign_up(t, &a, at);
        trace_event(t, &a, EMK_FRAUD_TRIAL, at + MINUTE);
        trace_label(t, &a, true, "b05_shelf_of_phones", at);
        for (unsigned day = 0; day < 3; day++) {
            uint64_t models = trace_between(t, 2, 6);

            at = awake(t, ts, day);
            trace_event(t, &a, EMK_FRAUD_AUTH_OK, at);
            for (uint64_t m = 0; m < models; m++) {
                bool opened = trace_chance(t, opens);

                at = one_more(t, &a, at, NULL, opened);
            }
        }
    }
}

/* A backend grants somebody a model with its service key, in the office hours that begin at ts. */
static void grant_by_key(trace *t, const actor *a, const char *key, uint64_t ts)
{
    unsigned artifact = next_artifact(t, NULL);
    emk_fraud_event ev;
    char text[24];

    ts += trace_between(t, 0, 9 * HOUR_MS);
    trace_begin(t, a, EMK_FRAUD_GRANT, ts, &ev);
    ev.src = EMK_FRAUD_SRC_BACKEND;
    snprintf(text, sizeof text, "a-%u", artifact);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(text));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_KEY, emk_span_str(key));
    trace_put(t, &ev);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_START, ts + 20 * SECOND, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_END, ts + 45 * SECOND, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_OPEN, ts + 60 * SECOND, artifact, 0);
}

/* 6: somebody at the tenant grants models to a few accounts of his own with the service key that
 * grants to customers all day: a tenth to a third more than usual, in office hours.  Wants 40 to
 * 120 models in five days. */
static void quiet_insider(trace *t, uint64_t ts)
{
    uint64_t customers = trace_between(t, 30, 60), own = trace_between(t, 3, 6);
    uint64_t a_day = trace_between(t, 8, 24);
    actor who[60], sleeper[6];
    char key[32];

    snprintf(key, sizeof key, "k-%08llx", (unsigned long long)(trace_random(t) & UINT32_MAX));
    for (uint64_t i = 0; i < customers; i++) {
        who[i] = trace_actor(t, "customer");
        trace_sign_up(t, &who[i], t->o->start_ms + trace_between(t, 0, 7 * HOUR_MS));
        trace_label(t, &who[i], false, "blind_key_customer", t->o->start_ms);
    }
    for (uint64_t i = 0; i < own; i++) {
        sleeper[i] = trace_actor(t, "sleeper");
        trace_sign_up(t, &sleeper[i], t->o->start_ms + trace_between(t, 0, 2 * DAY));
        trace_label(t, &sleeper[i], true, "b06_quiet_insider", ts);
    }
    for (unsigned day = 0; day < t->o->days; day++) {
        uint64_t morning = t->o->start_ms + day * DAY + 8 * HOUR_MS;

        for (uint64_t i = 0; i < customers; i++)
            grant_by_key(t, &who[i], key, morning);
        for (uint64_t i = 0, k = 0; morning > ts && morning < ts + 5 * DAY && i < a_day; i++) {
            grant_by_key(t, &sleeper[k], key, morning);
            k = k + 1 < own ? k + 1 : 0;
        }
    }
}

/* 7: the recorded day of somebody who uses the app much, played by a script on a few accounts, an
 * hour or so apart, day after day: the same pauses to a second or two, with heartbeats, opens and
 * uses as recorded, while the models go elsewhere.  Wants 60 to 300 models in five days. */
static void borrowed_routine(trace *t, uint64_t ts)
{
    uint64_t accounts = trace_between(t, 3, 8), models = trace_between(t, 4, 9), pause[9];
    wanted w = wanted_list(t);

    for (uint64_t i = 0; i < models; i++)
        pause[i] = a_while(t) + 2 * MINUTE;
    for (uint64_t k = 0; k < accounts; k++) {
        actor a = trace_actor(t, "script");

        trace_sign_up(t, &a, ts + trace_between(t, 0, 20 * HOUR_MS));
        trace_label(t, &a, true, "b07_borrowed_routine", ts);
        for (unsigned day = 0; day < 5; day++) {
            uint64_t at = midnight(t, ts) + (1 + day) * DAY + (10 + k) * HOUR_MS;

            trace_new_session(t, &a);
            trace_event(t, &a, EMK_FRAUD_AUTH_OK, at);
            heartbeat(t, &a, at + SECOND, 0);
            for (uint64_t i = 0; i < models; i++) {
                at += pause[i] + trace_between(t, 0, 2 * SECOND);
                trace_use_model(t, &a, at, next_artifact(t, &w), true);
            }
            heartbeat(t, &a, at + 3 * MINUTE, 0);
        }
    }
}

static void trial(trace *t, const actor *a, uint64_t ts, uint64_t card)
{
    emk_fraud_event ev;
    char text[32];

    trace_begin(t, a, EMK_FRAUD_TRIAL, ts, &ev);
    snprintf(text, sizeof text, "card-%016llx", (unsigned long long)card);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_PAYMENT, emk_span_str(text));
    trace_put(t, &ev);
}

/* 8: one person who never pays.  Accounts made on one day, kept warm with a model now and then, a
 * trial on each in turn with virtual cards good for two or three; the phone is wiped in between.
 * Wants 8 to 15 models a day, every day for as long as accounts last. */
static void aged_trials(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "trials");
    uint64_t accounts = trace_between(t, 6, 10), per_card = trace_between(t, 2, 3), card = 0;

    for (uint64_t i = 0; i < accounts; i++) {
        uint64_t born = t->o->start_ms + trace_between(t, 0, DAY), at = ts + i * 14 * HOUR_MS;

        trace_new_user(t, &a);
        trace_new_device(t, &a);
        trace_sign_up(t, &a, born);
        visit(t, &a, born + HOUR_MS, 1, NULL);
        trace_label(t, &a, true, "b08_aged_trials", at);
        if (i % per_card == 0)
            card = trace_random(t);
        trace_new_device(t, &a); /* wiped: another key */
        trace_event(t, &a, EMK_FRAUD_DEVICE_ENROLL, at - HOUR_MS);
        trial(t, &a, at, card);
        visit(t, &a, at + MINUTE, trace_between(t, 3, 6), NULL);
        visit(t, &a, at + 6 * HOUR_MS, trace_between(t, 4, 8), NULL);
    }
}

/* The people of one firm, on shared tablets: all sign in as their shift begins. */
static void shift(trace *t, actor *staff, uint64_t n, uint64_t ts)
{
    for (uint64_t i = 0; i < n; i++) {
        if (trace_chance(t, 80)) {
            uint64_t models = trace_between(t, 1, 2);

            visit(t, &staff[i], ts + trace_between(t, 0, 15 * MINUTE), models, NULL);
        }
    }
}

/* 9: three to five of a firm's people, who fetch as fast as they can in the quarter of an hour in
 * which everybody signs in.  Wants 100 to 300 models in four days. */
static void shift_change(trace *t, uint64_t ts)
{
    actor firm = trace_actor(t, "firm"), staff[48];
    uint64_t third = trace_between(t, 8, 16), n = 3 * third, thieves = trace_between(t, 3, 5);
    uint64_t burst = trace_between(t, 6, 14);
    wanted w = wanted_list(t);

    for (uint64_t i = 0; i < n; i++) {
        staff[i] = i < third ? firm : staff[i - third]; /* a tablet for three shifts */
        if (i < third)
            trace_new_device(t, &staff[i]);
        trace_new_user(t, &staff[i]);
        trace_sign_up(t, &staff[i], t->o->start_ms + trace_between(t, 0, 5 * HOUR_MS));
        trace_label(t, &staff[i], i < thieves,
                    i < thieves ? "b09_shift_change" : "blind_shift_staff",
                    i < thieves ? ts : t->o->start_ms);
    }
    for (uint64_t at = t->o->start_ms + 6 * HOUR_MS; at < t->o->start_ms + t->o->days * DAY;
         at += DAY) {
        for (uint64_t s = 0; s < 3; s++)
            shift(t, staff + s * third, third, at + s * 8 * HOUR_MS);
        for (uint64_t i = 0; at > ts && at < ts + 4 * DAY && i < thieves; i++) {
            uint64_t now = at + trace_between(t, MINUTE, 4 * MINUTE);

            for (uint64_t m = 0; m < burst; m++)
                now = trace_use_model(t, &staff[i], now + 3 * SECOND, next_artifact(t, &w), false);
        }
    }
}

static void solved_challenge(trace *t, const actor *a, uint64_t ts)
{
    emk_fraud_event ev;

    trace_begin(t, a, EMK_FRAUD_CHALLENGE_PASS, ts, &ev);
    emk_fraud_event_number(&ev, EMK_FRAUD_F_SOLVE_MS,
                           (int64_t)trace_between(t, 8 * SECOND, 25 * SECOND) * EMK_FRAUD_MILLI);
    trace_put(t, &ev);
}

/* An attestation that was bought: real, of one of the few phones that the shop has. */
static void bought_attestation(trace *t, const actor *a, uint64_t ts, uint64_t phone)
{
    emk_fraud_event ev;
    char text[32];

    trace_begin(t, a, EMK_FRAUD_DEVICE_ATTEST, ts, &ev);
    snprintf(text, sizeof text, "shop-%llu", (unsigned long long)phone);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ATT_TUPLE, emk_span_str(text));
    trace_put(t, &ev);
}

/* 10: generations for others, sold on: a network of homes' routers, another for each few requests,
 * an account for a dozen generations, people who solve its challenges, and attestations from a
 * shop.  Wants 150 to 500 generations in two days; downloads them by the plain interface. */
static void rotating_homes(trace *t, uint64_t ts)
{
    uint64_t accounts = trace_between(t, 12, 40), phones = trace_between(t, 2, 5);

    for (uint64_t i = 0; i < accounts; i++) {
        actor a = trace_actor(t, "rotating");
        uint64_t n = trace_between(t, 10, 16), at = ts + i * (2 * DAY / accounts);

        a.sdk = false;
        trace_new_net(t, &a, "isp");
        trace_sign_up(t, &a, at);
        bought_attestation(t, &a, at + 5 * SECOND, trace_between(t, 1, phones));
        solved_challenge(t, &a, at + MINUTE);
        trace_label(t, &a, true, "b10_rotating_homes", at);
        for (uint64_t m = 0; m < n; m++) {
            unsigned artifact;

            if (trace_chance(t, 40))
                trace_new_net(t, &a, "isp");
            if (trace_chance(t, 10))
                solved_challenge(t, &a, at + 90 * SECOND);
            artifact = next_artifact(t, NULL);
            at += trace_between(t, 2 * MINUTE, 12 * MINUTE);
            at = trace_use_model(t, &a, at, artifact, false);
        }
    }
}

const trace_attack TRACE_BLIND[] = {
    many_hands,    slow_takeover,    lease_clock, around_the_clock, shelf_of_phones,
    quiet_insider, borrowed_routine, aged_trials, shift_change,     rotating_homes,
    NULL};
