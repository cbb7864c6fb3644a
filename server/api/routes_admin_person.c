/* All that is known of one person: given out, forgotten, or held for a court.
 *
 * Erasing destroys the keys of what the audit log says about the person and their devices, then
 * deletes the records; the log itself stays whole.  A legal hold on the person blocks it.  A kill
 * on the way leaves the rest to be erased again: nothing is asked twice. */
#include "server/api/admin_route.h"

#include "core/base/alloc.h"

#include <string.h>

#define EXPORT_MAX  (16u << 20)
#define RECORDS_MAX 10000u /* of one kind and owner */
#define LINE_MAX    ((size_t)32 * 1024)

typedef struct id {
    uint8_t b[EMK_RECORD_ID_MAX];
    size_t len;
} id;

/* What is known of one person, while it is collected or deleted. */
typedef struct person {
    emk_call *call;
    uint8_t owner[32];
    emk_buf out;   /* export */
    uint64_t n[6]; /* erased, by kind */
    id *ids;       /* EMK_RECORD_SCAN_MAX of them */
    size_t n_ids;
} person;

typedef emk_status (*each_fn)(person *p, emk_span id, emk_error *e);

static emk_status keep_id(void *self, const emk_record_view *r, emk_error *e)
{
    person *p = self;
    id *to = &p->ids[p->n_ids++];

    (void)e;
    memcpy(to->b, r->id.p, r->id.len);
    to->len = r->id.len;
    return EMK_OK;
}

/* Calls fn for the records of an owner: a page of ids first, since fn uses the store.  Each call
 * has a page of its own, because devices are walked while their tickets are. */
static emk_status each(person *p, uint32_t kind, emk_span owner, each_fn fn, emk_error *e)
{
    size_t size = EMK_RECORD_SCAN_MAX * sizeof(id);
    person page = {.ids = emk_alloc(1, size)};
    id last = {.len = 0};
    emk_status st = page.ids ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", size);

    for (size_t seen = 0; st == EMK_OK; seen += page.n_ids) {
        emk_record_scan scan = {.kind = kind,
                                .owner = owner,
                                .after = emk_span_of(last.b, last.len),
                                .limit = EMK_RECORD_SCAN_MAX};

        page.n_ids = 0;
        st = emk_records_scan(&p->call->api->records, &scan, keep_id, &page, e);
        if (st == EMK_OK && seen + page.n_ids > RECORDS_MAX)
            st = emk_fail(e, EMK_E_LIMIT, "admin: more records than one answer takes", seen);
        for (size_t i = 0; st == EMK_OK && i < page.n_ids; i++)
            st = fn(p, emk_span_of(page.ids[i].b, page.ids[i].len), e);
        if (st != EMK_OK || page.n_ids < EMK_RECORD_SCAN_MAX)
            break;
        last = page.ids[page.n_ids - 1];
    }
    emk_free(page.ids);
    return st;
}

/* ---- export: one JSON object a line ---- */

static emk_status put_line(person *p, emk_json_out *o, emk_error *e)
{
    emk_span line;
    emk_status st;

    emk_json_out_close(o);
    st = emk_json_out_finish(o, &line, e);
    if (st == EMK_OK)
        st = emk_buf_append(&p->out, line, e);
    return st == EMK_OK ? emk_buf_append(&p->out, emk_span_of("\n", 1), e) : st;
}

