/* Users, devices, tickets and decisions, as operators see and stop them.
 *
 * A user is known by the hash of the subject of their tokens: that is the id here, and what
 * entries of the audit log are about. */
#include "server/api/admin_route.h"
#include "server/api/effects.h"
#include "server/api/hooks.h"

#include "core/codec/base64url.h"
#include "server/api/fraud_engine.h"

#include <string.h>

#define PLAN_MAX (EMK_WORD_CAP - 1u)

/* ---- users ---- */

static bool is_banned_now(const void *entity, void *self)
{
    return emk_user_is_banned(entity, *(const uint64_t *)self);
}

static emk_status list_users(emk_call *call, emk_error *e)
{
    static const char *const NAMES[] = {"user", "subject", "tenant", "banned", NULL};
    emk_admin_listing l = {.shape = &emk_user_shape, .id = EMK_ADMIN_ID_BYTES};
    uint64_t now = emk_api_now(call->api);
    emk_admin_page page;
    uint8_t id[32];
    emk_span banned;
    bool given;

    if (!emk_admin_page_read(call, NAMES, &page) || !emk_admin_query_user(call, id, &given) ||
        !emk_admin_query(call, "banned", &banned))
        return EMK_OK;
    if (given)
        return emk_admin_one(call, &emk_user_shape, EMK_ADMIN_ID_BYTES, emk_span_of(id, 32), e);
    if (banned.len > 0 && !emk_span_equal(banned, emk_span_str("true"))) {
        emk_problem_set(call, EMK_API_INVALID_QUERY, "banned: true, or nothing");
        return EMK_OK;
    }
    if (banned.len > 0) {
        l.want = is_banned_now;
        l.want_self = &now;
    }
    return emk_admin_list(call, &l, &page, e);
}

static emk_status show_user(emk_call *call, emk_error *e)
{
    uint8_t id[32];

    if (!emk_admin_param(call, 0, id, sizeof id))
        return EMK_OK;
    return emk_admin_one(call, &emk_user_shape, EMK_ADMIN_ID_BYTES, emk_span_of(id, 32), e);
}

typedef struct ban_body {
    emk_span reason;
    uint64_t expires;
} ban_body;

static const emk_json_field BAN[] = {
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(ban_body, reason), NULL},
    {"expires", EMK_JSON_UINT, 0, 1, UINT32_MAX, offsetof(ban_body, expires), NULL},
};
static const emk_json_shape BAN_SHAPE = {BAN, 2};

/* A user being changed. */
typedef struct user_change {
    uint8_t id[32];
    emk_user_entity user;
    emk_record_info info;
} user_change;

static user_change *find_user(emk_call *call)
{
    user_change *u = emk_arena_take(&call->arena, sizeof *u);

    if (!u) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return NULL;
    }
    if (!emk_admin_param(call, 0, u->id, sizeof u->id) ||
        !emk_admin_find(call, &emk_user_shape, emk_span_of(u->id, 32), &u->user, &u->info))
        return NULL;
    return u;
}

/* Bans and revocations are tried again where the record changed meanwhile: a device that renews or
 * enrols without a pause must not be able to put them off. */
#define REVOKE_TRIES 64u

static emk_status store_user(emk_call *call, const user_change *u, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_user_shape,
                          .in = &u->user,
                          .id = emk_span_of(u->id, 32),
                          .owner = emk_span_of(u->info.owner, u->info.owner_len),
                          .expect = u->info.version,
                          .expires_s = u->info.expires_s};

    if (!emk_admin_store(call, &put))
        return EMK_OK;
    return emk_admin_one(call, &emk_user_shape, EMK_ADMIN_ID_BYTES, put.id, e);
}

static const char *ban_text(emk_call *call, const emk_user_entity *u)
{
    if (!u->banned)
        return "not banned";
    if (u->banned_until_s == 0)
        return "banned";
    return emk_arena_format(&call->arena, "banned until %llu",
                            (unsigned long long)u->banned_until_s);
}

