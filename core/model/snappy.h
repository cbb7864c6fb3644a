/* Snappy's raw format, decoded piece by piece through a window: no heap, and the decoded
 * bytes need not fit anywhere.  [models 5.4]
 *
 * Encoders work on fragments of 64 KiB and never refer back beyond one; the format would
 * allow more, which is refused here with EMK_E_UNSUPPORTED. */
#ifndef EMK_CORE_MODEL_SNAPPY_H
#define EMK_CORE_MODEL_SNAPPY_H

#include "core/base/image.h"

#define EMK_SNAPPY_WINDOW 65536u

typedef struct emk_snappy {
    emk_image *im; /* borrowed */
    uint64_t pos;  /* next byte of the input, in the image */
    uint64_t end;
    uint32_t len;      /* decoded bytes, as the input's head says */
    uint32_t produced; /* of these, so far */
    uint32_t literal;  /* bytes left of the element at hand: copied from the input ... */
    uint32_t copy;     /* ... or from `back` bytes behind */
    uint32_t back;
    emk_status status; /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
    uint8_t window[EMK_SNAPPY_WINDOW]; /* the last bytes produced: byte i is at i % its size */
} emk_snappy;

/* Begins to decode the image's bytes [begin, end), which lie inside it.  Reads the head: len
 * is known afterwards.  EMK_E_FORMAT. */
void emk_snappy_begin(emk_snappy *d, emk_image *im, uint64_t begin, uint64_t end);

/* Decodes the next n bytes; false, and zeros, when they are not there.  EMK_E_FORMAT for
 * elements that do not fit, EMK_E_UNSUPPORTED for references behind the window, or what
 * reading the image says. */
bool emk_snappy_read(emk_snappy *d, uint8_t *out, size_t n);

/* True when everything was decoded and nothing of the input is left. */
bool emk_snappy_at_end(const emk_snappy *d);

#endif
