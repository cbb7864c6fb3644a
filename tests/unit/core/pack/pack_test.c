#include "core/pack/pack.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/fault.h"
#include "tests/unit/core/seal/world.h"

static world w;

static emk_pack_in pack_in(const emk_source *model)
{
    emk_pack_in in = {.model = model, .threads = 1};
    return in;
}

static emk_status plan_of(emk_span model, const emk_pack_in *like, emk_plan *plan,
                          emk_pack_report *report, emk_error *e)
{
    emk_source source = emk_source_from_span(model);
    emk_pack_in in = like ? *like : pack_in(&source);

    in.model = &source;
    in.threads = 1;
    return emk_pack_plan(w.crypto, &in, plan, report, e);
}

/* plan, seal, accept, open: the same bytes come out. */
static void expect_round_trip(emk_span model, const emk_plan *plan)
{
    emk_buf sealed, vault, opened;
    emk_error e;

    assert_ok(world_seal(&w, model, plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
    assert_ok(world_open(&w, emk_buf_span(&vault), &opened, NULL, &e), &e);
    assert_bytes(emk_buf_span(&opened), model);
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_buf_done(&opened);
}

/* ---- a safetensors file with tensors of these lengths, "t0", "t1" ... behind each other ---- */

static void safetensors(const size_t *lens, size_t n, emk_buf *out)
{
    char header[4096];
    int at = snprintf(header, sizeof header, "{");
    uint8_t head[8] = {0}, *data;
    size_t end = 0;
    emk_error e;

    for (size_t i = 0; i < n; i++) {
        at += snprintf(header + at, sizeof header - (size_t)at,
                       "%s\"t%zu\":{\"dtype\":\"U8\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}",
                       i ? "," : "", i, lens[i], end, end + lens[i]);
        end += lens[i];
    }
    at += snprintf(header + at, sizeof header - (size_t)at, "}");
    while (at % 8)
        header[at++] = ' ';
    head[0] = (uint8_t)at;
    head[1] = (uint8_t)(at >> 8);
    emk_buf_init(out, (size_t)1 << 28);
    assert_ok(emk_buf_append(out, emk_span_of(head, 8), &e), &e);
    assert_ok(emk_buf_append(out, emk_span_of(header, (size_t)at), &e), &e);
    assert_ok(emk_buf_grow(out, end, &data, &e), &e);
    world_fill(data, end);
}

static void empty_file_is_a_model_without_regions(void **state)
{
    emk_pack_report report;
    emk_plan plan;
    emk_error e;

    (void)state;
    assert_ok(plan_of(emk_span_of("", 0), NULL, &plan, &report, &e), &e);
    assert_int_equal(plan.n_regions, 0);
    assert_int_equal(report.format, EMK_MODEL_UNKNOWN);
    assert_int_equal(report.model_len, 0);
    expect_round_trip(emk_span_of("", 0), &plan);
    emk_plan_done(&plan);
}

static void one_byte_is_sealed_as_it_is(void **state)
{
    emk_plan plan;
    emk_error e;

    (void)state;
    assert_ok(plan_of(emk_span_of("x", 1), NULL, &plan, NULL, &e), &e);
    assert_int_equal(plan.n_regions, 1);
    assert_int_equal(plan.regions[0].kind, EMK_REGION_SEALED);
    assert_string_equal(plan.format, "unknown");
    expect_round_trip(emk_span_of("x", 1), &plan);
    emk_plan_done(&plan);
}

static void unknown_format_is_sealed_whole(void **state)
{
    uint8_t bytes[5000];
    emk_pack_report report;
    emk_plan plan;
    emk_error e;

    (void)state;
    world_fill(bytes, sizeof bytes);
    assert_ok(plan_of(emk_span_of(bytes, sizeof bytes), NULL, &plan, &report, &e), &e);
    assert_int_equal(plan.n_regions, 1);
    assert_int_equal(report.weight_bytes, 0);
    assert_int_equal(report.tensors, 0);
    assert_true(plan.index_complete); /* of nothing */
    expect_round_trip(emk_span_of(bytes, sizeof bytes), &plan);
    emk_plan_done(&plan);
}

static void unknown_format_cannot_stay_clear(void **state)
{
    emk_pack_in in = {.clear_structure = true};
    emk_plan plan, before;
    emk_error e;

    (void)state;
    memset(&plan, 0x5A, sizeof plan);
    before = plan;
    assert_status(plan_of(emk_span_of("what is this", 12), &in, &plan, NULL, &e), EMK_E_UNSUPPORTED,
                  &e);
    assert_memory_equal(&plan, &before, sizeof plan);
}

static void malformed_model_of_a_known_format_is_refused_with_an_offset(void **state)
{
    /* a flatbuffer whose root table, at 8, has its vtable outside */
    static const uint8_t tflite[16] = {8, 0, 0, 0, 'T', 'F', 'L', '3', 0xFF, 0xFF, 0xFF, 0x7F};
    emk_pack_report report, untouched;
    emk_plan plan;
    emk_error e;

    (void)state;
    memset(&report, 0x5A, sizeof report);
    untouched = report;
    assert_status(plan_of(emk_span_of(tflite, sizeof tflite), NULL, &plan, &report, &e),
                  EMK_E_FORMAT, &e);
    assert_true(e.where > 0);
    assert_memory_equal(&report, &untouched, sizeof report);
}

static void whole_does_not_look_inside(void **state)
{
    static const uint8_t tflite[16] = {0xF0, 0xFF, 0, 0, 'T', 'F', 'L', '3'};
    emk_pack_in in = {.whole = true};
    emk_pack_report report;
    emk_plan plan;
    emk_error e;

    (void)state;
    assert_ok(plan_of(emk_span_of(tflite, sizeof tflite), &in, &plan, &report, &e), &e);
    assert_int_equal(report.format, EMK_MODEL_UNKNOWN);
    assert_int_equal(plan.n_regions, 1);
    expect_round_trip(emk_span_of(tflite, sizeof tflite), &plan);
    emk_plan_done(&plan);
    in.clear_structure = true;
    assert_status(plan_of(emk_span_of(tflite, sizeof tflite), &in, &plan, &report, &e),
                  EMK_E_UNSUPPORTED, &e);
}

/* Tensors from 1 MiB on have regions of their own, what lies between them is one each time. */
static void large_tensors_have_regions_of_their_own(void **state)
{
    static const size_t lens[] = {100, 200, 1048576, 1048575, 50, 2000000, 2000001};
    emk_pack_report report;
    uint64_t start;
    emk_plan plan;
    emk_buf model;
    emk_error e;

    (void)state;
    safetensors(lens, 7, &model);
    start = model.len - 100 - 200 - 1048576 - 1048575 - 50 - 2000000 - 2000001;
    assert_ok(plan_of(emk_buf_span(&model), NULL, &plan, &report, &e), &e);
    assert_string_equal(plan.format, "safetensors");
    assert_int_equal(plan.n_regions, 5);
    assert_int_equal(plan.regions[0].length, start + 300);
    assert_int_equal(plan.regions[0].kind, EMK_REGION_SEALED);
    assert_int_equal(plan.regions[1].length, 1048576);
    assert_int_equal(plan.regions[1].kind, EMK_REGION_TENSOR);
    assert_int_equal(plan.regions[2].length, 1048575 + 50);
    assert_int_equal(plan.regions[2].kind, EMK_REGION_SEALED);
    assert_int_equal(plan.regions[3].length, 2000000);
    assert_int_equal(plan.regions[4].length, 2000001);
    assert_int_equal(report.tensors, 7);
    assert_int_equal(report.weight_bytes, model.len - start);
    expect_round_trip(emk_buf_span(&model), &plan);
    emk_plan_done(&plan);
    emk_buf_done(&model);
}

static void clear_structure_leaves_all_but_weights_readable(void **state)
{
    static const size_t lens[] = {100, 200, 3000};
    emk_pack_in in = {.clear_structure = true};
    emk_pack_report report;
    emk_plan plan;
    emk_buf model, sealed, vault;
    emk_error e;

    (void)state;
    safetensors(lens, 3, &model);
    assert_ok(plan_of(emk_buf_span(&model), &in, &plan, &report, &e), &e);
    assert_int_equal(plan.n_regions, 2);
    assert_int_equal(plan.regions[0].kind, EMK_REGION_CLEAR);
    assert_int_equal(plan.regions[0].length, model.len - 3300);
    assert_int_equal(plan.regions[1].kind, EMK_REGION_TENSOR);
    expect_round_trip(emk_buf_span(&model), &plan);
    assert_ok(world_seal(&w, emk_buf_span(&model), &plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
    assert_memory_equal(vault.p + vault.len - model.len, model.p, model.len - 3300);
    for (size_t i = model.len - 3300; i + 12 <= model.len; i += 97)
        assert_null(memmem(vault.p, vault.len, model.p + i, 12));
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_plan_done(&plan);
    emk_buf_done(&model);
}

typedef struct seen {
    uint64_t last;
    uint32_t n;
} seen;

static emk_status look_at(void *self, const emk_index_entry *entry, emk_error *e)
{
    seen *s = self;

    (void)e;
    assert_true(entry->offset >= s->last);
    s->last = entry->offset + entry->length;
    s->n++;
    assert_int_equal(entry->name.p[0], 't');
    assert_bytes(entry->dtype, emk_span_str("u8"));
    assert_int_equal(entry->rank, 1);
    assert_int_equal(entry->dims[0], entry->length);
    return EMK_OK;
}

/* One part in 4096 of the model, and the biggest tensors first. */
static void index_keeps_within_its_share(void **state)
{
    size_t lens[40];
    emk_pack_report report;
    seen s = {0};
    emk_plan plan;
    emk_buf model;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 40; i++)
        lens[i] = 20000 + i;
    safetensors(lens, 40, &model);
    assert_ok(plan_of(emk_buf_span(&model), NULL, &plan, &report, &e), &e);
    assert_ok(emk_index_each(&plan, look_at, &s, &e), &e);
    assert_int_equal(s.n, report.indexed);
    assert_true(plan.index.len <= model.len / 4096);
    assert_true(report.indexed > 3 && report.indexed < 40);
    assert_false(plan.index_complete);
    assert_int_equal(s.last, model.len); /* the biggest one is the last */
    emk_plan_done(&plan);
    emk_buf_done(&model);
    lens[0] = 4000000;
    safetensors(lens, 1, &model);
    assert_ok(plan_of(emk_buf_span(&model), NULL, &plan, &report, &e), &e);
    assert_int_equal(report.indexed, 1);
    assert_true(plan.index_complete);
    emk_plan_done(&plan);
    emk_buf_done(&model);
}

static void digests_are_left_out_only_when_asked(void **state)
{
    emk_pack_in in = {.no_digests = true};
    emk_plan plan;
    emk_error e;

    (void)state;
    assert_ok(plan_of(emk_span_of("bytes", 5), NULL, &plan, NULL, &e), &e);
    assert_non_null(plan.digests);
    emk_plan_done(&plan);
    assert_ok(plan_of(emk_span_of("bytes", 5), &in, &plan, NULL, &e), &e);
    assert_null(plan.digests);
    expect_round_trip(emk_span_of("bytes", 5), &plan);
    emk_plan_done(&plan);
}

static void refuses_a_number_of_threads_there_is_not(void **state)
{
    emk_source source = emk_source_from_span(emk_span_of("bytes", 5));
    emk_pack_in in = pack_in(&source);
    emk_plan plan;
    emk_error e;

    (void)state;
    in.threads = 0;
    assert_status(emk_pack_plan(w.crypto, &in, &plan, NULL, &e), EMK_E_USAGE, &e);
    in.threads = EMK_SEAL_THREADS_MAX + 1;
    assert_status(emk_pack_plan(w.crypto, &in, &plan, NULL, &e), EMK_E_USAGE, &e);
}

static void hands_on_every_failure_of_the_source(void **state)
{
    static const size_t lens[] = {100, 1200000};
    emk_status st = EMK_E_IO;
    emk_buf model;
    uint64_t n;

    (void)state;
    safetensors(lens, 2, &model);
    for (n = 1; st != EMK_OK; n++) {
        world_io io = {.from = emk_buf_span(&model), .fail_at = n};
        emk_source source = world_io_source(&io);
        emk_pack_in in = pack_in(&source);
        emk_plan plan, before;
        emk_error e;

        memset(&plan, 0x5A, sizeof plan);
        before = plan;
        st = emk_pack_plan(w.crypto, &in, &plan, NULL, &e);
        if (st == EMK_OK) {
            emk_plan_done(&plan);
        } else {
            assert_status(st, EMK_E_IO, &e);
            assert_memory_equal(&plan, &before, sizeof plan);
        }
    }
    assert_true(n > 2);
    emk_buf_done(&model);
}

#ifdef EMK_FAULTS
static void survives_every_fault(void **state)
{
    static const size_t lens[] = {100, 70000};
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};
    emk_buf model;

    (void)state;
    safetensors(lens, 2, &model);
    for (size_t k = 0; k < 2; k++) {
        for (uint64_t n = 1;; n++) {
            emk_plan plan, before;
            uint64_t calls;
            emk_error e = {0};
            emk_status st;

            memset(&plan, 0x5A, sizeof plan);
            before = plan;
            emk_fault_fail_at(kinds[k], n);
            st = plan_of(emk_buf_span(&model), NULL, &plan, NULL, &e);
            calls = emk_fault_count(kinds[k]);
            emk_fault_fail_at(kinds[k], 0);
            if (st == EMK_OK)
                emk_plan_done(&plan);
            else
                assert_memory_equal(&plan, &before, sizeof plan);
            if (calls < n) {
                assert_ok(st, &e);
                assert_true(n > 2);
                break;
            }
            assert_true(st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO);
        }
    }
    emk_buf_done(&model);
}
#else
static void survives_every_fault(void **state)
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
        emk_rule(empty_file_is_a_model_without_regions), emk_rule(one_byte_is_sealed_as_it_is),
        emk_rule(unknown_format_is_sealed_whole), emk_rule(unknown_format_cannot_stay_clear),
        emk_rule(malformed_model_of_a_known_format_is_refused_with_an_offset),
        emk_rule(whole_does_not_look_inside), emk_rule(large_tensors_have_regions_of_their_own),
        emk_rule(clear_structure_leaves_all_but_weights_readable),
        emk_rule(index_keeps_within_its_share), emk_rule(digests_are_left_out_only_when_asked),
        emk_rule(refuses_a_number_of_threads_there_is_not), emk_rule(survives_every_fault),
        emk_rule(hands_on_every_failure_of_the_source));
    world_done(&w);
    return failed;
}
