#include "server/places/mmdb.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "server/places/bounds.h"

#include <inttypes.h>
#include <maxminddb.h>
#include <stdio.h>
#include <string.h>

#define COPY_STEP   ((size_t)1 << 20)
#define FD_PATH_MAX 32

struct emk_mmdb {
    MMDB_s db;
};

static emk_status fail_library(int code, emk_error *e)
{
    if (code == MMDB_OUT_OF_MEMORY_ERROR)
        return emk_fail(e, EMK_E_NO_MEMORY, "places: memory", 0);
    if (code == MMDB_FILE_OPEN_ERROR || code == MMDB_IO_ERROR)
        return emk_fail(e, EMK_E_IO, "places: the copy cannot be opened; is /proc there?",
                        (uint64_t)code);
    return emk_fail(e, EMK_E_FORMAT, "places: not a good MaxMind database", (uint64_t)code);
}

/* ---- opening ---- */

static emk_status check_tail(int fd, uint64_t len, emk_error *e)
{
    size_t n = len < EMK_PLACES_TAIL_MAX ? (size_t)len : EMK_PLACES_TAIL_MAX;
    uint8_t *tail = emk_alloc(n + 1, 1);
    emk_status st;

    if (!tail)
        return emk_fail(e, EMK_E_NO_MEMORY, "places: memory", n);
    st = emk_os_read_at(fd, len - n, tail, n, e);
    if (st == EMK_OK)
        st = emk_places_check_tail(emk_span_of(tail, n), e);
    emk_free(tail);
    return st;
}

/* The copy is known to nobody else, so it stays as it was checked. */
static emk_status open_copy(int fd, uint64_t len, emk_mmdb **out, emk_error *e)
{
    char path[FD_PATH_MAX];
    emk_mmdb *m;
    emk_status st = check_tail(fd, len, e);
    int code;

    if (st != EMK_OK)
        return st;
    m = emk_alloc(1, sizeof *m);
    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "places: memory", sizeof *m);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    code = MMDB_open(path, MMDB_MODE_MMAP, &m->db);
    if (code != MMDB_SUCCESS) {
        emk_free(m);
        return fail_library(code, e);
    }
    if (!m->db.metadata.database_type || m->db.metadata.build_epoch == 0) {
        emk_mmdb_free(m);
        return emk_fail(e, EMK_E_FORMAT, "places: the database does not say what and when", 0);
    }
    *out = m;
    return EMK_OK;
}

static emk_status check_size(uint64_t len, emk_error *e)
{
    return len <= EMK_MMDB_FILE_MAX ? EMK_OK : emk_fail(e, EMK_E_LIMIT, "places: file size", len);
}

static emk_status copy_file(int from, uint64_t len, int to, emk_error *e)
{
    uint8_t *buffer = emk_alloc(1, COPY_STEP);
    emk_status st = EMK_OK;

    if (!buffer)
        return emk_fail(e, EMK_E_NO_MEMORY, "places: memory", COPY_STEP);
    for (uint64_t off = 0; st == EMK_OK && off < len; off += COPY_STEP) {
        size_t n = len - off < COPY_STEP ? (size_t)(len - off) : COPY_STEP;

        st = emk_os_read_at(from, off, buffer, n, e);
        if (st == EMK_OK)
            st = emk_os_write_at(to, off, buffer, n, e);
    }
    emk_free(buffer);
    return st;
}

emk_status emk_mmdb_open(const char *path, emk_mmdb **out, emk_error *e)
{
    int from = -1, copy = -1;
    uint64_t len = 0;
    emk_status st = emk_os_open_read(path, &from, e);

    if (st == EMK_OK)
        st = emk_os_file_size(from, &len, e);
    if (st == EMK_OK)
        st = check_size(len, e);
    if (st == EMK_OK)
        st = emk_os_memory_file("places", false, &copy, e);
    if (st == EMK_OK)
        st = copy_file(from, len, copy, e);
    if (st == EMK_OK)
        st = open_copy(copy, len, out, e);
    emk_os_close(copy);
    emk_os_close(from);
    return st;
}

