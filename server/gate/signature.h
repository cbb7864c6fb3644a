/* HTTP Message Signatures [RFC 9421] as devices make them: one signature, over exactly
 *
 *   ("@method" "@authority" "@path" "@query" "content-digest" ["authorization"]
 *    "earmark-counter"
 * "earmark-nonce");created=..;expires=..;keyid="..";alg="..";tag="earmark-req-1"
 *
 * with "authorization" if, and only if, the request has that field.  Parameters may stand in any
 * order, each once, and no others.  keyid is the device id in base64url.  The text is taken in its
 * canonical form only, so one request has one signature base.
 *
 * `created` and `expires` must be there and at most 60 s apart; the server's clock is not held
 * against them, since a phone's clock may be wrong: freshness is the nonce's business.  */
#ifndef EMK_SERVER_GATE_SIGNATURE_H
#define EMK_SERVER_GATE_SIGNATURE_H

#include "core/crypto/sign.h"
#include "server/gate/principal.h"
#include "server/gate/request.h"
#include "server/gate/structured.h"

#include <earmark/buf.h>

#define EMK_SIGNATURE_TAG        "earmark-req-1"
#define EMK_SIGNATURE_LIFE_MAX_S 60u
#define EMK_SIGNATURE_BASE_MAX   16384u

typedef struct emk_http_signature {
    emk_span label;
    emk_sf_list input; /* lent from the request */
    uint8_t sig[EMK_SIGN_LEN];
} emk_http_signature;

/* What a request of a device says of itself.  Nothing is verified yet. */
typedef struct emk_device_proof {
    emk_http_signature signature;
    uint8_t device_id[EMK_GATE_DEVICE_ID_LEN];
    emk_sign_alg alg;
    uint64_t created, expires; /* seconds since 1970, by the device's clock */
    uint64_t counter;
    emk_span nonce; /* lent */
    uint8_t body_sha256[32];
    bool covers_authorization;
} emk_device_proof;

/* Reads Signature-Input and Signature: one member each, of one label.  Fills out, which lends from
 * rq.  EMK_E_NOT_FOUND when neither field is there; EMK_E_FORMAT. */
emk_status emk_http_signature_parse(const emk_gate_request *rq, emk_http_signature *out,
                                    emk_error *e) EMK_MUST_CHECK;

/* Appends the signature base of any list of header fields and of @method, @authority, @path and
 * @query.  EMK_E_FORMAT for a component that is missing, unknown or there twice, or a value with
 * a control character; EMK_E_LIMIT, EMK_E_NO_MEMORY.  [RFC 9421 2.5] */
emk_status emk_signature_base_write(const emk_gate_request *rq, const emk_sf_list *input,
                                    emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* EMK_OK when k made the signature over this request, as its own list of components says it:
 * hold the list to something first.  EMK_E_SIGNATURE; the statuses of emk_signature_base_write. */
emk_status emk_http_signature_verify(const emk_gate_request *rq, const emk_http_signature *s,
                                     const emk_verify_key *k, emk_error *e) EMK_MUST_CHECK;

/* Holds a request to the profile above.  Fills out.  EMK_E_NOT_FOUND as above; EMK_E_POLICY for
 * another set of components, parameters, tag, alg or times; EMK_E_FORMAT.  The nonce may be
 * missing (then it is empty and the set is another one): who looks at nonces first gives a better
 * answer. */
emk_status emk_device_proof_check(const emk_gate_request *rq, emk_device_proof *out,
                                  emk_error *e) EMK_MUST_CHECK;

/* For clients and tests: the fields' values for a request that has everything but the two.
 * Appends Signature-Input's value to input and Signature's to signature; label is "sig1".
 * EMK_E_USAGE when the request misses a component; EMK_E_LIMIT, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
typedef struct emk_device_signing {
    const emk_sign_key *key;
    const uint8_t *device_id; /* 32 */
    uint64_t created;
} emk_device_signing;
emk_status emk_device_proof_make(const emk_gate_request *rq, const emk_device_signing *with,
                                 emk_buf *input, emk_buf *signature, emk_error *e) EMK_MUST_CHECK;

#endif
