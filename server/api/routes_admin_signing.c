/* The keys that sign: what there is, a new one, and the end of an old one.
 * [docs/operate/keys.md] */
#include "server/api/admin_route.h"

#include "core/codec/base64url.h"

#include <stdatomic.h>
#include <string.h>

#define KID_CHARS (EMK_BASE64URL_CHARS(EMK_COSE_KID_LEN) + 1)

static const emk_issuers *keys_of(emk_call *call)
{
    const emk_issuers *all = atomic_load(&call->api->issuers);

    if (!all)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return all;
}

static emk_status put_kid(emk_call *call, emk_json_out *o, emk_span public_key, emk_error *e)
{
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_status st = emk_cose_kid(call->api->crypto, public_key, kid, e);

    if (st == EMK_OK)
        emk_json_out_base64url(o, "id", emk_span_of(kid, sizeof kid));
    return st;
}

/* Until when something may be around that this key signed: certificates and tickets of devices that
 * got one at the last moment. */
static uint64_t needed_until(const emk_api *api, const emk_issuers *all, size_t i)
{
    const emk_api_settings *s = &api->settings;
    uint64_t life = s->certificate_s > s->ticket_s ? s->certificate_s : s->ticket_s;

    return all->v[i + 1].since_s + life;
}

static emk_status put_issuer(emk_call *call, emk_json_out *o, const emk_issuers *all, size_t i,
                             emk_error *e)
{
    const emk_issuer_key *k = &all->v[i];
    emk_span public_key = emk_span_of(k->public_key, k->public_len);
    bool signs = i + 1 == all->n;
    emk_status st;

    emk_json_out_open(o, NULL, '{');
    emk_json_out_text(o, "key", emk_span_str("issuer"));
    st = put_kid(call, o, public_key, e);
    emk_json_out_base64url(o, "public_key", public_key);
    emk_json_out_text(o, "state",
                      emk_span_str(signs ? "signs" : (k->retired ? "retired" : "taken")));
    if (k->since_s)
        emk_json_out_time(o, "since", k->since_s);
    if (!signs && !k->retired)
        emk_json_out_time(o, "needed_until", needed_until(call->api, all, i));
    emk_json_out_close(o);
    return st;
}

static emk_status put_sealing(emk_call *call, emk_json_out *o, const emk_issuers *all, emk_error *e)
{
    emk_span key = emk_keyholder_sealing(&call->api->keyholder);
    emk_status st;

    if (key.len == 0)
        return EMK_OK;
    emk_json_out_open(o, NULL, '{');
    emk_json_out_text(o, "key", emk_span_str("sealing"));
    st = put_kid(call, o, key, e);
    emk_json_out_base64url(o, "public_key", key);
    emk_json_out_text(o, "state", emk_span_str("signs"));
    emk_json_out_time(o, "certificate_until", all->sealing_not_after);
    emk_json_out_close(o);
    return st;
}

