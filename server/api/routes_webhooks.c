/* POST /v1/webhooks/{source}: what a backend learned later (a chargeback, a complaint, what support
 * decided), signed by it; it becomes an event and a label.  /v1/admin/webhooks: the targets of our
 * own webhooks, for operators.  [docs/spec/webhooks.md] */
#include "core/codec/base64url.h"
#include "server/api/admin_route.h"
#include "server/api/decide.h"
#include "server/api/hook_sources.h"
#include "server/api/hooks.h"

#include <stdlib.h>
#include <string.h>

#define BODY_MAX_IN  8192u
#define SEEN_S       (UINT64_C(7) * 86400) /* an id is refused again so long */
#define SUBJECT_MAX  256u
#define TIME_DIGITS  12u
#define NEWS_MAX     256u
#define DEVICE_CHARS 43u

/* ---- coming in ---- */

typedef struct outcome_body {
    emk_span outcome, label, user, device;
    uint64_t at;
} outcome_body;

static const emk_json_field OUTCOME[] = {
    {"outcome", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 16, offsetof(outcome_body, outcome), NULL},
    {"label", EMK_JSON_TEXT, 0, 1, 8, offsetof(outcome_body, label), NULL},
    {"user", EMK_JSON_TEXT, 0, 1, SUBJECT_MAX, offsetof(outcome_body, user), NULL},
    {"device", EMK_JSON_TEXT, 0, DEVICE_CHARS, DEVICE_CHARS, offsetof(outcome_body, device), NULL},
    {"at", EMK_JSON_UINT, 0, 1, UINT32_MAX, offsetof(outcome_body, at), NULL},
};
static const emk_json_shape OUTCOME_SHAPE = {OUTCOME, sizeof OUTCOME / sizeof OUTCOME[0]};

/* What each outcome is to the engine, and to those who measure it. */
static const struct {
    const char *name;
    const char *label; /* when the message says none; NULL: it must say one, unless has_event */
    bool has_event;
    emk_fraud_type event;
} KNOWN[] = {
    {"chargeback", "fraud", true, EMK_FRAUD_CHARGEBACK},
    {"refund", NULL, true, EMK_FRAUD_REFUND},
    {"complaint", "unsure", false, EMK_FRAUD_LABEL_UNSURE},
    {"support", NULL, false, EMK_FRAUD_LABEL_UNSURE},
    {"appeal", NULL, false, EMK_FRAUD_LABEL_UNSURE},
    {"analyst", NULL, false, EMK_FRAUD_LABEL_UNSURE},
};
#define N_KNOWN (sizeof KNOWN / sizeof KNOWN[0])

typedef struct incoming {
    emk_hook_source source;
    emk_webhook_message m;
    outcome_body body;
    size_t known;
    uint8_t seen_id[32], body_hash[32];
    char event_id[EMK_BASE64URL_CHARS(32) + 3];
    char user[EMK_BASE64URL_CHARS(32) + 1];
} incoming;

static bool read_time(emk_span text, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *out = v;
    return text.len > 0 && text.len <= TIME_DIGITS;
}

/* A source that there is not, and a signature that is none, look alike. */
static bool authentic(emk_call *call, incoming *in, emk_error *e)
{
    emk_hook_signed got = {.now_s = emk_api_now(call->api)};
    emk_span time;
    emk_status st = EMK_E_SIGNATURE;

    in->m.body = call->body;
    if (emk_request_only(&call->request, "webhook-id", &in->m.id) &&
        emk_request_only(&call->request, "webhook-timestamp", &time) &&
        emk_request_only(&call->request, "webhook-signature", &got.signatures) &&
        read_time(time, &in->m.time_s)) {
        got.message = in->m;
        st = emk_hook_sources_verify(call->api->hook_sources, call->api->crypto, call->params[0],
                                     &got, &in->source, e);
    }
    if (st == EMK_OK)
        return true;
    emk_problem_set(call, EMK_API_POLICY,
                    st == EMK_E_STALE ? "webhook: sent too long ago, or in the future"
                                      : "webhook: not signed by this source");
    return false;
}

static bool refuse_body(emk_call *call, const char *why)
{
    emk_problem_set(call, EMK_API_INVALID_BODY, why);
    return false;
}

