#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

#define NET(inside) "<net name=\"m\" version=\"11\"><layers>" inside "</layers></net>"
#define CONST(data) \
    "<layer id=\"0\" name=\"w&amp;1\" type=\"Const\" version=\"opset1\">" data "</layer>"
#define DATA(off, n) \
    "<data element_type=\"f16\" shape=\"64, 3,7\" offset=\"" off "\" size=\"" n "\"/>"

static model_check check;

static emk_status run(const char *xml)
{
    return model_check_all(&check, EMK_MODEL_OPENVINO, emk_span_str(xml), 0);
}

#define refuses(xml, st, why)                   \
    do {                                        \
        assert_status(run(xml), st, &check.e);  \
        assert_string_equal(check.e.what, why); \
    } while (0)

static void emits_constants(void **state)
{
    static const char xml[] = "<?xml version=\"1.0\" ?>\n<!-- a -- comment --->\n" NET(CONST(DATA(
        "64", "100") "<output><port id=\"1\"><dim>3</dim></port></output>") "<layer id=\"1\" "
                                                                            "type=\"LRN\"><data "
                                                                            "size=\"5\" "
                                                                            "bias='1'/></"
                                                                            "layer>" CONST(
                                                                                "<data"
                                                                                " offs"
                                                                                "et='"
                                                                                "0' "
                                                                                "size="
                                                                                "'4' "
                                                                                "eleme"
                                                                                "nt_"
                                                                                "type="
                                                                                "'i64'"
                                                                                " shap"
                                                                                "e=''>"
                                                                                "</"
                                                                                "data"
                                                                                ">")) "\n";

    char name[EMK_MODEL_PART_NAME];

    (void)state;
    assert_ok(run(xml), &check.e);
    assert_int_equal(check.x.n, 2);
    assert_int_equal(check.v[0].offset, 0);
    assert_int_equal(check.v[0].dtype, EMK_DTYPE_I64);
    assert_int_equal(check.v[0].rank, 0);
    assert_int_equal(check.v[1].part, 1);
    assert_int_equal(check.v[1].offset, 64);
    assert_int_equal(check.v[1].length, 100);
    assert_int_equal(check.v[1].dtype, EMK_DTYPE_F16);
    assert_int_equal(check.v[1].rank, 3);
    assert_int_equal(check.v[1].dims[2], 7);
    assert_bytes(emk_span_of(xml + check.v[1].name_off, check.v[1].name_len),
                 emk_span_str("w&amp;1"));
    assert_int_equal(check.report.n_parts, 1);
    assert_ok(emk_model_part_name(&check.im, "a/m.xml", &check.report.parts[0], name, &check.e),
              &check.e);
    assert_string_equal(name, "m.bin");
}

static void finds_constants_in_bodies_and_blobs(void **state)
{
    (void)state;
    assert_ok(run(NET("<layer type=\"If\"><then_body><layers>" CONST(DATA(
                  "0", "8")) "</layers></then_body></layer>"
                             "<layer type=\"Convolution\"><blobs><weights offset=\"8\" size=\"8\"/>"
                             "<biases offset=\"16\" size=\"8\"/></blobs></layer>")),
              &check.e);
    assert_int_equal(check.x.n, 3);
}

static void keeps_coinciding_constants_once(void **state)
{
    (void)state;
    assert_ok(run(NET(CONST(DATA("0", "8")) CONST(DATA("0", "8")) CONST(DATA("16", "8")))),
              &check.e);
    assert_int_equal(check.report.tensors, 3);
    assert_int_equal(check.x.n, 2);
    assert_status(run(NET(CONST(DATA("0", "8")) CONST(DATA("4", "8")))), EMK_E_FORMAT, &check.e);
    assert_status(run(NET(CONST(DATA("1048575", "2")))), EMK_E_FORMAT, &check.e);
}

static void leaves_text_clear(void **state)
{
    (void)state;
    assert_ok(run(NET(CONST("<data element_type=\"string\" offset=\"0\" size=\"9\"/>"))), &check.e);
    assert_int_equal(check.x.n, 0);
    assert_int_equal(check.report.clear[EMK_CLEAR_STRING], 9);
}

static void takes_odd_shapes_for_no_shape(void **state)
{
    static const char *const odd[] = {
        "a", "1,", ",1", "-1", "1.5", "1,1,1,1,1,1,1,1,1", "99999999999999999999999999"};
    char xml[600];

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        snprintf(xml, sizeof xml,
                 NET(CONST("<data offset=\"0\" size=\"4\" element_type=\"?\" shape=\"%s\"/>")),
                 odd[i]);
        assert_ok(run(xml), &check.e);
        assert_int_equal(check.v[0].rank, EMK_MODEL_RANK_MORE);
        assert_int_equal(check.v[0].dtype, EMK_DTYPE_OTHER);
    }
}

