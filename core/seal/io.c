#include "core/seal/io.h"

#include "core/base/os_file.h"

emk_source emk_source_from_span(emk_span s)
{
    emk_source source = {.len = s.len, .p = s.p};
    return source;
}

static emk_status read_fd(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    return emk_os_read_at(*(const int *)self, off, out, len, e);
}

emk_status emk_source_from_fd(const int *fd, emk_source *out, emk_error *e)
{
    emk_source source = {.read = read_fd};
    emk_status st;

    memcpy(&source.self, &fd, sizeof source.self); /* read_fd only reads through it */
    st = emk_os_file_size(*fd, &source.len, e);
    if (st == EMK_OK)
        *out = source;
    return st;
}

emk_sink emk_sink_from_memory(uint8_t *p, uint64_t cap)
{
    emk_sink sink = {.p = p, .cap = cap};
    return sink;
}

static emk_status write_fd(void *self, uint64_t off, const uint8_t *p, size_t len, emk_error *e)
{
    return emk_os_write_at(*(const int *)self, off, p, len, e);
}

emk_sink emk_sink_from_fd(const int *fd)
{
    emk_sink sink = {.write = write_fd};

    memcpy(&sink.self, &fd, sizeof sink.self);
    return sink;
}

emk_status emk_source_read(const emk_source *s, uint64_t off, uint8_t *out, size_t len,
                           emk_error *e)
{
    if (off > s->len || len > s->len - off)
        return emk_fail(e, EMK_E_FORMAT, "file: ends too early", off);
    if (len == 0)
        return EMK_OK;
    if (!s->p)
        return s->read(s->self, off, out, len, e);
    memcpy(out, s->p + off, len);
    return EMK_OK;
}

emk_status emk_sink_write(const emk_sink *s, uint64_t off, const uint8_t *p, size_t len,
                          emk_error *e)
{
    if (!s->p)
        return s->write(s->self, off, p, len, e);
    if (off > s->cap || len > s->cap - off)
        return emk_fail(e, EMK_E_USAGE, "memory: too small for the file", off);
    if (len)
        memcpy(s->p + off, p, len);
    return EMK_OK;
}

static emk_status read_source(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    return emk_source_read(self, off, out, len, e);
}

void emk_image_from_source(emk_image *im, const emk_source *s)
{
    void *self;

    if (s->p || s->len == 0) {
        emk_image_from_span(im, emk_span_of(s->p, (size_t)s->len));
        return;
    }
    memcpy(&self, &s, sizeof self);
    emk_image_from_reader(im, s->len, read_source, self);
}
