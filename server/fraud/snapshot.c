/* The state as bytes: a head, the dynamic part, sketches, then each table's slabs in use.
 * Slots are not written, they follow from the slabs.  The bytes are those of this machine's
 * integers: a snapshot is for a restart, not for another architecture; the log is. */
#include "server/fraud/engine_internal.h"

#define MAGIC UINT64_C(0x324e534652464d45) /* "EMFRFSN2" backwards in memory order */
#define PIECE (UINT64_C(1) << 20)

typedef struct head {
    uint64_t magic, offset, dynamic_len, n_sketches;
    uint8_t ruleset[32];
    uint64_t n[EMK_FRAUD_ENTITIES], max[EMK_FRAUD_ENTITIES], slab_len[EMK_FRAUD_ENTITIES];
    uint64_t hand[EMK_FRAUD_ENTITIES], evicted[EMK_FRAUD_ENTITIES];
} head;

/* Bytes and the hash of them, which ends the snapshot. */
typedef struct pipe {
    emk_status (*put)(void *self, emk_span s, emk_error *e);
    emk_status (*get)(void *self, uint8_t *p, size_t len, emk_error *e);
    void *self;
    emk_sha256_ctx *hash;
} pipe;

static emk_status send(pipe *p, const void *bytes, uint64_t len, emk_error *e)
{
    const uint8_t *at = bytes;
    emk_status st = EMK_OK;

    for (uint64_t n; st == EMK_OK && len > 0; at += n, len -= n) {
        n = len < PIECE ? len : PIECE;
        st = p->put(p->self, emk_span_of(at, (size_t)n), e);
        if (st == EMK_OK)
            st = emk_sha256_ctx_update(p->hash, emk_span_of(at, (size_t)n), e);
    }
    return st;
}

static emk_status receive(pipe *p, void *bytes, uint64_t len, emk_error *e)
{
    uint8_t *at = bytes;
    emk_status st = EMK_OK;

    for (uint64_t n; st == EMK_OK && len > 0; at += n, len -= n) {
        n = len < PIECE ? len : PIECE;
        st = p->get(p->self, at, (size_t)n, e);
        if (st == EMK_OK)
            st = emk_sha256_ctx_update(p->hash, emk_span_of(at, (size_t)n), e);
    }
    return st;
}

static void fill_head(const emk_fraud_engine *en, uint64_t offset, head *h)
{
    memset(h, 0, sizeof *h);
    h->magic = MAGIC;
    h->offset = offset;
    h->dynamic_len = sizeof *en->dyn;
    h->n_sketches = en->rs->n_sketches;
    memcpy(h->ruleset, en->rs->hash, sizeof h->ruleset);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        const table *t = &en->tables[i];

        h->n[i] = t->n;
        h->max[i] = t->max;
        h->slab_len[i] = t->slab_len;
        h->hand[i] = t->hand;
        h->evicted[i] = t->evicted;
    }
}

static emk_status send_all(emk_fraud_engine *en, uint64_t offset, pipe *p, emk_error *e)
{
    uint8_t digest[32];
    head h;
    emk_status st;

    fill_head(en, offset, &h);
    st = send(p, &h, sizeof h, e);
    if (st == EMK_OK)
        st = send(p, en->dyn, sizeof *en->dyn, e);
    if (st == EMK_OK)
        st = send(p, en->sketches, en->rs->n_sketches * sizeof *en->sketches, e);
    for (unsigned i = 0; st == EMK_OK && i < EMK_FRAUD_ENTITIES; i++)
        st = send(p, en->tables[i].slabs, (uint64_t)en->tables[i].n * en->tables[i].slab_len, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_finish(p->hash, digest, e);
    return st == EMK_OK ? p->put(p->self, emk_span_of(digest, sizeof digest), e) : st;
}

emk_status emk_fraud_snapshot(emk_fraud_engine *en, uint64_t log_offset,
                              emk_status (*put)(void *self, emk_span s, emk_error *e), void *self,
                              emk_error *e)
{
    pipe p = {.put = put, .self = self};
    emk_status st = emk_sha256_ctx_new(en->crypto, &p.hash, e);

    if (st != EMK_OK)
        return st;
    emk_lock_take(en->lock);
    st = send_all(en, log_offset, &p, e);
    emk_lock_give(en->lock);
    emk_sha256_ctx_free(p.hash);
    return st;
}

static emk_status check_head(const emk_fraud_engine *en, const head *h, emk_error *e)
{
    head mine;

    fill_head(en, h->offset, &mine);
    if (h->magic != MAGIC || h->dynamic_len != mine.dynamic_len)
        return emk_fail(e, EMK_E_FORMAT, "snapshot: of another kind or version", h->magic);
    if (memcmp(h->ruleset, mine.ruleset, sizeof h->ruleset) != 0)
        return emk_fail(e, EMK_E_STALE, "snapshot: of another rule set", 0);
    if (h->n_sketches != mine.n_sketches || memcmp(h->max, mine.max, sizeof h->max) != 0 ||
        memcmp(h->slab_len, mine.slab_len, sizeof h->slab_len) != 0)
        return emk_fail(e, EMK_E_FORMAT, "snapshot: of an engine with other options", 0);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        if (h->n[i] > h->max[i] || h->hand[i] > h->max[i])
            return emk_fail(e, EMK_E_FORMAT, "snapshot: damaged", i);
    }
    return EMK_OK;
}

