/* A server from its start to its end.  Order of the start: configuration, keyholder (forked while
 * there is one thread and nothing listens), sockets, rights given up, parts, HTTP. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "server/api/sealing.h"
#include "server/daemon/os_process.h"
#include "server/daemon/os_sandbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S      UINT64_C(1000000000)
#define TICK_MS       200u
#define PING_NS       NS_PER_S
#define SWEEP_NS      (10 * NS_PER_S)
#define SIGNING_NS    (5 * NS_PER_S)
#define JWKS_NS       (5 * NS_PER_S)
#define FILE_MAX      (1u << 20)
#define DRAIN_TICK_MS 20u

static void say(const char *what, const emk_yaml_diag *d, const emk_error *e)
{
    emk_log_write(EMK_LOG_ERROR, what, d && d->text[0] ? d->text : NULL, e);
}

/* ---- configuration ---- */

/* digest: SHA-256 of the file's text; NULL: not wanted. */
static emk_status read_config(emk_server *s, emk_config *out, uint8_t *digest, emk_error *e)
{
    emk_yaml_diag d = {.line = 0};
    emk_span in;
    emk_buf text;
    emk_status st;

    if (s->options.dev)
        return emk_config_dev(s->options.dev_dir, out, e);
    emk_buf_init(&text, EMK_YAML_TEXT_MAX);
    st = emk_os_read_file(s->options.config_file, EMK_YAML_TEXT_MAX, &text, e);
    in = emk_buf_span(&text);
    if (st == EMK_OK && digest)
        st = emk_sha256(s->crypto, &in, 1, digest, e);
    if (st == EMK_OK)
        st = emk_config_parse(s->options.config_file, in, out, &d, e);
    if (st != EMK_OK)
        say("the configuration cannot be used", &d, e);
    emk_buf_done(&text);
    return st;
}

/* ---- steps of the start ---- */

static emk_status make_folders(emk_server *s, emk_error *e)
{
    const emk_config *c = &s->config;
    emk_status st = EMK_OK;

    if (s->options.dev)
        st = emk_os_make_dir(s->options.dev_dir, e);
    if (st == EMK_OK)
        st = emk_os_make_dir(c->data, e);
    if (st == EMK_OK)
        st = emk_os_make_dir(c->keys_dir, e);
    if (st == EMK_OK && emk_sandbox_contains(c->data, c->keys_dir))
        st = emk_fail(e, EMK_E_POLICY, "keys.dir lies below server.data", 0);
    if (st == EMK_OK && c->user && emk_proc_is_root())
        st = emk_sandbox_give(c->data, c->user, e);
    if (st == EMK_OK && c->keys_user && emk_proc_is_root())
        st = emk_sandbox_give(c->keys_dir, c->keys_user, e);
    return st;
}

/* Before the keyholder, so that it has nothing of it. */
static emk_status start_messenger(emk_server *s, emk_error *e)
{
    const emk_config *c = &s->config;
    emk_messenger_target targets[EMK_CONFIG_HOOKS_MAX];
    emk_messenger_options o = {.targets = targets,
                               .n_targets = c->n_hooks,
                               .ca_file = c->hooks_ca,
                               .user = c->user,
                               .keys_dir = c->keys_dir,
                               .config_file = s->options.config_file,
                               .sandbox = c->sandbox,
                               .reloaded = emk_server_hooks_reloaded,
                               .reloaded_self = s};

    for (size_t i = 0; i < c->n_hooks; i++)
        targets[i] = (emk_messenger_target){.url = c->hooks[i].url,
                                            .allow = c->hooks[i].allow,
                                            .secret_file = c->hooks[i].secret_file};
    return c->n_hooks > 0 ? emk_messenger_start(&o, &s->messenger, e) : EMK_OK;
}

