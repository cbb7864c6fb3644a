/* A build without libcurl. */
#include "core/fetch/fetch.h"

emk_status emk_fetch_run(const emk_fetch_request *request, emk_fetch_response *response,
                         emk_error *e)
{
    (void)request;
    (void)response;
    return emk_fail(e, EMK_E_UNSUPPORTED, "fetch: this build has no libcurl", 0);
}

void emk_fetch_pause(unsigned attempt, uint64_t asked_s)
{
    (void)attempt;
    (void)asked_s;
}
