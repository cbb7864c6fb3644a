/* Planning: a model in, of one file or several, a plan for sealing it out.  The one place where the
 * knowledge of model formats meets the container; it runs on the publisher's side only.
 *
 * Regions.  Everything is sealed by default, so where regions begin only decides what a device
 * can open by itself: tensors from EMK_PACK_OWN_REGION bytes on get a region of their own,
 * what lies between them is one region each time.  With `clear_structure` weights and the
 * rest of the file are told apart exactly, and the rest stays readable. */
#ifndef EMK_CORE_PACK_PACK_H
#define EMK_CORE_PACK_PACK_H

#include "core/pack/survey.h"

#define EMK_PACK_OWN_REGION   UINT64_C(1048576) /* bytes; more for models over 16 GiB */
#define EMK_PACK_NAME_MAX     255u              /* longer names are not indexed */
#define EMK_PACK_LOW_COVERAGE 90u               /* percent; below, a person should look */

typedef struct emk_pack_in {
    const emk_source *model;      /* borrowed */
    const emk_pack_file *files;   /* borrowed; in order, one behind the other, all of the model */
    uint32_t n_files;             /* 0: the model is one file, which needs no name */
    const char *file_name;        /* with n_files 0: for formats without a magic; may be NULL */
    emk_model_format format;      /* of one file; EMK_MODEL_UNKNOWN: find out */
    bool whole;                   /* do not look inside: seal it as bytes */
    bool clear_structure;         /* leave all but weights readable, authenticated */
    bool no_digests;              /* for one-off models; see [container 6.4] */
    uint32_t model_flags;         /* EMK_MODEL_CUSTOM ...; EMK_MODEL_STRICT also asks for
                                     EMK_PACK_LOW_COVERAGE */
    unsigned threads;             /* 1..EMK_SEAL_THREADS_MAX */
    const emk_progress *progress; /* NULL: nobody asks */
    char *about;                  /* NULL, or EMK_SURVEY_ABOUT bytes: gets the path that a failure
                                     is about, or what was looked at last */
} emk_pack_in;

/* What was found in one file. */
typedef struct emk_pack_found {
    uint8_t format; /* emk_model_format */
    bool is_part;   /* holds weights of another one, which describes them */
} emk_pack_found;

/* What was found.  Everything is sealed unless clear_structure was asked for; what is told here
 * of weights says how much of the model the readers know tensor by tensor. */
typedef struct emk_pack_report {
    emk_model_format format; /* in which most weights come; EMK_MODEL_UNKNOWN: sealed as bytes */
    uint64_t model_len;
    uint64_t weight_bytes;   /* each byte once */
    uint64_t checksum_bytes; /* of checksums over weights, which are sealed with them */
    uint64_t clear_bytes;    /* left readable */
    uint64_t unknown_bytes;  /* in files of no known format: sealed as bytes always */
    uint64_t not_told[EMK_CLEAR_REASONS]; /* that may be weights and are not told apart */
    uint32_t tensors;
    uint32_t indexed;
    uint32_t n_files; /* as in emk_pack_in */
    emk_pack_found files[EMK_FILES_MAX];
} emk_pack_report;

/* Weights among the model's bytes, in per cent; 100 of an empty one. */
unsigned emk_pack_coverage(const emk_pack_report *report);

/* Fills *plan (end with emk_plan_done) and *report (may be NULL).
 * EMK_E_FORMAT when a file of a known format is not well-formed, its weights overlap its
 * structure or another file's, or a path is none; EMK_E_NOT_FOUND when a file with weights is not
 * among the files; EMK_E_UNSUPPORTED when weights of a single file lie in others, or as the scan
 * says; EMK_E_LIMIT, EMK_E_NO_MEMORY, EMK_E_USAGE, what the source says. */
emk_status emk_pack_plan(const emk_crypto *c, const emk_pack_in *in, emk_plan *plan,
                         emk_pack_report *report, emk_error *e) EMK_MUST_CHECK;

#endif
