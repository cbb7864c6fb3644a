/* A local record, zeros behind what the fuzzer gives, down to its envelope. */
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static bool lies_in(const uint8_t *p, size_t len, const uint8_t *bytes)
{
    return p >= bytes && p + len <= bytes + EMK_VAULT_SLOT_LEN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t extra[32];
    seal_world *w = seal_world_get();
    emk_envelope_context ctx = {.content_alg = EMK_CONTENT_WEIGHTS_AES, .extra = extra};
    uint8_t bytes[EMK_VAULT_SLOT_LEN] = {0}, cek[32];
    emk_recipient r;
    emk_cbor_reader reader;
    emk_slot slot;

    memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
    if (emk_slot_parse(bytes, &slot, NULL) != EMK_OK)
        return 0;
    must(slot.record.generation > 0, "generation");
    must(lies_in(slot.envelope.p, slot.envelope.len, bytes), "envelope");
    must(lies_in(slot.sleeping.p, slot.sleeping.len, bytes), "sleeping envelope");
    must((slot.sleeping.len > 0) == slot.leased, "leased");
    must(slot.envelope.len > 0 || slot.leased, "asleep");
    must(lies_in(slot.mac_input.p, slot.mac_input.len, bytes) && lies_in(slot.mac, 32, bytes) &&
             lies_in(slot.commit, 32, bytes),
         "places");
    emk_cbor_reader_init(&reader, slot.leased ? slot.sleeping : slot.envelope);
    emk_recipient_read(&reader, true, &r);
    if (emk_cbor_finish(&reader, NULL) == EMK_OK) {
        must(r.cipher.len == EMK_RECIPIENT_CIPHER_LEN, "48 bytes");
        must(emk_recipient_unwrap(&r, &ctx, w->device_key, cek, NULL) != EMK_OK, "it opens");
    }
    return 0;
}
