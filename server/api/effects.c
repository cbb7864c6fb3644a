#include "server/api/effects.h"

#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/api/api.h"
#include "server/api/erasure.h"
#include "server/api/hooks.h"
#include "server/api/json_out.h"

#include <string.h>

#define TRIES    8u
#define NEWS_MAX 2048u
/* Tickets are not looked through for every request of somebody who asks on and on. */
#define GRANTS_AGAIN_S 60u
#define ID_LEN         EMK_GATE_DEVICE_ID_LEN

_Static_assert(ID_LEN == EMK_SHA256_LEN, "users and devices have names of one length");
_Static_assert(EMK_FRAUD_HOLD_GENERATE <= UINT8_MAX, "markers name an effect by one byte");

/* Effects on their way. */
typedef struct acting {
    emk_call *call;
    const emk_effects *in;
    unsigned wanted, did;
    unsigned audited; /* of the device that it is about now */
    bool has_device, has_user;
    uint8_t device[ID_LEN], user[ID_LEN];
} acting;

void emk_effects_text(unsigned effects, char out[EMK_NAME_CAP])
{
    size_t len = 0;

    for (unsigned i = 0; EMK_FRAUD_EFFECT_NAME[i]; i++) {
        size_t n = strlen(EMK_FRAUD_EFFECT_NAME[i]);

        if (!(effects >> i & 1) || len + n + 2 > EMK_NAME_CAP)
            continue;
        if (len > 0)
            out[len++] = ',';
        memcpy(out + len, EMK_FRAUD_EFFECT_NAME[i], n);
        len += n;
    }
    out[len] = 0;
}

static bool read_id(const emk_fraud_event *ev, emk_fraud_field f, uint8_t id[ID_LEN])
{
    emk_error ignored;
    size_t len;

    return emk_fraud_has(ev, f) && ev->f[f].text.len == EMK_BASE64URL_CHARS(ID_LEN) &&
           emk_base64url_decode(ev->f[f].text, id, ID_LEN, &len, &ignored) == EMK_OK;
}

/* What a backend calls another tenant's device means nobody. */
static bool is_meant(const acting *a, const emk_device_record *d)
{
    const emk_fraud_event *ev = a->in->ev;
    emk_span tenant = emk_fraud_has(ev, EMK_FRAUD_F_TENANT) ? ev->f[EMK_FRAUD_F_TENANT].text
                                                            : emk_span_of(NULL, 0);

    return ev->src != EMK_FRAUD_SRC_BACKEND || emk_span_equal(tenant, emk_span_str(d->gate.tenant));
}

static emk_status audit(acting *a, const uint8_t id[ID_LEN], unsigned effect, emk_error *e)
{
    emk_call *call = a->call;
    char name[EMK_NAME_CAP];
    const char *object;
    emk_journal_event event;

    if (a->audited & effect)
        return EMK_OK;
    if (!call->api->journal)
        return emk_fail(e, EMK_E_BUSY, "effects: no audit log", 0);
    emk_effects_text(effect, name);
    object = emk_arena_format(&call->arena, "effect:%s", name);
    emk_api_event(call, effect == EMK_FRAUD_REVOKE_KEY ? "device.revoke" : "fraud.effect",
                  EMK_JOURNAL_DONE, &event);
    event.actor = emk_span_str("earmarkd");
    event.subject = emk_span_of(id, ID_LEN);
    event.object = emk_span_str(object ? object : "");
    event.decision = emk_span_str(a->in->decision);
    a->audited |= effect;
    return emk_journal_append_always(call->api->journal, &event, NULL, e);
}

/* Counted when it is done, not when it was asked for. */
static void done(acting *a, unsigned effects)
{
    a->did |= effects;
    emk_meter_effects(&a->call->api->meter, effects);
}

/* ---- once ---- */

static emk_status marker_of(const acting *a, unsigned effect, uint8_t id[EMK_SHA256_LEN],
                            emk_error *e)
{
    static const char label[] = "earmark/1 effect"; /* with its zero */
    uint8_t bit = (uint8_t)effect;
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(&bit, 1),
                        emk_span_of(a->has_device ? a->device : a->user, ID_LEN)};

    return emk_sha256(a->call->api->crypto, parts, sizeof parts / sizeof parts[0], id, e);
}

