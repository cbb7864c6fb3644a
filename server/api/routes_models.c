/* /v1/models: the catalogue.  PUT publishes a version, streamed and encrypted on its way to the
 * disk; GET lists and shows; DELETE withdraws. */
#include "server/api/admin_route.h"
#include "server/api/api.h"
#include "server/api/catalogue.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/sealing.h"
#include "server/api/tenant.h"
#include "server/api/upload.h"

#include "core/base/secret.h"
#include "core/crypto/random.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LIFE_S    (UINT64_C(30) * 86400) /* of a model on a device, unless it is said */
#define TIME_MAX  (UINT64_C(100) * 365 * 86400)
#define PAGE      50u
#define PAGE_MAX  100u
#define PAGE_JSON EMK_JSON_OUT_MAX

static bool refuse(emk_call *call, emk_api_problem p, const char *detail)
{
    emk_problem_set(call, p, detail);
    return false;
}

/* ---- the query of a publication ---- */

typedef struct wish {
    emk_model_entity *m; /* arena */
    uint64_t tree, bytes, decoy;
    const char *file;
} wish;

typedef struct number {
    const char *name;
    uint64_t max;
    size_t offset; /* in emk_model_entity */
} number;

static const number NUMBERS[] = {
    {"release", UINT64_MAX >> 1, offsetof(emk_model_entity, release)},
    {"cost", 1000000, offsetof(emk_model_entity, cost)},
    {"life_s", TIME_MAX, offsetof(emk_model_entity, life_s)},
    {"max_opens", UINT64_MAX >> 1, offsetof(emk_model_entity, max_opens)},
    {"lease_s", TIME_MAX, offsetof(emk_model_entity, lease_s)},
    {"grace_s", TIME_MAX, offsetof(emk_model_entity, grace_s)},
    {"renewal_delay_s", TIME_MAX, offsetof(emk_model_entity, renewal_delay_s)},
    {"min_guard", EMK_GUARD_LEVEL_MAX, offsetof(emk_model_entity, min_guard)},
    {"memory", EMK_POLICY_MEMORY_SECRET, offsetof(emk_model_entity, memory)},
    {"min_level", 3, offsetof(emk_model_entity, min_level)},
};
#define N_NUMBERS (sizeof NUMBERS / sizeof NUMBERS[0])

static bool parse_number(emk_span s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (v > max)
        return false;
    *out = v;
    return true;
}

static bool copy_text(emk_span s, char *out, size_t cap)
{
    if (s.len >= cap)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7F)
            return false;
    if (s.len > 0)
        memcpy(out, s.p, s.len);
    out[s.len] = 0;
    return true;
}

/* One parameter, whose value is decoded. */
static bool take(emk_call *call, wish *w, emk_span name, emk_span value)
{
    emk_span copy;
    emk_error ignored;

    for (size_t i = 0; i < N_NUMBERS; i++)
        if (emk_span_equal(name, emk_span_str(NUMBERS[i].name)))
            return parse_number(value, NUMBERS[i].max,
                                (uint64_t *)(void *)((uint8_t *)w->m + NUMBERS[i].offset));
    if (emk_span_equal(name, emk_span_str("tree")))
        return parse_number(value, 1, &w->tree);
    if (emk_span_equal(name, emk_span_str("bytes")))
        return parse_number(value, 1, &w->bytes);
    if (emk_span_equal(name, emk_span_str("decoy")))
        return parse_number(value, 1, &w->decoy);
    if (emk_span_equal(name, emk_span_str("plans")))
        return copy_text(value, w->m->plans, sizeof w->m->plans);
    if (!emk_span_equal(name, emk_span_str("file")) || emk_path_check(value, &ignored) != EMK_OK ||
        emk_arena_copy(&call->arena, value, &copy, &ignored) != EMK_OK)
        return false;
    w->file = (const char *)copy.p;
    return true;
}

/* Each parameter once, none that is not known. */
static bool read_parameters(emk_call *call, wish *w)
{
    emk_span q = call->request.query;

    while (q.len > 0) {
        const uint8_t *amp = memchr(q.p, '&', q.len);
        size_t len = amp ? (size_t)(amp - q.p) : q.len;
        const uint8_t *eq = memchr(q.p, '=', len);
        char name[32];
        emk_span value;

        if (!eq || !copy_text(emk_span_of(q.p, (size_t)(eq - q.p)), name, sizeof name) ||
            !emk_call_query(call, name, &value) || !take(call, w, emk_span_str(name), value))
            return refuse(call, EMK_API_INVALID_QUERY,
                          "a parameter is unknown, there twice, or has a wrong value");
        len += amp ? 1 : 0;
        q = emk_span_of(q.p + len, q.len - len);
    }
    return true;
}

