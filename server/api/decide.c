#include "server/api/decide.h"

#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/api/admin.h"
#include "server/api/api.h"
#include "server/api/effects.h"
#include "server/api/grant.h"
#include "server/api/hooks.h"
#include "server/api/json_out.h"
#include "server/api/pace.h"
#include "server/api/problem.h"

#include <string.h>

#define PROBLEM_MAX 1024u
#define NEWS_MAX    2048u
#define STORE_TRIES 8u

/* ---- exact checks ---- */

emk_status emk_list_id(const emk_crypto *c, emk_span list, emk_span value, uint8_t id[32],
                       emk_error *e)
{
    static const char label[] = "earmark/1 list"; /* with its zero */
    emk_span parts[] = {emk_span_of(label, sizeof label), list, emk_span_of("", 1), value};

    return emk_sha256(c, parts, 4, id, e);
}

emk_status emk_list_has(emk_call *call, const char *list, emk_span value, emk_error *e)
{
    emk_list_entity *entry = emk_arena_take(&call->arena, sizeof *entry);
    uint8_t id[32];
    emk_status st;

    if (!entry)
        return emk_fail(e, EMK_E_NO_MEMORY, "decide: memory", sizeof *entry);
    st = emk_list_id(call->api->crypto, emk_span_str(list), value, id, e);
    if (st == EMK_OK)
        st = emk_entity_get(&call->api->records, &emk_list_shape, emk_span_of(id, sizeof id), entry,
                            NULL, e);
    if (st == EMK_OK && entry->expires_s != 0 && entry->expires_s <= emk_api_now(call->api))
        return emk_fail(e, EMK_E_NOT_FOUND, "decide: no longer on the list", 0);
    return st;
}

bool emk_user_is_banned(const emk_user_entity *u, uint64_t now)
{
    return u->banned && (u->banned_until_s == 0 || u->banned_until_s > now);
}

static void ban(emk_verdict *v, const char *reason)
{
    v->banned = true;
    v->answer.action = EMK_FRAUD_BAN;
    memcpy(v->answer.reasons, reason, strlen(reason) + 1);
}

/* What is rightly not there is no reason that belongs into the log. */
static emk_status absent_is_fine(emk_status st, emk_error *e)
{
    if (st != EMK_E_NOT_FOUND)
        return st;
    if (e)
        *e = (emk_error){.status = EMK_OK};
    return EMK_OK;
}

static emk_status check_user(emk_call *call, const emk_decide_in *in, emk_verdict *v, emk_error *e)
{
    emk_user_entity *user = emk_arena_take(&call->arena, sizeof *user);
    uint8_t owner[32];
    emk_status st;

    if (!user)
        return emk_fail(e, EMK_E_NO_MEMORY, "decide: memory", sizeof *user);
    st =
        emk_user_owner(call->api->crypto, in->device->gate.tenant, in->device->gate.user, owner, e);
    if (st == EMK_OK)
        st = emk_entity_get(&call->api->records, &emk_user_shape, emk_span_of(owner, sizeof owner),
                            user, NULL, e);
    if (st == EMK_OK && emk_user_is_banned(user, emk_api_now(call->api)))
        ban(v, "banned");
    return absent_is_fine(st, e);
}

static emk_status check_list(emk_call *call, const char *list, emk_span value, emk_verdict *v,
                             emk_error *e)
{
    emk_status st = value.len > 0 ? emk_list_has(call, list, value, e) : EMK_E_NOT_FOUND;

    if (st == EMK_OK)
        ban(v, "policy");
    return absent_is_fine(st, e);
}

static emk_span name_of(emk_call *call, const uint8_t *id, size_t len)
{
    char *text = emk_arena_take(&call->arena, EMK_BASE64URL_CHARS(32) + 1);
    emk_error ignored;
    size_t n = 0;

    if (!text || !id ||
        emk_base64url_encode(emk_span_of(id, len), text, EMK_BASE64URL_CHARS(32) + 1, &n,
                             &ignored) != EMK_OK)
        return emk_span_of(NULL, 0);
    return emk_span_of(text, n);
}

