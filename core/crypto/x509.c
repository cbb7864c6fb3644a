/* Certificates are read with our own strict reader, and only what is needed of them; libcrypto
 * gets a SubjectPublicKeyInfo whose form was checked, bytes and a signature. */
#include "core/crypto/x509.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "core/codec/der.h"
#include "core/crypto/hash.h"
#include "core/crypto/internal.h"
#include "core/crypto/rsa.h"

#include <openssl/x509.h>

#define NAME_LEN_MAX     2048u /* bytes of a Name */
#define RSA_EXPONENT_MAX 8u

#define OID(...)                                                               \
    {                                                                          \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
    }

static const emk_span OID_RSA = OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01);
static const emk_span OID_EC = OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01);
static const emk_span OID_P256 = OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07);
static const emk_span OID_P384 = OID(0x2b, 0x81, 0x04, 0x00, 0x22);
static const emk_span OID_P521 = OID(0x2b, 0x81, 0x04, 0x00, 0x23);
static const emk_span OID_ED25519 = OID(0x2b, 0x65, 0x70);

static const emk_span OID_KEY_USAGE = OID(0x55, 0x1d, 0x0f);
static const emk_span OID_ALT_NAME = OID(0x55, 0x1d, 0x11);
static const emk_span OID_CONSTRAINTS = OID(0x55, 0x1d, 0x13);
static const emk_span OID_POLICIES = OID(0x55, 0x1d, 0x20);
static const emk_span OID_EXT_KEY_USAGE = OID(0x55, 0x1d, 0x25);

/* A signature algorithm, the key it needs, the hash it names. */
static const struct alg_row {
    emk_x509_alg alg;
    emk_span oid;
    bool null; /* parameters: NULL must be there */
    bool rsa, ec;
    const char *hash; /* NULL: it brings its own */
} ALGS[] = {
    {EMK_X509_ALG_RSA_SHA256, OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b), true, true,
     false, "SHA256"},
    {EMK_X509_ALG_RSA_SHA384, OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c), true, true,
     false, "SHA384"},
    {EMK_X509_ALG_RSA_SHA512, OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d), true, true,
     false, "SHA512"},
    {EMK_X509_ALG_ECDSA_SHA256, OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02), false, false,
     true, "SHA256"},
    {EMK_X509_ALG_ECDSA_SHA384, OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03), false, false,
     true, "SHA384"},
    {EMK_X509_ALG_ECDSA_SHA512, OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04), false, false,
     true, "SHA512"},
    {EMK_X509_ALG_RSA_SHA1_LEGACY, OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05), true,
     true, false, "SHA1"},
    {EMK_X509_ALG_ED25519, OID(0x2b, 0x65, 0x70), false, false, false, NULL},
};

#define N_ALGS (sizeof ALGS / sizeof ALGS[0])

/* --- reading a certificate ------------------------------------------------------------ */

/* AlgorithmIdentifier of a signature; its parameters must be those of the algorithm, or two
 * certificates could differ in bytes that nobody looks at. */
static emk_x509_alg read_alg(emk_der *d, emk_span *raw)
{
    const struct alg_row *row = NULL;
    emk_der in;
    emk_span oid;

    emk_der_enter(d, EMK_DER_SEQUENCE, &in);
    oid = emk_der_read_oid(&in);
    for (size_t i = 0; i < N_ALGS; i++)
        if (emk_span_equal(oid, ALGS[i].oid))
            row = &ALGS[i];
    /* Some StrongBox chips write a NULL behind ECDSA too; it is signed, so it may be. */
    if (row && (row->null || emk_der_peek(&in) == EMK_DER_NULL))
        emk_der_read_null(&in);
    else if (!row && emk_der_more(&in))
        (void)emk_der_read_raw(&in);
    emk_der_leave(d, &in);
    *raw = in.in.in;
    return row && emk_der_ok(d) ? row->alg : EMK_X509_ALG_OTHER;
}

static emk_span read_name(emk_der *d)
{
    emk_span name = emk_der_read_raw(d);

    if (emk_der_ok(d) && name.p[0] != 0x30)
        emk_der_fail(d, EMK_E_FORMAT, "x509: name");
    if (name.len > NAME_LEN_MAX)
        emk_der_fail(d, EMK_E_LIMIT, "x509: name");
    return name;
}

