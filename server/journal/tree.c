#include "server/journal/tree.h"

#include "core/base/status.h"

#include <string.h>

static emk_status hash3(emk_sha256_ctx *h, uint8_t prefix, emk_span a, emk_span b,
                        emk_tree_hash *out, emk_error *e)
{
    emk_status st = emk_sha256_ctx_reset(h, e);

    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, emk_span_of(&prefix, 1), e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, a, e);
    if (st == EMK_OK && b.len)
        st = emk_sha256_ctx_update(h, b, e);
    return st == EMK_OK ? emk_sha256_ctx_finish(h, out->b, e) : st;
}

emk_status emk_tree_leaf(emk_sha256_ctx *h, emk_span leaf, emk_tree_hash *out, emk_error *e)
{
    return hash3(h, 0, leaf, emk_span_of(NULL, 0), out, e);
}

emk_status emk_tree_node(emk_sha256_ctx *h, const emk_tree_hash *left, const emk_tree_hash *right,
                         emk_tree_hash *out, emk_error *e)
{
    return hash3(h, 1, emk_span_of(left->b, EMK_TREE_HASH_LEN),
                 emk_span_of(right->b, EMK_TREE_HASH_LEN), out, e);
}

static bool hashes_equal(const emk_tree_hash *a, const emk_tree_hash *b)
{
    return memcmp(a->b, b->b, EMK_TREE_HASH_LEN) == 0;
}

static size_t count_bits(uint64_t v)
{
    size_t n = 0;

    for (; v; v &= v - 1)
        n++;
    return n;
}

emk_status emk_tree_append(emk_sha256_ctx *h, emk_tree *t, const emk_tree_hash *leaf, emk_error *e)
{
    size_t n = count_bits(t->size);
    emk_tree_hash cur = *leaf;

    for (uint64_t bits = t->size; bits & 1; bits >>= 1) {
        emk_status st = emk_tree_node(h, &t->edge[n - 1], &cur, &cur, e);

        if (st != EMK_OK)
            return st;
        n--;
    }
    t->edge[n] = cur;
    t->size++;
    return EMK_OK;
}

/* The hashes of neighbouring subtrees, large to small, folded into one. */
static emk_status fold(emk_sha256_ctx *h, const emk_tree_hash *edge, size_t n, emk_tree_hash *out,
                       emk_error *e)
{
    emk_tree_hash cur = edge[n - 1];

    for (size_t i = n - 1; i > 0; i--) {
        emk_status st = emk_tree_node(h, &edge[i - 1], &cur, &cur, e);

        if (st != EMK_OK)
            return st;
    }
    *out = cur;
    return EMK_OK;
}

emk_status emk_tree_root(emk_sha256_ctx *h, const emk_tree *t, emk_tree_hash *root, emk_error *e)
{
    emk_status st;

    if (t->size)
        return fold(h, t->edge, count_bits(t->size), root, e);
    st = emk_sha256_ctx_reset(h, e);
    return st == EMK_OK ? emk_sha256_ctx_finish(h, root->b, e) : st;
}

/* ---- verifying ---- */

/* Where a proof's walk from a leaf to the root is: `at` the node, `last` the last node of its
 * level.  [RFC 9162 2.1.3.2] */
typedef struct walk {
    uint64_t at, last;
} walk;

static void walk_up(walk *w)
{
    w->at >>= 1;
    w->last >>= 1;
}

/* True when the next hash of the proof stands on the left. */
static bool walk_left(walk *w)
{
    if (!(w->at & 1) && w->at != w->last)
        return false;
    while (!(w->at & 1) && w->at != 0)
        walk_up(w);
    return true;
}

