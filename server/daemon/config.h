/* The configuration file: every option stands once, in the table of config.c, from which the file
 * is read, --print-config and --options are written, and docs/operate/configure.md is checked. */
#ifndef EMK_SERVER_DAEMON_CONFIG_H
#define EMK_SERVER_DAEMON_CONFIG_H

#include "server/api/arena.h"
#include "server/api/attestation.h"
#include "server/daemon/http.h"
#include "server/daemon/keyholder.h"
#include "server/daemon/log.h"
#include "server/places/places.h"
#include "server/webhook/webhook.h"
#include "server/yaml/yaml.h"

#define EMK_CONFIG_TEXT_MAX    ((size_t)256 * 1024)
#define EMK_CONFIG_ISSUERS_MAX 8u
#define EMK_CONFIG_APPS_MAX    EMK_API_APPS_MAX
#define EMK_CONFIG_DEV_APP     "dev.example.app" /* of --dev: simulators' evidence counts there */
#define EMK_CONFIG_NETS_MAX    64u
#define EMK_CONFIG_HOOKS_MAX   8u
#define EMK_CONFIG_SOURCES_MAX 8u
#define EMK_CONFIG_LIMITS_MAX  EMK_LIMIT_RULES_MAX

typedef struct emk_config_issuer {
    const char *iss;
    const char *tenant;
    const char *audience;
    const char *jwks_file;
} emk_config_issuer;

typedef struct emk_config_app {
    const char *id, *kinds, *digests;
    uint64_t min_level, min_os_patch, min_version;
    bool development, unverified_boot, retired;
    const char *play_decryption, *play_verification; /* files */
} emk_config_app;

typedef struct emk_config_hook {
    const char *name, *url, *secret_file;
    uint32_t kinds; /* bits of emk_webhook_kind */
    unsigned allow; /* emk_webhook_allow */
} emk_config_hook;

typedef struct emk_config_source {
    const char *name, *tenant, *secret_file;
} emk_config_source;

/* Of whom a TLS client certificate is asked besides. */
typedef enum emk_config_clients {
    EMK_CONFIG_CLIENTS_NONE,
    EMK_CONFIG_CLIENTS_SERVICES,
    EMK_CONFIG_CLIENTS_OPERATORS,
    EMK_CONFIG_CLIENTS_BOTH
} emk_config_clients;

typedef struct emk_config {
    emk_arena arena; /* all texts */

    const char *listen, *internal_listen, *origin, *data, *user;
    uint64_t log, keyholder_grace_s, drain_s;
    bool sandbox;

    uint64_t threads, workers, streams, connections, connections_net, overload_ms;
    uint64_t head_s, idle_s, body_s, answer_s, least_rate;

    const char *tls_certificate, *tls_key, *tls_client_ca;
    uint64_t tls_client_required; /* emk_config_clients */
    emk_net proxies[EMK_CONFIG_NETS_MAX];
    size_t n_proxies;
    uint64_t proxies_field;
    const char *firewall_file;
    const char *places[EMK_PLACES_FILES];
    uint64_t places_stale_s;

    const char *keys_dir, *keys_module, *keys_uri, *keys_next_uri, *keys_pin_file, *keys_tpm_dir,
        *keys_next_tpm_dir, *keys_tcti;
    const char *keys_user, *keys_certificate;
    uint64_t keys_issuer, keys_sealing_s, keys_per_second, keys_lease_s, keys_policy_s;

    uint64_t certificate_s, ticket_s, blob_ttl_s, idempotency_s, blob_quota, model_max;
    bool attestation_none, ticket_without_token;
    bool blob_require_device;
    const char *default_tenant; /* NULL: that of the only issuer */
    uint64_t devices_per_user, use_life_s, use_cost;

    const char *fraud_rules, *fraud_draft;
    uint64_t fraud_users, fraud_snapshot_s, fraud_campaigns_s;
    uint64_t fraud_shadow_s, fraud_shadow_decisions, fraud_shadow_differ;
    uint64_t fraud_approvals, fraud_file; /* emk_approval_rule, emk_fraud_file */

    emk_config_hook hooks[EMK_CONFIG_HOOKS_MAX];
    size_t n_hooks;
    emk_config_source sources[EMK_CONFIG_SOURCES_MAX];
    size_t n_sources;
    uint64_t hooks_queue, hooks_per_minute, hooks_retry_ms;
    const char *hooks_ca;

    const char *attest_roots, *attest_good;
    uint64_t attest_stale, attest_pcrs;
    bool attest_sha1_ek;
    emk_config_app apps[EMK_CONFIG_APPS_MAX];
    size_t n_apps;

    const char *audit_origin;
    uint64_t audit_checkpoint_ms, audit_heartbeat_s, audit_verify_s;

    emk_config_issuer issuers[EMK_CONFIG_ISSUERS_MAX];
    size_t n_issuers;
    emk_limit_rule limits[EMK_CONFIG_LIMITS_MAX];
    size_t n_limits;
    emk_concurrency_rule concurrency[EMK_CONCURRENCY_RULES_MAX];
    size_t n_concurrency;
} emk_config;

/* Fills *out with the file's text over the defaults; end with emk_config_done.  d gets
 * "earmarkd.yaml:12:7: …".  EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED, EMK_E_NO_MEMORY. */
emk_status emk_config_parse(const char *file, emk_span text, emk_config *out, emk_yaml_diag *d,
                            emk_error *e) EMK_MUST_CHECK;
/* The defaults of --dev, with everything below dir.  They take no file. */
emk_status emk_config_dev(const char *dir, emk_config *out, emk_error *e) EMK_MUST_CHECK;
void emk_config_done(emk_config *c);

/* Calls `each` with the name ("http.workers") of every option that differs and that a reload does
 * not take over.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_config_waiting(const emk_config *was, const emk_config *is,
                              void (*each)(void *self, const char *name), void *self,
                              emk_error *e) EMK_MUST_CHECK;

/* Appends the configuration that counts, as a file that reads back to it. */
emk_status emk_config_print(const emk_config *c, emk_buf *out, emk_error *e) EMK_MUST_CHECK;
/* Appends all options as the table of docs/operate/configure.md. */
emk_status emk_config_options(emk_buf *out, emk_error *e) EMK_MUST_CHECK;

#endif
