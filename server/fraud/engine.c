/* One event's way through the engine: clock, entities, features, rules, score.
 *
 * State of an event in hand lies in the engine itself and is good from begin() to the end of
 * decide_locked(); `stamp` makes what is left of the event before it invalid at once. */
#include "server/fraud/engine_internal.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/writer.h"

static const uint32_t DEFAULT_MAX[EMK_FRAUD_ENTITIES] = {
    [EMK_FRAUD_USER] = 1u << 20,  [EMK_FRAUD_DEVICE] = 1u << 20, [EMK_FRAUD_SESSION] = 1u << 17,
    [EMK_FRAUD_NET] = 1u << 17,   [EMK_FRAUD_ASN] = 1u << 14,    [EMK_FRAUD_ARTIFACT] = 1u << 15,
    [EMK_FRAUD_BUILD] = 1u << 12, [EMK_FRAUD_KEY] = 1u << 12,    [EMK_FRAUD_PAYMENT] = 1u << 17};

void emk_fraud_options_init(emk_fraud_options *o)
{
    memset(o, 0, sizeof *o);
    o->without = EMK_FRAUD_RULE_NONE;
}

/* ---- life ---- */

static emk_status make_tables(emk_fraud_engine *en, emk_error *e)
{
    const emk_fraud_ruleset *rs = en->rs;

    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        uint32_t max = en->options.max[i] ? en->options.max[i] : DEFAULT_MAX[i];
        emk_status st;

        if (!(rs->entities >> i & 1))
            continue;
        st = emk_fraud_table_init(&en->tables[i], max, rs->slab_len[i], e);
        if (st != EMK_OK)
            return st;
        en->scratch[i] = emk_alloc(1, rs->slab_len[i]);
        if (!en->scratch[i])
            return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory", rs->slab_len[i]);
    }
    return EMK_OK;
}

static emk_status fill_engine(emk_fraud_engine *en, emk_error *e)
{
    emk_status st = emk_lock_new(&en->lock, e);

    if (st != EMK_OK)
        return st;
    en->dyn = emk_alloc(1, sizeof *en->dyn);
    en->sketches = emk_alloc(en->rs->n_sketches ? en->rs->n_sketches : 1, sizeof *en->sketches);
    if (!en->dyn || !en->sketches)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory", sizeof *en->dyn);
    memcpy(en->dyn->chain, en->rs->hash, sizeof en->dyn->chain);
    return make_tables(en, e);
}

emk_status emk_fraud_engine_new(const emk_crypto *c, const emk_fraud_ruleset *rs,
                                const emk_fraud_options *o, emk_fraud_engine **out, emk_error *e)
{
    emk_fraud_engine *en = emk_alloc(1, sizeof *en);
    emk_status st;

    if (!en)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory", sizeof *en);
    en->crypto = c;
    en->rs = rs;
    en->options = *o;
    st = fill_engine(en, e);
    if (st != EMK_OK) {
        emk_fraud_engine_free(en);
        return st;
    }
    *out = en;
    return EMK_OK;
}

void emk_fraud_engine_free(emk_fraud_engine *en)
{
    if (!en)
        return;
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        emk_fraud_table_done(&en->tables[i]);
        emk_free(en->scratch[i]);
    }
    emk_free(en->sketches);
    emk_free(en->dyn);
    emk_lock_free(en->lock);
    emk_free(en);
}

void emk_fraud_attach_draft(emk_fraud_engine *en, emk_fraud_engine *draft)
{
    emk_lock_take(en->lock);
    en->draft = draft;
    emk_lock_give(en->lock);
}

/* ---- the event in hand ---- */

uint64_t emk_fraud_field_hash(emk_fraud_engine *en, emk_fraud_field f)
{
    emk_fraud_ahead *a = en->ahead;

    if (!(a->hashed >> f & 1)) {
        a->hashed |= UINT64_C(1) << f;
        a->hash[f] = emk_fraud_hash_of(en->rs, en->ev, f);
    }
    return a->hash[f];
}

static bool is_duplicate(emk_fraud_engine *en)
{
    uint64_t h = emk_fraud_field_hash(en, EMK_FRAUD_F_ID);
    uint64_t *place = &en->dyn->recent[h % RECENT];

    if (h == 0)
        return false;
    if (*place == h)
        return true;
    *place = h;
    return false;
}

