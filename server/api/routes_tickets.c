/* Tickets: POST /v1/tickets, POST /v1/tickets/{id}/redeem. */
#include "core/crypto/random.h"
#include "core/proto/lease.h"
#include "core/proto/ticket.h"
#include "server/api/catalogue.h"
#include "server/api/grant.h"
#include "server/api/guarding.h"
#include "server/api/idempotency.h"
#include "server/api/json_out.h"
#include "server/api/lease.h"
#include "server/api/problem.h"
#include "server/api/sealing.h"
#include "server/api/tenant.h"

#include <string.h>

_Static_assert(sizeof((emk_ticket_entity *)0)->net >= EMK_NET_TEXT_MAX, "a network fits");

#define TICKET_BODY_MAX 32768u
/* Records of tickets outlive them by this, so that receipts, leases and people find them. */
#define KEEP_S (UINT64_C(90) * 86400)

typedef struct ticket_body {
    emk_span model, version, use;
    emk_span request;
    emk_span guard;
} ticket_body;

static const emk_json_field TICKET[] = {
    {"model", EMK_JSON_TEXT, 0, 1, EMK_TEXT_MAX, offsetof(ticket_body, model), NULL},
    {"version", EMK_JSON_TEXT, 0, 1, EMK_TEXT_MAX, offsetof(ticket_body, version), NULL},
    {"use", EMK_JSON_TEXT, 0, 1, EMK_TEXT_MAX, offsetof(ticket_body, use), NULL},
    {"request", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, EMK_MESSAGE_MAX,
     offsetof(ticket_body, request), NULL},
    {"guard", EMK_JSON_BYTES, 0, 1, 512, offsetof(ticket_body, guard), NULL},
};
static const emk_json_shape TICKET_SHAPE = {TICKET, 5};

/* One ticket on its way. */
typedef struct asking {
    ticket_body body;
    emk_request request;
    emk_device_record device;
    emk_user_entity user;
    emk_model_entity model;
    emk_ticket ticket;
    emk_ticket_entity entity;
    uint8_t owner[32];
    uint8_t lease_key[EMK_KEYHOLDER_LEASE_KEY];
    emk_verdict verdict;
    emk_guarding guard;
    emk_span lease;
    emk_grant_batch batch; /* what is granted, and why */
} asking;

/* ---- the request ---- */

static bool refuse(emk_call *call, const char *why, emk_decide_help help)
{
    emk_problem_set_help(call, why, help);
    return false;
}

static bool refuse_object(emk_call *call, const char *why)
{
    emk_problem_set(call, EMK_API_INVALID_OBJECT, why);
    return false;
}

/* What stands in the body too, for those in between, must be what was signed. */
static bool same_or_absent(emk_span said, emk_span meant)
{
    return said.len == 0 || emk_span_equal(said, meant);
}

/* The gate's memory, as the protocol's readers use one. */
static bool known_has(void *self, const uint8_t name[EMK_HASH_LEN])
{
    return emk_known_has(self, name);
}

static void known_keep(void *self, const uint8_t name[EMK_HASH_LEN])
{
    emk_known_keep(self, name);
}

static emk_status known_lend(void *self, emk_span signing_key, const emk_verify_key **out,
                             void **loan, emk_error *e)
{
    emk_known_key *key = NULL;
    emk_status st = emk_known_lend(self, EMK_SIGN_ES256, signing_key, &key, e);

    if (st != EMK_OK)
        return st;
    *out = emk_known_verifies(key);
    *loan = key;
    return EMK_OK;
}

static void known_give(void *self, void *loan)
{
    emk_known_give(self, loan);
}

