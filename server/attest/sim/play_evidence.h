/* A Play Integrity token as Google would make one, under keys of our own.  A field that is NULL is
 * right; values go into the JSON as they are. */
#ifndef EMK_SERVER_ATTEST_SIM_PLAY_EVIDENCE_H
#define EMK_SERVER_ATTEST_SIM_PLAY_EVIDENCE_H

#include "server/attest/sim/forge.h"

typedef struct fake_play {
    emk_span signed_hash; /* the nonce's bytes; at most 64 */
    const char *package, *request_package;
    const char *nonce, *request_hash;                   /* texts; request_hash: instead of nonce */
    const char *timestamp_ms, *digest, *version_code;   /* digest: base64url */
    const char *app_verdict, *device_verdict, *license; /* device_verdict: the array's contents */
    const char *outer_header, *inner_header;
    size_t signer;   /* 0: the right key, 1 */
    bool no_testing; /* leave out that it is a testing response */
} fake_play;

/* Appends the token: signed by key 1, sealed under kek (32 bytes). */
emk_status fake_make_play(const forge *f, const fake_play *x, emk_span kek, emk_buf *out,
                          emk_error *e) EMK_MUST_CHECK;

#endif
