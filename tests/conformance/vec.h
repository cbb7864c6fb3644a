/* What every format of vectors shares: one test's beginning and end, its checks, its fields.
 *
 * Between begin and end a test makes checks; the first that fails is what gets printed.  A
 * test that made no check at all fails, so that nothing passes by accident.  A field that is
 * missing or not what the format says makes the file malformed; the test then asks
 * emk_vec_is_well before it uses anything.
 *
 * All memory is the scratch arena's and gone with the next test.  When there is none left the
 * program says so and ends: it is a test program, and has nothing to save. */
#ifndef EMK_TESTS_CONFORMANCE_VEC_H
#define EMK_TESTS_CONFORMANCE_VEC_H

#include "cli/json_dom.h"
#include "core/crypto/crypto.h"
#include "tests/conformance/report.h"

#define EMK_VEC_FILE_MAX     (64u << 20)  /* bytes of a vector file */
#define EMK_VEC_INFLATED_MAX (160u << 20) /* bytes of a body that was compressed */
#define EMK_VEC_SCRATCH_MAX  (512u << 20) /* bytes for one test */
#define EMK_VEC_BUFFER_MAX   (16u << 20)  /* bytes that a length in a vector may ask for */

typedef struct emk_vec {
    const emk_crypto *crypto; /* kept */
    emk_report *report;       /* kept */
    emk_arena scratch;
    char id[EMK_REPORT_TEXT_MAX];
    char failure[EMK_REPORT_TEXT_MAX]; /* empty: none */
    char skip[EMK_REPORT_TEXT_MAX];    /* empty: not skipped */
    char broken[EMK_REPORT_TEXT_MAX];  /* the first bad field; empty: none */
    size_t n_checks;
} emk_vec;

#define EMK_VEC_PRINTF(n) __attribute__((format(printf, (n), (n) + 1)))

/* Starts a test; the format gives its id. */
void emk_vec_begin(emk_vec *v, const char *format, ...) EMK_VEC_PRINTF(2);
/* Counts it.  A failed check counts more than a skip. */
void emk_vec_end(emk_vec *v);

/* The test cannot be run, or not to its end, for this reason. */
void emk_vec_skip(emk_vec *v, const char *format, ...) EMK_VEC_PRINTF(2);
/* The file is not in its format; the test counts as failed by nobody, but the exit code tells. */
void emk_vec_malformed(emk_vec *v, const char *format, ...) EMK_VEC_PRINTF(2);
/* One that neither failed nor was skipped, all fields as they should be. */
bool emk_vec_is_well(const emk_vec *v);

/* Checks.  Each gives whether it held. */
bool emk_vec_fail(emk_vec *v, const char *format, ...) EMK_VEC_PRINTF(2); /* always false */
bool emk_vec_true(emk_vec *v, const char *what, bool truth);
bool emk_vec_same(emk_vec *v, const char *what, emk_span got, emk_span want);
bool emk_vec_ok(emk_vec *v, const char *what, emk_status st, const emk_error *e);
bool emk_vec_status(emk_vec *v, const char *what, emk_status st, emk_status want);
/* Refused because of the input: EMK_E_CRYPTO and the like are no answer to a bad input. */
bool emk_vec_refused(emk_vec *v, const char *what, emk_status st);

/* Lends len zeroed bytes. */
void *emk_vec_take(emk_vec *v, size_t len);
/* The same for a length that a vector names: malformed, and 1 byte, beyond EMK_VEC_BUFFER_MAX. */
uint8_t *emk_vec_take_asked(emk_vec *v, uint64_t len);

/* Fields of a test.  Absent or of another kind: malformed, and an empty value.  With `_opt` an
 * absent field is the empty value.  Bytes are lent. */
emk_span emk_vec_hex(emk_vec *v, const emk_dom *object, const char *key);
emk_span emk_vec_hex_opt(emk_vec *v, const emk_dom *object, const char *key);
emk_span emk_vec_text(emk_vec *v, const emk_dom *object, const char *key);
emk_span emk_vec_text_opt(emk_vec *v, const emk_dom *object, const char *key);
uint64_t emk_vec_number(emk_vec *v, const emk_dom *object, const char *key, uint64_t max);
const emk_dom *emk_vec_object(emk_vec *v, const emk_dom *object, const char *key);
const emk_dom *emk_vec_array(emk_vec *v, const emk_dom *object, const char *key);
/* base64url as in JOSE, decoded; malformed when it is not canonical. */
emk_span emk_vec_base64url(emk_vec *v, const emk_dom *object, const char *key);

/* Decodes; false when `text` is not that. */
bool emk_vec_unhex(emk_vec *v, emk_span text, emk_span *out);
bool emk_vec_unbase64url(emk_vec *v, emk_span text, emk_span *out);

/* A text from a vector as two arguments for %.*s. */
#define EMK_VEC_SHOWN(s) (int)((s).len > 60 ? 60 : (s).len), (const char *)(s).p

/* Lends the parts, one after the other. */
emk_span emk_vec_join(emk_vec *v, const emk_span *parts, size_t n);

#endif
