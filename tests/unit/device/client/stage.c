#include "tests/unit/device/client/stage.h"

#include "core/crypto/random.h"

#include <string.h>
#include <unistd.h>

static void make_signer(stage *s, emk_sign_key **key, emk_signer *signer)
{
    uint8_t priv[32], pub[EMK_SIGN_PUBLIC_MAX];
    emk_error e = {0};

    assert_ok(emk_sign_generate(s->crypto, EMK_SIGN_ED25519, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(s->crypto, EMK_SIGN_ED25519, emk_span_of(priv, 32), key, &e), &e);
    assert_ok(emk_signer_from_key(s->crypto, *key, signer, &e), &e);
}

static void make_people(stage *s)
{
    emk_sealing_certificate cert = {.not_before = NOW - 864000, .not_after = NOW + 86400000};
    emk_error e = {0};

    make_signer(s, &s->issuer_key, &s->issuer);
    make_signer(s, &s->sealer_key, &s->sealer);
    memcpy(cert.public_key, s->sealer.public_key, s->sealer.public_len);
    cert.public_len = s->sealer.public_len;
    assert_ok(
        emk_sealing_certificate_make(s->crypto, &s->issuer, &cert, &s->sealer_certificate, &e), &e);
}

static uint64_t clock_of(void *self)
{
    return ((stage *)self)->now;
}

/* The software holder without counters and secrets. */
static emk_keystore_ops poor_ops;

static void open_device(stage *s, bool poor)
{
    emk_span pinned[2] = {emk_verify_key_public(s->issuer_public)};
    emk_client_config config = {.crypto = s->crypto,
                                .keystore = &s->keystore,
                                .vault = s->vault,
                                .issuers = pinned,
                                .n_issuers = s->also ? 2 : 1,
                                .clock = s->clock ? s->clock : clock_of,
                                .clock_self = s,
                                .guard = s->guard,
                                .watcher = s->watcher,
                                .max_bytes = s->max_bytes,
                                .max_entries = s->max_entries,
                                .watchdog = s->watchdog};
    emk_error e = {0};

    if (s->also) {
        pinned[1] = pinned[0];
        pinned[0] = emk_span_of(s->also->public_key, s->also->public_len);
    }
    assert_ok(emk_keystore_soft_open(s->crypto, s->holder, emk_span_str(""), &s->soft, &e), &e);
    s->keystore = s->soft;
    if (poor) {
        poor_ops = *s->soft.ops;
        poor_ops.counter_get = NULL;
        poor_ops.counter_set = NULL;
        poor_ops.secret_put = NULL;
        poor_ops.secret_get = NULL;
        poor_ops.secret_delete = NULL;
        s->keystore.ops = &poor_ops;
    }
    assert_ok(emk_client_new(&config, &s->client, &e), &e);
}

static void certify(stage *s)
{
    emk_device_certificate cert = {.issued = NOW, .not_after = NOW + 86400000};
    emk_enrolment enrolment;
    emk_buf a, b;
    emk_error e = {0};

    emk_buf_init(&a, EMK_MESSAGE_MAX);
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_client_enrolment(s->client, emk_span_str("test"), &a, &e), &e);
    assert_ok(emk_enrolment_verify(s->crypto, emk_buf_span(&a), &enrolment, &e), &e);
    cert.signing_key = enrolment.signing_key;
    cert.agree = enrolment.agree;
    assert_ok(emk_device_certificate_sign(s->crypto, &s->issuer, &cert, &b, &e), &e);
    assert_ok(emk_client_set_certificate(s->client, emk_buf_span(&b), &e), &e);
    emk_buf_done(&a);
    emk_buf_done(&b);
}

