/* From the structs that handlers use to the bytes that records hold, and to JSON for operators,
 * by one table for each kind of entity.
 *
 *     typedef struct emk_ticket_entity { uint8_t device[32]; uint64_t issued_s; ... };
 *     static const emk_entity_field FIELDS[] = {
 *         {1, "device", EMK_ENTITY_FIXED, 0, offsetof(emk_ticket_entity, device), 32},
 *         {2, "issued", EMK_ENTITY_TIME, 0, offsetof(emk_ticket_entity, issued_s), 0},
 *     };
 *
 * A value is a deterministic CBOR map from the field's number to what is in it; what is zero or
 * empty is left out.  A number that is not in the table is refused: an older server must not
 * lose what a newer one wrote.  Structs hold their bytes themselves, so an entity is copied and
 * forgotten like an integer. */
#ifndef EMK_SERVER_API_ENTITY_H
#define EMK_SERVER_API_ENTITY_H

#include "server/api/json_out.h"
#include "server/api/kinds.h"
#include "server/store/records.h"

#define EMK_ENTITY_VALUE_MAX  16384u /* bytes of a value */
#define EMK_ENTITY_FIELDS_MAX 48u

typedef enum emk_entity_kind {
    EMK_ENTITY_UINT,  /* uint64_t */
    EMK_ENTITY_TIME,  /* uint64_t: seconds since 1970 */
    EMK_ENTITY_BOOL,  /* bool */
    EMK_ENTITY_TEXT,  /* char[size], with its zero */
    EMK_ENTITY_FIXED, /* uint8_t[size]; all zeros: nothing there */
    EMK_ENTITY_BYTES  /* emk_entity_bytes with room for size bytes behind it */
} emk_entity_kind;

/* Bytes of no fixed number, in the struct: EMK_ENTITY_BYTES_OF(64) key; */
typedef struct emk_entity_bytes {
    size_t len;
    uint8_t p[];
} emk_entity_bytes;
#define EMK_ENTITY_BYTES_OF(size) \
    struct {                      \
        size_t len;               \
        uint8_t p[size];          \
    }

typedef enum emk_entity_flags {
    EMK_ENTITY_HIDDEN =
        1 /* never in JSON: secrets, hashes of secrets, what only the server needs */
} emk_entity_flags;

typedef struct emk_entity_field {
    uint32_t number;  /* in the CBOR map; in ascending order in the table */
    const char *name; /* in JSON */
    emk_entity_kind kind;
    unsigned flags;
    size_t offset;
    size_t size; /* of TEXT, FIXED and BYTES */
} emk_entity_field;

typedef struct emk_entity_shape {
    emk_kind kind;
    const char *name; /* static: "ticket", for logs and errors */
    const emk_entity_field *fields;
    size_t n;
    size_t struct_size;
} emk_entity_shape;

/* Appends the value of the struct at `in`.  EMK_E_LIMIT, EMK_E_FORMAT for text that is not clean
 * UTF-8, EMK_E_NO_MEMORY. */
emk_status emk_entity_write(const emk_entity_shape *shape, const void *in, emk_buf *out,
                            emk_error *e) EMK_MUST_CHECK;
/* Fills the struct at `out`, whole.  EMK_E_FORMAT for a damaged value, EMK_E_UNSUPPORTED for one of
 * a newer server. */
emk_status emk_entity_read(const emk_entity_shape *shape, emk_span value, void *out,
                           emk_error *e) EMK_MUST_CHECK;
/* Writes the members of the struct into an object that is open. */
void emk_entity_json(const emk_entity_shape *shape, const void *in, emk_json_out *o);

/* Reads a record into the struct; version and owner (NULL: not wanted) are the record's.
 * EMK_E_NOT_FOUND; what the store says. */
emk_status emk_entity_get(const emk_records *r, const emk_entity_shape *shape, emk_span id,
                          void *out, emk_record_info *info, emk_error *e) EMK_MUST_CHECK;

/* A change that puts an entity; value lives in the change. */
typedef struct emk_entity_change {
    emk_buf value;
    emk_record_change change;
} emk_entity_change;
/* Fills *out for emk_records_commit; end with emk_entity_change_done.  Borrows id and owner. */
typedef struct emk_entity_put {
    const emk_entity_shape *shape;
    const void *in;
    emk_span id;
    emk_span owner;     /* empty: none */
    uint64_t expect;    /* a version, EMK_RECORD_ANY or EMK_RECORD_ABSENT */
    uint64_t expires_s; /* 0: never */
} emk_entity_put;
emk_status emk_entity_change_make(const emk_entity_put *put, emk_entity_change *out,
                                  emk_error *e) EMK_MUST_CHECK;
void emk_entity_change_done(emk_entity_change *c);

/* Puts one entity in a batch of its own. */
emk_status emk_entity_store(const emk_records *r, const emk_entity_put *put, uint64_t *version,
                            emk_error *e) EMK_MUST_CHECK;

#endif
