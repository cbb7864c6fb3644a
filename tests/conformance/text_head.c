#include "tests/conformance/text_head.h"

#include "tests/conformance/inflate.h"

static bool read_line(emk_span *rest, emk_span *line)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->p, '\n', rest->len) : NULL;

    if (!end)
        return false;
    *line = emk_span_of(rest->p, (size_t)(end - rest->p));
    rest->p += line->len + 1;
    rest->len -= line->len + 1;
    return true;
}

static bool split(emk_span line, emk_head_line *out)
{
    for (size_t i = 0; i + 1 < line.len; i++)
        if (line.p[i] == ':' && line.p[i + 1] == ' ') {
            out->key = emk_span_of(line.p, i);
            out->value = emk_span_of(line.p + i + 2, line.len - i - 2);
            return i > 0;
        }
    return false;
}

bool emk_head_read(emk_span file, emk_text_head *out)
{
    emk_span line;

    out->n = 0;
    while (read_line(&file, &line)) {
        if (line.len == 0) {
            out->body = file;
            return out->n > 0;
        }
        if (out->n == EMK_HEAD_LINES_MAX || line.len > EMK_HEAD_MAX ||
            !split(line, &out->line[out->n]))
            return false;
        out->n++;
    }
    return false;
}

bool emk_head_get(const emk_text_head *h, const char *key, emk_span *out)
{
    *out = emk_span_of("", 0);
    for (size_t i = 0; i < h->n; i++)
        if (emk_span_equal(h->line[i].key, emk_span_str(key))) {
            *out = h->line[i].value;
            return true;
        }
    return false;
}

bool emk_head_is(const emk_text_head *h, const char *key, const char *value)
{
    emk_span got;

    return emk_head_get(h, key, &got) && emk_span_equal(got, emk_span_str(value));
}

bool emk_text_number(emk_span text, uint64_t *out)
{
    emk_dom number = {.kind = EMK_DOM_NUMBER, .text = text};

    return emk_dom_u64(&number, out);
}

uint64_t emk_head_number(emk_vec *v, const emk_text_head *h, const char *key)
{
    emk_span text;
    uint64_t n = 0;

    if (!emk_head_get(h, key, &text) || !emk_text_number(text, &n))
        emk_vec_malformed(v, "\"%s\" is no number", key);
    return n;
}

emk_span emk_head_hex(emk_vec *v, const emk_text_head *h, const char *key)
{
    emk_span text, out = emk_span_of("", 0);

    if (!emk_head_get(h, key, &text) || !emk_vec_unhex(v, text, &out))
        emk_vec_malformed(v, "\"%s\" is no hex", key);
    return out;
}

emk_span emk_head_body(emk_vec *v, const emk_text_head *h)
{
    emk_span how, out = h->body;
    emk_buf plain;
    emk_error e = {0};
    uint8_t *copy;

    if (!emk_head_get(h, "compressed", &how))
        return out;
    if (!emk_span_equal(how, emk_span_str("zlib"))) {
        emk_vec_malformed(v, "compressed in an unknown way");
        return out;
    }
    emk_buf_init(&plain, EMK_VEC_INFLATED_MAX);
    if (emk_inflate(h->body, &plain, &e) == EMK_OK) {
        copy = emk_vec_take(v, plain.len);
        if (plain.len > 0)
            memcpy(copy, plain.p, plain.len);
        out = emk_span_of(copy, plain.len);
    } else {
        emk_vec_malformed(v, "%s", e.what);
    }
    emk_buf_done(&plain);
    return out;
}
