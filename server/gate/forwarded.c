#include "server/gate/forwarded.h"

#include "core/base/alloc.h"

#include <stdatomic.h>

#define HOP_MAX 128u /* bytes of one element of the list */

struct emk_trusted_proxies {
    emk_net *nets;
    size_t n;
    emk_forwarded_field field;
    atomic_uint_fast64_t junk;
};

emk_status emk_trusted_proxies_new(const emk_net *nets, size_t n, emk_forwarded_field field,
                                   emk_trusted_proxies **out, emk_error *e)
{
    emk_trusted_proxies *t;

    if (n > EMK_PROXIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "proxies: too many", n);
    t = emk_alloc(1, sizeof *t);
    if (t)
        t->nets = emk_alloc(n > 0 ? n : 1, sizeof *nets);
    if (!t || !t->nets) {
        emk_free(t);
        return emk_fail(e, EMK_E_NO_MEMORY, "proxies: memory", n);
    }
    for (size_t i = 0; i < n; i++)
        t->nets[i] = nets[i];
    t->n = n;
    t->field = field;
    atomic_init(&t->junk, 0);
    *out = t;
    return EMK_OK;
}

void emk_trusted_proxies_free(emk_trusted_proxies *t)
{
    if (!t)
        return;
    emk_free(t->nets);
    emk_free(t);
}

bool emk_trusted_proxies_contain(const emk_trusted_proxies *t, const emk_address *a)
{
    for (size_t i = 0; i < t->n; i++)
        if (emk_net_contains(&t->nets[i], a))
            return true;
    return false;
}

uint64_t emk_trusted_proxies_junk(const emk_trusted_proxies *t)
{
    return atomic_load_explicit(&t->junk, memory_order_relaxed);
}

static emk_span trim(emk_span s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Takes what stands behind the last comma off the end of *list; false when nothing is left. */
static bool last_hop(emk_span *list, emk_span *hop)
{
    size_t at = list->len;

    if (!list->p)
        return false;
    while (at > 0 && list->p[at - 1] != ',')
        at--;
    *hop = trim(emk_span_of(list->p + at, list->len - at));
    if (at > 0)
        list->len = at - 1;
    else
        *list = emk_span_of(NULL, 0);
    return true;
}

static bool port_is_sound(emk_span s)
{
    if (s.len == 0)
        return true;
    if (s.len < 2 || s.len > 6 || s.p[0] != ':')
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

/* a.b.c.d[:port] or [v6][:port], and v6 bare where `bare` allows it. */
static bool node_read(emk_span s, bool bare, emk_address *out)
{
    const uint8_t *at;
    size_t head;

    if (s.len > 0 && s.p[0] == '[') {
        at = memchr(s.p, ']', s.len);
        if (!at)
            return false;
        head = (size_t)(at - s.p);
        return port_is_sound(emk_span_of(at + 1, s.len - head - 1)) &&
               memchr(s.p, ':', head) != NULL &&
               emk_address_parse(emk_span_of(s.p + 1, head - 1), out, NULL) == EMK_OK;
    }
    if (bare && emk_address_parse(s, out, NULL) == EMK_OK)
        return true;
    at = s.len > 0 ? memchr(s.p, ':', s.len) : NULL;
    head = at ? (size_t)(at - s.p) : s.len;
    return port_is_sound(emk_span_of(s.p + head, s.len - head)) &&
           emk_address_parse(emk_span_of(s.p, head), out, NULL) == EMK_OK;
}

static bool equals_no_case(emk_span s, const char *lower)
{
    if (s.len != strlen(lower))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((s.p[i] | 0x20) != (uint8_t)lower[i])
            return false;
    return true;
}

/* The value of for= in an element of Forwarded, its quotes off.  [RFC 7239 4] */
static bool forwarded_for(emk_span element, emk_span *out)
{
    size_t pos = 0, n_found = 0;

    while (pos < element.len) {
        const uint8_t *semi = memchr(element.p + pos, ';', element.len - pos);
        size_t end = semi ? (size_t)(semi - element.p) : element.len;
        emk_span pair = trim(emk_span_of(element.p + pos, end - pos));
        const uint8_t *eq = pair.len > 0 ? memchr(pair.p, '=', pair.len) : NULL;
        size_t name_len = eq ? (size_t)(eq - pair.p) : 0;

        if (!eq)
            return false;
        if (equals_no_case(emk_span_of(pair.p, name_len), "for")) {
            *out = emk_span_of(eq + 1, pair.len - name_len - 1);
            n_found++;
        }
        pos = end + 1;
    }
    if (n_found == 1 && out->len >= 2 && out->p[0] == '"' && out->p[out->len - 1] == '"') {
        *out = emk_span_of(out->p + 1, out->len - 2);
        return true;
    }
    return n_found == 1 && out->len > 0 && out->p[0] != '"';
}

static bool hop_read(emk_forwarded_field field, emk_span hop, emk_address *out)
{
    emk_span node = hop;

    if (hop.len == 0 || hop.len > HOP_MAX)
        return false;
    if (field == EMK_FORWARDED_FORWARDED && !forwarded_for(hop, &node))
        return false;
    return node_read(node, field == EMK_FORWARDED_X_FORWARDED_FOR, out);
}

/* All lines of the field, from the last one back.  False: junk. */
static bool walk(const emk_trusted_proxies *t, const emk_gate_request *rq, const char *name,
                 emk_address *client)
{
    emk_span want = emk_span_str(name), hop;
    size_t hops = 0, bytes = 0;
    emk_address found = rq->peer;

    for (size_t i = rq->n_fields; i-- > 0;) {
        emk_span list = rq->fields[i].value;

        if (!emk_span_equal(rq->fields[i].name, want))
            continue;
        bytes += list.len;
        if (bytes > EMK_FORWARDED_TEXT_MAX)
            return false;
        while (last_hop(&list, &hop)) {
            if (hops++ == EMK_FORWARDED_HOPS_MAX || !hop_read(t->field, hop, &found))
                return false;
            *client = found;
            if (!emk_trusted_proxies_contain(t, &found))
                return true;
        }
    }
    return true; /* only trusted ones, or no field: the furthest of them */
}

emk_address emk_client_address(emk_trusted_proxies *t, const emk_gate_request *rq)
{
    emk_address client = rq->peer;
    bool xff;

    if (!t || t->field == EMK_FORWARDED_NEITHER || !emk_trusted_proxies_contain(t, &rq->peer))
        return rq->peer;
    xff = t->field == EMK_FORWARDED_X_FORWARDED_FOR;
    if (walk(t, rq, xff ? "x-forwarded-for" : "forwarded", &client))
        return client;
    atomic_fetch_add_explicit(&t->junk, 1, memory_order_relaxed);
    return rq->peer;
}
