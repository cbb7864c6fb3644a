/* A whole JSON document in memory, for vector files: core/codec/json.h does the reading, this
 * keeps what it found.  Keys that come twice in one object are refused: a vector that can be
 * read in two ways is none. */
#ifndef EMK_CLI_JSON_DOM_H
#define EMK_CLI_JSON_DOM_H

#include "cli/arena.h"
#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_DOM_NODES_MAX   4000000u /* values in one document */
#define EMK_DOM_MEMBERS_MAX 1024u    /* members of one object */

typedef enum emk_dom_kind {
    EMK_DOM_NULL,
    EMK_DOM_BOOL,
    EMK_DOM_NUMBER,
    EMK_DOM_STRING,
    EMK_DOM_ARRAY,
    EMK_DOM_OBJECT
} emk_dom_kind;

typedef struct emk_dom {
    emk_dom_kind kind;
    bool truth;    /* BOOL */
    size_t n;      /* ARRAY, OBJECT: how many children */
    emk_span key;  /* of this member of an object */
    emk_span text; /* STRING: decoded, a zero behind it; NUMBER: as it stands in the file */
    const struct emk_dom *first; /* ARRAY, OBJECT: NULL when empty */
    const struct emk_dom *next;  /* the next child of the same parent */
} emk_dom;

/* Gives the document in `json`, made of the arena's memory.  EMK_E_FORMAT, EMK_E_LIMIT or
 * EMK_E_NO_MEMORY. */
emk_status emk_dom_parse(emk_arena *a, emk_span json, const emk_dom **out,
                         emk_error *e) EMK_MUST_CHECK;

/* Lends the member named `key`; NULL when there is none, or `object` is NULL or no object. */
const emk_dom *emk_dom_get(const emk_dom *object, const char *key);

/* The same, when it is of that kind; else NULL. */
const emk_dom *emk_dom_get_kind(const emk_dom *object, const char *key, emk_dom_kind kind);

/* True when node is a string, and that one. */
bool emk_dom_is_text(const emk_dom *node, const char *text);

/* True when node is a number without sign, fraction and exponent, below 2^64. */
bool emk_dom_u64(const emk_dom *node, uint64_t *out);

#endif
