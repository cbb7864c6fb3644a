/* A Frida server on this machine listens on 27042 and speaks D-Bus: it answers AUTH with
 * REJECTED.  Asked only when something listens there, so that nobody's firewall is surprised.
 * Evaded by another port, or by a server that is not started at all (gadget, injection).
 * It says that the machine is used for instrumentation, not that this process is. */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

#define FRIDA_PORT 27042u
#define LISTENING  0x0Au /* TCP_LISTEN */

typedef struct sockets {
    bool listens;
} sockets;

/* "  sl: local:port remote:port state ..." */
static bool read_socket(void *self, const char *line)
{
    sockets *s = self;
    unsigned port, state;

    if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &port, &state) == 2 &&
        port == FRIDA_PORT && state == LISTENING)
        s->listens = true;
    return !s->listens;
}

static void look(emk_guard_look *l)
{
    static const char *const tables[] = {"/proc/self/net/tcp", "/proc/self/net/tcp6"};
    static const char hello[] = "\0AUTH\r\n"; /* D-Bus begins with a zero */
    sockets s = {false};

    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && !s.listens; i++) {
        emk_status st = emk_env_each_line(&l->env, tables[i], read_socket, &s, NULL);

        /* Android hides these from apps, a container may have no network: no finding. */
        if (st == EMK_E_LIMIT)
            emk_guard_blind(l, st, tables[i]);
    }
    if (s.listens &&
        emk_env_port_answers(FRIDA_PORT, emk_span_of(hello, sizeof hello - 1), "REJECTED"))
        emk_guard_saw(l, EMK_GUARD_AGENT_PORT, EMK_GUARD_LIKELY, "an agent's server on port 27042");
}

const emk_detector emk_detect_port = {"port", look, true};