/* EMK_E_USED: it was done a short while ago. */
static emk_status check_marker(const acting *a, const uint8_t id[EMK_SHA256_LEN], emk_error *e)
{
    emk_record_info info;
    emk_status st = emk_records_get(&a->call->api->records, EMK_KIND_EFFECT,
                                    emk_span_of(id, EMK_SHA256_LEN), &info, NULL, e);

    if (st == EMK_E_NOT_FOUND ||
        (st == EMK_OK && emk_record_is_expired(info.expires_s, emk_api_now(a->call->api)))) {
        *e = (emk_error){.status = EMK_OK};
        return EMK_OK;
    }
    return st == EMK_OK ? EMK_E_USED : st;
}

static emk_status put_marker(const acting *a, const uint8_t id[EMK_SHA256_LEN], uint64_t for_s,
                             emk_error *e)
{
    emk_record_change put = {.op = EMK_RECORD_PUT,
                             .kind = EMK_KIND_EFFECT,
                             .id = emk_span_of(id, EMK_SHA256_LEN),
                             .expect = EMK_RECORD_ANY,
                             .expires_s = emk_api_now(a->call->api) + for_s};

    return emk_records_commit(&a->call->api->records, &put, 1, NULL, e);
}

/* ---- devices ---- */

static bool is_again(uint64_t last_s, uint64_t now_s)
{
    return last_s != 0 && now_s < last_s + EMK_EFFECT_AGAIN_S;
}

/* Returns what is new for this device. */
static unsigned demand(emk_device_record *d, unsigned wanted, uint64_t now_s)
{
    unsigned is = 0;

    if (wanted & EMK_FRAUD_REVOKE_SESSION && !(d->demand & EMK_DEMAND_ALL) &&
        !is_again(d->ended_s, now_s)) {
        d->demand |= EMK_DEMAND_ALL;
        d->ended_s = now_s;
        is |= EMK_FRAUD_REVOKE_SESSION;
    }
    if (wanted & EMK_FRAUD_REATTEST && !(d->demand & EMK_DEMAND_GRANTS) &&
        !is_again(d->asked_s, now_s)) {
        d->demand |= EMK_DEMAND_GRANTS;
        d->asked_s = now_s;
        is |= EMK_FRAUD_REATTEST;
    }
    if (wanted & EMK_FRAUD_HOLD_GENERATE && d->held_until_s <= now_s &&
        !is_again(d->held_until_s, now_s)) {
        d->held_until_s = now_s + EMK_EFFECT_HOLD_S;
        is |= EMK_FRAUD_HOLD_GENERATE;
    }
    if (wanted & EMK_FRAUD_REVOKE_KEY) {
        d->gate.revoked = true;
        is |= EMK_FRAUD_REVOKE_KEY;
    }
    return is;
}

static emk_status audit_all(acting *a, const uint8_t id[ID_LEN], unsigned effects, emk_error *e)
{
    emk_status st = EMK_OK;

    for (unsigned bit = 1; st == EMK_OK && bit <= effects; bit <<= 1) {
        if (effects & bit)
            st = audit(a, id, bit, e);
    }
    return st;
}

/* As DELETE /v1/devices/{id}. */
static void tell_revoked(emk_call *call, const uint8_t id[ID_LEN], const emk_device_record *d)
{
    emk_decide_in about = {.device_id = id, .device = d};
    emk_fraud_event note;

    emk_fraud_event_init(&note, EMK_FRAUD_DEVICE_REVOKE, emk_api_now(call->api) * 1000);
    emk_api_note_quietly(call, &about, &note);
    emk_api_tell_revoked(call, id);
}

static emk_status change_device(acting *a, const uint8_t id[ID_LEN], emk_device_record *d,
                                unsigned *is, emk_error *e)
{
    emk_call *call = a->call;
    emk_device_change *put = emk_arena_take(&call->arena, sizeof *put);
    uint64_t version = 0;
    emk_status st = put ? EMK_E_STALE : emk_fail(e, EMK_E_NO_MEMORY, "effects: memory", 0);

    for (unsigned i = 0; st == EMK_E_STALE && i < TRIES; i++) {
        *is = 0;
        st = emk_device_get(&call->api->records, id, d, &version, e);
        if (st != EMK_OK || d->gate.revoked || !is_meant(a, d))
            break;
        *is = demand(d, a->wanted, emk_api_now(call->api));
        if (*is == 0)
            break;
        st = audit_all(a, id, *is, e);
        if (st == EMK_OK)
            st = emk_device_change_make(call->api->crypto, id, d, version, put, e);
        if (st == EMK_OK)
            st = emk_records_commit(&call->api->records, &put->change, 1, NULL, e);
    }
    if (st != EMK_OK)
        *is = 0;
    return st;
}

