/* Features and lists of a rule set. */
#include "server/fraud/internal.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW_MIN     UINT64_C(12000) /* ms: buckets of a second */
#define DAY_MS         UINT64_C(86400000)
#define WINDOW_MAX     (UINT64_C(400) * DAY_MS)
#define HOURS_DAYS_MAX 14u
#define PLACES         32u
#define PLACES_MAX     64u
#define SEEN_PREFIX    "seen("

static const char *const KIND[FK_KINDS + 1] = {
    "count",    "sum",          "distinct",
    "decay",    "rate",         "age",
    "last",     "max",          "gap_cv",
    "ratio",    "geo_velocity", "replay",
    "inflight", "sketch",       "server_minus_client_max",
    "seen",     "since",        "known",
    "hours",    "drift",        NULL};
static const char *const FROM[] = {"any", "attested", "server", NULL};

emk_status emk_fraud_load_field(loader *l, const emk_yaml_node *n, emk_fraud_field *out)
{
    const char *names[EMK_FRAUD_FIELDS + 1];
    size_t i = 0;
    emk_status st;

    for (unsigned f = 0; f < EMK_FRAUD_FIELDS; f++)
        names[f] = EMK_FRAUD_FIELD[f].name;
    names[EMK_FRAUD_FIELDS] = NULL;
    st = emk_yaml_choice(n, names, &i, l->d, l->e);
    if (st == EMK_OK)
        *out = (emk_fraud_field)i;
    return st;
}

emk_status emk_fraud_load_entity(loader *l, const emk_yaml_node *n, emk_fraud_entity *out)
{
    emk_fraud_field f;
    emk_status st;

    for (unsigned i = 0; n->kind == EMK_YAML_SCALAR && i < EMK_FRAUD_ENTITIES; i++) {
        if (strcmp(n->text, EMK_FRAUD_ENTITY_NAME[i]) == 0)
            return emk_yaml_refuse(n, l->d, l->e, "rules: entity", "here is a field's name: %s",
                                   EMK_FRAUD_FIELD[ENTITY_FIELD[i]].name);
    }
    st = emk_fraud_load_field(l, n, &f);
    for (unsigned i = 0; st == EMK_OK && i < EMK_FRAUD_ENTITIES; i++) {
        if (ENTITY_FIELD[i] == f) {
            *out = (emk_fraud_entity)i;
            return EMK_OK;
        }
    }
    return st != EMK_OK ? st
                        : emk_yaml_refuse(n, l->d, l->e, "rules: entity",
                                          "nothing is remembered of %s; use subj.user, "
                                          "subj.device, subj.session, subj.net, subj.asn, "
                                          "subj.key, subj.payment, obj.artifact or app.build",
                                          n->text);
}

static emk_status load_type(loader *l, const emk_yaml_node *n, emk_fraud_type *out)
{
    const char *names[EMK_FRAUD_TYPES + 1];
    size_t i = 0;
    emk_status st;

    for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++)
        names[t] = EMK_FRAUD_TYPE[t].name;
    names[EMK_FRAUD_TYPES] = NULL;
    st = emk_yaml_choice(n, names, &i, l->d, l->e);
    if (st == EMK_OK)
        *out = (emk_fraud_type)i;
    return st;
}

emk_status emk_fraud_load_types(loader *l, const emk_yaml_node *n, uint64_t *on)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SEQUENCE, l->d, l->e);
    emk_fraud_type t;

    for (const emk_yaml_node *v = st == EMK_OK ? n->first : NULL; v && st == EMK_OK; v = v->next) {
        st = load_type(l, v, &t);
        if (st == EMK_OK)
            *on |= UINT64_C(1) << t;
    }
    return st;
}

