#include "server/places/asn_list.h"

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/base/os_file.h"

#include <stdlib.h>
#include <string.h>

#define DECIMAL 10u

uint32_t emk_asn_parse(emk_span text, bool prefixed)
{
    bool has = text.len >= 2 && text.p[0] == 'A' && text.p[1] == 'S';
    uint64_t v = 0;

    if (prefixed && !has)
        return 0;
    for (size_t i = has ? 2 : 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || v > UINT32_MAX)
            return 0;
        v = v * DECIMAL + (uint64_t)(text.p[i] - '0');
    }
    return v <= UINT32_MAX ? (uint32_t)v : 0;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == ',' || c == ';';
}

/* The first word of what is up to the end of the line; *at goes behind that. */
static emk_span take_line(emk_span text, size_t *at)
{
    const uint8_t *end = memchr(text.p + *at, '\n', text.len - *at);
    emk_span word = emk_span_of(text.p + *at, 0);
    size_t n = end ? (size_t)(end - word.p) : text.len - *at;

    while (word.len < n && !is_space(word.p[word.len]))
        word.len++;
    *at += n + (end != NULL);
    return word;
}

static emk_status take_numbers(emk_span text, emk_asn_list *l, emk_error *e)
{
    uint64_t line = 0;

    for (size_t at = 0; at < text.len;) {
        emk_span word = take_line(text, &at);
        uint32_t number = emk_asn_parse(word, false);

        line++;
        if (word.len == 0 || word.p[0] == '#')
            continue;
        if (number == 0)
            return emk_fail(e, EMK_E_FORMAT, "places: not the number of a system", line);
        if (l->n == EMK_ASN_LIST_MAX)
            return emk_fail(e, EMK_E_LIMIT, "places: too many numbers of systems", line);
        l->numbers[l->n++] = number;
    }
    return l->n > 0 ? EMK_OK : emk_fail(e, EMK_E_FORMAT, "places: no number of a system", line);
}

emk_status emk_asn_list_parse(emk_span text, emk_asn_list *out, emk_error *e)
{
    emk_asn_list l = {.numbers = emk_alloc(EMK_ASN_LIST_MAX, sizeof *l.numbers)};
    emk_status st;

    if (!l.numbers)
        return emk_fail(e, EMK_E_NO_MEMORY, "places: memory", EMK_ASN_LIST_MAX);
    st = take_numbers(text, &l, e);
    if (st != EMK_OK) {
        emk_asn_list_done(&l);
        return st;
    }
    qsort(l.numbers, l.n, sizeof *l.numbers, by_number);
    *out = l;
    return EMK_OK;
}

static emk_status written_of(const char *path, uint64_t *out, emk_error *e)
{
    emk_os_stamp stamp = {0};
    int fd = -1;
    emk_status st = emk_os_open_read(path, &fd, e);

    if (st == EMK_OK)
        st = emk_os_file_stamp(fd, &stamp, e);
    if (st == EMK_OK)
        *out = stamp.mtime_s > 0 ? (uint64_t)stamp.mtime_s : 1;
    emk_os_close(fd);
    return st;
}

emk_status emk_asn_list_open(const char *path, emk_asn_list *out, emk_error *e)
{
    uint64_t written = 0;
    emk_buf text;
    emk_status st = written_of(path, &written, e);

    emk_buf_init(&text, EMK_ASN_LIST_FILE_MAX);
    if (st == EMK_OK)
        st = emk_os_read_file(path, EMK_ASN_LIST_FILE_MAX, &text, e);
    if (st == EMK_OK)
        st = emk_asn_list_parse(emk_buf_span(&text), out, e);
    if (st == EMK_OK)
        out->written = written;
    emk_buf_done(&text);
    return st;
}

void emk_asn_list_done(emk_asn_list *l)
{
    emk_free(l->numbers);
    *l = (emk_asn_list){0};
}

bool emk_asn_list_has(const emk_asn_list *l, uint32_t number)
{
    return l->n > 0 && bsearch(&number, l->numbers, l->n, sizeof number, by_number) != NULL;
}
