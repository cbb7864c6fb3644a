/* Text that is accepted has one meaning and comes back as it was; so do any bytes. */
#include "core/codec/base64url.h"
#include "fuzz/check.h"

#define CAP 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[CAP];
    static char text[2 * CAP];
    emk_span in = emk_span_of(data, size);
    size_t n, m;

    if (size > CAP)
        return 0;
    if (emk_base64url_decode(in, bytes, sizeof bytes, &n, NULL) == EMK_OK) {
        must(emk_base64url_encode(emk_span_of(bytes, n), text, sizeof text, &m, NULL) == EMK_OK,
             "decoded bytes encode");
        must(emk_span_equal(emk_span_of(text, m), in), "decode, encode: the same text");
    }
    must(emk_base64url_encode(in, text, sizeof text, &m, NULL) == EMK_OK, "any bytes encode");
    must(m == EMK_BASE64URL_CHARS(size), "the length is known before");
    must(emk_base64url_decode(emk_span_of(text, m), bytes, sizeof bytes, &n, NULL) == EMK_OK,
         "encoded text decodes");
    must(emk_span_equal(emk_span_of(bytes, n), in), "encode, decode: the same bytes");
    return 0;
}
