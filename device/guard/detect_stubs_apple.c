/* Inline hooks of the system's functions.  Apple's libraries are in no file that could be
 * compared, so their first instructions are looked at: a jump through a register to an address
 * that stands behind it is what hooking libraries write, and no compiler does; an instruction
 * that only stops is a breakpoint.
 * Evaded by another way of jumping, and by hooks further in. */
#include "device/guard/apple_facts.h"
#include "device/guard/detectors_apple.h"

#include <stdio.h>
#include <string.h>

#define REGISTER        0x1fu
#define LOAD_NEXT_BUT_1 0x58000040u /* ldr x0, #8 */
#define JUMP            0xd61f0000u /* br x0 */
#define JUMP_MASK       0xfffffc1fu
#define BREAK           0xd4200000u /* brk #0 */
#define BREAK_MASK      0xffe0001fu
#define REGISTER_AT     5u

static bool jumps_by_what_follows(const uint32_t code[2])
{
    return (code[0] & ~REGISTER) == LOAD_NEXT_BUT_1 && (code[1] & JUMP_MASK) == JUMP &&
           (code[0] & REGISTER) == (code[1] >> REGISTER_AT & REGISTER);
}

static void look_at_function(emk_guard_look *l, const emk_darwin_function *f)
{
    uint32_t code[EMK_DARWIN_CODE_LEN / sizeof(uint32_t)];
    char detail[EMK_GUARD_DETAIL_MAX];

    memcpy(code, f->code, sizeof code);
    snprintf(detail, sizeof detail, "%.60s", f->name);
    if ((code[0] & BREAK_MASK) == BREAK)
        emk_guard_saw(l, EMK_GUARD_BREAKPOINT, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      detail);
    else if (jumps_by_what_follows(code) || jumps_by_what_follows(code + 1))
        emk_guard_saw(l, EMK_GUARD_PATCHED_FUNCTION,
                      emk_guard_outside_development(l, EMK_GUARD_CERTAIN), detail);
}

static void look(emk_guard_look *l)
{
    emk_darwin_function functions[EMK_DARWIN_FUNCTIONS_MAX];
    const size_t n = emk_darwin_functions(functions);

    for (size_t i = 0; i < n; i++)
        look_at_function(l, &functions[i]);
}

const emk_detector emk_detect_darwin_stubs = {"stubs", look, false};
