/* POST /v1/events: what devices say, in signed and chained batches.  POST /v1/events/backend: what
 * an app's own backend knows, one event a line. */
#include "core/codec/base64url.h"
#include "core/proto/events.h"
#include "server/api/grant.h"
#include "server/api/guarding.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/tenant.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_BODY_MAX  32768u
#define BACKEND_BODY_MAX 262144u
#define BACKEND_LINES    128u
#define STORE_TRIES      8u

typedef struct events_body {
    emk_span batch;
} events_body;

static const emk_json_field EVENTS[] = {
    {"batch", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, EMK_MESSAGE_MAX, offsetof(events_body, batch),
     NULL},
};
static const emk_json_shape EVENTS_SHAPE = {EVENTS, 1};

typedef enum fit {
    FITS,
    REPEATED, /* the batch that was taken last: its answer got lost */
    GAP,      /* something is missing before it */
    FORGED    /* a number comes again with other words, or the hash is not that of the one before */
} fit;

typedef struct taking {
    events_body body;
    emk_events batch;
    emk_device_record device;
    emk_events_entity chain;
    uint64_t version, gap;
} taking;

static bool refuse_status(emk_call *call, emk_status st)
{
    emk_problem_set(call, emk_problem_of_status(st), NULL);
    return false;
}

static bool read_batch(emk_call *call, taking *x, emk_error *e)
{
    const uint8_t *device = call->gate.who.device_id;
    emk_verify_key *key = NULL;
    emk_status st = emk_device_get(&call->api->records, device, &x->device, NULL, e);

    if (st == EMK_OK)
        st = emk_cose_verify_key(
            call->api->crypto,
            emk_span_of(x->device.gate.signing_key, emk_sign_public_len(x->device.gate.alg)), &key,
            e);
    if (st == EMK_OK)
        st = emk_problem_object_status(
            emk_events_verify(call->api->crypto, x->body.batch, key, &x->batch, e));
    emk_verify_key_free(key);
    if (st == EMK_OK && memcmp(x->batch.device_id, device, sizeof x->batch.device_id) != 0)
        st = emk_fail(e, EMK_E_SIGNATURE, "events: by another device", 0);
    return st == EMK_OK ? true : refuse_status(call, st);
}

static emk_status read_chain(emk_call *call, taking *x, emk_error *e)
{
    emk_record_info info = {.version = EMK_RECORD_ABSENT};
    emk_status st = emk_entity_get(&call->api->records, &emk_events_shape,
                                   emk_span_of(x->batch.device_id, 32), &x->chain, &info, e);

    x->version = info.version;
    if (st == EMK_E_NOT_FOUND) {
        x->chain = (emk_events_entity){.next = 1};
        *e = (emk_error){.status = EMK_OK}; /* its first batch is no fault */
        return EMK_OK;
    }
    if (st == EMK_OK && x->chain.next == 0)
        x->chain.next = 1;
    return st;
}

static fit fit_of(const taking *x)
{
    const emk_events *b = &x->batch;
    const emk_events_entity *c = &x->chain;

    if (b->first < c->next)
        return memcmp(b->hash, c->last, sizeof c->last) == 0 ? REPEATED : FORGED;
    if (b->first > c->next)
        return GAP; /* what it was chained to never came */
    return memcmp(b->previous, c->last, sizeof c->last) == 0 ? FITS : FORGED;
}

static void change_chain(const emk_call *call, taking *x, fit how)
{
    if (how == FORGED) {
        x->chain.n_forged++;
        return;
    }
    x->gap = x->batch.first - x->chain.next;
    x->chain.n_gaps += x->gap;
    x->chain.next = x->batch.first + x->batch.n;
    memcpy(x->chain.last, x->batch.hash, sizeof x->chain.last);
    x->chain.last_s = emk_api_now(call->api);
}

/* Not of a device that was erased meanwhile. */
static emk_status put_chain(emk_call *call, const taking *x, const emk_entity_put *put,
                            emk_error *e)
{
    emk_entity_change change;
    emk_status st = emk_entity_change_make(put, &change, e);

    if (st == EMK_OK) {
        emk_record_change both[] = {change.change,
                                    emk_device_check(x->batch.device_id, &x->device)};

        st = emk_records_commit(&call->api->records, both, 2, NULL, e);
        emk_entity_change_done(&change);
    }
    return st;
}

