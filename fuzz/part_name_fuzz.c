#include "core/model/model.h"
#include "fuzz/check.h"

#include <string.h>

/* A name that is accepted stays below the folder, whatever opens it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_image im;
    emk_model_part part = {.name_len = (uint32_t)size};
    char name[EMK_MODEL_PART_NAME];
    size_t len;

    emk_image_from_span(&im, emk_span_of(data, size));
    if (emk_model_part_name(&im, "m/model.onnx", &part, name, NULL) != EMK_OK)
        return 0;
    len = strlen(name);
    must(len == size && len > 0 && len < sizeof name, "the whole name");
    must(name[0] != '/' && name[len - 1] != '/', "no root, no folder");
    must(!strpbrk(name, "\\:\n\r\t\x1b\x7f"), "nothing another system reads otherwise");
    must(strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0, "not up");
    must(!strstr(name, "/../") && !strstr(name, "//") && !strstr(name, "/./"), "plain steps");
    must(len < 3 || strcmp(name + len - 3, "/..") != 0, "not up at the end");
    return 0;
}
