/* COSE messages encrypted with HPKE.  [draft-ietf-cose-hpke-24]
 * Integrated: COSE_Encrypt0, the HPKE ciphertext is the content.  Key encryption: COSE_Encrypt,
 * HPKE wraps the content key for one recipient. */
#include "tests/conformance/cose_parts.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/suite.h"

#include <inttypes.h>

typedef struct hpke_message {
    emk_span message, external_aad, info_extra, hpke_aad, psk, psk_id, plaintext;
    emk_hpke_suite suite; /* as "hpke" says */
    emk_hpke_mode mode;
    emk_kem_private *key;
} hpke_message;

typedef struct cose_key {
    int64_t kty, crv;
    emk_span d;
} cose_key;

static emk_status read_cose_key(emk_span in, cose_key *out, emk_error *e)
{
    emk_cbor_reader c;
    int64_t key;

    *out = (cose_key){0};
    emk_cbor_reader_init(&c, in);
    (void)emk_cbor_enter_map(&c);
    while (emk_cbor_next_key(&c, &key)) {
        if (key == 1)
            out->kty = emk_cbor_read_int(&c);
        else if (key == -1)
            out->crv = emk_cbor_read_int(&c);
        else if (key == -4)
            out->d = emk_cbor_read_bytes(&c);
        else
            emk_cbor_skip(&c);
    }
    emk_cbor_leave(&c);
    return emk_cbor_finish(&c, e);
}

static void read_message(emk_vec *v, const emk_dom *in, hpke_message *m)
{
    const emk_dom *hpke = emk_vec_object(v, in, "hpke");

    m->message = emk_vec_hex(v, in, "message");
    m->plaintext = emk_vec_hex(v, in, "plaintext");
    m->external_aad = emk_vec_hex_opt(v, in, "external_aad");
    m->info_extra = emk_vec_hex_opt(v, in, "hpke_info_extra");
    m->hpke_aad = emk_vec_hex_opt(v, in, "hpke_aad");
    m->psk = emk_vec_hex_opt(v, in, "psk");
    m->psk_id = emk_vec_hex_opt(v, in, "psk_id");
    m->suite.kem = (uint16_t)emk_vec_number(v, hpke, "kem_id", UINT16_MAX);
    m->suite.kdf = (uint16_t)emk_vec_number(v, hpke, "kdf_id", UINT16_MAX);
    m->suite.aead = (uint16_t)emk_vec_number(v, hpke, "aead_id", UINT16_MAX);
    m->mode = (emk_hpke_mode)emk_vec_number(v, hpke, "mode", EMK_HPKE_PSK);
}

static void import_key(emk_vec *v, const emk_dom *in, hpke_message *m)
{
    cose_key key;
    emk_error e = {0};
    emk_span bytes = emk_vec_hex(v, in, "cose_key");

    if (!emk_vec_is_well(v) || !emk_vec_ok(v, "cose_key", read_cose_key(bytes, &key, &e), &e))
        return;
    emk_vec_true(v, "the curve of cose_key goes with the KEM",
                 m->suite.kem == EMK_KEM_P256 ? key.kty == 2 && key.crv == 1
                                              : key.kty == 1 && key.crv == 4);
    emk_vec_ok(v, "private key", emk_kem_private_new(v->crypto, m->suite.kem, key.d, &m->key, &e),
               &e);
}

/* Opens what HPKE sealed, once everything around it was read. */
static bool open_hpke(emk_vec *v, const hpke_message *m, const emk_cose_layer *layer,
                      emk_hpke_in in, emk_span *out)
{
    bool key_encryption;
    emk_hpke_suite named;
    uint8_t *plain;
    emk_error e = {0};
    emk_status st;

    if (!emk_suite_from_cose(layer->head.alg, &named, &key_encryption)) {
        emk_vec_skip(v, "unsupported: COSE-HPKE algorithm %" PRId64, layer->head.alg);
        return false;
    }
    emk_vec_true(v, "the algorithm's number is the suite's",
                 named.kem == m->suite.kem && named.kdf == m->suite.kdf &&
                     named.aead == m->suite.aead);
    if (m->mode == EMK_HPKE_PSK)
        emk_vec_same(v, "psk_id", layer->head.psk_id, m->psk_id);
    in.suite = m->suite;
    in.mode = m->mode;
    in.psk = m->psk;
    in.psk_id = m->psk_id;
    if (!emk_vec_true(v, "the ciphertext has a tag", layer->content.len >= EMK_AEAD_TAG_LEN))
        return false;
    plain = emk_vec_take(v, layer->content.len);
    st = emk_hpke_open_once(&in, m->key, layer->head.ek, layer->content, plain, &e);
    *out = emk_span_of(plain, layer->content.len - EMK_AEAD_TAG_LEN);
    return emk_vec_ok(v, "open", st, &e);
}

static void run_integrated(emk_vec *v, const hpke_message *m, emk_cbor_reader *c)
{
    emk_cose_layer layer;
    emk_hpke_in in = {.info = m->info_extra};
    emk_error e = {0};
    emk_span plain;

    (void)emk_cbor_enter_array(c);
    emk_cose_read_layer(c, &layer);
    emk_cbor_leave(c);
    if (!emk_vec_ok(v, "message", emk_cbor_finish(c, &e), &e))
        return;
    in.aad = emk_cose_structure_bytes(
        v, &(emk_cose_structure){
               "Encrypt0", (const emk_span[]){layer.head.protected_bytes, m->external_aad}, 2});
    if (open_hpke(v, m, &layer, in, &plain))
        emk_vec_same(v, "plaintext", plain, m->plaintext);
}