static bool label_type(emk_span label, emk_fraud_type *out)
{
    static const struct {
        const char *name;
        emk_fraud_type type;
    } ROWS[] = {{"fraud", EMK_FRAUD_LABEL_FRAUD},
                {"ok", EMK_FRAUD_LABEL_OK},
                {"unsure", EMK_FRAUD_LABEL_UNSURE}};

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (emk_span_equal(label, emk_span_str(ROWS[i].name))) {
            *out = ROWS[i].type;
            return true;
        }
    return false;
}

static bool read_outcome(emk_call *call, incoming *in)
{
    outcome_body *b = &in->body;
    emk_fraud_type ignored;

    if (!emk_json_body(call, &OUTCOME_SHAPE, b))
        return false;
    while (in->known < N_KNOWN && !emk_span_equal(b->outcome, emk_span_str(KNOWN[in->known].name)))
        in->known++;
    if (in->known == N_KNOWN)
        return refuse_body(call, "outcome: chargeback, refund, complaint, support, appeal or "
                                 "analyst");
    if ((b->user.len > 0) == (b->device.len > 0))
        return refuse_body(call, "one of user and device");
    if (b->label.len == 0 && KNOWN[in->known].label)
        b->label = emk_span_str(KNOWN[in->known].label);
    if (b->label.len == 0 && !KNOWN[in->known].has_event)
        return refuse_body(call, "label: fraud, ok or unsure");
    if (b->label.len > 0 && !label_type(b->label, &ignored))
        return refuse_body(call, "label: fraud, ok or unsure");
    return true;
}

/* Names that the engine knows: the id of the message, and the pseudonym of the user. */
static emk_status name_all(emk_call *call, incoming *in, emk_error *e)
{
    const emk_crypto *c = call->api->crypto;
    static const char label[] = "earmark/1 webhook";
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_str(in->source.name),
                        emk_span_of("", 1), in->m.id};
    uint8_t owner[32];
    size_t len;
    emk_status st = emk_sha256(c, parts, 4, in->seen_id, e);

    if (st == EMK_OK)
        st = emk_sha256(c, &call->body, 1, in->body_hash, e);
    memcpy(in->event_id, "w:", 2);
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(in->seen_id, 32), in->event_id + 2,
                                  sizeof in->event_id - 2, &len, e);
    if (st == EMK_OK && in->body.user.len > 0) {
        const char *name = emk_arena_format(&call->arena, "%.*s", (int)in->body.user.len,
                                            (const char *)in->body.user.p);

        st = name ? emk_user_owner(c, in->source.tenant, name, owner, e) : EMK_E_NO_MEMORY;
        if (st == EMK_OK)
            st = emk_base64url_encode(emk_span_of(owner, 32), in->user, sizeof in->user, &len, e);
    }
    return st;
}

/* EMK_E_NOT_FOUND: it is new.  EMK_OK: this very message was here.  EMK_E_USED: its id was. */
static emk_status look_back(emk_call *call, const incoming *in, emk_error *e)
{
    emk_buf was;
    emk_status st;

    emk_buf_init(&was, sizeof in->body_hash);
    st = emk_records_get(&call->api->records, EMK_KIND_HOOK_SEEN, emk_span_of(in->seen_id, 32),
                         NULL, &was, e);
    if (st == EMK_OK &&
        !emk_span_equal(emk_buf_span(&was), emk_span_of(in->body_hash, sizeof in->body_hash)))
        st = EMK_E_USED;
    emk_buf_done(&was);
    return st;
}

static void fill_event(emk_call *call, const incoming *in, emk_fraud_type type, const char *id,
                       emk_fraud_event *ev)
{
    emk_fraud_event_init(ev, type, emk_api_now(call->api) * 1000);
    ev->src = EMK_FRAUD_SRC_BACKEND;
    emk_fraud_event_text(ev, EMK_FRAUD_F_ID, emk_span_str(id));
    emk_fraud_event_text(ev, EMK_FRAUD_F_TENANT, emk_span_str(in->source.tenant));
    if (in->user[0])
        emk_fraud_event_text(ev, EMK_FRAUD_F_USER, emk_span_str(in->user));
    if (in->body.device.len > 0)
        emk_fraud_event_text(ev, EMK_FRAUD_F_DEVICE, in->body.device);
    emk_fraud_event_text(ev, EMK_FRAUD_F_REASON, in->body.outcome);
    if (in->body.at > 0)
        emk_fraud_event_number(ev, EMK_FRAUD_F_TS_CLIENT,
                               (int64_t)(in->body.at * 1000) * EMK_FRAUD_MILLI);
}

