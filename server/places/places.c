#include "server/places/places.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "server/places/asn_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LAT_MAX         90.0
#define LON_MAX         180.0
#define ASN_MAX         4294967295.0
#define STEPS_OF_DEGREE (1000.0 / EMK_PLACES_COARSE)

const char *const EMK_PLACES_FILE_NAME[EMK_PLACES_FILES] = {"asn", "city", "kind", "hosting_asns"};

typedef struct file_set {
    emk_mmdb *db[EMK_PLACES_DATABASES];
    emk_asn_list hosting;
} file_set;

/* The lock is held for a lookup, some microseconds; files are read without it. */
struct emk_places {
    emk_lock *lock;
    const char *paths[EMK_PLACES_FILES];
    file_set files;
    emk_places_stats stats;
};

/* ---- files ---- */

/* Of makers whose names say what a file is; another's may be anything. */
static const struct {
    const char *maker;
    const char *parts[EMK_PLACES_DATABASES][4]; /* any of these in the name */
} TYPES[] = {
    {"GeoLite2-", {{"ASN"}, {"City", "Country"}, {"none of them"}}},
    {"GeoIP2-",
     {{"ASN", "ISP", "Enterprise"},
      {"City", "Country", "Enterprise"},
      {"Anonymous", "Connection", "Enterprise"}}},
    {"DBIP-", {{"ASN", "ISP"}, {"City", "Country", "Location"}, {"ISP", "Anonymous"}}},
};

static emk_status check_type(const emk_mmdb *m, emk_places_file file, emk_error *e)
{
    const char *type = emk_mmdb_type(m);

    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        const char *const *part = TYPES[i].parts[file];
        bool ok = false;

        if (strncmp(type, TYPES[i].maker, strlen(TYPES[i].maker)) != 0)
            continue;
        for (size_t k = 0; k < sizeof TYPES[i].parts[file] / sizeof *part && part[k]; k++)
            ok = ok || strstr(type, part[k]);
        if (!ok)
            return emk_fail(e, EMK_E_FORMAT, "places: a database of another kind", 0);
    }
    return EMK_OK;
}

static void free_files(file_set *f)
{
    for (unsigned i = 0; i < EMK_PLACES_DATABASES; i++)
        emk_mmdb_free(f->db[i]);
    emk_asn_list_done(&f->hosting);
}

static emk_status read_files(const emk_places *p, file_set *f, emk_places_file *bad, emk_error *e)
{
    emk_status st = EMK_OK;

    for (unsigned i = 0; st == EMK_OK && i < EMK_PLACES_DATABASES; i++) {
        *bad = (emk_places_file)i;
        if (p->paths[i])
            st = emk_mmdb_open(p->paths[i], &f->db[i], e);
        if (st == EMK_OK && f->db[i])
            st = check_type(f->db[i], *bad, e);
    }
    if (st == EMK_OK && p->paths[EMK_PLACES_HOSTING]) {
        *bad = EMK_PLACES_HOSTING;
        st = emk_asn_list_open(p->paths[EMK_PLACES_HOSTING], &f->hosting, e);
    }
    if (st != EMK_OK)
        free_files(f);
    return st;
}

emk_status emk_places_reload(emk_places *p, emk_places_file *bad, emk_error *e)
{
    file_set fresh = {{NULL}, {NULL, 0, 0}}, old;
    emk_status st = read_files(p, &fresh, bad, e);

    if (st != EMK_OK)
        return st;
    emk_lock_take(p->lock);
    old = p->files;
    p->files = fresh;
    emk_lock_give(p->lock);
    free_files(&old);
    return EMK_OK;
}

emk_status emk_places_new(const char *const paths[EMK_PLACES_FILES], emk_places **out,
                          emk_places_file *bad, emk_error *e)
{
    emk_places *p = emk_alloc(1, sizeof *p);
    emk_status st;

    *bad = EMK_PLACES_ASN;
    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "places: memory", sizeof *p);
    memcpy(p->paths, paths, sizeof p->paths);
    st = emk_lock_new(&p->lock, e);
    if (st == EMK_OK)
        st = emk_places_reload(p, bad, e);
    if (st != EMK_OK) {
        emk_places_free(p);
        return st;
    }
    *out = p;
    return EMK_OK;
}

