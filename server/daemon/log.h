/* One JSON object a line, on standard error: what the supervisor collects.  No addresses, no
 * names, no paths: what a line is about is found by its ids.
 *
 * Thread rule: any number of threads. */
#ifndef EMK_SERVER_DAEMON_LOG_H
#define EMK_SERVER_DAEMON_LOG_H

#include "core/base/span.h"
#include "core/base/status.h"
#include "server/api/http.h"

#include <stdbool.h>

typedef enum emk_log_level {
    EMK_LOG_ERROR,
    EMK_LOG_WARNING,
    EMK_LOG_INFO,
    EMK_LOG_DEBUG
} emk_log_level;

/* What is at most written; requests are INFO.  Process-wide: the log is one. */
void emk_log_level_set(emk_log_level level);
bool emk_log_wants(emk_log_level level);

/* A message with up to two facts; e and detail may be NULL.  `message` is static. */
void emk_log_write(emk_log_level level, const char *message, const char *detail,
                   const emk_error *e);

typedef struct emk_log_call {
    unsigned status;
    uint64_t bytes_in, bytes_out;
    uint64_t duration_ns;
    const char *ended; /* static: "done", "cut", "timeout" … */
} emk_log_call;
void emk_log_call_write(const emk_call *call, const emk_log_call *facts);

#endif
