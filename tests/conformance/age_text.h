/* The text encodings of age: base64, armor (RFC 7468), Bech32 (BIP 173). */
#ifndef EMK_TESTS_CONFORMANCE_AGE_TEXT_H
#define EMK_TESTS_CONFORMANCE_AGE_TEXT_H

#include "tests/conformance/vec.h"

/* Standard alphabet, canonical, without padding, or with all that there must be.  Lends. */
bool emk_age_base64(emk_vec *v, emk_span text, bool padded, emk_span *out);

/* Lends what is in the armor; false when it is not strictly one. */
bool emk_age_unarmor(emk_vec *v, emk_span text, emk_span *out);

/* Fills out with the 32 bytes behind that prefix (upper case, without the separator "1"). */
bool emk_age_unbech32(emk_span text, const char *prefix, uint8_t out[32]);

#endif
