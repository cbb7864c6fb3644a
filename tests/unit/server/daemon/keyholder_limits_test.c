/* For how long the keyholder signs: asked in this process, and over the socket itself by somebody
 * who is not our client. */
#include "server/daemon/keyholder_internal.h"

#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/proto/device_certificate.h"
#include "core/proto/lease.h"
#include "server/daemon/os_process.h"
#include "tests/support/test.h"

#include <unistd.h>

#define HOUR     3600u
#define DAY      86400u
#define FOR_EVER (UINT64_C(1) << 40)
#define SKEW     EMK_PURPOSE_SKEW_S
#define WAIT_MS  30000u

static const emk_purpose_limits LIMITS = {
    .certificate_s = DAY, .ticket_s = 600, .lease_s = 2 * HOUR, .policy_s = 30 * DAY};

/* Who is asked to sign: `fd` of a keyholder, or -1 for its rule alone. */
typedef struct world {
    emk_crypto *crypto;
    char *dir;
    int fd, pid;
    emk_keyholder_purpose purpose;
    emk_purpose_limits limits;
    uint64_t now;
    uint8_t signing[65], agree[65], issuer[EMK_SIGN_PUBLIC_MAX];
    size_t issuer_len;
} world;

/* ---- the raw wire ---- */

static emk_status ask_raw(const world *w, const emk_keyholder_message *q, uint8_t *answer,
                          size_t *len)
{
    static uint8_t out[EMK_KEYHOLDER_MESSAGE_MAX], in[EMK_KEYHOLDER_MESSAGE_MAX];
    emk_keyholder_message m;
    emk_span left;
    emk_error e = {0};
    size_t n = 0;

    emk_keyholder_head_write(out, q->operation, q->number, q->body.len);
    if (q->body.len > 0)
        memcpy(out + EMK_KEYHOLDER_HEAD_LEN, q->body.p, q->body.len);
    assert_ok(emk_proc_send(w->fd, emk_span_of(out, EMK_KEYHOLDER_HEAD_LEN + q->body.len), &e), &e);
    assert_ok(emk_proc_receive(w->fd, in, sizeof in, &n, WAIT_MS, &e), &e);
    left = emk_span_of(in, n);
    assert_ok(emk_keyholder_message_next(&left, &m, &e), &e);
    assert_int_equal(m.operation, q->operation);
    assert_true(m.body.len <= EMK_KEYHOLDER_MESSAGE_MAX);
    if (m.body.len > 0)
        memcpy(answer, m.body.p, m.body.len);
    *len = m.body.len;
    return (emk_status)m.number;
}

static emk_status sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    static uint8_t answer[EMK_KEYHOLDER_MESSAGE_MAX];
    const world *w = self;
    emk_keyholder_message q = {EMK_KEYHOLDER_OP_SIGN, (uint16_t)w->purpose, msg};
    uint64_t highest = 0;
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_signer named;
    emk_purpose_check check = {w->purpose, EMK_SIGN_ED25519, kid,   "log",
                               &highest,   &w->limits,       w->now};
    size_t len = 0;
    emk_status st;

    if (w->fd < 0) {
        assert_ok(emk_signer_from_fn(w->crypto, emk_span_of(w->issuer, w->issuer_len), sign, self,
                                     &named, e),
                  e);
        memcpy(kid, named.kid, sizeof kid);
        memset(sig, 0, 64);
        return emk_purpose_check_message(&check, msg, e);
    }
    st = ask_raw(w, &q, answer, &len);
    assert_int_equal(len, st == EMK_OK ? 64 : 0); /* a refusal has no signature with it */
    if (st != EMK_OK)
        return emk_fail(e, st, "test: refused", 0);
    memcpy(sig, answer, 64);
    return EMK_OK;
}

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    uint8_t priv[32];
    emk_error e = {0};

    w->fd = -1;
    w->limits = LIMITS;
    w->now = 1800000000;
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_sign_generate(w->crypto, EMK_SIGN_ES256, priv, w->signing, &e), &e);
    assert_ok(emk_sign_generate(w->crypto, EMK_SIGN_ES256, priv, w->agree, &e), &e);
    assert_ok(emk_sign_generate(w->crypto, EMK_SIGN_ED25519, priv, w->issuer, &e), &e);
    w->issuer_len = 32;
    *state = w;
    return 0;
}

