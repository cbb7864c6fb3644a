/* Looking things up in a tree, and what scalars mean. */
#include "server/yaml/yaml.h"

#include <stdio.h>

#define MILLI_MAX    INT64_C(1000000000000000) /* 10^12 in thousandths */
#define DURATION_MAX (UINT64_C(100) * 366 * 86400 * 1000)
#define NEAR_LEN     40u /* longer words are near to nothing */

const emk_yaml_node *emk_yaml_get(const emk_yaml_node *m, const char *key)
{
    if (!m || m->kind != EMK_YAML_MAPPING)
        return NULL;
    for (const emk_yaml_node *v = m->first; v; v = v->next) {
        if (strcmp(v->key->text, key) == 0)
            return v;
    }
    return NULL;
}

bool emk_yaml_is(const emk_yaml_node *n, const char *text)
{
    return n && n->kind == EMK_YAML_SCALAR && strcmp(n->text, text) == 0;
}

bool emk_yaml_is_null(const emk_yaml_node *n)
{
    return !n || (n->kind == EMK_YAML_SCALAR && !n->quoted &&
                  (n->text_len == 0 || emk_yaml_is(n, "~") || emk_yaml_is(n, "null")));
}

/* Edits (insert, delete, change a byte) from a to b. */
static size_t distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    size_t row[NEAR_LEN + 1];

    if (la > NEAR_LEN || lb > NEAR_LEN)
        return NEAR_LEN;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < other ? change : other;
        }
    }
    return row[lb];
}

const char *emk_yaml_nearest(const char *text, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 3 + 2;

    for (size_t i = 0; names[i]; i++) {
        size_t d = distance(text, names[i]);

        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

static bool among(const char *text, const char *const *names, size_t *place)
{
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *place = i;
            return true;
        }
    }
    return false;
}

emk_status emk_yaml_check_keys(const emk_yaml_node *m, const char *const *names, emk_yaml_diag *d,
                               emk_error *e)
{
    emk_status st = emk_yaml_check_kind(m, EMK_YAML_MAPPING, d, e);
    size_t place;

    if (st != EMK_OK)
        return st;
    for (const emk_yaml_node *v = m->first; v; v = v->next) {
        const char *near;

        if (among(v->key->text, names, &place))
            continue;
        near = emk_yaml_nearest(v->key->text, names);
        return near ? emk_yaml_refuse(v->key, d, e, "yaml: unknown key",
                                      "unknown key \"%.64s\"; did you mean \"%s\"?", v->key->text,
                                      near)
                    : emk_yaml_refuse(v->key, d, e, "yaml: unknown key", "unknown key \"%.64s\"",
                                      v->key->text);
    }
    return EMK_OK;
}

emk_status emk_yaml_check_kind(const emk_yaml_node *n, emk_yaml_kind kind, emk_yaml_diag *d,
                               emk_error *e)
{
    static const char *const names[] = {"a single value", "a list (\"- \" or [...])",
                                        "a mapping of keys and values"};

    if (n && n->kind == kind)
        return EMK_OK;
    return emk_yaml_refuse(n, d, e, "yaml: wrong kind of value", "here must be %s", names[kind]);
}

emk_status emk_yaml_need(const emk_yaml_node *m, const char *key, const emk_yaml_node **out,
                         emk_yaml_diag *d, emk_error *e)
{
    const emk_yaml_node *n;
    emk_status st = emk_yaml_check_kind(m, EMK_YAML_MAPPING, d, e);

    if (st != EMK_OK)
        return st;
    n = emk_yaml_get(m, key);
    if (!n)
        return emk_yaml_refuse(m, d, e, "yaml: a key is missing", "\"%s\" is missing here", key);
    *out = n;
    return EMK_OK;
}

emk_status emk_yaml_text(const emk_yaml_node *n, char *out, size_t cap, emk_yaml_diag *d,
                         emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);

    if (st != EMK_OK)
        return st;
    if (n->text_len == 0 || n->text_len >= cap)
        return emk_yaml_refuse(n, d, e, "yaml: text of wrong length",
                               "here must be a text of 1 to %zu bytes", cap - 1);
    memcpy(out, n->text, n->text_len + 1);
    return EMK_OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes digits from *p; false when there is none or the number passes max. */
static bool take_digits(const char **p, uint64_t max, uint64_t *out)
{
    const char *s = *p;
    uint64_t v = 0;

    if (!is_digit(*s))
        return false;
    for (; is_digit(*s) || (*s == '_' && is_digit(s[1])); s++) {
        uint64_t digit = (uint64_t)(*s - '0');

        if (*s == '_')
            continue;
        if (v > (max - (digit < max ? digit : max)) / 10 || v * 10 + digit > max)
            return false;
        v = v * 10 + digit;
    }
    *p = s;
    *out = v;
    return true;
}

emk_status emk_yaml_u64(const emk_yaml_node *n, uint64_t max, uint64_t *out, emk_yaml_diag *d,
                        emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);
    const char *p;

    if (st != EMK_OK)
        return st;
    p = n->text;
    if (!take_digits(&p, max, out) || *p != 0)
        return emk_yaml_refuse(n, d, e, "yaml: not a whole number in range",
                               "here must be a whole number from 0 to %llu, not \"%.64s\"",
                               (unsigned long long)max, n->text);
    return EMK_OK;
}

