/* Where an internet address is, whose it is, and what kind of network that is: from files that the
 * operator brings.
 *
 * What comes out is meant for events: coarse (a tenth of a degree), so that the log does not say
 * where somebody lives, and with the time that each file was built, so that nobody ever has to look
 * up again what was known when a decision was made.
 *
 * The shapes of GeoIP2, GeoLite2 and DB-IP are known, and of IPinfo's files ASN, country and kind.
 *
 * Thread rule: any thread, also while files are read again. */
#ifndef EMK_SERVER_PLACES_PLACES_H
#define EMK_SERVER_PLACES_PLACES_H

#include "server/places/mmdb.h"

#define EMK_PLACES_ID_MAX     128u /* characters with the terminating zero */
#define EMK_PLACES_COARSE     100  /* thousandths of a degree */
#define EMK_PLACES_KM_UNKNOWN 100u
#define EMK_PLACES_KM_COARSE  8u /* how far rounding moves a point at most */
#define EMK_PLACES_KM_MAX     20000u

typedef enum emk_places_file {
    EMK_PLACES_ASN,                            /* numbers of autonomous systems */
    EMK_PLACES_CITY,                           /* countries, and where */
    EMK_PLACES_KIND,                           /* kinds of networks */
    EMK_PLACES_DATABASES,                      /* so far: MaxMind databases */
    EMK_PLACES_HOSTING = EMK_PLACES_DATABASES, /* a list of systems (asn_list.h) */
    EMK_PLACES_FILES
} emk_places_file;
/* "asn", "city", "kind", "hosting_asns": as the configuration names them. */
extern const char *const EMK_PLACES_FILE_NAME[EMK_PLACES_FILES];

/* What is known of an address.  Zeros: nothing. */
typedef struct emk_place {
    uint32_t asn;
    char cc[3]; /* "PT" */
    bool located;
    int32_t lat, lon; /* thousandths of a degree, in steps of EMK_PLACES_COARSE */
    uint32_t km;      /* how far off that may be, rounding included */
    const char *kind; /* static: hosting, tor, proxy, vpn, mobile, isp, business … */
    char source[EMK_PLACES_ID_MAX]; /* "asn:1763771512,city:1763771000": files and when made */
} emk_place;

typedef struct emk_places emk_places;

/* Reads the files named, NULL for those that are not there, and keeps the names (borrowed).  Gives
 * *out; free with emk_places_free.  *bad is filled with the file at fault.  EMK_E_NOT_FOUND,
 * EMK_E_USAGE, EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_IO, EMK_E_NO_MEMORY, EMK_E_UNSUPPORTED. */
emk_status emk_places_new(const char *const paths[EMK_PLACES_FILES], emk_places **out,
                          emk_places_file *bad, emk_error *e) EMK_MUST_CHECK;
/* Reads them again: all of them, or none where one is not good. */
emk_status emk_places_reload(emk_places *p, emk_places_file *bad, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_places_free(emk_places *p);

/* Fills *out with what is known.  A record that is damaged is as good as none, and counted. */
void emk_places_find(emk_places *p, const emk_address *a, emk_place *out);

/* Puts what a record of such a database says into *out; for who has opened a database himself. */
void emk_places_take(emk_places_file file, const emk_mmdb_record *r, emk_place *out);

/* When this database was built or this list written, seconds since 1970; 0: there is none. */
uint64_t emk_places_built(emk_places *p, emk_places_file file);

typedef struct emk_places_stats {
    uint64_t known, unknown; /* addresses of which something, and nothing, was known */
    uint64_t damaged;        /* records */
} emk_places_stats;
void emk_places_stats_of(emk_places *p, emk_places_stats *out);

#endif
