/* A build without libcurl. */
#include "cli/http.h"

emk_status emk_http_run(const emk_http_request *request, emk_http_response *response, emk_error *e)
{
    (void)request;
    (void)response;
    return emk_fail(e, EMK_E_UNSUPPORTED, "http: this build has no libcurl", 0);
}

void emk_http_pause(unsigned attempt, uint64_t asked_s)
{
    (void)attempt;
    (void)asked_s;
}
