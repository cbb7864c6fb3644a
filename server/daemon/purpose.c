/* What the keyholder signs: each purpose is a type of object, and the object is parsed.  Whether it
 * should be given is not judged here; for how long it may be good is. */
#include "server/daemon/keyholder.h"

#include "core/codec/cbor.h"
#include "core/proto/device_certificate.h"
#include "core/proto/lease.h"
#include "core/proto/ticket.h"

#include <string.h>

#define LABEL_ALG      1
#define LABEL_KID      4
#define LABEL_TYPE     (-65537)
#define ALG_ED25519    (-19)
#define ALG_ESP256     (-9)
#define ROOT_CHARS     44u /* base64 of 32 bytes */
#define SIZE_CHARS     20u
#define HEADER_AAD_MAX 64u
#define HEADER_ITEMS   3u

static int64_t type_of(emk_keyholder_purpose purpose)
{
    switch (purpose) {
    case EMK_KEYHOLDER_DEVICE_CERTIFICATE:
        return EMK_COSE_DEVICE_CERTIFICATE;
    case EMK_KEYHOLDER_TICKET:
        return EMK_COSE_TICKET;
    case EMK_KEYHOLDER_LEASE:
        return EMK_COSE_LEASE;
    case EMK_KEYHOLDER_FILE_HEADER:
        return EMK_COSE_FILE_HEADER;
    case EMK_KEYHOLDER_WEIGHTS_HEADER:
        return EMK_COSE_WEIGHTS_HEADER;
    default:
        return 0;
    }
}

static emk_status check_protected(const emk_purpose_check *p, emk_span in, emk_error *e)
{
    int64_t want_alg = p->alg == EMK_SIGN_ED25519 ? ALG_ED25519 : ALG_ESP256;
    emk_cbor_reader r;
    int64_t key = 0, alg = 0, type = 0;
    emk_span kid = {0};

    emk_cbor_reader_init(&r, in);
    if (emk_cbor_enter_map(&r) != 3)
        emk_cbor_fail(&r, EMK_E_FORMAT, "purpose: protected header", 0);
    if (emk_cbor_next_key(&r, &key) && key == LABEL_ALG)
        alg = emk_cbor_read_int(&r);
    if (emk_cbor_next_key(&r, &key) && key == LABEL_KID)
        kid = emk_cbor_read_bytes(&r);
    if (emk_cbor_next_key(&r, &key) && key == LABEL_TYPE)
        type = emk_cbor_read_int(&r);
    emk_cbor_leave(&r);
    if (emk_cbor_finish(&r, e) != EMK_OK)
        return emk_fail(e, EMK_E_POLICY, "purpose: protected header", 0);
    if (alg != want_alg || !emk_span_equal(kid, emk_span_of(p->kid, EMK_COSE_KID_LEN)))
        return emk_fail(e, EMK_E_POLICY, "purpose: for another key", 0);
    if (type != type_of(p->purpose))
        return emk_fail(e, EMK_E_POLICY, "purpose: an object of another type", (uint64_t)type);
    return EMK_OK;
}

/* What is made is signed at once: a time of its own that is another is nobody's but an intruder's,
 * who wants it to be good later, or to look older than a revocation. */
static emk_status check_made(const emk_purpose_check *p, uint64_t made_s, emk_error *e)
{
    uint64_t apart = made_s > p->now_s ? made_s - p->now_s : p->now_s - made_s;

    return apart <= EMK_PURPOSE_SKEW_S ? EMK_OK
                                       : emk_fail(e, EMK_E_POLICY, "purpose: not made now", made_s);
}

static emk_status check_end(const emk_purpose_check *p, uint64_t end_s, uint64_t life_s,
                            emk_error *e)
{
    if (end_s > p->now_s && end_s - p->now_s > life_s + EMK_PURPOSE_SKEW_S)
        return emk_fail(e, EMK_E_POLICY, "purpose: good for too long", end_s);
    return EMK_OK;
}

static emk_status check_certificate(const emk_purpose_check *p, emk_span payload, emk_error *e)
{
    emk_device_certificate d;
    emk_status st = emk_device_certificate_read(payload, &d, e);

    if (st == EMK_OK)
        st = check_made(p, d.issued, e);
    return st == EMK_OK ? check_end(p, d.not_after, p->limits->certificate_s, e) : st;
}

static emk_status check_ticket(const emk_purpose_check *p, emk_span payload, emk_error *e)
{
    emk_ticket t;
    emk_status st = emk_ticket_read(payload, &t, e);

    if (st == EMK_OK)
        st = check_made(p, t.issued, e);
    if (st == EMK_OK)
        st = check_end(p, t.expires, p->limits->ticket_s, e);
    return st == EMK_OK && p->limits->policy_s
               ? check_end(p, t.policy.expires, p->limits->policy_s, e)
               : st;
}

