#include "core/seal/policy.h"

#include "tests/unit/core/seal/pieces.h"

/* ---- policy ---- */

static pieces policy_map(void)
{
    pieces p = {0};

    pieces_int(&p, 2, 5000);
    return p;
}

static void expect_policy(const pieces *p, emk_status want)
{
    emk_policy got, before;
    emk_buf in, again;
    emk_error e;

    memset(&got, 0x5A, sizeof got);
    before = got;
    pieces_encode(p, &in);
    assert_status(emk_policy_decode(emk_buf_span(&in), &got, &e), want, &e);
    if (want != EMK_OK) {
        assert_memory_equal(&got, &before, sizeof got);
    } else {
        emk_buf_init(&again, EMK_POLICY_MAX);
        assert_ok(emk_policy_encode(&got, &again, &e), &e);
        assert_bytes(emk_buf_span(&again), emk_buf_span(&in));
        emk_buf_done(&again);
    }
    emk_buf_done(&in);
}

static void policy_with_every_rule_is_written_as_it_was_read(void **state)
{
    pieces p = policy_map();

    (void)state;
    expect_policy(&p, EMK_OK);
    pieces_int(&p, 1, 10);
    pieces_int(&p, 3, 11);
    pieces_int(&p, 4, 12);
    pieces_int(&p, 5, 13);
    pieces_int(&p, 6, 14);
    pieces_int(&p, 7, 3);
    pieces_int(&p, 8, 2);
    pieces_int(&p, 9, 15);
    expect_policy(&p, EMK_OK);
    pieces_hex(&p, 2, "1BFFFFFFFFFFFFFFFF");
    expect_policy(&p, EMK_OK);
}

static void rejects_policy_without_expiry(void **state)
{
    pieces p = {0};

    (void)state;
    expect_policy(&p, EMK_E_FORMAT);
    pieces_int(&p, 3, 5);
    expect_policy(&p, EMK_E_FORMAT);
}

static void rejects_policy_key_that_is_not_listed(void **state)
{
    static const int64_t keys[] = {0, 10, 11, -1, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        pieces p = policy_map();

        pieces_int(&p, keys[i], 1);
        expect_policy(&p, EMK_E_FORMAT);
    }
}

static void rejects_policy_rules_with_value_0(void **state)
{
    static const int64_t keys[] = {3, 4, 7, 8, 9};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        pieces p = policy_map();

        pieces_int(&p, keys[i], 0);
        expect_policy(&p, EMK_E_FORMAT);
    }
}

static void rejects_policy_values_that_are_no_numbers(void **state)
{
    (void)state;
    for (int64_t key = 1; key <= 9; key++) {
        pieces p = policy_map();

        pieces_int(&p, 4, 9);
        pieces_int(&p, key, -1);
        expect_policy(&p, EMK_E_FORMAT);
        pieces_text(&p, key, "1");
        expect_policy(&p, EMK_E_FORMAT);
        pieces_hex(&p, key, "F5");
        expect_policy(&p, EMK_E_FORMAT);
    }
}

static void rejects_guard_level_4_and_memory_3(void **state)
{
    pieces p = policy_map();

    (void)state;
    pieces_int(&p, 7, 4);
    expect_policy(&p, EMK_E_FORMAT);
    p = policy_map();
    pieces_int(&p, 8, 3);
    expect_policy(&p, EMK_E_FORMAT);
    p = policy_map();
    pieces_int(&p, 7, 257); /* would be 1 in a byte */
    expect_policy(&p, EMK_E_FORMAT);
    p = policy_map();
    pieces_int(&p, 8, 258);
    expect_policy(&p, EMK_E_FORMAT);
}

static void rejects_grace_and_delay_without_a_lease(void **state)
{
    pieces p = policy_map();

    (void)state;
    pieces_int(&p, 5, 1);
    expect_policy(&p, EMK_E_FORMAT);
    p = policy_map();
    pieces_int(&p, 6, 1);
    expect_policy(&p, EMK_E_FORMAT);
}

