/* Writes FlatBuffers for tests, front to back: an object is made with zeros in it, and what
 * it refers to is made after it and then pointed at.  So a test knows where each field is
 * and can bend it. */
#ifndef EMK_TESTS_UNIT_CORE_MODEL_FB_BUILD_H
#define EMK_TESTS_UNIT_CORE_MODEL_FB_BUILD_H

#include <stddef.h>
#include <stdint.h>

typedef struct fb_build {
    uint8_t *p; /* owned */
    size_t len, cap;
} fb_build;

/* Eight bytes: room for the root offset, then the identifier. */
void fb_build_init(fb_build *b, const char *identifier);
void fb_build_done(fb_build *b);

/* A table with n_slots fields of widths[i] bytes: 0 (absent), 1, 4 or 8. */
uint32_t fb_build_table(fb_build *b, const uint8_t *widths, uint32_t n_slots);
/* Where that field of a table is. */
uint32_t fb_build_slot(const fb_build *b, uint32_t table, uint32_t slot);
/* A vector; element i is at the result + 4 + i * item_len. */
uint32_t fb_build_vector(fb_build *b, uint32_t n, uint32_t item_len);
uint32_t fb_build_text(fb_build *b, const char *text);

void fb_build_put(fb_build *b, uint32_t at, uint64_t value, unsigned width);
/* Makes the four bytes at `at` refer to target. */
void fb_build_ref(fb_build *b, uint32_t at, uint32_t target);
/* The same for a table's field. */
void fb_build_ref_slot(fb_build *b, uint32_t table, uint32_t slot, uint32_t target);
void fb_build_put_slot(fb_build *b, uint32_t table, uint32_t slot, uint64_t value, unsigned width);

#endif
