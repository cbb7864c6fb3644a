/* earmarkd: see docs/operate/. */
#include "server/daemon/server.h"

#include <stdio.h>
#include <string.h>

static const char USAGE[] =
    "earmarkd --config FILE [--check | --print-config | --make-keys]\n"
    "earmarkd --dev [--dir DIR]\n"
    "earmarkd operator add NAME (--config FILE | --dir DIR) [--scopes LIST] [--generate]\n"
    "earmarkd certificate add|revoke NAME --sha256 HEX (--config FILE | --dir DIR) [--scopes "
    "LIST]\n"
    "earmarkd permit rotate issuer|sealing [--force] --config FILE\n"
    "earmarkd permit retire ID [--force] --config FILE\n"
    "earmarkd audit-key rotate --config FILE\n"
    "earmarkd --options | --version | --help\n"
    "\n"
    "  --config FILE   run with this configuration\n"
    "  --check         only say whether it can be used\n"
    "  --print-config  show what counts, defaults included\n"
    "  --make-keys     make the keys that are missing, then run\n"
    "  --dev           run without a configuration: keys and data below DIR (./earmark-dev), on a\n"
    "                  free port, devices that prove nothing are taken.  Not for anything real.\n"
    "  --options       all options of the configuration, as a table\n";

typedef struct arguments {
    emk_server_options server;
    bool check, print, options, version, help, bad;
} arguments;

static arguments parse(int argc, char **argv)
{
    arguments a = {.server = {.dev_dir = "earmark-dev"}};

    for (int i = 1; i < argc && argv[i]; i++) {
        const char *arg = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(arg, "--config") == 0 && value)
            a.server.config_file = argv[++i];
        else if (strcmp(arg, "--dir") == 0 && value)
            a.server.dev_dir = argv[++i];
        else if (strcmp(arg, "--dev") == 0)
            a.server.dev = true;
        else if (strcmp(arg, "--check") == 0)
            a.check = true;
        else if (strcmp(arg, "--print-config") == 0)
            a.print = true;
        else if (strcmp(arg, "--make-keys") == 0)
            a.server.make_keys = true;
        else if (strcmp(arg, "--options") == 0)
            a.options = true;
        else if (strcmp(arg, "--version") == 0)
            a.version = true;
        else if (strcmp(arg, "--help") == 0)
            a.help = true;
        else
            a.bad = true;
    }
    a.bad = a.bad ||
            (!a.options && !a.version && !a.help && a.server.dev == (a.server.config_file != NULL));
    return a;
}

static int print_buf(emk_status st, emk_buf *text, const emk_error *e)
{
    if (st == EMK_OK)
        fwrite(text->p, 1, text->len, stdout);
    else
        fprintf(stderr, "earmarkd: %s\n", e->what);
    emk_buf_done(text);
    return st == EMK_OK ? 0 : 1;
}

static int print_options(void)
{
    emk_error e = {0};
    emk_buf text;

    emk_buf_init(&text, EMK_CONFIG_TEXT_MAX);
    return print_buf(emk_config_options(&text, &e), &text, &e);
}

static int look_at_config(const arguments *a)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_config config;
    emk_buf text, out;
    emk_status st;

    emk_buf_init(&text, EMK_YAML_TEXT_MAX);
    emk_buf_init(&out, EMK_CONFIG_TEXT_MAX);
    st = emk_os_read_file(a->server.config_file, EMK_YAML_TEXT_MAX, &text, &e);
    if (st == EMK_OK)
        st = emk_config_parse(a->server.config_file, emk_buf_span(&text), &config, &d, &e);
    emk_buf_done(&text);
    if (st != EMK_OK) {
        fprintf(stderr, "%s\n", d.text[0] ? d.text : e.what);
        return 1;
    }
    if (a->print)
        st = emk_config_print(&config, &out, &e);
    emk_config_done(&config);
    return print_buf(st, &out, &e);
}

static int run(const arguments *a)
{
    static emk_server server;
    emk_error e = {0};
    int code;

    if (emk_server_start(&a->server, &server, &e) != EMK_OK)
        return 1;
    code = emk_server_run(&server);
    emk_server_stop(&server);
    return code;
}

int main(int argc, char **argv)
{
    arguments a;

    if (argc > 1 && (strcmp(argv[1], "operator") == 0 || strcmp(argv[1], "certificate") == 0))
        return emk_server_operator_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "permit") == 0)
        return emk_server_permit_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "audit-key") == 0)
        return emk_server_audit_key_main(argc, argv);
    a = parse(argc, argv);
    if (a.help || a.bad) {
        fputs(USAGE, a.help ? stdout : stderr);
        return a.help ? 0 : 2;
    }
    if (a.version) {
        printf("earmarkd %s\n", EMK_DAEMON_VERSION);
        return 0;
    }
    if (a.options)
        return print_options();
    if (a.check || a.print)
        return a.server.dev ? 2 : look_at_config(&a);
    return run(&a);
}
