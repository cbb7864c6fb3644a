/* The keyholder process.  State: the keys, how often each purpose was signed for in this second,
 * and the size of the last checkpoint.  One thread, one client, one message at a time, whose
 * questions are answered in their order. */
#include "server/daemon/keyholder_internal.h"

#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/base/writer.h"
#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "core/seal/lease.h"
#include "keystore/keystore.h"
#include "server/daemon/keyholder_change.h"
#include "server/daemon/keyholder_record.h"
#include "server/daemon/keys.h"
#include "server/daemon/os_process.h"
#include "server/daemon/os_sandbox.h"
#include "server/daemon/ring.h"

#ifdef EMK_HAVE_PKCS11
#include "keystore/pkcs11/pkcs11.h"
#endif
#ifdef EMK_HAVE_TPM2
#include "keystore/tpm2/tpm2.h"
#endif

#include <stdio.h>
#include <string.h>

#define NS_PER_S        UINT64_C(1000000000)
#define WRAP_VERSION    1u
#define SEAL_CLOCK_SKEW 300u /* seconds a certificate begins before it was made */
#define PIN_MAX         256u
#define PATH_LEN        1024u
#define FORMER_MAX      8u /* keys that may still be asked for what was begun under them ... */
#define FORMER_NS       (3600 * NS_PER_S) /* ... for so long */
#define REFUSED_NS      (60 * NS_PER_S)   /* between two notes that something was refused */
#define LEARN_S         (UINT64_C(2) * 365 * 86400) /* how long devices may learn a new issuer key */

/* The issuer's word for the sealing key. */
typedef struct sealing_word {
    emk_buf bytes;
    uint64_t until_s;
} sealing_word;

typedef struct holder {
    const emk_keyholder_options *o;
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *sealing_key, *audit_key;
    emk_signer issuer, sealing, audit;
    emk_secret *storage, *lease, *server;
    emk_keystore tpm, next_tpm; /* their close is called when open */
    emk_issuers ring;
    uint8_t ring_digest[EMK_SHA256_LEN];   /* of its file, as we know it */
    emk_sign_key *former_keys[FORMER_MAX]; /* NULL: a token's, or the place is free */
    emk_signer former[FORMER_MAX];         /* public_len 0: the place is free */
    bool former_seals[FORMER_MAX];
    uint64_t former_ns[FORMER_MAX]; /* when it was replaced */
    unsigned n_former;
#ifdef EMK_HAVE_PKCS11
    emk_pkcs11_signer *token, *next_token;
#endif
    emk_signer next; /* of a token or TPM; public_len 0: none */
    sealing_word certificate;
    uint64_t second;                           /* ... in which */
    uint32_t signed_n[EMK_KEYHOLDER_PURPOSES]; /* so many were signed */
    uint64_t highest;
    uint64_t refused_ns;  /* when that was noted last; 0: never */
    uint64_t unsigned_ns; /* the same of a signature; apart, so that neither hides the other */
    bool said_hello, took_first;
} holder;

void emk_keyholder_head_write(uint8_t *out, uint8_t operation, uint16_t number, size_t body_len)
{
    out[0] = EMK_KEYHOLDER_VERSION;
    out[1] = operation;
    emk_store_u16be(out + 2, number);
    emk_store_u32be(out + 4, (uint32_t)body_len);
}

emk_status emk_keyholder_message_next(emk_span *in, emk_keyholder_message *out, emk_error *e)
{
    size_t len;

    if (in->len < EMK_KEYHOLDER_HEAD_LEN || in->p[0] != EMK_KEYHOLDER_VERSION)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: head of a message", in->len);
    len = emk_load_u32be(in->p + 4);
    if (len > in->len - EMK_KEYHOLDER_HEAD_LEN)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: length of a message", in->len);
    *out = (emk_keyholder_message){.operation = in->p[1],
                                   .number = emk_load_u16be(in->p + 2),
                                   .body = emk_span_of(in->p + EMK_KEYHOLDER_HEAD_LEN, len)};
    len += EMK_KEYHOLDER_HEAD_LEN;
    *in = emk_span_of(in->p + len, in->len - len);
    return EMK_OK;
}

/* ---- keys ---- */

static emk_status load_signer(holder *h, emk_key_use use, emk_sign_key **key, emk_signer *signer,
                              emk_error *e)
{
    emk_secret *secret = NULL;
    emk_status st = EMK_OK;

    if (h->o->make)
        st = emk_key_make(h->crypto, h->o->dir, use, e);
    if (st == EMK_OK)
        st = emk_key_read(h->o->dir, use, &secret, e);
    if (st == EMK_OK)
        st = emk_sign_key_new(h->crypto, EMK_SIGN_ED25519, emk_secret_span(secret), key, e);
    if (st == EMK_OK)
        st = emk_signer_from_key(h->crypto, *key, signer, e);
    emk_secret_free(secret);
    return st;
}

static emk_status load_secret(holder *h, emk_key_use use, emk_secret **out, emk_error *e)
{
    emk_status st = h->o->make ? emk_key_make(h->crypto, h->o->dir, use, e) : EMK_OK;

    return st == EMK_OK ? emk_key_read(h->o->dir, use, out, e) : st;
}

