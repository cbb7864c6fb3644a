/* The real server over loopback: seal and deliver, and downloads beside nginx.  The work is
 * bench/group_server.py's; this reads its rows. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS   11u
#define LINE_LEN 512u

static void skip(bench *b, const char *why)
{
    bench_row row = {.group = "server", .name = "all", .skipped = true};

    snprintf(row.note, sizeof row.note, "%s", why);
    bench_add(b, &row);
}

/* name, ours, unit, beside, its name, ratio, least, largest, goal, limit, note */
static void take(bench *b, char *line)
{
    static char units[BENCH_ROWS_MAX][16];
    char *f[FIELDS], *rest = line;
    bench_row row = {.group = "server"};

    line[strcspn(line, "\n")] = 0;
    for (size_t i = 0; i < FIELDS; i++)
        if (!(f[i] = strsep(&rest, "\t")))
            return;
    snprintf(row.name, sizeof row.name, "%s", f[0]);
    snprintf(units[b->n_rows], sizeof units[0], "%s", f[2]);
    row.ours = strtod(f[1], NULL);
    row.unit = units[b->n_rows];
    row.beside = strtod(f[3], NULL);
    snprintf(row.beside_name, sizeof row.beside_name, "%s", f[4]);
    row.ratio = strtod(f[5], NULL);
    row.ratio_min = strtod(f[6], NULL);
    row.ratio_max = strtod(f[7], NULL);
    if (strcmp(f[8], "at least") == 0)
        row.goal = BENCH_AT_LEAST;
    if (strcmp(f[8], "at most") == 0)
        row.goal = BENCH_AT_MOST;
    row.limit = strtod(f[9], NULL);
    snprintf(row.note, sizeof row.note, "%s", f[10]);
    bench_add(b, &row);
}

void bench_group_server(bench *b)
{
    char command[1024], line[LINE_LEN];
    size_t before = b->n_rows;
    FILE *p;

    setenv("EARMARKD", EMK_BENCH_EARMARKD, 1);
    setenv("EARMARK_MINT", EMK_BENCH_MINT, 1);
    setenv("EARMARK_LOAD", EMK_BENCH_LOAD, 1);
    snprintf(command, sizeof command,
             "python3 '%s/bench/group_server.py' --rows --rounds %u --size %llu%s", EMK_SOURCE_DIR,
             bench_rounds(b, 1), (unsigned long long)b->size, b->quick ? " --quick" : "");
    p = popen(command, "r");
    while (p && b->n_rows < BENCH_ROWS_MAX && fgets(line, sizeof line, p))
        take(b, line);
    if (!p || pclose(p) != 0 || b->n_rows == before)
        skip(b, "python3, earmarkd or nginx did not run");
}
