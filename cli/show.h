/* Policies and identities as several commands print them. */
#ifndef EMK_CLI_SHOW_H
#define EMK_CLI_SHOW_H

#include "cli/output.h"
#include "core/seal/policy.h"

/* model, version, use, app, user, device: those that are there. */
void emk_cli_show_identity(emk_cli_out *o, const emk_identity *id);
/* The rules that there are. */
void emk_cli_show_policy(emk_cli_out *o, const emk_policy *p);
/* Bytes that may be weights and are not told apart, by reason (EMK_CLEAR_REASONS of them), and
 * those in files of no known format.  Nothing for people where there are none. */
void emk_cli_show_not_listed(emk_cli_out *o, const uint64_t *reasons, uint64_t unknown);

#endif
