#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"
#include "core/jose/jwk.h"
#include "server/api/admin.h"
#include "server/api/catalogue.h"
#include "server/api/directory.h"
#include "server/api/limits_default.h"
#include "server/api/sealing.h"
#include "server/api/signals.h"
#include "server/daemon/os_sandbox.h"
#include "server/journal/note.h"

#include <stdio.h>
#include <string.h>

#define JWKS_MAX      262144u
#define FIREWALL_MAX  (64u << 20)
#define DEV_SESSION_S EMK_SESSION_LIFE_MAX_S

enum { RECORDS, BLOBS, JOURNAL, COUNTERS, FRAUD, PATHS };

static emk_span server_key(const emk_server *s, emk_keyholder_server_key which)
{
    return emk_span_of(emk_secret_span(s->hello.keys).p + (size_t)which * 32, 32);
}

static emk_status name_paths(emk_server *s, emk_error *e)
{
    static const char *const NAMES[] = {"records.db", "blobs", "journal", "counters", "fraud"};
    emk_status st = emk_os_make_dir(s->config.data, e);

    for (size_t i = 0; st == EMK_OK && i < PATHS; i++)
        st = emk_os_join(s->data[i], sizeof s->data[i], s->config.data, NAMES[i], "", e);
    return st;
}

static emk_status open_stores(emk_server *s, emk_error *e)
{
    emk_records_sqlite records = {.path = s->data[RECORDS], .tidies = 1};
    emk_blobs_directory blobs = {.path = s->data[BLOBS], .quota_bytes = s->config.blob_quota};
    emk_counters_memory counters = {.limits = 0};
    emk_error ignored;
    emk_status st = emk_records_open_sqlite(&records, &s->api.records, e);

    if (st == EMK_OK)
        st = emk_blobs_open_directory(&blobs, &s->api.blobs, e);
    memcpy(counters.seed, server_key(s, EMK_KEYHOLDER_COUNTERS).p, sizeof counters.seed);
    if (st == EMK_OK)
        st = emk_counters_open_memory(&counters, &s->api.counters, e);
    emk_wipe(&counters, sizeof counters);
    /* After a kill there is none, and windows start from their stored bounds. */
    if (st == EMK_OK &&
        emk_counters_restore(&s->api.counters, s->data[COUNTERS], emk_os_monotonic_ns(),
                             emk_os_now_s(), &ignored) == EMK_E_FORMAT)
        emk_log_write(EMK_LOG_WARNING, "counters of the last run are damaged", NULL, &ignored);
    return st;
}

/* For who verifies the log: the text that `earmark audit verify -k` takes. */
static emk_status write_verifier_key(const emk_server *s, emk_error *e)
{
    char path[EMK_SERVER_PATH_MAX], text[EMK_NOTE_VKEY_MAX + 1];
    emk_note_key key;
    emk_status st =
        emk_note_key_init(s->crypto, s->config.audit_origin, s->hello.audit_public, &key, e);

    if (st == EMK_OK)
        st = emk_note_key_write(&key, text, e);
    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, s->config.data, "audit.vkey", "", e);
    if (st != EMK_OK)
        return st;
    memcpy(text + strlen(text), "\n", 2);
    return emk_os_write_file(path, emk_span_str(text), e);
}

static emk_status open_journal(emk_server *s, emk_error *e)
{
    emk_journal_options o = {.dir = s->data[JOURNAL],
                             .origin = s->config.audit_origin,
                             .sign = emk_keyholder_sign_checkpoint,
                             .sign_self = s->keyholder,
                             .escrow = emk_keyholder_escrow,
                             .escrow_self = s->keyholder,
                             .checkpoint_ms = (uint32_t)s->config.audit_checkpoint_ms,
                             .heartbeat_s = (uint32_t)s->config.audit_heartbeat_s};
    emk_status st;

    memcpy(o.public_key, s->hello.audit_public, sizeof o.public_key);
    st = write_verifier_key(s, e);
    return st == EMK_OK ? emk_journal_open(s->crypto, &o, &s->api.journal, e) : st;
}

/* Without a certificate this server does not seal, and answers so. */
static emk_status open_seals(emk_server *s, emk_error *e)
{
    emk_seals_config config = {.crypto = s->crypto,
                               .keyholder = &s->api.keyholder,
                               .issuer = s->issuer,
                               .certificate =
                                   emk_span_of(s->hello.certificate, s->hello.certificate_len)};
    emk_status st = emk_catalogue_recover(&s->api, e);

    if (st != EMK_OK || s->hello.sealing_public_len == 0)
        return st;
    return emk_seals_new(&config, &s->api.seals, e);
}

