#include "server/gate/widen.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "server/store/siphash.h"

#include <stdatomic.h>
#include <string.h>

#define WAYS       4u
#define WIDE_BITS  56u
#define WIDER_BITS 48u
#define ONE_BITS   64u
#define WORD_BITS  64u
#define BYTE_BITS  8u

/* A /56 with its 256 /64, or a /48 with its 256 /56.  The child is the byte behind the prefix. */
typedef struct place {
    uint8_t prefix[WIDE_BITS / BYTE_BITS];
    uint8_t bits; /* 0: free */
    uint16_t n;   /* children that met a limit */
    uint64_t until_s;
    uint64_t seen[4]; /* which */
} place;

struct emk_widen {
    uint8_t seed[16];
    emk_lock *lock;
    atomic_uint_fast64_t wide_until_s; /* nothing is wide after that: then the lock is not taken */
    place places[EMK_WIDEN_PLACES];
};

emk_status emk_widen_new(const uint8_t seed[16], emk_widen **out, emk_error *e)
{
    emk_widen *w = emk_alloc(1, sizeof *w);
    emk_status st;

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "widen: memory", sizeof *w);
    memcpy(w->seed, seed, sizeof w->seed);
    atomic_init(&w->wide_until_s, 0);
    st = emk_lock_new(&w->lock, e);
    if (st != EMK_OK) {
        emk_free(w);
        return st;
    }
    *out = w;
    return EMK_OK;
}

void emk_widen_free(emk_widen *w)
{
    if (!w)
        return;
    emk_lock_free(w->lock);
    emk_free(w);
}

static place *set_of(emk_widen *w, const emk_address *a, uint8_t bits)
{
    emk_span parts[] = {emk_span_of(a->b, bits / BYTE_BITS), emk_span_of(&bits, 1)};
    uint8_t hash[EMK_SIPHASH_LEN];
    size_t set;

    emk_siphash(w->seed, parts, 2, hash);
    set = (size_t)(hash[0] | hash[1] << BYTE_BITS) % (EMK_WIDEN_PLACES / WAYS);
    return w->places + set * WAYS;
}

static place *find(emk_widen *w, const emk_address *a, uint8_t bits, uint64_t now_s)
{
    place *set = set_of(w, a, bits);

    for (size_t i = 0; i < WAYS; i++)
        if (set[i].bits == bits && set[i].until_s > now_s &&
            memcmp(set[i].prefix, a->b, bits / BYTE_BITS) == 0)
            return &set[i];
    return NULL;
}

/* Free or over, else the one with the fewest children. */
static place *make(emk_widen *w, const emk_address *a, uint8_t bits, uint64_t now_s)
{
    place *set = set_of(w, a, bits), *best = set;

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].until_s <= now_s) {
            best = &set[i];
            break;
        }
        if (set[i].n < best->n)
            best = &set[i];
    }
    *best = (place){.bits = bits};
    memcpy(best->prefix, a->b, bits / BYTE_BITS);
    return best;
}

static bool is_wide(emk_widen *w, const emk_address *a, uint8_t bits, uint64_t now_s)
{
    const place *p = find(w, a, bits, now_s);

    return p && p->n >= EMK_WIDEN_CHILDREN;
}

static uint8_t bits_of(emk_widen *w, const emk_address *a, uint64_t now_s)
{
    if (is_wide(w, a, WIDER_BITS, now_s))
        return WIDER_BITS;
    return is_wide(w, a, WIDE_BITS, now_s) ? WIDE_BITS : ONE_BITS;
}

emk_net emk_widen_net(emk_widen *w, const emk_address *client, uint64_t now_s)
{
    uint8_t bits;

    if (client->family != EMK_ADDRESS_V6 ||
        atomic_load_explicit(&w->wide_until_s, memory_order_relaxed) <= now_s)
        return emk_net_of_client(client);
    emk_lock_take(w->lock);
    bits = bits_of(w, client, now_s);
    emk_lock_give(w->lock);
    return emk_net_of(client, bits);
}

static void note(emk_widen *w, const emk_address *a, uint8_t bits, uint64_t now_s)
{
    place *p = find(w, a, bits, now_s);
    uint8_t child = a->b[bits / BYTE_BITS];
    uint64_t bit = UINT64_C(1) << child % WORD_BITS;

    if (!p)
        p = make(w, a, bits, now_s);
    p->n = (uint16_t)(p->n + ((p->seen[child / WORD_BITS] & bit) == 0));
    p->seen[child / WORD_BITS] |= bit;
    p->until_s = now_s + EMK_WIDEN_LIFE_S;
    if (p->n >= EMK_WIDEN_CHILDREN)
        atomic_store_explicit(&w->wide_until_s, p->until_s, memory_order_relaxed);
}

void emk_widen_limited(emk_widen *w, const emk_address *client, uint64_t now_s)
{
    uint8_t bits;

    if (client->family != EMK_ADDRESS_V6)
        return;
    emk_lock_take(w->lock);
    bits = bits_of(w, client, now_s);
    if (bits == ONE_BITS)
        note(w, client, WIDE_BITS, now_s);
    else
        note(w, client, WIDER_BITS, now_s);
    /* One that is wide stays so while it meets limits. */
    if (bits == WIDE_BITS)
        note(w, client, WIDE_BITS, now_s);
    emk_lock_give(w->lock);
}
