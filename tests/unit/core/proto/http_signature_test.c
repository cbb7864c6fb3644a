/* The device's half of request signatures and of the enrolment binding, held to what the server
 * verifies. */
#include "core/proto/binding.h"
#include "core/proto/http_signature.h"
#include "server/attest/challenge.h"
#include "server/gate/content_digest.h"
#include "server/gate/signature.h"
#include "tests/unit/core/proto/support.h"

#include <string.h>

#define FIELDS 6u

/* What travels: the request line's parts and the fields. */
typedef struct sent {
    emk_http_signed s;
    emk_http_field fields[FIELDS];
    emk_gate_request rq;
} sent;

static uint8_t device_id[EMK_DEVICE_ID_LEN] = {1, 2, 3};
static uint8_t body_sha256[32] = {0xff, 0xfe, 0xfb};

static emk_http_to_sign plain(void)
{
    return (emk_http_to_sign){.method = emk_span_str("POST"),
                              .authority = emk_span_str("models.example.com"),
                              .path = emk_span_str("/v1/tickets"),
                              .counter = 7,
                              .created = NOW,
                              .device_id = device_id,
                              .body_sha256 = body_sha256};
}

static void add(sent *t, const char *name, emk_span value)
{
    t->fields[t->rq.n_fields++] = (emk_http_field){emk_span_str(name), value};
}

static void carry(const emk_http_to_sign *in, sent *t)
{
    t->rq = (emk_gate_request){.method = in->method,
                               .scheme = emk_span_str("https"),
                               .authority = in->authority,
                               .path = in->path,
                               .query = in->query,
                               .fields = t->fields};
    add(t, "content-digest", emk_span_str(t->s.content_digest));
    add(t, "earmark-counter", emk_span_str(t->s.counter));
    add(t, "signature-input", emk_span_str(t->s.signature_input));
    add(t, "signature", emk_span_str(t->s.signature));
    if (in->authorization.len > 0)
        add(t, "authorization", in->authorization);
    if (in->nonce.len > 0)
        add(t, "earmark-nonce", in->nonce);
}

static void check_is_taken(const emk_signer *signer, const emk_verify_key *key,
                           const emk_http_to_sign *in)
{
    sent t;
    emk_device_proof proof;
    emk_error e;

    assert_ok(emk_http_sign(signer, in, &t.s, &e), &e);
    carry(in, &t);
    assert_ok(emk_device_proof_check(&t.rq, &proof, &e), &e);
    assert_ok(emk_http_signature_verify(&t.rq, &proof.signature, key, &e), &e);
    assert_int_equal(proof.counter, in->counter);
    assert_int_equal(proof.created, NOW);
    assert_bytes(emk_span_of(proof.device_id, 32), emk_span_of(device_id, 32));
    assert_bytes(emk_span_of(proof.body_sha256, 32), emk_span_of(body_sha256, 32));
    assert_int_equal(proof.covers_authorization, in->authorization.len > 0);
    /* It covers what it says: another path is another request. */
    t.rq.path = emk_span_str("/v1/leases");
    assert_status(emk_http_signature_verify(&t.rq, &proof.signature, key, &e), EMK_E_SIGNATURE, &e);
}

static void the_server_takes_what_a_device_signs(void **state)
{
    emk_http_to_sign in = plain();

    (void)state;
    check_is_taken(&P.device_signer, P.device, &in);
    in.nonce = emk_span_str("AAAAAQAAAAAAAAAAAAAAAAAAAAA");
    check_is_taken(&P.device_signer, P.device, &in);
    in.authorization = emk_span_str("Bearer a.b.c");
    in.query = emk_span_str("ticket=1&x=2");
    check_is_taken(&P.device_signer, P.device, &in);
    in.counter = EMK_HTTP_COUNTER_MAX;
    check_is_taken(&P.device_signer, P.device, &in);
    check_is_taken(&P.issuer_signer, P.issuer, &in); /* Ed25519 */
}

static void refused(const emk_http_to_sign *in)
{
    emk_http_signed out, before;
    emk_error e;

    memset(&out, 0x5a, sizeof out);
    before = out;
    assert_status(emk_http_sign(&P.device_signer, in, &out, &e), EMK_E_USAGE, &e);
    assert_memory_equal(&out, &before, sizeof out);
}

static void what_would_be_read_in_two_ways_is_not_signed(void **state)
{
    emk_http_to_sign in;

    (void)state;
    in = plain(), in.counter = 0, refused(&in);
    in = plain(), in.counter = EMK_HTTP_COUNTER_MAX + 1, refused(&in);
    in = plain(), in.authority = emk_span_str("Models.example.com"), refused(&in);
    in = plain(), in.path = emk_span_str("v1/tickets"), refused(&in);
    in = plain(), in.path = emk_span_of(NULL, 0), refused(&in);
    in = plain(), in.nonce = emk_span_str("a\nb"), refused(&in);
    in = plain(), in.authorization = emk_span_str("Bearer \x7f"), refused(&in);
    in = plain(), in.query = emk_span_str("x=\t"), refused(&in);
}

static emk_enrolment_binding bound(const uint8_t *challenge, const uint8_t keys[2][65])
{
    return (emk_enrolment_binding){.challenge = emk_span_of(challenge, 36),
                                   .signing = emk_span_of(keys[0], 65),
                                   .agreement = emk_span_of(keys[1], 65),
                                   .app = emk_span_str("com.example.app")};
}

static void the_server_binds_an_enrolment_as_the_device_does(void **state)
{
    uint8_t keys[2][65] = {{4, 1}, {4, 2}}, challenge[36] = {9}, ours[32];
    emk_enrolment_binding b = bound(challenge, (const uint8_t(*)[65])keys);
    emk_error e;

    (void)state;
    assert_ok(emk_enrolment_binding_make(P.crypto, &b, ours, &e), &e);
    assert_ok(emk_binding_verify(P.crypto,
                                 &(emk_binding){.challenge = b.challenge,
                                                .signing = b.signing,
                                                .agreement = b.agreement,
                                                .app = b.app},
                                 emk_span_of(ours, sizeof ours), &e),
              &e);
    b.challenge.len = 35;
    assert_status(emk_enrolment_binding_make(P.crypto, &b, ours, &e), EMK_E_USAGE, &e);
    b = bound(challenge, (const uint8_t(*)[65])keys), b.agreement = b.signing;
    assert_status(emk_enrolment_binding_make(P.crypto, &b, ours, &e), EMK_E_USAGE, &e);
    b = bound(challenge, (const uint8_t(*)[65])keys), b.app.len = 0;
    assert_status(emk_enrolment_binding_make(P.crypto, &b, ours, &e), EMK_E_USAGE, &e);
    keys[1][0] = 2;
    b = bound(challenge, (const uint8_t(*)[65])keys);
    assert_status(emk_enrolment_binding_make(P.crypto, &b, ours, &e), EMK_E_USAGE, &e);
}

int main(void)
{
    int result;

    people_init();
    result = EMK_RUN(emk_rule(the_server_takes_what_a_device_signs),
                     emk_rule(what_would_be_read_in_two_ways_is_not_signed),
                     emk_rule(the_server_binds_an_enrolment_as_the_device_does));
    people_done();
    return result;
}
