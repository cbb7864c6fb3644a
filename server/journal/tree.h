/* The Merkle tree of RFC 6962: hashes, roots, and proofs of inclusion and consistency. */
#ifndef EMK_SERVER_JOURNAL_TREE_H
#define EMK_SERVER_JOURNAL_TREE_H

#include "core/crypto/hash.h"

#define EMK_TREE_HASH_LEN  32u
#define EMK_TREE_PROOF_MAX 64u /* hashes in a proof */

typedef struct emk_tree_hash {
    uint8_t b[EMK_TREE_HASH_LEN];
} emk_tree_hash;

/* SHA-256(0x00 || leaf) and SHA-256(0x01 || left || right).  [RFC 6962 2.1]  Fill *out. */
emk_status emk_tree_leaf(emk_sha256_ctx *h, emk_span leaf, emk_tree_hash *out,
                         emk_error *e) EMK_MUST_CHECK;
emk_status emk_tree_node(emk_sha256_ctx *h, const emk_tree_hash *left, const emk_tree_hash *right,
                         emk_tree_hash *out, emk_error *e) EMK_MUST_CHECK;

/* A tree of any size as the roots of its perfect subtrees, largest first: all that is needed to
 * append to it and to tell its root. */
typedef struct emk_tree {
    uint64_t size;
    emk_tree_hash edge[64]; /* popcount(size) of them */
} emk_tree;

/* Appends a leaf's hash.  EMK_E_CRYPTO; then t is unchanged. */
emk_status emk_tree_append(emk_sha256_ctx *h, emk_tree *t, const emk_tree_hash *leaf,
                           emk_error *e) EMK_MUST_CHECK;
/* Fills *root; of an empty tree SHA-256 of nothing. */
emk_status emk_tree_root(emk_sha256_ctx *h, const emk_tree *t, emk_tree_hash *root,
                         emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tree_proof {
    size_t n;
    emk_tree_hash hash[EMK_TREE_PROOF_MAX];
} emk_tree_proof;

/* What a tree is said to be. */
typedef struct emk_tree_head {
    uint64_t size;
    emk_tree_hash root;
} emk_tree_head;

/* EMK_OK when `leaf` is number `index` in the tree `head`.  [RFC 9162 2.1.3.2]  EMK_E_SEALED when
 * the proof does not show that, EMK_E_FORMAT when it cannot be a proof of this. */
emk_status emk_tree_verify_inclusion(emk_sha256_ctx *h, const emk_tree_head *head, uint64_t index,
                                     const emk_tree_hash *leaf, const emk_tree_proof *proof,
                                     emk_error *e) EMK_MUST_CHECK;
/* EMK_OK when the tree `old` is a beginning of the tree `now`.  [RFC 9162 2.1.4.2]  Two trees of
 * one size need an empty proof; with an empty `old` nothing is shown: EMK_E_FORMAT.  Statuses as
 * above. */
emk_status emk_tree_verify_consistency(emk_sha256_ctx *h, const emk_tree_head *old,
                                       const emk_tree_head *now, const emk_tree_proof *proof,
                                       emk_error *e) EMK_MUST_CHECK;

/* Tells the hash of the perfect subtree number `index` at `level` (0: leaves): what a tile has. */
typedef emk_status (*emk_tree_get_fn)(void *self, unsigned level, uint64_t index,
                                      emk_tree_hash *out, emk_error *e);

/* Makes proofs, and the edge of a tree, from stored hashes.  EMK_E_USAGE for an index or size
 * outside the tree; what `get` says. */
typedef struct emk_tree_source {
    emk_tree_get_fn get;
    void *self;
    uint64_t size; /* of the tree */
} emk_tree_source;

emk_status emk_tree_prove_inclusion(emk_sha256_ctx *h, const emk_tree_source *s, uint64_t index,
                                    emk_tree_proof *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_tree_prove_consistency(emk_sha256_ctx *h, const emk_tree_source *s,
                                      uint64_t old_size, emk_tree_proof *out,
                                      emk_error *e) EMK_MUST_CHECK;
/* Fills *out with the tree of s->size leaves. */
emk_status emk_tree_load(const emk_tree_source *s, emk_tree *out, emk_error *e) EMK_MUST_CHECK;

#endif