emk_status emk_tree_verify_inclusion(emk_sha256_ctx *h, const emk_tree_head *head, uint64_t index,
                                     const emk_tree_hash *leaf, const emk_tree_proof *proof,
                                     emk_error *e)
{
    emk_tree_hash r = *leaf;
    walk w;

    if (index >= head->size)
        return emk_fail(e, EMK_E_FORMAT, "tree: no such leaf", index);
    if (proof->n > EMK_TREE_PROOF_MAX)
        return emk_fail(e, EMK_E_FORMAT, "tree: length of a proof", proof->n);
    w = (walk){index, head->size - 1};
    for (size_t i = 0; i < proof->n; i++) {
        bool left;
        emk_status st;

        if (w.last == 0)
            return emk_fail(e, EMK_E_FORMAT, "tree: the proof is too long", i);
        left = walk_left(&w);
        st = left ? emk_tree_node(h, &proof->hash[i], &r, &r, e)
                  : emk_tree_node(h, &r, &proof->hash[i], &r, e);
        if (st != EMK_OK)
            return st;
        walk_up(&w);
    }
    if (w.last != 0)
        return emk_fail(e, EMK_E_FORMAT, "tree: the proof is too short", proof->n);
    if (!hashes_equal(&r, &head->root))
        return emk_fail(e, EMK_E_SEALED, "tree: not in this tree", index);
    return EMK_OK;
}

static emk_status climb(emk_sha256_ctx *h, walk *w, const emk_tree_hash *c, emk_tree_head *old,
                        emk_tree_head *now, emk_error *e)
{
    emk_status st = EMK_OK;

    if (w->last == 0)
        return emk_fail(e, EMK_E_FORMAT, "tree: the proof is too long", 0);
    if (walk_left(w)) {
        st = emk_tree_node(h, c, &old->root, &old->root, e);
        if (st == EMK_OK)
            st = emk_tree_node(h, c, &now->root, &now->root, e);
    } else {
        st = emk_tree_node(h, &now->root, c, &now->root, e);
    }
    walk_up(w);
    return st;
}

static emk_status verify_growth(emk_sha256_ctx *h, const emk_tree_head *old,
                                const emk_tree_head *now, const emk_tree_proof *proof, emk_error *e)
{
    bool power = (old->size & (old->size - 1)) == 0;
    size_t i = power ? 0 : 1;
    walk w = {old->size - 1, now->size - 1};
    emk_tree_head o, n;

    if (proof->n == 0)
        return emk_fail(e, EMK_E_FORMAT, "tree: an empty proof", 0);
    while (w.at & 1)
        walk_up(&w);
    o.root = n.root = power ? old->root : proof->hash[0];
    for (; i < proof->n; i++) {
        emk_status st = climb(h, &w, &proof->hash[i], &o, &n, e);

        if (st != EMK_OK)
            return st;
    }
    if (w.last != 0)
        return emk_fail(e, EMK_E_FORMAT, "tree: the proof is too short", proof->n);
    if (!hashes_equal(&o.root, &old->root) || !hashes_equal(&n.root, &now->root))
        return emk_fail(e, EMK_E_SEALED, "tree: not a continuation of the other", old->size);
    return EMK_OK;
}

emk_status emk_tree_verify_consistency(emk_sha256_ctx *h, const emk_tree_head *old,
                                       const emk_tree_head *now, const emk_tree_proof *proof,
                                       emk_error *e)
{
    if (old->size == 0 || old->size > now->size)
        return emk_fail(e, EMK_E_FORMAT, "tree: sizes", old->size);
    if (proof->n > EMK_TREE_PROOF_MAX)
        return emk_fail(e, EMK_E_FORMAT, "tree: length of a proof", proof->n);
    if (old->size < now->size)
        return verify_growth(h, old, now, proof, e);
    if (proof->n != 0)
        return emk_fail(e, EMK_E_FORMAT, "tree: the proof is too long", proof->n);
    if (!hashes_equal(&old->root, &now->root))
        return emk_fail(e, EMK_E_SEALED, "tree: two trees of one size", old->size);
    return EMK_OK;
}

/* ---- making ---- */

