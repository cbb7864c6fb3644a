/* attest verify: one piece of evidence, or a whole manifest of it. */
#include "cli/attest_input.h"
#include "cli/attest_manifest.h"
#include "cli/attest_tpm.h"
#include "cli/commands.h"
#include "server/attest/app_attest_receipt.h"

#include <string.h>

/* --- what came out ------------------------------------------------------------------------ */

static const char *home_name(emk_attest_key_home home)
{
    static const char *const NAMES[] = {"unknown", "software", "tee", "separate"};

    return (unsigned)home < 4 ? NAMES[home] : "unknown";
}

static const char *boot_name(emk_attest_boot boot)
{
    static const char *const NAMES[] = {"unknown", "verified", "self_signed", "unverified",
                                        "failed"};

    return (unsigned)boot < 5 ? NAMES[boot] : "unknown";
}

static void put_claims(emk_cli_out *o, const emk_claims *claims)
{
    emk_cli_put_string(o, "kind", emk_attest_kind_name(claims->kind));
    emk_cli_put_number(o, "level", claims->level);
    emk_cli_put_string(o, "app", claims->app);
    emk_cli_put_hex(o, "key_thumbprint",
                    emk_span_of(claims->key_thumbprint, sizeof claims->key_thumbprint));
    emk_cli_put_string(o, "key_home", home_name(claims->key_home));
    emk_cli_put_string(o, "boot", boot_name(claims->boot));
    emk_cli_put_bool(o, "device_locked", claims->device_locked);
    emk_cli_put_bool(o, "device_certified", claims->device_certified);
    emk_cli_put_number(o, "os_version", claims->os_version);
    emk_cli_put_number(o, "os_patch", claims->os_patch);
    if (claims->issued_s > 0)
        emk_cli_put_time(o, "issued", (uint64_t)claims->issued_s);
    if (claims->valid_until_s > 0)
        emk_cli_put_time(o, "valid_until", (uint64_t)claims->valid_until_s);
    emk_cli_begin_list(o, "warnings");
    for (size_t i = 0; i < claims->n_warnings; i++)
        emk_cli_put_string(o, NULL, emk_attest_warning_name(claims->warnings[i]));
    emk_cli_end(o);
}

/* A refusal says to the operator what the client would be told. */
static emk_status refuse(emk_cli *cli, emk_status st)
{
    if (st == EMK_OK || cli->usage)
        return st;
    return emk_cli_advise(cli, st, "A client would be told \"%s\" and nothing else.",
                          emk_attest_client_name(emk_attest_client_code(st)));
}

/* --- kinds ---------------------------------------------------------------------------------- */

/* With the very hash, which the entrance for all kinds would make from the challenge. */
static emk_status verify_by_hash(emk_cli *cli, const emk_attest_input *in, emk_claims *claims)
{
    const emk_bundle *roots = emk_attest_roots_bundle(in->roots, EMK_ROLE_APP_ATTEST);
    emk_app_attest_policy policy = {.app_id = in->policy.app,
                                    .development = in->policy.development,
                                    .roots = roots->certs,
                                    .n_roots = roots->n,
                                    .time_s = in->policy.time_s,
                                    .simulated = (emk_simulated_mode)in->policy.simulated};
    emk_app_attest_evidence evidence = {.object = in->evidence.object,
                                        .key_id = in->evidence.key_id,
                                        .client_data_hash = in->client_data_hash};
    emk_app_attest_key key;

    if (!policy.app_id)
        return emk_cli_usage(cli, "--app is missing");
    return emk_app_attest_verify(in->crypto, &policy, &evidence, claims, &key, &cli->error);
}

static emk_status verify_evidence(emk_cli *cli, emk_attest_input *in)
{
    emk_claims claims = {.level = 0};
    bool has = true;
    emk_status st;

    if (in->evidence.kind == EMK_ATTEST_TPM)
        st = emk_attest_tpm_run(cli, in, &claims, &has);
    else if (in->evidence.kind == EMK_ATTEST_APP_ATTEST && in->client_data_hash.len > 0)
        st = verify_by_hash(cli, in, &claims);
    else
        st = emk_attest_verify(in->crypto, in->roots, &in->policy, &in->evidence, &claims, NULL,
                               &cli->error);
    if (st == EMK_OK && has)
        put_claims(&cli->out, &claims);
    return refuse(cli, st);
}

static emk_status verify_assertion(emk_cli *cli, const emk_attest_input *in)
{
    emk_app_attest_record record = {
        .app_id = in->policy.app, .public_key = in->evidence.key, .counter = in->counter};
    emk_attest_assertion a = {.assertion = in->evidence.object,
                              .client_data = in->policy.challenge,
                              .app = in->policy.app,
                              .point = in->evidence.key,
                              .counter = in->counter};
    uint32_t counter = 0;
    emk_status st;

    if (!a.app || a.point.len != EMK_APP_ATTEST_KEY_LEN)
        return emk_cli_usage(cli, "--app and --public-key (65 bytes in hex) are needed");
    if (in->client_data_hash.len > 0)
        st = emk_app_attest_assert(in->crypto, &record, a.assertion, in->client_data_hash, &counter,
                                   &cli->error);
    else
        st = emk_attest_assert(in->crypto, &a, &counter, &cli->error);
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "kind", "app_attest_assertion");
        emk_cli_put_number(&cli->out, "counter", counter);
    }
    return refuse(cli, st);
}

