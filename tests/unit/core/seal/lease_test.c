#include "core/seal/lease.h"

#include "core/base/fault.h"
#include "core/base/secret.h"
#include "core/crypto/hash.h"
#include "core/crypto/kdf.h"
#include "core/seal/recipient.h"
#include "tests/support/test.h"

#include <string.h>

static const uint8_t MASTER[32] = "a master of a lease, 32 bytes...";
static const uint8_t TICKET[16] = "ticket id of 16";
static const uint8_t OTHER[16] = "another ticket!";

static emk_crypto *crypto;

static void make(uint8_t secret[32], uint8_t key[65])
{
    const emk_lease_source from = {MASTER, 3};
    emk_error e = {0};

    assert_ok(emk_lease_derive(crypto, &from, TICKET, secret, &e), &e);
    assert_ok(emk_lease_key(crypto, secret, key, &e), &e);
}

/* [messages 9]: the bytes themselves, so that another implementation derives the same. */
static void secret_is_the_hmac_of_ticket_and_epoch(void **state)
{
    static const uint8_t epoch[8] = {0, 0, 0, 0, 0, 0, 0, 3};
    emk_span parts[2] = {emk_span_of(TICKET, 16), emk_span_of(epoch, 8)};
    uint8_t secret[32], key[65], want[32], priv[32], pub[65];
    emk_error e = {0};

    (void)state;
    make(secret, key);
    assert_ok(emk_hmac_sha256(crypto, emk_span_of(MASTER, 32), parts, 2, want, &e), &e);
    assert_memory_equal(secret, want, 32);
    assert_ok(emk_kem_derive(crypto, EMK_KEM_P256, emk_span_of(want, 32), priv, pub, &e), &e);
    assert_memory_equal(key, pub, 65);
}

