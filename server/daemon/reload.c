/* How old what was read is: for readiness, metrics, and people. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "server/api/json_out.h"

#define NS_PER_S UINT64_C(1000000000)

const char *const emk_server_file_names[] = {
    [EMK_SERVER_ATTESTATION] = "attestation",
    [EMK_SERVER_TOKEN_KEYS] = "token_keys",
    [EMK_SERVER_FIREWALL] = "firewall",
    [EMK_SERVER_FRAUD_RULES] = "fraud_rules",
    [EMK_SERVER_TLS] = "tls",
    [EMK_SERVER_PLACES] = "places",
    [EMK_SERVER_WEBHOOK_SOURCES] = "webhook_sources",
    [EMK_SERVER_WEBHOOK_TARGETS] = "webhook_targets",
};

void emk_server_file_note(emk_server *s, emk_server_file file, bool good)
{
    atomic_store(&s->reads.failed[file], !good);
    if (good)
        atomic_store(&s->reads.good_ns[file], emk_os_monotonic_ns());
}

uint64_t emk_server_file_age(emk_server *s, emk_server_file file)
{
    uint64_t good = atomic_load(&s->reads.good_ns[file]), now = emk_os_monotonic_ns();

    return good == 0 || now < good ? 0 : (now - good) / NS_PER_S;
}

void emk_server_files_json(emk_server *s, emk_json_out *o)
{
    emk_json_out_open(o, "files", '{');
    for (unsigned i = 0; i < EMK_SERVER_FILES; i++) {
        if (atomic_load(&s->reads.good_ns[i]) == 0)
            continue;
        emk_json_out_open(o, emk_server_file_names[i], '{');
        emk_json_out_uint(o, "age_s", emk_server_file_age(s, (emk_server_file)i));
        emk_json_out_bool(o, "failed", atomic_load(&s->reads.failed[i]));
        emk_json_out_close(o);
    }
    emk_json_out_close(o);
    emk_json_out_uint(o, "reloads", atomic_load(&s->reads.n));
}

static void say_waiting(void *self, const char *name)
{
    (void)self;
    emk_log_write(EMK_LOG_WARNING, EMK_SERVER_NEEDS_RESTART, name, NULL);
}

void emk_server_reload_say(const emk_server *s, const emk_config *fresh)
{
    emk_error e = {0};

    if (emk_config_waiting(&s->config, fresh, say_waiting, NULL, &e) != EMK_OK)
        emk_log_write(EMK_LOG_ERROR, "reload: what has changed cannot be told", NULL, &e);
}

void emk_server_files_show(void *self, emk_json_out *o)
{
    emk_server_files_json(self, o);
}

void emk_server_reads_begin(emk_server *s)
{
    const bool used[EMK_SERVER_FILES] = {
        [EMK_SERVER_ATTESTATION] = s->attestation && s->attestation->roots,
        [EMK_SERVER_FIREWALL] = s->config.firewall_file != NULL,
        [EMK_SERVER_FRAUD_RULES] = true,
        [EMK_SERVER_TLS] = s->config.tls_certificate != NULL,
        [EMK_SERVER_PLACES] = s->api.places != NULL,
        [EMK_SERVER_WEBHOOK_SOURCES] = s->config.n_sources > 0,
        [EMK_SERVER_WEBHOOK_TARGETS] = s->config.n_hooks > 0,
    };

    for (unsigned i = 0; i < EMK_SERVER_FILES; i++)
        if (used[i])
            emk_server_file_note(s, (emk_server_file)i, true);
}

void emk_server_reload_want(void *self)
{
    emk_server *s = self;

    atomic_store(&s->reads.wanted, true);
}

bool emk_server_reload_wanted(emk_server *s)
{
    return atomic_exchange(&s->reads.wanted, false);
}