void stage_init(stage *s, const stage *like, bool poor)
{
    emk_keystore_soft_options options = {0};
    emk_error e = {0};
    uint32_t x = 1;

    memset(s, 0, sizeof *s);
    emk_buf_init(&s->sealer_certificate, EMK_MESSAGE_MAX);
    emk_buf_init(&s->request, EMK_MESSAGE_MAX);
    emk_buf_init(&s->ticket, EMK_MESSAGE_MAX);
    emk_buf_init(&s->receipt, EMK_MESSAGE_MAX);
    emk_buf_init(&s->lease, EMK_MESSAGE_MAX);
    emk_buf_init(&s->sealed, 1u << 24);
    if (like) {
        s->crypto = like->crypto;
        s->issuer = like->issuer;
        s->sealer = like->sealer;
        assert_ok(
            emk_buf_append(&s->sealer_certificate, emk_buf_span(&like->sealer_certificate), &e),
            &e);
    } else {
        assert_ok(emk_crypto_new(NULL, NULL, &s->crypto, &e), &e);
        make_people(s);
    }
    assert_ok(emk_cose_verify_key(s->crypto,
                                  emk_span_of(s->issuer.public_key, s->issuer.public_len),
                                  &s->issuer_public, &e),
              &e);
    for (size_t i = 0; i < MODEL_LEN; i++) {
        x = x * 1664525u + 1013904223u;
        s->model[i] = (uint8_t)(x >> 24);
    }
    s->now = NOW;
    s->want = (emk_client_want){.model = emk_span_str("cat-ears"), .user = emk_span_str("u-17")};
    s->policy = (emk_policy){.expires = NOW + 86400};
    s->dir = emk_test_dir_make();
    snprintf(s->holder, sizeof s->holder, "%s/holder", s->dir);
    snprintf(s->vault, sizeof s->vault, "%s/vault", s->dir);
    assert_ok(emk_keystore_soft_create(s->crypto, s->holder, &options, &e), &e);
    open_device(s, poor);
    certify(s);
}

static void close_device(stage *s)
{
    emk_client_free(s->client);
    emk_keystore_close(&s->soft);
    s->client = NULL;
}

void stage_done(stage *s)
{
    close_device(s);
    emk_test_dir_remove(s->dir);
    emk_buf_done(&s->sealer_certificate);
    emk_buf_done(&s->request);
    emk_buf_done(&s->ticket);
    emk_buf_done(&s->receipt);
    emk_buf_done(&s->lease);
    emk_buf_done(&s->sealed);
    emk_verify_key_free(s->issuer_public);
    if (s->issuer_key) {
        emk_sign_key_free(s->issuer_key);
        emk_sign_key_free(s->sealer_key);
        emk_crypto_free(s->crypto);
    }
}

void stage_restart(stage *s)
{
    bool poor = s->keystore.ops == &poor_ops;

    close_device(s);
    open_device(s, poor);
}

void stage_enter_child(stage *s)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    open_device(s, s->keystore.ops == &poor_ops);
}

void stage_request(stage *s)
{
    emk_error e = {0};

    s->request.len = 0;
    assert_ok(emk_client_request(s->client, &s->want, &s->request, s->hash, &e), &e);
}

static void show_name(const uint8_t id[16], char name[EMK_CLIENT_NAME_LEN + 1])
{
    for (size_t i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", id[i]);
}

static const emk_lease_source master = {(const uint8_t *)"a master that everybody may know", 7};

static uint64_t server_now(const stage *s)
{
    return s->server_now ? s->server_now : s->now;
}

static void grant(stage *s, const emk_ticket *ticket)
{
    emk_lease_grant_in in = {&s->issuer, master, ticket, server_now(s), NULL};
    emk_error e = {0};

    s->lease.len = 0;
    assert_ok(emk_lease_grant(s->crypto, &in, &s->lease, &e), &e);
}

static emk_ticket read_ticket(stage *s)
{
    emk_ticket t;
    emk_error e = {0};

    assert_ok(emk_ticket_verify(s->crypto, emk_buf_span(&s->ticket), s->issuer_public, 0, &t, &e),
              &e);
    return t;
}

void stage_lease(stage *s, emk_lease_refusal refusal)
{
    emk_ticket ticket = read_ticket(s);
    emk_lease_refuse_in no = {&s->issuer, &ticket, refusal, server_now(s)};
    emk_verify_key *device = NULL;
    emk_keystore_keys keys;
    emk_lease_request q;
    emk_error e = {0};
    emk_buf b;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_keystore_public_keys(&s->soft, &keys, &e), &e);
    assert_ok(emk_cose_verify_key(s->crypto, emk_span_of(keys.signing, 65), &device, &e), &e);
    assert_ok(emk_client_lease_request(s->client, s->name, emk_span_str("fine"), &b, &e), &e);
    assert_ok(emk_lease_request_verify(s->crypto, emk_buf_span(&b), device, &q, &e), &e);
    assert_ok(emk_lease_request_check(&q, &ticket, server_now(s), &e), &e);
    assert_bytes(q.summary, emk_span_str("fine"));
    if (refusal) {
        s->lease.len = 0;
        assert_ok(emk_lease_refuse(s->crypto, &no, &s->lease, &e), &e);
    } else {
        grant(s, &ticket);
    }
    emk_verify_key_free(device);
    emk_buf_done(&b);
}

