/* Compact JSON Web Signatures [RFC 7515 7.1], checked strictly.
 *
 * A token is read against rules that the caller made before it saw the token: which algorithms,
 * how long.  The header is data: its alg is compared with the rules, its kid is only a name to
 * look up, and no key in it (jwk, jku, x5u) is ever used; tokens with such members are refused.
 * crit is refused, as no extension is known here, and so are b64 and members that come twice.
 *
 * Nothing is verified by emk_jws_parse; use emk_jws_verify before believing the payload. */
#ifndef EMK_CORE_JOSE_JWS_H
#define EMK_CORE_JOSE_JWS_H

#include "core/base/buf.h"
#include "core/crypto/sign.h"
#include "core/jose/jwk.h"

#define EMK_JWS_MAX     65536u /* bytes of a token, whatever the rules say */
#define EMK_JWS_SIG_MAX 1024u  /* bytes: RSA of 8192 bits */
#define EMK_JWS_X5C_MAX 10u    /* certificates */

typedef struct emk_jws_rules {
    uint32_t algs;  /* EMK_JOSE_BIT(...) of those allowed; 0 is EMK_E_USAGE */
    size_t max_len; /* bytes of the token; 0: EMK_JWS_MAX */
    bool x5c;       /* read x5c into certs (SafetyNet); else it is passed over */
    bool jwk;       /* lend jwk (DPoP, whose meaning is to bring a key); else it is refused */
} emk_jws_rules;

typedef struct emk_jws {
    emk_jose_alg alg;
    char kid[EMK_JOSE_ID_MAX]; /* "": none */
    char typ[EMK_JOSE_ID_MAX]; /* "": none.  Compare without regard to case [RFC 7515 4.1.9] */
    emk_span signed_part;      /* lent from the token: header "." payload */
    emk_span header;           /* this and all below are lent from `bytes`; JSON */
    emk_span payload;          /* any bytes */
    emk_span sig;
    emk_span jwk; /* JSON text; empty: none */
    emk_span certs[EMK_JWS_X5C_MAX];
    size_t n_certs;
    emk_buf bytes; /* owned */
} emk_jws;

/* Reads a compact token, which must live as long as *out.  End with emk_jws_done, after a failure
 * too (*out is then empty).  EMK_E_USAGE for impossible rules, EMK_E_LIMIT, EMK_E_FORMAT,
 * EMK_E_UNSUPPORTED for crit and b64, EMK_E_SIGNATURE for an algorithm that is not allowed and
 * for a header that brings a key, EMK_E_NO_MEMORY.  e->what names the reason. */
emk_status emk_jws_parse(const emk_jws_rules *rules, emk_span token, emk_jws *out,
                         emk_error *e) EMK_MUST_CHECK;

/* EMK_OK when k signed it.  Statuses of emk_jwk_verify. */
emk_status emk_jws_verify(const emk_jws *jws, const emk_jwk *k, emk_error *e) EMK_MUST_CHECK;

/* The same with the key of the set that the token names; *used (may be NULL) lends it.
 * EMK_E_NOT_FOUND when there is no such key: time to fetch the set again, within limits. */
emk_status emk_jws_verify_by_set(const emk_jws *jws, const emk_jwks *set, const emk_jwk **used,
                                 emk_error *e) EMK_MUST_CHECK;

/* Frees.  All-zero is fine. */
void emk_jws_done(emk_jws *jws);

/* Appends to out the compact token of a header (JSON text, as it is) and a payload, signed by
 * key: ES256 or EdDSA; that the header says so is the caller's business.  For simulators, tests,
 * and for what we issue ourselves.  EMK_E_LIMIT, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_jws_make(const emk_sign_key *key, emk_span header, emk_span payload, emk_buf *out,
                        emk_error *e) EMK_MUST_CHECK;

#endif
