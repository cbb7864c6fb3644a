#include "core/base/buf.h"
#include "core/base/os_thread.h"
#include "server/gate/firewall.h"

#include "tests/unit/server/gate/kit.h"

static emk_address address(const char *text)
{
    emk_address a;
    emk_error e;

    assert_ok(emk_address_parse(emk_span_str(text), &a, &e), &e);
    return a;
}

static emk_firewall_set *set_of(const char *text)
{
    emk_firewall_set *s = NULL;
    emk_error e;

    assert_ok(emk_firewall_import(emk_span_str(text), &s, &e), &e);
    return s;
}

static emk_firewall_action action(const emk_firewall_set *s, const char *who)
{
    emk_address a = address(who);

    return emk_firewall_set_find(s, &a, KIT_NOW_S).action;
}

static const char list[] = "# a comment\n"
                           "10.0.0.0/8 deny origin=old by=anna reason=a bad net\n"
                           "\n"
                           "10.1.0.0/16 allow\n"
                           "10.1.2.0/24 limit:3 origin=auto\r\n"
                           "10.1.2.7 challenge\n"
                           "2001:db8::/32 deny\n"
                           "2001:db8:1::/48 allow expires=1600000000\n"
                           "192.0.2.0/24 allow\n"
                           "192.0.2.0/24 deny\n"
                           "192.0.2.0/24 challenge";

static void longest_prefix_wins(void **state)
{
    emk_firewall_set *s = set_of(list);
    emk_address a = address("10.1.2.9");

    (void)state;
    assert_int_equal(action(s, "10.2.3.4"), EMK_FIREWALL_DENY);
    assert_int_equal(action(s, "10.1.3.4"), EMK_FIREWALL_ALLOW);
    assert_int_equal(action(s, "10.1.2.9"), EMK_FIREWALL_LIMIT);
    assert_int_equal(emk_firewall_set_find(s, &a, KIT_NOW_S).limit_class, 3);
    assert_int_equal(action(s, "10.1.2.7"), EMK_FIREWALL_CHALLENGE);
    assert_int_equal(action(s, "11.0.0.0"), EMK_FIREWALL_NONE);
    assert_int_equal(action(s, "9.255.255.255"), EMK_FIREWALL_NONE);
    assert_int_equal(action(s, "2001:db8:ffff::"), EMK_FIREWALL_DENY);
    assert_int_equal(action(s, "::1"), EMK_FIREWALL_NONE);
    emk_firewall_set_free(s);
}

static void deny_beats_all_at_equal_prefix(void **state)
{
    emk_firewall_set *s = set_of(list);

    (void)state;
    assert_int_equal(action(s, "192.0.2.77"), EMK_FIREWALL_DENY);
    emk_firewall_set_free(s);
}

static void entry_that_is_over_leaves_the_next_one(void **state)
{
    emk_firewall_set *s = set_of(list);
    emk_address a = address("2001:db8:1::5");

    (void)state;
    assert_int_equal(emk_firewall_set_find(s, &a, 1599999999).action, EMK_FIREWALL_ALLOW);
    assert_int_equal(emk_firewall_set_find(s, &a, 1600000000).action, EMK_FIREWALL_DENY);
    emk_firewall_set_free(s);
}

static void whole_world_is_a_net(void **state)
{
    emk_firewall_set *s = set_of("0.0.0.0/0 deny\n::/0 deny\n127.0.0.0/8 allow\n::1 allow\n");

    (void)state;
    assert_int_equal(action(s, "8.8.8.8"), EMK_FIREWALL_DENY);
    assert_int_equal(action(s, "127.0.0.1"), EMK_FIREWALL_ALLOW);
    assert_int_equal(action(s, "::1"), EMK_FIREWALL_ALLOW);
    assert_int_equal(action(s, "255.255.255.255"), EMK_FIREWALL_DENY);
    assert_int_equal(action(s, "::ffff:127.0.0.1"), EMK_FIREWALL_ALLOW);
    emk_firewall_set_free(s);
}

