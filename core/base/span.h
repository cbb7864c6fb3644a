/* Small helpers on borrowed bytes; the type is public: <earmark/span.h>. */
#ifndef EMK_CORE_BASE_SPAN_H
#define EMK_CORE_BASE_SPAN_H

#include <earmark/span.h>
#include <stdbool.h>
#include <string.h>

static inline emk_span emk_span_of(const void *p, size_t len)
{
    emk_span s = {(const uint8_t *)p, len};
    return s;
}

/* A string's characters without its terminating zero. */
static inline emk_span emk_span_str(const char *s)
{
    return emk_span_of(s, s ? strlen(s) : 0);
}

/* Not for secrets: stops at the first difference.  See emk_ct_equal in core/base/secret.h. */
static inline bool emk_span_equal(emk_span a, emk_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

#endif
