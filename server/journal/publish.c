/* From durable entries to tiles and checkpoints.
 *
 * Tiles and bundles are not synced one by one: the log files they were made from stay until all
 * was synced at once, and after a power cut they are made again. */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "server/journal/internal.h"

#include <string.h>

void emk_chunk_free(emk_chunk *c)
{
    while (c) {
        emk_chunk *next = c->next;

        emk_buf_done(&c->frames);
        emk_free(c);
        c = next;
    }
}

/* ---- the edge ---- */

static emk_span tile_bytes(const emk_publisher *p, unsigned level)
{
    return emk_span_of(p->tile[level], (size_t)p->n[level] * EMK_TREE_HASH_LEN);
}

static uint64_t tile_index(const emk_publisher *p, unsigned level)
{
    /* A full one counts already in the size: it is the one before. */
    uint64_t nodes = p->size >> EMK_TILE_HEIGHT * level;

    return p->n[level] == EMK_TILE_WIDTH ? nodes / EMK_TILE_WIDTH - 1 : nodes / EMK_TILE_WIDTH;
}

/* Writes the full tile of this level and puts its hash into the level above, which has room. */
static emk_status flush_level(emk_publisher *p, unsigned level, emk_error *e)
{
    emk_tile t = {level, tile_index(p, level), EMK_TILE_WIDTH};
    emk_tree_hash up;
    emk_status st = EMK_OK;

    if (level == 0) {
        emk_tile bundle = {EMK_TILE_ENTRIES, t.index, EMK_TILE_WIDTH};

        st = p->put(p->put_self, &bundle, emk_buf_span(&p->bundle), e);
    }
    if (st == EMK_OK)
        st = p->put(p->put_self, &t, tile_bytes(p, level), e);
    if (st == EMK_OK)
        st = emk_tile_subtree(p->sha, p->tile[level], EMK_TILE_HEIGHT, &up, e);
    if (st != EMK_OK)
        return st;
    if (level + 1 < EMK_TILE_LEVELS)
        p->tile[level + 1][p->n[level + 1]++] = up;
    p->n[level] = 0;
    if (level == 0)
        p->bundle.len = 0;
    return EMK_OK;
}

/* The highest level that is full, so that there is room for what comes from below; -1: none. */
static int full_level(const emk_publisher *p)
{
    for (int level = (int)EMK_TILE_LEVELS - 1; level >= 0; level--) {
        if (p->n[level] == EMK_TILE_WIDTH)
            return level;
    }
    return -1;
}

emk_status emk_publish_entry(emk_publisher *p, emk_span leaf, emk_span entry, emk_error *e)
{
    uint8_t len[2];
    emk_status st;

    emk_store_u16be(len, (uint16_t)entry.len);
    st = emk_buf_append(&p->bundle, emk_span_of(len, 2), e);
    if (st != EMK_OK)
        return st;
    st = emk_buf_append(&p->bundle, entry, e);
    if (st != EMK_OK) {
        p->bundle.len -= sizeof len;
        return st;
    }
    memcpy(p->tile[0][p->n[0]++].b, leaf.p, EMK_TREE_HASH_LEN);
    p->size++;
    return EMK_OK;
}

emk_status emk_publish_full(emk_publisher *p, emk_error *e)
{
    emk_status st = EMK_OK;
    int level;

    while (st == EMK_OK && (level = full_level(p)) >= 0)
        st = flush_level(p, (unsigned)level, e);
    return st;
}

static emk_status take_frame(emk_publisher *p, emk_chunk *c, emk_error *e)
{
    emk_span leaf, entry;
    size_t at = c->at;
    emk_status st;

    if (!emk_log_frame(emk_buf_span(&c->frames), &at, &leaf, &entry))
        return emk_fail(e, EMK_E_FORMAT, "journal: a frame of our own", c->at);
    st = emk_publish_entry(p, leaf, entry, e);
    if (st == EMK_OK)
        c->at = at;
    return st;
}

emk_status emk_publish_work(emk_publisher *p, emk_error *e)
{
    emk_status st = emk_publish_full(p, e);

    while (st == EMK_OK && p->work) {
        emk_chunk *c = p->work;

        if (c->at == c->frames.len) {
            p->work = c->next;
            c->next = NULL;
            emk_chunk_free(c);
            continue;
        }
        st = take_frame(p, c, e);
        if (st == EMK_OK)
            st = emk_publish_full(p, e);
    }
    return st;
}

