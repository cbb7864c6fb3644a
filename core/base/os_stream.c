#include "core/base/os_stream.h"

#include "core/base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>

typedef struct over {
    emk_span bytes;
    size_t at; /* at most bytes.len */
} over;

static ssize_t read_some(void *self, char *out, size_t len)
{
    over *o = self;
    size_t n = o->bytes.len - o->at < len ? o->bytes.len - o->at : len;

    if (n)
        memcpy(out, o->bytes.p + o->at, n);
    o->at += n;
    return (ssize_t)n;
}

static int seek(void *self, off64_t *at, int whence)
{
    over *o = self;
    off64_t base = whence == SEEK_CUR ? (off64_t)o->at : 0, to;

    if (whence == SEEK_END)
        base = (off64_t)o->bytes.len;
    if (__builtin_add_overflow(base, *at, &to) || to < 0 || (uint64_t)to > o->bytes.len) {
        errno = EINVAL;
        return -1;
    }
    o->at = (size_t)to;
    *at = to;
    return 0;
}

static int end(void *self)
{
    emk_free(self);
    return 0;
}

emk_status emk_os_stream_over(emk_span bytes, FILE **out, emk_error *e)
{
    const cookie_io_functions_t functions = {.read = read_some, .seek = seek, .close = end};
    over *o = emk_alloc(1, sizeof *o);
    FILE *f;

    if (!o)
        return emk_fail(e, EMK_E_NO_MEMORY, "stream: no memory", sizeof *o);
    o->bytes = bytes;
    f = fopencookie(o, "rb", functions);
    if (!f) {
        emk_free(o);
        return emk_fail(e, EMK_E_NO_MEMORY, "stream: no memory", 0);
    }
    (void)setvbuf(f, NULL, _IONBF, 0); /* before the first read, so it cannot fail */
    *out = f;
    return EMK_OK;
}
