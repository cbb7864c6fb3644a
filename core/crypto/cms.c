/* The BER part is a fixed schema, so indefinite lengths need no recursion: each layer that is
 * entered is a `layer`, which knows where it ends or that an end mark must follow. */
#include "core/crypto/cms.h"

#include "core/base/reader.h"
#include "core/codec/der.h"
#include "core/crypto/hash.h"

#define TAG_OCTETS       0x04u
#define TAG_OCTETS_PARTS 0x24u
#define TAG_SEQUENCE     0x30u
#define TAG_SET          0x31u
#define TAG_CONTEXT_0    0xa0u

static const uint8_t OID_SIGNED_DATA[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                          0xf7, 0x0d, 0x01, 0x07, 0x02};
static const uint8_t OID_DATA[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                   0xf7, 0x0d, 0x01, 0x07, 0x01};
static const uint8_t VERSION_1[] = {0x02, 0x01, 0x01};
/* contentType, messageDigest */
static const uint8_t OID_ATTRIBUTES[2][9] = {
    {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03},
    {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04}};
static const uint8_t OID_SHA256[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
static const uint8_t OID_ECDSA_SHA256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

/* --- BER ---------------------------------------------------------------------------------- */

typedef struct ber {
    emk_reader r;
    size_t end; /* of the innermost layer whose end is known */
    emk_status status;
    const char *what;
} ber;

typedef struct layer {
    size_t outer_end;
    bool indefinite;
} layer;

static void fail(ber *b, emk_status st, const char *what)
{
    if (b->status != EMK_OK)
        return;
    b->status = st;
    b->what = what;
}

static uint8_t peek(const ber *b)
{
    return b->status == EMK_OK && b->r.pos < b->end ? b->r.in.p[b->r.pos] : 0;
}

/* Reads a tag and a length; a definite one must be in the fewest bytes and lie inside. */
static size_t read_head(ber *b, uint8_t tag, bool *indefinite)
{
    uint8_t first;
    size_t len = 0, n = 0;

    if (emk_read_u8(&b->r) != tag)
        fail(b, EMK_E_FORMAT, "cms: another element was expected");
    first = emk_read_u8(&b->r);
    *indefinite = first == 0x80;
    if (first < 0x80) {
        len = first;
    } else if (first > 0x80) {
        n = first & 0x7fu;
        for (size_t i = 0; i < n && n <= 3; i++)
            len = len << 8 | emk_read_u8(&b->r);
        if (n > 3 || len < 0x80 || (n > 1 && len >> (8 * (n - 1)) == 0))
            fail(b, EMK_E_FORMAT, "cms: length");
    }
    if (b->r.cut || b->r.pos > b->end || len > b->end - b->r.pos)
        fail(b, EMK_E_FORMAT, "cms: cut short");
    return b->status == EMK_OK ? len : 0;
}

static layer enter(ber *b, uint8_t tag)
{
    layer l = {.outer_end = b->end};
    size_t len = read_head(b, tag, &l.indefinite);

    if (!l.indefinite && b->status == EMK_OK)
        b->end = b->r.pos + len;
    return l;
}

static void leave(ber *b, const layer *l)
{
    if (l->indefinite) {
        if (b->end - b->r.pos < 2 || emk_read_u16be(&b->r) != 0)
            fail(b, EMK_E_FORMAT, "cms: no end mark");
    } else if (b->r.pos != b->end) {
        fail(b, EMK_E_FORMAT, "cms: more than was expected");
    }
    b->end = l->outer_end;
}

/* A value of definite length; its contents. */
static emk_span read_value(ber *b, uint8_t tag)
{
    bool indefinite = false;
    size_t len = read_head(b, tag, &indefinite);

    if (indefinite)
        fail(b, EMK_E_FORMAT, "cms: indefinite length in DER");
    return b->status == EMK_OK ? emk_read_bytes(&b->r, len) : emk_span_of(NULL, 0);
}

static void expect(ber *b, const uint8_t *bytes, size_t len)
{
    emk_span got = emk_read_bytes(&b->r, len);

    if (b->r.cut || b->r.pos > b->end || !emk_span_equal(got, emk_span_of(bytes, len)))
        fail(b, EMK_E_FORMAT, "cms: not signed data of version 1");
}

/* --- the message --------------------------------------------------------------------------- */

static void append(ber *b, emk_span piece, emk_buf *out)
{
    emk_error e = {0};

    if (b->status == EMK_OK && emk_buf_append(out, piece, &e) != EMK_OK)
        fail(b, e.status, e.what);
}

static void read_content(ber *b, emk_buf *out)
{
    layer info = enter(b, TAG_SEQUENCE), tagged, parts;

    expect(b, OID_DATA, sizeof OID_DATA);
    tagged = enter(b, TAG_CONTEXT_0);
    if (peek(b) == TAG_OCTETS) {
        append(b, read_value(b, TAG_OCTETS), out);
    } else {
        parts = enter(b, TAG_OCTETS_PARTS);
        while (peek(b) == TAG_OCTETS)
            append(b, read_value(b, TAG_OCTETS), out);
        leave(b, &parts);
    }
    leave(b, &tagged);
    leave(b, &info);
}

static void read_certificates(ber *b, emk_cms *out)
{
    layer set = enter(b, TAG_CONTEXT_0);

    while (peek(b) == TAG_SEQUENCE) {
        size_t at = b->r.pos;

        (void)read_value(b, TAG_SEQUENCE);
        if (out->n_certs == EMK_X509_CHAIN_MAX) {
            fail(b, EMK_E_LIMIT, "cms: certificates");
            break;
        }
        out->certs[out->n_certs++] = emk_span_of(b->r.in.p + at, b->r.pos - at);
    }
    leave(b, &set);
}

static void read_algorithm(emk_der *d, emk_span want)
{
    emk_der in;

    emk_der_enter(d, EMK_DER_SEQUENCE, &in);
    if (!emk_span_equal(emk_der_read_oid(&in), want))
        emk_der_fail(&in, EMK_E_UNSUPPORTED, "cms: algorithm");
    if (emk_der_peek(&in) == EMK_DER_NULL)
        emk_der_read_null(&in);
    emk_der_leave(d, &in);
}

/* The one value of an attribute, tag and length included. */
static emk_span only_value(emk_der *one)
{
    emk_der values;
    emk_span v;

    emk_der_enter(one, EMK_DER_SET, &values);
    v = emk_der_read_raw(&values);
    emk_der_leave(one, &values);
    return v;
}

/* contentType is data, messageDigest is an OCTET STRING; others are passed over. */
static void read_attribute(emk_der *set, bool seen[2], emk_cms *out)
{
    emk_der one, value;
    emk_span oid, raw;

    emk_der_enter(set, EMK_DER_SEQUENCE, &one);
    oid = emk_der_read_oid(&one);
    for (size_t i = 0; i < 2; i++) {
        if (!emk_span_equal(oid, emk_span_of(OID_ATTRIBUTES[i], sizeof OID_ATTRIBUTES[i])))
            continue;
        if (seen[i])
            emk_der_fail(&one, EMK_E_FORMAT, "cms: attribute comes twice");
        seen[i] = true;
        raw = only_value(&one);
        if (i == 0 && !emk_span_equal(raw, emk_span_of(OID_DATA, sizeof OID_DATA)))
            emk_der_fail(&one, EMK_E_FORMAT, "cms: attributes of another type of content");
        if (i == 1) {
            emk_der_init(&value, raw);
            out->digest = emk_der_read(&value, EMK_DER_OCTETS);
        }
        emk_der_leave(set, &one);
        return;
    }
    (void)emk_der_read_raw(&one);
    emk_der_leave(set, &one);
}

static void read_attributes(emk_der *signer, emk_cms *out)
{
    bool seen[2] = {false, false};
    emk_der in, set;

    out->attributes = emk_der_read_raw(signer);
    emk_der_init(&in, out->attributes);
    emk_der_enter(&in, EMK_DER_CONTEXT(0), &set);
    while (emk_der_more(&set))
        read_attribute(&set, seen, out);
    emk_der_leave(&in, &set);
    if (!emk_der_ok(&in) || !seen[0] || !seen[1] || out->digest.len != EMK_SHA256_LEN)
        emk_der_fail(signer, EMK_E_FORMAT, "cms: signed attributes");
}

static emk_status read_signer(emk_span set, emk_cms *out, emk_error *e)
{
    emk_der d, one, name;

    emk_der_init(&d, set);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &one);
    if (emk_der_read_uint(&one) != 1)
        emk_der_fail(&one, EMK_E_UNSUPPORTED, "cms: version of the signer");
    emk_der_enter(&one, EMK_DER_SEQUENCE, &name);
    out->issuer = emk_der_read_raw(&name);
    out->serial = emk_der_read_integer(&name);
    emk_der_leave(&one, &name);
    read_algorithm(&one, emk_span_of(OID_SHA256, sizeof OID_SHA256));
    if (emk_der_peek(&one) == EMK_DER_CONTEXT(0))
        read_attributes(&one, out);
    read_algorithm(&one, emk_span_of(OID_ECDSA_SHA256, sizeof OID_ECDSA_SHA256));
    out->sig = emk_der_read(&one, EMK_DER_OCTETS);
    emk_der_leave(&d, &one); /* unsigned attributes are more than was expected */
    return emk_der_finish(&d, e);
}

