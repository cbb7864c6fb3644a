/* A small world for tests of the container: an issuer, a sealer it certified, a device, a
 * request, and the fields a ticket would carry. */
#ifndef EMK_TESTS_UNIT_CORE_SEAL_WORLD_H
#define EMK_TESTS_UNIT_CORE_SEAL_WORLD_H

#include "core/seal/accept.h"
#include "core/seal/seal.h"
#include "core/seal/segment.h"
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

/* What the world would pass to emk_sealing_new, emk_accept_new, emk_vault_open. */
void world_seal_in(world *w, const emk_source *model, const emk_plan *plan, emk_seal_in *in);
void world_accept_in(world *w, const emk_source *sealed, emk_accept_in *in);
void world_vault_in(world *w, const emk_source *file, emk_vault_in *in);

/* Seals into fresh heap memory that *out gets. */
emk_status world_seal(world *w, emk_span model, const emk_plan *plan, emk_buf *out, emk_error *e);

/* Accepts into fresh heap memory that *vault gets. */
emk_status world_accept(world *w, emk_span sealed, emk_buf *vault, emk_noticed *noticed,
                        emk_error *e);

/* Opens a vault file and decrypts the model into fresh heap memory that *model gets. */
emk_status world_open(world *w, emk_span vault, emk_buf *model, emk_noticed *noticed, emk_error *e);

/* Takes the file layer off (fails the test when it does not come off), and puts one around any
 * bytes, so that a test can bend what is inside. */
void world_unwrap(world *w, emk_span sealed, emk_buf *inner);
void world_wrap(world *w, emk_span inner, const emk_signer *signer, emk_span certificate,
                emk_buf *sealed);

/* A source and a sink in memory that are called, count, and fail or shrink when told to.
 * Not for several threads. */
typedef struct world_io {
    emk_span from; /* source */
    uint8_t *to;   /* sink ... */
    size_t cap;    /* ... of so many bytes */
    uint64_t calls;
    uint64_t fail_at;   /* this call, from 1, is EMK_E_IO; 0: none */
    uint64_t shrink_at; /* from this call on the source has half its bytes; 0: never */
} world_io;
emk_source world_io_source(world_io *io);
emk_sink world_io_sink(world_io *io);

/* len bytes that do not repeat with any short period. */
void world_fill(uint8_t *p, size_t len);

#endif
