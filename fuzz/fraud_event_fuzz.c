/* What reads also writes, and its canonical form reads as itself; what is read strictly reads as a
 * foreign line too. */
#include "fuzz/check.h"
#include "server/fraud/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_fraud_event ev, again;
    emk_fraud_ignored passed;
    emk_buf one, two;
    emk_status foreign =
        emk_fraud_event_read_foreign(emk_span_of(data, size), &again, &passed, NULL);

    if (emk_fraud_event_read(emk_span_of(data, size), &ev, NULL) != EMK_OK)
        return 0;
    must(foreign == EMK_OK && passed.n == 0 && again.has == ev.has, "it is a foreign line as well");
    emk_buf_init(&one, EMK_FRAUD_LINE_MAX);
    emk_buf_init(&two, EMK_FRAUD_LINE_MAX);
    must(emk_fraud_event_check(&ev, NULL) == EMK_OK, "what is read passes the check");
    must(emk_fraud_event_write(&ev, &one, NULL) == EMK_OK, "it can be written");
    must(emk_fraud_event_read(emk_buf_span(&one), &again, NULL) == EMK_OK, "and read again");
    must(emk_fraud_event_write(&again, &two, NULL) == EMK_OK, "and written");
    must(one.len == two.len && memcmp(one.p, two.p, one.len) == 0, "one canonical form");
    emk_buf_done(&one);
    emk_buf_done(&two);
    return 0;
}
