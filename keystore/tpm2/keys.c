/* The keys, and the file `keys` that holds their blobs:
 *
 *    0   4  magic "EMKP"
 *    4   1  version 01
 *    5   1  guard: 00 the TPM, 01 a PIN, 02 a signed policy
 *    6   2  zero
 *    8  34  name of the storage key
 *   42   4  index of the anchor
 *   46  65  the authority's public key; zeros without
 *  111      four times (signing, agreement, attestation, store):
 *             64 x || y, of the store a digest and zeros; 2 length; so many bytes, private
 *   end 32  HMAC under the store key over all before
 *
 * A public part is not stored but built from its role: a blob that is more or less than we
 * make does not load. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/reader.h"
#include "core/base/writer.h"
#include "keystore/tpm2/internal.h"

#define MAGIC     0x454D4B50u
#define VERSION   1u
#define MAC_LEN   32u
#define FILE_MAX  (111u + EMK_TPM2_ROLES * (66u + EMK_TPM2_PRIVATE_MAX) + MAC_LEN)
#define MAC_LABEL "earmark/1 tpm2 keys"

static TPMA_OBJECT attributes(emk_tpm2_guard guard, emk_tpm2_role role)
{
    static const TPMA_OBJECT of_role[EMK_TPM2_ROLES] = {
        [EMK_TPM2_SIGNING] = TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_SIGN_ENCRYPT,
        [EMK_TPM2_AGREEMENT] = TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_DECRYPT,
        [EMK_TPM2_ATTESTATION] =
            TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_RESTRICTED,
    };
    /* Only a PIN can be guessed: without one, other people's wrong guesses must not lock us. */
    static const TPMA_OBJECT of_guard[] = {
        [EMK_TPM2_BY_TPM] = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
        [EMK_TPM2_BY_PIN] = TPMA_OBJECT_USERWITHAUTH,
        [EMK_TPM2_BY_POLICY] = TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_NODA,
    };

    return TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | of_role[role] | of_guard[guard];
}

static void make_template(const emk_tpm2_keys *k, emk_tpm2_role role, TPM2B_PUBLIC *out)
{
    TPMT_PUBLIC *p = &out->publicArea;
    TPMS_ECC_PARMS *ecc = &p->parameters.eccDetail;

    memset(out, 0, sizeof *out);
    p->nameAlg = TPM2_ALG_SHA256;
    p->objectAttributes = attributes(k->guard, role);
    if (k->guard == EMK_TPM2_BY_POLICY) {
        p->authPolicy.size = sizeof k->auth_policy;
        memcpy(p->authPolicy.buffer, k->auth_policy, sizeof k->auth_policy);
    }
    if (role == EMK_TPM2_STORE) {
        p->type = TPM2_ALG_KEYEDHASH;
        p->parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
        return;
    }
    p->type = TPM2_ALG_ECC;
    ecc->symmetric.algorithm = TPM2_ALG_NULL;
    ecc->scheme.scheme = TPM2_ALG_NULL;
    if (role != EMK_TPM2_AGREEMENT) {
        ecc->scheme.scheme = TPM2_ALG_ECDSA;
        ecc->scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
    }
    ecc->curveID = TPM2_ECC_NIST_P256;
    ecc->kdf.scheme = TPM2_ALG_NULL;
}

static emk_status take_unique(const TPMT_PUBLIC *p, emk_tpm2_role role, uint8_t out[64],
                              emk_error *e)
{
    const TPMS_ECC_POINT *at = &p->unique.ecc;

    memset(out, 0, 64);
    if (role == EMK_TPM2_STORE) {
        if (p->unique.keyedHash.size != 32)
            return emk_fail(e, EMK_E_IO, "tpm2: odd answer", p->unique.keyedHash.size);
        memcpy(out, p->unique.keyedHash.buffer, 32);
        return EMK_OK;
    }
    if (at->x.size > 32 || at->y.size > 32)
        return emk_fail(e, EMK_E_IO, "tpm2: odd answer", at->x.size);
    memcpy(out + 32 - at->x.size, at->x.buffer, at->x.size);
    memcpy(out + 64 - at->y.size, at->y.buffer, at->y.size);
    return EMK_OK;
}

