#include "bench/bench.h"

#include "core/base/os_parallel.h"
#include "core/crypto/crypto.h"

#include <stdio.h>
#include <string.h>

static bool reached(const bench_row *row)
{
    double v = row->ratio > 0 ? row->ratio : row->ours;

    return row->goal == BENCH_AT_LEAST ? v >= row->limit : v <= row->limit;
}

static const char *verdict(const bench_row *row)
{
    if (row->skipped)
        return "skipped";
    if (row->goal == BENCH_NO_GOAL)
        return "";
    return reached(row) ? "yes" : "NO";
}

void bench_print_head(const bench *b)
{
    printf("earmark-bench: %u rounds, %s, %u processors\n", b->rounds, emk_crypto_version(),
           emk_os_processors());
    printf("a ratio is ours to the baseline, median (smallest .. largest) of the rounds\n\n");
    printf("%-9s %-42s %15s   %-33s %-25s %-13s %-8s %s\n", "group", "what", "ours", "beside",
           "ratio", "cpu seconds", "goal", "reached");
}

static void print_figure(char *out, size_t cap, double v, const char *unit)
{
    snprintf(out, cap, v >= 1000 ? "%.0f %s" : v >= 10 ? "%.1f %s" : "%.3f %s", v, unit);
}

static void print_row(const bench_row *r)
{
    char ours[32] = "", beside[96] = "", ratio[48] = "", goal[24] = "", cpu[32] = "", value[32];

    if (!r->skipped)
        print_figure(ours, sizeof ours, r->ours, r->unit);
    if (r->beside > 0) {
        print_figure(value, sizeof value, r->beside, r->unit);
        snprintf(beside, sizeof beside, "%s %s", r->beside_name, value);
    }
    if (r->ratio > 0)
        snprintf(ratio, sizeof ratio,
                 r->ratio < 0.1 ? "%.4f (%.4f .. %.4f)" : "%.2f (%.2f .. %.2f)", r->ratio,
                 r->ratio_min, r->ratio_max);
    if (r->goal != BENCH_NO_GOAL)
        snprintf(goal, sizeof goal, "%s %g", r->goal == BENCH_AT_LEAST ? ">=" : "<=", r->limit);
    if (r->beside_cpu > 0)
        snprintf(cpu, sizeof cpu, "%.2f / %.2f", r->cpu, r->beside_cpu);
    else if (r->cpu > 0)
        snprintf(cpu, sizeof cpu, "%.2f", r->cpu);
    printf("%-9s %-42s %15s   %-33s %-25s %-13s %-8s %-8s %s\n", r->group, r->name, ours, beside,
           ratio, cpu, goal, verdict(r), r->note);
    fflush(stdout);
}

void bench_add(bench *b, const bench_row *row)
{
    if (b->n_rows == BENCH_ROWS_MAX)
        bench_die("too many rows", NULL);
    b->rows[b->n_rows++] = *row;
    print_row(row);
}

void bench_print_sum(const bench *b)
{
    unsigned goals = 0, met = 0;

    for (size_t i = 0; i < b->n_rows; i++) {
        if (b->rows[i].goal == BENCH_NO_GOAL || b->rows[i].skipped)
            continue;
        goals++;
        met += reached(&b->rows[i]) ? 1u : 0u;
    }
    printf("\n%u of %u goals reached\n", met, goals);
}

/* Names of files may hold anything. */
static void json_text(FILE *f, const char *key, const char *text)
{
    fprintf(f, "\"%s\": \"", key);
    for (; *text; text++) {
        unsigned char ch = (unsigned char)*text;

        if (ch == '"' || ch == '\\')
            fprintf(f, "\\%c", ch);
        else if (ch < 0x20)
            fprintf(f, "\\u%04x", ch);
        else
            fputc(ch, f);
    }
    fputc('"', f);
}

static void json_row(FILE *f, const bench_row *r)
{
    fprintf(f, "    {");
    json_text(f, "group", r->group);
    fprintf(f, ", ");
    json_text(f, "name", r->name);
    if (!r->skipped) {
        fprintf(f, ", \"value\": %.6g, ", r->ours);
        json_text(f, "unit", r->unit);
    }
    if (r->beside > 0) {
        fprintf(f, ", \"baseline\": %.6g, ", r->beside);
        json_text(f, "baseline_name", r->beside_name);
    }
    if (r->ratio > 0)
        fprintf(f, ", \"ratio\": %.4g, \"ratio_min\": %.4g, \"ratio_max\": %.4g", r->ratio,
                r->ratio_min, r->ratio_max);
    if (r->cpu > 0)
        fprintf(f, ", \"cpu_s\": %.4f", r->cpu);
    if (r->beside_cpu > 0)
        fprintf(f, ", \"baseline_cpu_s\": %.4f", r->beside_cpu);
    if (r->goal != BENCH_NO_GOAL)
        fprintf(f, ", \"goal\": \"%s %g\"", r->goal == BENCH_AT_LEAST ? ">=" : "<=", r->limit);
    if (r->goal != BENCH_NO_GOAL && !r->skipped)
        fprintf(f, ", \"reached\": %s", reached(r) ? "true" : "false");
    if (r->skipped)
        fprintf(f, ", \"skipped\": true");
    if (r->note[0]) {
        fprintf(f, ", ");
        json_text(f, "note", r->note);
    }
    fprintf(f, "}");
}

void bench_write_json(const bench *b)
{
    FILE *f = fopen(b->json, "w");

    if (!f)
        bench_die("cannot write the JSON file (--json FILE)", NULL);
    fprintf(f, "{\n  \"rounds\": %u,\n  \"quick\": %s,\n  \"size\": %llu,\n", b->rounds,
            b->quick ? "true" : "false", (unsigned long long)b->size);
    fprintf(f, "  \"processors\": %u,\n  ", emk_os_processors());
    json_text(f, "libcrypto", emk_crypto_version());
    fprintf(f, ",\n  \"results\": [\n");
    for (size_t i = 0; i < b->n_rows; i++) {
        json_row(f, &b->rows[i]);
        fprintf(f, "%s\n", i + 1 < b->n_rows ? "," : "");
    }
    fprintf(f, "  ]\n}\n");
    if (fclose(f) != 0)
        bench_die("cannot write the JSON file (--json FILE)", NULL);
}
