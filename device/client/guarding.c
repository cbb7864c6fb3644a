/* What the guard finds and what this client makes of it: refusing, wiping, telling the issuer,
 * and keys that only a guard which is content opens.  Without a guard all of it is empty. */
#include "core/proto/guard_summary.h"
#include "device/client/internal.h"

emk_status emk_client_guard_check(const emk_client *cl, unsigned min_guard, emk_error *e)
{
    emk_guard_signal why = EMK_GUARD_BLIND;

    if (!cl->watcher ||
        emk_guard_judge_why(cl->watcher, (emk_guard_level)min_guard, &why) < EMK_GUARD_DO_REFUSE)
        return EMK_OK;
    return emk_fail(e, EMK_E_POLICY, emk_guard_refusal(why), (uint64_t)why);
}

void emk_client_guard_look(const emk_client *cl, bool whole)
{
    if (cl->watcher && whole)
        emk_guard_round(cl->watcher);
    else if (cl->watcher)
        emk_guard_probe(cl->watcher);
}

void emk_client_guard_verdicts(const emk_client *cl, uint8_t out[EMK_CLIENT_LEVELS])
{
    for (unsigned i = 0; i < EMK_CLIENT_LEVELS; i++)
        out[i] = cl->watcher ? (uint8_t)emk_guard_judge(cl->watcher, (emk_guard_level)i) : 0;
}

emk_status emk_client_guard_summary(const emk_client *cl, emk_span nonce, emk_buf *out,
                                    emk_error *e)
{
    emk_guard_report report;
    emk_status st;

    if (!cl->watcher)
        return EMK_OK;
    st = emk_guard_bind(cl->watcher, nonce, e);
    if (st != EMK_OK)
        return st;
    emk_guard_report_get(cl->watcher, &report);
    return emk_guard_summary_write(&report, out, e);
}

emk_status emk_client_guard_bindings(const emk_client *cl, emk_client_bindings *out, emk_error *e)
{
    static const emk_guard_level levels[] = {EMK_GUARD_CAREFUL, EMK_GUARD_STRICT};
    emk_status st = EMK_OK;

    *out = (emk_client_bindings){.there = cl->watcher != NULL};
    for (size_t i = 0; i < 2 && out->there && st == EMK_OK; i++)
        st = emk_guard_binding(cl->watcher, levels[i], out->bytes[i], e);
    return st;
}

static void react(void *self)
{
    const emk_client *cl = self;
    uint8_t verdicts[EMK_CLIENT_LEVELS];

    emk_client_guard_verdicts(cl, verdicts);
    emk_watch_judge(cl->watch, verdicts);
}

emk_status emk_client_guard_begin(emk_client *cl, emk_error *e)
{
    if (!cl->watcher)
        return EMK_OK;
    cl->guard = (uint8_t)emk_guard_level_of(cl->watcher);
    return emk_guard_tell(cl->watcher, react, cl, e);
}

void emk_client_guard_end(emk_client *cl)
{
    if (cl->watcher)
        emk_guard_untell(cl->watcher, cl);
}
