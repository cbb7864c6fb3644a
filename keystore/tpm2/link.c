/* State: a link lives for one call of the holder.  A TPM without a resource manager takes one
 * connection at a time and has three slots for keys; holding none between calls is what lets
 * processes share it, and what makes a TPM that went away and came back no special case. */
#include "core/base/os_file.h"
#include "keystore/tpm2/internal.h"

#include <tss2/tss2_tctildr.h>

#define LAYER(rc) ((rc)&TSS2_RC_LAYER_MASK)
#define FORMAT_1  0x080u
#define CODE_1    0x0BFu /* without the number of the parameter, session or handle */

static const TPMT_SYM_DEF cipher = {
    .algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};

static emk_status status_of_warning(TSS2_RC code)
{
    switch (code) {
    case TPM2_RC_LOCKOUT:
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_CANCELED:
    case TPM2_RC_TESTING:
    case TPM2_RC_NV_RATE:
    case TPM2_RC_NV_UNAVAILABLE:
    case TPM2_RC_CONTEXT_GAP:
    case TPM2_RC_MEMORY:
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_SESSION_HANDLES:
        return EMK_E_BUSY;
    case TPM2_RC_NV_SPACE:
        return EMK_E_LIMIT;
    case TPM2_RC_PCR_CHANGED:
        return EMK_E_POLICY;
    default:
        return EMK_E_IO;
    }
}

static emk_status status_of_tpm(TSS2_RC rc)
{
    if (!(rc & FORMAT_1))
        return status_of_warning(rc);
    switch (rc & CODE_1) {
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_INTEGRITY:
        return EMK_E_SEALED;
    case TPM2_RC_POLICY_FAIL:
        return EMK_E_POLICY;
    case TPM2_RC_HANDLE:
        return EMK_E_KEY_LOST;
    default:
        return EMK_E_IO;
    }
}

emk_status emk_tpm2_fail(emk_error *e, TSS2_RC rc, const char *what)
{
    switch (LAYER(rc)) {
    case TSS2_TPM_RC_LAYER:
    case TSS2_RESMGR_TPM_RC_LAYER:
        return emk_fail(e, status_of_tpm(rc & ~TSS2_RC_LAYER_MASK), what, rc);
    default:
        if ((rc & ~TSS2_RC_LAYER_MASK) == TSS2_BASE_RC_MEMORY)
            return emk_fail(e, EMK_E_NO_MEMORY, what, rc);
        return emk_fail(e, EMK_E_IO, what, rc);
    }
}

emk_status emk_tpm2_link_plain(const char *tcti, emk_tpm2_link *l, emk_error *e)
{
    emk_tpm2_link fresh = {.lock = -1,
                           .srk = ESYS_TR_NONE,
                           .session = ESYS_TR_NONE,
                           .policy = ESYS_TR_NONE,
                           .key = ESYS_TR_NONE};
    TSS2_RC rc;

    *l = fresh;
    rc = Tss2_TctiLdr_Initialize(tcti ? tcti : EMK_TPM2_TCTI, &l->tcti);
    if (rc)
        return emk_fail(e, EMK_E_IO, "tpm2: there is no TPM", rc);
    rc = Esys_Initialize(&l->esys, l->tcti, NULL);
    if (rc) {
        Tss2_TctiLdr_Finalize(&l->tcti);
        return emk_tpm2_fail(e, rc, "tpm2: the TPM does not start");
    }
    return EMK_OK;
}

void emk_tpm2_link_close(emk_tpm2_link *l)
{
    const ESYS_TR loaded[] = {l->key, l->policy, l->session, l->srk};

    if (!l->esys)
        return;
    for (size_t i = 0; i < sizeof loaded / sizeof loaded[0]; i++) {
        if (loaded[i] != ESYS_TR_NONE)
            (void)Esys_FlushContext(l->esys, loaded[i]); /* gone with the TPM, or flushed */
    }
    Esys_Finalize(&l->esys);
    Tss2_TctiLdr_Finalize(&l->tcti);
    emk_os_close(l->lock);
}

