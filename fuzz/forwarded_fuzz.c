/* What proxies say of a client, in both fields and in PROXY version 2: whatever comes, the
 * answer is an address that was written there, or the peer. */
#include "fuzz/check.h"
#include "server/gate/forwarded.h"
#include "server/gate/proxy_v2.h"

static void walk(emk_forwarded_field field, const char *name, emk_span value)
{
    static emk_trusted_proxies *t[EMK_FORWARDED_FORWARDED + 1];
    emk_http_field f = {emk_span_str(name), value};
    emk_gate_request rq = {.fields = &f, .n_fields = 1};
    emk_net nets[2];
    emk_address a;

    must(emk_net_parse(emk_span_str("10.0.0.0/8"), &nets[0], NULL) == EMK_OK, "net");
    must(emk_net_parse(emk_span_str("2001:db8::/32"), &nets[1], NULL) == EMK_OK, "net");
    if (!t[field])
        must(emk_trusted_proxies_new(nets, 2, field, &t[field], NULL) == EMK_OK, "proxies");
    rq.peer = nets[0].base;
    a = emk_client_address(t[field], &rq);
    must(a.family != EMK_ADDRESS_NONE, "an address");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_span in = emk_span_of(data, size);
    emk_proxy_v2 p;

    walk(EMK_FORWARDED_X_FORWARDED_FOR, "x-forwarded-for", in);
    walk(EMK_FORWARDED_FORWARDED, "forwarded", in);
    if (emk_proxy_v2_parse(in, &p, NULL) == EMK_OK)
        must(p.len <= size && p.len >= 16, "the header is inside");
    return 0;
}