static bool read_request(emk_call *call, asking *x, emk_error *e)
{
    const emk_principal *who = &call->gate.who;
    const emk_certificate_memory memory = {.self = emk_gate_known(call->api->gate),
                                           .has = known_has,
                                           .keep = known_keep,
                                           .lend = known_lend,
                                           .give = known_give};
    const emk_verify_key *issuers[EMK_ISSUERS_MAX];
    size_t n = emk_api_issuer_keys(call->api, issuers);
    emk_status st = EMK_E_SIGNATURE;

    for (size_t i = 0; i < n && st == EMK_E_SIGNATURE; i++) {
        const emk_certificate_check check = {issuers[i], emk_api_now(call->api), &memory};

        st = emk_request_check(call->api->crypto, x->body.request, &check, &x->request, e);
    }

    if (st == EMK_E_POLICY)
        return refuse(call, "request: its certificate is over", EMK_HELP_ATTEST);
    if (st != EMK_OK) {
        emk_problem_set(call, emk_problem_of_status(emk_problem_object_status(st)), NULL);
        return false;
    }
    if (memcmp(x->request.certificate.device_id, who->device_id, sizeof who->device_id) != 0)
        return refuse_object(call, "request: by another device");
    if (!emk_span_equal(x->request.user, emk_span_str(who->user)))
        return refuse_object(call, "request: for another user");
    if (!same_or_absent(x->body.model, x->request.model) ||
        !same_or_absent(x->body.version, x->request.version) ||
        !same_or_absent(x->body.use, x->request.use))
        return refuse_object(call, "request: not what the body says");
    return true;
}

/* The gate's word on a device may be some seconds old: a ticket is given on the record. */
static bool read_device(emk_call *call, asking *x, emk_error *e)
{
    const emk_principal *who = &call->gate.who;
    emk_status st = emk_device_get(&call->api->records, who->device_id, &x->device, NULL, e);

    if (st != EMK_OK) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    if (x->device.gate.revoked)
        return refuse(call, "the device was revoked", EMK_HELP_ENROL);
    if (who->kind == EMK_PRINCIPAL_DEVICE && !call->api->settings.ticket_without_token)
        return refuse(call, "the user's token is needed too", EMK_HELP_NONE);
    st = emk_user_owner(call->api->crypto, who->tenant, who->user, x->owner, e);
    if (st == EMK_OK)
        st = emk_entity_get(&call->api->records, &emk_user_shape,
                            emk_span_of(x->owner, sizeof x->owner), &x->user, NULL, e);
    if (st == EMK_OK || st == EMK_E_NOT_FOUND)
        return true; /* without an entity: enrolled before there were any */
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

/* ---- the model ---- */

/* A backend makes the model for this one use: the settings are its policy. */
static void made_for_use(const emk_call *call, asking *x)
{
    x->model = (emk_model_entity){.life_s = call->api->settings.use_life_s,
                                  .cost = call->api->settings.use_cost};
}

/* "free,pro": whether `plan` is one of them.  An empty list is for everybody. */
static bool plan_allows(const char *plans, const char *plan)
{
    size_t len = strlen(plan);

    if (!plans[0])
        return true;
    for (const char *p = plans; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (len > 0 && strncmp(p, plan, len) == 0 && (p[len] == ',' || !p[len]))
            return true;
    }
    return false;
}

static bool read_model(emk_call *call, asking *x, emk_error *e)
{
    emk_catalogue_ask ask = {.name = x->request.model,
                             .version = x->request.version,
                             .tenant = emk_api_tenant(call->api, x->device.gate.tenant)};
    emk_status st = emk_catalogue_find(&call->api->records, &ask, &x->model, NULL, e);

    if (st == EMK_E_FORMAT || st == EMK_E_LIMIT)
        st = EMK_E_NOT_FOUND; /* a name that no model of the catalogue can have */
    if (st == EMK_E_NOT_FOUND && x->request.use.len > 0 && call->api->settings.use_life_s > 0) {
        made_for_use(call, x);
        *e = (emk_error){.status = EMK_OK};
        st = EMK_OK;
    }
    if (st != EMK_OK) {
        emk_problem_set(call, st == EMK_E_NOT_FOUND ? EMK_API_NOT_FOUND : EMK_API_UNAVAILABLE,
                        NULL);
        return false;
    }
    if (x->model.withdrawn) {
        emk_problem_set(call, EMK_API_GONE, "the model was withdrawn");
        return false;
    }
    if (!plan_allows(x->model.plans, x->user.plan))
        return refuse(call, "the plan does not have this model", EMK_HELP_UPGRADE);
    if (x->device.gate.attestation_level < x->model.min_level)
        return refuse(call, "the device has not shown enough", EMK_HELP_ATTEST);
    return true;
}

/* A decoy is in no list: who asks for it is looking around. */
static void note_decoy(emk_call *call, const asking *x, const emk_decide_in *in)
{
    emk_fraud_event ev;

    if (!x->model.decoy)
        return;
    emk_fraud_event_init(&ev, EMK_FRAUD_CANARY, emk_api_now(call->api) * 1000);
    emk_api_note(call, in, &ev);
}

/* What the device's guard says: worse than nothing, or nothing. */
static bool ask_guard(emk_call *call, asking *x, emk_error *e)
{
    emk_guarding_in in = {.device_id = call->gate.who.device_id,
                          .device = &x->device,
                          .message = x->body.request,
                          .summary =
                              x->request.summary.len > 0 ? x->request.summary : x->body.guard,
                          .min_guard = (unsigned)x->model.min_guard};
    emk_status st = emk_api_guarding(call, &in, &x->guard, e);

    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(emk_problem_object_status(st)), NULL);
    else if (x->guard == EMK_GUARDING_REFUSE)
        return refuse(call, EMK_GUARDING_WHY, EMK_HELP_ATTEST);
    return st == EMK_OK;
}