#ifdef EMK_HAVE_PKCS11
static emk_status open_one(holder *h, const char *uri, emk_span pin, emk_pkcs11_signer **token,
                           emk_signer *signer, emk_error *e)
{
    emk_pkcs11_source source = {.module = h->o->module, .uri = uri, .pin = pin};
    emk_status st = emk_pkcs11_signer_open(h->crypto, &source, token, e);

    if (st == EMK_OK)
        st = emk_signer_from_fn(h->crypto, emk_pkcs11_signer_public(*token), emk_pkcs11_signer_sign,
                                *token, signer, e);
    return st;
}

static emk_status open_token(holder *h, emk_error *e)
{
    emk_secret *pin = NULL;
    emk_span digits = emk_span_of(NULL, 0);
    emk_status st = EMK_OK;

    if (h->o->pin_file)
        st = emk_os_read_secret(h->o->pin_file, PIN_MAX, &pin, e);
    if (st == EMK_OK && pin) {
        digits = emk_secret_span(pin);
        while (digits.len > 0 && digits.p[digits.len - 1] == '\n')
            digits.len--;
    }
    if (st == EMK_OK)
        st = open_one(h, h->o->uri, digits, &h->token, &h->issuer, e);
    if (st == EMK_OK && h->o->next_uri)
        st = open_one(h, h->o->next_uri, digits, &h->next_token, &h->next, e);
    emk_secret_free(pin);
    return st;
}
#else
static emk_status open_token(holder *h, emk_error *e)
{
    (void)h;
    return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: built without PKCS#11", 0);
}
#endif

#ifdef EMK_HAVE_TPM2
static emk_status sign_by_tpm(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    return emk_keystore_sign(self, msg, sig, e);
}

static emk_status open_holder(holder *h, const char *dir, emk_keystore *tpm, emk_signer *signer,
                              emk_error *e)
{
    emk_tpm2_options options = {.tcti = h->o->tcti};
    emk_keystore_keys keys;
    emk_status st = emk_tpm2_open(h->crypto, dir, &options, tpm, e);

    if (st == EMK_OK)
        st = emk_keystore_public_keys(tpm, &keys, e);
    if (st == EMK_OK)
        st = emk_signer_from_fn(h->crypto, emk_span_of(keys.signing, sizeof keys.signing),
                                sign_by_tpm, tpm, signer, e);
    return st;
}

static emk_status open_tpm(holder *h, emk_error *e)
{
    emk_status st = open_holder(h, h->o->tpm_dir, &h->tpm, &h->issuer, e);

    return st == EMK_OK && h->o->next_tpm_dir
               ? open_holder(h, h->o->next_tpm_dir, &h->next_tpm, &h->next, e)
               : st;
}
#else
static emk_status open_tpm(holder *h, emk_error *e)
{
    (void)h;
    return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: built without TPM 2.0", 0);
}
#endif

/* A rotation to the next key is in the ring: then that one signs, whatever the options call it. */
static emk_status choose_next(holder *h, emk_error *e)
{
    emk_issuers ring;
    emk_status st =
        emk_ring_read(h->o->dir, emk_span_of(h->next.public_key, h->next.public_len), &ring, e);

    if (st == EMK_OK && ring.n > 1) {
        emk_signer was = h->issuer;

        h->issuer = h->next;
        h->next = was;
        h->next.public_len = 0; /* there is no way back */
    }
    return st;
}

static emk_status open_issuer(holder *h, emk_error *e)
{
    switch (h->o->issuer) {
    case EMK_KEYHOLDER_PKCS11:
        return open_token(h, e);
    case EMK_KEYHOLDER_TPM2:
        return open_tpm(h, e);
    case EMK_KEYHOLDER_FILE:
        break;
    }
    return load_signer(h, EMK_KEY_ISSUER, &h->issuer_key, &h->issuer, e);
}

static emk_status load_issuer(holder *h, emk_error *e)
{
    emk_status st = open_issuer(h, e);

    if (st == EMK_OK && h->next.public_len > 0)
        st = choose_next(h, e);
    if (st == EMK_OK)
        st = emk_ring_read(h->o->dir, emk_span_of(h->issuer.public_key, h->issuer.public_len),
                           &h->ring, e);
    return st == EMK_OK ? emk_ring_digest(h->crypto, h->o->dir, h->ring_digest, e) : st;
}

/* The issuer's word for a sealing key, for as long as the options say.  Fills *out on success. */
static emk_status certify_by(const holder *h, const emk_signer *issuer, const emk_signer *sealing,
                             sealing_word *out, emk_error *e)
{
    uint64_t now = emk_os_now_s();
    emk_sealing_certificate cert = {.public_len = sealing->public_len,
                                    .not_before = now - SEAL_CLOCK_SKEW,
                                    .not_after = now + h->o->sealing_s};
    emk_buf made;
    emk_status st;

    memcpy(cert.public_key, sealing->public_key, sealing->public_len);
    emk_buf_init(&made, EMK_CERTIFICATE_MAX);
    st = emk_sealing_certificate_make(h->crypto, issuer, &cert, &made, e);
    if (st == EMK_OK)
        *out = (sealing_word){made, cert.not_after};
    else
        emk_buf_done(&made);
    return st;
}

static void take_certificate(holder *h, const sealing_word *fresh)
{
    emk_buf_done(&h->certificate.bytes);
    h->certificate = *fresh;
}

/* Begun and not ended, either key may be the wrong one to go on with. */
static emk_status check_no_next(const holder *h, emk_error *e)
{
    char dir[PATH_LEN], path[PATH_LEN];
    emk_status st = emk_os_join(dir, sizeof dir, h->o->dir, EMK_KEY_NEXT, "", e);

    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, dir, emk_key_name(EMK_KEY_AUDIT), "", e);
    if (st == EMK_OK && emk_os_exists(path))
        st = emk_fail(e, EMK_E_BUSY, "keyholder: end `earmarkd audit-key rotate` first", 0);
    return st;
}

