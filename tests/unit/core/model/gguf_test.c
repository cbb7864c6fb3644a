#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static model_check check;

/* A file under construction. */
typedef struct file {
    uint8_t p[8192];
    size_t len;
} file;

static void put(file *f, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        f->p[f->len++] = (uint8_t)(i < 8 ? value >> 8 * i : 0);
}

static void put_string(file *f, const char *text)
{
    put(f, strlen(text), 8);
    memcpy(f->p + f->len, text, strlen(text));
    f->len += strlen(text);
}

static void begin(file *f, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    memset(f, 0, sizeof *f);
    memcpy(f->p, "GGUF", 4);
    f->len = 4;
    put(f, version, 4);
    put(f, n_tensors, 8);
    put(f, n_kv, 8);
}

static void put_tensor(file *f, const char *name, uint32_t type, uint64_t offset)
{
    put_string(f, name);
    put(f, 2, 4);
    put(f, 3, 8);
    put(f, 5, 8);
    put(f, type, 4);
    put(f, offset, 8);
}

static void put_data(file *f, size_t alignment, size_t len)
{
    f->len = (f->len + alignment - 1) / alignment * alignment + len;
}

static emk_status run(const file *f)
{
    return model_check_all(&check, EMK_MODEL_GGUF, emk_span_of(f->p, f->len), 0);
}

#define refuses(f, st, why)                     \
    do {                                        \
        assert_status(run(f), st, &check.e);    \
        assert_string_equal(check.e.what, why); \
    } while (0)

static void gives_each_tensor_the_bytes_up_to_the_next(void **state)
{
    file f;
    size_t data;

    (void)state;
    begin(&f, 3, 3, 0);
    put_tensor(&f, "b", 1, 64);
    put_tensor(&f, "a", 0, 0);
    put_tensor(&f, "c", 8, 96);
    put_data(&f, 32, 0);
    data = f.len;
    f.len += 100;
    assert_ok(run(&f), &check.e);
    assert_int_equal(check.x.n, 3);
    assert_int_equal(check.v[0].offset, data);
    assert_int_equal(check.v[0].length, 64);
    assert_int_equal(check.v[0].dtype, EMK_DTYPE_F32);
    assert_int_equal(check.v[0].dims[1], 5);
    assert_int_equal(check.v[1].offset, data + 64);
    assert_int_equal(check.v[1].length, 32);
    assert_int_equal(check.v[1].dtype, EMK_DTYPE_F16);
    assert_int_equal(check.v[2].length, 4);
    assert_int_equal(check.v[2].dtype, EMK_DTYPE_QUANT_BLOCKS);
    assert_bytes(emk_span_of(f.p + check.v[2].name_off, check.v[2].name_len), emk_span_str("c"));
    assert_int_equal(check.report.weight_bytes, 100);
}

static void handles_tensors_without_bytes(void **state)
{
    file f;

    (void)state;
    begin(&f, 2, 3, 0);
    put_tensor(&f, "a", 0, 0);
    put_tensor(&f, "empty like a", 0, 0);
    put_tensor(&f, "at the end", 0, 32);
    put_data(&f, 32, 32);
    assert_ok(run(&f), &check.e);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.v[0].length, 32);
}

static void accepts_a_vocabulary_without_tensors(void **state)
{
    file f;

    (void)state;
    begin(&f, 3, 0, 1);
    put_string(&f, "k");
    put(&f, 0, 4);
    put(&f, 7, 1);
    assert_ok(run(&f), &check.e);
    assert_int_equal(check.x.n, 0);
}

static void passes_over_values_of_every_type(void **state)
{
    static const uint8_t widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    file f;

    (void)state;
    begin(&f, 3, 1, 13);
    for (uint32_t type = 0; type < 13; type++) {
        put_string(&f, "key");
        put(&f, type, 4);
        if (type == 8) {
            put_string(&f, "text");
        } else if (type == 9) {
            put(&f, 9, 4); /* an array of two arrays: of texts and of numbers */
            put(&f, 2, 8);
            put(&f, 8, 4);
            put(&f, 2, 8);
            put_string(&f, "a");
            put_string(&f, "");
            put(&f, 5, 4);
            put(&f, 3, 8);
            put(&f, 0, 12);
        } else {
            put(&f, 1, widths[type]);
        }
    }
    put_tensor(&f, "t", 0, 0);
    put_data(&f, 32, 16);
    assert_ok(run(&f), &check.e);
    assert_int_equal(check.v[0].length, 16);
}

