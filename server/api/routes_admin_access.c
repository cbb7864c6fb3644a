/* Who operates: login, step-up, operators and service keys.
 *
 * A login that fails is answered alike whatever was wrong, after the same work, and counts as a
 * failed credential of its network.  The second proof of presence is the password once more: a
 * stolen session alone does not reach what needs it.  Nobody gives away scopes that they do not
 * have. */
#include "server/api/admin_route.h"

#include "core/base/os_time.h"
#include "server/api/tenant.h"
#include "server/gate/service_key.h"

#include <string.h>

#define SESSION_S    (UINT64_C(8) * 3600)
#define NAME_MAX_LEN 64u
#define SCOPES_MAX   16u

/* ---- sessions ---- */

typedef struct login_body {
    emk_span name, password;
} login_body;

static const emk_json_field LOGIN[] = {
    {"name", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, NAME_MAX_LEN, offsetof(login_body, name), NULL},
    {"password", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, EMK_PASSWORD_MAX,
     offsetof(login_body, password), NULL},
};
static const emk_json_shape LOGIN_SHAPE = {LOGIN, 2};
static const emk_json_shape STEP_UP_SHAPE = {LOGIN + 1, 1};

static emk_status find_operator(emk_call *call, const char *name, emk_gate_operator *out,
                                emk_error *e)
{
    emk_gate_directory d = emk_directory_of(&call->api->records);

    return d.ops->operator_(d.self, name, out, e);
}

static void count_failure(emk_call *call)
{
    emk_principal nobody = {.kind = EMK_PRINCIPAL_ANYONE};
    emk_limits_ask ask = {.who = &nobody,
                          .client = call->gate.client,
                          .route = call->route->gate.name,
                          .now_ns = emk_os_monotonic_ns()};

    if (call->api->limits)
        emk_limits_failed(call->api->limits, &ask);
}

static void refuse_login(emk_call *call, const char *name)
{
    const char *body =
        emk_arena_format(&call->arena,
                         "{\"type\":\"/problems/unauthenticated\",\"title\":\"Who are you?\","
                         "\"status\":401,\"request\":\"%s\"}",
                         call->id);
    emk_journal_event event;
    emk_error ignored;

    count_failure(call);
    emk_api_event(call, "operator.login", EMK_JOURNAL_DENIED, &event);
    event.object = emk_span_str(name);
    /* What somebody tried is worth an entry, and not worth an outage. */
    if (call->api->journal &&
        emk_journal_append_always(call->api->journal, &event, NULL, &ignored) != EMK_OK)
        call->error = ignored;
    if (body)
        emk_reply_bytes(call, 401, "application/problem+json", emk_span_str(body));
    else
        emk_reply_empty(call, 401);
}

