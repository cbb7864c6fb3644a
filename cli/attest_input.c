#include "cli/attest_input.h"

#include "cli/files.h"
#include "cli/text.h"
#include "core/base/os_time.h"
#include "core/base/secret.h"
#include "core/codec/base64.h"
#include "core/codec/base64url.h"

#include <string.h>

#define INPUT_MAX ((size_t)1 << 20) /* bytes of one file */
#define KEY_FILE  4096u
#define BYTES_MAX 32768u
#define DIGEST    32u

/* --- bytes in words ----------------------------------------------------------------------- */

static bool decode_hex(const char *text, size_t n, uint8_t *out)
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        char ch = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + ('a' - 'A')) : text[i];
        const char *at = ch ? strchr(DIGITS, ch) : NULL;

        if (!at)
            return false;
        out[i / 2] = (uint8_t)((i % 2 ? (unsigned)out[i / 2] << 4 : 0) | (unsigned)(at - DIGITS));
    }
    return n % 2 == 0;
}

static bool decode_base64(emk_span text, uint8_t *out, size_t cap, size_t *len)
{
    return emk_base64_decode(text, out, cap, len, NULL) == EMK_OK ||
           emk_base64url_decode(text, out, cap, len, NULL) == EMK_OK;
}

/* Decodes into in->bytes, where it stays. */
static bool decode(emk_attest_input *in, const char *text, emk_span *out)
{
    uint8_t *p = in->bytes.p + in->bytes.len;
    size_t room = in->bytes.cap - in->bytes.len, n = strlen(text), len = 0;
    bool good;

    if (n + 1 > room)
        return false;
    if (strncmp(text, "text:", 5) == 0) {
        len = n - 5;
        memcpy(p, text + 5, len);
        good = true;
    } else if (strncmp(text, "base64:", 7) == 0) {
        good = decode_base64(emk_span_of(text + 7, n - 7), p, room, &len);
    } else {
        size_t skip = strncmp(text, "hex:", 4) == 0 ? 4 : 0;

        good = decode_hex(text + skip, n - skip, p);
        len = (n - skip) / 2;
    }
    if (!good)
        return false;
    *out = emk_span_of(p, len);
    in->bytes.len += len;
    return true;
}

static emk_status read_bytes(emk_cli *cli, emk_attest_input *in, const char *option, emk_span *out)
{
    const char *text = emk_cli_option_value(cli, option);

    if (!text || decode(in, text, out))
        return EMK_OK;
    return emk_cli_usage(cli, "--%s: hex, or hex:, base64: or text: in front", option);
}

static emk_status read_key_id(emk_cli *cli, emk_attest_input *in)
{
    const char *text = emk_cli_option_value(cli, "key-id");
    uint8_t *p = in->bytes.p + in->bytes.len;
    size_t len = 0;

    if (!text)
        return EMK_OK;
    if (!decode_base64(emk_span_str(text), p, in->bytes.cap - in->bytes.len, &len))
        return emk_cli_usage(cli, "--key-id: not base64");
    in->evidence.key_id = emk_span_of(p, len);
    in->bytes.len += len;
    return EMK_OK;
}

static emk_status read_digests(emk_cli *cli, emk_attest_input *in)
{
    const char *text = emk_cli_option_value(cli, "app-digest");

    while (text) {
        size_t n = strcspn(text, ",");
        uint8_t *p = in->bytes.p + in->bytes.len;

        if (n != (size_t)2 * DIGEST || in->policy.n_app_digests == EMK_VERIFY_DIGESTS_MAX ||
            in->bytes.cap - in->bytes.len < DIGEST || !decode_hex(text, n, p))
            return emk_cli_usage(cli, "--app-digest: 64 hex digits, at most %u of them",
                                 EMK_VERIFY_DIGESTS_MAX);
        in->policy.app_digests[in->policy.n_app_digests++] = emk_span_of(p, DIGEST);
        in->bytes.len += DIGEST;
        text = text[n] ? text + n + 1 : NULL;
    }
    return EMK_OK;
}

