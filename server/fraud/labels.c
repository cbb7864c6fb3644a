/* What is known to be fraud or not: from JSON lines, and from the label.* events of a log.
 *
 * Of several labels of one entity the best source counts, then the latest; where both are the same,
 * a file goes before the log. */
#include "server/fraud/replay.h"

#include "core/base/alloc.h"
#include "core/codec/json.h"
#include "server/fraud/fixed.h"

#include <stdio.h>

#define AT_CHARS 32u

static const uint64_t KEY[2] = {UINT64_C(0x6561726d61726b20), UINT64_C(0x6c6162656c732031)};

/* One line. */
typedef struct row {
    char entity[EMK_FRAUD_ID_MAX + 16], id[EMK_FRAUD_ID_MAX + 16], label[16], source[32], by[64];
    bool strict;
    uint64_t at, ignored;
} row;

/* Empty is the same as absent. */
static bool read_text(emk_json *j, char *out, size_t cap)
{
    emk_json_token t = emk_json_next(j);

    if (t == EMK_JSON_NULL)
        return true;
    if (t != EMK_JSON_STRING)
        emk_json_fail(j, EMK_E_FORMAT, "labels: a text was expected", j->pos);
    return t == EMK_JSON_STRING && emk_json_copy_string(j, out, cap, NULL);
}

/* A whole number, also as 1767225600000.0: programs for tables write it so. */
static bool read_time(emk_json *j, emk_span text, uint64_t *out)
{
    emk_json_token t = emk_json_next(j);
    uint64_t v = 0;
    size_t i = 0;

    if (t == EMK_JSON_NULL)
        return true;
    if (t != EMK_JSON_NUMBER || j->text_len > AT_CHARS) {
        emk_json_fail(j, EMK_E_FORMAT, "labels: at is in milliseconds since 1970", j->pos);
        return false;
    }
    text = emk_span_of(text.p + j->text_off, (size_t)j->text_len);
    for (; i < text.len && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    if (i > 0 && i < text.len && text.p[i] == '.')
        for (i++; i < text.len && text.p[i] == '0'; i++)
            ;
    if (i < text.len || v > EMK_FRAUD_TS_MAX) {
        emk_json_fail(j, EMK_E_FORMAT, "labels: at is in milliseconds since 1970", j->pos);
        return false;
    }
    *out = v;
    return true;
}

static bool read_member(emk_json *j, emk_span text, row *r, size_t key)
{
    switch (key) {
    case 0:
        return read_text(j, r->id, sizeof r->id);
    case 1:
        return read_text(j, r->entity, sizeof r->entity);
    case 2:
        return read_text(j, r->label, sizeof r->label);
    case 3:
        return read_text(j, r->source, sizeof r->source);
    case 4:
        return read_time(j, text, &r->at);
    case 5:
        return read_text(j, r->by, sizeof r->by);
    default:
        if (r->strict)
            emk_json_fail(j, EMK_E_FORMAT, "labels: unknown key", j->text_off);
        else
            emk_json_skip_value(j);
        r->ignored++;
        return emk_json_ok(j);
    }
}

static emk_status read_row(emk_image *im, emk_span text, uint64_t from, uint64_t to, row *r,
                           emk_error *e)
{
    static const char *const names[] = {"id", "entity", "label", "source", "at", "by"};
    uint64_t seen = 0;
    emk_json j;
    size_t key;

    emk_json_init(&j, im, from, to);
    emk_json_expect(&j, EMK_JSON_OBJECT_BEGIN);
    while (emk_json_ok(&j) && emk_json_next(&j) == EMK_JSON_KEY) {
        if (!emk_json_which_key(&j, names, 6, &key, &seen) || !read_member(&j, text, r, key))
            break;
    }
    if (emk_json_ok(&j) && emk_json_next(&j) != EMK_JSON_END)
        emk_json_fail(&j, EMK_E_FORMAT, "labels: not one object", j.pos);
    if (emk_json_ok(&j) && r->strict && r->entity[0] && r->id[0])
        emk_json_fail(&j, EMK_E_FORMAT, "labels: entity or id, not both", 0);
    if (emk_json_ok(&j) && ((!r->entity[0] && !r->id[0]) || !r->label[0]))
        emk_json_fail(&j, EMK_E_FORMAT, "labels: entity or id, and label, are needed", 0);
    return emk_json_finish(&j, e);
}

/* Which source is believed first. */
static uint8_t rank_of(const char *source)
{
    static const char *const order[] = {"challenge_pass", "chargeback", "support",
                                        "appeal",         "analyst",    "canary"};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (strcmp(source, order[i]) == 0)
            return (uint8_t)(i + 1);
    }
    return 0;
}

