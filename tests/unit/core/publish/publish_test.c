#include "core/publish/publish.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/crypto/kem.h"
#include "core/crypto/random.h"
#include "core/proto/ticket.h"
#include "core/seal/certificate.h"
#include "tests/unit/device/client/stage.h"

#include <string.h>

#define HEADER_LEN 192u
#define WEIGHT_LEN (MODEL_LEN - 8u - HEADER_LEN)
#define ROOM       ((size_t)2 * MODEL_LEN)

/* A backend beside the stage: its key, its certificate, its ledger. */
typedef struct backend {
    stage s;
    uint8_t priv[32], pub[EMK_SIGN_PUBLIC_MAX];
    emk_sealing_certificate cert;
    emk_buf certificate;
    emk_sealer_config config;
    emk_sealer *sealer;
    emk_seal_plan *plan;
    uint8_t redeemed[16];
    unsigned redeems;   /* calls */
    emk_status refuse;  /* what the ledger says; EMK_OK: each id once */
    const char *reason; /* or NULL: it does not say why */
} backend;

static emk_status redeem(void *self, const uint8_t ticket_id[16], emk_error *e)
{
    backend *b = self;
    emk_status st = b->refuse;

    if (st == EMK_OK && b->redeems && memcmp(b->redeemed, ticket_id, 16) == 0)
        st = EMK_E_USED;
    b->redeems++;
    memcpy(b->redeemed, ticket_id, 16);
    return st != EMK_OK && b->reason ? emk_fail(e, st, b->reason, 0) : st;
}

/* The stage's model as a safetensors file of one tensor. */
static void make_model(stage *s)
{
    char header[HEADER_LEN + 1];
    int n = snprintf(header, sizeof header,
                     "{\"w\":{\"dtype\":\"F32\",\"shape\":[%u],\"data_offsets\":[0,%u]}}",
                     WEIGHT_LEN / 4, WEIGHT_LEN);

    memset(header + n, ' ', sizeof header - (size_t)n);
    memset(s->model, 0, 8);
    s->model[0] = HEADER_LEN;
    memcpy(s->model + 8, header, HEADER_LEN);
}

static void certify_key(backend *b, emk_sign_alg alg)
{
    emk_error e = {0};

    assert_ok(emk_sign_generate(b->s.crypto, alg, b->priv, b->pub, &e), &e);
    b->cert = (emk_sealing_certificate){.not_before = NOW - 1000, .not_after = NOW + 1000};
    b->cert.public_len = emk_sign_public_len(alg);
    memcpy(b->cert.public_key, b->pub, b->cert.public_len);
    b->certificate.len = 0;
    assert_ok(
        emk_sealing_certificate_make(b->s.crypto, &b->s.issuer, &b->cert, &b->certificate, &e), &e);
    b->config.private_key = emk_span_of(b->priv, sizeof b->priv);
    b->config.certificate = emk_buf_span(&b->certificate);
}

static emk_source model_of(const stage *s)
{
    return emk_source_from_span(emk_span_of(s->model, MODEL_LEN));
}

static void replace_sealer(backend *b)
{
    emk_error e = {0};

    emk_sealer_free(b->sealer);
    b->sealer = NULL;
    assert_ok(emk_sealer_new(&b->config, &b->sealer, &e), &e);
}

static void backend_init(backend *b)
{
    emk_source model;
    emk_error e = {0};

    memset(b, 0, sizeof *b);
    stage_init(&b->s, NULL, false);
    make_model(&b->s);
    emk_buf_init(&b->certificate, EMK_MESSAGE_MAX);
    b->config = (emk_sealer_config){
        .crypto = b->s.crypto,
        .issuer = emk_span_of(b->s.issuer.public_key, b->s.issuer.public_len),
        .redeem = redeem,
        .redeem_self = b,
    };
    certify_key(b, EMK_SIGN_ED25519);
    replace_sealer(b);
    model = model_of(&b->s);
    assert_ok(emk_sealer_plan(b->sealer, &model, NULL, &b->plan, &e), &e);
    stage_request(&b->s);
    stage_issue(&b->s);
}

static void backend_done(backend *b)
{
    emk_seal_plan_free(b->plan);
    emk_sealer_free(b->sealer);
    emk_buf_done(&b->certificate);
    stage_done(&b->s);
}

static emk_seal_job job_of(const backend *b)
{
    return (emk_seal_job){.plan = b->plan, .ticket = emk_buf_span(&b->s.ticket), .now = b->s.now};
}

