/* Files that say where addresses are: opened, read again, warned of when old. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_S   UINT64_C(1000000000)
#define DAY_S      UINT64_C(86400)
#define DETAIL_MAX 64

uint64_t emk_server_places_age(emk_server *s, emk_places_file file)
{
    uint64_t built = emk_places_built(s->api.places, file), now = emk_os_now_s();

    return built == 0 || now < built ? 0 : now - built;
}

static void warn_of_old_ones(emk_server *s)
{
    uint64_t stale = s->config.places_stale_s;
    char detail[DETAIL_MAX];

    for (unsigned i = 0; i < EMK_PLACES_FILES; i++) {
        uint64_t age = emk_server_places_age(s, (emk_places_file)i);

        if (stale == 0 || age <= stale)
            continue;
        snprintf(detail, sizeof detail, "places.%s: %" PRIu64 " days", EMK_PLACES_FILE_NAME[i],
                 age / DAY_S);
        emk_log_write(EMK_LOG_WARNING, "a database of places is old", detail, NULL);
    }
    s->last_places_ns = emk_os_monotonic_ns();
}

emk_status emk_server_places_open(emk_server *s, emk_error *e)
{
    const char *const *paths = s->config.places;
    emk_places_file bad = EMK_PLACES_ASN;
    bool any = false;
    emk_status st;

    for (unsigned i = 0; i < EMK_PLACES_FILES; i++)
        any = any || paths[i];
    if (!any)
        return EMK_OK;
    st = emk_places_new(paths, &s->api.places, &bad, e);
    if (st != EMK_OK) {
        emk_log_write(EMK_LOG_ERROR, "a database of places cannot be used", paths[bad], e);
        return st;
    }
    warn_of_old_ones(s);
    return EMK_OK;
}

bool emk_server_places_reload(emk_server *s)
{
    emk_places_file bad = EMK_PLACES_ASN;
    emk_error e = {0};

    if (emk_places_reload(s->api.places, &bad, &e) != EMK_OK) {
        emk_log_write(EMK_LOG_ERROR, "reload: the databases of places stay as they were",
                      s->config.places[bad], &e);
        return false;
    }
    warn_of_old_ones(s);
    return true;
}

void emk_server_places_tick(emk_server *s, uint64_t now_ns)
{
    if (s->api.places && now_ns - s->last_places_ns >= DAY_S * NS_PER_S)
        warn_of_old_ones(s);
}
