#include "core/proto/message.h"

#include "core/codec/cbor.h"
#include "core/crypto/hash.h"
#include "core/proto/internal.h"

bool emk_agree_key_equal(const emk_agree_key *a, const emk_agree_key *b)
{
    return a->kem == b->kem && emk_span_equal(a->public_key, b->public_key);
}

emk_status emk_device_id(const emk_crypto *c, emk_span signing_key, const emk_agree_key *agree,
                         uint8_t out[EMK_DEVICE_ID_LEN], emk_error *e)
{
    static const char label[] = "earmark/1 device"; /* hashed with its zero */
    emk_span parts[] = {emk_span_of(label, sizeof label), signing_key, agree->public_key};
    emk_status st;

    st = emk_proto_check_sign_key(signing_key, e);
    if (st != EMK_OK)
        return st;
    st = emk_proto_check_agree(agree, EMK_PROTO_KEY_OF_DEVICE, e);
    if (st != EMK_OK)
        return st;
    return emk_sha256(c, parts, 3, out, e);
}

emk_status emk_message_hash(const emk_crypto *c, emk_span message, uint8_t out[EMK_HASH_LEN],
                            emk_error *e)
{
    return emk_sha256(c, &message, 1, out, e);
}

static bool kem_is_allowed(uint16_t kem, emk_proto_key_of of)
{
    if (kem == EMK_KEM_P256)
        return true;
    if (of == EMK_PROTO_KEY_OF_DEVICE)
        return kem == EMK_KEM_MLKEM768_P256;
    return kem == EMK_KEM_X25519 || kem == EMK_KEM_XWING;
}

emk_status emk_proto_read_map(emk_span payload, const emk_proto_map *map, void *out, emk_error *e)
{
    uint32_t missing = map->must;
    emk_cbor_reader r;
    int64_t key;

    emk_cbor_reader_init(&r, payload);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        if (key < 1 || key > 31 || !((map->must | map->may) & EMK_PROTO_KEY(key))) {
            emk_cbor_fail(&r, EMK_E_FORMAT, "message: unknown key", (uint64_t)key);
            break;
        }
        map->read(&r, key, out);
        missing &= ~EMK_PROTO_KEY(key);
    }
    emk_cbor_leave(&r);
    if (missing)
        emk_cbor_fail(&r, EMK_E_FORMAT, "message: a key is missing (where: bits)", missing);
    return emk_cbor_finish(&r, e);
}

void emk_proto_read_text(emk_cbor_reader *r, emk_span *out)
{
    emk_span text = emk_cbor_read_text(r);
    emk_error why = {0};

    if (!emk_cbor_ok(r))
        return;
    if (emk_text_check(text, &why) != EMK_OK)
        emk_cbor_fail(r, why.status, why.what, why.where);
    *out = text;
}

void emk_proto_read_summary(emk_cbor_reader *r, emk_span *out)
{
    *out = emk_cbor_read_bytes(r);
    if (out->len == 0)
        emk_cbor_fail(r, EMK_E_FORMAT, "message: an empty summary", 0);
    if (out->len > EMK_PROTO_SUMMARY_MAX)
        emk_cbor_fail(r, EMK_E_LIMIT, "message: length of the summary", out->len);
}

void emk_proto_read_sign_key(emk_cbor_reader *r, emk_span *out)
{
    emk_span key = emk_cbor_read_bytes(r);

    if (emk_cbor_ok(r) && (key.len != EMK_DEVICE_SIGN_LEN || key.p[0] != 0x04))
        emk_cbor_fail(r, EMK_E_FORMAT, "message: signing key", key.len);
    *out = key;
}

void emk_proto_read_agree_key(emk_cbor_reader *r, emk_proto_key_of of, emk_agree_key *out)
{
    uint64_t kem;
    emk_span key;

    emk_cbor_enter_array(r);
    kem = emk_cbor_read_uint(r);
    key = emk_cbor_read_bytes(r);
    emk_cbor_leave(r);
    if (!emk_cbor_ok(r))
        return;
    if (kem > UINT16_MAX || !kem_is_allowed((uint16_t)kem, of)) {
        emk_cbor_fail(r, EMK_E_UNSUPPORTED, "message: KEM of an agreement key", kem);
        return;
    }
    if (key.len != emk_kem_public_len((uint16_t)kem))
        emk_cbor_fail(r, EMK_E_FORMAT, "message: length of an agreement key", key.len);
    out->kem = (uint16_t)kem;
    out->public_key = key;
}

