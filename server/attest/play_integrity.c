/* The payload is read by a table: a path of names, and what to do with the value there.  Members
 * that nobody knows are passed over, and values that nobody knows never satisfy anything. */
#include "server/attest/play_integrity.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/codec/base64url.h"
#include "core/jose/jwe.h"
#include "core/jose/jws.h"
#include "core/jose/object.h"

#define WORD_MAX    64u
#define NUMBER_MAX  24u
#define DIGEST_LEN  32u
#define NONCE_TEXT  (EMK_PLAY_NONCE_MAX / 3 * 4 + 8)
#define PAYLOAD_MAX EMK_PLAY_TOKEN_MAX

struct emk_play_keys {
    const emk_crypto *c;
    emk_secret *decryption;
    emk_jwk *verification;
};

emk_status emk_play_keys_new(const emk_crypto *c, emk_span decryption, emk_span verification,
                             emk_play_keys **out, emk_error *e)
{
    emk_play_keys *k;
    emk_status st;

    if (decryption.len != EMK_JWE_KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "play_integrity: length of the decryption key",
                        decryption.len);
    k = emk_alloc(1, sizeof *k);
    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "play_integrity: keys", sizeof *k);
    k->c = c;
    st = emk_secret_new(decryption.len, &k->decryption, e);
    if (st == EMK_OK)
        st = emk_jwk_from_spki(c, verification, EMK_JOSE_BIT(EMK_JOSE_ES256), &k->verification, e);
    if (st != EMK_OK) {
        emk_play_keys_free(k);
        return st;
    }
    memcpy(emk_secret_bytes(k->decryption), decryption.p, decryption.len);
    *out = k;
    return EMK_OK;
}

void emk_play_keys_free(emk_play_keys *k)
{
    if (!k)
        return;
    emk_secret_free(k->decryption);
    emk_jwk_free(k->verification);
    emk_free(k);
}

/* --- open ------------------------------------------------------------------------------------ */

emk_status emk_play_integrity_open(const emk_play_keys *k, emk_span token, emk_buf *out,
                                   emk_error *e)
{
    static const emk_jws_rules RULES = {.algs = EMK_JOSE_BIT(EMK_JOSE_ES256),
                                        .max_len = EMK_PLAY_TOKEN_MAX};
    emk_jws jws = {0};
    emk_buf inner;
    emk_status st;

    if (token.len > EMK_PLAY_TOKEN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "play_integrity: token", token.len);
    emk_buf_init(&inner, EMK_PLAY_TOKEN_MAX);
    st = emk_jwe_open(k->c, emk_secret_span(k->decryption), token, &inner, e);
    if (st == EMK_OK)
        st = emk_jws_parse(&RULES, emk_buf_span(&inner), &jws, e);
    if (st == EMK_OK)
        st = emk_jws_verify(&jws, k->verification, e);
    if (st == EMK_OK)
        st = emk_buf_append(out, jws.payload, e);
    emk_jws_done(&jws);
    emk_buf_done(&inner);
    return st;
}

/* --- payload --------------------------------------------------------------------------------- */

typedef struct payload {
    const emk_play_policy *policy;
    char request_package[EMK_CLAIMS_APP_MAX];
    char package[EMK_CLAIMS_APP_MAX];
    char request_hash[EMK_PLAY_HASH_MAX + 1];
    uint8_t nonce[EMK_PLAY_NONCE_MAX];
    size_t nonce_len;
    bool has_nonce, has_hash, has_time, has_version;
    uint64_t time_ms, version, sdk;
    bool recognised, digest_matches, licensed, testing;
    bool device, strong, basic, emulator;
    uint32_t seen; /* bit per section */
} payload;

/* proto3 writes 64-bit numbers as strings of digits; no sign, no zero in front. */
static uint64_t read_digits(emk_json *j)
{
    char text[NUMBER_MAX];
    uint64_t v = 0;

    if (!emk_jose_read_text(j, text, sizeof text))
        return 0;
    for (size_t i = 0; text[i]; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10 || (i > 0 && v == 0)) {
            emk_json_fail(j, EMK_E_FORMAT, "play_integrity: number", j->text_off);
            return 0;
        }
        v = v * 10 + digit;
    }
    if (!text[0])
        emk_json_fail(j, EMK_E_FORMAT, "play_integrity: number", j->text_off);
    return v;
}

