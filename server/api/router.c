#include "server/api/router.h"

#include <stdio.h>
#include <string.h>

static const char *const METHODS[] = {
    [EMK_HTTP_GET] = "GET",       [EMK_HTTP_HEAD] = "HEAD",     [EMK_HTTP_POST] = "POST",
    [EMK_HTTP_PUT] = "PUT",       [EMK_HTTP_DELETE] = "DELETE", [EMK_HTTP_OPTIONS] = "OPTIONS",
    [EMK_HTTP_OTHER] = "(other)",
};

emk_http_method emk_http_method_of(emk_span text)
{
    for (unsigned i = 0; i < EMK_HTTP_OTHER; i++)
        if (emk_span_equal(text, emk_span_str(METHODS[i])))
            return (emk_http_method)i;
    return EMK_HTTP_OTHER;
}

const char *emk_http_method_name(emk_http_method method)
{
    return METHODS[method <= EMK_HTTP_OTHER ? method : EMK_HTTP_OTHER];
}

void emk_http_allow(unsigned methods, char out[EMK_ALLOW_MAX])
{
    size_t n = 0;

    methods |= 1u << EMK_HTTP_OPTIONS;
    if (methods & 1u << EMK_HTTP_GET)
        methods |= 1u << EMK_HTTP_HEAD;
    out[0] = 0;
    for (unsigned i = 0; i < EMK_HTTP_OTHER; i++)
        if (methods & 1u << i)
            n += (size_t)snprintf(out + n, EMK_ALLOW_MAX - n, "%s%s", n ? ", " : "", METHODS[i]);
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool is_param(emk_span s)
{
    if (s.len == 0 || s.len > EMK_ROUTER_PARAM_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_unreserved(s.p[i]))
            return false;
    return !emk_span_equal(s, emk_span_str(".")) && !emk_span_equal(s, emk_span_str(".."));
}

/* Takes "/segment" off the front. */
static bool next_segment(emk_span *path, emk_span *segment)
{
    const uint8_t *slash;
    size_t len;

    if (path->len == 0 || path->p[0] != '/')
        return false;
    slash = memchr(path->p + 1, '/', path->len - 1);
    len = slash ? (size_t)(slash - path->p) - 1 : path->len - 1;
    *segment = emk_span_of(path->p + 1, len);
    *path = emk_span_of(path->p + 1 + len, path->len - 1 - len);
    return true;
}

/* How many literal segments met, plus one; 0: no match. */
static unsigned match(const char *pattern, emk_span path, emk_span params[EMK_HTTP_PARAMS_MAX])
{
    emk_span want = emk_span_str(pattern), a, b;
    unsigned score = 1, n = 0;

    while (want.len > 0 && path.len > 0) {
        if (!next_segment(&want, &a) || !next_segment(&path, &b))
            return 0;
        if (a.len > 0 && a.p[0] == '{') {
            if (n == EMK_HTTP_PARAMS_MAX || !is_param(b))
                return 0;
            params[n++] = b;
        } else if (emk_span_equal(a, b)) {
            score++;
        } else {
            return 0;
        }
    }
    return want.len == 0 && path.len == 0 ? score : 0;
}

emk_router_result emk_router_find(const emk_router *r, emk_http_method method, emk_span path,
                                  emk_router_match *out)
{
    emk_router_match best = {0};
    unsigned best_score = 0;

    if (method == EMK_HTTP_HEAD)
        method = EMK_HTTP_GET;
    for (size_t i = 0; i < r->n; i++) {
        emk_router_match m = {.route = r->rows[i]};
        unsigned score = match(m.route->path, path, m.params), methods;

        if (score == 0 || score < best_score)
            continue;
        if (score > best_score) /* a more literal path hides the others, whatever the method */
            best = (emk_router_match){0};
        best_score = score;
        methods = best.methods | 1u << m.route->method;
        if (m.route->method == method)
            best = m;
        best.methods = methods;
    }
    *out = best;
    if (best_score == 0)
        return EMK_ROUTER_NO_PATH;
    return best.route ? EMK_ROUTER_FOUND : EMK_ROUTER_NO_METHOD;
}

/* Row and pattern say something that can be served. */
static bool row_is_sound(const emk_route *row)
{
    bool has_body = row->method == EMK_HTTP_POST || row->method == EMK_HTTP_PUT;

    if (!row->path || row->path[0] != '/' || !row->handle || !row->gate.name ||
        row->gate.admits == 0 || row->method == EMK_HTTP_HEAD || row->method >= EMK_HTTP_OPTIONS)
        return false;
    if (!has_body && (row->content_type || row->body_max || (row->flags & EMK_ROUTE_STREAM)))
        return false;
    if ((row->content_type == NULL) != (row->body_max == 0))
        return false;
    /* The gate is asked before a streamed body is here: a device's counter would move for a body
     * that never comes. */
    if ((row->flags & EMK_ROUTE_STREAM) &&
        ((row->gate.admits & (EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_DEVICE_USER)) ||
         row->gate.device_may_sign))
        return false;
    return !((row->flags & EMK_ROUTE_STREAM) && (row->flags & EMK_ROUTE_INLINE));
}

static emk_status add_row(emk_router *r, const emk_route *row, emk_error *e)
{
    if (r->n == EMK_ROUTER_ROUTES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "router: too many routes", r->n);
    if (!row_is_sound(row))
        return emk_fail(e, EMK_E_USAGE, "router: a row contradicts itself", r->n);
    for (size_t i = 0; i < r->n; i++)
        if ((r->rows[i]->method == row->method && strcmp(r->rows[i]->path, row->path) == 0) ||
            strcmp(r->rows[i]->gate.name, row->gate.name) == 0)
            return emk_fail(e, EMK_E_USAGE, "router: a row is there twice", r->n);
    r->rows[r->n++] = row;
    return EMK_OK;
}

emk_status emk_router_init(emk_router *out, const emk_route_table *tables, size_t n_tables,
                           emk_error *e)
{
    emk_router r = {.n = 0};

    for (size_t t = 0; t < n_tables; t++)
        for (size_t i = 0; i < tables[t].n; i++) {
            emk_status st = add_row(&r, &tables[t].rows[i], e);

            if (st != EMK_OK)
                return st;
        }
    *out = r;
    return EMK_OK;
}
