/* An entry that can be read is written again as the same bytes. */
#include "fuzz/check.h"
#include "server/journal/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t again[EMK_JOURNAL_RECORD_MAX];
    emk_journal_record r;
    size_t n = 0;

    if (emk_journal_record_read(emk_span_of(data, len), &r, NULL) != EMK_OK)
        return 0;
    must(emk_journal_record_write(&r, again, sizeof again, &n, NULL) == EMK_OK, "can be written");
    must(n == len && memcmp(again, data, len) == 0, "one encoding");
    return 0;
}
