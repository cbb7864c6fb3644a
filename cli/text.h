/* Texts between people and numbers: times, durations, sizes, and text made harmless. */
#ifndef EMK_CLI_TEXT_H
#define EMK_CLI_TEXT_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_CLI_TIME_TEXT 64u                           /* bytes for a time or size in words */
#define EMK_CLI_SPAN_MAX  (UINT64_C(100) * 366 * 86400) /* seconds: the longest duration */

/* Fills out with a printable form of `in`, always zero-terminated, cut where cap ends:
 * control characters, marks that change the writing direction and bytes that are no UTF-8
 * appear as \xNN or \u{NNNN}. */
void emk_cli_clean(emk_span in, char *out, size_t cap);

/* The length of the character at p (1..4), or 0 when the bytes are no UTF-8.  *code gets it. */
size_t emk_cli_next_char(const uint8_t *p, size_t left, uint32_t *code);
/* True for what a terminal could obey or show as something else. */
bool emk_cli_is_hostile(uint32_t code);

/* "42".  EMK_E_USAGE for anything but decimal digits, or beyond 2^64 - 1. */
emk_status emk_cli_parse_number(const char *text, uint64_t *out, emk_error *e) EMK_MUST_CHECK;
/* "90s", "15m", "12h", "30d", "2w", "1y" and sums of them ("1d12h").  EMK_E_USAGE. */
emk_status emk_cli_parse_duration(const char *text, uint64_t *seconds, emk_error *e) EMK_MUST_CHECK;
/* A duration counted from now, an RFC 3339 time, a date (its first second, UTC), or @seconds.
 * EMK_E_USAGE. */
emk_status emk_cli_parse_time(const char *text, uint64_t now, uint64_t *out,
                              emk_error *e) EMK_MUST_CHECK;

/* "2026-12-22 05:11:09 UTC". */
void emk_cli_format_time(uint64_t seconds, char out[EMK_CLI_TIME_TEXT]);
/* "in 30 days", "2 hours ago", "now". */
void emk_cli_format_when(uint64_t seconds, uint64_t now, char out[EMK_CLI_TIME_TEXT]);
/* "4.2 MiB". */
void emk_cli_format_size(uint64_t bytes, char out[EMK_CLI_TIME_TEXT]);
/* Lower-case digits, cut where cap ends. */
void emk_cli_format_hex(emk_span in, char *out, size_t cap);

/* Fills out with exactly len bytes of lower-case digits; false, and out undefined, for another
 * text. */
bool emk_cli_parse_hex(const char *text, uint8_t *out, size_t len);

/* How many edits make b of a; for "did you mean".  Long texts are just far apart. */
size_t emk_cli_distance(const char *a, const char *b);

#endif
