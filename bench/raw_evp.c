#include "bench/raw_evp.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 4096u
#define POINT_LEN   65u
#define X25519_LEN  32u

static void need(bool ok)
{
    if (!ok)
        bench_die("libcrypto failed", NULL);
}

static void *get(size_t size)
{
    void *p = calloc(1, size);

    need(p != NULL);
    return p;
}

struct raw_gcm {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    uint64_t count;
};

raw_gcm *raw_gcm_new(void)
{
    static const uint8_t KEY[32] = {1, 2, 3};
    raw_gcm *g = get(sizeof *g);

    g->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    g->ctx = EVP_CIPHER_CTX_new();
    need(g->cipher && g->ctx && EVP_EncryptInit_ex2(g->ctx, g->cipher, KEY, NULL, NULL) == 1);
    return g;
}

void raw_gcm_free(raw_gcm *g)
{
    EVP_CIPHER_CTX_free(g->ctx);
    EVP_CIPHER_free(g->cipher);
    free(g);
}

static void nonce_of(const raw_gcm *g, uint8_t nonce[12])
{
    memset(nonce, 0, 12);
    memcpy(nonce, &g->count, sizeof g->count);
}

void raw_gcm_seal(raw_gcm *g, const uint8_t *in, uint8_t *out, size_t len, uint8_t tag[16])
{
    uint8_t nonce[12];
    int n;

    g->count++;
    nonce_of(g, nonce);
    need(EVP_CipherInit_ex2(g->ctx, NULL, NULL, nonce, 1, NULL) == 1 &&
         EVP_CipherUpdate(g->ctx, out, &n, in, (int)len) == 1 &&
         EVP_CipherFinal_ex(g->ctx, out + len, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(g->ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);
}

void raw_gcm_open(raw_gcm *g, const uint8_t *in, uint8_t *out, size_t len, uint8_t tag[16])
{
    uint8_t nonce[12];
    int n;

    nonce_of(g, nonce);
    need(EVP_CipherInit_ex2(g->ctx, NULL, NULL, nonce, 0, NULL) == 1 &&
         EVP_CipherUpdate(g->ctx, out, &n, in, (int)len) == 1 &&
         EVP_CIPHER_CTX_ctrl(g->ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
         EVP_CipherFinal_ex(g->ctx, out + len, &n) == 1);
}

void raw_sha256(const uint8_t *in, size_t len)
{
    uint8_t out[EVP_MAX_MD_SIZE];

    need(EVP_Digest(in, len, out, NULL, EVP_sha256(), NULL) == 1);
}

struct raw_exchange {
    EVP_PKEY *group; /* P-256 without a key */
    EVP_PKEY_CTX *x25519_keygen, *p256_keygen;
    EVP_PKEY *signer;
    uint8_t x25519_peer[POINT_LEN], p256_peer[POINT_LEN]; /* X25519: the first 32 bytes */
    uint8_t message[MESSAGE_MAX];
};

/* A key pair, and the public key's bytes: whoever is to open needs them. */
static EVP_PKEY *generate(EVP_PKEY_CTX *ctx, const char *public_param, uint8_t pub[POINT_LEN])
{
    EVP_PKEY *key = NULL;
    size_t len;

    need(EVP_PKEY_generate(ctx, &key) == 1 &&
         EVP_PKEY_get_octet_string_param(key, public_param, pub, POINT_LEN, &len) == 1);
    return key;
}

static EVP_PKEY *generate_x25519(raw_exchange *x, uint8_t pub[POINT_LEN])
{
    return generate(x->x25519_keygen, OSSL_PKEY_PARAM_PUB_KEY, pub);
}

static EVP_PKEY *generate_p256(raw_exchange *x, uint8_t pub[POINT_LEN])
{
    return generate(x->p256_keygen, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, pub);
}

static EVP_PKEY *make_group(void)
{
    char name[] = SN_X9_62_prime256v1;
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *group = NULL;

    need(ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
         EVP_PKEY_fromdata(ctx, &group, EVP_PKEY_KEY_PARAMETERS, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    return group;
}

raw_exchange *raw_exchange_new(void)
{
    static const uint8_t SEED[32] = {9};
    raw_exchange *x = get(sizeof *x);

    x->group = make_group();
    x->x25519_keygen = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    x->p256_keygen = EVP_PKEY_CTX_new_from_pkey(NULL, x->group, NULL);
    need(x->x25519_keygen && EVP_PKEY_keygen_init(x->x25519_keygen) == 1 && x->p256_keygen &&
         EVP_PKEY_keygen_init(x->p256_keygen) == 1);
    EVP_PKEY_free(generate_x25519(x, x->x25519_peer));
    EVP_PKEY_free(generate_p256(x, x->p256_peer));
    x->signer = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, SEED, sizeof SEED);
    need(x->signer != NULL);
    return x;
}

void raw_exchange_free(raw_exchange *x)
{
    EVP_PKEY_free(x->group);
    EVP_PKEY_free(x->signer);
    EVP_PKEY_CTX_free(x->x25519_keygen);
    EVP_PKEY_CTX_free(x->p256_keygen);
    free(x);
}

/* Takes both keys. */
static void derive(EVP_PKEY *mine, EVP_PKEY *peer)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL);
    uint8_t secret[32];
    size_t len = sizeof secret;

    need(ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 &&
         EVP_PKEY_derive(ctx, secret, &len) == 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(peer);
}

void raw_exchange_agree(raw_exchange *x)
{
    EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, x->x25519_peer, X25519_LEN);
    uint8_t pub[POINT_LEN];

    need(peer != NULL);
    derive(generate_x25519(x, pub), peer);
    peer = EVP_PKEY_dup(x->group);
    need(peer && EVP_PKEY_set1_encoded_public_key(peer, x->p256_peer, sizeof x->p256_peer) == 1);
    derive(generate_p256(x, pub), peer);
}

void raw_exchange_sign(raw_exchange *x, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[64];
    size_t sig_len = sizeof sig;

    need(ctx && len <= sizeof x->message &&
         EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, x->signer, NULL) == 1 &&
         EVP_DigestSign(ctx, sig, &sig_len, x->message, len) == 1);
    EVP_MD_CTX_free(ctx);
}
