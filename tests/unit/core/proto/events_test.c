#include "core/proto/events.h"

#include "tests/unit/core/proto/support.h"

#include <string.h>

static emk_events example(void)
{
    return (emk_events){.device_id = "a device id with thirty-two byte",
                        .first = 7,
                        .previous = "the hash of the batch before it.",
                        .time = NOW,
                        .n = 2,
                        .events = {{.type = EMK_EVENT_OPEN_FAIL,
                                    .time = NOW,
                                    .has_ticket = true,
                                    .ticket_id = "ticket id of 16",
                                    .code = 8,
                                    .detail = emk_span_str("seen")},
                                   {.type = EMK_EVENT_HEARTBEAT, .time = NOW + 1}}};
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_events in = example();

    return emk_events_sign(P.crypto, &P.device_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_events out;

    return emk_events_verify(P.crypto, m, P.device, &out, e);
}

static const map_rules RULES = {
    .type = EMK_COSE_EVENTS, .signer = &P.device_signer, .read = read_it, .write = write_it};

static void what_was_signed_is_read(void **state)
{
    emk_events in = example(), out = {.n = 0};
    emk_error e = {0};
    uint8_t hash[EMK_HASH_LEN];
    emk_buf b;

    (void)state;
    assert_ok(emk_events_verify(P.crypto, good_message(&RULES, &b), P.device, &out, &e), &e);
    assert_memory_equal(out.device_id, in.device_id, 32);
    assert_memory_equal(out.previous, in.previous, 32);
    assert_int_equal(out.first, 7);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.events[0].type, EMK_EVENT_OPEN_FAIL);
    assert_int_equal(out.events[0].code, 8);
    assert_true(out.events[0].has_ticket);
    assert_bytes(out.events[0].detail, emk_span_str("seen"));
    assert_false(out.events[1].has_ticket);
    assert_int_equal(out.events[1].time, NOW + 1);
    assert_ok(emk_message_hash(P.crypto, emk_buf_span(&b), hash, &e), &e);
    assert_memory_equal(out.hash, hash, sizeof hash);
    emk_buf_done(&b);
}

static void rejects_whatever_no_message_may_be(void **state)
{
    (void)state;
    check_map_rules(&RULES);
}

static void rejects(uint64_t key, const char *hex, emk_status want)
{
    check_rejects(&RULES, key, hex, want);
}

static void rejects_numbers_that_do_not_fit(void **state)
{
    (void)state;
    rejects(2, "00", EMK_E_FORMAT);
    rejects(2, "06", EMK_E_FORMAT);
    rejects(2, "1bffffffffffffffff", EMK_E_FORMAT);
    rejects(3, "07", EMK_E_FORMAT);
    rejects(3, "09", EMK_E_FORMAT);
    rejects(4, "4100", EMK_E_FORMAT);
}

static void rejects_events_that_are_none(void **state)
{
    (void)state;
    rejects(6, "80", EMK_E_FORMAT);                           /* no event */
    rejects(6, "81a201010200", EMK_E_FORMAT);                 /* one, where numbers say two */
    rejects(6, "82a201010200a1 0101", EMK_E_FORMAT);          /* no time */
    rejects(6, "82a201010200a1 0200", EMK_E_FORMAT);          /* no type */
    rejects(6, "82a201010200a2 0100 0200", EMK_E_FORMAT);     /* type 0 */
    rejects(6, "82a201010200a2 01190100 0200", EMK_E_FORMAT); /* type 256 */
    rejects(6, "82a201010200a3 0101 0200 034100", EMK_E_FORMAT);
    rejects(6, "82a201010200a3 0101 0200 0400", EMK_E_FORMAT); /* 0 is left out */
    rejects(6, "82a201010200a3 0101 0200 041b0000000100000000", EMK_E_FORMAT);
    rejects(6, "82a201010200a3 0101 0200 0540", EMK_E_FORMAT);
    rejects(6, "82a201010200a3 0101 0200 0600", EMK_E_FORMAT);
    rejects(6, "8201a201010200", EMK_E_FORMAT);
}

static void refuses_to_say_what_no_batch_says(void **state)
{
    emk_events in = example();
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.n = 0;
    assert_status(emk_events_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in.n = EMK_EVENTS_MAX + 1;
    assert_status(emk_events_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.first = 0;
    assert_status(emk_events_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.events[1].type = 0;
    assert_status(emk_events_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.events[1].detail.len = EMK_EVENT_DETAIL_MAX + 1;
    assert_status(emk_events_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    assert_int_equal(b.len, 0);
    emk_buf_done(&b);
}

int main(void)
{
    int failed;

    people_init();
    failed =
        EMK_RUN(emk_rule(what_was_signed_is_read), emk_rule(rejects_whatever_no_message_may_be),
                emk_rule(rejects_numbers_that_do_not_fit), emk_rule(rejects_events_that_are_none),
                emk_rule(refuses_to_say_what_no_batch_says));
    people_done();
    return failed;
}
