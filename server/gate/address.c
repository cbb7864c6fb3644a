#include "server/gate/address.h"

#include "core/base/bytes.h"

#include <stdio.h>

#define V4_LEN       4u
#define V6_LEN       16u
#define V6_GROUPS    8u
#define CLIENT_BITS4 24u
#define CLIENT_BITS6 64u

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

emk_address emk_address_of(emk_span bytes)
{
    emk_address a = {0};

    if (bytes.len == V4_LEN) {
        a.family = EMK_ADDRESS_V4;
        memcpy(a.b, bytes.p, V4_LEN);
    } else if (bytes.len == V6_LEN && memcmp(bytes.p, mapped, sizeof mapped) == 0) {
        a.family = EMK_ADDRESS_V4;
        memcpy(a.b, bytes.p + sizeof mapped, V4_LEN);
    } else if (bytes.len == V6_LEN) {
        a.family = EMK_ADDRESS_V6;
        memcpy(a.b, bytes.p, V6_LEN);
    }
    return a;
}

/* A number of 1..max_digits digits, at most `max`, without leading zeros.  Moves *pos. */
static bool decimal(emk_span t, size_t *pos, unsigned max, unsigned *out)
{
    size_t begin = *pos;
    unsigned v = 0;

    while (*pos < t.len && t.p[*pos] >= '0' && t.p[*pos] <= '9' && *pos - begin < 3) {
        v = v * 10 + (unsigned)(t.p[*pos] - '0');
        (*pos)++;
    }
    if (*pos == begin || v > max || (t.p[begin] == '0' && *pos - begin > 1))
        return false;
    *out = v;
    return true;
}

static bool v4_read(emk_span t, uint8_t out[V4_LEN])
{
    size_t pos = 0;

    for (size_t i = 0; i < V4_LEN; i++) {
        unsigned v;

        if (i > 0 && (pos >= t.len || t.p[pos++] != '.'))
            return false;
        if (!decimal(t, &pos, 255, &v))
            return false;
        out[i] = (uint8_t)v;
    }
    return pos == t.len;
}

static bool group_read(emk_span t, size_t *pos, unsigned *out)
{
    size_t begin = *pos;
    unsigned v = 0;

    while (*pos < t.len && emk_hex_digit(t.p[*pos]) >= 0 && *pos - begin < 4)
        v = v << 4 | (unsigned)emk_hex_digit(t.p[(*pos)++]);
    *out = v;
    return *pos > begin;
}

typedef struct v6 {
    uint8_t b[V6_LEN];
    size_t n;    /* bytes so far */
    size_t hole; /* where "::" was, V6_LEN + 1: nowhere yet */
} v6;

/* The dotted end of "::ffff:1.2.3.4", when that is what stands at pos. */
static bool v6_dotted_end(emk_span t, size_t pos, v6 *v)
{
    emk_span rest = emk_span_of(t.p + pos, t.len - pos);

    if (v->n > V6_LEN - V4_LEN || !v4_read(rest, v->b + v->n))
        return false;
    v->n += V4_LEN;
    return true;
}

static bool v6_groups(emk_span t, size_t pos, v6 *v)
{
    while (pos < t.len) {
        unsigned group;

        if (v6_dotted_end(t, pos, v))
            return true;
        if (v->n == V6_LEN || !group_read(t, &pos, &group))
            return false;
        v->b[v->n++] = (uint8_t)(group >> 8);
        v->b[v->n++] = (uint8_t)group;
        if (pos == t.len)
            return true;
        if (t.p[pos++] != ':' || pos == t.len)
            return false;
        if (t.p[pos] != ':')
            continue;
        if (v->hole <= V6_LEN)
            return false;
        v->hole = v->n;
        pos++;
    }
    return true;
}

static bool v6_read(emk_span t, uint8_t out[V6_LEN])
{
    v6 v = {.hole = V6_LEN + 1};
    size_t pos = 0;

    if (t.len >= 2 && t.p[0] == ':' && t.p[1] == ':') {
        v.hole = 0;
        pos = 2;
    }
    if (t.len < 2 || !v6_groups(t, pos, &v))
        return false;
    if (v.hole > V6_LEN ? v.n != V6_LEN : v.n > V6_LEN - 2)
        return false;
    memset(out, 0, V6_LEN);
    if (v.hole > V6_LEN) {
        memcpy(out, v.b, V6_LEN);
        return true;
    }
    memcpy(out, v.b, v.hole);
    memcpy(out + V6_LEN - (v.n - v.hole), v.b + v.hole, v.n - v.hole);
    return true;
}