static void another_ticket_or_epoch_has_another_secret(void **state)
{
    const emk_lease_source from = {MASTER, 3}, later = {MASTER, 4};
    uint8_t a[32], b[32], c[32];
    emk_error e = {0};

    (void)state;
    assert_ok(emk_lease_derive(crypto, &from, TICKET, a, &e), &e);
    assert_ok(emk_lease_derive(crypto, &from, OTHER, b, &e), &e);
    assert_ok(emk_lease_derive(crypto, &later, TICKET, c, &e), &e);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

static void secret_finds_the_psk_that_the_key_made(void **state)
{
    uint8_t secret[32], key[65], got[32];
    emk_lease_opener with = {crypto, secret, TICKET};
    emk_lease_psk a, b;
    emk_error e = {0};

    (void)state;
    make(secret, key);
    assert_ok(emk_lease_psk_make(crypto, emk_span_of(key, 65), TICKET, &a, &e), &e);
    assert_ok(emk_lease_psk_make(crypto, emk_span_of(key, 65), TICKET, &b, &e), &e);
    assert_memory_not_equal(a.psk, b.psk, 32);
    assert_ok(emk_lease_psk_find(&with, emk_span_of(a.id, 65), got, &e), &e);
    assert_memory_equal(got, a.psk, 32);
    with.ticket_id = OTHER;
    assert_ok(emk_lease_psk_find(&with, emk_span_of(a.id, 65), got, &e), &e);
    assert_memory_not_equal(got, a.psk, 32);
}

static void rejects_keys_and_ids_off_the_curve(void **state)
{
    uint8_t secret[32], key[65], got[32] = {9};
    emk_lease_opener with = {crypto, secret, TICKET};
    emk_lease_psk psk;
    emk_error e = {0};

    (void)state;
    make(secret, key);
    key[40] ^= 1;
    assert_status(emk_lease_psk_make(crypto, emk_span_of(key, 65), TICKET, &psk, &e), EMK_E_FORMAT,
                  &e);
    assert_status(emk_lease_psk_find(&with, emk_span_of(key, 65), got, &e), EMK_E_SEALED, &e);
    assert_status(emk_lease_psk_find(&with, emk_span_of(key, 33), got, &e), EMK_E_SEALED, &e);
}

/* ---- in an envelope ---- */

typedef struct envelope {
    uint8_t priv[32], pub[65], secret[32], lease_key[65], extra[32], cek[32];
    emk_envelope_context ctx;
    uint8_t bytes[EMK_RECIPIENT_MAX];
    emk_writer w;
    emk_kem_private *key;
} envelope;

static void wrap(envelope *v)
{
    emk_agree_key to = {EMK_KEM_P256, {v->pub, 65}};
    emk_error e = {0};

    memset(v, 0, sizeof *v);
    memset(v->cek, 5, sizeof v->cek);
    make(v->secret, v->lease_key);
    assert_ok(emk_kem_generate(crypto, EMK_KEM_P256, v->priv, v->pub, &e), &e);
    assert_ok(emk_kem_private_new(crypto, EMK_KEM_P256, emk_span_of(v->priv, 32), &v->key, &e), &e);
    v->ctx = (emk_envelope_context){.content_alg = -65603,
                                    .extra = v->extra,
                                    .hint = true,
                                    .lease_key = {v->lease_key, 65},
                                    .lease = {crypto, v->secret, TICKET}};
    emk_writer_init(&v->w, v->bytes, sizeof v->bytes);
    assert_ok(emk_recipient_wrap(crypto, &v->ctx, &to, v->cek, &v->w, &e), &e);
}

static emk_status read_back(const envelope *v, bool hint, emk_recipient *out)
{
    emk_cbor_reader r;
    emk_error e = {0};

    emk_cbor_reader_init(&r, emk_writer_span(&v->w));
    emk_recipient_read(&r, hint, out);
    return emk_cbor_finish(&r, &e);
}

static void envelope_needs_both_the_key_and_the_lease(void **state)
{
    uint8_t cek[32], wrong[32] = {1};
    emk_recipient r;
    envelope v;
    emk_error e = {0};

    (void)state;
    wrap(&v);
    assert_int_equal(read_back(&v, true, &r), EMK_OK);
    assert_int_equal(r.psk_id.len, 65);
    assert_ok(emk_recipient_unwrap(&r, &v.ctx, v.key, cek, &e), &e);
    assert_memory_equal(cek, v.cek, 32);
    v.ctx.lease.ticket_id = OTHER;
    assert_status(emk_recipient_unwrap(&r, &v.ctx, v.key, cek, &e), EMK_E_SEALED, &e);
    v.ctx.lease.ticket_id = TICKET;
    v.ctx.lease.secret = wrong;
    assert_status(emk_recipient_unwrap(&r, &v.ctx, v.key, cek, &e), EMK_E_SEALED, &e);
    v.ctx.lease.secret = NULL;
    assert_status(emk_recipient_unwrap(&r, &v.ctx, v.key, cek, &e), EMK_E_SEALED, &e);
    v.ctx.lease.secret = v.secret;
    r.psk_id = emk_span_of(v.bytes, 0); /* taken out: it is not base mode */
    assert_status(emk_recipient_unwrap(&r, &v.ctx, v.key, cek, &e), EMK_E_SEALED, &e);
    emk_kem_private_free(v.key);
}

static void only_a_layer_with_hints_has_a_psk_id(void **state)
{
    emk_recipient r;
    envelope v;

    (void)state;
    wrap(&v);
    assert_int_equal(read_back(&v, false, &r), EMK_E_FORMAT);
    emk_kem_private_free(v.key);
}

static void rejects_a_psk_id_of_another_length(void **state)
{
    emk_recipient r;
    envelope v;
    uint8_t *at = NULL;

    (void)state;
    wrap(&v);
    for (size_t i = 0; !at && i + 3 < v.w.pos; i++) /* key -5, bytes of length 65, point */
        if (v.bytes[i] == 0x24 && v.bytes[i + 1] == 0x58 && v.bytes[i + 2] == 65)
            at = v.bytes + i;
    assert_non_null(at);
    at[2] = 64;
    memmove(at + 3, at + 4, v.w.pos - (size_t)(at + 4 - v.bytes));
    v.w.pos--;
    assert_int_equal(read_back(&v, true, &r), EMK_E_FORMAT);
    emk_kem_private_free(v.key);
}

static void each_failure_of_libcrypto_is_a_failure(void **state)
{
    uint8_t secret[32], key[65], got[32];
    emk_lease_opener with = {crypto, secret, TICKET};
    emk_lease_psk psk;
    emk_error e = {0};
    uint64_t n;

    (void)state;
#ifndef EMK_FAULTS
    skip();
#else
    make(secret, key);
    for (int kind = EMK_FAULT_ALLOC; kind <= EMK_FAULT_CRYPTO; kind++) {
        emk_status st = EMK_E_CRYPTO;

        for (n = 1; st != EMK_OK && n < 500; n++) {
            emk_fault_fail_at((emk_fault_kind)kind, n);
            st = emk_lease_psk_make(crypto, emk_span_of(key, 65), TICKET, &psk, &e);
            if (st == EMK_OK)
                st = emk_lease_psk_find(&with, emk_span_of(psk.id, 65), got, &e);
            emk_fault_fail_at((emk_fault_kind)kind, 0);
            assert_true(st == EMK_OK || st == EMK_E_CRYPTO || st == EMK_E_NO_MEMORY);
        }
        assert_int_equal(st, EMK_OK);
        assert_memory_equal(got, psk.psk, 32);
    }
#endif
}

int main(void)
{
    emk_error e = {0};
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed = EMK_RUN(emk_rule(secret_is_the_hmac_of_ticket_and_epoch),
                     emk_rule(another_ticket_or_epoch_has_another_secret),
                     emk_rule(secret_finds_the_psk_that_the_key_made),
                     emk_rule(rejects_keys_and_ids_off_the_curve),
                     emk_rule(envelope_needs_both_the_key_and_the_lease),
                     emk_rule(only_a_layer_with_hints_has_a_psk_id),
                     emk_rule(rejects_a_psk_id_of_another_length),
                     emk_rule(each_failure_of_libcrypto_is_a_failure));
    emk_crypto_free(crypto);
    return failed;
}
