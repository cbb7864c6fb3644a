/* A plan: how one version of a model is cut into regions, with its digests.  Made once per
 * version (core/pack), used for every device it is sealed for.  [container 6] */
#ifndef EMK_CORE_SEAL_PLAN_H
#define EMK_CORE_SEAL_PLAN_H

#include "core/base/buf.h"
#include "core/seal/header.h"
#include "core/seal/io.h"

#define EMK_REGIONS_MAX       65536u
#define EMK_INDEX_TENSORS_MAX 131072u
#define EMK_FORMAT_NAME_MAX   32u /* with a terminating zero; element types too */
#define EMK_INDEX_NAME_MAX    255u
#define EMK_DSALT_LEN         32u

typedef enum emk_region_kind {
    EMK_REGION_SEALED = 0,
    EMK_REGION_TENSOR = 1,
    EMK_REGION_CLEAR = 2 /* authenticated, not encrypted */
} emk_region_kind;

typedef struct emk_region {
    uint64_t length; /* at least 1 */
    uint8_t kind;    /* emk_region_kind */
} emk_region;

/* Owns its arrays; end with emk_plan_done. */
typedef struct emk_plan {
    uint64_t model_len;
    uint32_t n_regions;
    emk_region *regions;              /* they add up to model_len */
    uint8_t (*digests)[EMK_HASH_LEN]; /* n_regions of them, or NULL: none */
    uint8_t dsalt[EMK_DSALT_LEN];
    char format[EMK_FORMAT_NAME_MAX];
    emk_buf index; /* encoded entries of [container 6.3] key 6, one behind the other */
    uint32_t n_index;
    bool index_complete;
    emk_buf files;    /* encoded entries of key 8, one behind the other */
    uint32_t n_files; /* 0: the model is one file and has no name */
} emk_plan;

/* An empty plan with a fresh dsalt and room for n_regions. */
emk_status emk_plan_init(emk_plan *p, const emk_crypto *c, uint64_t model_len, uint32_t n_regions,
                         emk_error *e) EMK_MUST_CHECK;

/* EMK_E_USAGE unless the regions are of the kinds there are, none is empty, and they add up to
 * model_len: whatever reads a model by a plan relies on it. */
emk_status emk_plan_check(const emk_plan *p, emk_error *e) EMK_MUST_CHECK;

/* Reads the whole model and computes the digests.  EMK_E_USAGE when the source has another
 * length or the plan does not pass emk_plan_check; what the source says.
 * Threads: 1..EMK_SEAL_THREADS_MAX. */
emk_status emk_plan_digest(emk_plan *p, const emk_crypto *c, const emk_source *model,
                           unsigned threads, const emk_progress *progress,
                           emk_error *e) EMK_MUST_CHECK;

void emk_plan_done(emk_plan *p);

/* The sealed part's bytes.  [container 6.3]  Appended to out, at most EMK_SEALED_PART_MAX. */
emk_status emk_sealed_part_encode(const emk_plan *p, emk_span identity, emk_buf *out,
                                  emk_error *e) EMK_MUST_CHECK;

/* Fills *out (end with emk_plan_done) from the sealed part of a model of model_len bytes,
 * checked whole.  *identity points into `in`; the plan keeps copies.  EMK_E_FORMAT,
 * EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_sealed_part_decode(emk_span in, uint64_t model_len, emk_plan *out,
                                  emk_span *identity, emk_error *e) EMK_MUST_CHECK;

/* One tensor of the index.  The name is borrowed. */
typedef struct emk_index_entry {
    uint64_t offset, length;
    emk_span name;
    emk_span dtype;
    uint8_t rank; /* at most 8 */
    uint64_t dims[8];
} emk_index_entry;

/* Writes one entry. */
void emk_index_put(emk_writer *w, const emk_index_entry *entry);

/* Calls fn for each tensor of a plan's index; fn may stop it by a status. */
emk_status emk_index_each(const emk_plan *p,
                          emk_status (*fn)(void *self, const emk_index_entry *entry, emk_error *e),
                          void *self, emk_error *e) EMK_MUST_CHECK;

/* EMK_E_FORMAT for what cannot be a path in a model: absolute, "..", control characters ... */
emk_status emk_path_check(emk_span path, emk_error *e) EMK_MUST_CHECK;

/* Below 0, 0 or above: the order in which files stand, where "/" is lower than any byte. */
int emk_path_compare(emk_span a, emk_span b);

/* Appends a file to the plan; in order, and all of them must be the model in the end.
 * EMK_E_FORMAT (a path, its order, a folder of another), EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_plan_add_file(emk_plan *p, emk_span path, uint64_t length,
                             emk_error *e) EMK_MUST_CHECK;

/* Calls fn for each file in order; fn may stop it by a status.  Not called for a model that is
 * one file. */
emk_status emk_files_each(const emk_plan *p,
                          emk_status (*fn)(void *self, const emk_file_entry *entry, emk_error *e),
                          void *self, emk_error *e) EMK_MUST_CHECK;

#endif