static void rejects_policy_that_is_no_map_and_every_cut(void **state)
{
    uint8_t in[] = {0xA1, 0x02, 0x19, 0x13, 0x88, 0x00};
    emk_policy p;
    emk_error e;

    (void)state;
    assert_ok(emk_policy_decode(emk_span_of(in, 5), &p, &e), &e);
    assert_status(emk_policy_decode(emk_span_of(in, 6), &p, &e), EMK_E_FORMAT, &e);
    for (size_t len = 0; len < 5; len++)
        assert_status(emk_policy_decode(emk_span_of(in, len), &p, &e), EMK_E_FORMAT, &e);
    assert_status(emk_policy_decode(emk_span_of("\x80", 1), &p, &e), EMK_E_FORMAT, &e);
}

static void rejects_policy_longer_than_256_bytes(void **state)
{
    uint8_t in[EMK_POLICY_MAX + 1] = {0xA0};
    emk_policy p;
    emk_error e;

    (void)state;
    assert_status(emk_policy_decode(emk_span_of(in, sizeof in), &p, &e), EMK_E_LIMIT, &e);
}

static void writes_no_policy_that_cannot_be_read(void **state)
{
    static const emk_policy bad[] = {{.not_before = 1},
                                     {.expires = 5, .not_before = 5},
                                     {.expires = 5, .grace_s = 1},
                                     {.expires = 5, .renewal_delay_s = 1},
                                     {.expires = 5, .min_guard = 4},
                                     {.expires = 5, .memory = 3}};
    emk_buf out;
    emk_error e;

    (void)state;
    emk_buf_init(&out, EMK_POLICY_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(emk_policy_encode(&bad[i], &out, &e), EMK_E_USAGE, &e);
    assert_int_equal(out.len, 0);
    emk_buf_done(&out);
}

/* ---- identity ---- */

static pieces identity_map(void)
{
    uint8_t device[32] = {1};
    pieces p = {0};

    pieces_text(&p, 1, "model");
    pieces_text(&p, 5, "user");
    pieces_bytes(&p, 6, emk_span_of(device, 32));
    return p;
}

static void expect_identity(const pieces *p, emk_status want)
{
    emk_identity got, before;
    emk_buf in, again;
    emk_error e;

    memset(&got, 0x5A, sizeof got);
    before = got;
    pieces_encode(p, &in);
    assert_status(emk_identity_decode(emk_buf_span(&in), &got, &e), want, &e);
    if (want != EMK_OK) {
        assert_memory_equal(&got, &before, sizeof got);
    } else {
        emk_buf_init(&again, EMK_IDENTITY_MAX);
        assert_ok(emk_identity_encode(&got, &again, &e), &e);
        assert_bytes(emk_buf_span(&again), emk_buf_span(&in));
        emk_buf_done(&again);
    }
    emk_buf_done(&in);
}

static void identity_with_every_name_is_written_as_it_was_read(void **state)
{
    pieces p = identity_map();

    (void)state;
    expect_identity(&p, EMK_OK);
    pieces_text(&p, 2, "1.0");
    pieces_text(&p, 3, "use \xE2\x82\xAC");
    pieces_text(&p, 4, "app");
    expect_identity(&p, EMK_OK);
}

static void rejects_identity_without_model_user_or_device(void **state)
{
    static const int64_t keys[] = {1, 5, 6};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        pieces p = identity_map();

        pieces_drop(&p, keys[i]);
        expect_identity(&p, EMK_E_FORMAT);
    }
}

static void rejects_identity_key_that_is_not_listed(void **state)
{
    static const int64_t keys[] = {0, 7, -1};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        pieces p = identity_map();

        pieces_text(&p, keys[i], "x");
        expect_identity(&p, EMK_E_FORMAT);
    }
}

static void rejects_texts_of_no_and_of_129_bytes(void **state)
{
    char text[130];

    (void)state;
    for (int64_t key = 1; key <= 5; key++) {
        pieces p = identity_map();

        memset(text, 'x', sizeof text);
        text[128] = 0;
        pieces_text(&p, key, text);
        expect_identity(&p, EMK_OK);
        text[128] = 'x';
        text[129] = 0;
        pieces_text(&p, key, text);
        expect_identity(&p, EMK_E_FORMAT);
        pieces_text(&p, key, "");
        expect_identity(&p, EMK_E_FORMAT);
    }
}

