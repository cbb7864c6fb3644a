#include "core/publish/publish.h"

#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "core/pack/pack.h"
#include "core/proto/ticket.h"
#include "core/seal/certificate.h"
#include "core/seal/seal.h"

struct emk_sealer {
    const emk_crypto *crypto;
    emk_verify_key *issuer;
    emk_buf certificate; /* empty: the signer is the issuer */
    emk_sealing_certificate certified;
    emk_sign_key *key; /* NULL: the caller's function signs */
    emk_signer signer;
    emk_status (*redeem)(void *self, const uint8_t ticket_id[EMK_ID_LEN], emk_error *e);
    void *redeem_self;
};

struct emk_seal_plan {
    emk_source model;
    emk_plan plan;
    emk_seal_report report;
};

static unsigned threads_of(unsigned asked)
{
    unsigned n = asked ? asked : emk_os_processors();

    return n < EMK_SEAL_THREADS_MAX ? n : EMK_SEAL_THREADS_MAX;
}

/* ---- the sealer ---- */

static emk_status check_config(const emk_sealer_config *in, emk_error *e)
{
    if (!in->crypto)
        return emk_fail(e, EMK_E_USAGE, "sealer: no crypto context", 0);
    if ((in->sign != NULL) == (in->private_key.len != 0))
        return emk_fail(e, EMK_E_USAGE, "sealer: a private key or a sign function", 0);
    if ((in->redeem == NULL) != in->without_redeem)
        return emk_fail(e, EMK_E_USAGE, "sealer: redeem, or without_redeem", 0);
    return EMK_OK;
}

/* The public key that the issuer allows to seal: certified, or its own. */
static emk_status load_certificate(emk_sealer *s, emk_span certificate, emk_span *public_key,
                                   emk_error *e)
{
    emk_status st;

    if (certificate.len == 0) {
        *public_key = emk_verify_key_public(s->issuer);
        return EMK_OK;
    }
    st = emk_sealing_certificate_verify(s->crypto, certificate, s->issuer, &s->certified, e);
    if (st != EMK_OK)
        return st;
    *public_key = emk_span_of(s->certified.public_key, s->certified.public_len);
    return emk_buf_append(&s->certificate, certificate, e);
}

static emk_status load_signer(emk_sealer *s, const emk_sealer_config *in, emk_span public_key,
                              emk_error *e)
{
    emk_sign_alg alg =
        public_key.len == emk_sign_public_len(EMK_SIGN_ED25519) ? EMK_SIGN_ED25519 : EMK_SIGN_ES256;
    emk_status st;

    if (in->sign)
        return emk_signer_from_fn(s->crypto, public_key, in->sign, in->sign_self, &s->signer, e);
    st = emk_sign_key_new(s->crypto, alg, in->private_key, &s->key, e);
    if (st != EMK_OK)
        return st;
    if (!emk_span_equal(emk_sign_key_public(s->key), public_key))
        return emk_fail(e, EMK_E_USAGE, "sealer: the private key is not the certified one", 0);
    return emk_signer_from_key(s->crypto, s->key, &s->signer, e);
}

