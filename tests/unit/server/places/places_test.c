#include "server/places/places.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "server/places/asn_list.h"
#include "server/places/bounds.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS    EMK_SOURCE_DIR "/fuzz/corpus/places"
#define PATH_CAP 1024
#define FILE_CAP ((size_t)1 << 20)

/* A seed's path, in one of some places that are used in turn. */
static const char *seed(const char *name)
{
    static char paths[EMK_PLACES_FILES][PATH_CAP];
    static unsigned n;
    char *path = paths[n++ % EMK_PLACES_FILES];

    snprintf(path, PATH_CAP, "%s/%s", SEEDS, name);
    return path;
}

static emk_places *open_files(const char *asn, const char *city, const char *kind)
{
    const char *const paths[EMK_PLACES_FILES] = {asn ? seed(asn) : NULL, city ? seed(city) : NULL,
                                                 kind ? seed(kind) : NULL};
    emk_places_file bad;
    emk_places *p = NULL;
    emk_error e = {0};

    assert_ok(emk_places_new(paths, &p, &bad, &e), &e);
    return p;
}

static emk_place find(emk_places *p, const char *address)
{
    emk_address a;
    emk_place at;
    emk_error e = {0};

    assert_ok(emk_address_parse(emk_span_str(address), &a, &e), &e);
    emk_places_find(p, &a, &at);
    return at;
}

static emk_status open_one(emk_places_file file, const char *path, emk_error *e)
{
    const char *paths[EMK_PLACES_FILES] = {NULL};
    emk_places_file bad = EMK_PLACES_FILES;
    emk_places *p = NULL;
    emk_status st;

    paths[file] = path;
    st = emk_places_new(paths, &p, &bad, e);
    assert_true(bad == file || st == EMK_OK || st == EMK_E_NO_MEMORY);
    emk_places_free(p);
    return st;
}

static void tells_where_an_address_of_either_family_is(void **state)
{
    static const char *const names[] = {"city", "city_24", "city_32"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        emk_places *p = open_files("asn", names[i], "kind");
        emk_place at = find(p, "203.0.113.9");

        assert_int_equal(at.asn, 64500);
        assert_string_equal(at.cc, "PT");
        assert_true(at.located);
        assert_int_equal(at.lat, 38700);
        assert_int_equal(at.lon, -9100);
        assert_int_equal(at.km, 20 + EMK_PLACES_KM_COARSE);
        assert_string_equal(at.kind, "hosting");
        at = find(p, "198.51.100.255");
        assert_true(at.asn == UINT32_MAX);
        assert_int_equal(at.lon, 139700);
        assert_string_equal(at.kind, "tor");
        at = find(p, "2001:db8:1::7");
        assert_int_equal(at.asn, 64501);
        assert_string_equal(at.cc, "CL");
        assert_int_equal(at.lat, -33400);
        assert_int_equal(at.lon, -70700);
        assert_string_equal(at.kind, "vpn");
        emk_places_free(p);
    }
}

static void an_address_inside_of_ipv6_is_the_inner_one(void **state)
{
    emk_places *p = open_files("asn", "city", NULL);
    emk_place at = find(p, "::ffff:203.0.113.9");

    (void)state;
    assert_int_equal(at.asn, 64500);
    assert_string_equal(at.cc, "PT");
    emk_places_free(p);
}

static void of_unknown_and_private_addresses_nothing_is_said(void **state)
{
    static const char *const unknown[] = {"10.0.0.1", "127.0.0.1", "203.0.114.1", "::1",
                                          "fe80::1",  "fd00::1",   "2001:db9::1"};
    emk_places *p = open_files("asn", "city", "kind");
    emk_places_stats stats;

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        emk_place at = find(p, unknown[i]);

        assert_int_equal(at.asn, 0);
        assert_string_equal(at.cc, "");
        assert_false(at.located);
        assert_null(at.kind);
    }
    emk_places_stats_of(p, &stats);
    assert_int_equal(stats.unknown, sizeof unknown / sizeof unknown[0]);
    assert_int_equal(stats.known + stats.damaged, 0);
    emk_places_free(p);
}

