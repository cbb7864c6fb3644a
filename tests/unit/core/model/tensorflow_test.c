#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"
#include "tests/unit/core/model/pb_build.h"

enum { F32 = 1, STRING = 7, HALF = 19 };

static model_check check;

static emk_status run(const pb_build *graph, uint32_t flags)
{
    return model_check_all(&check, EMK_MODEL_GRAPHDEF, pb_span(graph), flags);
}

#define refuses(graph, st, why)                     \
    do {                                            \
        assert_status(run(graph, 0), st, &check.e); \
        assert_string_equal(check.e.what, why);     \
    } while (0)

/* Type and a shape of 3 x unknown; the data is up to the test. */
static void labels(pb_build *t, unsigned type)
{
    pb_build shape = {.len = 0}, dim = {.len = 0};

    t->len = 0;
    pb_varint(&dim, 1, 3);
    pb_message(&shape, 2, &dim);
    dim.len = 0;
    pb_varint(&dim, 1, UINT64_MAX);
    pb_message(&shape, 2, &dim);
    pb_varint(t, 1, type);
    pb_message(t, 2, &shape);
}

/* A node whose attribute has this field of an AttrValue. */
static void make_node(pb_build *node, uint32_t field, const pb_build *m)
{
    static pb_build entry, value;

    entry.len = value.len = node->len = 0;
    pb_message(&value, field, m);
    pb_text(&entry, 1, "value");
    pb_message(&entry, 2, &value);
    pb_text(node, 1, "node");
    pb_text(node, 2, "Const");
    pb_message(node, 5, &entry);
}

static void with_tensor(pb_build *graph, const pb_build *tensor)
{
    static pb_build node;

    make_node(&node, 8, tensor);
    graph->len = 0;
    pb_message(graph, 1, &node);
}

static void emits_what_can_be_sealed_in_place(void **state)
{
    static const uint32_t fields[] = {4, 5, 6, 9, 12, 18};
    pb_build graph, t;

    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        labels(&t, F32);
        pb_fill(&t, fields[i], 48, 0x5c);
        with_tensor(&graph, &t);
        assert_ok(run(&graph, 0), &check.e);
        assert_int_equal(check.x.n, 1);
        assert_int_equal(check.v[0].length, 48);
        assert_int_equal(graph.p[check.v[0].offset], 0x5c);
        assert_int_equal(graph.p[check.v[0].offset + 47], 0x5c);
    }
    assert_int_equal(check.v[0].dtype, EMK_DTYPE_F32);
    assert_int_equal(check.v[0].rank, 2);
    assert_int_equal(check.v[0].dims[0], 3);
    assert_int_equal(check.v[0].dims[1], 0);
    assert_bytes(emk_span_of(graph.p + check.v[0].name_off, check.v[0].name_len),
                 emk_span_str("node"));
}

static void reports_what_cannot(void **state)
{
    static const uint32_t fields[] = {7, 10, 11, 13, 16, 17};
    pb_build graph, t;

    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        labels(&t, HALF);
        pb_fill(&t, fields[i], 30, 1);
        with_tensor(&graph, &t);
        assert_ok(run(&graph, 0), &check.e);
        assert_int_equal(check.n_seen, 0);
        assert_int_equal(check.report.clear[EMK_CLEAR_VARINT], 30);
        assert_status(run(&graph, EMK_MODEL_STRICT), EMK_E_UNSUPPORTED, &check.e);
    }
    labels(&t, F32);
    pb_fixed32(&t, 5, 1);
    with_tensor(&graph, &t);
    assert_ok(run(&graph, 0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_VARINT], 4);
}

static void leaves_text_clear(void **state)
{
    pb_build graph, t;

    (void)state;
    labels(&t, STRING);
    pb_text(&t, 8, "variable");
    pb_fill(&t, 4, 10, 0);
    with_tensor(&graph, &t);
    assert_ok(run(&graph, 0), &check.e);
    assert_int_equal(check.n_seen, 0);
    assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 18);
}

static void finds_tensors_in_lists_and_functions(void **state)
{
    static pb_build graph, t, list, node, function, library;

    (void)state;
    labels(&t, F32);
    pb_fill(&t, 4, 16, 1);
    pb_message(&list, 8, &t);
    pb_message(&list, 8, &t);
    make_node(&node, 1, &list);
    pb_message(&function, 3, &node);
    pb_message(&library, 1, &function);
    graph.len = 0;
    pb_message(&graph, 2, &library);
    assert_ok(run(&graph, 0), &check.e);
    assert_int_equal(check.x.n, 2);
}

