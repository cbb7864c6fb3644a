/* Expressions of rules: text -> types and trust -> code, in one pass.
 *
 *     or  := and { "or" and }        sum  := prod { ("+" | "-") prod }
 *     and := not { "and" not }       prod := unary { ("*" | "/") unary }
 *     not := "not" not | cmp         unary := "-" unary | primary
 *     cmp := sum [ op sum ]          primary := number | 'text' | true | false | name
 *                                               | seen(field, time) | ( or )
 *
 * Each part knows what claims can do to it, compared with a client that says nothing: push a
 * number up or down, make a condition true or false.  A rule that adds to a score must not be
 * made false by a claim, one that lowers it must not be made true.
 *
 * State: a cursor in the text, the depth of brackets, and how many values the code has on its
 * stack. */
#include "server/fraud/internal.h"

#include <stdio.h>

#define DEPTH_MAX_ 16u
#define WORD_MAX   80u

enum type { NUMBER, TEXT, BOOL };

/* Claims may have been heard (DIRECT), or can change a remembered value. */
enum { DIRECT = 4, TO_TRUE = 8, TO_FALSE = 16 };

typedef struct part {
    enum type type;
    unsigned claims;
    bool constant;
} part;

typedef struct parser {
    const scope *sc;
    const char *begin, *p;
    code *out;
    unsigned depth, stack, deepest;
    uint64_t on; /* types the rule looks at */
    bool failed;
    emk_status status;
} parser;

static part nothing(void)
{
    return (part){BOOL, 0, false};
}

static bool refuse(parser *ps, const char *what, const char *fix)
{
    if (!ps->failed)
        ps->status = emk_yaml_refuse(ps->sc->node, ps->sc->d, ps->sc->e, "rule: expression",
                                     "in \"%.200s\", character %d: %s; %s", ps->begin,
                                     (int)(ps->p - ps->begin) + 1, what, fix);
    ps->failed = true;
    return false;
}

static void emit(parser *ps, op_code c, unsigned a, unsigned sub, int64_t k)
{
    if (ps->failed)
        return;
    if (ps->out->n == EMK_FRAUD_OPS_MAX) {
        refuse(ps, "the expression is too long", "split it into two rules (64 operations at most)");
        return;
    }
    ps->out->ops[ps->out->n++] = (op){(uint8_t)c, (uint8_t)sub, (uint16_t)a, 0, k};
}

static void push(parser *ps)
{
    ps->stack++;
    if (ps->stack > STACK_MAX)
        refuse(ps, "too many values at once", "use fewer brackets");
}

