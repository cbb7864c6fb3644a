/* The internal listener: is it alive, is it ready, its numbers. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/signals.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define MS_PER_S UINT64_C(1000)

static emk_status healthz(emk_call *call, emk_error *e)
{
    (void)e;
    emk_reply_bytes(call, 200, "text/plain", emk_span_str("ok\n"));
    return EMK_OK;
}

static emk_status readyz(emk_call *call, emk_error *e)
{
    const char *why = emk_server_unready(call->api->daemon);
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 2048);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_bool(&o, "ready", why == NULL);
    if (why)
        emk_json_out_text(&o, "why", emk_span_str(why));
    emk_server_files_json(call->api->daemon, &o);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, why ? 503 : 200, e);
}

static emk_status metrics(emk_call *call, emk_error *e)
{
    emk_span copy = {0};
    emk_buf text;
    emk_status st;

    emk_buf_init(&text, EMK_METRICS_TEXT_MAX);
    call->arena.max = EMK_METRICS_TEXT_MAX + EMK_CALL_ARENA_MAX; /* larger than other answers */
    st = emk_metrics_write(call->api->metrics, &text, e);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, emk_buf_span(&text), &copy, e);
    if (st == EMK_OK)
        emk_reply_bytes(call, 200, "text/plain; version=0.0.4; charset=utf-8", copy);
    emk_buf_done(&text);
    return st;
}

#define INTERNAL(name_)                                  \
    .flags = EMK_ROUTE_INTERNAL, .method = EMK_HTTP_GET, \
    .gate = {.name = (name_), .admits = EMK_PRINCIPAL_ANYONE, .klass = EMK_GATE_CLASS_ALWAYS}

static const emk_route ROWS[] = {
    {INTERNAL("healthz"), .path = "/healthz", .handle = healthz},
    {INTERNAL("readyz"), .path = "/readyz", .handle = readyz},
    {INTERNAL("metrics"), .path = "/metrics", .handle = metrics},
};

const emk_route_table emk_routes_internal = {ROWS, sizeof ROWS / sizeof ROWS[0]};

/* ---- families ---- */

static const char *reason_names[EMK_GATE_REASONS]; /* filled once, before threads */

static void collect_journal(emk_server *s)
{
    emk_journal_state j;

    if (!s->api.journal)
        return;
    emk_journal_state_get(s->api.journal, &j);
    emk_metric_set(s->metrics.journal_size, 0, 0, j.size);
    emk_metric_set(s->metrics.journal_checkpoint_age, 0, 0, j.checkpoint_age_ms);
    emk_metric_set(s->metrics.journal_writable, 0, 0, j.writable);
    emk_metric_set(s->metrics.journal_waiting, 0, 0, j.spooled);
    emk_metric_set(s->metrics.journal_lost, 0, 0, j.lost);
    emk_metric_set(s->metrics.journal_commit, 0, 0, j.last_commit_ns);
    emk_metric_set(s->metrics.journal_commits, 0, 0, j.n_groups);
    emk_metric_set(s->metrics.journal_signing, 0, 0, j.signing);
    emk_metric_set(s->metrics.journal_unsigned, 0, 0,
                   j.size > j.checkpoint_size ? j.size - j.checkpoint_size : 0);
}

static void collect_signals(emk_server *s)
{
    emk_signals_stats stats;

    emk_signals_stats_of(s->api.signals, &stats);
    emk_metric_set(s->metrics.signals, 0, 0, stats.told);
    emk_metric_set(s->metrics.signals, 1, 0, stats.dropped);
}

static void collect_places(emk_server *s)
{
    emk_places_stats stats;

    if (!s->api.places)
        return;
    emk_places_stats_of(s->api.places, &stats);
    emk_metric_set(s->metrics.places_lookups, 0, 0, stats.known);
    emk_metric_set(s->metrics.places_lookups, 1, 0, stats.unknown);
    emk_metric_set(s->metrics.places_lookups, 2, 0, stats.damaged);
    for (unsigned i = 0; i < EMK_PLACES_FILES; i++)
        emk_metric_set(s->metrics.places_age, i, 0, emk_server_places_age(s, (emk_places_file)i));
}

