/* A bar on stderr for what takes long: only on a terminal, only after half a second, so
 * that short work and scripts never see it. */
#ifndef EMK_CLI_PROGRESS_H
#define EMK_CLI_PROGRESS_H

#include "cli/command.h"
#include "core/seal/io.h"

typedef struct emk_cli_progress {
    const char *label; /* "sealing" */
    uint64_t started;  /* ns */
    uint64_t drawn;    /* ns; 0: never */
    bool allowed;
    emk_progress call; /* what core is given */
} emk_cli_progress;

/* Fills *p, which must stay where it is while its `call` is in use.  Keeps label. */
void emk_cli_progress_init(emk_cli_progress *p, const emk_cli *cli, const char *label);
/* Takes the bar away. */
void emk_cli_progress_done(emk_cli_progress *p);

#endif
