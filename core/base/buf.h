/* What only this library does with a buffer.  The type is public: <earmark/buf.h>. */
#ifndef EMK_CORE_BASE_BUF_H
#define EMK_CORE_BASE_BUF_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <earmark/buf.h>

/* Appends `extra` bytes of room and gives a pointer to them in *out; they are zero.
 * The pointer is good until the next call.  EMK_E_LIMIT or EMK_E_NO_MEMORY. */
emk_status emk_buf_grow(emk_buf *b, size_t extra, uint8_t **out, emk_error *e) EMK_MUST_CHECK;

#endif
