/* Structured Field Values for HTTP [RFC 8941]: the part that signatures, digests and limits need,
 * in its canonical form only.
 *
 * What the RFC lets a parser forgive is refused here, because the text itself goes under a
 * signature: one space between the members of an inner list and none inside its brackets, base64
 * with its padding and zero bits left over, no escapes in strings, integers without leading
 * zeros, no key twice.  Decimals, and parameters on the members of an inner list, are not read.
 *
 * The cursor keeps its first failure: from then on everything is false or empty. */
#ifndef EMK_SERVER_GATE_STRUCTURED_H
#define EMK_SERVER_GATE_STRUCTURED_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_SF_MEMBERS_MAX 16u /* in an inner list, and parameters of one */
#define EMK_SF_KEY_MAX     64u /* bytes of a key */
#define EMK_SF_BYTES_MAX   512u

typedef enum emk_sf_kind {
    EMK_SF_INTEGER,
    EMK_SF_STRING,
    EMK_SF_TOKEN,
    EMK_SF_BYTES,
    EMK_SF_BOOLEAN
} emk_sf_kind;

typedef struct emk_sf_item {
    emk_sf_kind kind;
    int64_t integer; /* also a BOOLEAN: 0 or 1 */
    emk_span text;   /* STRING, TOKEN: its characters; BYTES: the base64 between the colons */
} emk_sf_item;

typedef struct emk_sf_param {
    emk_span key;
    emk_sf_item value;
} emk_sf_param;

/* ("a" "b");x=1;y="z" */
typedef struct emk_sf_list {
    emk_span raw; /* all of it, as it came */
    emk_span members[EMK_SF_MEMBERS_MAX];
    size_t n_members;
    emk_sf_param params[EMK_SF_MEMBERS_MAX];
    size_t n_params;
} emk_sf_list;

typedef struct emk_sf {
    emk_span in; /* borrowed */
    size_t pos;
    bool bad;
} emk_sf;

void emk_sf_init(emk_sf *r, emk_span in);
/* Reads the key of a dictionary's member and the '=' behind it. */
bool emk_sf_member(emk_sf *r, emk_span *key);
/* True, and past it, when a comma and one space follow: another member comes. */
bool emk_sf_more(emk_sf *r);
bool emk_sf_item_read(emk_sf *r, emk_sf_item *out);
/* An inner list of strings with its parameters. */
bool emk_sf_list_read(emk_sf *r, emk_sf_list *out);
/* Nothing failed and nothing is left. */
bool emk_sf_at_end(const emk_sf *r);

/* Lends the value of a parameter; NULL when it is absent. */
const emk_sf_item *emk_sf_param_find(const emk_sf_list *list, const char *key);

/* The bytes of a BYTES item.  Fills out and *len.  EMK_E_FORMAT, EMK_E_LIMIT when there are more
 * than cap. */
emk_status emk_sf_bytes(const emk_sf_item *item, uint8_t *out, size_t cap, size_t *len,
                        emk_error *e) EMK_MUST_CHECK;
/* Fills out with ":" base64 ":" and a zero.  EMK_E_LIMIT. */
emk_status emk_sf_bytes_write(emk_span in, char *out, size_t cap, emk_error *e) EMK_MUST_CHECK;

#endif
