#include "server/daemon/overload.h"

#include "core/base/os_time.h"
#include "server/api/admin.h"
#include "server/daemon/server.h"

#define INTERVAL_NS UINT64_C(1000000000)
#define NS_PER_MS   UINT64_C(1000000)
#define STANDS_MS   60000u /* nothing was answered at all */
#define ALL         100u   /* percent */
#define LEVEL_MAX   (ALL * (EMK_GATE_CLASSES - 1))
#define UP          20u
#define UP_FAST     50u
#define FAST        4u /* times the target */
#define DOWN        10u

static void judge(emk_overload *o, uint64_t served, uint64_t elapsed_ns, uint64_t target_ms)
{
    if (o->least == 0)
        o->wait_ms = 0;
    else if (served == 0)
        o->wait_ms = STANDS_MS;
    else
        o->wait_ms = o->least * (elapsed_ns / NS_PER_MS) / served;
    if (o->wait_ms > STANDS_MS)
        o->wait_ms = STANDS_MS;
    if (target_ms == 0)
        o->level = 0;
    else if (o->wait_ms > target_ms)
        o->level += o->wait_ms > FAST * target_ms ? UP_FAST : UP;
    else if (o->wait_ms < target_ms / 2)
        o->level -= o->level < DOWN ? o->level : DOWN;
    if (o->level > LEVEL_MAX)
        o->level = LEVEL_MAX;
}

bool emk_overload_step(emk_overload *o, const emk_overload_sample *s)
{
    bool over = o->from_ns != 0 && s->now_ns - o->from_ns >= INTERVAL_NS;

    if (o->from_ns != 0 && s->waiting < o->least)
        o->least = s->waiting;
    if (o->from_ns != 0 && !over)
        return false;
    if (over)
        judge(o, s->served - o->served_from, s->now_ns - o->from_ns, s->target_ms);
    o->from_ns = s->now_ns;
    o->served_from = s->served;
    o->least = s->waiting;
    return over;
}

/* The last class is shed first. */
unsigned emk_overload_share(const emk_overload *o, emk_gate_class klass)
{
    unsigned before = ALL * ((unsigned)EMK_GATE_CLASSES - 1 - (unsigned)klass);

    if (klass == EMK_GATE_CLASS_ALWAYS || o->level <= before)
        return 0;
    return o->level - before < ALL ? o->level - before : ALL;
}

/* ---- of a server ---- */

void emk_server_overload_tick(emk_server *s, uint64_t now_ns)
{
    uint64_t busy = emk_http_busy(s->http);
    emk_overload_sample sample = {.now_ns = now_ns,
                                  .waiting =
                                      busy > s->config.workers ? busy - s->config.workers : 0,
                                  .served = emk_admin_answers(s->api.admin),
                                  .target_ms = s->config.overload_ms};
    unsigned was = s->overload.level;

    if (!s->api.limits || !emk_overload_step(&s->overload, &sample))
        return;
    for (unsigned i = 0; i < EMK_GATE_CLASSES; i++)
        emk_limits_shed_share(s->api.limits, (emk_gate_class)i,
                              emk_overload_share(&s->overload, (emk_gate_class)i));
    emk_metric_set(s->metrics.shed_level, 0, 0, s->overload.level);
    emk_metric_set(s->metrics.queue_wait, 0, 0, s->overload.wait_ms);
    if (was == 0 && s->overload.level > 0)
        emk_log_write(EMK_LOG_WARNING, "overload: requests are refused by class", NULL, NULL);
    else if (was > 0 && s->overload.level == 0)
        emk_log_write(EMK_LOG_INFO, "the overload is over", NULL, NULL);
}
