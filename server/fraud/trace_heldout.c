/* Attack families kept apart: written from the catalogue while the rules were being finished, and
 * not run before these were frozen; no threshold was chosen by them.  Who wrote them had read the
 * rules, so they are not blind.  Whoever changes a rule after looking at their figures writes new
 * ones.  Adaptive ones know the thresholds of rules/base.yaml and of their plan, and stay at about
 * 95 % of them: some at a whole number near it. */
#include "server/fraud/trace_internal.h"

#include <stdio.h>

#define PERCENT(n) ((n)*95 / 100)

/* 1: a few accounts on each of several phones, reset in between. */
static void farm_of_phones(trace *t, uint64_t ts)
{
    unsigned each = t->o->adaptive ? 1 : (unsigned)trace_between(t, 3, 5);

    for (unsigned phone = 0; phone < 4; phone++) {
        actor a = trace_actor(t, "phones");

        for (unsigned i = 0; i < each; i++) {
            trace_new_user(t, &a);
            trace_new_session(t, &a);
            trace_sign_up(t, &a, ts);
            ts = trace_use_model(t, &a, ts + trace_between(t, 10000, 240000), i, true);
            ts += trace_between(t, MINUTE, 30 * MINUTE);
        }
        trace_label_device(t, &a, true, "h01_farm_of_phones", ts);
    }
}

/* 2: phones come and go on a resold account. */
static void resold_account(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "resold");
    unsigned n = t->o->adaptive ? 5 : (unsigned)trace_between(t, 7, 12);

    for (unsigned i = 0; i < n; i++) {
        trace_new_device(t, &a);
        trace_new_net(t, &a, "mobile");
        trace_new_session(t, &a);
        trace_sign_up(t, &a, ts);
        for (unsigned k = 0; k < 4; k++)
            trace_hold_model(t, &a, ts + (k + 1) * HOUR_MS, k, 3);
        ts += trace_between(t, 5, 14) * HOUR_MS;
    }
    trace_label(t, &a, true, "h02_resold_account", ts);
}

/* 3: virtual phones at a cloud provider whose attestation looks like software. */
static void cloud_phones(trace *t, uint64_t ts)
{
    actor base = trace_actor(t, "cloud");
    bool say = trace_chance(t, 60);

    trace_new_net(t, &base, t->o->adaptive ? "isp" : "hosting");
    for (unsigned i = 0; i < 25; i++) {
        actor a = base;

        trace_new_user(t, &a);
        trace_new_device(t, &a);
        a.level = (int)trace_between(t, 0, 1);
        a.is_virtual = say && !t->o->adaptive;
        trace_sign_up(t, &a, ts);
        ts = trace_use_model(t, &a, ts + 10000, i, true) + trace_between(t, 1, 15) * MINUTE;
        trace_label(t, &a, true, "h03_cloud_phones", ts);
    }
}

/* 6: three people in three places, each evening. */
static void three_friends(trace *t, uint64_t ts)
{
    actor a[3];

    a[0] = trace_actor(t, "friends");
    for (unsigned i = 0; i < 3; i++) {
        if (i) {
            a[i] = a[0];
            trace_new_device(t, &a[i]);
            trace_new_net(t, &a[i], "isp");
            trace_new_session(t, &a[i]);
        }
        trace_sign_up(t, &a[i], ts + i * DAY / 4);
    }
    ts += DAY;
    for (unsigned round = 0; round < 24; round++) {
        for (unsigned i = 0; i < 3; i++)
            trace_hold_model(
                t, &a[i], ts + i * (t->o->adaptive ? 25 * MINUTE : trace_between(t, 1, 5) * MINUTE),
                round, 2);
        ts += trace_between(t, 20, 90) * MINUTE;
    }
    trace_label(t, &a[0], true, "h06_three_friends", ts);
}

static void scrape_at(trace *t, uint64_t ts, unsigned an_hour, const char *by)
{
    actor a = trace_actor(t, "scrape");
    uint64_t mean = HOUR_MS / an_hour;

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < an_hour * 8; i++) {
        trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts, 20000 + i, 0);
        trace_event_cost(t, &a, EMK_FRAUD_DOWNLOAD_START, ts + 700, 20000 + i, 0);
        if (trace_chance(t, 15))
            trace_event_cost(t, &a, EMK_FRAUD_OPEN, ts + 5000, 20000 + i, 0);
        /* the sum of two draws: no machine's gaps */
        ts += trace_between(t, 1000, mean) + trace_between(t, 0, mean - 1000);
    }
    trace_label(t, &a, true, by, ts);
}

