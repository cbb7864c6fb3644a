/* The project's kit of messages: leases and requests for them, guard summaries, receipts, events
 * and signed requests, with one defect or none.  [tests/vectors/README.md] */
#include "tests/conformance/kit_messages.h"

#include "core/proto/events.h"
#include "core/proto/guard_summary.h"
#include "core/proto/lease.h"
#include "core/proto/receipt.h"
#include "tests/conformance/formats.h"

#include <stdio.h>

#define KEY_MAX 64u

/* ---- outcomes ---- */

const char *emk_kit_outcome(const emk_kit_message *m, emk_status st)
{
    static const char *const rows[][2] = {
        {"signed object: of another type", "bad signature"},
        {"lease request: for another ticket", "binding mismatch"},
        {"lease request: by another device", "binding mismatch"},
    };

    for (size_t i = 0; st != EMK_OK && m->error.what && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(m->error.what, rows[i][0]) == 0)
            return rows[i][1];
    switch (st) {
    case EMK_OK:
        return "ok";
    case EMK_E_FORMAT:
    case EMK_E_LIMIT:
        return "bad cbor";
    case EMK_E_SIGNATURE:
        return "bad signature";
    case EMK_E_SEALED:
        return "hpke failure";
    case EMK_E_POLICY:
        return "policy refused";
    case EMK_E_UNSUPPORTED:
        return "unsupported";
    default:
        return emk_status_name(st);
    }
}

static bool is_ok(const char *outcome)
{
    return strcmp(outcome, "ok") == 0;
}

/* ---- the head ---- */

static emk_span hex(emk_kit_message *m, const char *key)
{
    return emk_head_hex(m->v, m->head, key);
}

/* 0 where it is absent. */
static uint64_t number_opt(emk_kit_message *m, const char *key)
{
    emk_span value;

    return emk_head_get(m->head, key, &value) ? emk_head_number(m->v, m->head, key) : 0;
}

/* Exactly len bytes; lends zeros where the head has others. */
static const uint8_t *hex_of(emk_kit_message *m, const char *key, size_t len)
{
    emk_span got = hex(m, key);

    if (got.len == len)
        return got.p;
    emk_vec_malformed(m->v, "\"%s\" has not %zu bytes", key, len);
    return emk_vec_take(m->v, len);
}

void emk_kit_read_text(emk_kit_message *m, const char *key, emk_span got)
{
    char name[KEY_MAX];
    emk_span want;

    snprintf(name, sizeof name, "read-%s", key);
    (void)emk_head_get(m->head, name, &want);
    emk_vec_same(m->v, key, got, want);
}

void emk_kit_read_number(emk_kit_message *m, const char *key, uint64_t got)
{
    char text[KEY_MAX];

    snprintf(text, sizeof text, "%llu", (unsigned long long)got);
    emk_kit_read_text(m, key, emk_span_str(text));
}

void emk_kit_read_bytes(emk_kit_message *m, const char *key, emk_span got)
{
    char *text = emk_vec_take(m->v, 2 * got.len + 1);

    for (size_t i = 0; i < got.len; i++)
        snprintf(text + 2 * i, 3, "%02x", got.p[i]);
    emk_kit_read_text(m, key, emk_span_of(text, 2 * got.len));
}

bool emk_kit_device_id(emk_kit_message *m, emk_span agree, uint8_t out[EMK_DEVICE_ID_LEN])
{
    emk_agree_key key = {.kem = EMK_KEM_P256, .public_key = agree};
    emk_status st = emk_device_id(m->v->crypto, hex(m, "device-sign-public"), &key, out, &m->error);

    return emk_vec_ok(m->v, "device id", st, &m->error);
}

static emk_verify_key *key_of(emk_kit_message *m, const char *name)
{
    emk_verify_key *key = NULL;
    emk_span value;

    if (!emk_head_get(m->head, name, &value))
        return NULL;
    emk_vec_ok(m->v, name, emk_cose_verify_key(m->v->crypto, hex(m, name), &key, &m->error),
               &m->error);
    return key;
}

/* ---- leases ---- */

static void read_psk(emk_kit_message *m, const emk_lease *lease, const uint8_t *secret)
{
    emk_lease_opener with = {m->v->crypto, secret, lease->ticket_id};
    uint8_t psk[EMK_LEASE_PSK_LEN];
    emk_status st = emk_lease_psk_find(&with, hex(m, "psk-id"), psk, &m->error);

    if (emk_vec_ok(m->v, "psk", st, &m->error))
        emk_kit_read_bytes(m, "psk", emk_span_of(psk, sizeof psk));
}

