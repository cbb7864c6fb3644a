/* What the fraud commands share. */
#ifndef EMK_CLI_FRAUD_H
#define EMK_CLI_FRAUD_H

#include "cli/command.h"
#include "server/fraud/replay.h"

/* Reads and compiles a rule set; the complaint becomes the failure's message.  Free with
 * emk_fraud_ruleset_free. */
emk_status emk_cli_fraud_rules(emk_cli *cli, const char *path,
                               emk_fraud_ruleset **out) EMK_MUST_CHECK;
/* Reads a log or labels whole; "-" is standard input. */
emk_status emk_cli_fraud_log(emk_cli *cli, const char *path, emk_buf *out) EMK_MUST_CHECK;
/* Prints what a replay found: all of it, for machines; as tables, for people. */
void emk_cli_fraud_tables(emk_cli *cli, const emk_fraud_ruleset *rs,
                          const emk_fraud_replay_report *r, const emk_fraud_replay_options *o);
void emk_cli_fraud_report(emk_cli *cli, const emk_fraud_ruleset *rs,
                          const emk_fraud_replay_report *r, const emk_fraud_replay_options *o);
/* What to know before believing the numbers: lines left out, times out of order. */
void emk_cli_fraud_remarks(emk_cli *cli, const emk_fraud_replay_report *r,
                           const emk_fraud_labels *l);

#endif