/* Raises the epoch: leases from before are not renewed. */
static void set_ban(emk_call *call, const ban_body *body, emk_user_entity *user)
{
    user->banned = true;
    user->banned_until_s = body->expires;
    user->epoch++;
    emk_admin_text(user->ban_reason, sizeof user->ban_reason, body->reason);
    emk_admin_text(user->banned_by, sizeof user->banned_by, emk_span_str(emk_admin_who(call)));
}

static emk_status store_ban(emk_call *call, const ban_body *body, user_change *u, emk_error *e)
{
    emk_entity_put put = {
        .shape = &emk_user_shape, .in = &u->user, .id = emk_span_of(u->id, sizeof u->id)};
    emk_status st = EMK_E_STALE;

    for (unsigned i = 0; st == EMK_E_STALE && i < REVOKE_TRIES; i++) {
        st = i == 0 ? EMK_OK
                    : emk_entity_get(&call->api->records, &emk_user_shape, put.id, &u->user,
                                     &u->info, e);
        if (st != EMK_OK)
            break;
        set_ban(call, body, &u->user);
        put.owner = emk_span_of(u->info.owner, u->info.owner_len);
        put.expect = u->info.version;
        put.expires_s = u->info.expires_s;
        st = emk_entity_store(&call->api->records, &put, NULL, e);
    }
    if (st == EMK_OK)
        return emk_admin_one(call, &emk_user_shape, EMK_ADMIN_ID_BYTES, put.id, e);
    emk_admin_failed(call, st);
    return EMK_OK;
}

static emk_status ban_user(emk_call *call, emk_error *e)
{
    ban_body body = {.expires = 0};
    emk_admin_change change = {.type = "user.ban", .object = "user", .always = true};
    user_change *u;

    if (!emk_json_body(call, &BAN_SHAPE, &body) || !emk_admin_later(call, body.expires))
        return EMK_OK;
    u = find_user(call);
    if (!u)
        return EMK_OK;
    change.subject = emk_span_of(u->id, 32);
    change.why = body.reason;
    change.was = ban_text(call, &u->user);
    change.is = body.expires ? emk_arena_format(&call->arena, "banned until %llu",
                                                (unsigned long long)body.expires)
                             : "banned";
    return emk_admin_audit(call, &change) ? store_ban(call, &body, u, e) : EMK_OK;
}

static emk_status unban_user(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "user.unban", .object = "user"};
    user_change *u = find_user(call);

    if (!u)
        return EMK_OK;
    change.subject = emk_span_of(u->id, 32);
    change.was = ban_text(call, &u->user);
    u->user.banned = false;
    u->user.banned_until_s = 0;
    u->user.ban_reason[0] = 0;
    u->user.banned_by[0] = 0;
    change.is = ban_text(call, &u->user);
    return emk_admin_audit(call, &change) ? store_user(call, u, e) : EMK_OK;
}

typedef struct plan_body {
    emk_span plan;
} plan_body;

static const emk_json_field PLAN[] = {
    {"plan", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, PLAN_MAX, offsetof(plan_body, plan), NULL},
};
static const emk_json_shape PLAN_SHAPE = {PLAN, 1};

/* Plans stand in lists by commas. */
static bool plan_is_sound(emk_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
            s.p[i] != '-' && s.p[i] != '_')
            return false;
    return s.len > 0;
}

static emk_status set_plan(emk_call *call, emk_error *e)
{
    plan_body body = {.plan = {0}};
    emk_admin_change change = {.type = "user.plan", .object = "user"};
    user_change *u;

    if (!emk_json_body(call, &PLAN_SHAPE, &body))
        return EMK_OK;
    if (!plan_is_sound(body.plan)) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "plan: a-z, 0-9, - and _");
        return EMK_OK;
    }
    u = find_user(call);
    if (!u)
        return EMK_OK;
    change.subject = emk_span_of(u->id, 32);
    change.was = emk_arena_format(&call->arena, "%s", u->user.plan);
    emk_admin_text(u->user.plan, sizeof u->user.plan, body.plan);
    change.is = u->user.plan;
    return emk_admin_audit(call, &change) ? store_user(call, u, e) : EMK_OK;
}

