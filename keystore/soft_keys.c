/* The file `keys` of the software holder:
 *
 *    0   4  magic "EMKK"
 *    4   1  version 01
 *    5   1  protection: 00 file permissions, 01 passphrase
 *    6   1  scrypt: log2 of n; zero without a passphrase, like the next two
 *    7   1  scrypt: r
 *    8   1  scrypt: p
 *    9   3  zero
 *   12  32  salt, random
 *   44  32  commit
 *   76      AES-256-GCM(key, nonce of zeros, associated data = bytes 0 .. 75, payload) || tag
 *
 *   key || commit = scrypt(passphrase, salt, 64)
 *
 * GCM does not commit to its key: without `commit` a file could be made that opens under many
 * passphrases, and one look at what happens would try them all.  Without a passphrase the
 * key comes from the salt alone, which keeps nobody out: then it only finds damage. */
#include "core/base/os_file.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "keystore/internal.h"

#define MAGIC      "EMKK"
#define HEAD_LEN   76u
#define FILE_MAX   (HEAD_LEN + EMK_SOFT_PAYLOAD_MAX + EMK_AEAD_TAG_LEN)
#define SCRYPT_R   8u
#define SCRYPT_P   1u
#define MEM_MAX    (UINT64_C(1) << 29) /* 128 * n * r, and scrypt's own */
#define PROTECTION 5u
#define LOG_N      6u
#define SALT       12u
#define COMMIT     44u

enum protection { BY_PERMISSIONS = 0, BY_PASSPHRASE = 1 };

typedef struct derived {
    uint8_t key[32];
    uint8_t commit[32];
} derived;