static void put_receipt(emk_cli_out *o, const emk_app_attest_receipt *r)
{
    emk_cli_put_string(o, "kind", "app_attest_receipt");
    emk_cli_put_string(o, "type", r->refreshed ? "RECEIPT" : "ATTEST");
    emk_cli_put_string(o, "environment", r->development ? "sandbox" : "production");
    emk_cli_put_hex(o, "public_key", emk_span_of(r->public_key, sizeof r->public_key));
    emk_cli_put_time(o, "created", (uint64_t)r->created_s);
    emk_cli_put_time(o, "expires", (uint64_t)r->expires_s);
    if (r->not_before_s > 0)
        emk_cli_put_time(o, "next_not_before", (uint64_t)r->not_before_s);
    if (r->has_risk)
        emk_cli_put_number(o, "risk_metric", r->risk);
}

static emk_status verify_receipt(emk_cli *cli, const emk_attest_input *in)
{
    const emk_bundle *roots = emk_attest_roots_bundle(in->roots, EMK_ROLE_RECEIPT);
    emk_app_attest_receipt_policy policy = {.app_id = in->policy.app,
                                            .public_key = in->evidence.key,
                                            .env =
                                                in->policy.development ? "sandbox" : "production",
                                            .roots = roots->certs,
                                            .n_roots = roots->n,
                                            .time_s = in->policy.time_s,
                                            .max_age_s = in->policy.max_age_s};
    emk_app_attest_receipt info;
    emk_status st;

    if (!policy.app_id)
        return emk_cli_usage(cli, "--app is missing");
    st =
        emk_app_attest_receipt_verify(in->crypto, &policy, in->evidence.object, &info, &cli->error);
    if (st == EMK_OK)
        put_receipt(&cli->out, &info);
    return refuse(cli, st);
}

static emk_status run_one(emk_cli *cli, const char *kind)
{
    emk_attest_input in;
    emk_status st = emk_attest_input_read(cli, kind, &in);

    if (st == EMK_OK && in.form == EMK_ATTEST_FORM_ASSERTION)
        st = verify_assertion(cli, &in);
    else if (st == EMK_OK && in.form == EMK_ATTEST_FORM_RECEIPT)
        st = verify_receipt(cli, &in);
    else if (st == EMK_OK)
        st = verify_evidence(cli, &in);
    emk_attest_input_done(&in);
    return st;
}

static emk_status run_verify(emk_cli *cli)
{
    const char *manifest = emk_cli_option_value(cli, "manifest");
    const char *kind = emk_cli_option_value(cli, "kind");
    emk_attest_policy accept = {.size = sizeof accept};
    bool agrees = false;
    emk_status st;

    if (!manifest == !kind)
        return emk_cli_usage(cli, "either --kind or --manifest says what is to be verified");
    if (kind)
        return run_one(cli, kind);
    if (cli->args.n_operands > 0)
        return emk_cli_usage(cli, "--manifest takes one file");
    st = emk_attest_accept_read(cli, &accept);
    if (st == EMK_OK)
        st = emk_attest_manifest_run(cli, manifest, emk_cli_option_value(cli, "roots"), &accept,
                                     &agrees);
    if (st == EMK_OK && !agrees)
        cli->exit_code = 1;
    return st;
}

static const char *const verify_paragraphs[] = {
    "Verifies evidence of a device on this machine, without asking anybody: App Attest (also its "
    "assertions and receipts), Android Key Attestation, Play Integrity, SafetyNet, TPM. It prints "
    "what "
    "the evidence proves, with a level from 0 to 3, or why it is refused; docs/spec/attestation.md "
    "says what each kind proves and what not.",
    "Evidence of a TPM is several files, in any order, which are told apart by how they begin: "
    "hello "
    "and proof of an enrolment (with --nonce the binding, --secret, --public-key, --agreement-key "
    "and --pcrs); or a TPMS_ATTEST, its TPMT_SIGNATURE (or a bare RSA signature, with --hash), the "
    "TPMT_PUBLIC (of the attestation key for a quote, of the certified key otherwise), the "
    "signer's "
    "chain or key in PEM, and for a quote the PCR values in JSON, {\"sha256\": {\"0\": \"hex\"}}; "
    "or "
    "an endorsement certificate in DER with its issuers in PEM.",
    "--nonce is what the evidence must be made over: hex, or text with hex:, base64: or text: in "
    "front. --roots is a directory kept by `earmark attest update`; one without an index is taken "
    "by the names of its files, and then nobody knows how old they are.",
    "--accept takes words with commas between them and gives up some of the strictness: "
    "unverified-boot, weak-device, decoded (Play Integrity: the file is what Google's server "
    "answered to you), testing, simulated, old-list, sha1 (TPM: certificates of old chips). With a "
    "manifest only "
    "simulated and testing count.",
    "With --manifest it runs every case of a manifest and prints what was expected, what came out "
    "and why. A case that cannot be run is a difference. It ends with 1 when anything differs.",
    NULL};