static emk_status note(emk_call *call, const emk_fraud_event *ev, emk_error *e)
{
    const emk_decider *d = &call->api->decider;
    emk_status st = d->ops && d->ops->note ? emk_api_tell(call, ev, e) : EMK_OK;

    return st == EMK_E_USED ? EMK_OK : st; /* told before a crash */
}

static emk_status tell_engine(emk_call *call, const incoming *in, emk_error *e)
{
    emk_fraud_event ev;
    emk_fraud_type type;
    char id[sizeof in->event_id + 2];
    emk_status st = EMK_OK;

    if (KNOWN[in->known].has_event) {
        fill_event(call, in, KNOWN[in->known].event, in->event_id, &ev);
        st = note(call, &ev, e);
    }
    if (st == EMK_OK && label_type(in->body.label, &type)) {
        memcpy(id, in->event_id, strlen(in->event_id) + 1);
        id[0] = 'l';
        fill_event(call, in, type, id, &ev);
        st = note(call, &ev, e);
    }
    return st;
}

static emk_status remember(emk_call *call, const incoming *in, emk_error *e)
{
    emk_record_change seen = {.op = EMK_RECORD_PUT,
                              .kind = EMK_KIND_HOOK_SEEN,
                              .id = emk_span_of(in->seen_id, 32),
                              .expect = EMK_RECORD_ANY,
                              .value = emk_span_of(in->body_hash, 32),
                              .expires_s = emk_api_now(call->api) + SEEN_S};

    return emk_records_commit(&call->api->records, &seen, 1, NULL, e);
}

static emk_status answer_in(emk_call *call, bool known, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "accepted", known ? 0 : 1);
    emk_json_out_uint(&o, "known", known ? 1 : 0);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status take(emk_call *call, emk_error *e)
{
    incoming *in = emk_arena_take(&call->arena, sizeof *in);
    emk_journal_event event;
    const char *object;
    emk_status st;

    if (!in)
        return emk_fail(e, EMK_E_NO_MEMORY, "webhook: memory", sizeof *in);
    *in = (incoming){.known = 0};
    if (!authentic(call, in, e) || !read_outcome(call, in))
        return EMK_OK;
    st = name_all(call, in, e);
    if (st == EMK_OK)
        st = look_back(call, in, e);
    if (st == EMK_OK)
        return answer_in(call, true, e);
    if (st == EMK_E_USED) {
        emk_problem_set(call, EMK_API_USED, "webhook: this id came before with another body");
        return EMK_OK;
    }
    if (st != EMK_E_NOT_FOUND)
        return st;
    *e = (emk_error){.status = EMK_OK};
    object = emk_arena_format(&call->arena, "webhook:%s", in->source.name);
    emk_api_event(call, "label.received", EMK_JOURNAL_DONE, &event);
    event.object = emk_span_str(object ? object : "webhook");
    if (!emk_api_audit(call, &event))
        return EMK_OK;
    st = tell_engine(call, in, e);
    if (st == EMK_OK)
        st = remember(call, in, e);
    return st == EMK_OK ? answer_in(call, false, e) : st;
}

/* ---- operators ---- */

static void put_target(emk_json_out *o, const emk_hook_state *s)
{
    emk_json_out_open(o, NULL, '{');
    emk_json_out_text(o, "name", emk_span_str(s->is.name));
    emk_json_out_text(o, "url", emk_span_str(s->is.url));
    emk_json_out_open(o, "kinds", '[');
    for (size_t k = 0; k < EMK_WEBHOOK_KINDS; k++)
        if (k != EMK_WEBHOOK_TEST && s->is.kinds >> k & 1)
            emk_json_out_text(o, NULL, emk_span_str(EMK_WEBHOOK_KIND_NAME[k]));
    emk_json_out_close(o);
    emk_json_out_bool(o, "disabled", s->disabled);
    emk_json_out_uint(o, "waiting", s->waiting);
    emk_json_out_uint(o, "dead", s->dead);
    emk_json_out_uint(o, "sent", s->sent);
    emk_json_out_uint(o, "failed", s->failed);
    emk_json_out_uint(o, "dropped", s->dropped);
    emk_json_out_uint(o, "last_code", s->last_code);
    if (s->oldest_s)
        emk_json_out_time(o, "oldest", s->oldest_s);
    if (s->last_sent_s)
        emk_json_out_time(o, "last_sent", s->last_sent_s);
    emk_json_out_close(o);
}

