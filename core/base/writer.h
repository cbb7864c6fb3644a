/* A bounded cursor that writes into the caller's storage.
 *
 * Writing past the end writes nothing and sets `full`, which stays set; `pos` goes on
 * counting, so that a first run over no storage tells how much is needed. */
#ifndef EMK_CORE_BASE_WRITER_H
#define EMK_CORE_BASE_WRITER_H

#include "core/base/span.h"

typedef struct emk_writer {
    uint8_t *p; /* borrowed; NULL: only count */
    size_t cap;
    size_t pos; /* bytes asked for so far */
    bool full;  /* more was asked for than fits */
} emk_writer;

void emk_writer_init(emk_writer *w, uint8_t *p, size_t cap);
void emk_write_u8(emk_writer *w, uint8_t v);
void emk_write_u16be(emk_writer *w, uint16_t v);
void emk_write_u32be(emk_writer *w, uint32_t v);
void emk_write_u64be(emk_writer *w, uint64_t v);
void emk_write_bytes(emk_writer *w, emk_span s);
/* What was written; empty when full. */
emk_span emk_writer_span(const emk_writer *w);

#endif
