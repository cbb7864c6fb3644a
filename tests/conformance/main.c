/* emk-vectors: runs files of published test vectors against core/crypto and core/codec. */
#include "core/base/os_file.h"
#include "tests/conformance/formats.h"

#include <stdio.h>
#include <stdlib.h>

#define DOM_MAX (768u << 20) /* bytes for one document; a file is at most EMK_VEC_FILE_MAX */

static const char usage[] =
    "usage: emk-vectors [--json] [-v] [--] FILE...\n"
    "\n"
    "Runs every test vector in the files.  A file's format is recognised by its content:\n"
    "HPKE (RFC 9180 and post-quantum drafts), X-Wing, Wycheproof, STREAM, CBOR, COSE and\n"
    "COSE-HPKE, JOSE-HPKE, the age testkit, Earmark's own kits; others are known and left for "
    "later.\n"
    "\n"
    "  --json   one JSON document instead of text\n"
    "  -v       list each test, not only those that failed\n"
    "  --help   this text\n"
    "\n"
    "The last line is \"N passed, N failed, N skipped\".\n"
    "Exit: 0 nothing failed; 1 a test failed; 2 a file was not recognised or malformed.\n";

static const emk_json_format *const json_formats[] = {
    &emk_format_wycheproof, &emk_format_hpke_negative, &emk_format_hpke,
    &emk_format_xwing,      &emk_format_stream,        &emk_format_cbor_examples,
    &emk_format_cbor_rules, &emk_format_cose_example,  &emk_format_cose_hpke,
    &emk_format_jose_hpke,
};

static const emk_head_format *const head_formats[] = {&emk_format_age, &emk_format_messages,
                                                      &emk_format_kit};

static bool looks_like_json(emk_span in)
{
    size_t i = 0;

    while (i < in.len && memchr(" \t\r\n", in.p[i], 4))
        i++;
    return i < in.len && (in.p[i] == '{' || in.p[i] == '[');
}

static void refuse_file(emk_vec *v, const char *path, const char *format, const char *why)
{
    emk_report_begin_file(v->report, path, format);
    emk_report_malformed(v->report, why);
    emk_report_end_file(v->report);
}

static bool run_later(emk_vec *v, const char *path, const emk_dom *root, const emk_dom *first)
{
    for (size_t i = 0; i < emk_n_later_formats; i++) {
        const emk_later_format *f = &emk_later_formats[i];

        if (!f->is(root, first))
            continue;
        emk_report_begin_file(v->report, path, f->name);
        emk_report_test(v->report, "file", EMK_SKIPPED, f->why);
        emk_report_end_file(v->report);
        return true;
    }
    return false;
}

static bool run_known(emk_vec *v, const char *path, const emk_dom *root, const emk_dom *first)
{
    for (size_t i = 0; i < sizeof json_formats / sizeof json_formats[0]; i++) {
        if (!json_formats[i]->is(root, first))
            continue;
        emk_report_begin_file(v->report, path, json_formats[i]->name);
        json_formats[i]->run(v, root);
        emk_report_end_file(v->report);
        return true;
    }
    return false;
}

static void run_json(emk_vec *v, const char *path, emk_span in)
{
    const emk_dom *root = NULL, *first;
    char why[EMK_REPORT_TEXT_MAX];
    emk_arena arena;
    emk_error e = {0};

    emk_arena_init(&arena, DOM_MAX);
    if (emk_dom_parse(&arena, in, &root, &e) != EMK_OK) {
        snprintf(why, sizeof why, "%s (%llu)", e.what, (unsigned long long)e.where);
        refuse_file(v, path, "JSON", why);
    } else {
        first = root->kind == EMK_DOM_ARRAY && root->first ? root->first : root;
        if (!run_known(v, path, root, first) && !run_later(v, path, root, first))
            refuse_file(v, path, "JSON", "no format of vectors that is known here");
    }
    emk_arena_reset(&arena);
}

static bool run_head(emk_vec *v, const char *path, emk_span in)
{
    for (size_t i = 0; i < sizeof head_formats / sizeof head_formats[0]; i++) {
        if (!head_formats[i]->is(in))
            continue;
        emk_report_begin_file(v->report, path, head_formats[i]->name);
        head_formats[i]->run(v, in);
        emk_report_end_file(v->report);
        return true;
    }
    return false;
}

static void run_path(emk_vec *v, const char *path)
{
    emk_buf file;
    emk_error e = {0};

    emk_buf_init(&file, EMK_VEC_FILE_MAX);
    if (emk_os_read_file(path, EMK_VEC_FILE_MAX, &file, &e) != EMK_OK)
        refuse_file(v, path, "unreadable", e.what);
    else if (looks_like_json(emk_buf_span(&file)))
        run_json(v, path, emk_buf_span(&file));
    else if (!run_head(v, path, emk_buf_span(&file)))
        refuse_file(v, path, "unknown", "no format of vectors that is known here");
    emk_buf_done(&file);
    emk_arena_reset(&v->scratch);
}

/* Takes the options; gives the place of the first file, or -1 when the program is to end. */
static int read_options(int argc, char **argv, emk_report *report, int *code)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        if (strcmp(argv[i], "--json") == 0) {
            report->json = true;
        } else if (strcmp(argv[i], "-v") == 0) {
            report->verbose = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            *code = 0;
            return -1;
        } else {
            fprintf(stderr, "emk-vectors: no such option: %s\n%s", argv[i], usage);
            *code = 2;
            return -1;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    static emk_report report;
    static emk_vec v;
    emk_crypto *crypto = NULL;
    emk_error e = {0};
    int code = 0, at = read_options(argc, argv, &report, &code);

    if (at < 0)
        return code;
    if (at >= argc) {
        fprintf(stderr, "emk-vectors: no files\n%s", usage);
        return 2;
    }
    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK) {
        fprintf(stderr, "emk-vectors: libcrypto cannot be used: %s\n", e.what);
        return 2;
    }
    v.crypto = crypto;
    v.report = &report;
    emk_arena_init(&v.scratch, EMK_VEC_SCRATCH_MAX);
    emk_report_begin(&report);
    for (; at < argc; at++)
        run_path(&v, argv[at]);
    emk_report_end(&report);
    emk_crypto_free(crypto);
    return emk_report_exit_code(&report);
}
