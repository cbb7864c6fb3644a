#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/fb_build.h"
#include "tests/unit/core/model/model_check.h"

/* Widths of the fields of each table, by slot. */
static const uint8_t model_widths[] = {4, 4, 4, 4, 4, 4, 4, 4, 4, 4};
static const uint8_t graph_widths[] = {4, 0, 0, 4};
static const uint8_t tensor_widths[] = {4, 1, 4, 4};
static const uint8_t plain_buffer_widths[] = {4};
static const uint8_t far_buffer_widths[] = {4, 8, 8};
static const uint8_t metadata_widths[] = {4, 4};
static const uint8_t op_widths[] = {0, 0, 0, 0, 0, 4, 0, 0, 0, 8, 8};
static const uint8_t group_widths[] = {4};
static const uint8_t external_widths[] = {4, 4, 8, 8};

enum { TYPE_F32 = 0, TYPE_I32 = 2, TYPE_STRING = 5, TYPE_I8 = 9 };

/* A model with one subgraph under construction. */
typedef struct tfl {
    fb_build b;
    uint32_t model, graph, tensors, buffers, ops;
} tfl;

static void tfl_begin(tfl *m, uint32_t n_tensors, uint32_t n_buffers, uint32_t n_ops)
{
    static const uint32_t empty_slots[] = {1, 5, 6, 7, 8, 9};
    uint32_t graphs;

    fb_build_init(&m->b, "TFL3");
    m->model = fb_build_table(&m->b, model_widths, 10);
    fb_build_ref(&m->b, 0, m->model);
    fb_build_put_slot(&m->b, m->model, 0, 3, 4);
    graphs = fb_build_vector(&m->b, 1, 4);
    fb_build_ref_slot(&m->b, m->model, 2, graphs);
    m->graph = fb_build_table(&m->b, graph_widths, 4);
    fb_build_ref(&m->b, graphs + 4, m->graph);
    fb_build_ref_slot(&m->b, m->model, 3, fb_build_text(&m->b, "test"));
    m->buffers = fb_build_vector(&m->b, n_buffers, 4);
    fb_build_ref_slot(&m->b, m->model, 4, m->buffers);
    m->tensors = fb_build_vector(&m->b, n_tensors, 4);
    fb_build_ref_slot(&m->b, m->graph, 0, m->tensors);
    m->ops = fb_build_vector(&m->b, n_ops, 4);
    fb_build_ref_slot(&m->b, m->graph, 3, m->ops);
    for (size_t i = 0; i < sizeof empty_slots / sizeof empty_slots[0]; i++)
        fb_build_ref_slot(&m->b, m->model, empty_slots[i], fb_build_vector(&m->b, 0, 4));
    for (uint32_t i = 0; i < n_buffers; i++)
        fb_build_ref(&m->b, m->buffers + 4 + 4 * i, fb_build_table(&m->b, NULL, 0));
}

/* Gives buffer i so many bytes of its own; returns where they are. */
static uint32_t tfl_data(tfl *m, uint32_t i, uint32_t len)
{
    uint32_t table = fb_build_table(&m->b, plain_buffer_widths, 1);
    uint32_t data = fb_build_vector(&m->b, len, 1);

    fb_build_ref(&m->b, m->buffers + 4 + 4 * i, table);
    fb_build_ref_slot(&m->b, table, 0, data);
    memset(m->b.p + data + 4, 0x11, len);
    return data + 4;
}

/* Gives buffer i data at an offset of the file. */
static uint32_t tfl_far_data(tfl *m, uint32_t i, uint64_t off, uint64_t len)
{
    uint32_t table = fb_build_table(&m->b, far_buffer_widths, 3);

    fb_build_ref(&m->b, m->buffers + 4 + 4 * i, table);
    fb_build_ref_slot(&m->b, table, 0, fb_build_vector(&m->b, 0, 1));
    fb_build_put_slot(&m->b, table, 1, off, 8);
    fb_build_put_slot(&m->b, table, 2, len, 8);
    return table;
}

