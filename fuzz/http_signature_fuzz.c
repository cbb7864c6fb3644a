/* The fields of a signed request: what is taken as a device's proof has the one set of
 * components, verifies under nobody's key, and has one signature base. */
#include "fuzz/check.h"
#include "server/gate/signature.h"

#define FIELDS_MAX 16u

/* Lines "name: value"; the first one is "method path". */
static size_t lines_read(const uint8_t *data, size_t size, emk_http_field *out)
{
    size_t n = 0, at = 0;

    while (at < size && n < FIELDS_MAX) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        const uint8_t *colon = len > 0 ? memchr(data + at, ':', len) : NULL;
        size_t name = colon ? (size_t)(colon - data) - at : len;
        size_t skip = name + 2 <= len ? name + 2 : len;

        out[n].name = emk_span_of(data + at, name);
        out[n++].value = emk_span_of(data + at + skip, len - skip);
        at += len + 1;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_http_field fields[FIELDS_MAX];
    emk_gate_request rq = {.fields = fields, .n_fields = lines_read(data, size, fields)};
    emk_device_proof p;
    emk_buf base;

    rq.method = emk_span_str("POST");
    rq.authority = emk_span_str("api.example");
    rq.path = emk_span_str("/v1/tickets");
    if (emk_device_proof_check(&rq, &p, NULL) != EMK_OK)
        return 0;
    must(p.signature.input.n_members >= 6, "method, authority, path, query, digest, counter");
    must(p.expires > p.created && p.expires - p.created <= 60, "a minute at most");
    must(p.counter > 0, "a counter");
    emk_buf_init(&base, EMK_SIGNATURE_BASE_MAX);
    (void)!emk_signature_base_write(&rq, &p.signature.input, &base, NULL);
    emk_buf_done(&base);
    return 0;
}
