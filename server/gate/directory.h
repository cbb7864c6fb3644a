/* Where the gate looks up those it does not know: a table that the caller fills in, because
 * records belong to the API.
 *
 * Thread rule: every call may come from any thread at any time. */
#ifndef EMK_SERVER_GATE_DIRECTORY_H
#define EMK_SERVER_GATE_DIRECTORY_H

#include "core/crypto/sign.h"
#include "server/gate/principal.h"

#define EMK_PASSWORD_TEXT_MAX 160u /* a stored password with its parameters and a zero */

typedef struct emk_gate_device {
    emk_sign_alg alg;
    uint8_t signing_key[EMK_SIGN_PUBLIC_MAX]; /* emk_sign_public_len(alg) bytes */
    char user[EMK_PRINCIPAL_NAME_MAX + 1];    /* who enrolled it; "": any user may use it */
    char tenant[EMK_PRINCIPAL_NAME_MAX + 1];  /* whose user that is */
    uint8_t attestation_level;
    bool revoked;
    uint64_t not_after; /* of its certificate, seconds since 1970 */
} emk_gate_device;

typedef struct emk_gate_service {
    char name[EMK_PRINCIPAL_NAME_MAX + 1];
    char tenant[EMK_PRINCIPAL_NAME_MAX + 1]; /* whose service it is; "": the default */
    uint8_t secret_hash[32];                 /* emk_service_key_hash */
    uint64_t scopes;
    uint64_t not_after; /* 0: no end */
    bool revoked;
} emk_gate_service;

typedef struct emk_gate_operator {
    char password[EMK_PASSWORD_TEXT_MAX]; /* emk_password_make */
    uint64_t scopes;
    uint32_t generation; /* raised: all sessions of this operator are over */
    bool disabled;
} emk_gate_operator;

/* Each fills *out and returns EMK_OK, EMK_E_NOT_FOUND, or anything else when it could not find
 * out: then the request is answered 503. */
typedef struct emk_gate_directory_ops {
    uint32_t size; /* sizeof of the writer's table: it can grow */
    emk_status (*device)(void *self, const uint8_t id[32], emk_gate_device *out, emk_error *e);
    emk_status (*service)(void *self, const char *key_id, emk_gate_service *out, emk_error *e);
    /* By SHA-256 of the client certificate; secret_hash is not looked at. */
    emk_status (*certificate)(void *self, const uint8_t fingerprint[32], emk_gate_service *out,
                              emk_error *e);
    emk_status (*operator_)(void *self, const char *name, emk_gate_operator *out, emk_error *e);
} emk_gate_directory_ops;

typedef struct emk_gate_directory {
    const emk_gate_directory_ops *ops; /* an ability that is NULL: nobody is found */
    void *self;
} emk_gate_directory;

#endif
