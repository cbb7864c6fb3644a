#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "tests/support/test.h"

static void memory_is_zeroed(void **state)
{
    uint8_t *p = emk_alloc(100, 10);

    (void)state;
    assert_non_null(p);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    emk_free(p);
    emk_free(NULL);
}

static void product_that_overflows_is_refused(void **state)
{
    char *p = emk_alloc(4, 1);
    volatile size_t huge = SIZE_MAX / 2 + 1;

    (void)state;
    assert_non_null(p);
    assert_null(emk_alloc(huge, 2));
    assert_null(emk_realloc(p, huge, 2));
    p[3] = 1; /* still ours */
    emk_free(p);
}

static void nothing_is_still_a_pointer(void **state)
{
    void *p = emk_alloc(0, 8);

    (void)state;
    assert_non_null(p);
    p = emk_realloc(p, 0, 8);
    assert_non_null(p);
    emk_free(p);
}

static void resizing_keeps_the_bytes(void **state)
{
    char *p = emk_alloc(4, 1);

    (void)state;
    assert_non_null(p);
    memcpy(p, "abc", 4);
    p = emk_realloc(p, 10000, 1);
    assert_non_null(p);
    assert_string_equal(p, "abc");
    emk_free(p);
}

static void strings_are_copied_with_their_end(void **state)
{
    char *p = emk_strdup("abc");

    (void)state;
    assert_non_null(p);
    assert_string_equal(p, "abc");
    emk_free(p);
}

static void injected_failures_give_null(void **state)
{
#ifdef EMK_FAULTS
    void *p = emk_alloc(4, 1), *q;

    (void)state;
    emk_fault_fail_at(EMK_FAULT_ALLOC, 1);
    assert_null(emk_alloc(1, 1));
    emk_fault_fail_at(EMK_FAULT_ALLOC, 1);
    q = emk_realloc(p, 8, 1);
    assert_null(q);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 1);
    assert_null(emk_strdup("x"));
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
    emk_free(p);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    return EMK_RUN(emk_rule(memory_is_zeroed), emk_rule(product_that_overflows_is_refused),
                   emk_rule(nothing_is_still_a_pointer), emk_rule(resizing_keeps_the_bytes),
                   emk_rule(strings_are_copied_with_their_end),
                   emk_rule(injected_failures_give_null));
}
