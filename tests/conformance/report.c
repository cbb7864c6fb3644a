#include "tests/conformance/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const outcome_names[EMK_OUTCOMES] = {"passed", "failed", "skipped"};

/* Vector files are hostile: no control characters to a terminal, nothing but ASCII. */
static void print_plain(const char *s)
{
    for (; *s; s++)
        putchar(*s >= ' ' && *s <= '~' ? *s : '?');
}

static void print_json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putchar('\\');
        putchar(*s >= ' ' && *s <= '~' ? *s : '?');
    }
    putchar('"');
}

static void print_json_counts(const uint64_t n[EMK_OUTCOMES])
{
    for (int i = 0; i < EMK_OUTCOMES; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", outcome_names[i], n[i]);
}

static void print_counts(const uint64_t n[EMK_OUTCOMES])
{
    printf("%" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped\n", n[EMK_PASSED],
           n[EMK_FAILED], n[EMK_SKIPPED]);
}

void emk_report_begin(emk_report *r)
{
    if (r->json)
        printf("{\"files\": [");
}

void emk_report_end(const emk_report *r)
{
    if (!r->json) {
        print_counts(r->total);
        return;
    }
    printf("%s], ", r->n_files ? "\n" : "");
    print_json_counts(r->total);
    printf(", \"malformed\": %zu}\n", r->n_malformed);
}

int emk_report_exit_code(const emk_report *r)
{
    if (r->total[EMK_FAILED] > 0)
        return 1;
    return r->n_malformed > 0 ? 2 : 0;
}

void emk_report_begin_file(emk_report *r, const char *path, const char *format)
{
    memset(r->here, 0, sizeof r->here);
    r->n_reasons = 0;
    r->n_listed = 0;
    r->malformed[0] = '\0';
    if (r->json) {
        printf("%s\n{\"path\": ", r->n_files ? "," : "");
        print_json_string(path);
        printf(", \"format\": ");
        print_json_string(format);
        printf(", \"tests\": [");
    } else {
        print_plain(path);
        printf(": %s\n", format);
    }
    r->n_files++;
}

void emk_report_malformed(emk_report *r, const char *why)
{
    if (r->malformed[0])
        return;
    snprintf(r->malformed, sizeof r->malformed, "%s", why);
    r->n_malformed++;
}

static void count_reason(emk_report *r, const char *why)
{
    size_t i = 0;

    while (i < r->n_reasons && strcmp(r->reasons[i].text, why) != 0)
        i++;
    if (i == EMK_REPORT_REASONS_MAX) { /* the last one stands for all that follow */
        i--;
        snprintf(r->reasons[i].text, sizeof r->reasons[i].text, "other reasons");
    } else if (i == r->n_reasons) {
        r->n_reasons++;
        snprintf(r->reasons[i].text, sizeof r->reasons[i].text, "%s", why);
        r->reasons[i].n = 0;
    }
    r->reasons[i].n++;
}

static void list_test(emk_report *r, const char *id, emk_outcome outcome, const char *detail)
{
    static const char *const words[EMK_OUTCOMES] = {"pass", "FAIL", "skip"};

    if (r->json) {
        printf("%s{\"id\": ", r->n_listed ? ", " : "");
        print_json_string(id);
        printf(", \"outcome\": \"%s\", \"detail\": ", outcome_names[outcome]);
        print_json_string(detail);
        putchar('}');
    } else {
        printf("  %s ", words[outcome]);
        print_plain(id);
        printf("%s", detail[0] ? ": " : "");
        print_plain(detail);
        putchar('\n');
    }
    r->n_listed++;
}

void emk_report_test(emk_report *r, const char *id, emk_outcome outcome, const char *detail)
{
    r->here[outcome]++;
    r->total[outcome]++;
    if (outcome == EMK_SKIPPED)
        count_reason(r, detail);
    if (outcome == EMK_FAILED || r->verbose)
        list_test(r, id, outcome, detail);
}

static void end_file_json(const emk_report *r)
{
    printf("], ");
    print_json_counts(r->here);
    printf(", \"malformed\": ");
    print_json_string(r->malformed);
    printf(", \"skips\": [");
    for (size_t i = 0; i < r->n_reasons; i++) {
        printf("%s{\"reason\": ", i ? ", " : "");
        print_json_string(r->reasons[i].text);
        printf(", \"count\": %" PRIu64 "}", r->reasons[i].n);
    }
    printf("]}");
}

void emk_report_end_file(emk_report *r)
{
    if (r->json) {
        end_file_json(r);
        return;
    }
    if (r->malformed[0]) {
        printf("  MALFORMED ");
        print_plain(r->malformed);
        putchar('\n');
    }
    printf("  ");
    print_counts(r->here);
    for (size_t i = 0; i < r->n_reasons; i++) {
        printf("  %" PRIu64 " skipped: ", r->reasons[i].n);
        print_plain(r->reasons[i].text);
        putchar('\n');
    }
}
