/* A Frida server on this machine listens on 27042 and speaks D-Bus: it answers AUTH with
 * REJECTED.  Nothing leaves the machine: where nothing listens, loopback refuses at once.  (The
 * kernel's table of sockets would tell without connecting, but reading it takes milliseconds.)
 * Evaded by another port, or by a server that is not started at all (gadget, injection).
 * It says that the machine is used for instrumentation, not that this process is. */
#include "device/guard/internal.h"

#define FRIDA_PORT 27042u

static void look(emk_guard_look *l)
{
    static const char hello[] = "\0AUTH\r\n"; /* D-Bus begins with a zero */

    if (emk_env_port_answers(FRIDA_PORT, emk_span_of(hello, sizeof hello - 1), "REJECTED"))
        emk_guard_saw(l, EMK_GUARD_AGENT_PORT, EMK_GUARD_LIKELY, "an agent's server on port 27042");
}

const emk_detector emk_detect_port = {"port", look, true};
