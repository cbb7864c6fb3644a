#include "server/api/metrics.h"

#include "core/base/alloc.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define COLLECTORS 16u
#define WRITERS    4u
#define LINE_MAX   1024u

/* A histogram has for each series its buckets, then the sum, then the count. */
struct emk_metric {
    emk_metric_def def;
    size_t n1, n2, width;
    _Atomic uint64_t *cells;
};

typedef struct collector {
    void (*fn)(void *self);
    void *self;
} collector;

typedef struct writer {
    emk_status (*fn)(void *self, emk_buf *out, emk_error *e);
    void *self;
} writer;

struct emk_metrics {
    emk_metric *families[EMK_METRICS_FAMILIES_MAX];
    size_t n;
    collector collectors[COLLECTORS];
    size_t n_collectors;
    writer writers[WRITERS];
    size_t n_writers;
};

emk_status emk_metrics_new(emk_metrics **out, emk_error *e)
{
    emk_metrics *m = emk_alloc(1, sizeof *m);

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "metrics: memory", sizeof *m);
    *out = m;
    return EMK_OK;
}

void emk_metrics_free(emk_metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        emk_free(m->families[i]->cells);
        emk_free(m->families[i]);
    }
    emk_free(m);
}

emk_status emk_metrics_add(emk_metrics *m, const emk_metric_def *def, emk_metric **out,
                           emk_error *e)
{
    size_t n1 = def->labels[0].name ? def->labels[0].n : 1;
    size_t n2 = def->labels[1].name ? def->labels[1].n : 1;
    size_t width = def->type == EMK_METRIC_HISTOGRAM ? def->n_buckets + 2 : 1;
    emk_metric *f;

    if (m->n == EMK_METRICS_FAMILIES_MAX || n1 == 0 || n2 == 0 || n1 > EMK_METRICS_CELLS_MAX ||
        n2 > EMK_METRICS_CELLS_MAX || width > EMK_METRICS_CELLS_MAX ||
        n1 * n2 * width > EMK_METRICS_CELLS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "metrics: too many", m->n);
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->families[i]->def.name, def->name) == 0)
            return emk_fail(e, EMK_E_USED, "metrics: a name twice", i);
    f = emk_alloc(1, sizeof *f);
    if (!f)
        return emk_fail(e, EMK_E_NO_MEMORY, "metrics: memory", 0);
    *f = (emk_metric){.def = *def, .n1 = n1, .n2 = n2, .width = width};
    f->cells = emk_alloc(n1 * n2 * width, sizeof *f->cells);
    if (!f->cells) {
        emk_free(f);
        return emk_fail(e, EMK_E_NO_MEMORY, "metrics: memory", 0);
    }
    m->families[m->n++] = f;
    *out = f;
    return EMK_OK;
}

static _Atomic uint64_t *cell(const emk_metric *f, size_t i, size_t j)
{
    if (!f || i >= f->n1 || j >= f->n2)
        return NULL;
    return f->cells + (i * f->n2 + j) * f->width;
}

void emk_metric_count(emk_metric *f, size_t i, size_t j, uint64_t n)
{
    _Atomic uint64_t *c = cell(f, i, j);

    if (c)
        atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

void emk_metric_set(emk_metric *f, size_t i, size_t j, uint64_t v)
{
    _Atomic uint64_t *c = cell(f, i, j);

    if (c)
        atomic_store_explicit(c, v, memory_order_relaxed);
}

void emk_metric_move(emk_metric *f, size_t i, size_t j, int64_t by)
{
    emk_metric_count(f, i, j, (uint64_t)by);
}

void emk_metric_observe(emk_metric *f, size_t i, size_t j, uint64_t v)
{
    _Atomic uint64_t *c = cell(f, i, j);
    size_t b = 0;

    if (!c || f->def.type != EMK_METRIC_HISTOGRAM)
        return;
    while (b < f->def.n_buckets && v > f->def.buckets[b])
        b++;
    if (b < f->def.n_buckets)
        atomic_fetch_add_explicit(c + b, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(c + f->def.n_buckets, v, memory_order_relaxed);
    atomic_fetch_add_explicit(c + f->def.n_buckets + 1, 1, memory_order_relaxed);
}

uint64_t emk_metric_get(const emk_metric *f, size_t i, size_t j)
{
    const _Atomic uint64_t *c = cell(f, i, j);

    if (!c)
        return 0;
    if (f->def.type == EMK_METRIC_HISTOGRAM)
        c += f->def.n_buckets + 1;
    return atomic_load_explicit(c, memory_order_relaxed);
}

emk_status emk_metrics_on_collect(emk_metrics *m, void (*fn)(void *self), void *self, emk_error *e)
{
    if (m->n_collectors == COLLECTORS)
        return emk_fail(e, EMK_E_LIMIT, "metrics: too many collectors", COLLECTORS);
    m->collectors[m->n_collectors++] = (collector){fn, self};
    return EMK_OK;
}

emk_status emk_metrics_on_write(emk_metrics *m,
                                emk_status (*fn)(void *self, emk_buf *out, emk_error *e),
                                void *self, emk_error *e)
{
    if (m->n_writers == WRITERS)
        return emk_fail(e, EMK_E_LIMIT, "metrics: too many writers", WRITERS);
    m->writers[m->n_writers++] = (writer){fn, self};
    return EMK_OK;
}

/* What one line is made of. */
typedef struct line {
    const emk_metric *f;
    size_t i, j;
    const char *suffix; /* "_bucket" */
    const char *le;     /* NULL: not a bucket */
} line;

static void number(const emk_metric *f, uint64_t v, char out[48])
{
    if (f->def.divisor > 1)
        snprintf(out, 48, "%.9g", (double)v / (double)f->def.divisor);
    else if (f->def.type == EMK_METRIC_GAUGE)
        snprintf(out, 48, "%" PRId64, (int64_t)v);
    else
        snprintf(out, 48, "%" PRIu64, v);
}

static emk_status write_line(const line *l, const char *value, emk_buf *out, emk_error *e)
{
    const emk_metric_label *a = &l->f->def.labels[0], *b = &l->f->def.labels[1];
    char text[LINE_MAX];
    size_t n = (size_t)snprintf(text, sizeof text, "%s%s", l->f->def.name, l->suffix);
    const char *comma = "{";

    if (a->name && n < sizeof text) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s=\"%s\"", comma, a->name,
                              a->values[l->i]);
        comma = ",";
    }
    if (b->name && n < sizeof text) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s=\"%s\"", comma, b->name,
                              b->values[l->j]);
        comma = ",";
    }
    if (l->le && n < sizeof text) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%sle=\"%s\"", comma, l->le);
        comma = ",";
    }
    if (n < sizeof text)
        n +=
            (size_t)snprintf(text + n, sizeof text - n, "%s %s\n", *comma == ',' ? "}" : "", value);
    if (n >= sizeof text)
        return emk_fail(e, EMK_E_LIMIT, "metrics: line too long", n);
    return emk_buf_append(out, emk_span_of(text, n), e);
}

