/* What the messages' readers and writers share; not for other folders. */
#ifndef EMK_CORE_PROTO_INTERNAL_H
#define EMK_CORE_PROTO_INTERNAL_H

#include "core/proto/message.h"

/* Whose agreement key it is decides which KEMs it may have.  [messages 1] */
typedef enum emk_proto_key_of {
    EMK_PROTO_KEY_OF_DEVICE,
    EMK_PROTO_KEY_OF_REQUEST
} emk_proto_key_of;

#define EMK_PROTO_KEY(n) (UINT32_C(1) << (n))

/* A message's map as its page lists it. */
typedef struct emk_proto_map {
    uint32_t must; /* EMK_PROTO_KEY of every key that has to be there */
    uint32_t may;  /* and of those that may be */
    /* Reads the value of `key` (one of the above) into out; fails the reader if it must. */
    void (*read)(emk_cbor_reader *r, int64_t key, void *out);
} emk_proto_map;

/* Reads a closed map from exactly `payload` into out, which the caller throws away unless
 * EMK_OK. */
emk_status emk_proto_read_map(emk_span payload, const emk_proto_map *map, void *out,
                              emk_error *e) EMK_MUST_CHECK;

/* Values of a map; each fails the reader when it is not what is named. */
void emk_proto_read_text(emk_cbor_reader *r, emk_span *out);
void emk_proto_read_sign_key(emk_cbor_reader *r, emk_span *out);
void emk_proto_read_agree_key(emk_cbor_reader *r, emk_proto_key_of of, emk_agree_key *out);
uint8_t emk_proto_read_small(emk_cbor_reader *r, uint8_t max);
/* A guard's summary: bytes, 1 to EMK_PROTO_SUMMARY_MAX of them. */
#define EMK_PROTO_SUMMARY_MAX 1024u
void emk_proto_read_summary(emk_cbor_reader *r, emk_span *out);

/* Finds the parts of a message of this type, within the size limit; nothing is verified. */
emk_status emk_proto_parse(emk_span message, emk_cose_type type, emk_cose *out,
                           emk_error *e) EMK_MUST_CHECK;
/* The same, signed by key. */
emk_status emk_proto_verify(const emk_crypto *c, emk_span message, emk_cose_type type,
                            const emk_verify_key *key, emk_cose *out, emk_error *e) EMK_MUST_CHECK;
/* Whether `o` was signed by the owner of these 32 or 65 public bytes. */
emk_status emk_proto_verify_by(const emk_crypto *c, const emk_cose *o, emk_span public_key,
                               emk_error *e) EMK_MUST_CHECK;

/* EMK_E_FORMAT when the key cannot be one of its KEM.  A KEM that this libcrypto does not have
 * passes: whoever seals to the key checks it, and cannot without. */
emk_status emk_proto_check_point(const emk_crypto *c, const emk_agree_key *key,
                                 emk_error *e) EMK_MUST_CHECK;

/* What a writer is given: EMK_E_USAGE unless the message can say it.  An empty optional text is
 * fine. */
emk_status emk_proto_check_text(emk_span text, bool may_be_absent, emk_error *e) EMK_MUST_CHECK;
emk_status emk_proto_check_agree(const emk_agree_key *key, emk_proto_key_of of,
                                 emk_error *e) EMK_MUST_CHECK;
emk_status emk_proto_check_sign_key(emk_span key, emk_error *e) EMK_MUST_CHECK;

void emk_proto_put_agree(emk_writer *w, int64_t key, const emk_agree_key *agree);
void emk_proto_put_bytes(emk_writer *w, int64_t key, emk_span bytes);
void emk_proto_put_uint(emk_writer *w, int64_t key, uint64_t v);
/* Nothing for an empty text. */
void emk_proto_put_text(emk_writer *w, int64_t key, emk_span text);

/* Appends the signed message around a finished payload. */
emk_status emk_proto_sign(const emk_crypto *c, const emk_signer *signer, emk_cose_type type,
                          const emk_writer *payload, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

#endif
