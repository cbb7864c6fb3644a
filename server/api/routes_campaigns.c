/* /v1/admin/campaigns: groups of accounts that act as one, proposed by a job and decided upon by a
 * person.  Approval bans each member by an event of the engine's log, so that a replay bans them
 * too: all at once, at a time within hours that nobody can foresee.  Withdrawing lifts that. */
#include "server/api/campaigns.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/api/admin_route.h"
#include "server/api/decide.h"
#include "server/api/erasure.h"
#include "server/api/fraud_engine.h"
#include "server/api/hooks.h"

#include <stdio.h>
#include <string.h>

#define ID_LEN     16u
#define NEWS_MAX   512u
#define NO_TENANT  "-"
#define SEEN_CHARS 12u /* of a hash, for people to carry */

/* ---- the job ---- */

typedef struct job {
    emk_api *api;
    uint64_t now_s;
    size_t n_new;
    emk_proposal_entity p; /* the one in hand */
    uint64_t version;      /* of its record */
    uint8_t id[32];
} job;

/* A group is known by its kind and the first of its members, so that one which grows stays the
 * same. */
static emk_status name_group(job *j, emk_fraud_campaign_kind kind, const emk_fraud_member *first,
                             emk_error *e)
{
    static const char label[] = "earmark/1 campaign";
    emk_span parts[] = {emk_span_of(label, sizeof label),
                        emk_span_str(first->tenant),
                        emk_span_of("", 1),
                        emk_span_str(first->user),
                        emk_span_of("", 1),
                        emk_span_str(EMK_FRAUD_CAMPAIGN[kind].name)};

    return emk_sha256(j->api->crypto, parts, sizeof parts / sizeof parts[0], j->id, e);
}

/* "members=7 artifacts=300 …" */
static void tell_evidence(const emk_fraud_group_found *g, emk_proposal_entity *p)
{
    const emk_fraud_campaign_row *row = &EMK_FRAUD_CAMPAIGN[g->kind];
    size_t at = 0;

    snprintf(p->kind, sizeof p->kind, "%s", row->name);
    p->evidence[0] = 0;
    for (size_t i = 0; i < EMK_FRAUD_EVIDENCE && row->number[i] && at < sizeof p->evidence; i++)
        at += (size_t)snprintf(p->evidence + at, sizeof p->evidence - at, "%s%s=%llu",
                               at ? " " : "", row->number[i], (unsigned long long)g->number[i]);
    if (g->chance_bits > 0 && at < sizeof p->evidence)
        snprintf(p->evidence + at, sizeof p->evidence - at, " chance=2^-%u", g->chance_bits);
}

/* "tenant user" lines, as many as there is room for. */
static void list_members(const emk_fraud_member *m, size_t n, emk_proposal_entity *p)
{
    p->members = n;
    p->users.len = 0;
    for (size_t i = 0; i < n; i++) {
        char line[2 * EMK_FRAUD_ID_MAX + 4];
        int len = snprintf(line, sizeof line, "%s %s\n", m[i].tenant[0] ? m[i].tenant : NO_TENANT,
                           m[i].user);

        if (len < 0 || p->users.len + (size_t)len > sizeof p->users.p)
            return;
        memcpy(p->users.p + p->users.len, line, (size_t)len);
        p->users.len += (size_t)len;
    }
}

static emk_status store_proposal(job *j, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_proposal_shape,
                          .in = &j->p,
                          .id = emk_span_of(j->id, ID_LEN),
                          .expect = j->version,
                          .expires_s = j->now_s + EMK_CAMPAIGN_KEEP_S};

    return emk_entity_store(&j->api->records, &put, NULL, e);
}

static emk_status tell_proposal(const job *j, emk_error *e)
{
    emk_hook_news news = {.kind = EMK_WEBHOOK_CAMPAIGN, .now_s = j->now_s};
    emk_arena arena;
    emk_json_out o;
    emk_status st;

    emk_arena_init(&arena, 2 * (size_t)NEWS_MAX);
    emk_json_out_init(&o, &arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "campaign", emk_span_of(j->id, ID_LEN));
    emk_json_out_uint(&o, "members", j->p.members);
    emk_json_out_text(&o, "kind", emk_span_str(j->p.kind));
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &news.data, e);
    if (st == EMK_OK)
        st = emk_hooks_post(j->api->hooks, &news, NULL, e);
    emk_arena_done(&arena);
    return st;
}

