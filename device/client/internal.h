/* What the sources of the client share; not for other folders. */
#ifndef EMK_DEVICE_CLIENT_INTERNAL_H
#define EMK_DEVICE_CLIENT_INTERNAL_H

#include "core/base/os_mem.h"
#include "core/base/os_thread.h"
#include "core/base/secret.h"
#include "device/client/client.h"

#define EMK_CLIENT_PATH_MAX 4096u
#define EMK_CLIENT_ENTRY    ".emkv"
#define EMK_CLIENT_PENDING  ".pending"
#define EMK_CLIENT_TEMP     ".tmp-" /* of core/base/os_file.h */

/* A request key in memory, where the key holder keeps no secrets. */
typedef struct emk_waiting {
    struct emk_waiting *next;
    uint64_t created;
    emk_secret *secret;
} emk_waiting;

typedef struct emk_watch emk_watch;

#define EMK_CLIENT_KNOWN_MAX ((size_t)64 * 4096)
#define EMK_CLIENT_LEVELS    4u /* of the guard */

struct emk_client {
    const emk_crypto *crypto;
    const emk_keystore *keystore;
    char *vault;
    emk_verify_key *issuers[EMK_CLIENT_ISSUERS_MAX];
    size_t n_issuers;
    uint64_t (*clock)(void *self);
    void *clock_self;
    uint8_t guard;
    uint8_t former[EMK_CLIENT_FORMER_MAX][EMK_DEVICE_ID_LEN];
    size_t n_former;
    emk_keystore_keys keys;
    emk_kem_private *device_key;
    emk_signer signer;
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    emk_waiting *waiting;
    uint64_t max_bytes;
    uint32_t max_entries;
    emk_watch *watch;
    emk_guard *watcher; /* NULL: none */
    emk_buf known;      /* entries and their models: find.c */
};

/* guarding.c: without a guard these do nothing and find nothing. */
/* EMK_E_POLICY when what was found refuses under this level, or the guard's own if higher. */
emk_status emk_client_guard_check(const emk_client *cl, unsigned min_guard,
                                  emk_error *e) EMK_MUST_CHECK;
void emk_client_guard_look(const emk_client *cl, bool whole);
/* The action under each level. */
void emk_client_guard_verdicts(const emk_client *cl, uint8_t out[EMK_CLIENT_LEVELS]);
/* Appends what the guard tells the issuer, bound to the nonce.  [messages 11] */
emk_status emk_client_guard_summary(const emk_client *cl, emk_span nonce, emk_buf *out,
                                    emk_error *e) EMK_MUST_CHECK;
typedef struct emk_client_bindings {
    bool there;
    uint8_t bytes[2][EMK_HASH_LEN]; /* of levels 2 and 3 */
} emk_client_bindings;
emk_status emk_client_guard_bindings(const emk_client *cl, emk_client_bindings *out,
                                     emk_error *e) EMK_MUST_CHECK;
emk_status emk_client_guard_begin(emk_client *cl, emk_error *e) EMK_MUST_CHECK;
void emk_client_guard_end(emk_client *cl);

/* client.c */
uint64_t emk_client_now(const emk_client *cl);
emk_agree_key emk_client_agree_key(const emk_client *cl);
/* 1..EMK_SEAL_THREADS_MAX from what a caller asked for. */
unsigned emk_client_threads(unsigned asked);
/* The stored certificate, which still fits, appended to out. */
emk_status emk_client_certificate(emk_client *cl, emk_buf *out, emk_error *e) EMK_MUST_CHECK;
/* "<vault>/<id in hex><suffix>"; id has 16 bytes. */
emk_status emk_client_path(const emk_client *cl, const uint8_t id[EMK_ID_LEN], const char *suffix,
                           char path[EMK_CLIENT_PATH_MAX], emk_error *e) EMK_MUST_CHECK;
void emk_client_hex(const uint8_t id[EMK_ID_LEN], char hex[EMK_CLIENT_NAME_LEN + 1]);
/* False unless text begins with 32 lower-case hex digits. */
bool emk_client_unhex(const char *text, uint8_t id[EMK_ID_LEN]);
/* Takes the directory's lock, waiting: for moments only.  Close *fd to give it back. */
emk_status emk_client_lock(const emk_client *cl, int *fd, emk_error *e) EMK_MUST_CHECK;

/* Releases: the highest that was accepted of a model.  `check` is EMK_E_STALE for a lower one;
 * release 0 has no rule.  Without counters in the key holder neither does anything. */
emk_status emk_client_release_check(emk_client *cl, emk_span model, uint64_t release,
                                    emk_error *e) EMK_MUST_CHECK;
emk_status emk_client_release_raise(emk_client *cl, emk_span model, uint64_t release,
                                    emk_error *e) EMK_MUST_CHECK;

