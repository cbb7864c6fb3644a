/* From YAML to a compiled set: the head, and everything that is no feature and no rule. */
#include "server/fraud/internal.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/crypto/hash.h"

#include <stdio.h>

#define VERSION_MAX         1000000u
#define SALT_MAX            128u
#define DAY_MS              UINT64_C(86400000)
#define EXPLORE_PERCENT_MAX 10
#define EXPLORE_HOUR_MAX    100000u
#define EXPLORE_COST        10000 /* thousandths */

const char *const EMK_FRAUD_ENTITY_NAME[EMK_FRAUD_ENTITIES + 1] = {
    "user", "device", "session", "net", "asn", "artifact", "build", "key", "payment", NULL};
const char *const EMK_FRAUD_ACTION_NAME[EMK_FRAUD_ACTIONS + 1] = {
    "allow", "observe", "challenge", "throttle", "mark", "deny", "ban", NULL};
const char *const EMK_FRAUD_EFFECT_NAME[9] = {"revoke_session", "revoke_grants", "revoke_key",
                                              "open_case",      "alert_owner",   "page",
                                              "reattest",       "hold_generate", NULL};
const emk_fraud_field ENTITY_FIELD[EMK_FRAUD_ENTITIES] = {
    EMK_FRAUD_F_USER,      EMK_FRAUD_F_DEVICE, EMK_FRAUD_F_SESSION,
    EMK_FRAUD_F_NET,       EMK_FRAUD_F_ASN,    EMK_FRAUD_F_ARTIFACT,
    EMK_FRAUD_F_APP_BUILD, EMK_FRAUD_F_KEY,    EMK_FRAUD_F_PAYMENT};

static void set_defaults(emk_fraud_ruleset *rs)
{
    static const action_row rows[EMK_FRAUD_ACTIONS] = {
        [EMK_FRAUD_OBSERVE] = {3000, 2000, DAY_MS, 0},
        [EMK_FRAUD_CHALLENGE] = {6000, 4000, DAY_MS / 24, 0},
        [EMK_FRAUD_THROTTLE] = {9000, 6000, DAY_MS / 4, 250},
        [EMK_FRAUD_MARK] = {12000, 8000, DAY_MS / 4, 0},
        [EMK_FRAUD_DENY] = {14000, 9000, DAY_MS, 0},
        [EMK_FRAUD_BAN] = {24000, 24000, 30 * DAY_MS, 0}};
    static const int64_t link[EMK_FRAUD_ENTITIES] = {1000, 1000, 1000, 250, 100, 0, 0, 1000, 500};

    memcpy(rs->action, rows, sizeof rows);
    memcpy(rs->link, link, sizeof link);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        rs->slab_len[i] = sizeof(slab);
    rs->ban.base_ms = DAY_MS;
    rs->ban.max_ms = 90 * DAY_MS;
    rs->ban.forgive_ms = 30 * DAY_MS;
    rs->ban.factor = 4;
    rs->detection_paranoia = rs->blocking_paranoia = 1;
    rs->allow_list = NO_INDEX;
}

static emk_status load_salt(const emk_crypto *c, loader *l, const emk_yaml_node *n)
{
    static const char context[] = "earmark fraud ruleset 1";
    char salt[SALT_MAX] = "";
    uint8_t digest[32];
    emk_span parts[2];
    emk_status st = n ? emk_yaml_text(n, salt, sizeof salt, l->d, l->e) : EMK_OK;

    if (st != EMK_OK)
        return st;
    parts[0] = emk_span_of(context, sizeof context);
    parts[1] = emk_span_str(salt);
    st = emk_sha256(c, parts, 2, digest, l->e);
    if (st == EMK_OK) {
        l->rs->key[0] = emk_load_u64le(digest);
        l->rs->key[1] = emk_load_u64le(digest + 8);
    }
    return st;
}