/* Somebody may decide upon it at the same moment: then what they saw is what it stays. */
static emk_status propose(job *j, const emk_fraud_group_found *g, const emk_fraud_member *m,
                          emk_error *e)
{
    emk_record_info info = {.version = EMK_RECORD_ABSENT};
    emk_status st = name_group(j, g->kind, m, e);
    bool there;

    if (st != EMK_OK)
        return st;
    st = emk_entity_get(&j->api->records, &emk_proposal_shape, emk_span_of(j->id, ID_LEN), &j->p,
                        &info, e);
    there = st == EMK_OK;
    j->version = info.version;
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    if (there && (strcmp(j->p.state, "proposed") != 0 || j->p.members == g->n))
        return EMK_OK; /* decided upon, or no news */
    if (!there) {
        memset(&j->p, 0, sizeof j->p);
        snprintf(j->p.state, sizeof j->p.state, "proposed");
        j->p.created_s = j->now_s;
    }
    list_members(m, g->n, &j->p);
    tell_evidence(g, &j->p);
    st = store_proposal(j, e);
    if (st != EMK_OK || there)
        return st == EMK_E_STALE ? EMK_OK : st;
    j->n_new++;
    return tell_proposal(j, e);
}

emk_status emk_campaigns_run(emk_api *api, uint64_t now_s, size_t *n_new, emk_error *e)
{
    emk_fraud_campaign_options o = {.from_ms = (now_s - EMK_CAMPAIGN_SINCE_S) * 1000,
                                    .lockstep_from_ms = (now_s - EMK_CAMPAIGN_STEPS_S) * 1000};
    emk_fraud_campaigns found = {.n = 0};
    job *j = emk_alloc(1, sizeof *j);
    emk_status st;

    if (!j || !api->fraud) {
        emk_free(j);
        return emk_fail(e, j ? EMK_E_BUSY : EMK_E_NO_MEMORY, "campaigns: not now", 0);
    }
    j->api = api;
    j->now_s = now_s;
    st = emk_fraud_host_campaign(api->fraud, &o, &found, e);
    for (size_t i = 0; st == EMK_OK && i < found.groups; i++)
        st = propose(j, &found.group[i], &found.member[found.group[i].first], e);
    *n_new = j->n_new;
    emk_fraud_campaigns_done(&found);
    emk_free(j);
    return st;
}

/* ---- routes ---- */

static emk_status run_job(emk_call *call, emk_error *e)
{
    emk_admin_reason body = {.reason = {0}};
    emk_admin_change change = {.type = "campaigns.run", .object = "campaigns", .is = "run"};
    emk_json_out o;
    size_t n = 0;
    emk_status st;

    if (!emk_json_body(call, &emk_admin_reason_shape, &body))
        return EMK_OK;
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = emk_campaigns_due(call->api, emk_api_now(call->api), e);
    if (st == EMK_OK)
        st = emk_campaigns_run(call->api, emk_api_now(call->api), &n, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_init(&o, &call->arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "proposed", n);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status list_campaigns(emk_call *call, emk_error *e)
{
    emk_admin_listing l = {.shape = &emk_proposal_shape, .id = EMK_ADMIN_ID_BYTES};
    emk_admin_page page;

    return emk_admin_page_read(call, NULL, &page) ? emk_admin_list(call, &l, &page, e) : EMK_OK;
}

/* The next "tenant user" of a list. */
static bool next_member(emk_span *rest, emk_span *tenant, emk_span *user)
{
    const uint8_t *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;
    const uint8_t *gap = end ? memchr(rest->p, ' ', (size_t)(end - rest->p)) : NULL;

    if (!gap)
        return false;
    *tenant = emk_span_of(rest->p, (size_t)(gap - rest->p));
    *user = emk_span_of(gap + 1, (size_t)(end - gap) - 1);
    *rest = emk_span_of(end + 1, rest->len - (size_t)(end + 1 - rest->p));
    if (emk_span_equal(*tenant, emk_span_str(NO_TENANT)))
        tenant->len = 0;
    return true;
}

static bool find_proposal(emk_call *call, uint8_t id[ID_LEN], emk_proposal_entity **out,
                          emk_record_info *info)
{
    *out = emk_arena_take(&call->arena, sizeof **out);
    if (!*out) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    return emk_admin_param(call, 0, id, ID_LEN) &&
           emk_admin_find(call, &emk_proposal_shape, emk_span_of(id, ID_LEN), *out, info);
}

/* What the group is, as one short word: who decides says which one was shown. */
static emk_status name_members(emk_call *call, const emk_proposal_entity *p,
                               char out[SEEN_CHARS + 1], emk_error *e)
{
    static const char label[] = "earmark/1 campaign members";
    char text[EMK_BASE64URL_CHARS(EMK_SHA256_LEN) + 1];
    uint8_t hash[EMK_SHA256_LEN], members[8];
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(members, sizeof members),
                        emk_span_of(p->users.p, p->users.len)};
    size_t len;
    emk_status st;

    emk_store_u64be(members, p->members);
    st = emk_sha256(call->api->crypto, parts, sizeof parts / sizeof parts[0], hash, e);
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(hash, sizeof hash), text, sizeof text, &len, e);
    if (st != EMK_OK)
        return st;
    memcpy(out, text, SEEN_CHARS);
    out[SEEN_CHARS] = 0;
    return EMK_OK;
}

