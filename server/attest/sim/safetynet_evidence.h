/* A SafetyNet token as Google made them, under a root of our own.  A field that is NULL or zero is
 * right; values go into the JSON as they are. */
#ifndef EMK_SERVER_ATTEST_SIM_SAFETYNET_EVIDENCE_H
#define EMK_SERVER_ATTEST_SIM_SAFETYNET_EVIDENCE_H

#include "server/attest/sim/forge.h"

typedef struct fake_safetynet {
    emk_span signed_hash;                     /* the nonce's bytes */
    const char *alg, *header_extra;           /* header_extra: ",\"name\":value" */
    const char *nonce, *timestamp_ms;         /* nonce: base64 */
    const char *package, *digest;             /* digest: base64 */
    const char *cts, *basic;                  /* JSON: true */
    const char *evaluation, *payload_extra;   /* payload_extra: ",\"name\":value" */
    const char *san;                          /* hex of the leaf's alternative names; "" none */
    const char *leaf_to, *issuer;             /* UTCTime; the leaf's issuer */
    size_t signer, leaf_signer;               /* 0: the right key */
    bool no_certs, root_only, leaf_signature; /* leaf_signature: it is damaged */
} fake_safetynet;

/* Appends the token: signed by key 2, whose certificate is signed by key 0, the root's. */
emk_status fake_make_safetynet(const forge *f, const fake_safetynet *x, emk_buf *out,
                               emk_error *e) EMK_MUST_CHECK;

#endif
