/* What a guard tells the server, inside a message that the device signs: in requests for leases,
 * receipts and events.  A server lets it raise a risk, never lower one.  [messages 11] */
#ifndef EMK_CORE_PROTO_GUARD_SUMMARY_H
#define EMK_CORE_PROTO_GUARD_SUMMARY_H

#include "core/base/buf.h"
#include "core/base/span.h"

#include <earmark/guard.h>

#define EMK_GUARD_SUMMARY_MAX      512u /* bytes */
#define EMK_GUARD_SUMMARY_FINDINGS 32u  /* newer guards may know more signals than we do */

typedef struct emk_guard_summary_finding {
    uint32_t signal;    /* emk_guard_signal, or a number of a newer guard, up to 255 */
    uint8_t confidence; /* 1..3 */
    uint32_t n_seen;    /* 1..65535 */
} emk_guard_summary_finding;

typedef struct emk_guard_summary {
    uint8_t level;  /* emk_guard_level */
    uint8_t action; /* emk_guard_action */
    uint32_t n_looks;
    uint8_t transcript[EMK_GUARD_HASH_LEN];
    uint8_t measurement[EMK_GUARD_HASH_LEN];
    emk_guard_summary_finding findings[EMK_GUARD_SUMMARY_FINDINGS]; /* by signal, each once */
    size_t n_findings;
} emk_guard_summary;

/* Appends the summary of a report.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_guard_summary_write(const emk_guard_report *report, emk_buf *out,
                                   emk_error *e) EMK_MUST_CHECK;

/* Fills *out.  EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED (of another version). */
emk_status emk_guard_summary_read(emk_span in, emk_guard_summary *out, emk_error *e) EMK_MUST_CHECK;

/* Bits of what a summary says: 1 << its key. */
#define EMK_GUARD_SUMMARY_LEVEL      (1u << 2)
#define EMK_GUARD_SUMMARY_LOOKS      (1u << 4)
#define EMK_GUARD_SUMMARY_TRANSCRIPT (1u << 5)
#define EMK_GUARD_SUMMARY_ALL        0xFCu

/* The same of another version, as far as it is like ours: keys that we do not know are passed over.
 * What is not there, or not as we know it, is zero, and its bit is in *absent.  EMK_E_FORMAT,
 * EMK_E_LIMIT. */
emk_status emk_guard_summary_read_other(emk_span in, emk_guard_summary *out, uint32_t *absent,
                                        emk_error *e) EMK_MUST_CHECK;

#endif