static uint32_t tfl_tensor(tfl *m, uint32_t i, uint8_t type, uint32_t buffer, const char *name)
{
    uint32_t table = fb_build_table(&m->b, tensor_widths, 4);
    uint32_t shape = fb_build_vector(&m->b, 2, 4);

    fb_build_ref(&m->b, m->tensors + 4 + 4 * i, table);
    fb_build_put(&m->b, shape + 4, 3, 4);
    fb_build_put(&m->b, shape + 8, 5, 4);
    fb_build_ref_slot(&m->b, table, 0, shape);
    fb_build_put_slot(&m->b, table, 1, type, 1);
    fb_build_put_slot(&m->b, table, 2, buffer, 4);
    fb_build_ref_slot(&m->b, table, 3, fb_build_text(&m->b, name));
    return table;
}

/* An operator with custom options; returns where they are. */
static uint32_t tfl_op(tfl *m, uint32_t i, uint32_t custom_len)
{
    uint32_t table = fb_build_table(&m->b, op_widths, 11);
    uint32_t custom = fb_build_vector(&m->b, custom_len, 1);

    fb_build_ref(&m->b, m->ops + 4 + 4 * i, table);
    fb_build_ref_slot(&m->b, table, 5, custom);
    return custom + 4;
}

static void tfl_metadata(tfl *m, uint32_t buffer)
{
    uint32_t list = fb_build_vector(&m->b, 1, 4);
    uint32_t entry = fb_build_table(&m->b, metadata_widths, 2);

    fb_build_ref_slot(&m->b, m->model, 6, list);
    fb_build_ref(&m->b, list + 4, entry);
    fb_build_ref_slot(&m->b, entry, 0, fb_build_text(&m->b, "min_runtime_version"));
    fb_build_put_slot(&m->b, entry, 1, buffer, 4);
}

static emk_span tfl_span(const tfl *m)
{
    return emk_span_of(m->b.p, m->b.len);
}

static model_check check; /* too big for a stack that tests share with the sanitizers */

#define accepts(m, flags) \
    assert_ok(model_check_all(&check, EMK_MODEL_TFLITE, tfl_span(m), flags), &check.e)
#define refuses(m, flags, st) \
    assert_status(model_check_all(&check, EMK_MODEL_TFLITE, tfl_span(m), flags), st, &check.e)

static void emits_the_buffer_a_tensor_names(void **state)
{
    tfl m;
    uint32_t at;

    (void)state;
    tfl_begin(&m, 2, 3, 0);
    tfl_tensor(&m, 0, TYPE_F32, 0, "input");
    tfl_tensor(&m, 1, TYPE_I8, 2, "kernel");
    at = tfl_data(&m, 2, 60);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.seen[0].offset, at);
    assert_int_equal(check.seen[0].length, 60);
    assert_int_equal(check.seen[0].dtype, EMK_DTYPE_I8);
    assert_int_equal(check.seen[0].kind, EMK_TENSOR_WEIGHT);
    assert_int_equal(check.seen[0].rank, 2);
    assert_int_equal(check.seen[0].dims[0], 3);
    assert_int_equal(check.seen[0].dims[1], 5);
    assert_bytes(emk_span_of(m.b.p + check.seen[0].name_off, check.seen[0].name_len),
                 emk_span_str("kernel"));
    assert_int_equal(check.report.weight_bytes, 60);
    fb_build_done(&m.b);
}

static void emits_a_buffer_once_however_many_tensors_name_it(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 3, 2, 0);
    for (uint32_t i = 0; i < 3; i++)
        tfl_tensor(&m, i, TYPE_F32, 1, "shared");
    tfl_data(&m, 1, 16);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 1);
    fb_build_done(&m.b);
}

static void merges_two_buffers_that_share_their_bytes(void **state)
{
    tfl m;
    uint32_t table, at;

    (void)state;
    tfl_begin(&m, 2, 3, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "a");
    tfl_tensor(&m, 1, TYPE_F32, 2, "b");
    table = fb_build_table(&m.b, plain_buffer_widths, 1);
    at = tfl_data(&m, 1, 16);
    fb_build_ref(&m.b, m.buffers + 4 + 8, table);
    fb_build_ref_slot(&m.b, table, 0, at - 4);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 2);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(emk_extents_bytes(&check.x, 0), 16);
    fb_build_done(&m.b);
}

static void leaves_metadata_clear(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 2, 0);
    tfl_data(&m, 1, 16);
    tfl_metadata(&m, 1);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 0);
    fb_build_done(&m.b);
}

