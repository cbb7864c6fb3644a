/* A sealed model over a bad network: ranges, held together by the ETag. */
#include "cli/delivery.h"
#include "cli/progress.h"
#include "cli/scan.h"
#include "core/base/os_file.h"

#include <inttypes.h>
#include <string.h>

#define SEALED_MAX (UINT64_C(1) << 42)
#define TRIES      8u /* in a row that brought nothing */

#define SIGN_TRIES   3u /* the server may ask twice for another nonce or counter */
#define UNAUTHORIZED 401u

enum { WANT_ETAG, WANT_RANGE, WANT_NONCE, WANT_COUNTER };
static const char *const WANTED[] = {"ETag", "Content-Range", "Earmark-Nonce", "Earmark-Counter",
                                     NULL};

typedef struct getting {
    emk_cli *cli;
    const emk_cli_remote *remote;
    const emk_cli_blob *blob;
    emk_fetch_response http;
    emk_cli_progress bar;
    int fd;
    uint64_t have; /* bytes in the file */
    bool begun;    /* this answer's first bytes were seen */
    bool other;    /* it is another file than before */
} getting;

/* Where the answer's first byte belongs: 200 is all of it, 206 what was asked for. */
static emk_status begin(getting *g, emk_error *e)
{
    const char *etag = g->http.field[WANT_ETAG], *range = g->http.field[WANT_RANGE];
    emk_cli_scan s = {range, false};
    uint64_t from;
    emk_status st = EMK_OK;

    g->begun = true;
    g->other = strcmp(etag, g->blob->etag) != 0;
    if (g->other)
        return emk_fail(e, EMK_E_STALE, "fetch: the server has another file there", 0);
    emk_cli_scan_word(&s, "bytes ");
    from = emk_cli_scan_number(&s);
    emk_cli_scan_word(&s, "-");
    if (g->http.code == 206 && (s.bad || from != g->have))
        return emk_fail(e, EMK_E_FORMAT, "fetch: another range than was asked for", from);
    if (g->http.code == 200 && g->have > 0) {
        g->have = 0;
        st = emk_os_truncate(g->fd, 0, e);
    }
    return st;
}

static emk_status take(void *self, emk_span bytes, emk_error *e)
{
    getting *g = self;
    emk_status st = g->begun ? EMK_OK : begin(g, e);

    if (st == EMK_OK && bytes.len > g->blob->size - g->have)
        st = emk_fail(e, EMK_E_LIMIT, "fetch: longer than was said", g->blob->size);
    if (st == EMK_OK)
        st = emk_os_write_at(g->fd, g->have, bytes.p, bytes.len, e);
    if (st == EMK_OK)
        g->have += bytes.len;
    return st;
}

static bool show(void *self, uint64_t done, uint64_t all)
{
    getting *g = self;

    (void)done;
    (void)all;
    if (g->bar.call.fn)
        g->bar.call.fn(g->bar.call.self, g->have, g->blob->size);
    return true;
}

/* Trust and pins are for the server; a store elsewhere has the system's. */
static bool is_servers(const getting *g)
{
    size_t n = strlen(g->remote->profile->url);

    return strncmp(g->blob->url, g->remote->profile->url, n) == 0 && g->blob->url[n] == '/';
}

/* The server is shown whose device fetches; a store elsewhere has to go by the URL. */
static emk_status prove(const getting *g, emk_cli_proof *out)
{
    const char *path = g->blob->url + strlen(g->remote->profile->url);

    *out = (emk_cli_proof){.line = {NULL}};
    if (!is_servers(g) || !g->remote->device)
        return EMK_OK;
    return emk_cli_remote_prove(g->cli, g->remote, path, out);
}

static emk_status send(getting *g, const emk_cli_proof *proof)
{
    const emk_cli_profile *p = g->remote->profile;
    char range[64], if_range[EMK_CLI_ETAG_MAX + 16];
    const char *headers[EMK_CLI_PROOF_LINES + 3] = {NULL};
    size_t n = 0;
    emk_fetch_request request = {.method = "GET",
                                 .url = g->blob->url,
                                 .headers = headers,
                                 .write = take,
                                 .write_self = g,
                                 .progress = show,
                                 .progress_self = g,
                                 .max_response = SIZE_MAX,
                                 .want = WANTED};

    (void)snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-", g->have);
    (void)snprintf(if_range, sizeof if_range, "If-Range: %s", g->blob->etag);
    for (; proof->line[n]; n++)
        headers[n] = proof->line[n];
    if (g->have > 0) {
        headers[n++] = range;
        headers[n++] = if_range;
    }
    if (is_servers(g)) {
        request.ca_file = p->ca[0] ? p->ca : NULL;
        request.pin = p->pin[0] ? p->pin : NULL;
        request.allow_http = strncmp(p->url, "http:", 5) == 0;
    }
    g->begun = false;
    g->http.body.len = 0;
    g->http.code = 0;
    g->http.retry_after_s = 0;
    g->http.field[WANT_NONCE][0] = g->http.field[WANT_COUNTER][0] = 0;
    return emk_fetch_run(&request, &g->http, &g->cli->error);
}