static void a_file_of_ipv4_alone_knows_no_ipv6(void **state)
{
    emk_places *p = open_files(NULL, "city_of_v4_only", NULL);

    (void)state;
    assert_string_equal(find(p, "203.0.113.1").cc, "PT");
    assert_string_equal(find(p, "2001:db8::1").cc, "");
    emk_places_free(p);
}

static void without_a_radius_the_place_is_vague(void **state)
{
    emk_places *p = open_files(NULL, "city", NULL);

    (void)state;
    assert_int_equal(find(p, "192.0.2.1").km, EMK_PLACES_KM_UNKNOWN + EMK_PLACES_KM_COARSE);
    emk_places_free(p);
}

static void a_file_of_countries_has_no_places(void **state)
{
    emk_places *p = open_files(NULL, "country_only", NULL);
    emk_place at = find(p, "203.0.113.1");

    (void)state;
    assert_string_equal(at.cc, "PT");
    assert_false(at.located);
    emk_places_free(p);
}

static void values_behind_pointers_are_found(void **state)
{
    emk_places *p = open_files(NULL, "through_pointers", NULL);
    emk_place at = find(p, "203.0.113.1");

    (void)state;
    assert_string_equal(at.cc, "PT");
    assert_int_equal(at.lat, 38700);
    emk_places_free(p);
}

static void files_of_another_make_are_read(void **state)
{
    emk_places *p = open_files("ipinfo", "ipinfo", "ipinfo");
    emk_place at = find(p, "203.0.113.1");

    (void)state;
    assert_int_equal(at.asn, 64500);
    assert_string_equal(at.cc, "PT");
    assert_string_equal(at.kind, "isp");
    at = find(p, "198.51.100.1");
    assert_int_equal(at.asn, 0); /* beyond 32 bits */
    assert_string_equal(at.cc, "JP");
    assert_string_equal(at.kind, "hosting");
    at = find(p, "192.0.2.1");
    assert_int_equal(at.asn, 0); /* without its AS */
    assert_string_equal(at.cc, "");
    assert_string_equal(at.kind, "hosting");
    at = find(p, "2001:db8::1");
    assert_int_equal(at.asn, 0);
    assert_string_equal(at.kind, "proxy"); /* "" is not set, and a flag goes before a word */
    emk_places_free(p);
}

static void words_for_connections_become_kinds(void **state)
{
    emk_places *p = open_files(NULL, NULL, "connection");

    (void)state;
    assert_string_equal(find(p, "203.0.113.1").kind, "mobile");
    assert_string_equal(find(p, "198.51.100.1").kind, "isp");
    assert_string_equal(find(p, "192.0.2.1").kind, "business");
    assert_null(find(p, "2001:db8::1").kind);
    emk_places_free(p);
}

static void says_which_files_it_was_and_when_they_were_made(void **state)
{
    emk_places *p = open_files("asn", "city_later", "kind");

    (void)state;
    assert_string_equal(find(p, "10.0.0.1").source,
                        "asn:1763771512,city:1763857912,kind:1763771512");
    assert_int_equal(emk_places_built(p, EMK_PLACES_CITY), 1763857912);
    emk_places_free(p);
    p = open_files(NULL, "city", NULL);
    assert_string_equal(find(p, "10.0.0.1").source, "city:1763771512");
    assert_int_equal(emk_places_built(p, EMK_PLACES_ASN), 0);
    emk_places_free(p);
}

static void what_is_out_of_range_or_of_another_type_is_not_said(void **state)
{
    static const char *const names[] = {"bad_pole", "bad_not_a_number", "bad_types",
                                        "bad_not_a_map"};
    emk_places *p;
    emk_place at;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        p = open_files(NULL, names[i], NULL);
        assert_false(find(p, "203.0.113.1").located);
        emk_places_free(p);
    }
    p = open_files(NULL, "bad_types", NULL);
    assert_string_equal(find(p, "203.0.113.1").cc, "");
    emk_places_free(p);
    p = open_files(NULL, "bad_country", NULL);
    at = find(p, "203.0.113.1");
    assert_string_equal(at.cc, "");
    assert_int_equal(at.km, EMK_PLACES_KM_MAX); /* 65535 km are more than the earth has */
    emk_places_free(p);
}