static bool ask_engine(emk_call *call, asking *x, emk_error *e)
{
    emk_decide_in in = {.point = EMK_DECIDE_TICKET,
                        .device_id = call->gate.who.device_id,
                        .device = &x->device,
                        .model = x->request.model,
                        .app = x->request.app,
                        .ticket_id = x->ticket.id,
                        .cost = x->model.cost,
                        .with = &x->batch};
    emk_status st;

    if (!ask_guard(call, x, e))
        return false;
    note_decoy(call, x, &in);
    st = emk_api_decide(call, &in, &x->verdict, e);
    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(st), NULL);
    else if (!x->verdict.pass)
        emk_api_decide_refuse(call, &x->verdict);
    return st == EMK_OK && x->verdict.pass;
}

/* ---- the ticket ---- */

#define DEFAULT_LIFE_S (UINT64_C(30) * 86400)

static uint64_t cut(uint64_t v, uint64_t max)
{
    return max && v > max ? max : v;
}

/* What is longer than the keyholder signs is cut: models were published under other limits. */
static void fill_policy(const emk_api_settings *s, const emk_model_entity *m, uint64_t now,
                        emk_policy *p)
{
    uint64_t life = cut(m->life_s ? m->life_s : DEFAULT_LIFE_S, s->policy_max_s);
    uint64_t lease = cut(m->lease_s, s->lease_max_s);

    *p = (emk_policy){.expires = now + life,
                      .max_opens = m->max_opens,
                      .lease_s = lease,
                      .grace_s = lease ? m->grace_s : 0,
                      .renewal_delay_s =
                          cut(lease ? m->renewal_delay_s : 0, lease < m->lease_s ? lease / 2 : 0),
                      .min_guard = (uint8_t)m->min_guard,
                      .memory = (uint8_t)m->memory,
                      .release = m->release};
}

