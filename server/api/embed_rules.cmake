# cmake -DIN=base.yaml -DOUT=base_rules.c -P embed_rules.cmake
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)"
       "\\1\n    " bytes "${bytes}")
file(WRITE ${OUT}
"#include \"server/api/fraud_engine.h\"

static const uint8_t RULES[] = {
    ${bytes}
};

emk_span emk_fraud_base_rules(void)
{
    return emk_span_of(RULES, sizeof RULES);
}
")