/* Fills *how with what was stored: two batches at once take turns. */
static emk_status store_chain(emk_call *call, taking *x, fit *how, emk_error *e)
{
    emk_entity_put put = {
        .shape = &emk_events_shape, .in = &x->chain, .id = emk_span_of(x->batch.device_id, 32)};
    emk_status st = EMK_E_STALE;

    for (unsigned i = 0; st == EMK_E_STALE && i < STORE_TRIES; i++) {
        st = read_chain(call, x, e);
        if (st != EMK_OK)
            break;
        *how = fit_of(x);
        if (*how == REPEATED)
            break;
        change_chain(call, x, *how);
        put.expect = x->version;
        st = put_chain(call, x, &put, e);
        if (st == EMK_E_STALE && e->where == 1)
            st = emk_device_get(&call->api->records, x->batch.device_id, &x->device, NULL, e) ==
                         EMK_OK
                     ? EMK_E_STALE
                     : EMK_E_NOT_FOUND;
    }
    return st;
}

/* ---- to the engine ---- */

static emk_fraud_type type_of(uint8_t type)
{
    static const emk_fraud_type TYPES[] = {
        [EMK_EVENT_OPEN] = EMK_FRAUD_OPEN,     [EMK_EVENT_OPEN_FAIL] = EMK_FRAUD_OPEN_FAIL,
        [EMK_EVENT_USE] = EMK_FRAUD_USE,       [EMK_EVENT_DELETE] = EMK_FRAUD_DELETE,
        [EMK_EVENT_TAMPER] = EMK_FRAUD_TAMPER, [EMK_EVENT_CLOCK] = EMK_FRAUD_CLOCK,
    };

    if (type == EMK_EVENT_HEARTBEAT || type >= sizeof TYPES / sizeof TYPES[0])
        return EMK_FRAUD_HEARTBEAT; /* of a newer device: it lives, is all we know */
    return TYPES[type];
}

static bool note_guard(emk_call *call, const taking *x, emk_span summary)
{
    emk_guarding_in in = {.device_id = x->batch.device_id,
                          .device = &x->device,
                          .message = x->body.batch,
                          .summary = summary};
    emk_guarding verdict = EMK_GUARDING_PASS;
    emk_error ignored;

    return emk_api_guarding(call, &in, &verdict, &ignored) == EMK_OK;
}

static void note_one(emk_call *call, const taking *x, const emk_event *v)
{
    emk_decide_in in = {.device_id = x->batch.device_id,
                        .device = &x->device,
                        .ticket_id = v->has_ticket ? v->ticket_id : NULL};
    emk_fraud_event ev;

    /* With a guard's summary it is looked at as a whole; one that is none is a tampering. */
    if (v->type == EMK_EVENT_TAMPER && v->detail.len > 0 && note_guard(call, x, v->detail))
        return;
    emk_fraud_event_init(&ev, type_of(v->type), emk_api_now(call->api) * 1000);
    if (v->time < EMK_FRAUD_TS_MAX / 1000)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT,
                               (int64_t)(v->time * 1000) * EMK_FRAUD_MILLI);
    if (v->code > 0 && v->code <= 999)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_CODE, (int64_t)v->code * EMK_FRAUD_MILLI);
    emk_api_note_as(call, &in, &ev, EMK_FRAUD_SRC_SDK);
}

static void note_chain(emk_call *call, const taking *x, fit how)
{
    emk_decide_in in = {.device_id = x->batch.device_id, .device = &x->device};
    uint64_t gap = x->gap < 1000000000u ? x->gap : 1000000000u;
    emk_fraud_event ev;

    if (how != GAP && how != FORGED)
        return;
    emk_fraud_event_init(&ev, how == GAP ? EMK_FRAUD_GAP : EMK_FRAUD_BATCH_FORGED,
                         emk_api_now(call->api) * 1000);
    if (how == GAP)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_X_GAP, (int64_t)gap * EMK_FRAUD_MILLI);
    emk_api_note(call, &in, &ev);
}

/* What does not fit goes into the audit; whether it can be written decides nothing for the device.
 */
static void audit_chain(emk_call *call, const taking *x, fit how)
{
    emk_journal_event event;
    emk_error ignored;

    if (how != GAP && how != FORGED)
        return;
    emk_api_event(call, how == GAP ? "events.gap" : "events.forged", EMK_JOURNAL_DENIED, &event);
    event.subject = emk_span_of(x->batch.device_id, sizeof x->batch.device_id);
    if (call->api->journal &&
        emk_journal_append(call->api->journal, &event, 1, NULL, &ignored) != EMK_OK)
        return;
}

