/* Finds the weights inside model files: a file in, a list of byte ranges out.
 *
 * Readers take ranges from explicit offset and length fields and never compute a size from
 * type and shape; those are labels.  They see the file only through an emk_image, use no
 * heap and no recursion, keep no state, and spend a step budget, so that a small file
 * cannot ask for a lot of work.  They emit ranges in the order they meet them; sorting,
 * merging and the check that weights do not overlap structure are in
 * core/model/extents.h.  A reader promises only that what it emits is well-formed; call
 * emk_extents_settle and emk_extents_check_stable before a byte is changed. */
#ifndef EMK_CORE_MODEL_MODEL_H
#define EMK_CORE_MODEL_MODEL_H

#include "core/base/image.h"
#include "core/base/status.h"

#define EMK_MODEL_DIMS_MAX    8u         /* dimensions kept of a shape */
#define EMK_MODEL_RANK_MORE   255u       /* the shape has more of them than that */
#define EMK_MODEL_TENSORS_MAX (1u << 20) /* what a container can list */
#define EMK_MODEL_PARTS_MAX   256u       /* files beside the model file */
#define EMK_MODEL_PART_NAME   256u       /* bytes that hold a part's name and its final zero */
#define EMK_MODEL_STEPS_EXTRA 4096u      /* default budget: file bytes plus this */
#define EMK_MODEL_CUSTOM_MIN  1024u      /* custom options beyond this many bytes count */

/* Stable numbers: they are written into files.  Append, never renumber. */
typedef enum emk_model_format {
    EMK_MODEL_UNKNOWN = 0,
    EMK_MODEL_TFLITE = 1,
    EMK_MODEL_SAFETENSORS = 2,
    EMK_MODEL_GGUF = 3,
    EMK_MODEL_ONNX = 4,
    EMK_MODEL_GRAPHDEF = 5,          /* no magic: by ".pb" and its first node */
    EMK_MODEL_SAVEDMODEL = 6,        /* saved_model.pb alone, without its variables */
    EMK_MODEL_ZIP = 7,               /* .task of TensorFlow Lite models, PyTorch, Keras v3 */
    EMK_MODEL_TENSORBUNDLE = 8,      /* variables.index; the shards are its parts */
    EMK_MODEL_SAFETENSORS_INDEX = 9, /* lists shards, each a safetensors file of its own */
    EMK_MODEL_COREML_WEIGHTS = 10,   /* weight.bin of an .mlpackage */
    EMK_MODEL_COREML_MODEL = 11,     /* .mlmodel: sealed whole, not read */
    EMK_MODEL_NCNN = 12,             /* .param; the .bin is its part */
    EMK_MODEL_NCNN_BIN = 13,         /* the .bin alone; never detected: ask for it */
    EMK_MODEL_OPENVINO = 14,         /* .xml; the .bin is its part */
    EMK_MODEL_ORT = 15               /* ONNX Runtime's own: sealed whole, not read */
} emk_model_format;

/* Element types of all formats, one table.  Stable numbers.  Labels only. */
typedef enum emk_dtype {
    EMK_DTYPE_OTHER = 0, /* known to its format, without a number here */
    EMK_DTYPE_F32 = 1,
    EMK_DTYPE_F16 = 2,
    EMK_DTYPE_BF16 = 3,
    EMK_DTYPE_F64 = 4,
    EMK_DTYPE_I8 = 5,
    EMK_DTYPE_U8 = 6,
    EMK_DTYPE_I16 = 7,
    EMK_DTYPE_U16 = 8,
    EMK_DTYPE_I32 = 9,
    EMK_DTYPE_U32 = 10,
    EMK_DTYPE_I64 = 11,
    EMK_DTYPE_U64 = 12,
    EMK_DTYPE_BOOL = 13,
    EMK_DTYPE_STRING = 14,
    EMK_DTYPE_C64 = 15,
    EMK_DTYPE_C128 = 16,
    EMK_DTYPE_I4 = 17,
    EMK_DTYPE_U4 = 18,
    EMK_DTYPE_I2 = 19,
    EMK_DTYPE_U2 = 20,
    EMK_DTYPE_F8_E4M3 = 21,
    EMK_DTYPE_F8_E5M2 = 22,
    EMK_DTYPE_F8_E8M0 = 23,
    EMK_DTYPE_F4_E2M1 = 24,
    EMK_DTYPE_F6_E2M3 = 25,
    EMK_DTYPE_F6_E3M2 = 26,
    EMK_DTYPE_QUANT_BLOCKS = 27 /* ggml's block types */
} emk_dtype;

