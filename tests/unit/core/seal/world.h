/* A small world for tests of the container: an issuer, a sealer it certified, a device, a
 * request, and the fields a ticket would carry. */
#ifndef EMK_TESTS_UNIT_CORE_SEAL_WORLD_H
#define EMK_TESTS_UNIT_CORE_SEAL_WORLD_H

#include "core/seal/accept.h"
#include "core/seal/seal.h"
#include "core/seal/vault.h"
#include "tests/support/test.h"

#define WORLD_NOW UINT64_C(1800000000)

typedef struct world {
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *sealer_key;
    emk_signer issuer, sealer;
    emk_verify_key *issuer_public;
    emk_buf certificate;
    emk_kem_private *device_key, *request_key;
    emk_policy policy;
    emk_identity identity;
    emk_buf policy_bytes, identity_bytes;
    uint8_t device_id[32], ticket_id[16], ticket_hash[32], request_hash[32];
    unsigned threads;
    bool chacha;
} world;

/* request_kem: EMK_KEM_X25519 and so on.  Fails the test when something does. */
void world_init(world *w, uint16_t request_kem);
void world_done(world *w);

/* A plan that cuts the model into these regions (NULL: one sealed region), with digests. */
void world_plan(world *w, emk_span model, const emk_region *regions, uint32_t n, emk_plan *plan);

/* Seals into fresh heap memory that *out gets. */
emk_status world_seal(world *w, emk_span model, const emk_plan *plan, emk_buf *out, emk_error *e);

/* Accepts into fresh heap memory that *vault gets. */
emk_status world_accept(world *w, emk_span sealed, emk_buf *vault, emk_noticed *noticed,
                        emk_error *e);

/* Opens a vault file and decrypts the model into fresh heap memory that *model gets. */
emk_status world_open(world *w, emk_span vault, emk_buf *model, emk_noticed *noticed, emk_error *e);

/* len bytes that do not repeat with any short period. */
void world_fill(uint8_t *p, size_t len);

#endif
