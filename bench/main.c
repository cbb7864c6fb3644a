#include "bench/bench.h"
#include "bench/workdir.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_DEFAULT (UINT64_C(1) << 30)
#define SIZE_QUICK   (UINT64_C(128) << 20)
#define SIZE_MIN     (UINT64_C(64) << 20)
#define SIZE_MAX_    (UINT64_C(64) << 30)

/* In the order in which they run: peak first, while this process is still small, because a
 * child begins with its parent's peak. */
static const struct group {
    const char *name;
    void (*fn)(bench *b);
    const char *what;
} GROUPS[] = {
    {"peak", bench_group_peak, "memory that seal, accept and open need"},
    {"overhead", bench_group_overhead, "how much longer a sealed model is"},
    {"memory", bench_group_memory, "the layers beside AES-256-GCM alone, one thread"},
    {"model", bench_group_model, "finding a model's weights, beside sealing it"},
    {"envelope", bench_group_envelope, "headers and envelopes beside their primitives"},
    {"files", bench_group_files, "seal, accept and open beside age and plain reading"},
    {"store", bench_group_store, "the audit log and the records of the server"},
    {"gate", bench_group_gate, "checking a signed request beside one verification"},
    {"attest", bench_group_attest, "device attestation verified on one core"},
    {"guard", bench_group_guard, "the guard: a round, a probe, its thread"},
    {"device", bench_group_device, "a device's open and accept, also with keys in a TPM"},
#ifdef EMK_BENCH_FRAUD
    {"fraud", bench_group_fraud, "the fraud engine: decisions, replay, memory, restart"},
#endif
#ifdef EMK_BENCH_SERVER
    {"server", bench_group_server, "the server: seal and deliver, downloads beside nginx"},
#endif
};
#define N_GROUPS (sizeof GROUPS / sizeof GROUPS[0])

static void help(void)
{
    printf("usage: earmark-bench [options]\n\n"
           "What sealing, accepting and opening cost beside the plain operation, measured in\n"
           "turn on this machine.  It is no test: the exit status is 0 whatever was measured.\n\n"
           "  --quick       3 rounds and 128 MiB: a first look\n"
           "  --rounds N    how often each is measured, 1..101 (5); what is short, more often\n"
           "  --size BYTES  length of the big model (1 GiB); five files of it are made\n"
           "  --only GROUP  one group\n"
           "  --json FILE   where the results go as JSON (build/bench.json)\n"
           "  --dir DIR     where files are made (/dev/shm where it has room, else $TMPDIR)\n"
           "  --help\n\ngroups:\n");
    for (size_t i = 0; i < N_GROUPS; i++)
        printf("  %-12s  %s\n", GROUPS[i].name, GROUPS[i].what);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max, const char *option)
{
    unsigned long long v;
    char *end;

    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno || *end || end == text || text[0] == '-' || v < min || v > max) {
        fprintf(stderr, "earmark-bench: --%s takes a number from %llu to %llu\n", option,
                (unsigned long long)min, (unsigned long long)max);
        exit(2);
    }
    return v;
}

static void check_group(const char *name)
{
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (strcmp(GROUPS[i].name, name) == 0)
            return;
    }
    fprintf(stderr, "earmark-bench: no group is called %s (--help lists them)\n", name);
    exit(2);
}

static void take_option(bench *b, int option)
{
    switch (option) {
    case 'q':
        b->quick = true;
        break;
    case 'r':
        b->rounds = (unsigned)number(optarg, 1, BENCH_ROUNDS_MAX, "rounds");
        break;
    case 's':
        b->size = number(optarg, SIZE_MIN, SIZE_MAX_, "size");
        break;
    case 'o':
        check_group(optarg);
        b->only = optarg;
        break;
    case 'j':
        b->json = optarg;
        break;
    case 'd':
        b->dir = optarg;
        break;
    case 'h':
        help();
        exit(0);
    default:
        exit(2);
    }
}

static void parse(bench *b, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"quick", no_argument, NULL, 'q'},      {"rounds", required_argument, NULL, 'r'},
        {"size", required_argument, NULL, 's'}, {"only", required_argument, NULL, 'o'},
        {"json", required_argument, NULL, 'j'}, {"dir", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1)
        take_option(b, option);
    if (optind < argc) {
        fprintf(stderr, "earmark-bench: what is %s? (--help)\n", argv[optind]);
        exit(2);
    }
    if (!b->rounds)
        b->rounds = b->quick ? 3 : 5;
    if (!b->size)
        b->size = b->quick ? SIZE_QUICK : SIZE_DEFAULT;
    if (!b->json)
        b->json = "build/bench.json";
}

int main(int argc, char **argv)
{
    static bench b;

    parse(&b, argc, argv);
    bench_workdir_open(&b);
    bench_print_head(&b);
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!b.only || strcmp(b.only, GROUPS[i].name) == 0)
            GROUPS[i].fn(&b);
    }
    bench_print_sum(&b);
    bench_write_json(&b);
    return 0;
}
