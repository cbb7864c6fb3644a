/* earmarkd operator add: the first operator of a server, made on its machine; and earmarkd
 * certificate add: a service that shows a TLS client certificate instead of a key.
 *
 * Works on the database alone, also while the server runs: there is no log entry of it then, but
 * the server writes at each start who its operators are, and each login is an entry. */
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "server/api/directory.h"
#include "server/api/tenant.h"
#include "server/daemon/server.h"

#include <stdio.h>
#include <string.h>

typedef struct adding {
    const char *name, *config_file, *dev_dir, *tenant; /* tenant: NULL: the default */
    emk_span scopes;
    bool generate, replace;
    bool certificate, revoked, has_fingerprint;
    uint8_t fingerprint[EMK_SHA256_LEN]; /* of the DER */
    char password[EMK_PASSWORD_MAX + 2];
} adding;

static int say(const char *what, const emk_error *e)
{
    fprintf(stderr, "earmarkd: %s%s%s\n", what, e && e->what ? ": " : "",
            e && e->what ? e->what : "");
    return 1;
}

emk_status emk_server_config_read(const char *file, emk_config *out, emk_error *e)
{
    emk_yaml_diag d = {.line = 0};
    emk_buf text;
    emk_status st;

    emk_buf_init(&text, EMK_YAML_TEXT_MAX);
    st = emk_os_read_file(file, EMK_YAML_TEXT_MAX, &text, e);
    if (st == EMK_OK)
        st = emk_config_parse(file, emk_buf_span(&text), out, &d, e);
    if (st != EMK_OK && d.text[0])
        fprintf(stderr, "%s\n", d.text);
    emk_buf_done(&text);
    return st;
}

static emk_status read_config(const adding *a, emk_config *out, emk_error *e)
{
    return a->config_file ? emk_server_config_read(a->config_file, out, e)
                          : emk_config_dev(a->dev_dir, out, e);
}

/* The first line of standard input, or a random one, which is printed. */
static emk_status take_password(const emk_crypto *c, adding *a, emk_error *e)
{
    uint8_t random[18];
    size_t len;
    emk_status st;

    if (!a->generate) {
        if (!fgets(a->password, sizeof a->password, stdin))
            return emk_fail(e, EMK_E_USAGE, "no password on standard input", 0);
        a->password[strcspn(a->password, "\r\n")] = 0;
        return EMK_OK;
    }
    st = emk_random_public(c, random, sizeof random, e);
    if (st == EMK_OK)
        st = emk_base64url_encode(emk_span_of(random, sizeof random), a->password,
                                  sizeof a->password, &len, e);
    emk_wipe(random, sizeof random);
    return st;
}

/* One that is there keeps its generation going, so that its sessions end. */
static emk_status put_operator(const emk_crypto *c, const emk_records *r, const adding *a,
                               uint64_t scopes, emk_error *e)
{
    emk_gate_directory d = emk_directory_of(r);
    emk_gate_operator op = {.generation = 0};
    emk_status st = d.ops->operator_(d.self, a->name, &op, e);

    if (st == EMK_OK && !a->replace)
        return emk_fail(e, EMK_E_USED, "there is one of this name; --replace sets it anew", 0);
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    op.generation++;
    op.scopes = scopes;
    op.disabled = false;
    st = emk_password_make(c, emk_span_str(a->password), op.password, e);
    if (st == EMK_OK)
        st = emk_operator_put(r, a->name, &op, e);
    emk_wipe(&op, sizeof op);
    return st;
}

/* One that is there is set anew: its scopes, or that it counts no more. */
static emk_status put_certificate(const emk_records *r, const adding *a, uint64_t scopes,
                                  emk_error *e)
{
    emk_gate_service s = {.scopes = scopes, .revoked = a->revoked};

    (void)snprintf(s.name, sizeof s.name, "%s", a->name);
    if (a->tenant)
        (void)snprintf(s.tenant, sizeof s.tenant, "%s", a->tenant);
    return emk_service_put(r, EMK_KIND_CERTIFICATE,
                           emk_span_of(a->fingerprint, sizeof a->fingerprint), &s, e);
}

