/* Maps and headers in pieces, which a test bends before they are put together. */
#ifndef EMK_TESTS_UNIT_CORE_SEAL_PIECES_H
#define EMK_TESTS_UNIT_CORE_SEAL_PIECES_H

#include "core/seal/header.h"
#include "tests/unit/core/seal/world.h"

#define PIECES_MAX    24u
#define PIECE_LEN_MAX 2048u

/* One key and its value, encoded. */
typedef struct piece {
    int64_t key;
    size_t len;
    uint8_t raw[PIECE_LEN_MAX];
} piece;

typedef struct pieces {
    size_t n;
    piece v[PIECES_MAX];
} pieces;

/* Replaces or inserts (in the order of the encodings) a value given as encoded bytes. */
void pieces_raw(pieces *p, int64_t key, emk_span raw);
void pieces_hex(pieces *p, int64_t key, const char *hex);
void pieces_int(pieces *p, int64_t key, int64_t value);
void pieces_bytes(pieces *p, int64_t key, emk_span value);
void pieces_text(pieces *p, int64_t key, const char *value);
void pieces_drop(pieces *p, int64_t key);
void pieces_write(const pieces *p, emk_writer *w);
/* The encoded map in heap memory that *out gets. */
void pieces_encode(const pieces *p, emk_buf *out);

/* A header as it should be; a test changes what it is about. */
typedef struct bent_header {
    emk_layer layer;
    const emk_signer *signer;
    pieces core;
    uint64_t version; /* of the payload */
    pieces recipient_protected, recipient_unprotected;
    uint8_t cipher[64];
    size_t cipher_len;
    unsigned n_recipients;
    bool real;           /* the envelope is made new, so that it opens: for w's keys */
    uint8_t cek[32];     /* what it holds */
    int64_t preamble_at; /* -1: none bent; else this byte of the preamble ... */
    uint8_t preamble_to; /* ... gets this value, before signing */
    int length_change;   /* added to header_len */
} bent_header;

void bent_header_init(bent_header *b, world *w, emk_layer layer);
/* Signs and gives preamble and header; hh may be NULL. */
void bent_header_make(const bent_header *b, world *w, emk_buf *out, uint8_t *hh);

#endif