static emk_status open_tokens(emk_server *s, emk_error *e)
{
    emk_token_issuer rows[EMK_CONFIG_ISSUERS_MAX] = {{0}};
    emk_status st = EMK_OK;

    if (s->config.n_issuers == 0)
        return EMK_OK;
    for (size_t i = 0; st == EMK_OK && i < s->config.n_issuers; i++) {
        const emk_config_issuer *in = &s->config.issuers[i];

        s->jwks[i].file = in->jwks_file;
        st = emk_jwks_cache_new(s->crypto, NULL, &s->jwks[i].cache, e);
        rows[i] = (emk_token_issuer){.iss = in->iss,
                                     .tenant = in->tenant,
                                     .audiences = &in->audience,
                                     .n_audiences = 1,
                                     .algs = EMK_JOSE_BITS_USER,
                                     .keys = s->jwks[i].cache};
    }
    if (st == EMK_OK)
        st = emk_tokens_new(s->crypto, rows, s->config.n_issuers, 0, &s->tokens, e);
    if (st == EMK_OK)
        emk_server_jwks_read(s, true);
    return st;
}

/* A file that was read once is read again when it changes; the cache keeps a good set. */
static bool read_jwks(emk_server_jwks *j, bool all)
{
    emk_os_stamp stamp;
    emk_error e = {0};
    emk_buf text;
    int fd = -1;
    emk_status st = emk_os_open_read(j->file, &fd, &e);

    emk_buf_init(&text, JWKS_MAX);
    if (st == EMK_OK)
        st = emk_os_file_stamp(fd, &stamp, &e);
    emk_os_close(fd);
    if (st == EMK_OK && !all && memcmp(&stamp, &j->stamp, sizeof stamp) == 0 &&
        !emk_jwks_cache_wants(j->cache, emk_os_now_s()))
        return true;
    if (st == EMK_OK)
        st = emk_os_read_file(j->file, JWKS_MAX, &text, &e);
    if (st == EMK_OK)
        st = emk_jwks_cache_put(j->cache, emk_buf_span(&text), emk_os_now_s(), &e);
    if (st == EMK_OK) {
        j->stamp = stamp;
    } else {
        emk_jwks_cache_failed(j->cache, emk_os_now_s());
        emk_log_write(EMK_LOG_WARNING, "token keys cannot be read", NULL, &e);
    }
    emk_buf_done(&text);
    return st == EMK_OK;
}

bool emk_server_jwks_read(emk_server *s, bool all)
{
    bool good = true;

    for (size_t i = 0; i < s->config.n_issuers; i++)
        good = read_jwks(&s->jwks[i], all) && good;
    if (s->config.n_issuers > 0)
        emk_server_file_note(s, EMK_SERVER_TOKEN_KEYS, good);
    return good;
}

emk_status emk_server_firewall_read(emk_server *s, emk_error *e)
{
    emk_firewall_set *set = NULL;
    emk_buf text;
    emk_status st;

    if (!s->config.firewall_file)
        return EMK_OK;
    emk_buf_init(&text, FIREWALL_MAX);
    st = emk_os_read_file(s->config.firewall_file, FIREWALL_MAX, &text, e);
    if (st == EMK_OK)
        st = emk_firewall_import(emk_buf_span(&text), &set, e);
    if (st == EMK_OK)
        st = emk_admin_firewall_base(&s->api, set, e);
    emk_buf_done(&text);
    return st;
}

static emk_status open_limits(emk_server *s, emk_error *e)
{
    emk_limits_config limits = {.counters = &s->api.counters,
                                .rules = s->config.limits,
                                .n_rules = s->config.n_limits,
                                .concurrency = s->config.concurrency,
                                .n_concurrency = s->config.n_concurrency};
    emk_status st = emk_random_public(s->crypto, limits.seed, sizeof limits.seed, e);

    if (limits.n_rules == 0 && limits.n_concurrency == 0 && !s->options.dev) {
        limits.rules = emk_limits_default(&limits.n_rules);
        limits.concurrency = emk_concurrency_default(&limits.n_concurrency);
    }
    if (st == EMK_OK)
        st = emk_limits_new(&limits, &s->api.limits, e);
    if (st == EMK_OK)
        st = emk_firewall_new(&s->api.firewall, e);
    if (st == EMK_OK)
        st = emk_server_firewall_read(s, e);
    if (st == EMK_OK && s->config.n_proxies > 0)
        st = emk_trusted_proxies_new(s->config.proxies, s->config.n_proxies,
                                     (emk_forwarded_field)s->config.proxies_field, &s->proxies, e);
    return st;
}

