/* Games with the clock, to keep expired models alive: since the guard was made, the wall clock
 * must have gone on as much as the clock that nobody can set (and that goes on while the machine
 * sleeps).  Time zones and summer time do not change seconds since 1970.
 * Evaded by setting the clock before the start; the floor in every vault entry and the server's
 * own time see that.  Honest look-alikes: a clock corrected from the network; hence minutes. */
#include "core/base/os_time.h"
#include "device/guard/internal.h"

#define NS_IN_S       1000000000u
#define BACK_MAX_S    300
#define FORWARD_MAX_S 86400

static void look(emk_guard_look *l)
{
    const emk_guard_memory *m = l->memory;
    const int64_t steady = (int64_t)((emk_env_boot_ns() - m->boot_ns) / NS_IN_S);
    const int64_t wall = (int64_t)emk_os_now_s() - (int64_t)m->wall_s;

    if (wall - steady < -BACK_MAX_S)
        emk_guard_saw(l, EMK_GUARD_CLOCK_BACK, EMK_GUARD_LIKELY, "by more than five minutes");
    else if (wall - steady > FORWARD_MAX_S)
        emk_guard_saw(l, EMK_GUARD_CLOCK_JUMP, EMK_GUARD_HINT, "by more than a day");
}

const emk_detector emk_detect_clock = {"clock", look, false};
