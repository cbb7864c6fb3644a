/* Project Wycheproof: groups of tests; the group's type says what they are. */
#include "tests/conformance/wycheproof.h"

#include "tests/conformance/formats.h"

#include <inttypes.h>

typedef struct group_type {
    const char *type;
    void (*run)(emk_vec *v, const emk_wp_test *t); /* NULL: left out, and why */
    const char *why;
} group_type;

#define JOSE "JOSE comes with the server"

static const group_type types[] = {
    {"AeadTest", emk_wp_aead, NULL},
    {"MacTest", emk_wp_mac, NULL},
    {"HkdfTest", emk_wp_hkdf, NULL},
    {"PbkdfTest", emk_wp_pbkdf2, NULL},
    {"XdhComp", emk_wp_xdh, NULL},
    {"XdhJwkComp", emk_wp_xdh_jwk, NULL},
    {"EcdhEcpointTest", emk_wp_ecdh_point, NULL},
    {"EcdhWebcryptoTest", emk_wp_ecdh_jwk, NULL},
    {"EcdsaVerify", emk_wp_ecdsa, NULL},
    {"EcdsaP1363Verify", emk_wp_ecdsa, NULL},
    {"EddsaVerify", emk_wp_eddsa, NULL},
    {"MLKEMTest", emk_wp_mlkem, NULL},
    {"MLKEMEncapsTest", emk_wp_mlkem_encaps, NULL},
    {"MLKEMKeyGen", emk_wp_mlkem_keygen, NULL},
    {"MLKEMDecapsValidationTest", NULL, "ML-KEM private keys are seeds here, never expanded"},
    {"KeywrapTest", NULL, "AES key wrap is in no part of the container"},
    {"RsaesOaepDecrypt", NULL, "RSA comes with the Themis reader"},
    {"RsassaPssVerify", NULL, "RSA comes with the Themis reader"},
    {"JsonWebSignature", NULL, JOSE},
    {"JsonWebEncryption", NULL, JOSE},
    {"JsonWebKey", NULL, JOSE},
    {"JsonWebCrypto", NULL, JOSE},
};

bool emk_wp_has_flag(const emk_wp_test *t, const char *flag)
{
    const emk_dom *flags = emk_dom_get_kind(t->test, "flags", EMK_DOM_ARRAY);

    for (const emk_dom *f = flags ? flags->first : NULL; f; f = f->next)
        if (emk_dom_is_text(f, flag))
            return true;
    return false;
}

static bool read_result(emk_vec *v, emk_wp_test *t)
{
    const emk_dom *result = emk_dom_get(t->test, "result");

    if (emk_dom_is_text(result, "valid"))
        t->result = EMK_WP_VALID;
    else if (emk_dom_is_text(result, "invalid"))
        t->result = EMK_WP_INVALID;
    else if (emk_dom_is_text(result, "acceptable"))
        t->result = EMK_WP_ACCEPTABLE;
    else
        emk_vec_malformed(v, "\"result\" is not valid, invalid or acceptable");
    return emk_vec_is_well(v);
}

static void run_test(emk_vec *v, emk_wp_test *t, emk_span type)
{
    uint64_t id = 0;

    (void)emk_dom_u64(emk_dom_get(t->test, "tcId"), &id);
    emk_vec_begin(v, "tcId %" PRIu64, id);
    if (read_result(v, t)) {
        size_t i = 0, n = sizeof types / sizeof types[0];

        while (i < n && !emk_span_equal(type, emk_span_str(types[i].type)))
            i++;
        if (i == n)
            emk_vec_skip(v, "groups of type %.*s are not known here", EMK_VEC_SHOWN(type));
        else if (!types[i].run)
            emk_vec_skip(v, "%s", types[i].why);
        else
            types[i].run(v, t);
    }
    emk_vec_end(v);
}

static void run_group(emk_vec *v, emk_span algorithm, const emk_dom *group)
{
    const emk_dom *type = emk_dom_get_kind(group, "type", EMK_DOM_STRING);
    const emk_dom *tests = emk_dom_get_kind(group, "tests", EMK_DOM_ARRAY);

    if (!type || !tests) {
        emk_report_malformed(v->report, "a group without type or tests");
        return;
    }
    for (const emk_dom *test = tests->first; test; test = test->next) {
        emk_wp_test t = {.algorithm = algorithm, .group = group, .test = test};

        run_test(v, &t, type->text);
    }
}

static bool is_wycheproof(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return emk_dom_get_kind(root, "testGroups", EMK_DOM_ARRAY) != NULL;
}

static void run_wycheproof(emk_vec *v, const emk_dom *root)
{
    const emk_dom *groups = emk_dom_get_kind(root, "testGroups", EMK_DOM_ARRAY);
    const emk_dom *algorithm = emk_dom_get_kind(root, "algorithm", EMK_DOM_STRING);

    for (const emk_dom *g = groups->first; g; g = g->next)
        run_group(v, algorithm ? algorithm->text : emk_span_str(""), g);
}

const emk_json_format emk_format_wycheproof = {"Wycheproof", is_wycheproof, run_wycheproof};