static emk_status load_keys(holder *h, emk_error *e)
{
    emk_status st = emk_crypto_new(NULL, NULL, &h->crypto, e);

    emk_buf_init(&h->certificate.bytes, EMK_CERTIFICATE_MAX);
    if (st == EMK_OK)
        st = check_no_next(h, e);
    if (st == EMK_OK)
        st = load_issuer(h, e);
    if (st == EMK_OK)
        st = load_signer(h, EMK_KEY_AUDIT, &h->audit_key, &h->audit, e);
    if (st == EMK_OK)
        st = load_secret(h, EMK_KEY_STORAGE, &h->storage, e);
    if (st == EMK_OK)
        st = load_secret(h, EMK_KEY_LEASE, &h->lease, e);
    if (st == EMK_OK)
        st = load_secret(h, EMK_KEY_SERVER, &h->server, e);
    if (st == EMK_OK && h->o->sealing_s > 0) {
        st = load_signer(h, EMK_KEY_SEALING, &h->sealing_key, &h->sealing, e);
        if (st == EMK_OK)
            st = certify_by(h, &h->issuer, &h->sealing, &h->certificate, e);
    }
    return st;
}

static void wipe_keys(holder *h)
{
    emk_sign_key_free(h->issuer_key);
    emk_sign_key_free(h->sealing_key);
    emk_sign_key_free(h->audit_key);
    emk_secret_free(h->storage);
    emk_secret_free(h->lease);
    emk_secret_free(h->server);
    for (unsigned i = 0; i < FORMER_MAX; i++)
        emk_sign_key_free(h->former_keys[i]);
#ifdef EMK_HAVE_PKCS11
    emk_pkcs11_signer_close(h->token);
    emk_pkcs11_signer_close(h->next_token);
#endif
    emk_keystore_close(&h->tpm);
    emk_keystore_close(&h->next_tpm);
    emk_buf_done(&h->certificate.bytes);
    emk_crypto_free(h->crypto);
}

/* ---- what people are told ---- */

static void complain(const char *what, const emk_error *e)
{
    char line[256];
    int n = snprintf(
        line, sizeof line,
        "{\"level\":\"error\",\"part\":\"keyholder\",\"message\":\"%s\",\"status\":\"%s\","
        "\"what\":\"%s\",\"where\":%llu}\n",
        what, emk_status_name(e->status), e->what ? e->what : "", (unsigned long long)e->where);

    if (n > 0 && (size_t)n < sizeof line)
        emk_proc_log(emk_span_of(line, (size_t)n));
}

/* Who asks for what he may not have can ask often. */
static bool may_complain(uint64_t *last_ns)
{
    uint64_t now = emk_os_monotonic_ns();

    if (*last_ns && now - *last_ns < REFUSED_NS)
        return false;
    *last_ns = now;
    return true;
}

/* ---- answers: each appends to w ---- */

/* 32 bytes for the HTTP process, from the server key: HMAC(server key, label || number). */
static emk_status derive(const holder *h, uint8_t number, uint8_t out[32], emk_error *e)
{
    static const char label[] = "earmark/1 server key"; /* with its zero */
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(&number, 1)};

    return emk_hmac_sha256(h->crypto, emk_secret_span(h->server), parts, 2, out, e);
}

static void put_bytes(emk_writer *w, emk_span s)
{
    emk_write_u16be(w, (uint16_t)s.len);
    emk_write_bytes(w, s);
}

static void put_sealing(const holder *h, emk_writer *w)
{
    put_bytes(w, emk_span_of(h->sealing.public_key, h->sealing.public_len));
    put_bytes(w, emk_buf_span(&h->certificate.bytes));
}

static emk_status op_hello(holder *h, emk_writer *w, emk_error *e)
{
    uint8_t key[32];
    emk_status st = EMK_OK;

    if (h->said_hello)
        return emk_fail(e, EMK_E_POLICY, "keyholder: said hello already", 0);
    h->said_hello = true;
    put_bytes(w, emk_span_of(h->issuer.public_key, h->issuer.public_len));
    put_bytes(w, emk_span_of(h->audit.public_key, h->audit.public_len));
    put_sealing(h, w);
    for (uint8_t i = 0; st == EMK_OK && i < EMK_KEYHOLDER_SERVER_KEYS; i++) {
        st = derive(h, i, key, e);
        emk_write_bytes(w, emk_span_of(key, sizeof key));
    }
    emk_wipe(key, sizeof key);
    return st;
}

static const emk_signer *signer_for(const holder *h, emk_keyholder_purpose purpose)
{
    switch (purpose) {
    case EMK_KEYHOLDER_FILE_HEADER:
    case EMK_KEYHOLDER_WEIGHTS_HEADER:
        return h->sealing.public_len ? &h->sealing : NULL;
    case EMK_KEYHOLDER_CHECKPOINT:
        return &h->audit;
    default:
        return &h->issuer;
    }
}

static emk_status count(holder *h, emk_keyholder_purpose purpose, emk_error *e)
{
    uint64_t second = emk_os_monotonic_ns() / NS_PER_S;

    if (second != h->second) {
        h->second = second;
        memset(h->signed_n, 0, sizeof h->signed_n);
    }
    if (h->o->per_second && h->signed_n[purpose] >= h->o->per_second)
        return emk_fail(e, EMK_E_BUSY, "keyholder: too many signatures a second", purpose);
    h->signed_n[purpose]++;
    return EMK_OK;
}

