/* What is asked of devices, from the configuration: apps, roots, keys of the Play Console. */
#include "server/daemon/server.h"

#include "core/base/alloc.h"
#include "core/base/os_time.h"
#include "core/base/secret.h"

#include <stdatomic.h>
#include <string.h>

#define KEY_FILE_MAX  1024u
#define DIGEST_HEX    64u
#define PCRS_DEFAULT  0xFFu /* firmware, boot loader and their settings */
#define KIND_NAME_MAX 32u

#define OLD_ROOTS_REST_NS UINT64_C(60000000000) /* no verification takes that long */

/* The next word of a text with spaces between; empty: no more. */
static emk_span next_word(const char **text)
{
    const char *p = *text;
    emk_span word;

    while (p && *p == ' ')
        p++;
    word = emk_span_of(p, p ? strcspn(p, " ") : 0);
    *text = p ? p + word.len : p;
    return word;
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static emk_status read_digest(emk_span hex, uint8_t out[32], emk_error *e)
{
    if (hex.len != DIGEST_HEX)
        return emk_fail(e, EMK_E_FORMAT, "configuration: a digest has 64 hex digits", hex.len);
    for (size_t i = 0; i < 32; i++) {
        int high = digit(hex.p[2 * i]), low = digit(hex.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return emk_fail(e, EMK_E_FORMAT, "configuration: digest in lower-case hex", i);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return EMK_OK;
}

/* Fills up to max digests; *n is their number. */
static emk_status read_digests(const char *text, uint8_t (*out)[32], size_t max, size_t *n,
                               emk_error *e)
{
    emk_status st = EMK_OK;
    emk_span word;

    *n = 0;
    while (st == EMK_OK && (word = next_word(&text)).len > 0) {
        if (*n == max)
            return emk_fail(e, EMK_E_LIMIT, "configuration: too many digests", max);
        st = read_digest(word, out[(*n)++], e);
    }
    return st;
}

static emk_status read_kinds(const char *text, uint32_t *out, emk_error *e)
{
    emk_span word;

    while ((word = next_word(&text)).len > 0) {
        char name[KIND_NAME_MAX] = "";
        emk_attest_kind kind;

        if (word.len >= sizeof name)
            return emk_fail(e, EMK_E_FORMAT, "configuration: kind of attestation", word.len);
        memcpy(name, word.p, word.len);
        if (!emk_attest_kind_find(name, &kind) || kind == EMK_ATTEST_NONE)
            return emk_fail(e, EMK_E_FORMAT, "configuration: kind of attestation", 0);
        *out |= UINT32_C(1) << kind;
    }
    return EMK_OK;
}

static emk_status read_play_keys(emk_server *s, const emk_config_app *in, emk_play_keys **out,
                                 emk_error *e)
{
    emk_secret *decryption = NULL;
    emk_buf verification;
    emk_status st;

    if (!in->play_decryption && !in->play_verification)
        return EMK_OK;
    if (!in->play_decryption || !in->play_verification)
        return emk_fail(e, EMK_E_FORMAT, "configuration: both keys of the Play Console", 0);
    emk_buf_init(&verification, KEY_FILE_MAX);
    st = emk_os_read_secret(in->play_decryption, KEY_FILE_MAX, &decryption, e);
    if (st == EMK_OK)
        st = emk_os_read_file(in->play_verification, KEY_FILE_MAX, &verification, e);
    if (st == EMK_OK)
        st = emk_play_keys_new(s->crypto, emk_secret_span(decryption), emk_buf_span(&verification),
                               out, e);
    emk_buf_done(&verification);
    emk_secret_free(decryption);
    return st;
}

static emk_status read_app(emk_server *s, const emk_config_app *in, emk_api_app *out, emk_error *e)
{
    size_t len = strlen(in->id);
    emk_status st;

    if (len > EMK_APP_MAX)
        return emk_fail(e, EMK_E_LIMIT, "configuration: id of an app", len);
    memcpy(out->id, in->id, len + 1);
    out->min_level = (uint32_t)in->min_level;
    out->min_os_patch = (uint32_t)in->min_os_patch;
    out->min_version = in->min_version;
    out->development = in->development;
    out->unverified_boot = in->unverified_boot;
    out->retired = in->retired;
    st = read_kinds(in->kinds, &out->kinds, e);
    if (st == EMK_OK)
        st = read_digests(in->digests, out->digests, EMK_VERIFY_DIGESTS_MAX, &out->n_digests, e);
    return st == EMK_OK ? read_play_keys(s, in, &out->play_keys, e) : st;
}

/* With --dev the folder need not be there. */
static emk_status read_roots(emk_server *s, emk_error *e)
{
    emk_attest_roots *roots = NULL;
    emk_status st;

    if (!s->config.attest_roots)
        return EMK_OK;
    st = emk_attest_roots_open(s->crypto, s->config.attest_roots, &roots, e);
    if (st == EMK_OK)
        s->attestation->roots = roots;
    return st == EMK_E_NOT_FOUND && s->options.dev ? EMK_OK : st;
}

emk_status emk_server_roots_reload(emk_server *s, emk_error *e)
{
    unsigned place = s->n_old_roots % EMK_SERVER_OLD_ROOTS;
    uint64_t now_ns = emk_os_monotonic_ns();
    emk_attest_roots *fresh = NULL;
    emk_status st;

    /* A handler may have them in hand: what was replaced is kept longer than any of them works. */
    if (s->old_roots[place] && now_ns - s->old_roots_ns[place] < OLD_ROOTS_REST_NS)
        return emk_fail(e, EMK_E_BUSY, "attestation: reloaded too often; wait a minute", place);
    st = emk_attest_roots_open(s->crypto, s->config.attest_roots, &fresh, e);
    if (st != EMK_OK)
        return st;
    emk_attest_roots_free(s->old_roots[place]);
    s->old_roots[place] = atomic_exchange(&s->attestation->roots, fresh);
    s->old_roots_ns[place] = now_ns;
    s->n_old_roots++;
    return EMK_OK;
}

emk_status emk_server_attestation_open(emk_server *s, emk_error *e)
{
    const emk_config *c = &s->config;
    emk_api_attestation *a = emk_alloc(1, sizeof *a);
    emk_status st = emk_crypto_new(NULL, NULL, &s->crypto, e);

    s->attestation = a;
    if (!a)
        return emk_fail(e, EMK_E_NO_MEMORY, "attestation: memory", sizeof *a);
    a->stale = (emk_attest_stale)c->attest_stale;
    a->simulated = s->options.dev ? EMK_SIMULATED_COUNTS : EMK_SIMULATED_REFUSED;
    a->sha1_ek = c->attest_sha1_ek;
    a->pcrs.n = 1;
    a->pcrs.banks[0].hash = EMK_TPM_ALG_SHA256;
    a->pcrs.banks[0].pcrs = c->attest_pcrs ? (uint32_t)c->attest_pcrs : PCRS_DEFAULT;
    if (st == EMK_OK)
        st = read_digests(c->attest_good, a->good, EMK_API_GOOD_PCR_MAX, &a->n_good, e);
    for (size_t i = 0; st == EMK_OK && i < c->n_apps; i++) {
        st = read_app(s, &c->apps[i], &a->apps[i], e);
        a->n_apps = i + 1;
    }
    return st == EMK_OK ? read_roots(s, e) : st;
}

void emk_server_attestation_close(emk_server *s)
{
    emk_api_attestation *a = s->attestation;

    for (size_t i = 0; a && i < a->n_apps; i++)
        emk_play_keys_free(a->apps[i].play_keys);
    emk_attest_roots_free(a ? a->roots : NULL);
    for (unsigned i = 0; i < EMK_SERVER_OLD_ROOTS; i++)
        emk_attest_roots_free(s->old_roots[i]);
    emk_free(a);
    s->attestation = NULL;
}
