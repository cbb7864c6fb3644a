#include "server/api/admin_route.h"

#include "core/base/alloc.h"
#include "core/codec/base64url.h"
#include "core/codec/cbor.h"

#include <string.h>

#define REASON_MAX 200u
#define DETAIL_MAX 2048u

static const emk_json_field REASON[] = {
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, REASON_MAX, offsetof(emk_admin_reason, reason),
     NULL},
};
const emk_json_shape emk_admin_reason_shape = {REASON, 1};

bool emk_admin_here(emk_call *call)
{
    if (call->api->admin)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

const char *emk_admin_who(const emk_call *call)
{
    return call->gate.who.name;
}

void emk_admin_text(char *to, size_t cap, emk_span from)
{
    size_t n = from.len < cap ? from.len : cap - 1;

    if (n > 0)
        memcpy(to, from.p, n);
    to[n] = 0;
}

bool emk_admin_later(emk_call *call, uint64_t expires_s)
{
    if (expires_s == 0 || expires_s > emk_api_now(call->api))
        return true;
    emk_problem_set(call, EMK_API_INVALID_BODY, "expires: has passed");
    return false;
}

/* ---- what was asked ---- */

static bool bad_query(emk_call *call, const char *detail)
{
    emk_problem_set(call, EMK_API_INVALID_QUERY, detail);
    return false;
}

/* The next "key=value" of a query, whose key is *key. */
static bool next_key(emk_span *q, emk_span *key)
{
    const uint8_t *amp, *eq;
    size_t len;

    if (q->len == 0)
        return false;
    amp = memchr(q->p, '&', q->len);
    len = amp ? (size_t)(amp - q->p) : q->len;
    eq = memchr(q->p, '=', len);
    *key = emk_span_of(q->p, eq ? (size_t)(eq - q->p) : len);
    len += amp ? 1 : 0;
    *q = emk_span_of(q->p + len, q->len - len);
    return true;
}

bool emk_admin_query(emk_call *call, const char *name, emk_span *out)
{
    emk_span q = call->request.query, key;

    *out = emk_span_of(NULL, 0);
    if (emk_call_query(call, name, out))
        return out->len > 0 || bad_query(call, "a parameter is empty");
    while (next_key(&q, &key))
        if (emk_span_equal(key, emk_span_str(name)))
            return bad_query(call, "a parameter comes twice or is malformed");
    return true;
}

bool emk_admin_query_only(emk_call *call, const char *const *names)
{
    emk_span q = call->request.query, key;

    while (next_key(&q, &key)) {
        bool known = false;

        for (size_t i = 0; names && names[i]; i++)
            known = known || emk_span_equal(key, emk_span_str(names[i]));
        if (!known)
            return bad_query(call, "a parameter is not known");
    }
    return true;
}

bool emk_admin_query_uint(emk_call *call, const char *name, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    emk_span s;

    if (!emk_admin_query(call, name, &s))
        return false;
    if (s.len == 0)
        return true;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || v > max / 10)
            return bad_query(call, "a number is none, or out of its limits");
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (v > max)
        return bad_query(call, "a number is none, or out of its limits");
    *out = v;
    return true;
}

bool emk_admin_page_read(emk_call *call, const char *const *names, emk_admin_page *out)
{
    const char *all[16] = {"limit", "cursor"};
    uint64_t limit = EMK_ADMIN_PAGE_DEFAULT;
    uint8_t *after = emk_arena_take(&call->arena, EMK_RECORD_ID_MAX);
    emk_error ignored;
    emk_span cursor;
    size_t n = 2, len = 0;

    for (size_t i = 0; names && names[i] && n < 15; i++)
        all[n++] = names[i];
    if (!emk_admin_query_only(call, all) || !emk_admin_query(call, "cursor", &cursor) ||
        !emk_admin_query_uint(call, "limit", EMK_ADMIN_PAGE_MAX, &limit))
        return false;
    if (limit == 0)
        return bad_query(call, "limit: 1 to 100");
    if (cursor.len > 0 &&
        (!after ||
         emk_base64url_decode(cursor, after, EMK_RECORD_ID_MAX, &len, &ignored) != EMK_OK ||
         len == 0))
        return bad_query(call, "cursor: not one of ours");
    *out = (emk_admin_page){.limit = (size_t)limit, .after = emk_span_of(after, len)};
    return true;
}

