#include "cli/show.h"
#include "cli/view.h"
#include "core/base/alloc.h"
#include "core/seal/certificate.h"
#include "core/seal/header.h"
#include "core/seal/layout.h"
#include "core/seal/policy.h"
#include "core/seal/record.h"

#define LAYER_AT 9u
#define DAY_S    86400u

bool emk_cli_view_is_sealed(emk_span head)
{
    static const uint8_t magic[8] = {0x89, 'E', 'A', 'R', 'M', '\r', '\n', 0x1a};

    return head.len >= sizeof magic &&
           emk_span_equal(emk_span_of(head.p, 8), emk_span_of(magic, 8));
}

static const char *cipher_name(const emk_core *core)
{
    return emk_content_aead(core->layer, core->content_alg) == EMK_AEAD_AES_256_GCM
               ? "AES-256-GCM"
               : "ChaCha20-Poly1305";
}

static uint64_t n_units(uint64_t len, uint64_t unit)
{
    return len == 0 ? 1 : (len - 1) / unit + 1;
}

/* What a complete file of the file layer is long.  [container 5] */
static uint64_t file_layer_len(const emk_header *h)
{
    return h->bytes.len + EMK_COMMIT_LEN + h->core.plain_len +
           EMK_AEAD_TAG_LEN * n_units(h->core.plain_len, EMK_CHUNK_LEN);
}

static void show_signer(emk_cli *cli, const emk_header *h, const emk_cli_view *v)
{
    emk_cli_out *o = &cli->out;

    emk_cli_begin(o, "signature");
    emk_cli_put_string(o, "algorithm", h->cose.alg == EMK_SIGN_ED25519 ? "Ed25519" : "ES256");
    emk_cli_put_hex(o, "signer", emk_span_of(h->core.signer, EMK_COSE_KID_LEN));
    emk_cli_put_string(o, "by",
                       h->core.certificate.len ? "a sealing key, its certificate is inside"
                                               : "the issuer's own key");
    emk_cli_put_string(o, "checked", v->issuer ? "valid" : "no");
    emk_cli_end(o);
}

static void show_recipients(emk_cli_out *o, const emk_header *h)
{
    const char *name = emk_cli_kem_name(h->core.suite.kem);

    emk_cli_put_string(o, "sealed_to", name ? name : "unknown");
    emk_cli_put_number(o, "recipients", h->n_recipients);
}

static emk_status show_weights_core(emk_cli *cli, const emk_core *core)
{
    emk_policy policy;
    emk_status st = emk_policy_decode(core->policy, &policy, &cli->error);

    if (st != EMK_OK)
        return st;
    emk_cli_put_hex(&cli->out, "ticket", emk_span_of(core->ticket_id, EMK_ID_LEN));
    emk_cli_put_size(&cli->out, "sealed_part", core->sealed_part_len);
    emk_cli_show_policy(&cli->out, &policy);
    return EMK_OK;
}

static void show_slot(emk_cli_out *o, const emk_slot *slot)
{
    emk_cli_begin(o, "record");
    emk_cli_put_number(o, "generation", slot->record.generation);
    emk_cli_put_hex(o, "vault_id", emk_span_of(slot->record.vault_id, EMK_ID_LEN));
    emk_cli_put_time(o, "accepted", slot->record.accepted);
    emk_cli_put_time(o, "floor", slot->record.floor);
    emk_cli_put_number(o, "opens", slot->record.opens);
    emk_cli_put_string(o, "checked", "no: only the device can");
    emk_cli_end(o);
}

/* Shows the newer of the two slots; false when neither is one: then it is no vault file. */
static bool show_record(emk_cli_out *o, const emk_source *file)
{
    uint8_t bytes[2][EMK_VAULT_SLOT_LEN];
    emk_slot slot[2];
    bool good[2];

    if (file->len < EMK_VAULT_SEALED)
        return false;
    for (int i = 0; i < 2; i++) {
        good[i] = emk_source_read(file, EMK_VAULT_SLOT_A + (uint64_t)i * EMK_VAULT_SLOT_LEN,
                                  bytes[i], EMK_VAULT_SLOT_LEN, NULL) == EMK_OK &&
                  emk_slot_parse(bytes[i], &slot[i], NULL) == EMK_OK;
    }
    if (!good[0] && !good[1])
        return false;
    if (good[0] && good[1])
        show_slot(o, &slot[slot[1].record.generation > slot[0].record.generation]);
    else
        show_slot(o, &slot[good[1]]);
    return true;
}

