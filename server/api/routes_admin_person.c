/* All that is known of one person: given out, forgotten (erasure.h), or held for a court.
 *
 * Erasing destroys the keys of what the audit log says about the person and their devices, then
 * deletes the records; the log itself stays whole.  A legal hold on the person blocks it. */
#include "server/api/admin_route.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/codec/base64url.h"
#include "server/api/erasure.h"
#include "server/api/fraud_engine.h"
#include "server/journal/audit.h"

#include <stdio.h>
#include <string.h>

#define LINE_MAX ((size_t)32 * 1024)
#define STEP     ((size_t)256 * 1024) /* of an export, before it goes to its file */
#define PATH_CAP 1024u

#define AUDIT_MAX   5000000u /* entries looked at for one person */
#define DEVICES_MAX 1024u    /* whose entries of the audit log are looked for */

/* What is known of one person, while it is collected. */
typedef struct person {
    emk_call *call;
    uint8_t owner[32];
    char subject[EMK_NAME_CAP], tenant[EMK_NAME_CAP];
    emk_buf out;            /* lines that are not in the file yet */
    int fd;                 /* the export: as long as it wants to be, in no folder */
    uint64_t written;       /* bytes of it */
    uint8_t (*devices)[32]; /* DEVICES_MAX of them */
    size_t n_devices;
} person;

static emk_status each(person *p, uint32_t kind, emk_span owner, emk_owned_fn fn, emk_error *e)
{
    emk_owned what = {.kind = kind, .owner = owner};

    return emk_api_each_owned(p->call->api, &what, fn, p, e);
}

/* ---- export: one JSON object a line ---- */

static emk_status flush(person *p, emk_error *e)
{
    emk_status st = emk_os_write_at(p->fd, p->written, p->out.p, p->out.len, e);

    p->written += p->out.len;
    emk_wipe(p->out.p, p->out.len);
    p->out.len = 0;
    return st;
}

static emk_status put_line(person *p, emk_json_out *o, emk_error *e)
{
    emk_span line = {0};
    emk_status st;

    emk_json_out_close(o);
    st = emk_json_out_finish(o, &line, e);
    if (st == EMK_OK && p->out.len + line.len + 1 > STEP)
        st = flush(p, e);
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

static emk_status export_blob(void *self, emk_span of, emk_error *e)
{
    return export_entity(self, &emk_blob_shape, of, e);
}

static emk_status export_ticket(void *self, emk_span of, emk_error *e)
{
    person *p = self;
    emk_status st = export_entity(p, &emk_ticket_shape, of, e);

    return st == EMK_OK ? each(p, EMK_KIND_BLOB, of, export_blob, e) : st;
}

static emk_status export_decision(void *self, emk_span of, emk_error *e)
{
    return export_entity(self, &emk_decision_shape, of, e);
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
    emk_json_out_bool(&o, "must_attest", d->demand & (EMK_DEMAND_GRANTS | EMK_DEMAND_ALL));
    if (d->held_until_s)
        emk_json_out_time(&o, "held_until", d->held_until_s);
    st = put_line(p, &o, e);
    emk_arena_done(&arena);
    return st;
}

static emk_status export_device(void *self, emk_span of, emk_error *e)
{
    person *p = self;
    emk_device_record *d = emk_alloc(1, sizeof *d);
    emk_status st = d ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);

    if (st == EMK_OK && (p->n_devices == DEVICES_MAX || of.len != 32))
        st = emk_fail(e, EMK_E_LIMIT, "admin: more devices than one answer takes", p->n_devices);
    if (st == EMK_OK)
        memcpy(p->devices[p->n_devices++], of.p, 32);
    if (st == EMK_OK)
        st = emk_device_get(&p->call->api->records, of.p, d, NULL, e);
    if (st == EMK_OK)
        st = export_device_line(p, d, of, e);
    emk_free(d);
    if (st == EMK_OK)
        st = export_entity(p, &emk_events_shape, of, e);
    if (st == EMK_OK)
        st = export_entity(p, &emk_guard_shape, of, e);
    return st == EMK_OK ? each(p, EMK_KIND_TICKET, of, export_ticket, e) : st;
}

/* ---- export: lists, engine, audit log ---- */

