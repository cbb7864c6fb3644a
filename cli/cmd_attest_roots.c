/* attest update, attest roots: the directory of anchors and lists, and its index. */
#include "cli/attest_input.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/os_files.h"
#include "cli/text.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "core/fetch/fetch.h"

#include <string.h>

#define FILE_MAX EMK_REVOCATION_FILE_MAX

/* State: the index as it will be written when every file is in its place.  A run that is killed
 * leaves old files and the old index, or new files that the old index refuses: never a file that
 * passes for another. */
typedef struct update {
    emk_cli *cli;
    const emk_crypto *crypto;
    const char *dir;
    emk_roots_index *index;
    emk_roots_row given; /* what options say: role (EMK_ROLES: not said), times */
    bool has_time, has_age;
    size_t n_updated;
} update;

/* --- one file --------------------------------------------------------------------------------- */

static emk_status refuse_older(update *u, const emk_roots_row *now, const emk_roots_row *row)
{
    if (row->fetched_s >= now->fetched_s)
        return EMK_OK;
    return emk_cli_advise(
        u->cli,
        emk_cli_about(u->cli,
                      emk_fail(&u->cli->error, EMK_E_STALE, "attest: older than what is there",
                               (uint64_t)row->fetched_s),
                      row->name),
        "Say with --fetched-at when it was fetched, if that was later.");
}

/* Puts the row where one of its name is, or the one list there may be; else behind the others. */
static emk_status place(update *u, const emk_roots_row *row)
{
    emk_roots_index *x = u->index;
    size_t at = x->n;

    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->row[i].name, row->name) == 0 ||
            (row->role == EMK_ROLE_ANDROID_STATUS && x->row[i].role == EMK_ROLE_ANDROID_STATUS))
            at = i;
    if (at < x->n) {
        emk_status st = refuse_older(u, &x->row[at], row);

        if (st != EMK_OK)
            return st;
    } else if (x->n == EMK_ROOTS_FILES_MAX) {
        return emk_fail(&u->cli->error, EMK_E_LIMIT, "attest: files in a directory of roots", x->n);
    } else {
        x->n++;
    }
    x->row[at] = *row;
    return EMK_OK;
}

/* Checks that the file is what its role says, and puts it into the directory. */
static emk_status take(update *u, emk_roots_row *row, emk_span file)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_roots_check_file(row->role, file, &row->n_entries, &u->cli->error);

    if (st == EMK_OK)
        st = emk_sha256(u->crypto, &file, 1, row->sha256, &u->cli->error);
    st = emk_cli_about(u->cli, st, row->name);
    if (st == EMK_OK)
        st = place(u, row);
    if (st == EMK_OK)
        st = emk_cli_join(u->cli, u->dir, row->name, path);
    if (st == EMK_OK)
        st = emk_cli_about(u->cli, emk_os_write_file(path, file, &u->cli->error), path);
    if (st != EMK_OK)
        return st;
    u->n_updated++;
    emk_cli_begin(&u->cli->out, u->cli->out.json ? NULL : "file");
    emk_cli_put_string(&u->cli->out, "name", row->name);
    emk_cli_put_string(&u->cli->out, "role", emk_attest_role_name(row->role));
    emk_cli_put_number(&u->cli->out, "entries", row->n_entries);
    emk_cli_end(&u->cli->out);
    return EMK_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* A row for a file that no index describes. */
static emk_status describe(update *u, const char *from, emk_roots_row *row)
{
    const char *name = base_name(from);

    *row = u->given;
    if (strlen(name) == 0 || name[0] == '.' || strlen(name) >= sizeof row->name ||
        strlen(from) >= sizeof row->source)
        return emk_cli_usage(u->cli, "--from: the name of a file");
    memcpy(row->name, name, strlen(name) + 1);
    memcpy(row->source, from, strlen(from) + 1);
    if (row->role == EMK_ROLES && !emk_roots_role_of_name(name, &row->role))
        return emk_cli_usage(u->cli, "--role says what this file is; its name does not");
    if (!u->has_age)
        row->max_age_s = emk_roots_default_age(row->role);
    return EMK_OK;
}

/* --- from a directory ----------------------------------------------------------------------- */

