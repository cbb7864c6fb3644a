/* Webhooks as the configuration has them: who is told, and who tells us. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "core/base/writer.h"
#include "core/codec/cbor.h"
#include "server/api/campaigns.h"

#include <stdio.h>
#include <string.h>

#define NEWS_MAX 512u
#define NS_PER_S UINT64_C(1000000000)

static emk_status load_sources(const emk_config *c, emk_webhook_keys keys[EMK_HOOK_SOURCES_MAX],
                               emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_sources; i++) {
        st = emk_webhook_keys_load(c->sources[i].secret_file, &keys[i], e);
        if (st != EMK_OK)
            emk_log_write(EMK_LOG_ERROR, "a webhook's secret cannot be used",
                          c->sources[i].secret_file, e);
    }
    return st;
}

/* All of them, or none. */
static emk_status take_sources(emk_server *s, const emk_config *c, emk_error *e)
{
    emk_hook_source sources[EMK_HOOK_SOURCES_MAX];
    emk_webhook_keys keys[EMK_HOOK_SOURCES_MAX] = {{.n = 0}};
    emk_status st = load_sources(c, keys, e);

    for (size_t i = 0; i < c->n_sources; i++) {
        snprintf(sources[i].name, sizeof sources[i].name, "%s", c->sources[i].name);
        snprintf(sources[i].tenant, sizeof sources[i].tenant, "%s", c->sources[i].tenant);
    }
    if (st == EMK_OK)
        emk_hook_sources_set(s->api.hook_sources, sources, keys, c->n_sources);
    for (size_t i = 0; i < EMK_HOOK_SOURCES_MAX; i++)
        emk_webhook_keys_done(&keys[i]);
    return st;
}

emk_status emk_server_hook_sources_read(emk_server *s, emk_error *e)
{
    emk_status st = s->api.hook_sources ? EMK_OK : emk_hook_sources_new(&s->api.hook_sources, e);

    return st == EMK_OK ? take_sources(s, &s->config, e) : st;
}

static void fill_targets(const emk_config *c, emk_hook_target targets[EMK_CONFIG_HOOKS_MAX])
{
    for (size_t i = 0; i < c->n_hooks; i++) {
        snprintf(targets[i].name, sizeof targets[i].name, "%s", c->hooks[i].name);
        snprintf(targets[i].url, sizeof targets[i].url, "%s", c->hooks[i].url);
        targets[i].kinds = c->hooks[i].kinds;
    }
}

emk_status emk_server_hooks_open(emk_server *s, emk_error *e)
{
    emk_hook_target targets[EMK_CONFIG_HOOKS_MAX];
    emk_hooks_config config = {.crypto = s->crypto,
                               .records = &s->api.records,
                               .targets = targets,
                               .n_targets = s->config.n_hooks,
                               .queue = (uint32_t)s->config.hooks_queue,
                               .per_minute = (uint32_t)s->config.hooks_per_minute,
                               .retry_ms = s->config.hooks_retry_ms};
    emk_status st;

    if (s->config.n_hooks == 0)
        return EMK_OK;
    fill_targets(&s->config, targets);
    st = emk_hooks_new(&config, &s->hooks, e);
    s->api.hooks = s->hooks;
    return st == EMK_OK ? emk_messenger_feed(s->messenger, s->hooks, e) : st;
}

void emk_server_hooks_reloaded(void *self, bool good)
{
    emk_server_file_note(self, EMK_SERVER_WEBHOOK_TARGETS, good);
}

/* The messenger answers later: emk_server_hooks_reloaded. */
static bool reload_targets(emk_server *s, const emk_config *fresh, const uint8_t digest[32])
{
    emk_hook_target targets[EMK_CONFIG_HOOKS_MAX];

    if (!s->messenger && fresh->n_hooks > 0)
        emk_log_write(EMK_LOG_WARNING, EMK_SERVER_NEEDS_RESTART, "webhooks.targets", NULL);
    if (!s->messenger)
        return true;
    if (!emk_messenger_is_alive(s->messenger)) {
        emk_log_write(EMK_LOG_ERROR, "reload: the messenger is gone, targets wait for a restart",
                      NULL, NULL);
        emk_server_hooks_reloaded(s, false);
        return false;
    }
    fill_targets(fresh, targets);
    emk_messenger_reload(s->messenger, targets, fresh->n_hooks, digest);
    return true;
}

bool emk_server_hooks_reload(emk_server *s, const emk_config *fresh, const uint8_t digest[32])
{
    emk_error e = {0};
    bool good = take_sources(s, fresh, &e) == EMK_OK;

    if (!good)
        emk_log_write(EMK_LOG_ERROR, "reload: the webhooks' sources stay as they were", NULL, &e);
    if (fresh->n_sources > 0 || s->config.n_sources > 0)
        emk_server_file_note(s, EMK_SERVER_WEBHOOK_SOURCES, good);
    return reload_targets(s, fresh, digest) && good;
}

uint64_t emk_server_now_ms(void *self)
{
    (void)self;
    return emk_os_now_ms();
}