emk_status emk_cms_read(emk_span in, emk_cms *out, emk_error *e)
{
    ber b = {.status = EMK_OK};
    layer outer, tagged, data;
    emk_span signers;

    *out = (emk_cms){0};
    emk_buf_init(&out->content, EMK_CMS_MAX);
    if (in.len > EMK_CMS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "cms: size", in.len);
    emk_reader_init(&b.r, in);
    b.end = in.len;
    outer = enter(&b, TAG_SEQUENCE);
    expect(&b, OID_SIGNED_DATA, sizeof OID_SIGNED_DATA);
    tagged = enter(&b, TAG_CONTEXT_0);
    data = enter(&b, TAG_SEQUENCE);
    expect(&b, VERSION_1, sizeof VERSION_1);
    (void)read_value(&b, TAG_SET); /* algorithms: the signer names its own */
    read_content(&b, &out->content);
    read_certificates(&b, out);
    signers = read_value(&b, TAG_SET);
    leave(&b, &data);
    leave(&b, &tagged);
    leave(&b, &outer);
    if (b.status == EMK_OK && b.r.pos != in.len)
        fail(&b, EMK_E_FORMAT, "cms: bytes behind the end");
    if (b.status != EMK_OK)
        return emk_fail(e, b.status, b.what, b.r.pos);
    return read_signer(signers, out, e);
}

