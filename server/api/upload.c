#include "server/api/upload.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/seal/plan.h"
#include "server/api/api.h"

#include <string.h>

#define DIGITS_MAX 19u

static emk_status refill(emk_upload *u, emk_error *e)
{
    size_t n = 0;
    emk_status st = emk_call_read(u->call, u->step, EMK_UPLOAD_STEP, &n, e);

    if (st == EMK_OK && n > 0)
        st = emk_sha256_ctx_update(u->hash, emk_span_of(u->step, n), e);
    if (st != EMK_OK)
        return st;
    u->from = 0;
    u->n = n;
    u->seen += n;
    return EMK_OK;
}

/* ---- the list of a tree ---- */

static emk_status next_byte(emk_upload *u, uint8_t *out, emk_error *e)
{
    emk_status st = u->from < u->n ? EMK_OK : refill(u, e);

    if (st == EMK_OK && u->from == u->n)
        st = emk_fail(e, EMK_E_FORMAT, "tree: the body ends in its list", u->seen);
    if (st == EMK_OK)
        *out = u->step[u->from++];
    return st;
}

static emk_status read_line(emk_upload *u, uint8_t line[EMK_UPLOAD_LINE_MAX], size_t *len,
                            emk_error *e)
{
    uint8_t c = 0;
    size_t n = 0;
    emk_status st = next_byte(u, &c, e);

    while (st == EMK_OK && c != '\n') {
        if (n == EMK_UPLOAD_LINE_MAX)
            return emk_fail(e, EMK_E_FORMAT, "tree: a line is too long", n);
        line[n++] = c;
        st = next_byte(u, &c, e);
    }
    if (st == EMK_OK)
        *len = n;
    return st;
}

static emk_status parse_line(emk_upload *u, const uint8_t *line, size_t len, emk_seal_file *out,
                             emk_error *e)
{
    uint64_t v = 0;
    size_t i = 0;
    emk_span path;
    emk_status st;

    while (i < len && i < DIGITS_MAX && line[i] >= '0' && line[i] <= '9')
        v = v * 10 + (uint64_t)(line[i++] - '0');
    if (i == 0 || i == len || line[i] != ' ' || (i > 1 && line[0] == '0'))
        return emk_fail(e, EMK_E_FORMAT, "tree: a length in its list", i);
    if (v > EMK_MODEL_LEN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tree: length of a file", v);
    st = emk_path_check(emk_span_of(line + i + 1, len - i - 1), e);
    if (st == EMK_OK)
        st = emk_arena_copy(&u->call->arena, emk_span_of(line + i + 1, len - i - 1), &path, e);
    if (st == EMK_OK)
        *out = (emk_seal_file){(const char *)path.p, v};
    return st;
}

static emk_status add_file(emk_upload *u, const uint8_t *line, size_t len, emk_error *e)
{
    emk_seal_file *f = &u->files[u->n_files];
    emk_status st;

    if (u->n_files == EMK_FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tree: number of files", u->n_files);
    st = parse_line(u, line, len, f, e);
    if (st == EMK_OK && u->n_files > 0 &&
        emk_path_compare(emk_span_str(f[-1].path), emk_span_str(f->path)) >= 0)
        st = emk_fail(e, EMK_E_FORMAT, "tree: files out of order, or one twice", u->n_files);
    if (st != EMK_OK)
        return st;
    u->n_files++;
    u->len += f->len;
    return EMK_OK;
}

static emk_status read_list(emk_upload *u, emk_error *e)
{
    uint8_t line[EMK_UPLOAD_LINE_MAX];
    size_t len = 0;
    emk_status st;

    u->files = emk_arena_take(&u->call->arena, EMK_FILES_MAX * sizeof *u->files);
    if (!u->files)
        return emk_fail(e, EMK_E_NO_MEMORY, "tree: memory", EMK_FILES_MAX);
    u->len = 0;
    for (;;) {
        st = read_line(u, line, &len, e);
        if (st != EMK_OK)
            return st;
        if (len == 0)
            break;
        st = add_file(u, line, len, e);
        if (st != EMK_OK)
            return st;
    }
    if (u->n_files == 0)
        return emk_fail(e, EMK_E_FORMAT, "tree: no files", 0);
    return EMK_OK;
}

/* ---- bytes ---- */

emk_status emk_upload_begin(emk_upload *u, emk_call *call, bool tree, emk_error *e)
{
    emk_status st;

    *u = (emk_upload){.call = call, .len = call->content_length};
    u->step = emk_alloc(EMK_UPLOAD_STEP, 1);
    if (!u->step)
        return emk_fail(e, EMK_E_NO_MEMORY, "upload: memory", EMK_UPLOAD_STEP);
    st = emk_sha256_ctx_new(call->api->crypto, &u->hash, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_reset(u->hash, e);
    if (st != EMK_OK || !tree)
        return st;
    st = read_list(u, e);
    if (st == EMK_OK && call->content_length - (u->seen - (u->n - u->from)) != u->len)
        st = emk_fail(e, EMK_E_FORMAT, "tree: its list and the body's length differ", u->len);
    return st;
}

emk_status emk_upload_next(emk_upload *u, emk_span *out, emk_error *e)
{
    emk_status st = u->from < u->n ? EMK_OK : refill(u, e);

    if (st != EMK_OK)
        return st;
    if (u->n - u->from > u->len - u->given)
        return emk_fail(e, EMK_E_LIMIT, "upload: longer than was said", u->seen);
    if (u->n == 0 && u->given < u->len)
        return emk_fail(e, EMK_E_LIMIT, "upload: shorter than was said", u->given);
    *out = emk_span_of(u->step + u->from, u->n - u->from);
    u->given += out->len;
    u->from = u->n;
    return EMK_OK;
}

emk_status emk_upload_digest(emk_upload *u, uint8_t out[EMK_SHA256_LEN], emk_error *e)
{
    return emk_sha256_ctx_finish(u->hash, out, e);
}

void emk_upload_done(emk_upload *u)
{
    emk_sha256_ctx_free(u->hash);
    if (u->step)
        emk_wipe(u->step, EMK_UPLOAD_STEP);
    emk_free(u->step);
    *u = (emk_upload){.call = NULL};
}
