/* State of a context: what the key schedule gave, a sequence number, and `spent`, which says
 * that no further message may be sealed or opened.  The number is checked before it is used,
 * so message 2^96-1 is never made: its successor could not be told apart.  [RFC 9180 5.2] */
#include "core/crypto/hpke.h"

#include "core/base/alloc.h"
#include "core/base/os_process.h"
#include "core/base/secret.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/internal.h"
#include "core/crypto/kem_internal.h"

/* Only bytes, so that it may lie anywhere. */
typedef struct schedule {
    uint8_t key[EMK_AEAD_KEY_MAX];
    uint8_t base_nonce[EMK_AEAD_NONCE_LEN];
    uint8_t exporter_secret[32];
} schedule;

struct emk_hpke {
    const emk_crypto *c;
    emk_hpke_suite suite;
    bool sender;
    bool spent;
    uint64_t process; /* the one that made it */
    uint8_t seq[EMK_HPKE_SEQ_LEN];
    emk_aead *aead;   /* NULL: export-only */
    emk_secret *keys; /* a schedule */
};

emk_status emk_hpke_check_suite(const emk_crypto *c, emk_hpke_suite suite, emk_error *e)
{
    if (!emk_kem_is_supported(c, suite.kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "hpke: KEM", suite.kem);
    if (suite.kdf != EMK_HPKE_KDF_HKDF_SHA256)
        return emk_fail(e, EMK_E_UNSUPPORTED, "hpke: KDF", suite.kdf);
    if (suite.aead != EMK_AEAD_EXPORT_ONLY && !emk_aead_is_supported(c, suite.aead))
        return emk_fail(e, EMK_E_UNSUPPORTED, "hpke: AEAD", suite.aead);
    return EMK_OK;
}

static bool is_psk(emk_hpke_mode mode)
{
    return mode == EMK_HPKE_PSK || mode == EMK_HPKE_AUTH_PSK;
}

static bool is_auth(emk_hpke_mode mode)
{
    return mode == EMK_HPKE_AUTH || mode == EMK_HPKE_AUTH_PSK;
}

/* VerifyPSKInputs.  [RFC 9180 5.1] */
static emk_status check_psk(const emk_hpke_in *in, emk_error *e)
{
    if ((in->psk.len != 0) != (in->psk_id.len != 0))
        return emk_fail(e, EMK_E_USAGE, "hpke: psk and psk_id go together", in->psk.len);
    if ((in->psk.len != 0) != is_psk(in->mode))
        return emk_fail(e, EMK_E_USAGE, "hpke: psk does not go with the mode", in->mode);
    if (is_psk(in->mode) && in->psk.len < EMK_HPKE_PSK_MIN)
        return emk_fail(e, EMK_E_USAGE, "hpke: psk is too short", in->psk.len);
    return EMK_OK;
}

static emk_status check_in(const emk_crypto *c, const emk_hpke_in *in, bool sender, emk_error *e)
{
    bool key = in->sender_key != NULL, pub = in->sender_public.len != 0;
    emk_status st;

    st = emk_hpke_check_suite(c, in->suite, e);
    if (st != EMK_OK)
        return st;
    if ((unsigned)in->mode > EMK_HPKE_AUTH_PSK)
        return emk_fail(e, EMK_E_UNSUPPORTED, "hpke: mode", (unsigned)in->mode);
    if (is_auth(in->mode) && !emk_kem_has_auth(in->suite.kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "hpke: this KEM has no auth mode", in->suite.kem);
    if (key != (is_auth(in->mode) && sender) || pub != (is_auth(in->mode) && !sender))
        return emk_fail(e, EMK_E_USAGE, "hpke: sender's key does not go with the mode", in->mode);
    return check_psk(in, e);
}

/* mode || psk_id_hash || info_hash.  [RFC 9180 5.1] */
static emk_status make_context(const emk_labeled *l, const emk_hpke_in *in, uint8_t context[65],
                               emk_error *e)
{
    emk_span none = {NULL, 0};
    emk_status st;

    context[0] = (uint8_t)in->mode;
    st = emk_labeled_extract(l, none, (emk_label){"psk_id_hash", in->psk_id}, context + 1, e);
    if (st == EMK_OK)
        st = emk_labeled_extract(l, none, (emk_label){"info_hash", in->info}, context + 33, e);
    return st;
}

static emk_status expand_schedule(const emk_labeled *l, const uint8_t secret[32], emk_span context,
                                  size_t key_len, schedule *out, emk_error *e)
{
    emk_status st = EMK_OK;

    if (key_len) {
        st = emk_labeled_expand(l, secret, (emk_label){"key", context}, out->key, key_len, e);
        if (st == EMK_OK)
            st = emk_labeled_expand(l, secret, (emk_label){"base_nonce", context}, out->base_nonce,
                                    sizeof out->base_nonce, e);
    }
    if (st == EMK_OK)
        st = emk_labeled_expand(l, secret, (emk_label){"exp", context}, out->exporter_secret,
                                sizeof out->exporter_secret, e);
    return st;
}

static void init_labeled(emk_labeled *l, const emk_crypto *c, emk_hpke_suite suite)
{
    const uint16_t ids[3] = {suite.kem, suite.kdf, suite.aead};

    emk_labeled_init_hpke(l, c, ids);
}

/* KeySchedule.  [RFC 9180 5.1] */
static emk_status make_schedule(const emk_crypto *c, const emk_hpke_in *in,
                                const uint8_t shared[32], schedule *out, emk_error *e)
{
    uint8_t context[65], secret[32];
    emk_labeled l;
    emk_status st;

    init_labeled(&l, c, in->suite);
    st = make_context(&l, in, context, e);
    if (st == EMK_OK)
        st = emk_labeled_extract(&l, emk_span_of(shared, 32), (emk_label){"secret", in->psk},
                                 secret, e);
    if (st == EMK_OK)
        st = expand_schedule(&l, secret, emk_span_of(context, sizeof context),
                             emk_aead_key_len(in->suite.aead), out, e);
    emk_wipe(secret, sizeof secret);
    return st;
}

static emk_status sender_schedule(const emk_crypto *c, const emk_hpke_in *in,
                                  const emk_kem_encap_in *kem, uint8_t *enc, schedule *out,
                                  emk_error *e)
{
    uint8_t shared[32];
    emk_status st;

    st = check_in(c, in, true, e);
    if (st == EMK_OK)
        st = emk_kem_encap_full(c, kem, enc, shared, e);
    if (st == EMK_OK)
        st = make_schedule(c, in, shared, out, e);
    emk_wipe(shared, sizeof shared);
    return st;
}

static emk_status receiver_schedule(const emk_hpke_in *in, const emk_kem_private *key, emk_span enc,
                                    schedule *out, emk_error *e)
{
    const emk_crypto *c = emk_kem_private_crypto(key);
    uint8_t shared[32];
    emk_status st;

    if (emk_kem_private_id(key) != in->suite.kem)
        return emk_fail(e, EMK_E_USAGE, "hpke: key is of another KEM", in->suite.kem);
    st = check_in(c, in, false, e);
    if (st == EMK_OK)
        st = emk_kem_decap_full(key, enc, in->sender_public, shared, e);
    if (st == EMK_OK)
        st = make_schedule(c, in, shared, out, e);
    emk_wipe(shared, sizeof shared);
    return st;
}

static emk_status make_aead(const emk_crypto *c, uint16_t id, const schedule *keys, emk_aead **out,
                            emk_error *e)
{
    emk_aead *a;
    emk_status st = emk_aead_new(c, id, &a, e);

    if (st != EMK_OK)
        return st;
    st = emk_aead_set_key(a, keys->key, e);
    if (st != EMK_OK) {
        emk_aead_free(a);
        return st;
    }
    *out = a;
    return EMK_OK;
}

static schedule *keys_of(const emk_hpke *h)
{
    return (schedule *)emk_secret_bytes(h->keys);
}

static emk_status context_new(const emk_crypto *c, emk_hpke_suite suite, const schedule *keys,
                              emk_hpke **out, emk_error *e)
{
    emk_hpke *h = emk_alloc(1, sizeof *h);
    emk_status st;

    if (!h)
        return emk_fail(e, EMK_E_NO_MEMORY, "hpke: context", sizeof *h);
    h->c = c;
    h->suite = suite;
    h->process = emk_os_process_id();
    st = emk_secret_new(sizeof *keys, &h->keys, e);
    if (st == EMK_OK && suite.aead != EMK_AEAD_EXPORT_ONLY)
        st = make_aead(c, suite.aead, keys, &h->aead, e);
    if (st != EMK_OK) {
        emk_hpke_free(h);
        return st;
    }
    memcpy(keys_of(h), keys, sizeof *keys);
    *out = h;
    return EMK_OK;
}

static emk_status sender_new(const emk_crypto *c, const emk_hpke_in *in,
                             const emk_kem_encap_in *kem, uint8_t *enc, emk_hpke **out,
                             emk_error *e)
{
    uint8_t made[EMK_KEM_ENC_MAX];
    schedule keys = {{0}, {0}, {0}};
    emk_status st;

    st = sender_schedule(c, in, kem, made, &keys, e);
    if (st == EMK_OK)
        st = context_new(c, in->suite, &keys, out, e);
    emk_wipe(&keys, sizeof keys);
    if (st != EMK_OK)
        return st;
    (*out)->sender = true;
    memcpy(enc, made, emk_kem_enc_len(in->suite.kem));
    return EMK_OK;
}

emk_status emk_hpke_sender_new(const emk_crypto *c, const emk_hpke_in *in, emk_span pub,
                               uint8_t *enc, emk_hpke **out, emk_error *e)
{
    emk_kem_encap_in kem = {.kem = in->suite.kem, .pub = pub, .sender = in->sender_key};

    return sender_new(c, in, &kem, enc, out, e);
}

// NOLINTNEXTLINE(readability-function-size): its public twin and one more
emk_status emk_hpke_sender_new_fixed(const emk_crypto *c, const emk_hpke_in *in, emk_span pub,
                                     emk_span fixed, uint8_t *enc, emk_hpke **out, emk_error *e)
{
    emk_kem_encap_in kem = {in->suite.kem, pub, in->sender_key, &fixed};

    return sender_new(c, in, &kem, enc, out, e);
}

emk_status emk_hpke_receiver_new(const emk_hpke_in *in, const emk_kem_private *key, emk_span enc,
                                 emk_hpke **out, emk_error *e)
{
    schedule keys = {{0}, {0}, {0}};
    emk_status st;

    st = receiver_schedule(in, key, enc, &keys, e);
    if (st == EMK_OK)
        st = context_new(emk_kem_private_crypto(key), in->suite, &keys, out, e);
    emk_wipe(&keys, sizeof keys);
    return st;
}

void emk_hpke_free(emk_hpke *h)
{
    if (!h)
        return;
    emk_aead_free(h->aead);
    emk_secret_free(h->keys);
    emk_free(h);
}

static bool seq_is_last(const uint8_t seq[EMK_HPKE_SEQ_LEN])
{
    for (size_t i = 0; i < EMK_HPKE_SEQ_LEN; i++) {
        if (seq[i] != 0xff)
            return false;
    }
    return true;
}

/* seq is not the last one. */
static void seq_step(uint8_t seq[EMK_HPKE_SEQ_LEN])
{
    for (size_t i = EMK_HPKE_SEQ_LEN; i-- > 0;) {
        if (++seq[i] != 0)
            return;
    }
}

/* Whether this context may handle one more message of this direction; fills its nonce. */
static emk_status next_nonce(const emk_hpke *h, bool sender, uint8_t nonce[EMK_AEAD_NONCE_LEN],
                             emk_error *e)
{
    if (h->sender != sender)
        return emk_fail(e, EMK_E_USAGE, "hpke: context is for the other direction", 0);
    if (!h->aead)
        return emk_fail(e, EMK_E_USAGE, "hpke: suite is export-only", h->suite.aead);
    if (h->process != emk_os_process_id())
        return emk_fail(e, EMK_E_USAGE, "hpke: context of another process", 0);
    if (h->spent)
        return emk_fail(e, EMK_E_USAGE, "hpke: context failed before", 0);
    if (seq_is_last(h->seq))
        return emk_fail(e, EMK_E_LIMIT, "hpke: sequence is used up", 0);
    for (size_t i = 0; i < EMK_AEAD_NONCE_LEN; i++)
        nonce[i] = (uint8_t)(keys_of(h)->base_nonce[i] ^ h->seq[i]);
    return EMK_OK;
}

emk_status emk_hpke_seal(emk_hpke *h, emk_span aad, emk_span plain, uint8_t *cipher, emk_error *e)
{
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    st = next_nonce(h, true, nonce, e);
    if (st != EMK_OK)
        return st;
    st = emk_aead_seal(h->aead, nonce, aad, plain, cipher, cipher + plain.len, e);
    if (st == EMK_OK)
        seq_step(h->seq);
    else
        h->spent = true; /* nobody knows whether this nonce was used */
    return st;
}

/* cipher has at least a tag; all failures of the AEAD itself. */
static emk_status open_with(emk_aead *a, const uint8_t nonce[12], emk_span aad, emk_span cipher,
                            uint8_t *plain, emk_error *e)
{
    size_t len;

    if (cipher.len < EMK_AEAD_TAG_LEN)
        return emk_fail(e, EMK_E_SEALED, "hpke: shorter than a tag", cipher.len);
    len = cipher.len - EMK_AEAD_TAG_LEN;
    return emk_aead_open(a, nonce, aad, emk_span_of(cipher.p, len), cipher.p + len, plain, e);
}

emk_status emk_hpke_open(emk_hpke *h, emk_span aad, emk_span cipher, uint8_t *plain, emk_error *e)
{
    uint8_t nonce[EMK_AEAD_NONCE_LEN];
    emk_status st;

    st = next_nonce(h, false, nonce, e);
    if (st == EMK_OK)
        st = open_with(h->aead, nonce, aad, cipher, plain, e);
    if (st == EMK_OK)
        seq_step(h->seq);
    return st;
}

emk_status emk_hpke_set_seq(emk_hpke *h, const uint8_t seq[12], emk_error *e)
{
    if (h->sender)
        return emk_fail(e, EMK_E_USAGE, "hpke: a sender's sequence cannot be set", 0);
    memcpy(h->seq, seq, sizeof h->seq);
    return EMK_OK;
}

void emk_hpke_force_seq(emk_hpke *h, const uint8_t seq[12])
{
    memcpy(h->seq, seq, sizeof h->seq);
}

emk_status emk_hpke_export(const emk_hpke *h, emk_span context, uint8_t *out, size_t len,
                           emk_error *e)
{
    emk_labeled l;

    init_labeled(&l, h->c, h->suite);
    return emk_labeled_expand(&l, keys_of(h)->exporter_secret, (emk_label){"sec", context}, out,
                              len, e);
}

void emk_hpke_peek(const emk_hpke *h, emk_hpke_schedule *out)
{
    const schedule *keys = keys_of(h);

    memset(out, 0, sizeof *out);
    out->key_len = emk_aead_key_len(h->suite.aead);
    memcpy(out->key, keys->key, out->key_len);
    memcpy(out->base_nonce, keys->base_nonce, sizeof out->base_nonce);
    memcpy(out->exporter_secret, keys->exporter_secret, sizeof out->exporter_secret);
}

static emk_status seal_first(const emk_crypto *c, const emk_hpke_in *in, const schedule *keys,
                             emk_span plain, uint8_t *cipher, emk_error *e)
{
    emk_aead *a;
    emk_status st;

    st = make_aead(c, in->suite.aead, keys, &a, e);
    if (st != EMK_OK)
        return st;
    st = emk_aead_seal(a, keys->base_nonce, in->aad, plain, cipher, cipher + plain.len, e);
    emk_aead_free(a);
    return st;
}

emk_status emk_hpke_seal_once(const emk_crypto *c, const emk_hpke_in *in, emk_span pub,
                              emk_span plain, uint8_t *out, emk_error *e)
{
    emk_kem_encap_in kem = {.kem = in->suite.kem, .pub = pub, .sender = in->sender_key};
    size_t enc_len = emk_kem_enc_len(in->suite.kem);
    uint8_t enc[EMK_KEM_ENC_MAX];
    schedule keys = {{0}, {0}, {0}};
    emk_status st;

    if (in->suite.aead == EMK_AEAD_EXPORT_ONLY)
        return emk_fail(e, EMK_E_USAGE, "hpke: suite is export-only", in->suite.aead);
    st = sender_schedule(c, in, &kem, enc, &keys, e);
    if (st == EMK_OK)
        st = seal_first(c, in, &keys, plain, out + enc_len, e);
    if (st == EMK_OK)
        memcpy(out, enc, enc_len);
    emk_wipe(&keys, sizeof keys);
    return st;
}

static emk_status open_first(const emk_hpke_in *in, const emk_crypto *c, const schedule *keys,
                             emk_span cipher, uint8_t *plain, emk_error *e)
{
    emk_aead *a;
    emk_status st;

    st = make_aead(c, in->suite.aead, keys, &a, e);
    if (st != EMK_OK)
        return st;
    st = open_with(a, keys->base_nonce, in->aad, cipher, plain, e);
    emk_aead_free(a);
    return st;
}

emk_status emk_hpke_open_once(const emk_hpke_in *in, const emk_kem_private *key, emk_span enc,
                              emk_span cipher, uint8_t *plain, emk_error *e)
{
    schedule keys = {{0}, {0}, {0}};
    emk_status st;

    if (in->suite.aead == EMK_AEAD_EXPORT_ONLY)
        return emk_fail(e, EMK_E_USAGE, "hpke: suite is export-only", in->suite.aead);
    st = receiver_schedule(in, key, enc, &keys, e);
    if (st == EMK_OK)
        st = open_first(in, emk_kem_private_crypto(key), &keys, cipher, plain, e);
    emk_wipe(&keys, sizeof keys);
    if (st == EMK_E_SEALED)
        return emk_fail(e, EMK_E_SEALED, "hpke: cannot be opened", 0);
    return st;
}
