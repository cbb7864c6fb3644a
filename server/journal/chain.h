/* The MAC chain: each entry is authenticated under a key that is then hashed forward and wiped,
 * so that who takes the machine over cannot rewrite what was there before.  [journal 3]
 *
 *     mac(n)  = HMAC(key(n), label || epoch || n || mac(n-1) || entry(n))
 *     key(n+1) = SHA-256(label || key(n))
 *     link(n) = first 16 bytes of SHA-256(label || mac(n)), written in entry n+1
 *
 * Epoch and number are in the MAC: an old entry made anew under a newer key does not fit. */
#ifndef EMK_SERVER_JOURNAL_CHAIN_H
#define EMK_SERVER_JOURNAL_CHAIN_H

#include "core/crypto/crypto.h"
#include "server/journal/record.h"

#define EMK_CHAIN_KEY_LEN  32u
#define EMK_CHAIN_FILE_LEN 96u
#define EMK_HEAD_FILE_LEN  48u

/* A secret: wipe it. */
typedef struct emk_chain {
    uint64_t epoch;
    uint64_t seq;                       /* of the next entry */
    uint8_t key[EMK_CHAIN_KEY_LEN];     /* for it */
    uint8_t mac[32];                    /* of the entry before; zeros at the start of an epoch */
    uint8_t link[EMK_JOURNAL_LINK_LEN]; /* for the next entry */
} emk_chain;

/* Takes entry ch->seq in.  EMK_E_CRYPTO; then *ch is unchanged. */
emk_status emk_chain_step(const emk_crypto *c, emk_chain *ch, emk_span entry,
                          emk_error *e) EMK_MUST_CHECK;

/* The chain as its file has it.  Reading: EMK_E_FORMAT when damaged. */
emk_status emk_chain_write(const emk_crypto *c, const emk_chain *ch,
                           uint8_t out[EMK_CHAIN_FILE_LEN], emk_error *e) EMK_MUST_CHECK;
emk_status emk_chain_read(const emk_crypto *c, emk_span in, emk_chain *out,
                          emk_error *e) EMK_MUST_CHECK;

/* How far was acknowledged: the public half. */
typedef struct emk_chain_head {
    uint64_t epoch;
    uint64_t size; /* entries acknowledged */
    uint8_t link[EMK_JOURNAL_LINK_LEN];
} emk_chain_head;

emk_status emk_chain_head_write(const emk_crypto *c, const emk_chain_head *h,
                                uint8_t out[EMK_HEAD_FILE_LEN], emk_error *e) EMK_MUST_CHECK;
emk_status emk_chain_head_read(const emk_crypto *c, emk_span in, emk_chain_head *out,
                               emk_error *e) EMK_MUST_CHECK;

#endif