/* Whether it is this key that is asked, for what it may sign. */
static emk_status check_for(holder *h, emk_keyholder_purpose purpose, const emk_signer *signer,
                            emk_span message, emk_error *e)
{
    emk_purpose_check check = {.purpose = purpose,
                               .alg = signer->alg,
                               .kid = signer->kid,
                               .origin = h->o->origin,
                               .highest = &h->highest,
                               .limits = &h->o->limits,
                               .now_s = emk_os_now_s()};

    return emk_purpose_check_message(&check, message, e);
}

static void forget_former(holder *h, unsigned i)
{
    emk_sign_key_free(h->former_keys[i]);
    h->former_keys[i] = NULL;
    h->former[i].public_len = 0;
}

/* A message that was begun before a rotation names a key that signs no more. */
static const emk_signer *former_for(holder *h, emk_keyholder_purpose purpose, emk_span message)
{
    bool seals = purpose == EMK_KEYHOLDER_FILE_HEADER || purpose == EMK_KEYHOLDER_WEIGHTS_HEADER;
    uint64_t now = emk_os_monotonic_ns();
    emk_error ignored;

    for (unsigned i = 0; i < FORMER_MAX; i++)
        if (h->former[i].public_len > 0 && now - h->former_ns[i] >= FORMER_NS)
            forget_former(h, i);
    for (unsigned i = 0; purpose != EMK_KEYHOLDER_CHECKPOINT && i < FORMER_MAX; i++)
        if (h->former[i].public_len > 0 && h->former_seals[i] == seals &&
            check_for(h, purpose, &h->former[i], message, &ignored) == EMK_OK)
            return &h->former[i];
    return NULL;
}

static emk_status op_sign(holder *h, const emk_keyholder_message *m, emk_writer *w, emk_error *e)
{
    emk_keyholder_purpose purpose = (emk_keyholder_purpose)m->number;
    const emk_signer *signer, *former;
    uint8_t sig[EMK_SIGN_LEN] = {0};
    emk_status st;

    if (m->number == 0 || m->number >= EMK_KEYHOLDER_PURPOSES)
        return emk_fail(e, EMK_E_POLICY, "keyholder: no such purpose", m->number);
    signer = signer_for(h, purpose);
    if (!signer)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: has no such key", m->number);
    st = check_for(h, purpose, signer, m->body, e);
    former = st == EMK_OK ? NULL : former_for(h, purpose, m->body);
    if (former) {
        signer = former;
        st = EMK_OK;
    }
    if (st == EMK_E_POLICY && may_complain(&h->unsigned_ns))
        complain("a signature was refused", e);
    if (st == EMK_OK)
        st = count(h, purpose, e);
    if (st == EMK_OK)
        st = signer->sign(signer->self, m->body, sig, e);
    if (st == EMK_OK)
        emk_write_bytes(w, emk_span_of(sig, sizeof sig));
    return st;
}

static emk_status op_lease(holder *h, emk_span body, emk_writer *w, emk_error *e)
{
    emk_lease_source from = {.master = emk_secret_span(h->lease).p};
    uint8_t secret[EMK_LEASE_SECRET_LEN] = {0};
    emk_status st;

    if (body.len != EMK_ID_LEN + 8)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: lease", body.len);
    from.epoch = emk_load_u64be(body.p + EMK_ID_LEN);
    st = emk_lease_derive(h->crypto, &from, body.p, secret, e);
    if (st == EMK_OK)
        emk_write_bytes(w, emk_span_of(secret, sizeof secret));
    emk_wipe(secret, sizeof secret);
    return st;
}

/* The number of the lease master: there is one so far. */
#define LEASE_EPOCH 1u

static emk_status op_lease_key(holder *h, emk_span body, emk_writer *w, emk_error *e)
{
    emk_lease_source from = {.master = emk_secret_span(h->lease).p, .epoch = LEASE_EPOCH};
    uint8_t secret[EMK_LEASE_SECRET_LEN] = {0}, key[EMK_LEASE_KEY_LEN];
    emk_status st;

    if (body.len != EMK_ID_LEN)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: lease key", body.len);
    st = emk_lease_derive(h->crypto, &from, body.p, secret, e);
    if (st == EMK_OK)
        st = emk_lease_key(h->crypto, secret, key, e);
    emk_wipe(secret, sizeof secret);
    if (st != EMK_OK)
        return st;
    emk_write_u64be(w, LEASE_EPOCH);
    emk_write_bytes(w, emk_span_of(key, sizeof key));
    return EMK_OK;
}

/* version 1 | nonce 12 | encrypted key 32 | tag 16, bound to the object by the associated data.
 * Nonces are random under one key: good for 2^32 models. */
static emk_status storage_aead(const holder *h, emk_aead **out, emk_error *e)
{
    emk_status st = emk_aead_new(h->crypto, EMK_AEAD_AES_256_GCM, out, e);

    return st == EMK_OK ? emk_aead_set_key(*out, emk_secret_span(h->storage).p, e) : st;
}

