/* Hashes by Python's hashlib, with hh = bytes(range(0x80, 0xa0)), vault id =
 * bytes(range(0xb0, 0xc0)):  sha256(b"earmark/1 vault\0" + hh + id)  and the like. */
#include "core/seal/record.h"

#include "core/base/bytes.h"
#include "core/crypto/hash.h"
#include "tests/support/test.h"

static emk_crypto *crypto;

static void fill(uint8_t *p, size_t n, unsigned from)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(from + i);
}

static emk_schedule schedule(void)
{
    uint8_t cek[32], hh[32];
    emk_schedule s;
    emk_error e;

    fill(cek, 32, 0);
    fill(hh, 32, 0x80);
    assert_ok(emk_schedule_init(&s, crypto, EMK_LAYER_WEIGHTS, cek, hh, &e), &e);
    return s;
}

static void make(uint8_t slot[EMK_VAULT_SLOT_LEN], emk_span envelope)
{
    emk_record record = {.generation = 0x0102030405060708,
                         .accepted = 0x1112131415161718,
                         .floor = 0x2122232425262728,
                         .opens = 0x3132333435363738};
    emk_schedule s = schedule();
    emk_error e;

    fill(record.vault_id, 16, 0xb0);
    assert_ok(emk_slot_make(&s, &record, envelope, slot, &e), &e);
    emk_schedule_done(&s);
}

static const uint8_t ENVELOPE[] = "an envelope";
#define ENVELOPE_SPAN emk_span_of(ENVELOPE, sizeof ENVELOPE)

static void every_field_is_where_the_page_says(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN], want[64], mac[32];
    emk_schedule s = schedule();
    emk_error e;

    (void)state;
    make(slot, ENVELOPE_SPAN);
    emk_unhex("454d4b52 01 01 000c 0102030405060708 b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
              "1112131415161718 2122232425262728 3132333435363738 0000000000000000",
              want, sizeof want);
    assert_bytes(emk_span_of(slot, 64), emk_span_of(want, 64));
    assert_bytes(emk_span_of(slot + 64, sizeof ENVELOPE), ENVELOPE_SPAN);
    for (size_t i = 64 + sizeof ENVELOPE; i < 4032; i++)
        assert_int_equal(slot[i], 0);
    assert_memory_equal(slot + 4032, s.commit, 32);
    assert_ok(emk_schedule_local_mac(&s, emk_span_of(slot, 4064), mac, &e), &e);
    assert_memory_equal(slot + 4064, mac, 32);
    emk_schedule_done(&s);
}

static void reads_back_what_was_written(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN], id[16];
    emk_slot got;
    emk_error e;

    (void)state;
    fill(id, 16, 0xb0);
    make(slot, ENVELOPE_SPAN);
    assert_ok(emk_slot_parse(slot, &got, &e), &e);
    assert_int_equal(got.record.generation, 0x0102030405060708);
    assert_int_equal(got.record.accepted, 0x1112131415161718);
    assert_int_equal(got.record.floor, 0x2122232425262728);
    assert_int_equal(got.record.opens, 0x3132333435363738);
    assert_memory_equal(got.record.vault_id, id, 16);
    assert_bytes(got.envelope, ENVELOPE_SPAN);
    assert_ptr_equal(got.commit, slot + 4032);
    assert_ptr_equal(got.mac, slot + 4064);
    assert_bytes(got.mac_input, emk_span_of(slot, 4064));
}

static void expect_refused(const uint8_t slot[EMK_VAULT_SLOT_LEN])
{
    emk_slot got, before;
    emk_error e;

    memset(&got, 0x5A, sizeof got);
    before = got;
    assert_status(emk_slot_parse(slot, &got, &e), EMK_E_FORMAT, &e);
    assert_memory_equal(&got, &before, sizeof got);
}

static void rejects_empty_slot(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN] = {0};

    (void)state;
    expect_refused(slot);
    memset(slot, 0xFF, sizeof slot);
    expect_refused(slot);
}

static void rejects_another_magic_version_or_state(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN];

    (void)state;
    make(slot, ENVELOPE_SPAN);
    for (size_t i = 0; i < 6; i++) {
        slot[i] ^= 1;
        expect_refused(slot);
        slot[i] ^= 3;
        expect_refused(slot);
        slot[i] ^= 2;
    }
}