static bool read_wish(emk_call *call, wish *w)
{
    w->m->life_s = LIFE_S;
    if (!read_parameters(call, w))
        return false;
    if (w->m->life_s == 0 ||
        (w->m->lease_s == 0 && (w->m->grace_s != 0 || w->m->renewal_delay_s != 0)) ||
        (w->tree && w->file))
        return refuse(call, EMK_API_INVALID_QUERY,
                      "a life, a lease where there is grace or renewal, a tree or a file");
    w->m->decoy = w->decoy != 0;
    return true;
}

/* ---- answers ---- */

static void put_model(emk_json_out *o, const emk_model_entity *m)
{
    emk_entity_json(&emk_model_shape, m, o);
}

static emk_status answer_model(emk_call *call, const emk_model_entity *m, unsigned status,
                               emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 4096);
    emk_json_out_open(&o, NULL, '{');
    put_model(&o, m);
    emk_json_out_base64url(&o, "digest", emk_span_of(m->digest, sizeof m->digest));
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, status, e);
}

/* ---- publishing ---- */

static bool same_settings(const emk_model_entity *a, const emk_model_entity *b)
{
    for (size_t i = 0; i < N_NUMBERS; i++)
        if (memcmp((const uint8_t *)a + NUMBERS[i].offset, (const uint8_t *)b + NUMBERS[i].offset,
                   sizeof(uint64_t)) != 0)
            return false;
    return a->decoy == b->decoy && strcmp(a->plans, b->plans) == 0;
}

/* What has no tenant is everybody's to have, and the default tenant's to change. */
static bool owns(const emk_call *call, const emk_model_entity *m)
{
    return emk_api_reaches(call, m->tenant);
}

static bool sees(const emk_call *call, const emk_model_entity *m)
{
    return !m->tenant[0] || owns(call, m);
}

/* The version is there: the same again is fine, so that a lost answer can be asked for again. */
static emk_status answer_existing(emk_call *call, const wish *w, const emk_model_entity *old,
                                  emk_error *e)
{
    if (old->withdrawn || !owns(call, old) ||
        memcmp(old->digest, w->m->digest, sizeof old->digest) != 0 || !same_settings(old, w->m)) {
        emk_problem_set(call, EMK_API_CONFLICT,
                        "this version exists: with other bytes or settings, or withdrawn");
        return EMK_OK;
    }
    return answer_model(call, old, 200, e);
}

static emk_status compare(emk_call *call, const wish *w, emk_upload *u, emk_error *e)
{
    emk_model_entity *old = emk_arena_take(&call->arena, sizeof *old);
    emk_catalogue_ask ask = {.name = call->params[0], .version = call->params[1]};
    emk_span more = {0};
    emk_status st;

    if (!old)
        return emk_fail(e, EMK_E_NO_MEMORY, "models: memory", sizeof *old);
    do
        st = emk_upload_next(u, &more, e);
    while (st == EMK_OK && more.len > 0);
    if (st == EMK_OK)
        st = emk_upload_digest(u, w->m->digest, e);
    if (st == EMK_OK)
        st = emk_catalogue_find(&call->api->records, &ask, old, NULL, e);
    return st == EMK_OK ? answer_existing(call, w, old, e) : st;
}

static emk_status store_bytes(const emk_storage_new *n, emk_upload *u, emk_error *e)
{
    emk_storage_writer *to = NULL;
    emk_span more = {0};
    emk_status st = emk_storage_create(n, &to, e);

    if (st != EMK_OK)
        return st;
    do {
        st = emk_upload_next(u, &more, e);
        if (st == EMK_OK && more.len > 0)
            st = emk_storage_append(to, more, e);
    } while (st == EMK_OK && more.len > 0);
    if (st == EMK_OK)
        return emk_storage_finish(to, e);
    emk_storage_abort(to);
    return st;
}

