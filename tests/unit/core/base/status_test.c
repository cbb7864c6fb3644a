#include "core/base/status.h"
#include "tests/support/test.h"

#define LAST EMK_E_CRYPTO

static void every_status_has_a_name_and_a_fix_of_its_own(void **state)
{
    (void)state;
    for (int i = EMK_OK; i <= LAST; i++) {
        const char *name = emk_status_name((emk_status)i);

        assert_true(i == EMK_OK ? strcmp(name, "OK") == 0 : strncmp(name, "E_", 2) == 0);
        assert_string_not_equal(name, "E_UNKNOWN");
        assert_true(strlen(emk_status_fix((emk_status)i)) > 10);
        for (int k = EMK_OK; k < i; k++) {
            assert_string_not_equal(name, emk_status_name((emk_status)k));
            assert_string_not_equal(emk_status_fix((emk_status)i), emk_status_fix((emk_status)k));
        }
    }
}

static void names_keep_their_numbers(void **state)
{
    /* exit codes and logs depend on them */
    static const char *const names[] = {"OK",          "E_USAGE",  "E_NO_MEMORY",   "E_IO",
                                        "E_FORMAT",    "E_LIMIT",  "E_UNSUPPORTED", "E_SIGNATURE",
                                        "E_SEALED",    "E_POLICY", "E_USED",        "E_STALE",
                                        "E_NOT_FOUND", "E_BUSY",   "E_KEY_LOST",    "E_CRYPTO"};

    (void)state;
    assert_int_equal(sizeof names / sizeof names[0], LAST + 1);
    for (int i = 0; i <= LAST; i++)
        assert_string_equal(emk_status_name((emk_status)i), names[i]);
}

static void numbers_beyond_the_table_are_unknown(void **state)
{
    (void)state;
    assert_string_equal(emk_status_name((emk_status)(LAST + 1)), "E_UNKNOWN");
    assert_string_equal(emk_status_name((emk_status)0x7fffffff), "E_UNKNOWN");
    assert_non_null(emk_status_fix((emk_status)(LAST + 1)));
}

static void fail_fills_the_error_and_gives_the_status(void **state)
{
    emk_error e = {EMK_OK, NULL, 0};

    (void)state;
    assert_int_equal(emk_fail(&e, EMK_E_LIMIT, "thing: too long", 77), EMK_E_LIMIT);
    assert_int_equal(e.status, EMK_E_LIMIT);
    assert_string_equal(e.what, "thing: too long");
    assert_int_equal(e.where, 77);
    assert_int_equal(emk_fail(NULL, EMK_E_LIMIT, "thing: too long", 77), EMK_E_LIMIT);
}

static void errno_becomes_a_status(void **state)
{
    emk_error e;

    (void)state;
    errno = ENOMEM;
    assert_int_equal(emk_fail_errno(&e, "x"), EMK_E_NO_MEMORY);
    errno = ENOENT;
    assert_int_equal(emk_fail_errno(&e, "x"), EMK_E_NOT_FOUND);
    errno = EACCES;
    assert_int_equal(emk_fail_errno(&e, "x"), EMK_E_IO);
    assert_int_equal(e.where, EACCES);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(every_status_has_a_name_and_a_fix_of_its_own), emk_rule(names_keep_their_numbers),
        emk_rule(numbers_beyond_the_table_are_unknown),
        emk_rule(fail_fills_the_error_and_gives_the_status), emk_rule(errno_becomes_a_status));
}
