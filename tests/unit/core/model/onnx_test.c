#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"
#include "tests/unit/core/model/pb_build.h"

enum { F32 = 1, I64 = 7, STRING = 8 };

static model_check check;

static emk_status run(const pb_build *model, uint32_t flags)
{
    return model_check_all(&check, EMK_MODEL_ONNX, pb_span(model), flags);
}

#define refuses(model, st, why)                     \
    do {                                            \
        assert_status(run(model, 0), st, &check.e); \
        assert_string_equal(check.e.what, why);     \
    } while (0)

/* A tensor's labels; the data is up to the test. */
static void labels(pb_build *t, const char *name, unsigned type)
{
    t->len = 0;
    pb_varint(t, 1, 3);
    pb_varint(t, 1, 5);
    pb_varint(t, 2, type);
    if (name)
        pb_text(t, 8, name);
}

/* A model with a graph with this initializer. */
static void with_initializer(pb_build *model, const pb_build *tensor)
{
    pb_build graph = {.len = 0};

    model->len = 0;
    pb_varint(model, 1, 8);
    pb_message(&graph, 5, tensor);
    pb_message(model, 7, &graph);
}

/* The same with a node that has this attribute. */
static void with_attribute(pb_build *model, const pb_build *attribute)
{
    pb_build graph = {.len = 0}, node = {.len = 0};

    model->len = 0;
    pb_text(&node, 3, "node");
    pb_message(&node, 5, attribute);
    pb_message(&graph, 1, &node);
    pb_message(model, 7, &graph);
}

static void assert_only_fill(const pb_build *model, size_t len)
{
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.v[0].length, len);
    for (uint64_t i = 0; i < len; i++)
        assert_int_equal(model->p[check.v[0].offset + i], 0x5c);
}

static void emits_raw_data(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 9, 60, 0x5c);
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_only_fill(&model, 60);
    assert_int_equal(check.v[0].dtype, EMK_DTYPE_F32);
    assert_int_equal(check.v[0].rank, 2);
    assert_int_equal(check.v[0].dims[1], 5);
    assert_bytes(emk_span_of(model.p + check.v[0].name_off, check.v[0].name_len),
                 emk_span_str("w"));
}

static void emits_packed_floats_and_doubles(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 4, 40, 0x5c);
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_only_fill(&model, 40);
    labels(&t, "w", 11);
    pb_fill(&t, 10, 40, 0x5c);
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_only_fill(&model, 40);
}

static void emits_every_occurrence_of_a_field(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 9, 8, 1);
    pb_fill(&t, 9, 8, 2);
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.x.n, 2);
}

static void rejects_packed_values_cut_short(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 4, 41, 0);
    with_initializer(&model, &t);
    refuses(&model, EMK_E_FORMAT, "onnx: packed values");
    labels(&t, "w", 11);
    pb_fill(&t, 10, 44, 0);
    with_initializer(&model, &t);
    refuses(&model, EMK_E_FORMAT, "onnx: packed values");
}

static void reports_varints_and_single_values(void **state)
{
    static const uint32_t fields[] = {5, 7, 11};
    pb_build model, t;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        labels(&t, "w", 10);
        pb_fill(&t, fields[i], 30, 1);
        with_initializer(&model, &t);
        assert_ok(run(&model, 0), &check.e);
        assert_int_equal(check.n_seen, 0);
        assert_int_equal(check.report.clear[EMK_CLEAR_VARINT], 30);
        assert_status(run(&model, EMK_MODEL_STRICT), EMK_E_UNSUPPORTED, &check.e);
    }
    labels(&t, "w", F32);
    pb_fixed32(&t, 4, 1);
    pb_fixed32(&t, 4, 2);
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_VARINT], 8);
}

static void leaves_text_clear(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "words", STRING);
    pb_text(&t, 6, "label");
    pb_fill(&t, 9, 8, 0);
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.n_seen, 0);
    assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 13);
}

static void finds_tensors_in_attributes(void **state)
{
    static const uint32_t fields[] = {5, 10};
    pb_build model, t, attribute;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        labels(&t, NULL, F32);
        pb_fill(&t, 9, 60, 0x5c);
        attribute.len = 0;
        pb_message(&attribute, fields[i], &t);
        with_attribute(&model, &attribute);
        assert_ok(run(&model, 0), &check.e);
        assert_only_fill(&model, 60);
        assert_bytes(emk_span_of(model.p + check.v[0].name_off, check.v[0].name_len),
                     emk_span_str("node"));
    }
}

