/* Counters in memory.  What the fields of a place mean:
 *   limits   until = the theoretical arrival time (TAT) of GCRA: in the past it is recovered
 *   windows  a = highest counter, b = bit i: highest - i was there, c = the stored bound
 *   once     until alone
 *   leases   a = id; several places of one key */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/reader.h"
#include "core/base/secret.h"
#include "core/base/status.h"
#include "core/base/writer.h"
#include "server/store/counters.h"
#include "server/store/place_table.h"
#include "server/store/siphash.h"

#include <string.h>

#define PLACES_DEFAULT 65536u
#define LEASES_DEFAULT 4096u
#define PLACES_MAX     (16u << 20)
#define NS_PER_S       UINT64_C(1000000000)

enum { LIMITS, WINDOWS, ONCE, LEASES, N_TABLES };

typedef struct memory {
    uint8_t seed[EMK_COUNTERS_SEED_LEN];
    emk_place_table table[N_TABLES];
} memory;

static void hash_key(const memory *m, const emk_counter_key *key, uint8_t out[EMK_PLACE_KEY])
{
    uint8_t space[4];
    emk_span parts[2] = {emk_span_of(space, sizeof space), key->bytes};

    emk_store_u32be(space, key->space);
    emk_siphash(m->seed, parts, 2, out);
}

/* Hashes the key and takes the lock of its shard. */
static emk_place_shard *enter(memory *m, int table, const emk_counter_key *key,
                              uint8_t hash[EMK_PLACE_KEY])
{
    emk_place_shard *s;

    hash_key(m, key, hash);
    s = &m->table[table].shard[emk_place_shard_of(hash)];
    emk_lock_take(s->lock);
    return s;
}

/* ---- limits ---- */

typedef struct taking {
    uint8_t hash[EMK_LIMITS_MAX][EMK_PLACE_KEY];
    bool shards[EMK_PLACE_SHARDS];
    uint64_t now;
} taking;

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* In the order of the shards, so that two calls cannot wait for each other. */
static void lock_shards(emk_place_table *t, taking *k, uint64_t now_ns)
{
    k->now = now_ns;
    for (size_t i = 0; i < EMK_PLACE_SHARDS; i++) {
        if (k->shards[i]) {
            emk_lock_take(t->shard[i].lock);
            k->now = later(k->now, t->shard[i].last_ns);
        }
    }
    for (size_t i = 0; i < EMK_PLACE_SHARDS; i++) {
        if (k->shards[i])
            t->shard[i].last_ns = k->now;
    }
}

static void unlock_shards(emk_place_table *t, const taking *k)
{
    for (size_t i = EMK_PLACE_SHARDS; i > 0; i--) {
        if (k->shards[i - 1])
            emk_lock_give(t->shard[i - 1].lock);
    }
}

static uint64_t tat_of(const emk_place_shard *s, const uint8_t hash[EMK_PLACE_KEY], uint64_t now)
{
    const emk_place *p = emk_place_find(s, hash);

    return p ? later(p->until, now) : now;
}

static uint64_t room_left(const emk_limit *l, uint64_t debt)
{
    uint64_t span = l->burst * l->unit_ns;

    return debt < span ? (span - debt) / l->unit_ns : 0;
}

/* What this limit alone would say, before anything is taken. */
static emk_limit_state judge(const emk_limit *l, uint64_t debt)
{
    uint64_t span = l->burst * l->unit_ns;
    emk_limit_state s = {.limit = l->burst, .remaining = room_left(l, debt), .reset_ns = debt};

    if (l->cost > l->burst) {
        s.limited = true;
        s.retry_ns = EMK_COUNTER_NEVER;
    } else if (debt + l->cost * l->unit_ns > span) {
        s.limited = true;
        s.retry_ns = debt + l->cost * l->unit_ns - span;
    }
    return s;
}

static void charge(emk_place_table *t, emk_place_shard *s, const uint8_t hash[EMK_PLACE_KEY],
                   uint64_t tat, uint64_t now)
{
    emk_place *p = emk_place_find(s, hash);

    if (!p && tat > now)
        p = emk_place_add(t, s, hash, now); /* never NULL: limits are given away */
    if (p)
        p->until = tat;
}

