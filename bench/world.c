#include "bench/world.h"

#include "bench/workdir.h"
#include "core/base/os_file.h"
#include "core/base/os_mem.h"

#include <string.h>

#define NOW        UINT64_C(1800000000)
#define DAY_S      86400u
#define HEAD_LEN   ((uint64_t)40000)
#define TENSOR_LEN ((uint64_t)8 << 20)
#define ANSWER_LEN 32u

static void make_signer(world *w, uint8_t seed, emk_sign_key **key, emk_signer *signer)
{
    uint8_t priv[EMK_SIGN_PRIVATE_LEN];
    emk_error e = {0};

    memset(priv, seed, sizeof priv);
    bench_need(
        emk_sign_key_new(w->crypto, EMK_SIGN_ED25519, emk_span_of(priv, sizeof priv), key, &e), &e,
        "signing key");
    bench_need(emk_signer_from_key(w->crypto, *key, signer, &e), &e, "signing key");
}

static void make_kem(world *w, uint16_t kem, uint8_t seed, emk_kem_private **key)
{
    uint8_t ikm[EMK_KEM_PRIVATE_MAX], priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    emk_error e = {0};

    memset(ikm, seed, sizeof ikm);
    bench_need(emk_kem_derive(w->crypto, kem, emk_span_of(ikm, sizeof ikm), priv, pub, &e), &e,
               "key");
    bench_need(
        emk_kem_private_new(w->crypto, kem, emk_span_of(priv, emk_kem_private_len(kem)), key, &e),
        &e, "key");
}

static void make_texts(world *w)
{
    emk_policy policy = {.expires = NOW + DAY_S};
    emk_identity identity = {.model = emk_span_str("bench"), .user = emk_span_str("somebody")};
    emk_error e = {0};

    emk_buf_init(&w->policy, EMK_POLICY_MAX);
    emk_buf_init(&w->identity, EMK_IDENTITY_MAX);
    bench_need(emk_policy_encode(&policy, &w->policy, &e), &e, "policy");
    bench_need(emk_identity_encode(&identity, &w->identity, &e), &e, "identity");
}

void world_init(world *w)
{
    emk_sealing_certificate cert = {.not_before = NOW - DAY_S, .not_after = NOW + DAY_S};
    emk_error e = {0};

    memset(w, 0, sizeof *w);
    bench_need(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e, "libcrypto");
    make_signer(w, 1, &w->issuer_key, &w->issuer);
    make_signer(w, 2, &w->sealer_key, &w->sealer);
    bench_need(
        emk_cose_verify_key(w->crypto, emk_sign_key_public(w->issuer_key), &w->issuer_public, &e),
        &e, "issuer");
    memcpy(cert.public_key, w->sealer.public_key, w->sealer.public_len);
    cert.public_len = w->sealer.public_len;
    emk_buf_init(&w->certificate, EMK_MESSAGE_MAX);
    bench_need(emk_sealing_certificate_make(w->crypto, &w->issuer, &cert, &w->certificate, &e), &e,
               "certificate");
    make_kem(w, EMK_KEM_P256, 3, &w->device_key);
    make_kem(w, EMK_KEM_X25519, 4, &w->request_key);
    make_texts(w);
}

void world_done(world *w)
{
    emk_buf_done(&w->policy);
    emk_buf_done(&w->identity);
    emk_buf_done(&w->certificate);
    emk_kem_private_free(w->device_key);
    emk_kem_private_free(w->request_key);
    emk_verify_key_free(w->issuer_public);
    emk_sign_key_free(w->issuer_key);
    emk_sign_key_free(w->sealer_key);
    emk_crypto_free(w->crypto);
}

void world_plan(world *w, const emk_source *model, unsigned threads, emk_plan *plan)
{
    uint64_t head = model->len < HEAD_LEN ? model->len : HEAD_LEN;
    uint64_t tensors = (model->len - head + TENSOR_LEN - 1) / TENSOR_LEN;
    uint64_t left = model->len - head;
    emk_error e = {0};

    bench_need(emk_plan_init(plan, w->crypto, model->len, (uint32_t)tensors + 1, &e), &e, "plan");
    plan->regions[0] = (emk_region){.length = head, .kind = EMK_REGION_SEALED};
    for (uint32_t i = 1; i < plan->n_regions; i++) {
        plan->regions[i].length = left < TENSOR_LEN ? left : TENSOR_LEN;
        plan->regions[i].kind = EMK_REGION_TENSOR;
        left -= plan->regions[i].length;
    }
    bench_need(emk_plan_digest(plan, w->crypto, model, threads, NULL, &e), &e, "digests");
}

