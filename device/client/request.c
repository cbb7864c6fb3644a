#include "core/crypto/random.h"
#include "device/client/internal.h"

static uint16_t best_kem(const emk_crypto *c)
{
    static const uint16_t kems[] = {EMK_KEM_XWING, EMK_KEM_X25519};

    for (size_t i = 0; i < sizeof kems / sizeof kems[0]; i++)
        if (emk_kem_is_supported(c, kems[i]))
            return kems[i];
    return EMK_KEM_P256;
}

static emk_status check_kem(const emk_crypto *c, uint16_t kem, emk_error *e)
{
    if (kem != EMK_KEM_XWING && kem != EMK_KEM_X25519 && kem != EMK_KEM_P256)
        return emk_fail(e, EMK_E_USAGE, "request: KEM of the request key", kem);
    if (!emk_kem_is_supported(c, kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "request: libcrypto has no such KEM", kem);
    return EMK_OK;
}

/* A request in the making.  `priv` is wiped by who holds it. */
typedef struct asking {
    emk_client *client;
    const emk_client_want *want;
    emk_buf certificate;
    emk_buf summary; /* the guard's */
    uint16_t kem;
    uint8_t priv[EMK_KEM_PRIVATE_MAX];
} asking;

/* A fresh key pair and the request around it, appended to out. */
static emk_status make_request(asking *a, emk_buf *out, emk_error *e)
{
    const emk_client *cl = a->client;
    uint8_t pub[EMK_KEM_PUBLIC_MAX];
    emk_request q = {.model = a->want->model,
                     .user = a->want->user,
                     .version = a->want->version,
                     .use = a->want->use,
                     .app = a->want->app,
                     .certificate_message = emk_buf_span(&a->certificate),
                     .created = emk_client_now(cl)};
    emk_status st;

    a->kem = a->want->kem ? a->want->kem : best_kem(cl->crypto);
    st = check_kem(cl->crypto, a->kem, e);
    if (st != EMK_OK)
        return st;
    st = emk_random_public(cl->crypto, q.nonce, sizeof q.nonce, e);
    if (st != EMK_OK)
        return st;
    st = emk_kem_generate(cl->crypto, a->kem, a->priv, pub, e);
    if (st == EMK_OK)
        st = emk_client_guard_summary(cl, emk_span_of(q.nonce, sizeof q.nonce), &a->summary, e);
    if (st != EMK_OK)
        return st;
    q.summary = emk_buf_span(&a->summary);
    q.request_key.kem = a->kem;
    q.request_key.public_key = emk_span_of(pub, emk_kem_public_len(a->kem));
    return emk_request_sign(cl->crypto, &cl->signer, &q, out, e);
}

/* Names the request and keeps its key until the answer. */
static emk_status keep_key(const asking *a, emk_span request, uint8_t hash[EMK_HASH_LEN],
                           emk_error *e)
{
    const emk_pending_key key = {.kem = a->kem, .priv = a->priv};
    uint8_t name[EMK_HASH_LEN];
    emk_status st;

    st = emk_message_hash(a->client->crypto, request, name, e);
    if (st != EMK_OK)
        return st;
    st = emk_pending_put(a->client, name, &key, e);
    if (st != EMK_OK)
        return st;
    memcpy(hash, name, sizeof name);
    return EMK_OK;
}

static emk_status make_room(emk_client *cl, emk_error *e)
{
    size_t n = 0;
    emk_status st = emk_client_sweep(cl, &n, e);

    if (st == EMK_OK && n >= EMK_CLIENT_PENDING_MAX)
        return emk_fail(e, EMK_E_LIMIT, "request: too many are waiting", n);
    return st;
}

emk_status emk_client_request(emk_client *cl, const emk_client_want *want, emk_buf *out,
                              uint8_t hash[EMK_HASH_LEN], emk_error *e)
{
    asking a = {.client = cl, .want = want};
    size_t before = out->len;
    emk_status st;

    emk_buf_init(&a.certificate, EMK_CLIENT_CERTIFICATE_MAX);
    emk_buf_init(&a.summary, EMK_REQUEST_SUMMARY_MAX);
    st = make_room(cl, e);
    if (st == EMK_OK)
        st = emk_client_certificate(cl, &a.certificate, e);
    if (st == EMK_OK)
        st = make_request(&a, out, e);
    if (st == EMK_OK)
        st = keep_key(&a, emk_span_of(out->p + before, out->len - before), hash, e);
    if (st != EMK_OK)
        out->len = before;
    emk_wipe(a.priv, sizeof a.priv);
    emk_buf_done(&a.certificate);
    emk_buf_done(&a.summary);
    return st;
}
