#include "core/model/sstable.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"
#include "tests/unit/core/model/pb_build.h"
#include "tests/unit/core/model/table_build.h"

enum { F32 = 1, STRING = 7, I64 = 9, RESOURCE = 20, VARIANT = 21 };

static model_check check;
static table_build t;

static void add(const char *key, const pb_build *value)
{
    table_add(&t, emk_span_str(key), pb_span(value));
}

static void put_header(uint64_t shards, uint64_t endianness)
{
    pb_build b = {.len = 0}, version = {.len = 0};

    pb_varint(&version, 1, 1);
    pb_varint(&b, 1, shards);
    if (endianness)
        pb_varint(&b, 2, endianness);
    pb_message(&b, 3, &version);
    add("", &b);
}

static void entry(pb_build *b, uint64_t dtype, uint64_t shard, uint64_t offset, uint64_t size)
{
    pb_build dim = {.len = 0}, shape = {.len = 0};

    b->len = 0;
    pb_varint(&dim, 1, 3);
    pb_message(&shape, 2, &dim);
    dim.len = 0;
    pb_varint(&dim, 1, 5);
    pb_message(&shape, 2, &dim);
    pb_varint(b, 1, dtype);
    pb_message(b, 2, &shape);
    if (shard)
        pb_varint(b, 3, shard);
    if (offset)
        pb_varint(b, 4, offset);
    pb_varint(b, 5, size);
    pb_fixed32(b, 6, 0x12345678);
}

static void put_entry(const char *key, uint64_t dtype, uint64_t shard, uint64_t offset,
                      uint64_t size)
{
    pb_build b;

    entry(&b, dtype, shard, offset, size);
    add(key, &b);
}

static emk_status run(void)
{
    return model_check_all(&check, EMK_MODEL_TENSORBUNDLE, emk_span_of(t.p, t.len), 0);
}

#define refuses(st, why)                        \
    do {                                        \
        assert_status(run(), st, &check.e);     \
        assert_string_equal(check.e.what, why); \
    } while (0)

/* Two shards, three weights in two blocks, a text. */
static void small_bundle(bool pack)
{
    table_begin(&t);
    t.pack = pack;
    put_header(2, 0);
    put_entry("_CHECKPOINTABLE_OBJECT_GRAPH", STRING, 0, 0, 100);
    put_entry("dense/bias", F32, 1, 400, 20);
    (void)table_cut(&t);
    put_entry("dense/kernel", F32, 1, 0, 400);
    put_entry("dense/kernel/steps", I64, 0, 100, 8);
    table_end(&t);
}

typedef struct names {
    char text[200];
    size_t len;
} names;

/* The names are only there while the scan runs. */
static emk_status keep_name(void *self, const emk_tensor *tensor, emk_error *e)
{
    names *n = self;

    (void)e;
    n->len += (size_t)snprintf(n->text + n->len, sizeof n->text - n->len, "%s;",
                               tensor->name_text ? tensor->name_text : "-");
    return EMK_OK;
}

static void emits_variables_in_their_shards(void **state)
{
    (void)state;
    for (int pack = 0; pack < 2; pack++) {
        names seen = {.len = 0};

        small_bundle(pack);
        assert_ok(run(), &check.e);
        assert_int_equal(check.x.n, 4);
        assert_int_equal(check.v[1].part, 1);
        assert_int_equal(check.v[1].offset, 100);
        assert_int_equal(check.v[1].length, 8);
        assert_int_equal(check.v[1].dtype, EMK_DTYPE_I64);
        assert_int_equal(check.v[2].part, 2);
        assert_int_equal(check.v[2].length, 400);
        assert_int_equal(check.v[2].rank, 2);
        assert_int_equal(check.v[2].dims[1], 5);
        assert_int_equal(check.v[3].offset, 400);
        assert_null(check.v[3].name_text);
        assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 100);
        assert_int_equal(check.report.external_bytes, 428);
        assert_ok(emk_model_scan(EMK_MODEL_TENSORBUNDLE, &check.im, NULL, keep_name, &seen, NULL,
                                 &check.e),
                  &check.e);
        assert_string_equal(seen.text, "-;dense/bias;dense/kernel;dense/kernel/steps;");
    }
}

