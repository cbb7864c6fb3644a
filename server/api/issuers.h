/* The keys that sign, as handlers see them: whose certificates and tickets are taken, what devices
 * may learn, and how operators change them.
 *
 * A rotation makes a new set and swaps it in; the sets before are kept until the server ends,
 * because requests may be at work with them.
 *
 * Thread rule: any thread. */
#ifndef EMK_SERVER_API_ISSUERS_H
#define EMK_SERVER_API_ISSUERS_H

#include "server/api/keyholder.h"

#define EMK_ISSUERS_MAX            8u
#define EMK_ISSUER_CERTIFICATE_MAX 512u

typedef struct emk_issuer_key {
    uint8_t public_key[EMK_SIGN_PUBLIC_MAX];
    size_t public_len;
    uint64_t since_s;
    bool retired;                                    /* what it signed is not taken any more */
    uint8_t certificate[EMK_ISSUER_CERTIFICATE_MAX]; /* by the key before [messages 13] */
    size_t certificate_len;                          /* 0: none */
    const emk_verify_key *key;
} emk_issuer_key;

/* Oldest first; the last one signs. */
typedef struct emk_issuers {
    emk_issuer_key v[EMK_ISSUERS_MAX];
    size_t n;
    uint64_t sealing_not_after; /* of its certificate; 0: this server does not seal */
    bool can_rotate;            /* the issuer's key, by this server */
} emk_issuers;

/* What operators may do with keys: filled by server/daemon. */
typedef enum emk_signing_key { EMK_SIGNING_ISSUER = 1, EMK_SIGNING_SEALING } emk_signing_key;
typedef struct emk_signing_ops {
    uint32_t size;
    /* Makes a new key and swaps it in.  EMK_E_UNSUPPORTED where this server cannot; EMK_E_POLICY
     * without a permit; EMK_E_LIMIT when it is too early; EMK_E_STALE when another process has
     * changed the keys; EMK_E_BUSY when the keyholder is gone or another change is at work. */
    emk_status (*rotate)(void *self, emk_signing_key which, emk_error *e);
    /* From now on nothing that this key signed is taken.  EMK_E_NOT_FOUND; EMK_E_USAGE for the key
     * that signs now; as above. */
    emk_status (*retire)(void *self, const uint8_t kid[EMK_COSE_KID_LEN], emk_error *e);
} emk_signing_ops;
typedef struct emk_signing {
    const emk_signing_ops *ops; /* NULL: keys are not changed here */
    void *self;
} emk_signing;

#endif
