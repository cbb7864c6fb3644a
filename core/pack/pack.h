/* Planning: a model file in, a plan for sealing it out.  The one place where the knowledge of
 * model formats meets the container; it runs on the publisher's side only.
 *
 * Regions.  Everything is sealed by default, so where regions begin only decides what a device
 * can open by itself: tensors from EMK_PACK_OWN_REGION bytes on get a region of their own,
 * what lies between them is one region each time.  With `clear_structure` weights and the
 * rest of the file are told apart exactly, and the rest stays readable. */
#ifndef EMK_CORE_PACK_PACK_H
#define EMK_CORE_PACK_PACK_H

#include "core/model/model.h"
#include "core/seal/plan.h"

#define EMK_PACK_OWN_REGION   UINT64_C(1048576) /* bytes; more for models over 16 GiB */
#define EMK_PACK_NAME_MAX     255u              /* longer names are not indexed */
#define EMK_PACK_LOW_COVERAGE 90u               /* percent; below, a person should look */

typedef struct emk_pack_in {
    const emk_source *model;      /* borrowed */
    const char *file_name;        /* a hint for formats without a magic; may be NULL */
    emk_model_format format;      /* EMK_MODEL_UNKNOWN: find out */
    bool whole;                   /* do not look inside: seal it as bytes */
    bool clear_structure;         /* leave everything but weights readable, authenticated */
    bool no_digests;              /* for one-off models; see [container 6.4] */
    uint32_t model_flags;         /* EMK_MODEL_CUSTOM ... */
    unsigned threads;             /* 1..EMK_SEAL_THREADS_MAX */
    const emk_progress *progress; /* NULL: nobody asks */
} emk_pack_in;

/* What was found. */
typedef struct emk_pack_report {
    emk_model_format format; /* EMK_MODEL_UNKNOWN: sealed as bytes */
    uint64_t model_len;
    uint64_t weight_bytes; /* in the sealed ranges, each byte once */
    uint32_t tensors;
    uint32_t indexed;
    emk_model_report scan; /* zeros for EMK_MODEL_UNKNOWN */
} emk_pack_report;

/* Fills *plan (end with emk_plan_done) and *report (may be NULL).
 * EMK_E_FORMAT when a file of a known format is not well-formed, or its weights overlap its
 * structure; EMK_E_UNSUPPORTED when weights lie in other files, or as the scan says;
 * EMK_E_LIMIT, EMK_E_NO_MEMORY, EMK_E_USAGE, what the source says. */
emk_status emk_pack_plan(const emk_crypto *c, const emk_pack_in *in, emk_plan *plan,
                         emk_pack_report *report, emk_error *e) EMK_MUST_CHECK;

#endif
