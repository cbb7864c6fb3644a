/* State of a call: `work` is what one try needs; what a device counts is in files, so that several
 * processes of one device never use a counter twice. */
#include "cli/remote.h"

#include "cli/scan.h"
#include "cli/text.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/proto/http_signature.h"
#include "device/client/signer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SIGN_TRIES                                                                 \
    3u /* the server may ask twice for another nonce or counter [authentication 2] \
        */
#define STATE_FILE   "server.state"
#define STATE_FIRST  "earmark-server-state-1\n"
#define STATE_MAX    256u
#define NONCE_MAX    EMK_CLI_NONCE_MAX
#define HEADERS      16u
#define ARENA_MAX    (4u << 20)
#define UNAUTHORIZED 401u

enum { WANT_NONCE, WANT_COUNTER };
static const char *const WANTED[] = {"Earmark-Nonce", "Earmark-Counter", NULL};

/* ---- what a device counts ---- */

typedef emk_cli_counted counted;

/* A state that is damaged or absent costs a round trip, no more. */
void emk_cli_counted_parse(emk_span text, emk_cli_counted *out)
{
    char copy[STATE_MAX + 1], nonce[NONCE_MAX + 1] = "";
    emk_cli_scan s = {NULL, false};
    uint64_t counter;

    *out = (counted){.counter = 0};
    if (text.len > STATE_MAX || text.len < sizeof STATE_FIRST ||
        memcmp(text.p, STATE_FIRST, sizeof STATE_FIRST - 1) != 0)
        return;
    memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    s.p = copy + sizeof STATE_FIRST - 1;
    emk_cli_scan_word(&s, "counter ");
    counter = emk_cli_scan_number(&s);
    if (s.bad || counter > EMK_HTTP_COUNTER_MAX)
        return;
    out->counter = counter;
    emk_cli_scan_word(&s, "\nnonce ");
    emk_cli_scan_text(&s, nonce, sizeof nonce);
    memcpy(out->nonce, nonce, sizeof nonce);
}

/* Takes what `seen` knows into account (0 and "": nothing), counts one further when `take`, writes
 * it all down, and gives it. */
static emk_status state_update(emk_cli *cli, const char *dir, counted *seen, bool take)
{
    char path[EMK_CLI_PATH_MAX], lock[EMK_CLI_PATH_MAX], text[STATE_MAX];
    emk_buf old;
    counted now;
    int fd = -1, n;
    emk_status st = emk_cli_join(cli, dir, STATE_FILE, path);

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "server.lock", lock);
    if (st == EMK_OK)
        st = emk_os_lock_file(lock, true, &fd, &cli->error);
    if (st != EMK_OK)
        return emk_cli_about(cli, st, dir);
    emk_buf_init(&old, STATE_MAX);
    if (emk_os_exists(path) && emk_os_read_file(path, STATE_MAX, &old, NULL) != EMK_OK)
        old.len = 0;
    emk_cli_counted_parse(emk_buf_span(&old), &now);
    emk_buf_done(&old);
    if (seen->counter > now.counter)
        now.counter = seen->counter;
    if (seen->nonce[0])
        memcpy(now.nonce, seen->nonce, sizeof now.nonce);
    now.counter += take ? 1 : 0;
    n = snprintf(text, sizeof text, STATE_FIRST "counter %" PRIu64 "\nnonce %s\n", now.counter,
                 now.nonce);
    st = emk_os_write_file(path, emk_span_of(text, (size_t)n), &cli->error);
    emk_os_close(fd);
    *seen = now;
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_remote_learn(emk_cli *cli, const emk_cli_remote *r, const char *nonce,
                                const char *counter)
{
    counted seen = {.counter = 0};
    uint64_t next = 0;

    if (!r->device)
        return EMK_OK;
    if (strlen(nonce) <= NONCE_MAX &&
        strspn(nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
            strlen(nonce))
        memcpy(seen.nonce, nonce, strlen(nonce) + 1);
    if (emk_cli_parse_number(counter, &next, NULL) == EMK_OK && next > 0 &&
        next <= EMK_HTTP_COUNTER_MAX)
        seen.counter = next - 1;
    if (!seen.nonce[0] && seen.counter == 0)
        return EMK_OK;
    return state_update(cli, r->device->dir, &seen, false);
}

/* ---- one try ---- */

typedef struct work {
    emk_cli *cli;
    const emk_cli_remote *remote;
    const emk_cli_call *call;
    char url[EMK_CLI_URL_MAX + 4096];
    char *lines[HEADERS]; /* owned, wiped */
    const char *header[HEADERS + 1];
    size_t n;
    uint8_t body_sha256[32];
    emk_fetch_response http;
} work;

static void forget_headers(work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->lines[i]) {
            emk_wipe(w->lines[i], strlen(w->lines[i]));
            emk_free(w->lines[i]);
        }
        w->lines[i] = NULL;
        w->header[i] = NULL;
    }
    w->n = 0;
}

