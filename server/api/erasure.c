#include "server/api/erasure.h"

#include "core/base/alloc.h"
#include "core/codec/base64url.h"
#include "server/api/admin.h"
#include "server/api/fraud_engine.h"
#include "server/api/sealing.h"

#include <string.h>

#define ID_LEN    32u
#define ID_CHARS  (EMK_BASE64URL_CHARS(ID_LEN) + 1)
#define NAMES_MAX 64u /* that the engine forgets in one go */
#define TRIES     16u

typedef struct kept_id {
    uint8_t b[EMK_RECORD_ID_MAX];
    size_t len;
} kept_id;

typedef struct page {
    kept_id *v; /* EMK_RECORD_SCAN_MAX of them */
    size_t n;
} page;

static emk_status keep_id(void *self, const emk_record_view *r, emk_error *e)
{
    page *p = self;
    kept_id *to = &p->v[p->n++];

    (void)e;
    memcpy(to->b, r->id.p, r->id.len);
    to->len = r->id.len;
    return EMK_OK;
}

/* A page of ids first, since fn uses the store. */
emk_status emk_api_each_owned(const emk_api *api, const emk_owned *what, emk_owned_fn fn,
                              void *self, emk_error *e)
{
    page p = {.v = emk_alloc(EMK_RECORD_SCAN_MAX, sizeof *p.v)};
    kept_id last = {.len = 0};
    emk_status st = p.v ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "records: memory", 0);

    while (st == EMK_OK) {
        emk_record_scan scan = {.kind = what->kind,
                                .owner = what->owner,
                                .after = emk_span_of(last.b, last.len),
                                .limit = EMK_RECORD_SCAN_MAX};

        p.n = 0;
        st = emk_records_scan(&api->records, &scan, keep_id, &p, e);
        for (size_t i = 0; st == EMK_OK && i < p.n; i++)
            st = fn(self, emk_span_of(p.v[i].b, p.v[i].len), e);
        if (st != EMK_OK || p.n < EMK_RECORD_SCAN_MAX)
            break;
        last = p.v[p.n - 1];
    }
    emk_free(p.v);
    return st;
}

/* ---- an erasure on its way ---- */

typedef struct job {
    emk_api *api;
    const emk_erasure_ask *ask;
    emk_erasure_count n;
    uint64_t others;      /* records that nobody wants counted */
    uint8_t user[ID_LEN]; /* whose it is */
    char subject[EMK_NAME_CAP];
    emk_fraud_name names[NAMES_MAX]; /* for the engine */
    char text[NAMES_MAX][ID_CHARS];
    uint8_t done[NAMES_MAX][ID_LEN]; /* devices whose notes are over when the engine forgot */
    size_t n_names, n_done;
    char tenant[EMK_NAME_CAP];
    uint8_t later[EMK_RECORD_BATCH_MAX][EMK_RECORD_ID_MAX]; /* decisions to be deleted together */
    size_t later_len[EMK_RECORD_BATCH_MAX], n_later;
} job;

static emk_status delete_one(job *j, uint32_t kind, emk_span id, uint64_t *count, emk_error *e)
{
    emk_record_change gone = {
        .op = EMK_RECORD_DELETE, .kind = kind, .id = id, .expect = EMK_RECORD_ANY};

    (*count)++;
    return emk_records_commit(&j->api->records, &gone, 1, NULL, e);
}

static emk_status each(job *j, uint32_t kind, emk_span owner, emk_owned_fn fn, emk_error *e)
{
    emk_owned what = {.kind = kind, .owner = owner};

    return emk_api_each_owned(j->api, &what, fn, j, e);
}

/* ---- keys of the audit log ---- */

static emk_status erase_key(job *j, emk_span subject, emk_span basis, emk_error *e)
{
    emk_erasure what = {
        .subject = subject, .basis = basis, .actor = j->ask->actor, .now_s = emk_api_now(j->api)};
    emk_subjects s;
    emk_status st;

    if (!emk_admin_subjects(j->api, &s) || !j->api->journal)
        return emk_fail(e, EMK_E_BUSY, "erasure: keys of subjects are not here", 0);
    st = emk_subjects_erase(&s, j->api->journal, &what, e);
    j->n.keys += st == EMK_OK;
    return st == EMK_E_NOT_FOUND || st == EMK_E_USED ? EMK_OK : st; /* had none; was before */
}

static emk_status check_hold(job *j, emk_span subject, emk_error *e)
{
    emk_subjects s;
    bool held = false;
    emk_status st;

    if (!emk_admin_subjects(j->api, &s))
        return emk_fail(e, EMK_E_BUSY, "erasure: keys of subjects are not here", 0);
    st = emk_subjects_is_held(&s, subject, &held, e);
    if (st == EMK_OK && held)
        return emk_fail(e, EMK_E_POLICY, "erasure: under a legal hold", 0);
    return st;
}

