#include "server/api/sealing.h"

#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "core/base/secret.h"
#include "core/codec/cbor.h"
#include "core/crypto/random.h"
#include "core/pack/pack.h"
#include "core/proto/ticket.h"
#include "core/seal/certificate.h"
#include "core/seal/seal.h"
#include "server/api/catalogue.h"
#include "server/api/certified.h"
#include "server/api/directory.h"
#include "server/api/problem.h"
#include "server/api/tenant.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define READ_STEP  65536u
#define LAYER_BYTE 9u /* of a preamble [container 3.1] */

/* What is needed of a catalogue model to seal it.  In the table or, when that is full of models in
 * use, only its user's. */
typedef struct kept_model {
    uint8_t object[EMK_STORAGE_OBJECT_LEN];
    emk_secret *key;
    emk_plan plan;
    bool has_plan, in_table;
    unsigned users;
    uint64_t used; /* when, counted */
} kept_model;

struct emk_seals {
    const emk_crypto *crypto;
    const emk_keyholder *keyholder;
    emk_certified certified; /* has the lock too */
    emk_lock *lock;          /* over all that follows, and users and in_table of models */
    unsigned running, at_once;
    kept_model *table[EMK_SEALS_CACHED_MAX];
    unsigned n_table, cached;
    uint64_t tick;
};

/* ---- life ---- */

static void model_free(kept_model *m)
{
    if (!m)
        return;
    emk_secret_free(m->key);
    if (m->has_plan)
        emk_plan_done(&m->plan);
    emk_free(m);
}

emk_status emk_seals_certify(emk_seals *s, emk_span certificate, const emk_verify_key *issuer,
                             emk_span sealing_key, emk_error *e)
{
    emk_certified_key fresh = {.len = certificate.len};
    emk_status st;

    if (certificate.len > sizeof fresh.bytes)
        return emk_fail(e, EMK_E_LIMIT, "seals: length of the certificate", certificate.len);
    st = emk_sealing_certificate_verify(s->crypto, certificate, issuer, &fresh.says, e);
    if (st != EMK_OK)
        return st;
    if (!emk_span_equal(emk_span_of(fresh.says.public_key, fresh.says.public_len), sealing_key))
        return emk_fail(e, EMK_E_USAGE, "seals: the certificate is for another key", 0);
    memcpy(fresh.bytes, certificate.p, certificate.len);
    return emk_certified_put(&s->certified, &fresh, e);
}

emk_status emk_seals_new(const emk_seals_config *config, emk_seals **out, emk_error *e)
{
    emk_seals *s;
    emk_status st;

    if (config->cached > EMK_SEALS_CACHED_MAX)
        return emk_fail(e, EMK_E_LIMIT, "seals: models kept", config->cached);
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *s);
    s->crypto = config->crypto;
    s->keyholder = config->keyholder;
    s->cached = config->cached ? config->cached : EMK_SEALS_CACHED;
    s->at_once = config->at_once ? config->at_once : emk_os_processors() + 1;
    st = emk_lock_new(&s->lock, e);
    s->certified.lock = s->lock;
    if (st == EMK_OK)
        st = emk_seals_certify(s, config->certificate, config->issuer,
                               emk_keyholder_sealing(config->keyholder), e);
    if (st != EMK_OK) {
        emk_seals_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

void emk_seals_free(emk_seals *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->n_table; i++)
        model_free(s->table[i]);
    emk_lock_free(s->lock);
    emk_free(s);
}

void emk_seals_state_get(emk_seals *s, unsigned *running, unsigned *cached)
{
    emk_lock_take(s->lock);
    *running = s->running;
    *cached = s->n_table;
    emk_lock_give(s->lock);
}

/* ---- places at work ---- */

static emk_status take_place(emk_seals *s, emk_error *e)
{
    uint64_t until = emk_os_monotonic_ns() + EMK_SEALS_WAIT_NS;
    emk_status st = EMK_OK;

    emk_lock_take(s->lock);
    while (st == EMK_OK && s->running >= s->at_once) {
        uint64_t now = emk_os_monotonic_ns();

        if (now >= until)
            st = emk_fail(e, EMK_E_BUSY, "seals: too many at once", s->running);
        else
            (void)emk_lock_wait_for(s->lock, until - now);
    }
    if (st == EMK_OK)
        s->running++;
    emk_lock_give(s->lock);
    return st;
}