static void leaves_old_metadata_clear(void **state)
{
    tfl m;
    uint32_t list;

    (void)state;
    tfl_begin(&m, 0, 2, 0);
    tfl_data(&m, 1, 16);
    list = fb_build_vector(&m.b, 1, 4);
    fb_build_put(&m.b, list + 4, 1, 4);
    fb_build_ref_slot(&m.b, m.model, 5, list);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 0);
    fb_build_done(&m.b);
}

static void emits_metadata_that_is_a_weight_too(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "both");
    tfl_data(&m, 1, 16);
    tfl_metadata(&m, 1);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 1);
    fb_build_done(&m.b);
}

static void emits_buffers_that_nothing_names(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 2, 0);
    tfl_data(&m, 1, 16);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.seen[0].kind, EMK_TENSOR_OTHER);
    assert_int_equal(check.seen[0].name_len, 0);
    fb_build_done(&m.b);
}

static void leaves_text_clear_and_reports_it(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_STRING, 1, "labels");
    tfl_data(&m, 1, 40);
    accepts(&m, EMK_MODEL_STRICT);
    assert_int_equal(check.n_seen, 0);
    assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 40);
    fb_build_done(&m.b);
}

static void emits_text_that_is_a_weight_too(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 2, 2, 0);
    tfl_tensor(&m, 0, TYPE_STRING, 1, "labels");
    tfl_tensor(&m, 1, TYPE_I8, 1, "codes");
    tfl_data(&m, 1, 40);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 0);
    fb_build_done(&m.b);
}

static void takes_length_from_the_buffer_not_from_the_shape(void **state)
{
    tfl m;

    (void)state; /* as with sparse tensors: 3 x 5 floats in 7 bytes */
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "sparse");
    tfl_data(&m, 1, 7);
    accepts(&m, 0);
    assert_int_equal(check.seen[0].length, 7);
    fb_build_done(&m.b);
}

static void keeps_small_ints_clear_on_request_only(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 2, 3, 0);
    tfl_tensor(&m, 0, TYPE_I32, 1, "shape");
    tfl_tensor(&m, 1, TYPE_I32, 2, "bias");
    tfl_data(&m, 1, 64);
    tfl_data(&m, 2, 68);
    accepts(&m, EMK_MODEL_KEEP_SMALL_INT);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.seen[0].length, 68);
    assert_int_equal(check.report.clear[EMK_CLEAR_SMALL_INT], 64);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 2);
    fb_build_done(&m.b);
}

static void rejects_data_in_buffer_0(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    tfl_data(&m, 0, 16);
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "tflite: buffer 0 is not empty");
    fb_build_done(&m.b);
}

static void rejects_a_buffer_number_beyond_the_list(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 2, "lost");
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "tflite: buffer number");
    fb_build_done(&m.b);
}

static void rejects_another_identifier(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    m.b.p[7] = '2';
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "tflite: identifier");
    fb_build_done(&m.b);
}

static void rejects_another_version(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    fb_build_put_slot(&m.b, m.model, 0, 4, 4);
    refuses(&m, 0, EMK_E_UNSUPPORTED);
    fb_build_done(&m.b);
}

static void rejects_every_file_cut_short(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 1, 2, 1);
    tfl_op(&m, 0, 8);
    tfl_tensor(&m, 0, TYPE_F32, 1, "kernel");
    tfl_data(&m, 1, 16);
    accepts(&m, 0);
    for (size_t len = 0; len < m.b.len; len++) {
        emk_span s = emk_span_of(m.b.p, len);

        assert_int_not_equal(model_check_scan(&check, EMK_MODEL_TFLITE, s, 0), EMK_OK);
    }
    fb_build_done(&m.b);
}

static void finds_data_behind_the_flatbuffer(void **state)
{
    tfl m;
    uint64_t at;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "far");
    tfl_far_data(&m, 1, 0, 0);
    at = fb_build_vector(&m.b, 100, 1) + 4;
    tfl_far_data(&m, 1, at, 100);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.seen[0].offset, at);
    assert_int_equal(check.seen[0].length, 100);
    fb_build_done(&m.b);
}