static emk_status show_campaign(emk_call *call, emk_error *e)
{
    char seen[SEEN_CHARS + 1];
    emk_proposal_entity *p;
    emk_span rest, tenant, user;
    uint8_t id[ID_LEN];
    emk_json_out o;

    if (!find_proposal(call, id, &p, NULL))
        return EMK_OK;
    if (name_members(call, p, seen, e) != EMK_OK)
        return EMK_E_CRYPTO;
    emk_json_out_init(&o, &call->arena, EMK_ADMIN_ANSWER);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "id", emk_span_of(id, ID_LEN));
    emk_entity_json(&emk_proposal_shape, p, &o);
    emk_json_out_text(&o, "seen", emk_span_str(seen));
    emk_json_out_open(&o, "users", '[');
    rest = emk_span_of(p->users.p, p->users.len);
    while (next_member(&rest, &tenant, &user)) {
        emk_json_out_open(&o, NULL, '{');
        emk_json_out_text(&o, "user", user);
        if (tenant.len > 0)
            emk_json_out_text(&o, "tenant", tenant);
        emk_json_out_close(&o);
    }
    emk_json_out_close(&o);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* One event for each member: the engine's log is where bans by persons are. */
static emk_status note_members(emk_api *api, const emk_proposal_entity *p, emk_fraud_type type,
                               emk_error *e)
{
    const emk_decider *d = &api->decider;
    emk_span rest = emk_span_of(p->users.p, p->users.len), tenant, user;
    uint64_t now_ms = emk_api_now(api) * 1000; /* of all */
    emk_status st = EMK_OK;

    if (!d->ops || !d->ops->note)
        return emk_fail(e, EMK_E_BUSY, "campaigns: no engine", 0);
    while (st == EMK_OK && next_member(&rest, &tenant, &user)) {
        emk_fraud_event ev;

        emk_fraud_event_init(&ev, type, now_ms);
        ev.src = EMK_FRAUD_SRC_SERVER;
        emk_fraud_event_text(&ev, EMK_FRAUD_F_ID, emk_span_str("campaign"));
        emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, user);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_REASON, emk_span_str("campaign"));
        if (tenant.len > 0)
            emk_fraud_event_text(&ev, EMK_FRAUD_F_TENANT, tenant);
        st = d->ops->note(d->self, &ev, NULL, e); /* a person has decided: nothing besides */
    }
    return st;
}

/* Of one that acts the record says `during` until all members have their event: nobody can refuse
 * meanwhile, and who finds it so, after a kill, decides once more. */
typedef struct verdict {
    const char *from, *during, *to; /* states */
    const char *type;               /* of the audit entry */
    emk_fraud_type event;           /* where there is a `during` */
} verdict;

typedef struct decide_body {
    emk_span reason;
    uint64_t members; /* that the person saw; 0: not said */
    emk_span seen;    /* the same, exactly */
    uint64_t within;  /* seconds in which an approval acts */
} decide_body;

static const emk_json_field DECIDE[] = {
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(decide_body, reason), NULL},
    {"members", EMK_JSON_UINT, 0, 1, UINT32_MAX, offsetof(decide_body, members), NULL},
    {"seen", EMK_JSON_TEXT, 0, SEEN_CHARS, SEEN_CHARS, offsetof(decide_body, seen), NULL},
    {"within", EMK_JSON_UINT, 0, 0, EMK_CAMPAIGN_DELAY_S, offsetof(decide_body, within), NULL},
};
static const emk_json_shape APPROVE_SHAPE = {DECIDE, 4};
static const emk_json_shape DECIDE_SHAPE = {DECIDE, 3};

