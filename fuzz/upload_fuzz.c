/* The list of a tree and the bytes behind it, in reads of all sizes. */
#include "fuzz/check.h"
#include "server/api/api.h"
#include "server/api/upload.h"

#include <string.h>

static emk_span left;

static emk_status give(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    (void)self;
    (void)e;
    *n = left.len > 0 && left.p[0] % 32 + 1u < left.len ? left.p[0] % 32 + 1u : left.len;
    *n = *n < cap ? *n : cap;
    if (*n > 0)
        memcpy(out, left.p, *n);
    left = emk_span_of(left.p + *n, left.len - *n);
    return EMK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static emk_crypto *crypto;
    static emk_api api;
    emk_call call;
    emk_upload up;
    emk_span more = {0};
    emk_status st;

    if (!crypto && emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 0;
    api.crypto = crypto;
    left = emk_span_of(data, len);
    emk_call_init(&call, &api);
    call.read = give;
    call.content_length = len;
    st = emk_upload_begin(&up, &call, true, NULL);
    if (st == EMK_OK)
        st = emk_upload_next(&up, &more, NULL);
    while (st == EMK_OK && more.len > 0)
        st = emk_upload_next(&up, &more, NULL);
    emk_upload_done(&up);
    emk_call_done(&call);
    return 0;
}