emk_status emk_tpm2_link_hide(emk_tpm2_link *l, ESYS_TR session, TPMA_SESSION which, emk_error *e)
{
    TSS2_RC rc;

    rc = Esys_TRSess_SetAttributes(l->esys, session, TPMA_SESSION_CONTINUESESSION | which, 0xFF);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: session") : EMK_OK;
}

/* The storage key comes from the owner's seed and this template alone, so it is the same each
 * time until the TPM is cleared. */
static TSS2_RC derive_srk(emk_tpm2_link *l)
{
    static const TPM2B_SENSITIVE_CREATE sensitive = {0};
    static const TPM2B_DATA outside = {0};
    static const TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC in = {0};
    TPMT_PUBLIC *p = &in.publicArea;

    p->type = TPM2_ALG_ECC;
    p->nameAlg = TPM2_ALG_SHA256;
    p->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                          TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                          TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    p->parameters.eccDetail.symmetric.algorithm = TPM2_ALG_AES;
    p->parameters.eccDetail.symmetric.keyBits.aes = 128;
    p->parameters.eccDetail.symmetric.mode.aes = TPM2_ALG_CFB;
    p->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
    p->parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
    p->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    return Esys_CreatePrimary(l->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                              ESYS_TR_NONE, &sensitive, &in, &outside, &pcrs, &l->srk, NULL, NULL,
                              NULL, NULL);
}

static emk_status get_srk(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    TPMS_CONTEXT *saved = NULL;
    TSS2_RC rc;

    if (t->srk_saved && Esys_ContextLoad(l->esys, &t->srk, &l->srk) == TSS2_RC_SUCCESS)
        return EMK_OK;
    l->srk = ESYS_TR_NONE; /* the TPM was started anew, or cleared: it will be told apart */
    t->srk_saved = false;
    rc = derive_srk(l);
    if (rc) {
        l->srk = ESYS_TR_NONE;
        return emk_tpm2_fail(e, rc, "tpm2: cannot derive the storage key");
    }
    if (Esys_ContextSave(l->esys, l->srk, &saved) == TSS2_RC_SUCCESS) {
        t->srk = *saved;
        t->srk_saved = true;
    }
    Esys_Free(saved);
    return EMK_OK;
}

static emk_status check_srk(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    TPM2B_NAME *name = NULL;
    emk_status st = EMK_OK;
    TSS2_RC rc;

    rc = Esys_TR_GetName(l->esys, l->srk, &name);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: storage key");
    if (name->size != EMK_TPM2_SRK_LEN)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: storage key", name->size);
    else if (!t->srk_known)
        memcpy(t->keys.srk, name->name, EMK_TPM2_SRK_LEN);
    else if (memcmp(t->keys.srk, name->name, EMK_TPM2_SRK_LEN) != 0)
        st = emk_fail(e, EMK_E_KEY_LOST, "tpm2: the TPM was cleared, or is another one", 0);
    Esys_Free(name);
    if (st == EMK_OK)
        t->srk_known = true;
    return st;
}

emk_status emk_tpm2_link_session(emk_tpm2_link *l, ESYS_TR *session, emk_error *e)
{
    TSS2_RC rc =
        Esys_StartAuthSession(l->esys, l->srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256, session);

    if (rc == 0)
        return EMK_OK;
    *session = ESYS_TR_NONE;
    return emk_tpm2_fail(e, rc, "tpm2: session");
}

emk_status emk_tpm2_link_open(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    emk_status st;
    int lock;

    st = emk_tpm2_lock(t, true, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_tpm2_link_plain(t->tcti, l, e);
    if (st != EMK_OK) {
        emk_os_close(lock);
        return st;
    }
    l->lock = lock;
    st = get_srk(t, l, e);
    if (st == EMK_OK)
        st = check_srk(t, l, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_session(l, &l->session, e);
    if (st != EMK_OK)
        emk_tpm2_link_close(l);
    return st;
}
