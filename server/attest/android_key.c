#include "server/attest/android_key.h"

#include "core/base/secret.h"
#include "core/codec/der.h"
#include "core/crypto/hash.h"

#define OID(...)                                                               \
    {                                                                          \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
    }

/* 1.3.6.1.4.1.11129.2.1.17 */
static const emk_span OID_KEY_DESCRIPTION =
    OID(0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x01, 0x11);
static const emk_span OID_NAME_SERIAL = OID(0x55, 0x04, 0x05);
static const emk_span OID_NAME_ORGANIZATION = OID(0x55, 0x04, 0x0a);

enum level { LEVEL_SOFTWARE, LEVEL_TEE, LEVEL_STRONGBOX };

/* Tags of an AuthorizationList that are looked at. */
enum tag {
    TAG_ALL_APPLICATIONS = 600,
    TAG_CREATED = 701,
    TAG_ORIGIN = 702,
    TAG_ROOT_OF_TRUST = 704,
    TAG_OS_VERSION = 705,
    TAG_OS_PATCH = 706,
    TAG_APP_ID = 709
};

#define ORIGIN_GENERATED 0u

typedef struct auth_list {
    bool ordered;
    bool all_applications, has_created, has_origin, has_root, has_version, has_patch, has_app_id;
    uint64_t created_ms, origin, os_version, os_patch, boot_state;
    bool locked;
    emk_span app_id; /* DER inside the octet string */
} auth_list;

typedef struct description {
    uint64_t version, attest_level, key_level;
    emk_span challenge;
    auth_list software, hardware;
} description;

/* --- reading ---------------------------------------------------------------------------- */

/* RootOfTrust; the hash of the boot came with version 3. */
static void read_root_of_trust(emk_der *d, auth_list *list)
{
    emk_der in;

    emk_der_enter(d, EMK_DER_SEQUENCE, &in);
    (void)emk_der_read(&in, EMK_DER_OCTETS);
    list->locked = emk_der_read_bool(&in);
    list->boot_state = emk_der_read_enum(&in);
    if (emk_der_more(&in))
        (void)emk_der_read(&in, EMK_DER_OCTETS);
    emk_der_leave(d, &in);
}

/* True the first time. */
static void once(emk_der *d, bool *seen)
{
    if (*seen)
        emk_der_fail(d, EMK_E_FORMAT, "android_key: tag comes twice");
    *seen = true;
}

static void read_item(emk_der *d, uint32_t tag, auth_list *list)
{
    switch (tag) {
    case EMK_DER_CONTEXT(TAG_ALL_APPLICATIONS):
        once(d, &list->all_applications);
        emk_der_read_null(d);
        break;
    case EMK_DER_CONTEXT(TAG_CREATED):
        once(d, &list->has_created);
        list->created_ms = emk_der_read_uint(d);
        break;
    case EMK_DER_CONTEXT(TAG_ORIGIN):
        once(d, &list->has_origin);
        list->origin = emk_der_read_uint(d);
        break;
    case EMK_DER_CONTEXT(TAG_ROOT_OF_TRUST):
        once(d, &list->has_root);
        read_root_of_trust(d, list);
        break;
    case EMK_DER_CONTEXT(TAG_OS_VERSION):
        once(d, &list->has_version);
        list->os_version = emk_der_read_uint(d);
        break;
    case EMK_DER_CONTEXT(TAG_OS_PATCH):
        once(d, &list->has_patch);
        list->os_patch = emk_der_read_uint(d);
        break;
    case EMK_DER_CONTEXT(TAG_APP_ID):
        once(d, &list->has_app_id);
        list->app_id = emk_der_read(d, EMK_DER_OCTETS);
        break;
    default:
        (void)emk_der_read_raw(d);
    }
}

static void read_list(emk_der *d, auth_list *list)
{
    emk_der in, item;
    uint32_t last = 0;

    list->ordered = true;
    emk_der_enter(d, EMK_DER_SEQUENCE, &in);
    while (emk_der_more(&in)) {
        uint32_t tag = emk_der_peek(&in);

        if (tag <= last)
            list->ordered = false;
        last = tag;
        emk_der_enter(&in, tag, &item);
        read_item(&item, tag, list);
        emk_der_leave(&in, &item);
    }
    emk_der_leave(d, &in);
}

static bool version_is_known(uint64_t v)
{
    return (v >= 1 && v <= 4) || (v >= 100 && v <= 500 && v % 100 == 0);
}

