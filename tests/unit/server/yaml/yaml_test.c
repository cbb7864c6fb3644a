#include "core/base/fault.h"
#include "server/yaml/yaml.h"
#include "tests/support/test.h"

static emk_yaml_diag diag;

static emk_status parse(const char *text, emk_yaml **y, emk_error *e)
{
    memset(&diag, 0, sizeof diag);
    return emk_yaml_parse("f.yaml", emk_span_str(text), y, &diag, e);
}

static void assert_refused(const char *text, emk_status want, const char *place)
{
    emk_yaml *y = NULL;
    emk_error e;

    assert_status(parse(text, &y, &e), want, &e);
    assert_memory_equal(diag.text, place, strlen(place));
}

static emk_yaml *tree_of(const char *text)
{
    emk_yaml *y = NULL;
    emk_error e;

    assert_ok(parse(text, &y, &e), &e);
    return y;
}

static void gives_places_of_nodes(void **state)
{
    emk_yaml *y = tree_of("a: 1\nb:\n  - x\n  - {c: \"d\"}\n");
    const emk_yaml_node *b = emk_yaml_get(emk_yaml_root(y), "b");

    (void)state;
    assert_int_equal(b->n, 2);
    assert_int_equal(b->first->line, 3);
    assert_int_equal(b->first->column, 5);
    assert_true(emk_yaml_is(emk_yaml_get(b->first->next, "c"), "d"));
    assert_true(emk_yaml_get(b->first->next, "c")->quoted);
    assert_null(emk_yaml_get(b, "c"));
    emk_yaml_free(y);
}

static void rejects_anchors_aliases_tags_and_merge_keys(void **state)
{
    (void)state;
    assert_refused("a: &x 1\n", EMK_E_UNSUPPORTED, "f.yaml:1:4:");
    assert_refused("a: *x\n", EMK_E_UNSUPPORTED, "f.yaml:1:4:");
    assert_refused("a: !!str 1\n", EMK_E_UNSUPPORTED, "f.yaml:1:4:");
    assert_refused("a: !t [1]\n", EMK_E_UNSUPPORTED, "f.yaml:1:4:");
    assert_refused("a: &m {b: 1}\n", EMK_E_UNSUPPORTED, "f.yaml:1:4:");
    assert_refused("<<: {b: 1}\n", EMK_E_UNSUPPORTED, "f.yaml:1:");
    assert_refused("%YAML 1.1\n---\na: 1\n", EMK_E_UNSUPPORTED, "f.yaml:");
}

static void rejects_duplicate_keys(void **state)
{
    (void)state;
    assert_refused("a: 1\nb: 2\na: 3\n", EMK_E_FORMAT, "f.yaml:3:1:");
}

static void rejects_keys_that_are_no_text(void **state)
{
    (void)state;
    assert_refused("[a]: 1\n", EMK_E_UNSUPPORTED, "f.yaml:1:");
    assert_refused("? {a: b}\n: 1\n", EMK_E_UNSUPPORTED, "f.yaml:1:");
    assert_refused("\"\": 1\n", EMK_E_FORMAT, "f.yaml:1:1:");
}

static void rejects_several_documents_and_none(void **state)
{
    (void)state;
    assert_refused("a: 1\n---\nb: 2\n", EMK_E_UNSUPPORTED, "f.yaml:2:");
    assert_refused("", EMK_E_FORMAT, "f.yaml:1:1:");
    assert_refused("# nothing\n", EMK_E_FORMAT, "f.yaml:");
}

static void rejects_what_is_not_well_formed(void **state)
{
    (void)state;
    assert_refused("a: [1\n", EMK_E_FORMAT, "f.yaml:");
    assert_refused("a: \"b\n", EMK_E_FORMAT, "f.yaml:");
    assert_refused("a: \xff\n", EMK_E_FORMAT, "f.yaml:");
    assert_refused("a: \"\\0\"\n", EMK_E_FORMAT, "f.yaml:1:4:");
}

