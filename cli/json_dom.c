#include "cli/json_dom.h"

#include "core/codec/json.h"

/* An object or array that is being filled. */
typedef struct open_node {
    emk_dom *node;
    const emk_dom **tail; /* where the next child is hung */
} open_node;

typedef struct builder {
    emk_arena *arena;
    emk_json json;
    size_t n_nodes;
    size_t depth;
    open_node open[EMK_JSON_DEPTH + 1]; /* [0] holds the root */
    emk_span key;                       /* of the member whose value comes next */
    emk_status status;                  /* why there is no node */
} builder;

static emk_status take_text(builder *b, emk_span *out, emk_error *e)
{
    size_t len = (size_t)b->json.text_len, decoded;
    char *p = emk_arena_take(b->arena, len + 1);

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "json dom: no room for a string", len);
    if (!emk_json_copy_string(&b->json, p, len + 1, &decoded))
        return emk_fail(e, b->json.status, b->json.what, b->json.where);
    *out = emk_span_of(p, decoded);
    return EMK_OK;
}

static emk_status check_key(const builder *b, emk_span key, emk_error *e)
{
    const emk_dom *parent = b->open[b->depth].node;

    if (parent->n >= EMK_DOM_MEMBERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "json dom: members of one object", b->json.pos);
    for (const emk_dom *m = parent->first; m; m = m->next)
        if (emk_span_equal(m->key, key))
            return emk_fail(e, EMK_E_FORMAT, "json dom: a key twice", b->json.text_off);
    return EMK_OK;
}

/* NULL when there is no room; then b->status says why. */
static emk_dom *add_node(builder *b, emk_dom_kind kind, emk_error *e)
{
    open_node *parent = &b->open[b->depth];
    emk_dom *node = NULL;

    if (b->n_nodes >= EMK_DOM_NODES_MAX)
        b->status = emk_fail(e, EMK_E_LIMIT, "json dom: values in one document", b->n_nodes);
    else if (!(node = emk_arena_take(b->arena, sizeof *node)))
        b->status = emk_fail(e, EMK_E_NO_MEMORY, "json dom: no room for a value", b->n_nodes);
    if (!node)
        return NULL;
    b->n_nodes++;
    node->kind = kind;
    node->key = b->key;
    b->key = emk_span_of(NULL, 0);
    *parent->tail = node;
    parent->tail = &node->next;
    parent->node->n++;
    return node;
}

static emk_status add_number(builder *b, emk_span in, emk_error *e)
{
    emk_dom *node = add_node(b, EMK_DOM_NUMBER, e);

    if (!node)
        return b->status;
    node->text = emk_span_of(in.p + b->json.text_off, (size_t)b->json.text_len);
    return EMK_OK;
}

static emk_status add_string(builder *b, emk_error *e)
{
    emk_dom *node = add_node(b, EMK_DOM_STRING, e);

    return node ? take_text(b, &node->text, e) : b->status;
}

static emk_status add_bool(builder *b, bool truth, emk_error *e)
{
    emk_dom *node = add_node(b, EMK_DOM_BOOL, e);

    if (!node)
        return b->status;
    node->truth = truth;
    return EMK_OK;
}

static emk_status add_open(builder *b, emk_dom_kind kind, emk_error *e)
{
    emk_dom *node = add_node(b, kind, e);

    if (!node)
        return b->status;
    if (b->depth >= EMK_JSON_DEPTH)
        return emk_fail(e, EMK_E_LIMIT, "json dom: depth", b->depth);
    b->depth++;
    b->open[b->depth].node = node;
    b->open[b->depth].tail = &node->first;
    return EMK_OK;
}

static emk_status add_key(builder *b, emk_error *e)
{
    emk_span key = {NULL, 0};
    emk_status st = take_text(b, &key, e);

    if (st == EMK_OK)
        st = check_key(b, key, e);
    if (st == EMK_OK)
        b->key = key;
    return st;
}

/* Takes one token; *end when the document is through. */
static emk_status take_token(builder *b, emk_span in, bool *end, emk_error *e)
{
    switch (emk_json_next(&b->json)) {
    case EMK_JSON_OBJECT_BEGIN:
        return add_open(b, EMK_DOM_OBJECT, e);
    case EMK_JSON_ARRAY_BEGIN:
        return add_open(b, EMK_DOM_ARRAY, e);
    case EMK_JSON_OBJECT_END:
    case EMK_JSON_ARRAY_END:
        b->depth--;
        return EMK_OK;
    case EMK_JSON_KEY:
        return add_key(b, e);
    case EMK_JSON_STRING:
        return add_string(b, e);
    case EMK_JSON_NUMBER:
        return add_number(b, in, e);
    case EMK_JSON_TRUE:
        return add_bool(b, true, e);
    case EMK_JSON_FALSE:
        return add_bool(b, false, e);
    case EMK_JSON_NULL:
        return add_node(b, EMK_DOM_NULL, e) ? EMK_OK : b->status;
    case EMK_JSON_END:
        *end = true;
        return emk_json_finish(&b->json, e);
    case EMK_JSON_BAD:
        break;
    }
    return emk_json_finish(&b->json, e);
}

emk_status emk_dom_parse(emk_arena *a, emk_span json, const emk_dom **out, emk_error *e)
{
    emk_image *image = emk_arena_take(a, sizeof *image);
    builder *b = emk_arena_take(a, sizeof *b);
    emk_dom *root = emk_arena_take(a, sizeof *root);
    emk_status st = EMK_OK;
    bool end = false;

    if (!image || !b || !root)
        return emk_fail(e, EMK_E_NO_MEMORY, "json dom: no memory", 0);
    emk_image_from_span(image, json);
    b->arena = a;
    b->open[0].node = root;
    b->open[0].tail = &root->first;
    emk_json_init(&b->json, image, 0, json.len);
    while (st == EMK_OK && !end)
        st = take_token(b, json, &end, e);
    if (st == EMK_OK)
        *out = root->first;
    return st;
}

const emk_dom *emk_dom_get(const emk_dom *object, const char *key)
{
    if (!object || object->kind != EMK_DOM_OBJECT)
        return NULL;
    for (const emk_dom *m = object->first; m; m = m->next)
        if (emk_span_equal(m->key, emk_span_str(key)))
            return m;
    return NULL;
}

const emk_dom *emk_dom_get_kind(const emk_dom *object, const char *key, emk_dom_kind kind)
{
    const emk_dom *m = emk_dom_get(object, key);

    return m && m->kind == kind ? m : NULL;
}

bool emk_dom_is_text(const emk_dom *node, const char *text)
{
    return node && node->kind == EMK_DOM_STRING && emk_span_equal(node->text, emk_span_str(text));
}

bool emk_dom_u64(const emk_dom *node, uint64_t *out)
{
    uint64_t v = 0;

    if (!node || node->kind != EMK_DOM_NUMBER || node->text.len == 0)
        return false;
    for (size_t i = 0; i < node->text.len; i++) {
        uint8_t c = node->text.p[i];

        if (c < '0' || c > '9' || v > (UINT64_MAX - (uint64_t)(c - '0')) / 10)
            return false;
        v = v * 10 + (uint64_t)(c - '0');
    }
    *out = v;
    return true;
}
