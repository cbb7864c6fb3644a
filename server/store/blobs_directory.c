/* Blobs as files of one folder: "<id in hex>", while written "<id in hex>.part".
 *
 * A file begins with a head of 32 bytes: magic, expiry, length, zeros.  While it is written the
 * head is zeros and the name has ".part", so neither alone makes half a blob look whole.
 * State: the bytes and blobs there are, under one lock; a writer's bytes count as they come. */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "core/base/os_thread.h"
#include "core/base/status.h"
#include "server/store/blobs.h"

#include <string.h>

#define HEAD_LEN 32u
#define NAME_CAP (2u * EMK_BLOB_ID_MAX + 8u)
#define PATH_CAP 4096u
#define PART     ".part"
#define LOCK     "lock"

static const uint8_t MAGIC[8] = {'E', 'M', 'K', 'B', 'L', 'O', 'B', '1'};

typedef struct directory {
    char *path;
    int lock_fd;
    emk_lock *lock; /* over usage */
    emk_blobs_usage used;
} directory;

typedef struct writer {
    char path[PATH_CAP]; /* of the part */
    size_t path_len;     /* of it without ".part" */
    int fd;
    uint64_t len, max_len, expires_s;
    bool durable, failed;
} writer;

static emk_status path_of(const directory *d, emk_span id, const char *suffix, char *out,
                          emk_error *e)
{
    static const char HEX[] = "0123456789abcdef";
    char name[NAME_CAP];

    for (size_t i = 0; i < id.len; i++) {
        name[2 * i] = HEX[id.p[i] >> 4];
        name[2 * i + 1] = HEX[id.p[i] & 15];
    }
    name[2 * id.len] = '\0';
    return emk_os_join(out, PATH_CAP, d->path, name, suffix, e);
}

static bool ends_in_part(const char *name)
{
    size_t len = strlen(name);

    return len > sizeof PART - 1 && strcmp(name + len - (sizeof PART - 1), PART) == 0;
}

static bool is_blob_name(const char *name)
{
    size_t len = strlen(name);

    return len % 2 == 0 && len >= (size_t)2 * EMK_BLOB_ID_MIN &&
           len <= (size_t)2 * EMK_BLOB_ID_MAX && strspn(name, "0123456789abcdef") == len;
}

static emk_status reserve(directory *d, uint64_t bytes, emk_error *e)
{
    emk_status st = EMK_OK;

    emk_lock_take(d->lock);
    if (d->used.quota && (bytes > d->used.quota || d->used.bytes > d->used.quota - bytes))
        st = emk_fail(e, EMK_E_LIMIT, "blobs: the quota is used up", d->used.bytes + bytes);
    else
        d->used.bytes += bytes;
    emk_lock_give(d->lock);
    return st;
}

static void release(directory *d, uint64_t bytes, uint64_t n_blobs)
{
    emk_lock_take(d->lock);
    d->used.bytes -= bytes;
    d->used.n_blobs -= n_blobs;
    emk_lock_give(d->lock);
}

/* ---- writing ---- */

static void writer_free(directory *d, writer *w, bool remove)
{
    emk_os_close(w->fd);
    if (remove) {
        (void)!emk_os_discard(w->path, NULL); /* else the next start removes it */
        release(d, w->len, 0);
    }
    emk_free(w);
}

static emk_status open_part(const directory *d, const emk_blob_new *n, writer *w, emk_error *e)
{
    static const uint8_t zeros[HEAD_LEN];
    emk_status st = path_of(d, n->id, "", w->path, e);

    if (st == EMK_OK && emk_os_exists(w->path))
        st = emk_fail(e, EMK_E_USED, "blobs: there is one with this id", 0);
    w->path_len = strlen(w->path);
    if (st == EMK_OK)
        st = path_of(d, n->id, PART, w->path, e);
    if (st == EMK_OK)
        st = emk_os_create_new(w->path, &w->fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_at(w->fd, 0, zeros, HEAD_LEN, e);
    if (st != EMK_OK) {
        emk_os_close(w->fd);
        (void)!emk_os_discard(w->path, NULL);
    }
    return st;
}

static emk_status directory_create(void *self, const emk_blob_new *n, void **out, emk_error *e)
{
    writer *w = emk_alloc(1, sizeof *w);
    emk_status st;

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "blobs: memory", sizeof *w);
    w->max_len = n->max_len;
    w->expires_s = n->expires_s;
    w->durable = n->durable;
    st = open_part(self, n, w, e);
    if (st != EMK_OK) {
        emk_free(w);
        return st;
    }
    *out = w;
    return EMK_OK;
}

