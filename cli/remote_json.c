/* JSON bodies of requests. */
#include "cli/remote.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"

#include <inttypes.h>
#include <string.h>

#define BODY_MAX (128u << 10)

static void put(emk_cli_json *j, emk_span s)
{
    if (j->status == EMK_OK)
        j->status = emk_buf_append(&j->text, s, NULL);
}

static void put_string(emk_cli_json *j, emk_span value)
{
    char escape[8];

    put(j, emk_span_str("\""));
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\' || value.p[i] < 0x20) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", value.p[i]);
            put(j, emk_span_str(escape));
        } else {
            put(j, emk_span_of(value.p + i, 1));
        }
    }
    put(j, emk_span_str("\""));
}

static void put_key(emk_cli_json *j, const char *key)
{
    if (j->text.len > 0 && j->text.p[j->text.len - 1] != '{')
        put(j, emk_span_str(","));
    put_string(j, emk_span_str(key));
    put(j, emk_span_str(":"));
}

void emk_cli_json_begin(emk_cli_json *j)
{
    j->status = EMK_OK;
    emk_buf_init(&j->text, BODY_MAX);
    put(j, emk_span_str("{"));
}

void emk_cli_json_open(emk_cli_json *j, const char *key)
{
    put_key(j, key);
    put(j, emk_span_str("{"));
}

void emk_cli_json_close(emk_cli_json *j)
{
    put(j, emk_span_str("}"));
}

void emk_cli_json_text(emk_cli_json *j, const char *key, emk_span value)
{
    put_key(j, key);
    put_string(j, value);
}

void emk_cli_json_bytes(emk_cli_json *j, const char *key, emk_span value)
{
    size_t cap = EMK_BASE64URL_CHARS(value.len) + 1, len = 0;
    uint8_t *room = NULL;

    put_key(j, key);
    put(j, emk_span_str("\""));
    if (j->status == EMK_OK)
        j->status = emk_buf_grow(&j->text, cap, &room, NULL);
    if (j->status == EMK_OK)
        j->status = emk_base64url_encode(value, (char *)room, cap, &len, NULL);
    if (j->status == EMK_OK)
        j->text.len -= cap - len;
    put(j, emk_span_str("\""));
}

void emk_cli_json_uint(emk_cli_json *j, const char *key, uint64_t value)
{
    char text[24];

    put_key(j, key);
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    put(j, emk_span_str(text));
}

emk_status emk_cli_json_end(emk_cli *cli, emk_cli_json *j, emk_span *out)
{
    put(j, emk_span_str("}"));
    if (j->status != EMK_OK)
        return emk_fail(&cli->error, j->status, "http: body", j->text.len);
    *out = emk_buf_span(&j->text);
    return EMK_OK;
}

void emk_cli_json_done(emk_cli_json *j)
{
    emk_buf_done(&j->text);
}

emk_status emk_cli_once_make(emk_cli *cli, char out[33])
{
    uint8_t id[16];
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_random_public(c, id, sizeof id, &cli->error);
    for (size_t i = 0; st == EMK_OK && i < sizeof id; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", id[i]);
    return st;
}
