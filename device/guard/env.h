/* What a guard looks at: files of the system, the loaded modules' files, clocks, a port.
 *
 * Everything is hostile: a file may be endless, missing, slow or lie.  So all reading is in
 * pieces, within limits, and until a deadline; whoever reads says whether it was cut.
 *
 * Tests put a folder before every path and get the same code. */
#ifndef EMK_DEVICE_GUARD_ENV_H
#define EMK_DEVICE_GUARD_ENV_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_ENV_PATH_MAX  512u
#define EMK_ENV_LINE_MAX  1024u      /* longer ones are cut */
#define EMK_ENV_LINES_MAX 65536u     /* of one file */
#define EMK_ENV_BYTES_MAX (8u << 20) /* of one file */
#define EMK_ENV_NAMES_MAX 4096u      /* of one folder */

typedef struct emk_env {
    char root[EMK_ENV_PATH_MAX]; /* put before every path; "" for the real system */
    uint64_t deadline_ns;        /* of this thread's time on the CPU, so that a busy machine is not
                                    late; 0: none */
} emk_env;

/* Opens for reading; close with emk_os_close.  EMK_E_NOT_FOUND, EMK_E_IO, EMK_E_LIMIT for a path
 * that is too long. */
emk_status emk_env_open(const emk_env *env, const char *path, int *fd, emk_error *e) EMK_MUST_CHECK;
/* The next bytes; *n = 0 is the end. */
emk_status emk_env_read(int fd, void *out, size_t cap, size_t *n, emk_error *e) EMK_MUST_CHECK;

/* Calls fn with each line (zero-terminated, without its end) until it returns false.  A file
 * that is cut short by a limit or the deadline is EMK_E_LIMIT, after the lines that were read. */
typedef bool (*emk_env_line_fn)(void *self, const char *line);
emk_status emk_env_each_line(const emk_env *env, const char *path, emk_env_line_fn fn, void *self,
                             emk_error *e) EMK_MUST_CHECK;
/* Calls fn with the name of each entry of a folder until it returns false; limits as above. */
emk_status emk_env_each_name(const emk_env *env, const char *path, emk_env_line_fn fn, void *self,
                             emk_error *e) EMK_MUST_CHECK;
/* The first line of a small file, "" when there is none. */
void emk_env_first_line(const emk_env *env, const char *path, char *out, size_t cap);
/* Fills out with where a link leads. */
emk_status emk_env_link(const emk_env *env, const char *path, char *out, size_t cap,
                        emk_error *e) EMK_MUST_CHECK;
bool emk_env_exists(const emk_env *env, const char *path);
/* An Android property, "" when there is none of that name. */
void emk_env_property(const emk_env *env, const char *name, char *out, size_t cap);
/* True when the time for this look is over. */
bool emk_env_is_late(const emk_env *env);

/* False when this process may not be dumped: then some of its files in /proc are root's. */
bool emk_env_is_dumpable(void);
/* Nanoseconds that this thread has used the CPU. */
uint64_t emk_env_cpu_ns(void);
/* Nanoseconds that go on while the machine sleeps. */
uint64_t emk_env_boot_ns(void);
/* True when something on this machine's port answers `hello` with bytes that begin with
 * `answer`, within 50 ms. */
bool emk_env_port_answers(unsigned port, emk_span hello, const char *answer);

#endif
