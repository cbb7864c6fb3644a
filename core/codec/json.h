/* JSON [RFC 8259], strict, pulled token by token from a range of an image: a buffer, or a
 * file of any size in bounded memory.
 *
 * Strict: UTF-8 without a byte-order mark, \u surrogates in pairs, no trailing commas, no
 * comments, no control characters in strings.  Numbers stay text until an exact integer is
 * asked for; there are no doubles.  Nesting ends at EMK_JSON_DEPTH.  No heap, no recursion.
 *
 * The reader keeps its first failure; from then on every token is EMK_JSON_BAD and every
 * getter gives false.  Between two calls the caller may use the image for other things.
 *
 * Duplicate keys are legal JSON and the caller's business: emk_json_which_key refuses them
 * where the keys are known, emk_json_string_hash helps where they are not. */
#ifndef EMK_CORE_CODEC_JSON_H
#define EMK_CORE_CODEC_JSON_H

#include "core/base/image.h"

#define EMK_JSON_DEPTH 64u /* objects and arrays open at once */

typedef enum emk_json_token {
    EMK_JSON_BAD, /* see status, what, where */
    EMK_JSON_END, /* the one value is through and nothing but white space follows */
    EMK_JSON_OBJECT_BEGIN,
    EMK_JSON_OBJECT_END,
    EMK_JSON_ARRAY_BEGIN,
    EMK_JSON_ARRAY_END,
    EMK_JSON_KEY,
    EMK_JSON_STRING,
    EMK_JSON_NUMBER,
    EMK_JSON_TRUE,
    EMK_JSON_FALSE,
    EMK_JSON_NULL
} emk_json_token;

typedef struct emk_json {
    emk_image *im;
    uint64_t pos;      /* next byte, offset in the image */
    uint64_t end;      /* first byte behind the range */
    emk_status status; /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
    emk_json_token token; /* the last one */
    uint64_t text_off; /* KEY, STRING: first byte inside the quotes; NUMBER: first digit or sign */
    uint64_t text_len; /* raw bytes of it, escapes not decoded */
    bool has_escapes;
    uint32_t depth;     /* levels open */
    uint64_t objects;   /* bit i: level i is an object, not an array */
    uint64_t magnitude; /* private from here: a NUMBER's value without its sign */
    uint8_t number_flags;
    uint8_t expect;        /* what the grammar allows next */
    const uint8_t *window; /* bytes at pos, good while the image's epoch is the same */
    size_t window_len;
    uint64_t epoch;
} emk_json;

/* A reader of the image's bytes [begin, end).  It keeps im.  A range that is not inside the
 * image is EMK_E_FORMAT. */
void emk_json_init(emk_json *j, emk_image *im, uint64_t begin, uint64_t end);

/* The next token.  EMK_E_FORMAT, EMK_E_LIMIT (depth), or what the image's read said. */
emk_json_token emk_json_next(emk_json *j);

/* The next token, which must be `want`: true, or EMK_E_FORMAT. */
bool emk_json_expect(emk_json *j, emk_json_token want);

/* The last token as an integer: it must be a NUMBER without fraction and exponent.
 * "-0" is no integer.  EMK_E_FORMAT, EMK_E_LIMIT when it does not fit. */
bool emk_json_u64(emk_json *j, uint64_t *out);
bool emk_json_i64(emk_json *j, int64_t *out);

/* The last token, KEY or STRING, decoded into out with a terminating zero; *len without it
 * (may be NULL).  A string may hold U+0000.  EMK_E_LIMIT when it does not fit into cap. */
bool emk_json_copy_string(emk_json *j, char *out, size_t cap, size_t *len);

/* True when the last token is a KEY or STRING whose decoded text is `text`. */
bool emk_json_string_equals(emk_json *j, const char *text);

/* The last token, a KEY, among n names (at most 64): *i is its place, or n when it is none
 * of them.  Bit i of *seen, zero at the object's begin, remembers; a name that comes again
 * is EMK_E_FORMAT. */
bool emk_json_which_key(emk_json *j, const char *const *names, size_t n, size_t *i, uint64_t *seen);

/* A hash of the last token's decoded text, for tables of keys: equal texts have equal
 * hashes however they were escaped.  Anyone can make collisions: compare, or refuse. */
bool emk_json_string_hash(emk_json *j, uint64_t *out);

/* Passes over the next value with all that is in it. */
void emk_json_skip_value(emk_json *j);

/* The parser's own refusal; the first failure stays. */
void emk_json_fail(emk_json *j, emk_status st, const char *what, uint64_t where);
bool emk_json_ok(const emk_json *j);

/* EMK_OK when nothing failed and the value is through; else the first failure. */
emk_status emk_json_finish(emk_json *j, emk_error *e) EMK_MUST_CHECK;

#endif
