#include "bench/raw_age.h"

#include "bench/workdir.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECIPIENT_MARK "# public key: "

extern char **environ;

static char recipient[128];

/* Runs a program silently and waits; false when it is not there or fails. */
static bool run(const char *const *args)
{
    posix_spawn_file_actions_t actions;
    char *argv[8] = {0};
    bool started;
    pid_t child;
    int status;

    for (size_t i = 0; args[i]; i++)
        memcpy(&argv[i], &args[i], sizeof argv[i]); /* posix_spawn does not change them */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    started = posix_spawnp(&child, args[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return started && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool read_recipient(void)
{
    FILE *f = fopen(bench_path(BENCH_AGE_KEY), "r");
    char line[256];
    bool found = false;

    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        if (strncmp(line, RECIPIENT_MARK, sizeof RECIPIENT_MARK - 1) != 0)
            continue;
        found = sscanf(line + sizeof RECIPIENT_MARK - 1, "%127s", recipient) == 1;
    }
    fclose(f);
    return found;
}

bool raw_age_prepare(void)
{
    const char *keygen[] = {"age-keygen", "-o", bench_path(BENCH_AGE_KEY), NULL};
    const char *version[] = {"age", "--version", NULL};

    return run(version) && run(keygen) && read_recipient();
}

double raw_age_encrypt(void)
{
    const char *args[] = {
        "age", "-e", "-r", recipient, "-o", bench_path(BENCH_AGE_SEALED), bench_path(BENCH_MODEL),
        NULL};
    double start;

    bench_remove(BENCH_AGE_SEALED);
    start = bench_now();
    if (!run(args))
        bench_die("age -e failed", NULL);
    return bench_now() - start;
}

double raw_age_decrypt(void)
{
    const char *args[] = {"age",
                          "-d",
                          "-i",
                          bench_path(BENCH_AGE_KEY),
                          "-o",
                          bench_path(BENCH_AGE_OPENED),
                          bench_path(BENCH_AGE_SEALED),
                          NULL};
    double start, seconds;

    bench_remove(BENCH_AGE_OPENED);
    start = bench_now();
    if (!run(args))
        bench_die("age -d failed", NULL);
    seconds = bench_now() - start;
    bench_remove(BENCH_AGE_OPENED);
    return seconds;
}