static emk_status check_exact(emk_call *call, const emk_decide_in *in, emk_verdict *v, emk_error *e)
{
    emk_status st = check_user(call, in, v, e);

    if (st == EMK_OK && in->device->gate.revoked)
        ban(v, "revoked");
    if (st == EMK_OK && !v->banned)
        st = check_list(call, EMK_LIST_BANNED_DEVICES, name_of(call, in->device_id, 32), v, e);
    if (st == EMK_OK && !v->banned)
        st = check_list(call, EMK_LIST_BANNED_USERS, emk_span_str(in->device->gate.user), v, e);
    if (st == EMK_OK && !v->banned)
        st = check_list(call, EMK_LIST_BANNED_APPS, in->app, v, e);
    return st;
}

/* ---- the event ---- */

/* Texts of events are visible ASCII; what is not has no place in one. */
static void put_text(emk_fraud_event *ev, emk_fraud_field f, emk_span s)
{
    if (s.len == 0 || s.len > EMK_FRAUD_ID_MAX)
        return;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7F || s.p[i] == '"' || s.p[i] == '\\')
            return;
    }
    emk_fraud_event_text(ev, f, s);
}

static void put_number(emk_fraud_event *ev, emk_fraud_field f, uint64_t v)
{
    uint64_t max = (uint64_t)EMK_FRAUD_FIELD[f].max / EMK_FRAUD_MILLI;

    emk_fraud_event_number(ev, f, (int64_t)(v < max ? v : max) * EMK_FRAUD_MILLI);
}

static void put_client(emk_call *call, emk_fraud_event *ev)
{
    char *ip = emk_arena_take(&call->arena, EMK_ADDRESS_TEXT_MAX);
    char *net = emk_arena_take(&call->arena, EMK_NET_TEXT_MAX);
    emk_net around = emk_net_of_client(&call->gate.client);

    if (!ip || !net || call->gate.client.family == EMK_ADDRESS_NONE)
        return;
    emk_address_format(&call->gate.client, ip);
    emk_net_format(&around, net);
    put_text(ev, EMK_FRAUD_F_IP, emk_span_str(ip));
    put_text(ev, EMK_FRAUD_F_NET, emk_span_str(net));
}

/* Here and nowhere later: a replay of the log sees what was known at the time. */
static void put_place(emk_call *call, emk_fraud_event *ev)
{
    emk_place *at = emk_arena_take(&call->arena, sizeof *at); /* the event borrows its texts */

    if (!at || !call->api->places || call->gate.client.family == EMK_ADDRESS_NONE)
        return;
    emk_places_find(call->api->places, &call->gate.client, at);
    if (at->asn != 0)
        put_number(ev, EMK_FRAUD_F_ASN, at->asn);
    put_text(ev, EMK_FRAUD_F_CC, emk_span_str(at->cc));
    if (at->located) {
        emk_fraud_event_number(ev, EMK_FRAUD_F_LAT, at->lat);
        emk_fraud_event_number(ev, EMK_FRAUD_F_LON, at->lon);
        put_number(ev, EMK_FRAUD_F_GEO_KM, at->km);
    }
    if (at->kind)
        put_text(ev, EMK_FRAUD_F_NET_KIND, emk_span_str(at->kind));
    put_text(ev, EMK_FRAUD_F_GEO_DB, emk_span_str(at->source));
}

