/* What operators change while the server runs, and the numbers that they watch.
 *
 * Firewall entries, limits and lists that operators set are records; this module brings them into
 * effect at the start and after each change.  The configuration's own stay what lies below: an
 * operator's entry is added to the firewall file, and an operator's numbers replace a limit's.
 *
 * Thread rule: emk_admin_load and emk_admin_free while nobody else is there; the rest by any
 * number of threads. */
#ifndef EMK_SERVER_API_ADMIN_H
#define EMK_SERVER_API_ADMIN_H

#include "server/api/api.h"
#include "server/api/entities.h"
#include "server/journal/subject.h"

#define EMK_ADMIN_SEEN      8192u /* client addresses remembered, for "whom would this hit" */
#define EMK_ADMIN_SEEN_S    86400u
#define EMK_ADMIN_LATENCIES 32u /* classes: below 2^i microseconds */

typedef struct emk_admin emk_admin;

typedef struct emk_admin_options {
    const char *journal_dir;  /* kept; NULL: entries of the audit log are not shown */
    const char *audit_origin; /* kept */
    uint8_t audit_public[32];
    emk_span subjects_key; /* 32 bytes, copied; empty: nothing is sealed for a person */
    /* Adds members about the process to the answer of stats; NULL: none. */
    void (*numbers)(void *self, emk_json_out *o);
    void *numbers_self;
} emk_admin_options;

/* Makes api->admin and brings what operators have set into effect.  Free with emk_admin_free.
 * What the store says; EMK_E_NO_MEMORY. */
emk_status emk_admin_load(emk_api *api, const emk_admin_options *o, emk_error *e) EMK_MUST_CHECK;
void emk_admin_free(emk_api *api);

/* From now on this is the configuration's part of the firewall; takes the set, also on failure.
 * Before emk_admin_load it is simply what counts. */
emk_status emk_admin_firewall_base(emk_api *api, emk_firewall_set *set,
                                   emk_error *e) EMK_MUST_CHECK;

/* One answer went out: for the numbers, and for trials of the firewall.  NULL is fine. */
void emk_admin_saw(emk_admin *a, const emk_address *client, unsigned status, uint64_t ns);
/* One decision of the fraud engine, by its action.  NULL is fine. */
void emk_admin_decided(emk_admin *a, unsigned action);

/* ---- for the routes ---- */

/* Held while records and what they mean in effect are changed together. */
void emk_admin_take(emk_admin *a);
void emk_admin_give(emk_admin *a);

/* The firewall as it would be with one more entry, or without one (action NONE); free with
 * emk_firewall_set_free.  NULL: as the records are now.  The lock is held. */
emk_status emk_admin_firewall_with(emk_api *api, const emk_firewall_entry *one,
                                   emk_firewall_set **out, emk_error *e) EMK_MUST_CHECK;
/* Brings the records into effect.  The lock is held. */
emk_status emk_admin_firewall_apply(emk_api *api, emk_error *e) EMK_MUST_CHECK;
/* Whom of the clients of the last day this set would treat differently. */
emk_firewall_trial emk_admin_firewall_try(emk_api *api, const emk_firewall_set *candidate);

/* From an entity's texts.  EMK_E_FORMAT. */
emk_status emk_wall_read(const emk_wall_entity *w, emk_firewall_entry *out,
                         emk_error *e) EMK_MUST_CHECK;
/* "allow", "deny", "challenge", "limit:1" .. "limit:15". */
emk_status emk_wall_action(emk_span text, emk_firewall_entry *out, emk_error *e) EMK_MUST_CHECK;

/* A limit's rule as configured; NULL: there is none of that name. */
const emk_limit_rule *emk_admin_limit(const emk_admin *a, emk_span name);

/* What was counted since the start. */
typedef struct emk_admin_numbers {
    uint64_t by_class[6];                    /* answers 1xx .. 5xx at 1..5 */
    uint64_t latencies[EMK_ADMIN_LATENCIES]; /* of 2xx to 5xx, by their time at work */
    uint64_t actions[16];
    uint64_t started_s;
    size_t n_clients; /* seen within a day, as far as remembered */
} emk_admin_numbers;
/* Answers since the start.  NULL is fine: none. */
uint64_t emk_admin_answers(const emk_admin *a);
void emk_admin_numbers_get(emk_api *api, emk_admin_numbers *out);

const emk_admin_options *emk_admin_settings(const emk_admin *a);
/* False: nothing is sealed for persons here. */
bool emk_admin_subjects(emk_api *api, emk_subjects *out);
/* One verification of the audit log at a time: true when it may begin. */
bool emk_admin_verify_begin(emk_admin *a);
void emk_admin_verify_end(emk_admin *a);

#endif
