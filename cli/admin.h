/* An operator's side of a server: where it is, the session, one call, and answers as tables.
 *
 * The session of `earmark admin login` is kept in ~/.config/earmark/operator, a file for nobody
 * else; --token FILE and EMK_TOKEN go before it. */
#ifndef EMK_CLI_ADMIN_H
#define EMK_CLI_ADMIN_H

#include "cli/remote.h"

#define EMK_CLI_LONG_MAX (64u << 20) /* bytes of an answer that is no JSON */

/* Rows for the tables of commands. */
#define EMK_CLI_OPTION_SESSION                                                     \
    {                                                                              \
        "token", 0, EMK_CLI_FILE, "FILE",                                          \
            "the operator's session (EMK_TOKEN; what earmark admin login kept)", 0 \
    }
#define EMK_CLI_OPTION_PASSWORD                                                                   \
    {                                                                                             \
        "password-file", 0, EMK_CLI_FILE, "FILE", "read the password there; - is standard input", \
            0                                                                                     \
    }

typedef struct emk_cli_admin {
    emk_cli_profile profile;
    emk_cli_remote remote;
    emk_secret *token; /* NULL: none yet */
} emk_cli_admin;

/* Fills out from options, environment and the kept session; end with emk_cli_admin_close also
 * after a failure.  `session` false: for login. */
emk_status emk_cli_admin_open(emk_cli *cli, bool session, emk_cli_admin *out) EMK_MUST_CHECK;
void emk_cli_admin_close(emk_cli_admin *a);

/* One call.  Where the server wants the password again it is asked for, and the call repeated. */
typedef struct emk_cli_admin_call {
    const char *method;
    const char *path;
    emk_span body; /* JSON */
} emk_cli_admin_call;
emk_status emk_cli_admin_run(emk_cli *cli, emk_cli_admin *a, const emk_cli_admin_call *call,
                             emk_cli_answer *out) EMK_MUST_CHECK;
/* The same for text either way: sends `body` as text/plain when there is one, gives the answer's
 * bytes.  EMK_OK for 2xx. */
emk_status emk_cli_admin_text(emk_cli *cli, emk_cli_admin *a, const emk_cli_admin_call *call,
                              emk_buf *out) EMK_MUST_CHECK;

/* Logs in (name) or steps up (NULL), and keeps the session that was given. */
emk_status emk_cli_admin_login(emk_cli *cli, emk_cli_admin *a, const char *name) EMK_MUST_CHECK;
/* Forgets the kept session. */
emk_status emk_cli_admin_forget(emk_cli *cli) EMK_MUST_CHECK;

/* A password from --password-file, or typed. */
emk_status emk_cli_admin_password(emk_cli *cli, const char *prompt,
                                  emk_secret **out) EMK_MUST_CHECK;

/* Puts an object's members, or a list, under key (NULL: into what is open). */
void emk_cli_admin_show(emk_cli *cli, const char *key, const emk_dom *node);
/* The items of an answer as a table of these members (NULL ends them). */
void emk_cli_admin_table(emk_cli *cli, const emk_dom *items, const char *const *columns);

/* JSON of any shape, piece by piece; the first failure stays. */
typedef struct emk_cli_pieces {
    emk_buf text;
    emk_status status;
} emk_cli_pieces;
void emk_cli_piece_raw(emk_cli_pieces *p, const char *text);
void emk_cli_piece_text(emk_cli_pieces *p, emk_span text);

#endif
