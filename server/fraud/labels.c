/* What is known to be fraud or not: read from JSON lines. */
#include "server/fraud/replay.h"

#include "core/base/alloc.h"
#include "core/codec/json.h"
#include "server/fraud/fixed.h"

#include <stdio.h>

static const uint64_t KEY[2] = {UINT64_C(0x6561726d61726b20), UINT64_C(0x6c6162656c732031)};

/* One line. */
typedef struct row {
    char entity[EMK_FRAUD_ID_MAX + 16], label[16], source[32], by[64];
    bool is_id;
    uint64_t at;
} row;

static bool read_text(emk_json *j, char *out, size_t cap)
{
    return emk_json_expect(j, EMK_JSON_STRING) && emk_json_copy_string(j, out, cap, NULL);
}

static bool read_member(emk_json *j, row *r, size_t key)
{
    switch (key) {
    case 0:
        r->is_id = true;
        return read_text(j, r->entity, sizeof r->entity);
    case 1:
        return read_text(j, r->entity, sizeof r->entity);
    case 2:
        return read_text(j, r->label, sizeof r->label);
    case 3:
        return read_text(j, r->source, sizeof r->source);
    case 4:
        return emk_json_expect(j, EMK_JSON_NUMBER) && emk_json_u64(j, &r->at);
    case 5:
        return read_text(j, r->by, sizeof r->by);
    default:
        emk_json_fail(j, EMK_E_FORMAT, "labels: unknown key", j->text_off);
        return false;
    }
}

static emk_status read_row(emk_image *im, uint64_t from, uint64_t to, row *r, emk_error *e)
{
    static const char *const names[] = {"id", "entity", "label", "source", "at", "by"};
    uint64_t seen = 0;
    emk_json j;
    size_t key;

    memset(r, 0, sizeof *r);
    emk_json_init(&j, im, from, to);
    emk_json_expect(&j, EMK_JSON_OBJECT_BEGIN);
    while (emk_json_ok(&j) && emk_json_next(&j) == EMK_JSON_KEY) {
        if (!emk_json_which_key(&j, names, 6, &key, &seen) || !read_member(&j, r, key))
            break;
    }
    if (emk_json_ok(&j) && emk_json_next(&j) != EMK_JSON_END)
        emk_json_fail(&j, EMK_E_FORMAT, "labels: not one object", j.pos);
    if (emk_json_ok(&j) && ((seen & 3) == 0 || (seen & 3) == 3 || !(seen & 4)))
        emk_json_fail(&j, EMK_E_FORMAT, "labels: one of id and entity, and label, are needed", 0);
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

/* "user:x" and "device:x" are kinds; anything else is a user's id as it stands. */
uint64_t emk_fraud_case_key(const char *kind, emk_span id)
{
    return emk_fraud_siphash(KEY, id) ^ emk_fraud_siphash(KEY, emk_span_str(kind)) << 1;
}

static uint64_t key_of(const row *r)
{
    if (r->is_id)
        return emk_fraud_case_key("id", emk_span_str(r->entity));
    if (strncmp(r->entity, "user:", 5) == 0)
        return emk_fraud_case_key("user", emk_span_str(r->entity + 5));
    if (strncmp(r->entity, "device:", 7) == 0)
        return emk_fraud_case_key("device", emk_span_str(r->entity + 7));
    return emk_fraud_case_key("user", emk_span_str(r->entity));
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
    uint64_t key = key_of(r);
    emk_fraud_case *c = emk_fraud_case_find(l, key);
    uint8_t rank = rank_of(r->source);
    unsigned label = 0;

    while (label < 3 && strcmp(r->label, words[label]) != 0)
        label++;
    if (label == 3)
        return emk_fail(e, EMK_E_FORMAT, "labels: label is fraud, ok or unsure", line);
    if (c->key && (c->rank > rank || (c->rank == rank && c->at > r->at)))
        return EMK_OK;
    l->n += c->key == 0;
    c->key = key + (key == 0);
    c->label = (emk_fraud_label)label;
    c->rank = rank;
    c->at = r->at;
    c->group = group_of(l, r->by[0] ? r->by : r->label, c->label);
    return EMK_OK;
}

static uint64_t count_lines(emk_span text)
{
    uint64_t n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.p[i] == '\n';
    return n;
}

static emk_status read_lines(emk_image *im, emk_span text, uint64_t until_ms, emk_fraud_labels *l,
                             emk_error *e)
{
    emk_status st = EMK_OK;
    uint64_t line = 0;
    row r;

    for (size_t from = 0, to; st == EMK_OK && from < text.len; from = to + 1) {
        const uint8_t *end = memchr(text.p + from, '\n', text.len - from);

        to = end ? (size_t)(end - text.p) : text.len;
        line++;
        if (to == from)
            continue;
        st = read_row(im, from, to, &r, e);
        if (st == EMK_OK && (until_ms == 0 || r.at <= until_ms))
            st = add(l, &r, line, e);
        if (st != EMK_OK && e)
            e->where = line;
    }
    return st;
}

emk_status emk_fraud_labels_read(emk_span text, uint64_t until_ms, emk_fraud_labels *out,
                                 emk_error *e)
{
    emk_image *im = emk_alloc(1, sizeof *im);
    uint64_t lines = count_lines(text), slots = 16;
    emk_status st;

    memset(out, 0, sizeof *out);
    while (slots < lines * 2)
        slots *= 2;
    if (lines <= EMK_FRAUD_LABELS_MAX)
        out->cases = emk_alloc(slots, sizeof *out->cases);
    out->mask = slots - 1;
    if (!im || !out->cases) {
        emk_free(im);
        emk_fraud_labels_done(out);
        return lines > EMK_FRAUD_LABELS_MAX
                   ? emk_fail(e, EMK_E_LIMIT, "labels: too many", lines)
                   : emk_fail(e, EMK_E_NO_MEMORY, "labels: no memory", lines);
    }
    emk_image_from_span(im, text);
    st = read_lines(im, text, until_ms, out, e);
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
        l->cases[i].group = c.group;
        l->cases[i].at = c.at;
    }
}
