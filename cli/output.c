#include "cli/output.h"

#include "cli/text.h"
#include "core/base/os_time.h"

#include <string.h>

#define KEY_WIDTH    22 /* columns for a key, people's form */
#define TEXT_MAX     1024
#define LINE_MAX_LEN 4352 /* a path, and some words */

static void add(emk_cli_out *o, const char *p, size_t len)
{
    if (o->status == EMK_OK)
        o->status = emk_buf_append(&o->text, emk_span_of(p, len), NULL);
}

static void add_str(emk_cli_out *o, const char *s)
{
    add(o, s, strlen(s));
}

/* What a terminal could obey is escaped too, so that the object may be looked at. */
static void add_escaped(emk_cli_out *o, uint32_t code)
{
    char piece[16];

    if (code >= 0x10000)
        snprintf(piece, sizeof piece, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (code >> 10)),
                 (unsigned)(0xdc00 + (code & 0x3ff)));
    else
        snprintf(piece, sizeof piece, "\\u%04x", (unsigned)code);
    add_str(o, piece);
}

/* Bytes that are no UTF-8 become U+FFFD.  [RFC 8259 7] */
static void add_json_string(emk_cli_out *o, emk_span s)
{
    size_t at = 0;

    add(o, "\"", 1);
    while (at < s.len) {
        uint32_t code = 0;
        size_t n = emk_cli_next_char(s.p + at, s.len - at, &code);

        if (n == 0)
            add_escaped(o, 0xfffd);
        else if (code == '"' || code == '\\' || emk_cli_is_hostile(code))
            add_escaped(o, code);
        else
            add(o, (const char *)s.p + at, n);
        at += n == 0 ? 1 : n;
    }
    add(o, "\"", 1);
}

static void json_next(emk_cli_out *o, const char *key)
{
    if (!o->empty[o->depth])
        add(o, ",", 1);
    o->empty[o->depth] = false;
    if (!key)
        return;
    add_json_string(o, emk_span_str(key));
    add(o, ":", 1);
}

static void start(emk_cli_out *o, bool ok)
{
    o->depth = 0;
    o->list[0] = false;
    o->empty[0] = true;
    add(o, "{", 1);
    json_next(o, "ok");
    add_str(o, ok ? "true" : "false");
}

void emk_cli_out_init(emk_cli_out *o, bool json)
{
    *o = (emk_cli_out){.json = json, .to = stdout};
    emk_buf_init(&o->text, EMK_CLI_JSON_MAX);
    if (json)
        start(o, true);
}

void emk_cli_out_done(emk_cli_out *o)
{
    emk_buf_done(&o->text);
}

void emk_cli_out_fail(emk_cli_out *o)
{
    emk_buf_done(&o->text);
    o->status = EMK_OK;
    if (o->json)
        start(o, false);
}

emk_status emk_cli_out_finish(emk_cli_out *o, emk_error *e)
{
    if (o->json) {
        emk_span s;

        while (o->depth > 0)
            emk_cli_end(o);
        add(o, "}\n", 2);
        s = emk_buf_span(&o->text);
        if (o->status != EMK_OK)
            return emk_fail(e, o->status, "output: the result is too large", s.len);
        fwrite(s.p, 1, s.len, o->to);
    }
    if (fflush(o->to) != 0 || ferror(o->to) || fflush(stdout) != 0 || ferror(stdout))
        return emk_fail_errno(e, "output: cannot write");
    return EMK_OK;
}

static void label_of(const char *key, char label[64])
{
    size_t n = 0;

    for (; key[n] != 0 && n + 1 < 64; n++)
        label[n] = key[n] == '_' ? ' ' : key[n];
    label[n] = 0;
}

/* The key's column, for people; continued by the value and a line end. */
static void people_key(const emk_cli_out *o, const char *key)
{
    int indent = (int)o->depth * 2;
    int width = KEY_WIDTH > indent ? KEY_WIDTH - indent : 0;
    char label[64];

    if (!key) {
        fprintf(o->to, "%*s- ", indent, "");
        return;
    }
    label_of(key, label);
    fprintf(o->to, "%*s%-*s ", indent, "", width, label);
}

void emk_cli_put_text(emk_cli_out *o, const char *key, emk_span value)
{
    char shown[TEXT_MAX];

    if (o->json) {
        json_next(o, key);
        add_json_string(o, value);
        return;
    }
    emk_cli_clean(value, shown, sizeof shown);
    people_key(o, key);
    fprintf(o->to, "%s\n", shown);
}