static emk_status start_keyholder(emk_server *s, emk_error *e)
{
    const emk_config *c = &s->config;
    emk_keyholder_options o = {.dir = c->keys_dir,
                               .issuer = (emk_keyholder_source)c->keys_issuer,
                               .module = c->keys_module,
                               .uri = c->keys_uri,
                               .next_uri = c->keys_next_uri,
                               .pin_file = c->keys_pin_file,
                               .tpm_dir = c->keys_tpm_dir,
                               .next_tpm_dir = c->keys_next_tpm_dir,
                               .tcti = c->keys_tcti,
                               .origin = c->audit_origin,
                               .user = emk_proc_is_root() ? c->keys_user : NULL,
                               .sealing_s = (uint32_t)c->keys_sealing_s,
                               .per_second = (uint32_t)c->keys_per_second,
                               .limits = {.certificate_s = c->certificate_s,
                                          .ticket_s = c->ticket_s,
                                          .lease_s = c->keys_lease_s,
                                          .policy_s = c->keys_policy_s},
                               .needed_s =
                                   c->certificate_s > c->ticket_s ? c->certificate_s : c->ticket_s,
                               .unattended = s->options.dev,
                               .sandbox = c->sandbox,
                               .make = s->options.make_keys || s->options.dev,
                               .in_child = emk_messenger_forget,
                               .in_child_self = s->messenger};
    emk_status st = emk_keyholder_start(&o, &s->keyholder, &s->hello, e);

    if (st == EMK_E_NOT_FOUND)
        emk_log_write(EMK_LOG_ERROR, "a key is missing",
                      "make them once with: earmarkd --config FILE --make-keys", e);
    return st;
}

/* A socket that the supervisor handed over under this name, or one of our own. */
typedef struct inherited {
    emk_inherited v[EMK_INHERITED_MAX];
    size_t n;
} inherited;

typedef struct socket_want {
    const char *name;
    const char *where;
} socket_want;

static emk_status take_socket(const inherited *given, socket_want want, int *fd, char *text,
                              emk_error *e)
{
    for (size_t i = 0; i < given->n; i++) {
        if (strcmp(given->v[i].name, want.name) == 0) {
            *fd = given->v[i].fd;
            snprintf(text, EMK_LISTEN_TEXT_MAX, "%s (inherited)", want.where);
            return EMK_OK;
        }
    }
    return emk_net_listen(want.where, fd, text, e);
}

static emk_status open_sockets(emk_server *s, emk_error *e)
{
    inherited given;
    emk_status st;

    given.n = emk_net_inherited(given.v);
    (void)emk_net_raise_files();
    st = take_socket(&given, (socket_want){"api", s->config.listen}, &s->fd_api, s->at_api, e);
    if (st == EMK_OK)
        st = take_socket(&given, (socket_want){"internal", s->config.internal_listen},
                         &s->fd_internal, s->at_internal, e);
    if (st != EMK_OK)
        say("cannot listen", NULL, e);
    return st;
}

static emk_status read_pem(const char *path, emk_buf *out, emk_error *e)
{
    static const uint8_t zero = 0;
    emk_status st;

    emk_buf_done(out);
    emk_buf_init(out, FILE_MAX);
    if (!path)
        return EMK_OK;
    st = emk_os_read_file(path, FILE_MAX - 1, out, e);
    return st == EMK_OK ? emk_buf_append(out, emk_span_of(&zero, 1), e) : st;
}

static emk_status read_files(emk_server *s, emk_error *e)
{
    emk_status st = read_pem(s->config.tls_certificate, &s->tls_certificate, e);

    if (st == EMK_OK)
        st = read_pem(s->config.tls_key, &s->tls_key, e);
    if (st == EMK_OK)
        st = read_pem(s->config.tls_client_ca, &s->tls_clients, e);
    if (st == EMK_OK)
        st = read_pem(s->config.keys_certificate, &s->issuer_certificate, e);
    if (st == EMK_OK && !s->crypto)
        st = emk_server_attestation_open(s, e);
    if (st == EMK_OK)
        st = emk_server_hook_sources_read(s, e);
    if (st != EMK_OK)
        say("a file of the configuration cannot be read", NULL, e);
    return st;
}

