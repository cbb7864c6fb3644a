#include "core/pack/survey.h"

#include "core/base/fault.h"
#include "core/pack/pack.h"
#include "tests/unit/core/model/fb_build.h"
#include "tests/unit/core/model/pb_build.h"
#include "tests/unit/core/seal/world.h"

#define FILES 8u

static world w;
static char about[EMK_SURVEY_ABOUT];
static emk_error e;

/* A model in memory. */
static struct model {
    uint8_t bytes[1 << 17];
    char paths[FILES][64];
    emk_pack_file files[FILES];
    uint32_t n;
    emk_source source;
} m;

static void start(void)
{
    m.n = 0;
    m.source = emk_source_from_span(emk_span_of(m.bytes, 0));
    about[0] = 0;
}

/* In the order of their paths. */
static void add(const char *path, emk_span bytes)
{
    assert_true(m.n < FILES && m.source.len + bytes.len <= sizeof m.bytes);
    snprintf(m.paths[m.n], sizeof m.paths[m.n], "%s", path);
    m.files[m.n] = (emk_pack_file){m.paths[m.n], m.source.len, bytes.len};
    m.n++;
    if (bytes.len)
        memcpy(m.bytes + m.source.len, bytes.p, bytes.len);
    m.source.len += bytes.len;
}

static void add_random(const char *path, size_t len)
{
    static uint8_t bytes[1 << 16];

    world_fill(bytes, len);
    add(path, emk_span_of(bytes, len));
}

static void put_external(pb_build *t, const char *key, const char *value)
{
    pb_build entry = {.len = 0};

    pb_text(&entry, 1, key);
    pb_text(&entry, 2, value);
    pb_message(t, 13, &entry);
}

/* An ONNX model with one tensor: `type`, in that file at that place. */
static void put_tensor(pb_build *model, const char *location, const char *offset,
                       const char *length, uint64_t type)
{
    pb_build t = {.len = 0}, graph = {.len = 0};

    pb_varint(&t, 1, 1);
    pb_varint(&t, 2, type);
    pb_text(&t, 8, "w");
    pb_varint(&t, 14, 1);
    put_external(&t, "location", location);
    put_external(&t, "offset", offset);
    put_external(&t, "length", length);
    pb_message(&graph, 5, &t);
    pb_message(model, 7, &graph);
}

#define ONNX_FLOAT 1u
#define ONNX_INT64 7u

static void add_onnx(const char *path, const char *location, const char *offset, const char *length)
{
    pb_build model = {.len = 0};

    pb_varint(&model, 1, 8);
    put_tensor(&model, location, offset, length, ONNX_FLOAT);
    add(path, pb_span(&model));
}

static emk_status survey(emk_survey **s)
{
    emk_survey_in in = {.model = &m.source, .files = m.files, .n_files = m.n, .about = about};

    return emk_survey_new(&in, s, &e);
}

static emk_status gather(emk_survey **s, emk_extents *x)
{
    emk_status st = survey(s);

    return st == EMK_OK ? emk_survey_gather(*s, x, &e) : st;
}

/* Where a list points until it is filled. */
static emk_tensor nothing;

static void expect_refused(emk_status want, const char *which)
{
    emk_survey *s = NULL;
    emk_extents x = {.v = &nothing};

    assert_status(gather(&s, &x), want, &e);
    assert_string_equal(about, which);
    emk_survey_free(s);
}

static emk_status plan_of(emk_pack_in *in, emk_plan *plan, emk_pack_report *report)
{
    in->model = &m.source;
    in->files = m.files;
    in->n_files = m.n;
    in->threads = 1;
    in->about = about;
    return emk_pack_plan(w.crypto, in, plan, report, &e);
}

/* ---- parts ---- */

static void ranges_of_a_part_are_placed_in_the_whole_model(void **state)
{
    emk_survey *s = NULL;
    emk_extents x = {.v = &nothing};

    (void)state;
    start();
    add_random("a/unrelated", 100);
    add_random("b/data/w.bin", 64);
    add_onnx("b/model.onnx", "data/w.bin", "8", "40");
    assert_ok(gather(&s, &x), &e);
    assert_int_equal(x.n, 1);
    assert_int_equal(x.v[0].offset, 100 + 8);
    assert_int_equal(x.v[0].length, 40);
    assert_int_equal(x.v[0].part, 0);
    assert_int_equal(m.bytes[x.v[0].name_off], 'w');
    assert_true(s->files[1].is_part);
    assert_false(emk_survey_is_model(s, 0));
    assert_false(emk_survey_is_model(s, 1));
    assert_true(emk_survey_is_model(s, 2));
    emk_survey_free(s);
}