static void give_place(emk_seals *s)
{
    emk_lock_take(s->lock);
    s->running--;
    emk_lock_wake_one(s->lock);
    emk_lock_give(s->lock);
}

/* ---- kept models; the lock is held where it is said ---- */

static unsigned place_of(const emk_seals *s, const uint8_t *object)
{
    unsigned i = 0;

    while (i < s->n_table && memcmp(s->table[i]->object, object, EMK_STORAGE_OBJECT_LEN) != 0)
        i++;
    return i;
}

/* Locked.  Gives what fell out of use, to be freed without the lock. */
static kept_model *take_out(emk_seals *s, unsigned i)
{
    kept_model *m = s->table[i];

    s->table[i] = s->table[--s->n_table];
    m->in_table = false;
    return m->users == 0 ? m : NULL;
}

void emk_seals_forget(emk_seals *s, const uint8_t object[EMK_STORAGE_OBJECT_LEN])
{
    kept_model *gone = NULL;
    unsigned i;

    emk_lock_take(s->lock);
    i = place_of(s, object);
    if (i < s->n_table)
        gone = take_out(s, i);
    emk_lock_give(s->lock);
    model_free(gone);
}

/* Locked.  Makes room by the one that was used longest ago; false: all are in use. */
static bool make_room(emk_seals *s, kept_model **gone)
{
    unsigned oldest = s->n_table;

    if (s->n_table < s->cached)
        return true;
    for (unsigned i = 0; i < s->n_table; i++)
        if (s->table[i]->users == 0 &&
            (oldest == s->n_table || s->table[i]->used < s->table[oldest]->used))
            oldest = i;
    if (oldest == s->n_table)
        return false;
    *gone = take_out(s, oldest);
    return true;
}

static kept_model *find_model(emk_seals *s, const uint8_t *object)
{
    kept_model *m = NULL;
    unsigned i;

    emk_lock_take(s->lock);
    i = place_of(s, object);
    if (i < s->n_table) {
        m = s->table[i];
        m->users++;
        m->used = ++s->tick;
    }
    emk_lock_give(s->lock);
    return m;
}

/* When two loaded the same one, the second stays out of the table. */
static void keep_model(emk_seals *s, kept_model *m)
{
    kept_model *gone = NULL;

    emk_lock_take(s->lock);
    m->users = 1;
    if (place_of(s, m->object) == s->n_table && make_room(s, &gone)) {
        m->in_table = true;
        m->used = ++s->tick;
        s->table[s->n_table++] = m;
    }
    emk_lock_give(s->lock);
    model_free(gone);
}

static void give_model(emk_seals *s, kept_model *m)
{
    bool last;

    emk_lock_take(s->lock);
    last = --m->users == 0 && !m->in_table;
    emk_lock_give(s->lock);
    if (last)
        model_free(m);
}

static emk_status load_model(const emk_api *api, const emk_model_entity *entity, kept_model *m,
                             emk_error *e)
{
    emk_status st = emk_secret_new(EMK_STORAGE_KEY_LEN, &m->key, e);

    if (st == EMK_OK && entity->wrapped.len != EMK_KEYHOLDER_WRAPPED_LEN)
        st = emk_fail(e, EMK_E_NOT_FOUND, "seals: the model's key is forgotten", 0);
    if (st == EMK_OK)
        st = emk_keyholder_storage_open(&api->keyholder, entity->object, entity->wrapped.p,
                                        emk_secret_bytes(m->key), e);
    if (st == EMK_E_SEALED) /* ours to mend, not the asking device's */
        st = emk_fail(e, EMK_E_BUSY, "seals: the model was stored under another key", 0);
    if (st == EMK_OK)
        st = emk_catalogue_plan_load(api, entity, emk_secret_span(m->key).p, &m->plan, e);
    m->has_plan = st == EMK_OK;
    return st;
}

