/* The audit log as operators read it, and the numbers of a live view. */
#include "server/api/admin_route.h"

#include "core/base/os_file.h"
#include "core/codec/cbor.h"
#include "server/journal/audit.h"

#include <string.h>

#define CHECKPOINT_MAX EMK_NOTE_MAX
#define LOOK_MAX       20000u /* entries looked at for one page of a filter */

static bool has_log(emk_call *call, const char **dir)
{
    if (!emk_admin_here(call))
        return false;
    *dir = emk_admin_settings(call->api->admin)->journal_dir;
    if (*dir && call->api->journal)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

/* {1: old, 2: new, 3: reason} of ours; of other shapes nothing is shown. */
static void put_detail(emk_json_out *o, emk_span detail)
{
    static const char *const NAMES[] = {NULL, "was", "is", "reason"};
    emk_span texts[4] = {{NULL, 0}};
    emk_cbor_reader r;
    emk_error ignored;
    int64_t key;

    if (detail.len == 0)
        return;
    emk_cbor_reader_init(&r, detail);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        if (key < 1 || key > 3)
            emk_cbor_fail(&r, EMK_E_UNSUPPORTED, "admin: another detail", 0);
        else
            texts[key] = emk_cbor_read_text(&r);
    }
    emk_cbor_leave(&r);
    if (emk_cbor_finish(&r, &ignored) != EMK_OK)
        return;
    for (size_t i = 1; i < 4; i++)
        if (texts[i].p)
            emk_json_out_text(o, NAMES[i], texts[i]);
}

static void put_entry(emk_json_out *o, const emk_journal_record *r)
{
    static const char *const OUTCOMES[] = {"?", "done", "denied", "failed"};
    const emk_journal_event *ev = &r->event;

    emk_json_out_open(o, NULL, '{');
    emk_json_out_uint(o, "seq", r->seq);
    emk_json_out_uint(o, "time_ms", ev->time_ms);
    emk_json_out_text(o, "type", ev->type);
    emk_json_out_text(o, "actor", ev->actor);
    if (ev->tenant.len > 0)
        emk_json_out_text(o, "tenant", ev->tenant);
    if (ev->subject.len > 0)
        emk_json_out_base64url(o, "subject", ev->subject);
    if (ev->object.len > 0)
        emk_json_out_text(o, "object", ev->object);
    emk_json_out_text(o, "outcome",
                      emk_span_str(OUTCOMES[ev->outcome <= 3 ? (unsigned)ev->outcome : 0]));
    if (ev->decision.len > 0)
        emk_json_out_text(o, "decision", ev->decision);
    put_detail(o, ev->detail);
    if (ev->pii.len > 0)
        emk_json_out_bool(o, "sealed", true);
    if (r->late)
        emk_json_out_bool(o, "late", true);
    emk_json_out_close(o);
}

typedef struct tail {
    uint64_t from, limit;
    emk_span type;
} tail;

static bool type_fits(const tail *t, emk_span type)
{
    return t->type.len == 0 ||
           (type.len >= t->type.len && memcmp(type.p, t->type.p, t->type.len) == 0);
}

