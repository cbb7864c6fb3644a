/* Lists, limits and the firewall: what operators set while the server runs.  Each change is
 * audited, stored, and in effect when its answer goes out; it is in effect again after a
 * restart. */
#include "server/api/admin_route.h"

#include "core/base/alloc.h"

#include <string.h>

#define IMPORT_MAX     (UINT64_C(256) * 1024)
#define IMPORT_ENTRIES 4096u /* networks at once */
#define NOTE_MAX       EMK_FIREWALL_TEXT_MAX

/* ---- lists ---- */

static emk_status list_entries(emk_call *call, emk_error *e)
{
    emk_admin_listing l = {
        .shape = &emk_list_shape, .id = EMK_ADMIN_ID_BYTES, .owner = call->params[0]};
    emk_admin_page page;

    if (!emk_admin_page_read(call, NULL, &page))
        return EMK_OK;
    if (l.owner.len > EMK_RECORD_OWNER_MAX) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    return emk_admin_list(call, &l, &page, e);
}

typedef struct entry_body {
    emk_span value, reason;
    uint64_t expires;
} entry_body;

static const emk_json_field ENTRY[] = {
    {"value", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, EMK_NAME_CAP - 1, offsetof(entry_body, value),
     NULL},
    {"reason", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 200, offsetof(entry_body, reason), NULL},
    {"expires", EMK_JSON_UINT, 0, 1, UINT32_MAX, offsetof(entry_body, expires), NULL},
};
static const emk_json_shape ENTRY_SHAPE = {ENTRY, 3};

static const char *list_object(emk_call *call)
{
    return emk_arena_format(&call->arena, "list:%.*s", (int)call->params[0].len,
                            (const char *)call->params[0].p);
}

/* The value may be a person's name: entries of the audit log are about its hash. */
static emk_status add_entry(emk_call *call, emk_error *e)
{
    emk_list_entity *entry = emk_arena_take(&call->arena, sizeof *entry);
    emk_admin_change change = {.type = "list.add", .was = "not there", .is = "there"};
    entry_body body = {.expires = 0};
    uint8_t id[32];
    emk_entity_put put = {.shape = &emk_list_shape,
                          .in = entry,
                          .id = emk_span_of(id, sizeof id),
                          .owner = call->params[0],
                          .expect = EMK_RECORD_ANY};
    emk_status st;

    if (!entry)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *entry);
    if (!emk_json_body(call, &ENTRY_SHAPE, &body) || !emk_admin_later(call, body.expires))
        return EMK_OK;
    if (call->params[0].len > EMK_RECORD_OWNER_MAX) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    st = emk_list_id(call->api->crypto, call->params[0], body.value, id, e);
    if (st != EMK_OK)
        return st;
    emk_admin_text(entry->list, sizeof entry->list, call->params[0]);
    emk_admin_text(entry->value, sizeof entry->value, body.value);
    emk_admin_text(entry->reason, sizeof entry->reason, body.reason);
    emk_admin_text(entry->by, sizeof entry->by, emk_span_str(emk_admin_who(call)));
    entry->created_s = emk_api_now(call->api);
    entry->expires_s = put.expires_s = body.expires;
    change.subject = put.id;
    change.why = body.reason;
    change.object = list_object(call);
    if (!emk_admin_audit(call, &change) || !emk_admin_store(call, &put))
        return EMK_OK;
    return emk_admin_one(call, &emk_list_shape, EMK_ADMIN_ID_BYTES, put.id, e);
}

static emk_status drop(emk_call *call, uint32_t kind, emk_span id, uint64_t expect, emk_error *e)
{
    emk_record_change gone = {.op = EMK_RECORD_DELETE, .kind = kind, .id = id, .expect = expect};
    emk_status st = emk_records_commit(&call->api->records, &gone, 1, NULL, e);

    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    else if (st == EMK_E_STALE)
        emk_admin_failed(call, st);
    return st == EMK_E_STALE ? EMK_OK : st;
}

