#include "core/model/snappy.h"
#include "fuzz/check.h"

#define OUT_MAX 65536u

static uint32_t decode(const uint8_t *data, size_t size, uint8_t *out, size_t piece)
{
    static emk_image im;
    static emk_snappy d;

    emk_image_from_span(&im, emk_span_of(data, size));
    emk_snappy_begin(&d, &im, 0, size);
    while (d.status == EMK_OK && d.produced < d.len && d.produced < OUT_MAX) {
        size_t n = d.len - d.produced;

        n = n < piece ? n : piece;
        n = n < OUT_MAX - d.produced ? n : OUT_MAX - d.produced;
        if (!emk_snappy_read(&d, out + d.produced, n))
            return 0;
    }
    return d.status == EMK_OK ? d.produced : 0;
}

/* The pieces it is read in change nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t a[OUT_MAX], b[OUT_MAX];
    uint32_t n = decode(data, size, a, OUT_MAX);

    must(decode(data, size, b, 7) == n, "the same length");
    must(memcmp(a, b, n) == 0, "the same bytes");
    return 0;
}
