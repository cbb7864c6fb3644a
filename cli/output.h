/* What a command prints: lines for people, or one JSON object for machines, from the same
 * calls.  In JSON mode the object is kept back until the command has succeeded, so that
 * stdout has exactly one object, the result or the failure.
 *
 * Every text goes through emk_cli_clean or the JSON escapes: file names, messages and models
 * may hold bytes that a terminal would obey.
 *
 * State: depth of open sections, and for JSON the text so far. */
#ifndef EMK_CLI_OUTPUT_H
#define EMK_CLI_OUTPUT_H

#include "core/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#define EMK_CLI_DEPTH_MAX 8u
#define EMK_CLI_JSON_MAX  (512u << 20) /* bytes of a result: a million tensors */

typedef struct emk_cli_out {
    bool json;
    FILE *to;     /* stdout, or stderr where stdout carries something else */
    emk_buf text; /* JSON so far */
    uint32_t depth;
    bool list[EMK_CLI_DEPTH_MAX];  /* this level is a list */
    bool empty[EMK_CLI_DEPTH_MAX]; /* nothing in it yet */
    emk_status status;             /* the first failure of text */
} emk_cli_out;

/* Starts a result, {"ok":true ... */
void emk_cli_out_init(emk_cli_out *o, bool json);
void emk_cli_out_done(emk_cli_out *o);
/* Forgets the result and starts a failure, {"ok":false ... */
void emk_cli_out_fail(emk_cli_out *o);
/* Closes what is open and writes it all out.  EMK_E_IO when that fails, EMK_E_LIMIT or
 * EMK_E_NO_MEMORY when the result was too large. */
emk_status emk_cli_out_finish(emk_cli_out *o, emk_error *e) EMK_MUST_CHECK;

/* One fact: "key  value" or "key":value.  Inside a list key is NULL.  People see the key
 * with spaces for underscores. */
void emk_cli_put_text(emk_cli_out *o, const char *key, emk_span value);
void emk_cli_put_string(emk_cli_out *o, const char *key, const char *value);
void emk_cli_put_number(emk_cli_out *o, const char *key, uint64_t value);
void emk_cli_put_bool(emk_cli_out *o, const char *key, bool value);
/* Hexadecimal digits. */
void emk_cli_put_hex(emk_cli_out *o, const char *key, emk_span value);
/* Seconds since 1970; people see a date as well. */
void emk_cli_put_time(emk_cli_out *o, const char *key, uint64_t seconds);
/* Bytes; people see KiB and so on as well. */
void emk_cli_put_size(emk_cli_out *o, const char *key, uint64_t bytes);

/* A share of a whole, 0 to 1 with four places; people see per cent.  Of nothing it is 0. */
void emk_cli_put_ratio(emk_cli_out *o, const char *key, uint64_t part, uint64_t whole);

/* A nested object, or a list; in a list key is NULL. */
void emk_cli_begin(emk_cli_out *o, const char *key);
void emk_cli_begin_list(emk_cli_out *o, const char *key);
void emk_cli_end(emk_cli_out *o);

/* Prints one line, made harmless. */
void emk_cli_print_line(FILE *f, const char *prefix, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* A line for people alone. */
void emk_cli_say(emk_cli_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
