#include "cli/issuer.h"

#include "cli/issuer_token.h"
#include "cli/os_files.h"
#include "cli/text.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"

#include <string.h>

#define PUBLIC_WORD "emk-issuer-1 "
#define PUBLIC_TEXT 256u

void emk_cli_signer_done(emk_cli_signer *s)
{
    emk_sign_key_free(s->key);
    emk_cli_issuer_token_close(s->token);
    *s = (emk_cli_signer){0};
}

emk_status emk_cli_public_parse(emk_span text, emk_cli_public *out, emk_error *e)
{
    const size_t word = sizeof PUBLIC_WORD - 1;
    emk_cli_public pub = {.len = 0};
    emk_status st;

    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    if (text.len < word || memcmp(text.p, PUBLIC_WORD, word) != 0)
        return emk_fail(e, EMK_E_FORMAT, "issuer key: not a line \"emk-issuer-1 ...\"", 0);
    st = emk_base64url_decode(emk_span_of(text.p + word, text.len - word), pub.bytes,
                              sizeof pub.bytes, &pub.len, e);
    if (st != EMK_OK || (pub.len != emk_sign_public_len(EMK_SIGN_ED25519) &&
                         pub.len != emk_sign_public_len(EMK_SIGN_ES256)))
        return emk_fail(e, EMK_E_FORMAT, "issuer key: not a public key", word);
    *out = pub;
    return EMK_OK;
}

emk_status emk_cli_public_read(emk_cli *cli, const char *path, emk_cli_public *out)
{
    char inside[EMK_CLI_PATH_MAX];
    emk_buf text;
    emk_status st = EMK_OK;

    emk_buf_init(&text, PUBLIC_TEXT);
    if (emk_cli_is_directory(path)) {
        st = emk_cli_join(cli, path, "issuer.pub", inside);
        path = inside;
    }
    if (st == EMK_OK)
        st = emk_cli_read_input(cli, path, PUBLIC_TEXT, &text);
    if (st == EMK_OK)
        st = emk_cli_public_parse(emk_buf_span(&text), out, &cli->error);
    emk_buf_done(&text);
    if (st == EMK_E_NOT_FOUND)
        st = emk_cli_advise(cli, st,
                            "Name the issuer's public key with --issuer issuer.pub; "
                            "`earmark issuer init` makes one.");
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_public_write(emk_cli *cli, const char *dir, const emk_cli_public *pub,
                                char *path)
{
    char line[160] = PUBLIC_WORD;
    size_t at = strlen(line), len = 0;
    emk_status st = emk_base64url_encode(emk_span_of(pub->bytes, pub->len), line + at,
                                         sizeof line - at - 1, &len, &cli->error);

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "issuer.pub", path);
    if (st != EMK_OK)
        return st;
    line[at + len] = '\n';
    return emk_cli_write_output(cli, path, emk_span_of(line, at + len + 1));
}

