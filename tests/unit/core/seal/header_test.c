#include "core/seal/header.h"

#include "core/base/bytes.h"
#include "core/crypto/hash.h"
#include "tests/unit/core/seal/pieces.h"

static world w;
static emk_header parsed; /* large */

static emk_status make_and_parse(const bent_header *b, emk_error *e)
{
    emk_buf bytes;
    emk_status st;

    bent_header_make(b, &w, &bytes, NULL);
    st = emk_header_parse(w.crypto, emk_buf_span(&bytes), b->layer, &parsed, e);
    emk_buf_done(&bytes);
    return st;
}

static void expect(const bent_header *b, emk_status want)
{
    emk_error e;

    assert_status(make_and_parse(b, &e), want, &e);
}

/* ---- preamble ---- */

static void expect_preamble(size_t at, uint8_t value, emk_status want)
{
    uint8_t p[16] = {0x89, 'E', 'A', 'R', 'M', 0x0D, 0x0A, 0x1A, 1, 2, 0, 0, 0, 0, 0, 1};
    uint32_t len = 77;
    emk_error e;

    p[at] = value;
    assert_status(emk_preamble_read(p, EMK_LAYER_WEIGHTS, &len, &e), want, &e);
    if (want != EMK_OK)
        assert_int_equal(len, 77);
}

static void rejects_another_magic(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++)
        expect_preamble(i, 0, EMK_E_FORMAT);
}

static void rejects_another_version(void **state)
{
    (void)state;
    expect_preamble(8, 1, EMK_OK);
    expect_preamble(8, 0, EMK_E_UNSUPPORTED);
    expect_preamble(8, 2, EMK_E_UNSUPPORTED);
}

static void rejects_another_layer(void **state)
{
    (void)state;
    expect_preamble(9, 0, EMK_E_FORMAT);
    expect_preamble(9, 1, EMK_E_FORMAT);
    expect_preamble(9, 3, EMK_E_FORMAT);
}

static void rejects_flags(void **state)
{
    (void)state;
    expect_preamble(10, 1, EMK_E_UNSUPPORTED);
    expect_preamble(11, 0x80, EMK_E_UNSUPPORTED);
}

static void rejects_header_of_no_bytes_and_of_65537(void **state)
{
    uint8_t p[16] = {0x89, 'E', 'A', 'R', 'M', 0x0D, 0x0A, 0x1A, 1, 2};
    static const struct {
        uint32_t len;
        emk_status want;
    } rows[] = {{0, EMK_E_LIMIT},
                {1, EMK_OK},
                {65536, EMK_OK},
                {65537, EMK_E_LIMIT},
                {UINT32_MAX, EMK_E_LIMIT}};
    uint32_t len;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_store_u32be(p + 12, rows[i].len);
        assert_status(emk_preamble_read(p, EMK_LAYER_WEIGHTS, &len, &e), rows[i].want, &e);
    }
}

static void rejects_header_that_does_not_end_at_its_length(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    expect(&b, EMK_OK);
    b.length_change = 1;
    expect(&b, EMK_E_FORMAT);
    b.length_change = -1;
    expect(&b, EMK_E_FORMAT);
}

static void rejects_every_cut_of_a_header(void **state)
{
    bent_header b;
    emk_buf bytes;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    bent_header_make(&b, &w, &bytes, NULL);
    for (size_t len = 0; len < bytes.len; len++) {
        emk_store_u32be(bytes.p + 12, len > 16 ? (uint32_t)len - 16 : 1);
        assert_status(
            emk_header_parse(w.crypto, emk_span_of(bytes.p, len), EMK_LAYER_WEIGHTS, &parsed, &e),
            EMK_E_FORMAT, &e);
    }
    emk_buf_done(&bytes);
}

/* ---- core ---- */

