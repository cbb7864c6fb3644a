/* Reading from a source and writing into a sink.  The types are public: <earmark/io.h>. */
#ifndef EMK_CORE_SEAL_IO_H
#define EMK_CORE_SEAL_IO_H

#include "core/base/image.h"
#include "core/base/span.h"
#include "core/base/status.h"

#include <earmark/io.h>

emk_status emk_source_read(const emk_source *s, uint64_t off, uint8_t *out, size_t len,
                           emk_error *e) EMK_MUST_CHECK;
emk_status emk_sink_write(const emk_sink *s, uint64_t off, const uint8_t *p, size_t len,
                          emk_error *e) EMK_MUST_CHECK;

/* An image over a source, for parsers.  The source must outlive it. */
void emk_image_from_source(emk_image *im, const emk_source *s);

#endif
