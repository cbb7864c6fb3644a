/* The process that holds the keys, and its client in the HTTP process.
 *
 * The keyholder is forked before anything listens.  It reads the keys (files, a PKCS#11 token or a
 * TPM for the issuer's), confines itself and answers messages over a socketpair until the other
 * side is gone.  It signs only what it has parsed and found to be of the purpose named, and only so
 * many a second.  It changes keys only where its own folder allows that [keyholder_change.h].
 * What it never gives: a private key.
 *
 * A message is at most EMK_KEYHOLDER_MESSAGE_MAX bytes, kept apart by the socket, and has one or
 * more questions   version 1, operation 1, purpose 2, length 4, body which are answered one after
 * the other, by one message with as many answers     version 1, operation 1, status 2, length 4,
 * body numbers big-endian.  Whatever does not fit ends the keyholder: its only client is ours.
 *
 * Thread rule of the client: any number of threads. */
#ifndef EMK_SERVER_DAEMON_KEYHOLDER_H
#define EMK_SERVER_DAEMON_KEYHOLDER_H

#include "core/base/secret.h"
#include "core/seal/certificate.h"
#include "server/api/issuers.h"

#define EMK_KEYHOLDER_MESSAGE_MAX 73728u /* a header to be signed, and some */
#define EMK_KEYHOLDER_TIMEOUT_MS  5000u
#define EMK_KEYHOLDER_ORIGIN_MAX  128u

typedef enum emk_keyholder_source {
    EMK_KEYHOLDER_FILE,
    EMK_KEYHOLDER_PKCS11,
    EMK_KEYHOLDER_TPM2
} emk_keyholder_source;

/* How long what is signed may be good, by the keyholder's own clock.  The keyholder has them from
 * the configuration that was read before it was forked: nobody that listens can change them. */
typedef struct emk_purpose_limits {
    uint64_t certificate_s, ticket_s, lease_s; /* 0: none is signed but with an end that is here */
    uint64_t policy_s;                         /* of a ticket's policy; 0: however long */
} emk_purpose_limits;

/* Between the time that a message names as its own and the keyholder's: what lies between making
 * it and signing it, also on a machine that is overloaded. */
#define EMK_PURPOSE_SKEW_S 60u

typedef struct emk_keyholder_options {
    const char *dir; /* of the key files; written only for the journal's first keys */
    emk_keyholder_source issuer;
    const char *module, *uri, *pin_file; /* PKCS11 */
    const char *tpm_dir, *tcti;          /* TPM2; tcti NULL: the default */
    const char *next_uri, *next_tpm_dir; /* of the key that a rotation goes to; NULL: none */
    const char *origin;                  /* of the audit log: checkpoints of no other are signed */
    const char *user;                    /* become this user; NULL: stay */
    uint32_t sealing_s;                  /* life of the sealing key's certificate; 0: no sealing */
    uint32_t per_second;                 /* signatures of one purpose; 0: any number */
    emk_purpose_limits limits;
    uint64_t needed_s; /* how long what an issuer key signed may be good once it is replaced */
    bool unattended;   /* keys are changed without a permit: for --dev */
    bool sandbox;      /* false: for tests under sanitizers */
    bool make;         /* make keys that are missing */
    void (*in_child)(void *self); /* closes what is not for the keyholder; NULL: nothing */
    void *in_child_self;
} emk_keyholder_options;

/* What the HTTP process is told once, when it says hello. */
typedef struct emk_keyholder_hello {
    uint8_t issuer_public[EMK_SIGN_PUBLIC_MAX];
    size_t issuer_public_len;
    uint8_t sealing_public[32];
    size_t sealing_public_len; /* 0: does not seal */
    uint8_t audit_public[32];
    uint8_t certificate[EMK_CERTIFICATE_MAX]; /* of the sealing key, by the issuer */
    size_t certificate_len;
    emk_secret *keys; /* EMK_KEYHOLDER_SERVER_KEYS times 32 bytes, in the order below */
} emk_keyholder_hello;

#define EMK_KEYHOLDER_SERVER_KEYS 4u
typedef enum emk_keyholder_server_key {
    EMK_KEYHOLDER_NONCES,
    EMK_KEYHOLDER_SESSIONS,
    EMK_KEYHOLDER_SUBJECTS,
    EMK_KEYHOLDER_COUNTERS
} emk_keyholder_server_key;

typedef struct emk_keyholder_client emk_keyholder_client;