#define OWN_FILES 12u /* that the configuration names, besides those of issuers */

#define READ_MAX (OWN_FILES + EMK_CONFIG_ISSUERS_MAX + EMK_CONFIG_SOURCES_MAX)

static emk_status confine_files(emk_server *s, emk_error *e)
{
    char inside[EMK_SERVER_PATH_MAX] = "";
    char around[READ_MAX][EMK_SANDBOX_PATH_MAX];
    const char *read[READ_MAX], *write[1] = {s->config.data};
    const char *files[READ_MAX] = {s->options.config_file,
                                   s->config.tls_certificate,
                                   s->config.tls_key,
                                   s->config.firewall_file,
                                   s->config.fraud_rules,
                                   s->config.fraud_draft,
                                   s->config.tls_client_ca,
                                   s->config.places[EMK_PLACES_ASN],
                                   s->config.places[EMK_PLACES_CITY],
                                   s->config.places[EMK_PLACES_KIND],
                                   s->config.places[EMK_PLACES_HOSTING],
                                   NULL};
    emk_sandbox_paths p = {.write = write, .n_write = 1, .read = read};

    if (s->attestation->roots &&
        emk_os_join(inside, sizeof inside, s->config.attest_roots, "index.json", "", e) == EMK_OK)
        files[OWN_FILES - 1] = inside;
    for (size_t i = 0; i < s->config.n_issuers; i++)
        files[OWN_FILES + i] = s->config.issuers[i].jwks_file;
    for (size_t i = 0; i < s->config.n_sources; i++)
        files[OWN_FILES + EMK_CONFIG_ISSUERS_MAX + i] = s->config.sources[i].secret_file;
    for (size_t i = 0; i < READ_MAX; i++) {
        if (!files[i])
            continue;
        emk_sandbox_around(files[i], s->config.keys_dir, around[p.n_read]);
        read[p.n_read] = around[p.n_read];
        p.n_read++;
    }
    return emk_sandbox_files(&p, e);
}

/* What the kernel does not have is said, and does not stop the server. */
static emk_status shrug(emk_status st, const char *what, emk_error *e)
{
    if (st != EMK_E_UNSUPPORTED)
        return st;
    emk_log_write(EMK_LOG_WARNING, what, NULL, e);
    return EMK_OK;
}

static emk_status confine(emk_server *s, emk_error *e)
{
    emk_status st = emk_sandbox_private(e);

    if (st == EMK_OK && s->config.user && emk_proc_is_root())
        st = emk_sandbox_user(s->config.user, e);
    if (st == EMK_OK && s->config.sandbox)
        st = shrug(confine_files(s, e), "no Landlock: the key files are kept by permissions only",
                   e);
    if (st == EMK_OK && s->config.sandbox)
        st = shrug(emk_sandbox_calls(EMK_SANDBOX_SERVER, e), "no seccomp", e);
    if (st != EMK_OK)
        say("cannot give up rights", NULL, e);
    return st;
}

static uint64_t wall_clock(void *self)
{
    (void)self;
    return emk_os_now_s();
}

