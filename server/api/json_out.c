#include "server/api/json_out.h"

#include "core/codec/base64url.h"
#include "core/codec/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void emk_json_out_init(emk_json_out *o, emk_arena *arena, size_t cap)
{
    *o = (emk_json_out){.arena = arena, .cap = cap};
    if (cap > EMK_JSON_OUT_MAX)
        o->status = EMK_E_LIMIT;
    else if ((o->p = emk_arena_take(arena, cap)) == NULL)
        o->status = EMK_E_NO_MEMORY;
}

static void put(emk_json_out *o, const void *p, size_t len)
{
    if (o->status != EMK_OK)
        return;
    if (len > o->cap - o->len) {
        o->status = EMK_E_LIMIT;
        return;
    }
    memcpy(o->p + o->len, p, len);
    o->len += len;
}

static void put_string(emk_json_out *o, emk_span s)
{
    put(o, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        char escape[8];

        if (s.p[i] == '"' || s.p[i] == '\\') {
            escape[0] = '\\';
            escape[1] = (char)s.p[i];
            put(o, escape, 2);
        } else if (s.p[i] < 0x20 || s.p[i] == 0x7F) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)s.p[i]);
            put(o, escape, 6);
        } else {
            put(o, s.p + i, 1);
        }
    }
    put(o, "\"", 1);
}

static void begin(emk_json_out *o, const char *key)
{
    bool in_object = o->depth > 0 && o->closers[o->depth - 1] == '}';

    if (in_object != (key != NULL) || (o->depth == 0 && o->has_item[0])) {
        o->status = o->status == EMK_OK ? EMK_E_USAGE : o->status;
        return;
    }
    if (o->has_item[o->depth])
        put(o, ",", 1);
    o->has_item[o->depth] = true;
    if (key) {
        put_string(o, emk_span_str(key));
        put(o, ":", 1);
    }
}

void emk_json_out_open(emk_json_out *o, const char *key, char kind)
{
    begin(o, key);
    if (o->depth == EMK_JSON_OUT_DEPTH) {
        o->status = EMK_E_LIMIT;
        return;
    }
    put(o, &kind, 1);
    o->closers[o->depth++] = kind == '{' ? '}' : ']';
    o->has_item[o->depth] = false;
}

void emk_json_out_close(emk_json_out *o)
{
    if (o->depth == 0) {
        o->status = EMK_E_USAGE;
        return;
    }
    put(o, &o->closers[--o->depth], 1);
}

void emk_json_out_text(emk_json_out *o, const char *key, emk_span text)
{
    if (o->status == EMK_OK && !emk_utf8_check(text))
        o->status = EMK_E_FORMAT;
    begin(o, key);
    put_string(o, text);
}

static void put_word(emk_json_out *o, const char *key, const char *word)
{
    begin(o, key);
    put(o, word, strlen(word));
}

void emk_json_out_uint(emk_json_out *o, const char *key, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, v);
    put_word(o, key, text);
}

void emk_json_out_int(emk_json_out *o, const char *key, int64_t v)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, v);
    put_word(o, key, text);
}

void emk_json_out_bool(emk_json_out *o, const char *key, bool v)
{
    put_word(o, key, v ? "true" : "false");
}

void emk_json_out_null(emk_json_out *o, const char *key)
{
    put_word(o, key, "null");
}

void emk_json_out_base64url(emk_json_out *o, const char *key, emk_span bytes)
{
    size_t room, len = 0;
    emk_error ignored;

    begin(o, key);
    put(o, "\"", 1);
    if (o->status != EMK_OK)
        return;
    room = o->cap - o->len;
    /* The encoder writes a zero behind; the closing quote takes its place. */
    if (emk_base64url_encode(bytes, (char *)o->p + o->len, room, &len, &ignored) != EMK_OK) {
        o->status = EMK_E_LIMIT;
        return;
    }
    o->len += len;
    put(o, "\"", 1);
}

void emk_json_out_time(emk_json_out *o, const char *key, uint64_t s)
{
    char text[40];
    struct tm tm;
    time_t t = (time_t)s;

    if (s > (uint64_t)INT64_MAX || !gmtime_r(&t, &tm) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        emk_json_out_null(o, key);
        return;
    }
    emk_json_out_text(o, key, emk_span_str(text));
}

emk_status emk_json_out_finish(emk_json_out *o, emk_span *out, emk_error *e)
{
    if (o->status == EMK_OK && o->depth > 0)
        o->status = EMK_E_USAGE;
    if (o->status != EMK_OK)
        return emk_fail(e, o->status, "json: the answer cannot be written", o->len);
    *out = emk_span_of(o->p, o->len);
    return EMK_OK;
}

emk_status emk_json_out_reply(emk_json_out *o, emk_call *call, unsigned status, emk_error *e)
{
    emk_span body;
    emk_status st = emk_json_out_finish(o, &body, e);

    if (st == EMK_OK)
        emk_reply_bytes(call, status, "application/json", body);
    return st;
}
