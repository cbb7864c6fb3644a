#include "server/attest/roots.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/crypto/hash.h"
#include "core/jose/object.h"
#include "server/attest/instant.h"

#include <inttypes.h>
#include <stdio.h>

#define MEMO_ENTRIES 256u /* issuers that are met again: some dozen of Apple's and Google's */
#define PATH_ROOM    4096u
#define VERSION      1u
#define ROLE_MAX     32u
#define TIME_MAX     40u
#define HEX_LEN      64u
#define DAY_S        86400
#define LINE_ROOM    (EMK_ROOTS_NAME_MAX + EMK_ROOTS_SOURCE_MAX + 256u)
#define FILE_MAX     EMK_REVOCATION_FILE_MAX

struct emk_attest_roots {
    emk_roots_index index;
    emk_bundle bundle[EMK_ROLES]; /* owned */
    emk_revocation *status;       /* owned; NULL: none */
    emk_x509_memo *memo;          /* owned: issuers that verified before; has a lock of its own */
};

/* --- roles --------------------------------------------------------------------------------- */

static const char *const ROLE_NAMES[EMK_ROLES] = {
    [EMK_ROLE_APP_ATTEST] = "app_attest",   [EMK_ROLE_RECEIPT] = "app_attest_receipt",
    [EMK_ROLE_ANDROID_KEY] = "android_key", [EMK_ROLE_ANDROID_STATUS] = "android_status",
    [EMK_ROLE_SAFETYNET] = "safetynet",     [EMK_ROLE_TPM] = "tpm",
    [EMK_ROLE_TPM_POOL] = "tpm_pool",
};

const char *emk_attest_role_name(emk_attest_role role)
{
    return (unsigned)role < EMK_ROLES ? ROLE_NAMES[role] : "unknown";
}

bool emk_attest_role_find(const char *name, emk_attest_role *out)
{
    for (unsigned i = 0; i < EMK_ROLES; i++)
        if (strcmp(ROLE_NAMES[i], name) == 0) {
            *out = (emk_attest_role)i;
            return true;
        }
    return false;
}

/* Beginnings of the names under which these files are published and passed on. */
static const struct name_row {
    const char *begin;
    emk_attest_role role;
} FILE_NAMES[] = {
    {"Apple_App_Attestation_Root_CA", EMK_ROLE_APP_ATTEST},
    {"AppleRootCA-G3", EMK_ROLE_RECEIPT},
    {"google_hw_attestation", EMK_ROLE_ANDROID_KEY},
    {"google_key_attestation", EMK_ROLE_ANDROID_KEY},
    {"android_status_google_test", EMK_ROLES}, /* a test list is no list */
    {"android_status", EMK_ROLE_ANDROID_STATUS},
    {"globalsign_root_ca", EMK_ROLE_SAFETYNET},
    {"globalsign_r2", EMK_ROLE_SAFETYNET},
    {"gts_root_r1", EMK_ROLE_SAFETYNET},
    {"tpm_ek_roots", EMK_ROLE_TPM},
    {"microsoft_tpm_root", EMK_ROLE_TPM},
    {"gce_tpm_ek_root", EMK_ROLE_TPM},
    {"gce_gcp_ek_ak_ca_root", EMK_ROLE_TPM},
    {"tpm_ek_intermediates", EMK_ROLE_TPM_POOL},
    {"gce_tpm_ek_intermediate", EMK_ROLE_TPM_POOL},
    {"gce_gcp_ek_ak_ca_intermediate", EMK_ROLE_TPM_POOL},
};

bool emk_roots_role_of_name(const char *name, emk_attest_role *role)
{
    for (size_t i = 0; i < sizeof FILE_NAMES / sizeof FILE_NAMES[0]; i++)
        if (strncmp(name, FILE_NAMES[i].begin, strlen(FILE_NAMES[i].begin)) == 0) {
            *role = FILE_NAMES[i].role;
            return *role != EMK_ROLES;
        }
    return false;
}

