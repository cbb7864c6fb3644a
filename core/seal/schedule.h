/* The key schedule of both layers: every key used on data comes from a content key (CEK) and
 * the hash of the signed header.  [container 3.4] */
#ifndef EMK_CORE_SEAL_SCHEDULE_H
#define EMK_CORE_SEAL_SCHEDULE_H

#include "core/base/secret.h"
#include "core/crypto/aead.h"

#include <earmark/policy.h>

#define EMK_CEK_LEN          32u
#define EMK_COMMIT_LEN       32u
#define EMK_SCHEDULE_PRK_LEN 32u

typedef enum emk_layer { EMK_LAYER_FILE = 1, EMK_LAYER_WEIGHTS = 2 } emk_layer;

/* Keys of one layer of one file.  End with emk_schedule_done. */
typedef struct emk_schedule {
    const emk_crypto *crypto;
    emk_layer layer;
    const uint8_t *prk; /* in secret memory */
    emk_secret *own;    /* that memory; NULL: it is the caller's */
    uint8_t commit[EMK_COMMIT_LEN];
} emk_schedule;

/* Derives from a 32-byte CEK and hh (or vhh).  The caller wipes the CEK. */
emk_status emk_schedule_init(emk_schedule *s, const emk_crypto *c, emk_layer layer,
                             const uint8_t cek[EMK_CEK_LEN], const uint8_t hh[EMK_HASH_LEN],
                             emk_error *e) EMK_MUST_CHECK;

/* The same with the key in secret memory of the caller's, which outlives the schedule: memory
 * of its own costs more than all that is derived here, and a sealing has two layers. */
typedef struct emk_schedule_in {
    const emk_crypto *crypto;
    emk_layer layer;
    const uint8_t *cek; /* EMK_CEK_LEN bytes */
    const uint8_t *hh;  /* EMK_HASH_LEN bytes */
    uint8_t *prk;       /* EMK_SCHEDULE_PRK_LEN bytes; filled, the caller wipes */
} emk_schedule_in;
emk_status emk_schedule_init_in(emk_schedule *s, const emk_schedule_in *in,
                                emk_error *e) EMK_MUST_CHECK;

/* EMK_E_SEALED unless commit is this schedule's; constant time. */
emk_status emk_schedule_check_commit(const emk_schedule *s, const uint8_t commit[EMK_COMMIT_LEN],
                                     emk_error *e) EMK_MUST_CHECK;

/* Sets the file layer's key in a. */
emk_status emk_schedule_file_key(const emk_schedule *s, emk_aead *a, emk_error *e) EMK_MUST_CHECK;
/* Sets region r's key in a. */
emk_status emk_schedule_region_key(const emk_schedule *s, uint32_t r, emk_aead *a,
                                   emk_error *e) EMK_MUST_CHECK;
/* The MAC of a local record over its bytes.  [container 7.3] */
emk_status emk_schedule_local_mac(const emk_schedule *s, emk_span record, uint8_t mac[32],
                                  emk_error *e) EMK_MUST_CHECK;

/* Wipes.  An all-zero schedule is fine. */
void emk_schedule_done(emk_schedule *s);

/* nonce(i, last): 11 bytes of i, one of last.  [container 3.4] */
void emk_nonce(uint64_t i, bool last, uint8_t nonce[EMK_AEAD_NONCE_LEN]);

#endif
