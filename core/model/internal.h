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
    uint64_t part_hash[EMK_MODEL_PARTS_MAX]; /* of the named ones, to find them again */
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

/* Hands on the whole file as one range of that kind, structure and all. */
emk_status emk_scan_whole(emk_scan *s, emk_tensor_kind kind, emk_error *e) EMK_MUST_CHECK;

/* A text in the image that names another file. */
typedef struct emk_part_text {
    uint64_t off, len;
} emk_part_text;

/* The number (from 1) of the part with that name, a new one if need be.  Checks the name as
 * emk_model_part_name does.  EMK_E_FORMAT, EMK_E_LIMIT, what reading the image says. */
emk_status emk_scan_part(emk_scan *s, emk_part_text text, uint32_t *part,
                         emk_error *e) EMK_MUST_CHECK;

/* Adds a part as it is.  EMK_E_LIMIT. */
emk_status emk_scan_new_part(emk_scan *s, const emk_model_part *made, uint32_t *part,
                             emk_error *e) EMK_MUST_CHECK;

/* The emk_dtype of a number of TensorFlow's. */
uint16_t emk_tensorflow_dtype(uint64_t number);

bool emk_tflite_detect(emk_image *im);
emk_status emk_tflite_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_safetensors_detect(emk_image *im);
emk_status emk_safetensors_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_gguf_detect(emk_image *im);
emk_status emk_gguf_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_onnx_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
/* Whether the file begins with a node that has a name and an operation. */
bool emk_graphdef_has_named_node(emk_image *im);
emk_status emk_graphdef_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_savedmodel_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_tensorbundle_detect(emk_image *im);
emk_status emk_tensorbundle_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_safetensors_index_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_coreml_weights_detect(emk_image *im);
emk_status emk_coreml_weights_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_coreml_model_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_ncnn_detect(emk_image *im);
emk_status emk_ncnn_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_ncnn_bin_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_openvino_detect(emk_image *im);
emk_status emk_openvino_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_ort_detect(emk_image *im);
emk_status emk_ort_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;
bool emk_zip_detect(emk_image *im);
emk_status emk_zip_scan(emk_scan *s, emk_error *e) EMK_MUST_CHECK;

#endif