void stage_issue(stage *s)
{
    uint8_t lease_key[EMK_LEASE_KEY_LEN];
    emk_request request;
    emk_ticket ticket;
    emk_error e = {0};

    assert_ok(emk_request_verify(s->crypto, emk_buf_span(&s->request), s->issuer_public, s->now,
                                 &request, &e),
              &e);
    emk_ticket_answer(&request, &ticket);
    assert_ok(emk_random_public(s->crypto, ticket.id, sizeof ticket.id, &e), &e);
    ticket.policy = s->policy;
    ticket.issued = s->now;
    ticket.expires = s->now + 600;
    s->ticket.len = 0;
    s->lease.len = 0;
    if (s->policy.lease_s)
        assert_ok(emk_lease_prepare(s->crypto, &master, lease_key, &ticket, &e), &e);
    assert_ok(emk_ticket_sign(s->crypto, &s->issuer, &ticket, &s->ticket, &e), &e);
    if (s->policy.lease_s)
        grant(s, &ticket);
    memcpy(s->ticket_id, ticket.id, 16);
    show_name(ticket.id, s->name);
}

static void put_index(emk_plan *plan)
{
    const emk_index_entry first = {.offset = HEAD_LEN,
                                   .length = FIRST_LEN,
                                   .name = emk_span_str("first"),
                                   .dtype = emk_span_str("u8"),
                                   .rank = 1,
                                   .dims = {FIRST_LEN}};
    const emk_index_entry second = {.offset = HEAD_LEN + FIRST_LEN,
                                    .length = MODEL_LEN - HEAD_LEN - FIRST_LEN,
                                    .name = emk_span_str("second"),
                                    .dtype = emk_span_str("u8"),
                                    .rank = 1,
                                    .dims = {MODEL_LEN - HEAD_LEN - FIRST_LEN}};
    uint8_t space[256];
    emk_writer w;
    emk_error e = {0};

    emk_writer_init(&w, space, sizeof space);
    emk_index_put(&w, &first);
    emk_index_put(&w, &second);
    emk_buf_init(&plan->index, sizeof space);
    assert_ok(emk_buf_append(&plan->index, emk_writer_span(&w), &e), &e);
    plan->n_index = 2;
    plan->index_complete = true;
}

static void make_plan(stage *s, const emk_source *model, emk_plan *plan)
{
    emk_error e = {0};

    assert_ok(emk_plan_init(plan, s->crypto, MODEL_LEN, 3, &e), &e);
    plan->regions[0] = (emk_region){.length = HEAD_LEN, .kind = EMK_REGION_SEALED};
    plan->regions[1] = (emk_region){.length = FIRST_LEN, .kind = EMK_REGION_TENSOR};
    plan->regions[2] =
        (emk_region){.length = MODEL_LEN - HEAD_LEN - FIRST_LEN, .kind = EMK_REGION_TENSOR};
    put_index(plan);
    assert_ok(emk_plan_digest(plan, s->crypto, model, 1, NULL, &e), &e);
}

