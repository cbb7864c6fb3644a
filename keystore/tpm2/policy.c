/* Policies: which PCR values may use the keys.  The keys are bound to an authority, not to
 * values (TPM2_PolicyAuthorize), so an update is allowed by a signature and needs no new keys.
 * [TPM2 part 3 23.16]
 *
 * The file `policy`:
 *    0   4  magic "EMKQ"
 *    4   1  version 01
 *    5   3  zero
 *    8   4  the PCRs, bit n for PCR n
 *   12  32  SHA-256 over their values
 *   44  64  the authority's signature over the message
 *
 * A policy that was signed once stays good: taking one back means a PCR value that the old
 * software cannot reach. */
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/crypto/hash.h"
#include "core/crypto/sign.h"
#include "keystore/tpm2/internal.h"

#define MAGIC    "EMKQ"
#define FILE_LEN 108u
#define PCR_AT   12u
#define SIG_AT   44u
#define REF      "earmark/1 tpm policy" /* 20 bytes: what the authority's key signed this for */
#define REF_LEN  (sizeof REF - 1)

_Static_assert(EMK_TPM2_MESSAGE_LEN == 32 + REF_LEN, "a policy's digest and what it is for");

/* The public area that the TPM is given for the authority, as bytes: its hash is the key's
 * name.  authority_public below is the same as a structure. */
static emk_status authority_name(const emk_crypto *c, const uint8_t authority[65], uint8_t name[34],
                                 emk_error *e)
{
    static const uint8_t head[] = {
        0x00, 0x23, 0x00, 0x0B,                         /* ECC, names by SHA-256 */
        0x00, 0x04, 0x00, 0x40,                         /* sign, userWithAuth */
        0x00, 0x00,                                     /* no policy */
        0x00, 0x10, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10, /* nothing, no scheme, P-256, no KDF */
    };
    static const uint8_t len[] = {0x00, 0x20};
    const emk_span parts[] = {emk_span_of(head, sizeof head), emk_span_of(len, sizeof len),
                              emk_span_of(authority + 1, 32), emk_span_of(len, sizeof len),
                              emk_span_of(authority + 33, 32)};

    name[0] = 0x00;
    name[1] = 0x0B;
    return emk_sha256(c, parts, sizeof parts / sizeof parts[0], name + 2, e);
}

static void authority_public(const uint8_t authority[65], TPM2B_PUBLIC *out)
{
    TPMT_PUBLIC *p = &out->publicArea;

    memset(out, 0, sizeof *out);
    p->type = TPM2_ALG_ECC;
    p->nameAlg = TPM2_ALG_SHA256;
    p->objectAttributes = TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_USERWITHAUTH;
    p->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
    p->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
    p->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
    p->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    p->unique.ecc.x.size = 32;
    memcpy(p->unique.ecc.x.buffer, authority + 1, 32);
    p->unique.ecc.y.size = 32;
    memcpy(p->unique.ecc.y.buffer, authority + 33, 32);
}

emk_status emk_tpm2_auth_policy(const emk_crypto *c, const uint8_t authority[65], uint8_t out[32],
                                emk_error *e)
{
    static const uint8_t zeros[32] = {0};
    static const uint8_t command[] = {0x00, 0x00, 0x01, 0x6A};
    uint8_t name[34], inner[32];
    const emk_span first[] = {emk_span_of(zeros, 32), emk_span_of(command, 4),
                              emk_span_of(name, sizeof name)};
    const emk_span second[] = {emk_span_of(inner, 32), emk_span_of(REF, REF_LEN)};
    emk_status st;

    st = authority_name(c, authority, name, e);
    if (st == EMK_OK)
        st = emk_sha256(c, first, 3, inner, e);
    if (st == EMK_OK)
        st = emk_sha256(c, second, 2, out, e);
    return st;
}