/* Forks the keyholder and says hello.  Gives the client; end with emk_keyholder_stop.  Called with
 * one thread.  What failed there is told here: EMK_E_NOT_FOUND for a key that is missing, and so
 * on; EMK_E_IO when it died. */
emk_status emk_keyholder_start(const emk_keyholder_options *o, emk_keyholder_client **out,
                               emk_keyholder_hello *hello, emk_error *e) EMK_MUST_CHECK;
void emk_keyholder_hello_done(emk_keyholder_hello *hello);
/* Ends the keyholder.  NULL is fine. */
void emk_keyholder_stop(emk_keyholder_client *k);

/* The table for handlers. */
emk_keyholder emk_keyholder_table(emk_keyholder_client *k, const emk_keyholder_hello *hello);
/* For the journal: `self` is the client. */
emk_status emk_keyholder_sign_checkpoint(void *self, emk_span msg, uint8_t sig[64], emk_error *e);
/* The first key of a chain.  One that is there is never overwritten: EMK_OK when it is the same,
 * EMK_E_USED when not.  EMK_E_LIMIT for a second chain in one life of the keyholder. */
emk_status emk_keyholder_escrow(void *self, uint64_t epoch, const uint8_t key[32], emk_error *e);

bool emk_keyholder_is_alive(const emk_keyholder_client *k);
/* Asks it whether it is there; EMK_E_BUSY when it is gone. */
emk_status emk_keyholder_ping(emk_keyholder_client *k, emk_error *e) EMK_MUST_CHECK;
int emk_keyholder_pid(const emk_keyholder_client *k);
/* The keys as they are now. */
typedef struct emk_keyholder_keys {
    emk_issuers issuers; /* without parsed keys */
    uint8_t sealing_public[EMK_SIGN_PUBLIC_MAX];
    size_t sealing_public_len;
    uint8_t certificate[EMK_CERTIFICATE_MAX];
    size_t certificate_len;
} emk_keyholder_keys;
emk_status emk_keyholder_keys_get(emk_keyholder_client *k, emk_keyholder_keys *out,
                                  emk_error *e) EMK_MUST_CHECK;
/* Makes a new key in the place of one that signs, and fills *out.  What the old one was asked to
 * sign before, it still signs, for an hour.  A new issuer key is certified by the old one, and
 * certifies the sealing key.  A kill leaves the old or the new.
 *   EMK_E_POLICY       there is no permit for it [keyholder_permit.h]
 *   EMK_E_LIMIT        too early after the last, or no room for one more key
 *   EMK_E_STALE        another process has changed the keys of this folder
 *   EMK_E_UNSUPPORTED  no such key; a token or TPM without a next one */
emk_status emk_keyholder_rotate(emk_keyholder_client *k, emk_signing_key which,
                                emk_keyholder_keys *out, emk_error *e) EMK_MUST_CHECK;
/* Notes that what this former issuer key signed is not taken any more, and forgets its private
 * part.  One that is retired already is fine.  EMK_E_NOT_FOUND; EMK_E_USAGE for the key that signs;
 * EMK_E_POLICY, EMK_E_LIMIT and EMK_E_STALE as above. */
emk_status emk_keyholder_retire(emk_keyholder_client *k, const uint8_t kid[EMK_COSE_KID_LEN],
                                emk_keyholder_keys *out, emk_error *e) EMK_MUST_CHECK;

/* Whether these bytes are of that purpose, for this key, and not good for longer than the limits
 * allow: what the keyholder asks itself before it signs.  `highest` is the largest size of a
 * checkpoint signed so far; raised.  EMK_E_POLICY. */
typedef struct emk_purpose_check {
    emk_keyholder_purpose purpose;
    emk_sign_alg alg;
    const uint8_t *kid; /* EMK_COSE_KID_LEN bytes */
    const char *origin;
    uint64_t *highest;
    const emk_purpose_limits *limits;
    uint64_t now_s;
} emk_purpose_check;
emk_status emk_purpose_check_message(const emk_purpose_check *p, emk_span message,
                                     emk_error *e) EMK_MUST_CHECK;

/* A question or an answer. */
typedef struct emk_keyholder_message {
    uint8_t operation;
    uint16_t number; /* purpose, or status */
    emk_span body;
} emk_keyholder_message;
/* Takes one off the front of *in.  EMK_E_FORMAT. */
emk_status emk_keyholder_message_next(emk_span *in, emk_keyholder_message *out,
                                      emk_error *e) EMK_MUST_CHECK;

#endif