/* 7: three times the plan, and a little over it. */
static void scrape_much(trace *t, uint64_t ts)
{
    scrape_at(t, ts, t->o->adaptive ? PERCENT(30) : 90, "h07_scrape_3x");
}

static void scrape_little(trace *t, uint64_t ts)
{
    scrape_at(t, ts, t->o->adaptive ? PERCENT(15) : 36, "h07_scrape_1.2x");
}

/* 8: fifty accounts, one purse, a model every hour or two, within the same ten minutes. */
static void big_ring(trace *t, uint64_t ts)
{
    uint64_t spread = t->o->adaptive ? 40 * MINUTE : 8 * MINUTE;
    unsigned models[12];

    ts -= ts % (10 * MINUTE);
    for (unsigned i = 0; i < 12; i++)
        models[i] = (unsigned)trace_between(t, 9000, 9999);
    for (unsigned k = 0; k < 50; k++) {
        actor a = trace_actor(t, "bigring");

        trace_sign_up(t, &a, ts - DAY + trace_between(t, 0, 20 * HOUR_MS));
        for (unsigned i = 0; i < 12; i++)
            trace_event_cost(t, &a, EMK_FRAUD_GRANT,
                             ts + (uint64_t)i * 100 * MINUTE + trace_between(t, 0, spread),
                             models[i], 0);
        trace_label(t, &a, true, "h08_big_ring", ts);
    }
}

/* 9: bursts of generation, some of them opened. */
static void cost_bursts(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "burst");
    unsigned spend = t->o->adaptive ? PERCENT(400) : 1200;

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned burst = 0; burst < 4; burst++) {
        for (unsigned spent = 0; spent < spend; spent += 30) {
            trace_event_cost(t, &a, EMK_FRAUD_GENERATE, ts, 3000 + spent, 30);
            ts += trace_between(t, 3000, 60000);
            if (trace_chance(t, 10))
                trace_event_cost(t, &a, EMK_FRAUD_OPEN, ts, 3000 + spent, 0);
        }
        ts += trace_between(t, 70, 120) * MINUTE;
    }
    trace_label(t, &a, true, "h09_cost_bursts", ts);
}

/* 10, 17: an open now and then, so that the count is not zero. */
static void rarely_opened(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "rare");
    unsigned every = t->o->adaptive ? 8 : 12;

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 30; i++) {
        ts = trace_use_model(t, &a, ts, (unsigned)trace_between(t, 1, 900), i % every == every - 1);
        ts += trace_between(t, 10, 50) * MINUTE;
        if (trace_chance(t, 20))
            trace_event(t, &a, EMK_FRAUD_GAP, ts);
    }
    trace_label(t, &a, true, "h10_rarely_opened", ts);
}

/* 11: few failures an hour, of the same two models. */
static void patient_probing(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "patient");
    uint64_t gap = t->o->adaptive ? 16 * MINUTE : 7 * MINUTE;

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 60; i++) {
        trace_event_cost(t, &a, EMK_FRAUD_OPEN_FAIL, ts, i % 2, 0);
        ts += gap;
        if (i % 10 == 9)
            trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts, i, 0);
    }
    trace_label(t, &a, true, "h11_patient_probing", ts);
}

/* 12: an app that is not ours, where attestation says so. */
static void repacked_app(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "repacked");

    a.app_ok = false;
    trace_sign_up(t, &a, ts);
    trace_use_model(t, &a, ts + HOUR_MS, 3, true);
    trace_label(t, &a, true, "h12_repacked_app", ts);
}

/* 16: trials on one card, each on a phone of its own; and a refund after use. */
static void one_card(trace *t, uint64_t ts)
{
    unsigned n = t->o->adaptive ? 2 : 5;
    char card[40];

    snprintf(card, sizeof card, "card-%llu", (unsigned long long)(trace_random(t) % 1000000007));
    for (unsigned i = 0; i < n; i++) {
        actor a = trace_actor(t, "card");
        emk_fraud_event ev;

        trace_sign_up(t, &a, ts);
        trace_begin(t, &a, EMK_FRAUD_TRIAL, ts + MINUTE, &ev);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_PAYMENT, emk_span_str(card));
        trace_put(t, &ev);
        trace_use_model(t, &a, ts + 2 * MINUTE, i, true);
        ts += trace_between(t, 2, 30) * HOUR_MS;
        if (i >= 2 || t->o->adaptive)
            trace_label(t, &a, true, "h16_one_card", ts);
    }
}

