/* What a device has to tell its server, queued in its directory:
 *
 *   events/pending   one line each, with its number: "N TYPE TIME TICKET|- CODE"
 *   events/batch     signed, on its way: the same bytes until the server has it
 *   events/state     the number of the first event that the server does not have, and the hash of
 *                    the last batch that it has
 *   events/lock
 *
 * Lines leave `pending` when the server has their batch, so a kill at any point repeats a
 * batch at most, which the server knows.  Numbers have no gaps.  [messages 12] */
#ifndef EMK_CLI_EVENTS_H
#define EMK_CLI_EVENTS_H

#include "cli/remote.h"
#include "core/proto/events.h"

#define EMK_CLI_EVENTS_WAITING_MAX 4096u /* more are not noted, and that is told */

/* Notes an event of the device in dir, when that belongs to a server.  Best effort: nobody is kept
 * from a model for want of a note. */
void emk_cli_event_note(emk_cli *cli, const char *device_dir, const emk_event *event);

typedef struct emk_cli_events_state {
    uint64_t next;    /* number of the first event that the server does not have */
    uint64_t waiting; /* events */
    bool under_way;   /* a batch was signed, and the server has not said that it has it */
} emk_cli_events_state;
emk_status emk_cli_events_look(emk_cli *cli, const char *device_dir,
                               emk_cli_events_state *out) EMK_MUST_CHECK;

/* Sends all that waits; *sent counts events also when it fails.  Statuses of the call. */
emk_status emk_cli_events_send(emk_cli *cli, const emk_cli_remote *r,
                               uint64_t *sent) EMK_MUST_CHECK;

#endif