emk_status emk_mmdb_read(emk_span file, emk_mmdb **out, emk_error *e)
{
    int copy = -1;
    emk_status st = check_size(file.len, e);

    if (st == EMK_OK)
        st = emk_os_memory_file("places", false, &copy, e);
    if (st == EMK_OK && file.len > 0)
        st = emk_os_write_at(copy, 0, file.p, file.len, e);
    if (st == EMK_OK)
        st = open_copy(copy, file.len, out, e);
    emk_os_close(copy);
    return st;
}

void emk_mmdb_free(emk_mmdb *m)
{
    if (!m)
        return;
    MMDB_close(&m->db);
    emk_free(m);
}

uint64_t emk_mmdb_built(const emk_mmdb *m)
{
    return m->db.metadata.build_epoch;
}

const char *emk_mmdb_type(const emk_mmdb *m)
{
    return m->db.metadata.database_type;
}

/* ---- looking up ---- */

static MMDB_lookup_result_s look(const emk_mmdb *m, const emk_address *a, int *code)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (a->family == EMK_ADDRESS_V4) {
        memcpy(&v4.sin_addr, a->b, sizeof v4.sin_addr);
        return MMDB_lookup_sockaddr(&m->db, (const struct sockaddr *)&v4, code);
    }
    memcpy(&v6.sin6_addr, a->b, sizeof v6.sin6_addr);
    return MMDB_lookup_sockaddr(&m->db, (const struct sockaddr *)&v6, code);
}

emk_status emk_mmdb_find(const emk_mmdb *m, const emk_address *a, emk_mmdb_record *out,
                         emk_error *e)
{
    MMDB_lookup_result_s r;
    int code = MMDB_SUCCESS;
    emk_status st;

    if (a->family == EMK_ADDRESS_NONE)
        return emk_fail(e, EMK_E_NOT_FOUND, "places: no address", 0);
    r = look(m, a, &code);
    if (code == MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR || (code == MMDB_SUCCESS && !r.found_entry))
        return emk_fail(e, EMK_E_NOT_FOUND, "places: nothing is known", 0);
    if (code != MMDB_SUCCESS)
        return fail_library(code, e);
    st = emk_places_check_value(emk_span_of(m->db.data_section, m->db.data_section_size),
                                r.entry.offset, e);
    if (st == EMK_OK)
        *out = (emk_mmdb_record){m, r.entry.offset};
    return st;
}

static bool get(const emk_mmdb_record *r, const emk_mmdb_path *path, MMDB_entry_data_s *out)
{
    const char *keys[EMK_MMDB_PATH_KEYS + 1] = {NULL};
    MMDB_entry_s entry = {&r->db->db, r->at};

    memcpy(keys, path->keys, sizeof path->keys);
    return MMDB_aget_value(&entry, out, keys) == MMDB_SUCCESS && out->has_data;
}

bool emk_mmdb_text(const emk_mmdb_record *r, const emk_mmdb_path *path, emk_span *out)
{
    MMDB_entry_data_s d;

    if (!get(r, path, &d) || d.type != MMDB_DATA_TYPE_UTF8_STRING)
        return false;
    *out = emk_span_of(d.utf8_string, d.data_size);
    return true;
}

bool emk_mmdb_number(const emk_mmdb_record *r, const emk_mmdb_path *path, double *out)
{
    MMDB_entry_data_s d;

    if (!get(r, path, &d))
        return false;
    switch (d.type) {
    case MMDB_DATA_TYPE_DOUBLE:
        *out = d.double_value;
        return true;
    case MMDB_DATA_TYPE_FLOAT:
        *out = (double)d.float_value;
        return true;
    case MMDB_DATA_TYPE_UINT16:
        *out = d.uint16;
        return true;
    case MMDB_DATA_TYPE_UINT32:
        *out = d.uint32;
        return true;
    case MMDB_DATA_TYPE_INT32:
        *out = d.int32;
        return true;
    case MMDB_DATA_TYPE_UINT64:
        *out = (double)d.uint64;
        return true;
    default:
        return false;
    }
}

bool emk_mmdb_flag(const emk_mmdb_record *r, const emk_mmdb_path *path, bool *out)
{
    MMDB_entry_data_s d;

    if (!get(r, path, &d) || d.type != MMDB_DATA_TYPE_BOOLEAN)
        return false;
    *out = d.boolean;
    return true;
}