/* pending.c: request keys.  See there for how they survive a kill. */
typedef struct emk_pending {
    int fd; /* of the locked marker, or -1: in memory */
    emk_kem_private *key;
} emk_pending;

typedef struct emk_pending_key {
    uint16_t kem;
    const uint8_t *priv; /* emk_kem_private_len(kem) bytes */
} emk_pending_key;

emk_status emk_pending_put(emk_client *cl, const uint8_t hash[EMK_HASH_LEN],
                           const emk_pending_key *key, emk_error *e) EMK_MUST_CHECK;
/* EMK_E_USED when no key is held for this request, EMK_E_BUSY when another process uses it. */
emk_status emk_pending_find(emk_client *cl, const uint8_t hash[EMK_HASH_LEN], emk_pending *out,
                            emk_error *e) EMK_MUST_CHECK;
/* Notes durably which ticket is about to be put into the vault. */
emk_status emk_pending_intend(emk_pending *p, const uint8_t ticket_id[EMK_ID_LEN],
                              emk_error *e) EMK_MUST_CHECK;
void emk_pending_done(emk_pending *p);
/* Destroys the key, for good.  One that is not there is fine. */
emk_status emk_pending_destroy(emk_client *cl, const uint8_t hash[EMK_HASH_LEN],
                               emk_error *e) EMK_MUST_CHECK;
/* Removes what killed processes left and request keys whose time is over; counts the requests
 * that wait. */
emk_status emk_client_sweep(emk_client *cl, size_t *n_waiting, emk_error *e) EMK_MUST_CHECK;

/* entry.c: an entry of the vault, locked and verified.  Must not move while open. */
typedef struct emk_entry {
    char path[EMK_CLIENT_PATH_MAX];
    int lock;
    int fd;
    emk_source source;
    emk_sink sink;
    emk_noticed noticed;          /* the vault keeps pointers to this ... */
    emk_client_bindings bindings; /* ... and to these */
    emk_vault *vault;
} emk_entry;

/* Opens the entry called name and waits for its lock; rollback is judged.  On failure there is
 * nothing to end.  EMK_E_NOT_FOUND, EMK_E_STALE, EMK_E_KEY_LOST, what emk_vault_open says. */
emk_status emk_entry_open(emk_client *cl, const char *name, emk_entry *x,
                          emk_error *e) EMK_MUST_CHECK;
/* The same for an entry that may sleep, with its lease secret. */
emk_status emk_entry_open_with(emk_client *cl, const char *name, const uint8_t *lease_secret,
                               emk_entry *x, emk_error *e) EMK_MUST_CHECK;
/* The same as emk_entry_open; EMK_E_BUSY when others have it open for longer than a moment. */
emk_status emk_entry_open_soon(emk_client *cl, const char *name, emk_entry *x,
                               emk_error *e) EMK_MUST_CHECK;
/* Verified, but not locked, and rollback is not judged: for what never changes, such as whose model
 * it is.  Nothing may be released or written by it. */
emk_status emk_entry_peek(emk_client *cl, const char *name, emk_entry *x,
                          emk_error *e) EMK_MUST_CHECK;
/* What a file of the vault says of itself; nothing is verified and no key is used. */
emk_status emk_entry_look(emk_client *cl, const char *name, emk_vault_glance *out,
                          emk_error *e) EMK_MUST_CHECK;
/* Makes what was written to the record durable, and the key holder's counter follow. */
emk_status emk_entry_commit(emk_client *cl, emk_entry *x, emk_error *e) EMK_MUST_CHECK;
/* Puts it to sleep; then no slot has an envelope for this device alone. */
emk_status emk_entry_sleep(emk_client *cl, emk_entry *x, const emk_vault_lease *lease,
                           emk_error *e) EMK_MUST_CHECK;
/* The rest of it, where that was cut short. */
emk_status emk_entry_finish_sleep(emk_client *cl, const char *name, emk_error *e) EMK_MUST_CHECK;
/* An entry that will never open again, as against one that could not be opened just now. */
bool emk_entry_is_dead(emk_status st);
/* Others may change the record from here on; the model's bytes never change. */
void emk_entry_unlock(emk_entry *x);
void emk_entry_close(emk_entry *x);
/* Brings the key holder up to a generation that was written. */
emk_status emk_entry_raise(const emk_keystore *ks, const uint8_t vault_id[EMK_ID_LEN],
                           uint64_t generation, emk_error *e) EMK_MUST_CHECK;
/* Calls fn with the name of each entry. */
emk_status emk_entry_names(emk_client *cl,
                           emk_status (*fn)(void *self, const char *name, emk_error *e), void *self,
                           emk_error *e) EMK_MUST_CHECK;
/* EMK_E_POLICY or EMK_E_STALE when it may not be opened by this asker now. */
emk_status emk_entry_judge(emk_client *cl, const emk_entry *x, const emk_client_ask *ask,
                           emk_error *e) EMK_MUST_CHECK;
