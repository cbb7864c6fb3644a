/* Request: a device asks for one model, with a key made for this one answer.  [messages 6] */
#ifndef EMK_CORE_PROTO_REQUEST_H
#define EMK_CORE_PROTO_REQUEST_H

#include "core/proto/device_certificate.h"

#define EMK_REQUEST_SUMMARY_MAX 1024u /* bytes of the guard's summary */

typedef struct emk_request {
    uint8_t nonce[EMK_ID_LEN]; /* random */
    emk_span model;            /* texts; an empty span means: absent */
    emk_span user;
    emk_span version; /* may be absent, like the next two */
    emk_span use;
    emk_span app;
    emk_agree_key request_key;    /* EMK_KEM_XWING, EMK_KEM_X25519 or EMK_KEM_P256 */
    emk_span certificate_message; /* the device certificate, as issued */
    uint64_t created;             /* seconds since 1970, by the device's clock */
    emk_span summary;             /* the guard's [messages 11], opaque here; empty: none */
    /* Filled by emk_request_verify, not read by sign: */
    emk_device_certificate certificate;
    uint8_t hash[EMK_HASH_LEN]; /* names this request in ticket and header */
} emk_request;

/* Appends the message to out, signed by the device. */
emk_status emk_request_sign(const emk_crypto *c, const emk_signer *signer, const emk_request *in,
                            emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a request that was signed by the device whose certificate is inside, which
 * `issuer` signed and which is good at `now` (else EMK_E_POLICY).  That the request is new,
 * and that the device may ask for this user, the caller must find out. */
emk_status emk_request_verify(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                              uint64_t now, emk_request *out, emk_error *e) EMK_MUST_CHECK;

/* The same with a memory of what was verified before. */
emk_status emk_request_check(const emk_crypto *c, emk_span message,
                             const emk_certificate_check *check, emk_request *out,
                             emk_error *e) EMK_MUST_CHECK;

/* Fills *out (without `certificate` and `hash`) from the bytes alone.  NOTHING IS VERIFIED:
 * for showing to people. */
emk_status emk_request_parse(emk_span message, emk_request *out, emk_error *e) EMK_MUST_CHECK;

#endif
