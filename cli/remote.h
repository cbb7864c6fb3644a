/* A server as the commands meet it: where it is, what is trusted, and one call with all that
 * belongs to it: the device's signature, nonce and counter, retries, and problems turned into
 * failures that name cause and fix.
 *
 * In the device's directory:
 *
 *   server          where, written by `earmark enrol`
 *   server.state    the next counter and the last nonce; under server.lock */
#ifndef EMK_CLI_REMOTE_H
#define EMK_CLI_REMOTE_H

#include "cli/arena.h"
#include "cli/device.h"
#include "cli/json_dom.h"
#include "core/fetch/fetch.h"
#include "core/seal/cose.h"

#define EMK_CLI_URL_MAX    256u
#define EMK_CLI_NONCE_MAX  64u
#define EMK_CLI_TOKEN_MAX  8192u
#define EMK_CLI_ANSWER_MAX (256u << 10) /* bytes of a JSON answer */
#define EMK_CLI_RETRIES    5u           /* after failures that pass */
#define EMK_CLI_WAIT_MAX_S 30u          /* a server that asks for more is not waited for */

/* Rows for the tables of commands. */
#define EMK_CLI_OPTION_USER_TOKEN                                                                \
    {                                                                                            \
        "token", 0, EMK_CLI_FILE, "FILE", "the user's token (EMK_TOKEN); - is standard input", 0 \
    }
#define EMK_CLI_OPTION_SERVICE_KEY                                                                \
    {                                                                                             \
        "key", 0, EMK_CLI_FILE, "FILE", "the service key (EMK_SERVICE_KEY); - is standard input", \
            0                                                                                     \
    }
#define EMK_CLI_OPTION_SERVER                                                                      \
    {                                                                                              \
        "server", 0, EMK_CLI_WORD, "URL", "where earmarkd is (EMK_SERVER): https://host[:port]", 0 \
    }
#define EMK_CLI_OPTION_CA                                                                          \
    {                                                                                              \
        "ca", 0, EMK_CLI_FILE, "FILE", "trust these certificates (PEM), not the system's store", 0 \
    }
#define EMK_CLI_OPTION_PIN                                                                   \
    {                                                                                        \
        "pin", 0, EMK_CLI_WORD, "HASH", "and only this key of the server: sha256//BASE64", 0 \
    }

/* Texts that were not given are empty. */
typedef struct emk_cli_profile {
    char url[EMK_CLI_URL_MAX + 1]; /* "https://host[:port]", nothing behind it */
    char ca[EMK_CLI_PATH_MAX];
    char pin[128];
    char app[EMK_TEXT_MAX + 1];
    char user[EMK_TEXT_MAX + 1]; /* whose device it is */
    char attestation[16];        /* what it showed, and shows again unless told otherwise */
} emk_cli_profile;

/* What a device counts for one server. */
typedef struct emk_cli_counted {
    uint64_t counter; /* used last */
    char nonce[EMK_CLI_NONCE_MAX + 1];
} emk_cli_counted;
/* Fills out from the text of its file; one that is damaged is as none: that costs a round trip. */
void emk_cli_counted_parse(emk_span text, emk_cli_counted *out);

/* Fills out from --server, --ca and --pin, all of them in the command's table, and EMK_SERVER.
 * EMK_E_USAGE for a URL with more than host and port, and for http: to another machine. */
emk_status emk_cli_profile_from_options(emk_cli *cli, emk_cli_profile *out) EMK_MUST_CHECK;
/* Fills out from the text of a device's file.  EMK_E_FORMAT. */
emk_status emk_cli_profile_parse(emk_span text, emk_cli_profile *out, emk_error *e) EMK_MUST_CHECK;
/* The device's.  EMK_E_NOT_FOUND, with advice, when it has none. */
emk_status emk_cli_profile_read(emk_cli *cli, const char *device_dir,
                                emk_cli_profile *out) EMK_MUST_CHECK;
emk_status emk_cli_profile_write(emk_cli *cli, const char *device_dir,
                                 const emk_cli_profile *profile) EMK_MUST_CHECK;

typedef struct emk_cli_remote {
    const emk_cli_profile *profile; /* borrowed */
    const emk_crypto *crypto;
    const emk_cli_device *device; /* borrowed; NULL: nothing is signed */
    emk_signer signer;
    char authority[EMK_CLI_URL_MAX + 1];
} emk_cli_remote;

/* Fills out.  Statuses of the key holder. */
emk_status emk_cli_remote_open(emk_cli *cli, const emk_cli_profile *profile,
                               const emk_cli_device *device, emk_cli_remote *out) EMK_MUST_CHECK;
/* Fills device and profile with the command's own device and its server, and out from them; end
 * with emk_cli_device_close also after a failure. */
typedef struct emk_cli_online {
    emk_cli_device device;
    emk_cli_profile profile;
    emk_cli_remote remote;
} emk_cli_online;
emk_status emk_cli_online_open(emk_cli *cli, emk_cli_online *out) EMK_MUST_CHECK;

/* One call.  All borrowed. */
typedef struct emk_cli_call {
    const char *method;
    const char *path; /* with the query */
    emk_span body;    /* JSON; or: */
    emk_fetch_read_fn read;
    emk_fetch_rewind_fn rewind;
    void *read_self;
    uint64_t body_len;
    const char *const *headers; /* "Name: value", besides those that are made here; may be NULL */
    emk_fetch_progress_fn progress;
    void *progress_self;
    const emk_secret *bearer; /* of a user, service or operator; NULL: none */
    const char *once;         /* Idempotency-Key; NULL: none */
    bool sign;                /* by the device */
    bool again;               /* may be sent twice, as with `once` or GET */
} emk_cli_call;

