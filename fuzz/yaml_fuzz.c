/* Trees stay inside their limits, and every complaint names its place. */
#include "fuzz/check.h"
#include "server/yaml/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_yaml_diag d = {.line = 0};
    emk_yaml *y = NULL;
    uint64_t v;

    if (emk_yaml_parse("f", emk_span_of(data, size), &y, &d, NULL) != EMK_OK) {
        must(strncmp(d.text, "f:", 2) == 0, "a complaint names its place");
        return 0;
    }
    for (const emk_yaml_node *n = emk_yaml_root(y); n; n = n->first ? n->first : n->next) {
        must(n->line > 0 && n->column > 0, "nodes have places");
        must(n->kind != EMK_YAML_SCALAR || strlen(n->text) == n->text_len, "scalars are texts");
        if (emk_yaml_duration_ms(n, &v, NULL, NULL) == EMK_OK)
            must(v < UINT64_C(4000000000000), "durations are bounded");
        if (emk_yaml_u64(n, 77, &v, NULL, NULL) == EMK_OK)
            must(v <= 77, "numbers are bounded");
    }
    emk_yaml_free(y);
    return 0;
}