static const char *open_secret(emk_kit_message *m, const emk_lease *lease,
                               const emk_kem_private *agree)
{
    uint8_t secret[EMK_LEASE_SECRET_LEN], key[EMK_LEASE_KEY_LEN];
    emk_status st = emk_lease_open(lease, agree, secret, &m->error);
    emk_span psk_id;

    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    st = emk_lease_key(m->v->crypto, secret, key, &m->error);
    emk_vec_ok(m->v, "lease key", st, &m->error);
    if (!emk_span_equal(emk_span_of(key, sizeof key), hex(m, "lease-key")))
        return "binding mismatch";
    emk_kit_read_bytes(m, "secret", emk_span_of(secret, sizeof secret));
    if (emk_head_get(m->head, "psk-id", &psk_id))
        read_psk(m, lease, secret);
    return "ok";
}

/* What device/client does with it, but for the vault.  [container 7.6] */
static const char *take_lease(emk_kit_message *m, const emk_lease *lease,
                              const emk_kem_private *agree)
{
    emk_policy policy = {.expires = UINT64_MAX, .lease_s = 1, .grace_s = number_opt(m, "grace")};
    uint64_t now = number_opt(m, "now");
    uint8_t mine[EMK_DEVICE_ID_LEN];
    const char *outcome;

    if (!emk_kit_device_id(m, emk_kem_private_public(agree), mine))
        return "skipped";
    if (memcmp(lease->device_id, mine, sizeof mine) != 0 ||
        memcmp(lease->ticket_id, hex_of(m, "ticket-id", EMK_ID_LEN), EMK_ID_LEN) != 0)
        return "binding mismatch";
    if (lease->time <= number_opt(m, "newest"))
        return "stale";
    if (lease->refusal) {
        emk_kit_read_number(m, "until", lease->until);
        emk_kit_read_number(m, "refusal", lease->refusal);
        return "ok";
    }
    if ((now > lease->time ? now : lease->time) >= emk_policy_lease_end(&policy, lease->until))
        return "policy refused";
    outcome = open_secret(m, lease, agree);
    if (is_ok(outcome))
        emk_kit_read_number(m, "until", lease->until);
    return outcome;
}

static const char *run_lease(emk_kit_message *m)
{
    emk_verify_key *issuer = key_of(m, "issuer");
    emk_kem_private *agree = NULL;
    const char *outcome = "skipped";
    emk_lease lease;
    emk_status st = emk_kem_private_new(m->v->crypto, EMK_KEM_P256, hex(m, "device-agree-private"),
                                        &agree, &m->error);

    if (emk_vec_ok(m->v, "device-agree-private", st, &m->error) && issuer) {
        st = emk_lease_verify(m->v->crypto, m->body, issuer, &lease, &m->error);
        outcome = st == EMK_OK ? take_lease(m, &lease, agree) : emk_kit_outcome(m, st);
    }
    emk_verify_key_free(issuer);
    emk_kem_private_free(agree);
    return outcome;
}

static const char *run_lease_request(emk_kit_message *m)
{
    const emk_crypto *c = m->v->crypto;
    emk_lease_request q;
    emk_ticket ticket;
    emk_status st = emk_lease_request_verify(c, m->body, m->device, &q, &m->error);

    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    st = emk_ticket_parse(c, hex(m, "ticket"), &ticket, &m->error);
    if (!emk_vec_ok(m->v, "ticket", st, &m->error))
        return "skipped";
    st = emk_lease_request_check(&q, &ticket, number_opt(m, "now"), &m->error);
    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    emk_kit_read_bytes(m, "nonce", emk_span_of(q.nonce, sizeof q.nonce));
    emk_kit_read_number(m, "created", q.created);
    emk_kit_read_number(m, "floor", q.floor);
    emk_kit_read_number(m, "level", q.guard);
    emk_kit_read_bytes(m, "summary", q.summary);
    return "ok";
}

/* ---- guard summaries, receipts, events ---- */

static const char *run_summary(emk_kit_message *m)
{
    char text[EMK_GUARD_SUMMARY_FINDINGS * 16] = "";
    emk_guard_summary s;
    size_t at = 0;
    emk_status st = emk_guard_summary_read(m->body, &s, &m->error);

    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    emk_kit_read_number(m, "level", s.level);
    emk_kit_read_number(m, "action", s.action);
    emk_kit_read_number(m, "looks", s.n_looks);
    emk_kit_read_bytes(m, "transcript", emk_span_of(s.transcript, sizeof s.transcript));
    emk_kit_read_bytes(m, "measurement", emk_span_of(s.measurement, sizeof s.measurement));
    for (size_t i = 0; i < s.n_findings; i++)
        at +=
            (size_t)snprintf(text + at, sizeof text - at, "%s%u/%u/%u", i > 0 ? " " : "",
                             s.findings[i].signal, s.findings[i].confidence, s.findings[i].n_seen);
    emk_kit_read_text(m, "findings", emk_span_str(text));
    return "ok";
}