static emk_status add_header(work *w, const char *name, emk_span value)
{
    size_t cap = strlen(name) + value.len + 3;
    char *line;

    if (w->n == HEADERS)
        return emk_fail(&w->cli->error, EMK_E_LIMIT, "http: too many fields", w->n);
    line = emk_alloc(cap, 1);
    if (!line)
        return emk_fail(&w->cli->error, EMK_E_NO_MEMORY, "http: memory", cap);
    (void)snprintf(line, cap, "%s: %.*s", name, (int)value.len, (const char *)value.p);
    w->lines[w->n] = line;
    w->header[w->n++] = line;
    return EMK_OK;
}

/* "Bearer <token>"; wiped by the caller. */
static emk_status bearer_value(work *w, emk_secret **out)
{
    emk_span token = w->call->bearer ? emk_secret_span(w->call->bearer) : emk_span_of(NULL, 0);
    emk_status st;

    *out = NULL;
    if (token.len == 0)
        return EMK_OK;
    st = emk_secret_new(token.len + 7, out, &w->cli->error);
    if (st != EMK_OK)
        return st;
    memcpy(emk_secret_bytes(*out), "Bearer ", 7);
    memcpy(emk_secret_bytes(*out) + 7, token.p, token.len);
    return EMK_OK;
}

static emk_status add_signature(work *w, emk_span authorization)
{
    const char *question = strchr(w->call->path, '?');
    size_t path_len = question ? (size_t)(question - w->call->path) : strlen(w->call->path);
    counted now = {.counter = 0};
    emk_http_signed s;
    emk_status st = state_update(w->cli, w->remote->device->dir, &now, true);
    const emk_http_to_sign in = {
        .method = emk_span_str(w->call->method),
        .authority = emk_span_str(w->remote->authority),
        .path = emk_span_of(w->call->path, path_len),
        .query = question ? emk_span_str(question + 1) : emk_span_of(NULL, 0),
        .authorization = authorization,
        .nonce = emk_span_str(now.nonce),
        .counter = now.counter,
        .created = emk_os_now_s(),
        .device_id = emk_client_device_id(w->remote->device->client),
        .body_sha256 = w->body_sha256,
    };

    if (st == EMK_OK)
        st = emk_http_sign(&w->remote->signer, &in, &s, &w->cli->error);
    if (st == EMK_OK)
        st = add_header(w, "Content-Digest", emk_span_str(s.content_digest));
    if (st == EMK_OK)
        st = add_header(w, "Earmark-Counter", emk_span_str(s.counter));
    if (st == EMK_OK && now.nonce[0])
        st = add_header(w, "Earmark-Nonce", emk_span_str(now.nonce));
    if (st == EMK_OK)
        st = add_header(w, "Signature-Input", emk_span_str(s.signature_input));
    if (st == EMK_OK)
        st = add_header(w, "Signature", emk_span_str(s.signature));
    return st;
}

emk_status emk_cli_remote_prove(emk_cli *cli, const emk_cli_remote *r, const char *path,
                                emk_cli_proof *out)
{
    const emk_cli_call call = {.method = "GET", .path = path};
    const emk_span nothing = {NULL, 0};
    work *w = emk_alloc(1, sizeof *w);
    emk_status st;

    *out = (emk_cli_proof){.line = {NULL}};
    if (!w)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "http: memory", sizeof *w);
    *w = (work){.cli = cli, .remote = r, .call = &call};
    st = emk_sha256(r->crypto, &nothing, 1, w->body_sha256, &cli->error);
    if (st == EMK_OK)
        st = add_signature(w, nothing);
    for (size_t i = 0; st == EMK_OK && i < w->n; i++) {
        out->line[i] = w->lines[i];
        w->lines[i] = NULL; /* given */
    }
    forget_headers(w);
    emk_free(w);
    return st;
}

void emk_cli_proof_done(emk_cli_proof *p)
{
    for (size_t i = 0; i < EMK_CLI_PROOF_LINES; i++) {
        emk_free(p->line[i]);
        p->line[i] = NULL;
    }
}