static emk_status remove_entry(emk_call *call, emk_error *e)
{
    emk_list_entity *entry = emk_arena_take(&call->arena, sizeof *entry);
    emk_admin_change change = {.type = "list.remove", .was = "there", .is = "not there"};
    emk_record_info info;
    uint8_t id[32];

    if (!entry)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *entry);
    if (!emk_admin_param(call, 1, id, sizeof id) ||
        !emk_admin_find(call, &emk_list_shape, emk_span_of(id, 32), entry, &info))
        return EMK_OK;
    if (!emk_span_equal(emk_span_of(info.owner, info.owner_len), call->params[0])) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    change.subject = emk_span_of(id, 32);
    change.object = list_object(call);
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    return drop(call, EMK_KIND_LIST, emk_span_of(id, 32), info.version, e);
}

/* ---- limits ---- */

static const char *const BY[] = {"all", "route", "net", "user", "device", "name", "tenant"};
static const char *const UNITS[] = {"requests", "cost", "failures"};

static void put_limit(emk_json_out *o, emk_call *call, const emk_limit_rule *r)
{
    const emk_limit_rule *was = emk_admin_limit(call->api->admin, emk_span_str(r->name));

    emk_json_out_open(o, NULL, '{');
    emk_json_out_text(o, "name", emk_span_str(r->name));
    emk_json_out_text(o, "by", emk_span_str(BY[r->by]));
    emk_json_out_text(o, "unit", emk_span_str(UNITS[r->unit]));
    emk_json_out_uint(o, "quota", r->quota);
    emk_json_out_uint(o, "window_s", r->window_s);
    emk_json_out_uint(o, "burst", r->burst);
    emk_json_out_bool(o, "shadow", r->shadow);
    if (r->route)
        emk_json_out_text(o, "route", emk_span_str(r->route));
    if (r->limit_class)
        emk_json_out_uint(o, "limit_class", r->limit_class);
    emk_json_out_bool(o, "as_configured",
                      was && was->quota == r->quota && was->window_s == r->window_s &&
                          was->burst == r->burst && was->shadow == r->shadow);
    emk_json_out_close(o);
}

static emk_status list_limits(emk_call *call, emk_error *e)
{
    emk_limit_rule *rules = emk_arena_take(&call->arena, EMK_LIMIT_RULES_MAX * sizeof *rules);
    emk_json_out o;
    size_t n;

    if (!emk_admin_here(call) || !emk_admin_query_only(call, NULL))
        return EMK_OK;
    if (!rules || !call->api->limits)
        return emk_fail(e, EMK_E_BUSY, "admin: no limits here", 0);
    n = emk_limits_rules(call->api->limits, rules);
    emk_admin_items_open(&o, call);
    for (size_t i = 0; i < n; i++)
        put_limit(&o, call, &rules[i]);
    return emk_admin_items_reply(&o, call, emk_span_of(NULL, 0), false, e);
}

typedef struct limit_body {
    uint64_t quota, window_s, burst;
    bool shadow;
} limit_body;

static const emk_json_field LIMIT[] = {
    {"quota", EMK_JSON_UINT, EMK_JSON_REQUIRED, 1, EMK_LIMIT_UNITS_MAX, offsetof(limit_body, quota),
     NULL},
    {"window_s", EMK_JSON_UINT, EMK_JSON_REQUIRED, 1, 31536000, offsetof(limit_body, window_s),
     NULL},
    {"burst", EMK_JSON_UINT, 0, 1, EMK_LIMIT_UNITS_MAX, offsetof(limit_body, burst), NULL},
    {"shadow", EMK_JSON_BOOL, EMK_JSON_REQUIRED, 0, 0, offsetof(limit_body, shadow), NULL},
};
static const emk_json_shape LIMIT_SHAPE = {LIMIT, 4};

static bool find_limit(emk_call *call, emk_limit_rule *out)
{
    emk_limit_rule *rules = emk_arena_take(&call->arena, EMK_LIMIT_RULES_MAX * sizeof *rules);
    size_t n = rules && call->api->limits ? emk_limits_rules(call->api->limits, rules) : 0;

    for (size_t i = 0; i < n; i++)
        if (emk_span_equal(call->params[0], emk_span_str(rules[i].name))) {
            *out = rules[i];
            return true;
        }
    emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
    return false;
}

