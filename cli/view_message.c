#include "cli/show.h"
#include "cli/view.h"
#include "core/codec/cbor.h"
#include "core/proto/request.h"
#include "core/seal/cose.h"
#include "core/seal/policy.h"

typedef enum field_kind {
    BYTES,
    TEXT,
    TIME,
    NUMBER,
    AGREEMENT, /* [kem, public key] */
    POLICY,
    IDENTITY,
    CERTIFICATE, /* a device certificate, whole */
    OUTCOME      /* a status */
} field_kind;

typedef struct field {
    int64_t key;
    const char *name; /* NULL ends a table */
    field_kind kind;
} field;

/* [messages 3 - 8] */
static const field ENROLMENT[] = {
    {1, "signing_key", BYTES}, {2, "agreement_key", AGREEMENT},
    {3, "platform", TEXT},     {4, "created", TIME},
    {0, NULL, BYTES},
};
static const field DEVICE_CERTIFICATE[] = {
    {1, "device", BYTES},
    {2, "signing_key", BYTES},
    {3, "agreement_key", AGREEMENT},
    {4, "attestation_kind", NUMBER},
    {5, "attestation_level", NUMBER},
    {6, "issued", TIME},
    {7, "not_after", TIME},
    {0, NULL, BYTES},
};
static const field SEALING_CERTIFICATE[] = {
    {1, "sealing_key", BYTES},
    {2, "not_before", TIME},
    {3, "not_after", TIME},
    {0, NULL, BYTES},
};
static const field REQUEST[] = {
    {1, "nonce", BYTES},
    {2, "model", TEXT},
    {3, "user", TEXT},
    {4, "version", TEXT},
    {5, "use", TEXT},
    {6, "app", TEXT},
    {7, "request_key", AGREEMENT},
    {8, "device_certificate", CERTIFICATE},
    {9, "created", TIME},
    {0, NULL, BYTES},
};
static const field TICKET[] = {
    {1, "id", BYTES},
    {2, "device", BYTES},
    {3, "device_key", AGREEMENT},
    {4, "request_key", AGREEMENT},
    {5, "policy", POLICY},
    {6, "identity", IDENTITY},
    {7, "request_hash", BYTES},
    {8, "issued", TIME},
    {9, "seal_and_accept_until", TIME},
    {0, NULL, BYTES},
};
static const field RECEIPT[] = {
    {1, "ticket", BYTES}, {2, "file_id", BYTES},      {3, "outcome", OUTCOME},
    {4, "time", TIME},    {5, "guard_level", NUMBER}, {0, NULL, BYTES},
};

static const struct message_kind {
    emk_cose_type type;
    const char *name;
    const field *fields;
} KINDS[] = {
    {EMK_COSE_ENROLMENT, "device enrolment", ENROLMENT},
    {EMK_COSE_DEVICE_CERTIFICATE, "device certificate", DEVICE_CERTIFICATE},
    {EMK_COSE_SEALING_CERTIFICATE, "sealing certificate", SEALING_CERTIFICATE},
    {EMK_COSE_REQUEST, "request", REQUEST},
    {EMK_COSE_TICKET, "ticket", TICKET},
    {EMK_COSE_RECEIPT, "receipt", RECEIPT},
};
#define N_KINDS (sizeof KINDS / sizeof KINDS[0])

const char *emk_cli_kem_name(uint64_t kem)
{
    switch (kem) {
    case EMK_KEM_P256:
        return "P-256";
    case EMK_KEM_X25519:
        return "X25519";
    case EMK_KEM_MLKEM768_P256:
        return "MLKEM768-P256";
    case EMK_KEM_XWING:
        return "X-Wing";
    default:
        return NULL;
    }
}

bool emk_cli_view_is_message(emk_span head)
{
    return head.len > 0 && head.p[0] == 0xd2; /* tag 18 */
}

static void show_agreement(emk_cli_out *o, const char *name, emk_cbor_reader *r)
{
    uint64_t kem;
    emk_span key;
    const char *known;

    emk_cbor_enter_array(r);
    kem = emk_cbor_read_uint(r);
    key = emk_cbor_read_bytes(r);
    emk_cbor_leave(r);
    known = emk_cli_kem_name(kem);
    if (!emk_cbor_ok(r) || !known) {
        emk_cbor_fail(r, EMK_E_UNSUPPORTED, "message: kind of key", kem);
        return;
    }
    emk_cli_begin(o, name);
    emk_cli_put_string(o, "kind", known);
    emk_cli_put_hex(o, "public_key", key.len <= 65 ? key : emk_span_of(key.p, 32));
    emk_cli_put_number(o, "length", key.len);
    emk_cli_end(o);
}

static void show_policy(emk_cli_out *o, emk_cbor_reader *r)
{
    emk_policy policy;
    emk_error e = {0};
    emk_status st = emk_policy_decode(emk_cbor_read_bytes(r), &policy, &e);

    if (st == EMK_OK)
        emk_cli_show_policy(o, &policy);
    else
        emk_cbor_fail(r, st, e.what, e.where);
}