static emk_status get_model(emk_api *api, const emk_model_entity *entity, kept_model **out,
                            emk_error *e)
{
    kept_model *m = find_model(api->seals, entity->object);
    emk_status st;

    if (m) {
        *out = m;
        return EMK_OK;
    }
    m = emk_alloc(1, sizeof *m);
    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *m);
    memcpy(m->object, entity->object, sizeof m->object);
    st = load_model(api, entity, m, e);
    if (st != EMK_OK) {
        model_free(m);
        return st;
    }
    keep_model(api->seals, m);
    *out = m;
    return EMK_OK;
}

/* ---- signing ---- */

/* A sealing is signed twice, once for each layer; the preamble beside the payload says which, and
 * the keyholder looks again.  [container 3.2] */
static emk_status sign_header(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    const emk_seals *s = self;
    const emk_keyholder *k = s->keyholder;
    emk_keyholder_purpose purpose = EMK_KEYHOLDER_WEIGHTS_HEADER;
    emk_cbor_reader r;
    emk_span preamble;

    emk_cbor_reader_init(&r, msg);
    (void)emk_cbor_enter_array(&r);
    (void)emk_cbor_read_text(&r);
    (void)emk_cbor_read_bytes(&r);
    preamble = emk_cbor_read_bytes(&r);
    if (!emk_cbor_ok(&r) || preamble.len != EMK_PREAMBLE_LEN)
        return emk_fail(e, EMK_E_USAGE, "seals: not a header that is to be signed", 0);
    if (preamble.p[LAYER_BYTE] == EMK_LAYER_FILE)
        purpose = EMK_KEYHOLDER_FILE_HEADER;
    return k->ops->sign(k->self, purpose, msg, sig, e);
}

/* ---- one sealing ---- */

/* A blob that is written from its beginning to its end. */
typedef struct blob_sink {
    emk_blob_writer writer;
    uint64_t at;
} blob_sink;

static emk_status sink_write(void *self, uint64_t off, const uint8_t *p, size_t len, emk_error *e)
{
    blob_sink *s = self;
    emk_status st;

    if (off != s->at)
        return emk_fail(e, EMK_E_USAGE, "seals: bytes out of their order", off);
    st = emk_blob_append(&s->writer, emk_span_of(p, len), e);
    s->at += len;
    return st == EMK_E_LIMIT ? emk_fail(e, EMK_E_IO, "seals: no room", ENOSPC) : st;
}