/* Largest power of two below n (n > 1). */
static uint64_t split(uint64_t n)
{
    uint64_t k = 1;

    while (k < n - k)
        k *= 2;
    return k;
}

static unsigned log2_of(uint64_t power)
{
    unsigned level = 0;

    while (power >>= 1)
        level++;
    return level;
}

/* Fills edge with the perfect subtrees that [begin, end) consists of; begin is where one of the
 * largest of them may begin.  Returns through *n how many. */
static emk_status load_edge(const emk_tree_source *s, uint64_t begin, uint64_t end,
                            emk_tree_hash *edge, size_t *n, emk_error *e)
{
    size_t k = 0;

    for (uint64_t bit = UINT64_C(1) << 63; bit; bit >>= 1) {
        unsigned level = log2_of(bit);
        emk_status st;

        if (!((end - begin) & bit))
            continue;
        st = s->get(s->self, level, begin >> level, &edge[k++], e);
        if (st != EMK_OK)
            return st;
        begin += bit;
    }
    *n = k;
    return EMK_OK;
}

static emk_status range_hash(emk_sha256_ctx *h, const emk_tree_source *s, uint64_t begin,
                             uint64_t end, emk_tree_hash *out, emk_error *e)
{
    emk_tree_hash edge[64];
    size_t n = 0;
    emk_status st = load_edge(s, begin, end, edge, &n, e);

    return st == EMK_OK ? fold(h, edge, n, out, e) : st;
}

static void reverse(emk_tree_proof *p)
{
    for (size_t i = 0; i < p->n / 2; i++) {
        emk_tree_hash t = p->hash[i];

        p->hash[i] = p->hash[p->n - 1 - i];
        p->hash[p->n - 1 - i] = t;
    }
}

emk_status emk_tree_prove_inclusion(emk_sha256_ctx *h, const emk_tree_source *s, uint64_t index,
                                    emk_tree_proof *out, emk_error *e)
{
    uint64_t begin = 0, end = s->size;
    emk_tree_proof p = {0};

    if (index >= s->size)
        return emk_fail(e, EMK_E_USAGE, "tree: no such leaf", index);
    while (end - begin > 1) {
        uint64_t middle = begin + split(end - begin);
        bool left = index < middle;
        emk_status st = left ? range_hash(h, s, middle, end, &p.hash[p.n++], e)
                             : range_hash(h, s, begin, middle, &p.hash[p.n++], e);

        if (st != EMK_OK)
            return st;
        if (left)
            end = middle;
        else
            begin = middle;
    }
    reverse(&p);
    *out = p;
    return EMK_OK;
}

emk_status emk_tree_prove_consistency(emk_sha256_ctx *h, const emk_tree_source *s,
                                      uint64_t old_size, emk_tree_proof *out, emk_error *e)
{
    uint64_t begin = 0, end = s->size;
    emk_tree_proof p = {0};
    emk_status st = EMK_OK;

    if (old_size == 0 || old_size > s->size)
        return emk_fail(e, EMK_E_USAGE, "tree: sizes", old_size);
    while (st == EMK_OK && old_size != end) {
        uint64_t middle = begin + split(end - begin);
        bool left = old_size <= middle;

        st = left ? range_hash(h, s, middle, end, &p.hash[p.n++], e)
                  : range_hash(h, s, begin, middle, &p.hash[p.n++], e);
        if (left)
            end = middle;
        else
            begin = middle;
    }
    if (st == EMK_OK && begin != 0) /* else it is the old root, which the verifier has */
        st = range_hash(h, s, begin, end, &p.hash[p.n++], e);
    if (st != EMK_OK)
        return st;
    reverse(&p);
    *out = p;
    return EMK_OK;
}

emk_status emk_tree_load(const emk_tree_source *s, emk_tree *out, emk_error *e)
{
    emk_tree t = {.size = s->size};
    size_t n = 0;
    emk_status st = load_edge(s, 0, s->size, t.edge, &n, e);

    if (st == EMK_OK)
        *out = t;
    return st;
}