/* What follows the OID in the AlgorithmIdentifier of a key. */
static emk_x509_key read_key_kind(emk_der *in)
{
    emk_span oid = emk_der_read_oid(in), curve;

    if (emk_span_equal(oid, OID_ED25519))
        return EMK_X509_KEY_ED25519;
    if (emk_span_equal(oid, OID_RSA)) {
        emk_der_read_null(in);
        return EMK_X509_KEY_RSA;
    }
    if (emk_span_equal(oid, OID_EC) && emk_der_peek(in) == EMK_DER_OID) {
        curve = emk_der_read_oid(in);
        if (emk_span_equal(curve, OID_P256))
            return EMK_X509_KEY_P256;
        if (emk_span_equal(curve, OID_P521))
            return EMK_X509_KEY_P521;
        return emk_span_equal(curve, OID_P384) ? EMK_X509_KEY_P384 : EMK_X509_KEY_OTHER;
    }
    if (emk_der_more(in))
        (void)emk_der_read_raw(in); /* a key of another kind: not ours to judge */
    return EMK_X509_KEY_OTHER;
}

static bool key_has_right_form(emk_x509_key kind, emk_span key)
{
    switch (kind) {
    case EMK_X509_KEY_P256:
        return key.len == 65 && key.p[0] == 0x04;
    case EMK_X509_KEY_P384:
        return key.len == 97 && key.p[0] == 0x04;
    case EMK_X509_KEY_P521:
        return key.len == 133 && key.p[0] == 0x04;
    case EMK_X509_KEY_ED25519:
        return key.len == 32;
    default:
        return true;
    }
}

static void read_spki(emk_der *d, emk_x509_key *kind, emk_span *key)
{
    emk_der in, alg;
    uint8_t unused;

    emk_der_enter(d, EMK_DER_SEQUENCE, &in);
    emk_der_enter(&in, EMK_DER_SEQUENCE, &alg);
    *kind = read_key_kind(&alg);
    emk_der_leave(&in, &alg);
    *key = emk_der_read_bits(&in, &unused);
    if (unused != 0 || (emk_der_ok(&in) && !key_has_right_form(*kind, *key)))
        emk_der_fail(&in, EMK_E_FORMAT, "x509: public key");
    emk_der_leave(d, &in);
}

static void read_constraints(emk_der *d, emk_x509 *out)
{
    emk_der in;
    uint64_t n;

    emk_der_enter(d, EMK_DER_SEQUENCE, &in);
    out->has_constraints = true;
    /* FALSE is the default and stands in old certificates all the same. */
    if (emk_der_peek(&in) == EMK_DER_BOOLEAN)
        out->ca = emk_der_read_bool(&in);
    if (emk_der_more(&in)) {
        n = emk_der_read_uint(&in);
        out->has_path_len = true;
        out->path_len = n > EMK_X509_CHAIN_MAX ? EMK_X509_CHAIN_MAX : (uint32_t)n;
    }
    emk_der_leave(d, &in);
}

static void read_key_usage(emk_der *d, emk_x509 *out)
{
    uint8_t unused;
    emk_span bits = emk_der_read_bits(d, &unused);

    if (bits.len > 2)
        emk_der_fail(d, EMK_E_FORMAT, "x509: keyUsage");
    out->has_key_usage = true;
    for (uint32_t i = 0; emk_der_ok(d) && i < 8 * bits.len; i++)
        if (bits.p[i / 8] & (0x80u >> i % 8))
            out->key_usage |= 1u << i;
}

typedef struct extension {
    emk_span oid, value;
    bool critical;
} extension;

static extension read_extension(emk_der *list)
{
    extension x = {0};
    emk_der in;

    emk_der_enter(list, EMK_DER_SEQUENCE, &in);
    x.oid = emk_der_read_oid(&in);
    if (emk_der_peek(&in) == EMK_DER_BOOLEAN)
        x.critical = emk_der_read_bool(&in);
    x.value = emk_der_read(&in, EMK_DER_OCTETS);
    emk_der_leave(list, &in);
    return x;
}

