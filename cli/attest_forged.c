/* Forged proofs on disk: the rows of server/attest/sim/forgeries.h, made and described in the
 * manifest's terms. */
#include "cli/attest_forged.h"

#include "cli/files.h"
#include "core/base/os_file.h"
#include "server/attest/sim/evidence.h"
#include "server/attest/sim/forgeries.h"

#include <string.h>

#define ROOT_NAME  "simulated_root.pem"
#define NAME_MAX   128u
#define HASH_LEN   32u
#define SECRET_LEN 32u
#define PCRS \
    {        \
        0, 7 \
    }

static const char TIME[] = "2027-01-15T08:00:00Z";

typedef struct forging {
    emk_cli *cli;
    const emk_crypto *crypto;
    const emk_sim *sim;
    const char *dir;
    emk_cli_out json; /* the manifest */
    size_t n_forged;
    uint8_t hash[HASH_LEN], secret[SECRET_LEN], digest[HASH_LEN];
} forging;

/* --- texts ------------------------------------------------------------------------------------ */

static void put_base64(forging *g, const char *name, emk_span bytes)
{
    emk_buf text;

    emk_buf_init(&text, EMK_SIM_VALUE_MAX);
    forge_base64(&text, bytes, false);
    emk_cli_put_text(&g->json, name, emk_buf_span(&text));
    emk_buf_done(&text);
}

/* 32 bytes, or others where the verifier asks for others. */
static void put_bytes32(forging *g, const char *name, const uint8_t *bytes, bool other)
{
    uint8_t changed[HASH_LEN];

    memcpy(changed, bytes, HASH_LEN);
    changed[HASH_LEN - 1] ^= other;
    emk_cli_put_hex(&g->json, name, emk_span_of(changed, HASH_LEN));
}

static const char *time_of(const emk_sim_forgery *f)
{
    if (f->asked == EMK_SIM_ASKED_EARLIER)
        return "2020-01-01T00:00:00Z";
    return f->asked == EMK_SIM_ASKED_LATER ? "2035-01-01T00:00:00Z" : TIME;
}

static const char *name_or_other(const emk_sim_forgery *f, const char *name)
{
    return f->asked == EMK_SIM_ASKED_APP ? "com.example.another" : name;
}

/* --- a case of each kind, beside its files ---------------------------------------------------- */

static void put_app_attest(forging *g, const emk_sim_forgery *f)
{
    emk_cli_out *o = &g->json;
    emk_span key = emk_sim_app_key(g->sim);

    emk_cli_put_string(o, "type", f->assertion ? "assertion" : "attestation");
    emk_cli_put_string(o, "app_id", name_or_other(f, FAKE_APP));
    put_bytes32(g, "client_data_hash_hex", g->hash, f->asked == EMK_SIM_ASKED_NONCE);
    if (f->assertion) {
        emk_cli_put_hex(o, "public_key_x962_hex",
                        f->asked == EMK_SIM_ASKED_KEY ? emk_sim_signing_key(g->sim) : key);
        emk_cli_put_number(o, "stored_counter", f->asked == EMK_SIM_ASKED_COUNTER ? 1 : 0);
        return;
    }
    emk_cli_put_string(o, "environment",
                       f->asked == EMK_SIM_ASKED_DEVELOPMENT ? "development" : "production");
    emk_cli_put_string(o, "verify_time", time_of(f));
}

static void put_key_id(forging *g, const emk_sim_forgery *f, const emk_sim_evidence *x)
{
    if (f->asked == EMK_SIM_ASKED_KEY)
        put_base64(g, "key_id_b64", emk_span_of(g->hash, HASH_LEN));
    else
        put_base64(g, "key_id_b64", emk_buf_span(&x->parts[1].bytes));
}