static emk_status put_entries(emk_audit_entries *x, const tail *t, emk_json_out *o, uint64_t *next,
                              emk_error *e)
{
    uint64_t n = 0, looked = 0, seq;
    emk_status st = EMK_OK;

    while (n < t->limit && looked++ < LOOK_MAX && o->len < EMK_ADMIN_ANSWER) {
        emk_journal_record r;
        emk_span entry;

        st = emk_audit_entries_next(x, &entry, &seq, e);
        if (st == EMK_OK)
            st = emk_journal_record_read(entry, &r, e);
        if (st != EMK_OK)
            break;
        *next = seq + 1;
        if (!type_fits(t, r.event.type))
            continue;
        put_entry(o, &r);
        n++;
    }
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status answer_tail(emk_call *call, const char *dir, const tail *t, emk_error *e)
{
    emk_audit_entries *x = NULL;
    uint64_t next = t->from;
    emk_json_out o;
    emk_status st = emk_audit_entries_new(dir, t->from, &x, e);

    if (st != EMK_OK)
        return st;
    emk_admin_items_open(&o, call);
    st = put_entries(x, t, &o, &next, e);
    emk_audit_entries_free(x);
    if (st != EMK_OK)
        return st;
    emk_json_out_close(&o);
    emk_json_out_uint(&o, "next", next);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* From an entry on, or the last ones; "next" is where to go on, also when nothing came. */
static emk_status tail_log(emk_call *call, emk_error *e)
{
    static const char *const NAMES[] = {"from", "limit", "type", NULL};
    tail t = {.from = UINT64_MAX, .limit = EMK_ADMIN_PAGE_DEFAULT};
    emk_journal_state state;
    const char *dir;

    if (!has_log(call, &dir) || !emk_admin_query_only(call, NAMES) ||
        !emk_admin_query_uint(call, "from", INT64_MAX, &t.from) ||
        !emk_admin_query_uint(call, "limit", EMK_ADMIN_PAGE_MAX, &t.limit) ||
        !emk_admin_query(call, "type", &t.type))
        return EMK_OK;
    if (t.type.len > EMK_JOURNAL_TYPE_MAX) {
        emk_problem_set(call, EMK_API_INVALID_QUERY, "type: too long");
        return EMK_OK;
    }
    emk_journal_state_get(call->api->journal, &state);
    if (t.from == UINT64_MAX)
        t.from = state.size > t.limit ? state.size - t.limit : 0;
    if (t.limit == 0 || t.from > state.size) {
        emk_problem_set(call, EMK_API_INVALID_QUERY, "from: at most the number of entries");
        return EMK_OK;
    }
    return answer_tail(call, dir, &t, e);
}

static emk_status show_checkpoint(emk_call *call, emk_error *e)
{
    char path[1024];
    const char *dir;
    emk_span text;
    emk_buf note;
    emk_status st;

    if (!has_log(call, &dir) || !emk_admin_query_only(call, NULL))
        return EMK_OK;
    st = emk_os_join(path, sizeof path, dir, "checkpoint", "", e);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&note, CHECKPOINT_MAX);
    st = emk_os_read_file(path, CHECKPOINT_MAX, &note, e);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, emk_buf_span(&note), &text, e);
    emk_buf_done(&note);
    if (st == EMK_OK)
        emk_reply_bytes(call, 200, "text/plain", text);
    return st;
}

static void put_finding(emk_json_out *o, const char *key, const emk_audit_finding *f)
{
    emk_json_out_open(o, key, '{');
    emk_json_out_text(o, "verdict", emk_span_str(emk_audit_verdict_name(f->verdict)));
    if (f->what) {
        emk_json_out_text(o, "what", emk_span_str(f->what));
        emk_json_out_uint(o, "where", f->where);
    }
    emk_json_out_close(o);
}

static emk_status answer_report(emk_call *call, const emk_audit_report *r, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "verdict", emk_span_str(emk_audit_verdict_name(emk_audit_sum(r))));
    put_finding(&o, "records", &r->records);
    put_finding(&o, "macs", &r->macs);
    put_finding(&o, "tree", &r->tree);
    put_finding(&o, "signature", &r->signature);
    put_finding(&o, "consistency", &r->consistency);
    put_finding(&o, "completeness", &r->completeness);
    emk_json_out_uint(&o, "entries", r->n_entries);
    emk_json_out_uint(&o, "checkpoint_size", r->checkpoint.size);
    emk_json_out_uint(&o, "late", r->n_late);
    emk_json_out_uint(&o, "gaps", r->n_gaps);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* A quick look from inside.  What counts is `earmark audit verify` elsewhere, on a copy, with the
 * keys of the chain: a server that was taken over says whatever it likes. */
static emk_status verify_log(emk_call *call, emk_error *e)
{
    emk_admin *a = call->api->admin;
    emk_audit_report report;
    emk_note_key key;
    const char *dir;
    emk_status st;

    if (!has_log(call, &dir))
        return EMK_OK;
    if (!emk_admin_verify_begin(a)) {
        emk_problem_set(call, EMK_API_CONFLICT, "the log is being verified");
        return EMK_OK;
    }
    st = emk_note_key_init(call->api->crypto, emk_admin_settings(a)->audit_origin,
                           emk_admin_settings(a)->audit_public, &key, e);
    if (st == EMK_OK)
        st = emk_journal_checkpoint(call->api->journal, e);
    if (st == EMK_OK) {
        emk_audit what = {.dir = dir, .key = &key};

        st = emk_audit_verify(call->api->crypto, &what, &report, e);
    }
    emk_admin_verify_end(a);
    return st == EMK_OK ? answer_report(call, &report, e) : st;
}

/* ---- numbers ---- */

static void put_requests(emk_json_out *o, const emk_admin_numbers *n)
{
    static const char *const NAMES[] = {NULL, NULL, "ok", "redirected", "refused", "failed"};

    emk_json_out_open(o, "requests", '{');
    for (size_t i = 2; i < 6; i++)
        emk_json_out_uint(o, NAMES[i], n->by_class[i]);
    emk_json_out_close(o);
    /* Counts of answers that took less than 2^i microseconds, from i = 0. */
    emk_json_out_open(o, "latency_classes", '[');
    for (size_t i = 0; i < EMK_ADMIN_LATENCIES; i++)
        emk_json_out_uint(o, NULL, n->latencies[i]);
    emk_json_out_close(o);
}