/* Both steps, into the stage's buffer, which gets exactly the length that was said. */
static emk_status seal(backend *b, const emk_seal_job *job, emk_sealed *sealed, emk_error *e)
{
    emk_sealing *sealing = NULL;
    emk_sink sink;
    uint8_t *room;
    emk_status st;

    st = emk_sealer_start(b->sealer, job, &sealing, sealed, e);
    if (st != EMK_OK) {
        assert_null(sealing);
        return st;
    }
    b->s.sealed.len = 0;
    st = emk_buf_grow(&b->s.sealed, (size_t)sealed->len, &room, e);
    if (st == EMK_OK) {
        sink = emk_sink_from_memory(room, b->s.sealed.len);
        st = emk_sealing_write(sealing, &sink, 2, NULL, e);
    }
    emk_sealing_free(sealing);
    return st;
}

static void assert_device_opens_it(backend *b)
{
    emk_error e = {0};

    assert_ok(stage_accept(&b->s, &e), &e);
    assert_ok(stage_open(&b->s, &e), &e);
}

static void sealed_model_is_accepted_and_opened(void **state)
{
    static uint8_t zeros[16];
    emk_sealed sealed = {0};
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    for (int chacha = 0; chacha < 2; chacha++) {
        backend_init(&b);
        job = job_of(&b);
        job.chacha = chacha;
        assert_ok(seal(&b, &job, &sealed, &e), &e);
        assert_memory_equal(sealed.ticket_id, b.s.ticket_id, 16);
        assert_memory_not_equal(sealed.file_id, zeros, 16);
        assert_int_equal(b.redeems, 1);
        assert_memory_equal(b.redeemed, b.s.ticket_id, 16);
        assert_device_opens_it(&b);
        backend_done(&b);
    }
}

static void one_call_does_both_steps(void **state)
{
    emk_sealed sealed = {0};
    emk_seal_job job;
    emk_error e = {0};
    emk_sink sink;
    uint8_t *room;
    backend b;

    (void)state;
    backend_init(&b);
    job = job_of(&b);
    assert_ok(emk_buf_grow(&b.s.sealed, ROOM, &room, &e), &e);
    sink = emk_sink_from_memory(room, ROOM);
    assert_ok(emk_sealer_seal(b.sealer, &job, &sink, &sealed, &e), &e);
    assert_true(sealed.len > MODEL_LEN && sealed.len < ROOM);
    b.s.sealed.len = (size_t)sealed.len;
    assert_device_opens_it(&b);
    /* a sink that is too small, and nobody who wants to know the length */
    stage_request(&b.s);
    stage_issue(&b.s);
    job = job_of(&b);
    sink.cap = 1000;
    assert_status(emk_sealer_seal(b.sealer, &job, &sink, NULL, &e), EMK_E_USAGE, &e);
    backend_done(&b);
}

static emk_status sign_by_signer(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    const emk_signer *signer = self;

    return signer->sign(signer->self, msg, sig, e);
}

static void a_function_may_sign(void **state)
{
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    b.config.private_key = emk_span_of(NULL, 0);
    b.config.sign = sign_by_signer;
    b.config.sign_self = &b.s.sealer;
    b.config.certificate = emk_buf_span(&b.s.sealer_certificate);
    replace_sealer(&b);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_device_opens_it(&b);
    backend_done(&b);
}

static void the_issuer_needs_no_certificate(void **state)
{
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    b.config.private_key = emk_span_of(NULL, 0);
    b.config.sign = sign_by_signer;
    b.config.sign_self = &b.s.issuer;
    b.config.certificate = emk_span_of(NULL, 0);
    replace_sealer(&b);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_device_opens_it(&b);
    backend_done(&b);
}

static void the_certificate_decides_the_algorithm(void **state)
{
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    certify_key(&b, EMK_SIGN_ES256);
    replace_sealer(&b);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_device_opens_it(&b);
    backend_done(&b);
}

static void a_ticket_is_good_for_one_model(void **state)
{
    emk_sealed sealed, none = {.len = 77};
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_status(seal(&b, &job, &none, &e), EMK_E_USED, &e);
    assert_string_equal(e.what, "ticket: the ledger refuses it");
    assert_int_equal(none.len, 77);
    b.reason = "ledger: seen before";
    assert_status(seal(&b, &job, &none, &e), EMK_E_USED, &e);
    assert_string_equal(e.what, b.reason);
    assert_device_opens_it(&b); /* the first */
    b.refuse = EMK_E_IO;
    stage_request(&b.s);
    stage_issue(&b.s);
    job = job_of(&b);
    assert_status(seal(&b, &job, &none, &e), EMK_E_IO, &e);
    backend_done(&b);
}

