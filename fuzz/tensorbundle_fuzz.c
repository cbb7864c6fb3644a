#include "core/model/crc32c.h"
#include "fuzz/check.h"
#include "fuzz/model_common.h"

#define FILE_MAX 65536u

static uint8_t file[FILE_MAX + 64];
static size_t len;

static void put(uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        file[len++] = (uint8_t)(i < 8 ? v >> 8 * i : 0);
}

/* The input is blocks (kind, length in two bytes, content), the last one the index: the table
 * around them has good checksums, which no mutation would find. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0, n = 0;

    len = 0;
    while (size > 3 && len + size < FILE_MAX) {
        n = (size_t)data[1] | (size_t)data[2] << 8;
        n = n < size - 3 ? n : size - 3;
        at = len;
        memcpy(file + len, data + 3, n);
        len += n;
        put(data[0] & 3, 1);
        uint32_t crc = emk_crc32c(EMK_CRC32C_INIT, emk_span_of(file + at, n + 1));
        put((crc >> 15 | crc << 17) + 0xa282ead8u, 4);
        data += 3 + n;
        size -= 3 + n;
    }
    put(0, 2); /* the block nobody reads; then the index in three bytes each */
    put((at & 0x7f) | 0x80 | (at >> 7 & 0x7f) << 8 | 0x8000 | (at >> 14) << 16, 3);
    put((n & 0x7f) | 0x80 | (n >> 7 & 0x7f) << 8 | 0x8000 | (n >> 14) << 16, 3);
    put(0, 32);
    put(0xdb4775248b80fb57u, 8);
    model_fuzz(EMK_MODEL_TENSORBUNDLE, file, len, 0);
    return 0;
}
