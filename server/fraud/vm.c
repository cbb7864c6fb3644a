/* Runs a rule's code.  Three values: true, false, and unknown where something is not there;
 * what is unknown does not fire.  Codes come from emk_fraud_compile alone, which has counted
 * the stack. */
#include "server/fraud/internal.h"

static value yes(bool b)
{
    return (value){b ? 1000 : 0, true};
}

static value unknown(void)
{
    return (value){0, false};
}

static value logic(value a, value b, op_code c)
{
    bool wins = c == OP_OR; /* the value that decides alone */

    if ((a.known && (a.v != 0) == wins) || (b.known && (b.v != 0) == wins))
        return yes(wins);
    return a.known && b.known ? yes(!wins) : unknown();
}

/* A limit as this entity has it: jitter moves it, so that its place cannot be probed.  Small
 * ones stay, they have no room to move in. */
static int64_t limit_of(const vm *m, int64_t k)
{
    return m->jitter == 0 || k < 5000 ? k : emk_fraud_add(k, emk_fraud_mul(k, m->jitter));
}

static value compare(vm *m, value a, value b, op_code c)
{
    if (!a.known || !b.known)
        return unknown();
    if (c == OP_GT || c == OP_GE)
        b.v = limit_of(m, b.v);
    if (!m->compared) {
        m->compared = m->sides_known = true;
        m->left = a.v;
        m->right = b.v;
    }
    switch (c) {
    case OP_LT:
        return yes(a.v < b.v);
    case OP_LE:
        return yes(a.v <= b.v);
    case OP_GT:
        return yes(a.v > b.v);
    case OP_GE:
        return yes(a.v >= b.v);
    case OP_EQ:
        return yes(a.v == b.v);
    default:
        return yes(a.v != b.v);
    }
}

static value arithmetic(value a, value b, op_code c)
{
    if (!a.known || !b.known || (c == OP_DIV && b.v == 0))
        return unknown();
    switch (c) {
    case OP_ADD:
        return (value){emk_fraud_add(a.v, b.v), true};
    case OP_SUB:
        return (value){emk_fraud_sub(a.v, b.v), true};
    case OP_MUL:
        return (value){emk_fraud_mul(a.v, b.v), true};
    default:
        return (value){emk_fraud_div(a.v, b.v), true};
    }
}

static value load(const vm *m, const op *o)
{
    switch (o->code) {
    case OP_CONST:
        return (value){o->k, true};
    case OP_FEATURE:
        return m->feature(m->self, o->a, o->sub);
    default:
        return m->field(m->self, (emk_fraud_field)o->a);
    }
}

/* What stands right of an "and" or "or" is left out once the left side has decided; but a first
 * comparison is always made, it goes into the reasons. */
static bool decides(const vm *m, const op *o, const code *c, value left)
{
    return m->compared && left.known && (left.v != 0) == (c->ops[o->skip_to].code == OP_OR);
}

int emk_fraud_run(vm *m, const code *c)
{
    value s[STACK_MAX + 2];
    unsigned n = 0;

    m->compared = m->sides_known = false;
    for (unsigned i = 0; i < c->n; i++) {
        const op *o = &c->ops[i];

        if (o->code <= OP_TEXT) {
            s[n++] = load(m, o);
        } else if (n < (o->code == OP_NOT || o->code == OP_NEG ? 1u : 2u)) {
            return -1; /* no code that was compiled */
        } else if (o->code == OP_NOT) {
            s[n - 1] = s[n - 1].known ? yes(s[n - 1].v == 0) : unknown();
        } else if (o->code == OP_NEG) {
            s[n - 1].v = emk_fraud_sub(0, s[n - 1].v);
        } else {
            op_code k = (op_code)o->code;
            value b = s[--n], a = s[n - 1];

            if (k <= OP_NE)
                s[n - 1] = compare(m, a, b, k);
            else if (k <= OP_OR)
                s[n - 1] = logic(a, b, k);
            else
                s[n - 1] = arithmetic(a, b, k);
        }
        if (o->skip_to && decides(m, o, c, s[n - 1]))
            i = o->skip_to;
    }
    return n == 0 || !s[0].known ? -1 : s[0].v != 0;
}