static void rejects_control_characters_and_bad_utf8(void **state)
{
    static const char *const texts[] = {
        "a\nb",     "\x01",         "\x1F", "x\x7F",    "\xC2\x80",        "\xC2\x9F",
        "\xC0\x80", "\xED\xA0\x80", "\xFF", "\xE2\x82", "\xF4\x90\x80\x80"};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pieces p = identity_map();

        pieces_text(&p, 5, texts[i]);
        expect_identity(&p, EMK_E_FORMAT);
        assert_status(emk_text_check(emk_span_str(texts[i]), &e), EMK_E_FORMAT, &e);
    }
    assert_status(emk_text_check(emk_span_of("a\0b", 3), &e), EMK_E_FORMAT, &e);
    assert_ok(emk_text_check(emk_span_str("\xC2\xA0 \xF4\x8F\xBF\xBF"), &e), &e);
}

static void rejects_device_of_31_and_33_bytes(void **state)
{
    uint8_t device[33] = {0};
    pieces p = identity_map();

    (void)state;
    pieces_bytes(&p, 6, emk_span_of(device, 31));
    expect_identity(&p, EMK_E_FORMAT);
    pieces_bytes(&p, 6, emk_span_of(device, 33));
    expect_identity(&p, EMK_E_FORMAT);
    pieces_text(&p, 6, "abcdefghijklmnopqrstuvwxyzabcdef");
    expect_identity(&p, EMK_E_FORMAT);
}

static void rejects_names_as_bytes(void **state)
{
    (void)state;
    for (int64_t key = 1; key <= 5; key++) {
        pieces p = identity_map();

        pieces_bytes(&p, key, emk_span_of("name", 4));
        expect_identity(&p, EMK_E_FORMAT);
    }
}

static void rejects_identity_longer_than_1024_bytes(void **state)
{
    uint8_t in[EMK_IDENTITY_MAX + 1] = {0xA0};
    emk_identity id;
    emk_error e;

    (void)state;
    assert_status(emk_identity_decode(emk_span_of(in, sizeof in), &id, &e), EMK_E_LIMIT, &e);
}

static void writes_no_identity_that_cannot_be_read(void **state)
{
    emk_identity id = {.model = {(const uint8_t *)"m", 1}};
    emk_buf out;
    emk_error e;

    (void)state;
    emk_buf_init(&out, EMK_IDENTITY_MAX);
    assert_status(emk_identity_encode(&id, &out, &e), EMK_E_USAGE, &e);
    id.user = emk_span_str("a\nb");
    assert_status(emk_identity_encode(&id, &out, &e), EMK_E_USAGE, &e);
    id.user = emk_span_str("u");
    id.app = emk_span_str("\xFF");
    assert_status(emk_identity_encode(&id, &out, &e), EMK_E_USAGE, &e);
    assert_int_equal(out.len, 0);
    emk_buf_done(&out);
}

/* ---- rules ---- */

static const uint8_t DEVICE[32] = {7};
static const uint8_t OTHER[32] = {8};

typedef struct asked {
    emk_policy policy;
    emk_identity identity;
    emk_policy_ask ask;
} asked;

/* Everything is limited, and everything fits. */
static asked all_rules_fit(void)
{
    asked a = {.policy = {.not_before = 100,
                          .expires = 200,
                          .max_opens = 3,
                          .min_guard = 2,
                          .memory = EMK_POLICY_MEMORY_SECRET,
                          .release = 4},
               .ask = {.now = 150, .opens = 2, .guard = 2, .device = DEVICE}};

    a.identity.model = emk_span_str("m");
    a.identity.user = a.ask.user = emk_span_str("alice");
    a.identity.app = a.ask.app = emk_span_str("app");
    a.identity.use = a.ask.use = emk_span_str("use");
    memcpy(a.identity.device, DEVICE, 32);
    return a;
}