static const char *limit_text(emk_call *call, uint64_t quota, uint64_t window_s, uint64_t burst,
                              bool shadow)
{
    return emk_arena_format(&call->arena, "%llu in %llu s, burst %llu%s", (unsigned long long)quota,
                            (unsigned long long)window_s, (unsigned long long)burst,
                            shadow ? ", shadow" : "");
}

static bool audit_limit(emk_call *call, const emk_limit_rule *was, const emk_limit_change *to)
{
    emk_admin_change change = {.type = "limit.set", .object = was->name};

    change.was = limit_text(call, was->quota, was->window_s, was->burst, was->shadow);
    change.is =
        limit_text(call, to->quota, to->window_s, to->burst ? to->burst : to->quota, to->shadow);
    return emk_admin_audit(call, &change);
}

/* Tried on the table first: numbers that make no sense change nothing. */
static emk_status set_limit_locked(emk_call *call, const emk_limit_change *to,
                                   const emk_limit_rule *was, emk_error *e)
{
    emk_limit_change back = {was->quota, was->window_s, was->burst, was->shadow};
    emk_limit_entity entity = {.quota = to->quota,
                               .per_s = to->window_s,
                               .burst = to->burst,
                               .shadow = to->shadow,
                               .changed_s = emk_api_now(call->api)};
    emk_entity_put put = {.shape = &emk_limit_shape,
                          .in = &entity,
                          .id = emk_span_str(was->name),
                          .expect = EMK_RECORD_ANY};
    emk_status st = emk_limits_change(call->api->limits, was->name, to, e);

    if (st == EMK_E_USAGE) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "these numbers make no sense together");
        return EMK_OK;
    }
    if (st == EMK_OK)
        st = emk_limits_change(call->api->limits, was->name, &back, e);
    if (st != EMK_OK)
        return st;
    emk_admin_text(entity.name, sizeof entity.name, emk_span_str(was->name));
    emk_admin_text(entity.by, sizeof entity.by, emk_span_str(emk_admin_who(call)));
    if (!audit_limit(call, was, to) || !emk_admin_store(call, &put))
        return EMK_OK;
    st = emk_limits_change(call->api->limits, was->name, to, e);
    if (st == EMK_OK)
        emk_reply_empty(call, 204);
    return st;
}

static emk_status set_limit(emk_call *call, emk_error *e)
{
    limit_body body = {.shadow = false};
    emk_limit_change to;
    emk_limit_rule was;
    emk_status st;

    if (!emk_admin_here(call) || !emk_json_body(call, &LIMIT_SHAPE, &body))
        return EMK_OK;
    to = (emk_limit_change){body.quota, body.window_s, body.burst, body.shadow};
    emk_admin_take(call->api->admin);
    st = find_limit(call, &was) ? set_limit_locked(call, &to, &was, e) : EMK_OK;
    emk_admin_give(call->api->admin);
    return st;
}

/* Back to what is configured. */
static emk_status reset_limit_locked(emk_call *call, emk_error *e)
{
    const emk_limit_rule *configured = emk_admin_limit(call->api->admin, call->params[0]);
    emk_limit_change to;
    emk_limit_rule was;
    emk_status st;

    if (!configured || !find_limit(call, &was)) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    to = (emk_limit_change){configured->quota, configured->window_s, configured->burst,
                            configured->shadow};
    if (!audit_limit(call, &was, &to))
        return EMK_OK;
    st = drop(call, EMK_KIND_LIMIT, call->params[0], EMK_RECORD_ANY, e);
    return st == EMK_OK ? emk_limits_change(call->api->limits, configured->name, &to, e) : st;
}

