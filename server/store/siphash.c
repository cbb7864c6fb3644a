#include "server/store/siphash.h"

#include "core/base/bytes.h"

typedef struct sip {
    uint64_t v0, v1, v2, v3;
    uint64_t word; /* bytes not yet taken in */
    uint64_t len;
} sip;

static uint64_t rotate(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static void sip_round(sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void take_word(sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static void take_part(sip *s, emk_span part)
{
    for (size_t i = 0; i < part.len; i++) {
        s->word |= (uint64_t)part.p[i] << 8 * (s->len % 8);
        if (++s->len % 8 == 0) {
            take_word(s, s->word);
            s->word = 0;
        }
    }
}

static void store_u64le(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t finish(sip *s)
{
    for (unsigned i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

void emk_siphash(const uint8_t key[16], const emk_span *parts, size_t n_parts,
                 uint8_t out[EMK_SIPHASH_LEN])
{
    uint64_t k0 = emk_load_u64le(key), k1 = emk_load_u64le(key + 8);
    sip s = {.v0 = k0 ^ 0x736f6d6570736575u,
             .v1 = k1 ^ 0x646f72616e646f6du ^ 0xee, /* 0xee: the form with 128 bits */
             .v2 = k0 ^ 0x6c7967656e657261u,
             .v3 = k1 ^ 0x7465646279746573u};

    for (size_t i = 0; i < n_parts; i++)
        take_part(&s, parts[i]);
    take_word(&s, s.word | s.len << 56);
    s.v2 ^= 0xee;
    store_u64le(out, finish(&s));
    s.v1 ^= 0xdd;
    store_u64le(out + 8, finish(&s));
}
