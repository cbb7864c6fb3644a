#include "server/attest/sim/evidence.h"

#include "core/codec/cbor.h"
#include "core/crypto/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM 16384u

static const char OID_NONCE[] = "2a864886f763640802";
static const char OID_STATEMENT[] = "2b06010401d679020111";

static const char *either(const char *given, const char *right)
{
    return given ? given : right;
}

static void hash_of(const forge *f, emk_span a, emk_span b, uint8_t out[32])
{
    const emk_span parts[] = {a, b};

    if (emk_sha256(f->crypto, parts, 2, out, NULL) != EMK_OK)
        abort();
}

static emk_span hash_text(emk_span given, const char *text)
{
    return given.len > 0 ? given : emk_span_str(either(text, FAKE_HASH));
}

static emk_span none(void)
{
    return emk_span_of(NULL, 0);
}

/* subject and issuer in `cert`; an authority's extensions unless it has some. */
static void certificate(const forge *f, forge_cert cert, emk_buf *out)
{
    emk_buf ca;

    emk_buf_init(&ca, ROOM);
    forge_ca(&ca);
    if (cert.extensions.len == 0)
        cert.extensions = emk_buf_span(&ca);
    forge_certificate(f, &cert, out);
    emk_buf_done(&ca);
}

void fake_make_root(const forge *f, emk_buf *der)
{
    certificate(f, (forge_cert){.subject = f->root, .issuer = f->root}, der);
}

/* --- App Attest ---------------------------------------------------------------------------- */

static void put_be(emk_buf *b, uint32_t v, int n_bytes)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    forge_raw(b, emk_span_of(bytes + 4 - n_bytes, (size_t)n_bytes));
}

static void front(const forge *f, const char *app_id, uint8_t flags, uint32_t counter, emk_buf *b)
{
    uint8_t rp[32];

    hash_of(f, emk_span_str(either(app_id, FAKE_APP)), none(), rp);
    forge_raw(b, emk_span_of(rp, sizeof rp));
    forge_raw(b, emk_span_of(&flags, 1));
    put_be(b, counter, 4);
}

static void auth_data(const forge *f, const fake_app_attest *x, const uint8_t key_id[32],
                      emk_buf *b)
{
    emk_span point = forge_public(f, x->cose_key ? x->cose_key : 2);

    front(f, x->app_id, 0x40, x->counter, b);
    forge_raw(b, emk_span_of(x->aaguid ? x->aaguid : "appattest\0\0\0\0\0\0\0", 16));
    put_be(b, 32, 2);
    forge_raw(b, emk_span_of(key_id, 32));
    if (x->other_credential)
        b->p[b->len - 1] ^= 1;
    forge_hex(b, "a5 0102 0326 2001 215820");
    forge_raw(b, emk_span_of(point.p + 1, 32));
    forge_hex(b, "225820");
    forge_raw(b, emk_span_of(point.p + 33, 32));
    forge_hex(b, either(x->tail, ""));
}

static void leaf(const forge *f, const fake_app_attest *x, emk_span auth, emk_buf *out)
{
    uint8_t nonce[32];
    emk_buf value, list;

    emk_buf_init(&value, ROOM);
    emk_buf_init(&list, ROOM);
    hash_of(f, auth, hash_text(x->signed_hash, x->hash), nonce);
    forge_hex(&value, either(x->nonce_front, "3024a1220420"));
    forge_raw(&value, emk_span_of(nonce, sizeof nonce));
    forge_hex(&value, either(x->nonce_back, ""));
    if (!x->no_nonce)
        forge_extension(&list, OID_NONCE, false, emk_buf_span(&value));
    forge_hex(&list, "300c0603551d130101ff04023000");
    certificate(f,
                (forge_cert){.key = 2,
                             .issuer_key = 1,
                             .subject = "leaf",
                             .issuer = "middle",
                             .not_after = x->leaf_to,
                             .extensions = emk_buf_span(&list)},
                out);
    emk_buf_done(&list);
    emk_buf_done(&value);
}

static void put_text(emk_writer *w, const char *text)
{
    emk_cbor_put_text(w, emk_span_str(text));
}