typedef struct emk_cli_answer {
    unsigned code;
    emk_buf body;
    emk_arena arena;
    const emk_dom *json;    /* NULL: the answer was none */
    uint64_t retry_after_s; /* 0: not said */
} emk_cli_answer;

/* Runs it and fills out; end with emk_cli_answer_done also after a failure.  EMK_OK for 2xx only;
 * a problem becomes the status that fits it, with advice. */
emk_status emk_cli_remote_call(emk_cli *cli, const emk_cli_remote *r, const emk_cli_call *call,
                               emk_cli_answer *out) EMK_MUST_CHECK;
void emk_cli_answer_done(emk_cli_answer *a);
/* A device's signed message, as the one member `name` of a body, to `path`; what is answered is
 * not looked at.  The server knows one that came before, so it is sent again until it arrives. */
emk_status emk_cli_remote_post_message(emk_cli *cli, const emk_cli_remote *r, const char *path,
                                       const char *name, emk_span message) EMK_MUST_CHECK;

/* The fields by which the device signs a GET of `path`, without a body: "Name: value", NULL behind
 * the last.  For who sends the request itself, once; end with emk_cli_proof_done. */
#define EMK_CLI_PROOF_LINES 5u
typedef struct emk_cli_proof {
    char *line[EMK_CLI_PROOF_LINES + 1];
} emk_cli_proof;
emk_status emk_cli_remote_prove(emk_cli *cli, const emk_cli_remote *r, const char *path,
                                emk_cli_proof *out) EMK_MUST_CHECK;
void emk_cli_proof_done(emk_cli_proof *p);
/* Keeps the Earmark-Nonce and Earmark-Counter of an answer for the next request ("": none came). */
emk_status emk_cli_remote_learn(emk_cli *cli, const emk_cli_remote *r, const char *nonce,
                                const char *counter) EMK_MUST_CHECK;

/* What a problem is in our statuses, with what the server said and advice in *cli. */
emk_status emk_cli_problem(emk_cli *cli, const emk_cli_answer *a) EMK_MUST_CHECK;
/* The end of the answer's problem type ("use-nonce"), lent; "" when it is none. */
emk_span emk_cli_problem_type(const emk_cli_answer *a);

/* Appends the bytes of an object's member, base64url, to out.  EMK_E_FORMAT when it is not there.
 */
emk_status emk_cli_member_bytes(emk_cli *cli, const emk_dom *object, const char *name,
                                emk_buf *out) EMK_MUST_CHECK;

/* The same for a value in hand; NULL is not there. */
emk_status emk_cli_dom_bytes(emk_cli *cli, const emk_dom *text, emk_buf *out) EMK_MUST_CHECK;

/* Learns what newer keys the issuer has, as far as the chain that the server publishes leads on
 * from those the device knows, and keeps them.  EMK_OK also when there is nothing new. */
emk_status emk_cli_issuer_learn(emk_cli *cli, const emk_cli_profile *profile,
                                const emk_cli_device *device) EMK_MUST_CHECK;
/* The same where this ticket or lease is by a key that the device does not know. */
emk_status emk_cli_issuer_catch_up(emk_cli *cli, const emk_cli_online *on,
                                   emk_span message) EMK_MUST_CHECK;

/* The secret of an option, a file, or an environment variable; gives it, free with
 * emk_secret_free.  EMK_E_NOT_FOUND with advice when there is none and `must`; else *out is NULL.
 */
typedef struct emk_cli_bearer {
    const char *option, *env, *what;
    bool must;
} emk_cli_bearer;
emk_status emk_cli_bearer_read(emk_cli *cli, const emk_cli_bearer *in,
                               emk_secret **out) EMK_MUST_CHECK;
emk_status emk_cli_user_token(emk_cli *cli, bool must, emk_secret **out) EMK_MUST_CHECK;
/* Whether it is an operator's session. */
bool emk_cli_token_is_operator(const emk_secret *token);
/* Where only a user's will do: EMK_E_USAGE for an operator's session or a service key, which the
 * server would take for two who ask at once.  NULL, none, is fine. */
emk_status emk_cli_token_must_be_user(emk_cli *cli, const emk_secret *token) EMK_MUST_CHECK;
/* The user that a token names.  Nothing is verified: the server does that. */
emk_status emk_cli_token_user(emk_cli *cli, const emk_secret *token,
                              char out[EMK_TEXT_MAX + 1]) EMK_MUST_CHECK;

/* JSON bodies, member by member; the first failure stays in `status`. */
typedef struct emk_cli_json {
    emk_buf text;
    emk_status status;
} emk_cli_json;
void emk_cli_json_begin(emk_cli_json *j);
void emk_cli_json_open(emk_cli_json *j, const char *key); /* an object */
void emk_cli_json_close(emk_cli_json *j);
void emk_cli_json_text(emk_cli_json *j, const char *key, emk_span value);
void emk_cli_json_bytes(emk_cli_json *j, const char *key, emk_span value); /* base64url */
void emk_cli_json_uint(emk_cli_json *j, const char *key, uint64_t value);
/* Closes all of it and lends the text. */
emk_status emk_cli_json_end(emk_cli *cli, emk_cli_json *j, emk_span *out) EMK_MUST_CHECK;
void emk_cli_json_done(emk_cli_json *j);

/* A random Idempotency-Key: 32 hex digits and a zero. */
emk_status emk_cli_once_make(emk_cli *cli, char out[33]) EMK_MUST_CHECK;

#endif
