#include "tests/unit/core/proto/support.h"

#include "core/base/fault.h"
#include "core/crypto/dh.h"

#include <string.h>

people P;

static void make_signer(emk_sign_alg alg, emk_sign_key **key, emk_verify_key **public_key,
                        emk_signer *signer)
{
    uint8_t priv[32], pub[EMK_SIGN_PUBLIC_MAX];
    emk_error e = {0};

    assert_ok(emk_sign_generate(P.crypto, alg, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(P.crypto, alg, emk_span_of(priv, 32), key, &e), &e);
    assert_ok(emk_signer_from_key(P.crypto, *key, signer, &e), &e);
    assert_ok(
        emk_cose_verify_key(P.crypto, emk_span_of(pub, emk_sign_public_len(alg)), public_key, &e),
        &e);
}

void people_init(void)
{
    uint8_t priv[32];
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &P.crypto, &e), &e);
    make_signer(EMK_SIGN_ED25519, &P.issuer_key, &P.issuer, &P.issuer_signer);
    make_signer(EMK_SIGN_ES256, &P.device_key, &P.device, &P.device_signer);
    make_signer(EMK_SIGN_ES256, &P.other_key, &P.other, &P.other_signer);
    assert_ok(emk_p256_generate(P.crypto, priv, P.agree_pub, &e), &e);
    assert_ok(emk_x25519_generate(P.crypto, priv, P.x25519_pub, &e), &e);
    P.agree = (emk_agree_key){.kem = EMK_KEM_P256, .public_key = {P.agree_pub, 65}};
    P.request_key = (emk_agree_key){.kem = EMK_KEM_X25519, .public_key = {P.x25519_pub, 32}};
}

void people_done(void)
{
    emk_verify_key_free(P.issuer);
    emk_verify_key_free(P.device);
    emk_verify_key_free(P.other);
    emk_sign_key_free(P.issuer_key);
    emk_sign_key_free(P.device_key);
    emk_sign_key_free(P.other_key);
    emk_crypto_free(P.crypto);
}

fields fields_of(emk_span message, emk_cose_type type)
{
    fields f = {.n = 0};
    emk_cbor_reader r;
    emk_cose o;
    emk_error e = {0};
    int64_t key;

    assert_ok(emk_cose_parse(message, type, &o, &e), &e);
    emk_cbor_reader_init(&r, o.payload);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        assert_true(f.n < 15);
        f.f[f.n++] = (field){.key = (uint64_t)key, .raw = emk_cbor_read_raw(&r)};
    }
    emk_cbor_leave(&r);
    assert_ok(emk_cbor_finish(&r, &e), &e);
    return f;
}

field *field_at(fields *f, uint64_t key)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->f[i].key == key)
            return &f->f[i];
    fail_msg("no such key");
    return NULL;
}

void field_drop(fields *f, uint64_t key)
{
    field *at = field_at(f, key);
    size_t i = (size_t)(at - f->f);

    memmove(at, at + 1, (f->n - i - 1) * sizeof *at);
    f->n--;
}

void field_hex(fields *f, uint64_t key, const char *hex)
{
    static uint8_t bytes[8][4096];
    static size_t next;
    uint8_t *room = bytes[next++ % 8];
    size_t len = emk_unhex(hex, room, sizeof bytes[0]);

    field_at(f, key)->raw = emk_span_of(room, len);
}

emk_span sign_payload(emk_span payload, emk_cose_type type, const emk_signer *signer, emk_buf *b)
{
    emk_cose_in in = {.type = type, .payload = payload};
    emk_error e = {0};

    b->len = 0;
    assert_ok(emk_cose_sign(P.crypto, signer, &in, b, NULL, &e), &e);
    return emk_buf_span(b);
}

static size_t write_fields(const fields *f, uint8_t *out, size_t cap)
{
    emk_writer w;

    emk_writer_init(&w, out, cap);
    emk_cbor_put_map(&w, f->n);
    for (size_t i = 0; i < f->n; i++) {
        emk_cbor_put_uint(&w, f->f[i].key);
        emk_cbor_put_raw(&w, f->f[i].raw);
    }
    assert_false(w.full);
    return w.pos;
}

emk_span sign_fields(const fields *f, emk_cose_type type, const emk_signer *signer, emk_buf *b)
{
    static uint8_t payload[32768];

    return sign_payload(emk_span_of(payload, write_fields(f, payload, sizeof payload)), type,
                        signer, b);
}

static void expect(const map_rules *r, const fields *f, emk_status want, emk_buf *b)
{
    emk_error e = {0};

    assert_status(r->read(sign_fields(f, r->type, r->signer, b), &e), want, &e);
}