static emk_status op_storage_new(holder *h, emk_span body, emk_writer *w, emk_error *e)
{
    uint8_t key[32] = {0}, wrapped[EMK_KEYHOLDER_WRAPPED_LEN] = {WRAP_VERSION};
    emk_aead *a = NULL;
    emk_status st;

    if (body.len != 32)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: object", body.len);
    st = emk_random_secret(h->crypto, key, sizeof key, e);
    if (st == EMK_OK)
        st = emk_random_public(h->crypto, wrapped + 1, EMK_AEAD_NONCE_LEN, e);
    if (st == EMK_OK)
        st = storage_aead(h, &a, e);
    if (st == EMK_OK)
        st = emk_aead_seal(a, wrapped + 1, body, emk_span_of(key, sizeof key), wrapped + 13,
                           wrapped + 45, e);
    emk_aead_free(a);
    if (st == EMK_OK) {
        emk_write_bytes(w, emk_span_of(key, sizeof key));
        emk_write_bytes(w, emk_span_of(wrapped, sizeof wrapped));
    }
    emk_wipe(key, sizeof key);
    return st;
}

static emk_status op_storage_open(holder *h, emk_span body, emk_writer *w, emk_error *e)
{
    const uint8_t *wrapped = body.p + 32;
    uint8_t key[32] = {0};
    emk_aead *a = NULL;
    emk_status st;

    if (body.len != 32 + EMK_KEYHOLDER_WRAPPED_LEN || wrapped[0] != WRAP_VERSION)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: wrapped key", body.len);
    st = storage_aead(h, &a, e);
    if (st == EMK_OK)
        st = emk_aead_open(a, wrapped + 1, emk_span_of(body.p, 32), emk_span_of(wrapped + 13, 32),
                           wrapped + 45, key, e);
    emk_aead_free(a);
    if (st == EMK_OK)
        emk_write_bytes(w, emk_span_of(key, sizeof key));
    emk_wipe(key, sizeof key);
    return st;
}

static emk_status same_as(const char *path, emk_span key, emk_error *e)
{
    emk_secret *there = NULL;
    emk_status st = emk_os_read_secret(path, key.len, &there, e);

    if (st == EMK_E_LIMIT ||
        (st == EMK_OK && (emk_secret_span(there).len != key.len ||
                          !emk_ct_equal(emk_secret_span(there).p, key.p, key.len))))
        st = emk_fail(e, EMK_E_USED,
                      "keyholder: another first key of this chain is there, move it away", 0);
    emk_secret_free(there);
    return st;
}

/* The first key of a chain, for the auditor, where the HTTP process cannot read it again.  It is
 * asked for once, before that process listens: a second chain is nobody's but an intruder's. */
static emk_status take_first(holder *h, emk_span body, emk_error *e)
{
    char name[64], path[PATH_LEN];
    emk_span key;
    emk_status st;

    if (body.len != 8 + 32)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: first key of a chain", body.len);
    key = emk_span_of(body.p + 8, 32);
    snprintf(name, sizeof name, "journal-%08llx.first", (unsigned long long)emk_load_u64be(body.p));
    st = emk_os_join(path, sizeof path, h->o->dir, name, "", e);
    if (st != EMK_OK)
        return st;
    st = same_as(path, key, e);
    if (st != EMK_E_NOT_FOUND)
        return st;
    if (h->took_first)
        return emk_fail(e, EMK_E_LIMIT, "keyholder: the first key of another chain", 0);
    st = emk_os_write_file_new(path, key, e);
    h->took_first = st == EMK_OK;
    return st == EMK_E_USED ? same_as(path, key, e) : st;
}

static emk_status op_escrow(holder *h, emk_span body, emk_error *e)
{
    emk_error why = {0};
    emk_status st = take_first(h, body, &why);

    if (st == EMK_OK)
        return EMK_OK;
    if (may_complain(&h->refused_ns))
        complain("the first key of a chain was not taken", &why);
    return emk_fail(e, st, why.what, why.where);
}

/* ---- rotation ---- */

static void put_keys(const holder *h, emk_writer *w)
{
    uint8_t bytes[EMK_RING_MAX];
    emk_writer ring;

    emk_writer_init(&ring, bytes, sizeof bytes);
    emk_ring_put(&h->ring, &ring);
    put_bytes(w, emk_writer_span(&ring));
    put_sealing(h, w);
}

static void keep_former(holder *h, emk_sign_key *key, const emk_signer *signer, bool seals)
{
    unsigned i = h->n_former++ % FORMER_MAX;

    emk_sign_key_free(h->former_keys[i]);
    h->former_keys[i] = key;
    h->former[i] = *signer;
    h->former_seals[i] = seals;
    h->former_ns[i] = emk_os_monotonic_ns();
}

/* A key that is not used yet. */
typedef struct fresh_key {
    uint8_t priv[EMK_SIGN_PRIVATE_LEN];
    emk_sign_key *key;
    emk_signer signer;
} fresh_key;

static emk_status make_fresh(holder *h, fresh_key *f, emk_error *e)
{
    uint8_t pub[EMK_SIGN_PUBLIC_MAX];
    emk_status st = emk_sign_generate(h->crypto, EMK_SIGN_ED25519, f->priv, pub, e);

    if (st == EMK_OK)
        st = emk_sign_key_new(h->crypto, EMK_SIGN_ED25519, emk_span_of(f->priv, sizeof f->priv),
                              &f->key, e);
    return st == EMK_OK ? emk_signer_from_key(h->crypto, f->key, &f->signer, e) : st;
}

static void done_fresh(fresh_key *f)
{
    emk_wipe(f->priv, sizeof f->priv);
    emk_sign_key_free(f->key); /* NULL when it was taken over */
}

