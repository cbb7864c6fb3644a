/* What the fraud engine remembers of a user or a device, and what people tell it: labels, reviews,
 * the emergency switch.  Decisions themselves are in routes_admin_people.c. */
#include "server/api/admin_route.h"

#include "core/base/alloc.h"
#include "core/codec/base64url.h"
#include "server/api/approval.h"
#include "server/api/erasure.h"
#include "server/api/fraud_engine.h"

#include <stdlib.h>
#include <string.h>

#define HISTORY_MAX 50u /* decisions, the newest */
#define ID_LEN      32u

static bool has_engine(emk_call *call)
{
    if (call->api->fraud && call->api->decider.ops && call->api->decider.ops->note)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

/* ---- whom it is about ---- */

typedef struct about {
    emk_call *call;
    emk_fraud_entity what;
    uint8_t id[ID_LEN], user[ID_LEN];
    char tenant[EMK_NAME_CAP];
    char name[EMK_BASE64URL_CHARS(ID_LEN) + 1]; /* as events have it */
} about;

static bool answer_failed(emk_call *call, emk_status st)
{
    emk_admin_failed(call, st);
    return false;
}

static bool find_user(about *a, emk_error *e)
{
    emk_user_entity *u = emk_arena_take(&a->call->arena, sizeof *u);
    emk_status st = u ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *u);

    if (st == EMK_OK)
        st = emk_entity_get(&a->call->api->records, &emk_user_shape, emk_span_of(a->id, ID_LEN), u,
                            NULL, e);
    if (st != EMK_OK)
        return answer_failed(a->call, st);
    memcpy(a->tenant, u->tenant, sizeof a->tenant);
    memcpy(a->user, a->id, ID_LEN);
    return true;
}

static bool find_device(about *a, emk_error *e)
{
    emk_device_record *d = emk_arena_take(&a->call->arena, sizeof *d);
    emk_status st = d ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *d);

    if (st == EMK_OK)
        st = emk_device_get(&a->call->api->records, a->id, d, NULL, e);
    if (st == EMK_OK)
        st = emk_user_owner(a->call->api->crypto, d->gate.tenant, d->gate.user, a->user, e);
    if (st != EMK_OK)
        return answer_failed(a->call, st);
    memcpy(a->tenant, d->gate.tenant, sizeof a->tenant);
    return true;
}

/* False after it answered. */
static bool find_about(emk_call *call, emk_fraud_entity what, about *a, emk_error *e)
{
    size_t len;

    *a = (about){.call = call, .what = what};
    if (!has_engine(call) || !emk_admin_param(call, 0, a->id, sizeof a->id))
        return false;
    if (emk_base64url_encode(emk_span_of(a->id, ID_LEN), a->name, sizeof a->name, &len, e) !=
        EMK_OK)
        return answer_failed(call, EMK_E_LIMIT);
    return what == EMK_FRAUD_USER ? find_user(a, e) : find_device(a, e);
}

/* ---- score and history ---- */

typedef struct past {
    char id[EMK_WORD_CAP], point[EMK_WORD_CAP], action[EMK_WORD_CAP], reasons[EMK_REASON_CAP];
    uint64_t time_ms, score;
} past;

typedef struct history {
    about *a;
    past *v; /* HISTORY_MAX of them, in no order */
    size_t n;
    uint64_t seen;
    emk_decision_entity d;
} history;

static past *place_for(history *h, uint64_t time_ms)
{
    past *oldest = &h->v[0];

    if (h->n < HISTORY_MAX)
        return &h->v[h->n++];
    for (size_t i = 1; i < h->n; i++)
        if (h->v[i].time_ms < oldest->time_ms)
            oldest = &h->v[i];
    return oldest->time_ms < time_ms ? oldest : NULL;
}

static emk_status take_decision(void *self, emk_span id, emk_error *e)
{
    history *h = self;
    past *p;
    emk_status st =
        emk_entity_get(&h->a->call->api->records, &emk_decision_shape, id, &h->d, NULL, e);

    if (st != EMK_OK)
        return st == EMK_E_NOT_FOUND ? EMK_OK : st;
    if (h->a->what == EMK_FRAUD_DEVICE && memcmp(h->d.device, h->a->id, ID_LEN) != 0)
        return EMK_OK;
    h->seen++;
    p = place_for(h, h->d.time_ms);
    if (!p)
        return EMK_OK;
    memcpy(p->id, h->d.id, sizeof p->id);
    memcpy(p->point, h->d.point, sizeof p->point);
    memcpy(p->action, h->d.action, sizeof p->action);
    memcpy(p->reasons, h->d.reasons, sizeof p->reasons);
    p->time_ms = h->d.time_ms;
    p->score = h->d.score;
    return EMK_OK;
}

