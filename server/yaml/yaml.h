/* YAML for files that people write: the server's configuration and rule sets.
 *
 * A text becomes a tree that never changes: scalars, sequences, mappings, each with the line
 * and column it came from, so that every later complaint can say where.  Only the part of
 * YAML that reads as what it looks like: anchors, aliases, tags, merge keys, duplicate keys,
 * keys that are no plain text and several documents in a file are refused.
 *
 * All scalars are text.  What a scalar means is said by the reader that is asked for it, so
 * "no", "1e3" and "0x10" have no surprises: emk_yaml_bool wants true or false. */
#ifndef EMK_SERVER_YAML_YAML_H
#define EMK_SERVER_YAML_YAML_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_YAML_TEXT_MAX   (1u << 20) /* bytes of a file */
#define EMK_YAML_DEPTH_MAX  16u        /* collections open at once */
#define EMK_YAML_NODES_MAX  65536u     /* scalars and collections, keys included */
#define EMK_YAML_PAIRS_MAX  1024u      /* keys of one mapping: each is compared with each */
#define EMK_YAML_SCALAR_MAX 16384u     /* bytes of one scalar */
#define EMK_YAML_NAME_MAX   256u       /* bytes of a file's name kept for messages, with the zero */

typedef enum emk_yaml_kind { EMK_YAML_SCALAR, EMK_YAML_SEQUENCE, EMK_YAML_MAPPING } emk_yaml_kind;

typedef struct emk_yaml emk_yaml;

/* Read it, do not change it.  It lives as long as its tree. */
typedef struct emk_yaml_node {
    emk_yaml_kind kind;
    uint32_t line, column; /* from 1 */
    bool quoted;           /* a scalar in quotes or in a block: never null */
    const char *text;      /* SCALAR: UTF-8 without U+0000, with a terminating zero */
    size_t text_len;
    size_t n;                         /* items, or pairs */
    const struct emk_yaml_node *key;  /* of a value in a mapping; else NULL */
    const struct emk_yaml_node *next; /* item or value */
    const struct emk_yaml_node *first;
    const emk_yaml *tree;
} emk_yaml_node;

/* A complaint for people: "rules.yaml:12:7: unknown key \"wen\", did you mean \"when\"?".
 * The first complaint stays; start with all zero. */
typedef struct emk_yaml_diag {
    char text[512];
    uint32_t line, column; /* 0: of the file as a whole */
} emk_yaml_diag;

/* Gives the tree of `text`; free with emk_yaml_free.  `file` is copied for messages.  d (may
 * be NULL) gets the complaint.  An empty text is refused.  EMK_E_FORMAT, EMK_E_LIMIT,
 * EMK_E_UNSUPPORTED (anchors, tags and so on), EMK_E_NO_MEMORY; e->where is the line. */
emk_status emk_yaml_parse(const char *file, emk_span text, emk_yaml **out, emk_yaml_diag *d,
                          emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_yaml_free(emk_yaml *y);
const emk_yaml_node *emk_yaml_root(const emk_yaml *y);

/* Puts a complaint about node n (its place comes first) and returns EMK_E_FORMAT with `what`,
 * a literal, and the line.  n, d and e may be NULL. */
emk_status emk_yaml_refuse(const emk_yaml_node *n, emk_yaml_diag *d, emk_error *e, const char *what,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- lookup ---- */

/* The value of `key`, or NULL; also when m is NULL or no mapping. */
const emk_yaml_node *emk_yaml_get(const emk_yaml_node *m, const char *key);
/* True when it is a scalar of exactly this text. */
bool emk_yaml_is(const emk_yaml_node *n, const char *text);
/* True for an absent node and for an unquoted empty scalar, "~" and "null". */
bool emk_yaml_is_null(const emk_yaml_node *n);

/* EMK_OK when m is a mapping and each of its keys is among `names` (NULL ends them). */
emk_status emk_yaml_check_keys(const emk_yaml_node *m, const char *const *names, emk_yaml_diag *d,
                               emk_error *e) EMK_MUST_CHECK;
/* EMK_OK when n is there and of that kind. */
emk_status emk_yaml_check_kind(const emk_yaml_node *n, emk_yaml_kind kind, emk_yaml_diag *d,
                               emk_error *e) EMK_MUST_CHECK;
/* Fills *out with the value of `key`; a missing one is a complaint about m. */
emk_status emk_yaml_need(const emk_yaml_node *m, const char *key, const emk_yaml_node **out,
                         emk_yaml_diag *d, emk_error *e) EMK_MUST_CHECK;

/* ---- typed scalars: EMK_E_FORMAT for another kind or another text ---- */

/* A text of 1 .. cap - 1 bytes, copied with a zero. */
emk_status emk_yaml_text(const emk_yaml_node *n, char *out, size_t cap, emk_yaml_diag *d,
                         emk_error *e) EMK_MUST_CHECK;
/* Decimal digits; "_" between digits is passed over.  max is the largest allowed. */
emk_status emk_yaml_u64(const emk_yaml_node *n, uint64_t max, uint64_t *out, emk_yaml_diag *d,
                        emk_error *e) EMK_MUST_CHECK;
/* A decimal number in thousandths: "0.25" is 250, "-3" is -3000; at most three places (more
 * are refused, not rounded), within +-10^12. */
emk_status emk_yaml_milli(const emk_yaml_node *n, int64_t *out, emk_yaml_diag *d,
                          emk_error *e) EMK_MUST_CHECK;
/* true or false. */
emk_status emk_yaml_bool(const emk_yaml_node *n, bool *out, emk_yaml_diag *d,
                         emk_error *e) EMK_MUST_CHECK;
/* A duration in milliseconds: "250ms", "90s", "15m", "24h", "7d", "2w", or a sum of them from
 * large to small ("1d12h"); "0" needs no unit.  At most 100 years. */
emk_status emk_yaml_duration_ms(const emk_yaml_node *n, uint64_t *out, emk_yaml_diag *d,
                                emk_error *e) EMK_MUST_CHECK;
/* A size in bytes: "4096", "64KiB", "32MiB", "2GiB", "1TiB" (powers of 1024), or "MB" and so
 * on (powers of 1000). */
emk_status emk_yaml_bytes(const emk_yaml_node *n, uint64_t max, uint64_t *out, emk_yaml_diag *d,
                          emk_error *e) EMK_MUST_CHECK;
/* One of `names` (NULL ends them): *out is its place. */
emk_status emk_yaml_choice(const emk_yaml_node *n, const char *const *names, size_t *out,
                           emk_yaml_diag *d, emk_error *e) EMK_MUST_CHECK;

/* The nearest of `names` to a text that is none of them, or NULL: for "did you mean". */
const char *emk_yaml_nearest(const char *text, const char *const *names);

#endif
