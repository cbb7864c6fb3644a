/* The age testkit: one encrypted file, who tries to open it, and what must come of that.
 * [c2sp.org/age] [github.com/C2SP/CCTV age]
 *
 * Six outcomes instead of two, so that a wrong reader is not covered by a later MAC; and what
 * was let out before a failure is compared too. */
#include "core/base/reader.h"
#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/hash.h"
#include "core/crypto/hpke.h"
#include "core/crypto/kdf.h"
#include "tests/conformance/age_text.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/stream_cipher.h"
#include "tests/conformance/text_head.h"

#define VERSION_LINE    "age-encryption.org/v1"
#define STANZAS_MAX     1024u
#define ARGS_MAX        8u
#define LINE_COLUMNS    64u
#define FILE_KEY_LEN    16u
#define BODY_LEN        32u /* a file key and its tag */
#define NONCE_LEN       16u
#define CHUNK_LEN       65536u
#define WORK_FACTOR_MAX 22u          /* the log of scrypt's n that age itself still takes */
#define SCRYPT_MEM_MAX  (300u << 20) /* bytes; a test should not need more */

typedef enum outcome {
    SUCCESS,
    NO_MATCH,
    HMAC_FAILURE,
    HEADER_FAILURE,
    PAYLOAD_FAILURE,
    ARMOR_FAILURE,
    CANNOT_RUN, /* the test is skipped already */
    OUTCOMES
} outcome;

static const char *const names[OUTCOMES] = {"success",        "no match",        "HMAC failure",
                                            "header failure", "payload failure", "armor failure",
                                            "skipped"};

typedef struct stanza {
    emk_span arg[ARGS_MAX];
    size_t n_args;
    emk_span body; /* decoded */
} stanza;

typedef struct age_file {
    stanza *stanzas;
    size_t n_stanzas;
    emk_span authenticated; /* the header up to and with "---" */
    emk_span mac;
    emk_span payload; /* behind the header */
} age_file;

static bool take_line(emk_reader *r, emk_span *line)
{
    const uint8_t *p = r->in.p + r->pos;
    const uint8_t *end = emk_reader_left(r) > 0 ? memchr(p, '\n', emk_reader_left(r)) : NULL;

    if (!end)
        return false;
    *line = emk_read_bytes(r, (size_t)(end - p));
    (void)emk_read_u8(r);
    return true;
}

/* Arguments are separated by exactly one space and made of visible ASCII. */
static bool read_args(emk_span line, stanza *s)
{
    size_t from = 0;

    s->n_args = 0;
    for (size_t i = 0; i <= line.len; i++) {
        if (i < line.len && line.p[i] > ' ' && line.p[i] <= '~')
            continue;
        if (i == from || (i < line.len && line.p[i] != ' '))
            return false;
        if (s->n_args < ARGS_MAX)
            s->arg[s->n_args] = emk_span_of(line.p + from, i - from);
        s->n_args++;
        from = i + 1;
    }
    return true;
}

/* Full lines, then one that is shorter, perhaps empty. */
static bool read_stanza_body(emk_vec *v, emk_reader *r, stanza *s)
{
    size_t begin = r->pos, len = 0;
    emk_span line, bytes;
    uint8_t *out;

    do {
        if (!take_line(r, &line) || line.len > LINE_COLUMNS)
            return false;
        len += line.len;
    } while (line.len == LINE_COLUMNS);
    out = emk_vec_take(v, len);
    r->pos = begin;
    s->body = emk_span_of(out, 0);
    do {
        (void)take_line(r, &line);
        if (!emk_age_base64(v, line, false, &bytes))
            return false;
        memcpy(out + s->body.len, bytes.p, bytes.len);
        s->body.len += bytes.len;
    } while (line.len == LINE_COLUMNS);
    return true;
}

static bool begins(emk_span line, const char *with)
{
    return line.len >= strlen(with) && memcmp(line.p, with, strlen(with)) == 0;
}

static bool read_header(emk_vec *v, emk_span in, age_file *out)
{
    emk_reader r;
    emk_span line;

    emk_reader_init(&r, in);
    if (!take_line(&r, &line) || !emk_span_equal(line, emk_span_str(VERSION_LINE)))
        return false;
    out->stanzas = emk_vec_take(v, STANZAS_MAX * sizeof *out->stanzas);
    for (;;) {
        size_t at = r.pos;
        stanza *s = &out->stanzas[out->n_stanzas];

        if (!take_line(&r, &line))
            return false;
        if (begins(line, "---")) {
            out->authenticated = emk_span_of(in.p, at + 3);
            break;
        }
        if (!begins(line, "-> ") || out->n_stanzas == STANZAS_MAX ||
            !read_args(emk_span_of(line.p + 3, line.len - 3), s) || !read_stanza_body(v, &r, s))
            return false;
        out->n_stanzas++;
    }
    out->payload = emk_span_of(in.p + r.pos, in.len - r.pos);
    return out->n_stanzas > 0 && line.len > 4 && line.p[3] == ' ' &&
           emk_age_base64(v, emk_span_of(line.p + 4, line.len - 4), false, &out->mac) &&
           out->mac.len == EMK_HMAC_LEN;
}

