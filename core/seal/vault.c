/* State: an open vault has a verified header, the keys of its live record, the decrypted
 * sealed part and the tag table.  `slot` is the slot that holds the live record (0 A, 1 B);
 * a change goes into the other one and, once written, makes that one live. */
#include "core/seal/vault.h"

#include "core/base/alloc.h"
#include "core/base/os_mem.h"
#include "core/base/os_parallel.h"
#include "core/seal/digest.h"
#include "core/seal/record.h"
#include "core/seal/segment.h"

#include <stdatomic.h>

struct emk_vault {
    const emk_crypto *crypto;
    emk_vault_in in;
    emk_buf head; /* preamble and header */
    emk_header header;
    uint8_t hh[EMK_HASH_LEN];
    uint8_t slots[2][EMK_VAULT_SLOT_LEN];
    unsigned slot;
    emk_record record;
    emk_buf envelope; /* empty: it sleeps, and was opened with the lease secret */
    emk_buf sleeping; /* empty: it needs no lease */
    emk_secret *cek;  /* for re-wrap */
    emk_schedule keys;
    uint16_t aead;
    emk_buf sealed_part;
    emk_plan plan;
    emk_policy policy;
    emk_identity identity; /* texts point into sealed_part */
    emk_layout layout;
    emk_vault_places places;
    uint32_t first_segment; /* of region 1 */
    uint8_t (*tags)[EMK_AEAD_TAG_LEN];
};

/* ---- opening ---- */

static emk_status read_head(emk_vault *v, emk_error *e)
{
    uint8_t preamble[EMK_PREAMBLE_LEN];
    uint32_t header_len;
    uint8_t *room;
    emk_status st;

    if (v->in.file->len < EMK_VAULT_SEALED)
        return emk_notice(v->in.noticed, EMK_NOTICED_LENGTH,
                          emk_fail(e, EMK_E_FORMAT, "vault: cut short", v->in.file->len));
    st = emk_source_read(v->in.file, 0, preamble, sizeof preamble, e);
    if (st == EMK_OK)
        st = emk_preamble_read(preamble, EMK_LAYER_WEIGHTS, &header_len, e);
    if (st != EMK_OK)
        return emk_notice(v->in.noticed, EMK_NOTICED_PREAMBLE, st);
    st = emk_buf_grow(&v->head, EMK_PREAMBLE_LEN + header_len, &room, e);
    if (st == EMK_OK)
        st = emk_source_read(v->in.file, 0, room, EMK_PREAMBLE_LEN + header_len, e);
    if (st != EMK_OK)
        return emk_notice(v->in.noticed, EMK_NOTICED_LENGTH, st);
    st = emk_header_parse(v->crypto, emk_buf_span(&v->head), EMK_LAYER_WEIGHTS, &v->header, e);
    return emk_notice(v->in.noticed, v->header.noticed, st);
}

static bool is_leased(const emk_vault *v)
{
    return v->header.core.mode == EMK_HPKE_PSK;
}

/* A slot of the kind that the header asks for. */
static emk_status parse_slot(const emk_vault *v, unsigned which, emk_slot *out, emk_error *e)
{
    emk_status st = emk_slot_parse(v->slots[which], out, e);

    if (st == EMK_OK && out->leased != is_leased(v))
        return emk_fail(e, EMK_E_FORMAT, "vault: not a local record", which);
    return st == EMK_OK ? emk_slot_check(v->crypto, out, e) : st;
}

/* Reads an envelope that a device makes for itself. */
static emk_status read_envelope(emk_span bytes, bool sleeping, emk_recipient *out, emk_error *e)
{
    emk_cbor_reader r;

    emk_cbor_reader_init(&r, bytes);
    emk_recipient_read(&r, true, out);
    if (emk_cbor_ok(&r) && out->suite.kem != EMK_KEM_P256 &&
        out->suite.kem != EMK_KEM_MLKEM768_P256)
        emk_cbor_fail(&r, EMK_E_FORMAT, "vault: KEM of the envelope", out->suite.kem);
    if (emk_cbor_ok(&r) && (out->psk_id.len != 0) != sleeping)
        emk_cbor_fail(&r, EMK_E_FORMAT, "vault: mode of the envelope", 0);
    return emk_cbor_finish(&r, e);
}

