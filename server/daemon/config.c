#include "server/daemon/config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 64u
#define LINE_MAX  1024u
#define DAY_S     UINT64_C(86400)
#define YEAR_S    (366 * DAY_S)

typedef enum kind {
    TEXT,    /* const char *; absent: NULL */
    COUNT,   /* uint64_t */
    SECONDS, /* uint64_t; written with a unit */
    MILLIS,  /* uint64_t; written with a unit */
    BYTES,   /* uint64_t; written with a unit */
    FLAG,    /* bool */
    CHOICE,  /* uint64_t: place in `choices` */
    NETS,    /* list; proxies */
    ISSUERS, /* list of mappings */
    LIMITS,
    CONCURRENCY,
    APPS,
    HOOKS,
    SOURCE_LIST
} kind;

typedef struct option {
    const char *section, *name;
    kind kind;
    size_t offset;
    const char *fallback; /* text of the default; "" : none */
    uint64_t min, max;
    const char *const *choices;
    bool required;
    const char *effect;
} option;

static const char *const LOG_LEVELS[] = {"error", "warning", "info", "debug", NULL};
static const char *const FIELDS[] = {"none", "x-forwarded-for", "forwarded", NULL};
static const char *const SOURCES[] = {"file", "pkcs11", "tpm2", NULL};
static const char *const APPROVALS[] = {"auto", "0", "1", NULL};
static const char *const UNPROMOTED[] = {"allow", "warn", "refuse", NULL};
static const char *const CLIENTS[] = {"none", "services", "operators", "both", NULL};
static const char *const STALE[] = {"refuse", "level_0", "warn", NULL};
static const char *const BY[] = {"all", "route", "net", "user", "device", "name", "tenant", NULL};
static const char *const UNITS[] = {"requests", "cost", "failures", NULL};

#define AT(field) offsetof(emk_config, field)

