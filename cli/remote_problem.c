/* Problems of the server [RFC 9457] as failures of a command: one table from their types.
 * [http 2] [authentication 7] */
#include "cli/remote.h"
#include "cli/text.h"

#include <string.h>

typedef struct row {
    const char *type; /* the end of it */
    emk_status status;
    const char *fix;
} row;

#define NEWER "Server and program do not fit: update both. "

static const row ROWS[] = {
    {"unauthenticated", EMK_E_SIGNATURE,
     "The server does not know who asks: a token that has expired or is from another issuer, a "
     "service key that was withdrawn, or a device that was never enrolled here. Get a new token, "
     "or "
     "enrol the device again (earmark enrol)."},
    {"use-nonce", EMK_E_BUSY,
     "The server has seen newer requests of this device: is a copy of its directory in use "
     "elsewhere? Try again; if it stays so, enrol the device again."},
    {"step-up", EMK_E_POLICY, "Prove once more who you are: sign in again and repeat this soon."},
    {"forbidden", EMK_E_POLICY,
     "Not with this identity, or not from this network: a device serves the user it was enrolled "
     "for, and a key only what it was made for. Ask whoever runs the server."},
    {"device-revoked", EMK_E_POLICY,
     "This device was revoked: its models close. Ask whoever runs the server; keys that were "
     "revoked "
     "do not come back, a new device may be enrolled."},
    {"device-expired", EMK_E_POLICY,
     "The device's certificate is over: earmark enrol --token FILE makes a new one."},
    {"challenge-required", EMK_E_POLICY,
     "From this network devices have to show what they are: earmark enrol --attestation tpm"},
    {"policy", EMK_E_POLICY, "The server refuses. Ask whoever runs it, with the ids above."},
    {"invalid-model", EMK_E_FORMAT,
     "The file is damaged, or not what its name says. --as-bytes publishes it without looking "
     "inside."},
    {"not-found", EMK_E_NOT_FOUND, "See that name and version are right and published."},
    {"conflict", EMK_E_USED,
     "It is there already, or belongs to somebody else: choose another name, version or device."},
    {"used", EMK_E_USED, "This was good for one use and had it: start again."},
    {"gone", EMK_E_STALE, "Its time is over: start again."},
    {"idempotency-running", EMK_E_BUSY, "The same is under way already: wait, then try again."},
    {"idempotency-reused", EMK_E_USED, "Start again."},
    {"invalid-object", EMK_E_FORMAT,
     "What this device signed is not taken: is it enrolled at this server (earmark enrol)?"},
    {"too-large", EMK_E_LIMIT, "It is larger than this server takes: see its configuration."},
    {"uri-too-long", EMK_E_LIMIT, "Names and options are too long together."},
    {"range", EMK_E_FORMAT, "What was fetched so far is longer than the file: run this again."},
    {"timeout", EMK_E_BUSY, "The connection is too slow for this server: try again."},
    {"bad-request", EMK_E_UNSUPPORTED, NEWER},
    {"invalid-body", EMK_E_UNSUPPORTED, NEWER},
    {"invalid-query", EMK_E_UNSUPPORTED, "See that the options are within their limits."},
    {"method-not-allowed", EMK_E_UNSUPPORTED, NEWER},
    {"length-required", EMK_E_UNSUPPORTED, NEWER},
    {"content-type", EMK_E_UNSUPPORTED, NEWER},
    {"content-digest", EMK_E_UNSUPPORTED,
     "Something between here and the server changes requests."},
    {"unsupported", EMK_E_UNSUPPORTED, "This server does not do that: another may."},
    {"quota-exceeded", EMK_E_BUSY, NULL},
    {"abnormal-usage-detected", EMK_E_BUSY, NULL},
    {"temporary-reduced-capacity", EMK_E_BUSY, NULL},
    {"unavailable", EMK_E_BUSY, NULL},
    {"draining", EMK_E_BUSY, NULL},
    {"internal", EMK_E_IO, "The server failed: report it with the request's id."},
};

emk_span emk_cli_problem_type(const emk_cli_answer *a)
{
    const emk_dom *node = emk_dom_get_kind(a->json, "type", EMK_DOM_STRING);
    emk_span type = node ? node->text : emk_span_of(NULL, 0);

    for (size_t i = type.len; i > 0; i--) {
        if (type.p[i - 1] == '/' || type.p[i - 1] == '#')
            return emk_span_of(type.p + i, type.len - i);
    }
    return type;
}

