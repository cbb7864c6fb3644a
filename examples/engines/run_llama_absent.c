/* Where the build has no llama.cpp. */
#include "examples/engines/run_llama.h"

emk_status run_llama(const emk_opened *model, emk_error *e)
{
    (void)model;
    *e = (emk_error){EMK_E_NOT_FOUND, "engine: built without llama.cpp (EMK_LLAMA)", 0};
    return EMK_E_NOT_FOUND;
}