static void rejects_constants_without_a_place(void **state)
{
    (void)state;
    refuses(NET(CONST("<data offset=\"0\"/>")), EMK_E_FORMAT,
            "openvino: constant without offset and size");
    refuses(NET(CONST("<data size=\"0\"/>")), EMK_E_FORMAT,
            "openvino: constant without offset and size");
    refuses(NET(CONST(DATA("", "1"))), EMK_E_FORMAT, "openvino: number");
    refuses(NET(CONST(DATA("-1", "1"))), EMK_E_FORMAT, "openvino: number");
    refuses(NET(CONST(DATA("&#48;", "1"))), EMK_E_FORMAT, "openvino: number");
    refuses(NET(CONST(DATA("0", "12345678901234567890"))), EMK_E_FORMAT, "openvino: number");
    refuses(NET(CONST(DATA("9999999999999999999", "9999999999999999999"))), EMK_E_FORMAT,
            "model: tensor length");
    refuses(NET(CONST("<data offset=\"0\" size=\"4\" offset=\"8\"/>")), EMK_E_FORMAT,
            "openvino: attribute comes again");
}

/* What could define an entity is refused before one can be used. */
static void rejects_document_types(void **state)
{
    (void)state;
    refuses("<!DOCTYPE net [<!ENTITY a \"aaaa\">]>" NET(""), EMK_E_UNSUPPORTED,
            "openvino: document type or marked section");
    refuses(NET("<![CDATA[x]]>"), EMK_E_UNSUPPORTED, "openvino: document type or marked section");
    assert_int_equal(check.e.where, strlen("<net name=\"m\" version=\"11\"><layers><!"));
}

static void rejects_other_roots_and_versions(void **state)
{
    (void)state;
    refuses("<layers/>", EMK_E_FORMAT, "openvino: no <net>");
    refuses(NET("") NET(""), EMK_E_FORMAT, "openvino: no <net>");
    refuses("<net/>", EMK_E_FORMAT, "openvino: number");
    refuses("<net version=\"7\"/>", EMK_E_UNSUPPORTED, "openvino: version");
    refuses("<net version=\"12\"/>", EMK_E_UNSUPPORTED, "openvino: version");
    refuses("", EMK_E_FORMAT, "openvino: cut short");
    refuses("x" NET(""), EMK_E_FORMAT, "openvino: text outside the root");
    refuses(NET("") "x", EMK_E_FORMAT, "openvino: text outside the root");
    assert_ok(run("<net version=\"10\"/>"), &check.e);
}

static void rejects_tags_that_are_none(void **state)
{
    (void)state;
    refuses("<net version=\"11\"></nets>", EMK_E_FORMAT, "openvino: closing tag");
    refuses("<net version=\"11\"><a><b></a></b></net>", EMK_E_FORMAT, "openvino: closing tag");
    refuses("</net>", EMK_E_FORMAT, "openvino: closing tag");
    refuses("< net/>", EMK_E_FORMAT, "openvino: name in a tag");
    refuses("<net version=11/>", EMK_E_FORMAT, "openvino: value without quotes");
    refuses("<net version/>", EMK_E_FORMAT, "openvino: tag");
    refuses("<net version=\"11\"/ >", EMK_E_FORMAT, "openvino: tag");
    refuses("<net version=\"1<1\"/>", EMK_E_FORMAT, "openvino: value");
}

static void rejects_elements_nested_too_deep(void **state)
{
    static char xml[4096];
    size_t n = (size_t)snprintf(xml, sizeof xml, "<net version=\"11\">");

    (void)state;
    for (int i = 0; i < 64; i++)
        n += (size_t)snprintf(xml + n, sizeof xml - n, "<a>");
    refuses(xml, EMK_E_LIMIT, "openvino: elements nested too deep");
}

static void rejects_files_cut_short(void **state)
{
    static const char xml[] = "<!--c-->" NET(CONST(DATA("0", "8")));

    (void)state;
    for (size_t len = 0; len < sizeof xml - 1; len++)
        assert_int_not_equal(model_check_all(&check, EMK_MODEL_OPENVINO, emk_span_of(xml, len), 0),
                             EMK_OK);
    assert_ok(run(xml), &check.e);
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 3};

    (void)state;
    emk_image_from_span(&check.im, emk_span_str(NET(CONST(DATA("0", "8")))));
    assert_status(
        emk_model_scan(EMK_MODEL_OPENVINO, &check.im, &limits, NULL, NULL, NULL, &check.e),
        EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(emk_rule(emits_constants), emk_rule(finds_constants_in_bodies_and_blobs),
                   emk_rule(keeps_coinciding_constants_once), emk_rule(leaves_text_clear),
                   emk_rule(takes_odd_shapes_for_no_shape),
                   emk_rule(rejects_constants_without_a_place), emk_rule(rejects_document_types),
                   emk_rule(rejects_other_roots_and_versions), emk_rule(rejects_tags_that_are_none),
                   emk_rule(rejects_elements_nested_too_deep), emk_rule(rejects_files_cut_short),
                   emk_rule(spends_no_more_than_its_budget));
}
