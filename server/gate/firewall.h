/* Networks that are let in, kept out, asked more of, or held to a limit of their own.
 *
 * A set is a table of entries and a radix tree over them; it never changes once it is made.  A
 * firewall holds the set that counts and swaps it at once: a lookup sees the old one or the new
 * one whole.  The longest prefix that has not expired wins; of entries with one prefix, deny
 * beats challenge beats limit-class beats allow.
 *
 * Thread rule: a set is immutable and may be shared; a firewall may be used by all threads. */
#ifndef EMK_SERVER_GATE_FIREWALL_H
#define EMK_SERVER_GATE_FIREWALL_H

#include "core/base/image.h"
#include "server/gate/address.h"

#include <earmark/buf.h>

#define EMK_FIREWALL_ENTRIES_MAX 1000000u
#define EMK_FIREWALL_TEXT_MAX    63u  /* bytes of reason, origin, by */
#define EMK_FIREWALL_LINE_MAX    512u /* bytes of a line of a list */
#define EMK_FIREWALL_CLASS_MAX   15u  /* limit-classes are 1..15 */

/* In order of weight at equal prefix. */
typedef enum emk_firewall_action {
    EMK_FIREWALL_NONE, /* no entry */
    EMK_FIREWALL_ALLOW,
    EMK_FIREWALL_LIMIT,
    EMK_FIREWALL_CHALLENGE,
    EMK_FIREWALL_DENY
} emk_firewall_action;

typedef struct emk_firewall_entry {
    emk_net net;
    emk_firewall_action action;
    uint8_t limit_class; /* of LIMIT; else 0 */
    uint64_t expires;    /* seconds since 1970; 0: never */
    char reason[EMK_FIREWALL_TEXT_MAX + 1];
    char origin[EMK_FIREWALL_TEXT_MAX + 1]; /* which list or rule made it */
    char by[EMK_FIREWALL_TEXT_MAX + 1];     /* who */
} emk_firewall_entry;

typedef struct emk_firewall_hit {
    emk_firewall_action action;
    uint8_t limit_class;
    uint32_t entry; /* its place in the set */
} emk_firewall_hit;

typedef struct emk_firewall_set emk_firewall_set;

/* Gives a set of copies of the entries; free with emk_firewall_set_free.  EMK_E_USAGE for an entry
 * with a bit behind its prefix, or no action; EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_firewall_set_new(const emk_firewall_entry *entries, size_t n, emk_firewall_set **out,
                                emk_error *e) EMK_MUST_CHECK;
void emk_firewall_set_free(emk_firewall_set *s);
size_t emk_firewall_set_count(const emk_firewall_set *s);
/* Lends entry i, in the order they were given; i below the count. */
const emk_firewall_entry *emk_firewall_set_get(const emk_firewall_set *s, size_t i);
emk_firewall_hit emk_firewall_set_find(const emk_firewall_set *s, const emk_address *a,
                                       uint64_t now_s);

/* From text: one entry a line, fields separated by spaces or tabs:
 *     <net> <action> [expires=<seconds since 1970>] [origin=<word>] [by=<word>] [reason=<rest>]
 * action: allow, deny, challenge, limit:<1..15>.  Empty lines and '#' lines are passed over.  All
 * or nothing: EMK_E_FORMAT or EMK_E_LIMIT with where = number of the line, from 1. */
emk_status emk_firewall_import(emk_span text, emk_firewall_set **out, emk_error *e) EMK_MUST_CHECK;
/* Appends the same text to out: what is imported comes out as it was, comments aside. */
emk_status emk_firewall_export(const emk_firewall_set *s, emk_buf *out,
                               emk_error *e) EMK_MUST_CHECK;

/* Who of the given clients a candidate would treat differently from now: the answer to "whom
 * would this hit".  Counts clients, once for each new action. */
typedef struct emk_firewall_trial {
    uint64_t n_clients;
    uint64_t by_action[EMK_FIREWALL_DENY + 1]; /* under the candidate */
    uint64_t changed;                          /* another action or class than now */
} emk_firewall_trial;
emk_firewall_trial emk_firewall_try(const emk_firewall_set *now, const emk_firewall_set *candidate,
                                    const emk_address *clients, size_t n_clients, uint64_t now_s);

typedef struct emk_firewall emk_firewall;

/* Gives a firewall without entries; free with emk_firewall_free. */
emk_status emk_firewall_new(emk_firewall **out, emk_error *e) EMK_MUST_CHECK;
void emk_firewall_free(emk_firewall *f);
/* From now on `set` counts; takes it.  The one before is freed as soon as nobody looks. */
void emk_firewall_swap(emk_firewall *f, emk_firewall_set *set);
emk_firewall_hit emk_firewall_find(emk_firewall *f, const emk_address *a, uint64_t now_s);
/* Calls fn with the set that counts, which stays while fn runs: for export and trials.  fn must
 * not use the firewall. */
void emk_firewall_look(emk_firewall *f, void (*fn)(void *self, const emk_firewall_set *set),
                       void *self);

#endif
