/* POST /v1/receipts: a device says what became of a delivery. */
#include "core/proto/receipt.h"
#include "server/api/grant.h"
#include "server/api/guarding.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/sealing.h"
#include "server/api/signals.h"

#include <string.h>

#define RECEIPT_BODY_MAX 8192u

typedef struct receipt_body {
    emk_span receipt;
} receipt_body;

static const emk_json_field RECEIPT[] = {
    {"receipt", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, 4096, offsetof(receipt_body, receipt), NULL},
};
static const emk_json_shape RECEIPT_SHAPE = {RECEIPT, 1};

typedef struct receiving {
    receipt_body body;
    emk_receipt receipt;
    emk_device_record device;
    emk_ticket_entity ticket;
    emk_record_info info;
} receiving;

static bool refuse_status(emk_call *call, emk_status st)
{
    emk_problem_set(call, emk_problem_of_status(st), NULL);
    return false;
}

static bool read_all(emk_call *call, receiving *x, emk_error *e)
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
            emk_receipt_verify(call->api->crypto, x->body.receipt, key, &x->receipt, e));
    emk_verify_key_free(key);
    if (st == EMK_OK)
        st = emk_entity_get(&call->api->records, &emk_ticket_shape,
                            emk_span_of(x->receipt.ticket_id, EMK_ID_LEN), &x->ticket, &x->info, e);
    if (st == EMK_OK && memcmp(x->ticket.device, device, EMK_DEVICE_ID_LEN) != 0) {
        const emk_decide_in who = {.device_id = device, .device = &x->device};

        emk_signal_device(call, &who, EMK_FRAUD_REPORT_FOREIGN);
        st = emk_fail(e, EMK_E_NOT_FOUND, "receipt: of another device", 0);
    }
    return st == EMK_OK ? true : refuse_status(call, st);
}

/* The same receipt again changes nothing.  A failure may be followed by a success, never the other
 * way round. */
static bool changes(const receiving *x)
{
    if (x->ticket.state == EMK_TICKET_ACCEPTED)
        return false;
    return x->ticket.state != EMK_TICKET_FAILED || x->receipt.outcome == 0 ||
           x->ticket.receipt_status != x->receipt.outcome;
}

static bool admits(emk_call *call, const receiving *x)
{
    if (x->ticket.state == EMK_TICKET_ACCEPTED && x->receipt.outcome != 0)
        emk_problem_set(call, EMK_API_CONFLICT, "the model was accepted before");
    else if (x->ticket.state == EMK_TICKET_REVOKED)
        emk_problem_set(call, EMK_API_POLICY, "the ticket was revoked");
    else
        return true;
    return false;
}

/* Delivered for good: nobody needs the sealed model any more.  What stays, its time ends. */
static void drop_blob(emk_call *call, const receiving *x)
{
    static const uint8_t none[sizeof x->ticket.blob];

    if (memcmp(none, x->ticket.blob, sizeof none) != 0)
        emk_api_blob_drop(call->api, x->ticket.blob);
}

static emk_status store(emk_call *call, receiving *x, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_ticket_shape,
                          .in = &x->ticket,
                          .id = emk_span_of(x->receipt.ticket_id, EMK_ID_LEN),
                          .owner = emk_span_of(x->info.owner, x->info.owner_len),
                          .expect = x->info.version,
                          .expires_s = x->info.expires_s};

    x->ticket.receipt_status = x->receipt.outcome;
    x->ticket.state = x->receipt.outcome == 0 ? EMK_TICKET_ACCEPTED : EMK_TICKET_FAILED;
    if (x->receipt.outcome == 0)
        x->ticket.accepted_s = emk_api_now(call->api);
    return emk_entity_store(&call->api->records, &put, NULL, e);
}

static void note(emk_call *call, const receiving *x)
{
    emk_decide_in in = {.device_id = call->gate.who.device_id,
                        .device = &x->device,
                        .model = emk_span_str(x->ticket.model),
                        .app = emk_span_str(x->ticket.app),
                        .ticket_id = x->receipt.ticket_id};
    emk_fraud_event ev;

    emk_fraud_event_init(&ev,
                         x->receipt.outcome == 0 ? EMK_FRAUD_DOWNLOAD_END : EMK_FRAUD_OPEN_FAIL,
                         emk_api_now(call->api) * 1000);
    emk_fraud_event_number(&ev, EMK_FRAUD_F_CODE, (int64_t)x->receipt.outcome * EMK_FRAUD_MILLI);
    emk_api_note(call, &in, &ev);
}

/* Only signals: what was delivered was. */
static emk_status note_guard(emk_call *call, const receiving *x, emk_error *e)
{
    emk_guarding_in in = {.device_id = call->gate.who.device_id,
                          .device = &x->device,
                          .message = x->body.receipt,
                          .summary = x->receipt.summary};
    emk_guarding ignored;

    return emk_api_guarding(call, &in, &ignored, e);
}

static emk_status receive_change(emk_call *call, receiving *x, emk_error *e)
{
    emk_journal_event event;
    emk_status st;

    emk_api_event(call, "receipt", x->receipt.outcome ? EMK_JOURNAL_FAILED : EMK_JOURNAL_DONE,
                  &event);
    event.subject = emk_span_of(x->ticket.user, sizeof x->ticket.user);
    if (!emk_api_audit(call, &event))
        return EMK_OK;
    st = store(call, x, e);
    if (st == EMK_E_STALE) {
        emk_problem_set(call, EMK_API_CONFLICT, "the ticket changed meanwhile; again");
        return EMK_OK;
    }
    if (st != EMK_OK)
        return st;
    if (x->receipt.outcome == 0)
        drop_blob(call, x);
    note(call, x);
    emk_reply_empty(call, 204);
    return EMK_OK;
}

static emk_status receive(emk_call *call, emk_error *e)
{
    receiving *x = emk_arena_take(&call->arena, sizeof *x);

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "receipts: memory", sizeof *x);
    if (!emk_json_body(call, &RECEIPT_SHAPE, &x->body) || !read_all(call, x, e) || !admits(call, x))
        return EMK_OK;
    if (changes(x)) {
        emk_status st = note_guard(call, x, e);

        if (st != EMK_OK) {
            (void)refuse_status(call, emk_problem_object_status(st));
            return EMK_OK;
        }
        return receive_change(call, x, e);
    }
    emk_reply_empty(call, 204);
    return EMK_OK;
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/receipts",
     .content_type = "application/json",
     .body_max = RECEIPT_BODY_MAX,
     .gate = {.name = "sendReceipt",
              .admits = EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_DEVICE_USER,
              .cost = 1,
              .takes_expired_device = true,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = receive},
};

const emk_route_table emk_routes_receipts = {ROWS, sizeof ROWS / sizeof ROWS[0]};
