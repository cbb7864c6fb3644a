/* From method and path to a row of the route tables.
 *
 * Paths are compared as they came.  A {name} in a pattern meets one segment of 1 to
 * EMK_ROUTER_PARAM_MAX unreserved characters [RFC 3986 2.3]; escapes are not decoded, so that
 * one resource has one path, and "." and ".." are refused.  A segment of the pattern that is
 * literal goes before a {name}.
 *
 * Thread rule: a finished router is immutable. */
#ifndef EMK_SERVER_API_ROUTER_H
#define EMK_SERVER_API_ROUTER_H

#include "server/api/http.h"

#define EMK_ROUTER_ROUTES_MAX 128u
#define EMK_ROUTER_PARAM_MAX  128u /* bytes */

/* Rows of one group. */
typedef struct emk_route_table {
    const emk_route *rows;
    size_t n;
} emk_route_table;

typedef struct emk_router {
    const emk_route *rows[EMK_ROUTER_ROUTES_MAX];
    size_t n;
} emk_router;

/* Fills *out, which keeps the tables.  EMK_E_LIMIT for too many; EMK_E_USAGE for a row that
 * contradicts itself or is there twice (where = its number). */
emk_status emk_router_init(emk_router *out, const emk_route_table *tables, size_t n_tables,
                           emk_error *e) EMK_MUST_CHECK;

typedef enum emk_router_result {
    EMK_ROUTER_FOUND,
    EMK_ROUTER_NO_PATH,  /* 404 */
    EMK_ROUTER_NO_METHOD /* 405 */
} emk_router_result;

typedef struct emk_router_match {
    const emk_route *route;
    emk_span params[EMK_HTTP_PARAMS_MAX];
    unsigned methods; /* bits 1 << emk_http_method that the path has; for Allow */
} emk_router_match;

/* Fills *out (route only when FOUND, methods unless NO_PATH).  HEAD meets GET's row. */
emk_router_result emk_router_find(const emk_router *r, emk_http_method method, emk_span path,
                                  emk_router_match *out);

/* From "GET" and so on, as it is written; everything else is EMK_HTTP_OTHER. */
emk_http_method emk_http_method_of(emk_span text);
/* Static: "GET". */
const char *emk_http_method_name(emk_http_method method);

/* The value of an Allow line: "GET, HEAD, OPTIONS". */
#define EMK_ALLOW_MAX 64u
void emk_http_allow(unsigned methods, char out[EMK_ALLOW_MAX]);

#endif