/* The extensions whose contents mean something to a chain. */
static void look_into(emk_der *list, const extension *x, emk_x509 *out)
{
    emk_der d;

    emk_der_init(&d, x->value);
    d.base = list->base + list->in.pos - x->value.len;
    if (emk_span_equal(x->oid, OID_CONSTRAINTS))
        read_constraints(&d, out);
    else if (emk_span_equal(x->oid, OID_KEY_USAGE))
        read_key_usage(&d, out);
    else {
        out->unknown_critical =
            out->unknown_critical ||
            (x->critical && !emk_span_equal(x->oid, OID_ALT_NAME) &&
             !emk_span_equal(x->oid, OID_EXT_KEY_USAGE) && !emk_span_equal(x->oid, OID_POLICIES));
        return;
    }
    emk_der_leave(list, &d);
}

static void read_extensions(emk_der *tbs, emk_x509 *out)
{
    emk_span seen[EMK_X509_EXTENSIONS_MAX];
    emk_der outer, list;
    size_t n = 0;

    emk_der_enter(tbs, EMK_DER_CONTEXT(3), &outer);
    emk_der_enter(&outer, EMK_DER_SEQUENCE, &list);
    out->extensions = list.in.in;
    if (emk_der_ok(&list) && !emk_der_more(&list))
        emk_der_fail(&list, EMK_E_FORMAT, "x509: no extension in the list");
    while (emk_der_more(&list)) {
        extension x = read_extension(&list);

        if (n == EMK_X509_EXTENSIONS_MAX) {
            emk_der_fail(&list, EMK_E_LIMIT, "x509: extensions");
            break;
        }
        for (size_t i = 0; i < n; i++)
            if (emk_span_equal(seen[i], x.oid))
                emk_der_fail(&list, EMK_E_FORMAT, "x509: extension comes twice");
        seen[n++] = x.oid;
        if (emk_der_ok(&list))
            look_into(&list, &x, out);
    }
    emk_der_leave(&outer, &list);
    emk_der_leave(tbs, &outer);
}

/* Version 1 has no number; 2 and 3 have one.  Extensions need 3. */
static uint64_t read_version(emk_der *tbs)
{
    emk_der in;
    uint64_t v;

    if (emk_der_peek(tbs) != EMK_DER_CONTEXT(0))
        return 0;
    emk_der_enter(tbs, EMK_DER_CONTEXT(0), &in);
    v = emk_der_read_uint(&in);
    if (emk_der_ok(&in) && (v == 0 || v > 2))
        emk_der_fail(&in, EMK_E_FORMAT, "x509: version");
    emk_der_leave(tbs, &in);
    return v;
}

static void read_validity(emk_der *tbs, emk_x509 *out)
{
    emk_der in;

    emk_der_enter(tbs, EMK_DER_SEQUENCE, &in);
    out->not_before = emk_der_read_time(&in);
    out->not_after = emk_der_read_time(&in);
    emk_der_leave(tbs, &in);
}

/* Lends the next value, tag and length included, and reads it as a key. */
static void read_subject_key(emk_der *tbs, emk_x509 *out)
{
    size_t at = tbs->in.pos;

    read_spki(tbs, &out->key_kind, &out->key);
    if (emk_der_ok(tbs))
        out->spki = emk_span_of(tbs->in.in.p + at, tbs->in.pos - at);
}

/* *alg: its AlgorithmIdentifier, contents. */
static void read_tbs(emk_der *d, emk_x509 *out, emk_span *alg)
{
    emk_der tbs;
    uint64_t version;

    emk_der_enter(d, EMK_DER_SEQUENCE, &tbs);
    version = read_version(&tbs);
    out->serial = emk_der_read_integer(&tbs);
    if (out->serial.len > EMK_X509_SERIAL_MAX)
        emk_der_fail(&tbs, EMK_E_LIMIT, "x509: serial number");
    out->alg = read_alg(&tbs, alg);
    out->issuer = read_name(&tbs);
    read_validity(&tbs, out);
    out->subject = read_name(&tbs);
    read_subject_key(&tbs, out);
    if (emk_der_peek(&tbs) == EMK_DER_CONTEXT_PRIMITIVE(1) ||
        emk_der_peek(&tbs) == EMK_DER_CONTEXT_PRIMITIVE(2))
        emk_der_fail(&tbs, EMK_E_UNSUPPORTED, "x509: unique identifier");
    if (version == 2 && emk_der_more(&tbs))
        read_extensions(&tbs, out);
    emk_der_leave(d, &tbs);
}

