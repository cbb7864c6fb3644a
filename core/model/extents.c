#include "core/model/extents.h"

#define MASK_XOR  0xA5u /* changes every byte it meets */
#define FLAG_SEEN 0x80u /* check_stable met this range; never set outside it */
#define NO_LENGTH (EMK_TENSOR_TO_END | EMK_TENSOR_TO_NEXT)
#define CHAIN_MAX 64u /* names that fall together: by chance fewer than 20 of 2^20 */

void emk_extents_init(emk_extents *x, emk_tensor *v, uint32_t cap)
{
    x->v = v;
    x->cap = cap;
    x->n = 0;
    x->settled = false;
    x->added = 0;
    x->print = 0;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

/* Not against collisions made on purpose: the ranges themselves are compared exactly. */
static uint64_t print_of(uint64_t h, const emk_tensor *t)
{
    h = mix(h, t->offset);
    h = mix(h, t->length);
    h = mix(h, (uint64_t)t->part << 32 | t->name_len);
    h = mix(h, t->name_off);
    h = mix(h,
            (uint64_t)t->dtype << 24 | (uint64_t)t->kind << 16 | (uint64_t)t->rank << 8 | t->flags);
    for (uint32_t i = 0; i < t->rank && i < EMK_MODEL_DIMS_MAX; i++)
        h = mix(h, t->dims[i]);
    return h;
}

emk_status emk_extents_add(void *self, const emk_tensor *t, emk_error *e)
{
    emk_extents *x = self;

    if (x->n == x->cap)
        return emk_fail(e, EMK_E_LIMIT, "model: more tensors than there is room for", x->cap);
    x->settled = false;
    x->added++;
    x->print = print_of(x->print, t);
    x->v[x->n] = *t;
    x->v[x->n++].name_text = NULL; /* lent for this call only */
    return EMK_OK;
}

/* The order in a settled list; what follows offset and length only decides which of several
 * equal ranges is kept. */
static bool before(const emk_tensor *a, const emk_tensor *b)
{
    if (a->part != b->part)
        return a->part < b->part;
    if (a->offset != b->offset)
        return a->offset < b->offset;
    if (a->length != b->length)
        return a->length < b->length;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    return a->name_off < b->name_off;
}

static bool is_sorted(const emk_extents *x)
{
    for (uint32_t i = 1; i < x->n; i++) {
        if (before(&x->v[i], &x->v[i - 1]))
            return false;
    }
    return true;
}

/* Puts t into the heap of n entries at the free place i, or below it. */
static void sift_down(emk_tensor *v, uint32_t i, uint32_t n, const emk_tensor *t)
{
    while (n > 1 && i <= (n - 2) / 2) {
        uint32_t child = 2 * i + 1;

        if (child + 1 < n && before(&v[child], &v[child + 1]))
            child++;
        if (!before(t, &v[child]))
            break;
        v[i] = v[child];
        i = child;
    }
    v[i] = *t;
}

static void heapsort_tensors(emk_tensor *v, uint32_t n)
{
    emk_tensor t;

    for (uint32_t i = n / 2; i-- > 0;) {
        t = v[i];
        sift_down(v, i, n, &t);
    }
    for (uint32_t end = n; end-- > 1;) {
        t = v[end];
        v[end] = v[0];
        sift_down(v, 0, end, &t);
    }
}

/* Finds names that come again, in linear time: the entries themselves hold a hash table,
 * chain[0] the first entry of the bucket that has this entry's number, chain[1] the next in
 * its own bucket, both plus 1. */
static emk_status check_names(emk_extents *x, emk_error *e)
{
    for (uint32_t i = 0; i < x->n; i++)
        x->v[i].chain[0] = x->v[i].chain[1] = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        emk_tensor *t = &x->v[i];
        uint32_t *bucket = &x->v[mix(0, t->name_hash) % x->n].chain[0];
        uint32_t n = 0;

        if (t->name_hash == 0)
            continue;
        for (uint32_t k = *bucket; k != 0; k = x->v[k - 1].chain[1]) {
            if (x->v[k - 1].name_hash == t->name_hash)
                return emk_fail(e, EMK_E_FORMAT, "model: name comes again", t->name_off);
            if (++n > CHAIN_MAX)
                return emk_fail(e, EMK_E_LIMIT, "model: names collide", t->name_off);
        }
        t->chain[1] = *bucket;
        *bucket = i + 1;
    }
    return EMK_OK;
}

