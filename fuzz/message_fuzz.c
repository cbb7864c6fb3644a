/* The first byte says which message the rest is the payload of (or, with its highest bit, the
 * whole).  It is signed here, so that what is behind the signature is reached; what is read
 * and signed again is the same. */
#include "fuzz/check.h"
#include "fuzz/message_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const emk_cose_type types[] = {EMK_COSE_ENROLMENT,     EMK_COSE_DEVICE_CERTIFICATE,
                                          EMK_COSE_REQUEST,       EMK_COSE_TICKET,
                                          EMK_COSE_RECEIPT,       EMK_COSE_LEASE,
                                          EMK_COSE_LEASE_REQUEST, EMK_COSE_EVENTS};
    emk_cose_type type = types[size ? (data[0] & 0x7F) % 8 : 0];
    emk_span rest = emk_span_of(data + 1, size ? size - 1 : 0);
    emk_buf signed_by_us, b;

    emk_buf_init(&signed_by_us, 2 * (size_t)EMK_MESSAGE_MAX);
    emk_buf_init(&b, 2 * (size_t)EMK_MESSAGE_MAX);
    if (size && (data[0] & 0x80))
        message_read_and_sign(type, rest, &b);
    else if (size && message_sign_payload(type, rest, &signed_by_us) &&
             message_read_and_sign(type, emk_buf_span(&signed_by_us), &b))
        must(emk_span_equal(emk_buf_span(&b), emk_buf_span(&signed_by_us)), "one encoding");
    emk_buf_done(&b);
    emk_buf_done(&signed_by_us);
    return 0;
}
