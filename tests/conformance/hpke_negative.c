/* HPKE inputs that must be refused, and where: "step" names the call in which the failure has
 * to appear; all calls before it have to work. */
#include "core/crypto/hpke_internal.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/suite.h"

#include <inttypes.h>

typedef struct bad_case {
    const emk_dom *in;
    emk_span step;
    bool accept; /* expect: accept */
    emk_hpke_in common;
    emk_span sk, enc;
    uint8_t seq[EMK_HPKE_SEQ_LEN];
    bool has_seq;
    emk_kem_private *key;
    emk_hpke *receiver, *sender;
} bad_case;

static bool is_step(const bad_case *c, const char *name)
{
    return emk_span_equal(c->step, emk_span_str(name));
}

static bool is_setup(const bad_case *c, char side)
{
    return c->step.len > 6 && memcmp(c->step.p, "Setup", 5) == 0 &&
           c->step.p[c->step.len - 1] == (uint8_t)side;
}

/* The step's own call refuses; every other one works.  True: go on. */
static bool judge(emk_vec *v, const bad_case *c, bool here, const char *what, emk_status st,
                  const emk_error *e)
{
    if (!here || c->accept)
        return emk_vec_ok(v, what, st, e);
    emk_vec_refused(v, what, st);
    return false;
}