static const option OPTIONS[] = {
    {"server", "listen", TEXT, AT(listen), "127.0.0.1:8440", 0, 0, NULL, false,
     "Address of the API: `host:port`, `[host]:port` or `unix:/path`. A socket named `api` that a "
     "supervisor hands over goes first."},
    {"server", "internal_listen", TEXT, AT(internal_listen), "127.0.0.1:8441", 0, 0, NULL, false,
     "Address of `/healthz`, `/readyz` and `/metrics`; never to be reached from outside. Socket "
     "name `internal`."},
    {"server", "origin", TEXT, AT(origin), "", 0, 0, NULL, true,
     "What clients reach this server by, `https://models.example.com`; shown in "
     "`/.well-known/earmark`."},
    {"server", "data", TEXT, AT(data), "", 0, 0, NULL, true,
     "Folder of the records, blobs, counters and the audit log; made with mode 0700."},
    {"server", "user", TEXT, AT(user), "", 0, 0, NULL, false,
     "When started as root, the HTTP process becomes this user."},
    {"server", "log", CHOICE, AT(log), "info", 0, 0, LOG_LEVELS, false,
     "What is written to standard error, one JSON object a line; `info` has one for each request. "
     "Changed by a reload."},
    {"server", "sandbox", FLAG, AT(sandbox), "true", 0, 0, NULL, false,
     "Landlock and seccomp for both processes. Off only to look for a fault."},
    {"server", "keyholder_grace", SECONDS, AT(keyholder_grace_s), "30s", 0, YEAR_S, NULL, false,
     "When the keyholder is gone, how long to go on without it (grants are 503) before exiting "
     "with code 3 for the supervisor to start anew. 0: for ever."},
    {"server", "drain", SECONDS, AT(drain_s), "30s", 0, 3600, NULL, false,
     "How long requests at work may take to end after a stop or reload, downloads included."},
    {"http", "threads", COUNT, AT(threads), "2", 1, 16, NULL, false,
     "Threads that read and write connections."},
    {"http", "workers", COUNT, AT(workers), "32", 2, 64, NULL, false,
     "Threads that run requests; they may wait for the disk, so more than processors."},
    {"http", "streams", COUNT, AT(streams), "8", 1, 63, NULL, false,
     "Uploads at once; below `workers`. More are answered 503."},
    {"http", "connections", COUNT, AT(connections), "16384", 16, 1000000, NULL, false,
     "Open connections in all; the limit of open files must allow it."},
    {"http", "connections_per_net", COUNT, AT(connections_net), "256", 0, 1000000, NULL, false,
     "Open connections of one /24 or /64, trusted proxies excepted; 0: no limit."},
    {"http", "head_timeout", SECONDS, AT(head_s), "10s", 1, 600, NULL, false,
     "From opening a connection to the end of the first request's head."},
    {"http", "idle_timeout", SECONDS, AT(idle_s), "75s", 1, 3600, NULL, false,
     "From the end of a request to the end of the next one's head."},
    {"http", "body_timeout", SECONDS, AT(body_s), "10s", 1, 3600, NULL, false,
     "What a body may take beside its length at `least_rate`."},
    {"http", "answer_timeout", SECONDS, AT(answer_s), "20s", 1, 3600, NULL, false,
     "What a client may take to read an answer beside its length at `least_rate`."},
    {"http", "least_rate", BYTES, AT(least_rate), "16KiB", 256, UINT64_C(1) << 30, NULL, false,
     "Bytes a second that a client must send or read."},
    {"http", "overload", MILLIS, AT(overload_ms), "1s", 0, 60000, NULL, false,
     "While requests wait longer than this for a worker, a share of tickets and seals is answered "
     "503, then of downloads, then of leases; never of revocations, events and operators. 0: "
     "never."},
    {"tls", "certificate", TEXT, AT(tls_certificate), "", 0, 0, NULL, false,
     "PEM file with the certificate and its chain; without it the API is plain HTTP, for a proxy "
     "in front. Read again by a reload."},
    {"tls", "key", TEXT, AT(tls_key), "", 0, 0, NULL, false,
     "PEM file with the private key. Read again by a reload."},
    {"tls", "client_ca", TEXT, AT(tls_client_ca), "", 0, 0, NULL, false,
     "PEM file with the authorities whose client certificates are taken; without it none are asked "
     "for. Read again by a reload."},
    {"tls", "client_required", CHOICE, AT(tls_client_required), "none", 0, 0, CLIENTS, false,
     "Who must show a client certificate besides their key or session."},
    {"proxies", "trusted", NETS, AT(proxies), "", 0, EMK_CONFIG_NETS_MAX, NULL, false,
     "List of networks whose word on the client's address is believed."},
    {"proxies", "field", CHOICE, AT(proxies_field), "none", 0, 0, FIELDS, false,
     "Which header line they write; the other one is never read."},
    {"firewall", "file", TEXT, AT(firewall_file), "", 0, 0, NULL, false,
     "List of networks with allow, deny, challenge or limit:<class>, one a line; read again by a "
     "reload."},
    {"places", "asn", TEXT, AT(places[EMK_PLACES_ASN]), "", 0, 0, NULL, false,
     "MaxMind database (`.mmdb`) of the numbers of autonomous systems, for the fraud engine; read "
     "again by a reload, as the next two."},
    {"places", "city", TEXT, AT(places[EMK_PLACES_CITY]), "", 0, 0, NULL, false,
     "The same of cities, or of countries; without cities nobody travels too fast."},
    {"places", "kind", TEXT, AT(places[EMK_PLACES_KIND]), "", 0, 0, NULL, false,
     "The same of kinds of networks: hosting, proxies, connection types."},
    {"places", "hosting_asns", TEXT, AT(places[EMK_PLACES_HOSTING]), "", 0, 0, NULL, false,
     "Text file of systems whose networks are hosting, one number a line; needs `places.asn`. Read "
     "again by a reload."},
    {"places", "stale", SECONDS, AT(places_stale_s), "60d", 0, 10 * YEAR_S, NULL, false,
     "From what age on a file is warned of in the log, at the start, a reload and once a day; 0: "
     "never."},
    {"keys", "dir", TEXT, AT(keys_dir), "", 0, 0, NULL, true,
     "Folder of the key files; the HTTP process cannot open it."},
    {"keys", "issuer", CHOICE, AT(keys_issuer), "file", 0, 0, SOURCES, false,
     "Where the issuer key is: `issuer.key` in `dir`, a PKCS#11 token, or a TPM 2.0."},
    {"keys", "module", TEXT, AT(keys_module), "", 0, 0, NULL, false,
     "Library of the token (pkcs11)."},
    {"keys", "uri", TEXT, AT(keys_uri), "", 0, 0, NULL, false,
     "Which key, `pkcs11:token=…;object=…` without a PIN (pkcs11)."},
    {"keys", "next_uri", TEXT, AT(keys_next_uri), "", 0, 0, NULL, false,
     "With `pkcs11`: the key object that `earmark admin signing rotate issuer` goes to."},
    {"keys", "pin_file", TEXT, AT(keys_pin_file), "", 0, 0, NULL, false,
     "File with the token's PIN, readable by the keyholder only (pkcs11)."},
    {"keys", "tpm_dir", TEXT, AT(keys_tpm_dir), "", 0, 0, NULL, false,
     "Folder of the TPM's key blobs (tpm2)."},
    {"keys", "next_tpm_dir", TEXT, AT(keys_next_tpm_dir), "", 0, 0, NULL, false,
     "With `tpm2`: folder of the key blobs that `earmark admin signing rotate issuer` goes to."},
    {"keys", "tcti", TEXT, AT(keys_tcti), "", 0, 0, NULL, false,
     "How to reach the TPM; empty: `device:/dev/tpmrm0` (tpm2)."},
    {"keys", "user", TEXT, AT(keys_user), "", 0, 0, NULL, false,
     "When started as root, the keyholder becomes this user; another one than `server.user`."},
    {"keys", "issuer_certificate", TEXT, AT(keys_certificate), "", 0, 0, NULL, false,
     "File with the root's certificate for the issuer key, shown in `/.well-known/earmark`."},
    {"keys", "sealing_life", SECONDS, AT(keys_sealing_s), "28d", 0, YEAR_S, NULL, false,
     "Life of the sealing key's certificate, made at each start; 0: this server does not seal."},
    {"keys", "signatures_per_second", COUNT, AT(keys_per_second), "20000", 0, 1000000, NULL, false,
     "What the keyholder signs at most for one purpose in a second; 0: any number."},
    {"keys", "lease_max", SECONDS, AT(keys_lease_s), "31d", 3600, 10 * YEAR_S, NULL, false,
     "The keyholder signs no lease that is longer; a model's `lease_s` beyond it is cut. Nor does "
     "it sign certificates or tickets beyond `api.certificate_life` and `api.ticket_life`."},
    {"keys", "policy_max", SECONDS, AT(keys_policy_s), "0", 0, 100 * YEAR_S, NULL, false,
     "The same of how long a model may be opened: a ticket whose policy ends later is not signed, "
     "and a model's `life_s` beyond it is cut. 0: however long."},
    {"api", "certificate_life", SECONDS, AT(certificate_s), "24h", 60, YEAR_S, NULL, false,
     "Life of a device certificate."},
    {"api", "ticket_life", SECONDS, AT(ticket_s), "10m", 10, DAY_S, NULL, false,
     "Life of a ticket."},
    {"api", "blob_ttl", SECONDS, AT(blob_ttl_s), "5m", 10, DAY_S, NULL, false,
     "How long a sealed model waits to be fetched."},
    {"api", "model_max", BYTES, AT(model_max), "256GiB", 1, UINT64_C(1) << 38, NULL, false,
     "Bytes of one model, published or sent to be sealed."},
    {"api", "blob_quota", BYTES, AT(blob_quota), "0", 0, UINT64_C(1) << 50, NULL, false,
     "Bytes of all stored models; 0: what the disk has."},
    {"api", "idempotency_life", SECONDS, AT(idempotency_s), "24h", 60, 30 * DAY_S, NULL, false,
     "How long a request with an `Idempotency-Key` gets its first answer again."},
    {"api", "attestation_none", FLAG, AT(attestation_none), "false", 0, 0, NULL, false,
     "Enrol devices that prove nothing, at level 0."},
    {"api", "devices_per_user", COUNT, AT(devices_per_user), "10", 0, 1000, NULL, false,
     "Devices that a user may have, revoked ones not counted; 0: any number."},
    {"api", "ticket_without_token", FLAG, AT(ticket_without_token), "false", 0, 0, NULL, false,
     "A device asks for tickets without showing its user's token; with `--dev` always."},
    {"api", "default_tenant", TEXT, AT(default_tenant), "", 0, 0, NULL, false,
     "Whose services are that were made without a tenant, and whose users that an operator "
     "enrolled "
     "without one; empty: that of the only issuer of `tokens.issuers`, or none."},
    {"api", "use_life", SECONDS, AT(use_life_s), "30d", 0, 10 * YEAR_S, NULL, false,
     "How long a model that a backend makes for one use may be opened; 0: no tickets for uses."},
    {"api", "use_cost", COUNT, AT(use_cost), "10", 0, 1000000, NULL, false,
     "Cost units of a ticket for a use."},
    {"blobs", "require_device", FLAG, AT(blob_require_device), "false", 0, 0, NULL, false,
     "A sealed model is given only to a request that its own device signed. Off: whoever has the "
     "URL "
     "may fetch it, also a CDN or a background download; another device's signature is refused in "
     "any case."},
    {"fraud", "rules", TEXT, AT(fraud_rules), "", 0, 0, NULL, false,
     "Rule set of the fraud engine; empty: the one that is shipped. Read again by a reload, and "
     "used once it has passed its own tests."},
    {"fraud", "draft", TEXT, AT(fraud_draft), "", 0, 0, NULL, false,
     "A rule set that runs beside it: its answers are stored, and hold for the share of users that "
     "its `rollout` names."},
    {"fraud", "users", COUNT, AT(fraud_users), "65536", 16, 1u << 22, NULL, false,
     "Users, and as many devices, that the engine remembers at once; about 3 KiB each pair."},
    {"fraud", "snapshot", SECONDS, AT(fraud_snapshot_s), "5m", 10, DAY_S, NULL, false,
     "How often the engine's state is written, so that a restart is short."},
    {"fraud", "campaigns", SECONDS, AT(fraud_campaigns_s), "1h", 0, DAY_S, NULL, false,
     "How often groups of accounts that act as one are looked for, to be decided upon by an "
     "operator; 0: only when one asks."},
    {"fraud", "shadow_time", SECONDS, AT(fraud_shadow_s), "7d", 0, YEAR_S, NULL, false,
     "How long a draft must have run beside before it is promoted."},
    {"fraud", "shadow_decisions", COUNT, AT(fraud_shadow_decisions), "1000", 1, 1000000000, NULL,
     false, "How many decisions it must have been there for."},
    {"fraud", "shadow_difference", COUNT, AT(fraud_shadow_differ), "5", 0, 100, NULL, false,
     "Of a hundred of them, how many it may have given otherwise."},
    {"fraud", "promotion_approvals", CHOICE, AT(fraud_approvals), "auto", 0, 0, APPROVALS, false,
     "Whether another operator must approve a draft that can deny more, or is forced: `1` yes, `0` "
     "no, `auto` as soon as there is another with the scope `rules`."},
    {"fraud", "promotion_file", CHOICE, AT(fraud_file), "warn", 0, 0, UNPROMOTED, false,
     "A file of `fraud.rules` that nobody promoted, at the start or a reload: `allow` lets it "
     "decide, `warn` too and writes an audit entry, with `refuse` what decided before goes on."},
    {"attestation", "roots", TEXT, AT(attest_roots), "", 0, 0, NULL, false,
     "Folder of anchors and lists that `earmark attest update` keeps; read at the start."},
    {"attestation", "stale", CHOICE, AT(attest_stale), "refuse", 0, 0, STALE, false,
     "What an old revocation list does: nobody enrols, at level 0 only, or with a warning."},
    {"attestation", "sha1_ek", FLAG, AT(attest_sha1_ek), "false", 0, 0, NULL, false,
     "Take TPMs whose endorsement certificate is signed over SHA-1."},
    {"attestation", "pcrs", COUNT, AT(attest_pcrs), "0", 0, 0xFFFFFF, NULL, false,
     "PCRs of the SHA-256 bank that a TPM must quote, bit n for PCR n; 0: PCR 0 to 7."},
    {"attestation", "pcr_values", TEXT, AT(attest_good), "", 0, 0, NULL, false,
     "Allowed SHA-256 digests of their values, in hex, with spaces between; none: level 1."},
    {"attestation", "apps", APPS, AT(apps), "", 0, EMK_CONFIG_APPS_MAX, NULL, false,
     "Apps whose devices enrol: a list of `id`, `kinds` (words with spaces between) and optionally "
     "`digests` (SHA-256 of Android signing certificates, hex), `min_level`, `min_os_patch` "
     "(YYYYMM), `min_version`, `development`, `unverified_boot`, `retired`, and the files "
     "`play_decryption` and `play_verification`."},
    {"webhooks", "targets", HOOKS, AT(hooks), "", 0, EMK_CONFIG_HOOKS_MAX, NULL, false,
     "Whom this server tells: a list of `name`, `url`, `secret_file` (a line `whsec_<base64>`) and "
     "optionally `kinds` (words with spaces between; none: all) and `allow` (`private`: addresses "
     "of the inner network, `http`: without TLS). Changed by a reload, unless there was none."},
    {"webhooks", "sources", SOURCE_LIST, AT(sources), "", 0, EMK_CONFIG_SOURCES_MAX, NULL, false,
     "Whose webhooks are taken at `/v1/webhooks/<name>`: a list of `name`, `secret_file` and "
     "`tenant`. Changed by a reload."},
    {"webhooks", "queue", COUNT, AT(hooks_queue), "1000", 1, 100000, NULL, false,
     "Messages that wait for one target; more are dropped and counted."},
    {"webhooks", "per_minute", COUNT, AT(hooks_per_minute), "600", 1, 60000, NULL, false,
     "Messages sent to one target in a minute at most."},
    {"webhooks", "retry", MILLIS, AT(hooks_retry_ms), "5s", 10, 3600000, NULL, false,
     "The first pause after a failure; each one is three times the one before, up to six hours, "
     "twelve tries in all."},
    {"webhooks", "ca_file", TEXT, AT(hooks_ca), "", 0, 0, NULL, false,
     "PEM file of certificates that targets' are checked with, instead of the system's."},
    {"audit", "origin", TEXT, AT(audit_origin), "", 0, 0, NULL, false,
     "Name of the audit log in its checkpoints; empty: made from `server.origin`. Never change "
     "it."},
    {"audit", "checkpoint", MILLIS, AT(audit_checkpoint_ms), "1s", 10, 3600000, NULL, false,
     "A signed checkpoint at least so often while there is something new."},
    {"audit", "heartbeat", SECONDS, AT(audit_heartbeat_s), "1m", 0, DAY_S, NULL, false,
     "An entry at least so often, so that silence shows; 0: none."},
    {"audit", "verify", SECONDS, AT(audit_verify_s), "1h", 0, DAY_S, NULL, false,
     "How often the server verifies its own log, in metrics and the log; costs some seconds of one "
     "processor for a million entries. 0: never."},
    {"tokens", "issuers", ISSUERS, AT(issuers), "", 0, EMK_CONFIG_ISSUERS_MAX, NULL, false,
     "Whose user tokens are taken: a list of `issuer`, `audience`, `tenant` and `jwks_file` (kept "
     "fresh by a timer of yours; read when it changes)."},
    {"limits", "rates", LIMITS, AT(limits), "", 0, EMK_CONFIG_LIMITS_MAX, NULL, false,
     "A list of `name`, `by` (all, route, net, user, device, name, tenant), `unit` (requests, "
     "cost, failures), `quota`, `window`, and optionally `burst`, `route`, `class`, `shadow`."},
    {"limits", "concurrency", CONCURRENCY, AT(concurrency), "", 0, EMK_CONCURRENCY_RULES_MAX, NULL,
     false,
     "A list of `name`, `by`, `max`, `life` and optionally `shadow`: calls at work at once."},
};