static void put_list(forging *g, const emk_sim_forgery *f)
{
    emk_cli_out *o = &g->json;
    const char *status = f->asked == EMK_SIM_ASKED_REVOKED     ? "REVOKED"
                         : f->asked == EMK_SIM_ASKED_SUSPENDED ? "SUSPENDED"
                                                               : "PERHAPS";

    emk_cli_begin(o, "revocation_entries");
    emk_cli_begin(o, f->with);
    emk_cli_put_string(o, "status", status);
    emk_cli_end(o);
    emk_cli_end(o);
}

static void put_android(forging *g, const emk_sim_forgery *f)
{
    emk_cli_out *o = &g->json;

    emk_cli_put_string(o, "type", "key_attestation_chain");
    put_bytes32(g, "challenge_hex", g->hash, f->asked == EMK_SIM_ASKED_NONCE);
    emk_cli_put_string(o, "package", name_or_other(f, FAKE_PACKAGE));
    put_bytes32(g, "certificate_sha256_hex", g->digest, f->asked == EMK_SIM_ASKED_DIGEST);
    emk_cli_put_string(o, "verify_time", time_of(f));
    if (f->asked == EMK_SIM_ASKED_REVOKED || f->asked == EMK_SIM_ASKED_SUSPENDED ||
        f->asked == EMK_SIM_ASKED_UNKNOWN_STATUS)
        put_list(g, f);
}

static void put_play(forging *g, const emk_sim_forgery *f, const emk_sim_evidence *x)
{
    uint8_t nonce[HASH_LEN];
    emk_buf spki;

    memcpy(nonce, g->hash, sizeof nonce);
    nonce[0] ^= f->asked == EMK_SIM_ASKED_NONCE;
    emk_cli_put_string(&g->json, "type", "jwe_jws");
    put_base64(g, "decryption_key_b64", emk_buf_span(&x->parts[1].bytes));
    emk_buf_init(&spki, EMK_SIM_VALUE_MAX);
    forge_raw(&spki, emk_buf_span(&x->parts[2].bytes));
    if (f->asked == EMK_SIM_ASKED_KEY) { /* the head, and another point */
        spki.len -= emk_sim_app_key(g->sim).len;
        forge_raw(&spki, emk_sim_app_key(g->sim));
    }
    put_base64(g, "verification_key_spki_b64", emk_buf_span(&spki));
    emk_buf_done(&spki);
    emk_cli_put_string(&g->json, "package", name_or_other(f, FAKE_PACKAGE));
    put_bytes32(g, "certificate_sha256_hex", g->digest, f->asked == EMK_SIM_ASKED_DIGEST);
    put_base64(g, "nonce_b64", emk_span_of(nonce, sizeof nonce));
    emk_cli_put_string(&g->json, "verify_time", time_of(f));
}

static void put_safetynet(forging *g, const emk_sim_forgery *f)
{
    uint8_t nonce[HASH_LEN];

    memcpy(nonce, g->hash, sizeof nonce);
    nonce[0] ^= f->asked == EMK_SIM_ASKED_NONCE;
    emk_cli_put_string(&g->json, "type", "safetynet_jws");
    emk_cli_put_string(&g->json, "package", name_or_other(f, FAKE_PACKAGE));
    put_bytes32(g, "certificate_sha256_hex", g->digest, f->asked == EMK_SIM_ASKED_DIGEST);
    put_base64(g, "nonce_b64", emk_span_of(nonce, sizeof nonce));
    emk_cli_put_string(&g->json, "verify_time", time_of(f));
    if (f->asked == EMK_SIM_ASKED_HOST)
        emk_cli_put_string(&g->json, "expected_hostname", "attest.example.com");
}