emk_status emk_x509_parse(emk_span der, emk_x509 *out, emk_error *e)
{
    emk_x509 x = {0};
    emk_span inside, outside;
    emk_der d, cert;
    emk_status st;
    uint8_t unused;
    size_t at;

    if (der.len > EMK_X509_CERT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "x509: certificate", der.len);
    emk_der_init(&d, der);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &cert);
    at = cert.in.pos;
    read_tbs(&cert, &x, &inside);
    if (emk_der_ok(&cert))
        x.tbs = emk_span_of(cert.in.in.p + at, cert.in.pos - at);
    (void)read_alg(&cert, &outside);
    if (!emk_span_equal(inside, outside))
        emk_der_fail(&cert, EMK_E_FORMAT, "x509: signed with another algorithm than it says");
    x.sig = emk_der_read_bits(&cert, &unused);
    if (unused != 0)
        emk_der_fail(&cert, EMK_E_FORMAT, "x509: signature");
    emk_der_leave(&d, &cert);
    st = emk_der_finish(&d, e);
    if (st != EMK_OK)
        return st;
    x.der = der;
    *out = x;
    return EMK_OK;
}

bool emk_x509_extension(const emk_x509 *cert, emk_span oid, emk_span *value, bool *critical)
{
    emk_der list;

    emk_der_init(&list, cert->extensions);
    while (emk_der_more(&list)) {
        extension x = read_extension(&list);

        if (!emk_der_ok(&list) || !emk_span_equal(x.oid, oid))
            continue;
        *value = x.value;
        *critical = x.critical;
        return true;
    }
    return false;
}

bool emk_x509_name_find(emk_span name, emk_span oid, emk_span *value)
{
    emk_der d, rdns, set, pair;
    emk_span got, raw;

    emk_der_init(&d, name);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &rdns);
    while (emk_der_more(&rdns)) {
        emk_der_enter(&rdns, EMK_DER_SET, &set);
        while (emk_der_more(&set)) {
            emk_der_enter(&set, EMK_DER_SEQUENCE, &pair);
            got = emk_der_read_oid(&pair);
            raw = emk_der_read(&pair, emk_der_peek(&pair));
            emk_der_leave(&set, &pair);
            if (emk_der_ok(&set) && emk_span_equal(got, oid)) {
                *value = raw;
                return true;
            }
        }
        emk_der_leave(&rdns, &set);
    }
    return false;
}

/* --- signatures ------------------------------------------------------------------------ */

static const struct alg_row *find_alg(emk_x509_alg alg)
{
    for (size_t i = 0; i < N_ALGS; i++)
        if (ALGS[i].alg == alg)
            return &ALGS[i];
    return NULL;
}

/* A modulus or exponent of any size would let a forger choose how long we work. */
static emk_status check_rsa(emk_span key, emk_error *e)
{
    emk_der d, in;
    emk_span n, exponent;
    emk_status st;

    emk_der_init(&d, key);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    n = emk_der_read_integer(&in);
    exponent = emk_der_read_integer(&in);
    emk_der_leave(&d, &in);
    st = emk_der_finish(&d, e);
    if (st != EMK_OK)
        return st;
    if (n.p[0] >= 0x80 || exponent.p[0] >= 0x80)
        return emk_fail(e, EMK_E_FORMAT, "x509: RSA key", 0);
    if (n.p[0] == 0)
        n = emk_span_of(n.p + 1, n.len - 1);
    if (n.len < EMK_X509_RSA_MIN || n.len > EMK_X509_RSA_MAX || exponent.len > RSA_EXPONENT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "x509: size of an RSA key", n.len);
    if (emk_rsa_is_roca(n))
        return emk_fail(e, EMK_E_FORMAT, "x509: an RSA key that can be factored (ROCA)", 0);
    return EMK_OK;
}

