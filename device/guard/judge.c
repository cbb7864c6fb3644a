#include "device/guard/judge.h"

#include "device/guard/tally.h"

emk_guard_action emk_guard_judge_findings(const emk_guard_finding *findings, size_t n,
                                          emk_guard_level level, const uint8_t *overrides)
{
    return emk_tally_action(findings, n, level, overrides);
}

/* What weighs most: an override's action, else the confidence. */
static unsigned weight(const emk_guard_finding *f, const uint8_t *overrides)
{
    const unsigned own = overrides[f->signal];

    return own ? own : (unsigned)f->confidence + 1u;
}

emk_guard_signal emk_guard_worst(const emk_guard_finding *findings, size_t n,
                                 const uint8_t *overrides)
{
    size_t worst = 0;

    for (size_t i = 1; i < n; i++) {
        if (weight(&findings[i], overrides) > weight(&findings[worst], overrides))
            worst = i;
    }
    return n ? findings[worst].signal : EMK_GUARD_BLIND;
}