uint8_t emk_proto_read_small(emk_cbor_reader *r, uint8_t max)
{
    uint64_t v = emk_cbor_read_uint(r);

    if (v <= max)
        return (uint8_t)v;
    emk_cbor_fail(r, EMK_E_FORMAT, "message: number out of its range", v);
    return 0;
}

emk_status emk_proto_parse(emk_span message, emk_cose_type type, emk_cose *out, emk_error *e)
{
    if (message.len > EMK_MESSAGE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "message: too long", message.len);
    return emk_cose_parse(message, type, out, e);
}

emk_status emk_proto_verify(const emk_crypto *c, emk_span message, emk_cose_type type,
                            const emk_verify_key *key, emk_cose *out, emk_error *e)
{
    emk_cose o;
    emk_status st;

    st = emk_proto_parse(message, type, &o, e);
    if (st != EMK_OK)
        return st;
    st = emk_cose_verify(c, &o, emk_span_of(NULL, 0), key, NULL, e);
    if (st != EMK_OK)
        return st;
    *out = o;
    return EMK_OK;
}

emk_status emk_proto_verify_by(const emk_crypto *c, const emk_cose *o, emk_span public_key,
                               emk_error *e)
{
    emk_verify_key *key = NULL;
    emk_status st;

    st = emk_cose_verify_key(c, public_key, &key, e);
    if (st != EMK_OK)
        return st;
    st = emk_cose_verify(c, o, emk_span_of(NULL, 0), key, NULL, e);
    emk_verify_key_free(key);
    return st;
}

emk_status emk_proto_check_point(const emk_crypto *c, const emk_agree_key *key, emk_error *e)
{
    if (!emk_kem_is_supported(c, key->kem))
        return EMK_OK;
    return emk_kem_check_public(c, key->kem, key->public_key, e);
}

emk_status emk_proto_check_text(emk_span text, bool may_be_absent, emk_error *e)
{
    if (may_be_absent && text.len == 0)
        return EMK_OK;
    if (emk_text_check(text, NULL) != EMK_OK)
        return emk_fail(e, EMK_E_USAGE, "message: text is empty, too long or not plain UTF-8",
                        text.len);
    return EMK_OK;
}

emk_status emk_proto_check_agree(const emk_agree_key *key, emk_proto_key_of of, emk_error *e)
{
    if (!kem_is_allowed(key->kem, of))
        return emk_fail(e, EMK_E_USAGE, "message: KEM of an agreement key", key->kem);
    if (key->public_key.len != emk_kem_public_len(key->kem))
        return emk_fail(e, EMK_E_USAGE, "message: length of an agreement key", key->public_key.len);
    return EMK_OK;
}

emk_status emk_proto_check_sign_key(emk_span key, emk_error *e)
{
    if (key.len != EMK_DEVICE_SIGN_LEN || key.p[0] != 0x04)
        return emk_fail(e, EMK_E_USAGE, "message: signing key", key.len);
    return EMK_OK;
}

void emk_proto_put_agree(emk_writer *w, int64_t key, const emk_agree_key *agree)
{
    emk_cbor_put_int(w, key);
    emk_cbor_put_array(w, 2);
    emk_cbor_put_uint(w, agree->kem);
    emk_cbor_put_bytes(w, agree->public_key);
}

void emk_proto_put_bytes(emk_writer *w, int64_t key, emk_span bytes)
{
    emk_cbor_put_int(w, key);
    emk_cbor_put_bytes(w, bytes);
}

void emk_proto_put_uint(emk_writer *w, int64_t key, uint64_t v)
{
    emk_cbor_put_int(w, key);
    emk_cbor_put_uint(w, v);
}

void emk_proto_put_text(emk_writer *w, int64_t key, emk_span text)
{
    if (text.len == 0)
        return;
    emk_cbor_put_int(w, key);
    emk_cbor_put_text(w, text);
}

emk_status emk_proto_sign(const emk_crypto *c, const emk_signer *signer, emk_cose_type type,
                          const emk_writer *payload, emk_buf *out, emk_error *e)
{
    emk_cose_in in = {.type = type, .payload = emk_writer_span(payload)};

    if (payload->full || emk_cose_signed_len(&in) > EMK_MESSAGE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "message: too long", payload->pos);
    return emk_cose_sign(c, signer, &in, out, NULL, e);
}
