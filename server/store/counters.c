#include "server/store/counters.h"

#include "core/base/os_file.h"
#include "core/base/status.h"

#define SNAPSHOT_MAX (UINT64_C(4) << 30)
#define COUNTER_MAX  (UINT64_C(1) << 63) /* of a request */
#define CLOCK_MAX_NS (UINT64_C(1) << 62)

static emk_status check_key(const emk_counter_key *key, emk_error *e)
{
    if (key->bytes.len == 0 || !key->bytes.p)
        return emk_fail(e, EMK_E_USAGE, "counters: no key", 0);
    if (key->bytes.len > EMK_COUNTER_KEY_MAX)
        return emk_fail(e, EMK_E_USAGE, "counters: length of a key", key->bytes.len);
    return EMK_OK;
}

static emk_status check_call(const emk_counter_key *key, uint64_t now_ns, emk_error *e)
{
    if (now_ns > CLOCK_MAX_NS)
        return emk_fail(e, EMK_E_USAGE, "counters: not a steady clock", now_ns);
    return check_key(key, e);
}

static emk_status check_limit(const emk_limit *l, uint64_t now_ns, emk_error *e)
{
    if (l->unit_ns == 0 || l->burst == 0)
        return emk_fail(e, EMK_E_USAGE, "counters: a limit of nothing", 0);
    if (l->burst > EMK_LIMIT_UNITS_MAX || l->cost > EMK_LIMIT_UNITS_MAX)
        return emk_fail(e, EMK_E_USAGE, "counters: units", l->burst);
    if (l->unit_ns > EMK_LIMIT_SPAN_MAX_NS / l->burst)
        return emk_fail(e, EMK_E_USAGE, "counters: a limit over too long a time", l->unit_ns);
    return check_call(&l->key, now_ns, e);
}

emk_status emk_counters_take(const emk_counters *c, const emk_limit *limits, size_t n,
                             uint64_t now_ns, emk_limit_state *states, emk_error *e)
{
    if (n == 0 || n > EMK_LIMITS_MAX)
        return emk_fail(e, EMK_E_USAGE, "counters: limits in one call", n);
    for (size_t i = 0; i < n; i++) {
        emk_status st = check_limit(&limits[i], now_ns, e);

        if (st != EMK_OK)
            return st;
    }
    return c->ops->take(c->self, limits, n, now_ns, states, e);
}

emk_status emk_counters_refund(const emk_counters *c, const emk_limit *limit, uint64_t now_ns,
                               emk_error *e)
{
    emk_status st = check_limit(limit, now_ns, e);

    return st == EMK_OK ? c->ops->refund(c->self, limit, now_ns, e) : st;
}

emk_status emk_counters_replay(const emk_counters *c, const emk_replay_ask *ask, uint64_t now_ns,
                               emk_replay *out, emk_error *e)
{
    emk_status st = check_call(&ask->key, now_ns, e);

    if (st != EMK_OK)
        return st;
    if (ask->counter == 0 || ask->counter > COUNTER_MAX)
        return emk_fail(e, EMK_E_USAGE, "counters: a request's counter", ask->counter);
    return c->ops->replay(c->self, ask, now_ns, out, e);
}

emk_status emk_counters_replay_seed(const emk_counters *c, const emk_counter_key *key,
                                    uint64_t bound, uint64_t until_ns, uint64_t now_ns,
                                    emk_error *e)
{
    emk_status st = check_call(key, now_ns, e);

    return st == EMK_OK ? c->ops->replay_seed(c->self, key, bound, until_ns, now_ns, e) : st;
}

emk_status emk_counters_replay_stored(const emk_counters *c, const emk_counter_key *key,
                                      uint64_t bound, emk_error *e)
{
    emk_status st = check_key(key, e);

    return st == EMK_OK ? c->ops->replay_stored(c->self, key, bound, e) : st;
}

emk_status emk_counters_once(const emk_counters *c, const emk_counter_key *key, uint64_t until_ns,
                             uint64_t now_ns, emk_error *e)
{
    emk_status st = check_call(key, now_ns, e);

    return st == EMK_OK ? c->ops->once(c->self, key, until_ns, now_ns, e) : st;
}

emk_status emk_counters_lease_take(const emk_counters *c, const emk_counter_lease *lease,
                                   uint64_t now_ns, uint64_t *id, emk_error *e)
{
    emk_status st = check_call(&lease->key, now_ns, e);

    if (st != EMK_OK)
        return st;
    if (lease->max == 0 || lease->max > EMK_LEASES_MAX)
        return emk_fail(e, EMK_E_USAGE, "counters: leases at once", lease->max);
    return c->ops->lease_take(c->self, lease, now_ns, id, e);
}

emk_status emk_counters_lease_keep(const emk_counters *c, const emk_counter_lease *lease,
                                   uint64_t id, uint64_t now_ns, emk_error *e)
{
    emk_status st = check_call(&lease->key, now_ns, e);

    return st == EMK_OK ? c->ops->lease_keep(c->self, lease, id, now_ns, e) : st;
}

void emk_counters_lease_give(const emk_counters *c, const emk_counter_key *key, uint64_t id)
{
    if (check_key(key, NULL) == EMK_OK)
        c->ops->lease_give(c->self, key, id);
}

void emk_counters_stats_get(const emk_counters *c, emk_counters_stats *out)
{
    c->ops->stats(c->self, out);
}

emk_status emk_counters_save(const emk_counters *c, const char *path, uint64_t now_ns,
                             uint64_t wall_s, emk_error *e)
{
    emk_buf bytes;
    emk_status st;

    if (!c->ops->save)
        return EMK_OK;
    emk_buf_init(&bytes, SNAPSHOT_MAX);
    st = c->ops->save(c->self, now_ns, wall_s, &bytes, e);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_buf_span(&bytes), e);
    emk_buf_done(&bytes);
    return st;
}

emk_status emk_counters_restore(const emk_counters *c, const char *path, uint64_t now_ns,
                                uint64_t wall_s, emk_error *e)
{
    emk_buf bytes;
    emk_status st;

    if (!c->ops->load)
        return EMK_OK;
    emk_buf_init(&bytes, SNAPSHOT_MAX);
    st = emk_os_read_file(path, SNAPSHOT_MAX, &bytes, e);
    if (st == EMK_OK)
        st = emk_os_remove(path, e);
    if (st == EMK_OK)
        st = c->ops->load(c->self, emk_buf_span(&bytes), now_ns, wall_s, e);
    emk_buf_done(&bytes);
    return st;
}

void emk_counters_close(emk_counters *c)
{
    if (c->ops)
        c->ops->close(c->self);
    *c = (emk_counters){0};
}