/* A decimal number of up to 96 bits. */
static bool read_decimal(emk_span text, uint8_t out[EMK_HPKE_SEQ_LEN])
{
    memset(out, 0, EMK_HPKE_SEQ_LEN);
    for (size_t i = 0; i < text.len; i++) {
        uint32_t carry = (uint32_t)text.p[i] - '0';

        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        for (size_t k = EMK_HPKE_SEQ_LEN; k-- > 0;) {
            carry += out[k] * 10u;
            out[k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry)
            return false;
    }
    return text.len > 0;
}

static void read_seq(emk_vec *v, bad_case *c)
{
    const emk_dom *seq = emk_dom_get(c->in, "seq"), *dec = emk_dom_get(c->in, "seq_dec");

    if (!seq && !dec)
        return;
    c->has_seq = true;
    if (!read_decimal(dec ? emk_vec_text(v, c->in, "seq_dec") : seq->text, c->seq))
        emk_vec_malformed(v, "the sequence number");
}

static void read_case(emk_vec *v, const emk_dom *in, bad_case *c)
{
    emk_span expect = emk_vec_text(v, in, "expect");

    c->in = in;
    c->step = emk_vec_text(v, in, "step");
    c->accept = emk_span_equal(expect, emk_span_str("accept"));
    if (!c->accept && !emk_span_equal(expect, emk_span_str("reject")))
        emk_vec_malformed(v, "\"expect\" is not reject or accept");
    c->common.suite.kem = (uint16_t)emk_vec_number(v, in, "kem_id", UINT16_MAX);
    c->common.suite.kdf = (uint16_t)emk_vec_number(v, in, "kdf_id", UINT16_MAX);
    c->common.suite.aead = (uint16_t)emk_vec_number(v, in, "aead_id", UINT16_MAX);
    c->common.mode = (emk_hpke_mode)emk_vec_number(v, in, "mode", UINT16_MAX);
    c->common.info = emk_vec_hex_opt(v, in, "info");
    c->common.psk = emk_vec_hex_opt(v, in, "psk");
    c->common.psk_id = emk_vec_hex_opt(v, in, "psk_id");
    c->common.sender_public = emk_vec_hex_opt(v, in, "pkSm");
    c->sk = emk_vec_hex(v, in, "skRm");
    c->enc = emk_vec_hex_opt(v, in, "enc");
    read_seq(v, c);
}

/* A sender to the receiver's own public key, or to "pkRm" where there is one. */
static bool make_sender(emk_vec *v, bad_case *c)
{
    emk_span pub = emk_vec_hex_opt(v, c->in, "pkRm"), sk = emk_vec_hex_opt(v, c->in, "skSm");
    emk_hpke_in in = c->common;
    uint8_t enc[EMK_KEM_ENC_MAX];
    emk_kem_private *sender_key = NULL;
    emk_error e = {0};
    emk_status st = EMK_OK;

    in.sender_public = emk_span_of(NULL, 0);
    if (pub.len == 0)
        pub = emk_kem_private_public(c->key);
    if (sk.len > 0)
        st = emk_kem_private_new(v->crypto, in.suite.kem, sk, &sender_key, &e);
    in.sender_key = sender_key;
    if (st == EMK_OK)
        st = emk_hpke_sender_new(v->crypto, &in, pub, enc, &c->sender, &e);
    emk_kem_private_free(sender_key);
    return judge(v, c, is_setup(c, 'S') || is_step(c, "Encap"), "setup of the sender", st, &e);
}

static void open_step(emk_vec *v, bad_case *c)
{
    emk_span aad = emk_vec_hex_opt(v, c->in, "aad"), ct = emk_vec_hex(v, c->in, "ct");
    uint8_t *out = emk_vec_take(v, ct.len);
    emk_error e = {0};

    if (!emk_vec_is_well(v))
        return;
    if (c->has_seq)
        emk_vec_ok(v, "set_seq", emk_hpke_set_seq(c->receiver, c->seq, &e), &e);
    judge(v, c, true, "open", emk_hpke_open(c->receiver, aad, ct, out, &e), &e);
}

static void check_export(emk_vec *v, const emk_hpke *h)
{
    uint8_t out[32];
    emk_error e = {0};

    emk_vec_ok(v, "export", emk_hpke_export(h, emk_span_of("", 0), out, sizeof out, &e), &e);
}

/* What a sender must not seal, the receiver must not open either. */
static void seal_step(emk_vec *v, bad_case *c)
{
    emk_span aad = emk_vec_hex_opt(v, c->in, "aad"), pt = emk_vec_hex_opt(v, c->in, "pt");
    uint8_t *out = emk_vec_take(v, pt.len + EMK_AEAD_TAG_LEN);
    uint8_t in[EMK_AEAD_TAG_LEN] = {0}, nothing[1];
    emk_error e = {0};

    if (!make_sender(v, c))
        return;
    if (c->has_seq) {
        emk_hpke_force_seq(c->sender, c->seq);
        emk_hpke_force_seq(c->receiver, c->seq);
    }
    judge(v, c, true, "seal", emk_hpke_seal(c->sender, aad, pt, out, &e), &e);
    if (c->accept)
        return;
    if (c->common.suite.aead == EMK_AEAD_EXPORT_ONLY) {
        check_export(v, c->sender);
        check_export(v, c->receiver);
    }
    emk_vec_refused(v, "open",
                    emk_hpke_open(c->receiver, aad, emk_span_of(in, sizeof in), nothing, NULL));
}

static void export_step(emk_vec *v, bad_case *c)
{
    emk_span context = emk_vec_hex_opt(v, c->in, "exporter_context");
    uint64_t len = emk_vec_number(v, c->in, "L", EMK_VEC_BUFFER_MAX);
    uint8_t *out = emk_vec_take_asked(v, len);
    emk_error e = {0};

    if (emk_vec_is_well(v))
        judge(v, c, true, "export", emk_hpke_export(c->receiver, context, out, (size_t)len, &e),
              &e);
}

static void last_step(emk_vec *v, bad_case *c)
{
    if (is_step(c, "Open"))
        open_step(v, c);
    else if (is_step(c, "Seal"))
        seal_step(v, c);
    else if (is_step(c, "Export"))
        export_step(v, c);
    else if (!c->accept)
        emk_vec_skip(v, "the step %.*s is not known here", EMK_VEC_SHOWN(c->step));
}

static void public_key_step(emk_vec *v, bad_case *c)
{
    emk_span pub = emk_vec_hex_opt(v, c->in, "pkRm");
    emk_error e = {0};

    if (pub.len == 0)
        pub = c->enc;
    judge(v, c, true, "public key", emk_kem_check_public(v->crypto, c->common.suite.kem, pub, &e),
          &e);
}

static void run_steps(emk_vec *v, bad_case *c)
{
    uint8_t secret[EMK_KEM_SECRET_LEN];
    emk_error e = {0};
    emk_status st;

    if (is_step(c, "DeserializePublicKey")) {
        public_key_step(v, c);
        return;
    }
    st = emk_kem_private_new(v->crypto, c->common.suite.kem, c->sk, &c->key, &e);
    if (!judge(v, c, is_step(c, "DeserializePrivateKey"), "private key", st, &e))
        return;
    if (is_step(c, "Decap")) {
        judge(v, c, true, "decap", emk_kem_decap(c->key, c->enc, secret, &e), &e);
        return;
    }
    if (is_setup(c, 'S') || is_step(c, "Encap")) {
        (void)make_sender(v, c);
        return;
    }
    st = emk_hpke_receiver_new(&c->common, c->key, c->enc, &c->receiver, &e);
    if (judge(v, c, is_setup(c, 'R'), "setup of the receiver", st, &e))
        last_step(v, c);
}

static void run_case(emk_vec *v, const emk_dom *in, size_t number)
{
    bad_case c = {0};
    uint64_t id = number;

    (void)emk_dom_u64(emk_dom_get(in, "id"), &id);
    emk_vec_begin(v, "id %" PRIu64, id);
    read_case(v, in, &c);
    if (emk_vec_is_well(v) && emk_suite_is_run(v, c.common.suite))
        run_steps(v, &c);
    emk_vec_end(v);
    emk_hpke_free(c.receiver);
    emk_hpke_free(c.sender);
    emk_kem_private_free(c.key);
}

static bool is_negative(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && emk_dom_get(first, "kem_id") &&
           emk_dom_get(first, "expect") && emk_dom_get(first, "step");
}

static void run_negative(emk_vec *v, const emk_dom *root)
{
    size_t number = 1;

    for (const emk_dom *in = root->first; in; in = in->next)
        run_case(v, in, number++);
}

const emk_json_format emk_format_hpke_negative = {"HPKE rejects", is_negative, run_negative};