#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

static void *at(emk_config *c, const option *o)
{
    return (uint8_t *)c + o->offset;
}

static const void *at_const(const emk_config *c, const option *o)
{
    return (const uint8_t *)c + o->offset;
}

/* ---- reading ---- */

typedef struct reading {
    emk_config *c;
    emk_yaml_diag *d;
    emk_error *e;
} reading;

static emk_status refuse_range(const reading *r, const emk_yaml_node *n, const option *o,
                               const char *min, const char *max)
{
    return emk_yaml_refuse(n, r->d, r->e, "configuration: out of range",
                           "%s.%s must be between %s and %s", o->section, o->name, min, max);
}

static void format_value(const option *o, uint64_t v, char out[32])
{
    static const struct {
        const char *unit;
        uint64_t n;
    } TIMES[] = {{"d", DAY_S}, {"h", 3600}, {"m", 60}, {"s", 1}},
      SIZES[] = {{"GiB", UINT64_C(1) << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};

    snprintf(out, 32, "%" PRIu64, v);
    if (o->kind == MILLIS && v % 1000 != 0)
        snprintf(out, 32, "%" PRIu64 "ms", v);
    if (o->kind == MILLIS && v % 1000 == 0)
        v /= 1000;
    if (v == 0)
        return;
    for (size_t i = 0; (o->kind == SECONDS || (o->kind == MILLIS && !strchr(out, 's'))) && i < 4;
         i++)
        if (v % TIMES[i].n == 0) {
            snprintf(out, 32, "%" PRIu64 "%s", v / TIMES[i].n, TIMES[i].unit);
            return;
        }
    for (size_t i = 0; o->kind == BYTES && i < 3; i++)
        if (v % SIZES[i].n == 0) {
            snprintf(out, 32, "%" PRIu64 "%s", v / SIZES[i].n, SIZES[i].unit);
            return;
        }
}

static emk_status take_number(const reading *r, const emk_yaml_node *n, const option *o)
{
    uint64_t v = 0;
    char min[32], max[32];
    emk_status st;

    if (o->kind == COUNT)
        st = emk_yaml_u64(n, UINT64_MAX, &v, r->d, r->e);
    else if (o->kind == BYTES)
        st = emk_yaml_bytes(n, UINT64_MAX, &v, r->d, r->e);
    else
        st = emk_yaml_duration_ms(n, &v, r->d, r->e);
    if (st != EMK_OK)
        return st;
    if (o->kind == SECONDS && v % 1000 != 0)
        return emk_yaml_refuse(n, r->d, r->e, "configuration: whole seconds",
                               "%s.%s must be whole seconds", o->section, o->name);
    if (o->kind == SECONDS)
        v /= 1000;
    if (v < o->min || v > o->max) {
        format_value(o, o->min, min);
        format_value(o, o->max, max);
        return refuse_range(r, n, o, min, max);
    }
    *(uint64_t *)at(r->c, o) = v;
    return EMK_OK;
}

static emk_status keep_text(const reading *r, const emk_yaml_node *n, const char **out)
{
    emk_span copy;
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, r->d, r->e);

    if (st != EMK_OK)
        return st;
    if (n->text_len == 0) {
        *out = NULL;
        return EMK_OK;
    }
    st = emk_arena_copy(&r->c->arena, emk_span_of(n->text, n->text_len), &copy, r->e);
    if (st == EMK_OK)
        *out = (const char *)copy.p;
    return st;
}