static emk_status list_targets(emk_call *call, emk_error *e)
{
    emk_hook_state s;
    emk_json_out o;

    if (!emk_admin_query_only(call, NULL))
        return EMK_OK;
    emk_admin_items_open(&o, call);
    for (size_t i = 0; emk_hooks_state(call->api->hooks, i, &s); i++)
        put_target(&o, &s);
    return emk_admin_items_reply(&o, call, emk_span_of(NULL, 0), false, e);
}

/* The target of the path, and an entry of the audit log; false when it was answered. */
static bool steer(emk_call *call, const char *type, const char *was, const char *is,
                  char target[EMK_HOOK_NAME_CAP])
{
    emk_admin_reason body = {.reason = {0}};
    emk_admin_change change = {.type = type, .was = was, .is = is};

    if (!emk_json_body(call, &emk_admin_reason_shape, &body))
        return false;
    if (!emk_hooks_find(call->api->hooks, call->params[0], target)) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return false;
    }
    change.why = body.reason;
    change.object = emk_arena_format(&call->arena, "webhook:%.*s", (int)call->params[0].len,
                                     (const char *)call->params[0].p);
    return emk_admin_audit(call, &change);
}

static emk_status test_target(emk_call *call, emk_error *e)
{
    emk_hook_news news = {.kind = EMK_WEBHOOK_TEST, .now_s = emk_api_now(call->api)};
    char name[EMK_HOOK_NAME_CAP];
    emk_json_out o;
    size_t n = 0;
    emk_status st;

    if (!steer(call, "webhook.test", "", "queued", name))
        return EMK_OK;
    news.only = name;
    emk_json_out_init(&o, &call->arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "by", emk_span_str(emk_admin_who(call)));
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &news.data, e);
    if (st == EMK_OK)
        st = emk_hooks_post(call->api->hooks, &news, &n, e);
    if (st == EMK_OK && n == 0)
        emk_problem_set(call, EMK_API_NO_STORAGE, "the target's queue is full");
    else if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

static emk_status set_disabled(emk_call *call, bool disabled, emk_error *e)
{
    char name[EMK_HOOK_NAME_CAP];
    emk_status st;

    if (!steer(call, disabled ? "webhook.disable" : "webhook.enable",
               disabled ? "enabled" : "disabled", disabled ? "disabled" : "enabled", name))
        return EMK_OK;
    st = emk_hooks_disable(call->api->hooks, name, disabled, emk_admin_who(call),
                           emk_api_now(call->api), e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

static emk_status disable_target(emk_call *call, emk_error *e)
{
    return set_disabled(call, true, e);
}

static emk_status enable_target(emk_call *call, emk_error *e)
{
    return set_disabled(call, false, e);
}

#define STEER(n)                                                                             \
    {                                                                                        \
        .name = (n), .admits = EMK_PRINCIPAL_OPERATOR, .scopes = EMK_SCOPE_RULES, .cost = 1, \
        .klass = EMK_GATE_CLASS_ALWAYS                                                       \
    }
#define REASON .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/webhooks/{source}",
     .content_type = "application/json",
     .body_max = BODY_MAX_IN,
     .gate = {.name = "receiveWebhook",
              .admits = EMK_PRINCIPAL_ANYONE,
              .cost = 1,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = take},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/webhooks",
     .gate = {.name = "listWebhooks",
              .admits = EMK_PRINCIPAL_OPERATOR,
              .scopes = EMK_SCOPE_READ,
              .cost = 1,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = list_targets},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/webhooks/{name}/test",
     REASON,
     .gate = STEER("testWebhook"),
     .handle = test_target},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/webhooks/{name}/disable",
     REASON,
     .gate = STEER("disableWebhook"),
     .handle = disable_target},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/webhooks/{name}/enable",
     REASON,
     .gate = STEER("enableWebhook"),
     .handle = enable_target},
};

const emk_route_table emk_routes_webhooks = {ROWS, sizeof ROWS / sizeof ROWS[0]};