static emk_key_state state_of(const holder *h)
{
    return (emk_key_state){.dir = h->o->dir,
                           .crypto = h->crypto,
                           .ring = &h->ring,
                           .ring_digest = h->ring_digest,
                           .needed_s = h->o->needed_s,
                           .sealing_s = h->o->sealing_s,
                           .sealing_until_s = h->certificate.until_s,
                           .unattended = h->o->unattended};
}

static emk_status commit(const holder *h, emk_key_change *c, emk_error *e)
{
    emk_key_state s = state_of(h);

    return emk_key_change_commit(&s, c, e);
}

/* The certificate goes first: a token that does not answer leaves the old key with its own. */
static emk_status rotate_sealing(holder *h, emk_key_change *c, emk_error *e)
{
    fresh_key f = {.key = NULL};
    sealing_word word = {.until_s = 0};
    emk_status st;

    emk_buf_init(&word.bytes, EMK_CERTIFICATE_MAX);
    st = make_fresh(h, &f, e);
    if (st == EMK_OK)
        st = certify_by(h, &h->issuer, &f.signer, &word, e);
    if (st == EMK_OK)
        st = commit(h, c, e);
    if (st == EMK_OK)
        st = emk_key_replace(h->o->dir, EMK_KEY_SEALING, f.priv, e);
    if (st == EMK_OK) {
        keep_former(h, h->sealing_key, &h->sealing, true);
        h->sealing_key = f.key;
        h->sealing = f.signer;
        f.key = NULL;
        take_certificate(h, &word);
    } else {
        emk_buf_done(&word.bytes);
    }
    done_fresh(&f);
    return st;
}

/* The ring with a new key at its end, certified by the one that signs. */
static emk_status extend_ring(holder *h, const emk_signer *next, emk_issuers *ring, emk_error *e)
{
    uint64_t now = emk_os_now_s();
    emk_issuer_key key = {.public_len = next->public_len, .since_s = now};
    emk_sealing_certificate cert = {.public_len = next->public_len,
                                    .not_before = now - SEAL_CLOCK_SKEW,
                                    .not_after = now + LEARN_S};
    emk_buf out;
    emk_status st;

    memcpy(key.public_key, next->public_key, next->public_len);
    memcpy(cert.public_key, next->public_key, next->public_len);
    emk_buf_init(&out, sizeof key.certificate);
    st = emk_issuer_certificate_make(h->crypto, &h->issuer, &cert, &out, e);
    if (st == EMK_OK) {
        memcpy(key.certificate, out.p, out.len);
        key.certificate_len = out.len;
        *ring = h->ring;
        emk_ring_add(ring, &key);
    }
    emk_buf_done(&out);
    return st;
}

/* What a new issuer key brings. */
typedef struct rotation {
    emk_issuers ring;
    sealing_word certificate;
    emk_key_change *change;
} rotation;

/* All that may fail comes before the first write: a key that cannot certify is never in the ring.
 * The ring goes before the key file: a key that it does not have yet must never sign.  Killed
 * between the two, the old one signs on. */
static emk_status prepare_rotation(holder *h, const emk_signer *next, rotation *r, emk_error *e)
{
    emk_status st = extend_ring(h, next, &r->ring, e);

    if (st == EMK_OK && h->o->sealing_s > 0)
        st = certify_by(h, next, &h->sealing, &r->certificate, e);
    if (st == EMK_OK)
        st = commit(h, r->change, e);
    return st == EMK_OK ? emk_ring_write(h->o->dir, &r->ring, e) : st;
}

static emk_status rotate_file(holder *h, rotation *r, emk_error *e)
{
    fresh_key f = {.key = NULL};
    emk_status st = make_fresh(h, &f, e);

    if (st == EMK_OK)
        st = prepare_rotation(h, &f.signer, r, e);
    if (st == EMK_OK)
        st = emk_key_replace(h->o->dir, EMK_KEY_ISSUER, f.priv, e);
    if (st == EMK_OK) {
        keep_former(h, h->issuer_key, &h->issuer, false);
        h->issuer_key = f.key;
        h->issuer = f.signer;
        f.key = NULL;
    }
    done_fresh(&f);
    return st;
}