static emk_status small(loader *l, const emk_yaml_node *m, const char *key, uint64_t max,
                        unsigned *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);
    uint64_t v = 0;
    emk_status st;

    if (!n)
        return EMK_OK;
    st = emk_yaml_u64(n, max, &v, l->d, l->e);
    if (st == EMK_OK)
        *out = (unsigned)v;
    return st;
}

static emk_status load_head(const emk_crypto *c, loader *l, const emk_yaml_node *m)
{
    static const char *const keys[] = {
        "name",    "version", "detection_paranoia", "blocking_paranoia", "sample_salt",
        "rollout", NULL};
    emk_fraud_ruleset *rs = l->rs;
    const emk_yaml_node *n;
    emk_status st = emk_yaml_check_keys(m, keys, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_need(m, "name", &n, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_text(n, rs->name, sizeof rs->name, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(m, "version", &n, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_u64(n, VERSION_MAX, &rs->version, l->d, l->e);
    if (st == EMK_OK)
        st = small(l, m, "detection_paranoia", 4, &rs->detection_paranoia);
    if (st == EMK_OK)
        st = small(l, m, "blocking_paranoia", 4, &rs->blocking_paranoia);
    if (st == EMK_OK)
        st = small(l, m, "rollout", 100, &rs->rollout);
    if (st == EMK_OK && rs->blocking_paranoia > rs->detection_paranoia)
        st = emk_yaml_refuse(m, l->d, l->e, "rules: paranoia",
                             "blocking_paranoia is above detection_paranoia: what blocks must be "
                             "detected; raise detection_paranoia");
    return st == EMK_OK ? load_salt(c, l, emk_yaml_get(m, "sample_salt")) : st;
}

static emk_status load_families(loader *l, const emk_yaml_node *m)
{
    static const char *const keys[] = {"cap", NULL};
    emk_fraud_ruleset *rs = l->rs;
    emk_status st = emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e);

    for (const emk_yaml_node *v = st == EMK_OK ? m->first : NULL; v && st == EMK_OK; v = v->next) {
        const emk_yaml_node *cap;
        unsigned i = rs->n_families;

        if (i == EMK_FRAUD_FAMILIES_MAX)
            return emk_yaml_refuse(v, l->d, l->e, "rules: families", "at most %u families",
                                   EMK_FRAUD_FAMILIES_MAX);
        st = emk_yaml_check_keys(v, keys, l->d, l->e);
        if (st == EMK_OK)
            st = emk_yaml_text(v->key, rs->family[i].name, NAME_MAX_, l->d, l->e);
        if (st == EMK_OK)
            st = emk_yaml_need(v, "cap", &cap, l->d, l->e);
        if (st == EMK_OK)
            st = emk_yaml_milli(cap, &rs->family[i].cap, l->d, l->e);
        if (st == EMK_OK && (rs->family[i].cap <= 0 || rs->family[i].cap > 1000000))
            st = emk_yaml_refuse(cap, l->d, l->e, "rules: cap", "a cap is above 0, up to 1000");
        rs->n_families++;
    }
    return st;
}

static emk_status optional_milli(loader *l, const emk_yaml_node *m, const char *key, int64_t *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);

    return n ? emk_yaml_milli(n, out, l->d, l->e) : EMK_OK;
}

static emk_status optional_ms(loader *l, const emk_yaml_node *m, const char *key, uint64_t *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);

    return n ? emk_yaml_duration_ms(n, out, l->d, l->e) : EMK_OK;
}

static emk_status load_ban(loader *l, const emk_yaml_node *m)
{
    static const char *const keys[] = {"base", "factor", "max", "forgive", NULL};
    emk_status st = m ? emk_yaml_check_keys(m, keys, l->d, l->e) : EMK_OK;

    if (!m || st != EMK_OK)
        return st;
    st = optional_ms(l, m, "base", &l->rs->ban.base_ms);
    if (st == EMK_OK)
        st = optional_ms(l, m, "max", &l->rs->ban.max_ms);
    if (st == EMK_OK)
        st = optional_ms(l, m, "forgive", &l->rs->ban.forgive_ms);
    return st == EMK_OK ? small(l, m, "factor", 100, &l->rs->ban.factor) : st;
}

/* What deny and ban need is no choice: the file says it so that readers see it. */
static emk_status check_needs(loader *l, const emk_yaml_node *m, size_t action)
{
    const emk_yaml_node *n = emk_yaml_get(m, "needs");
    const char *must = action == EMK_FRAUD_DENY  ? "hard_or_2_families"
                       : action == EMK_FRAUD_BAN ? "hard_or_human"
                                                 : NULL;

    if (!n || (must && emk_yaml_is(n, must)))
        return EMK_OK;
    return emk_yaml_refuse(n, l->d, l->e, "rules: needs",
                           must ? "this action needs %s; write that" : "no \"needs\" here%s",
                           must ? must : "");
}

static emk_status load_action(loader *l, const emk_yaml_node *v)
{
    static const char *const keys[] = {"enter",  "leave", "ttl",      "kind",
                                       "factor", "needs", "escalate", NULL};
    action_row *row;
    size_t i;
    emk_status st = emk_yaml_choice(v->key, EMK_FRAUD_ACTION_NAME, &i, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_check_keys(v, keys, l->d, l->e);
    if (st == EMK_OK && i == EMK_FRAUD_ALLOW)
        st = emk_yaml_refuse(v, l->d, l->e, "rules: actions", "allow has no row");
    if (st != EMK_OK)
        return st;
    row = &l->rs->action[i];
    st = optional_milli(l, v, "enter", &row->enter);
    row->leave = row->leave > row->enter ? row->enter : row->leave;
    if (st == EMK_OK)
        st = optional_milli(l, v, "leave", &row->leave);
    if (st == EMK_OK)
        st = optional_milli(l, v, "factor", &row->factor);
    if (st == EMK_OK)
        st = optional_ms(l, v, "ttl", &row->ttl_ms);
    if (st == EMK_OK)
        st = check_needs(l, v, i);
    if (st == EMK_OK)
        st = load_ban(l, emk_yaml_get(v, "escalate"));
    if (st == EMK_OK && (row->enter <= 0 || row->leave < 0 || row->leave > row->enter))
        st = emk_yaml_refuse(v, l->d, l->e, "rules: actions",
                             "enter must be above 0 and leave from 0 to enter");
    return st;
}

static emk_status load_actions(loader *l, const emk_yaml_node *m)
{
    emk_status st = m ? emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e) : EMK_OK;
    int64_t last = 0;

    for (const emk_yaml_node *v = m && st == EMK_OK ? m->first : NULL; v && st == EMK_OK;
         v = v->next)
        st = load_action(l, v);
    for (unsigned i = EMK_FRAUD_OBSERVE; st == EMK_OK && i < EMK_FRAUD_ACTIONS; i++) {
        if (l->rs->action[i].enter < last)
            st = emk_yaml_refuse(m, l->d, l->e, "rules: actions",
                                 "%s begins below the action before it; let enter grow from "
                                 "observe to ban",
                                 EMK_FRAUD_ACTION_NAME[i]);
        last = l->rs->action[i].enter;
    }
    return st;
}

/* Off unless it is there; the budget has no default, so that somebody has thought of it. */
static emk_status load_explore(loader *l, const emk_yaml_node *m)
{
    static const char *const keys[] = {"percent", "per_hour", "max_cost", NULL};
    emk_fraud_ruleset *rs = l->rs;
    const emk_yaml_node *percent, *per_hour;
    int64_t milli = 0;
    uint64_t n = 0;
    emk_status st = m ? emk_yaml_check_keys(m, keys, l->d, l->e) : EMK_OK;

    if (!m || st != EMK_OK)
        return st;
    rs->explore.max_cost = EXPLORE_COST;
    st = emk_yaml_need(m, "percent", &percent, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_milli(percent, &milli, l->d, l->e);
    if (st == EMK_OK && (milli <= 0 || milli > EXPLORE_PERCENT_MAX * INT64_C(1000)))
        st = emk_yaml_refuse(percent, l->d, l->e, "rules: explore",
                             "percent is above 0, up to %d: so many of the soft refusals are let "
                             "through",
                             EXPLORE_PERCENT_MAX);
    if (st == EMK_OK)
        st = emk_yaml_need(m, "per_hour", &per_hour, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_u64(per_hour, EXPLORE_HOUR_MAX, &n, l->d, l->e);
    if (st == EMK_OK)
        st = optional_milli(l, m, "max_cost", &rs->explore.max_cost);
    rs->explore.ppm = (uint32_t)(milli * 10);
    rs->explore.per_hour = (unsigned)n;
    return st;
}

static emk_status load_links(loader *l, const emk_yaml_node *m)
{
    emk_status st = m ? emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e) : EMK_OK;

    for (const emk_yaml_node *v = m && st == EMK_OK ? m->first : NULL; v && st == EMK_OK;
         v = v->next) {
        size_t i = 0;

        st = emk_yaml_choice(v->key, EMK_FRAUD_ENTITY_NAME, &i, l->d, l->e);
        if (st == EMK_OK)
            st = emk_yaml_milli(v, &l->rs->link[i], l->d, l->e);
        if (st == EMK_OK && (l->rs->link[i] < 0 || l->rs->link[i] > 1000))
            st = emk_yaml_refuse(v, l->d, l->e, "rules: links", "a weight is from 0 to 1");
    }
    return st;
}

static emk_status load_plan(loader *l, const emk_yaml_node *m)
{
    emk_status st = m ? emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e) : EMK_OK;

    for (const emk_yaml_node *v = m && st == EMK_OK ? m->first : NULL; v && st == EMK_OK;
         v = v->next) {
        emk_fraud_field f;
        char name[NAME_MAX_];

        snprintf(name, sizeof name, "plan.%.40s", v->key->text);
        if (!emk_fraud_field_find(emk_span_str(name), &f))
            return emk_yaml_refuse(v->key, l->d, l->e, "rules: plan",
                                   "a plan has no \"%.40s\"; see docs/spec/fraud-events.md",
                                   v->key->text);
        st = emk_yaml_milli(v, &l->rs->plan[f], l->d, l->e);
        l->rs->plan_has |= UINT64_C(1) << f;
    }
    return st;
}

/* Where each feature lies in its entity's memory: those that need a multiple of eight first. */
static void place_features(emk_fraud_ruleset *rs, bool wide)
{
    for (unsigned i = 0; i < rs->n_features; i++) {
        feature *f = &rs->features[i];

        if (emk_fraud_feature_is_wide(f) != wide)
            continue;
        f->size = emk_fraud_feature_size(f);
        if (f->kind == FK_SKETCH) {
            f->offset = rs->n_sketches++;
        } else {
            f->offset = rs->slab_len[f->entity];
            rs->slab_len[f->entity] += f->size;
            rs->entities |= UINT64_C(1) << f->entity;
        }
    }
}

/* Fields whose hash a feature asks for whenever it is touched. */
static uint64_t hashes_of(const feature *f)
{
    switch (f->kind) {
    case FK_DISTINCT:
    case FK_INFLIGHT:
    case FK_SEEN:
    case FK_KNOWN:
        return UINT64_C(1) << f->of;
    case FK_GEO:
        return UINT64_C(1) << EMK_FRAUD_F_NET;
    case FK_SKETCH:
        return UINT64_C(1) << f->key;
    default:
        return 0;
    }
}

static void hash_names(emk_fraud_ruleset *rs)
{
    uint64_t names = UINT64_C(1) << EMK_FRAUD_F_ID | UINT64_C(1) << EMK_FRAUD_F_TENANT;

    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        if (rs->entities >> i & 1)
            names |= UINT64_C(1) << ENTITY_FIELD[i];
    }
    for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++)
        rs->hash_of_type[t] |= names;
}