/* ---- devices ---- */

static void put_device(emk_json_out *o, emk_span id, const emk_device_record *d, emk_span owner)
{
    emk_json_out_base64url(o, "id", id);
    if (owner.len > 0)
        emk_json_out_base64url(o, "user", owner);
    emk_json_out_text(o, "subject", emk_span_str(d->gate.user));
    emk_json_out_text(o, "tenant", emk_span_str(d->gate.tenant));
    emk_json_out_text(o, "platform", emk_span_str(d->platform));
    emk_json_out_text(o, "app", emk_span_str(d->app));
    emk_json_out_uint(o, "attestation_kind", d->attestation_kind);
    emk_json_out_uint(o, "attestation_level", d->gate.attestation_level);
    if (d->attested)
        emk_json_out_time(o, "attested", d->attested);
    emk_json_out_bool(o, "revoked", d->gate.revoked);
    emk_json_out_time(o, "enrolled", d->enrolled);
    emk_json_out_time(o, "not_after", d->gate.not_after);
    if (d->demand & (EMK_DEMAND_GRANTS | EMK_DEMAND_ALL))
        emk_json_out_bool(o, "must_attest", true);
    if (d->held_until_s)
        emk_json_out_time(o, "held_until", d->held_until_s);
}

static emk_status put_device_of(emk_call *call, emk_json_out *o, emk_span id, emk_error *e)
{
    uint8_t owner[32];
    emk_device_record *d = emk_arena_take(&call->arena, sizeof *d);
    emk_status st;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);
    st = id.len == 32 ? emk_device_get(&call->api->records, id.p, d, NULL, e) : EMK_E_NOT_FOUND;
    if (st == EMK_OK)
        st = emk_user_owner(call->api->crypto, d->gate.tenant, d->gate.user, owner, e);
    if (st == EMK_OK)
        put_device(o, id, d, emk_span_of(owner, sizeof owner));
    return st;
}

static emk_status put_device_item(emk_call *call, emk_json_out *o, emk_span id,
                                  emk_device_record *d, emk_error *e)
{
    uint8_t owner[32];
    emk_status st =
        id.len == 32 ? emk_device_get(&call->api->records, id.p, d, NULL, e) : EMK_E_FORMAT;

    if (st == EMK_E_NOT_FOUND)
        return EMK_OK; /* gone meanwhile */
    emk_json_out_open(o, NULL, '{');
    if (st == EMK_OK &&
        emk_user_owner(call->api->crypto, d->gate.tenant, d->gate.user, owner, e) == EMK_OK) {
        put_device(o, id, d, emk_span_of(owner, sizeof owner));
    } else {
        emk_json_out_base64url(o, "id", id);
        emk_json_out_bool(o, "damaged", true);
    }
    emk_json_out_close(o);
    return st == EMK_E_FORMAT || st == EMK_E_UNSUPPORTED ? EMK_OK : st;
}

static emk_status list_devices(emk_call *call, emk_error *e)
{
    static const char *const NAMES[] = {"user", "subject", "tenant", NULL};
    emk_device_record *d = emk_arena_take(&call->arena, sizeof *d);
    emk_admin_page page;
    emk_admin_id_list ids = {NULL, 0};
    uint8_t owner[32];
    emk_json_out o;
    size_t i;
    bool given;
    emk_status st;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);
    if (!emk_admin_page_read(call, NAMES, &page) || !emk_admin_query_user(call, owner, &given))
        return EMK_OK;
    st = emk_admin_ids(call, EMK_KIND_DEVICE, emk_span_of(owner, given ? 32 : 0), &page, &ids, e);
    if (st != EMK_OK)
        return st;
    emk_admin_items_open(&o, call);
    for (i = 0; st == EMK_OK && i < ids.n && o.len < EMK_ADMIN_ANSWER; i++)
        st = put_device_item(call, &o, ids.p[i], d, e);
    if (st != EMK_OK)
        return st;
    return emk_admin_items_reply(&o, call, i > 0 ? ids.p[i - 1] : emk_span_of(NULL, 0),
                                 i < ids.n || ids.n == page.limit, e);
}