/* One SHA-256 over PCR values. */
static emk_status read_allowed(emk_cli *cli, emk_attest_input *in)
{
    emk_span digest = {NULL, 0};
    emk_status st = read_bytes(cli, in, "allowed-pcrs", &digest);

    if (st != EMK_OK || digest.len == 0)
        return st;
    if (digest.len != sizeof in->allowed[0])
        return emk_cli_usage(cli, "--allowed-pcrs: SHA-256 over the values, 64 hex digits");
    memcpy(in->allowed[0], digest.p, digest.len);
    in->policy.tpm_good = (const uint8_t(*)[32])in->allowed;
    in->policy.n_tpm_good = 1;
    return EMK_OK;
}

/* --- words and numbers ---------------------------------------------------------------------- */

emk_status emk_attest_accept_read(emk_cli *cli, emk_attest_policy *p)
{
    const char *text = emk_cli_option_value(cli, "accept");

    while (text) {
        size_t n = strcspn(text, ",");
        emk_span word = emk_span_of(text, n);

        if (emk_span_equal(word, emk_span_str("unverified-boot")))
            p->unverified_boot = true;
        else if (emk_span_equal(word, emk_span_str("weak-device")))
            p->weak_device = true;
        else if (emk_span_equal(word, emk_span_str("decoded")))
            p->allow_decoded = true;
        else if (emk_span_equal(word, emk_span_str("testing")))
            p->allow_testing = true;
        else if (emk_span_equal(word, emk_span_str("simulated")))
            p->simulated = EMK_SIMULATED_COUNTS;
        else if (emk_span_equal(word, emk_span_str("old-list")))
            p->stale = EMK_STALE_WARN;
        else if (emk_span_equal(word, emk_span_str("sha1")))
            p->tpm_sha1 = true;
        else
            return emk_cli_usage(cli, "--accept: unverified-boot, weak-device, decoded, testing, "
                                      "simulated, old-list or sha1");
        text = text[n] ? text + n + 1 : NULL;
    }
    return EMK_OK;
}

static emk_status read_number(emk_cli *cli, const char *option, uint32_t *out)
{
    const char *text = emk_cli_option_value(cli, option);
    uint64_t v = 0;

    if (!text)
        return EMK_OK;
    if (emk_cli_parse_number(text, &v, NULL) != EMK_OK || v > UINT32_MAX)
        return emk_cli_usage(cli, "--%s: a number", option);
    *out = (uint32_t)v;
    return EMK_OK;
}

static emk_status read_times(emk_cli *cli, emk_attest_policy *p)
{
    const char *when = emk_cli_option_value(cli, "time"),
               *age = emk_cli_option_value(cli, "max-age");
    uint64_t now = emk_os_now_s(), at = now, s = 0;

    if (when && emk_cli_parse_time(when, now, &at, NULL) != EMK_OK)
        return emk_cli_usage(cli, "--time: a time like 2026-01-02T03:04:05Z");
    if (age && emk_cli_parse_duration(age, &s, NULL) != EMK_OK)
        return emk_cli_usage(cli, "--max-age: a duration like 10m");
    p->time_s = (int64_t)at;
    p->max_age_s = (int64_t)s;
    return EMK_OK;
}

/* --- files ---------------------------------------------------------------------------------------
 */

static emk_status read_file(emk_cli *cli, emk_attest_input *in, const char *path)
{
    if (in->n_files == EMK_ATTEST_INPUTS_MAX)
        return emk_cli_usage(cli, "at most %u files", EMK_ATTEST_INPUTS_MAX);
    return emk_cli_read_input(cli, path, INPUT_MAX, &in->file[in->n_files++]);
}