static void rejects_depth_and_size_beyond_limits(void **state)
{
    char deep[64];
    char *big = malloc(EMK_YAML_TEXT_MAX + 2);
    char *nodes = malloc(EMK_YAML_NODES_MAX * 2 + 16);
    size_t n = 0;

    (void)state;
    memset(deep, '[', 17);
    deep[17] = 0;
    assert_refused(deep, EMK_E_LIMIT, "f.yaml:1:17:");
    memset(big, ' ', EMK_YAML_TEXT_MAX + 1);
    big[EMK_YAML_TEXT_MAX + 1] = 0;
    assert_refused(big, EMK_E_LIMIT, "f.yaml:");
    nodes[n++] = '[';
    for (unsigned i = 0; i < EMK_YAML_NODES_MAX; i++) {
        nodes[n++] = '1';
        nodes[n++] = ',';
    }
    nodes[n++] = ']';
    nodes[n] = 0;
    assert_refused(nodes, EMK_E_LIMIT, "f.yaml:1:");
    memset(big, 'a', EMK_YAML_SCALAR_MAX + 1);
    big[EMK_YAML_SCALAR_MAX + 1] = 0;
    assert_refused(big, EMK_E_LIMIT, "f.yaml:1:1:");
    free(nodes);
    free(big);
}

static void names_the_nearest_key(void **state)
{
    static const char *const keys[] = {"when", "score", NULL};
    emk_yaml *y = tree_of("score: 1\nwen: 2\n");
    emk_error e;

    (void)state;
    assert_status(emk_yaml_check_keys(emk_yaml_root(y), keys, &diag, &e), EMK_E_FORMAT, &e);
    assert_string_equal(diag.text, "f.yaml:2:1: unknown key \"wen\"; did you mean \"when\"?");
    emk_yaml_free(y);
}

static void missing_key_is_a_complaint_about_the_mapping(void **state)
{
    emk_yaml *y = tree_of("a: {b: 1}\n");
    const emk_yaml_node *n = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_yaml_need(emk_yaml_get(emk_yaml_root(y), "a"), "c", &n, &diag, &e),
                  EMK_E_FORMAT, &e);
    assert_string_equal(diag.text, "f.yaml:1:4: \"c\" is missing here");
    emk_yaml_free(y);
}

/* One scalar read every way: -1 is a refusal. */
static int64_t as_u64(const char *text, uint64_t max)
{
    emk_yaml *y = tree_of(text);
    uint64_t v = 0;
    int64_t r = emk_yaml_u64(emk_yaml_root(y), max, &v, NULL, NULL) == EMK_OK ? (int64_t)v : -1;

    emk_yaml_free(y);
    return r;
}

static int64_t as_milli(const char *text)
{
    emk_yaml *y = tree_of(text);
    int64_t v = 0;
    int64_t r = emk_yaml_milli(emk_yaml_root(y), &v, NULL, NULL) == EMK_OK ? v : INT64_MIN;

    emk_yaml_free(y);
    return r;
}

static int64_t as_ms(const char *text)
{
    emk_yaml *y = tree_of(text);
    uint64_t v = 0;
    int64_t r = emk_yaml_duration_ms(emk_yaml_root(y), &v, NULL, NULL) == EMK_OK ? (int64_t)v : -1;

    emk_yaml_free(y);
    return r;
}

static int64_t as_bytes(const char *text)
{
    emk_yaml *y = tree_of(text);
    uint64_t v = 0;
    int64_t r =
        emk_yaml_bytes(emk_yaml_root(y), INT64_MAX, &v, NULL, NULL) == EMK_OK ? (int64_t)v : -1;

    emk_yaml_free(y);
    return r;
}

static void reads_whole_numbers_in_range(void **state)
{
    (void)state;
    assert_int_equal(as_u64("42", 100), 42);
    assert_int_equal(as_u64("1_000", 1000), 1000);
    assert_int_equal(as_u64("100", 100), 100);
    assert_int_equal(as_u64("101", 100), -1);
    assert_int_equal(as_u64("99999999999999999999", INT64_MAX), -1);
    assert_int_equal(as_u64("-1", 100), -1);
    assert_int_equal(as_u64("0x10", 100), -1);
    assert_int_equal(as_u64("1e3", 10000), -1);
    assert_int_equal(as_u64("[1]", 100), -1);
}

