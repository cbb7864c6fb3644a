/* Range and If-Range: a part is never outside of what is there.  The first byte is its size, the
 * rest Range, a line feed and If-Range. */
#include "fuzz/check.h"
#include "server/api/range.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    uint64_t there = size > 0 ? data[0] : 0;
    emk_http_field fields[2];
    emk_gate_request rq = {.fields = fields, .n_fields = end ? 2 : 1};
    emk_range r;

    if (size == 0)
        return 0;
    if (there == UINT8_MAX)
        there = UINT64_MAX;
    fields[0] = (emk_http_field){emk_span_str("range"),
                                 emk_span_of(data + 1, (end ? (size_t)(end - data) : size) - 1)};
    if (end)
        fields[1] = (emk_http_field){emk_span_str("if-range"),
                                     emk_span_of(end + 1, size - (size_t)(end - data) - 1)};
    emk_range_read(&rq, emk_span_str("\"etag\""), there, &r);
    must(r.result != EMK_RANGE_PART || (r.len > 0 && r.from < there && r.len <= there - r.from),
         "the part is inside");
    return 0;
}