int64_t emk_roots_default_age(emk_attest_role role)
{
    return role == EMK_ROLE_ANDROID_STATUS ? EMK_ROOTS_STATUS_DAYS * DAY_S : 0;
}

/* --- index ----------------------------------------------------------------------------------- */

/* A name that stays in its directory. */
static bool is_plain(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/') && strcmp(name, EMK_ROOTS_INDEX) != 0;
}

static bool read_hex(const char *text, uint8_t out[32])
{
    static const char DIGITS[] = "0123456789abcdef";

    if (strlen(text) != HEX_LEN)
        return false;
    for (size_t i = 0; i < HEX_LEN; i++) {
        const char *at = strchr(DIGITS, text[i]);

        if (!at || !*at)
            return false;
        out[i / 2] = (uint8_t)((i % 2 ? (unsigned)out[i / 2] << 4 : 0) | (unsigned)(at - DIGITS));
    }
    return true;
}

static void read_row_member(emk_json *j, size_t i, emk_roots_row *row)
{
    char text[HEX_LEN + 1];

    switch (i) {
    case 0:
        if (emk_jose_read_text(j, row->name, sizeof row->name) && !is_plain(row->name))
            emk_json_fail(j, EMK_E_FORMAT, "roots: name of a file", j->text_off);
        break;
    case 1:
        if (emk_jose_read_text(j, text, ROLE_MAX) && !emk_attest_role_find(text, &row->role))
            emk_json_fail(j, EMK_E_FORMAT, "roots: role", j->text_off);
        break;
    case 2:
        (void)emk_jose_read_text(j, row->source, sizeof row->source);
        break;
    case 3:
        if (emk_jose_read_text(j, text, TIME_MAX) &&
            emk_instant_parse(emk_span_str(text), &row->fetched_s, NULL) != EMK_OK)
            emk_json_fail(j, EMK_E_FORMAT, "roots: fetched_at", j->text_off);
        break;
    case 4:
        if (emk_jose_read_text(j, text, sizeof text) && !read_hex(text, row->sha256))
            emk_json_fail(j, EMK_E_FORMAT, "roots: sha256", j->text_off);
        break;
    case 5:
        (void)emk_json_expect(j, EMK_JSON_NUMBER);
        if (emk_json_i64(j, &row->max_age_s) && row->max_age_s < 0)
            emk_json_fail(j, EMK_E_FORMAT, "roots: max_age_s", j->text_off);
        break;
    default:
        emk_json_skip_value(j);
    }
}

/* The brace was read. */
static void read_row(emk_json *j, emk_roots_row *row)
{
    static const char *const NAMES[] = {"name",       "role",   "source",
                                        "fetched_at", "sha256", "max_age_s"};
    emk_jose_object o;
    uint32_t seen = 0;
    size_t i;

    emk_jose_object_opened(&o, j);
    while (emk_jose_object_next(&o, NAMES, 6, &i)) {
        if (i < 6)
            seen |= 1u << i;
        read_row_member(j, i, row);
    }
    if (seen != 0x3f)
        emk_json_fail(j, EMK_E_FORMAT, "roots: a member of a file is missing", j->pos);
}

static void read_files(emk_json *j, emk_roots_index *out)
{
    (void)emk_json_expect(j, EMK_JSON_ARRAY_BEGIN);
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_OBJECT_BEGIN) {
        emk_roots_row *row = &out->row[out->n];

        if (out->n == EMK_ROOTS_FILES_MAX) {
            emk_json_fail(j, EMK_E_LIMIT, "roots: files", out->n);
            return;
        }
        read_row(j, row);
        for (size_t i = 0; i < out->n; i++)
            if (strcmp(out->row[i].name, row->name) == 0)
                emk_json_fail(j, EMK_E_FORMAT, "roots: a file comes twice", j->pos);
        out->n++;
    }
    if (emk_json_ok(j) && j->token != EMK_JSON_ARRAY_END)
        emk_json_fail(j, EMK_E_FORMAT, "roots: files", j->pos);
}

