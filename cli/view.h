/* Looking at files without keys: what `inspect` prints.  Everything comes from outside and
 * nothing of it is believed; with the issuer's key the signature is checked first. */
#ifndef EMK_CLI_VIEW_H
#define EMK_CLI_VIEW_H

#include "cli/command.h"
#include "core/crypto/sign.h"
#include "core/seal/io.h"

/* Borrowed for the call. */
typedef struct emk_cli_view {
    const emk_source *file;
    emk_span head;                /* its first bytes */
    const emk_verify_key *issuer; /* NULL: signatures are not checked */
} emk_cli_view;

#define EMK_CLI_VIEW_HEAD 66000u /* bytes of head wanted: the longest header and its preamble */

/* True for the first bytes of a sealed model, of a signed message. */
bool emk_cli_view_is_sealed(emk_span head);
bool emk_cli_view_is_message(emk_span head);

/* A sealed model (.emk), a weights layer or a vault file. */
emk_status emk_cli_view_sealed(emk_cli *cli, const emk_cli_view *v) EMK_MUST_CHECK;
/* Any message; all of it is in v->head. */
emk_status emk_cli_view_message(emk_cli *cli, const emk_cli_view *v) EMK_MUST_CHECK;
/* The model that the operands name: its files and their tensors. */
emk_status emk_cli_view_model(emk_cli *cli) EMK_MUST_CHECK;

/* "P-256" and so on; NULL for a KEM earmark does not know. */
const char *emk_cli_kem_name(uint64_t kem);

#endif
