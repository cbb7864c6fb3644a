/* What operators set, brought into effect at the start; and the process's own numbers. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "core/base/writer.h"
#include "core/codec/cbor.h"
#include "server/api/admin.h"
#include "server/api/erasure.h"

#include <string.h>

#define LIST_MAX 4000u /* bytes of names; more are left out */

typedef struct names {
    char text[LIST_MAX];
    size_t len;
} names;

static emk_status add_name(void *self, const emk_record_view *r, emk_error *e)
{
    names *n = self;

    (void)e;
    if (n->len + r->id.len + 1 > sizeof n->text)
        return EMK_OK;
    if (n->len > 0)
        n->text[n->len++] = ' ';
    memcpy(n->text + n->len, r->id.p, r->id.len);
    n->len += r->id.len;
    return EMK_OK;
}

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

/* Who they are, for the log: operators may have been made while nobody was there to write. */
static void write_operators(emk_server *s)
{
    emk_error e = {0};
    emk_journal_event event = {.time_ms = emk_os_now_s() * 1000,
                               .type = emk_span_str("operators.present"),
                               .actor = emk_span_str("earmarkd"),
                               .outcome = EMK_JOURNAL_DONE};
    uint8_t detail[LIST_MAX + 16];
    names list = {.len = 0};
    emk_record_scan scan = {.kind = EMK_KIND_OPERATOR, .limit = EMK_RECORD_SCAN_MAX};
    emk_writer w;

    if (emk_records_scan(&s->api.records, &scan, add_name, &list, &e) != EMK_OK)
        return; /* the store says so elsewhere */
    emk_writer_init(&w, detail, sizeof detail);
    emk_cbor_put_map(&w, 1);
    emk_cbor_put_uint(&w, 2);
    emk_cbor_put_text(&w, emk_span_of(list.text, list.len));
    event.detail = emk_writer_span(&w);
    if (list.len > 0 && emk_journal_append_always(s->api.journal, &event, NULL, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "operators are not in the audit log", NULL, &e);
}

/* What cannot be ended now waits for the next start, and does not stop this one: the person is
 * waiting for an erasure, everybody else for the server. */
static void resume_erasures(emk_server *s)
{
    emk_error e = {0};
    uint64_t n = 0;

    if (emk_api_erase_resume(&s->api, &n, &e) != EMK_OK)
        emk_log_write(EMK_LOG_ERROR, "an erasure that was cut short could not be ended", NULL, &e);
    else if (n > 0)
        emk_log_write(EMK_LOG_INFO, "erasures that were cut short have been ended", NULL, NULL);
}

emk_status emk_server_admin_open(emk_server *s, const char *journal_dir, emk_span subjects_key,
                                 emk_error *e)
{
    emk_admin_options o = {.journal_dir = journal_dir,
                           .audit_origin = s->config.audit_origin,
                           .subjects_key = subjects_key,
                           .numbers = numbers,
                           .numbers_self = s};

    emk_status st;

    memcpy(o.audit_public, s->hello.audit_public, sizeof o.audit_public);
    write_operators(s);
    st = emk_admin_load(&s->api, &o, e);
    if (st == EMK_OK)
        resume_erasures(s);
    return st;
}
