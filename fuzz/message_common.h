/* For the fuzzer of messages: they are signed with one fixed Ed25519 key. */
#ifndef EMK_FUZZ_MESSAGE_COMMON_H
#define EMK_FUZZ_MESSAGE_COMMON_H

#include "core/seal/cose.h"

/* Makes a signed object around any payload; false when it is too long. */
bool message_sign_payload(emk_cose_type type, emk_span payload, emk_buf *out);

/* Reads a message and signs what it says again; false when it is refused.  (An enrolment is
 * signed by the key inside, which nobody has here: it is always refused, at the last.) */
bool message_read_and_sign(emk_cose_type type, emk_span message, emk_buf *out);

#endif