emk_status emk_publish_edge(emk_publisher *p, emk_error *e)
{
    emk_status st = EMK_OK;

    for (unsigned level = 0; level < EMK_TILE_LEVELS && st == EMK_OK; level++) {
        emk_tile t = {level, tile_index(p, level), p->n[level]};

        if (t.width == 0)
            continue;
        st = p->put(p->put_self, &t, tile_bytes(p, level), e);
        t.level = EMK_TILE_ENTRIES;
        if (st == EMK_OK && level == 0)
            st = p->put(p->put_self, &t, emk_buf_span(&p->bundle), e);
    }
    return st;
}

static emk_status load_full(emk_publisher *p, const char *dir, emk_tile t, emk_tree_hash *out,
                            emk_error *e)
{
    emk_tree_hash hashes[EMK_TILE_WIDTH];
    emk_buf bytes;
    emk_status st;

    emk_buf_init(&bytes, sizeof hashes);
    st = emk_tile_read(dir, &t, &bytes, e);
    if (st == EMK_OK && bytes.len != sizeof hashes)
        st = emk_fail(e, EMK_E_FORMAT, "journal: length of a tile", t.index);
    if (st == EMK_OK) {
        memcpy(hashes, bytes.p, sizeof hashes);
        st = emk_tile_subtree(p->sha, hashes, EMK_TILE_HEIGHT, out, e);
    }
    emk_buf_done(&bytes);
    return st;
}

emk_status emk_publish_load(emk_publisher *p, const char *dir, uint64_t size, emk_error *e)
{
    p->size = size;
    for (unsigned level = 1; level < EMK_TILE_LEVELS; level++) {
        uint64_t nodes = size >> EMK_TILE_HEIGHT * level;
        unsigned n = (unsigned)(nodes % EMK_TILE_WIDTH);

        for (unsigned i = 0; i < n; i++) {
            emk_tile t = {level - 1, nodes - n + i, EMK_TILE_WIDTH};
            emk_status st = load_full(p, dir, t, &p->tile[level][i], e);

            if (st != EMK_OK)
                return st;
        }
        p->n[level] = n;
    }
    return EMK_OK;
}

/* ---- roots ---- */

/* The perfect subtrees of the tree are found in the tiles of the edge, large to small. */
emk_status emk_publish_root(emk_publisher *p, emk_tree_hash *out, emk_error *e)
{
    emk_tree t = {.size = p->size};
    size_t n = 0;

    for (unsigned level = EMK_TILE_LEVELS; level > 0; level--) {
        unsigned at = 0;

        for (unsigned height = EMK_TILE_HEIGHT; height > 0; height--) {
            unsigned width = 1u << (height - 1);
            emk_status st;

            if (!(p->n[level - 1] & width))
                continue;
            st = emk_tile_subtree(p->sha, &p->tile[level - 1][at], height - 1, &t.edge[n++], e);
            if (st != EMK_OK)
                return st;
            at += width;
        }
    }
    return emk_tree_root(p->sha, &t, out, e);
}

emk_status emk_publish_root_at(emk_publisher *p, const char *dir, uint64_t size, emk_tree_hash *out,
                               emk_error *e)
{
    emk_tile_reader *r = emk_alloc(1, sizeof *r);
    emk_tree_source s = {emk_tile_reader_get, r, size};
    emk_tree t = {0};
    emk_status st;

    if (!r)
        return emk_fail(e, EMK_E_NO_MEMORY, "journal: memory", sizeof *r);
    emk_tile_reader_init(r, dir, p->sha, p->size);
    st = emk_tree_load(&s, &t, e);
    if (st == EMK_OK)
        st = emk_tree_root(p->sha, &t, out, e);
    emk_free(r);
    return st;
}

/* Never sign what does not continue what was signed before: the proof is made from the files as
 * they are now, and held against both roots as an auditor would. */