static emk_status take_path(update *u, const char *path, emk_roots_row *row, bool indexed)
{
    uint8_t digest[EMK_SHA256_LEN];
    emk_span whole;
    emk_buf file;
    emk_status st;

    emk_buf_init(&file, FILE_MAX);
    st = emk_cli_about(u->cli, emk_os_read_file(path, FILE_MAX, &file, &u->cli->error), path);
    whole = emk_buf_span(&file);
    if (st == EMK_OK && indexed)
        st = emk_sha256(u->crypto, &whole, 1, digest, &u->cli->error);
    if (st == EMK_OK && indexed && memcmp(digest, row->sha256, sizeof digest) != 0)
        st = emk_cli_about(
            u->cli,
            emk_fail(&u->cli->error, EMK_E_SIGNATURE, "attest: a file is not as its index says", 0),
            path);
    if (st == EMK_OK)
        st = take(u, row, whole);
    emk_buf_done(&file);
    return st;
}

typedef struct listing {
    update *u;
    const char *dir;
} listing;

static emk_status take_entry(void *self, const char *name, emk_error *e)
{
    listing *l = self;
    char path[EMK_CLI_PATH_MAX];
    emk_attest_role role;
    emk_roots_row row;
    emk_status st;

    if (!emk_roots_role_of_name(name, &role))
        return EMK_OK;
    st = emk_os_join(path, sizeof path, l->dir, name, "", e);
    if (st == EMK_OK)
        st = describe(l->u, path, &row);
    return st == EMK_OK ? take_path(l->u, path, &row, false) : st;
}

static emk_status from_indexed(update *u, const char *dir, emk_span json)
{
    static emk_roots_index theirs;
    emk_status st = emk_roots_index_read(json, &theirs, &u->cli->error);

    for (size_t i = 0; st == EMK_OK && i < theirs.n; i++) {
        char path[EMK_CLI_PATH_MAX];

        st = emk_cli_join(u->cli, dir, theirs.row[i].name, path);
        if (st == EMK_OK)
            st = take_path(u, path, &theirs.row[i], true);
    }
    return st;
}

static emk_status from_dir(update *u, const char *dir)
{
    listing l = {.u = u, .dir = dir};
    char path[EMK_CLI_PATH_MAX];
    emk_buf json;
    emk_status st = emk_cli_join(u->cli, dir, EMK_ROOTS_INDEX, path);

    if (st != EMK_OK)
        return st;
    if (!emk_os_exists(path))
        return emk_os_list_dir(dir, take_entry, &l, &u->cli->error);
    emk_buf_init(&json, EMK_ROOTS_INDEX_MAX);
    st = emk_os_read_file(path, EMK_ROOTS_INDEX_MAX, &json, &u->cli->error);
    if (st == EMK_OK)
        st = from_indexed(u, dir, emk_buf_span(&json));
    emk_buf_done(&json);
    return emk_cli_about(u->cli, st, path);
}

/* --- from elsewhere --------------------------------------------------------------------------- */

static emk_status from_file(update *u, const char *path)
{
    emk_roots_row row;
    emk_status st = describe(u, path, &row);

    return st == EMK_OK ? take_path(u, path, &row, false) : st;
}

/* Google's list has a URL without a file name; anchors are never fetched: a list that was swapped
 * can only refuse devices, a root that was swapped lets anybody in. */
static emk_status from_url(update *u, const char *url)
{
    emk_fetch_request get = {.method = "GET",
                             .url = url,
                             .max_response = FILE_MAX,
                             .ca_file = emk_cli_option_value(u->cli, "ca-file")};
    emk_fetch_response got = {0};
    emk_roots_row row = u->given;
    emk_status st;

    if (row.role == EMK_ROLES)
        row.role = EMK_ROLE_ANDROID_STATUS;
    if (row.role != EMK_ROLE_ANDROID_STATUS)
        return emk_cli_usage(u->cli, "only a revocation list is fetched; anchors come by file");
    if (strlen(url) >= sizeof row.source)
        return emk_cli_usage(u->cli, "--from: too long");
    memcpy(row.name, "android_status.json", sizeof "android_status.json");
    memcpy(row.source, url, strlen(url) + 1);
    if (!u->has_age)
        row.max_age_s = emk_roots_default_age(row.role);
    emk_buf_init(&got.body, FILE_MAX);
    st = emk_cli_about(u->cli, emk_fetch_run(&get, &got, &u->cli->error), url);
    if (st == EMK_OK && got.code != 200)
        st = emk_cli_about(
            u->cli, emk_fail(&u->cli->error, EMK_E_IO, "attest: the server's answer", got.code),
            url);
    if (st == EMK_OK)
        st = take(u, &row, emk_buf_span(&got.body));
    emk_buf_done(&got.body);
    return st;
}