static emk_status take_nets(const reading *r, const emk_yaml_node *n)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SEQUENCE, r->d, r->e);

    r->c->n_proxies = 0;
    for (const emk_yaml_node *i = st == EMK_OK ? n->first : NULL; i; i = i->next) {
        emk_error ignored;

        if (r->c->n_proxies == EMK_CONFIG_NETS_MAX || i->kind != EMK_YAML_SCALAR ||
            emk_net_parse(emk_span_of(i->text, i->text_len), &r->c->proxies[r->c->n_proxies],
                          &ignored) != EMK_OK)
            return emk_yaml_refuse(i, r->d, r->e, "configuration: not a network",
                                   "not a network such as 10.0.0.0/8, or too many of them");
        r->c->n_proxies++;
    }
    return st;
}

/* A text that a mapping must have. */
static emk_status need_text(const reading *r, const emk_yaml_node *m, const char *key,
                            const char **out)
{
    const emk_yaml_node *n;
    emk_status st = emk_yaml_need(m, key, &n, r->d, r->e);

    if (st == EMK_OK)
        st = keep_text(r, n, out);
    if (st != EMK_OK || *out)
        return st;
    (void)emk_yaml_refuse(n, r->d, r->e, "configuration: empty", "%s must not be empty", key);
    return EMK_E_FORMAT;
}

static emk_status take_issuer(const reading *r, const emk_yaml_node *m)
{
    static const char *const KEYS[] = {"issuer", "audience", "tenant", "jwks_file", NULL};
    emk_config_issuer *out = &r->c->issuers[r->c->n_issuers];
    emk_status st = emk_yaml_check_keys(m, KEYS, r->d, r->e);

    if (st == EMK_OK && r->c->n_issuers == EMK_CONFIG_ISSUERS_MAX)
        st = emk_yaml_refuse(m, r->d, r->e, "configuration: too many", "too many issuers");
    if (st == EMK_OK)
        st = need_text(r, m, "issuer", &out->iss);
    if (st == EMK_OK)
        st = need_text(r, m, "audience", &out->audience);
    if (st == EMK_OK)
        st = need_text(r, m, "tenant", &out->tenant);
    if (st == EMK_OK)
        st = need_text(r, m, "jwks_file", &out->jwks_file);
    /* A user is a tenant's subject: of two issuers with one tenant, each could name the other's. */
    for (size_t i = 0; st == EMK_OK && i < r->c->n_issuers; i++)
        if (strcmp(r->c->issuers[i].tenant, out->tenant) == 0)
            st = emk_yaml_refuse(m, r->d, r->e, "configuration: tenant of two issuers",
                                 "each issuer has a tenant of its own; %s is taken", out->tenant);
    if (st == EMK_OK)
        r->c->n_issuers++;
    return st;
}

static emk_status need_u64(const reading *r, const emk_yaml_node *m, const char *key, uint64_t max,
                           uint64_t *out)
{
    const emk_yaml_node *n;
    emk_status st = emk_yaml_need(m, key, &n, r->d, r->e);

    return st == EMK_OK ? emk_yaml_u64(n, max, out, r->d, r->e) : st;
}

static emk_status need_choice(const reading *r, const emk_yaml_node *m, const char *key,
                              const char *const *choices, size_t *out)
{
    const emk_yaml_node *n;
    emk_status st = emk_yaml_need(m, key, &n, r->d, r->e);

    return st == EMK_OK ? emk_yaml_choice(n, choices, out, r->d, r->e) : st;
}

static emk_status need_seconds(const reading *r, const emk_yaml_node *m, const char *key,
                               uint64_t *out)
{
    const emk_yaml_node *n;
    uint64_t ms = 0;
    emk_status st = emk_yaml_need(m, key, &n, r->d, r->e);

    if (st == EMK_OK)
        st = emk_yaml_duration_ms(n, &ms, r->d, r->e);
    if (st == EMK_OK && (ms < 1000 || ms / 1000 > YEAR_S))
        st = emk_yaml_refuse(n, r->d, r->e, "configuration: out of range",
                             "%s must be between 1s and a year", key);
    if (st == EMK_OK)
        *out = ms / 1000;
    return st;
}

static emk_status may_flag(const reading *r, const emk_yaml_node *m, const char *key, bool *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);

    return n ? emk_yaml_bool(n, out, r->d, r->e) : EMK_OK;
}

static emk_status may_u64(const reading *r, const emk_yaml_node *m, const char *key, uint64_t max,
                          uint64_t *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);

    return n ? emk_yaml_u64(n, max, out, r->d, r->e) : EMK_OK;
}

static emk_status may_text(const reading *r, const emk_yaml_node *m, const char *key,
                           const char **out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);

    return n ? keep_text(r, n, out) : EMK_OK;
}

static emk_status app_rules(const reading *r, const emk_yaml_node *m, emk_config_app *out)
{
    emk_status st = may_u64(r, m, "min_level", 3, &out->min_level);

    if (st == EMK_OK)
        st = may_u64(r, m, "min_os_patch", 999912, &out->min_os_patch);
    if (st == EMK_OK)
        st = may_u64(r, m, "min_version", UINT32_MAX, &out->min_version);
    if (st == EMK_OK)
        st = may_flag(r, m, "development", &out->development);
    if (st == EMK_OK)
        st = may_flag(r, m, "unverified_boot", &out->unverified_boot);
    return st == EMK_OK ? may_flag(r, m, "retired", &out->retired) : st;
}