static void set_evidence(emk_attest_input *in)
{
    emk_span first = emk_buf_span(&in->file[0]);
    bool pem = first.len > 10 && memcmp(first.p, "-----BEGIN", 10) == 0;

    in->evidence.object = first;
    for (size_t i = 0; i < in->n_files; i++)
        in->certs[i] = emk_buf_span(&in->file[i]);
    if (in->evidence.kind == EMK_ATTEST_ANDROID_KEY && !pem) {
        in->evidence.certs = in->certs;
        in->evidence.n_certs = in->n_files;
    }
    if (in->evidence.kind != EMK_ATTEST_PLAY_INTEGRITY && in->evidence.kind != EMK_ATTEST_SAFETYNET)
        return;
    while (first.len > 0 && (first.p[first.len - 1] == '\n' || first.p[first.len - 1] == '\r'))
        first.len--; /* of the text file, not of the token */
    in->evidence.object = first;
}

static emk_status read_files(emk_cli *cli, emk_attest_input *in)
{
    const char *path = emk_cli_option_value(cli, "input");
    emk_status st;

    if (in->evidence.kind == EMK_ATTEST_NONE)
        return path ? emk_cli_usage(cli, "there is no evidence of the kind none") : EMK_OK;
    if (!path)
        return emk_cli_usage(cli, "--input is missing");
    st = read_file(cli, in, path);
    for (size_t i = 0; st == EMK_OK && i < cli->args.n_operands; i++)
        st = read_file(cli, in, emk_cli_operand_at(cli, i));
    if (st == EMK_OK && in->n_files > 1 && in->evidence.kind != EMK_ATTEST_ANDROID_KEY &&
        in->evidence.kind != EMK_ATTEST_TPM)
        return emk_cli_usage(cli, "this kind of evidence is one file");
    if (st == EMK_OK)
        set_evidence(in);
    return st;
}

