/* earmarkd operator add: the first operator of a server, made on its machine.
 *
 * Works on the database alone, also while the server runs: there is no log entry of it then, but
 * the server writes at each start who its operators are, and each login is an entry. */
#include "core/base/os_file.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"
#include "server/api/directory.h"
#include "server/daemon/server.h"

#include <stdio.h>
#include <string.h>

typedef struct adding {
    const char *name, *config_file, *dev_dir;
    emk_span scopes;
    bool generate, replace;
    char password[EMK_PASSWORD_MAX + 2];
} adding;

static int say(const char *what, const emk_error *e)
{
    fprintf(stderr, "earmarkd: %s%s%s\n", what, e && e->what ? ": " : "",
            e && e->what ? e->what : "");
    return 1;
}

static emk_status read_config(const adding *a, emk_config *out, emk_error *e)
{
    emk_yaml_diag d = {.line = 0};
    emk_buf text;
    emk_status st;

    if (!a->config_file)
        return emk_config_dev(a->dev_dir, out, e);
    emk_buf_init(&text, EMK_YAML_TEXT_MAX);
    st = emk_os_read_file(a->config_file, EMK_YAML_TEXT_MAX, &text, e);
    if (st == EMK_OK)
        st = emk_config_parse(a->config_file, emk_buf_span(&text), out, &d, e);
    if (st != EMK_OK && d.text[0])
        fprintf(stderr, "%s\n", d.text);
    emk_buf_done(&text);
    return st;
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

static emk_status add_operator(adding *a, const emk_config *config, uint64_t scopes, emk_error *e)
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
    if (st == EMK_OK)
        st = take_password(c, a, e);
    if (st == EMK_OK)
        st = emk_records_open_sqlite(&options, &records, e);
    if (st == EMK_OK)
        st = put_operator(c, &records, a, scopes, e);
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

static bool parse(int argc, char **argv, adding *a)
{
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (!argv[i])
            return false;
        if (i == 2 && strcmp(argv[i], "add") == 0)
            continue;
        if (i == 3 && argv[i][0] != '-')
            a->name = argv[i];
        else if (strcmp(argv[i], "--config") == 0 && value)
            a->config_file = argv[++i];
        else if (strcmp(argv[i], "--dir") == 0 && value)
            a->dev_dir = argv[++i];
        else if (strcmp(argv[i], "--scopes") == 0 && value)
            a->scopes = emk_span_str(argv[++i]);
        else if (strcmp(argv[i], "--generate") == 0)
            a->generate = true;
        else if (strcmp(argv[i], "--replace") == 0)
            a->replace = true;
        else
            return false;
    }
    return a->name && name_is_sound(a->name) && !(a->config_file && a->dev_dir) &&
           (a->config_file || a->dev_dir);
}

int emk_server_operator_main(int argc, char **argv)
{
    static const char ALL[] = "seal publish events read moderate rules audit operators erase";
    adding a = {.scopes = emk_span_of(ALL, sizeof ALL - 1)};
    emk_config config;
    emk_error e = {0};
    uint64_t scopes = 0;
    emk_status st;

    if (!parse(argc, argv, &a)) {
        fputs("earmarkd operator add NAME (--config FILE | --dir DIR) [--scopes \"read audit\"]\n"
              "                      [--generate] [--replace]\n"
              "The password is the first line of standard input, or made and printed.\n",
              stderr);
        return 2;
    }
    if (emk_scopes_parse(a.scopes, &scopes, &e) != EMK_OK || scopes == 0)
        return say("--scopes", &e);
    if (read_config(&a, &config, &e) != EMK_OK)
        return say("the configuration cannot be used", &e);
    st = add_operator(&a, &config, scopes, &e);
    emk_config_done(&config);
    if (st == EMK_OK && a.generate)
        printf("%s\n", a.password);
    emk_wipe(a.password, sizeof a.password);
    return st == EMK_OK ? 0 : say("the operator was not made", &e);
}
