/* Apple App Attest: a key in the Secure Enclave that Apple vouches for (attestation, once for
 * each key), and what that key signs later (assertion, with each request).
 *
 * An attestation proves: a genuine Apple device, the app with this App ID, a key that does not
 * leave the Secure Enclave.  It does not prove that the system is not jailbroken, nor who holds
 * the device.  Development builds are refused unless the caller asks for them, and then proven
 * to be level 0: anybody with a developer account makes them.
 *
 * Trailing data in authenticator data (a map of app properties, since iOS 27) is found by
 * position: its flags are not reliable. */
#ifndef EMK_SERVER_ATTEST_APP_ATTEST_H
#define EMK_SERVER_ATTEST_APP_ATTEST_H

#include "core/crypto/x509.h"
#include "server/attest/attest.h"
#include "server/attest/simulated.h"

#define EMK_APP_ATTEST_OBJECT_MAX 16384u /* bytes of an attestation object */
#define EMK_APP_ATTEST_ASSERT_MAX 4096u  /* bytes of an assertion */
#define EMK_APP_ATTEST_HASH_MAX   128u   /* bytes of what stands for the client data's hash */
#define EMK_APP_ATTEST_KEY_LEN    65u    /* 04 || x || y */

/* What the caller expects. */
typedef struct emk_app_attest_policy {
    const char *app_id;    /* "TEAMID.bundle.id" */
    bool development;      /* the environment: exactly this one is accepted */
    const emk_x509 *roots; /* Apple App Attestation Root CA; borrowed */
    size_t n_roots;
    int64_t time_s;      /* seconds since 1970 */
    emk_x509_memo *memo; /* NULL: none */
    emk_simulated_mode simulated;
} emk_app_attest_policy;

typedef struct emk_app_attest_evidence {
    emk_span object; /* the attestation object, CBOR */
    emk_span key_id; /* 32 bytes, decoded */
    /* SHA-256 of the client data.  Not always 32 bytes: Apple's own guide signs the challenge
     * itself, and the claims then carry a warning. */
    emk_span client_data_hash;
} emk_app_attest_evidence;

/* What to store with the account; key_id must be unique over all accounts. */
typedef struct emk_app_attest_key {
    uint8_t id[32];
    uint8_t public_key[EMK_APP_ATTEST_KEY_LEN];
    emk_span receipt; /* lent from the evidence; empty when there is none */
} emk_app_attest_key;

/* Verifies an attestation.  Fills claims and key.  EMK_E_USAGE for an impossible policy;
 * EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED for evidence that is not well-formed;
 * EMK_E_SIGNATURE for a chain, nonce or key that is not right; EMK_E_STALE for dates;
 * EMK_E_POLICY for another app or environment; EMK_E_CRYPTO, EMK_E_NO_MEMORY.
 * e->what names the reason for the operator; a client is told the status at most. */
emk_status emk_app_attest_verify(const emk_crypto *c, const emk_app_attest_policy *policy,
                                 const emk_app_attest_evidence *evidence, emk_claims *claims,
                                 emk_app_attest_key *key, emk_error *e) EMK_MUST_CHECK;

/* The server's record of the key that an assertion must be made with. */
typedef struct emk_app_attest_record {
    const char *app_id;
    emk_span public_key; /* EMK_APP_ATTEST_KEY_LEN bytes, from emk_app_attest_key */
    uint32_t counter;    /* of the last assertion; 0 after the attestation */
} emk_app_attest_record;

/* Verifies an assertion over client data with this hash and fills *counter, which the caller
 * stores in the transaction that read the record: of two requests with one counter, one must
 * fail.  That the challenge is inside the client data is for the caller to see.  Refusals as
 * above; EMK_E_USED when the counter did not grow. */
emk_status emk_app_attest_assert(const emk_crypto *c, const emk_app_attest_record *record,
                                 emk_span assertion, emk_span client_data_hash, uint32_t *counter,
                                 emk_error *e) EMK_MUST_CHECK;

#endif