/* An arena of its own for each line: the call's would fill. */
static emk_status export_entity(person *p, const emk_entity_shape *shape, emk_span of, emk_error *e)
{
    emk_arena arena;
    emk_json_out o;
    void *entity;
    emk_status st;

    emk_arena_init(&arena, 4 * LINE_MAX);
    entity = emk_arena_take(&arena, shape->struct_size);
    st = entity ? emk_entity_get(&p->call->api->records, shape, of, entity, NULL, e)
                : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", shape->struct_size);
    if (st == EMK_OK) {
        emk_json_out_init(&o, &arena, LINE_MAX);
        emk_json_out_open(&o, NULL, '{');
        emk_json_out_text(&o, "record", emk_span_str(shape->name));
        emk_json_out_base64url(&o, "key", of);
        emk_entity_json(shape, entity, &o);
        st = put_line(p, &o, e);
    }
    emk_arena_done(&arena);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status export_blob(person *p, emk_span of, emk_error *e)
{
    return export_entity(p, &emk_blob_shape, of, e);
}

static emk_status export_ticket(person *p, emk_span of, emk_error *e)
{
    emk_status st = export_entity(p, &emk_ticket_shape, of, e);

    return st == EMK_OK ? each(p, EMK_KIND_BLOB, of, export_blob, e) : st;
}

static emk_status export_decision(person *p, emk_span of, emk_error *e)
{
    return export_entity(p, &emk_decision_shape, of, e);
}

static emk_status export_device_line(person *p, const emk_device_record *d, emk_span of,
                                     emk_error *e)
{
    emk_arena arena;
    emk_json_out o;
    emk_status st;

    emk_arena_init(&arena, 2 * LINE_MAX);
    emk_json_out_init(&o, &arena, LINE_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "record", emk_span_str("device"));
    emk_json_out_base64url(&o, "key", of);
    emk_json_out_text(&o, "subject", emk_span_str(d->gate.user));
    emk_json_out_text(&o, "tenant", emk_span_str(d->gate.tenant));
    emk_json_out_text(&o, "platform", emk_span_str(d->platform));
    emk_json_out_text(&o, "app", emk_span_str(d->app));
    emk_json_out_base64url(&o, "signing_key",
                           emk_span_of(d->gate.signing_key, emk_sign_public_len(d->gate.alg)));
    emk_json_out_uint(&o, "attestation_kind", d->attestation_kind);
    emk_json_out_uint(&o, "attestation_level", d->gate.attestation_level);
    emk_json_out_bool(&o, "revoked", d->gate.revoked);
    emk_json_out_time(&o, "enrolled", d->enrolled);
    emk_json_out_time(&o, "not_after", d->gate.not_after);
    st = put_line(p, &o, e);
    emk_arena_done(&arena);
    return st;
}

static emk_status export_device(person *p, emk_span of, emk_error *e)
{
    emk_device_record *d = emk_alloc(1, sizeof *d);
    emk_status st = d ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);

    if (st == EMK_OK)
        st = emk_device_get(&p->call->api->records, of.p, d, NULL, e);
    if (st == EMK_OK)
        st = export_device_line(p, d, of, e);
    emk_free(d);
    if (st == EMK_OK)
        st = export_entity(p, &emk_events_shape, of, e);
    return st == EMK_OK ? each(p, EMK_KIND_TICKET, of, export_ticket, e) : st;
}

static emk_status export_person(person *p, emk_error *e)
{
    emk_span owner = emk_span_of(p->owner, sizeof p->owner);
    emk_status st = export_entity(p, &emk_user_shape, owner, e);

    if (st == EMK_OK)
        st = each(p, EMK_KIND_DEVICE, owner, export_device, e);
    if (st == EMK_OK)
        st = each(p, EMK_KIND_DECISION, owner, export_decision, e);
    return st;
}

static bool is_known(emk_call *call, const uint8_t owner[32])
{
    emk_user_entity *user = emk_arena_take(&call->arena, sizeof *user);

    if (!user)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return user && emk_admin_find(call, &emk_user_shape, emk_span_of(owner, 32), user, NULL);
}