/* What can be refused before work is done.  As emk_sealer_start does it. */
static emk_status judge(emk_seals *s, const emk_ticket *t, uint64_t now, emk_error *e)
{
    const emk_certified_key *certified = emk_certified_take(&s->certified);
    bool good = now >= certified->says.not_before && now <= certified->says.not_after;

    emk_certified_give(&s->certified, certified);
    if (t->policy.lease_s && !t->lease_key.len)
        return emk_fail(e, EMK_E_FORMAT, "ticket: a lease without a lease key", 0);
    if (!good)
        return emk_fail(e, EMK_E_BUSY, "seals: the sealing certificate is not good now", now);
    if (!emk_kem_is_supported(s->crypto, t->device_key.kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "seals: kind of device key", t->device_key.kem);
    if (!emk_kem_is_supported(s->crypto, t->request_key.kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "seals: kind of request key", t->request_key.kem);
    return EMK_OK;
}

static emk_status write_sealing(emk_api *api, emk_sealing *sealing, emk_sealed_blob *out,
                                emk_error *e)
{
    emk_blob_new n = {.id = emk_span_of(out->id, sizeof out->id),
                      .expires_s = out->expires_s,
                      .max_len = emk_sealing_len(sealing)};
    blob_sink sink = {.at = 0};
    emk_sink to = {.write = sink_write, .self = &sink};
    emk_status st = emk_blob_create(&api->blobs, &n, &sink.writer, e);

    if (st == EMK_OK)
        st = emk_sealing_write(sealing, &to, 1, NULL, e);
    if (st == EMK_OK)
        st = emk_blob_finish(&sink.writer, e);
    emk_blob_abort(&sink.writer);
    return st;
}

/* A fresh id, and what hangs on it. */
static emk_status name_blob(const emk_api *api, emk_sealed_blob *out, emk_error *e)
{
    char id[EMK_BLOB_ID_CHARS + 1];
    size_t len;
    int n;
    emk_status st = emk_random_secret(api->crypto, out->id, sizeof out->id, e);

    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(out->id, sizeof out->id), id, sizeof id, &len, e);
    if (st == EMK_OK)
        st = emk_blob_etag(api->crypto, out->id, out->etag, e);
    if (st != EMK_OK)
        return st;
    n = snprintf(out->url, sizeof out->url, "%s/v1/blobs/%s", api->settings.origin, id);
    if (n < 0 || (size_t)n >= sizeof out->url)
        return emk_fail(e, EMK_E_LIMIT, "seals: the origin is too long", 0);
    out->expires_s = emk_api_now(api) + api->settings.blob_ttl_s;
    return EMK_OK;
}

typedef struct seal_work {
    const emk_ticket *ticket;
    const emk_source *model;
    const emk_plan *plan;
} seal_work;

static emk_status seal_under(emk_api *api, const emk_certified_key *certified, const seal_work *w,
                             emk_sealed_blob *out, emk_error *e)
{
    emk_seals *s = api->seals;
    const emk_ticket *t = w->ticket;
    emk_signer signer;
    emk_seal_in in = {.model = w->model,
                      .plan = w->plan,
                      .signer = &signer,
                      .certificate = emk_span_of(certified->bytes, certified->len),
                      .policy = t->policy_bytes,
                      .identity = t->identity_bytes,
                      .lease_key = t->lease_key,
                      .device_key = t->device_key,
                      .request_key = t->request_key,
                      .now = emk_api_now(api)};
    emk_sealing *sealing = NULL;
    emk_status st = name_blob(api, out, e);

    memcpy(in.ticket_id, t->id, sizeof in.ticket_id);
    memcpy(in.ticket_hash, t->hash, sizeof in.ticket_hash);
    memcpy(in.request_hash, t->request_hash, sizeof in.request_hash);
    if (st == EMK_OK)
        st = emk_signer_from_fn(api->crypto,
                                emk_span_of(certified->says.public_key, certified->says.public_len),
                                sign_header, s, &signer, e);
    if (st == EMK_OK)
        st = emk_sealing_new(api->crypto, &in, &sealing, e);
    if (st != EMK_OK)
        return st;
    out->size = emk_sealing_len(sealing);
    memcpy(out->file_id, emk_sealing_file_id(sealing), sizeof out->file_id);
    st = write_sealing(api, sealing, out, e);
    emk_sealing_free(sealing);
    return st;
}

static emk_status seal(emk_api *api, const seal_work *w, emk_sealed_blob *out, emk_error *e)
{
    const emk_certified_key *certified = emk_certified_take(&api->seals->certified);
    emk_status st = seal_under(api, certified, w, out, e);

    emk_certified_give(&api->seals->certified, certified);
    return st;
}

static emk_status check_ticket(const emk_api *api, emk_span message, emk_ticket *t, emk_error *e)
{
    const emk_verify_key *issuers[EMK_ISSUERS_MAX];
    uint64_t now = emk_api_now(api);
    size_t n;
    emk_status st;

    if (!api->seals)
        return emk_fail(e, EMK_E_UNSUPPORTED, "seals: this server does not seal", 0);
    n = emk_api_issuer_keys(api, issuers);
    if (!api->blobs.ops || n == 0)
        return emk_fail(e, EMK_E_BUSY, "seals: a part of the server is not there", 0);
    st = EMK_E_SIGNATURE;
    for (size_t i = 0; i < n && st == EMK_E_SIGNATURE; i++)
        st = emk_ticket_verify(api->crypto, message, issuers[i], now, t, e);
    return st == EMK_OK ? judge(api->seals, t, now, e) : st;
}

static emk_status seal_model(emk_api *api, const emk_ticket *t, const kept_model *m,
                             emk_sealed_blob *out, emk_error *e)
{
    emk_storage_file f = {.crypto = api->crypto,
                          .blobs = &api->blobs,
                          .object = m->object,
                          .key = emk_secret_span(m->key).p,
                          .part = EMK_STORAGE_MODEL};
    emk_storage_reader *r = NULL;
    emk_sealed_blob made = {.size = 0};
    emk_source model;
    seal_work w = {t, &model, &m->plan};
    emk_status st = emk_storage_open(&f, emk_api_now(api), &r, e);

    if (st == EMK_OK) {
        model = emk_storage_source(r);
        st = seal(api, &w, &made, e);
    }
    emk_storage_close(r);
    if (st == EMK_OK)
        *out = made;
    return st;
}

/* Found while its record is still as it was read, or withdrawn meanwhile: then its key or its files
 * are gone, which is the same to the caller. */
static emk_status seal_entity(emk_api *api, const emk_ticket *t, const emk_model_entity *entity,
                              emk_sealed_blob *out, emk_error *e)
{
    kept_model *m = NULL;
    emk_status st = take_place(api->seals, e);

    if (st != EMK_OK)
        return st;
    st = get_model(api, entity, &m, e);
    if (st == EMK_OK) {
        st = seal_model(api, t, m, out, e);
        give_model(api->seals, m);
    }
    give_place(api->seals);
    return st;
}

/* The model as the ticket's device may have it. */
static emk_status find_for(const emk_api *api, const emk_ticket *t, emk_model_entity *out,
                           emk_error *e)
{
    emk_catalogue_ask ask = {.name = t->identity.model, .version = t->identity.version};
    emk_device_record *device = emk_alloc(1, sizeof *device);
    emk_status st = device ? emk_device_get(&api->records, t->device_id, device, NULL, e)
                           : emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *device);

    if (st == EMK_OK) {
        ask.tenant = emk_api_tenant(api, device->gate.tenant);
        st = emk_catalogue_find(&api->records, &ask, out, NULL, e);
    }
    emk_free(device);
    return st;
}

