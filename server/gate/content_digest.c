#include "server/gate/content_digest.h"

#include "core/base/secret.h"
#include "server/gate/structured.h"

#include <stdio.h>

emk_status emk_content_digest_parse(emk_span value, uint8_t out[EMK_SHA256_LEN], emk_error *e)
{
    uint8_t digest[EMK_SHA256_LEN];
    emk_sf r;
    emk_sf_item item;
    emk_span key;
    size_t len;
    emk_status st;

    emk_sf_init(&r, value);
    if (!emk_sf_member(&r, &key) || !emk_sf_item_read(&r, &item) || !emk_sf_at_end(&r))
        return emk_fail(e, EMK_E_FORMAT, "content-digest: not one member", r.pos);
    if (!emk_span_equal(key, emk_span_str("sha-256")))
        return emk_fail(e, EMK_E_UNSUPPORTED, "content-digest: algorithm", 0);
    st = emk_sf_bytes(&item, digest, sizeof digest, &len, NULL);
    if (st != EMK_OK || len != sizeof digest)
        return emk_fail(e, EMK_E_FORMAT, "content-digest: not a digest", item.text.len);
    memcpy(out, digest, sizeof digest);
    return EMK_OK;
}

void emk_content_digest_format(const uint8_t digest[EMK_SHA256_LEN],
                               char out[EMK_CONTENT_DIGEST_TEXT_MAX])
{
    char bytes[EMK_CONTENT_DIGEST_TEXT_MAX];
    emk_status st;

    st = emk_sf_bytes_write(emk_span_of(digest, EMK_SHA256_LEN), bytes, sizeof bytes, NULL);
    (void)snprintf(out, EMK_CONTENT_DIGEST_TEXT_MAX, "sha-256=%.47s", st == EMK_OK ? bytes : "::");
}

emk_status emk_content_digest_verify(emk_sha256_ctx *body, const uint8_t want[EMK_SHA256_LEN],
                                     emk_error *e)
{
    uint8_t got[EMK_SHA256_LEN];
    emk_status st;

    st = emk_sha256_ctx_finish(body, got, e);
    if (st != EMK_OK)
        return st;
    if (!emk_ct_equal(got, want, sizeof got))
        return emk_fail(e, EMK_E_SIGNATURE, "content-digest: another body", 0);
    return EMK_OK;
}