static uint32_t certificate_kinds(const emk_server *s)
{
    static const uint32_t KINDS[] = {
        [EMK_CONFIG_CLIENTS_NONE] = 0,
        [EMK_CONFIG_CLIENTS_SERVICES] = EMK_PRINCIPAL_SERVICE,
        [EMK_CONFIG_CLIENTS_OPERATORS] = EMK_PRINCIPAL_OPERATOR,
        [EMK_CONFIG_CLIENTS_BOTH] = EMK_PRINCIPAL_SERVICE | EMK_PRINCIPAL_OPERATOR,
    };

    return KINDS[s->config.tls_client_required];
}

static emk_status open_gate(emk_server *s, emk_error *e)
{
    emk_gate_config config = {.crypto = s->crypto, .directory = emk_directory_of(&s->api.records)};
    emk_status st =
        emk_nonces_new(s->crypto, server_key(s, EMK_KEYHOLDER_NONCES), &s->api.nonces, e);

    if (st == EMK_OK)
        st = emk_sessions_new(s->crypto, server_key(s, EMK_KEYHOLDER_SESSIONS), &s->sessions, e);
    s->api.sessions = s->sessions;
    if (st == EMK_OK)
        st = open_tokens(s, e);
    if (st == EMK_OK)
        st = open_limits(s, e);
    if (st != EMK_OK)
        return st;
    s->replay = (emk_replay_guard){&s->api.counters, emk_replay_store_of(&s->api.records)};
    config.nonces = s->api.nonces;
    config.replay = &s->replay;
    config.tokens = s->tokens;
    config.sessions = s->sessions;
    config.limits = s->api.limits;
    config.firewall = s->api.firewall;
    config.proxies = s->proxies;
    config.needs_certificate = certificate_kinds(s);
    return emk_gate_new(&config, &s->api.gate, e);
}

#define PPM_OF_PERCENT 10000u

/* Promotion writes the file of rules, and the server may write below its data alone. */
static bool rules_are_fixed(const emk_server *s)
{
    return s->config.fraud_rules && !emk_sandbox_contains(s->config.data, s->config.fraud_rules);
}

/* Said at the start, and not when somebody wants to promote in a hurry. */
static emk_status check_rules_folder(const emk_server *s, emk_error *e)
{
    static const char FIX[] = "fraud.draft cannot be promoted: move the file of fraud.rules below "
                              "server.data, and name it there";

    if (!s->config.fraud_draft || (s->config.fraud_rules && !rules_are_fixed(s)))
        return EMK_OK;
    if (s->config.fraud_file == EMK_FRAUD_FILE_REFUSE) {
        emk_log_write(EMK_LOG_ERROR, FIX, s->config.fraud_rules, NULL);
        return emk_fail(e, EMK_E_USAGE, "fraud: no way for new rules", 0);
    }
    emk_log_write(EMK_LOG_WARNING, FIX, s->config.fraud_rules, NULL);
    return EMK_OK;
}

static emk_status open_fraud(emk_server *s, emk_error *e)
{
    emk_fraud_host_config config = {.crypto = s->crypto,
                                    .rules = s->config.fraud_rules,
                                    .draft = s->config.fraud_draft,
                                    .dir = s->data[FRAUD],
                                    .users = (uint32_t)s->config.fraud_users,
                                    .needs = {s->config.fraud_shadow_s,
                                              s->config.fraud_shadow_decisions,
                                              s->config.fraud_shadow_differ * PPM_OF_PERCENT},
                                    .file = (emk_fraud_file)s->config.fraud_file,
                                    .fixed = rules_are_fixed(s),
                                    .news = emk_server_fraud_news,
                                    .news_self = s,
                                    .now_ms = emk_server_now_ms};
    emk_yaml_diag d = {.line = 0};
    emk_status st = check_rules_folder(s, e);

    if (st != EMK_OK)
        return st;
    st = emk_fraud_host_open(&config, &s->fraud, &d, e);

    if (st != EMK_OK) {
        emk_log_write(EMK_LOG_ERROR, "the fraud engine does not start", d.text[0] ? d.text : NULL,
                      e);
        return st;
    }
    s->api.decider = emk_fraud_host_decider(s->fraud);
    s->api.fraud = s->fraud;
    return emk_signals_new(s->crypto, &s->api.signals, e);
}

