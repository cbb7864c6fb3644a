#include "core/seal/record.h"

#include "core/base/bytes.h"
#include "core/crypto/hash.h"

#define OFF_STATE      5u
#define OFF_ENVLEN     6u
#define OFF_GENERATION 8u
#define OFF_VAULT_ID   16u
#define OFF_ACCEPTED   32u
#define OFF_FLOOR      40u
#define OFF_OPENS      48u
#define OFF_ENVELOPE   64u
#define OFF_COMMIT     4032u
#define OFF_MAC        4064u

static const uint8_t MAGIC[5] = {'E', 'M', 'K', 'R', 1};

emk_status emk_slot_parse(const uint8_t bytes[EMK_VAULT_SLOT_LEN], emk_slot *out, emk_error *e)
{
    uint64_t generation = emk_load_u64be(bytes + OFF_GENERATION);
    size_t len = emk_load_u16be(bytes + OFF_ENVLEN);

    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0 || bytes[OFF_STATE] != 1)
        return emk_fail(e, EMK_E_FORMAT, "vault: not a local record", 0);
    if (len == 0 || len > EMK_RECORD_ENVELOPE_MAX)
        return emk_fail(e, EMK_E_FORMAT, "vault: length of the envelope", len);
    if (generation == 0)
        return emk_fail(e, EMK_E_FORMAT, "vault: generation", 0);
    out->record.generation = generation;
    memcpy(out->record.vault_id, bytes + OFF_VAULT_ID, EMK_ID_LEN);
    out->record.accepted = emk_load_u64be(bytes + OFF_ACCEPTED);
    out->record.floor = emk_load_u64be(bytes + OFF_FLOOR);
    out->record.opens = emk_load_u64be(bytes + OFF_OPENS);
    out->envelope = emk_span_of(bytes + OFF_ENVELOPE, len);
    out->commit = bytes + OFF_COMMIT;
    out->mac_input = emk_span_of(bytes, OFF_MAC);
    out->mac = bytes + OFF_MAC;
    return EMK_OK;
}

emk_status emk_slot_make(const emk_schedule *s, const emk_record *record, emk_span envelope,
                         uint8_t bytes[EMK_VAULT_SLOT_LEN], emk_error *e)
{
    if (envelope.len == 0 || envelope.len > EMK_RECORD_ENVELOPE_MAX)
        return emk_fail(e, EMK_E_USAGE, "vault: length of the envelope", envelope.len);
    memset(bytes, 0, EMK_VAULT_SLOT_LEN);
    memcpy(bytes, MAGIC, sizeof MAGIC);
    bytes[OFF_STATE] = 1;
    emk_store_u16be(bytes + OFF_ENVLEN, (uint16_t)envelope.len);
    emk_store_u64be(bytes + OFF_GENERATION, record->generation);
    memcpy(bytes + OFF_VAULT_ID, record->vault_id, EMK_ID_LEN);
    emk_store_u64be(bytes + OFF_ACCEPTED, record->accepted);
    emk_store_u64be(bytes + OFF_FLOOR, record->floor);
    emk_store_u64be(bytes + OFF_OPENS, record->opens);
    memcpy(bytes + OFF_ENVELOPE, envelope.p, envelope.len);
    memcpy(bytes + OFF_COMMIT, s->commit, EMK_COMMIT_LEN);
    return emk_schedule_local_mac(s, emk_span_of(bytes, OFF_MAC), bytes + OFF_MAC, e);
}

emk_status emk_vault_hash(const emk_crypto *c, const uint8_t hh[EMK_HASH_LEN],
                          const uint8_t vault_id[EMK_ID_LEN], uint8_t vhh[EMK_HASH_LEN],
                          emk_error *e)
{
    static const char label[] = "earmark/1 vault"; /* hashed with its trailing zero */
    emk_span parts[3] = {emk_span_of(label, sizeof label), emk_span_of(hh, EMK_HASH_LEN),
                         emk_span_of(vault_id, EMK_ID_LEN)};

    return emk_sha256(c, parts, 3, vhh, e);
}

emk_status emk_local_extra(const emk_crypto *c, const uint8_t core_hash[EMK_HASH_LEN],
                           const uint8_t vault_id[EMK_ID_LEN], uint8_t extra[EMK_HASH_LEN],
                           emk_error *e)
{
    static const char label[] = "earmark/1 local";
    emk_span parts[3] = {emk_span_of(label, sizeof label), emk_span_of(core_hash, EMK_HASH_LEN),
                         emk_span_of(vault_id, EMK_ID_LEN)};

    return emk_sha256(c, parts, 3, extra, e);
}

emk_status emk_local_wrap(const emk_crypto *c, const emk_local_envelope *in, emk_writer *w,
                          emk_error *e)
{
    uint8_t extra[EMK_HASH_LEN];
    emk_envelope_context ctx = {
        .content_alg = in->header->core.content_alg, .extra = extra, .hint = true};
    emk_status st;

    if (in->to.kem != EMK_KEM_P256 && in->to.kem != EMK_KEM_MLKEM768_P256)
        return emk_fail(e, EMK_E_UNSUPPORTED, "vault: KEM of the device's key", in->to.kem);
    st = emk_local_extra(c, in->header->core_hash, in->vault_id, extra, e);
    if (st == EMK_OK)
        st = emk_recipient_wrap(c, &ctx, &in->to, in->cek, w, e);
    return st;
}

emk_status emk_vault_zeros(const emk_sink *out, uint64_t from, uint64_t to, emk_error *e)
{
    static const uint8_t zeros[16384];
    emk_status st = EMK_OK;

    while (st == EMK_OK && from < to) {
        size_t n = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;

        st = emk_sink_write(out, from, zeros, n, e);
        from += n;
    }
    return st;
}
