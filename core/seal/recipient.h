/* Envelopes: a content key sealed to one public key, as a COSE_recipient.  [container 3.3] */
#ifndef EMK_CORE_SEAL_RECIPIENT_H
#define EMK_CORE_SEAL_RECIPIENT_H

#include "core/base/writer.h"
#include "core/codec/cbor.h"
#include "core/crypto/hpke.h"
#include "core/seal/lease.h"
#include "core/seal/schedule.h"

#define EMK_RECIPIENT_HINT_LEN   4u
#define EMK_RECIPIENT_CIPHER_LEN 48u
#define EMK_RECIPIENT_MAX        1400u /* bytes of one encoded recipient */
#define EMK_RECIPIENTS_MAX       64u

/* A public key for envelopes. */
typedef struct emk_agree_key {
    uint16_t kem;
    emk_span public_key; /* borrowed */
} emk_agree_key;

/* What an envelope is bound to besides its key. */
typedef struct emk_envelope_context {
    int64_t content_alg;  /* [container 3.2] */
    const uint8_t *extra; /* 32 bytes: core_hash, or 7.4's hash; borrowed */
    bool hint;            /* with a hint, so that a device finds it */
    /* Writing: psk mode with a fresh psk for this key [container 3.5]; empty: base mode. */
    emk_span lease_key;
    emk_lease_opener lease; /* the ticket (writing and opening) and the secret (opening) */
} emk_envelope_context;

/* The COSE alg for a KEM and its suite; EMK_E_UNSUPPORTED for a KEM that no envelope uses. */
emk_status emk_recipient_alg(uint16_t kem, int64_t *alg, emk_hpke_suite *suite,
                             emk_error *e) EMK_MUST_CHECK;

/* Writes a recipient with cek sealed to `to`.  EMK_E_FORMAT for a bad key, EMK_E_UNSUPPORTED. */
emk_status emk_recipient_wrap(const emk_crypto *c, const emk_envelope_context *ctx,
                              const emk_agree_key *to, const uint8_t cek[EMK_CEK_LEN],
                              emk_writer *w, emk_error *e) EMK_MUST_CHECK;

/* A parsed recipient; spans point into what was parsed. */
typedef struct emk_recipient {
    int64_t alg;
    emk_hpke_suite suite;
    emk_span protected_bytes;
    emk_span enc;
    bool has_hint;
    uint8_t hint[EMK_RECIPIENT_HINT_LEN];
    emk_span psk_id; /* EMK_LEASE_PSK_ID_LEN bytes: psk mode; empty: base mode */
    emk_span cipher; /* exactly 48 bytes */
} emk_recipient;

/* Reads one recipient; the reader fails on anything not in the profile.  `hint` says whether
 * there must be one; only with one there may be a psk_id. */
void emk_recipient_read(emk_cbor_reader *r, bool hint, emk_recipient *out);

/* Whether the hint says it is for this key.  A failure of libcrypto is a failure. */
emk_status emk_recipient_matches(const emk_crypto *c, const emk_recipient *r, emk_span public_key,
                                 bool *matches, emk_error *e) EMK_MUST_CHECK;

/* Opens it: fills cek, which the caller wipes.  EMK_E_SEALED when it does not open, or needs a
 * lease and there is no secret; what the key holder says otherwise. */
emk_status emk_recipient_unwrap(const emk_recipient *r, const emk_envelope_context *ctx,
                                const emk_kem_private *key, uint8_t cek[EMK_CEK_LEN],
                                emk_error *e) EMK_MUST_CHECK;

#endif