/* ---- records ---- */

static emk_status drop_blob(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_error ignored;

    if (id.len == EMK_BLOB_ID_LEN && j->api->blobs.ops)
        (void)!emk_blob_remove(&j->api->blobs, id, &ignored); /* else it goes with its time */
    return delete_one(j, EMK_KIND_BLOB, id, &j->n.blobs, e);
}

static emk_status drop_request(void *self, emk_span id, emk_error *e)
{
    job *j = self;

    return delete_one(j, EMK_KIND_REQUEST, id, &j->others, e);
}

static emk_status drop_app_key(void *self, emk_span id, emk_error *e)
{
    job *j = self;

    return delete_one(j, EMK_KIND_APP_KEY, id, &j->others, e);
}

static emk_status drop_answer(void *self, emk_span id, emk_error *e)
{
    job *j = self;

    return delete_one(j, EMK_KIND_IDEMPOTENCY, id, &j->others, e);
}

static emk_status drop_ticket(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_status st = each(j, EMK_KIND_BLOB, id, drop_blob, e);

    if (st == EMK_OK)
        st = each(j, EMK_KIND_REQUEST, id, drop_request, e);
    return st == EMK_OK ? delete_one(j, EMK_KIND_TICKET, id, &j->n.tickets, e) : st;
}

/* Of decisions there may be many: a transaction for each takes its time. */
static emk_status drop_later(job *j, emk_error *e)
{
    emk_record_change all[EMK_RECORD_BATCH_MAX];
    size_t n = j->n_later;

    j->n_later = 0;
    for (size_t i = 0; i < n; i++)
        all[i] = (emk_record_change){.op = EMK_RECORD_DELETE,
                                     .kind = EMK_KIND_DECISION,
                                     .id = emk_span_of(j->later[i], j->later_len[i]),
                                     .expect = EMK_RECORD_ANY};
    return n > 0 ? emk_records_commit(&j->api->records, all, n, NULL, e) : EMK_OK;
}

static emk_status delete_later(job *j, emk_span id, emk_error *e)
{
    memcpy(j->later[j->n_later], id.p, id.len);
    j->later_len[j->n_later++] = id.len;
    j->n.decisions++;
    return j->n_later == EMK_RECORD_BATCH_MAX ? drop_later(j, e) : EMK_OK;
}

/* Of one device: only decisions about it. */
static emk_status drop_decision(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_decision_entity *d = emk_alloc(1, sizeof *d);
    emk_status st = d ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "erasure: memory", sizeof *d);
    bool other = false;

    if (st == EMK_OK && j->ask->device) {
        st = emk_entity_get(&j->api->records, &emk_decision_shape, id, d, NULL, e);
        other = st == EMK_OK && memcmp(d->device, j->ask->id, ID_LEN) != 0;
    }
    emk_free(d);
    if (st == EMK_E_NOT_FOUND || other)
        return EMK_OK;
    return st == EMK_OK ? delete_later(j, id, e) : st;
}

/* Lists hold subjects and ids as texts. */
static bool is_ours(const job *j, const char *value)
{
    if (!j->ask->device && j->subject[0] && strcmp(value, j->subject) == 0)
        return true;
    for (size_t i = 0; i < j->n_names; i++)
        if (strcmp(value, j->text[i]) == 0)
            return true;
    return false;
}

static emk_status drop_listed(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_list_entity entry;
    emk_status st = emk_entity_get(&j->api->records, &emk_list_shape, id, &entry, NULL, e);

    if (st == EMK_E_NOT_FOUND || (st == EMK_OK && !is_ours(j, entry.value)))
        return EMK_OK;
    if (st == EMK_OK) /* entries of the log about it are under a key of its own */
        st = erase_key(j, id, emk_span_str("list entry of an erased person"), e);
    return st == EMK_OK ? delete_one(j, EMK_KIND_LIST, id, &j->n.lists, e) : st;
}

static emk_status drop_decisions(job *j, emk_span owner, emk_error *e)
{
    emk_status st = each(j, EMK_KIND_DECISION, owner, drop_decision, e);

    return st == EMK_OK ? drop_later(j, e) : st;
}

/* ---- the engine ---- */

