#include "device/guard/judge.h"

#define BLIND_TOO_OFTEN 3u
#define GRACE_LOOKS     2u

/* Families by how sure their findings are. */
typedef struct tally {
    uint32_t hints, likely, likely_twice; /* bits of families */
    bool certain;
    emk_guard_action forced; /* by overrides */
} tally;

static unsigned count_bits(uint32_t v)
{
    unsigned n = 0;

    for (; v; v &= v - 1)
        n++;
    return n;
}

static void add(tally *t, const emk_guard_finding *f)
{
    const uint32_t family = 1u << emk_guard_signal_about(f->signal)->family;
    const bool blinded = f->signal == EMK_GUARD_BLIND && f->n_seen >= BLIND_TOO_OFTEN;

    if (f->confidence == EMK_GUARD_CERTAIN)
        t->certain = true;
    else if (f->confidence == EMK_GUARD_LIKELY || blinded)
        *(f->n_seen >= GRACE_LOOKS ? &t->likely_twice : &t->likely) |= family;
    else
        t->hints |= family;
}

static emk_guard_action judge_careful(const tally *t)
{
    if (t->certain || count_bits(t->likely_twice) >= 2)
        return EMK_GUARD_DO_REFUSE;
    if (t->likely_twice)
        return EMK_GUARD_DO_DEGRADE;
    return EMK_GUARD_DO_REPORT;
}

static emk_guard_action judge_strict(const tally *t)
{
    if (t->certain)
        return EMK_GUARD_DO_WIPE;
    if (t->likely_twice || count_bits(t->likely) >= 2)
        return EMK_GUARD_DO_REFUSE;
    if (t->likely || count_bits(t->hints) >= 2)
        return EMK_GUARD_DO_DEGRADE;
    return EMK_GUARD_DO_REPORT;
}

emk_guard_action emk_guard_judge_findings(const emk_guard_finding *findings, size_t n,
                                          emk_guard_level level, const uint8_t *overrides)
{
    emk_guard_action action = EMK_GUARD_DO_REPORT;
    tally t = {0};

    if (level == EMK_GUARD_OFF || n == 0)
        return EMK_GUARD_DO_NOTHING;
    for (size_t i = 0; i < n; i++) {
        const uint8_t own = overrides[findings[i].signal];

        if (own == 0)
            add(&t, &findings[i]);
        else if (own > (uint8_t)t.forced)
            t.forced = (emk_guard_action)own;
    }
    if (level == EMK_GUARD_CAREFUL)
        action = judge_careful(&t);
    else if (level == EMK_GUARD_STRICT)
        action = judge_strict(&t);
    return t.forced > action ? t.forced : action;
}
