#include "tests/conformance/cose_parts.h"

enum { ALG = 1, CRIT = 2, KID = 4, IV = 5 };

void emk_cose_enter(emk_cbor_reader *c, uint64_t want)
{
    if (emk_cbor_peek(c) == EMK_CBOR_TAG)
        emk_cbor_read_tag(c, want);
}

static void read_alg(emk_cbor_reader *c, emk_cose_head *out)
{
    emk_cbor_type type = emk_cbor_peek(c);

    out->has_alg = true;
    if (type == EMK_CBOR_TEXT)
        (void)emk_cbor_read_text(c);
    else
        out->alg = emk_cbor_read_int(c);
}

static void read_map(emk_cbor_reader *c, emk_cose_head *out)
{
    int64_t key;

    (void)emk_cbor_enter_map(c);
    while (emk_cbor_next_key(c, &key)) {
        if (key == ALG)
            read_alg(c, out);
        else if (key == KID)
            out->kid = emk_cbor_read_bytes(c);
        else if (key == IV)
            out->iv = emk_cbor_read_bytes(c);
        else if (key == EMK_COSE_HPKE_EK)
            out->ek = emk_cbor_read_bytes(c);
        else if (key == EMK_COSE_HPKE_PSK_ID)
            out->psk_id = emk_cbor_read_bytes(c);
        else
            emk_cbor_skip(c);
        if (key == CRIT)
            out->has_crit = true;
    }
    emk_cbor_leave(c);
}

/* An empty map may also stand as h'a0'; what is signed is the empty string. [RFC 9052 3] */
static void read_protected(emk_cbor_reader *c, emk_cose_head *out)
{
    emk_span bytes = emk_cbor_read_bytes(c);
    emk_cbor_reader inner;
    emk_error e = {0};

    out->protected_bytes = bytes;
    if (bytes.len == 0)
        return;
    if (bytes.len == 1 && bytes.p[0] == 0xa0) {
        out->protected_bytes = emk_span_of("", 0);
        return;
    }
    emk_cbor_reader_init(&inner, bytes);
    read_map(&inner, out);
    if (emk_cbor_finish(&inner, &e) != EMK_OK)
        emk_cbor_fail(c, e.status, "cose: protected header", e.where);
}

void emk_cose_read_layer(emk_cbor_reader *c, emk_cose_layer *out)
{
    *out = (emk_cose_layer){0};
    read_protected(c, &out->head);
    read_map(c, &out->head);
    if (emk_cbor_peek(c) == EMK_CBOR_NULL)
        emk_cbor_read_null(c);
    else
        out->content = emk_cbor_read_bytes(c);
}

static void write_structure(emk_writer *w, const emk_cose_structure *in)
{
    emk_cbor_put_array(w, in->n + 1);
    emk_cbor_put_text(w, emk_span_str(in->context));
    for (size_t i = 0; i < in->n; i++)
        emk_cbor_put_bytes(w, in->parts[i]);
}

emk_span emk_cose_structure_bytes(emk_vec *v, const emk_cose_structure *in)
{
    emk_writer w;
    size_t len;

    emk_writer_init(&w, NULL, 0);
    write_structure(&w, in);
    len = w.pos;
    emk_writer_init(&w, emk_vec_take(v, len), len);
    write_structure(&w, in);
    return emk_writer_span(&w);
}