static const emk_cli_operand verify_operands[] = {
    {"FILE", EMK_CLI_FILE, "more files of the evidence: certificates in DER, leaf first", true},
    {0},
};

static const emk_cli_option verify_options[] = {
    {"kind", 0, EMK_CLI_WORD, "KIND",
     "app_attest, app_attest_assertion, app_attest_receipt, android_key, play_integrity, "
     "safetynet, tpm or none",
     false},
    {"input", 'i', EMK_CLI_FILE, "FILE", "the evidence; - is standard input", false},
    {"nonce", 0, EMK_CLI_WORD, "BYTES", "the challenge it must be made over", false},
    {"client-data-hash", 0, EMK_CLI_WORD, "BYTES",
     "App Attest: what stands for the hash of the client data, instead of --nonce", false},
    {"app", 0, EMK_CLI_WORD, "NAME", "the app: TEAMID.bundle.id, or a package", false},
    {"app-digest", 0, EMK_CLI_WORD, "HEX",
     "SHA-256 of the certificate the Android app is signed by; several with commas", false},
    {"key-id", 0, EMK_CLI_WORD, "BASE64", "App Attest: the key's id", false},
    {"public-key", 0, EMK_CLI_WORD, "HEX", "the key it must be about: 04, x and y", false},
    {"agreement-key", 0, EMK_CLI_WORD, "HEX", "TPM: the device's other key", false},
    {"secret", 0, EMK_CLI_WORD, "HEX", "TPM: what the credential held", false},
    {"pcrs", 0, EMK_CLI_WORD, "LIST", "TPM: PCRs that were asked for, like sha256:0,7", false},
    {"allowed-pcrs", 0, EMK_CLI_WORD, "HEX", "TPM: SHA-256 over values that are allowed", false},
    {"hash", 0, EMK_CLI_WORD, "HASH", "TPM: of a bare signature; sha256, unless told", false},
    {"counter", 0, EMK_CLI_WORD, "N", "assertions: the counter of the last one", false},
    {"development", 0, EMK_CLI_FLAG, NULL, "App Attest: the development environment", false},
    {"decryption-key", 0, EMK_CLI_FILE, "FILE", "Play Integrity: decryption key, base64", false},
    {"verification-key", 0, EMK_CLI_FILE, "FILE", "Play Integrity: verification key, base64",
     false},
    {"time", 0, EMK_CLI_WORD, "TIME", "verify as of then, not as of now", false},
    {"max-age", 0, EMK_CLI_WORD, "DURATION", "how old a token or receipt may be", false},
    {"min-level", 0, EMK_CLI_WORD, "N", "refuse what amounts to less", false},
    {"accept", 0, EMK_CLI_WORD, "WORDS", "what to be less strict about", false},
    {"roots", 0, EMK_CLI_DIR, "DIR", "anchors and lists", false},
    {"manifest", 0, EMK_CLI_FILE, "FILE", "run every case of this manifest", false},
    {0},
};

static const emk_cli_example verify_examples[] = {
    {"An attestation that an iPhone sent, for a challenge of ours:",
     "earmark attest verify --kind app_attest --input att.cbor --key-id \"$KEY_ID\" --nonce "
     "hex:00ff... --app TEAMID.com.example.app --roots roots --json"},
    {"A chain of Android certificates as of a day in the past:",
     "earmark attest verify --kind android_key --input chain.pem --nonce text:challenge --app "
     "com.example --app-digest 9f86... --time 2026-01-02T03:04:05Z --roots roots"},
    {"A quote of a TPM:",
     "earmark attest verify --kind tpm --input quote.msg quote.sig ak.pem pcrs.json --nonce "
     "hex:00ff... --pcrs sha256:0,7"},
    {"A whole collection of evidence:",
     "earmark attest verify --manifest manifest.json --roots roots --json"},
    {0},
};

static const emk_cli_exit verify_exits[] = {
    {EMK_E_FORMAT, "not evidence of this kind, or damaged"},
    {EMK_E_SIGNATURE, "not signed up to a root, or for another challenge or key"},
    {EMK_E_SEALED, "Play Integrity: not encrypted to this key"},
    {EMK_E_POLICY, "genuine, and app, device or level are not what is wanted"},
    {EMK_E_STALE, "too old, not yet valid, or lists are too old"},
    {0},
};

const emk_cli_command EMK_CLI_ATTEST_VERIFY = {
    .name = "attest verify",
    .summary = "verifies evidence of a device, or a manifest of it",
    .synopsis = "--kind KIND --input FILE... | --manifest FILE",
    .paragraphs = verify_paragraphs,
    .operands = verify_operands,
    .many_operands = true,
    .options = verify_options,
    .examples = verify_examples,
    .exits = verify_exits,
    .run = run_verify,
};
