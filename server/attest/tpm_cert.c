/* Certificates of endorsement and attestation keys.  A TPM holds its own certificate and nothing
 * above it, so here, unlike for every other kind, a path is looked for: by issuer's name and
 * signature, in a pool that is trusted for nothing.  What is found is then verified like any
 * chain. */
#include "core/codec/der.h"
#include "core/crypto/rsa.h"
#include "server/attest/tpm.h"

#define PATH_TRIES_MAX 32u /* signatures tried while looking for a path */

#define OID(...)                                                               \
    {                                                                          \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
    }

static const emk_span OID_EK = OID(0x67, 0x81, 0x05, 0x08, 0x01);
static const emk_span OID_AIK = OID(0x67, 0x81, 0x05, 0x08, 0x03);
static const emk_span OID_MANUFACTURER = OID(0x67, 0x81, 0x05, 0x02, 0x01);
static const emk_span OID_MODEL = OID(0x67, 0x81, 0x05, 0x02, 0x02);
static const emk_span OID_VERSION = OID(0x67, 0x81, 0x05, 0x02, 0x03);
static const emk_span OID_ALT_NAME = OID(0x55, 0x1d, 0x11);
static const emk_span OID_EXT_KEY_USAGE = OID(0x55, 0x1d, 0x25);

#define GENERAL_NAME_DIRECTORY EMK_DER_CONTEXT(4)

/* --- what a certificate says ------------------------------------------------------------------ */

static emk_status check_purpose(const emk_x509 *cert, emk_span purpose, emk_error *e)
{
    emk_span value;
    emk_der d, list;
    bool critical, found = false;
    emk_status st;

    if (!emk_x509_extension(cert, OID_EXT_KEY_USAGE, &value, &critical))
        return emk_fail(e, EMK_E_POLICY, "tpm: certificate names no purpose", 0);
    emk_der_init(&d, value);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &list);
    while (emk_der_more(&list))
        found = emk_span_equal(emk_der_read_oid(&list), purpose) || found;
    emk_der_leave(&d, &list);
    st = emk_der_finish(&d, e);
    if (st == EMK_OK && !found)
        st = emk_fail(e, EMK_E_POLICY, "tpm: certificate is for another purpose", 0);
    return st;
}

/* The name in [4] of the alternative names; empty when there is none. */
static emk_status read_directory_name(emk_span value, emk_span *name, emk_error *e)
{
    emk_der d, list, in;

    *name = emk_span_of(NULL, 0);
    emk_der_init(&d, value);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &list);
    while (emk_der_more(&list)) {
        if (emk_der_peek(&list) != GENERAL_NAME_DIRECTORY) {
            (void)emk_der_read_raw(&list);
            continue;
        }
        emk_der_enter(&list, GENERAL_NAME_DIRECTORY, &in);
        *name = emk_der_read_raw(&in);
        emk_der_leave(&list, &in);
    }
    emk_der_leave(&d, &list);
    return emk_der_finish(&d, e);
}

