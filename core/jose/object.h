/* JSON texts that somebody signs or publishes: small, wholly in memory, and no object in them may
 * have a member twice, whatever the member is (two readers would see two things).
 *
 *     st = emk_jose_text_open(&t, json, MAX, e);
 *     emk_jose_object_enter(&o, &t.j);
 *     while (emk_jose_object_next(&o, NAMES, N, &i))
 *         ... read the value of member i; i == N: emk_json_skip_value(&t.j) ...
 *     st = emk_jose_text_close(&t, e);
 *
 * What a parser skips is checked as far as JSON goes, not for members that come twice inside. */
#ifndef EMK_CORE_JOSE_OBJECT_H
#define EMK_CORE_JOSE_OBJECT_H

#include "core/base/buf.h"
#include "core/codec/json.h"

#define EMK_JOSE_MEMBERS_MAX 64u /* in one object */

typedef struct emk_jose_text {
    emk_image *im; /* owned */
    emk_json j;
} emk_jose_text;

/* A reader of `json`, which it keeps, of at most max bytes.  EMK_E_LIMIT, EMK_E_NO_MEMORY; close
 * it in these cases too. */
emk_status emk_jose_text_open(emk_jose_text *t, emk_span json, size_t max,
                              emk_error *e) EMK_MUST_CHECK;
/* Frees.  EMK_OK when nothing failed and the one value was read to its end. */
emk_status emk_jose_text_close(emk_jose_text *t, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_jose_object {
    emk_json *j;
    uint64_t hashes[EMK_JOSE_MEMBERS_MAX]; /* of the members so far */
    size_t n;
} emk_jose_object;

/* Reads the brace.  `opened`: it is the last token already. */
void emk_jose_object_enter(emk_jose_object *o, emk_json *j);
void emk_jose_object_opened(emk_jose_object *o, emk_json *j);

/* Reads the next member's name: *i is its place among n names, or n when it is none of them; the
 * value is next.  False at the end and after a failure; EMK_E_FORMAT for a member that comes
 * twice, EMK_E_LIMIT beyond EMK_JOSE_MEMBERS_MAX. */
bool emk_jose_object_next(emk_jose_object *o, const char *const *names, size_t n, size_t *i);

/* Reads a string value into out as text: EMK_E_FORMAT when it holds U+0000, EMK_E_LIMIT when it
 * does not fit. */
bool emk_jose_read_text(emk_json *j, char *out, size_t cap);

/* The JSON text of the object that comes next, lent; it is passed over. */
emk_span emk_jose_read_raw_object(emk_json *j);

/* The texts of the objects in the array that comes next, lent; gives their number.  EMK_E_FORMAT
 * for anything else in the array, EMK_E_LIMIT beyond cap. */
size_t emk_jose_read_raw_objects(emk_json *j, emk_span *out, size_t cap);

/* Appends the base64url form of bytes, one part of a compact serialization (RFC 7515, 7.1; RFC
 * 7516, 7.1).  EMK_E_LIMIT above max bytes, EMK_E_NO_MEMORY. */
emk_status emk_jose_append_part(emk_span bytes, size_t max, emk_buf *out,
                                emk_error *e) EMK_MUST_CHECK;

#endif