static void damaged_records_are_counted_and_nothing_more(void **state)
{
    static const char *const names[] = {
        "bad_cut_value",  "bad_pointer_outside", "bad_pointer_to_itself", "bad_pointer_in_a_circle",
        "bad_deep_lists", "bad_many_values",     "bad_large_size",        "bad_tree_in_a_circle"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        emk_places *p = open_files(NULL, names[i], NULL);
        emk_places_stats stats;

        assert_string_equal(find(p, "203.0.113.1").cc, "");
        emk_places_stats_of(p, &stats);
        assert_int_equal(stats.damaged, 1);
        assert_int_equal(stats.known, 0);
        emk_places_free(p);
    }
}

/* As deep as the library's own recursion would not survive. */
static void any_depth_is_refused_without_a_call_for_each_level(void **state)
{
    static uint8_t lists[1u << 20];
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof lists; i += 2) {
        lists[i] = 1; /* of one member */
        lists[i + 1] = 4;
    }
    assert_status(emk_places_check_value(emk_span_of(lists, sizeof lists), 0, &e), EMK_E_LIMIT, &e);
    assert_status(emk_places_check_value(emk_span_of(lists, 7), 0, &e), EMK_E_FORMAT, &e);
    assert_status(emk_places_check_value(emk_span_of(lists, 0), 0, &e), EMK_E_FORMAT, &e);
    assert_status(emk_places_check_value(emk_span_of(lists, 8), 9, &e), EMK_E_FORMAT, &e);
}