static emk_firewall_action slow_find(const emk_firewall_set *s, const emk_address *a)
{
    emk_firewall_action best = EMK_FIREWALL_NONE;
    int bits = -1;

    for (size_t i = 0; i < emk_firewall_set_count(s); i++) {
        const emk_firewall_entry *x = emk_firewall_set_get(s, i);

        if (!emk_net_contains(&x->net, a))
            continue;
        if (x->net.bits > bits || (x->net.bits == bits && x->action > best)) {
            best = x->action;
            bits = x->net.bits;
        }
    }
    return best;
}

static void finds_what_looking_at_all_of_them_finds(void **state)
{
    static emk_firewall_entry entries[400];
    uint32_t seed = 12345;
    emk_error e;

    (void)state;
    for (int round = 0; round < 20; round++) {
        emk_firewall_set *s = NULL;

        memset(entries, 0, sizeof entries);
        for (size_t i = 0; i < 400; i++) {
            uint8_t b[4];

            seed = seed * 1664525u + 1013904223u;
            b[0] = 10;
            b[1] = (uint8_t)(seed >> 30);
            b[2] = (uint8_t)(seed >> 28 & 3);
            b[3] = (uint8_t)(seed >> 20);
            entries[i].net.base = emk_address_of(emk_span_of(b, 4));
            entries[i].net = emk_net_of(&entries[i].net.base, 6 + (seed >> 8) % 27);
            entries[i].action = (emk_firewall_action)(1 + (seed >> 4) % 4);
            entries[i].limit_class = entries[i].action == EMK_FIREWALL_LIMIT;
        }
        assert_ok(emk_firewall_set_new(entries, 400, &s, &e), &e);
        for (unsigned i = 0; i < 4096; i++) {
            uint8_t b[4] = {10, (uint8_t)(i >> 10), (uint8_t)(i >> 8 & 3), (uint8_t)i};
            emk_address a = emk_address_of(emk_span_of(b, 4));

            assert_int_equal(emk_firewall_set_find(s, &a, 1).action, slow_find(s, &a));
        }
        emk_firewall_set_free(s);
    }
}

static void what_is_exported_imports_as_the_same(void **state)
{
    emk_firewall_set *s = set_of(list), *again = NULL;
    emk_buf one, two;
    emk_error e;

    (void)state;
    emk_buf_init(&one, 65536);
    emk_buf_init(&two, 65536);
    assert_ok(emk_firewall_export(s, &one, &e), &e);
    assert_ok(emk_firewall_import(emk_buf_span(&one), &again, &e), &e);
    assert_ok(emk_firewall_export(again, &two, &e), &e);
    assert_bytes(emk_buf_span(&one), emk_buf_span(&two));
    assert_int_equal(emk_firewall_set_count(again), 9);
    assert_string_equal(emk_firewall_set_get(again, 0)->reason, "a bad net");
    assert_string_equal(emk_firewall_set_get(again, 0)->by, "anna");
    emk_firewall_set_free(s);
    emk_firewall_set_free(again);
    emk_buf_done(&one);
    emk_buf_done(&two);
}

static void refuses_list_with_one_line_that_is_not_understood(void **state)
{
    static const char *const rows[] = {
        "10.0.0.0/8",
        "10.0.0.1/8 deny",
        "example.com deny",
        "10.0.0.0/8 drop",
        "10.0.0.0/8 limit:0",
        "10.0.0.0/8 limit:16",
        "10.0.0.0/8 limit:",
        "10.0.0.0/8 deny expires=0",
        "10.0.0.0/8 deny expires=-1",
        "10.0.0.0/8 deny expires=99999999999999999999",
        "10.0.0.0/8 deny expires=5 expires=6",
        "10.0.0.0/8 deny by=a by=b",
        "10.0.0.0/8 deny colour=red",
        "10.0.0.0/8 deny allow",
        "10.0.0.0/8 deny reason=",
        "10.0.0.0/8 deny reason=a\x1b[31m",
        ("10.0.0.0/8 deny by="
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    };
    char text[1024];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_firewall_set *s = NULL;

        (void)snprintf(text, sizeof text, "127.0.0.1 allow\n%s\n", rows[i]);
        if (emk_firewall_import(emk_span_str(text), &s, &e) != EMK_E_FORMAT || e.where != 2 || s)
            fail_msg("%s", rows[i]);
    }
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    {
        emk_firewall_set *s = NULL;

        assert_status(emk_firewall_import(emk_span_str(text), &s, &e), EMK_E_LIMIT, &e);
    }
}

