/* Sealing by the server: a ticket and a model in, a blob with an URL out.
 *
 * The keys stay with the keyholder, which signs both headers.  What is needed again and again of a
 * catalogue model (its key and its plan) is kept for the few that were used last; only so many
 * models are sealed at once, others wait, and not for long.
 *
 * Nothing here looks at records of tickets but emk_api_seal_finish: whether a ticket may be used is
 * the handler's question, that it is used once is settled there, at the end, in one batch.
 *
 * Thread rule: an emk_seals is for all threads. */
#ifndef EMK_SERVER_API_SEALING_H
#define EMK_SERVER_API_SEALING_H

#include "core/codec/base64url.h"
#include "server/api/api.h"
#include "server/api/entities.h"
#include "server/api/storage.h"

#define EMK_BLOB_ID_LEN       32u
#define EMK_BLOB_ID_CHARS     EMK_BASE64URL_CHARS(EMK_BLOB_ID_LEN)
#define EMK_BLOB_ETAG_MAX     28u /* a strong one, with its quotes and a zero */
#define EMK_BLOB_URL_MAX      512u
#define EMK_SEALS_CACHED_MAX  64u
#define EMK_SEALS_CACHED      8u
#define EMK_SEALS_WAIT_NS     UINT64_C(2000000000)
#define EMK_SEAL_PLAIN_MEMORY (2u << 20) /* a model of a request up to here stays in memory */
#define EMK_SEAL_SPOOL_LIFE_S 86400u     /* a larger one whose request was killed goes then */

typedef struct emk_seals emk_seals;

typedef struct emk_seals_config {
    const emk_crypto *crypto;       /* kept */
    const emk_keyholder *keyholder; /* kept */
    const emk_verify_key *issuer;   /* kept */
    emk_span certificate;           /* of the keyholder's sealing key; copied */
    unsigned at_once; /* models sealed side by side; 0: one for each processor and one */
    unsigned cached;  /* models; 0: EMK_SEALS_CACHED */
} emk_seals_config;

/* Gives it; free with emk_seals_free.  EMK_E_SIGNATURE, EMK_E_FORMAT for a certificate that is not
 * the issuer's; EMK_E_USAGE when it is for another key than the keyholder's; EMK_E_LIMIT,
 * EMK_E_NO_MEMORY. */
emk_status emk_seals_new(const emk_seals_config *config, emk_seals **out,
                         emk_error *e) EMK_MUST_CHECK;
/* From now on models carry this certificate; what is being sealed ends with the one before.  One
 * thread at a time.  As emk_seals_new. */
emk_status emk_seals_certify(emk_seals *s, emk_span certificate, const emk_verify_key *issuer,
                             emk_span sealing_key, emk_error *e) EMK_MUST_CHECK;
/* Nobody may be sealing any more.  NULL is fine. */
void emk_seals_free(emk_seals *s);
/* After a withdrawal. */
void emk_seals_forget(emk_seals *s, const uint8_t object[EMK_STORAGE_OBJECT_LEN]);
/* Models that are sealed at this moment, and those kept. */
void emk_seals_state_get(emk_seals *s, unsigned *running, unsigned *cached);

/* A sealed model that waits to be fetched. */
typedef struct emk_sealed_blob {
    uint8_t id[EMK_BLOB_ID_LEN];
    uint8_t file_id[EMK_ID_LEN]; /* of the weights layer, as in receipts */
    uint64_t size;               /* bytes */
    uint64_t expires_s;
    char url[EMK_BLOB_URL_MAX];
    char etag[EMK_BLOB_ETAG_MAX];
} emk_sealed_blob;

/* Fills etag for the blob of that id: it never changes, so its name says enough. */
emk_status emk_blob_etag(const emk_crypto *c, const uint8_t id[EMK_BLOB_ID_LEN],
                         char etag[EMK_BLOB_ETAG_MAX], emk_error *e) EMK_MUST_CHECK;
/* Reads the text of an id; EMK_E_FORMAT. */
emk_status emk_blob_id_parse(emk_span text, uint8_t id[EMK_BLOB_ID_LEN],
                             emk_error *e) EMK_MUST_CHECK;

/* Seals the catalogue's model that the ticket names, for the ticket.  The blob is there when this
 * is EMK_OK; who does not want it any more calls emk_api_blob_drop.  Statuses: EMK_E_NOT_FOUND no
 * such version, or it was withdrawn EMK_E_BUSY         too much is being sealed, or the keyholder
 * is gone: try again EMK_E_UNSUPPORTED  this server does not seal; a kind of key that this
 * libcrypto lacks EMK_E_SIGNATURE, EMK_E_FORMAT, EMK_E_POLICY  the ticket: not ours, not sealable,
 * over EMK_E_IO           no room, or the store is not there (ENOSPC: full) EMK_E_SEALED       the
 * stored model is damaged */
emk_status emk_seal_catalogue(emk_api *api, emk_span ticket, emk_sealed_blob *out,
                              emk_error *e) EMK_MUST_CHECK;

/* The same for a model that came with a request: len bytes from `read` (as emk_call_read).  They
 * stay in memory, or in the store under a key that nobody keeps.  EMK_E_LIMIT when other than len
 * bytes come, and what read says. */
typedef struct emk_seal_body {
    uint64_t len;
    emk_status (*read)(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e);
    void *self;
    const char *file_name; /* a hint for formats without a magic; may be NULL */
} emk_seal_body;
emk_status emk_seal_once(emk_api *api, emk_span ticket, const emk_seal_body *body,
                         emk_sealed_blob *out, emk_error *e) EMK_MUST_CHECK;

/* Writes the ticket as sealed and the blob as its own, at once: the one place where a ticket is
 * used up.  EMK_E_STALE when somebody was faster: then the blob is dropped.  *t is changed. */
typedef struct emk_seal_finish {
    const uint8_t *ticket_id; /* 16 bytes */
    emk_ticket_entity *ticket;
    const emk_record_info *info; /* of the ticket's record, as it was read */
    const char *by;              /* name of the service; "": the server itself */
} emk_seal_finish;
emk_status emk_api_seal_finish(emk_api *api, const emk_seal_finish *in, const emk_sealed_blob *blob,
                               emk_error *e) EMK_MUST_CHECK;

/* All of it for a ticket that was issued and is in the records: seals the catalogue's model, writes
 * the audit entry, finishes.  EMK_E_USED when it was used before; else as above.  For the handler
 * that issues tickets, on a worker. */
emk_status emk_api_seal_catalogue(emk_call *call, const uint8_t ticket_id[EMK_ID_LEN],
                                  emk_sealed_blob *out, emk_error *e) EMK_MUST_CHECK;

/* Removes a blob and its record: after a complete accept, a revocation.  Best effort, its TTL does
 * the rest. */
void emk_api_blob_drop(const emk_api *api, const uint8_t id[EMK_BLOB_ID_LEN]);

/* Removes what has expired: blobs, tickets, challenges, spooled models.  Every few seconds, by one
 * thread.  Tries everything and returns the first failure. */
emk_status emk_api_sweep(const emk_api *api, uint64_t now_s, emk_error *e) EMK_MUST_CHECK;

#endif