static void put_device(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev)
{
    const emk_device_record *d = in->device;
    uint64_t now = emk_api_now(call->api);
    uint64_t since = d->attested ? d->attested : d->enrolled;
    uint8_t owner[32];
    emk_error ignored;

    /* Pseudonyms: events are kept and shown. */
    if (emk_user_owner(call->api->crypto, d->gate.tenant, d->gate.user, owner, &ignored) == EMK_OK)
        put_text(ev, EMK_FRAUD_F_USER, name_of(call, owner, sizeof owner));
    put_text(ev, EMK_FRAUD_F_DEVICE, name_of(call, in->device_id, 32));
    put_text(ev, EMK_FRAUD_F_TENANT, emk_span_str(d->gate.tenant));
    put_text(ev, EMK_FRAUD_F_ATT_KIND,
             emk_span_str(emk_attest_kind_name((emk_attest_kind)d->attestation_kind)));
    put_number(ev, EMK_FRAUD_F_ATT_LEVEL, d->gate.attestation_level);
    if (since != 0 && since <= now)
        put_number(ev, EMK_FRAUD_F_ATT_AGE, now - since);
}

static void put_subjects(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev)
{
    ev->src = EMK_FRAUD_SRC_SERVER;
    put_text(ev, EMK_FRAUD_F_ID, emk_span_str(call->id));
    put_client(call, ev);
    put_place(call, ev);
    if (in->device)
        put_device(call, in, ev);
    put_text(ev, EMK_FRAUD_F_APP_ID, in->app);
    put_text(ev, EMK_FRAUD_F_MODEL, in->model);
    put_text(ev, EMK_FRAUD_F_ARTIFACT, in->model);
    if (in->ticket_id)
        put_text(ev, EMK_FRAUD_F_GRANT, name_of(call, in->ticket_id, 16));
    if (in->cost)
        put_number(ev, EMK_FRAUD_F_COST, in->cost);
}

static emk_fraud_type type_of(emk_decide_point p)
{
    static const emk_fraud_type TYPES[EMK_DECIDE_POINTS] = {
        [EMK_DECIDE_TICKET] = EMK_FRAUD_GRANT,
        [EMK_DECIDE_REDEEM] = EMK_FRAUD_GENERATE,
        [EMK_DECIDE_BLOB] = EMK_FRAUD_DOWNLOAD_START,
        [EMK_DECIDE_LEASE] = EMK_FRAUD_LEASE,
    };
    return TYPES[p];
}

emk_status emk_api_tell(emk_call *call, const emk_fraud_event *ev, emk_error *e)
{
    const emk_decider *d = &call->api->decider;
    emk_decide_answer answer = {.effects = 0};
    emk_status st = d->ops->note(d->self, ev, &answer, e);

    if (st == EMK_OK)
        emk_api_effects_of_note(call, ev, &answer);
    return st;
}

static void note(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev, bool quiet)
{
    const emk_decider *d = &call->api->decider;
    emk_decide_answer answer = {.effects = 0};
    emk_error ignored;
    unsigned flight;

    if (!d->ops || !d->ops->note)
        return;
    flight = emk_flights_enter(&call->api->flights);
    if (!in->device ||
        emk_device_is_there(&call->api->records, in->device_id, in->device, &ignored) == EMK_OK)
        (void)!d->ops->note(d->self, ev, &answer,
                            &ignored); /* the engine counts what it does not take */
    emk_flights_leave(&call->api->flights, flight);
    if (!quiet)
        emk_api_effects_of_note(call, ev, &answer);
}

void emk_api_note_as(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev,
                     emk_fraud_source source)
{
    put_subjects(call, in, ev);
    ev->src = source;
    note(call, in, ev, false);
}

void emk_api_note_quietly(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev)
{
    put_subjects(call, in, ev);
    note(call, in, ev, true);
}

void emk_api_note(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev)
{
    emk_api_note_as(call, in, ev, EMK_FRAUD_SRC_SERVER);
}

/* ---- the question ---- */

