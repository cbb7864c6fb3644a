/* The tree is built from libyaml's events, so nothing of it exists that we did not count.
 *
 * State while building: `open` holds the collections that are open; in a mapping `key` is the
 * scalar read last whose value is still missing.  Nodes and texts lie in blocks that are
 * freed together. */
#include "server/yaml/yaml.h"

#include "core/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define BLOCK_LEN 16384u

typedef struct block {
    struct block *next;
    size_t used, cap;
    _Alignas(16) uint8_t bytes[];
} block;

struct emk_yaml {
    char file[EMK_YAML_NAME_MAX];
    block *blocks;
    emk_yaml_node *root;
    size_t n_nodes;
};

typedef struct level {
    emk_yaml_node *node;
    emk_yaml_node *last; /* item or value */
    emk_yaml_node *key;  /* waits for its value */
} level;

typedef struct builder {
    emk_yaml *y;
    level open[EMK_YAML_DEPTH_MAX];
    size_t depth;
    size_t n_documents;
    yaml_mark_t mark; /* of the event in hand */
    emk_yaml_diag *d;
    emk_error *e;
} builder;

/* Writes "file:line:column: text" unless d is NULL or has a complaint already. */
__attribute__((format(printf, 5, 0))) static void complain(emk_yaml_diag *d, const char *file,
                                                           uint32_t line, uint32_t column,
                                                           const char *format, va_list args)
{
    int n;

    if (!d || d->text[0] != 0)
        return;
    n = snprintf(d->text, sizeof d->text, "%s:%u:%u: ", file, line, column);
    if (n > 0 && (size_t)n < sizeof d->text)
        vsnprintf(d->text + n, sizeof d->text - (size_t)n, format, args);
    d->line = line;
    d->column = column;
}

emk_status emk_yaml_refuse(const emk_yaml_node *n, emk_yaml_diag *d, emk_error *e, const char *what,
                           const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(d, n && n->tree ? n->tree->file : "?", n ? n->line : 0, n ? n->column : 0, format,
             args);
    va_end(args);
    return emk_fail(e, EMK_E_FORMAT, what, n ? n->line : 0);
}

/* A refusal at the event in hand. */
static emk_status refuse(builder *b, emk_status st, const char *what)
{
    emk_yaml_node here = {
        .line = (uint32_t)b->mark.line + 1, .column = (uint32_t)b->mark.column + 1, .tree = b->y};

    (void)emk_yaml_refuse(&here, b->d, NULL, what, "%s", what);
    return emk_fail(b->e, st, what, here.line);
}

/* Lends n zeroed bytes of the tree's; NULL when there is no memory. */
static void *room(emk_yaml *y, size_t n)
{
    block *b = y->blocks;
    void *p;

    n = (n + 15) & ~(size_t)15;
    if (!b || b->cap - b->used < n) {
        size_t cap = n > BLOCK_LEN ? n : BLOCK_LEN;

        b = emk_alloc(1, sizeof *b + cap);
        if (!b)
            return NULL;
        b->cap = cap;
        b->next = y->blocks;
        y->blocks = b;
    }
    p = b->bytes + b->used;
    b->used += n;
    return p;
}

static emk_status new_node(builder *b, emk_yaml_kind kind, emk_yaml_node **out)
{
    emk_yaml_node *n;

    if (b->y->n_nodes >= EMK_YAML_NODES_MAX)
        return refuse(b, EMK_E_LIMIT, "yaml: too many values");
    n = room(b->y, sizeof *n);
    if (!n)
        return refuse(b, EMK_E_NO_MEMORY, "yaml: no memory");
    b->y->n_nodes++;
    n->kind = kind;
    n->line = (uint32_t)b->mark.line + 1;
    n->column = (uint32_t)b->mark.column + 1;
    n->tree = b->y;
    *out = n;
    return EMK_OK;
}

static emk_status check_key(builder *b, const level *l, const emk_yaml_node *key)
{
    if (key->kind != EMK_YAML_SCALAR)
        return refuse(b, EMK_E_UNSUPPORTED, "yaml: a key must be plain text");
    if (key->text_len == 0)
        return refuse(b, EMK_E_FORMAT, "yaml: an empty key");
    if (strcmp(key->text, "<<") == 0)
        return refuse(b, EMK_E_UNSUPPORTED, "yaml: merge keys are not allowed");
    if (l->node->n == EMK_YAML_PAIRS_MAX)
        return refuse(b, EMK_E_LIMIT, "yaml: too many keys in one mapping");
    if (emk_yaml_get(l->node, key->text))
        return refuse(b, EMK_E_FORMAT, "yaml: this key is here already");
    return EMK_OK;
}

/* Hangs n under what is open. */
static emk_status attach(builder *b, emk_yaml_node *n)
{
    level *l;

    if (b->depth == 0) {
        b->y->root = n;
        return EMK_OK;
    }
    l = &b->open[b->depth - 1];
    if (l->node->kind == EMK_YAML_MAPPING && !l->key) {
        emk_status st = check_key(b, l, n);

        if (st == EMK_OK)
            l->key = n;
        return st;
    }
    n->key = l->key;
    l->key = NULL;
    if (l->last)
        l->last->next = n;
    else
        l->node->first = n;
    l->last = n;
    l->node->n++;
    return EMK_OK;
}

