/* Proofs: made and verified for all trees up to a size, and the vectors of RFC 6962 proofs. */
#include "core/base/buf.h"
#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "server/journal/note_base64.h"
#include "server/journal/tree.h"
#include "tests/support/test.h"

#include <string.h>

#define LEAVES 70u

typedef struct forest {
    emk_crypto *c;
    emk_sha256_ctx *h;
    emk_tree_hash leaf[LEAVES];
    emk_tree_hash root[LEAVES + 1];
} forest;

/* A perfect subtree by the definition, without anything stored. */
static emk_status get(void *self, unsigned level, uint64_t index, emk_tree_hash *out, emk_error *e)
{
    forest *f = self;
    emk_tree_hash work[128];
    size_t n = (size_t)1 << level;

    assert_true(level < 7 && (index + 1) << level <= LEAVES);
    memcpy(work, &f->leaf[index << level], n * sizeof work[0]);
    for (; n > 1; n /= 2) {
        for (size_t i = 0; i < n / 2; i++)
            assert_ok(emk_tree_node(f->h, &work[2 * i], &work[2 * i + 1], &work[i], e), e);
    }
    *out = work[0];
    return EMK_OK;
}

static int setup(void **state)
{
    static forest f;
    emk_tree t = {0};
    emk_error e = {0};

    assert_ok(emk_crypto_new(NULL, NULL, &f.c, &e), &e);
    assert_ok(emk_sha256_ctx_new(f.c, &f.h, &e), &e);
    for (uint8_t i = 0; i < LEAVES; i++) {
        assert_ok(emk_tree_root(f.h, &t, &f.root[i], &e), &e);
        assert_ok(emk_tree_leaf(f.h, emk_span_of(&i, 1), &f.leaf[i], &e), &e);
        assert_ok(emk_tree_append(f.h, &t, &f.leaf[i], &e), &e);
    }
    assert_ok(emk_tree_root(f.h, &t, &f.root[LEAVES], &e), &e);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    forest *f = *state;

    emk_sha256_ctx_free(f->h);
    emk_crypto_free(f->c);
    return 0;
}

static void empty_tree_is_the_hash_of_nothing(void **state)
{
    forest *f = *state;
    uint8_t want[32];

    emk_unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want, 32);
    assert_bytes(emk_span_of(f->root[0].b, 32), emk_span_of(want, 32));
}

static void proves_every_leaf_of_every_tree(void **state)
{
    forest *f = *state;
    emk_error e = {0};

    for (uint64_t size = 1; size <= LEAVES; size++) {
        emk_tree_source s = {get, f, size};
        emk_tree_head head = {size, f->root[size]};

        for (uint64_t i = 0; i < size; i++) {
            emk_tree_proof p;
            uint64_t other = (i + 1) % size;

            assert_ok(emk_tree_prove_inclusion(f->h, &s, i, &p, &e), &e);
            assert_ok(emk_tree_verify_inclusion(f->h, &head, i, &f->leaf[i], &p, &e), &e);
            if (size > 1)
                assert_int_not_equal(
                    emk_tree_verify_inclusion(f->h, &head, other, &f->leaf[i], &p, &e), EMK_OK);
        }
    }
}

static void proves_every_growth(void **state)
{
    forest *f = *state;
    emk_error e = {0};

    for (uint64_t size = 1; size <= LEAVES; size++) {
        emk_tree_source s = {get, f, size};
        emk_tree_head now = {size, f->root[size]};

        for (uint64_t old = 1; old <= size; old++) {
            emk_tree_head before = {old, f->root[old]};
            emk_tree_proof p;

            assert_ok(emk_tree_prove_consistency(f->h, &s, old, &p, &e), &e);
            assert_ok(emk_tree_verify_consistency(f->h, &before, &now, &p, &e), &e);
            before.root.b[3] ^= 1;
            assert_int_not_equal(emk_tree_verify_consistency(f->h, &before, &now, &p, &e), EMK_OK);
        }
    }
}