static emk_status add_headers(work *w)
{
    const emk_cli_call *call = w->call;
    emk_secret *authorization = NULL;
    emk_span value = {NULL, 0};
    emk_status st = bearer_value(w, &authorization);

    if (authorization)
        value = emk_secret_span(authorization);
    if (st == EMK_OK && authorization)
        st = add_header(w, "Authorization", value);
    if (st == EMK_OK && call->body.len > 0)
        st = add_header(w, "Content-Type", emk_span_str("application/json"));
    else if (st == EMK_OK && call->read)
        st = add_header(w, "Content-Type", emk_span_str("application/octet-stream"));
    if (st == EMK_OK && call->once)
        st = add_header(w, "Idempotency-Key", emk_span_str(call->once));
    if (st == EMK_OK && call->sign)
        st = add_signature(w, value);
    emk_secret_free(authorization);
    return st;
}

static emk_status one_try(work *w)
{
    const emk_cli_profile *p = w->remote->profile;
    emk_fetch_request request = {.method = w->call->method,
                                 .url = w->url,
                                 .headers = w->header,
                                 .body = w->call->body,
                                 .read = w->call->read,
                                 .rewind = w->call->rewind,
                                 .read_self = w->call->read_self,
                                 .body_len = w->call->body_len,
                                 .progress = w->call->progress,
                                 .progress_self = w->call->progress_self,
                                 .max_response = EMK_CLI_ANSWER_MAX,
                                 .ca_file = p->ca[0] ? p->ca : NULL,
                                 .pin = p->pin[0] ? p->pin : NULL,
                                 .want = WANTED,
                                 .allow_http = strncmp(p->url, "http:", 5) == 0};
    emk_status st;

    w->http.body.len = 0;
    w->http.code = 0;
    w->http.retry_after_s = 0;
    w->http.field[WANT_NONCE][0] = w->http.field[WANT_COUNTER][0] = 0;
    st = add_headers(w);
    if (st == EMK_OK)
        st = emk_fetch_run(&request, &w->http, &w->cli->error);
    forget_headers(w);
    return st;
}

/* ---- the answer ---- */

void emk_cli_answer_done(emk_cli_answer *a)
{
    emk_arena_reset(&a->arena);
    emk_buf_done(&a->body);
    a->json = NULL;
}

emk_status emk_cli_remote_post_message(emk_cli *cli, const emk_cli_remote *r, const char *path,
                                       const char *name, emk_span message)
{
    emk_cli_call call = {.method = "POST", .path = path, .sign = true, .again = true};
    emk_cli_answer a;
    emk_cli_json j;
    emk_status st;

    emk_cli_json_begin(&j);
    emk_cli_json_bytes(&j, name, message);
    st = emk_cli_json_end(cli, &j, &call.body);
    if (st == EMK_OK) {
        st = emk_cli_remote_call(cli, r, &call, &a);
        emk_cli_answer_done(&a);
    }
    emk_cli_json_done(&j);
    return st;
}

/* What is no JSON is an answer without members: a proxy's page, mostly. */
static void read_json(emk_cli_answer *a, const char *type)
{
    if (strncmp(type, "application/json", 16) != 0 &&
        strncmp(type, "application/problem+json", 24) != 0)
        return;
    if (emk_dom_parse(&a->arena, emk_buf_span(&a->body), &a->json, NULL) != EMK_OK)
        a->json = NULL;
}

static void take_answer(work *w, emk_cli_answer *out)
{
    emk_arena_reset(&out->arena);
    emk_buf_done(&out->body);
    out->json = NULL;
    out->body = w->http.body;
    emk_buf_init(&w->http.body, EMK_CLI_ANSWER_MAX);
    out->code = w->http.code;
    out->retry_after_s = w->http.retry_after_s;
    read_json(out, w->http.content_type);
}

static bool is_passing(unsigned code)
{
    return code == 429 || code == 502 || code == 503 || code == 504;
}

/* Whether to try once more; sleeps before it says so. */
static bool again(const work *w, emk_status st, const emk_cli_answer *a, unsigned tries)
{
    const emk_cli_call *c = w->call;
    bool may = c->again || c->once || strcmp(c->method, "GET") == 0;
    bool passing = st == EMK_OK ? is_passing(a->code)
                                : st == EMK_E_IO && w->cli->error.where >= EMK_FETCH_WHERE && may;

    if (!passing || tries >= EMK_CLI_RETRIES ||
        (st == EMK_OK && a->retry_after_s > EMK_CLI_WAIT_MAX_S))
        return false;
    emk_cli_remark(w->cli, "%s; trying again",
                   st == EMK_OK ? "the server asks to wait" : "the server cannot be reached");
    emk_fetch_pause(tries + 1, st == EMK_OK ? a->retry_after_s : 0);
    return true;
}

static bool wants_other_nonce(const work *w, const emk_cli_answer *a)
{
    return w->call->sign && a->code == UNAUTHORIZED &&
           emk_span_equal(emk_cli_problem_type(a), emk_span_str("use-nonce"));
}

