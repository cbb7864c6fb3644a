/* Code that is run instruction by instruction takes thousands of times as long.  The fastest of
 * several short loops is compared with a bound that emulation (tens of times slower) and a busy
 * machine (which cannot slow all of them) do not reach.
 * Evaded by stepping over the loop, or by an emulator with a clock of its own. */
#include "core/base/os_time.h"
#include "device/guard/internal.h"

#define STEPS 500u
#define TRIES 5u
#define STEPPED_MIN_NS                                                        \
    500000u /* a step by ptrace takes microseconds: 500 of them a millisecond \
             */

static uint64_t time_once(void)
{
    const uint64_t start = emk_os_monotonic_ns();
    volatile uint32_t sum = 0;

    for (uint32_t i = 0; i < STEPS; i++)
        sum = sum + i;
    return emk_os_monotonic_ns() - start;
}

static void look(emk_guard_look *l)
{
    uint64_t fastest = UINT64_MAX;

    for (unsigned i = 0; i < TRIES && fastest >= STEPPED_MIN_NS; i++) {
        const uint64_t ns = time_once();

        if (ns < fastest)
            fastest = ns;
    }
    if (fastest >= STEPPED_MIN_NS)
        emk_guard_saw(l, EMK_GUARD_SINGLE_STEP, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                      "code runs thousands of times too slowly");
}

const emk_detector emk_detect_stepping = {"stepping", look, false};