emk_status emk_tpm2_pcrs_check(uint32_t pcrs, emk_error *e)
{
    if (pcrs == 0 || (pcrs & ~EMK_TPM2_PCRS))
        return emk_fail(e, EMK_E_USAGE, "tpm2: PCRs are 0 to 23, and at least one", pcrs);
    return EMK_OK;
}

void emk_tpm2_pcr_selection(uint32_t pcrs, TPML_PCR_SELECTION *out)
{
    memset(out, 0, sizeof *out);
    out->count = 1;
    out->pcrSelections[0].hash = TPM2_ALG_SHA256;
    out->pcrSelections[0].sizeofSelect = 3;
    out->pcrSelections[0].pcrSelect[0] = (uint8_t)pcrs;
    out->pcrSelections[0].pcrSelect[1] = (uint8_t)(pcrs >> 8);
    out->pcrSelections[0].pcrSelect[2] = (uint8_t)(pcrs >> 16);
}

emk_status emk_tpm2_policy_message(const emk_crypto *c, uint32_t pcrs, const uint8_t digest[32],
                                   uint8_t message[EMK_TPM2_MESSAGE_LEN], emk_error *e)
{
    static const uint8_t zeros[32] = {0};
    static const uint8_t command[] = {0x00, 0x00, 0x01, 0x7F}; /* TPM2_PolicyPCR */
    const uint8_t selection[] = {
        0, 0, 0, 1, 0x00, 0x0B, 3, (uint8_t)pcrs, (uint8_t)(pcrs >> 8), (uint8_t)(pcrs >> 16)};
    const emk_span parts[] = {emk_span_of(zeros, 32), emk_span_of(command, 4),
                              emk_span_of(selection, sizeof selection), emk_span_of(digest, 32)};
    uint8_t policy[32];
    emk_status st;

    st = emk_tpm2_pcrs_check(pcrs, e);
    if (st == EMK_OK)
        st = emk_sha256(c, parts, 4, policy, e);
    if (st != EMK_OK)
        return st;
    memcpy(message, policy, 32);
    memcpy(message + 32, REF, REF_LEN);
    return EMK_OK;
}

static emk_status verify(const emk_tpm2 *t, const emk_tpm2_policy *p, emk_error *e)
{
    uint8_t message[EMK_TPM2_MESSAGE_LEN];
    emk_verify_key *key = NULL;
    emk_status st;

    st = emk_tpm2_policy_message(t->crypto, p->pcrs, p->digest, message, e);
    if (st != EMK_OK)
        return st;
    st = emk_verify_key_new(t->crypto, EMK_SIGN_ES256, emk_span_of(t->keys.authority, 65), &key, e);
    if (st != EMK_OK)
        return st;
    st = emk_sign_verify(key, emk_span_of(message, sizeof message), emk_span_of(p->sig, 64), e);
    emk_verify_key_free(key);
    return st;
}

emk_status emk_tpm2_policy_put(const emk_crypto *c, const char *dir, const emk_tpm2_policy *policy,
                               emk_error *e)
{
    emk_tpm2 t = {.crypto = c, .dir = dir};
    char path[EMK_TPM2_PATH_MAX];
    uint8_t file[FILE_LEN] = MAGIC;
    emk_status st;

    st = emk_os_join(path, sizeof path, dir, EMK_TPM2_POLICY_FILE, "", e);
    if (st != EMK_OK)
        return st;
    st = emk_tpm2_keys_read(&t, e);
    if (st != EMK_OK)
        return st;
    if (t.keys.guard != EMK_TPM2_BY_POLICY)
        return emk_fail(e, EMK_E_USAGE, "tpm2: these keys were made without an authority", 0);
    st = verify(&t, policy, e);
    if (st != EMK_OK)
        return st;
    file[4] = 1;
    emk_store_u32be(file + 8, policy->pcrs);
    memcpy(file + PCR_AT, policy->digest, 32);
    memcpy(file + SIG_AT, policy->sig, 64);
    return emk_os_write_file(path, emk_span_of(file, sizeof file), e);
}