static emk_status export_user(emk_call *call, emk_error *e)
{
    person p = {.call = call};
    emk_admin_change change = {.type = "user.export", .object = "user"};
    emk_status st;

    if (!emk_admin_query_only(call, NULL) || !emk_admin_param(call, 0, p.owner, sizeof p.owner) ||
        !is_known(call, p.owner))
        return EMK_OK;
    change.subject = emk_span_of(p.owner, sizeof p.owner);
    change.is = "given out";
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    emk_buf_init(&p.out, EXPORT_MAX);
    st = export_person(&p, e);
    if (st != EMK_OK) {
        emk_buf_done(&p.out);
        return st;
    }
    return emk_admin_reply_buf(call, "application/x-ndjson", &p.out, e);
}

/* ---- erase ---- */

enum { USERS, DEVICES, TICKETS, BLOBS, DECISIONS, KEYS };

static emk_status forget(person *p, uint32_t kind, emk_span of, size_t count, emk_error *e)
{
    emk_record_change gone = {
        .op = EMK_RECORD_DELETE, .kind = kind, .id = of, .expect = EMK_RECORD_ANY};

    p->n[count]++;
    return emk_records_commit(&p->call->api->records, &gone, 1, NULL, e);
}

static emk_status forget_blob(person *p, emk_span of, emk_error *e)
{
    return forget(p, EMK_KIND_BLOB, of, BLOBS, e);
}

static emk_status forget_ticket(person *p, emk_span of, emk_error *e)
{
    emk_status st = each(p, EMK_KIND_BLOB, of, forget_blob, e);

    return st == EMK_OK ? forget(p, EMK_KIND_TICKET, of, TICKETS, e) : st;
}

static emk_status forget_decision(person *p, emk_span of, emk_error *e)
{
    return forget(p, EMK_KIND_DECISION, of, DECISIONS, e);
}

/* Its subject was there, and is no more. */
static emk_status erase_subject(person *p, emk_span subject, emk_span basis, emk_error *e)
{
    emk_journal_event event;
    emk_subjects s;
    emk_erasure what = {.subject = subject, .basis = basis, .now_s = emk_api_now(p->call->api)};
    emk_status st;

    if (!emk_admin_subjects(p->call->api, &s) || !p->call->api->journal)
        return emk_fail(e, EMK_E_BUSY, "admin: keys of subjects are not here", 0);
    emk_api_event(p->call, "subject.erase", EMK_JOURNAL_DONE, &event);
    what.actor = event.actor;
    st = emk_subjects_erase(&s, p->call->api->journal, &what, e);
    if (st == EMK_OK)
        p->n[KEYS]++;
    return st == EMK_E_NOT_FOUND || st == EMK_E_USED ? EMK_OK : st;
}

static emk_status forget_device(person *p, emk_span of, emk_error *e)
{
    static const uint32_t ALSO[] = {EMK_KIND_EVENT_CHAIN, EMK_KIND_REPLAY_MARK};
    emk_status st = each(p, EMK_KIND_TICKET, of, forget_ticket, e);

    if (st == EMK_OK)
        st = erase_subject(p, of, emk_span_str("device of an erased user"), e);
    for (size_t i = 0; st == EMK_OK && i < 2; i++) {
        emk_record_change gone = {
            .op = EMK_RECORD_DELETE, .kind = ALSO[i], .id = of, .expect = EMK_RECORD_ANY};

        st = emk_records_commit(&p->call->api->records, &gone, 1, NULL, e);
    }
    if (st == EMK_OK)
        st = forget(p, EMK_KIND_DEVICE, of, DEVICES, e);
    if (st == EMK_OK && p->call->api->gate && of.len == EMK_GATE_DEVICE_ID_LEN)
        emk_gate_forget_device(p->call->api->gate, of.p);
    return st;
}

/* The user's record goes last: while it is there, erasing can be asked again. */
static emk_status erase_person(person *p, emk_span basis, emk_error *e)
{
    emk_span owner = emk_span_of(p->owner, sizeof p->owner);
    emk_status st = erase_subject(p, owner, basis, e);

    if (st == EMK_OK)
        st = each(p, EMK_KIND_DEVICE, owner, forget_device, e);
    if (st == EMK_OK)
        st = each(p, EMK_KIND_DECISION, owner, forget_decision, e);
    if (st == EMK_OK)
        st = forget(p, EMK_KIND_USER, owner, USERS, e);
    if (st == EMK_OK)
        st = emk_records_scrub(&p->call->api->records, e);
    return st;
}

