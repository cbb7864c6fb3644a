#include "server/api/entities.h"

#include <stddef.h>

/* Numbers are in databases: append, never renumber. */
#define UINT(number, s, m, name)                            \
    {                                                       \
        number, name, EMK_ENTITY_UINT, 0, offsetof(s, m), 0 \
    }
#define TIME(number, s, m, name)                            \
    {                                                       \
        number, name, EMK_ENTITY_TIME, 0, offsetof(s, m), 0 \
    }
#define BOOL(number, s, m, name)                            \
    {                                                       \
        number, name, EMK_ENTITY_BOOL, 0, offsetof(s, m), 0 \
    }
#define TEXT(number, s, m, name)                                              \
    {                                                                         \
        number, name, EMK_ENTITY_TEXT, 0, offsetof(s, m), sizeof(((s *)0)->m) \
    }
#define FIXED(number, s, m, name)                                              \
    {                                                                          \
        number, name, EMK_ENTITY_FIXED, 0, offsetof(s, m), sizeof(((s *)0)->m) \
    }
#define INNER(number, s, m, name)                                                              \
    {                                                                                          \
        number, name, EMK_ENTITY_FIXED, EMK_ENTITY_HIDDEN, offsetof(s, m), sizeof(((s *)0)->m) \
    }
#define BYTES(number, s, m, name)                                                                \
    {                                                                                            \
        number, name, EMK_ENTITY_BYTES, EMK_ENTITY_HIDDEN, offsetof(s, m), sizeof(((s *)0)->m.p) \
    }

static const emk_entity_field USER[] = {
    TEXT(1, emk_user_entity, subject, "subject"),
    TEXT(2, emk_user_entity, tenant, "tenant"),
    TEXT(3, emk_user_entity, plan, "plan"),
    TIME(4, emk_user_entity, created_s, "created"),
    TIME(5, emk_user_entity, last_seen_s, "last_seen"),
    BOOL(6, emk_user_entity, banned, "banned"),
    TIME(7, emk_user_entity, banned_until_s, "banned_until"),
    TEXT(8, emk_user_entity, ban_reason, "ban_reason"),
    TEXT(9, emk_user_entity, banned_by, "banned_by"),
    UINT(10, emk_user_entity, epoch, "epoch"),
};
const emk_entity_shape emk_user_shape = {EMK_KIND_USER, "user", USER, sizeof USER / sizeof USER[0],
                                         sizeof(emk_user_entity)};

static const emk_entity_field TICKET[] = {
    UINT(1, emk_ticket_entity, state, "state"),
    FIXED(2, emk_ticket_entity, device, "device"),
    FIXED(3, emk_ticket_entity, user, "user"),
    TEXT(4, emk_ticket_entity, model, "model"),
    TEXT(5, emk_ticket_entity, version, "version"),
    TEXT(6, emk_ticket_entity, use, "use"),
    TEXT(7, emk_ticket_entity, app, "app"),
    INNER(8, emk_ticket_entity, hash, "hash"),
    TIME(9, emk_ticket_entity, issued_s, "issued"),
    TIME(10, emk_ticket_entity, expires_s, "expires"),
    TIME(11, emk_ticket_entity, policy_expires_s, "policy_expires"),
    UINT(12, emk_ticket_entity, lease_s, "lease_s"),
    UINT(13, emk_ticket_entity, grace_s, "grace_s"),
    UINT(14, emk_ticket_entity, lease_epoch, "lease_epoch"),
    TEXT(15, emk_ticket_entity, decision, "decision"),
    TEXT(16, emk_ticket_entity, redeemed_by, "redeemed_by"),
    TIME(17, emk_ticket_entity, redeemed_s, "redeemed"),
    TIME(18, emk_ticket_entity, sealed_s, "sealed"),
    TIME(19, emk_ticket_entity, accepted_s, "accepted"),
    FIXED(20, emk_ticket_entity, blob, "blob"),
    UINT(21, emk_ticket_entity, receipt_status, "receipt_status"),
    TIME(22, emk_ticket_entity, lease_until_s, "lease_until"),
    UINT(23, emk_ticket_entity, n_leases, "n_leases"),
    UINT(24, emk_ticket_entity, cost, "cost"),
    BOOL(25, emk_ticket_entity, marked, "marked"),
    BYTES(26, emk_ticket_entity, message, "message"),
    TEXT(27, emk_ticket_entity, net, "net"),
};
const emk_entity_shape emk_ticket_shape = {
    EMK_KIND_TICKET, "ticket", TICKET, sizeof TICKET / sizeof TICKET[0], sizeof(emk_ticket_entity)};