static void a_part_is_not_read_by_itself(void **state)
{
    static const char broken[] = "GGUF\x03\0\0\0 and this is none, which would be refused";
    emk_survey *s = NULL;
    emk_extents x = {.v = &nothing};

    (void)state;
    start();
    add_onnx("m.onnx", "w.gguf", "0", "16");
    add("w.gguf", emk_span_of(broken, sizeof broken));
    assert_ok(gather(&s, &x), &e);
    assert_int_equal(x.n, 1);
    emk_survey_free(s);
    start(); /* alone it is */
    add("v.gguf", emk_span_of(broken, sizeof broken));
    add("w.gguf", emk_span_of("", 0));
    expect_refused(EMK_E_FORMAT, "v.gguf");
}

static void two_models_may_share_a_part_and_ranges_of_it(void **state)
{
    emk_survey *s = NULL;
    emk_extents x = {.v = &nothing};

    (void)state;
    start();
    add_onnx("decoder.onnx", "w.bin", "0", "32");
    add_onnx("encoder.onnx", "w.bin", "0", "32");
    add_onnx("third.onnx", "w.bin", "32", "32");
    add_random("w.bin", 64);
    assert_ok(gather(&s, &x), &e);
    assert_int_equal(x.n, 2);
    assert_int_equal(x.v[0].offset + 32, x.v[1].offset);
    emk_survey_free(s);
}

static void refuses_ranges_of_two_models_that_overlap_in_part(void **state)
{
    (void)state;
    start();
    add_onnx("a.onnx", "w.bin", "0", "32");
    add_onnx("b.onnx", "w.bin", "16", "32");
    add_random("w.bin", 64);
    expect_refused(EMK_E_FORMAT, "");
}

static void refuses_a_range_outside_its_part(void **state)
{
    (void)state;
    start();
    add_onnx("a.onnx", "w.bin", "40", "32");
    add_random("w.bin", 64);
    add_random("z", 100); /* what lies behind is another file */
    expect_refused(EMK_E_FORMAT, "a.onnx");
}

static void refuses_a_part_that_is_not_there_and_names_it(void **state)
{
    (void)state;
    start();
    add_onnx("dir/a.onnx", "w.bin", "0", "8");
    add_random("w.bin", 64); /* of that name, but not where it is looked for */
    expect_refused(EMK_E_NOT_FOUND, "dir/w.bin");
}

static void refuses_a_single_file_with_weights_elsewhere(void **state)
{
    (void)state;
    start();
    add_onnx("a.onnx", "w.bin", "0", "8");
    expect_refused(EMK_E_UNSUPPORTED, "a.onnx");
}

static void refuses_files_that_are_parts_of_one_another(void **state)
{
    (void)state;
    start();
    add_onnx("a.onnx", "b.onnx", "0", "8");
    add_onnx("b.onnx", "a.onnx", "0", "8");
    expect_refused(EMK_E_FORMAT, "a.onnx");
}

static void refuses_names_that_leave_the_folder(void **state)
{
    static const char *const bad[] = {"../w.bin", "/w.bin", "x/../../w.bin", "..\\w.bin"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        start();
        add_onnx("dir/a.onnx", bad[i], "0", "8");
        add_random("w.bin", 64);
        expect_refused(EMK_E_FORMAT, "dir/a.onnx");
    }
}

static void an_index_wants_its_shards_and_leaves_them_models(void **state)
{
    static const char index[] = "{\"weight_map\":{\"w\":\"s.safetensors\"}}";
    static const char shard[] =
        "\x38\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}   1234";
    emk_survey *s = NULL;
    emk_extents x = {.v = &nothing};

    (void)state;
    start();
    add("model.safetensors.index.json", emk_span_str(index));
    add("s.safetensors", emk_span_of(shard, 8 + 0x38 + 4));
    assert_ok(gather(&s, &x), &e);
    assert_true(emk_survey_is_model(s, 1));
    assert_int_equal(x.n, 1);
    assert_int_equal(x.v[0].offset, m.source.len - 4);
    emk_survey_free(s);
    start();
    add("model.safetensors.index.json", emk_span_str(index));
    add("t.safetensors", emk_span_of(shard, 8 + 0x38 + 4));
    expect_refused(EMK_E_NOT_FOUND, "s.safetensors");
}