static emk_status export_listed(void *self, emk_span of, emk_error *e)
{
    person *p = self;
    emk_list_entity entry;
    char id[EMK_BASE64URL_CHARS(32) + 1];
    bool ours;
    size_t len;
    emk_status st = emk_entity_get(&p->call->api->records, &emk_list_shape, of, &entry, NULL, e);

    if (st != EMK_OK)
        return st == EMK_E_NOT_FOUND ? EMK_OK : st;
    ours = strcmp(entry.value, p->subject) == 0;
    for (size_t i = 0; st == EMK_OK && !ours && i <= p->n_devices; i++) {
        const uint8_t *name = i < p->n_devices ? p->devices[i] : p->owner;

        st = emk_base64url_encode(emk_span_of(name, 32), id, sizeof id, &len, e);
        ours = st == EMK_OK && strcmp(entry.value, id) == 0;
    }
    return st == EMK_OK && ours ? export_entity(p, &emk_list_shape, of, e) : st;
}

/* What the engine remembers of the user, or of a device. */
static emk_status export_remembered(person *p, emk_fraud_entity what, const uint8_t id[32],
                                    emk_error *e)
{
    char name[EMK_BASE64URL_CHARS(32) + 1];
    emk_arena arena;
    emk_json_out o;
    size_t len;
    emk_status st = emk_base64url_encode(emk_span_of(id, 32), name, sizeof name, &len, e);

    if (st != EMK_OK || !p->call->api->fraud)
        return st;
    emk_arena_init(&arena, 2 * LINE_MAX);
    emk_json_out_init(&o, &arena, LINE_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "record", emk_span_str("remembered"));
    emk_json_out_text(&o, "key", emk_span_of(name, len));
    if (emk_fraud_host_look(p->call->api->fraud, what, emk_span_str(p->tenant),
                            emk_span_of(name, len), &o))
        st = put_line(p, &o, e);
    emk_arena_done(&arena);
    return st;
}

static bool is_about(const person *p, emk_span subject)
{
    if (subject.len != 32)
        return false;
    if (memcmp(subject.p, p->owner, 32) == 0)
        return true;
    for (size_t i = 0; i < p->n_devices; i++)
        if (memcmp(subject.p, p->devices[i], 32) == 0)
            return true;
    return false;
}

static void put_sealed(person *p, emk_json_out *o, const emk_journal_event *ev)
{
    emk_subjects s;
    emk_error ignored;
    emk_buf plain;

    if (ev->pii.len == 0 || !emk_admin_subjects(p->call->api, &s))
        return;
    emk_buf_init(&plain, EMK_JOURNAL_PII_MAX);
    if (emk_subjects_unseal(&s, ev, &plain, &ignored) == EMK_OK)
        emk_json_out_text(o, "said", emk_buf_span(&plain));
    emk_wipe(plain.p, plain.len);
    emk_buf_done(&plain);
}

static emk_status export_entry(person *p, const emk_journal_record *r, emk_error *e)
{
    emk_arena arena;
    emk_json_out o;
    emk_status st;

    emk_arena_init(&arena, 2 * LINE_MAX);
    emk_json_out_init(&o, &arena, LINE_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "record", emk_span_str("audit"));
    emk_json_out_uint(&o, "seq", r->seq);
    emk_json_out_uint(&o, "time_ms", r->event.time_ms);
    emk_json_out_text(&o, "type", r->event.type);
    emk_json_out_base64url(&o, "subject", r->event.subject);
    if (r->event.object.len > 0)
        emk_json_out_text(&o, "object", r->event.object);
    put_sealed(p, &o, &r->event);
    st = put_line(p, &o, e);
    emk_arena_done(&arena);
    return st;
}