emk_status emk_x509_read_key(emk_span spki, emk_x509_key *kind, emk_span *key, emk_error *e)
{
    emk_x509_key found;
    emk_span bits;
    emk_der d;
    emk_status st;

    if (spki.len > EMK_X509_CERT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "x509: public key", spki.len);
    emk_der_init(&d, spki);
    read_spki(&d, &found, &bits);
    st = emk_der_finish(&d, e);
    if (st == EMK_OK && found == EMK_X509_KEY_RSA)
        st = check_rsa(bits, e);
    if (st != EMK_OK)
        return st;
    *kind = found;
    *key = bits;
    return EMK_OK;
}

static emk_status check_pair(emk_span spki, const struct alg_row *row, emk_error *e)
{
    emk_x509_key kind;
    emk_span key;
    emk_status st = emk_x509_read_key(spki, &kind, &key, e);

    if (st != EMK_OK)
        return st;
    if (!row || kind == EMK_X509_KEY_OTHER || row->rsa != (kind == EMK_X509_KEY_RSA) ||
        row->ec !=
            (kind == EMK_X509_KEY_P256 || kind == EMK_X509_KEY_P384 || kind == EMK_X509_KEY_P521))
        return emk_fail(e, EMK_E_UNSUPPORTED, "x509: this signature algorithm with this key", 0);
    return EMK_OK;
}

static emk_status verify_with(const emk_crypto *c, EVP_PKEY *key, const struct alg_row *row,
                              const emk_x509_signed *s, emk_error *e)
{
    EVP_MD_CTX *ctx = emk_lib_hit() ? NULL : EVP_MD_CTX_new();
    emk_status st = EMK_OK;

    if (!ctx)
        return emk_lib_fail(e, "x509: verify");
    if (emk_lib_hit() ||
        EVP_DigestVerifyInit_ex(ctx, NULL, row->hash, c->lib, c->propq, key, NULL) != 1)
        st = emk_lib_fail(e, "x509: verify");
    else if (emk_lib_hit())
        st = emk_lib_fail(e, "x509: verify");
    else if (EVP_DigestVerify(ctx, s->sig.p, s->sig.len, s->msg.p, s->msg.len) != 1)
        st = emk_lib_refuse(e, EMK_E_SIGNATURE, "x509: signature");
    EVP_MD_CTX_free(ctx);
    return st;
}

static emk_status check_signature(const emk_crypto *c, emk_span spki, const emk_x509_signed *s,
                                  emk_error *e)
{
    const struct alg_row *row = find_alg(s->alg);
    const unsigned char *p = spki.p;
    EVP_PKEY *key;
    emk_status st;

    st = check_pair(spki, row, e);
    if (st != EMK_OK)
        return st;
    if (emk_lib_hit())
        return emk_lib_fail(e, "x509: public key");
    key = d2i_PUBKEY_ex(NULL, &p, (long)spki.len, c->lib, c->propq);
    if (!key)
        return emk_lib_refuse(e, EMK_E_FORMAT, "x509: public key");
    st = verify_with(c, key, row, s, e);
    EVP_PKEY_free(key);
    return st;
}

emk_status emk_x509_check_signature(const emk_crypto *c, emk_span spki, const emk_x509_signed *s,
                                    emk_error *e)
{
    if (s->alg == EMK_X509_ALG_RSA_SHA1_LEGACY)
        return emk_fail(e, EMK_E_UNSUPPORTED, "x509: signed with SHA-1", 0);
    return check_signature(c, spki, s, e);
}

/* --- what was verified before ----------------------------------------------------------------- */

typedef struct memo_entry {
    uint8_t key[EMK_SHA256_LEN];
    uint64_t used; /* by the clock of the memo; 0: empty */
} memo_entry;

struct emk_x509_memo {
    emk_lock *lock; /* owned; guards all below */
    uint64_t clock;
    uint64_t hits, misses;
    size_t n;
    memo_entry entries[];
};

emk_status emk_x509_memo_new(size_t n, emk_x509_memo **out, emk_error *e)
{
    emk_x509_memo *m;
    emk_status st;

    if (n == 0 || n > EMK_X509_MEMO_MAX)
        return emk_fail(e, EMK_E_USAGE, "x509: entries of a memo", n);
    m = emk_alloc(1, sizeof *m + n * sizeof m->entries[0]);
    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "x509: memo", n);
    st = emk_lock_new(&m->lock, e);
    if (st != EMK_OK) {
        emk_free(m);
        return st;
    }
    m->n = n;
    *out = m;
    return EMK_OK;
}