static void rejects_envelope_of_no_and_of_3969_bytes(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN];
    emk_slot got;
    emk_error e;

    (void)state;
    make(slot, ENVELOPE_SPAN);
    emk_store_u16be(slot + 6, 0);
    expect_refused(slot);
    emk_store_u16be(slot + 6, 3969);
    expect_refused(slot);
    emk_store_u16be(slot + 6, 65535);
    expect_refused(slot);
    emk_store_u16be(slot + 6, 3968);
    assert_ok(emk_slot_parse(slot, &got, &e), &e);
}

static void rejects_generation_0(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN];

    (void)state;
    make(slot, ENVELOPE_SPAN);
    memset(slot + 8, 0, 8);
    expect_refused(slot);
}

static void every_byte_is_under_the_mac(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN], mac[32];
    emk_schedule s = schedule();
    emk_error e;

    (void)state;
    make(slot, ENVELOPE_SPAN);
    for (size_t i = 0; i < 4064; i += i < 80 ? 1 : 61) {
        slot[i] ^= 1;
        assert_ok(emk_schedule_local_mac(&s, emk_span_of(slot, 4064), mac, &e), &e);
        assert_memory_not_equal(slot + 4064, mac, 32);
        slot[i] ^= 1;
    }
    emk_schedule_done(&s);
}

static void makes_no_slot_around_an_envelope_that_does_not_fit(void **state)
{
    static const uint8_t bytes[EMK_RECORD_ENVELOPE_MAX + 1];
    uint8_t slot[EMK_VAULT_SLOT_LEN];
    emk_record record = {.generation = 1};
    emk_schedule s = schedule();
    emk_error e;

    (void)state;
    assert_status(emk_slot_make(&s, &record, emk_span_of(bytes, 0), slot, &e), EMK_E_USAGE, &e);
    assert_status(emk_slot_make(&s, &record, emk_span_of(bytes, sizeof bytes), slot, &e),
                  EMK_E_USAGE, &e);
    assert_ok(emk_slot_make(&s, &record, emk_span_of(bytes, sizeof bytes - 1), slot, &e), &e);
    emk_schedule_done(&s);
}

static void hashes_of_the_vault_are_known_answers(void **state)
{
    uint8_t hh[32], id[16], got[32], want[32];
    emk_error e;

    (void)state;
    fill(hh, 32, 0x80);
    fill(id, 16, 0xb0);
    emk_unhex("b9d37a9e573a19a252ba48272ca1a8cb44c6247ae1b6050947ab398677e54e06", want, 32);
    assert_ok(emk_vault_hash(crypto, hh, id, got, &e), &e);
    assert_memory_equal(got, want, 32);
    emk_unhex("58c81c6ee3908779c9b633dac3ce2fb7e1c4dc6af8115b447fc13afeca098e33", want, 32);
    assert_ok(emk_local_extra(crypto, hh, id, got, &e), &e);
    assert_memory_equal(got, want, 32);
}

/* ---- under a lease ---- */

static const uint8_t SLEEPING[] = "one that sleeps";
#define SLEEPING_SPAN emk_span_of(SLEEPING, sizeof SLEEPING)

static emk_status make_leased(uint8_t slot[EMK_VAULT_SLOT_LEN], emk_span envelope,
                              emk_span sleeping)
{
    emk_record record = {.generation = 0x0102030405060708,
                         .accepted = 0x1112131415161718,
                         .floor = 0x2122232425262728,
                         .opens = 0x3132333435363738,
                         .lease_time = 0x4142434445464748,
                         .lease_until = 0x5152535455565758};
    const emk_envelopes envelopes = {envelope, sleeping};
    emk_schedule s = schedule();
    emk_status st;
    emk_error e;

    fill(record.vault_id, 16, 0xb0);
    st = emk_slot_make_leased(&s, &record, &envelopes, slot, &e);
    emk_schedule_done(&s);
    return st;
}

