/* A bounded cursor over bytes from outside.
 *
 * Reading past the end yields zeros and sets `cut`, which stays set: a parser reads its
 * fields like a schema and checks once.  Never read inside an initialiser list: C leaves
 * the order open. */
#ifndef EMK_CORE_BASE_READER_H
#define EMK_CORE_BASE_READER_H

#include "core/base/span.h"

typedef struct emk_reader {
    emk_span in; /* borrowed */
    size_t pos;  /* next byte; where the first failure was once cut is set */
    bool cut;    /* something was read past the end */
} emk_reader;

void emk_reader_init(emk_reader *r, emk_span in);
uint8_t emk_read_u8(emk_reader *r);
uint16_t emk_read_u16be(emk_reader *r);
uint32_t emk_read_u32be(emk_reader *r);
uint64_t emk_read_u64be(emk_reader *r);
/* Lends the next len bytes; an empty span when fewer are left. */
emk_span emk_read_bytes(emk_reader *r, size_t len);
/* Copies the next len bytes to out; zeros when fewer are left. */
void emk_read_copy(emk_reader *r, uint8_t *out, size_t len);
size_t emk_reader_left(const emk_reader *r);
/* True when all was read and nothing was missing. */
bool emk_reader_at_end(const emk_reader *r);

#endif
