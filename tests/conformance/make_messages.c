/* emk-make-messages DIR: writes vectors of messages that this program's own code makes, with keys
 * of its own, for another reader to take: tests/reference/check_made.  [tests/vectors/README.md]
 *
 * It is a test program: what fails ends it. */
#include "core/base/os_file.h"
#include "core/crypto/dh.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "core/proto/events.h"
#include "core/proto/guard_summary.h"
#include "core/proto/http_signature.h"
#include "core/proto/lease.h"
#include "core/proto/receipt.h"
#include "server/gate/nonce.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW      UINT64_C(1780000000)
#define HOUR     3600u
#define HEAD_MAX 65536u

typedef struct world {
    const char *dir;
    emk_crypto *crypto;
    emk_sign_key *issuer_key, *device_key;
    emk_signer issuer, device;
    uint8_t agree_private[32], agree_public[65], x25519[32], device_id[EMK_DEVICE_ID_LEN];
    uint8_t master[EMK_LEASE_MASTER_LEN], lease_key[EMK_LEASE_KEY_LEN];
    emk_ticket ticket;
    emk_buf ticket_bytes;
    emk_error e;
} world;

static void need(world *w, emk_status st)
{
    if (st == EMK_OK)
        return;
    fprintf(stderr, "emk-make-messages: %s: %s\n", emk_status_name(st),
            w->e.what ? w->e.what : "-");
    exit(1);
}

/* ---- files ---- */

typedef struct head {
    char text[HEAD_MAX];
    size_t len;
} head;

static void put(head *h, const char *key, const char *value)
{
    int n = snprintf(h->text + h->len, sizeof h->text - h->len, "%s: %s\n", key, value);

    if (n < 0 || (size_t)n >= sizeof h->text - h->len)
        exit(1);
    h->len += (size_t)n;
}

static void put_number(head *h, const char *key, uint64_t n)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    put(h, key, text);
}

static void put_hex(head *h, const char *key, emk_span bytes)
{
    static char text[2 * EMK_MESSAGE_MAX + 1];

    text[0] = 0;
    for (size_t i = 0; i < bytes.len && i < EMK_MESSAGE_MAX; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes.p[i]);
    put(h, key, text);
}

static void begin(head *h, const world *w, const char *form)
{
    h->len = 0;
    put(h, "expect", "ok");
    put(h, "why", "made by this project's code");
    put(h, "form", form);
    put_hex(h, "issuer", emk_span_of(w->issuer.public_key, w->issuer.public_len));
    put_hex(h, "device-sign-public", emk_span_of(w->device.public_key, w->device.public_len));
    put_hex(h, "device-agree-public", emk_span_of(w->agree_public, sizeof w->agree_public));
    put_hex(h, "device-agree-private", emk_span_of(w->agree_private, sizeof w->agree_private));
    put_number(h, "now", NOW + 1);
}

static void finish(world *w, head *h, const char *name, emk_span body)
{
    char path[4096];
    emk_buf file;

    put_number(h, "size", body.len);
    emk_buf_init(&file, HEAD_MAX + EMK_MESSAGE_MAX);
    need(w, emk_buf_append(&file, emk_span_of(h->text, h->len), &w->e));
    need(w, emk_buf_append(&file, emk_span_str("\n"), &w->e));
    need(w, emk_buf_append(&file, body, &w->e));
    need(w, emk_os_join(path, sizeof path, w->dir, name, ".emkm", &w->e));
    need(w, emk_os_write_file(path, emk_buf_span(&file), &w->e));
    emk_buf_done(&file);
}

/* ---- people ---- */

static void make_key(world *w, emk_sign_alg alg, emk_sign_key **key, emk_signer *signer)
{
    uint8_t secret[32], public_key[EMK_SIGN_PUBLIC_MAX];

    need(w, emk_sign_generate(w->crypto, alg, secret, public_key, &w->e));
    need(w, emk_sign_key_new(w->crypto, alg, emk_span_of(secret, 32), key, &w->e));
    need(w, emk_signer_from_key(w->crypto, *key, signer, &w->e));
}