static bool judge_all(memory *m, const taking *k, const emk_limit *limits, size_t n,
                      emk_limit_state *states)
{
    bool limited = false;

    for (size_t i = 0; i < n; i++) {
        const emk_place_shard *s = &m->table[LIMITS].shard[emk_place_shard_of(k->hash[i])];

        states[i] = judge(&limits[i], tat_of(s, k->hash[i], k->now) - k->now);
        limited |= states[i].limited;
    }
    return limited;
}

static void charge_all(memory *m, const taking *k, const emk_limit *limits, size_t n,
                       emk_limit_state *states)
{
    emk_place_table *t = &m->table[LIMITS];

    for (size_t i = 0; i < n; i++) {
        uint64_t debt = states[i].reset_ns + limits[i].cost * limits[i].unit_ns;

        if (limits[i].cost == 0)
            continue;
        charge(t, &t->shard[emk_place_shard_of(k->hash[i])], k->hash[i], k->now + debt, k->now);
        states[i].reset_ns = debt;
        states[i].remaining = room_left(&limits[i], debt);
    }
}

static emk_status hash_all(const memory *m, taking *k, const emk_limit *limits, size_t n,
                           emk_error *e)
{
    for (size_t i = 0; i < n; i++) {
        hash_key(m, &limits[i].key, k->hash[i]);
        k->shards[emk_place_shard_of(k->hash[i])] = true;
        for (size_t j = 0; j < i; j++) {
            if (memcmp(k->hash[i], k->hash[j], EMK_PLACE_KEY) == 0)
                return emk_fail(e, EMK_E_USAGE, "counters: one key twice in a call", i);
        }
    }
    return EMK_OK;
}

static emk_status memory_take(void *self, const emk_limit *limits, size_t n, uint64_t now_ns,
                              emk_limit_state *states, emk_error *e)
{
    memory *m = self;
    taking k = {.now = now_ns};
    emk_status st = hash_all(m, &k, limits, n, e);

    if (st != EMK_OK)
        return st;
    lock_shards(&m->table[LIMITS], &k, now_ns);
    if (!judge_all(m, &k, limits, n, states))
        charge_all(m, &k, limits, n, states);
    unlock_shards(&m->table[LIMITS], &k);
    return EMK_OK;
}

static emk_status memory_refund(void *self, const emk_limit *limit, uint64_t now_ns, emk_error *e)
{
    memory *m = self;
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(m, LIMITS, &limit->key, hash);
    emk_place *p = emk_place_find(s, hash);
    uint64_t now = emk_place_now(s, now_ns);

    (void)e;
    if (p && p->until > now) {
        /* More than the whole limit is no more than recovered. */
        uint64_t back = limit->cost > limit->burst ? UINT64_MAX : limit->cost * limit->unit_ns;

        p->until = p->until - now > back ? p->until - back : now;
    }
    emk_lock_give(s->lock);
    return EMK_OK;
}

/* ---- replay windows ---- */

static emk_status slide(emk_place *p, uint64_t counter, emk_error *e)
{
    uint64_t d;

    if (counter > p->a) {
        d = counter - p->a;
        p->b = (d < EMK_REPLAY_WINDOW ? p->b << d : 0) | 1;
        p->a = counter;
        return EMK_OK;
    }
    d = p->a - counter;
    if (d >= EMK_REPLAY_WINDOW)
        return emk_fail(e, EMK_E_STALE, "counters: too far behind", p->a);
    if (p->b >> d & 1)
        return emk_fail(e, EMK_E_USED, "counters: this number was there before", counter);
    p->b |= UINT64_C(1) << d;
    return EMK_OK;
}

static emk_status memory_replay(void *self, const emk_replay_ask *ask, uint64_t now_ns,
                                emk_replay *out, emk_error *e)
{
    memory *m = self;
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(m, WINDOWS, &ask->key, hash);
    emk_place *p = emk_place_find(s, hash);
    uint64_t now = emk_place_now(s, now_ns);
    emk_status st;

    if (!p || p->until <= now) {
        emk_lock_give(s->lock);
        return emk_fail(e, EMK_E_NOT_FOUND, "counters: no window in memory", 0);
    }
    st = slide(p, ask->counter, e);
    p->until = later(p->until, ask->until_ns);
    *out = (emk_replay){.next = p->a + 1};
    /* The same bound for all that ask meanwhile; what is not yet stored does not count. */
    if (st == EMK_OK && ask->counter > p->c)
        out->store = (ask->counter / EMK_REPLAY_AHEAD + 1) * EMK_REPLAY_AHEAD;
    emk_lock_give(s->lock);
    return st;
}