static void every_field_of_a_leased_record_is_where_the_page_says(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN], want[80], mac[32];
    emk_span summed = emk_span_of(slot, 4000);
    emk_schedule s = schedule();
    emk_slot got;
    emk_error e;

    (void)state;
    assert_int_equal(make_leased(slot, ENVELOPE_SPAN, SLEEPING_SPAN), EMK_OK);
    emk_unhex("454d4b52 01 02 000c 0102030405060708 b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
              "1112131415161718 2122232425262728 3132333435363738 5152535455565758"
              "4142434445464748 0010 000000000000",
              want, sizeof want);
    assert_bytes(emk_span_of(slot, 80), emk_span_of(want, 80));
    assert_bytes(emk_span_of(slot + 80, sizeof SLEEPING), SLEEPING_SPAN);
    assert_bytes(emk_span_of(slot + 80 + sizeof SLEEPING, sizeof ENVELOPE), ENVELOPE_SPAN);
    assert_ok(emk_sha256(crypto, &summed, 1, mac, &e), &e);
    assert_memory_equal(slot + 4000, mac, 32);
    assert_memory_equal(slot + 4032, s.commit, 32);
    assert_ok(emk_schedule_local_mac(&s, emk_span_of(slot, 4064), mac, &e), &e);
    assert_memory_equal(slot + 4064, mac, 32);
    assert_ok(emk_slot_parse(slot, &got, &e), &e);
    assert_true(got.leased);
    assert_bytes(got.envelope, ENVELOPE_SPAN);
    assert_bytes(got.sleeping, SLEEPING_SPAN);
    assert_int_equal(got.record.lease_until, 0x5152535455565758);
    assert_int_equal(got.record.lease_time, 0x4142434445464748);
    assert_ok(emk_slot_check(crypto, &got, &e), &e);
    emk_schedule_done(&s);
}

static void a_record_sleeps_without_its_envelope(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN];
    emk_slot got;
    emk_error e;

    (void)state;
    assert_int_equal(make_leased(slot, emk_span_of(slot, 0), SLEEPING_SPAN), EMK_OK);
    assert_ok(emk_slot_parse(slot, &got, &e), &e);
    assert_int_equal(got.envelope.len, 0);
    assert_ok(emk_slot_check(crypto, &got, &e), &e);
}

static void a_torn_leased_record_is_noticed_without_a_key(void **state)
{
    uint8_t slot[EMK_VAULT_SLOT_LEN];
    emk_slot got;
    emk_error e;

    (void)state;
    for (size_t sector = 0; sector < 4000; sector += 512) {
        assert_int_equal(make_leased(slot, ENVELOPE_SPAN, SLEEPING_SPAN), EMK_OK);
        slot[sector + 500 < 4000 ? sector + 500 : 3999] ^= 1;
        assert_ok(emk_slot_parse(slot, &got, &e), &e);
        assert_status(emk_slot_check(crypto, &got, &e), EMK_E_FORMAT, &e);
    }
}

static void rejects_envelopes_of_a_leased_record_that_do_not_fit(void **state)
{
    static const uint8_t many[4096];
    uint8_t slot[EMK_VAULT_SLOT_LEN];
    emk_slot got;
    emk_error e;

    (void)state;
    assert_int_equal(make_leased(slot, ENVELOPE_SPAN, emk_span_of(many, 0)), EMK_E_USAGE);
    assert_int_equal(make_leased(slot, emk_span_of(many, 1), emk_span_of(many, 3920)), EMK_E_USAGE);
    assert_int_equal(make_leased(slot, emk_span_of(many, 3921), emk_span_of(many, 1)), EMK_E_USAGE);
    assert_int_equal(make_leased(slot, emk_span_of(many, 1), emk_span_of(many, 3919)), EMK_OK);
    assert_ok(emk_slot_parse(slot, &got, &e), &e);
    emk_store_u16be(slot + 72, 3920);
    assert_status(emk_slot_parse(slot, &got, &e), EMK_E_FORMAT, &e);
    emk_store_u16be(slot + 72, 0);
    assert_status(emk_slot_parse(slot, &got, &e), EMK_E_FORMAT, &e);
    emk_store_u16be(slot + 72, 0xffff);
    emk_store_u16be(slot + 6, 0xffff);
    assert_status(emk_slot_parse(slot, &got, &e), EMK_E_FORMAT, &e);
}

int main(void)
{
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed =
        EMK_RUN(emk_rule(every_field_is_where_the_page_says), emk_rule(reads_back_what_was_written),
                emk_rule(rejects_empty_slot), emk_rule(rejects_another_magic_version_or_state),
                emk_rule(rejects_envelope_of_no_and_of_3969_bytes), emk_rule(rejects_generation_0),
                emk_rule(every_byte_is_under_the_mac),
                emk_rule(makes_no_slot_around_an_envelope_that_does_not_fit),
                emk_rule(hashes_of_the_vault_are_known_answers),
                emk_rule(every_field_of_a_leased_record_is_where_the_page_says),
                emk_rule(a_record_sleeps_without_its_envelope),
                emk_rule(a_torn_leased_record_is_noticed_without_a_key),
                emk_rule(rejects_envelopes_of_a_leased_record_that_do_not_fit));
    emk_crypto_free(crypto);
    return failed;
}