static void finds_sparse_tensors(void **state)
{
    static const uint32_t fields[] = {22, 23};
    pb_build model, t, sparse = {.len = 0}, attribute, graph = {.len = 0};

    (void)state;
    labels(&t, "values", F32);
    pb_fill(&t, 9, 16, 0x5c);
    pb_message(&sparse, 1, &t);
    labels(&t, "indices", I64);
    pb_fill(&t, 9, 32, 0x5c);
    pb_message(&sparse, 2, &t);
    for (size_t i = 0; i < 2; i++) {
        attribute.len = 0;
        pb_message(&attribute, fields[i], &sparse);
        with_attribute(&model, &attribute);
        assert_ok(run(&model, 0), &check.e);
        assert_int_equal(emk_extents_bytes(&check.x, 0), 48);
    }
    model.len = 0;
    pb_message(&graph, 15, &sparse);
    pb_message(&model, 7, &graph);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(emk_extents_bytes(&check.x, 0), 48);
}

static void finds_tensors_in_functions_and_training(void **state)
{
    pb_build model, t, graph = {.len = 0}, node = {.len = 0}, attribute = {.len = 0}, outer;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 9, 16, 0x5c);
    pb_message(&graph, 5, &t);
    pb_message(&attribute, 5, &t);
    pb_message(&node, 5, &attribute);
    outer.len = model.len = 0;
    pb_message(&outer, 1, &graph);
    pb_message(&outer, 2, &graph);
    pb_message(&model, 20, &outer);
    outer.len = 0;
    pb_message(&outer, 7, &node);
    pb_message(&model, 25, &outer);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.x.n, 3);
}

/* A graph in an attribute of a node of a graph, so many times. */
static void nested(pb_build *model, unsigned depth)
{
    static pb_build inner, t;

    labels(&t, "w", F32);
    pb_fill(&t, 9, 16, 0x5c);
    inner.len = 0;
    pb_message(&inner, 5, &t);
    for (unsigned i = 0; i < depth; i++) {
        static pb_build attribute, node, graph;

        attribute.len = node.len = graph.len = 0;
        pb_message(&attribute, i % 2 ? 6 : 11, &inner);
        pb_message(&node, 5, &attribute);
        pb_message(&graph, 1, &node);
        inner = graph;
    }
    model->len = 0;
    pb_message(model, 7, &inner);
}

static void walks_nested_graphs_up_to_a_depth(void **state)
{
    static pb_build model;

    (void)state;
    nested(&model, 32);
    assert_ok(run(&model, 0), &check.e);
    assert_only_fill(&model, 16);
    nested(&model, 60);
    refuses(&model, EMK_E_LIMIT, "model: messages nested too deep");
}

static void reports_what_attributes_hold(void **state)
{
    pb_build model, attribute;

    (void)state;
    for (size_t len = 1024; len <= 1028; len += 4) {
        attribute.len = 0;
        pb_fill(&attribute, 7, len, 0);
        with_attribute(&model, &attribute);
        assert_ok(run(&model, 0), &check.e);
        assert_int_equal(check.report.clear[EMK_CLEAR_ATTRIBUTE], len > 1024 ? len : 0);
    }
}

static void put_external(pb_build *t, const char *key, const char *value)
{
    pb_build entry = {.len = 0};

    pb_text(&entry, 1, key);
    pb_text(&entry, 2, value);
    pb_message(t, 13, &entry);
}

static void external(pb_build *model, const char *location, const char *offset, const char *length)
{
    pb_build t;

    labels(&t, "w", F32);
    pb_varint(&t, 14, 1);
    if (location)
        put_external(&t, "location", location);
    if (offset)
        put_external(&t, "offset", offset);
    if (length)
        put_external(&t, "length", length);
    with_initializer(model, &t);
}