static void put_gate(emk_json_out *o, emk_api *api)
{
    uint64_t counts[EMK_GATE_REASONS] = {0};

    if (!api->gate)
        return;
    emk_gate_counts_get(api->gate, counts);
    emk_json_out_open(o, "gate", '{');
    for (unsigned i = 0; i < EMK_GATE_REASONS; i++)
        if (counts[i] > 0)
            emk_json_out_uint(o, emk_gate_reason_name((emk_gate_reason)i), counts[i]);
    emk_json_out_close(o);
}

static void put_decisions(emk_json_out *o, const emk_admin_numbers *n)
{
    static const char *const NAMES[] = {"allow", "observe", "challenge", "throttle",
                                        "mark",  "deny",    "ban"};

    emk_json_out_open(o, "decisions", '{');
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        emk_json_out_uint(o, NAMES[i], n->actions[i]);
    emk_json_out_close(o);
}

static void put_audit(emk_json_out *o, emk_api *api)
{
    emk_journal_state j;

    if (!api->journal)
        return;
    emk_journal_state_get(api->journal, &j);
    emk_json_out_open(o, "audit", '{');
    emk_json_out_uint(o, "entries", j.size);
    emk_json_out_uint(o, "checkpoint_size", j.checkpoint_size);
    emk_json_out_uint(o, "checkpoint_age_ms", j.checkpoint_age_ms);
    emk_json_out_uint(o, "waiting", j.spooled);
    emk_json_out_uint(o, "lost", j.lost);
    emk_json_out_uint(o, "commit_ns", j.last_commit_ns);
    emk_json_out_bool(o, "writable", j.writable);
    emk_json_out_bool(o, "signing", j.signing);
    emk_json_out_close(o);
}

static emk_status put_records(emk_json_out *o, emk_api *api, emk_error *e)
{
    static const struct {
        const char *name;
        uint32_t kind;
    } KINDS[] = {{"users", EMK_KIND_USER},     {"devices", EMK_KIND_DEVICE},
                 {"tickets", EMK_KIND_TICKET}, {"models", EMK_KIND_MODEL},
                 {"blobs", EMK_KIND_BLOB},     {"decisions", EMK_KIND_DECISION}};
    emk_status st = EMK_OK;

    emk_json_out_open(o, "records", '{');
    for (size_t i = 0; st == EMK_OK && i < sizeof KINDS / sizeof KINDS[0]; i++) {
        uint64_t n = 0;

        st = emk_records_count(&api->records, KINDS[i].kind, emk_span_of(NULL, 0), &n, e);
        emk_json_out_uint(o, KINDS[i].name, n);
    }
    emk_json_out_close(o);
    return st;
}

static emk_status stats(emk_call *call, emk_error *e)
{
    const emk_admin_options *with;
    emk_api *api = call->api;
    emk_admin_numbers n;
    emk_json_out o;
    emk_status st;

    if (!emk_admin_here(call) || !emk_admin_query_only(call, NULL))
        return EMK_OK;
    with = emk_admin_settings(api->admin);
    emk_admin_numbers_get(api, &n);
    emk_json_out_init(&o, &call->arena, 16384);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "time", emk_api_now(api));
    emk_json_out_uint(&o, "uptime_s", emk_api_now(api) - n.started_s);
    put_requests(&o, &n);
    put_gate(&o, api);
    put_decisions(&o, &n);
    put_audit(&o, api);
    st = put_records(&o, api, e);
    emk_json_out_uint(&o, "clients_seen", n.n_clients);
    if (with->numbers)
        with->numbers(with->numbers_self, &o);
    emk_json_out_close(&o);
    return st == EMK_OK ? emk_json_out_reply(&o, call, 200, e) : st;
}

#define OPERATOR(n, s, c) EMK_ADMIN_GATE(n, s, false, c)

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/audit",
     .gate = OPERATOR("tailAudit", EMK_SCOPE_AUDIT, 1),
     .handle = tail_log},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/audit/checkpoint",
     .gate = OPERATOR("getCheckpoint", EMK_SCOPE_AUDIT, 1),
     .handle = show_checkpoint},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/audit/verify",
     .gate = OPERATOR("verifyAudit", EMK_SCOPE_AUDIT, 100),
     .handle = verify_log},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/stats",
     .gate = OPERATOR("getStats", EMK_SCOPE_READ, 1),
     .handle = stats},
};

const emk_route_table emk_routes_admin_audit = {ROWS, sizeof ROWS / sizeof ROWS[0]};
