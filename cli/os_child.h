/* A child process that reads a model from memory: no name in any file system, never on a disk.
 *
 * The child gets a descriptor of an anonymous file that nobody can change any more, and its
 * path.  From then on the child holds the plaintext, and so does whatever it hands it to. */
#ifndef EMK_CLI_OS_CHILD_H
#define EMK_CLI_OS_CHILD_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct emk_cli_memory_model {
    int fd;       /* -1: none */
    bool locked;  /* its pages are kept out of swap ... */
    void *held;   /* ... by this mapping */
    uint64_t len; /* bytes */
} emk_cli_memory_model;

/* Copies the bytes into an anonymous file and seals it against changes.  End with
 * emk_cli_memory_model_done.  EMK_E_IO, EMK_E_NO_MEMORY. */
emk_status emk_cli_memory_model_new(emk_span bytes, emk_cli_memory_model *out,
                                    emk_error *e) EMK_MUST_CHECK;
/* Keeps its pages out of swap, as long as this process lives; false when that is not allowed.
 * A second call may succeed where the first did not. */
bool emk_cli_memory_model_lock(emk_cli_memory_model *m);
void emk_cli_memory_model_done(emk_cli_memory_model *m);

#define EMK_CLI_MODEL_PATH_MAX 32u
/* The path by which the child (and only it) opens the model. */
void emk_cli_memory_model_path(const emk_cli_memory_model *m, char out[EMK_CLI_MODEL_PATH_MAX]);

/* From here on signals that would end the program wait, so that it can clear up what must not
 * stay; one that came meanwhile takes effect at release.  A child starts without that.
 * State: one for the process.  Not for several threads. */
void emk_cli_signals_hold(void);
bool emk_cli_signals_pending(void);
void emk_cli_signals_release(void);

/* Runs argv, which is looked for along PATH, with the model's descriptor open, and waits.
 * Signals that are sent to this process go on to the child.  At `until` (seconds since 1970)
 * the child is asked to end, and five seconds later made to; *expired says so.  *code gets the
 * child's exit code, or 128 + the signal that ended it.  EMK_E_NOT_FOUND or EMK_E_IO when it
 * cannot be started. */
typedef struct emk_cli_child {
    char **argv;
    const emk_cli_memory_model *model; /* NULL: the child has another way to it */
    uint64_t until;
} emk_cli_child;
emk_status emk_cli_child_run(const emk_cli_child *child, int *code, bool *expired,
                             emk_error *e) EMK_MUST_CHECK;

#endif
