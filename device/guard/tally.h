/* How findings add up.  In a header, so that it is compiled into each place that decides: who
 * patches one of them has not patched the others (docs/decisions/0022). */
#ifndef EMK_DEVICE_GUARD_TALLY_H
#define EMK_DEVICE_GUARD_TALLY_H

#include <earmark/guard.h>

#define EMK_TALLY_BLIND_TOO_OFTEN 3u
#define EMK_TALLY_GRACE_LOOKS     2u

/* Families by how sure their findings are. */
typedef struct emk_tally {
    uint32_t hints, likely, likely_twice; /* bits of families */
    bool certain;
    emk_guard_action forced; /* by overrides */
} emk_tally;

static inline unsigned emk_tally_bits(uint32_t v)
{
    unsigned n = 0;

    for (; v; v &= v - 1)
        n++;
    return n;
}

static inline void emk_tally_add(emk_tally *t, const emk_guard_finding *f)
{
    const uint32_t family = 1u << emk_guard_signal_about(f->signal)->family;
    const bool blinded = f->signal == EMK_GUARD_BLIND && f->n_seen >= EMK_TALLY_BLIND_TOO_OFTEN;

    if (f->confidence == EMK_GUARD_CERTAIN)
        t->certain = true;
    else if (f->confidence == EMK_GUARD_LIKELY || blinded)
        *(f->n_seen >= EMK_TALLY_GRACE_LOOKS ? &t->likely_twice : &t->likely) |= family;
    else
        t->hints |= family;
}

static inline emk_tally emk_tally_of(const emk_guard_finding *findings, size_t n,
                                     const uint8_t *overrides)
{
    emk_tally t = {0};

    for (size_t i = 0; i < n; i++) {
        const uint8_t own = overrides[findings[i].signal];

        if (own == 0)
            emk_tally_add(&t, &findings[i]);
        else if (own > (uint8_t)t.forced)
            t.forced = (emk_guard_action)own;
    }
    return t;
}

static inline emk_guard_action emk_tally_careful(const emk_tally *t)
{
    if (t->certain || emk_tally_bits(t->likely_twice) >= 2)
        return EMK_GUARD_DO_REFUSE;
    if (t->likely_twice)
        return EMK_GUARD_DO_DEGRADE;
    return EMK_GUARD_DO_REPORT;
}

static inline emk_guard_action emk_tally_strict(const emk_tally *t)
{
    if (t->certain)
        return EMK_GUARD_DO_WIPE;
    if (t->likely_twice || emk_tally_bits(t->likely) >= 2)
        return EMK_GUARD_DO_REFUSE;
    if (t->likely || emk_tally_bits(t->hints) >= 2)
        return EMK_GUARD_DO_DEGRADE;
    return EMK_GUARD_DO_REPORT;
}

static inline emk_guard_action emk_tally_action(const emk_guard_finding *findings, size_t n,
                                                emk_guard_level level, const uint8_t *overrides)
{
    emk_guard_action action = EMK_GUARD_DO_REPORT;
    emk_tally t;

    if (level == EMK_GUARD_OFF || n == 0)
        return EMK_GUARD_DO_NOTHING;
    t = emk_tally_of(findings, n, overrides);
    if (level == EMK_GUARD_CAREFUL)
        action = emk_tally_careful(&t);
    else if (level == EMK_GUARD_STRICT)
        action = emk_tally_strict(&t);
    return t.forced > action ? t.forced : action;
}

#endif
