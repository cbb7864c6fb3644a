/* What a server wants to see before it believes that keys are in a TPM.  The endorsement key is
 * derived anew for each activation, from the template that its certificate was issued for, and
 * flushed: it takes a slot for keys, and some chips have three. */
#include "core/base/secret.h"
#include "core/base/writer.h"
#include "keystore/tpm2/internal.h"

#define NV_CHUNK 512u /* bytes in one command: every TPM takes that */

/* --- kinds of endorsement keys ---------------------------------------------------------------- */

/* What tells the templates of the TCG EK credential profile apart.  Those of the low range are
 * used under a policy; those of the high range have the empty password as well. */
typedef struct ek_kind {
    uint32_t nv;       /* where the certificate is [2.2.1.4, 2.2.1.5] */
    TPM2_ALG_ID type;  /* RSA or ECC */
    uint16_t rsa_bits; /* or */
    TPM2_ECC_CURVE curve;
    TPM2_ALG_ID hash;
    bool high;
} ek_kind;

/* In the order in which certificates are looked for: those that most chips have come first. */
static const ek_kind EK_KINDS[] = {
    {0x01C00002u, TPM2_ALG_RSA, 2048, 0, TPM2_ALG_SHA256, false},               /* L-1 */
    {0x01C0000Au, TPM2_ALG_ECC, 0, TPM2_ECC_NIST_P256, TPM2_ALG_SHA256, false}, /* L-2 */
    {0x01C00016u, TPM2_ALG_ECC, 0, TPM2_ECC_NIST_P384, TPM2_ALG_SHA384, true},  /* H-3 */
    {0x01C0001Cu, TPM2_ALG_RSA, 3072, 0, TPM2_ALG_SHA384, true},                /* H-6 */
    {0x01C0001Eu, TPM2_ALG_RSA, 4096, 0, TPM2_ALG_SHA384, true},                /* H-7 */
    {0x01C00014u, TPM2_ALG_ECC, 0, TPM2_ECC_NIST_P256, TPM2_ALG_SHA256, true},  /* H-2 */
    {0x01C00012u, TPM2_ALG_RSA, 2048, 0, TPM2_ALG_SHA256, true},                /* H-1 */
};
#define N_EK_KINDS (sizeof EK_KINDS / sizeof EK_KINDS[0])

/* --- the certificate ------------------------------------------------------------------------- */

static emk_status nv_size(emk_tpm2_link *l, ESYS_TR nv, size_t *len, emk_error *e)
{
    TPM2B_NV_PUBLIC *pub = NULL;
    TSS2_RC rc =
        Esys_NV_ReadPublic(l->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &pub, NULL);

    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: endorsement certificate");
    *len = pub->nvPublic.dataSize;
    Esys_Free(pub);
    if (*len > EMK_TPM2_EK_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm2: endorsement certificate", *len);
    return EMK_OK;
}

static emk_status nv_append(emk_tpm2_link *l, ESYS_TR nv, size_t len, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t at = 0; at < len && st == EMK_OK;) {
        uint16_t n = (uint16_t)(len - at < NV_CHUNK ? len - at : NV_CHUNK);
        TPM2B_MAX_NV_BUFFER *data = NULL;
        TSS2_RC rc = Esys_NV_Read(l->esys, nv, nv, l->session, ESYS_TR_NONE, ESYS_TR_NONE, n,
                                  (uint16_t)at, &data);

        if (rc)
            return emk_tpm2_fail(e, rc, "tpm2: endorsement certificate");
        if (data->size == n)
            st = emk_buf_append(out, emk_span_of(data->buffer, n), e);
        else
            st = emk_fail(e, EMK_E_IO, "tpm2: odd answer", data->size);
        Esys_Free(data);
        at += n;
    }
    return st;
}

