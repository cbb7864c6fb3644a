#include "server/daemon/keys.h"

#include "core/base/os_file.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_LEN 1024u
#define HEAD         56u
#define FILE_LEN     (HEAD + EMK_KEY_LEN)
#define SEALED_LEN   (FILE_LEN + 16u)
#define LINE_MAX     160u

static const char *const NAMES[EMK_KEY_USES] = {
    [EMK_KEY_ISSUER] = "issuer.key", [EMK_KEY_SEALING] = "sealing.key",
    [EMK_KEY_AUDIT] = "audit.key",   [EMK_KEY_STORAGE] = "storage.key",
    [EMK_KEY_LEASE] = "lease.key",   [EMK_KEY_SERVER] = "server.key",
};

const char *emk_key_name(emk_key_use use)
{
    return NAMES[use];
}

static emk_status check_private(const char *dir, const char *path, emk_error *e)
{
    int fd = -1;
    emk_status st = emk_os_open_read(path, &fd, e);

    if (st == EMK_OK)
        st = emk_os_check_private_in(fd, dir, e);
    emk_os_close(fd);
    return st;
}

static emk_status take_key(emk_span file, emk_key_use use, emk_secret *key, emk_error *e)
{
    if (file.len < 8 || memcmp(file.p, "EMKS\x01", 5) != 0)
        return emk_fail(e, EMK_E_FORMAT, "key file: not one", 0);
    if (file.p[5] != (uint8_t)use)
        return emk_fail(e, EMK_E_FORMAT, "key file: for another use", file.p[5]);
    if (file.p[6] != 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "key file: wants a passphrase", 6);
    if (file.len != FILE_LEN)
        return emk_fail(e, EMK_E_FORMAT, "key file: length", file.len);
    memcpy(emk_secret_bytes(key), file.p + HEAD, EMK_KEY_LEN);
    return EMK_OK;
}

emk_status emk_key_read(const char *dir, emk_key_use use, emk_secret **out, emk_error *e)
{
    char path[PATH_MAX_LEN];
    emk_secret *file = NULL, *key = NULL;
    emk_status st = emk_os_join(path, sizeof path, dir, NAMES[use], "", e);

    if (st == EMK_OK)
        st = check_private(dir, path, e);
    if (st == EMK_OK)
        st = emk_os_read_secret(path, SEALED_LEN, &file, e);
    if (st == EMK_OK)
        st = emk_secret_new(EMK_KEY_LEN, &key, e);
    if (st == EMK_OK)
        st = take_key(emk_secret_span(file), use, key, e);
    emk_secret_free(file);
    if (st == EMK_OK)
        *out = key;
    else
        emk_secret_free(key);
    return st;
}

static bool signs(emk_key_use use)
{
    return use == EMK_KEY_ISSUER || use == EMK_KEY_SEALING || use == EMK_KEY_AUDIT;
}

emk_status emk_key_make(const emk_crypto *c, const char *dir, emk_key_use use, emk_error *e)
{
    uint8_t file[FILE_LEN] = {'E', 'M', 'K', 'S', 1, (uint8_t)use};
    uint8_t pub[EMK_SIGN_PUBLIC_MAX];
    char path[PATH_MAX_LEN];
    emk_status st = emk_os_join(path, sizeof path, dir, NAMES[use], "", e);

    if (st != EMK_OK || emk_os_exists(path))
        return st;
    st = signs(use) ? emk_sign_generate(c, EMK_SIGN_ED25519, file + HEAD, pub, e)
                    : emk_random_secret(c, file + HEAD, EMK_KEY_LEN, e);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_span_of(file, sizeof file), e);
    emk_wipe(file, sizeof file);
    if (st == EMK_OK && use == EMK_KEY_ISSUER)
        st = emk_key_publish(dir, "issuer", emk_span_of(pub, emk_sign_public_len(EMK_SIGN_ED25519)),
                             e);
    if (st == EMK_OK && use == EMK_KEY_AUDIT)
        st = emk_key_publish(dir, "audit", emk_span_of(pub, emk_sign_public_len(EMK_SIGN_ED25519)),
                             e);
    return st;
}

emk_status emk_key_replace(const char *dir, emk_key_use use, const uint8_t *priv, emk_error *e)
{
    uint8_t file[FILE_LEN] = {'E', 'M', 'K', 'S', 1, (uint8_t)use};
    char path[PATH_MAX_LEN];
    emk_status st = emk_os_join(path, sizeof path, dir, NAMES[use], "", e);

    memcpy(file + HEAD, priv, EMK_KEY_LEN);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_span_of(file, sizeof file), e);
    emk_wipe(file, sizeof file);
    return st;
}

emk_status emk_key_publish(const char *dir, const char *name, emk_span public_key, emk_error *e)
{
    char path[PATH_MAX_LEN], line[LINE_MAX] = "emk-issuer-1 ";
    size_t at = strlen(line), len = 0;
    emk_status st = emk_base64url_encode(public_key, line + at, sizeof line - at - 2, &len, e);

    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, dir, name, ".pub", e);
    if (st != EMK_OK)
        return st;
    line[at + len] = '\n';
    return emk_os_write_file(path, emk_span_of(line, at + len + 1), e);
}
