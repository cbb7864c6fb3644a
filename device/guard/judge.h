/* From findings to an action: the only place that decides. */
#ifndef EMK_DEVICE_GUARD_JUDGE_H
#define EMK_DEVICE_GUARD_JUDGE_H

#include "device/guard/internal.h"

/* What the findings amount to at a level.
 *
 *   level     hint                  likely                             certain
 *   report    report                report                             report
 *   careful   report                twice: degrade; two families,      refuse
 *                                   each twice: refuse
 *   strict    two families: degrade once: degrade; twice: refuse       wipe
 *
 * "Twice" is seen in two looks: the grace for what was there once.  Hints of BLIND that repeat
 * three times are likely: somebody takes care that we do not see.  A rule's override for a
 * signal replaces what this table says of that signal alone. */
emk_guard_action emk_guard_judge_findings(const emk_guard_finding *findings, size_t n,
                                          emk_guard_level level, const uint8_t *overrides);
/* The finding that weighs most, to be named to people. */
emk_guard_signal emk_guard_worst(const emk_guard_finding *findings, size_t n,
                                 const uint8_t *overrides);

#endif