static void lists_external_data_as_parts(void **state)
{
    pb_build model, more;

    (void)state;
    external(&model, "dir/w.bin", "4096", "60");
    external(&more, "dir/w.bin", "8192", NULL);
    pb_bytes(&model, 7, emk_span_of(more.p + 4, more.len - 4)); /* a second graph merges */
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.report.n_parts, 1);
    assert_bytes(
        emk_span_of(model.p + check.report.parts[0].name_off, check.report.parts[0].name_len),
        emk_span_str("dir/w.bin"));
    assert_int_equal(check.v[0].part, 1);
    assert_int_equal(check.v[0].offset, 4096);
    assert_int_equal(check.v[0].length, 60);
    assert_int_equal(check.v[1].offset, 8192);
    assert_int_equal(check.v[1].length, (1 << 20) - 8192);
}

static void ignores_external_data_that_is_not_in_use(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    put_external(&t, "location", "../outside");
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.report.n_parts, 0);
}

static void emits_checksums_of_external_data(void **state)
{
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    pb_varint(&t, 14, 1);
    put_external(&t, "location", "w.bin");
    put_external(&t, "checksum", "0123456789abcdef0123456789abcdef01234567");
    with_initializer(&model, &t);
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.report.checksum_bytes, 40);
    assert_int_equal(check.v[0].part, 0);
    assert_int_equal(check.v[0].kind, EMK_TENSOR_CHECKSUM);
    assert_bytes(emk_span_of(model.p + check.v[0].offset, (size_t)check.v[0].length),
                 emk_span_str("0123456789abcdef0123456789abcdef01234567"));
}

/* Several tensors of one file, one after the other in the graph. */
static emk_status run_external(const char *const (*ranges)[2], size_t n)
{
    pb_build model = {.len = 0}, one;

    for (size_t i = 0; i < n; i++) {
        external(&one, "w.bin", ranges[i][0], ranges[i][1]);
        pb_bytes(&model, 7, emk_span_of(one.p + 4, one.len - 4));
    }
    return run(&model, 0);
}

static void keeps_coinciding_ranges_of_external_data_once_and_leaves_gaps(void **state)
{
    static const char *const ranges[][2] = {{"100", "50"}, {"0", "10"}, {"100", "50"}};

    (void)state;
    assert_ok(run_external(ranges, 3), &check.e);
    assert_int_equal(check.report.tensors, 3);
    assert_int_equal(check.report.n_parts, 1);
    assert_int_equal(check.x.n, 2);
    assert_int_equal(check.v[0].length, 10);
    assert_int_equal(check.v[1].offset, 100);
    assert_int_equal(emk_extents_bytes(&check.x, 1), 60);
}

static void rejects_external_ranges_that_overlap_in_part(void **state)
{
    static const char *const apart[][2] = {{"0", "50"}, {"49", "10"}};
    static const char *const inside[][2] = {{"0", "50"}, {"10", "10"}};
    static const char *const open[][2] = {{"0", NULL}, {"10", "10"}};

    (void)state;
    assert_status(run_external(apart, 2), EMK_E_FORMAT, &check.e);
    assert_status(run_external(inside, 2), EMK_E_FORMAT, &check.e);
    assert_status(run_external(open, 2), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "model: tensors overlap");
}

static void rejects_external_ranges_outside_their_file(void **state)
{
    static const char *const behind[][2] = {{"1048570", "10"}};
    static const char *const wraps[][2] = {{"9999999999999999999", "9999999999999999999"}};

    (void)state;
    assert_status(run_external(behind, 1), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "model: tensor outside its file");
    assert_status(run_external(wraps, 1), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "onnx: external range");
}

/* Were it two parts, one file would be sealed twice. */
static void takes_two_spellings_of_a_name_for_one_file(void **state)
{
    static const char *const same[] = {"a/w", "./a/w", "././a/w"};
    pb_build model = {.len = 0}, one;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        external(&one, same[i], "0", "4");
        pb_bytes(&model, 7, emk_span_of(one.p + 4, one.len - 4));
    }
    assert_ok(run(&model, 0), &check.e);
    assert_int_equal(check.report.n_parts, 1);
    assert_int_equal(check.x.n, 1);
}

