#include "server/attest/sim/safetynet_evidence.h"

#include "core/jose/jws.h"
#include "server/attest/sim/evidence.h"

#define ROOM 32768u

static const char *either(const char *given, const char *right)
{
    return given ? given : right;
}

static void text(emk_buf *b, const char *s)
{
    forge_raw(b, emk_span_str(s));
}

static void member(emk_buf *b, const char *front, const char *value, const char *behind)
{
    text(b, front);
    text(b, value);
    text(b, behind);
}

static void make_leaf(const forge *f, const fake_safetynet *x, emk_buf *out)
{
    static const char NAMES[] = "3014 8212 6174746573742e616e64726f69642e636f6d";
    emk_buf list, names;

    emk_buf_init(&list, ROOM);
    emk_buf_init(&names, ROOM);
    forge_hex(&names, either(x->san, NAMES)); /* attest.android.com */
    if (names.len > 0)
        forge_extension(&list, "551d11", false, emk_buf_span(&names));
    forge_hex(&list, "300c0603551d130101ff04023000");
    forge_certificate(f,
                      &(forge_cert){.key = 2,
                                    .issuer_key = x->leaf_signer,
                                    .subject = "attest.android.com",
                                    .issuer = either(x->issuer, f->root),
                                    .not_after = x->leaf_to,
                                    .bad_signature = x->leaf_signature,
                                    .extensions = emk_buf_span(&list)},
                      out);
    emk_buf_done(&names);
    emk_buf_done(&list);
}

static void make_header(const forge *f, const fake_safetynet *x, emk_buf *b)
{
    emk_buf der;

    emk_buf_init(&der, ROOM);
    member(b, "{\"alg\":\"", either(x->alg, "ES256"), "\",\"x5c\":[");
    if (x->root_only)
        fake_make_root(f, &der);
    else
        make_leaf(f, x, &der);
    if (!x->no_certs) {
        text(b, "\"");
        forge_base64(b, emk_buf_span(&der), false);
        text(b, "\"");
    }
    member(b, "]", either(x->header_extra, ""), "}");
    emk_buf_done(&der);
}

static void make_payload(const fake_safetynet *x, emk_buf *b)
{
    text(b, "{\"nonce\":\"");
    if (x->nonce)
        text(b, x->nonce);
    else
        forge_base64(b, x->signed_hash, false);
    member(b, "\",\"timestampMs\":", either(x->timestamp_ms, "1800000000000"), ",");
    member(b, "\"apkPackageName\":\"", either(x->package, FAKE_PACKAGE), "\",");
    member(b, "\"ctsProfileMatch\":", either(x->cts, "true"), ",");
    member(b, "\"apkCertificateDigestSha256\":[\"",
           either(x->digest, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="), "\"],");
    member(b, "\"basicIntegrity\":", either(x->basic, "true"), ",");
    member(b, "\"evaluationType\":\"", either(x->evaluation, "BASIC,HARDWARE_BACKED"), "\"");
    member(b, "", either(x->payload_extra, ""), "}");
}

emk_status fake_make_safetynet(const forge *f, const fake_safetynet *x, emk_buf *out, emk_error *e)
{
    emk_buf header, payload;
    emk_status st;

    emk_buf_init(&header, ROOM);
    emk_buf_init(&payload, ROOM);
    make_header(f, x, &header);
    make_payload(x, &payload);
    st = emk_jws_make(f->key[x->signer ? x->signer : 2], emk_buf_span(&header),
                      emk_buf_span(&payload), out, e);
    emk_buf_done(&payload);
    emk_buf_done(&header);
    return st;
}
