/* Private keys in files.
 *
 *  0   4  magic "EMKS"
 *  4   1  version 01
 *  5   1  use: 01 issuer, 02 sealing, 03 lease master
 *  6   1  protection: 00 none but the file's permissions, 01 passphrase
 *  7   1  scrypt's log2 N; 00 without a passphrase
 *  8  16  salt; zeros without a passphrase
 * 24  32  commit; zeros without a passphrase
 * 56  32  the key, or its AES-256-GCM encryption
 * 88  16  with a passphrase: the tag, over bytes 0 .. 55 as associated data
 *
 * Encryption key || commit is scrypt(passphrase, salt), new with each salt, so the nonce is
 * zero.  GCM does not commit to its key: commit does. */
#include "cli/files.h"
#include "cli/os_files.h"
#include "core/base/os_file.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "core/crypto/sign.h"

#include <string.h>

#define HEAD         56u
#define SALT         8u
#define COMMIT       24u
#define SALT_LEN     16u
#define PLAIN_LEN    (HEAD + EMK_SIGN_PRIVATE_LEN)
#define SEALED_LEN   (PLAIN_LEN + EMK_AEAD_TAG_LEN)
#define LOG_N        15u /* 32 MiB, some 0.1 s */
#define LOG_N_MIN    10u
#define LOG_N_MAX    18u
#define SCRYPT_LIMIT (UINT64_C(300) << 20)

static const uint8_t NONCE[EMK_AEAD_NONCE_LEN];

bool emk_cli_key_recognise(emk_span file, emk_cli_key_use *use, bool *sealed)
{
    if (file.len < HEAD || memcmp(file.p, "EMKS\x01", 5) != 0 || file.p[5] < 1 || file.p[5] > 3 ||
        file.p[6] > 1 || file.len != (file.p[6] ? SEALED_LEN : PLAIN_LEN))
        return false;
    *use = (emk_cli_key_use)file.p[5];
    *sealed = file.p[6] == 1;
    return true;
}

/* An AEAD with the key that the passphrase and the head give, and the commit. */
static emk_status sealing_aead(const emk_crypto *c, const uint8_t *head,
                               const emk_secret *passphrase, uint8_t commit[32], emk_aead **out,
                               emk_error *e)
{
    emk_scrypt s = {.pass = emk_secret_span(passphrase),
                    .salt = emk_span_of(head + SALT, SALT_LEN),
                    .n = UINT64_C(1) << head[7],
                    .r = 8,
                    .p = 1,
                    .mem_max = SCRYPT_LIMIT};
    uint8_t key[64] = {0};
    emk_aead *a = NULL;
    emk_status st = emk_scrypt_derive(c, &s, key, sizeof key, e);

    if (st == EMK_OK)
        st = emk_aead_new(c, EMK_AEAD_AES_256_GCM, &a, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(a, key, e);
    memcpy(commit, key + 32, 32);
    emk_wipe(key, sizeof key);
    if (st == EMK_OK)
        *out = a;
    else
        emk_aead_free(a);
    return st;
}

static emk_status seal_into(const emk_crypto *c, uint8_t file[SEALED_LEN],
                            const emk_secret *passphrase, emk_error *e)
{
    emk_aead *a = NULL;
    emk_status st;

    file[6] = 1;
    file[7] = LOG_N;
    st = emk_random_public(c, file + SALT, SALT_LEN, e);
    if (st == EMK_OK)
        st = sealing_aead(c, file, passphrase, file + COMMIT, &a, e);
    if (st == EMK_OK)
        st = emk_aead_seal(a, NONCE, emk_span_of(file, HEAD),
                           emk_span_of(file + HEAD, EMK_SIGN_PRIVATE_LEN), file + HEAD,
                           file + PLAIN_LEN, e);
    emk_aead_free(a);
    return st;
}

emk_status emk_cli_key_write(emk_cli *cli, const char *path, emk_cli_key_use use,
                             const emk_secret *key, const emk_secret *passphrase)
{
    uint8_t file[SEALED_LEN] = {'E', 'M', 'K', 'S', 1, (uint8_t)use};
    size_t len = passphrase ? SEALED_LEN : PLAIN_LEN;
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st != EMK_OK)
        return st;
    memcpy(file + HEAD, emk_secret_span(key).p, EMK_SIGN_PRIVATE_LEN);
    if (passphrase)
        st = seal_into(c, file, passphrase, &cli->error);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_span_of(file, len), &cli->error);
    emk_wipe(file, sizeof file);
    return emk_cli_about(cli, st, path);
}

static emk_status unseal(emk_cli *cli, const uint8_t *file, const char *path, emk_secret *key)
{
    const emk_crypto *c = NULL;
    const emk_secret *passphrase = NULL;
    emk_aead *a = NULL;
    uint8_t commit[32] = {0};
    emk_status st;

    if (file[7] < LOG_N_MIN || file[7] > LOG_N_MAX)
        return emk_fail(&cli->error, EMK_E_LIMIT, "key file: scrypt cost", file[7]);
    st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_cli_passphrase(cli, path, &passphrase);
    if (st == EMK_OK)
        st = sealing_aead(c, file, passphrase, commit, &a, &cli->error);
    if (st == EMK_OK && !emk_ct_equal(commit, file + COMMIT, sizeof commit))
        st = EMK_E_SEALED;
    if (st == EMK_OK)
        st = emk_aead_open(a, NONCE, emk_span_of(file, HEAD),
                           emk_span_of(file + HEAD, EMK_SIGN_PRIVATE_LEN), file + PLAIN_LEN,
                           emk_secret_bytes(key), &cli->error);
    if (st == EMK_E_SEALED) {
        st = emk_fail(&cli->error, EMK_E_SEALED, "key file: wrong passphrase, or damaged", 0);
        st = emk_cli_advise(cli, st, "Try the passphrase again; without it the key is lost.");
    }
    emk_aead_free(a);
    return st;
}

/* The bytes are a key file's; whether they may be believed is judged here. */
static emk_status take_key(emk_cli *cli, emk_span file, const char *path, emk_cli_key_use use,
                           emk_secret *key)
{
    emk_cli_key_use found = use;
    bool sealed = false;
    emk_status st;

    if (!emk_cli_key_recognise(file, &found, &sealed))
        return emk_fail(&cli->error, EMK_E_FORMAT, "key file: not one", 0);
    if (found != use)
        return emk_fail(&cli->error, EMK_E_FORMAT, "key file: for another use", 5);
    if (sealed)
        return unseal(cli, file.p, path, key);
    if (!emk_cli_is_private(path)) {
        st = emk_fail(&cli->error, EMK_E_USAGE, "key file: others may read it", 0);
        return emk_cli_advise(cli, st, "chmod 600 the file; who could read it may have the key.");
    }
    memcpy(emk_secret_bytes(key), file.p + HEAD, EMK_SIGN_PRIVATE_LEN);
    return EMK_OK;
}

emk_status emk_cli_key_read(emk_cli *cli, const char *path, emk_cli_key_use use, emk_secret **key)
{
    emk_secret *file = NULL, *k = NULL;
    emk_status st = emk_os_read_secret(path, SEALED_LEN, &file, &cli->error);

    if (st == EMK_OK)
        st = emk_secret_new(EMK_SIGN_PRIVATE_LEN, &k, &cli->error);
    if (st == EMK_OK)
        st = take_key(cli, emk_secret_span(file), path, use, k);
    emk_secret_free(file);
    if (st == EMK_OK)
        *key = k;
    else
        emk_secret_free(k);
    return emk_cli_about(cli, st, path);
}
