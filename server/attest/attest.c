#include "server/attest/attest.h"

#include <string.h>

typedef struct name_row {
    int value;
    const char *name;
} name_row;

static const name_row KINDS[] = {
    {EMK_ATTEST_NONE, "none"},
    {EMK_ATTEST_APP_ATTEST, "app_attest"},
    {EMK_ATTEST_ANDROID_KEY, "android_key"},
    {EMK_ATTEST_PLAY_INTEGRITY, "play_integrity"},
    {EMK_ATTEST_SAFETYNET, "safetynet"},
    {EMK_ATTEST_TPM, "tpm"},
};

static const name_row WARNINGS[] = {
    {EMK_WARN_DEVELOPMENT, "development_build"},
    {EMK_WARN_BOOT, "boot_not_verified"},
    {EMK_WARN_EXPIRED_ISSUER, "expired_issuer"},
    {EMK_WARN_FACTORY_CHAIN, "factory_chain"},
    {EMK_WARN_APP_UNBOUND, "app_not_named"},
    {EMK_WARN_SIGNED_RAW, "nonce_not_hashed"},
    {EMK_WARN_KEY_UNBOUND, "key_not_attested"},
    {EMK_WARN_RETIRED, "service_retired"},
    {EMK_WARN_DEVICE_WEAK, "device_not_certified"},
    {EMK_WARN_UNLICENSED, "app_not_licensed"},
    {EMK_WARN_STALE_LIST, "revocation_list_old"},
    {EMK_WARN_SIMULATED, "simulated"},
    {EMK_WARN_SHA1, "sha1"},
    {EMK_WARN_RELAYED, "verdict_relayed"},
};

static const name_row CLIENT[] = {
    {EMK_CLIENT_OK, "ok"},
    {EMK_CLIENT_AGAIN, "again"},
    {EMK_CLIENT_REFUSED, "refused"},
    {EMK_CLIENT_UNAVAILABLE, "unavailable"},
    {EMK_CLIENT_BAD_REQUEST, "bad_request"},
};

#define N_ROWS(table) (sizeof(table) / sizeof(table)[0])

static const char *name_of(const name_row *rows, size_t n, int value)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].value == value)
            return rows[i].name;
    return "unknown";
}

const char *emk_attest_kind_name(emk_attest_kind kind)
{
    return name_of(KINDS, N_ROWS(KINDS), (int)kind);
}

bool emk_attest_kind_find(const char *name, emk_attest_kind *out)
{
    for (size_t i = 0; i < N_ROWS(KINDS); i++)
        if (strcmp(KINDS[i].name, name) == 0) {
            *out = (emk_attest_kind)KINDS[i].value;
            return true;
        }
    return false;
}

const char *emk_attest_warning_name(emk_attest_warning w)
{
    return name_of(WARNINGS, N_ROWS(WARNINGS), (int)w);
}

const char *emk_attest_client_name(emk_attest_client code)
{
    return name_of(CLIENT, N_ROWS(CLIENT), (int)code);
}

/* Whether a signature, a date or the policy refused is not told apart where it would teach a
 * forger which part to work on. */
emk_attest_client emk_attest_client_code(emk_status st)
{
    switch (st) {
    case EMK_OK:
        return EMK_CLIENT_OK;
    case EMK_E_STALE:
    case EMK_E_USED:
        return EMK_CLIENT_AGAIN;
    case EMK_E_FORMAT:
    case EMK_E_LIMIT:
    case EMK_E_UNSUPPORTED:
        return EMK_CLIENT_BAD_REQUEST;
    case EMK_E_SIGNATURE:
    case EMK_E_SEALED:
    case EMK_E_POLICY:
        return EMK_CLIENT_REFUSED;
    default:
        return EMK_CLIENT_UNAVAILABLE;
    }
}

bool emk_claims_has_warning(const emk_claims *claims, emk_attest_warning w)
{
    for (size_t i = 0; i < claims->n_warnings; i++)
        if (claims->warnings[i] == w)
            return true;
    return false;
}

void emk_claims_warn(emk_claims *claims, emk_attest_warning w)
{
    if (!emk_claims_has_warning(claims, w) && claims->n_warnings < EMK_CLAIMS_WARNINGS_MAX)
        claims->warnings[claims->n_warnings++] = w;
}

uint32_t emk_claims_level(const emk_claims *claims)
{
    bool booted = claims->boot == EMK_BOOT_VERIFIED && claims->device_locked;

    switch (claims->kind) {
    case EMK_ATTEST_APP_ATTEST: /* Apple issues only to devices whose boot it vouches for */
        return emk_claims_has_warning(claims, EMK_WARN_DEVELOPMENT) ? 0 : 3;
    case EMK_ATTEST_ANDROID_KEY:
        if (!booted || claims->key_home < EMK_KEY_HOME_TEE)
            return 0;
        return claims->key_home == EMK_KEY_HOME_SEPARATE && claims->app[0] ? 3 : 2;
    case EMK_ATTEST_PLAY_INTEGRITY: /* Google saw app and device; no word about a key */
    case EMK_ATTEST_SAFETYNET:
        return claims->device_certified && claims->app[0] ? 1 : 0;
    case EMK_ATTEST_TPM: /* a chip's key; what booted was measured and matched, or nobody knows */
        if (claims->key_home != EMK_KEY_HOME_SEPARATE)
            return 0;
        return claims->boot == EMK_BOOT_VERIFIED ? 2 : 1;
    default:
        return 0;
    }
}
