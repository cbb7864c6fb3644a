/* The device's side of a delivery: enrol, ask, accept, keep, open.
 *
 * Bytes in, bytes out: an app carries messages and sealed models with whatever transport it
 * has.  The client touches the clock it is given, the key holder, and one directory, the
 * vault, which several processes may use at the same time:
 *
 *   <ticket id>.emkv     a model in vault form [container 7]
 *   <request>.pending    a request that waits for its answer
 *   certificate          the device certificate
 *   lock                 taken for moments
 *
 * A process killed at any point leaves the state before the call or after it; what is left
 * lying about is removed by the next accept or request.  The enforcement is this library's:
 * whoever controls the device's kernel may read what it may open.
 *
 * Thread rule: one client, one thread. */
#ifndef EARMARK_CLIENT_H
#define EARMARK_CLIENT_H

#include <earmark/buf.h>
#include <earmark/crypto.h>
#include <earmark/io.h>
#include <earmark/keystore.h>
#include <earmark/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_CLIENT_ISSUERS_MAX     8u
#define EMK_CLIENT_FORMER_MAX      8u
#define EMK_CLIENT_PENDING_MAX     64u    /* requests waiting at once */
#define EMK_CLIENT_PENDING_MAX_S   86400u /* a request key is destroyed after this long */
#define EMK_CLIENT_NAME_LEN        32u    /* an entry's name: its ticket id in lower-case hex */
#define EMK_CLIENT_CERTIFICATE_MAX EMK_MESSAGE_MAX

typedef struct emk_client emk_client;

typedef struct emk_client_config {
    const emk_crypto *crypto;      /* kept */
    const emk_keystore *keystore;  /* kept */
    const char *vault;             /* directory, mode 0700; made unless it is there */
    const emk_span *issuers;       /* pinned public keys, 32 or 65 bytes each */
    size_t n_issuers;              /* 1..EMK_CLIENT_ISSUERS_MAX */
    uint64_t (*clock)(void *self); /* seconds since 1970; NULL: the system's */
    void *clock_self;              /* kept */
    uint8_t guard;                 /* level of the guard, 0..3 */
    /* Ids that this device had with earlier keys: entries re-wrapped from them may be opened.
     * n_former is at most EMK_CLIENT_FORMER_MAX, mostly 0. */
    const uint8_t (*former)[EMK_DEVICE_ID_LEN];
    size_t n_former;
} emk_client_config;

/* Gives a client; free with emk_client_free.  Copies what is not marked as kept.
 * EMK_E_USAGE, EMK_E_FORMAT (an issuer key), EMK_E_KEY_LOST and what the key holder says,
 * EMK_E_IO, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_client_new(const emk_client_config *config, emk_client **out,
                          emk_error *e) EMK_MUST_CHECK;
/* Forgets request keys that are held in memory only.  NULL is fine. */
void emk_client_free(emk_client *cl);

/* EMK_DEVICE_ID_LEN bytes, lent.  [messages 2] */
const uint8_t *emk_client_device_id(const emk_client *cl);

/* Appends an enrolment for the issuer to out.  `platform` is a text for people. */
emk_status emk_client_enrolment(emk_client *cl, emk_span platform, emk_buf *out,
                                emk_error *e) EMK_MUST_CHECK;

/* Keeps a device certificate for later requests.  EMK_E_SIGNATURE when no pinned issuer signed
 * it, EMK_E_SEALED when it is for other keys, EMK_E_POLICY when it is expired, EMK_E_FORMAT. */
emk_status emk_client_set_certificate(emk_client *cl, emk_span message,
                                      emk_error *e) EMK_MUST_CHECK;

/* What to ask for.  Texts; version, use and app may be empty. */
typedef struct emk_client_want {
    emk_span model;
    emk_span version;
    emk_span use;
    emk_span user;
    emk_span app;
    uint16_t kem; /* of the request key; 0: X-Wing where libcrypto has it, else X25519 */
} emk_client_want;

/* Makes a request key and appends a request to out; fills hash, which names it.  The key waits
 * in the key holder when that keeps secrets, else in memory.  EMK_E_NOT_FOUND without a
 * certificate, EMK_E_POLICY when that is expired, EMK_E_LIMIT when too many requests wait,
 * EMK_E_USAGE for a text or KEM a request cannot have, EMK_E_UNSUPPORTED. */