/* Bytes and plan, both at rest; only their record is missing. */
static emk_status store_model(emk_call *call, const wish *w, emk_upload *u, emk_error *e)
{
    const emk_api *api = call->api;
    uint8_t key[EMK_STORAGE_KEY_LEN] = {0};
    emk_storage_new n = {.file = {.crypto = api->crypto,
                                  .blobs = &api->blobs,
                                  .object = w->m->object,
                                  .key = key,
                                  .part = EMK_STORAGE_MODEL},
                         .len = u->len};
    emk_catalogue_plan plan = {.key = key,
                               .files = u->files,
                               .n_files = u->n_files,
                               .file_name = w->file,
                               .as_bytes = w->bytes != 0};
    emk_status st =
        emk_keyholder_storage_new(&api->keyholder, w->m->object, key, w->m->wrapped.p, e);

    w->m->wrapped.len = EMK_KEYHOLDER_WRAPPED_LEN;
    if (st == EMK_OK)
        st = store_bytes(&n, u, e);
    if (st == EMK_OK)
        st = emk_upload_digest(u, w->m->digest, e);
    if (st == EMK_OK)
        st = emk_catalogue_plan_make(api, &plan, w->m, e);
    emk_wipe(key, sizeof key);
    return st;
}

static const char *object_name(emk_call *call, const emk_model_entity *m)
{
    const char *text = emk_arena_format(&call->arena, "model:%s/%s", m->name, m->version);

    return text ? text : "model";
}

static emk_status add_model(emk_call *call, const wish *w, emk_error *e)
{
    emk_journal_event event;
    emk_status st;

    emk_api_event(call, "model.publish", EMK_JOURNAL_DONE, &event);
    event.object = emk_span_str(object_name(call, w->m));
    if (!emk_api_audit(call, &event))
        return emk_fail(e, EMK_E_BUSY, "models: the audit log cannot be written", 0);
    st = emk_catalogue_add(call->api, w->m, e);
    return st == EMK_OK ? answer_model(call, w->m, 201, e) : st;
}

static emk_status publish_new(emk_call *call, const wish *w, emk_upload *u, emk_error *e)
{
    emk_model_entity *old;
    emk_catalogue_ask ask = {.name = call->params[0], .version = call->params[1]};
    emk_status st = emk_random_public(call->api->crypto, w->m->object, sizeof w->m->object, e);

    if (st == EMK_OK)
        st = emk_catalogue_intend(call->api, w->m->object, e);
    if (st != EMK_OK)
        return st;
    st = store_model(call, w, u, e);
    if (st == EMK_OK)
        st = add_model(call, w, e);
    if (st == EMK_OK)
        return EMK_OK;
    emk_catalogue_discard(call->api, w->m->object);
    if (st != EMK_E_STALE)
        return st;
    old = emk_arena_take(&call->arena, sizeof *old); /* somebody was faster */
    if (!old)
        return emk_fail(e, EMK_E_NO_MEMORY, "models: memory", sizeof *old);
    st = emk_catalogue_find(&call->api->records, &ask, old, NULL, e);
    return st == EMK_OK ? answer_existing(call, w, old, e) : st;
}

/* What a publisher can do something about is said in words, which are ours and static. */
static emk_status explain(emk_call *call, emk_status st, emk_error *e)
{
    emk_api_problem p = emk_problem_of_status(st);

    if (st == EMK_E_IO && (e->where == ENOSPC || e->where == EDQUOT))
        p = EMK_API_NO_STORAGE;
    else if (st == EMK_E_FORMAT || st == EMK_E_LIMIT || st == EMK_E_UNSUPPORTED ||
             st == EMK_E_NOT_FOUND)
        p = EMK_API_INVALID_MODEL;
    emk_problem_set(call, p, p == EMK_API_INVALID_MODEL ? e->what : NULL);
    call->error = *e;
    return EMK_OK;
}