/* Printable text, because it is shown. */
static emk_status take_attribute(emk_span name, emk_span oid, char out[EMK_TPM_VENDOR_MAX],
                                 emk_error *e)
{
    emk_span v;

    if (!emk_x509_name_find(name, oid, &v) || v.len == 0)
        return emk_fail(e, EMK_E_POLICY, "tpm: certificate does not name the TPM", 0);
    if (v.len >= EMK_TPM_VENDOR_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: name of the TPM", v.len);
    for (size_t i = 0; i < v.len; i++)
        if (v.p[i] < 0x20 || v.p[i] > 0x7e)
            return emk_fail(e, EMK_E_FORMAT, "tpm: name of the TPM", i);
    memcpy(out, v.p, v.len);
    out[v.len] = 0;
    return EMK_OK;
}

static emk_status read_vendor(const emk_x509 *cert, emk_tpm_vendor *out, emk_error *e)
{
    emk_span value, name;
    bool critical, no_subject = cert->subject.len == 2; /* an empty SEQUENCE */
    emk_status st;

    if (!emk_x509_extension(cert, OID_ALT_NAME, &value, &critical))
        return emk_fail(e, EMK_E_POLICY, "tpm: certificate does not name the TPM", 0);
    if (no_subject && !critical) /* [RFC 5280 4.2.1.6] */
        return emk_fail(e, EMK_E_POLICY, "tpm: alternative name is not critical", 0);
    st = read_directory_name(value, &name, e);
    if (st == EMK_OK)
        st = take_attribute(name, OID_MANUFACTURER, out->manufacturer, e);
    if (st == EMK_OK)
        st = take_attribute(name, OID_MODEL, out->model, e);
    if (st == EMK_OK)
        st = take_attribute(name, OID_VERSION, out->version, e);
    return st;
}

static emk_status check_leaf(const emk_x509 *cert, emk_span purpose, emk_tpm_vendor *vendor,
                             emk_error *e)
{
    emk_status st;

    if (cert->ca || (cert->key_usage & EMK_X509_USE_CERT_SIGN))
        return emk_fail(e, EMK_E_POLICY, "tpm: certificate of an authority", 0);
    st = check_purpose(cert, purpose, e);
    return st == EMK_OK ? read_vendor(cert, vendor, e) : st;
}

/* --- the path -------------------------------------------------------------------------------- */

typedef struct path {
    const emk_crypto *c;
    const emk_tpm_roots *roots;
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    size_t n;
    size_t tries;
} path;

/* Whether `issuer` signed the last certificate of the path; dates and rights come later. */
static emk_status is_signed_by(path *p, const emk_x509 *issuer, bool *yes, emk_error *e)
{
    const emk_x509_rules rules = {.roots = issuer,
                                  .n_roots = 1,
                                  .leaf_dates = EMK_X509_DATES_NONE,
                                  .sha1_leaf = p->n == 1 && p->roots->sha1_leaf,
                                  .any_may_issue = true};
    emk_status st;

    *yes = false;
    if (!emk_span_equal(issuer->subject, p->chain[p->n - 1].issuer))
        return EMK_OK;
    if (++p->tries > PATH_TRIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: too many certificates of one name", p->tries);
    st = emk_x509_verify_chain(p->c, &p->chain[p->n - 1], 1, &rules, NULL, e);
    if (st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO || st == EMK_E_UNSUPPORTED)
        return st;
    *yes = st == EMK_OK;
    return EMK_OK;
}

static emk_status find_in(path *p, const emk_x509 *pool, size_t n, const emk_x509 **found,
                          emk_error *e)
{
    *found = NULL;
    for (size_t i = 0; i < n; i++) {
        bool yes;
        emk_status st = is_signed_by(p, &pool[i], &yes, e);

        if (st != EMK_OK)
            return st;
        if (yes) {
            *found = &pool[i];
            break;
        }
    }
    return EMK_OK;
}

/* Adds issuers until the last certificate is signed by a root. */
static emk_status find_path(path *p, const emk_x509_list *sent, emk_error *e)
{
    for (;;) {
        const emk_x509 *found;
        emk_status st = find_in(p, p->roots->roots, p->roots->n_roots, &found, e);

        if (st != EMK_OK || found)
            return st;
        if (sent)
            st = find_in(p, sent->v, sent->n, &found, e);
        if (st == EMK_OK && !found)
            st = find_in(p, p->roots->pool, p->roots->n_pool, &found, e);
        if (st != EMK_OK)
            return st;
        if (!found)
            return emk_fail(e, EMK_E_SIGNATURE, "tpm: no path to a root", p->n - 1);
        if (p->n == EMK_X509_CHAIN_MAX)
            return emk_fail(e, EMK_E_LIMIT, "tpm: path is too long", p->n);
        p->chain[p->n++] = *found;
    }
}

static emk_status verify_path(const emk_crypto *c, const emk_tpm_roots *roots, const emk_x509 *leaf,
                              const emk_x509_list *sent, const emk_x509 **root, emk_error *e)
{
    const emk_x509_rules rules = {.roots = roots->roots,
                                  .n_roots = roots->n_roots,
                                  .time_s = roots->time_s,
                                  .sha1_leaf = roots->sha1_leaf,
                                  .memo = roots->memo};
    path p = {.c = c, .roots = roots, .chain = {*leaf}, .n = 1};
    emk_claims nothing = {0};
    size_t anchor = 0;
    emk_status st;

    if (roots->n_roots == 0 || roots->n_pool > EMK_TPM_POOL_MAX ||
        (sent && sent->n > EMK_X509_CHAIN_MAX))
        return emk_fail(e, EMK_E_USAGE, "tpm: roots", roots->n_roots);
    st = find_path(&p, sent, e);
    if (st == EMK_OK)
        st = emk_x509_verify_chain(c, p.chain, p.n, &rules, &anchor, e);
    if (st != EMK_OK)
        return st;
    *root = &roots->roots[anchor];
    return emk_simulated_judge(*root, roots->simulated, &nothing, e);
}

/* --- endorsement and attestation keys --------------------------------------------------------- */

/* An index in the TPM may be longer than the certificate in it: its length is the DER's, and what
 * follows is what such an index holds where nothing was written. */
static emk_status strip(emk_span in, emk_span *out, emk_error *e)
{
    size_t len;

    if (in.len > EMK_TPM_EK_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: certificate", in.len);
    if (in.len < 4 || in.p[0] != 0x30 || in.p[1] != 0x82)
        return emk_fail(e, EMK_E_FORMAT, "tpm: not a certificate", 0);
    len = 4 + ((size_t)in.p[2] << 8 | in.p[3]);
    if (len > in.len)
        return emk_fail(e, EMK_E_FORMAT, "tpm: certificate is cut short", in.len);
    for (size_t i = len; i < in.len; i++)
        if (in.p[i] != in.p[len] || (in.p[i] != 0x00 && in.p[i] != 0xff))
            return emk_fail(e, EMK_E_FORMAT, "tpm: bytes behind the certificate", i);
    *out = emk_span_of(in.p, len);
    return EMK_OK;
}

/* Infineon's chips of some years made RSA keys whose factors can be found: whoever did that is as
 * good as the chip.  A key of another kind is not looked at here. */
static emk_status check_key(const emk_crypto *c, const emk_x509 *cert, emk_error *e)
{
    emk_rsa_public *key = NULL;
    emk_status st = emk_rsa_public_from_spki(c, cert->spki, &key, e);

    emk_rsa_public_free(key);
    return st == EMK_E_UNSUPPORTED ? EMK_OK : st;
}

emk_status emk_tpm_ek_verify(const emk_crypto *c, const emk_tpm_roots *roots, emk_span der,
                             const emk_x509_list *sent, emk_tpm_ek *out, emk_error *e)
{
    emk_tpm_ek ek = {0};
    emk_span own;
    emk_status st;

    st = strip(der, &own, e);
    if (st == EMK_OK)
        st = emk_x509_parse(own, &ek.cert, e);
    if (st == EMK_OK)
        st = check_leaf(&ek.cert, OID_EK, &ek.vendor, e);
    if (st == EMK_OK)
        st = check_key(c, &ek.cert, e);
    if (st == EMK_OK)
        st = verify_path(c, roots, &ek.cert, sent, &ek.root, e);
    if (st != EMK_OK)
        return st;
    ek.sha1 = ek.cert.alg == EMK_X509_ALG_RSA_SHA1_LEGACY;
    *out = ek;
    return EMK_OK;
}

emk_status emk_tpm_aik_verify(const emk_crypto *c, const emk_tpm_roots *roots,
                              const emk_x509_list *chain, emk_tpm_vendor *out, emk_error *e)
{
    emk_tpm_vendor vendor = {{0}, {0}, {0}};
    const emk_x509 *root;
    emk_x509_list above;
    emk_status st;

    if (chain->n == 0 || chain->n > EMK_X509_CHAIN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tpm: certificates", chain->n);
    if (chain->v[0].subject.len != 2)
        return emk_fail(e, EMK_E_POLICY, "tpm: subject of an attestation key is not empty", 0);
    if (!chain->v[0].has_constraints)
        return emk_fail(e, EMK_E_POLICY, "tpm: attestation key without basicConstraints", 0);
    st = check_leaf(&chain->v[0], OID_AIK, &vendor, e);
    if (st == EMK_OK)
        st = check_key(c, &chain->v[0], e);
    above = (emk_x509_list){chain->v + 1, chain->n - 1};
    if (st == EMK_OK)
        st = verify_path(c, roots, &chain->v[0], &above, &root, e);
    if (st == EMK_OK)
        *out = vendor;
    return st;
}
