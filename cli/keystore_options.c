#include "cli/keystore_options.h"

#include "cli/issuer.h"
#include "cli/text.h"
#include "core/crypto/random.h"
#include "core/crypto/sign.h"

#include <stdlib.h>
#include <string.h>

#define PUBLIC_FILE_MAX 256u
#define DER_PREFIX_LEN  26u

static const char *const OF_TPM2[] = {"tcti", "pcrs", "pcr-authority", "pcr-signature", NULL};
static const char *const OF_PKCS11[] = {"module", "token", NULL};
static const char *const OF_SOFT[] = {"classic", NULL};

static emk_status refuse_options(emk_cli *cli, const char *const *names, const char *kind)
{
    for (size_t i = 0; names[i]; i++) {
        if (emk_cli_option_given(cli, names[i]))
            return emk_cli_usage(cli, "--%s does not go with --keystore %s", names[i], kind);
    }
    return EMK_OK;
}

/* ---- PCR policies ---- */

emk_status emk_cli_parse_pcrs(emk_cli *cli, const char *text, uint32_t *out)
{
    uint32_t bits = 0;

    while (*text) {
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (end == text || text[0] == '-' || text[0] == '+' || n > 23 || (*end && *end != ','))
            return emk_cli_usage(cli, "--pcrs takes numbers from 0 to 23, as 0,2,4,7");
        bits |= UINT32_C(1) << n;
        text = *end ? end + 1 : end;
    }
    if (bits == 0)
        return emk_cli_usage(cli, "--pcrs takes numbers from 0 to 23, as 0,2,4,7");
    *out = bits;
    return EMK_OK;
}

