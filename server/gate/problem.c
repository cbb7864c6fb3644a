#include "server/gate/problem.h"

#include <stdio.h>
#include <string.h>

#define QUOTA_TYPES "https://iana.org/assignments/http-problem-types#"

static const struct {
    const char *uri;
    const char *title;
    uint16_t status;
} types[EMK_GATE_PROBLEM_TYPES] = {
    [EMK_GATE_PROBLEM_NONE] = {"about:blank", "OK", 200},
    [EMK_GATE_PROBLEM_BAD_REQUEST] = {"/problems/bad-request", "The request is not understood",
                                      400},
    [EMK_GATE_PROBLEM_UNAUTHENTICATED] = {"/problems/unauthenticated",
                                          "Credentials are missing or not good", 401},
    [EMK_GATE_PROBLEM_USE_NONCE] = {"/problems/use-nonce",
                                    "Sign again with the nonce and counter of this answer", 401},
    [EMK_GATE_PROBLEM_STEP_UP] = {"/problems/step-up", "Log in again for this", 401},
    [EMK_GATE_PROBLEM_FORBIDDEN] = {"/problems/forbidden", "Not allowed", 403},
    [EMK_GATE_PROBLEM_DEVICE_REVOKED] = {"/problems/device-revoked", "This device was revoked",
                                         403},
    [EMK_GATE_PROBLEM_DEVICE_EXPIRED] = {"/problems/device-expired",
                                         "This device must attest again", 403},
    [EMK_GATE_PROBLEM_CHALLENGE_REQUIRED] = {"/problems/challenge-required", "More proof is needed",
                                             403},
    [EMK_GATE_PROBLEM_QUOTA_EXCEEDED] = {QUOTA_TYPES "quota-exceeded", "Too many requests", 429},
    [EMK_GATE_PROBLEM_REDUCED_CAPACITY] = {QUOTA_TYPES "temporary-reduced-capacity",
                                           "The server is busy", 503},
    [EMK_GATE_PROBLEM_ABNORMAL_USAGE] = {QUOTA_TYPES "abnormal-usage-detected", "Unusual use", 429},
    [EMK_GATE_PROBLEM_UNAVAILABLE] = {"/problems/unavailable", "Not available at the moment", 503},
    [EMK_GATE_PROBLEM_DIGEST] = {"/problems/content-digest", "The body is not the one announced",
                                 400},
};

/* The whole of what the outside can tell apart. */
static const struct {
    const char *name;
    emk_gate_problem_type type;
} reasons[EMK_GATE_REASONS] = {
    [EMK_GATE_PASSED] = {"passed", EMK_GATE_PROBLEM_NONE},
    [EMK_GATE_BAD_REQUEST] = {"bad-request", EMK_GATE_PROBLEM_BAD_REQUEST},
    [EMK_GATE_WALL_DENY] = {"firewall", EMK_GATE_PROBLEM_FORBIDDEN},
    [EMK_GATE_WALL_CHALLENGE] = {"firewall-challenge", EMK_GATE_PROBLEM_CHALLENGE_REQUIRED},
    [EMK_GATE_NO_CREDENTIALS] = {"no-credentials", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_MIXED_CREDENTIALS] = {"mixed-credentials", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_BAD_CREDENTIALS] = {"bad-credentials", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_TOKEN_FORMAT] = {"token-format", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_TOKEN_CLAIMS] = {"token-claims", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_TOKEN_KEY] = {"token-key", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_TOKEN_SIGNATURE] = {"token-signature", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_TOKEN_BINDING] = {"token-binding", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_SIGNATURE_FORMAT] = {"signature-format", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_SIGNATURE_COMPONENTS] = {"signature-components", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_SIGNATURE_BAD] = {"signature", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_DIGEST_BAD] = {"content-digest", EMK_GATE_PROBLEM_DIGEST},
    [EMK_GATE_NONCE_MISSING] = {"nonce-missing", EMK_GATE_PROBLEM_USE_NONCE},
    [EMK_GATE_NONCE_STALE] = {"nonce-stale", EMK_GATE_PROBLEM_USE_NONCE},
    [EMK_GATE_REPLAYED] = {"replayed", EMK_GATE_PROBLEM_USE_NONCE},
    [EMK_GATE_DEVICE_UNKNOWN] = {"device-unknown", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_DEVICE_REVOKED] = {"device-revoked", EMK_GATE_PROBLEM_DEVICE_REVOKED},
    [EMK_GATE_DEVICE_EXPIRED] = {"device-expired", EMK_GATE_PROBLEM_DEVICE_EXPIRED},
    [EMK_GATE_DEVICE_OF_ANOTHER] = {"device-of-another-user", EMK_GATE_PROBLEM_FORBIDDEN},
    [EMK_GATE_SERVICE_BAD] = {"service", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_SESSION_BAD] = {"session", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_NOT_ADMITTED] = {"not-admitted", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_SCOPE_MISSING] = {"scope", EMK_GATE_PROBLEM_FORBIDDEN},
    [EMK_GATE_STEP_UP_MISSING] = {"step-up", EMK_GATE_PROBLEM_STEP_UP},
    [EMK_GATE_LIMITED] = {"limited", EMK_GATE_PROBLEM_QUOTA_EXCEEDED},
    [EMK_GATE_CONCURRENCY] = {"concurrency", EMK_GATE_PROBLEM_QUOTA_EXCEEDED},
    [EMK_GATE_SHED] = {"shed", EMK_GATE_PROBLEM_REDUCED_CAPACITY},
    [EMK_GATE_KEYS_UNAVAILABLE] = {"token-keys-unavailable", EMK_GATE_PROBLEM_UNAVAILABLE},
    [EMK_GATE_COUNTERS_FAILED] = {"counters", EMK_GATE_PROBLEM_UNAVAILABLE},
    [EMK_GATE_DIRECTORY_FAILED] = {"directory", EMK_GATE_PROBLEM_UNAVAILABLE},
    [EMK_GATE_INTERNAL] = {"internal", EMK_GATE_PROBLEM_UNAVAILABLE},
    [EMK_GATE_CERTIFICATE_BAD] = {"certificate", EMK_GATE_PROBLEM_UNAUTHENTICATED},
    [EMK_GATE_CERTIFICATE_MISSING] = {"certificate-missing", EMK_GATE_PROBLEM_UNAUTHENTICATED},
};

