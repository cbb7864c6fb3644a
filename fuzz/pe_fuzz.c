/* An image of Windows as the loader would have mapped it: whatever it says, nothing outside is
 * read. */
#include "device/guard/pe.h"
#include "fuzz/check.h"

#include <string.h>

static bool take(void *self, const char *symbol, uintptr_t target)
{
    size_t *total = self;

    *total += strlen(symbol) + (target & 1);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const emk_pe image = {data, size};
    emk_module m = {.path = ""};
    size_t total = 0;

    if (emk_pe_describe(&image, &m, NULL) == EMK_OK) {
        for (size_t i = 0; i < m.n_code; i++) {
            must(m.code[i].p >= data && m.code[i].len <= size, "code lies in the image");
            for (size_t at = 0; at < m.code[i].len; at++)
                total += m.code[i].p[at];
        }
    }
    emk_pe_calls_each(&image, take, &total);
    return total == SIZE_MAX;
}