static emk_status sign_ticket(emk_call *call, asking *x, emk_error *e)
{
    const emk_api *api = call->api;
    emk_keyholder_slot slot;
    emk_signer signer;
    emk_buf message;
    emk_status st = EMK_OK;

    if (x->ticket.policy.lease_s) {
        st = emk_keyholder_lease_key(&api->keyholder, x->ticket.id, &x->ticket.lease_epoch,
                                     x->lease_key, e);
        x->ticket.lease_key = emk_span_of(x->lease_key, sizeof x->lease_key);
    }
    emk_buf_init(&message, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = emk_keyholder_signer(api->crypto, &api->keyholder, EMK_KEYHOLDER_TICKET, &slot,
                                  &signer, e);
    if (st == EMK_OK)
        st = emk_ticket_sign(api->crypto, &signer, &x->ticket, &message, e);
    if (st == EMK_OK && message.len > sizeof x->entity.message.p)
        st = emk_fail(e, EMK_E_LIMIT, "tickets: too long to be kept", message.len);
    if (st == EMK_OK) {
        memcpy(x->entity.message.p, message.p, message.len);
        x->entity.message.len = message.len;
        st = emk_message_hash(api->crypto, emk_buf_span(&message), x->entity.hash, e);
    }
    emk_buf_done(&message);
    return st;
}

static emk_status make_ticket(emk_call *call, asking *x, emk_error *e)
{
    uint64_t now = emk_api_now(call->api);
    uint8_t id[EMK_ID_LEN];
    emk_status st;

    memcpy(id, x->ticket.id, sizeof id);
    emk_ticket_answer(&x->request, &x->ticket);
    memcpy(x->ticket.id, id, sizeof id);
    /* Which version it is, the issuer says, where the device did not. */
    if (x->ticket.identity.version.len == 0)
        x->ticket.identity.version = emk_span_str(x->model.version);
    x->ticket.issued = now;
    x->ticket.expires = now + call->api->settings.ticket_s;
    fill_policy(&call->api->settings, &x->model, now, &x->ticket.policy);
    if (x->guard == EMK_GUARDING_SHORT || x->verdict.marked)
        emk_guarding_shorten(&x->ticket.policy);
    st = sign_ticket(call, x, e);
    /* The first lease comes with the ticket: a device cannot accept without it. */
    if (st == EMK_OK && x->ticket.policy.lease_s) {
        memcpy(x->ticket.hash, x->entity.hash, sizeof x->ticket.hash);
        st = emk_api_lease_grant(call, &x->ticket, &x->lease, &x->entity.lease_until_s, e);
    }
    return st;
}

static void copy_text(char *to, size_t cap, emk_span from)
{
    size_t n = from.len < cap - 1 ? from.len : cap - 1;

    if (n > 0)
        memcpy(to, from.p, n);
    to[n] = 0;
}

static void fill_entity(const emk_call *call, asking *x)
{
    emk_ticket_entity *t = &x->entity;
    emk_net net = emk_net_of_client(&call->gate.client);

    if (call->gate.client.family != EMK_ADDRESS_NONE)
        emk_net_format(&net, t->net);
    t->state = EMK_TICKET_ISSUED;
    memcpy(t->device, call->gate.who.device_id, sizeof t->device);
    memcpy(t->user, x->owner, sizeof t->user);
    copy_text(t->model, sizeof t->model, x->ticket.identity.model);
    copy_text(t->version, sizeof t->version, x->ticket.identity.version);
    copy_text(t->use, sizeof t->use, x->ticket.identity.use);
    copy_text(t->app, sizeof t->app, x->ticket.identity.app);
    t->issued_s = x->ticket.issued;
    t->expires_s = x->ticket.expires;
    t->policy_expires_s = x->ticket.policy.expires;
    t->lease_s = x->ticket.policy.lease_s;
    t->grace_s = x->ticket.policy.grace_s;
    t->lease_epoch = x->ticket.lease_epoch;
    t->n_leases = x->lease.len > 0;
    t->cost = x->model.cost;
    t->marked = x->verdict.marked;
    memcpy(t->decision, x->verdict.id, strlen(x->verdict.id) + 1);
}

static bool store_ticket(emk_call *call, asking *x, emk_error *e)
{
    emk_span device = emk_span_of(call->gate.who.device_id, EMK_DEVICE_ID_LEN);
    emk_span id = emk_span_of(x->ticket.id, sizeof x->ticket.id);
    emk_record_change asked = {.op = EMK_RECORD_PUT,
                               .kind = EMK_KIND_REQUEST,
                               .id = emk_span_of(x->request.hash, sizeof x->request.hash),
                               .expect = EMK_RECORD_ABSENT,
                               .owner = id,
                               .expires_s = x->ticket.policy.expires};
    emk_entity_put put = {.shape = &emk_ticket_shape,
                          .in = &x->entity,
                          .id = id,
                          .owner = device,
                          .expect = EMK_RECORD_ABSENT,
                          .expires_s = x->ticket.policy.expires + KEEP_S};
    emk_record_change still = emk_device_check(call->gate.who.device_id, &x->device);
    emk_entity_change change;
    bool done = false;

    if (emk_entity_change_make(&put, &change, e) != EMK_OK) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    emk_grant_add(&x->batch, &change.change, EMK_API_CONFLICT, NULL);
    emk_grant_add(&x->batch, &asked, EMK_API_USED, "request: was answered; make another");
    /* Revoked or erased while this was under way: nothing is written. */
    emk_grant_add(&x->batch, &still, EMK_API_UNAVAILABLE, "the device changed meanwhile; again");
    done = emk_grant_commit(call, &x->batch, e);
    emk_entity_change_done(&change);
    return done;
}

static void put_blob(emk_json_out *o, const emk_sealed_blob *b)
{
    emk_json_out_open(o, "blob", '{');
    emk_json_out_base64url(o, "id", emk_span_of(b->id, sizeof b->id));
    emk_json_out_text(o, "url", emk_span_str(b->url));
    emk_json_out_text(o, "etag", emk_span_str(b->etag));
    emk_json_out_uint(o, "size", b->size);
    emk_json_out_uint(o, "expires", b->expires_s);
    emk_json_out_close(o);
}

static emk_status answer(emk_call *call, const asking *x, const emk_sealed_blob *blob, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 16384);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "id", emk_span_of(x->ticket.id, sizeof x->ticket.id));
    emk_json_out_base64url(&o, "ticket", emk_span_of(x->entity.message.p, x->entity.message.len));
    if (x->lease.len > 0)
        emk_json_out_base64url(&o, "lease", x->lease);
    emk_json_out_uint(&o, "expires", x->ticket.expires);
    emk_json_out_text(&o, "next", emk_span_str(blob ? "fetch" : "backend"));
    if (blob)
        put_blob(&o, blob);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 201, e);
}

