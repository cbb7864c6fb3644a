/* The line to the messenger: what it does not take from a server that is somebody else's by now. */
#include "server/daemon/messenger.h"

#include "tests/support/test.h"

#define TARGET 3u

typedef struct written {
    uint8_t bytes[2 + EMK_HOOK_ID_CAP + EMK_WEBHOOK_BODY_MAX + 1];
    size_t len;
} written;

static emk_span write_letter(size_t name_len, size_t body_len, written *w)
{
    memset(w->bytes, 'b', sizeof w->bytes);
    w->bytes[0] = TARGET;
    w->bytes[1] = (uint8_t)name_len;
    w->len = 2 + name_len + body_len;
    return emk_span_of(w->bytes, w->len);
}

static void a_letter_reads_back(void **state)
{
    emk_messenger_letter l;
    written w;

    (void)state;
    assert_true(
        emk_messenger_letter_read(write_letter(EMK_HOOK_ID_CAP - 1, EMK_WEBHOOK_BODY_MAX, &w), &l));
    assert_int_equal(l.target, TARGET);
    assert_int_equal(l.name.len, EMK_HOOK_ID_CAP - 1);
    assert_int_equal(l.body.len, EMK_WEBHOOK_BODY_MAX);
    assert_ptr_equal(l.body.p, w.bytes + 2 + l.name.len);
}

static void rejects_a_body_longer_than_its_box(void **state)
{
    emk_messenger_letter l;
    written w;

    (void)state;
    assert_false(emk_messenger_letter_read(write_letter(0, EMK_WEBHOOK_BODY_MAX + 1, &w), &l));
    assert_false(emk_messenger_letter_read(write_letter(1, EMK_WEBHOOK_BODY_MAX + 1, &w), &l));
}

static void rejects_a_name_longer_than_its_place(void **state)
{
    emk_messenger_letter l;
    written w;

    (void)state;
    assert_false(emk_messenger_letter_read(write_letter(EMK_HOOK_ID_CAP, 0, &w), &l));
}

static void rejects_a_letter_that_is_cut(void **state)
{
    emk_messenger_letter l;
    written w;
    emk_span in = write_letter(8, 0, &w);

    (void)state;
    for (in.len = 0; in.len < w.len; in.len++)
        assert_false(emk_messenger_letter_read(in, &l));
}

int main(void)
{
    return EMK_RUN(emk_rule(a_letter_reads_back), emk_rule(rejects_a_body_longer_than_its_box),
                   emk_rule(rejects_a_name_longer_than_its_place),
                   emk_rule(rejects_a_letter_that_is_cut));
}