/* Before its last_ms moves on. */
static void count_user(emk_fraud_engine *en, const slab *s)
{
    dynamic *y = en->dyn;
    uint64_t hour = en->now / HOUR_MS, before = s->last_ms / HOUR_MS;

    if (before == hour)
        return;
    y->active[hour % HOURS]++;
    if (before / 24 != hour / 24) {
        y->user_days++;
        y->period_days++;
    }
}

/* Where it is kept, or a stand-in for this event alone: of subjects that nobody has proven,
 * and when all places are taken by banned ones. */
static slab *entity_slab(emk_fraud_engine *en, unsigned i)
{
    bool known = EMK_FRAUD_TYPE[en->ev->type].authenticated;
    uint64_t key = en->ahead->entity_key[i];
    slab *s = known ? emk_fraud_table_take(&en->tables[i], en->rs, key, en->now)
                    : emk_fraud_table_find(&en->tables[i], key);

    if (s)
        return s;
    en->full |= known;
    s = (slab *)(void *)en->scratch[i];
    memset(s, 0, en->rs->slab_len[i]);
    s->key = key;
    s->first_s = (uint32_t)(en->now / 1000);
    return s;
}

static void find_entities(emk_fraud_engine *en)
{
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        en->of[i] = en->ahead->named >> i & 1 ? entity_slab(en, i) : NULL;
}

static bool comes_from(const emk_fraud_event *ev, from_class from)
{
    if (from == FROM_ANY || ev->src != EMK_FRAUD_SRC_SDK)
        return true;
    return from == FROM_ATTESTED && emk_fraud_has(ev, EMK_FRAUD_F_ATT_LEVEL) &&
           ev->f[EMK_FRAUD_F_ATT_LEVEL].number >= 2000 &&
           emk_fraud_has(ev, EMK_FRAUD_F_ATT_APP_OK) && ev->f[EMK_FRAUD_F_ATT_APP_OK].number != 0;
}

static void touch_feature(emk_fraud_engine *en, unsigned i)
{
    const feature *f = &en->rs->features[i];
    touch t = {en->ev, en->now, en->ahead->hash};
    value at = {0, false};

    if (!comes_from(en->ev, f->from))
        return;
    if (f->kind == FK_SKETCH) {
        if (emk_fraud_has(en->ev, f->key))
            emk_fraud_sketch_add(f, &en->sketches[f->offset], emk_fraud_field_hash(en, f->key),
                                 en->now);
        return;
    }
    if (!en->of[f->entity])
        return;
    if (f->has_of)
        emk_fraud_field_hash(en, f->of);
    if (f->kind == FK_GEO)
        emk_fraud_field_hash(en, EMK_FRAUD_F_NET);
    emk_fraud_feature_update(f, (uint8_t *)en->of[f->entity] + f->offset, &t, &at);
    if (at.known) {
        en->values[i] = at;
        en->value_stamp[i] = en->stamp;
    }
}

static void touch_features(emk_fraud_engine *en)
{
    unsigned type = en->ev->type;

    for (unsigned k = 0; k < en->rs->n_of_type[type]; k++)
        touch_feature(en, en->rs->of_type[type][k]);
    if (en->of[EMK_FRAUD_USER])
        count_user(en, en->of[EMK_FRAUD_USER]);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        if (en->of[i])
            en->of[i]->last_ms = en->now & EMK_FRAUD_MS_MASK;
    }
}

/* ---- rules ---- */

static value read_feature(emk_fraud_engine *en, unsigned i, unsigned sub)
{
    const feature *f = &en->rs->features[i];

    if (f->kind == FK_SKETCH) {
        if (!emk_fraud_has(en->ev, f->key))
            return (value){0, false};
        return (value){emk_fraud_sketch_read(f, &en->sketches[f->offset],
                                             emk_fraud_field_hash(en, f->key), en->now),
                       true};
    }
    if (!en->of[f->entity])
        return (value){0, false};
    return emk_fraud_feature_read(f, (const uint8_t *)en->of[f->entity] + f->offset, sub, en->now);
}

static value feature_of(void *self, unsigned i, unsigned sub)
{
    emk_fraud_engine *en = self;

    if (sub != 0)
        return read_feature(en, i, sub);
    if (en->value_stamp[i] != en->stamp) {
        en->values[i] = read_feature(en, i, 0);
        en->value_stamp[i] = en->stamp;
    }
    return en->values[i];
}

static value field_of(void *self, emk_fraud_field f)
{
    emk_fraud_engine *en = self;

    if (!emk_fraud_has(en->ev, f)) {
        if (en->rs->plan_has >> f & 1)
            return (value){en->rs->plan[f], true};
        return (value){0, false};
    }
    if (EMK_FRAUD_FIELD[f].kind == EMK_FRAUD_TEXT && f != EMK_FRAUD_F_APP_VER)
        return (value){(int64_t)emk_fraud_field_hash(en, f), true};
    return emk_fraud_number(en->ev, f);
}