static emk_status reset_limit(emk_call *call, emk_error *e)
{
    emk_status st;

    if (!emk_admin_here(call))
        return EMK_OK;
    emk_admin_take(call->api->admin);
    st = reset_limit_locked(call, e);
    emk_admin_give(call->api->admin);
    return st;
}

/* ---- firewall ---- */

static emk_status list_walls(emk_call *call, emk_error *e)
{
    emk_admin_listing l = {.shape = &emk_wall_shape, .id = EMK_ADMIN_ID_BYTES};
    emk_admin_page page;

    return emk_admin_page_read(call, NULL, &page) ? emk_admin_list(call, &l, &page, e) : EMK_OK;
}

typedef struct wall_body {
    emk_span prefix, action, reason;
    uint64_t expires;
} wall_body;

static const emk_json_field WALL[] = {
    {"prefix", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, EMK_NET_TEXT_MAX, offsetof(wall_body, prefix),
     NULL},
    {"action", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 16, offsetof(wall_body, action), NULL},
    {"reason", EMK_JSON_TEXT, 0, 1, NOTE_MAX, offsetof(wall_body, reason), NULL},
    {"expires", EMK_JSON_UINT, 0, 1, UINT32_MAX, offsetof(wall_body, expires), NULL},
};
static const emk_json_shape WALL_SHAPE = {WALL, 4};

static bool read_wall(emk_call *call, emk_firewall_entry *out)
{
    wall_body body = {.expires = 0};
    emk_error ignored;

    *out = (emk_firewall_entry){.expires = 0};
    if (!emk_json_body(call, &WALL_SHAPE, &body) || !emk_admin_later(call, body.expires))
        return false;
    if (emk_net_parse(body.prefix, &out->net, &ignored) != EMK_OK) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "prefix: not a network");
        return false;
    }
    if (emk_wall_action(body.action, out, &ignored) != EMK_OK) {
        emk_problem_set(call, EMK_API_INVALID_BODY,
                        "action: allow, deny, challenge or limit:1 to limit:15");
        return false;
    }
    out->expires = body.expires;
    emk_admin_text(out->reason, sizeof out->reason, body.reason);
    emk_admin_text(out->origin, sizeof out->origin, emk_span_str("operator"));
    emk_admin_text(out->by, sizeof out->by, emk_span_str(emk_admin_who(call)));
    return true;
}

static const char *action_text(emk_call *call, const emk_firewall_entry *entry)
{
    static const char *const NAMES[] = {"none", "allow", "limit", "challenge", "deny"};

    if (entry->action != EMK_FIREWALL_LIMIT)
        return NAMES[entry->action];
    return emk_arena_format(&call->arena, "limit:%u", (unsigned)entry->limit_class);
}

static emk_status wall_change(emk_call *call, const emk_firewall_entry *entry, emk_wall_entity *w,
                              emk_entity_change *out, emk_error *e)
{
    emk_entity_put put = {
        .shape = &emk_wall_shape, .in = w, .expect = EMK_RECORD_ANY, .expires_s = entry->expires};
    const char *action = action_text(call, entry);

    memset(w, 0, sizeof *w);
    emk_net_format(&entry->net, w->prefix);
    emk_admin_text(w->action, sizeof w->action, emk_span_str(action ? action : "?"));
    emk_admin_text(w->reason, sizeof w->reason, emk_span_str(entry->reason));
    emk_admin_text(w->origin, sizeof w->origin, emk_span_str(entry->origin));
    emk_admin_text(w->by, sizeof w->by, emk_span_str(entry->by));
    w->created_s = emk_api_now(call->api);
    w->expires_s = entry->expires;
    put.id = emk_span_str(w->prefix);
    return emk_entity_change_make(&put, out, e);
}

/* The value before, for the log. */
static const char *wall_was(emk_call *call, const char *prefix)
{
    emk_wall_entity *w = emk_arena_take(&call->arena, sizeof *w);
    emk_error ignored;

    if (w && emk_entity_get(&call->api->records, &emk_wall_shape, emk_span_str(prefix), w, NULL,
                            &ignored) == EMK_OK)
        return w->action;
    return "none";
}

