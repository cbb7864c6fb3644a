/* Makes certificates and attestation evidence with keys of our own, any field as the test wants
 * it.  Anything that cannot be made ends the test program. */
#ifndef EMK_SERVER_ATTEST_SIM_FORGE_H
#define EMK_SERVER_ATTEST_SIM_FORGE_H

#include "core/base/buf.h"
#include "core/crypto/sign.h"
#include "core/crypto/x509.h"

#define FORGE_KEYS 8u
#define FORGE_NOW  1800000000 /* 2027-01-15T08:00:00Z */

typedef struct forge {
    const emk_crypto *crypto;
    const char *root; /* commonName of the root; "root" unless it is set */
    uint8_t priv[FORGE_KEYS][32];
    emk_sign_key *key[FORGE_KEYS];
} forge;

/* Fixed keys: what is made is the same each time but for signatures. */
void forge_init(forge *f, const emk_crypto *c);
/* Keys of one's own, from a seed. */
void forge_init_seed(forge *f, const emk_crypto *c, const uint8_t seed[32]);
void forge_done(forge *f);
emk_span forge_public(const forge *f, size_t key); /* 04 || x || y */

/* A buffer from which everything here is made: append, then take the span. */
void forge_tlv(emk_buf *b, uint8_t tag, emk_span contents);
/* [number], in the long form where it must be. */
void forge_context(emk_buf *b, uint32_t number, emk_span contents);
void forge_uint(emk_buf *b, uint8_t tag, uint64_t v);
void forge_raw(emk_buf *b, emk_span s);
void forge_hex(emk_buf *b, const char *hex);
/* Base64 with padding, in the alphabet for URLs where `url`. */
void forge_base64(emk_buf *b, emk_span in, bool url);
/* Wraps all that b holds. */
void forge_wrap(emk_buf *b, uint8_t tag);

typedef struct forge_cert {
    size_t key, issuer_key; /* which of the forge's */
    const char *subject;    /* value of the one attribute; NULL: an empty name */
    const char *issuer;
    const char *attribute;        /* OID in hex; NULL: 550403, commonName */
    const char *issuer_attribute; /* the same for the issuer */
    const char *not_before;       /* UTCTime; NULL: 2026-01-01 */
    const char *not_after;        /* NULL: 2028-01-01 */
    const char *spki;             /* hex; NULL: of `key` */
    const char *alg;              /* AlgorithmIdentifier in hex; NULL: ecdsa-with-SHA256 */
    const char *outer_alg;        /* NULL: the same */
    const char *serial;           /* INTEGER in hex; NULL: 020101 */
    const char *version;          /* NULL: a003020102 */
    emk_span extensions;          /* Extensions' contents; empty: none */
    bool bad_signature;
} forge_cert;

/* Appends one Extension. */
void forge_extension(emk_buf *b, const char *oid, bool critical, emk_span value);
/* basicConstraints and keyUsage of an authority. */
void forge_ca(emk_buf *b);
/* Appends the certificate to out. */
void forge_certificate(const forge *f, const forge_cert *cert, emk_buf *out);

/* A DER ECDSA signature by one of the keys. */
void forge_sign(const forge *f, size_t key, emk_span msg, emk_buf *out);

#endif
