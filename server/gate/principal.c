#include "server/gate/principal.h"

const char *emk_principal_kind_name(emk_principal_kind kind)
{
    switch (kind) {
    case EMK_PRINCIPAL_ANYONE:
        return "anyone";
    case EMK_PRINCIPAL_USER:
        return "user";
    case EMK_PRINCIPAL_DEVICE:
        return "device";
    case EMK_PRINCIPAL_DEVICE_USER:
        return "device+user";
    case EMK_PRINCIPAL_SERVICE:
        return "service";
    case EMK_PRINCIPAL_OPERATOR:
        return "operator";
    }
    return "nobody";
}

static const struct {
    emk_scope bit;
    const char *name;
} scopes[] = {
    {EMK_SCOPE_SEAL, "seal"},   {EMK_SCOPE_PUBLISH, "publish"},     {EMK_SCOPE_EVENTS, "events"},
    {EMK_SCOPE_READ, "read"},   {EMK_SCOPE_MODERATE, "moderate"},   {EMK_SCOPE_RULES, "rules"},
    {EMK_SCOPE_AUDIT, "audit"}, {EMK_SCOPE_OPERATORS, "operators"}, {EMK_SCOPE_ERASE, "erase"},
};
#define N_SCOPES (sizeof scopes / sizeof scopes[0])

const char *emk_scope_name(emk_scope one)
{
    for (size_t i = 0; i < N_SCOPES; i++)
        if (scopes[i].bit == one)
            return scopes[i].name;
    return NULL;
}

static uint64_t scope_of(emk_span word)
{
    for (size_t i = 0; i < N_SCOPES; i++)
        if (emk_span_equal(word, emk_span_str(scopes[i].name)))
            return scopes[i].bit;
    return 0;
}

emk_status emk_scopes_parse(emk_span text, uint64_t *out, emk_error *e)
{
    uint64_t bits = 0;
    size_t pos = 0;

    while (pos < text.len) {
        size_t begin = pos;
        uint64_t bit;

        while (pos < text.len && text.p[pos] != ' ')
            pos++;
        bit = scope_of(emk_span_of(text.p + begin, pos - begin));
        if (bit == 0)
            return emk_fail(e, EMK_E_FORMAT, "scopes: no such scope", begin);
        bits |= bit;
        pos++;
    }
    *out = bits;
    return EMK_OK;
}
