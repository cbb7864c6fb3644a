/* Every type and every field of an event, declared once. */
#include "server/fraud/event.h"

#define SERVER  (1u << EMK_FRAUD_SRC_SERVER)
#define SDK     (1u << EMK_FRAUD_SRC_SDK)
#define BACKEND (1u << EMK_FRAUD_SRC_BACKEND)

const char *const EMK_FRAUD_SOURCE[3] = {"server", "sdk", "backend"};

const char EMK_FRAUD_GROUP[EMK_FRAUD_GROUPS][16] = {"",    "app", "subj", "att",
                                                    "obj", "res", "x",    "plan"};

/* clang-format off */
const emk_fraud_type_row EMK_FRAUD_TYPE[EMK_FRAUD_TYPES] = {
    /* name                   sources                  decides authenticated */
    {"auth.ok",               SERVER | BACKEND,        false, true},
    {"auth.fail",             SERVER | BACKEND,        false, false},
    {"sig.fail",              SERVER,                  true,  false},
    {"replay",                SERVER,                  true,  true},
    {"device.enroll_refused", SERVER,                  true,  false},
    {"challenge.pass",        SERVER | BACKEND,        false, true},
    {"challenge.fail",        SERVER | BACKEND,        false, true},
    {"device.enroll",         SERVER,                  true,  true},
    {"device.attest",         SERVER,                  true,  true},
    {"device.revoke",         SERVER | BACKEND,        false, true},
    {"device.counter_fork",   SERVER,                  true,  true},
    {"url.foreign",           SERVER,                  true,  true},
    {"model.generate",        SERVER | BACKEND,        true,  true},
    {"model.grant",           SERVER | BACKEND,        true,  true},
    {"model.lease",           SERVER,                  true,  true},
    {"model.download.start",  SERVER,                  true,  true},
    {"model.download.end",    SERVER | SDK,            false, true},
    {"model.open",            SERVER | SDK | BACKEND,  false, true},
    {"model.open_fail",       SERVER | SDK,            false, true},
    {"model.use",             SERVER | SDK,            false, true},
    {"model.delete",          SERVER | SDK | BACKEND,  false, true},
    {"sdk.heartbeat",         SERVER | SDK,            false, true},
    {"sdk.tamper",            SERVER | SDK,            false, true},
    {"sdk.clock",             SERVER | SDK,            false, true},
    {"sdk.gap",               SERVER,                  false, true},
    {"sdk.batch_forged",      SERVER,                  false, true},
    {"pay.purchase",          SERVER | BACKEND,        false, true},
    {"pay.refund",            SERVER | BACKEND,        false, true},
    {"pay.chargeback",        SERVER | BACKEND,        false, true},
    {"pay.trial",             SERVER | BACKEND,        true,  true},
    {"report.abuse",          SERVER | BACKEND,        false, true},
    {"report.foreign",        SERVER,                  false, true},
    {"canary.touch",          SERVER | BACKEND,        true,  true},
    {"admin.ban",             SERVER | BACKEND,        false, true},
    {"admin.unban",           SERVER | BACKEND,        false, true},
    {"admin.review",          SERVER | BACKEND,        false, true},
    {"admin.clear",           SERVER | BACKEND,        false, true},
    {"admin.switch",          SERVER | BACKEND,        false, true},
    {"label.fraud",           SERVER | BACKEND,        false, false},
    {"label.ok",              SERVER | BACKEND,        false, false},
    {"label.unsure",          SERVER | BACKEND,        false, false},
    {"admin.rules",           SERVER,                  false, false},
};

