/* The wire between the keyholder and its client; not for other files. */
#ifndef EMK_SERVER_DAEMON_KEYHOLDER_INTERNAL_H
#define EMK_SERVER_DAEMON_KEYHOLDER_INTERNAL_H

#include "server/daemon/keyholder.h"

#define EMK_KEYHOLDER_VERSION  1u
#define EMK_KEYHOLDER_HEAD_LEN 8u

typedef enum emk_keyholder_operation {
    EMK_KEYHOLDER_OP_HELLO = 1, /* once */
    EMK_KEYHOLDER_OP_PING,
    EMK_KEYHOLDER_OP_SIGN,         /* purpose; message -> signature */
    EMK_KEYHOLDER_OP_LEASE,        /* ticket id, epoch -> secret */
    EMK_KEYHOLDER_OP_STORAGE_NEW,  /* object -> key, wrapped */
    EMK_KEYHOLDER_OP_STORAGE_OPEN, /* object, wrapped -> key */
    EMK_KEYHOLDER_OP_ESCROW,       /* epoch, key -> */
    EMK_KEYHOLDER_OP_ROTATE,       /* number: emk_signing_key -> as KEYS */
    EMK_KEYHOLDER_OP_LEASE_KEY,    /* ticket id -> epoch, lease key */
    EMK_KEYHOLDER_OP_KEYS,         /* -> ring, sealing key, its certificate */
    EMK_KEYHOLDER_OP_RETIRE        /* id of a key -> as KEYS */
} emk_keyholder_operation;

/* Writes a head in front of what is at out + EMK_KEYHOLDER_HEAD_LEN. */
void emk_keyholder_head_write(uint8_t *out, uint8_t operation, uint16_t number, size_t body_len);

/* The keyholder's life; returns its exit code. */
int emk_keyholder_run(int fd, const emk_keyholder_options *o);

#endif
