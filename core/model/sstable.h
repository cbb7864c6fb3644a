/* The table files of LevelDB, as TensorFlow writes them: sorted keys in blocks, an index of
 * the blocks, a footer.  [models 5.3]
 *
 * Reads all entries in order, each block through a window: no heap.  Strict where a reader
 * that jumps and one that reads on might see different things: blocks stand one behind the
 * other in the order of the index, keys only go up, checksums are right. */
#ifndef EMK_CORE_MODEL_SSTABLE_H
#define EMK_CORE_MODEL_SSTABLE_H

#include "core/model/internal.h"
#include "core/model/snappy.h"

#define EMK_SSTABLE_BLOCK_MAX  1048576u /* bytes of a block, decoded; TensorFlow cuts at 256 KiB */
#define EMK_SSTABLE_BLOCKS_MAX 1024u
#define EMK_SSTABLE_KEY_MAX    2048u
#define EMK_SSTABLE_VALUE_MAX  8192u

typedef struct emk_sstable_handle {
    uint64_t offset, len; /* of a block without its trailer, from the file's start */
} emk_sstable_handle;

typedef struct emk_sstable {
    emk_scan *s;
    emk_error *e;
    emk_status st;
    /* Gets every entry; key and value are lent for the call, and a zero follows the key.
     * `block` is where its block begins.  A failure that it notes in st ends the walk. */
    void (*visit)(struct emk_sstable *t, emk_span key, emk_span value, uint64_t block);
    void *self; /* visit's */
    /* Private from here: the block at hand ... */
    uint64_t at; /* in the image */
    uint64_t raw_pos;
    uint32_t len, pos; /* decoded bytes: all, and read so far */
    bool packed;
    /* ... the entry at hand, ... */
    bool has_key;
    uint32_t key_len, value_len;
    uint8_t key[EMK_SSTABLE_KEY_MAX + 1], fresh[EMK_SSTABLE_KEY_MAX];
    uint8_t value[EMK_SSTABLE_VALUE_MAX];
    /* ... and the blocks that the index lists. */
    uint32_t n_blocks;
    uint64_t blocks_end; /* of those met so far */
    emk_sstable_handle blocks[EMK_SSTABLE_BLOCKS_MAX];
    emk_snappy snappy;
} emk_sstable;

bool emk_sstable_detect(emk_image *im);

/* Visits all entries of the scan's file; s, e, visit and self are set, the rest is zero.
 * EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED (how a block is compressed), what reading
 * says, or what the visitor left in st. */
emk_status emk_sstable_walk(emk_sstable *t) EMK_MUST_CHECK;

#endif
