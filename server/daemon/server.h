/* A running server: its parts, made in order and ended in reverse. */
#ifndef EMK_SERVER_DAEMON_SERVER_H
#define EMK_SERVER_DAEMON_SERVER_H

#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "server/api/fraud_engine.h"
#include "server/api/hook_sources.h"
#include "server/daemon/config.h"
#include "server/daemon/http.h"
#include "server/daemon/keyholder.h"
#include "server/daemon/messenger.h"
#include "server/daemon/os_net.h"
#include "server/daemon/overload.h"

#include <stdatomic.h>

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

/* What is read again while the server runs: reload.c. */
typedef enum emk_server_file {
    EMK_SERVER_ATTESTATION,
    EMK_SERVER_TOKEN_KEYS,
    EMK_SERVER_FIREWALL,
    EMK_SERVER_FRAUD_RULES,
    EMK_SERVER_TLS,
    EMK_SERVER_PLACES,
    EMK_SERVER_WEBHOOK_SOURCES,
    EMK_SERVER_WEBHOOK_TARGETS,
    EMK_SERVER_FILES
} emk_server_file;
extern const char *const emk_server_file_names[];
#define EMK_SERVER_OLD_ROOTS     8u
#define EMK_SERVER_RETIRING      4u /* listeners that end, each with threads of its own */
#define EMK_SERVER_NEEDS_RESTART "reload: changed, needs a restart"

typedef struct emk_server_reads {
    atomic_ullong good_ns[EMK_SERVER_FILES]; /* when it was good; 0: not used */
    atomic_bool failed[EMK_SERVER_FILES];    /* the last time */
    atomic_bool wanted;                      /* an operator asked for a reload */
    atomic_ullong n;                         /* reloads so far */
} emk_server_reads;

/* The server looks at its own audit log: watch.c. */
typedef struct emk_server_watch {
    emk_thread *thread; /* at work; NULL: none */
    atomic_bool over;
    atomic_int verdict;    /* emk_audit_verdict of the last look; -1: none yet */
    atomic_ullong good_ns; /* when it ended */
    atomic_ullong done, failed;
    uint64_t last_ns; /* when it began */
} emk_server_watch;

/* A listener from before a reload: who is connected is served until then. */
typedef struct emk_server_retiring {
    emk_http_server *http;
    uint64_t until_ns;
} emk_server_retiring;

typedef struct emk_server_metrics {
    emk_metric *connections, *refused, *timed_out, *busy, *ready, *keyholder, *gate_reasons;
    emk_metric *journal_size, *journal_checkpoint_age, *journal_writable, *blob_bytes, *counters;
    emk_metric *tokens, *uptime;
    emk_metric *sealing_left, *file_age, *places_age, *places_lookups;
    emk_metric *journal_waiting, *journal_lost, *journal_commit, *journal_commits, *journal_signing;
    emk_metric *journal_unsigned;
    emk_metric *verify_result, *verify_age, *verify_runs;
    emk_metric *shed_level, *queue_wait;
    emk_metric *hooks_waiting, *hooks_dead, *hooks_results, *messenger, *signals;
} emk_server_metrics;