static emk_status directory_append(void *self, void *handle, emk_span bytes, emk_error *e)
{
    writer *w = handle;
    emk_status st;

    if (w->failed)
        return emk_fail(e, EMK_E_IO, "blobs: writing had failed before", 0);
    if (w->max_len && (bytes.len > w->max_len || w->len > w->max_len - bytes.len))
        return emk_fail(e, EMK_E_LIMIT, "blobs: longer than allowed", w->len + bytes.len);
    st = reserve(self, bytes.len, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_at(w->fd, HEAD_LEN + w->len, bytes.p, bytes.len, e);
    w->len += bytes.len; /* also on failure: abort gives it back */
    w->failed = st != EMK_OK;
    return st;
}

static emk_status show(const directory *d, writer *w, emk_error *e)
{
    uint8_t head[HEAD_LEN] = {0};
    char path[PATH_CAP];
    emk_status st;

    memcpy(head, MAGIC, sizeof MAGIC);
    emk_store_u64be(head + 8, w->expires_s);
    emk_store_u64be(head + 16, w->len);
    memcpy(path, w->path, w->path_len);
    path[w->path_len] = '\0';
    st = emk_os_write_at(w->fd, 0, head, HEAD_LEN, e);
    if (st == EMK_OK && w->durable)
        st = emk_os_sync(w->fd, e);
    if (st == EMK_OK)
        st = emk_os_rename_new(w->path, path, e);
    if (st != EMK_OK || !w->durable)
        return st;
    st = emk_os_folder_sync_path(d->path, e);
    if (st != EMK_OK)
        (void)!emk_os_discard(path, NULL); /* the promise is: no blob unless EMK_OK */
    return st;
}

static emk_status directory_finish(void *self, void *handle, emk_error *e)
{
    directory *d = self;
    writer *w = handle;
    emk_status st =
        w->failed ? emk_fail(e, EMK_E_IO, "blobs: writing had failed before", 0) : show(d, w, e);

    if (st == EMK_OK) {
        emk_lock_take(d->lock);
        d->used.n_blobs++;
        emk_lock_give(d->lock);
    }
    writer_free(d, w, st != EMK_OK);
    return st;
}

static void directory_abort(void *self, void *handle)
{
    writer_free(self, handle, true);
}

/* ---- reading ---- */

static emk_status read_head(int fd, emk_blob_info *info, emk_error *e)
{
    uint8_t head[HEAD_LEN];
    uint64_t size = 0;
    emk_status st = emk_os_file_size(fd, &size, e);

    if (st == EMK_OK)
        st = emk_os_read_at(fd, 0, head, HEAD_LEN, e);
    if (st != EMK_OK)
        return st;
    *info =
        (emk_blob_info){.len = emk_load_u64be(head + 16), .expires_s = emk_load_u64be(head + 8)};
    if (memcmp(head, MAGIC, sizeof MAGIC) != 0 || info->len != size - HEAD_LEN)
        return emk_fail(e, EMK_E_FORMAT, "blobs: a damaged file", size);
    return EMK_OK;
}

static emk_status directory_open(void *self, emk_span id, emk_blob *out, emk_error *e)
{
    char path[PATH_CAP];
    emk_blob_info info = {0};
    int fd = -1;
    emk_status st = path_of(self, id, "", path, e);

    if (st == EMK_OK)
        st = emk_os_open_read(path, &fd, e);
    if (st == EMK_OK)
        st = read_head(fd, &info, e);
    if (st != EMK_OK) {
        emk_os_close(fd);
        return st;
    }
    *out = (emk_blob){.info = info, .fd = fd, .offset = HEAD_LEN, .handle = self};
    return EMK_OK;
}

static emk_status directory_read(void *self, const emk_blob *b, uint64_t off, uint8_t *out,
                                 size_t len, emk_error *e)
{
    (void)self;
    return emk_os_read_at(b->fd, HEAD_LEN + off, out, len, e);
}

static void directory_close_blob(void *self, emk_blob *b)
{
    (void)self;
    emk_os_close(b->fd);
}

/* ---- removing ---- */

/* Of two who remove one file, one gets EMK_E_NOT_FOUND and gives nothing back. */
static emk_status remove_file(directory *d, const char *path, uint64_t len, emk_error *e)
{
    emk_status st = emk_os_discard(path, e);

    if (st == EMK_OK)
        release(d, len, 1);
    return st;
}

static emk_status directory_remove(void *self, emk_span id, emk_error *e)
{
    char path[PATH_CAP];
    uint64_t size = 0;
    int fd = -1;
    emk_status st = path_of(self, id, "", path, e);

    if (st == EMK_OK)
        st = emk_os_open_read(path, &fd, e);
    if (st == EMK_OK)
        st = emk_os_file_size(fd, &size, e);
    emk_os_close(fd);
    return st == EMK_OK ? remove_file(self, path, size > HEAD_LEN ? size - HEAD_LEN : 0, e) : st;
}

typedef struct sweeping {
    directory *d;
    uint64_t now_s, n;
} sweeping;

/* Whatever has gone meanwhile, or is damaged and so will never be read, is no reason to stop. */
static emk_status sweep_entry(void *self, const char *name, emk_error *e)
{
    sweeping *s = self;
    emk_blob_info info = {0};
    char path[PATH_CAP];
    int fd = -1;
    emk_status st;

    if (!is_blob_name(name))
        return EMK_OK;
    st = emk_os_join(path, sizeof path, s->d->path, name, "", e);
    if (st != EMK_OK)
        return st;
    st = emk_os_open_read(path, &fd, e);
    if (st == EMK_OK)
        st = read_head(fd, &info, e);
    emk_os_close(fd);
    if (st == EMK_OK && info.expires_s != 0 && info.expires_s <= s->now_s) {
        st = remove_file(s->d, path, info.len, e);
        s->n += st == EMK_OK;
    }
    return st == EMK_E_IO ? st : EMK_OK;
}

static emk_status directory_sweep(void *self, uint64_t now_s, uint64_t *n, emk_error *e)
{
    sweeping s = {.d = self, .now_s = now_s};
    emk_status st = emk_os_list_dir(s.d->path, sweep_entry, &s, e);

    if (st == EMK_OK)
        *n = s.n;
    return st;
}

/* ---- opening ---- */

static emk_status count_entry(void *self, const char *name, emk_error *e)
{
    directory *d = self;
    char path[PATH_CAP];
    uint64_t size = 0;
    int fd = -1;
    emk_status st = emk_os_join(path, sizeof path, d->path, name, "", e);

    if (st != EMK_OK)
        return st;
    if (ends_in_part(name))
        return emk_os_discard(path, e);
    if (!is_blob_name(name))
        return EMK_OK;
    st = emk_os_open_read(path, &fd, e);
    if (st == EMK_OK)
        st = emk_os_file_size(fd, &size, e);
    emk_os_close(fd);
    if (st == EMK_OK) {
        d->used.bytes += size > HEAD_LEN ? size - HEAD_LEN : 0;
        d->used.n_blobs++;
    }
    return st;
}

static void directory_usage(void *self, emk_blobs_usage *out)
{
    directory *d = self;

    emk_lock_take(d->lock);
    *out = d->used;
    emk_lock_give(d->lock);
}

static void directory_close(void *self)
{
    directory *d = self;

    emk_os_close(d->lock_fd);
    emk_lock_free(d->lock);
    emk_free(d->path);
    emk_free(d);
}

static const emk_blobs_ops DIRECTORY_OPS = {
    .size = sizeof(emk_blobs_ops),
    .name = "directory",
    .create = directory_create,
    .append = directory_append,
    .finish = directory_finish,
    .abort = directory_abort,
    .open = directory_open,
    .read = directory_read,
    .close_blob = directory_close_blob,
    .remove = directory_remove,
    .sweep = directory_sweep,
    .usage = directory_usage,
    .close = directory_close,
};

static emk_status open_folder(directory *d, emk_error *e)
{
    char path[PATH_CAP];
    emk_status st = emk_os_make_dir(d->path, e);

    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, d->path, LOCK, "", e);
    if (st == EMK_OK)
        st = emk_os_lock_file(path, false, &d->lock_fd, e);
    if (st == EMK_OK)
        st = emk_os_list_dir(d->path, count_entry, d, e);
    return st;
}

emk_status emk_blobs_open_directory(const emk_blobs_directory *options, emk_blobs *out,
                                    emk_error *e)
{
    directory *d;
    emk_status st;

    if (!options->path || !options->path[0])
        return emk_fail(e, EMK_E_USAGE, "blobs: no path", 0);
    d = emk_alloc(1, sizeof *d);
    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "blobs: memory", sizeof *d);
    d->lock_fd = -1;
    d->used.quota = options->quota_bytes;
    d->path = emk_strdup(options->path);
    st = d->path ? emk_lock_new(&d->lock, e) : emk_fail(e, EMK_E_NO_MEMORY, "blobs: memory", 0);
    if (st == EMK_OK)
        st = open_folder(d, e);
    if (st != EMK_OK) {
        directory_close(d);
        return st;
    }
    *out = (emk_blobs){&DIRECTORY_OPS, d};
    return EMK_OK;
}
