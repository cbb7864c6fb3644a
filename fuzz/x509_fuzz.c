/* A certificate that is read lends only from its bytes, and its extensions can be found again. */
#include "core/crypto/x509.h"
#include "fuzz/check.h"

static void inside(emk_span part, emk_span whole)
{
    must(part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len),
         "what is lent is inside");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t CONSTRAINTS[] = {0x55, 0x1d, 0x13}, NAME[] = {0x55, 0x04, 0x05};
    emk_span in = emk_span_of(data, size), value = {NULL, 0};
    bool critical;
    emk_x509 x;

    if (emk_x509_parse(in, &x, NULL) != EMK_OK)
        return 0;
    inside(x.tbs, in);
    inside(x.spki, x.tbs);
    inside(x.issuer, x.tbs);
    inside(x.extensions, x.tbs);
    must(x.has_constraints ==
             emk_x509_extension(&x, emk_span_of(CONSTRAINTS, 3), &value, &critical),
         "constraints are an extension");
    if (emk_x509_name_find(x.subject, emk_span_of(NAME, 3), &value))
        inside(value, x.subject);
    return 0;
}
