/* Any events in any order: an engine with every kind of feature decides them all within its
 * memory, and one that was restored in the middle goes on to the same stream. */
#include "fuzz/check.h"
#include "fuzz/fraud_common.h"

/* Four bytes make an event: type, who, what and how much, how much later (or earlier). */
static void decide(emk_fraud_engine *en, const uint8_t *p, uint64_t *ts)
{
    emk_fraud_event ev;
    emk_fraud_decision d;
    emk_fraud_names n;

    *ts += p[3] & 0x80 ? (uint64_t)(p[3] & 0x7f) * 3600000 : (uint64_t)p[3] * 977;
    emk_fraud_fuzz_event(&ev, &n, p, p[3] == 7 ? *ts - 100000000 : *ts);
    must(emk_fraud_event_check(&ev, NULL) == EMK_OK, "the event is one");
    must(emk_fraud_decide(en, &ev, &d, NULL) == EMK_OK, "it is decided");
    must(d.n_reasons <= EMK_FRAUD_REASONS && d.score >= 0, "the decision is sound");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_fraud_engine *whole = emk_fraud_fuzz_engine(), *half = emk_fraud_fuzz_engine();
    uint64_t ts = UINT64_C(1767225600000), middle = size / 8 * 4, ts_middle = ts;
    uint8_t a[32], b[32];
    emk_fraud_stats s;

    for (size_t i = 0; i + 4 <= size && i < 4096; i += 4) {
        if (i == middle) {
            emk_fraud_fuzz_copy(whole, half);
            ts_middle = ts;
        }
        decide(whole, data + i, &ts);
    }
    for (size_t i = middle; size >= 4 && i + 4 <= size && i < 4096; i += 4)
        decide(half, data + i, &ts_middle);
    emk_fraud_engine_stats(whole, &s);
    must(s.entities[EMK_FRAUD_USER] <= EMK_FRAUD_FUZZ_MAX, "memory is fixed");
    must(emk_fraud_stream_hash(whole, a, NULL) == EMK_OK, "a hash");
    must(emk_fraud_stream_hash(half, b, NULL) == EMK_OK, "a hash");
    must(middle >= 4096 || size < 4 || memcmp(a, b, sizeof a) == 0, "a restart changes nothing");
    emk_fraud_engine_free(whole);
    emk_fraud_engine_free(half);
    return 0;
}