static emk_status read_description(emk_span in, description *out, emk_error *e)
{
    emk_der d, seq;

    emk_der_init(&d, in);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &seq);
    out->version = emk_der_read_uint(&seq);
    if (emk_der_ok(&seq) && !version_is_known(out->version))
        emk_der_fail(&seq, EMK_E_UNSUPPORTED, "android_key: version of the description");
    out->attest_level = emk_der_read_enum(&seq);
    (void)emk_der_read_uint(&seq); /* of the key service: says nothing that the levels do not */
    out->key_level = emk_der_read_enum(&seq);
    out->challenge = emk_der_read(&seq, EMK_DER_OCTETS);
    (void)emk_der_read(&seq, EMK_DER_OCTETS);
    read_list(&seq, &out->software);
    read_list(&seq, &out->hardware);
    emk_der_leave(&d, &seq);
    return emk_der_finish(&d, e);
}

/* --- the chain ------------------------------------------------------------------------------ */

/* Batches made at a factory hang under an issuer whose name is a serial number. */
static bool is_factory(const emk_x509 *chain, size_t n)
{
    emk_span value;

    return emk_x509_name_find(chain[n - 2].subject, OID_NAME_SERIAL, &value);
}

/* A key that was attested can sign certificates of its own: only the leaf may make a statement,
 * and nobody below it could be believed. */
static emk_status check_statements(const emk_x509 *chain, size_t n, emk_span *statement,
                                   emk_error *e)
{
    emk_span value;
    bool critical;

    if (!emk_x509_extension(&chain[0], OID_KEY_DESCRIPTION, statement, &critical))
        return emk_fail(e, EMK_E_FORMAT, "android_key: leaf has no key description", 0);
    for (size_t i = 1; i < n; i++)
        if (emk_x509_extension(&chain[i], OID_KEY_DESCRIPTION, &value, &critical))
            return emk_fail(e, EMK_E_SIGNATURE, "android_key: key description above the leaf", i);
    return EMK_OK;
}

static emk_status check_revocation(const emk_android_policy *policy, const emk_x509 *chain,
                                   size_t n, emk_error *e)
{
    int64_t as_of = emk_revocation_as_of(policy->revocation);

    if (policy->revocation_max_age_s > 0 && (policy->time_s > as_of) &&
        policy->time_s - as_of > policy->revocation_max_age_s)
        return emk_fail(e, EMK_E_STALE, "android_key: revocation list is too old", (uint64_t)as_of);
    for (size_t i = 0; i < n; i++)
        if (emk_revocation_has(policy->revocation, chain[i].serial))
            return emk_fail(e, EMK_E_SIGNATURE, "android_key: certificate is revoked", i);
    return EMK_OK;
}

static emk_status check_chain(const emk_crypto *c, const emk_android_policy *policy,
                              const emk_x509 *chain, size_t n, emk_error *e)
{
    bool factory = is_factory(chain, n);
    const emk_x509_rules rules = {.roots = policy->roots,
                                  .n_roots = policy->n_roots,
                                  .time_s = policy->time_s,
                                  .leaf_dates = EMK_X509_DATES_NONE,
                                  .issuer_dates =
                                      factory ? EMK_X509_DATES_NOT_BEFORE : EMK_X509_DATES_BOTH,
                                  .root_in_chain = true,
                                  .any_may_issue = factory,
                                  .memo = policy->memo};
    emk_status st = emk_x509_verify_chain(c, chain, n, &rules, NULL, e);

    return st == EMK_OK ? check_revocation(policy, chain, n, e) : st;
}

/* Remote provisioning writes where the key lives into the name of the leaf's issuer: hardware
 * that says more of itself than that lies. */
static emk_status check_provisioned_level(const emk_x509 *issuer, uint64_t level, emk_error *e)
{
    const char *want = level == LEVEL_STRONGBOX ? "StrongBox" : "TEE";
    emk_span value;

    if (!emk_x509_name_find(issuer->subject, OID_NAME_ORGANIZATION, &value) ||
        !emk_span_equal(value, emk_span_str(want)))
        return emk_fail(e, EMK_E_SIGNATURE, "android_key: level is not the provisioned one", level);
    return EMK_OK;
}

/* --- the statement ---------------------------------------------------------------------------- */

static emk_status check_key(const emk_android_policy *policy, const description *k, emk_error *e)
{
    if (k->challenge.len != policy->challenge.len ||
        !emk_ct_equal(k->challenge.p, policy->challenge.p, policy->challenge.len))
        return emk_fail(e, EMK_E_SIGNATURE, "android_key: challenge mismatch", 0);
    if (k->attest_level == LEVEL_SOFTWARE || k->key_level == LEVEL_SOFTWARE)
        return emk_fail(e, EMK_E_POLICY, "android_key: security level is software", 0);
    if (k->attest_level > LEVEL_STRONGBOX || k->key_level > LEVEL_STRONGBOX)
        return emk_fail(e, EMK_E_UNSUPPORTED, "android_key: security level", k->key_level);
    if (!k->hardware.has_root)
        return emk_fail(e, EMK_E_POLICY, "android_key: no rootOfTrust in hardwareEnforced", 0);
    if (!k->hardware.has_origin || k->hardware.origin != ORIGIN_GENERATED)
        return emk_fail(e, EMK_E_POLICY, "android_key: key was not made in the hardware", 0);
    if (k->hardware.all_applications || k->software.all_applications)
        return emk_fail(e, EMK_E_POLICY, "android_key: key is for all applications", 0);
    return EMK_OK;
}