/* The counts of all buckets are read first: a count that is behind a bucket would be a lie. */
static emk_status write_histogram(line l, emk_buf *out, emk_error *e)
{
    const emk_metric *f = l.f;
    const _Atomic uint64_t *c = cell(f, l.i, l.j);
    uint64_t sum = atomic_load_explicit(c + f->def.n_buckets, memory_order_relaxed);
    uint64_t total = atomic_load_explicit(c + f->def.n_buckets + 1, memory_order_relaxed);
    uint64_t below = 0;
    char value[48], le[48];
    emk_status st = EMK_OK;

    l.suffix = "_bucket";
    l.le = le;
    for (size_t b = 0; st == EMK_OK && b < f->def.n_buckets; b++) {
        below += atomic_load_explicit(c + b, memory_order_relaxed);
        if (below > total)
            below = total;
        number(f, f->def.buckets[b], le);
        snprintf(value, sizeof value, "%" PRIu64, below);
        st = write_line(&l, value, out, e);
    }
    l.le = "+Inf";
    snprintf(value, sizeof value, "%" PRIu64, total);
    if (st == EMK_OK)
        st = write_line(&l, value, out, e);
    l.le = NULL;
    l.suffix = "_count";
    if (st == EMK_OK)
        st = write_line(&l, value, out, e);
    l.suffix = "_sum";
    number(f, sum, value);
    return st == EMK_OK ? write_line(&l, value, out, e) : st;
}

static emk_status write_series(const emk_metric *f, size_t i, size_t j, emk_buf *out, emk_error *e)
{
    line l = {.f = f, .i = i, .j = j, .suffix = ""};
    char value[48];

    if (f->def.type == EMK_METRIC_HISTOGRAM)
        /* Series that never counted are left out: there are many. */
        return emk_metric_get(f, i, j) == 0 && f->n1 * f->n2 > 1 ? EMK_OK
                                                                 : write_histogram(l, out, e);
    number(f, atomic_load_explicit(cell(f, i, j), memory_order_relaxed), value);
    return write_line(&l, value, out, e);
}

static emk_status write_family(const emk_metric *f, emk_buf *out, emk_error *e)
{
    static const char *const TYPES[] = {"counter", "gauge", "histogram"};
    char text[LINE_MAX];
    int n = snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s %s\n", f->def.name, f->def.help,
                     f->def.name, TYPES[f->def.type]);
    emk_status st;

    if (n < 0 || (size_t)n >= sizeof text)
        return emk_fail(e, EMK_E_LIMIT, "metrics: line too long", sizeof text);
    st = emk_buf_append(out, emk_span_of(text, (size_t)n), e);
    for (size_t i = 0; i < f->n1; i++)
        for (size_t j = 0; st == EMK_OK && j < f->n2; j++)
            st = write_series(f, i, j, out, e);
    return st;
}

emk_status emk_metrics_write(emk_metrics *m, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; i < m->n_collectors; i++)
        m->collectors[i].fn(m->collectors[i].self);
    for (size_t i = 0; st == EMK_OK && i < m->n; i++)
        st = write_family(m->families[i], out, e);
    for (size_t i = 0; st == EMK_OK && i < m->n_writers; i++)
        st = m->writers[i].fn(m->writers[i].self, out, e);
    return st;
}