emk_status emk_seal_catalogue(emk_api *api, emk_span ticket, emk_sealed_blob *out, emk_error *e)
{
    emk_model_entity *entity;
    emk_ticket t;
    emk_status st = check_ticket(api, ticket, &t, e);

    if (st != EMK_OK)
        return st;
    entity = emk_alloc(1, sizeof *entity);
    if (!entity)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *entity);
    st = find_for(api, &t, entity, e);
    if (st == EMK_E_FORMAT || st == EMK_E_LIMIT)
        st = emk_fail(e, EMK_E_NOT_FOUND, "seals: no such model in the catalogue", 0);
    if (st == EMK_OK && entity->withdrawn)
        st = emk_fail(e, EMK_E_NOT_FOUND, "seals: this version was withdrawn", 0);
    if (st == EMK_OK)
        st = seal_entity(api, &t, entity, out, e);
    emk_free(entity);
    return st;
}

/* ---- models that come with a request ---- */

static emk_status read_exactly(const emk_seal_body *body, uint8_t *out, size_t want, emk_error *e)
{
    size_t at = 0, n = 1;
    emk_status st = EMK_OK;

    while (st == EMK_OK && at < want && n > 0) {
        st = body->read(body->self, out + at, want - at, &n, e);
        at += st == EMK_OK ? n : 0;
    }
    if (st == EMK_OK && at < want)
        st = emk_fail(e, EMK_E_LIMIT, "seals: the model is shorter than was said", at);
    return st;
}

/* The end must be seen: only there is a signed digest compared. */
static emk_status read_end(const emk_seal_body *body, emk_error *e)
{
    uint8_t more;
    size_t n = 0;
    emk_status st = body->read(body->self, &more, 1, &n, e);

    if (st == EMK_OK && n > 0)
        st = emk_fail(e, EMK_E_LIMIT, "seals: the model is longer than was said", body->len);
    return st;
}

