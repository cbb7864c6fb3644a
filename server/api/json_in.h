/* Reads a JSON body into a struct by a table: each field with its kind, limits and place.
 *
 *     typedef struct enrol_body { emk_span enrolment; emk_span app; } enrol_body;
 *     static const emk_json_field FIELDS[] = {
 *         {"enrolment", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, 4096, offsetof(enrol_body,
 * enrolment)},
 *         {"app", EMK_JSON_TEXT, 0, 1, 128, offsetof(enrol_body, app)},
 *     };
 *     static const emk_json_shape SHAPE = {FIELDS, 2};
 *     if (!emk_json_body(call, &SHAPE, &body))
 *         return EMK_OK;            // a problem with the field's name was answered
 *
 * What is not in the table is refused, and so is a name that comes twice, a value of another
 * kind or beyond its limits, null, and anything behind the value.  Answers name only fields
 * of the table, never what the client wrote. */
#ifndef EMK_SERVER_API_JSON_IN_H
#define EMK_SERVER_API_JSON_IN_H

#include "server/api/http.h"

#define EMK_JSON_SHAPE_FIELDS 32u
#define EMK_JSON_SHAPE_DEPTH  4u
#define EMK_JSON_LIST_MAX     1024u

typedef enum emk_json_kind {
    EMK_JSON_TEXT,      /* emk_span: UTF-8 without control characters; limits in bytes */
    EMK_JSON_BYTES,     /* emk_span: base64url, decoded; limits in decoded bytes */
    EMK_JSON_UINT,      /* uint64_t within the limits */
    EMK_JSON_INT,       /* int64_t; limits are the magnitude's */
    EMK_JSON_BOOL,      /* bool */
    EMK_JSON_STRUCT,    /* a struct by `shape` */
    EMK_JSON_TEXT_LIST, /* emk_json_texts; limits are the number of texts, each 1..256 bytes */
    EMK_JSON_RAW        /* emk_span: any JSON value as it came; limits in bytes */
} emk_json_kind;

typedef enum emk_json_field_flags { EMK_JSON_REQUIRED = 1 } emk_json_field_flags;

#define EMK_JSON_LIST_TEXT_MAX 256u

typedef struct emk_json_texts {
    emk_span *v;
    size_t n;
} emk_json_texts;

struct emk_json_shape;

typedef struct emk_json_field {
    const char *name;
    emk_json_kind kind;
    unsigned flags;
    uint64_t min, max;
    size_t offset; /* in the struct */
    const struct emk_json_shape *shape;
} emk_json_field;

typedef struct emk_json_shape {
    const emk_json_field *fields;
    size_t n; /* at most EMK_JSON_SHAPE_FIELDS */
} emk_json_shape;

/* Where and why a body was refused. */
typedef struct emk_json_complaint {
    char pointer[128]; /* JSON pointer to the field [RFC 6901]; "" for the whole */
    const char *why;   /* static */
} emk_json_complaint;

/* Fills the zeroed struct at out; what is optional and absent stays zero.  Texts live in the
 * arena.  EMK_E_FORMAT or EMK_E_LIMIT, then *why (not NULL) is filled; EMK_E_NO_MEMORY. */
emk_status emk_json_read(emk_arena *arena, emk_span body, const emk_json_shape *shape, void *out,
                         emk_json_complaint *why, emk_error *e) EMK_MUST_CHECK;

/* The same with the call's body; false after it answered with a problem. */
bool emk_json_body(emk_call *call, const emk_json_shape *shape, void *out) EMK_MUST_CHECK;

#endif