static emk_status check_growth(emk_publisher *p, const char *dir, const emk_tree_head *now,
                               emk_error *e)
{
    emk_tile_reader *r;
    emk_tree_proof *proof;
    emk_status st = EMK_OK;

    if (p->last.size == 0)
        return EMK_OK;
    r = emk_alloc(1, sizeof *r);
    proof = emk_alloc(1, sizeof *proof);
    if (!r || !proof)
        st = emk_fail(e, EMK_E_NO_MEMORY, "journal: memory", sizeof *r);
    if (st == EMK_OK) {
        emk_tree_source s = {emk_tile_reader_get, r, now->size};

        emk_tile_reader_init(r, dir, p->sha, now->size);
        st = emk_tree_prove_consistency(p->sha, &s, p->last.size, proof, e);
    }
    if (st == EMK_OK)
        st = emk_tree_verify_consistency(p->sha, &p->last, now, proof, e);
    emk_free(r);
    emk_free(proof);
    if (st == EMK_E_FORMAT || st == EMK_E_NOT_FOUND)
        st = emk_fail(e, EMK_E_SEALED, "journal: the published files are damaged", now->size);
    return st;
}

/* ---- checkpoints ---- */

static emk_status sign_head(emk_journal *j, const emk_tree_head *head, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    emk_buf note;
    emk_status st;

    emk_buf_init(&note, EMK_NOTE_MAX);
    st = emk_os_join(path, sizeof path, j->o.dir, "checkpoint", "", e);
    if (st == EMK_OK)
        st = emk_checkpoint_sign(&j->key, j->o.sign, j->o.sign_self, head, &note, e);
    if (st == EMK_OK) {
        emk_tree_head seen;

        /* A keyholder with another key would make a log that nobody can check. */
        st = emk_checkpoint_verify(j->c, &j->key, emk_buf_span(&note), &seen, e);
    }
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_buf_span(&note), e);
    emk_buf_done(&note);
    return st;
}

/* Drops log files all of whose entries are in tiles that are synced and full. */
static emk_status drop_logs(emk_journal *j, emk_error *e)
{
    emk_log_files files = {0};
    emk_status st = emk_os_sync_all(j->chain_fd, e);
    size_t keep = 0;

    if (st == EMK_OK)
        st = emk_log_list(j->o.dir, &files, e);
    for (size_t i = 0; i < files.n; i++) {
        uint64_t base = (files.first[i] + EMK_TILE_WIDTH - 1) / EMK_TILE_WIDTH * EMK_TILE_WIDTH;

        if (base <= j->pub.size)
            keep = i;
    }
    for (size_t i = 0; i < keep && st == EMK_OK; i++) {
        char path[EMK_LOG_PATH_CAP];

        st = emk_log_path(j->o.dir, files.first[i], path, e);
        if (st == EMK_OK)
            st = emk_os_remove(path, e);
    }
    emk_free(files.first);
    return st;
}

emk_status emk_publish_fresh(emk_journal *j, emk_error *e)
{
    emk_chunk **end = &j->pub.work;

    while (*end)
        end = &(*end)->next;
    emk_lock_take(j->lock);
    *end = j->fresh;
    j->fresh = NULL;
    j->fresh_last = &j->fresh;
    j->fresh_len = 0;
    emk_lock_give(j->lock);
    return emk_publish_work(&j->pub, e);
}

static emk_status publish_locked(emk_journal *j, emk_error *e)
{
    emk_publisher *p = &j->pub;
    emk_tree_head now = {0};
    emk_status st = emk_publish_fresh(j, e);

    if (st != EMK_OK || p->size == p->last.size)
        return st;
    now.size = p->size;
    st = emk_publish_edge(p, e);
    if (st == EMK_OK)
        st = emk_publish_root(p, &now.root, e);
    if (st == EMK_OK)
        st = check_growth(p, j->o.dir, &now, e);
    if (st == EMK_OK)
        st = sign_head(j, &now, e);
    if (st == EMK_OK)
        p->last = now;
    return st;
}

emk_status emk_journal_checkpoint(emk_journal *j, emk_error *e)
{
    bool rotated;
    emk_status st;

    emk_lock_take(j->pub.lock);
    st = publish_locked(j, e);
    emk_lock_take(j->lock);
    j->state.signing = st == EMK_OK;
    if (st == EMK_OK) {
        j->state.checkpoint_size = j->pub.last.size;
        j->checkpoint_at_ms = emk_os_monotonic_ns() / 1000000u;
    }
    rotated = j->rotated && st == EMK_OK;
    emk_lock_give(j->lock);
    if (rotated) {
        st = drop_logs(j, e);
        emk_lock_take(j->lock);
        j->rotated = st != EMK_OK;
        emk_lock_give(j->lock);
    }
    emk_lock_give(j->pub.lock);
    return st;
}
