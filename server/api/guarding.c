#include "server/api/guarding.h"

#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "server/api/entities.h"

#include <string.h>

#define SPACE         0x47554152u
#define NS_PER_S      UINT64_C(1000000000)
#define DAY_NS        (UINT64_C(86400) * NS_PER_S)
#define STORE_EVERY_S 10u
#define TRIES         4u
#define LOOKS_LEAST   8u /* a guard looks at all there is when it is made */
#define SLOWEST_S     5u /* each detector is dealt at least so often */
#define IDLE_S        60u
#define FASTEST       2000u /* looks a second that no device makes for long */
#define BURST         100000u

/* Codes of events: what did not fit. */
typedef enum signal {
    FOUND = 1,  /* findings */
    MISSING,    /* no summary where there was one */
    LOWER,      /* a lower level than the policy wants, or than before */
    FEW_LOOKS,  /* fewer than the time since the last summary demands */
    IMPOSSIBLE, /* more looks than can be, or none at all */
    REPEATED,   /* a transcript that was shown before */
    WORST       /* the guard itself says: refuse, or wipe */
} signal;

/* Thousandths.  What phones do that sleep is worth little: alone it never makes a rule fire. */
static const uint32_t WEIGHT[] = {
    [MISSING] = 1000,    [LOWER] = 1000,    [FEW_LOOKS] = 100,
    [IMPOSSIBLE] = 1500, [REPEATED] = 2000, [WORST] = 3000,
};

typedef struct judging {
    emk_call *call;
    const emk_guarding_in *in;
    emk_guard_summary now;
    emk_guard_entity last;
    uint64_t version;
    bool there;      /* a summary was shown before */
    uint32_t absent; /* bits of what a summary of another version does not say */
} judging;

/* ---- signals ---- */

static void tell(judging *j, signal what, uint64_t milli)
{
    emk_decide_in about = {.device_id = j->in->device_id, .device = j->in->device};
    emk_fraud_event ev;

    emk_fraud_event_init(&ev, EMK_FRAUD_TAMPER, emk_api_now(j->call->api) * 1000);
    emk_fraud_event_number(&ev, EMK_FRAUD_F_X_WEIGHT, (int64_t)milli);
    emk_fraud_event_number(&ev, EMK_FRAUD_F_CODE, (int64_t)what * EMK_FRAUD_MILLI);
    emk_api_note(j->call, &about, &ev);
}

/* False when this key was there within the day.  Without a place for it: true. */
static bool is_first(const judging *j, emk_span what)
{
    uint8_t key[EMK_GATE_DEVICE_ID_LEN + EMK_GUARD_HASH_LEN];
    emk_counter_key k = {.space = SPACE};
    uint64_t now = emk_os_monotonic_ns();
    emk_error ignored;

    memcpy(key, j->in->device_id, EMK_GATE_DEVICE_ID_LEN);
    memcpy(key + EMK_GATE_DEVICE_ID_LEN, what.p, what.len);
    k.bytes = emk_span_of(key, EMK_GATE_DEVICE_ID_LEN + what.len);
    return emk_counters_once(&j->call->api->counters, &k, now + DAY_NS, now, &ignored) !=
           EMK_E_USED;
}

/* Once a day for each device: a message is sent again, and leases are many. */
static void signal_once(judging *j, signal what)
{
    uint8_t code = (uint8_t)what;

    if (is_first(j, emk_span_of(&code, 1)))
        tell(j, what, WEIGHT[what]);
}

/* ---- what was kept ---- */

static emk_status load(judging *j, emk_error *e)
{
    emk_record_info info = {.version = EMK_RECORD_ABSENT};
    emk_status st =
        emk_entity_get(&j->call->api->records, &emk_guard_shape,
                       emk_span_of(j->in->device_id, EMK_GATE_DEVICE_ID_LEN), &j->last, &info, e);

    j->version = info.version;
    j->there = st == EMK_OK;
    if (st != EMK_E_NOT_FOUND)
        return st;
    memset(&j->last, 0, sizeof j->last);
    *e = (emk_error){.status = EMK_OK}; /* most devices have none */
    return EMK_OK;
}

static bool is_news(const judging *j, uint64_t now)
{
    return !j->there || j->last.level != j->now.level || j->last.action != j->now.action ||
           j->last.looks > j->now.n_looks || now >= j->last.at_s + STORE_EVERY_S;
}