static void reads_every_field_of_both_layers(void **state)
{
    bent_header b;
    emk_buf bytes;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    bent_header_make(&b, &w, &bytes, NULL);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&bytes), EMK_LAYER_WEIGHTS, &parsed, &e), &e);
    assert_int_equal(parsed.core.content_alg, EMK_CONTENT_WEIGHTS_AES);
    assert_int_equal(parsed.core.plain_len, 5000);
    assert_int_equal(parsed.core.suite.kem, EMK_KEM_P256);
    assert_int_equal(parsed.core.created_day, WORLD_NOW / 86400);
    assert_int_equal(parsed.core.sealed_part_len, 100);
    assert_memory_equal(parsed.core.ticket_id, w.ticket_id, 16);
    assert_memory_equal(parsed.core.ticket_hash, w.ticket_hash, 32);
    assert_bytes(parsed.core.policy, emk_buf_span(&w.policy_bytes));
    assert_int_equal(parsed.core.certificate.len, 0);
    emk_buf_done(&bytes);
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_bytes(&b.core, 8, emk_span_of("cert", 4));
    bent_header_make(&b, &w, &bytes, NULL);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&bytes), EMK_LAYER_FILE, &parsed, &e), &e);
    assert_memory_equal(parsed.core.request_hash, w.request_hash, 32);
    assert_bytes(parsed.core.certificate, emk_span_of("cert", 4));
    emk_buf_done(&bytes);
}

static void rejects_core_without_one_of_its_keys(void **state)
{
    static const int64_t file[] = {1, 2, 3, 4, 5, 6, 7, 9, 11};
    static const int64_t weights[] = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15};
    bent_header b;

    (void)state;
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        bent_header_init(&b, &w, EMK_LAYER_FILE);
        pieces_drop(&b.core, file[i]);
        expect(&b, EMK_E_FORMAT);
    }
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
        pieces_drop(&b.core, weights[i]);
        expect(&b, EMK_E_FORMAT);
    }
}

static void rejects_keys_that_core_does_not_have(void **state)
{
    static const int64_t keys[] = {0, 10, 16, 31, 32, 33, 41, -1, -4, INT64_MAX, INT64_MIN + 1};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (int layer = 1; layer <= 2; layer++) {
            bent_header b;

            bent_header_init(&b, &w, (emk_layer)layer);
            pieces_int(&b.core, keys[i], 1);
            expect(&b, EMK_E_FORMAT);
        }
    }
}

static void rejects_keys_of_the_other_layer(void **state)
{
    static const int64_t of_weights[] = {12, 13, 14, 15};
    bent_header b, other;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_bytes(&b.core, 11, emk_span_of(w.request_hash, 32));
    expect(&b, EMK_E_FORMAT);
    bent_header_init(&other, &w, EMK_LAYER_WEIGHTS);
    for (size_t i = 0; i < 4; i++) {
        const piece *p = &other.core.v[0];

        for (size_t k = 0; k < other.core.n; k++)
            if (other.core.v[k].key == of_weights[i])
                p = &other.core.v[k];
        bent_header_init(&b, &w, EMK_LAYER_FILE);
        pieces_raw(&b.core, of_weights[i], emk_span_of(p->raw, p->len));
        expect(&b, EMK_E_FORMAT);
    }
}

static void rejects_layer_in_core_that_is_not_the_preambles(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_int(&b.core, 2, 2);
    expect(&b, EMK_E_FORMAT);
}

static void rejects_content_algorithms_of_the_other_layer_and_none(void **state)
{
    static const int64_t algs[] = {-65600, -65601, -65602, -65603, -65604, -65605, 0, 1, 3, 65601};

    (void)state;
    for (int layer = 1; layer <= 2; layer++) {
        for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
            bool good = layer == 1 ? algs[i] == -65601 || algs[i] == -65602
                                   : algs[i] == -65603 || algs[i] == -65604;
            bent_header b;

            bent_header_init(&b, &w, (emk_layer)layer);
            pieces_int(&b.core, 3, algs[i]);
            expect(&b, good ? EMK_OK : EMK_E_FORMAT);
        }
    }
}

static void rejects_another_unit(void **state)
{
    static const int64_t units[] = {0, 1, 65535, 65537, 1048575, 1048577, 4096};
    bent_header b;

    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        bent_header_init(&b, &w, EMK_LAYER_FILE);
        pieces_int(&b.core, 4, units[i]);
        expect(&b, EMK_E_FORMAT);
    }
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_int(&b.core, 4, 1048576);
    expect(&b, EMK_E_FORMAT);
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_int(&b.core, 4, 65536);
    expect(&b, EMK_E_FORMAT);
}

