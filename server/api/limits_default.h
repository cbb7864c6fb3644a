/* The limits of a server whose configuration names none: wide enough for honest use from behind
 * one shared address, and a floor under guessing and flooding.  docs/operate/operators.md says
 * what each is for. */
#ifndef EMK_SERVER_API_LIMITS_DEFAULT_H
#define EMK_SERVER_API_LIMITS_DEFAULT_H

#include "server/gate/limits.h"

/* Lend the rows; *n gets their number. */
const emk_limit_rule *emk_limits_default(size_t *n);
const emk_concurrency_rule *emk_concurrency_default(size_t *n);

#endif