/* What each event type touches, and how long the memory of an entity becomes. */
static emk_status lay_out(loader *l, const emk_yaml_node *root)
{
    emk_fraud_ruleset *rs = l->rs;

    place_features(rs, true);
    place_features(rs, false);
    for (unsigned i = 0; i < rs->n_features; i++) {
        const feature *f = &rs->features[i];

        for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++) {
            if (!((f->on | f->off) >> t & 1))
                continue;
            rs->of_type[t][rs->n_of_type[t]++] = (uint16_t)i;
            rs->hash_of_type[t] |= hashes_of(f);
        }
    }
    for (unsigned i = 0; i < rs->n_rules; i++) {
        rs->entities |= UINT64_C(1) << rs->rules[i].entity;
        for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++) {
            if (rs->rules[i].on >> t & 1)
                rs->rules_of_type[t][rs->n_rules_of_type[t]++] = (uint16_t)i;
        }
    }
    hash_names(rs);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        rs->slab_len[i] = (rs->slab_len[i] + 7) & ~UINT32_C(7);
        if (rs->slab_len[i] > 8192)
            return emk_yaml_refuse(root, l->d, l->e, "rules: features",
                                   "the features of one %s take %u bytes; 8192 is the limit",
                                   EMK_FRAUD_ENTITY_NAME[i], rs->slab_len[i]);
    }
    return EMK_OK;
}

