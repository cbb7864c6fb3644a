/* Files as the command line names them: "-", default directories, passphrases, key files. */
#ifndef EMK_CLI_FILES_H
#define EMK_CLI_FILES_H

#include "cli/command.h"
#include "core/base/secret.h"

#define EMK_CLI_PATH_MAX       4096u
#define EMK_CLI_PASSPHRASE_MAX 1024u

/* Rows for the tables of commands that use what is below. */
#define EMK_CLI_OPTION_ISSUER_DIR                                                       \
    {                                                                                   \
        "issuer", 0, EMK_CLI_DIR, "DIR",                                                \
            "the issuer's directory (EARMARK_ISSUER; ~/.local/share/earmark/issuer)", 0 \
    }
#define EMK_CLI_OPTION_DEVICE_DIR                                                       \
    {                                                                                   \
        "device", 0, EMK_CLI_DIR, "DIR",                                                \
            "the device's directory (EARMARK_DEVICE; ~/.local/share/earmark/device)", 0 \
    }
#define EMK_CLI_OPTION_PASSPHRASE_FILE                             \
    {                                                              \
        "passphrase-file", 0, EMK_CLI_FILE, "FILE",                \
            "read the keys' passphrase (or PIN) from this file", 0 \
    }
#define EMK_CLI_OPTION_PASSPHRASE_FD                                     \
    {                                                                    \
        "passphrase-fd", 0, EMK_CLI_WORD, "N",                           \
            "read the keys' passphrase (or PIN) from this descriptor", 0 \
    }
/* All that a command needs to open the device's keys. */
#define EMK_CLI_OPTIONS_DEVICE \
    EMK_CLI_OPTION_DEVICE_DIR, EMK_CLI_OPTION_PASSPHRASE_FILE, EMK_CLI_OPTION_PASSPHRASE_FD
#define EMK_CLI_OPTION_ASK_PASSPHRASE                                                             \
    {                                                                                             \
        "ask-passphrase", 0, EMK_CLI_FLAG, NULL, "protect the keys with a passphrase, typed now", \
            0                                                                                     \
    }

/* "issuer" or "device": the directory by the option of that name, the environment, or the
 * default.  out has EMK_CLI_PATH_MAX bytes.  EMK_E_USAGE when there is no home. */
emk_status emk_cli_home(emk_cli *cli, const char *kind, char *out) EMK_MUST_CHECK;
/* Makes a directory and those above it. */
emk_status emk_cli_make_dirs(emk_cli *cli, const char *path) EMK_MUST_CHECK;
/* "<dir>/<name>" into out, EMK_CLI_PATH_MAX bytes. */
emk_status emk_cli_join(emk_cli *cli, const char *dir, const char *name, char *out) EMK_MUST_CHECK;

/* A whole small file, or standard input for "-".  The buffer's max is set; free it with
 * emk_buf_done also after a failure. */
emk_status emk_cli_read_input(emk_cli *cli, const char *path, size_t max,
                              emk_buf *out) EMK_MUST_CHECK;
/* The reverse; "-" is standard output.  An existing file is replaced, whole or not at all. */
emk_status emk_cli_write_output(emk_cli *cli, const char *path, emk_span bytes) EMK_MUST_CHECK;

/* For new keys: the passphrase as --passphrase-file, --passphrase-fd or --ask-passphrase have
 * it, lent; NULL when none of them was given. */
emk_status emk_cli_new_passphrase(emk_cli *cli, const emk_secret **out) EMK_MUST_CHECK;
/* For keys that exist and need one, lent until the next call: what was given or made up in
 * this run; else asked for on the terminal, `whose` being in the prompt. */
emk_status emk_cli_passphrase(emk_cli *cli, const char *whose,
                              const emk_secret **out) EMK_MUST_CHECK;
/* Whether an option says where the passphrase is. */
bool emk_cli_passphrase_given(const emk_cli *cli);

/* Private keys in files (signing keys, the lease master): 32 bytes, sealed under a passphrase or,
 * without one, protected by the file's permissions alone.  Create refuses to replace (EMK_E_USED)
 * unless told. Read: EMK_E_SEALED for a wrong passphrase, EMK_E_USAGE when others may read the
 * file. */
typedef enum emk_cli_key_use {
    EMK_CLI_KEY_ISSUER = 1,
    EMK_CLI_KEY_SEALING = 2,
    EMK_CLI_KEY_LEASE = 3
} emk_cli_key_use;
emk_status emk_cli_key_write(emk_cli *cli, const char *path, emk_cli_key_use use,
                             const emk_secret *key, const emk_secret *passphrase) EMK_MUST_CHECK;
emk_status emk_cli_key_read(emk_cli *cli, const char *path, emk_cli_key_use use,
                            emk_secret **key) EMK_MUST_CHECK;
/* Whether bytes are such a key file, and how protected: for inspect. */
bool emk_cli_key_recognise(emk_span file, emk_cli_key_use *use, bool *sealed);

#endif