static emk_status show_device(emk_call *call, emk_error *e)
{
    uint8_t id[32];
    emk_json_out o;
    emk_status st;

    if (!emk_admin_param(call, 0, id, sizeof id))
        return EMK_OK;
    emk_json_out_init(&o, &call->arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    st = put_device_of(call, &o, emk_span_of(id, sizeof id), e);
    if (st != EMK_OK)
        return st;
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status store_revoked(emk_call *call, const uint8_t id[32], emk_device_record *d,
                                uint64_t version, emk_error *e)
{
    emk_device_change *put = emk_arena_take(&call->arena, sizeof *put);
    emk_status st;

    if (!put)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *put);
    st = EMK_E_STALE;
    for (unsigned i = 0; st == EMK_E_STALE && i < REVOKE_TRIES; i++) {
        st = i == 0 ? EMK_OK : emk_device_get(&call->api->records, id, d, &version, e);
        if (st != EMK_OK)
            break;
        d->gate.revoked = true;
        st = emk_device_change_make(call->api->crypto, id, d, version, put, e);
        if (st == EMK_OK)
            st = emk_records_commit(&call->api->records, &put->change, 1, NULL, e);
    }
    if (call->api->gate)
        emk_gate_forget_device(call->api->gate, id);
    return st;
}

static emk_status revoke_device(emk_call *call, emk_error *e)
{
    emk_admin_reason body = {.reason = {0}};
    emk_admin_change change = {.type = "device.revoke",
                               .object = "device",
                               .was = "live",
                               .is = "revoked",
                               .always = true};
    emk_device_record *d = emk_arena_take(&call->arena, sizeof *d);
    uint64_t version;
    uint8_t id[32];
    emk_status st;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);
    if (!emk_json_body(call, &emk_admin_reason_shape, &body) ||
        !emk_admin_param(call, 0, id, sizeof id))
        return EMK_OK;
    st = emk_device_get(&call->api->records, id, d, &version, e);
    if (st != EMK_OK)
        return st;
    change.subject = emk_span_of(id, sizeof id);
    change.why = body.reason;
    if (d->gate.revoked)
        change.was = "revoked";
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = store_revoked(call, id, d, version, e);
    if (st == EMK_OK) {
        emk_api_tell_revoked(call, id);
        emk_reply_empty(call, 204);
    } else if (st == EMK_E_STALE)
        emk_admin_failed(call, st);
    return st == EMK_E_STALE ? EMK_OK : st;
}

/* ---- tickets ---- */

static bool query_device(emk_call *call, uint8_t id[32], bool *given)
{
    emk_span text;
    emk_error ignored;
    size_t len = 0;

    if (!emk_admin_query(call, "device", &text))
        return false;
    *given = text.len > 0;
    if (!*given || (emk_base64url_decode(text, id, 32, &len, &ignored) == EMK_OK && len == 32))
        return true;
    emk_problem_set(call, EMK_API_INVALID_QUERY, "device: not an id");
    return false;
}

static emk_status list_tickets(emk_call *call, emk_error *e)
{
    static const char *const NAMES[] = {"device", NULL};
    emk_admin_listing l = {.shape = &emk_ticket_shape, .id = EMK_ADMIN_ID_BYTES};
    emk_admin_page page;
    uint8_t device[32];
    bool given;

    if (!emk_admin_page_read(call, NAMES, &page) || !query_device(call, device, &given))
        return EMK_OK;
    l.owner = emk_span_of(device, given ? 32 : 0);
    return emk_admin_list(call, &l, &page, e);
}