bool emk_admin_param_some(emk_call *call, size_t i, uint8_t *out, size_t cap, size_t *len)
{
    emk_error ignored;

    if (emk_base64url_decode(call->params[i], out, cap, len, &ignored) == EMK_OK && *len > 0)
        return true;
    emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
    return false;
}

bool emk_admin_param(emk_call *call, size_t i, uint8_t *out, size_t len)
{
    size_t got = 0;

    if (!emk_admin_param_some(call, i, out, len, &got))
        return false;
    if (got == len)
        return true;
    emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
    return false;
}

bool emk_admin_query_user(emk_call *call, uint8_t owner[32], bool *given)
{
    char subject[EMK_PRINCIPAL_NAME_MAX + 1], tenant[EMK_PRINCIPAL_NAME_MAX + 1];
    emk_span user, text, of;
    emk_error e = {0};
    size_t len;

    *given = false;
    if (!emk_admin_query(call, "user", &user) || !emk_admin_query(call, "subject", &text) ||
        !emk_admin_query(call, "tenant", &of))
        return false;
    if (user.len > 0 && text.len > 0)
        return bad_query(call, "user and subject: one of them");
    if (of.len > EMK_PRINCIPAL_NAME_MAX || (of.len > 0 && text.len == 0))
        return bad_query(call, "tenant: goes with subject");
    if (user.len > 0 && (emk_base64url_decode(user, owner, 32, &len, &e) != EMK_OK || len != 32))
        return bad_query(call, "user: not an id");
    if (text.len > EMK_PRINCIPAL_NAME_MAX)
        return bad_query(call, "subject: too long");
    if (text.len > 0) {
        emk_admin_text(subject, sizeof subject, text);
        emk_admin_text(tenant, sizeof tenant, of);
        if (emk_user_owner(call->api->crypto, tenant, subject, owner, &e) != EMK_OK) {
            emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
            return false;
        }
    }
    *given = user.len > 0 || text.len > 0;
    return true;
}

/* ---- lists ---- */

void emk_admin_put_id(emk_json_out *o, emk_admin_id how, emk_span id)
{
    if (how == EMK_ADMIN_ID_BYTES)
        emk_json_out_base64url(o, "id", id);
    else if (how == EMK_ADMIN_ID_TEXT)
        emk_json_out_text(o, "id", id);
}

void emk_admin_items_open(emk_json_out *o, emk_call *call)
{
    emk_json_out_init(o, &call->arena, EMK_JSON_OUT_MAX);
    emk_json_out_open(o, NULL, '{');
    emk_json_out_open(o, "items", '[');
}

emk_status emk_admin_items_reply(emk_json_out *o, emk_call *call, emk_span last, bool more,
                                 emk_error *e)
{
    emk_json_out_close(o);
    if (more && last.len > 0)
        emk_json_out_base64url(o, "next", last);
    emk_json_out_close(o);
    return emk_json_out_reply(o, call, 200, e);
}

typedef struct listing_run {
    const emk_admin_listing *l;
    emk_json_out o;
    uint64_t now;
    void *entity;
    uint8_t last[EMK_RECORD_ID_MAX];
    size_t last_len, n;
    bool full;
} listing_run;

static emk_status list_one(void *self, const emk_record_view *r, emk_error *e)
{
    listing_run *run = self;
    const emk_admin_listing *l = run->l;
    emk_error ignored;

    if (run->o.len > EMK_ADMIN_ANSWER) {
        run->full = true;
        return emk_fail(e, EMK_E_LIMIT, "admin: the page is full", run->o.len);
    }
    memcpy(run->last, r->id.p, r->id.len);
    run->last_len = r->id.len;
    run->n++;
    if (emk_record_is_expired(r->expires_s, run->now))
        return EMK_OK;
    if (emk_entity_read(l->shape, r->value, run->entity, &ignored) != EMK_OK) {
        emk_json_out_open(&run->o, NULL, '{');
        emk_json_out_base64url(&run->o, "id", r->id);
        emk_json_out_bool(&run->o, "damaged", true);
        emk_json_out_close(&run->o);
        return EMK_OK;
    }
    if (l->want && !l->want(run->entity, l->want_self))
        return EMK_OK;
    emk_json_out_open(&run->o, NULL, '{');
    emk_admin_put_id(&run->o, l->id, r->id);
    emk_entity_json(l->shape, run->entity, &run->o);
    emk_json_out_close(&run->o);
    return EMK_OK;
}

