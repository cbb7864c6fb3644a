#include "server/store/blobs.h"

#include "core/base/status.h"

static emk_status check_id(emk_span id, emk_error *e)
{
    if (id.len < EMK_BLOB_ID_MIN || id.len > EMK_BLOB_ID_MAX)
        return emk_fail(e, EMK_E_USAGE, "blobs: length of an id", id.len);
    return EMK_OK;
}

emk_status emk_blob_create(const emk_blobs *b, const emk_blob_new *n, emk_blob_writer *w,
                           emk_error *e)
{
    void *handle = NULL;
    emk_status st = check_id(n->id, e);

    if (st == EMK_OK)
        st = b->ops->create(b->self, n, &handle, e);
    if (st == EMK_OK)
        *w = (emk_blob_writer){b, handle};
    return st;
}

emk_status emk_blob_append(emk_blob_writer *w, emk_span bytes, emk_error *e)
{
    if (!w->handle)
        return emk_fail(e, EMK_E_USAGE, "blobs: the writer has ended", 0);
    return bytes.len ? w->store->ops->append(w->store->self, w->handle, bytes, e) : EMK_OK;
}

emk_status emk_blob_finish(emk_blob_writer *w, emk_error *e)
{
    void *handle = w->handle;

    if (!handle)
        return emk_fail(e, EMK_E_USAGE, "blobs: the writer has ended", 0);
    w->handle = NULL;
    return w->store->ops->finish(w->store->self, handle, e);
}

void emk_blob_abort(emk_blob_writer *w)
{
    if (w->handle)
        w->store->ops->abort(w->store->self, w->handle);
    w->handle = NULL;
}

emk_status emk_blob_open(const emk_blobs *b, emk_span id, uint64_t now_s, emk_blob *out,
                         emk_error *e)
{
    emk_blob blob = {.fd = -1};
    emk_status st = check_id(id, e);

    if (st == EMK_OK)
        st = b->ops->open(b->self, id, &blob, e);
    if (st != EMK_OK)
        return st;
    if (blob.info.expires_s != 0 && blob.info.expires_s <= now_s) {
        b->ops->close_blob(b->self, &blob);
        return emk_fail(e, EMK_E_NOT_FOUND, "blobs: it has expired", blob.info.expires_s);
    }
    *out = blob;
    return EMK_OK;
}

emk_status emk_blob_read(const emk_blobs *b, const emk_blob *blob, uint64_t off, uint8_t *out,
                         size_t len, emk_error *e)
{
    if (off > blob->info.len || len > blob->info.len - off)
        return emk_fail(e, EMK_E_LIMIT, "blobs: beyond its end", off);
    return len ? b->ops->read(b->self, blob, off, out, len, e) : EMK_OK;
}

void emk_blob_close(const emk_blobs *b, emk_blob *blob)
{
    if (blob->handle)
        b->ops->close_blob(b->self, blob);
    *blob = (emk_blob){.fd = -1};
}

emk_status emk_blob_remove(const emk_blobs *b, emk_span id, emk_error *e)
{
    emk_status st = check_id(id, e);

    return st == EMK_OK ? b->ops->remove(b->self, id, e) : st;
}

emk_status emk_blobs_sweep(const emk_blobs *b, uint64_t now_s, uint64_t *n, emk_error *e)
{
    return b->ops->sweep(b->self, now_s, n, e);
}

void emk_blobs_usage_get(const emk_blobs *b, emk_blobs_usage *out)
{
    b->ops->usage(b->self, out);
}

void emk_blobs_close(emk_blobs *b)
{
    if (b->ops)
        b->ops->close(b->self);
    *b = (emk_blobs){0};
}