static const char *run_receipt(emk_kit_message *m)
{
    emk_receipt r;
    emk_status st = emk_receipt_verify(m->v->crypto, m->body, m->device, &r, &m->error);

    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    emk_kit_read_bytes(m, "ticket-id", emk_span_of(r.ticket_id, sizeof r.ticket_id));
    emk_kit_read_bytes(m, "file-id", emk_span_of(r.file_id, sizeof r.file_id));
    emk_kit_read_number(m, "outcome", r.outcome);
    emk_kit_read_number(m, "time", r.time);
    emk_kit_read_number(m, "level", r.guard);
    emk_kit_read_bytes(m, "summary", r.summary);
    return "ok";
}

static void put_hex(char *out, size_t cap, emk_span in)
{
    for (size_t i = 0; i < in.len && 2 * i + 3 <= cap; i++)
        snprintf(out + 2 * i, 3, "%02x", in.p[i]);
}

/* "type:time:ticket:code:detail", what is absent empty. */
static void put_event(char *out, size_t cap, const emk_event *v)
{
    char ticket[2 * EMK_ID_LEN + 1] = "", detail[2 * EMK_EVENT_DETAIL_MAX + 1] = "", code[16] = "";

    if (v->has_ticket)
        put_hex(ticket, sizeof ticket, emk_span_of(v->ticket_id, EMK_ID_LEN));
    put_hex(detail, sizeof detail, v->detail);
    if (v->code > 0)
        snprintf(code, sizeof code, "%lu", (unsigned long)v->code);
    snprintf(out, cap, "%u:%llu:%s:%s:%s", v->type, (unsigned long long)v->time, ticket, code,
             detail);
}

static void read_events(emk_kit_message *m, const emk_events *b)
{
    size_t cap = EMK_MESSAGE_MAX * 8, at = 0;
    char *text = emk_vec_take(m->v, cap);

    for (size_t i = 0; i < b->n; i++) {
        if (i > 0)
            text[at++] = ' ';
        put_event(text + at, cap - at, &b->events[i]);
        at += strlen(text + at);
    }
    emk_kit_read_number(m, "first", b->first);
    emk_kit_read_bytes(m, "previous", emk_span_of(b->previous, sizeof b->previous));
    emk_kit_read_number(m, "time", b->time);
    emk_kit_read_text(m, "events", emk_span_of(text, at));
    emk_kit_read_bytes(m, "hash", emk_span_of(b->hash, sizeof b->hash));
}

static const char *run_events(emk_kit_message *m)
{
    emk_events *b = emk_vec_take(m->v, sizeof *b);
    uint8_t id[EMK_DEVICE_ID_LEN];
    emk_status st = emk_events_verify(m->v->crypto, m->body, m->device, b, &m->error);

    if (st != EMK_OK)
        return emk_kit_outcome(m, st);
    if (!emk_kit_device_id(m, hex(m, "device-agree-public"), id))
        return "skipped";
    if (memcmp(b->device_id, id, sizeof id) != 0)
        return "binding mismatch";
    read_events(m, b);
    return "ok";
}

/* ---- all of them ---- */

typedef struct form {
    const char *name;
    const char *(*run)(emk_kit_message *m);
} form;

static const form forms[] = {
    {"lease", run_lease},           {"lease request", run_lease_request},
    {"guard summary", run_summary}, {"receipt", run_receipt},
    {"events", run_events},         {"http", emk_kit_http},
};

static const form *form_of(const emk_text_head *head)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (emk_head_is(head, "form", forms[i].name))
            return &forms[i];
    return NULL;
}

static bool is_messages(emk_span file)
{
    emk_text_head head;
    emk_span value;

    return emk_head_read(file, &head) && emk_head_get(&head, "expect", &value) && form_of(&head);
}

static void run_form(emk_kit_message *m)
{
    const char *outcome;
    emk_span expect;

    (void)emk_head_get(m->head, "expect", &expect);
    emk_vec_true(m->v, "size", emk_head_number(m->v, m->head, "size") == m->body.len);
    outcome = form_of(m->head)->run(m);
    if (m->v->skip[0] || m->v->broken[0])
        return;
    if (!emk_span_equal(expect, emk_span_str(outcome)))
        emk_vec_fail(m->v, "expected %.*s, got %s (%s)", EMK_VEC_SHOWN(expect), outcome,
                     m->error.what ? m->error.what : "-");
}

static void run_messages(emk_vec *v, emk_span file)
{
    emk_kit_message m = {.v = v};
    emk_text_head *head;

    emk_vec_begin(v, "file");
    head = emk_vec_take(v, sizeof *head);
    m.head = head;
    if (emk_head_read(file, head)) {
        m.body = emk_head_body(v, head);
        m.device = key_of(&m, "device-sign-public");
        if (emk_vec_is_well(v))
            run_form(&m);
    }
    emk_vec_end(v);
    emk_verify_key_free(m.device);
}

const emk_head_format emk_format_messages = {"Earmark messages", is_messages, run_messages};
