/* emk_layout against a model so naive that it can only be right: it walks byte counts. */
#include "core/seal/layout.h"

#include "core/base/alloc.h"
#include "core/crypto/aead.h"
#include "tests/support/test.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static emk_layout layout_of(const uint64_t *lens, uint32_t n, uint64_t sealed_part)
{
    static emk_region regions[EMK_REGIONS_MAX];
    emk_plan plan = {.regions = regions, .n_regions = n};
    emk_layout l;
    emk_error e;

    for (uint32_t i = 0; i < n; i++) {
        regions[i].length = lens[i];
        regions[i].kind = (uint8_t)(i % 3);
        plan.model_len += lens[i];
    }
    assert_ok(emk_layout_init(&l, &plan, sealed_part, &e), &e);
    return l;
}

static void expect_segment(const emk_segment *got, const emk_segment *want)
{
    assert_int_equal(got->number, want->number);
    assert_int_equal(got->region, want->region);
    assert_int_equal(got->in_region, want->in_region);
    assert_int_equal(got->len, want->len);
    assert_int_equal(got->at, want->at);
    assert_int_equal(got->kind, want->kind);
    assert_int_equal(got->last, want->last);
}

/* Cuts region after region, segment after segment, and adds up. */
static void walk(const emk_layout *l, const uint64_t *lens, uint32_t n, uint64_t sealed_part)
{
    uint64_t model_at = 0, delivered = 0;
    emk_segment before = {0};
    uint32_t number = 0;

    for (uint32_t r = 0; r <= n; r++) {
        uint64_t left = r == 0 ? sealed_part : lens[r - 1], at = r == 0 ? 0 : model_at;
        uint32_t s = 0;

        while (left > 0) {
            uint32_t len = left < MIB ? (uint32_t)left : (uint32_t)MIB;
            emk_segment want = {.number = number,
                                .region = r,
                                .in_region = s,
                                .len = len,
                                .at = at,
                                .kind = r == 0 ? 0 : (uint8_t)((r - 1) % 3),
                                .last = left == len};
            emk_segment got = emk_layout_segment(l, number);

            expect_segment(&got, &want);
            if (number > 0) {
                got = emk_layout_next(l, &before);
                expect_segment(&got, &want);
            }
            if (r > 0) {
                got = emk_layout_find(l, at);
                expect_segment(&got, &want);
                got = emk_layout_find(l, at + len - 1);
                expect_segment(&got, &want);
                got = emk_layout_find(l, at + rnd(len));
                expect_segment(&got, &want);
            }
            assert_int_equal(emk_layout_delivered(l, number), delivered);
            delivered += len + 16;
            before = want;
            number++;
            s++;
            at += len;
            left -= len;
        }
        if (r > 0)
            model_at = at;
    }
    assert_int_equal(l->n_segments, number);
    assert_int_equal(emk_layout_delivered(l, number), delivered);
    assert_int_equal(l->model_len, model_at);
}

static void check_batches(const emk_layout *l, uint32_t from)
{
    emk_batches b;
    emk_error e;

    assert_ok(emk_batches_init(&b, l, from, &e), &e);
    if (from == l->n_segments) {
        assert_int_equal(b.n, 0);
    } else {
        assert_int_equal(b.first[0], from);
        assert_int_equal(b.first[b.n], l->n_segments);
    }
    for (uint32_t i = 0; i < b.n; i++) {
        uint64_t bytes = 0;

        assert_true(b.first[i] < b.first[i + 1]);
        assert_true(b.first[i + 1] - b.first[i] <= EMK_BATCH_SEGMENTS);
        for (uint32_t s = b.first[i]; s < b.first[i + 1]; s++)
            bytes += emk_layout_segment(l, s).len;
        assert_true(bytes <= EMK_BATCH_LEN);
    }
    emk_batches_done(&b);
}

static void agrees_with_a_naive_model_for_random_regions(void **state)
{
    static uint64_t lens[300];

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        uint32_t n = (uint32_t)rnd(round % 4 == 0 ? 300 : 6);
        uint64_t sealed_part = 1 + rnd(round % 3 == 0 ? 3 * MIB : 5000);
        emk_layout l;

        for (uint32_t i = 0; i < n; i++) {
            static const uint64_t edges[] = {1,       15,      16,          MIB - 1,    MIB,
                                             MIB + 1, 2 * MIB, 2 * MIB + 1, 7 * MIB - 1};

            lens[i] = rnd(2) ? edges[rnd(9)] : 1 + rnd(rnd(2) ? 100 : 4 * MIB);
        }
        l = layout_of(lens, n, sealed_part);
        walk(&l, lens, n, sealed_part);
        check_batches(&l, 0);
        check_batches(&l, emk_segments_of(sealed_part));
        emk_layout_done(&l);
    }
}