static emk_status fill_api(emk_server *s, emk_error *e)
{
    const emk_config *c = &s->config;
    emk_status st = EMK_OK;

    s->api.crypto = s->crypto;
    s->api.keyholder = emk_keyholder_table(s->keyholder, &s->hello);
    s->api.clock = wall_clock;
    s->api.daemon = s;
    s->api.reload = emk_server_reload_want;
    s->api.files = emk_server_files_show;
    if (s->options.dev)
        snprintf(s->origin, sizeof s->origin, "http://%s", s->at_api);
    s->api.settings = (emk_api_settings){
        .origin = s->options.dev ? s->origin : c->origin,
        .version = EMK_API_VERSION,
        .dev = s->options.dev,
        .certificate_s = (uint32_t)c->certificate_s,
        .ticket_s = (uint32_t)c->ticket_s,
        .blob_ttl_s = (uint32_t)c->blob_ttl_s,
        .model_max = c->model_max,
        .idempotency_s = (uint32_t)c->idempotency_s,
        .allow_no_attestation = c->attestation_none,
        .ticket_without_token = s->options.dev || c->ticket_without_token,
        .devices_per_user = (uint32_t)c->devices_per_user,
        .blob_require_device = c->blob_require_device,
        .default_tenant = c->default_tenant   ? c->default_tenant
                          : c->n_issuers == 1 ? c->issuers[0].tenant
                                              : NULL,
        .use_life_s = (uint32_t)c->use_life_s,
        .use_cost = (uint32_t)c->use_cost,
        .lease_max_s = c->keys_lease_s,
        .policy_max_s = c->keys_policy_s,
        .approvals = (unsigned)c->fraud_approvals,
        .attestation = s->attestation,
    };
    if (s->issuer_certificate.len > 1)
        s->api.settings.root_certificate =
            emk_span_of(s->issuer_certificate.p, s->issuer_certificate.len - 1);
    if (st == EMK_OK)
        st = emk_cose_verify_key(s->crypto,
                                 emk_span_of(s->hello.issuer_public, s->hello.issuer_public_len),
                                 &s->issuer, e);
    s->api.issuer = s->issuer;
    return st;
}

static emk_http_config http_config(const emk_server *s)
{
    const emk_config *c = &s->config;
    emk_http_config h = {
        .router = &s->router,
        .fd = s->fd_api,
        .proxies = s->proxies,
        .counts = true,
        .limits = {.threads = (uint32_t)c->threads,
                   .workers = (uint32_t)c->workers,
                   .streams = (uint32_t)c->streams,
                   .connections = (uint32_t)c->connections,
                   .connections_net = (uint32_t)c->connections_net,
                   .head_s = (uint32_t)c->head_s,
                   .idle_s = (uint32_t)c->idle_s,
                   .body_s = (uint32_t)c->body_s,
                   .answer_s = (uint32_t)c->answer_s,
                   .least_rate = (uint32_t)c->least_rate},
    };

    if (s->tls_certificate.len > 0) {
        h.tls_certificate = (const char *)s->tls_certificate.p;
        h.tls_key = (const char *)s->tls_key.p;
        if (s->tls_clients.len > 0)
            h.tls_clients = (const char *)s->tls_clients.p;
    }
    return h;
}

static emk_status start_api(emk_server *s, emk_error *e)
{
    emk_http_config h = http_config(s);

    h.api = &s->api;
    return emk_http_start(&h, &s->http, e);
}

static emk_status start_internal(emk_server *s, emk_error *e)
{
    emk_http_config h = http_config(s);

    h.api = &s->api;
    h.router = &s->internal_router;
    h.fd = s->fd_internal;
    h.tls_certificate = h.tls_key = h.tls_clients = NULL;
    h.counts = false;
    h.limits.threads = 1;
    h.limits.workers = 2;
    h.limits.streams = 1;
    h.limits.connections = 64;
    h.limits.connections_net = 0;
    return emk_http_start(&h, &s->internal, e);
}

static emk_status start_http(emk_server *s, emk_error *e)
{
    size_t n;
    const emk_route_table *tables = emk_api_tables(&n);
    emk_status st = emk_router_init(&s->router, tables, n, e);

    if (st == EMK_OK)
        st = emk_router_init(&s->internal_router, &emk_routes_internal, 1, e);
    if (st == EMK_OK)
        st = emk_metrics_new(&s->api.metrics, e);
    if (st == EMK_OK)
        st = emk_http_metrics_add(&s->api, &s->router, e);
    if (st == EMK_OK)
        st = emk_server_metrics_add(s, e);
    if (st == EMK_OK)
        st = start_api(s, e);
    if (st == EMK_OK)
        st = start_internal(s, e);
    return st;
}

/* The same token as a file, which is what `earmark` takes. */
static emk_status write_token(const char *path, const char *token, emk_error *e)
{
    char line[EMK_SESSION_TEXT_MAX + 2];
    int n = snprintf(line, sizeof line, "%s\n", token);
    emk_status st = emk_os_write_file(path, emk_span_of(line, (size_t)n), e);

    emk_wipe(line, sizeof line);
    return st;
}