static emk_status export_audit(person *p, emk_error *e)
{
    const char *dir =
        p->call->api->admin ? emk_admin_settings(p->call->api->admin)->journal_dir : NULL;
    emk_audit_entries *x = NULL;
    emk_status st = EMK_OK;

    if (!dir)
        return EMK_OK;
    st = emk_audit_entries_new(dir, 0, &x, e);
    for (uint64_t looked = 0; st == EMK_OK; looked++) {
        emk_journal_record r;
        emk_span entry;
        uint64_t seq;

        if (looked == AUDIT_MAX)
            st =
                emk_fail(e, EMK_E_LIMIT, "admin: the audit log is too long to be searched", looked);
        if (st == EMK_OK)
            st = emk_audit_entries_next(x, &entry, &seq, e);
        if (st == EMK_OK)
            st = emk_journal_record_read(entry, &r, e);
        if (st == EMK_OK && is_about(p, r.event.subject))
            st = export_entry(p, &r, e);
    }
    emk_audit_entries_free(x);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status export_also(person *p, emk_error *e)
{
    emk_status st = each(p, EMK_KIND_LIST, emk_span_of(NULL, 0), export_listed, e);

    if (st == EMK_OK)
        st = export_remembered(p, EMK_FRAUD_USER, p->owner, e);
    for (size_t i = 0; st == EMK_OK && i < p->n_devices; i++)
        st = export_remembered(p, EMK_FRAUD_DEVICE, p->devices[i], e);
    return st == EMK_OK ? export_audit(p, e) : st;
}

static emk_status export_person(person *p, emk_error *e)
{
    emk_span owner = emk_span_of(p->owner, sizeof p->owner);
    emk_status st;

    p->devices = emk_alloc(DEVICES_MAX, sizeof *p->devices);
    if (!p->devices)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", DEVICES_MAX);
    st = export_entity(p, &emk_user_shape, owner, e);
    if (st == EMK_OK)
        st = each(p, EMK_KIND_DEVICE, owner, export_device, e);
    if (st == EMK_OK)
        st = each(p, EMK_KIND_DECISION, owner, export_decision, e);
    if (st == EMK_OK)
        st = export_also(p, e);
    emk_free(p->devices);
    p->devices = NULL;
    return st;
}

static bool is_known(person *p)
{
    emk_call *call = p->call;
    emk_user_entity *user = emk_arena_take(&call->arena, sizeof *user);

    if (!user)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    if (!user || !emk_admin_find(call, &emk_user_shape, emk_span_of(p->owner, 32), user, NULL))
        return false;
    memcpy(p->subject, user->subject, sizeof p->subject);
    memcpy(p->tenant, user->tenant, sizeof p->tenant);
    return true;
}

/* Beside the audit log, where there is one, and with no name from its first moment on: nothing of
 * it is left, whatever happens. */
static emk_status open_file(person *p, emk_error *e)
{
    const emk_admin *admin = p->call->api->admin;
    const char *dir = admin ? emk_admin_settings(admin)->journal_dir : NULL;
    char path[PATH_CAP], name[PATH_CAP + 16];
    emk_status st;

    if (!dir)
        return emk_os_memory_file("export", false, &p->fd, e);
    if (snprintf(path, sizeof path, "%s-export", dir) >= (int)sizeof path)
        return emk_fail(e, EMK_E_LIMIT, "admin: the folder's name", strlen(dir));
    st = emk_os_create_beside(path, &p->fd, name, sizeof name, e);
    return st == EMK_OK ? emk_os_discard(name, e) : st;
}

typedef struct answered_file {
    int fd;
} answered_file;

static void close_file(void *self)
{
    answered_file *f = self;

    emk_os_close(f->fd);
    emk_free(f);
}

/* Takes the file. */
static emk_status answer_file(person *p, emk_error *e)
{
    answered_file *f = emk_alloc(1, sizeof *f);
    emk_http_source source = {.fd = p->fd, .length = p->written, .done = close_file, .self = f};

    if (!f) {
        emk_os_close(p->fd);
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *f);
    }
    f->fd = p->fd;
    emk_reply_source(p->call, 200, "application/x-ndjson", &source);
    return EMK_OK;
}

static emk_status export_user(emk_call *call, emk_error *e)
{
    person p = {.call = call, .fd = -1};
    emk_admin_change change = {.type = "user.export", .object = "user"};
    emk_status st;

    if (!emk_admin_query_only(call, NULL) || !emk_admin_param(call, 0, p.owner, sizeof p.owner) ||
        !is_known(&p))
        return EMK_OK;
    change.subject = emk_span_of(p.owner, sizeof p.owner);
    change.is = "given out";
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    emk_buf_init(&p.out, STEP);
    st = open_file(&p, e);
    if (st == EMK_OK)
        st = export_person(&p, e);
    if (st == EMK_OK)
        st = flush(&p, e);
    emk_buf_done(&p.out);
    if (st == EMK_OK)
        st = answer_file(&p, e);
    else
        emk_os_close(p.fd);
    return st;
}

/* ---- erase ---- */

typedef struct erase_body {
    emk_span basis;
} erase_body;

static const emk_json_field ERASE[] = {
    {"basis", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 128, offsetof(erase_body, basis), NULL},
};
static const emk_json_shape ERASE_SHAPE = {ERASE, 1};

