#include "fuzz/check.h"
#include "fuzz/model_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model_fuzz(EMK_MODEL_GRAPHDEF, data, size, 0);
    model_fuzz(EMK_MODEL_SAVEDMODEL, data, size, EMK_MODEL_KEEP_SMALL_INT);
    return 0;
}
