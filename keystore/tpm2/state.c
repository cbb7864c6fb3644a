/* Counters and secrets: all of them in the file `state`, which is tied to one index in the TPM's
 * memory, the anchor.  (docs/decisions/0010-the-tpm-anchors-one-file.md)
 *
 *    0   4  magic "EMKT"
 *    4   1  version 01
 *    5   3  zero
 *    8  32  salt, random for each writing
 *   40      AES-256-GCM(key, nonce of zeros, associated data = bytes 0 .. 39, entries) || tag
 *
 *   key = HKDF(store key, salt, "earmark/1 tpm2 state" || 00)
 *   entry = kind ('c' counter, 's' secret) || 16 id || 2 length || so many bytes
 *   anchor = SHA-256 of the file that counts || SHA-256 of the one that is being written
 *
 * A change announces the new file in the anchor, writes it, and then lets it count.  One that was
 * announced and is in place was interrupted before the last step: whoever finds it, reader or
 * writer, takes that step first, so nothing is ever told from a file that could still be undone.
 * Any other file was put back. */
#include "core/base/buf.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_mem.h"
#include "core/crypto/aead.h"
#include "core/crypto/hash.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "keystore/tpm2/internal.h"

#define HEAD_LEN    40u
#define SALT_AT     8u
#define SUM_LEN     32u
#define SALT_LEN    32u
#define ENTRY_HEAD  19u
#define ENTRIES_MAX (1u << 20) /* bytes: some 38 000 counters */
#define FILE_MAX    (HEAD_LEN + ENTRIES_MAX + EMK_AEAD_TAG_LEN)
#define COUNTER_LEN 8u
#define TEMP_MARK   ".tmp-" /* of emk_os_write_file */

static const uint8_t magic[8] = {'E', 'M', 'K', 'T', 1};

typedef struct entries {
    emk_os_map map; /* room for one entry more */
    size_t len;
    uint8_t sum[SUM_LEN]; /* of the file they were read from */
} entries;

typedef struct anchor {
    uint8_t counts[SUM_LEN];
    uint8_t announced[SUM_LEN];
} anchor;

_Static_assert(sizeof(anchor) == 64, "as in the TPM");

/* ---- the anchor in the TPM ---- */

static emk_status nv_auth(const emk_tpm2 *t, TPM2B_AUTH *out, emk_error *e)
{
    out->size = 32;
    return emk_tpm2_mac(t, "earmark/1 tpm2 anchor", emk_span_of(NULL, 0), out->buffer, e);
}

static emk_status nv_open(const emk_tpm2 *t, emk_tpm2_link *l, ESYS_TR *nv, emk_error *e)
{
    TPM2B_AUTH auth;
    emk_status st;
    TSS2_RC rc;

    st = emk_tpm2_link_hide(l, l->session, 0, e);
    if (st != EMK_OK)
        return st;
    rc = Esys_TR_FromTPMPublic(l->esys, t->keys.nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, nv);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: the anchor in the TPM is gone");
    st = nv_auth(t, &auth, e);
    if (st == EMK_OK) {
        rc = Esys_TR_SetAuth(l->esys, *nv, &auth);
        st = rc ? emk_tpm2_fail(e, rc, "tpm2: anchor") : EMK_OK;
    }
    emk_wipe(&auth, sizeof auth);
    return st;
}

/* An index that somebody else defined in the place of ours has another password. */
static emk_status nv_fail(emk_error *e, TSS2_RC rc)
{
    emk_status st = emk_tpm2_fail(e, rc, "tpm2: anchor");

    if (st == EMK_E_SEALED)
        return emk_fail(e, EMK_E_KEY_LOST, "tpm2: the anchor in the TPM is gone", rc);
    return st;
}

static emk_status nv_read(emk_tpm2_link *l, ESYS_TR nv, anchor *out, emk_error *e)
{
    TPM2B_MAX_NV_BUFFER *data = NULL;
    emk_status st = EMK_OK;
    TSS2_RC rc;

    rc = Esys_NV_Read(l->esys, nv, nv, l->session, ESYS_TR_NONE, ESYS_TR_NONE, sizeof *out, 0,
                      &data);
    if (rc)
        return nv_fail(e, rc);
    if (data->size == sizeof *out)
        memcpy(out, data->buffer, sizeof *out);
    else
        st = emk_fail(e, EMK_E_IO, "tpm2: odd answer", data->size);
    Esys_Free(data);
    return st;
}