static void skip_space(parser *ps)
{
    while (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n')
        ps->p++;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool take(parser *ps, const char *sign)
{
    size_t len = strlen(sign);

    skip_space(ps);
    if (strncmp(ps->p, sign, len) != 0 || (is_word(sign[0]) && is_word(ps->p[len])))
        return false;
    ps->p += len;
    return true;
}

static bool take_name(parser *ps, char out[WORD_MAX])
{
    size_t n = 0;

    skip_space(ps);
    while ((is_word(*ps->p) || *ps->p == '.') && n < WORD_MAX - 1)
        out[n++] = *ps->p++;
    out[n] = 0;
    return n > 0;
}

static part take_number(parser *ps)
{
    int64_t v = 0, unit = 100;
    unsigned digits = 0;

    for (; *ps->p >= '0' && *ps->p <= '9' && digits < 13; ps->p++, digits++)
        v = v * 10 + (*ps->p - '0');
    v *= 1000;
    if (*ps->p == '.') {
        for (ps->p++; *ps->p >= '0' && *ps->p <= '9' && unit > 0; ps->p++, unit /= 10)
            v += (*ps->p - '0') * unit;
    }
    if (is_word(*ps->p) || *ps->p == '.')
        refuse(ps, "not a number", "write at most 12 digits and three decimals");
    emit(ps, OP_CONST, 0, 0, v);
    push(ps);
    return (part){NUMBER, 0, true};
}

static part take_text(parser *ps)
{
    char quote = *ps->p++;
    const char *from = ps->p;
    emk_span s;

    while (*ps->p && *ps->p != quote)
        ps->p++;
    s = emk_span_of(from, (size_t)(ps->p - from));
    if (*ps->p == 0) {
        refuse(ps, "the quote is not closed", "close it");
        return nothing();
    }
    ps->p++;
    emit(ps, OP_CONST, 0, 0, (int64_t)emk_fraud_siphash(ps->sc->rs->key, s));
    push(ps);
    return (part){TEXT, 0, true};
}

/* The worst class that the field has among the types the rule looks at. */
static bool is_claimed(const parser *ps, emk_fraud_field f)
{
    for (unsigned t = 0; t < EMK_FRAUD_TYPES; t++) {
        if ((ps->on >> t & 1) && emk_fraud_trust_of(f, (emk_fraud_type)t) == EMK_FRAUD_CLAIMED)
            return true;
    }
    return EMK_FRAUD_FIELD[f].trust == EMK_FRAUD_CLAIMED;
}

static part use_field(parser *ps, emk_fraud_field f)
{
    bool text = EMK_FRAUD_FIELD[f].kind == EMK_FRAUD_TEXT && f != EMK_FRAUD_F_APP_VER;
    part r = {text ? TEXT : NUMBER, is_claimed(ps, f) ? DIRECT : 0u, false};

    if (EMK_FRAUD_FIELD[f].kind == EMK_FRAUD_FLAG)
        r.type = BOOL;
    emit(ps, text ? OP_TEXT : OP_NUMBER, f, 0, 0);
    push(ps);
    return r;
}

int emk_fraud_feature_part(feature_kind kind, const char *name)
{
    if (kind == FK_GAP_CV && strcmp(name, "cv") == 0)
        return 0;
    if (kind == FK_GAP_CV && strcmp(name, "n") == 0)
        return 1;
    if (kind == FK_GAP_CV && strcmp(name, "mean_ms") == 0)
        return 2;
    if (kind == FK_RATIO && strcmp(name, "n") == 0)
        return 1;
    if (kind == FK_DISTINCT && strcmp(name, "saturated") == 0)
        return 1;
    if (kind == FK_DISTINCT && strcmp(name, "recent") == 0)
        return 2;
    if (kind == FK_HOURS && strcmp(name, "rest") == 0)
        return 0;
    if (kind == FK_HOURS && strcmp(name, "n") == 0)
        return 1;
    if (kind == FK_HOURS && strcmp(name, "days") == 0)
        return 2;
    return -1;
}

uint16_t emk_fraud_feature_find(const emk_fraud_ruleset *rs, const char *name)
{
    for (unsigned i = 0; i < rs->n_features; i++) {
        if (strcmp(rs->features[i].name, name) == 0)
            return (uint16_t)i;
    }
    return NO_INDEX;
}

static part use_feature(parser *ps, uint16_t i, const char *sub)
{
    const feature *f = &ps->sc->rs->features[i];
    int place = sub ? emk_fraud_feature_part(f->kind, sub) : 0;

    if (place < 0) {
        refuse(
            ps, "this feature has no such part",
            "gap_cv has .cv .n .mean_ms, ratio has .n, distinct has .saturated .recent, hours has "
            ".rest .n .days");
        return nothing();
    }
    emit(ps, OP_FEATURE, i, (unsigned)place, 0);
    push(ps);
    return (part){NUMBER, f->claims, false};
}

static part unknown_name(parser *ps, const char *name)
{
    const char *names[EMK_FRAUD_FEATURES_MAX + EMK_FRAUD_FIELDS + 1];
    const char *near;
    char fix[160];
    size_t n = 0;

    for (unsigned i = 0; i < ps->sc->rs->n_features; i++)
        names[n++] = ps->sc->rs->features[i].name;
    for (unsigned i = 0; i < EMK_FRAUD_FIELDS; i++)
        names[n++] = EMK_FRAUD_FIELD[i].name;
    names[n] = NULL;
    near = emk_yaml_nearest(name, names);
    snprintf(fix, sizeof fix, near ? "did you mean \"%s\"?" : "declare it under features%s",
             near ? near : "");
    refuse(ps, "unknown name", fix);
    return nothing();
}

/* seen(field, time): a feature of its own, shared by all rules that ask the same. */
static part take_seen(parser *ps)
{
    char field[WORD_MAX], time[WORD_MAX];
    char name[NAME_MAX_];
    uint16_t i;

    if (!take(ps, "(") || !take_name(ps, field) || !take(ps, ",") || !take_name(ps, time) ||
        !take(ps, ")")) {
        refuse(ps, "seen needs a field and a time", "write seen(subj.net, 30d)");
        return nothing();
    }
    snprintf(name, sizeof name, "seen(%.20s,%.12s)@%.12s", field, time,
             EMK_FRAUD_ENTITY_NAME[ps->sc->r ? ps->sc->r->entity : 0]);
    i = emk_fraud_feature_find(ps->sc->rs, name);
    if (i == NO_INDEX)
        return unknown_name(ps, name);
    use_feature(ps, i, NULL);
    emit(ps, OP_CONST, 0, 0, 0);
    emit(ps, OP_NE, 0, 0, 0);
    return (part){BOOL, ps->sc->rs->features[i].claims ? TO_TRUE : 0u, false};
}

static part take_any(parser *ps);

static part primary(parser *ps)
{
    char name[WORD_MAX], *dot;
    emk_fraud_field field;
    uint16_t i;

    skip_space(ps);
    if (*ps->p >= '0' && *ps->p <= '9')
        return take_number(ps);
    if (*ps->p == '\'' || *ps->p == '"')
        return take_text(ps);
    if (take(ps, "(")) {
        part r = take_any(ps);

        if (!take(ps, ")"))
            refuse(ps, "a bracket is not closed", "close it");
        return r;
    }
    if (take(ps, "true") || take(ps, "false")) {
        emit(ps, OP_CONST, 0, 0, ps->p[-1] == 'e' && ps->p[-2] == 'u' ? 1000 : 0);
        push(ps);
        return (part){BOOL, 0, true};
    }
    if (!take_name(ps, name)) {
        refuse(ps, "a value was expected", "write a number, a field or a feature");
        return nothing();
    }
    if (strcmp(name, "seen") == 0)
        return take_seen(ps);
    if (emk_fraud_field_find(emk_span_str(name), &field))
        return use_field(ps, field);
    i = emk_fraud_feature_find(ps->sc->rs, name);
    if (i != NO_INDEX)
        return use_feature(ps, i, NULL);
    dot = strrchr(name, '.');
    if (dot) {
        *dot = 0;
        i = emk_fraud_feature_find(ps->sc->rs, name);
        if (i != NO_INDEX)
            return use_feature(ps, i, dot + 1);
        *dot = '.';
    }
    return unknown_name(ps, name);
}

static bool want(parser *ps, part a, enum type t)
{
    static const char *const fix[] = {"a number belongs here", "a text belongs here",
                                      "a condition (true or false) belongs here"};

    return ps->failed || a.type == t || refuse(ps, "wrong kind of value", fix[t]);
}

/* The claims of -a. */
static unsigned turned(unsigned claims)
{
    return (claims & DIRECT) | (claims & CLAIMS_UP ? CLAIMS_DOWN : 0u) |
           (claims & CLAIMS_DOWN ? CLAIMS_UP : 0u);
}

static part unary(parser *ps)
{
    unsigned minus = 0;
    part r;

    while (take(ps, "-")) {
        if (++minus > 1)
            refuse(ps, "two signs", "write one");
    }
    r = primary(ps);
    if (minus && want(ps, r, NUMBER)) {
        emit(ps, OP_NEG, 0, 0, 0);
        r.claims = turned(r.claims);
        r.constant = false; /* constants are not negative: combine relies on it */
    }
    return r;
}

/* A factor that claims can move moves the product either way, unless the other is a constant. */
static part combine(parser *ps, part a, part b, op_code c)
{
    part r = {NUMBER, a.claims | b.claims, a.constant && b.constant && c != OP_SUB};

    if (!want(ps, a, NUMBER) || !want(ps, b, NUMBER))
        return r;
    emit(ps, c, 0, 0, 0);
    ps->stack--;
    if (c == OP_SUB)
        r.claims = a.claims | turned(b.claims);
    else if (((c == OP_MUL && !a.constant && !b.constant) || (c == OP_DIV && !b.constant)) &&
             (r.claims & (CLAIMS_UP | CLAIMS_DOWN)))
        r.claims |= CLAIMS_UP | CLAIMS_DOWN;
    return r;
}

static part product(parser *ps)
{
    part r = unary(ps);

    for (;;) {
        if (take(ps, "*"))
            r = combine(ps, r, unary(ps), OP_MUL);
        else if (take(ps, "/"))
            r = combine(ps, r, unary(ps), OP_DIV);
        else
            return r;
    }
}

static part sum(parser *ps)
{
    part r = product(ps);

    for (;;) {
        if (take(ps, "+"))
            r = combine(ps, r, product(ps), OP_ADD);
        else if (take(ps, "-"))
            r = combine(ps, r, product(ps), OP_SUB);
        else
            return r;
    }
}

static bool take_comparison(parser *ps, op_code *c)
{
    static const struct {
        const char *sign;
        op_code c;
    } SIGNS[] = {{"<=", OP_LE}, {">=", OP_GE}, {"==", OP_EQ},
                 {"!=", OP_NE}, {"<", OP_LT},  {">", OP_GT}};

    for (unsigned i = 0; i < sizeof SIGNS / sizeof SIGNS[0]; i++) {
        if (take(ps, SIGNS[i].sign)) {
            *c = SIGNS[i].c;
            return true;
        }
    }
    return false;
}

/* What claims can make of a comparison. */
static unsigned outcome(part a, part b, op_code c)
{
    unsigned up = a.claims | turned(b.claims); /* of a - b */
    unsigned r = (a.claims | b.claims) & DIRECT;

    if (c == OP_LT || c == OP_LE)
        up = turned(up);
    if (c == OP_EQ || c == OP_NE)
        return up & (CLAIMS_UP | CLAIMS_DOWN) ? r | TO_TRUE | TO_FALSE : r;
    return r | (up & CLAIMS_UP ? TO_TRUE : 0u) | (up & CLAIMS_DOWN ? TO_FALSE : 0u);
}

static part comparison(parser *ps)
{
    part a = sum(ps), b;
    op_code c;

    if (!take_comparison(ps, &c))
        return a;
    b = sum(ps);
    if (ps->failed)
        return nothing();
    if (a.type != b.type || (a.type != NUMBER && c != OP_EQ && c != OP_NE)) {
        refuse(ps, "these two cannot be compared", "compare numbers, or texts with == and !=");
        return nothing();
    }
    if ((a.claims | b.claims) & DIRECT && c == OP_NE)
        refuse(ps, "a claimed field with !=", "say what the claim must be, with ==, <, >");
    emit(ps, c, 0, 0, 0);
    ps->stack--;
    return (part){BOOL, outcome(a, b, c), a.constant && b.constant};
}

static part take_not(parser *ps)
{
    part r;

    if (!take(ps, "not"))
        return comparison(ps);
    if (++ps->depth > DEPTH_MAX_) {
        refuse(ps, "too deep", "use fewer brackets and nots");
        return nothing();
    }
    r = take_not(ps);
    ps->depth--;
    if (!want(ps, r, BOOL))
        return r;
    if (r.claims & DIRECT)
        refuse(ps, "a claimed field under \"not\": a client could claim its way out",
               "say what the claim must be instead");
    emit(ps, OP_NOT, 0, 0, 0);
    r.claims = (r.claims & DIRECT) | (r.claims & TO_TRUE ? TO_FALSE : 0u) |
               (r.claims & TO_FALSE ? TO_TRUE : 0u);
    return r;
}

/* left: operations so far when the right side began. */
static part both(parser *ps, part a, part b, op_code c, unsigned left)
{
    if (want(ps, a, BOOL) && want(ps, b, BOOL)) {
        emit(ps, c, 0, 0, 0);
        ps->stack--;
    }
    if (!ps->failed && left > 0)
        ps->out->ops[left - 1].skip_to = (uint8_t)(ps->out->n - 1);
    return (part){BOOL, a.claims | b.claims, a.constant && b.constant};
}

static part take_and(parser *ps)
{
    part r = take_not(ps);

    while (take(ps, "and")) {
        unsigned left = ps->out->n;

        r = both(ps, r, take_not(ps), OP_AND, left);
    }
    return r;
}

/* Everything; brackets come back here. */
static part take_any(parser *ps)
{
    part r;

    if (++ps->depth > DEPTH_MAX_) {
        refuse(ps, "too deep", "use fewer brackets");
        return nothing();
    }
    r = take_and(ps);
    while (take(ps, "or")) {
        unsigned left = ps->out->n;

        r = both(ps, r, take_and(ps), OP_OR, left);
    }
    ps->depth--;
    return r;
}

emk_status emk_fraud_compile(const scope *sc, const char *text, bool may_not_claim, code *out)
{
    parser ps = {.sc = sc, .begin = text, .p = text, .out = out};
    part r;

    out->n = 0;
    ps.on = sc->r ? sc->r->on : 0;
    r = take_any(&ps);
    skip_space(&ps);
    if (!ps.failed && *ps.p)
        refuse(&ps, "what follows makes no sense",
               *ps.p == '='                   ? "two are compared by =="
               : *ps.p == '&' || *ps.p == '|' ? "join conditions with the words and, or"
                                              : "join conditions with and, or");
    want(&ps, r, BOOL);
    if (!ps.failed && may_not_claim && (r.claims & (DIRECT | TO_TRUE)))
        refuse(&ps, "a claim could lower the score",
               "use fields and features of class server or attested (see from:)");
    if (!ps.failed && !may_not_claim && (r.claims & TO_FALSE))
        refuse(&ps, "a claim could keep this rule from firing and so lower the score",
               "let the feature count trusted events only (from: attested or server)");
    out->claimed = (r.claims & (DIRECT | TO_TRUE)) != 0;
    return ps.failed ? ps.status : EMK_OK;
}