typedef enum emk_tensor_kind {
    EMK_TENSOR_WEIGHT = 0,  /* a constant of the network */
    EMK_TENSOR_CUSTOM = 1,  /* an operator's custom options; only with EMK_MODEL_CUSTOM */
    EMK_TENSOR_OTHER = 2,   /* data that nothing names */
    EMK_TENSOR_CHECKSUM = 3 /* a checksum of weights, or a file full of them: it confirms a guess
                               at what it covers, so whoever seals weights seals it, too */
} emk_tensor_kind;

/* flags: the length is not said and stays 0 until emk_extents_settle finds it. */
#define EMK_TENSOR_TO_END  1u /* up to the end of its part */
#define EMK_TENSOR_TO_NEXT 2u /* up to where the next range begins, or the end of its part */
/* flags: the range holds structure, too, so nothing can be read of the sealed file. */
#define EMK_TENSOR_WHOLE 4u

/* A range of bytes that holds weights.  Offsets count from the start of the file; the name
 * is as it stands there, escapes included.  Where it stands nowhere in one piece, name_len is
 * 0 and name_text has it, for as long as the visitor runs: who keeps a tensor clears that. */
typedef struct emk_tensor {
    uint64_t offset; /* in the file `part` */
    uint64_t length; /* bytes; may be 0 */
    uint32_t part;   /* 0: the model file itself; n: parts[n - 1] of the report */
    uint32_t name_len;
    uint64_t name_off; /* in the model file; when name_len is not 0 */
    uint64_t dims[EMK_MODEL_DIMS_MAX];
    uint64_t name_hash;    /* of a name that no other tensor may have; 0: names may repeat */
    const char *name_text; /* lent for the call; ends with a zero; NULL: see name_len */
    uint32_t chain[2];     /* private to core/model/extents.c */
    uint16_t dtype;        /* emk_dtype */
    uint8_t kind;          /* emk_tensor_kind */
    uint8_t rank;          /* dims in use, or EMK_MODEL_RANK_MORE: then none are */
    uint8_t flags;
} emk_tensor;

/* Gets each tensor; *t is lent for the call.  A failure ends the scan and is its result. */
typedef emk_status (*emk_tensor_fn)(void *self, const emk_tensor *t, emk_error *e);

/* limits.flags */
#define EMK_MODEL_CUSTOM         1u /* emit custom options beyond EMK_MODEL_CUSTOM_MIN */
#define EMK_MODEL_STRICT         2u /* EMK_E_UNSUPPORTED where weights would stay clear */
#define EMK_MODEL_KEEP_SMALL_INT 4u /* leave i32, i64, bool of up to 64 bytes clear: shapes */

/* All zero is a good default. */
typedef struct emk_model_limits {
    uint64_t max_steps;   /* 0: file bytes + EMK_MODEL_STEPS_EXTRA */
    uint32_t max_tensors; /* 0: EMK_MODEL_TENSORS_MAX */
    uint32_t flags;
} emk_model_limits;

/* Why bytes that may matter stay clear. */
typedef enum emk_clear {
    EMK_CLEAR_CUSTOM = 0, /* custom options beyond EMK_MODEL_CUSTOM_MIN, not asked for */
    EMK_CLEAR_STRING,     /* string tensors: they hold offsets */
    EMK_CLEAR_TRAILING,   /* behind the end of what the format describes */
    EMK_CLEAR_SMALL_INT,  /* by EMK_MODEL_KEEP_SMALL_INT */
    EMK_CLEAR_VARINT,     /* weights as varints or value by value: not to be sealed in place */
    EMK_CLEAR_ATTRIBUTE,  /* weights in operator attributes: trees, linear models */
    EMK_CLEAR_COMPRESSED, /* compressed members of a container */
    EMK_CLEAR_CHECKSUM,   /* checksums of weights that cannot be sealed with them */
    EMK_CLEAR_MEMBER,     /* members of a container that are not known to be weights */
    EMK_CLEAR_UNREAD,     /* a file of a format whose weights are not told apart: sealed whole */
    EMK_CLEAR_REASONS
} emk_clear;

/* Where the name of a part comes from. */
typedef enum emk_part_naming {
    EMK_PART_NAMED = 0,  /* it stands in the model file; name_len is not 0 */
    EMK_PART_SHARD = 1,  /* "<stem>.data-00001-of-00002": the model file is "<stem>.index" */
    EMK_PART_BIN = 2,    /* "<stem>.bin" */
    EMK_PART_UNNAMED = 3 /* the model file does not say; whoever ships it knows */
} emk_part_naming;