static void check_keys(const map_rules *r, emk_span message, emk_buf *b)
{
    static const uint8_t null[] = {0xf6}, no[] = {0xf4};
    static const uint64_t unknown[] = {0, 10, 24, 31, 32, 33, 1000};
    fields good = fields_of(message, r->type), f;

    expect(r, &good, EMK_OK, b);
    for (size_t i = 0; i < good.n; i++) {
        uint64_t key = good.f[i].key;

        f = good;
        field_drop(&f, key);
        expect(r, &f, r->may >> key & 1 ? EMK_OK : EMK_E_FORMAT, b);
        f = good;
        f.f[i].raw = emk_span_of(no, 1); /* nothing in a message is a bool */
        expect(r, &f, EMK_E_FORMAT, b);
        f.f[i].raw = emk_span_of(null, 1);
        expect(r, &f, EMK_E_FORMAT, b);
        f = good;
        f.f[f.n++] = good.f[i]; /* twice, and out of order */
        expect(r, &f, EMK_E_FORMAT, b);
    }
    f = good;
    f.f[0] = good.f[1];
    f.f[1] = good.f[0];
    expect(r, &f, EMK_E_FORMAT, b);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        f = good;
        if (unknown[i] == 0) {
            memmove(f.f + 1, f.f, f.n * sizeof f.f[0]);
            f.n++;
            f.f[0] = (field){.key = 0, .raw = good.f[0].raw};
        } else {
            f.f[f.n++] = (field){.key = unknown[i], .raw = good.f[0].raw};
        }
        expect(r, &f, EMK_E_FORMAT, b);
    }
}

static void check_payload(const map_rules *r, emk_span message, emk_buf *b)
{
    static uint8_t bytes[32768];
    fields good = fields_of(message, r->type);
    size_t len = write_fields(&good, bytes, sizeof bytes - 1);
    emk_error e = {0};
    emk_span m;

    bytes[len] = 0;
    m = sign_payload(emk_span_of(bytes, len + 1), r->type, r->signer, b);
    assert_status(r->read(m, &e), EMK_E_FORMAT, &e);
    m = sign_payload(emk_span_of(bytes, len - 1), r->type, r->signer, b);
    assert_status(r->read(m, &e), EMK_E_FORMAT, &e);
    m = sign_payload(emk_span_of("\x80", 1), r->type, r->signer, b);
    assert_status(r->read(m, &e), EMK_E_FORMAT, &e);
    m = sign_payload(emk_span_of(bytes, 0), r->type, r->signer, b);
    assert_status(r->read(m, &e), EMK_E_FORMAT, &e);
}

static void check_envelope(const map_rules *r, emk_span message, emk_buf *b)
{
    static uint8_t bad[EMK_MESSAGE_MAX + 1];
    fields good = fields_of(message, r->type);
    emk_error e = {0};
    emk_span m;

    m = sign_fields(&good, r->type == EMK_COSE_TICKET ? EMK_COSE_RECEIPT : EMK_COSE_TICKET,
                    r->signer, b);
    assert_status(r->read(m, &e), EMK_E_FORMAT, &e);
    m = sign_fields(&good, r->type, &P.other_signer, b);
    assert_status(r->read(m, &e), EMK_E_SIGNATURE, &e);
    assert_status(r->read(emk_span_of(bad, sizeof bad), &e), EMK_E_LIMIT, &e);
    for (size_t i = 0; i < message.len; i++) {
        memcpy(bad, message.p, message.len);
        bad[i] ^= 0x10;
        assert_int_not_equal(r->read(emk_span_of(bad, message.len), &e), EMK_OK);
    }
    for (size_t n = 0; n < message.len; n++)
        assert_int_not_equal(r->read(emk_span_of(message.p, n), &e), EMK_OK);
    memcpy(bad, message.p, message.len);
    bad[message.len] = 0;
    assert_status(r->read(emk_span_of(bad, message.len + 1), &e), EMK_E_FORMAT, &e);
}

/* Whatever fails, it is told, and nothing was appended. */
static void check_failures(const map_rules *r, emk_span message)
{
#ifdef EMK_FAULTS
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};

    for (size_t i = 0; i < 4; i++) {
        emk_fault_kind kind = kinds[i % 2];
        bool hit = true;

        for (uint64_t n = 1; hit; n++) {
            emk_error e = {0};
            emk_status st;
            emk_buf b;

            emk_buf_init(&b, EMK_MESSAGE_MAX);
            emk_fault_fail_at(kind, n);
            st = i < 2 ? r->read(message, &e) : r->write(&b, &e);
            hit = emk_fault_count(kind) >= n;
            emk_fault_fail_at(kind, 0);
            assert_true((st == EMK_OK) == !hit);
            assert_true(st == EMK_OK || b.len == 0);
            emk_buf_done(&b);
        }
    }
#else
    (void)r;
    (void)message;
#endif
}

emk_span good_message(const map_rules *r, emk_buf *b)
{
    emk_error e = {0};

    emk_buf_init(b, EMK_MESSAGE_MAX);
    assert_ok((r->example ? r->example : r->write)(b, &e), &e);
    return emk_buf_span(b);
}

void check_map_rules(const map_rules *r)
{
    emk_buf own, b;
    emk_span message = good_message(r, &own);

    emk_buf_init(&b, 65536);
    check_keys(r, message, &b);
    check_payload(r, message, &b);
    check_envelope(r, message, &b);
    check_failures(r, message);
    emk_buf_done(&b);
    emk_buf_done(&own);
}

void check_rejects(const map_rules *r, uint64_t key, const char *hex, emk_status want)
{
    emk_buf own, b;
    fields f = fields_of(good_message(r, &own), r->type);

    emk_buf_init(&b, 65536);
    field_hex(&f, key, hex);
    expect(r, &f, want, &b);
    emk_buf_done(&b);
    emk_buf_done(&own);
}
