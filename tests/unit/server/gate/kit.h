/* Requests made by hand, and one emk_crypto for a test program. */
#ifndef EMK_TESTS_UNIT_SERVER_GATE_KIT_H
#define EMK_TESTS_UNIT_SERVER_GATE_KIT_H

#include "core/crypto/crypto.h"
#include "core/crypto/sign.h"
#include "server/gate/request.h"
#include "server/gate/signature.h"
#include "tests/support/test.h"

#define KIT_NOW_S  UINT64_C(1700000000)
#define KIT_NOW_NS UINT64_C(5000000000000)

typedef struct kit_request {
    emk_gate_request rq;
    emk_http_field fields[EMK_REQUEST_FIELDS_MAX + 2];
    char text[65536]; /* what the spans point into */
    size_t used;
} kit_request;

emk_crypto *kit_crypto(void);

/* POST https://api.example/v1/tickets?a=1 from 192.0.2.7, without fields. */
void kit_request_init(kit_request *r);
void kit_add(kit_request *r, const char *name, const char *value);
/* Removes all fields of that name. */
void kit_remove(kit_request *r, const char *name);
/* Replaces it. */
void kit_set(kit_request *r, const char *name, const char *value);
/* The value of a field that is there. */
const char *kit_get(kit_request *r, const char *name);
/* Replaces the first `from` in the value of a field; fails when it is not in it. */
void kit_edit(kit_request *r, const char *name, const char *from, const char *to);

typedef struct kit_device {
    emk_sign_key *key;
    uint8_t pub[EMK_SIGN_PUBLIC_MAX];
    emk_sign_alg alg;
    uint8_t id[32];
} kit_device;

/* A device whose id is 32 times `id`. */
kit_device kit_device_make(emk_sign_alg alg, uint8_t id);
void kit_device_done(kit_device *d);
/* Adds content-digest (of nothing), counter, nonce (unless NULL) and the signature. */
void kit_sign(kit_request *r, const kit_device *d, uint64_t counter, const char *nonce);
/* Signs again what is there. */
void kit_sign_again(kit_request *r, const kit_device *d);

/* A key set of these ES256 or EdDSA keys; their kids are "k0", "k1" ... */
void kit_jwks(char *out, size_t cap, const kit_device *keys, size_t n);
/* A token of `claims` (JSON) under a header {"alg":...,"kid":<kid>,<more>}, signed. */
void kit_token(char *out, size_t cap, const kit_device *key, const char *kid, const char *more,
               const char *claims);
/* The same under a header that is given whole. */
void kit_token_raw(char *out, size_t cap, const kit_device *key, const char *header,
                   const char *claims);

#endif