static emk_status nv_write(emk_tpm2_link *l, ESYS_TR nv, size_t at, emk_span bytes, emk_error *e)
{
    TPM2B_MAX_NV_BUFFER data = {.size = (uint16_t)bytes.len};
    TSS2_RC rc;

    memcpy(data.buffer, bytes.p, bytes.len);
    rc =
        Esys_NV_Write(l->esys, nv, nv, l->session, ESYS_TR_NONE, ESYS_TR_NONE, &data, (uint16_t)at);
    return rc ? nv_fail(e, rc) : EMK_OK;
}

static emk_status nv_announce(emk_tpm2_link *l, ESYS_TR nv, const uint8_t sum[SUM_LEN],
                              emk_error *e)
{
    return nv_write(l, nv, offsetof(anchor, announced), emk_span_of(sum, SUM_LEN), e);
}

static emk_status nv_count(emk_tpm2_link *l, ESYS_TR nv, const uint8_t sum[SUM_LEN], emk_error *e)
{
    return nv_write(l, nv, offsetof(anchor, counts), emk_span_of(sum, SUM_LEN), e);
}

/* Takes the first free index, so that several devices (users) can be on one TPM.  The mark is
 * where a policy's digest would be: nothing may be done by policy, so it permits nobody
 * anything, and whoever was cut short here can tell this index from those of others. */
static emk_status nv_define(emk_tpm2 *t, emk_tpm2_link *l, const uint8_t mark[EMK_TPM2_MARK_LEN],
                            emk_error *e)
{
    TPM2B_NV_PUBLIC pub = {0};
    TPM2B_AUTH auth;
    emk_status st;
    TSS2_RC rc = TPM2_RC_NV_DEFINED;

    st = emk_tpm2_link_hide(l, l->session, TPMA_SESSION_DECRYPT, e);
    if (st == EMK_OK)
        st = nv_auth(t, &auth, e);
    if (st != EMK_OK)
        return st;
    pub.nvPublic.nameAlg = TPM2_ALG_SHA256;
    pub.nvPublic.attributes = TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA;
    pub.nvPublic.authPolicy.size = EMK_TPM2_MARK_LEN;
    memcpy(pub.nvPublic.authPolicy.buffer, mark, EMK_TPM2_MARK_LEN);
    pub.nvPublic.dataSize = sizeof(anchor);
    for (uint32_t i = 0; i < EMK_TPM2_NV_COUNT && rc == TPM2_RC_NV_DEFINED; i++) {
        ESYS_TR nv = ESYS_TR_NONE;

        t->keys.nv = pub.nvPublic.nvIndex = EMK_TPM2_NV_FIRST + i;
        rc = Esys_NV_DefineSpace(l->esys, ESYS_TR_RH_OWNER, l->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                 &auth, &pub, &nv);
    }
    emk_wipe(&auth, sizeof auth);
    if (rc == TPM2_RC_NV_DEFINED)
        return emk_fail(e, EMK_E_LIMIT, "tpm2: too many devices on this TPM", EMK_TPM2_NV_COUNT);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: cannot make an anchor") : EMK_OK;
}

emk_status emk_tpm2_nv_remove(emk_tpm2_link *l, uint32_t nv, emk_error *e)
{
    ESYS_TR handle = ESYS_TR_NONE;
    TSS2_RC rc;

    rc = Esys_TR_FromTPMPublic(l->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &handle);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: the anchor in the TPM is gone");
    rc = Esys_NV_UndefineSpace(l->esys, ESYS_TR_RH_OWNER, handle, l->session, ESYS_TR_NONE,
                               ESYS_TR_NONE);
    return rc ? emk_tpm2_fail(e, rc, "tpm2: cannot remove the anchor") : EMK_OK;
}

