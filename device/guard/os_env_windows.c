/* What of env.h Windows has use for: there is no /proc here, and files are descriptors of the C
 * runtime's. */
#include "device/guard/env.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define NS_IN_TICK 100u
#define NS_IN_MS   1000000u

emk_status emk_env_open(const emk_env *env, const char *path, int *fd, emk_error *e)
{
    char full[EMK_ENV_PATH_MAX];
    const int n = snprintf(full, sizeof full, "%s%s", env->root, path);
    int opened;

    if (n < 0 || (size_t)n >= sizeof full)
        return emk_fail(e, EMK_E_LIMIT, "guard: path", strlen(path));
    opened = _open(full, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
    if (opened < 0)
        return emk_fail(e, EMK_E_IO, "guard: open", (uint64_t)errno);
    *fd = opened;
    return EMK_OK;
}

emk_status emk_env_read(int fd, void *out, size_t cap, size_t *n, emk_error *e)
{
    const int got = _read(fd, out, cap > INT32_MAX ? INT32_MAX : (unsigned)cap);

    if (got < 0)
        return emk_fail(e, EMK_E_IO, "guard: read", (uint64_t)errno);
    *n = (size_t)got;
    return EMK_OK;
}

bool emk_env_exists(const emk_env *env, const char *path)
{
    char full[EMK_ENV_PATH_MAX];
    const int n = snprintf(full, sizeof full, "%s%s", env->root, path);

    return n > 0 && (size_t)n < sizeof full && GetFileAttributesA(full) != INVALID_FILE_ATTRIBUTES;
}

static uint64_t ticks_of(FILETIME t)
{
    return (uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime;
}

/* In steps of the scheduler's tick: deadlines are met later here than elsewhere. */
uint64_t emk_env_cpu_ns(void)
{
    FILETIME made, ended, kernel = {0, 0}, user = {0, 0};

    if (!GetThreadTimes(GetCurrentThread(), &made, &ended, &kernel, &user))
        return 0;
    return (ticks_of(kernel) + ticks_of(user)) * NS_IN_TICK;
}

uint64_t emk_env_boot_ns(void)
{
    return (uint64_t)GetTickCount64() * NS_IN_MS;
}

bool emk_env_is_late(const emk_env *env)
{
    return env->deadline_ns != 0 && emk_env_cpu_ns() > env->deadline_ns;
}