static void collect(void *self)
{
    emk_server *s = self;
    uint64_t reasons[EMK_GATE_REASONS], hits = 0, misses = 0;
    emk_blobs_usage blobs;
    emk_counters_stats counters;

    if (s->http) {
        emk_metric_set(s->metrics.connections, 0, 0, emk_http_connections(s->http));
        emk_metric_set(s->metrics.refused, 0, 0, emk_http_refused(s->http));
        emk_metric_set(s->metrics.timed_out, 0, 0, emk_http_timed_out(s->http));
        emk_metric_set(s->metrics.busy, 0, 0, emk_http_busy(s->http));
    }
    emk_metric_set(s->metrics.ready, 0, 0, emk_server_unready(s) == NULL);
    emk_metric_set(s->metrics.keyholder, 0, 0, emk_keyholder_is_alive(s->keyholder));
    emk_gate_counts_get(s->api.gate, reasons);
    for (size_t i = 0; i < EMK_GATE_REASONS; i++)
        emk_metric_set(s->metrics.gate_reasons, i, 0, reasons[i]);
    emk_blobs_usage_get(&s->api.blobs, &blobs);
    emk_metric_set(s->metrics.blob_bytes, 0, 0, blobs.bytes);
    emk_counters_stats_get(&s->api.counters, &counters);
    emk_metric_set(s->metrics.counters, 0, 0, counters.n_limits);
    emk_metric_set(s->metrics.counters, 1, 0, counters.n_windows);
    emk_metric_set(s->metrics.counters, 2, 0, counters.n_once);
    emk_metric_set(s->metrics.counters, 3, 0, counters.n_leases);
    if (s->tokens)
        emk_tokens_counts(s->tokens, &hits, &misses);
    emk_metric_set(s->metrics.tokens, 0, 0, hits);
    emk_metric_set(s->metrics.tokens, 1, 0, misses);
    for (unsigned i = 0; i < EMK_SERVER_FILES; i++)
        emk_metric_set(s->metrics.file_age, i, 0, emk_server_file_age(s, (emk_server_file)i));
    if (emk_server_sealing_left(s) != UINT64_MAX)
        emk_metric_set(s->metrics.sealing_left, 0, 0, emk_server_sealing_left(s));
    emk_metric_set(s->metrics.uptime, 0, 0, emk_os_monotonic_ns() - s->started_ns);
    collect_signals(s);
    collect_places(s);
    collect_journal(s);
    emk_server_watch_collect(s);
    emk_server_hooks_collect(s);
}

/* The place of one metric among the server's. */
static emk_metric **metric_at(emk_server_metrics *m, size_t offset)
{
    return (emk_metric **)(void *)((uint8_t *)m + offset);
}

static const char *const HOOK_RESULTS[] = {"sent", "failed", "dropped"};
static const char *const SIGNALS[] = {"told", "dropped"};
static const char *const COUNTERS[] = {"limits", "windows", "once", "leases"};
static const char *const LOOKUPS[] = {"known", "unknown", "damaged"};
static const char *const CACHE[] = {"hit", "miss"};
static const char *const VERDICTS[] = {"intact", "incomplete", "tampered", "not_checked"};
static const char *const RUNS[] = {"done", "failed"};