/* A P-256 key as `openssl ec -pubout -outform DER` writes it, or a line as in issuer.pub. */
static emk_status read_authority(emk_cli *cli, const char *path, uint8_t out[65])
{
    static const uint8_t prefix[DER_PREFIX_LEN] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    emk_cli_public pub = {.len = 0};
    emk_buf file;
    emk_status st = emk_cli_read_input(cli, path, PUBLIC_FILE_MAX, &file);
    emk_span s = emk_buf_span(&file);

    if (st == EMK_OK && s.len == DER_PREFIX_LEN + 65 && memcmp(s.p, prefix, DER_PREFIX_LEN) == 0) {
        memcpy(out, s.p + DER_PREFIX_LEN, 65);
    } else if (st == EMK_OK) {
        if (emk_cli_public_parse(s, &pub, &cli->error) == EMK_OK && pub.len == 65)
            memcpy(out, pub.bytes, 65);
        else
            st = emk_fail(&cli->error, EMK_E_FORMAT, "authority: not a P-256 public key", 0);
        st = emk_cli_advise(cli, st,
                            "Write it with `openssl ec -in KEY -pubout -outform DER -out FILE`.");
    }
    emk_buf_done(&file);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_read_policy_signature(emk_cli *cli, const char *path, uint8_t sig[64])
{
    emk_buf file;
    emk_status st = emk_cli_read_input(cli, path, EMK_SIGN_DER_MAX, &file);

    if (st == EMK_OK && file.len == 64)
        memcpy(sig, file.p, 64);
    else if (st == EMK_OK)
        st = emk_sign_from_der(emk_buf_span(&file), sig, &cli->error);
    emk_buf_done(&file);
    return emk_cli_about(cli, st, path);
}

static emk_status policy_options(emk_cli *cli, emk_cli_keys_store *store, emk_cli_keys *keys)
{
    const char *pcrs = emk_cli_option_value(cli, "pcrs");
    const char *authority = emk_cli_option_value(cli, "pcr-authority");
    const char *signature = emk_cli_option_value(cli, "pcr-signature");
    emk_status st;

    if (!pcrs && !authority && !signature)
        return EMK_OK;
    if (!pcrs || !authority || !signature)
        return emk_cli_usage(cli, "--pcrs, --pcr-authority and --pcr-signature go together");
    st = emk_cli_parse_pcrs(cli, pcrs, &store->policy.pcrs);
    if (st == EMK_OK)
        st = read_authority(cli, authority, store->authority);
    if (st == EMK_OK)
        st = emk_cli_read_policy_signature(cli, signature, store->policy.sig);
    if (st == EMK_OK)
        st = emk_cli_present_pcrs(cli, emk_cli_option_value(cli, "tcti"), store->policy.pcrs,
                                  store->policy.digest);
    if (st != EMK_OK)
        return st;
    keys->authority = emk_span_of(store->authority, sizeof store->authority);
    keys->policy = &store->policy;
    return EMK_OK;
}

/* ---- one function for each kind ---- */

static emk_status take_text(emk_cli *cli, const char *option, char *out, size_t cap)
{
    const char *text = emk_cli_option_value(cli, option);

    if (text && strlen(text) >= cap)
        return emk_cli_usage(cli, "--%s is too long", option);
    snprintf(out, cap, "%s", text ? text : "");
    return EMK_OK;
}

static emk_status soft_options(emk_cli *cli, emk_cli_keys *keys)
{
    const char *asked = emk_cli_option_value(cli, "keystore");
    bool fell_back = asked && strcmp(asked, "auto") == 0; /* then --tcti, the first, made sense */
    const emk_crypto *c = NULL;
    emk_status st = refuse_options(cli, OF_TPM2 + fell_back, "soft");

    if (st == EMK_OK)
        st = refuse_options(cli, OF_PKCS11, "soft");
    if (st == EMK_OK)
        st = emk_cli_new_passphrase(cli, &keys->secret);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    keys->post_quantum = st == EMK_OK && emk_kem_is_supported(c, EMK_KEM_MLKEM768_P256) &&
                         !emk_cli_option_given(cli, "classic");
    return st;
}

/* "pkcs11:token=<label>", with what a URI cannot hold written as %XX.  [RFC 7512 2.3] */
static emk_status token_uri(emk_cli *cli, const char *label, char *out, size_t cap)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t at;

    if (strncmp(label, "pkcs11:", 7) == 0)
        return take_text(cli, "token", out, cap);
    at = (size_t)snprintf(out, cap, "pkcs11:token=");
    for (; *label; label++) {
        if (at + 4 > cap)
            return emk_cli_usage(cli, "--token is too long");
        at += (size_t)snprintf(out + at, cap - at, strchr(plain, *label) ? "%c" : "%%%02X",
                               (unsigned char)*label);
    }
    return EMK_OK;
}

static emk_status where_token(emk_cli *cli, emk_cli_keys_config *config)
{
    const char *label = emk_cli_option_value(cli, "token");
    emk_status st = EMK_OK;

    if (!label != !emk_cli_option_given(cli, "module"))
        st = emk_cli_usage(cli, "--module FILE and --token NAME go together");
    if (st == EMK_OK)
        st = take_text(cli, "module", config->module, sizeof config->module);
    if (st == EMK_OK && label)
        st = token_uri(cli, label, config->token, sizeof config->token);
    return st;
}

emk_status emk_cli_holder_options(emk_cli *cli, emk_cli_keys_config *config)
{
    emk_status st = take_text(cli, "tcti", config->tcti, sizeof config->tcti);

    return st == EMK_OK ? where_token(cli, config) : st;
}

/* EARMARK_PIN makes a PIN, too: the later commands read it there. */
static emk_status new_pin(emk_cli *cli, emk_cli_keys *keys)
{
    const char *pin = getenv("EARMARK_PIN");
    emk_status st = emk_cli_new_passphrase(cli, &keys->secret);

    if (st == EMK_OK && !keys->secret && pin && pin[0]) {
        if (strlen(pin) > EMK_TPM2_PIN_MAX)
            return emk_cli_usage(cli, "EARMARK_PIN: a TPM's PIN has at most 32 bytes");
        st = emk_secret_new(strlen(pin), &cli->passphrase, &cli->error);
        if (st == EMK_OK)
            memcpy(emk_secret_bytes(cli->passphrase), pin, strlen(pin));
        keys->secret = cli->passphrase;
    }
    if (st == EMK_OK && keys->secret)
        memcpy(keys->config.pin, "yes", sizeof "yes");
    return st;
}