static emk_status take_app(const reading *r, const emk_yaml_node *m)
{
    static const char *const KEYS[] = {"id",
                                       "kinds",
                                       "digests",
                                       "min_level",
                                       "min_os_patch",
                                       "min_version",
                                       "development",
                                       "retired",
                                       "unverified_boot",
                                       "play_decryption",
                                       "play_verification",
                                       NULL};
    emk_config_app *out = &r->c->apps[r->c->n_apps];
    emk_status st = emk_yaml_check_keys(m, KEYS, r->d, r->e);

    if (st == EMK_OK && r->c->n_apps == EMK_CONFIG_APPS_MAX)
        st = emk_yaml_refuse(m, r->d, r->e, "configuration: too many", "too many apps");
    if (st != EMK_OK)
        return st;
    *out = (emk_config_app){.id = NULL};
    st = need_text(r, m, "id", &out->id);
    if (st == EMK_OK)
        st = need_text(r, m, "kinds", &out->kinds);
    if (st == EMK_OK)
        st = may_text(r, m, "digests", &out->digests);
    if (st == EMK_OK)
        st = may_text(r, m, "play_decryption", &out->play_decryption);
    if (st == EMK_OK)
        st = may_text(r, m, "play_verification", &out->play_verification);
    if (st == EMK_OK)
        st = app_rules(r, m, out);
    if (st == EMK_OK)
        r->c->n_apps++;
    return st;
}

/* What is one of the names, as bits. */
static emk_status may_words(const reading *r, const emk_yaml_node *m, const char *key,
                            const char *const *names, uint32_t *out)
{
    const emk_yaml_node *n = emk_yaml_get(m, key);
    const char *at = n && n->kind == EMK_YAML_SCALAR && n->text ? n->text : "";

    while (*(at += strspn(at, " "))) {
        size_t len = strcspn(at, " "), i = 0;

        while (names[i] && (strlen(names[i]) != len || memcmp(names[i], at, len) != 0))
            i++;
        if (!names[i])
            return emk_yaml_refuse(n, r->d, r->e, "configuration: not a word of this list",
                                   "%s: there is no \"%.*s\"; see docs/spec/webhooks.md", key,
                                   (int)len, at);
        *out |= UINT32_C(1) << i;
        at += len;
    }
    return EMK_OK;
}

static bool is_short_name(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_");

    return n > 0 && n <= 32 && text[n] == 0;
}

static emk_status need_short_name(const reading *r, const emk_yaml_node *m, const char **out)
{
    emk_status st = need_text(r, m, "name", out);

    if (st != EMK_OK || is_short_name(*out))
        return st;
    (void)emk_yaml_refuse(m, r->d, r->e, "configuration: name",
                          "name: 1 to 32 of a-z, 0-9, - and _");
    return EMK_E_FORMAT;
}

static emk_status take_hook(const reading *r, const emk_yaml_node *m)
{
    static const char *const KEYS[] = {"name", "url", "secret_file", "kinds", "allow", NULL};
    static const char *const ALLOW[] = {"private", "http", NULL};
    emk_config_hook hook = {.kinds = 0};
    const char *why;
    emk_status st = emk_yaml_check_keys(m, KEYS, r->d, r->e);

    if (st == EMK_OK && r->c->n_hooks == EMK_CONFIG_HOOKS_MAX)
        st = emk_yaml_refuse(m, r->d, r->e, "configuration: too many", "too many targets");
    if (st == EMK_OK)
        st = need_short_name(r, m, &hook.name);
    for (size_t i = 0; st == EMK_OK && i < r->c->n_hooks; i++)
        if (strcmp(r->c->hooks[i].name, hook.name) == 0)
            st = emk_yaml_refuse(m, r->d, r->e, "configuration: twice", "two targets named %s",
                                 hook.name);
    if (st == EMK_OK)
        st = need_text(r, m, "url", &hook.url);
    if (st == EMK_OK)
        st = need_text(r, m, "secret_file", &hook.secret_file);
    if (st == EMK_OK)
        st = may_words(r, m, "kinds", EMK_WEBHOOK_KIND_NAME, &hook.kinds);
    if (st == EMK_OK)
        st = may_words(r, m, "allow", ALLOW, &hook.allow);
    if (st == EMK_OK && (why = emk_webhook_url_check(hook.url, hook.allow)) != NULL)
        st = emk_yaml_refuse(emk_yaml_get(m, "url"), r->d, r->e, "configuration: url", "url: %s",
                             why);
    if (st != EMK_OK)
        return st;
    if (hook.kinds == 0)
        hook.kinds = (UINT32_C(1) << EMK_WEBHOOK_KINDS) - 1;
    r->c->hooks[r->c->n_hooks++] = hook;
    return EMK_OK;
}

static emk_status take_source(const reading *r, const emk_yaml_node *m)
{
    static const char *const KEYS[] = {"name", "secret_file", "tenant", NULL};
    emk_config_source *out = &r->c->sources[r->c->n_sources];
    emk_status st = emk_yaml_check_keys(m, KEYS, r->d, r->e);

    if (st == EMK_OK && r->c->n_sources == EMK_CONFIG_SOURCES_MAX)
        st = emk_yaml_refuse(m, r->d, r->e, "configuration: too many", "too many sources");
    if (st == EMK_OK)
        st = need_short_name(r, m, &out->name);
    if (st == EMK_OK)
        st = need_text(r, m, "secret_file", &out->secret_file);
    if (st == EMK_OK)
        st = need_text(r, m, "tenant", &out->tenant);
    if (st == EMK_OK && strlen(out->tenant) > EMK_PRINCIPAL_NAME_MAX)
        st = emk_yaml_refuse(emk_yaml_get(m, "tenant"), r->d, r->e, "configuration: tenant",
                             "tenant: %u characters at most", (unsigned)EMK_PRINCIPAL_NAME_MAX);
    for (size_t i = 0; st == EMK_OK && i < r->c->n_sources; i++)
        if (strcmp(r->c->sources[i].name, out->name) == 0)
            st = emk_yaml_refuse(m, r->d, r->e, "configuration: twice", "two sources named %s",
                                 out->name);
    r->c->n_sources += st == EMK_OK;
    return st;
}

static emk_status limit_extras(const reading *r, const emk_yaml_node *m, emk_limit_rule *rule)
{
    const emk_yaml_node *n;
    uint64_t v = 0;
    emk_status st = EMK_OK;

    if ((n = emk_yaml_get(m, "burst")) != NULL)
        st = emk_yaml_u64(n, EMK_LIMIT_UNITS_MAX, &rule->burst, r->d, r->e);
    if (st == EMK_OK && (n = emk_yaml_get(m, "route")) != NULL)
        st = keep_text(r, n, &rule->route);
    if (st == EMK_OK && (n = emk_yaml_get(m, "class")) != NULL) {
        st = emk_yaml_u64(n, EMK_FIREWALL_CLASS_MAX, &v, r->d, r->e);
        rule->limit_class = (uint8_t)v;
    }
    if (st == EMK_OK && (n = emk_yaml_get(m, "shadow")) != NULL)
        st = emk_yaml_bool(n, &rule->shadow, r->d, r->e);
    return st;
}