static const emk_meter_batch BATCHES[] = {[FITS] = EMK_METER_BATCH_ACCEPTED,
                                          [REPEATED] = EMK_METER_BATCH_REPEATED,
                                          [GAP] = EMK_METER_BATCH_GAP,
                                          [FORGED] = EMK_METER_BATCH_FORGED};

static emk_status take(emk_call *call, emk_error *e)
{
    taking *x = emk_arena_take(&call->arena, sizeof *x);
    fit how = FITS;
    emk_json_out o;
    emk_status st;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "events: memory", sizeof *x);
    if (!emk_json_body(call, &EVENTS_SHAPE, &x->body) || !read_batch(call, x, e))
        return EMK_OK;
    st = store_chain(call, x, &how, e);
    if (st != EMK_OK)
        return st == EMK_E_STALE ? emk_fail(e, EMK_E_BUSY, "events: the chain is busy", 0) : st;
    emk_meter_batch_seen(&call->api->meter, BATCHES[how], x->batch.n, how == GAP ? x->gap : 0);
    audit_chain(call, x, how);
    note_chain(call, x, how);
    if (how == FORGED) {
        emk_problem_set(call, EMK_API_CONFLICT, "events: this batch does not follow the last one");
        return EMK_OK;
    }
    for (size_t i = 0; how != REPEATED && i < x->batch.n; i++)
        note_one(call, x, &x->batch.events[i]);
    emk_json_out_init(&o, &call->arena, 256);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "next", x->chain.next);
    emk_json_out_uint(&o, "missing", x->chain.n_gaps);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* ---- of backends ---- */

typedef struct lines {
    emk_fraud_event ev[BACKEND_LINES];
    size_t n;
} lines;

static emk_span next_line(emk_span *rest)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->p, '\n', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->p) : rest->len;
    emk_span line = emk_span_of(rest->p, len);

    *rest = emk_span_of(rest->p + len + (end ? 1 : 0), rest->len - len - (end ? 1 : 0));
    return line;
}

static bool refuse_line(emk_call *call, size_t line, const emk_error *why)
{
    emk_json_complaint c = {.why = why->what ? why->what : "not an event"};

    snprintf(c.pointer, sizeof c.pointer, "/%zu", line);
    emk_problem_set_field(call, &c);
    return false;
}

static bool read_id(const emk_fraud_event *ev, emk_fraud_field f,
                    uint8_t id[EMK_GATE_DEVICE_ID_LEN])
{
    emk_error ignored;
    size_t len;

    return emk_fraud_has(ev, f) &&
           ev->f[f].text.len == EMK_BASE64URL_CHARS(EMK_GATE_DEVICE_ID_LEN) &&
           emk_base64url_decode(ev->f[f].text, id, EMK_GATE_DEVICE_ID_LEN, &len, &ignored) ==
               EMK_OK;
}

/* Whose the user, or else the device, is that the event names; "": nobody known. */
static const char *tenant_of(emk_call *call, const emk_fraud_event *ev)
{
    emk_user_entity *user = emk_arena_take(&call->arena, sizeof *user);
    emk_device_record *device = emk_arena_take(&call->arena, sizeof *device);
    uint8_t id[EMK_GATE_DEVICE_ID_LEN];
    emk_error ignored;

    if (!user || !device)
        return NULL;
    if (read_id(ev, EMK_FRAUD_F_USER, id) &&
        emk_entity_get(&call->api->records, &emk_user_shape, emk_span_of(id, sizeof id), user, NULL,
                       &ignored) == EMK_OK)
        return user->tenant;
    if (read_id(ev, EMK_FRAUD_F_DEVICE, id) &&
        emk_device_get(&call->api->records, id, device, NULL, &ignored) == EMK_OK)
        return device->gate.tenant;
    return NULL;
}

/* The event is about the service's own tenant, whoever it names: what another tenant's users and
 * devices are called means nobody here, and so does not tell whether they exist.  Its id is the
 * tenant's too: nobody uses up another's.  False after it answered. */