#define WAITING "waiting"

typedef struct deciding {
    const verdict *v;
    decide_body body;
    uint8_t id[ID_LEN];
    emk_proposal_entity *p;
    emk_record_info info;
} deciding;

static bool is_what_was_seen(emk_call *call, const deciding *d)
{
    char now[SEEN_CHARS + 1];
    emk_error ignored;

    if (d->body.members > 0 && d->body.members != d->p->members)
        return false;
    return d->body.seen.len == 0 || (name_members(call, d->p, now, &ignored) == EMK_OK &&
                                     emk_span_equal(d->body.seen, emk_span_str(now)));
}

static bool is_in(const emk_proposal_entity *p, const char *state)
{
    return state && strcmp(p->state, state) == 0;
}

/* What waits can be withdrawn before it acts. */
static bool may_decide(emk_call *call, const deciding *d)
{
    const verdict *v = d->v;

    if (!is_in(d->p, v->from) && !is_in(d->p, v->during) &&
        !(v->event == EMK_FRAUD_ADMIN_UNBAN && is_in(d->p, WAITING)))
        emk_problem_set(call, EMK_API_CONFLICT, "somebody decided upon it already");
    else if (v->event == EMK_FRAUD_ADMIN_BAN && d->body.members == 0 && d->body.seen.len == 0)
        emk_problem_set(call, EMK_API_INVALID_BODY, "seen, or members: of the group that you saw");
    else if (!is_what_was_seen(call, d))
        emk_problem_set(call, EMK_API_CONFLICT, "the group has changed since; look again");
    else
        return true;
    return false;
}

static emk_status store_state(emk_api *api, deciding *d, const char *state, uint64_t now_s,
                              emk_error *e)
{
    emk_entity_put put = {.shape = &emk_proposal_shape,
                          .in = d->p,
                          .id = emk_span_of(d->id, ID_LEN),
                          .expect = d->info.version,
                          .expires_s = now_s + EMK_CAMPAIGN_KEEP_S};

    emk_admin_text(d->p->state, sizeof d->p->state, emk_span_str(state));
    return emk_entity_store(&api->records, &put, &d->info.version, e);
}

static bool set_state(emk_call *call, deciding *d, const char *state)
{
    emk_error e = {0};
    emk_status st;

    d->p->decided_s = emk_api_now(call->api);
    st = store_state(call->api, d, state, d->p->decided_s, &e);
    if (st != EMK_OK)
        emk_admin_failed(call, st);
    return st == EMK_OK;
}

/* Now, or at a time that nobody can foresee. */
static emk_status draw_due(emk_call *call, deciding *d, emk_error *e)
{
    uint64_t random, within = d->v->event == EMK_FRAUD_ADMIN_BAN ? d->body.within : 0;
    emk_status st;

    d->p->due_s = 0;
    if (within == 0 || is_in(d->p, d->v->during))
        return EMK_OK;
    st = emk_random_public(call->api->crypto, (uint8_t *)&random, sizeof random, e);
    if (st == EMK_OK)
        d->p->due_s = emk_api_now(call->api) + random % (within + 1);
    return st;
}

static emk_status act(emk_call *call, deciding *d, emk_error *e)
{
    const verdict *v = d->v;
    emk_status st = draw_due(call, d, e);

    if (st != EMK_OK)
        return st;
    if (d->p->due_s > 0) {
        if (set_state(call, d, WAITING))
            emk_reply_empty(call, 204);
        return EMK_OK;
    }
    if (v->during && !is_in(d->p, WAITING)) {
        if (!set_state(call, d, v->during))
            return EMK_OK;
        st = note_members(call->api, d->p, v->event, e);
    }
    if (st == EMK_OK && set_state(call, d, v->to))
        emk_reply_empty(call, 204);
    return st;
}

