/* What the messages between device, issuer and sealer have in common.  [messages]
 *
 * Each message has a file of its own with two calls: emk_<message>_sign appends the signed
 * bytes to a buffer, emk_<message>_verify reads and believes them.  A struct that was read
 * borrows: its spans point into the bytes it was read from, which must stay.  Structs are
 * written only on EMK_OK.
 *
 * Reading fails with EMK_E_FORMAT (not in the profile, a key unknown, missing or of the wrong
 * size), EMK_E_LIMIT (a message, text or number too large), EMK_E_UNSUPPORTED (another
 * algorithm, KEM or kind), EMK_E_SIGNATURE (not signed by the key trusted for it), EMK_E_POLICY
 * (its time is over), EMK_E_CRYPTO or EMK_E_NO_MEMORY.  Writing fails with EMK_E_USAGE for a
 * value the message does not have, EMK_E_LIMIT when it would be too long, EMK_E_NO_MEMORY, or
 * what the signer says. */
#ifndef EMK_CORE_PROTO_MESSAGE_H
#define EMK_CORE_PROTO_MESSAGE_H

#include "core/seal/header.h"

#define EMK_DEVICE_SIGN_LEN 65u /* bytes: a device signs with P-256 [messages 1] */

/* Public agreement keys are emk_agree_key of core/seal/recipient.h.  [messages 1] */
bool emk_agree_key_equal(const emk_agree_key *a, const emk_agree_key *b);

/* The device id: a hash of both public keys.  Fills out.  EMK_E_USAGE for keys that a device
 * cannot have (sizes, KEM); EMK_E_CRYPTO or EMK_E_NO_MEMORY.  [messages 2] */
emk_status emk_device_id(const emk_crypto *c, emk_span signing_key, const emk_agree_key *agree,
                         uint8_t out[EMK_DEVICE_ID_LEN], emk_error *e) EMK_MUST_CHECK;

/* The hash by which a message is named (request hash, ticket hash): SHA-256 of its bytes as
 * they were sent.  EMK_E_CRYPTO or EMK_E_NO_MEMORY.  [messages 6] */
emk_status emk_message_hash(const emk_crypto *c, emk_span message, uint8_t out[EMK_HASH_LEN],
                            emk_error *e) EMK_MUST_CHECK;

#endif
