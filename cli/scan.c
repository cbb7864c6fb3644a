#include "cli/scan.h"

#include <string.h>

void emk_cli_scan_word(emk_cli_scan *s, const char *word)
{
    const size_t len = strlen(word);

    if (s->bad || strncmp(s->p, word, len) != 0)
        s->bad = true;
    else
        s->p += len;
}

uint64_t emk_cli_scan_number(emk_cli_scan *s)
{
    const char *start = s->p;
    uint64_t v = 0;

    while (!s->bad && *s->p >= '0' && *s->p <= '9') {
        const uint64_t digit = (uint64_t)(*s->p - '0');

        if (v > (UINT64_MAX - digit) / 10)
            s->bad = true;
        v = v * 10 + digit;
        s->p++;
    }
    if (s->p == start)
        s->bad = true;
    return s->bad ? 0 : v;
}

void emk_cli_scan_text(emk_cli_scan *s, char *out, size_t cap)
{
    size_t n = 0;

    while (!s->bad && s->p[n] > ' ' && s->p[n] <= '~')
        n++;
    if (n == 0 || n >= cap) {
        s->bad = true;
        out[0] = 0;
        return;
    }
    memcpy(out, s->p, n);
    out[n] = 0;
    s->p += n;
}
