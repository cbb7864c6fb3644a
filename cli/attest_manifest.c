#include "cli/attest_manifest.h"

#include "cli/attest_case.h"
#include "cli/files.h"
#include "cli/os_files.h"
#include "core/base/os_file.h"
#include "server/attest/pem.h"

#include <string.h>

#define MANIFEST_MAX ((size_t)64 << 20)
#define CASE_MAX     ((size_t)32 << 20) /* bytes of one case's inputs */
#define ANCHORS_MAX  32u                /* files */

/* Anchors of a kind whose manifest names none. */
static const struct default_row {
    const char *kind;
    const char *files[5];
} DEFAULTS[] = {
    {"app_attest", {"Apple_App_Attestation_Root_CA.pem"}},
    {"android_key", {"google_hw_attestation_rsa_*.pem", "google_key_attestation_ca1_p384.pem"}},
    {"safetynet", {"globalsign_r2.pem", "globalsign_root_ca.pem", "gts_root_r1.pem"}},
    {"tpm",
     {"tpm_ek_roots.pem", "gce_tpm_ek_root_1.pem", "gce_gcp_ek_ak_ca_root.pem",
      "microsoft_tpm_root_2014.pem"}},
};

static const char RECEIPT_DEFAULT[] = "AppleRootCA-G3.pem";

/* --- anchors ------------------------------------------------------------------------------- */

/* One "*" stands for any characters. */
static bool fits(const char *pattern, const char *name)
{
    const char *star = strchr(pattern, '*');
    size_t front, back, len = strlen(name);

    if (!star)
        return strcmp(pattern, name) == 0;
    front = (size_t)(star - pattern);
    back = strlen(star + 1);
    return len >= front + back && memcmp(name, pattern, front) == 0 &&
           memcmp(name + len - back, star + 1, back) == 0;
}

typedef struct finder {
    emk_attest_run *run;
    emk_bundle *into;
    const char *pattern; /* without its folder */
    size_t n_found;
} finder;

static emk_status add_file(void *self, const char *name, emk_error *e)
{
    finder *f = self;
    char path[EMK_CLI_PATH_MAX];
    size_t skipped = f->into->n_skipped;
    emk_buf pem;
    emk_status st;

    if (!fits(f->pattern, name))
        return EMK_OK;
    if (++f->n_found > ANCHORS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "manifest: trust anchors", f->n_found);
    emk_buf_init(&pem, EMK_BUNDLE_TEXT_MAX);
    st = emk_os_join(path, sizeof path, f->run->roots_dir, name, "", e);
    if (st == EMK_OK)
        st = emk_os_read_file(path, EMK_BUNDLE_TEXT_MAX, &pem, e);
    if (st == EMK_OK)
        st = emk_bundle_add(f->into, emk_buf_span(&pem), e);
    if (st == EMK_OK && f->into->n_skipped > skipped)
        st = emk_fail(e, EMK_E_FORMAT, "manifest: a trust anchor cannot be read", 0);
    emk_buf_done(&pem);
    return st;
}

/* Anchors are named "roots/x.pem"; where roots are is for whoever runs it to say. */
static emk_status add_anchor(emk_attest_run *r, emk_bundle *into, const char *name)
{
    const char *slash = strrchr(name, '/');
    finder f = {.run = r, .into = into, .pattern = slash ? slash + 1 : name};
    emk_status st = emk_os_list_dir(r->roots_dir, add_file, &f, &r->cli->error);

    if (st == EMK_OK && f.n_found == 0)
        st = emk_fail(&r->cli->error, EMK_E_NOT_FOUND, "manifest: no such trust anchor", 0);
    return emk_cli_about(r->cli, st, name);
}

