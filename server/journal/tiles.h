/* The published files: hash tiles and bundles of entries, as in C2SP tlog-tiles.
 *
 *     tile/<L>/<N>[.p/<W>]          256 (or W) hashes of level 8 L
 *     tile/entries/<N>[.p/<W>]      256 (or W) entries, each behind its length in 2 bytes
 *
 * with N in groups of three digits, all but the last behind an x: 1234067 is x001/x234/067. */
#ifndef EMK_SERVER_JOURNAL_TILES_H
#define EMK_SERVER_JOURNAL_TILES_H

#include "core/base/buf.h"
#include "server/journal/record.h"
#include "server/journal/tree.h"

#define EMK_TILE_WIDTH      256u
#define EMK_TILE_HEIGHT     8u
#define EMK_TILE_LEVELS     8u
#define EMK_TILE_ENTRIES    EMK_TILE_LEVELS /* instead of a level: a bundle of entries */
#define EMK_TILE_BUNDLE_MAX ((size_t)EMK_TILE_WIDTH * (EMK_JOURNAL_RECORD_MAX + 2u))
#define EMK_TILE_PATH_MAX   96u

typedef struct emk_tile {
    unsigned level; /* 0..EMK_TILE_LEVELS - 1, or EMK_TILE_ENTRIES */
    uint64_t index;
    unsigned width; /* 1..EMK_TILE_WIDTH */
} emk_tile;

/* The path below the log's folder. */
void emk_tile_path(const emk_tile *t, char out[EMK_TILE_PATH_MAX]);

/* Writes the file so that readers see it whole or not at all; a power cut may undo that.  A full
 * one takes the partial ones away.  EMK_E_IO, EMK_E_LIMIT. */
emk_status emk_tile_write(const char *dir, const emk_tile *t, emk_span bytes,
                          emk_error *e) EMK_MUST_CHECK;
/* Appends the file's bytes to *out.  EMK_E_NOT_FOUND, EMK_E_LIMIT, EMK_E_IO. */
emk_status emk_tile_read(const char *dir, const emk_tile *t, emk_buf *out,
                         emk_error *e) EMK_MUST_CHECK;

/* How wide tile `index` of `level` is in a tree of `size`; 0: it is not there. */
unsigned emk_tile_width(uint64_t size, unsigned level, uint64_t index);

/* The hash of 2^height (height < 8) hashes.  Fills *out. */
emk_status emk_tile_subtree(emk_sha256_ctx *h, const emk_tree_hash *hashes, unsigned height,
                            emk_tree_hash *out, emk_error *e) EMK_MUST_CHECK;

/* Stored hashes of a tree, as an emk_tree_source wants them.  Remembers the last tile read. */
typedef struct emk_tile_reader {
    const char *dir;   /* kept */
    emk_sha256_ctx *h; /* kept */
    uint64_t size;     /* the tree whose tiles are there */
    emk_tile have;     /* width 0: none */
    emk_tree_hash hashes[EMK_TILE_WIDTH];
} emk_tile_reader;

void emk_tile_reader_init(emk_tile_reader *r, const char *dir, emk_sha256_ctx *h, uint64_t size);
/* An emk_tree_get_fn.  EMK_E_FORMAT when a tile is damaged, EMK_E_NOT_FOUND. */
emk_status emk_tile_reader_get(void *self, unsigned level, uint64_t index, emk_tree_hash *out,
                               emk_error *e) EMK_MUST_CHECK;

#endif
