/* First byte: 0 a file as it stands; 1 patches for a good file; 2 patches for its weights
 * layer, which then gets a good file layer; 3 a sealed part, all around which is good.
 * Whatever comes in: it is refused, or the model is exactly the one that was sealed. */
#include "core/base/bytes.h"
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static void expect_model(seal_world *w, emk_span vault)
{
    static uint8_t model[SEAL_MODEL_LEN];
    emk_source file = emk_source_from_span(vault);
    emk_vault_in in = {.file = &file, .issuer = w->issuer_public, .device_key = w->device_key};
    emk_vault *v;

    must(emk_vault_open(w->crypto, &in, &v, NULL) == EMK_OK, "what was accepted opens");
    must(emk_vault_plan(v)->model_len == SEAL_MODEL_LEN, "length");
    must(emk_vault_read_all(v, model, 1, NULL, NULL) == EMK_OK, "and is read");
    must(memcmp(model, w->model, sizeof model) == 0, "and is the model");
    emk_vault_close(v);
}

static void accept_file(seal_world *w, emk_span bytes)
{
    static uint8_t room[SEAL_FILE_MAX];
    emk_source source = emk_source_from_span(bytes);
    emk_sink sink = emk_sink_from_memory(room, sizeof room);
    emk_accept_out out = {.vault = &sink, .threads = 1, .accepted = SEAL_NOW};
    uint8_t id[16];
    emk_accept_in in;
    emk_accept *a;

    seal_accept_in(w, &source, &in);
    if (emk_accept_new(w->crypto, &in, &a, NULL) != EMK_OK)
        return;
    if (emk_accept_vault_len(a) <= sizeof room && emk_accept_write(a, &out, id, NULL) == EMK_OK)
        expect_model(w, emk_span_of(room, (size_t)emk_accept_vault_len(a)));
    emk_accept_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seal_world *w = seal_world_get();
    emk_buf bent = {0}, file = {0};
    emk_span rest;

    if (size < 6 || size > 100000)
        return 0;
    rest = emk_span_of(data + 1, size - 1);
    if (data[0] == 0)
        accept_file(w, rest);
    else if (data[0] == 1)
        seal_patched(emk_buf_span(&w->sealed), rest, &file);
    else if (data[0] == 2)
        seal_patched(emk_buf_span(&w->inner), rest, &bent);
    else
        seal_layer_around(w, emk_span_of(rest.p + 4, rest.len - 4),
                          emk_load_u32be(rest.p) % SEAL_FILE_MAX, &bent);
    if (bent.len)
        seal_wrap(w, emk_buf_span(&bent), &file);
    if (file.len)
        accept_file(w, emk_buf_span(&file));
    emk_buf_done(&bent);
    emk_buf_done(&file);
    return 0;
}