static emk_status nv_has_mark(emk_tpm2_link *l, ESYS_TR nv, const uint8_t mark[EMK_TPM2_MARK_LEN],
                              bool *has, emk_error *e)
{
    TPM2B_NV_PUBLIC *pub = NULL;
    TPM2B_NAME *name = NULL;
    emk_status st = emk_tpm2_link_hide(l, l->session, TPMA_SESSION_ENCRYPT, e);
    TSS2_RC rc;

    if (st != EMK_OK)
        return st;
    rc = Esys_NV_ReadPublic(l->esys, nv, l->session, ESYS_TR_NONE, ESYS_TR_NONE, &pub, &name);
    if (rc)
        return emk_tpm2_fail(e, rc, "tpm2: anchor");
    *has = pub->nvPublic.authPolicy.size == EMK_TPM2_MARK_LEN &&
           memcmp(pub->nvPublic.authPolicy.buffer, mark, EMK_TPM2_MARK_LEN) == 0;
    Esys_Free(pub);
    Esys_Free(name);
    return EMK_OK;
}

emk_status emk_tpm2_nv_remove_marked(emk_tpm2_link *l, const uint8_t mark[EMK_TPM2_MARK_LEN],
                                     emk_error *e)
{
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < EMK_TPM2_NV_COUNT; i++) {
        ESYS_TR nv = ESYS_TR_NONE;
        bool has = false;
        TSS2_RC rc = Esys_TR_FromTPMPublic(l->esys, EMK_TPM2_NV_FIRST + i, ESYS_TR_NONE,
                                           ESYS_TR_NONE, ESYS_TR_NONE, &nv);

        if (rc) {
            st = emk_tpm2_fail(e, rc, "tpm2: anchor");
            if (st == EMK_E_KEY_LOST) /* there is no such index */
                st = EMK_OK;
            continue;
        }
        st = nv_has_mark(l, nv, mark, &has, e);
        rc = Esys_TR_Close(l->esys, &nv);
        if (st == EMK_OK && has)
            st = emk_tpm2_link_hide(l, l->session, 0, e);
        if (st == EMK_OK && has)
            return emk_tpm2_nv_remove(l, EMK_TPM2_NV_FIRST + i, e);
        if (st == EMK_OK && rc)
            st = emk_tpm2_fail(e, rc, "tpm2: anchor");
    }
    return st;
}

/* ---- the file ---- */

static emk_status damaged(emk_error *e)
{
    return emk_fail(e, EMK_E_SEALED, "tpm2: the state file is damaged", 0);
}

static emk_status make_cipher(const emk_tpm2 *t, const uint8_t *salt, emk_aead **out, emk_error *e)
{
    static const char label[] = "earmark/1 tpm2 state";
    uint8_t prk[32], key[32];
    emk_aead *a = NULL;
    emk_status st;

    st =
        emk_hkdf_extract(t->crypto, emk_span_of(salt, SALT_LEN), emk_secret_span(t->store), prk, e);
    if (st == EMK_OK)
        st = emk_hkdf_expand(t->crypto, prk, emk_span_of(label, sizeof label), key, sizeof key, e);
    if (st == EMK_OK)
        st = emk_aead_new(t->crypto, EMK_AEAD_AES_256_GCM, &a, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(a, key, e);
    emk_wipe(prk, sizeof prk);
    emk_wipe(key, sizeof key);
    if (st != EMK_OK) {
        emk_aead_free(a);
        return st;
    }
    *out = a;
    return EMK_OK;
}

static emk_status unseal(const emk_tpm2 *t, emk_span file, entries *s, emk_error *e)
{
    static const uint8_t nonce[EMK_AEAD_NONCE_LEN] = {0};
    emk_aead *a = NULL;
    emk_status st;

    if (file.len < HEAD_LEN + EMK_AEAD_TAG_LEN || memcmp(file.p, magic, sizeof magic) != 0)
        return damaged(e);
    s->len = file.len - HEAD_LEN - EMK_AEAD_TAG_LEN;
    st = emk_os_map_new(s->len + ENTRY_HEAD + EMK_KEYSTORE_SECRET_MAX, EMK_OS_MAP_LOCK, &s->map, e);
    if (st != EMK_OK)
        return st;
    st = make_cipher(t, file.p + SALT_AT, &a, e);
    if (st == EMK_OK)
        st = emk_aead_open(a, nonce, emk_span_of(file.p, HEAD_LEN),
                           emk_span_of(file.p + HEAD_LEN, s->len), file.p + HEAD_LEN + s->len,
                           s->map.p, e);
    emk_aead_free(a);
    if (st != EMK_OK)
        emk_os_map_free(&s->map);
    return st == EMK_E_SEALED ? damaged(e) : st;
}

static emk_status read_file(const emk_tpm2 *t, entries *s, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_buf file;
    emk_span whole;
    emk_status st;

    st = emk_tpm2_path(t, EMK_TPM2_STATE_FILE, path, e);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&file, FILE_MAX);
    st = emk_os_read_file(path, FILE_MAX, &file, e);
    whole = emk_buf_span(&file);
    if (st == EMK_OK)
        st = emk_sha256(t->crypto, &whole, 1, s->sum, e);
    if (st == EMK_OK)
        st = unseal(t, whole, s, e);
    emk_buf_done(&file);
    if (st == EMK_E_LIMIT)
        return damaged(e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, EMK_E_STALE, "tpm2: the state file was removed", 0);
    return st;
}