/* Base64 in a file, perhaps with the end of its line. */
static emk_status read_key_file(emk_cli *cli, const char *option, uint8_t *out, size_t cap,
                                size_t *len)
{
    const char *path = emk_cli_option_value(cli, option);
    emk_buf text;
    emk_status st;

    emk_buf_init(&text, KEY_FILE);
    st = path ? emk_cli_read_input(cli, path, KEY_FILE, &text)
              : emk_cli_usage(cli, "--%s is missing", option);
    while (st == EMK_OK && text.len > 0 &&
           (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    if (st == EMK_OK && !decode_base64(emk_buf_span(&text), out, cap, len))
        st = emk_cli_about(
            cli, emk_fail(&cli->error, EMK_E_FORMAT, "attest: a key that is not base64", 0), path);
    if (text.p)
        emk_wipe(text.p, text.cap);
    emk_buf_done(&text);
    return st;
}

static emk_status read_play_keys(emk_cli *cli, emk_attest_input *in)
{
    uint8_t secret[64], spki[512];
    size_t n = 0, m = 0;
    emk_status st;

    if (in->evidence.kind != EMK_ATTEST_PLAY_INTEGRITY || in->policy.allow_decoded)
        return EMK_OK;
    st = read_key_file(cli, "decryption-key", secret, sizeof secret, &n);
    if (st == EMK_OK)
        st = read_key_file(cli, "verification-key", spki, sizeof spki, &m);
    if (st == EMK_OK)
        st = emk_play_keys_new(in->crypto, emk_span_of(secret, n), emk_span_of(spki, m),
                               &in->play_keys, &cli->error);
    emk_wipe(secret, sizeof secret);
    in->policy.play_keys = in->play_keys;
    return st;
}

emk_status emk_attest_roots_find(emk_cli *cli, const char *dir, emk_attest_roots **out)
{
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_attest_roots_open(c, dir, out, &cli->error);
    if (st == EMK_E_NOT_FOUND) {
        st = emk_attest_roots_open_plain(c, dir, out, &cli->error);
        if (st == EMK_OK)
            emk_cli_remark(cli, "%s has no index: nobody knows how old these roots and lists are",
                           dir);
    }
    return emk_cli_about(cli, st, dir);
}

/* --- all
 * ------------------------------------------------------------------------------------------- */

static emk_status read_kind(emk_cli *cli, const char *kind, emk_attest_input *in)
{
    if (strcmp(kind, "app_attest_assertion") == 0)
        in->form = EMK_ATTEST_FORM_ASSERTION;
    else if (strcmp(kind, "app_attest_receipt") == 0)
        in->form = EMK_ATTEST_FORM_RECEIPT;
    in->evidence.kind = EMK_ATTEST_APP_ATTEST;
    if (in->form == EMK_ATTEST_FORM_EVIDENCE && !emk_attest_kind_find(kind, &in->evidence.kind))
        return emk_cli_usage(cli, "--kind: there is no such kind");
    return EMK_OK;
}

static emk_status read_policy(emk_cli *cli, emk_attest_input *in)
{
    emk_attest_policy *p = &in->policy;
    emk_status st;

    p->app = emk_cli_option_value(cli, "app");
    p->development = emk_cli_option_given(cli, "development");
    p->allow_none = true; /* whoever asks for these wants them looked at */
    p->allow_retired = true;
    st = read_times(cli, p);
    if (st == EMK_OK)
        st = emk_attest_accept_read(cli, p);
    if (st == EMK_OK)
        st = read_number(cli, "min-level", &p->min_level);
    if (st == EMK_OK)
        st = read_number(cli, "counter", &in->counter);
    if (st == EMK_OK)
        st = read_bytes(cli, in, "nonce", &p->challenge);
    return st == EMK_OK ? read_digests(cli, in) : st;
}

static bool needs_roots(const emk_attest_input *in)
{
    return in->form != EMK_ATTEST_FORM_ASSERTION && in->evidence.kind != EMK_ATTEST_NONE &&
           in->evidence.kind != EMK_ATTEST_PLAY_INTEGRITY;
}

static emk_status read_all(emk_cli *cli, const char *kind, emk_attest_input *in)
{
    const char *dir = emk_cli_option_value(cli, "roots");
    emk_status st = read_kind(cli, kind, in);

    if (st == EMK_OK)
        st = read_policy(cli, in);
    if (st == EMK_OK)
        st = read_bytes(cli, in, "client-data-hash", &in->client_data_hash);
    if (st == EMK_OK)
        st = read_bytes(cli, in, "public-key", &in->evidence.key);
    if (st == EMK_OK)
        st = read_bytes(cli, in, "agreement-key", &in->policy.tpm_agreement);
    if (st == EMK_OK)
        st = read_bytes(cli, in, "secret", &in->policy.tpm_secret);
    if (st == EMK_OK)
        st = read_allowed(cli, in);
    if (st == EMK_OK)
        st = read_key_id(cli, in);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &in->crypto);
    if (st == EMK_OK)
        st = read_files(cli, in);
    if (st == EMK_OK)
        st = read_play_keys(cli, in);
    if (st != EMK_OK || !needs_roots(in) || (in->evidence.kind == EMK_ATTEST_TPM && !dir))
        return st; /* whether TPM evidence needs roots is seen when its files are known */
    return dir ? emk_attest_roots_find(cli, dir, &in->roots)
               : emk_cli_usage(cli, "--roots is missing");
}

emk_status emk_attest_input_read(emk_cli *cli, const char *kind, emk_attest_input *in)
{
    uint8_t *p;
    emk_status st;

    memset(in, 0, sizeof *in);
    in->evidence.size = sizeof in->evidence;
    in->policy.size = sizeof in->policy;
    emk_buf_init(&in->bytes, BYTES_MAX);
    st = emk_buf_grow(&in->bytes, BYTES_MAX, &p, &cli->error);
    in->bytes.len = 0;
    return st == EMK_OK ? read_all(cli, kind, in) : st;
}

void emk_attest_input_done(emk_attest_input *in)
{
    for (size_t i = 0; i < in->n_files; i++)
        emk_buf_done(&in->file[i]);
    emk_buf_done(&in->bytes);
    emk_play_keys_free(in->play_keys);
    emk_attest_roots_free(in->roots);
}
