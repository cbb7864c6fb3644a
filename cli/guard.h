/* The guard of a command: its options, what it refuses in plain words, and what `doctor --guard`
 * shows. */
#ifndef EMK_CLI_GUARD_H
#define EMK_CLI_GUARD_H

#include "cli/command.h"

#include <earmark/guard.h>

#define EMK_CLI_OPTION_GUARD                                                                  \
    {                                                                                         \
        "guard", 0, EMK_CLI_WORD, "LEVEL",                                                    \
            "off, report, careful or strict: look for debuggers, hooks and the like (off)", 0 \
    }
#define EMK_CLI_OPTION_ALLOW                                                                     \
    {                                                                                            \
        "allow", 0, EMK_CLI_WORD, "NAMES", "libraries the guard lets be, with commas between", 0 \
    }
#define EMK_CLI_OPTION_ENGINE                                                        \
    {                                                                                \
        "engine", 0, EMK_CLI_WORD, "NAMES", "engines whose calls it watches, too", 0 \
    }

#define EMK_CLI_OPTION_OVERRIDE                                                                    \
    {                                                                                              \
        "override", 0, EMK_CLI_WORD, "SIGNAL=ACTION",                                              \
            "report, degrade, refuse or wipe for single signals, whatever the level says; commas " \
            "between",                                                                             \
            0                                                                                      \
    }

/* All that emk_cli_guard_open looks at. */
#define EMK_CLI_OPTIONS_GUARD \
    EMK_CLI_OPTION_GUARD, EMK_CLI_OPTION_ALLOW, EMK_CLI_OPTION_ENGINE, EMK_CLI_OPTION_OVERRIDE

/* Gives the guard that --guard asks for, looking by itself from now on; *out is NULL where the
 * command has no such option or it says off.  EMK_E_USAGE and what the guard says. */
emk_status emk_cli_guard_open(emk_cli *cli, emk_guard **out) EMK_MUST_CHECK;

/* Adds advice to a refusal of the guard's, or of a policy that wants one; others pass. */
emk_status emk_cli_guard_advise(emk_cli *cli, emk_status st);
bool emk_cli_guard_refused(const emk_cli *cli, emk_status st);

/* What to do about an entry that this program may not open for the guard's sake, though nothing is
 * wrong with it; NULL for another reason. */
const char *emk_cli_guard_entry_advice(emk_status st, const char *why);

/* `doctor --guard`. */
emk_status emk_cli_guard_show(emk_cli *cli) EMK_MUST_CHECK;

#endif