emk_status emk_admin_list(emk_call *call, const emk_admin_listing *l, const emk_admin_page *page,
                          emk_error *e)
{
    emk_record_scan scan = {.kind = (uint32_t)l->shape->kind,
                            .owner = l->owner,
                            .after = page->after,
                            .limit = page->limit};
    listing_run run = {.l = l, .now = emk_api_now(call->api)};
    emk_status st;

    run.entity = emk_arena_take(&call->arena, l->shape->struct_size);
    if (!run.entity)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", l->shape->struct_size);
    emk_admin_items_open(&run.o, call);
    st = emk_records_scan(&call->api->records, &scan, list_one, &run, e);
    if (st != EMK_OK && !run.full)
        return st;
    return emk_admin_items_reply(&run.o, call, emk_span_of(run.last, run.last_len),
                                 run.full || run.n == page->limit, e);
}

typedef struct id_run {
    emk_call *call;
    emk_span *ids;
    size_t n;
    uint64_t now;
} id_run;

static emk_status id_one(void *self, const emk_record_view *r, emk_error *e)
{
    id_run *run = self;

    return emk_arena_copy(&run->call->arena, r->id, &run->ids[run->n++], e);
}

emk_status emk_admin_ids(emk_call *call, uint32_t kind, emk_span owner, const emk_admin_page *page,
                         emk_admin_id_list *ids, emk_error *e)
{
    emk_record_scan scan = {
        .kind = kind, .owner = owner, .after = page->after, .limit = page->limit};
    id_run run = {.call = call};
    emk_status st;

    run.ids = emk_arena_take(&call->arena, page->limit * sizeof *run.ids);
    if (!run.ids)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", page->limit);
    st = emk_records_scan(&call->api->records, &scan, id_one, &run, e);
    if (st != EMK_OK)
        return st;
    ids->p = run.ids;
    ids->n = run.n;
    return EMK_OK;
}