emk_status emk_cli_verify_key_read(emk_cli *cli, const char *path, emk_verify_key **out)
{
    const emk_crypto *c = NULL;
    emk_cli_public pub = {.len = 0};
    emk_status st = emk_cli_public_read(cli, path, &pub);

    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_cose_verify_key(c, emk_span_of(pub.bytes, pub.len), out, &cli->error);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_key_make(emk_cli *cli, const emk_cli_new_key *in, emk_cli_public *pub)
{
    char path[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_secret *key = NULL;
    emk_cli_public made = {.len = emk_sign_public_len(EMK_SIGN_ED25519)};
    emk_status st = emk_cli_join(cli, in->dir, in->name, path);

    if (st == EMK_OK && !in->replace && emk_os_exists(path)) {
        st = emk_fail(&cli->error, EMK_E_USED, "key file: exists already", 0);
        st = emk_cli_about(cli, st, path);
        return emk_cli_advise(cli, st,
                              "Keys are never replaced: choose another directory, or move "
                              "this one away.");
    }
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_secret_new(EMK_SIGN_PRIVATE_LEN, &key, &cli->error);
    if (st == EMK_OK)
        st = emk_sign_generate(c, EMK_SIGN_ED25519, emk_secret_bytes(key), made.bytes, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_key_write(cli, path, in->use, key, in->passphrase);
    emk_secret_free(key);
    if (st == EMK_OK)
        *pub = made;
    return st;
}

bool emk_cli_issuer_has_token(emk_cli *cli, const char *dir)
{
    char path[EMK_CLI_PATH_MAX];

    return emk_cli_join(cli, dir, "keystore", path) == EMK_OK && emk_os_exists(path);
}

static emk_status open_from_file(emk_cli *cli, const char *dir, emk_cli_key_use use,
                                 emk_cli_signer *out)
{
    const char *name = use == EMK_CLI_KEY_ISSUER ? "issuer.key" : "sealing.key";
    char path[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_secret *secret = NULL;
    emk_cli_signer s = {0};
    emk_status st = emk_cli_join(cli, dir, name, path);

    if (st == EMK_OK)
        st = emk_cli_key_read(cli, path, use, &secret);
    if (st == EMK_E_NOT_FOUND)
        st = emk_cli_advise(cli, st,
                            "Make an issuer with `earmark issuer init`, or name its "
                            "directory with --issuer DIR.");
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_sign_key_new(c, EMK_SIGN_ED25519, emk_secret_span(secret), &s.key, &cli->error);
    if (st == EMK_OK)
        st = emk_signer_from_key(c, s.key, &s.signer, &cli->error);
    emk_secret_free(secret);
    if (st == EMK_OK)
        *out = s;
    else
        emk_cli_signer_done(&s);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_signer_open(emk_cli *cli, const char *dir, emk_cli_key_use use,
                               emk_cli_signer *out)
{
    if (use == EMK_CLI_KEY_ISSUER && emk_cli_issuer_has_token(cli, dir))
        return emk_cli_about(cli, emk_cli_issuer_token_open(cli, dir, &out->token, &out->signer),
                             dir);
    return open_from_file(cli, dir, use, out);
}

static emk_status write_certificate(emk_cli *cli, const char *dir, const emk_cli_public *pub,
                                    uint64_t valid_s)
{
    char path[EMK_CLI_PATH_MAX];
    emk_sealing_certificate cert = {.public_len = pub->len, .not_before = emk_os_now_s()};
    emk_cli_signer issuer = {0};
    const emk_crypto *c = NULL;
    emk_buf out;
    emk_status st;

    emk_buf_init(&out, EMK_MESSAGE_MAX);
    memcpy(cert.public_key, pub->bytes, pub->len);
    cert.not_after = cert.not_before + valid_s;
    st = emk_cli_signer_open(cli, dir, EMK_CLI_KEY_ISSUER, &issuer);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_sealing_certificate_make(c, &issuer.signer, &cert, &out, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "sealing.cert", path);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&out));
    emk_cli_signer_done(&issuer);
    emk_buf_done(&out);
    return st;
}

emk_status emk_cli_sealing_key_make(emk_cli *cli, const char *dir, const emk_secret *passphrase,
                                    uint64_t valid_s)
{
    emk_cli_new_key key = {.dir = dir,
                           .name = "sealing.key",
                           .use = EMK_CLI_KEY_SEALING,
                           .passphrase = passphrase,
                           .replace = true};
    emk_cli_public pub = {.len = 0};
    emk_status st = emk_cli_key_make(cli, &key, &pub);

    return st == EMK_OK ? write_certificate(cli, dir, &pub, valid_s) : st;
}

static emk_status judge_certificate(emk_cli *cli, const char *dir, const emk_signer *signer,
                                    emk_span message)
{
    static const char fix[] = "Make a new sealing key: earmark issuer sealing-key";
    emk_sealing_certificate cert;
    emk_verify_key *issuer = NULL;
    const emk_crypto *c = NULL;
    uint64_t now = emk_os_now_s();
    emk_status st = emk_cli_verify_key_read(cli, dir, &issuer);

    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_sealing_certificate_verify(c, message, issuer, &cert, &cli->error);
    emk_verify_key_free(issuer);
    if (st != EMK_OK)
        return st;
    if (cert.public_len != signer->public_len ||
        memcmp(cert.public_key, signer->public_key, cert.public_len) != 0)
        st = emk_fail(&cli->error, EMK_E_SIGNATURE, "sealing certificate: of another key", 0);
    else if (now > cert.not_after || now < cert.not_before)
        st = emk_fail(&cli->error, EMK_E_POLICY, "sealing certificate: its time is over",
                      cert.not_after);
    return emk_cli_advise(cli, st, fix);
}

emk_status emk_cli_sealing_cert_read(emk_cli *cli, const char *dir, const emk_signer *signer,
                                     emk_buf *cert)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, dir, "sealing.cert", path);

    if (st == EMK_OK)
        st = emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, cert);
    if (st == EMK_OK)
        st = judge_certificate(cli, dir, signer, emk_buf_span(cert));
    return emk_cli_about(cli, st, path);
}

static emk_status note_path(emk_cli *cli, const char *dir, const char *list, emk_span id, char *out)
{
    char folder[EMK_CLI_PATH_MAX], name[80];
    emk_status st = emk_cli_join(cli, dir, list, folder);

    emk_cli_format_hex(id, name, sizeof name);
    if (st == EMK_OK)
        st = emk_cli_make_dirs(cli, folder);
    return st == EMK_OK ? emk_cli_join(cli, folder, name, out) : st;
}

void emk_cli_note_forget(emk_cli *cli, const char *dir, const char *list, emk_span id)
{
    char path[EMK_CLI_PATH_MAX];
    emk_error ignored;

    if (note_path(cli, dir, list, id, path) == EMK_OK && emk_os_remove(path, &ignored) != EMK_OK)
        emk_cli_remark(cli, "could not take back the note %s", path);
}

emk_status emk_cli_note_once(emk_cli *cli, const char *dir, const char *list, emk_span id,
                             emk_span bytes)
{
    char path[EMK_CLI_PATH_MAX];
    int fd = -1;
    emk_status st = note_path(cli, dir, list, id, path);

    if (st == EMK_OK)
        st = emk_os_create_new(path, &fd, &cli->error);
    if (st != EMK_OK)
        return st == EMK_E_USED ? st : emk_cli_about(cli, st, path);
    st = emk_os_write_at(fd, 0, bytes.p, bytes.len, &cli->error);
    if (st == EMK_OK)
        st = emk_os_sync(fd, &cli->error);
    emk_os_close(fd);
    if (st != EMK_OK)
        emk_cli_note_forget(cli, dir, list, id);
    return emk_cli_about(cli, st, path);
}

bool emk_cli_note_exists(emk_cli *cli, const char *dir, const char *list, emk_span id)
{
    char path[EMK_CLI_PATH_MAX];

    return note_path(cli, dir, list, id, path) == EMK_OK && emk_os_exists(path);
}