void emk_cli_put_string(emk_cli_out *o, const char *key, const char *value)
{
    emk_cli_put_text(o, key, emk_span_str(value));
}

/* A number, and for people what it means. */
static void put_number(emk_cli_out *o, const char *key, uint64_t value, const char *people)
{
    char digits[24];

    if (o->json) {
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
        json_next(o, key);
        add_str(o, digits);
        return;
    }
    people_key(o, key);
    fprintf(o->to, "%s\n", people);
}

void emk_cli_put_number(emk_cli_out *o, const char *key, uint64_t value)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    put_number(o, key, value, digits);
}

void emk_cli_put_bool(emk_cli_out *o, const char *key, bool value)
{
    if (o->json) {
        json_next(o, key);
        add_str(o, value ? "true" : "false");
        return;
    }
    people_key(o, key);
    fprintf(o->to, "%s\n", value ? "yes" : "no");
}

void emk_cli_put_hex(emk_cli_out *o, const char *key, emk_span value)
{
    char hex[TEXT_MAX];

    emk_cli_format_hex(value, hex, sizeof hex);
    emk_cli_put_string(o, key, hex);
}

void emk_cli_put_time(emk_cli_out *o, const char *key, uint64_t seconds)
{
    char date[EMK_CLI_TIME_TEXT], when[EMK_CLI_TIME_TEXT], both[2 * EMK_CLI_TIME_TEXT + 4];

    emk_cli_format_time(seconds, date);
    emk_cli_format_when(seconds, emk_os_now_s(), when);
    snprintf(both, sizeof both, "%s (%s)", date, when);
    put_number(o, key, seconds, both);
}

void emk_cli_put_size(emk_cli_out *o, const char *key, uint64_t bytes)
{
    char size[EMK_CLI_TIME_TEXT], both[EMK_CLI_TIME_TEXT + 32];

    emk_cli_format_size(bytes, size);
    if (bytes < 1024)
        snprintf(both, sizeof both, "%s", size);
    else
        snprintf(both, sizeof both, "%s (%llu bytes)", size, (unsigned long long)bytes);
    put_number(o, key, bytes, both);
}

void emk_cli_put_ratio(emk_cli_out *o, const char *key, uint64_t part, uint64_t whole)
{
    double share = whole > 0 ? (double)part / (double)whole : 0.0;
    char text[32];

    if (o->json) {
        snprintf(text, sizeof text, "%.4f", share);
        json_next(o, key);
        add_str(o, text);
        return;
    }
    people_key(o, key);
    fprintf(o->to, "%.1f %%\n", share * 100.0);
}

static void begin(emk_cli_out *o, const char *key, bool list)
{
    if (o->json) {
        json_next(o, key);
        add_str(o, list ? "[" : "{");
    } else if (key) {
        char label[64];

        label_of(key, label);
        fprintf(o->to, "%*s%s\n", (int)o->depth * 2, "", label);
    }
    if (o->depth + 1 == EMK_CLI_DEPTH_MAX) {
        o->status = EMK_E_LIMIT;
        return;
    }
    o->depth++;
    o->list[o->depth] = list;
    o->empty[o->depth] = true;
}

void emk_cli_begin(emk_cli_out *o, const char *key)
{
    begin(o, key, false);
}

void emk_cli_begin_list(emk_cli_out *o, const char *key)
{
    begin(o, key, true);
}

void emk_cli_end(emk_cli_out *o)
{
    if (o->json)
        add_str(o, o->list[o->depth] ? "]" : "}");
    if (o->depth > 0)
        o->depth--;
}

void emk_cli_print_line(FILE *f, const char *prefix, const char *format, va_list args)
{
    char line[LINE_MAX_LEN], shown[LINE_MAX_LEN];

    vsnprintf(line, sizeof line, format, args);
    emk_cli_clean(emk_span_str(line), shown, sizeof shown);
    fprintf(f, "%s%s\n", prefix, shown);
}

void emk_cli_say(emk_cli_out *o, const char *format, ...)
{
    va_list args;

    if (o->json)
        return;
    va_start(args, format);
    emk_cli_print_line(o->to, "", format, args);
    va_end(args);
}
