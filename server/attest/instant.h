/* Times as attestation services write them: "2020-11-21T22:13:02.796Z" [RFC 3339], always Z. */
#ifndef EMK_SERVER_ATTEST_INSTANT_H
#define EMK_SERVER_ATTEST_INSTANT_H

#include "core/base/span.h"
#include "core/base/status.h"

/* Fills *out with whole seconds since 1970, fractions cut off.  EMK_E_FORMAT for anything else,
 * for dates that no calendar has, and for a leap second. */
emk_status emk_instant_parse(emk_span text, int64_t *out, emk_error *e) EMK_MUST_CHECK;

#define EMK_INSTANT_ROOM 24u /* "2020-11-21T22:13:02Z" with its zero, and room for later years */

/* The reverse, of seconds since 1970 below the year 10000; others are shown as 1970. */
void emk_instant_write(int64_t seconds, char out[EMK_INSTANT_ROOM]);

#endif