typedef struct erase_body {
    emk_span basis;
} erase_body;

static const emk_json_field ERASE[] = {
    {"basis", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 128, offsetof(erase_body, basis), NULL},
};
static const emk_json_shape ERASE_SHAPE = {ERASE, 1};

static emk_status answer_erased(emk_call *call, const person *p, emk_error *e)
{
    static const char *const NAMES[] = {"users", "devices",   "tickets",
                                        "blobs", "decisions", "keys"};
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 1024);
    emk_json_out_open(&o, NULL, '{');
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        emk_json_out_uint(&o, NAMES[i], p->n[i]);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status erase_user(emk_call *call, emk_error *e)
{
    person p = {.call = call};
    emk_admin_change change = {.type = "user.erase", .object = "user"};
    erase_body body = {.basis = {0}};
    emk_status st;

    if (!emk_json_body(call, &ERASE_SHAPE, &body) ||
        !emk_admin_param(call, 0, p.owner, sizeof p.owner) || !is_known(call, p.owner))
        return EMK_OK;
    change.subject = emk_span_of(p.owner, sizeof p.owner);
    change.is = "to be erased";
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = erase_person(&p, body.basis, e);
    if (st == EMK_E_POLICY) {
        emk_problem_set(call, EMK_API_POLICY, "a legal hold");
        return EMK_OK;
    }
    return st == EMK_OK ? answer_erased(call, &p, e) : st;
}

/* ---- legal hold ---- */

typedef struct hold_body {
    bool hold;
    emk_span reason;
} hold_body;

static const emk_json_field HOLD[] = {
    {"hold", EMK_JSON_BOOL, EMK_JSON_REQUIRED, 0, 0, offsetof(hold_body, hold), NULL},
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(hold_body, reason), NULL},
};
static const emk_json_shape HOLD_SHAPE = {HOLD, 2};

/* The entry about it has a sealed reason, and so the subject has a key that can be held. */
static emk_status hold_user(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "user.hold", .object = "user"};
    hold_body body = {.hold = false};
    uint8_t owner[32];
    emk_subjects s;
    emk_status st;

    if (!emk_json_body(call, &HOLD_SHAPE, &body) || !emk_admin_param(call, 0, owner, 32) ||
        !is_known(call, owner))
        return EMK_OK;
    if (!emk_admin_subjects(call->api, &s)) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    change.subject = emk_span_of(owner, sizeof owner);
    change.why = body.reason;
    change.is = body.hold ? "held" : "not held";
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_subjects_hold(&s, change.subject, body.hold, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

#define OPERATOR(n, s)                                                                       \
    {                                                                                        \
        .name = (n), .admits = EMK_PRINCIPAL_OPERATOR, .scopes = (s), .needs_step_up = true, \
        .cost = 10, .klass = EMK_GATE_CLASS_ALWAYS                                           \
    }
#define JSON .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/users/{id}/export",
     .gate = OPERATOR("exportUser", EMK_SCOPE_READ | EMK_SCOPE_AUDIT),
     .handle = export_user},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/users/{id}/erase",
     JSON,
     .gate = OPERATOR("eraseUser", EMK_SCOPE_ERASE),
     .handle = erase_user},
    {.method = EMK_HTTP_PUT,
     .path = "/v1/admin/users/{id}/hold",
     JSON,
     .gate = OPERATOR("holdUser", EMK_SCOPE_ERASE),
     .handle = hold_user},
};

const emk_route_table emk_routes_admin_person = {ROWS, sizeof ROWS / sizeof ROWS[0]};