uint64_t emk_fraud_case_key(const char *kind, emk_span id)
{
    return emk_fraud_siphash(KEY, id) ^ emk_fraud_siphash(KEY, emk_span_str(kind)) << 1;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Who is meant where both are said: the entity, of which there is more to measure. */
static uint64_t key_of(const row *r, bool *bare)
{
    const char *name = r->entity;

    *bare = false;
    if (!name[0])
        return emk_fraud_case_key("id", emk_span_str(r->id));
    if (begins(name, "user:"))
        return emk_fraud_case_key("user", emk_span_str(name + 5));
    if (begins(name, "device:"))
        return emk_fraud_case_key("device", emk_span_str(name + 7));
    *bare = true;
    return emk_fraud_case_key("any", emk_span_str(name));
}

static uint16_t group_of(emk_fraud_labels *l, const char *name, emk_fraud_label label)
{
    for (unsigned i = 0; i < l->n_groups; i++) {
        if (l->group[i].label == label && strcmp(l->group[i].name, name) == 0)
            return (uint16_t)i;
    }
    if (l->n_groups == EMK_FRAUD_GROUPS_MAX)
        return EMK_FRAUD_GROUPS_MAX - 1;
    snprintf(l->group[l->n_groups].name, sizeof l->group[0].name, "%s", name);
    l->group[l->n_groups].label = label;
    return (uint16_t)l->n_groups++;
}

emk_fraud_case *emk_fraud_case_find(const emk_fraud_labels *l, uint64_t key)
{
    uint64_t i = key & l->mask;

    key += key == 0;
    while (l->cases[i].key && l->cases[i].key != key)
        i = (i + 1) & l->mask;
    return &l->cases[i];
}

static emk_status add(emk_fraud_labels *l, const row *r, uint64_t line, emk_error *e)
{
    static const char *const words[] = {"ok", "fraud", "unsure"};
    bool bare;
    uint64_t key = key_of(r, &bare);
    emk_fraud_case *c = emk_fraud_case_find(l, key);
    uint8_t rank = rank_of(r->source);
    unsigned label = 0;

    while (label < 3 && strcmp(r->label, words[label]) != 0)
        label++;
    if (label == 3)
        return emk_fail(e, EMK_E_FORMAT, "labels: label is fraud, ok or unsure", line);
    l->bare |= bare;
    if (c->key && (c->rank > rank || (c->rank == rank && c->at > r->at)))
        return EMK_OK;
    l->n += c->key == 0;
    c->key = key + (key == 0);
    c->is_user = bare || (r->entity[0] && !begins(r->entity, "device:"));
    c->label = (emk_fraud_label)label;
    c->rank = rank;
    c->at = r->at;
    c->group = group_of(l, r->by[0] ? r->by : r->label, c->label);
    return EMK_OK;
}

/* ---- lines ---- */

static bool next_line(emk_span text, size_t *at, emk_span *line)
{
    const uint8_t *from, *end;

    if (*at >= text.len)
        return false;
    from = text.p + *at;
    end = memchr(from, '\n', text.len - *at);
    *line = emk_span_of(from, end ? (size_t)(end - from) : text.len - *at);
    *at += line->len + 1;
    return true;
}

static bool is_blank(emk_span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
            return false;
    return true;
}

/* Texts of events that mean it have no quotes in them. */
static bool may_be_label(emk_span line)
{
    static const char BEGIN[] = "\"label.";

    return line.len > 0 && memmem(line.p, line.len, BEGIN, sizeof BEGIN - 1) != NULL;
}

static uint64_t count_labels(const emk_fraud_label_sources *from)
{
    uint64_t n = 1;
    emk_span line;

    for (size_t at = 0; next_line(from->file, &at, &line);)
        n += !is_blank(line);
    /* One event may name a user and a device. */
    for (size_t at = 0; next_line(from->log, &at, &line);)
        n += 2 * (uint64_t)may_be_label(line);
    return n;
}

static void put_text(char *to, size_t cap, const char *kind, emk_span text)
{
    snprintf(to, cap, "%s%.*s", kind, (int)text.len, (const char *)text.p);
}

/* Who said it stands in res.reason; what an operator told the server has none. */
static void fill_row(const emk_fraud_event *ev, row *r)
{
    static const char *const words[] = {"fraud", "ok", "unsure"};

    memset(r, 0, sizeof *r);
    r->at = ev->ts;
    snprintf(r->label, sizeof r->label, "%s", words[ev->type - EMK_FRAUD_LABEL_FRAUD]);
    if (emk_fraud_has(ev, EMK_FRAUD_F_REASON) &&
        ev->f[EMK_FRAUD_F_REASON].text.len < sizeof r->source)
        put_text(r->source, sizeof r->source, "", ev->f[EMK_FRAUD_F_REASON].text);
    if (rank_of(r->source) == 0)
        snprintf(r->source, sizeof r->source, "%s",
                 ev->src == EMK_FRAUD_SRC_SERVER ? "analyst" : "support");
    snprintf(r->by, sizeof r->by, "log:%.40s", r->source);
}

static emk_status take_event(emk_fraud_labels *l, const emk_fraud_event *ev, emk_error *e)
{
    emk_status st = EMK_OK;
    row r;

    fill_row(ev, &r);
    if (emk_fraud_has(ev, EMK_FRAUD_F_USER)) {
        put_text(r.entity, sizeof r.entity, "user:", ev->f[EMK_FRAUD_F_USER].text);
        l->from_log++;
        st = add(l, &r, 0, e);
    }
    if (st == EMK_OK && emk_fraud_has(ev, EMK_FRAUD_F_DEVICE)) {
        put_text(r.entity, sizeof r.entity, "device:", ev->f[EMK_FRAUD_F_DEVICE].text);
        l->from_log++;
        st = add(l, &r, 0, e);
    }
    return st;
}

/* Lines that are no events are counted by the replay. */
static emk_status read_log(const emk_fraud_label_sources *from, emk_fraud_labels *l, emk_error *e)
{
    emk_status st = EMK_OK;
    emk_fraud_ignored passed;
    emk_fraud_event ev;
    emk_error ignored;
    emk_span line;

    for (size_t at = 0; st == EMK_OK && next_line(from->log, &at, &line);) {
        if (!may_be_label(line) ||
            emk_fraud_event_read_foreign(line, &ev, &passed, &ignored) != EMK_OK ||
            ev.type < EMK_FRAUD_LABEL_FRAUD || ev.type > EMK_FRAUD_LABEL_UNSURE ||
            (from->until_ms != 0 && ev.ts > from->until_ms))
            continue;
        st = take_event(l, &ev, e);
    }
    return st;
}

static emk_status read_file(emk_image *im, const emk_fraud_label_sources *from, emk_fraud_labels *l,
                            emk_error *e)
{
    emk_status st = EMK_OK;
    uint64_t number = 0;
    emk_span line;
    row r;

    for (size_t at = 0, begin = 0; st == EMK_OK && next_line(from->file, &at, &line); begin = at) {
        number++;
        if (is_blank(line))
            continue;
        memset(&r, 0, sizeof r);
        r.strict = from->strict;
        st = read_row(im, from->file, begin, begin + line.len, &r, e);
        l->ignored += r.ignored;
        if (st == EMK_OK && (from->until_ms == 0 || r.at <= from->until_ms)) {
            l->from_file++;
            st = add(l, &r, number, e);
        }
        if (st != EMK_OK && e)
            e->where = number;
    }
    return st;
}

emk_status emk_fraud_labels_read(const emk_fraud_label_sources *from, emk_fraud_labels *out,
                                 emk_error *e)
{
    emk_image *im = emk_alloc(1, sizeof *im);
    uint64_t most = count_labels(from), slots = 16;
    emk_status st;

    memset(out, 0, sizeof *out);
    while (slots < most * 2)
        slots *= 2;
    if (most <= EMK_FRAUD_LABELS_MAX)
        out->cases = emk_alloc(slots, sizeof *out->cases);
    out->mask = slots - 1;
    if (!im || !out->cases) {
        emk_free(im);
        emk_fraud_labels_done(out);
        return most > EMK_FRAUD_LABELS_MAX
                   ? emk_fail(e, EMK_E_LIMIT, "labels: too many", most)
                   : emk_fail(e, EMK_E_NO_MEMORY, "labels: no memory", most);
    }
    emk_image_from_span(im, from->file);
    st = read_log(from, out, e);
    if (st == EMK_OK)
        st = read_file(im, from, out, e);
    emk_free(im);
    if (st != EMK_OK)
        emk_fraud_labels_done(out);
    return st;
}

void emk_fraud_labels_done(emk_fraud_labels *l)
{
    emk_free(l->cases);
    l->cases = NULL;
    l->n = 0;
}

void emk_fraud_labels_reset(emk_fraud_labels *l)
{
    for (uint64_t i = 0; i <= l->mask; i++) {
        emk_fraud_case c = l->cases[i];

        memset(&l->cases[i], 0, sizeof c);
        l->cases[i].key = c.key;
        l->cases[i].label = c.label;
        l->cases[i].rank = c.rank;
        l->cases[i].is_user = c.is_user;
        l->cases[i].group = c.group;
        l->cases[i].at = c.at;
    }
}