static uint64_t length_of(const emk_tensor *t, const uint64_t *part_len)
{
    if (!(t->flags & EMK_TENSOR_TO_END))
        return t->length;
    return t->offset < part_len[t->part] ? part_len[t->part] - t->offset : 0;
}

/* Checks each range against its file and drops those without bytes. */
static emk_status check_bounds(emk_extents *x, const uint64_t *part_len, uint32_t n_parts,
                               emk_error *e)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < x->n; i++) {
        emk_tensor t = x->v[i];

        if (t.part >= n_parts)
            return emk_fail(e, EMK_E_UNSUPPORTED, "model: tensor in a file that is not here",
                            t.part);
        t.length = length_of(&t, part_len);
        if (t.offset > part_len[t.part] || t.length > part_len[t.part] - t.offset)
            return emk_fail(e, EMK_E_FORMAT, "model: tensor outside its file", t.offset);
        if (t.length > 0 || (t.flags & EMK_TENSOR_TO_NEXT))
            x->v[n++] = t;
    }
    x->n = n;
    return EMK_OK;
}

/* Ranges of a sorted list that go up to the next one; those at the very end get nothing and
 * are dropped. */
static void fill_lengths(emk_extents *x, const uint64_t *part_len)
{
    uint32_t n = 0;

    for (uint32_t i = x->n; i-- > 0;) {
        emk_tensor *t = &x->v[i], *next = i + 1 < x->n ? t + 1 : NULL;

        if (!(t->flags & EMK_TENSOR_TO_NEXT))
            continue;
        if (!next || next->part != t->part)
            t->length = part_len[t->part] - t->offset;
        else if (next->offset == t->offset)
            t->length = next->length;
        else
            t->length = next->offset - t->offset;
    }
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->v[i].length > 0)
            x->v[n++] = x->v[i];
    }
    x->n = n;
}

/* Drops repeats of a sorted list and refuses overlaps. */
static emk_status drop_repeats(emk_extents *x, emk_error *e)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < x->n; i++) {
        const emk_tensor *t = &x->v[i], *last = n ? &x->v[n - 1] : NULL;

        if (last && last->part == t->part && t->offset - last->offset < last->length) {
            if (t->offset == last->offset && t->length == last->length)
                continue;
            return emk_fail(e, EMK_E_FORMAT, "model: tensors overlap", t->offset);
        }
        if (n != i)
            x->v[n] = *t;
        n++;
    }
    x->n = n;
    return EMK_OK;
}

emk_status emk_extents_settle(emk_extents *x, const uint64_t *part_len, uint32_t n_parts,
                              emk_error *e)
{
    emk_status st;

    x->settled = false;
    st = check_names(x, e);
    if (st != EMK_OK)
        return st;
    st = check_bounds(x, part_len, n_parts, e);
    if (st != EMK_OK)
        return st;
    if (!is_sorted(x))
        heapsort_tensors(x->v, x->n);
    fill_lengths(x, part_len);
    st = drop_repeats(x, e);
    if (st == EMK_OK)
        x->settled = true;
    return st;
}

/* The first range that ends behind `off` in `part`, or n.  The list is settled. */
static uint32_t find_end_after(const emk_extents *x, uint32_t part, uint64_t off)
{
    uint32_t lo = 0, hi = x->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const emk_tensor *t = &x->v[mid];

        if (t->part < part || (t->part == part && t->offset + t->length <= off))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void mask_ranges(void *self, uint64_t off, uint8_t *bytes, size_t len)
{
    const emk_extents *x = self;

    for (uint32_t i = find_end_after(x, 0, off); i < x->n; i++) {
        const emk_tensor *t = &x->v[i];
        uint64_t from, to;

        if (t->part != 0 || t->offset >= off + len)
            break;
        if (t->flags & EMK_TENSOR_WHOLE)
            continue; /* nobody reads it before it is opened */
        from = t->offset > off ? t->offset - off : 0;
        to = t->offset + t->length - off;
        for (size_t k = (size_t)from; k < len && k < to; k++)
            bytes[k] ^= MASK_XOR;
    }
}

uint64_t emk_extents_bytes(const emk_extents *x, uint32_t part)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < x->n; i++) {
        if (x->v[i].part == part)
            sum += x->v[i].length;
    }
    return sum;
}