/* The envelope that can be opened now: with the device's key alone where there is one. */
static emk_status choose_envelope(const emk_vault *v, const emk_slot *slot, emk_recipient *out,
                                  emk_error *e)
{
    emk_status st = EMK_OK;

    if (slot->leased)
        st = emk_notice(v->in.noticed, EMK_NOTICED_CBOR,
                        read_envelope(slot->sleeping, true, out, e));
    if (st != EMK_OK)
        return st;
    if (slot->envelope.len)
        return emk_notice(v->in.noticed, EMK_NOTICED_CBOR,
                          read_envelope(slot->envelope, false, out, e));
    if (!v->in.lease_secret)
        return emk_fail(e, EMK_E_POLICY, "lease: it is over, the model sleeps: renew it", 0);
    return EMK_OK;
}

/* Fills *out with what the record's envelopes are bound to; NULL: nothing.  [container 7.7] */
static emk_status find_binding(const emk_vault *v, const emk_record *record, const uint8_t **out,
                               emk_error *e)
{
    *out = NULL;
    if (record->bound == 0)
        return EMK_OK;
    if (record->bound != EMK_VAULT_BOUND_VERDICT && record->bound != EMK_VAULT_BOUND_CODE)
        return emk_fail(e, EMK_E_UNSUPPORTED, "vault: how the record is bound", record->bound);
    *out = v->in.bindings[record->bound - EMK_VAULT_BOUND_VERDICT];
    if (!*out)
        return emk_fail(e, EMK_E_POLICY, "guard: this entry needs one, and there is none", 0);
    return EMK_OK;
}

/* Opens the envelope of a slot: CEK, keys, commitment, MAC.  Nothing of v changes on failure. */
static emk_status open_slot(emk_vault *v, const emk_slot *slot, emk_secret *cek, emk_schedule *keys,
                            emk_error *e)
{
    uint8_t vhh[EMK_HASH_LEN], extra[EMK_HASH_LEN], mac[EMK_HASH_LEN];
    const uint8_t *binding = NULL;
    emk_recipient recipient;
    emk_status st;

    st = choose_envelope(v, slot, &recipient, e);
    if (st == EMK_OK)
        st = find_binding(v, &slot->record, &binding, e);
    if (st == EMK_OK)
        st = emk_vault_hash(v->crypto, v->hh, slot->record.vault_id, vhh, e);
    if (st == EMK_OK)
        st = emk_local_extra_bound(v->crypto, v->header.core_hash, slot->record.vault_id, binding,
                                   extra, e);
    if (st == EMK_OK) {
        emk_unseal_in in = {.layer = EMK_LAYER_WEIGHTS,
                            .recipients = &recipient,
                            .n_recipients = 1,
                            .key = v->in.device_key,
                            .context = {.content_alg = v->header.core.content_alg,
                                        .extra = extra,
                                        .hint = true,
                                        .lease = {.crypto = v->crypto,
                                                  .secret = v->in.lease_secret,
                                                  .ticket_id = v->header.core.ticket_id}},
                            .hh = vhh,
                            .commit = slot->commit,
                            .cek = emk_secret_bytes(cek),
                            .noticed = v->in.noticed};

        st = emk_unseal(v->crypto, &in, keys, e);
    }
    if (st != EMK_OK)
        return st;
    st = emk_schedule_local_mac(keys, slot->mac_input, mac, e);
    if (st == EMK_OK && !emk_ct_equal(mac, slot->mac, sizeof mac))
        st = emk_notice(v->in.noticed, EMK_NOTICED_COMMIT, emk_fail_sealed(e));
    if (st != EMK_OK)
        emk_schedule_done(keys);
    return st;
}

