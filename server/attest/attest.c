#include "server/attest/attest.h"

const char *emk_attest_kind_name(emk_attest_kind kind)
{
    switch (kind) {
    case EMK_ATTEST_APP_ATTEST:
        return "app_attest";
    case EMK_ATTEST_ANDROID_KEY:
        return "android_key";
    default:
        return "none";
    }
}

const char *emk_attest_warning_name(emk_attest_warning w)
{
    switch (w) {
    case EMK_WARN_DEVELOPMENT:
        return "development_build";
    case EMK_WARN_BOOT:
        return "boot_not_verified";
    case EMK_WARN_EXPIRED_ISSUER:
        return "expired_issuer";
    case EMK_WARN_FACTORY_CHAIN:
        return "factory_chain";
    case EMK_WARN_APP_UNBOUND:
        return "app_not_named";
    case EMK_WARN_SIGNED_RAW:
        return "nonce_not_hashed";
    default:
        return "unknown";
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
    default:
        return 0;
    }
}
