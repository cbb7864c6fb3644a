/* The parts of the TPM holder; not for other folders. */
#ifndef EMK_KEYSTORE_TPM2_INTERNAL_H
#define EMK_KEYSTORE_TPM2_INTERNAL_H

#include "core/base/secret.h"
#include "keystore/tpm2/tpm2.h"

#include <tss2/tss2_esys.h>

#define EMK_TPM2_PATH_MAX    4096u
#define EMK_TPM2_KEYS_FILE   "keys"
#define EMK_TPM2_STATE_FILE  "state"
#define EMK_TPM2_POLICY_FILE "policy"
#define EMK_TPM2_LOCK_FILE   "lock"
#define EMK_TPM2_MAKING_FILE "making" /* the mark of an index that no `keys` names yet */
#define EMK_TPM2_MARK_LEN    32u
#define EMK_TPM2_STORE_LEN   32u
#define EMK_TPM2_SRK_LEN     34u         /* a name: algorithm and SHA-256 */
#define EMK_TPM2_PRIVATE_MAX 512u        /* bytes of one private blob */
#define EMK_TPM2_NV_FIRST    0x01804B30u /* in the range for an owner's use */
#define EMK_TPM2_NV_COUNT    64u         /* so many devices on one TPM */

typedef enum emk_tpm2_role {
    EMK_TPM2_SIGNING,
    EMK_TPM2_AGREEMENT,
    EMK_TPM2_ATTESTATION,
    EMK_TPM2_STORE, /* 32 sealed bytes: keys of the files and of the anchor hang on them */
    EMK_TPM2_ROLES
} emk_tpm2_role;

typedef enum emk_tpm2_guard {
    EMK_TPM2_BY_TPM = 0, /* whoever reaches the TPM and has the files */
    EMK_TPM2_BY_PIN = 1,
    EMK_TPM2_BY_POLICY = 2
} emk_tpm2_guard;

typedef struct emk_tpm2_blob {
    uint8_t unique[64]; /* x || y; of the store: a digest and zeros */
    uint16_t private_len;
    uint8_t private_part[EMK_TPM2_PRIVATE_MAX];
} emk_tpm2_blob;

/* The file `keys`. */
typedef struct emk_tpm2_keys {
    emk_tpm2_guard guard;
    uint8_t srk[EMK_TPM2_SRK_LEN]; /* the name of the storage key: which TPM, since when */
    uint32_t nv;
    uint8_t authority[65];
    uint8_t auth_policy[32]; /* from the authority; not in the file */
    emk_tpm2_blob blobs[EMK_TPM2_ROLES];
} emk_tpm2_keys;

typedef struct emk_tpm2 {
    const emk_crypto *crypto;
    const char *dir;
    const char *tcti;
    char *owned_dir, *owned_tcti; /* what the two above point to in a holder that is open */
    emk_secret *pin;              /* NULL: none */
    emk_secret *store;            /* NULL until it is unsealed */
    emk_tpm2_keys keys;
    bool srk_known; /* keys.srk is filled */
    bool srk_saved;
    TPMS_CONTEXT srk; /* saved, so that a call need not derive it anew */
} emk_tpm2;

/* One connection.  Everything in it is flushed by emk_tpm2_link_close. */
typedef struct emk_tpm2_link {
    int lock; /* the directory's, or -1 */
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR srk;
    ESYS_TR session; /* HMAC, salted with srk */
    ESYS_TR policy;  /* or none */
    ESYS_TR key;     /* or none */
} emk_tpm2_link;

/* What a TPM's or the stack's code means to a caller.  rc is not success; it is `where`. */
emk_status emk_tpm2_fail(emk_error *e, TSS2_RC rc, const char *what);

/* Connects, without any session. */
emk_status emk_tpm2_link_plain(const char *tcti, emk_tpm2_link *l, emk_error *e) EMK_MUST_CHECK;
/* Locks the directory, connects, has the storage key and a session ready.  Fills t->keys.srk where
 * it is not known; EMK_E_KEY_LOST where it is another. */
emk_status emk_tpm2_link_open(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e) EMK_MUST_CHECK;
/* Gives one more session like l->session, for a command that needs two; Esys_FlushContext. */
emk_status emk_tpm2_link_session(emk_tpm2_link *l, ESYS_TR *session, emk_error *e) EMK_MUST_CHECK;
void emk_tpm2_link_close(emk_tpm2_link *l);
/* Sets which parameters of the next command are encrypted: TPMA_SESSION_DECRYPT (there),
 * TPMA_SESSION_ENCRYPT (back). */