static emk_status add_scalar(builder *b, const yaml_event_t *ev)
{
    emk_span text = emk_span_of(ev->data.scalar.value, ev->data.scalar.length);
    emk_yaml_node *n;
    char *copy;
    emk_status st;

    if (ev->data.scalar.anchor || ev->data.scalar.tag)
        return refuse(b, EMK_E_UNSUPPORTED, "yaml: anchors and tags are not allowed");
    if (text.len > EMK_YAML_SCALAR_MAX)
        return refuse(b, EMK_E_LIMIT, "yaml: this text is too long");
    /* That it is UTF-8 libyaml has seen to. */
    if (memchr(text.p, 0, text.len))
        return refuse(b, EMK_E_FORMAT, "yaml: this is no text");
    st = new_node(b, EMK_YAML_SCALAR, &n);
    if (st != EMK_OK)
        return st;
    copy = room(b->y, text.len + 1);
    if (!copy)
        return refuse(b, EMK_E_NO_MEMORY, "yaml: no memory");
    memcpy(copy, text.p, text.len);
    n->text = copy;
    n->text_len = text.len;
    n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return attach(b, n);
}

static emk_status open_collection(builder *b, emk_yaml_kind kind, bool decorated)
{
    emk_yaml_node *n;
    emk_status st;

    if (decorated)
        return refuse(b, EMK_E_UNSUPPORTED, "yaml: anchors and tags are not allowed");
    if (b->depth == EMK_YAML_DEPTH_MAX)
        return refuse(b, EMK_E_LIMIT, "yaml: nested too deeply");
    st = new_node(b, kind, &n);
    if (st == EMK_OK)
        st = attach(b, n);
    if (st == EMK_OK)
        b->open[b->depth++] = (level){.node = n};
    return st;
}

static emk_status take_event(builder *b, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (ev->data.document_start.version_directive ||
            ev->data.document_start.tag_directives.start !=
                ev->data.document_start.tag_directives.end)
            return refuse(b, EMK_E_UNSUPPORTED, "yaml: directives are not allowed");
        if (b->n_documents++ > 0)
            return refuse(b, EMK_E_UNSUPPORTED, "yaml: one document a file");
        return EMK_OK;
    case YAML_ALIAS_EVENT:
        return refuse(b, EMK_E_UNSUPPORTED, "yaml: aliases are not allowed");
    case YAML_SCALAR_EVENT:
        return add_scalar(b, ev);
    case YAML_SEQUENCE_START_EVENT:
        return open_collection(b, EMK_YAML_SEQUENCE,
                               ev->data.sequence_start.anchor || ev->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_collection(b, EMK_YAML_MAPPING,
                               ev->data.mapping_start.anchor || ev->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return EMK_OK;
    default:
        return EMK_OK;
    }
}

static emk_status parser_failed(builder *b, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        return refuse(b, EMK_E_NO_MEMORY, "yaml: no memory");
    b->mark = p->problem_mark;
    if (p->error == YAML_READER_ERROR)
        return refuse(b, EMK_E_FORMAT, "yaml: not UTF-8 text");
    return refuse(b, EMK_E_FORMAT,
                  "yaml: not well-formed (indentation, tabs, quotes or brackets, here or in the "
                  "lines before?)");
}

static emk_status build(builder *b, yaml_parser_t *p)
{
    yaml_event_t ev;
    yaml_event_type_t type = YAML_NO_EVENT;
    emk_status st = EMK_OK;

    while (st == EMK_OK && type != YAML_STREAM_END_EVENT) {
        if (!yaml_parser_parse(p, &ev))
            return parser_failed(b, p);
        b->mark = ev.start_mark;
        type = ev.type;
        st = take_event(b, &ev);
        yaml_event_delete(&ev);
    }
    if (st == EMK_OK && !b->y->root)
        st = refuse(b, EMK_E_FORMAT, "yaml: the file is empty");
    return st;
}

static emk_status parse_into(emk_yaml *y, emk_span text, emk_yaml_diag *d, emk_error *e)
{
    builder b = {.y = y, .d = d, .e = e};
    yaml_parser_t parser;
    emk_status st;

    if (text.len > EMK_YAML_TEXT_MAX)
        return refuse(&b, EMK_E_LIMIT, "yaml: the file is too long");
    if (!yaml_parser_initialize(&parser))
        return refuse(&b, EMK_E_NO_MEMORY, "yaml: no memory");
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.p ? text.p : (const uint8_t *)"", text.len);
    st = build(&b, &parser);
    yaml_parser_delete(&parser);
    return st;
}

emk_status emk_yaml_parse(const char *file, emk_span text, emk_yaml **out, emk_yaml_diag *d,
                          emk_error *e)
{
    emk_yaml *y = emk_alloc(1, sizeof *y);
    emk_status st;

    if (!y)
        return emk_fail(e, EMK_E_NO_MEMORY, "yaml: no memory", sizeof *y);
    snprintf(y->file, sizeof y->file, "%s", file);
    st = parse_into(y, text, d, e);
    if (st != EMK_OK) {
        emk_yaml_free(y);
        return st;
    }
    *out = y;
    return EMK_OK;
}

void emk_yaml_free(emk_yaml *y)
{
    block *b;

    if (!y)
        return;
    b = y->blocks;
    while (b) {
        block *next = b->next;

        emk_free(b);
        b = next;
    }
    emk_free(y);
}

const emk_yaml_node *emk_yaml_root(const emk_yaml *y)
{
    return y->root;
}
