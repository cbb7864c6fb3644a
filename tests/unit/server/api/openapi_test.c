/* The OpenAPI document and the route tables say the same: paths, methods, who may come, how long a
 * body may be. */
#include "server/api/api.h"

#include "core/codec/json.h"
#include "tests/support/test.h"
#include <strings.h>

#define OPERATIONS_MAX 128

typedef struct operation {
    char path[128], method[16], id[64], content_type[64];
    uint64_t body_max;
    bool has_body_max;
    uint32_t admits;
} operation;

typedef struct document {
    emk_image im;
    emk_json j;
    operation ops[OPERATIONS_MAX];
    size_t n;
} document;

static void key(document *d, char *out, size_t cap)
{
    assert_true(emk_json_copy_string(&d->j, out, cap, NULL));
}

static uint32_t kind_of(const char *scheme)
{
    if (strcmp(scheme, "user") == 0)
        return EMK_PRINCIPAL_USER;
    if (strcmp(scheme, "device") == 0)
        return EMK_PRINCIPAL_DEVICE;
    if (strcmp(scheme, "service") == 0)
        return EMK_PRINCIPAL_SERVICE;
    if (strcmp(scheme, "operator") == 0)
        return EMK_PRINCIPAL_OPERATOR;
    fail_msg("unknown security scheme %s", scheme);
    return 0;
}

/* [{}] and [] are anyone; {a: [], b: []} is both at once, which only device and user can be. */
static uint32_t read_security(document *d)
{
    uint32_t all = 0;
    bool any = false;

    assert_true(emk_json_expect(&d->j, EMK_JSON_ARRAY_BEGIN));
    while (emk_json_next(&d->j) == EMK_JSON_OBJECT_BEGIN) {
        uint32_t one = 0;

        any = true;
        while (emk_json_next(&d->j) == EMK_JSON_KEY) {
            char scheme[32];

            key(d, scheme, sizeof scheme);
            one |= kind_of(scheme);
            emk_json_skip_value(&d->j);
        }
        if (one == (EMK_PRINCIPAL_USER | EMK_PRINCIPAL_DEVICE))
            one = EMK_PRINCIPAL_DEVICE_USER;
        all |= one ? one : (uint32_t)EMK_PRINCIPAL_ANYONE;
    }
    return any ? all : (uint32_t)EMK_PRINCIPAL_ANYONE;
}

static void read_body(document *d, operation *o)
{
    char name[64];

    assert_true(emk_json_expect(&d->j, EMK_JSON_OBJECT_BEGIN));
    while (emk_json_next(&d->j) == EMK_JSON_KEY) {
        key(d, name, sizeof name);
        if (strcmp(name, "content") != 0) {
            emk_json_skip_value(&d->j);
            continue;
        }
        assert_true(emk_json_expect(&d->j, EMK_JSON_OBJECT_BEGIN));
        while (emk_json_next(&d->j) == EMK_JSON_KEY) {
            key(d, o->content_type, sizeof o->content_type);
            emk_json_skip_value(&d->j);
        }
    }
}

static void read_operation(document *d, operation *o)
{
    char name[64];

    assert_true(emk_json_expect(&d->j, EMK_JSON_OBJECT_BEGIN));
    while (emk_json_next(&d->j) == EMK_JSON_KEY) {
        key(d, name, sizeof name);
        if (strcmp(name, "operationId") == 0) {
            assert_true(emk_json_expect(&d->j, EMK_JSON_STRING));
            key(d, o->id, sizeof o->id);
        } else if (strcmp(name, "security") == 0) {
            o->admits = read_security(d);
        } else if (strcmp(name, "requestBody") == 0) {
            read_body(d, o);
        } else if (strcmp(name, "x-earmark-max-body") == 0) {
            assert_true(emk_json_expect(&d->j, EMK_JSON_NUMBER));
            o->has_body_max = emk_json_u64(&d->j, &o->body_max);
        } else {
            emk_json_skip_value(&d->j);
        }
    }
}

static void read_path(document *d, const char *path)
{
    assert_true(emk_json_expect(&d->j, EMK_JSON_OBJECT_BEGIN));
    while (emk_json_next(&d->j) == EMK_JSON_KEY) {
        operation *o = &d->ops[d->n];

        key(d, o->method, sizeof o->method);
        if (strcmp(o->method, "parameters") == 0) {
            emk_json_skip_value(&d->j);
            continue;
        }
        snprintf(o->path, sizeof o->path, "%s", path);
        read_operation(d, o);
        assert_true(++d->n < OPERATIONS_MAX);
    }
}

static document *read_document(void)
{
    document *d = calloc(1, sizeof *d);
    emk_error e = {0};
    char name[128];

    emk_image_from_span(&d->im, emk_openapi_document());
    emk_json_init(&d->j, &d->im, 0, emk_openapi_document().len);
    assert_true(emk_json_expect(&d->j, EMK_JSON_OBJECT_BEGIN));
    while (emk_json_next(&d->j) == EMK_JSON_KEY) {
        key(d, name, sizeof name);
        if (strcmp(name, "paths") != 0) {
            emk_json_skip_value(&d->j);
            continue;
        }
        assert_true(emk_json_expect(&d->j, EMK_JSON_OBJECT_BEGIN));
        while (emk_json_next(&d->j) == EMK_JSON_KEY) {
            key(d, name, sizeof name);
            read_path(d, name);
        }
    }
    assert_int_equal(emk_json_next(&d->j), EMK_JSON_END);
    assert_ok(emk_json_finish(&d->j, &e), &e);
    return d;
}

static const operation *find(const document *d, const emk_route *row)
{
    for (size_t i = 0; i < d->n; i++) {
        const char *method = emk_http_method_name(row->method);

        if (strcmp(d->ops[i].path, row->path) == 0 && strcasecmp(d->ops[i].method, method) == 0)
            return &d->ops[i];
    }
    return NULL;
}

static void check_row(const document *d, const emk_route *row)
{
    const operation *o = find(d, row);

    if (!o)
        fail_msg("%s is not in the document", row->gate.name);
    assert_string_equal(o->id, row->gate.name);
    assert_int_equal(o->admits, row->gate.admits);
    assert_true(o->has_body_max);
    assert_int_equal(o->body_max, row->body_max);
    assert_string_equal(o->content_type, row->content_type ? row->content_type : "");
    assert_false(row->flags & EMK_ROUTE_INTERNAL);
}

static void document_and_tables_agree(void **state)
{
    document *d = read_document();
    size_t n_tables, rows = 0;
    const emk_route_table *tables = emk_api_tables(&n_tables);

    (void)state;
    for (size_t t = 0; t < n_tables; t++)
        for (size_t i = 0; i < tables[t].n; i++, rows++)
            check_row(d, &tables[t].rows[i]);
    assert_int_equal(d->n, rows);
    free(d);
}

static void tables_make_a_router(void **state)
{
    emk_router r;
    emk_error e = {0};
    size_t n;
    const emk_route_table *tables = emk_api_tables(&n);

    (void)state;
    assert_ok(emk_router_init(&r, tables, n, &e), &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(document_and_tables_agree), emk_rule(tables_make_a_router));
}