emk_status emk_soft_seal(const emk_crypto *c, const uint8_t key[32], emk_span aad, emk_span plain,
                         uint8_t *cipher, emk_error *e)
{
    static const uint8_t nonce[EMK_AEAD_NONCE_LEN] = {0};
    emk_aead *a = NULL;
    emk_status st;

    st = emk_aead_new(c, EMK_AEAD_AES_256_GCM, &a, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(a, key, e);
    if (st == EMK_OK)
        st = emk_aead_seal(a, nonce, aad, plain, cipher, cipher + plain.len, e);
    emk_aead_free(a);
    return st;
}

emk_status emk_soft_unseal(const emk_crypto *c, const uint8_t key[32], emk_span aad,
                           emk_span cipher, uint8_t *plain, emk_error *e)
{
    static const uint8_t nonce[EMK_AEAD_NONCE_LEN] = {0};
    size_t len = cipher.len - EMK_AEAD_TAG_LEN;
    emk_aead *a = NULL;
    emk_status st;

    st = emk_aead_new(c, EMK_AEAD_AES_256_GCM, &a, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(a, key, e);
    if (st == EMK_OK)
        st = emk_aead_open(a, nonce, aad, emk_span_of(cipher.p, len), cipher.p + len, plain, e);
    emk_aead_free(a);
    return st;
}

static emk_status derive(const emk_crypto *c, const uint8_t *head, emk_span passphrase,
                         derived *out, emk_error *e)
{
    static const char label[] = "earmark/1 keys without passphrase";
    emk_span salt = emk_span_of(head + SALT, EMK_SOFT_SALT_LEN);
    uint8_t okm[64];
    uint8_t prk[32];
    emk_status st;

    if (head[PROTECTION] == BY_PASSPHRASE) {
        emk_scrypt s = {.pass = passphrase,
                        .salt = salt,
                        .n = UINT64_C(1) << head[LOG_N],
                        .r = SCRYPT_R,
                        .p = SCRYPT_P,
                        .mem_max = MEM_MAX};
        st = emk_scrypt_derive(c, &s, okm, sizeof okm, e);
    } else {
        st = emk_hkdf_extract(c, salt, emk_span_str(label), prk, e);
        if (st == EMK_OK)
            st = emk_hkdf_expand(c, prk, emk_span_str(label), okm, sizeof okm, e);
        emk_wipe(prk, sizeof prk);
    }
    if (st == EMK_OK) {
        memcpy(out->key, okm, 32);
        memcpy(out->commit, okm + 32, 32);
    }
    emk_wipe(okm, sizeof okm);
    return st;
}

static emk_status make_head(const emk_crypto *c, const emk_keystore_soft_options *o,
                            uint8_t head[HEAD_LEN], emk_error *e)
{
    unsigned log_n = o->scrypt_log_n ? o->scrypt_log_n : EMK_KEYSTORE_SCRYPT_LOG_N;

    if (log_n < EMK_KEYSTORE_SCRYPT_LOG_N_MIN || log_n > EMK_KEYSTORE_SCRYPT_LOG_N_MAX)
        return emk_fail(e, EMK_E_USAGE, "keys: scrypt cost", log_n);
    memset(head, 0, HEAD_LEN);
    memcpy(head, MAGIC, 4);
    head[4] = 1;
    if (o->passphrase.len) {
        head[PROTECTION] = BY_PASSPHRASE;
        head[LOG_N] = (uint8_t)log_n;
        head[LOG_N + 1] = SCRYPT_R;
        head[LOG_N + 2] = SCRYPT_P;
    }
    return emk_random_public(c, head + SALT, EMK_SOFT_SALT_LEN, e);
}

emk_status emk_soft_keys_write(const emk_crypto *c, const char *dir,
                               const emk_keystore_soft_options *options, emk_span payload,
                               emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    uint8_t file[FILE_MAX];
    derived d = {{0}, {0}};
    emk_status st;

    st = emk_os_join(path, sizeof path, dir, EMK_SOFT_KEYS_FILE, "", e);
    if (st != EMK_OK)
        return st;
    st = make_head(c, options, file, e);
    if (st == EMK_OK)
        st = derive(c, file, options->passphrase, &d, e);
    if (st == EMK_OK) {
        memcpy(file + COMMIT, d.commit, sizeof d.commit);
        st = emk_soft_seal(c, d.key, emk_span_of(file, HEAD_LEN), payload, file + HEAD_LEN, e);
    }
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_span_of(file, HEAD_LEN + payload.len + EMK_AEAD_TAG_LEN),
                               e);
    emk_wipe(&d, sizeof d);
    emk_wipe(file, sizeof file); /* without a passphrase it is as good as the keys */
    return st;
}

static emk_status sealed(emk_error *e)
{
    return emk_fail(e, EMK_E_SEALED, "keys: wrong passphrase, or damaged", 0);
}

/* Everything about the file that needs no passphrase. */
static emk_status check_head(emk_span file, emk_span passphrase, emk_error *e)
{
    static const uint8_t zero[3] = {0};
    static const uint8_t costs[2] = {SCRYPT_R, SCRYPT_P};
    const uint8_t *h = file.p;

    if (file.len != HEAD_LEN + EMK_SOFT_PAYLOAD_LEN + EMK_AEAD_TAG_LEN &&
        file.len != HEAD_LEN + EMK_SOFT_PAYLOAD_MAX + EMK_AEAD_TAG_LEN)
        return sealed(e);
    if (memcmp(h, MAGIC, 4) != 0 || memcmp(h + 9, zero, 3) != 0)
        return sealed(e);
    if (h[4] != 1)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keys: version", h[4]);
    if (h[PROTECTION] == BY_PERMISSIONS) {
        if (memcmp(h + LOG_N, zero, 3) != 0)
            return sealed(e);
        if (passphrase.len)
            return emk_fail(e, EMK_E_USAGE, "keys: they are not under a passphrase", 0);
        return EMK_OK;
    }
    if (h[PROTECTION] != BY_PASSPHRASE || memcmp(h + LOG_N + 1, costs, 2) != 0 ||
        h[LOG_N] < EMK_KEYSTORE_SCRYPT_LOG_N_MIN || h[LOG_N] > EMK_KEYSTORE_SCRYPT_LOG_N_MAX)
        return sealed(e);
    if (!passphrase.len)
        return emk_fail(e, EMK_E_USAGE, "keys: they are under a passphrase", 0);
    return EMK_OK;
}

static emk_status unseal_file(const emk_crypto *c, emk_span file, emk_span passphrase,
                              emk_secret **payload, emk_error *e)
{
    emk_span cipher = emk_span_of(file.p + HEAD_LEN, file.len - HEAD_LEN);
    emk_secret *s = NULL;
    derived d = {{0}, {0}};
    emk_status st;

    st = emk_secret_new(cipher.len - EMK_AEAD_TAG_LEN, &s, e);
    if (st != EMK_OK)
        return st;
    st = derive(c, file.p, passphrase, &d, e);
    if (st == EMK_OK && !emk_ct_equal(d.commit, file.p + COMMIT, sizeof d.commit))
        st = sealed(e);
    if (st == EMK_OK) {
        st = emk_soft_unseal(c, d.key, emk_span_of(file.p, HEAD_LEN), cipher, emk_secret_bytes(s),
                             e);
        if (st == EMK_E_SEALED)
            st = sealed(e);
    }
    emk_wipe(&d, sizeof d);
    if (st != EMK_OK) {
        emk_secret_free(s);
        return st;
    }
    *payload = s;
    return EMK_OK;
}

/* Reads the whole file into `file`, refusing one that lies open to others. */
static emk_status read_file(int fd, uint8_t file[FILE_MAX], size_t *len, emk_error *e)
{
    uint64_t size = 0;
    emk_status st;

    st = emk_os_file_size(fd, &size, e);
    if (st != EMK_OK)
        return st;
    if (size < HEAD_LEN || size > FILE_MAX)
        return sealed(e);
    st = emk_os_read_at(fd, 0, file, (size_t)size, e);
    if (st == EMK_E_FORMAT)
        return sealed(e);
    if (st != EMK_OK)
        return st;
    if (file[PROTECTION] != BY_PASSPHRASE) {
        st = emk_os_check_private(fd, e);
        if (st != EMK_OK)
            return st;
    }
    *len = (size_t)size;
    return EMK_OK;
}

emk_status emk_soft_keys_read(const emk_crypto *c, const char *dir, emk_span passphrase,
                              emk_secret **payload, bool *by_passphrase, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    uint8_t file[FILE_MAX];
    size_t len = 0;
    emk_status st;
    int fd;

    st = emk_os_join(path, sizeof path, dir, EMK_SOFT_KEYS_FILE, "", e);
    if (st != EMK_OK)
        return st;
    st = emk_os_open_read(path, &fd, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, EMK_E_KEY_LOST, "keys: there are none in this directory", 0);
    if (st != EMK_OK)
        return st;
    st = read_file(fd, file, &len, e);
    emk_os_close(fd);
    if (st == EMK_OK)
        st = check_head(emk_span_of(file, len), passphrase, e);
    if (st == EMK_OK)
        st = unseal_file(c, emk_span_of(file, len), passphrase, payload, e);
    if (st == EMK_OK)
        *by_passphrase = file[PROTECTION] == BY_PASSPHRASE;
    emk_wipe(file, sizeof file);
    return st;
}
