/* A server's issuer has a new key: the device learns it from the chain that the server publishes.
 */
#include "cli/remote.h"

#include <string.h>

static emk_status learn_one(emk_cli *cli, const emk_cli_device *device, const emk_dom *text)
{
    uint8_t key[EMK_SIGN_PUBLIC_MAX];
    size_t len = 0;
    emk_buf certificate;
    emk_status st;

    emk_buf_init(&certificate, EMK_MESSAGE_MAX);
    st = emk_cli_dom_bytes(cli, text, &certificate);
    if (st == EMK_OK)
        st = emk_client_learn_issuer(device->client, emk_buf_span(&certificate), key, &len,
                                     &cli->error);
    emk_buf_done(&certificate);
    if (st == EMK_OK)
        return emk_cli_issuer_keep(cli, device->dir, emk_span_of(key, len));
    if (st != EMK_E_SIGNATURE && st != EMK_E_POLICY && st != EMK_E_FORMAT)
        return st;
    cli->error = (emk_error){.status = EMK_OK}; /* not for us, or by a key from before ours */
    return EMK_OK;
}

emk_status emk_cli_issuer_learn(emk_cli *cli, const emk_cli_profile *profile,
                                const emk_cli_device *device)
{
    const emk_cli_call call = {.method = "GET", .path = "/.well-known/earmark"};
    emk_cli_remote anyone;
    emk_cli_answer a;
    const emk_dom *chain;
    emk_status st = emk_cli_remote_open(cli, profile, NULL, &anyone);

    if (st != EMK_OK)
        return st;
    st = emk_cli_remote_call(cli, &anyone, &call, &a);
    chain = st == EMK_OK ? emk_dom_get_kind(a.json, "issuer_chain", EMK_DOM_ARRAY) : NULL;
    for (const emk_dom *c = chain ? chain->first : NULL; st == EMK_OK && c; c = c->next)
        st = learn_one(cli, device, c);
    emk_cli_answer_done(&a);
    return st;
}

emk_status emk_cli_issuer_catch_up(emk_cli *cli, const emk_cli_online *on, emk_span message)
{
    if (emk_client_knows_issuer(on->device.client, message))
        return EMK_OK;
    return emk_cli_issuer_learn(cli, &on->profile, &on->device);
}