static void batches_cover_all_segments_exactly_once_at_their_limits(void **state)
{
    static uint64_t lens[EMK_REGIONS_MAX];
    emk_layout l;

    (void)state;
    for (uint32_t i = 0; i < EMK_REGIONS_MAX; i++)
        lens[i] = 1; /* many segments: the number cuts */
    l = layout_of(lens, EMK_REGIONS_MAX, 1);
    check_batches(&l, 0);
    check_batches(&l, 1);
    emk_layout_done(&l);
    for (uint32_t i = 0; i < 5000; i++)
        lens[i] = i % 2 ? 1 : MIB - 1 + i % 3; /* long and short in turn: the worst packing */
    l = layout_of(lens, 5000, 8 * MIB);
    check_batches(&l, 0);
    emk_layout_done(&l);
    l = layout_of(lens, 0, 1); /* no model at all */
    check_batches(&l, 0);
    check_batches(&l, 1);
    emk_layout_done(&l);
}

static void counts_segments_up_to_the_largest_model(void **state)
{
    uint64_t whole = EMK_MODEL_LEN_MAX;
    emk_layout l = layout_of(&whole, 1, EMK_SEALED_PART_MAX);
    emk_segment last;

    (void)state;
    assert_int_equal(emk_segments_of(0), 0);
    assert_int_equal(emk_segments_of(1), 1);
    assert_int_equal(emk_segments_of(MIB), 1);
    assert_int_equal(emk_segments_of(MIB + 1), 2);
    assert_int_equal(emk_segments_of(EMK_MODEL_LEN_MAX), 262144);
    assert_int_equal(l.n_segments, 8 + 262144);
    last = emk_layout_find(&l, whole - 1);
    assert_int_equal(last.number, 8 + 262143);
    assert_int_equal(last.in_region, 262143);
    assert_true(last.last);
    assert_int_equal(emk_layout_delivered(&l, l.n_segments),
                     whole + EMK_SEALED_PART_MAX + UINT64_C(16) * (8 + 262144));
    emk_layout_done(&l);
}

/* [container 7.1] in the plainest arithmetic. */
static void vault_places_are_the_pages_of_the_specification(void **state)
{
    static const struct {
        uint64_t model, sealed_part, tags, payload;
    } rows[] = {
        /* sealed part and its tag fill a page, or one byte more */
        {100, 1, 77824 + 4096, 77824 + 8192},
        {100, 4080, 77824 + 4096, 77824 + 8192},
        {100, 4081, 77824 + 8192, 77824 + 12288},
        /* no model: no tags, and the payload begins and ends where the table is */
        {0, 1, 77824 + 4096, 77824 + 4096},
        /* 256 tags fill a page */
        {256 * MIB / 8, 1, 77824 + 4096, 77824 + 8192},
        /* one byte below and at 64 MiB */
        {64 * MIB - 1, 1, 81920, 81920 + 4096},
        {64 * MIB, 1, 81920, 2 * MIB},
        {65 * MIB, 3 * MIB, 77824 + 3 * MIB + 4096, 4 * MIB},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_layout l = layout_of(&rows[i].model, rows[i].model ? 1 : 0, rows[i].sealed_part);
        emk_vault_places p = emk_layout_vault(&l);

        assert_int_equal(p.tags, rows[i].tags);
        assert_int_equal(p.payload, rows[i].payload);
        assert_int_equal(p.end, rows[i].payload + rows[i].model);
        emk_layout_done(&l);
    }
    assert_int_equal(emk_sealed_part_stored(1), 17);
    assert_int_equal(emk_sealed_part_stored(MIB), MIB + 16);
    assert_int_equal(emk_sealed_part_stored(MIB + 1), MIB + 33);
}

int main(void)
{
    return EMK_RUN(emk_rule(agrees_with_a_naive_model_for_random_regions),
                   emk_rule(batches_cover_all_segments_exactly_once_at_their_limits),
                   emk_rule(counts_segments_up_to_the_largest_model),
                   emk_rule(vault_places_are_the_pages_of_the_specification));
}