/* verifiedBootState 0..3 in the order of emk_attest_boot. */
static emk_status check_device(const emk_android_policy *policy, const description *k, emk_error *e)
{
    const auth_list *hw = &k->hardware;

    if (hw->boot_state > 3)
        return emk_fail(e, EMK_E_UNSUPPORTED, "android_key: verifiedBootState", hw->boot_state);
    if (policy->min_os_patch > 0 && (!hw->has_patch || hw->os_patch < policy->min_os_patch))
        return emk_fail(e, EMK_E_POLICY, "android_key: patch level", hw->os_patch);
    if (!policy->verified_boot)
        return EMK_OK;
    if (!hw->locked)
        return emk_fail(e, EMK_E_POLICY, "android_key: bootloader is unlocked", 0);
    if (hw->boot_state != 0)
        return emk_fail(e, EMK_E_POLICY, "android_key: boot is not verified", hw->boot_state);
    if (!hw->ordered || !k->software.ordered)
        return emk_fail(e, EMK_E_FORMAT, "android_key: tags out of order", 0);
    return EMK_OK;
}

/* --- the app ---------------------------------------------------------------------------------- */

typedef struct app_id {
    emk_span first; /* package */
    size_t n_packages, n_digests;
    bool has_package, has_digest; /* the policy's are among them */
} app_id;