/* ---- tickets ---- */

emk_status emk_api_revoke_ticket(const emk_api *api, emk_span id, emk_ticket_entity *t,
                                 emk_record_info *info, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_ticket_shape, .in = t, .id = id};
    emk_status st = EMK_E_STALE;

    for (unsigned i = 0; st == EMK_E_STALE && i < TRIES; i++) {
        st = i == 0 ? EMK_OK : emk_entity_get(&api->records, &emk_ticket_shape, id, t, info, e);
        if (st != EMK_OK)
            break;
        t->state = EMK_TICKET_REVOKED;
        put.owner = emk_span_of(info->owner, info->owner_len);
        put.expect = info->version;
        put.expires_s = info->expires_s;
        st = emk_entity_store(&api->records, &put, NULL, e);
    }
    return st;
}

typedef struct ticket_run {
    acting *a;
    const uint8_t *device;
    emk_ticket_entity *t;
    bool any;
} ticket_run;

static emk_status revoke_one(void *self, emk_span id, emk_error *e)
{
    ticket_run *run = self;
    emk_api *api = run->a->call->api;
    emk_record_info info;
    emk_status st = emk_entity_get(&api->records, &emk_ticket_shape, id, run->t, &info, e);

    if (st == EMK_E_NOT_FOUND)
        return EMK_OK;
    if (st != EMK_OK || run->t->state == EMK_TICKET_REVOKED || run->t->state == EMK_TICKET_FAILED ||
        run->t->policy_expires_s <= emk_api_now(api))
        return st;
    st = audit(run->a, run->device, EMK_FRAUD_REVOKE_GRANTS, e);
    if (st == EMK_OK)
        st = emk_api_revoke_ticket(api, id, run->t, &info, e);
    run->any |= st == EMK_OK;
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status revoke_tickets(acting *a, const uint8_t id[ID_LEN], emk_error *e)
{
    emk_owned tickets = {.kind = EMK_KIND_TICKET, .owner = emk_span_of(id, ID_LEN)};
    ticket_run run = {.a = a, .device = id, .t = emk_arena_take(&a->call->arena, sizeof *run.t)};
    emk_status st;

    if (!run.t)
        return emk_fail(e, EMK_E_NO_MEMORY, "effects: memory", sizeof *run.t);
    st = emk_api_each_owned(a->call->api, &tickets, revoke_one, &run, e);
    if (run.any)
        done(a, EMK_FRAUD_REVOKE_GRANTS);
    return st;
}

/* ---- whose ---- */

static emk_status act_on(void *self, emk_span id, emk_error *e)
{
    acting *a = self;
    emk_device_record *d = emk_arena_take(&a->call->arena, sizeof *d);
    unsigned is = 0;
    bool meant;
    emk_status st;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "effects: memory", sizeof *d);
    a->audited = 0;
    st = change_device(a, id.p, d, &is, e);
    if (st == EMK_E_NOT_FOUND) {
        *e = (emk_error){.status = EMK_OK};
        return EMK_OK; /* erased, or nobody's name */
    }
    if (st != EMK_OK)
        return st;
    meant = is_meant(a, d);
    if (is && a->call->api->gate)
        emk_gate_forget_device(a->call->api->gate, id.p);
    if (is & EMK_FRAUD_REVOKE_KEY)
        tell_revoked(a->call, id.p, d);
    done(a, is);
    return meant && a->wanted & EMK_FRAUD_REVOKE_GRANTS ? revoke_tickets(a, id.p, e) : EMK_OK;
}

static emk_status act_on_devices(acting *a, emk_error *e)
{
    emk_owned devices = {.kind = EMK_KIND_DEVICE, .owner = emk_span_of(a->user, ID_LEN)};
    uint8_t grants[EMK_SHA256_LEN];
    emk_status st = EMK_OK;

    if (a->wanted & EMK_FRAUD_REVOKE_GRANTS) {
        st = marker_of(a, EMK_FRAUD_REVOKE_GRANTS, grants, e);
        if (st == EMK_OK)
            st = check_marker(a, grants, e);
        if (st == EMK_E_USED) {
            a->wanted &= ~(unsigned)EMK_FRAUD_REVOKE_GRANTS;
            st = EMK_OK;
        }
    }
    if (st == EMK_OK && a->has_device)
        st = act_on(a, emk_span_of(a->device, ID_LEN), e);
    else if (st == EMK_OK && a->has_user)
        st = emk_api_each_owned(a->call->api, &devices, act_on, a, e);
    if (st == EMK_OK && a->wanted & EMK_FRAUD_REVOKE_GRANTS)
        st = put_marker(a, grants, GRANTS_AGAIN_S, e);
    return st;
}

