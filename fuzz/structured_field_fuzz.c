/* Structured fields: what is read lies inside the input, and bytes come back as they were. */
#include "fuzz/check.h"
#include "server/gate/content_digest.h"
#include "server/gate/structured.h"

static void item_check(const emk_sf_item *item)
{
    uint8_t bytes[EMK_SF_BYTES_MAX];
    char text[EMK_SF_BYTES_MAX * 2];
    size_t len;

    if (item->kind != EMK_SF_BYTES || emk_sf_bytes(item, bytes, sizeof bytes, &len, NULL) != EMK_OK)
        return;
    must(emk_sf_bytes_write(emk_span_of(bytes, len), text, sizeof text, NULL) == EMK_OK, "writes");
    must(strlen(text) == item->text.len + 2, "the same length");
    must(memcmp(text + 1, item->text.p, item->text.len) == 0, "one encoding");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t digest[EMK_SHA256_LEN];
    emk_sf_list list;
    emk_sf_item item;
    emk_span key;
    emk_sf r;

    (void)!emk_content_digest_parse(emk_span_of(data, size), digest, NULL);
    emk_sf_init(&r, emk_span_of(data, size));
    if (emk_sf_list_read(&r, &list))
        must(list.raw.len == r.pos && list.raw.p == data, "a list is what was read");
    emk_sf_init(&r, emk_span_of(data, size));
    while (emk_sf_member(&r, &key) && emk_sf_item_read(&r, &item)) {
        item_check(&item);
        if (!emk_sf_more(&r))
            break;
    }
    must(r.pos <= size, "inside");
    return 0;
}
