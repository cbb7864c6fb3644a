#include "core/seal/schedule.h"

#include "core/base/bytes.h"
#include "core/crypto/kdf.h"

static const char FILE_KEY[] = "earmark/1 file key";
static const char FILE_COMMIT[] = "earmark/1 file commit";
static const char REGION_KEY[] = "earmark/1 region key";
static const char WEIGHTS_COMMIT[] = "earmark/1 weights commit";
static const char LOCAL_MAC[] = "earmark/1 local mac";

#define KEY_LEN 32u

static emk_status expand(const emk_schedule *s, emk_span label, uint8_t out[KEY_LEN], emk_error *e)
{
    return emk_hkdf_expand(s->crypto, s->prk, label, out, KEY_LEN, e);
}

emk_status emk_schedule_init_in(emk_schedule *s, const emk_schedule_in *in, emk_error *e)
{
    emk_schedule made = {.crypto = in->crypto, .layer = in->layer, .prk = in->prk};
    emk_span label =
        in->layer == EMK_LAYER_FILE ? emk_span_str(FILE_COMMIT) : emk_span_str(WEIGHTS_COMMIT);
    emk_status st;

    st = emk_hkdf_extract(in->crypto, emk_span_of(in->hh, EMK_HASH_LEN),
                          emk_span_of(in->cek, EMK_CEK_LEN), in->prk, e);
    if (st == EMK_OK)
        st = expand(&made, label, made.commit, e);
    if (st == EMK_OK)
        *s = made;
    return st;
}

emk_status emk_schedule_init(emk_schedule *s, const emk_crypto *c, emk_layer layer,
                             const uint8_t cek[EMK_CEK_LEN], const uint8_t hh[EMK_HASH_LEN],
                             emk_error *e)
{
    emk_schedule_in in = {.crypto = c, .layer = layer, .cek = cek, .hh = hh};
    emk_secret *own;
    emk_status st;

    st = emk_secret_new(EMK_SCHEDULE_PRK_LEN, &own, e);
    if (st != EMK_OK)
        return st;
    in.prk = emk_secret_bytes(own);
    st = emk_schedule_init_in(s, &in, e);
    if (st == EMK_OK)
        s->own = own;
    else
        emk_secret_free(own);
    return st;
}

emk_status emk_schedule_check_commit(const emk_schedule *s, const uint8_t commit[EMK_COMMIT_LEN],
                                     emk_error *e)
{
    if (!emk_ct_equal(s->commit, commit, EMK_COMMIT_LEN))
        return emk_fail(e, EMK_E_SEALED, "sealed: cannot be opened with the keys held here", 0);
    return EMK_OK;
}

static emk_status set_key(const emk_schedule *s, emk_span label, emk_aead *a, emk_error *e)
{
    uint8_t key[KEY_LEN];
    emk_status st = expand(s, label, key, e);

    if (st == EMK_OK)
        st = emk_aead_set_key(a, key, e);
    emk_wipe(key, sizeof key);
    return st;
}

emk_status emk_schedule_file_key(const emk_schedule *s, emk_aead *a, emk_error *e)
{
    return set_key(s, emk_span_str(FILE_KEY), a, e);
}

emk_status emk_schedule_region_key(const emk_schedule *s, uint32_t r, emk_aead *a, emk_error *e)
{
    uint8_t label[sizeof REGION_KEY + 4]; /* the label, its zero, r */

    memcpy(label, REGION_KEY, sizeof REGION_KEY);
    emk_store_u32be(label + sizeof REGION_KEY, r);
    return set_key(s, emk_span_of(label, sizeof label), a, e);
}

emk_status emk_schedule_local_mac(const emk_schedule *s, emk_span record, uint8_t mac[32],
                                  emk_error *e)
{
    uint8_t key[KEY_LEN];
    emk_status st = expand(s, emk_span_str(LOCAL_MAC), key, e);

    if (st == EMK_OK)
        st = emk_hmac_sha256(s->crypto, emk_span_of(key, sizeof key), &record, 1, mac, e);
    emk_wipe(key, sizeof key);
    return st;
}

void emk_schedule_done(emk_schedule *s)
{
    emk_secret_free(s->own);
    s->own = NULL;
    s->prk = NULL;
    emk_wipe(s->commit, sizeof s->commit);
}

void emk_nonce(uint64_t i, bool last, uint8_t nonce[EMK_AEAD_NONCE_LEN])
{
    memset(nonce, 0, 3);
    emk_store_u64be(nonce + 3, i);
    nonce[11] = last ? 1 : 0;
}