/* Who seals: this server, when the catalogue has the model; else the app's backend. */
static emk_status deliver(emk_call *call, const asking *x, emk_error *e)
{
    emk_sealed_blob *blob;
    emk_status st;

    if (x->model.size == 0 || !call->api->seals)
        return answer(call, x, NULL, e);
    blob = emk_arena_take(&call->arena, sizeof *blob);
    if (!blob)
        return emk_fail(e, EMK_E_NO_MEMORY, "tickets: memory", sizeof *blob);
    st = emk_api_seal_catalogue(call, x->ticket.id, blob, e);
    return st == EMK_OK ? answer(call, x, blob, e) : st;
}

static emk_status issue_checked(emk_call *call, asking *x, emk_error *e)
{
    const char *object;
    emk_journal_event event;
    emk_status st = make_ticket(call, x, e);

    if (st != EMK_OK)
        return st;
    fill_entity(call, x);
    object =
        emk_arena_format(&call->arena, "model:%.100s/%.100s", x->entity.model, x->entity.version);
    emk_api_event(call, "ticket.grant", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(x->owner, sizeof x->owner);
    event.object = emk_span_str(object ? object : "");
    event.decision = emk_span_str(x->verdict.id);
    if (!emk_api_audit(call, &event) || !store_ticket(call, x, e))
        return EMK_OK;
    return deliver(call, x, e);
}

static emk_status issue_once(emk_call *call, emk_error *e)
{
    asking *x = emk_arena_take(&call->arena, sizeof *x);
    emk_status st;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "tickets: memory", sizeof *x);
    if (!emk_json_body(call, &TICKET_SHAPE, &x->body) || !read_request(call, x, e) ||
        !read_device(call, x, e) || !read_model(call, x, e))
        return EMK_OK;
    st = emk_random_public(call->api->crypto, x->ticket.id, sizeof x->ticket.id, e);
    if (st != EMK_OK || !ask_engine(call, x, e))
        return st;
    return issue_checked(call, x, e);
}

static emk_status issue(emk_call *call, emk_error *e)
{
    emk_idempotency once;
    emk_status st;

    if (emk_idempotency_begin(call, &once) == EMK_IDEMPOTENCY_ANSWERED)
        return EMK_OK;
    st = issue_once(call, e);
    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(st), NULL);
    emk_idempotency_finish(call, &once);
    return EMK_OK;
}

/* ---- redeeming ---- */

typedef struct redeeming {
    uint8_t id[EMK_ID_LEN];
    emk_ticket_entity ticket;
    emk_record_info info;
    emk_device_record device;
    emk_verdict verdict;
} redeeming;

static bool find_ticket(emk_call *call, redeeming *x, emk_error *e)
{
    emk_status st;

    if (!emk_grant_id(call, x->id, sizeof x->id))
        return false;
    st = emk_entity_get(&call->api->records, &emk_ticket_shape, emk_span_of(x->id, sizeof x->id),
                        &x->ticket, &x->info, e);
    if (st == EMK_OK)
        st = emk_device_get(&call->api->records, x->ticket.device, &x->device, NULL, e);
    if (st == EMK_OK && !emk_api_reaches(call, x->device.gate.tenant))
        st = emk_fail(e, EMK_E_NOT_FOUND, "tickets: of another tenant", 0);
    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(st), NULL);
    else if (x->ticket.state == EMK_TICKET_REVOKED)
        emk_problem_set(call, EMK_API_POLICY, "the ticket was revoked");
    else if (x->ticket.state != EMK_TICKET_ISSUED)
        emk_problem_set(call, EMK_API_USED, "the ticket was redeemed");
    else if (x->ticket.expires_s <= emk_api_now(call->api))
        emk_problem_set(call, EMK_API_GONE, "the ticket is over");
    else
        return true;
    return false;
}

