#include "server/api/approval.h"

#include "core/crypto/hash.h"
#include "server/api/admin_route.h"
#include "server/api/erasure.h"

#include <string.h>

#define HASH_LEN 32u

typedef struct look {
    emk_call *call;
    emk_approvals *out;
    emk_approval_entity *entity;
} look;

/* A session of hers could approve now. */
static bool may_approve(emk_call *call, const char *name)
{
    emk_gate_directory all = emk_directory_of(&call->api->records);
    emk_gate_operator op;
    emk_error ignored;
    bool may = strcmp(name, emk_admin_who(call)) != 0 &&
               all.ops->operator_(all.self, name, &op, &ignored) == EMK_OK && !op.disabled &&
               (op.scopes & EMK_SCOPE_RULES);

    emk_wipe(&op, sizeof op);
    return may;
}

static emk_status count_operator(void *self, emk_span id, emk_error *e)
{
    char name[EMK_PRINCIPAL_NAME_MAX + 1];
    look *l = self;

    (void)e;
    emk_admin_text(name, sizeof name, id);
    l->out->others += may_approve(l->call, name);
    return EMK_OK;
}

static emk_status count_approval(void *self, emk_span id, emk_error *e)
{
    look *l = self;
    emk_status st =
        emk_entity_get(&l->call->api->records, &emk_approval_shape, id, l->entity, NULL, e);

    if (st != EMK_OK)
        return st == EMK_E_NOT_FOUND ? EMK_OK : st;
    if (l->entity->expires_s <= emk_api_now(l->call->api) || !may_approve(l->call, l->entity->by))
        return EMK_OK;
    l->out->given++;
    memcpy(l->out->by, l->entity->by, sizeof l->out->by);
    return EMK_OK;
}

emk_status emk_approvals_look(emk_call *call, const uint8_t hash[HASH_LEN], emk_approvals *out,
                              emk_error *e)
{
    look l = {.call = call, .out = out};
    const emk_owned operators = {.kind = EMK_KIND_OPERATOR};
    const emk_owned approvals = {.kind = EMK_KIND_APPROVAL, .owner = emk_span_of(hash, HASH_LEN)};
    emk_status st;

    *out = (emk_approvals){.others = 0};
    l.entity = emk_arena_take(&call->arena, sizeof *l.entity);
    if (!l.entity)
        return emk_fail(e, EMK_E_NO_MEMORY, "approval: memory", sizeof *l.entity);
    st = emk_api_each_owned(call->api, &operators, count_operator, &l, e);
    return st == EMK_OK ? emk_api_each_owned(call->api, &approvals, count_approval, &l, e) : st;
}

bool emk_approvals_suffice(const emk_call *call, const emk_approvals *a)
{
    unsigned rule = call->api->settings.approvals;

    return rule == EMK_APPROVAL_NEVER || a->given > 0 ||
           (rule == EMK_APPROVAL_AUTO && a->others == 0);
}

emk_status emk_approval_give(emk_call *call, const uint8_t hash[HASH_LEN], const char *label,
                             emk_span reason, emk_error *e)
{
    static const char domain[] = "earmark/1 approval"; /* with its zero */
    emk_approval_entity *a = emk_arena_take(&call->arena, sizeof *a);
    emk_span parts[] = {emk_span_of(domain, sizeof domain), emk_span_of(hash, HASH_LEN),
                        emk_span_str(emk_admin_who(call))};
    uint8_t id[HASH_LEN];
    emk_entity_put put = {.shape = &emk_approval_shape,
                          .in = a,
                          .id = emk_span_of(id, sizeof id),
                          .owner = emk_span_of(hash, HASH_LEN),
                          .expect = EMK_RECORD_ANY};
    emk_status st;

    if (!a)
        return emk_fail(e, EMK_E_NO_MEMORY, "approval: memory", sizeof *a);
    memset(a, 0, sizeof *a);
    emk_admin_text(a->ruleset, sizeof a->ruleset, emk_span_str(label));
    emk_admin_text(a->by, sizeof a->by, emk_span_str(emk_admin_who(call)));
    emk_admin_text(a->reason, sizeof a->reason, reason);
    a->given_s = emk_api_now(call->api);
    a->expires_s = a->given_s + EMK_APPROVAL_LIFE_S;
    put.expires_s = a->expires_s;
    st = emk_sha256(call->api->crypto, parts, sizeof parts / sizeof parts[0], id, e);
    return st == EMK_OK ? emk_entity_store(&call->api->records, &put, NULL, e) : st;
}
