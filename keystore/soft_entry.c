/* A counter or a secret of the software holder, in a file of its own:
 *
 *    0   4  magic "EMKE"
 *    4   1  version 01
 *    5   1  kind: 'c' counter, 's' secret
 *    6   2  zero
 *    8  32  salt, random for each writing
 *   40      AES-256-GCM(key, nonce of zeros, associated data = bytes 0 .. 39, value) || tag
 *
 *   key = HKDF(store key, salt, "earmark/1 entry" || 00 || kind || id)
 *
 * The file's name is a MAC of the id, so that a listing does not tell which models there are.
 * A deleted secret is overwritten before it is removed; a process killed between the two
 * leaves a file of zeros, which counts as removed. */
#include "core/base/os_file.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "keystore/internal.h"

#define MAGIC    "EMKE"
#define HEAD_LEN 40u
#define SALT     8u
#define FILE_MAX (HEAD_LEN + EMK_KEYSTORE_SECRET_MAX + EMK_AEAD_TAG_LEN)

/* label || kind || id; `label` with its zero. */
static size_t make_info(const emk_soft_entry *x, emk_span label, uint8_t info[64])
{
    memcpy(info, label.p, label.len);
    info[label.len] = (uint8_t)x->kind;
    memcpy(info + label.len + 1, x->id, EMK_KEYSTORE_ID_LEN);
    return label.len + 1 + EMK_KEYSTORE_ID_LEN;
}

static emk_status make_path(const emk_soft_entry *x, char path[EMK_SOFT_PATH_MAX], emk_error *e)
{
    static const char label[] = "earmark/1 entry name";
    static const char digits[] = "0123456789abcdef";
    char name[2 + 32 + 1];
    uint8_t info[64], mac[32];
    emk_span part = emk_span_of(info, make_info(x, emk_span_of(label, sizeof label), info));
    emk_status st;

    st = emk_hmac_sha256(x->crypto, emk_span_of(x->store, EMK_SOFT_KEY_LEN), &part, 1, mac, e);
    if (st != EMK_OK)
        return st;
    name[0] = (char)x->kind;
    name[1] = '-';
    for (size_t i = 0; i < 16; i++) {
        name[2 + 2 * i] = digits[mac[i] >> 4];
        name[3 + 2 * i] = digits[mac[i] & 15];
    }
    name[34] = '\0';
    return emk_os_join(path, EMK_SOFT_PATH_MAX, x->dir, name, "", e);
}

static emk_status make_key(const emk_soft_entry *x, const uint8_t *salt, uint8_t key[32],
                           emk_error *e)
{
    static const char label[] = "earmark/1 entry";
    uint8_t info[64], prk[32];
    size_t info_len = make_info(x, emk_span_of(label, sizeof label), info);
    emk_status st;

    st = emk_hkdf_extract(x->crypto, emk_span_of(salt, EMK_SOFT_SALT_LEN),
                          emk_span_of(x->store, EMK_SOFT_KEY_LEN), prk, e);
    if (st == EMK_OK)
        st = emk_hkdf_expand(x->crypto, prk, emk_span_of(info, info_len), key, 32, e);
    emk_wipe(prk, sizeof prk);
    return st;
}

static void make_head(const emk_soft_entry *x, uint8_t head[SALT])
{
    memset(head, 0, SALT);
    memcpy(head, MAGIC, 4);
    head[4] = 1;
    head[5] = (uint8_t)x->kind;
}

static emk_status damaged(emk_error *e)
{
    return emk_fail(e, EMK_E_SEALED, "keystore: a counter or secret is damaged", 0);
}

