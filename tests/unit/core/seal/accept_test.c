#include "core/seal/accept.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "tests/unit/core/seal/world.h"

#define MODEL_LEN 150000u

static world w;
static uint8_t model[MODEL_LEN];
static emk_plan plan; /* 50000 sealed, 60000 tensor, 40000 clear */
static emk_buf sealed, inner;

#define SEALED emk_buf_span(&sealed)

static void make_all(void)
{
    emk_region regions[3] = {{50000, 0}, {60000, 1}, {40000, 2}};
    emk_error e;

    world_init(&w, EMK_KEM_X25519);
    world_fill(model, sizeof model);
    world_plan(&w, emk_span_of(model, sizeof model), regions, 3, &plan);
    assert_ok(world_seal(&w, emk_span_of(model, sizeof model), &plan, &sealed, &e), &e);
    world_unwrap(&w, SEALED, &inner);
}

/* ---- what is refused before the bulk ---- */

/* `bend` may change what is passed. */
static void expect_new(void (*bend)(emk_accept_in *), emk_span file, emk_status want,
                       emk_noticed noticed)
{
    emk_source source = emk_source_from_span(file);
    emk_noticed got = EMK_NOTICED_NOTHING;
    emk_accept *a = NULL;
    emk_accept_in in;
    emk_error e;

    world_accept_in(&w, &source, &in);
    in.noticed = &got;
    if (bend)
        bend(&in);
    assert_status(emk_accept_new(w.crypto, &in, &a, &e), want, &e);
    assert_int_equal(got, noticed);
    assert_null(a);
    /* and nobody needs to ask what was noticed */
    in.noticed = NULL;
    assert_status(emk_accept_new(w.crypto, &in, &a, &e), want, &e);
}

static void bend_request_hash(emk_accept_in *in)
{
    in->request_hash[31] ^= 1;
}

static void bend_ticket_id(emk_accept_in *in)
{
    in->ticket_id[0] ^= 1;
}

static void bend_ticket_hash(emk_accept_in *in)
{
    in->ticket_hash[5] ^= 1;
}

static void bend_policy(emk_accept_in *in)
{
    in->policy.len--;
}

static void bend_identity(emk_accept_in *in)
{
    in->identity = in->policy;
}

static void bend_now(emk_accept_in *in)
{
    in->now = WORLD_NOW + 1001;
}

static void bend_keys(emk_accept_in *in)
{
    in->request_key = w.device_key;
}

static void rejects_answer_to_another_request(void **state)
{
    (void)state;
    expect_new(bend_request_hash, SEALED, EMK_E_SIGNATURE, EMK_NOTICED_BINDING);
}

static void rejects_file_for_another_ticket(void **state)
{
    (void)state;
    expect_new(bend_ticket_id, SEALED, EMK_E_SIGNATURE, EMK_NOTICED_BINDING);
    expect_new(bend_ticket_hash, SEALED, EMK_E_SIGNATURE, EMK_NOTICED_BINDING);
}

static void rejects_policy_and_identity_that_are_not_the_tickets(void **state)
{
    (void)state;
    expect_new(bend_policy, SEALED, EMK_E_SIGNATURE, EMK_NOTICED_BINDING);
    expect_new(bend_identity, SEALED, EMK_E_SIGNATURE, EMK_NOTICED_BINDING);
}

static void rejects_sealer_whose_certificate_is_over(void **state)
{
    (void)state;
    expect_new(bend_now, SEALED, EMK_E_SIGNATURE, EMK_NOTICED_SIGNATURE);
}

static void rejects_file_for_a_key_of_another_kind(void **state)
{
    (void)state;
    expect_new(bend_keys, SEALED, EMK_E_SEALED, EMK_NOTICED_RECIPIENT);
}

