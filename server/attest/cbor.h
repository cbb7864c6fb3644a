/* CBOR as authenticators write it [RFC 8949]: any order of keys, lengths that need not be the
 * shortest.  Only what their messages hold: integers, strings, arrays and maps of definite
 * length; no tags, no floats, no simple values.
 *
 * core/codec/cbor.h is stricter and for what we write ourselves.  The reader keeps its first
 * failure; after that each call gives zeros.  No heap, no recursion; what is lent points into
 * the input. */
#ifndef EMK_SERVER_ATTEST_CBOR_H
#define EMK_SERVER_ATTEST_CBOR_H

#include "core/base/reader.h"
#include "core/base/status.h"

#define EMK_LAX_CBOR_DEPTH 8u  /* arrays and maps open in one item that is skipped */
#define EMK_LAX_CBOR_ITEMS 32u /* items of one array, pairs of one map */

typedef struct emk_lax_cbor {
    emk_reader in;
    emk_status status; /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
} emk_lax_cbor;

/* A reader at the first byte of `in`, which it keeps. */
void emk_lax_init(emk_lax_cbor *c, emk_span in);

/* The head of a map or an array: how many pairs or items follow.  EMK_E_FORMAT for another
 * kind, EMK_E_LIMIT beyond EMK_LAX_CBOR_ITEMS. */
size_t emk_lax_map(emk_lax_cbor *c);
size_t emk_lax_array(emk_lax_cbor *c);
/* Strings; lent.  Text is not checked to be UTF-8: it is compared, not shown. */
emk_span emk_lax_bytes(emk_lax_cbor *c);
emk_span emk_lax_text(emk_lax_cbor *c);
/* An integer of either sign; EMK_E_LIMIT beyond 63 bits. */
int64_t emk_lax_int(emk_lax_cbor *c);
/* One item with all that is in it; EMK_E_LIMIT beyond EMK_LAX_CBOR_DEPTH. */
void emk_lax_skip(emk_lax_cbor *c);

/* The next key of a map, a text among n names (at most 32): its place, or n.  Bit i of *seen
 * remembers; a known name that comes twice is EMK_E_FORMAT. */
size_t emk_lax_key(emk_lax_cbor *c, const char *const *names, size_t n, uint32_t *seen);

/* The parser's own refusal; the first failure stays. */
void emk_lax_fail(emk_lax_cbor *c, emk_status st, const char *what);
bool emk_lax_ok(const emk_lax_cbor *c);
/* EMK_OK when nothing failed and every byte was read; else the first failure. */
emk_status emk_lax_finish(emk_lax_cbor *c, emk_error *e) EMK_MUST_CHECK;

#endif