emk_status emk_roots_index_read(emk_span json, emk_roots_index *out, emk_error *e)
{
    static const char *const NAMES[] = {"version", "files"};
    emk_jose_text t;
    emk_jose_object o;
    uint64_t version = 0;
    emk_status st;
    size_t i;

    memset(out, 0, sizeof *out);
    st = emk_jose_text_open(&t, json, EMK_ROOTS_INDEX_MAX, e);
    if (st != EMK_OK)
        return st;
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, NAMES, 2, &i)) {
        if (i == 0) {
            (void)emk_json_expect(&t.j, EMK_JSON_NUMBER);
            (void)emk_json_u64(&t.j, &version);
        } else if (i == 1) {
            read_files(&t.j, out);
        } else {
            emk_json_skip_value(&t.j);
        }
    }
    st = emk_jose_text_close(&t, e);
    if (st == EMK_OK && version != VERSION)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "roots: version of the index", version);
    return st;
}

static emk_status append_text(emk_buf *out, const char *text, emk_error *e)
{
    return emk_buf_append(out, emk_span_str(text), e);
}

/* A JSON string: what we write ourselves holds no control characters. */
static emk_status append_string(emk_buf *out, const char *text, emk_error *e)
{
    emk_status st = append_text(out, "\"", e);

    for (const char *p = text; st == EMK_OK && *p; p++) {
        if ((unsigned char)*p < 0x20)
            return emk_fail(e, EMK_E_USAGE, "roots: control character in a text", 0);
        if (*p == '"' || *p == '\\')
            st = append_text(out, "\\", e);
        if (st == EMK_OK)
            st = emk_buf_append(out, emk_span_of(p, 1), e);
    }
    return st == EMK_OK ? append_text(out, "\"", e) : st;
}