static emk_status take_limit(const reading *r, const emk_yaml_node *m)
{
    static const char *const KEYS[] = {"name",  "by",    "unit",  "quota",  "window",
                                       "burst", "route", "class", "shadow", NULL};
    emk_limit_rule rule = {.name = NULL};
    size_t by = 0, unit = 0;
    emk_status st = emk_yaml_check_keys(m, KEYS, r->d, r->e);

    if (st == EMK_OK && r->c->n_limits == EMK_CONFIG_LIMITS_MAX)
        st = emk_yaml_refuse(m, r->d, r->e, "configuration: too many", "too many limits");
    if (st == EMK_OK)
        st = need_text(r, m, "name", &rule.name);
    if (st == EMK_OK)
        st = need_choice(r, m, "by", BY, &by);
    if (st == EMK_OK)
        st = need_choice(r, m, "unit", UNITS, &unit);
    if (st == EMK_OK)
        st = need_u64(r, m, "quota", EMK_LIMIT_UNITS_MAX, &rule.quota);
    if (st == EMK_OK)
        st = need_seconds(r, m, "window", &rule.window_s);
    if (st == EMK_OK)
        st = limit_extras(r, m, &rule);
    rule.by = (emk_limit_by)by;
    rule.unit = (emk_limit_unit)unit;
    if (st == EMK_OK)
        r->c->limits[r->c->n_limits++] = rule;
    return st;
}

static emk_status take_concurrency(const reading *r, const emk_yaml_node *m)
{
    static const char *const KEYS[] = {"name", "by", "max", "life", "shadow", NULL};
    emk_concurrency_rule rule = {.name = NULL};
    uint64_t max = 0, life = 0;
    size_t by = 0;
    const emk_yaml_node *n;
    emk_status st = emk_yaml_check_keys(m, KEYS, r->d, r->e);

    if (st == EMK_OK && r->c->n_concurrency == EMK_CONCURRENCY_RULES_MAX)
        st = emk_yaml_refuse(m, r->d, r->e, "configuration: too many", "too many limits");
    if (st == EMK_OK)
        st = need_text(r, m, "name", &rule.name);
    if (st == EMK_OK)
        st = need_choice(r, m, "by", BY, &by);
    if (st == EMK_OK)
        st = need_u64(r, m, "max", EMK_LEASES_MAX, &max);
    if (st == EMK_OK)
        st = need_seconds(r, m, "life", &life);
    if (st == EMK_OK && (n = emk_yaml_get(m, "shadow")) != NULL)
        st = emk_yaml_bool(n, &rule.shadow, r->d, r->e);
    rule.by = (emk_limit_by)by;
    rule.max = (uint32_t)max;
    rule.life_s = (uint32_t)life;
    if (st == EMK_OK)
        r->c->concurrency[r->c->n_concurrency++] = rule;
    return st;
}

static emk_status take_list(const reading *r, const emk_yaml_node *n,
                            emk_status (*item)(const reading *r, const emk_yaml_node *m))
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SEQUENCE, r->d, r->e);

    for (const emk_yaml_node *i = st == EMK_OK ? n->first : NULL; st == EMK_OK && i; i = i->next)
        st = item(r, i);
    return st;
}

static emk_status take_option(const reading *r, const emk_yaml_node *n, const option *o)
{
    size_t place = 0;
    emk_status st;

    switch (o->kind) {
    case TEXT:
        return keep_text(r, n, at(r->c, o));
    case COUNT:
    case SECONDS:
    case MILLIS:
    case BYTES:
        return take_number(r, n, o);
    case FLAG:
        return emk_yaml_bool(n, at(r->c, o), r->d, r->e);
    case CHOICE:
        st = emk_yaml_choice(n, o->choices, &place, r->d, r->e);
        if (st == EMK_OK)
            *(uint64_t *)at(r->c, o) = place;
        return st;
    case NETS:
        return take_nets(r, n);
    case ISSUERS:
        return take_list(r, n, take_issuer);
    case LIMITS:
        return take_list(r, n, take_limit);
    case CONCURRENCY:
        return take_list(r, n, take_concurrency);
    case APPS:
        return take_list(r, n, take_app);
    case HOOKS:
        return take_list(r, n, take_hook);
    case SOURCE_LIST:
        return take_list(r, n, take_source);
    }
    return EMK_OK;
}

/* A default goes the way of a value in a file, so that it cannot be one that a file could not say.
 */
static emk_status take_default(const reading *r, const option *o)
{
    emk_yaml *y = NULL;
    emk_status st;

    if (o->fallback[0] == 0)
        return EMK_OK;
    st = emk_yaml_parse("default", emk_span_str(o->fallback), &y, r->d, r->e);
    if (st == EMK_OK)
        st = take_option(r, emk_yaml_root(y), o);
    emk_yaml_free(y);
    return st;
}

static emk_status take_defaults(const reading *r)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < N_OPTIONS; i++)
        st = take_default(r, &OPTIONS[i]);
    return st;
}

/* The names of the sections (section NULL) or of a section's options. */
static void list_names(const char *section, const char *names[NAMES_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < N_OPTIONS && n + 1 < NAMES_MAX; i++) {
        const option *o = &OPTIONS[i];

        if (!section && (n == 0 || strcmp(names[n - 1], o->section) != 0))
            names[n++] = o->section;
        else if (section && strcmp(section, o->section) == 0)
            names[n++] = o->name;
    }
    names[n] = NULL;
}

static emk_status check_names(const reading *r, const emk_yaml_node *root)
{
    const char *names[NAMES_MAX];
    emk_status st;

    list_names(NULL, names);
    st = emk_yaml_check_keys(root, names, r->d, r->e);
    for (const emk_yaml_node *s = st == EMK_OK ? root->first : NULL; st == EMK_OK && s;
         s = s->next) {
        list_names(s->key->text, names);
        st = emk_yaml_check_keys(s, names, r->d, r->e);
    }
    return st;
}

static emk_status take_file(const reading *r, const emk_yaml_node *root)
{
    emk_status st = check_names(r, root);

    for (size_t i = 0; st == EMK_OK && i < N_OPTIONS; i++) {
        const option *o = &OPTIONS[i];
        const emk_yaml_node *n = emk_yaml_get(emk_yaml_get(root, o->section), o->name);

        if (n)
            st = take_option(r, n, o);
        else if (o->required)
            st = emk_yaml_refuse(root, r->d, r->e, "configuration: missing", "%s.%s is missing: %s",
                                 o->section, o->name, o->effect);
    }
    return st;
}

