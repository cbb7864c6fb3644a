/* Who watches over the user's shoulder, where the platform can tell: screen capture, and
 * accessibility services, which can read and press everything.  Most of those are honest and
 * needed; an app names the ones it knows, and the rest is a hint. */
#include "device/guard/internal.h"

static void note_service(void *self, const char *name)
{
    emk_guard_look *l = self;

    if (!emk_guard_is_allowed(l, name))
        emk_guard_saw(l, EMK_GUARD_ACCESSIBILITY, EMK_GUARD_HINT, name);
}

static void look(emk_guard_look *l)
{
    const emk_guard_platform *p = l->platform;
    uint32_t bits = 0;

    if (!p->ops)
        return;
    if (p->ops->state && p->ops->state(p->self, &bits, NULL) == EMK_OK &&
        (bits & EMK_GUARD_HAS_SCREEN_CAPTURE))
        emk_guard_saw(l, EMK_GUARD_SCREEN, EMK_GUARD_HINT, "the screen is captured");
    if (p->ops->accessibility && p->ops->accessibility(p->self, note_service, l, NULL) == EMK_E_IO)
        emk_guard_blind(l, EMK_E_IO, "accessibility services");
}

const emk_detector emk_detect_screen = {"screen", look, true};
