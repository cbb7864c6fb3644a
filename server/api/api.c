#include "server/api/api.h"

#include "core/codec/base64url.h"
#include "server/api/problem.h"
#include "server/api/tenant.h"

#include <stdatomic.h>
#include <string.h>

uint64_t emk_api_now(const emk_api *api)
{
    return api->clock(api->clock_self);
}

size_t emk_api_issuer_keys(const emk_api *api, const emk_verify_key *out[EMK_ISSUERS_MAX])
{
    const emk_issuers *all = atomic_load(&api->issuers);
    size_t n = 0;

    if (!all && api->issuer)
        out[n++] = api->issuer;
    for (size_t i = all ? all->n : 0; i > 0; i--)
        if (!all->v[i - 1].retired)
            out[n++] = all->v[i - 1].key;
    return n;
}

const emk_route_table *emk_api_tables(size_t *n)
{
    static const emk_route_table *const GROUPS[] = {
        &emk_routes_meta,         &emk_routes_challenges,   &emk_routes_devices,
        &emk_routes_attestations, &emk_routes_tickets,      &emk_routes_leases,
        &emk_routes_receipts,     &emk_routes_events,       &emk_routes_models,
        &emk_routes_seals,        &emk_routes_blobs,        &emk_routes_admin_access,
        &emk_routes_admin_people, &emk_routes_admin_person, &emk_routes_admin_rules,
        &emk_routes_admin_audit,  &emk_routes_admin_fraud,  &emk_routes_admin_signing,
        &emk_routes_admin_server, &emk_routes_webhooks,     &emk_routes_campaigns,
    };
    static emk_route_table tables[sizeof GROUPS / sizeof GROUPS[0]];

    *n = sizeof GROUPS / sizeof GROUPS[0];
    for (size_t i = 0; i < *n; i++)
        tables[i] = *GROUPS[i];
    return tables;
}

/* "device:…", "user:…", "service:…": names, never what a person is called. */
static emk_span actor_of(emk_call *call)
{
    const emk_principal *who = &call->gate.who;
    char id[EMK_BASE64URL_CHARS(EMK_GATE_DEVICE_ID_LEN) + 1];
    const char *text = NULL;
    emk_error ignored;
    size_t len;

    switch (who->kind) {
    case EMK_PRINCIPAL_DEVICE:
    case EMK_PRINCIPAL_DEVICE_USER:
        if (emk_base64url_encode(emk_span_of(who->device_id, sizeof who->device_id), id, sizeof id,
                                 &len, &ignored) == EMK_OK)
            text = emk_arena_format(&call->arena, "device:%s", id);
        break;
    case EMK_PRINCIPAL_SERVICE:
        text = emk_arena_format(&call->arena, "service:%.100s", who->name);
        break;
    case EMK_PRINCIPAL_OPERATOR:
        text = emk_arena_format(&call->arena, "operator:%.100s", who->name);
        break;
    case EMK_PRINCIPAL_USER:
        text = "user";
        break;
    case EMK_PRINCIPAL_ANYONE:
        text = "anyone";
        break;
    }
    return emk_span_str(text ? text : "unknown");
}

void emk_api_event(emk_call *call, const char *type, emk_journal_outcome outcome,
                   emk_journal_event *out)
{
    *out = (emk_journal_event){.time_ms = emk_api_now(call->api) * 1000,
                               .type = emk_span_str(type),
                               .actor = actor_of(call),
                               .outcome = outcome,
                               .decision = emk_span_str(call->gate.id)};
    if (call->gate.who.kind == EMK_PRINCIPAL_SERVICE)
        out->tenant = emk_span_str(emk_api_tenant(call->api, call->gate.who.tenant));
}

bool emk_api_audit(emk_call *call, const emk_journal_event *event)
{
    emk_error e = {0};

    if (call->api->journal && emk_journal_append(call->api->journal, event, 1, NULL, &e) == EMK_OK)
        return true;
    emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}