/* A file beside the model file.  emk_model_part_name tells its name. */
typedef struct emk_model_part {
    uint64_t name_off; /* in the model file */
    uint32_t name_len;
    uint32_t number; /* from 0, in the format's own count */
    uint32_t of;     /* EMK_PART_SHARD: how many there are */
    uint8_t naming;  /* emk_part_naming */
} emk_model_part;

typedef struct emk_model_report {
    uint32_t tensors;        /* emitted */
    uint32_t n_parts;        /* of parts */
    uint64_t weight_bytes;   /* emitted, all kinds; ranges that coincide count again, those
                                without a length do not count */
    uint64_t external_bytes; /* of these in other parts */
    uint64_t steps;          /* of the budget */
    uint64_t tiled_bytes;    /* not 0: ranges must fill so many bytes, none of them twice */
    uint64_t clear[EMK_CLEAR_REASONS]; /* bytes */
    uint64_t checksum_bytes;           /* of weight_bytes, those of kind EMK_TENSOR_CHECKSUM */
    uint32_t split_number;             /* a model split into files that each stand alone: */
    uint32_t split_of;                 /* this is file number, from 0, of so many; 0: not split */
    emk_model_part parts[EMK_MODEL_PARTS_MAX];
} emk_model_report;

/* Which format the file has, by its bytes and, where they say nothing, by the end of
 * file_name (may be NULL).  EMK_MODEL_UNKNOWN when none fits: such a file is sealed whole.  A
 * format named here may still be refused by the scan.  Clears im->cut.  [models 0.3] */
emk_model_format emk_model_detect(emk_image *im, const char *file_name);

/* What a file that emk_model_detect does not know is, for people: a static text, or NULL when
 * nobody knows.  Clears im->cut. */
const char *emk_model_unknown_note(emk_image *im);

/* A scan: everything in it is borrowed for the call. */
typedef struct emk_model_job {
    emk_model_format format;
    emk_image *im;
    const emk_model_limits *limits; /* NULL: the defaults */
    emk_tensor_fn fn;               /* NULL: only count */
    void *self;                     /* fn's */
} emk_model_job;

/* Reads the structure and calls fn for each tensor.  Fills *report (NULL is fine) on success
 * only.  fn may have been called before a failure.
 * EMK_E_USAGE for a format without a reader, EMK_E_FORMAT, EMK_E_LIMIT (budget, tensors,
 * parts), EMK_E_UNSUPPORTED, what reading the image says, or what fn returns.
 * Clears im->cut first and leaves it set after a failed read.  [models 0.1] */
emk_status emk_model_scan_job(const emk_model_job *job, emk_model_report *report,
                              emk_error *e) EMK_MUST_CHECK;

/* The same, spelled out. */
#define emk_model_scan(format, im, limits, fn, self, report, e)                                  \
    emk_model_scan_job(&(const emk_model_job){(format), (im), (limits), (fn), (self)}, (report), \
                       (e))

/* Writes the name of a part that a scan of im reported, relative to the model file's folder,
 * with its final zero: steps of UTF-8 without control characters between single slashes, no
 * "..", no backslash, no colon.  file_name is the model file's, with or without folders.
 * What it names may still be a link: open it so that links are not followed.
 * EMK_E_FORMAT for a name that leads elsewhere or back to file_name, EMK_E_LIMIT for one too long,
 * EMK_E_USAGE for a part without a name or a file_name it cannot be told from, what reading the
 * image says; out is untouched then.  Clears im->cut first.  [models 0.5] */
emk_status emk_model_part_name(emk_image *im, const char *file_name, const emk_model_part *part,
                               char out[EMK_MODEL_PART_NAME], emk_error *e) EMK_MUST_CHECK;

/* "tflite" and so on; stable.  "unknown" for anything else; never NULL. */
const char *emk_model_format_name(emk_model_format f);
/* The format of that name, or EMK_MODEL_UNKNOWN. */
emk_model_format emk_model_format_named(const char *name);
/* "f32" and so on; stable.  "other" for anything else; never NULL. */
const char *emk_model_dtype_name(uint16_t dtype);
/* "custom-options" and so on, for reports.  Never NULL. */
const char *emk_model_clear_name(emk_clear reason);

#endif