static emk_status add_name(job *j, emk_fraud_entity what, const uint8_t id[ID_LEN], emk_error *e)
{
    emk_fraud_name *name = &j->names[j->n_names];
    char *text = j->text[j->n_names];
    size_t len = 0;
    emk_status st = emk_base64url_encode(emk_span_of(id, ID_LEN), text, ID_CHARS, &len, e);

    if (st != EMK_OK)
        return st;
    *name = (emk_fraud_name){
        .what = what, .tenant = emk_span_str(j->tenant), .id = emk_span_of(text, len)};
    j->n_names++;
    return EMK_OK;
}

/* What was collected is forgotten; then the notes about it may go. */
static emk_status forget_names(job *j, emk_error *e)
{
    emk_status st = each(j, EMK_KIND_LIST, emk_span_of(NULL, 0), drop_listed, e);
    uint64_t n = 0;

    if (st == EMK_OK)
        st = emk_flights_wait(&j->api->flights, e);
    if (st == EMK_OK && j->api->fraud)
        st = emk_fraud_host_erase(j->api->fraud, j->names, j->n_names, &n, e);
    j->n.remembered += n;
    for (size_t i = 0; st == EMK_OK && i < j->n_done; i++)
        st = delete_one(j, EMK_KIND_ERASURE, emk_span_of(j->done[i], ID_LEN), &j->others, e);
    j->n_names = j->n_done = 0;
    return st;
}

/* ---- groups ---- */

/* Takes the line "tenant user" of this user off; false: there is none. */
static bool cut_member(emk_proposal_entity *p, const char *user)
{
    char end[ID_CHARS + 2] = " ";
    uint8_t *from = p->users.p, *to;

    memcpy(end + 1, user, strlen(user));
    end[strlen(user) + 1] = '\n';
    to = memmem(from, p->users.len, end, strlen(user) + 2);
    if (!to)
        return false;
    for (from = to; from > p->users.p && from[-1] != '\n';)
        from--;
    to += strlen(user) + 2;
    memmove(from, to, (size_t)(p->users.p + p->users.len - to));
    p->users.len -= (size_t)(to - from);
    p->members -= p->members > 0;
    return true;
}