static emk_status explain_network(emk_cli *cli, const emk_cli_remote *r, emk_status st)
{
    if (st == EMK_E_SIGNATURE)
        st =
            emk_cli_advise(cli, st,
                           "This is not the server that is expected, or its certificate is from "
                           "an authority of your own: name that with --ca FILE. Nothing was sent.");
    if (st == EMK_E_IO && cli->error.where >= EMK_FETCH_WHERE)
        st = emk_cli_advise(cli, st,
                            "See that the server runs and that its name, port and https are right; "
                            "then run this again: it goes on where it stopped.");
    return emk_cli_about(cli, st, r->profile->url);
}

static emk_status run(work *w, emk_cli_answer *out)
{
    unsigned tries = 0, signs = 1;
    emk_status st;

    for (;;) {
        st = one_try(w);
        if (st == EMK_OK) {
            take_answer(w, out);
            st = emk_cli_remote_learn(w->cli, w->remote, w->http.field[WANT_NONCE],
                                      w->http.field[WANT_COUNTER]);
            if (st != EMK_OK)
                return st;
            if (wants_other_nonce(w, out) && signs++ < SIGN_TRIES)
                continue;
        }
        if (!again(w, st, out, tries))
            break;
        tries++;
        if (w->call->rewind && (st = w->call->rewind(w->call->read_self, &w->cli->error)) != EMK_OK)
            return st;
    }
    if (st != EMK_OK)
        return explain_network(w->cli, w->remote, st);
    return out->code / 100 == 2 ? EMK_OK : emk_cli_problem(w->cli, out);
}

emk_status emk_cli_remote_call(emk_cli *cli, const emk_cli_remote *r, const emk_cli_call *call,
                               emk_cli_answer *out)
{
    work *w = emk_alloc(1, sizeof *w);
    emk_status st;

    *out = (emk_cli_answer){.code = 0};
    emk_buf_init(&out->body, EMK_CLI_ANSWER_MAX);
    emk_arena_init(&out->arena, ARENA_MAX);
    if (!w)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "http: memory", sizeof *w);
    *w = (work){.cli = cli, .remote = r, .call = call};
    emk_buf_init(&w->http.body, EMK_CLI_ANSWER_MAX);
    st = emk_sha256(r->crypto, &call->body, 1, w->body_sha256, &cli->error);
    if (st == EMK_OK &&
        snprintf(w->url, sizeof w->url, "%s%s", r->profile->url, call->path) >= (int)sizeof w->url)
        st = emk_fail(&cli->error, EMK_E_LIMIT, "http: URL", strlen(call->path));
    if (st == EMK_OK)
        st = run(w, out);
    emk_buf_done(&w->http.body);
    emk_free(w);
    return st;
}

emk_status emk_cli_member_bytes(emk_cli *cli, const emk_dom *object, const char *name, emk_buf *out)
{
    return emk_cli_dom_bytes(cli, emk_dom_get(object, name), out);
}

emk_status emk_cli_dom_bytes(emk_cli *cli, const emk_dom *text, emk_buf *out)
{
    const emk_dom *node = text && text->kind == EMK_DOM_STRING ? text : NULL;
    size_t cap = node ? node->text.len / 4 * 3 + 3 : 0, len = 0;
    uint8_t *room;
    emk_status st;

    if (!node)
        return emk_fail(&cli->error, EMK_E_FORMAT, "server: its answer lacks something", 0);
    st = emk_buf_grow(out, cap, &room, &cli->error);
    if (st != EMK_OK)
        return st;
    st = emk_base64url_decode(node->text, room, cap, &len, &cli->error);
    out->len -= cap - (st == EMK_OK ? len : 0);
    return st;
}

/* ---- opening ---- */

emk_status emk_cli_remote_open(emk_cli *cli, const emk_cli_profile *profile,
                               const emk_cli_device *device, emk_cli_remote *out)
{
    const char *host = strstr(profile->url, "://");
    emk_status st;

    *out = (emk_cli_remote){.profile = profile, .device = device};
    st = emk_cli_crypto(cli, &out->crypto);
    if (st == EMK_OK && device)
        st = emk_keystore_signer(out->crypto, &device->keystore, &out->signer, &cli->error);
    (void)snprintf(out->authority, sizeof out->authority, "%s", host ? host + 3 : "");
    return st;
}

emk_status emk_cli_online_open(emk_cli *cli, emk_cli_online *out)
{
    emk_status st = emk_cli_device_open(cli, &out->device);

    if (st == EMK_OK)
        st = emk_cli_profile_read(cli, out->device.dir, &out->profile);
    return st == EMK_OK ? emk_cli_remote_open(cli, &out->profile, &out->device, &out->remote) : st;
}
