/* A survey of a model's files: which of them are of a format that earmark reads, which hold the
 * weights of another one, and where all the weights are.  For planning and for `inspect`.
 *
 * A file that holds ranges of another is its part, and is not read by itself: the file that
 * names it knows what is in it.  So is one that is named and of no format of its own.  Names of
 * parts count from the folder of who names them. */
#ifndef EMK_CORE_PACK_SURVEY_H
#define EMK_CORE_PACK_SURVEY_H

#include "core/base/buf.h"
#include "core/model/extents.h"
#include "core/seal/io.h"
#include "core/seal/plan.h"

#define EMK_SURVEY_ABSENT UINT32_MAX /* in map: a part that is not here */
#define EMK_SURVEY_ABOUT  512u       /* bytes for a path that a failure is about */

/* Borrowed.  Paths are checked ones, in order; offsets count in the model. */
typedef struct emk_pack_file {
    const char *path;
    uint64_t offset, length;
} emk_pack_file;

typedef struct emk_survey_in {
    const emk_source *model;    /* kept */
    const emk_pack_file *files; /* kept */
    uint32_t n_files;           /* at least 1, at most EMK_FILES_MAX */
    emk_model_format format;    /* of the only file; EMK_MODEL_UNKNOWN: find out */
    bool lone;                  /* look at the only file although parts of it are not here */
    uint32_t flags;             /* EMK_MODEL_STRICT ... */
    char *about;                /* kept; NULL, or EMK_SURVEY_ABOUT bytes */
} emk_survey_in;

typedef struct emk_survey_file {
    emk_source source; /* its bytes */
    const emk_source *model;
    uint64_t offset;
    emk_model_format format; /* EMK_MODEL_UNKNOWN also where it is a part */
    bool is_part;
    bool has_parts;
    uint32_t tensors;
    uint64_t weight_bytes; /* that it describes, wherever they are; see emk_survey_gather */
    emk_error why;         /* it is of that format, but cannot be read */
} emk_survey_file;

/* Bytes of a part that EMK_MODEL_KEEP_SMALL_INT keeps out of the list.  Some of them are in the
 * list all the same, as weights share them: then they are weights. */
typedef struct emk_survey_kept {
    uint64_t offset, length; /* in the model */
} emk_survey_kept;

typedef struct emk_survey {
    emk_survey_in in;
    emk_survey_file *files;            /* owned; in.n_files of them */
    uint64_t clear[EMK_CLEAR_REASONS]; /* what the readers found and did not list; bytes */
    uint32_t tensors;                  /* of all files */
    emk_tensor *tensor_room;           /* owned: where emk_survey_gather lists them */
    emk_buf kept;                      /* emk_survey_kept, by offset, after emk_survey_gather */
    emk_image image;                   /* of the file that was looked at last */
    emk_model_report report;           /* of the last scan, and in which files its parts are: */
    uint32_t map[EMK_MODEL_PARTS_MAX + 1];
    bool used[EMK_MODEL_PARTS_MAX + 1];
    uint64_t part_len[EMK_MODEL_PARTS_MAX + 1];
} emk_survey;

/* Gives a survey; free with emk_survey_free.  A file that is of a format and cannot be read is no
 * failure yet.  EMK_E_FORMAT when files name each other as parts, EMK_E_LIMIT for too many
 * tensors, EMK_E_USAGE, EMK_E_NO_MEMORY, what the source says. */
emk_status emk_survey_new(const emk_survey_in *in, emk_survey **out, emk_error *e) EMK_MUST_CHECK;

/* True for a file of a known format that is nobody's part: the ones to scan. */
bool emk_survey_is_model(const emk_survey *s, uint32_t file);

/* Scans a file and fills s->report and s->map.  A visitor that wants the map scans once without
 * one before.  What emk_model_scan says; EMK_E_NOT_FOUND when a part is not among the files,
 * EMK_E_UNSUPPORTED when there is but one file, or the model does not say where its weights are. */
emk_status emk_survey_scan(emk_survey *s, uint32_t file, emk_tensor_fn fn, void *self,
                           emk_error *e) EMK_MUST_CHECK;

/* Scans all models and makes of their ranges one list over the whole model, sorted, disjoint,
 * and not changing with the bytes it covers; see core/model/extents.h.  Offsets and names count
 * from the start of the model.  The list lives as long as the survey.  What emk_survey_scan,
 * emk_extents_settle and emk_extents_check_stable say. */
emk_status emk_survey_gather(emk_survey *s, emk_extents *out, emk_error *e) EMK_MUST_CHECK;

/* False for checksums, and for files that are sealed whole because nobody knows what in them is
 * a weight: they are in the list, and no part of the coverage. */
bool emk_survey_is_weight(const emk_tensor *t);

/* Wipes and frees.  NULL is fine. */
void emk_survey_free(emk_survey *s);

#endif
