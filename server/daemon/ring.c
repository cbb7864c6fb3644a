#include "server/daemon/ring.h"

#include "core/base/os_file.h"
#include "core/base/reader.h"

#include <string.h>

#define VERSION  1u
#define RETIRED  1u
#define PATH_LEN 1024u

static void put_sized(emk_writer *w, const uint8_t *p, size_t len)
{
    emk_write_u16be(w, (uint16_t)len);
    emk_write_bytes(w, emk_span_of(p, len));
}

void emk_ring_put(const emk_issuers *ring, emk_writer *w)
{
    uint8_t head[2] = {VERSION, (uint8_t)ring->n};

    emk_write_bytes(w, emk_span_of(head, sizeof head));
    for (size_t i = 0; i < ring->n; i++) {
        const emk_issuer_key *k = &ring->v[i];
        uint8_t flags = k->retired ? RETIRED : 0;

        emk_write_bytes(w, emk_span_of(&flags, 1));
        emk_write_u64be(w, k->since_s);
        put_sized(w, k->public_key, k->public_len);
        put_sized(w, k->certificate, k->certificate_len);
    }
}

static void take_sized(emk_reader *r, uint8_t *out, size_t cap, size_t *len)
{
    size_t n = emk_read_u16be(r);
    emk_span s = emk_read_bytes(r, n);

    if (n > cap) {
        r->cut = true;
        return;
    }
    if (s.len > 0)
        memcpy(out, s.p, s.len);
    *len = s.len;
}

static bool take_key(emk_reader *r, emk_issuer_key *out)
{
    emk_span flags = emk_read_bytes(r, 1);

    if (flags.len != 1 || flags.p[0] > RETIRED)
        return false;
    out->retired = flags.p[0] == RETIRED;
    out->since_s = emk_read_u64be(r);
    take_sized(r, out->public_key, sizeof out->public_key, &out->public_len);
    take_sized(r, out->certificate, sizeof out->certificate, &out->certificate_len);
    return !r->cut && (out->public_len == 32 || out->public_len == 65);
}

emk_status emk_ring_take(emk_span in, emk_issuers *out, emk_error *e)
{
    emk_issuers ring = {.n = 0};
    emk_span head;
    emk_reader r;

    emk_reader_init(&r, in);
    head = emk_read_bytes(&r, 2);
    if (head.len != 2 || head.p[0] != VERSION || head.p[1] == 0 || head.p[1] > EMK_ISSUERS_MAX)
        return emk_fail(e, EMK_E_FORMAT, "issuers: head", in.len);
    for (ring.n = 0; ring.n < head.p[1]; ring.n++)
        if (!take_key(&r, &ring.v[ring.n]))
            return emk_fail(e, EMK_E_FORMAT, "issuers: a key", ring.n);
    if (!emk_reader_at_end(&r))
        return emk_fail(e, EMK_E_FORMAT, "issuers: its end", r.pos);
    *out = ring;
    return EMK_OK;
}

/* The key that signs, and those before it. */
static void cut_behind(emk_issuers *ring, emk_span signing)
{
    for (size_t i = ring->n; i > 0; i--)
        if (emk_span_equal(emk_span_of(ring->v[i - 1].public_key, ring->v[i - 1].public_len),
                           signing)) {
            ring->n = i;
            ring->v[i - 1].retired = false;
            return;
        }
    *ring = (emk_issuers){.n = 1};
    memcpy(ring->v[0].public_key, signing.p, signing.len);
    ring->v[0].public_len = signing.len;
}

emk_status emk_ring_read(const char *dir, emk_span signing, emk_issuers *out, emk_error *e)
{
    char path[PATH_LEN];
    emk_issuers ring = {.n = 0};
    emk_buf file;
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_RING_FILE, "", e);

    if (signing.len > EMK_SIGN_PUBLIC_MAX)
        return emk_fail(e, EMK_E_LIMIT, "issuers: length of the key", signing.len);
    emk_buf_init(&file, EMK_RING_MAX);
    if (st == EMK_OK && emk_os_exists(path)) {
        st = emk_os_read_file(path, EMK_RING_MAX, &file, e);
        if (st == EMK_OK)
            st = emk_ring_take(emk_buf_span(&file), &ring, e);
    }
    emk_buf_done(&file);
    if (st != EMK_OK)
        return st;
    cut_behind(&ring, signing);
    *out = ring;
    return EMK_OK;
}

emk_status emk_ring_digest(const emk_crypto *c, const char *dir, uint8_t out[EMK_SHA256_LEN],
                           emk_error *e)
{
    char path[PATH_LEN];
    emk_span bytes;
    emk_buf file;
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_RING_FILE, "", e);

    emk_buf_init(&file, EMK_RING_MAX);
    if (st == EMK_OK)
        st = emk_os_read_file(path, EMK_RING_MAX, &file, e);
    bytes = emk_buf_span(&file);
    if (st == EMK_OK) {
        st = emk_sha256(c, &bytes, 1, out, e);
    } else if (st == EMK_E_NOT_FOUND) {
        memset(out, 0, EMK_SHA256_LEN);
        st = EMK_OK;
    }
    emk_buf_done(&file);
    return st;
}

emk_status emk_ring_write(const char *dir, const emk_issuers *ring, emk_error *e)
{
    uint8_t bytes[EMK_RING_MAX];
    char path[PATH_LEN];
    emk_writer w;
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_RING_FILE, "", e);

    emk_writer_init(&w, bytes, sizeof bytes);
    emk_ring_put(ring, &w);
    if (st == EMK_OK && w.full)
        st = emk_fail(e, EMK_E_LIMIT, "issuers: length", w.pos);
    return st == EMK_OK ? emk_os_write_file(path, emk_writer_span(&w), e) : st;
}

void emk_ring_add(emk_issuers *ring, const emk_issuer_key *key)
{
    if (ring->n == EMK_ISSUERS_MAX) {
        memmove(&ring->v[0], &ring->v[1], (EMK_ISSUERS_MAX - 1) * sizeof ring->v[0]);
        ring->n--;
        ring->v[0].certificate_len = 0; /* by a key that is gone */
    }
    ring->v[ring->n++] = *key;
}

size_t emk_ring_find(const emk_crypto *c, const emk_issuers *ring,
                     const uint8_t kid[EMK_COSE_KID_LEN])
{
    uint8_t own[EMK_COSE_KID_LEN];
    emk_error ignored;

    for (size_t i = 0; i < ring->n; i++)
        if (emk_cose_kid(c, emk_span_of(ring->v[i].public_key, ring->v[i].public_len), own,
                         &ignored) == EMK_OK &&
            memcmp(own, kid, sizeof own) == 0)
            return i;
    return ring->n;
}
