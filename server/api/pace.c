#include "server/api/pace.h"

#include "core/base/os_time.h"
#include "server/api/api.h"

#include <string.h>

#define SPACE_OF_USER   0x50435552u
#define SPACE_OF_DEVICE 0x50434456u
#define SPACE_OF_TICKET 0x5043544Bu
/* After so many paces in which nothing was asked for somebody begins anew, that is, with waiting:
 * longer than an action holds. */
#define BURST      64u
#define TICKET_NS  (UINT64_C(3600) * 1000000000) /* in which it is redeemed and fetched */
#define NS         UINT64_C(1000000000)
#define OWN        2u /* user and device */
#define TICKET_LEN 16u
#define ID_LEN     32u

typedef struct pace {
    uint8_t user[ID_LEN], ticket[ID_LEN + TICKET_LEN];
    emk_limit own[OWN];
    emk_limit of_ticket;
    uint64_t now_ns;
} pace;

static bool begin(emk_call *call, const emk_decide_in *in, uint32_t pace_s, pace *p)
{
    emk_error ignored;

    *p = (pace){.now_ns = emk_os_monotonic_ns()};
    if (!call->api->counters.ops || pace_s == 0 ||
        emk_user_owner(call->api->crypto, in->device->gate.tenant, in->device->gate.user, p->user,
                       &ignored) != EMK_OK)
        return false;
    p->own[0].key = (emk_counter_key){SPACE_OF_USER, emk_span_of(p->user, sizeof p->user)};
    p->own[1].key = (emk_counter_key){SPACE_OF_DEVICE, emk_span_of(in->device_id, ID_LEN)};
    for (unsigned i = 0; i < OWN; i++) {
        p->own[i].unit_ns = pace_s * NS;
        p->own[i].burst = BURST;
    }
    memcpy(p->ticket, p->user, sizeof p->user);
    if (in->ticket_id)
        memcpy(p->ticket + ID_LEN, in->ticket_id, TICKET_LEN);
    p->of_ticket = (emk_limit){.key = {SPACE_OF_TICKET, emk_span_of(p->ticket, sizeof p->ticket)},
                               .unit_ns = TICKET_NS,
                               .burst = 1};
    return true;
}

/* Its ticket has waited already. */
static bool has_waited(emk_call *call, const emk_decide_in *in, pace *p)
{
    emk_limit_state state;
    emk_error ignored;

    return in->ticket_id && (in->point == EMK_DECIDE_REDEEM || in->point == EMK_DECIDE_BLOB) &&
           emk_counters_take(&call->api->counters, &p->of_ticket, 1, p->now_ns, &state, &ignored) ==
               EMK_OK &&
           state.remaining == 0;
}

/* Whoever was not here lately begins with nothing left.  True: somebody did. */
static bool begin_waiting(emk_call *call, pace *p, const emk_limit_state state[OWN])
{
    bool any = false;

    for (unsigned i = 0; i < OWN; i++) {
        emk_limit all = p->own[i];
        emk_limit_state ignored;
        emk_error e;

        if (state[i].remaining < BURST)
            continue;
        any = true;
        all.cost = BURST;
        if (emk_counters_take(&call->api->counters, &all, 1, p->now_ns, &ignored, &e) != EMK_OK)
            return true;
    }
    return any;
}

static uint32_t seconds_of(const emk_limit_state state[OWN])
{
    uint64_t ns = state[0].retry_ns > state[1].retry_ns ? state[0].retry_ns : state[1].retry_ns;

    return (uint32_t)((ns + NS - 1) / NS);
}

/* All that is there, so that who stayed away for long does not get it at once. */
static bool take(emk_call *call, pace *p, emk_limit_state state[OWN])
{
    emk_limit_state ticket;
    emk_error ignored;

    for (unsigned i = 0; i < OWN; i++)
        p->own[i].cost = state[i].remaining ? state[i].remaining : 1;
    if (emk_counters_take(&call->api->counters, p->own, OWN, p->now_ns, state, &ignored) !=
            EMK_OK ||
        state[0].limited || state[1].limited)
        return false;
    p->of_ticket.cost = 1;
    if (emk_counters_take(&call->api->counters, &p->of_ticket, 1, p->now_ns, &ticket, &ignored) !=
        EMK_OK)
        return true; /* it is not remembered: the ticket waits once more */
    return true;
}

bool emk_api_pace(emk_call *call, const emk_decide_in *in, uint32_t pace_s, uint32_t *retry_s)
{
    emk_limit_state state[OWN] = {{.retry_ns = 0}};
    emk_error ignored;
    pace p;

    if (!begin(call, in, pace_s, &p))
        return false;
    if (has_waited(call, in, &p))
        return true;
    *retry_s = pace_s;
    if (emk_counters_take(&call->api->counters, p.own, OWN, p.now_ns, state, &ignored) != EMK_OK ||
        begin_waiting(call, &p, state))
        return false;
    if (take(call, &p, state))
        return true;
    *retry_s = seconds_of(state) ? seconds_of(state) : 1;
    return false;
}
