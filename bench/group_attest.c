/* Attestation on one core: what a server verifies when a device enrols, and with each request.
 * The chains that count are genuine ones, P-384 and all, read from the shared vectors; where those
 * are not, their rows are left out. */
#include "bench/bench.h"

#include "cli/json_dom.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/codec/base64.h"
#include "server/attest/app_attest.h"
#include "server/attest/pem.h"
#include "server/attest/sim/tpm_evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMES         100u
#define ASSERTIONS    400u
#define MANIFEST_MAX  ((size_t)4 << 20)
#define MEMO_ENTRIES  64u
#define CHAINS_GOAL   500.0
#define ASSERTED_GOAL 2000.0

typedef struct attest_world {
    emk_crypto *crypto;
    emk_x509_memo *memo;
    /* a genuine attestation */
    emk_buf root_der, object;
    emk_x509 root;
    emk_app_attest_policy policy;
    emk_app_attest_evidence evidence;
    char app[EMK_CLAIMS_APP_MAX];
    uint8_t id[64], hash[64];
    /* made by the simulators */
    forge f;
    emk_buf assertion, sim_root;
    emk_x509 sim;
    fake_tpm_hello hello;
    fake_tpm_proof proof;
    emk_tpm_pending pending;
    uint8_t binding[32];
} attest_world;

/* Of this thread: "on one core" is to mean that, however many others want it. */
static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double verify_chains(attest_world *x, emk_x509_memo *memo)
{
    emk_app_attest_policy policy = x->policy;
    double start = cpu_now();
    emk_error e = {0};

    policy.memo = memo;
    for (unsigned i = 0; i < TIMES; i++) {
        emk_app_attest_key key;
        emk_claims claims;

        bench_need(emk_app_attest_verify(x->crypto, &policy, &x->evidence, &claims, &key, &e), &e,
                   "App Attest");
    }
    return cpu_now() - start;
}

static double chains_remembered(void *self)
{
    attest_world *x = self;

    return verify_chains(x, x->memo);
}

static double chains_anew(void *self)
{
    return verify_chains(self, NULL);
}

static double assertions(void *self)
{
    attest_world *x = self;
    const emk_app_attest_record record = {FAKE_APP, forge_public(&x->f, 2), 0};
    double start = cpu_now();
    emk_error e = {0};

    for (unsigned i = 0; i < ASSERTIONS; i++) {
        uint32_t counter;

        bench_need(emk_app_attest_assert(x->crypto, &record, emk_buf_span(&x->assertion),
                                         emk_span_str(FAKE_HASH), &counter, &e),
                   &e, "assertion");
    }
    return cpu_now() - start;
}

static double tpm_enrolments(void *self)
{
    attest_world *x = self;
    const emk_tpm_roots roots = {
        .roots = &x->sim, .n_roots = 1, .time_s = FORGE_NOW, .memo = x->memo};
    const emk_tpm_policy policy = {.time_s = FORGE_NOW,
                                   .binding = {x->binding, sizeof x->binding},
                                   .signing = forge_public(&x->f, 5),
                                   .agreement = forge_public(&x->f, 6),
                                   .pcrs = {.n = 1, .banks = {{EMK_TPM_ALG_SHA256, 0x81}}}};
    const emk_tpm_hello hello = fake_tpm_hello_of(&x->hello, false);
    const emk_tpm_proof proof = fake_tpm_proof_of(&x->proof);
    double start = cpu_now();
    emk_error e = {0};

    for (unsigned i = 0; i < TIMES; i++) {
        emk_tpm_credential credential;
        emk_tpm_pending pending;
        emk_claims claims;

        bench_need(emk_tpm_enrol_begin(x->crypto, &roots, &hello, &pending, &credential, &e), &e,
                   "TPM");
        bench_need(emk_tpm_enrol_finish(x->crypto, &policy, &x->pending, &proof, &claims, NULL, &e),
                   &e, "TPM");
    }
    return cpu_now() - start;
}

/* --- a genuine sample ------------------------------------------------------------------------- */

/* "../shared" of the project, or what EMK_SHARED names. */
static bool read_shared(const char *rel, emk_buf *out)
{
    const char *shared = getenv("EMK_SHARED");
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/vectors/attestation/%s",
                   shared ? shared : EMK_SOURCE_DIR "/../shared", rel);
    return emk_os_read_file(path, MANIFEST_MAX, out, NULL) == EMK_OK;
}

