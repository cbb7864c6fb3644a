#include "core/base/os_time.h"
#include "tests/support/test.h"

#include <time.h>

static void clock_is_the_systems(void **state)
{
    uint64_t before = (uint64_t)time(NULL), now = emk_os_now_s(), after = (uint64_t)time(NULL);

    (void)state;
    assert_true(before <= now && now <= after);
}

static void monotonic_time_goes_forward(void **state)
{
    uint64_t last = emk_os_monotonic_ns(), first = last;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t now = emk_os_monotonic_ns();

        assert_true(now >= last);
        last = now;
    }
    assert_true(last > first);
}

int main(void)
{
    return EMK_RUN(emk_rule(clock_is_the_systems), emk_rule(monotonic_time_goes_forward));
}
