/* Numbers for operators, as Prometheus text, exposition format 0.0.4.
 *
 * A family has up to two labels whose values are all known when it is made: nothing that a
 * client sends can make a new series.  Counting is one atomic addition.
 *
 * Thread rule: families are made by one thread before any counting; then any number of threads. */
#ifndef EMK_SERVER_API_METRICS_H
#define EMK_SERVER_API_METRICS_H

#include "core/base/buf.h"
#include "core/base/span.h"

#include <stdbool.h>

#define EMK_METRICS_FAMILIES_MAX 128u
#define EMK_METRICS_CELLS_MAX    4096u /* series of one family */
#define EMK_METRICS_TEXT_MAX     (2u << 20)

typedef enum emk_metric_type {
    EMK_METRIC_COUNTER,
    EMK_METRIC_GAUGE,
    EMK_METRIC_HISTOGRAM
} emk_metric_type;

typedef struct emk_metric_label {
    const char *name; /* NULL: no such label */
    const char *const *values;
    size_t n;
} emk_metric_label;

typedef struct emk_metric_def {
    const char *name; /* "earmark_http_requests_total" */
    const char *help;
    emk_metric_type type;
    emk_metric_label labels[2];
    uint64_t divisor;        /* printed value = counted / divisor; 0: 1.  1e9 for seconds from ns */
    const uint64_t *buckets; /* histogram: upper bounds, rising, as counted */
    size_t n_buckets;
} emk_metric_def;

typedef struct emk_metric emk_metric;
typedef struct emk_metrics emk_metrics;

/* Gives an empty registry; free with emk_metrics_free.  EMK_E_NO_MEMORY. */
emk_status emk_metrics_new(emk_metrics **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_metrics_free(emk_metrics *m);

/* Lends a family, good as long as the registry.  Keeps what def points to.  EMK_E_LIMIT,
 * EMK_E_NO_MEMORY, EMK_E_USED for a name that is there. */
emk_status emk_metrics_add(emk_metrics *m, const emk_metric_def *def, emk_metric **out,
                           emk_error *e) EMK_MUST_CHECK;

/* i and j are places in the labels' values (0 where there is no label); one out of range, or a
 * NULL family, counts nothing. */
void emk_metric_count(emk_metric *f, size_t i, size_t j, uint64_t n);
void emk_metric_set(emk_metric *f, size_t i, size_t j, uint64_t v);
void emk_metric_move(emk_metric *f, size_t i, size_t j, int64_t by); /* of a gauge */
void emk_metric_observe(emk_metric *f, size_t i, size_t j, uint64_t v);
uint64_t emk_metric_get(const emk_metric *f, size_t i, size_t j);

/* Called before each text is made, to set gauges from what others count.  Keeps self.
 * EMK_E_LIMIT. */
emk_status emk_metrics_on_collect(emk_metrics *m, void (*fn)(void *self), void *self,
                                  emk_error *e) EMK_MUST_CHECK;

/* Appends lines of its own to each text, for labels that are known only then (rules of a set);
 * whoever does that bounds them.  Keeps self.  EMK_E_LIMIT. */
emk_status emk_metrics_on_write(emk_metrics *m,
                                emk_status (*fn)(void *self, emk_buf *out, emk_error *e),
                                void *self, emk_error *e) EMK_MUST_CHECK;

/* Appends the text.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_metrics_write(emk_metrics *m, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

#endif