void emk_cms_done(emk_cms *cms)
{
    emk_buf_done(&cms->content);
    *cms = (emk_cms){0};
}

/* --- verify --------------------------------------------------------------------------------- */

typedef struct bag {
    emk_x509 cert[EMK_X509_CHAIN_MAX];
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    size_t n;
} bag;

static bool is_anchor(const emk_x509 *cert, const emk_x509_rules *rules)
{
    for (size_t i = 0; i < rules->n_roots; i++)
        if (emk_span_equal(cert->subject, rules->roots[i].subject) &&
            emk_span_equal(cert->spki, rules->roots[i].spki))
            return true;
    return false;
}

static const emk_x509 *find_signer(const bag *b, size_t n, const emk_cms *cms)
{
    for (size_t i = 0; i < n; i++)
        if (emk_span_equal(b->cert[i].issuer, cms->issuer) &&
            emk_span_equal(b->cert[i].serial, cms->serial))
            return &b->cert[i];
    return NULL;
}

/* The certificates are a set: the chain is put in order by names, each used at most once because
 * the chain is no longer than the set. */
static void order(bag *b, size_t n, const emk_x509 *signer, const emk_x509_rules *rules)
{
    b->chain[0] = *signer;
    b->n = 1;
    while (b->n < n) {
        const emk_x509 *last = &b->chain[b->n - 1], *next = NULL;

        for (size_t i = 0; i < n && !next; i++)
            if (emk_span_equal(b->cert[i].subject, last->issuer))
                next = &b->cert[i];
        if (!next || is_anchor(next, rules))
            return;
        b->chain[b->n++] = *next;
    }
}