/* Who decides at the same moment stores it with another version. */
static emk_status drop_member(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_proposal_entity *p = emk_alloc(1, sizeof *p);
    emk_record_info info;
    emk_entity_put put = {.shape = &emk_proposal_shape, .in = p, .id = id};
    emk_status st = p ? EMK_E_STALE : emk_fail(e, EMK_E_NO_MEMORY, "erasure: memory", sizeof *p);

    for (unsigned i = 0; st == EMK_E_STALE && i < TRIES; i++) {
        st = emk_entity_get(&j->api->records, &emk_proposal_shape, id, p, &info, e);
        if (st != EMK_OK || !cut_member(p, j->text[j->n_names - 1]))
            break;
        put.expect = info.version;
        put.expires_s = info.expires_s;
        st = emk_entity_store(&j->api->records, &put, NULL, e);
    }
    emk_free(p);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status drop_user(job *j, emk_span id, emk_error *e)
{
    emk_record_change both[] = {
        {.op = EMK_RECORD_DELETE, .kind = EMK_KIND_USER, .id = id, .expect = EMK_RECORD_ANY},
        {.op = EMK_RECORD_DELETE, .kind = EMK_KIND_ERASURE, .id = id, .expect = EMK_RECORD_ANY}};

    j->n.users++;
    return emk_records_commit(&j->api->records, both, 2, NULL, e);
}

/* ---- devices ---- */

static emk_status note_down(job *j, emk_span id, bool device, emk_error *e)
{
    emk_erasure_entity note = {.device = device, .asked_s = emk_api_now(j->api)};
    emk_entity_put put = {.shape = &emk_erasure_shape,
                          .in = &note,
                          .id = id,
                          .owner = emk_span_of(j->user, device ? ID_LEN : 0),
                          .expect = EMK_RECORD_ANY};
    size_t actor = j->ask->actor.len;

    memcpy(note.basis, j->ask->basis.p, j->ask->basis.len);
    if (actor > 0)
        memcpy(note.actor, j->ask->actor.p, actor);
    return emk_entity_store(&j->api->records, &put, NULL, e);
}

/* From here on this device gets nothing, and what it has under way is not written: see
 * emk_device_check. */
static emk_status revoke_device(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_device_record *d = emk_alloc(1, sizeof *d);
    emk_device_change *change = emk_alloc(1, sizeof *change);
    emk_status st = d && change ? note_down(j, id, true, e)
                                : emk_fail(e, EMK_E_NO_MEMORY, "erasure: memory", sizeof *d);
    uint64_t version = 0;

    for (unsigned i = 0, again = 1; st == EMK_OK && again && i < TRIES; i++) {
        again = 0;
        st = id.len == ID_LEN ? emk_device_get(&j->api->records, id.p, d, &version, e)
                              : EMK_E_NOT_FOUND;
        if (st == EMK_OK && !d->gate.revoked) {
            d->gate.revoked = true;
            st = emk_device_change_make(j->api->crypto, id.p, d, version, change, e);
            if (st == EMK_OK)
                st = emk_records_commit(&j->api->records, &change->change, 1, NULL, e);
            again = st == EMK_E_STALE;
            st = again && i + 1 < TRIES ? EMK_OK : st;
        }
    }
    if (st == EMK_OK && j->api->gate)
        emk_gate_forget_device(j->api->gate, id.p);
    emk_free(change);
    emk_free(d);
    /* What is no record of a device any more goes all the same. */
    return st == EMK_E_NOT_FOUND || st == EMK_E_FORMAT ? EMK_OK : st;
}

static emk_status drop_device(void *self, emk_span id, emk_error *e)
{
    static const uint32_t ALSO[] = {EMK_KIND_EVENT_CHAIN, EMK_KIND_REPLAY_MARK, EMK_KIND_GUARD};
    job *j = self;
    emk_span basis = emk_span_str("device of an erased user");
    emk_status st = each(j, EMK_KIND_TICKET, id, drop_ticket, e);

    if (st == EMK_OK)
        st = each(j, EMK_KIND_IDEMPOTENCY, id, drop_answer, e);
    if (st == EMK_OK)
        st = each(j, EMK_KIND_APP_KEY, id, drop_app_key, e);
    if (st == EMK_OK)
        st = erase_key(j, id, j->ask->device ? j->ask->basis : basis, e);
    if (st == EMK_OK)
        st = delete_one(j, EMK_KIND_DEVICE, id, &j->n.devices, e);
    /* Behind it, since what is written of a device checks that it is there. */
    for (size_t i = 0; st == EMK_OK && i < sizeof ALSO / sizeof ALSO[0]; i++)
        st = delete_one(j, ALSO[i], id, &j->others, e);
    if (st == EMK_OK && j->api->gate && id.len == ID_LEN)
        emk_gate_forget_device(j->api->gate, id.p);
    return st;
}

/* Devices whose records are gone, and which the engine still knows. */
static emk_status forget_device(void *self, emk_span id, emk_error *e)
{
    job *j = self;
    emk_status st = EMK_OK;

    if (id.len != ID_LEN)
        return EMK_OK;
    if (j->n_names == NAMES_MAX)
        st = forget_names(j, e);
    if (st == EMK_OK)
        st = add_name(j, EMK_FRAUD_DEVICE, id.p, e);
    if (st == EMK_OK)
        memcpy(j->done[j->n_done++], id.p, ID_LEN);
    return st;
}

static emk_status erase_device(job *j, emk_error *e)
{
    emk_span id = emk_span_of(j->ask->id, ID_LEN);
    emk_status st = revoke_device(j, id, e);

    if (st == EMK_OK)
        st = drop_device(j, id, e);
    if (st == EMK_OK)
        st = drop_decisions(j, emk_span_of(j->user, ID_LEN), e);
    if (st == EMK_OK)
        st = forget_device(j, id, e);
    return st == EMK_OK ? forget_names(j, e) : st;
}

/* The user's own record and the note go last, together: until then nobody enrols for this user, and
 * whoever read the user before finds it changed. */
static emk_status erase_user(job *j, emk_error *e)
{
    emk_span id = emk_span_of(j->user, ID_LEN);
    emk_status st = note_down(j, id, false, e);

    if (st == EMK_OK)
        st = erase_key(j, id, j->ask->basis, e);
    if (st == EMK_OK)
        st = each(j, EMK_KIND_DEVICE, id, revoke_device, e);
    if (st == EMK_OK)
        st = each(j, EMK_KIND_DEVICE, id, drop_device, e);
    if (st == EMK_OK)
        st = drop_decisions(j, id, e);
    if (st == EMK_OK)
        st = each(j, EMK_KIND_ERASURE, id, forget_device, e);
    if (st == EMK_OK && j->n_names == NAMES_MAX)
        st = forget_names(j, e);
    if (st == EMK_OK)
        st = add_name(j, EMK_FRAUD_USER, j->user, e);
    if (st == EMK_OK)
        st = each(j, EMK_KIND_PROPOSAL, emk_span_of(NULL, 0), drop_member, e);
    if (st == EMK_OK)
        st = forget_names(j, e);
    return st == EMK_OK ? drop_user(j, id, e) : st;
}

/* ---- whose it is ---- */

static emk_status find_user(job *j, emk_error *e)
{
    emk_user_entity *u = emk_alloc(1, sizeof *u);
    emk_status st = u ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "erasure: memory", sizeof *u);

    if (st == EMK_OK)
        st = emk_entity_get(&j->api->records, &emk_user_shape, emk_span_of(j->user, ID_LEN), u,
                            NULL, e);
    if (st == EMK_OK) {
        memcpy(j->subject, u->subject, sizeof j->subject);
        memcpy(j->tenant, u->tenant, sizeof j->tenant);
    }
    emk_free(u);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status find_device(job *j, emk_error *e)
{
    emk_device_record *d = emk_alloc(1, sizeof *d);
    emk_record_info info = {.owner_len = 0};
    emk_buf value;
    emk_status st = d ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "erasure: memory", sizeof *d);

    emk_buf_init(&value, EMK_RECORD_VALUE_MAX);
    if (st == EMK_OK)
        st = emk_device_get(&j->api->records, j->ask->id, d, NULL, e);
    if (st == EMK_OK) {
        memcpy(j->tenant, d->gate.tenant, sizeof j->tenant);
        st = emk_user_owner(j->api->crypto, d->gate.tenant, d->gate.user, j->user, e);
    } else if (st == EMK_E_NOT_FOUND) {
        /* Cut short before: the note says whose it was. */
        st = emk_records_get(&j->api->records, EMK_KIND_ERASURE, emk_span_of(j->ask->id, ID_LEN),
                             &info, &value, e);
        if (st == EMK_OK && info.owner_len == ID_LEN)
            memcpy(j->user, info.owner, ID_LEN);
        st = st == EMK_OK ? find_user(j, e) : st;
    }
    emk_buf_done(&value);
    emk_free(d);
    return st;
}