/* Makes a slot the live one if header and record stand up together.  The chain is judged for
 * the time of acceptance, which the record's MAC then vouches for. */
static emk_status try_slot(emk_vault *v, unsigned which, emk_error *e)
{
    emk_schedule keys = {0};
    emk_secret *cek = NULL;
    emk_slot slot;
    emk_status st;

    st = parse_slot(v, which, &slot, e);
    if (st != EMK_OK)
        return emk_notice(v->in.noticed, EMK_NOTICED_CBOR, st);
    st = emk_header_verify(v->crypto, &v->header, v->in.issuer, slot.record.accepted, v->hh, e);
    if (st != EMK_OK)
        return emk_notice(v->in.noticed, EMK_NOTICED_SIGNATURE, st);
    st = emk_secret_new(EMK_CEK_LEN, &cek, e);
    if (st == EMK_OK)
        st = open_slot(v, &slot, cek, &keys, e);
    emk_buf_done(&v->envelope);
    emk_buf_done(&v->sleeping);
    if (st == EMK_OK)
        st = emk_buf_append(&v->envelope, slot.envelope, e);
    if (st == EMK_OK)
        st = emk_buf_append(&v->sleeping, slot.sleeping, e);
    if (st != EMK_OK) {
        emk_secret_free(cek);
        emk_schedule_done(&keys);
        return st;
    }
    v->slot = which;
    v->record = slot.record;
    v->cek = cek;
    v->keys = keys;
    return EMK_OK;
}

static bool damaged(emk_status st)
{
    return st == EMK_E_SEALED || st == EMK_E_FORMAT || st == EMK_E_LIMIT || st == EMK_E_SIGNATURE ||
           st == EMK_E_UNSUPPORTED;
}

/* Both slots: which are well-formed, which is the newer of them, or 0.  Only what the bytes say
 * decides; another failure is one. */
typedef struct slots {
    emk_slot slot[2];
    bool good[2];
    unsigned newer;
} slots;

static emk_status parse_slots(const emk_vault *v, slots *out, emk_error *e)
{
    for (unsigned i = 0; i < 2; i++) {
        emk_status st = parse_slot(v, i, &out->slot[i], e);

        if (st != EMK_OK && st != EMK_E_FORMAT)
            return st;
        out->good[i] = st == EMK_OK;
    }
    out->newer = out->good[1] &&
                 (!out->good[0] || out->slot[1].record.generation > out->slot[0].record.generation);
    return EMK_OK;
}

/* The newer well-formed slot, or the other one where that is torn.  [container 7.3] */
static emk_status open_record(emk_vault *v, emk_error *e)
{
    emk_noticed before = v->in.noticed ? *v->in.noticed : EMK_NOTICED_NOTHING;
    emk_error ignored;
    slots both;
    emk_status st;

    st = emk_source_read(v->in.file, EMK_VAULT_SLOT_A, v->slots[0], sizeof v->slots, e);
    if (st == EMK_OK)
        st = parse_slots(v, &both, e);
    if (st != EMK_OK)
        return st;
    st = try_slot(v, both.newer, e);
    if (damaged(st) && both.good[1 - both.newer]) {
        if (try_slot(v, 1 - both.newer, &ignored) == EMK_OK) {
            if (v->in.noticed)
                *v->in.noticed = before;
            return EMK_OK;
        }
    }
    return st;
}

static emk_status read_sealed_part(emk_vault *v, emk_error *e)
{
    emk_sealed_part part = {.schedule = &v->keys,
                            .aead = v->aead,
                            .len = v->header.core.sealed_part_len,
                            .hash = v->header.core.sealed_part_hash,
                            .noticed = v->in.noticed};
    size_t stored_len = (size_t)emk_sealed_part_stored(part.len);
    uint8_t *stored, *room;
    emk_status st;

    st = emk_buf_grow(&v->sealed_part, (size_t)part.len, &room, e);
    if (st != EMK_OK)
        return st;
    stored = emk_alloc(stored_len, 1);
    if (!stored)
        return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", stored_len);
    st = emk_notice(v->in.noticed, EMK_NOTICED_LENGTH,
                    emk_source_read(v->in.file, EMK_VAULT_SEALED, stored, stored_len, e));
    if (st == EMK_OK)
        st = emk_sealed_part_open(&part, stored, room, e);
    emk_free(stored);
    return st;
}