/* Its checksums confirm a guess at every variable. */
static void gives_the_index_as_a_whole(void **state)
{
    (void)state;
    small_bundle(false);
    assert_ok(run(), &check.e);
    assert_int_equal(check.v[0].part, 0);
    assert_int_equal(check.v[0].offset, 0);
    assert_int_equal(check.v[0].length, t.len);
    assert_int_equal(check.v[0].kind, EMK_TENSOR_CHECKSUM);
    assert_int_equal(check.v[0].flags, EMK_TENSOR_WHOLE);
    assert_int_equal(check.report.checksum_bytes, t.len);
}

static void names_its_shards(void **state)
{
    char name[EMK_MODEL_PART_NAME];

    (void)state;
    small_bundle(false);
    assert_ok(run(), &check.e);
    assert_int_equal(check.report.n_parts, 2);
    assert_ok(emk_model_part_name(&check.im, "m/variables/variables.index", &check.report.parts[1],
                                  name, &check.e),
              &check.e);
    assert_string_equal(name, "variables.data-00001-of-00002");
}

static void passes_over_types_that_hold_no_numbers(void **state)
{
    (void)state;
    table_begin(&t);
    put_header(1, 0);
    put_entry("a", RESOURCE, 0, 0, 10);
    put_entry("b", VARIANT, 0, 10, 10);
    table_end(&t);
    assert_ok(run(), &check.e);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 20);
}

/* A sliced variable's own entry holds no place; its slices have entries under binary keys. */
static void takes_slices_from_their_own_entries(void **state)
{
    static const uint8_t slice[] = {0, 1, 'v', 0, 1, 2};
    pb_build b, extent = {.len = 0};

    (void)state;
    table_begin(&t);
    put_header(1, 0);
    entry(&b, F32, 0, 0, 60);
    table_add(&t, emk_span_of(slice, sizeof slice), pb_span(&b));
    entry(&b, F32, 77, 0, 1 << 30);
    pb_message(&b, 7, &extent);
    add("v", &b);
    table_end(&t);
    assert_ok(run(), &check.e);
    assert_int_equal(check.x.n, 2);
    assert_int_equal(check.v[1].length, 60);
    assert_int_equal(check.n_seen, 2);
    assert_null(check.seen[1].name_text);
}

static void keeps_small_integers_when_asked(void **state)
{
    (void)state;
    small_bundle(false);
    assert_ok(model_check_all(&check, EMK_MODEL_TENSORBUNDLE, emk_span_of(t.p, t.len),
                              EMK_MODEL_KEEP_SMALL_INT),
              &check.e);
    assert_int_equal(check.x.n, 3);
    assert_int_equal(check.report.clear[EMK_CLEAR_SMALL_INT], 8);
}

static void rejects_headers_that_do_not_fit(void **state)
{
    static const struct {
        uint64_t shards, endianness;
        emk_status st;
        const char *why;
    } bad[] = {{0, 0, EMK_E_FORMAT, "tensorbundle: header"},
               {100000, 0, EMK_E_FORMAT, "tensorbundle: header"},
               {1, 1, EMK_E_UNSUPPORTED, "tensorbundle: big-endian"},
               {EMK_MODEL_PARTS_MAX + 1, 0, EMK_E_LIMIT, "model: too many other files"}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        table_begin(&t);
        put_header(bad[i].shards, bad[i].endianness);
        table_end(&t);
        refuses(bad[i].st, bad[i].why);
    }
    table_begin(&t);
    put_entry("a", F32, 0, 0, 4);
    table_end(&t);
    refuses(EMK_E_FORMAT, "tensorbundle: no header");
    table_begin(&t);
    table_end(&t);
    refuses(EMK_E_FORMAT, "tensorbundle: no header");
}

