#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static model_check check;

static emk_status run(const char *json)
{
    return model_check_all(&check, EMK_MODEL_SAFETENSORS_INDEX, emk_span_str(json), 0);
}

#define refuses(json, st, why)                  \
    do {                                        \
        assert_status(run(json), st, &check.e); \
        assert_string_equal(check.e.what, why); \
    } while (0)

static void part_is(uint32_t i, const char *name)
{
    char out[EMK_MODEL_PART_NAME];

    assert_ok(emk_model_part_name(&check.im, "model.safetensors.index.json", &check.report.parts[i],
                                  out, &check.e),
              &check.e);
    assert_string_equal(out, name);
}

static void lists_each_shard_once(void **state)
{
    (void)state;
    assert_ok(run("{\"metadata\":{\"total_size\":7,\"x\":[1,{}]},\"weight_map\":{"
                  "\"a\":\"m-1-of-2.safetensors\",\"b\":\"m-2-of-2.safetensors\","
                  "\"c\":\"m-1-of-2.safetensors\"}}"),
              &check.e);
    assert_int_equal(check.n_seen, 0);
    assert_int_equal(check.report.n_parts, 2);
    part_is(0, "m-1-of-2.safetensors");
    part_is(1, "m-2-of-2.safetensors");
}

static void accepts_an_index_of_nothing(void **state)
{
    (void)state;
    assert_ok(run(" {\"weight_map\":{}}\n"), &check.e);
    assert_int_equal(check.report.n_parts, 0);
}

static void rejects_what_is_no_index(void **state)
{
    (void)state;
    refuses("{}", EMK_E_FORMAT, "safetensors: no weight_map");
    refuses("{\"Weight_map\":{}}", EMK_E_FORMAT, "safetensors: no weight_map");
    assert_status(run(""), EMK_E_FORMAT, &check.e);
    assert_status(run("[]"), EMK_E_FORMAT, &check.e);
    assert_status(run("{\"weight_map\":[]}"), EMK_E_FORMAT, &check.e);
    assert_status(run("{\"weight_map\":{\"a\":1}}"), EMK_E_FORMAT, &check.e);
    assert_status(run("{\"weight_map\":{\"a\":\"b\"}"), EMK_E_FORMAT, &check.e);
    assert_status(run("{\"weight_map\":{\"a\":\"b\"}}x"), EMK_E_FORMAT, &check.e);
    assert_status(run("{\"weight_map\":{},\"weight_map\":{}}"), EMK_E_FORMAT, &check.e);
}

static void rejects_shards_that_lie_elsewhere(void **state)
{
    (void)state;
    refuses("{\"weight_map\":{\"a\":\"../x\"}}", EMK_E_FORMAT, "model: name of another file");
    assert_int_equal(check.e.where, 20);
    refuses("{\"weight_map\":{\"a\":\"/x\"}}", EMK_E_FORMAT, "model: name of another file");
    refuses("{\"weight_map\":{\"a\":\"x\\u002fy\"}}", EMK_E_FORMAT, "model: name of another file");
    refuses("{\"weight_map\":{\"a\":\"\"}}", EMK_E_FORMAT, "model: name of another file");
}

static void rejects_more_shards_than_the_limit(void **state)
{
    static char json[16384];
    size_t n = (size_t)snprintf(json, sizeof json, "{\"weight_map\":{");

    (void)state;
    for (unsigned i = 0; i <= EMK_MODEL_PARTS_MAX; i++)
        n += (size_t)snprintf(json + n, sizeof json - n, "%s\"t%u\":\"s%u\"", i ? "," : "", i, i);
    snprintf(json + n, sizeof json - n, "}}");
    refuses(json, EMK_E_LIMIT, "model: too many other files");
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 1};

    (void)state;
    emk_image_from_span(&check.im, emk_span_str("{\"weight_map\":{\"a\":\"x\",\"b\":\"x\"}}"));
    assert_status(
        emk_model_scan(EMK_MODEL_SAFETENSORS_INDEX, &check.im, &limits, NULL, NULL, NULL, &check.e),
        EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(emk_rule(lists_each_shard_once), emk_rule(accepts_an_index_of_nothing),
                   emk_rule(rejects_what_is_no_index), emk_rule(rejects_shards_that_lie_elsewhere),
                   emk_rule(rejects_more_shards_than_the_limit),
                   emk_rule(spends_no_more_than_its_budget));
}
