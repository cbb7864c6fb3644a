#include "cli/tpm_evidence.h"

#include <string.h>

#define HELLO_MAX 32768u
#define PROOF_MAX 16384u

emk_status emk_cli_evidence_begin(emk_cli *cli, const emk_cli_evidence_in *in,
                                  emk_cli_evidence *out)
{
    *out = (emk_cli_evidence){.kind = in->kind, .app = in->app};
    emk_buf_init(&out->hello, HELLO_MAX);
    emk_buf_init(&out->proof, PROOF_MAX);
    if (strcmp(out->kind, "none") == 0)
        return EMK_OK;
    if (strcmp(out->kind, "tpm") != 0)
        return emk_cli_usage(cli, "--attestation is none or tpm");
    if (strcmp(emk_keystore_name(&in->device->keystore), EMK_TPM2_NAME) != 0)
        return emk_cli_usage(cli, "--attestation tpm is for a device whose keys are in a TPM "
                                  "(--keystore tpm2)");
    if (!in->app[0])
        return emk_cli_usage(cli, "--attestation tpm needs --app NAME, as the server knows it");
    return emk_cli_tpm_hello(cli, in, &out->hello);
}

emk_status emk_cli_evidence_go_on(emk_cli *cli, const emk_cli_evidence_in *in,
                                  const emk_dom *credential, emk_cli_evidence *x)
{
    emk_buf_done(&x->hello);
    return emk_cli_tpm_proof(cli, in, credential, &x->proof);
}

void emk_cli_evidence_put(const emk_cli_evidence *x, emk_cli_json *j)
{
    emk_cli_json_open(j, "attestation");
    emk_cli_json_text(j, "kind", emk_span_str(x->kind));
    if (x->hello.len > 0 || x->proof.len > 0)
        emk_cli_json_text(j, "app", emk_span_str(x->app));
    if (x->hello.len > 0)
        emk_cli_json_bytes(j, "hello", emk_buf_span(&x->hello));
    if (x->proof.len > 0)
        emk_cli_json_bytes(j, "proof", emk_buf_span(&x->proof));
    emk_cli_json_close(j);
}

void emk_cli_evidence_done(emk_cli_evidence *x)
{
    emk_buf_done(&x->hello);
    emk_buf_done(&x->proof);
}
