/* Writes the seeds of the attestation fuzzers: make_attest_seeds FUZZ_DIR/corpus. */
#include "core/base/os_file.h"
#include "core/codec/der.h"
#include "fuzz/attest_common.h"
#include "fuzz/check.h"
#include "server/attest/sim/tpm_evidence.h"

static forge f;
static const char *corpus;

static void save(const char *folder, const char *name, emk_span s)
{
    char dir[4096], path[4096];

    must(emk_os_join(dir, sizeof dir, corpus, folder, "", NULL) == EMK_OK, "path");
    must(emk_os_make_dir(dir, NULL) == EMK_OK, "folder");
    must(emk_os_join(path, sizeof path, dir, name, "", NULL) == EMK_OK, "path");
    must(emk_os_write_file(path, s, NULL) == EMK_OK, "write");
}

static void save_hex(const char *folder, const char *name, const char *hex)
{
    emk_buf b;

    emk_buf_init(&b, 4096);
    forge_hex(&b, hex);
    save(folder, name, emk_buf_span(&b));
    emk_buf_done(&b);
}

static void save_description(const char *name, const fake_android *x)
{
    static const uint8_t OID[] = {0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 1, 0x11};
    emk_buf der[FAKE_CERTS];
    emk_span value;
    bool critical;
    emk_x509 leaf;

    for (size_t i = 0; i < FAKE_CERTS; i++)
        emk_buf_init(&der[i], EMK_X509_CERT_MAX);
    fake_make_android(&f, x, der);
    must(emk_x509_parse(emk_buf_span(&der[0]), &leaf, NULL) == EMK_OK, "leaf");
    must(emk_x509_extension(&leaf, emk_span_of(OID, sizeof OID), &value, &critical), "extension");
    save("android_key", name, value);
    save("x509", name, emk_buf_span(&der[0]));
    for (size_t i = 0; i < FAKE_CERTS; i++)
        emk_buf_done(&der[i]);
}

static void save_app_attest(const char *name, const fake_app_attest *x)
{
    uint8_t key_id[32];
    emk_buf b;

    emk_buf_init(&b, (size_t)1 << 16);
    forge_hex(&b, "00");
    fake_make_attestation(&f, x, &b, key_id);
    save("app_attest", name, emk_buf_span(&b));
    emk_buf_done(&b);
}

static void save_assertion(const char *name, const fake_assertion *x)
{
    emk_buf b;

    emk_buf_init(&b, 4096);
    forge_hex(&b, "01");
    fake_make_assertion(&f, x, &b);
    save("app_attest", name, emk_buf_span(&b));
    emk_buf_done(&b);
}

/* `which` in front, as the fuzzer wants it. */
static void save_tpm(const char *name, char which, emk_span s)
{
    uint8_t one = (uint8_t)which;
    emk_buf b;

    emk_buf_init(&b, (size_t)1 << 16);
    forge_raw(&b, emk_span_of(&one, 1));
    forge_raw(&b, s);
    save("tpm_wire", name, emk_buf_span(&b));
    if (which >= 3)
        save("tpm_enrol", name, emk_buf_span(&b));
    emk_buf_done(&b);
}

static void save_tpm_enrolment(void)
{
    static const uint8_t BINDING[32];
    const emk_tpm_roots roots = {.roots = attest_root(), .n_roots = 1, .time_s = FORGE_NOW};
    const fake_tpm x = {.ek_purpose = NULL};
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    fake_tpm_hello hello;
    fake_tpm_proof proof;
    emk_tpm_hello sent;
    emk_tpm_proof answer;
    emk_buf b;

    fake_make_tpm_hello(&f, &x, &hello);
    sent = fake_tpm_hello_of(&hello, false);
    save_tpm("attestation-key", 0, sent.ak);
    emk_buf_init(&b, (size_t)1 << 16);
    must(emk_tpm_hello_write(&sent, &b, NULL) == EMK_OK, "hello");
    save_tpm("hello", 3, emk_buf_span(&b));
    emk_buf_done(&b);
    must(emk_tpm_enrol_begin(f.crypto, &roots, &sent, &pending, &credential, NULL) == EMK_OK &&
             fake_make_tpm_proof(&f, &x, &credential, emk_span_of(BINDING, 32), &proof, NULL) ==
                 EMK_OK,
         "proof");
    answer = fake_tpm_proof_of(&proof);
    save_tpm("quote", 1, answer.quote);
    save_tpm("certified-key", 1, answer.signing.attest);
    save_tpm("signature", 2, answer.quote_sig);
    emk_buf_init(&b, (size_t)1 << 16);
    must(emk_tpm_proof_write(&answer, &b, NULL) == EMK_OK, "proof");
    save_tpm("proof", 4, emk_buf_span(&b));
    emk_buf_done(&b);
    fake_tpm_proof_done(&proof);
    fake_tpm_hello_done(&hello);
}

int main(int argc, char **argv)
{
    emk_buf root;

    must(argc == 2, "usage: make_attest_seeds CORPUS");
    corpus = argv[1];
    forge_init(&f, attest_crypto());
    emk_buf_init(&root, EMK_X509_CERT_MAX);
    fake_make_root(&f, &root);
    save("x509", "authority", emk_buf_span(&root));
    save("der", "certificate", emk_buf_span(&root));
    save_hex("der", "long-tag", "bf8545020500");
    save_hex("der", "times", "170d3730303130313030303030305a180f32303438303130313030303030305a");
    save_hex("der", "indefinite-length", "30800000");
    save_hex("der", "long-length", "3082000405000500");
    save_hex("der", "bit-strings", "300803020505030201ff");
    save_description("tee", &(fake_android){.challenge = "challenge"});
    save_description("strongbox",
                     &(fake_android){.challenge = "challenge", .attest_level = 2, .key_level = 2});
    save_description("unlocked", &(fake_android){.challenge = "challenge", .unlocked = true});
    save_description("no-app", &(fake_android){.challenge = "challenge", .software = ""});
    save_app_attest("attestation", &(fake_app_attest){.app_id = "T.app"});
    save_app_attest("attestation-with-map",
                    &(fake_app_attest){.app_id = "T.app", .tail = "a161614403000000"});
    save_app_attest("attestation-of-development",
                    &(fake_app_attest){.app_id = "T.app", .aaguid = "appattestdevelop"});
    save_assertion("assertion", &(fake_assertion){.app_id = "T.app", .counter = 1});
    save_assertion("assertion-with-map",
                   &(fake_assertion){.app_id = "T.app", .counter = 1, .tail = "a1616101"});
    save_tpm_enrolment();
    emk_buf_done(&root);
    forge_done(&f);
    return 0;
}