/* ---- people ---- */

static emk_status tell_people(acting *a, unsigned effects, const uint8_t marker[EMK_SHA256_LEN],
                              emk_error *e)
{
    emk_call *call = a->call;
    /* The same news after a kill is the same message. */
    emk_hook_news news = {.kind = EMK_WEBHOOK_CASE, .now_s = emk_api_now(call->api), .id = marker};
    char names[EMK_NAME_CAP];
    emk_json_out o;
    emk_status st;

    emk_effects_text(effects, names);
    emk_json_out_init(&o, &call->arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "decision", emk_span_str(a->in->decision));
    emk_json_out_text(&o, "effects", emk_span_str(names));
    emk_json_out_text(&o, "point", emk_span_str(a->in->point));
    emk_json_out_text(&o, "action", emk_span_str(EMK_FRAUD_ACTION_NAME[a->in->answer->action]));
    emk_json_out_text(&o, "reasons", emk_span_str(a->in->answer->reasons));
    if (a->has_user)
        emk_json_out_base64url(&o, "user", emk_span_of(a->user, ID_LEN));
    if (a->has_device)
        emk_json_out_base64url(&o, "device", emk_span_of(a->device, ID_LEN));
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &news.data, e);
    return st == EMK_OK ? emk_hooks_post(call->api->hooks, &news, NULL, e) : st;
}

static emk_status act_for_people(acting *a, emk_error *e)
{
    emk_status st = EMK_OK;

    a->audited = 0;
    for (unsigned bit = 1; st == EMK_OK && bit <= EMK_EFFECTS_FOR_PEOPLE; bit <<= 1) {
        uint8_t marker[EMK_SHA256_LEN];

        if (!(a->wanted & EMK_EFFECTS_FOR_PEOPLE & bit))
            continue;
        st = marker_of(a, bit, marker, e);
        if (st == EMK_OK)
            st = check_marker(a, marker, e);
        if (st == EMK_E_USED) {
            st = EMK_OK;
            continue;
        }
        if (st == EMK_OK)
            st = audit(a, a->has_device ? a->device : a->user, bit, e);
        if (st == EMK_OK)
            st = tell_people(a, bit, marker, e);
        if (st == EMK_OK)
            st = put_marker(a, marker, EMK_EFFECT_CASE_S, e);
        if (st == EMK_OK)
            done(a, bit);
    }
    return st;
}

static void begin(emk_call *call, const emk_effects *in, acting *a)
{
    *a = (acting){.call = call, .in = in, .wanted = in->answer->effects};
    a->has_device = read_id(in->ev, EMK_FRAUD_F_DEVICE, a->device);
    a->has_user = read_id(in->ev, EMK_FRAUD_F_USER, a->user);
}

emk_status emk_api_effects(emk_call *call, const emk_effects *in, unsigned *did, emk_error *e)
{
    acting a;
    emk_status st = EMK_OK;

    begin(call, in, &a);
    if (a.wanted & EMK_EFFECTS_OF_DEVICES)
        st = act_on_devices(&a, e);
    if (st == EMK_OK && a.wanted & EMK_EFFECTS_FOR_PEOPLE)
        st = act_for_people(&a, e);
    *did = a.did;
    return st;
}

/* ---- notes ---- */

/* Of what was erased meanwhile nothing is kept. */
static emk_status store(const acting *a, emk_decision_entity *d, emk_error *e)
{
    emk_call *call = a->call;
    emk_entity_put put = {.shape = &emk_decision_shape,
                          .in = d,
                          .id = emk_span_str(a->in->decision),
                          .owner = emk_span_of(a->user, a->has_user ? ID_LEN : 0),
                          .expect = EMK_RECORD_ANY,
                          .expires_s = emk_api_now(call->api) + EMK_DECIDE_KEEP_S};
    emk_record_change all[2] = {{.op = EMK_RECORD_CHECK,
                                 .kind = a->has_device ? EMK_KIND_DEVICE : EMK_KIND_USER,
                                 .id = emk_span_of(a->has_device ? a->device : a->user, ID_LEN),
                                 .expect = EMK_RECORD_ANY}};
    emk_entity_change made;
    emk_status st = emk_entity_change_make(&put, &made, e);

    if (st != EMK_OK)
        return st;
    all[1] = made.change;
    st = emk_records_commit(&call->api->records, all, 2, NULL, e);
    emk_entity_change_done(&made);
    return st;
}