static emk_status tpm2_options(emk_cli *cli, emk_cli_keys_store *store, emk_cli_keys *keys)
{
    emk_status st = refuse_options(cli, OF_PKCS11, "tpm2");

    if (st == EMK_OK)
        st = emk_cli_holder_options(cli, &keys->config);
    if (st == EMK_OK)
        st = new_pin(cli, keys);
    return st == EMK_OK ? policy_options(cli, store, keys) : st;
}

emk_status emk_cli_token_options(emk_cli *cli, emk_cli_keys_config *config)
{
    uint8_t id[EMK_CLI_HOLDER_ID / 2];
    const emk_crypto *c = NULL;
    emk_status st = EMK_OK;

    if (!emk_cli_option_given(cli, "module"))
        st = emk_cli_usage(cli, "--keystore pkcs11 needs --module FILE and --token NAME");
    if (st == EMK_OK && emk_cli_option_given(cli, "ask-passphrase"))
        st = emk_cli_usage(cli, "a token's PIN is set with the token's own tools; earmark asks "
                                "for it where it is needed");
    if (st == EMK_OK)
        st = where_token(cli, config);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_random_public(c, id, sizeof id, &cli->error);
    if (st == EMK_OK)
        emk_cli_format_hex(emk_span_of(id, sizeof id), config->id, sizeof config->id);
    return st;
}

static emk_status pkcs11_options(emk_cli *cli, emk_cli_keys *keys)
{
    emk_status st = refuse_options(cli, OF_TPM2, "pkcs11");

    return st == EMK_OK ? emk_cli_token_options(cli, &keys->config) : st;
}

/* ---- which ---- */

/* A TPM where it can be used; what stands against it is said, as it may be one `usermod` away. */
static const char *choose(emk_cli *cli)
{
    emk_cli_keys_config config = {.kind = "tpm2"};

    if (EMK_CLI_HOLDER_TPM2.absent) {
        emk_cli_remark(cli, "software keys: %s", EMK_CLI_HOLDER_TPM2.absent);
        return "soft";
    }
    if (take_text(cli, "tcti", config.tcti, sizeof config.tcti) == EMK_OK &&
        EMK_CLI_HOLDER_TPM2.probe(cli, &config) == EMK_OK)
        return "tpm2";
    emk_cli_remark(cli, "software keys, for want of a TPM: %s", cli->error.what);
    return "soft";
}

emk_status emk_cli_keys_from_options(emk_cli *cli, emk_cli_keys_store *store, emk_cli_keys *keys)
{
    const char *kind = emk_cli_option_value(cli, "keystore");
    const emk_cli_holder *holder;
    emk_status st;

    kind = kind ? kind : "soft";
    if (strcmp(kind, "auto") == 0)
        kind = choose(cli);
    holder = emk_cli_holder_find(kind);
    if (!holder)
        return emk_cli_usage(cli, "--keystore is soft, tpm2, pkcs11 or auto");
    st = emk_cli_holder_check(cli, holder);
    if (st != EMK_OK)
        return st;
    snprintf(keys->config.kind, sizeof keys->config.kind, "%s", kind);
    if (holder == &EMK_CLI_HOLDER_SOFT)
        return soft_options(cli, keys);
    st = refuse_options(cli, OF_SOFT, kind);
    if (st != EMK_OK)
        return st;
    return holder == &EMK_CLI_HOLDER_TPM2 ? tpm2_options(cli, store, keys)
                                          : pkcs11_options(cli, keys);
}
