/* The kinds of records, once for the whole server: server/store only sees numbers.  Append, never
 * renumber: they are in databases.  The comment says what id, owner and value are; values are
 * deterministic CBOR maps written and read by the file named. */
#ifndef EMK_SERVER_API_KINDS_H
#define EMK_SERVER_API_KINDS_H

typedef enum emk_kind {
    EMK_KIND_DEVICE = 1,      /* device id; its user; directory.c */
    EMK_KIND_SERVICE = 2,     /* key id of a service key; -; directory.c */
    EMK_KIND_CERTIFICATE = 3, /* SHA-256 of a client certificate; -; as SERVICE */
    EMK_KIND_OPERATOR = 4,    /* name; -; directory.c */
    EMK_KIND_REPLAY_MARK = 5, /* device id; -; 8 bytes, big-endian */
    EMK_KIND_IDEMPOTENCY =
        6, /* hash of principal, route and key; the device, of one; idempotency.c */
    EMK_KIND_CHALLENGE = 7,    /* hash of a challenge that was used; -; empty */
    EMK_KIND_SUBJECT = 8,      /* server/journal/subject.h */
    EMK_KIND_TICKET = 9,       /* ticket id; device id */
    EMK_KIND_MODEL = 10,       /* name/version; name */
    EMK_KIND_BLOB = 11,        /* blob id; ticket id */
    EMK_KIND_EVENT_CHAIN = 12, /* device id; -; entities.h, like all that follow */
    EMK_KIND_USER = 13,        /* hash of tenant and subject (emk_user_owner); - */
    EMK_KIND_WALL = 14,        /* a prefix as text; - */
    EMK_KIND_LIST = 15,        /* hash of list and value; the list's name */
    EMK_KIND_LIMIT = 16,       /* name; - */
    EMK_KIND_DECISION = 17,    /* decision id; user */
    EMK_KIND_TPM_PENDING = 18, /* hash of a challenge; -: a TPM enrolment between its steps */
    EMK_KIND_APP_KEY = 19,     /* id of an App Attest key; device id; empty */
    EMK_KIND_REQUEST = 20,     /* hash of a request that was answered; ticket id; empty */
    EMK_KIND_STORED = 21,      /* object with files and no model yet, or no more; -; empty */
    EMK_KIND_ERASURE = 22,     /* id of a user or device being erased; of a device: its user */
    EMK_KIND_OUTBOX = 23,      /* id of a message and its target's name; that name: hooks.c */
    EMK_KIND_WEBHOOK = 24,     /* a target's name; - */
    EMK_KIND_HOOK_SEEN = 25,   /* hash of a source and a message's id; -; hash of its body */
    EMK_KIND_PROPOSAL = 26,    /* id of a proposal of the campaign job; - */
    EMK_KIND_GUARD = 27,       /* device id; -: the guard summary that was shown last */
    EMK_KIND_APPROVAL = 28,    /* hash of a rule set and an operator's name; that of the set */
    EMK_KIND_EFFECT = 29       /* hash of an effect and whom it was for, done lately; -; empty */
} emk_kind;

#endif
