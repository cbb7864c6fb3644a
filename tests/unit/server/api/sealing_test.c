/* Parts of sealing that need no server: names, and what an emk_seals refuses to begin with. */
#include "server/api/sealing.h"

#include "core/seal/certificate.h"
#include "server/api/catalogue.h"
#include "server/api/certified.h"
#include "tests/support/test.h"

typedef struct world {
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *sealing_key;
    emk_signer issuer;
    emk_verify_key *issuer_public;
    emk_buf certificate;
    emk_keyholder keyholder;
    emk_seals *seals;
    emk_api api;
} world;

static void make_key(world *w, uint8_t seed, emk_sign_key **out)
{
    uint8_t priv[EMK_SIGN_PRIVATE_LEN];
    emk_error e = {0};

    memset(priv, seed, sizeof priv);
    assert_ok(
        emk_sign_key_new(w->crypto, EMK_SIGN_ED25519, emk_span_of(priv, sizeof priv), out, &e), &e);
}

static uint64_t clock_of(void *self)
{
    (void)self;
    return 1000;
}

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_sealing_certificate cert = {.public_len = 32, .not_before = 1, .not_after = 2000};
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    make_key(w, 1, &w->issuer_key);
    make_key(w, 2, &w->sealing_key);
    assert_ok(emk_signer_from_key(w->crypto, w->issuer_key, &w->issuer, &e), &e);
    assert_ok(
        emk_cose_verify_key(w->crypto, emk_sign_key_public(w->issuer_key), &w->issuer_public, &e),
        &e);
    memcpy(cert.public_key, emk_sign_key_public(w->sealing_key).p, 32);
    emk_buf_init(&w->certificate, EMK_CERTIFICATE_MAX);
    assert_ok(emk_sealing_certificate_make(w->crypto, &w->issuer, &cert, &w->certificate, &e), &e);
    memcpy(w->keyholder.sealing_public, cert.public_key, 32);
    w->keyholder.sealing_public_len = 32;
    assert_ok(emk_records_open_memory(&w->api.records, &e), &e);
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_seals_free(w->seals);
    emk_records_close(&w->api.records);
    emk_buf_done(&w->certificate);
    emk_verify_key_free(w->issuer_public);
    emk_sign_key_free(w->sealing_key);
    emk_sign_key_free(w->issuer_key);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static emk_status begin(world *w, emk_error *e)
{
    emk_seals_config c = {.crypto = w->crypto,
                          .keyholder = &w->keyholder,
                          .issuer = w->issuer_public,
                          .certificate = emk_buf_span(&w->certificate)};

    return emk_seals_new(&c, &w->seals, e);
}

static void begins_with_its_certificate(void **state)
{
    world *w = *state;
    unsigned running = 9, cached = 9;
    emk_error e = {0};

    assert_ok(begin(w, &e), &e);
    emk_seals_state_get(w->seals, &running, &cached);
    assert_int_equal(running + cached, 0);
}

static void rejects_a_certificate_of_another_key_or_issuer(void **state)
{
    world *w = *state;
    emk_error e = {0};

    w->keyholder.sealing_public[0] ^= 1;
    assert_status(begin(w, &e), EMK_E_USAGE, &e);
    w->keyholder.sealing_public[0] ^= 1;
    w->certificate.p[w->certificate.len - 1] ^= 1;
    assert_status(begin(w, &e), EMK_E_SIGNATURE, &e);
    w->certificate.len = 0;
    assert_status(begin(w, &e), EMK_E_FORMAT, &e);
    assert_null(w->seals);
}

static void rotations_without_end_find_a_place(void **state)
{
    world *w = *state;
    emk_sealing_certificate cert = {.public_len = 32, .not_before = 1};
    emk_error e = {0};

    assert_ok(begin(w, &e), &e);
    memcpy(cert.public_key, emk_sign_key_public(w->sealing_key).p, 32);
    for (unsigned i = 0; i < 3 * EMK_CERTIFIED_MAX; i++) {
        emk_buf made;

        emk_buf_init(&made, EMK_CERTIFICATE_MAX);
        cert.not_after = 2000 + i;
        assert_ok(emk_sealing_certificate_make(w->crypto, &w->issuer, &cert, &made, &e), &e);
        assert_ok(emk_seals_certify(w->seals, emk_buf_span(&made), w->issuer_public,
                                    emk_sign_key_public(w->sealing_key), &e),
                  &e);
        emk_buf_done(&made);
    }
}

static void a_certificate_in_use_is_not_overwritten(void **state)
{
    emk_certified_key fresh = {.len = 1};
    const emk_certified_key *held[EMK_CERTIFIED_MAX];
    emk_certified c = {.now = 0};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_lock_new(&c.lock, &e), &e);
    for (uint8_t i = 0; i < EMK_CERTIFIED_MAX; i++) {
        fresh.bytes[0] = i;
        assert_ok(emk_certified_put(&c, &fresh, &e), &e);
        held[i] = emk_certified_take(&c);
    }
    assert_ok(emk_certified_put(&c, &fresh, &e), &e); /* the same again */
    fresh.bytes[0] = 100;
    assert_status(emk_certified_put(&c, &fresh, &e), EMK_E_LIMIT, &e);
    for (uint8_t i = 0; i < EMK_CERTIFIED_MAX; i++)
        assert_int_equal(held[i]->bytes[0], i);
    emk_certified_give(&c, held[3]);
    assert_ok(emk_certified_put(&c, &fresh, &e), &e);
    assert_ptr_equal(emk_certified_take(&c), held[3]);
    assert_int_equal(held[3]->bytes[0], 100);
    fresh.bytes[0] = 101;
    assert_status(emk_certified_put(&c, &fresh, &e), EMK_E_LIMIT, &e);
    emk_lock_free(c.lock);
}

