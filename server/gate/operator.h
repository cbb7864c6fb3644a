/* Operators: passwords at rest, and sessions that live in their token.
 *
 * A session is a MAC over name, times and the operator's generation: nothing is stored, all nodes
 * with the key take it, and raising the generation in the record ends all sessions of that
 * operator at once.  A session made with a second proof of presence carries until when it counts
 * as such ("step up").
 *
 * WebAuthn is not here: what the second proof is, the API decides.
 *
 * Thread rule: an emk_sessions is shared by all threads. */
#ifndef EMK_SERVER_GATE_OPERATOR_H
#define EMK_SERVER_GATE_OPERATOR_H

#include "server/gate/directory.h"

#define EMK_PASSWORD_MIN          12u /* bytes of a new one */
#define EMK_PASSWORD_MAX          256u
#define EMK_PASSWORD_SCRYPT_N     32768u               /* 32 MiB with r = 8, some 0.1 s */
#define EMK_PASSWORD_MEM_MAX      (UINT64_C(64) << 20) /* what a stored one may ask for */
#define EMK_SESSION_PREFIX        "emko."
#define EMK_SESSION_TEXT_MAX      320u /* characters with a zero */
#define EMK_SESSION_LIFE_MAX_S    UINT64_C(43200)
#define EMK_SESSION_STEP_UP_MAX_S 900u

/* Fills out with the text to store: parameters, a fresh salt, the scrypt hash.  EMK_E_LIMIT for a
 * password too short or too long; EMK_E_UNSUPPORTED, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_password_make(const emk_crypto *c, emk_span password,
                             char out[EMK_PASSWORD_TEXT_MAX], emk_error *e) EMK_MUST_CHECK;
/* EMK_OK when it is the stored one's, else EMK_E_SIGNATURE.  `stored` NULL: nobody's; takes as
 * long and is EMK_E_SIGNATURE.  EMK_E_FORMAT or EMK_E_LIMIT for a stored text that is no such;
 * EMK_E_CRYPTO, EMK_E_NO_MEMORY.  Takes 32 MiB and some 0.1 s: never on an event loop, and
 * behind a limit. */
emk_status emk_password_verify(const emk_crypto *c, const char *stored, emk_span password,
                               emk_error *e) EMK_MUST_CHECK;

typedef struct emk_sessions emk_sessions;

/* Gives the maker and checker of sessions; free with emk_sessions_free.  Borrows key (32 bytes),
 * keeps c.  EMK_E_USAGE, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_sessions_new(const emk_crypto *c, emk_span key, emk_sessions **out,
                            emk_error *e) EMK_MUST_CHECK;
void emk_sessions_free(emk_sessions *s);

typedef struct emk_session {
    char name[EMK_PRINCIPAL_NAME_MAX + 1];
    uint64_t issued;
    uint64_t until;         /* seconds since 1970 */
    uint64_t step_up_until; /* 0: never */
    uint32_t generation;    /* of the operator's record when it was made */
} emk_session;

/* Fills text with the bearer token of in, and a zero.  EMK_E_USAGE for a name that is empty or
 * has a control character, or times that are longer than the limits above; EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_session_make(const emk_sessions *s, const emk_session *in,
                            char text[EMK_SESSION_TEXT_MAX], emk_error *e) EMK_MUST_CHECK;
/* Fills out from a token that we made and that is not over.  The caller compares the generation
 * with the record's.  EMK_E_FORMAT, EMK_E_SIGNATURE, EMK_E_STALE, EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_session_verify(const emk_sessions *s, emk_span text, uint64_t now_s,
                              emk_session *out, emk_error *e) EMK_MUST_CHECK;

#endif