static emk_status seal(const emk_tpm2 *t, const entries *s, uint8_t *file, emk_error *e)
{
    static const uint8_t nonce[EMK_AEAD_NONCE_LEN] = {0};
    emk_aead *a = NULL;
    emk_status st;

    memcpy(file, magic, sizeof magic);
    st = emk_random_public(t->crypto, file + SALT_AT, SALT_LEN, e);
    if (st == EMK_OK)
        st = make_cipher(t, file + SALT_AT, &a, e);
    if (st == EMK_OK)
        st = emk_aead_seal(a, nonce, emk_span_of(file, HEAD_LEN), emk_span_of(s->map.p, s->len),
                           file + HEAD_LEN, file + HEAD_LEN + s->len, e);
    emk_aead_free(a);
    return st;
}

/* What was deleted must not stay in free blocks of the disk: the old file is overwritten once
 * the new one is in its place.  Best effort; a file system may write elsewhere. */
static void overwrite(int old)
{
    static const uint8_t zeros[4096] = {0};
    uint64_t size = 0;
    emk_status st;

    st = emk_os_file_size(old, &size, NULL);
    for (uint64_t at = 0; st == EMK_OK && at < size; at += sizeof zeros) {
        uint64_t left = size - at;
        size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;

        st = emk_os_write_at(old, at, zeros, n, NULL);
    }
    if (st == EMK_OK)
        st = emk_os_sync(old, NULL);
    (void)st;
}

static emk_status write_file(const emk_tpm2 *t, emk_span file, emk_error *e)
{
    char path[EMK_TPM2_PATH_MAX];
    emk_status st;
    int old = -1;

    st = emk_tpm2_path(t, EMK_TPM2_STATE_FILE, path, e);
    if (st != EMK_OK)
        return st;
    if (emk_os_open_update(path, &old, NULL) != EMK_OK)
        old = -1; /* the first one */
    st = emk_os_write_file(path, file, e);
    if (st == EMK_OK && old >= 0)
        overwrite(old);
    emk_os_close(old);
    return st;
}

/* Reads what counts now. */
static emk_status load(emk_tpm2 *t, emk_tpm2_link *l, ESYS_TR nv, entries *s, emk_error *e)
{
    anchor now;
    emk_status st;

    st = nv_read(l, nv, &now, e);
    if (st == EMK_OK)
        st = read_file(t, s, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(s->sum, now.counts, SUM_LEN) == 0)
        return EMK_OK;
    if (memcmp(s->sum, now.announced, SUM_LEN) == 0)
        st = nv_count(l, nv, s->sum, e);
    else
        st = emk_fail(e, EMK_E_STALE, "tpm2: an old state was put back", 0);
    if (st != EMK_OK)
        emk_os_map_free(&s->map);
    return st;
}

