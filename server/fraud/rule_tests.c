/* The tests that rules bring with them: what fires, and what does not, given values of
 * features and fields.  What a test does not name is unknown, but for the plan. */
#include "server/fraud/internal.h"

#include <stdio.h>

typedef struct world {
    const emk_fraud_ruleset *rs;
    const rule_test *t;
} world;

static value find(const world *w, bool is_field, unsigned index, unsigned sub)
{
    for (unsigned i = 0; i < w->t->n; i++) {
        if (w->t->v[i].is_field == is_field && w->t->v[i].index == index && w->t->v[i].sub == sub)
            return (value){w->t->v[i].value, true};
    }
    return (value){0, false};
}

static value feature_of(void *self, unsigned i, unsigned sub)
{
    return find(self, false, i, sub);
}

static value field_of(void *self, emk_fraud_field f)
{
    const world *w = self;
    value v = find(w, true, f, 0);

    if (!v.known && w->rs->plan_has >> f & 1)
        v = (value){w->rs->plan[f], true};
    return v;
}

static emk_status failed(const rule *r, const rule_test *t, const char *file, emk_yaml_diag *d,
                         emk_error *e)
{
    if (d && d->text[0] == 0) {
        snprintf(d->text, sizeof d->text,
                 "%s:%u:%u: test of %s failed: \"%.200s\" should %s here; change the rule or the "
                 "test",
                 file, t->line, t->column, r->id, r->when, t->fires ? "fire" : "not fire");
        d->line = t->line;
        d->column = t->column;
    }
    return emk_fail(e, EMK_E_FORMAT, "rules: a rule's own test failed", t->line);
}

emk_status emk_fraud_run_tests(const emk_fraud_ruleset *rs, const char *file, emk_yaml_diag *d,
                               emk_error *e)
{
    for (unsigned i = 0; i < rs->n_rules; i++) {
        const rule *r = &rs->rules[i];

        for (unsigned k = 0; k < r->n_tests; k++) {
            world w = {rs, &r->tests[k]};
            vm m = {.rs = rs, .feature = feature_of, .field = field_of, .self = &w};

            if ((emk_fraud_run(&m, &r->when_code) == 1) != r->tests[k].fires)
                return failed(r, &r->tests[k], file, d, e);
        }
    }
    return EMK_OK;
}