/* Of attributes their DER as a SET is signed, which is how they stand but for the first byte. */
static emk_status check_attributes(const emk_crypto *c, const emk_cms *cms, emk_span spki,
                                   emk_error *e)
{
    emk_x509_signed s = {.alg = EMK_X509_ALG_ECDSA_SHA256, .sig = cms->sig};
    const emk_span content = emk_buf_span(&cms->content);
    uint8_t hash[EMK_SHA256_LEN];
    emk_buf set;
    emk_status st = emk_sha256(c, &content, 1, hash, e);

    if (st == EMK_OK && !emk_span_equal(cms->digest, emk_span_of(hash, sizeof hash)))
        st = emk_fail(e, EMK_E_SIGNATURE, "cms: digest of another content", 0);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&set, EMK_CMS_MAX);
    st = emk_buf_append(&set, cms->attributes, e);
    if (st == EMK_OK) {
        set.p[0] = TAG_SET;
        s.msg = emk_buf_span(&set);
        st = emk_x509_check_signature(c, spki, &s, e);
    }
    emk_buf_done(&set);
    return st;
}

/* A content that is itself the attributes of another message would carry that one's signature. */
static bool is_like_attributes(emk_span content)
{
    emk_der d, set, one;
    emk_span oid;
    bool digest = false;

    emk_der_init(&d, content);
    emk_der_enter(&d, EMK_DER_SET, &set);
    while (emk_der_more(&set)) {
        emk_der_enter(&set, EMK_DER_SEQUENCE, &one);
        oid = emk_der_read_oid(&one);
        if (!emk_der_ok(&one))
            return false;
        digest =
            digest || emk_span_equal(oid, emk_span_of(OID_ATTRIBUTES[1], sizeof OID_ATTRIBUTES[1]));
        (void)emk_der_read_raw(&one);
        emk_der_leave(&set, &one);
    }
    return digest;
}

static emk_status check_signature(const emk_crypto *c, const emk_cms *cms, emk_span spki,
                                  emk_error *e)
{
    const emk_x509_signed s = {EMK_X509_ALG_ECDSA_SHA256, emk_buf_span(&cms->content), cms->sig};

    if (cms->attributes.len > 0)
        return check_attributes(c, cms, spki, e);
    if (is_like_attributes(s.msg))
        return emk_fail(e, EMK_E_SIGNATURE, "cms: the content is another message's attributes", 0);
    return emk_x509_check_signature(c, spki, &s, e);
}

static emk_status verify(const emk_crypto *c, const emk_cms *cms, const emk_x509_rules *rules,
                         bag *b, emk_error *e)
{
    emk_x509_rules path = *rules;
    const emk_x509 *signer;
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < cms->n_certs; i++)
        st = emk_x509_parse(cms->certs[i], &b->cert[i], e);
    if (st != EMK_OK)
        return st;
    signer = find_signer(b, cms->n_certs, cms);
    if (!signer)
        return emk_fail(e, EMK_E_SIGNATURE, "cms: the signer's certificate is not here", 0);
    order(b, cms->n_certs, signer, rules);
    path.root_in_chain = false;
    st = emk_x509_verify_chain(c, b->chain, b->n, &path, NULL, e);
    return st == EMK_OK ? check_signature(c, cms, signer->spki, e) : st;
}

emk_status emk_cms_verify(const emk_crypto *c, const emk_cms *cms, const emk_x509_rules *rules,
                          emk_x509 *signer, emk_error *e)
{
    bag b;
    emk_status st;

    b.n = 0;
    st = verify(c, cms, rules, &b, e);
    if (st == EMK_OK)
        *signer = b.chain[0];
    return st;
}