static emk_status show_ticket(emk_call *call, emk_error *e)
{
    uint8_t id[16];

    if (!emk_admin_param(call, 0, id, sizeof id))
        return EMK_OK;
    return emk_admin_one(call, &emk_ticket_shape, EMK_ADMIN_ID_BYTES, emk_span_of(id, sizeof id),
                         e);
}

static emk_status store_revoked_ticket(emk_call *call, emk_span id, emk_ticket_entity *t,
                                       emk_record_info *info, emk_error *e)
{
    emk_status st = emk_api_revoke_ticket(call->api, id, t, info, e);

    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    else
        emk_admin_failed(call, st);
    return EMK_OK;
}

static emk_status revoke_ticket(emk_call *call, emk_error *e)
{
    static const char *const STATES[] = {"?",        "issued", "redeemed", "sealed",
                                         "accepted", "failed", "revoked"};
    emk_admin_reason body = {.reason = {0}};
    emk_admin_change change = {.type = "ticket.revoke", .is = "revoked", .always = true};
    emk_ticket_entity *t = emk_arena_take(&call->arena, sizeof *t);
    emk_record_info info;
    uint8_t id[16];
    emk_span which = emk_span_of(id, sizeof id);

    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *t);
    if (!emk_json_body(call, &emk_admin_reason_shape, &body) ||
        !emk_admin_param(call, 0, id, sizeof id) ||
        !emk_admin_find(call, &emk_ticket_shape, which, t, &info))
        return EMK_OK;
    change.subject = emk_span_of(t->device, sizeof t->device);
    change.why = body.reason;
    change.object = emk_arena_format(&call->arena, "ticket:%.*s", (int)call->params[0].len,
                                     (const char *)call->params[0].p);
    change.was = STATES[t->state <= EMK_TICKET_REVOKED ? t->state : 0];
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    return store_revoked_ticket(call, which, t, &info, e);
}

/* ---- decisions and models ---- */

/* What rules want a person to look at. */
static bool is_case(const void *entity, void *self)
{
    const emk_decision_entity *d = entity;

    (void)self;
    return strstr(d->effects, "open_case") || strstr(d->effects, "page") ||
           strstr(d->effects, "alert_owner");
}

static emk_status list_decisions(emk_call *call, emk_error *e)
{
    static const char *const NAMES[] = {"user", "subject", "tenant", "cases", NULL};
    emk_admin_listing l = {.shape = &emk_decision_shape, .id = EMK_ADMIN_ID_OWN};
    emk_admin_page page;
    uint8_t owner[32];
    emk_span cases;
    bool given;

    if (!emk_admin_page_read(call, NAMES, &page) || !emk_admin_query_user(call, owner, &given))
        return EMK_OK;
    if (!emk_admin_query(call, "cases", &cases))
        return EMK_OK;
    if (cases.len > 0 && !emk_span_equal(cases, emk_span_str("1"))) {
        emk_problem_set(call, EMK_API_INVALID_QUERY, "cases: 1, or not at all");
        return EMK_OK;
    }
    l.want = cases.len > 0 ? is_case : NULL;
    l.owner = emk_span_of(owner, given ? 32 : 0);
    return emk_admin_list(call, &l, &page, e);
}

static void put_words(emk_json_out *o, const char *key, const char *list)
{
    emk_json_out_open(o, key, '[');
    while (*list) {
        size_t n = strcspn(list, ",");

        if (n > 0)
            emk_json_out_text(o, NULL, emk_span_of(list, n));
        list += n + (list[n] == ',');
    }
    emk_json_out_close(o);
}

