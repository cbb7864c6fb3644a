/* The terminal: is there one, and secrets typed on it. */
#ifndef EMK_CLI_OS_TERMINAL_H
#define EMK_CLI_OS_TERMINAL_H

#include "core/base/buf.h"
#include "core/base/secret.h"

bool emk_cli_stderr_is_terminal(void);
bool emk_cli_stdout_is_terminal(void);

/* Asks on the controlling terminal, without echo, and gives what was typed (1..cap bytes);
 * free with emk_secret_free.  EMK_E_NOT_FOUND without a terminal, EMK_E_USAGE for an empty
 * line or when the user gave up, EMK_E_LIMIT. */
emk_status emk_cli_ask_secret(const char *prompt, size_t cap, emk_secret **out,
                              emk_error *e) EMK_MUST_CHECK;

/* Reads a descriptor to its end, at most max bytes, into a secret; a line end at its end is
 * dropped.  EMK_E_LIMIT, EMK_E_USAGE when there was nothing. */
emk_status emk_cli_read_secret_fd(int fd, size_t max, emk_secret **out,
                                  emk_error *e) EMK_MUST_CHECK;

/* Reads standard input to its end into out (its max decides).  EMK_E_LIMIT, EMK_E_IO. */
emk_status emk_cli_read_stdin(emk_buf *out, emk_error *e) EMK_MUST_CHECK;

#endif