static void what_is_named_and_of_no_format_is_a_part_without_ranges(void **state)
{
    emk_survey *s = NULL;

    (void)state;
    start();
    add("model.safetensors.index.json", emk_span_str("{\"weight_map\":{\"w\":\"w.bin\"}}"));
    add_random("w.bin", 64);
    assert_ok(survey(&s), &e);
    assert_true(s->files[1].is_part);
    assert_false(emk_survey_is_model(s, 1));
    emk_survey_free(s);
}

/* A TensorFlow Lite model of one tensor, whose bytes are said to be those of the list of tensors
 * itself. */
static void evil_tflite(fb_build *b)
{
    static const uint8_t model_w[] = {4, 4, 4, 4, 4, 4, 4, 4, 4, 4}, graph_w[] = {4, 0, 0, 4},
                         tensor_w[] = {4, 1, 4, 4}, far_w[] = {4, 8, 8};
    uint32_t model, graphs, graph, tensors, buffers, t, far;

    fb_build_init(b, "TFL3");
    model = fb_build_table(b, model_w, 10);
    fb_build_ref(b, 0, model);
    fb_build_put_slot(b, model, 0, 3, 4);
    for (uint32_t i = 1; i < 10; i++)
        fb_build_ref_slot(b, model, i, fb_build_vector(b, 0, 4));
    graphs = fb_build_vector(b, 1, 4);
    fb_build_ref_slot(b, model, 2, graphs);
    graph = fb_build_table(b, graph_w, 4);
    fb_build_ref(b, graphs + 4, graph);
    tensors = fb_build_vector(b, 1, 4);
    fb_build_ref_slot(b, graph, 0, tensors);
    fb_build_ref_slot(b, graph, 3, fb_build_vector(b, 0, 4));
    buffers = fb_build_vector(b, 2, 4);
    fb_build_ref_slot(b, model, 4, buffers);
    fb_build_ref(b, buffers + 4, fb_build_table(b, NULL, 0));
    far = fb_build_table(b, far_w, 3);
    fb_build_ref(b, buffers + 8, far);
    fb_build_ref_slot(b, far, 0, fb_build_vector(b, 0, 1));
    fb_build_put_slot(b, far, 1, tensors, 8);
    fb_build_put_slot(b, far, 2, 8, 8);
    t = fb_build_table(b, tensor_w, 4);
    fb_build_ref(b, tensors + 4, t);
    fb_build_ref_slot(b, t, 0, fb_build_vector(b, 0, 4));
    fb_build_put_slot(b, t, 2, 1, 4);
    fb_build_ref_slot(b, t, 3, fb_build_text(b, "evil"));
}

static void refuses_weights_that_lie_on_structure_in_any_file(void **state)
{
    fb_build b;

    (void)state;
    evil_tflite(&b);
    start();
    add_random("a", 100);
    add("b/evil.tflite", emk_span_of(b.p, b.len));
    fb_build_done(&b);
    expect_refused(EMK_E_FORMAT, "b/evil.tflite");
    assert_string_equal(e.what, "model: weights overlap structure");
}

static void two_files_may_use_the_same_names(void **state)
{
    static const char shard[] =
        "\x38\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}   1234";
    emk_survey *s = NULL;
    emk_extents x = {.v = &nothing};

    (void)state;
    start();
    add("a.safetensors", emk_span_of(shard, 8 + 0x38 + 4));
    add("b.safetensors", emk_span_of(shard, 8 + 0x38 + 4));
    assert_ok(gather(&s, &x), &e);
    assert_int_equal(x.n, 2);
    emk_survey_free(s);
}

/* ---- plans ---- */

static uint64_t bytes_of(const emk_plan *plan, emk_region_kind kind)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < plan->n_regions; i++)
        sum += plan->regions[i].kind == kind ? plan->regions[i].length : 0;
    return sum;
}

static void tree_of_a_model_and_other_files(void)
{
    start();
    add_random("a.txt", 1000);
    add_onnx("m.onnx", "w.bin", "8", "40");
    add_random("w.bin", 64);
    add_random("z.txt", 500);
}

