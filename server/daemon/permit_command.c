/* earmarkd permit: allows one change of the keys, on the server's machine, as root or as the user
 * that the keys belong to.  [keyholder_permit.h] */
#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "server/daemon/keyholder_permit.h"
#include "server/daemon/os_sandbox.h"
#include "server/daemon/server.h"

#include <stdio.h>
#include <string.h>

typedef struct asked {
    emk_permit permit;
    const char *config_file;
} asked;

static bool take_id(const char *text, uint8_t kid[EMK_COSE_KID_LEN])
{
    size_t len = 0;
    emk_error ignored;

    return emk_base64url_decode(emk_span_str(text), kid, EMK_COSE_KID_LEN, &len, &ignored) ==
               EMK_OK &&
           len == EMK_COSE_KID_LEN;
}

static bool take_action(const char *verb, const char *object, emk_permit *out)
{
    if (strcmp(verb, "retire") == 0) {
        out->action = EMK_KEY_RETIRE_ISSUER;
        return take_id(object, out->kid);
    }
    if (strcmp(verb, "rotate") != 0)
        return false;
    if (strcmp(object, "issuer") == 0)
        out->action = EMK_KEY_ROTATE_ISSUER;
    else if (strcmp(object, "sealing") == 0)
        out->action = EMK_KEY_ROTATE_SEALING;
    return out->action != 0;
}

static bool parse(int argc, char **argv, asked *a)
{
    if (argc < 4 || !take_action(argv[2], argv[3], &a->permit))
        return false;
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0)
            a->permit.force = true;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            a->config_file = argv[++i];
        else
            return false;
    }
    return a->config_file != NULL;
}

/* The keyholder reads it as its own user, and takes nobody else's. */
static emk_status give_permit(asked *a, const emk_config *c, emk_error *e)
{
    emk_status st = emk_sandbox_owner(c->keys_dir, e);

    a->permit.until_s = emk_os_now_s() + EMK_PERMIT_LIFE_S;
    return st == EMK_OK ? emk_permit_write(c->keys_dir, &a->permit, e) : st;
}

int emk_server_permit_main(int argc, char **argv)
{
    asked a = {.config_file = NULL};
    emk_config config;
    emk_error e = {0};
    emk_status st;

    if (!parse(argc, argv, &a)) {
        fputs("earmarkd permit rotate issuer|sealing [--force] --config FILE\n"
              "earmarkd permit retire ID [--force] --config FILE\n"
              "Allows one such change within a quarter of an hour; `earmark admin signing` makes "
              "it.\n"
              "--force: also less than an hour after the last rotation, and for a key whose\n"
              "certificates are still good.\n",
              stderr);
        return 2;
    }
    st = emk_server_config_read(a.config_file, &config, &e);
    if (st == EMK_OK) {
        st = give_permit(&a, &config, &e);
        emk_config_done(&config);
    }
    if (st == EMK_OK)
        return 0;
    fprintf(stderr, "earmarkd: no permit was given: %s\n", e.what ? e.what : "");
    return 1;
}