/* True when the password is this operator's.  Costs the same for one that nobody is. */
static bool check_password(emk_call *call, const char *name, emk_span password,
                           emk_gate_operator *op)
{
    emk_error e = {0};
    emk_status found = find_operator(call, name, op, &e), st;
    bool usable = found == EMK_OK && !op->disabled && op->password[0];

    if (found != EMK_OK && found != EMK_E_NOT_FOUND) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    st = emk_password_verify(call->api->crypto, usable ? op->password : NULL, password, &e);
    if (st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else if (st != EMK_OK || !usable)
        refuse_login(call, found == EMK_OK ? name : "nobody");
    return st == EMK_OK && usable;
}

static void put_scopes(emk_json_out *o, uint64_t scopes)
{
    emk_json_out_open(o, "scopes", '[');
    for (unsigned i = 0; i < 64; i++) {
        const char *name = scopes >> i & 1 ? emk_scope_name((emk_scope)(UINT64_C(1) << i)) : NULL;

        if (i < 31 && name)
            emk_json_out_text(o, NULL, emk_span_str(name));
    }
    emk_json_out_close(o);
}

static emk_status answer_session(emk_call *call, const emk_session *s, const emk_gate_operator *op,
                                 emk_error *e)
{
    char *text = emk_arena_take(&call->arena, EMK_SESSION_TEXT_MAX);
    emk_json_out o;
    emk_status st;

    if (!text)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", EMK_SESSION_TEXT_MAX);
    st = emk_session_make(call->api->sessions, s, text, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "token", emk_span_str(text));
    emk_json_out_text(&o, "name", emk_span_str(s->name));
    put_scopes(&o, op->scopes);
    emk_json_out_uint(&o, "until", s->until);
    emk_json_out_uint(&o, "step_up_until", s->step_up_until);
    emk_json_out_close(&o);
    st = emk_json_out_reply(&o, call, 201, e);
    emk_wipe(text, EMK_SESSION_TEXT_MAX);
    return st;
}

static emk_status open_session(emk_call *call, const char *name, emk_span password, bool again,
                               emk_error *e)
{
    emk_gate_operator op = {.disabled = true};
    emk_session s = {.issued = emk_api_now(call->api)};
    emk_journal_event event;

    if (!check_password(call, name, password, &op))
        return EMK_OK;
    s.until = s.issued + SESSION_S;
    s.step_up_until = again ? s.issued + EMK_SESSION_STEP_UP_MAX_S : 0;
    s.generation = op.generation;
    memcpy(s.name, name, strlen(name) + 1);
    emk_api_event(call, again ? "operator.step-up" : "operator.login", EMK_JOURNAL_DONE, &event);
    event.object = emk_span_str(s.name);
    return emk_api_audit(call, &event) ? answer_session(call, &s, &op, e) : EMK_OK;
}

static emk_status login(emk_call *call, emk_error *e)
{
    login_body body = {.name = {0}};
    char name[EMK_PRINCIPAL_NAME_MAX + 1];

    if (!emk_json_body(call, &LOGIN_SHAPE, &body))
        return EMK_OK;
    emk_admin_text(name, sizeof name, body.name);
    return open_session(call, name, body.password, false, e);
}

static emk_status step_up(emk_call *call, emk_error *e)
{
    login_body body = {.name = {0}};

    if (!emk_json_body(call, &STEP_UP_SHAPE, &body))
        return EMK_OK;
    return open_session(call, emk_admin_who(call), body.password, true, e);
}

static emk_status show_session(emk_call *call, emk_error *e)
{
    emk_json_out o;

    if (!emk_admin_query_only(call, NULL))
        return EMK_OK;
    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "name", emk_span_str(emk_admin_who(call)));
    put_scopes(&o, call->gate.who.scopes);
    emk_json_out_bool(&o, "step_up", call->gate.who.step_up);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* Sessions are not stored: ending one ends all of this operator. */
static emk_status logout(emk_call *call, emk_error *e)
{
    const char *name = emk_admin_who(call);
    emk_gate_operator op = {.disabled = true};
    emk_admin_change change = {
        .type = "operator.logout", .object = name, .is = "sessions ended", .always = true};
    emk_status st;

    if (!emk_admin_here(call))
        return EMK_OK;
    emk_admin_take(call->api->admin);
    st = find_operator(call, name, &op, e);
    op.generation++;
    if (st == EMK_OK && emk_admin_audit(call, &change)) {
        st = emk_operator_put(&call->api->records, name, &op, e);
        if (st == EMK_OK)
            emk_reply_empty(call, 204);
    }
    emk_admin_give(call->api->admin);
    return st;
}

/* ---- operators ---- */

typedef struct operator_body {
    emk_span name, password;
    emk_json_texts scopes;
    bool disabled;
    emk_span reason;
} operator_body;

static const emk_json_field MAKE_OPERATOR[] = {
    {"name", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, NAME_MAX_LEN, offsetof(operator_body, name),
     NULL},
    {"password", EMK_JSON_TEXT, EMK_JSON_REQUIRED, EMK_PASSWORD_MIN, EMK_PASSWORD_MAX,
     offsetof(operator_body, password), NULL},
    {"scopes", EMK_JSON_TEXT_LIST, EMK_JSON_REQUIRED, 1, SCOPES_MAX,
     offsetof(operator_body, scopes), NULL},
};
static const emk_json_shape MAKE_OPERATOR_SHAPE = {MAKE_OPERATOR, 3};

static const emk_json_field CHANGE_OPERATOR[] = {
    {"scopes", EMK_JSON_TEXT_LIST, EMK_JSON_REQUIRED, 1, SCOPES_MAX,
     offsetof(operator_body, scopes), NULL},
    {"disabled", EMK_JSON_BOOL, EMK_JSON_REQUIRED, 0, 0, offsetof(operator_body, disabled), NULL},
    {"password", EMK_JSON_TEXT, 0, EMK_PASSWORD_MIN, EMK_PASSWORD_MAX,
     offsetof(operator_body, password), NULL},
};
static const emk_json_shape CHANGE_OPERATOR_SHAPE = {CHANGE_OPERATOR, 3};

/* Names go into paths, logs and the audit log. */
static bool name_is_sound(emk_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !(i > 0 && (c == '-' || c == '.' || c == '_')))
            return false;
    }
    return name.len > 0;
}

