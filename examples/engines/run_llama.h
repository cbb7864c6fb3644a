/* One of run_llama.c and run_llama_absent.c is built: llama.cpp passes structures by value, so
 * unlike the others it cannot be used without its header. */
#ifndef EMK_EXAMPLES_RUN_LLAMA_H
#define EMK_EXAMPLES_RUN_LLAMA_H

#include <earmark/client.h>

/* Loads the model through emk_opened_stream and runs it once.  EMK_E_NOT_FOUND where the build has
 * no llama.cpp; EMK_E_FORMAT, EMK_E_UNSUPPORTED when it cannot load or run the model. */
emk_status run_llama(const emk_opened *model, emk_error *e);

#endif