/* Of two messages at once either may be the last: who loses changes nothing. */
static emk_status keep(judging *j, emk_error *e)
{
    uint64_t now = emk_api_now(j->call->api);
    emk_entity_put put = {.shape = &emk_guard_shape,
                          .in = &j->last,
                          .id = emk_span_of(j->in->device_id, EMK_GATE_DEVICE_ID_LEN),
                          .expect = j->version};
    emk_entity_change change;
    emk_status st;

    if (!is_news(j, now))
        return EMK_OK;
    j->last.level = j->now.level;
    j->last.action = j->now.action;
    j->last.looks = j->now.n_looks;
    j->last.at_s = now;
    j->last.highest = j->now.level > j->last.highest ? j->now.level : j->last.highest;
    memcpy(j->last.measurement, j->now.measurement, sizeof j->last.measurement);
    st = emk_entity_change_make(&put, &change, e);
    if (st == EMK_OK) {
        /* Nor of a device that was erased meanwhile. */
        emk_record_change both[] = {change.change,
                                    emk_device_check(j->in->device_id, j->in->device)};

        st = emk_records_commit(&j->call->api->records, both, 2, NULL, e);
        emk_entity_change_done(&change);
    }
    return st == EMK_E_STALE ? EMK_OK : st;
}

/* ---- judging ---- */

/* Looks begin anew with each start of the app: fewer than before says nothing.  More are of the
 * same run, or of a longer one. */
static void judge_looks(judging *j)
{
    uint64_t now = emk_api_now(j->call->api), more, since;

    if (j->now.level > 0 && j->now.n_looks < LOOKS_LEAST)
        signal_once(j, IMPOSSIBLE);
    if (!j->there || j->now.n_looks < j->last.looks || now < j->last.at_s)
        return;
    more = j->now.n_looks - j->last.looks;
    since = now - j->last.at_s;
    if (more > BURST + since * FASTEST)
        signal_once(j, IMPOSSIBLE);
    if (j->now.level > 0 && since >= IDLE_S && more < since / SLOWEST_S)
        signal_once(j, FEW_LOOKS);
}

/* Each message binds its nonce into the transcript: no two have the same, but for one that is sent
 * again because its answer got lost. */
static void judge_transcript(judging *j)
{
    uint8_t key[EMK_GUARD_HASH_LEN];
    emk_error ignored;
    bool is_new;

    if (emk_sha256(j->call->api->crypto, &j->in->message, 1, key, &ignored) != EMK_OK)
        return;
    is_new = is_first(j, emk_span_of(key, sizeof key));
    if (!is_first(j, emk_span_of(j->now.transcript, sizeof j->now.transcript)) && is_new)
        signal_once(j, REPEATED);
}

static void judge_summary(judging *j)
{
    uint64_t weight = 0;

    for (size_t i = 0; i < j->now.n_findings; i++)
        weight += j->now.findings[i].confidence;
    if (weight > 0)
        tell(j, FOUND, weight * EMK_FRAUD_MILLI);
    if (j->now.action >= EMK_GUARD_DO_REFUSE)
        signal_once(j, WORST);
    if (j->absent)
        signal_once(j, MISSING);
    if (j->now.level < j->in->min_guard || j->now.level < j->last.highest)
        signal_once(j, LOWER);
    if (!(j->absent & EMK_GUARD_SUMMARY_TRANSCRIPT))
        judge_transcript(j);
    if (!(j->absent & EMK_GUARD_SUMMARY_LOOKS))
        judge_looks(j);
}

static emk_guarding verdict_of(const judging *j)
{
    if (j->now.action >= EMK_GUARD_DO_REFUSE)
        return EMK_GUARDING_REFUSE;
    return j->now.action == EMK_GUARD_DO_DEGRADE ? EMK_GUARDING_SHORT : EMK_GUARDING_PASS;
}

emk_status emk_api_guarding(emk_call *call, const emk_guarding_in *in, emk_guarding *out,
                            emk_error *e)
{
    judging j = {.call = call, .in = in};
    emk_status st = EMK_OK;

    *out = EMK_GUARDING_PASS;
    if (in->summary.len > 0)
        st = emk_guard_summary_read(in->summary, &j.now, e);
    /* Of a newer guard, or of a client that says so: what it does not say, as we know it, is
     * missing. No claim of a version is a way out. */
    if (st == EMK_E_UNSUPPORTED)
        st = emk_guard_summary_read_other(in->summary, &j.now, &j.absent, e);
    if (st == EMK_OK)
        st = load(&j, e);
    if (st != EMK_OK)
        return st;
    if (in->summary.len == 0) {
        if (j.there && j.last.highest > 0 && !in->optional)
            signal_once(&j, MISSING);
        return EMK_OK;
    }
    if (j.absent & EMK_GUARD_SUMMARY_LOOKS)
        j.now.n_looks = (uint32_t)j.last.looks;
    judge_summary(&j);
    *out = verdict_of(&j);
    return keep(&j, e);
}

void emk_guarding_shorten(emk_policy *p)
{
    if (p->lease_s == 0 || p->lease_s > EMK_GUARDING_SHORT_S)
        p->lease_s = EMK_GUARDING_SHORT_S;
    p->grace_s = 0;
    if (p->renewal_delay_s == 0 || p->renewal_delay_s > p->lease_s / 2)
        p->renewal_delay_s = p->lease_s / 2;
}
