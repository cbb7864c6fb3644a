/* Writes tables of LevelDB for tests, and Snappy, in one plain way each. */
#ifndef EMK_TESTS_UNIT_CORE_MODEL_TABLE_BUILD_H
#define EMK_TESTS_UNIT_CORE_MODEL_TABLE_BUILD_H

#include "core/base/span.h"

#define TABLE_FILE_MAX ((size_t)16 << 20)
#define TABLE_MAX      ((size_t)1 << 20) /* of a block */
#define TABLE_INTERVAL 4u                /* entries between restarts */

typedef struct table_block {
    uint8_t p[TABLE_MAX];
    size_t len;
    uint32_t restarts[TABLE_MAX / 64];
    uint32_t n_restarts, n_entries;
    uint8_t last[4096];
    size_t last_len;
} table_block;

typedef struct table_build {
    uint8_t p[TABLE_FILE_MAX];
    size_t len;
    bool pack; /* the next blocks with Snappy */
    table_block block, index;
    uint64_t index_at, index_len; /* once it is written */
} table_build;

void table_begin(table_build *t);
void table_add(table_build *t, emk_span key, emk_span value);
/* Writes the block so far and lists it; returns where it begins. */
size_t table_cut(table_build *t);
/* Cuts, and writes index and footer. */
void table_end(table_build *t);

/* An entry into a block, with the shared length as given, whatever is right. */
void table_raw_entry(table_block *b, uint32_t shared, emk_span rest, emk_span value);
/* Writes a block with this type byte and a good checksum; fills where it is. */
void table_write(table_build *t, emk_span content, uint8_t type, uint64_t at_len[2]);
void table_footer(table_build *t, uint64_t index_at, uint64_t index_len);
/* Makes the checksum of a block good again. */
void table_resum(table_build *t, size_t at, size_t len);

/* Encodes s into out (with room for 2 * len + 16); returns how many bytes. */
size_t snappy_pack(emk_span s, uint8_t *out);
/* Appends a varint; returns the new length. */
size_t table_varint(uint8_t *p, size_t len, uint64_t v);

#endif
