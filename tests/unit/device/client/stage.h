/* An issuer, a sealer and a device in one process, with a clock that the test sets. */
#ifndef EMK_TESTS_CLIENT_STAGE_H
#define EMK_TESTS_CLIENT_STAGE_H

#include "core/base/os_file.h"
#include "core/proto/enrolment.h"
#include "core/proto/lease.h"
#include "core/proto/receipt.h"
#include "core/seal/seal.h"
#include "device/client/client.h"
#include "keystore/soft.h"
#include "tests/support/test.h"

#define NOW       UINT64_C(1800000000)
#define MODEL_LEN 200000u
#define HEAD_LEN  1000u /* then two tensors, "first" and "second" */
#define FIRST_LEN 50000u
#define PATH_CAP  5000

typedef struct stage {
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *sealer_key;
    emk_signer issuer, sealer;
    emk_verify_key *issuer_public;
    emk_buf sealer_certificate;

    char *dir;
    char holder[4096], vault[4096];
    emk_keystore soft;     /* the software holder ... */
    emk_keystore keystore; /* ... or a table in front of it, with less */
    emk_client *client;
    const emk_signer *also; /* pinned too, before the issuer; or NULL */
    uint64_t now;
    uint8_t guard;
    emk_guard *watcher; /* NULL: none */
    uint64_t max_bytes;
    uint32_t max_entries;
    bool watchdog;
    uint64_t (*clock)(void *self); /* NULL: s->now is the time */
    uint64_t server_now;           /* of the issuer of leases; 0: as now */

    emk_client_want want;
    emk_policy policy;
    emk_buf request, ticket, lease, sealed, receipt;
    uint8_t hash[32], ticket_id[16];
    char name[EMK_CLIENT_NAME_LEN + 1];
    uint8_t model[MODEL_LEN];
} stage;

/* A device with its certificate.  `like` (or NULL) lends its issuer and sealer.  `poor`: a key
 * holder without counters and secrets. */
void stage_init(stage *s, const stage *like, bool poor);
void stage_done(stage *s);
/* As after a start of the app: key holder and client are opened again. */
void stage_restart(stage *s);
/* The same in a forked child, where a failed assertion ends it.  It leaves by _exit. */
void stage_enter_child(stage *s);

/* A request for s->want; a ticket that answers it with s->policy; the model sealed for it. */
void stage_request(stage *s);
void stage_issue(stage *s);
void stage_seal(stage *s);
/* What the issuer answers to a lease request of the client, into s->lease: granted, or why not. */
void stage_lease(stage *s, emk_lease_refusal refusal);
/* All three. */
void stage_deliver(stage *s);

emk_status stage_accept(stage *s, emk_error *e);
/* All of it, which must work. */
void stage_install(stage *s);

/* Opens s->name as the user who asked, compares the bytes and closes. */
emk_status stage_open(stage *s, emk_error *e);
emk_client_ask stage_ask(const stage *s);

/* Files in the vault whose name has this in it. */
size_t stage_count(const stage *s, const char *part);
/* Request keys that the software holder keeps. */
size_t stage_secrets(const stage *s);
void stage_entry_path(const stage *s, char path[PATH_CAP]);
void stage_copy_file(const char *from, const char *to);

#endif