void emk_places_free(emk_places *p)
{
    if (!p)
        return;
    free_files(&p->files);
    emk_lock_free(p->lock);
    emk_free(p);
}

static uint64_t made(const file_set *f, unsigned file)
{
    if (file == EMK_PLACES_HOSTING)
        return f->hosting.written;
    return f->db[file] ? emk_mmdb_built(f->db[file]) : 0;
}

uint64_t emk_places_built(emk_places *p, emk_places_file file)
{
    uint64_t when;

    emk_lock_take(p->lock);
    when = made(&p->files, file);
    emk_lock_give(p->lock);
    return when;
}

void emk_places_stats_of(emk_places *p, emk_places_stats *out)
{
    emk_lock_take(p->lock);
    *out = p->stats;
    emk_lock_give(p->lock);
}

/* ---- records ---- */

static bool equals(emk_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static void take_asn(const emk_mmdb_record *r, emk_place *out)
{
    static const emk_mmdb_path number = {{"autonomous_system_number"}}, text = {{"asn"}};
    emk_span s;
    double v;

    if (emk_mmdb_number(r, &number, &v) && v >= 1 && v <= ASN_MAX)
        out->asn = (uint32_t)v;
    else if (emk_mmdb_text(r, &text, &s))
        out->asn = emk_asn_parse(s, true);
}

static void take_country(const emk_mmdb_record *r, emk_place *out)
{
    static const emk_mmdb_path paths[] = {
        {{"country", "iso_code"}}, {{"country_code"}}, {{"country"}}};
    emk_span s;

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (!emk_mmdb_text(r, &paths[i], &s) || s.len != 2)
            continue;
        if (s.p[0] < 'A' || s.p[0] > 'Z' || s.p[1] < 'A' || s.p[1] > 'Z')
            continue;
        memcpy(out->cc, s.p, 2);
        return;
    }
}

/* To the nearest step; |degrees| is at most 180. */
static int32_t coarse(double degrees)
{
    double steps = degrees * STEPS_OF_DEGREE;

    return (int32_t)(steps + (steps < 0 ? -0.5 : 0.5)) * EMK_PLACES_COARSE;
}

static void take_point(const emk_mmdb_record *r, emk_place *out)
{
    static const emk_mmdb_path lat_at = {{"location", "latitude"}},
                               lon_at = {{"location", "longitude"}},
                               km_at = {{"location", "accuracy_radius"}};
    double lat, lon, km = EMK_PLACES_KM_UNKNOWN;

    if (!emk_mmdb_number(r, &lat_at, &lat) || !emk_mmdb_number(r, &lon_at, &lon))
        return;
    /* In this form what is not a number is out of range, too. */
    if (!(lat >= -LAT_MAX && lat <= LAT_MAX && lon >= -LON_MAX && lon <= LON_MAX))
        return;
    if (emk_mmdb_number(r, &km_at, &km) && !(km >= 0 && km <= EMK_PLACES_KM_MAX))
        km = EMK_PLACES_KM_MAX;
    out->located = true;
    out->lat = coarse(lat);
    out->lon = coarse(lon);
    out->km = (uint32_t)km + EMK_PLACES_KM_COARSE;
    if (out->km > EMK_PLACES_KM_MAX)
        out->km = EMK_PLACES_KM_MAX;
}

static void take_city(const emk_mmdb_record *r, emk_place *out)
{
    take_country(r, out);
    take_point(r, out);
}

/* In order of weight: an exit of Tor in a data centre is in a data centre first, which is what the
 * rules ask about devices that prove nothing. */
static const struct {
    emk_mmdb_path at;
    const char *kind;
} FLAGS[] = {
    {{{"is_hosting_provider"}}, "hosting"},
    {{{"traits", "is_hosting_provider"}}, "hosting"},
    {{{"hosting"}}, "hosting"},
    {{{"is_tor_exit_node"}}, "tor"},
    {{{"traits", "is_tor_exit_node"}}, "tor"},
    {{{"tor"}}, "tor"},
    {{{"is_public_proxy"}}, "proxy"},
    {{{"is_residential_proxy"}}, "proxy"},
    {{{"traits", "is_public_proxy"}}, "proxy"},
    {{{"traits", "is_residential_proxy"}}, "proxy"},
    {{{"proxy"}}, "proxy"},
    {{{"is_anonymous_vpn"}}, "vpn"},
    {{{"traits", "is_anonymous_vpn"}}, "vpn"},
    {{{"vpn"}}, "vpn"},
};

