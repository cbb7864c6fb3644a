#include "server/attest/sim/play_evidence.h"

#include "core/jose/jwe.h"
#include "core/jose/jws.h"

#define PAYLOAD_MAX 16384u
#define NONCE_MAX   64u

static const char *either(const char *given, const char *right)
{
    return given ? given : right;
}

static void text(emk_buf *b, const char *s)
{
    forge_raw(b, emk_span_str(s));
}

/* "name":"value", and what follows it. */
static void member(emk_buf *b, const char *name, const char *value, const char *behind)
{
    text(b, "\"");
    text(b, name);
    text(b, "\":\"");
    text(b, value);
    text(b, "\"");
    text(b, behind);
}

static void details(const fake_play *x, emk_buf *b)
{
    const char *package = either(x->package, "com.example.cam");

    text(b, "{\"requestDetails\":{");
    member(b, "requestPackageName", either(x->request_package, package), ",");
    if (x->request_hash) {
        member(b, "requestHash", x->request_hash, ",");
    } else if (x->nonce) {
        member(b, "nonce", x->nonce, ",");
    } else {
        text(b, "\"nonce\":\"");
        forge_base64(b, x->signed_hash, true);
        text(b, "\",");
    }
    member(b, "timestampMillis", either(x->timestamp_ms, "1800000000000"), "},");
}

static void verdicts(const fake_play *x, emk_buf *b)
{
    text(b, "\"appIntegrity\":{");
    member(b, "appRecognitionVerdict", either(x->app_verdict, "PLAY_RECOGNIZED"), ",");
    member(b, "packageName", either(x->package, "com.example.cam"),
           ",\"certificateSha256Digest\":[");
    text(b, "\"");
    text(b, either(x->digest, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo"));
    text(b, "\"],");
    member(b, "versionCode", either(x->version_code, "42"), "},");
    text(b, "\"deviceIntegrity\":{\"deviceRecognitionVerdict\":[");
    text(b, either(x->device_verdict, "\"MEETS_BASIC_INTEGRITY\",\"MEETS_DEVICE_INTEGRITY\""));
    text(b, "]},\"accountDetails\":{");
    member(b, "appLicensingVerdict", either(x->license, "LICENSED"), "}");
    /* What Google says of its own test responses: production refuses those. */
    if (!x->no_testing)
        text(b, ",\"testingDetails\":{\"isTestingResponse\":true}");
    text(b, "}");
}

emk_status fake_make_play(const forge *f, const fake_play *x, emk_span kek, emk_buf *out,
                          emk_error *e)
{
    emk_buf payload, jws;
    emk_status st;

    if (x->signed_hash.len > NONCE_MAX)
        return emk_fail(e, EMK_E_USAGE, "sim: nonce", x->signed_hash.len);
    emk_buf_init(&payload, PAYLOAD_MAX);
    emk_buf_init(&jws, (size_t)2 * PAYLOAD_MAX);
    details(x, &payload);
    verdicts(x, &payload);
    st = emk_jws_make(f->key[x->signer ? x->signer : 1],
                      emk_span_str(either(x->inner_header, "{\"alg\":\"ES256\"}")),
                      emk_buf_span(&payload), &jws, e);
    if (st == EMK_OK)
        st = emk_jwe_seal(
            f->crypto, kek,
            emk_span_str(either(x->outer_header, "{\"alg\":\"A256KW\",\"enc\":\"A256GCM\"}")),
            emk_buf_span(&jws), out, e);
    emk_buf_done(&jws);
    emk_buf_done(&payload);
    return st;
}