/* base64url; Google's libraries leave the padding that the app wrote. */
static bool decode_padded(const char *text, uint8_t *out, size_t cap, size_t *len)
{
    size_t n = strlen(text);

    if (n % 4 == 0)
        for (int i = 0; i < 2 && n > 0 && text[n - 1] == '='; i++)
            n--;
    return emk_base64url_decode(emk_span_of(text, n), out, cap, len, NULL) == EMK_OK;
}

static void read_request(emk_json *j, payload *p)
{
    static const char *const NAMES[] = {"requestPackageName", "nonce", "requestHash",
                                        "timestampMillis"};
    char text[NONCE_TEXT];
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, 4, &i)) {
        if (i == 0) {
            (void)emk_jose_read_text(j, p->request_package, sizeof p->request_package);
        } else if (i == 1) {
            p->has_nonce = true;
            if (emk_jose_read_text(j, text, sizeof text) &&
                !decode_padded(text, p->nonce, sizeof p->nonce, &p->nonce_len))
                emk_json_fail(j, EMK_E_FORMAT, "play_integrity: nonce", j->text_off);
        } else if (i == 2) {
            p->has_hash = true;
            (void)emk_jose_read_text(j, p->request_hash, sizeof p->request_hash);
        } else if (i == 3) {
            p->has_time = true;
            p->time_ms = read_digits(j);
        } else {
            emk_json_skip_value(j);
        }
    }
}

/* Calls fn with each string of an array. */
static void each_word(emk_json *j, void (*fn)(payload *, const char *), payload *p)
{
    char word[WORD_MAX];
    size_t len = 0;

    (void)emk_json_expect(j, EMK_JSON_ARRAY_BEGIN);
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_STRING) {
        if (!emk_json_copy_string(j, word, sizeof word, &len))
            return;
        if (strlen(word) != len)
            emk_json_fail(j, EMK_E_FORMAT, "play_integrity: U+0000 in a word", j->text_off);
        else
            fn(p, word);
    }
    if (emk_json_ok(j) && j->token != EMK_JSON_ARRAY_END)
        emk_json_fail(j, EMK_E_FORMAT, "play_integrity: not a list of words", j->pos);
}

static void note_digest(payload *p, const char *word)
{
    uint8_t digest[DIGEST_LEN];
    size_t len = 0;

    if (!decode_padded(word, digest, sizeof digest, &len))
        return; /* not a digest: it matches none */
    for (size_t i = 0; i < p->policy->n_digests; i++)
        if (emk_span_equal(p->policy->digests[i], emk_span_of(digest, len)))
            p->digest_matches = true;
}

static void note_device(payload *p, const char *word)
{
    p->device = p->device || strcmp(word, "MEETS_DEVICE_INTEGRITY") == 0;
    p->strong = p->strong || strcmp(word, "MEETS_STRONG_INTEGRITY") == 0;
    p->basic = p->basic || strcmp(word, "MEETS_BASIC_INTEGRITY") == 0;
    p->emulator = p->emulator || strcmp(word, "MEETS_VIRTUAL_INTEGRITY") == 0;
}

static bool read_is(emk_json *j, const char *want)
{
    char word[WORD_MAX];

    return emk_jose_read_text(j, word, sizeof word) && strcmp(word, want) == 0;
}

static void read_app(emk_json *j, payload *p)
{
    static const char *const NAMES[] = {"appRecognitionVerdict", "packageName",
                                        "certificateSha256Digest", "versionCode"};
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, 4, &i)) {
        if (i == 0) {
            p->recognised = read_is(j, "PLAY_RECOGNIZED");
        } else if (i == 1) {
            (void)emk_jose_read_text(j, p->package, sizeof p->package);
        } else if (i == 2) {
            each_word(j, note_digest, p);
        } else if (i == 3) {
            p->has_version = true;
            p->version = read_digits(j);
        } else {
            emk_json_skip_value(j);
        }
    }
}

static void read_sdk(emk_json *j, payload *p)
{
    static const char *const NAMES[] = {"sdkVersion"};
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, 1, &i)) {
        if (i == 0) {
            (void)emk_json_expect(j, EMK_JSON_NUMBER);
            (void)emk_json_u64(j, &p->sdk);
        } else {
            emk_json_skip_value(j);
        }
    }
}

static void read_device(emk_json *j, payload *p)
{
    static const char *const NAMES[] = {"deviceRecognitionVerdict", "deviceAttributes"};
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, 2, &i)) {
        if (i == 0)
            each_word(j, note_device, p);
        else if (i == 1)
            read_sdk(j, p);
        else
            emk_json_skip_value(j);
    }
}

