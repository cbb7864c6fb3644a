/* The issuer's directory, and its public key wherever it lies.
 *
 *   issuer.pub      one line: "emk-issuer-1 <base64url>"
 *   issuer.key      private; signs certificates and tickets
 *   keystore        in its place where that key is in a token: issuer_token.h
 *   sealing.key     private; signs sealed models
 *   sealing.cert    the issuer's word for the sealing key
 *   tickets/        every ticket issued, by its id
 *   answered/       hashes of the requests that got one
 *   redeemed/       ids of the tickets that were sealed for
 *
 * Whoever only seals needs issuer.pub, sealing.key, sealing.cert and redeemed/.  One writer
 * at a time is not needed: what may happen once is a file made with O_EXCL. */
#ifndef EMK_CLI_ISSUER_H
#define EMK_CLI_ISSUER_H

#include "cli/files.h"
#include "core/seal/certificate.h"
#include "core/seal/cose.h"

typedef struct emk_cli_issuer_token emk_cli_issuer_token;

/* Who signs: a key from a file, or in a token, ready.  All zero is empty. */
typedef struct emk_cli_signer {
    emk_sign_key *key;
    emk_cli_issuer_token *token;
    emk_signer signer;
} emk_cli_signer;
void emk_cli_signer_done(emk_cli_signer *s);

/* The key line in `text`, or in a file, or in issuer.pub of a directory.  EMK_E_FORMAT. */
typedef struct emk_cli_public {
    uint8_t bytes[EMK_SIGN_PUBLIC_MAX];
    size_t len;
} emk_cli_public;
emk_status emk_cli_public_parse(emk_span text, emk_cli_public *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_cli_public_read(emk_cli *cli, const char *path, emk_cli_public *out) EMK_MUST_CHECK;
/* Writes issuer.pub into dir; path (EMK_CLI_PATH_MAX bytes) gets where. */
emk_status emk_cli_public_write(emk_cli *cli, const char *dir, const emk_cli_public *pub,
                                char *path) EMK_MUST_CHECK;
/* As emk_cli_public_read, made ready to verify; free with emk_verify_key_free. */
emk_status emk_cli_verify_key_read(emk_cli *cli, const char *path,
                                   emk_verify_key **out) EMK_MUST_CHECK;

/* Makes a key pair: `name`.key in dir, sealed under passphrase unless that is NULL.  Fills pub.
 * EMK_E_USED when the file exists and `replace` is false. */
typedef struct emk_cli_new_key {
    const char *dir;
    const char *name;
    emk_cli_key_use use;
    const emk_secret *passphrase;
    bool replace;
} emk_cli_new_key;
emk_status emk_cli_key_make(emk_cli *cli, const emk_cli_new_key *in,
                            emk_cli_public *pub) EMK_MUST_CHECK;

/* The issuer's, or the sealing, private key of a directory. */
emk_status emk_cli_signer_open(emk_cli *cli, const char *dir, emk_cli_key_use use,
                               emk_cli_signer *out) EMK_MUST_CHECK;

/* Makes sealing.key and sealing.cert, good from now for valid_s seconds. */
emk_status emk_cli_sealing_key_make(emk_cli *cli, const char *dir, const emk_secret *passphrase,
                                    uint64_t valid_s) EMK_MUST_CHECK;
/* Appends sealing.cert to cert; EMK_E_POLICY, with advice, when its time is over. */
emk_status emk_cli_sealing_cert_read(emk_cli *cli, const char *dir, const emk_signer *signer,
                                     emk_buf *cert) EMK_MUST_CHECK;

/* Notes that something happened, once: makes <dir>/<list>/<id in hex> with these bytes.
 * EMK_E_USED when it was there. */
emk_status emk_cli_note_once(emk_cli *cli, const char *dir, const char *list, emk_span id,
                             emk_span bytes) EMK_MUST_CHECK;
bool emk_cli_note_exists(emk_cli *cli, const char *dir, const char *list, emk_span id);
/* Takes such a note back, for work that failed and left nothing. */
void emk_cli_note_forget(emk_cli *cli, const char *dir, const char *list, emk_span id);

#endif