static emk_status seal_source(emk_api *api, const emk_ticket *t, const emk_seal_body *body,
                              const emk_source *model, emk_sealed_blob *out, emk_error *e)
{
    emk_pack_in pack = {
        .model = model, .file_name = body->file_name, .no_digests = true, .threads = 1};
    emk_sealed_blob made = {.size = 0};
    emk_plan plan;
    seal_work w = {t, model, &plan};
    emk_status st = emk_pack_plan(api->crypto, &pack, &plan, NULL, e);

    if (st != EMK_OK)
        return st;
    st = take_place(api->seals, e);
    if (st == EMK_OK) {
        st = seal(api, &w, &made, e);
        give_place(api->seals);
    }
    emk_plan_done(&plan);
    if (st == EMK_OK)
        *out = made;
    return st;
}

static emk_status seal_from_memory(emk_api *api, const emk_ticket *t, const emk_seal_body *body,
                                   emk_sealed_blob *out, emk_error *e)
{
    size_t len = (size_t)body->len;
    uint8_t *p = emk_alloc(len, 1);
    emk_source model;
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", len);
    model = emk_source_from_span(emk_span_of(p, len));
    st = read_exactly(body, p, len, e);
    if (st == EMK_OK)
        st = read_end(body, e);
    if (st == EMK_OK)
        st = seal_source(api, t, body, &model, out, e);
    emk_wipe(p, len);
    emk_free(p);
    return st;
}

static emk_status spool(const emk_seal_body *body, emk_storage_writer *w, emk_error *e)
{
    uint8_t *step = emk_alloc(READ_STEP, 1);
    uint64_t left = body->len;
    emk_status st = EMK_OK;

    if (!step)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", READ_STEP);
    while (st == EMK_OK && left > 0) {
        size_t n = left < READ_STEP ? (size_t)left : READ_STEP;

        st = read_exactly(body, step, n, e);
        if (st == EMK_OK)
            st = emk_storage_append(w, emk_span_of(step, n), e);
        left -= n;
    }
    emk_wipe(step, READ_STEP);
    emk_free(step);
    return st == EMK_OK ? read_end(body, e) : st;
}

static emk_status spool_body(const emk_api *api, const emk_storage_file *f,
                             const emk_seal_body *body, emk_error *e)
{
    emk_storage_new n = {
        .file = *f, .len = body->len, .expires_s = emk_api_now(api) + EMK_SEAL_SPOOL_LIFE_S};
    emk_storage_writer *w = NULL;
    emk_status st = emk_storage_create(&n, &w, e);

    if (st != EMK_OK)
        return st;
    st = spool(body, w, e);
    if (st != EMK_OK) {
        emk_storage_abort(w);
        return st;
    }
    return emk_storage_finish(w, e);
}

static emk_status seal_spooled(emk_api *api, const emk_ticket *t, const emk_seal_body *body,
                               const emk_storage_file *f, emk_sealed_blob *out, emk_error *e)
{
    emk_storage_reader *r = NULL;
    emk_source model;
    emk_error ignored;
    emk_status st = spool_body(api, f, body, e);

    if (st != EMK_OK)
        return st;
    st = emk_storage_open(f, emk_api_now(api), &r, e);
    if (st == EMK_OK) {
        model = emk_storage_source(r);
        st = seal_source(api, t, body, &model, out, e);
    }
    emk_storage_close(r);
    (void)!emk_storage_remove(f,
                              &ignored); /* else the sweep does it: without its key it is noise */
    return st;
}

static emk_status seal_from_spool(emk_api *api, const emk_ticket *t, const emk_seal_body *body,
                                  emk_sealed_blob *out, emk_error *e)
{
    uint8_t object[EMK_STORAGE_OBJECT_LEN], key[EMK_STORAGE_KEY_LEN];
    emk_storage_file f = {.crypto = api->crypto,
                          .blobs = &api->blobs,
                          .object = object,
                          .key = key,
                          .part = EMK_STORAGE_MODEL};
    emk_status st = emk_random_public(api->crypto, object, sizeof object, e);

    if (st == EMK_OK)
        st = emk_random_secret(api->crypto, key, sizeof key, e);
    if (st == EMK_OK)
        st = seal_spooled(api, t, body, &f, out, e);
    emk_wipe(key, sizeof key);
    return st;
}