bool emk_server_fraud_reload(emk_server *s)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};

    if (emk_fraud_host_reload(s->fraud, &d, &e) == EMK_OK)
        return true;
    emk_log_write(EMK_LOG_ERROR, "reload: the fraud rules stay as they were",
                  d.text[0] ? d.text : NULL, &e);
    return false;
}

void emk_server_fraud_keep(emk_server *s)
{
    emk_error e = {0};

    if (emk_fraud_host_keep(s->fraud, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "the fraud engine's state cannot be written", NULL, &e);
}

emk_status emk_server_parts_open(emk_server *s, emk_error *e)
{
    emk_status st = name_paths(s, e);

    if (st == EMK_OK)
        st = open_stores(s, e);
    if (st == EMK_OK)
        st = open_journal(s, e);
    if (st == EMK_OK)
        st = open_seals(s, e);
    if (st == EMK_OK)
        st = emk_server_signing_open(s, e);
    if (st == EMK_OK)
        st = open_gate(s, e);
    if (st == EMK_OK)
        st = emk_server_hooks_open(s, e);
    if (st == EMK_OK)
        st = emk_server_places_open(s, e);
    if (st == EMK_OK)
        st = open_fraud(s, e);
    if (st == EMK_OK)
        st = emk_server_admin_open(s, s->data[JOURNAL], server_key(s, EMK_KEYHOLDER_SUBJECTS), e);
    return st;
}

void emk_server_parts_close(emk_server *s)
{
    emk_error e = {0};

    emk_server_watch_close(s);
    emk_server_hooks_close(s);
    if (emk_fraud_host_close(s->fraud, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "the fraud engine's state was not written", NULL, &e);
    emk_admin_free(&s->api);
    emk_signals_free(s->api.signals);
    emk_places_free(s->api.places);
    emk_gate_free(s->api.gate);
    emk_seals_free(s->api.seals);
    emk_trusted_proxies_free(s->proxies);
    emk_firewall_free(s->api.firewall);
    emk_limits_free(s->api.limits);
    emk_tokens_free(s->tokens);
    for (size_t i = 0; i < EMK_CONFIG_ISSUERS_MAX; i++)
        emk_jwks_cache_free(s->jwks[i].cache);
    emk_sessions_free(s->sessions);
    emk_nonces_free(s->api.nonces);
    if (emk_journal_close(s->api.journal, &e) != EMK_OK)
        emk_log_write(EMK_LOG_ERROR, "the audit log did not end in order", NULL, &e);
    if (s->api.counters.ops &&
        emk_counters_save(&s->api.counters, s->data[COUNTERS], emk_os_monotonic_ns(),
                          emk_os_now_s(), &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "counters were not saved", NULL, &e);
    emk_counters_close(&s->api.counters);
    emk_blobs_close(&s->api.blobs);
    emk_records_close(&s->api.records);
}

static emk_status make_password(const emk_crypto *c, char out[EMK_SERVER_PASSWORD_MAX],
                                emk_error *e)
{
    uint8_t random[18];
    size_t len;
    emk_status st = emk_random_public(c, random, sizeof random, e);

    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(random, sizeof random), out, EMK_SERVER_PASSWORD_MAX,
                                  &len, e);
    emk_wipe(random, sizeof random);
    return st;
}

emk_status emk_server_dev_operator(emk_server *s, char token[EMK_SESSION_TEXT_MAX],
                                   char password[EMK_SERVER_PASSWORD_MAX], emk_error *e)
{
    uint64_t now = emk_os_now_s();
    emk_gate_operator operator_ = {.scopes = ~UINT64_C(0), .generation = 1};
    emk_session session = {.name = "dev",
                           .issued = now,
                           .until = now + DEV_SESSION_S,
                           .step_up_until = now + EMK_SESSION_STEP_UP_MAX_S,
                           .generation = 1};
    emk_status st = make_password(s->crypto, password, e);

    if (st == EMK_OK)
        st = emk_password_make(s->crypto, emk_span_str(password), operator_.password, e);
    if (st == EMK_OK)
        st = emk_operator_put(&s->api.records, "dev", &operator_, e);
    return st == EMK_OK ? emk_session_make(s->sessions, &session, token, e) : st;
}
