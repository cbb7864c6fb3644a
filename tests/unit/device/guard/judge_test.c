#include "device/guard/judge.h"
#include "tests/support/test.h"

static const uint8_t no_overrides[EMK_GUARD_SIGNALS];

static emk_guard_finding found(emk_guard_signal s, emk_guard_confidence c, uint32_t n_seen)
{
    return (emk_guard_finding){.signal = s, .confidence = c, .n_seen = n_seen};
}

static emk_guard_action judged(emk_guard_level level, const emk_guard_finding *f, size_t n)
{
    return emk_guard_judge_findings(f, n, level, no_overrides);
}

static void does_nothing_without_findings_or_when_off(void **state)
{
    const emk_guard_finding f = found(EMK_GUARD_TRACER, EMK_GUARD_CERTAIN, 9);

    (void)state;
    assert_int_equal(judged(EMK_GUARD_STRICT, &f, 0), EMK_GUARD_DO_NOTHING);
    assert_int_equal(judged(EMK_GUARD_OFF, &f, 1), EMK_GUARD_DO_NOTHING);
}

static void only_reports_at_level_report(void **state)
{
    const emk_guard_finding f = found(EMK_GUARD_TRACER, EMK_GUARD_CERTAIN, 9);

    (void)state;
    assert_int_equal(judged(EMK_GUARD_REPORT, &f, 1), EMK_GUARD_DO_REPORT);
}

static void refuses_a_certain_finding_when_careful_and_wipes_when_strict(void **state)
{
    const emk_guard_finding f = found(EMK_GUARD_TRACER, EMK_GUARD_CERTAIN, 1);

    (void)state;
    assert_int_equal(judged(EMK_GUARD_CAREFUL, &f, 1), EMK_GUARD_DO_REFUSE);
    assert_int_equal(judged(EMK_GUARD_STRICT, &f, 1), EMK_GUARD_DO_WIPE);
}

static void gives_grace_to_a_likely_finding_that_was_seen_once(void **state)
{
    const emk_guard_finding once = found(EMK_GUARD_PRELOAD, EMK_GUARD_LIKELY, 1);
    const emk_guard_finding twice = found(EMK_GUARD_PRELOAD, EMK_GUARD_LIKELY, 2);

    (void)state;
    assert_int_equal(judged(EMK_GUARD_CAREFUL, &once, 1), EMK_GUARD_DO_REPORT);
    assert_int_equal(judged(EMK_GUARD_CAREFUL, &twice, 1), EMK_GUARD_DO_DEGRADE);
    assert_int_equal(judged(EMK_GUARD_STRICT, &once, 1), EMK_GUARD_DO_DEGRADE);
    assert_int_equal(judged(EMK_GUARD_STRICT, &twice, 1), EMK_GUARD_DO_REFUSE);
}

static void refuses_likely_findings_of_two_families_but_not_of_one(void **state)
{
    const emk_guard_finding two[] = {found(EMK_GUARD_PRELOAD, EMK_GUARD_LIKELY, 2),
                                     found(EMK_GUARD_AGENT_PORT, EMK_GUARD_LIKELY, 2)};
    const emk_guard_finding one[] = {found(EMK_GUARD_PRELOAD, EMK_GUARD_LIKELY, 2),
                                     found(EMK_GUARD_HOOKED_CALL, EMK_GUARD_LIKELY, 2)};

    (void)state;
    assert_int_equal(judged(EMK_GUARD_CAREFUL, two, 2), EMK_GUARD_DO_REFUSE);
    assert_int_equal(judged(EMK_GUARD_CAREFUL, one, 2), EMK_GUARD_DO_DEGRADE);
}

static void takes_hints_as_hints(void **state)
{
    const emk_guard_finding two[] = {found(EMK_GUARD_EMULATOR, EMK_GUARD_HINT, 90),
                                     found(EMK_GUARD_DEVELOPER, EMK_GUARD_HINT, 90)};

    (void)state;
    assert_int_equal(judged(EMK_GUARD_CAREFUL, two, 2), EMK_GUARD_DO_REPORT);
    assert_int_equal(judged(EMK_GUARD_STRICT, two, 1), EMK_GUARD_DO_REPORT);
    assert_int_equal(judged(EMK_GUARD_STRICT, two, 2), EMK_GUARD_DO_DEGRADE);
}

static void takes_being_blinded_again_and_again_as_likely(void **state)
{
    const emk_guard_finding twice = found(EMK_GUARD_BLIND, EMK_GUARD_HINT, 2);
    const emk_guard_finding often = found(EMK_GUARD_BLIND, EMK_GUARD_HINT, 3);

    (void)state;
    assert_int_equal(judged(EMK_GUARD_CAREFUL, &twice, 1), EMK_GUARD_DO_REPORT);
    assert_int_equal(judged(EMK_GUARD_CAREFUL, &often, 1), EMK_GUARD_DO_DEGRADE);
}

static void lets_an_override_replace_the_table_for_its_signal(void **state)
{
    const emk_guard_finding two[] = {found(EMK_GUARD_TRACER, EMK_GUARD_CERTAIN, 2),
                                     found(EMK_GUARD_SCREEN, EMK_GUARD_HINT, 1)};
    uint8_t overrides[EMK_GUARD_SIGNALS] = {0};

    (void)state;
    overrides[EMK_GUARD_TRACER] = EMK_GUARD_DO_REPORT;
    assert_int_equal(emk_guard_judge_findings(two, 2, EMK_GUARD_STRICT, overrides),
                     EMK_GUARD_DO_REPORT);
    overrides[EMK_GUARD_SCREEN] = EMK_GUARD_DO_WIPE;
    assert_int_equal(emk_guard_judge_findings(two, 2, EMK_GUARD_REPORT, overrides),
                     EMK_GUARD_DO_WIPE);
}

static void explains_every_signal(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EMK_GUARD_SIGNALS; i++) {
        const emk_guard_signal_info *row = emk_guard_signal_about((emk_guard_signal)i);

        assert_non_null(row);
        assert_non_null(row->name);
        assert_non_null(row->sees);
        assert_non_null(row->evaded_by);
        assert_non_null(row->looks_like);
        assert_non_null(row->advice);
    }
    assert_null(emk_guard_signal_about(EMK_GUARD_SIGNALS));
}

int main(void)
{
    return EMK_RUN(
        emk_rule(does_nothing_without_findings_or_when_off), emk_rule(only_reports_at_level_report),
        emk_rule(refuses_a_certain_finding_when_careful_and_wipes_when_strict),
        emk_rule(gives_grace_to_a_likely_finding_that_was_seen_once),
        emk_rule(refuses_likely_findings_of_two_families_but_not_of_one),
        emk_rule(takes_hints_as_hints), emk_rule(takes_being_blinded_again_and_again_as_likely),
        emk_rule(lets_an_override_replace_the_table_for_its_signal),
        emk_rule(explains_every_signal));
}