static emk_status ask(emk_call *call, const emk_decide_in *in, emk_verdict *v, emk_fraud_event *ev,
                      emk_error *e)
{
    const emk_decider *d = &call->api->decider;
    emk_status st = EMK_OK;

    emk_fraud_event_init(ev, type_of(in->point), emk_api_now(call->api) * 1000);
    put_subjects(call, in, ev);
    if (!v->banned && d->ops) {
        unsigned flight = emk_flights_enter(&call->api->flights);

        /* What an erasure forgot is not to be remembered anew. */
        st = emk_device_is_there(&call->api->records, in->device_id, in->device, e);
        if (st == EMK_OK)
            st = d->ops->decide(d->self, ev, &v->answer, e);
        emk_flights_leave(&call->api->flights, flight);
    } else if (!v->banned)
        memcpy(v->answer.rules, "no engine", sizeof "no engine");
    return st;
}

/* ---- what is told ---- */

static emk_status tell(emk_call *call, const emk_decision_entity *d, emk_webhook_kind kind,
                       emk_hook_batch *out, emk_error *e)
{
    emk_hook_news news = {.kind = kind, .now_s = d->time_ms / 1000};
    emk_json_out o;
    emk_status st;

    emk_json_out_init(&o, &call->arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "decision", emk_span_str(d->id));
    emk_json_out_text(&o, "action", emk_span_str(d->action));
    emk_json_out_text(&o, "point", emk_span_str(d->point));
    emk_json_out_text(&o, "reasons", emk_span_str(d->reasons));
    emk_json_out_base64url(&o, "device", emk_span_of(d->device, sizeof d->device));
    if (d->model[0])
        emk_json_out_text(&o, "model", emk_span_str(d->model));
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &news.data, e);
    return st == EMK_OK ? emk_hooks_prepare(call->api->hooks, &news, out, e) : st;
}

/* Commits with all[0] as the check that the device was not erased: it may have changed, and is read
 * again then. */
static emk_status commit_of(emk_call *call, const emk_decide_in *in, emk_record_change *all,
                            size_t n, emk_error *e)
{
    emk_device_record *device = emk_arena_take(&call->arena, sizeof *device);
    emk_status st = device ? EMK_E_STALE : emk_fail(e, EMK_E_NO_MEMORY, "decide: memory", n);

    for (unsigned i = 0; st == EMK_E_STALE && i < STORE_TRIES; i++) {
        if (i == 0)
            *device = *in->device;
        else if ((st = emk_device_get(&call->api->records, in->device_id, device, NULL, e)) !=
                 EMK_OK)
            break;
        all[0] = emk_device_check(in->device_id, device);
        st = emk_records_commit(&call->api->records, all, n, NULL, e);
        if (st == EMK_E_STALE && e->where != 0)
            break;
    }
    return st;
}

/* One batch: whoever has the decision has the message too.  A message that cannot be made does not
 * stop the decision. */
static emk_status commit(emk_call *call, const emk_decide_in *in, const emk_entity_put *put,
                         emk_fraud_action action, emk_error *e)
{
    emk_record_change all[EMK_HOOK_TARGETS_MAX + 2];
    emk_hook_batch *news = emk_arena_take(&call->arena, sizeof *news);
    emk_webhook_kind kind = action == EMK_FRAUD_BAN ? EMK_WEBHOOK_BAN : EMK_WEBHOOK_DENY;
    emk_entity_change decision;
    emk_error ignored;
    emk_status st = news ? emk_entity_change_make(put, &decision, e)
                         : emk_fail(e, EMK_E_NO_MEMORY, "decide: memory", sizeof *news);

    if (st != EMK_OK)
        return st;
    if (action < EMK_FRAUD_DENY || tell(call, put->in, kind, news, &ignored) != EMK_OK)
        news->n = 0;
    all[1] = decision.change;
    memcpy(all + 2, news->change, news->n * sizeof news->change[0]);
    st = commit_of(call, in, all, 2 + news->n, e);
    if (st == EMK_OK)
        emk_hooks_queued(call->api->hooks, news);
    emk_hooks_batch_done(news);
    emk_entity_change_done(&decision);
    return st;
}