static emk_status take_sealed_part(emk_vault *v, emk_error *e)
{
    emk_span identity = {NULL, 0};
    emk_status st;

    st = emk_sealed_part_decode(emk_buf_span(&v->sealed_part), v->header.core.plain_len, &v->plan,
                                &identity, e);
    if (st == EMK_OK)
        st = emk_identity_decode(identity, &v->identity, e);
    if (st == EMK_OK)
        st = emk_policy_decode(v->header.core.policy, &v->policy, e);
    if (st == EMK_OK && is_leased(v) && !v->policy.lease_s)
        st = emk_fail(e, EMK_E_FORMAT, "vault: a lease that no policy asks for", 0);
    if (st != EMK_OK)
        return emk_notice(v->in.noticed, EMK_NOTICED_CBOR, st);
    st = emk_layout_init(&v->layout, &v->plan, v->sealed_part.len, e);
    if (st != EMK_OK)
        return st;
    v->places = emk_layout_vault(&v->layout);
    v->first_segment = emk_segments_of(v->sealed_part.len);
    if (v->in.file->len != v->places.end)
        return emk_notice(v->in.noticed, EMK_NOTICED_LENGTH,
                          emk_fail(e, EMK_E_FORMAT, "vault: length of the file", v->in.file->len));
    return EMK_OK;
}

static emk_status read_tags(emk_vault *v, emk_error *e)
{
    uint32_t n = v->layout.n_segments - v->first_segment;

    v->tags = emk_alloc(n, EMK_AEAD_TAG_LEN);
    if (!v->tags)
        return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", n);
    return emk_source_read(v->in.file, v->places.tags, (uint8_t *)v->tags,
                           (size_t)n * EMK_AEAD_TAG_LEN, e);
}

emk_status emk_vault_open(const emk_crypto *c, const emk_vault_in *in, emk_vault **out,
                          emk_error *e)
{
    emk_vault *v = emk_alloc(1, sizeof *v);
    emk_status st;

    if (!v)
        return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", sizeof *v);
    v->crypto = c;
    v->in = *in;
    emk_buf_init(&v->head, EMK_PREAMBLE_LEN + EMK_HEADER_MAX);
    emk_buf_init(&v->sealed_part, EMK_SEALED_PART_MAX);
    emk_buf_init(&v->envelope, EMK_RECORD_ENVELOPE_MAX);
    emk_buf_init(&v->sleeping, EMK_RECORD_ENVELOPE_MAX);
    st = read_head(v, e);
    if (st == EMK_OK)
        st = open_record(v, e);
    v->aead = emk_content_aead(EMK_LAYER_WEIGHTS, v->header.core.content_alg);
    if (st == EMK_OK)
        st = read_sealed_part(v, e);
    if (st == EMK_OK)
        st = take_sealed_part(v, e);
    if (st == EMK_OK)
        st = read_tags(v, e);
    if (st != EMK_OK) {
        emk_vault_close(v);
        return st;
    }
    *out = v;
    return EMK_OK;
}

void emk_vault_close(emk_vault *v)
{
    if (!v)
        return;
    emk_schedule_done(&v->keys);
    emk_secret_free(v->cek);
    emk_layout_done(&v->layout);
    emk_plan_done(&v->plan);
    if (v->sealed_part.p)
        emk_wipe(v->sealed_part.p, v->sealed_part.len);
    emk_buf_done(&v->sealed_part);
    emk_buf_done(&v->envelope);
    emk_buf_done(&v->sleeping);
    emk_buf_done(&v->head);
    emk_free(v->tags);
    emk_free(v);
}

const emk_core *emk_vault_core(const emk_vault *v)
{
    return &v->header.core;
}

