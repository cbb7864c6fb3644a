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
 * Thread rule: one client, one thread; and the watchdog, if there is one, which wipes opened
 * models at any moment. */
#ifndef EARMARK_CLIENT_H
#define EARMARK_CLIENT_H

#include <earmark/buf.h>
#include <earmark/crypto.h>
#include <earmark/guard.h>
#include <earmark/io.h>
#include <earmark/keystore.h>
#include <earmark/policy.h>
#include <stdbool.h>
#include <stdio.h>

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
    uint64_t max_bytes;   /* of all entries together; 0: no limit but the disk's */
    uint32_t max_entries; /* 0: no limit */
    /* A thread that calls emk_client_tick when something ends; it calls `clock`, too.  Without
     * it the app calls emk_client_tick. */
    bool watchdog;
    /* Looks for debuggers, hooks and the like; kept.  Then `guard` is its level, whatever was
     * written there: models whose policy (or whose guard) does not stand what it finds are not
     * accepted and not opened (EMK_E_POLICY, emk_guard_refusal as `what`, the signal's number as
     * `where`) and are wiped when they are open; what it found is told to the issuer in requests,
     * receipts and lease requests; and models whose policy asks for a guard of level 2 or 3 are
     * kept under keys that need one which is content.  [container 7.7]  NULL: none. */
    emk_guard *watcher;
} emk_client_config;

/* Gives a client; free with emk_client_free.  Copies what is not marked as kept.
 * EMK_E_USAGE, EMK_E_FORMAT (an issuer key), EMK_E_KEY_LOST and what the key holder says,
 * EMK_E_IO, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_client_new(const emk_client_config *config, emk_client **out,
                          emk_error *e) EMK_MUST_CHECK;
/* Learns the issuer's next key from a certificate [messages 13] that a key known already has
 * signed, as servers publish them (issuer_chain).  From then on what that key signs is taken; the
 * app keeps the key, of *len bytes (up to 65), and names it among `issuers` at the next start. With
 * EMK_CLIENT_ISSUERS_MAX keys the oldest but the first one is forgotten.  EMK_OK also for a key
 * that is known.  EMK_E_SIGNATURE, EMK_E_FORMAT, EMK_E_POLICY (not to be learned now),
 * EMK_E_NO_MEMORY. */
emk_status emk_client_learn_issuer(emk_client *cl, emk_span certificate, uint8_t public_key[65],
                                   size_t *len, emk_error *e) EMK_MUST_CHECK;
/* Whether this is the key of an issuer that is known. */
bool emk_client_knows_key(const emk_client *cl, emk_span public_key);
/* Whether a ticket or lease names a key that is known.  Proves nothing: it says when to learn. */
bool emk_client_knows_issuer(const emk_client *cl, emk_span message);

