/* The rules of a rule set. */
#include "server/fraud/internal.h"

#include <stdio.h>

#define HALF_LIFE_MAX (UINT64_C(400) * 86400000)
#define SCORE_MAX     1000000
#define BILLION       UINT64_C(1000000000)

static emk_status load_mode(loader *l, const emk_yaml_node *n, rule *r)
{
    unsigned percent = 0;
    const char *p;

    r->mode = EMK_FRAUD_LIVE;
    r->percent = 100;
    if (!n || emk_yaml_is(n, "live"))
        return EMK_OK;
    if (emk_yaml_is(n, "shadow") || emk_yaml_is(n, "off")) {
        r->mode = emk_yaml_is(n, "off") ? EMK_FRAUD_OFF : EMK_FRAUD_SHADOW;
        return EMK_OK;
    }
    p = n->text ? n->text : "";
    if (strncmp(p, "live@", 5) == 0) {
        for (p += 5; *p >= '0' && *p <= '9' && percent <= 100; p++)
            percent = percent * 10 + (unsigned)(*p - '0');
        if (strcmp(p, "%") == 0 && percent >= 1 && percent <= 100) {
            r->percent = percent;
            return EMK_OK;
        }
    }
    return emk_yaml_refuse(n, l->d, l->e, "rules: mode", "mode is live, live@25%%, shadow or off");
}

/* "5e-5" or "0.0001", as so many of a billion. */
static bool parse_share(const char *p, uint64_t *ppb)
{
    uint64_t v = 0;
    int places = 0, power = 9;
    unsigned digits = 0;

    for (; (*p >= '0' && *p <= '9') || (*p == '.' && places == 0); p++) {
        if (*p == '.') {
            places = 1;
            continue;
        }
        v = v * 10 + (uint64_t)(*p - '0');
        power -= places;
        if (++digits > 12)
            return false;
    }
    if (p[0] == 'e' && p[1] == '-' && p[2] >= '0' && p[2] <= '9') {
        power -= p[2] - '0';
        p += 3;
    }
    for (; power > 0; power--)
        v *= 10;
    for (; power < 0; power++)
        v /= 10;
    *ppb = v;
    return *p == 0 && digits > 0 && v <= BILLION;
}

static emk_status load_budget(loader *l, const emk_yaml_node *m, rule *r)
{
    static const char *const keys[] = {"fp_user_days", NULL};
    const emk_yaml_node *n;
    emk_status st;

    if (!m)
        return EMK_OK;
    st = emk_yaml_check_keys(m, keys, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(m, "fp_user_days", &n, l->d, l->e);
    if (st == EMK_OK && (n->kind != EMK_YAML_SCALAR || !parse_share(n->text, &r->budget_ppb)))
        st = emk_yaml_refuse(n, l->d, l->e, "rules: budget",
                             "fp_user_days is a share of user-days from 0 to 1, such as 5e-5");
    return st;
}

static emk_status load_effects(loader *l, const emk_yaml_node *n, rule *r)
{
    emk_status st = n ? emk_yaml_check_kind(n, EMK_YAML_SEQUENCE, l->d, l->e) : EMK_OK;
    size_t i = 0;

    for (const emk_yaml_node *v = n && st == EMK_OK ? n->first : NULL; v && st == EMK_OK;
         v = v->next) {
        st = emk_yaml_choice(v, EMK_FRAUD_EFFECT_NAME, &i, l->d, l->e);
        if (st == EMK_OK)
            r->effects |= 1u << i;
    }
    return st;
}

/* What acts on a device needs one to act on. */
static emk_status check_effects(loader *l, const emk_yaml_node *n, const rule *r)
{
    const unsigned for_people = EMK_FRAUD_OPEN_CASE | EMK_FRAUD_ALERT_OWNER | EMK_FRAUD_PAGE;

    const bool has_device = r->entity == EMK_FRAUD_USER || r->entity == EMK_FRAUD_DEVICE ||
                            r->entity == EMK_FRAUD_SESSION;

    if (r->effects & ~for_people && !has_device)
        return emk_yaml_refuse(n, l->d, l->e, "rules: effect",
                               "of a rule about a user, a device or a session; about others there "
                               "are open_case, page and alert_owner");
    if (r->effects & EMK_FRAUD_REVOKE_KEY && !r->hard)
        return emk_yaml_refuse(n, l->d, l->e, "rules: effect",
                               "revoke_key is for good: say hard: true, or let it be reattest");
    return EMK_OK;
}

/* Whether a client could make it fire by what it says, whatever the server sees. */
static bool claims_alone(const rule *r)
{
    for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++) {
        if ((r->on >> t & 1) && (EMK_FRAUD_TYPE[t].sources >> EMK_FRAUD_SRC_SDK & 1))
            return true;
    }
    return r->when_code.claimed;
}