static void rejects_file_of_another_issuer_device_or_request(void **state)
{
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_kem_private *mine;
    emk_verify_key *issuer;
    world other;
    emk_buf vault;
    emk_error e;

    (void)state;
    world_init(&other, EMK_KEM_X25519);
    issuer = w.issuer_public;
    w.issuer_public = other.issuer_public;
    assert_status(world_accept(&w, SEALED, &vault, &noticed, &e), EMK_E_SIGNATURE, &e);
    assert_int_equal(noticed, EMK_NOTICED_SIGNATURE);
    w.issuer_public = issuer;

    noticed = EMK_NOTICED_NOTHING;
    mine = w.request_key;
    w.request_key = other.request_key;
    assert_status(world_accept(&w, SEALED, &vault, &noticed, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_HPKE);
    w.request_key = mine;

    noticed = EMK_NOTICED_NOTHING;
    mine = w.device_key;
    w.device_key = other.device_key;
    assert_status(world_accept(&w, SEALED, &vault, &noticed, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_RECIPIENT);
    w.device_key = mine;
    world_done(&other);
}

static void rejects_file_that_is_cut_or_goes_on(void **state)
{
    uint8_t *longer = emk_alloc(sealed.len + 1, 1);

    (void)state;
    memcpy(longer, sealed.p, sealed.len);
    expect_new(NULL, emk_span_of(longer, sealed.len + 1), EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    expect_new(NULL, emk_span_of(longer, sealed.len - 1), EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    expect_new(NULL, emk_span_of(longer, sealed.len - 16), EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    expect_new(NULL, emk_span_of(longer, 15), EMK_E_FORMAT, EMK_NOTICED_PREAMBLE);
    expect_new(NULL, emk_span_of(longer, 0), EMK_E_FORMAT, EMK_NOTICED_PREAMBLE);
    emk_free(longer);
}

static void rejects_weights_layer_sent_alone(void **state)
{
    (void)state;
    expect_new(NULL, emk_buf_span(&inner), EMK_E_FORMAT, EMK_NOTICED_PREAMBLE);
}

/* ---- a bent weights layer inside a good file layer ---- */

static size_t head_len(emk_span layer)
{
    return 16 + emk_load_u32be(layer.p + 12);
}

/* Accepts `bytes` in a fresh file layer; gives the outcome of both steps. */
static emk_status accept_inner(emk_span bytes, const emk_signer *signer, emk_span certificate,
                               emk_noticed *noticed, emk_error *e)
{
    emk_buf file, vault;
    emk_status st;

    *noticed = EMK_NOTICED_NOTHING;
    world_wrap(&w, bytes, signer, certificate, &file);
    st = world_accept(&w, emk_buf_span(&file), &vault, noticed, e);
    if (st == EMK_OK)
        emk_buf_done(&vault);
    emk_buf_done(&file);
    return st;
}

static void expect_inner(emk_span bytes, emk_status want, emk_noticed noticed)
{
    emk_noticed got;
    emk_error e, one;

    assert_status(accept_inner(bytes, &w.sealer, emk_buf_span(&w.certificate), &got, &e), want, &e);
    assert_int_equal(got, noticed);
    if (want == EMK_E_SEALED && noticed != EMK_NOTICED_DIGEST) {
        (void)emk_fail_sealed(&one); /* the one outward error */
        assert_string_equal(e.what, one.what);
        assert_int_equal(e.where, one.where);
    }
}

static void takes_the_same_layer_in_a_fresh_wrapping(void **state)
{
    (void)state;
    expect_inner(emk_buf_span(&inner), EMK_OK, EMK_NOTICED_NOTHING);
}

static void rejects_layers_by_different_signers(void **state)
{
    emk_noticed noticed;
    emk_error e;

    (void)state;
    assert_status(accept_inner(emk_buf_span(&inner), &w.issuer, emk_span_of(NULL, 0), &noticed, &e),
                  EMK_E_SIGNATURE, &e);
    assert_int_equal(noticed, EMK_NOTICED_SIGNATURE);
}

static void rejects_layers_with_different_certificates_of_one_signer(void **state)
{
    emk_sealing_certificate cert = {
        .not_before = WORLD_NOW - 5, .not_after = WORLD_NOW + 5, .public_len = w.sealer.public_len};
    emk_noticed noticed;
    emk_buf other;
    emk_error e;

    (void)state;
    memcpy(cert.public_key, w.sealer.public_key, w.sealer.public_len);
    emk_buf_init(&other, EMK_MESSAGE_MAX);
    assert_ok(emk_sealing_certificate_make(w.crypto, &w.issuer, &cert, &other, &e), &e);
    assert_status(accept_inner(emk_buf_span(&inner), &w.sealer, emk_buf_span(&other), &noticed, &e),
                  EMK_E_SIGNATURE, &e);
    assert_int_equal(noticed, EMK_NOTICED_SIGNATURE);
    emk_buf_done(&other);
}

static void rejects_commitment_of_the_weights_layer(void **state)
{
    size_t at = head_len(emk_buf_span(&inner));

    (void)state;
    for (size_t i = 0; i < 32; i += 31) {
        inner.p[at + i] ^= 1;
        expect_inner(emk_buf_span(&inner), EMK_E_SEALED, EMK_NOTICED_COMMIT);
        inner.p[at + i] ^= 1;
    }
}

static void rejects_every_kind_of_segment_with_a_changed_byte(void **state)
{
    size_t at = head_len(emk_buf_span(&inner)) + 32;
    size_t part = inner.len - at - MODEL_LEN - 16 * 4; /* of the sealed part */
    const size_t places[] = {
        at,                             /* sealed part */
        at + part,                      /* its tag */
        at + part + 16,                 /* kind 0 */
        at + part + 16 + 50000,         /* its tag */
        at + part + 32 + 50000 + 59999, /* kind 1 */
        at + part + 48 + 110000,        /* kind 2, clear */
        inner.len - 1,                  /* its tag */
    };

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        inner.p[places[i]] ^= 0x20;
        expect_inner(emk_buf_span(&inner), EMK_E_SEALED, EMK_NOTICED_REGION);
        inner.p[places[i]] ^= 0x20;
    }
}

static void rejects_weights_layer_of_another_length(void **state)
{
    uint8_t *longer = emk_alloc(inner.len + 16, 1);

    (void)state;
    memcpy(longer, inner.p, inner.len);
    expect_inner(emk_span_of(longer, inner.len + 1), EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    expect_inner(emk_span_of(longer, inner.len + 16), EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    expect_inner(emk_span_of(longer, inner.len - 1), EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    expect_inner(emk_span_of(longer, head_len(emk_buf_span(&inner)) + 32), EMK_E_FORMAT,
                 EMK_NOTICED_LENGTH);
    expect_inner(emk_span_of(longer, head_len(emk_buf_span(&inner)) + 31), EMK_E_FORMAT,
                 EMK_NOTICED_LENGTH);
    emk_free(longer);
}

static void rejects_every_cut_of_the_weights_head(void **state)
{
    (void)state;
    for (size_t len = 0; len < head_len(emk_buf_span(&inner)) + 32; len += 37) {
        emk_noticed noticed;
        emk_error e;
        emk_status st = accept_inner(emk_span_of(inner.p, len), &w.sealer,
                                     emk_buf_span(&w.certificate), &noticed, &e);

        assert_status(st, EMK_E_FORMAT, &e);
    }
}

static void rejects_bytes_that_are_not_what_was_signed(void **state)
{
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_buf bad, vault;
    emk_error e;

    (void)state;
    for (uint32_t r = 0; r < 3; r++) { /* a sealer whose digests are of other bytes */
        plan.digests[r][7] ^= 1;
        assert_ok(world_seal(&w, emk_span_of(model, sizeof model), &plan, &bad, &e), &e);
        noticed = EMK_NOTICED_NOTHING;
        assert_status(world_accept(&w, emk_buf_span(&bad), &vault, &noticed, &e), EMK_E_SEALED, &e);
        assert_int_equal(noticed, EMK_NOTICED_DIGEST);
        plan.digests[r][7] ^= 1;
        emk_buf_done(&bad);
    }
}

static void takes_files_without_digests(void **state)
{
    uint8_t(*digests)[32] = plan.digests;
    emk_buf file, vault, opened;
    emk_error e;

    (void)state;
    plan.digests = NULL;
    assert_ok(world_seal(&w, emk_span_of(model, sizeof model), &plan, &file, &e), &e);
    plan.digests = digests;
    assert_ok(world_accept(&w, emk_buf_span(&file), &vault, NULL, &e), &e);
    assert_ok(world_open(&w, emk_buf_span(&vault), &opened, NULL, &e), &e);
    assert_bytes(emk_buf_span(&opened), emk_span_of(model, sizeof model));
    emk_buf_done(&file);
    emk_buf_done(&vault);
    emk_buf_done(&opened);
}

static void rejects_every_chunk_with_a_changed_byte(void **state)
{
    size_t first = head_len(SEALED) + 32;

    (void)state;
    for (size_t at = first; at < sealed.len; at += 9973) {
        emk_noticed noticed = EMK_NOTICED_NOTHING;
        emk_buf vault;
        emk_error e;

        sealed.p[at] ^= 4;
        assert_status(world_accept(&w, SEALED, &vault, &noticed, &e), EMK_E_SEALED, &e);
        assert_int_equal(noticed, EMK_NOTICED_CHUNK);
        assert_string_equal(e.what, "sealed: cannot be opened with the keys held here");
        sealed.p[at] ^= 4;
    }
}

static void rejects_chunks_in_another_order(void **state)
{
    static uint8_t chunk[EMK_CHUNK_LEN + 16];
    size_t first = head_len(SEALED) + 32;
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    uint8_t *a = sealed.p + first, *b = a + sizeof chunk;
    emk_buf vault;
    emk_error e;

    (void)state;
    memcpy(chunk, a, sizeof chunk);
    memcpy(a, b, sizeof chunk);
    memcpy(b, chunk, sizeof chunk);
    assert_status(world_accept(&w, SEALED, &vault, &noticed, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_CHUNK);
    memcpy(b, a, sizeof chunk);
    memcpy(a, chunk, sizeof chunk);
}

/* ---- step 2 ---- */

static emk_accept *accept_of(const emk_source *source)
{
    emk_accept_in in;
    emk_accept *a;
    emk_error e;

    world_accept_in(&w, source, &in);
    assert_ok(emk_accept_new(w.crypto, &in, &a, &e), &e);
    return a;
}

static void writes_once_and_with_1_to_6_threads(void **state)
{
    emk_source source = emk_source_from_span(SEALED);
    emk_accept *a = accept_of(&source);
    size_t len = (size_t)emk_accept_vault_len(a);
    uint8_t *room = emk_alloc(len, 1), id[16] = {0}, zeros[16] = {0};
    emk_sink sink = emk_sink_from_memory(room, len);
    emk_accept_out out = {.vault = &sink, .accepted = 1, .floor = 1};
    emk_error e;

    (void)state;
    assert_int_equal(emk_accept_model_len(a), MODEL_LEN);
    assert_status(emk_accept_write(a, &out, id, &e), EMK_E_USAGE, &e);
    out.threads = EMK_SEAL_THREADS_MAX + 1;
    assert_status(emk_accept_write(a, &out, id, &e), EMK_E_USAGE, &e);
    assert_memory_equal(id, zeros, 16);
    out.threads = EMK_SEAL_THREADS_MAX;
    assert_ok(emk_accept_write(a, &out, id, &e), &e);
    assert_memory_not_equal(id, zeros, 16);
    assert_status(emk_accept_write(a, &out, id, &e), EMK_E_USAGE, &e);
    emk_accept_free(a);
    emk_accept_free(NULL);
    emk_free(room);
}

static void two_acceptances_share_no_ciphertext(void **state)
{
    emk_buf a, b;
    emk_error e;

    (void)state;
    assert_ok(world_accept(&w, SEALED, &a, NULL, &e), &e);
    assert_ok(world_accept(&w, SEALED, &b, NULL, &e), &e);
    assert_int_equal(a.len, b.len);
    for (size_t i = EMK_VAULT_SLOT_A + 16; i + 16 <= EMK_VAULT_SLOT_A + 32; i++)
        assert_memory_not_equal(a.p + i, b.p + i, 16); /* the vault id */
    for (size_t i = a.len - MODEL_LEN; i + 16 < a.len - 40000; i += 16)
        assert_memory_not_equal(a.p + i, b.p + i, 16);
    assert_memory_equal(a.p + a.len - 40000, model + 110000, 40000); /* clear */
    emk_buf_done(&a);
    emk_buf_done(&b);
}

/* Nothing of the model stands in what is delivered or kept but what was asked to be clear. */
static void no_plaintext_of_sealed_regions_is_written(void **state)
{
    emk_buf vault;
    emk_error e;

    (void)state;
    assert_ok(world_accept(&w, SEALED, &vault, NULL, &e), &e);
    for (size_t i = 0; i < 110000; i += 5003) {
        assert_null(memmem(sealed.p, sealed.len, model + i, 12));
        assert_null(memmem(inner.p, inner.len, model + i, 12));
        assert_null(memmem(vault.p, vault.len, model + i, 12));
    }
    emk_buf_done(&vault);
}

/* From a source and into a sink that are called, one failure at every call there is. */
static void hands_on_every_failure_of_source_and_sink(void **state)
{
    uint8_t *room = NULL;
    uint64_t n;
    emk_status st = EMK_E_IO;

    (void)state;
    for (n = 1; st != EMK_OK; n++) {
        world_io from = {.from = SEALED, .fail_at = n};
        emk_source source = world_io_source(&from);
        emk_accept *a = NULL;
        uint8_t id[16];
        emk_accept_in in;
        emk_error e;

        world_accept_in(&w, &source, &in);
        st = emk_accept_new(w.crypto, &in, &a, &e);
        if (st == EMK_OK) {
            world_io to = {.cap = (size_t)emk_accept_vault_len(a)};
            emk_sink sink = world_io_sink(&to);
            emk_accept_out out = {.vault = &sink, .threads = 1};

            room = emk_alloc(to.cap, 1);
            to.to = room;
            st = emk_accept_write(a, &out, id, &e);
            emk_accept_free(a);
            emk_free(room);
        }
        if (st != EMK_OK)
            assert_status(st, EMK_E_IO, &e);
    }
    assert_true(n > 6);
    st = EMK_E_IO;
    for (n = 1; st != EMK_OK; n++) {
        emk_source source = emk_source_from_span(SEALED);
        emk_accept *a = accept_of(&source);
        world_io to = {.cap = (size_t)emk_accept_vault_len(a), .fail_at = n};
        emk_sink sink = world_io_sink(&to);
        emk_accept_out out = {.vault = &sink, .threads = 1};
        uint8_t id[16] = {0};
        emk_buf opened;
        emk_error e;

        to.to = room = emk_alloc(to.cap, 1);
        st = emk_accept_write(a, &out, id, &e);
        if (st != EMK_OK) {
            assert_status(st, EMK_E_IO, &e);
            /* what stands there is no vault that opens */
            assert_int_not_equal(world_open(&w, emk_span_of(room, to.cap), &opened, NULL, &e),
                                 EMK_OK);
        }
        emk_accept_free(a);
        emk_free(room);
    }
    assert_true(n > 7);
}

static void rejects_source_that_shrinks_while_it_is_read(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 12; n++) {
        world_io from = {.from = SEALED, .shrink_at = n};
        emk_source source = world_io_source(&from);
        emk_accept_out out = {.threads = 1};
        emk_accept *a = NULL;
        emk_accept_in in;
        uint8_t id[16];
        emk_status st;
        emk_error e;

        world_accept_in(&w, &source, &in);
        st = emk_accept_new(w.crypto, &in, &a, &e);
        if (st == EMK_OK) {
            size_t len = (size_t)emk_accept_vault_len(a);
            uint8_t *room = emk_alloc(len, 1);
            emk_sink sink = emk_sink_from_memory(room, len);

            out.vault = &sink;
            st = emk_accept_write(a, &out, id, &e);
            emk_accept_free(a);
            emk_free(room);
        }
        assert_status(st, from.calls >= n ? EMK_E_FORMAT : EMK_OK, &e);
    }
}

int main(void)
{
    int failed;

    make_all();
    failed = EMK_RUN(
        emk_rule(rejects_answer_to_another_request), emk_rule(rejects_file_for_another_ticket),
        emk_rule(rejects_policy_and_identity_that_are_not_the_tickets),
        emk_rule(rejects_sealer_whose_certificate_is_over),
        emk_rule(rejects_file_for_a_key_of_another_kind),
        emk_rule(rejects_file_of_another_issuer_device_or_request),
        emk_rule(rejects_file_that_is_cut_or_goes_on), emk_rule(rejects_weights_layer_sent_alone),
        emk_rule(takes_the_same_layer_in_a_fresh_wrapping),
        emk_rule(rejects_layers_by_different_signers),
        emk_rule(rejects_layers_with_different_certificates_of_one_signer),
        emk_rule(rejects_commitment_of_the_weights_layer),
        emk_rule(rejects_every_kind_of_segment_with_a_changed_byte),
        emk_rule(rejects_weights_layer_of_another_length),
        emk_rule(rejects_every_cut_of_the_weights_head),
        emk_rule(rejects_bytes_that_are_not_what_was_signed), emk_rule(takes_files_without_digests),
        emk_rule(rejects_every_chunk_with_a_changed_byte),
        emk_rule(rejects_chunks_in_another_order), emk_rule(writes_once_and_with_1_to_6_threads),
        emk_rule(two_acceptances_share_no_ciphertext),
        emk_rule(no_plaintext_of_sealed_regions_is_written),
        emk_rule(hands_on_every_failure_of_source_and_sink),
        emk_rule(rejects_source_that_shrinks_while_it_is_read));
    emk_buf_done(&sealed);
    emk_buf_done(&inner);
    emk_plan_done(&plan);
    world_done(&w);
    return failed;
}
