/* X.509 certificates as evidence: what attestation needs of them, and chains in the order they
 * were sent.  [RFC 5280]
 *
 * This is not path building for the web: there is no search, no policy tree, no name constraint,
 * no network.  A chain is checked pair by pair from leaf to root, and the anchors are the
 * caller's: a root's key decides, never what a certificate in the evidence says of itself.
 * What a kind of evidence must be forgiven (dates that makers filled in wrongly) stands in the
 * caller's rules and nowhere else.  docs/decisions/0011 says why libcrypto's own chain check is
 * not used.
 *
 * No heap for certificates; what is lent points into the input. */
#ifndef EMK_CORE_CRYPTO_X509_H
#define EMK_CORE_CRYPTO_X509_H

#include "core/crypto/crypto.h"

#define EMK_X509_CERT_MAX       16384u /* bytes of one certificate */
#define EMK_X509_CHAIN_MAX      10u    /* certificates */
#define EMK_X509_EXTENSIONS_MAX 32u    /* in one certificate */
#define EMK_X509_SERIAL_MAX     32u    /* bytes; RFC 5280 says 20, old issuers did not count */
#define EMK_X509_RSA_MIN        256u   /* bytes of a modulus that may verify anything */
#define EMK_X509_RSA_MAX        1024u

/* keyUsage, bit n of the extension as bit n here. */
#define EMK_X509_USE_SIGN      (1u << 0)
#define EMK_X509_USE_CERT_SIGN (1u << 5)

typedef enum emk_x509_key {
    EMK_X509_KEY_OTHER, /* well-formed and of no use here: a leaf may have any key */
    EMK_X509_KEY_RSA,
    EMK_X509_KEY_P256,
    EMK_X509_KEY_P384,
    EMK_X509_KEY_ED25519,
    EMK_X509_KEY_P521 /* makers of TPMs issue with it */
} emk_x509_key;

typedef enum emk_x509_alg {
    EMK_X509_ALG_OTHER,
    EMK_X509_ALG_RSA_SHA256, /* PKCS #1 v1.5 */
    EMK_X509_ALG_RSA_SHA384,
    EMK_X509_ALG_RSA_SHA512,
    EMK_X509_ALG_ECDSA_SHA256,
    EMK_X509_ALG_ECDSA_SHA384,
    EMK_X509_ALG_ED25519,
    EMK_X509_ALG_ECDSA_SHA512,
    EMK_X509_ALG_RSA_SHA1_LEGACY /* counts only where emk_x509_rules says so */
} emk_x509_alg;

/* All spans are lent. */
typedef struct emk_x509 {
    emk_span der;    /* the whole certificate */
    emk_span tbs;    /* what is signed, tag and length included */
    emk_span serial; /* two's complement as it stands */
    emk_span issuer; /* Name, tag and length included: compared as bytes */
    emk_span subject;
    emk_span spki; /* SubjectPublicKeyInfo, tag and length included */
    emk_span key;  /* contents of its BIT STRING: a point, an RSAPublicKey, 32 bytes */
    emk_span sig;
    emk_span extensions; /* contents of SEQUENCE OF Extension; empty when there are none */
    int64_t not_before;  /* seconds since 1970 */
    int64_t not_after;
    emk_x509_alg alg; /* it is signed with */
    emk_x509_key key_kind;
    bool has_constraints; /* basicConstraints */
    bool ca;
    bool has_path_len;
    uint32_t path_len;
    bool has_key_usage;
    uint32_t key_usage;
    bool unknown_critical; /* a critical extension beyond those that are looked at, and
                              certificatePolicies: any policy will do here */
} emk_x509;

/* Reads one certificate, which is all of der.  Fills out, which lends from der.  EMK_E_FORMAT,
 * EMK_E_LIMIT, or EMK_E_UNSUPPORTED for unique identifiers.  Extensions that come twice are
 * EMK_E_FORMAT. */
emk_status emk_x509_parse(emk_span der, emk_x509 *out, emk_error *e) EMK_MUST_CHECK;

/* Lends the contents of the extension with this OID (contents bytes); false when absent. */
bool emk_x509_extension(const emk_x509 *cert, emk_span oid, emk_span *value, bool *critical);