static bool stamp(emk_call *call, emk_fraud_event *ev)
{
    const char *own = emk_api_tenant(call->api, call->gate.who.tenant), *theirs;
    emk_span id = ev->f[EMK_FRAUD_F_ID].text, said = ev->f[EMK_FRAUD_F_TENANT].text;
    const char *text;

    if (emk_fraud_has(ev, EMK_FRAUD_F_TENANT) && !emk_span_equal(said, emk_span_str(own))) {
        emk_problem_set(call, EMK_API_POLICY, "an event of another tenant");
        return false;
    }
    if (!emk_tenant_is_sound(emk_span_str(own)))
        return true;
    text = emk_arena_format(&call->arena, "%s:%.*s", own, (int)id.len, (const char *)id.p);
    if (!text || strlen(text) > EMK_FRAUD_ID_MAX) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "an event's id is too long");
        return false;
    }
    emk_fraud_event_text(ev, EMK_FRAUD_F_ID, emk_span_str(text));
    theirs = tenant_of(call, ev);
    if (theirs && strcmp(emk_api_tenant(call->api, theirs), own) == 0)
        own = theirs;
    if (own[0])
        emk_fraud_event_text(ev, EMK_FRAUD_F_TENANT, emk_span_str(own));
    else
        ev->has &= ~(UINT64_C(1) << EMK_FRAUD_F_TENANT);
    return true;
}

static bool read_line(emk_call *call, emk_span line, lines *out, emk_error *e)
{
    emk_fraud_event *ev = &out->ev[out->n];
    emk_status st = emk_fraud_event_read(line, ev, e);

    if (st == EMK_OK && ev->src != EMK_FRAUD_SRC_BACKEND)
        st = emk_fail(e, EMK_E_FORMAT, "event: a backend says src \"backend\"", 0);
    /* Without an id the same event could count twice. */
    if (st == EMK_OK && !emk_fraud_has(ev, EMK_FRAUD_F_ID))
        st = emk_fail(e, EMK_E_FORMAT, "event: no id", 0);
    if (st != EMK_OK)
        return refuse_line(call, out->n, e);
    if (ev->type == EMK_FRAUD_ADMIN_SWITCH) {
        emk_problem_set(call, EMK_API_POLICY, "the switch is of all tenants: for operators");
        return false;
    }
    if (!stamp(call, ev))
        return false;
    /* The engine's clock is when we heard of it; when it happened is the backend's word. */
    ev->ts = emk_api_now(call->api) * 1000;
    out->n++;
    return true;
}

static bool read_lines(emk_call *call, lines *out, emk_error *e)
{
    emk_span rest = call->body;

    while (rest.len > 0) {
        emk_span line = next_line(&rest);

        if (line.len == 0)
            continue;
        if (out->n == BACKEND_LINES) {
            emk_problem_set(call, EMK_API_TOO_LARGE, "at most 128 events");
            return false;
        }
        if (!read_line(call, line, out, e))
            return false;
    }
    if (out->n == 0)
        emk_problem_set(call, EMK_API_INVALID_BODY, "no event");
    return out->n > 0;
}

static emk_status take_backend(emk_call *call, emk_error *e)
{
    const emk_decider *d = &call->api->decider;
    lines *in = emk_arena_take(&call->arena, sizeof *in);
    uint64_t known = 0;
    emk_journal_event event;
    const char *object;
    emk_json_out o;
    emk_status st = EMK_OK;

    if (!in)
        return emk_fail(e, EMK_E_NO_MEMORY, "events: memory", sizeof *in);
    if (!read_lines(call, in, e))
        return EMK_OK;
    object = emk_arena_format(&call->arena, "events:%zu", in->n);
    emk_api_event(call, "events.backend", EMK_JOURNAL_DONE, &event);
    event.object = emk_span_str(object ? object : "");
    if (!emk_api_audit(call, &event))
        return EMK_OK;
    for (size_t i = 0; d->ops && d->ops->note && i < in->n; i++) {
        st = emk_api_tell(call, &in->ev[i], e);
        if (st != EMK_OK && st != EMK_E_USED)
            return st; /* sent again, those before are known */
        known += st == EMK_E_USED;
    }
    emk_meter_backend(&call->api->meter, in->n - known, known);
    emk_json_out_init(&o, &call->arena, 256);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "accepted", in->n - known);
    emk_json_out_uint(&o, "known", known);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/events",
     .content_type = "application/json",
     .body_max = EVENTS_BODY_MAX,
     .gate = {.name = "sendEvents",
              .admits = EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_DEVICE_USER,
              .cost = 1,
              .takes_expired_device = true,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = take},
    {.method = EMK_HTTP_POST,
     .path = "/v1/events/backend",
     .content_type = "application/x-ndjson",
     .body_max = BACKEND_BODY_MAX,
     .gate = {.name = "sendBackendEvents",
              .admits = EMK_PRINCIPAL_SERVICE,
              .scopes = EMK_SCOPE_EVENTS,
              .cost = 1,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = take_backend},
};

const emk_route_table emk_routes_events = {ROWS, sizeof ROWS / sizeof ROWS[0]};
