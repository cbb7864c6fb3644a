/* The signature that a device puts on a request over HTTP.  [RFC 9421] [authentication 2]
 *
 * One signature over exactly these components in this order:
 *
 *   "@method" "@authority" "@path" "@query" "content-digest" ["authorization"]
 *   "earmark-counter" ["earmark-nonce"]
 *
 * A device without a nonce signs without it and is answered with one.  Whatever carries the request
 * sends the four or five fields as they are here: the signature covers their text. */
#ifndef EMK_CORE_PROTO_HTTP_SIGNATURE_H
#define EMK_CORE_PROTO_HTTP_SIGNATURE_H

#include "core/base/span.h"
#include "core/proto/message.h"

#define EMK_HTTP_COUNTER_MAX UINT64_C(999999999999999) /* [RFC 8941 3.3.1] */
#define EMK_HTTP_SIGNED_S    60u                       /* what the signature says of its life */
#define EMK_HTTP_VALUE_MAX   8192u                     /* bytes of one value that is signed */

/* A request as it will be sent.  All borrowed. */
typedef struct emk_http_to_sign {
    emk_span method;            /* "POST" */
    emk_span authority;         /* lower case, without the port that the scheme has anyway */
    emk_span path;              /* as sent, from the first '/' */
    emk_span query;             /* as sent, without the '?'; empty: none */
    emk_span authorization;     /* value of that field; empty: the request has none */
    emk_span nonce;             /* what the server gave last; empty: none yet */
    uint64_t counter;           /* 1..EMK_HTTP_COUNTER_MAX, each once by this device */
    uint64_t created;           /* seconds since 1970, by the device's clock */
    const uint8_t *device_id;   /* EMK_DEVICE_ID_LEN bytes */
    const uint8_t *body_sha256; /* of the whole body, also of an empty one */
} emk_http_to_sign;

/* Values of the fields of these names. */
typedef struct emk_http_signed {
    char content_digest[64];
    char counter[20];
    char signature_input[512];
    char signature[128];
} emk_http_signed;

/* Fills *out.  EMK_E_USAGE for a component that is missing, too long, or has a control character,
 * for an authority in upper case and a counter out of its limits; what the signer says. */
emk_status emk_http_sign(const emk_signer *signer, const emk_http_to_sign *in, emk_http_signed *out,
                         emk_error *e) EMK_MUST_CHECK;

#endif