static void read_account(emk_json *j, payload *p)
{
    static const char *const NAMES[] = {"appLicensingVerdict"};
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, 1, &i)) {
        if (i == 0)
            p->licensed = read_is(j, "LICENSED");
        else
            emk_json_skip_value(j);
    }
}

static void read_testing(emk_json *j, payload *p)
{
    static const char *const NAMES[] = {"isTestingResponse"};
    emk_jose_object o;
    emk_json_token t;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, 1, &i)) {
        if (i == 1) {
            emk_json_skip_value(j);
            continue;
        }
        t = emk_json_next(j);
        p->testing = t != EMK_JSON_FALSE; /* whatever it is, it is not a plain no */
    }
}

static const struct section {
    const char *name;
    void (*read)(emk_json *j, payload *p);
} SECTIONS[] = {
    {"requestDetails", read_request}, {"appIntegrity", read_app},
    {"deviceIntegrity", read_device}, {"accountDetails", read_account},
    {"testingDetails", read_testing},
};

#define N_SECTIONS (sizeof SECTIONS / sizeof SECTIONS[0])

static void read_section(emk_json *j, size_t i, payload *p)
{
    p->seen |= 1u << i;
    SECTIONS[i].read(j, p);
}

/* Google's decodeIntegrityToken puts the payload one level down. */
static void read_sections(emk_json *j, payload *p, bool inner)
{
    static const char *const NAMES[] = {"requestDetails", "appIntegrity",   "deviceIntegrity",
                                        "accountDetails", "testingDetails", "tokenPayloadExternal"};
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, NAMES, N_SECTIONS + !inner, &i)) {
        if (i < N_SECTIONS && (p->seen & 1u << i))
            emk_json_fail(j, EMK_E_FORMAT, "play_integrity: section comes twice", j->text_off);
        else if (i < N_SECTIONS)
            read_section(j, i, p);
        else if (i == N_SECTIONS && !inner)
            read_sections(j, p, true); /* once: inside it the name is unknown */
        else
            emk_json_skip_value(j);
    }
}

static emk_status read_payload(emk_span json, payload *p, emk_error *e)
{
    emk_jose_text t;
    emk_status st = emk_jose_text_open(&t, json, PAYLOAD_MAX, e);

    if (st != EMK_OK)
        return st;
    read_sections(&t.j, p, false);
    return emk_jose_text_close(&t, e);
}

/* --- policy ---------------------------------------------------------------------------------- */

static emk_status check_usage(const emk_play_policy *policy, emk_error *e)
{
    if (!policy->package || !policy->package[0])
        return emk_fail(e, EMK_E_USAGE, "play_integrity: no package is expected", 0);
    if (policy->n_digests == 0 || policy->n_digests > EMK_PLAY_DIGESTS_MAX)
        return emk_fail(e, EMK_E_USAGE, "play_integrity: digests", policy->n_digests);
    for (size_t i = 0; i < policy->n_digests; i++)
        if (policy->digests[i].len != DIGEST_LEN)
            return emk_fail(e, EMK_E_USAGE, "play_integrity: digests", i);
    if (policy->nonce.len == 0 && policy->request_hash.len == 0)
        return emk_fail(e, EMK_E_USAGE, "play_integrity: a nonce or a request hash", 0);
    return EMK_OK;
}

static emk_status check_time(const emk_play_policy *policy, const payload *p, emk_error *e)
{
    uint64_t made = p->time_ms / 1000, now = (uint64_t)policy->time_s;
    uint64_t max = policy->max_age_s > 0 ? (uint64_t)policy->max_age_s : EMK_PLAY_AGE_S;

    if (!p->has_time)
        return emk_fail(e, EMK_E_FORMAT, "play_integrity: no timestampMillis", 0);
    if (made > now + EMK_PLAY_SKEW_S)
        return emk_fail(e, EMK_E_STALE, "play_integrity: timestampMillis is in the future", made);
    if (made + max < now)
        return emk_fail(e, EMK_E_STALE, "play_integrity: timestampMillis is too old", made);
    return EMK_OK;
}

