/* State: `run` is one transfer with the first failure of a function of the caller's, which libcurl
 * only knows as "aborted". */
#include "core/fetch/fetch.h"

#include "core/base/os_time.h"
#include "core/fetch/os_socket.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOW_SPEED_S 30L
#define REDIRECTS   5L
#define PAUSE_MS    500u /* before the first retry; then twice as much each time */
#define PAUSE_MAX   30000u

typedef struct run {
    CURL *h;
    const emk_fetch_request *in;
    emk_fetch_response *out;
    emk_error error; /* of a function of the caller's */
    emk_status status;
    uint64_t sent, received;
    bool kept_away; /* from an address at least */
} run;

static void fail(run *r, emk_status st)
{
    if (r->status == EMK_OK)
        r->status = st;
}

/* --- what libcurl calls ---------------------------------------------------------------------- */

static void read_answer(CURL *h, const emk_fetch_request *in, emk_fetch_response *out);

static size_t on_body(char *p, size_t size, size_t n, void *self)
{
    run *r = self;
    emk_span bytes = emk_span_of(p, size * n);
    emk_status st;

    if (bytes.len > r->in->max_response - r->received) {
        fail(r, emk_fail(&r->error, EMK_E_LIMIT, "fetch: the answer is too large", r->received));
        return CURL_WRITEFUNC_ERROR;
    }
    if (r->received == 0)
        read_answer(r->h, r->in, r->out);
    r->received += bytes.len;
    st = r->in->write && r->out->code / 100 == 2 ? r->in->write(r->in->write_self, bytes, &r->error)
                                                 : emk_buf_append(&r->out->body, bytes, &r->error);
    fail(r, st);
    return st == EMK_OK ? bytes.len : CURL_WRITEFUNC_ERROR;
}

static size_t on_read(char *p, size_t size, size_t n, void *self)
{
    run *r = self;
    size_t len = 0;
    emk_status st = r->in->read(r->in->read_self, (uint8_t *)p, size * n, &len, &r->error);

    fail(r, st);
    r->sent += len;
    return st == EMK_OK ? len : CURL_READFUNC_ABORT;
}

static int on_progress(void *self, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    run *r = self;
    bool sending = r->in->read != NULL;

    return !r->in->progress(r->in->progress_self, (uint64_t)(sending ? up : down),
                            (uint64_t)(sending ? up_all : down_all));
}

/* Asked for each address that is tried, before anything goes there, a SYN included; libcurl then
 * connects to this one and no other. */
static curl_socket_t on_open(void *self, curlsocktype purpose, struct curl_sockaddr *to)
{
    run *r = self;
    emk_span address = emk_socket_address(&to->addr, to->addrlen);

    (void)purpose;
    if (address.len == 0 || !r->in->address(r->in->address_self, address)) {
        r->kept_away = true;
        return CURL_SOCKET_BAD;
    }
    return emk_socket_open(to->family, to->socktype, to->protocol);
}

/* --- setting up ------------------------------------------------------------------------------ */

static bool starts_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

static emk_status check(const emk_fetch_request *in, emk_error *e)
{
    if (!in->method || !in->url || in->max_response == 0)
        return emk_fail(e, EMK_E_USAGE, "fetch: method, URL and a limit", 0);
    if (!starts_with(in->url, "https://") && !(in->allow_http && starts_with(in->url, "http://")))
        return emk_fail(e, EMK_E_USAGE, "fetch: only https is allowed", 0);
    return EMK_OK;
}

static bool set_headers(CURL *h, const emk_fetch_request *in, struct curl_slist **list)
{
    size_t n = 0;

    /* No waiting for "100 Continue", which small servers do not know. */
    *list = curl_slist_append(NULL, "Expect:");
    for (const char *const *x = in->headers; *list && x && *x; x++) {
        struct curl_slist *more = n++ < EMK_FETCH_HEADERS_MAX ? curl_slist_append(*list, *x) : NULL;

        if (!more)
            return false;
        *list = more;
    }
    return *list && curl_easy_setopt(h, CURLOPT_HTTPHEADER, *list) == CURLE_OK;
}