static void expect_refusal(const asked *a, const char *what)
{
    emk_error e;

    assert_status(emk_policy_check(&a->policy, &a->identity, &a->ask, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, what);
}

static void expect_allowed(const asked *a)
{
    emk_error e;

    assert_ok(emk_policy_check(&a->policy, &a->identity, &a->ask, &e), &e);
}

static void allows_when_every_rule_fits(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    expect_allowed(&a);
}

static void allows_a_model_with_no_rules_but_expiry(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.policy = (emk_policy){.expires = 200};
    a.identity.app = a.identity.use = emk_span_of(NULL, 0);
    a.ask.app = a.ask.use = emk_span_of(NULL, 0);
    a.ask.opens = UINT64_MAX;
    a.ask.guard = 0;
    a.ask.now = 0;
    expect_allowed(&a);
}

static void not_before_alone_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.now = 99;
    expect_refusal(&a, "policy: not valid yet");
    a.ask.now = 100;
    expect_allowed(&a);
}

static void expiry_alone_refuses_from_its_second_on(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.now = 199;
    expect_allowed(&a);
    a.ask.now = 200;
    expect_refusal(&a, "policy: expired");
    a.ask.now = UINT64_MAX;
    expect_refusal(&a, "policy: expired");
}

static void max_opens_alone_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.opens = 3;
    expect_refusal(&a, "policy: opens used up");
    a.ask.opens = UINT64_MAX;
    expect_refusal(&a, "policy: opens used up");
}

static void lease_alone_always_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.policy.lease_s = 1;
    expect_refusal(&a, "policy: needs a lease, and there is none");
}

static void min_guard_alone_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.guard = 1;
    expect_refusal(&a, "policy: guard level is too low");
    a.ask.guard = 3;
    expect_allowed(&a);
}

static void another_user_or_none_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.user = emk_span_str("alic");
    expect_refusal(&a, "policy: for another user");
    a.ask.user = emk_span_of(NULL, 0);
    expect_refusal(&a, "policy: for another user");
}

static void another_app_or_none_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.app = emk_span_str("App");
    expect_refusal(&a, "policy: for another app");
    a.ask.app = emk_span_of(NULL, 0);
    expect_refusal(&a, "policy: for another app");
}

static void another_use_or_none_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.use = emk_span_str("use2");
    expect_refusal(&a, "policy: for another use");
    a.ask.use = emk_span_of(NULL, 0);
    expect_refusal(&a, "policy: for another use");
}

static void another_device_refuses(void **state)
{
    asked a = all_rules_fit();

    (void)state;
    a.ask.device = OTHER;
    expect_refusal(&a, "policy: for another device");
}

int main(void)
{
    return EMK_RUN(
        emk_rule(policy_with_every_rule_is_written_as_it_was_read),
        emk_rule(rejects_policy_without_expiry), emk_rule(rejects_policy_key_that_is_not_listed),
        emk_rule(rejects_policy_rules_with_value_0),
        emk_rule(rejects_policy_values_that_are_no_numbers),
        emk_rule(rejects_guard_level_4_and_memory_3),
        emk_rule(rejects_grace_and_delay_without_a_lease),
        emk_rule(rejects_policy_that_is_no_map_and_every_cut),
        emk_rule(rejects_policy_longer_than_256_bytes),
        emk_rule(writes_no_policy_that_cannot_be_read),
        emk_rule(identity_with_every_name_is_written_as_it_was_read),
        emk_rule(rejects_identity_without_model_user_or_device),
        emk_rule(rejects_identity_key_that_is_not_listed),
        emk_rule(rejects_texts_of_no_and_of_129_bytes),
        emk_rule(rejects_control_characters_and_bad_utf8),
        emk_rule(rejects_device_of_31_and_33_bytes), emk_rule(rejects_names_as_bytes),
        emk_rule(rejects_identity_longer_than_1024_bytes),
        emk_rule(writes_no_identity_that_cannot_be_read), emk_rule(allows_when_every_rule_fits),
        emk_rule(allows_a_model_with_no_rules_but_expiry), emk_rule(not_before_alone_refuses),
        emk_rule(expiry_alone_refuses_from_its_second_on), emk_rule(max_opens_alone_refuses),
        emk_rule(lease_alone_always_refuses), emk_rule(min_guard_alone_refuses),
        emk_rule(another_user_or_none_refuses), emk_rule(another_app_or_none_refuses),
        emk_rule(another_use_or_none_refuses), emk_rule(another_device_refuses));
}