emk_status emk_sealer_new(const emk_sealer_config *in, emk_sealer **out, emk_error *e)
{
    emk_span public_key = {NULL, 0};
    emk_sealer *s;
    emk_status st;

    st = check_config(in, e);
    if (st != EMK_OK)
        return st;
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "sealer: no memory", sizeof *s);
    s->crypto = in->crypto;
    s->redeem = in->redeem;
    s->redeem_self = in->redeem_self;
    emk_buf_init(&s->certificate, EMK_MESSAGE_MAX);
    st = emk_cose_verify_key(in->crypto, in->issuer, &s->issuer, e);
    if (st == EMK_OK)
        st = load_certificate(s, in->certificate, &public_key, e);
    if (st == EMK_OK)
        st = load_signer(s, in, public_key, e);
    if (st != EMK_OK) {
        emk_sealer_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

void emk_sealer_free(emk_sealer *s)
{
    if (!s)
        return;
    emk_sign_key_free(s->key);
    emk_buf_done(&s->certificate);
    emk_verify_key_free(s->issuer);
    emk_free(s);
}

/* ---- the plan ---- */

static emk_status read_options(const emk_seal_options *options, emk_pack_in *out, emk_error *e)
{
    const uint32_t known =
        EMK_SEAL_AS_BYTES | EMK_SEAL_CLEAR_STRUCTURE | EMK_SEAL_STRICT | EMK_SEAL_NO_DIGESTS;
    uint32_t flags = options->flags;

    if (flags & ~known)
        return emk_fail(e, EMK_E_USAGE, "plan: unknown flags", flags);
    if ((flags & EMK_SEAL_AS_BYTES) &&
        ((flags & (EMK_SEAL_CLEAR_STRUCTURE | EMK_SEAL_STRICT)) || options->format))
        return emk_fail(e, EMK_E_USAGE, "plan: as bytes, or with a look inside", flags);
    if (options->format) {
        out->format = emk_model_format_named(options->format);
        if (out->format == EMK_MODEL_UNKNOWN)
            return emk_fail(e, EMK_E_USAGE, "plan: no such format", 0);
    }
    out->file_name = options->file_name;
    out->whole = flags & EMK_SEAL_AS_BYTES;
    out->clear_structure = flags & EMK_SEAL_CLEAR_STRUCTURE;
    out->no_digests = flags & EMK_SEAL_NO_DIGESTS;
    out->model_flags = flags & EMK_SEAL_STRICT ? EMK_MODEL_STRICT : 0;
    out->threads = threads_of(options->threads);
    out->progress = options->progress;
    return EMK_OK;
}

/* Gives the files with their places in the model; free with emk_free.  NULL: there is one. */
static emk_status place_files(const emk_seal_options *options, emk_pack_file **out, emk_error *e)
{
    uint32_t n = options->n_files;
    emk_pack_file *files = NULL;
    uint64_t at = 0;

    if (n > EMK_FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "plan: number of files", n);
    if (n) {
        files = emk_alloc(n, sizeof *files);
        if (!files)
            return emk_fail(e, EMK_E_NO_MEMORY, "plan: no memory for its files", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (options->files[i].len > EMK_MODEL_LEN_MAX) {
            emk_free(files);
            return emk_fail(e, EMK_E_LIMIT, "plan: length of a file", options->files[i].len);
        }
        files[i] = (emk_pack_file){options->files[i].path, at, options->files[i].len};
        at += files[i].length;
    }
    *out = files;
    return EMK_OK;
}

static void fill_report(const emk_pack_report *found, emk_seal_report *r)
{

    r->format = emk_model_format_name(found->format);
    r->model_len = found->model_len;
    r->sealed_len = found->model_len - found->clear_bytes;
    r->weight_len = found->weight_bytes;
    r->coverage = emk_pack_coverage(found);
    r->n_tensors = found->tensors;
    r->n_indexed = found->indexed;
}

/* What emk_sealer_plan makes, in p; `in` has the options. */
static emk_status make_plan(const emk_sealer *s, emk_pack_in *in, emk_seal_plan *p, emk_error *e)
{
    emk_pack_report *found =
        emk_alloc(1, sizeof *found); /* it lists files: too large for a stack */
    emk_status st;

    if (!found)
        return emk_fail(e, EMK_E_NO_MEMORY, "plan: no memory", sizeof *found);
    in->model = &p->model;
    st = emk_pack_plan(s->crypto, in, &p->plan, found, e);
    if (st == EMK_OK)
        fill_report(found, &p->report);
    emk_free(found);
    return st;
}

emk_status emk_sealer_plan(const emk_sealer *s, const emk_source *model,
                           const emk_seal_options *options, emk_seal_plan **out, emk_error *e)
{
    static const emk_seal_options none;
    emk_pack_file *files = NULL;
    emk_pack_in in = {0};
    emk_seal_plan *p;
    emk_status st;

    if (!options)
        options = &none;
    st = read_options(options, &in, e);
    if (st == EMK_OK)
        st = place_files(options, &files, e);
    if (st != EMK_OK)
        return st;
    in.files = files;
    in.n_files = options->n_files;
    p = emk_alloc(1, sizeof *p);
    if (p) {
        p->model = *model;
        st = make_plan(s, &in, p, e);
    } else {
        st = emk_fail(e, EMK_E_NO_MEMORY, "plan: no memory", sizeof *p);
    }
    emk_free(files);
    if (st != EMK_OK) {
        emk_free(p);
        return st;
    }
    *out = p;
    return EMK_OK;
}

const emk_seal_report *emk_seal_plan_report(const emk_seal_plan *p)
{
    return &p->report;
}

void emk_seal_plan_free(emk_seal_plan *p)
{
    if (!p)
        return;
    emk_plan_done(&p->plan);
    emk_free(p);
}

/* ---- sealing ---- */

/* What can be refused before the ticket is used up. */
static emk_status judge(const emk_sealer *s, const emk_seal_job *job, emk_ticket *ticket,
                        emk_error *e)
{
    emk_status st;

    if (!job->plan || job->now == 0)
        return emk_fail(e, EMK_E_USAGE, "seal: no plan, or no time", job->now);
    st = emk_ticket_verify(s->crypto, job->ticket, s->issuer, job->now, ticket, e);
    if (st != EMK_OK)
        return st;
    if (ticket->policy.lease_s && !ticket->lease_key.len)
        return emk_fail(e, EMK_E_FORMAT, "ticket: a lease without a lease key", 0);
    if (s->certificate.len &&
        (job->now < s->certified.not_before || job->now > s->certified.not_after))
        return emk_fail(e, EMK_E_POLICY, "seal: the sealing certificate is not good now", job->now);
    if (!emk_kem_is_supported(s->crypto, ticket->device_key.kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "seal: kind of device key", ticket->device_key.kem);
    if (!emk_kem_is_supported(s->crypto, ticket->request_key.kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "seal: kind of request key", ticket->request_key.kem);
    return EMK_OK;
}

/* The ledger is foreign code: it may forget to say why. */
static emk_status redeem(const emk_sealer *s, const emk_ticket *ticket, emk_error *e)
{
    emk_error why = {0};
    emk_status st;

    if (!s->redeem)
        return EMK_OK;
    st = s->redeem(s->redeem_self, ticket->id, &why);
    if (st == EMK_OK)
        return EMK_OK;
    return emk_fail(e, st, why.what ? why.what : "ticket: the ledger refuses it", why.where);
}

emk_status emk_sealer_start(const emk_sealer *s, const emk_seal_job *job, emk_sealing **out,
                            emk_sealed *sealed, emk_error *e)
{
    emk_sealing *made;
    emk_ticket ticket;
    emk_seal_in in;
    emk_status st;

    st = judge(s, job, &ticket, e);
    if (st != EMK_OK)
        return st;
    st = redeem(s, &ticket, e);
    if (st != EMK_OK)
        return st;
    in = (emk_seal_in){.model = &job->plan->model,
                       .plan = &job->plan->plan,
                       .signer = &s->signer,
                       .certificate = emk_buf_span(&s->certificate),
                       .policy = ticket.policy_bytes,
                       .identity = ticket.identity_bytes,
                       .lease_key = ticket.lease_key,
                       .device_key = ticket.device_key,
                       .request_key = ticket.request_key,
                       .now = job->now,
                       .chacha = job->chacha};
    memcpy(in.ticket_id, ticket.id, sizeof in.ticket_id);
    memcpy(in.ticket_hash, ticket.hash, sizeof in.ticket_hash);
    memcpy(in.request_hash, ticket.request_hash, sizeof in.request_hash);
    st = emk_sealing_new(s->crypto, &in, &made, e);
    if (st != EMK_OK)
        return st;
    if (sealed) {
        sealed->len = emk_sealing_len(made);
        memcpy(sealed->ticket_id, ticket.id, sizeof sealed->ticket_id);
        memcpy(sealed->file_id, emk_sealing_file_id(made), sizeof sealed->file_id);
    }
    *out = made;
    return EMK_OK;
}

emk_status emk_sealer_seal(const emk_sealer *s, const emk_seal_job *job, const emk_sink *out,
                           emk_sealed *sealed, emk_error *e)
{
    emk_sealing *sealing;
    emk_sealed made;
    emk_status st;

    st = emk_sealer_start(s, job, &sealing, &made, e);
    if (st != EMK_OK)
        return st;
    st = emk_sealing_write(sealing, out, threads_of(job->threads), job->progress, e);
    emk_sealing_free(sealing);
    if (st == EMK_OK && sealed)
        *sealed = made;
    return st;
}