static emk_status keep(const acting *a, unsigned did, emk_error *e)
{
    const emk_decide_answer *from = a->in->answer;
    emk_decision_entity *d = emk_arena_take(&a->call->arena, sizeof *d);
    const char *action = EMK_FRAUD_ACTION_NAME[from->action];
    emk_buf line;
    emk_status st;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "effects: memory", sizeof *d);
    memcpy(d->id, a->in->decision, strlen(a->in->decision) + 1);
    memcpy(d->point, a->in->point, strlen(a->in->point) + 1);
    memcpy(d->action, action, strlen(action) + 1);
    memcpy(d->reasons, from->reasons, sizeof d->reasons);
    memcpy(d->rules, from->rules, sizeof d->rules);
    memcpy(d->ruleset, from->ruleset, sizeof d->ruleset);
    memcpy(d->device, a->device, sizeof d->device);
    emk_effects_text(did, d->effects);
    d->time_ms = emk_api_now(a->call->api) * 1000;
    d->score = from->score > 0 ? (uint64_t)from->score / 10 : 0;
    emk_buf_init(&line, EMK_FRAUD_LINE_MAX);
    st = emk_fraud_event_write(a->in->ev, &line, e);
    if (st == EMK_OK && line.len <= sizeof d->event.p) {
        memcpy(d->event.p, line.p, line.len);
        d->event.len = line.len;
    }
    emk_buf_done(&line);
    return st == EMK_OK ? store(a, d, e) : st;
}

void emk_api_effects_of_note(emk_call *call, const emk_fraud_event *ev,
                             const emk_decide_answer *answer)
{
    uint8_t id[16];
    char text[EMK_WORD_CAP];
    emk_effects in = {.ev = ev, .answer = answer, .decision = text, .point = "event"};
    unsigned did = 0;
    acting a;
    size_t len;
    emk_error e = {0};
    emk_status st;

    if (answer->effects == 0)
        return;
    st = emk_random_public(call->api->crypto, id, sizeof id, &e);
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(id, sizeof id), text, sizeof text, &len, &e);
    if (st == EMK_OK)
        st = emk_api_effects(call, &in, &did, &e);
    begin(call, &in, &a);
    if (did && (a.has_device || a.has_user)) {
        emk_error why = {0};

        if (keep(&a, did, &why) != EMK_OK && st == EMK_OK)
            call->error = why;
    }
    if (st != EMK_OK)
        call->error = e; /* for the log; the event itself was taken */
}

/* ---- being asked, and answering ---- */

emk_status emk_api_effects_challenged(emk_call *call, const uint8_t id[32], emk_error *e)
{
    emk_device_change *put = emk_arena_take(&call->arena, sizeof *put);
    emk_device_record *d = emk_arena_take(&call->arena, sizeof *d);
    uint64_t version = 0;
    emk_status st = put && d ? EMK_E_STALE : emk_fail(e, EMK_E_NO_MEMORY, "effects: memory", 0);

    for (unsigned i = 0; st == EMK_E_STALE && i < TRIES; i++) {
        st = emk_device_get(&call->api->records, id, d, &version, e);
        if (st != EMK_OK || d->demand != 0)
            break;
        d->demand = EMK_DEMAND_CHALLENGED;
        st = emk_device_change_make(call->api->crypto, id, d, version, put, e);
        if (st == EMK_OK)
            st = emk_records_commit(&call->api->records, &put->change, 1, NULL, e);
    }
    return st;
}

/* From here on an hour is counted before the same is demanded again: some rules stay true. */
bool emk_effects_answered(emk_device_record *d, uint64_t now_s)
{
    bool was = d->demand != 0;

    if (d->demand & (EMK_DEMAND_GRANTS | EMK_DEMAND_ALL))
        d->asked_s = now_s;
    if (d->demand & EMK_DEMAND_ALL)
        d->ended_s = now_s;
    d->demand = 0;
    return was;
}
