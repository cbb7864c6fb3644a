/* Which part of a representation a request wants: one range of bytes at most.
 * [RFC 9110 13.1.5, 14] */
#ifndef EMK_SERVER_API_RANGE_H
#define EMK_SERVER_API_RANGE_H

#include "server/gate/request.h"

typedef enum emk_range_result {
    EMK_RANGE_ALL,       /* 200: none was asked for, or not one that is understood */
    EMK_RANGE_PART,      /* 206 */
    EMK_RANGE_NONE_THERE /* 416: it begins beyond the end */
} emk_range_result;

typedef struct emk_range {
    emk_range_result result;
    uint64_t from, len; /* bytes; of PART */
} emk_range;

/* Fills *out from Range and If-Range.  Several ranges, other units and what is malformed are
 * ignored, as a server may; a range that goes on beyond the end is cut.  `etag` is the strong one
 * of what is there, with its quotes; a date in If-Range never fits. */
void emk_range_read(const emk_gate_request *rq, emk_span etag, uint64_t size, emk_range *out);

#endif