static bool read_scopes(emk_call *call, const emk_json_texts *list, uint64_t *out)
{
    uint64_t all = 0, one;
    emk_error ignored;

    for (size_t i = 0; i < list->n; i++) {
        if (memchr(list->v[i].p, ' ', list->v[i].len) ||
            emk_scopes_parse(list->v[i], &one, &ignored) != EMK_OK || one == 0) {
            emk_problem_set(call, EMK_API_INVALID_BODY, "scopes: not a scope");
            return false;
        }
        all |= one;
    }
    if ((all & ~call->gate.who.scopes) != 0) {
        emk_problem_set(call, EMK_API_POLICY, "scopes: more than your own");
        return false;
    }
    *out = all;
    return true;
}

/* "read audit", for the log and for people. */
static const char *scopes_text(emk_call *call, uint64_t scopes, bool disabled)
{
    const char *text = disabled ? "disabled" : "enabled";

    for (unsigned i = 0; text && i < 31; i++) {
        const char *name = scopes >> i & 1 ? emk_scope_name((emk_scope)(1u << i)) : NULL;

        if (name)
            text = emk_arena_format(&call->arena, "%s %s", text, name);
    }
    return text;
}

static void put_operator(emk_json_out *o, const char *name, const emk_gate_operator *op)
{
    emk_json_out_text(o, "name", emk_span_str(name));
    put_scopes(o, op->scopes);
    emk_json_out_bool(o, "disabled", op->disabled);
    emk_json_out_bool(o, "has_password", op->password[0] != 0);
}

static emk_status answer_operator(emk_call *call, unsigned status, const char *name,
                                  const emk_gate_operator *op, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    put_operator(&o, name, op);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, status, e);
}

static emk_status list_operators(emk_call *call, emk_error *e)
{
    emk_admin_page page;
    emk_admin_id_list ids = {NULL, 0};
    emk_json_out o;
    emk_status st;

    if (!emk_admin_page_read(call, NULL, &page))
        return EMK_OK;
    st = emk_admin_ids(call, EMK_KIND_OPERATOR, emk_span_of(NULL, 0), &page, &ids, e);
    if (st != EMK_OK)
        return st;
    emk_admin_items_open(&o, call);
    for (size_t i = 0; i < ids.n; i++) {
        emk_gate_operator op = {.disabled = true};
        char name[EMK_RECORD_ID_MAX + 1];

        emk_admin_text(name, sizeof name, ids.p[i]);
        if (find_operator(call, name, &op, e) != EMK_OK)
            continue; /* gone meanwhile */
        emk_json_out_open(&o, NULL, '{');
        put_operator(&o, name, &op);
        emk_json_out_close(&o);
        emk_wipe(&op, sizeof op);
    }
    return emk_admin_items_reply(&o, call, ids.n > 0 ? ids.p[ids.n - 1] : emk_span_of(NULL, 0),
                                 ids.n == page.limit, e);
}

