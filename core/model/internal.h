/* What the readers of core/model share.  Never included from outside. */
#ifndef EMK_CORE_MODEL_INTERNAL_H
#define EMK_CORE_MODEL_INTERNAL_H

#include "core/model/model.h"

/* One scan.  Counts and limits are kept here, so that a reader of a container can hand its
 * members to another reader and both spend one budget. */
typedef struct emk_scan {
    emk_image *im;
    uint64_t base;           /* where the model starts in the file: not 0 inside a container */
    uint64_t len;            /* of the model from there */
    emk_model_limits limits; /* with the defaults filled in */
    emk_tensor_fn fn;        /* or NULL */
    void *self;
    emk_model_report report;
} emk_scan;

typedef emk_status (*emk_scan_fn)(emk_scan *s, emk_error *e);

/* A format: one file with a scan and one row in model.c. */
typedef struct emk_model_row {
    emk_model_format format;
    const char *name;
    const char *suffixes;          /* " .a .b ": lower case, spaces around each; may be "" */
    bool (*detect)(emk_image *im); /* NULL: has no magic */
    emk_scan_fn scan;
} emk_model_row;

/* Spends n steps: call it before work that the file's bytes ask for.  EMK_E_LIMIT. */
emk_status emk_scan_step(emk_scan *s, uint64_t n, emk_error *e) EMK_MUST_CHECK;

/* Hands *t to the visitor, unless it is to stay clear by limits.flags.
 * EMK_E_FORMAT outside the file, EMK_E_LIMIT, or what the visitor says. */
emk_status emk_scan_emit(emk_scan *s, const emk_tensor *t, emk_error *e) EMK_MUST_CHECK;

/* Notes bytes that stay clear.  EMK_E_UNSUPPORTED under EMK_MODEL_STRICT, where they may be
 * weights. */
emk_status emk_scan_clear(emk_scan *s, emk_clear why, uint64_t bytes, emk_error *e) EMK_MUST_CHECK;

bool emk_tflite_detect(emk_image *im);
emk_status emk_tflite_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_safetensors_detect(emk_image *im);
emk_status emk_safetensors_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_gguf_detect(emk_image *im);
emk_status emk_gguf_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_onnx_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_graphdef_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_savedmodel_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_zip_detect(emk_image *im);
emk_status emk_zip_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;

#endif
