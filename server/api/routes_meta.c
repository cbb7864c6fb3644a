/* What anyone may know of this server: GET /.well-known/earmark and the OpenAPI document. */
#include "server/api/api.h"
#include "server/api/json_out.h"

#include <stdatomic.h>

static const char *alg_name(size_t public_len)
{
    return public_len == emk_sign_public_len(EMK_SIGN_ED25519) ? "Ed25519" : "ES256";
}

static void put_key(emk_json_out *o, const char *key, emk_span public_key)
{
    emk_json_out_open(o, key, '{');
    emk_json_out_text(o, "alg", emk_span_str(alg_name(public_key.len)));
    emk_json_out_base64url(o, "public_key", public_key);
    emk_json_out_close(o);
}

static void put_limits(emk_json_out *o, const emk_api *api)
{
    emk_json_out_open(o, "limits", '{');
    emk_json_out_uint(o, "certificate_s", api->settings.certificate_s);
    emk_json_out_uint(o, "ticket_s", api->settings.ticket_s);
    emk_json_out_uint(o, "blob_ttl_s", api->settings.blob_ttl_s);
    emk_json_out_uint(o, "body_bytes", EMK_HTTP_BODY_DEFAULT);
    emk_json_out_close(o);
}

/* Kinds that some app may enrol with. */
static void put_kinds(emk_json_out *o, const emk_api_settings *s)
{
    uint32_t kinds = 0;

    for (size_t i = 0; s->attestation && i < s->attestation->n_apps; i++)
        kinds |= s->attestation->apps[i].kinds;
    emk_json_out_open(o, "attestation", '[');
    if (s->allow_no_attestation)
        emk_json_out_text(o, NULL, emk_span_str("none"));
    for (unsigned k = EMK_ATTEST_APP_ATTEST; k <= EMK_ATTEST_TPM; k++)
        if (kinds >> k & 1)
            emk_json_out_text(o, NULL, emk_span_str(emk_attest_kind_name((emk_attest_kind)k)));
    emk_json_out_close(o);
}

/* By what devices learn the issuer's next keys: certificates, each by the key before. */
static void put_chain(emk_json_out *o, const emk_issuers *all)
{
    if (!all || all->n < 2)
        return;
    emk_json_out_open(o, "issuer_chain", '[');
    for (size_t i = 1; i < all->n; i++)
        if (all->v[i].certificate_len > 0)
            emk_json_out_base64url(o, NULL,
                                   emk_span_of(all->v[i].certificate, all->v[i].certificate_len));
    emk_json_out_close(o);
}

static emk_status well_known(emk_call *call, emk_error *e)
{
    const emk_api *api = call->api;
    const emk_keyholder *k = &api->keyholder;
    emk_json_out o;
    emk_status st;

    emk_json_out_init(&o, &call->arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "api", emk_span_str(EMK_API_VERSION));
    emk_json_out_text(&o, "origin", emk_span_str(api->settings.origin));
    put_key(&o, "issuer", emk_keyholder_issuer(k));
    put_chain(&o, atomic_load(&api->issuers));
    if (api->settings.root_certificate.len > 0)
        emk_json_out_base64url(&o, "issuer_certificate", api->settings.root_certificate);
    if (emk_keyholder_sealing(k).len > 0)
        put_key(&o, "sealing", emk_keyholder_sealing(k));
    put_kinds(&o, &api->settings);
    put_limits(&o, api);
    emk_json_out_uint(&o, "time", emk_api_now(api));
    emk_json_out_close(&o);
    st = emk_json_out_reply(&o, call, 200, e);
    if (st == EMK_OK)
        st = emk_reply_field(call, "cache-control", emk_span_str("public, max-age=300"), e);
    return st;
}

static emk_status openapi(emk_call *call, emk_error *e)
{
    emk_reply_bytes(call, 200, "application/json", emk_openapi_document());
    return emk_reply_field(call, "cache-control", emk_span_str("public, max-age=300"), e);
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_GET,
     .path = "/.well-known/earmark",
     .flags = EMK_ROUTE_INLINE,
     .gate = {.name = "getWellKnown",
              .admits = EMK_PRINCIPAL_ANYONE,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = well_known},
    {.method = EMK_HTTP_GET,
     .path = "/v1/openapi.json",
     .flags = EMK_ROUTE_INLINE,
     .gate = {.name = "getOpenApi",
              .admits = EMK_PRINCIPAL_ANYONE,
              .klass = EMK_GATE_CLASS_DOWNLOAD},
     .handle = openapi},
};

const emk_route_table emk_routes_meta = {ROWS, sizeof ROWS / sizeof ROWS[0]};