static emk_status add_defaults(emk_attest_run *r, const emk_dom *manifest)
{
    const emk_dom *kind = emk_dom_get(manifest, "kind");
    emk_status st = EMK_OK;

    for (size_t i = 0; i < sizeof DEFAULTS / sizeof DEFAULTS[0]; i++)
        for (size_t j = 0; emk_dom_is_text(kind, DEFAULTS[i].kind) && DEFAULTS[i].files[j]; j++)
            if (st == EMK_OK)
                st = add_anchor(r, &r->anchors, DEFAULTS[i].files[j]);
    return st;
}

static emk_status add_named(emk_attest_run *r, emk_bundle *into, const emk_dom *name)
{
    if (name->kind != EMK_DOM_STRING || strlen((const char *)name->text.p) != name->text.len)
        return emk_fail(&r->cli->error, EMK_E_FORMAT, "manifest: name of a trust anchor", 0);
    return add_anchor(r, into, (const char *)name->text.p);
}

static emk_status add_anchors(emk_attest_run *r, const emk_dom *manifest)
{
    const emk_dom *many = emk_dom_get_kind(manifest, "trust_anchors", EMK_DOM_ARRAY);
    const emk_dom *one = emk_dom_get(manifest, "trust_anchor");
    const emk_dom *receipt = emk_dom_get(manifest, "receipt_trust_anchor");
    emk_status st = EMK_OK;

    for (const emk_dom *x = many ? many->first : NULL; st == EMK_OK && x; x = x->next)
        st = add_named(r, &r->anchors, x);
    if (!many && emk_dom_get(manifest, "trust_anchors"))
        return emk_fail(&r->cli->error, EMK_E_FORMAT, "manifest: trust_anchors is not a list", 0);
    if (st == EMK_OK && one)
        st = add_named(r, &r->anchors, one);
    if (st == EMK_OK && !one && !many)
        st = add_defaults(r, manifest);
    if (st != EMK_OK)
        return st;
    if (receipt)
        return add_named(r, &r->receipt_anchors, receipt);
    if (emk_dom_is_text(emk_dom_get(manifest, "kind"), "app_attest") &&
        add_anchor(r, &r->receipt_anchors, RECEIPT_DEFAULT) != EMK_OK)
        r->receipt_anchors.n = 0; /* then receipts are errors, and nothing else */
    return EMK_OK;
}

/* --- cases ----------------------------------------------------------------------------------- */

static const emk_attest_type *find_type(const emk_attest_type *rows, const emk_dom *type)
{
    for (; rows->type; rows++)
        if (emk_dom_is_text(type, rows->type))
            return rows;
    return NULL;
}

static void run_case(emk_attest_run *r, const emk_dom *node)
{
    static const char UNKNOWN[] = "no verdict";
    const emk_dom *id = emk_dom_get_kind(node, "id", EMK_DOM_STRING);
    const emk_dom *type = emk_dom_get(node, "type");
    const emk_attest_type *row = find_type(EMK_ATTEST_TYPES, type);
    emk_attest_case c = {.run = r, .node = node};
    emk_error e = {0};

    emk_arena_init(&c.arena, CASE_MAX);
    if (id)
        (void)snprintf(c.id, sizeof c.id, "%.*s", (int)(id->text.len < 127 ? id->text.len : 127),
                       (const char *)id->text.p);
    else
        (void)snprintf(c.id, sizeof c.id, "case %zu", r->n_cases);
    r->n_cases++;
    if (!row)
        row = find_type(EMK_ATTEST_TYPES_TPM, type);
    if (row)
        row->run(&c);
    else
        emk_case_problem(&c, "type is not known",
                         type && type->kind == EMK_DOM_STRING ? (const char *)type->text.p
                                                              : "none");
    if (c.n_reported == 0) {
        emk_case_problem(&c, UNKNOWN, "is claimed");
        emk_case_verdict(&c, "expect", EMK_E_USAGE, &e);
    }
    emk_arena_reset(&c.arena);
}