static emk_status write_row(const emk_roots_row *row, emk_buf *out, emk_error *e)
{
    char text[LINE_ROOM], hex[HEX_LEN + 1];
    char when[EMK_INSTANT_ROOM];
    emk_status st;

    for (size_t i = 0; i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", row->sha256[i]);
    emk_instant_write(row->fetched_s, when);
    (void)snprintf(text, sizeof text,
                   ", \"role\": \"%s\", \"fetched_at\": \"%s\", \"sha256\": \"%s\", "
                   "\"max_age_s\": %" PRId64 "}",
                   emk_attest_role_name(row->role), when, hex, row->max_age_s);
    st = append_text(out, "{\"name\": ", e);
    if (st == EMK_OK)
        st = append_string(out, row->name, e);
    if (st == EMK_OK)
        st = append_text(out, ", \"source\": ", e);
    if (st == EMK_OK)
        st = append_string(out, row->source, e);
    return st == EMK_OK ? append_text(out, text, e) : st;
}

emk_status emk_roots_index_write(const emk_roots_index *index, emk_buf *out, emk_error *e)
{
    emk_status st = append_text(out, "{\"version\": 1, \"files\": [\n", e);

    for (size_t i = 0; st == EMK_OK && i < index->n; i++) {
        st = write_row(&index->row[i], out, e);
        if (st == EMK_OK)
            st = append_text(out, i + 1 < index->n ? ",\n" : "\n", e);
    }
    return st == EMK_OK ? append_text(out, "]}\n", e) : st;
}

/* --- files ----------------------------------------------------------------------------------- */

/* Adds a file to a bundle; of anchors every certificate must be readable, of a pool any. */
static emk_status add_certs(emk_attest_role role, emk_span file, emk_bundle *into, size_t *n,
                            emk_error *e)
{
    size_t before = into->n, skipped = into->n_skipped;
    emk_status st = emk_bundle_add(into, file, e);

    if (st == EMK_OK && into->n == before)
        st = emk_fail(e, EMK_E_FORMAT, "roots: no certificate in a file", 0);
    if (st == EMK_OK && role != EMK_ROLE_TPM && role != EMK_ROLE_TPM_POOL &&
        into->n_skipped > skipped)
        st = emk_fail(e, EMK_E_FORMAT, "roots: an anchor cannot be read", 0);
    if (st == EMK_OK)
        *n = into->n - before;
    return st;
}

emk_status emk_roots_check_file(emk_attest_role role, emk_span file, size_t *n, emk_error *e)
{
    emk_revocation *list = NULL;
    emk_bundle bundle;
    emk_status st;

    if (role == EMK_ROLE_ANDROID_STATUS) {
        st = emk_revocation_new(file, 0, &list, e);
        if (st == EMK_OK)
            *n = emk_revocation_count(list);
        emk_revocation_free(list);
        return st;
    }
    emk_bundle_init(&bundle);
    st = add_certs(role, file, &bundle, n, e);
    emk_bundle_done(&bundle);
    return st;
}

static emk_status take_file(emk_attest_roots *r, emk_roots_row *row, emk_span file, emk_error *e)
{
    emk_status st;

    if (row->role != EMK_ROLE_ANDROID_STATUS)
        return add_certs(row->role, file, &r->bundle[row->role], &row->n_entries, e);
    if (r->status)
        return emk_fail(e, EMK_E_FORMAT, "roots: two revocation lists", 0);
    st = emk_revocation_new(file, row->fetched_s, &r->status, e);
    if (st == EMK_OK)
        row->n_entries = emk_revocation_count(r->status);
    return st;
}

static emk_status read_one(const emk_crypto *c, const char *dir, emk_attest_roots *r,
                           emk_roots_row *row, bool indexed, emk_error *e)
{
    char path[PATH_ROOM];
    uint8_t digest[EMK_SHA256_LEN];
    emk_buf file;
    emk_span whole;
    emk_status st;

    emk_buf_init(&file, FILE_MAX);
    st = emk_os_join(path, sizeof path, dir, row->name, "", e);
    if (st == EMK_OK)
        st = emk_os_read_file(path, FILE_MAX, &file, e);
    whole = emk_buf_span(&file);
    if (st == EMK_OK)
        st = emk_sha256(c, &whole, 1, digest, e);
    if (st == EMK_OK && indexed && memcmp(digest, row->sha256, sizeof digest) != 0)
        st = emk_fail(e, EMK_E_SIGNATURE, "roots: a file is not as the index says", 0);
    if (st == EMK_OK)
        st = take_file(r, row, whole, e);
    emk_buf_done(&file);
    return st;
}

static emk_status read_all(const emk_crypto *c, const char *dir, emk_attest_roots *r, emk_error *e)
{
    char path[PATH_ROOM];
    emk_buf json;
    emk_status st;

    emk_buf_init(&json, EMK_ROOTS_INDEX_MAX);
    st = emk_os_join(path, sizeof path, dir, EMK_ROOTS_INDEX, "", e);
    if (st == EMK_OK)
        st = emk_os_read_file(path, EMK_ROOTS_INDEX_MAX, &json, e);
    if (st == EMK_OK)
        st = emk_roots_index_read(emk_buf_span(&json), &r->index, e);
    for (size_t i = 0; st == EMK_OK && i < r->index.n; i++)
        st = read_one(c, dir, r, &r->index.row[i], true, e);
    emk_buf_done(&json);
    return st;
}

static emk_status add_plain(void *self, const char *name, emk_error *e)
{
    emk_roots_index *index = self;
    emk_roots_row *row = &index->row[index->n];

    if (strlen(name) >= sizeof row->name || !emk_roots_role_of_name(name, &row->role))
        return EMK_OK;
    if (index->n == EMK_ROOTS_FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "roots: files", index->n);
    memcpy(row->name, name, strlen(name) + 1);
    index->n++;
    return EMK_OK;
}

static emk_status read_plain(const emk_crypto *c, const char *dir, emk_attest_roots *r,
                             emk_error *e)
{
    emk_status st = emk_os_list_dir(dir, add_plain, &r->index, e);

    if (st == EMK_OK && r->index.n == 0)
        st = emk_fail(e, EMK_E_NOT_FOUND, "roots: no file with a known name", 0);
    for (size_t i = 0; st == EMK_OK && i < r->index.n; i++)
        st = read_one(c, dir, r, &r->index.row[i], false, e);
    return st;
}

typedef emk_status (*read_fn)(const emk_crypto *c, const char *dir, emk_attest_roots *r,
                              emk_error *e);

static emk_status open_with(const emk_crypto *c, const char *dir, read_fn read,
                            emk_attest_roots **out, emk_error *e)
{
    emk_attest_roots *r = emk_alloc(1, sizeof *r);
    emk_status st;

    if (!r)
        return emk_fail(e, EMK_E_NO_MEMORY, "roots: memory", sizeof *r);
    for (size_t i = 0; i < EMK_ROLES; i++)
        emk_bundle_init(&r->bundle[i]);
    st = emk_x509_memo_new(MEMO_ENTRIES, &r->memo, e);
    if (st == EMK_OK)
        st = read(c, dir, r, e);
    if (st != EMK_OK) {
        emk_attest_roots_free(r);
        return st;
    }
    *out = r;
    return EMK_OK;
}

emk_status emk_attest_roots_open_plain(const emk_crypto *c, const char *dir, emk_attest_roots **out,
                                       emk_error *e)
{
    return open_with(c, dir, read_plain, out, e);
}

emk_status emk_attest_roots_open(const emk_crypto *c, const char *dir, emk_attest_roots **out,
                                 emk_error *e)
{
    return open_with(c, dir, read_all, out, e);
}

void emk_attest_roots_free(emk_attest_roots *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < EMK_ROLES; i++)
        emk_bundle_done(&r->bundle[i]);
    emk_revocation_free(r->status);
    emk_x509_memo_free(r->memo);
    emk_free(r);
}

