/* What reads also writes, and its canonical form reads as itself. */
#include "fuzz/check.h"
#include "server/fraud/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_fraud_event ev, again;
    emk_buf one, two;

    if (emk_fraud_event_read(emk_span_of(data, size), &ev, NULL) != EMK_OK)
        return 0;
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