static emk_status add_wall_locked(emk_call *call, const emk_firewall_entry *entry, emk_error *e)
{
    emk_wall_entity *w = emk_arena_take(&call->arena, sizeof *w);
    emk_admin_change change = {.type = "firewall.add",
                               .why = emk_span_str(entry->reason),
                               .always = entry->action == EMK_FIREWALL_DENY};
    emk_firewall_set *with = NULL;
    emk_entity_change put;
    emk_status st;

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *w);
    st = emk_admin_firewall_with(call->api, entry, &with, e);
    if (st == EMK_OK)
        st = wall_change(call, entry, w, &put, e);
    if (st != EMK_OK) {
        emk_firewall_set_free(with);
        return st;
    }
    change.object = emk_arena_format(&call->arena, "net:%s", w->prefix);
    change.was = wall_was(call, w->prefix);
    change.is = w->action;
    if (!emk_admin_audit(call, &change)) {
        emk_entity_change_done(&put);
        emk_firewall_set_free(with);
        return EMK_OK;
    }
    st = emk_records_commit(&call->api->records, &put.change, 1, NULL, e);
    emk_entity_change_done(&put);
    if (st == EMK_OK)
        emk_firewall_swap(call->api->firewall, with);
    else
        emk_firewall_set_free(with);
    return st == EMK_OK ? emk_admin_one(call, &emk_wall_shape, EMK_ADMIN_ID_BYTES,
                                        emk_span_str(w->prefix), e)
                        : st;
}