static void put_tpm(forging *g, const emk_sim_forgery *f)
{
    emk_cli_out *o = &g->json;
    bool other = f->asked == EMK_SIM_ASKED_KEY;

    emk_cli_put_string(o, "type", "tpm_enrolment");
    put_bytes32(g, "binding_hex", g->hash, f->asked == EMK_SIM_ASKED_NONCE);
    put_bytes32(g, "secret_hex", g->secret, f->asked == EMK_SIM_ASKED_SECRET);
    emk_cli_put_hex(o, "signing_key_x962_hex",
                    other ? emk_sim_app_key(g->sim) : emk_sim_signing_key(g->sim));
    emk_cli_put_hex(o, "agreement_key_x962_hex", emk_sim_agreement_key(g->sim));
    emk_cli_begin_list(o, "pcrs");
    emk_cli_put_number(o, NULL, 0);
    emk_cli_put_number(o, NULL, f->asked == EMK_SIM_ASKED_PCRS ? 8 : 7);
    emk_cli_end(o);
    if (f->asked == EMK_SIM_ASKED_GOOD)
        put_bytes32(g, "allowed_pcr_sha256_hex", g->digest, false);
    emk_cli_put_string(o, "verify_time", time_of(f));
}

static void put_inputs(forging *g, const emk_sim_forgery *f, const emk_sim_evidence *x)
{
    switch (f->kind) {
    case EMK_ATTEST_APP_ATTEST:
        put_app_attest(g, f);
        if (!f->assertion)
            put_key_id(g, f, x);
        return;
    case EMK_ATTEST_ANDROID_KEY:
        put_android(g, f);
        return;
    case EMK_ATTEST_PLAY_INTEGRITY:
        put_play(g, f, x);
        return;
    case EMK_ATTEST_SAFETYNET:
        put_safetynet(g, f);
        return;
    default:
        put_tpm(g, f);
    }
}

/* --- files -------------------------------------------------------------------------------------
 */

static emk_status write_file(forging *g, const char *member, const char *name, emk_span bytes)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(g->cli, g->dir, name, path);

    if (st == EMK_OK)
        st = emk_cli_about(g->cli, emk_os_write_file(path, bytes, &g->cli->error), path);
    if (st == EMK_OK && member)
        emk_cli_put_string(&g->json, member, name);
    return st;
}

/* "kind.id.part"; ids have slashes. */
static emk_status write_part(forging *g, const emk_sim_forgery *f, const char *member,
                             const emk_sim_part *part)
{
    char name[NAME_MAX];

    (void)snprintf(name, sizeof name, "%s.%s.%s", emk_attest_kind_name(f->kind), f->id, part->name);
    for (char *p = strchr(name, '/'); p; p = strchr(p, '/'))
        *p = '-';
    return write_file(g, member, name, emk_buf_span(&part->bytes));
}

static emk_status write_parts(forging *g, const emk_sim_forgery *f, const emk_sim_evidence *x)
{
    emk_status st;

    if (f->kind != EMK_ATTEST_TPM)
        return write_part(g, f, "file", &x->parts[0]);
    st = write_part(g, f, "hello", &x->parts[0]);
    return st == EMK_OK ? write_part(g, f, "proof", &x->parts[1]) : st;
}

static emk_status write_case(forging *g, const emk_sim_forgery *f, const char *verdict)
{
    emk_sim_request q = {.kind = f->kind,
                         .hash = emk_span_of(g->hash, HASH_LEN),
                         .fields = f->fields,
                         .assertion = f->assertion};
    emk_sim_evidence x = {.n = 0};
    char id[NAME_MAX];
    emk_status st;

    if (f->kind == EMK_ATTEST_TPM)
        q.secret = emk_span_of(g->secret, SECRET_LEN);
    while (q.n_fields < 2 && f->fields[q.n_fields].name)
        q.n_fields++;
    st = emk_sim_make(g->sim, &q, &x, &g->cli->error);
    if (st == EMK_OK)
        st = emk_sim_forge(f, &x, &g->cli->error);
    (void)snprintf(id, sizeof id, "%s/%s", emk_attest_kind_name(f->kind), f->id);
    emk_cli_begin(&g->json, NULL);
    emk_cli_put_string(&g->json, "id", id);
    if (st == EMK_OK)
        st = write_parts(g, f, &x);
    if (st == EMK_OK)
        put_inputs(g, f, &x);
    emk_cli_put_string(&g->json, "expect", verdict);
    emk_cli_put_string(&g->json, "reason", f->reason);
    emk_cli_put_string(&g->json, "origin", "simulated");
    emk_cli_end(&g->json);
    emk_sim_evidence_done(&x);
    return emk_cli_about(g->cli, st, id);
}