static void rejects_model_longer_than_256_gib(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_int(&b.core, 5, INT64_C(1) << 38);
    expect(&b, EMK_OK);
    pieces_int(&b.core, 5, (INT64_C(1) << 38) + 1);
    expect(&b, EMK_E_LIMIT);
    pieces_hex(&b.core, 5, "1BFFFFFFFFFFFFFFFF");
    expect(&b, EMK_E_LIMIT);
    pieces_int(&b.core, 5, -1);
    expect(&b, EMK_E_FORMAT);
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_hex(&b.core, 5, "1BFFFFFFFFFFFFFFFF");
    expect(&b, EMK_E_LIMIT);
}

static void rejects_mode_psk_as_unsupported(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_hex(&b.core, 6, "84 1820 01 03 01");
    expect(&b, EMK_E_UNSUPPORTED);
    pieces_hex(&b.core, 6, "84 1820 01 03 02");
    expect(&b, EMK_E_UNSUPPORTED);
}

/* A weights header under a lease, made so far that only its envelopes would not open. */
static void under_a_lease(bent_header *b)
{
    uint8_t point[65] = {4};

    bent_header_init(b, &w, EMK_LAYER_WEIGHTS);
    pieces_hex(&b->core, 6, "84 10 01 02 01");
    pieces_bytes(&b->core, 10, emk_span_of(point, sizeof point));
    pieces_bytes(&b->recipient_unprotected, -5, emk_span_of(point, sizeof point));
}

static void lease_key_mode_and_psk_ids_go_together(void **state)
{
    uint8_t point[66] = {4};
    bent_header b;

    (void)state;
    under_a_lease(&b);
    expect(&b, EMK_OK);
    pieces_drop(&b.core, 10);
    expect(&b, EMK_E_UNSUPPORTED); /* a mode of some other version */
    under_a_lease(&b);
    pieces_drop(&b.recipient_unprotected, -5);
    expect(&b, EMK_E_FORMAT);
    under_a_lease(&b);
    pieces_hex(&b.core, 6, "84 10 01 02 00");
    expect(&b, EMK_E_FORMAT);
    pieces_drop(&b.core, 10);
    expect(&b, EMK_E_FORMAT); /* a psk_id alone */
    under_a_lease(&b);
    pieces_hex(&b.core, 6, "84 10 01 02 02");
    expect(&b, EMK_E_UNSUPPORTED);
    for (size_t len = 64; len <= 66; len += 2) {
        under_a_lease(&b);
        pieces_bytes(&b.core, 10, emk_span_of(point, len));
        expect(&b, EMK_E_FORMAT);
    }
}

static void file_layer_has_no_lease(void **state)
{
    uint8_t point[65] = {4};
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_bytes(&b.core, 10, emk_span_of(point, sizeof point));
    expect(&b, EMK_E_FORMAT);
}

static void rejects_suites_that_are_not_listed_or_not_its_envelopes(void **state)
{
    static const struct {
        const char *hex;
        emk_status want;
    } rows[] = {
        {"84 1820 02 03 00", EMK_E_UNSUPPORTED}, /* another KDF */
        {"84 1820 01 02 00", EMK_E_UNSUPPORTED}, /* AES with X25519 */
        {"84 10 01 03 00", EMK_E_UNSUPPORTED},   /* ChaCha20 with P-256 */
        {"84 1821 01 03 00", EMK_E_UNSUPPORTED}, /* X448 */
        {"84 00 00 00 00", EMK_E_UNSUPPORTED},
        {"84 10 01 02 00", EMK_E_FORMAT}, /* P-256, but the envelope is for X25519 */
    };
    bent_header b;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bent_header_init(&b, &w, EMK_LAYER_FILE);
        pieces_hex(&b.core, 6, rows[i].hex);
        expect(&b, rows[i].want);
    }
}