/* HKDF-SHA-256 for 32 bytes. */
static bool derive(emk_vec *v, emk_span ikm, emk_span salt, const char *info, uint8_t out[32])
{
    uint8_t prk[32];
    emk_error e = {0};

    return emk_vec_ok(v, "hkdf", emk_hkdf_extract(v->crypto, salt, ikm, prk, &e), &e) &&
           emk_vec_ok(v, "hkdf", emk_hkdf_expand(v->crypto, prk, emk_span_str(info), out, 32, &e),
                      &e);
}

/* A file key under a wrapping key: one message, a nonce of zeros. */
static outcome unwrap(emk_vec *v, const uint8_t wrap_key[32], emk_span body, uint8_t *file_key)
{
    const uint8_t nonce[EMK_AEAD_NONCE_LEN] = {0};
    emk_aead *aead = NULL;
    emk_error e = {0};
    emk_status st = EMK_E_CRYPTO;

    if (emk_vec_ok(v, "aead", emk_aead_new(v->crypto, EMK_AEAD_CHACHA20_POLY1305, &aead, &e), &e) &&
        emk_vec_ok(v, "wrap key", emk_aead_set_key(aead, wrap_key, &e), &e))
        st = emk_aead_open(aead, nonce, emk_span_of("", 0), emk_span_of(body.p, FILE_KEY_LEN),
                           body.p + FILE_KEY_LEN, file_key, &e);
    emk_aead_free(aead);
    if (st != EMK_OK && st != EMK_E_SEALED)
        emk_vec_ok(v, "unwrap", st, &e);
    return st == EMK_OK ? SUCCESS : NO_MATCH;
}

static bool is_type(const stanza *s, const char *type)
{
    return emk_span_equal(s->arg[0], emk_span_str(type));
}

/* The share must be canonical, of that length, and alone; the body is measured before it is
 * opened, so that no key is tried on a body of another kind. */
static bool read_share(emk_vec *v, const stanza *s, size_t len, emk_span *share)
{
    return s->n_args == 2 && emk_age_base64(v, s->arg[1], false, share) && share->len == len &&
           s->body.len == BODY_LEN;
}

static outcome unwrap_x25519(emk_vec *v, const uint8_t identity[32], const stanza *s,
                             uint8_t *file_key)
{
    uint8_t shared[32], pub[32], wrap_key[32];
    emk_span share, salt;
    emk_error e = {0};
    emk_status st;

    if (!read_share(v, s, EMK_X25519_LEN, &share))
        return HEADER_FAILURE;
    st = emk_dh_x25519(v->crypto, identity, share.p, shared, &e);
    if (st == EMK_E_FORMAT) /* of low order */
        return HEADER_FAILURE;
    if (!emk_vec_ok(v, "x25519", st, &e) ||
        !emk_vec_ok(v, "x25519", emk_x25519_public(v->crypto, identity, pub, &e), &e))
        return CANNOT_RUN;
    salt = emk_vec_join(v, (const emk_span[]){share, emk_span_of(pub, sizeof pub)}, 2);
    if (!derive(v, emk_span_of(shared, sizeof shared), salt, VERSION_LINE "/X25519", wrap_key))
        return CANNOT_RUN;
    return unwrap(v, wrap_key, s->body, file_key);
}

static outcome unwrap_hybrid(emk_vec *v, const uint8_t identity[32], const stanza *s,
                             uint8_t *file_key)
{
    static const emk_hpke_suite suite = {EMK_KEM_XWING, EMK_HPKE_KDF_HKDF_SHA256,
                                         EMK_AEAD_CHACHA20_POLY1305};
    emk_hpke_in in = {.suite = suite, .info = emk_span_str("age-encryption.org/mlkem768x25519")};
    emk_kem_private *key = NULL;
    emk_hpke *receiver = NULL;
    outcome result = CANNOT_RUN;
    emk_span enc;
    emk_error e = {0};
    emk_status st;

    if (!read_share(v, s, emk_kem_enc_len(EMK_KEM_XWING), &enc))
        return HEADER_FAILURE;
    if (!emk_crypto_has(v->crypto, EMK_CRYPTO_ML_KEM_768)) {
        emk_vec_skip(v, "libcrypto has no ML-KEM");
        return CANNOT_RUN;
    }
    st = emk_kem_private_new(v->crypto, EMK_KEM_XWING, emk_span_of(identity, 32), &key, &e);
    if (emk_vec_ok(v, "identity", st, &e)) {
        st = emk_hpke_receiver_new(&in, key, enc, &receiver, &e);
        if (st == EMK_E_SEALED) /* its X25519 half is of low order */
            result = HEADER_FAILURE;
        else if (emk_vec_ok(v, "receiver", st, &e))
            result = emk_hpke_open(receiver, emk_span_of("", 0), s->body, file_key, &e) == EMK_OK
                         ? SUCCESS
                         : NO_MATCH;
    }
    emk_hpke_free(receiver);
    emk_kem_private_free(key);
    return result;
}

