/* What happens to every call around its handler: route, gate, answer, header lines.  Knows no
 * library; server/daemon/http.c drives it, and tests do by hand.
 *
 *     emk_frame_open(call, router)     the head is here: find the row, refuse what it does not
 * allow
 *     ... the body, as the step says ...
 *     emk_frame_run(call)              gate, handler, problem; always leaves an answer
 *     emk_frame_close(call)            after the answer went out: gives the gate's places back */
#ifndef EMK_SERVER_API_FRAME_H
#define EMK_SERVER_API_FRAME_H

#include "server/api/api.h"
#include "server/api/problem.h"

typedef enum emk_frame_step {
    EMK_FRAME_ANSWERED,  /* a refusal, or OPTIONS: send it, read no body */
    EMK_FRAME_READ_BODY, /* into call->body, at most route->body_max bytes; then run on a worker */
    EMK_FRAME_STREAM,    /* run now, on a worker; the body is pulled */
    EMK_FRAME_INLINE     /* as READ_BODY, but run on the event loop */
} emk_frame_step;

/* call->request and content_length are filled; sets id, method, traceparent, route, params. */
emk_frame_step emk_frame_open(emk_call *call, const emk_router *router) EMK_MUST_CHECK;

/* Asks the gate what the head alone decides, before the body is here: a refusal costs nobody a
 * body, and an admission costs nothing and grants nothing (emk_gate_admit).  False: it answered.
 * May wait for the directory. */
bool emk_frame_admit(emk_call *call) EMK_MUST_CHECK;

/* Asks the gate and runs the handler; of a streamed call before its body, which is work from the
 * first byte.  Cannot fail: what goes wrong
 * becomes an answer. */
void emk_frame_run(emk_call *call);

/* The answer when the body was too long or too slow (EMK_API_TOO_LARGE, EMK_API_TIMEOUT) or we are
 * going down (EMK_API_DRAINING). */
void emk_frame_refuse(emk_call *call, emk_api_problem why);

void emk_frame_close(emk_call *call);

#endif