static emk_status add_weight(loader *l, feature *f, const emk_yaml_node *v, emk_fraud_type t)
{
    emk_fraud_field by;

    f->on |= UINT64_C(1) << t;
    f->add_field[t] = EMK_FRAUD_FIELDS;
    f->add[t] = 1000;
    if (v->kind == EMK_YAML_SCALAR && emk_fraud_field_find(emk_span_str(v->text), &by)) {
        if (EMK_FRAUD_FIELD[by].kind != EMK_FRAUD_NUMBER)
            return emk_yaml_refuse(v, l->d, l->e, "rules: add", "%s is no number", v->text);
        f->add_field[t] = (uint8_t)by;
        return EMK_OK;
    }
    return emk_yaml_milli(v, &f->add[t], l->d, l->e);
}

static emk_status load_add(loader *l, feature *f, const emk_yaml_node *m)
{
    emk_status st = emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e);
    emk_fraud_type t;

    for (const emk_yaml_node *v = st == EMK_OK ? m->first : NULL; v && st == EMK_OK; v = v->next) {
        st = load_type(l, v->key, &t);
        if (st == EMK_OK)
            st = add_weight(l, f, v, t);
    }
    return st;
}

static bool may_be_claimed(const feature *f, uint64_t types)
{
    for (unsigned t = 0; f->from == FROM_ANY && t < EMK_FRAUD_TYPES; t++) {
        if ((types >> t & 1) && (EMK_FRAUD_TYPE[t].sources >> EMK_FRAUD_SRC_SDK & 1))
            return true;
    }
    return false;
}

static bool of_is_claimed(const feature *f)
{
    for (unsigned t = 0; f->has_of && t < EMK_FRAUD_TYPES; t++) {
        if ((f->on >> t & 1) &&
            (EMK_FRAUD_FIELD[f->of].trust == EMK_FRAUD_CLAIMED ||
             (f->from == FROM_ANY &&
              emk_fraud_trust_of(f->of, (emk_fraud_type)t) == EMK_FRAUD_CLAIMED)))
            return true;
    }
    return false;
}

static bool takes_away(const feature *f)
{
    for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++) {
        if (f->add[t] < 0 && may_be_claimed(f, UINT64_C(1) << t))
            return true;
    }
    return false;
}

/* What claims can do to the value; see expr.c. */
static emk_status judge_claims(loader *l, feature *f, const emk_yaml_node *n)
{
    bool events = may_be_claimed(f, f->on | f->off), claimed = events || of_is_claimed(f);

    if (takes_away(f))
        return emk_yaml_refuse(n, l->d, l->e, "rules: claims",
                               "a client could lower %s by its own events; add \"from: attested\" "
                               "or \"from: server\"",
                               f->name);
    switch (f->kind) {
    case FK_CLOCK:
    case FK_DRIFT:
        f->claims = CLAIMS_UP;
        break;
    case FK_AGE:
        f->claims = events ? CLAIMS_UP : 0;
        break;
    case FK_LAST:
    case FK_GAP_CV:
    case FK_RATIO:
    case FK_INFLIGHT:
    case FK_GEO:
    case FK_SINCE:
    case FK_KNOWN:
    case FK_HOURS:
        f->claims = claimed ? CLAIMS_UP | CLAIMS_DOWN : 0;
        break;
    default:
        f->claims = claimed ? CLAIMS_UP : 0;
    }
    return EMK_OK;
}

static emk_status load_window(loader *l, feature *f, const emk_yaml_node *m)
{
    const emk_yaml_node *n = emk_yaml_get(m, "window");
    emk_status st = EMK_OK;

    f->window_ms = f->kind == FK_CLOCK || f->kind == FK_DRIFT ? UINT64_C(30) * DAY_MS : 0;
    if (n)
        st = emk_yaml_duration_ms(n, &f->window_ms, l->d, l->e);
    if (st == EMK_OK && n && (f->window_ms < WINDOW_MIN || f->window_ms > WINDOW_MAX))
        st = emk_yaml_refuse(n, l->d, l->e, "rules: window", "a window is from 12s to 400d");
    if (st == EMK_OK && n && f->kind == FK_HOURS &&
        (f->window_ms % DAY_MS != 0 || f->window_ms == 0 || f->window_ms > HOURS_DAYS_MAX * DAY_MS))
        st = emk_yaml_refuse(n, l->d, l->e, "rules: window", "hours are of 1d to 14d, whole days");
    f->bucket_ms = f->window_ms / BUCKETS;
    return st;
}

