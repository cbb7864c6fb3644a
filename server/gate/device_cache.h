/* Devices that were looked up, with their keys ready to verify: importing a key costs as much as
 * a third of a verification.  Private to the gate.
 *
 * A table of fixed size in sets of four, each device for a few seconds only, so that what the
 * directory says (a revocation on another node) counts soon.  Unknown devices are not kept.
 *
 * Thread rule: shared by all threads; a device that was lent stays until it is given back. */
#ifndef EMK_SERVER_GATE_DEVICE_CACHE_H
#define EMK_SERVER_GATE_DEVICE_CACHE_H

#include "server/gate/directory.h"
#include "server/gate/known.h"

typedef struct emk_known_device {
    emk_gate_device record;
    const emk_verify_key *key;
    uint8_t jkt[32]; /* thumbprint of the signing key [RFC 7638] */
    uint8_t id[EMK_GATE_DEVICE_ID_LEN];
    emk_known_key *lent; /* private from here */
    uint64_t until_ns;
    uint32_t refs;
} emk_known_device;

typedef struct emk_device_cache emk_device_cache;

typedef struct emk_device_cache_config {
    const emk_crypto *crypto; /* kept, like the rest */
    emk_known *known;         /* makes the keys */
    emk_gate_directory directory;
    uint32_t n;      /* devices */
    uint32_t life_s; /* 0: none are kept, their keys are */
} emk_device_cache_config;

/* Gives a cache; free with emk_device_cache_free.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_device_cache_new(const emk_device_cache_config *config, emk_device_cache **out,
                                emk_error *e) EMK_MUST_CHECK;
void emk_device_cache_free(emk_device_cache *d);

/* Lends a device until emk_device_cache_give.  EMK_E_NOT_FOUND; what the directory said;
 * EMK_E_CRYPTO when its record holds no usable key; EMK_E_NO_MEMORY. */
emk_status emk_device_cache_get(emk_device_cache *d, const uint8_t id[EMK_GATE_DEVICE_ID_LEN],
                                uint64_t now_ns, emk_known_device **out,
                                emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_device_cache_give(emk_device_cache *d, emk_known_device *k);
void emk_device_cache_forget(emk_device_cache *d, const uint8_t id[EMK_GATE_DEVICE_ID_LEN]);

/* Fills out with the thumbprint of a signing key: SHA-256 of its JWK's canonical members. */
emk_status emk_signing_key_thumbprint(const emk_crypto *c, emk_sign_alg alg, const uint8_t *pub,
                                      uint8_t out[32], emk_error *e) EMK_MUST_CHECK;

#endif