static void only_what_a_reader_knows_stays_clear(void **state)
{
    emk_pack_in in = {.clear_structure = true};
    emk_pack_report report;
    emk_plan plan;

    (void)state;
    tree_of_a_model_and_other_files();
    assert_ok(plan_of(&in, &plan, &report), &e);
    assert_int_equal(bytes_of(&plan, EMK_REGION_TENSOR), 40);
    assert_int_equal(bytes_of(&plan, EMK_REGION_CLEAR), m.files[1].length);
    assert_int_equal(bytes_of(&plan, EMK_REGION_SEALED), 1000 + 24 + 500);
    assert_int_equal(report.clear_bytes, m.files[1].length);
    assert_int_equal(report.weight_bytes, 40);
    assert_int_equal(report.unknown_bytes, 1500);
    assert_int_equal(report.format, EMK_MODEL_ONNX);
    assert_int_equal(report.n_files, 4);
    assert_int_equal(report.files[1].format, EMK_MODEL_ONNX);
    assert_true(report.files[2].is_part);
    emk_plan_done(&plan);
}

static emk_status see_path(void *self, const emk_file_entry *entry, emk_error *err)
{
    uint32_t *i = self;

    (void)err;
    assert_bytes(entry->path, emk_span_str(m.files[*i].path));
    assert_int_equal(entry->offset, m.files[*i].offset);
    assert_int_equal(entry->length, m.files[*i].length);
    ++*i;
    return EMK_OK;
}

static void a_tree_travels_with_its_paths(void **state)
{
    static const bool clear[] = {false, true};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        emk_pack_in in = {.clear_structure = clear[k]};
        emk_buf sealed, vault, opened;
        emk_plan plan;
        uint32_t i = 0;

        tree_of_a_model_and_other_files();
        assert_ok(plan_of(&in, &plan, NULL), &e);
        assert_ok(emk_files_each(&plan, see_path, &i, &e), &e);
        assert_int_equal(i, 4);
        assert_ok(world_seal(&w, emk_span_of(m.bytes, (size_t)m.source.len), &plan, &sealed, &e),
                  &e);
        assert_ok(world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
        assert_ok(world_open(&w, emk_buf_span(&vault), &opened, NULL, &e), &e);
        assert_bytes(emk_buf_span(&opened), emk_span_of(m.bytes, (size_t)m.source.len));
        emk_buf_done(&sealed);
        emk_buf_done(&vault);
        emk_buf_done(&opened);
        emk_plan_done(&plan);
    }
}

/* Of an external file only what the model names as such. */
static void small_integers_of_a_part_stay_clear_and_nothing_else_of_it(void **state)
{
    emk_pack_in in = {.clear_structure = true, .model_flags = EMK_MODEL_KEEP_SMALL_INT};
    pb_build model = {.len = 0};
    emk_pack_report report;
    emk_plan plan;

    (void)state;
    start();
    pb_varint(&model, 1, 8);
    put_tensor(&model, "w.bin", "0", "16", ONNX_INT64);
    put_tensor(&model, "w.bin", "32", "1000", ONNX_FLOAT);
    put_tensor(&model, "w.bin", "1100", "800", ONNX_INT64); /* not a small one */
    put_tensor(&model, "w.bin", "1960", "40", ONNX_INT64);
    add("m.onnx", pb_span(&model));
    add_random("w.bin", 2000);
    assert_ok(plan_of(&in, &plan, &report), &e);
    assert_int_equal(bytes_of(&plan, EMK_REGION_TENSOR), 1800);
    assert_int_equal(bytes_of(&plan, EMK_REGION_CLEAR), model.len + 16 + 40);
    assert_int_equal(bytes_of(&plan, EMK_REGION_SEALED), 2000 - 1800 - 56);
    emk_plan_done(&plan);
    in.model_flags = 0;
    assert_ok(plan_of(&in, &plan, &report), &e);
    assert_int_equal(bytes_of(&plan, EMK_REGION_CLEAR), model.len);
    emk_plan_done(&plan);
}

static void strict_refuses_less_than_90_per_cent(void **state)
{
    emk_pack_in in = {.model_flags = EMK_MODEL_STRICT};
    emk_plan plan;

    (void)state;
    tree_of_a_model_and_other_files();
    assert_status(plan_of(&in, &plan, NULL), EMK_E_UNSUPPORTED, &e);
    start();
    add_onnx("m.onnx", "w.bin", "0", "60000");
    add_random("w.bin", 60000);
    assert_ok(plan_of(&in, &plan, NULL), &e);
    emk_plan_done(&plan);
}

static void refuses_files_that_are_not_all_of_the_model(void **state)
{
    emk_pack_in in = {.whole = true};
    emk_plan plan;

    (void)state;
    tree_of_a_model_and_other_files();
    m.files[3].length--;
    assert_status(plan_of(&in, &plan, NULL), EMK_E_USAGE, &e);
    m.files[3].length += 2;
    assert_status(plan_of(&in, &plan, NULL), EMK_E_USAGE, &e);
    tree_of_a_model_and_other_files();
    m.files[2].offset++;
    assert_status(plan_of(&in, &plan, NULL), EMK_E_USAGE, &e);
}