static void rejects_entries_that_do_not_fit(void **state)
{
    pb_build b = {.len = 0};

    (void)state;
    table_begin(&t);
    put_header(1, 0);
    put_entry("a", F32, 1, 0, 4);
    table_end(&t);
    refuses(EMK_E_FORMAT, "tensorbundle: number of a shard");

    table_begin(&t);
    put_header(1, 0);
    put_entry("a", F32, 0, UINT64_MAX, 4);
    table_end(&t);
    refuses(EMK_E_FORMAT, "tensorbundle: range of a variable");

    table_begin(&t);
    put_header(1, 0);
    put_entry("a", F32, 0, 1 << 20, 4);
    table_end(&t);
    refuses(EMK_E_FORMAT, "model: tensor outside its file");

    table_begin(&t);
    put_header(1, 0);
    pb_text(&b, 1, "a type is no text");
    add("a", &b);
    table_end(&t);
    refuses(EMK_E_FORMAT, "tensorbundle: entry");

    for (size_t cut = 1; cut < 4; cut++) {
        table_begin(&t);
        put_header(1, 0);
        entry(&b, F32, 0, 0, 4);
        b.len -= cut;
        add("a", &b);
        table_end(&t);
        refuses(EMK_E_FORMAT, "tensorbundle: entry");
    }
}

static void rejects_variables_that_overlap(void **state)
{
    (void)state;
    table_begin(&t);
    put_header(1, 0);
    put_entry("a", F32, 0, 0, 20);
    put_entry("b", F32, 0, 16, 20);
    table_end(&t);
    refuses(EMK_E_FORMAT, "model: tensors overlap");
}

/* A table of one block with these entries, keys as they come. */
static void raw_table(const char *first, uint32_t shared, const char *second)
{
    pb_build b = {.len = 0};
    uint8_t handle[20];
    uint64_t at_len[2];
    size_t len;
    static table_block block;

    table_begin(&t);
    memset(&block, 0, sizeof block);
    pb_varint(&b, 1, 1);
    table_raw_entry(&block, 0, emk_span_of("", 0), pb_span(&b));
    entry(&b, F32, 0, 0, 4);
    table_raw_entry(&block, 0, emk_span_str(first), pb_span(&b));
    entry(&b, F32, 0, 4, 4);
    table_raw_entry(&block, shared, emk_span_str(second), pb_span(&b));
    memset(block.p + block.len, 0, 8);
    block.p[block.len + 4] = 1;
    table_write(&t, emk_span_of(block.p, block.len + 8), 0, at_len);
    len = table_varint(handle, 0, at_len[0]);
    len = table_varint(handle, len, at_len[1]);
    table_raw_entry(&t.index, 0, emk_span_str("z"), emk_span_of(handle, len));
    memset(t.index.p + t.index.len, 0, 8);
    t.index.p[t.index.len + 4] = 1;
    table_write(&t, emk_span_of(t.index.p, t.index.len + 8), 0, at_len);
    table_footer(&t, at_len[0], at_len[1]);
}

static void rejects_keys_that_do_not_go_up(void **state)
{
    (void)state;
    raw_table("a", 0, "b");
    assert_ok(run(), &check.e);
    raw_table("a", 1, "b");
    assert_ok(run(), &check.e);
    raw_table("b", 0, "a");
    refuses(EMK_E_FORMAT, "sstable: keys do not go up");
    raw_table("a", 0, "a"); /* a name that comes again */
    refuses(EMK_E_FORMAT, "sstable: keys do not go up");
    raw_table("a", 1, "");
    refuses(EMK_E_FORMAT, "sstable: keys do not go up");
    raw_table("ab", 0, "a");
    refuses(EMK_E_FORMAT, "sstable: keys do not go up");
    raw_table("a", 2, "b");
    refuses(EMK_E_FORMAT, "sstable: shares more than there is");
}