/* The features of one kind of entity. */
typedef struct own_features {
    const feature *f[EMK_FRAUD_FEATURES_MAX];
    unsigned n;
} own_features;

static void list_features(const emk_fraud_ruleset *rs, unsigned entity, own_features *out)
{
    out->n = 0;
    for (unsigned i = 0; i < rs->n_features; i++) {
        /* Of all kinds, sets alone hold a number that is an index. */
        if (rs->features[i].kind == FK_DISTINCT && rs->features[i].entity == entity)
            out->f[out->n++] = &rs->features[i];
    }
}

static bool is_sound_slab(const emk_fraud_ruleset *rs, const own_features *own, const slab *s)
{
    if (s->action >= EMK_FRAUD_ACTIONS)
        return false;
    for (unsigned c = 0; c < CONTRIBUTIONS; c++) {
        if (s->c[c].rule >= rs->n_rules && s->c[c].used)
            return false;
    }
    for (unsigned i = 0; i < own->n; i++) {
        if (!emk_fraud_feature_is_sound(own->f[i], (const uint8_t *)s + own->f[i]->offset))
            return false;
    }
    return true;
}

/* Numbers that are used as indexes. */
static bool is_sound(const emk_fraud_engine *en)
{
    own_features own;

    if (en->dyn->stream_len > STREAM_LEN)
        return false;
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        list_features(en->rs, i, &own);
        for (uint32_t k = 0; k < en->tables[i].n; k++) {
            if (!is_sound_slab(en->rs, &own, emk_fraud_table_at(&en->tables[i], k)))
                return false;
        }
    }
    return true;
}

static emk_status receive_all(emk_fraud_engine *en, pipe *p, uint64_t *offset, emk_error *e)
{
    uint8_t mine[32], digest[32];
    head h;
    emk_status st = receive(p, &h, sizeof h, e);

    if (st == EMK_OK)
        st = check_head(en, &h, e);
    if (st == EMK_OK)
        st = receive(p, en->dyn, sizeof *en->dyn, e);
    if (st == EMK_OK)
        st = receive(p, en->sketches, en->rs->n_sketches * sizeof *en->sketches, e);
    for (unsigned i = 0; st == EMK_OK && i < EMK_FRAUD_ENTITIES; i++) {
        table *t = &en->tables[i];

        t->n = (uint32_t)h.n[i];
        t->hand = (uint32_t)(h.hand[i] == h.max[i] ? 0 : h.hand[i]);
        t->evicted = h.evicted[i];
        st = receive(p, t->slabs, h.n[i] * h.slab_len[i], e);
    }
    if (st == EMK_OK)
        st = emk_sha256_ctx_finish(p->hash, mine, e);
    if (st == EMK_OK)
        st = p->get(p->self, digest, sizeof digest, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(mine, digest, sizeof mine) != 0 || !is_sound(en))
        return emk_fail(e, EMK_E_FORMAT, "snapshot: damaged", 0);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        if (en->tables[i].max && !emk_fraud_table_index(&en->tables[i]))
            return emk_fail(e, EMK_E_FORMAT, "snapshot: damaged", i);
    }
    *offset = h.offset;
    return EMK_OK;
}

emk_status emk_fraud_restore(emk_fraud_engine *en,
                             emk_status (*get)(void *self, uint8_t *p, size_t len, emk_error *e),
                             void *self, uint64_t *log_offset, emk_error *e)
{
    pipe p = {.get = get, .self = self};
    emk_status st = emk_sha256_ctx_new(en->crypto, &p.hash, e);

    if (st != EMK_OK)
        return st;
    emk_lock_take(en->lock);
    st = receive_all(en, &p, log_offset, e);
    emk_lock_give(en->lock);
    emk_sha256_ctx_free(p.hash);
    return st;
}