static void takes_offsets_0_and_1_as_none(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 2, 3, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "a");
    tfl_tensor(&m, 1, TYPE_F32, 2, "b");
    tfl_far_data(&m, 1, 0, 100);
    tfl_far_data(&m, 2, 1, 1);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 0);
    fb_build_done(&m.b);
}

static void rejects_far_data_outside_the_file(void **state)
{
    static const uint64_t bad[][2] = {{2, UINT64_MAX}, {UINT64_MAX, 2}, {100000, 1}, {8, 100000}};
    tfl m;
    uint32_t table;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "far");
    table = tfl_far_data(&m, 1, 0, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fb_build_put_slot(&m.b, table, 1, bad[i][0], 8);
        fb_build_put_slot(&m.b, table, 2, bad[i][1], 8);
        refuses(&m, 0, EMK_E_FORMAT);
        assert_string_equal(check.e.what, "tflite: data outside the file");
    }
    fb_build_done(&m.b);
}

static void rejects_a_buffer_with_data_twice(void **state)
{
    tfl m;
    uint32_t table, data;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "twice");
    table = tfl_far_data(&m, 1, 8, 4);
    data = fb_build_vector(&m.b, 4, 1);
    fb_build_ref_slot(&m.b, table, 0, data);
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "tflite: buffer has data twice");
    fb_build_done(&m.b);
}

static void rejects_weights_that_lie_on_structure(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "evil");
    tfl_far_data(&m, 1, m.tensors, 8);
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "model: weights overlap structure");
    fb_build_done(&m.b);
}

static void rejects_weights_that_overlap_in_part(void **state)
{
    tfl m;
    uint32_t at;

    (void)state;
    tfl_begin(&m, 2, 3, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "a");
    tfl_tensor(&m, 1, TYPE_F32, 2, "b");
    at = tfl_data(&m, 1, 16);
    tfl_far_data(&m, 2, at + 8, 16);
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "model: tensors overlap");
    assert_int_equal(check.e.where, at + 8);
    fb_build_done(&m.b);
}

static void emits_custom_options_only_on_request(void **state)
{
    tfl m;
    uint32_t at;

    (void)state;
    tfl_begin(&m, 0, 1, 2);
    tfl_op(&m, 0, 1024);
    at = tfl_op(&m, 1, 1025);
    accepts(&m, 0);
    assert_int_equal(check.n_seen, 0);
    assert_int_equal(check.report.clear[EMK_CLEAR_CUSTOM], 1025);
    accepts(&m, EMK_MODEL_CUSTOM);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.seen[0].offset, at);
    assert_int_equal(check.seen[0].kind, EMK_TENSOR_CUSTOM);
    assert_int_equal(check.report.clear[EMK_CLEAR_CUSTOM], 0);
    refuses(&m, EMK_MODEL_STRICT, EMK_E_UNSUPPORTED);
    accepts(&m, EMK_MODEL_STRICT | EMK_MODEL_CUSTOM);
    fb_build_done(&m.b);
}

static void finds_large_custom_options(void **state)
{
    tfl m;
    uint32_t at, table;

    (void)state;
    tfl_begin(&m, 0, 1, 1);
    table = fb_build_table(&m.b, op_widths, 11);
    fb_build_ref(&m.b, m.ops + 4, table);
    fb_build_ref_slot(&m.b, table, 5, fb_build_vector(&m.b, 0, 1));
    at = fb_build_vector(&m.b, 2000, 1) + 4;
    fb_build_put_slot(&m.b, table, 9, at, 8);
    fb_build_put_slot(&m.b, table, 10, 2000, 8);
    accepts(&m, EMK_MODEL_CUSTOM);
    assert_int_equal(check.n_seen, 1);
    assert_int_equal(check.seen[0].offset, at);
    assert_int_equal(check.seen[0].length, 2000);
    fb_build_done(&m.b);
}

static void reports_trailing_bytes(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 1, 2, 0);
    tfl_tensor(&m, 0, TYPE_F32, 1, "kernel");
    tfl_data(&m, 1, 16);
    accepts(&m, EMK_MODEL_STRICT);
    fb_build_vector(&m.b, 5000, 1);
    accepts(&m, 0);
    assert_in_range(check.report.clear[EMK_CLEAR_TRAILING], 5000, 5016);
    refuses(&m, EMK_MODEL_STRICT, EMK_E_UNSUPPORTED);
    fb_build_done(&m.b);
}