static const emk_entity_field MODEL[] = {
    TEXT(1, emk_model_entity, name, "name"),
    TEXT(2, emk_model_entity, version, "version"),
    UINT(3, emk_model_entity, release, "release"),
    TEXT(4, emk_model_entity, format, "format"),
    UINT(5, emk_model_entity, size, "size"),
    UINT(6, emk_model_entity, n_tensors, "n_tensors"),
    INNER(7, emk_model_entity, digest, "digest"),
    INNER(8, emk_model_entity, object, "object"),
    BYTES(9, emk_model_entity, wrapped, "wrapped"),
    TIME(10, emk_model_entity, published_s, "published"),
    TEXT(11, emk_model_entity, published_by, "published_by"),
    BOOL(12, emk_model_entity, withdrawn, "withdrawn"),
    BOOL(13, emk_model_entity, decoy, "decoy"),
    TEXT(14, emk_model_entity, plans, "plans"),
    UINT(15, emk_model_entity, cost, "cost"),
    UINT(16, emk_model_entity, life_s, "life_s"),
    UINT(17, emk_model_entity, max_opens, "max_opens"),
    UINT(18, emk_model_entity, lease_s, "lease_s"),
    UINT(19, emk_model_entity, grace_s, "grace_s"),
    UINT(20, emk_model_entity, renewal_delay_s, "renewal_delay_s"),
    UINT(21, emk_model_entity, min_guard, "min_guard"),
    UINT(22, emk_model_entity, memory, "memory"),
    UINT(23, emk_model_entity, min_level, "min_level"),
    TEXT(24, emk_model_entity, tenant, "tenant"),
};
const emk_entity_shape emk_model_shape = {EMK_KIND_MODEL, "model", MODEL,
                                          sizeof MODEL / sizeof MODEL[0], sizeof(emk_model_entity)};

static const emk_entity_field BLOB[] = {
    FIXED(1, emk_blob_entity, ticket, "ticket"),
    FIXED(2, emk_blob_entity, device, "device"),
    UINT(3, emk_blob_entity, size, "size"),
    INNER(4, emk_blob_entity, digest, "digest"),
    TIME(5, emk_blob_entity, created_s, "created"),
    TIME(6, emk_blob_entity, expires_s, "expires"),
    UINT(7, emk_blob_entity, n_fetches, "n_fetches"),
    UINT(8, emk_blob_entity, n_bytes, "n_bytes"),
    BOOL(9, emk_blob_entity, whole, "whole"),
};
const emk_entity_shape emk_blob_shape = {EMK_KIND_BLOB, "blob", BLOB, sizeof BLOB / sizeof BLOB[0],
                                         sizeof(emk_blob_entity)};

static const emk_entity_field WALL[] = {
    TEXT(1, emk_wall_entity, prefix, "prefix"),
    TEXT(2, emk_wall_entity, action, "action"),
    TEXT(3, emk_wall_entity, reason, "reason"),
    TEXT(4, emk_wall_entity, origin, "origin"),
    TEXT(5, emk_wall_entity, by, "by"),
    TIME(6, emk_wall_entity, created_s, "created"),
    TIME(7, emk_wall_entity, expires_s, "expires"),
};
const emk_entity_shape emk_wall_shape = {EMK_KIND_WALL, "wall", WALL, sizeof WALL / sizeof WALL[0],
                                         sizeof(emk_wall_entity)};

static const emk_entity_field LIST[] = {
    TEXT(1, emk_list_entity, list, "list"),         TEXT(2, emk_list_entity, value, "value"),
    TEXT(3, emk_list_entity, reason, "reason"),     TEXT(4, emk_list_entity, by, "by"),
    TIME(5, emk_list_entity, created_s, "created"), TIME(6, emk_list_entity, expires_s, "expires"),
};
const emk_entity_shape emk_list_shape = {EMK_KIND_LIST, "list", LIST, sizeof LIST / sizeof LIST[0],
                                         sizeof(emk_list_entity)};

