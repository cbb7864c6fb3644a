#include "cli/attest_case.h"

#include "cli/files.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/codec/base64.h"
#include "core/codec/base64url.h"
#include "server/attest/instant.h"
#include "server/attest/pem.h"

#include <string.h>

#define REASON_MAX 256u
#define NAME_MAX   64u

void emk_case_problem(emk_attest_case *c, const char *what, const char *detail)
{
    if (emk_case_is_good(c))
        (void)snprintf(c->problem, sizeof c->problem, "%s: %s", what, detail);
}

bool emk_case_is_good(const emk_attest_case *c)
{
    return c->problem[0] == 0;
}

bool emk_case_has(const emk_attest_case *c, const char *name)
{
    const emk_dom *node = emk_dom_get(c->node, name);

    return node && node->kind != EMK_DOM_NULL;
}

emk_simulated_mode emk_case_simulated(const emk_attest_case *c)
{
    return (emk_simulated_mode)c->run->accept->simulated;
}

void *emk_case_take(emk_attest_case *c, size_t len)
{
    void *p = emk_arena_take(&c->arena, len);

    if (!p)
        emk_case_problem(c, "no memory", "for the inputs");
    return p;
}

emk_span emk_case_text(emk_attest_case *c, const char *name)
{
    const emk_dom *node = emk_dom_get_kind(c->node, name, EMK_DOM_STRING);

    if (!node)
        emk_case_problem(c, "the case lacks the text", name);
    else if (strlen((const char *)node->text.p) != node->text.len)
        emk_case_problem(c, "U+0000 in", name);
    return node && emk_case_is_good(c) ? node->text : emk_span_str("");
}

const char *emk_case_string(emk_attest_case *c, const char *name)
{
    return (const char *)emk_case_text(c, name).p;
}

/* "x_hex" may stand as "x_b64" and the other way; gives the other name when only that is there. */
static bool other_form(const emk_attest_case *c, const char *name, const char *from, const char *to,
                       char other[NAME_MAX])
{
    size_t n = strlen(name), cut = strlen(from);

    if (emk_case_has(c, name) || n <= cut || n >= NAME_MAX || strcmp(name + n - cut, from) != 0)
        return false;
    (void)snprintf(other, NAME_MAX, "%.*s%s", (int)(n - cut), name, to);
    return emk_case_has(c, other);
}

static emk_span decode_hex(emk_attest_case *c, const char *name)
{
    emk_span text = emk_case_text(c, name);
    uint8_t *out = emk_case_take(c, text.len / 2 + 1);

    if (text.len % 2 != 0)
        emk_case_problem(c, "not hex", name);
    for (size_t i = 0; emk_case_is_good(c) && i < text.len / 2; i++) {
        int high = emk_hex_digit(text.p[2 * i]), low = emk_hex_digit(text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            emk_case_problem(c, "not hex", name);
        else
            out[i] = (uint8_t)(high << 4 | low);
    }
    return emk_case_is_good(c) ? emk_span_of(out, text.len / 2) : emk_span_str("");
}

static emk_span decode_base64(emk_attest_case *c, const char *name)
{
    emk_span text = emk_case_text(c, name);
    uint8_t *out = emk_case_take(c, text.len + 1);
    size_t len = 0;

    if (emk_case_is_good(c) && emk_base64_decode(text, out, text.len, &len, NULL) != EMK_OK &&
        emk_base64url_decode(text, out, text.len, &len, NULL) != EMK_OK)
        emk_case_problem(c, "not base64", name);
    return emk_case_is_good(c) ? emk_span_of(out, len) : emk_span_str("");
}

emk_span emk_case_hex(emk_attest_case *c, const char *name)
{
    char other[NAME_MAX];

    return other_form(c, name, "_hex", "_b64", other) ? decode_base64(c, other)
                                                      : decode_hex(c, name);
}

emk_span emk_case_base64(emk_attest_case *c, const char *name)
{
    char other[NAME_MAX];

    return other_form(c, name, "_b64", "_hex", other) ? decode_hex(c, other)
                                                      : decode_base64(c, name);
}

uint64_t emk_case_number(emk_attest_case *c, const char *name)
{
    uint64_t v = 0;

    if (!emk_dom_u64(emk_dom_get(c->node, name), &v))
        emk_case_problem(c, "the case lacks the number", name);
    return v;
}

/* Some manifests were written by Python, which puts a space and an offset of zero. */
int64_t emk_case_time(emk_attest_case *c, const char *name)
{
    emk_span text = emk_case_text(c, name);
    char iso[48];
    int64_t at = 0;
    size_t n = text.len;

    if (n >= sizeof iso)
        n = 0;
    memcpy(iso, text.p, n);
    if (n > 6 && memcmp(iso + n - 6, "+00:00", 6) == 0) {
        n -= 5;
        iso[n - 1] = 'Z';
    }
    if (n > 10 && iso[10] == ' ')
        iso[10] = 'T';
    if (emk_instant_parse(emk_span_of(iso, n), &at, NULL) != EMK_OK)
        emk_case_problem(c, "not a time", name);
    return at;
}

/* Below the manifest's folder: nobody's manifest reads elsewhere. */
static bool is_below(const char *path)
{
    size_t n = strlen(path);

    if (n == 0 || path[0] == '/' || strstr(path, "//"))
        return false;
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == 0 || p[2] == '/'))
            return false;
    }
    return true;
}

