#include "device/guard/apple_facts.h"
#include "device/guard/darwin.h"

#include <stdio.h>
#include <string.h>

#define MACHINE_MAX 64u

static void ask_trace(emk_darwin_facts *f)
{
    int name[] = {EMK_DARWIN_CTL_KERN, EMK_DARWIN_KERN_PROC, EMK_DARWIN_KERN_PROC_PID, getpid()};
    uint8_t info[EMK_DARWIN_KINFO_LEN + 64] = {0}; /* it may grow at its end */
    size_t len = sizeof info;
    uint32_t flags;

    f->knows_trace = sysctl(name, sizeof name / sizeof name[0], info, &len, NULL, 0) == 0 &&
                     len >= EMK_DARWIN_KINFO_LEN;
    memcpy(&flags, info + EMK_DARWIN_KINFO_FLAG_AT, sizeof flags);
    f->is_traced = f->knows_trace && (flags & EMK_DARWIN_P_TRACED) != 0;
}

/* "iPhone14,2", "iPad13,1", ...; a Mac says "arm64" or "x86_64" there, and so does a simulator. */
static bool machine_is_a_phone(void)
{
    static const char *const names[] = {"iPhone", "iPad", "iPod", "AppleTV", "Watch", "Reality"};
    char machine[MACHINE_MAX] = "";
    size_t len = sizeof machine - 1;

    if (sysctlbyname("hw.machine", machine, &len, NULL, 0) != 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(machine, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

void emk_darwin_facts_get(emk_darwin_facts *out)
{
    *out = (emk_darwin_facts){.knows_trace = false};
    ask_trace(out);
    out->knows_signature =
        csops(getpid(), EMK_DARWIN_CS_OPS_STATUS, &out->signature, sizeof out->signature) == 0;
    out->is_simulator = getenv("SIMULATOR_UDID") != NULL || getenv("SIMULATOR_MODEL_IDENTIFIER");
    out->is_phone = machine_is_a_phone();
    out->inserted = getenv("DYLD_INSERT_LIBRARIES");
}

static bool write_outside(void)
{
    char path[96];
    int fd;

    snprintf(path, sizeof path, "/private/earmark-%d", getpid());
    fd = open(path,
              EMK_DARWIN_O_WRONLY | EMK_DARWIN_O_CREAT | EMK_DARWIN_O_EXCL | EMK_DARWIN_O_CLOEXEC,
              0600);
    if (fd < 0)
        return false;
    close(fd);
    unlink(path);
    return true;
}

static bool fork_works(void)
{
    const int child = fork();
    int status;

    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, &status, 0);
    return child > 0;
}

void emk_darwin_try_sandbox(emk_darwin_facts *out)
{
    out->wrote_outside = write_outside();
    out->forked = fork_works();
}

#if defined(__arm64__) || defined(__aarch64__)
/* Standard C has no other way from a function to its bytes. */
static const void *code_of(void (*fn)(void))
{
    const void *p;

    memcpy(&p, &fn, sizeof p);
    return p;
}

#define FUNCTION(name)                         \
    {                                          \
#name, code_of((void (*)(void))(name)) \
    }

size_t emk_darwin_functions(emk_darwin_function out[EMK_DARWIN_FUNCTIONS_MAX])
{
    const emk_darwin_function all[] = {
        FUNCTION(open),    FUNCTION(read),  FUNCTION(write),  FUNCTION(mmap),
        FUNCTION(munmap),  FUNCTION(csops), FUNCTION(sysctl), FUNCTION(ptrace),
        FUNCTION(madvise), FUNCTION(fork),  FUNCTION(getenv), FUNCTION(_dyld_image_count),
    };

    memcpy(out, all, sizeof all);
    return sizeof all / sizeof all[0];
}
#else
/* The patterns of detect_stubs_apple.c are the other processor's. */
size_t emk_darwin_functions(emk_darwin_function out[EMK_DARWIN_FUNCTIONS_MAX])
{
    (void)out;
    return 0;
}
#endif