static void refuses_paths_that_the_container_refuses(void **state)
{
    emk_pack_in in = {.whole = true};
    emk_plan plan;

    (void)state;
    start();
    add_random("b", 10);
    add_random("a", 10);
    assert_status(plan_of(&in, &plan, NULL), EMK_E_FORMAT, &e);
    start();
    add_random("../a", 10);
    assert_status(plan_of(&in, &plan, NULL), EMK_E_FORMAT, &e);
    start();
    add_random("a", 10);
    add_random("a/b", 10);
    assert_status(plan_of(&in, &plan, NULL), EMK_E_FORMAT, &e);
}

static void refuses_a_format_for_several_files(void **state)
{
    emk_pack_in in = {.format = EMK_MODEL_ONNX};
    emk_plan plan;

    (void)state;
    tree_of_a_model_and_other_files();
    assert_status(plan_of(&in, &plan, NULL), EMK_E_USAGE, &e);
}

static void hands_on_every_failure_of_the_source(void **state)
{
    emk_status st = EMK_E_IO;
    uint64_t n;

    (void)state;
    tree_of_a_model_and_other_files();
    for (n = 1; st != EMK_OK; n++) {
        world_io io = {.from = emk_span_of(m.bytes, (size_t)m.source.len), .fail_at = n};
        emk_source source = world_io_source(&io);
        emk_pack_in in = {.model = &source, .files = m.files, .n_files = m.n, .threads = 1};
        emk_plan plan;

        st = emk_pack_plan(w.crypto, &in, &plan, NULL, &e);
        if (st == EMK_OK)
            emk_plan_done(&plan);
        else
            assert_status(st, EMK_E_IO, &e);
    }
    assert_true(n > 8);
}

#ifdef EMK_FAULTS
static void survives_every_failed_allocation(void **state)
{
    emk_pack_in in = {.clear_structure = true, .model_flags = EMK_MODEL_KEEP_SMALL_INT};

    (void)state;
    tree_of_a_model_and_other_files();
    for (uint64_t n = 1;; n++) {
        emk_plan plan;
        uint64_t calls;
        emk_status st;

        emk_fault_fail_at(EMK_FAULT_ALLOC, n);
        st = plan_of(&in, &plan, NULL);
        calls = emk_fault_count(EMK_FAULT_ALLOC);
        emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
        if (st == EMK_OK)
            emk_plan_done(&plan);
        if (calls < n) {
            assert_ok(st, &e);
            assert_true(n > 5);
            break;
        }
        assert_status(st, EMK_E_NO_MEMORY, &e);
    }
}
#else
static void survives_every_failed_allocation(void **state)
{
    (void)state;
    skip(); /* this build has no failure injection */
}
#endif

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(
        emk_rule(ranges_of_a_part_are_placed_in_the_whole_model),
        emk_rule(a_part_is_not_read_by_itself),
        emk_rule(two_models_may_share_a_part_and_ranges_of_it),
        emk_rule(refuses_ranges_of_two_models_that_overlap_in_part),
        emk_rule(refuses_a_range_outside_its_part),
        emk_rule(refuses_a_part_that_is_not_there_and_names_it),
        emk_rule(refuses_a_single_file_with_weights_elsewhere),
        emk_rule(refuses_files_that_are_parts_of_one_another),
        emk_rule(refuses_names_that_leave_the_folder),
        emk_rule(an_index_wants_its_shards_and_leaves_them_models),
        emk_rule(what_is_named_and_of_no_format_is_a_part_without_ranges),
        emk_rule(refuses_weights_that_lie_on_structure_in_any_file),
        emk_rule(two_files_may_use_the_same_names), emk_rule(only_what_a_reader_knows_stays_clear),
        emk_rule(a_tree_travels_with_its_paths),
        emk_rule(small_integers_of_a_part_stay_clear_and_nothing_else_of_it),
        emk_rule(strict_refuses_less_than_90_per_cent),
        emk_rule(refuses_files_that_are_not_all_of_the_model),
        emk_rule(refuses_paths_that_the_container_refuses),
        emk_rule(refuses_a_format_for_several_files), emk_rule(survives_every_failed_allocation),
        emk_rule(hands_on_every_failure_of_the_source));
    world_done(&w);
    return failed;
}