static void report(emk_attest_run *r, const emk_dom *manifest)
{
    const emk_dom *kind = emk_dom_get_kind(manifest, "kind", EMK_DOM_STRING);
    emk_cli_out *o = &r->cli->out;

    emk_cli_put_text(o, "kind", kind ? kind->text : emk_span_str("unknown"));
    emk_cli_put_number(o, "cases_run", r->n_cases);
    emk_cli_put_number(o, "verdicts", r->n_verdicts);
    emk_cli_put_number(o, "differ", r->n_differ);
    emk_cli_put_number(o, "errors", r->n_errors);
    emk_cli_put_number(o, "without_a_claim", r->n_unclaimed);
    emk_cli_put_bool(o, "agrees", r->n_differ == 0);
}

static emk_status run_all(emk_attest_run *r, const emk_dom *manifest)
{
    const emk_dom *cases = emk_dom_get_kind(manifest, "cases", EMK_DOM_ARRAY);
    emk_cli_out *o = &r->cli->out;
    emk_status st;

    if (!cases || cases->n == 0)
        return emk_fail(&r->cli->error, EMK_E_FORMAT, "manifest: no cases", 0);
    st = add_anchors(r, manifest);
    if (st != EMK_OK)
        return st;
    if (o->json)
        emk_cli_begin_list(o, "cases");
    for (const emk_dom *x = cases->first; x; x = x->next)
        run_case(r, x);
    if (o->json)
        emk_cli_end(o);
    report(r, manifest);
    return EMK_OK;
}

/* --- the manifest ------------------------------------------------------------------------------
 */

typedef struct places {
    char dir[EMK_CLI_PATH_MAX];
    char roots[EMK_CLI_PATH_MAX];
} places;

/* The manifest's folder, and the roots beside it unless somebody says where they are. */
static emk_status find_places(emk_cli *cli, const char *path, const char *roots, places *p)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 1;

    if (n >= sizeof p->dir || (roots && strlen(roots) >= sizeof p->roots))
        return emk_fail(&cli->error, EMK_E_LIMIT, "manifest: path", n);
    memcpy(p->dir, slash ? path : ".", n);
    p->dir[n] = 0;
    if (n == 0)
        memcpy(p->dir, "/", 2);
    if (!roots) {
        emk_status st = emk_os_join(p->roots, sizeof p->roots, p->dir, "roots", "", &cli->error);

        if (st != EMK_OK || emk_cli_is_directory(p->roots))
            return st;
        return emk_os_join(p->roots, sizeof p->roots, p->dir, "../roots", "", &cli->error);
    }
    memcpy(p->roots, roots, strlen(roots) + 1);
    return EMK_OK;
}

static emk_status read_manifest(emk_cli *cli, const char *path, emk_arena *arena, emk_buf *json,
                                const emk_dom **out)
{
    emk_status st = emk_os_read_file(path, MANIFEST_MAX, json, &cli->error);

    if (st == EMK_OK)
        st = emk_dom_parse(arena, emk_buf_span(json), out, &cli->error);
    return emk_cli_about(cli, st, path);
}

emk_status emk_attest_manifest_run(emk_cli *cli, const char *path, const char *roots_dir,
                                   const emk_attest_policy *accept, bool *agrees)
{
    places at;
    emk_attest_run r = {.cli = cli, .dir = at.dir, .roots_dir = at.roots, .accept = accept};
    const emk_dom *manifest = NULL;
    emk_arena arena;
    emk_buf json;
    emk_status st;

    emk_arena_init(&arena, 8 * MANIFEST_MAX);
    emk_buf_init(&json, MANIFEST_MAX);
    emk_bundle_init(&r.anchors);
    emk_bundle_init(&r.receipt_anchors);
    st = find_places(cli, path, roots_dir, &at);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &r.crypto);
    if (st == EMK_OK)
        st = read_manifest(cli, path, &arena, &json, &manifest);
    if (st == EMK_OK)
        st = run_all(&r, manifest);
    *agrees = st == EMK_OK && r.n_differ == 0;
    emk_bundle_done(&r.receipt_anchors);
    emk_bundle_done(&r.anchors);
    emk_buf_done(&json);
    emk_arena_reset(&arena);
    return st;
}
