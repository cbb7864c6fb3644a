/* What `open` and `run` have in common. */
#ifndef EMK_CLI_OPENING_H
#define EMK_CLI_OPENING_H

#include "cli/device.h"

#define EMK_CLI_OPTION_USER                                                             \
    {                                                                                   \
        "user", 'u', EMK_CLI_WORD, "NAME", "who opens it: the policy names one user", 0 \
    }
#define EMK_CLI_OPTION_USE                                                \
    {                                                                     \
        "use", 0, EMK_CLI_WORD, "TEXT", "the use it was requested for", 0 \
    }
#define EMK_CLI_OPTION_APP                                                \
    {                                                                     \
        "app", 0, EMK_CLI_WORD, "NAME", "the app it was requested for", 0 \
    }
#define EMK_CLI_OPTION_MEMORY                                                      \
    {                                                                              \
        "memory", 0, EMK_CLI_WORD, "KIND",                                         \
            "locked or secret: refuse less than that, whatever the policy says", 0 \
    }

/* Opens the model that the first operand names, with a progress bar and with advice for each
 * refusal.  End with emk_opened_close, before the device is closed. */
emk_status emk_cli_open_model(emk_cli *cli, emk_cli_device *device,
                              emk_opened **out) EMK_MUST_CHECK;

/* The facts about what was opened. */
void emk_cli_show_opened(emk_cli *cli, const emk_opened *o);

#endif