static emk_status read_policy(const emk_tpm2 *t, emk_tpm2_policy *out, emk_error *e)
{
    static const uint8_t head[8] = {'E', 'M', 'K', 'Q', 1};
    char path[EMK_TPM2_PATH_MAX];
    emk_buf file;
    emk_status st;

    st = emk_tpm2_path(t, EMK_TPM2_POLICY_FILE, path, e);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&file, FILE_LEN);
    st = emk_os_read_file(path, FILE_LEN, &file, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, EMK_E_POLICY, "tpm2: no signed policy was put", 0);
    if (st == EMK_OK && (file.len != FILE_LEN || memcmp(file.p, head, sizeof head) != 0))
        st = EMK_E_LIMIT;
    if (st == EMK_OK) {
        out->pcrs = emk_load_u32be(file.p + 8);
        memcpy(out->digest, file.p + PCR_AT, 32);
        memcpy(out->sig, file.p + SIG_AT, 64);
        st = verify(t, out, e);
    }
    emk_buf_done(&file);
    if (st == EMK_E_LIMIT || st == EMK_E_USAGE || st == EMK_E_SIGNATURE || st == EMK_E_FORMAT)
        return emk_fail(e, EMK_E_SEALED, "tpm2: the policy file is damaged", 0);
    return st;
}

/* Has the TPM see for itself that the authority signed the message. */
static emk_status get_ticket(const emk_tpm2 *t, emk_tpm2_link *l, const emk_tpm2_policy *p,
                             TPMT_TK_VERIFIED **ticket, emk_error *e)
{
    uint8_t message[EMK_TPM2_MESSAGE_LEN];
    const emk_span part = emk_span_of(message, sizeof message);
    TPM2B_DIGEST digest = {.size = 32};
    TPMT_SIGNATURE sig = {.sigAlg = TPM2_ALG_ECDSA};
    TPMS_SIGNATURE_ECC *ecdsa = &sig.signature.ecdsa;
    ESYS_TR key = ESYS_TR_NONE;
    TPM2B_PUBLIC pub;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_policy_message(t->crypto, p->pcrs, p->digest, message, e);
    if (st == EMK_OK)
        st = emk_sha256(t->crypto, &part, 1, digest.buffer, e);
    if (st != EMK_OK)
        return st;
    ecdsa->hash = TPM2_ALG_SHA256;
    ecdsa->signatureR.size = 32;
    memcpy(ecdsa->signatureR.buffer, p->sig, 32);
    ecdsa->signatureS.size = 32;
    memcpy(ecdsa->signatureS.buffer, p->sig + 32, 32);
    authority_public(t->keys.authority, &pub);
    rc = Esys_LoadExternal(l->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &pub,
                           ESYS_TR_RH_OWNER, &key);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: cannot load the authority's key");
    rc = Esys_VerifySignature(l->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &sig,
                              ticket);
    (void)Esys_FlushContext(l->esys, key);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: cannot verify the policy") : EMK_OK;
}