/* [1-9][0-9]*; anything over 99 is too much in any case. */
static bool read_work_factor(emk_span text, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || (i == 0 && text.p[i] == '0') || i > 1)
            return false;
        *out = *out * 10 + (uint32_t)(text.p[i] - '0');
    }
    return text.len > 0 && *out <= WORK_FACTOR_MAX;
}

static outcome unwrap_scrypt(emk_vec *v, emk_span passphrase, const stanza *s, uint8_t *file_key)
{
    emk_scrypt scrypt = {.pass = passphrase, .r = 8, .p = 1, .mem_max = SCRYPT_MEM_MAX};
    uint32_t work_factor;
    uint8_t wrap_key[32];
    emk_span salt;
    emk_error e = {0};
    emk_status st;

    if (s->n_args != 3 || !emk_age_base64(v, s->arg[1], false, &salt) || salt.len != 16 ||
        !read_work_factor(s->arg[2], &work_factor) || s->body.len != BODY_LEN)
        return HEADER_FAILURE;
    scrypt.n = UINT64_C(1) << work_factor;
    scrypt.salt =
        emk_vec_join(v, (const emk_span[]){emk_span_str(VERSION_LINE "/scrypt"), salt}, 2);
    st = emk_scrypt_derive(v->crypto, &scrypt, wrap_key, sizeof wrap_key, &e);
    if (st == EMK_E_LIMIT) {
        emk_vec_skip(v, "scrypt with more memory than the tests may take");
        return CANNOT_RUN;
    }
    if (!emk_vec_ok(v, "scrypt", st, &e))
        return CANNOT_RUN;
    return unwrap(v, wrap_key, s->body, file_key);
}

/* Somebody who tries: a line of the head. */
typedef struct opener {
    const char *type; /* of the stanzas it looks at */
    uint8_t identity[32];
    emk_span passphrase;
} opener;

static bool read_opener(const emk_head_line *line, opener *out)
{
    if (emk_span_equal(line->key, emk_span_str("passphrase"))) {
        out->type = "scrypt";
        out->passphrase = line->value;
        return true;
    }
    if (emk_age_unbech32(line->value, "AGE-SECRET-KEY-PQ-", out->identity)) {
        out->type = "mlkem768x25519";
        return true;
    }
    out->type = "X25519";
    return emk_age_unbech32(line->value, "AGE-SECRET-KEY-", out->identity);
}

static outcome try_stanzas(emk_vec *v, const opener *o, const age_file *f, uint8_t *file_key)
{
    for (size_t i = 0; i < f->n_stanzas; i++) {
        const stanza *s = &f->stanzas[i];
        outcome result;

        if (!is_type(s, o->type))
            continue;
        if (o->passphrase.p)
            result = unwrap_scrypt(v, o->passphrase, s, file_key);
        else if (strcmp(o->type, "X25519") == 0)
            result = unwrap_x25519(v, o->identity, s, file_key);
        else
            result = unwrap_hybrid(v, o->identity, s, file_key);
        if (result != NO_MATCH)
            return result;
    }
    return NO_MATCH;
}

static outcome find_file_key(emk_vec *v, const emk_text_head *head, const age_file *f,
                             uint8_t *file_key)
{
    for (size_t i = 0; i < f->n_stanzas; i++)
        if (f->n_stanzas > 1 && is_type(&f->stanzas[i], "scrypt"))
            return HEADER_FAILURE; /* a passphrase stands alone */
    for (size_t i = 0; i < head->n; i++) {
        const emk_head_line *line = &head->line[i];
        opener o = {0};
        outcome result;

        if (!emk_span_equal(line->key, emk_span_str("identity")) &&
            !emk_span_equal(line->key, emk_span_str("passphrase")))
            continue;
        if (!read_opener(line, &o)) {
            emk_vec_malformed(v, "an identity");
            return CANNOT_RUN;
        }
        result = try_stanzas(v, &o, f, file_key);
        if (result != NO_MATCH)
            return result;
    }
    return NO_MATCH;
}

