#include "server/gate/request.h"

size_t emk_request_count(const emk_gate_request *rq, const char *name, emk_span *value)
{
    emk_span want = emk_span_str(name);
    size_t n = 0;

    for (size_t i = 0; i < rq->n_fields; i++) {
        if (!emk_span_equal(rq->fields[i].name, want))
            continue;
        n++;
        if (value)
            *value = rq->fields[i].value;
    }
    return n;
}

bool emk_request_only(const emk_gate_request *rq, const char *name, emk_span *value)
{
    emk_span found = {0};

    if (emk_request_count(rq, name, &found) != 1)
        return false;
    *value = found;
    return true;
}

emk_span emk_request_authority(const emk_gate_request *rq)
{
    bool https = emk_span_equal(rq->scheme, emk_span_str("https"));
    emk_span port = emk_span_str(https ? ":443" : ":80");
    emk_span a = rq->authority;

    if (a.len > port.len && emk_span_equal(emk_span_of(a.p + a.len - port.len, port.len), port))
        a.len -= port.len;
    return a;
}