/* --- all ---------------------------------------------------------------------------------------
 */

/* What is right must be accepted, else the refusals of the others would prove nothing. */
static emk_status write_controls(forging *g)
{
    emk_status st = EMK_OK;

    for (int kind = EMK_ATTEST_APP_ATTEST; st == EMK_OK && kind <= EMK_ATTEST_TPM; kind++) {
        const emk_sim_forgery f = {
            .kind = (emk_attest_kind)kind, .id = "control", .reason = "nothing is wrong"};

        st = write_case(g, &f, "accept");
    }
    if (st == EMK_OK)
        st = write_case(g,
                        &(emk_sim_forgery){.kind = EMK_ATTEST_APP_ATTEST,
                                           .assertion = true,
                                           .id = "assertion/control",
                                           .reason = "nothing is wrong"},
                        "accept");
    return st;
}

static emk_status write_forgeries(forging *g)
{
    const emk_sim_forgery *f;
    emk_status st = EMK_OK;

    while (st == EMK_OK && (f = emk_sim_forgery_at(g->n_forged))) {
        g->n_forged++;
        st = write_case(g, f, "reject");
    }
    return st;
}

static emk_status write_manifest(forging *g)
{
    emk_cli_out *o = &g->json;
    emk_status st;

    emk_cli_put_string(o, "kind", "forged");
    emk_cli_put_string(o, "trust_anchor", "roots/" ROOT_NAME);
    emk_cli_begin_list(o, "cases");
    st = write_controls(g);
    if (st == EMK_OK)
        st = write_forgeries(g);
    emk_cli_end(o);
    if (st == EMK_OK && o->status == EMK_OK)
        st = emk_buf_append(&o->text, emk_span_str("}\n"), &g->cli->error);
    if (st == EMK_OK && o->status != EMK_OK)
        st = emk_fail(&g->cli->error, o->status, "attest: the manifest is too large", 0);
    return st == EMK_OK ? write_file(g, NULL, "manifest.json", emk_buf_span(&o->text)) : st;
}

static emk_status write_root(forging *g)
{
    char roots[EMK_CLI_PATH_MAX];
    emk_buf pem;
    emk_status st = emk_cli_join(g->cli, g->dir, "roots", roots);

    emk_buf_init(&pem, 65536);
    if (st == EMK_OK)
        st = emk_cli_make_dirs(g->cli, roots);
    if (st == EMK_OK)
        st = emk_sim_root_pem(g->sim, &pem, &g->cli->error);
    if (st == EMK_OK)
        st = write_file(g, NULL, "roots/" ROOT_NAME, emk_buf_span(&pem));
    emk_buf_done(&pem);
    return st;
}

emk_status emk_attest_forged_write(emk_cli *cli, const emk_crypto *c, const emk_sim *sim,
                                   const char *dir)
{
    forging g = {.cli = cli, .crypto = c, .sim = sim, .dir = dir};
    emk_status st;

    memset(g.hash, 0xb1, sizeof g.hash);
    memset(g.secret, 0x5e, sizeof g.secret);
    memset(g.digest, 0xaa, sizeof g.digest);
    emk_cli_out_init(&g.json, true);
    st = write_root(&g);
    if (st == EMK_OK)
        st = write_manifest(&g);
    emk_cli_out_done(&g.json);
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "manifest", "manifest.json");
        emk_cli_put_number(&cli->out, "forged", g.n_forged);
    }
    return st;
}