static emk_status publish_body(emk_call *call, const wish *w, emk_error *e)
{
    emk_model_entity *old = emk_arena_take(&call->arena, sizeof *old);
    emk_catalogue_ask ask = {.name = call->params[0], .version = call->params[1]};
    emk_upload u;
    emk_error none = {0}; /* of the version that is not there yet */
    emk_status st;

    if (!old)
        return emk_fail(e, EMK_E_NO_MEMORY, "models: memory", sizeof *old);
    st = emk_upload_begin(&u, call, w->tree != 0, e);
    if (st == EMK_OK) {
        st = emk_catalogue_find(&call->api->records, &ask, old, NULL, &none);
        if (st == EMK_E_NOT_FOUND)
            st = publish_new(call, w, &u, e);
        else if (st == EMK_OK && !owns(call, old))
            emk_problem_set(call, EMK_API_CONFLICT, "this version exists, of another tenant");
        else if (st == EMK_OK)
            st = compare(call, w, &u, e);
        else
            st = emk_fail(e, st, "models: the version cannot be looked up", none.where);
    }
    emk_upload_done(&u);
    return st == EMK_OK ? EMK_OK : explain(call, st, e);
}

/* What can be refused before a byte was read. */
static bool check_head(emk_call *call, wish *w)
{
    uint64_t max = call->api->settings.model_max;
    emk_model_id id;
    emk_error ignored;

    if (!call->api->blobs.ops || !call->api->keyholder.ops)
        return refuse(call, EMK_API_UNAVAILABLE, NULL);
    if (emk_model_id_make(call->params[0], call->params[1], &id, &ignored) != EMK_OK ||
        !copy_text(call->params[0], w->m->name, sizeof w->m->name) ||
        !copy_text(call->params[1], w->m->version, sizeof w->m->version))
        return refuse(call, EMK_API_INVALID_QUERY, "name and version are too long");
    if (!call->read)
        return refuse(call, EMK_API_INVALID_BODY, "a model has bytes");
    if (call->content_length == EMK_HTTP_NO_LENGTH)
        return refuse(call, EMK_API_LENGTH_REQUIRED, NULL);
    if (call->content_length > (max ? max : EMK_MODEL_LEN_MAX))
        return refuse(call, EMK_API_TOO_LARGE, NULL);
    return read_wish(call, w);
}

static emk_status publish(emk_call *call, emk_error *e)
{
    wish w = {.m = emk_arena_take(&call->arena, sizeof *w.m)};

    if (!w.m)
        return emk_fail(e, EMK_E_NO_MEMORY, "models: memory", sizeof *w.m);
    if (!check_head(call, &w))
        return EMK_OK;
    w.m->published_s = emk_api_now(call->api);
    memcpy(w.m->published_by, call->gate.who.name, sizeof w.m->published_by);
    if (call->gate.who.kind == EMK_PRINCIPAL_SERVICE)
        snprintf(w.m->tenant, sizeof w.m->tenant, "%s",
                 emk_api_tenant(call->api, call->gate.who.tenant));
    return publish_body(call, &w, e);
}

/* ---- looking ---- */

typedef struct page {
    const emk_call *call;
    emk_json_out o;
    emk_model_entity one;
    char last[EMK_RECORD_ID_MAX + 1];
    size_t n;
} page;

static emk_status put_row(void *self, const emk_record_view *r, emk_error *e)
{
    page *p = self;
    emk_status st = emk_entity_read(&emk_model_shape, r->value, &p->one, e);

    if (st != EMK_OK)
        return st;
    if (sees(p->call, &p->one)) {
        emk_json_out_open(&p->o, NULL, '{');
        put_model(&p->o, &p->one);
        emk_json_out_close(&p->o);
    }
    memcpy(p->last, r->id.p, r->id.len);
    p->last[r->id.len] = 0;
    p->n++;
    return EMK_OK;
}

static bool read_page(emk_call *call, emk_record_scan *scan)
{
    static const char *const NAMES[] = {"limit", "after", "name", NULL};
    emk_span after, name;
    uint64_t n = PAGE;

    if (!emk_admin_query_only(call, NAMES) || !emk_admin_query_uint(call, "limit", PAGE_MAX, &n) ||
        !emk_admin_query(call, "after", &after) || !emk_admin_query(call, "name", &name))
        return false;
    if (n == 0)
        return refuse(call, EMK_API_INVALID_QUERY, "limit: 1 to 100");
    if (after.len > EMK_RECORD_ID_MAX || name.len > EMK_RECORD_OWNER_MAX)
        return refuse(call, EMK_API_INVALID_QUERY, "after, name: too long");
    *scan = (emk_record_scan){
        .kind = EMK_KIND_MODEL, .owner = name, .after = after, .limit = (size_t)n};
    return true;
}

