/* Policies and identities as several commands print them. */
#ifndef EMK_CLI_SHOW_H
#define EMK_CLI_SHOW_H

#include "cli/output.h"
#include "core/seal/policy.h"

/* model, version, use, app, user, device: those that are there. */
void emk_cli_show_identity(emk_cli_out *o, const emk_identity *id);
/* The rules that there are. */
void emk_cli_show_policy(emk_cli_out *o, const emk_policy *p);

#endif