static void refuses_what_is_no_database(void **state)
{
    emk_error e = {0};

    (void)state;
    assert_status(open_one(EMK_PLACES_CITY, seed("no_metadata"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_CITY, seed("no_build_time"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_CITY, seed("no_nodes"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_CITY, seed("huge_metadata"), &e), EMK_E_LIMIT, &e);
    assert_status(open_one(EMK_PLACES_CITY, seed("deep_metadata"), &e), EMK_E_LIMIT, &e);
    assert_status(open_one(EMK_PLACES_ASN, seed("no_such_file"), &e), EMK_E_NOT_FOUND, &e);
    assert_status(open_one(EMK_PLACES_KIND, SEEDS, &e), EMK_E_USAGE, &e);
}

static void refuses_a_file_in_the_place_of_another(void **state)
{
    emk_error e = {0};

    (void)state;
    assert_status(open_one(EMK_PLACES_CITY, seed("asn"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_ASN, seed("city"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_ASN, seed("country_only"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_KIND, seed("city"), &e), EMK_E_FORMAT, &e);
    assert_status(open_one(EMK_PLACES_CITY, seed("kind"), &e), EMK_E_FORMAT, &e);
}

static emk_buf content_of(const char *name)
{
    emk_error e = {0};
    emk_buf b;

    emk_buf_init(&b, FILE_CAP);
    assert_ok(emk_os_read_file(seed(name), FILE_CAP, &b, &e), &e);
    return b;
}

/* At every length: refused, or read without harm where the end of the metadata was cut off. */
static void refuses_every_file_that_is_cut_short(void **state)
{
    emk_buf b = content_of("asn");
    emk_error e = {0};

    (void)state;
    for (size_t n = 0; n < b.len; n++) {
        emk_mmdb *db = NULL;

        assert_status(emk_mmdb_read(emk_span_of(b.p, n), &db, &e), EMK_E_FORMAT, &e);
        assert_null(db);
    }
    emk_buf_done(&b);
}

/* Whatever one byte is changed to: a lookup ends, and what comes out is in its bounds. */
static void one_wrong_byte_does_no_harm(void **state)
{
    emk_address a = emk_address_of(emk_span_of("\xCB\x00\x71\x09", 4));
    emk_buf b = content_of("city_of_v4_only");

    (void)state;
    for (size_t i = 0; i < b.len; i++) {
        uint8_t was = b.p[i];

        for (unsigned bit = 0; bit < 8; bit++) {
            emk_mmdb *db = NULL;
            emk_mmdb_record r;
            emk_place at = {0};

            b.p[i] = (uint8_t)(was ^ 1u << bit);
            if (emk_mmdb_read(emk_buf_span(&b), &db, NULL) != EMK_OK)
                continue;
            if (emk_mmdb_find(db, &a, &r, NULL) == EMK_OK)
                emk_places_take(EMK_PLACES_CITY, &r, &at);
            assert_true(at.lat >= -90000 && at.lat <= 90000 && at.km <= EMK_PLACES_KM_MAX);
            emk_mmdb_free(db);
        }
        b.p[i] = was;
    }
    emk_buf_done(&b);
}

/* ---- the list of systems ---- */

static emk_status parse_list(const char *text, emk_asn_list *l, emk_error *e)
{
    *l = (emk_asn_list){0};
    return emk_asn_list_parse(emk_span_str(text), l, e);
}

static void a_list_has_the_numbers_that_are_in_it(void **state)
{
    static const char text[] =
        "# hosts\r\nAS64501 Example Cloud\n\n64500\r\n4294967295,\"x\"\nAS7;y\n7";
    emk_asn_list l;
    emk_error e = {0};

    (void)state;
    assert_ok(parse_list(text, &l, &e), &e);
    assert_int_equal(l.n, 5);
    assert_true(emk_asn_list_has(&l, 7));
    assert_true(emk_asn_list_has(&l, 64500));
    assert_true(emk_asn_list_has(&l, 64501));
    assert_true(emk_asn_list_has(&l, UINT32_MAX));
    assert_false(emk_asn_list_has(&l, 0));
    assert_false(emk_asn_list_has(&l, 64502));
    emk_asn_list_done(&l);
    assert_false(emk_asn_list_has(&l, 7));
}

static void refuses_a_list_with_anything_else(void **state)
{
    static const struct {
        const char *text;
        uint64_t line;
    } rows[] = {{"", 0},
                {"# nothing\n\n", 2},
                {"64500\nEXAMPLE 7\n", 2},
                {"AS\n", 1},
                {"0\n", 1},
                {"4294967296\n", 1},
                {"-1\n", 1},
                {"64500x\n", 1},
                {"99999999999999999999999\n", 1},
                {"1\n203.0.113.1", 2}};
    emk_asn_list l;
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_status(parse_list(rows[i].text, &l, &e), EMK_E_FORMAT, &e);
        assert_int_equal(e.where, rows[i].line);
        assert_null(l.numbers);
    }
}

static void refuses_a_list_that_is_too_long(void **state)
{
    size_t len = 2 * ((size_t)EMK_ASN_LIST_MAX + 1);
    char *text = malloc(len + 1);
    emk_asn_list l;
    emk_error e = {0};

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 ? '\n' : '1';
    text[len] = '\0';
    assert_status(parse_list(text, &l, &e), EMK_E_LIMIT, &e);
    text[len - 2] = '\0';
    assert_ok(parse_list(text, &l, &e), &e);
    emk_asn_list_done(&l);
    free(text);
}

/* ---- reading again ---- */

typedef struct folder {
    char *dir;
    char path[PATH_CAP];
} folder;

static void put(folder *f, emk_span content)
{
    emk_error e = {0};

    assert_ok(emk_os_write_file(f->path, content, &e), &e);
}

static void put_seed(folder *f, const char *name)
{
    emk_buf b = content_of(name);

    put(f, emk_buf_span(&b));
    emk_buf_done(&b);
}

static emk_places *open_folder(folder *f, const char *name)
{
    const char *paths[EMK_PLACES_FILES] = {NULL};
    emk_places_file bad;
    emk_places *p = NULL;
    emk_error e = {0};

    f->dir = emk_test_dir_make();
    snprintf(f->path, sizeof f->path, "%s/city.mmdb", f->dir);
    put_seed(f, name);
    paths[EMK_PLACES_CITY] = f->path;
    paths[EMK_PLACES_ASN] = SEEDS "/asn";
    assert_ok(emk_places_new(paths, &p, &bad, &e), &e);
    return p;
}

static void a_new_file_counts_when_it_is_read_again(void **state)
{
    emk_places_file bad;
    emk_error e = {0};
    folder f;
    emk_places *p = open_folder(&f, "city");

    (void)state;
    put_seed(&f, "city_later");
    assert_string_equal(find(p, "203.0.113.1").cc, "PT");
    assert_ok(emk_places_reload(p, &bad, &e), &e);
    assert_string_equal(find(p, "203.0.113.1").cc, "JP");
    assert_int_equal(find(p, "203.0.113.1").asn, 64500);
    emk_places_free(p);
    emk_test_dir_remove(f.dir);
}

static void a_bad_new_file_leaves_all_as_they_were(void **state)
{
    static const char *const names[] = {"no_metadata", "huge_metadata", "asn"};
    emk_places_file bad;
    emk_error e = {0};
    folder f;
    emk_places *p = open_folder(&f, "city");

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        put_seed(&f, names[i]);
        assert_true(emk_places_reload(p, &bad, &e) != EMK_OK);
        assert_int_equal(bad, EMK_PLACES_CITY);
        assert_string_equal(find(p, "203.0.113.1").cc, "PT");
        assert_int_equal(emk_places_built(p, EMK_PLACES_CITY), 1763771512);
    }
    emk_places_free(p);
    emk_test_dir_remove(f.dir);
}

/* The file that is open is not the one on the disk. */
static void systems_of_the_list_are_hosting_whatever_else_is_said(void **state)
{
    const char *paths[EMK_PLACES_FILES] = {SEEDS "/asn", NULL, SEEDS "/kind", NULL};
    emk_places_file bad;
    emk_places *p = NULL;
    emk_error e = {0};
    folder f = {.dir = emk_test_dir_make()};
    emk_place at;

    (void)state;
    snprintf(f.path, sizeof f.path, "%s/hosting.txt", f.dir);
    paths[EMK_PLACES_HOSTING] = f.path;
    put(&f, emk_span_str("AS64501 Example Cloud\n"));
    assert_ok(emk_places_new(paths, &p, &bad, &e), &e);
    assert_string_equal(find(p, "2001:db8::1").kind, "hosting"); /* vpn to the database */
    at = find(p, "198.51.100.1");
    assert_string_equal(at.kind, "tor");
    assert_non_null(strstr(at.source, ",hosting_asns:"));
    assert_true(emk_places_built(p, EMK_PLACES_HOSTING) > 0);
    put(&f, emk_span_str("AS64500\n"));
    assert_ok(emk_places_reload(p, &bad, &e), &e);
    assert_string_equal(find(p, "2001:db8::1").kind, "vpn");
    put(&f, emk_span_str("hosting.example.com\n"));
    assert_status(emk_places_reload(p, &bad, &e), EMK_E_FORMAT, &e);
    assert_int_equal(bad, EMK_PLACES_HOSTING);
    emk_places_free(p);
    emk_test_dir_remove(f.dir);
}

static void a_file_that_is_cut_while_in_use_does_no_harm(void **state)
{
    emk_error e = {0};
    folder f;
    int fd = -1;
    emk_places *p = open_folder(&f, "city");

    (void)state;
    assert_ok(emk_os_open_update(f.path, &fd, &e), &e);
    assert_ok(emk_os_truncate(fd, 0, &e), &e);
    emk_os_close(fd);
    assert_string_equal(find(p, "203.0.113.1").cc, "PT");
    emk_places_free(p);
    emk_test_dir_remove(f.dir);
}

#define LOOKUPS 2000

static void look_often(void *self)
{
    for (unsigned i = 0; i < LOOKUPS; i++) {
        emk_place at = find(self, "203.0.113.1");

        if (strcmp(at.cc, "PT") != 0 && strcmp(at.cc, "JP") != 0)
            abort();
    }
}

static void lookups_go_on_while_files_are_read_again(void **state)
{
    emk_places_file bad;
    emk_thread *threads[2] = {NULL};
    emk_error e = {0};
    folder f;
    emk_places *p = open_folder(&f, "city");

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        assert_ok(emk_thread_start(look_often, p, &threads[i], &e), &e);
    for (unsigned i = 0; i < 20; i++) {
        put_seed(&f, i % 2 ? "city" : "city_later");
        assert_ok(emk_places_reload(p, &bad, &e), &e);
    }
    for (unsigned i = 0; i < 2; i++)
        emk_thread_join(threads[i]);
    emk_places_free(p);
    emk_test_dir_remove(f.dir);
}

static void any_failure_on_the_way_is_reported(void **state)
{
#ifdef EMK_FAULTS
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_IO};
    emk_error e = {0};

    for (unsigned k = 0; k < 2; k++) {
        for (uint64_t n = 1;; n++) {
            emk_status st;

            emk_fault_fail_at(kinds[k], n);
            st = open_one(EMK_PLACES_CITY, SEEDS "/city", &e);
            if (emk_fault_count(kinds[k]) < n) {
                assert_ok(st, &e);
                break;
            }
            assert_true(st == EMK_E_NO_MEMORY || st == EMK_E_IO);
        }
        emk_fault_fail_at(kinds[k], 0);
    }
#endif
    (void)state;
}

static bool has_library(void)
{
    emk_mmdb *db = NULL;
    emk_error e = {0};
    emk_status st = emk_mmdb_read(emk_span_of("", 0), &db, &e);

    return st != EMK_E_UNSUPPORTED;
}

int main(void)
{
    if (!has_library()) {
        emk_error e = {0};

        puts("SKIP libmaxminddb is not here");
        return open_one(EMK_PLACES_CITY, SEEDS "/city", &e) == EMK_E_UNSUPPORTED ? 77 : 1;
    }
    return EMK_RUN(
        emk_rule(tells_where_an_address_of_either_family_is),
        emk_rule(an_address_inside_of_ipv6_is_the_inner_one),
        emk_rule(of_unknown_and_private_addresses_nothing_is_said),
        emk_rule(a_file_of_ipv4_alone_knows_no_ipv6), emk_rule(without_a_radius_the_place_is_vague),
        emk_rule(a_file_of_countries_has_no_places), emk_rule(values_behind_pointers_are_found),
        emk_rule(files_of_another_make_are_read), emk_rule(words_for_connections_become_kinds),
        emk_rule(says_which_files_it_was_and_when_they_were_made),
        emk_rule(what_is_out_of_range_or_of_another_type_is_not_said),
        emk_rule(damaged_records_are_counted_and_nothing_more),
        emk_rule(any_depth_is_refused_without_a_call_for_each_level),
        emk_rule(refuses_what_is_no_database), emk_rule(refuses_a_file_in_the_place_of_another),
        emk_rule(refuses_every_file_that_is_cut_short), emk_rule(one_wrong_byte_does_no_harm),
        emk_rule(a_list_has_the_numbers_that_are_in_it),
        emk_rule(refuses_a_list_with_anything_else), emk_rule(refuses_a_list_that_is_too_long),
        emk_rule(systems_of_the_list_are_hosting_whatever_else_is_said),
        emk_rule(a_new_file_counts_when_it_is_read_again),
        emk_rule(a_bad_new_file_leaves_all_as_they_were),
        emk_rule(a_file_that_is_cut_while_in_use_does_no_harm),
        emk_rule(lookups_go_on_while_files_are_read_again),
        emk_rule(any_failure_on_the_way_is_reported));
}
