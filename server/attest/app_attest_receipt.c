#include "server/attest/app_attest_receipt.h"

#include "core/codec/der.h"
#include "core/crypto/cms.h"
#include "server/attest/instant.h"

#define RISK_DIGITS 9u

/* 1.2.840.113635.100.12.15 */
static const uint8_t OID_PURPOSE[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63, 0x64, 0x0c, 0x0f};

/* Attribute types; others are passed over. */
enum {
    FIELD_APP = 2,
    FIELD_KEY = 3,
    FIELD_TYPE = 6,
    FIELD_ENV = 7,
    FIELD_CREATED = 12,
    FIELD_RISK = 17,
    FIELD_NOT_BEFORE = 19,
    FIELD_EXPIRES = 21,
    N_FIELDS
};

typedef struct fields {
    emk_span value[N_FIELDS];
    uint32_t seen; /* bit per type */
} fields;

static emk_status read_fields(emk_span content, fields *out, emk_error *e)
{
    emk_der d, set, one;

    emk_der_init(&d, content);
    emk_der_enter(&d, EMK_DER_SET, &set);
    while (emk_der_more(&set)) {
        uint64_t type;
        emk_span value;

        emk_der_enter(&set, EMK_DER_SEQUENCE, &one);
        type = emk_der_read_uint(&one);
        (void)emk_der_read_uint(&one); /* version */
        value = emk_der_read(&one, EMK_DER_OCTETS);
        emk_der_leave(&set, &one);
        if (type >= N_FIELDS || !emk_der_ok(&set))
            continue;
        if (out->seen & (1u << type))
            emk_der_fail(&set, EMK_E_FORMAT, "receipt: field comes twice");
        out->seen |= 1u << type;
        out->value[type] = value;
    }
    emk_der_leave(&d, &set);
    return emk_der_finish(&d, e);
}

static bool is_text(emk_span value, const char *text)
{
    return emk_span_equal(value, emk_span_str(text));
}

static emk_status read_time(const fields *f, unsigned field, int64_t *out, emk_error *e)
{
    return emk_instant_parse(f->value[field], out, e);
}

static emk_status read_risk(emk_span text, emk_app_attest_receipt *out, emk_error *e)
{
    uint32_t v = 0;

    if (text.len == 0 || text.len > RISK_DIGITS)
        return emk_fail(e, EMK_E_FORMAT, "receipt: risk metric", text.len);
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return emk_fail(e, EMK_E_FORMAT, "receipt: risk metric", i);
        v = v * 10 + (uint32_t)(text.p[i] - '0');
    }
    out->has_risk = true;
    out->risk = v;
    return EMK_OK;
}

/* The attested key stands there as the attestation's leaf certificate, in newer ones perhaps as the
 * bare point. */
static emk_status read_key(emk_span value, emk_app_attest_receipt *out, emk_error *e)
{
    emk_span key = value;
    emk_x509 cert;
    emk_status st;

    if (value.len != EMK_APP_ATTEST_KEY_LEN) {
        st = emk_x509_parse(value, &cert, e);
        if (st != EMK_OK)
            return st;
        if (cert.key_kind != EMK_X509_KEY_P256)
            return emk_fail(e, EMK_E_FORMAT, "receipt: kind of key", 0);
        key = cert.key;
    }
    if (key.p[0] != 0x04)
        return emk_fail(e, EMK_E_FORMAT, "receipt: public key", 0);
    memcpy(out->public_key, key.p, EMK_APP_ATTEST_KEY_LEN);
    return EMK_OK;
}

static emk_status read_words(const fields *f, emk_app_attest_receipt *out, emk_error *e)
{
    emk_span type = f->value[FIELD_TYPE], env = f->value[FIELD_ENV];

    out->refreshed = is_text(type, "RECEIPT");
    if (!out->refreshed && !is_text(type, "ATTEST"))
        return emk_fail(e, EMK_E_FORMAT, "receipt: type", 0);
    out->development = is_text(env, "sandbox");
    if (!out->development && !is_text(env, "production"))
        return emk_fail(e, EMK_E_FORMAT, "receipt: environment", 0);
    return EMK_OK;
}