static emk_status make_operator_locked(emk_call *call, const operator_body *body, uint64_t scopes,
                                       emk_error *e)
{
    emk_gate_operator op = {.disabled = true}, fresh = {.scopes = scopes, .generation = 1};
    char name[EMK_PRINCIPAL_NAME_MAX + 1];
    emk_admin_change change = {.type = "operator.add", .object = name};
    emk_status st;

    emk_admin_text(name, sizeof name, body->name);
    st = find_operator(call, name, &op, e);
    emk_wipe(&op, sizeof op);
    if (st == EMK_OK)
        emk_problem_set(call, EMK_API_CONFLICT, "there is an operator of this name");
    if (st != EMK_E_NOT_FOUND)
        return st;
    change.is = scopes_text(call, scopes, false);
    st = emk_password_make(call->api->crypto, body->password, fresh.password, e);
    if (st == EMK_OK && emk_admin_audit(call, &change)) {
        st = emk_operator_put(&call->api->records, name, &fresh, e);
        if (st == EMK_OK)
            st = answer_operator(call, 201, name, &fresh, e);
    }
    emk_wipe(&fresh, sizeof fresh);
    return st;
}

static emk_status make_operator(emk_call *call, emk_error *e)
{
    operator_body body = {.disabled = false};
    uint64_t scopes;
    emk_status st;

    if (!emk_admin_here(call) || !emk_json_body(call, &MAKE_OPERATOR_SHAPE, &body))
        return EMK_OK;
    if (!name_is_sound(body.name)) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "name: letters, digits, and - . _ behind them");
        return EMK_OK;
    }
    if (!read_scopes(call, &body.scopes, &scopes))
        return EMK_OK;
    emk_admin_take(call->api->admin);
    st = make_operator_locked(call, &body, scopes, e);
    emk_admin_give(call->api->admin);
    return st;
}

/* Every change ends the sessions of that operator. */
static emk_status change_operator_locked(emk_call *call, const char *name,
                                         const operator_body *body, uint64_t scopes, emk_error *e)
{
    emk_gate_operator op = {.disabled = true};
    emk_admin_change change = {.type = "operator.change", .object = name};
    emk_status st = find_operator(call, name, &op, e);

    if (st != EMK_OK)
        return st;
    if ((op.scopes & ~call->gate.who.scopes) != 0 && call->gate.who.scopes != op.scopes) {
        emk_problem_set(call, EMK_API_POLICY, "this operator may more than you");
        return EMK_OK;
    }
    change.was = scopes_text(call, op.scopes, op.disabled);
    change.is = scopes_text(call, scopes, body->disabled);
    change.always = body->disabled; /* that is a revocation */
    op.scopes = scopes;
    op.disabled = body->disabled;
    op.generation++;
    if (body->password.len > 0)
        st = emk_password_make(call->api->crypto, body->password, op.password, e);
    if (st == EMK_OK && emk_admin_audit(call, &change)) {
        st = emk_operator_put(&call->api->records, name, &op, e);
        if (st == EMK_OK)
            st = answer_operator(call, 200, name, &op, e);
    }
    emk_wipe(&op, sizeof op);
    return st;
}

static emk_status change_operator(emk_call *call, emk_error *e)
{
    operator_body body = {.disabled = false};
    char name[EMK_PRINCIPAL_NAME_MAX + 1];
    uint64_t scopes;
    emk_status st;

    if (!emk_admin_here(call) || !emk_json_body(call, &CHANGE_OPERATOR_SHAPE, &body) ||
        !read_scopes(call, &body.scopes, &scopes))
        return EMK_OK;
    emk_admin_text(name, sizeof name, call->params[0]);
    if (body.disabled && strcmp(name, emk_admin_who(call)) == 0) {
        emk_problem_set(call, EMK_API_POLICY, "nobody disables themselves");
        return EMK_OK;
    }
    emk_admin_take(call->api->admin);
    st = change_operator_locked(call, name, &body, scopes, e);
    emk_admin_give(call->api->admin);
    return st;
}

