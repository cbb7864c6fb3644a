/* POST /v1/seals?ticket=…: the server seals for a backend that has no library of its own: a model
 * in the body, or, without one, the catalogue's model that the ticket names.
 *
 * A ticket is good for one sealed model.  It may have been redeemed before, by the same service,
 * which asked whether to make something at all; or it is redeemed here, and then the engine is
 * asked. Whatever fails before the end leaves the ticket as it was. */
#include "server/api/admin_route.h"
#include "server/api/api.h"
#include "server/api/catalogue.h"
#include "server/api/decide.h"
#include "server/api/directory.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/sealing.h"
#include "server/api/tenant.h"

#include <errno.h>
#include <string.h>

typedef struct work {
    uint8_t id[EMK_ID_LEN];
    emk_ticket_entity *ticket; /* arena */
    emk_record_info info;
    emk_device_record *device; /* arena; NULL: it is gone */
    emk_sealed_blob blob;
} work;

static bool refuse(emk_call *call, emk_api_problem p, const char *detail)
{
    emk_problem_set(call, p, detail);
    return false;
}

/* The ticket's id, or the ticket itself; false after it answered. */
static bool find_ticket_id(emk_call *call, work *w)
{
    static const char *const NAMES[] = {"ticket", "file", NULL};
    emk_span text;
    size_t len = 0;
    emk_error ignored;

    if (!emk_admin_query_only(call, NAMES))
        return false;
    if (!emk_call_query(call, "ticket", &text))
        return refuse(call, EMK_API_INVALID_QUERY, "ticket: missing, or twice");
    if (text.len != EMK_BASE64URL_CHARS(EMK_ID_LEN) ||
        emk_base64url_decode(text, w->id, sizeof w->id, &len, &ignored) != EMK_OK)
        return refuse(call, EMK_API_INVALID_QUERY, "ticket: not a ticket's id");
    return true;
}

/* The ticket and its device: of another tenant, it is not there. */
static emk_status find_ticket(emk_call *call, work *w, emk_error *e)
{
    emk_status st = emk_entity_get(&call->api->records, &emk_ticket_shape,
                                   emk_span_of(w->id, sizeof w->id), w->ticket, &w->info, e);

    if (st != EMK_OK)
        return st;
    st = emk_device_get(&call->api->records, w->ticket->device, w->device, NULL, e);
    if (st == EMK_E_NOT_FOUND) {
        w->device = NULL;
        *e = (emk_error){.status = EMK_OK};
        return EMK_OK;
    }
    if (st == EMK_OK && !emk_api_reaches(call, w->device->gate.tenant))
        return emk_fail(e, EMK_E_NOT_FOUND, "seals: a ticket of another tenant", 0);
    return st;
}

/* Whether this service may seal for it.  False after it answered. */
static bool may_seal(emk_call *call, const work *w)
{
    const emk_ticket_entity *t = w->ticket;

    if (t->state == EMK_TICKET_REVOKED)
        return refuse(call, EMK_API_GONE, "ticket: revoked");
    if (t->expires_s <= emk_api_now(call->api))
        return refuse(call, EMK_API_GONE, "ticket: its time is over");
    if (t->state == EMK_TICKET_REDEEMED &&
        strncmp(t->redeemed_by, call->gate.who.name, sizeof t->redeemed_by - 1) == 0)
        return true;
    if (t->state != EMK_TICKET_ISSUED)
        return refuse(call, EMK_API_USED, NULL);
    return true;
}

/* A device that was revoked gets nothing, whoever redeemed; the engine is asked once a ticket. */
static bool decide(emk_call *call, const work *w)
{
    const emk_ticket_entity *t = w->ticket;
    emk_decide_in in = {.point = EMK_DECIDE_REDEEM,
                        .device_id = t->device,
                        .device = w->device,
                        .model = emk_span_str(t->model),
                        .app = emk_span_str(t->app),
                        .ticket_id = w->id,
                        .cost = t->cost};
    emk_verdict verdict;
    emk_error e = {0};

    if (!w->device || w->device->gate.revoked)
        return refuse(call, EMK_API_GONE, "ticket: its device is gone");
    if (t->state == EMK_TICKET_REDEEMED)
        return true;
    if (emk_api_decide(call, &in, &verdict, &e) != EMK_OK)
        return refuse(call, EMK_API_UNAVAILABLE, NULL);
    if (!verdict.pass)
        emk_api_decide_refuse(call, &verdict);
    return verdict.pass;
}