static void without_redeem_somebody_else_looks_after_tickets(void **state)
{
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    b.config.redeem = NULL;
    b.config.without_redeem = true;
    replace_sealer(&b);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_device_opens_it(&b);
    backend_done(&b);
}

static void a_refused_ticket_is_not_used_up(void **state)
{
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    backend b, other;

    (void)state;
    backend_init(&b);
    backend_init(&other);
    job = job_of(&b);
    job.ticket = emk_buf_span(&other.s.ticket);
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_SIGNATURE, &e);
    job.ticket.len--;
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_FORMAT, &e);
    job = job_of(&b);
    job.now = NOW + 600;
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_POLICY, &e);
    job.now = 0;
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_USAGE, &e);
    job = job_of(&b);
    job.plan = NULL;
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_USAGE, &e);
    assert_int_equal(b.redeems, 0);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    backend_done(&other);
    backend_done(&b);
}

static void rejects_a_certificate_that_is_not_good_now(void **state)
{
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    b.s.now = NOW + 800; /* the ticket is good until 1400 */
    stage_issue(&b.s);
    job = job_of(&b);
    job.now = NOW + 1001;
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_POLICY, &e);
    job.now = NOW - 1001;
    assert_status(seal(&b, &job, &sealed, &e), EMK_E_POLICY, &e);
    assert_int_equal(b.redeems, 0);
    job.now = NOW + 1000;
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    backend_done(&b);
}

/* A ticket to keys of a KEM that this libcrypto may not have. */
static void rejects_keys_that_libcrypto_lacks_before_redeem(void **state)
{
    static uint8_t key[EMK_KEM_PUBLIC_MAX];
    emk_request request;
    emk_sealed sealed;
    emk_ticket ticket;
    emk_seal_job job;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    if (emk_crypto_has(b.s.crypto, EMK_CRYPTO_ML_KEM_768)) {
        backend_done(&b);
        skip();
    }
    assert_ok(emk_request_verify(b.s.crypto, emk_buf_span(&b.s.request), b.s.issuer_public, NOW,
                                 &request, &e),
              &e);
    for (int of_device = 0; of_device < 2; of_device++) {
        uint16_t kem = of_device ? EMK_KEM_MLKEM768_P256 : EMK_KEM_XWING;
        emk_agree_key agree = {kem, emk_span_of(key, emk_kem_public_len(kem))};

        emk_ticket_answer(&request, &ticket);
        *(of_device ? &ticket.device_key : &ticket.request_key) = agree;
        ticket.policy = b.s.policy;
        ticket.issued = NOW;
        ticket.expires = NOW + 600;
        b.s.ticket.len = 0;
        assert_ok(emk_ticket_sign(b.s.crypto, &b.s.issuer, &ticket, &b.s.ticket, &e), &e);
        job = job_of(&b);
        assert_status(seal(&b, &job, &sealed, &e), EMK_E_UNSUPPORTED, &e);
    }
    assert_int_equal(b.redeems, 0);
    backend_done(&b);
}

static void refuse_config(const emk_sealer_config *config, emk_status want)
{
    emk_sealer *s = NULL;
    emk_error e = {0};

    assert_status(emk_sealer_new(config, &s, &e), want, &e);
    assert_null(s);
}

static void refuses_a_configuration_that_is_none(void **state)
{
    uint8_t other_key[32] = {1};
    emk_sealer_config c;
    backend b, other;

    (void)state;
    backend_init(&b);
    backend_init(&other);
    c = b.config, c.crypto = NULL;
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.redeem = NULL;
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.without_redeem = true;
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.private_key.len = 0;
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.sign = sign_by_signer;
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.private_key = emk_span_of(other_key, 32);
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.certificate.len = 0; /* then it has to be the issuer's key */
    refuse_config(&c, EMK_E_USAGE);
    c = b.config, c.private_key.len = 31;
    refuse_config(&c, EMK_E_FORMAT);
    c = b.config, c.issuer.len = 31;
    refuse_config(&c, EMK_E_FORMAT);
    c = b.config, c.certificate.len--;
    refuse_config(&c, EMK_E_FORMAT);
    c = b.config, c.certificate = other.config.certificate;
    refuse_config(&c, EMK_E_SIGNATURE);
    emk_sealer_free(NULL);
    emk_seal_plan_free(NULL);
    backend_done(&other);
    backend_done(&b);
}

