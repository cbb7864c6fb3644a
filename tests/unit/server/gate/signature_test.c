#include "server/gate/signature.h"

#include "tests/unit/server/gate/kit.h"

static kit_device device;
static emk_verify_key *key;
static kit_request r;

static void fresh(const char *nonce)
{
    kit_request_init(&r);
    kit_add(&r, "host", "api.example");
    kit_add(&r, "authorization", "Bearer abc");
    kit_sign(&r, &device, 7, nonce);
}

static emk_status check_and_verify(void)
{
    emk_device_proof p;
    emk_status st = emk_device_proof_check(&r.rq, &p, NULL);

    return st == EMK_OK ? emk_http_signature_verify(&r.rq, &p.signature, key, NULL) : st;
}

static void accepts_what_a_device_signs(void **state)
{
    emk_device_proof p;
    emk_error e;

    (void)state;
    fresh("nonce");
    assert_ok(emk_device_proof_check(&r.rq, &p, &e), &e);
    assert_ok(emk_http_signature_verify(&r.rq, &p.signature, key, &e), &e);
    assert_bytes(emk_span_of(p.device_id, 32), emk_span_of(device.id, 32));
    assert_int_equal(p.counter, 7);
    assert_int_equal(p.created, KIT_NOW_S);
    assert_true(p.covers_authorization);
    assert_bytes(p.nonce, emk_span_str("nonce"));
    fresh(NULL);
    kit_remove(&r, "authorization");
    kit_sign_again(&r, &device);
    assert_ok(check_and_verify(), NULL);
}

static void refuses_request_that_was_changed_behind_the_signature(void **state)
{
    (void)state;
    fresh("nonce");
    r.rq.method = emk_span_str("PUT");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    r.rq.authority = emk_span_str("other.example");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    r.rq.path = emk_span_str("/v1/leases");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    r.rq.path = emk_span_str("/v1/%74ickets"); /* not decoded */
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    r.rq.query = emk_span_str("a=2");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    kit_set(&r, "authorization", "Bearer abd");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    kit_set(&r, "earmark-counter", "8");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    kit_set(&r, "earmark-nonce", "noncf");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    kit_edit(&r, "content-digest", "sha-256=:47", "sha-256=:57");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    fresh("nonce");
    kit_edit(&r, "signature-input", ";created=17", ";created=16");
    kit_edit(&r, "signature-input", ";expires=17", ";expires=16");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
}

static void authority_is_signed_without_case_and_default_port(void **state)
{
    (void)state;
    fresh("nonce");
    r.rq.authority = emk_span_str("API.Example:443");
    assert_ok(check_and_verify(), NULL);
    r.rq.authority = emk_span_str("api.example:80");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
}

/* Each edits one thing in the fields; nothing of it may be taken. */
static void refuses_every_other_shape(void **state)
{
    static const struct {
        const char *field, *from, *to;
        emk_status st;
    } rows[] = {
        {"signature-input", " \"earmark-nonce\"", "", EMK_E_POLICY}, /* missing component */
        {"signature-input", "\"@query\" ", "", EMK_E_POLICY},
        {"signature-input", " \"authorization\"", "", EMK_E_POLICY},
        {"signature-input", "\"content-digest\" ", "", EMK_E_POLICY},
        {"signature-input", "\"@method\"", "\"host\" \"@method\"", EMK_E_POLICY}, /* one more */
        {"signature-input", "\"earmark-nonce\")", "\"earmark-nonce\" \"host\")", EMK_E_POLICY},
        {"signature-input", "\"@method\" \"@authority\"", "\"@authority\" \"@method\"",
         EMK_E_POLICY},                                                 /* swapped */
        {"signature-input", "\"@query\"", "\"@path\"", EMK_E_POLICY},   /* twice */
        {"signature-input", "\"@path\" ", "\"@path\"  ", EMK_E_FORMAT}, /* encoded otherwise */
        {"signature-input", "\"@path\"", "\"@path\";req", EMK_E_FORMAT},
        {"signature-input", "(\"@method\"", "( \"@method\"", EMK_E_FORMAT},
        {"signature-input", "earmark-req-1", "earmark-req-2", EMK_E_POLICY},
        {"signature-input", ";tag=\"earmark-req-1\"", "", EMK_E_POLICY},
        {"signature-input", ";alg=\"ecdsa-p256-sha256\"", "", EMK_E_POLICY},
        {"signature-input", "ecdsa-p256-sha256", "hmac-sha256", EMK_E_POLICY},
        {"signature-input", "ecdsa-p256-sha256", "none", EMK_E_POLICY},
        {"signature-input", ";tag=", ";nonce=\"x\";tag=", EMK_E_POLICY}, /* one more */
        {"signature-input", ";created=", ";created=5;created=", EMK_E_FORMAT},
        {"signature-input", ";created=1700000000", ";created=\"1700000000\"", EMK_E_POLICY},
        {"signature-input", ";created=1700000000", ";created=-1700000000", EMK_E_POLICY},
        {"signature-input", ";expires=1700000060", ";expires=1700000061", EMK_E_POLICY},
        {"signature-input", ";expires=1700000060", ";expires=1700000000", EMK_E_POLICY},
        {"signature-input", ";expires=1700000060", ";expires=1600000000", EMK_E_POLICY},
        {"signature-input", "keyid=\"", "keyid=\"A", EMK_E_POLICY},
        {"signature-input", "sig1=", "sig2=", EMK_E_FORMAT}, /* labels differ */
        {"signature-input", "sig1=", "sig1=();created=1, sig1=", EMK_E_FORMAT},
        {"signature", "sig1=", "sig2=", EMK_E_FORMAT},
        {"signature", "sig1=", "sig1=:YQ==:, sig1=", EMK_E_FORMAT}, /* a label twice */
        {"signature", "sig1=:", "sig1=:AA", EMK_E_FORMAT},
        {"signature", "==:", "=:", EMK_E_FORMAT},
        {"signature", "==:", "==:;x=1", EMK_E_FORMAT},
        {"earmark-counter", "7", "0", EMK_E_FORMAT},
        {"earmark-counter", "7", "-7", EMK_E_FORMAT},
        {"earmark-counter", "7", "07", EMK_E_FORMAT},
        {"earmark-counter", "7", "7.0", EMK_E_FORMAT},
        {"earmark-counter", "7", "7, 8", EMK_E_FORMAT},
        {"earmark-counter", "7", "1000000000000000", EMK_E_FORMAT},
        {"content-digest", "sha-256", "sha-512", EMK_E_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_device_proof p;
        emk_status st;

        fresh("nonce");
        kit_edit(&r, rows[i].field, rows[i].from, rows[i].to);
        st = emk_device_proof_check(&r.rq, &p, NULL);
        if (st != rows[i].st)
            fail_msg("row %zu: %s -> %s: %s", i, rows[i].from, rows[i].to, emk_status_name(st));
    }
}

static void refuses_fields_that_are_missing_or_twice(void **state)
{
    static const char *const names[] = {"signature", "signature-input", "content-digest",
                                        "earmark-counter"};
    emk_device_proof p;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fresh("nonce");
        kit_add(&r, names[i], kit_get(&r, names[i]));
        assert_status(emk_device_proof_check(&r.rq, &p, NULL), EMK_E_FORMAT, NULL);
        kit_remove(&r, names[i]);
        assert_status(emk_device_proof_check(&r.rq, &p, NULL), EMK_E_FORMAT, NULL);
    }
    fresh("nonce");
    kit_add(&r, "authorization", "Bearer other");
    assert_status(emk_device_proof_check(&r.rq, &p, NULL), EMK_E_FORMAT, NULL);
    fresh("nonce");
    kit_add(&r, "earmark-nonce", "other");
    assert_status(emk_device_proof_check(&r.rq, &p, NULL), EMK_E_FORMAT, NULL);
    kit_request_init(&r);
    assert_status(emk_device_proof_check(&r.rq, &p, NULL), EMK_E_NOT_FOUND, NULL);
}