static void rejects_suite_of_another_shape(void **state)
{
    static const char *const suites[] = {
        "83 1820 01 03",  "85 1820 01 03 00 00", "84 1A00010020 01 03 00",
        "84 20 01 03 00", "44 20010300",         "A2 01 01 02 02"};
    bent_header b;

    (void)state;
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        bent_header_init(&b, &w, EMK_LAYER_FILE);
        pieces_hex(&b.core, 6, suites[i]);
        expect(&b, EMK_E_FORMAT);
    }
}

/* X25519 and X-Wing are for one delivery; a device's own key is P-256. */
static void rejects_one_time_kems_in_the_weights_layer(void **state)
{
    bent_header b;
    uint8_t enc[32] = {0};

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_hex(&b.core, 6, "84 1820 01 03 00");
    pieces_int(&b.recipient_protected, 1, 50);
    pieces_bytes(&b.recipient_unprotected, -4, emk_span_of(enc, 32));
    expect(&b, EMK_E_UNSUPPORTED);
    pieces_hex(&b.core, 6, "84 19647A 01 03 00");
    pieces_int(&b.recipient_protected, 1, -65611);
    expect(&b, EMK_E_UNSUPPORTED);
}

static void rejects_fixed_fields_of_other_lengths(void **state)
{
    static const struct {
        int layer;
        int64_t key;
        size_t len;
    } rows[] = {{1, 1, 16}, {1, 7, 8}, {1, 11, 32}, {2, 12, 16}, {2, 13, 32}};
    uint8_t bytes[33] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bent_header b;

        bent_header_init(&b, &w, (emk_layer)rows[i].layer);
        pieces_bytes(&b.core, rows[i].key, emk_span_of(bytes, rows[i].len));
        expect(&b, EMK_OK);
        pieces_bytes(&b.core, rows[i].key, emk_span_of(bytes, rows[i].len - 1));
        expect(&b, EMK_E_FORMAT);
        pieces_bytes(&b.core, rows[i].key, emk_span_of(bytes, rows[i].len + 1));
        expect(&b, EMK_E_FORMAT);
        pieces_text(&b.core, rows[i].key, "sixteen bytes ..");
        expect(&b, EMK_E_FORMAT);
    }
}

static void rejects_certificate_of_no_bytes(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_bytes(&b.core, 8, emk_span_of("", 0));
    expect(&b, EMK_E_FORMAT);
    pieces_text(&b.core, 8, "cert");
    expect(&b, EMK_E_FORMAT);
}

static void rejects_sealed_part_of_no_bytes_and_of_more_than_8_mib(void **state)
{
    static const struct {
        const char *hex;
        emk_status want;
    } rows[] = {
        {"82 01 5820", EMK_OK},
        {"82 00 5820", EMK_E_LIMIT},
        {"82 1A00800000 5820", EMK_OK},
        {"82 1A00800001 5820", EMK_E_LIMIT},
        {"82 1BFFFFFFFFFFFFFFFF 5820", EMK_E_LIMIT},
        {"82 20 5820", EMK_E_FORMAT},
        {"82 01 7820", EMK_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t raw[64] = {0};
        size_t n = emk_unhex(rows[i].hex, raw, sizeof raw);
        bent_header b;

        bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
        pieces_raw(&b.core, 15, emk_span_of(raw, n + 32));
        expect(&b, rows[i].want);
    }
}

static void rejects_sealed_part_of_another_shape(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_hex(&b.core, 15, "81 01");
    expect(&b, EMK_E_FORMAT);
    pieces_hex(&b.core, 15, "82 01 5801 00");
    expect(&b, EMK_E_FORMAT);
    pieces_hex(&b.core, 15, "82 01 41 00");
    expect(&b, EMK_E_FORMAT);
    pieces_int(&b.core, 15, 1);
    expect(&b, EMK_E_FORMAT);
}

static void rejects_policy_longer_than_any(void **state)
{
    uint8_t bytes[EMK_POLICY_MAX + 1] = {0};
    bent_header b;
    emk_error e;
    emk_status st;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_bytes(&b.core, 14, emk_span_of(bytes, sizeof bytes));
    st = make_and_parse(&b, &e);
    assert_true(st == EMK_E_LIMIT || st == EMK_E_FORMAT);
}

/* ---- payload and recipients ---- */

static void rejects_another_payload_version(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    b.version = 2;
    expect(&b, EMK_E_UNSUPPORTED);
    b.version = 0;
    expect(&b, EMK_E_UNSUPPORTED);
}

static void takes_64_recipients_and_rejects_none_and_65(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    b.n_recipients = 64;
    expect(&b, EMK_OK);
    assert_int_equal(parsed.n_recipients, 64);
    b.n_recipients = 65;
    expect(&b, EMK_E_LIMIT);
    b.n_recipients = 0;
    expect(&b, EMK_E_FORMAT);
}

static void rejects_recipient_without_hint_in_the_weights_layer(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_WEIGHTS);
    pieces_drop(&b.recipient_unprotected, -65541);
    expect(&b, EMK_E_FORMAT);
}

