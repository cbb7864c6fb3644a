/* What a device shows at enrolment: nothing, or that its keys are in a TPM, in two steps.
 * [docs/spec/attestation.md 5] */
#ifndef EMK_CLI_TPM_EVIDENCE_H
#define EMK_CLI_TPM_EVIDENCE_H

#include "cli/remote.h"

typedef struct emk_cli_evidence {
    const char *kind; /* "none", "tpm" */
    const char *app;
    emk_buf hello, proof; /* one of them, or neither */
} emk_cli_evidence;

typedef struct emk_cli_evidence_in {
    const emk_cli_device *device;
    const char *kind; /* "none", "tpm" */
    const char *app;
    emk_span challenge;
} emk_cli_evidence_in;

/* Fills out; end with emk_cli_evidence_done also after a failure.  EMK_E_USAGE;
 * EMK_E_UNSUPPORTED in a build without TPMs; what the TPM says. */
emk_status emk_cli_evidence_begin(emk_cli *cli, const emk_cli_evidence_in *in,
                                  emk_cli_evidence *out) EMK_MUST_CHECK;
/* The second step, with the server's credential. */
emk_status emk_cli_evidence_go_on(emk_cli *cli, const emk_cli_evidence_in *in,
                                  const emk_dom *credential, emk_cli_evidence *x) EMK_MUST_CHECK;
/* The member "attestation". */
void emk_cli_evidence_put(const emk_cli_evidence *x, emk_cli_json *j);
void emk_cli_evidence_done(emk_cli_evidence *x);

/* The TPM's part; one of two files is built.  They append to out. */
emk_status emk_cli_tpm_hello(emk_cli *cli, const emk_cli_evidence_in *in,
                             emk_buf *out) EMK_MUST_CHECK;
emk_status emk_cli_tpm_proof(emk_cli *cli, const emk_cli_evidence_in *in, const emk_dom *credential,
                             emk_buf *out) EMK_MUST_CHECK;

#endif