static void put_x5c(const forge *f, const fake_app_attest *x, emk_span auth, emk_writer *w)
{
    size_t n = x->n_certs ? x->n_certs : 2;
    emk_buf der[3];

    for (size_t i = 0; i < 3; i++)
        emk_buf_init(&der[i], ROOM);
    leaf(f, x, auth, &der[0]);
    certificate(
        f,
        (forge_cert){
            .key = 1, .issuer_key = x->middle_signer, .subject = "middle", .issuer = f->root},
        &der[1]);
    fake_make_root(f, &der[2]);
    put_text(w, "x5c");
    emk_cbor_put_array(w, n);
    for (size_t i = 0; i < n; i++)
        emk_cbor_put_bytes(w, emk_buf_span(&der[i]));
    for (size_t i = 0; i < 3; i++)
        emk_buf_done(&der[i]);
}

void fake_make_attestation(const forge *f, const fake_app_attest *x, emk_buf *object,
                           uint8_t key_id[32])
{
    uint8_t room[ROOM];
    emk_writer w;
    emk_buf auth;

    emk_writer_init(&w, room, sizeof room);
    emk_buf_init(&auth, ROOM);
    hash_of(f, forge_public(f, 2), none(), key_id);
    auth_data(f, x, key_id, &auth);
    emk_cbor_put_map(&w, x->double_key ? 4 : 3);
    put_text(&w, "fmt");
    put_text(&w, either(x->fmt, "apple-appattest"));
    put_text(&w, "attStmt");
    emk_cbor_put_map(&w, x->no_receipt ? 1 : 2);
    put_x5c(f, x, emk_buf_span(&auth), &w);
    if (!x->no_receipt) {
        put_text(&w, "receipt");
        emk_cbor_put_bytes(&w, emk_span_str("receipt"));
    }
    for (int i = 0; i < 1 + x->double_key; i++) {
        put_text(&w, "authData");
        emk_cbor_put_bytes(&w, emk_buf_span(&auth));
    }
    forge_raw(object, emk_writer_span(&w));
    forge_hex(object, either(x->object_tail, ""));
    emk_buf_done(&auth);
}

void fake_make_assertion(const forge *f, const fake_assertion *x, emk_buf *out)
{
    uint8_t room[1024], nonce[32];
    emk_buf auth, sig;
    emk_writer w;
    emk_span msg = emk_span_of(nonce, sizeof nonce);

    emk_writer_init(&w, room, sizeof room);
    emk_buf_init(&auth, ROOM);
    emk_buf_init(&sig, ROOM);
    front(f, x->app_id, 0x40, x->counter, &auth);
    forge_hex(&auth, either(x->tail, ""));
    hash_of(f, emk_buf_span(&auth), hash_text(x->signed_hash, x->hash), nonce);
    if (x->digest_signed) { /* as if the nonce were the digest: the message is what it hashes */
        forge_raw(&auth, hash_text(x->signed_hash, x->hash));
        msg = emk_buf_span(&auth);
    }
    forge_sign(f, x->key ? x->key : 2, msg, &sig);
    if (x->digest_signed)
        auth.len -= hash_text(x->signed_hash, x->hash).len;
    emk_cbor_put_map(&w, x->double_key ? 3 : 2);
    for (int i = 0; i < 1 + x->double_key; i++) {
        put_text(&w, "signature");
        emk_cbor_put_bytes(&w, emk_buf_span(&sig));
    }
    put_text(&w, "authenticatorData");
    emk_cbor_put_bytes(&w, emk_buf_span(&auth));
    forge_raw(out, emk_writer_span(&w));
    emk_buf_done(&sig);
    emk_buf_done(&auth);
}

/* --- Android --------------------------------------------------------------------------------- */

static void application(const fake_android *x, emk_buf *b)
{
    uint8_t digest[32];
    emk_buf in;

    memset(digest, x->other_digest ? 0xbb : 0xaa, sizeof digest);
    emk_buf_init(&in, ROOM);
    forge_tlv(&in, 0x04, emk_span_str(either(x->package, FAKE_PACKAGE)));
    forge_uint(&in, 0x02, 7);
    forge_wrap(&in, 0x30);
    forge_wrap(&in, 0x31);
    forge_raw(b, emk_buf_span(&in));
    emk_buf_done(&in);
    forge_tlv(&in, 0x04, emk_span_of(digest, sizeof digest));
    forge_wrap(&in, 0x31);
    forge_raw(b, emk_buf_span(&in));
    forge_wrap(b, 0x30);
    forge_wrap(b, 0x04);
    emk_buf_done(&in);
}

