#include "core/base/os_file.h"
#include "server/attest/pem.h"
#include "tests/attest/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FILE_MAX ((size_t)1 << 20)

void run_die(const char *what, const char *detail)
{
    fprintf(stderr, "emk-attest-manifest: %s: %s\n", what, detail);
    exit(2);
}

emk_span run_text(const emk_dom *test, const char *name)
{
    const emk_dom *node = emk_dom_get_kind(test, name, EMK_DOM_STRING);

    if (!node)
        run_die("a case lacks", name);
    return node->text;
}

static int hex_digit(uint8_t ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

emk_span run_hex(const emk_dom *test, const char *name, uint8_t *out, size_t cap)
{
    emk_span text = run_text(test, name);

    if (text.len % 2 != 0 || text.len / 2 > cap)
        run_die("not hex of a fitting length", name);
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            run_die("not hex", name);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return emk_span_of(out, text.len / 2);
}

emk_span run_base64(const emk_dom *test, const char *name, uint8_t *out, size_t cap)
{
    size_t len = 0;

    if (emk_base64_decode(run_text(test, name), out, cap, &len, NULL) != EMK_OK)
        run_die("not base64", name);
    return emk_span_of(out, len);
}

uint64_t run_number(const emk_dom *test, const char *name)
{
    uint64_t v = 0;

    if (!emk_dom_u64(emk_dom_get(test, name), &v))
        run_die("a case lacks the number", name);
    return v;
}

int64_t run_time(const emk_dom *test, const char *name)
{
    struct tm tm = {0};
    const char *text = (const char *)run_text(test, name).p, *end;

    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        run_die("not a time", text);
    return timegm(&tm);
}

void run_file(const emk_run *r, const emk_dom *test, const char *name, emk_buf *out)
{
    char path[4096];
    emk_error e;

    if (emk_os_join(path, sizeof path, r->dir, (const char *)run_text(test, name).p, "", &e) !=
            EMK_OK ||
        emk_os_read_file(path, FILE_MAX, out, &e) != EMK_OK)
        run_die("cannot read", path);
}

void run_report(emk_run *r, const emk_dom *test, const char *name, emk_status st,
                const emk_error *e)
{
    const char *id = (const char *)run_text(test, "id").p;
    const char *want = (const char *)run_text(test, name).p;
    const char *got = st == EMK_OK ? "accept" : "reject";
    size_t n = strcspn(want, " "); /* a verdict may have its reason behind it */
    bool same = strcmp(want, "either") == 0 || (n == strlen(got) && strncmp(want, got, n) == 0) ||
                (strcmp(want, "equal") == 0 && st == EMK_OK);

    if (st == EMK_E_USAGE || st == EMK_E_CRYPTO || st == EMK_E_NO_MEMORY || st == EMK_E_IO)
        same = false; /* no verdict on the evidence */
    r->n_run++;
    r->n_failed += !same;
    printf("%s %s [%s] expected %s got %s", same ? "ok  " : "FAIL", id, name, want, got);
    if (st != EMK_OK)
        printf(" (%s: %s, %llu)", emk_status_name(st), e->what, (unsigned long long)e->where);
    printf("\n");
}