static void rejects_keys_and_values_beyond_the_limit(void **state)
{
    static char key[EMK_SSTABLE_KEY_MAX + 2];
    static pb_build b;

    (void)state;
    memset(key, 'k', sizeof key - 1);
    table_begin(&t);
    put_header(1, 0);
    put_entry(key, F32, 0, 0, 4);
    table_end(&t);
    refuses(EMK_E_LIMIT, "sstable: key");
    key[EMK_SSTABLE_KEY_MAX] = 0;
    table_begin(&t);
    put_header(1, 0);
    put_entry(key, F32, 0, 0, 4);
    table_end(&t);
    assert_ok(run(), &check.e);
    pb_fill(&b, 7, EMK_SSTABLE_VALUE_MAX, 0);
    table_begin(&t);
    put_header(1, 0);
    add("a", &b);
    table_end(&t);
    refuses(EMK_E_LIMIT, "sstable: value");
}

static void rejects_every_changed_byte_of_a_block(void **state)
{
    (void)state;
    for (int pack = 0; pack < 2; pack++) {
        size_t end;

        small_bundle(pack);
        end = (size_t)(t.index_at + t.index_len + 5);
        for (size_t i = 0; i < end; i++) {
            t.p[i] ^= 0x10;
            assert_int_not_equal(run(), EMK_OK);
            t.p[i] ^= 0x10;
        }
        assert_ok(run(), &check.e);
    }
}

static void rejects_footers_that_do_not_fit(void **state)
{
    size_t footer;

    (void)state;
    small_bundle(false);
    footer = t.len - 48;
    t.p[t.len - 1] ^= 1;
    refuses(EMK_E_FORMAT, "sstable: magic");
    t.p[t.len - 1] ^= 1;
    t.p[footer + 39] = 1;
    refuses(EMK_E_FORMAT, "sstable: footer");
    t.p[footer + 39] = 0;
    memset(t.p + footer, 0xff, 40);
    refuses(EMK_E_FORMAT, "sstable: footer");
    small_bundle(false);
    t.len -= 48;
    table_footer(&t, t.len, 10);
    refuses(EMK_E_FORMAT, "sstable: block outside the file");
    small_bundle(false);
    t.len -= 48;
    table_footer(&t, UINT64_MAX, UINT64_MAX);
    refuses(EMK_E_FORMAT, "sstable: block outside the file");
}

/* One block under many names would be much work from a small file. */
static void rejects_blocks_that_come_again(void **state)
{
    uint8_t handle[20];
    uint64_t at_len[2];
    size_t len;

    (void)state;
    for (int wild = 0; wild < 2; wild++) {
        table_begin(&t);
        put_header(1, 0);
        put_entry("a", F32, 0, 0, 4);
        (void)table_cut(&t);
        len = table_varint(handle, 0, wild ? UINT64_MAX - 3 : 0);
        len = table_varint(handle, len, 20);
        table_raw_entry(&t.index, 0, emk_span_str("b"), emk_span_of(handle, len));
        for (int i = 0; i < 8; i++)
            t.index.p[t.index.len++] = i == 4;
        table_write(&t, emk_span_of(t.index.p, t.index.len), 0, at_len);
        table_footer(&t, at_len[0], at_len[1]);
        refuses(EMK_E_FORMAT, "sstable: blocks not one behind the other");
    }
}

/* One block with this content and type behind a good index. */
static void with_block(const void *content, size_t content_len, uint8_t type)
{
    uint8_t handle[20];
    uint64_t at_len[2];
    size_t len;

    table_begin(&t);
    table_write(&t, emk_span_of(content, content_len), type, at_len);
    len = table_varint(handle, 0, at_len[0]);
    len = table_varint(handle, len, at_len[1]);
    table_raw_entry(&t.index, 0, emk_span_str("z"), emk_span_of(handle, len));
    for (int i = 0; i < 8; i++)
        t.index.p[t.index.len++] = i == 4;
    table_write(&t, emk_span_of(t.index.p, t.index.len), 0, at_len);
    table_footer(&t, at_len[0], at_len[1]);
}