emk_status emk_client_request(emk_client *cl, const emk_client_want *want, emk_buf *out,
                              uint8_t hash[EMK_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

typedef struct emk_client_delivery {
    emk_span ticket;              /* as issued */
    const emk_source *sealed;     /* the .emk */
    unsigned threads;             /* 0: as many as help */
    const emk_progress *progress; /* NULL: nobody asks */
} emk_client_delivery;

typedef struct emk_client_accepted {
    uint8_t ticket_id[EMK_ID_LEN];
    char name[EMK_CLIENT_NAME_LEN + 1]; /* of the vault entry */
    uint64_t model_len;
} emk_client_accepted;

/* Verifies a delivery whole and puts it into the vault, then destroys the request key.
 * [container 9]
 *
 * A receipt for the issuer is appended to `receipt` (NULL: none) on EMK_OK and, as the one
 * output that is also written on failure, for a refusal by status: whenever the ticket
 * itself was genuine and for this device, and nobody else was at it.  A refused delivery leaves the
 * request key where it was, so that a damaged file can be fetched again.
 *
 * EMK_E_SIGNATURE (ticket or file not from a pinned issuer, or not for one another),
 * EMK_E_SEALED (other device, damaged), EMK_E_POLICY (expired, or the policy refuses),
 * EMK_E_USED (this ticket was accepted already, or no key is held for its request),
 * EMK_E_STALE (a lower release than one accepted before), EMK_E_BUSY (another process is
 * accepting it), EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED, EMK_E_IO ...  After a failure
 * to clear up the entry may be there all the same: then the same ticket is EMK_E_USED. */
emk_status emk_client_accept(emk_client *cl, const emk_client_delivery *in,
                             emk_client_accepted *out, emk_buf *receipt,
                             emk_error *e) EMK_MUST_CHECK;

/* Who asks to open, and how. */
typedef struct emk_client_ask {
    emk_span user; /* empty: not named */
    emk_span app;
    emk_span use;
    emk_policy_memory memory;     /* at least this, whatever the policy says */
    unsigned threads;             /* 0: as many as help */
    const emk_progress *progress; /* NULL: nobody asks */
} emk_client_ask;

/* A model in memory. */
typedef struct emk_opened emk_opened;

/* Opens an entry by its name, or the entry of a model: of those that the policy lets this
 * asker open, the highest release, then the latest accepted.  End with emk_opened_close.
 * An open that counts is counted before a byte is decrypted.
 *
 * EMK_E_NOT_FOUND, EMK_E_POLICY (including memory that cannot be what the policy wants),
 * EMK_E_STALE (an old copy of the entry was put back, or a higher release accepted),
 * EMK_E_SEALED, EMK_E_SIGNATURE, EMK_E_FORMAT, EMK_E_KEY_LOST, EMK_E_NO_MEMORY, EMK_E_IO ... */
emk_status emk_client_open(emk_client *cl, const char *name, const emk_client_ask *ask,
                           emk_opened **out, emk_error *e) EMK_MUST_CHECK;

/* The model's bytes, lent until close; writing to them faults. */
emk_span emk_opened_bytes(const emk_opened *o);
/* How many files a model is made of; 0: it is one file and has no name.  [container 6.5] */
uint32_t emk_opened_n_files(const emk_opened *o);
/* Calls fn for each of them in order, until it fails; paths were checked when it was opened. */
emk_status emk_opened_files_each(const emk_opened *o,
                                 emk_status (*fn)(void *self, const emk_file_entry *entry,
                                                  emk_error *e),
                                 void *self, emk_error *e) EMK_MUST_CHECK;
/* When it has to be closed: seconds since 1970. */
uint64_t emk_opened_expires(const emk_opened *o);
/* Counted opens that are left; UINT64_MAX: not counted. */
uint64_t emk_opened_opens_left(const emk_opened *o);
/* What kind of memory it got. */
emk_policy_memory emk_opened_memory(const emk_opened *o);
/* Wipes and frees.  NULL is fine. */
void emk_opened_close(emk_opened *o);

/* An entry as listed.  All of it is lent for the call. */
typedef struct emk_client_entry {
    const char *name;
    emk_status status; /* EMK_OK, or why it cannot be read: then the rest is NULL */
    const emk_policy *policy;
    const emk_identity *identity;
    const emk_record *record;
    uint64_t model_len;
} emk_client_entry;
typedef emk_status (*emk_client_entry_fn)(void *self, const emk_client_entry *entry, emk_error *e);

/* Calls fn for each entry, in no order, until it fails.  Judges keys and rollback, not policy;
 * counts nothing. */
emk_status emk_client_list(emk_client *cl, emk_client_entry_fn fn, void *self,
                           emk_error *e) EMK_MUST_CHECK;

/* Removes an entry by its name; no copy of it can be put back where the key holder has
 * counters.  EMK_E_NOT_FOUND. */
emk_status emk_client_remove(emk_client *cl, const char *name, emk_error *e) EMK_MUST_CHECK;

/* Seals an entry's key again: to this device's key, or to that of another holder `to` on this
 * device, which from then on opens it (as a client whose `former` has this device's id).
 * Statuses as emk_client_open, without policy.  [container 7.4] */
emk_status emk_client_rewrap(emk_client *cl, const char *name, const emk_keystore *to,
                             emk_error *e) EMK_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
