/* POST /v1/challenges: a nonce for enrolment, when there is no device yet. */
#include "server/api/api.h"
#include "server/api/json_in.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"

static emk_status make_challenge(emk_call *call, emk_error *e)
{
    uint8_t challenge[EMK_CHALLENGE_LEN];
    emk_json_shape nothing = {NULL, 0};
    uint8_t none[1] = {0};
    emk_json_out o;
    emk_status st;

    if (call->body.len > 0 && !emk_json_body(call, &nothing, none))
        return EMK_OK;
    if (!call->api->nonces) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    st = emk_challenge_make(call->api->nonces, emk_api_now(call->api), challenge, e);
    if (st != EMK_OK)
        return st;
    emk_json_out_init(&o, &call->arena, 256);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "challenge", emk_span_of(challenge, sizeof challenge));
    emk_json_out_uint(&o, "good_for_s", EMK_NONCE_EPOCH_S);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 201, e);
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/challenges",
     .content_type = "application/json",
     .body_max = 1024,
     .flags = EMK_ROUTE_INLINE,
     .gate = {.name = "makeChallenge",
              .admits = EMK_PRINCIPAL_ANYONE | EMK_PRINCIPAL_USER,
              .cost = 1,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = make_challenge},
};

const emk_route_table emk_routes_challenges = {ROWS, sizeof ROWS / sizeof ROWS[0]};