static void make_ticket(world *w)
{
    emk_lease_source from = {w->master, 1};
    emk_ticket t = {
        .device_key = {EMK_KEM_P256, {w->agree_public, sizeof w->agree_public}},
        .request_key = {EMK_KEM_X25519, {w->x25519, sizeof w->x25519}},
        .policy = {.expires = NOW + 24 * HOUR, .lease_s = HOUR, .grace_s = 60, .min_guard = 1},
        .identity = {.model = emk_span_str("speech"), .user = emk_span_str("u-1")},
        .issued = NOW - 60,
        .expires = NOW + HOUR};

    memcpy(t.device_id, w->device_id, sizeof t.device_id);
    memcpy(t.identity.device, w->device_id, sizeof t.identity.device);
    need(w, emk_random_public(w->crypto, t.id, sizeof t.id, &w->e));
    need(w, emk_lease_prepare(w->crypto, &from, w->lease_key, &t, &w->e));
    emk_buf_init(&w->ticket_bytes, EMK_MESSAGE_MAX);
    need(w, emk_ticket_sign(w->crypto, &w->issuer, &t, &w->ticket_bytes, &w->e));
    need(w, emk_ticket_parse(w->crypto, emk_buf_span(&w->ticket_bytes), &w->ticket, &w->e));
}

static void make_people(world *w)
{
    emk_agree_key agree = {EMK_KEM_P256, {w->agree_public, sizeof w->agree_public}};
    uint8_t unused[32];

    need(w, emk_crypto_new(NULL, NULL, &w->crypto, &w->e));
    make_key(w, EMK_SIGN_ED25519, &w->issuer_key, &w->issuer);
    make_key(w, EMK_SIGN_ES256, &w->device_key, &w->device);
    need(w, emk_p256_generate(w->crypto, w->agree_private, w->agree_public, &w->e));
    need(w, emk_x25519_generate(w->crypto, unused, w->x25519, &w->e));
    need(w, emk_random_public(w->crypto, w->master, sizeof w->master, &w->e));
    need(w, emk_device_id(w->crypto, emk_span_of(w->device.public_key, w->device.public_len),
                          &agree, w->device_id, &w->e));
    make_ticket(w);
}

/* ---- one vector each ---- */

static void make_leases(world *w, head *h)
{
    uint8_t secret[EMK_LEASE_SECRET_LEN];
    emk_lease_grant_in grant = {&w->issuer, {w->master, 1}, &w->ticket, NOW, NULL};
    emk_lease_refuse_in refuse = {&w->issuer, &w->ticket, EMK_LEASE_ATTEST, NOW};
    emk_lease_psk psk;
    emk_buf out;

    need(w, emk_lease_derive(w->crypto, &grant.from, w->ticket.id, secret, &w->e));
    need(w, emk_lease_psk_make(w->crypto, w->ticket.lease_key, w->ticket.id, &psk, &w->e));
    for (int refused = 0; refused < 2; refused++) {
        emk_buf_init(&out, EMK_MESSAGE_MAX);
        need(w, refused ? emk_lease_refuse(w->crypto, &refuse, &out, &w->e)
                        : emk_lease_grant(w->crypto, &grant, &out, &w->e));
        begin(h, w, "lease");
        put_hex(h, "ticket-id", emk_span_of(w->ticket.id, sizeof w->ticket.id));
        put_hex(h, "lease-key", w->ticket.lease_key);
        put_hex(h, "psk-id", emk_span_of(psk.id, sizeof psk.id));
        put_number(h, "read-until", refused ? NOW : NOW + HOUR);
        if (refused) {
            put_number(h, "read-refusal", EMK_LEASE_ATTEST);
        } else {
            put_hex(h, "read-secret", emk_span_of(secret, sizeof secret));
            put_hex(h, "read-psk", emk_span_of(psk.psk, sizeof psk.psk));
        }
        finish(w, h, refused ? "lease-refusal" : "lease", emk_buf_span(&out));
        emk_buf_done(&out);
    }
}