static void rejects_recipient_with_hint_in_the_file_layer(void **state)
{
    bent_header b;
    uint8_t hint[4] = {0};

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_bytes(&b.recipient_unprotected, -65541, emk_span_of(hint, 4));
    expect(&b, EMK_E_FORMAT);
}

static void rejects_recipient_with_another_alg_than_the_suites(void **state)
{
    bent_header b;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_int(&b.recipient_protected, 1, 53);
    expect(&b, EMK_E_FORMAT);
}

static void rejects_header_of_the_other_type(void **state)
{
    bent_header b;
    emk_buf bytes;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    bent_header_make(&b, &w, &bytes, NULL);
    bytes.p[9] = EMK_LAYER_WEIGHTS; /* only the preamble says weights */
    assert_status(emk_header_parse(w.crypto, emk_buf_span(&bytes), EMK_LAYER_WEIGHTS, &parsed, &e),
                  EMK_E_FORMAT, &e);
    emk_buf_done(&bytes);
}

/* ---- signature ---- */

static emk_status verify(const bent_header *b, uint64_t now, uint8_t *made, emk_error *e)
{
    uint8_t hh[32] = {0};
    emk_buf bytes;
    emk_status st;

    bent_header_make(b, &w, &bytes, made);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&bytes), b->layer, &parsed, e), e);
    st = emk_header_verify(w.crypto, &parsed, w.issuer_public, now, hh, e);
    if (st == EMK_OK && made)
        assert_memory_equal(hh, made, 32);
    if (st != EMK_OK)
        assert_int_equal(hh[0] | hh[31], 0);
    emk_buf_done(&bytes);
    return st;
}

static void verifies_header_of_the_issuer_and_of_a_certified_sealer(void **state)
{
    uint8_t hh[32];
    bent_header b;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    assert_ok(verify(&b, WORLD_NOW, hh, &e), &e);
    b.signer = &w.sealer;
    pieces_bytes(&b.core, 7, emk_span_of(w.sealer.kid, 8));
    pieces_bytes(&b.core, 8, emk_buf_span(&w.certificate));
    assert_ok(verify(&b, WORLD_NOW, hh, &e), &e);
    assert_status(verify(&b, WORLD_NOW + 1001, NULL, &e), EMK_E_SIGNATURE, &e);
    pieces_int(&b.core, 9, WORLD_NOW / 86400 + 2);
    assert_status(verify(&b, WORLD_NOW, NULL, &e), EMK_E_SIGNATURE, &e);
}

static void rejects_sealer_without_certificate(void **state)
{
    bent_header b;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    b.signer = &w.sealer;
    pieces_bytes(&b.core, 7, emk_span_of(w.sealer.kid, 8));
    assert_status(verify(&b, WORLD_NOW, NULL, &e), EMK_E_SIGNATURE, &e);
}

static void rejects_issuers_own_header_that_carries_a_certificate(void **state)
{
    bent_header b;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_bytes(&b.core, 8, emk_buf_span(&w.certificate)); /* of another key than signed */
    assert_status(verify(&b, WORLD_NOW, NULL, &e), EMK_E_SIGNATURE, &e);
}

