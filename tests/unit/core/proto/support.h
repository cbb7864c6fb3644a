/* For the tests of messages: two signers, and messages taken apart, changed and signed again,
 * so that what is refused is refused for what it says and not for its signature. */
#ifndef EMK_TESTS_PROTO_SUPPORT_H
#define EMK_TESTS_PROTO_SUPPORT_H

#include "core/codec/cbor.h"
#include "core/proto/enrolment.h"
#include "core/proto/receipt.h"
#include "core/proto/ticket.h"
#include "tests/support/test.h"

#define NOW UINT64_C(1800000000)

/* Made once for a program. */
typedef struct people {
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *device_key, *other_key;
    emk_verify_key *issuer, *device, *other;
    emk_signer issuer_signer, device_signer, other_signer; /* Ed25519, P-256, P-256 */
    uint8_t agree_pub[65], x25519_pub[32];
    emk_agree_key agree, request_key;
} people;

extern people P;
void people_init(void);
void people_done(void);

/* A message's map, in order; spans point into it. */
typedef struct field {
    uint64_t key;
    emk_span raw;
} field;
typedef struct fields {
    field f[16];
    size_t n;
} fields;

fields fields_of(emk_span message, emk_cose_type type);
/* The field with this key; fails the test when there is none. */
field *field_at(fields *f, uint64_t key);
void field_drop(fields *f, uint64_t key);
/* Sets it to an encoded value given in hex, which must stay. */
void field_hex(fields *f, uint64_t key, const char *hex);

/* Signs a map of these fields into b, which is emptied first; lent. */
emk_span sign_fields(const fields *f, emk_cose_type type, const emk_signer *signer, emk_buf *b);
/* Signs any payload. */
emk_span sign_payload(emk_span payload, emk_cose_type type, const emk_signer *signer, emk_buf *b);

typedef struct map_rules {
    emk_cose_type type;
    const emk_signer *signer;
    uint32_t may; /* bits of the keys that may be absent */
    emk_status (*read)(emk_span message, emk_error *e);
    emk_status (*write)(emk_buf *b, emk_error *e);
    /* A message with all its keys; NULL: what write gives. */
    emk_status (*example)(emk_buf *b, emk_error *e);
} map_rules;

/* The example, in b, which is begun here. */
emk_span good_message(const map_rules *r, emk_buf *b);

/* What holds for every message: no key may be missing, added, of another type, twice or out of
 * order; nothing may follow; another type, a signature by somebody else, a changed byte and a
 * message over the limit are refused; reading and writing survive a failure at each call. */
void check_map_rules(const map_rules *r);

/* The example with one value, in hex, instead of its own is refused as `want`. */
void check_rejects(const map_rules *r, uint64_t key, const char *hex, emk_status want);

#endif
