/* Groups of accounts that act as one, from the log to a person's decision: a job looks for them and
 * stores proposals, an operator approves or refuses.  Nothing happens to anybody before that; and
 * then all members are banned together, some hours later, so that nobody learns what gave them
 * away.  [docs/operate/fraud.md] */
#ifndef EMK_SERVER_API_CAMPAIGNS_H
#define EMK_SERVER_API_CAMPAIGNS_H

#include "server/api/api.h"

#define EMK_CAMPAIGN_SINCE_S (UINT64_C(7) * 86400) /* events of so long are looked at */
#define EMK_CAMPAIGN_STEPS_S UINT64_C(86400)       /* of so long for lockstep */
#define EMK_CAMPAIGN_DELAY_S 21600u /* an approval acts within so long, unless said */
#define EMK_CAMPAIGN_KEEP_S  (UINT64_C(30) * 86400) /* a proposal, and what was decided of it */

/* Runs the job and stores what is new, or has grown.  *n_new: proposals that were not there.
 * EMK_E_BUSY without an engine; what the log and the records say. */
emk_status emk_campaigns_run(emk_api *api, uint64_t now_s, size_t *n_new,
                             emk_error *e) EMK_MUST_CHECK;

/* Bans the members of approved groups whose time has come, each group as a whole.  EMK_E_BUSY
 * without an engine; what the records say. */
emk_status emk_campaigns_due(emk_api *api, uint64_t now_s, emk_error *e) EMK_MUST_CHECK;

#endif