/* --- update
 * --------------------------------------------------------------------------------------- */

static emk_status read_options(update *u)
{
    const char *role = emk_cli_option_value(u->cli, "role");
    const char *when = emk_cli_option_value(u->cli, "fetched-at");
    const char *age = emk_cli_option_value(u->cli, "max-age");
    uint64_t now = emk_os_now_s(), at = now, s = 0;

    u->given.role = EMK_ROLES;
    if (role && !emk_attest_role_find(role, &u->given.role))
        return emk_cli_usage(u->cli, "--role: there is no such role");
    if (when && emk_cli_parse_time(when, now, &at, NULL) != EMK_OK)
        return emk_cli_usage(u->cli, "--fetched-at: a time like 2026-01-02T03:04:05Z");
    if (age && emk_cli_parse_duration(age, &s, NULL) != EMK_OK)
        return emk_cli_usage(u->cli, "--max-age: a duration like 2d");
    u->has_time = when != NULL;
    u->has_age = age != NULL;
    u->given.fetched_s = (int64_t)at;
    u->given.max_age_s = (int64_t)s;
    return EMK_OK;
}

static emk_status read_index(update *u, const char *path)
{
    emk_buf json;
    emk_status st;

    if (!emk_os_exists(path))
        return EMK_OK;
    emk_buf_init(&json, EMK_ROOTS_INDEX_MAX);
    st = emk_os_read_file(path, EMK_ROOTS_INDEX_MAX, &json, &u->cli->error);
    if (st == EMK_OK)
        st = emk_roots_index_read(emk_buf_span(&json), u->index, &u->cli->error);
    emk_buf_done(&json);
    return emk_cli_about(u->cli, st, path);
}

static emk_status write_index(update *u, const char *path)
{
    emk_buf json;
    emk_status st;

    emk_buf_init(&json, EMK_ROOTS_INDEX_MAX);
    st = emk_roots_index_write(u->index, &json, &u->cli->error);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_buf_span(&json), &u->cli->error);
    emk_buf_done(&json);
    return emk_cli_about(u->cli, st, path);
}

static emk_status take_all(update *u, const char *from)
{
    if (strstr(from, "://"))
        return from_url(u, from);
    return emk_cli_is_directory(from) ? from_dir(u, from) : from_file(u, from);
}

static emk_status run_update(emk_cli *cli)
{
    static emk_roots_index index;
    const char *from = emk_cli_option_value(cli, "from"), *dir = emk_cli_option_value(cli, "roots");
    update u = {.cli = cli, .dir = dir, .index = &index};
    char path[EMK_CLI_PATH_MAX];
    emk_status st = read_options(&u);

    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &u.crypto);
    if (st == EMK_OK)
        st = emk_cli_make_dirs(cli, dir);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, EMK_ROOTS_INDEX, path);
    if (st == EMK_OK)
        st = read_index(&u, path);
    if (st != EMK_OK)
        return st;
    if (cli->out.json)
        emk_cli_begin_list(&cli->out, "files");
    st = take_all(&u, from);
    if (cli->out.json)
        emk_cli_end(&cli->out);
    if (st == EMK_OK && u.n_updated == 0)
        st = emk_cli_about(
            cli, emk_fail(&cli->error, EMK_E_NOT_FOUND, "attest: no file that is known", 0), from);
    if (st == EMK_OK)
        st = write_index(&u, path);
    if (st == EMK_OK)
        emk_cli_put_number(&cli->out, "updated", u.n_updated);
    return st;
}

/* --- list
 * ------------------------------------------------------------------------------------------- */

static void put_file(emk_cli_out *o, const emk_attest_root_file *f, uint64_t now)
{
    int64_t age = (int64_t)now - f->fetched_s;

    emk_cli_begin(o, o->json ? NULL : "file");
    emk_cli_put_string(o, "name", f->name);
    emk_cli_put_string(o, "role", emk_attest_role_name(f->role));
    emk_cli_put_number(o, "entries", f->n_entries);
    if (f->source[0])
        emk_cli_put_string(o, "source", f->source);
    if (f->fetched_s > 0)
        emk_cli_put_time(o, "fetched", (uint64_t)f->fetched_s);
    if (f->max_age_s > 0) {
        emk_cli_put_time(o, "good_until", (uint64_t)(f->fetched_s + f->max_age_s));
        emk_cli_put_bool(o, "too_old", age > f->max_age_s);
    }
    emk_cli_end(o);
}