static emk_status load_numbers(loader *l, feature *f, const emk_yaml_node *m)
{
    const emk_yaml_node *n;
    uint64_t v = 0;
    emk_status st = EMK_OK;

    f->places = PLACES;
    if ((n = emk_yaml_get(m, "half_life")) != NULL)
        st = emk_yaml_duration_ms(n, &f->half_ms, l->d, l->e);
    if (st == EMK_OK && (n = emk_yaml_get(m, "ttl")) != NULL)
        st = emk_yaml_duration_ms(n, &f->ttl_ms, l->d, l->e);
    if (st == EMK_OK && (n = emk_yaml_get(m, "step")) != NULL)
        st = emk_yaml_duration_ms(n, &f->step_ms, l->d, l->e);
    if (st == EMK_OK && (n = emk_yaml_get(m, "limit")) != NULL)
        st = emk_yaml_milli(n, &f->limit, l->d, l->e);
    if (st == EMK_OK && (n = emk_yaml_get(m, "max_add")) != NULL)
        st = emk_yaml_milli(n, &f->max_add, l->d, l->e);
    if (st == EMK_OK && (n = emk_yaml_get(m, "min_km")) != NULL) {
        st = emk_yaml_u64(n, 20000, &v, l->d, l->e);
        f->min_m = v * 1000;
    }
    if (st == EMK_OK && (n = emk_yaml_get(m, "size")) != NULL) {
        st = emk_yaml_u64(n, PLACES_MAX, &v, l->d, l->e);
        f->places = (unsigned)v;
    }
    if (st == EMK_OK && f->kind == FK_DISTINCT && (f->places < 4 || f->places % 4 != 0))
        st = emk_yaml_refuse(n ? n : m, l->d, l->e, "rules: size", "size is 4, 8, 12 ... 64");
    if (st == EMK_OK && (n = emk_yaml_get(m, "approx")) != NULL)
        st = emk_yaml_bool(n, &f->approx, l->d, l->e);
    return st;
}

/* Keys that a kind cannot do without. */
static emk_status check_complete(loader *l, const feature *f, const emk_yaml_node *m)
{
    static const struct {
        const char *key;
        unsigned kinds;
    } NEED[] = {{"window", 1u << FK_COUNT | 1u << FK_SUM | 1u << FK_DISTINCT | 1u << FK_RATE |
                               1u << FK_SKETCH | 1u << FK_HOURS},
                {"of", 1u << FK_SUM | 1u << FK_DISTINCT | 1u << FK_MAX | 1u << FK_REPLAY |
                           1u << FK_INFLIGHT | 1u << FK_KNOWN},
                {"on", 1u << FK_COUNT | 1u << FK_SUM | 1u << FK_DISTINCT | 1u << FK_RATE |
                           1u << FK_LAST | 1u << FK_MAX | 1u << FK_GAP_CV | 1u << FK_RATIO |
                           1u << FK_REPLAY | 1u << FK_INFLIGHT | 1u << FK_SKETCH | 1u << FK_SINCE |
                           1u << FK_HOURS | 1u << FK_DRIFT},
                {"half_life", 1u << FK_DECAY | 1u << FK_RATIO},
                {"add", 1u << FK_DECAY},
                {"part", 1u << FK_RATIO},
                {"ttl", 1u << FK_INFLIGHT | 1u << FK_DRIFT},
                {"step", 1u << FK_DRIFT},
                {"limit", 1u << FK_RATE}};
    static const emk_fraud_kind of_kind[FK_KINDS] = {[FK_SUM] = EMK_FRAUD_NUMBER,
                                                     [FK_MAX] = EMK_FRAUD_NUMBER,
                                                     [FK_REPLAY] = EMK_FRAUD_NUMBER,
                                                     [FK_RATE] = EMK_FRAUD_NUMBER};

    for (unsigned i = 0; i < sizeof NEED / sizeof NEED[0]; i++) {
        if ((NEED[i].kinds >> f->kind & 1) && !emk_yaml_get(m, NEED[i].key))
            return emk_yaml_refuse(m, l->d, l->e, "rules: feature", "kind %s needs \"%s\"",
                                   KIND[f->kind], NEED[i].key);
    }
    if (f->has_of && of_kind[f->kind] == EMK_FRAUD_NUMBER &&
        EMK_FRAUD_FIELD[f->of].kind != EMK_FRAUD_NUMBER &&
        !(f->kind == FK_MAX && f->of == EMK_FRAUD_F_APP_VER))
        return emk_yaml_refuse(emk_yaml_get(m, "of"), l->d, l->e, "rules: feature",
                               "kind %s needs a number, and %s is none", KIND[f->kind],
                               EMK_FRAUD_FIELD[f->of].name);
    if ((f->kind == FK_DECAY || f->kind == FK_RATIO) && f->half_ms < 1000)
        return emk_yaml_refuse(m, l->d, l->e, "rules: feature", "half_life is at least 1s");
    if (f->kind == FK_DRIFT && f->step_ms < 1000)
        return emk_yaml_refuse(m, l->d, l->e, "rules: feature", "step is at least 1s");
    if (f->kind == FK_RATE && (f->limit <= 0 || f->limit > 1000000000))
        return emk_yaml_refuse(m, l->d, l->e, "rules: feature", "limit is above 0, up to 10^6");
    return EMK_OK;
}