static emk_status authorize(const emk_tpm2 *t, emk_tpm2_link *l, const emk_tpm2_policy *p,
                            emk_error *e)
{
    uint8_t message[EMK_TPM2_MESSAGE_LEN];
    TPM2B_DIGEST approved = {.size = 32};
    TPM2B_NONCE ref = {.size = REF_LEN, .buffer = REF};
    TPM2B_NAME name = {.size = 34};
    TPMT_TK_VERIFIED *ticket = NULL;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_policy_message(t->crypto, p->pcrs, p->digest, message, e);
    if (st == EMK_OK)
        st = authority_name(t->crypto, t->keys.authority, name.name, e);
    if (st == EMK_OK)
        st = get_ticket(t, l, p, &ticket, e);
    if (st != EMK_OK)
        return st;
    memcpy(approved.buffer, message, 32);
    rc = Esys_PolicyAuthorize(l->esys, l->policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              &approved, &ref, &name, ticket);
    Esys_Free(ticket);
    if ((rc & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER && (rc & 0xBFu) == TPM2_RC_VALUE)
        return emk_fail(e, EMK_E_POLICY, "tpm2: no signed policy allows what was booted", 0);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: policy") : EMK_OK;
}

emk_status emk_tpm2_policy_start(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    static const TPMT_SYM_DEF cipher = {
        .algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};
    static const TPM2B_DIGEST present = {0};
    TPML_PCR_SELECTION selection;
    emk_tpm2_policy p;
    emk_status st;
    TSS2_RC rc;

    st = read_policy(t, &p, e);
    if (st != EMK_OK)
        return st;
    rc = Esys_StartAuthSession(l->esys, l->srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &cipher, TPM2_ALG_SHA256,
                               &l->policy);
    if (rc) {
        l->policy = ESYS_TR_NONE;
        return emk_tpm2_fail(e, rc, "tpm2: session");
    }
    emk_tpm2_pcr_selection(p.pcrs, &selection);
    rc = Esys_PolicyPCR(l->esys, l->policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &present,
                        &selection);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: policy") : authorize(t, l, &p, e);
}

/* One answer holds eight values at most: asks until all are there. */
static emk_status read_pcrs(emk_tpm2_link *l, uint32_t pcrs, uint8_t values[24][32], emk_error *e)
{
    while (pcrs) {
        TPML_PCR_SELECTION in, *got = NULL;
        TPML_DIGEST *digests = NULL;
        uint32_t mask, n = 0;
        TSS2_RC rc;

        emk_tpm2_pcr_selection(pcrs, &in);
        rc = Esys_PCR_Read(l->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &in, NULL, &got,
                           &digests);
        if (rc)
            return emk_tpm2_fail(e, rc, "tpm2: cannot read PCRs");
        mask = got->count == 1 ? (uint32_t)got->pcrSelections[0].pcrSelect[0] |
                                     (uint32_t)got->pcrSelections[0].pcrSelect[1] << 8 |
                                     (uint32_t)got->pcrSelections[0].pcrSelect[2] << 16
                               : 0;
        mask &= pcrs;
        for (uint32_t i = 0; i < 24; i++) {
            if ((mask >> i & 1) && n < digests->count && digests->digests[n].size == 32)
                memcpy(values[i], digests->digests[n++].buffer, 32);
            else
                mask &= ~(UINT32_C(1) << i);
        }
        Esys_Free(got);
        Esys_Free(digests);
        if (mask == 0)
            return emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: no such PCR in the SHA-256 bank", pcrs);
        pcrs &= ~mask;
    }
    return EMK_OK;
}

emk_status emk_tpm2_pcr_values(const char *tcti, uint32_t pcrs, uint8_t out[EMK_TPM2_VALUES_MAX],
                               size_t *len, emk_error *e)
{
    uint8_t values[24][32];
    emk_tpm2_link l;
    size_t n = 0;
    emk_status st;

    st = emk_tpm2_pcrs_check(pcrs, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_plain(tcti, &l, e);
    if (st != EMK_OK)
        return st;
    st = read_pcrs(&l, pcrs, values, e);
    emk_tpm2_link_close(&l);
    if (st != EMK_OK)
        return st;
    for (uint32_t i = 0; i < 24; i++) {
        if (pcrs >> i & 1)
            memcpy(out + 32 * n++, values[i], 32);
    }
    *len = 32 * n;
    return EMK_OK;
}

emk_status emk_tpm2_pcr_digest(const emk_crypto *c, const char *tcti, uint32_t pcrs,
                               uint8_t digest[32], emk_error *e)
{
    uint8_t values[EMK_TPM2_VALUES_MAX];
    emk_span all;
    size_t len;
    emk_status st = emk_tpm2_pcr_values(tcti, pcrs, values, &len, e);

    if (st != EMK_OK)
        return st;
    all = emk_span_of(values, len);
    return emk_sha256(c, &all, 1, digest, e);
}