emk_status emk_seal_once(emk_api *api, emk_span ticket, const emk_seal_body *body,
                         emk_sealed_blob *out, emk_error *e)
{
    emk_ticket t;
    emk_status st = check_ticket(api, ticket, &t, e);

    if (st != EMK_OK)
        return st;
    return body->len <= EMK_SEAL_PLAIN_MEMORY ? seal_from_memory(api, &t, body, out, e)
                                              : seal_from_spool(api, &t, body, out, e);
}

/* ---- names ---- */

emk_status emk_blob_etag(const emk_crypto *c, const uint8_t id[EMK_BLOB_ID_LEN],
                         char etag[EMK_BLOB_ETAG_MAX], emk_error *e)
{
    emk_span parts[] = {emk_span_str("earmark/1 etag"), emk_span_of(id, EMK_BLOB_ID_LEN)};
    uint8_t hash[EMK_SHA256_LEN];
    char text[EMK_BASE64URL_CHARS(16) + 1];
    size_t len;
    emk_status st = emk_sha256(c, parts, 2, hash, e);

    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(hash, 16), text, sizeof text, &len, e);
    if (st == EMK_OK)
        snprintf(etag, EMK_BLOB_ETAG_MAX, "\"%s\"", text);
    return st;
}

emk_status emk_blob_id_parse(emk_span text, uint8_t id[EMK_BLOB_ID_LEN], emk_error *e)
{
    size_t len = 0;

    if (text.len != EMK_BLOB_ID_CHARS)
        return emk_fail(e, EMK_E_FORMAT, "blob: length of an id", text.len);
    return emk_base64url_decode(text, id, EMK_BLOB_ID_LEN, &len, e);
}

/* ---- records ---- */

static void copy_name(char *out, size_t cap, const char *in)
{
    size_t len = strlen(in);

    len = len < cap ? len : cap - 1;
    memcpy(out, in, len);
    out[len] = 0;
}

static void mark_sealed(const emk_api *api, const emk_seal_finish *in, const emk_sealed_blob *blob)
{
    emk_ticket_entity *t = in->ticket;
    uint64_t now = emk_api_now(api);

    if (t->state == EMK_TICKET_ISSUED) {
        t->redeemed_s = now;
        copy_name(t->redeemed_by, sizeof t->redeemed_by, in->by[0] ? in->by : "earmarkd");
    }
    t->state = EMK_TICKET_SEALED;
    t->sealed_s = now;
    memcpy(t->blob, blob->id, sizeof t->blob);
}

/* Nobody gets a sealed model who was revoked, or is being erased, while it was made. */
static emk_status still_there(const emk_api *api, const uint8_t *id, emk_record_change *out,
                              emk_error *e)
{
    emk_device_record *d = emk_alloc(1, sizeof *d);
    emk_status st = d ? emk_device_get(&api->records, id, d, NULL, e)
                      : emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *d);

    if (st == EMK_E_NOT_FOUND || (st == EMK_OK && d->gate.revoked))
        st = emk_fail(e, EMK_E_STALE, "seals: the device is gone", 0);
    if (st == EMK_OK)
        *out = emk_device_check(id, d);
    emk_free(d);
    return st;
}

static emk_status commit_sealed(const emk_api *api, const emk_seal_finish *in,
                                const emk_sealed_blob *blob, emk_error *e)
{
    emk_blob_entity b = {
        .size = blob->size, .created_s = emk_api_now(api), .expires_s = blob->expires_s};
    emk_span ticket_id = emk_span_of(in->ticket_id, EMK_ID_LEN);
    emk_entity_put puts[] = {{.shape = &emk_ticket_shape,
                              .in = in->ticket,
                              .id = ticket_id,
                              .owner = emk_span_of(in->info->owner, in->info->owner_len),
                              .expect = in->info->version,
                              .expires_s = in->info->expires_s},
                             {.shape = &emk_blob_shape,
                              .in = &b,
                              .id = emk_span_of(blob->id, sizeof blob->id),
                              .owner = ticket_id,
                              .expect = EMK_RECORD_ABSENT,
                              .expires_s = blob->expires_s}};
    emk_entity_change made[2] = {{.value = {0}}, {.value = {0}}};
    emk_status st;

    memcpy(b.ticket, in->ticket_id, sizeof b.ticket);
    memcpy(b.device, in->ticket->device, sizeof b.device);
    st = emk_entity_change_make(&puts[0], &made[0], e);
    if (st == EMK_OK) {
        st = emk_entity_change_make(&puts[1], &made[1], e);
        if (st == EMK_OK) {
            emk_record_change all[] = {made[0].change, made[1].change, {.op = EMK_RECORD_CHECK}};

            st = still_there(api, in->ticket->device, &all[2], e);
            if (st == EMK_OK)
                st = emk_records_commit(&api->records, all, 3, NULL, e);
            emk_entity_change_done(&made[1]);
        }
        emk_entity_change_done(&made[0]);
    }
    return st;
}