/* What no option says alone. */
static emk_status check_whole(const reading *r, const emk_yaml_node *root)
{
    const emk_config *c = r->c;

    if ((c->tls_certificate == NULL) != (c->tls_key == NULL))
        return emk_yaml_refuse(root, r->d, r->e, "configuration: tls",
                               "tls.certificate and tls.key come together");
    if (c->tls_client_ca && !c->tls_certificate)
        return emk_yaml_refuse(root, r->d, r->e, "configuration: tls",
                               "tls.client_ca needs tls.certificate: a proxy's word on a client "
                               "certificate is not taken");
    if (c->tls_client_required != EMK_CONFIG_CLIENTS_NONE && !c->tls_client_ca)
        return emk_yaml_refuse(root, r->d, r->e, "configuration: tls",
                               "tls.client_required needs tls.client_ca");
    if (c->streams >= c->workers)
        return emk_yaml_refuse(emk_yaml_get(root, "http"), r->d, r->e, "configuration: streams",
                               "http.streams must be below http.workers");
    if (c->keys_issuer == EMK_KEYHOLDER_PKCS11 && (!c->keys_module || !c->keys_uri))
        return emk_yaml_refuse(emk_yaml_get(root, "keys"), r->d, r->e, "configuration: keys",
                               "keys.issuer pkcs11 needs keys.module and keys.uri");
    if (c->keys_issuer == EMK_KEYHOLDER_TPM2 && !c->keys_tpm_dir)
        return emk_yaml_refuse(emk_yaml_get(root, "keys"), r->d, r->e, "configuration: keys",
                               "keys.issuer tpm2 needs keys.tpm_dir");
    if (strncmp(c->origin, "https://", 8) != 0 && strncmp(c->origin, "http://", 7) != 0)
        return emk_yaml_refuse(emk_yaml_get(root, "server"), r->d, r->e, "configuration: origin",
                               "server.origin must begin with https://");
    if (c->n_proxies > 0 && c->proxies_field == EMK_FORWARDED_NEITHER)
        return emk_yaml_refuse(emk_yaml_get(root, "proxies"), r->d, r->e, "configuration: proxies",
                               "proxies.trusted needs proxies.field: which line do they write?");
    if (c->places[EMK_PLACES_HOSTING] && !c->places[EMK_PLACES_ASN])
        return emk_yaml_refuse(emk_yaml_get(root, "places"), r->d, r->e, "configuration: places",
                               "places.hosting_asns needs places.asn");
    return EMK_OK;
}

/* "https://models.example.com:8443/x" gives "models.example.com/earmark". */
static emk_status default_audit_origin(const reading *r)
{
    const char *host;

    if (r->c->audit_origin)
        return EMK_OK;
    host = strstr(r->c->origin, "://") + 3;
    r->c->audit_origin =
        emk_arena_format(&r->c->arena, "%.*s/earmark", (int)strcspn(host, ":/?#"), host);
    return r->c->audit_origin ? EMK_OK
                              : emk_fail(r->e, EMK_E_NO_MEMORY, "configuration: memory", 0);
}

emk_status emk_config_parse(const char *file, emk_span text, emk_config *out, emk_yaml_diag *d,
                            emk_error *e)
{
    emk_yaml *y = NULL;
    reading r = {.c = out, .d = d, .e = e};
    emk_status st;

    *out = (emk_config){.listen = NULL};
    emk_arena_init(&out->arena, EMK_CONFIG_TEXT_MAX);
    st = take_defaults(&r);
    if (st == EMK_OK)
        st = emk_yaml_parse(file, text, &y, d, e);
    if (st == EMK_OK)
        st = take_file(&r, emk_yaml_root(y));
    if (st == EMK_OK)
        st = check_whole(&r, emk_yaml_root(y));
    if (st == EMK_OK)
        st = default_audit_origin(&r);
    emk_yaml_free(y);
    if (st != EMK_OK)
        emk_config_done(out);
    return st;
}

emk_status emk_config_dev(const char *dir, emk_config *out, emk_error *e)
{
    reading r = {.c = out, .e = e};
    emk_config *c = out;
    emk_status st;

    *out = (emk_config){.listen = NULL};
    emk_arena_init(&out->arena, EMK_CONFIG_TEXT_MAX);
    st = take_defaults(&r);
    c->listen = "127.0.0.1:0";
    c->internal_listen = "127.0.0.1:0";
    c->origin = "http://localhost";
    c->attestation_none = true;
    c->connections_net = 0; /* all of it is this machine */
    c->data = emk_arena_format(&c->arena, "%s/data", dir);
    c->keys_dir = emk_arena_format(&c->arena, "%s/keys", dir);
    c->attest_roots = emk_arena_format(&c->arena, "%s/roots", dir);
    c->apps[c->n_apps++] = (emk_config_app){.id = EMK_CONFIG_DEV_APP, .kinds = "app_attest tpm"};
    if (st == EMK_OK && (!c->data || !c->keys_dir || !c->attest_roots))
        st = emk_fail(e, EMK_E_NO_MEMORY, "configuration: memory", 0);
    if (st == EMK_OK)
        st = default_audit_origin(&r);
    if (st != EMK_OK)
        emk_config_done(out);
    return st;
}

void emk_config_done(emk_config *c)
{
    emk_arena_done(&c->arena);
}

/* ---- writing ---- */

static emk_status put(emk_buf *out, emk_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static emk_status put(emk_buf *out, emk_error *e, const char *format, ...)
{
    char line[LINE_MAX];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line)
        return emk_fail(e, EMK_E_LIMIT, "configuration: line too long", sizeof line);
    return emk_buf_append(out, emk_span_of(line, (size_t)n), e);
}

static emk_status put_nets(const emk_config *c, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;
    char text[EMK_NET_TEXT_MAX];

    for (size_t i = 0; st == EMK_OK && i < c->n_proxies; i++) {
        emk_net_format(&c->proxies[i], text);
        st = put(out, e, "\n    - \"%s\"", text);
    }
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static emk_status put_issuers(const emk_config *c, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_issuers; i++)
        st = put(out, e,
                 "\n    - issuer: \"%s\"\n      audience: \"%s\"\n      tenant: \"%s\"\n      "
                 "jwks_file: \"%s\"",
                 c->issuers[i].iss, c->issuers[i].audience, c->issuers[i].tenant,
                 c->issuers[i].jwks_file);
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static emk_status put_app_text(emk_buf *out, const char *name, const char *text, emk_error *e)
{
    return text ? put(out, e, "\n      %s: \"%s\"", name, text) : EMK_OK;
}

static emk_status put_app(const emk_config_app *a, emk_buf *out, emk_error *e)
{
    emk_status st = put(out, e, "\n    - id: \"%s\"\n      kinds: \"%s\"", a->id, a->kinds);

    if (st == EMK_OK)
        st = put_app_text(out, "digests", a->digests, e);
    if (st == EMK_OK)
        st = put_app_text(out, "play_decryption", a->play_decryption, e);
    if (st == EMK_OK)
        st = put_app_text(out, "play_verification", a->play_verification, e);
    if (st == EMK_OK)
        st = put(out, e,
                 "\n      min_level: %" PRIu64 "\n      min_os_patch: %" PRIu64
                 "\n      min_version: %" PRIu64
                 "\n      development: %s\n      unverified_boot: %s\n      retired: %s",
                 a->min_level, a->min_os_patch, a->min_version, a->development ? "true" : "false",
                 a->unverified_boot ? "true" : "false", a->retired ? "true" : "false");
    return st;
}

static emk_status put_apps(const emk_config *c, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_apps; i++)
        st = put_app(&c->apps[i], out, e);
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static emk_status put_limits(const emk_config *c, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_limits; i++) {
        const emk_limit_rule *l = &c->limits[i];

        st = put(out, e,
                 "\n    - {name: \"%s\", by: %s, unit: %s, quota: %" PRIu64 ", window: %" PRIu64
                 "s, burst: %" PRIu64 ", class: %u, shadow: %s",
                 l->name, BY[l->by], UNITS[l->unit], l->quota, l->window_s, l->burst,
                 (unsigned)l->limit_class, l->shadow ? "true" : "false");
        if (st == EMK_OK && l->route)
            st = put(out, e, ", route: \"%s\"", l->route);
        if (st == EMK_OK)
            st = put(out, e, "}");
    }
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static emk_status put_concurrency(const emk_config *c, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_concurrency; i++) {
        const emk_concurrency_rule *l = &c->concurrency[i];

        st = put(out, e, "\n    - {name: \"%s\", by: %s, max: %u, life: %us, shadow: %s}", l->name,
                 BY[l->by], l->max, l->life_s, l->shadow ? "true" : "false");
    }
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static emk_status put_words(emk_buf *out, const char *key, const char *const *names, uint32_t bits,
                            emk_error *e)
{
    emk_status st = bits ? put(out, e, "\n      %s: \"", key) : EMK_OK;

    for (size_t i = 0; st == EMK_OK && bits && names[i]; i++)
        if (bits >> i & 1)
            st = put(out, e, "%s%s", (bits & ((UINT32_C(1) << i) - 1)) ? " " : "", names[i]);
    return st == EMK_OK && bits ? put(out, e, "\"") : st;
}

static emk_status put_hooks(const emk_config *c, emk_buf *out, emk_error *e)
{
    static const char *const ALLOW[] = {"private", "http", NULL};
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_hooks; i++) {
        const emk_config_hook *h = &c->hooks[i];

        st = put(out, e, "\n    - name: \"%s\"\n      url: \"%s\"\n      secret_file: \"%s\"",
                 h->name, h->url, h->secret_file);
        if (st == EMK_OK)
            st = put_words(out, "kinds", EMK_WEBHOOK_KIND_NAME, h->kinds, e);
        if (st == EMK_OK)
            st = put_words(out, "allow", ALLOW, h->allow, e);
    }
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static emk_status put_sources(const emk_config *c, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_sources; i++)
        st = put(out, e, "\n    - name: \"%s\"\n      secret_file: \"%s\"\n      tenant: \"%s\"",
                 c->sources[i].name, c->sources[i].secret_file, c->sources[i].tenant);
    return st == EMK_OK ? put(out, e, "\n") : st;
}

