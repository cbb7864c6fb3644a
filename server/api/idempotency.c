#include "server/api/idempotency.h"

#include "core/codec/cbor.h"
#include "core/crypto/hash.h"
#include "server/api/problem.h"

#include <string.h>

#define VALUE_MAX (EMK_IDEMPOTENCY_BODY_MAX + 256u)

/* A record's value: [request hash, status, content type, body]; status 0: still running. */
typedef struct kept {
    uint8_t request[32];
    uint64_t status;
    emk_span type;
    emk_span body;
} kept;

static emk_status read_kept(emk_span value, kept *out, emk_error *e)
{
    emk_cbor_reader r;

    emk_cbor_reader_init(&r, value);
    if (emk_cbor_enter_array(&r) != 4)
        emk_cbor_fail(&r, EMK_E_FORMAT, "idempotency: not a record", 0);
    emk_cbor_read_fixed(&r, out->request, sizeof out->request);
    out->status = emk_cbor_read_uint(&r);
    out->type = emk_cbor_read_text(&r);
    out->body = emk_cbor_read_bytes(&r);
    emk_cbor_leave(&r);
    return emk_cbor_finish(&r, e);
}

static emk_span write_kept(emk_call *call, const kept *k)
{
    size_t cap = k->type.len + k->body.len + 128;
    emk_writer w;

    emk_writer_init(&w, emk_arena_take(&call->arena, cap), cap);
    if (!w.p)
        return emk_span_of(NULL, 0);
    emk_cbor_put_array(&w, 4);
    emk_cbor_put_bytes(&w, emk_span_of(k->request, sizeof k->request));
    emk_cbor_put_uint(&w, k->status);
    emk_cbor_put_text(&w, k->type);
    emk_cbor_put_bytes(&w, k->body);
    return emk_writer_span(&w);
}