/* A key of before would be found at its old place in the ring, and what came after it lost. */
static emk_status rotate_to_next(holder *h, rotation *r, emk_error *e)
{
    emk_status st;

    if (h->next.public_len == 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: there is no next key", 0);
    if (emk_ring_find(h->crypto, &h->ring, h->next.kid) < h->ring.n)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: the next key has signed before", 0);
    st = prepare_rotation(h, &h->next, r, e);
    if (st == EMK_OK) {
        keep_former(h, NULL, &h->issuer, false);
        h->issuer = h->next;
        h->next.public_len = 0;
    }
    return st;
}

static emk_status rotate_issuer(holder *h, emk_key_change *c, emk_error *e)
{
    rotation r = {.ring = {.n = 0}, .change = c};
    emk_error ignored;
    emk_status st;

    emk_buf_init(&r.certificate.bytes, EMK_CERTIFICATE_MAX);
    st = h->o->issuer == EMK_KEYHOLDER_FILE ? rotate_file(h, &r, e) : rotate_to_next(h, &r, e);
    if (st != EMK_OK) {
        emk_buf_done(&r.certificate.bytes);
        return st;
    }
    h->ring = r.ring;
    take_certificate(h, &r.certificate);
    /* For people only; the key that counts is in the ring and in the file. */
    (void)!emk_key_publish(h->o->dir, "issuer",
                           emk_span_of(h->issuer.public_key, h->issuer.public_len), &ignored);
    return EMK_OK;
}

static emk_status retire_issuer(holder *h, emk_key_change *c, emk_error *e)
{
    emk_issuers ring = h->ring;
    emk_status st = commit(h, c, e);

    ring.v[c->at].retired = true;
    if (st == EMK_OK)
        st = emk_ring_write(h->o->dir, &ring, e);
    if (st != EMK_OK)
        return st;
    h->ring = ring;
    for (unsigned i = 0; i < FORMER_MAX; i++)
        if (h->former[i].public_len > 0 && memcmp(h->former[i].kid, c->kid, sizeof c->kid) == 0)
            forget_former(h, i);
    return EMK_OK;
}

static void note_refusal(holder *h, const emk_key_change *c, const emk_error *why)
{
    emk_key_state s = state_of(h);
    emk_error e;

    if (!may_complain(&h->refused_ns))
        return;
    complain("a change of keys was refused", why);
    if (emk_key_change_refused(&s, c, why->status, &e) != EMK_OK)
        complain("a refusal cannot be noted", &e);
}

/* Our own writes are not another process's, also those of a change that failed half way. */
static void end_change(holder *h, emk_key_change *c, emk_status how)
{
    const emk_signer *now = c->action == EMK_KEY_ROTATE_ISSUER    ? &h->issuer
                            : c->action == EMK_KEY_ROTATE_SEALING ? &h->sealing
                                                                  : NULL;
    emk_key_state s = state_of(h);
    emk_error e;

    if (emk_ring_digest(h->crypto, h->o->dir, h->ring_digest, &e) != EMK_OK)
        complain("the issuers' file cannot be read again", &e);
    if (emk_key_change_end(&s, c, how, now ? now->kid : NULL, &e) != EMK_OK)
        complain("a change of keys cannot be noted", &e);
}

static emk_status change_keys(holder *h, emk_key_change *c, emk_error *e)
{
    emk_key_state s = state_of(h);
    emk_error why = {0};
    emk_status st = emk_key_change_begin(&s, c, &why);

    if (st != EMK_OK) {
        note_refusal(h, c, &why);
        return emk_fail(e, st, why.what, why.where);
    }
    if (c->action == EMK_KEY_ROTATE_ISSUER)
        st = rotate_issuer(h, c, e);
    else if (c->action == EMK_KEY_ROTATE_SEALING)
        st = rotate_sealing(h, c, e);
    else
        st = retire_issuer(h, c, e);
    end_change(h, c, st);
    return st;
}

static emk_status op_rotate(holder *h, uint16_t which, emk_writer *w, emk_error *e)
{
    const emk_signer *was = which == EMK_SIGNING_ISSUER ? &h->issuer : &h->sealing;
    emk_key_change c = {.action = which == EMK_SIGNING_ISSUER ? EMK_KEY_ROTATE_ISSUER
                                                              : EMK_KEY_ROTATE_SEALING};
    emk_status st;

    if (which != EMK_SIGNING_ISSUER && which != EMK_SIGNING_SEALING)
        return emk_fail(e, EMK_E_POLICY, "keyholder: no such key", which);
    if (which == EMK_SIGNING_SEALING && h->o->sealing_s == 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: does not seal", 0);
    memcpy(c.kid, was->kid, sizeof c.kid);
    st = change_keys(h, &c, e);
    if (st == EMK_OK)
        put_keys(h, w);
    return st;
}

static emk_status op_retire(holder *h, emk_span kid, emk_writer *w, emk_error *e)
{
    emk_key_change c = {.action = EMK_KEY_RETIRE_ISSUER};
    emk_status st = EMK_OK;

    if (kid.len != EMK_COSE_KID_LEN)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: id of a key", kid.len);
    memcpy(c.kid, kid.p, sizeof c.kid);
    c.at = emk_ring_find(h->crypto, &h->ring, kid.p);
    if (c.at == h->ring.n)
        return emk_fail(e, EMK_E_NOT_FOUND, "keyholder: no such key", 0);
    if (c.at + 1 == h->ring.n)
        return emk_fail(e, EMK_E_USAGE, "keyholder: this key signs", 0);
    if (!h->ring.v[c.at].retired)
        st = change_keys(h, &c, e);
    if (st == EMK_OK)
        put_keys(h, w);
    return st;
}

static emk_status answer(holder *h, const emk_keyholder_message *m, emk_writer *w, emk_error *e)
{
    switch ((emk_keyholder_operation)m->operation) {
    case EMK_KEYHOLDER_OP_HELLO:
        return op_hello(h, w, e);
    case EMK_KEYHOLDER_OP_PING:
        return EMK_OK;
    case EMK_KEYHOLDER_OP_SIGN:
        return op_sign(h, m, w, e);
    case EMK_KEYHOLDER_OP_LEASE:
        return op_lease(h, m->body, w, e);
    case EMK_KEYHOLDER_OP_STORAGE_NEW:
        return op_storage_new(h, m->body, w, e);
    case EMK_KEYHOLDER_OP_STORAGE_OPEN:
        return op_storage_open(h, m->body, w, e);
    case EMK_KEYHOLDER_OP_ESCROW:
        return op_escrow(h, m->body, e);
    case EMK_KEYHOLDER_OP_ROTATE:
        return op_rotate(h, m->number, w, e);
    case EMK_KEYHOLDER_OP_LEASE_KEY:
        return op_lease_key(h, m->body, w, e);
    case EMK_KEYHOLDER_OP_KEYS:
        put_keys(h, w);
        return EMK_OK;
    case EMK_KEYHOLDER_OP_RETIRE:
        return op_retire(h, m->body, w, e);
    }
    return emk_fail(e, EMK_E_POLICY, "keyholder: no such operation", m->operation);
}

/* ---- life ---- */

static emk_status confine(const emk_keyholder_options *o, emk_error *e)
{
    bool module = o->issuer != EMK_KEYHOLDER_FILE;
    const char *write[] = {o->dir};
    emk_sandbox_paths paths = {.write = write, .n_write = 1};
    emk_status st = emk_sandbox_private(e);

    if (st == EMK_OK && o->user)
        st = emk_sandbox_user(o->user, e);
    if (st != EMK_OK || !o->sandbox)
        return st;
    if (!module) {
        st = emk_sandbox_files(&paths, e);
        if (st == EMK_E_UNSUPPORTED)
            st = EMK_OK; /* the HTTP process reports it; files are the smaller part here */
    }
    if (st == EMK_OK)
        st = emk_sandbox_calls(module ? EMK_SANDBOX_KEYHOLDER_MODULE : EMK_SANDBOX_KEYHOLDER, e);
    return st == EMK_E_UNSUPPORTED ? EMK_OK : st;
}

/* Puts the head in front of what w has written behind it; returns the length of both. */
static size_t put_answer(uint8_t *out, uint8_t operation, emk_status result, const emk_writer *w)
{
    size_t len = result == EMK_OK && !w->full ? w->pos : 0;

    emk_keyholder_head_write(out, operation, (uint16_t)(w->full ? EMK_E_LIMIT : result), len);
    return EMK_KEYHOLDER_HEAD_LEN + len;
}

/* Questions at `in`, answers at `out`. */
static emk_status answer_all(holder *h, emk_span in, uint8_t *out, size_t *len, emk_error *e)
{
    size_t at = 0;

    do {
        emk_keyholder_message m;
        emk_error why = {0};
        emk_writer w;
        emk_status st = emk_keyholder_message_next(&in, &m, e);

        if (st == EMK_OK && EMK_KEYHOLDER_MESSAGE_MAX - at < EMK_KEYHOLDER_HEAD_LEN)
            st = emk_fail(e, EMK_E_LIMIT, "keyholder: too much is asked at once", at);
        if (st != EMK_OK)
            return st;
        emk_writer_init(&w, out + at + EMK_KEYHOLDER_HEAD_LEN,
                        EMK_KEYHOLDER_MESSAGE_MAX - EMK_KEYHOLDER_HEAD_LEN - at);
        st = answer(h, &m, &w, &why);
        at += put_answer(out + at, m.operation, st, &w);
    } while (in.len > 0);
    *len = at;
    return EMK_OK;
}

static emk_status serve_one(holder *h, int fd, uint8_t *in, uint8_t *out, emk_error *e)
{
    size_t len, made = 0;
    emk_status st = emk_proc_receive(fd, in, EMK_KEYHOLDER_MESSAGE_MAX, &len, 0, e);

    if (st != EMK_OK)
        return st;
    st = answer_all(h, emk_span_of(in, len), out, &made, e);
    emk_wipe(in, len); /* a chain's first key came in one */
    if (st == EMK_OK)
        st = emk_proc_send(fd, emk_span_of(out, made), e);
    emk_wipe(out, made > 0 ? made : EMK_KEYHOLDER_MESSAGE_MAX);
    return st;
}

/* Which keys sign: after a kill in the middle of a change, this says how it went. */
static void note_start(const holder *h)
{
    emk_error e = {0};
    emk_record_line issuer = {.what = "start issuer", .key = h->issuer.kid};
    emk_record_line sealing = {.what = "start sealing", .key = h->sealing.kid};
    emk_status st = emk_record_append(h->o->dir, &issuer, &e);

    if (st == EMK_OK && h->o->sealing_s > 0)
        st = emk_record_append(h->o->dir, &sealing, &e);
    if (st != EMK_OK)
        complain("a start cannot be noted", &e); /* a full disk stops changes, not signatures */
}

int emk_keyholder_run(int fd, const emk_keyholder_options *o)
{
    static uint8_t in[EMK_KEYHOLDER_MESSAGE_MAX], out[EMK_KEYHOLDER_MESSAGE_MAX];
    holder h = {.o = o};
    size_t len;
    emk_writer nothing;
    emk_error e = {0}, ignored;
    emk_status st;

    emk_proc_name("earmark-keys");
    emk_writer_init(&nothing, NULL, 0);
    st = load_keys(&h, &e);
    if (st == EMK_OK)
        st = confine(o, &e);
    if (st == EMK_OK)
        note_start(&h);
    if (st != EMK_OK) {
        complain("cannot start", &e);
        /* Says why in place of the answer to hello. */
        if (emk_proc_receive(fd, in, sizeof in, &len, EMK_KEYHOLDER_TIMEOUT_MS, &ignored) !=
                EMK_OK ||
            emk_proc_send(fd,
                          emk_span_of(out, put_answer(out, EMK_KEYHOLDER_OP_HELLO, st, &nothing)),
                          &ignored) != EMK_OK)
            complain("cannot say why", &ignored);
    }
    while (st == EMK_OK)
        st = serve_one(&h, fd, in, out, &e);
    wipe_keys(&h);
    if (st != EMK_E_NOT_FOUND) /* not found: the other side is gone, in order */
        complain("ends", &e);
    return st == EMK_E_NOT_FOUND ? 0 : 1;
}