/* What sealing may say, as this route answers it: a full disk is a matter of waiting. */
static emk_status explain(emk_call *call, emk_status st, emk_error *e)
{
    switch (st) {
    case EMK_E_IO:
    case EMK_E_BUSY:
    case EMK_E_NO_MEMORY:
    case EMK_E_SEALED: /* the stored model is damaged: ours to mend */
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        call->error = *e;
        return EMK_OK;
    case EMK_E_NOT_FOUND:
        emk_problem_set(call, EMK_API_NOT_FOUND, "no such model in the catalogue");
        return EMK_OK;
    case EMK_E_LIMIT:
        emk_problem_set(call, EMK_API_INVALID_BODY, "the model is longer or shorter than was said");
        return EMK_OK;
    case EMK_E_STALE:
        emk_problem_set(call, EMK_API_USED, NULL);
        return EMK_OK;
    case EMK_E_FORMAT:
        emk_problem_set(call, EMK_API_INVALID_MODEL, e->what);
        call->error = *e;
        return EMK_OK;
    default:
        return st;
    }
}

/* The name of the file, from which some formats are known; never used as a path. */
static bool read_file_name(emk_call *call, const char **out)
{
    emk_span name, copy;
    emk_error ignored;

    *out = NULL;
    if (!emk_admin_query(call, "file", &name))
        return false;
    if (name.len == 0)
        return true;
    if (name.len > EMK_PATH_MAX || emk_path_check(name, &ignored) != EMK_OK ||
        emk_arena_copy(&call->arena, name, &copy, &ignored) != EMK_OK)
        return refuse(call, EMK_API_INVALID_QUERY, "file: not the name of one");
    *out = (const char *)copy.p;
    return true;
}

static emk_status read_body(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    return emk_call_read(self, out, cap, n, e);
}

static emk_status seal_body(emk_call *call, work *w, emk_error *e)
{
    uint64_t max = call->api->settings.model_max;
    emk_seal_body body = {.len = call->content_length, .read = read_body, .self = call};
    emk_span message = emk_span_of(w->ticket->message.p, w->ticket->message.len);

    if (call->content_length == EMK_HTTP_NO_LENGTH) {
        emk_problem_set(call, EMK_API_LENGTH_REQUIRED, NULL);
        return EMK_OK;
    }
    if (body.len > (max ? max : EMK_MODEL_LEN_MAX)) {
        emk_problem_set(call, EMK_API_TOO_LARGE, NULL);
        return EMK_OK;
    }
    if (!read_file_name(call, &body.file_name))
        return EMK_OK;
    return emk_seal_once(call->api, message, &body, &w->blob, e);
}

static emk_status answer(emk_call *call, const work *w, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "url", emk_span_str(w->blob.url));
    emk_json_out_uint(&o, "size", w->blob.size);
    emk_json_out_uint(&o, "expires", w->blob.expires_s);
    emk_json_out_text(&o, "etag", emk_span_str(w->blob.etag));
    emk_json_out_base64url(&o, "file_id", emk_span_of(w->blob.file_id, sizeof w->blob.file_id));
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 201, e);
}

/* The blob is there, and nobody knows its URL yet. */
static emk_status grant(emk_call *call, work *w, emk_error *e)
{
    emk_seal_finish finish = {w->id, w->ticket, &w->info, call->gate.who.name};
    emk_journal_event event;
    emk_status st;

    emk_api_event(call, "ticket.seal", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(w->ticket->device, sizeof w->ticket->device);
    event.object = emk_span_str(w->ticket->model[0] ? w->ticket->model : w->ticket->use);
    if (!emk_api_audit(call, &event)) {
        emk_api_blob_drop(call->api, w->blob.id);
        return EMK_OK;
    }
    st = emk_api_seal_finish(call->api, &finish, &w->blob, e);
    return st == EMK_OK ? answer(call, w, e) : st;
}

static emk_status seal(emk_call *call, emk_error *e)
{
    work w = {.info = {.version = 0}};
    emk_status st;

    if (!call->api->seals || !call->api->blobs.ops) {
        emk_problem_set(call, EMK_API_UNSUPPORTED, "this server does not seal");
        return EMK_OK;
    }
    w.ticket = emk_arena_take(&call->arena, sizeof *w.ticket);
    w.device = emk_arena_take(&call->arena, sizeof *w.device);
    if (!w.ticket || !w.device)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *w.ticket);
    if (!find_ticket_id(call, &w))
        return EMK_OK;
    st = find_ticket(call, &w, e);
    if (st != EMK_OK)
        return st;
    if (!may_seal(call, &w) || !decide(call, &w))
        return EMK_OK;
    st = call->read ? seal_body(call, &w, e)
                    : emk_seal_catalogue(call->api,
                                         emk_span_of(w.ticket->message.p, w.ticket->message.len),
                                         &w.blob, e);
    if (st == EMK_OK && call->response.status == 0)
        st = grant(call, &w, e);
    return st == EMK_OK ? EMK_OK : explain(call, st, e);
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/seals",
     .content_type = "application/octet-stream",
     .body_max = EMK_MODEL_LEN_MAX,
     .flags = EMK_ROUTE_STREAM,
     .gate = {.name = "sealModel",
              .admits = EMK_PRINCIPAL_SERVICE,
              .scopes = EMK_SCOPE_SEAL,
              .cost = 20,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = seal},
};

const emk_route_table emk_routes_seals = {ROWS, sizeof ROWS / sizeof ROWS[0]};
