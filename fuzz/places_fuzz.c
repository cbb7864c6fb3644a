/* Databases of places from anybody: what a record says is fit for an event. */
#include "fuzz/check.h"
#include "server/places/places.h"

#include <string.h>

/* libmaxminddb 1.7 loses a list of the metadata that it refuses. */
const char *__lsan_default_suppressions(void); /* NOLINT: the sanitizer's name */
const char *__lsan_default_suppressions(void)  /* NOLINT */
{
    return "leak:libmaxminddb";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t addresses[][16] = {
        {203, 0, 113, 9}, {198, 51, 100, 1}, {192, 0, 2, 1}, {0x20, 0x01, 0x0D, 0xB8}};
    emk_mmdb *db = NULL;
    emk_mmdb_record r;

    if (size > 65536 || emk_mmdb_read(emk_span_of(data, size), &db, NULL) != EMK_OK)
        return 0;
    for (unsigned i = 0; i < 4; i++) {
        emk_address a = emk_address_of(emk_span_of(addresses[i], i < 3 ? 4 : 16));
        emk_place at = {0};

        if (emk_mmdb_find(db, &a, &r, NULL) != EMK_OK)
            continue;
        for (unsigned file = 0; file < EMK_PLACES_DATABASES; file++)
            emk_places_take((emk_places_file)file, &r, &at);
        must(at.cc[2] == '\0' && strlen(at.cc) % 2 == 0, "a country has two letters");
        must(at.lat >= -90000 && at.lat <= 90000 && at.lat % EMK_PLACES_COARSE == 0, "latitude");
        must(at.lon >= -180000 && at.lon <= 180000 && at.lon % EMK_PLACES_COARSE == 0, "longitude");
        must(at.km <= EMK_PLACES_KM_MAX, "accuracy");
    }
    emk_mmdb_free(db);
    return 0;
}