void emk_x509_memo_counts(emk_x509_memo *m, uint64_t *hits, uint64_t *misses)
{
    emk_lock_take(m->lock);
    if (hits)
        *hits = m->hits;
    if (misses)
        *misses = m->misses;
    emk_lock_give(m->lock);
}

void emk_x509_memo_free(emk_x509_memo *m)
{
    if (!m)
        return;
    emk_lock_free(m->lock);
    emk_free(m);
}

/* The whole certificate and the whole key: nothing that the signature depends on is left out.
 * Both are DER, so where one ends and the other begins is plain. */
static emk_status memo_key(const emk_crypto *c, const emk_x509 *cert, emk_span spki,
                           uint8_t key[EMK_SHA256_LEN], emk_error *e)
{
    const emk_span parts[] = {cert->der, spki};

    return emk_sha256(c, parts, 2, key, e);
}

static bool memo_knows(emk_x509_memo *m, const uint8_t key[EMK_SHA256_LEN])
{
    bool found = false;

    emk_lock_take(m->lock);
    for (size_t i = 0; i < m->n && !found; i++) {
        memo_entry *x = &m->entries[i];

        found = x->used && memcmp(x->key, key, sizeof x->key) == 0;
        if (found)
            x->used = ++m->clock;
    }
    *(found ? &m->hits : &m->misses) += 1;
    emk_lock_give(m->lock);
    return found;
}

static void memo_put(emk_x509_memo *m, const uint8_t key[EMK_SHA256_LEN])
{
    memo_entry *oldest = &m->entries[0];

    emk_lock_take(m->lock);
    for (size_t i = 1; i < m->n; i++)
        if (m->entries[i].used < oldest->used)
            oldest = &m->entries[i];
    memcpy(oldest->key, key, sizeof oldest->key);
    oldest->used = ++m->clock;
    emk_lock_give(m->lock);
}

/* --- chains ------------------------------------------------------------------------------ */

static emk_status check_dates(const emk_x509 *cert, emk_x509_dates which, int64_t now, size_t at,
                              emk_error *e)
{
    if (which != EMK_X509_DATES_NONE && now < cert->not_before)
        return emk_fail(e, EMK_E_STALE, "x509: certificate is not yet valid", at);
    if (which == EMK_X509_DATES_BOTH && now > cert->not_after)
        return emk_fail(e, EMK_E_STALE, "x509: certificate has expired", at);
    return EMK_OK;
}

/* Whether chain[at] may issue: at - 1 certificates stand between it and the leaf. */
static emk_status check_issuer(const emk_x509 *cert, size_t at, emk_error *e)
{
    if (!cert->has_constraints || !cert->ca)
        return emk_fail(e, EMK_E_SIGNATURE, "x509: issuer is no certificate authority", at);
    if (cert->has_key_usage && !(cert->key_usage & EMK_X509_USE_CERT_SIGN))
        return emk_fail(e, EMK_E_SIGNATURE, "x509: issuer may not sign certificates", at);
    if (cert->has_path_len && at - 1 > cert->path_len)
        return emk_fail(e, EMK_E_SIGNATURE, "x509: path is too long", at);
    return EMK_OK;
}

static emk_status check_one(const emk_x509 *chain, size_t at, const emk_x509_rules *rules,
                            emk_error *e)
{
    emk_status st = EMK_OK;

    if (chain[at].unknown_critical)
        return emk_fail(e, EMK_E_UNSUPPORTED, "x509: unknown critical extension", at);
    if (at > 0 && !rules->any_may_issue)
        st = check_issuer(&chain[at], at, e);
    if (st != EMK_OK)
        return st;
    return check_dates(&chain[at], at == 0 ? rules->leaf_dates : rules->issuer_dates, rules->time_s,
                       at, e);
}

