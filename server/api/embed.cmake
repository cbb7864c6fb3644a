# cmake -DIN=openapi.json -DOUT=openapi.c -P embed.cmake
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)"
       "\\1\n    " bytes "${bytes}")
file(WRITE ${OUT}
"#include \"server/api/api.h\"

static const uint8_t DOCUMENT[] = {
    ${bytes}
};

emk_span emk_openapi_document(void)
{
    return emk_span_of(DOCUMENT, sizeof DOCUMENT);
}
")
