#include "server/attest/pem.h"

#define LINE_MAX_CHARS 76u

static const char BEGIN[] = "-----BEGIN CERTIFICATE-----";
static const char END[] = "-----END CERTIFICATE-----";
static const char ANY_BEGIN[] = "-----BEGIN ";

/* The next line without its end; false when there is none. */
static bool next_line(emk_span *rest, emk_span *line)
{
    size_t n = 0;

    if (rest->len == 0)
        return false;
    while (n < rest->len && rest->p[n] != '\n')
        n++;
    *line = emk_span_of(rest->p, n);
    n += n < rest->len;
    *rest = emk_span_of(rest->p + n, rest->len - n);
    if (line->len > 0 && line->p[line->len - 1] == '\r')
        line->len--;
    return true;
}

static bool starts_with(emk_span line, const char *text)
{
    return line.len >= strlen(text) && memcmp(line.p, text, strlen(text)) == 0;
}

/* The lines up to END, decoded and appended.  Each is whole groups of four, as every tool
 * writes them, so that a line can be decoded alone. */
static emk_status read_block(emk_span *rest, emk_buf *der, emk_error *e)
{
    uint8_t bytes[LINE_MAX_CHARS / 4 * 3];
    emk_span line;
    bool padded = false;
    size_t n;
    emk_status st;

    while (next_line(rest, &line)) {
        if (emk_span_equal(line, emk_span_str(END)))
            return EMK_OK;
        if (padded || line.len == 0 || line.len > LINE_MAX_CHARS)
            return emk_fail(e, EMK_E_FORMAT, "pem: line", line.len);
        padded = line.p[line.len - 1] == '=';
        st = emk_base64_decode(line, bytes, sizeof bytes, &n, e);
        if (st == EMK_OK)
            st = emk_buf_append(der, emk_span_of(bytes, n), e);
        if (st != EMK_OK)
            return st;
    }
    return emk_fail(e, EMK_E_FORMAT, "pem: block without an end", 0);
}

static emk_status read_blocks(emk_span text, emk_buf *der, size_t *ends, size_t cap, size_t *n,
                              emk_error *e)
{
    emk_span line;
    emk_status st;

    while (next_line(&text, &line)) {
        if (!starts_with(line, ANY_BEGIN))
            continue;
        if (!emk_span_equal(line, emk_span_str(BEGIN)))
            return emk_fail(e, EMK_E_FORMAT, "pem: not a certificate", 0);
        if (*n == cap)
            return emk_fail(e, EMK_E_LIMIT, "pem: certificates", cap);
        st = read_block(&text, der, e);
        if (st != EMK_OK)
            return st;
        ends[(*n)++] = der->len;
    }
    return *n > 0 ? EMK_OK : emk_fail(e, EMK_E_FORMAT, "pem: no certificate", 0);
}

emk_status emk_pem_read_chain(emk_span text, emk_buf *der, emk_x509 *certs, size_t cap, size_t *n,
                              emk_error *e)
{
    size_t ends[EMK_X509_CHAIN_MAX], found = 0, begin = 0;
    emk_status st;

    if (text.len > EMK_PEM_MAX)
        return emk_fail(e, EMK_E_LIMIT, "pem: text", text.len);
    if (cap > EMK_X509_CHAIN_MAX)
        cap = EMK_X509_CHAIN_MAX;
    st = read_blocks(text, der, ends, cap, &found, e);
    for (size_t i = 0; st == EMK_OK && i < found; i++) {
        st = emk_x509_parse(emk_span_of(der->p + begin, ends[i] - begin), &certs[i], e);
        begin = ends[i];
    }
    if (st == EMK_OK)
        *n = found;
    return st;
}

emk_status emk_pem_decode_all(emk_span text, emk_buf *der, emk_error *e)
{
    emk_span line;
    emk_status st;

    while (next_line(&text, &line)) {
        if (!starts_with(line, ANY_BEGIN))
            continue;
        if (!emk_span_equal(line, emk_span_str(BEGIN)))
            return emk_fail(e, EMK_E_FORMAT, "pem: not a certificate", 0);
        st = read_block(&text, der, e);
        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}