static void give_unique(const uint8_t unique[64], emk_tpm2_role role, TPMT_PUBLIC *p)
{
    if (role == EMK_TPM2_STORE) {
        p->unique.keyedHash.size = 32;
        memcpy(p->unique.keyedHash.buffer, unique, 32);
        return;
    }
    p->unique.ecc.x.size = 32;
    memcpy(p->unique.ecc.x.buffer, unique, 32);
    p->unique.ecc.y.size = 32;
    memcpy(p->unique.ecc.y.buffer, unique + 32, 32);
}

static emk_status keep_blob(emk_tpm2 *t, emk_tpm2_role role, const TPM2B_PUBLIC *pub,
                            const TPM2B_PRIVATE *priv, emk_error *e)
{
    emk_tpm2_blob *b = &t->keys.blobs[role];

    if (priv->size > sizeof b->private_part)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: private blob is too long", priv->size);
    b->private_len = priv->size;
    memcpy(b->private_part, priv->buffer, priv->size);
    return take_unique(&pub->publicArea, role, b->unique, e);
}

emk_status emk_tpm2_blob_make(emk_tpm2 *t, emk_tpm2_link *l, emk_tpm2_role role, emk_span data,
                              emk_error *e)
{
    static const TPM2B_DATA outside = {0};
    static const TPML_PCR_SELECTION pcrs = {0};
    TPM2B_SENSITIVE_CREATE in = {0};
    TPM2B_PUBLIC template, *pub = NULL;
    TPM2B_PRIVATE *priv = NULL;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_link_hide(l, l->session, TPMA_SESSION_DECRYPT, e);
    if (st != EMK_OK)
        return st;
    make_template(&t->keys, role, &template);
    in.sensitive.data.size = (uint16_t)data.len; /* 32 at most */
    memcpy(in.sensitive.data.buffer, data.p ? data.p : (const uint8_t *)"", data.len);
    if (t->pin) {
        in.sensitive.userAuth.size = (uint16_t)emk_secret_len(t->pin);
        memcpy(in.sensitive.userAuth.buffer, emk_secret_span(t->pin).p, emk_secret_len(t->pin));
    }
    rc = Esys_Create(l->esys, l->srk, l->session, ESYS_TR_NONE, ESYS_TR_NONE, &in, &template,
                     &outside, &pcrs, &priv, &pub, NULL, NULL, NULL);
    emk_wipe(&in, sizeof in);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: cannot make a key");
    st = keep_blob(t, role, pub, priv, e);
    Esys_Free(pub);
    Esys_Free(priv);
    return st;
}

static TSS2_RC load(emk_tpm2 *t, emk_tpm2_link *l, emk_tpm2_role role)
{
    const emk_tpm2_blob *b = &t->keys.blobs[role];
    TPM2B_PRIVATE priv = {.size = b->private_len};
    TPM2B_AUTH pin = {0};
    TPM2B_PUBLIC pub;
    TSS2_RC rc;

    make_template(&t->keys, role, &pub);
    give_unique(b->unique, role, &pub.publicArea);
    memcpy(priv.buffer, b->private_part, b->private_len);
    rc = Esys_Load(l->esys, l->srk, l->session, ESYS_TR_NONE, ESYS_TR_NONE, &priv, &pub, &l->key);
    if (rc) {
        l->key = ESYS_TR_NONE;
        return rc;
    }
    if (!t->pin)
        return TSS2_RC_SUCCESS;
    pin.size = (uint16_t)emk_secret_len(t->pin);
    memcpy(pin.buffer, emk_secret_span(t->pin).p, pin.size);
    rc = Esys_TR_SetAuth(l->esys, l->key, &pin);
    emk_wipe(&pin, sizeof pin);
    return rc;
}