static emk_status check_lease(const emk_purpose_check *p, emk_span payload, emk_error *e)
{
    emk_lease l;
    emk_status st = emk_lease_read(payload, &l, e);

    if (st == EMK_OK)
        st = check_made(p, l.time, e);
    return st == EMK_OK ? check_end(p, l.until, p->limits->lease_s, e) : st;
}

/* The issuer's objects name their times; what the sealing key signs is good as long as its
 * certificate and the ticket inside. */
static emk_status check_times(const emk_purpose_check *p, emk_span payload, emk_error *e)
{
    emk_error why = {0};
    emk_status st = EMK_OK;

    if (p->purpose == EMK_KEYHOLDER_DEVICE_CERTIFICATE)
        st = check_certificate(p, payload, &why);
    else if (p->purpose == EMK_KEYHOLDER_TICKET)
        st = check_ticket(p, payload, &why);
    else if (p->purpose == EMK_KEYHOLDER_LEASE)
        st = check_lease(p, payload, &why);
    return st == EMK_OK ? EMK_OK : emk_fail(e, EMK_E_POLICY, why.what, why.where);
}

/* A Sig_structure [RFC 9052 4.4] whose payload is one map of our profile; a header's is an array
 * [container 3.1]. */
static emk_status check_cose(const emk_purpose_check *p, emk_span message, emk_error *e)
{
    bool header =
        p->purpose == EMK_KEYHOLDER_FILE_HEADER || p->purpose == EMK_KEYHOLDER_WEIGHTS_HEADER;
    emk_span context, protected_bytes, aad, payload;
    emk_cbor_reader r;

    emk_cbor_reader_init(&r, message);
    if (emk_cbor_enter_array(&r) != 4)
        emk_cbor_fail(&r, EMK_E_FORMAT, "purpose: not a Sig_structure", 0);
    context = emk_cbor_read_text(&r);
    protected_bytes = emk_cbor_read_bytes(&r);
    aad = emk_cbor_read_bytes(&r);
    payload = emk_cbor_read_bytes(&r);
    emk_cbor_leave(&r);
    if (emk_cbor_finish(&r, e) != EMK_OK || !emk_span_equal(context, emk_span_str("Signature1")) ||
        aad.len > (header ? HEADER_AAD_MAX : 0))
        return emk_fail(e, EMK_E_POLICY, "purpose: not a Sig_structure", 0);
    emk_cbor_reader_init(&r, payload);
    if (header ? emk_cbor_enter_array(&r) != HEADER_ITEMS : emk_cbor_peek(&r) != EMK_CBOR_MAP)
        return emk_fail(e, EMK_E_POLICY, "purpose: the payload is of another kind", 0);
    if (!header && payload.len > EMK_MESSAGE_MAX)
        return emk_fail(e, EMK_E_POLICY, "purpose: the payload is too long", payload.len);
    return check_protected(p, protected_bytes, e) == EMK_OK ? check_times(p, payload, e)
                                                            : EMK_E_POLICY;
}

/* Takes a line without its end off the front; false when there is none. */
static bool next_line(emk_span *text, emk_span *line)
{
    const uint8_t *end = text->len ? memchr(text->p, '\n', text->len) : NULL;

    if (!end)
        return false;
    *line = emk_span_of(text->p, (size_t)(end - text->p));
    *text = emk_span_of(end + 1, text->len - line->len - 1);
    return true;
}

static bool parse_size(emk_span s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len >= SIZE_CHARS || (s.p[0] == '0' && s.len > 1))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return true;
}

static bool is_base64(emk_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/' || (c == '=' && i + 1 == s.len)))
            return false;
    }
    return s.len == ROOT_CHARS;
}

/* The three lines of a checkpoint, of our log, and no smaller than one signed before.
 * [C2SP tlog-checkpoint] */
static emk_status check_note(const emk_purpose_check *p, emk_span text, emk_error *e)
{
    emk_span origin, size, root;
    uint64_t n;

    if (!next_line(&text, &origin) || !next_line(&text, &size) || !next_line(&text, &root) ||
        text.len != 0 || !parse_size(size, &n) || !is_base64(root))
        return emk_fail(e, EMK_E_POLICY, "purpose: not a checkpoint", 0);
    if (!p->origin || !emk_span_equal(origin, emk_span_str(p->origin)))
        return emk_fail(e, EMK_E_POLICY, "purpose: of another log", 0);
    if (n < *p->highest)
        return emk_fail(e, EMK_E_POLICY, "purpose: a checkpoint that goes back", n);
    *p->highest = n;
    return EMK_OK;
}

emk_status emk_purpose_check_message(const emk_purpose_check *p, emk_span message, emk_error *e)
{
    if (p->purpose == EMK_KEYHOLDER_CHECKPOINT)
        return check_note(p, message, e);
    if (type_of(p->purpose) == 0)
        return emk_fail(e, EMK_E_POLICY, "purpose: unknown", p->purpose);
    return check_cose(p, message, e);
}