static void software_list(const fake_android *x, emk_buf *b)
{
    emk_buf app;

    emk_buf_init(&app, ROOM);
    if (x->software) {
        forge_hex(b, x->software);
    } else {
        forge_hex(b, "bf853d08 020601a3185c5000"); /* [701] 1 800 000 000 000 ms */
        application(x, &app);
        forge_context(b, 709, emk_buf_span(&app));
    }
    forge_wrap(b, 0x30);
    emk_buf_done(&app);
}

static void hardware_list(const fake_android *x, emk_buf *b)
{
    char root[32];

    if (x->hardware) {
        forge_hex(b, x->hardware);
    } else {
        (void)snprintf(root, sizeof root, "0101%s 0a01%02x", x->unlocked ? "00" : "ff",
                       (unsigned)x->boot_state);
        forge_hex(b, "a1053103020102 bf853e03020100"); /* purpose sign; [702] generated */
        forge_hex(b, "bf8540 0e 300c 0404deadbeef");   /* [704] */
        forge_hex(b, root);
        forge_hex(b, "bf854205 02030316ac"); /* [706] 202412 */
    }
    forge_wrap(b, 0x30);
}

static uint64_t level_of(int given)
{
    return given < 0 ? 0 : given == 0 ? 1 : (uint64_t)given;
}

static void statement(const fake_android *x, emk_buf *b)
{
    emk_buf list;

    forge_uint(b, 0x02, x->version ? (uint64_t)x->version : 300);
    forge_uint(b, 0x0a, level_of(x->attest_level));
    forge_uint(b, 0x02, 300);
    forge_uint(b, 0x0a, level_of(x->key_level));
    forge_tlv(b, 0x04, hash_text(x->signed_hash, x->challenge));
    forge_hex(b, "0400");
    emk_buf_init(&list, ROOM);
    software_list(x, &list);
    forge_raw(b, emk_buf_span(&list));
    emk_buf_done(&list);
    hardware_list(x, &list);
    forge_raw(b, emk_buf_span(&list));
    emk_buf_done(&list);
    forge_hex(b, either(x->description, ""));
    forge_wrap(b, 0x30);
}

void fake_make_android(const forge *f, const fake_android *x, emk_buf der[FAKE_CERTS])
{
    emk_buf value, mine, above;
    const char *home = either(x->issuer_level, "TEE");

    emk_buf_init(&value, ROOM);
    emk_buf_init(&mine, ROOM);
    emk_buf_init(&above, ROOM);
    statement(x, &value);
    for (int i = 0; i < 1 + x->two_statements; i++)
        forge_extension(x->statement_only_above ? &above : &mine, OID_STATEMENT, false,
                        emk_buf_span(&value));
    if (x->statement_above)
        forge_extension(&above, OID_STATEMENT, false, emk_buf_span(&value));
    if (above.len > 0)
        forge_ca(&above);
    forge_hex(&mine, "300e0603551d0f0101ff040403020780");
    certificate(f,
                (forge_cert){.key = 2,
                             .issuer_key = 3,
                             .subject = "Android Keystore Key",
                             .issuer = home,
                             .issuer_attribute = "55040a",
                             .not_before = "700101000000Z",
                             .not_after = "700102000000Z",
                             .extensions = emk_buf_span(&mine)},
                &der[0]);
    certificate(f,
                (forge_cert){.key = 3,
                             .issuer_key = 1,
                             .subject = home,
                             .attribute = "55040a",
                             .issuer = "middle",
                             .issuer_attribute = x->factory ? "550405" : NULL,
                             .not_after = x->issuer_to,
                             .serial = x->serial,
                             .extensions = emk_buf_span(&above)},
                &der[1]);
    certificate(f,
                (forge_cert){.key = 1,
                             .issuer_key = x->middle_signer,
                             .subject = "middle",
                             .attribute = x->factory ? "550405" : NULL,
                             .issuer = f->root},
                &der[2]);
    fake_make_root(f, &der[3]);
    emk_buf_done(&above);
    emk_buf_done(&mine);
    emk_buf_done(&value);
}
