/* Every real model there is here goes plan, seal, accept, open and comes out bit by bit, sealed
 * whole and with its structure clear; and what it costs is printed.  Exit 77: none is here. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/model/extents.h"
#include "core/pack/pack.h"
#include "core/seal/layout.h"
#include "tests/unit/core/seal/world.h"

#include <stdlib.h>

#define MODEL_MAX    ((size_t)256 << 20)
#define SMALL_MODEL  ((size_t)1 << 20) /* the header weighs more there */
#define OVERHEAD_MAX 2u                /* per thousand */
#define RANGES_MAX   65536u

static world w;
static unsigned n_models;

typedef struct ranges {
    emk_tensor *v; /* owned */
    emk_extents x;
} ranges;

static void scan(emk_span bytes, emk_model_format f, ranges *out)
{
    static emk_image im;
    uint64_t len = bytes.len;
    emk_error e;

    out->v = emk_alloc(RANGES_MAX, sizeof *out->v);
    assert_non_null(out->v);
    emk_extents_init(&out->x, out->v, RANGES_MAX);
    emk_image_from_span(&im, bytes);
    assert_ok(emk_model_scan(f, &im, NULL, emk_extents_add, &out->x, NULL, &e), &e);
    assert_ok(emk_extents_settle(&out->x, &len, 1, &e), &e);
}

/* A parser that knows nothing of us finds the same tensors where the model stands in the vault. */
static void expect_same_extents(emk_span model, emk_span payload, emk_model_format f)
{
    ranges a, b;

    scan(model, f, &a);
    scan(payload, f, &b);
    assert_int_equal(a.x.n, b.x.n);
    for (uint32_t i = 0; i < a.x.n; i++) {
        assert_int_equal(a.v[i].offset, b.v[i].offset);
        assert_int_equal(a.v[i].length, b.v[i].length);
        assert_int_equal(a.v[i].dtype, b.v[i].dtype);
        assert_int_equal(a.v[i].rank, b.v[i].rank);
        assert_memory_equal(a.v[i].dims, b.v[i].dims, sizeof a.v[i].dims);
        assert_int_equal(a.v[i].name_off, b.v[i].name_off);
    }
    assert_true(a.x.print == b.x.print);
    emk_free(a.v);
    emk_free(b.v);
}

/* [container 7.1] of the vault as it was written. */
static emk_span payload_of(const emk_plan *plan, emk_span vault)
{
    emk_vault_places places;
    emk_layout l;
    emk_buf part;
    emk_error e;

    emk_buf_init(&part, EMK_SEALED_PART_MAX);
    assert_ok(emk_sealed_part_encode(plan, emk_buf_span(&w.identity_bytes), &part, &e), &e);
    assert_ok(emk_layout_init(&l, plan, part.len, &e), &e);
    places = emk_layout_vault(&l);
    emk_layout_done(&l);
    emk_buf_done(&part);
    assert_int_equal(places.end, vault.len);
    return emk_span_of(vault.p + places.payload, (size_t)plan->model_len);
}

/* For readers of another make: $EMK_TEST_KEEP gets the payload under the model's name. */
static void keep_payload(const char *name, emk_span payload)
{
    const char *dir = getenv("EMK_TEST_KEEP");
    char path[4200];
    emk_error e;

    if (!dir)
        return;
    assert_ok(emk_os_join(path, sizeof path, dir, name, "", &e), &e);
    assert_ok(emk_os_write_file(path, payload, &e), &e);
}

