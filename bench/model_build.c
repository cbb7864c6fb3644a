#include "bench/model_build.h"

#include "bench/workdir.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_PER_TENSOR 256u /* bytes of structure, at most */
#define ROOM_ELSE       4096u
#define GGUF_ALIGNMENT  32u
#define GGUF_F32        0u

static void put(model_build *m, uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        m->p[m->len++] = (uint8_t)(v >> 8 * i);
}

__attribute__((format(printf, 2, 3))) static void put_text(model_build *m, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf((char *)m->p + m->len, m->cap - m->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= m->cap - m->len)
        bench_die("a made model is longer than thought", NULL);
    m->len += (size_t)n;
}

static void put_weights(model_build *m, uint32_t seed)
{
    bench_fill(m->p + m->len, m->length, seed);
    m->len += m->length;
}

static void put_all_weights(model_build *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        put_weights(m, i);
}

void model_build_safetensors(model_build *m)
{
    size_t end;

    put(m, 0, 8); /* the header's length, once it is known */
    for (uint32_t i = 0; i < m->n; i++) {
        uint64_t at = (uint64_t)m->length * i;

        put_text(m, "%c\"model.layers.%u.mlp.weight\":{\"dtype\":\"F32\",\"shape\":[2,%u],",
                 i ? ',' : '{', i, m->length / 8);
        put_text(m, "\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                 (unsigned long long)at + m->length);
    }
    put_text(m, "}");
    end = m->len;
    m->len = 0;
    put(m, end - 8, 8);
    m->len = end;
    put_all_weights(m);
}

void model_build_gguf(model_build *m)
{
    put_text(m, "GGUF");
    put(m, 3, 4); /* version */
    put(m, m->n, 8);
    put(m, 0, 8); /* no keys */
    for (uint32_t i = 0; i < m->n; i++) {
        put(m, strlen("blk.00000000.ffn_up.weight"), 8);
        put_text(m, "blk.%08u.ffn_up.weight", i);
        put(m, 1, 4);
        put(m, m->length / 4, 8);
        put(m, GGUF_F32, 4);
        put(m, (uint64_t)m->length * i, 8);
    }
    while (m->len % GGUF_ALIGNMENT)
        put(m, 0, 1);
    put_all_weights(m);
}

/* What a local header and a directory's entry have in common. */
static void put_member(model_build *m)
{
    put(m, 0, 2); /* flags */
    put(m, 0, 2); /* stored */
    put(m, 0, 4); /* time and date */
    put(m, 0, 4); /* checksum */
    put(m, m->length, 4);
    put(m, m->length, 4);
    put(m, strlen("model/data/00000000"), 2);
    put(m, 0, 2); /* no extra field */
}

/* The end record and, before it, its 64-bit form, for more members than 65,535. */
static void put_zip_end(model_build *m, uint64_t directory)
{
    uint64_t end = m->len;

    put(m, 0x06064b50, 4);
    put(m, 44, 8);       /* of the record, from here */
    put(m, 0x2d002d, 4); /* versions */
    put(m, 0, 8);        /* disks */
    put(m, m->n, 8);
    put(m, m->n, 8);
    put(m, end - directory, 8);
    put(m, directory, 8);
    put(m, 0x07064b50, 4);
    put(m, 0, 4);
    put(m, end, 8);
    put(m, 1, 4);
    put(m, 0x06054b50, 4);
    put(m, 0, 4);
    put(m, UINT32_MAX, 4); /* both counts: see above */
    put(m, UINT32_MAX, 4);
    put(m, UINT32_MAX, 4);
    put(m, 0, 2);
}

void model_build_zip(model_build *m)
{
    size_t member = 0, directory;

    for (uint32_t i = 0; i < m->n; i++) {
        put(m, 0x04034b50, 4);
        put(m, 45, 2); /* version */
        put_member(m);
        put_text(m, "model/data/%08u", i);
        put_weights(m, i);
        if (i == 0)
            member = m->len;
    }
    directory = m->len;
    for (uint32_t i = 0; i < m->n; i++) {
        put(m, 0x02014b50, 4);
        put(m, 0x2d002d, 4); /* versions */
        put_member(m);
        put(m, 0, 2); /* no comment */
        put(m, 0, 2); /* disk */
        put(m, 0, 6); /* attributes */
        put(m, member * i, 4);
        put_text(m, "model/data/%08u", i);
    }
    put_zip_end(m, directory);
}

model_build model_build_new(model_build_fn fn, uint32_t n, uint32_t length)
{
    model_build m = {.n = n, .length = length};

    m.cap = (size_t)n * (length + ROOM_PER_TENSOR) + ROOM_ELSE;
    m.p = malloc(m.cap);
    if (!m.p)
        bench_die("no memory", NULL);
    fn(&m);
    return m;
}