static emk_status one_try(getting *g)
{
    emk_cli_proof proof;
    emk_status st = prove(g, &proof);

    if (st == EMK_OK)
        st = send(g, &proof);
    if (st == EMK_OK && proof.line[0])
        st = emk_cli_remote_learn(g->cli, g->remote, g->http.field[WANT_NONCE],
                                  g->http.field[WANT_COUNTER]);
    emk_cli_proof_done(&proof);
    return st;
}

/* An answer that is no part of the file. */
static emk_status refusal(getting *g)
{
    emk_cli_answer a = {.code = g->http.code, .retry_after_s = g->http.retry_after_s};
    emk_status st;

    emk_arena_init(&a.arena, 1u << 20);
    if (strncmp(g->http.content_type, "application/problem+json", 24) == 0 &&
        emk_dom_parse(&a.arena, emk_buf_span(&g->http.body), &a.json, NULL) != EMK_OK)
        a.json = NULL;
    st = emk_cli_problem(g->cli, &a);
    emk_arena_reset(&a.arena);
    return st == EMK_E_NOT_FOUND ? EMK_E_STALE : st;
}

static emk_status judge(getting *g, emk_status st)
{
    if (st != EMK_OK)
        return st;
    if (g->http.code / 100 != 2)
        return refusal(g);
    if (g->have < g->blob->size) /* the server ended in order, and too early */
        return emk_fail(&g->cli->error, EMK_E_IO, "fetch: the file ended early", EMK_FETCH_WHERE);
    return EMK_OK;
}

static bool may_wait(const getting *g, emk_status st)
{
    if (st == EMK_E_IO)
        return g->cli->error.where >= EMK_FETCH_WHERE;
    return st == EMK_E_BUSY && g->http.retry_after_s <= EMK_CLI_WAIT_MAX_S;
}

/* What a try that will be followed by another said must not stay. */
static void forget_failure(emk_cli *cli)
{
    cli->error = (emk_error){.status = EMK_OK};
    cli->message[0] = cli->fix[0] = cli->subject[0] = 0;
}

static emk_status run(getting *g)
{
    unsigned empty = 0, signs = 1;
    emk_status st = EMK_OK;

    while (g->have < g->blob->size) {
        uint64_t before = g->have;

        st = judge(g, one_try(g));
        if (st == EMK_OK)
            return st;
        if (g->http.code == UNAUTHORIZED && signs++ < SIGN_TRIES) {
            forget_failure(g->cli);
            continue; /* with the nonce that came */
        }
        empty = g->have > before ? 0 : empty + 1;
        if (!may_wait(g, st) || empty >= TRIES)
            break;
        forget_failure(g->cli);
        emk_fetch_pause(empty + 1, g->http.retry_after_s);
    }
    if (st == EMK_E_IO && g->cli->error.where >= EMK_FETCH_WHERE)
        st = emk_cli_advise(g->cli, st,
                            "Run this again: it goes on where it stopped, while the server keeps "
                            "the sealed model (some minutes).");
    return st;
}

/* What is there of it from before; more than there can be is not it. */
static emk_status open_part(emk_cli *cli, const char *path, getting *g)
{
    emk_status st = emk_os_exists(path) ? emk_os_open_update(path, &g->fd, &cli->error)
                                        : emk_os_create_new(path, &g->fd, &cli->error);

    if (st == EMK_OK)
        st = emk_os_file_size(g->fd, &g->have, &cli->error);
    if (st == EMK_OK && g->have > g->blob->size) {
        g->have = 0;
        st = emk_os_truncate(g->fd, 0, &cli->error);
    }
    return st;
}

emk_status emk_cli_download(emk_cli *cli, const emk_cli_remote *r, const emk_cli_delivery *d,
                            const emk_cli_blob *blob)
{
    getting g = {.cli = cli, .remote = r, .blob = blob, .fd = -1};
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, d->dir, "sealed", path);

    if (blob->size == 0 || blob->size > SEALED_MAX)
        return emk_fail(&cli->error, EMK_E_LIMIT, "fetch: size of the sealed model", blob->size);
    emk_buf_init(&g.http.body, EMK_CLI_ANSWER_MAX);
    if (st == EMK_OK)
        st = open_part(cli, path, &g);
    if (st == EMK_OK) {
        if (g.have > 0 && g.have < blob->size)
            emk_cli_remark(cli, "going on after %" PRIu64 " of %" PRIu64 " bytes", g.have,
                           blob->size);
        emk_cli_progress_init(&g.bar, cli, "fetching");
        st = run(&g);
        emk_cli_progress_done(&g.bar);
    }
    emk_os_close(g.fd);
    emk_buf_done(&g.http.body);
    return st;
}