static void swap_counts_at_once_and_trial_says_what_would_change(void **state)
{
    emk_address clients[] = {address("10.1.3.4"), address("10.2.0.1"), address("8.8.8.8")};
    emk_firewall_set *now = set_of(list), *next = set_of("10.0.0.0/8 deny\n");
    emk_firewall_trial t = emk_firewall_try(now, next, clients, 3, KIT_NOW_S);
    emk_firewall *f;
    emk_error e;

    (void)state;
    assert_int_equal(t.n_clients, 3);
    assert_int_equal(t.by_action[EMK_FIREWALL_DENY], 2);
    assert_int_equal(t.changed, 1);
    assert_ok(emk_firewall_new(&f, &e), &e);
    assert_int_equal(emk_firewall_find(f, &clients[0], KIT_NOW_S).action, EMK_FIREWALL_NONE);
    emk_firewall_swap(f, now);
    assert_int_equal(emk_firewall_find(f, &clients[0], KIT_NOW_S).action, EMK_FIREWALL_ALLOW);
    emk_firewall_swap(f, next);
    assert_int_equal(emk_firewall_find(f, &clients[0], KIT_NOW_S).action, EMK_FIREWALL_DENY);
    emk_firewall_free(f);
}

static void count_entries(void *self, const emk_firewall_set *set)
{
    *(size_t *)self = emk_firewall_set_count(set);
}

static void find_and_look(void *self)
{
    emk_address a = address("10.1.2.3");
    size_t n;

    for (int i = 0; i < 2000; i++) {
        assert_true(emk_firewall_find(self, &a, 1).action != EMK_FIREWALL_CHALLENGE);
        emk_firewall_look(self, count_entries, &n);
        assert_true(n <= 1);
    }
}

static void sets_are_swapped_under_those_who_look(void **state)
{
    emk_thread *t[2];
    emk_firewall *f;

    (void)state;
    assert_ok(emk_firewall_new(&f, NULL), NULL);
    for (size_t i = 0; i < 2; i++)
        assert_ok(emk_thread_start(find_and_look, f, &t[i], NULL), NULL);
    for (int i = 0; i < 500; i++)
        emk_firewall_swap(f, set_of(i % 2 ? "10.0.0.0/8 deny\n" : "10.0.0.0/8 allow\n"));
    for (size_t i = 0; i < 2; i++)
        emk_thread_join(t[i]);
    emk_firewall_free(f);
}

static void refuses_entry_that_makes_no_sense(void **state)
{
    emk_firewall_entry x = {.action = EMK_FIREWALL_DENY};
    emk_firewall_set *s = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_firewall_set_new(&x, 1, &s, &e), EMK_E_USAGE, &e); /* no address */
    x.net.base = address("10.0.0.1");
    x.net.bits = 8;
    assert_status(emk_firewall_set_new(&x, 1, &s, &e), EMK_E_USAGE, &e);
    x.net.bits = 33;
    assert_status(emk_firewall_set_new(&x, 1, &s, &e), EMK_E_USAGE, &e);
    x.net.bits = 32;
    x.limit_class = 1;
    assert_status(emk_firewall_set_new(&x, 1, &s, &e), EMK_E_USAGE, &e);
    x.limit_class = 0;
    x.action = EMK_FIREWALL_NONE;
    assert_status(emk_firewall_set_new(&x, 1, &s, &e), EMK_E_USAGE, &e);
    assert_status(emk_firewall_set_new(&x, EMK_FIREWALL_ENTRIES_MAX + 1, &s, &e), EMK_E_LIMIT, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(longest_prefix_wins), emk_rule(deny_beats_all_at_equal_prefix),
                   emk_rule(entry_that_is_over_leaves_the_next_one), emk_rule(whole_world_is_a_net),
                   emk_rule(finds_what_looking_at_all_of_them_finds),
                   emk_rule(what_is_exported_imports_as_the_same),
                   emk_rule(refuses_list_with_one_line_that_is_not_understood),
                   emk_rule(sets_are_swapped_under_those_who_look),
                   emk_rule(swap_counts_at_once_and_trial_says_what_would_change),
                   emk_rule(refuses_entry_that_makes_no_sense));
}
