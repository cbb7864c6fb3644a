#include "server/gate/replay.h"

#define NS UINT64_C(1000000000)

static emk_status seed(const emk_replay_guard *r, const emk_counter_key *key, uint64_t until_ns,
                       uint64_t now_ns, emk_error *e)
{
    uint64_t bound = 0;
    emk_status st;

    st = r->store.load(r->store.self, key->bytes.p, &bound, e);
    if (st != EMK_OK)
        return st;
    return emk_counters_replay_seed(r->counters, key, bound, until_ns, now_ns, e);
}

emk_status emk_replay_take(const emk_replay_guard *r, const uint8_t device[32], uint64_t counter,
                           uint64_t now_ns, uint64_t *next, emk_error *e)
{
    const emk_counter_key key = {EMK_REPLAY_SPACE, emk_span_of(device, 32)};
    const uint64_t until_ns = now_ns + EMK_REPLAY_WINDOW_LIFE_S * NS;
    const emk_replay_ask ask = {key, counter, until_ns};
    emk_replay out = {0};
    emk_status st;

    if (counter == 0 || counter > EMK_REPLAY_COUNTER_MAX)
        return emk_fail(e, EMK_E_FORMAT, "replay: counter", counter);
    st = emk_counters_replay(r->counters, &ask, now_ns, &out, e);
    if (st == EMK_E_NOT_FOUND) {
        st = seed(r, &key, until_ns, now_ns, e);
        if (st == EMK_OK)
            st = emk_counters_replay(r->counters, &ask, now_ns, &out, e);
    }
    if (st == EMK_E_USED || st == EMK_E_STALE) {
        *next = out.next;
        return emk_fail(e, EMK_E_USED, "replay: counter was used, or is too old", counter);
    }
    if (st != EMK_OK || out.store == 0)
        return st;
    st = r->store.save(r->store.self, device, out.store, e);
    if (st == EMK_OK)
        st = emk_counters_replay_stored(r->counters, &key, out.store, e);
    return st;
}