static void rejects_signer_in_core_that_is_not_kid(void **state)
{
    bent_header b;
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    pieces_bytes(&b.core, 7, emk_span_of(w.sealer.kid, 8));
    assert_status(verify(&b, WORLD_NOW, NULL, &e), EMK_E_SIGNATURE, &e);
}

/* The preamble is signed with the header: a header is good behind one preamble only. */
static void rejects_preamble_that_was_not_signed(void **state)
{
    bent_header b;
    emk_buf bytes;
    uint8_t hh[32];
    emk_error e;

    (void)state;
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    b.preamble_at = 15;
    b.preamble_to = 0x77; /* signed so, then put right */
    bent_header_make(&b, &w, &bytes, NULL);
    emk_store_u32be(bytes.p + 12, (uint32_t)bytes.len - 16);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&bytes), EMK_LAYER_FILE, &parsed, &e), &e);
    assert_status(emk_header_verify(w.crypto, &parsed, w.issuer_public, WORLD_NOW, hh, &e),
                  EMK_E_SIGNATURE, &e);
    emk_buf_done(&bytes);
}

static void made_headers_are_what_is_parsed(void **state)
{
    emk_header_in in = {.signer = &w.issuer,
                        .to = {EMK_KEM_X25519, emk_kem_private_public(w.request_key)}};
    uint8_t cek[32] = {1}, hh[32], again[32], core_hash[32];
    emk_buf bytes;
    emk_error e;

    (void)state;
    in.cek = cek;
    in.core.layer = EMK_LAYER_FILE;
    in.core.content_alg = EMK_CONTENT_FILE_CHACHA;
    in.core.plain_len = 12345;
    emk_buf_init(&bytes, EMK_HEADER_MAX + 16);
    assert_ok(emk_header_make(w.crypto, &in, &bytes, hh, &e), &e);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&bytes), EMK_LAYER_FILE, &parsed, &e), &e);
    assert_ok(emk_header_verify(w.crypto, &parsed, w.issuer_public, 0, again, &e), &e);
    assert_memory_equal(hh, again, 32);
    assert_int_equal(parsed.core.plain_len, 12345);
    memcpy(core_hash, parsed.core_hash, 32);
    /* hh is SHA-256 of the whole Sig_structure, core_hash of the core alone */
    assert_memory_not_equal(hh, core_hash, 32);
    emk_buf_done(&bytes);
    emk_buf_init(&bytes, 100); /* too small: unchanged */
    assert_ok(emk_buf_append(&bytes, emk_span_of("x", 1), &e), &e);
    assert_status(emk_header_make(w.crypto, &in, &bytes, hh, &e), EMK_E_LIMIT, &e);
    assert_int_equal(bytes.len, 1);
    emk_buf_done(&bytes);
}

/* ---- unseal ---- */