static bool set_body(CURL *h, run *r)
{
    const emk_fetch_request *in = r->in;

    if (in->read)
        return curl_easy_setopt(h, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_READDATA, r) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)in->body_len) == CURLE_OK;
    if (in->body.len > 0)
        return curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)in->body.len) ==
                   CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_POSTFIELDS, in->body.p) == CURLE_OK;
    return strcmp(in->method, "HEAD") != 0 || curl_easy_setopt(h, CURLOPT_NOBODY, 1L) == CURLE_OK;
}

static bool set_limits(CURL *h, const emk_fetch_request *in)
{
    const char *schemes = in->allow_http ? "http,https" : "https";
    long whole = in->timeout_s ? (long)in->timeout_s : (long)EMK_FETCH_TIMEOUT_S;

    if (in->read || in->write)
        whole = (long)in->timeout_s; /* 0: as long as bytes come */
    return curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, schemes) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, "https") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, in->allow_redirects ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_MAXREDIRS, REDIRECTS) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)EMK_FETCH_CONNECT_S) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_TIMEOUT, whole) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, (long)EMK_FETCH_LOW_SPEED) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, LOW_SPEED_S) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
}

static bool set_up(CURL *h, run *r, struct curl_slist **list)
{
    const emk_fetch_request *in = r->in;

    if (in->ca_file && curl_easy_setopt(h, CURLOPT_CAINFO, in->ca_file) != CURLE_OK)
        return false;
    if (in->pin && curl_easy_setopt(h, CURLOPT_PINNEDPUBLICKEY, in->pin) != CURLE_OK)
        return false;
    if (in->unix_socket &&
        curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, in->unix_socket) != CURLE_OK)
        return false;
    if (in->no_proxy && curl_easy_setopt(h, CURLOPT_PROXY, "") != CURLE_OK)
        return false;
    if (in->address && (curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open) != CURLE_OK ||
                        curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, r) != CURLE_OK))
        return false;
    if (in->progress && (curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L) != CURLE_OK ||
                         curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK ||
                         curl_easy_setopt(h, CURLOPT_XFERINFODATA, r) != CURLE_OK))
        return false;
    return curl_easy_setopt(h, CURLOPT_URL, in->url) == CURLE_OK && set_limits(h, in) &&
           set_headers(h, in, list) && set_body(h, r) &&
           curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, in->method) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEDATA, r) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_USERAGENT, "earmark") == CURLE_OK;
}

/* --- one transfer -------------------------------------------------------------------------------
 */

/* Where EMK_E_IO has the system's errno, libcurl's numbers must not look like one. */
static emk_status io(emk_error *e, const char *what, CURLcode code)
{
    return emk_fail(e, EMK_E_IO, what, EMK_FETCH_WHERE + (unsigned)code);
}

static emk_status status_of(CURLcode code, emk_error *e)
{
    switch (code) {
    case CURLE_OK:
        return EMK_OK;
    case CURLE_OUT_OF_MEMORY:
        return emk_fail(e, EMK_E_NO_MEMORY, "fetch: memory", (unsigned)code);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return emk_fail(e, EMK_E_SIGNATURE, "fetch: the server's certificate is not trusted",
                        (unsigned)code);
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return emk_fail(e, EMK_E_SIGNATURE, "fetch: the server's key is not the pinned one",
                        (unsigned)code);
    case CURLE_SSL_CACERT_BADFILE:
        return emk_fail(e, EMK_E_FORMAT, "fetch: the file of trusted certificates", (unsigned)code);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return io(e, "fetch: the server cannot be reached", code);
    case CURLE_SSL_CONNECT_ERROR:
        return io(e, "fetch: TLS with the server", code);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return emk_fail(e, EMK_E_USAGE, "fetch: URL", (unsigned)code);
    case CURLE_OPERATION_TIMEDOUT:
        return io(e, "fetch: the server is too slow", code);
    default:
        return io(e, "fetch: the network", code);
    }
}