void stage_seal(stage *s)
{
    emk_source model = emk_source_from_span(emk_span_of(s->model, MODEL_LEN));
    emk_seal_in in = {.model = &model,
                      .signer = &s->sealer,
                      .certificate = emk_buf_span(&s->sealer_certificate),
                      .now = s->now};
    emk_sealing *sealing = NULL;
    emk_ticket t;
    emk_plan plan;
    emk_sink sink;
    uint8_t *room;
    emk_error e = {0};

    assert_ok(
        emk_ticket_verify(s->crypto, emk_buf_span(&s->ticket), s->issuer_public, s->now, &t, &e),
        &e);
    make_plan(s, &model, &plan);
    in.plan = &plan;
    memcpy(in.ticket_id, t.id, 16);
    memcpy(in.ticket_hash, t.hash, 32);
    memcpy(in.request_hash, t.request_hash, 32);
    in.policy = t.policy_bytes;
    in.identity = t.identity_bytes;
    in.lease_key = t.lease_key;
    in.device_key = t.device_key;
    in.request_key = t.request_key;
    assert_ok(emk_sealing_new(s->crypto, &in, &sealing, &e), &e);
    s->sealed.len = 0;
    assert_ok(emk_buf_grow(&s->sealed, (size_t)emk_sealing_len(sealing), &room, &e), &e);
    sink = emk_sink_from_memory(room, s->sealed.len);
    assert_ok(emk_sealing_write(sealing, &sink, 1, NULL, &e), &e);
    emk_sealing_free(sealing);
    emk_plan_done(&plan);
}

void stage_deliver(stage *s)
{
    stage_request(s);
    stage_issue(s);
    stage_seal(s);
}

emk_status stage_accept(stage *s, emk_error *e)
{
    emk_source sealed = emk_source_from_span(emk_buf_span(&s->sealed));
    emk_client_delivery in = {.ticket = emk_buf_span(&s->ticket),
                              .lease = emk_buf_span(&s->lease),
                              .sealed = &sealed,
                              .threads = 1};
    emk_client_accepted out;
    emk_status st;

    s->receipt.len = 0;
    st = emk_client_accept(s->client, &in, &out, &s->receipt, e);
    if (st == EMK_OK) {
        assert_string_equal(out.name, s->name);
        assert_memory_equal(out.ticket_id, s->ticket_id, 16);
        assert_int_equal(out.model_len, MODEL_LEN);
    }
    return st;
}

void stage_install(stage *s)
{
    emk_error e = {0};

    stage_deliver(s);
    assert_ok(stage_accept(s, &e), &e);
}

emk_client_ask stage_ask(const stage *s)
{
    return (emk_client_ask){
        .user = s->want.user, .app = s->want.app, .use = s->want.use, .threads = 1};
}

emk_status stage_open(stage *s, emk_error *e)
{
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    emk_status st = emk_client_open(s->client, s->name, &ask, &o, e);

    if (st != EMK_OK)
        return st;
    assert_bytes(emk_opened_bytes(o), emk_span_of(s->model, MODEL_LEN));
    emk_opened_close(o);
    return EMK_OK;
}

typedef struct counting {
    const char *part;
    size_t n;
} counting;

static emk_status count_one(void *self, const char *name, emk_error *e)
{
    counting *c = self;

    (void)e;
    if (strstr(name, c->part))
        c->n++;
    return EMK_OK;
}

static size_t count_in(const char *dir, const char *part)
{
    counting c = {.part = part};
    emk_error e = {0};

    assert_ok(emk_os_list_dir(dir, count_one, &c, &e), &e);
    return c.n;
}

size_t stage_count(const stage *s, const char *part)
{
    return count_in(s->vault, part);
}

size_t stage_secrets(const stage *s)
{
    return count_in(s->holder, "s-");
}

void stage_entry_path(const stage *s, char path[PATH_CAP])
{
    snprintf(path, PATH_CAP, "%s/%s.emkv", s->vault, s->name);
}

void stage_copy_file(const char *from, const char *to)
{
    emk_error e = {0};
    emk_buf b;

    emk_buf_init(&b, 1u << 24);
    assert_ok(emk_os_read_file(from, 1u << 24, &b, &e), &e);
    assert_ok(emk_os_write_file(to, emk_buf_span(&b), &e), &e);
    emk_buf_done(&b);
}
