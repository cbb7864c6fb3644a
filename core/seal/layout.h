/* Where regions and segments are: in the model, in the delivered form, in the vault form.
 * [container 6.1, 6.2, 7.1]
 *
 * Segments are numbered through all regions, region 0 (the sealed part) first. */
#ifndef EMK_CORE_SEAL_LAYOUT_H
#define EMK_CORE_SEAL_LAYOUT_H

#include "core/seal/plan.h"

#define EMK_VAULT_SLOT_A    69632u
#define EMK_VAULT_SLOT_LEN  4096u
#define EMK_VAULT_SEALED    77824u /* region 0 */
#define EMK_VAULT_ALIGN     4096u
#define EMK_VAULT_BIG       (UINT64_C(64) << 20) /* models from here on ... */
#define EMK_VAULT_BIG_ALIGN (UINT64_C(2) << 20)  /* ... are aligned for huge pages */

typedef struct emk_layout_region {
    uint64_t length;
    uint64_t at; /* in the model; region 0: in the sealed part, so 0 */
    uint32_t first_segment;
    uint8_t kind;
} emk_layout_region;

typedef struct emk_layout {
    uint32_t n_regions;  /* with region 0 */
    uint32_t n_segments; /* of all regions */
    uint64_t sealed_part_len;
    uint64_t model_len;
    emk_layout_region *regions; /* owned */
} emk_layout;

/* One segment. */
typedef struct emk_segment {
    uint32_t number; /* through all regions */
    uint32_t region;
    uint32_t in_region; /* s of (r, s) */
    uint32_t len;
    uint64_t at; /* of its first byte, in the model or in the sealed part */
    uint8_t kind;
    bool last; /* of its region */
} emk_segment;

/* A layout of the plan's regions behind a sealed part.  End with emk_layout_done. */
emk_status emk_layout_init(emk_layout *l, const emk_plan *plan, uint64_t sealed_part_len,
                           emk_error *e) EMK_MUST_CHECK;
void emk_layout_done(emk_layout *l);

uint32_t emk_segments_of(uint64_t region_len);

/* The segment with that number (< n_segments). */
emk_segment emk_layout_segment(const emk_layout *l, uint32_t number);
/* The next one; seg must not be the last of all. */
emk_segment emk_layout_next(const emk_layout *l, const emk_segment *seg);
/* The segment that holds a byte of the model (< model_len). */
emk_segment emk_layout_find(const emk_layout *l, uint64_t model_off);

/* Offset of a segment's ciphertext in the delivered form, counted from the first segment of
 * region 0 (its tag follows it).  For number == n_segments: the length of them all. */
uint64_t emk_layout_delivered(const emk_layout *l, uint32_t number);

/* [container 7.1] */
typedef struct emk_vault_places {
    uint64_t tags; /* the tag table: of regions 1 and up */
    uint64_t payload;
    uint64_t end;
} emk_vault_places;
emk_vault_places emk_layout_vault(const emk_layout *l);

/* Bytes of region 0 as it is written, in both forms: with its tags. */
uint64_t emk_sealed_part_stored(uint64_t sealed_part_len);

/* Runs of whole segments, for workers: as many as fit into EMK_BATCH_LEN. */
#define EMK_BATCH_LEN      (UINT64_C(1) << 20)
#define EMK_BATCH_SEGMENTS 4096u

typedef struct emk_batches {
    uint32_t *first; /* owned: first segment of each batch; one more at the end */
    uint32_t n;
} emk_batches;

/* Cuts the segments from number `from` on.  End with emk_batches_done. */
emk_status emk_batches_init(emk_batches *b, const emk_layout *l, uint32_t from,
                            emk_error *e) EMK_MUST_CHECK;
void emk_batches_done(emk_batches *b);

#endif
