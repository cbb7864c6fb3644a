/* emk-attest-manifest MANIFEST...: runs every case of manifests of attestation evidence and prints
 * what was expected, what came out and why.  Exit 0 when all agree, 1 on a difference, 2 when a
 * manifest cannot be used.  Roots are the trust anchors that the manifest names, looked for
 * beside its folder. */
#include "core/base/os_file.h"
#include "server/attest/pem.h"
#include "tests/attest/run.h"

#include <glob.h>
#include <stdio.h>

#define MANIFEST_MAX ((size_t)16 << 20)

static void add_root(emk_run *r, const char *path)
{
    emk_buf pem;
    emk_error e;
    size_t n = 0;

    emk_buf_init(&pem, EMK_PEM_MAX);
    if (r->n_roots == EMK_RUN_ROOTS_MAX)
        run_die("too many roots", path);
    emk_buf_init(&r->root_der[r->n_roots], EMK_PEM_MAX);
    if (emk_os_read_file(path, EMK_PEM_MAX, &pem, &e) != EMK_OK ||
        emk_pem_read_chain(emk_buf_span(&pem), &r->root_der[r->n_roots], &r->roots[r->n_roots], 1,
                           &n, &e) != EMK_OK)
        run_die("cannot read the root", path);
    emk_buf_done(&pem);
    r->n_roots++;
}

static void add_anchor(emk_run *r, const emk_dom *name)
{
    char pattern[4096];
    glob_t found;

    if (!name || name->kind != EMK_DOM_STRING)
        run_die("trust anchors", "not named");
    (void)snprintf(pattern, sizeof pattern, "%s/../%s", r->dir, (const char *)name->text.p);
    if (glob(pattern, 0, NULL, &found) != 0)
        run_die("no such root", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++)
        add_root(r, found.gl_pathv[i]);
    globfree(&found);
}

/* The manifest of TPM evidence names no anchors: they are all roots of makers that lie there. */
static void add_makers(emk_run *r)
{
    static const char *const FILES[] = {"tpm_ek_roots.pem", "gce_tpm_ek_root_1.pem",
                                        "gce_gcp_ek_ak_ca_root.pem", "microsoft_tpm_root_2014.pem"};

    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        char path[4200];
        emk_buf pem;
        emk_error e;

        emk_buf_init(&pem, EMK_BUNDLE_TEXT_MAX);
        (void)snprintf(path, sizeof path, "%s/../roots/%s", r->dir, FILES[i]);
        if (emk_os_read_file(path, EMK_BUNDLE_TEXT_MAX, &pem, &e) != EMK_OK ||
            emk_bundle_add(&r->bundle, emk_buf_span(&pem), &e) != EMK_OK)
            run_die("cannot read roots", path);
        emk_buf_done(&pem);
    }
    if (r->bundle.n_skipped > 0)
        run_die("roots", "some cannot be read");
}

static void add_anchors(emk_run *r, const emk_dom *manifest)
{
    const emk_dom *many = emk_dom_get_kind(manifest, "trust_anchors", EMK_DOM_ARRAY);

    if (!many) {
        add_anchor(r, emk_dom_get(manifest, "trust_anchor"));
        return;
    }
    for (const emk_dom *one = many->first; one; one = one->next)
        add_anchor(r, one);
}

static void run_cases(emk_run *r, const emk_dom *manifest)
{
    const emk_dom *kind = emk_dom_get(manifest, "kind");
    const emk_dom *cases = emk_dom_get_kind(manifest, "cases", EMK_DOM_ARRAY);
    bool (*run)(emk_run *, const emk_dom *) = NULL;
    size_t n_skipped = 0;

    if (emk_dom_is_text(kind, "app_attest"))
        run = run_app_attest;
    else if (emk_dom_is_text(kind, "android_key"))
        run = run_android_key;
    else if (emk_dom_is_text(kind, "tpm"))
        run = run_tpm;
    if (!run || !cases)
        run_die(r->dir, "not a manifest of a kind that is known");
    for (const emk_dom *one = cases->first; one; one = one->next) {
        if (run(r, one))
            continue;
        n_skipped++;
        printf("SKIP %s: type %s is not known yet\n", (const char *)run_text(one, "id").p,
               (const char *)run_text(one, "type").p);
    }
    printf("%s: %zu verdicts, %zu differ, %zu cases skipped\n", (const char *)kind->text.p,
           r->n_run, r->n_failed, n_skipped);
}

static bool run_manifest(const emk_crypto *crypto, const char *path)
{
    emk_run r = {.crypto = crypto};
    char dir[4096];
    const emk_dom *manifest = NULL;
    emk_arena arena;
    emk_buf json;
    emk_error e;
    char *slash;

    (void)snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    r.dir = slash ? dir : ".";
    emk_arena_init(&arena, 4 * MANIFEST_MAX);
    emk_buf_init(&json, MANIFEST_MAX);
    if (emk_os_read_file(path, MANIFEST_MAX, &json, &e) != EMK_OK ||
        emk_dom_parse(&arena, emk_buf_span(&json), &manifest, &e) != EMK_OK)
        run_die(path, "cannot be read");
    emk_bundle_init(&r.bundle);
    if (emk_dom_is_text(emk_dom_get(manifest, "kind"), "tpm"))
        add_makers(&r);
    else
        add_anchors(&r, manifest);
    run_cases(&r, manifest);
    for (size_t i = 0; i < r.n_roots; i++)
        emk_buf_done(&r.root_der[i]);
    emk_bundle_done(&r.bundle);
    emk_buf_done(&json);
    emk_arena_reset(&arena);
    return r.n_failed == 0;
}

int main(int argc, char **argv)
{
    emk_crypto *crypto = NULL;
    emk_error e;
    bool good = true;

    if (argc < 2)
        run_die("usage", "emk-attest-manifest MANIFEST...");
    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        run_die("libcrypto", e.what);
    for (int i = 1; i < argc; i++)
        good = run_manifest(crypto, argv[i]) && good;
    emk_crypto_free(crypto);
    return good ? 0 : 1;
}