emk_span emk_case_file(emk_attest_case *c, const char *name)
{
    const char *path = emk_case_string(c, name);
    char full[EMK_CLI_PATH_MAX];
    emk_span out = emk_span_str("");
    emk_error e = {0};
    emk_buf file;
    uint8_t *p;

    if (!emk_case_is_good(c))
        return out;
    if (!is_below(path)) {
        emk_case_problem(c, "not a file beside the manifest", path);
        return out;
    }
    emk_buf_init(&file, EMK_CASE_FILE_MAX);
    if (emk_os_join(full, sizeof full, c->run->dir, path, "", &e) != EMK_OK ||
        emk_os_read_file(full, EMK_CASE_FILE_MAX, &file, &e) != EMK_OK)
        emk_case_problem(c, e.what, path);
    p = emk_case_take(c, file.len + 1);
    if (emk_case_is_good(c)) {
        if (file.len > 0)
            memcpy(p, file.p, file.len);
        out = emk_span_of(p, file.len);
    }
    emk_buf_done(&file);
    return out;
}

/* --- chains --- */

/* The first DER value of in, head included; empty when there is none. */
static emk_span first_value(emk_span in)
{
    size_t len = 0, head;

    if (in.len < 4 || in.p[0] != 0x30 || in.p[1] < 0x81 || in.p[1] > 0x82)
        return emk_span_of(NULL, 0);
    head = 2 + (in.p[1] & 0x7fu);
    for (size_t i = 2; i < head; i++)
        len = len << 8 | in.p[i];
    return len <= in.len - head ? emk_span_of(in.p, head + len) : emk_span_of(NULL, 0);
}

emk_status emk_case_read_chain(emk_span file, emk_buf *der, const emk_case_chain *out, emk_error *e)
{
    emk_span one = first_value(file);
    emk_status st = EMK_OK;

    if (one.len == 0)
        return emk_pem_read_chain(file, der, out->certs, out->max, out->n, e);
    *out->n = 0;
    while (st == EMK_OK && file.len > 0) {
        one = first_value(file);
        if (one.len == 0)
            return emk_fail(e, EMK_E_FORMAT, "manifest: not a certificate", *out->n);
        if (*out->n == out->max)
            return emk_fail(e, EMK_E_LIMIT, "manifest: certificates", out->max);
        st = emk_x509_parse(one, &out->certs[*out->n], e);
        *out->n += st == EMK_OK;
        file = emk_span_of(file.p + one.len, file.len - one.len);
    }
    return st;
}

/* --- verdicts ----------------------------------------------------------------------------------
 */

typedef enum claim { CLAIM_UNKNOWN, CLAIM_GOOD, CLAIM_BAD, CLAIM_NONE } claim;

