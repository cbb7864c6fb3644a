/* Attack families that the shipped rules were written with. */
#include "server/fraud/trace_internal.h"

/* 1: account after account on one device. */
static void account_farm(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "farm");
    uint64_t n = trace_between(t, 4, 12);

    for (uint64_t i = 0; i < n; i++) {
        trace_new_user(t, &a);
        trace_new_session(t, &a);
        trace_sign_up(t, &a, ts);
        ts += t->o->adaptive ? 13 * HOUR_MS : trace_between(t, 20000, 90000);
        ts = trace_use_model(t, &a, ts, (unsigned)trace_between(t, 1, 500), true);
        ts += trace_between(t, MINUTE, 10 * MINUTE);
    }
    trace_label_device(t, &a, true, "01_account_farm", ts);
}

/* 4: a captured request sent again. */
static void token_replay(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "replay");

    trace_sign_up(t, &a, ts - 2 * DAY);
    trace_use_model(t, &a, ts - DAY, 7, true);
    for (unsigned i = 0; i < 4; i++)
        trace_event(t, &a, EMK_FRAUD_REPLAY, ts + (uint64_t)i * 30000);
    trace_label(t, &a, true, "04_token_replay", ts);
}

/* 5: a bearer token without the device's key. */
static void stolen_bearer(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "bearer"), thief;

    trace_sign_up(t, &a, ts - 2 * DAY);
    thief = a;
    trace_new_device(t, &thief);
    trace_new_net(t, &thief, "hosting");
    for (unsigned i = 0; i < 5; i++)
        trace_event(t, &thief, EMK_FRAUD_SIG_FAIL, ts + (uint64_t)i * 5000);
    trace_label_device(t, &thief, true, "05_stolen_bearer", ts);
}

/* 6: one account in several places at once. */
static void sharing(trace *t, uint64_t ts)
{
    actor a[8];
    uint64_t n = trace_between(t, 4, 8);

    a[0] = trace_actor(t, "share");
    for (uint64_t i = 0; i < n; i++) {
        if (i) {
            a[i] = a[0];
            trace_new_device(t, &a[i]);
            trace_new_net(t, &a[i], "isp");
            trace_new_session(t, &a[i]);
        }
        trace_sign_up(t, &a[i], ts + i * HOUR_MS);
    }
    for (unsigned round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < n; i++)
            trace_hold_model(t, &a[i], ts + 9 * HOUR_MS + (uint64_t)round * 40 * MINUTE + i * 90000,
                             (unsigned)trace_between(t, 1, 900), 2);
    }
    trace_label(t, &a[0], true, "06_sharing", ts);
}

/* 7: all artifacts, one after the other. */
static void scraping(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "scrape");
    uint64_t gap = t->o->adaptive ? 140000 : trace_between(t, 8000, 40000);

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 150; i++) {
        uint64_t jitter = t->o->adaptive ? trace_between(t, 0, gap) : trace_between(t, 0, gap / 20);

        trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts, 1000 + i, 0);
        trace_event_cost(t, &a, EMK_FRAUD_DOWNLOAD_START, ts + 300, 1000 + i, 0);
        ts += gap + jitter;
    }
    trace_label(t, &a, true, "07_scraping", ts);
}

/* 9: generating until the money is gone. */
static void cost_exhaustion(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "cost");

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 60; i++) {
        trace_event_cost(t, &a, EMK_FRAUD_GENERATE, ts, 3000 + i, 40);
        ts += t->o->adaptive ? 6 * MINUTE + 20000 : trace_between(t, 10000, 40000);
    }
    trace_label(t, &a, true, "09_cost_exhaustion", ts);
}

/* 10: taken and never opened. */
static void unopened(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "unopened");

    a.sdk = false;
    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 24; i++) {
        ts = trace_use_model(t, &a, ts, (unsigned)trace_between(t, 1, 900), false);
        ts += trace_between(t, 20 * MINUTE, 60 * MINUTE);
    }
    trace_label(t, &a, true, "10_unopened", ts);
}

static void exact(trace *t, uint64_t ts, emk_fraud_type type, const char *by)
{
    actor a = trace_actor(t, "exact");

    trace_sign_up(t, &a, ts - DAY);
    trace_use_model(t, &a, ts - HOUR_MS, 9, true);
    trace_event(t, &a, type, ts);
    trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts + 1000, 10, 0);
    trace_label(t, &a, true, by, ts);
}

static void forged_events(trace *t, uint64_t ts)
{
    exact(t, ts, EMK_FRAUD_BATCH_FORGED, "18_forged_events");
}

static void foreign_url(trace *t, uint64_t ts)
{
    exact(t, ts, EMK_FRAUD_FOREIGN_URL, "27_foreign_url");
}

static void canary(trace *t, uint64_t ts)
{
    exact(t, ts, EMK_FRAUD_CANARY, "29_canary");
}

const trace_attack TRACE_DEVELOP[] = {account_farm, token_replay,    stolen_bearer, sharing,
                                      scraping,     cost_exhaustion, unopened,      forged_events,
                                      foreign_url,  canary,          NULL};