static emk_status list_models(emk_call *call, emk_error *e)
{
    emk_record_scan scan;
    page *p = emk_arena_take(&call->arena, sizeof *p);
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "models: memory", sizeof *p);
    if (!read_page(call, &scan))
        return EMK_OK;
    p->call = call;
    emk_json_out_init(&p->o, &call->arena, PAGE_JSON);
    emk_json_out_open(&p->o, NULL, '{');
    emk_json_out_open(&p->o, "models", '[');
    st = emk_records_scan(&call->api->records, &scan, put_row, p, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_close(&p->o);
    if (p->n == scan.limit)
        emk_json_out_text(&p->o, "next", emk_span_str(p->last));
    emk_json_out_close(&p->o);
    return emk_json_out_reply(&p->o, call, 200, e);
}

static emk_status find(emk_call *call, emk_model_entity **out, uint64_t *version, emk_error *e)
{
    emk_catalogue_ask ask = {.name = call->params[0], .version = call->params[1]};
    emk_model_entity *m = emk_arena_take(&call->arena, sizeof *m);
    emk_status st;

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "models: memory", sizeof *m);
    st = emk_catalogue_find(&call->api->records, &ask, m, version, e);
    if (st == EMK_E_LIMIT)
        st = emk_fail(e, EMK_E_NOT_FOUND, "models: no such name", 0);
    if (st == EMK_OK && !sees(call, m))
        st = emk_fail(e, EMK_E_NOT_FOUND, "models: of another tenant", 0);
    *out = m;
    return st;
}

static emk_status show_model(emk_call *call, emk_error *e)
{
    emk_model_entity *m;
    emk_status st = find(call, &m, NULL, e);

    return st == EMK_OK ? answer_model(call, m, 200, e) : st;
}

/* A revocation: it goes on when the audit log cannot be written. */
static emk_status withdraw_model(emk_call *call, emk_error *e)
{
    emk_model_entity *m;
    emk_journal_event event;
    uint64_t version = 0;
    emk_status st = find(call, &m, &version, e);

    if (st != EMK_OK)
        return st;
    if (!owns(call, m)) {
        emk_problem_set(call, EMK_API_POLICY, "the model is everybody's");
        return EMK_OK;
    }
    if (m->withdrawn) {
        emk_reply_empty(call, 204);
        return EMK_OK;
    }
    emk_api_event(call, "model.withdraw", EMK_JOURNAL_DONE, &event);
    event.object = emk_span_str(object_name(call, m));
    if (call->api->journal)
        st = emk_journal_append_always(call->api->journal, &event, NULL, e);
    if (st == EMK_OK)
        st = emk_catalogue_withdraw(call->api, m, version, e);
    if (st == EMK_E_STALE) {
        emk_problem_set(call, EMK_API_CONFLICT, NULL);
        return EMK_OK;
    }
    if (st != EMK_OK)
        return st;
    if (call->api->seals)
        emk_seals_forget(call->api->seals, m->object);
    emk_reply_empty(call, 204);
    return EMK_OK;
}

#define READERS (EMK_PRINCIPAL_SERVICE | EMK_PRINCIPAL_OPERATOR)

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/models",
     .gate = {.name = "listModels",
              .admits = READERS,
              .scopes = EMK_SCOPE_READ,
              .cost = 1,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = list_models},
    {.method = EMK_HTTP_GET,
     .path = "/v1/models/{name}/{version}",
     .gate = {.name = "getModel",
              .admits = READERS,
              .scopes = EMK_SCOPE_READ,
              .cost = 1,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = show_model},
    {.method = EMK_HTTP_PUT,
     .path = "/v1/models/{name}/{version}",
     .content_type = "application/octet-stream",
     .body_max = EMK_MODEL_LEN_MAX,
     .flags = EMK_ROUTE_STREAM,
     .gate = {.name = "publishModel",
              .admits = READERS,
              .scopes = EMK_SCOPE_PUBLISH,
              .cost = 20,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = publish},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/models/{name}/{version}",
     .gate = {.name = "withdrawModel",
              .admits = READERS,
              .scopes = EMK_SCOPE_PUBLISH,
              .cost = 1,
              .klass = EMK_GATE_CLASS_ALWAYS,
              .keeps_in_outage = true},
     .handle = withdraw_model},
};

const emk_route_table emk_routes_models = {ROWS, sizeof ROWS / sizeof ROWS[0]};
