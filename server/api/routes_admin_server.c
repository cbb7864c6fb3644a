/* The server itself: how old what it read from files is, and reading them again. */
#include "server/api/admin_route.h"

static emk_status show_files(emk_call *call, emk_error *e)
{
    emk_json_out o;

    if (!emk_admin_query_only(call, NULL))
        return EMK_OK;
    if (!call->api->files) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    emk_json_out_init(&o, &call->arena, 4096);
    emk_json_out_open(&o, NULL, '{');
    call->api->files(call->api->daemon, &o);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

/* By the main thread, after the answer: the listener itself may be made anew. */
static emk_status reload(emk_call *call, emk_error *e)
{
    emk_admin_change change = {.type = "server.reload", .object = "files", .is = "to be read"};
    emk_admin_reason body = {.reason = {0}};

    (void)e;
    if (!emk_json_body(call, &emk_admin_reason_shape, &body))
        return EMK_OK;
    if (!call->api->reload) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return EMK_OK;
    }
    change.why = body.reason;
    if (!emk_admin_audit(call, &change))
        return EMK_OK;
    call->api->reload(call->api->daemon);
    emk_reply_empty(call, 202);
    return EMK_OK;
}

#define OPERATOR(n, s) EMK_ADMIN_GATE(n, s, false, 10)

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/v1/admin/reload",
     .gate = OPERATOR("getReload", EMK_SCOPE_READ),
     .handle = show_files},
    {.method = EMK_HTTP_POST,
     .path = "/v1/admin/reload",
     .content_type = "application/json",
     .body_max = 4096,
     .gate = OPERATOR("reloadFiles", EMK_SCOPE_RULES),
     .handle = reload},
};

const emk_route_table emk_routes_admin_server = {ROWS, sizeof ROWS / sizeof ROWS[0]};