/* How makers call kinds of networks. */
static const emk_mmdb_path WORD_AT[] = {{{"connection_type"}},
                                        {{"traits", "connection_type"}},
                                        {{"traits", "user_type"}},
                                        {{"user_type"}},
                                        {{"as_type"}},
                                        {{"type"}}};
static const struct {
    const char *word, *kind;
} WORDS[] = {
    {"hosting", "hosting"},     {"content_delivery_network", "hosting"},
    {"Cellular", "mobile"},     {"cellular", "mobile"},
    {"mobile", "mobile"},       {"Cable/DSL", "isp"},
    {"Dialup", "isp"},          {"Satellite", "isp"},
    {"residential", "isp"},     {"isp", "isp"},
    {"Corporate", "business"},  {"business", "business"},
    {"school", "education"},    {"college", "education"},
    {"education", "education"}, {"government", "government"},
    {"military", "government"},
};

/* IPinfo writes flags as texts. */
static bool is_set(const emk_mmdb_record *r, const emk_mmdb_path *at)
{
    emk_span text;
    bool flag;

    if (emk_mmdb_flag(r, at, &flag))
        return flag;
    return emk_mmdb_text(r, at, &text) && equals(text, "true");
}

static const char *kind_of_word(emk_span word)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (equals(word, WORDS[i].word))
            return WORDS[i].kind;
    return NULL;
}

static void take_kind(const emk_mmdb_record *r, emk_place *out)
{
    emk_span word;

    for (size_t i = 0; i < sizeof FLAGS / sizeof FLAGS[0] && !out->kind; i++)
        if (is_set(r, &FLAGS[i].at))
            out->kind = FLAGS[i].kind;
    for (size_t i = 0; i < sizeof WORD_AT / sizeof WORD_AT[0] && !out->kind; i++)
        if (emk_mmdb_text(r, &WORD_AT[i], &word))
            out->kind = kind_of_word(word);
}

void emk_places_take(emk_places_file file, const emk_mmdb_record *r, emk_place *out)
{
    static void (*const TAKE[EMK_PLACES_DATABASES])(const emk_mmdb_record *,
                                                    emk_place *) = {take_asn, take_city, take_kind};

    TAKE[file](r, out);
}

/* ---- addresses ---- */

static void put_source(const emk_places *p, emk_place *out)
{
    size_t n = 0;

    for (unsigned i = 0; i < EMK_PLACES_FILES; i++)
        if (made(&p->files, i) != 0)
            n += (size_t)snprintf(out->source + n, sizeof out->source - n, "%s%s:%" PRIu64,
                                  n ? "," : "", EMK_PLACES_FILE_NAME[i], made(&p->files, i));
}

static void find_locked(emk_places *p, const emk_address *a, emk_place *out)
{
    emk_mmdb_record r;
    bool known = false;

    for (unsigned i = 0; i < EMK_PLACES_DATABASES; i++) {
        emk_mmdb *db = p->files.db[i];
        emk_status st = db ? emk_mmdb_find(db, a, &r, NULL) : EMK_E_NOT_FOUND;

        if (st == EMK_OK)
            emk_places_take((emk_places_file)i, &r, out);
        known = known || st == EMK_OK;
        p->stats.damaged += st != EMK_OK && st != EMK_E_NOT_FOUND;
    }
    /* The operator's own list goes before what a database says. */
    if (emk_asn_list_has(&p->files.hosting, out->asn))
        out->kind = "hosting";
    p->stats.known += known;
    p->stats.unknown += !known;
    put_source(p, out);
}

void emk_places_find(emk_places *p, const emk_address *a, emk_place *out)
{
    *out = (emk_place){0};
    emk_lock_take(p->lock);
    find_locked(p, a, out);
    emk_lock_give(p->lock);
}