#define TOP(name, kind, trust, min, max) {name, EMK_FRAUD_G_TOP, name, sizeof(name) - 1, kind, trust, min, max, false}
#define IN(group, key, kind, trust, min, max) \
    {#group "." key, G_##group, key, sizeof(key) - 1, kind, trust, min, max, false}
#define REAL(group, key, trust, min, max) \
    {#group "." key, G_##group, key, sizeof(key) - 1, EMK_FRAUD_NUMBER, trust, min, max, true}
#define G_app  EMK_FRAUD_G_APP
#define G_subj EMK_FRAUD_G_SUBJ
#define G_att  EMK_FRAUD_G_ATT
#define G_obj  EMK_FRAUD_G_OBJ
#define G_res  EMK_FRAUD_G_RES
#define G_x    EMK_FRAUD_G_X
#define G_plan EMK_FRAUD_G_PLAN
#define T EMK_FRAUD_TEXT
#define N EMK_FRAUD_NUMBER
#define B EMK_FRAUD_FLAG
#define S EMK_FRAUD_SERVER
#define A EMK_FRAUD_ATTESTED
#define C EMK_FRAUD_CLAIMED
#define K(v) (INT64_C(v) * EMK_FRAUD_MILLI)

const emk_fraud_field_row EMK_FRAUD_FIELD[EMK_FRAUD_FIELDS] = {
    TOP("id",        T, S, 0, 0),
    TOP("src",       T, S, 0, 0),
    TOP("producer",  T, S, 0, 0),
    TOP("seq",       N, S, 0, K(1000000000000)),
    TOP("type",      T, S, 0, 0),
    TOP("ts",        N, S, 0, K(4102444800000)),
    TOP("ts_client", N, C, 0, K(4102444800000)),
    TOP("tenant",    T, S, 0, 0),
    IN(app, "id",      T, C, 0, 0),
    IN(app, "ver",     T, C, 0, 0),
    IN(app, "build",   T, C, 0, 0),
    IN(subj, "user",    T, S, 0, 0),
    IN(subj, "device",  T, A, 0, 0),
    IN(subj, "session", T, S, 0, 0),
    IN(subj, "ip",      T, S, 0, 0),
    IN(subj, "net",     T, S, 0, 0),
    IN(subj, "asn",     N, S, 0, K(4294967295)),
    IN(subj, "cc",      T, S, 0, 0),
    IN(subj, "key",     T, S, 0, 0),
    IN(subj, "payment", T, S, 0, 0),
    REAL(subj, "lat",    S, -K(90), K(90)),
    REAL(subj, "lon",    S, -K(180), K(180)),
    REAL(subj, "geo_km", S, 0, K(20000)),
    IN(subj, "net_kind", T, S, 0, 0),
    IN(subj, "geo_db",   T, S, 0, 0),
    IN(att, "kind",    T, A, 0, 0),
    IN(att, "level",   N, A, 0, K(9)),
    IN(att, "age_s",   N, A, 0, K(4000000000)),
    IN(att, "app_ok",  B, A, 0, 0),
    IN(att, "virtual", B, A, 0, 0),
    IN(att, "enr",     T, S, 0, 0),
    IN(att, "tuple",   T, A, 0, 0),
    IN(obj, "model",    T, S, 0, 0),
    IN(obj, "artifact", T, S, 0, 0),
    IN(obj, "grant",    T, S, 0, 0),
    IN(obj, "bytes",    N, S, 0, K(1000000000000)),
    REAL(obj, "cost",   S, 0, K(1000000000)),
    IN(res, "code",     N, S, 0, K(999)),
    IN(res, "reason",   T, S, 0, 0),
    IN(res, "lat_us",   N, S, 0, K(1000000000000)),
    IN(res, "counter",  N, A, 0, K(1000000000000)),
    IN(res, "solve_ms", N, S, 0, K(1000000000)),
    IN(x, "gap",        N, C, 0, K(1000000000)),
    IN(x, "rtt_ms",     N, C, 0, K(1000000000)),
    REAL(x, "weight",   C, 0, K(1000)),
    IN(plan, "devices",        N, S, 0, K(1000000)),
    IN(plan, "artifacts_hour", N, S, 0, K(1000000)),
    IN(plan, "artifacts_day",  N, S, 0, K(1000000)),
    IN(plan, "cost_hour",      N, S, 0, K(1000000000)),
    IN(plan, "cost_day",       N, S, 0, K(1000000000)),
    IN(plan, "leases",         N, S, 0, K(1000000)),
    IN(plan, "min_ver",        N, S, 0, K(1000000000)),
};
/* clang-format on */

_Static_assert(EMK_FRAUD_FIELDS <= 64, "the bits of emk_fraud_event.has");

/* Who is asking is proven by the request's signature, and when it came in and from where is
 * seen by the server, also for what an SDK sends. */
static bool seen_by_receiver(emk_fraud_field f)
{
    switch (f) {
    case EMK_FRAUD_F_TS_CLIENT:
        return false;
    case EMK_FRAUD_F_APP_ID:
    case EMK_FRAUD_F_APP_VER:
    case EMK_FRAUD_F_APP_BUILD:
        return false;
    default:
        return f < EMK_FRAUD_F_MODEL || f >= EMK_FRAUD_F_PLAN_DEVICES;
    }
}

emk_fraud_trust emk_fraud_trust_of(emk_fraud_field f, emk_fraud_type t)
{
    if ((EMK_FRAUD_TYPE[t].sources & SDK) && !seen_by_receiver(f))
        return EMK_FRAUD_CLAIMED;
    return EMK_FRAUD_FIELD[f].trust;
}

static bool named(const char *name, emk_span s)
{
    return s.len > 0 && name[0] == (char)s.p[0] && strlen(name) == s.len &&
           memcmp(name, s.p, s.len) == 0;
}

bool emk_fraud_type_find(emk_span name, emk_fraud_type *out)
{
    for (unsigned i = 0; i < EMK_FRAUD_TYPES; i++) {
        if (named(EMK_FRAUD_TYPE[i].name, name)) {
            *out = (emk_fraud_type)i;
            return true;
        }
    }
    return false;
}

bool emk_fraud_field_find(emk_span name, emk_fraud_field *out)
{
    for (unsigned i = 0; i < EMK_FRAUD_FIELDS; i++) {
        if (named(EMK_FRAUD_FIELD[i].name, name)) {
            *out = (emk_fraud_field)i;
            return true;
        }
    }
    return false;
}