/* ---- service keys ---- */

typedef struct key_body {
    emk_span name;
    emk_json_texts scopes;
    uint64_t expires;
    emk_span tenant;
} key_body;

static const emk_json_field MAKE_KEY[] = {
    {"name", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, NAME_MAX_LEN, offsetof(key_body, name), NULL},
    {"scopes", EMK_JSON_TEXT_LIST, EMK_JSON_REQUIRED, 1, SCOPES_MAX, offsetof(key_body, scopes),
     NULL},
    {"expires", EMK_JSON_UINT, 0, 1, UINT32_MAX, offsetof(key_body, expires), NULL},
    {"tenant", EMK_JSON_TEXT, 0, 1, EMK_TENANT_MAX, offsetof(key_body, tenant), NULL},
};
static const emk_json_shape MAKE_KEY_SHAPE = {MAKE_KEY, 4};

static emk_status find_key(emk_call *call, const char *id, emk_gate_service *out, emk_error *e)
{
    emk_gate_directory d = emk_directory_of(&call->api->records);

    return d.ops->service(d.self, id, out, e);
}

static void put_key(emk_json_out *o, const emk_call *call, const char *id,
                    const emk_gate_service *s)
{
    const char *tenant = emk_api_tenant(call->api, s->tenant);

    emk_json_out_text(o, "id", emk_span_str(id));
    emk_json_out_text(o, "name", emk_span_str(s->name));
    if (tenant[0])
        emk_json_out_text(o, "tenant", emk_span_str(tenant));
    put_scopes(o, s->scopes);
    if (s->not_after)
        emk_json_out_time(o, "expires", s->not_after);
    emk_json_out_bool(o, "revoked", s->revoked);
}

static emk_status list_keys(emk_call *call, emk_error *e)
{
    emk_admin_page page;
    emk_admin_id_list ids = {NULL, 0};
    emk_json_out o;
    emk_status st;

    if (!emk_admin_page_read(call, NULL, &page))
        return EMK_OK;
    st = emk_admin_ids(call, EMK_KIND_SERVICE, emk_span_of(NULL, 0), &page, &ids, e);
    if (st != EMK_OK)
        return st;
    emk_admin_items_open(&o, call);
    for (size_t i = 0; i < ids.n; i++) {
        emk_gate_service s = {.revoked = true};
        char id[EMK_RECORD_ID_MAX + 1];

        emk_admin_text(id, sizeof id, ids.p[i]);
        if (find_key(call, id, &s, e) != EMK_OK)
            continue;
        emk_json_out_open(&o, NULL, '{');
        put_key(&o, call, id, &s);
        emk_json_out_close(&o);
    }
    return emk_admin_items_reply(&o, call, ids.n > 0 ? ids.p[ids.n - 1] : emk_span_of(NULL, 0),
                                 ids.n == page.limit, e);
}

/* The secret is shown once, also to who asks again: then there is its id, to be revoked by. */
static emk_status answer_key(emk_call *call, const char *text, const char *id,
                             const emk_gate_service *s, emk_error *e)
{
    emk_json_out o;
    emk_status st;

    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    put_key(&o, call, id, s);
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &call->kept, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "key", emk_span_str(text));
    put_key(&o, call, id, s);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 201, e);
}