const emk_plan *emk_vault_plan(const emk_vault *v)
{
    return &v->plan;
}

const emk_policy *emk_vault_policy(const emk_vault *v)
{
    return &v->policy;
}

const emk_identity *emk_vault_identity(const emk_vault *v)
{
    return &v->identity;
}

const emk_record *emk_vault_record(const emk_vault *v)
{
    return &v->record;
}

/* ---- changing the record ---- */

static emk_status make_slot(const emk_vault *v, const emk_record *record,
                            const emk_envelopes *envelopes, uint8_t *bytes, emk_error *e)
{
    if (is_leased(v))
        return emk_slot_make_leased(&v->keys, record, envelopes, bytes, e);
    return emk_slot_make(&v->keys, record, envelopes->envelope, bytes, e);
}

static emk_status write_slot(emk_vault *v, const emk_sink *file, const emk_record *record,
                             const emk_envelopes *envelopes, emk_error *e)
{
    unsigned other = 1 - v->slot;
    uint8_t bytes[EMK_VAULT_SLOT_LEN];
    emk_status st;

    if (record->generation == 0)
        return emk_fail(e, EMK_E_LIMIT, "vault: generations used up", v->record.generation);
    st = make_slot(v, record, envelopes, bytes, e);
    if (st == EMK_OK)
        st = emk_sink_write(file, EMK_VAULT_SLOT_A + (uint64_t)other * EMK_VAULT_SLOT_LEN, bytes,
                            sizeof bytes, e);
    if (st != EMK_OK)
        return st;
    v->slot = other;
    v->record = *record;
    return EMK_OK;
}

emk_status emk_vault_write_record(emk_vault *v, const emk_sink *file, uint64_t opens,
                                  uint64_t floor, emk_error *e)
{
    emk_envelopes kept = {emk_buf_span(&v->envelope), emk_buf_span(&v->sleeping)};
    emk_record next = v->record;

    next.generation++;
    next.opens = opens;
    next.floor = floor;
    return write_slot(v, file, &next, &kept, e);
}

static emk_status wrap(const emk_vault *v, const emk_agree_key *to, bool sleeping, emk_buf *out,
                       emk_error *e)
{
    emk_local_envelope in = {.header = &v->header,
                             .vault_id = v->record.vault_id,
                             .to = *to,
                             .cek = emk_secret_bytes(v->cek),
                             .sleeping = sleeping};
    uint8_t space[EMK_RECIPIENT_MAX];
    emk_writer w;
    emk_status st;

    emk_buf_init(out, EMK_RECORD_ENVELOPE_MAX);
    st = find_binding(v, &v->record, &in.binding, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, space, sizeof space);
    st = emk_local_wrap(v->crypto, &in, &w, e);
    return st == EMK_OK ? emk_buf_append(out, emk_writer_span(&w), e) : st;
}

static void replace(emk_buf *old, emk_buf *by)
{
    emk_buf_done(old);
    *old = *by;
}

emk_status emk_vault_write_lease(emk_vault *v, const emk_sink *file, const emk_vault_lease *lease,
                                 emk_error *e)
{
    emk_agree_key own = {emk_kem_private_id(v->in.device_key),
                         emk_kem_private_public(v->in.device_key)};
    emk_envelopes kept = {.sleeping = emk_buf_span(&v->sleeping)};
    emk_record next = v->record;
    emk_buf envelope;
    emk_status st = EMK_OK;

    if (!is_leased(v))
        return emk_fail(e, EMK_E_USAGE, "lease: this model needs none", 0);
    emk_buf_init(&envelope, EMK_RECORD_ENVELOPE_MAX);
    if (!lease->asleep && v->envelope.len)
        st = emk_buf_append(&envelope, emk_buf_span(&v->envelope), e);
    else if (!lease->asleep)
        st = wrap(v, &own, false, &envelope, e);
    kept.envelope = emk_buf_span(&envelope);
    next.generation++;
    next.floor = lease->floor;
    next.lease_time = lease->time;
    next.lease_until = lease->until;
    if (st == EMK_OK)
        st = write_slot(v, file, &next, &kept, e);
    if (st == EMK_OK)
        replace(&v->envelope, &envelope);
    else
        emk_buf_done(&envelope);
    return st;
}