static int newest_first(const void *a, const void *b)
{
    const past *x = a, *y = b;

    if (x->time_ms != y->time_ms)
        return x->time_ms > y->time_ms ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void put_history(const history *h, emk_json_out *o)
{
    emk_json_out_uint(o, "decisions_kept", h->seen);
    emk_json_out_open(o, "decisions", '[');
    for (size_t i = 0; i < h->n; i++) {
        const past *p = &h->v[i];

        emk_json_out_open(o, NULL, '{');
        emk_json_out_text(o, "id", emk_span_str(p->id));
        emk_json_out_uint(o, "time_ms", p->time_ms);
        emk_json_out_text(o, "point", emk_span_str(p->point));
        emk_json_out_text(o, "action", emk_span_str(p->action));
        emk_json_out_uint(o, "score", p->score);
        emk_json_out_text(o, "reasons", emk_span_str(p->reasons));
        emk_json_out_close(o);
    }
    emk_json_out_close(o);
}

static emk_status answer_risk(about *a, const history *h, emk_error *e)
{
    emk_json_out o;
    bool known;

    emk_json_out_init(&o, &a->call->arena, EMK_JSON_OUT_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "id", emk_span_str(a->name));
    emk_json_out_open(&o, "now", '{');
    known = emk_fraud_host_look(a->call->api->fraud, a->what, emk_span_str(a->tenant),
                                emk_span_str(a->name), &o);
    emk_json_out_close(&o);
    emk_json_out_bool(&o, "remembered", known);
    put_history(h, &o);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, a->call, 200, e);
}

static emk_status show_risk(emk_call *call, emk_fraud_entity what, emk_error *e)
{
    emk_owned owned = {.kind = EMK_KIND_DECISION};
    history *h;
    about a;
    emk_status st;

    if (!emk_admin_query_only(call, NULL) || !find_about(call, what, &a, e))
        return EMK_OK;
    h = emk_arena_take(&call->arena, sizeof *h);
    if (h)
        h->v = emk_arena_take(&call->arena, HISTORY_MAX * sizeof *h->v);
    if (!h || !h->v)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *h);
    h->a = &a;
    owned.owner = emk_span_of(a.user, ID_LEN);
    st = emk_api_each_owned(call->api, &owned, take_decision, h, e);
    if (st != EMK_OK)
        return st;
    qsort(h->v, h->n, sizeof *h->v, newest_first);
    return answer_risk(&a, h, e);
}

static emk_status user_risk(emk_call *call, emk_error *e)
{
    return show_risk(call, EMK_FRAUD_USER, e);
}

static emk_status device_risk(emk_call *call, emk_error *e)
{
    return show_risk(call, EMK_FRAUD_DEVICE, e);
}

/* ---- what people say ---- */

typedef struct word_body {
    emk_span word, reason;
} word_body;

#define WORD(name_, symbol, shape)                                                               \
    static const emk_json_field symbol[] = {                                                     \
        {(name_), EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 16, offsetof(word_body, word), NULL},     \
        {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(word_body, reason), NULL}, \
    };                                                                                           \
    static const emk_json_shape shape = {symbol, 2}
WORD("label", LABEL, LABEL_SHAPE);
WORD("do", TOLD, TOLD_SHAPE);
WORD("to", SWITCH, SWITCH_SHAPE);

typedef struct word {
    const char *word;
    emk_fraud_type type;
} word;

static const word LABELS[] = {{"fraud", EMK_FRAUD_LABEL_FRAUD},
                              {"ok", EMK_FRAUD_LABEL_OK},
                              {"unsure", EMK_FRAUD_LABEL_UNSURE},
                              {NULL, EMK_FRAUD_TYPES}};
