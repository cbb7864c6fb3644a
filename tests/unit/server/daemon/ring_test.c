/* The issuer's keys over time: the file, and what devices may learn from. */
#include "core/base/os_file.h"
#include "core/seal/certificate.h"
#include "server/daemon/ring.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW UINT64_C(1800000000)

static emk_issuer_key key_of(uint8_t fill)
{
    emk_issuer_key k = {.public_len = 32, .since_s = NOW + fill, .certificate_len = 3};

    memset(k.public_key, fill, 32);
    memset(k.certificate, fill, 3);
    return k;
}

static emk_issuers ring_of(size_t n)
{
    emk_issuers ring = {.n = 0};

    for (size_t i = 0; i < n; i++) {
        emk_issuer_key k = key_of((uint8_t)(i + 1));

        emk_ring_add(&ring, &k);
    }
    return ring;
}

static emk_span bytes_of(const emk_issuers *ring, uint8_t out[EMK_RING_MAX])
{
    emk_writer w;

    emk_writer_init(&w, out, EMK_RING_MAX);
    emk_ring_put(ring, &w);
    return emk_writer_span(&w);
}

static void a_ring_reads_back(void **state)
{
    emk_issuers ring = ring_of(3), back;
    uint8_t bytes[EMK_RING_MAX];
    emk_error e = {0};

    (void)state;
    ring.v[1].retired = true;
    assert_ok(emk_ring_take(bytes_of(&ring, bytes), &back, &e), &e);
    assert_int_equal(back.n, 3);
    assert_true(back.v[1].retired && !back.v[0].retired);
    assert_int_equal(back.v[2].since_s, NOW + 3);
    assert_memory_equal(back.v[2].public_key, ring.v[2].public_key, 32);
    assert_memory_equal(back.v[2].certificate, ring.v[2].certificate, 3);
}

static void damaged_rings_are_refused(void **state)
{
    emk_issuers ring = ring_of(2), back;
    uint8_t bytes[EMK_RING_MAX], bad[EMK_RING_MAX];
    emk_span whole = bytes_of(&ring, bytes);
    const size_t at[] = {0, 1, 2, 11}; /* version, number, flags, a key's length */
    emk_error e = {0};

    (void)state;
    for (size_t len = 0; len < whole.len; len++)
        assert_status(emk_ring_take(emk_span_of(bytes, len), &back, &e), EMK_E_FORMAT, &e);
    memcpy(bad, bytes, whole.len + 1);
    assert_status(emk_ring_take(emk_span_of(bad, whole.len + 1), &back, &e), EMK_E_FORMAT, &e);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        memcpy(bad, bytes, whole.len);
        bad[at[i]] = 0xFF;
        assert_status(emk_ring_take(emk_span_of(bad, whole.len), &back, &e), EMK_E_FORMAT, &e);
    }
    memcpy(bad, bytes, whole.len);
    bad[1] = 0; /* no key at all */
    assert_status(emk_ring_take(emk_span_of(bad, whole.len), &back, &e), EMK_E_FORMAT, &e);
}

static void the_oldest_goes_when_there_is_no_room(void **state)
{
    emk_issuers ring = ring_of(EMK_ISSUERS_MAX + 2);

    (void)state;
    assert_int_equal(ring.n, EMK_ISSUERS_MAX);
    assert_int_equal(ring.v[0].public_key[0], 3);
    assert_int_equal(ring.v[0].certificate_len, 0); /* by a key that is not there */
    assert_int_equal(ring.v[ring.n - 1].public_key[0], EMK_ISSUERS_MAX + 2);
}

