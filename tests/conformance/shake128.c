#include "tests/conformance/shake128.h"

#define RATE   168u
#define ROUNDS 24u

typedef struct sponge {
    uint64_t lane[25]; /* lane[x + 5 * y] */
    size_t pos;        /* next byte of the rate */
} sponge;

static uint64_t rotate(uint64_t v, unsigned by)
{
    return by == 0 ? v : v << by | v >> (64 - by);
}

static void theta(uint64_t a[25])
{
    uint64_t c[5];

    for (size_t x = 0; x < 5; x++)
        c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    for (size_t i = 0; i < 25; i++)
        a[i] ^= c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
}

/* Walks the lanes in the order of pi; the n-th step rotates by the n-th triangular number. */
static void rho_pi(uint64_t a[25])
{
    size_t x = 1, y = 0;
    uint64_t carried = a[1];

    for (unsigned t = 0; t < 24; t++) {
        size_t next_y = (2 * x + 3 * y) % 5;
        uint64_t kept;

        x = y;
        y = next_y;
        kept = a[x + 5 * y];
        a[x + 5 * y] = rotate(carried, (t + 1) * (t + 2) / 2 % 64);
        carried = kept;
    }
}

static void chi(uint64_t a[25])
{
    for (size_t y = 0; y < 25; y += 5) {
        uint64_t row[5];

        memcpy(row, a + y, sizeof row);
        for (size_t x = 0; x < 5; x++)
            a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
    }
}

/* The round constants come out of a shift register: seven bits for each round. */
static uint64_t round_constant(uint8_t *state)
{
    uint64_t out = 0;

    for (unsigned j = 0; j < 7; j++) {
        if (*state & 1)
            out |= UINT64_C(1) << ((1u << j) - 1);
        *state = (uint8_t)(*state << 1 ^ (*state >> 7 ? 0x71 : 0));
    }
    return out;
}

static void permute(sponge *s)
{
    uint8_t state = 1;

    for (unsigned i = 0; i < ROUNDS; i++) {
        theta(s->lane);
        rho_pi(s->lane);
        chi(s->lane);
        s->lane[0] ^= round_constant(&state);
    }
    s->pos = 0;
}

static void absorb(sponge *s, uint8_t byte, size_t at)
{
    s->lane[at / 8] ^= (uint64_t)byte << (at % 8 * 8);
}

void emk_shake128(emk_span in, uint8_t *out, size_t len)
{
    sponge s = {0};

    for (size_t i = 0; i < in.len; i++) {
        absorb(&s, in.p[i], s.pos++);
        if (s.pos == RATE)
            permute(&s);
    }
    absorb(&s, 0x1f, s.pos);
    absorb(&s, 0x80, RATE - 1);
    permute(&s);
    for (size_t i = 0; i < len; i++) {
        if (s.pos == RATE)
            permute(&s);
        out[i] = (uint8_t)(s.lane[s.pos / 8] >> (s.pos % 8 * 8));
        s.pos++;
    }
}
