/* ONNX Runtime on a model that Earmark has opened: the session is made from the bytes in memory,
 * and nothing is written to a file.  The runtime is loaded when it is asked for (its C interface,
 * by dlopen); nothing links to it.
 *
 * The runtime makes copies of its own, in ordinary memory, which it does not wipe: it copies the
 * weights while it makes a session, and may rearrange some of them.  docs/operate/engines.md says
 * how many copies there are, and when, as measured.  `lean` keeps them fewer, at some cost in
 * speed.
 *
 * Thread rule: one object, one thread; the session itself may be run by several. */
#ifndef EARMARK_ENGINE_ONNX_H
#define EARMARK_ENGINE_ONNX_H

#include <earmark/span.h>
#include <earmark/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_ONNX_LIBRARY     "libonnxruntime.so.1"
#define EMK_ONNX_API_VERSION 8u /* the least: ONNX Runtime 1.8 */

typedef struct emk_onnx emk_onnx;

typedef struct emk_onnx_options {
    const char *library;  /* borrowed; NULL: EMK_ONNX_LIBRARY by the system's search path */
    uint32_t api_version; /* of the table that emk_onnx_api lends; 0: EMK_ONNX_API_VERSION */
    unsigned threads;     /* within one operation; 0: the runtime decides */
    bool lean;            /* no arena, no rearranged copies of weights */
} emk_onnx_options;

/* Gives a session over `model`; close with emk_onnx_close, and the model after that.  Keeps the
 * model's bytes, borrows options (NULL: all default).  EMK_E_NOT_FOUND when there is no such
 * library; EMK_E_UNSUPPORTED when it is none of ONNX Runtime or too old; EMK_E_FORMAT when it
 * refuses the model (where: its code); EMK_E_NO_MEMORY. */
emk_status emk_onnx_open(emk_span model, const emk_onnx_options *options, emk_onnx **out,
                         emk_error *e) EMK_MUST_CHECK;

/* Lends what the runtime's own header calls const OrtApi * and OrtSession *. */
const void *emk_onnx_api(const emk_onnx *o);
void *emk_onnx_session(const emk_onnx *o);

/* Runs it once on zeros, to warm it up or to see that it runs; dimensions that are open are 1.
 * EMK_E_UNSUPPORTED for inputs that are no tensors of numbers, EMK_E_LIMIT for too many or too
 * large ones, EMK_E_IO when the run fails (where: the runtime's code), EMK_E_NO_MEMORY. */
emk_status emk_onnx_run_zeros(emk_onnx *o, emk_error *e) EMK_MUST_CHECK;

/* Ends the session and frees what the runtime made for it.  The library stays loaded.  NULL is
 * fine. */
void emk_onnx_close(emk_onnx *o);

#ifdef __cplusplus
}
#endif

#endif