static void print_next(const emk_server *s, const char *file)
{
    printf("\nnext, in another terminal:\n"
           "  earmark publish cat-ears.tflite cat-ears:1 --server http://%s --key %s\n"
           "  earmark enrol --server http://%s --token %s --user alice\n"
           "  earmark fetch cat-ears\n"
           "  earmark stats --server http://%s --token %s\n",
           s->at_api, file, s->at_api, file, s->at_api, file);
}

/* For people and scripts: where it is, and how to get in. */
static emk_status greet_dev(emk_server *s, emk_error *e)
{
    char token[EMK_SESSION_TEXT_MAX] = "", text[1024], path[EMK_SERVER_PATH_MAX];
    char file[EMK_SERVER_PATH_MAX];
    char password[EMK_SERVER_PASSWORD_MAX] = "";
    int n;
    emk_status st = emk_server_dev_operator(s, token, password, e);

    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, s->config.data, "dev.json", "", e);
    if (st == EMK_OK)
        st = emk_os_join(file, sizeof file, s->config.data, "operator.token", "", e);
    if (st == EMK_OK)
        st = write_token(file, token, e);
    if (st != EMK_OK)
        return st;
    n = snprintf(text, sizeof text,
                 "{\"api\":\"http://%s\",\"internal\":\"http://%s\",\"operator_token\":\"%s\","
                 "\"operator\":\"dev\",\"operator_password\":\"%s\","
                 "\"keyholder\":%d,\"pid\":%" PRIu64 "}\n",
                 s->at_api, s->at_internal, token, password, emk_keyholder_pid(s->keyholder),
                 emk_proc_pid());
    st = emk_os_write_file(path, emk_span_of(text, (size_t)n), e);
    printf("API             http://%s\ninternal        http://%s\noperator token  %s\n"
           "token file      %s\noperator        dev\npassword        %s\n",
           s->at_api, s->at_internal, token, file, password);
    print_next(s, file);
    fflush(stdout);
    emk_wipe(token, sizeof token);
    emk_wipe(password, sizeof password);
    emk_wipe(text, sizeof text);
    return st;
}

static emk_status greet(emk_server *s, emk_error *e)
{
    emk_status st = s->options.dev ? greet_dev(s, e) : EMK_OK;

    emk_log_write(EMK_LOG_INFO, "listening", s->at_api, NULL);
    emk_log_write(EMK_LOG_INFO, "listening (internal)", s->at_internal, NULL);
    return st;
}

typedef emk_status (*step_fn)(emk_server *s, emk_error *e);

emk_status emk_server_start(const emk_server_options *o, emk_server *s, emk_error *e)
{
    static const step_fn STEPS[] = {
        make_folders, start_messenger, start_keyholder,       open_sockets, read_files,
        confine,      fill_api,        emk_server_parts_open, start_http,   greet,
    };
    emk_status st;

    *s = (emk_server){.options = *o, .fd_api = -1, .fd_internal = -1};
    s->started_ns = s->last_campaigns_ns = s->last_due_ns = s->watch.last_ns =
        emk_os_monotonic_ns();
    emk_buf_init(&s->tls_certificate, FILE_MAX);
    emk_buf_init(&s->tls_key, FILE_MAX);
    emk_buf_init(&s->tls_clients, FILE_MAX);
    emk_buf_init(&s->issuer_certificate, FILE_MAX);
    emk_proc_signals_block();
    st = read_config(s, &s->config, NULL, e);
    s->has_config = st == EMK_OK;
    if (st == EMK_OK)
        emk_log_level_set((emk_log_level)s->config.log);
    for (size_t i = 0; st == EMK_OK && i < sizeof STEPS / sizeof STEPS[0]; i++)
        st = STEPS[i](s, e);
    if (st != EMK_OK) {
        emk_log_write(EMK_LOG_ERROR, "cannot start", NULL, e);
        emk_server_stop(s);
        return st;
    }
    emk_server_reads_begin(s);
    s->watchdog_ms = emk_net_watchdog_ms();
    emk_net_notify("READY=1");
    return EMK_OK;
}

