/* A test authority: evidence of every kind that a device could send, with any field set, under a
 * root of its own.  For tests, and for the CI of people who build on Earmark.
 *
 * The root's name begins with EMK_SIMULATED_NAME, so verifiers refuse it unless they were told
 * otherwise (server/attest/simulated.h).  Keys come from a seed: one seed, one root.  Whoever
 * knows the seed is the authority; it protects nothing.
 *
 * Play Integrity knows no root: its tokens are sealed under keys of the simulator, and say that
 * they are testing responses, which production refuses.
 *
 * A field left out is right.  Fields are named as in the tables of sim.c; emk_sim_fields lists
 * them.  Times are UTCTime ("270101000000Z"), hex has no prefix.
 *
 * Memory that runs out ends the program. */
#ifndef EMK_SERVER_ATTEST_SIM_SIM_H
#define EMK_SERVER_ATTEST_SIM_SIM_H

#include "core/base/buf.h"
#include "server/attest/attest.h"
#include "server/attest/tpm_credential.h"

#define EMK_SIM_SEED_LEN   32u
#define EMK_SIM_PARTS_MAX  8u
#define EMK_SIM_FIELDS_MAX 32u
#define EMK_SIM_VALUE_MAX  2048u /* characters of one value */

typedef struct emk_sim emk_sim;

/* Gives an authority; free with emk_sim_free.  Keeps c.  EMK_E_NO_MEMORY. */
emk_status emk_sim_new(const emk_crypto *c, const uint8_t seed[EMK_SIM_SEED_LEN], emk_sim **out,
                       emk_error *e) EMK_MUST_CHECK;
void emk_sim_free(emk_sim *s);

/* Appends the root's certificate, DER or PEM. */
emk_status emk_sim_root(const emk_sim *s, emk_buf *der, emk_error *e) EMK_MUST_CHECK;
emk_status emk_sim_root_pem(const emk_sim *s, emk_buf *pem, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_sim_field {
    const char *name, *value; /* borrowed */
} emk_sim_field;

typedef struct emk_sim_request {
    emk_attest_kind kind;        /* all but NONE */
    emk_span hash;               /* what is signed over: client data hash, challenge, or binding;
                                  * 1..64 bytes */
    const emk_sim_field *fields; /* borrowed */
    size_t n_fields;
    const emk_tpm_credential *credential; /* TPM: NULL asks for the hello, else for the proof */
    emk_span secret;                      /* TPM: 32 bytes; the whole enrolment, with this in the
                                           * credential */
    bool assertion;                       /* App Attest: an assertion by the attested key */
} emk_sim_request;

/* One file of evidence. */
typedef struct emk_sim_part {
    const char *name; /* "object.cbor", "key_id.bin", "chain.pem", "token.jwe",
                       * "decryption.key", "verification.spki", "token.jws", "hello.cbor",
                       * "proof.cbor", "id_object.bin", "enc_secret.bin", "signing_key.bin",
                       * "agreement_key.bin", "assertion.cbor" */
    emk_buf bytes;    /* owned */
} emk_sim_part;

typedef struct emk_sim_evidence {
    emk_sim_part parts[EMK_SIM_PARTS_MAX];
    size_t n;
} emk_sim_evidence;

/* Makes evidence; end with emk_sim_evidence_done.  EMK_E_USAGE for an unknown field or a value that
 * does not fit it (where = its number); EMK_E_UNSUPPORTED for another kind; EMK_E_SEALED for a
 * credential that is not for this TPM. */
emk_status emk_sim_make(const emk_sim *s, const emk_sim_request *request, emk_sim_evidence *out,
                        emk_error *e) EMK_MUST_CHECK;
void emk_sim_evidence_done(emk_sim_evidence *x);

/* Lends the name of field number i of a kind, and what its values are ("text", "hex", "number",
 * "flag"); NULL when there are no more. */
const char *emk_sim_field_name(emk_attest_kind kind, bool assertion, size_t i, const char **values);

/* Lends the simulated TPM's device keys, 65 bytes each: what a policy must expect. */
emk_span emk_sim_signing_key(const emk_sim *s);
emk_span emk_sim_agreement_key(const emk_sim *s);
/* The same of the key that App Attest evidence is about. */
emk_span emk_sim_app_key(const emk_sim *s);

#endif