emk_status emk_vault_clear_other(emk_vault *v, const emk_sink *file, emk_error *e)
{
    uint64_t at = EMK_VAULT_SLOT_A + (uint64_t)(1 - v->slot) * EMK_VAULT_SLOT_LEN;

    return emk_vault_zeros(file, at, at + EMK_VAULT_SLOT_LEN, e);
}

emk_status emk_vault_rewrap(emk_vault *v, const emk_sink *file, const emk_agree_key *to,
                            emk_error *e)
{
    emk_record next = v->record;
    emk_envelopes made;
    emk_buf envelope, sleeping;
    emk_status st;

    next.generation++;
    emk_buf_init(&sleeping, 0);
    st = wrap(v, to, false, &envelope, e);
    if (st == EMK_OK && is_leased(v))
        st = wrap(v, to, true, &sleeping, e);
    made = (emk_envelopes){emk_buf_span(&envelope), emk_buf_span(&sleeping)};
    if (st == EMK_OK)
        st = write_slot(v, file, &next, &made, e);
    if (st != EMK_OK) {
        emk_buf_done(&envelope);
        emk_buf_done(&sleeping);
        return st;
    }
    replace(&v->envelope, &envelope);
    replace(&v->sleeping, &sleeping);
    return EMK_OK;
}

/* ---- a glance ---- */

static emk_status look_at_slots(const emk_vault *v, emk_vault_glance *out, emk_error *e)
{
    const emk_slot *slot;
    slots both;
    emk_status st;

    st = parse_slots(v, &both, e);
    if (st != EMK_OK)
        return st;
    if (!both.good[both.newer])
        return emk_fail(e, EMK_E_FORMAT, "vault: not a local record", 0);
    slot = &both.slot[both.newer];
    out->record = slot->record;
    out->other = EMK_VAULT_SLOT_A + (uint64_t)(1 - both.newer) * EMK_VAULT_SLOT_LEN;
    out->asleep = slot->leased && slot->envelope.len == 0;
    return EMK_OK;
}

emk_status emk_vault_look(const emk_crypto *c, const emk_source *file, emk_vault_glance *out,
                          emk_error *e)
{
    emk_vault *v = emk_alloc(1, sizeof *v);
    emk_vault_glance g = {.asleep = false};
    emk_policy policy = {0};
    emk_status st;

    if (!v)
        return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", sizeof *v);
    v->crypto = c;
    v->in.file = file;
    emk_buf_init(&v->head, EMK_PREAMBLE_LEN + EMK_HEADER_MAX);
    st = read_head(v, e);
    if (st == EMK_OK)
        st = emk_source_read(file, EMK_VAULT_SLOT_A, v->slots[0], sizeof v->slots, e);
    if (st == EMK_OK)
        st = emk_policy_decode(v->header.core.policy, &policy, e);
    if (st == EMK_OK) {
        g.expires = policy.expires;
        g.release = policy.release;
        memcpy(g.ticket_id, v->header.core.ticket_id, sizeof g.ticket_id);
        memcpy(g.ticket_hash, v->header.core.ticket_hash, sizeof g.ticket_hash);
        g.leased = is_leased(v);
        st = look_at_slots(v, &g, e);
    }
    emk_vault_close(v);
    if (st == EMK_OK)
        *out = g;
    return st;
}

/* ---- the bytes ---- */

typedef struct read_job {
    emk_vault *v;
    uint8_t *out; /* the whole model; NULL: only verify */
    uint8_t (*leaves)[EMK_HASH_LEN];
    const emk_progress *progress;
    atomic_uint next;
    atomic_bool stop;
} read_job;