static void rejects_blocks_that_do_not_fit(void **state)
{
    static uint8_t big[EMK_SSTABLE_BLOCK_MAX];

    (void)state;
    with_block("\0\0\0\0\1\0\0\0", 8, 2);
    refuses(EMK_E_UNSUPPORTED, "sstable: compression of a block");
    with_block("\1\0\0\0", 4, 0);
    refuses(EMK_E_FORMAT, "sstable: block cut short");
    with_block("\0\0\0\0\0\0\0\0", 8, 0);
    refuses(EMK_E_FORMAT, "sstable: restarts of a block");
    with_block("\0\0\0\0\2\0\0\0", 8, 0);
    refuses(EMK_E_FORMAT, "sstable: restarts of a block");
    with_block("\1\0\0\0\1\0\0\0", 8, 0);
    refuses(EMK_E_FORMAT, "sstable: restarts of a block");
    with_block("\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0", 15, 0);
    refuses(EMK_E_FORMAT, "tensorbundle: header");
    with_block("\0\0\4\0\0\0\0\1\0\0\0", 11, 0);
    refuses(EMK_E_FORMAT, "sstable: entry runs into the restarts");
    with_block("\xff\xff\xff\xff\xff\xff\0\0\0\0\1\0\0\0", 14, 0);
    refuses(EMK_E_FORMAT, "sstable: length in an entry");
    with_block(big, 0, 1);
    refuses(EMK_E_FORMAT, "snappy: cut short");
}

static void rejects_blocks_that_grow_too_much(void **state)
{
    static const uint8_t claim[] = {0x80, 0x80, 0x04, 0, 'a', 0xfe, 1, 0};
    static uint8_t bomb[80000];
    size_t len;

    (void)state;
    with_block(claim, sizeof claim, 1);
    refuses(EMK_E_FORMAT, "sstable: block says it grows too much");
    len = table_varint(bomb, 0, EMK_SSTABLE_BLOCK_MAX + 1);
    bomb[len++] = 0;
    bomb[len++] = 'a';
    while (len < sizeof bomb - 3) { /* each copies 64 bytes */
        bomb[len++] = 0xfe;
        bomb[len++] = 1;
        bomb[len++] = 0;
    }
    with_block(bomb, len, 1);
    refuses(EMK_E_LIMIT, "sstable: block");
}

static void rejects_bundles_cut_short(void **state)
{
    static uint8_t all[4096];
    size_t len;

    (void)state;
    small_bundle(true);
    len = t.len;
    memcpy(all, t.p, len);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_not_equal(
            model_check_all(&check, EMK_MODEL_TENSORBUNDLE, emk_span_of(all, cut), 0), EMK_OK);
        assert_int_not_equal(
            model_check_all(&check, EMK_MODEL_TENSORBUNDLE, emk_span_of(all + len - cut, cut), 0),
            EMK_OK);
    }
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 3};

    (void)state;
    small_bundle(false);
    emk_image_from_span(&check.im, emk_span_of(t.p, t.len));
    assert_status(
        emk_model_scan(EMK_MODEL_TENSORBUNDLE, &check.im, &limits, NULL, NULL, NULL, &check.e),
        EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(emits_variables_in_their_shards), emk_rule(gives_the_index_as_a_whole),
        emk_rule(names_its_shards), emk_rule(passes_over_types_that_hold_no_numbers),
        emk_rule(takes_slices_from_their_own_entries), emk_rule(keeps_small_integers_when_asked),
        emk_rule(rejects_headers_that_do_not_fit), emk_rule(rejects_entries_that_do_not_fit),
        emk_rule(rejects_variables_that_overlap), emk_rule(rejects_keys_that_do_not_go_up),
        emk_rule(rejects_keys_and_values_beyond_the_limit),
        emk_rule(rejects_every_changed_byte_of_a_block), emk_rule(rejects_footers_that_do_not_fit),
        emk_rule(rejects_blocks_that_come_again), emk_rule(rejects_blocks_that_do_not_fit),
        emk_rule(rejects_blocks_that_grow_too_much), emk_rule(rejects_bundles_cut_short),
        emk_rule(spends_no_more_than_its_budget));
}