static int make_raw(void **state)
{
    static uint8_t hello[EMK_KEYHOLDER_MESSAGE_MAX];
    static const emk_keyholder_message HELLO = {.operation = EMK_KEYHOLDER_OP_HELLO};
    emk_keyholder_options o = {.origin = "log",
                               .sealing_s = HOUR,
                               .limits = LIMITS,
                               .sandbox = getenv("EMK_NO_SANDBOX") == NULL,
                               .make = true};
    bool child = false;
    emk_error e = {0};
    size_t len = 0;
    world *w;

    make(state);
    w = *state;
    w->now = emk_os_now_s();
    w->dir = emk_test_dir_make();
    o.dir = w->dir;
    assert_ok(emk_proc_fork(&child, &w->fd, &w->pid, &e), &e);
    if (child)
        emk_proc_exit(emk_keyholder_run(w->fd, &o));
    assert_int_equal(ask_raw(w, &HELLO, hello, &len), EMK_OK);
    w->issuer_len = emk_load_u16be(hello);
    assert_int_equal(w->issuer_len, 32);
    memcpy(w->issuer, hello + 2, w->issuer_len);
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;
    int code = 0;

    if (w->fd >= 0) {
        emk_os_close(w->fd); /* it ends when nobody can ask any more */
        while (!emk_proc_ended(w->pid, &code))
            usleep(1000);
        assert_int_equal(code, 0);
    }
    if (w->dir)
        emk_test_dir_remove(w->dir);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

/* ---- what is asked for ---- */

static emk_status signer(world *w, emk_keyholder_purpose purpose, emk_signer *out, emk_error *e)
{
    w->purpose = purpose;
    return emk_signer_from_fn(w->crypto, emk_span_of(w->issuer, w->issuer_len), sign, w, out, e);
}

/* A keyholder's clock goes on. */
static uint64_t now_of(world *w)
{
    if (w->fd >= 0)
        w->now = emk_os_now_s();
    return w->now;
}

/* All times are from `now` on; `made` may lie before it. */
static emk_status certificate(world *w, int64_t made, uint64_t end)
{
    uint64_t now = now_of(w);
    emk_device_certificate c = {.issued = now + (uint64_t)made,
                                .not_after = now + end,
                                .signing_key = emk_span_of(w->signing, 65),
                                .agree = {EMK_KEM_P256, emk_span_of(w->agree, 65)}};
    emk_signer by;
    emk_error e = {0};
    emk_buf out;
    emk_status st = signer(w, EMK_KEYHOLDER_DEVICE_CERTIFICATE, &by, &e);

    emk_buf_init(&out, EMK_MESSAGE_MAX);
    assert_int_equal(st, EMK_OK);
    st = emk_device_certificate_sign(w->crypto, &by, &c, &out, &e);
    emk_buf_done(&out);
    return st;
}

static emk_status ticket(world *w, int64_t made, uint64_t end, uint64_t policy)
{
    uint64_t now = now_of(w);
    emk_ticket t = {.device_key = {EMK_KEM_P256, emk_span_of(w->agree, 65)},
                    .request_key = {EMK_KEM_P256, emk_span_of(w->agree, 65)},
                    .issued = now + (uint64_t)made,
                    .expires = now + end,
                    .policy = {.expires = now + policy},
                    .identity = {.model = emk_span_str("ears"),
                                 .version = emk_span_str("1"),
                                 .app = emk_span_str("app"),
                                 .user = emk_span_str("alice")}};
    emk_signer by;
    emk_error e = {0};
    emk_buf out;
    emk_status st = signer(w, EMK_KEYHOLDER_TICKET, &by, &e);

    emk_buf_init(&out, EMK_MESSAGE_MAX);
    assert_int_equal(st, EMK_OK);
    st = emk_ticket_sign(w->crypto, &by, &t, &out, &e);
    emk_buf_done(&out);
    return st;
}

/* With no end: a refusal. */
static emk_status lease(world *w, int64_t made, uint64_t end)
{
    static const uint8_t SEALED[48] = {1};
    uint64_t now = now_of(w);
    emk_lease l = {.time = now + (uint64_t)made, .until = now + end};
    emk_signer by;
    emk_error e = {0};
    emk_buf out;
    emk_status st = signer(w, EMK_KEYHOLDER_LEASE, &by, &e);

    emk_buf_init(&out, EMK_MESSAGE_MAX);
    assert_int_equal(st, EMK_OK);
    if (end)
        l.sealed = emk_span_of(SEALED, sizeof SEALED);
    else
        l.until = l.time;
    l.refusal = end ? EMK_LEASE_GRANTED : EMK_LEASE_REVOKED;
    st = emk_lease_sign(w->crypto, &by, &l, &out, &e);
    emk_buf_done(&out);
    return st;
}

/* ---- rules, of either ---- */

static void a_certificate_ends_in_time_and_is_made_now(void **state)
{
    world *w = *state;

    assert_int_equal(certificate(w, 0, DAY), EMK_OK);
    assert_int_equal(certificate(w, 0, DAY + HOUR), EMK_E_POLICY);
    assert_int_equal(certificate(w, 0, FOR_EVER), EMK_E_POLICY);
    assert_int_equal(certificate(w, 0, UINT64_MAX - w->now), EMK_E_POLICY);
    assert_int_equal(certificate(w, HOUR, DAY), EMK_E_POLICY);
    assert_int_equal(certificate(w, -(int64_t)HOUR, DAY), EMK_E_POLICY);
    assert_int_equal(certificate(w, -(int64_t)w->now, DAY), EMK_E_POLICY);
}

static void a_ticket_ends_in_time_and_its_policy_does(void **state)
{
    world *w = *state;

    assert_int_equal(ticket(w, 0, 600, 30 * DAY), EMK_OK);
    assert_int_equal(ticket(w, 0, HOUR, 30 * DAY), EMK_E_POLICY);
    assert_int_equal(ticket(w, 0, FOR_EVER, 30 * DAY), EMK_E_POLICY);
    assert_int_equal(ticket(w, 0, 600, 31 * DAY), EMK_E_POLICY);
    assert_int_equal(ticket(w, 0, 600, FOR_EVER), EMK_E_POLICY);
    assert_int_equal(ticket(w, 300, 600, DAY), EMK_E_POLICY);
    assert_int_equal(ticket(w, -(int64_t)DAY, 600, DAY), EMK_E_POLICY);
}

static void a_lease_ends_in_time_and_a_refusal_is_made_now(void **state)
{
    world *w = *state;

    assert_int_equal(lease(w, 0, 2 * HOUR), EMK_OK);
    assert_int_equal(lease(w, 0, 3 * HOUR), EMK_E_POLICY);
    assert_int_equal(lease(w, 0, FOR_EVER), EMK_E_POLICY);
    assert_int_equal(lease(w, HOUR, 2 * HOUR), EMK_E_POLICY);
    assert_int_equal(lease(w, 0, 0), EMK_OK);
    assert_int_equal(lease(w, HOUR, 0), EMK_E_POLICY); /* would close a lease given later */
}

/* ---- rules whose second counts: by a clock that stands ---- */

static void the_skew_is_granted_and_no_second_more(void **state)
{
    world *w = *state;

    assert_int_equal(certificate(w, (int64_t)SKEW, DAY + SKEW), EMK_OK);
    assert_int_equal(certificate(w, -(int64_t)SKEW, DAY), EMK_OK);
    assert_int_equal(certificate(w, (int64_t)SKEW + 1, DAY), EMK_E_POLICY);
    assert_int_equal(certificate(w, -(int64_t)SKEW - 1, DAY), EMK_E_POLICY);
    assert_int_equal(certificate(w, 0, DAY + SKEW + 1), EMK_E_POLICY);
    assert_int_equal(ticket(w, 0, 600 + SKEW, 30 * DAY + SKEW), EMK_OK);
    assert_int_equal(ticket(w, 0, 600 + SKEW + 1, DAY), EMK_E_POLICY);
    assert_int_equal(ticket(w, 0, 600, 30 * DAY + SKEW + 1), EMK_E_POLICY);
    assert_int_equal(lease(w, 0, 2 * HOUR + SKEW), EMK_OK);
    assert_int_equal(lease(w, 0, 2 * HOUR + SKEW + 1), EMK_E_POLICY);
}

static void a_policy_is_as_long_as_it_likes_without_a_limit(void **state)
{
    world *w = *state;

    w->limits.policy_s = 0;
    assert_int_equal(ticket(w, 0, 600, FOR_EVER), EMK_OK);
    assert_int_equal(ticket(w, 0, HOUR, FOR_EVER), EMK_E_POLICY);
}

static void without_limits_nothing_is_good_for_long(void **state)
{
    world *w = *state;

    w->limits = (emk_purpose_limits){0};
    assert_int_equal(certificate(w, 0, HOUR), EMK_E_POLICY);
    assert_int_equal(ticket(w, 0, HOUR, HOUR), EMK_E_POLICY);
    assert_int_equal(lease(w, 0, HOUR), EMK_E_POLICY);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)
#define RAW(fn)                                             \
    {                                                       \
        "over the socket: " #fn, fn, make_raw, unmake, NULL \
    }

int main(void)
{
    return EMK_RUN(RULE(a_certificate_ends_in_time_and_is_made_now),
                   RULE(a_ticket_ends_in_time_and_its_policy_does),
                   RULE(a_lease_ends_in_time_and_a_refusal_is_made_now),
                   RULE(the_skew_is_granted_and_no_second_more),
                   RULE(a_policy_is_as_long_as_it_likes_without_a_limit),
                   RULE(without_limits_nothing_is_good_for_long),
                   RAW(a_certificate_ends_in_time_and_is_made_now),
                   RAW(a_ticket_ends_in_time_and_its_policy_does),
                   RAW(a_lease_ends_in_time_and_a_refusal_is_made_now));
}