/* Lends the first value of attribute `oid` in a Name (emk_x509.subject); false when absent. */
bool emk_x509_name_find(emk_span name, emk_span oid, emk_span *value);

/* Reads a SubjectPublicKeyInfo, which is all of spki, checks that its key has the form of its kind
 * (RSA: a size within the limits above) and lends the contents of its BIT STRING.  EMK_E_FORMAT or
 * EMK_E_LIMIT.  A kind that is of no use here is EMK_OK. */
emk_status emk_x509_read_key(emk_span spki, emk_x509_key *kind, emk_span *key,
                             emk_error *e) EMK_MUST_CHECK;

typedef struct emk_x509_signed {
    emk_x509_alg alg;
    emk_span msg, sig;
} emk_x509_signed;

/* EMK_OK when sig over msg verifies under the SubjectPublicKeyInfo with alg; EMK_E_SIGNATURE when
 * not; EMK_E_UNSUPPORTED when key and algorithm do not belong together or are none of the above;
 * EMK_E_LIMIT for an RSA key too small or too large; EMK_E_FORMAT for a malformed key;
 * EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_x509_check_signature(const emk_crypto *c, emk_span spki, const emk_x509_signed *s,
                                    emk_error *e) EMK_MUST_CHECK;

/* Remembers which issuers' certificates verified under which keys, so that the same few need not
 * be verified for every device.  Only what never changes is remembered, the signature: dates,
 * rights and anchors are checked each time.
 *
 * Thread rule: may be shared. */
typedef struct emk_x509_memo emk_x509_memo;

#define EMK_X509_MEMO_MAX 4096u /* entries */

/* Gives a memory of so many entries (1..EMK_X509_MEMO_MAX, else EMK_E_USAGE); the one that was not
 * used for longest is forgotten.  Free with emk_x509_memo_free.  EMK_E_NO_MEMORY, EMK_E_IO. */
emk_status emk_x509_memo_new(size_t n, emk_x509_memo **out, emk_error *e) EMK_MUST_CHECK;
/* Fills how often it knew and how often it did not; either may be NULL. */
void emk_x509_memo_counts(emk_x509_memo *m, uint64_t *hits, uint64_t *misses);
/* NULL is fine. */
void emk_x509_memo_free(emk_x509_memo *m);

/* Which dates of a certificate count. */
typedef enum emk_x509_dates {
    EMK_X509_DATES_BOTH,
    EMK_X509_DATES_NOT_BEFORE, /* expiry is forgiven */
    EMK_X509_DATES_NONE
} emk_x509_dates;

typedef struct emk_x509_rules {
    const emk_x509 *roots; /* anchors, parsed by the caller; borrowed */
    size_t n_roots;
    int64_t time_s;              /* seconds since 1970; the verifier has no clock */
    emk_x509_dates leaf_dates;   /* of certificate 0 */
    emk_x509_dates issuer_dates; /* of the others, but not of a root */
    bool root_in_chain;          /* the last certificate must be a root; else it must not be */
    bool any_may_issue;          /* basicConstraints, keyUsage and path length do not count */
    bool sha1_leaf;              /* certificate 0 may be signed with RSA and SHA-1 */
    emk_x509_memo *memo;         /* NULL: none */
} emk_x509_rules;

/* Verifies chain[0..n-1], leaf first, each signed by the next, the last signed by a root (or
 * being one: same subject and key; then nothing else of it counts).  *root gets the index of
 * that root; may be NULL.  Borrows all.  EMK_E_USAGE without roots; EMK_E_LIMIT for no
 * certificate or more than EMK_X509_CHAIN_MAX; EMK_E_SIGNATURE for names, keys, signatures and
 * missing rights; EMK_E_STALE for dates; EMK_E_UNSUPPORTED; where = index of the certificate. */
emk_status emk_x509_verify_chain(const emk_crypto *c, const emk_x509 *chain, size_t n,
                                 const emk_x509_rules *rules, size_t *root,
                                 emk_error *e) EMK_MUST_CHECK;

#endif
