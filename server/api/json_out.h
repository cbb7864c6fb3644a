/* Writes JSON [RFC 8259] into a call's arena: commas and escapes are this module's business.
 *
 *     emk_json_out o;
 *     emk_json_out_init(&o, &call->arena, 4096);
 *     emk_json_out_open(&o, NULL, '{');
 *     emk_json_out_text(&o, "id", id);
 *     emk_json_out_close(&o);
 *     return emk_json_out_reply(&o, call, 200, e);
 *
 * `key` is a static name in an object, NULL in an array and at the top.  The first failure
 * stays and is reported by finish. */
#ifndef EMK_SERVER_API_JSON_OUT_H
#define EMK_SERVER_API_JSON_OUT_H

#include "server/api/http.h"

#define EMK_JSON_OUT_DEPTH 16u
#define EMK_JSON_OUT_MAX   ((size_t)128 * 1024) /* bytes of one answer */

typedef struct emk_json_out {
    emk_arena *arena;
    uint8_t *p;
    size_t len, cap;
    unsigned depth;
    char closers[EMK_JSON_OUT_DEPTH];
    bool has_item[EMK_JSON_OUT_DEPTH + 1];
    emk_status status;
} emk_json_out;

/* cap: bytes it may get, at most EMK_JSON_OUT_MAX; taken from the arena now. */
void emk_json_out_init(emk_json_out *o, emk_arena *arena, size_t cap);
/* Opens an object '{' or an array '['. */
void emk_json_out_open(emk_json_out *o, const char *key, char kind);
/* Closes what was opened last. */
void emk_json_out_close(emk_json_out *o);
/* Text that is UTF-8; EMK_E_FORMAT when it is not. */
void emk_json_out_text(emk_json_out *o, const char *key, emk_span text);
void emk_json_out_uint(emk_json_out *o, const char *key, uint64_t v);
void emk_json_out_int(emk_json_out *o, const char *key, int64_t v);
void emk_json_out_bool(emk_json_out *o, const char *key, bool v);
void emk_json_out_null(emk_json_out *o, const char *key);
/* Bytes as base64url. */
void emk_json_out_base64url(emk_json_out *o, const char *key, emk_span bytes);
/* Seconds since 1970 as "2026-11-22T08:00:00Z" [RFC 3339]. */
void emk_json_out_time(emk_json_out *o, const char *key, uint64_t s);

/* Lends what was written.  EMK_E_USAGE when something is open, else the first failure. */
emk_status emk_json_out_finish(emk_json_out *o, emk_span *out, emk_error *e) EMK_MUST_CHECK;
/* Finishes and answers with it, as application/json and not to be stored. */
emk_status emk_json_out_reply(emk_json_out *o, emk_call *call, unsigned status,
                              emk_error *e) EMK_MUST_CHECK;

#endif