/* Before anything else: is this the answer to our question? */
static emk_status check_request(const emk_play_policy *policy, const payload *p, emk_error *e)
{
    if (strcmp(p->request_package, policy->package) != 0)
        return emk_fail(e, EMK_E_SIGNATURE, "play_integrity: requested by another package", 0);
    if (p->has_nonce == p->has_hash)
        return emk_fail(e, EMK_E_FORMAT, "play_integrity: a nonce or a requestHash", 0);
    if (p->has_nonce && (policy->nonce.len == 0 ||
                         !emk_span_equal(policy->nonce, emk_span_of(p->nonce, p->nonce_len))))
        return emk_fail(e, EMK_E_SIGNATURE, "play_integrity: another nonce", 0);
    if (p->has_hash && (policy->request_hash.len == 0 ||
                        !emk_span_equal(policy->request_hash, emk_span_str(p->request_hash))))
        return emk_fail(e, EMK_E_SIGNATURE, "play_integrity: another request hash", 0);
    return check_time(policy, p, e);
}

static emk_status check_app(const emk_play_policy *policy, const payload *p, emk_error *e)
{
    if (p->testing && !policy->allow_testing)
        return emk_fail(e, EMK_E_POLICY, "play_integrity: a testing response", 0);
    if (!p->recognised)
        return emk_fail(e, EMK_E_POLICY, "play_integrity: Play does not recognise the app", 0);
    if (strcmp(p->package, policy->package) != 0)
        return emk_fail(e, EMK_E_POLICY, "play_integrity: another package", 0);
    if (!p->digest_matches)
        return emk_fail(e, EMK_E_POLICY, "play_integrity: the app is signed by somebody else", 0);
    if (policy->min_version > 0 && (!p->has_version || p->version < policy->min_version))
        return emk_fail(e, EMK_E_POLICY, "play_integrity: the app is too old", p->version);
    if (policy->licensed && !p->licensed)
        return emk_fail(e, EMK_E_POLICY, "play_integrity: the app is not licensed", 0);
    return EMK_OK;
}

static emk_status check_device(const emk_play_policy *policy, const payload *p, emk_error *e)
{
    bool good = p->strong || p->device;

    switch (policy->device) {
    case EMK_PLAY_ANY:
        return EMK_OK;
    case EMK_PLAY_STRONG:
        good = p->strong;
        break;
    case EMK_PLAY_BASIC:
        good = good || p->basic;
        break;
    case EMK_PLAY_VIRTUAL:
        good = good || p->emulator;
        break;
    default:
        break;
    }
    return good ? EMK_OK : emk_fail(e, EMK_E_POLICY, "play_integrity: the device does not pass", 0);
}

static void fill(const payload *p, emk_claims *claims)
{
    emk_claims out = {.kind = EMK_ATTEST_PLAY_INTEGRITY};

    out.device_certified = p->strong || p->device;
    memcpy(out.app, p->package, sizeof out.app);
    out.os_version = p->sdk <= UINT32_MAX ? (uint32_t)p->sdk : 0;
    out.issued_s = (int64_t)(p->time_ms / 1000);
    emk_claims_warn(&out, EMK_WARN_KEY_UNBOUND);
    if (!out.device_certified)
        emk_claims_warn(&out, EMK_WARN_DEVICE_WEAK);
    if (!p->licensed)
        emk_claims_warn(&out, EMK_WARN_UNLICENSED);
    if (p->testing)
        emk_claims_warn(&out, EMK_WARN_DEVELOPMENT);
    out.level = emk_claims_level(&out);
    *claims = out;
}

static emk_status check(const emk_play_policy *policy, emk_span json, payload *p, emk_error *e)
{
    emk_status st = read_payload(json, p, e);

    if (st == EMK_OK)
        st = check_request(policy, p, e);
    if (st == EMK_OK)
        st = check_app(policy, p, e);
    return st == EMK_OK ? check_device(policy, p, e) : st;
}

emk_status emk_play_integrity_check(const emk_play_policy *policy, emk_span json,
                                    emk_claims *claims, emk_error *e)
{
    payload p = {.policy = policy};
    emk_status st = check_usage(policy, e);

    if (st == EMK_OK)
        st = check(policy, json, &p, e);
    if (st == EMK_OK)
        fill(&p, claims);
    return st;
}

emk_status emk_play_integrity_verify(const emk_play_keys *k, const emk_play_policy *policy,
                                     emk_span token, emk_claims *claims, emk_error *e)
{
    emk_buf json;
    emk_status st = check_usage(policy, e);

    if (st != EMK_OK)
        return st;
    emk_buf_init(&json, EMK_PLAY_TOKEN_MAX);
    st = emk_play_integrity_open(k, token, &json, e);
    if (st == EMK_OK)
        st = emk_play_integrity_check(policy, emk_buf_span(&json), claims, e);
    emk_buf_done(&json);
    return st;
}