/* The last of that name; one that does not fit is left out. */
static void read_field(CURL *h, const char *name, char out[EMK_FETCH_FIELD_CAP])
{
    struct curl_header *found = NULL;
    size_t len;

    out[0] = 0;
    if (curl_easy_header(h, name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK)
        return;
    len = strlen(found->value);
    if (len < EMK_FETCH_FIELD_CAP)
        memcpy(out, found->value, len + 1);
}

static void read_answer(CURL *h, const emk_fetch_request *in, emk_fetch_response *out)
{
    const char *type = NULL;
    curl_off_t wait = 0;
    long code = 0;

    (void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &wait);
    (void)curl_easy_getinfo(h, CURLINFO_CONTENT_TYPE, &type);
    out->code = (unsigned)code;
    out->retry_after_s = wait > 0 ? (uint64_t)wait : 0;
    out->content_type[0] = 0;
    if (type && strlen(type) < sizeof out->content_type)
        memcpy(out->content_type, type, strlen(type) + 1);
    for (size_t i = 0; in->want && in->want[i] && i < EMK_FETCH_WANT_MAX; i++)
        read_field(h, in->want[i], out->field[i]);
}

static emk_status transfer(run *r, emk_error *e)
{
    struct curl_slist *list = NULL;
    CURL *h = curl_easy_init();
    CURLcode code = CURLE_OUT_OF_MEMORY;
    emk_status st;

    r->h = h;
    r->status = EMK_OK;
    r->sent = r->received = 0;
    r->kept_away = false;
    if (h && set_up(h, r, &list))
        code = curl_easy_perform(h);
    if (h && code == CURLE_OK)
        read_answer(h, r->in, r->out);
    curl_slist_free_all(list);
    curl_easy_cleanup(h);
    if (r->kept_away && code == CURLE_COULDNT_CONNECT)
        fail(r, emk_fail(&r->error, EMK_E_POLICY, "fetch: this address is not allowed", 0));
    st = r->status;
    if (st != EMK_OK && e)
        *e = r->error;
    return st != EMK_OK ? st : status_of(code, e);
}

/* --- retries
 * -------------------------------------------------------------------------------------- */

static bool may_retry(const run *r, emk_status st)
{
    if (r->status != EMK_OK || (r->in->write && r->received > 0 && r->out->code / 100 == 2) ||
        (r->in->read && r->sent > 0 && !r->in->rewind))
        return false;
    return st == EMK_E_IO || (st == EMK_OK && (r->out->code == 429 || r->out->code == 502 ||
                                               r->out->code == 503 || r->out->code == 504));
}

/* Twice as long each time, and anywhere between half and all of it, so that many who failed at
 * once do not come back at once.  Not a secret: the clock's low bits will do. */
void emk_fetch_pause(unsigned attempt, uint64_t asked_s)
{
    uint64_t ms = (uint64_t)PAUSE_MS << (attempt < 8 ? attempt : 8) >> 1;
    struct timespec t;

    if (ms > PAUSE_MAX)
        ms = PAUSE_MAX;
    ms = ms / 2 + emk_os_monotonic_ns() / 1000 % (ms / 2 + 1);
    if (asked_s * 1000 > ms)
        ms = asked_s * 1000 < PAUSE_MAX ? asked_s * 1000 : PAUSE_MAX;
    t.tv_sec = (time_t)(ms / 1000);
    t.tv_nsec = (long)(ms % 1000) * 1000000L;
    (void)nanosleep(&t, NULL);
}

emk_status emk_fetch_run(const emk_fetch_request *request, emk_fetch_response *response,
                         emk_error *e)
{
    unsigned retries =
        request->retries < EMK_FETCH_RETRIES_MAX ? request->retries : EMK_FETCH_RETRIES_MAX;
    run r = {.in = request, .out = response};
    emk_status st = check(request, e);

    if (st != EMK_OK)
        return st;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return emk_fail(e, EMK_E_NO_MEMORY, "fetch: libcurl", 0);
    for (unsigned i = 0;; i++) {
        st = transfer(&r, e);
        if (i >= retries || !may_retry(&r, st))
            break;
        response->body.len = 0;
        emk_fetch_pause(i + 1, response->retry_after_s);
        if (request->rewind && r.sent > 0 &&
            (st = request->rewind(request->read_self, e)) != EMK_OK)
            break;
    }
    curl_global_cleanup();
    return st;
}