static void a_server_without_a_key_does_not_seal(void **state)
{
    world *w = *state;
    emk_sealed_blob blob;
    emk_error e = {0};

    assert_status(emk_seal_catalogue(&w->api, emk_span_str("x"), &blob, &e), EMK_E_UNSUPPORTED, &e);
}

static void a_ticket_of_nobody_is_refused(void **state)
{
    world *w = *state;
    emk_sealed_blob blob;
    emk_error e = {0};

    assert_ok(begin(w, &e), &e);
    w->api.seals = w->seals;
    assert_status(emk_seal_catalogue(&w->api, emk_span_str("x"), &blob, &e), EMK_E_BUSY, &e);
    w->api.issuer = w->issuer_public;
    w->api.blobs.ops = (const emk_blobs_ops *)w; /* never called */
    assert_status(emk_seal_catalogue(&w->api, emk_span_str("x"), &blob, &e), EMK_E_FORMAT, &e);
}

static void names_are_read_as_they_are_written(void **state)
{
    world *w = *state;
    uint8_t id[EMK_BLOB_ID_LEN], again[EMK_BLOB_ID_LEN];
    char text[EMK_BLOB_ID_CHARS + 1], etag[EMK_BLOB_ETAG_MAX], other[EMK_BLOB_ETAG_MAX];
    size_t len;
    emk_error e = {0};

    memset(id, 0xA5, sizeof id);
    assert_ok(emk_base64url_encode(emk_span_of(id, sizeof id), text, sizeof text, &len, &e), &e);
    assert_ok(emk_blob_id_parse(emk_span_str(text), again, &e), &e);
    assert_memory_equal(id, again, sizeof id);
    text[0] = '!';
    assert_status(emk_blob_id_parse(emk_span_str(text), again, &e), EMK_E_FORMAT, &e);
    assert_status(emk_blob_id_parse(emk_span_of(text, 42), again, &e), EMK_E_FORMAT, &e);
    assert_ok(emk_blob_etag(w->crypto, id, etag, &e), &e);
    id[31] ^= 1;
    assert_ok(emk_blob_etag(w->crypto, id, other, &e), &e);
    assert_string_not_equal(etag, other);
    assert_int_equal(strlen(etag), EMK_BLOB_ETAG_MAX - 4);
    assert_int_equal(etag[0], '"');
}

static void rejects_names_of_models_that_are_none(void **state)
{
    static const char *const WRONG[] = {"", "a/b", "a b", "a%", "\xC3\xA4", "a\n"};
    char longest[EMK_RECORD_ID_MAX + 1] = "";
    emk_model_id id;
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        assert_status(emk_model_id_make(emk_span_str(WRONG[i]), emk_span_str("1"), &id, &e),
                      EMK_E_FORMAT, &e);
        assert_status(emk_model_id_make(emk_span_str("a"), emk_span_str(WRONG[i]), &id, &e),
                      EMK_E_FORMAT, &e);
    }
    memset(longest, 'a', EMK_RECORD_ID_MAX - 2);
    assert_ok(emk_model_id_make(emk_span_str(longest), emk_span_str("1"), &id, &e), &e);
    assert_int_equal(strlen(id.text), EMK_RECORD_ID_MAX);
    assert_status(emk_model_id_make(emk_span_str(longest), emk_span_str("12"), &id, &e),
                  EMK_E_LIMIT, &e);
}

static void put_version(world *w, const char *version, uint64_t release, bool withdrawn)
{
    emk_model_entity m = {.release = release, .withdrawn = withdrawn, .name = "cats"};
    emk_error e = {0};

    snprintf(m.version, sizeof m.version, "%s", version);
    assert_ok(emk_catalogue_add(&w->api, &m, &e), &e);
}

static void an_empty_version_is_the_newest(void **state)
{
    world *w = *state;
    static emk_model_entity m;
    emk_catalogue_ask ask = {.name = emk_span_str("cats")};
    char version[16];
    emk_error e = {0};

    assert_status(emk_catalogue_find(&w->api.records, &ask, &m, NULL, &e), EMK_E_NOT_FOUND, &e);
    for (unsigned i = 0; i < 200; i++) { /* several scans */
        snprintf(version, sizeof version, "%u", i);
        put_version(w, version, i == 77 ? 10 : 1, false);
    }
    put_version(w, "gone", 20, true);
    assert_ok(emk_catalogue_find(&w->api.records, &ask, &m, NULL, &e), &e);
    assert_string_equal(m.version, "77");
    ask.version = emk_span_str("gone");
    assert_ok(emk_catalogue_find(&w->api.records, &ask, &m, NULL, &e), &e);
    assert_true(m.withdrawn);
}

static void the_same_version_is_added_once(void **state)
{
    world *w = *state;
    static emk_model_entity m = {.name = "cats", .version = "1"};
    emk_error e = {0};

    assert_ok(emk_catalogue_add(&w->api, &m, &e), &e);
    assert_status(emk_catalogue_add(&w->api, &m, &e), EMK_E_STALE, &e);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    return EMK_RUN(
        RULE(begins_with_its_certificate), RULE(rejects_a_certificate_of_another_key_or_issuer),
        RULE(rotations_without_end_find_a_place), emk_rule(a_certificate_in_use_is_not_overwritten),
        RULE(a_server_without_a_key_does_not_seal), RULE(a_ticket_of_nobody_is_refused),
        RULE(names_are_read_as_they_are_written), RULE(rejects_names_of_models_that_are_none),
        RULE(an_empty_version_is_the_newest), RULE(the_same_version_is_added_once));
}
