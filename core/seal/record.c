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
#define OFF_BOUND      63u /* the last byte before the envelope; in leased records: */
#define OFF_BOUND_L    79u
#define OFF_UNTIL      56u /* leased records only, as the next three */
#define OFF_LEASE_TIME 64u
#define OFF_SLEEPLEN   72u
#define OFF_ENVELOPES  80u
#define OFF_ENVELOPE   64u
#define OFF_SUM        4000u
#define OFF_COMMIT     4032u
#define OFF_MAC        4064u

#define STATE_LIVE   1u
#define STATE_LEASED 2u

static const uint8_t MAGIC[5] = {'E', 'M', 'K', 'R', 1};

static emk_status parse_envelopes(const uint8_t *bytes, emk_slot *out, emk_error *e)
{
    size_t len = emk_load_u16be(bytes + OFF_ENVLEN), sleeping;

    out->leased = bytes[OFF_STATE] == STATE_LEASED;
    out->sleeping = emk_span_of(bytes, 0);
    if (!out->leased) {
        if (len == 0 || len > EMK_RECORD_ENVELOPE_MAX)
            return emk_fail(e, EMK_E_FORMAT, "vault: length of the envelope", len);
        out->envelope = emk_span_of(bytes + OFF_ENVELOPE, len);
        return EMK_OK;
    }
    sleeping = emk_load_u16be(bytes + OFF_SLEEPLEN);
    if (sleeping == 0 || len + sleeping > EMK_RECORD_LEASED_MAX)
        return emk_fail(e, EMK_E_FORMAT, "vault: length of the envelopes", len + sleeping);
    out->sleeping = emk_span_of(bytes + OFF_ENVELOPES, sleeping);
    out->envelope = emk_span_of(bytes + OFF_ENVELOPES + sleeping, len);
    out->sum = bytes + OFF_SUM;
    out->sum_input = emk_span_of(bytes, OFF_SUM);
    out->record.lease_until = emk_load_u64be(bytes + OFF_UNTIL);
    out->record.lease_time = emk_load_u64be(bytes + OFF_LEASE_TIME);
    return EMK_OK;
}

emk_status emk_slot_parse(const uint8_t bytes[EMK_VAULT_SLOT_LEN], emk_slot *out, emk_error *e)
{
    emk_slot slot = {.record = {.generation = emk_load_u64be(bytes + OFF_GENERATION)}};
    emk_status st;

    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0 ||
        (bytes[OFF_STATE] != STATE_LIVE && bytes[OFF_STATE] != STATE_LEASED))
        return emk_fail(e, EMK_E_FORMAT, "vault: not a local record", 0);
    st = parse_envelopes(bytes, &slot, e);
    if (st != EMK_OK)
        return st;
    if (slot.record.generation == 0)
        return emk_fail(e, EMK_E_FORMAT, "vault: generation", 0);
    memcpy(slot.record.vault_id, bytes + OFF_VAULT_ID, EMK_ID_LEN);
    slot.record.accepted = emk_load_u64be(bytes + OFF_ACCEPTED);
    slot.record.floor = emk_load_u64be(bytes + OFF_FLOOR);
    slot.record.opens = emk_load_u64be(bytes + OFF_OPENS);
    slot.record.bound = bytes[slot.leased ? OFF_BOUND_L : OFF_BOUND];
    slot.commit = bytes + OFF_COMMIT;
    slot.mac_input = emk_span_of(bytes, OFF_MAC);
    slot.mac = bytes + OFF_MAC;
    *out = slot;
    return EMK_OK;
}

emk_status emk_slot_check(const emk_crypto *c, const emk_slot *slot, emk_error *e)
{
    uint8_t sum[EMK_HASH_LEN];
    emk_status st;

    if (!slot->leased)
        return EMK_OK;
    st = emk_sha256(c, &slot->sum_input, 1, sum, e);
    if (st == EMK_OK && memcmp(sum, slot->sum, sizeof sum) != 0)
        return emk_fail(e, EMK_E_FORMAT, "vault: a torn record", 0);
    return st;
}