/* ["HPKE Recipient", the content's algorithm, the recipient's protected header, extra] */
static void write_info(emk_writer *w, int64_t alg, emk_span protected_bytes, emk_span extra)
{
    emk_cbor_put_array(w, 4);
    emk_cbor_put_text(w, emk_span_str("HPKE Recipient"));
    emk_cbor_put_int(w, alg);
    emk_cbor_put_bytes(w, protected_bytes);
    emk_cbor_put_bytes(w, extra);
}

static emk_span recipient_info(emk_vec *v, int64_t alg, emk_span protected_bytes, emk_span extra)
{
    emk_writer w;
    size_t len;

    emk_writer_init(&w, NULL, 0);
    write_info(&w, alg, protected_bytes, extra);
    len = w.pos;
    emk_writer_init(&w, emk_vec_take(v, len), len);
    write_info(&w, alg, protected_bytes, extra);
    return emk_writer_span(&w);
}

static void open_content(emk_vec *v, const hpke_message *m, const emk_cose_layer *body,
                         emk_span cek)
{
    uint16_t id = body->head.alg == 1    ? EMK_AEAD_AES_128_GCM
                  : body->head.alg == 3  ? EMK_AEAD_AES_256_GCM
                  : body->head.alg == 24 ? EMK_AEAD_CHACHA20_POLY1305
                                         : 0;
    emk_span aad, content = body->content;
    uint8_t *out = emk_vec_take(v, content.len);
    size_t len = content.len - EMK_AEAD_TAG_LEN;
    emk_aead *aead = NULL;
    emk_error e = {0};

    if (id == 0) {
        emk_vec_skip(v, "unsupported: COSE algorithm %" PRId64, body->head.alg);
        return;
    }
    aad = emk_cose_structure_bytes(
        v, &(emk_cose_structure){
               "Encrypt", (const emk_span[]){body->head.protected_bytes, m->external_aad}, 2});
    if (emk_vec_true(v, "lengths of content key, nonce and content",
                     cek.len == emk_aead_key_len(id) && body->head.iv.len == EMK_AEAD_NONCE_LEN &&
                         content.len >= EMK_AEAD_TAG_LEN) &&
        emk_vec_ok(v, "aead", emk_aead_new(v->crypto, id, &aead, &e), &e) &&
        emk_vec_ok(v, "content key", emk_aead_set_key(aead, cek.p, &e), &e) &&
        emk_vec_ok(v, "content",
                   emk_aead_open(aead, body->head.iv.p, aad, emk_span_of(content.p, len),
                                 content.p + len, out, &e),
                   &e))
        emk_vec_same(v, "plaintext", emk_span_of(out, len), m->plaintext);
    emk_aead_free(aead);
}

static void run_key_encryption(emk_vec *v, const hpke_message *m, emk_cbor_reader *c)
{
    emk_cose_layer body, recipient;
    emk_hpke_in in = {.aad = m->hpke_aad};
    emk_error e = {0};
    emk_span cek;

    (void)emk_cbor_enter_array(c);
    emk_cose_read_layer(c, &body);
    if (emk_cbor_enter_array(c) != 1)
        emk_cbor_fail(c, EMK_E_FORMAT, "cose: other than one recipient", c->in.pos);
    (void)emk_cbor_enter_array(c);
    emk_cose_read_layer(c, &recipient);
    emk_cbor_leave(c);
    emk_cbor_leave(c);
    emk_cbor_leave(c);
    if (!emk_vec_ok(v, "message", emk_cbor_finish(c, &e), &e))
        return;
    in.info = recipient_info(v, body.head.alg, recipient.head.protected_bytes, m->info_extra);
    if (open_hpke(v, m, &recipient, in, &cek))
        open_content(v, m, &body, cek);
}

static void run_message(emk_vec *v, const emk_dom *in)
{
    hpke_message m = {0};
    emk_cbor_reader c;
    emk_hpke_suite named;
    emk_span alg = emk_vec_text(v, in, "alg");
    bool key_encryption;

    read_message(v, in, &m);
    if (!emk_vec_is_well(v))
        return;
    if (!emk_suite_from_name(alg, &named, &key_encryption)) {
        emk_vec_skip(v, "unsupported: COSE-HPKE algorithm %.*s", EMK_VEC_SHOWN(alg));
        return;
    }
    if (emk_suite_is_run(v, m.suite))
        import_key(v, in, &m);
    if (emk_vec_is_well(v)) {
        emk_cbor_reader_init(&c, m.message);
        emk_cose_enter(&c, key_encryption ? EMK_COSE_TAG_ENCRYPT : EMK_COSE_TAG_ENCRYPT0);
        if (key_encryption)
            run_key_encryption(v, &m, &c);
        else
            run_integrated(v, &m, &c);
    }
    emk_kem_private_free(m.key);
}

static bool is_cose_hpke(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && emk_dom_get(first, "cose_key") &&
           emk_dom_get(first, "message") && emk_dom_get(first, "hpke");
}

static void run_cose_hpke(emk_vec *v, const emk_dom *root)
{
    uint64_t id = 0;

    for (const emk_dom *in = root->first; in; in = in->next) {
        id++;
        (void)emk_dom_u64(emk_dom_get(in, "id"), &id);
        emk_vec_begin(v, "id %" PRIu64, id);
        run_message(v, in);
        emk_vec_end(v);
    }
}

const emk_json_format emk_format_cose_hpke = {"COSE-HPKE", is_cose_hpke, run_cose_hpke};