static uint32_t tfl_external(tfl *m, uint32_t n_groups, uint32_t group, uint64_t off, uint64_t len)
{
    uint32_t groups = fb_build_vector(&m->b, n_groups, 4), list = fb_build_vector(&m->b, 1, 4);
    uint32_t table = fb_build_table(&m->b, external_widths, 4);

    fb_build_ref_slot(&m->b, m->model, 8, groups);
    fb_build_ref_slot(&m->b, m->model, 9, list);
    fb_build_ref(&m->b, list + 4, table);
    fb_build_put_slot(&m->b, table, 1, group, 4);
    fb_build_put_slot(&m->b, table, 2, off, 8);
    fb_build_put_slot(&m->b, table, 3, len, 8);
    for (uint32_t i = 0; i < n_groups; i++) {
        uint32_t t = fb_build_table(&m->b, group_widths, 1);

        fb_build_ref(&m->b, groups + 4 + 4 * i, t);
        fb_build_ref_slot(&m->b, t, 0, fb_build_text(&m->b, i ? "b.bin" : "a.bin"));
    }
    return table;
}

static void lists_external_buffers_as_parts(void **state)
{
    tfl m;
    emk_model_part *p = &check.report.parts[1];

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    tfl_external(&m, 2, 1, 4096, 100);
    accepts(&m, 0);
    assert_int_equal(check.report.n_parts, 2);
    assert_int_equal(check.report.external_bytes, 100);
    assert_bytes(emk_span_of(m.b.p + p->name_off, p->name_len), emk_span_str("b.bin"));
    assert_int_equal(check.seen[0].part, 2);
    assert_int_equal(check.seen[0].offset, 4096);
    assert_int_equal(emk_extents_bytes(&check.x, 2), 100);
    fb_build_done(&m.b);
}

static void rejects_an_external_buffer_without_its_group(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    tfl_external(&m, 2, 2, 0, 100);
    refuses(&m, 0, EMK_E_FORMAT);
    assert_string_equal(check.e.what, "tflite: external group");
    fb_build_done(&m.b);
}

static void rejects_more_external_files_than_the_limit(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    tfl_external(&m, EMK_MODEL_PARTS_MAX + 1, 0, 0, 100);
    refuses(&m, 0, EMK_E_LIMIT);
    fb_build_done(&m.b);
}

static void rejects_an_external_length_that_wraps(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 1, 0);
    tfl_external(&m, 1, 0, 100, UINT64_MAX - 99);
    refuses(&m, 0, EMK_E_FORMAT);
    fb_build_done(&m.b);
}

/* n subgraphs of n tensors that all are one: n * n work from 8 * n bytes. */
static void spends_no_more_than_its_budget(void **state)
{
    enum { N = 4000 };
    tfl m;
    uint32_t graphs, tensor;

    (void)state;
    tfl_begin(&m, 0, 2, 0);
    graphs = fb_build_vector(&m.b, N, 4);
    fb_build_ref_slot(&m.b, m.model, 2, graphs);
    m.graph = fb_build_table(&m.b, graph_widths, 4);
    m.tensors = fb_build_vector(&m.b, N, 4);
    tensor = tfl_tensor(&m, 0, TYPE_F32, 0, "one");
    fb_build_ref_slot(&m.b, m.graph, 0, m.tensors);
    fb_build_ref_slot(&m.b, m.graph, 3, fb_build_vector(&m.b, 0, 4));
    for (uint32_t i = 0; i < N; i++) {
        fb_build_ref(&m.b, graphs + 4 + 4 * i, m.graph);
        fb_build_ref(&m.b, m.tensors + 4 + 4 * i, tensor);
    }
    refuses(&m, 0, EMK_E_LIMIT);
    fb_build_done(&m.b);
}

static void rejects_more_tensors_than_the_limit(void **state)
{
    emk_model_limits limits = {.max_tensors = 1};
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 3, 0);
    tfl_data(&m, 1, 4);
    tfl_data(&m, 2, 4);
    emk_image_from_span(&check.im, tfl_span(&m));
    assert_status(emk_model_scan(EMK_MODEL_TFLITE, &check.im, &limits, NULL, NULL, NULL, &check.e),
                  EMK_E_LIMIT, &check.e);
    limits.max_tensors = 2;
    assert_ok(emk_model_scan(EMK_MODEL_TFLITE, &check.im, &limits, NULL, NULL, NULL, &check.e),
              &check.e);
    fb_build_done(&m.b);
}