static const row *find(emk_span type)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (emk_span_equal(type, emk_span_str(ROWS[i].type)))
            return &ROWS[i];
    }
    return NULL;
}

/* The answer of something that is not earmarkd. */
static emk_status of_code(unsigned code)
{
    if (code == 401 || code == 403)
        return EMK_E_POLICY;
    if (code == 404 || code == 410)
        return EMK_E_NOT_FOUND;
    return code == 429 || code / 100 == 5 ? EMK_E_BUSY : EMK_E_UNSUPPORTED;
}

static void put_member(const emk_cli_answer *a, const char *name, const char *before, char *out,
                       size_t cap)
{
    const emk_dom *node = emk_dom_get_kind(a->json, name, EMK_DOM_STRING);
    size_t len = strlen(out);
    char text[160];

    if (!node || node->text.len == 0)
        return;
    emk_cli_clean(node->text, text, sizeof text);
    (void)snprintf(out + len, cap - len, "%s%s", before, text);
}

/* The first of the fields that a body was refused for. */
static void put_errors(const emk_cli_answer *a, char *out, size_t cap)
{
    const emk_dom *list = emk_dom_get_kind(a->json, "errors", EMK_DOM_ARRAY);
    const emk_dom *pointer = emk_dom_get_kind(list ? list->first : NULL, "pointer", EMK_DOM_STRING);
    size_t len = strlen(out);
    char text[96];

    if (!pointer)
        return;
    emk_cli_clean(pointer->text, text, sizeof text);
    (void)snprintf(out + len, cap - len, " (%s)", text);
}

/* What would help, as the server says it. */
static emk_status advise_help(emk_cli *cli, const emk_cli_answer *a, emk_status st)
{
    const emk_dom *help = emk_dom_get_kind(a->json, "help", EMK_DOM_STRING);

    if (!help)
        return st;
    if (emk_dom_is_text(help, "attest"))
        return emk_cli_advise(cli, st,
                              "Show again what this device is: earmark enrol (with --attestation "
                              "tpm where a TPM is asked for), then repeat this.");
    if (emk_dom_is_text(help, "upgrade"))
        return emk_cli_advise(cli, st, "The app, the system or the user's plan is not enough.");
    if (emk_dom_is_text(help, "enrol"))
        return emk_cli_advise(cli, st, "Begin anew with a device: earmark enrol --device DIR");
    if (emk_dom_is_text(help, "wait") && a->retry_after_s > 0)
        return emk_cli_advise(cli, st, "Try again in %llu s.",
                              (unsigned long long)a->retry_after_s);
    return st;
}

static emk_status advise_wait(emk_cli *cli, const emk_cli_answer *a, emk_status st)
{
    if (a->retry_after_s > 0)
        return emk_cli_advise(cli, st, "The server asks to wait: try again in %llu s.",
                              (unsigned long long)a->retry_after_s);
    return emk_cli_advise(cli, st, "The server is busy: try again in a while.");
}

emk_status emk_cli_problem(emk_cli *cli, const emk_cli_answer *a)
{
    const row *r = find(emk_cli_problem_type(a));
    emk_status st = r ? r->status : of_code(a->code);
    char subject[sizeof cli->subject] = "";

    (void)emk_fail(&cli->error, st, "server: it refuses", 0);
    (void)snprintf(cli->message, sizeof cli->message, "server: %u", a->code);
    put_member(a, "title", " ", cli->message, sizeof cli->message);
    put_member(a, "detail", ": ", cli->message, sizeof cli->message);
    put_errors(a, cli->message, sizeof cli->message);
    put_member(a, "request", "request ", subject, sizeof subject);
    put_member(a, "decision", subject[0] ? ", decision " : "decision ", subject, sizeof subject);
    (void)emk_cli_about(cli, st, subject);
    st = advise_help(cli, a, st);
    if (r && r->fix)
        return emk_cli_advise(cli, st, "%s", r->fix);
    if (!r && !a->json)
        return emk_cli_advise(cli, st, "Is it earmarkd that answers there, or a proxy before it?");
    return st == EMK_E_BUSY ? advise_wait(cli, a, st) : st;
}
