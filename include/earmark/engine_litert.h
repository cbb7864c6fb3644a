/* LiteRT (TensorFlow Lite) on a model that Earmark has opened.  The model is used where it lies:
 * pointer and length.  The runtime is loaded when it is asked for, by dlopen; nothing links to it.
 *
 * Two C interfaces are understood, and found out from what the library has: that of TensorFlow
 * Lite (TfLiteModelCreate, ...; libtensorflowlite_c.so) and that of LiteRT 2
 * (LiteRtCreateModelFrom- Buffer, ...; libLiteRt.so), on the CPU.
 *
 * Kernels may keep rearranged copies of weights in ordinary memory, which the runtime does not
 * wipe: docs/operate/engines.md has what was measured.
 *
 * Thread rule: one object, one thread. */
#ifndef EARMARK_ENGINE_LITERT_H
#define EARMARK_ENGINE_LITERT_H

#include <earmark/span.h>
#include <earmark/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_LITERT_LIBRARY "libLiteRt.so"

typedef struct emk_litert emk_litert;

/* Gives an interpreter over `model`, ready to run; close with emk_litert_close, and the model
 * after that.  Keeps the model's bytes.  library is borrowed; NULL: EMK_LITERT_LIBRARY by the
 * system's search path.  EMK_E_NOT_FOUND when there is no such library; EMK_E_UNSUPPORTED when it
 * has neither interface; EMK_E_FORMAT when it refuses the model; EMK_E_NO_MEMORY. */
emk_status emk_litert_open(emk_span model, const char *library, emk_litert **out,
                           emk_error *e) EMK_MUST_CHECK;

/* True for LiteRT 2, false for TensorFlow Lite. */
bool emk_litert_is_compiled(const emk_litert *l);
/* Lends the model, and the interpreter: TfLiteInterpreter *, or LiteRtCompiledModel. */
void *emk_litert_model(const emk_litert *l);
void *emk_litert_interpreter(const emk_litert *l);

/* Runs it once on zeros (LiteRT 2: its first signature).  EMK_E_UNSUPPORTED for inputs whose size
 * is open, EMK_E_LIMIT for too many or too large ones, EMK_E_IO when the run fails. */
emk_status emk_litert_run_zeros(emk_litert *l, emk_error *e) EMK_MUST_CHECK;

/* Frees what the runtime made for it.  The library stays loaded.  NULL is fine. */
void emk_litert_close(emk_litert *l);

#ifdef __cplusplus
}
#endif

#endif
