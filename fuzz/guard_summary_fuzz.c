/* Summaries of guards that are read hold to their limits. */
#include "core/proto/guard_summary.h"
#include "fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_guard_summary s;
    uint32_t absent;

    if (emk_guard_summary_read_other(emk_span_of(data, size), &s, &absent, NULL) == EMK_OK)
        must(s.level <= EMK_GUARD_STRICT && s.action <= EMK_GUARD_DO_WIPE, "no word of others");
    if (emk_guard_summary_read(emk_span_of(data, size), &s, NULL) != EMK_OK)
        return 0;
    must(s.level <= EMK_GUARD_STRICT && s.action <= EMK_GUARD_DO_WIPE, "known words");
    must(s.n_findings <= EMK_GUARD_SUMMARY_FINDINGS, "no more than there is room for");
    for (size_t i = 0; i < s.n_findings; i++) {
        must(s.findings[i].confidence >= 1 && s.findings[i].confidence <= 3, "a confidence");
        must(i == 0 || s.findings[i].signal > s.findings[i - 1].signal, "each signal once");
    }
    return 0;
}