static emk_status read_file(const char *path, uint8_t file[FILE_MAX], size_t *len, emk_error *e)
{
    uint64_t size = 0;
    emk_status st;
    int fd;

    st = emk_os_open_read(path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_file_size(fd, &size, e);
    if (st == EMK_OK && (size < HEAD_LEN + EMK_AEAD_TAG_LEN || size > FILE_MAX))
        st = damaged(e);
    if (st == EMK_OK) {
        st = emk_os_read_at(fd, 0, file, (size_t)size, e);
        if (st == EMK_E_FORMAT)
            st = damaged(e);
    }
    emk_os_close(fd);
    *len = (size_t)size;
    return st;
}

/* Overwritten, and not removed yet. */
static bool is_wiped(const uint8_t head[HEAD_LEN])
{
    static const uint8_t zeros[HEAD_LEN] = {0};

    return memcmp(head, zeros, sizeof zeros) == 0;
}

emk_status emk_soft_entry_read(const emk_soft_entry *x, uint8_t *out, size_t *len, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    uint8_t file[FILE_MAX], head[SALT], key[32];
    uint8_t plain[EMK_KEYSTORE_SECRET_MAX];
    size_t size = 0;
    emk_status st;

    st = make_path(x, path, e);
    if (st != EMK_OK)
        return st;
    st = read_file(path, file, &size, e);
    if (st != EMK_OK)
        return st;
    if (is_wiped(file))
        return emk_fail(e, EMK_E_NOT_FOUND, "keystore: deleted", 0);
    make_head(x, head);
    if (memcmp(file, head, sizeof head) != 0)
        return damaged(e);

    st = make_key(x, file + SALT, key, e);
    if (st == EMK_OK)
        st = emk_soft_unseal(x->crypto, key, emk_span_of(file, HEAD_LEN),
                             emk_span_of(file + HEAD_LEN, size - HEAD_LEN), plain, e);
    if (st == EMK_E_SEALED)
        st = damaged(e);
    if (st == EMK_OK) {
        *len = size - HEAD_LEN - EMK_AEAD_TAG_LEN;
        memcpy(out, plain, *len);
    }
    emk_wipe(key, sizeof key);
    emk_wipe(plain, sizeof plain);
    return st;
}

emk_status emk_soft_entry_write(const emk_soft_entry *x, emk_span plain, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    uint8_t file[FILE_MAX], key[32];
    emk_status st;

    st = make_path(x, path, e);
    if (st != EMK_OK)
        return st;
    make_head(x, file);
    st = emk_random_public(x->crypto, file + SALT, EMK_SOFT_SALT_LEN, e);
    if (st != EMK_OK)
        return st;
    st = make_key(x, file + SALT, key, e);
    if (st == EMK_OK)
        st = emk_soft_seal(x->crypto, key, emk_span_of(file, HEAD_LEN), plain, file + HEAD_LEN, e);
    emk_wipe(key, sizeof key);
    if (st != EMK_OK)
        return st;
    return emk_os_write_file(path, emk_span_of(file, HEAD_LEN + plain.len + EMK_AEAD_TAG_LEN), e);
}

/* *there says whether it was more than what an interrupted deletion leaves. */
static emk_status overwrite(const char *path, bool *there, emk_error *e)
{
    static const uint8_t zeros[FILE_MAX] = {0};
    uint8_t head[HEAD_LEN] = {0};
    uint64_t size = 0;
    emk_status st;
    int fd;

    st = emk_os_open_update(path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_file_size(fd, &size, e);
    if (st == EMK_OK)
        st = emk_os_read_at(fd, 0, head, size < HEAD_LEN ? (size_t)size : HEAD_LEN, e);
    *there = !is_wiped(head);
    if (st == EMK_OK)
        st = emk_os_write_at(fd, 0, zeros, size < FILE_MAX ? (size_t)size : FILE_MAX, e);
    if (st == EMK_OK)
        st = emk_os_sync(fd, e);
    emk_os_close(fd);
    return st;
}

emk_status emk_soft_entry_delete(const emk_soft_entry *x, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    bool there = false;
    emk_status st;

    st = make_path(x, path, e);
    if (st != EMK_OK)
        return st;
    st = overwrite(path, &there, e);
    if (st == EMK_OK)
        st = emk_os_remove(path, e);
    if (st == EMK_OK && !there)
        return emk_fail(e, EMK_E_NOT_FOUND, "keystore: deleted", 0);
    return st;
}