/* Forgets request keys that are held in memory only.  Models that are open stay open, and nobody
 * watches them any more.  NULL is fine. */
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
    emk_span lease;               /* where the ticket's policy wants one, else empty */
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
 * EMK_E_SEALED (other device, damaged), EMK_E_POLICY (expired, or the policy refuses, or wants a
 * lease and there is none), EMK_E_LIMIT (the vault's quota; nothing was written),
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
 * EMK_E_SEALED (damaged), EMK_E_KEY_LOST (it was sealed to a key that is not here: cleared,
 * reset, or the vault of another device; enrol and fetch again), EMK_E_SIGNATURE, EMK_E_FORMAT,
 * EMK_E_NO_MEMORY, EMK_E_IO ... */
emk_status emk_client_open(emk_client *cl, const char *name, const emk_client_ask *ask,
                           emk_opened **out, emk_error *e) EMK_MUST_CHECK;

/* The model's bytes, lent until close; writing to them faults.  When its time is over they turn
 * into zeros where they are, also under a reader: nothing faults. */
emk_span emk_opened_bytes(const emk_opened *o);
/* Whether that has happened. */
bool emk_opened_is_wiped(const emk_opened *o);
/* The same bytes for code that wants a FILE, read-only and seekable, copied by each read into
 * the reader's memory and nowhere else: without a buffer of its own.  Close it before the model;
 * it reads zeros once that is wiped.  EMK_E_NO_MEMORY, EMK_E_UNSUPPORTED. */
emk_status emk_opened_stream(const emk_opened *o, FILE **out, emk_error *e) EMK_MUST_CHECK;
/* The same bytes for code that wants a path: a copy in an anonymous file of this process, named
 * "/proc/self/fd/N" (EMK_OPENED_PATH_MAX bytes).  A second copy, which can be swapped out and
 * which every process of this user can read while it is there: EMK_E_POLICY where the policy or
 * the asker wants locked or secret memory.  It turns into zeros with the model, and is gone
 * when that is closed.  EMK_E_IO, EMK_E_NO_MEMORY. */
#define EMK_OPENED_PATH_MAX 32u
emk_status emk_opened_path(emk_opened *o, char path[EMK_OPENED_PATH_MAX],
                           emk_error *e) EMK_MUST_CHECK;
/* How many files a model is made of; 0: it is one file and has no name.  [container 6.5] */
uint32_t emk_opened_n_files(const emk_opened *o);
/* Calls fn for each of them in order, until it fails; paths were checked when it was opened. */
emk_status emk_opened_files_each(const emk_opened *o,
                                 emk_status (*fn)(void *self, const emk_file_entry *entry,
                                                  emk_error *e),
                                 void *self, emk_error *e) EMK_MUST_CHECK;
/* When it has to be closed, and will be wiped: seconds since 1970.  The end of the policy, or of
 * lease and grace; a lease that is accepted meanwhile moves it. */
uint64_t emk_opened_expires(const emk_opened *o);
/* Counted opens that are left; UINT64_MAX: not counted. */
uint64_t emk_opened_opens_left(const emk_opened *o);
/* What kind of memory it got. */
emk_policy_memory emk_opened_memory(const emk_opened *o);
/* Wipes and frees.  NULL is fine. */
void emk_opened_close(emk_opened *o);

/* Wipes what is open and whose time is over: by the clock, by a clock that does not jump, by a
 * refused lease, or because the entry was removed (also by another process).  Fills *next with
 * when to call again: seconds since 1970, UINT64_MAX when nothing is open. */
void emk_client_tick(emk_client *cl, uint64_t *next);

/* ---- single tensors ---- */

/* A model of which tensors are read one at a time, by the names in its index. */
typedef struct emk_tensors emk_tensors;

typedef struct emk_client_tensor {
    emk_span name;
    emk_span dtype; /* as in the model's format */
    uint8_t rank;
    uint64_t dims[8];
    uint64_t offset; /* in the model */
    uint64_t len;    /* bytes */
} emk_client_tensor;

/* As emk_client_open, but nothing is decrypted yet; counts as an open.  End with
 * emk_tensors_close.  EMK_E_NOT_FOUND also for a model without an index. */
emk_status emk_client_open_tensors(emk_client *cl, const char *name, const emk_client_ask *ask,
                                   emk_tensors **out, emk_error *e) EMK_MUST_CHECK;
/* Calls fn for each tensor in the order of the model, until it fails; spans are lent until
 * close. */
emk_status emk_tensors_each(const emk_tensors *t,
                            emk_status (*fn)(void *self, const emk_client_tensor *tensor,
                                             emk_error *e),
                            void *self, emk_error *e) EMK_MUST_CHECK;
/* Decrypts one tensor and fills *bytes, lent until the next read or close, which wipe them.
 * Touches that tensor's segments only.  EMK_E_NOT_FOUND, EMK_E_POLICY (its time is over, or there
 * is no such memory), EMK_E_SEALED (damaged), EMK_E_NO_MEMORY, EMK_E_IO. */
emk_status emk_tensors_read(emk_tensors *t, emk_span name, emk_span *bytes,
                            emk_error *e) EMK_MUST_CHECK;
uint64_t emk_tensors_expires(const emk_tensors *t);
/* Wipes and frees.  NULL is fine. */
void emk_tensors_close(emk_tensors *t);

/* ---- a window of tensors ---- */

/* Tensors that are in use at the same time, and never more bytes of them in the clear than a
 * budget: for engines that take their weights one by one.  What is given back is wiped at once.
 * Beside it, while a tensor is read, stand 4 KiB of what lies around it. */
typedef struct emk_window emk_window;

#define EMK_WINDOW_TAKEN_MAX 64u /* at a time */

/* As emk_client_open_tensors, with a budget of bytes, and of a model without an index as well; end
 * with emk_window_close.  EMK_E_USAGE for a budget of 0. */
emk_status emk_client_open_window(emk_client *cl, const char *name, const emk_client_ask *ask,
                                  uint64_t budget, emk_window **out, emk_error *e) EMK_MUST_CHECK;
/* As emk_tensors_each. */
emk_status emk_window_each(const emk_window *w,
                           emk_status (*fn)(void *self, const emk_client_tensor *tensor,
                                            emk_error *e),
                           void *self, emk_error *e) EMK_MUST_CHECK;
/* Decrypts a tensor and fills *bytes, lent until it is given back.  Nothing is given back for the
 * caller: EMK_E_LIMIT when it does not fit beside what is taken.  Else as emk_tensors_read. */
emk_status emk_window_take(emk_window *w, emk_span name, emk_span *bytes,
                           emk_error *e) EMK_MUST_CHECK;
/* The same for a part, `len` bytes from `off`: one row of a table of embeddings.  An empty name is
 * the model itself: for engines that read its head and know where its tensors are, which they
 * need for those that are not in the index.  EMK_E_USAGE for what is not in it. */
typedef struct emk_window_part {
    emk_span name;
    uint64_t off, len;
} emk_window_part;
emk_status emk_window_take_part(emk_window *w, const emk_window_part *part, emk_span *bytes,
                                emk_error *e) EMK_MUST_CHECK;
/* Wipes and frees what was taken.  Bytes that are not the window's are ignored. */
void emk_window_give(emk_window *w, emk_span bytes);
/* Bytes in the clear now, and the most there ever were. */
uint64_t emk_window_in_use(const emk_window *w);
uint64_t emk_window_most(const emk_window *w);
/* True when its time was over, or a guard wiped it: what was taken reads as zeros. */
bool emk_window_is_wiped(emk_window *w);
/* Wipes and frees all of it.  NULL is fine. */
void emk_window_close(emk_window *w);

/* ---- leases ---- */

/* Appends a request for a lease of an entry, for the issuer.  `summary` is the guard's, opaque
 * here, at most 1024 bytes; empty: that of the client's own guard, if it has one.  Uses the signing
 * key once.  EMK_E_NOT_FOUND, EMK_E_USAGE (the entry needs no lease), EMK_E_FORMAT, EMK_E_IO ... */
emk_status emk_client_lease_request(emk_client *cl, const char *name, emk_span summary,
                                    emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* What a lease, or its refusal, came to. */
typedef struct emk_client_lease {
    char name[EMK_CLIENT_NAME_LEN + 1]; /* of the entry */
    uint8_t refusal;                    /* 0: granted; else why not [messages 9] */
    uint64_t until;                     /* time; grace not counted */
    uint64_t ends;                      /* with grace; never after the policy */
    uint64_t renew_at;                  /* when to ask again; 0 after a refusal */
} emk_client_lease;

/* Takes an answer of the issuer.  A lease moves the end of the entry, and of what this client has
 * open of it.  A refusal, which is EMK_OK too, wipes what this client has open of it and puts
 * the entry to sleep: no key on this device opens it without a new lease.
 *
 * EMK_E_SIGNATURE, EMK_E_SEALED (another device's), EMK_E_NOT_FOUND (no such entry),
 * EMK_E_STALE (not newer than the last), EMK_E_FORMAT, and as emk_client_open. */
emk_status emk_client_lease_accept(emk_client *cl, emk_span message, emk_client_lease *out,
                                   emk_error *e) EMK_MUST_CHECK;

/* ---- the vault ---- */

/* An entry as listed.  All of it is lent for the call. */
typedef struct emk_client_entry {
    const char *name;
    emk_status status; /* EMK_OK, or why it cannot be read: then the rest but `why` is NULL */
    const char *why;   /* an error's `what`; NULL when all is well */
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

/* The same, checking every byte of each entry as well: structure, MAC, the tag of every segment,
 * the digests where there are any.  Reads the whole vault. */
emk_status emk_client_verify(emk_client *cl, emk_client_entry_fn fn, void *self,
                             emk_error *e) EMK_MUST_CHECK;

/* What a purge did. */
typedef struct emk_client_purged {
    uint32_t removed; /* the policy was over */
    uint32_t asleep;  /* the lease was, and its grace: they open again with a new one */
    uint32_t dead;    /* can never be opened again here; left alone: see emk_client_list */
} emk_client_purged;

/* Removes entries whose policy is over, puts to sleep those whose lease is.  Fills *out also when
 * it fails, with what was done by then. */
emk_status emk_client_purge(emk_client *cl, emk_client_purged *out, emk_error *e) EMK_MUST_CHECK;

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
