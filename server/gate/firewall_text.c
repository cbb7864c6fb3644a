/* Lists as text: import and export. */
#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "server/gate/firewall.h"

#include <stdio.h>

#define CLASS_PREFIX "limit:"

static const char *const actions[] = {
    [EMK_FIREWALL_ALLOW] = "allow",
    [EMK_FIREWALL_CHALLENGE] = "challenge",
    [EMK_FIREWALL_DENY] = "deny",
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; empty at its end. */
static emk_span word(emk_span line, size_t *pos)
{
    size_t begin;

    while (*pos < line.len && is_blank(line.p[*pos]))
        (*pos)++;
    begin = *pos;
    while (*pos < line.len && !is_blank(line.p[*pos]))
        (*pos)++;
    return emk_span_of(line.p + begin, *pos - begin);
}

static bool strip(emk_span *s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (s->len < n || memcmp(s->p, prefix, n) != 0)
        return false;
    s->p += n;
    s->len -= n;
    return true;
}

static bool number(emk_span s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len > 19)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return v <= max;
}

static bool action_read(emk_span w, emk_firewall_entry *out)
{
    uint64_t klass;

    if (strip(&w, CLASS_PREFIX)) {
        out->action = EMK_FIREWALL_LIMIT;
        if (!number(w, EMK_FIREWALL_CLASS_MAX, &klass) || klass == 0)
            return false;
        out->limit_class = (uint8_t)klass;
        return true;
    }
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (!actions[i] || !emk_span_equal(w, emk_span_str(actions[i])))
            continue;
        out->action = (emk_firewall_action)i;
        return true;
    }
    return false;
}

/* Text goes back out into lists and logs: no control characters. */
static bool text_read(emk_span s, char out[EMK_FIREWALL_TEXT_MAX + 1])
{
    if (s.len == 0 || s.len > EMK_FIREWALL_TEXT_MAX || out[0] != 0)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    memcpy(out, s.p, s.len);
    out[s.len] = 0;
    return true;
}

static emk_span rest_of(emk_span line, emk_span from)
{
    size_t end = line.len;
    size_t begin = (size_t)(from.p - line.p);

    while (end > begin && is_blank(line.p[end - 1]))
        end--;
    return emk_span_of(from.p, end - begin);
}

static bool attributes_read(emk_span line, size_t pos, emk_firewall_entry *out)
{
    for (emk_span w = word(line, &pos); w.len > 0; w = word(line, &pos)) {
        if (strip(&w, "reason="))
            return text_read(rest_of(line, w), out->reason);
        if (strip(&w, "expires=")) {
            if (out->expires != 0 || !number(w, INT64_MAX, &out->expires) || out->expires == 0)
                return false;
        } else if (strip(&w, "origin=")) {
            if (!text_read(w, out->origin))
                return false;
        } else if (!strip(&w, "by=") || !text_read(w, out->by)) {
            return false;
        }
    }
    return true;
}

static bool line_read(emk_span line, emk_firewall_entry *out)
{
    size_t pos = 0;
    emk_span net = word(line, &pos);

    memset(out, 0, sizeof *out);
    return emk_net_parse(net, &out->net, NULL) == EMK_OK && action_read(word(line, &pos), out) &&
           attributes_read(line, pos, out);
}

static emk_span next_line(emk_span text, size_t *pos)
{
    const uint8_t *begin = text.p + *pos;
    const uint8_t *end = memchr(begin, '\n', text.len - *pos);
    size_t len = end ? (size_t)(end - begin) : text.len - *pos;

    *pos += len + (end ? 1 : 0);
    return emk_span_of(begin, len);
}

static bool is_entry(emk_span line)
{
    size_t pos = 0;
    emk_span first = word(line, &pos);

    return first.len > 0 && first.p[0] != '#';
}

static size_t count_entries(emk_span text)
{
    size_t n = 0;

    for (size_t pos = 0; pos < text.len;)
        n += is_entry(next_line(text, &pos));
    return n;
}

static emk_status lines_read(emk_span text, emk_firewall_entry *entries, emk_error *e)
{
    uint64_t line_no = 0;
    size_t n = 0;

    for (size_t pos = 0; pos < text.len;) {
        emk_span line = next_line(text, &pos);

        line_no++;
        if (line.len > EMK_FIREWALL_LINE_MAX)
            return emk_fail(e, EMK_E_LIMIT, "firewall list: line too long", line_no);
        if (!is_entry(line))
            continue;
        if (!line_read(line, &entries[n]))
            return emk_fail(e, EMK_E_FORMAT, "firewall list: line not understood", line_no);
        n++;
    }
    return EMK_OK;
}

emk_status emk_firewall_import(emk_span text, emk_firewall_set **out, emk_error *e)
{
    size_t n = count_entries(text);
    emk_firewall_entry *entries;
    emk_status st;

    if (n > EMK_FIREWALL_ENTRIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "firewall list: entries", n);
    entries = emk_alloc(n > 0 ? n : 1, sizeof *entries);
    if (!entries)
        return emk_fail(e, EMK_E_NO_MEMORY, "firewall list: memory", n);
    st = lines_read(text, entries, e);
    if (st == EMK_OK)
        st = emk_firewall_set_new(entries, n, out, e);
    emk_free(entries);
    return st;
}

static size_t attribute_write(char *out, size_t cap, const char *name, const char *value)
{
    int n = value[0] ? snprintf(out, cap, " %s=%s", name, value) : 0;

    return n > 0 ? (size_t)n : 0;
}

static emk_status entry_write(const emk_firewall_entry *entry, emk_buf *out, emk_error *e)
{
    char line[EMK_FIREWALL_LINE_MAX];
    char net[EMK_NET_TEXT_MAX], number_text[24] = "";
    size_t n;

    emk_net_format(&entry->net, net);
    if (entry->action == EMK_FIREWALL_LIMIT)
        n = (size_t)snprintf(line, sizeof line, "%s " CLASS_PREFIX "%u", net, entry->limit_class);
    else
        n = (size_t)snprintf(line, sizeof line, "%s %s", net, actions[entry->action]);
    if (entry->expires != 0)
        (void)snprintf(number_text, sizeof number_text, "%llu", (unsigned long long)entry->expires);
    n += attribute_write(line + n, sizeof line - n, "expires", number_text);
    n += attribute_write(line + n, sizeof line - n, "origin", entry->origin);
    n += attribute_write(line + n, sizeof line - n, "by", entry->by);
    n += attribute_write(line + n, sizeof line - n, "reason", entry->reason);
    line[n++] = '\n';
    return emk_buf_append(out, emk_span_of(line, n), e);
}

emk_status emk_firewall_export(const emk_firewall_set *s, emk_buf *out, emk_error *e)
{
    for (size_t i = 0; i < emk_firewall_set_count(s); i++) {
        emk_status st = entry_write(emk_firewall_set_get(s, i), out, e);

        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}