static void tells_which_part_of_a_split_model_it_is(void **state)
{
    file f;

    (void)state;
    begin(&f, 3, 0, 3);
    put_string(&f, "split.no");
    put(&f, 2, 4);
    put(&f, 1, 2);
    put_string(&f, "split.count");
    put(&f, 2, 4);
    put(&f, 5, 2);
    put_string(&f, "split.tensors.count");
    put(&f, 5, 4);
    put(&f, 77, 4);
    assert_ok(run(&f), &check.e);
    assert_int_equal(check.report.split_number, 1);
    assert_int_equal(check.report.split_of, 5);
}

static void obeys_the_alignment(void **state)
{
    file f;

    (void)state;
    for (unsigned alignment = 1; alignment <= 1024; alignment *= 2) {
        begin(&f, 3, 2, 1);
        put_string(&f, "general.alignment");
        put(&f, 4, 4);
        put(&f, alignment, 4);
        put_tensor(&f, "a", 0, 0);
        put_tensor(&f, "b", 0, alignment);
        put_data(&f, alignment, (size_t)2 * alignment);
        assert_ok(run(&f), &check.e);
        assert_int_equal(check.x.n, 2);
        assert_int_equal(check.v[0].offset, f.len - (size_t)2 * alignment);
    }
}

static void rejects_alignments_that_are_none(void **state)
{
    static const uint32_t bad[] = {0, 3, 48, 0xffffffff};
    file f;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(&f, 3, 0, 1);
        put_string(&f, "general.alignment");
        put(&f, 4, 4);
        put(&f, bad[i], 4);
        refuses(&f, EMK_E_FORMAT, "gguf: alignment is no power of two");
    }
    begin(&f, 3, 0, 1);
    put_string(&f, "general.alignment");
    put(&f, 10, 4);
    put(&f, 32, 8);
    refuses(&f, EMK_E_FORMAT, "gguf: general.alignment");
    begin(&f, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_string(&f, "general.alignment");
        put(&f, 4, 4);
        put(&f, 32, 4);
    }
    refuses(&f, EMK_E_FORMAT, "gguf: general.alignment");
}

static void rejects_offsets_off_the_alignment_or_the_file(void **state)
{
    static const uint64_t bad[] = {16, 96, UINT64_MAX - 31};
    file f;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(&f, 3, 1, 0);
        put_tensor(&f, "a", 0, bad[i]);
        put_data(&f, 32, 64);
        refuses(&f, EMK_E_FORMAT, "gguf: offset of a tensor");
    }
}

static void rejects_other_magic_and_versions(void **state)
{
    static const uint32_t bad[] = {0, 1, 4, 0x03000000};
    file f;

    (void)state;
    begin(&f, 3, 0, 0);
    f.p[3] = 'X';
    refuses(&f, EMK_E_FORMAT, "gguf: magic");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(&f, bad[i], 0, 0);
        refuses(&f, EMK_E_UNSUPPORTED, "gguf: version or byte order");
    }
}

static void rejects_counts_the_file_cannot_hold(void **state)
{
    file f;

    (void)state;
    begin(&f, 3, 0, 2);
    refuses(&f, EMK_E_FORMAT, "gguf: more values than the file can hold");
    begin(&f, 3, UINT64_MAX, 0);
    refuses(&f, EMK_E_FORMAT, "gguf: more tensors than the file can hold");
}

static void put_array(file *f, uint32_t type, uint64_t n)
{
    put_string(f, "k");
    put(f, 9, 4);
    put(f, type, 4);
    put(f, n, 8);
}

static void rejects_arrays_longer_than_the_file(void **state)
{
    file f;

    (void)state;
    for (uint32_t type = 0; type < 13; type++) {
        begin(&f, 3, 0, 1);
        put_array(&f, type, (UINT64_MAX >> 3) + 2); /* times 8 wraps around */
        f.len += 64;
        refuses(&f, EMK_E_FORMAT, "gguf: array longer than the file");
    }
}