/* A word of a client alone revokes nothing: it has to show anew what it is. */
static void soften_effects(rule *r)
{
    const unsigned revokes =
        EMK_FRAUD_REVOKE_SESSION | EMK_FRAUD_REVOKE_GRANTS | EMK_FRAUD_REVOKE_KEY;

    if (r->effects & revokes && claims_alone(r))
        r->effects = (r->effects & ~revokes) | EMK_FRAUD_REATTEST;
}

static emk_status load_exception(loader *l, const emk_yaml_node *v, rule *r)
{
    static const char *const keys[] = {"list", "field", NULL};
    const emk_yaml_node *name, *field;
    unsigned i = 0;
    emk_fraud_field f;
    emk_status st = emk_yaml_check_keys(v, keys, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_need(v, "list", &name, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(v, "field", &field, l->d, l->e);
    if (st == EMK_OK)
        st = emk_fraud_load_field(l, field, &f);
    if (st != EMK_OK)
        return st;
    while (i < l->rs->n_lists && !emk_yaml_is(name, l->rs->lists[i].name))
        i++;
    if (i == l->rs->n_lists)
        return emk_yaml_refuse(name, l->d, l->e, "rules: except",
                               "no list of this name; declare it: lists: {%.64s: {of: %s, "
                               "entries: []}}",
                               name->kind == EMK_YAML_SCALAR ? name->text : "NAME",
                               EMK_FRAUD_FIELD[f].name);
    if (l->rs->lists[i].of != f || r->n_except == EXCEPT_MAX)
        return emk_yaml_refuse(name, l->d, l->e, "rules: except",
                               "except names a list whose \"of\" is %s (at most %u of them)",
                               EMK_FRAUD_FIELD[f].name, EXCEPT_MAX);
    for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++) {
        if (EMK_FRAUD_FIELD[f].trust == EMK_FRAUD_CLAIMED ||
            ((r->on >> t & 1) && emk_fraud_trust_of(f, (emk_fraud_type)t) == EMK_FRAUD_CLAIMED))
            return emk_yaml_refuse(field, l->d, l->e, "rules: claims",
                                   "%s is claimed by the client, which could claim the exception; "
                                   "use a field of class server or attested",
                                   EMK_FRAUD_FIELD[f].name);
    }
    r->except[r->n_except].list = (uint16_t)i;
    r->except[r->n_except++].field = f;
    return EMK_OK;
}

static emk_status load_exceptions(loader *l, const emk_yaml_node *n, rule *r)
{
    emk_status st = n ? emk_yaml_check_kind(n, EMK_YAML_SEQUENCE, l->d, l->e) : EMK_OK;

    for (const emk_yaml_node *v = n && st == EMK_OK ? n->first : NULL; v && st == EMK_OK;
         v = v->next)
        st = load_exception(l, v, r);
    return st;
}

/* "users_1d", "cadence.n", "att.level" -> what it is. */
static bool resolve(const emk_fraud_ruleset *rs, const char *key, rule_test *t)
{
    char name[NAME_MAX_];
    emk_fraud_field f;
    char *dot;
    int part;

    t->v[t->n].is_field = emk_fraud_field_find(emk_span_str(key), &f);
    t->v[t->n].sub = 0;
    if (t->v[t->n].is_field) {
        t->v[t->n].index = (uint16_t)f;
        return true;
    }
    t->v[t->n].index = emk_fraud_feature_find(rs, key);
    if (t->v[t->n].index != NO_INDEX)
        return true;
    snprintf(name, sizeof name, "%s", key);
    dot = strrchr(name, '.');
    if (!dot)
        return false;
    *dot = 0;
    t->v[t->n].index = emk_fraud_feature_find(rs, name);
    if (t->v[t->n].index == NO_INDEX)
        return false;
    part = emk_fraud_feature_part(rs->features[t->v[t->n].index].kind, dot + 1);
    t->v[t->n].sub = (uint8_t)(part < 0 ? 0 : part);
    return part >= 0;
}

static emk_status load_assumption(loader *l, const emk_yaml_node *v, rule_test *t)
{
    int64_t *out;
    emk_status st = EMK_OK;

    if (t->n == TEST_VALUES_MAX)
        return emk_yaml_refuse(v, l->d, l->e, "rules: test", "at most %u values in a test",
                               TEST_VALUES_MAX);
    if (v->kind != EMK_YAML_SCALAR || !resolve(l->rs, v->key->text, t))
        return emk_yaml_refuse(v->key, l->d, l->e, "rules: test",
                               "\"%.60s\" is no feature and no field", v->key->text);
    out = &t->v[t->n].value;
    if (emk_yaml_is(v, "true") || emk_yaml_is(v, "false"))
        *out = emk_yaml_is(v, "true") ? 1000 : 0;
    else if (t->v[t->n].is_field && EMK_FRAUD_FIELD[t->v[t->n].index].kind == EMK_FRAUD_TEXT &&
             t->v[t->n].index != EMK_FRAUD_F_APP_VER)
        *out = (int64_t)emk_fraud_siphash(l->rs->key, emk_span_of(v->text, v->text_len));
    else
        st = emk_yaml_milli(v, out, l->d, l->e);
    t->n++;
    return st;
}

static emk_status load_test(loader *l, const emk_yaml_node *v, rule *r)
{
    static const char *const keys[] = {"fire", "no", NULL};
    rule_test *t = &r->tests[r->n_tests];
    const emk_yaml_node *m = v->first;
    emk_status st = emk_yaml_check_keys(v, keys, l->d, l->e);

    if (st == EMK_OK && (v->n != 1 || m->kind != EMK_YAML_MAPPING || r->n_tests == TESTS_MAX))
        st = emk_yaml_refuse(v, l->d, l->e, "rules: test",
                             "a test is {fire: {name: value}} or {no: {...}}, at most %u of them",
                             TESTS_MAX);
    if (st != EMK_OK)
        return st;
    t->fires = strcmp(m->key->text, "fire") == 0;
    t->line = v->line;
    t->column = v->column;
    for (const emk_yaml_node *x = m->first; x && st == EMK_OK; x = x->next)
        st = load_assumption(l, x, t);
    r->n_tests++;
    l->rs->n_tests++;
    return st;
}

static emk_status load_tests(loader *l, const emk_yaml_node *n, rule *r)
{
    emk_status st = n ? emk_yaml_check_kind(n, EMK_YAML_SEQUENCE, l->d, l->e) : EMK_OK;

    for (const emk_yaml_node *v = n && st == EMK_OK ? n->first : NULL; v && st == EMK_OK;
         v = v->next)
        st = load_test(l, v, r);
    return st;
}

static emk_status load_family(loader *l, const emk_yaml_node *m, rule *r)
{
    const char *names[EMK_FRAUD_FAMILIES_MAX + 1];
    const emk_yaml_node *n;
    size_t i = 0;
    emk_status st = emk_yaml_need(m, "family", &n, l->d, l->e);

    for (unsigned k = 0; k < l->rs->n_families; k++)
        names[k] = l->rs->family[k].name;
    names[l->rs->n_families] = NULL;
    if (st == EMK_OK)
        st = emk_yaml_choice(n, names, &i, l->d, l->e);
    r->family = (unsigned)i;
    return st;
}

static emk_status need_text(loader *l, const emk_yaml_node *m, const char *key, char *out,
                            size_t cap)
{
    const emk_yaml_node *n;
    emk_status st = emk_yaml_need(m, key, &n, l->d, l->e);

    return st == EMK_OK ? emk_yaml_text(n, out, cap, l->d, l->e) : st;
}

static emk_status optional_bool(loader *l, const emk_yaml_node *m, const char *key, bool *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);

    return n ? emk_yaml_bool(n, out, l->d, l->e) : EMK_OK;
}

