/* Memory as a FILE, for libraries that read models through stdio. */
#ifndef EMK_CORE_BASE_OS_STREAM_H
#define EMK_CORE_BASE_OS_STREAM_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <stdio.h>

/* Gives a stream that reads `bytes` (kept: they must outlive it) and can seek; end with fclose.
 * It has no buffer: stdio keeps no copy of what is read.  EMK_E_NO_MEMORY. */
emk_status emk_os_stream_over(emk_span bytes, FILE **out, emk_error *e) EMK_MUST_CHECK;

#endif