typedef struct emk_server {
    emk_server_options options;
    emk_config config;
    bool has_config;
    char data[5][EMK_SERVER_PATH_MAX]; /* records, blobs, journal, counters, fraud */

    emk_messenger *messenger; /* NULL: no webhooks go out */
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
    struct emk_server_signing *signing;
    emk_server_reads reads;
    emk_attest_roots *old_roots[EMK_SERVER_OLD_ROOTS];
    uint64_t old_roots_ns[EMK_SERVER_OLD_ROOTS]; /* when each was replaced */
    unsigned n_old_roots;
    emk_fraud_host *fraud;
    emk_hooks *hooks;
    emk_server_watch watch;
    emk_overload overload;
    emk_thread *campaigns; /* the job at work; NULL: none */
    atomic_bool campaigns_over;
    uint64_t last_campaigns_ns, last_due_ns;
    bool campaigns_look; /* for groups, not only after approved ones; of the job at work */
    emk_buf tls_certificate, tls_key, tls_clients, issuer_certificate;

    emk_router router, internal_router;
    emk_http_server *http, *internal;
    emk_server_retiring retiring[EMK_SERVER_RETIRING]; /* the oldest first */
    size_t n_retiring;
    bool tls_waits; /* a reload, for a place in there */
    emk_server_metrics metrics;
    uint64_t started_ns, keyholder_lost_ns, last_sweep_ns, last_ping_ns, last_jwks_ns,
        last_signing_ns, last_fraud_ns, last_places_ns;
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

/* Keys of those whose webhooks come in; before rights are given up.  Webhooks that go out, when the
 * records are open.  In server_hooks.c. */
emk_status emk_server_hook_sources_read(emk_server *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_server_hooks_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
/* Takes the sources of `fresh`, and asks the messenger for its targets; digest: SHA-256 of the
 * file's text.  False: something stays as it was.  The messenger's word comes later, to
 * emk_server_hooks_reloaded, whose self is the server. */
bool emk_server_hooks_reload(emk_server *s, const emk_config *fresh, const uint8_t digest[32]);
void emk_server_hooks_reloaded(void *self, bool good);
/* What the fraud engine says of itself: into the audit log, and to who is told.  self: a server. */
void emk_server_fraud_news(void *self, const emk_fraud_host_news *n);
uint64_t emk_server_now_ms(void *self);
/* Looks for groups now and then, on a thread of its own; called by the main thread. */
void emk_server_campaigns_tick(emk_server *s, uint64_t now_ns);
/* Verifies the audit log now and then, on a thread of its own; called by the main thread. */
void emk_server_watch_tick(emk_server *s, uint64_t now_ns);
void emk_server_watch_close(emk_server *s);
void emk_server_watch_collect(emk_server *s);
/* Sheds classes of requests while the workers do not keep up; called by the main thread. */
void emk_server_overload_tick(emk_server *s, uint64_t now_ns);
void emk_server_hooks_close(emk_server *s);
void emk_server_hooks_collect(emk_server *s);

/* The parts, in server_parts.c: stores, journal, gate. */
emk_status emk_server_parts_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
void emk_server_parts_close(emk_server *s);
/* Reads roots and keys of attestation, before the process is confined: attestation.c. */
emk_status emk_server_attestation_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
void emk_server_attestation_close(emk_server *s);
/* Notes that it was read; `good` false: the old one stays. */
void emk_server_file_note(emk_server *s, emk_server_file file, bool good);
/* Seconds since it was read and good; 0 where it is not used. */
uint64_t emk_server_file_age(emk_server *s, emk_server_file file);
/* Says of each whether it is fresh: members of the object in hand. */
void emk_server_files_json(emk_server *s, emk_json_out *o);
/* Names in the log what has changed and waits for a restart. */
void emk_server_reload_say(const emk_server *s, const emk_config *fresh);
void emk_server_files_show(void *self, emk_json_out *o);
/* The start read all of them, and they were good. */
void emk_server_reads_begin(emk_server *s);
/* What operators ask for: a reload by the main thread. */
void emk_server_reload_want(void *self);
bool emk_server_reload_wanted(emk_server *s);

/* The sets of keys that sign, and what operators do with them: signing.c. */
typedef struct emk_server_signing emk_server_signing;
emk_status emk_server_signing_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
void emk_server_signing_close(emk_server *s);
/* Renews the sealing certificate in time; what goes wrong is logged. */
void emk_server_signing_keep(emk_server *s);
/* Seconds that it is still good for; UINT64_MAX where this server does not seal. */
uint64_t emk_server_sealing_left(emk_server *s);
/* Reads the files that may change while it runs: firewall list, token keys. */
bool emk_server_jwks_read(emk_server *s, bool all);
emk_status emk_server_firewall_read(emk_server *s, emk_error *e) EMK_MUST_CHECK;
/* Reads the fraud engine's rules again; writes its state.  What goes wrong is logged. */
bool emk_server_fraud_reload(emk_server *s);
emk_status emk_server_roots_reload(emk_server *s, emk_error *e) EMK_MUST_CHECK;
/* Where addresses are: the files of the configuration, if it names any.  Reloading takes all of
 * them or none; what goes wrong is logged.  places.c */
emk_status emk_server_places_open(emk_server *s, emk_error *e) EMK_MUST_CHECK;
bool emk_server_places_reload(emk_server *s);
/* Warns of old ones, once a day; called by the main thread. */
void emk_server_places_tick(emk_server *s, uint64_t now_ns);
/* Seconds since that file was made; 0 where there is none. */
uint64_t emk_server_places_age(emk_server *s, emk_places_file file);
void emk_server_fraud_keep(emk_server *s);
/* `earmarkd operator …`, `earmarkd certificate …`; returns the exit code. */
int emk_server_operator_main(int argc, char **argv);
/* `earmarkd permit …`; its exit code.  [keyholder_permit.h] */
int emk_server_permit_main(int argc, char **argv);
/* `earmarkd audit-key rotate`; its exit code.  [docs/operate/keys.md] */
int emk_server_audit_key_main(int argc, char **argv);
/* Reads a configuration's file, for these; says on standard error what is wrong with it.  End with
 * emk_config_done. */
emk_status emk_server_config_read(const char *file, emk_config *out, emk_error *e) EMK_MUST_CHECK;

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