static emk_status memory_replay_seed(void *self, const emk_counter_key *key, uint64_t bound,
                                     uint64_t until_ns, uint64_t now_ns, emk_error *e)
{
    memory *m = self;
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(m, WINDOWS, key, hash);
    emk_place *p = emk_place_find(s, hash);
    uint64_t now = emk_place_now(s, now_ns);
    emk_status st = EMK_OK;

    if (!p || p->until <= now) {
        if (!p)
            p = emk_place_add(&m->table[WINDOWS], s, hash, now);
        if (p) {
            p->until = until_ns;
            p->a = bound;
            p->b = UINT64_MAX;
            p->c = bound;
        } else {
            st = emk_fail(e, EMK_E_LIMIT, "counters: no place for a window", s->n);
        }
    }
    emk_lock_give(s->lock);
    return st;
}

static emk_status memory_replay_stored(void *self, const emk_counter_key *key, uint64_t bound,
                                       emk_error *e)
{
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(self, WINDOWS, key, hash);
    emk_place *p = emk_place_find(s, hash);

    (void)e;
    if (p)
        p->c = later(p->c, bound);
    emk_lock_give(s->lock);
    return EMK_OK;
}

/* ---- once ---- */

static emk_status memory_once(void *self, const emk_counter_key *key, uint64_t until_ns,
                              uint64_t now_ns, emk_error *e)
{
    memory *m = self;
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(m, ONCE, key, hash);
    emk_place *p = emk_place_find(s, hash);
    uint64_t now = emk_place_now(s, now_ns);
    emk_status st = EMK_OK;

    if (p && p->until > now)
        st = emk_fail(e, EMK_E_USED, "counters: used before", 0);
    else if (!p && !(p = emk_place_add(&m->table[ONCE], s, hash, now)))
        st = emk_fail(e, EMK_E_LIMIT, "counters: no place to remember a use", s->n);
    if (st == EMK_OK)
        p->until = until_ns;
    emk_lock_give(s->lock);
    return st;
}

/* ---- leases ---- */

static emk_status memory_lease_take(void *self, const emk_counter_lease *lease, uint64_t now_ns,
                                    uint64_t *id, emk_error *e)
{
    memory *m = self;
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(m, LEASES, &lease->key, hash);
    uint64_t now = emk_place_now(s, now_ns);
    emk_place *dead = NULL;
    emk_status st = EMK_OK;
    uint32_t out = 0;

    for (emk_place *p = emk_place_find(s, hash); p; p = emk_place_next(s, p)) {
        if (p->until > now)
            out++;
        else
            dead = p;
    }
    if (out >= lease->max)
        st = emk_fail(e, EMK_E_BUSY, "counters: as many as allowed are at work", out);
    else if (!dead && !(dead = emk_place_add(&m->table[LEASES], s, hash, now)))
        st = emk_fail(e, EMK_E_LIMIT, "counters: no place for a lease", s->n);
    if (st == EMK_OK) {
        dead->until = lease->until_ns;
        dead->a = *id = ++s->sequence;
    }
    emk_lock_give(s->lock);
    return st;
}

static emk_place *find_lease(const emk_place_shard *s, const uint8_t hash[EMK_PLACE_KEY],
                             uint64_t id)
{
    emk_place *p = emk_place_find(s, hash);

    while (p && p->a != id)
        p = emk_place_next(s, p);
    return p;
}

static emk_status memory_lease_keep(void *self, const emk_counter_lease *lease, uint64_t id,
                                    uint64_t now_ns, emk_error *e)
{
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(self, LEASES, &lease->key, hash);
    emk_place *p = find_lease(s, hash, id);
    emk_status st = EMK_OK;

    if (p && p->until > emk_place_now(s, now_ns))
        p->until = lease->until_ns;
    else
        st = emk_fail(e, EMK_E_NOT_FOUND, "counters: the lease has ended", id);
    emk_lock_give(s->lock);
    return st;
}

static void memory_lease_give(void *self, const emk_counter_key *key, uint64_t id)
{
    uint8_t hash[EMK_PLACE_KEY];
    emk_place_shard *s = enter(self, LEASES, key, hash);
    emk_place *p = find_lease(s, hash, id);

    if (p)
        p->until = 0;
    emk_lock_give(s->lock);
}

/* ---- snapshot ---- */

/* "EMKCNT01", time of day, seed, then for each place its table, key, the time it has left and
 * its three numbers; at the end SipHash of all before, under the seed. */