static emk_status load_key(loader *l, feature *f, const emk_yaml_node *m)
{
    const emk_yaml_node *key;
    emk_status st = emk_yaml_need(m, "key", &key, l->d, l->e);

    if (st != EMK_OK)
        return st;
    if (f->kind == FK_SKETCH)
        return emk_fraud_load_field(l, key, &f->key);
    return emk_fraud_load_entity(l, key, &f->entity);
}

static emk_status load_events(loader *l, feature *f, const emk_yaml_node *m)
{
    const emk_yaml_node *n;
    size_t i = FROM_ANY;
    emk_status st = EMK_OK;

    if ((n = emk_yaml_get(m, "on")) != NULL)
        st = emk_fraud_load_types(l, n, &f->on);
    else if (f->kind != FK_DECAY)
        f->on = (UINT64_C(1) << EMK_FRAUD_ADMIN_BAN) - 1;
    if (st == EMK_OK && f->kind == FK_RATIO && (n = emk_yaml_get(m, "part")) != NULL)
        st = emk_fraud_load_types(l, n, &f->off);
    if (st == EMK_OK && f->kind == FK_INFLIGHT && (n = emk_yaml_get(m, "off")) != NULL)
        st = emk_fraud_load_types(l, n, &f->off);
    if (st == EMK_OK && (n = emk_yaml_get(m, "of")) != NULL) {
        st = emk_fraud_load_field(l, n, &f->of);
        f->has_of = true;
    }
    if (st == EMK_OK && f->kind == FK_DECAY && (n = emk_yaml_get(m, "add")) != NULL)
        st = load_add(l, f, n);
    if (st == EMK_OK && (n = emk_yaml_get(m, "from")) != NULL)
        st = emk_yaml_choice(n, FROM, &i, l->d, l->e);
    f->from = (from_class)i;
    return st;
}