/* The first word; a reason may follow it. */
static claim claim_of(emk_span want)
{
    static const struct {
        const char *word;
        claim claim;
    } WORDS[] = {
        {"accept", CLAIM_GOOD}, {"genuine", CLAIM_GOOD},       {"pass", CLAIM_GOOD},
        {"equal", CLAIM_GOOD},  {"reject", CLAIM_BAD},         {"fail", CLAIM_BAD},
        {"either", CLAIM_NONE}, {"nonce_unknown", CLAIM_NONE}, {"client_data_unknown", CLAIM_NONE},
    };
    size_t n = 0;

    while (n < want.len && ((want.p[n] >= 'a' && want.p[n] <= 'z') || want.p[n] == '_'))
        n++;
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (emk_span_equal(emk_span_of(want.p, n), emk_span_str(WORDS[i].word)))
            return WORDS[i].claim;
    return CLAIM_UNKNOWN;
}

/* Nobody knows what the evidence was made over, so nothing can be claimed of it. */
static bool is_unknown(const emk_attest_case *c)
{
    static const char *const NAMES[] = {"nonce_unknown", "client_data_unknown",
                                        "challenge_unknown"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        const emk_dom *x = emk_dom_get_kind(c->node, NAMES[i], EMK_DOM_BOOL);

        if (x && x->truth)
            return true;
    }
    return false;
}

/* Whether a status says something about the evidence. */
static bool is_verdict(emk_status st)
{
    switch (st) {
    case EMK_E_USAGE:
    case EMK_E_NO_MEMORY:
    case EMK_E_IO:
    case EMK_E_NOT_FOUND:
    case EMK_E_BUSY:
    case EMK_E_CRYPTO:
        return false;
    default:
        return true;
    }
}

static void print(emk_attest_case *c, const char *name, emk_span want, const char *got,
                  const char *reason, bool agrees)
{
    emk_cli_out *o = &c->run->cli->out;

    if (!o->json) {
        emk_cli_say(o, "%s %s [%s] expected %.*s got %s%s%s", agrees ? "ok  " : "FAIL", c->id, name,
                    (int)(want.len < 64 ? want.len : 64), (const char *)want.p, got,
                    reason[0] ? ": " : "", reason);
        return;
    }
    emk_cli_begin(o, NULL);
    emk_cli_put_string(o, "id", c->id);
    emk_cli_put_string(o, "verdict", name);
    emk_cli_put_text(o, "expected", want);
    emk_cli_put_string(o, "got", got);
    emk_cli_put_string(o, "reason", reason);
    emk_cli_put_bool(o, "agrees", agrees);
    emk_cli_end(o);
}

void emk_case_verdict(emk_attest_case *c, const char *name, emk_status st, const emk_error *e)
{
    const emk_dom *node = emk_dom_get_kind(c->node, name, EMK_DOM_STRING);
    emk_span want = node ? node->text : emk_span_str("");
    claim claimed = is_unknown(c) ? CLAIM_NONE : claim_of(want);
    const char *got = st == EMK_OK ? "accept" : "reject";
    char reason[REASON_MAX] = "";
    bool agrees = claimed == (st == EMK_OK ? CLAIM_GOOD : CLAIM_BAD);

    if (st != EMK_OK)
        (void)snprintf(reason, sizeof reason, "%s: %s", emk_status_name(st), e->what);
    if (claimed == CLAIM_UNKNOWN)
        emk_case_problem(c, "no verdict that is known in", name);
    if (!emk_case_is_good(c))
        (void)snprintf(reason, sizeof reason, "%s", c->problem);
    if (!emk_case_is_good(c) || !is_verdict(st)) {
        got = "error";
        agrees = false;
        c->run->n_errors += claimed != CLAIM_NONE;
    }
    agrees = agrees || claimed == CLAIM_NONE;
    c->run->n_unclaimed += claimed == CLAIM_NONE;
    c->run->n_differ += !agrees;
    c->run->n_verdicts++;
    c->n_reported++;
    print(c, name, want, got, reason, agrees);
}