static bool ask_again(emk_call *call, redeeming *x, emk_error *e)
{
    emk_decide_in in = {.point = EMK_DECIDE_REDEEM,
                        .device_id = x->ticket.device,
                        .device = &x->device,
                        .model = emk_span_str(x->ticket.model),
                        .app = emk_span_str(x->ticket.app),
                        .ticket_id = x->id,
                        .cost = x->ticket.cost};
    emk_status st = emk_api_decide(call, &in, &x->verdict, e);

    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(st), NULL);
    else if (!x->verdict.pass)
        emk_api_decide_refuse(call, &x->verdict);
    return st == EMK_OK && x->verdict.pass;
}

/* Compare-and-swap: of two sealers with one ticket, one goes. */
static bool take_ticket(emk_call *call, redeeming *x, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_ticket_shape,
                          .in = &x->ticket,
                          .id = emk_span_of(x->id, sizeof x->id),
                          .owner = emk_span_of(x->info.owner, x->info.owner_len),
                          .expect = x->info.version,
                          .expires_s = x->info.expires_s};
    emk_status st;

    x->ticket.state = EMK_TICKET_REDEEMED;
    x->ticket.redeemed_s = emk_api_now(call->api);
    x->ticket.marked = x->ticket.marked || x->verdict.marked;
    copy_text(x->ticket.redeemed_by, sizeof x->ticket.redeemed_by,
              emk_span_str(call->gate.who.name));
    st = emk_entity_store(&call->api->records, &put, NULL, e);
    if (st == EMK_E_STALE)
        emk_problem_set(call, EMK_API_USED, "the ticket was redeemed");
    else if (st != EMK_OK)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return st == EMK_OK;
}

static emk_status redeem_once(emk_call *call, emk_error *e)
{
    redeeming *x = emk_arena_take(&call->arena, sizeof *x);
    emk_journal_event event;
    emk_json_out o;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "tickets: memory", sizeof *x);
    if (!find_ticket(call, x, e) || !ask_again(call, x, e))
        return EMK_OK;
    emk_api_event(call, "ticket.redeem", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(x->ticket.user, sizeof x->ticket.user);
    event.decision = emk_span_str(x->verdict.id);
    if (!emk_api_audit(call, &event) || !take_ticket(call, x, e))
        return EMK_OK;
    emk_json_out_init(&o, &call->arena, 4096);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "id", emk_span_of(x->id, sizeof x->id));
    emk_json_out_text(&o, "model", emk_span_str(x->ticket.model));
    if (x->ticket.version[0])
        emk_json_out_text(&o, "version", emk_span_str(x->ticket.version));
    if (x->ticket.use[0])
        emk_json_out_text(&o, "use", emk_span_str(x->ticket.use));
    emk_json_out_bool(&o, "marked", x->ticket.marked);
    emk_json_out_uint(&o, "expires", x->ticket.expires_s);
    emk_json_out_text(&o, "decision", emk_span_str(x->verdict.id));
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status redeem(emk_call *call, emk_error *e)
{
    emk_idempotency once;
    emk_status st;

    if (emk_idempotency_begin(call, &once) == EMK_IDEMPOTENCY_ANSWERED)
        return EMK_OK;
    st = redeem_once(call, e);
    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(st), NULL);
    emk_idempotency_finish(call, &once);
    return EMK_OK;
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/tickets",
     .content_type = "application/json",
     .body_max = TICKET_BODY_MAX,
     .gate = {.name = "issueTicket",
              .admits = EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_DEVICE_USER,
              .cost = 10,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = issue},
    {.method = EMK_HTTP_POST,
     .path = "/v1/tickets/{id}/redeem",
     .gate = {.name = "redeemTicket",
              .admits = EMK_PRINCIPAL_SERVICE,
              .scopes = EMK_SCOPE_SEAL,
              .cost = 1,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = redeem},
};

const emk_route_table emk_routes_tickets = {ROWS, sizeof ROWS / sizeof ROWS[0]};
