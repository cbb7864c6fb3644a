/* Builds without a server have nothing that reads requests. */
#include "tests/conformance/kit_messages.h"

const char *emk_kit_http(emk_kit_message *m)
{
    emk_vec_skip(m->v, "this build has no server");
    return "skipped";
}
