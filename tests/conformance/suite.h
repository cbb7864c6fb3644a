/* Which HPKE suites must work here.  A suite that must and does not is a failure, never a
 * skip: otherwise a broken check would turn all vectors off in silence. */
#ifndef EMK_TESTS_CONFORMANCE_SUITE_H
#define EMK_TESTS_CONFORMANCE_SUITE_H

#include "core/crypto/hpke.h"
#include "tests/conformance/vec.h"

/* Skips the test, with the reason, when Earmark does not do the suite; fails it when
 * emk_hpke_check_suite is of another opinion.  True: go on. */
bool emk_suite_is_run(emk_vec *v, emk_hpke_suite suite);

/* The names of draft-ietf-cose-hpke and draft-ietf-jose-hpke-encrypt: "HPKE-0" or COSE's number
 * 35.  *key_encryption: it is the -KE form.  False for one that is not known. */
bool emk_suite_from_name(emk_span name, emk_hpke_suite *out, bool *key_encryption);
bool emk_suite_from_cose(int64_t alg, emk_hpke_suite *out, bool *key_encryption);

#endif
