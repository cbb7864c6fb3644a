#include "server/journal/tiles.h"

#include "core/base/os_file.h"
#include "core/base/os_folder.h"

#include <stdio.h>
#include <string.h>

#define PATH_CAP 4096u

static void number_path(uint64_t index, char *out, size_t cap)
{
    char groups[7][8];
    size_t n = 0, at = 0;

    do {
        snprintf(groups[n], sizeof groups[n], "%s%03u", n ? "x" : "", (unsigned)(index % 1000));
        index /= 1000;
        n++;
    } while (index);
    while (n > 0) {
        n--;
        at += (size_t)snprintf(out + at, cap - at, "%s%s", groups[n], n ? "/" : "");
    }
}

void emk_tile_path(const emk_tile *t, char out[EMK_TILE_PATH_MAX])
{
    char number[48], level[12] = "entries", part[16] = "";

    number_path(t->index, number, sizeof number);
    if (t->level != EMK_TILE_ENTRIES)
        snprintf(level, sizeof level, "%u", t->level);
    if (t->width != EMK_TILE_WIDTH)
        snprintf(part, sizeof part, ".p/%u", t->width);
    snprintf(out, EMK_TILE_PATH_MAX, "tile/%s/%s%s", level, number, part);
}

unsigned emk_tile_width(uint64_t size, unsigned level, uint64_t index)
{
    uint64_t nodes = level == EMK_TILE_ENTRIES ? size : size >> EMK_TILE_HEIGHT * level;

    if (index >= (nodes + EMK_TILE_WIDTH - 1) / EMK_TILE_WIDTH)
        return 0;
    nodes -= index * EMK_TILE_WIDTH;
    return nodes < EMK_TILE_WIDTH ? (unsigned)nodes : EMK_TILE_WIDTH;
}

/* Makes the folders above the file, below the log's own. */
static emk_status make_folders(char *path, size_t dir_len, emk_error *e)
{
    for (size_t i = dir_len + 1; path[i]; i++) {
        emk_status st;

        if (path[i] != '/')
            continue;
        path[i] = '\0';
        st = emk_os_make_dir(path, e);
        path[i] = '/';
        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}

static emk_status create_beside(char *path, size_t dir_len, int *fd, char *name, emk_error *e)
{
    emk_status st = emk_os_create_beside(path, fd, name, PATH_CAP, e);

    if (st != EMK_E_NOT_FOUND)
        return st;
    st = make_folders(path, dir_len, e);
    return st == EMK_OK ? emk_os_create_beside(path, fd, name, PATH_CAP, e) : st;
}

/* What is left of the partial ones does no harm. */
static void drop_partial(const char *path)
{
    char part[PATH_CAP];
    int dir = -1;

    if (emk_os_join(part, sizeof part, path, "", "", NULL) != EMK_OK)
        return;
    snprintf(part, sizeof part, "%.*s.p", (int)sizeof part - 8, path);
    if (emk_os_folder_open(part, &dir, NULL) != EMK_OK)
        return;
    (void)!emk_os_folder_clear(dir, NULL);
    emk_os_close(dir);
    (void)!emk_os_folder_remove(part, NULL);
}

emk_status emk_tile_write(const char *dir, const emk_tile *t, emk_span bytes, emk_error *e)
{
    char rel[EMK_TILE_PATH_MAX], path[PATH_CAP], name[PATH_CAP];
    emk_status st;
    int fd = -1;

    emk_tile_path(t, rel);
    st = emk_os_join(path, sizeof path - 32, dir, rel, "", e);
    if (st == EMK_OK)
        st = create_beside(path, strlen(dir), &fd, name, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_at(fd, 0, bytes.p, bytes.len, e);
    emk_os_close(fd);
    if (st == EMK_OK)
        st = emk_os_rename(name, path, e);
    if (st != EMK_OK)
        (void)!emk_os_discard(name, NULL);
    else if (t->width == EMK_TILE_WIDTH)
        drop_partial(path);
    return st;
}

emk_status emk_tile_read(const char *dir, const emk_tile *t, emk_buf *out, emk_error *e)
{
    size_t max = t->level == EMK_TILE_ENTRIES ? EMK_TILE_BUNDLE_MAX
                                              : (size_t)EMK_TILE_WIDTH * EMK_TREE_HASH_LEN;
    char rel[EMK_TILE_PATH_MAX], path[PATH_CAP];
    emk_status st;

    emk_tile_path(t, rel);
    st = emk_os_join(path, sizeof path, dir, rel, "", e);
    return st == EMK_OK ? emk_os_read_file(path, max, out, e) : st;
}

emk_status emk_tile_subtree(emk_sha256_ctx *h, const emk_tree_hash *hashes, unsigned height,
                            emk_tree_hash *out, emk_error *e)
{
    emk_tree_hash work[EMK_TILE_WIDTH];

    memcpy(work, hashes, sizeof work[0] << height);
    for (size_t n = (size_t)1 << height; n > 1; n /= 2) {
        for (size_t i = 0; i < n / 2; i++) {
            emk_status st = emk_tree_node(h, &work[2 * i], &work[2 * i + 1], &work[i], e);

            if (st != EMK_OK)
                return st;
        }
    }
    *out = work[0];
    return EMK_OK;
}

void emk_tile_reader_init(emk_tile_reader *r, const char *dir, emk_sha256_ctx *h, uint64_t size)
{
    r->dir = dir;
    r->h = h;
    r->size = size;
    r->have = (emk_tile){0};
}

static emk_status load_tile(emk_tile_reader *r, emk_tile t, emk_error *e)
{
    emk_buf bytes;
    emk_status st;

    t.width = emk_tile_width(r->size, t.level, t.index);
    if (r->have.width == t.width && r->have.level == t.level && r->have.index == t.index)
        return EMK_OK;
    if (t.width == 0)
        return emk_fail(e, EMK_E_USAGE, "journal: beyond the tree", t.index);
    emk_buf_init(&bytes, (size_t)EMK_TILE_WIDTH * EMK_TREE_HASH_LEN);
    r->have.width = 0;
    st = emk_tile_read(r->dir, &t, &bytes, e);
    if (st == EMK_OK && bytes.len != (size_t)t.width * EMK_TREE_HASH_LEN)
        st = emk_fail(e, EMK_E_FORMAT, "journal: length of a tile", t.index);
    if (st == EMK_OK) {
        memcpy(r->hashes, bytes.p, bytes.len);
        r->have = t;
    }
    emk_buf_done(&bytes);
    return st;
}

emk_status emk_tile_reader_get(void *self, unsigned level, uint64_t index, emk_tree_hash *out,
                               emk_error *e)
{
    emk_tile_reader *r = self;
    unsigned height = level % EMK_TILE_HEIGHT;
    uint64_t first = index << height;
    emk_tile t = {.level = level / EMK_TILE_HEIGHT, .index = first / EMK_TILE_WIDTH};
    emk_status st = load_tile(r, t, e);

    if (st != EMK_OK)
        return st;
    first %= EMK_TILE_WIDTH;
    if (first + ((uint64_t)1 << height) > r->have.width)
        return emk_fail(e, EMK_E_USAGE, "journal: beyond the tree", index);
    return emk_tile_subtree(r->h, &r->hashes[first], height, out, e);
}