/* A tensor in the attributes of a function in the attributes of a function ... */
static void nested(pb_build *graph, unsigned depth)
{
    static pb_build entry, value, inner;

    labels(&inner, F32);
    pb_fill(&inner, 4, 16, 1);
    for (unsigned i = 0; i <= depth; i++) {
        value.len = entry.len = 0;
        pb_message(&value, i == 0 ? 8 : 10, &inner);
        pb_message(&entry, 2, &value);
        inner.len = 0;
        pb_message(&inner, i == depth ? 5 : 2, &entry);
    }
    graph->len = 0;
    pb_message(graph, 1, &inner);
}

static void walks_nested_functions_up_to_a_depth(void **state)
{
    static pb_build graph;

    (void)state;
    nested(&graph, 32);
    assert_ok(run(&graph, 0), &check.e);
    assert_int_equal(check.x.n, 1);
    nested(&graph, 60);
    refuses(&graph, EMK_E_LIMIT, "model: messages nested too deep");
}

static void reports_engines_in_text_attributes(void **state)
{
    static pb_build graph, value, entry, node;

    (void)state;
    pb_fill(&value, 2, 1025, 0);
    pb_message(&entry, 2, &value);
    pb_message(&node, 5, &entry);
    pb_message(&graph, 1, &node);
    assert_ok(run(&graph, 0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_ATTRIBUTE], 1025);
}

static void reads_the_graphs_of_a_saved_model(void **state)
{
    pb_build graph, t, meta = {.len = 0}, saved = {.len = 0};

    (void)state;
    labels(&t, F32);
    pb_fill(&t, 4, 16, 1);
    with_tensor(&graph, &t);
    pb_message(&meta, 2, &graph);
    pb_varint(&saved, 1, 1);
    pb_message(&saved, 2, &meta);
    pb_message(&saved, 2, &meta);
    assert_ok(model_check_all(&check, EMK_MODEL_SAVEDMODEL, pb_span(&saved), 0), &check.e);
    assert_int_equal(check.x.n, 2);
    assert_int_equal(emk_model_detect(&check.im, "dir/saved_model.pb"), EMK_MODEL_SAVEDMODEL);
    assert_int_equal(emk_model_detect(&check.im, "frozen.pb"), EMK_MODEL_UNKNOWN);
}

static void rejects_packed_values_cut_short(void **state)
{
    static const uint32_t fields[] = {5, 6, 9, 12};
    pb_build graph, t;

    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        labels(&t, F32);
        pb_fill(&t, fields[i], 18, 0);
        with_tensor(&graph, &t);
        refuses(&graph, EMK_E_FORMAT, "tensorflow: packed values");
    }
}

static void rejects_a_file_without_a_graph(void **state)
{
    pb_build graph = {.len = 0};

    (void)state;
    refuses(&graph, EMK_E_FORMAT, "tensorflow: no graph");
    pb_text(&graph, 4, "versions only");
    refuses(&graph, EMK_E_FORMAT, "tensorflow: no graph");
}

static void rejects_fields_of_another_wire_type(void **state)
{
    pb_build graph = {.len = 0};

    (void)state;
    pb_varint(&graph, 1, 8);
    refuses(&graph, EMK_E_FORMAT, "protobuf: field of another wire type");
}

static void rejects_files_cut_short(void **state)
{
    pb_build graph, t;
    size_t len;

    (void)state;
    labels(&t, F32);
    pb_fill(&t, 4, 60, 1);
    with_tensor(&graph, &t);
    len = graph.len;
    for (graph.len = 0; graph.len < len; graph.len++)
        assert_int_not_equal(run(&graph, 0), EMK_OK);
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 8};
    pb_build graph, t;

    (void)state;
    labels(&t, F32);
    pb_fill(&t, 4, 60, 1);
    with_tensor(&graph, &t);
    emk_image_from_span(&check.im, pb_span(&graph));
    assert_status(
        emk_model_scan(EMK_MODEL_GRAPHDEF, &check.im, &limits, NULL, NULL, NULL, &check.e),
        EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(emits_what_can_be_sealed_in_place), emk_rule(reports_what_cannot),
        emk_rule(leaves_text_clear), emk_rule(finds_tensors_in_lists_and_functions),
        emk_rule(walks_nested_functions_up_to_a_depth),
        emk_rule(reports_engines_in_text_attributes), emk_rule(reads_the_graphs_of_a_saved_model),
        emk_rule(rejects_packed_values_cut_short), emk_rule(rejects_a_file_without_a_graph),
        emk_rule(rejects_fields_of_another_wire_type), emk_rule(rejects_files_cut_short),
        emk_rule(spends_no_more_than_its_budget));
}
