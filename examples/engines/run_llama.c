/* llama.cpp on a model of the vault: it reads the file through a FILE, into memory of its own, and
 * is run once on its first token.  Built where llama.h and libllama are (EMK_LLAMA). */
#include "examples/engines/run_llama.h"

#include <llama.h>

#define CONTEXT 64u /* tokens */

static emk_status decode_one(struct llama_model *m, emk_error *e)
{
    struct llama_context_params params = llama_context_default_params();
    llama_token token = llama_vocab_bos(llama_model_get_vocab(m));
    struct llama_context *context;
    bool ok;

    params.n_ctx = CONTEXT;
    context = llama_init_from_model(m, params);
    ok = context && llama_decode(context, llama_batch_get_one(&token, 1)) == 0;
    llama_free(context);
    if (ok)
        return EMK_OK;
    *e = (emk_error){EMK_E_UNSUPPORTED, "llama.cpp: cannot run the model", 0};
    return EMK_E_UNSUPPORTED;
}

/* Its messages are many; errors are what it returns. */
static void say_nothing(enum ggml_log_level level, const char *text, void *self)
{
    (void)level;
    (void)text;
    (void)self;
}

emk_status run_llama(const emk_opened *model, emk_error *e)
{
    struct llama_model_params params = llama_model_default_params();
    struct llama_model *m = NULL;
    FILE *f = NULL;
    emk_status st = emk_opened_stream(model, &f, e);

    if (st != EMK_OK)
        return st;
    llama_log_set(say_nothing, NULL);
    llama_backend_init();
    params.load_mode = LLAMA_LOAD_MODE_MLOCK; /* its copy; a stream has no pages to map */
    m = llama_model_load_from_file_ptr(f, params);
    fclose(f);
    if (!m) {
        *e = (emk_error){EMK_E_FORMAT, "llama.cpp: it does not load the model", 0};
        st = EMK_E_FORMAT;
    } else {
        st = decode_one(m, e);
    }
    if (st == EMK_OK)
        printf("llama.cpp ran the model\n");
    llama_model_free(m);
    llama_backend_free();
    return st;
}