static emk_status load_numbers(loader *l, const emk_yaml_node *m, rule *r)
{
    const emk_yaml_node *score, *half, *paranoia = emk_yaml_get(m, "paranoia");
    uint64_t ms = 0, level = 1;
    emk_status st = emk_yaml_need(m, "score", &score, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_milli(score, &r->score, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(m, "half_life", &half, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_duration_ms(half, &ms, l->d, l->e);
    if (st == EMK_OK && paranoia)
        st = emk_yaml_u64(paranoia, 4, &level, l->d, l->e);
    if (st != EMK_OK)
        return st;
    if (r->score == 0 || r->score > SCORE_MAX || r->score < -SCORE_MAX)
        return emk_yaml_refuse(score, l->d, l->e, "rules: score",
                               "a score is from -1000 to 1000 and not 0");
    if (r->hard && r->score < 0)
        return emk_yaml_refuse(score, l->d, l->e, "rules: score", "a hard rule adds to the score");
    if (ms < 1000 || ms > HALF_LIFE_MAX || level < 1)
        return emk_yaml_refuse(m, l->d, l->e, "rules: half_life",
                               "half_life is from 1s to 400d, paranoia from 1 to 4");
    r->half_s = (uint32_t)(ms / 1000);
    r->paranoia = (unsigned)level;
    return EMK_OK;
}

static emk_status load_when(loader *l, const emk_yaml_node *m, rule *r)
{
    const emk_yaml_node *n;
    scope sc = {.rs = l->rs, .r = r, .d = l->d, .e = l->e};
    emk_status st = emk_yaml_need(m, "when", &n, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_text(n, r->when, sizeof r->when, l->d, l->e);
    if (st == EMK_OK)
        st = emk_fraud_add_seen(l, n, r->entity, r->when);
    sc.node = n;
    return st == EMK_OK ? emk_fraud_compile(&sc, r->when, r->score < 0, &r->when_code) : st;
}

static emk_status load_events(loader *l, const emk_yaml_node *m, rule *r)
{
    const emk_yaml_node *on, *entity;
    emk_status st = emk_yaml_need(m, "on", &on, l->d, l->e);

    if (st == EMK_OK)
        st = emk_fraud_load_types(l, on, &r->on);
    if (st == EMK_OK)
        st = emk_yaml_need(m, "entity", &entity, l->d, l->e);
    if (st == EMK_OK)
        st = emk_fraud_load_entity(l, entity, &r->entity);
    if (st == EMK_OK && r->on == 0)
        st = emk_yaml_refuse(on, l->d, l->e, "rules: on", "name at least one type of event");
    return st;
}

static emk_status check_id(loader *l, const emk_yaml_node *m, const rule *r)
{
    for (unsigned i = 0; i < l->rs->n_rules; i++) {
        if (strcmp(l->rs->rules[i].id, r->id) == 0)
            return emk_yaml_refuse(m, l->d, l->e, "rules: id",
                                   "%s is the id of the rule in line %u too; give it another",
                                   r->id, l->rs->rules[i].line);
    }
    return EMK_OK;
}

static emk_status load_texts(loader *l, const emk_yaml_node *m, rule *r)
{
    emk_status st = need_text(l, m, "id", r->id, sizeof r->id);

    if (st == EMK_OK)
        st = check_id(l, m, r);
    if (st == EMK_OK)
        st = need_text(l, m, "name", r->name, sizeof r->name);
    if (st == EMK_OK)
        st = need_text(l, m, "reason", r->reason, sizeof r->reason);
    if (st == EMK_OK)
        st = optional_bool(l, m, "hard", &r->hard);
    if (st == EMK_OK)
        st = optional_bool(l, m, "accumulate", &r->accumulate);
    return st == EMK_OK ? optional_bool(l, m, "jitter", &r->jitter) : st;
}

static emk_status load_rule(loader *l, const emk_yaml_node *m)
{
    static const char *const keys[] = {"id",     "name",       "family", "paranoia", "mode",
                                       "entity", "on",         "when",   "score",    "half_life",
                                       "reason", "except",     "budget", "tests",    "hard",
                                       "effect", "accumulate", "jitter", NULL};
    rule *r = &l->rs->rules[l->rs->n_rules];
    emk_status st = emk_yaml_check_keys(m, keys, l->d, l->e);

    r->line = m->line;
    r->column = m->column;
    if (st == EMK_OK)
        st = load_texts(l, m, r);
    if (st == EMK_OK)
        st = load_family(l, m, r);
    if (st == EMK_OK)
        st = load_events(l, m, r);
    if (st == EMK_OK)
        st = load_numbers(l, m, r);
    if (st == EMK_OK)
        st = load_mode(l, emk_yaml_get(m, "mode"), r);
    if (st == EMK_OK)
        st = load_when(l, m, r);
    if (st == EMK_OK)
        st = load_exceptions(l, emk_yaml_get(m, "except"), r);
    if (st == EMK_OK)
        st = load_effects(l, emk_yaml_get(m, "effect"), r);
    if (st == EMK_OK && r->effects)
        st = check_effects(l, emk_yaml_get(m, "effect"), r);
    if (st == EMK_OK)
        soften_effects(r);
    if (st == EMK_OK)
        st = load_budget(l, emk_yaml_get(m, "budget"), r);
    if (st == EMK_OK)
        st = load_tests(l, emk_yaml_get(m, "tests"), r);
    l->rs->n_rules++;
    return st;
}

emk_status emk_fraud_load_rules(loader *l, const emk_yaml_node *seq)
{
    emk_status st = emk_yaml_check_kind(seq, EMK_YAML_SEQUENCE, l->d, l->e);

    for (const emk_yaml_node *v = st == EMK_OK ? seq->first : NULL; v && st == EMK_OK;
         v = v->next) {
        if (l->rs->n_rules == EMK_FRAUD_RULES_MAX)
            return emk_yaml_refuse(v, l->d, l->e, "rules: rules", "at most %u rules",
                                   EMK_FRAUD_RULES_MAX);
        st = load_rule(l, v);
    }
    return st;
}
