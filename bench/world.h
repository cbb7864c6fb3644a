/* An issuer with a certified sealing key, a device and a request: all that sealing, accepting
 * and opening need.  The keys are fixed, so that several processes can make the same world. */
#ifndef EMK_BENCH_WORLD_H
#define EMK_BENCH_WORLD_H

#include "bench/bench.h"

#include "core/seal/accept.h"
#include "core/seal/seal.h"
#include "core/seal/vault.h"

typedef struct world {
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *sealer_key;
    emk_signer issuer, sealer;
    emk_verify_key *issuer_public;
    emk_buf certificate, policy, identity;
    emk_kem_private *device_key, *request_key;
} world;

void world_init(world *w);
void world_done(world *w);

/* A plan with regions as a model has them: a short head, then tensors of 8 MiB.  With digests
 * of what the source holds. */
void world_plan(world *w, const emk_source *model, unsigned threads, emk_plan *plan);

emk_seal_in world_seal_in(const world *w, const emk_source *model, const emk_plan *plan);
emk_accept_in world_accept_in(const world *w, const emk_source *sealed);
emk_vault_in world_vault_in(const world *w, const emk_source *vault);

/* File to file, as the tools do it: the result is reserved, written and synced.  Each returns
 * its seconds.  `which` files: see bench/workdir.h. */
double world_seal_file(world *w, const emk_plan *plan, unsigned threads);
double world_accept_file(world *w, unsigned threads);
/* Opens the vault's file into fresh locked huge-page memory; `locked` (may be NULL) tells
 * whether locking worked.  Giving the memory back is not counted. */
double world_open_file(world *w, unsigned threads, bool *locked);

/* A source over a file; *fd stays the caller's to close. */
emk_source world_source(const char *path, int *fd);

#endif