bool emk_fraud_on_list(emk_fraud_engine *en, unsigned i, emk_fraud_field f)
{
    const list *l = &en->rs->lists[i];
    uint64_t h = emk_fraud_field_hash(en, f);
    size_t low = 0, high = l->n;

    if (!emk_fraud_has(en->ev, f))
        return false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (l->entries[middle].hash < h)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->n && l->entries[low].hash == h && l->entries[low].until > en->now;
}

bool emk_fraud_is_live(const emk_fraud_engine *en, unsigned i, uint64_t key)
{
    const rule *r = &en->rs->rules[i];

    if (r->mode != EMK_FRAUD_LIVE || r->paranoia > en->rs->blocking_paranoia ||
        en->dyn->rule[i].demoted)
        return false;
    /* The share of entities is the same from one event to the next, and another for each rule. */
    return r->percent == 100 ||
           emk_fraud_entity_key(en->rs, EMK_FRAUD_USER, key, i + 1) % 100 < r->percent;
}

static bool excepted(emk_fraud_engine *en, const rule *r)
{
    for (unsigned i = 0; i < r->n_except; i++) {
        if (emk_fraud_on_list(en, r->except[i].list, r->except[i].field))
            return true;
    }
    return false;
}

/* Its place among the entity's contributions: its own, a free one, or the smallest. */
static contribution *place_for(const emk_fraud_engine *en, slab *s, unsigned rule_index)
{
    contribution *best = NULL;
    int64_t least = INT64_MAX;

    for (unsigned i = 0; i < CONTRIBUTIONS; i++) {
        int64_t left = 0;

        if (s->c[i].used && s->c[i].rule == rule_index)
            return &s->c[i];
        if (s->c[i].used)
            left = emk_fraud_left(en->rs, &s->c[i], en->now);
        left = left < 0 ? -left : left;
        if (left < least) {
            least = left;
            best = &s->c[i];
        }
    }
    best->used = 0;
    return best;
}

static void contribute(emk_fraud_engine *en, unsigned i, bool live)
{
    const rule *r = &en->rs->rules[i];
    contribution *c = place_for(en, en->of[r->entity], i);
    int64_t cap = en->rs->family[r->family].cap, v = r->score;

    if (r->accumulate && c->used)
        v += emk_fraud_left(en->rs, c, en->now);
    v = r->accumulate && v > cap ? cap : v;
    *c = (contribution){.milli = (int32_t)v,
                        .time_s = (uint32_t)(en->now / 1000),
                        .rule = (uint8_t)i,
                        .shadow = !live,
                        .used = 1};
}

static void run_rule(emk_fraud_engine *en, vm *m, unsigned i)
{
    const rule *r = &en->rs->rules[i];
    emk_fraud_rule_stats *stats = &en->dyn->rule[i];
    uint64_t key = en->ahead->entity_key[r->entity];
    bool live;
    int fires;

    if (r->mode == EMK_FRAUD_OFF || r->paranoia > en->rs->detection_paranoia ||
        i == en->options.without || !en->of[r->entity])
        return;
    stats->run++;
    m->jitter =
        r->jitter
            ? (int64_t)(emk_fraud_entity_key(en->rs, EMK_FRAUD_DEVICE, key, i + 1) % 401) - 200
            : 0;
    fires = emk_fraud_run(m, &r->when_code);
    stats->unknown += fires < 0;
    if (fires != 1 || excepted(en, r))
        return;
    live = emk_fraud_is_live(en, i, key);
    stats->fired += live;
    stats->fired_shadow += !live;
    en->fired_now[i / 64] |= UINT64_C(1) << (i % 64);
    en->left[i] = m->sides_known ? m->left : 0;
    en->right[i] = m->sides_known ? m->right : 0;
    en->effects |= live ? r->effects : 0;
    contribute(en, i, live);
}

static void run_rules(emk_fraud_engine *en)
{
    vm m = {.rs = en->rs, .feature = feature_of, .field = field_of, .self = en};
    unsigned type = en->ev->type;

    memset(en->fired_now, 0, sizeof en->fired_now);
    en->effects = 0;
    for (unsigned k = 0; k < en->rs->n_rules_of_type[type]; k++)
        run_rule(en, &m, en->rs->rules_of_type[type][k]);
}

/* ---- the stream ---- */

