#include "core/base/secret.h"

#include "core/base/os_mem.h"

struct emk_secret {
    size_t len;
    size_t map_len;
    bool locked;
    uint8_t bytes[];
};

emk_status emk_secret_new(size_t len, emk_secret **out, emk_error *e)
{
    emk_os_map map;
    emk_secret *s;
    emk_status st;

    if (len == 0 || len > EMK_SECRET_MAX)
        return emk_fail(e, EMK_E_USAGE, "secret: length", len);
    st = emk_os_map_new(sizeof *s + len, EMK_OS_MAP_LOCK, &map, e);
    if (st != EMK_OK)
        return st;
    s = map.p;
    s->len = len;
    s->map_len = map.len;
    s->locked = map.locked;
    *out = s;
    return EMK_OK;
}

uint8_t *emk_secret_bytes(emk_secret *s)
{
    return s->bytes;
}

emk_span emk_secret_span(const emk_secret *s)
{
    return emk_span_of(s->bytes, s->len);
}

size_t emk_secret_len(const emk_secret *s)
{
    return s->len;
}

bool emk_secret_is_locked(const emk_secret *s)
{
    return s->locked;
}

void emk_secret_free(emk_secret *s)
{
    emk_os_map map;

    if (!s || s->map_len == 0) /* zeros: a forked child's copy, of unknown length */
        return;
    map = (emk_os_map){.p = s, .len = s->map_len, .used = sizeof *s + s->len, .locked = s->locked};
    emk_os_map_free(&map);
}

void emk_wipe(void *p, size_t len)
{
    if (len)
        explicit_bzero(p, len);
}

bool emk_ct_equal(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t diff = 0;

    for (size_t i = 0; i < len; i++)
        diff |= (uint8_t)(x[i] ^ y[i]);
    return diff == 0;
}