static emk_status decide(emk_call *call, const verdict *v, emk_error *e)
{
    deciding d = {.v = v, .body = {.within = EMK_CAMPAIGN_DELAY_S}};
    emk_admin_change change = {.type = v->type, .is = v->to};

    if (!emk_json_body(call, v->event == EMK_FRAUD_ADMIN_BAN ? &APPROVE_SHAPE : &DECIDE_SHAPE,
                       &d.body) ||
        !find_proposal(call, d.id, &d.p, &d.info) || !may_decide(call, &d))
        return EMK_OK;
    change.was = d.p->state;
    change.object = emk_arena_format(&call->arena, "campaign:%.*s", (int)call->params[0].len,
                                     (const char *)call->params[0].p);
    change.why = d.body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    emk_admin_text(d.p->reason, sizeof d.p->reason, d.body.reason);
    emk_admin_text(d.p->by, sizeof d.p->by, emk_span_str(emk_admin_who(call)));
    return act(call, &d, e);
}

static emk_status approve(emk_call *call, emk_error *e)
{
    static const verdict V = {"proposed", "approving", "approved", "campaign.approve",
                              EMK_FRAUD_ADMIN_BAN};

    return decide(call, &V, e);
}

typedef struct due {
    emk_api *api;
    uint64_t now_s;
    deciding d;
} due;

/* Whoever withdraws it at the same moment stores another version: then it is left alone. */
static emk_status act_when_due(void *self, emk_span id, emk_error *e)
{
    due *q = self;
    emk_proposal_entity *p = q->d.p;
    emk_status st = emk_entity_get(&q->api->records, &emk_proposal_shape, id, p, &q->d.info, e);

    if (st != EMK_OK || id.len != ID_LEN || p->due_s == 0 || p->due_s > q->now_s ||
        !(is_in(p, WAITING) || is_in(p, "approving")))
        return st == EMK_E_NOT_FOUND ? EMK_OK : st;
    memcpy(q->d.id, id.p, ID_LEN);
    st = store_state(q->api, &q->d, "approving", q->now_s, e);
    if (st == EMK_OK)
        st = note_members(q->api, p, EMK_FRAUD_ADMIN_BAN, e);
    if (st == EMK_OK)
        st = store_state(q->api, &q->d, "approved", q->now_s, e);
    return st == EMK_E_STALE ? EMK_OK : st;
}

emk_status emk_campaigns_due(emk_api *api, uint64_t now_s, emk_error *e)
{
    due q = {.api = api, .now_s = now_s, .d = {.p = emk_alloc(1, sizeof *q.d.p)}};
    emk_owned all = {.kind = EMK_KIND_PROPOSAL};
    emk_status st = q.d.p ? emk_api_each_owned(api, &all, act_when_due, &q, e)
                          : emk_fail(e, EMK_E_NO_MEMORY, "campaigns: no memory", 0);

    emk_free(q.d.p);
    return st;
}

static emk_status refuse(emk_call *call, emk_error *e)
{
    static const verdict V = {.from = "proposed", .to = "refused", .type = "campaign.refuse"};

    return decide(call, &V, e);
}

static emk_status withdraw(emk_call *call, emk_error *e)
{
    static const verdict V = {"approved", "withdrawing", "withdrawn", "campaign.withdraw",
                              EMK_FRAUD_ADMIN_UNBAN};

    return decide(call, &V, e);
}

#define OPERATOR(n, s) EMK_ADMIN_GATE(n, s, false, 1)
#define STEP_UP(n, s)                                                            \
    {                                                                            \
        .name = (n), .admits = EMK_PRINCIPAL_OPERATOR, .scopes = (s), .cost = 1, \
        .needs_step_up = true, .klass = EMK_GATE_CLASS_ALWAYS                    \
    }
#define JSON .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/campaigns",
     .gate = OPERATOR("listCampaigns", EMK_SCOPE_READ),
     .handle = list_campaigns},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/campaigns",
     JSON,
     .gate = OPERATOR("runCampaigns", EMK_SCOPE_RULES),
     .handle = run_job},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/campaigns/{id}",
     .gate = OPERATOR("getCampaign", EMK_SCOPE_READ),
     .handle = show_campaign},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/campaigns/{id}/approve",
     JSON,
     .gate = STEP_UP("approveCampaign", EMK_SCOPE_MODERATE),
     .handle = approve},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/campaigns/{id}/refuse",
     JSON,
     .gate = OPERATOR("refuseCampaign", EMK_SCOPE_MODERATE),
     .handle = refuse},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/campaigns/{id}/withdraw",
     JSON,
     .gate = STEP_UP("withdrawCampaign", EMK_SCOPE_MODERATE),
     .handle = withdraw},
};

const emk_route_table emk_routes_campaigns = {ROWS, sizeof ROWS / sizeof ROWS[0]};