typedef struct read_worker {
    read_job *job;
    emk_segment_cipher cipher;
    emk_sha256_ctx *hash; /* NULL: no leaves wanted */
    uint8_t *scratch;     /* a segment; NULL: decrypt in the model's own memory */
} read_worker;

/* Reads a segment's ciphertext into `at` and decrypts it there. */
static emk_status read_segment(emk_vault *v, emk_segment_cipher *cipher, const emk_segment *seg,
                               uint8_t *at, emk_error *e)
{
    const uint8_t *from = at;
    emk_status st = EMK_OK;

    if (v->in.file->p)
        from = v->in.file->p + v->places.payload + seg->at;
    else
        st = emk_source_read(v->in.file, v->places.payload + seg->at, at, seg->len, e);
    if (st == EMK_OK)
        st = emk_segment_open(cipher, seg, from, v->tags[seg->number - v->first_segment], at, e);
    return st;
}

/* Reads a segment's ciphertext, into `scratch` where the file is not mapped, and decrypts a part of
 * it: of the rest there is one piece at a time in the clear. */
static emk_status read_part(emk_vault *v, emk_segment_cipher *cipher, const emk_segment *seg,
                            uint8_t *scratch, emk_aead_part *part, emk_error *e)
{
    const uint8_t *from = scratch;
    emk_status st = EMK_OK;

    if (v->in.file->p)
        from = v->in.file->p + v->places.payload + seg->at;
    else
        st = emk_source_read(v->in.file, v->places.payload + seg->at, scratch, seg->len, e);
    part->tag = v->tags[seg->number - v->first_segment];
    return st == EMK_OK ? emk_segment_open_part(cipher, seg, from, part, e) : st;
}

static emk_status work_segment(read_worker *w, uint32_t number, emk_error *e)
{
    read_job *job = w->job;
    emk_vault *v = job->v;
    emk_segment seg = emk_layout_segment(&v->layout, number);
    uint8_t *at = job->out ? job->out + seg.at : w->scratch;
    emk_status st = read_segment(v, &w->cipher, &seg, at, e);

    if (st == EMK_OK && w->hash)
        st = emk_digest_leaf(w->hash, v->plan.dsalt, &seg, emk_span_of(at, seg.len),
                             job->leaves[number - v->first_segment], e);
    return st;
}

static emk_status read_worker_init(read_worker *w, read_job *job, emk_error *e)
{
    emk_status st;

    w->job = job;
    if (!job->out) {
        w->scratch = emk_alloc(EMK_SEGMENT_LEN, 1);
        if (!w->scratch)
            return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", EMK_SEGMENT_LEN);
    }
    st = emk_segment_cipher_init(&w->cipher, &job->v->keys, job->v->aead, e);
    if (st == EMK_OK && job->leaves)
        st = emk_sha256_ctx_new(job->v->crypto, &w->hash, e);
    return st;
}

static void read_worker_done(read_worker *w)
{
    emk_segment_cipher_done(&w->cipher);
    emk_sha256_ctx_free(w->hash);
    if (w->scratch)
        emk_wipe(w->scratch, EMK_SEGMENT_LEN);
    emk_free(w->scratch);
}

static emk_status read_thread(void *self, unsigned number, emk_error *e)
{
    read_job *job = self;
    uint32_t end = job->v->layout.n_segments;
    read_worker w = {0};
    emk_status st;

    st = read_worker_init(&w, job, e);
    while (st == EMK_OK && !atomic_load(&job->stop)) {
        uint32_t i = atomic_fetch_add(&job->next, 1);

        if (i >= end)
            break;
        st = work_segment(&w, i, e);
        if (number == 0 && job->progress && job->progress->fn)
            job->progress->fn(job->progress->self, i, end);
    }
    if (st != EMK_OK)
        atomic_store(&job->stop, true);
    read_worker_done(&w);
    return st;
}