static bool is_key(emk_span key)
{
    if (key.len == 0 || key.len > EMK_IDEMPOTENCY_KEY_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (key.p[i] < 0x21 || key.p[i] > 0x7E)
            return false;
    return true;
}

/* Parts are hashed with their lengths in front, so that none can run into the next. */
static emk_status hash_parts(const emk_crypto *c, const char *label, const emk_span *parts,
                             size_t n, uint8_t out[32], emk_error *e)
{
    uint8_t lengths[8][8];
    emk_span all[17];
    size_t k = 0;

    all[k++] = emk_span_of(label, strlen(label) + 1);
    for (size_t i = 0; i < n && i < 8; i++) {
        for (unsigned b = 0; b < 8; b++)
            lengths[i][b] = (uint8_t)(parts[i].len >> (8 * b));
        all[k++] = emk_span_of(lengths[i], 8);
        all[k++] = parts[i];
    }
    return emk_sha256(c, all, k, out, e);
}

static emk_status name_it(emk_call *call, emk_span key, emk_idempotency *once, emk_error *e)
{
    const emk_principal *who = &call->gate.who;
    uint8_t kind = (uint8_t)who->kind;
    emk_span owner[] = {
        emk_span_of(&kind, 1),
        emk_span_str(who->tenant),
        emk_span_str(who->user),
        emk_span_str(who->name),
        emk_span_of(who->device_id, sizeof who->device_id),
        emk_span_str(call->route->gate.name),
        key,
    };
    emk_span request[] = {call->request.path, call->request.query, call->body};
    emk_status st = hash_parts(call->api->crypto, "earmark/1 idempotency", owner, 7, once->id, e);

    if (st == EMK_OK)
        st = hash_parts(call->api->crypto, "earmark/1 idempotent request", request, 3,
                        once->request, e);
    return st;
}

static emk_status put(emk_call *call, emk_idempotency *once, const kept *k, uint64_t life_s,
                      emk_error *e)
{
    const emk_principal *who = &call->gate.who;
    bool by_device = who->kind == EMK_PRINCIPAL_DEVICE || who->kind == EMK_PRINCIPAL_DEVICE_USER;
    emk_span owner = emk_span_of(who->device_id, by_device ? sizeof who->device_id : 0);
    emk_span value = write_kept(call, k);
    emk_record_change change = {.op = EMK_RECORD_PUT,
                                .kind = EMK_KIND_IDEMPOTENCY,
                                .id = emk_span_of(once->id, sizeof once->id),
                                .expect = once->version,
                                .owner = owner,
                                .value = value,
                                .expires_s = emk_api_now(call->api) + life_s};

    if (value.len == 0)
        return emk_fail(e, EMK_E_NO_MEMORY, "idempotency: memory", 0);
    return emk_records_commit(&call->api->records, &change, 1, &once->version, e);
}

static void answer_again(emk_call *call, const kept *k)
{
    emk_span type, body;
    emk_error ignored;

    if (emk_arena_copy(&call->arena, k->type, &type, &ignored) != EMK_OK ||
        emk_arena_copy(&call->arena, k->body, &body, &ignored) != EMK_OK)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else if (type.len == 0)
        emk_reply_empty(call, (unsigned)k->status);
    else
        emk_reply_bytes(call, (unsigned)k->status, (const char *)type.p, body);
}

/* What is there decides; *again when it is over or ours to replace. */
static void meet(emk_call *call, const emk_idempotency *once, emk_span value)
{
    kept k = {.status = 0};
    emk_error ignored;

    if (read_kept(value, &k, &ignored) != EMK_OK)
        emk_problem_set(call, EMK_API_INTERNAL, NULL);
    else if (memcmp(k.request, once->request, sizeof k.request) != 0)
        emk_problem_set(call, EMK_API_IDEMPOTENCY_REUSED, NULL);
    else if (k.status == 0)
        emk_problem_set(call, EMK_API_IDEMPOTENCY_RUNNING, NULL);
    else
        answer_again(call, &k);
}

static emk_idempotency_step claim(emk_call *call, emk_idempotency *once)
{
    kept running = {.status = 0};
    emk_record_info info;
    emk_error e = {0};
    emk_buf value;
    emk_status st;

    emk_buf_init(&value, VALUE_MAX);
    once->version = EMK_RECORD_ABSENT;
    st = emk_records_get(&call->api->records, EMK_KIND_IDEMPOTENCY,
                         emk_span_of(once->id, sizeof once->id), &info, &value, &e);
    if (st == EMK_OK && !emk_record_is_expired(info.expires_s, emk_api_now(call->api))) {
        meet(call, once, emk_buf_span(&value));
        emk_buf_done(&value);
        return EMK_IDEMPOTENCY_ANSWERED;
    }
    emk_buf_done(&value);
    if (st == EMK_OK)
        once->version = info.version;
    memcpy(running.request, once->request, sizeof running.request);
    if (st == EMK_OK || st == EMK_E_NOT_FOUND)
        st = put(call, once, &running, EMK_IDEMPOTENCY_RUNNING_S, &e);
    if (st == EMK_OK) {
        once->active = true;
        return EMK_IDEMPOTENCY_GO;
    }
    emk_problem_set(call, st == EMK_E_STALE ? EMK_API_IDEMPOTENCY_RUNNING : EMK_API_UNAVAILABLE,
                    NULL);
    return EMK_IDEMPOTENCY_ANSWERED;
}

emk_idempotency_step emk_idempotency_begin(emk_call *call, emk_idempotency *once)
{
    emk_span key = {0};
    size_t n = emk_request_count(&call->request, "idempotency-key", &key);
    emk_error ignored;

    *once = (emk_idempotency){.active = false};
    if (n == 0)
        return EMK_IDEMPOTENCY_GO;
    if (n > 1 || !is_key(key)) {
        emk_problem_set(call, EMK_API_BAD_REQUEST, "Idempotency-Key: 1 to 128 visible characters");
        return EMK_IDEMPOTENCY_ANSWERED;
    }
    if (name_it(call, key, once, &ignored) != EMK_OK) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_IDEMPOTENCY_ANSWERED;
    }
    return claim(call, once);
}

static void forget(emk_call *call, const emk_idempotency *once)
{
    emk_record_change change = {.op = EMK_RECORD_DELETE,
                                .kind = EMK_KIND_IDEMPOTENCY,
                                .id = emk_span_of(once->id, sizeof once->id),
                                .expect = once->version};
    emk_error ignored;

    if (emk_records_commit(&call->api->records, &change, 1, NULL, &ignored) != EMK_OK)
        return; /* it ends by itself after EMK_IDEMPOTENCY_RUNNING_S */
}

void emk_idempotency_finish(emk_call *call, const emk_idempotency *once)
{
    const emk_http_response *r = &call->response;
    emk_idempotency last = *once;
    kept k = {.status = r->status, .body = call->kept.len > 0 ? call->kept : r->bytes};
    emk_error ignored;

    if (!once->active)
        return;
    for (size_t i = 0; i < r->n_fields; i++)
        if (emk_span_equal(r->fields[i].name, emk_span_str("content-type")))
            k.type = r->fields[i].value;
    memcpy(k.request, once->request, sizeof k.request);
    if (r->status >= 500 || r->status == 0 || r->has_source ||
        k.body.len > EMK_IDEMPOTENCY_BODY_MAX ||
        put(call, &last, &k, call->api->settings.idempotency_s, &ignored) != EMK_OK)
        forget(call, once);
}
