#include "server/gate/proxy_v2.h"

#include "core/base/reader.h"

#define FIXED_LEN 16u
#define VERSION   2u
#define CMD_LOCAL 0u
#define CMD_PROXY 1u
#define FAM_TCP4  0x11u
#define FAM_TCP6  0x21u
#define FAM_UNIX  0x31u
#define V4_LEN    4u
#define V6_LEN    16u
#define UNIX_LEN  216u

static const uint8_t magic[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                  0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static emk_status addresses(emk_reader *r, uint8_t family, emk_proxy_v2 *out, emk_error *e)
{
    size_t len = family == FAM_TCP4 ? V4_LEN : V6_LEN;

    if (family == FAM_UNIX) {
        (void)emk_read_bytes(r, UNIX_LEN);
    } else if (family == FAM_TCP4 || family == FAM_TCP6) {
        out->peer = emk_address_of(emk_read_bytes(r, len));
        (void)emk_read_bytes(r, len); /* where the balancer was called */
        out->peer_port = emk_read_u16be(r);
        (void)emk_read_u16be(r);
    } else {
        return emk_fail(e, EMK_E_UNSUPPORTED, "PROXY: transport", family);
    }
    if (r->cut)
        return emk_fail(e, EMK_E_FORMAT, "PROXY: addresses cut short", family);
    return EMK_OK;
}

/* Each has a type, two bytes of length, and that much. */
static bool tlvs_are_sound(emk_reader *r)
{
    while (emk_reader_left(r) > 0 && !r->cut) {
        (void)emk_read_u8(r);
        (void)emk_read_bytes(r, emk_read_u16be(r));
    }
    return !r->cut;
}

static emk_status rest(emk_span body, uint8_t command, uint8_t family, emk_proxy_v2 *out,
                       emk_error *e)
{
    emk_reader r;
    emk_status st;

    out->local = command == CMD_LOCAL;
    if (out->local)
        return EMK_OK; /* whatever follows is to be ignored */
    emk_reader_init(&r, body);
    st = addresses(&r, family, out, e);
    if (st != EMK_OK)
        return st;
    if (!tlvs_are_sound(&r))
        return emk_fail(e, EMK_E_FORMAT, "PROXY: a TLV is cut short", r.pos);
    return EMK_OK;
}

emk_status emk_proxy_v2_parse(emk_span in, emk_proxy_v2 *out, emk_error *e)
{
    size_t known = in.len < sizeof magic ? in.len : sizeof magic;
    emk_proxy_v2 p = {0};
    emk_reader r;
    uint8_t version, family;
    size_t body_len;
    emk_status st;

    if (known > 0 && memcmp(in.p, magic, known) != 0)
        return emk_fail(e, EMK_E_FORMAT, "PROXY: not version 2", 0);
    if (in.len < FIXED_LEN)
        return emk_fail(e, EMK_E_BUSY, "PROXY: more bytes needed", FIXED_LEN);
    emk_reader_init(&r, in);
    (void)emk_read_bytes(&r, sizeof magic);
    version = emk_read_u8(&r);
    family = emk_read_u8(&r);
    body_len = emk_read_u16be(&r);
    if (version >> 4 != VERSION || (version & 0xf) > CMD_PROXY)
        return emk_fail(e, EMK_E_UNSUPPORTED, "PROXY: version or command", version);
    if (body_len > EMK_PROXY_V2_MAX - FIXED_LEN)
        return emk_fail(e, EMK_E_LIMIT, "PROXY: length", body_len);
    if (emk_reader_left(&r) < body_len)
        return emk_fail(e, EMK_E_BUSY, "PROXY: more bytes needed", FIXED_LEN + body_len);
    p.len = FIXED_LEN + body_len;
    st = rest(emk_read_bytes(&r, body_len), version & 0xf, family, &p, e);
    if (st == EMK_OK)
        *out = p;
    return st;
}
