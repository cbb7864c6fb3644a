/* JSON Web Keys [RFC 7517, 7518 6, 8037]: public keys that verify signatures, and sets of them.
 *
 * A key is parsed once and kept: parsing one costs more than a signature.  The key, with what it
 * says about itself, decides which algorithms it is good for; a token only chooses among those
 * that caller and key both allow.
 *
 * Never accepted: private or symmetric keys (who published one has lost it, and a secret beside
 * public keys is how HS256 confusion begins), members that come twice, base64url that is not
 * canonical, points off the curve, RSA below 2048 bits.  x5c, x5t, x5u and jku are not looked at.
 *
 * Thread rule: a finished key or set is immutable and may be shared. */
#ifndef EMK_CORE_JOSE_JWK_H
#define EMK_CORE_JOSE_JWK_H

#include "core/crypto/crypto.h"

#define EMK_JWK_MAX     16384u /* bytes of one key's JSON: x5c may come along */
#define EMK_JWKS_MAX    65536u /* bytes of a set's JSON */
#define EMK_JWKS_KEYS   32u    /* keys in a set, whatever their kind */
#define EMK_JOSE_ID_MAX 128u   /* bytes of a kid or typ, with the terminating zero */

/* Signature algorithms.  There is no "none", and nothing with a shared secret. */
typedef enum emk_jose_alg {
    EMK_JOSE_NONE_OF_OURS = 0,
    EMK_JOSE_ES256 = 1,
    EMK_JOSE_ES384 = 2,
    EMK_JOSE_EDDSA = 3, /* Ed25519 only; "Ed25519" is read as the same [RFC 9864] */
    EMK_JOSE_RS256 = 4,
    EMK_JOSE_PS256 = 5
} emk_jose_alg;

/* A set of algorithms: EMK_JOSE_BIT(EMK_JOSE_ES256) | ... */
#define EMK_JOSE_BIT(alg) (1u << (unsigned)(alg))
/* What a server takes from an identity provider. */
#define EMK_JOSE_BITS_USER                                                                        \
    (EMK_JOSE_BIT(EMK_JOSE_ES256) | EMK_JOSE_BIT(EMK_JOSE_EDDSA) | EMK_JOSE_BIT(EMK_JOSE_RS256) | \
     EMK_JOSE_BIT(EMK_JOSE_PS256))

/* "ES256"; "" for none of ours.  Never NULL. */
const char *emk_jose_alg_name(emk_jose_alg alg);
/* The other way; EMK_JOSE_NONE_OF_OURS for anything else. */
emk_jose_alg emk_jose_alg_find(emk_span name);

typedef struct emk_jwk emk_jwk;

/* Gives a key read from one JWK object; free with emk_jwk_free.  Keeps c, borrows json.
 * EMK_E_FORMAT (also for private members), EMK_E_LIMIT (also for an RSA key too small or too
 * large), EMK_E_UNSUPPORTED for a kind, curve, use, key_ops or alg that verifies nothing here,
 * EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_jwk_parse(const emk_crypto *c, emk_span json, emk_jwk **out,
                         emk_error *e) EMK_MUST_CHECK;

/* The same from a SubjectPublicKeyInfo in DER; good for `algs` and no others.  EMK_E_USAGE when
 * the kind of key can do none of them. */
emk_status emk_jwk_from_spki(const emk_crypto *c, emk_span spki, uint32_t algs, emk_jwk **out,
                             emk_error *e) EMK_MUST_CHECK;

/* NULL is fine. */
void emk_jwk_free(emk_jwk *k);

/* Lends the kid; "" when it has none.  Never NULL. */
const char *emk_jwk_kid(const emk_jwk *k);
/* The algorithms this key may verify, as bits. */
uint32_t emk_jwk_algs(const emk_jwk *k);
/* Lends SHA-256 of the canonical members [RFC 7638], 32 bytes: DPoP's "jkt". */
emk_span emk_jwk_thumbprint(const emk_jwk *k);

/* EMK_OK when sig, in JOSE's form (r || s; never DER), is k's over msg by alg.
 * EMK_E_SIGNATURE (also for an alg that the key is not for), EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_jwk_verify(const emk_jwk *k, emk_jose_alg alg, emk_span msg, emk_span sig,
                          emk_error *e) EMK_MUST_CHECK;

typedef struct emk_jwks emk_jwks;

/* Gives a set read from {"keys": [...]}; free with emk_jwks_free.  Keeps c, borrows json.
 * Keys of a kind that is not ours (encryption, other curves) are left out, as RFC 7517 5 wants;
 * a key that is malformed, private, or has the kid of another refuses the whole set.
 * EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_NOT_FOUND when no key is left, and as emk_jwk_parse. */
emk_status emk_jwks_parse(const emk_crypto *c, emk_span json, emk_jwks **out,
                          emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_jwks_free(emk_jwks *set);
size_t emk_jwks_count(const emk_jwks *set);
/* Lends key i < count. */
const emk_jwk *emk_jwks_at(const emk_jwks *set, size_t i);
/* Lends the key with this kid; NULL when there is none.  An empty kid finds the one key of a set
 * of one, and nothing else. */
const emk_jwk *emk_jwks_find(const emk_jwks *set, const char *kid);

#endif