emk_status emk_api_erase(emk_api *api, const emk_erasure_ask *ask, emk_erasure_count *out,
                         emk_error *e)
{
    job *j;
    emk_status st;

    if (ask->basis.len == 0 || ask->basis.len >= EMK_NAME_CAP ||
        ask->actor.len > EMK_JOURNAL_ACTOR_MAX)
        return emk_fail(e, EMK_E_USAGE, "erasure: the legal basis", ask->basis.len);
    j = emk_alloc(1, sizeof *j);
    if (!j)
        return emk_fail(e, EMK_E_NO_MEMORY, "erasure: memory", sizeof *j);
    j->api = api;
    j->ask = ask;
    if (!ask->device)
        memcpy(j->user, ask->id, ID_LEN);
    st = ask->device ? find_device(j, e) : find_user(j, e);
    if (st == EMK_OK)
        st = check_hold(j, emk_span_of(j->user, ID_LEN), e);
    if (st == EMK_OK)
        st = ask->device ? erase_device(j, e) : erase_user(j, e);
    if (st == EMK_OK)
        st = emk_records_scrub(&api->records, e);
    *out = j->n;
    emk_free(j);
    return st == EMK_E_NOT_FOUND && ask->device ? EMK_OK : st;
}

/* ---- after a kill ---- */

typedef struct resuming {
    emk_api *api;
    uint64_t n;
} resuming;

static emk_status resume_one(void *self, emk_span id, emk_error *e)
{
    resuming *r = self;
    emk_erasure_count ignored;
    emk_erasure_entity note;
    emk_erasure_ask ask = {.id = id.p};
    emk_status st;

    if (id.len != ID_LEN)
        return EMK_OK;
    st = emk_entity_get(&r->api->records, &emk_erasure_shape, id, &note, NULL, e);
    if (st != EMK_OK)
        return st == EMK_E_NOT_FOUND ? EMK_OK : st; /* ended with its user's */
    ask.device = note.device;
    ask.basis = emk_span_str(note.basis);
    ask.actor = emk_span_str(note.actor);
    st = emk_api_erase(r->api, &ask, &ignored, e);
    r->n += st == EMK_OK;
    return st == EMK_E_POLICY ? EMK_OK : st; /* held meanwhile: it waits */
}

emk_status emk_api_erase_resume(emk_api *api, uint64_t *n, emk_error *e)
{
    emk_owned all = {.kind = EMK_KIND_ERASURE};
    resuming r = {.api = api};
    uint64_t unlogged = 0;
    emk_subjects s;
    emk_status st = EMK_OK;

    if (emk_admin_subjects(api, &s) && api->journal)
        st = emk_subjects_resume(&s, api->journal, emk_api_now(api), &unlogged, e);
    if (st == EMK_OK)
        st = emk_api_each_owned(api, &all, resume_one, &r, e);
    *n = r.n + unlogged;
    return st;
}