emk_status emk_admin_one(emk_call *call, const emk_entity_shape *shape, emk_admin_id how,
                         emk_span id, emk_error *e)
{
    void *entity = emk_arena_take(&call->arena, shape->struct_size);
    emk_json_out o;

    if (!entity)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", shape->struct_size);
    if (!emk_admin_find(call, shape, id, entity, NULL))
        return EMK_OK;
    emk_json_out_init(&o, &call->arena, EMK_JSON_OUT_MAX / 2);
    emk_json_out_open(&o, NULL, '{');
    emk_admin_put_id(&o, how, id);
    emk_entity_json(shape, entity, &o);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* ---- one ---- */

void emk_admin_failed(emk_call *call, emk_status st)
{
    if (st == EMK_E_STALE)
        emk_problem_set(call, EMK_API_CONFLICT, "changed meanwhile; look again");
    else
        emk_problem_set(call, emk_problem_of_status(st), NULL);
}

bool emk_admin_find(emk_call *call, const emk_entity_shape *shape, emk_span id, void *out,
                    emk_record_info *info)
{
    emk_record_info own;
    emk_error e = {0};
    emk_status st = EMK_E_NOT_FOUND;

    if (id.len > 0 && id.len <= EMK_RECORD_ID_MAX)
        st = emk_entity_get(&call->api->records, shape, id, out, &own, &e);
    if (st == EMK_OK && emk_record_is_expired(own.expires_s, emk_api_now(call->api)))
        st = EMK_E_NOT_FOUND;
    if (st == EMK_OK && info)
        *info = own;
    if (st != EMK_OK)
        emk_problem_set(call, st == EMK_E_NOT_FOUND ? EMK_API_NOT_FOUND : EMK_API_UNAVAILABLE,
                        NULL);
    return st == EMK_OK;
}

bool emk_admin_store(emk_call *call, const emk_entity_put *put)
{
    emk_error e = {0};
    emk_status st = emk_entity_store(&call->api->records, put, NULL, &e);

    if (st != EMK_OK)
        emk_admin_failed(call, st);
    return st == EMK_OK;
}

/* ---- audit ---- */

/* {1: old, 2: new, 3: reason}; the journal's rules for persons hold for what is in it. */
static emk_span write_detail(emk_call *call, const emk_admin_change *c, bool with_why)
{
    uint8_t *p = emk_arena_take(&call->arena, DETAIL_MAX);
    emk_writer w;

    if (!p)
        return emk_span_of(NULL, 0);
    emk_writer_init(&w, p, DETAIL_MAX);
    emk_cbor_put_map(&w, (size_t)(c->was != NULL) + (c->is != NULL) + with_why);
    if (c->was) {
        emk_cbor_put_uint(&w, 1);
        emk_cbor_put_text(&w, emk_span_str(c->was));
    }
    if (c->is) {
        emk_cbor_put_uint(&w, 2);
        emk_cbor_put_text(&w, emk_span_str(c->is));
    }
    if (with_why) {
        emk_cbor_put_uint(&w, 3);
        emk_cbor_put_text(&w, c->why);
    }
    return w.full ? emk_span_of(NULL, 0) : emk_writer_span(&w);
}

/* A reason about a person may say who that is.  Where it cannot be sealed (erased, no key) it is
 * left out. */
static void seal_why(emk_call *call, const emk_admin_change *c, emk_journal_event *event)
{
    emk_subjects s;
    emk_error e = {0};
    emk_buf pii;

    if (c->why.len == 0 || c->subject.len == 0 || !emk_admin_subjects(call->api, &s))
        return;
    emk_buf_init(&pii, EMK_JOURNAL_PII_MAX);
    if (emk_subjects_seal(&s, event, c->why, emk_api_now(call->api), &pii, &e) != EMK_OK ||
        emk_arena_copy(&call->arena, emk_buf_span(&pii), &event->pii, &e) != EMK_OK)
        event->pii = emk_span_of(NULL, 0);
    emk_buf_done(&pii);
}

bool emk_admin_audit(emk_call *call, const emk_admin_change *c)
{
    emk_journal_event event;
    emk_error e = {0};

    emk_api_event(call, c->type, EMK_JOURNAL_DONE, &event);
    event.subject = c->subject;
    if (c->object)
        event.object = emk_span_str(c->object);
    seal_why(call, c, &event);
    event.detail = write_detail(call, c, c->why.len > 0 && c->subject.len == 0);
    if (event.detail.len == 0) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    if (!c->always)
        return emk_api_audit(call, &event);
    if (call->api->journal &&
        emk_journal_append_always(call->api->journal, &event, NULL, &e) == EMK_OK)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

/* ---- long answers ---- */

typedef struct long_answer {
    emk_buf bytes;
    size_t at;
} long_answer;

static emk_status produce(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    long_answer *a = self;
    size_t left = a->bytes.len - a->at;

    (void)e;
    *n = left < cap ? left : cap;
    if (*n > 0)
        memcpy(out, a->bytes.p + a->at, *n);
    a->at += *n;
    return EMK_OK;
}

static void answered(void *self)
{
    long_answer *a = self;

    emk_buf_done(&a->bytes);
    emk_free(a);
}

emk_status emk_admin_reply_buf(emk_call *call, const char *type, emk_buf *take, emk_error *e)
{
    long_answer *a = emk_alloc(1, sizeof *a);
    emk_http_source source = {.fd = -1, .produce = produce, .done = answered, .self = a};

    if (!a) {
        emk_buf_done(take);
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *a);
    }
    a->bytes = *take;
    emk_buf_init(take, 0);
    source.length = a->bytes.len;
    emk_reply_source(call, 200, type, &source);
    return EMK_OK;
}