static void refunder(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "refund");
    unsigned n = t->o->adaptive ? 4 : 14;

    trace_sign_up(t, &a, ts - DAY);
    trace_event(t, &a, EMK_FRAUD_PURCHASE, ts);
    for (unsigned i = 0; i < n; i++)
        ts = trace_use_model(t, &a, ts, i, true) + trace_between(t, 5, 60) * MINUTE;
    trace_event(t, &a, EMK_FRAUD_REFUND, ts);
    for (unsigned i = 0; i < 4; i++)
        ts = trace_use_model(t, &a, ts + HOUR_MS, i, true);
    trace_label(t, &a, true, "h16_refunder", ts);
}

static void one_shot(trace *t, uint64_t ts, emk_fraud_type type, const char *by)
{
    actor a = trace_actor(t, "shot");

    trace_sign_up(t, &a, ts - trace_between(t, 1, 48) * HOUR_MS);
    trace_event(t, &a, type, ts);
    trace_label_device(t, &a, true, by, ts);
}

/* 4, 5, 18, 21, 27, 29: once. */
static void exact_once(trace *t, uint64_t ts)
{
    one_shot(t, ts, EMK_FRAUD_REPLAY, "h04_replay_once");
    one_shot(t, ts, EMK_FRAUD_SIG_FAIL, "h05_bearer_once");
    one_shot(t, ts, EMK_FRAUD_FOREIGN_URL, "h27_url_once");
    one_shot(t, ts, EMK_FRAUD_CANARY, "h29_canary_once");
}

static void forged_once(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "forger");

    trace_sign_up(t, &a, ts - DAY);
    trace_event(t, &a, EMK_FRAUD_BATCH_FORGED, ts);
    trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts + MINUTE, 5, 0);
    trace_label(t, &a, true, "h18_forged_once", ts);
}

/* 20: logins tried from one address, then the account that gave way. */
static void stuffing(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "stuffed");
    unsigned n = t->o->adaptive ? PERCENT(30) : 60;

    trace_sign_up(t, &a, ts - 2 * DAY);
    trace_new_device(t, &a);
    trace_new_net(t, &a, "hosting");
    for (unsigned i = 0; i < n; i++) {
        emk_fraud_event ev;

        trace_begin(t, &a, EMK_FRAUD_AUTH_FAIL, ts, &ev);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_IP, emk_span_str(a.net));
        trace_put(t, &ev);
        ts += trace_between(t, 1000, 9000);
    }
    for (unsigned i = 0; i < 5; i++) {
        emk_fraud_event ev;

        trace_begin(t, &a, EMK_FRAUD_GRANT, ts + (uint64_t)i * 20000, &ev);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_IP, emk_span_str(a.net));
        trace_put(t, &ev);
    }
    trace_label_device(t, &a, true, "h20_stuffing", ts);
}

/* 25: challenges passed by machine. */
static void challenge_farm(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "solver");
    unsigned n = t->o->adaptive ? 4 : 9;

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < n; i++) {
        emk_fraud_event ev;

        trace_begin(t, &a, EMK_FRAUD_CHALLENGE_PASS, ts, &ev);
        emk_fraud_event_number(&ev, EMK_FRAUD_F_SOLVE_MS,
                               (int64_t)trace_between(t, t->o->adaptive ? 735 : 150, 1100) * 1000);
        trace_put(t, &ev);
        trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts + 3000, i, 0);
        ts += trace_between(t, 2, 6) * MINUTE;
    }
    trace_label(t, &a, true, "h25_challenge_farm", ts);
}

/* 28: a stolen account, used without haste. */
static void quiet_takeover(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "victim");
    unsigned n = t->o->adaptive ? 7 : 12;

    trace_sign_up(t, &a, t->o->start_ms + HOUR_MS);
    if (ts < t->o->start_ms + 9 * DAY)
        ts += 7 * DAY;
    trace_new_device(t, &a);
    trace_new_net(t, &a, "mobile");
    trace_event(t, &a, EMK_FRAUD_DEVICE_ENROLL, ts);
    for (unsigned i = 0; i < n; i++)
        trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts += trace_between(t, 15000, 70000), i, 0);
    trace_label_device(t, &a, true, "h28_quiet_takeover", ts);
}

const trace_attack TRACE_HELD_OUT[] = {farm_of_phones, resold_account,  cloud_phones, three_friends,
                                       scrape_much,    scrape_little,   big_ring,     cost_bursts,
                                       rarely_opened,  patient_probing, repacked_app, one_card,
                                       refunder,       exact_once,      forged_once,  stuffing,
                                       challenge_farm, quiet_takeover,  NULL};