static emk_status load_feature(loader *l, const emk_yaml_node *v)
{
    static const char *const keys[] = {
        "kind",    "of",    "key",  "window", "on",           "half_life", "add",
        "max_add", "limit", "from", "min_km", "use_accuracy", "since",     "off",
        "part",    "ttl",   "size", "approx", "floor",        "step",      NULL};
    emk_fraud_ruleset *rs = l->rs;
    const emk_yaml_node *kind;
    feature *f = &rs->features[rs->n_features];
    size_t i = 0;
    emk_status st = emk_yaml_check_keys(v, keys, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_text(v->key, f->name, sizeof f->name, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(v, "kind", &kind, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_choice(kind, KIND, &i, l->d, l->e);
    f->kind = (feature_kind)i;
    if (st == EMK_OK)
        st = load_key(l, f, v);
    if (st == EMK_OK)
        st = load_events(l, f, v);
    if (st == EMK_OK)
        st = load_window(l, f, v);
    if (st == EMK_OK)
        st = load_numbers(l, f, v);
    if (st == EMK_OK)
        st = check_complete(l, f, v);
    if (st == EMK_OK)
        st = judge_claims(l, f, v);
    rs->n_features++;
    return st;
}

emk_status emk_fraud_load_features(loader *l, const emk_yaml_node *m)
{
    emk_status st = m ? emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e) : EMK_OK;

    for (const emk_yaml_node *v = m && st == EMK_OK ? m->first : NULL; v && st == EMK_OK;
         v = v->next) {
        if (l->rs->n_features == EMK_FRAUD_FEATURES_MAX)
            return emk_yaml_refuse(v, l->d, l->e, "rules: features", "at most %u features",
                                   EMK_FRAUD_FEATURES_MAX);
        st = load_feature(l, v);
    }
    return st;
}

/* Copies from p to the end sign; false when it is not there or does not fit. */
static bool cut(const char **p, char end, char *out, size_t cap)
{
    size_t n = 0;

    while (**p == ' ')
        ++*p;
    while (**p && **p != end && **p != ' ' && n < cap - 1)
        out[n++] = *(*p)++;
    out[n] = 0;
    while (**p == ' ')
        ++*p;
    return *(*p)++ == end && n > 0;
}

static emk_status add_one_seen(loader *l, const emk_yaml_node *n, emk_fraud_entity entity,
                               const char *field, const char *time)
{
    emk_yaml_node span = *n;
    feature *f = &l->rs->features[l->rs->n_features];
    char name[NAME_MAX_];
    emk_status st;

    snprintf(name, sizeof name, "seen(%.20s,%.12s)@%.12s", field, time,
             EMK_FRAUD_ENTITY_NAME[entity]);
    if (emk_fraud_feature_find(l->rs, name) != NO_INDEX)
        return EMK_OK;
    if (l->rs->n_features == EMK_FRAUD_FEATURES_MAX ||
        !emk_fraud_field_find(emk_span_str(field), &f->of))
        return emk_yaml_refuse(n, l->d, l->e, "rules: seen",
                               "seen() knows no field \"%.30s\", or there are too many features",
                               field);
    span.kind = EMK_YAML_SCALAR;
    span.text = time;
    span.text_len = strlen(time);
    st = emk_yaml_duration_ms(&span, &f->window_ms, l->d, l->e);
    memcpy(f->name, name, sizeof f->name);
    f->kind = FK_SEEN;
    f->entity = entity;
    f->has_of = true;
    f->on = (UINT64_C(1) << EMK_FRAUD_ADMIN_BAN) - 1;
    f->claims = EMK_FRAUD_FIELD[f->of].trust == EMK_FRAUD_CLAIMED ? CLAIMS_UP : 0;
    l->rs->n_features++;
    return st;
}

emk_status emk_fraud_add_seen(loader *l, const emk_yaml_node *n, emk_fraud_entity entity,
                              const char *when)
{
    const char *p = when;
    emk_status st = EMK_OK;

    while (st == EMK_OK && (p = strstr(p, SEEN_PREFIX)) != NULL) {
        char field[40], time[24];

        p += sizeof SEEN_PREFIX - 1;
        if (!cut(&p, ',', field, sizeof field) || !cut(&p, ')', time, sizeof time))
            return emk_yaml_refuse(n, l->d, l->e, "rules: seen",
                                   "seen needs a field and a time: seen(subj.net, 30d)");
        st = add_one_seen(l, n, entity, field, time);
    }
    return st;
}

/* ---- lists ---- */

/* Days since 1970 of a date.  (Hinnant: chrono-compatible low-level date algorithms) */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    int64_t era, of_era, of_year;

    y -= m <= 2;
    era = y / 400;
    of_era = y - era * 400;
    of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool parse_date(const char *s, uint64_t *ms)
{
    int64_t v[3] = {0};
    static const unsigned len[3] = {4, 2, 2};

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < len[i]; k++, s++) {
            if (*s < '0' || *s > '9')
                return false;
            v[i] = v[i] * 10 + (*s - '0');
        }
        if (i < 2 && *s++ != '-')
            return false;
    }
    if (*s || v[0] < 1970 || v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31)
        return false;
    *ms = (uint64_t)days_of(v[0], v[1], v[2]) * 86400000;
    return true;
}