static emk_status add_one(adding *a, const emk_config *config, uint64_t scopes, emk_error *e)
{
    char path[EMK_SERVER_PATH_MAX];
    emk_records_sqlite options = {.path = path};
    emk_records records = {NULL, NULL};
    emk_crypto *c = NULL;
    emk_status st = emk_os_join(path, sizeof path, config->data, "records.db", "", e);

    if (st == EMK_OK && !emk_os_exists(path))
        st = emk_fail(e, EMK_E_NOT_FOUND, "there is no database yet: start earmarkd once", 0);
    if (st == EMK_OK)
        st = emk_crypto_new(NULL, NULL, &c, e);
    if (st == EMK_OK && !a->certificate)
        st = take_password(c, a, e);
    if (st == EMK_OK)
        st = emk_records_open_sqlite(&options, &records, e);
    if (st == EMK_OK)
        st = a->certificate ? put_certificate(&records, a, scopes, e)
                            : put_operator(c, &records, a, scopes, e);
    emk_records_close(&records);
    emk_crypto_free(c);
    return st;
}

static bool name_is_sound(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n <= 64 && name[0] != '-' && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

/* As `openssl x509 -fingerprint -sha256` prints it, with or without colons. */
static bool parse_fingerprint(const char *text, adding *a)
{
    int digit;
    size_t n = 0;

    for (; *text; text++) {
        if (*text == ':')
            continue;
        digit = emk_hex_digit(*text);
        if (digit < 0 || n == 2 * sizeof a->fingerprint)
            return false;
        a->fingerprint[n / 2] = (uint8_t)((unsigned)a->fingerprint[n / 2] << 4 | (unsigned)digit);
        n++;
    }
    a->has_fingerprint = n == 2 * sizeof a->fingerprint;
    return a->has_fingerprint;
}

static bool parse(int argc, char **argv, adding *a)
{
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (!argv[i])
            return false;
        if (i == 2 && strcmp(argv[i], "add") == 0)
            continue;
        if (i == 2 && a->certificate && strcmp(argv[i], "revoke") == 0) {
            a->revoked = true;
            continue;
        }
        if (i == 3 && argv[i][0] != '-')
            a->name = argv[i];
        else if (strcmp(argv[i], "--config") == 0 && value)
            a->config_file = argv[++i];
        else if (strcmp(argv[i], "--dir") == 0 && value)
            a->dev_dir = argv[++i];
        else if (strcmp(argv[i], "--scopes") == 0 && value)
            a->scopes = emk_span_str(argv[++i]);
        else if (a->certificate && strcmp(argv[i], "--tenant") == 0 && value &&
                 emk_tenant_is_sound(emk_span_str(value)))
            a->tenant = argv[++i];
        else if (a->certificate && strcmp(argv[i], "--sha256") == 0 && value &&
                 parse_fingerprint(value, a))
            i++;
        else if (strcmp(argv[i], "--generate") == 0)
            a->generate = true;
        else if (strcmp(argv[i], "--replace") == 0)
            a->replace = true;
        else
            return false;
    }
    return a->name && name_is_sound(a->name) && !(a->config_file && a->dev_dir) &&
           (a->config_file || a->dev_dir) && a->certificate == a->has_fingerprint;
}

int emk_server_operator_main(int argc, char **argv)
{
    static const char ALL[] = "seal publish events read moderate rules audit operators erase";
    adding a = {.scopes = emk_span_of(ALL, sizeof ALL - 1)};
    emk_config config;
    emk_error e = {0};
    uint64_t scopes = 0;
    emk_status st;

    a.certificate = strcmp(argv[1], "certificate") == 0;
    if (a.certificate)
        a.scopes = emk_span_str("seal");
    if (!parse(argc, argv, &a)) {
        fputs("earmarkd operator add NAME (--config FILE | --dir DIR) [--scopes \"read audit\"]\n"
              "                      [--generate] [--replace]\n"
              "The password is the first line of standard input, or made and printed.\n"
              "earmarkd certificate add|revoke NAME --sha256 HEX (--config FILE | --dir DIR)\n"
              "                      [--scopes \"seal events\"] [--tenant NAME]\n",
              stderr);
        return 2;
    }
    if (emk_scopes_parse(a.scopes, &scopes, &e) != EMK_OK || scopes == 0)
        return say("--scopes", &e);
    if (read_config(&a, &config, &e) != EMK_OK)
        return say("the configuration cannot be used", &e);
    st = add_one(&a, &config, scopes, &e);
    emk_config_done(&config);
    if (st == EMK_OK && a.generate)
        printf("%s\n", a.password);
    emk_wipe(a.password, sizeof a.password);
    return st == EMK_OK ? 0 : say("nothing was changed", &e);
}
