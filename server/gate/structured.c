#include "server/gate/structured.h"

#include "core/codec/base64.h"
#include "core/codec/base64url.h"

#define INTEGER_DIGITS_MAX 15u /* [RFC 8941 3.3.1] */

void emk_sf_init(emk_sf *r, emk_span in)
{
    r->in = in;
    r->pos = 0;
    r->bad = false;
}

static bool fail(emk_sf *r)
{
    r->bad = true;
    return false;
}

/* The next byte, or 0, which no field value has, at the end. */
static uint8_t peek(const emk_sf *r)
{
    return r->bad || r->pos >= r->in.len ? 0 : r->in.p[r->pos];
}

static bool take(emk_sf *r, char want)
{
    if (peek(r) != (uint8_t)want)
        return fail(r);
    r->pos++;
    return true;
}

static bool take_if(emk_sf *r, char want)
{
    if (peek(r) != (uint8_t)want)
        return false;
    r->pos++;
    return true;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(uint8_t c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool in_set(uint8_t c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static emk_span since(const emk_sf *r, size_t begin)
{
    return emk_span_of(r->in.p + begin, r->pos - begin);
}

static bool key_read(emk_sf *r, emk_span *out)
{
    size_t begin = r->pos;

    if (!is_lower(peek(r)) && peek(r) != '*')
        return fail(r);
    while (is_lower(peek(r)) || is_digit(peek(r)) || in_set(peek(r), "_-.*"))
        r->pos++;
    if (r->pos - begin > EMK_SF_KEY_MAX)
        return fail(r);
    *out = since(r, begin);
    return true;
}

bool emk_sf_member(emk_sf *r, emk_span *key)
{
    return key_read(r, key) && take(r, '=');
}

bool emk_sf_more(emk_sf *r)
{
    return take_if(r, ',') && take(r, ' ');
}

bool emk_sf_at_end(const emk_sf *r)
{
    return !r->bad && r->pos == r->in.len;
}

static bool integer_read(emk_sf *r, emk_sf_item *out)
{
    bool negative = take_if(r, '-');
    size_t begin = r->pos;
    int64_t v = 0;

    while (is_digit(peek(r)) && r->pos - begin < INTEGER_DIGITS_MAX)
        v = v * 10 + (r->in.p[r->pos++] - '0');
    if (r->pos == begin || is_digit(peek(r)) || peek(r) == '.')
        return fail(r);
    if (r->in.p[begin] == '0' && (r->pos - begin > 1 || negative))
        return fail(r); /* a second way to write a number */
    out->kind = EMK_SF_INTEGER;
    out->integer = negative ? -v : v;
    return true;
}

static bool string_read(emk_sf *r, emk_span *out)
{
    size_t begin;

    if (!take(r, '"'))
        return false;
    begin = r->pos;
    while (peek(r) >= 0x20 && peek(r) < 0x7f && peek(r) != '"' && peek(r) != '\\')
        r->pos++;
    *out = since(r, begin);
    return take(r, '"');
}

static bool bytes_read(emk_sf *r, emk_sf_item *out)
{
    size_t begin;

    if (!take(r, ':'))
        return false;
    begin = r->pos;
    while (is_alpha(peek(r)) || is_digit(peek(r)) || in_set(peek(r), "+/="))
        r->pos++;
    out->kind = EMK_SF_BYTES;
    out->text = since(r, begin);
    return take(r, ':');
}

static bool token_read(emk_sf *r, emk_sf_item *out)
{
    size_t begin = r->pos;

    while (is_alpha(peek(r)) || is_digit(peek(r)) || in_set(peek(r), "!#$%&'*+-.^_`|~:/"))
        r->pos++;
    out->kind = EMK_SF_TOKEN;
    out->text = since(r, begin);
    return true;
}

static bool boolean_read(emk_sf *r, emk_sf_item *out)
{
    if (!take(r, '?'))
        return false;
    out->kind = EMK_SF_BOOLEAN;
    out->integer = peek(r) == '1';
    if (peek(r) != '0' && peek(r) != '1')
        return fail(r);
    r->pos++;
    return true;
}

bool emk_sf_item_read(emk_sf *r, emk_sf_item *out)
{
    uint8_t c = peek(r);

    memset(out, 0, sizeof *out);
    if (c == '"') {
        out->kind = EMK_SF_STRING;
        return string_read(r, &out->text);
    }
    if (c == ':')
        return bytes_read(r, out);
    if (c == '?')
        return boolean_read(r, out);
    if (is_digit(c) || c == '-')
        return integer_read(r, out);
    if (is_alpha(c) || c == '*')
        return token_read(r, out);
    return fail(r);
}

static bool params_read(emk_sf *r, emk_sf_list *out)
{
    while (take_if(r, ';')) {
        emk_sf_param *p = &out->params[out->n_params];

        if (out->n_params == EMK_SF_MEMBERS_MAX || !key_read(r, &p->key))
            return fail(r);
        for (size_t i = 0; i < out->n_params; i++)
            if (emk_span_equal(out->params[i].key, p->key))
                return fail(r);
        if (!take(r, '=') || !emk_sf_item_read(r, &p->value))
            return false;
        out->n_params++;
    }
    return !r->bad;
}

bool emk_sf_list_read(emk_sf *r, emk_sf_list *out)
{
    size_t begin = r->pos;

    memset(out, 0, sizeof *out);
    if (!take(r, '('))
        return false;
    while (peek(r) == '"') {
        if (out->n_members == EMK_SF_MEMBERS_MAX || !string_read(r, &out->members[out->n_members]))
            return fail(r);
        out->n_members++;
        if (peek(r) == ')')
            break;
        if (!take(r, ' ') || peek(r) != '"')
            return fail(r);
    }
    if (!take(r, ')') || !params_read(r, out))
        return false;
    out->raw = since(r, begin);
    return true;
}

const emk_sf_item *emk_sf_param_find(const emk_sf_list *list, const char *key)
{
    for (size_t i = 0; i < list->n_params; i++)
        if (emk_span_equal(list->params[i].key, emk_span_str(key)))
            return &list->params[i].value;
    return NULL;
}

emk_status emk_sf_bytes(const emk_sf_item *item, uint8_t *out, size_t cap, size_t *len,
                        emk_error *e)
{
    if (item->kind != EMK_SF_BYTES)
        return emk_fail(e, EMK_E_FORMAT, "structured field: not bytes", item->kind);
    return emk_base64_decode(item->text, out, cap, len, e);
}

/* base64url with two other characters, and padding. */
emk_status emk_sf_bytes_write(emk_span in, char *out, size_t cap, emk_error *e)
{
    size_t n = 0;
    emk_status st;

    if (in.len > EMK_SF_BYTES_MAX || cap < (in.len + 2) / 3 * 4 + 3)
        return emk_fail(e, EMK_E_LIMIT, "structured field: bytes", in.len);
    st = emk_base64url_encode(in, out + 1, cap - 1, &n, e);
    if (st != EMK_OK)
        return st;
    for (size_t i = 1; i <= n; i++) {
        if (out[i] == '-')
            out[i] = '+';
        else if (out[i] == '_')
            out[i] = '/';
    }
    for (; n % 4 != 0; n++)
        out[n + 1] = '=';
    out[0] = ':';
    out[n + 1] = ':';
    out[n + 2] = 0;
    return EMK_OK;
}