static emk_status load_entry(loader *l, list *to, const emk_yaml_node *v)
{
    static const char *const keys[] = {"value", "until", "why", NULL};
    list_entry *entry = &to->entries[to->n];
    const emk_yaml_node *n, *until;
    char text[EMK_FRAUD_ID_MAX + 1];
    emk_status st = emk_yaml_check_keys(v, keys, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_need(v, "value", &n, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_text(n, text, sizeof text, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(v, "until", &until, l->d, l->e);
    if (st != EMK_OK)
        return st;
    if (!parse_date(until->text ? until->text : "", &entry->until))
        return emk_yaml_refuse(until, l->d, l->e, "rules: list",
                               "an entry ends on a date such as 2026-12-31");
    entry->hash = emk_fraud_siphash(l->rs->key, emk_span_str(text));
    to->n++;
    return EMK_OK;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const list_entry *)a)->hash, y = ((const list_entry *)b)->hash;

    return x < y ? -1 : x > y;
}

static emk_status load_list(loader *l, const emk_yaml_node *v)
{
    static const char *const keys[] = {"of", "entries", NULL};
    list *to = &l->rs->lists[l->rs->n_lists];
    const emk_yaml_node *of, *entries = emk_yaml_get(v, "entries");
    emk_status st = emk_yaml_check_keys(v, keys, l->d, l->e);

    if (st == EMK_OK)
        st = emk_yaml_text(v->key, to->name, sizeof to->name, l->d, l->e);
    if (st == EMK_OK)
        st = emk_yaml_need(v, "of", &of, l->d, l->e);
    if (st == EMK_OK)
        st = emk_fraud_load_field(l, of, &to->of);
    if (st == EMK_OK && entries)
        st = emk_yaml_check_kind(entries, EMK_YAML_SEQUENCE, l->d, l->e);
    if (st != EMK_OK)
        return st;
    if (entries && entries->n > EMK_FRAUD_LIST_MAX)
        return emk_yaml_refuse(entries, l->d, l->e, "rules: list", "at most %u entries",
                               EMK_FRAUD_LIST_MAX);
    to->entries = emk_alloc(entries && entries->n ? entries->n : 1, sizeof *to->entries);
    if (!to->entries)
        return emk_fail(l->e, EMK_E_NO_MEMORY, "rules: no memory", 0);
    l->rs->n_lists++;
    for (const emk_yaml_node *x = entries ? entries->first : NULL; x && st == EMK_OK; x = x->next)
        st = load_entry(l, to, x);
    qsort(to->entries, to->n, sizeof *to->entries, by_hash);
    return st;
}

emk_status emk_fraud_load_lists(loader *l, const emk_yaml_node *m)
{
    emk_status st = m ? emk_yaml_check_kind(m, EMK_YAML_MAPPING, l->d, l->e) : EMK_OK;

    for (const emk_yaml_node *v = m && st == EMK_OK ? m->first : NULL; v && st == EMK_OK;
         v = v->next) {
        if (l->rs->n_lists == EMK_FRAUD_LISTS_MAX)
            return emk_yaml_refuse(v, l->d, l->e, "rules: lists", "at most %u lists",
                                   EMK_FRAUD_LISTS_MAX);
        st = load_list(l, v);
    }
    return st;
}
