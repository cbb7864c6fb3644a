#include "cli/os_machine.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static void look_at_cpu(emk_cli_machine *m)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    m->architecture = sizeof(void *) == 8 ? "x86-64" : "x86";
    m->known = __get_cpuid(1, &a, &b, &c, &d) != 0;
    m->clmul = (c & 1u << 1) != 0;
    m->aes = (c & 1u << 25) != 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
        m->sha = (b & 1u << 29) != 0;
        m->wide_aes = (c & 1u << 9) != 0;
    }
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

static void look_at_cpu(emk_cli_machine *m)
{
    unsigned long caps = getauxval(AT_HWCAP);

    m->architecture = "arm64";
    m->known = true;
    m->aes = (caps & 1ul << 3) != 0;
    m->clmul = (caps & 1ul << 4) != 0;
    m->sha = (caps & 1ul << 6) != 0;
}
#else
static void look_at_cpu(emk_cli_machine *m)
{
    m->architecture = "other";
}
#endif

void emk_cli_machine_look(emk_cli_machine *m)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    *m = (emk_cli_machine){0};
    look_at_cpu(m);
    if (pages > 0 && page > 0)
        m->memory = (uint64_t)pages * (uint64_t)page;
    m->tpm = access("/dev/tpmrm0", F_OK) == 0;
    m->tpm_usable = access("/dev/tpmrm0", R_OK | W_OK) == 0;
    m->runs_as_root = geteuid() == 0;
}

void emk_cli_system_name(char *out, size_t cap)
{
    struct utsname u;

    if (uname(&u) != 0)
        snprintf(out, cap, "unknown");
    else
        snprintf(out, cap, "%.24s-%.24s", u.sysname, u.machine);
}

/* A leak checker has to look at the process. */
#if defined(__SANITIZE_ADDRESS__)
#define LOOKED_AT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOOKED_AT 1
#endif
#endif

void emk_cli_harden(void)
{
#ifndef LOOKED_AT
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