static const uint8_t MAGIC[8] = {'E', 'M', 'K', 'C', 'N', 'T', '0', '1'};
#define HEAD_LEN  (8u + 8u + EMK_COUNTERS_SEED_LEN)
#define ENTRY_LEN (1u + EMK_PLACE_KEY + 4u * 8u)

static emk_status save_place(int table, const emk_place *p, uint64_t now, emk_buf *out,
                             emk_error *e)
{
    uint8_t bytes[ENTRY_LEN];
    emk_writer w;

    if (p->until <= now)
        return EMK_OK;
    emk_writer_init(&w, bytes, sizeof bytes);
    emk_write_u8(&w, (uint8_t)table);
    emk_write_bytes(&w, emk_span_of(p->key, EMK_PLACE_KEY));
    emk_write_u64be(&w, p->until - now);
    emk_write_u64be(&w, p->a);
    emk_write_u64be(&w, p->b);
    emk_write_u64be(&w, p->c);
    return emk_buf_append(out, emk_writer_span(&w), e);
}

static emk_status save_shard(int table, emk_place_shard *s, uint64_t now_ns, emk_buf *out,
                             emk_error *e)
{
    emk_status st = EMK_OK;
    uint64_t now;

    emk_lock_take(s->lock);
    now = emk_place_now(s, now_ns);
    for (uint32_t i = 0; i < s->n && st == EMK_OK; i++)
        st = save_place(table, &s->places[i], now, out, e);
    emk_lock_give(s->lock);
    return st;
}

static emk_status memory_save(void *self, uint64_t now_ns, uint64_t wall_s, emk_buf *out,
                              emk_error *e)
{
    memory *m = self;
    uint8_t head[HEAD_LEN], sum[EMK_SIPHASH_LEN];
    emk_status st;
    emk_span all;

    memcpy(head, MAGIC, sizeof MAGIC);
    emk_store_u64be(head + 8, wall_s);
    memcpy(head + 16, m->seed, sizeof m->seed);
    st = emk_buf_append(out, emk_span_of(head, sizeof head), e);
    for (int t = 0; t < LEASES && st == EMK_OK; t++) {
        for (size_t i = 0; i < EMK_PLACE_SHARDS && st == EMK_OK; i++)
            st = save_shard(t, &m->table[t].shard[i], now_ns, out, e);
    }
    if (st != EMK_OK)
        return st;
    all = emk_buf_span(out);
    emk_siphash(m->seed, &all, 1, sum);
    return emk_buf_append(out, emk_span_of(sum, sizeof sum), e);
}

/* A place that has run out meanwhile, or finds no room, is left out: windows are then seeded
 * from what is stored. */
static void load_place(memory *m, emk_reader *r, uint64_t now, uint64_t elapsed)
{
    uint8_t table = emk_read_u8(r), key[EMK_PLACE_KEY];
    emk_place_shard *s;
    emk_place *p;
    uint64_t left;

    emk_read_copy(r, key, sizeof key);
    left = emk_read_u64be(r);
    s = table < LEASES ? &m->table[table].shard[emk_place_shard_of(key)] : NULL;
    if (!s || left <= elapsed || left - elapsed > UINT64_MAX - now) {
        emk_read_bytes(r, 24);
        return;
    }
    emk_lock_take(s->lock);
    p = emk_place_find(s, key);
    if (!p)
        p = emk_place_add(&m->table[table], s, key, emk_place_now(s, now));
    if (p) {
        p->until = now + (left - elapsed);
        p->a = emk_read_u64be(r);
        p->b = emk_read_u64be(r);
        p->c = emk_read_u64be(r);
    } else {
        emk_read_bytes(r, 24);
    }
    emk_lock_give(s->lock);
}

static emk_status check_snapshot(emk_span in, emk_error *e)
{
    uint8_t sum[EMK_SIPHASH_LEN];
    emk_span body;

    if (in.len < HEAD_LEN + EMK_SIPHASH_LEN ||
        (in.len - HEAD_LEN - EMK_SIPHASH_LEN) % ENTRY_LEN != 0)
        return emk_fail(e, EMK_E_FORMAT, "counters: length of a snapshot", in.len);
    if (memcmp(in.p, MAGIC, sizeof MAGIC) != 0)
        return emk_fail(e, EMK_E_FORMAT, "counters: not a snapshot", 0);
    body = emk_span_of(in.p, in.len - EMK_SIPHASH_LEN);
    emk_siphash(in.p + 16, &body, 1, sum);
    if (memcmp(sum, in.p + body.len, sizeof sum) != 0)
        return emk_fail(e, EMK_E_FORMAT, "counters: a damaged snapshot", 0);
    return EMK_OK;
}

