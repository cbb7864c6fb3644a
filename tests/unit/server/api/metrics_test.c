#include "server/api/metrics.h"

#include "tests/support/test.h"

static const char *const COLOURS[] = {"red", "blue"};
static const char *const SIZES[] = {"s", "m"};
static const uint64_t BOUNDS[] = {10, 20};

static void collect(void *self)
{
    emk_metric_set(self, 0, 0, 42);
}

static void writes_text_of_all_kinds(void **state)
{
    const emk_metric_def counter = {
        .name = "c_total", .help = "C", .labels = {{"colour", COLOURS, 2}, {"size", SIZES, 2}}};
    const emk_metric_def gauge = {.name = "g", .help = "G", .type = EMK_METRIC_GAUGE};
    const emk_metric_def histogram = {.name = "h",
                                      .help = "H",
                                      .type = EMK_METRIC_HISTOGRAM,
                                      .divisor = 10,
                                      .buckets = BOUNDS,
                                      .n_buckets = 2};
    emk_metric *c, *g, *h;
    emk_metrics *m;
    emk_error e = {0};
    emk_buf out;

    (void)state;
    emk_buf_init(&out, 65536);
    assert_ok(emk_metrics_new(&m, &e), &e);
    assert_ok(emk_metrics_add(m, &counter, &c, &e), &e);
    assert_ok(emk_metrics_add(m, &gauge, &g, &e), &e);
    assert_ok(emk_metrics_add(m, &histogram, &h, &e), &e);
    assert_ok(emk_metrics_on_collect(m, collect, g, &e), &e);
    emk_metric_count(c, 1, 0, 3);
    emk_metric_observe(h, 0, 0, 10);
    emk_metric_observe(h, 0, 0, 15);
    emk_metric_observe(h, 0, 0, 100);
    assert_ok(emk_metrics_write(m, &out, &e), &e);
    assert_bytes(
        emk_buf_span(&out),
        emk_span_str("# HELP c_total C\n# TYPE c_total counter\n"
                     "c_total{colour=\"red\",size=\"s\"} 0\n"
                     "c_total{colour=\"red\",size=\"m\"} 0\n"
                     "c_total{colour=\"blue\",size=\"s\"} 3\n"
                     "c_total{colour=\"blue\",size=\"m\"} 0\n"
                     "# HELP g G\n# TYPE g gauge\ng 42\n"
                     "# HELP h H\n# TYPE h histogram\n"
                     "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\n"
                     "h_count 3\nh_sum 12.5\n"));
    emk_buf_done(&out);
    emk_metrics_free(m);
}

static void counts_nothing_out_of_range(void **state)
{
    const emk_metric_def counter = {
        .name = "c_total", .help = "C", .labels = {{"colour", COLOURS, 2}}};
    emk_metric *c;
    emk_metrics *m;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_metrics_new(&m, &e), &e);
    assert_ok(emk_metrics_add(m, &counter, &c, &e), &e);
    emk_metric_count(c, 2, 0, 1);
    emk_metric_count(c, 0, 1, 1);
    emk_metric_count(NULL, 0, 0, 1);
    assert_int_equal(emk_metric_get(c, 0, 0) + emk_metric_get(c, 1, 0), 0);
    assert_status(emk_metrics_add(m, &counter, &c, &e), EMK_E_USED, &e);
    emk_metrics_free(m);
}

int main(void)
{
    return EMK_RUN(emk_rule(writes_text_of_all_kinds), emk_rule(counts_nothing_out_of_range));
}