/* When it has to be closed. */
uint64_t emk_entry_end(const emk_entry *x);
/* The time that decides for a record.  [container 8.3] */
uint64_t emk_entry_now(const emk_client *cl, const emk_record *record);

/* find.c: opens the entry of a model that this asker may open: the highest release, then the latest
 * accepted.  Judged; close with emk_entry_close. */
emk_status emk_client_find(emk_client *cl, const char *model, const emk_client_ask *ask,
                           emk_entry *x, emk_error *e) EMK_MUST_CHECK;

/* open.c: what opening whole and opening tensors have in common.  `name` may be a model's.
 * judge, `memory` (which may fail), count, unlock, in this order; x stays open. */
typedef struct emk_opening {
    const emk_client_ask *ask;
    emk_status (*memory)(void *self, const emk_entry *x, emk_error *e);
    void *self;
    uint64_t opens_left; /* filled */
} emk_opening;
emk_status emk_entry_open_for(emk_client *cl, const char *name, emk_opening *how, emk_entry *x,
                              emk_error *e) EMK_MUST_CHECK;
unsigned emk_client_map_flags(emk_policy_memory memory);
/* Memory of the kind that policy and asker want. */
emk_status emk_client_map(const emk_policy *policy, emk_policy_memory asked, uint64_t len,
                          emk_os_map *out, emk_error *e) EMK_MUST_CHECK;

/* watch.c: what is open, so that it can be wiped from outside.
 *
 * The list outlives the client, because opened models may; both hold it.  Its lock is held for
 * list and wiping only, never while a key holder or a file is waited for. */
typedef struct emk_watched {
    struct emk_watched *next;
    uint8_t ticket_id[EMK_ID_LEN];
    emk_os_map *map;   /* what is wiped; its owner frees it after emk_watch_remove */
    int *copy;         /* descriptor of a copy, wiped too; -1: none */
    uint64_t ends;     /* seconds since 1970 */
    uint64_t ends_ns;  /* by the clock that does not jump */
    uint8_t min_guard; /* of its policy, 0..3 */
    bool wiped;
} emk_watched;

emk_status emk_watch_new(emk_watch **out, emk_error *e) EMK_MUST_CHECK;
emk_watch *emk_watch_hold(emk_watch *w);
void emk_watch_drop(emk_watch *w);
/* Starts or ends the thread; `cl` is used by it until the end. */
emk_status emk_watch_start(emk_watch *w, emk_client *cl, emk_error *e) EMK_MUST_CHECK;
void emk_watch_stop(emk_watch *w);
/* From now on `item`, which must not move, ends at `ends`. */
void emk_watch_add(emk_watch *w, emk_watched *item, uint64_t ends, uint64_t now);
void emk_watch_remove(emk_watch *w, emk_watched *item);
/* Moves the end of all that is open of a ticket; an end that is over wipes now. */
void emk_watch_move(emk_watch *w, const uint8_t ticket_id[EMK_ID_LEN], uint64_t ends, uint64_t now);
/* Wipes what does not stand these verdicts, by level. */
void emk_watch_judge(emk_watch *w, const uint8_t verdicts[EMK_CLIENT_LEVELS]);
uint64_t emk_watch_end_of(emk_watch *w, const emk_watched *item);
bool emk_watch_is_wiped(emk_watch *w, const emk_watched *item);
void emk_watch_take(emk_watch *w);
void emk_watch_give(emk_watch *w);

/* tensors.c: what reading one tensor and a window of several have in common. */
struct emk_tensors {
    emk_client *client;
    emk_watch *watch;
    emk_entry entry;
    emk_policy policy;
    emk_policy_memory asked;
    emk_os_map map; /* of the last tensor */
    emk_watched watched;
    uint32_t n_reads;
};
typedef struct emk_tensor_place {
    uint64_t offset, len; /* in the model */
} emk_tensor_place;
/* As emk_client_open_tensors, of a model without an index as well. */
emk_status emk_tensors_open(emk_client *cl, const char *name, const emk_client_ask *ask,
                            emk_tensors **out, emk_error *e) EMK_MUST_CHECK;
/* Looks, judges, and finds a tensor; an empty name is the whole model.  EMK_E_POLICY,
 * EMK_E_NOT_FOUND. */
emk_status emk_tensors_find(emk_tensors *t, emk_span name, emk_tensor_place *out,
                            emk_error *e) EMK_MUST_CHECK;
/* Gives memory with its bytes, read-only; nobody watches it yet. */
emk_status emk_tensors_decrypt(emk_tensors *t, const emk_tensor_place *at, emk_os_map *map,
                               emk_error *e) EMK_MUST_CHECK;

/* care.c: EMK_E_LIMIT when an entry of len more bytes would be over the quota.  With the
 * directory's lock held. */
emk_status emk_client_check_quota(emk_client *cl, uint64_t len, emk_error *e) EMK_MUST_CHECK;

#endif