static void rejects_unknown_types(void **state)
{
    file f;

    (void)state;
    begin(&f, 3, 0, 1);
    put_string(&f, "k");
    put(&f, 13, 4);
    f.len += 64;
    refuses(&f, EMK_E_FORMAT, "gguf: type of a value");
    begin(&f, 3, 0, 1);
    put_array(&f, 13, 1);
    f.len += 64;
    refuses(&f, EMK_E_FORMAT, "gguf: type of an array");
}

static void rejects_arrays_nested_too_deep(void **state)
{
    file f;

    (void)state;
    for (unsigned depth = 3; depth <= 4; depth++) { /* arrays of arrays within the first */
        begin(&f, 3, 0, 1);
        put_array(&f, 9, 1);
        for (unsigned i = 1; i < depth; i++) {
            put(&f, 9, 4);
            put(&f, 1, 8);
        }
        put(&f, 0, 4);
        put(&f, 1, 8);
        put(&f, 0, 16);
        if (depth == 3)
            assert_ok(run(&f), &check.e);
        else
            refuses(&f, EMK_E_LIMIT, "gguf: arrays of arrays");
    }
}

static void rejects_names_and_ranks_beyond_the_limit(void **state)
{
    char name[65];
    file f;

    (void)state;
    memset(name, 'n', 64);
    name[64] = 0;
    begin(&f, 3, 1, 0);
    put_tensor(&f, name, 0, 0);
    put_data(&f, 32, 32);
    refuses(&f, EMK_E_LIMIT, "gguf: name of a tensor");
    begin(&f, 3, 1, 0);
    put_string(&f, "n");
    put(&f, 5, 4);
    f.len += 100;
    refuses(&f, EMK_E_LIMIT, "gguf: dimensions");
}

static void rejects_a_list_without_data_behind_it(void **state)
{
    file f;

    (void)state;
    begin(&f, 3, 1, 0);
    put_tensor(&f, "a", 0, 0);
    assert_int_not_equal(f.len % 32, 0);
    refuses(&f, EMK_E_FORMAT, "gguf: no data");
}

static void rejects_every_file_cut_short(void **state)
{
    file f;
    size_t len;

    (void)state;
    begin(&f, 3, 2, 1);
    put_string(&f, "k");
    put(&f, 8, 4);
    put_string(&f, "value");
    put_tensor(&f, "a", 0, 0);
    put_tensor(&f, "b", 0, 32);
    put_data(&f, 32, 32);
    len = f.len;
    f.len += 8;
    assert_ok(run(&f), &check.e);
    for (f.len = 0; f.len < len; f.len++)
        assert_int_not_equal(run(&f), EMK_OK);
}

/* A string may be empty: eight bytes for a step.  A budget below that ends it. */
static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 100};
    file f;

    (void)state;
    begin(&f, 3, 0, 1);
    put_array(&f, 8, 200);
    f.len += (size_t)200 * 8;
    assert_ok(run(&f), &check.e);
    emk_image_from_span(&check.im, emk_span_of(f.p, f.len));
    assert_status(emk_model_scan(EMK_MODEL_GGUF, &check.im, &limits, NULL, NULL, NULL, &check.e),
                  EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(gives_each_tensor_the_bytes_up_to_the_next),
        emk_rule(handles_tensors_without_bytes), emk_rule(accepts_a_vocabulary_without_tensors),
        emk_rule(passes_over_values_of_every_type),
        emk_rule(tells_which_part_of_a_split_model_it_is), emk_rule(obeys_the_alignment),
        emk_rule(rejects_alignments_that_are_none),
        emk_rule(rejects_offsets_off_the_alignment_or_the_file),
        emk_rule(rejects_other_magic_and_versions), emk_rule(rejects_counts_the_file_cannot_hold),
        emk_rule(rejects_arrays_longer_than_the_file), emk_rule(rejects_unknown_types),
        emk_rule(rejects_arrays_nested_too_deep),
        emk_rule(rejects_names_and_ranks_beyond_the_limit),
        emk_rule(rejects_a_list_without_data_behind_it), emk_rule(rejects_every_file_cut_short),
        emk_rule(spends_no_more_than_its_budget));
}
