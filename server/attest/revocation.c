#include "server/attest/revocation.h"

#include "core/base/alloc.h"
#include "core/codec/json.h"

#include <stdlib.h>

#define KEY_CAP    80u /* 32 bytes are 78 decimal digits */
#define SERIAL_MAX 32u
#define STATUS_CAP 32u
#define FIRST_ROOM 64u

typedef struct entry {
    char key[KEY_CAP];
} entry;

struct emk_revocation {
    entry *entries; /* sorted; owned */
    size_t n, room;
    int64_t as_of_s;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

static bool is_serial(const char *key, size_t len)
{
    if (len == 0 || strlen(key) != len) /* U+0000 inside */
        return false;
    return strspn(key, "0123456789abcdef") == len;
}

static void make_room(emk_revocation *list, emk_json *j)
{
    size_t room = list->room ? 2 * list->room : FIRST_ROOM;
    entry *more;

    if (list->n < list->room)
        return;
    if (list->n >= EMK_REVOCATION_ENTRIES_MAX) {
        emk_json_fail(j, EMK_E_LIMIT, "revocation: entries", list->n);
        return;
    }
    more = emk_realloc(list->entries, room, sizeof *more);
    if (!more) {
        emk_json_fail(j, EMK_E_NO_MEMORY, "revocation: entries", list->n);
        return;
    }
    list->entries = more;
    list->room = room;
}

/* {"status": "...", ...}: an entry without a status is not one that we understand. */
static void read_status(emk_json *j)
{
    static const char *const NAMES[] = {"status"};
    char status[STATUS_CAP];
    uint64_t seen = 0;
    size_t i, len;

    (void)emk_json_expect(j, EMK_JSON_OBJECT_BEGIN);
    while (emk_json_next(j) == EMK_JSON_KEY) {
        if (!emk_json_which_key(j, NAMES, 1, &i, &seen))
            return;
        if (i == 1)
            emk_json_skip_value(j);
        else if (emk_json_expect(j, EMK_JSON_STRING))
            (void)emk_json_copy_string(j, status, sizeof status, &len);
    }
    if (seen == 0)
        emk_json_fail(j, EMK_E_FORMAT, "revocation: entry without a status", j->pos);
}

static void read_entries(emk_json *j, emk_revocation *list)
{
    (void)emk_json_expect(j, EMK_JSON_OBJECT_BEGIN);
    while (emk_json_next(j) == EMK_JSON_KEY) {
        size_t len = 0;

        make_room(list, j);
        if (!emk_json_ok(j))
            return;
        memset(&list->entries[list->n], 0, sizeof list->entries[0]);
        if (emk_json_copy_string(j, list->entries[list->n].key, KEY_CAP, &len) &&
            !is_serial(list->entries[list->n].key, len))
            emk_json_fail(j, EMK_E_FORMAT, "revocation: serial", j->pos);
        list->n++;
        read_status(j);
    }
}

static void read_list(emk_json *j, emk_revocation *list)
{
    static const char *const NAMES[] = {"entries"};
    uint64_t seen = 0;
    size_t i;

    (void)emk_json_expect(j, EMK_JSON_OBJECT_BEGIN);
    while (emk_json_next(j) == EMK_JSON_KEY) {
        if (!emk_json_which_key(j, NAMES, 1, &i, &seen))
            return;
        if (i == 0)
            read_entries(j, list);
        else
            emk_json_skip_value(j);
    }
    if (seen == 0)
        emk_json_fail(j, EMK_E_FORMAT, "revocation: no entries", j->pos);
}

static emk_status parse(emk_span json, emk_revocation *list, emk_error *e)
{
    emk_image *im = emk_alloc(1, sizeof *im);
    emk_json j;
    emk_status st;

    if (!im)
        return emk_fail(e, EMK_E_NO_MEMORY, "revocation: image", sizeof *im);
    emk_image_from_span(im, json);
    emk_json_init(&j, im, 0, json.len);
    read_list(&j, list);
    (void)emk_json_next(&j);
    st = emk_json_finish(&j, e);
    emk_free(im);
    if (st != EMK_OK)
        return st;
    if (list->n > 0)
        qsort(list->entries, list->n, sizeof list->entries[0], compare);
    for (size_t i = 1; i < list->n; i++)
        if (compare(&list->entries[i - 1], &list->entries[i]) == 0)
            return emk_fail(e, EMK_E_FORMAT, "revocation: serial comes twice", i);
    return EMK_OK;
}

emk_status emk_revocation_new(emk_span json, int64_t as_of_s, emk_revocation **out, emk_error *e)
{
    emk_revocation *list;
    emk_status st;

    if (json.len > EMK_REVOCATION_FILE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "revocation: file", json.len);
    list = emk_alloc(1, sizeof *list);
    if (!list)
        return emk_fail(e, EMK_E_NO_MEMORY, "revocation: list", sizeof *list);
    list->as_of_s = as_of_s;
    st = parse(json, list, e);
    if (st != EMK_OK) {
        emk_revocation_free(list);
        return st;
    }
    *out = list;
    return EMK_OK;
}

int64_t emk_revocation_as_of(const emk_revocation *list)
{
    return list->as_of_s;
}

size_t emk_revocation_count(const emk_revocation *list)
{
    return list->n;
}

/* `base` digits of a big-endian number, without leading zeros. */
static void to_digits(emk_span serial, uint32_t base, char out[KEY_CAP])
{
    uint8_t n[SERIAL_MAX];
    char digits[KEY_CAP];
    size_t len = 0;
    bool more = true;

    memcpy(n, serial.p, serial.len);
    while (more && len < KEY_CAP - 1) {
        uint32_t rest = 0;

        more = false;
        for (size_t i = 0; i < serial.len; i++) {
            rest = rest << 8 | n[i];
            n[i] = (uint8_t)(rest / base);
            rest %= base;
            more = more || n[i] != 0;
        }
        digits[len++] = "0123456789abcdef"[rest];
    }
    for (size_t i = 0; i < len; i++)
        out[i] = digits[len - 1 - i];
    out[len] = 0;
}

static bool find(const emk_revocation *list, emk_span serial, uint32_t base)
{
    entry key;

    to_digits(serial, base, key.key);
    return bsearch(&key, list->entries, list->n, sizeof key, compare) != NULL;
}

bool emk_revocation_has(const emk_revocation *list, emk_span serial)
{
    if (serial.len > SERIAL_MAX)
        return true;
    if (list->n == 0 || serial.len == 0)
        return false;
    return find(list, serial, 16) || find(list, serial, 10);
}

void emk_revocation_free(emk_revocation *list)
{
    if (list)
        emk_free(list->entries);
    emk_free(list);
}
