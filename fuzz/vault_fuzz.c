/* First byte 0: a vault file as it stands; else patches for a good one.  It is refused, or
 * what is read is the model; and a record written to it can be read again. */
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static void use(seal_world *w, emk_vault *v, bool own)
{
    static uint8_t model[SEAL_MODEL_LEN];
    uint64_t len = emk_vault_plan(v)->model_len;

    if (len > sizeof model)
        return;
    if (emk_vault_read_all(v, model, 1, NULL, NULL) == EMK_OK && own)
        must(len == sizeof model && memcmp(model, w->model, sizeof model) == 0, "the model");
    if (emk_vault_read(v, len / 2, model, (size_t)len / 2, NULL) == EMK_OK && own)
        must(memcmp(model, w->model + len / 2, (size_t)len / 2) == 0, "its half");
    (void)!emk_vault_verify(v, 1, NULL, NULL);
}

static void open_file(seal_world *w, uint8_t *bytes, size_t len, bool own)
{
    emk_source file = emk_source_from_span(emk_span_of(bytes, len));
    emk_sink sink = emk_sink_from_memory(bytes, len);
    emk_vault_in in = {.file = &file, .issuer = w->issuer_public, .device_key = w->device_key};
    uint64_t generation;
    emk_vault *v;

    if (emk_vault_open(w->crypto, &in, &v, NULL) != EMK_OK)
        return;
    use(w, v, own);
    generation = emk_vault_record(v)->generation;
    must(emk_vault_write_record(v, &sink, 1, SEAL_NOW, NULL) == EMK_OK, "a record");
    emk_vault_close(v);
    must(emk_vault_open(w->crypto, &in, &v, NULL) == EMK_OK, "which can be read");
    must(emk_vault_record(v)->generation == generation + 1, "and is the newest");
    emk_vault_close(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seal_world *w = seal_world_get();
    emk_buf bytes;

    if (size < 1 || size > SEAL_FILE_MAX)
        return 0;
    if (data[0] == 0) {
        emk_buf_init(&bytes, SEAL_FILE_MAX);
        must(emk_buf_append(&bytes, emk_span_of(data + 1, size - 1), NULL) == EMK_OK, "a copy");
    } else {
        seal_patched(emk_buf_span(&w->vault), emk_span_of(data + 1, size - 1), &bytes);
    }
    open_file(w, bytes.p, bytes.len, data[0] != 0);
    emk_buf_done(&bytes);
    return 0;
}
