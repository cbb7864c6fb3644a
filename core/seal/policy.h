/* Policy and identity, encoded and judged.  The types are public: <earmark/policy.h>.
 * [container 8]
 *
 * The policy is in the signed header in clear and identifies nobody; the identity is in the
 * sealed part.  Both are compared byte for byte with the ticket's, so they are encoded once,
 * by whoever issues the ticket, and copied after that. */
#ifndef EMK_CORE_SEAL_POLICY_H
#define EMK_CORE_SEAL_POLICY_H

#include "core/base/buf.h"
#include "core/base/span.h"

#include <earmark/policy.h>

#define EMK_POLICY_MAX   256u /* bytes of an encoded policy */
#define EMK_IDENTITY_MAX 1024u

/* Appends the encoded map.  EMK_E_USAGE for a value the format does not have (no expiry, grace
 * without lease, text too long or not UTF-8 ...), EMK_E_NO_MEMORY, EMK_E_LIMIT. */
emk_status emk_policy_encode(const emk_policy *p, emk_buf *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_identity_encode(const emk_identity *id, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out, whose texts then point into `in`.  EMK_E_FORMAT, EMK_E_LIMIT. */
emk_status emk_policy_decode(emk_span in, emk_policy *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_identity_decode(emk_span in, emk_identity *out, emk_error *e) EMK_MUST_CHECK;

/* True for UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F). */
bool emk_text_is_clean(emk_span text);

/* EMK_OK when a text is 1..EMK_TEXT_MAX bytes, and clean. */
emk_status emk_text_check(emk_span text, emk_error *e) EMK_MUST_CHECK;

/* Who asks, when, and with what. */
typedef struct emk_policy_ask {
    uint64_t now;   /* the time that decides [container 8.3] */
    uint64_t opens; /* counted so far */
    uint8_t guard;  /* the guard's level */
    emk_span user;  /* empty: not named */
    emk_span app;
    emk_span use;
    const uint8_t *device; /* EMK_DEVICE_ID_LEN bytes */
    uint64_t lease_until;  /* 0: there is no lease */
    bool clock_is_behind;  /* by more than EMK_CLOCK_SLACK_S [container 8.3] */
} emk_policy_ask;

/* How far behind the issuer's time a device's clock may be before a lease is not opened. */
#define EMK_CLOCK_SLACK_S 600u

/* When a lease and its grace are over; no later than the policy. */
uint64_t emk_policy_lease_end(const emk_policy *p, uint64_t lease_until);

/* EMK_OK, or EMK_E_POLICY with one text for each rule.  `memory` and `release` are enforced
 * where memory is allocated and where releases are counted. */
emk_status emk_policy_check(const emk_policy *p, const emk_identity *id, const emk_policy_ask *ask,
                            emk_error *e) EMK_MUST_CHECK;

#endif
