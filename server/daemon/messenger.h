/* Sends webhooks: a process of its own that can do nothing else, and the thread that feeds it.
 *
 * The HTTP process opens no connection to the outside.  The messenger is forked before anything
 * listens and before the keyholder: it has no key but those that sign webhooks, and these the HTTP
 * process forgets.  It cannot open the records or the key files.  A receiver that is slow holds up
 * nobody but itself: each target has a thread.  When the messenger is gone, messages wait in the
 * records until the next start. */
#ifndef EMK_SERVER_DAEMON_MESSENGER_H
#define EMK_SERVER_DAEMON_MESSENGER_H

#include "server/api/hooks.h"

#define EMK_MESSENGER_TIMEOUT_S 10u /* one try, from the name to the answer's end */

typedef struct emk_messenger_target {
    const char *url;
    unsigned allow;          /* emk_webhook_allow */
    const char *secret_file; /* read before rights are given up, and by a reload */
} emk_messenger_target;

typedef struct emk_messenger_options {
    const emk_messenger_target *targets;
    size_t n_targets;    /* at most EMK_HOOK_TARGETS_MAX */
    const char *ca_file; /* instead of the system's store; NULL: that */
    const char *user;    /* when root: who it becomes; NULL: stays */
    const char *keys_dir;
    const char *config_file; /* read again by a reload */
    bool sandbox;
    /* Told by its thread: whether a reload was good.  NULL: nobody asks. */
    void (*reloaded)(void *self, bool good);
    void *reloaded_self;
} emk_messenger_options;

typedef struct emk_messenger emk_messenger;

/* Forks it; before the first thread.  Gives; end with emk_messenger_stop.  What the secret files
 * say; EMK_E_IO, EMK_E_NO_MEMORY. */
emk_status emk_messenger_start(const emk_messenger_options *o, emk_messenger **out,
                               emk_error *e) EMK_MUST_CHECK;
/* In a child that was forked later: its end of the line is not for it.  NULL is fine. */
void emk_messenger_forget(void *m);
/* From now on what waits is sent.  Keeps hooks. */
emk_status emk_messenger_feed(emk_messenger *m, emk_hooks *hooks, emk_error *e) EMK_MUST_CHECK;
/* Soon, when nothing is on its way: the targets of the configuration file, whose text has this
 * SHA-256, with their secrets.  The messenger reads them itself, and takes from us neither where to
 * send nor what to sign with.  A reload that is asked for while another waits takes its place. */
void emk_messenger_reload(emk_messenger *m, const emk_hook_target *targets, size_t n,
                          const uint8_t digest[32]);
bool emk_messenger_is_alive(const emk_messenger *m);
/* What is on its way may arrive and is sent again after the next start.  NULL is fine. */
void emk_messenger_stop(emk_messenger *m);

/* What the messenger is given: 0xFF and a digest for a reload; or target 1, length of the name 1,
 * name, body.  It holds keys that the other side has not, so it does not take that side's word for
 * lengths. */
typedef struct emk_messenger_letter {
    size_t target;
    emk_span name; /* shorter than EMK_HOOK_ID_CAP */
    emk_span body; /* at most EMK_WEBHOOK_BODY_MAX bytes */
} emk_messenger_letter;
/* False for one that is none; the target is not looked at. */
bool emk_messenger_letter_read(emk_span in, emk_messenger_letter *out);

#endif