static emk_status answer_erased(emk_call *call, const emk_erasure_count *n, emk_error *e)
{
    const struct {
        const char *name;
        uint64_t n;
    } ALL[] = {{"users", n->users},         {"devices", n->devices},
               {"tickets", n->tickets},     {"blobs", n->blobs},
               {"keys", n->keys},           {"lists", n->lists},
               {"decisions", n->decisions}, {"remembered", n->remembered}};
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 1024);
    emk_json_out_open(&o, NULL, '{');
    for (size_t i = 0; i < sizeof ALL / sizeof ALL[0]; i++)
        emk_json_out_uint(&o, ALL[i].name, ALL[i].n);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* A hold is answered before the entry: nothing was to be erased. */
static bool is_held(emk_call *call, const uint8_t owner[32])
{
    emk_subjects s;
    emk_error ignored;
    bool held = false;

    if (!emk_admin_subjects(call->api, &s) ||
        emk_subjects_is_held(&s, emk_span_of(owner, 32), &held, &ignored) != EMK_OK)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else if (held)
        emk_problem_set(call, EMK_API_POLICY, "a legal hold");
    else
        return false;
    return true;
}

static emk_status erase_id(emk_call *call, emk_admin_change *change, emk_erasure_ask *ask,
                           emk_error *e)
{
    emk_erasure_count n = {0};
    emk_journal_event event;
    emk_status st;

    change->subject = emk_span_of(ask->id, 32);
    change->is = "to be erased";
    if (!emk_admin_audit(call, change))
        return EMK_OK;
    emk_api_event(call, change->type, EMK_JOURNAL_DONE, &event);
    ask->actor = event.actor;
    st = emk_api_erase(call->api, ask, &n, e);
    if (st == EMK_E_POLICY) {
        emk_problem_set(call, EMK_API_POLICY, "a legal hold");
        return EMK_OK;
    }
    return st == EMK_OK ? answer_erased(call, &n, e) : st;
}

static emk_status erase_user(emk_call *call, emk_error *e)
{
    person p = {.call = call};
    emk_admin_change change = {.type = "user.erase", .object = "user"};
    emk_erasure_ask ask = {.id = p.owner};
    erase_body body = {.basis = {0}};

    if (!emk_json_body(call, &ERASE_SHAPE, &body) ||
        !emk_admin_param(call, 0, p.owner, sizeof p.owner) || !is_known(&p) ||
        is_held(call, p.owner))
        return EMK_OK;
    ask.basis = body.basis;
    return erase_id(call, &change, &ask, e);
}

/* One device only; its user stays. */
static emk_status erase_device(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "device.erase", .object = "device"};
    emk_device_record *d = emk_arena_take(&call->arena, sizeof *d);
    erase_body body = {.basis = {0}};
    uint8_t id[32], owner[32];
    emk_erasure_ask ask = {.device = true, .id = id};
    emk_status st;

    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);
    if (!emk_json_body(call, &ERASE_SHAPE, &body) || !emk_admin_param(call, 0, id, sizeof id))
        return EMK_OK;
    st = emk_device_get(&call->api->records, id, d, NULL, e);
    if (st == EMK_OK)
        st = emk_user_owner(call->api->crypto, d->gate.tenant, d->gate.user, owner, e);
    if (st != EMK_OK || is_held(call, owner))
        return st;
    ask.basis = body.basis;
    return erase_id(call, &change, &ask, e);
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
    person p = {.call = call};
    emk_subjects s;
    emk_status st;

    if (!emk_json_body(call, &HOLD_SHAPE, &body) || !emk_admin_param(call, 0, p.owner, 32) ||
        !is_known(&p))
        return EMK_OK;
    if (!emk_admin_subjects(call->api, &s)) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    change.subject = emk_span_of(p.owner, sizeof p.owner);
    change.why = body.reason;
    change.is = body.hold ? "held" : "not held";
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_subjects_hold(&s, change.subject, body.hold, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

#define OPERATOR(n, s) EMK_ADMIN_GATE(n, s, true, 10)
#define JSON           .content_type = "application/json", .body_max = 4096

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
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/devices/{id}/erase",
     JSON,
     .gate = OPERATOR("eraseDevice", EMK_SCOPE_ERASE),
     .handle = erase_device},
    {.method = EMK_HTTP_PUT,
     .path = "/v1/admin/users/{id}/hold",
     JSON,
     .gate = OPERATOR("holdUser", EMK_SCOPE_ERASE),
     .handle = hold_user},
};

const emk_route_table emk_routes_admin_person = {ROWS, sizeof ROWS / sizeof ROWS[0]};
