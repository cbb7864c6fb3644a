#include "server/api/signals.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_thread.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/api/api.h"

#include <stdatomic.h>
#include <string.h>

#define MS   UINT64_C(1000000)
#define SEED 16u

/* One event every `gap` after `burst` at once. */
typedef struct pace {
    uint64_t gap_ns;
    uint64_t burst;
} pace;

/* As many as the rules of base.yaml look at, and some more. */
static const pace OF_NET = {3000 * MS, 30}, OF_DEVICE = {10000 * MS, 5};
/* Requests that were under way together when counters leapt are one refusal, not many. */
static const pace OF_REPLAY = {2000 * MS, 1};
static const pace OF_ALL[2] = {{20 * MS, 200}, {5 * MS, 400}}; /* unproven, proven */

/* When what was taken is there again (a leaky bucket's one number). */
typedef struct place {
    uint64_t name, full_ns;
} place;

struct emk_signals {
    const emk_crypto *crypto;
    emk_lock *lock;
    uint8_t seed[SEED]; /* nobody outside knows which names meet in one place */
    place places[EMK_SIGNALS_PLACES];
    uint64_t all_ns[2];
    atomic_uint_fast64_t told, dropped;
};

emk_status emk_signals_new(const emk_crypto *c, emk_signals **out, emk_error *e)
{
    emk_signals *s = emk_alloc(1, sizeof *s);
    emk_status st;

    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "signals: memory", sizeof *s);
    s->crypto = c;
    atomic_init(&s->told, 0);
    atomic_init(&s->dropped, 0);
    st = emk_random_public(c, s->seed, sizeof s->seed, e);
    if (st == EMK_OK)
        st = emk_lock_new(&s->lock, e);
    if (st != EMK_OK) {
        emk_signals_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

void emk_signals_free(emk_signals *s)
{
    if (!s)
        return;
    emk_lock_free(s->lock);
    emk_free(s);
}

void emk_signals_stats_of(const emk_signals *s, emk_signals_stats *out)
{
    *out = (emk_signals_stats){0};
    if (!s)
        return;
    out->told = atomic_load_explicit(&s->told, memory_order_relaxed);
    out->dropped = atomic_load_explicit(&s->dropped, memory_order_relaxed);
}

/* ---- the pace ---- */

static bool has_room(uint64_t full_ns, const pace *p, uint64_t now_ns)
{
    return full_ns <= now_ns || full_ns - now_ns <= (p->burst - 1) * p->gap_ns;
}

static uint64_t after(uint64_t full_ns, const pace *p, uint64_t now_ns)
{
    return (full_ns > now_ns ? full_ns : now_ns) + p->gap_ns;
}

static bool take_locked(emk_signals *s, uint64_t name, const pace *own, bool proven,
                        uint64_t now_ns)
{
    place *at = &s->places[name % EMK_SIGNALS_PLACES];
    uint64_t *all = &s->all_ns[proven];

    if (at->name != name)
        *at = (place){name, 0};
    if (!has_room(at->full_ns, own, now_ns) || !has_room(*all, &OF_ALL[proven], now_ns))
        return false;
    at->full_ns = after(at->full_ns, own, now_ns);
    *all = after(*all, &OF_ALL[proven], now_ns);
    return true;
}

/* Whether one more of this type may be told of whom `id` names. */
static bool may_tell(emk_call *call, emk_fraud_type type, emk_span id, const pace *own, bool proven)
{
    emk_signals *s = call->api->signals;
    uint8_t kind = (uint8_t)type, hash[EMK_SHA256_LEN];
    emk_span parts[] = {emk_span_of(s->seed, sizeof s->seed), emk_span_of(&kind, 1), id};
    bool ok;

    if (emk_sha256(s->crypto, parts, sizeof parts / sizeof parts[0], hash, NULL) != EMK_OK)
        return false;
    emk_lock_take(s->lock);
    ok = take_locked(s, emk_load_u64be(hash), own, proven, call->request.now_ns);
    emk_lock_give(s->lock);
    atomic_fetch_add_explicit(ok ? &s->told : &s->dropped, 1, memory_order_relaxed);
    return ok;
}

/* ---- the events ---- */

static void tell(emk_call *call, const emk_decide_in *who, emk_fraud_type type)
{
    emk_fraud_event ev;

    emk_fraud_event_init(&ev, type, emk_api_now(call->api) * 1000);
    emk_api_note(call, who, &ev);
}

void emk_signal_net(emk_call *call, emk_fraud_type type)
{
    static const emk_decide_in nobody = {.device = NULL};
    emk_net net = emk_net_of_client(&call->gate.client);
    char text[EMK_NET_TEXT_MAX];

    if (!call->api->signals || call->gate.client.family == EMK_ADDRESS_NONE)
        return;
    emk_net_format(&net, text);
    if (may_tell(call, type, emk_span_str(text), &OF_NET, false))
        tell(call, &nobody, type);
}

static void tell_device(emk_call *call, const emk_decide_in *who, emk_fraud_type type,
                        const pace *own)
{
    if (call->api->signals &&
        may_tell(call, type, emk_span_of(who->device_id, EMK_GATE_DEVICE_ID_LEN), own, true))
        tell(call, who, type);
}

void emk_signal_device(emk_call *call, const emk_decide_in *who, emk_fraud_type type)
{
    tell_device(call, who, type, &OF_DEVICE);
}

/* Its record is read only when there is something to be told. */
static void tell_replay(emk_call *call)
{
    const uint8_t *id = call->gate.proven;
    emk_device_record *device = emk_arena_take(&call->arena, sizeof *device);
    emk_decide_in who = {.device_id = id, .device = device};

    if (!device || !may_tell(call, EMK_FRAUD_REPLAY, emk_span_of(id, EMK_GATE_DEVICE_ID_LEN),
                             &OF_REPLAY, true))
        return;
    if (emk_device_get(&call->api->records, id, device, NULL, NULL) == EMK_OK)
        tell(call, &who, EMK_FRAUD_REPLAY);
}

void emk_signal_refused(emk_call *call)
{
    if (!call->api->signals)
        return;
    switch (call->gate.reason) {
    case EMK_GATE_REPLAYED:
        if (call->gate.has_proven)
            tell_replay(call);
        break;
    case EMK_GATE_SIGNATURE_BAD:
    case EMK_GATE_DEVICE_UNKNOWN:
        emk_signal_net(call, EMK_FRAUD_SIG_FAIL);
        break;
    default:
        break;
    }
}