static emk_status list_keys(emk_call *call, emk_error *e)
{
    const emk_issuers *all;
    emk_json_out o;
    emk_status st = EMK_OK;

    if (!emk_admin_query_only(call, NULL))
        return EMK_OK;
    all = keys_of(call);
    if (!all)
        return EMK_OK;
    emk_json_out_init(&o, &call->arena, 16384);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_open(&o, "items", '[');
    for (size_t i = 0; st == EMK_OK && i < all->n; i++)
        st = put_issuer(call, &o, all, i, e);
    if (st == EMK_OK)
        st = put_sealing(call, &o, all, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_close(&o);
    emk_json_out_bool(&o, "can_rotate_issuer", all->can_rotate);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static bool kid_text(emk_call *call, emk_span public_key, char out[KID_CHARS])
{
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_error ignored;
    size_t len;

    if (emk_cose_kid(call->api->crypto, public_key, kid, &ignored) == EMK_OK &&
        emk_base64url_encode(emk_span_of(kid, sizeof kid), out, KID_CHARS, &len, &ignored) ==
            EMK_OK)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

/* There is no room for one more, and the oldest has certificates that are still good. */
static bool would_forget(emk_call *call, const emk_issuers *all)
{
    if (all->n < EMK_ISSUERS_MAX || all->v[0].retired ||
        needed_until(call->api, all, 0) <= emk_api_now(call->api))
        return false;
    emk_problem_set(call, EMK_API_CONFLICT,
                    "too many keys whose certificates are still good; retire the oldest first");
    return true;
}

typedef struct refusal {
    emk_status status;
    emk_api_problem problem;
    const char *detail; /* what to do about it */
} refusal;

static const refusal REFUSALS[] = {
    {EMK_E_POLICY, EMK_API_POLICY,
     "the keyholder wants a permit: `earmarkd permit` on the server's machine"},
    {EMK_E_LIMIT, EMK_API_CONFLICT,
     "too early: the last rotation was a moment ago, or certificates of a key are still good"},
    {EMK_E_STALE, EMK_API_CONFLICT,
     "another process has changed the keys since this one read them: restart it"},
    {EMK_E_USAGE, EMK_API_CONFLICT, "this key signs: rotate first"},
    {EMK_E_UNSUPPORTED, EMK_API_UNSUPPORTED,
     "there is no next key, or it has signed before: make one in the token or TPM, name it as "
     "keys.next_uri or keys.next_tpm_dir, restart"},
};

/* What the keyholder said, in words; it tells only a status. */
static emk_status tell_keys(emk_call *call, emk_status st, emk_error *e)
{
    if (st == EMK_OK)
        return list_keys(call, e);
    for (size_t i = 0; i < sizeof REFUSALS / sizeof REFUSALS[0]; i++)
        if (REFUSALS[i].status == st) {
            emk_problem_set(call, REFUSALS[i].problem, REFUSALS[i].detail);
            return EMK_OK;
        }
    return st;
}

static emk_status rotate_key(emk_call *call, emk_error *e)
{
    bool issuer = emk_span_equal(call->params[0], emk_span_str("issuer"));
    const emk_keyholder *k = &call->api->keyholder;
    emk_admin_reason body = {.reason = {0}};
    emk_admin_change change = {.type = "signing.rotate", .is = "to be made anew"};
    char was[KID_CHARS];
    emk_status st;

    if (!emk_json_body(call, &emk_admin_reason_shape, &body))
        return EMK_OK;
    if (!issuer && !emk_span_equal(call->params[0], emk_span_str("sealing"))) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    if (!keys_of(call))
        return EMK_OK;
    if (!call->api->signing.ops) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    if (issuer && would_forget(call, keys_of(call)))
        return EMK_OK;
    if (!kid_text(call, issuer ? emk_keyholder_issuer(k) : emk_keyholder_sealing(k), was))
        return EMK_OK;
    change.object = issuer ? "key:issuer" : "key:sealing";
    change.was = was;
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = call->api->signing.ops->rotate(call->api->signing.self,
                                        issuer ? EMK_SIGNING_ISSUER : EMK_SIGNING_SEALING, e);
    return tell_keys(call, st, e);
}

typedef struct retire_body {
    emk_span reason;
    bool force;
} retire_body;

static const emk_json_field RETIRE[] = {
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(retire_body, reason), NULL},
    {"force", EMK_JSON_BOOL, 0, 0, 0, offsetof(retire_body, force), NULL},
};
static const emk_json_shape RETIRE_SHAPE = {RETIRE, 2};

/* Too early, devices with good certificates would have to show again what they are: only on
 * purpose, because somebody has the key. */
static bool may_retire(emk_call *call, const emk_issuers *all, const uint8_t *kid, bool force)
{
    size_t i = 0;
    uint8_t own[EMK_COSE_KID_LEN];
    emk_error ignored;

    for (; i < all->n; i++)
        if (emk_cose_kid(call->api->crypto, emk_span_of(all->v[i].public_key, all->v[i].public_len),
                         own, &ignored) == EMK_OK &&
            memcmp(own, kid, sizeof own) == 0)
            break;
    if (i == all->n)
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
    else if (i + 1 == all->n)
        emk_problem_set(call, EMK_API_CONFLICT, "this key signs: rotate first");
    else if (!force && needed_until(call->api, all, i) > emk_api_now(call->api))
        emk_problem_set(call, EMK_API_CONFLICT,
                        "certificates of this key are still good; force retires it all the same");
    else
        return true;
    return false;
}

static emk_status retire_key(emk_call *call, emk_error *e)
{
    retire_body body = {.force = false};
    emk_admin_change change = {.type = "signing.retire", .was = "taken", .is = "retired"};
    uint8_t kid[EMK_COSE_KID_LEN];
    const emk_issuers *all;
    emk_status st;

    if (!emk_json_body(call, &RETIRE_SHAPE, &body) || !emk_admin_param(call, 0, kid, sizeof kid))
        return EMK_OK;
    all = keys_of(call);
    if (!all || !may_retire(call, all, kid, body.force))
        return EMK_OK;
    change.object = emk_arena_format(&call->arena, "key:%.*s", (int)call->params[0].len,
                                     (const char *)call->params[0].p);
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = call->api->signing.ops ? call->api->signing.ops->retire(call->api->signing.self, kid, e)
                                : EMK_E_BUSY;
    return tell_keys(call, st, e);
}

#define OPERATOR(n, s, step) EMK_ADMIN_GATE(n, s, step, 2)
#define JSON                 .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/signing-keys",
     .gate = OPERATOR("listSigningKeys", EMK_SCOPE_READ, false),
     .handle = list_keys},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/signing-keys/{name}/rotate",
     JSON,
     .gate = OPERATOR("rotateSigningKey", EMK_SCOPE_OPERATORS, true),
     .handle = rotate_key},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/signing-keys/{name}/retire",
     JSON,
     .gate = OPERATOR("retireSigningKey", EMK_SCOPE_OPERATORS, true),
     .handle = retire_key},
};

const emk_route_table emk_routes_admin_signing = {ROWS, sizeof ROWS / sizeof ROWS[0]};
