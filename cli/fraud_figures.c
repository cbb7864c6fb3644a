#include "cli/fraud_figures.h"

#include "core/base/alloc.h"

#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t figure(const emk_fraud_case *c, unsigned step, bool seconds)
{
    return seconds ? c->step_ms[step] / 1000 : c->step_requests[step];
}

emk_fraud_spread emk_fraud_spread_of(const emk_fraud_labels *l, int group, unsigned step,
                                     bool seconds)
{
    uint64_t *v = emk_alloc((size_t)l->n + 1, sizeof *v);
    emk_fraud_spread s = {0, 0, 0};

    for (uint64_t i = 0; v && i <= l->mask; i++) {
        const emk_fraud_case *c = &l->cases[i];

        if (c->key && c->step_requests[step] && c->label == EMK_FRAUD_FRAUD_LABEL &&
            (group < 0 || c->group == (unsigned)group))
            v[s.n++] = figure(c, step, seconds);
    }
    if (s.n) {
        qsort(v, (size_t)s.n, sizeof *v, by_number);
        s.median = v[(s.n - 1) / 2];
        s.p95 = v[(s.n * 95 + 99) / 100 - 1];
    }
    emk_free(v);
    return s;
}

emk_fraud_totals emk_fraud_totals_of(const emk_fraud_labels *l, int group, emk_fraud_label label)
{
    emk_fraud_totals t = {.n = 0};

    for (uint64_t i = 0; i <= l->mask; i++) {
        const emk_fraud_case *c = &l->cases[i];

        if (!c->key || c->first_ms == 0 || c->label != label ||
            (group >= 0 && c->group != (unsigned)group))
            continue;
        t.n++;
        t.days += c->days;
        t.user_days += c->is_user ? c->days : 0;
        t.cost += c->cost;
        t.stopped += c->cost_stopped;
        for (unsigned s = 0; s < EMK_FRAUD_STEPS; s++) {
            t.reached[s] += c->step_requests[s] != 0;
            t.step_days[s] += c->step_days[s];
            t.user_step_days[s] += c->is_user ? c->step_days[s] : 0;
        }
    }
    return t;
}

uint64_t emk_fraud_never_seen(const emk_fraud_labels *l)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i <= l->mask; i++)
        n += l->cases[i].key && l->cases[i].first_ms == 0;
    return n;
}