static emk_status load_allow(loader *l, const emk_yaml_node *n)
{
    for (unsigned i = 0; n && i < l->rs->n_lists; i++) {
        if (emk_yaml_is(n, l->rs->lists[i].name))
            l->rs->allow_list = (uint16_t)i;
    }
    if (!n || l->rs->allow_list != NO_INDEX)
        return EMK_OK;
    return emk_yaml_refuse(n, l->d, l->e, "rules: allow",
                           "allow names one of the lists; there is none of this name");
}

static emk_status load_all(const emk_crypto *c, loader *l, const emk_yaml_node *root)
{
    static const char *const keys[] = {"ruleset", "features", "families", "actions",
                                       "rules",   "lists",    "links",    "plan",
                                       "allow",   "explore",  NULL};
    const emk_yaml_node *head, *families, *rules;
    emk_status st = emk_yaml_check_keys(root, keys, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_need(root, "ruleset", &head, l->d, l->e);
    if (st == EMK_OK)
        st = load_head(c, l, head);
    if (st == EMK_OK)
        st = emk_yaml_need(root, "families", &families, l->d, l->e);
    if (st == EMK_OK)
        st = load_families(l, families);
    if (st == EMK_OK)
        st = load_actions(l, emk_yaml_get(root, "actions"));
    if (st == EMK_OK)
        st = load_explore(l, emk_yaml_get(root, "explore"));
    if (st == EMK_OK)
        st = load_links(l, emk_yaml_get(root, "links"));
    if (st == EMK_OK)
        st = load_plan(l, emk_yaml_get(root, "plan"));
    if (st == EMK_OK)
        st = emk_fraud_load_lists(l, emk_yaml_get(root, "lists"));
    if (st == EMK_OK)
        st = load_allow(l, emk_yaml_get(root, "allow"));
    if (st == EMK_OK)
        st = emk_fraud_load_features(l, emk_yaml_get(root, "features"));
    if (st == EMK_OK)
        st = emk_yaml_need(root, "rules", &rules, l->d, l->e);
    if (st == EMK_OK)
        st = emk_fraud_load_rules(l, rules);
    return st == EMK_OK ? lay_out(l, root) : st;
}

static emk_status build(const emk_crypto *c, loader *l, emk_span yaml)
{
    emk_yaml *y = NULL;
    emk_status st = emk_yaml_parse(l->file, yaml, &y, l->d, l->e);

    if (st == EMK_OK)
        st = load_all(c, l, emk_yaml_root(y));
    emk_yaml_free(y);
    if (st == EMK_OK)
        st = emk_fraud_run_tests(l->rs, l->file, l->d, l->e);
    if (st == EMK_OK)
        st = emk_sha256(c, &yaml, 1, l->rs->hash, l->e);
    if (st == EMK_OK)
        snprintf(l->rs->label, sizeof l->rs->label, "%s@%u#%02x%02x%02x%02x", l->rs->name,
                 (unsigned)l->rs->version, l->rs->hash[0], l->rs->hash[1], l->rs->hash[2],
                 l->rs->hash[3]);
    return st;
}

emk_status emk_fraud_ruleset_new(const emk_crypto *c, const char *file, emk_span yaml,
                                 emk_fraud_ruleset **out, emk_yaml_diag *d, emk_error *e)
{
    emk_fraud_ruleset *rs = emk_alloc(1, sizeof *rs);
    loader l = {rs, file, d, e};
    emk_status st;

    if (!rs)
        return emk_fail(e, EMK_E_NO_MEMORY, "rules: no memory", sizeof *rs);
    rs->rules = emk_alloc(EMK_FRAUD_RULES_MAX, sizeof *rs->rules);
    if (!rs->rules) {
        emk_fraud_ruleset_free(rs);
        return emk_fail(e, EMK_E_NO_MEMORY, "rules: no memory", EMK_FRAUD_RULES_MAX);
    }
    set_defaults(rs);
    st = build(c, &l, yaml);
    if (st != EMK_OK) {
        emk_fraud_ruleset_free(rs);
        return st;
    }
    *out = rs;
    return EMK_OK;
}

void emk_fraud_ruleset_free(emk_fraud_ruleset *rs)
{
    if (!rs)
        return;
    for (unsigned i = 0; i < EMK_FRAUD_LISTS_MAX; i++)
        emk_free(rs->lists[i].entries);
    emk_free(rs->rules);
    emk_free(rs);
}

const char *emk_fraud_ruleset_label(const emk_fraud_ruleset *rs)
{
    return rs->label;
}

const uint8_t *emk_fraud_ruleset_hash(const emk_fraud_ruleset *rs)
{
    return rs->hash;
}

uint64_t emk_fraud_ruleset_version(const emk_fraud_ruleset *rs)
{
    return rs->version;
}

size_t emk_fraud_ruleset_rules(const emk_fraud_ruleset *rs)
{
    return rs->n_rules;
}

size_t emk_fraud_ruleset_features(const emk_fraud_ruleset *rs)
{
    return rs->n_features;
}

size_t emk_fraud_ruleset_tests(const emk_fraud_ruleset *rs)
{
    return rs->n_tests;
}

void emk_fraud_ruleset_rule(const emk_fraud_ruleset *rs, size_t i, emk_fraud_rule_info *out)
{
    const rule *r = &rs->rules[i];

    *out = (emk_fraud_rule_info){.id = r->id,
                                 .name = r->name,
                                 .family = rs->family[r->family].name,
                                 .reason = r->reason,
                                 .when = r->when,
                                 .entity = EMK_FRAUD_ENTITY_NAME[r->entity],
                                 .line = r->line,
                                 .score = r->score,
                                 .hard = r->hard,
                                 .mode = r->mode,
                                 .percent = r->percent,
                                 .paranoia = r->paranoia};
}

const char *emk_fraud_ruleset_feature(const emk_fraud_ruleset *rs, size_t i)
{
    return rs->features[i].name;
}

int64_t emk_fraud_ruleset_enter(const emk_fraud_ruleset *rs, emk_fraud_action a)
{
    return rs->action[a].enter;
}