/* A kill between the ring and the key file: what lies behind the key that signs never was. */
static void what_lies_behind_the_key_that_signs_never_was(void **state)
{
    char dir[] = "/tmp/earmark-ring-XXXXXX", path[64];
    emk_issuers ring = ring_of(3), back;
    emk_error e = {0};

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_ok(emk_ring_read(dir, emk_span_of(ring.v[1].public_key, 32), &back, &e), &e);
    assert_int_equal(back.n, 1); /* no file yet */
    assert_ok(emk_ring_write(dir, &ring, &e), &e);
    assert_ok(emk_ring_read(dir, emk_span_of(ring.v[1].public_key, 32), &back, &e), &e);
    assert_int_equal(back.n, 2);
    assert_ok(emk_ring_read(dir, emk_span_of(ring.v[2].public_key, 32), &back, &e), &e);
    assert_int_equal(back.n, 3);
    memset(ring.v[0].public_key, 9, 32); /* put there by hand */
    assert_ok(emk_ring_read(dir, emk_span_of(ring.v[0].public_key, 32), &back, &e), &e);
    assert_int_equal(back.n, 1);
    snprintf(path, sizeof path, "%s/%s", dir, EMK_RING_FILE);
    assert_ok(emk_os_write_file(path, emk_span_str("junk"), &e), &e);
    assert_status(emk_ring_read(dir, emk_span_of(ring.v[1].public_key, 32), &back, &e),
                  EMK_E_FORMAT, &e);
    assert_ok(emk_os_remove(path, &e), &e);
    (void)!remove(dir);
}

/* ---- certificates of issuers ---- */

typedef struct signing {
    emk_crypto *c;
    emk_sign_key *key;
    emk_signer signer;
    emk_verify_key *verify;
} signing;

static void begin(signing *s)
{
    uint8_t priv[EMK_SIGN_PRIVATE_LEN], pub[EMK_SIGN_PUBLIC_MAX];
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &s->c, &e), &e);
    assert_ok(emk_sign_generate(s->c, EMK_SIGN_ED25519, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(s->c, EMK_SIGN_ED25519, emk_span_of(priv, sizeof priv), &s->key, &e),
              &e);
    assert_ok(emk_signer_from_key(s->c, s->key, &s->signer, &e), &e);
    assert_ok(emk_cose_verify_key(s->c, emk_span_of(pub, 32), &s->verify, &e), &e);
}

static void end(signing *s)
{
    emk_verify_key_free(s->verify);
    emk_sign_key_free(s->key);
    emk_crypto_free(s->c);
}

static void an_issuer_certificate_is_no_sealing_certificate(void **state)
{
    emk_sealing_certificate in = {.public_len = 32, .not_before = NOW, .not_after = NOW + 10}, out;
    emk_buf issuer, sealing;
    emk_error e = {0};
    signing a, b;

    (void)state;
    begin(&a);
    begin(&b);
    memset(in.public_key, 5, 32);
    emk_buf_init(&issuer, 1024);
    emk_buf_init(&sealing, 1024);
    assert_ok(emk_issuer_certificate_make(a.c, &a.signer, &in, &issuer, &e), &e);
    assert_ok(emk_sealing_certificate_make(a.c, &a.signer, &in, &sealing, &e), &e);
    assert_ok(emk_issuer_certificate_verify(a.c, emk_buf_span(&issuer), a.verify, NOW, &out, &e),
              &e);
    assert_memory_equal(out.public_key, in.public_key, 32);
    assert_status(
        emk_issuer_certificate_verify(a.c, emk_buf_span(&sealing), a.verify, NOW, &out, &e),
        EMK_E_FORMAT, &e);
    assert_status(emk_sealing_certificate_verify(a.c, emk_buf_span(&issuer), a.verify, &out, &e),
                  EMK_E_FORMAT, &e);
    assert_status(
        emk_issuer_certificate_verify(a.c, emk_buf_span(&issuer), b.verify, NOW, &out, &e),
        EMK_E_SIGNATURE, &e);
    assert_status(
        emk_issuer_certificate_verify(a.c, emk_buf_span(&issuer), a.verify, NOW - 1, &out, &e),
        EMK_E_POLICY, &e);
    assert_status(
        emk_issuer_certificate_verify(a.c, emk_buf_span(&issuer), a.verify, NOW + 11, &out, &e),
        EMK_E_POLICY, &e);
    emk_buf_done(&issuer);
    emk_buf_done(&sealing);
    end(&a);
    end(&b);
}

int main(void)
{
    return EMK_RUN(emk_rule(a_ring_reads_back), emk_rule(damaged_rings_are_refused),
                   emk_rule(the_oldest_goes_when_there_is_no_room),
                   emk_rule(what_lies_behind_the_key_that_signs_never_was),
                   emk_rule(an_issuer_certificate_is_no_sealing_certificate));
}