static const emk_entity_field LIMIT[] = {
    TEXT(1, emk_limit_entity, name, "name"),      UINT(2, emk_limit_entity, burst, "burst"),
    UINT(3, emk_limit_entity, per_s, "window_s"), BOOL(4, emk_limit_entity, shadow, "shadow"),
    TEXT(5, emk_limit_entity, by, "by"),          TIME(6, emk_limit_entity, changed_s, "changed"),
    UINT(7, emk_limit_entity, quota, "quota"),
};
const emk_entity_shape emk_limit_shape = {EMK_KIND_LIMIT, "limit", LIMIT,
                                          sizeof LIMIT / sizeof LIMIT[0], sizeof(emk_limit_entity)};

static const emk_entity_field DECISION[] = {
    TEXT(1, emk_decision_entity, id, "id"),
    UINT(2, emk_decision_entity, time_ms, "time_ms"),
    TEXT(3, emk_decision_entity, point, "point"),
    TEXT(4, emk_decision_entity, action, "action"),
    UINT(5, emk_decision_entity, score, "score"),
    TEXT(6, emk_decision_entity, reasons, "reasons"),
    TEXT(7, emk_decision_entity, rules, "rules"),
    FIXED(8, emk_decision_entity, ruleset, "ruleset"),
    FIXED(9, emk_decision_entity, device, "device"),
    TEXT(10, emk_decision_entity, model, "model"),
    BYTES(11, emk_decision_entity, event, "event"),
    UINT(12, emk_decision_entity, explore_ppm, "explore_ppm"),
    TEXT(13, emk_decision_entity, would, "would"),
    TEXT(14, emk_decision_entity, effects, "effects"),
};
const emk_entity_shape emk_decision_shape = {EMK_KIND_DECISION, "decision", DECISION,
                                             sizeof DECISION / sizeof DECISION[0],
                                             sizeof(emk_decision_entity)};

static const emk_entity_field EVENTS[] = {
    UINT(1, emk_events_entity, next, "next"),
    FIXED(2, emk_events_entity, last, "last"),
    UINT(3, emk_events_entity, n_gaps, "n_gaps"),
    UINT(4, emk_events_entity, n_forged, "n_forged"),
    TIME(5, emk_events_entity, last_s, "last_time"),
};
const emk_entity_shape emk_events_shape = {EMK_KIND_EVENT_CHAIN, "events", EVENTS,
                                           sizeof EVENTS / sizeof EVENTS[0],
                                           sizeof(emk_events_entity)};

static const emk_entity_field PENDING[] = {
    FIXED(1, emk_tpm_pending_entity, device, "device"),
    BYTES(2, emk_tpm_pending_entity, ak, "ak"),
    INNER(3, emk_tpm_pending_entity, ek_thumbprint, "ek"),
    INNER(4, emk_tpm_pending_entity, secret_hash, "secret"),
    TIME(5, emk_tpm_pending_entity, made_s, "made"),
    BOOL(6, emk_tpm_pending_entity, sha1_ek, "sha1_ek"),
    BOOL(7, emk_tpm_pending_entity, simulated, "simulated"),
    BOOL(8, emk_tpm_pending_entity, simulated_counts, "simulated_counts"),
    TEXT(9, emk_tpm_pending_entity, app, "app"),
};
const emk_entity_shape emk_tpm_pending_shape = {EMK_KIND_TPM_PENDING, "tpm_pending", PENDING,
                                                sizeof PENDING / sizeof PENDING[0],
                                                sizeof(emk_tpm_pending_entity)};

static const emk_entity_field ERASURE[] = {
    BOOL(1, emk_erasure_entity, device, "device"),
    TEXT(2, emk_erasure_entity, basis, "basis"),
    TEXT(3, emk_erasure_entity, actor, "actor"),
    TIME(4, emk_erasure_entity, asked_s, "asked"),
};
const emk_entity_shape emk_erasure_shape = {EMK_KIND_ERASURE, "erasure", ERASURE,
                                            sizeof ERASURE / sizeof ERASURE[0],
                                            sizeof(emk_erasure_entity)};