static emk_status run_roots(emk_cli *cli)
{
    const char *dir = emk_cli_option_value(cli, "roots");
    uint64_t now = emk_os_now_s();
    emk_attest_roots *roots = NULL;
    bool old = false;
    emk_status st = emk_attest_roots_find(cli, dir, &roots);

    if (st != EMK_OK)
        return st;
    if (cli->out.json)
        emk_cli_begin_list(&cli->out, "files");
    for (size_t i = 0; i < emk_attest_roots_count(roots); i++) {
        emk_attest_root_file f = emk_attest_roots_file(roots, i);

        old = old || (f.max_age_s > 0 && (int64_t)now - f.fetched_s > f.max_age_s);
        put_file(&cli->out, &f, now);
    }
    if (cli->out.json)
        emk_cli_end(&cli->out);
    emk_cli_put_bool(&cli->out, "all_fresh", !old);
    if (old)
        cli->exit_code = EMK_E_STALE;
    emk_attest_roots_free(roots);
    return EMK_OK;
}

static const emk_cli_operand no_operands[] = {{0}};

static const char *const update_paragraphs[] = {
    "Takes anchors, pools and revocation lists into a directory and notes in its index.json where "
    "each is from, when it was fetched, its SHA-256 and how long it is good for. A file is taken "
    "only when it can be read as what it is; one that is older than what is there is refused.",
    "A directory is taken with its index, or by the names of its files. Of URLs only Google's "
    "revocation list is taken, over https; anchors come by file, with a release or by hand.",
    NULL};

static const emk_cli_option update_options[] = {
    {"from", 0, EMK_CLI_FILE, "FILE|DIR|URL", "what to take", true},
    {"roots", 0, EMK_CLI_DIR, "DIR", "the directory; it is made where it is not there", true},
    {"role", 0, EMK_CLI_WORD, "ROLE",
     "app_attest, app_attest_receipt, android_key, android_status, safetynet, tpm or tpm_pool, "
     "where the name does not say",
     false},
    {"fetched-at", 0, EMK_CLI_WORD, "TIME", "when it was fetched; now, unless told", false},
    {"max-age", 0, EMK_CLI_WORD, "DURATION", "how long it is good for; lists: 2 days", false},
    {"ca-file", 0, EMK_CLI_FILE, "FILE", "PEM that vouches for the server, not the system's store",
     false},
    {0},
};

static const emk_cli_example update_examples[] = {
    {"All that came with a release:", "earmark attest update --from release/roots --roots roots"},
    {"Once an hour, from a timer:",
     "earmark attest update --from https://android.googleapis.com/attestation/status --roots "
     "roots"},
    {0},
};

static const emk_cli_exit update_exits[] = {
    {EMK_E_FORMAT, "not such a file, or damaged"},
    {EMK_E_STALE, "older than what is there"},
    {EMK_E_SIGNATURE, "a file is not as its index says"},
    {EMK_E_UNSUPPORTED, "URLs, in a build without libcurl"},
    {0},
};

const emk_cli_command EMK_CLI_ATTEST_UPDATE = {
    .name = "attest update",
    .summary = "takes anchors and revocation lists into a directory",
    .synopsis = "--from FILE|DIR|URL --roots DIR",
    .paragraphs = update_paragraphs,
    .operands = no_operands,
    .options = update_options,
    .examples = update_examples,
    .exits = update_exits,
    .run = run_update,
};

static const char *const roots_paragraphs[] = {
    "Shows the anchors and lists of a directory and whether they are fresh. It ends with the code "
    "of E_STALE when one is too old.",
    NULL};

static const emk_cli_option roots_options[] = {
    {"roots", 0, EMK_CLI_DIR, "DIR", "the directory", true},
    {0},
};

static const emk_cli_example roots_examples[] = {
    {"For monitoring:", "earmark attest roots --roots roots --json"},
    {0},
};

static const emk_cli_exit roots_exits[] = {
    {EMK_E_STALE, "something is too old"},
    {EMK_E_SIGNATURE, "a file is not as the index says"},
    {0},
};

const emk_cli_command EMK_CLI_ATTEST_ROOTS = {
    .name = "attest roots",
    .summary = "shows anchors and lists, and how old they are",
    .synopsis = "--roots DIR",
    .paragraphs = roots_paragraphs,
    .operands = no_operands,
    .options = roots_options,
    .examples = roots_examples,
    .exits = roots_exits,
    .run = run_roots,
};