static emk_status check_remembered(const emk_crypto *c, const emk_x509 *cert,
                                   const emk_x509 *issuer, emk_x509_memo *memo, emk_error *e)
{
    const emk_x509_signed s = {cert->alg, cert->tbs, cert->sig};
    uint8_t key[EMK_SHA256_LEN];
    emk_status st;

    if (!memo)
        return check_signature(c, issuer->spki, &s, e);
    st = memo_key(c, cert, issuer->spki, key, e);
    if (st != EMK_OK || memo_knows(memo, key))
        return st;
    st = check_signature(c, issuer->spki, &s, e);
    if (st == EMK_OK)
        memo_put(memo, key);
    return st;
}

/* A leaf is not remembered: it is new with each device, and would push out what is not. */
static emk_status check_signed_by(const emk_crypto *c, const emk_x509 *cert, const emk_x509 *issuer,
                                  size_t at, const emk_x509_rules *rules, emk_error *e)
{
    emk_status st;

    if (!emk_span_equal(cert->issuer, issuer->subject))
        return emk_fail(e, EMK_E_SIGNATURE, "x509: issued under another name", at);
    if (cert->alg == EMK_X509_ALG_RSA_SHA1_LEGACY && (at > 0 || !rules->sha1_leaf))
        return emk_fail(e, EMK_E_UNSUPPORTED, "x509: signed with SHA-1", at);
    st = check_remembered(c, cert, issuer, at > 0 ? rules->memo : NULL, e);
    if (st != EMK_OK && e)
        e->where = at;
    return st;
}

static bool is_root(const emk_x509 *cert, const emk_x509 *root)
{
    return emk_span_equal(cert->subject, root->subject) && emk_span_equal(cert->spki, root->spki);
}

/* A root anywhere but at the end: it would verify, and let a forger choose how many certificates
 * seem to stand below it. */
static emk_status check_no_root(const emk_x509 *chain, size_t n, const emk_x509_rules *rules,
                                emk_error *e)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < rules->n_roots; j++)
            if (is_root(&chain[i], &rules->roots[j]))
                return emk_fail(e, EMK_E_SIGNATURE, "x509: root inside the chain", i);
    return EMK_OK;
}

/* The root that the last certificate is, or is signed by: of several with its name, one whose
 * key verifies. */
static emk_status find_root(const emk_crypto *c, const emk_x509 *last, size_t at,
                            const emk_x509_rules *rules, size_t *root, emk_error *e)
{
    emk_status st = emk_fail(e, EMK_E_SIGNATURE, "x509: chain does not end at a trusted root", 0);

    for (size_t i = 0; i < rules->n_roots; i++) {
        const emk_x509 *r = &rules->roots[i];

        if (rules->root_in_chain ? !is_root(last, r) : !emk_span_equal(last->issuer, r->subject))
            continue;
        st = rules->root_in_chain ? EMK_OK : check_signed_by(c, last, r, at, rules, e);
        *root = i;
        if (st != EMK_E_SIGNATURE)
            break; /* good, or not to be found out */
    }
    return st;
}

emk_status emk_x509_verify_chain(const emk_crypto *c, const emk_x509 *chain, size_t n,
                                 const emk_x509_rules *rules, size_t *root, emk_error *e)
{
    size_t anchor = 0, n_checked;
    emk_status st;

    if (rules->n_roots == 0)
        return emk_fail(e, EMK_E_USAGE, "x509: no roots", 0);
    if (n == 0 || n > EMK_X509_CHAIN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "x509: certificates in a chain", n);
    n_checked = rules->root_in_chain ? n - 1 : n; /* a root has its key, the rest proves nothing */
    st = check_no_root(chain, n_checked, rules, e);
    if (st != EMK_OK)
        return st;
    st = find_root(c, &chain[n - 1], n - 1, rules, &anchor, e);
    if (st != EMK_OK) {
        if (e)
            e->where = n - 1;
        return st;
    }
    if (n_checked == 0)
        return emk_fail(e, EMK_E_SIGNATURE, "x509: nothing below the root", 0);
    for (size_t i = n_checked; st == EMK_OK && i-- > 0;) {
        if (i + 1 < n)
            st = check_signed_by(c, &chain[i], &chain[i + 1], i, rules, e);
        if (st == EMK_OK)
            st = check_one(chain, i, rules, e);
    }
    if (st == EMK_OK && root)
        *root = anchor;
    return st;
}