/* What the second scan emits, held against the first. */
typedef struct second_scan {
    emk_extents *first;
    uint64_t added;
    uint64_t print;
} second_scan;

static emk_status differs(uint64_t where, emk_error *e)
{
    return emk_fail(e, EMK_E_FORMAT, "model: weights overlap structure", where);
}

static emk_status compare_tensor(void *self, const emk_tensor *t, emk_error *e)
{
    second_scan *s = self;
    emk_extents *x = s->first;
    uint32_t i = find_end_after(x, t->part, t->offset);

    s->added++;
    s->print = print_of(s->print, t);
    if (t->length == 0 && !(t->flags & NO_LENGTH))
        return EMK_OK;
    if ((t->flags & NO_LENGTH) && (i == x->n || x->v[i].part != t->part))
        return EMK_OK; /* nothing was left for it; its offset is in the fingerprint */
    if (i == x->n || x->v[i].part != t->part || x->v[i].offset != t->offset)
        return differs(t->offset, e);
    if (x->v[i].length != t->length && !(t->flags & NO_LENGTH))
        return differs(t->offset, e);
    x->v[i].flags |= FLAG_SEEN;
    return EMK_OK;
}

/* Clears the marks; where the first range without one begins, or UINT64_MAX. */
static uint64_t take_marks(emk_extents *x)
{
    uint64_t missing = UINT64_MAX;

    for (uint32_t i = 0; i < x->n; i++) {
        if (!(x->v[i].flags & FLAG_SEEN) && missing == UINT64_MAX)
            missing = x->v[i].offset;
        x->v[i].flags &= (uint8_t)~FLAG_SEEN;
    }
    return missing;
}

emk_status emk_extents_check_stable(emk_extents *x, emk_model_format f, emk_image *im,
                                    const emk_model_limits *limits, emk_error *e)
{
    second_scan second = {x, 0, 0};
    emk_model_report report = {0};
    uint64_t missing, filled;
    emk_status st;

    if (!x->settled)
        return emk_fail(e, EMK_E_USAGE, "model: the list is not settled", 0);
    emk_image_set_mask(im, mask_ranges, x);
    st = emk_model_scan(f, im, limits, compare_tensor, &second, &report, e);
    emk_image_set_mask(im, NULL, NULL);
    missing = take_marks(x);
    if (im->cut && im->status != EMK_E_FORMAT)
        return st; /* the file could not be read: that says nothing about the model */
    if (st != EMK_OK)
        return differs(e ? e->where : 0, e);
    if (missing != UINT64_MAX || second.added != x->added || second.print != x->print)
        return differs(missing == UINT64_MAX ? 0 : missing, e);
    filled = emk_extents_bytes(x, 0) + report.clear[EMK_CLEAR_SMALL_INT];
    if (report.tiled_bytes != 0 && filled != report.tiled_bytes)
        return emk_fail(e, EMK_E_FORMAT, "model: tensors share bytes and leave holes", filled);
    return EMK_OK;
}

static bool touch(const emk_tensor *a, const emk_tensor *b)
{
    return a->part == b->part && a->kind == b->kind && a->offset + a->length == b->offset;
}

void emk_extents_merge(emk_extents *x)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < x->n; i++) {
        emk_tensor *last = n ? &x->v[n - 1] : NULL;

        if (last && touch(last, &x->v[i])) {
            last->length += x->v[i].length;
            last->name_len = 0;
            last->dtype = EMK_DTYPE_OTHER;
            last->rank = 0;
        } else {
            x->v[n++] = x->v[i];
        }
    }
    x->n = n;
    x->settled = false;
}
