/* Small helpers on borrowed bytes; the type is public: <earmark/span.h>. */
#ifndef EMK_CORE_BASE_SPAN_H
#define EMK_CORE_BASE_SPAN_H

#include <earmark/span.h>
#include <stdbool.h>

/* Not for secrets: stops at the first difference.  See emk_ct_equal in core/base/secret.h. */
static inline bool emk_span_equal(emk_span a, emk_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

#endif