emk_status emk_api_seal_finish(emk_api *api, const emk_seal_finish *in, const emk_sealed_blob *blob,
                               emk_error *e)
{
    emk_error ignored;
    emk_status st;

    mark_sealed(api, in, blob);
    st = commit_sealed(api, in, blob, e);
    if (st != EMK_OK)
        (void)!emk_blob_remove(&api->blobs, emk_span_of(blob->id, sizeof blob->id), &ignored);
    return st;
}

static emk_status finish_issued(emk_call *call, const emk_seal_finish *in,
                                const emk_sealed_blob *blob, emk_error *e)
{
    emk_journal_event event;
    emk_status st;

    emk_api_event(call, "ticket.seal", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(in->ticket->device, sizeof in->ticket->device);
    event.object = emk_span_str(in->ticket->model);
    if (!emk_api_audit(call, &event)) {
        emk_api_blob_drop(call->api, blob->id);
        return emk_fail(e, EMK_E_BUSY, "seals: the audit log cannot be written", 0);
    }
    st = emk_api_seal_finish(call->api, in, blob, e);
    return st == EMK_E_STALE ? emk_fail(e, EMK_E_USED, "ticket: used meanwhile", 0) : st;
}

emk_status emk_api_seal_catalogue(emk_call *call, const uint8_t ticket_id[EMK_ID_LEN],
                                  emk_sealed_blob *out, emk_error *e)
{
    emk_ticket_entity *t = emk_alloc(1, sizeof *t);
    emk_record_info info;
    emk_seal_finish in = {ticket_id, t, &info, ""};
    emk_sealed_blob blob = {.size = 0};
    emk_status st;

    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "seals: memory", sizeof *t);
    st = emk_entity_get(&call->api->records, &emk_ticket_shape, emk_span_of(ticket_id, EMK_ID_LEN),
                        t, &info, e);
    if (st == EMK_OK && t->state != EMK_TICKET_ISSUED)
        st = emk_fail(e, EMK_E_USED, "ticket: used", t->state);
    if (st == EMK_OK)
        st = emk_seal_catalogue(call->api, emk_span_of(t->message.p, t->message.len), &blob, e);
    if (st == EMK_OK)
        st = finish_issued(call, &in, &blob, e);
    if (st == EMK_OK)
        *out = blob;
    emk_free(t);
    return st;
}

void emk_api_blob_drop(const emk_api *api, const uint8_t id[EMK_BLOB_ID_LEN])
{
    emk_record_change drop = {.op = EMK_RECORD_DELETE,
                              .kind = EMK_KIND_BLOB,
                              .id = emk_span_of(id, EMK_BLOB_ID_LEN),
                              .expect = EMK_RECORD_ANY};
    emk_error ignored;

    (void)!emk_blob_remove(&api->blobs, drop.id, &ignored);
    (void)!emk_records_commit(&api->records, &drop, 1, NULL, &ignored);
}

emk_status emk_api_sweep(const emk_api *api, uint64_t now_s, emk_error *e)
{
    uint64_t n;
    emk_error second = {0};
    emk_status st = api->blobs.ops ? emk_blobs_sweep(&api->blobs, now_s, &n, e) : EMK_OK;
    emk_status other = emk_records_sweep(&api->records, now_s, &n, &second);

    if (st != EMK_OK || other == EMK_OK)
        return st;
    return emk_fail(e, other, second.what ? second.what : "sweep: records", second.where);
}