static emk_status make_key(emk_call *call, emk_error *e)
{
    char text[EMK_SERVICE_KEY_TEXT_CHARS + 1];
    emk_service_key key;
    emk_gate_service s = {.revoked = false};
    key_body body = {.expires = 0};
    emk_admin_change change = {.type = "key.add", .object = key.id};
    emk_status st;

    if (!emk_json_body(call, &MAKE_KEY_SHAPE, &body) ||
        !read_scopes(call, &body.scopes, &s.scopes) || !emk_admin_later(call, body.expires))
        return EMK_OK;
    if (body.tenant.len > 0 && !emk_tenant_is_sound(body.tenant)) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "tenant: visible ASCII, no quotes");
        return EMK_OK;
    }
    st = emk_service_key_make(call->api->crypto, text, &key, e);
    if (st != EMK_OK)
        return st;
    emk_admin_text(s.name, sizeof s.name, body.name);
    emk_admin_text(s.tenant, sizeof s.tenant, body.tenant);
    memcpy(s.secret_hash, key.hash, sizeof s.secret_hash);
    s.not_after = body.expires;
    change.is = scopes_text(call, s.scopes, false);
    if (s.tenant[0] && change.is)
        change.is = emk_arena_format(&call->arena, "%s tenant:%s", change.is, s.tenant);
    if (emk_admin_audit(call, &change)) {
        st = emk_service_put(&call->api->records, EMK_KIND_SERVICE, emk_span_str(key.id), &s, e);
        if (st == EMK_OK)
            st = answer_key(call, text, key.id, &s, e);
    }
    emk_wipe(text, sizeof text);
    return st;
}

static emk_status revoke_key(emk_call *call, emk_error *e)
{
    emk_gate_service s = {.revoked = true};
    char id[EMK_ROUTER_PARAM_MAX + 1];
    emk_admin_change change = {
        .type = "key.revoke", .object = id, .was = "live", .is = "revoked", .always = true};
    emk_status st;

    emk_admin_text(id, sizeof id, call->params[0]);
    st = find_key(call, id, &s, e);
    if (st != EMK_OK)
        return st;
    if (s.revoked)
        change.was = "revoked";
    s.revoked = true;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_service_put(&call->api->records, EMK_KIND_SERVICE, emk_span_str(id), &s, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

#define OPERATOR(n, s, step) EMK_ADMIN_GATE(n, s, step, 1)
#define JSON                 .content_type = "application/json", .body_max = EMK_HTTP_BODY_DEFAULT

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/sessions",
     .content_type = "application/json",
     .body_max = 4096,
     .gate = {.name = "makeSession",
              .admits = EMK_PRINCIPAL_ANYONE,
              .cost = 10,
              .concurrency = "login",
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = login},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/sessions",
     .gate = OPERATOR("getSession", 0, false),
     .handle = show_session},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/sessions",
     .gate = OPERATOR("endSessions", 0, false),
     .handle = logout},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/sessions/step-up",
     .content_type = "application/json",
     .body_max = 4096,
     .flags = EMK_ROUTE_REPEATS, /* a session is not kept */
     .gate = OPERATOR("stepUp", 0, false),
     .handle = step_up},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/operators",
     .gate = OPERATOR("listOperators", EMK_SCOPE_OPERATORS, false),
     .handle = list_operators},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/operators",
     JSON,
     .gate = OPERATOR("addOperator", EMK_SCOPE_OPERATORS, true),
     .handle = make_operator},
    {.method = EMK_HTTP_PUT,
     .path = "/v1/admin/operators/{name}",
     JSON,
     .gate = OPERATOR("changeOperator", EMK_SCOPE_OPERATORS, true),
     .handle = change_operator},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/keys",
     .gate = OPERATOR("listKeys", EMK_SCOPE_OPERATORS, false),
     .handle = list_keys},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/keys",
     JSON,
     .gate = OPERATOR("addKey", EMK_SCOPE_OPERATORS, true),
     .handle = make_key},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/keys/{id}",
     .gate = OPERATOR("revokeKey", EMK_SCOPE_OPERATORS, false),
     .handle = revoke_key},
};

const emk_route_table emk_routes_admin_access = {ROWS, sizeof ROWS / sizeof ROWS[0]};