/* Puts it to what is about to be granted: one commit less to wait for. */
static emk_status join(emk_call *call, const emk_entity_put *put, emk_grant_batch *to, emk_error *e)
{
    emk_entity_change made;
    emk_record_change kept;
    emk_status st = emk_entity_change_make(put, &made, e);

    if (st != EMK_OK)
        return st;
    kept = made.change;
    st = emk_arena_copy(&call->arena, made.change.value, &kept.value, e);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, made.change.id, &kept.id, e);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, made.change.owner, &kept.owner, e);
    if (st == EMK_OK)
        emk_grant_add(to, &kept, EMK_API_CONFLICT, NULL);
    emk_entity_change_done(&made);
    return st;
}

static const char *const ACTIONS[EMK_FRAUD_ACTIONS] = {"allow", "observe", "challenge", "throttle",
                                                       "mark",  "deny",    "ban"};

static const char *const POINTS[EMK_DECIDE_POINTS] = {"ticket", "redeem", "blob", "lease"};

static emk_status store(emk_call *call, const emk_decide_in *in, const emk_verdict *v,
                        emk_span line, emk_error *e)
{
    emk_decision_entity *d = emk_arena_take(&call->arena, sizeof *d);
    uint64_t now = emk_api_now(call->api);
    uint8_t owner[32];
    emk_entity_put put = {.shape = &emk_decision_shape,
                          .in = d,
                          .id = emk_span_str(v->id),
                          .owner = emk_span_of(owner, sizeof owner),
                          .expect = EMK_RECORD_ANY,
                          .expires_s = now + EMK_DECIDE_KEEP_S};
    emk_status st =
        emk_user_owner(call->api->crypto, in->device->gate.tenant, in->device->gate.user, owner, e);

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "decide: memory", sizeof *d);
    if (st != EMK_OK)
        return st;
    memcpy(d->id, v->id, strlen(v->id) + 1);
    memcpy(d->point, POINTS[in->point], strlen(POINTS[in->point]) + 1);
    memcpy(d->action, ACTIONS[v->answer.action], strlen(ACTIONS[v->answer.action]) + 1);
    memcpy(d->reasons, v->answer.reasons, sizeof d->reasons);
    memcpy(d->rules, v->answer.rules, sizeof d->rules);
    memcpy(d->ruleset, v->answer.ruleset, sizeof d->ruleset);
    memcpy(d->device, in->device_id, sizeof d->device);
    d->explore_ppm = v->answer.explore_ppm;
    if (d->explore_ppm)
        memcpy(d->would, ACTIONS[v->answer.would], strlen(ACTIONS[v->answer.would]) + 1);
    emk_effects_text(v->did, d->effects);
    d->time_ms = now * 1000;
    d->score = v->answer.score > 0 ? (uint64_t)v->answer.score / 10 : 0;
    if (in->model.len < sizeof d->model && in->model.len > 0)
        memcpy(d->model, in->model.p, in->model.len);
    if (line.len <= sizeof d->event.p) {
        memcpy(d->event.p, line.p, line.len);
        d->event.len = line.len;
    }
    return in->with && v->pass ? join(call, &put, in->with, e)
                               : commit(call, in, &put, v->answer.action, e);
}

static void judge(emk_verdict *v)
{
    v->pass = true;
    v->marked = v->answer.action == EMK_FRAUD_MARK; /* and throttled, as what lies below it */
    v->why = "this is not allowed";
    switch (v->answer.action) {
    case EMK_FRAUD_CHALLENGE:
        v->pass = false;
        v->help = EMK_HELP_ATTEST;
        v->why = "attest again first";
        break;
    case EMK_FRAUD_MARK:
    case EMK_FRAUD_THROTTLE:
        v->pass = false;
        v->help = EMK_HELP_WAIT;
        v->why = "too many requests: wait before the next one";
        break;
    case EMK_FRAUD_DENY:
    case EMK_FRAUD_BAN:
        v->pass = false;
        break;
    default:
        break;
    }
}

