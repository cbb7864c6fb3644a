/* Random access to the bytes of a model file, whatever holds them, in bounded memory.
 *
 * Parsers read model files through an image: a buffer, or a file read page by page into a
 * small cache inside the image.  So a parser needs neither heap nor a mapping (a file that
 * shrinks under a mapping kills the process), and a second parse can see the file as it
 * will look after encryption: see `mask`.
 *
 * Reading past the end, or a failed read, yields zeros and sets `cut`, which stays set. */
#ifndef EMK_CORE_BASE_IMAGE_H
#define EMK_CORE_BASE_IMAGE_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_IMAGE_PAGE  4096u /* bytes of one cached page */
#define EMK_IMAGE_PAGES 16u   /* pages in the cache */

/* Reads exactly len bytes at off into out. */
typedef emk_status (*emk_image_read_fn)(void *self, uint64_t off, uint8_t *out, size_t len,
                                        emk_error *e);
/* Changes the len bytes read from off as it likes: called once for each page filled. */
typedef void (*emk_image_mask_fn)(void *self, uint64_t off, uint8_t *bytes, size_t len);

typedef struct emk_image {
    uint64_t len;      /* of the whole file, bytes */
    bool cut;          /* something was read past the end or could not be read */
    uint64_t cut_at;   /* where that was first */
    emk_status status; /* why: EMK_E_FORMAT past the end, else what the read function said */
    const uint8_t *p;  /* the bytes, when they are in memory */
    emk_image_read_fn read;
    void *read_self;
    emk_image_mask_fn mask;
    void *mask_self;
    uint64_t page_no[EMK_IMAGE_PAGES]; /* UINT64_MAX: empty */
    uint32_t next;                     /* page to replace next */
    uint32_t last;                     /* page used last: most reads go where the last one went */
    uint64_t epoch; /* goes up when cached bytes change: a window of this epoch is still good */
    uint8_t pages[EMK_IMAGE_PAGES][EMK_IMAGE_PAGE];
} emk_image;

/* An image of bytes in memory, which it borrows. */
void emk_image_from_span(emk_image *im, emk_span s);

/* An image of len bytes that `read` can fetch.  `read` and self are kept. */
void emk_image_from_reader(emk_image *im, uint64_t len, emk_image_read_fn read, void *self);

/* From now on every page passes through `mask` after it was read (also when the bytes are
 * in memory: they are copied, never changed).  Forgets cached pages. */
void emk_image_set_mask(emk_image *im, emk_image_mask_fn mask, void *self);

/* True when [off, off + len) lies inside the file.  Sets nothing. */
bool emk_image_has(const emk_image *im, uint64_t off, uint64_t len);

/* Lends the bytes at off: as many as are at hand, at least 1, *n of them.  NULL (and cut)
 * past the end.  Valid until the next call on im. */
const uint8_t *emk_image_window(emk_image *im, uint64_t off, size_t *n);

/* Copies len bytes at off; zeros and cut when they are not all there. */
void emk_image_copy(emk_image *im, uint64_t off, uint8_t *out, size_t len);

uint8_t emk_image_u8(emk_image *im, uint64_t off);
uint16_t emk_image_u16le(emk_image *im, uint64_t off);
uint32_t emk_image_u32le(emk_image *im, uint64_t off);
uint64_t emk_image_u64le(emk_image *im, uint64_t off);

/* True when the bytes at off are exactly s.  False (and cut) past the end. */
bool emk_image_equal(emk_image *im, uint64_t off, emk_span s);

/* EMK_OK while nothing was cut; else fills *e with `what` and the offset. */
emk_status emk_image_check(const emk_image *im, const char *what, emk_error *e) EMK_MUST_CHECK;

#endif
