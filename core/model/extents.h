/* Collects what a scan emits and makes it a list that is safe to encrypt: sorted, disjoint,
 * inside the file, and independent of the bytes it covers.
 *
 * The list lives in the caller's array and never grows; scan once without a visitor to learn
 * how long it must be.  Life: init, scan with emk_extents_add, settle, check_stable, and
 * then, if tensors need not be told apart, merge. */
#ifndef EMK_CORE_MODEL_EXTENTS_H
#define EMK_CORE_MODEL_EXTENTS_H

#include "core/model/model.h"

typedef struct emk_extents {
    emk_tensor *v;  /* borrowed */
    uint32_t cap;   /* of v */
    uint32_t n;     /* in use */
    bool settled;   /* sorted, disjoint, inside */
    uint64_t added; /* tensors seen, also those settle dropped */
    uint64_t print; /* fingerprint of all that was added, in order */
} emk_extents;

/* An empty list over cap entries at v, which it keeps. */
void emk_extents_init(emk_extents *x, emk_tensor *v, uint32_t cap);

/* An emk_tensor_fn: self is the emk_extents.  EMK_E_LIMIT when the array is full. */
emk_status emk_extents_add(void *self, const emk_tensor *t, emk_error *e) EMK_MUST_CHECK;

/* Gives ranges without a length theirs, drops empty ones, sorts by part and offset and keeps
 * one of several equal ranges: sealing a range twice would undo it with some ciphers.
 * part_len[i] is the length of part i, n_parts counts part 0.
 * EMK_E_FORMAT for ranges that overlap in part or reach outside their file (where = offset)
 * and for a name that comes again where it must not; EMK_E_UNSUPPORTED for a part that is
 * not there; EMK_E_LIMIT for names made to collide.  Then v holds rubbish.  In place. */
emk_status emk_extents_settle(emk_extents *x, const uint64_t *part_len, uint32_t n_parts,
                              emk_error *e) EMK_MUST_CHECK;

/* The gate: scans again while every byte in the list's ranges of part 0 reads as another
 * one, and compares.  EMK_E_FORMAT "model: weights overlap structure" when the result
 * differs or the scan fails, also where ranges must fill an area and do not; EMK_E_USAGE
 * unless settled; what reading the image says.  Necessary, not a proof: another change of
 * the same bytes might still be noticed, so who must be sure scans the sealed file, too.  Format
 * and limits as in the scan that filled x.  Uses im->mask, which is empty again afterwards. */
emk_status emk_extents_check_stable(emk_extents *x, emk_model_format f, emk_image *im,
                                    const emk_model_limits *limits, emk_error *e) EMK_MUST_CHECK;

/* Joins neighbours of the same part and kind that touch.  A joined range has no name,
 * type or shape.  After this check_stable can no longer be called. */
void emk_extents_merge(emk_extents *x);

/* Bytes of all ranges in `part`. */
uint64_t emk_extents_bytes(const emk_extents *x, uint32_t part);

#endif