static void rejects_external_names_that_lead_elsewhere(void **state)
{
    static const char *const bad[] = {"/etc/passwd", "../w", "a/../w", "a/..",     "..",    "a\\w",
                                      "a//w",        "a/",   "C:\\w",  "",         "a/./w", "c:w",
                                      "a\nb",        ".",    "./",     "\xff\xfe", "a\x7f"};
    static const char *const good[] = {"w", "a/w", "./w", "...", "..w", ".w", "w..", "a.b/c..d"};
    pb_build model;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        external(&model, bad[i], NULL, NULL);
        if (run(&model, 0) != EMK_E_FORMAT)
            fail_msg("accepted \"%s\"", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        external(&model, good[i], NULL, NULL);
        if (run(&model, 0) != EMK_OK)
            fail_msg("refused %s: %s", good[i], check.e.what);
    }
    external(&model, NULL, "0", "4");
    refuses(&model, EMK_E_FORMAT, "onnx: external data without a file");
}

static void rejects_external_numbers_that_are_none(void **state)
{
    static const char *const bad[] = {"", "-1", "0x10", "1 ", "12345678901234567890"};
    pb_build model;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        external(&model, "w", bad[i], "4");
        refuses(&model, EMK_E_FORMAT, "onnx: external number");
        external(&model, "w", "4", bad[i]);
        refuses(&model, EMK_E_FORMAT, "onnx: external number");
    }
}

static void rejects_more_external_files_than_the_limit(void **state)
{
    pb_build model = {.len = 0};

    (void)state;
    for (unsigned i = 0; i <= EMK_MODEL_PARTS_MAX; i++) {
        pb_build one;
        char name[8];

        snprintf(name, sizeof name, "w%u", i);
        external(&one, name, NULL, NULL);
        pb_bytes(&model, 7, emk_span_of(one.p + 4, one.len - 4));
        assert_int_equal(run(&model, 0), i < EMK_MODEL_PARTS_MAX ? EMK_OK : EMK_E_LIMIT);
    }
}

static void rejects_fields_of_another_wire_type(void **state)
{
    pb_build model = {.len = 0};

    (void)state;
    pb_varint(&model, 7, 1);
    refuses(&model, EMK_E_FORMAT, "protobuf: field of another wire type");
}

static void rejects_a_file_without_a_graph(void **state)
{
    pb_build model = {.len = 0};

    (void)state;
    refuses(&model, EMK_E_FORMAT, "onnx: no graph");
    pb_varint(&model, 1, 8);
    refuses(&model, EMK_E_FORMAT, "onnx: no graph");
}

static void rejects_files_cut_short(void **state)
{
    pb_build model, t;
    size_t len;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 9, 60, 0x5c);
    with_initializer(&model, &t);
    len = model.len;
    for (model.len = 0; model.len < len; model.len++)
        assert_int_not_equal(run(&model, 0), EMK_OK);
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 8};
    pb_build model, t;

    (void)state;
    labels(&t, "w", F32);
    pb_fill(&t, 9, 60, 0x5c);
    with_initializer(&model, &t);
    emk_image_from_span(&check.im, pb_span(&model));
    assert_status(emk_model_scan(EMK_MODEL_ONNX, &check.im, &limits, NULL, NULL, NULL, &check.e),
                  EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(emits_raw_data), emk_rule(emits_packed_floats_and_doubles),
        emk_rule(emits_every_occurrence_of_a_field), emk_rule(rejects_packed_values_cut_short),
        emk_rule(reports_varints_and_single_values), emk_rule(leaves_text_clear),
        emk_rule(finds_tensors_in_attributes), emk_rule(finds_sparse_tensors),
        emk_rule(finds_tensors_in_functions_and_training),
        emk_rule(walks_nested_graphs_up_to_a_depth), emk_rule(reports_what_attributes_hold),
        emk_rule(lists_external_data_as_parts), emk_rule(ignores_external_data_that_is_not_in_use),
        emk_rule(emits_checksums_of_external_data),
        emk_rule(keeps_coinciding_ranges_of_external_data_once_and_leaves_gaps),
        emk_rule(rejects_external_ranges_that_overlap_in_part),
        emk_rule(rejects_external_ranges_outside_their_file),
        emk_rule(takes_two_spellings_of_a_name_for_one_file),
        emk_rule(rejects_external_names_that_lead_elsewhere),
        emk_rule(rejects_external_numbers_that_are_none),
        emk_rule(rejects_more_external_files_than_the_limit),
        emk_rule(rejects_fields_of_another_wire_type), emk_rule(rejects_a_file_without_a_graph),
        emk_rule(rejects_files_cut_short), emk_rule(spends_no_more_than_its_budget));
}