static emk_status plan_with(const backend *b, const emk_seal_options *options,
                            emk_seal_report *report, emk_error *e)
{
    emk_source model = model_of(&b->s);
    emk_seal_plan *plan = NULL;
    emk_status st = emk_sealer_plan(b->sealer, &model, options, &plan, e);

    if (st != EMK_OK) {
        assert_null(plan);
        return st;
    }
    *report = *emk_seal_plan_report(plan);
    emk_seal_plan_free(plan);
    return EMK_OK;
}

static void report_says_what_will_be_sealed(void **state)
{
    emk_seal_options options = {.flags = EMK_SEAL_NO_DIGESTS, .format = "safetensors"};
    emk_seal_report r = {0};
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    assert_ok(plan_with(&b, NULL, &r, &e), &e);
    assert_string_equal(r.format, "safetensors");
    assert_int_equal(r.model_len, MODEL_LEN);
    assert_int_equal(r.sealed_len, MODEL_LEN);
    assert_int_equal(r.weight_len, WEIGHT_LEN);
    assert_int_equal(r.coverage, 99);
    assert_int_equal(r.n_tensors, 1);
    assert_int_equal(r.n_indexed, 1);
    assert_ok(plan_with(&b, &options, &r, &e), &e);
    assert_int_equal(r.sealed_len, MODEL_LEN);
    options = (emk_seal_options){.flags = EMK_SEAL_CLEAR_STRUCTURE | EMK_SEAL_STRICT};
    assert_ok(plan_with(&b, &options, &r, &e), &e);
    assert_int_equal(r.sealed_len, WEIGHT_LEN);
    options = (emk_seal_options){.flags = EMK_SEAL_AS_BYTES};
    assert_ok(plan_with(&b, &options, &r, &e), &e);
    assert_string_equal(r.format, "unknown");
    assert_int_equal(r.sealed_len, MODEL_LEN);
    assert_int_equal(r.weight_len, 0);
    backend_done(&b);
}

static void refuses_options_that_do_not_go_together(void **state)
{
    static const emk_seal_options bad[] = {
        {.flags = 16},
        {.flags = EMK_SEAL_AS_BYTES | EMK_SEAL_CLEAR_STRUCTURE},
        {.flags = EMK_SEAL_AS_BYTES, .format = "tflite"},
        {.flags = EMK_SEAL_AS_BYTES | EMK_SEAL_STRICT},
        {.format = "unknown"},
        {.format = "no-such-format"},
    };
    emk_seal_options wrong = {.format = "gguf"};
    emk_seal_report r;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(plan_with(&b, &bad[i], &r, &e), EMK_E_USAGE, &e);
    assert_status(plan_with(&b, &wrong, &r, &e), EMK_E_FORMAT, &e);
    backend_done(&b);
}

static emk_status see_path(void *self, const emk_file_entry *entry, emk_error *e)
{
    emk_buf *seen = self;
    emk_status st = emk_buf_append(seen, entry->path, e);

    if (st == EMK_OK)
        st = emk_buf_append(seen, emk_span_str(";"), e);
    assert_int_equal(entry->offset + entry->length, seen->len < 10 ? 1000 : MODEL_LEN);
    return st;
}

static void a_model_of_several_files_comes_back_as_such(void **state)
{
    static const emk_seal_file files[] = {{"a/config", 1000}, {"weights.bin", MODEL_LEN - 1000}};
    emk_seal_options options = {.files = files, .n_files = 2};
    emk_opened *opened = NULL;
    emk_client_ask ask;
    emk_source model;
    emk_sealed sealed;
    emk_seal_job job;
    emk_error e = {0};
    emk_buf seen;
    backend b;

    (void)state;
    backend_init(&b);
    memset(b.s.model, 'x', 2000); /* of no format */
    model = model_of(&b.s);
    emk_seal_plan_free(b.plan);
    b.plan = NULL;
    assert_ok(emk_sealer_plan(b.sealer, &model, &options, &b.plan, &e), &e);
    job = job_of(&b);
    assert_ok(seal(&b, &job, &sealed, &e), &e);
    assert_ok(stage_accept(&b.s, &e), &e);
    ask = stage_ask(&b.s);
    assert_ok(emk_client_open(b.s.client, b.s.name, &ask, &opened, &e), &e);
    assert_int_equal(emk_opened_n_files(opened), 2);
    emk_buf_init(&seen, 100);
    assert_ok(emk_opened_files_each(opened, see_path, &seen, &e), &e);
    assert_bytes(emk_buf_span(&seen), emk_span_str("a/config;weights.bin;"));
    emk_buf_done(&seen);
    emk_opened_close(opened);
    backend_done(&b);
}