emk_seal_in world_seal_in(const world *w, const emk_source *model, const emk_plan *plan)
{
    emk_seal_in in = {
        .model = model,
        .plan = plan,
        .signer = &w->sealer,
        .certificate = emk_buf_span(&w->certificate),
        .policy = emk_buf_span(&w->policy),
        .identity = emk_buf_span(&w->identity),
        .device_key = {emk_kem_private_id(w->device_key), emk_kem_private_public(w->device_key)},
        .request_key = {emk_kem_private_id(w->request_key), emk_kem_private_public(w->request_key)},
        .now = NOW};

    return in;
}

emk_accept_in world_accept_in(const world *w, const emk_source *sealed)
{
    emk_accept_in in = {.sealed = sealed,
                        .issuer = w->issuer_public,
                        .request_key = w->request_key,
                        .device_key = w->device_key,
                        .policy = emk_buf_span(&w->policy),
                        .identity = emk_buf_span(&w->identity),
                        .now = NOW};

    return in;
}

emk_vault_in world_vault_in(const world *w, const emk_source *vault)
{
    emk_vault_in in = {.file = vault, .issuer = w->issuer_public, .device_key = w->device_key};

    return in;
}

emk_source world_source(const char *path, int *fd)
{
    emk_source source;
    emk_error e = {0};

    bench_need(emk_os_open_read(path, fd, &e), &e, path);
    bench_need(emk_source_from_fd(fd, &source, &e), &e, path);
    return source;
}

static void finish(int fd, const char *path)
{
    emk_error e = {0};

    bench_need(emk_os_sync(fd, &e), &e, path);
    emk_os_close(fd);
}

double world_seal_file(world *w, const emk_plan *plan, unsigned threads)
{
    const char *path = bench_path(BENCH_SEALED);
    emk_sealing *s;
    emk_error e = {0};
    double start;
    int from, to;

    bench_remove(BENCH_SEALED);
    start = bench_now();
    {
        emk_source model = world_source(bench_path(BENCH_MODEL), &from);
        emk_seal_in in = world_seal_in(w, &model, plan);
        emk_sink sink = emk_sink_from_fd(&to);

        bench_need(emk_sealing_new(w->crypto, &in, &s, &e), &e, "seal");
        bench_need(emk_os_create_new(path, &to, &e), &e, path);
        bench_need(emk_os_reserve(to, emk_sealing_len(s), &e), &e, path);
        bench_need(emk_sealing_write(s, &sink, threads, NULL, &e), &e, "seal");
        finish(to, path);
        emk_sealing_free(s);
    }
    emk_os_close(from);
    return bench_now() - start;
}

double world_accept_file(world *w, unsigned threads)
{
    const char *path = bench_path(BENCH_VAULT);
    uint8_t vault_id[EMK_ID_LEN];
    emk_accept *a;
    emk_error e = {0};
    double start;
    int from, to;

    bench_remove(BENCH_VAULT);
    start = bench_now();
    {
        emk_source sealed = world_source(bench_path(BENCH_SEALED), &from);
        emk_accept_in in = world_accept_in(w, &sealed);
        emk_sink sink = emk_sink_from_fd(&to);
        emk_accept_out out = {.vault = &sink, .accepted = NOW, .floor = NOW, .threads = threads};

        bench_need(emk_accept_new(w->crypto, &in, &a, &e), &e, "accept");
        bench_need(emk_os_create_new(path, &to, &e), &e, path);
        bench_need(emk_os_reserve(to, emk_accept_vault_len(a), &e), &e, path);
        bench_need(emk_accept_write(a, &out, vault_id, &e), &e, "accept");
        finish(to, path);
        emk_accept_free(a);
    }
    emk_os_close(from);
    return bench_now() - start;
}

double world_open_file(world *w, unsigned threads, bool *locked)
{
    double start = bench_now(), seconds;
    emk_os_map map;
    emk_vault *v;
    emk_error e = {0};
    int fd;
    emk_source file = world_source(bench_path(BENCH_VAULT), &fd);
    emk_vault_in in = world_vault_in(w, &file);

    bench_need(emk_vault_open(w->crypto, &in, &v, &e), &e, "open");
    bench_need(emk_os_map_new((size_t)emk_vault_plan(v)->model_len,
                              EMK_OS_MAP_HUGE | EMK_OS_MAP_LOCK, &map, &e),
               &e, "open");
    bench_need(emk_vault_read_all(v, map.p, threads, NULL, &e), &e, "open");
    emk_vault_close(v);
    emk_os_close(fd);
    seconds = bench_now() - start;
    if (locked)
        *locked = map.locked;
    emk_os_map_free(&map);
    return seconds;
}