static emk_span record(const emk_fraud_engine *en, const emk_fraud_decision *d,
                       uint8_t out[RECORD_MAX])
{
    emk_writer w;

    emk_writer_init(&w, out, RECORD_MAX);
    emk_write_u64be(&w, d->number);
    emk_write_u64be(&w, en->ev->ts);
    emk_write_u64be(&w, en->ahead->hash[EMK_FRAUD_F_ID]);
    emk_write_u8(&w, (uint8_t)en->ev->type);
    emk_write_u8(&w, (uint8_t)d->action);
    emk_write_u8(&w, (uint8_t)d->shadow);
    emk_write_u8(&w, d->has_draft ? (uint8_t)d->draft : 255);
    emk_write_u64be(&w, (uint64_t)d->score);
    emk_write_u64be(&w, (uint64_t)d->shadow_score);
    emk_write_u32be(&w, d->flags);
    emk_write_u32be(&w, d->effects);
    emk_write_u32be(&w, d->retry_after_s);
    emk_write_u8(&w, (uint8_t)d->n_reasons);
    for (unsigned i = 0; i < d->n_reasons; i++) {
        emk_write_u16be(&w, d->reason[i].rule);
        emk_write_u8(&w, d->reason[i].entity);
        emk_write_u8(&w, (uint8_t)(d->reason[i].now | d->reason[i].shadow << 1));
        emk_write_u64be(&w, (uint64_t)d->reason[i].add);
        emk_write_u64be(&w, (uint64_t)d->reason[i].value);
        emk_write_u64be(&w, (uint64_t)d->reason[i].limit);
    }
    return emk_writer_span(&w);
}

static emk_status fold(const emk_fraud_engine *en, uint8_t out[32], emk_error *e)
{
    const dynamic *y = en->dyn;
    emk_span parts[2] = {emk_span_of(y->chain, sizeof y->chain),
                         emk_span_of(y->stream, (size_t)y->stream_len)};

    return emk_sha256(en->crypto, parts, 2, out, e);
}

static emk_status append_record(emk_fraud_engine *en, const emk_fraud_decision *d, emk_error *e)
{
    dynamic *y = en->dyn;
    uint8_t bytes[RECORD_MAX];
    emk_span r;
    emk_status st = EMK_OK;

    if (en->options.no_stream)
        return EMK_OK;
    r = record(en, d, bytes);
    if (y->stream_len + r.len > STREAM_LEN) {
        st = fold(en, y->chain, e);
        y->stream_len = 0;
    }
    memcpy(y->stream + y->stream_len, r.p, r.len);
    y->stream_len += r.len;
    return st;
}

emk_status emk_fraud_stream_hash(emk_fraud_engine *en, uint8_t out[32], emk_error *e)
{
    emk_status st;

    emk_lock_take(en->lock);
    st = fold(en, out, e);
    emk_lock_give(en->lock);
    return st;
}

/* ---- decide ---- */

static void move_hours(emk_fraud_engine *en)
{
    dynamic *y = en->dyn;
    uint64_t hour = en->now / HOUR_MS, period = en->now / (UINT64_C(28) * 86400000);

    if (period != y->period) {
        y->period = period;
        y->period_days = 0;
        for (unsigned i = 0; i < en->rs->n_rules; i++)
            y->rule[i].challenged = y->rule[i].passed = 0;
    }
    if (hour == y->hour)
        return;
    for (uint64_t h = y->hour + 1, n = 0; h <= hour && n < HOURS; h++, n++)
        y->denied[h % HOURS] = y->active[h % HOURS] = 0;
    if (hour - y->hour >= HOURS) {
        memset(y->denied, 0, sizeof y->denied);
        memset(y->active, 0, sizeof y->active);
    }
    y->hours_seen += y->hours_seen < HOURS;
    y->hour = hour;
}

/* The clock, and what is no new event; EMK_OK to go on. */
static emk_status begin(emk_fraud_engine *en, const emk_fraud_event *ev, emk_fraud_decision *d,
                        emk_error *e)
{
    dynamic *y = en->dyn;

    en->ev = ev;
    en->full = 0;
    if (en->options.max_jump_ms && y->clock && ev->ts > y->clock + en->options.max_jump_ms) {
        y->future++;
        return emk_fail(e, EMK_E_STALE, "fraud: event from the future", ev->ts);
    }
    if (is_duplicate(en)) {
        y->duplicate++;
        return emk_fail(e, EMK_E_USED, "fraud: event was here before", y->number);
    }
    if (++en->stamp == 0)
        memset(en->value_stamp, 0xff, sizeof en->value_stamp);
    if (ev->ts + EMK_FRAUD_LATE_MS < y->clock) {
        y->late++;
        d->flags |= EMK_FRAUD_IS_LATE;
    }
    if (ev->ts > y->clock)
        y->clock = ev->ts;
    en->now = y->clock;
    move_hours(en);
    return EMK_OK;
}