static emk_status show_header(emk_cli *cli, const emk_header *h, const emk_cli_view *v)
{
    const emk_core *core = &h->core;
    emk_cli_out *o = &cli->out;
    bool file_layer = core->layer == EMK_LAYER_FILE;
    emk_status st = EMK_OK;

    emk_cli_put_string(o, "kind", file_layer ? "sealed model" : "weights layer (vault)");
    emk_cli_put_size(o, "length", v->file->len);
    if (file_layer) {
        uint64_t want = file_layer_len(h);

        emk_cli_put_size(o, "complete_length", want);
        emk_cli_put_bool(o, "complete", want == v->file->len);
    }
    emk_cli_put_hex(o, "file_id", emk_span_of(core->file_id, EMK_ID_LEN));
    emk_cli_put_string(o, "cipher", cipher_name(core));
    emk_cli_put_size(o, file_layer ? "weights_layer" : "model", core->plain_len);
    emk_cli_put_number(o, file_layer ? "chunks" : "segments_at_least",
                       n_units(core->plain_len, file_layer ? EMK_CHUNK_LEN : EMK_SEGMENT_LEN));
    show_recipients(o, h);
    emk_cli_put_time(o, "created_day", core->created_day * DAY_S);
    if (file_layer)
        emk_cli_put_hex(o, "answers_request", emk_span_of(core->request_hash, EMK_HASH_LEN));
    else
        st = show_weights_core(cli, core);
    if (st == EMK_OK)
        show_signer(cli, h, v);
    if (st == EMK_OK && !file_layer && !show_record(o, v->file))
        emk_cli_say(o, "no local record: not a complete vault file");
    if (st == EMK_OK)
        emk_cli_say(o, "who it is for, which model and its structure are not public");
    return st;
}

/* A header names the day only.  The certificate may have begun in the middle of it. */
static uint64_t when_sealed(const emk_crypto *c, const emk_header *h, const emk_verify_key *issuer)
{
    uint64_t day = h->core.created_day * DAY_S;
    emk_sealing_certificate cert;
    emk_error ignored;

    if (h->core.certificate.len > 0 &&
        emk_sealing_certificate_verify(c, h->core.certificate, issuer, &cert, &ignored) == EMK_OK &&
        cert.not_before > day && cert.not_before - day < DAY_S)
        return cert.not_before;
    return day;
}

emk_status emk_cli_view_sealed(emk_cli *cli, const emk_cli_view *v)
{
    emk_layer layer = v->head.len > LAYER_AT && v->head.p[LAYER_AT] == EMK_LAYER_WEIGHTS
                          ? EMK_LAYER_WEIGHTS
                          : EMK_LAYER_FILE;
    const emk_crypto *c = NULL;
    uint32_t header_len = 0;
    emk_header *h;
    uint8_t hh[EMK_HASH_LEN];
    emk_status st = emk_cli_crypto(cli, &c);

    if (st != EMK_OK)
        return st;
    if (v->head.len < EMK_PREAMBLE_LEN)
        return emk_fail(&cli->error, EMK_E_FORMAT, "sealed model: cut short", v->head.len);
    st = emk_preamble_read(v->head.p, layer, &header_len, &cli->error);
    if (st != EMK_OK)
        return st;
    if (v->head.len - EMK_PREAMBLE_LEN < header_len)
        return emk_fail(&cli->error, EMK_E_FORMAT, "sealed model: cut short", v->head.len);
    h = emk_alloc(1, sizeof *h);
    if (!h)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "inspect: no memory", 0);
    st = emk_header_parse(c, emk_span_of(v->head.p, EMK_PREAMBLE_LEN + header_len), layer, h,
                          &cli->error);
    if (st == EMK_OK && v->issuer)
        st = emk_header_verify(c, h, v->issuer, when_sealed(c, h, v->issuer), hh, &cli->error);
    if (st == EMK_OK)
        st = show_header(cli, h, v);
    emk_free(h);
    return st;
}
