#include "fuzz/fraud_common.h"

#include "fuzz/check.h"

#include <stdio.h>

static const char RULES[] =
    "ruleset: {name: t, version: 1}\n"
    "families: {a: {cap: 10}, b: {cap: 30}}\n"
    "features:\n"
    "  n: {kind: count, key: subj.user, window: 12h, on: [model.grant, model.generate]}\n"
    "  sum: {kind: sum, of: obj.cost, key: subj.user, window: 1h, on: [model.generate]}\n"
    "  set: {kind: distinct, of: obj.artifact, key: subj.device, window: 1h, size: 4, on: "
    "[model.grant]}\n"
    "  many: {kind: distinct, of: subj.user, key: subj.net, window: 24h, size: 4, approx: true, "
    "on: [model.grant]}\n"
    "  debt: {kind: decay, key: subj.device, half_life: 1h, from: attested, add: {model.generate: "
    "1, "
    "model.delete: -1}}\n"
    "  rate: {kind: rate, of: obj.cost, key: subj.user, limit: 10, window: 1h, on: "
    "[model.generate]}\n"
    "  age: {kind: age, key: subj.user, since: first, on: [model.grant]}\n"
    "  last: {kind: last, key: subj.user, on: [model.grant]}\n"
    "  most: {kind: max, of: obj.cost, key: subj.user, window: 1h, on: [model.grant]}\n"
    "  gaps: {kind: gap_cv, key: subj.device, on: [model.grant]}\n"
    "  share: {kind: ratio, key: subj.user, half_life: 1h, on: [model.grant], part: "
    "[model.generate]}\n"
    "  kmh: {kind: geo_velocity, key: subj.user, min_km: 500, on: [model.grant]}\n"
    "  again: {kind: replay, of: res.counter, key: subj.device, on: [model.lease]}\n"
    "  leases: {kind: inflight, of: subj.device, key: subj.user, ttl: 15m, on: [model.lease]}\n"
    "  fails: {kind: sketch, key: subj.net, window: 10m, on: [model.grant]}\n"
    "  clock: {kind: server_minus_client_max, key: subj.device, window: 1h, on: [model.grant]}\n"
    "rules:\n"
    "- {id: A1, name: a, family: a, entity: subj.user, on: [model.grant, model.generate], when: "
    "\"(n >= 5 or sum > 40) and not (age < 1 or last > 1000)\", score: 9, half_life: 1h, reason: "
    "r, accumulate: true}\n"
    "- {id: A2, name: a, family: a, entity: subj.device, on: [model.grant], when: \"set >= 3 or "
    "many >= 5 or debt > 3\", score: 6, half_life: 1h, reason: r, jitter: true}\n"
    "- {id: B1, name: b, family: b, hard: true, entity: subj.device, on: [model.lease], when: "
    "\"again >= 1 or leases > 2\", score: 25, half_life: 3h, reason: r}\n"
    "- {id: B2, name: b, family: b, entity: subj.net, on: [model.grant], when: \"kmh > 900 or "
    "gaps.cv < 0.2 or share.n > 1 or most > 9 or fails > 7 or clock > 100 or rate > 9\", score: 5, "
    "half_life: 1d, reason: r}\n";

static emk_crypto *crypto;
static emk_fraud_ruleset *rules;
static emk_buf dump;
static size_t dump_at;

emk_fraud_engine *emk_fraud_fuzz_engine(void)
{
    emk_yaml_diag d = {.line = 0};
    emk_fraud_engine *en = NULL;
    emk_fraud_options o;

    if (!crypto) {
        must(emk_crypto_new(NULL, NULL, &crypto, NULL) == EMK_OK, "libcrypto");
        must(emk_fraud_ruleset_new(crypto, "f", emk_span_str(RULES), &rules, &d, NULL) == EMK_OK,
             d.text);
    }
    emk_fraud_options_init(&o);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        o.max[i] = EMK_FRAUD_FUZZ_MAX;
    must(emk_fraud_engine_new(crypto, rules, &o, &en, NULL) == EMK_OK, "an engine is made");
    return en;
}

void emk_fraud_fuzz_event(emk_fraud_event *ev, emk_fraud_names *n, const uint8_t p[3], uint64_t ts)
{
    static const emk_fraud_type types[] = {
        EMK_FRAUD_GRANT,     EMK_FRAUD_GENERATE,       EMK_FRAUD_LEASE,     EMK_FRAUD_DELETE,
        EMK_FRAUD_AUTH_FAIL, EMK_FRAUD_CHALLENGE_PASS, EMK_FRAUD_ADMIN_BAN, EMK_FRAUD_ADMIN_CLEAR};

    emk_fraud_event_init(ev, types[p[0] % 8], ts);
    snprintf(n->user, sizeof n->user, "u%u", p[1] % 16u);
    snprintf(n->device, sizeof n->device, "d%u", p[1] / 16u);
    snprintf(n->net, sizeof n->net, "n%u", p[0] / 64u);
    snprintf(n->artifact, sizeof n->artifact, "a%u", p[2] % 32u);
    emk_fraud_event_text(ev, EMK_FRAUD_F_USER, emk_span_str(n->user));
    if (p[0] & 8)
        emk_fraud_event_text(ev, EMK_FRAUD_F_DEVICE, emk_span_str(n->device));
    emk_fraud_event_text(ev, EMK_FRAUD_F_NET, emk_span_str(n->net));
    emk_fraud_event_text(ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(n->artifact));
    emk_fraud_event_number(ev, EMK_FRAUD_F_COST, p[2] * INT64_C(100));
    emk_fraud_event_number(ev, EMK_FRAUD_F_COUNTER, p[2] * INT64_C(1000));
    emk_fraud_event_number(ev, EMK_FRAUD_F_LAT, (p[2] - 128) * INT64_C(700));
    emk_fraud_event_number(ev, EMK_FRAUD_F_LON, (p[1] - 128) * INT64_C(1400));
    emk_fraud_event_number(ev, EMK_FRAUD_F_TS_CLIENT, (int64_t)(ts - p[2] * UINT64_C(7)) * 1000);
}

static emk_status put(void *self, emk_span s, emk_error *e)
{
    (void)self;
    return emk_buf_append(&dump, s, e);
}

static emk_status get(void *self, uint8_t *p, size_t len, emk_error *e)
{
    (void)self;
    if (len > dump.len - dump_at)
        return emk_fail(e, EMK_E_FORMAT, "cut", dump_at);
    memcpy(p, dump.p + dump_at, len);
    dump_at += len;
    return EMK_OK;
}

void emk_fraud_fuzz_copy(emk_fraud_engine *from, emk_fraud_engine *to)
{
    uint64_t offset = 0;

    emk_buf_init(&dump, (size_t)64 << 20);
    dump_at = 0;
    must(emk_fraud_snapshot(from, 1, put, NULL, NULL) == EMK_OK, "a snapshot");
    must(emk_fraud_restore(to, get, NULL, &offset, NULL) == EMK_OK, "which restores");
    emk_buf_done(&dump);
}