static void loads_the_edge_of_any_tree(void **state)
{
    forest *f = *state;
    emk_error e = {0};

    for (uint64_t size = 0; size <= LEAVES; size++) {
        emk_tree_source s = {get, f, size};
        emk_tree_hash root;
        emk_tree t;

        assert_ok(emk_tree_load(&s, &t, &e), &e);
        assert_ok(emk_tree_root(f->h, &t, &root, &e), &e);
        assert_bytes(emk_span_of(root.b, 32), emk_span_of(f->root[size].b, 32));
    }
}

static void rejects_proofs_outside_the_tree(void **state)
{
    forest *f = *state;
    emk_tree_source s = {get, f, 8};
    emk_tree_head head = {8, f->root[8]}, none = {0, f->root[0]};
    emk_tree_proof p;
    emk_error e = {0};

    assert_status(emk_tree_prove_inclusion(f->h, &s, 8, &p, &e), EMK_E_USAGE, &e);
    assert_status(emk_tree_prove_consistency(f->h, &s, 0, &p, &e), EMK_E_USAGE, &e);
    assert_status(emk_tree_prove_consistency(f->h, &s, 9, &p, &e), EMK_E_USAGE, &e);
    assert_ok(emk_tree_prove_inclusion(f->h, &s, 3, &p, &e), &e);
    assert_status(emk_tree_verify_inclusion(f->h, &head, 8, &f->leaf[3], &p, &e), EMK_E_FORMAT, &e);
    p.n++;
    assert_status(emk_tree_verify_inclusion(f->h, &head, 3, &f->leaf[3], &p, &e), EMK_E_FORMAT, &e);
    p.n = 2;
    assert_status(emk_tree_verify_inclusion(f->h, &head, 3, &f->leaf[3], &p, &e), EMK_E_FORMAT, &e);
    p.n = EMK_TREE_PROOF_MAX + 1;
    assert_status(emk_tree_verify_inclusion(f->h, &head, 3, &f->leaf[3], &p, &e), EMK_E_FORMAT, &e);
    p.n = 0;
    assert_status(emk_tree_verify_consistency(f->h, &none, &head, &p, &e), EMK_E_FORMAT, &e);
}

/* ---- vectors ---- */

typedef struct vectors {
    forest *f;
    const char *dir;
    unsigned depth;
    size_t n_good, n_bad;
} vectors;

/* Where the value of a key begins; the files are flat and written by one program. */
static const char *value_of(const char *json, const char *key)
{
    char quoted[32];
    const char *p;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    p = strstr(json, quoted);
    assert_non_null(p);
    return p + strlen(quoted) + strspn(p + strlen(quoted), " \n");
}

static size_t quoted_bytes(const char **p, uint8_t *out, size_t cap)
{
    const char *end = strchr(*p + 1, '"');
    emk_span text = emk_span_of(*p + 1, (size_t)(end - *p) - 1);

    *p = end + 1;
    for (size_t len = 0; len <= cap; len++) {
        if (emk_note_base64_decode(text, out, len, NULL) == EMK_OK)
            return len;
    }
    return SIZE_MAX;
}

/* False when it is no hash: what a decoder in front of the verifier would refuse.  Roots of 12
 * bytes are let through, filled up: one good vector says with them that equal is equal. */
static bool read_hash(const char *json, const char *key, emk_tree_hash *out)
{
    const char *p = value_of(json, key);
    size_t len;

    memset(out, 0, sizeof *out);
    len = *p == '"' ? quoted_bytes(&p, out->b, sizeof out->b) : SIZE_MAX;
    return len == sizeof out->b || len == 12;
}

static bool read_proof(const char *json, emk_tree_proof *out)
{
    const char *p = value_of(json, "proof");
    bool fits = true;

    out->n = 0;
    if (*p != '[') /* null */
        return true;
    for (p++; *(p += strspn(p, " \n,")) == '"';) {
        assert_true(out->n < EMK_TREE_PROOF_MAX);
        fits &= quoted_bytes(&p, out->hash[out->n++].b, 32) == 32;
    }
    return fits;
}

