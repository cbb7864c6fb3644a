/* Formats that are known, and read by other tests, or by nothing yet. */
#include "tests/conformance/formats.h"

static bool is_index(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && emk_dom_get(first, "name") &&
           emk_dom_get(first, "expect") && !emk_dom_get(first, "hex");
}

static bool is_c2sp_chunked(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && emk_dom_get(first, "input_key") &&
           emk_dom_get(first, "commitment") && emk_dom_get(first, "aead");
}

static bool is_jws_list(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && emk_dom_get(first, "jws") && emk_dom_get(first, "jwk");
}

static bool is_jose_cookbook(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return emk_dom_get(root, "input") && !emk_dom_get(emk_dom_get(root, "output"), "cbor") &&
           (emk_dom_get(root, "signing") || emk_dom_get(root, "encrypting_content") ||
            emk_dom_get(root, "signing_payload") || emk_dom_get(root, "output"));
}

static bool is_http_signatures(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return emk_dom_get(root, "keys") && emk_dom_get(root, "messages") &&
           emk_dom_get(root, "vectors");
}

static bool is_themis(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return emk_dom_get(root, "soter_kdf") || emk_dom_get(root, "cell_seal_key") ||
           emk_dom_get(root, "message_ec") || emk_dom_get(root, "cell_token_protect_key");
}

const emk_later_format emk_later_formats[] = {
    {"index of vectors", is_index, "an index holds no vectors"},
    {"C2SP chunked encryption", is_c2sp_chunked,
     "it needs HKDF-SHA-512; the container has its own chunks"},
    {"JWS examples", is_jws_list, "JOSE comes with the server"},
    {"JOSE cookbook [RFC 7520]", is_jose_cookbook, "JOSE comes with the server"},
    {"HTTP message signatures [RFC 9421]", is_http_signatures, "the tests of server/gate run them"},
    {"Themis", is_themis, "reading Themis data comes with the migration tools"},
};

const size_t emk_n_later_formats = sizeof emk_later_formats / sizeof emk_later_formats[0];
