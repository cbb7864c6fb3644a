/* CBOR, strictly deterministic: the profile of container 4 on RFC 8949 4.2.1.
 *
 * One value has one encoding: shortest integers and lengths, no indefinite lengths, map
 * keys in the order of their bytes and each once.  There are no floats, no undefined and
 * no other simple values; null and tags exist only where the caller asks for them by name.
 * Text is checked UTF-8, nesting ends at EMK_CBOR_DEPTH, and every length meets the bytes
 * that are left before it is believed.  A general CBOR decoder this is not.
 *
 * The reader keeps its first failure; after that each call gives zeros.  A parser reads
 * like its schema and checks once, with emk_cbor_finish:
 *
 *     emk_cbor_enter_map(&c);
 *     while (emk_cbor_next_key(&c, &key)) {
 *         if (key == 1)
 *             version = emk_cbor_read_uint(&c);
 *         else
 *             emk_cbor_fail(&c, EMK_E_FORMAT, "thing: unknown key", (uint64_t)key);
 *     }
 *     emk_cbor_leave(&c);
 *     st = emk_cbor_finish(&c, e);
 *
 * No heap, no recursion.  What is lent points into the input. */
#ifndef EMK_CORE_CODEC_CBOR_H
#define EMK_CORE_CODEC_CBOR_H

#include "core/base/reader.h"
#include "core/base/status.h"
#include "core/base/writer.h"

#define EMK_CBOR_DEPTH 16u /* arrays and maps open at once */

typedef enum emk_cbor_type {
    EMK_CBOR_BAD, /* nothing this profile knows, or the reader has failed */
    EMK_CBOR_END, /* the array or map, or at the top the input, is through */
    EMK_CBOR_UINT,
    EMK_CBOR_NINT,
    EMK_CBOR_BYTES,
    EMK_CBOR_TEXT,
    EMK_CBOR_ARRAY,
    EMK_CBOR_MAP,
    EMK_CBOR_TAG,
    EMK_CBOR_BOOL,
    EMK_CBOR_NULL
} emk_cbor_type;

/* An open array or map. */
typedef struct emk_cbor_level {
    uint64_t left;  /* items, or pairs, not yet through */
    size_t item_at; /* where the item being read begins */
    size_t key_at;  /* the key before: where it begins ... */
    size_t key_len; /* ... and its encoded bytes; 0: none yet */
    bool map;
    bool value_next; /* map: the key is read, its value is not */
} emk_cbor_level;

typedef struct emk_cbor_reader {
    emk_reader in;
    emk_status status; /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
    uint32_t depth; /* levels in use */
    bool tag_open;  /* a tag was read, what it tags was not */
    emk_cbor_level level[EMK_CBOR_DEPTH];
} emk_cbor_reader;

/* A reader at the first byte of `in`, which it keeps. */
void emk_cbor_reader_init(emk_cbor_reader *c, emk_span in);

/* What comes next, judged by one byte; changes nothing. */
emk_cbor_type emk_cbor_peek(emk_cbor_reader *c);

/* One item of the kind named.  Another kind, or bytes outside the profile, fail the reader
 * with EMK_E_FORMAT (where = offset), EMK_E_UNSUPPORTED for floats, undefined and unknown
 * simple values. */
uint64_t emk_cbor_read_uint(emk_cbor_reader *c);
/* Of either sign; EMK_E_LIMIT when it does not fit. */
int64_t emk_cbor_read_int(emk_cbor_reader *c);
bool emk_cbor_read_bool(emk_cbor_reader *c);
void emk_cbor_read_null(emk_cbor_reader *c);
/* A byte string; lent. */
emk_span emk_cbor_read_bytes(emk_cbor_reader *c);
/* Fills out with a byte string of exactly len bytes; zeros on failure. */
void emk_cbor_read_fixed(emk_cbor_reader *c, uint8_t *out, size_t len);
/* A text string, checked; lent, without a terminating zero. */
emk_span emk_cbor_read_text(emk_cbor_reader *c);
/* The head of tag `want`; what it tags is read next and counts as one item with it.
 * EMK_E_UNSUPPORTED for another tag (where = its number). */
void emk_cbor_read_tag(emk_cbor_reader *c, uint64_t want);

/* Opens an array or a map and tells its items or pairs: never more than the bytes left
 * could hold.  0 on failure.  EMK_E_LIMIT beyond EMK_CBOR_DEPTH. */
size_t emk_cbor_enter_array(emk_cbor_reader *c);
size_t emk_cbor_enter_map(emk_cbor_reader *c);

/* The next key of a map with integer keys; the caller then reads one value.  False when
 * the map is through, or on failure.  Keys that are not in order, or come twice, fail the
 * reader.  (A key of another kind can be read like a value; it is held to the same order.) */
bool emk_cbor_next_key(emk_cbor_reader *c, int64_t *key);

/* Closes the array or map opened last.  EMK_E_FORMAT when not all of it was read: an array
 * with more items than the schema has is refused here. */
void emk_cbor_leave(emk_cbor_reader *c);

/* One item of any kind but null and tags, checked to its end. */
void emk_cbor_skip(emk_cbor_reader *c);
/* The same; lends its bytes. */
emk_span emk_cbor_read_raw(emk_cbor_reader *c);

/* The parser's own refusal.  The first failure is the one that stays. */
void emk_cbor_fail(emk_cbor_reader *c, emk_status st, const char *what, uint64_t where);
bool emk_cbor_ok(const emk_cbor_reader *c);

/* EMK_OK when nothing failed and every byte was read; else the first failure. */
emk_status emk_cbor_finish(emk_cbor_reader *c, emk_error *e) EMK_MUST_CHECK;

/* EMK_OK when `in` is exactly one item of the profile (keys of any kind, no null, no tag). */
emk_status emk_cbor_check(emk_span in, emk_error *e) EMK_MUST_CHECK;

/* Writing: shortest forms.  The caller writes map keys in the order of their bytes, and
 * text that is UTF-8. */
void emk_cbor_put_uint(emk_writer *w, uint64_t v);
void emk_cbor_put_int(emk_writer *w, int64_t v);
void emk_cbor_put_bool(emk_writer *w, bool v);
void emk_cbor_put_null(emk_writer *w);
void emk_cbor_put_bytes(emk_writer *w, emk_span s);
void emk_cbor_put_text(emk_writer *w, emk_span s);
void emk_cbor_put_array(emk_writer *w, size_t n_items);
void emk_cbor_put_map(emk_writer *w, size_t n_pairs);
void emk_cbor_put_tag(emk_writer *w, uint64_t tag);
/* An item that is encoded already. */
void emk_cbor_put_raw(emk_writer *w, emk_span item);

#endif