static emk_status verify_inclusion(forest *f, const char *json, emk_error *e)
{
    emk_tree_head head;
    emk_tree_proof p;
    emk_tree_hash leaf;
    uint64_t index = strtoull(value_of(json, "leafIdx"), NULL, 10);

    head.size = strtoull(value_of(json, "treeSize"), NULL, 10);
    if (!read_hash(json, "root", &head.root) || !read_hash(json, "leafHash", &leaf) ||
        !read_proof(json, &p))
        return EMK_E_FORMAT;
    return emk_tree_verify_inclusion(f->h, &head, index, &leaf, &p, e);
}

static emk_status verify_consistency(forest *f, const char *json, emk_error *e)
{
    emk_tree_head old, now;
    emk_tree_proof p;

    old.size = strtoull(value_of(json, "size1"), NULL, 10);
    now.size = strtoull(value_of(json, "size2"), NULL, 10);
    if (!read_hash(json, "root1", &old.root) || !read_hash(json, "root2", &now.root) ||
        !read_proof(json, &p))
        return EMK_E_FORMAT;
    return emk_tree_verify_consistency(f->h, &old, &now, &p, e);
}

static void check_vector(vectors *v, const char *path, emk_error *e)
{
    emk_buf json;
    bool bad;
    emk_status st;

    emk_buf_init(&json, 1 << 20);
    assert_ok(emk_os_read_file(path, 1 << 20, &json, e), e);
    assert_ok(emk_buf_append(&json, emk_span_of("", 1), e), e);
    st = strstr((char *)json.p, "\"leafIdx\"") ? verify_inclusion(v->f, (char *)json.p, e)
                                               : verify_consistency(v->f, (char *)json.p, e);
    bad = strncmp(value_of((char *)json.p, "wantErr"), "true", 4) == 0;
    if (bad != (st != EMK_OK))
        fail_msg("%s: %s", path, emk_status_name(st));
    v->n_good += !bad;
    v->n_bad += bad;
    emk_buf_done(&json);
}

/* A vector, or a folder of them; three levels deep. */
static emk_status check_below(void *self, const char *name, emk_error *e)
{
    vectors *v = self, below = *v;
    char path[4096];
    emk_os_kind kind;

    snprintf(path, sizeof path, "%s/%s", v->dir, name);
    assert_ok(emk_os_path_kind(path, &kind, e), e);
    if (kind == EMK_OS_FILE) {
        check_vector(v, path, e);
        return EMK_OK;
    }
    assert_true(v->depth < 3);
    below.dir = path;
    below.depth++;
    assert_ok(emk_os_list_dir(path, check_below, &below, e), e);
    v->n_good = below.n_good;
    v->n_bad = below.n_bad;
    return EMK_OK;
}

static void agrees_with_the_vectors(void **state)
{
    static const char *const kinds[] = {"inclusion", "consistency"};
    vectors v = {.f = *state};
    emk_error e = {0};

    for (size_t i = 0; i < 2; i++) {
        char rel[64];
        char *dir;

        snprintf(rel, sizeof rel, "vectors/fraud/tlog/testdata/%s", kinds[i]);
        dir = emk_test_shared(rel);
        if (!dir)
            skip();
        v.dir = dir;
        assert_ok(emk_os_list_dir(dir, check_below, &v, &e), &e);
        free(dir);
    }
    print_message("tlog vectors: %zu good, %zu bad\n", v.n_good, v.n_bad);
    assert_true(v.n_good >= 2 && v.n_bad >= 2);
}

int main(void)
{
    const struct CMUnitTest rules[] = {
        emk_rule(empty_tree_is_the_hash_of_nothing),
        emk_rule(proves_every_leaf_of_every_tree),
        emk_rule(proves_every_growth),
        emk_rule(loads_the_edge_of_any_tree),
        emk_rule(rejects_proofs_outside_the_tree),
        emk_rule(agrees_with_the_vectors),
    };

    return cmocka_run_group_tests_name("tree", rules, setup, teardown);
}
