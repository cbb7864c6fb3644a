/* Fixed-width integers in bytes, whatever the host's byte order; and digits. */
#ifndef EMK_CORE_BASE_BYTES_H
#define EMK_CORE_BASE_BYTES_H

#include <stdint.h>

static inline uint16_t emk_load_u16be(const uint8_t *p)
{
    return (uint16_t)((uint32_t)p[0] << 8 | p[1]);
}
static inline uint32_t emk_load_u32be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t emk_load_u64be(const uint8_t *p)
{
    return (uint64_t)emk_load_u32be(p) << 32 | emk_load_u32be(p + 4);
}
static inline uint16_t emk_load_u16le(const uint8_t *p)
{
    return (uint16_t)((uint32_t)p[1] << 8 | p[0]);
}
static inline uint32_t emk_load_u32le(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}
static inline uint64_t emk_load_u64le(const uint8_t *p)
{
    return (uint64_t)emk_load_u32le(p + 4) << 32 | emk_load_u32le(p);
}
static inline void emk_store_u16be(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void emk_store_u32be(uint8_t *p, uint32_t v)
{
    emk_store_u16be(p, (uint16_t)(v >> 16));
    emk_store_u16be(p + 2, (uint16_t)v);
}
static inline void emk_store_u64be(uint8_t *p, uint64_t v)
{
    emk_store_u32be(p, (uint32_t)(v >> 32));
    emk_store_u32be(p + 4, (uint32_t)v);
}

/* The value of a hexadecimal digit of either case, -1 for anything else.  Not for secrets: its time
 * depends on the digit. */
static inline int emk_hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
