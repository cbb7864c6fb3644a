/* One delivery on its way, in files, so that a killed fetch goes on where it stopped:
 *
 *   <device>/deliveries/<hash of what is asked for>/
 *     lock       one process at a time
 *     request    the request, and
 *     once       its Idempotency-Key: sent again until there is an answer
 *     ticket     from the answer, like
 *     lease      where the policy wants one, and
 *     blob       where the sealed model is; written last
 *     sealed     what was fetched of it
 *     receipt    of the device: sent again until the server has it
 *
 * Nothing in it is secret or believed: the ticket is verified when the model is accepted. */
#ifndef EMK_CLI_DELIVERY_H
#define EMK_CLI_DELIVERY_H

#include "cli/remote.h"

#define EMK_CLI_ETAG_MAX 128u

typedef struct emk_cli_blob {
    char url[1024];
    char etag[EMK_CLI_ETAG_MAX + 1];
    uint64_t size;
    char ticket[2 * EMK_ID_LEN + 1]; /* id, in hex: the name of the vault's entry */
} emk_cli_blob;

typedef struct emk_cli_delivery {
    char dir[EMK_CLI_PATH_MAX];
    int lock;
} emk_cli_delivery;

/* Opens the delivery for what is asked for, making it when it is new; end with
 * emk_cli_delivery_close.  EMK_E_BUSY when another process is at it. */
emk_status emk_cli_delivery_open(emk_cli *cli, const char *device_dir, const emk_client_want *want,
                                 emk_cli_delivery *out) EMK_MUST_CHECK;
void emk_cli_delivery_close(emk_cli_delivery *d);

bool emk_cli_delivery_has(emk_cli *cli, const emk_cli_delivery *d, const char *name);
/* Appends a file to out. */
emk_status emk_cli_delivery_get(emk_cli *cli, const emk_cli_delivery *d, const char *name,
                                emk_buf *out) EMK_MUST_CHECK;
emk_status emk_cli_delivery_put(emk_cli *cli, const emk_cli_delivery *d, const char *name,
                                emk_span bytes) EMK_MUST_CHECK;
/* Removes it, if it is there. */
void emk_cli_delivery_drop(emk_cli *cli, const emk_cli_delivery *d, const char *name);
/* Removes all but the receipt (and the sealed file, ticket and lease when `keep`). */
void emk_cli_delivery_clear(emk_cli *cli, const emk_cli_delivery *d, bool keep);

/* Fills *out from the text of `blob`; false when it is damaged. */
bool emk_cli_blob_parse(const char *text, emk_cli_blob *out) EMK_MUST_CHECK;
emk_status emk_cli_blob_get(emk_cli *cli, const emk_cli_delivery *d,
                            emk_cli_blob *out) EMK_MUST_CHECK;
emk_status emk_cli_blob_put(emk_cli *cli, const emk_cli_delivery *d,
                            const emk_cli_blob *blob) EMK_MUST_CHECK;

/* Fetches what is missing of the sealed file, through cuts of the network.  EMK_E_STALE when the
 * server has it no more, or another; EMK_E_LIMIT; EMK_E_IO, and what emk_cli_problem says. */
emk_status emk_cli_download(emk_cli *cli, const emk_cli_remote *r, const emk_cli_delivery *d,
                            const emk_cli_blob *blob) EMK_MUST_CHECK;

/* Sends the receipts of this and all earlier deliveries that wait.  Best effort: what cannot be
 * sent waits on.  Gives how many wait still. */
size_t emk_cli_receipts_send(emk_cli *cli, const emk_cli_remote *r);

#endif
