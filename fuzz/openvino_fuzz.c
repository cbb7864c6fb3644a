#include "fuzz/check.h"
#include "fuzz/model_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model_fuzz(EMK_MODEL_OPENVINO, data, size, 0);
    return 0;
}
