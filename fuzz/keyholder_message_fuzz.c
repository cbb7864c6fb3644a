/* What goes over the socket between earmarkd and its keyholder, in both directions: every message
 * that is taken off lies inside, and each one shortens what is left. */
#include "fuzz/check.h"
#include "server/daemon/keyholder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_span in = emk_span_of(data, size);
    emk_keyholder_message m;

    while (in.len > 0) {
        size_t before = in.len;

        if (emk_keyholder_message_next(&in, &m, NULL) != EMK_OK)
            return 0;
        must(in.len < before, "one message less");
        must(m.body.len < before &&
                 (m.body.len == 0 || (m.body.p >= data && m.body.p + m.body.len <= data + size)),
             "the body is inside");
    }
    return 0;
}