/* ---- life ---- */

const char *emk_server_unready(emk_server *s)
{
    emk_journal_state j;

    if (s->draining)
        return "going down";
    if (!emk_keyholder_is_alive(s->keyholder))
        return "the keyholder is gone";
    emk_journal_state_get(s->api.journal, &j);
    if (!j.writable)
        return "the audit log cannot be written";
    if (emk_server_sealing_left(s) == 0)
        return "the sealing certificate is over";
    for (size_t i = 0; i < s->config.n_issuers; i++) {
        emk_jwks_state state;

        emk_jwks_cache_state(s->jwks[i].cache, emk_os_now_s(), &state);
        if (!state.usable)
            return "no keys of a token issuer";
    }
    return NULL;
}

/* Who is connected is served on for a while: the next answer asks them to connect anew.  There is
 * a place for it: reload_tls looks. */
static void retire(emk_server *s, emk_http_server *old)
{
    emk_http_retire(old);
    s->retiring[s->n_retiring++] =
        (emk_server_retiring){old, emk_os_monotonic_ns() + s->config.drain_s * NS_PER_S};
}

static void end_retired(emk_server *s, uint64_t now)
{
    size_t left = 0;

    for (size_t i = 0; i < s->n_retiring; i++) {
        emk_server_retiring *r = &s->retiring[i];

        if (emk_http_connections(r->http) > 0 && now < r->until_ns)
            s->retiring[left++] = *r;
        else
            emk_http_stop(r->http);
    }
    s->n_retiring = left;
}

/* A listener with new certificates; the old one stays where they are not good. */
static bool change_tls(emk_server *s)
{
    emk_buf fresh[3], *now[3] = {&s->tls_certificate, &s->tls_key, &s->tls_clients};
    const char *paths[3] = {s->config.tls_certificate, s->config.tls_key, s->config.tls_client_ca};
    emk_http_server *old = s->http;
    emk_error e = {0};
    emk_status st = EMK_OK;
    bool same;

    for (size_t i = 0; i < 3; i++) {
        emk_buf_init(&fresh[i], FILE_MAX);
        if (st == EMK_OK)
            st = read_pem(paths[i], &fresh[i], &e);
    }
    same = st == EMK_OK;
    for (size_t i = 0; same && i < 3; i++)
        same = emk_span_equal(emk_buf_span(&fresh[i]), emk_buf_span(now[i]));
    for (size_t i = 0; st == EMK_OK && !same && i < 3; i++) {
        emk_buf was = *now[i];

        *now[i] = fresh[i];
        fresh[i] = was;
    }
    if (st == EMK_OK && !same) {
        st = start_api(s, &e);
        for (size_t i = 0; st != EMK_OK && i < 3; i++) { /* back to what is in use */
            emk_buf bad = *now[i];

            *now[i] = fresh[i];
            fresh[i] = bad;
        }
    }
    emk_wipe(fresh[1].p, fresh[1].len);
    for (size_t i = 0; i < 3; i++)
        emk_buf_done(&fresh[i]);
    if (st != EMK_OK) {
        s->http = old;
        say("reload: the certificate stays as it was", NULL, &e);
        return false;
    }
    if (!same)
        retire(s, old);
    return true;
}

/* Not before there is a place for the listener that ends: nobody's request is cut for it. */
static bool reload_tls(emk_server *s)
{
    s->tls_waits = s->n_retiring == EMK_SERVER_RETIRING;
    if (!s->tls_waits)
        return change_tls(s);
    emk_log_write(EMK_LOG_INFO, "reload: the certificate waits for connections of earlier ones",
                  NULL, NULL);
    return true;
}

static void reload_tls_late(emk_server *s)
{
    if (s->tls_waits && s->n_retiring < EMK_SERVER_RETIRING)
        emk_server_file_note(s, EMK_SERVER_TLS, reload_tls(s));
}

