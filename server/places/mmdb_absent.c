/* For a build without libmaxminddb: no file opens, so nothing else is called. */
#include "server/places/mmdb.h"

emk_status emk_mmdb_open(const char *path, emk_mmdb **out, emk_error *e)
{
    (void)path;
    (void)out;
    return emk_fail(e, EMK_E_UNSUPPORTED, "places: this build is without libmaxminddb", 0);
}

emk_status emk_mmdb_read(emk_span file, emk_mmdb **out, emk_error *e)
{
    (void)out;
    return emk_fail(e, EMK_E_UNSUPPORTED, "places: this build is without libmaxminddb", file.len);
}

void emk_mmdb_free(emk_mmdb *m)
{
    (void)m;
}

uint64_t emk_mmdb_built(const emk_mmdb *m)
{
    (void)m;
    return 0;
}

const char *emk_mmdb_type(const emk_mmdb *m)
{
    (void)m;
    return "";
}

emk_status emk_mmdb_find(const emk_mmdb *m, const emk_address *a, emk_mmdb_record *out,
                         emk_error *e)
{
    (void)m;
    (void)a;
    (void)out;
    return emk_fail(e, EMK_E_UNSUPPORTED, "places: this build is without libmaxminddb", 0);
}

bool emk_mmdb_text(const emk_mmdb_record *r, const emk_mmdb_path *path, emk_span *out)
{
    (void)r;
    (void)path;
    (void)out;
    return false;
}

bool emk_mmdb_number(const emk_mmdb_record *r, const emk_mmdb_path *path, double *out)
{
    (void)r;
    (void)path;
    (void)out;
    return false;
}

bool emk_mmdb_flag(const emk_mmdb_record *r, const emk_mmdb_path *path, bool *out)
{
    (void)r;
    (void)path;
    (void)out;
    return false;
}