/* --- asking ------------------------------------------------------------------------------------
 */

emk_x509_memo *emk_attest_roots_memo(const emk_attest_roots *r)
{
    return r->memo;
}

size_t emk_attest_roots_count(const emk_attest_roots *r)
{
    return r->index.n;
}

emk_attest_root_file emk_attest_roots_file(const emk_attest_roots *r, size_t i)
{
    emk_attest_root_file f = {0};

    if (i >= r->index.n)
        return f;
    f.name = r->index.row[i].name;
    f.source = r->index.row[i].source;
    f.role = r->index.row[i].role;
    f.fetched_s = r->index.row[i].fetched_s;
    f.max_age_s = r->index.row[i].max_age_s;
    f.n_entries = r->index.row[i].n_entries;
    return f;
}

emk_status emk_attest_roots_check_age(const emk_attest_roots *r, emk_attest_role role,
                                      int64_t time_s, emk_error *e)
{
    bool found = false;

    for (size_t i = 0; i < r->index.n; i++) {
        const emk_roots_row *row = &r->index.row[i];
        int64_t age = time_s - row->fetched_s;

        if (row->role != role)
            continue;
        found = true;
        if (row->max_age_s > 0 && age > row->max_age_s)
            return emk_fail(e, EMK_E_STALE, "roots: older than they may be", (uint64_t)age);
    }
    return found ? EMK_OK : emk_fail(e, EMK_E_NOT_FOUND, "roots: none for this", (unsigned)role);
}

const emk_bundle *emk_attest_roots_bundle(const emk_attest_roots *r, emk_attest_role role)
{
    return &r->bundle[role];
}

const emk_revocation *emk_attest_roots_status(const emk_attest_roots *r)
{
    return r->status;
}