static void show_identity(emk_cli_out *o, const char *name, emk_cbor_reader *r)
{
    emk_identity identity;
    emk_error e = {0};
    emk_status st = emk_identity_decode(emk_cbor_read_bytes(r), &identity, &e);

    if (st != EMK_OK) {
        emk_cbor_fail(r, st, e.what, e.where);
        return;
    }
    emk_cli_begin(o, name);
    emk_cli_show_identity(o, &identity);
    emk_cli_end(o);
}

static void show_outcome(emk_cli_out *o, const char *name, uint64_t outcome)
{
    emk_status st = outcome <= (uint64_t)EMK_E_CRYPTO ? (emk_status)outcome : EMK_E_CRYPTO;

    emk_cli_put_string(o, name, outcome == 0 ? "accepted" : emk_status_name(st));
}

/* One value.  A certificate inside a request is not shown here: messages do not nest. */
static void show_field(emk_cli_out *o, const field *f, emk_cbor_reader *r)
{
    switch (f->kind) {
    case BYTES:
        emk_cli_put_hex(o, f->name, emk_cbor_read_bytes(r));
        break;
    case TEXT:
        emk_cli_put_text(o, f->name, emk_cbor_read_text(r));
        break;
    case TIME:
        emk_cli_put_time(o, f->name, emk_cbor_read_uint(r));
        break;
    case NUMBER:
        emk_cli_put_number(o, f->name, emk_cbor_read_uint(r));
        break;
    case AGREEMENT:
        show_agreement(o, f->name, r);
        break;
    case POLICY:
        show_policy(o, r);
        break;
    case IDENTITY:
        show_identity(o, f->name, r);
        break;
    case CERTIFICATE:
        emk_cli_put_number(o, "device_certificate_length", emk_cbor_read_bytes(r).len);
        break;
    case OUTCOME:
        show_outcome(o, f->name, emk_cbor_read_uint(r));
        break;
    }
}

static emk_status show_fields(emk_cli *cli, const field *fields, emk_span payload)
{
    emk_cbor_reader r;
    int64_t key = 0;

    emk_cbor_reader_init(&r, payload);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        const field *f = fields;

        while (f->name && f->key != key)
            f++;
        if (f->name)
            show_field(&cli->out, f, &r);
        else
            emk_cbor_fail(&r, EMK_E_FORMAT, "message: unknown key", (uint64_t)key);
    }
    emk_cbor_leave(&r);
    return emk_cbor_finish(&r, &cli->error);
}

/* Finds out which message it is; the first parser that takes it knows. */
static emk_status recognise(emk_cli *cli, emk_span in, const struct message_kind **kind,
                            emk_cose *cose)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (emk_cose_parse(in, KINDS[i].type, cose, NULL) == EMK_OK) {
            *kind = &KINDS[i];
            return EMK_OK;
        }
    }
    return emk_fail(&cli->error, EMK_E_FORMAT, "message: damaged, or of no kind earmark knows", 0);
}

/* Checks what the issuer's key can check; *how says what was. */
static emk_status check_signature(emk_cli *cli, const emk_cli_view *v, const emk_cose *cose,
                                  const char **how)
{
    const emk_crypto *c = NULL;
    emk_request request;
    emk_status st = emk_cli_crypto(cli, &c);

    *how = "not checked";
    if (st != EMK_OK || !v->issuer || cose->type == EMK_COSE_RECEIPT ||
        cose->type == EMK_COSE_ENROLMENT)
        return st;
    *how = "valid, by the issuer";
    if (cose->type != EMK_COSE_REQUEST)
        return emk_cose_verify(c, cose, emk_span_of(NULL, 0), v->issuer, NULL, &cli->error);
    *how = "valid, by a device the issuer certified";
    return emk_request_verify(c, v->head, v->issuer, 0, &request, &cli->error);
}

emk_status emk_cli_view_message(emk_cli *cli, const emk_cli_view *v)
{
    const struct message_kind *kind = NULL;
    const char *how = NULL;
    emk_cose cose;
    emk_status st = recognise(cli, v->head, &kind, &cose);

    if (st == EMK_OK)
        st = emk_cbor_check(cose.payload, &cli->error);
    if (st == EMK_OK)
        st = check_signature(cli, v, &cose, &how);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "kind", kind->name);
    emk_cli_put_size(&cli->out, "length", v->head.len);
    emk_cli_put_string(&cli->out, "algorithm", cose.alg == EMK_SIGN_ED25519 ? "Ed25519" : "ES256");
    emk_cli_put_hex(&cli->out, "signer", emk_span_of(cose.kid, EMK_COSE_KID_LEN));
    emk_cli_put_string(&cli->out, "signature", how);
    return show_fields(cli, kind->fields, cose.payload);
}