/* EMK_E_NOT_FOUND when there is no such index. */
static emk_status nv_open(emk_tpm2_link *l, uint32_t index, ESYS_TR *nv, emk_error *e)
{
    TSS2_RC rc =
        Esys_TR_FromTPMPublic(l->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, nv);

    if (rc == 0)
        return EMK_OK;
    *nv = ESYS_TR_NONE;
    if ((rc & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER && (rc & 0x0BFu) == TPM2_RC_HANDLE)
        return emk_fail(e, EMK_E_NOT_FOUND, "tpm2: no endorsement certificate in this TPM", index);
    return emk_tpm2_fail(e, rc, "tpm2: endorsement certificate");
}

static emk_status read_index(emk_tpm2_link *l, uint32_t index, emk_buf *out, emk_error *e)
{
    size_t before = out->len, len = 0;
    ESYS_TR nv;
    emk_status st = nv_open(l, index, &nv, e);

    if (st != EMK_OK)
        return st;
    st = nv_size(l, nv, &len, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_hide(l, l->session, 0, e);
    if (st == EMK_OK)
        st = nv_append(l, nv, len, out, e);
    if (st != EMK_OK)
        out->len = before;
    (void)Esys_TR_Close(l->esys, &nv);
    return st;
}

emk_status emk_tpm2_ek_certificate(const emk_keystore *ks, emk_buf *out, emk_error *e)
{
    emk_tpm2 *t = emk_tpm2_of(ks, e);
    emk_tpm2_link l;
    emk_status st;

    if (!t)
        return EMK_E_USAGE;
    st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = EMK_E_NOT_FOUND;
    for (size_t i = 0; i < N_EK_KINDS && st == EMK_E_NOT_FOUND; i++)
        st = read_index(&l, EK_KINDS[i].nv, out, e);
    emk_tpm2_link_close(&l);
    return st;
}

/* --- the attestation key ---------------------------------------------------------------------- */

emk_status emk_tpm2_ak_public(const emk_keystore *ks, uint8_t out[EMK_TPM2_PUBLIC_MAX], size_t *len,
                              emk_error *e)
{
    const emk_tpm2 *t = emk_tpm2_of(ks, e);

    if (!t)
        return EMK_E_USAGE;
    *len = emk_tpm2_public_wire(&t->keys, EMK_TPM2_ATTESTATION, out);
    return EMK_OK;
}

/* A TPM wants the ADMIN role for these, and for keys under a policy that is another policy than
 * the one which lets them sign. */
static emk_status check_guard(const emk_tpm2 *t, emk_error *e)
{
    if (t->keys.guard == EMK_TPM2_BY_POLICY)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: keys under a signed policy do not attest", 0);
    return EMK_OK;
}

/* --- activation ------------------------------------------------------------------------------- */

/* What the templates allow: the endorsement hierarchy's policy, PolicyA [B.6.2]; or that or an
 * index of the owner's, PolicyB [B.6.3]. */
static void ek_policy(const ek_kind *kind, TPM2B_DIGEST *out)
{
    static const uint8_t A[] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                                0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                                0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};
    static const uint8_t B_SHA256[] = {0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06,
                                       0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3,
                                       0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90,
                                       0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0};
    static const uint8_t B_SHA384[] = {0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8,
                                       0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07, 0x41, 0x48, 0xbb,
                                       0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4,
                                       0x19, 0xca, 0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15,
                                       0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12};
    bool sha384 = kind->hash == TPM2_ALG_SHA384;

    out->size = sha384 ? sizeof B_SHA384 : sizeof A;
    memcpy(out->buffer, !kind->high ? A : sha384 ? B_SHA384 : B_SHA256, out->size);
}

/* Those of the low range have zeros where a key's value will be, those of the high range nothing.
 */
static void ek_template(const ek_kind *kind, TPM2B_PUBLIC *out)
{
    const TPMT_SYM_DEF_OBJECT aes = {.algorithm = TPM2_ALG_AES,
                                     .keyBits = {.aes = kind->hash == TPM2_ALG_SHA384 ? 256 : 128},
                                     .mode = {.aes = TPM2_ALG_CFB}};
    TPMT_PUBLIC *p = &out->publicArea;

    memset(out, 0, sizeof *out);
    p->type = kind->type;
    p->nameAlg = kind->hash;
    p->objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                          TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
                          TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
                          (kind->high ? TPMA_OBJECT_USERWITHAUTH : 0);
    ek_policy(kind, &p->authPolicy);
    if (kind->type == TPM2_ALG_RSA) {
        p->parameters.rsaDetail.symmetric = aes;
        p->parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
        p->parameters.rsaDetail.keyBits = kind->rsa_bits;
        p->unique.rsa.size = kind->high ? 0 : kind->rsa_bits / 8;
        return;
    }
    p->parameters.eccDetail.symmetric = aes;
    p->parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
    p->parameters.eccDetail.curveID = kind->curve;
    p->parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    p->unique.ecc.x.size = kind->high ? 0 : 32;
    p->unique.ecc.y.size = kind->high ? 0 : 32;
}

static emk_status ek_make(emk_tpm2_link *l, const ek_kind *kind, ESYS_TR *ek, emk_error *e)
{
    static const TPM2B_SENSITIVE_CREATE sensitive = {0};
    static const TPM2B_DATA outside = {0};
    static const TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC in;
    TSS2_RC rc;

    ek_template(kind, &in);
    rc = Esys_CreatePrimary(l->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                            ESYS_TR_NONE, &sensitive, &in, &outside, &pcrs, ek, NULL, NULL, NULL,
                            NULL);
    if (rc == 0)
        return EMK_OK;
    *ek = ESYS_TR_NONE;
    return emk_tpm2_fail(e, rc, "tpm2: cannot derive the endorsement key");
}

/* Gives what authorises the use of such a key: its empty password, or a session with the policy
 * that whoever may use the endorsement hierarchy satisfies. */
static emk_status ek_session(emk_tpm2_link *l, const ek_kind *kind, ESYS_TR *session, emk_error *e)
{
    static const TPMT_SYM_DEF plain = {.algorithm = TPM2_ALG_NULL};
    TSS2_RC rc;

    *session = ESYS_TR_PASSWORD;
    if (kind->high)
        return EMK_OK;
    rc =
        Esys_StartAuthSession(l->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &plain, TPM2_ALG_SHA256, session);
    if (rc) {
        *session = ESYS_TR_NONE;
        return emk_tpm2_fail(e, rc, "tpm2: session");
    }
    rc = Esys_PolicySecret(l->esys, ESYS_TR_RH_ENDORSEMENT, *session, ESYS_TR_PASSWORD,
                           ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: endorsement hierarchy") : EMK_OK;
}

typedef struct credential {
    TPM2B_ID_OBJECT object;
    TPM2B_ENCRYPTED_SECRET secret;
} credential;

/* An endorsement key while it is loaded. */
typedef struct loaded_ek {
    const ek_kind *kind;
    ESYS_TR key;
} loaded_ek;

static emk_status open_credential(emk_tpm2_link *l, ESYS_TR ak_session, const loaded_ek *ek,
                                  const credential *in, TPM2B_DIGEST **out, emk_error *e)
{
    ESYS_TR session;
    emk_status st;
    TSS2_RC rc;

    st = ek_session(l, ek->kind, &session, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_hide(l, ak_session, TPMA_SESSION_ENCRYPT, e);
    if (st == EMK_OK) {
        rc = Esys_ActivateCredential(l->esys, l->key, ek->key, ak_session, session, ESYS_TR_NONE,
                                     &in->object, &in->secret, out);
        if (rc) {
            st = emk_tpm2_fail(e, rc, "tpm2: cannot activate");
            /* Whatever the TPM calls it: a credential for another key, or damaged. */
            if (st == EMK_E_IO && (rc & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER && (rc & 0x080u))
                st = emk_fail(e, EMK_E_SEALED, "tpm2: credential is for another TPM or key", rc);
        }
    }
    if (session != ESYS_TR_NONE && session != ESYS_TR_PASSWORD)
        (void)Esys_FlushContext(l->esys, session); /* gone, or flushed */
    return st;
}

/* The kind whose certificate emk_tpm2_ek_certificate gives. */
static emk_status find_ek(emk_tpm2_link *l, const ek_kind **out, emk_error *e)
{
    emk_status st = EMK_E_NOT_FOUND;
    ESYS_TR nv;

    for (size_t i = 0; i < N_EK_KINDS && st == EMK_E_NOT_FOUND; i++) {
        st = nv_open(l, EK_KINDS[i].nv, &nv, e);
        *out = &EK_KINDS[i];
    }
    if (st == EMK_OK)
        (void)Esys_TR_Close(l->esys, &nv);
    return st;
}

static emk_status activate(emk_tpm2 *t, emk_tpm2_link *l, const credential *in, TPM2B_DIGEST **out,
                           emk_error *e)
{
    loaded_ek ek;
    ESYS_TR session;
    emk_status st = find_ek(l, &ek.kind, e);

    if (st == EMK_OK)
        st = emk_tpm2_blob_use(t, l, EMK_TPM2_ATTESTATION, &session, e);
    if (st == EMK_OK)
        st = ek_make(l, ek.kind, &ek.key, e);
    if (st != EMK_OK)
        return st;
    st = open_credential(l, session, &ek, in, out, e);
    (void)Esys_FlushContext(l->esys, ek.key);
    return st;
}

emk_status emk_tpm2_activate(const emk_keystore *ks, emk_span id_object, emk_span enc_secret,
                             uint8_t secret[EMK_TPM2_CREDENTIAL_MAX], size_t *len, emk_error *e)
{
    emk_tpm2 *t = emk_tpm2_of(ks, e);
    TPM2B_DIGEST *opened = NULL;
    credential in = {0};
    emk_tpm2_link l;
    emk_status st;

    if (!t)
        return EMK_E_USAGE;
    if (id_object.len > sizeof in.object.credential || enc_secret.len > sizeof in.secret.secret)
        return emk_fail(e, EMK_E_SEALED, "tpm2: credential is too long", id_object.len);
    in.object.size = (uint16_t)id_object.len;
    memcpy(in.object.credential, id_object.p, id_object.len);
    in.secret.size = (uint16_t)enc_secret.len;
    memcpy(in.secret.secret, enc_secret.p, enc_secret.len);
    st = check_guard(t, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = activate(t, &l, &in, &opened, e);
    emk_tpm2_link_close(&l);
    if (st != EMK_OK)
        return st;
    if (opened->size <= EMK_TPM2_CREDENTIAL_MAX) {
        memcpy(secret, opened->buffer, opened->size);
        *len = opened->size;
    } else {
        st = emk_fail(e, EMK_E_IO, "tpm2: odd answer", opened->size);
    }
    emk_wipe(opened, sizeof *opened);
    Esys_Free(opened);
    return st;
}

/* --- certified keys --------------------------------------------------------------------------- */

void emk_tpm2_sig_wire(const uint8_t sig[64], uint8_t out[EMK_TPM2_SIG_LEN])
{
    emk_writer w;

    emk_writer_init(&w, out, EMK_TPM2_SIG_LEN);
    emk_write_u16be(&w, TPM2_ALG_ECDSA);
    emk_write_u16be(&w, TPM2_ALG_SHA256);
    for (size_t i = 0; i < 2; i++) {
        emk_write_u16be(&w, 32);
        emk_write_bytes(&w, emk_span_of(sig + 32 * i, 32));
    }
}

static emk_status take_certified(const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *sig,
                                 emk_tpm2_certified *out, emk_error *e)
{
    uint8_t raw[64];
    emk_status st;

    if (attest->size > sizeof out->attest)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: attestation is too long", attest->size);
    st = emk_tpm2_take_signature(sig, raw, e);
    if (st != EMK_OK)
        return st;
    emk_tpm2_sig_wire(raw, out->sig);
    memcpy(out->attest, attest->attestationData, attest->size);
    out->attest_len = attest->size;
    return EMK_OK;
}

/* A command takes each session once, and a PIN must not go to the TPM in the clear: hence two. */
static emk_status certify_with(emk_tpm2_link *l, ESYS_TR object, const TPM2B_DATA *nonce,
                               emk_tpm2_certified *out, emk_error *e)
{
    static const TPMT_SIG_SCHEME of_key = {.scheme = TPM2_ALG_NULL};
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *sig = NULL;
    ESYS_TR second;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_link_session(l, &second, e);
    if (st != EMK_OK)
        return st;
    st = emk_tpm2_link_hide(l, l->session, 0, e);
    if (st == EMK_OK) {
        rc = Esys_Certify(l->esys, object, l->key, l->session, second, ESYS_TR_NONE, nonce, &of_key,
                          &attest, &sig);
        st =
            rc ? emk_tpm2_fail(e, rc, "tpm2: cannot certify") : take_certified(attest, sig, out, e);
        Esys_Free(attest);
        Esys_Free(sig);
    }
    (void)Esys_FlushContext(l->esys, second); /* gone, or flushed */
    return st;
}

static emk_status certify(emk_tpm2 *t, emk_tpm2_link *l, emk_tpm2_role role,
                          const TPM2B_DATA *nonce, emk_tpm2_certified *out, emk_error *e)
{
    ESYS_TR object, session;
    emk_status st;

    st = emk_tpm2_blob_use(t, l, role, &session, e);
    if (st != EMK_OK)
        return st;
    object = l->key;
    l->key = ESYS_TR_NONE;
    st = emk_tpm2_blob_use(t, l, EMK_TPM2_ATTESTATION, &session, e);
    if (st == EMK_OK)
        st = certify_with(l, object, nonce, out, e);
    (void)Esys_FlushContext(l->esys, object);
    return st;
}

emk_status emk_tpm2_certify(const emk_keystore *ks, emk_tpm2_key which, emk_span nonce,
                            emk_tpm2_certified *out, emk_error *e)
{
    emk_tpm2_role role = which == EMK_TPM2_KEY_SIGNING ? EMK_TPM2_SIGNING : EMK_TPM2_AGREEMENT;
    emk_tpm2 *t = emk_tpm2_of(ks, e);
    emk_tpm2_certified made = {0};
    TPM2B_DATA data = {0};
    emk_tpm2_link l;
    emk_status st;

    if (!t)
        return EMK_E_USAGE;
    if (nonce.len == 0 || nonce.len > EMK_TPM2_NONCE_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm2: length of the nonce", nonce.len);
    data.size = (uint16_t)nonce.len;
    memcpy(data.buffer, nonce.p, nonce.len);
    st = check_guard(t, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = certify(t, &l, role, &data, &made, e);
    emk_tpm2_link_close(&l);
    if (st != EMK_OK)
        return st;
    made.key_len = emk_tpm2_public_wire(&t->keys, role, made.key);
    *out = made;
    return EMK_OK;
}