/* Detail of an entry: what it is about, as text. */
static void audit_news(emk_server *s, const char *type, const char *object, const char *ruleset)
{
    emk_journal_event event = {.time_ms = emk_os_now_ms(),
                               .type = emk_span_str(type),
                               .actor = emk_span_str("earmarkd"),
                               .object = emk_span_str(object),
                               .outcome = EMK_JOURNAL_DONE};
    uint8_t detail[NEWS_MAX];
    emk_error e = {0};
    emk_writer w;

    emk_writer_init(&w, detail, sizeof detail);
    emk_cbor_put_map(&w, 1);
    emk_cbor_put_uint(&w, 2);
    emk_cbor_put_text(&w, emk_span_str(ruleset));
    event.detail = emk_writer_span(&w);
    if (emk_journal_append_always(s->api.journal, &event, NULL, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "news of the fraud engine are not in the audit log", object,
                      &e);
}

static void post_news(emk_server *s, emk_webhook_kind kind, const char *key, const char *value,
                      const char *ruleset)
{
    emk_hook_news news = {.kind = kind, .now_s = emk_os_now_s()};
    emk_arena arena;
    emk_json_out o;
    emk_error e = {0};
    emk_status st;

    emk_arena_init(&arena, 2 * (size_t)NEWS_MAX);
    emk_json_out_init(&o, &arena, NEWS_MAX);
    emk_json_out_open(&o, NULL, '{');
    if (key)
        emk_json_out_text(&o, key, emk_span_str(value));
    emk_json_out_text(&o, "ruleset", emk_span_str(ruleset));
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &news.data, &e);
    if (st == EMK_OK)
        st = emk_hooks_post(s->hooks, &news, NULL, &e);
    emk_arena_done(&arena);
    if (st != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "a webhook cannot be queued", NULL, &e);
}

void emk_server_fraud_news(void *self, const emk_fraud_host_news *n)
{
    emk_server *s = self;

    if (n->change) {
        audit_news(s, "rules.change", n->change, n->ruleset);
        emk_log_write(EMK_LOG_INFO, "fraud rules", n->ruleset, NULL);
    }
    if (n->change && (strcmp(n->change, "promote") == 0 || strcmp(n->change, "rollback") == 0))
        post_news(s, EMK_WEBHOOK_PROMOTED, "change", n->change, n->ruleset);
    if (n->unpromoted) {
        audit_news(s, "rules.unpromoted", n->unpromoted, n->ruleset);
        emk_log_write(EMK_LOG_WARNING,
                      "nobody promoted these fraud rules: they came into the file by themselves",
                      n->ruleset, NULL);
    }
    if (n->demoted) {
        audit_news(s, "rule.demoted", n->demoted, n->ruleset);
        post_news(s, EMK_WEBHOOK_DEMOTED, "rule", n->demoted, n->ruleset);
    }
    if (n->breaker) {
        audit_news(s, "fraud.breaker", "opened", n->ruleset);
        post_news(s, EMK_WEBHOOK_BREAKER, NULL, NULL, n->ruleset);
    }
}

#define DUE_S 60u /* how often approved groups are looked at */

static void look_for_groups(void *self)
{
    emk_server *s = self;
    emk_error e = {0};
    size_t n = 0;

    if (emk_campaigns_due(&s->api, emk_os_now_s(), &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "approved groups could not be banned", NULL, &e);
    if (s->campaigns_look && emk_campaigns_run(&s->api, emk_os_now_s(), &n, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "the campaign job failed", NULL, &e);
    else if (n > 0)
        emk_log_write(EMK_LOG_INFO, "groups that act as one wait for a decision",
                      "/v1/admin/campaigns", NULL);
    atomic_store(&s->campaigns_over, true);
}

void emk_server_campaigns_tick(emk_server *s, uint64_t now_ns)
{
    emk_error e = {0};

    if (s->campaigns && atomic_load(&s->campaigns_over)) {
        emk_thread_join(s->campaigns);
        s->campaigns = NULL;
    }
    if (s->campaigns || !s->api.fraud || now_ns - s->last_due_ns < DUE_S * NS_PER_S)
        return;
    s->last_due_ns = now_ns;
    s->campaigns_look = s->config.fraud_campaigns_s > 0 &&
                        now_ns - s->last_campaigns_ns >= s->config.fraud_campaigns_s * NS_PER_S;
    if (s->campaigns_look)
        s->last_campaigns_ns = now_ns;
    atomic_store(&s->campaigns_over, false);
    if (emk_thread_start(look_for_groups, s, &s->campaigns, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "the campaign job does not start", NULL, &e);
}

/* Before the records, which the messenger's thread uses. */
void emk_server_hooks_close(emk_server *s)
{
    if (s->campaigns)
        emk_thread_join(s->campaigns);
    s->campaigns = NULL;
    emk_messenger_stop(s->messenger);
    s->messenger = NULL;
    s->api.hooks = NULL;
    emk_hooks_free(s->hooks);
    s->hooks = NULL;
}

void emk_server_hooks_collect(emk_server *s)
{
    uint64_t waiting = 0, dead = 0, sent = 0, failed = 0, dropped = 0;

    emk_hook_state state;

    for (size_t i = 0; emk_hooks_state(s->hooks, i, &state); i++) {
        waiting += state.waiting;
        dead += state.dead;
        sent += state.sent;
        failed += state.failed;
        dropped += state.dropped;
    }
    emk_metric_set(s->metrics.hooks_waiting, 0, 0, waiting);
    emk_metric_set(s->metrics.hooks_dead, 0, 0, dead);
    emk_metric_set(s->metrics.hooks_results, 0, 0, sent);
    emk_metric_set(s->metrics.hooks_results, 1, 0, failed);
    emk_metric_set(s->metrics.hooks_results, 2, 0, dropped);
    emk_metric_set(s->metrics.messenger, 0, 0, emk_messenger_is_alive(s->messenger));
}