/* A field that was added after signing must not ride along uncovered. */
static void refuses_authorization_that_is_not_covered(void **state)
{
    (void)state;
    fresh("nonce");
    kit_remove(&r, "authorization");
    kit_sign_again(&r, &device);
    assert_ok(check_and_verify(), NULL);
    kit_add(&r, "authorization", "Bearer stolen");
    assert_status(check_and_verify(), EMK_E_POLICY, NULL);
}

static void base_refuses_control_characters_and_unknown_components(void **state)
{
    static const char *const lists[] = {"(\"@status\")", "(\"@nope\")", "(\"x-absent\")",
                                        "(\"host\" \"host\")", "(\"x-bad\")"};
    emk_sf_list l;
    emk_buf out;
    emk_sf s;

    (void)state;
    fresh("nonce");
    kit_add(&r, "x-bad", "a\nb");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        emk_sf_init(&s, emk_span_str(lists[i]));
        assert_true(emk_sf_list_read(&s, &l));
        emk_buf_init(&out, EMK_SIGNATURE_BASE_MAX);
        assert_status(emk_signature_base_write(&r.rq, &l, &out, NULL), EMK_E_FORMAT, NULL);
        emk_buf_done(&out);
    }
}

static void base_has_a_limit(void **state)
{
    static char value[16384];
    emk_sf_list l;
    emk_buf out;
    emk_sf s;

    (void)state;
    fresh("nonce");
    memset(value, 'a', sizeof value - 1);
    kit_add(&r, "x-big", value);
    emk_sf_init(&s, emk_span_str("(\"x-big\")"));
    assert_true(emk_sf_list_read(&s, &l));
    emk_buf_init(&out, EMK_SIGNATURE_BASE_MAX);
    assert_status(emk_signature_base_write(&r.rq, &l, &out, NULL), EMK_E_LIMIT, NULL);
    emk_buf_done(&out);
}

static void refuses_key_of_another_device(void **state)
{
    kit_device other = kit_device_make(EMK_SIGN_ES256, 2);

    (void)state;
    kit_request_init(&r);
    kit_sign(&r, &other, 1, "nonce");
    assert_status(check_and_verify(), EMK_E_SIGNATURE, NULL);
    kit_device_done(&other);
}

int main(void)
{
    int rc;

    device = kit_device_make(EMK_SIGN_ES256, 1);
    if (emk_verify_key_new(kit_crypto(), EMK_SIGN_ES256, emk_span_of(device.pub, 65), &key, NULL) !=
        EMK_OK)
        return 1;
    rc = EMK_RUN(emk_rule(accepts_what_a_device_signs),
                 emk_rule(refuses_request_that_was_changed_behind_the_signature),
                 emk_rule(authority_is_signed_without_case_and_default_port),
                 emk_rule(refuses_every_other_shape),
                 emk_rule(refuses_fields_that_are_missing_or_twice),
                 emk_rule(refuses_authorization_that_is_not_covered),
                 emk_rule(base_refuses_control_characters_and_unknown_components),
                 emk_rule(base_has_a_limit), emk_rule(refuses_key_of_another_device));
    emk_verify_key_free(key);
    kit_device_done(&device);
    emk_crypto_free(kit_crypto());
    return rc;
}
