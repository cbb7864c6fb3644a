/* One vector of the kit of messages on its way.  [tests/vectors/README.md] */
#ifndef EMK_TESTS_CONFORMANCE_KIT_MESSAGES_H
#define EMK_TESTS_CONFORMANCE_KIT_MESSAGES_H

#include "core/crypto/sign.h"
#include "core/proto/message.h"
#include "tests/conformance/text_head.h"

typedef struct emk_kit_message {
    emk_vec *v;
    const emk_text_head *head;
    emk_span body;
    emk_verify_key *device; /* NULL where the head names none */
    emk_error error;
} emk_kit_message;

/* Where the reader of a message ends: "ok", or the outcome that its status and text stand for. */
const char *emk_kit_outcome(const emk_kit_message *m, emk_status st);

/* Holds what was read to the head's "read-<key>". */
void emk_kit_read_bytes(emk_kit_message *m, const char *key, emk_span got);
void emk_kit_read_number(emk_kit_message *m, const char *key, uint64_t got);
void emk_kit_read_text(emk_kit_message *m, const char *key, emk_span got);

/* Fills out with the id of the device whose public keys the head names. */
bool emk_kit_device_id(emk_kit_message *m, emk_span agree, uint8_t out[EMK_DEVICE_ID_LEN]);

/* A request over HTTP, as a server takes it and as a device makes it.  Skips the test in builds
 * that have no server. */
const char *emk_kit_http(emk_kit_message *m);

#endif