static size_t from_hex(emk_span hex, uint8_t *out, size_t cap)
{
    size_t n = 0;

    for (; n < cap && 2 * n + 1 < hex.len; n++) {
        const char pair[3] = {(char)hex.p[2 * n], (char)hex.p[2 * n + 1], 0};

        out[n] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

static bool is_right(const emk_dom *one)
{
    return emk_dom_is_text(emk_dom_get(one, "type"), "attestation") &&
           emk_dom_is_text(emk_dom_get(one, "expect"), "accept") &&
           emk_dom_is_text(emk_dom_get(one, "environment"), "production");
}

static bool take_case(attest_world *x, const emk_dom *one)
{
    char rel[300];
    struct tm tm = {0};

    (void)snprintf(rel, sizeof rel, "app_attest/%s",
                   (const char *)emk_dom_get(one, "file")->text.p);
    (void)snprintf(x->app, sizeof x->app, "%s", (const char *)emk_dom_get(one, "app_id")->text.p);
    if (!read_shared(rel, &x->object) ||
        !strptime((const char *)emk_dom_get(one, "verify_time")->text.p, "%Y-%m-%dT%H:%M:%SZ",
                  &tm) ||
        emk_base64_decode(emk_dom_get(one, "key_id_b64")->text, x->id, sizeof x->id,
                          &x->evidence.key_id.len, NULL) != EMK_OK)
        return false;
    x->evidence.key_id.p = x->id;
    x->evidence.object = emk_buf_span(&x->object);
    x->evidence.client_data_hash = emk_span_of(
        x->hash, from_hex(emk_dom_get(one, "client_data_hash_hex")->text, x->hash, sizeof x->hash));
    x->policy = (emk_app_attest_policy){
        .app_id = x->app, .roots = &x->root, .n_roots = 1, .time_s = timegm(&tm)};
    return true;
}

static bool load_sample(attest_world *x)
{
    const emk_dom *manifest = NULL, *cases;
    emk_arena arena;
    emk_buf json, pem;
    bool found = false;
    size_t n;

    emk_arena_init(&arena, 16 * MANIFEST_MAX);
    emk_buf_init(&json, MANIFEST_MAX);
    emk_buf_init(&pem, MANIFEST_MAX);
    if (read_shared("app_attest/manifest.json", &json) &&
        read_shared("roots/Apple_App_Attestation_Root_CA.pem", &pem) &&
        emk_pem_read_chain(emk_buf_span(&pem), &x->root_der, &x->root, 1, &n, NULL) == EMK_OK &&
        emk_dom_parse(&arena, emk_buf_span(&json), &manifest, NULL) == EMK_OK) {
        cases = emk_dom_get_kind(manifest, "cases", EMK_DOM_ARRAY);
        for (const emk_dom *one = cases ? cases->first : NULL; one && !found; one = one->next)
            found = is_right(one) && take_case(x, one);
    }
    emk_buf_done(&pem);
    emk_buf_done(&json);
    emk_arena_reset(&arena);
    return found;
}

/* --- the simulators' ----------------------------------------------------------------------------
 */

static void load_simulated(attest_world *x)
{
    const emk_tpm_roots roots = {.roots = &x->sim, .n_roots = 1, .time_s = FORGE_NOW};
    static const fake_tpm RIGHT = {.ek_purpose = NULL};
    emk_tpm_credential credential;
    emk_tpm_hello hello;
    emk_error e = {0};

    memset(x->binding, 0xb1, sizeof x->binding);
    forge_init(&x->f, x->crypto);
    emk_buf_init(&x->assertion, MANIFEST_MAX);
    emk_buf_init(&x->sim_root, MANIFEST_MAX);
    fake_make_assertion(&x->f, &(fake_assertion){.counter = 1}, &x->assertion);
    fake_make_root(&x->f, &x->sim_root);
    bench_need(emk_x509_parse(emk_buf_span(&x->sim_root), &x->sim, &e), &e, "root");
    fake_make_tpm_hello(&x->f, &RIGHT, &x->hello);
    hello = fake_tpm_hello_of(&x->hello, false);
    bench_need(emk_tpm_enrol_begin(x->crypto, &roots, &hello, &x->pending, &credential, &e), &e,
               "TPM");
    bench_need(fake_make_tpm_proof(&x->f, &RIGHT, &credential,
                                   emk_span_of(x->binding, sizeof x->binding), &x->proof, &e),
               &e, "TPM");
}

static void unload(attest_world *x)
{
    fake_tpm_proof_done(&x->proof);
    fake_tpm_hello_done(&x->hello);
    emk_buf_done(&x->sim_root);
    emk_buf_done(&x->assertion);
    forge_done(&x->f);
    emk_buf_done(&x->object);
    emk_buf_done(&x->root_der);
    emk_x509_memo_free(x->memo);
    emk_crypto_free(x->crypto);
    emk_free(x);
}

static void rate(bench *b, attest_world *x, double (*fn)(void *), double amount, bench_row row)
{
    bench_side side = {.fn = fn, .self = x};
    const bench_pair pair = {
        .ours = &side, .rounds = bench_rounds(b, 1), .kind = BENCH_SPEED, .amount = amount};

    row.group = "attest";
    row.unit = "/s";
    bench_run(&side, 1, pair.rounds);
    bench_compare(b, &pair, &row);
}

static void sample_rows(bench *b, attest_world *x)
{
    if (!load_sample(x)) {
        bench_row row = {.group = "attest",
                         .name = "App Attest, genuine",
                         .skipped = true,
                         .note = "the shared vectors are not here"};

        bench_add(b, &row);
        return;
    }
    rate(b, x, chains_remembered, TIMES,
         (bench_row){.name = "App Attest, genuine, issuer remembered",
                     .goal = BENCH_AT_LEAST,
                     .limit = CHAINS_GOAL});
    rate(b, x, chains_anew, TIMES, (bench_row){.name = "App Attest, genuine, nothing remembered"});
}

void bench_group_attest(bench *b)
{
    attest_world *x = emk_alloc(1, sizeof *x);
    emk_error e = {0};

    if (!x)
        bench_die("attest", NULL);
    bench_need(emk_crypto_new(NULL, NULL, &x->crypto, &e), &e, "libcrypto");
    bench_need(emk_x509_memo_new(MEMO_ENTRIES, &x->memo, &e), &e, "memo");
    emk_buf_init(&x->root_der, MANIFEST_MAX);
    emk_buf_init(&x->object, MANIFEST_MAX);
    load_simulated(x);
    sample_rows(b, x);
    rate(b, x, assertions, ASSERTIONS,
         (bench_row){
             .name = "App Attest assertion", .goal = BENCH_AT_LEAST, .limit = ASSERTED_GOAL});
    rate(b, x, tpm_enrolments, TIMES,
         (bench_row){.name = "TPM enrolment, both steps, simulated on P-256"});
    unload(x);
}