static void reads_decimals_exactly_or_not_at_all(void **state)
{
    (void)state;
    assert_int_equal(as_milli("0.25"), 250);
    assert_int_equal(as_milli("-3"), -3000);
    assert_int_equal(as_milli("1.001"), 1001);
    assert_int_equal(as_milli("1.0001"), INT64_MIN);
    assert_int_equal(as_milli("1."), INT64_MIN);
    assert_int_equal(as_milli(".5"), INT64_MIN);
    assert_int_equal(as_milli("1000000000001"), INT64_MIN);
}

static void reads_durations_from_large_to_small(void **state)
{
    (void)state;
    assert_int_equal(as_ms("24h"), 86400000);
    assert_int_equal(as_ms("1d12h"), 129600000);
    assert_int_equal(as_ms("250ms"), 250);
    assert_int_equal(as_ms("0"), 0);
    assert_int_equal(as_ms("5"), -1);
    assert_int_equal(as_ms("12h1d"), -1);
    assert_int_equal(as_ms("1h1h"), -1);
    assert_int_equal(as_ms("101y"), -1);
    assert_int_equal(as_ms("1 h"), -1);
}

static void reads_sizes(void **state)
{
    (void)state;
    assert_int_equal(as_bytes("32MiB"), 32 << 20);
    assert_int_equal(as_bytes("4096"), 4096);
    assert_int_equal(as_bytes("5MB"), 5000000);
    assert_int_equal(as_bytes("1mib"), -1);
    assert_int_equal(as_bytes("99999999TiB"), -1);
}

static void reads_true_and_false_only(void **state)
{
    emk_yaml *y = tree_of("{a: true, b: yes, c: ok}");
    static const char *const words[] = {"live", "shadow", NULL};
    bool v = false;
    size_t i = 7;

    (void)state;
    assert_ok(emk_yaml_bool(emk_yaml_get(emk_yaml_root(y), "a"), &v, NULL, NULL), NULL);
    assert_true(v);
    assert_status(emk_yaml_bool(emk_yaml_get(emk_yaml_root(y), "b"), &v, NULL, NULL), EMK_E_FORMAT,
                  NULL);
    assert_status(emk_yaml_choice(emk_yaml_get(emk_yaml_root(y), "c"), words, &i, NULL, NULL),
                  EMK_E_FORMAT, NULL);
    assert_status(emk_yaml_bool(NULL, &v, NULL, NULL), EMK_E_FORMAT, NULL);
    emk_yaml_free(y);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
#ifdef EMK_FAULTS
    emk_status st = EMK_E_NO_MEMORY;

    for (uint64_t n = 1; st != EMK_OK; n++) {
        emk_yaml *y = NULL;
        emk_error e;

        emk_fault_fail_at(EMK_FAULT_ALLOC, n);
        st = parse("a: [1, {b: c}]\n", &y, &e);
        emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
        assert_true(st == EMK_OK || st == EMK_E_NO_MEMORY);
        assert_true(n < 100);
        emk_yaml_free(y);
    }
#endif
}

int main(void)
{
    return EMK_RUN(
        emk_rule(gives_places_of_nodes), emk_rule(rejects_anchors_aliases_tags_and_merge_keys),
        emk_rule(rejects_duplicate_keys), emk_rule(rejects_keys_that_are_no_text),
        emk_rule(rejects_several_documents_and_none), emk_rule(rejects_what_is_not_well_formed),
        emk_rule(rejects_depth_and_size_beyond_limits), emk_rule(names_the_nearest_key),
        emk_rule(missing_key_is_a_complaint_about_the_mapping),
        emk_rule(reads_whole_numbers_in_range), emk_rule(reads_decimals_exactly_or_not_at_all),
        emk_rule(reads_durations_from_large_to_small), emk_rule(reads_sizes),
        emk_rule(reads_true_and_false_only), emk_rule(survives_every_failed_allocation));
}