static emk_status memory_load(void *self, emk_span in, uint64_t now_ns, uint64_t wall_s,
                              emk_error *e)
{
    memory *m = self;
    emk_counters_stats stats = {0};
    emk_status st = check_snapshot(in, e);
    uint64_t saved_s, elapsed = 0;
    emk_reader r;

    for (int t = 0; t < N_TABLES; t++) {
        for (size_t i = 0; i < EMK_PLACE_SHARDS; i++)
            stats.n_limits += m->table[t].shard[i].n_used;
    }
    if (st == EMK_OK && stats.n_limits != 0) /* their keys are hashed under another seed */
        st = emk_fail(e, EMK_E_USAGE, "counters: in use already", stats.n_limits);
    if (st != EMK_OK)
        return st;
    emk_reader_init(&r, emk_span_of(in.p, in.len - EMK_SIPHASH_LEN));
    emk_read_bytes(&r, 8);
    saved_s = emk_read_u64be(&r);
    emk_read_copy(&r, m->seed, sizeof m->seed);
    if (wall_s > saved_s)
        elapsed =
            wall_s - saved_s < UINT64_MAX / NS_PER_S ? (wall_s - saved_s) * NS_PER_S : UINT64_MAX;
    while (emk_reader_left(&r) > 0)
        load_place(m, &r, now_ns, elapsed);
    return EMK_OK;
}

/* ---- the rest ---- */

static void memory_stats(void *self, emk_counters_stats *out)
{
    memory *m = self;
    uint64_t used[N_TABLES] = {0};

    *out = (emk_counters_stats){0};
    for (int t = 0; t < N_TABLES; t++) {
        for (size_t i = 0; i < EMK_PLACE_SHARDS; i++) {
            emk_place_shard *s = &m->table[t].shard[i];

            emk_lock_take(s->lock);
            used[t] += s->n_used;
            out->n_evicted += s->n_evicted;
            out->n_full += s->n_full;
            emk_lock_give(s->lock);
        }
    }
    out->n_limits = used[LIMITS];
    out->n_windows = used[WINDOWS];
    out->n_once = used[ONCE];
    out->n_leases = used[LEASES];
}

static void memory_close(void *self)
{
    memory *m = self;

    for (int t = 0; t < N_TABLES; t++)
        emk_place_table_done(&m->table[t]);
    emk_wipe(m->seed, sizeof m->seed);
    emk_free(m);
}

static const emk_counters_ops MEMORY_OPS = {
    .size = sizeof(emk_counters_ops),
    .name = "memory",
    .take = memory_take,
    .refund = memory_refund,
    .replay = memory_replay,
    .replay_seed = memory_replay_seed,
    .replay_stored = memory_replay_stored,
    .once = memory_once,
    .lease_take = memory_lease_take,
    .lease_keep = memory_lease_keep,
    .lease_give = memory_lease_give,
    .stats = memory_stats,
    .save = memory_save,
    .load = memory_load,
    .close = memory_close,
};

emk_status emk_counters_open_memory(const emk_counters_memory *options, emk_counters *out,
                                    emk_error *e)
{
    uint32_t n[N_TABLES] = {options->limits ? options->limits : PLACES_DEFAULT,
                            options->windows ? options->windows : PLACES_DEFAULT,
                            options->once ? options->once : PLACES_DEFAULT,
                            options->leases ? options->leases : LEASES_DEFAULT};
    emk_status st = EMK_OK;
    memory *m;

    for (int t = 0; t < N_TABLES; t++) {
        if (n[t] > PLACES_MAX)
            return emk_fail(e, EMK_E_LIMIT, "counters: places", n[t]);
    }
    m = emk_alloc(1, sizeof *m);
    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "counters: memory", sizeof *m);
    memcpy(m->seed, options->seed, sizeof m->seed);
    for (int t = 0; t < N_TABLES && st == EMK_OK; t++)
        st = emk_place_table_init(&m->table[t], n[t], t == LIMITS, e);
    if (st != EMK_OK) {
        memory_close(m);
        return st;
    }
    *out = (emk_counters){&MEMORY_OPS, m};
    return EMK_OK;
}