emk_status emk_tpm2_link_hide(emk_tpm2_link *l, ESYS_TR session, TPMA_SESSION which,
                              emk_error *e) EMK_MUST_CHECK;

/* Makes one key, or seals `data` (EMK_TPM2_STORE). */
emk_status emk_tpm2_blob_make(emk_tpm2 *t, emk_tpm2_link *l, emk_tpm2_role role, emk_span data,
                              emk_error *e) EMK_MUST_CHECK;
/* Loads one as l->key and gives the session that may use it. */
emk_status emk_tpm2_blob_use(emk_tpm2 *t, emk_tpm2_link *l, emk_tpm2_role role, ESYS_TR *session,
                             emk_error *e) EMK_MUST_CHECK;
void emk_tpm2_public(const emk_tpm2_keys *k, emk_tpm2_role role, uint8_t pub[65]);

/* Fills out with a key's TPMT_PUBLIC; returns its length. */
size_t emk_tpm2_public_wire(const emk_tpm2_keys *k, emk_tpm2_role role,
                            uint8_t out[EMK_TPM2_PUBLIC_MAX]);
/* The holder behind ks; NULL, after EMK_E_USAGE in *e, when it is another kind. */
emk_tpm2 *emk_tpm2_of(const emk_keystore *ks, emk_error *e);
emk_status emk_tpm2_take_signature(const TPMT_SIGNATURE *s, uint8_t sig[64],
                                   emk_error *e) EMK_MUST_CHECK;

/* The file `keys`.  Reading before the store key is unsealed leaves the MAC unchecked. */
emk_status emk_tpm2_keys_write(const emk_tpm2 *t, emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm2_keys_read(emk_tpm2 *t, emk_error *e) EMK_MUST_CHECK;

/* The digest that binds keys to an authority. */
emk_status emk_tpm2_auth_policy(const emk_crypto *c, const uint8_t authority[65], uint8_t out[32],
                                emk_error *e) EMK_MUST_CHECK;
/* Starts l->policy and satisfies it with the file `policy`.  EMK_E_POLICY. */
emk_status emk_tpm2_policy_start(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e) EMK_MUST_CHECK;
void emk_tpm2_pcr_selection(uint32_t pcrs, TPML_PCR_SELECTION *out);
emk_status emk_tpm2_pcrs_check(uint32_t pcrs, emk_error *e) EMK_MUST_CHECK;

/* Makes the anchor in the TPM, which carries the mark, and an empty state. */
emk_status emk_tpm2_state_make(emk_tpm2 *t, emk_tpm2_link *l, const uint8_t mark[EMK_TPM2_MARK_LEN],
                               emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm2_nv_remove(emk_tpm2_link *l, uint32_t nv, emk_error *e) EMK_MUST_CHECK;
/* Removes the anchor that carries the mark.  One that is not there is fine. */
emk_status emk_tpm2_nv_remove_marked(emk_tpm2_link *l, const uint8_t mark[EMK_TPM2_MARK_LEN],
                                     emk_error *e) EMK_MUST_CHECK;

typedef enum emk_tpm2_kind { EMK_TPM2_COUNTER = 'c', EMK_TPM2_SECRET = 's' } emk_tpm2_kind;

typedef struct emk_tpm2_entry {
    emk_tpm2_kind kind;
    const uint8_t *id;
    emk_span value; /* for put; empty: delete */
} emk_tpm2_entry;

/* Fills out (EMK_KEYSTORE_SECRET_MAX bytes) and *len.  EMK_E_NOT_FOUND; EMK_E_STALE when the
 * state was put back; EMK_E_SEALED when it is damaged. */
emk_status emk_tpm2_state_get(emk_tpm2 *t, const emk_tpm2_entry *x, uint8_t *out, size_t *len,
                              emk_error *e) EMK_MUST_CHECK;
/* Puts, replaces or deletes.  A counter that would go down is EMK_E_STALE. */
emk_status emk_tpm2_state_put(emk_tpm2 *t, const emk_tpm2_entry *x, emk_error *e) EMK_MUST_CHECK;
/* Removes what killed writers left; best effort. */
void emk_tpm2_sweep(const emk_tpm2 *t);

/* HMAC-SHA256 under the store key over label (with its zero) and data. */
emk_status emk_tpm2_mac(const emk_tpm2 *t, const char *label, emk_span data, uint8_t mac[32],
                        emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm2_path(const emk_tpm2 *t, const char *name, char path[EMK_TPM2_PATH_MAX],
                         emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm2_lock(const emk_tpm2 *t, bool wait, int *fd, emk_error *e) EMK_MUST_CHECK;

#endif