static bool has_firewall(emk_call *call)
{
    if (!emk_admin_here(call))
        return false;
    if (call->api->firewall)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

/* Whoever locks out themselves needs the console of the machine: that is refused. */
static bool hits_me(emk_call *call, const emk_firewall_entry *entry)
{
    if (entry->action != EMK_FIREWALL_DENY || !emk_net_contains(&entry->net, &call->gate.client))
        return false;
    emk_problem_set(call, EMK_API_POLICY, "this would shut out your own address");
    return true;
}

static emk_status add_wall(emk_call *call, emk_error *e)
{
    emk_firewall_entry entry;
    emk_status st;

    if (!has_firewall(call) || !read_wall(call, &entry) || hits_me(call, &entry))
        return EMK_OK;
    emk_admin_take(call->api->admin);
    st = add_wall_locked(call, &entry, e);
    emk_admin_give(call->api->admin);
    return st;
}

static emk_status remove_wall_locked(emk_call *call, emk_span prefix, emk_error *e)
{
    emk_wall_entity *w = emk_arena_take(&call->arena, sizeof *w);
    emk_admin_change change = {.type = "firewall.remove", .is = "none"};
    emk_record_info info;
    emk_status st;

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", sizeof *w);
    if (!emk_admin_find(call, &emk_wall_shape, prefix, w, &info))
        return EMK_OK;
    change.object = emk_arena_format(&call->arena, "net:%s", w->prefix);
    change.was = w->action;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    st = drop(call, EMK_KIND_WALL, prefix, info.version, e);
    if (st == EMK_OK && call->response.status == 204)
        st = emk_admin_firewall_apply(call->api, e);
    return st;
}

static emk_status remove_wall(emk_call *call, emk_error *e)
{
    uint8_t prefix[EMK_RECORD_ID_MAX];
    size_t len = 0;
    emk_status st;

    if (!has_firewall(call) || !emk_admin_param_some(call, 0, prefix, sizeof prefix, &len))
        return EMK_OK;
    emk_admin_take(call->api->admin);
    st = remove_wall_locked(call, emk_span_of(prefix, len), e);
    emk_admin_give(call->api->admin);
    return st;
}

static emk_status try_wall(emk_call *call, emk_error *e)
{
    emk_firewall_set *with = NULL;
    emk_firewall_entry entry;
    emk_firewall_trial t;
    emk_json_out o;
    emk_status st;

    if (!has_firewall(call) || !read_wall(call, &entry))
        return EMK_OK;
    emk_admin_take(call->api->admin);
    st = emk_admin_firewall_with(call->api, &entry, &with, e);
    emk_admin_give(call->api->admin);
    if (st != EMK_OK)
        return st;
    t = emk_admin_firewall_try(call->api, with);
    emk_firewall_set_free(with);
    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "clients", t.n_clients);
    emk_json_out_uint(&o, "changed", t.changed);
    emk_json_out_uint(&o, "allowed", t.by_action[EMK_FIREWALL_ALLOW]);
    emk_json_out_uint(&o, "limited", t.by_action[EMK_FIREWALL_LIMIT]);
    emk_json_out_uint(&o, "challenged", t.by_action[EMK_FIREWALL_CHALLENGE]);
    emk_json_out_uint(&o, "denied", t.by_action[EMK_FIREWALL_DENY]);
    emk_json_out_bool(&o, "you",
                      entry.action == EMK_FIREWALL_DENY &&
                          emk_net_contains(&entry.net, &call->gate.client));
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

typedef struct exporting {
    emk_buf text;
    emk_status st;
    emk_error *e;
} exporting;

static void export_set(void *self, const emk_firewall_set *set)
{
    exporting *x = self;

    x->st = emk_firewall_export(set, &x->text, x->e);
}

/* All that counts now, the configuration's part included. */
static emk_status export_walls(emk_call *call, emk_error *e)
{
    exporting x = {.e = e};

    if (!has_firewall(call) || !emk_admin_query_only(call, NULL))
        return EMK_OK;
    emk_buf_init(&x.text, 64u << 20);
    emk_firewall_look(call->api->firewall, export_set, &x);
    if (x.st != EMK_OK) {
        emk_buf_done(&x.text);
        return x.st;
    }
    return emk_admin_reply_buf(call, "text/plain", &x.text, e);
}

/* Puts entries [from, from + n) in one batch. */
static emk_status import_batch(emk_call *call, const emk_firewall_set *set, size_t from, size_t n,
                               emk_error *e)
{
    emk_entity_change puts[EMK_RECORD_BATCH_MAX];
    emk_record_change changes[EMK_RECORD_BATCH_MAX];
    emk_wall_entity *w = emk_alloc(n, sizeof *w);
    emk_status st = w ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "admin: memory", n);
    size_t made = 0;

    for (; st == EMK_OK && made < n; made++) {
        emk_firewall_entry entry = *emk_firewall_set_get(set, from + made);

        emk_admin_text(entry.by, sizeof entry.by, emk_span_str(emk_admin_who(call)));
        if (!entry.origin[0])
            emk_admin_text(entry.origin, sizeof entry.origin, emk_span_str("import"));
        st = wall_change(call, &entry, &w[made], &puts[made], e);
        if (st != EMK_OK)
            break;
        changes[made] = puts[made].change;
    }
    if (st == EMK_OK)
        st = emk_records_commit(&call->api->records, changes, n, NULL, e);
    for (size_t i = 0; i < made; i++)
        emk_entity_change_done(&puts[i]);
    emk_free(w);
    return st;
}

static bool import_is_sound(emk_call *call, const emk_firewall_set *set)
{
    uint64_t now = emk_api_now(call->api);
    emk_firewall_hit me = emk_firewall_set_find(set, &call->gate.client, now);

    for (size_t i = 1; i < emk_firewall_set_count(set); i++)
        for (size_t k = 0; k < i; k++) {
            const emk_net *a = &emk_firewall_set_get(set, i)->net;
            const emk_net *b = &emk_firewall_set_get(set, k)->net;

            if (a->bits == b->bits && emk_address_equal(&a->base, &b->base)) {
                emk_problem_set(call, EMK_API_INVALID_BODY, "a network comes twice");
                return false;
            }
        }
    if (me.action != EMK_FIREWALL_DENY)
        return true;
    emk_problem_set(call, EMK_API_POLICY, "this would shut out your own address");
    return false;
}