emk_status emk_tpm2_blob_use(emk_tpm2 *t, emk_tpm2_link *l, emk_tpm2_role role, ESYS_TR *session,
                             emk_error *e)
{
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_link_hide(l, l->session, TPMA_SESSION_DECRYPT, e);
    if (st != EMK_OK)
        return st;
    /* Before the key: both need a slot for keys, and a TPM may have only three. */
    if (t->keys.guard == EMK_TPM2_BY_POLICY) {
        st = emk_tpm2_policy_start(t, l, e);
        if (st != EMK_OK)
            return st;
    }
    rc = load(t, l, role);
    if (rc) {
        st = emk_tpm2_fail(e, rc, "tpm2: cannot load a key");
        /* The storage key is the right one, so a blob that it refuses is damaged. */
        return st == EMK_E_IO && (rc & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER && (rc & 0x080u)
                   ? emk_fail(e, EMK_E_SEALED, "tpm2: a key is damaged", rc)
                   : st;
    }
    *session = t->keys.guard == EMK_TPM2_BY_POLICY ? l->policy : l->session;
    return EMK_OK;
}

void emk_tpm2_public(const emk_tpm2_keys *k, emk_tpm2_role role, uint8_t pub[65])
{
    pub[0] = 4;
    memcpy(pub + 1, k->blobs[role].unique, 64);
}

/* As make_template and give_unique say it, in the bytes that a Name is made of. */
size_t emk_tpm2_public_wire(const emk_tpm2_keys *k, emk_tpm2_role role,
                            uint8_t out[EMK_TPM2_PUBLIC_MAX])
{
    bool policy = k->guard == EMK_TPM2_BY_POLICY;
    emk_writer w;

    emk_writer_init(&w, out, EMK_TPM2_PUBLIC_MAX);
    emk_write_u16be(&w, TPM2_ALG_ECC);
    emk_write_u16be(&w, TPM2_ALG_SHA256);
    emk_write_u32be(&w, attributes(k->guard, role));
    emk_write_u16be(&w, policy ? sizeof k->auth_policy : 0);
    emk_write_bytes(&w, emk_span_of(k->auth_policy, policy ? sizeof k->auth_policy : 0));
    emk_write_u16be(&w, TPM2_ALG_NULL); /* symmetric */
    emk_write_u16be(&w, role == EMK_TPM2_AGREEMENT ? TPM2_ALG_NULL : TPM2_ALG_ECDSA);
    if (role != EMK_TPM2_AGREEMENT)
        emk_write_u16be(&w, TPM2_ALG_SHA256);
    emk_write_u16be(&w, TPM2_ECC_NIST_P256);
    emk_write_u16be(&w, TPM2_ALG_NULL); /* key derivation */
    for (size_t i = 0; i < 2; i++) {
        emk_write_u16be(&w, 32);
        emk_write_bytes(&w, emk_span_of(k->blobs[role].unique + 32 * i, 32));
    }
    return w.pos;
}

static size_t put_keys(const emk_tpm2_keys *k, uint8_t file[FILE_MAX])
{
    emk_writer w;

    emk_writer_init(&w, file, FILE_MAX);
    emk_write_u32be(&w, MAGIC);
    emk_write_u8(&w, VERSION);
    emk_write_u8(&w, (uint8_t)k->guard);
    emk_write_u16be(&w, 0);
    emk_write_bytes(&w, emk_span_of(k->srk, sizeof k->srk));
    emk_write_u32be(&w, k->nv);
    emk_write_bytes(&w, emk_span_of(k->authority, sizeof k->authority));
    for (size_t i = 0; i < EMK_TPM2_ROLES; i++) {
        emk_write_bytes(&w, emk_span_of(k->blobs[i].unique, sizeof k->blobs[i].unique));
        emk_write_u16be(&w, k->blobs[i].private_len);
        emk_write_bytes(&w, emk_span_of(k->blobs[i].private_part, k->blobs[i].private_len));
    }
    return w.pos;
}

emk_status emk_tpm2_keys_write(const emk_tpm2 *t, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    uint8_t file[FILE_MAX];
    size_t len = put_keys(&t->keys, file);
    emk_status st;

    st = emk_tpm2_path(t, EMK_TPM2_KEYS_FILE, path, e);
    if (st == EMK_OK)
        st = emk_tpm2_mac(t, MAC_LABEL, emk_span_of(file, len), file + len, e);
    if (st != EMK_OK)
        return st;
    return emk_os_write_file(path, emk_span_of(file, len + MAC_LEN), e);
}

static emk_status damaged(emk_error *e, uint64_t where)
{
    return emk_fail(e, EMK_E_SEALED, "tpm2: the key file is damaged", where);
}

static void get_blob(emk_reader *r, emk_tpm2_blob *b)
{
    emk_read_copy(r, b->unique, sizeof b->unique);
    b->private_len = emk_read_u16be(r);
    if (b->private_len > sizeof b->private_part)
        r->cut = true;
    else
        emk_read_copy(r, b->private_part, b->private_len);
}

static emk_status get_keys(emk_span file, emk_tpm2_keys *out, emk_error *e)
{
    emk_tpm2_keys k = {0};
    emk_reader r;
    uint32_t magic;
    uint8_t version, guard;
    uint16_t zero;

    emk_reader_init(&r, file);
    magic = emk_read_u32be(&r);
    version = emk_read_u8(&r);
    guard = emk_read_u8(&r);
    zero = emk_read_u16be(&r);
    emk_read_copy(&r, k.srk, sizeof k.srk);
    k.nv = emk_read_u32be(&r);
    emk_read_copy(&r, k.authority, sizeof k.authority);
    if (r.cut || magic != MAGIC)
        return damaged(e, r.pos);
    if (version != VERSION)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: version of the key file", version);
    if (guard > EMK_TPM2_BY_POLICY || zero != 0)
        return damaged(e, 5);
    k.guard = (emk_tpm2_guard)guard;
    for (size_t i = 0; i < EMK_TPM2_ROLES && !r.cut; i++)
        get_blob(&r, &k.blobs[i]);
    if (r.cut || emk_reader_left(&r) != MAC_LEN)
        return damaged(e, r.pos);
    *out = k;
    return EMK_OK;
}

static emk_status check_mac(const emk_tpm2 *t, emk_span file, emk_error *e)
{
    size_t len = file.len - MAC_LEN;
    uint8_t mac[MAC_LEN];
    emk_status st;

    st = emk_tpm2_mac(t, MAC_LABEL, emk_span_of(file.p, len), mac, e);
    if (st != EMK_OK)
        return st;
    return emk_ct_equal(mac, file.p + len, MAC_LEN) ? EMK_OK : damaged(e, len);
}

emk_status emk_tpm2_keys_read(emk_tpm2 *t, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_tpm2_keys keys = {0};
    emk_buf file;
    emk_status st;

    st = emk_tpm2_path(t, EMK_TPM2_KEYS_FILE, path, e);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&file, FILE_MAX);
    st = emk_os_read_file(path, FILE_MAX, &file, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, EMK_E_KEY_LOST, "tpm2: there are no keys in this directory", 0);
    if (st == EMK_E_LIMIT)
        return damaged(e, FILE_MAX);
    if (st == EMK_OK)
        st = get_keys(emk_buf_span(&file), &keys, e);
    if (st == EMK_OK && t->store)
        st = check_mac(t, emk_buf_span(&file), e);
    emk_buf_done(&file);
    if (st == EMK_OK && keys.guard == EMK_TPM2_BY_POLICY)
        st = emk_tpm2_auth_policy(t->crypto, keys.authority, keys.auth_policy, e);
    if (st != EMK_OK)
        return st;
    t->keys = keys;
    t->srk_known = true;
    return EMK_OK;
}
