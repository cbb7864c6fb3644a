/* The readers of TPM structures and of the two messages that carry them; the first byte says which.
 * What a reader accepts can be used: a Name and a key come out, or an error. */
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/tpm_enrol.h"

static void use(emk_span area)
{
    uint8_t spki[EMK_TPM_SPKI_MAX];
    emk_tpm_public pub;
    emk_tpm_name name;
    size_t len;

    if (emk_tpm_public_read(area, &pub, NULL) != EMK_OK)
        return;
    must(emk_tpm_public_name(attest_crypto(), &pub, &name, NULL) == EMK_OK, "has a Name");
    if (emk_tpm_public_spki(attest_crypto(), &pub, spki, &len, NULL) == EMK_OK)
        must(len > 0 && len <= sizeof spki, "has a key");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_span rest = emk_span_of(data + 1, size ? size - 1 : 0);
    emk_tpm_attest attest;
    emk_tpm_hello hello;
    emk_tpm_proof proof;
    emk_tpm_sig sig;

    if (size == 0)
        return 0;
    use(rest);
    if (data[0] == 1 && emk_tpm_attest_read(rest, &attest, NULL) == EMK_OK)
        must(attest.selection.n <= EMK_TPM_BANKS_MAX, "banks");
    if (data[0] == 2)
        (void)!emk_tpm_sig_read(rest, &sig, NULL);
    if (data[0] == 3)
        (void)!emk_tpm_hello_read(rest, &hello, NULL);
    if (data[0] == 4 && emk_tpm_proof_read(rest, &proof, NULL) == EMK_OK)
        use(proof.signing.key);
    return 0;
}