static outcome check_mac(emk_vec *v, const age_file *f, emk_span file_key)
{
    uint8_t key[32], mac[EMK_HMAC_LEN];
    emk_error e = {0};
    emk_status st;

    if (!derive(v, file_key, emk_span_of("", 0), "header", key))
        return CANNOT_RUN;
    st = emk_hmac_sha256(v->crypto, emk_span_of(key, sizeof key), &f->authenticated, 1, mac, &e);
    if (!emk_vec_ok(v, "hmac", st, &e))
        return CANNOT_RUN;
    return emk_ct_equal(mac, f->mac.p, sizeof mac) ? SUCCESS : HMAC_FAILURE;
}

static outcome open_payload(emk_vec *v, const age_file *f, emk_span file_key, emk_span *plain)
{
    emk_stream s = {
        .aead = EMK_AEAD_CHACHA20_POLY1305, .prefix = emk_span_of("", 0), .chunk = CHUNK_LEN};
    uint8_t key[32], *out;
    size_t released;
    emk_span sealed;
    emk_error e = {0};
    emk_status st;

    if (f->payload.len < NONCE_LEN)
        return HEADER_FAILURE;
    sealed = emk_span_of(f->payload.p + NONCE_LEN, f->payload.len - NONCE_LEN);
    if (!derive(v, file_key, emk_span_of(f->payload.p, NONCE_LEN), "payload", key))
        return CANNOT_RUN;
    s.key = emk_span_of(key, sizeof key);
    out = emk_vec_take(v, sealed.len);
    st = emk_stream_open(v->crypto, &s, sealed, out, &released, &e);
    *plain = emk_span_of(out, released);
    if (st != EMK_OK && st != EMK_E_SEALED && st != EMK_E_FORMAT)
        emk_vec_ok(v, "payload", st, &e);
    return st == EMK_OK ? SUCCESS : PAYLOAD_FAILURE;
}

static outcome open_file(emk_vec *v, const emk_text_head *head, emk_span in, emk_span *plain)
{
    uint8_t file_key[FILE_KEY_LEN];
    emk_span key = emk_span_of(file_key, sizeof file_key);
    age_file f = {0};
    outcome result;

    if (emk_head_is(head, "armored", "yes") && !emk_age_unarmor(v, in, &in))
        return ARMOR_FAILURE;
    if (!read_header(v, in, &f))
        return HEADER_FAILURE;
    result = find_file_key(v, head, &f, file_key);
    if (result == SUCCESS)
        result = check_mac(v, &f, key);
    if (result == SUCCESS)
        result = open_payload(v, &f, key, plain);
    return result;
}

/* What was let out: all of it on success, else what came before the failure. */
static void compare_payload(emk_vec *v, const emk_text_head *head, emk_span plain)
{
    uint8_t hash[EMK_SHA256_LEN];
    emk_span text, want;
    emk_error e = {0};

    if (!emk_head_get(head, "payload", &text))
        return;
    if (!emk_vec_unhex(v, text, &want))
        emk_vec_malformed(v, "\"payload\" is no hex");
    else if (emk_vec_ok(v, "sha256", emk_sha256(v->crypto, &plain, 1, hash, &e), &e))
        emk_vec_same(v, "hash of what was let out", emk_span_of(hash, sizeof hash), want);
}

static void run_file(emk_vec *v, const emk_text_head *head)
{
    emk_span body = emk_head_body(v, head), expect, plain = emk_span_of("", 0);
    outcome got, want = 0;

    (void)emk_head_get(head, "expect", &expect);
    while (want < CANNOT_RUN && !emk_span_equal(expect, emk_span_str(names[want])))
        want++;
    if (want == CANNOT_RUN)
        emk_vec_malformed(v, "\"expect\" is none of the six outcomes");
    if (!emk_vec_is_well(v))
        return;
    got = open_file(v, head, body, &plain);
    if (got == CANNOT_RUN)
        return;
    emk_vec_true(v, "an outcome", true);
    if (got != want)
        emk_vec_fail(v, "expected %s, got %s", names[want], names[got]);
    else if (got != ARMOR_FAILURE) /* there it depends on how far a reader looks ahead */
        compare_payload(v, head, plain);
}

static bool is_age(emk_span file)
{
    emk_text_head head;
    emk_span value;

    return emk_head_read(file, &head) && emk_head_get(&head, "expect", &value) &&
           !emk_head_get(&head, "form", &value);
}

static void run_age(emk_vec *v, emk_span file)
{
    emk_text_head *head;

    emk_vec_begin(v, "file");
    head = emk_vec_take(v, sizeof *head);
    if (emk_head_read(file, head))
        run_file(v, head);
    emk_vec_end(v);
}

const emk_head_format emk_format_age = {"age testkit", is_age, run_age};