static void put_record(const emk_record *record, uint8_t state, uint8_t *bytes)
{
    memset(bytes, 0, EMK_VAULT_SLOT_LEN);
    memcpy(bytes, MAGIC, sizeof MAGIC);
    bytes[OFF_STATE] = state;
    bytes[state == STATE_LEASED ? OFF_BOUND_L : OFF_BOUND] = record->bound;
    emk_store_u64be(bytes + OFF_GENERATION, record->generation);
    memcpy(bytes + OFF_VAULT_ID, record->vault_id, EMK_ID_LEN);
    emk_store_u64be(bytes + OFF_ACCEPTED, record->accepted);
    emk_store_u64be(bytes + OFF_FLOOR, record->floor);
    emk_store_u64be(bytes + OFF_OPENS, record->opens);
}

static emk_status put_mac(const emk_schedule *s, uint8_t *bytes, emk_error *e)
{
    memcpy(bytes + OFF_COMMIT, s->commit, EMK_COMMIT_LEN);
    return emk_schedule_local_mac(s, emk_span_of(bytes, OFF_MAC), bytes + OFF_MAC, e);
}

emk_status emk_slot_make(const emk_schedule *s, const emk_record *record, emk_span envelope,
                         uint8_t bytes[EMK_VAULT_SLOT_LEN], emk_error *e)
{
    if (envelope.len == 0 || envelope.len > EMK_RECORD_ENVELOPE_MAX)
        return emk_fail(e, EMK_E_USAGE, "vault: length of the envelope", envelope.len);
    put_record(record, STATE_LIVE, bytes);
    emk_store_u16be(bytes + OFF_ENVLEN, (uint16_t)envelope.len);
    memcpy(bytes + OFF_ENVELOPE, envelope.p, envelope.len);
    return put_mac(s, bytes, e);
}

emk_status emk_slot_make_leased(const emk_schedule *s, const emk_record *record,
                                const emk_envelopes *in, uint8_t bytes[EMK_VAULT_SLOT_LEN],
                                emk_error *e)
{
    size_t len = in->envelope.len, sleeping = in->sleeping.len;
    emk_span sum_input = emk_span_of(bytes, OFF_SUM);
    emk_status st;

    if (sleeping == 0 || len > EMK_RECORD_LEASED_MAX || sleeping > EMK_RECORD_LEASED_MAX - len)
        return emk_fail(e, EMK_E_USAGE, "vault: length of the envelopes", sleeping);
    put_record(record, STATE_LEASED, bytes);
    emk_store_u64be(bytes + OFF_UNTIL, record->lease_until);
    emk_store_u64be(bytes + OFF_LEASE_TIME, record->lease_time);
    emk_store_u16be(bytes + OFF_ENVLEN, (uint16_t)len);
    emk_store_u16be(bytes + OFF_SLEEPLEN, (uint16_t)sleeping);
    memcpy(bytes + OFF_ENVELOPES, in->sleeping.p, sleeping);
    if (len)
        memcpy(bytes + OFF_ENVELOPES + sleeping, in->envelope.p, len);
    st = emk_sha256(s->crypto, &sum_input, 1, bytes + OFF_SUM, e);
    return st == EMK_OK ? put_mac(s, bytes, e) : st;
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

emk_status emk_local_extra_bound(const emk_crypto *c, const uint8_t *core_hash,
                                 const uint8_t *vault_id, const uint8_t *binding,
                                 uint8_t extra[EMK_HASH_LEN], emk_error *e)
{
    static const char label[] = "earmark/1 local", bound[] = "earmark/1 local guarded";
    emk_span parts[4] = {emk_span_of(label, sizeof label), emk_span_of(core_hash, EMK_HASH_LEN),
                         emk_span_of(vault_id, EMK_ID_LEN)};

    if (!binding)
        return emk_sha256(c, parts, 3, extra, e);
    parts[0] = emk_span_of(bound, sizeof bound);
    parts[3] = emk_span_of(binding, EMK_HASH_LEN);
    return emk_sha256(c, parts, 4, extra, e);
}

emk_status emk_local_extra(const emk_crypto *c, const uint8_t core_hash[EMK_HASH_LEN],
                           const uint8_t vault_id[EMK_ID_LEN], uint8_t extra[EMK_HASH_LEN],
                           emk_error *e)
{
    return emk_local_extra_bound(c, core_hash, vault_id, NULL, extra, e);
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
    if (in->sleeping) {
        ctx.lease_key = in->header->core.lease_key;
        ctx.lease.ticket_id = in->header->core.ticket_id;
    }
    st = emk_local_extra_bound(c, in->header->core_hash, in->vault_id, in->binding, extra, e);
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
