#include "server/attest/attest.h"
#include "tests/support/test.h"

static void level_is_the_table(void **state)
{
    static const struct {
        emk_claims claims;
        uint32_t level;
    } ROWS[] = {
        {{.kind = EMK_ATTEST_NONE, .key_home = EMK_KEY_HOME_SEPARATE}, 0},
        {{.kind = EMK_ATTEST_APP_ATTEST}, 3},
        {{.kind = EMK_ATTEST_APP_ATTEST, .warnings = {EMK_WARN_DEVELOPMENT}, .n_warnings = 1}, 0},
        {{.kind = EMK_ATTEST_ANDROID_KEY,
          .key_home = EMK_KEY_HOME_SEPARATE,
          .boot = EMK_BOOT_VERIFIED,
          .device_locked = true,
          .app = "a"},
         3},
        {{.kind = EMK_ATTEST_ANDROID_KEY,
          .key_home = EMK_KEY_HOME_SEPARATE,
          .boot = EMK_BOOT_VERIFIED,
          .device_locked = true},
         2},
        {{.kind = EMK_ATTEST_ANDROID_KEY,
          .key_home = EMK_KEY_HOME_TEE,
          .boot = EMK_BOOT_VERIFIED,
          .device_locked = true,
          .app = "a"},
         2},
        {{.kind = EMK_ATTEST_ANDROID_KEY,
          .key_home = EMK_KEY_HOME_SOFTWARE,
          .boot = EMK_BOOT_VERIFIED,
          .device_locked = true},
         0},
        {{.kind = EMK_ATTEST_ANDROID_KEY,
          .key_home = EMK_KEY_HOME_SEPARATE,
          .boot = EMK_BOOT_VERIFIED},
         0},
        {{.kind = EMK_ATTEST_ANDROID_KEY,
          .key_home = EMK_KEY_HOME_SEPARATE,
          .boot = EMK_BOOT_SELF_SIGNED,
          .device_locked = true},
         0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        assert_int_equal(emk_claims_level(&ROWS[i].claims), ROWS[i].level);
}

static void warning_is_kept_once(void **state)
{
    emk_claims c = {0};

    (void)state;
    emk_claims_warn(&c, EMK_WARN_BOOT);
    emk_claims_warn(&c, EMK_WARN_BOOT);
    assert_int_equal(c.n_warnings, 1);
    assert_true(emk_claims_has_warning(&c, EMK_WARN_BOOT));
    assert_false(emk_claims_has_warning(&c, EMK_WARN_DEVELOPMENT));
}

static void every_name_is_its_own(void **state)
{
    (void)state;
    for (int i = EMK_WARN_DEVELOPMENT; i <= EMK_WARN_SIGNED_RAW; i++)
        for (int j = EMK_WARN_DEVELOPMENT; j < i; j++)
            assert_string_not_equal(emk_attest_warning_name((emk_attest_warning)i),
                                    emk_attest_warning_name((emk_attest_warning)j));
    assert_string_equal(emk_attest_kind_name(EMK_ATTEST_APP_ATTEST), "app_attest");
    assert_string_equal(emk_attest_kind_name(EMK_ATTEST_ANDROID_KEY), "android_key");
    assert_string_equal(emk_attest_kind_name(EMK_ATTEST_NONE), "none");
}

int main(void)
{
    return EMK_RUN(emk_rule(level_is_the_table), emk_rule(warning_is_kept_once),
                   emk_rule(every_name_is_its_own));
}
