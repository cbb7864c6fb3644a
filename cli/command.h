/* What a subcommand is: one table, from which the parser, --help, the man page and the
 * shell completions are made, so that they cannot disagree.
 *
 * A command is a file cmd_<name>.c that ends in its table; main.c lists the tables. */
#ifndef EMK_CLI_COMMAND_H
#define EMK_CLI_COMMAND_H

#include "cli/output.h"
#include "core/base/secret.h"
#include "core/base/status.h"
#include "core/crypto/crypto.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes are the numbers of emk_status; this one is for a command line that makes no
 * sense.  [sysexits.h: EX_USAGE] */
#define EMK_CLI_EXIT_USAGE 64

#define EMK_CLI_OPTIONS_MAX  24 /* options of one command, the common ones included */
#define EMK_CLI_OPERANDS_MAX 512

typedef struct emk_cli emk_cli;

/* What an option or operand takes: the shells complete accordingly. */
typedef enum emk_cli_takes {
    EMK_CLI_FLAG = 0, /* nothing */
    EMK_CLI_WORD,     /* a name, a number, a time */
    EMK_CLI_FILE,
    EMK_CLI_DIR
} emk_cli_takes;

typedef struct emk_cli_option {
    const char *name; /* "expires"; NULL ends a table */
    char letter;      /* 0: long only */
    emk_cli_takes takes;
    const char *arg; /* "TIME" */
    const char *help;
    bool required;
} emk_cli_option;

typedef struct emk_cli_operand {
    const char *name; /* "MODEL"; NULL ends a table */
    emk_cli_takes takes;
    const char *help;
    bool optional;
} emk_cli_operand;

typedef struct emk_cli_example {
    const char *what; /* one sentence; NULL ends a table */
    const char *line; /* what to type */
} emk_cli_example;

/* Statuses that this command is likely to end with, and what each means here. */
typedef struct emk_cli_exit {
    emk_status status; /* EMK_OK ends a table */
    const char *when;
} emk_cli_exit;

typedef struct emk_cli_command {
    const char *name;              /* one word or two: "issuer init" */
    const char *summary;           /* a few words, no full stop */
    const char *synopsis;          /* what follows the name */
    const char *const *paragraphs; /* NULL ends them */
    const emk_cli_operand *operands;
    const emk_cli_option *options; /* without the common ones */
    const emk_cli_example *examples;
    const emk_cli_exit *exits;
    bool many_operands; /* the last one may be followed by more of its kind */
    bool takes_command; /* words behind "--" are a command to run */
    emk_status (*run)(emk_cli *cli);
} emk_cli_command;

/* The command line, parsed.  All of it points into argv. */
typedef struct emk_cli_args {
    const emk_cli_option *option[EMK_CLI_OPTIONS_MAX]; /* those given */
    const char *value[EMK_CLI_OPTIONS_MAX];            /* NULL for flags */
    size_t n_options;
    const char *operand[EMK_CLI_OPERANDS_MAX];
    size_t n_operands;
    char **command; /* behind "--", ends with NULL; NULL when there is none */
} emk_cli_args;

/* One run of the program. */
struct emk_cli {
    const emk_cli_command *command;
    emk_cli_args args;
    emk_cli_out out;
    emk_crypto *crypto;     /* made by emk_cli_crypto */
    emk_secret *passphrase; /* given, or made up, for this run; see files.h */
    emk_secret *typed;      /* the last one asked for */
    bool quiet;             /* no progress, no remarks */
    int exit_code;          /* -1: that of the status */
    bool usage;             /* the failure is one of the command line */
    emk_error error;        /* of the failure that ends the command */
    char subject[256];      /* what it was about, made printable; may be empty */
    char message[256];      /* instead of error.what, where a static text is not enough */
    char fix[512];          /* instead of the status's own advice */
};

/* Options that all commands have. */
extern const emk_cli_option EMK_CLI_COMMON[];
/* All commands in the order of --help; NULL ends them. */
extern const emk_cli_command *const EMK_CLI_COMMANDS[];

/* The value of an option; NULL when it was not given.  `name` must be in the table. */
const char *emk_cli_option_value(const emk_cli *cli, const char *name);
bool emk_cli_option_given(const emk_cli *cli, const char *name);
/* Operand number i, or NULL. */
const char *emk_cli_operand_at(const emk_cli *cli, size_t i);

/* Adds what the failure st was about (a path, a name) and returns st; EMK_OK passes. */
emk_status emk_cli_about(emk_cli *cli, emk_status st, const char *subject);
/* Replaces the advice that goes with st, printf-like, and returns st; EMK_OK passes. */
emk_status emk_cli_advise(emk_cli *cli, emk_status st, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A wrong command line: exit code 64.  Returns EMK_E_USAGE. */
emk_status emk_cli_usage(emk_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Lends libcrypto's context, made at the first call; freed by main. */
emk_status emk_cli_crypto(emk_cli *cli, const emk_crypto **out) EMK_MUST_CHECK;

/* A remark for people on stderr; nothing with --json or --quiet. */
void emk_cli_remark(const emk_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What to do after this: a last line that begins with "next"; nothing with --json or --quiet. */
void emk_cli_next(const emk_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
