/* Families that were held out when the rules were first written, and have been looked at since:
 * they count as known. */
#include "server/fraud/trace_internal.h"

/* 2: device after device on one account. */
static void device_farm(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "devices");
    uint64_t n = trace_between(t, 7, 15);

    for (uint64_t i = 0; i < n; i++) {
        trace_new_device(t, &a);
        trace_event(t, &a, EMK_FRAUD_DEVICE_ENROLL, ts);
        trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts + 5000, (unsigned)i, 0);
        ts += trace_between(t, MINUTE, 20 * MINUTE);
    }
    trace_label(t, &a, true, "02_device_farm", ts);
}

/* 3: phones that are none. */
static void emulators(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "emulator");

    trace_new_net(t, &a, "hosting");
    a.is_virtual = trace_chance(t, 50);
    a.level = 0;
    for (unsigned i = 0; i < 10; i++) {
        trace_new_user(t, &a);
        trace_new_device(t, &a);
        trace_sign_up(t, &a, ts);
        ts = trace_use_model(t, &a, ts + 30000, 5, true) + MINUTE;
        trace_label(t, &a, true, "03_emulators", ts);
    }
}

/* 8: many small thieves with one purse. */
static void ring(trace *t, uint64_t ts)
{
    for (unsigned k = 0; k < 20; k++) {
        actor a = trace_actor(t, "ring");

        trace_sign_up(t, &a, ts - DAY + k * MINUTE);
        for (unsigned i = 0; i < 12; i++)
            trace_event_cost(t, &a, EMK_FRAUD_GRANT,
                             ts + (uint64_t)i * 50 * MINUTE + (uint64_t)k * 20000, 7000 + i, 0);
        trace_label(t, &a, true, "08_ring", ts);
    }
}

/* 11: changed files, again and again. */
static void open_probing(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "probe");

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 30; i++) {
        trace_event_cost(t, &a, EMK_FRAUD_OPEN_FAIL, ts, i / 3, 0);
        ts += trace_between(t, 20000, 100000);
        if (i % 5 == 4)
            trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts, i, 0);
    }
    trace_label(t, &a, true, "11_open_probing", ts);
}

/* 13: a device whose guard complains. */
static void tampered(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "tamper");

    a.level = 1;
    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 6; i++) {
        emk_fraud_event ev;

        trace_begin(t, &a, EMK_FRAUD_TAMPER, ts, &ev);
        ev.src = EMK_FRAUD_SRC_SDK;
        emk_fraud_event_number(&ev, EMK_FRAUD_F_X_WEIGHT, (int64_t)trace_between(t, 1000, 3000));
        trace_put(t, &ev);
        ts = trace_use_model(t, &a, ts + MINUTE, i, true) + 10 * MINUTE;
    }
    trace_label(t, &a, true, "13_tampered", ts);
}

/* 14: the clock goes back. */
static void clock_back(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "clock");
    uint64_t back = trace_between(t, 2, 30) * DAY;

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 8; i++) {
        emk_fraud_event ev;

        trace_begin(t, &a, EMK_FRAUD_CLOCK, ts, &ev);
        ev.src = EMK_FRAUD_SRC_SDK;
        emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT, (int64_t)(ts - back) * 1000);
        trace_put(t, &ev);
        ts = trace_use_model(t, &a, ts + MINUTE, i, true) + HOUR_MS;
    }
    trace_label(t, &a, true, "14_clock_back", ts);
}

/* 16: trial after trial. */
static void trials(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "trial");

    for (unsigned i = 0; i < 5; i++) {
        trace_new_user(t, &a);
        trace_sign_up(t, &a, ts);
        trace_event(t, &a, EMK_FRAUD_TRIAL, ts + MINUTE);
        ts = trace_use_model(t, &a, ts + 5 * MINUTE, 3, true) + trace_between(t, 1, 20) * HOUR_MS;
    }
    trace_label_device(t, &a, true, "16_trials", ts);
}

/* 17: events that never come. */
static void suppression(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "quiet");

    trace_sign_up(t, &a, ts - DAY);
    for (unsigned i = 0; i < 16; i++) {
        trace_event(t, &a, EMK_FRAUD_GAP, ts);
        ts = trace_use_model(t, &a, ts + MINUTE, (unsigned)trace_between(t, 1, 900), false);
        ts += trace_between(t, 10 * MINUTE, 40 * MINUTE);
    }
    trace_label(t, &a, true, "17_suppression", ts);
}

/* 21: one key in two places. */
static void cloned_key(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "clone"), b;

    trace_sign_up(t, &a, ts - DAY);
    b = a;
    trace_new_net(t, &b, "hosting");
    for (unsigned i = 0; i < 5; i++) {
        trace_use_model(t, &a, ts + i * HOUR_MS, i, true);
        trace_event(t, &b, EMK_FRAUD_COUNTER_FORK, ts + i * HOUR_MS + 30 * MINUTE);
    }
    trace_label(t, &a, true, "21_cloned_key", ts);
}

/* 23: a backend's key in strange hands. */
static void key_misuse(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "key");
    char key[] = "k-backend";

    for (unsigned i = 0; i < 200; i++) {
        emk_fraud_event ev;

        trace_new_user(t, &a);
        if (i % 50 == 0)
            trace_new_net(t, &a, "hosting");
        trace_begin(t, &a, EMK_FRAUD_GRANT, ts + (uint64_t)i * 2000, &ev);
        ev.src = EMK_FRAUD_SRC_BACKEND;
        ev.has &= ~(UINT64_C(1) << EMK_FRAUD_F_DEVICE);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_KEY, emk_span_str(key));
        trace_put(t, &ev);
        if (i >= 150)
            trace_label(t, &a, true, "23_key_misuse", ts);
    }
}

/* 28: somebody else's account, and in a hurry. */
static void takeover(trace *t, uint64_t ts)
{
    actor a = trace_actor(t, "owner");

    trace_sign_up(t, &a, t->o->start_ms + HOUR_MS);
    for (uint64_t day = t->o->start_ms + DAY; day + DAY < ts; day += DAY)
        trace_use_model(t, &a, day + 9 * HOUR_MS, 4, true);
    if (ts < t->o->start_ms + 8 * DAY)
        ts += 8 * DAY;
    trace_new_device(t, &a);
    trace_new_net(t, &a, "hosting");
    trace_new_session(t, &a);
    a.lon += 90000;
    trace_event(t, &a, EMK_FRAUD_DEVICE_ENROLL, ts);
    for (unsigned i = 0; i < 25; i++)
        trace_event_cost(t, &a, EMK_FRAUD_GRANT, ts + 10000 + i * trace_between(t, 5000, 20000), i,
                         0);
    trace_label_device(t, &a, true, "28_takeover", ts);
}

const trace_attack TRACE_KNOWN[] = {device_farm, emulators,  ring,     open_probing,
                                    tampered,    clock_back, trials,   suppression,
                                    cloned_key,  key_misuse, takeover, NULL};
