#include "fuzz/check.h"
#include "fuzz/model_common.h"

/* Small readers, and detection, which looks at every file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_image im;

    emk_image_from_span(&im, emk_span_of(data, size));
    (void)emk_model_detect(&im, NULL);
    (void)emk_model_unknown_note(&im);
    must(!im.cut, "detection leaves no mark");
    model_fuzz(EMK_MODEL_NCNN, data, size, 0);
    model_fuzz(EMK_MODEL_NCNN_BIN, data, size, 0);
    model_fuzz(EMK_MODEL_COREML_MODEL, data, size, 0);
    model_fuzz(EMK_MODEL_ORT, data, size, 0);
    return 0;
}
