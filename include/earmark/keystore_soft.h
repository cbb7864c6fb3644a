/* The software holder: keys in files of one directory.  THIS IS NOT HARDWARE: whoever reads
 * the files (and knows the passphrase, where there is one), or the process's memory, has the
 * keys; and whoever puts an old copy of the directory back has turned its counters back.
 *
 * The directory holds `keys` (either under a passphrase, or protected by the file's
 * permissions and nothing else), a `lock`, and one sealed file for each counter and secret,
 * under names that tell nobody what they are for. */
#ifndef EARMARK_KEYSTORE_SOFT_H
#define EARMARK_KEYSTORE_SOFT_H

#include <earmark/crypto.h>
#include <earmark/keystore.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_KEYSTORE_SOFT_NAME        "software"
#define EMK_KEYSTORE_PASSPHRASE_MAX   1024u /* bytes */
#define EMK_KEYSTORE_SCRYPT_LOG_N     15u   /* default: 32 MiB, some 0.1 s */
#define EMK_KEYSTORE_SCRYPT_LOG_N_MIN 10u
#define EMK_KEYSTORE_SCRYPT_LOG_N_MAX 18u /* 256 MiB: what a file may ask of us at most */

typedef struct emk_keystore_soft_options {
    emk_span passphrase;   /* borrowed; empty: file permissions only */
    unsigned scrypt_log_n; /* 0: the default */
    bool post_quantum;     /* agreement key with an ML-KEM half: EMK_E_UNSUPPORTED without */
} emk_keystore_soft_options;

/* Makes fresh keys in dir, which is made too (mode 0700) unless it is there.  EMK_E_USED when it
 * holds keys already: they are never replaced.  EMK_E_USAGE, EMK_E_IO and so on. */
emk_status emk_keystore_soft_create(const emk_crypto *c, const char *dir,
                                    const emk_keystore_soft_options *options,
                                    emk_error *e) EMK_MUST_CHECK;

/* Opens it into *out; end with emk_keystore_close.  Keeps c, borrows the rest.
 * EMK_E_KEY_LOST when there are no keys; EMK_E_SEALED for a wrong passphrase or a damaged
 * file (one and the same); EMK_E_USAGE when keys without a passphrase can be read by others
 * than their owner; EMK_E_UNSUPPORTED for a later version. */
emk_status emk_keystore_soft_open(const emk_crypto *c, const char *dir, emk_span passphrase,
                                  emk_keystore *out, emk_error *e) EMK_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