static emk_status import_locked(emk_call *call, const emk_firewall_set *set, emk_error *e)
{
    size_t n = emk_firewall_set_count(set);
    emk_admin_change change = {.type = "firewall.import", .object = "firewall"};
    emk_json_out o;
    emk_status st = EMK_OK;

    change.is = emk_arena_format(&call->arena, "%zu entries", n);
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    for (size_t at = 0; st == EMK_OK && at < n; at += EMK_RECORD_BATCH_MAX) {
        size_t left = n - at;

        st = import_batch(call, set, at, left < EMK_RECORD_BATCH_MAX ? left : EMK_RECORD_BATCH_MAX,
                          e);
    }
    if (st == EMK_OK)
        st = emk_admin_firewall_apply(call->api, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_init(&o, &call->arena, 256);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, "imported", n);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* Adds to what is there, and replaces entries of the same networks. */
static emk_status import_walls(emk_call *call, emk_error *e)
{
    emk_firewall_set *set = NULL;
    emk_error why = {0};
    emk_status st;

    if (!has_firewall(call))
        return EMK_OK;
    if (call->body.len == 0) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "there is no list");
        return EMK_OK;
    }
    st = emk_firewall_import(call->body, &set, &why);
    if (st == EMK_E_FORMAT || st == EMK_E_LIMIT) {
        const char *text = emk_arena_format(&call->arena, "line %llu: %s",
                                            (unsigned long long)why.where, why.what);

        emk_problem_set(call, EMK_API_INVALID_BODY, text);
        return EMK_OK;
    }
    if (st != EMK_OK)
        return emk_fail(e, st, why.what, why.where);
    if (emk_firewall_set_count(set) > IMPORT_ENTRIES)
        emk_problem_set(call, EMK_API_TOO_LARGE, "at most 4096 networks at once");
    else if (import_is_sound(call, set)) {
        emk_admin_take(call->api->admin);
        st = import_locked(call, set, e);
        emk_admin_give(call->api->admin);
    }
    emk_firewall_set_free(set);
    return st;
}

#define OPERATOR(n, s) EMK_ADMIN_GATE(n, s, false, 1)
#define JSON           .content_type = "application/json", .body_max = 4096

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/lists/{list}",
     .gate = OPERATOR("listEntries", EMK_SCOPE_READ),
     .handle = list_entries},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/lists/{list}",
     JSON,
     .gate = OPERATOR("addEntry", EMK_SCOPE_MODERATE),
     .handle = add_entry},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/lists/{list}/{id}",
     .gate = OPERATOR("removeEntry", EMK_SCOPE_MODERATE),
     .handle = remove_entry},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/limits",
     .gate = OPERATOR("listLimits", EMK_SCOPE_READ),
     .handle = list_limits},
    {.method = EMK_HTTP_PUT,
     .path = "/v1/admin/limits/{name}",
     JSON,
     .gate = OPERATOR("setLimit", EMK_SCOPE_MODERATE),
     .handle = set_limit},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/limits/{name}",
     .gate = OPERATOR("resetLimit", EMK_SCOPE_MODERATE),
     .handle = reset_limit},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/firewall",
     .gate = OPERATOR("listWalls", EMK_SCOPE_READ),
     .handle = list_walls},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/firewall",
     JSON,
     .gate = OPERATOR("addWall", EMK_SCOPE_MODERATE),
     .handle = add_wall},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/admin/firewall/{id}",
     .gate = OPERATOR("removeWall", EMK_SCOPE_MODERATE),
     .handle = remove_wall},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/firewall/try",
     JSON,
     .gate = OPERATOR("tryWall", EMK_SCOPE_READ),
     .handle = try_wall},
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/firewall/export",
     .gate = OPERATOR("exportWalls", EMK_SCOPE_READ),
     .handle = export_walls},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/firewall/import",
     .content_type = "text/plain",
     .body_max = IMPORT_MAX,
     .gate = OPERATOR("importWalls", EMK_SCOPE_MODERATE),
     .handle = import_walls},
};

const emk_route_table emk_routes_admin_rules = {ROWS, sizeof ROWS / sizeof ROWS[0]};