static bool parse_milli(const char *p, int64_t *out)
{
    bool minus = *p == '-';
    uint64_t whole;
    int64_t v;

    p += minus;
    if (!take_digits(&p, (uint64_t)MILLI_MAX / 1000, &whole))
        return false;
    v = (int64_t)whole * 1000;
    if (*p == '.') {
        int64_t unit = 100;

        if (!is_digit(*++p))
            return false;
        for (; is_digit(*p) && unit > 0; p++, unit /= 10)
            v += (*p - '0') * unit;
    }
    *out = minus ? -v : v;
    return *p == 0;
}

emk_status emk_yaml_milli(const emk_yaml_node *n, int64_t *out, emk_yaml_diag *d, emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);

    if (st != EMK_OK)
        return st;
    if (!parse_milli(n->text, out))
        return emk_yaml_refuse(n, d, e, "yaml: not a number",
                               "here must be a number with at most three decimals, not \"%.64s\"",
                               n->text);
    return EMK_OK;
}

emk_status emk_yaml_bool(const emk_yaml_node *n, bool *out, emk_yaml_diag *d, emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);

    if (st != EMK_OK)
        return st;
    if (!emk_yaml_is(n, "true") && !emk_yaml_is(n, "false"))
        return emk_yaml_refuse(n, d, e, "yaml: not true or false",
                               "here must be true or false, not \"%.64s\"", n->text);
    *out = emk_yaml_is(n, "true");
    return EMK_OK;
}

/* A unit at *p, which passes over it; 0 when there is none. */
static uint64_t take_unit(const char **p)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } UNITS[] = {{"ms", 1},
                 {"s", 1000},
                 {"m", 60000},
                 {"h", 3600000},
                 {"d", 86400000},
                 {"w", UINT64_C(604800000)},
                 {"y", UINT64_C(31622400000)}};

    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        size_t len = strlen(UNITS[i].name);

        if (strncmp(*p, UNITS[i].name, len) == 0 && ((*p)[len] == 0 || is_digit((*p)[len]))) {
            *p += len;
            return UNITS[i].ms;
        }
    }
    return 0;
}

static bool parse_duration(const char *p, uint64_t *out)
{
    uint64_t sum = 0, last = UINT64_MAX;

    if (strcmp(p, "0") == 0) {
        *out = 0;
        return true;
    }
    if (*p == 0)
        return false;
    while (*p) {
        uint64_t count, unit;

        if (!take_digits(&p, DURATION_MAX, &count))
            return false;
        unit = take_unit(&p);
        if (unit == 0 || unit >= last || count > (DURATION_MAX - sum) / unit)
            return false;
        sum += count * unit;
        last = unit;
    }
    *out = sum;
    return true;
}

emk_status emk_yaml_duration_ms(const emk_yaml_node *n, uint64_t *out, emk_yaml_diag *d,
                                emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);

    if (st != EMK_OK)
        return st;
    if (!parse_duration(n->text, out))
        return emk_yaml_refuse(n, d, e, "yaml: not a duration",
                               "here must be a duration such as 90s, 15m, 24h or 7d, not \"%.64s\"",
                               n->text);
    return EMK_OK;
}

static uint64_t size_unit(const char *p)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } UNITS[] = {{"", 1},
                 {"B", 1},
                 {"KiB", UINT64_C(1) << 10},
                 {"MiB", UINT64_C(1) << 20},
                 {"GiB", UINT64_C(1) << 30},
                 {"TiB", UINT64_C(1) << 40},
                 {"kB", 1000},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"TB", UINT64_C(1000000000000)}};

    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        if (strcmp(p, UNITS[i].name) == 0)
            return UNITS[i].bytes;
    }
    return 0;
}

emk_status emk_yaml_bytes(const emk_yaml_node *n, uint64_t max, uint64_t *out, emk_yaml_diag *d,
                          emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);
    uint64_t v = 0, unit = 0;
    const char *p;

    if (st != EMK_OK)
        return st;
    p = n->text;
    if (take_digits(&p, UINT64_MAX, &v))
        unit = size_unit(p);
    if (unit == 0 || v > max / unit)
        return emk_yaml_refuse(n, d, e, "yaml: not a size in range",
                               "here must be a size such as 64KiB or 32MiB, at most %llu bytes, "
                               "not \"%.64s\"",
                               (unsigned long long)max, n->text);
    *out = v * unit;
    return EMK_OK;
}

emk_status emk_yaml_choice(const emk_yaml_node *n, const char *const *names, size_t *out,
                           emk_yaml_diag *d, emk_error *e)
{
    emk_status st = emk_yaml_check_kind(n, EMK_YAML_SCALAR, d, e);
    const char *near;

    if (st != EMK_OK)
        return st;
    if (among(n->text, names, out))
        return EMK_OK;
    near = emk_yaml_nearest(n->text, names);
    return emk_yaml_refuse(n, d, e, "yaml: not one of the words allowed",
                           near ? "\"%.64s\" is not known here; did you mean \"%s\"?"
                                : "\"%.64s\" is not known here; one word is \"%s\"",
                           n->text, near ? near : names[0]);
}