static void refuses_files_that_are_not_the_model(void **state)
{
    static const emk_seal_file unordered[] = {{"b", 1000}, {"a", MODEL_LEN - 1000}};
    static const emk_seal_file outside[] = {{"../a", 1000}, {"b", MODEL_LEN - 1000}};
    static const emk_seal_file too_short[] = {{"a", 1000}, {"b", MODEL_LEN - 1001}};
    static const emk_seal_file too_long[] = {{"a", UINT64_MAX}, {"b", MODEL_LEN + 1}};
    emk_seal_options options = {.n_files = 2};
    emk_seal_report r;
    emk_error e = {0};
    backend b;

    (void)state;
    backend_init(&b);
    options.files = unordered;
    assert_status(plan_with(&b, &options, &r, &e), EMK_E_FORMAT, &e);
    options.files = outside;
    assert_status(plan_with(&b, &options, &r, &e), EMK_E_FORMAT, &e);
    options.files = too_short;
    assert_status(plan_with(&b, &options, &r, &e), EMK_E_USAGE, &e);
    options.files = too_long;
    assert_status(plan_with(&b, &options, &r, &e), EMK_E_LIMIT, &e);
    options.n_files = EMK_FILES_MAX + 1;
    assert_status(plan_with(&b, &options, &r, &e), EMK_E_LIMIT, &e);
    backend_done(&b);
}

#ifdef EMK_FAULTS
static emk_status all_of_it(backend *b, emk_error *e)
{
    emk_source model = model_of(&b->s);
    emk_seal_plan *plan = NULL;
    emk_sealer *sealer = NULL;
    emk_seal_job job = job_of(b);
    emk_sink sink = {.cap = ROOM};
    emk_status st;

    sink.p = malloc(ROOM);
    assert_non_null(sink.p);
    st = emk_sealer_new(&b->config, &sealer, e);
    if (st == EMK_OK)
        st = emk_sealer_plan(sealer, &model, NULL, &plan, e);
    job.plan = plan;
    job.threads = 1;
    if (st == EMK_OK)
        st = emk_sealer_seal(sealer, &job, &sink, NULL, e);
    emk_seal_plan_free(plan);
    emk_sealer_free(sealer);
    free(sink.p);
    return st;
}
#endif

static void every_failure_is_reported_and_leaves_nothing(void **state)
{
#ifdef EMK_FAULTS
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};
    backend b;

    (void)state;
    backend_init(&b);
    b.config.redeem = NULL;
    b.config.without_redeem = true;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (unsigned n = 1;; n++) {
            emk_error e = {0};
            emk_status st;

            emk_fault_fail_at(kinds[k], n);
            st = all_of_it(&b, &e);
            emk_fault_fail_at(kinds[k], 0);
            if (st == EMK_OK) {
                assert_true(n > 10);
                break;
            }
            assert_non_null(e.what);
            assert_int_equal(e.status, st);
        }
    backend_done(&b);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    return EMK_RUN(
        emk_rule(sealed_model_is_accepted_and_opened), emk_rule(one_call_does_both_steps),
        emk_rule(a_function_may_sign), emk_rule(the_issuer_needs_no_certificate),
        emk_rule(the_certificate_decides_the_algorithm), emk_rule(a_ticket_is_good_for_one_model),
        emk_rule(without_redeem_somebody_else_looks_after_tickets),
        emk_rule(a_refused_ticket_is_not_used_up),
        emk_rule(rejects_a_certificate_that_is_not_good_now),
        emk_rule(rejects_keys_that_libcrypto_lacks_before_redeem),
        emk_rule(refuses_a_configuration_that_is_none), emk_rule(report_says_what_will_be_sealed),
        emk_rule(refuses_options_that_do_not_go_together),
        emk_rule(a_model_of_several_files_comes_back_as_such),
        emk_rule(refuses_files_that_are_not_the_model),
        emk_rule(every_failure_is_reported_and_leaves_nothing));
}
