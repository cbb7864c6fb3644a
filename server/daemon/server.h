/* A running server: its parts, made in order and ended in reverse. */
#ifndef EMK_SERVER_DAEMON_SERVER_H
#define EMK_SERVER_DAEMON_SERVER_H

#include "core/base/os_file.h"
#include "server/api/fraud_engine.h"
#include "server/daemon/config.h"
#include "server/daemon/http.h"
#include "server/daemon/keyholder.h"
#include "server/daemon/os_net.h"

#define EMK_SERVER_PATH_MAX     1024u
#define EMK_SERVER_PASSWORD_MAX 32u
#define EMK_SERVER_EXIT_KEYS    3 /* the keyholder is gone */

typedef struct emk_server_options {
    const char *config_file; /* NULL: dev */
    const char *dev_dir;     /* of --dev */
    bool dev;
    bool make_keys;
} emk_server_options;

/* Where tokens' keys come from. */
typedef struct emk_server_jwks {
    const char *file;
    emk_jwks_cache *cache;
    emk_os_stamp stamp;
} emk_server_jwks;

typedef struct emk_server_metrics {
    emk_metric *connections, *refused, *timed_out, *busy, *ready, *keyholder, *gate_reasons;
    emk_metric *journal_size, *journal_checkpoint_age, *journal_writable, *blob_bytes, *counters;
    emk_metric *tokens, *uptime;
} emk_server_metrics;

typedef struct emk_server {
    emk_server_options options;
    emk_config config;
    bool has_config;
    char data[5][EMK_SERVER_PATH_MAX]; /* records, blobs, journal, counters, fraud */

    emk_keyholder_client *keyholder;
    emk_keyholder_hello hello;
    int fd_api, fd_internal;
    char at_api[EMK_LISTEN_TEXT_MAX], at_internal[EMK_LISTEN_TEXT_MAX];
    char origin[EMK_LISTEN_TEXT_MAX + 16];

    emk_crypto *crypto;
    emk_api_attestation *attestation;
    emk_api api;
    emk_sessions *sessions;
    emk_tokens *tokens;
    emk_trusted_proxies *proxies;
    emk_replay_guard replay;
    emk_server_jwks jwks[EMK_CONFIG_ISSUERS_MAX];
    emk_verify_key *issuer;
    emk_fraud_host *fraud;
    emk_buf tls_certificate, tls_key, issuer_certificate;

    emk_router router, internal_router;
    emk_http_server *http, *internal;
    emk_server_metrics metrics;
    uint64_t started_ns, keyholder_lost_ns, last_sweep_ns, last_ping_ns, last_jwks_ns,
        last_fraud_ns;
    uint64_t watchdog_ms;
    bool draining;
} emk_server;

/* Starts everything; the server tells its supervisor when it is ready.  Prints what went wrong. */
emk_status emk_server_start(const emk_server_options *o, emk_server *s,
                            emk_error *e) EMK_MUST_CHECK;
/* Runs until it is told to stop; returns the exit code. */
int emk_server_run(emk_server *s);
/* Ends what there is of it. */
void emk_server_stop(emk_server *s);

/* Why it is not ready: static; NULL: it is. */
const char *emk_server_unready(emk_server *s);

/* The parts, in server_parts.c: stores, journal, gate. */
emk_status emk_server_parts_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
void emk_server_parts_close(emk_server *s);
/* Reads roots and keys of attestation, before the process is confined: attestation.c. */
emk_status emk_server_attestation_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
void emk_server_attestation_close(emk_server *s);
/* Reads the files that may change while it runs: firewall list, token keys. */
void emk_server_jwks_read(emk_server *s, bool all);
emk_status emk_server_firewall_read(emk_server *s, emk_error *e) EMK_MUST_CHECK;
/* Reads the fraud engine's rules again; writes its state.  What goes wrong is logged. */
void emk_server_fraud_reload(emk_server *s);
void emk_server_fraud_keep(emk_server *s);
/* `earmarkd operator add …`; returns the exit code. */
int emk_server_operator_main(int argc, char **argv);

/* Brings into effect what operators have set. */
emk_status emk_server_admin_open(emk_server *s, const char *journal_dir, emk_span subjects_key,
                                 emk_error *e) EMK_MUST_CHECK;
/* Makes the operator of --dev with a new password, and gives a session of hers. */
emk_status emk_server_dev_operator(emk_server *s, char token[EMK_SESSION_TEXT_MAX],
                                   char password[EMK_SERVER_PASSWORD_MAX],
                                   emk_error *e) EMK_MUST_CHECK;

/* /healthz, /readyz, /metrics; and the families of metrics. */
extern const emk_route_table emk_routes_internal;
emk_status emk_server_metrics_add(emk_server *s, emk_error *e) EMK_MUST_CHECK;

#endif
