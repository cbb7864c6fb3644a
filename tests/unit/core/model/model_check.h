/* What the tests of all readers share: scan into an array, settle, pass the gate. */
#ifndef EMK_TESTS_UNIT_CORE_MODEL_MODEL_CHECK_H
#define EMK_TESTS_UNIT_CORE_MODEL_MODEL_CHECK_H

#include "core/model/extents.h"

#define CHECK_MAX 512u

typedef struct model_check {
    emk_image im;
    emk_tensor seen[CHECK_MAX]; /* as emitted */
    uint32_t n_seen;
    emk_tensor v[CHECK_MAX]; /* settled */
    emk_extents x;
    emk_model_report report;
    emk_error e;
} model_check;

/* Scans bytes and keeps all that is emitted in seen. */
emk_status model_check_scan(model_check *c, emk_model_format f, emk_span bytes, uint32_t flags);

/* Scans, settles and passes the gate; other parts are 1 MiB each. */
emk_status model_check_all(model_check *c, emk_model_format f, emk_span bytes, uint32_t flags);

#endif
