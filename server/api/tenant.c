#include "server/api/tenant.h"

#include <string.h>

const char *emk_api_tenant(const emk_api *api, const char *tenant)
{
    if (tenant[0] || !api->settings.default_tenant)
        return tenant;
    return api->settings.default_tenant;
}

bool emk_api_reaches(const emk_call *call, const char *tenant)
{
    const emk_principal *who = &call->gate.who;

    return who->kind != EMK_PRINCIPAL_SERVICE ||
           strcmp(emk_api_tenant(call->api, who->tenant), emk_api_tenant(call->api, tenant)) == 0;
}

bool emk_tenant_is_sound(emk_span tenant)
{
    if (tenant.len == 0 || tenant.len > EMK_TENANT_MAX)
        return false;
    for (size_t i = 0; i < tenant.len; i++)
        if (tenant.p[i] <= 0x20 || tenant.p[i] >= 0x7F || tenant.p[i] == '"' || tenant.p[i] == '\\')
            return false;
    return true;
}