static void one_way(const char *name, emk_span model, emk_model_format format, bool clear)
{
    emk_source source = emk_source_from_span(model);
    emk_pack_in in = {.model = &source,
                      .file_name = name,
                      .format = format,
                      .threads = 2,
                      .clear_structure = clear};
    emk_buf sealed, vault, opened;
    emk_pack_report report;
    emk_plan plan;
    uint64_t over;
    emk_error e;

    assert_ok(emk_pack_plan(w.crypto, &in, &plan, &report, &e), &e);
    assert_ok(world_seal(&w, model, &plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
    assert_ok(world_open(&w, emk_buf_span(&vault), &opened, NULL, &e), &e);
    assert_bytes(emk_buf_span(&opened), model);
    over = sealed.len - model.len;
    print_message("%-44s %-11s %9zu %6u %3llu%% %7llu %2llu.%03llu%% %s\n", name, plan.format,
                  model.len, plan.n_regions,
                  (unsigned long long)(model.len ? report.weight_bytes * 100 / model.len : 0),
                  (unsigned long long)over, (unsigned long long)(over * 100 / (model.len + 1)),
                  (unsigned long long)(over * 100000 / (model.len + 1) % 1000),
                  clear ? "clear structure" : "sealed");
    if (!clear && model.len > SMALL_MODEL)
        assert_true(over * 1000 <= model.len * OVERHEAD_MAX);
    if (clear) {
        emk_span payload = payload_of(&plan, emk_buf_span(&vault));

        expect_same_extents(model, payload, report.format);
        keep_payload(name, payload);
        if (report.weight_bytes > 1000)
            assert_false(emk_span_equal(payload, model));
    }
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_buf_done(&opened);
    emk_plan_done(&plan);
}

typedef struct place {
    char *dir; /* owned */
    emk_model_format format;
} place;

/* Why a file is not a model by itself: text, or NULL if it is one. */
static const char *why_not_alone(const char *name, emk_span model, emk_model_format f)
{
    static emk_image im;
    static emk_model_report report;
    size_t len = strlen(name);
    emk_error e;

    emk_image_from_span(&im, model);
    if (f == EMK_MODEL_UNKNOWN)
        f = emk_model_detect(&im, name);
    if (f == EMK_MODEL_UNKNOWN)
        return len > 4 && !strcmp(name + len - 4, ".bin") ? "data of another file"
                                                          : emk_model_unknown_note(&im);
    assert_ok(emk_model_scan(f, &im, NULL, NULL, NULL, &report, &e), &e);
    return report.n_parts ? "its weights are in other files" : NULL;
}

static emk_status each_model(void *self, const char *name, emk_error *e)
{
    const place *from = self;
    const char *why;
    emk_buf model;
    char path[4200];

    emk_buf_init(&model, MODEL_MAX);
    assert_ok(emk_os_join(path, sizeof path, from->dir, name, "", e), e);
    assert_ok(emk_os_read_file(path, MODEL_MAX, &model, e), e);
    why = why_not_alone(name, emk_buf_span(&model), from->format);
    if (why) {
        print_message("SKIP %s: %s\n", name, why);
    } else {
        one_way(name, emk_buf_span(&model), from->format, false);
        one_way(name, emk_buf_span(&model), from->format, true);
        n_models++;
    }
    emk_buf_done(&model);
    return EMK_OK;
}

static void folder(const char *rel, emk_model_format format)
{
    place from = {.dir = emk_test_shared(rel), .format = format};
    emk_error e;

    if (from.dir)
        assert_ok(emk_os_list_dir(from.dir, each_model, &from, &e), &e);
    free(from.dir);
}

static void tflite_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/tflite", EMK_MODEL_UNKNOWN);
}

static void safetensors_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/safetensors", EMK_MODEL_UNKNOWN);
}

static void onnx_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/onnx", EMK_MODEL_UNKNOWN);
}

static void gguf_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/gguf", EMK_MODEL_UNKNOWN);
}

static void graphdef_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/graphdef", EMK_MODEL_GRAPHDEF);
}

static void pytorch_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/pytorch", EMK_MODEL_UNKNOWN);
}

static void mediapipe_models_come_out_as_they_went_in(void **state)
{
    (void)state;
    folder("models/mediapipe-task", EMK_MODEL_UNKNOWN);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    w.threads = 2;
    print_message("%-44s %-11s %9s %6s %4s %7s %s\n", "model", "format", "bytes", "regions",
                  "weights", "more", "of it");
    failed = EMK_RUN(emk_rule(tflite_models_come_out_as_they_went_in),
                     emk_rule(safetensors_models_come_out_as_they_went_in),
                     emk_rule(onnx_models_come_out_as_they_went_in),
                     emk_rule(gguf_models_come_out_as_they_went_in),
                     emk_rule(graphdef_models_come_out_as_they_went_in),
                     emk_rule(pytorch_models_come_out_as_they_went_in),
                     emk_rule(mediapipe_models_come_out_as_they_went_in));
    world_done(&w);
    return failed || n_models ? failed : EMK_TEST_SKIP;
}
