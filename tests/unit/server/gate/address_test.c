#include "server/gate/address.h"
#include "tests/support/test.h"

static bool parses_to(const char *in, const char *out)
{
    char text[EMK_ADDRESS_TEXT_MAX];
    emk_address a;

    if (emk_address_parse(emk_span_str(in), &a, NULL) != EMK_OK)
        return false;
    emk_address_format(&a, text);
    return strcmp(text, out) == 0;
}

static void reads_addresses_and_writes_them_canonically(void **state)
{
    static const char *const rows[][2] = {
        {"1.2.3.4", "1.2.3.4"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8::", "2001:db8::"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"::ffff:102:304", "1.2.3.4"},
        {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!parses_to(rows[i][0], rows[i][1]))
            fail_msg("%s", rows[i][0]);
}

static void refuses_what_is_not_exactly_an_address(void **state)
{
    static const char *const rows[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        "0x1.2.3.4",
        "1..2.3",
        ":",
        ":1",
        "1:",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "12345::",
        "g::",
        "::1%eth0",
        "[::1]",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "2130706433",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
    };
    emk_address a;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (emk_address_parse(emk_span_str(rows[i]), &a, NULL) == EMK_OK)
            fail_msg("%s", rows[i]);
}

static void net_contains_its_own_and_nothing_else(void **state)
{
    emk_address in, out;
    emk_net n;
    emk_error e;

    (void)state;
    assert_ok(emk_net_parse(emk_span_str("10.1.2.128/25"), &n, &e), &e);
    assert_ok(emk_address_parse(emk_span_str("10.1.2.200"), &in, &e), &e);
    assert_ok(emk_address_parse(emk_span_str("10.1.2.100"), &out, &e), &e);
    assert_true(emk_net_contains(&n, &in));
    assert_false(emk_net_contains(&n, &out));
    assert_ok(emk_net_parse(emk_span_str("::/0"), &n, &e), &e);
    assert_false(emk_net_contains(&n, &in));
    assert_ok(emk_net_parse(emk_span_str("0.0.0.0/0"), &n, &e), &e);
    assert_true(emk_net_contains(&n, &in));
}

static void refuses_net_with_bits_behind_its_prefix(void **state)
{
    static const char *const rows[] = {"10.0.0.1/24", "2001:db8::1/64", "10.0.0.0/33",
                                       "::/129",      "10.0.0.0/",      "10.0.0.0/08",
                                       "/8",          "10.0.0.0/8x"};
    emk_net n;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (emk_net_parse(emk_span_str(rows[i]), &n, NULL) == EMK_OK)
            fail_msg("%s", rows[i]);
}

static void client_net_is_24_or_64_bits(void **state)
{
    char text[EMK_NET_TEXT_MAX];
    emk_address a;
    emk_net n;
    emk_error e;

    (void)state;
    assert_ok(emk_address_parse(emk_span_str("10.1.2.3"), &a, &e), &e);
    n = emk_net_of_client(&a);
    emk_net_format(&n, text);
    assert_string_equal(text, "10.1.2.0/24");
    assert_ok(emk_address_parse(emk_span_str("2001:db8:1:2:3:4:5:6"), &a, &e), &e);
    n = emk_net_of_client(&a);
    emk_net_format(&n, text);
    assert_string_equal(text, "2001:db8:1:2::/64");
}

int main(void)
{
    return EMK_RUN(emk_rule(reads_addresses_and_writes_them_canonically),
                   emk_rule(refuses_what_is_not_exactly_an_address),
                   emk_rule(net_contains_its_own_and_nothing_else),
                   emk_rule(refuses_net_with_bits_behind_its_prefix),
                   emk_rule(client_net_is_24_or_64_bits));
}
