/* What of env.h Apple's systems have use for: there is no /proc here. */
#include "device/guard/darwin.h"
#include "device/guard/env.h"

#include <stdio.h>
#include <string.h>

static emk_status full_path(const emk_env *env, const char *path, char out[EMK_ENV_PATH_MAX],
                            emk_error *e)
{
    const int n = snprintf(out, EMK_ENV_PATH_MAX, "%s%s", env->root, path);

    if (n < 0 || (size_t)n >= EMK_ENV_PATH_MAX)
        return emk_fail(e, EMK_E_LIMIT, "guard: path", strlen(path));
    return EMK_OK;
}

emk_status emk_env_open(const emk_env *env, const char *path, int *fd, emk_error *e)
{
    char full[EMK_ENV_PATH_MAX];
    emk_status st = full_path(env, path, full, e);
    int opened;

    if (st != EMK_OK)
        return st;
    opened = open(full, EMK_DARWIN_O_RDONLY | EMK_DARWIN_O_CLOEXEC | EMK_DARWIN_O_NONBLOCK |
                            EMK_DARWIN_O_NOCTTY);
    if (opened < 0)
        return emk_fail(e, EMK_E_IO, "guard: open", (uint64_t)*__error());
    *fd = opened;
    return EMK_OK;
}

emk_status emk_env_read(int fd, void *out, size_t cap, size_t *n, emk_error *e)
{
    long got;

    do
        got = read(fd, out, cap);
    while (got < 0 && *__error() == EMK_DARWIN_EINTR);
    if (got < 0)
        return emk_fail(e, EMK_E_IO, "guard: read", (uint64_t)*__error());
    *n = (size_t)got;
    return EMK_OK;
}

bool emk_env_exists(const emk_env *env, const char *path)
{
    char full[EMK_ENV_PATH_MAX];

    return full_path(env, path, full, NULL) == EMK_OK && access(full, 0) == 0;
}

uint64_t emk_env_cpu_ns(void)
{
    return clock_gettime_nsec_np(EMK_DARWIN_CLOCK_THREAD_CPUTIME);
}

uint64_t emk_env_boot_ns(void)
{
    return clock_gettime_nsec_np(EMK_DARWIN_CLOCK_MONOTONIC_RAW);
}

bool emk_env_is_late(const emk_env *env)
{
    return env->deadline_ns != 0 && emk_env_cpu_ns() > env->deadline_ns;
}
