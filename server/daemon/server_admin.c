/* What operators set, brought into effect at the start; and the process's own numbers. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "server/api/admin.h"

#include <string.h>

static void numbers(void *self, emk_json_out *o)
{
    emk_server *s = self;
    const char *why = emk_server_unready(s);
    emk_counters_stats counters;

    emk_json_out_open(o, "process", '{');
    emk_json_out_uint(o, "uptime_s", (emk_os_monotonic_ns() - s->started_ns) / 1000000000u);
    if (s->http)
        emk_json_out_uint(o, "at_work", emk_http_busy(s->http));
    emk_json_out_bool(o, "ready", why == NULL);
    if (why)
        emk_json_out_text(o, "why", emk_span_str(why));
    emk_json_out_bool(o, "keyholder", emk_keyholder_is_alive(s->keyholder));
    emk_json_out_close(o);
    emk_counters_stats_get(&s->api.counters, &counters);
    emk_json_out_open(o, "counters", '{');
    emk_json_out_uint(o, "limits", counters.n_limits);
    emk_json_out_uint(o, "windows", counters.n_windows);
    emk_json_out_uint(o, "evicted", counters.n_evicted);
    emk_json_out_uint(o, "full", counters.n_full);
    emk_json_out_close(o);
}

emk_status emk_server_admin_open(emk_server *s, const char *journal_dir, emk_span subjects_key,
                                 emk_error *e)
{
    emk_admin_options o = {.journal_dir = journal_dir,
                           .audit_origin = s->config.audit_origin,
                           .subjects_key = subjects_key,
                           .numbers = numbers,
                           .numbers_self = s};

    memcpy(o.audit_public, s->hello.audit_public, sizeof o.audit_public);
    return emk_admin_load(&s->api, &o, e);
}