const char *emk_gate_reason_name(emk_gate_reason reason)
{
    return (unsigned)reason < EMK_GATE_REASONS ? reasons[reason].name : "unknown";
}

emk_gate_problem_type emk_gate_reason_type(emk_gate_reason reason)
{
    return (unsigned)reason < EMK_GATE_REASONS ? reasons[reason].type
                                               : EMK_GATE_PROBLEM_UNAVAILABLE;
}

const char *emk_gate_problem_uri(emk_gate_problem_type type)
{
    return (unsigned)type < EMK_GATE_PROBLEM_TYPES ? types[type].uri : "about:blank";
}

uint16_t emk_gate_problem_status(emk_gate_problem_type type)
{
    return (unsigned)type < EMK_GATE_PROBLEM_TYPES ? types[type].status : 503;
}

/* Nothing in it needs escaping: texts are this file's, ids are base64url, names of limits were
 * checked when they were configured. */
emk_status emk_gate_problem_write(const emk_gate_problem *p, char *out, size_t cap, size_t *len,
                                  emk_error *e)
{
    emk_gate_problem_type type =
        (unsigned)p->type < EMK_GATE_PROBLEM_TYPES ? p->type : EMK_GATE_PROBLEM_UNAVAILABLE;
    char decision[EMK_DECISION_ID_LEN + 32] = "", violated[128] = "";
    char request[EMK_GATE_REQUEST_MAX + 32] = "";
    int n;

    if (cap < EMK_GATE_PROBLEM_BODY_MAX)
        return emk_fail(e, EMK_E_LIMIT, "problem: room", cap);
    if (p->request && strlen(p->request) > EMK_GATE_REQUEST_MAX)
        return emk_fail(e, EMK_E_LIMIT, "problem: name of the request", strlen(p->request));
    if (p->request)
        (void)snprintf(request, sizeof request, ",\"request\":\"%s\"", p->request);
    if (p->decision)
        (void)snprintf(decision, sizeof decision, ",\"decision\":\"%s\"", p->decision);
    if (p->quota_policies)
        (void)snprintf(violated, sizeof violated, ",\"violated-policies\":[\"%s\"]",
                       p->quota_policies);
    n = snprintf(out, cap, "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%u%s%s%s}",
                 types[type].uri, types[type].title, types[type].status, request, decision,
                 violated);
    if (n < 0 || (size_t)n >= cap)
        return emk_fail(e, EMK_E_LIMIT, "problem: too long", cap);
    *len = (size_t)n;
    return EMK_OK;
}
