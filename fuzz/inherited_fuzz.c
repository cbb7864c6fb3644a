/* What a supervisor says in the environment of the sockets that it hands over (LISTEN_FDS,
 * LISTEN_PID, LISTEN_FDNAMES; a line each), and when it wants to hear of us (WATCHDOG_USEC). */
#include "fuzz/check.h"
#include "server/daemon/os_net.h"

#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC"};
    char text[512], pid[24], *at = text;
    emk_inherited found[EMK_INHERITED_MAX];
    size_t n;

    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    must(setenv("LISTEN_PID", pid, 1) == 0, "environment");
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char *end = at ? strchr(at, '\n') : NULL;

        if (end)
            *end = 0;
        must(setenv(NAMES[i], at ? at : "", 1) == 0, "environment");
        at = end ? end + 1 : NULL;
    }
    n = emk_net_inherited(found);
    must(n <= EMK_INHERITED_MAX, "as many as there is room for");
    for (size_t i = 0; i < n; i++)
        must(found[i].fd == (int)(3 + i) && memchr(found[i].name, 0, sizeof found[i].name) != NULL,
             "descriptors in order, names that end");
    must(emk_net_inherited(found) == 0, "once");
    (void)emk_net_watchdog_ms();
    return 0;
}
