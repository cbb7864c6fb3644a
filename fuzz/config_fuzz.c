/* earmarkd's configuration: what is taken is printed as a file that reads back to the same. */
#include "fuzz/check.h"
#include "server/daemon/config.h"

#include <string.h>

static bool print(emk_span text, emk_buf *out)
{
    emk_yaml_diag d = {.line = 0};
    emk_config c;
    emk_status st = emk_config_parse("f", text, &c, &d, NULL);

    if (st != EMK_OK) {
        must(memchr(d.text, 0, sizeof d.text) != NULL, "a text that ends");
        return false;
    }
    must(c.origin && c.data && c.keys_dir && c.streams < c.workers, "what must be there is");
    st = emk_config_print(&c, out, NULL);
    emk_config_done(&c);
    return st == EMK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_buf once, twice;

    emk_buf_init(&once, EMK_CONFIG_TEXT_MAX);
    emk_buf_init(&twice, EMK_CONFIG_TEXT_MAX);
    if (size <= EMK_YAML_TEXT_MAX && print(emk_span_of(data, size), &once)) {
        must(print(emk_buf_span(&once), &twice), "it reads back");
        must(emk_span_equal(emk_buf_span(&once), emk_buf_span(&twice)), "to the same");
    }
    emk_buf_done(&once);
    emk_buf_done(&twice);
    return 0;
}