/* With the event as the engine saw it, so that it can be replayed: earmark fraud explain. */
static emk_status show_decision(emk_call *call, emk_error *e)
{
    emk_decision_entity *d = emk_arena_take(&call->arena, sizeof *d);
    emk_json_out o;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);
    if (!emk_admin_find(call, &emk_decision_shape, call->params[0], d, NULL))
        return EMK_OK;
    emk_json_out_init(&o, &call->arena, 32768);
    emk_json_out_open(&o, NULL, '{');
    emk_entity_json(&emk_decision_shape, d, &o);
    emk_json_out_open(&o, "explanation", '{');
    put_words(&o, "told", d->reasons);
    put_words(&o, "fired", d->rules);
    if (call->api->fraud)
        emk_fraud_host_explain(call->api->fraud, d, &o);
    if (d->event.len > 0)
        emk_json_out_text(&o, "event", emk_span_of(d->event.p, d->event.len));
    emk_json_out_close(&o);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status list_models(emk_call *call, emk_error *e)
{
    static const char *const NAMES[] = {"name", NULL};
    emk_admin_listing l = {.shape = &emk_model_shape, .id = EMK_ADMIN_ID_TEXT};
    emk_admin_page page;

    if (!emk_admin_page_read(call, NAMES, &page) || !emk_admin_query(call, "name", &l.owner))
        return EMK_OK;
    if (l.owner.len > EMK_RECORD_OWNER_MAX) {
        emk_problem_set(call, EMK_API_INVALID_QUERY, "name: too long");
        return EMK_OK;
    }
    return emk_admin_list(call, &l, &page, e);
}

#define OPERATOR(n, s, step) EMK_ADMIN_GATE(n, s, step, 1)
#define REVOKES(n, step)                                                             \
    {                                                                                \
        .name = (n), .admits = EMK_PRINCIPAL_OPERATOR, .scopes = EMK_SCOPE_MODERATE, \
        .needs_step_up = (step), .cost = 1, .klass = EMK_GATE_CLASS_ALWAYS,          \
        .keeps_in_outage = true                                                      \
    }
#define JSON .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/users",
     .gate = OPERATOR("listUsers", EMK_SCOPE_READ, false),
     .handle = list_users},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/users/{id}",
     .gate = OPERATOR("getUser", EMK_SCOPE_READ, false),
     .handle = show_user},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/users/{id}/ban",
     JSON,
     .gate = REVOKES("banUser", true),
     .handle = ban_user},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/users/{id}/ban",
     .gate = OPERATOR("unbanUser", EMK_SCOPE_MODERATE, true),
     .handle = unban_user},
    {.method = EMK_HTTP_PUT,
     .path = "/v1/admin/users/{id}/plan",
     JSON,
     .gate = OPERATOR("setPlan", EMK_SCOPE_MODERATE, false),
     .handle = set_plan},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/devices",
     .gate = OPERATOR("listDevices", EMK_SCOPE_READ, false),
     .handle = list_devices},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/devices/{id}",
     .gate = OPERATOR("getDevice", EMK_SCOPE_READ, false),
     .handle = show_device},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/devices/{id}/revoke",
     JSON,
     .gate = REVOKES("revokeDeviceByOperator", false),
     .handle = revoke_device},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/tickets",
     .gate = OPERATOR("listTickets", EMK_SCOPE_READ, false),
     .handle = list_tickets},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/tickets/{id}",
     .gate = OPERATOR("getTicket", EMK_SCOPE_READ, false),
     .handle = show_ticket},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/tickets/{id}/revoke",
     JSON,
     .gate = REVOKES("revokeTicket", false),
     .handle = revoke_ticket},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/decisions",
     .gate = OPERATOR("listDecisions", EMK_SCOPE_READ, false),
     .handle = list_decisions},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/decisions/{id}",
     .gate = OPERATOR("getDecision", EMK_SCOPE_READ, false),
     .handle = show_decision},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/models",
     .gate = OPERATOR("listAllModels", EMK_SCOPE_READ, false),
     .handle = list_models},
};

const emk_route_table emk_routes_admin_people = {ROWS, sizeof ROWS / sizeof ROWS[0]};