static emk_status read_info(const fields *f, emk_app_attest_receipt *out, emk_error *e)
{
    static const uint32_t NEEDED = 1u << FIELD_APP | 1u << FIELD_KEY | 1u << FIELD_TYPE |
                                   1u << FIELD_ENV | 1u << FIELD_CREATED | 1u << FIELD_EXPIRES;
    emk_status st;

    if ((f->seen & NEEDED) != NEEDED)
        return emk_fail(e, EMK_E_FORMAT, "receipt: a field is missing", f->seen);
    st = read_words(f, out, e);
    if (st == EMK_OK)
        st = read_time(f, FIELD_CREATED, &out->created_s, e);
    if (st == EMK_OK)
        st = read_time(f, FIELD_EXPIRES, &out->expires_s, e);
    if (st == EMK_OK && (f->seen & 1u << FIELD_NOT_BEFORE))
        st = read_time(f, FIELD_NOT_BEFORE, &out->not_before_s, e);
    if (st == EMK_OK && (f->seen & 1u << FIELD_RISK))
        st = read_risk(f->value[FIELD_RISK], out, e);
    return st == EMK_OK ? read_key(f->value[FIELD_KEY], out, e) : st;
}

static emk_status check_times(const emk_app_attest_receipt_policy *policy,
                              const emk_app_attest_receipt *r, emk_error *e)
{
    int64_t age = policy->time_s - r->created_s;

    if (age < -EMK_APP_ATTEST_RECEIPT_SKEW_S)
        return emk_fail(e, EMK_E_STALE, "receipt: created in the future", (uint64_t)-age);
    if (policy->time_s > r->expires_s)
        return emk_fail(e, EMK_E_STALE, "receipt: expired", (uint64_t)r->expires_s);
    if (policy->max_age_s > 0 && age > policy->max_age_s)
        return emk_fail(e, EMK_E_STALE, "receipt: too old", (uint64_t)age);
    return EMK_OK;
}

static emk_status check(const emk_app_attest_receipt_policy *policy, const fields *f,
                        const emk_app_attest_receipt *r, emk_error *e)
{
    const char *env = r->development ? "sandbox" : "production";

    if (!is_text(f->value[FIELD_APP], policy->app_id))
        return emk_fail(e, EMK_E_POLICY, "receipt: another app", 0);
    if (policy->env && strcmp(policy->env, env) != 0)
        return emk_fail(e, EMK_E_POLICY, "receipt: another environment", 0);
    if (policy->public_key.len > 0 &&
        !emk_span_equal(policy->public_key, emk_span_of(r->public_key, sizeof r->public_key)))
        return emk_fail(e, EMK_E_SIGNATURE, "receipt: for another key", 0);
    return check_times(policy, r, e);
}

static emk_status check_signer(const emk_x509 *signer, emk_error *e)
{
    emk_span value;
    bool critical;

    if (!emk_x509_extension(signer, emk_span_of(OID_PURPOSE, sizeof OID_PURPOSE), &value,
                            &critical))
        return emk_fail(e, EMK_E_SIGNATURE, "receipt: the signer is for another purpose", 0);
    if (signer->ca || (signer->has_key_usage && !(signer->key_usage & EMK_X509_USE_SIGN)))
        return emk_fail(e, EMK_E_SIGNATURE, "receipt: the signer may not sign messages", 0);
    return EMK_OK;
}

static emk_status verify(const emk_crypto *c, const emk_app_attest_receipt_policy *policy,
                         const emk_cms *cms, emk_app_attest_receipt *out, emk_error *e)
{
    emk_x509_rules rules = {
        .roots = policy->roots, .n_roots = policy->n_roots, .time_s = policy->time_s};
    emk_app_attest_receipt r = {0};
    fields f = {.seen = 0};
    emk_x509 signer;
    emk_status st = emk_cms_verify(c, cms, &rules, &signer, e);

    if (st == EMK_OK)
        st = check_signer(&signer, e);
    if (st == EMK_OK)
        st = read_fields(emk_buf_span(&cms->content), &f, e);
    if (st == EMK_OK)
        st = read_info(&f, &r, e);
    if (st == EMK_OK)
        st = check(policy, &f, &r, e);
    if (st == EMK_OK)
        *out = r;
    return st;
}

emk_status emk_app_attest_receipt_verify(const emk_crypto *c,
                                         const emk_app_attest_receipt_policy *policy,
                                         emk_span receipt, emk_app_attest_receipt *out,
                                         emk_error *e)
{
    emk_cms cms;
    emk_status st;

    if (!policy->app_id || !policy->app_id[0])
        return emk_fail(e, EMK_E_USAGE, "receipt: no app is expected", 0);
    if (receipt.len > EMK_APP_ATTEST_RECEIPT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "receipt: size", receipt.len);
    st = emk_cms_read(receipt, &cms, e);
    if (st == EMK_OK)
        st = verify(c, policy, &cms, out, e);
    emk_cms_done(&cms);
    return st;
}
