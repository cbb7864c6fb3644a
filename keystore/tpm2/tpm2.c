/* State: a holder that is open has the store key and the PIN in emk_secrets, the blobs of the
 * keys, and the storage key as the TPM saved it (sealed by the TPM).  Nothing is loaded in the
 * TPM between two calls. */
#include "keystore/tpm2/tpm2.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/crypto/dh.h"
#include "core/crypto/hash.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "keystore/tpm2/internal.h"

emk_status emk_tpm2_path(const emk_tpm2 *t, const char *name, char path[EMK_TPM2_PATH_MAX],
                         emk_error *e)
{
    return emk_os_join(path, EMK_TPM2_PATH_MAX, t->dir, name, "", e);
}

emk_status emk_tpm2_lock(const emk_tpm2 *t, bool wait, int *fd, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_status st = emk_tpm2_path(t, EMK_TPM2_LOCK_FILE, path, e);

    if (st != EMK_OK)
        return st;
    return emk_os_lock_file(path, wait, fd, e);
}

emk_status emk_tpm2_mac(const emk_tpm2 *t, const char *label, emk_span data, uint8_t mac[32],
                        emk_error *e)
{
    const emk_span parts[] = {emk_span_of(label, strlen(label) + 1), data};

    return emk_hmac_sha256(t->crypto, emk_secret_span(t->store), parts, 2, mac, e);
}

static const char *tpm2_describe(void *self)
{
    static const char *const texts[] = {
        [EMK_TPM2_BY_TPM] = "keys in a TPM 2.0",
        [EMK_TPM2_BY_PIN] = "keys in a TPM 2.0 under a PIN",
        [EMK_TPM2_BY_POLICY] = "keys in a TPM 2.0 under a signed PCR policy",
    };
    const emk_tpm2 *t = self;

    return texts[t->keys.guard];
}

static emk_status tpm2_public_keys(void *self, uint8_t signing[65], uint8_t agreement[65],
                                   emk_error *e)
{
    const emk_tpm2 *t = self;

    (void)e;
    emk_tpm2_public(&t->keys, EMK_TPM2_SIGNING, signing);
    emk_tpm2_public(&t->keys, EMK_TPM2_AGREEMENT, agreement);
    return EMK_OK;
}

emk_status emk_tpm2_take_signature(const TPMT_SIGNATURE *s, uint8_t sig[64], emk_error *e)
{
    const TPMS_SIGNATURE_ECC *ecdsa = &s->signature.ecdsa;
    size_t r = ecdsa->signatureR.size, n = ecdsa->signatureS.size;

    if (s->sigAlg != TPM2_ALG_ECDSA || r > 32 || n > 32)
        return emk_fail(e, EMK_E_IO, "tpm2: odd answer", s->sigAlg);
    memset(sig, 0, 64);
    memcpy(sig + 32 - r, ecdsa->signatureR.buffer, r);
    memcpy(sig + 64 - n, ecdsa->signatureS.buffer, n);
    return EMK_OK;
}