static bool is_empty(const emk_config *c, const option *o)
{
    switch (o->kind) {
    case TEXT:
        return *(const char *const *)at_const(c, o) == NULL;
    case NETS:
        return c->n_proxies == 0;
    case ISSUERS:
        return c->n_issuers == 0;
    case LIMITS:
        return c->n_limits == 0;
    case CONCURRENCY:
        return c->n_concurrency == 0;
    case APPS:
        return c->n_apps == 0;
    case HOOKS:
        return c->n_hooks == 0;
    case SOURCE_LIST:
        return c->n_sources == 0;
    default:
        return false;
    }
}

static emk_status put_value(const emk_config *c, const option *o, emk_buf *out, emk_error *e)
{
    const void *p = at_const(c, o);
    char text[32];

    switch (o->kind) {
    case TEXT:
        return put(out, e, " \"%s\"\n", *(const char *const *)p);
    case FLAG:
        return put(out, e, " %s\n", *(const bool *)p ? "true" : "false");
    case CHOICE:
        return put(out, e, " %s\n", o->choices[*(const uint64_t *)p]);
    case NETS:
        return put_nets(c, out, e);
    case ISSUERS:
        return put_issuers(c, out, e);
    case LIMITS:
        return put_limits(c, out, e);
    case CONCURRENCY:
        return put_concurrency(c, out, e);
    case APPS:
        return put_apps(c, out, e);
    case HOOKS:
        return put_hooks(c, out, e);
    case SOURCE_LIST:
        return put_sources(c, out, e);
    default:
        format_value(o, *(const uint64_t *)p, text);
        return put(out, e, " %s\n", text);
    }
}

emk_status emk_config_print(const emk_config *c, emk_buf *out, emk_error *e)
{
    const char *section = "";
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < N_OPTIONS; i++) {
        const option *o = &OPTIONS[i];

        if (is_empty(c, o))
            continue;
        if (strcmp(section, o->section) != 0)
            st = put(out, e, "%s:\n", o->section);
        section = o->section;
        if (st == EMK_OK)
            st = put(out, e, "  %s:", o->name);
        if (st == EMK_OK)
            st = put_value(c, o, out, e);
    }
    return st;
}

/* What a reload takes over; docs/operate/configure.md says the same. */
static const char *const LIVE[] = {"server.log", "webhooks.targets", "webhooks.sources", NULL};

static bool is_live(const char *name)
{
    for (size_t i = 0; LIVE[i]; i++)
        if (strcmp(LIVE[i], name) == 0)
            return true;
    return false;
}

/* By what would be printed, so that no kind of option can be forgotten. */
static emk_status differs(const emk_config *a, const emk_config *b, const option *o, bool *out,
                          emk_error *e)
{
    emk_buf texts[2];
    emk_status st = EMK_OK;

    *out = is_empty(a, o) != is_empty(b, o);
    if (*out || is_empty(a, o))
        return EMK_OK;
    for (size_t i = 0; i < 2; i++)
        emk_buf_init(&texts[i], EMK_CONFIG_TEXT_MAX);
    st = put_value(a, o, &texts[0], e);
    if (st == EMK_OK)
        st = put_value(b, o, &texts[1], e);
    *out = !emk_span_equal(emk_buf_span(&texts[0]), emk_buf_span(&texts[1]));
    for (size_t i = 0; i < 2; i++)
        emk_buf_done(&texts[i]);
    return st;
}

emk_status emk_config_waiting(const emk_config *was, const emk_config *is,
                              void (*each)(void *self, const char *name), void *self, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < N_OPTIONS; i++) {
        const option *o = &OPTIONS[i];
        char name[NAMES_MAX];
        bool changed = false;

        snprintf(name, sizeof name, "%s.%s", o->section, o->name);
        if (is_live(name))
            continue;
        st = differs(was, is, o, &changed, e);
        if (st == EMK_OK && changed)
            each(self, name);
    }
    return st;
}

static const char *unit_of(const option *o)
{
    switch (o->kind) {
    case SECONDS:
    case MILLIS:
        return "time";
    case BYTES:
        return "bytes";
    case COUNT:
        return "number";
    case FLAG:
        return "true, false";
    case CHOICE:
        return "word";
    case NETS:
    case ISSUERS:
    case LIMITS:
    case CONCURRENCY:
    case APPS:
    case HOOKS:
    case SOURCE_LIST:
        return "list";
    case TEXT:
        break;
    }
    return "text";
}

emk_status emk_config_options(emk_buf *out, emk_error *e)
{
    emk_status st = put(out, e, "| option | kind | default | effect |\n|---|---|---|---|\n");

    for (size_t i = 0; st == EMK_OK && i < N_OPTIONS; i++) {
        const option *o = &OPTIONS[i];
        const char *fallback = o->required      ? "(must be set)"
                               : o->fallback[0] ? o->fallback
                                                : "(none)";

        st = put(out, e, "| `%s.%s` | %s | %s | %s |\n", o->section, o->name, unit_of(o), fallback,
                 o->effect);
    }
    return st;
}
