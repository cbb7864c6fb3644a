/* Evidence as genuine hardware would make it, under roots of our own: a field that is left zero
 * is right, one that is set is the defect. */
#ifndef EMK_SERVER_ATTEST_SIM_EVIDENCE_H
#define EMK_SERVER_ATTEST_SIM_EVIDENCE_H

#include "server/attest/sim/forge.h"

#define FAKE_APP     "TEAM123456.com.example.cam"
#define FAKE_PACKAGE "com.example.cam"
#define FAKE_HASH    "thirty-two bytes of client data." /* stands for the client data's hash */
#define FAKE_CERTS   4u

typedef struct fake_app_attest {
    emk_span signed_hash;              /* bytes that stand for the client data's hash */
    const char *fmt, *app_id, *aaguid; /* aaguid: 16 characters */
    const char *tail;                  /* hex behind the COSE key */
    const char *nonce_front;           /* hex: the extension's bytes before the nonce */
    const char *nonce_back;            /* hex: behind it */
    const char *object_tail;           /* hex behind the object */
    const char *leaf_to;               /* UTCTime */
    const char *hash;                  /* signed over instead of FAKE_HASH */
    uint32_t counter;
    size_t cose_key, middle_signer; /* 0: the right one */
    size_t n_certs;
    bool no_nonce, other_credential, no_receipt, double_key;
} fake_app_attest;

/* Certificates: root key 0, middle key 1, leaf key 2.  Fills key_id. */
void fake_make_root(const forge *f, emk_buf *der);
void fake_make_attestation(const forge *f, const fake_app_attest *x, emk_buf *object,
                           uint8_t key_id[32]);

typedef struct fake_assertion {
    emk_span signed_hash; /* bytes that stand for the client data's hash */
    const char *app_id, *tail, *hash;
    uint32_t counter; /* as it is */
    size_t key;       /* 0: the right one, 2 */
    bool digest_signed, double_key;
} fake_assertion;

void fake_make_assertion(const forge *f, const fake_assertion *x, emk_buf *out);

typedef struct fake_android {
    emk_span signed_hash; /* bytes of the challenge */
    const char *challenge, *package;
    const char *software, *hardware; /* hex: the whole contents of the list instead */
    const char *description;         /* hex behind the last field */
    const char *issuer_level;        /* O= of the leaf's issuer; NULL: TEE */
    const char *issuer_to, *serial;
    int version, attest_level, key_level; /* 0: 300, TEE, TEE; -1: zero */
    bool factory;                         /* the middle's name is a serial number */
    bool unlocked, statement_above, two_statements, statement_only_above, other_digest;
    int boot_state;
    size_t middle_signer;
} fake_android;

/* Certificates: root key 0, middle 1, issuer 3, leaf 2; der[0] is the leaf's. */
void fake_make_android(const forge *f, const fake_android *x, emk_buf der[FAKE_CERTS]);

#endif