static emk_status sign_digest(emk_tpm2 *t, emk_tpm2_link *l, const TPM2B_DIGEST *digest,
                              uint8_t sig[64], emk_error *e)
{
    static const TPMT_SIG_SCHEME of_key = {.scheme = TPM2_ALG_NULL};
    static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK,
                                                .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE *made = NULL;
    ESYS_TR session;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_blob_use(t, l, EMK_TPM2_SIGNING, &session, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_hide(l, session, TPMA_SESSION_DECRYPT, e);
    if (st != EMK_OK)
        return st;
    rc = Esys_Sign(l->esys, l->key, session, ESYS_TR_NONE, ESYS_TR_NONE, digest, &of_key,
                   &no_ticket, &made);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: cannot sign");
    st = emk_tpm2_take_signature(made, sig, e);
    Esys_Free(made);
    return st;
}

static emk_status tpm2_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    TPM2B_DIGEST digest = {.size = 32};
    emk_tpm2 *t = self;
    emk_tpm2_link l;
    emk_status st;

    st = emk_sha256(t->crypto, &msg, 1, digest.buffer, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = sign_digest(t, &l, &digest, sig, e);
    emk_tpm2_link_close(&l);
    return st;
}

static emk_status multiply(emk_tpm2 *t, emk_tpm2_link *l, const TPM2B_ECC_POINT *peer,
                           uint8_t x[32], emk_error *e)
{
    TPM2B_ECC_POINT *made = NULL;
    ESYS_TR session;
    emk_status st;
    TSS2_RC rc;
    size_t len;

    st = emk_tpm2_blob_use(t, l, EMK_TPM2_AGREEMENT, &session, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_hide(l, session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, e);
    if (st != EMK_OK)
        return st;
    rc = Esys_ECDH_ZGen(l->esys, l->key, session, ESYS_TR_NONE, ESYS_TR_NONE, peer, &made);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: cannot agree");
    len = made->point.x.size;
    if (len <= 32) { /* some firmware drops leading zeros */
        memset(x, 0, 32);
        memcpy(x + 32 - len, made->point.x.buffer, len);
    } else {
        st = emk_fail(e, EMK_E_IO, "tpm2: odd answer", len);
    }
    emk_wipe(made, sizeof *made);
    Esys_Free(made);
    return st;
}

static emk_status tpm2_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    TPM2B_ECC_POINT in = {0};
    emk_tpm2 *t = self;
    emk_tpm2_link l;
    emk_status st;

    in.point.x.size = 32;
    memcpy(in.point.x.buffer, peer + 1, 32);
    in.point.y.size = 32;
    memcpy(in.point.y.buffer, peer + 33, 32);
    st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = multiply(t, &l, &in, x, e);
    emk_tpm2_link_close(&l);
    return st;
}

static emk_status tpm2_counter_get(void *self, const uint8_t id[16], uint64_t *value, emk_error *e)
{
    const emk_tpm2_entry x = {.kind = EMK_TPM2_COUNTER, .id = id};
    uint8_t bytes[EMK_KEYSTORE_SECRET_MAX];
    size_t len = 0;
    emk_status st;

    st = emk_tpm2_state_get(self, &x, bytes, &len, e);
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    if (st == EMK_OK && len != 8)
        return emk_fail(e, EMK_E_SEALED, "tpm2: the state file is damaged", len);
    *value = st == EMK_OK ? emk_load_u64be(bytes) : 0;
    return EMK_OK;
}

static emk_status tpm2_counter_set(void *self, const uint8_t id[16], uint64_t value, emk_error *e)
{
    uint8_t bytes[8];
    const emk_tpm2_entry x = {.kind = EMK_TPM2_COUNTER, .id = id, .value = {bytes, sizeof bytes}};

    emk_store_u64be(bytes, value);
    return emk_tpm2_state_put(self, &x, e);
}

static emk_status tpm2_secret_put(void *self, const uint8_t id[16], emk_span secret, emk_error *e)
{
    const emk_tpm2_entry x = {.kind = EMK_TPM2_SECRET, .id = id, .value = secret};

    return emk_tpm2_state_put(self, &x, e);
}

static emk_status tpm2_secret_get(void *self, const uint8_t id[16], uint8_t *out, size_t *len,
                                  emk_error *e)
{
    const emk_tpm2_entry x = {.kind = EMK_TPM2_SECRET, .id = id};

    return emk_tpm2_state_get(self, &x, out, len, e);
}

static emk_status tpm2_secret_delete(void *self, const uint8_t id[16], emk_error *e)
{
    const emk_tpm2_entry x = {.kind = EMK_TPM2_SECRET, .id = id};

    return emk_tpm2_state_put(self, &x, e);
}

static void tpm2_close(void *self)
{
    emk_tpm2 *t = self;

    if (!t)
        return;
    emk_secret_free(t->store);
    emk_secret_free(t->pin);
    emk_free(t->owned_dir);
    emk_free(t->owned_tcti);
    emk_free(t);
}

static emk_status check_options(const emk_tpm2_options *o, emk_error *e)
{
    if (o->pin.len > EMK_TPM2_PIN_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm2: PIN is too long", o->pin.len);
    if (o->tcti && strlen(o->tcti) > EMK_TPM2_TCTI_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm2: name of the TPM is too long", strlen(o->tcti));
    if (o->authority.len != 0 && o->authority.len != 65)
        return emk_fail(e, EMK_E_USAGE, "tpm2: length of the authority's key", o->authority.len);
    if (o->authority.len && o->pin.len)
        return emk_fail(e, EMK_E_USAGE, "tpm2: a PIN or an authority, not both", 0);
    return EMK_OK;
}

static emk_status copy_options(emk_tpm2 *t, const char *dir, const emk_tpm2_options *o,
                               emk_error *e)
{
    emk_status st;

    t->owned_dir = emk_strdup(dir);
    t->owned_tcti = emk_strdup(o->tcti ? o->tcti : EMK_TPM2_TCTI);
    if (!t->owned_dir || !t->owned_tcti)
        return emk_fail(e, EMK_E_NO_MEMORY, "tpm2: no memory", 0);
    t->dir = t->owned_dir;
    t->tcti = t->owned_tcti;
    if (o->pin.len == 0)
        return EMK_OK;
    st = emk_secret_new(o->pin.len, &t->pin, e);
    if (st == EMK_OK)
        memcpy(emk_secret_bytes(t->pin), o->pin.p, o->pin.len);
    return st;
}

/* Gives a holder without keys; end with tpm2_close. */
static emk_status new_holder(const emk_crypto *c, const char *dir, const emk_tpm2_options *o,
                             emk_tpm2 **out, emk_error *e)
{
    emk_tpm2 *t;
    emk_status st;

    st = check_options(o, e);
    if (st != EMK_OK)
        return st;
    t = emk_alloc(1, sizeof *t);
    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "tpm2: no memory", sizeof *t);
    t->crypto = c;
    st = copy_options(t, dir, o, e);
    if (st != EMK_OK) {
        tpm2_close(t);
        return st;
    }
    *out = t;
    return EMK_OK;
}

static emk_status set_guard(emk_tpm2 *t, emk_span authority, emk_error *e)
{
    emk_status st;

    t->keys.guard = t->pin ? EMK_TPM2_BY_PIN : EMK_TPM2_BY_TPM;
    if (authority.len == 0)
        return EMK_OK;
    st = emk_p256_check_public(t->crypto, authority.p, e);
    if (st != EMK_OK)
        return st;
    t->keys.guard = EMK_TPM2_BY_POLICY;
    memcpy(t->keys.authority, authority.p, 65);
    return emk_tpm2_auth_policy(t->crypto, t->keys.authority, t->keys.auth_policy, e);
}

static emk_status remove_file(const emk_tpm2 *t, const char *name, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_status st = emk_tpm2_path(t, name, path, e);

    if (st != EMK_OK)
        return st;
    st = emk_os_remove(path, e);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

/* Removes the index of a making that was cut short before `keys` named it.  EMK_E_NOT_FOUND when
 * none was. */
static emk_status clear_making(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_buf mark;
    emk_status st = emk_tpm2_path(t, EMK_TPM2_MAKING_FILE, path, e);

    if (st != EMK_OK)
        return st;
    emk_buf_init(&mark, EMK_TPM2_MARK_LEN);
    st = emk_os_read_file(path, EMK_TPM2_MARK_LEN, &mark, e);
    if (st == EMK_OK && mark.len == EMK_TPM2_MARK_LEN) /* else it is not ours: no index has it */
        st = emk_tpm2_nv_remove_marked(l, mark.p, e);
    emk_buf_done(&mark);
    return st == EMK_OK ? remove_file(t, EMK_TPM2_MAKING_FILE, e) : st;
}

/* The mark is on the disk before there is an index, so that a kill leaves none that nobody can
 * find again. */
static emk_status make_mark(emk_tpm2 *t, emk_tpm2_link *l, uint8_t mark[EMK_TPM2_MARK_LEN],
                            emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_status st = clear_making(t, l, e);

    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    st = emk_random_public(t->crypto, mark, EMK_TPM2_MARK_LEN, e);
    if (st == EMK_OK)
        st = emk_tpm2_path(t, EMK_TPM2_MAKING_FILE, path, e);
    return st == EMK_OK ? emk_os_write_file(path, emk_span_of(mark, EMK_TPM2_MARK_LEN), e) : st;
}

static emk_status make_all(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    uint8_t mark[EMK_TPM2_MARK_LEN];
    emk_status st;

    st = emk_secret_new(EMK_TPM2_STORE_LEN, &t->store, e);
    if (st == EMK_OK)
        st = emk_random_secret(t->crypto, emk_secret_bytes(t->store), EMK_TPM2_STORE_LEN, e);
    for (int i = 0; i < EMK_TPM2_ROLES && st == EMK_OK; i++)
        st = emk_tpm2_blob_make(
            t, l, (emk_tpm2_role)i,
            i == EMK_TPM2_STORE ? emk_secret_span(t->store) : emk_span_of(NULL, 0), e);
    if (st == EMK_OK)
        st = make_mark(t, l, mark, e);
    if (st == EMK_OK)
        st = emk_tpm2_state_make(t, l, mark, e);
    if (st != EMK_OK)
        return st;
    /* Without this file there are no keys, and what was written before is overwritten. */
    st = emk_tpm2_keys_write(t, e);
    if (st == EMK_OK && remove_file(t, EMK_TPM2_MAKING_FILE, NULL) != EMK_OK)
        return EMK_OK; /* `keys` is what counts, and a sweep takes it */
    if (st != EMK_OK && emk_tpm2_nv_remove(l, t->keys.nv, NULL) != EMK_OK)
        return st;
    return st;
}

static emk_status make_keys(emk_tpm2 *t, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_tpm2_link l;
    emk_status st;

    st = emk_tpm2_path(t, EMK_TPM2_KEYS_FILE, path, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    if (emk_os_exists(path))
        st = emk_fail(e, EMK_E_USED, "tpm2: there are keys in this directory already", 0);
    else
        st = make_all(t, &l, e);
    emk_tpm2_link_close(&l);
    return st;
}

emk_status emk_tpm2_create(const emk_crypto *c, const char *dir, const emk_tpm2_options *options,
                           emk_error *e)
{
    emk_tpm2 *t = NULL;
    emk_status st;

    st = new_holder(c, dir, options, &t, e);
    if (st != EMK_OK)
        return st;
    st = set_guard(t, options->authority, e);
    if (st == EMK_OK)
        st = emk_os_make_dir(dir, e);
    if (st == EMK_OK)
        st = make_keys(t, e);
    tpm2_close(t);
    return st;
}

static emk_status unseal_store(emk_tpm2 *t, emk_tpm2_link *l, emk_error *e)
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    ESYS_TR session;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_blob_use(t, l, EMK_TPM2_STORE, &session, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_hide(l, session, TPMA_SESSION_ENCRYPT, e);
    if (st != EMK_OK)
        return st;
    rc = Esys_Unseal(l->esys, l->key, session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: wrong PIN, or damaged");
    if (data->size == EMK_TPM2_STORE_LEN)
        st = emk_secret_new(EMK_TPM2_STORE_LEN, &t->store, e);
    else
        st = emk_fail(e, EMK_E_SEALED, "tpm2: the key file is damaged", data->size);
    if (st == EMK_OK)
        memcpy(emk_secret_bytes(t->store), data->buffer, EMK_TPM2_STORE_LEN);
    emk_wipe(data, sizeof *data);
    Esys_Free(data);
    return st;
}

static emk_status load_keys(emk_tpm2 *t, emk_error *e)
{
    emk_tpm2_link l;
    emk_status st;

    st = emk_tpm2_keys_read(t, e);
    if (st != EMK_OK)
        return st;
    if ((t->keys.guard == EMK_TPM2_BY_PIN) != (t->pin != NULL))
        return emk_fail(e, EMK_E_SEALED,
                        t->pin ? "tpm2: these keys have no PIN" : "tpm2: these keys have a PIN", 0);
    st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = unseal_store(t, &l, e);
    emk_tpm2_link_close(&l);
    if (st != EMK_OK)
        return st;
    return emk_tpm2_keys_read(t, e); /* once more: now its MAC can be checked */
}

/* There are no keys, but perhaps the beginning of some. */
static emk_status destroy_making(emk_tpm2 *t, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_tpm2_link l;
    emk_status st = emk_tpm2_path(t, EMK_TPM2_MAKING_FILE, path, e);

    if (st == EMK_OK && !emk_os_exists(path))
        return emk_fail(e, EMK_E_NOT_FOUND, "tpm2: there are no keys in this directory", 0);
    if (st == EMK_OK)
        st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = clear_making(t, &l, e);
    emk_tpm2_link_close(&l);
    return st == EMK_OK ? remove_file(t, EMK_TPM2_STATE_FILE, e) : st;
}

static emk_status destroy_keys(emk_tpm2 *t, emk_error *e)
{
    emk_tpm2_link l;
    emk_status st;

    st = emk_tpm2_keys_read(t, e);
    if (st == EMK_E_KEY_LOST)
        return destroy_making(t, e);
    if (st != EMK_OK)
        return st;
    if (t->keys.nv < EMK_TPM2_NV_FIRST || t->keys.nv >= EMK_TPM2_NV_FIRST + EMK_TPM2_NV_COUNT)
        return emk_fail(e, EMK_E_SEALED, "tpm2: the key file is damaged", t->keys.nv);
    st = emk_tpm2_link_open(t, &l, e);
    if (st == EMK_OK) {
        st = emk_tpm2_nv_remove(&l, t->keys.nv, e);
        emk_tpm2_link_close(&l);
    }
    if (st == EMK_OK || st == EMK_E_KEY_LOST) /* a TPM that was cleared has no counter of ours */
        st = remove_file(t, EMK_TPM2_KEYS_FILE, e);
    if (st == EMK_OK)
        st = remove_file(t, EMK_TPM2_MAKING_FILE, e);
    if (st == EMK_OK)
        st = remove_file(t, EMK_TPM2_STATE_FILE, e);
    if (st == EMK_OK)
        st = remove_file(t, EMK_TPM2_POLICY_FILE, e);
    return st;
}

emk_status emk_tpm2_destroy(const emk_crypto *c, const char *dir, const emk_tpm2_options *options,
                            emk_error *e)
{
    emk_tpm2 *t = NULL;
    emk_status st;

    if (!emk_os_exists(dir))
        return emk_fail(e, EMK_E_NOT_FOUND, "tpm2: there are no keys in this directory", 0);
    st = new_holder(c, dir, options, &t, e);
    if (st != EMK_OK)
        return st;
    st = destroy_keys(t, e);
    tpm2_close(t);
    return st;
}

static const emk_keystore_ops ops = {
    .size = sizeof ops,
    .flags = EMK_KEYSTORE_IS_HARDWARE | EMK_KEYSTORE_COUNTS_IN_HARDWARE,
    .name = EMK_TPM2_NAME,
    .describe = tpm2_describe,
    .public_keys = tpm2_public_keys,
    .sign = tpm2_sign,
    .agree = tpm2_agree,
    .ml_kem_seed = NULL,
    .counter_get = tpm2_counter_get,
    .counter_set = tpm2_counter_set,
    .secret_put = tpm2_secret_put,
    .secret_get = tpm2_secret_get,
    .secret_delete = tpm2_secret_delete,
    .close = tpm2_close,
};

emk_status emk_tpm2_open(const emk_crypto *c, const char *dir, const emk_tpm2_options *options,
                         emk_keystore *out, emk_error *e)
{
    emk_tpm2 *t = NULL;
    emk_status st;

    st = new_holder(c, dir, options, &t, e);
    if (st != EMK_OK)
        return st;
    st = load_keys(t, e);
    if (st != EMK_OK) {
        tpm2_close(t);
        return st;
    }
    emk_tpm2_sweep(t);
    *out = (emk_keystore){.ops = &ops, .self = t};
    return EMK_OK;
}

emk_tpm2 *emk_tpm2_of(const emk_keystore *ks, emk_error *e)
{
    if (ks->ops == &ops)
        return ks->self;
    (void)emk_fail(e, EMK_E_USAGE, "tpm2: not a TPM's keys", 0);
    return NULL;
}

static emk_status take_quote(const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *sig,
                             emk_tpm2_quote *q, emk_error *e)
{
    if (attest->size > sizeof q->attest)
        return emk_fail(e, EMK_E_UNSUPPORTED, "tpm2: the quote is too long", attest->size);
    q->attest_len = attest->size;
    memcpy(q->attest, attest->attestationData, attest->size);
    return emk_tpm2_take_signature(sig, q->sig, e);
}

static emk_status quote(emk_tpm2 *t, emk_tpm2_link *l, const TPM2B_DATA *nonce,
                        const TPML_PCR_SELECTION *pcrs, emk_tpm2_quote *q, emk_error *e)
{
    static const TPMT_SIG_SCHEME of_key = {.scheme = TPM2_ALG_NULL};
    TPMT_SIGNATURE *sig = NULL;
    TPM2B_ATTEST *attest = NULL;
    ESYS_TR session;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_blob_use(t, l, EMK_TPM2_ATTESTATION, &session, e);
    if (st == EMK_OK)
        st = emk_tpm2_link_hide(l, session, 0, e);
    if (st != EMK_OK)
        return st;
    rc = Esys_Quote(l->esys, l->key, session, ESYS_TR_NONE, ESYS_TR_NONE, nonce, &of_key, pcrs,
                    &attest, &sig);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: cannot quote");
    st = take_quote(attest, sig, q, e);
    Esys_Free(attest);
    Esys_Free(sig);
    return st;
}

emk_status emk_tpm2_quote_make(const emk_keystore *ks, emk_span nonce, uint32_t pcrs,
                               emk_tpm2_quote *out, emk_error *e)
{
    TPML_PCR_SELECTION selection;
    TPM2B_DATA data = {0};
    emk_tpm2_quote q = {0};
    emk_tpm2_link l;
    emk_tpm2 *t;
    emk_status st;

    if (ks->ops != &ops)
        return emk_fail(e, EMK_E_USAGE, "tpm2: not a TPM's keys", 0);
    if (nonce.len == 0 || nonce.len > EMK_TPM2_NONCE_MAX)
        return emk_fail(e, EMK_E_USAGE, "tpm2: length of the nonce", nonce.len);
    st = emk_tpm2_pcrs_check(pcrs, e);
    if (st != EMK_OK)
        return st;
    t = ks->self;
    st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    emk_tpm2_pcr_selection(pcrs, &selection);
    data.size = (uint16_t)nonce.len;
    memcpy(data.buffer, nonce.p, nonce.len);
    st = quote(t, &l, &data, &selection, &q, e);
    emk_tpm2_link_close(&l);
    if (st != EMK_OK)
        return st;
    emk_tpm2_public(&t->keys, EMK_TPM2_ATTESTATION, q.key);
    *out = q;
    return EMK_OK;
}
