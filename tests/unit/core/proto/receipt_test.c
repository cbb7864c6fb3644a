#include "core/proto/receipt.h"

#include "tests/unit/core/proto/support.h"

#include <string.h>

static emk_receipt example(void)
{
    return (emk_receipt){.ticket_id = "ticket id of 16",
                         .file_id = "file id with 16",
                         .outcome = EMK_E_SEALED,
                         .time = NOW,
                         .guard = 1,
                         .summary = emk_span_str("saw nothing")};
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_receipt in = example();

    return emk_receipt_sign(P.crypto, &P.device_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_receipt out;

    return emk_receipt_verify(P.crypto, m, P.device, &out, e);
}

static const map_rules RULES = {.type = EMK_COSE_RECEIPT,
                                .signer = &P.device_signer,
                                .may = 1u << 6,
                                .read = read_it,
                                .write = write_it};

static void what_was_signed_is_read(void **state)
{
    emk_receipt in = example(), out = {.outcome = 0};
    emk_error e = {0};
    emk_buf b;

    (void)state;
    assert_ok(emk_receipt_verify(P.crypto, good_message(&RULES, &b), P.device, &out, &e), &e);
    assert_memory_equal(out.ticket_id, in.ticket_id, 16);
    assert_memory_equal(out.file_id, in.file_id, 16);
    assert_int_equal(out.outcome, EMK_E_SEALED);
    assert_int_equal(out.time, NOW);
    assert_bytes(out.summary, in.summary);
    assert_int_equal(out.guard, 1);
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

static void rejects_bad_values(void **state)
{
    (void)state;
    rejects(1, "41 00", EMK_E_FORMAT);
    rejects(2, "51 0000000000000000000000000000000000", EMK_E_FORMAT);
    rejects(3, "190100", EMK_E_FORMAT); /* 256: not cut to 0, accepted */
    rejects(3, "20", EMK_E_FORMAT);
    rejects(5, "04", EMK_E_FORMAT);
}

static void refuses_to_sign_a_level_that_is_none(void **state)
{
    emk_receipt in = example();
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.guard = 4;
    assert_status(emk_receipt_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    emk_buf_done(&b);
}

int main(void)
{
    int failed;

    people_init();
    failed =
        EMK_RUN(emk_rule(what_was_signed_is_read), emk_rule(rejects_whatever_no_message_may_be),
                emk_rule(rejects_bad_values), emk_rule(refuses_to_sign_a_level_that_is_none));
    people_done();
    return failed;
}
