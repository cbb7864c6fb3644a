#include "server/daemon/log.h"

#include "core/base/os_time.h"
#include "server/api/router.h"
#include "server/daemon/os_process.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX 1536u

/* The one level; set at start and at reload. */
static atomic_int level_now = EMK_LOG_INFO;

static const char *const LEVELS[] = {"error", "warning", "info", "debug"};

typedef struct line {
    char text[LINE_MAX];
    size_t n;
    bool full;
} line;

void emk_log_level_set(emk_log_level level)
{
    atomic_store(&level_now, (int)level);
}

bool emk_log_wants(emk_log_level level)
{
    return (int)level <= atomic_load(&level_now);
}

static void put(line *l, const char *text, size_t len)
{
    if (l->full || len > LINE_MAX - 4 - l->n) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->n, text, len);
    l->n += len;
}

static void put_escaped(line *l, emk_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c[8];

        if (s.p[i] < 0x20 || s.p[i] >= 0x7F || s.p[i] == '"' || s.p[i] == '\\')
            put(l, c, (size_t)snprintf(c, sizeof c, "\\u%04x", (unsigned)s.p[i]));
        else
            put(l, (const char *)s.p + i, 1);
    }
}

/* A field that does not fit is left out whole. */
static void put_text(line *l, const char *key, emk_span value)
{
    size_t before = l->n;

    if (value.len == 0)
        return;
    put(l, ",\"", 2);
    put(l, key, strlen(key));
    put(l, "\":\"", 3);
    put_escaped(l, value);
    put(l, "\"", 1);
    if (l->full)
        l->n = before;
}

static void put_number(line *l, const char *key, uint64_t v)
{
    char text[96];

    put(l, text, (size_t)snprintf(text, sizeof text, ",\"%s\":%" PRIu64, key, v));
}

static void begin(line *l, emk_log_level level)
{
    char text[64];

    l->n = 0;
    l->full = false;
    put(l, text,
        (size_t)snprintf(text, sizeof text, "{\"time\":%" PRIu64 ",\"level\":\"%s\"",
                         emk_os_now_s(), LEVELS[level]));
}

static void end(line *l)
{
    l->full = false;
    memcpy(l->text + l->n, "}\n", 2);
    emk_proc_log(emk_span_of(l->text, l->n + 2));
}

void emk_log_write(emk_log_level level, const char *message, const char *detail, const emk_error *e)
{
    line l;

    if (!emk_log_wants(level))
        return;
    begin(&l, level);
    put_text(&l, "message", emk_span_str(message));
    put_text(&l, "detail", emk_span_str(detail));
    if (e && e->status != EMK_OK) {
        put_text(&l, "status", emk_span_str(emk_status_name(e->status)));
        put_text(&l, "what", emk_span_str(e->what));
        put_number(&l, "where", e->where);
    }
    end(&l);
}

static void put_gate(line *l, const emk_call *call)
{
    const emk_gate_decision *d = &call->gate;

    if (!call->gate_asked)
        return;
    put_text(l, "decision", emk_span_str(call->decision[0] ? call->decision : d->id));
    put_text(l, "who", emk_span_str(emk_principal_kind_name(d->who.kind)));
    if (!d->pass) {
        put_text(l, "reason", emk_span_str(emk_gate_reason_name(d->reason)));
        put_text(l, "what", emk_span_str(d->detail));
    }
}

void emk_log_call_write(const emk_call *call, const emk_log_call *facts)
{
    line l;

    if (!emk_log_wants(facts->status >= 500 ? EMK_LOG_ERROR : EMK_LOG_INFO))
        return;
    begin(&l, facts->status >= 500 ? EMK_LOG_ERROR : EMK_LOG_INFO);
    put_text(&l, "request", emk_span_str(call->id));
    put_text(&l, "trace", call->traceparent);
    put_text(&l, "method", emk_span_str(emk_http_method_name(call->method)));
    put_text(&l, "route", emk_span_str(call->route ? call->route->gate.name : "none"));
    put_number(&l, "http_status", facts->status);
    put_number(&l, "in", facts->bytes_in);
    put_number(&l, "out", facts->bytes_out);
    put_number(&l, "us", facts->duration_ns / 1000);
    put_text(&l, "ended", emk_span_str(facts->ended));
    put_gate(&l, call);
    if (call->error.status != EMK_OK) {
        put_text(&l, "status", emk_span_str(emk_status_name(call->error.status)));
        put_text(&l, "what", emk_span_str(call->error.what));
        put_number(&l, "where", call->error.where);
    }
    end(&l);
}