static emk_status run_draft(emk_fraud_engine *en, emk_fraud_decision *d, emk_error *e)
{
    emk_fraud_decision draft;
    emk_status st = emk_fraud_decide(en->draft, en->ev, &draft, e);

    if (st != EMK_OK)
        return st;
    d->has_draft = true;
    d->draft = draft.action;
    d->live = d->action;
    if (emk_fraud_draft_decides(en))
        emk_fraud_take_draft(d, &draft);
    return EMK_OK;
}

static emk_status decide_locked(emk_fraud_engine *en, const emk_fraud_event *ev,
                                emk_fraud_decision *d, emk_error *e)
{
    emk_status st = begin(en, ev, d, e);

    if (st != EMK_OK)
        return st;
    d->number = en->dyn->number++;
    find_entities(en);
    touch_features(en);
    emk_fraud_apply_event(en);
    run_rules(en);
    emk_fraud_score(en, d);
    if (en->full) {
        d->flags |= EMK_FRAUD_IS_FULL;
        en->dyn->full++;
    }
    if (EMK_FRAUD_TYPE[ev->type].decides)
        en->dyn->decisions[d->action]++;
    if (en->draft)
        st = run_draft(en, d, e);
    return st == EMK_OK ? append_record(en, d, e) : st;
}

static emk_status decide_fetched(emk_fraud_engine *en, const emk_fraud_event *ev,
                                 emk_fraud_ahead *a, emk_fraud_decision *out, emk_error *e)
{
    emk_fraud_decision d;
    emk_status st;

    memset(&d, 0, sizeof d);
    en->ahead = a;
    st = decide_locked(en, ev, &d, e);
    if (st == EMK_OK)
        *out = d;
    return st;
}

emk_status emk_fraud_decide_ahead(emk_fraud_engine *en, const emk_fraud_event *ev,
                                  emk_fraud_ahead *a, emk_fraud_decision *out, emk_error *e)
{
    emk_status st;

    emk_lock_take(en->lock);
    st = decide_fetched(en, ev, a, out, e);
    emk_lock_give(en->lock);
    return st;
}

emk_status emk_fraud_decide(emk_fraud_engine *en, const emk_fraud_event *ev,
                            emk_fraud_decision *out, emk_error *e)
{
    emk_fraud_ahead a;
    emk_status st;

    emk_fraud_look_ahead(en->rs, ev, &a);
    emk_lock_take(en->lock);
    emk_fraud_fetch_slots(en, &a);
    emk_fraud_fetch_slabs(en, &a);
    st = decide_fetched(en, ev, &a, out, e);
    emk_lock_give(en->lock);
    return st;
}

emk_status emk_fraud_note(emk_fraud_engine *en, const emk_fraud_event *ev, emk_error *e)
{
    emk_fraud_decision d;

    return emk_fraud_decide(en, ev, &d, e);
}

/* ---- looking ---- */

const emk_fraud_ruleset *emk_fraud_engine_ruleset(const emk_fraud_engine *en)
{
    return en->rs;
}

void emk_fraud_engine_stats(emk_fraud_engine *en, emk_fraud_stats *out)
{
    const dynamic *y = en->dyn;

    emk_lock_take(en->lock);
    *out = (emk_fraud_stats){.events = y->number,
                             .late = y->late,
                             .duplicate = y->duplicate,
                             .future = y->future,
                             .full = y->full,
                             .user_days = y->user_days,
                             .breaker = y->breaker_until > y->clock};
    memcpy(out->decisions, y->decisions, sizeof out->decisions);
    out->memory = sizeof *en + sizeof *y + en->rs->n_sketches * sizeof *en->sketches;
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        const table *t = &en->tables[i];

        out->entities[i] = t->n;
        out->evicted[i] = t->evicted;
        out->slab[i] = t->slab_len;
        out->memory += emk_fraud_table_bytes(t);
    }
    emk_lock_give(en->lock);
}

void emk_fraud_engine_rule(emk_fraud_engine *en, size_t i, emk_fraud_rule_stats *out)
{
    emk_lock_take(en->lock);
    *out = en->dyn->rule[i];
    emk_lock_give(en->lock);
}