static void make_summary(world *w, head *h, emk_buf *summary)
{
    emk_guard_report r = {.level = EMK_GUARD_CAREFUL, .n_looks = 9, .n_findings = 2};

    r.action = EMK_GUARD_DO_REPORT;
    r.findings[0] = (emk_guard_finding){.signal = 3, .confidence = EMK_GUARD_HINT, .n_seen = 2};
    r.findings[1] = (emk_guard_finding){.signal = 7, .confidence = EMK_GUARD_LIKELY, .n_seen = 1};
    need(w, emk_random_public(w->crypto, r.transcript, sizeof r.transcript, &w->e));
    need(w, emk_random_public(w->crypto, r.measurement, sizeof r.measurement, &w->e));
    need(w, emk_guard_summary_write(&r, summary, &w->e));
    begin(h, w, "guard summary");
    put_number(h, "read-level", EMK_GUARD_CAREFUL);
    put_number(h, "read-action", EMK_GUARD_DO_REPORT);
    put_number(h, "read-looks", 9);
    put_hex(h, "read-transcript", emk_span_of(r.transcript, sizeof r.transcript));
    put_hex(h, "read-measurement", emk_span_of(r.measurement, sizeof r.measurement));
    put(h, "read-findings", "3/1/2 7/2/1");
    finish(w, h, "summary", emk_buf_span(summary));
}

static void make_lease_request(world *w, head *h, emk_span summary)
{
    emk_lease_request q = {.created = NOW, .floor = NOW - 5, .guard = 2, .summary = summary};
    emk_buf out;

    need(w, emk_random_public(w->crypto, q.nonce, sizeof q.nonce, &w->e));
    memcpy(q.ticket_id, w->ticket.id, sizeof q.ticket_id);
    memcpy(q.ticket_hash, w->ticket.hash, sizeof q.ticket_hash);
    memcpy(q.device_id, w->device_id, sizeof q.device_id);
    emk_buf_init(&out, EMK_MESSAGE_MAX);
    need(w, emk_lease_request_sign(w->crypto, &w->device, &q, &out, &w->e));
    begin(h, w, "lease request");
    put_hex(h, "ticket", emk_buf_span(&w->ticket_bytes));
    put_hex(h, "read-nonce", emk_span_of(q.nonce, sizeof q.nonce));
    put_number(h, "read-created", q.created);
    put_number(h, "read-floor", q.floor);
    put_number(h, "read-level", q.guard);
    put_hex(h, "read-summary", summary);
    finish(w, h, "lease-request", emk_buf_span(&out));
    emk_buf_done(&out);
}

static void make_receipt(world *w, head *h, emk_span summary)
{
    emk_receipt r = {.outcome = EMK_E_SEALED, .time = NOW, .guard = 3, .summary = summary};
    emk_buf out;

    memcpy(r.ticket_id, w->ticket.id, sizeof r.ticket_id);
    need(w, emk_random_public(w->crypto, r.file_id, sizeof r.file_id, &w->e));
    emk_buf_init(&out, EMK_MESSAGE_MAX);
    need(w, emk_receipt_sign(w->crypto, &w->device, &r, &out, &w->e));
    begin(h, w, "receipt");
    put_hex(h, "read-ticket-id", emk_span_of(r.ticket_id, sizeof r.ticket_id));
    put_hex(h, "read-file-id", emk_span_of(r.file_id, sizeof r.file_id));
    put_number(h, "read-outcome", r.outcome);
    put_number(h, "read-time", r.time);
    put_number(h, "read-level", r.guard);
    put_hex(h, "read-summary", summary);
    finish(w, h, "receipt", emk_buf_span(&out));
    emk_buf_done(&out);
}

static void make_events(world *w, head *h)
{
    static emk_events b;
    uint8_t hash[EMK_HASH_LEN];
    emk_buf out;

    b.first = 12;
    b.time = NOW;
    b.n = 2;
    b.events[0] = (emk_event){.type = EMK_EVENT_USE, .time = NOW - 1, .code = 40};
    b.events[1] =
        (emk_event){.type = EMK_EVENT_TAMPER, .time = NOW, .detail = emk_span_str("earmark")};
    memcpy(b.device_id, w->device_id, sizeof b.device_id);
    need(w, emk_random_public(w->crypto, b.previous, sizeof b.previous, &w->e));
    emk_buf_init(&out, EMK_MESSAGE_MAX);
    need(w, emk_events_sign(w->crypto, &w->device, &b, &out, &w->e));
    need(w, emk_message_hash(w->crypto, emk_buf_span(&out), hash, &w->e));
    begin(h, w, "events");
    put_number(h, "read-first", b.first);
    put_hex(h, "read-previous", emk_span_of(b.previous, sizeof b.previous));
    put_number(h, "read-time", b.time);
    put(h, "read-events", "3:1779999999::40: 6:1780000000:::6561726d61726b");
    put_hex(h, "read-hash", emk_span_of(hash, sizeof hash));
    finish(w, h, "events", emk_buf_span(&out));
    emk_buf_done(&out);
}