static emk_status run_job(read_job *job, unsigned threads, emk_error *e)
{
    uint32_t n = job->v->layout.n_segments - job->v->first_segment;

    if (threads == 0 || threads > EMK_SEAL_THREADS_MAX)
        return emk_fail(e, EMK_E_USAGE, "threads: number", threads);
    if (n == 0)
        return EMK_OK;
    if (threads > n)
        threads = n;
    atomic_store(&job->next, job->v->first_segment);
    return emk_notice(job->v->in.noticed, EMK_NOTICED_REGION,
                      emk_parallel_run(threads, read_thread, job, e));
}

emk_status emk_vault_read_all(emk_vault *v, uint8_t *out, unsigned threads,
                              const emk_progress *progress, emk_error *e)
{
    read_job job = {.v = v, .out = out, .progress = progress};
    emk_status st = run_job(&job, threads, e);

    if (st != EMK_OK && v->plan.model_len)
        emk_wipe(out, (size_t)v->plan.model_len);
    return st;
}

emk_status emk_vault_verify(emk_vault *v, unsigned threads, const emk_progress *progress,
                            emk_error *e)
{
    read_job job = {.v = v, .progress = progress};
    emk_status st;

    if (v->plan.digests) {
        job.leaves = emk_alloc(v->layout.n_segments - v->first_segment, EMK_HASH_LEN);
        if (!job.leaves)
            return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", v->layout.n_segments);
    }
    st = run_job(&job, threads, e);
    if (st == EMK_OK)
        st = emk_notice(v->in.noticed, EMK_NOTICED_DIGEST,
                        emk_digest_check(v->crypto, &v->plan, &v->layout,
                                         (const uint8_t(*)[EMK_HASH_LEN])job.leaves, e));
    emk_free(job.leaves);
    return st;
}

/* What reading a part of a segment needs beside the part. */
typedef struct part_scratch {
    uint8_t *cipher;  /* a segment; NULL where the file is mapped */
    emk_os_map piece; /* in no worse memory than the model's own may be */
} part_scratch;

static emk_status part_scratch_init(const emk_vault *v, part_scratch *s, emk_error *e)
{
    if (!v->in.file->p) {
        s->cipher = emk_alloc(EMK_SEGMENT_LEN, 1);
        if (!s->cipher)
            return emk_fail(e, EMK_E_NO_MEMORY, "vault: no memory", EMK_SEGMENT_LEN);
    }
    if (emk_os_map_new(EMK_AEAD_PIECE, EMK_OS_MAP_SECRET, &s->piece, NULL) == EMK_OK)
        return EMK_OK;
    return emk_os_map_new(EMK_AEAD_PIECE, EMK_OS_MAP_LOCK, &s->piece, e);
}

static void part_scratch_done(part_scratch *s)
{
    emk_free(s->cipher);
    emk_os_map_free(&s->piece);
}

emk_status emk_vault_read(emk_vault *v, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    emk_segment_cipher cipher = {0};
    part_scratch scratch = {0};
    size_t done = 0;
    emk_status st;

    if (off > v->plan.model_len || len > v->plan.model_len - off)
        return emk_fail(e, EMK_E_USAGE, "vault: outside the model", off);
    st = part_scratch_init(v, &scratch, e);
    if (st == EMK_OK)
        st = emk_segment_cipher_init(&cipher, &v->keys, v->aead, e);
    while (st == EMK_OK && done < len) {
        emk_segment seg = emk_layout_find(&v->layout, off + done);
        size_t skip = (size_t)(off + done - seg.at);
        size_t n = seg.len - skip < len - done ? seg.len - skip : len - done;

        if (n == seg.len) {
            st = read_segment(v, &cipher, &seg, out + done, e);
        } else {
            emk_aead_part part = {
                .from = skip, .len = n, .out = out + done, .piece = scratch.piece.p};

            st = read_part(v, &cipher, &seg, scratch.cipher, &part, e);
        }
        done += n;
    }
    (void)emk_notice(v->in.noticed, EMK_NOTICED_REGION, st);
    if (st != EMK_OK)
        emk_wipe(out, len);
    emk_segment_cipher_done(&cipher);
    part_scratch_done(&scratch);
    return st;
}
