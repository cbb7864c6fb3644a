/* State: bit i of `lent` is set while place i is lent.  The bits are in ordinary memory, so a
 * forked child, whose page is zero, still gives back what it inherited. */
#include "core/base/secret_pool.h"

#include "core/base/alloc.h"
#include "core/base/os_mem.h"

#include <stdatomic.h>

struct emk_secret_pool {
    emk_os_map map;
    _Atomic uint64_t lent;
};

emk_status emk_secret_pool_new(emk_secret_pool **out, emk_error *e)
{
    emk_secret_pool *p = emk_alloc(1, sizeof *p);
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "secret pool: no memory", sizeof *p);
    st = emk_os_map_new((size_t)EMK_SECRET_PLACES * EMK_SECRET_PLACE_LEN, EMK_OS_MAP_LOCK, &p->map,
                        e);
    if (st != EMK_OK) {
        emk_free(p);
        return st;
    }
    *out = p;
    return EMK_OK;
}

void emk_secret_pool_free(emk_secret_pool *p)
{
    if (!p)
        return;
    emk_os_map_free(&p->map);
    emk_free(p);
}

uint8_t *emk_secret_pool_take(emk_secret_pool *p)
{
    uint64_t lent = atomic_load(&p->lent);

    for (unsigned i = 0; i < EMK_SECRET_PLACES; i++) {
        uint64_t bit = UINT64_C(1) << i;

        if (lent & bit)
            continue;
        lent = atomic_fetch_or(&p->lent, bit);
        if (!(lent & bit))
            return (uint8_t *)p->map.p + (size_t)i * EMK_SECRET_PLACE_LEN;
    }
    return NULL;
}

void emk_secret_pool_give(emk_secret_pool *p, uint8_t *place)
{
    size_t i;

    if (!place)
        return;
    i = (size_t)(place - (uint8_t *)p->map.p) / EMK_SECRET_PLACE_LEN;
    emk_wipe(place, EMK_SECRET_PLACE_LEN);
    atomic_fetch_and(&p->lent, ~(UINT64_C(1) << i));
}
