/* Hostile rule sets: they compile and run on one event, or are refused with a place. */
#include "fuzz/check.h"
#include "server/fraud/engine.h"

static void run_one(const emk_crypto *c, const emk_fraud_ruleset *rs)
{
    static const char line[] =
        "{\"v\":1,\"src\":\"server\",\"type\":\"model.grant\",\"ts\":1767225600000,\"subj\":{"
        "\"user\":\"u\",\"device\":\"d\",\"net\":\"n\",\"lat\":1,\"lon\":2},\"obj\":{\"artifact\":"
        "\"a\",\"cost\":4},\"res\":{\"counter\":7},\"x\":{\"weight\":1}}";
    emk_fraud_engine *en = NULL;
    emk_fraud_options o;
    emk_fraud_event ev;
    emk_fraud_decision d;

    emk_fraud_options_init(&o);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        o.max[i] = 4;
    must(emk_fraud_engine_new(c, rs, &o, &en, NULL) == EMK_OK, "an engine is made");
    must(emk_fraud_event_read(emk_span_str(line), &ev, NULL) == EMK_OK, "the event reads");
    for (unsigned i = 0; i < 40; i++, ev.ts += 777777)
        must(emk_fraud_decide(en, &ev, &d, NULL) == EMK_OK, "it decides");
    emk_fraud_engine_free(en);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_crypto *c;
    emk_yaml_diag d = {.line = 0};
    emk_fraud_ruleset *rs = NULL;

    if (!c)
        must(emk_crypto_new(NULL, NULL, &c, NULL) == EMK_OK, "libcrypto");
    if (emk_fraud_ruleset_new(c, "f", emk_span_of(data, size), &rs, &d, NULL) != EMK_OK) {
        must(d.text[0] != 0, "a complaint");
        return 0;
    }
    run_one(c, rs);
    emk_fraud_ruleset_free(rs);
    return 0;
}