static const struct {
    size_t to; /* in emk_server_metrics */
    emk_metric_def def;
} ALL[] = {
    {offsetof(emk_server_metrics, connections),
     {.name = "earmark_http_connections", .help = "Open connections", .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, refused),
     {.name = "earmark_http_connections_refused_total",
      .help = "Connections refused: too many of one net"}},
    {offsetof(emk_server_metrics, timed_out),
     {.name = "earmark_http_timeouts_total", .help = "Connections broken: too slow"}},
    {offsetof(emk_server_metrics, busy),
     {.name = "earmark_http_requests_at_work",
      .help = "Requests in workers",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, ready),
     {.name = "earmark_ready", .help = "1: ready", .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, keyholder),
     {.name = "earmark_keyholder_up",
      .help = "1: the keyholder answers",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, gate_reasons),
     {.name = "earmark_gate_decisions_total",
      .help = "Decisions of the gate by reason",
      .labels = {{"reason", reason_names, EMK_GATE_REASONS}}}},
    {offsetof(emk_server_metrics, journal_size),
     {.name = "earmark_audit_entries",
      .help = "Entries of the audit log",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, journal_checkpoint_age),
     {.name = "earmark_audit_checkpoint_age_seconds",
      .help = "Age of the last checkpoint",
      .type = EMK_METRIC_GAUGE,
      .divisor = 1000}},
    {offsetof(emk_server_metrics, journal_writable),
     {.name = "earmark_audit_writable",
      .help = "0: grants have stopped",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, journal_waiting),
     {.name = "earmark_audit_waiting",
      .help = "Entries in memory that wait for the disk",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, journal_lost),
     {.name = "earmark_audit_lost_total",
      .help = "Entries of revocations that found no room while the disk was away"}},
    {offsetof(emk_server_metrics, journal_commit),
     {.name = "earmark_audit_last_commit_seconds",
      .help = "How long the last write of the audit log took",
      .type = EMK_METRIC_GAUGE,
      .divisor = NS_PER_S}},
    {offsetof(emk_server_metrics, journal_commits),
     {.name = "earmark_audit_commits_total", .help = "Writes of the audit log, shared by many"}},
    {offsetof(emk_server_metrics, journal_signing),
     {.name = "earmark_audit_signing",
      .help = "0: the last checkpoint could not be signed",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, journal_unsigned),
     {.name = "earmark_audit_unsigned_entries",
      .help = "Entries that no checkpoint covers yet",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, verify_result),
     {.name = "earmark_audit_verify_result",
      .help = "What the server found in its own log: 1 for one of them, none before the first look",
      .type = EMK_METRIC_GAUGE,
      .labels = {{"verdict", VERDICTS, 4}}}},
    {offsetof(emk_server_metrics, verify_age),
     {.name = "earmark_audit_verify_age_seconds",
      .help = "Since the server looked at its own log; before the first look since the start",
      .type = EMK_METRIC_GAUGE,
      .divisor = NS_PER_S}},
    {offsetof(emk_server_metrics, verify_runs),
     {.name = "earmark_audit_verify_total",
      .help = "Looks that came to an end",
      .labels = {{"result", RUNS, 2}}}},
    {offsetof(emk_server_metrics, shed_level),
     {.name = "earmark_overload_level",
      .help = "Refused for overload, in percent of a class: 100 all tickets and seals, 200 all "
              "downloads too, 300 all leases too",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, queue_wait),
     {.name = "earmark_overload_wait_seconds",
      .help =
          "How long a request that comes now waits for a worker, by the pace of the last second",
      .type = EMK_METRIC_GAUGE,
      .divisor = MS_PER_S}},
    {offsetof(emk_server_metrics, blob_bytes),
     {.name = "earmark_blob_bytes", .help = "Bytes of stored models", .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, counters),
     {.name = "earmark_counter_places",
      .help = "Places of the counters in use",
      .type = EMK_METRIC_GAUGE,
      .labels = {{"kind", COUNTERS, 4}}}},
    {offsetof(emk_server_metrics, tokens),
     {.name = "earmark_token_cache_total",
      .help = "Tokens remembered, and verified anew",
      .labels = {{"result", CACHE, 2}}}},
    {offsetof(emk_server_metrics, hooks_waiting),
     {.name = "earmark_webhooks_waiting",
      .help = "Messages that wait to be sent",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, hooks_dead),
     {.name = "earmark_webhooks_dead",
      .help = "Messages that were tried often enough and are kept for a week",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, hooks_results),
     {.name = "earmark_webhooks_total",
      .help = "Tries, and messages that found the queue full",
      .labels = {{"result", HOOK_RESULTS, 3}}}},
    {offsetof(emk_server_metrics, messenger),
     {.name = "earmark_messenger_up",
      .help = "1: webhooks can be sent; 0 also where none are configured",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, signals),
     {.name = "earmark_fraud_signals_total",
      .help = "Refusals told to the fraud engine, and those beyond the pace",
      .labels = {{"result", SIGNALS, 2}}}},
    {offsetof(emk_server_metrics, sealing_left),
     {.name = "earmark_sealing_certificate_seconds_left",
      .help = "How long the sealing certificate is still good",
      .type = EMK_METRIC_GAUGE}},
    {offsetof(emk_server_metrics, file_age),
     {.name = "earmark_file_age_seconds",
      .help = "Since this was read and found good",
      .type = EMK_METRIC_GAUGE,
      .labels = {{"file", emk_server_file_names, EMK_SERVER_FILES}}}},
    {offsetof(emk_server_metrics, places_age),
     {.name = "earmark_places_age_seconds",
      .help = "Since this database of places was made; 0: none",
      .type = EMK_METRIC_GAUGE,
      .labels = {{"file", EMK_PLACES_FILE_NAME, EMK_PLACES_FILES}}}},
    {offsetof(emk_server_metrics, places_lookups),
     {.name = "earmark_places_lookups_total",
      .help = "Addresses of which something was known, nothing, and damaged records",
      .labels = {{"result", LOOKUPS, 3}}}},
    {offsetof(emk_server_metrics, uptime),
     {.name = "earmark_uptime_seconds",
      .help = "Since the start",
      .type = EMK_METRIC_GAUGE,
      .divisor = NS_PER_S}},
};

static emk_status write_fraud(void *self, emk_buf *out, emk_error *e)
{
    return emk_fraud_host_numbers(self, out, e);
}

emk_status emk_server_metrics_add(emk_server *s, emk_error *e)
{
    emk_status st = EMK_OK;

    for (unsigned i = 0; i < EMK_GATE_REASONS; i++)
        reason_names[i] = emk_gate_reason_name((emk_gate_reason)i);
    for (size_t i = 0; st == EMK_OK && i < sizeof ALL / sizeof ALL[0]; i++)
        st = emk_metrics_add(s->api.metrics, &ALL[i].def, metric_at(&s->metrics, ALL[i].to), e);
    if (st == EMK_OK)
        st = emk_meter_add(s->api.metrics, s->api.limits, &s->api.meter, e);
    if (st == EMK_OK && s->fraud)
        st = emk_metrics_on_write(s->api.metrics, write_fraud, s->fraud, e);
    return st == EMK_OK ? emk_metrics_on_collect(s->api.metrics, collect, s, e) : st;
}