static bool is_package_name(emk_span s)
{
    if (s.len == 0 || s.len >= EMK_CLAIMS_APP_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

static void read_packages(emk_der *d, const emk_android_policy *policy, app_id *out)
{
    emk_der set, info;

    emk_der_enter(d, EMK_DER_SET, &set);
    while (emk_der_more(&set)) {
        emk_span name;

        emk_der_enter(&set, EMK_DER_SEQUENCE, &info);
        name = emk_der_read(&info, EMK_DER_OCTETS);
        (void)emk_der_read_integer(&info); /* the app's version: any number is one */
        emk_der_leave(&set, &info);
        if (emk_der_ok(&set) && !is_package_name(name))
            emk_der_fail(&set, EMK_E_FORMAT, "android_key: package");
        if (out->n_packages++ == 0)
            out->first = name;
        if (out->n_packages > EMK_ANDROID_PACKAGES_MAX)
            emk_der_fail(&set, EMK_E_LIMIT, "android_key: packages");
        if (policy->package && emk_span_equal(name, emk_span_str(policy->package)))
            out->has_package = true;
    }
    emk_der_leave(d, &set);
}

static void read_digests(emk_der *d, const emk_android_policy *policy, app_id *out)
{
    emk_der set;

    emk_der_enter(d, EMK_DER_SET, &set);
    while (emk_der_more(&set)) {
        emk_span digest = emk_der_read(&set, EMK_DER_OCTETS);

        if (++out->n_digests > EMK_ANDROID_PACKAGES_MAX)
            emk_der_fail(&set, EMK_E_LIMIT, "android_key: digests");
        if (policy->package && emk_span_equal(digest, policy->app_digest))
            out->has_digest = true;
    }
    emk_der_leave(d, &set);
}

/* A package's name alone proves nothing: anybody may take it.  The digest says who signed. */
static emk_status read_app(const emk_android_policy *policy, const auth_list *software, app_id *out,
                           emk_error *e)
{
    emk_der d, seq;
    emk_status st = EMK_OK;

    if (software->has_app_id) {
        emk_der_init(&d, software->app_id);
        emk_der_enter(&d, EMK_DER_SEQUENCE, &seq);
        read_packages(&seq, policy, out);
        read_digests(&seq, policy, out);
        emk_der_leave(&d, &seq);
        st = emk_der_finish(&d, e);
    }
    if (st != EMK_OK || !policy->package)
        return st;
    if (!out->has_package)
        return emk_fail(e, EMK_E_POLICY, "android_key: another package", 0);
    if (!out->has_digest)
        return emk_fail(e, EMK_E_POLICY, "android_key: app is signed by another", 0);
    return EMK_OK;
}

/* --- claims ----------------------------------------------------------------------------------- */

static void claim_device(const description *k, emk_claims *out)
{
    const auth_list *hw = &k->hardware;
    uint64_t level = k->attest_level < k->key_level ? k->attest_level : k->key_level;

    out->key_home = level == LEVEL_STRONGBOX ? EMK_KEY_HOME_SEPARATE : EMK_KEY_HOME_TEE;
    out->boot = (emk_attest_boot)(EMK_BOOT_VERIFIED + (int)hw->boot_state);
    out->device_locked = hw->locked;
    out->os_version = hw->os_version <= UINT32_MAX ? (uint32_t)hw->os_version : 0;
    out->os_patch = hw->os_patch <= UINT32_MAX ? (uint32_t)hw->os_patch : 0;
    if (k->software.has_created)
        out->issued_s = (int64_t)(k->software.created_ms / 1000);
    if (!hw->locked || hw->boot_state != 0)
        emk_claims_warn(out, EMK_WARN_BOOT);
}

/* Of several packages that share their rights none is the app. */
static void claim_app(const emk_android_policy *policy, const app_id *app, emk_claims *out)
{
    if (policy->package)
        memcpy(out->app, policy->package, strlen(policy->package)); /* one that was compared */
    else if (app->n_packages == 1)
        memcpy(out->app, app->first.p, app->first.len);
    else
        emk_claims_warn(out, EMK_WARN_APP_UNBOUND);
}

static void claim_chain(const emk_android_policy *policy, const emk_x509 *chain, size_t n,
                        emk_claims *out)
{
    if (!is_factory(chain, n))
        return;
    emk_claims_warn(out, EMK_WARN_FACTORY_CHAIN);
    for (size_t i = 1; i + 1 < n; i++)
        if (policy->time_s > chain[i].not_after)
            emk_claims_warn(out, EMK_WARN_EXPIRED_ISSUER);
}

static emk_status check_usage(const emk_android_policy *p, size_t n_certs, emk_error *e)
{
    if (p->challenge.len == 0 || p->challenge.len > EMK_ANDROID_CHALLENGE_MAX)
        return emk_fail(e, EMK_E_USAGE, "android_key: expected challenge", p->challenge.len);
    if (!p->revocation)
        return emk_fail(e, EMK_E_USAGE, "android_key: no revocation list", 0);
    if (p->package && (p->app_digest.len != 32 || !is_package_name(emk_span_str(p->package))))
        return emk_fail(e, EMK_E_USAGE, "android_key: expected app", p->app_digest.len);
    if (n_certs < EMK_ANDROID_CHAIN_MIN || n_certs > EMK_ANDROID_CHAIN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "android_key: certificates", n_certs);
    return EMK_OK;
}

/* What the chain says, once its signatures hold. */
static emk_status judge(const emk_android_policy *policy, const emk_x509 *chain, size_t n,
                        emk_claims *out, emk_error *e)
{
    description k = {0};
    app_id app = {0};
    emk_span statement;
    emk_status st;

    st = check_statements(chain, n, &statement, e);
    if (st == EMK_OK)
        st = read_description(statement, &k, e);
    if (st == EMK_OK)
        st = check_key(policy, &k, e);
    if (st == EMK_OK && !is_factory(chain, n))
        st = check_provisioned_level(&chain[1], k.attest_level, e);
    if (st == EMK_OK)
        st = check_device(policy, &k, e);
    if (st == EMK_OK)
        st = read_app(policy, &k.software, &app, e);
    if (st != EMK_OK)
        return st;
    claim_device(&k, out);
    claim_app(policy, &app, out);
    claim_chain(policy, chain, n, out);
    return EMK_OK;
}

/* Evidence in, claims and leaf out: there is nothing to put together. */
/* NOLINTNEXTLINE(readability-function-size) */
emk_status emk_android_key_verify(const emk_crypto *c, const emk_android_policy *policy,
                                  const emk_span *certs, size_t n_certs, emk_claims *claims,
                                  emk_x509 *leaf, emk_error *e)
{
    emk_claims out = {.kind = EMK_ATTEST_ANDROID_KEY};
    emk_x509 chain[EMK_ANDROID_CHAIN_MAX];
    emk_status st = check_usage(policy, n_certs, e);

    for (size_t i = 0; st == EMK_OK && i < n_certs; i++)
        st = emk_x509_parse(certs[i], &chain[i], e);
    if (st == EMK_OK)
        st = check_chain(c, policy, chain, n_certs, e);
    if (st == EMK_OK)
        st = judge(policy, chain, n_certs, &out, e);
    if (st == EMK_OK)
        st = emk_sha256(c, &chain[0].spki, 1, out.key_thumbprint, e);
    out.level = emk_claims_level(&out);
    if (st == EMK_OK) /* the last certificate is the root, or has its key and name */
        st = emk_simulated_judge(&chain[n_certs - 1], policy->simulated, &out, e);
    if (st != EMK_OK)
        return st;
    *claims = out;
    if (leaf)
        *leaf = chain[0];
    return EMK_OK;
}