/* Signs, and keeps what was signed. */
typedef struct recorder {
    const emk_signer *signer;
    emk_buf base;
} recorder;

static emk_status sign_and_keep(void *self, emk_span message, uint8_t sig[EMK_SIGN_LEN],
                                emk_error *e)
{
    recorder *r = self;
    emk_status st = emk_buf_append(&r->base, message, e);

    return st == EMK_OK ? r->signer->sign(r->signer->self, message, sig, e) : st;
}

static void make_http(world *w, head *h)
{
    recorder r = {.signer = &w->device};
    emk_signer signer = w->device;
    uint8_t key[EMK_NONCE_KEY_LEN], digest[EMK_SHA256_LEN];
    char nonce[EMK_NONCE_CHARS + 1], text[8192];
    emk_span body = emk_span_str("{\"request\":\"AAAA\"}");
    emk_http_to_sign in = {.method = emk_span_str("POST"),
                           .authority = emk_span_str("models.example.com"),
                           .path = emk_span_str("/v1/leases"),
                           .query = emk_span_str("a=1"),
                           .authorization = emk_span_str("Bearer a.b.c"),
                           .counter = 77,
                           .created = NOW,
                           .device_id = w->device_id,
                           .body_sha256 = digest};
    emk_nonces *nonces = NULL;
    emk_http_signed out;

    need(w, emk_random_public(w->crypto, key, sizeof key, &w->e));
    need(w, emk_nonces_new(w->crypto, emk_span_of(key, sizeof key), &nonces, &w->e));
    need(w,
         emk_nonce_make(nonces, emk_span_of(w->device_id, sizeof w->device_id), NOW, nonce, &w->e));
    emk_nonces_free(nonces);
    need(w, emk_sha256(w->crypto, &body, 1, digest, &w->e));
    in.nonce = emk_span_str(nonce);
    signer.sign = sign_and_keep;
    signer.self = &r;
    emk_buf_init(&r.base, EMK_MESSAGE_MAX);
    need(w, emk_http_sign(&signer, &in, &out, &w->e));
    snprintf(text, sizeof text,
             "POST /v1/leases?a=1 HTTP/1.1\r\nHost: models.example.com\r\n"
             "Authorization: Bearer a.b.c\r\nContent-Digest: %s\r\nEarmark-Counter: %s\r\n"
             "Earmark-Nonce: %s\r\nSignature-Input: %s\r\nSignature: %s\r\n\r\n%.*s",
             out.content_digest, out.counter, nonce, out.signature_input, out.signature,
             (int)body.len, (const char *)body.p);
    begin(h, w, "http");
    put_hex(h, "nonce-key", emk_span_of(key, sizeof key));
    put_number(h, "read-counter", in.counter);
    put_hex(h, "read-base", emk_buf_span(&r.base));
    finish(w, h, "http", emk_span_str(text));
    emk_buf_done(&r.base);
}

int main(int argc, char **argv)
{
    static world w;
    static head h;
    emk_buf summary;

    if (argc != 2) {
        fprintf(stderr, "usage: emk-make-messages DIR\n");
        return 2;
    }
    w.dir = argv[1];
    make_people(&w);
    emk_buf_init(&summary, EMK_GUARD_SUMMARY_MAX);
    make_leases(&w, &h);
    make_summary(&w, &h, &summary);
    make_lease_request(&w, &h, emk_buf_span(&summary));
    make_receipt(&w, &h, emk_buf_span(&summary));
    make_events(&w, &h);
    make_http(&w, &h);
    emk_buf_done(&summary);
    emk_buf_done(&w.ticket_bytes);
    emk_sign_key_free(w.issuer_key);
    emk_sign_key_free(w.device_key);
    emk_crypto_free(w.crypto);
    return 0;
}