static const word TELL[] = {
    {"review", EMK_FRAUD_ADMIN_REVIEW}, {"clear", EMK_FRAUD_ADMIN_CLEAR}, {NULL, EMK_FRAUD_TYPES}};

static const word *find_word(emk_call *call, const word *words, emk_span s)
{
    for (; words->word; words++)
        if (emk_span_equal(s, emk_span_str(words->word)))
            return words;
    emk_problem_set(call, EMK_API_INVALID_BODY, "a word that is not one of those in the document");
    return NULL;
}

static emk_status tell_engine(emk_call *call, emk_fraud_event *ev, emk_error *e)
{
    emk_status st;

    ev->src = EMK_FRAUD_SRC_SERVER;
    emk_fraud_event_text(ev, EMK_FRAUD_F_ID, emk_span_str(call->id));
    st = emk_api_tell(call, ev, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

typedef struct saying {
    const char *type; /* of the entry */
    const emk_json_shape *shape;
    const word *words;
    emk_fraud_entity what;
} saying;

static emk_status say(emk_call *call, const saying *s, emk_error *e)
{
    emk_admin_change change = {.type = s->type};
    word_body body = {.word = {0}};
    emk_fraud_event ev;
    const word *w;
    about a;

    if (!emk_json_body(call, s->shape, &body))
        return EMK_OK;
    w = find_word(call, s->words, body.word);
    if (!w || !find_about(call, s->what, &a, e))
        return EMK_OK;
    change.object = s->what == EMK_FRAUD_USER ? "user" : "device";
    change.subject = emk_span_of(a.id, ID_LEN);
    change.is = w->word;
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    emk_fraud_event_init(&ev, w->type, emk_api_now(call->api) * 1000);
    if (a.tenant[0])
        emk_fraud_event_text(&ev, EMK_FRAUD_F_TENANT, emk_span_str(a.tenant));
    emk_fraud_event_text(&ev, s->what == EMK_FRAUD_USER ? EMK_FRAUD_F_USER : EMK_FRAUD_F_DEVICE,
                         emk_span_str(a.name));
    return tell_engine(call, &ev, e);
}

static emk_status label_user(emk_call *call, emk_error *e)
{
    static const saying S = {"label.add", &LABEL_SHAPE, LABELS, EMK_FRAUD_USER};

    return say(call, &S, e);
}

static emk_status label_device(emk_call *call, emk_error *e)
{
    static const saying S = {"label.add", &LABEL_SHAPE, LABELS, EMK_FRAUD_DEVICE};

    return say(call, &S, e);
}

static emk_status tell_user(emk_call *call, emk_error *e)
{
    static const saying S = {"risk.change", &TOLD_SHAPE, TELL, EMK_FRAUD_USER};

    return say(call, &S, e);
}

static emk_status tell_device(emk_call *call, emk_error *e)
{
    static const saying S = {"risk.change", &TOLD_SHAPE, TELL, EMK_FRAUD_DEVICE};

    return say(call, &S, e);
}

/* ---- forgetting ---- */

static emk_status forget(emk_call *call, emk_fraud_entity what, emk_error *e)
{
    emk_admin_change change = {.type = "risk.forget", .is = "forgotten"};
    emk_fraud_name name;
    uint64_t n = 0;
    about a;
    emk_status st;

    if (!emk_admin_query_only(call, NULL) || !find_about(call, what, &a, e))
        return EMK_OK;
    change.object = what == EMK_FRAUD_USER ? "user" : "device";
    change.subject = emk_span_of(a.id, ID_LEN);
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    name = (emk_fraud_name){what, emk_span_str(a.tenant), emk_span_str(a.name)};
    st = emk_fraud_host_erase(call->api->fraud, &name, 1, &n, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

static emk_status forget_user(emk_call *call, emk_error *e)
{
    return forget(call, EMK_FRAUD_USER, e);
}

static emk_status forget_device(emk_call *call, emk_error *e)
{
    return forget(call, EMK_FRAUD_DEVICE, e);
}

/* ---- the engine as a whole ---- */

static bool is_none(const uint8_t hash[32])
{
    static const uint8_t NONE[32];

    return memcmp(hash, NONE, sizeof NONE) == 0;
}

/* Who has to look at it, and who did. */
static emk_status put_second(emk_json_out *o, emk_call *call, const emk_fraud_host_rules *r,
                             emk_error *e)
{
    emk_approvals a;
    emk_status st = emk_approvals_look(call, r->draft_hash, &a, e);

    if (st != EMK_OK)
        return st;
    if (r->second[0])
        emk_json_out_text(o, "can_deny_more", emk_span_str(r->second));
    emk_json_out_bool(o, "needs_approval", r->second[0] && !emk_approvals_suffice(call, &a));
    if (a.by[0])
        emk_json_out_text(o, "approved_by", emk_span_str(a.by));
    return EMK_OK;
}

static emk_status put_draft(emk_json_out *o, emk_call *call, const emk_fraud_host_rules *r,
                            emk_error *e)
{
    emk_status st;

    emk_json_out_open(o, "draft", '{');
    emk_json_out_text(o, "ruleset", emk_span_str(r->draft));
    emk_json_out_uint(o, "decisions", r->decisions);
    emk_json_out_uint(o, "harder", r->harder);
    emk_json_out_uint(o, "milder", r->milder);
    emk_json_out_bool(o, "ready", r->readiness.ready);
    st = put_second(o, call, r, e);
    emk_json_out_open(o, "gate", '[');
    for (size_t i = 0; i < EMK_FRAUD_CONDITIONS; i++) {
        const emk_fraud_check *c = &r->readiness.check[i];

        emk_json_out_open(o, NULL, '{');
        emk_json_out_text(o, "condition", emk_span_str(EMK_FRAUD_CONDITION_NAME[i]));
        emk_json_out_bool(o, "ok", c->ok);
        emk_json_out_uint(o, "is", c->is);
        emk_json_out_uint(o, c->at_most ? "at_most" : "at_least", c->needs);
        emk_json_out_close(o);
    }
    emk_json_out_close(o);
    emk_json_out_close(o);
    return st;
}

static emk_status show_engine(emk_call *call, emk_error *e)
{
    emk_fraud_host_stats s;
    emk_fraud_host_rules r;
    emk_json_out o;
    emk_status st;

    if (!emk_admin_query_only(call, NULL) || !has_engine(call))
        return EMK_OK;
    st = emk_fraud_host_rules_of(call->api->fraud, &r, e);
    if (st != EMK_OK)
        return st;
    emk_fraud_host_stats_of(call->api->fraud, &s);
    emk_json_out_init(&o, &call->arena, 4096);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "ruleset", emk_span_str(s.ruleset));
    emk_json_out_uint(&o, "log_bytes", s.log_bytes);
    emk_json_out_uint(&o, "refused", s.refused);
    emk_json_out_bool(&o, "can_promote", r.has_file && !r.fixed);
    emk_json_out_bool(&o, "can_roll_back", r.has_file && !r.fixed && !is_none(r.before));
    if (r.draft[0])
        st = put_draft(&o, call, &r, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status turn_switch(emk_call *call, emk_error *e)
{
    static const word TO[] = {{"normal", EMK_FRAUD_ADMIN_SWITCH},
                              {"open", EMK_FRAUD_ADMIN_SWITCH},
                              {"closed", EMK_FRAUD_ADMIN_SWITCH},
                              {NULL, EMK_FRAUD_TYPES}};
    emk_admin_change change = {.type = "risk.switch", .object = "switch"};
    word_body body = {.word = {0}};
    emk_fraud_event ev;
    const word *w;

    if (!emk_json_body(call, &SWITCH_SHAPE, &body) || !has_engine(call))
        return EMK_OK;
    w = find_word(call, TO, body.word);
    if (!w)
        return EMK_OK;
    change.is = w->word;
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    emk_fraud_event_init(&ev, w->type, emk_api_now(call->api) * 1000);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_REASON, emk_span_str(w->word));
    return tell_engine(call, &ev, e);
}

/* ---- promotion ---- */

typedef struct promote_body {
    emk_span reason;
    bool force;
} promote_body;

static const emk_json_field PROMOTE[] = {
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(promote_body, reason), NULL},
    {"force", EMK_JSON_BOOL, 0, 0, 0, offsetof(promote_body, force), NULL},
};
static const emk_json_shape PROMOTE_SHAPE = {PROMOTE, 2};

static const char NO_DRAFT[] = "no draft runs";
static const char NO_FILE[] = "fraud.rules names no file";
static const char FIXED[] = "fraud.rules is not in a folder that the server may write: move it "
                            "below server.data, and name it there";

/* False after it answered. */
static bool can_write(emk_call *call, const emk_fraud_host_rules *r)
{
    if (r->has_file && !r->fixed)
        return true;
    emk_problem_set(call, EMK_API_CONFLICT, r->has_file ? FIXED : NO_FILE);
    return false;
}

/* Whether a second person is asked for who has not said yes; false after it answered. */
static bool is_approved(emk_call *call, const emk_fraud_host_rules *r, bool force, bool *missing,
                        emk_error *e)
{
    emk_approvals a;
    emk_status st;

    *missing = false;
    if (!r->second[0] && !force)
        return true;
    st = emk_approvals_look(call, r->draft_hash, &a, e);
    if (st != EMK_OK)
        return answer_failed(call, st);
    *missing = !emk_approvals_suffice(call, &a);
    return true;
}

static void answer_gate(emk_call *call, const emk_fraud_host_rules *rules, bool force, bool missing)
{
    emk_problem_failure failed[EMK_FRAUD_CONDITIONS + 1];
    const emk_fraud_readiness *r = &rules->readiness;
    const char *why = "the draft's numbers do not suffice";
    size_t n = 0;

    if (missing)
        failed[n++] = (emk_problem_failure){"approvals", false, 0, 1};
    if (missing && force)
        why = "who forces needs another operator: admin rules approve";
    else if (missing)
        why = emk_arena_format(&call->arena, "another operator has to approve: %s", rules->second);

    for (size_t i = 0; i < EMK_FRAUD_CONDITIONS; i++) {
        const emk_fraud_check *c = &r->check[i];

        if (!c->ok && !force)
            failed[n++] =
                (emk_problem_failure){EMK_FRAUD_CONDITION_NAME[i], c->at_most, c->is, c->needs};
    }
    emk_problem_set_failed(call, why, failed, n);
}

/* What a change of the sets came to. */
static emk_status answer_change(emk_call *call, emk_status st, const emk_yaml_diag *d)
{
    const char *text = NULL;

    switch (st) {
    case EMK_OK:
        emk_reply_empty(call, 204);
        return EMK_OK;
    case EMK_E_STALE:
    case EMK_E_POLICY:
    case EMK_E_NOT_FOUND:
        text = "the rule sets changed meanwhile";
        break;
    case EMK_E_IO:
        text = "the file of rules cannot be written";
        break;
    case EMK_E_FORMAT:
        text = d->text[0] ? emk_arena_format(&call->arena, "%s", d->text) : "a file of rules";
        break;
    default:
        return st;
    }
    emk_problem_set(call, EMK_API_CONFLICT, text);
    return EMK_OK;
}

typedef struct approve_body {
    emk_span reason, draft;
} approve_body;

static const emk_json_field APPROVE[] = {
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(approve_body, reason), NULL},
    {"draft", EMK_JSON_TEXT, 0, 1, 127, offsetof(approve_body, draft), NULL},
};
static const emk_json_shape APPROVE_SHAPE = {APPROVE, 2};

/* Of the draft that runs now, whatever comes of its file; whoever names it approves no other. */
static emk_status approve_rules(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "rules.approve", .object = "rules"};
    approve_body body = {.reason = {0}};
    emk_fraud_host_rules r;
    emk_status st;

    if (!emk_json_body(call, &APPROVE_SHAPE, &body) || !has_engine(call))
        return EMK_OK;
    st = emk_fraud_host_rules_of(call->api->fraud, &r, e);
    if (st != EMK_OK)
        return st;
    if (!r.draft[0] || (body.draft.len > 0 && !emk_span_equal(body.draft, emk_span_str(r.draft)))) {
        emk_problem_set(call, EMK_API_CONFLICT, r.draft[0] ? "another draft runs" : NO_DRAFT);
        return EMK_OK;
    }
    change.was = r.live;
    change.is = r.draft;
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_approval_give(call, r.draft_hash, r.draft, body.reason, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

static emk_status promote_rules(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "rules.promote", .object = "rules"};
    emk_fraud_host_rules r;
    emk_yaml_diag d = {.line = 0};
    promote_body body = {.force = false};
    bool missing;
    emk_status st;

    if (!emk_json_body(call, &PROMOTE_SHAPE, &body) || !has_engine(call))
        return EMK_OK;
    st = emk_fraud_host_rules_of(call->api->fraud, &r, e);
    if (st != EMK_OK)
        return st;
    if (!r.draft[0]) {
        emk_problem_set(call, EMK_API_CONFLICT, NO_DRAFT);
        return EMK_OK;
    }
    if (!can_write(call, &r) || !is_approved(call, &r, body.force, &missing, e))
        return EMK_OK;
    if (missing || (!r.readiness.ready && !body.force)) {
        answer_gate(call, &r, body.force, missing);
        return EMK_OK;
    }
    change.was = r.live;
    change.is =
        emk_arena_format(&call->arena, "%s%s", r.draft, r.readiness.ready ? "" : ", forced");
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_fraud_host_promote(call->api->fraud, r.draft_hash, body.force, &d, e);
    return answer_change(call, st, &d);
}

static emk_status roll_back_rules(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "rules.rollback", .object = "rules"};
    emk_fraud_host_rules r;
    emk_yaml_diag d = {.line = 0};
    emk_admin_reason body = {.reason = {0}};
    emk_status st;

    if (!emk_json_body(call, &emk_admin_reason_shape, &body) || !has_engine(call))
        return EMK_OK;
    st = emk_fraud_host_rules_of(call->api->fraud, &r, e);
    if (st != EMK_OK)
        return st;
    if (!can_write(call, &r))
        return EMK_OK;
    if (is_none(r.before)) {
        emk_problem_set(call, EMK_API_CONFLICT, "there is no set before");
        return EMK_OK;
    }
    change.was = r.live;
    change.is = emk_arena_format(&call->arena, "rules-%02x%02x%02x%02x", r.before[0], r.before[1],
                                 r.before[2], r.before[3]);
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_fraud_host_rollback(call->api->fraud, r.before, &d, e);
    return answer_change(call, st, &d);
}

#define OPERATOR(n, s, step) EMK_ADMIN_GATE(n, s, step, 2)
#define JSON                 .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/users/{id}/risk",
     .gate = OPERATOR("getUserRisk", EMK_SCOPE_READ, false),
     .handle = user_risk},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/users/{id}/risk",
     JSON,
     .gate = OPERATOR("changeUserRisk", EMK_SCOPE_MODERATE, true),
     .handle = tell_user},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/users/{id}/risk",
     .gate = OPERATOR("forgetUserRisk", EMK_SCOPE_ERASE, true),
     .handle = forget_user},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/users/{id}/labels",
     JSON,
     .gate = OPERATOR("labelUser", EMK_SCOPE_MODERATE, false),
     .handle = label_user},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/devices/{id}/risk",
     .gate = OPERATOR("getDeviceRisk", EMK_SCOPE_READ, false),
     .handle = device_risk},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/devices/{id}/risk",
     JSON,
     .gate = OPERATOR("changeDeviceRisk", EMK_SCOPE_MODERATE, true),
     .handle = tell_device},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/devices/{id}/risk",
     .gate = OPERATOR("forgetDeviceRisk", EMK_SCOPE_ERASE, true),
     .handle = forget_device},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/devices/{id}/labels",
     JSON,
     .gate = OPERATOR("labelDevice", EMK_SCOPE_MODERATE, false),
     .handle = label_device},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/fraud",
     .gate = OPERATOR("getFraudEngine", EMK_SCOPE_READ, false),
     .handle = show_engine},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/fraud/switch",
     JSON,
     .gate = OPERATOR("switchFraudEngine", EMK_SCOPE_RULES, true),
     .handle = turn_switch},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/fraud/promote",
     JSON,
     .gate = OPERATOR("promoteFraudRules", EMK_SCOPE_RULES, true),
     .handle = promote_rules},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/fraud/approve",
     JSON,
     .gate = OPERATOR("approveFraudRules", EMK_SCOPE_RULES, true),
     .handle = approve_rules},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/fraud/rollback",
     JSON,
     .gate = OPERATOR("rollBackFraudRules", EMK_SCOPE_RULES, true),
     .handle = roll_back_rules},
};

const emk_route_table emk_routes_admin_fraud = {ROWS, sizeof ROWS / sizeof ROWS[0]};