emk_status emk_address_parse(emk_span text, emk_address *out, emk_error *e)
{
    uint8_t b[V6_LEN];

    if (text.len >= EMK_ADDRESS_TEXT_MAX)
        return emk_fail(e, EMK_E_FORMAT, "address: too long", text.len);
    if (v4_read(text, b)) {
        *out = emk_address_of(emk_span_of(b, V4_LEN));
        return EMK_OK;
    }
    if (!v6_read(text, b))
        return emk_fail(e, EMK_E_FORMAT, "address: not an address", 0);
    *out = emk_address_of(emk_span_of(b, V6_LEN));
    return EMK_OK;
}

/* Where the longest run of two or more zero groups begins, for "::" [RFC 5952 4.2]. */
static size_t zero_run(const uint8_t *b, size_t *len)
{
    size_t best = V6_GROUPS;

    *len = 1;
    for (size_t i = 0; i < V6_GROUPS; i++) {
        size_t n = 0;

        while (i + n < V6_GROUPS && b[2 * (i + n)] == 0 && b[2 * (i + n) + 1] == 0)
            n++;
        if (n > *len) {
            *len = n;
            best = i;
        }
    }
    return best;
}

static void v6_format(const uint8_t *b, char *out, size_t cap)
{
    size_t run_len, run = zero_run(b, &run_len);
    size_t n = 0;

    for (size_t i = 0; i < V6_GROUPS; i++) {
        unsigned group = (unsigned)b[2 * i] << 8 | b[2 * i + 1];

        if (i == run) {
            n += (size_t)snprintf(out + n, cap - n, "::");
            i += run_len - 1;
            continue;
        }
        n += (size_t)snprintf(out + n, cap - n, i > 0 && out[n - 1] != ':' ? ":%x" : "%x", group);
    }
}

void emk_address_format(const emk_address *a, char out[EMK_ADDRESS_TEXT_MAX])
{
    if (a->family == EMK_ADDRESS_V4)
        (void)snprintf(out, EMK_ADDRESS_TEXT_MAX, "%u.%u.%u.%u", a->b[0], a->b[1], a->b[2],
                       a->b[3]);
    else if (a->family == EMK_ADDRESS_V6)
        v6_format(a->b, out, EMK_ADDRESS_TEXT_MAX);
    else
        (void)snprintf(out, EMK_ADDRESS_TEXT_MAX, "none");
}

bool emk_address_equal(const emk_address *a, const emk_address *b)
{
    return a->family == b->family && memcmp(a->b, b->b, sizeof a->b) == 0;
}

unsigned emk_address_bits(const emk_address *a)
{
    if (a->family == EMK_ADDRESS_NONE)
        return 0;
    return a->family == EMK_ADDRESS_V4 ? V4_LEN * 8 : V6_LEN * 8;
}

emk_net emk_net_of(const emk_address *a, unsigned bits)
{
    emk_net n = {.base = *a};
    unsigned most = emk_address_bits(a);

    n.bits = (uint8_t)(bits < most ? bits : most);
    for (unsigned i = 0; i < sizeof n.base.b; i++) {
        if (n.bits <= i * 8)
            n.base.b[i] = 0;
        else if (n.bits < i * 8 + 8)
            n.base.b[i] = (uint8_t)(n.base.b[i] & 0xffu << (8 - n.bits % 8));
    }
    return n;
}

emk_net emk_net_of_client(const emk_address *a)
{
    return emk_net_of(a, a->family == EMK_ADDRESS_V6 ? CLIENT_BITS6 : CLIENT_BITS4);
}

emk_status emk_net_parse(emk_span text, emk_net *out, emk_error *e)
{
    const uint8_t *slash = text.len ? memchr(text.p, '/', text.len) : NULL;
    size_t head = slash ? (size_t)(slash - text.p) : text.len;
    size_t pos = head + 1;
    unsigned bits;
    emk_address a;
    emk_net n;
    emk_status st;

    st = emk_address_parse(emk_span_of(text.p, head), &a, e);
    if (st != EMK_OK)
        return st;
    bits = emk_address_bits(&a);
    if (slash && (!decimal(text, &pos, bits, &bits) || pos != text.len))
        return emk_fail(e, EMK_E_FORMAT, "net: prefix length", head);
    n = emk_net_of(&a, bits);
    if (!emk_address_equal(&n.base, &a))
        return emk_fail(e, EMK_E_FORMAT, "net: bits behind the prefix", bits);
    *out = n;
    return EMK_OK;
}

void emk_net_format(const emk_net *n, char out[EMK_NET_TEXT_MAX])
{
    char base[EMK_ADDRESS_TEXT_MAX];

    emk_address_format(&n->base, base);
    (void)snprintf(out, EMK_NET_TEXT_MAX, "%s/%u", base, n->bits);
}

bool emk_net_contains(const emk_net *n, const emk_address *a)
{
    emk_net around;

    if (n->base.family != a->family)
        return false;
    around = emk_net_of(a, n->bits);
    return emk_address_equal(&around.base, &n->base);
}