static emk_status announce_and_write(emk_tpm2 *t, emk_tpm2_link *l, ESYS_TR nv, emk_span file,
                                     emk_error *e)
{
    uint8_t sum[SUM_LEN];
    emk_status st;

    st = emk_sha256(t->crypto, &file, 1, sum, e);
    if (st == EMK_OK)
        st = nv_announce(l, nv, sum, e);
    if (st == EMK_OK)
        st = write_file(t, file, e);
    if (st == EMK_OK)
        st = nv_count(l, nv, sum, e);
    return st;
}

static emk_status save(emk_tpm2 *t, emk_tpm2_link *l, ESYS_TR nv, const entries *s, emk_error *e)
{
    uint8_t *room;
    emk_buf file;
    emk_status st;

    if (s->len > ENTRIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm2: too many counters and secrets", s->len);
    emk_buf_init(&file, FILE_MAX);
    st = emk_buf_grow(&file, HEAD_LEN + s->len + EMK_AEAD_TAG_LEN, &room, e);
    if (st == EMK_OK)
        st = seal(t, s, room, e);
    if (st == EMK_OK)
        st = announce_and_write(t, l, nv, emk_buf_span(&file), e);
    emk_buf_done(&file);
    return st;
}

/* ---- entries ---- */

/* Gives the offset of the entry and its whole length; s->len and 0 when there is none. */
static emk_status find(const entries *s, const emk_tpm2_entry *x, size_t *at, size_t *len,
                       emk_error *e)
{
    const uint8_t *p = s->map.p;
    size_t i = 0, n;

    for (; i < s->len; i += n) {
        if (s->len - i < ENTRY_HEAD)
            return damaged(e);
        n = ENTRY_HEAD + emk_load_u16be(p + i + 17);
        if (n > s->len - i || n > ENTRY_HEAD + EMK_KEYSTORE_SECRET_MAX)
            return damaged(e);
        if (p[i] == (uint8_t)x->kind && memcmp(p + i + 1, x->id, EMK_KEYSTORE_ID_LEN) == 0) {
            *at = i;
            *len = n;
            return EMK_OK;
        }
    }
    *at = s->len;
    *len = 0;
    return EMK_OK;
}

static emk_status check_counter(const uint8_t *value, size_t len, const emk_tpm2_entry *x,
                                bool *same, emk_error *e)
{
    uint64_t old, fresh = emk_load_u64be(x->value.p);

    if (len != COUNTER_LEN)
        return damaged(e);
    old = emk_load_u64be(value);
    if (fresh < old)
        return emk_fail(e, EMK_E_STALE, "tpm2: a counter only goes up", old);
    *same = fresh == old;
    return EMK_OK;
}

static void replace(entries *s, const emk_tpm2_entry *x, size_t at, size_t len)
{
    uint8_t *p = s->map.p;

    memmove(p + at, p + at + len, s->len - at - len);
    s->len -= len;
    if (x->value.len == 0)
        return;
    p += s->len;
    p[0] = (uint8_t)x->kind;
    memcpy(p + 1, x->id, EMK_KEYSTORE_ID_LEN);
    emk_store_u16be(p + 17, (uint16_t)x->value.len);
    memcpy(p + ENTRY_HEAD, x->value.p, x->value.len);
    s->len += ENTRY_HEAD + x->value.len;
}

static emk_status change(emk_tpm2 *t, emk_tpm2_link *l, ESYS_TR nv, const emk_tpm2_entry *x,
                         emk_error *e)
{
    size_t at = 0, len = 0;
    bool same = false;
    entries s = {0};
    emk_status st;

    st = load(t, l, nv, &s, e);
    if (st != EMK_OK)
        return st;
    st = find(&s, x, &at, &len, e);
    if (st == EMK_OK && len && x->kind == EMK_TPM2_COUNTER)
        st = check_counter((const uint8_t *)s.map.p + at + ENTRY_HEAD, len - ENTRY_HEAD, x, &same,
                           e);
    if (st == EMK_OK && len == 0 && x->value.len == 0)
        st = emk_fail(e, EMK_E_NOT_FOUND, "tpm2: no such secret", 0);
    if (st == EMK_OK && !same) {
        replace(&s, x, at, len);
        st = save(t, l, nv, &s, e);
    }
    emk_os_map_free(&s.map);
    return st;
}

static emk_status look(emk_tpm2 *t, emk_tpm2_link *l, ESYS_TR nv, const emk_tpm2_entry *x,
                       emk_buf *out, emk_error *e)
{
    size_t at = 0, len = 0;
    entries s = {0};
    emk_status st;

    st = load(t, l, nv, &s, e);
    if (st != EMK_OK)
        return st;
    st = find(&s, x, &at, &len, e);
    if (st == EMK_OK && len == 0)
        st = emk_fail(e, EMK_E_NOT_FOUND, "tpm2: no such counter or secret", 0);
    if (st == EMK_OK) {
        out->len = len - ENTRY_HEAD;
        memcpy(out->p, (const uint8_t *)s.map.p + at + ENTRY_HEAD, out->len);
    }
    emk_os_map_free(&s.map);
    return st;
}

emk_status emk_tpm2_state_get(emk_tpm2 *t, const emk_tpm2_entry *x, uint8_t *out, size_t *len,
                              emk_error *e)
{
    emk_buf room = {.p = out, .cap = EMK_KEYSTORE_SECRET_MAX, .max = EMK_KEYSTORE_SECRET_MAX};
    ESYS_TR nv = ESYS_TR_NONE;
    emk_tpm2_link l;
    emk_status st;

    st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = nv_open(t, &l, &nv, e);
    if (st == EMK_OK)
        st = look(t, &l, nv, x, &room, e);
    emk_tpm2_link_close(&l);
    if (st == EMK_OK)
        *len = room.len;
    return st;
}

emk_status emk_tpm2_state_put(emk_tpm2 *t, const emk_tpm2_entry *x, emk_error *e)
{
    ESYS_TR nv = ESYS_TR_NONE;
    emk_tpm2_link l;
    emk_status st;

    st = emk_tpm2_link_open(t, &l, e);
    if (st != EMK_OK)
        return st;
    st = nv_open(t, &l, &nv, e);
    if (st == EMK_OK)
        st = change(t, &l, nv, x, e);
    emk_tpm2_link_close(&l);
    return st;
}

emk_status emk_tpm2_state_make(emk_tpm2 *t, emk_tpm2_link *l, const uint8_t mark[EMK_TPM2_MARK_LEN],
                               emk_error *e)
{
    static const anchor none = {{0}, {0}};
    entries s = {0};
    ESYS_TR nv = ESYS_TR_NONE;
    emk_status st;

    st = nv_define(t, l, mark, e);
    if (st != EMK_OK)
        return st;
    st = nv_open(t, l, &nv, e);
    if (st == EMK_OK)
        st = nv_write(l, nv, 0, emk_span_of(&none, sizeof none), e);
    /* Its name holds whether it was written, so what ESAPI knew of it is out of date. */
    if (st == EMK_OK)
        st = nv_open(t, l, &nv, e);
    if (st == EMK_OK)
        st = emk_os_map_new(1, EMK_OS_MAP_LOCK, &s.map, e);
    if (st == EMK_OK)
        st = save(t, l, nv, &s, e);
    emk_os_map_free(&s.map);
    if (st != EMK_OK && emk_tpm2_nv_remove(l, t->keys.nv, NULL) != EMK_OK)
        return st; /* the index stays: there is nothing more to be done about it */
    return st;
}

/* A mark is one, too: this holder has its keys. */
static emk_status remove_leftover(void *self, const char *name, emk_error *e)
{
    const emk_tpm2 *t = self;
    char path[EMK_TPM2_PATH_MAX];

    if (!strstr(name, TEMP_MARK) && strcmp(name, EMK_TPM2_MAKING_FILE) != 0)
        return EMK_OK;
    if (emk_tpm2_path(t, name, path, e) != EMK_OK)
        return EMK_OK;
    return emk_os_remove(path, e);
}

void emk_tpm2_sweep(const emk_tpm2 *t)
{
    emk_tpm2 own = {.crypto = t->crypto, .dir = t->dir};
    emk_status st;
    int lock;

    if (emk_tpm2_lock(t, false, &lock, NULL) != EMK_OK)
        return;
    st = emk_os_list_dir(t->dir, remove_leftover, &own, NULL);
    (void)st;
    emk_os_close(lock);
}