static emk_status count_kinds(void *self, const emk_tensor *t, emk_error *e)
{
    uint32_t *n = self;

    (void)e;
    n[t->kind]++;
    return EMK_OK;
}

/* Beyond 65,536 buffers the reader goes through the tensors more than once. */
static void handles_more_buffers_than_one_window(void **state)
{
    enum { N = 140000 };
    emk_model_report report;
    uint32_t kinds[3] = {0, 0, 0};
    tfl m;

    (void)state;
    tfl_begin(&m, N / 2, N, 0);
    for (uint32_t i = 1; i < N; i++)
        tfl_data(&m, i, 4);
    for (uint32_t i = 0; i < N / 2; i++)
        tfl_tensor(&m, i, i % 10 ? TYPE_F32 : TYPE_STRING, 2 * i + 1, "t");
    tfl_metadata(&m, N - 2);
    emk_image_from_span(&check.im, tfl_span(&m));
    assert_ok(
        emk_model_scan(EMK_MODEL_TFLITE, &check.im, NULL, count_kinds, kinds, &report, &check.e),
        &check.e);
    assert_int_equal(kinds[EMK_TENSOR_WEIGHT], N / 2 - N / 20);
    assert_int_equal(kinds[EMK_TENSOR_OTHER], N / 2 - 2);
    assert_int_equal(report.clear[EMK_CLEAR_STRING], 4 * (N / 20));
    fb_build_done(&m.b);
}

static emk_status refuse(void *self, const emk_tensor *t, emk_error *e)
{
    (void)self;
    return emk_fail(e, EMK_E_BUSY, "test: no more", t->offset);
}

static void ends_with_the_visitors_failure(void **state)
{
    tfl m;

    (void)state;
    tfl_begin(&m, 0, 2, 0);
    tfl_data(&m, 1, 4);
    emk_image_from_span(&check.im, tfl_span(&m));
    assert_status(emk_model_scan(EMK_MODEL_TFLITE, &check.im, NULL, refuse, NULL, NULL, &check.e),
                  EMK_E_BUSY, &check.e);
    fb_build_done(&m.b);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(emits_the_buffer_a_tensor_names),
        emk_rule(emits_a_buffer_once_however_many_tensors_name_it),
        emk_rule(merges_two_buffers_that_share_their_bytes), emk_rule(leaves_metadata_clear),
        emk_rule(leaves_old_metadata_clear), emk_rule(emits_metadata_that_is_a_weight_too),
        emk_rule(emits_buffers_that_nothing_names), emk_rule(leaves_text_clear_and_reports_it),
        emk_rule(emits_text_that_is_a_weight_too),
        emk_rule(takes_length_from_the_buffer_not_from_the_shape),
        emk_rule(keeps_small_ints_clear_on_request_only), emk_rule(rejects_data_in_buffer_0),
        emk_rule(rejects_a_buffer_number_beyond_the_list), emk_rule(rejects_another_identifier),
        emk_rule(rejects_another_version), emk_rule(rejects_every_file_cut_short),
        emk_rule(finds_data_behind_the_flatbuffer), emk_rule(takes_offsets_0_and_1_as_none),
        emk_rule(rejects_far_data_outside_the_file), emk_rule(rejects_a_buffer_with_data_twice),
        emk_rule(rejects_weights_that_lie_on_structure),
        emk_rule(rejects_weights_that_overlap_in_part),
        emk_rule(emits_custom_options_only_on_request), emk_rule(finds_large_custom_options),
        emk_rule(reports_trailing_bytes), emk_rule(lists_external_buffers_as_parts),
        emk_rule(rejects_an_external_buffer_without_its_group),
        emk_rule(rejects_more_external_files_than_the_limit),
        emk_rule(rejects_an_external_length_that_wraps), emk_rule(spends_no_more_than_its_budget),
        emk_rule(rejects_more_tensors_than_the_limit),
        emk_rule(handles_more_buffers_than_one_window), emk_rule(ends_with_the_visitors_failure));
}
