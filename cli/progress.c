#include "cli/progress.h"

#include "cli/os_terminal.h"
#include "core/base/os_time.h"

#include <stdio.h>

#define FIRST_NS UINT64_C(500000000) /* nothing is shown before */
#define NEXT_NS  UINT64_C(100000000)
#define BAR      30

/* What done and total count is the call's business: only their share is shown. */
static void draw(emk_cli_progress *p, uint64_t done, uint64_t total, uint64_t now)
{
    double share = total > 0 && done < total ? (double)done / (double)total : 1.0;
    double passed_s = (double)(now - p->started) / 1e9;
    char bar[BAR + 1];

    for (int i = 0; i < BAR; i++)
        bar[i] = (double)i < share * BAR ? '#' : '.';
    bar[BAR] = 0;
    fprintf(stderr, "\r%s [%s] %3d%%", p->label, bar, (int)(share * 100.0));
    if (share > 0.02)
        fprintf(stderr, ", %.0f s left", passed_s / share - passed_s);
    fputs("\033[K", stderr);
    fflush(stderr);
    p->drawn = now;
}

static void on_progress(void *self, uint64_t done, uint64_t total)
{
    emk_cli_progress *p = self;
    uint64_t now = emk_os_monotonic_ns();

    if (now - p->started >= FIRST_NS && now - p->drawn >= NEXT_NS)
        draw(p, done, total, now);
}

void emk_cli_progress_init(emk_cli_progress *p, const emk_cli *cli, const char *label)
{
    *p = (emk_cli_progress){.label = label, .started = emk_os_monotonic_ns()};
    p->allowed = !cli->quiet && emk_cli_stderr_is_terminal();
    p->call.fn = p->allowed ? on_progress : NULL;
    p->call.self = p;
}

void emk_cli_progress_done(emk_cli_progress *p)
{
    if (p->drawn > 0)
        fputs("\r\033[K", stderr);
    p->drawn = 0;
}