/* Of what is throttled, the share that the plan's factor leaves is served. */
static void let_some(emk_call *call, const emk_decide_in *in, emk_verdict *v)
{
    if (v->help != EMK_HELP_WAIT ||
        !emk_api_pace(call, in, v->answer.pace_s, &v->answer.retry_after_s))
        return;
    v->pass = true;
    v->help = EMK_HELP_NONE;
}

/* ---- what rules demand ---- */

static void hold_back(emk_verdict *v, emk_fraud_action least, const char *reason)
{
    if (v->answer.action < least)
        v->answer.action = least;
    if (!v->answer.reasons[0])
        memcpy(v->answer.reasons, reason, strlen(reason) + 1);
    v->pass = false;
    v->marked = false;
}

/* What passes otherwise is held against what was demanded of the device. */
static void check_demands(const emk_decide_in *in, const emk_device_record *d, uint64_t now,
                          emk_verdict *v)
{
    bool makes = in->point == EMK_DECIDE_TICKET || in->point == EMK_DECIDE_REDEEM;

    if (!v->pass)
        return;
    if (d->gate.revoked) {
        hold_back(v, EMK_FRAUD_DENY, "revoked");
        v->why = "the device was revoked";
        v->help = EMK_HELP_ENROL;
    } else if (d->demand & EMK_DEMAND_ALL || (makes && d->demand & EMK_DEMAND_GRANTS)) {
        hold_back(v, EMK_FRAUD_CHALLENGE, "reattest");
        v->why = "attest again first";
        v->help = EMK_HELP_ATTEST;
    } else if (makes && d->held_until_s > now) {
        hold_back(v, EMK_FRAUD_THROTTLE, "hold_generate");
        v->why = "nothing is made for this device for a while";
        v->help = EMK_HELP_WAIT;
        v->answer.retry_after_s = (uint32_t)(d->held_until_s - now);
    }
}

/* Does what the rules ask for, and looks at the device as it is then. */
static emk_status act(emk_call *call, const emk_decide_in *in, const emk_fraud_event *ev,
                      emk_verdict *v, emk_error *e)
{
    emk_effects what = {
        .ev = ev, .answer = &v->answer, .decision = v->id, .point = POINTS[in->point]};
    emk_device_record *now = emk_arena_take(&call->arena, sizeof *now);
    emk_status st = now ? emk_api_effects(call, &what, &v->did, e)
                        : emk_fail(e, EMK_E_NO_MEMORY, "decide: memory", sizeof *now);

    if (st == EMK_OK)
        st = emk_device_get(&call->api->records, in->device_id, now, NULL, e);
    if (st == EMK_OK)
        check_demands(in, now, emk_api_now(call->api), v);
    return st;
}

/* After the engine's word: what it asks for besides, and what was asked for before. */
static emk_status settle(emk_call *call, const emk_decide_in *in, const emk_fraud_event *ev,
                         emk_verdict *v, emk_error *e)
{
    emk_status st = EMK_OK;

    judge(v);
    let_some(call, in, v);
    check_demands(in, in->device, emk_api_now(call->api), v);
    if (v->answer.effects)
        st = act(call, in, ev, v, e);
    if (st == EMK_OK && v->help == EMK_HELP_ATTEST && in->device->demand == 0 &&
        in->device->version != 0)
        st = emk_api_effects_challenged(call, in->device_id, e);
    return st;
}

static void count(emk_call *call, const emk_decide_in *in, const emk_verdict *v, uint64_t ns)
{
    emk_meter_decision d = {.live = v->answer.action,
                            .shadow = v->answer.shadow,
                            .draft = v->answer.draft,
                            .asked = !v->banned && call->api->decider.ops,
                            .has_draft = v->answer.has_draft,
                            .score = v->answer.score,
                            .ns = ns,
                            .cost = in->point == EMK_DECIDE_TICKET ? in->cost : 0,
                            .pass = v->pass};

    emk_admin_decided(call->api->admin, (unsigned)v->answer.action);
    emk_meter_decided(&call->api->meter, &d);
}