static bool reload_firewall(emk_server *s)
{
    emk_error e = {0};

    if (emk_server_firewall_read(s, &e) == EMK_OK)
        return true;
    say("reload: the firewall's list stays as it was", NULL, &e);
    return false;
}

static bool reload_roots(emk_server *s)
{
    emk_error e = {0};

    if (emk_server_roots_reload(s, &e) == EMK_OK)
        return true;
    say("reload: the roots of attestation stay as they were", NULL, &e);
    return false;
}

/* Each by itself: what is not good stays as it was, and does not keep the others back. */
static bool reload_files(emk_server *s)
{
    bool (*const READ[EMK_SERVER_FILES])(emk_server *) = {
        [EMK_SERVER_ATTESTATION] = s->attestation->roots ? reload_roots : NULL,
        [EMK_SERVER_FIREWALL] = s->config.firewall_file ? reload_firewall : NULL,
        [EMK_SERVER_FRAUD_RULES] = emk_server_fraud_reload,
        [EMK_SERVER_TLS] = reload_tls,
        [EMK_SERVER_PLACES] = s->api.places ? emk_server_places_reload : NULL,
    };
    bool all = emk_server_jwks_read(s, true);

    for (unsigned i = 0; i < EMK_SERVER_FILES; i++) {
        bool good = !READ[i] || READ[i](s);

        if (READ[i] && (i != EMK_SERVER_TLS || (s->config.tls_certificate && !s->tls_waits)))
            emk_server_file_note(s, (emk_server_file)i, good);
        all = all && good;
    }
    return all;
}

/* The log's level, the webhooks, and the files that may change; the rest of the configuration waits
 * for a restart, and is named. Connections stay with the old listener until they end, the new one
 * has the socket already. */
static void reload(emk_server *s)
{
    uint8_t digest[EMK_SHA256_LEN] = {0};
    emk_config fresh;
    emk_error e = {0};
    emk_status st = read_config(s, &fresh, digest, &e);

    emk_net_notify("RELOADING=1");
    if (st == EMK_OK) {
        bool hooks;

        emk_log_level_set((emk_log_level)fresh.log);
        emk_server_reload_say(s, &fresh);
        hooks = emk_server_hooks_reload(s, &fresh, digest);
        emk_config_done(&fresh);
        if (reload_files(s) && hooks)
            emk_log_write(EMK_LOG_INFO, "reloaded", NULL, NULL);
        else
            emk_log_write(EMK_LOG_ERROR, "reloaded in part: something stays as it was", NULL, NULL);
    } else {
        say("reload: the old configuration stays", NULL, &e);
    }
    atomic_fetch_add(&s->reads.n, 1);
    emk_net_notify("READY=1");
}