static void wrong_key_commitment_and_envelope_are_one_error(void **state)
{
    bent_header b;
    uint8_t hh[32], commit[32], other[32] = {0};
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_unseal_in in = {.layer = EMK_LAYER_FILE,
                        .key = w.request_key,
                        .hh = hh,
                        .commit = commit,
                        .noticed = &noticed};
    emk_error one, e;
    emk_schedule s = {0};
    emk_buf bytes;

    (void)state;
    (void)emk_fail_sealed(&one);
    bent_header_init(&b, &w, EMK_LAYER_FILE);
    b.real = true;
    b.cek[0] = 5;
    bent_header_make(&b, &w, &bytes, hh);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&bytes), EMK_LAYER_FILE, &parsed, &e), &e);
    in.recipients = parsed.recipients;
    in.n_recipients = parsed.n_recipients;
    in.context =
        (emk_envelope_context){.content_alg = parsed.core.content_alg, .extra = parsed.core_hash};
    assert_ok(emk_schedule_init(&s, w.crypto, EMK_LAYER_FILE, b.cek, hh, &e), &e);
    memcpy(commit, s.commit, 32);
    emk_schedule_done(&s);
    assert_ok(emk_unseal(w.crypto, &in, &s, &e), &e);
    emk_schedule_done(&s);
    assert_int_equal(noticed, EMK_NOTICED_NOTHING);

    in.commit = other;
    assert_status(emk_unseal(w.crypto, &in, &s, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_COMMIT);
    assert_string_equal(e.what, one.what);
    assert_int_equal(e.where, one.where);

    noticed = EMK_NOTICED_NOTHING;
    in.commit = commit;
    in.context.extra = other;
    assert_status(emk_unseal(w.crypto, &in, &s, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_HPKE);
    assert_string_equal(e.what, one.what);
    assert_int_equal(e.where, one.where);

    noticed = EMK_NOTICED_NOTHING;
    in.key = w.device_key; /* of another KEM */
    assert_status(emk_unseal(w.crypto, &in, &s, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_RECIPIENT);
    assert_string_equal(e.what, one.what);
    emk_buf_done(&bytes);
}

static void keeps_the_first_thing_noticed(void **state)
{
    emk_noticed n = EMK_NOTICED_NOTHING;

    (void)state;
    assert_int_equal(emk_notice(&n, EMK_NOTICED_CBOR, EMK_OK), EMK_OK);
    assert_int_equal(n, EMK_NOTICED_NOTHING);
    assert_int_equal(emk_notice(&n, EMK_NOTICED_CBOR, EMK_E_FORMAT), EMK_E_FORMAT);
    assert_int_equal(emk_notice(&n, EMK_NOTICED_HPKE, EMK_E_SEALED), EMK_E_SEALED);
    assert_int_equal(n, EMK_NOTICED_CBOR);
    assert_int_equal(emk_notice(NULL, EMK_NOTICED_HPKE, EMK_E_SEALED), EMK_E_SEALED);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(
        emk_rule(rejects_another_magic), emk_rule(rejects_another_version),
        emk_rule(rejects_another_layer), emk_rule(rejects_flags),
        emk_rule(rejects_header_of_no_bytes_and_of_65537),
        emk_rule(rejects_header_that_does_not_end_at_its_length),
        emk_rule(rejects_every_cut_of_a_header), emk_rule(reads_every_field_of_both_layers),
        emk_rule(rejects_core_without_one_of_its_keys),
        emk_rule(rejects_keys_that_core_does_not_have), emk_rule(rejects_keys_of_the_other_layer),
        emk_rule(rejects_layer_in_core_that_is_not_the_preambles),
        emk_rule(rejects_content_algorithms_of_the_other_layer_and_none),
        emk_rule(rejects_another_unit), emk_rule(rejects_model_longer_than_256_gib),
        emk_rule(rejects_mode_psk_as_unsupported), emk_rule(lease_key_mode_and_psk_ids_go_together),
        emk_rule(file_layer_has_no_lease),
        emk_rule(rejects_suites_that_are_not_listed_or_not_its_envelopes),
        emk_rule(rejects_suite_of_another_shape),
        emk_rule(rejects_one_time_kems_in_the_weights_layer),
        emk_rule(rejects_fixed_fields_of_other_lengths), emk_rule(rejects_certificate_of_no_bytes),
        emk_rule(rejects_sealed_part_of_no_bytes_and_of_more_than_8_mib),
        emk_rule(rejects_sealed_part_of_another_shape), emk_rule(rejects_policy_longer_than_any),
        emk_rule(rejects_another_payload_version),
        emk_rule(takes_64_recipients_and_rejects_none_and_65),
        emk_rule(rejects_recipient_without_hint_in_the_weights_layer),
        emk_rule(rejects_recipient_with_hint_in_the_file_layer),
        emk_rule(rejects_recipient_with_another_alg_than_the_suites),
        emk_rule(rejects_header_of_the_other_type),
        emk_rule(verifies_header_of_the_issuer_and_of_a_certified_sealer),
        emk_rule(rejects_sealer_without_certificate),
        emk_rule(rejects_issuers_own_header_that_carries_a_certificate),
        emk_rule(rejects_signer_in_core_that_is_not_kid),
        emk_rule(rejects_preamble_that_was_not_signed), emk_rule(made_headers_are_what_is_parsed),
        emk_rule(wrong_key_commitment_and_envelope_are_one_error),
        emk_rule(keeps_the_first_thing_noticed));
    world_done(&w);
    return failed;
}