emk_status emk_api_decide(emk_call *call, const emk_decide_in *in, emk_verdict *out, emk_error *e)
{
    uint64_t ns;
    uint8_t id[16];
    emk_fraud_event ev;
    emk_buf line;
    size_t len;
    emk_status st = emk_random_public(call->api->crypto, id, sizeof id, e);

    *out = (emk_verdict){.pass = false};
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(id, sizeof id), out->id, sizeof out->id, &len, e);
    if (st == EMK_OK)
        st = check_exact(call, in, out, e);
    if (st == EMK_OK && in->again && !out->banned) {
        judge(out);
        check_demands(in, in->device, emk_api_now(call->api), out);
    }
    if (st != EMK_OK || out->pass)
        return st;
    memcpy(call->decision, out->id, sizeof call->decision);
    emk_buf_init(&line, EMK_FRAUD_LINE_MAX);
    ns = emk_os_monotonic_ns();
    st = ask(call, in, out, &ev, e);
    ns = emk_os_monotonic_ns() - ns;
    if (st == EMK_OK)
        st = settle(call, in, &ev, out, e);
    if (st == EMK_OK)
        st = emk_fraud_event_write(&ev, &line, e);
    if (st == EMK_OK &&
        (out->answer.action != EMK_FRAUD_ALLOW || out->did || id[0] % EMK_DECIDE_SAMPLE == 0))
        st = store(call, in, out, emk_buf_span(&line), e);
    emk_buf_done(&line);
    if (st == EMK_OK)
        count(call, in, out, ns);
    else
        out->pass = false;
    return st;
}

/* ---- refusals ---- */

const char *emk_decide_help_name(emk_decide_help help)
{
    switch (help) {
    case EMK_HELP_ATTEST:
        return "attest";
    case EMK_HELP_WAIT:
        return "wait";
    case EMK_HELP_UPGRADE:
        return "upgrade";
    case EMK_HELP_ENROL:
        return "enrol";
    case EMK_HELP_NONE:
        break;
    }
    return NULL;
}

void emk_problem_set_help(emk_call *call, const char *detail, emk_decide_help help)
{
    unsigned status = emk_api_problem_status(EMK_API_POLICY);
    const char *name = emk_decide_help_name(help);
    emk_json_out o;
    emk_span body;
    emk_error ignored;

    emk_json_out_init(&o, &call->arena, PROBLEM_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "type", emk_span_str(emk_api_problem_uri(EMK_API_POLICY)));
    emk_json_out_text(&o, "title", emk_span_str(emk_api_problem_title(EMK_API_POLICY)));
    emk_json_out_uint(&o, "status", status);
    if (call->id[0])
        emk_json_out_text(&o, "request", emk_span_str(call->id));
    if (call->decision[0])
        emk_json_out_text(&o, "decision", emk_span_str(call->decision));
    if (detail)
        emk_json_out_text(&o, "detail", emk_span_str(detail));
    if (name)
        emk_json_out_text(&o, "help", emk_span_str(name));
    emk_json_out_close(&o);
    if (emk_json_out_finish(&o, &body, &ignored) == EMK_OK)
        emk_reply_bytes(call, status, "application/problem+json", body);
    else
        emk_problem_set(call, EMK_API_POLICY, NULL);
}

void emk_api_decide_refuse(emk_call *call, const emk_verdict *v)
{
    emk_problem_set_help(call, v->why, v->help);
    if (v->help == EMK_HELP_WAIT)
        emk_problem_retry_after(call, v->answer.retry_after_s ? v->answer.retry_after_s : 60);
}