static const emk_entity_field OUTBOX[] = {
    FIXED(1, emk_outbox_entity, id, "id"),
    UINT(2, emk_outbox_entity, kind, "kind"),
    TIME(3, emk_outbox_entity, created_s, "created"),
    UINT(4, emk_outbox_entity, tries, "tries"),
    UINT(5, emk_outbox_entity, next_ms, "next_ms"),
    BOOL(6, emk_outbox_entity, dead, "dead"),
    UINT(7, emk_outbox_entity, code, "code"),
    BYTES(8, emk_outbox_entity, body, "body"),
};
const emk_entity_shape emk_outbox_shape = {
    EMK_KIND_OUTBOX, "outbox", OUTBOX, sizeof OUTBOX / sizeof OUTBOX[0], sizeof(emk_outbox_entity)};

static const emk_entity_field WEBHOOK[] = {
    BOOL(1, emk_webhook_entity, disabled, "disabled"),
    TEXT(2, emk_webhook_entity, by, "by"),
    TIME(3, emk_webhook_entity, changed_s, "changed"),
};
const emk_entity_shape emk_webhook_shape = {EMK_KIND_WEBHOOK, "webhook", WEBHOOK,
                                            sizeof WEBHOOK / sizeof WEBHOOK[0],
                                            sizeof(emk_webhook_entity)};

static const emk_entity_field PROPOSAL[] = {
    TEXT(1, emk_proposal_entity, state, "state"),
    TEXT(2, emk_proposal_entity, reason, "reason"),
    TEXT(3, emk_proposal_entity, by, "by"),
    TIME(4, emk_proposal_entity, created_s, "created"),
    TIME(5, emk_proposal_entity, decided_s, "decided"),
    UINT(6, emk_proposal_entity, members, "members"),
    TEXT(7, emk_proposal_entity, tenant, "tenant"),
    BYTES(8, emk_proposal_entity, users, "users"),
    TEXT(9, emk_proposal_entity, kind, "kind"),
    TEXT(10, emk_proposal_entity, evidence, "evidence"),
    TIME(11, emk_proposal_entity, due_s, "due"),
};
const emk_entity_shape emk_proposal_shape = {EMK_KIND_PROPOSAL, "proposal", PROPOSAL,
                                             sizeof PROPOSAL / sizeof PROPOSAL[0],
                                             sizeof(emk_proposal_entity)};

static const emk_entity_field GUARD[] = {
    UINT(1, emk_guard_entity, level, "level"),
    UINT(2, emk_guard_entity, action, "action"),
    UINT(3, emk_guard_entity, highest, "highest"),
    UINT(4, emk_guard_entity, looks, "looks"),
    TIME(5, emk_guard_entity, at_s, "at"),
    FIXED(6, emk_guard_entity, measurement, "measurement"),
};
const emk_entity_shape emk_guard_shape = {EMK_KIND_GUARD, "guard", GUARD,
                                          sizeof GUARD / sizeof GUARD[0], sizeof(emk_guard_entity)};

static const emk_entity_field APPROVAL[] = {
    TEXT(1, emk_approval_entity, ruleset, "ruleset"),
    TEXT(2, emk_approval_entity, by, "by"),
    TEXT(3, emk_approval_entity, reason, "reason"),
    TIME(4, emk_approval_entity, given_s, "given"),
    TIME(5, emk_approval_entity, expires_s, "expires"),
};
const emk_entity_shape emk_approval_shape = {EMK_KIND_APPROVAL, "approval", APPROVAL,
                                             sizeof APPROVAL / sizeof APPROVAL[0],
                                             sizeof(emk_approval_entity)};

const emk_entity_shape *const emk_entity_shapes[] = {
    &emk_user_shape,   &emk_ticket_shape,      &emk_model_shape,    &emk_blob_shape,
    &emk_wall_shape,   &emk_list_shape,        &emk_limit_shape,    &emk_decision_shape,
    &emk_events_shape, &emk_tpm_pending_shape, &emk_erasure_shape,  &emk_guard_shape,
    &emk_outbox_shape, &emk_webhook_shape,     &emk_proposal_shape, &emk_approval_shape,
};
const size_t emk_n_entity_shapes = sizeof emk_entity_shapes / sizeof emk_entity_shapes[0];