static void sweep(emk_server *s)
{
    emk_error e = {0};

    if (emk_api_sweep(&s->api, emk_os_now_s(), &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "what has expired cannot be removed", NULL, &e);
}

/* Its end is noticed by asking; the exit is for the supervisor, who starts both anew. */
static bool keyholder_over(emk_server *s, uint64_t now)
{
    emk_error e = {0};
    int code;

    if (emk_keyholder_ping(s->keyholder, &e) != EMK_E_BUSY) {
        s->keyholder_lost_ns = 0;
        return false;
    }
    (void)emk_proc_ended(emk_keyholder_pid(s->keyholder), &code);
    if (s->keyholder_lost_ns == 0) {
        s->keyholder_lost_ns = now;
        emk_log_write(EMK_LOG_ERROR, "the keyholder is gone: no grants", NULL, &e);
        emk_net_notify("STATUS=the keyholder is gone");
    }
    return s->config.keyholder_grace_s > 0 &&
           now - s->keyholder_lost_ns >= s->config.keyholder_grace_s * NS_PER_S;
}

/* True when the server must end by itself. */
static bool keep_house(emk_server *s)
{
    uint64_t now = emk_os_monotonic_ns();

    if (s->watchdog_ms)
        emk_net_notify("WATCHDOG=1");
    end_retired(s, now);
    reload_tls_late(s);
    if (now - s->last_sweep_ns >= SWEEP_NS) {
        s->last_sweep_ns = now;
        sweep(s);
    }
    if (now - s->last_fraud_ns >= s->config.fraud_snapshot_s * NS_PER_S) {
        s->last_fraud_ns = now;
        emk_server_fraud_keep(s);
    }
    if (now - s->last_signing_ns >= SIGNING_NS) {
        s->last_signing_ns = now;
        emk_server_signing_keep(s);
    }
    emk_server_campaigns_tick(s, now);
    emk_server_places_tick(s, now);
    emk_server_watch_tick(s, now);
    emk_server_overload_tick(s, now);
    if (now - s->last_jwks_ns >= JWKS_NS) {
        s->last_jwks_ns = now;
        emk_server_jwks_read(s, false);
    }
    if (now - s->last_ping_ns < PING_NS)
        return false;
    s->last_ping_ns = now;
    return keyholder_over(s, now);
}

/* A worker may outlive its request, whose client is gone. */
static uint64_t at_work(const emk_server *s)
{
    uint64_t n = emk_http_busy(s->http) + emk_http_unanswered(s->http);

    for (size_t i = 0; i < s->n_retiring; i++)
        n += emk_http_busy(s->retiring[i].http) + emk_http_unanswered(s->retiring[i].http);
    return n;
}

static void drain(emk_server *s)
{
    uint64_t until = emk_os_monotonic_ns() + s->config.drain_s * NS_PER_S;

    s->draining = true;
    emk_net_notify("STOPPING=1");
    emk_log_write(EMK_LOG_INFO, "going down", NULL, NULL);
    emk_http_drain(s->http);
    for (size_t i = 0; i < s->n_retiring; i++)
        emk_http_drain(s->retiring[i].http);
    /* The last one of ours: who connects is refused at once and goes elsewhere, or waits in the
     * supervisor's socket for the next start. */
    emk_os_close(s->fd_api);
    s->fd_api = -1;
    while (at_work(s) > 0 && emk_os_monotonic_ns() < until) {
        if (emk_proc_signal_wait(DRAIN_TICK_MS) == EMK_PROC_STOP)
            return; /* told twice: at once */
        if (s->watchdog_ms)
            emk_net_notify("WATCHDOG=1");
    }
}

int emk_server_run(emk_server *s)
{
    for (;;) {
        emk_proc_signal signal = emk_proc_signal_wait(TICK_MS);

        if (signal == EMK_PROC_STOP) {
            drain(s);
            return 0;
        }
        if (signal == EMK_PROC_RELOAD || emk_server_reload_wanted(s))
            reload(s);
        if (keep_house(s)) {
            drain(s);
            return EMK_SERVER_EXIT_KEYS;
        }
    }
}

void emk_server_stop(emk_server *s)
{
    s->draining = true;
    for (size_t i = 0; i < s->n_retiring; i++)
        emk_http_stop(s->retiring[i].http);
    emk_http_stop(s->http);
    emk_http_stop(s->internal);
    emk_server_parts_close(s);
    emk_metrics_free(s->api.metrics);
    emk_server_signing_close(s);
    emk_verify_key_free(s->issuer);
    emk_keyholder_hello_done(&s->hello);
    emk_keyholder_stop(s->keyholder);
    emk_server_attestation_close(s);
    emk_hook_sources_free(s->api.hook_sources);
    emk_crypto_free(s->crypto);
    emk_os_close(s->fd_api);
    emk_os_close(s->fd_internal);
    emk_buf_done(&s->tls_certificate);
    emk_wipe(s->tls_key.p, s->tls_key.len);
    emk_buf_done(&s->tls_key);
    emk_buf_done(&s->tls_clients);
    emk_buf_done(&s->issuer_certificate);
    if (s->has_config)
        emk_config_done(&s->config);
}
