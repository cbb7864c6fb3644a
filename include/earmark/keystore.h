/* Who holds a device's keys: the table that a holder fills in.
 *
 * A device has two P-256 keys that never leave it: one signs, one agrees (plain ECDH).  A
 * holder is what keeps them: a Secure Enclave, an Android keystore, a TPM, a PKCS#11 token,
 * or the software holder, which is none of these and says so.  The holder does the least
 * that has to be done where the keys are; hashing a transcript, HPKE and everything else is
 * done by the library.
 *
 * A holder is a const table of functions and a `self`.  The library calls the table through
 * wrappers that check the arguments, so a function may rely on them: no pointer is NULL but
 * the error, lengths are within the limits below, and `peer` is a point on the curve.
 * Functions write their outputs only on EMK_OK.  An ability that is absent is NULL.
 *
 * Thread rule: one call at a time.  Other processes may use the same keys, counters and
 * secrets through holders of their own at the same time. */
#ifndef EARMARK_KEYSTORE_H
#define EARMARK_KEYSTORE_H

#include <earmark/span.h>
#include <earmark/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_KEYSTORE_PUBLIC_LEN  65u     /* 04 || x || y */
#define EMK_KEYSTORE_SIG_LEN     64u     /* r || s */
#define EMK_KEYSTORE_SHARED_LEN  32u     /* x */
#define EMK_KEYSTORE_SEED_LEN    64u     /* ML-KEM's d || z */
#define EMK_KEYSTORE_ID_LEN      16u     /* names a counter or a secret */
#define EMK_KEYSTORE_SECRET_MAX  256u    /* bytes of one secret */
#define EMK_KEYSTORE_MESSAGE_MAX 131072u /* bytes of one message to sign */

/* Flags: what a holder promises. */
#define EMK_KEYSTORE_IS_HARDWARE        1u /* private keys cannot be read out, whatever runs */
#define EMK_KEYSTORE_COUNTS_IN_HARDWARE 2u /* restoring a disk does not restore counters */

typedef struct emk_keystore_ops {
    uint32_t size;    /* sizeof of the writer's table: it can grow at its end */
    uint32_t flags;   /* EMK_KEYSTORE_... */
    const char *name; /* "software", "tpm2": static, for logs and machines */

    /* One line for people on how the keys are protected; lent, static.  NULL: the name. */
    const char *(*describe)(void *self);

    /* Fills both public keys.  EMK_E_KEY_LOST when there are none any more. */
    emk_status (*public_keys)(void *self, uint8_t signing[EMK_KEYSTORE_PUBLIC_LEN],
                              uint8_t agreement[EMK_KEYSTORE_PUBLIC_LEN], emk_error *e);
    /* Fills sig with ES256 over msg (ECDSA on SHA-256 of it), r || s. */
    emk_status (*sign)(void *self, emk_span msg, uint8_t sig[EMK_KEYSTORE_SIG_LEN], emk_error *e);
    /* Fills x with the x coordinate of peer times the agreement key, 32 bytes always. */
    emk_status (*agree)(void *self, const uint8_t peer[EMK_KEYSTORE_PUBLIC_LEN],
                        uint8_t x[EMK_KEYSTORE_SHARED_LEN], emk_error *e);
    /* Fills the seed of the post-quantum half of the agreement key, which is kept in software
     * wherever the other half is; the caller wipes it.  EMK_E_NOT_FOUND, or NULL here: the
     * agreement key is P-256 alone. */
    emk_status (*ml_kem_seed)(void *self, uint8_t seed[EMK_KEYSTORE_SEED_LEN], emk_error *e);

    /* Counters only go up, also when several processes set them.  Get gives 0 for one that was
     * never set.  Set refuses a lower value with EMK_E_STALE; the same value is fine.  Durable
     * on return.  Both NULL: none, and nothing notices that an old vault was put back. */
    emk_status (*counter_get)(void *self, const uint8_t id[EMK_KEYSTORE_ID_LEN], uint64_t *value,
                              emk_error *e);
    emk_status (*counter_set)(void *self, const uint8_t id[EMK_KEYSTORE_ID_LEN], uint64_t value,
                              emk_error *e);

    /* Small secrets (pending request keys), bound to this device.  Put replaces; durable on
     * return.  Get fills out (EMK_KEYSTORE_SECRET_MAX bytes) and *len; the caller wipes.
     * EMK_E_NOT_FOUND from get and delete.  What was deleted never comes back.  All three
     * NULL: none, and an answer must reach the process that asked. */
    emk_status (*secret_put)(void *self, const uint8_t id[EMK_KEYSTORE_ID_LEN], emk_span secret,
                             emk_error *e);
    emk_status (*secret_get)(void *self, const uint8_t id[EMK_KEYSTORE_ID_LEN], uint8_t *out,
                             size_t *len, emk_error *e);
    emk_status (*secret_delete)(void *self, const uint8_t id[EMK_KEYSTORE_ID_LEN], emk_error *e);

    /* Wipes what is in memory; the keys stay.  NULL: nothing to do. */
    void (*close)(void *self);
} emk_keystore_ops;

/* A holder that is open. */
typedef struct emk_keystore {
    const emk_keystore_ops *ops;
    void *self;
} emk_keystore;

/* EMK_E_USAGE unless the table has what every holder needs; call it once on a foreign table. */
emk_status emk_keystore_check(const emk_keystore *ks, emk_error *e) EMK_MUST_CHECK;

/* Never NULL; lent. */
const char *emk_keystore_name(const emk_keystore *ks);
const char *emk_keystore_describe(const emk_keystore *ks);
bool emk_keystore_is_hardware(const emk_keystore *ks);
bool emk_keystore_has_counters(const emk_keystore *ks);
bool emk_keystore_has_secrets(const emk_keystore *ks);

/* Closes the holder.  An all-zero one is fine. */
void emk_keystore_close(emk_keystore *ks);

#ifdef __cplusplus
}
#endif

#endif
